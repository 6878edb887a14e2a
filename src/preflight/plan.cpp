// SPDX-License-Identifier: GPL-2.0-or-later
#include "preflight/plan.h"

#include "preflight/address_space.h"
#include "preflight/decoders.h"

#include <algorithm>
#include <fmt/format.h>

namespace type2::preflight {

namespace {

// Of the machine's 256 bus numbers pcie.0 keeps those below the first bridge's. Each bridge needs
// one for itself and one for its port; what is left between two is for what is plugged in later.
// Adjacent numbers leave a bridge's port none, and Linux 7.3 does not survive that.
constexpr unsigned FirstBus = 12;
constexpr unsigned BusesEach = 4;

void place_memory(const DeviceFacts &device, DevicePlan &plan) {
    // What the device says, until the kernel says which part of it is decoded.
    plan.window = dvsec_size(device);
    if (!device.vfio) {
        return;
    }
    const auto &vfio = *device.vfio;
    const auto decoders = put_together(vfio);
    switch (decoders.use) {
    case DecoderUse::Unknown:
        return;
    case DecoderUse::Locked:
        plan.window = decoders.size;
        return;
    case DecoderUse::TooMany:
        plan.ask_for_it = true;
        break;
    case DecoderUse::Uncommitted:
    case DecoderUse::NotByFirmware:
        break;
    }
    // The guest can have all of the memory.
    plan.guest_mode = true;
    plan.window = vfio.memory ? vfio.memory->size : 0;
}

DevicePlan place(const DeviceFacts &device, unsigned number) {
    DevicePlan plan;
    place_memory(device, plan);
    plan.bridge = fmt::format("cxl.{}", number);
    plan.port = fmt::format("rp{}", number);
    plan.name = fmt::format("gpu{}", number);
    plan.bus = FirstBus + BusesEach * number;
    // A chassis number names one root port in the whole machine, a slot number one in its chassis.
    plan.chassis = number;
    plan.slot = number;
    return plan;
}

} // namespace

std::vector<std::uint64_t> bars_of(const DeviceFacts &device) {
    std::vector<std::uint64_t> sizes;
    if (device.pci) {
        std::copy_if(device.pci->bars.begin(), device.pci->bars.end(), std::back_inserter(sizes),
                     [](std::uint64_t size) { return size != 0; });
    }
    return sizes;
}

std::uint64_t dvsec_size(const DeviceFacts &device) {
    std::uint64_t size = 0;
    if (device.pci && device.pci->cxl) {
        for (const auto &range : device.pci->cxl->ranges) {
            size += range.valid ? range.size : 0;
        }
    }
    return size;
}

Plan make_plan(const Facts &facts, const Wish &wish) {
    Plan plan;
    plan.arch = facts.host.arch;
    plan.kvm = facts.host.kvm;
    plan.ram = wish.ram;
    plan.cpus = wish.cpus;
    plan.numa = wish.numa;
    std::vector<std::uint64_t> bars;
    bool all_known = true;
    for (const auto &device : facts.devices) {
        plan.devices.push_back(place(device, static_cast<unsigned>(plan.devices.size())));
        plan.windows += plan.devices.back().window;
        all_known = all_known && plan.devices.back().window != 0;
        plan.shared_ram = plan.shared_ram || !device.socket.empty();
        plan.iommufd =
            plan.iommufd || (device.socket.empty() && device.binding && device.binding->iommufd);
        const auto more = bars_of(device);
        bars.insert(bars.end(), more.begin(), more.end());
    }
    plan.pci_space = needed_pci_space(plan.arch, bars);
    plan.large_bars = plan.pci_space > default_pci_space(plan.arch);
    if (!all_known) {
        plan.windows = 0;
        return plan;
    }
    // QEMU's emulated CPUs are AMD's by name.
    const bool amd = !plan.kvm || facts.host.cpu_vendor == "AuthenticAMD";
    plan.phys_bits = needed_bits({plan.arch, plan.ram, plan.windows, plan.pci_space, amd});
    return plan;
}

} // namespace type2::preflight
