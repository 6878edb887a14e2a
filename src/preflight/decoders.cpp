// SPDX-License-Identifier: GPL-2.0-or-later
#include "preflight/decoders.h"

#include "base/size.h"

#include <fmt/format.h>

namespace type2::preflight {

namespace {

constexpr const char *Kernel = "what QEMU refuses: a fault of the kernel's driver";
constexpr const char *Firmware = "the host's firmware programmed it wrongly: update it";

/// Counts decoder `i` in; false, and a problem, where that cannot be done. end: in the memory
/// region.
bool add(const VfioFacts &vfio, std::size_t i, std::uint64_t &end, Decoders &all) {
    const auto &decoder = vfio.decoders[i];
    const auto wrong = [&all](std::string problem, const char *advice) {
        all.problem = std::move(problem);
        all.advice = advice;
        return false;
    };
    if (decoder.error) {
        return wrong(fmt::format("decoder {} has its error bit set", i), Firmware);
    }
    if (!decoder.committed) {
        return true;
    }
    if (decoder.interleaved) {
        return wrong(fmt::format("decoder {} is interleaved", i),
                     "turn CXL interleaving off in the host firmware's set-up");
    }
    if (all.committed != i || decoder.size == 0 || decoder.wraps) {
        return wrong(fmt::format("decoder {} is committed, of size {}, behind {} committed", i,
                                 format_size(decoder.size), all.committed),
                     Firmware);
    }
    // The live region begins behind what decoder 0 skips.
    const auto skip = i == 0 && vfio.generation == Generation::Live ? 0 : decoder.skip;
    const auto left = (vfio.memory ? vfio.memory->size : 0) - end;
    if (skip > left || decoder.size > left - skip) {
        return wrong(fmt::format("decoders end at {}, the memory region at {}",
                                 format_size(end + skip + decoder.size), format_size(end + left)),
                     Kernel);
    }
    ++all.committed;
    all.pieces += i == 0 || skip != 0 ? 1 : 0;
    all.size += decoder.size;
    end += skip + decoder.size;
    return true;
}

DecoderUse use_of(const VfioFacts &vfio, const Decoders &all) {
    if (all.committed == 0) {
        return DecoderUse::Uncommitted;
    }
    if (vfio.generation == Generation::Shadow && !vfio.firmware_committed) {
        return DecoderUse::NotByFirmware;
    }
    // Where there are more than the bridge has, QEMU makes one of neighbours.
    return all.pieces > BridgeDecoders ? DecoderUse::TooMany : DecoderUse::Locked;
}

} // namespace

Decoders put_together(const VfioFacts &vfio) {
    Decoders all;
    if (!vfio.decoder_problem.empty()) {
        all.problem = vfio.decoder_problem;
        all.advice = "what QEMU refuses: a fault of the kernel's driver or of the device";
        return all;
    }
    if (vfio.decoders.empty()) {
        return all;
    }
    std::uint64_t end = 0;
    for (std::size_t i = 0; i < vfio.decoders.size(); ++i) {
        if (!add(vfio, i, end, all)) {
            return all;
        }
    }
    if (all.committed == 0 && vfio.firmware_committed) {
        all.problem =
            fmt::format("{}, none committed, the kernel says that firmware committed them",
                        vfio.decoders.size());
        all.advice = Kernel;
        return all;
    }
    all.use = use_of(vfio, all);
    return all;
}

} // namespace type2::preflight
