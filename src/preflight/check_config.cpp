// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/bytes.h"
#include "base/size.h"
#include "cxl/dvsec.h"
#include "pci/config_space.h"
#include "preflight/check.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>

namespace type2::preflight {

namespace {

// CXL r3.1 sections 8.1.3.1 and 8.1.3.2
constexpr std::uint16_t MemCapable = 1U << 2;
constexpr std::uint16_t MemEnable = 1U << 2;

constexpr std::uint32_t BridgeClass = 0x06;
constexpr std::uint32_t CxlMemoryClass = 0x0502;

bool has_cache(const PciFacts &pci) {
    return pci.cxl && (pci.cxl->capability & cxl::dvsec::CacheCapable) != 0;
}

/// Its memory is coherent with the host's by NVLink-C2C, and no CXL.
bool is_grace_gpu(const DeviceFacts &device) {
    constexpr std::uint16_t Nvidia = 0x10de;
    constexpr std::array<std::uint16_t, 3> Grace = {0x2342, 0x2941, 0x3041};
    const auto &pci = *device.pci;
    return (device.binding && device.binding->module.starts_with("nvgrace")) ||
           (pci.vendor == Nvidia &&
            std::find(Grace.begin(), Grace.end(), pci.device) != Grace.end());
}

Check check_class(const DeviceFacts &device) {
    constexpr const char *Id = "pci-class";
    const auto &pci = *device.pci;
    if (is_silent(device)) {
        return failed(Id,
                      fmt::format("does not answer: configuration space is all ones{}",
                                  pci.power_state.empty() ? "" : ", " + pci.power_state),
                      pci.power_state == "D3cold"
                          ? fmt::format("it is without power: echo on > /sys/bus/pci/devices/{}/"
                                        "power/control, and modprobe vfio-pci disable_idle_d3=1; "
                                        "where it stays so, take the host's power off and on",
                                        device.address)
                          : "it has fallen off the bus: look at dmesg, then take the host's power "
                            "off and on; vfio-pci's disable_idle_d3=1 keeps one out of D3 that "
                            "does not come back from there");
    }
    const auto found =
        fmt::format("{:04x}:{:04x}, class {:#08x}", pci.vendor, pci.device, pci.class_code);
    if (pci.class_code >> 16 == BridgeClass || pci.header_type != 0) {
        return failed(Id, found + ", a bridge",
                      "name the accelerator's function, not a port or switch above it");
    }
    // An accelerator may say that it is memory, too: what tells them apart is CXL.cache.
    if (pci.class_code >> 8 == CxlMemoryClass && !has_cache(pci)) {
        return failed(Id, found + ", a CXL memory device (Type 3)",
                      "Type-3 memory is the host's own: give it to a guest as a memory backend "
                      "of QEMU's cxl-type3");
    }
    return ok(Id, found);
}

Check check_dvsec(const DeviceFacts &device) {
    constexpr const char *Id = "cxl-dvsec";
    const auto &pci = *device.pci;
    if (!pci.cxl) {
        if (pci.config_size <= pci::ExtendedStart) {
            return failed(
                Id,
                fmt::format("only {} bytes of configuration space can be read", pci.config_size),
                "call again as root");
        }
        if (is_grace_gpu(device)) {
            return failed(Id, "no CXL Device DVSEC: a GPU of a Grace host",
                          "its memory is no CXL.mem: bound to nvgrace-gpu-vfio-pci it is a BAR, "
                          "which a plain -device vfio-pci, with -object acpi-generic-initiator, "
                          "gives to a guest");
        }
        return failed(Id, "no CXL Device DVSEC",
                      "this is a plain PCI device, or its link trained as PCIe: look for CXL in "
                      "the firmware's set-up, and at LnkSta of the port above it");
    }
    const auto capability = pci.cxl->capability;
    if ((capability & MemCapable) == 0) {
        return failed(Id, fmt::format("capability {:#06x}: not CXL.mem capable", capability),
                      "a device without CXL.mem (Type 1) has no memory to assign: use vfio-pci as "
                      "for any PCI device");
    }
    if (!has_cache(pci)) {
        return warning(Id, fmt::format("capability {:#06x}: CXL.mem without CXL.cache", capability),
                       "not what a Type-2 device says; make sure that this is the function meant");
    }
    return ok(Id, fmt::format("capability {:#06x}: CXL.cache and CXL.mem", capability));
}

Check check_registers(const DeviceFacts &device) {
    constexpr const char *Id = "component-registers";
    const auto &pci = *device.pci;
    if (!pci.component) {
        if (pci.config_size <= pci::ExtendedStart) {
            return skipped(Id, "needs extended configuration space");
        }
        if (pci.cxl && !pci.has_locator &&
            (pci.cxl->revision == 0 || pci.root_complex_integrated)) {
            return failed(
                Id,
                fmt::format("CXL 1.1{}: they are in the host's RCRB",
                            pci.root_complex_integrated ? ", root-complex integrated" : ""),
                "not supported: the kernel's VFIO and QEMU want a CXL 2.0 device behind "
                "a root port, whose registers are in a BAR. Some have a mode for it");
        }
        return failed(Id, "no component registers in a Register Locator DVSEC",
                      "the kernel finds no decoder in such a device; ask its vendor for firmware "
                      "that locates them");
    }
    const auto &place = *pci.component;
    const auto found = fmt::format("BAR {}, offset {:#x}", place.bar, place.offset);
    if (place.bar >= pci::BarCount) {
        return failed(Id, found, "a BAR is 0 to 5: the device's firmware is at fault");
    }
    if (pci.bars.size() <= place.bar) {
        return skipped(Id, found + "; where that BAR is was not recorded");
    }
    if (pci.bars[place.bar] == 0) {
        return failed(Id, found + ", which has no address",
                      "the host could not place the BAR: enable \"Above 4G decoding\" and large "
                      "BARs in the firmware's set-up, or boot Linux with pci=realloc");
    }
    if (!fits(place.offset, 0x10000, pci.bars[place.bar])) {
        return failed(
            Id, fmt::format("{}, beyond the BAR's {}", found, format_size(pci.bars[place.bar])),
            "the device's firmware is at fault");
    }
    return ok(Id, fmt::format("{} of {}", found, format_size(pci.bars[place.bar])));
}

Check check_ranges(const DeviceFacts &device) {
    constexpr const char *Id = "memory-ranges";
    const auto &pci = *device.pci;
    if (!pci.cxl) {
        return skipped(Id, "no CXL Device DVSEC");
    }
    // VFIO keeps a device that nobody has open in D3hot, or with memory space off; its memory need
    // not be active then.
    const bool in_d3 = pci.power_state.starts_with("D3");
    const bool asleep = in_d3 || !pci.memory_space;
    std::string found;
    for (const auto &range : pci.cxl->ranges) {
        const char *state = !range.valid   ? " (size not valid yet)"
                            : range.active ? ""
                            : in_d3        ? " (not active in D3)"
                            : asleep       ? " (not active while memory space is off)"
                                           : " (not active yet)";
        found += fmt::format("{}{}{}", found.empty() ? "" : ", ", format_size(range.size), state);
    }
    const bool usable =
        std::all_of(pci.cxl->ranges.begin(), pci.cxl->ranges.end(), [asleep](const auto &range) {
            return range.valid && (range.active || asleep);
        });
    if (pci.cxl->ranges.empty() || dvsec_size(device) == 0 || !usable) {
        return failed(Id, found.empty() ? "none" : found,
                      "the device has not initialised its memory: wait, reset it, or load its "
                      "firmware with the vendor's driver first");
    }
    if ((pci.cxl->control & MemEnable) == 0) {
        return warning(Id, found + "; CXL.mem not enabled",
                       "the host's firmware has left the memory alone; where it can commit it, "
                       "have it do so");
    }
    return ok(Id, found + ", CXL.mem enabled");
}

} // namespace

bool is_silent(const DeviceFacts &device) {
    return device.pci && device.pci->vendor == 0xffff;
}

std::vector<Check> check_config(const DeviceFacts &device) {
    std::vector<Check> checks;
    if (device.pci) {
        for (auto *check : {check_class, check_dvsec, check_registers, check_ranges}) {
            checks.push_back(check(device));
        }
    }
    return checks;
}

} // namespace type2::preflight
