// SPDX-License-Identifier: GPL-2.0-or-later
#include "pci/config_space.h"

#include <fmt/format.h>
#include <vector>

namespace type2::pci {

namespace {

constexpr std::uint32_t MsixOffset = 0x50;
constexpr std::uint32_t ExpressOffset = 0x60;

constexpr std::uint32_t MsixControl = 0x02;
constexpr std::uint32_t ExpressDevCtl = 0x08;
constexpr std::uint16_t DevCtlFlr = 1U << 15;
constexpr std::uint32_t AdvancedOffset = 0xa0;
constexpr std::uint32_t AdvancedControl = 0x04;
constexpr std::uint8_t AdvancedFlr = 1U << 0;

constexpr std::uint32_t BarType64 = 0x4;
constexpr std::uint32_t BarPrefetch = 0x8;

std::vector<Register> header_rows(const Identity &id) {
    return {
        {"vendor", reg::VendorId, 2, id.vendor, 0, 0, "PCIe r6.0 7.5.1.1.1"},
        {"device", reg::DeviceId, 2, id.device, 0, 0, "PCIe r6.0 7.5.1.1.2"},
        {"command", reg::Command, 2, 0, 0x0546, 0, "PCIe r6.0 7.5.1.1.3"},
        {"status", reg::Status, 2, 0x0010, 0, 0xf900, "PCIe r6.0 7.5.1.1.4"},
        {"revision", 0x08, 1, id.revision, 0, 0, "PCIe r6.0 7.5.1.1.5"},
        {"prog_if", reg::ClassCode, 1, id.class_code & 0xff, 0, 0, "PCIe r6.0 7.5.1.1.6"},
        {"class", reg::ClassCode + 1, 2, id.class_code >> 8, 0, 0, "PCIe r6.0 7.5.1.1.6"},
        {"cache_line", 0x0c, 1, 0, 0xff, 0, "PCIe r6.0 7.5.1.1.7"},
        {"header_type", reg::HeaderType, 1, 0, 0, 0, "PCIe r6.0 7.5.1.1.9"},
        {"subsystem_vendor", 0x2c, 2, id.vendor, 0, 0, "PCIe r6.0 7.5.1.2.3"},
        {"subsystem", 0x2e, 2, id.device, 0, 0, "PCIe r6.0 7.5.1.2.3"},
        {"cap_pointer", reg::CapPointer, 1, 0, 0, 0, "PCIe r6.0 7.5.1.1.11"},
        {"interrupt_line", 0x3c, 1, 0, 0xff, 0, "PCIe r6.0 7.5.1.1.12"},
    };
}

} // namespace

ConfigSpace::ConfigSpace(const Identity &identity) {
    registers_.add(header_rows(identity));
}

void ConfigSpace::add_bar64(unsigned index, std::uint64_t size, bool prefetchable) {
    const std::uint64_t mask = ~(size - 1);
    const std::uint32_t type = BarType64 | (prefetchable ? BarPrefetch : 0);
    const std::uint32_t at = reg::Bar0 + 4 * index;
    // Read-only address bits are what BAR sizing discovers.
    registers_.add(
        {fmt::format("bar{}", index), at, 4, type, mask & 0xfffffff0, 0, "PCIe r6.0 7.5.1.2.1"});
    registers_.add(
        {fmt::format("bar{}_high", index), at + 4, 4, 0, mask >> 32, 0, "PCIe r6.0 7.5.1.2.1"});
}

void ConfigSpace::add_capability(std::uint8_t id, std::uint32_t offset,
                                 std::span<const Register> rows) {
    const std::uint32_t link = last_cap_ == 0 ? reg::CapPointer : last_cap_ + 1;
    registers_.add({fmt::format("cap{:02x}_id", id), offset, 1, id, 0, 0, "PCIe r6.0 7.5.2"});
    registers_.add({fmt::format("cap{:02x}_next", id), offset + 1, 1, 0, 0, 0, "PCIe r6.0 7.5.2"});
    registers_.add({"next_capability", link, 1, offset, 0, 0, "PCIe r6.0 7.5.2"});
    registers_.add(rows, offset);
    last_cap_ = offset;
}

void ConfigSpace::add_extended(std::uint16_t id, std::uint8_t version, std::uint32_t offset,
                               std::span<const Register> rows) {
    if (last_extended_ != 0) {
        const auto before = registers_.get<std::uint32_t>(last_extended_);
        registers_.add(
            {"next_extended", last_extended_, 4, before | (offset << 20), 0, 0, "PCIe r6.0 7.6.3"});
    }
    registers_.add({fmt::format("ext{:04x}_header", id), offset, 4,
                    id | static_cast<std::uint32_t>(version) << 16, 0, 0, "PCIe r6.0 7.6.3"});
    registers_.add(rows, offset);
    last_extended_ = offset;
}

void ConfigSpace::add_dvsec(std::uint16_t vendor, std::uint16_t id, std::uint8_t revision,
                            std::uint32_t offset, std::uint32_t length,
                            std::span<const Register> rows) {
    std::vector<Register> all = {
        {fmt::format("dvsec{}_header1", id), 0x4, 4,
         vendor | static_cast<std::uint32_t>(revision) << 16 | length << 20, 0, 0,
         "PCIe r6.0 7.9.6.2"},
        {fmt::format("dvsec{}_header2", id), 0x8, 2, id, 0, 0, "PCIe r6.0 7.9.6.3"},
    };
    all.insert(all.end(), rows.begin(), rows.end());
    add_extended(ExtCapDvsec, 1, offset, all);
}

void ConfigSpace::add_power_management() {
    const std::vector<Register> rows = {
        // Version 3, no PME, D1 and D2 not supported.
        {"pm_capabilities", 0x02, 2, 0x0003, 0, 0, "PCIe r6.0 7.5.2.1"},
        // No_Soft_Reset: D3hot to D0 keeps the state.
        {"pm_control", PmControl, 2, 0x0008, PmStateMask, 0, "PCIe r6.0 7.5.2.2"},
    };
    add_capability(CapIdPm, PmOffset, rows);
    power_management_ = PmOffset;
}

void ConfigSpace::add_msix(const MsixLayout &layout) {
    const std::vector<Register> rows = {
        {"msix_control", MsixControl, 2, layout.vectors - 1U, 0xc000, 0, "PCIe r6.0 7.7.2.2"},
        {"msix_table", 0x04, 4, layout.table_offset | layout.table_bar, 0, 0, "PCIe r6.0 7.7.2.3"},
        {"msix_pba", 0x08, 4, layout.pba_offset | layout.pba_bar, 0, 0, "PCIe r6.0 7.7.2.4"},
    };
    add_capability(CapIdMsix, MsixOffset, rows);
}

void ConfigSpace::add_express_endpoint() {
    const std::vector<Register> rows = {
        {"pcie_capabilities", 0x02, 2, 0x0002, 0, 0, "PCIe r6.0 7.5.3.2"},
        // 256-byte payload, extended tags, role-based error reporting, function level reset.
        {"device_capabilities", 0x04, 4, 0x10008021, 0, 0, "PCIe r6.0 7.5.3.3"},
        {"device_control", ExpressDevCtl, 2, 0x2810, 0xffff, 0, "PCIe r6.0 7.5.3.4"},
        {"device_status", 0x0a, 2, 0, 0, 0x000f, "PCIe r6.0 7.5.3.5"},
        // 32 GT/s, x16, no ASPM.
        {"link_capabilities", 0x0c, 4, 0x00400105, 0, 0, "PCIe r6.0 7.5.3.6"},
        {"link_control", 0x10, 2, 0x0040, 0x03c8, 0, "PCIe r6.0 7.5.3.7"},
        {"link_status", 0x12, 2, 0x1105, 0, 0, "PCIe r6.0 7.5.3.8"},
        // Completion timeout ranges A to D, timeout disable, 10-bit tags.
        {"device_capabilities2", 0x24, 4, 0x0001001f, 0, 0, "PCIe r6.0 7.5.3.15"},
        {"device_control2", 0x28, 2, 0, 0x041f, 0, "PCIe r6.0 7.5.3.16"},
        {"link_capabilities2", 0x2c, 4, 0x0000003e, 0, 0, "PCIe r6.0 7.5.3.18"},
        {"link_control2", 0x30, 2, 0x0005, 0x000f, 0, "PCIe r6.0 7.5.3.19"},
    };
    add_capability(CapIdExpress, ExpressOffset, rows);
    express_ = ExpressOffset;
}

void ConfigSpace::add_advanced_features() {
    const std::vector<Register> rows = {
        {"af_length", 0x02, 1, 6, 0, 0, "PCI AF ECN"},
        // Transactions pending, function level reset.
        {"af_capabilities", 0x03, 1, 0x03, 0, 0, "PCI AF ECN"},
        {"af_control", AdvancedControl, 1, 0, AdvancedFlr, 0, "PCI AF ECN"},
        {"af_status", 0x05, 1, 0, 0, 0, "PCI AF ECN"},
    };
    add_capability(CapIdAdvancedFeatures, AdvancedOffset, rows);
    advanced_ = AdvancedOffset;
}

void ConfigSpace::add_serial_number(std::uint32_t offset, std::uint64_t serial) {
    const std::vector<Register> rows = {
        {"serial_low", 0x04, 4, serial & 0xffffffff, 0, 0, "PCIe r6.0 7.9.3.2"},
        {"serial_high", 0x08, 4, serial >> 32, 0, 0, "PCIe r6.0 7.9.3.2"},
    };
    add_extended(ExtCapSerial, 1, offset, rows);
}

void ConfigSpace::add_aer(std::uint32_t offset) {
    const std::vector<Register> rows = {
        {"aer_uncorrectable_status", 0x04, 4, 0, 0, 0x07fff010, "PCIe r6.0 7.8.4.2"},
        {"aer_uncorrectable_mask", 0x08, 4, 0x00400000, 0x07fff010, 0, "PCIe r6.0 7.8.4.3"},
        {"aer_uncorrectable_severity", 0x0c, 4, 0x00462010, 0x07fff010, 0, "PCIe r6.0 7.8.4.4"},
        {"aer_correctable_status", 0x10, 4, 0, 0, 0x0000f1c1, "PCIe r6.0 7.8.4.5"},
        {"aer_correctable_mask", 0x14, 4, 0x0000e000, 0x0000f1c1, 0, "PCIe r6.0 7.8.4.6"},
        {"aer_control", 0x18, 4, 0, 0, 0, "PCIe r6.0 7.8.4.7"},
        {"aer_header_log0", 0x1c, 4, 0, 0, 0, "PCIe r6.0 7.8.4.8"},
        {"aer_header_log1", 0x20, 4, 0, 0, 0, "PCIe r6.0 7.8.4.8"},
        {"aer_header_log2", 0x24, 4, 0, 0, 0, "PCIe r6.0 7.8.4.8"},
        {"aer_header_log3", 0x28, 4, 0, 0, 0, "PCIe r6.0 7.8.4.8"},
    };
    add_extended(ExtCapAer, 2, offset, rows);
}

bool ConfigSpace::memory_enabled() const {
    return (registers_.get<std::uint16_t>(reg::Command) & CommandMemory) != 0 && power_state() == 0;
}

bool ConfigSpace::bus_master() const {
    return (registers_.get<std::uint16_t>(reg::Command) & CommandMaster) != 0 && power_state() == 0;
}

void ConfigSpace::set_memory_enabled(bool enabled) {
    auto command = registers_.get<std::uint16_t>(reg::Command);
    command = static_cast<std::uint16_t>(enabled ? command | CommandMemory
                                                 : command & ~unsigned{CommandMemory});
    registers_.set(reg::Command, command);
}

unsigned ConfigSpace::power_state() const {
    return power_management_
               ? registers_.get<std::uint16_t>(*power_management_ + PmControl) & PmStateMask
               : 0;
}

void ConfigSpace::set_power_state(unsigned state) {
    if (power_management_) {
        const std::uint32_t at = *power_management_ + PmControl;
        const unsigned rest = registers_.get<std::uint16_t>(at) & ~unsigned{PmStateMask};
        registers_.set(at, static_cast<std::uint16_t>(rest | (state & PmStateMask)));
    }
}

bool ConfigSpace::take_function_reset() {
    bool asked = false;
    if (express_) {
        const std::uint32_t at = *express_ + ExpressDevCtl;
        const auto control = registers_.get<std::uint16_t>(at);
        registers_.set(at, static_cast<std::uint16_t>(control & ~unsigned{DevCtlFlr}));
        asked = (control & DevCtlFlr) != 0;
    }
    if (advanced_) {
        const std::uint32_t at = *advanced_ + AdvancedControl;
        const auto control = registers_.get<std::uint8_t>(at);
        registers_.set(at, static_cast<std::uint8_t>(control & ~unsigned{AdvancedFlr}));
        asked = asked || (control & AdvancedFlr) != 0;
    }
    return asked;
}

} // namespace type2::pci
