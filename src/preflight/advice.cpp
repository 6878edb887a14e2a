// SPDX-License-Identifier: GPL-2.0-or-later
#include "preflight/advice.h"

#include "base/size.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace type2::preflight {

namespace {

constexpr const char *Bridge = "pxb-cxl,id=cxl.0,bus=pcie.0,bus_nr=12";
// Decoders of the bridge are for QEMU to commit. A guest would have to program them, too.
constexpr const char *BridgeDecoders = "hdm_for_passthrough";
constexpr const char *Port = "cxl-rp,id=rp0,bus=cxl.0,chassis=0,slot=0";

bool is_arm(const Facts &facts) {
    return facts.host.arch == "aarch64";
}

bool is_socket(const Facts &facts) {
    return !facts.socket.empty();
}

bool needs_iommufd(const Facts &facts) {
    return !is_socket(facts) && facts.binding && facts.binding->iommufd;
}

std::string window_options(const Report &report, const char *bridge) {
    return fmt::format("cxl=on,cxl-fmw.0.targets.0={},cxl-fmw.0.size={}", bridge,
                       format_size(report.window));
}

constexpr const char *Mode = "x-cxl-decoders";
constexpr const char *Name = "gpu0"; // for the monitor
constexpr const char *Iommufd = "iommufd";
constexpr const char *IommufdName = "iommufd0";

std::string iommufd_option() {
    return fmt::format("{},id={}", Iommufd, IommufdName);
}

std::string device_option(const Facts &facts, const Report &report, const char *port) {
    if (!is_socket(facts)) {
        return fmt::format("vfio-pci,id={},host={},bus={}{}{}", Name, facts.address, port,
                           needs_iommufd(facts) ? fmt::format(",{}={}", Iommufd, IommufdName) : "",
                           report.ask_for_it ? fmt::format(",{}=guest", Mode) : "");
    }
    nlohmann::ordered_json device;
    device["driver"] = "vfio-user-pci";
    device["id"] = Name;
    device["bus"] = port;
    device["socket"] = {{"type", "unix"}, {"path", facts.socket}};
    if (report.ask_for_it) {
        device[Mode] = "guest";
    }
    return device.dump();
}

/// QEMU's default of 40 address bits on x86 is the only one that can be too few.
bool needs_bits(const Facts &facts, const Report &report) {
    constexpr unsigned Default = 40;
    return !is_arm(facts) && !facts.host.kvm && report.phys_bits > Default;
}

std::string cpu_option(const Facts &facts, const Report &report) {
    if (facts.host.kvm) {
        return is_arm(facts) ? "host" : "host,host-phys-bits=on";
    }
    // Pointer authentication by QARMA costs an emulated guest half its speed.
    return is_arm(facts)               ? "max,pauth-impdef=on"
           : needs_bits(facts, report) ? fmt::format("max,phys-bits={}", report.phys_bits)
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

} // namespace

std::vector<std::string> command_line(const Facts &facts, const Plan &plan, const Report &report) {
    const auto ram = format_size(plan.ram);
    std::vector<std::string> line = {
        fmt::format("qemu-system-{}", facts.host.arch),
        fmt::format("-accel {}", facts.host.kvm ? "kvm" : "tcg"),
        fmt::format("-cpu {}", cpu_option(facts, report)),
        fmt::format("-smp {} -m {}", plan.cpus, ram),
    };
    std::string machine = is_arm(facts) ? "virt,gic-version=3" : "q35";
    if (is_socket(facts)) {
        line.push_back(fmt::format("-object memory-backend-memfd,id=mem,size={},share=on", ram));
        machine += ",memory-backend=mem";
    }
    if (needs_iommufd(facts)) {
        line.push_back("-object " + iommufd_option());
    }
    line.push_back(fmt::format("-M {},{}", machine, window_options(report, "cxl.0")));
    if (is_arm(facts)) {
        line.emplace_back("-bios QEMU_EFI.fd");
    }
    line.push_back(fmt::format("-device {}{}", Bridge,
                               report.guest_mode ? "" : fmt::format(",{}=on", BridgeDecoders)));
    line.push_back(fmt::format("-device {}", Port));
    line.push_back(fmt::format("-device {}", shell_quoted(device_option(facts, report, "rp0"))));
    // The format said, or QEMU guesses it from what a guest wrote; and not on the CXL host bridge.
    line.emplace_back("-drive file=guest.img,format=raw,if=none,id=disk");
    line.emplace_back("-device virtio-blk-pci,drive=disk,bus=pcie.0");
    return line;
}

namespace {

// libvirt knows neither pxb-cxl nor cxl-rp. It is given their relatives for PCIe, which it
// places and names, and told to make them what they have to be.
constexpr const char *Controllers = R"(    <controller type='pci' index='0' model='pcie-root'/>
    <controller type='pci' index='1' model='pcie-expander-bus'>
      <target busNr='12'/>
      <alias name='ua-cxl0'/>
      <address type='pci' bus='0x00' slot='0x08'/>
    </controller>
    <controller type='pci' index='2' model='pcie-root-port'>
      <alias name='ua-rp0'/>
      <address type='pci' bus='0x01' slot='0x00'/>
    </controller>
    <controller type='usb' model='none'/>
)";
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

std::string cpu_element(const Facts &facts, const Report &report) {
    if (facts.host.kvm) {
        return is_arm(facts) ? "  <cpu mode='host-passthrough'/>\n"
                             : "  <cpu mode='host-passthrough'>\n"
                               "    <maxphysaddr mode='passthrough'/>\n"
                               "  </cpu>\n";
    }
    if (needs_bits(facts, report)) {
        return fmt::format("  <cpu mode='maximum'>\n"
                           "    <maxphysaddr mode='emulate' bits='{}'/>\n"
                           "  </cpu>\n",
                           report.phys_bits);
    }
    return "  <cpu mode='maximum'/>\n";
}

/// The address as parse_address() makes it.
std::string hostdev(const std::string &address) {
    return fmt::format("    <hostdev mode='subsystem' type='pci' managed='no'>\n"
                       "      <driver name='vfio'/>\n"
                       "      <source>\n"
                       "        <address domain='0x{}' bus='0x{}' slot='0x{}' function='0x{}'/>\n"
                       "      </source>\n"
                       "      <alias name='ua-gpu0'/>\n"
                       "      <address type='pci' bus='0x02' slot='0x00'/>\n"
                       "    </hostdev>\n",
                       address.substr(0, 4), address.substr(5, 2), address.substr(8, 2),
                       address.substr(11, 1));
}

std::string property(const char *name, const char *type, const char *value) {
    return fmt::format("        <qemu:property name='{}' type='{}' value='{}'/>\n", name, type,
                       value);
}

std::string override_of(const char *alias, const std::string &properties) {
    return fmt::format("    <qemu:device alias='{}'>\n"
                       "      <qemu:frontend>\n"
                       "{}"
                       "      </qemu:frontend>\n"
                       "    </qemu:device>\n",
                       alias, properties);
}

std::string overrides(const Facts &facts, const Report &report) {
    auto bridge = property("driver", "string", "pxb-cxl");
    bridge += report.guest_mode ? std::string() : property(BridgeDecoders, "bool", "true");
    auto xml = override_of("ua-cxl0", bridge);
    xml += override_of("ua-rp0", property("driver", "string", "cxl-rp"));
    std::string device;
    if (needs_iommufd(facts)) {
        device += property(Iommufd, "string", IommufdName);
    }
    if (report.ask_for_it && !is_socket(facts)) {
        device += property(Mode, "string", "guest");
    }
    xml += device.empty() ? device : override_of("ua-gpu0", device);
    return "  <qemu:override>\n" + xml + "  </qemu:override>\n";
}

std::string arg(const std::string &option, const std::string &value) {
    return fmt::format("    <qemu:arg value='{}'/>\n    <qemu:arg value='{}'/>\n", option,
                       escaped(value));
}

} // namespace

