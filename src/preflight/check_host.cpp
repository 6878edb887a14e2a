// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/bytes.h"
#include "base/size.h"
#include "preflight/address_space.h"
#include "preflight/check.h"

#include <algorithm>
#include <fmt/format.h>

namespace type2::preflight {

namespace {

bool by_kernel(const DeviceFacts &device) {
    return device.socket.empty();
}

bool any_by_kernel(const Facts &facts) {
    return std::any_of(facts.devices.begin(), facts.devices.end(), by_kernel);
}

/// The host's own use of memory; nothing where it is only named after what it is.
std::string owner_in(const IomemRange &range) {
    const auto &name = range.name;
    return name.starts_with("System RAM") || name.starts_with("dax") || name.starts_with("hmem")
               ? name
               : std::string();
}

Check check_owner(const DeviceFacts &device, const HostFacts &host) {
    constexpr const char *Id = "memory-owner";
    if (!by_kernel(device)) {
        return skipped(Id, "the memory is a file of the vfio-user server");
    }
    if (!device.pci || !device.pci->cxl) {
        return skipped(Id, "where the memory is is not known");
    }
    if (host.iomem.empty()) {
        return skipped(Id, "/proc/iomem shows addresses to root only, or was not recorded");
    }
    std::string owners;
    bool soft = false;
    bool placed = false;
    for (const auto &memory : device.pci->cxl->ranges) {
        if (memory.base == 0 || memory.size == 0) {
            continue;
        }
        placed = true;
        for (const auto &range : host.iomem) {
            const auto size = range.last - range.first + 1;
            if (!overlaps(memory.base, memory.size, range.first, size)) {
                continue;
            }
            soft = soft || range.name == "Soft Reserved";
            if (const auto owner = owner_in(range); !owner.empty()) {
                owners += fmt::format("{}{:#x}-{:#x} {}", owners.empty() ? "" : ", ", range.first,
                                      range.last, owner);
            }
        }
    }
    if (!placed) {
        return skipped(Id, "the device's ranges have no addresses yet");
    }
    if (owners.find("System RAM") != std::string::npos) {
        return failed(Id, owners + ": the host uses it as its own RAM",
                      "take it out (daxctl offline-memory and daxctl destroy-device, where it came "
                      "by dax), and boot with modprobe.blacklist=dax_hmem,kmem; where firmware "
                      "reports it as plain memory, have it report Specific Purpose Memory or none");
    }
    if (!owners.empty()) {
        return failed(Id, owners + ": the host's dax driver has it",
                      "modprobe -r kmem device_dax dax_hmem, and boot with "
                      "modprobe.blacklist=dax_hmem");
    }
    if (soft) {
        return warning(Id, "Soft Reserved, and nobody's so far",
                       "dax_hmem takes such memory where it is loaded first: boot with "
                       "modprobe.blacklist=dax_hmem");
    }
    return ok(Id, "not the host's");
}

Check check_type(const DeviceFacts &device, const HostFacts &host) {
    constexpr const char *Id = "memory-type";
    if (!by_kernel(device)) {
        return skipped(Id, "the memory is a file of the vfio-user server");
    }
    if (!host.kvm) {
        return skipped(Id, "no KVM");
    }
    if (host.arch == "aarch64") {
        if (!host.cacheable) {
            return skipped(Id, "whether KVM maps the memory cacheable was not recorded");
        }
        return *host.cacheable
                   ? ok(Id, "KVM maps it cacheable")
                   : failed(Id, "KVM does not map it cacheable",
                            "KVM refuses the memory then, and QEMU ends when the guest turns it "
                            "on: it takes CPUs with S2FWB and CTR_EL0.DIC, and a kernel whose KVM "
                            "has KVM_CAP_ARM_CACHEABLE_PFNMAP_SUPPORTED (6.17)");
    }
    if (host.cpu_vendor == "GenuineIntel") {
        return warning(Id, "KVM maps it uncached on an Intel host",
                       "memory without pages of the kernel's own is MMIO to KVM there, whatever "
                       "the guest's page tables say: one or two orders of magnitude slower than "
                       "RAM, unless the kernel's driver gives it pages that are mapped write-back");
    }
    if (host.cpu_vendor.empty()) {
        return skipped(Id, "the CPU's vendor is not known");
    }
    return ok(Id, "the guest's page tables decide");
}

Check check_bits(const Facts &facts, const Plan &plan) {
    constexpr const char *Id = "address-bits";
    if (plan.phys_bits == 0) {
        return skipped(Id, "the window's size is not known");
    }
    const auto found = fmt::format(
        "{} needed for {} and {} of RAM", plan.phys_bits,
        plan.devices.size() == 1
            ? fmt::format("a window of {}", format_size(plan.windows))
            : fmt::format("{} windows of {}", plan.devices.size(), format_size(plan.windows)),
        format_size(plan.ram));
    constexpr unsigned Emulated = 52;
    const auto have = plan.kvm ? facts.host.phys_bits : std::optional(Emulated);
    if (!have) {
        return skipped(Id, found + "; say what the host has with --phys-bits");
    }
    const auto compared =
        fmt::format("{}, {} {}", found, *have, plan.kvm ? "with KVM" : "emulated");
    if (plan.phys_bits > *have) {
        return failed(Id, compared,
                      "less RAM may help; else a host whose CPUs have more physical address bits");
    }
    return ok(Id, compared);
}

Check check_bars(const Facts &facts, const Plan &plan) {
    constexpr const char *Id = "large-bars";
    std::uint64_t largest = 0;
    for (const auto &device : facts.devices) {
        for (const auto size : bars_of(device)) {
            largest = std::max(largest, size);
        }
    }
    if (largest == 0) {
        return skipped(Id, "the sizes of the BARs are not known");
    }
    const auto found = fmt::format("the largest has {}; {} for 64-bit BARs", format_size(largest),
                                   format_size(plan.pci_space));
    if (!plan.large_bars) {
        return ok(Id, found + ", as the machine has by itself");
    }
    return ok(Id,
              found + (plan.arch == "x86_64" ? ", as below, for SeaBIOS and OVMF" : ", as below"));
}

Check check_huge_pages(const Facts &facts) {
    constexpr const char *Id = "huge-pages";
    if (!any_by_kernel(facts)) {
        return skipped(Id, "the memory is a file of the vfio-user server");
    }
    if (facts.host.huge_pages.empty()) {
        return skipped(Id, "transparent_hugepage/enabled is not there");
    }
    std::string_view choice = facts.host.huge_pages;
    if (const auto from = choice.find('['); from != std::string_view::npos) {
        choice = choice.substr(from + 1, choice.find(']') - from - 1);
    }
    if (choice != "always") {
        return warning(Id, fmt::format("transparent_hugepage: {}", choice),
                       "the kernel then maps device memory in 4 KiB pages: echo always > "
                       "/sys/kernel/mm/transparent_hugepage/enabled");
    }
    // What the kernel can map at once is bounded by the alignment of the memory itself.
    const bool gigabyte =
        std::all_of(facts.devices.begin(), facts.devices.end(), [](const DeviceFacts &device) {
            const auto *cxl = device.pci && device.pci->cxl ? &*device.pci->cxl : nullptr;
            return cxl != nullptr && !cxl->ranges.empty() &&
                   std::all_of(cxl->ranges.begin(), cxl->ranges.end(), [](const auto &r) {
                       return r.base % GiB == 0 && r.size % GiB == 0;
                   });
        });
    return ok(Id, fmt::format("transparent_hugepage: always; the memory is aligned for pages of {}",
                              gigabyte ? "1G" : "2M"));
}

Check check_memlock(const Facts &facts, const Plan &plan) {
    constexpr const char *Id = "locked-memory";
    if (!any_by_kernel(facts)) {
        return skipped(Id, "vfio-user pins nothing");
    }
    const auto &limit = facts.host.memlock;
    if (!limit) {
        return skipped(Id, "the limit of whoever runs QEMU was not recorded");
    }
    if (*limit == UINT64_MAX) {
        return ok(Id, "no limit");
    }
    const auto found = fmt::format("limit {}, {} of guest RAM will be pinned", format_size(*limit),
                                   format_size(plan.ram));
    // BARs and firmware are mapped, too.
    if (*limit < plan.ram + GiB) {
        return warning(Id, found,
                       "ulimit -l unlimited for whoever runs QEMU; root and libvirt's hard_limit "
                       "are not bound by it");
    }
    return ok(Id, found);
}

} // namespace

std::vector<Check> check_memory(const DeviceFacts &device, const HostFacts &host) {
    return {check_owner(device, host), check_type(device, host)};
}

std::vector<Check> check_host(const Facts &facts, const Plan &plan) {
    return {check_bits(facts, plan), check_bars(facts, plan), check_huge_pages(facts),
            check_memlock(facts, plan)};
}

} // namespace type2::preflight
