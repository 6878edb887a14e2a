// SPDX-License-Identifier: GPL-2.0-or-later
// The kernel's vfio-cxl user interface: every number of both generations, in one place, so that
// merged values can be dropped in. "assumed" marks what no public tree has fixed yet.
#pragma once

#include <cstddef>
#include <cstdint>

namespace type2::vfio::uapi {

inline constexpr std::uint32_t DeviceFlagsCxl = 1U << 9;

// Regions, found by VFIO_REGION_INFO_CAP_TYPE.
inline constexpr std::uint32_t RegionType = 0x80000000U | 0x1e98U;
inline constexpr std::uint32_t SubtypeMemory = 1;
inline constexpr std::uint32_t SubtypeCompRegs = 2;

// live: capability of the COMP_REGS region.
inline constexpr std::uint16_t CapCompRegsId = 6; // assumed
inline constexpr std::uint16_t CapCompRegsVersion = 1;
struct CapCompRegs { ///< after the 8-byte capability header
    std::uint32_t bar;
    std::uint32_t reserved; // assumed
    std::uint64_t offset;   ///< BAR offset of the HDM decoder block itself
};
static_assert(sizeof(CapCompRegs) == 16 && offsetof(CapCompRegs, offset) == 8);

// shadow: capability of the device.
inline constexpr std::uint16_t CapDeviceCxlId = 6;
inline constexpr std::uint16_t CapDeviceCxlVersion = 1;
inline constexpr std::uint32_t FlagFirmwareCommitted = 1U << 0;
inline constexpr std::uint32_t FlagCacheCapable = 1U << 1;
struct CapDeviceCxl { ///< after the 8-byte capability header; 32 bytes with it
    std::uint8_t hdm_regs_bar_index;
    std::uint8_t reserved[3];
    std::uint32_t flags;
    std::uint64_t hdm_regs_offset; ///< BAR offset of the CM array header
    std::uint32_t dpa_region_index;
    std::uint32_t comp_regs_region_index;
};
static_assert(sizeof(CapDeviceCxl) == 24 && offsetof(CapDeviceCxl, hdm_regs_offset) == 8 &&
              offsetof(CapDeviceCxl, comp_regs_region_index) == 20);

} // namespace type2::vfio::uapi
