// SPDX-License-Identifier: GPL-2.0-or-later
// The CXL DVSECs of a Type-2 device in configuration space (CXL r3.1 section 8.1).
#pragma once

#include "pci/config_space.h"

#include <cstdint>

namespace type2::cxl {

inline constexpr std::uint16_t CxlVendor = 0x1e98;
inline constexpr std::uint16_t DvsecDevice = 0;
inline constexpr std::uint16_t DvsecGpf = 5;
inline constexpr std::uint16_t DvsecFlexBus = 7;
inline constexpr std::uint16_t DvsecLocator = 8;
inline constexpr std::uint8_t BlockIdComponent = 1;

/// Registers of the CXL Device DVSEC, in bytes from its start (CXL r3.1 section 8.1.3).
namespace dvsec {
inline constexpr std::uint32_t Capability = 0x0a;
inline constexpr std::uint32_t Control = 0x0c;
inline constexpr std::uint32_t Status = 0x0e;
inline constexpr std::uint32_t Control2 = 0x10;
inline constexpr std::uint32_t Status2 = 0x12;
inline constexpr std::uint32_t Lock = 0x14;
inline constexpr std::uint32_t Capability2 = 0x16;
inline constexpr std::uint32_t Range1SizeHigh = 0x18;
inline constexpr std::uint32_t Range1SizeLow = 0x1c;
inline constexpr std::uint32_t Range1BaseHigh = 0x20;
inline constexpr std::uint32_t Range1BaseLow = 0x24;
inline constexpr std::uint32_t RangeStride = 0x10; ///< from a register of range 1 to range 2's

inline constexpr std::uint16_t CacheCapable = 1U << 0;
inline constexpr std::uint16_t CacheWritebackCapable = 1U << 6;
inline constexpr std::uint16_t CacheEnable = 1U << 0;
inline constexpr std::uint16_t MemEnable = 1U << 2;
inline constexpr std::uint16_t ControlWritable = 0x4ffd;
inline constexpr std::uint16_t InitCacheWbi = 1U << 1;
inline constexpr std::uint16_t InitCxlReset = 1U << 2;
inline constexpr std::uint16_t CacheInvalid = 1U << 0;
inline constexpr std::uint16_t ResetDone = 1U << 1;
inline constexpr std::uint16_t ResetError = 1U << 2;
inline constexpr std::uint16_t ConfigLock = 1U << 0;
inline constexpr std::uint32_t MemoryInfoValid = 1U << 0; ///< of a range's SIZE_LOW
inline constexpr std::uint32_t MemoryActive = 1U << 1;
} // namespace dvsec

struct DvsecSetup {
    bool cache_capable = true;
    bool committed = true;         ///< firmware enabled CXL.mem and filled in range 1's base
    std::uint64_t memory_size = 0; ///< bytes, multiple of 256 MiB
    std::uint64_t host_base = 0;   ///< host physical address of range 1
    unsigned component_bar = 0;
    std::uint64_t component_offset = 0; ///< in that BAR, multiple of 64 KiB
};

/// Adds the four DVSECs at fixed places of `config`. CONTROL and CONTROL2 of the Device DVSEC are
/// writable, nothing else: what the kernel lets through.
void add_dvsecs(pci::ConfigSpace &config, const DvsecSetup &setup);

/// Offset of the CXL Device DVSEC in configuration space, as add_dvsecs() places it.
inline constexpr std::uint32_t DeviceDvsecOffset = 0x100;

/// Makes CONFIG_LOCK of the LOCK register writable, once.
void make_lockable(pci::ConfigSpace &config);

/// Around a write: while CONFIG_LOCK is set, CONTROL and LOCK keep their values (CXL r3.1 section
/// 8.1.3.6).
struct Locked {
    bool active = false;
    std::uint16_t control = 0;
};
Locked begin_write(const pci::ConfigSpace &config);
void enforce_lock(pci::ConfigSpace &config, const Locked &before);

struct Doorbells {
    bool cache_writeback = false;
    bool cxl_reset = false;
};

/// The doorbell bits of CONTROL2 that a guest has set since the last call; they read 0 afterwards.
Doorbells take_doorbells(pci::ConfigSpace &config);

/// Memory_Active of range 1: the memory is initialised and can be used (CXL r3.1
/// section 8.1.3.8.2).
void set_memory_active(pci::ConfigSpace &config, bool active);

/// Mem_Enable of CONTROL: the device decodes CXL.mem (CXL r3.1 section 8.1.3.2).
bool memory_enabled(const pci::ConfigSpace &config);

/// Has a cache write-back been done since the last reset?
bool cache_is_invalid(const pci::ConfigSpace &config);

/// Replaces the bits `mask` of STATUS2 by those of `value`.
void set_status2(pci::ConfigSpace &config, std::uint16_t mask, std::uint16_t value);

} // namespace type2::cxl
