// SPDX-License-Identifier: GPL-2.0-or-later
// VFIO info capabilities (struct vfio_info_cap_header): building a chain and walking one.
#pragma once

#include "base/bytes.h"
#include "base/result.h"

#include <cstdint>
#include <vector>

namespace model::vfio_user {

struct InfoCap {
    std::uint16_t id = 0;
    std::uint16_t version = 0;
    Bytes body; ///< what follows the 8-byte header
};

/// The bytes of a chain that will lie at `start` (a multiple of 8) of an info structure. `next`
/// fields are relative to that structure's beginning, each capability is 8-byte aligned.
Bytes serialize_caps(const std::vector<InfoCap> &caps, std::uint32_t start);

/// Walks the chain that begins at `start` of `info`. Every offset is checked. Error EPROTO:
/// unaligned, backwards, out of bounds; the text says where.
Result<std::vector<InfoCap>> parse_caps(ByteView info, std::uint32_t start);

} // namespace model::vfio_user
