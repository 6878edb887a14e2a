// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/size.h"
#include "cxl/hdm_decoder.h"
#include "preflight/check.h"
#include "preflight/decoders.h"
#include "vfio/uapi.h"

#include <fmt/format.h>
#include <linux/vfio.h>

namespace type2::preflight {

namespace {

namespace uapi = vfio::uapi;

Check check_open(const DeviceFacts &device) {
    constexpr const char *Id = "vfio-device";
    if (device.vfio) {
        return ok(Id, device.socket.empty() ? "opened" : "answers on " + device.socket);
    }
    if (!device.vfio_failed) {
        return skipped(Id, device.vfio_absent);
    }
    return failed(Id, device.vfio_absent,
                  "a device that a VM uses cannot be opened; look at dmesg for any other reason");
}

Check check_flag(const VfioFacts &vfio) {
    constexpr const char *Id = "cxl-flag";
    const auto found = fmt::format("device flags {:#x}", vfio.flags);
    if ((vfio.flags & uapi::DeviceFlagsCxl) == 0) {
        return failed(Id, found + ", bit 9 clear",
                      "the kernel presents the device as plain PCI: use a kernel with CXL support "
                      "in VFIO, and its variant driver where the device has one");
    }
    return ok(Id, found);
}

Check check_contract(const VfioFacts &vfio) {
    constexpr const char *Id = "contract";
    if (!vfio.contract_problem.empty()) {
        return failed(Id, vfio.contract_problem,
                      "use a kernel of the generation \"live\" or \"shadow\" (see "
                      "docs/system/devices/vfio-cxl.rst)");
    }
    return ok(Id, vfio.generation == Generation::Live ? "live" : "shadow");
}

Check check_region(const VfioFacts &vfio) {
    constexpr const char *Id = "memory-region";
    constexpr std::uint32_t Rw = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
    constexpr const char *Kernel = "what QEMU refuses: a fault of the kernel's driver";
    if (!vfio.region_problem.empty()) {
        return failed(Id, vfio.region_problem, Kernel);
    }
    const auto &memory = *vfio.memory;
    const auto found = fmt::format("region {}, {}, flags {:#x}", memory.index,
                                   format_size(memory.size), memory.flags);
    if (memory.size == 0 || memory.size % cxl::hdm::Unit != 0 || memory.size >= 1ULL << 52 ||
        (memory.flags & Rw) != Rw) {
        return failed(Id, found, Kernel);
    }
    if ((memory.flags & VFIO_REGION_INFO_FLAG_MMAP) == 0) {
        return warning(Id, found + ": not mappable",
                       "every access of the guest will be trapped, thousands of times slower than "
                       "memory: use a kernel that maps the region");
    }
    return ok(Id, found);
}

constexpr const char *DecodersId = "decoders";

/// A kernel gives no memory then, for the device decodes none; a vfio-user server can.
Check uncommitted(const std::string &found, bool by_kernel) {
    if (by_kernel) {
        return failed(DecodersId, found + " none committed",
                      "the device decodes none of its memory, and the kernel gives none: have the "
                      "host's firmware, or its driver before vfio-pci, commit a decoder");
    }
    return warning(DecodersId, found + " none committed",
                   "the guest has to program them itself, and the server to give the memory "
                   "without them; Linux finds memory only where it is committed");
}

/// It can have more than QEMU's bridge leads to, if it programs them itself.
Check too_many(const std::string &found, const Decoders &all) {
    return warning(
        DecodersId,
        fmt::format("{} {} committed, in {} pieces; QEMU's host bridge has {}", found,
                    all.committed, all.pieces, BridgeDecoders),
        fmt::format("have the host's firmware commit the memory in {} pieces at most: Linux "
                    "finds no memory in a guest otherwise; x-cxl-decoders=guest, as below, is "
                    "for one that programs them itself",
                    BridgeDecoders));
}

/// By itself QEMU has the guest program decoders that firmware did not commit.
Check not_by_firmware(const std::string &found, const Decoders &all) {
    const auto for_linux =
        fmt::format("; x-cxl-decoders=locked, with hdm_for_passthrough=on and a window of {}, is "
                    "for Linux",
                    format_size(all.size));
    return warning(DecodersId,
                   fmt::format("{} {} committed: {}, but not by firmware as the kernel says", found,
                               all.committed, format_size(all.size)),
                   "the guest has to program them itself" +
                       (all.pieces <= BridgeDecoders ? for_linux : ""));
}

Check check_decoders(const VfioFacts &vfio, bool by_kernel) {
    const auto all = put_together(vfio);
    if (!all.problem.empty()) {
        return failed(DecodersId, all.problem, all.advice);
    }
    const auto found = fmt::format("{},", vfio.decoders.size());
    switch (all.use) {
    case DecoderUse::Uncommitted:
        return uncommitted(found, by_kernel);
    case DecoderUse::NotByFirmware:
        return not_by_firmware(found, all);
    case DecoderUse::TooMany:
        return too_many(found, all);
    case DecoderUse::Locked:
        return ok(DecodersId,
                  fmt::format("{} {} committed: {}{}", found, all.committed, format_size(all.size),
                              all.committed > BridgeDecoders
                                  ? fmt::format("; a guest finds {}", all.pieces)
                                  : ""));
    case DecoderUse::Unknown:
        break;
    }
    return skipped(DecodersId, "where they are is not known");
}

Check check_reset(const VfioFacts &vfio) {
    constexpr const char *Id = "reset";
    if ((vfio.flags & VFIO_DEVICE_FLAGS_RESET) == 0) {
        return warning(Id, "the function cannot be reset",
                       "what a guest leaves in the device, the next one finds; look at "
                       "/sys/bus/pci/devices/.../reset_method");
    }
    return ok(Id, "the function can be reset");
}

} // namespace

std::vector<Check> check_vfio(const DeviceFacts &device) {
    std::vector<Check> checks = {check_open(device)};
    if (!device.vfio) {
        for (const char *id : {"cxl-flag", "contract", "memory-region", "decoders", "reset"}) {
            checks.push_back(skipped(id, "needs the VFIO device"));
        }
        return checks;
    }
    checks.push_back(check_flag(*device.vfio));
    checks.push_back(check_contract(*device.vfio));
    checks.push_back(check_region(*device.vfio));
    checks.push_back(check_decoders(*device.vfio, device.socket.empty()));
    checks.push_back(check_reset(*device.vfio));
    return checks;
}

} // namespace type2::preflight
