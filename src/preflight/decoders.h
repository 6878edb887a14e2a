// SPDX-License-Identifier: GPL-2.0-or-later
// The HDM decoders that a VFIO device shows, put together: what QEMU makes of them. No I/O.
#pragma once

#include "preflight/facts.h"

#include <cstdint>
#include <optional>
#include <string>

namespace type2::preflight {

/// CXL_HDM_DECODER_COUNT of QEMU: each committed decoder of the device needs one of the bridge.
inline constexpr std::size_t BridgeDecoders = 4;

/// Who programs what the guest sees, and why.
enum class DecoderUse {
    Unknown,       ///< the device is not open, or its decoders make no sense
    Locked,        ///< firmware committed them; QEMU commits the guest's
    Uncommitted,   ///< nobody has; the guest does
    NotByFirmware, ///< some are committed, but the kernel says that firmware did not; the guest
                   ///< does
    TooMany, ///< in more pieces than the bridge has decoders; the guest does, if QEMU is told so
};

struct Decoders {
    DecoderUse use = DecoderUse::Unknown;
    std::size_t committed = 0;
    std::size_t pieces = 0; ///< that skipped memory keeps apart
    std::uint64_t size = 0; ///< bytes that they decode, one behind the other
    std::string problem;    ///< empty: none
    std::string advice;     ///< for the problem
};

Decoders put_together(const VfioFacts &vfio);

} // namespace type2::preflight
