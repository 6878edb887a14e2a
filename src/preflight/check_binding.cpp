// SPDX-License-Identifier: GPL-2.0-or-later
#include "preflight/check.h"

#include <algorithm>
#include <fmt/format.h>

namespace type2::preflight {

namespace {

constexpr const char *GenericModule = "vfio_pci";

bool is_vfio_driver(const std::string &name) {
    return name == "vfio-pci" || name.ends_with("-vfio-pci") || name.ends_with("_vfio_pci");
}

/// What binds the device to the driver that it needs.
std::string how_to_bind(const DeviceFacts &device) {
    const auto &module = device.binding->module;
    const auto probe = fmt::format("echo {} > /sys/bus/pci/drivers_probe", device.address);
    if (module.empty() || module == GenericModule) {
        return fmt::format("modprobe vfio-pci; echo vfio-pci > /sys/bus/pci/devices/{}/"
                           "driver_override; {}",
                           device.address, probe);
    }
    // The name of a module's driver is known when the module is there.
    return fmt::format("modprobe {0}; basename /sys/module/{0}/drivers/pci:* | cut -d: -f2 > "
                       "/sys/bus/pci/devices/{1}/driver_override; {2}",
                       module, device.address, probe);
}

Check check_driver(const DeviceFacts &device) {
    constexpr const char *Id = "driver";
    const auto &binding = *device.binding;
    const auto unbind =
        fmt::format("echo {} > /sys/bus/pci/drivers/{}/unbind; ", device.address, binding.driver);
    if (is_vfio_driver(binding.driver) || !binding.vfio_device.empty()) {
        if (binding.driver == "vfio-pci" && !binding.module.empty() &&
            binding.module != GenericModule) {
            return warning(Id,
                           fmt::format("vfio-pci, and {} is made for this device", binding.module),
                           unbind + how_to_bind(device));
        }
        return ok(Id, binding.driver);
    }
    const bool variant = !binding.module.empty() && binding.module != GenericModule;
    const auto needed = variant ? fmt::format("; {} is made for this device", binding.module) : "";
    if (binding.driver.empty()) {
        return failed(Id, "none" + needed, how_to_bind(device));
    }
    return failed(Id, binding.driver + needed, unbind + how_to_bind(device));
}

/// Leaves the DMA of what is below it to whoever that belongs to (driver_managed_dma).
bool is_port(const GroupMember &member) {
    constexpr std::uint32_t PciBridge = 0x0604;
    return member.class_code >> 8 == PciBridge &&
           (member.driver.empty() || member.driver == "pcieport");
}

/// The group cannot be the guest's while the host's driver has such a member.
bool is_foreign(const GroupMember &member) {
    return !is_port(member) && !member.driver.empty() && !is_vfio_driver(member.driver) &&
           member.driver != "pci-stub";
}

Check check_group(const DeviceFacts &device) {
    constexpr const char *Id = "iommu-group";
    constexpr const char *TurnOn =
        "turn the IOMMU on: VT-d, AMD-Vi or SMMU in the firmware's set-up, and intel_iommu=on on "
        "the kernel's command line of an Intel host";
    const auto &binding = *device.binding;
    if (!binding.group) {
        return failed(Id, "none", TurnOn);
    }
    if (binding.noiommu) {
        return failed(Id, fmt::format("noiommu-{}: VFIO without an IOMMU", *binding.group),
                      fmt::format("QEMU takes no such group; {}, and vfio's "
                                  "enable_unsafe_noiommu_mode off",
                                  TurnOn));
    }
    std::string foreign;
    std::string addresses;
    bool vmd = false;
    for (const auto &other : binding.others) {
        if (is_foreign(other)) {
            const auto *between = foreign.empty() ? "" : ", ";
            foreign += fmt::format("{}{} (driver {})", between, other.address, other.driver);
            addresses += between + other.address;
            vmd = vmd || other.driver == "vmd";
        }
    }
    if (vmd) {
        return failed(Id, fmt::format("{}, shared with {}", *binding.group, foreign),
                      "what is in a domain of Intel VMD reaches memory in VMD's name: turn VMD off "
                      "for its port in the firmware's set-up, and the device has an address of "
                      "its own");
    }
    if (!foreign.empty()) {
        return failed(Id, fmt::format("{}, shared with {}", *binding.group, foreign),
                      fmt::format("bind {} to vfio-pci, too, or move the device to a slot whose "
                                  "ports have ACS",
                                  addresses));
    }
    const auto shared = std::count_if(binding.others.begin(), binding.others.end(),
                                      [](const auto &other) { return !is_port(other); });
    if (shared != 0) {
        return warning(Id, fmt::format("{}, shared with {} more", *binding.group, shared),
                       "none of them can be used by the host while the guest runs");
    }
    return ok(Id, fmt::format("{}, the device alone", *binding.group));
}

Check check_reserved(const DeviceFacts &device) {
    constexpr const char *Id = "reserved-regions";
    const auto &binding = *device.binding;
    if (!binding.group || binding.noiommu) {
        return skipped(Id, "no IOMMU group");
    }
    if (!binding.direct.empty()) {
        return failed(Id, fmt::format("{}", fmt::join(binding.direct, ", ")),
                      "the host's firmware wants these mapped 1:1 for itself (RMRR, IVMD, or RMR "
                      "of an Arm host), and the kernel gives no such device to a guest: turn "
                      "off what uses it in the firmware's set-up (USB legacy, BMC, RAID sharing)");
    }
    return ok(Id, "none that firmware wants mapped 1:1");
}

Check check_node(const DeviceFacts &device) {
    constexpr const char *Id = "vfio-node";
    const auto &binding = *device.binding;
    if (!binding.nodes_recorded) {
        return skipped(Id, "/dev was not recorded");
    }
    if (!binding.group && binding.vfio_device.empty()) {
        return skipped(Id, "no IOMMU group");
    }
    if (binding.noiommu) {
        return skipped(Id, fmt::format("/dev/vfio/noiommu-{} is none that QEMU opens",
                                       binding.group.value_or(0)));
    }
    if (!binding.missing_node.empty()) {
        return failed(Id, binding.missing_node + " is missing",
                      binding.missing_node == "/dev/vfio/vfio"
                          ? "modprobe vfio_iommu_type1"
                          : "it appears when the device is bound to vfio-pci, on a kernel with "
                            "CONFIG_VFIO_GROUP");
    }
    if (!binding.forbidden_node.empty()) {
        return failed(Id, binding.forbidden_node + " cannot be opened by this user",
                      fmt::format("run QEMU as root, or chown {} to the user that runs it",
                                  binding.forbidden_node));
    }
    if (binding.iommufd) {
        return warning(Id, binding.node + ", and no group or no container",
                       "QEMU needs an iommufd then, as below; libvirt 9.0 takes no host device "
                       "without /dev/vfio/vfio");
    }
    return ok(Id, binding.node);
}

} // namespace

std::vector<Check> check_binding(const DeviceFacts &device) {
    std::vector<Check> checks;
    if (!device.binding) {
        for (const char *id : {"driver", "iommu-group", "reserved-regions", "vfio-node"}) {
            checks.push_back(skipped(id, "no host device"));
        }
        return checks;
    }
    for (auto *check : {check_driver, check_group, check_reserved, check_node}) {
        checks.push_back(check(device));
    }
    return checks;
}

} // namespace type2::preflight
