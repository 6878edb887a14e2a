// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/size.h"
#include "pci/address.h"
#include "preflight/command_line.h"

#include <fmt/format.h>

namespace type2::preflight {

namespace {

std::string escaped(const std::string &text) {
    std::string xml;
    for (const char c : text) {
        switch (c) {
        case '&':
            xml += "&amp;";
            break;
        case '<':
            xml += "&lt;";
            break;
        case '>':
            xml += "&gt;";
            break;
        case '\'':
            xml += "&apos;";
            break;
        default:
            xml += c;
        }
    }
    return xml;
}

constexpr const char *ArmFirmware =
    R"(    <loader readonly='yes' type='pflash'>/usr/share/AAVMF/AAVMF_CODE.fd</loader>
    <nvram template='/usr/share/AAVMF/AAVMF_VARS.fd'/>
)";
constexpr const char *Disk = R"(    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/>
      <source file='/var/lib/libvirt/images/guest.img'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <serial type='pty'/>
    <memballoon model='none'/>
)";
constexpr const char *SharedMemory = R"(  <memoryBacking>
    <source type='memfd'/>
    <access mode='shared'/>
  </memoryBacking>
)";

/// libvirt's alias for what QEMU calls `id`; a dot is none of its characters.
std::string alias(const std::string &id) {
    std::string name = "ua-";
    for (const char c : id) {
        if (c != '.') {
            name += c;
        }
    }
    return name;
}

/// Places for the controllers: two for each device, from 1 on.
std::size_t bridge_index(std::size_t device) {
    return 1 + 2 * device;
}

// libvirt knows neither pxb-cxl nor cxl-rp. It is given their relatives for PCIe, which it
// places and names, and told to make them what they have to be.
std::string controllers(const Plan &plan) {
    std::string xml = "    <controller type='pci' index='0' model='pcie-root'/>\n";
    constexpr unsigned FirstSlot = 8;
    for (std::size_t i = 0; i < plan.devices.size(); ++i) {
        const auto &device = plan.devices[i];
        const auto index = bridge_index(i);
        xml += fmt::format("    <controller type='pci' index='{}' model='pcie-expander-bus'>\n"
                           "      <target busNr='{}'/>\n"
                           "      <alias name='{}'/>\n"
                           "      <address type='pci' bus='0x00' slot='{:#04x}'/>\n"
                           "    </controller>\n"
                           "    <controller type='pci' index='{}' model='pcie-root-port'>\n"
                           "      <alias name='{}'/>\n"
                           "      <address type='pci' bus='{:#04x}' slot='0x00'/>\n"
                           "    </controller>\n",
                           index, device.bus, alias(device.bridge), FirstSlot + i, index + 1,
                           alias(device.port), index);
    }
    return xml + "    <controller type='usb' model='none'/>\n";
}

std::string numa_cells(const Plan &plan) {
    return plan.numa ? fmt::format("    <numa>\n"
                                   "      <cell id='0' cpus='0-{}' memory='{}' unit='KiB'{}/>\n"
                                   "    </numa>\n",
                                   plan.cpus - 1, plan.ram / KiB,
                                   plan.shared_ram ? " memAccess='shared'" : "")
                     : std::string();
}

std::string cpu_element(const Plan &plan) {
    const auto *mode = plan.kvm ? "host-passthrough" : "maximum";
    std::string inside;
    if (plan.kvm && !is_arm(plan)) {
        inside = "    <maxphysaddr mode='passthrough'/>\n";
    } else if (needs_bits(plan)) {
        inside = fmt::format("    <maxphysaddr mode='emulate' bits='{}'/>\n", plan.phys_bits);
    }
    inside += numa_cells(plan);
    return inside.empty() ? fmt::format("  <cpu mode='{}'/>\n", mode)
                          : fmt::format("  <cpu mode='{}'>\n{}  </cpu>\n", mode, inside);
}

std::string hostdev(const DeviceFacts &device, const DevicePlan &plan, std::size_t number) {
    const auto address = pci::parse_address(device.address).value_or(pci::Address{});
    return fmt::format("    <hostdev mode='subsystem' type='pci' managed='no'>\n"
                       "      <driver name='vfio'/>\n"
                       "      <source>\n"
                       "        <address domain='{:#06x}' bus='{:#04x}' slot='{:#04x}' "
                       "function='{:#x}'/>\n"
                       "      </source>\n"
                       "      <alias name='{}'/>\n"
                       "      <address type='pci' bus='{:#04x}' slot='0x00'/>\n"
                       "    </hostdev>\n",
                       address.domain, address.bus, address.slot, address.function,
                       alias(plan.name), bridge_index(number) + 1);
}

