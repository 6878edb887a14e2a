// SPDX-License-Identifier: GPL-2.0-or-later
#include "preflight/command_line.h"

#include "base/size.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace type2::preflight {

namespace {

std::string cpu_option(const Plan &plan) {
    if (plan.kvm) {
        return is_arm(plan) ? "host" : "host,host-phys-bits=on";
    }
    // Pointer authentication by QARMA costs an emulated guest half its speed.
    return is_arm(plan)       ? "max,pauth-impdef=on"
           : needs_bits(plan) ? fmt::format("max,phys-bits={}", plan.phys_bits)
                              : "max";
}

std::string shell_quoted(const std::string &word) {
    const bool plain = word.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                              "0123456789_./,:=+-") == std::string::npos;
    if (plain) {
        return word;
    }
    std::string quoted = "'";
    for (const char c : word) {
        if (c == '\'') {
            quoted += "'\\''";
        } else {
            quoted += c;
        }
    }
    return quoted + "'";
}

std::string as_it_is(const std::string &id) {
    return id;
}

/// RAM that a device reaches by file, or that belongs to a node, is an object of its own.
void add_memory(const Plan &plan, std::vector<std::string> &line, std::string &machine) {
    if (!plan.shared_ram && !plan.numa) {
        return;
    }
    line.push_back(fmt::format("-object {},id=mem,size={}",
                               plan.shared_ram ? "memory-backend-memfd" : "memory-backend-ram",
                               format_size(plan.ram)) +
                   (plan.shared_ram ? ",share=on" : ""));
    if (!plan.numa) {
        machine += ",memory-backend=mem";
        return;
    }
    // A machine with nodes has its RAM from them, and takes no memory-backend.
    line.push_back(plan.cpus == 1
                       ? std::string("-numa node,nodeid=0,memdev=mem,cpus=0")
                       : fmt::format("-numa node,nodeid=0,memdev=mem,cpus=0-{}", plan.cpus - 1));
    line.emplace_back("-numa node,nodeid=1");
}

} // namespace

bool is_arm(const Plan &plan) {
    return plan.arch == "aarch64";
}

bool needs_iommufd(const DeviceFacts &device) {
    return device.socket.empty() && device.binding && device.binding->iommufd;
}

std::string window_options(const Plan &plan, std::string (*name)(const std::string &id)) {
    std::string options = "cxl=on";
    for (std::size_t i = 0; i < plan.devices.size(); ++i) {
        options += fmt::format(",cxl-fmw.{0}.targets.0={1},cxl-fmw.{0}.size={2}", i,
                               name(plan.devices[i].bridge), format_size(plan.devices[i].window));
    }
    return options;
}

std::string device_option(const DeviceFacts &device, const DevicePlan &plan,
                          const std::string &port) {
    if (device.socket.empty()) {
        return fmt::format("vfio-pci,id={},host={},bus={}{}{}", plan.name, device.address, port,
                           needs_iommufd(device) ? fmt::format(",{}={}", IommufdOption, IommufdName)
                                                 : "",
                           plan.ask_for_it ? fmt::format(",{}=guest", ModeOption) : "");
    }
    nlohmann::ordered_json option;
    option["driver"] = "vfio-user-pci";
    option["id"] = plan.name;
    option["bus"] = port;
    option["socket"] = {{"type", "unix"}, {"path", device.socket}};
    if (plan.ask_for_it) {
        option[ModeOption] = "guest";
    }
    return option.dump();
}

bool needs_bits(const Plan &plan) {
    // QEMU's default on x86; on Arm it is the CPU that has them.
    constexpr unsigned Default = 40;
    return !is_arm(plan) && !plan.kvm && plan.phys_bits > Default;
}

std::vector<std::pair<std::string, std::string>> room_for_bars(const Plan &plan) {
    if (!plan.large_bars || is_arm(plan)) {
        return {};
    }
    // The first is for QEMU and SeaBIOS, the second, in MiB, for OVMF.
    return {
        {"-global", fmt::format("q35-pcihost.pci-hole64-size={}", format_size(plan.pci_space))},
        {"-fw_cfg", fmt::format("name=opt/ovmf/X-PciMmio64Mb,string={}", plan.pci_space / MiB)}};
}

std::vector<std::string> command_line(const Facts &facts, const Plan &plan) {
    std::vector<std::string> line = {
        fmt::format("qemu-system-{}", plan.arch),
        fmt::format("-accel {}", plan.kvm ? "kvm" : "tcg"),
        fmt::format("-cpu {}", cpu_option(plan)),
        fmt::format("-smp {} -m {}", plan.cpus, format_size(plan.ram)),
    };
    std::string machine = is_arm(plan) ? "virt,gic-version=3" : "q35";
    if (plan.large_bars && is_arm(plan)) {
        machine += ",highmem-mmio-size=" + format_size(plan.pci_space);
    }
    add_memory(plan, line, machine);
    if (plan.iommufd) {
        line.push_back(fmt::format("-object {},id={}", IommufdOption, IommufdName));
    }
    line.push_back(fmt::format("-M {},{}", machine, window_options(plan, as_it_is)));
    if (is_arm(plan)) {
        line.emplace_back("-bios QEMU_EFI.fd");
    }
    for (const auto &[option, value] : room_for_bars(plan)) {
        line.push_back(fmt::format("{} {}", option, value));
    }
    for (std::size_t i = 0; i < plan.devices.size(); ++i) {
        const auto &device = plan.devices[i];
        line.push_back(
            fmt::format("-device pxb-cxl,id={},bus=pcie.0,bus_nr={}{}{}", device.bridge, device.bus,
                        plan.numa ? ",numa_node=1" : "",
                        device.guest_mode ? "" : fmt::format(",{}=on", BridgeDecodersOption)));
        line.push_back(fmt::format("-device cxl-rp,id={},bus={},chassis={},slot={}", device.port,
                                   device.bridge, device.chassis, device.slot));
        line.push_back(fmt::format(
            "-device {}", shell_quoted(device_option(facts.devices[i], device, device.port))));
    }
    // The format said, or QEMU guesses it from what a guest wrote; and not on the CXL host bridge.
    line.emplace_back("-drive file=guest.img,format=raw,if=none,id=disk");
    line.emplace_back("-device virtio-blk-pci,drive=disk,bus=pcie.0");
    return line;
}

} // namespace type2::preflight
