// SPDX-License-Identifier: GPL-2.0-or-later
// VFIO info capabilities (struct vfio_info_cap_header): building a chain and walking one.
#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "vfio_user/protocol.h"

#include <cstdint>
#include <vector>

namespace type2::vfio_user {

struct InfoCap {
    std::uint16_t id = 0;
    std::uint16_t version = 0;
    Bytes body; ///< what follows the 8-byte header
};

/// The bytes of a chain that will lie at `start` (a multiple of 8) of an info structure. `next`
/// fields are relative to that structure's beginning, each capability is 8-byte aligned.
Bytes serialize_caps(const std::vector<InfoCap> &caps, std::uint32_t start);

/// What an info structure is to its capabilities. Each begins with argsz and flags.
struct InfoForm {
    std::size_t alone = 0;      ///< bytes of it where there are none, or no room for them
    std::size_t with_caps = 0;  ///< bytes of it in front of them
    std::size_t cap_offset = 0; ///< where in it stands where they begin
    std::uint32_t flag = 0;     ///< of flags: there are some
};
inline constexpr InfoForm DeviceInfoForm = {sizeof(DeviceInfo), sizeof(DeviceInfoWithCaps),
                                            offsetof(DeviceInfoWithCaps, cap_offset),
                                            VFIO_DEVICE_FLAGS_CAPS};
inline constexpr InfoForm RegionInfoForm = {sizeof(RegionInfo), sizeof(RegionInfo),
                                            offsetof(RegionInfo, cap_offset),
                                            VFIO_REGION_INFO_FLAG_CAPS};

/// An info structure (form.alone bytes) as it goes to whoever has room for `argsz` bytes: the
/// capabilities behind it where they fit; alone else, and its argsz says how much is needed.
Bytes info_with_caps(const InfoForm &form, Bytes info, const std::vector<InfoCap> &caps,
                     std::uint32_t argsz);

/// The first capability with that id and at least `size` bytes behind its header; null: none.
const InfoCap *find_cap(const std::vector<InfoCap> &caps, std::uint16_t id, std::size_t size = 0);

/// Walks the chain that begins at `start` of `info`. Every offset is checked. Error EPROTO:
/// unaligned, backwards, out of bounds; the text says where.
Result<std::vector<InfoCap>> parse_caps(ByteView info, std::uint32_t start);

} // namespace type2::vfio_user