std::string libvirt_xml(const Facts &facts, const Plan &plan, const Report &report) {
    const bool arm = is_arm(facts);
    auto xml =
        fmt::format("<domain type='{}' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>\n"
                    "  <name>cxl-type2</name>\n"
                    "  <memory unit='KiB'>{}</memory>\n",
                    facts.host.kvm ? "kvm" : "qemu", plan.ram / KiB);
    xml += is_socket(facts) ? SharedMemory : "";
    xml += fmt::format("  <vcpu>{}</vcpu>\n"
                       "  <os>\n"
                       "    <type arch='{}' machine='{}'>hvm</type>\n",
                       plan.cpus, facts.host.arch, arm ? "virt" : "q35");
    xml += arm ? ArmFirmware : "";
    xml += "  </os>\n"
           "  <features>\n"
           "    <acpi/>\n";
    xml += arm ? "    <gic version='3'/>\n" : "";
    xml += "  </features>\n";
    xml += cpu_element(facts, report);
    xml += fmt::format("  <devices>\n"
                       "    <emulator>/usr/local/bin/qemu-system-{}</emulator>\n",
                       facts.host.arch);
    xml += Controllers;
    xml += is_socket(facts) ? std::string() : hostdev(facts.address);
    xml += Disk;
    xml += "  </devices>\n"
           "  <qemu:commandline>\n";
    xml += arg("-machine", window_options(report, "ua-cxl0"));
    if (arm && !facts.host.kvm) {
        xml += arg("-global", "max-arm-cpu.pauth-impdef=on");
    }
    if (needs_iommufd(facts)) {
        xml += arg("-object", iommufd_option());
    }
    if (is_socket(facts)) {
        xml += arg("-device", device_option(facts, report, "ua-rp0"));
    }
    xml += "  </qemu:commandline>\n";
    xml += overrides(facts, report);
    return xml + "</domain>\n";
}

} // namespace type2::preflight