std::string property(const char *name, const char *type, const char *value) {
    return fmt::format("        <qemu:property name='{}' type='{}' value='{}'/>\n", name, type,
                       value);
}

std::string override_of(const std::string &alias, const std::string &properties) {
    return fmt::format("    <qemu:device alias='{}'>\n"
                       "      <qemu:frontend>\n"
                       "{}"
                       "      </qemu:frontend>\n"
                       "    </qemu:device>\n",
                       alias, properties);
}

std::string overrides(const Facts &facts, const Plan &plan) {
    std::string xml;
    for (std::size_t i = 0; i < plan.devices.size(); ++i) {
        const auto &planned = plan.devices[i];
        auto bridge = property("driver", "string", "pxb-cxl");
        bridge +=
            planned.guest_mode ? std::string() : property(BridgeDecodersOption, "bool", "true");
        xml += override_of(alias(planned.bridge), bridge);
        xml += override_of(alias(planned.port), property("driver", "string", "cxl-rp"));
        std::string device;
        if (needs_iommufd(facts.devices[i])) {
            device += property(IommufdOption, "string", IommufdName);
        }
        if (planned.ask_for_it && facts.devices[i].socket.empty()) {
            device += property(ModeOption, "string", "guest");
        }
        xml += device.empty() ? device : override_of(alias(planned.name), device);
    }
    return "  <qemu:override>\n" + xml + "  </qemu:override>\n";
}

std::string arg(const std::string &option, const std::string &value) {
    return fmt::format("    <qemu:arg value='{}'/>\n    <qemu:arg value='{}'/>\n", option,
                       escaped(value));
}

/// What libvirt has no words for.
std::string extra_arguments(const Facts &facts, const Plan &plan) {
    auto machine = window_options(plan, alias);
    std::string xml;
    if (plan.large_bars && is_arm(plan)) {
        machine += ",highmem-mmio-size=" + format_size(plan.pci_space);
    }
    xml += arg("-machine", machine);
    if (is_arm(plan) && !plan.kvm) {
        xml += arg("-global", "max-arm-cpu.pauth-impdef=on");
    }
    for (const auto &[option, value] : room_for_bars(plan)) {
        xml += arg(option, value);
    }
    if (plan.iommufd) {
        xml += arg("-object", fmt::format("{},id={}", IommufdOption, IommufdName));
    }
    for (std::size_t i = 0; i < plan.devices.size(); ++i) {
        if (!facts.devices[i].socket.empty()) {
            xml += arg("-device", device_option(facts.devices[i], plan.devices[i],
                                                alias(plan.devices[i].port)));
        }
    }
    return "  <qemu:commandline>\n" + xml + "  </qemu:commandline>\n";
}

} // namespace

std::string libvirt_xml(const Facts &facts, const Plan &plan) {
    const bool arm = is_arm(plan);
    auto xml =
        fmt::format("<domain type='{}' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>\n"
                    "  <name>cxl-type2</name>\n"
                    "  <memory unit='KiB'>{}</memory>\n",
                    plan.kvm ? "kvm" : "qemu", plan.ram / KiB);
    xml += plan.shared_ram ? SharedMemory : "";
    xml += fmt::format("  <vcpu>{}</vcpu>\n"
                       "  <os>\n"
                       "    <type arch='{}' machine='{}'>hvm</type>\n",
                       plan.cpus, plan.arch, arm ? "virt" : "q35");
    xml += arm ? ArmFirmware : "";
    xml += "  </os>\n"
           "  <features>\n"
           "    <acpi/>\n";
    xml += arm ? "    <gic version='3'/>\n" : "";
    xml += "  </features>\n";
    xml += cpu_element(plan);
    xml += fmt::format("  <devices>\n"
                       "    <emulator>/usr/local/bin/qemu-system-{}</emulator>\n",
                       plan.arch);
    xml += controllers(plan);
    for (std::size_t i = 0; i < plan.devices.size(); ++i) {
        if (facts.devices[i].socket.empty()) {
            xml += hostdev(facts.devices[i], plan.devices[i], i);
        }
    }
    xml += Disk;
    xml += "  </devices>\n";
    xml += extra_arguments(facts, plan);
    xml += overrides(facts, plan);
    return xml + "</domain>\n";
}

} // namespace type2::preflight
