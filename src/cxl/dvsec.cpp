// SPDX-License-Identifier: GPL-2.0-or-later
#include "cxl/dvsec.h"

#include <vector>

namespace type2::cxl {

namespace {

constexpr std::uint32_t DeviceLength = 0x3c;
constexpr std::uint32_t LocatorOffset = 0x140;
constexpr std::uint32_t LocatorLength = 0x14; // one register block
constexpr std::uint32_t FlexBusOffset = 0x160;
constexpr std::uint32_t FlexBusLength = 0x20;
constexpr std::uint32_t GpfOffset = 0x180;
constexpr std::uint32_t GpfLength = 0x10;

constexpr std::uint32_t HighBits = 0xf0000000;
// CXL.io, CXL.mem, memory initialised by hardware, one range, CXL reset within 100 ms that can
// clear memory, viral.
constexpr std::uint16_t CapabilityBits = 0x499e;
constexpr std::uint16_t ControlIoEnable = 1U << 1;
constexpr std::uint16_t CacheSize1M = 0x1001; // 16 units of 64 KiB
constexpr std::uint32_t RangeValidActive = dvsec::MemoryInfoValid | dvsec::MemoryActive;
constexpr std::uint16_t FlexCacheIoMem68 = 0x27;

std::vector<Register> device_rows(const DvsecSetup &setup) {
    const auto cache = setup.cache_capable ? dvsec::CacheCapable : std::uint16_t{0};
    const auto writeback = setup.cache_capable ? dvsec::CacheWritebackCapable : std::uint16_t{0};
    const unsigned control =
        setup.committed ? ControlIoEnable | dvsec::MemEnable | cache : unsigned{ControlIoEnable};
    const std::uint64_t base = setup.committed ? setup.host_base : 0;
    const std::uint64_t size = setup.memory_size;
    return {
        {"cxl_capability", dvsec::Capability, 2, CapabilityBits | unsigned{cache} | writeback, 0, 0,
         "CXL r3.1 8.1.3.1"},
        {"cxl_control", dvsec::Control, 2, control, dvsec::ControlWritable, 0, "CXL r3.1 8.1.3.2"},
        {"cxl_status", dvsec::Status, 2, 0, 0, 0, "CXL r3.1 8.1.3.3"},
        {"cxl_control2", dvsec::Control2, 2, 0, 0x001f, 0, "CXL r3.1 8.1.3.4"},
        {"cxl_status2", dvsec::Status2, 2, 0, 0, 0, "CXL r3.1 8.1.3.5"},
        {"cxl_lock", dvsec::Lock, 2, 0, 0, 0, "CXL r3.1 8.1.3.6"},
        {"cxl_capability2", dvsec::Capability2, 2, setup.cache_capable ? CacheSize1M : 0U, 0, 0,
         "CXL r3.1 8.1.3.7"},
        {"range1_size_high", dvsec::Range1SizeHigh, 4, size >> 32, 0, 0, "CXL r3.1 8.1.3.8.1"},
        {"range1_size_low", dvsec::Range1SizeLow, 4, (size & HighBits) | RangeValidActive, 0, 0,
         "CXL r3.1 8.1.3.8.2"},
        {"range1_base_high", dvsec::Range1BaseHigh, 4, base >> 32, 0, 0, "CXL r3.1 8.1.3.8.3"},
        {"range1_base_low", dvsec::Range1BaseLow, 4, base & HighBits, 0, 0, "CXL r3.1 8.1.3.8.4"},
        {"range2_size_high", 0x28, 4, 0, 0, 0, "CXL r3.1 8.1.3.8.5"},
        {"range2_size_low", 0x2c, 4, 0, 0, 0, "CXL r3.1 8.1.3.8.6"},
        {"range2_base_high", 0x30, 4, 0, 0, 0, "CXL r3.1 8.1.3.8.7"},
        {"range2_base_low", 0x34, 4, 0, 0, 0, "CXL r3.1 8.1.3.8.8"},
        {"cxl_capability3", 0x38, 2, 0, 0, 0, "CXL r3.1 8.1.3.9"},
    };
}

} // namespace

void add_dvsecs(pci::ConfigSpace &config, const DvsecSetup &setup) {
    config.add_dvsec(CxlVendor, DvsecDevice, 3, DeviceDvsecOffset, DeviceLength,
                     device_rows(setup));

    const std::vector<Register> locator = {
        {"block1_low", 0x0c, 4,
         (setup.component_offset & 0xffff0000) | BlockIdComponent << 8 | setup.component_bar, 0, 0,
         "CXL r3.1 8.1.9.1"},
        {"block1_high", 0x10, 4, setup.component_offset >> 32, 0, 0, "CXL r3.1 8.1.9.2"},
    };
    config.add_dvsec(CxlVendor, DvsecLocator, 0, LocatorOffset, LocatorLength, locator);

    const unsigned modes = FlexCacheIoMem68 & (setup.cache_capable ? ~0U : ~1U);
    const std::vector<Register> flex = {
        {"flex_capability", 0x0a, 2, modes, 0, 0, "CXL r3.1 8.2.1.3.1"},
        {"flex_control", 0x0c, 2, modes, 0, 0, "CXL r3.1 8.2.1.3.2"},
        {"flex_status", 0x0e, 2, modes, 0, 0, "CXL r3.1 8.2.1.3.3"},
        {"flex_received_ts", 0x10, 4, 0, 0, 0, "CXL r3.1 8.2.1.3.4"},
        {"flex_capability2", 0x14, 4, 0, 0, 0, "CXL r3.1 8.2.1.3.5"},
        {"flex_control2", 0x18, 4, 0, 0, 0, "CXL r3.1 8.2.1.3.6"},
        {"flex_status2", 0x1c, 4, 0, 0, 0, "CXL r3.1 8.2.1.3.7"},
    };
    config.add_dvsec(CxlVendor, DvsecFlexBus, 2, FlexBusOffset, FlexBusLength, flex);

    const std::vector<Register> gpf = {
        // Ten times 1 ms in phase 2, no power stated.
        {"gpf_phase2_duration", 0x0a, 2, 0x0301, 0, 0, "CXL r3.1 8.1.7.1"},
        {"gpf_phase2_power", 0x0c, 4, 0, 0, 0, "CXL r3.1 8.1.7.2"},
    };
    config.add_dvsec(CxlVendor, DvsecGpf, 0, GpfOffset, GpfLength, gpf);
}

void make_lockable(pci::ConfigSpace &config) {
    config.registers().set_rw(DeviceDvsecOffset + dvsec::Lock, dvsec::ConfigLock);
}

Locked begin_write(const pci::ConfigSpace &config) {
    const auto &registers = config.registers();
    const auto lock = registers.get<std::uint16_t>(DeviceDvsecOffset + dvsec::Lock);
    return {(lock & dvsec::ConfigLock) != 0,
            registers.get<std::uint16_t>(DeviceDvsecOffset + dvsec::Control)};
}

void enforce_lock(pci::ConfigSpace &config, const Locked &before) {
    if (before.active) {
        config.registers().set(DeviceDvsecOffset + dvsec::Control, before.control);
        config.registers().set(DeviceDvsecOffset + dvsec::Lock, dvsec::ConfigLock);
    }
}

Doorbells take_doorbells(pci::ConfigSpace &config) {
    const std::uint32_t at = DeviceDvsecOffset + dvsec::Control2;
    const auto control = config.registers().get<std::uint16_t>(at);
    const unsigned rest = control & ~unsigned{dvsec::InitCacheWbi} & ~unsigned{dvsec::InitCxlReset};
    config.registers().set(at, static_cast<std::uint16_t>(rest));
    return {(control & dvsec::InitCacheWbi) != 0, (control & dvsec::InitCxlReset) != 0};
}

void set_memory_active(pci::ConfigSpace &config, bool active) {
    const std::uint32_t at = DeviceDvsecOffset + dvsec::Range1SizeLow;
    const auto low = config.registers().get<std::uint32_t>(at);
    config.registers().set(at, active ? low | dvsec::MemoryActive : low & ~dvsec::MemoryActive);
}

bool memory_enabled(const pci::ConfigSpace &config) {
    const auto control = config.registers().get<std::uint16_t>(DeviceDvsecOffset + dvsec::Control);
    return (control & dvsec::MemEnable) != 0;
}

bool cache_is_invalid(const pci::ConfigSpace &config) {
    const auto status = config.registers().get<std::uint16_t>(DeviceDvsecOffset + dvsec::Status2);
    return (status & dvsec::CacheInvalid) != 0;
}

void set_status2(pci::ConfigSpace &config, std::uint16_t mask, std::uint16_t value) {
    const std::uint32_t at = DeviceDvsecOffset + dvsec::Status2;
    const auto status = config.registers().get<std::uint16_t>(at);
    config.registers().set(
        at, static_cast<std::uint16_t>((status & ~unsigned{mask}) | unsigned{value}));
}

} // namespace type2::cxl
