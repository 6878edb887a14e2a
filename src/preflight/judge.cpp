// SPDX-License-Identifier: GPL-2.0-or-later
#include "preflight/judge.h"

#include "base/size.h"
#include "cxl/dvsec.h"
#include "cxl/hdm_decoder.h"
#include "pci/config_space.h"
#include "vfio/uapi.h"

#include <algorithm>
#include <bit>
#include <fmt/format.h>
#include <linux/vfio.h>

namespace type2::preflight {

namespace {

namespace uapi = vfio::uapi;

// CXL r3.1 sections 8.1.3.1 and 8.1.3.2
constexpr std::uint16_t MemCapable = 1U << 2;
constexpr std::uint16_t MemEnable = 1U << 2;

/// CXL_HDM_DECODER_COUNT of QEMU: each committed decoder of the device needs one of the bridge.
constexpr std::size_t BridgeDecoders = 4;

Check ok(std::string id, std::string found) {
    return {std::move(id), Status::Ok, std::move(found), {}};
}
Check warning(std::string id, std::string found, std::string advice) {
    return {std::move(id), Status::Warning, std::move(found), std::move(advice)};
}
Check failed(std::string id, std::string found, std::string advice) {
    return {std::move(id), Status::Failed, std::move(found), std::move(advice)};
}
Check skipped(std::string id, std::string why) {
    return {std::move(id), Status::Skipped, std::move(why), {}};
}

// ---- configuration space ----

Check check_class(const PciFacts &pci) {
    constexpr const char *Id = "pci-class";
    constexpr std::uint32_t Bridge = 0x06;
    constexpr std::uint32_t CxlMemory = 0x0502;
    const auto found =
        fmt::format("{:04x}:{:04x}, class {:#08x}", pci.vendor, pci.device, pci.class_code);
    if (pci.class_code >> 16 == Bridge || pci.header_type != 0) {
        return failed(Id, found + ", a bridge",
                      "name the accelerator's function, not a port or switch above it");
    }
    if (pci.class_code >> 8 == CxlMemory) {
        return failed(Id, found + ", a CXL memory device (Type 3)",
                      "Type-3 memory is the host's own: give it to a guest as a memory backend "
                      "of QEMU's cxl-type3");
    }
    return ok(Id, found);
}

Check check_dvsec(const PciFacts &pci) {
    constexpr const char *Id = "cxl-dvsec";
    if (!pci.cxl) {
        if (pci.config_size <= pci::ExtendedStart) {
            return failed(
                Id,
                fmt::format("only {} bytes of configuration space can be read", pci.config_size),
                "call again as root");
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
    if ((capability & cxl::dvsec::CacheCapable) == 0) {
        return warning(Id, fmt::format("capability {:#06x}: CXL.mem without CXL.cache", capability),
                       "not what a Type-2 device says; make sure that this is the function meant");
    }
    return ok(Id, fmt::format("capability {:#06x}: CXL.cache and CXL.mem", capability));
}

Check check_registers(const PciFacts &pci) {
    constexpr const char *Id = "component-registers";
    if (!pci.component) {
        if (pci.config_size <= pci::ExtendedStart) {
            return skipped(Id, "needs extended configuration space");
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

std::uint64_t dvsec_size(const PciFacts &pci) {
    std::uint64_t size = 0;
    for (const auto &range : pci.cxl ? pci.cxl->ranges : std::vector<DvsecRange>()) {
        size += range.valid ? range.size : 0;
    }
    return size;
}

Check check_range(const PciFacts &pci) {
    constexpr const char *Id = "memory-ranges";
    if (!pci.cxl) {
        return skipped(Id, "no CXL Device DVSEC");
    }
    std::string found;
    for (const auto &range : pci.cxl->ranges) {
        found += fmt::format("{}{}{}", found.empty() ? "" : ", ", format_size(range.size),
                             !range.valid    ? " (size not valid yet)"
                             : !range.active ? " (not active yet)"
                                             : "");
    }
    const bool usable = std::all_of(pci.cxl->ranges.begin(), pci.cxl->ranges.end(),
                                    [](const auto &range) { return range.valid && range.active; });
    if (pci.cxl->ranges.empty() || dvsec_size(pci) == 0 || !usable) {
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

// ---- the kernel's binding ----

bool is_vfio_driver(const std::string &name) {
    return name == "vfio-pci" || name.ends_with("-vfio-pci") || name.ends_with("_vfio_pci");
}

Check check_driver(const Facts &facts) {
    constexpr const char *Id = "driver";
    const auto &binding = *facts.binding;
    if (is_vfio_driver(binding.driver) || !binding.vfio_device.empty()) {
        return ok(Id, binding.driver);
    }
    const auto bind = fmt::format("echo vfio-pci > /sys/bus/pci/devices/{0}/driver_override; "
                                  "echo {0} > /sys/bus/pci/drivers_probe",
                                  facts.address);
    if (binding.driver.empty()) {
        return failed(Id, "none", fmt::format("modprobe vfio-pci; {}", bind));
    }
    return failed(Id, binding.driver,
                  fmt::format("echo {} > /sys/bus/pci/drivers/{}/unbind; modprobe vfio-pci; {}",
                              facts.address, binding.driver, bind));
}

Check check_group(const BindingFacts &binding) {
    constexpr const char *Id = "iommu-group";
    if (!binding.group) {
        return failed(Id, "none",
                      "turn the IOMMU on: VT-d, AMD-Vi or SMMU in the firmware's set-up, and "
                      "intel_iommu=on on the kernel's command line of an Intel host");
    }
    for (const auto &other : binding.others) {
        if (!other.bridge && !other.driver.empty() && !is_vfio_driver(other.driver) &&
            other.driver != "pci-stub") {
            return failed(Id,
                          fmt::format("{}, shared with {} (driver {})", *binding.group,
                                      other.address, other.driver),
                          fmt::format("bind {} to vfio-pci, too, or move the device to a slot "
                                      "whose ports have ACS",
                                      other.address));
        }
    }
    const auto shared =
        static_cast<std::size_t>(std::count_if(binding.others.begin(), binding.others.end(),
                                               [](const auto &other) { return !other.bridge; }));
    if (shared != 0) {
        return warning(Id, fmt::format("{}, shared with {} more", *binding.group, shared),
                       "none of them can be used by the host while the guest runs");
    }
    return ok(Id, fmt::format("{}, the device alone", *binding.group));
}

Check check_node(const BindingFacts &binding) {
    constexpr const char *Id = "vfio-node";
    if (!binding.nodes_recorded) {
        return skipped(Id, "/dev was not recorded");
    }
    if (!binding.group && binding.vfio_device.empty()) {
        return skipped(Id, "no IOMMU group");
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

// ---- the VFIO device ----

Check check_open(const Facts &facts) {
    constexpr const char *Id = "vfio-device";
    if (facts.vfio) {
        return ok(Id, facts.socket.empty() ? "opened" : "answers on " + facts.socket);
    }
    if (!facts.vfio_failed) {
        return skipped(Id, facts.vfio_absent);
    }
    return failed(Id, facts.vfio_absent,
                  "a device that a VM uses cannot be opened; look at dmesg for any other reason");
}

Check check_flag(const VfioFacts &vfio) {
    constexpr const char *Id = "cxl-flag";
    const auto found = fmt::format("device flags {:#x}", vfio.flags);
    if ((vfio.flags & uapi::DeviceFlagsCxl) == 0) {
        return failed(Id, found + ", bit 9 clear",
                      "the kernel presents the device as plain PCI: use a kernel with CXL support "
                      "in VFIO, and its variant driver where the device has one");
    }
    return ok(Id, found);
}

Check check_contract(const VfioFacts &vfio) {
    constexpr const char *Id = "contract";
    if (!vfio.contract_problem.empty()) {
        return failed(Id, vfio.contract_problem,
                      "use a kernel of the generation \"live\" or \"shadow\" (see "
                      "docs/system/devices/vfio-cxl.rst)");
    }
    return ok(Id, vfio.generation == Generation::Live ? "live" : "shadow");
}

Check check_memory(const VfioFacts &vfio) {
    constexpr const char *Id = "memory-region";
    constexpr std::uint32_t Rw = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
    constexpr const char *Kernel = "what QEMU refuses: a fault of the kernel's driver";
    if (!vfio.region_problem.empty()) {
        return failed(Id, vfio.region_problem, Kernel);
    }
    const auto &memory = *vfio.memory;
    const auto found = fmt::format("region {}, {}, flags {:#x}", memory.index,
                                   format_size(memory.size), memory.flags);
    if (memory.size == 0 || memory.size % cxl::hdm::Unit != 0 || memory.size >= 1ULL << 52 ||
        (memory.flags & Rw) != Rw) {
        return failed(Id, found, Kernel);
    }
    if ((memory.flags & VFIO_REGION_INFO_FLAG_MMAP) == 0) {
        return warning(Id, found + ": not mappable",
                       "every access of the guest will be trapped, thousands of times slower than "
                       "memory: use a kernel that maps the region");
    }
    return ok(Id, found);
}

constexpr const char *DecodersId = "decoders";

/// What the committed decoders decode, one behind the other.
struct Decoded {
    std::size_t count = 0;
    std::size_t pieces = 0; ///< that skipped memory keeps apart
    std::uint64_t size = 0;
    std::uint64_t end = 0; ///< in the memory region
};

/// Counts decoder `i` in, or says what is wrong with it.
std::optional<Check> add_decoder(const VfioFacts &vfio, std::size_t i, Decoded &all) {
    const auto &decoder = vfio.decoders[i];
    if (decoder.error) {
        return failed(DecodersId, fmt::format("decoder {} has its error bit set", i),
                      "the host's firmware programmed it wrongly: update it");
    }
    if (!decoder.committed) {
        return std::nullopt;
    }
    if (decoder.interleaved) {
        return failed(DecodersId, fmt::format("decoder {} is interleaved", i),
                      "turn CXL interleaving off in the host firmware's set-up");
    }
    if (all.count != i || decoder.size == 0 || decoder.wraps) {
        return failed(DecodersId,
                      fmt::format("decoder {} is committed, of size {}, behind {} committed", i,
                                  format_size(decoder.size), all.count),
                      "the host's firmware programmed it wrongly: update it");
    }
    // The live region begins behind what decoder 0 skips.
    const auto skip = i == 0 && vfio.generation == Generation::Live ? 0 : decoder.skip;
    const auto left = (vfio.memory ? vfio.memory->size : 0) - all.end;
    if (skip > left || decoder.size > left - skip) {
        return failed(DecodersId,
                      fmt::format("decoders end at {}, the memory region at {}",
                                  format_size(all.end + skip + decoder.size),
                                  format_size(all.end + left)),
                      "what QEMU refuses: a fault of the kernel's driver");
    }
    ++all.count;
    all.pieces += i == 0 || skip != 0 ? 1 : 0;
    all.size += decoder.size;
    all.end += skip + decoder.size;
    return std::nullopt;
}

/// The guest programs the decoders, and can have all of the memory.
void leave_to_guest(const VfioFacts &vfio, Report &report) {
    report.guest_mode = true;
    report.window = vfio.memory ? vfio.memory->size : 0;
}

/// The guest has to program decoders that nobody committed. A kernel gives no memory then, for
/// the device decodes none; a vfio-user server can.
Check uncommitted(const VfioFacts &vfio, bool by_kernel, Report &report) {
    if (vfio.firmware_committed) {
        return failed(
            DecodersId,
            fmt::format("{}, none committed, the kernel says that firmware committed them",
                        vfio.decoders.size()),
            "what QEMU refuses: a fault of the kernel's driver");
    }
    leave_to_guest(vfio, report);
    const auto found = fmt::format("{}, none committed", vfio.decoders.size());
    if (by_kernel) {
        return failed(DecodersId, found,
                      "the device decodes none of its memory, and the kernel gives none: have the "
                      "host's firmware, or its driver before vfio-pci, commit a decoder");
    }
    return warning(DecodersId, found,
                   "the guest has to program them itself, and the server to give the memory "
                   "without them; Linux finds memory only where it is committed");
}

/// It can have more than QEMU's bridge leads to, if it programs them itself.
Check too_many(const VfioFacts &vfio, const Decoded &all, Report &report) {
    leave_to_guest(vfio, report);
    report.ask_for_it = true;
    return warning(
        DecodersId,
        fmt::format("{}, {} committed, in {} pieces; QEMU's host bridge has {}",
                    vfio.decoders.size(), all.count, all.pieces, BridgeDecoders),
        fmt::format("have the host's firmware commit the memory in {} pieces at most: Linux "
                    "finds no memory in a guest otherwise; x-cxl-decoders=guest, as below, is "
                    "for one that programs them itself",
                    BridgeDecoders));
}

/// By itself QEMU has the guest program decoders that firmware did not commit.
Check not_by_firmware(const VfioFacts &vfio, const Decoded &all, Report &report) {
    leave_to_guest(vfio, report);
    const auto for_linux =
        fmt::format("; x-cxl-decoders=locked, with hdm_for_passthrough=on and a window of {}, is "
                    "for Linux",
                    format_size(all.size));
    return warning(DecodersId,
                   fmt::format("{}, {} committed: {}, but not by firmware as the kernel says",
                               vfio.decoders.size(), all.count, format_size(all.size)),
                   "the guest has to program them itself" +
                       (all.pieces <= BridgeDecoders ? for_linux : ""));
}

Check check_decoders(const VfioFacts &vfio, bool by_kernel, Report &report) {
    if (!vfio.decoder_problem.empty()) {
        return failed(DecodersId, vfio.decoder_problem,
                      "what QEMU refuses: a fault of the kernel's driver or of the device");
    }
    if (vfio.decoders.empty()) {
        return skipped(DecodersId, "where they are is not known");
    }
    Decoded all;
    for (std::size_t i = 0; i < vfio.decoders.size(); ++i) {
        if (auto wrong = add_decoder(vfio, i, all)) {
            return *wrong;
        }
    }
    if (all.count == 0) {
        return uncommitted(vfio, by_kernel, report);
    }
    if (vfio.generation == Generation::Shadow && !vfio.firmware_committed) {
        return not_by_firmware(vfio, all, report);
    }
    // Where there are more than the bridge has, QEMU makes one of neighbours.
    if (all.pieces > BridgeDecoders) {
        return too_many(vfio, all, report);
    }
    report.window = all.size;
    return ok(DecodersId,
              fmt::format(
                  "{}, {} committed: {}{}", vfio.decoders.size(), all.count, format_size(all.size),
                  all.count > BridgeDecoders ? fmt::format("; a guest finds {}", all.pieces) : ""));
}

Check check_reset(const VfioFacts &vfio) {
    constexpr const char *Id = "reset";
    if ((vfio.flags & VFIO_DEVICE_FLAGS_RESET) == 0) {
        return warning(Id, "the function cannot be reset",
                       "what a guest leaves in the device, the next one finds; look at "
                       "/sys/bus/pci/devices/.../reset_method");
    }
    return ok(Id, "the function can be reset");
}

// ---- the host ----

Check check_bits(const HostFacts &host, const Plan &plan, Report &report) {
    constexpr const char *Id = "address-bits";
    if (report.window == 0) {
        return skipped(Id, "the window's size is not known");
    }
    report.phys_bits = needed_bits(host.arch, plan.ram, report.window);
    const auto found = fmt::format("{} needed for a window of {} and {} of RAM", report.phys_bits,
                                   format_size(report.window), format_size(plan.ram));
    constexpr unsigned Emulated = 52;
    const auto have = host.kvm ? host.phys_bits : std::optional(Emulated);
    if (!have) {
        return skipped(Id, found + "; say what the host has with --phys-bits");
    }
    const auto compared =
        fmt::format("{}, {} {}", found, *have, host.kvm ? "with KVM" : "emulated");
    if (report.phys_bits > *have) {
        return failed(Id, compared,
                      "less RAM may help; else a host whose CPUs have more physical address bits");
    }
    return ok(Id, compared);
}

Check check_huge_pages(const HostFacts &host, const Facts &facts) {
    constexpr const char *Id = "huge-pages";
    if (facts.address.empty()) {
        return skipped(Id, "the memory is a file of the vfio-user server");
    }
    if (host.huge_pages.empty()) {
        return skipped(Id, "transparent_hugepage/enabled is not there");
    }
    std::string_view choice = host.huge_pages;
    if (const auto from = choice.find('['); from != std::string_view::npos) {
        choice = choice.substr(from + 1, choice.find(']') - from - 1);
    }
    if (choice != "always") {
        return warning(Id, fmt::format("transparent_hugepage: {}", choice),
                       "the kernel then maps device memory in 4 KiB pages: echo always > "
                       "/sys/kernel/mm/transparent_hugepage/enabled");
    }
    // What the kernel can map at once is bounded by the alignment of the memory itself.
    const auto *cxl = facts.pci && facts.pci->cxl ? &*facts.pci->cxl : nullptr;
    const bool gigabyte = cxl != nullptr && !cxl->ranges.empty() &&
                          std::all_of(cxl->ranges.begin(), cxl->ranges.end(), [](const auto &r) {
                              return r.base % GiB == 0 && r.size % GiB == 0;
                          });
    return ok(Id, fmt::format("transparent_hugepage: always; the memory is aligned for pages of {}",
                              gigabyte ? "1G" : "2M"));
}

Check check_memlock(const HostFacts &host, const Facts &facts, const Plan &plan) {
    constexpr const char *Id = "locked-memory";
    if (!facts.socket.empty()) {
        return skipped(Id, "vfio-user pins nothing");
    }
    if (!host.memlock) {
        return skipped(Id, "the limit of whoever runs QEMU was not recorded");
    }
    if (*host.memlock == UINT64_MAX) {
        return ok(Id, "no limit");
    }
    const auto found = fmt::format("limit {}, {} of guest RAM will be pinned",
                                   format_size(*host.memlock), format_size(plan.ram));
    // BARs and firmware are mapped, too.
    if (*host.memlock < plan.ram + GiB) {
        return warning(Id, found,
                       "ulimit -l unlimited for whoever runs QEMU; root and libvirt's hard_limit "
                       "are not bound by it");
    }
    return ok(Id, found);
}

void judge_pci(const Facts &facts, Report &report) {
    for (auto *check : {check_class, check_dvsec, check_registers, check_range}) {
        report.checks.push_back(check(*facts.pci));
    }
    // What the device says, until the kernel says which part of it is decoded.
    report.window = dvsec_size(*facts.pci);
}

void judge_binding(const Facts &facts, Report &report) {
    if (!facts.binding) {
        for (const char *id : {"driver", "iommu-group", "vfio-node"}) {
            report.checks.push_back(skipped(id, "no host device"));
        }
        return;
    }
    report.checks.push_back(check_driver(facts));
    report.checks.push_back(check_group(*facts.binding));
    report.checks.push_back(check_node(*facts.binding));
}

void judge_vfio(const Facts &facts, Report &report) {
    report.checks.push_back(check_open(facts));
    if (!facts.vfio) {
        for (const char *id : {"cxl-flag", "contract", "memory-region", "decoders", "reset"}) {
            report.checks.push_back(skipped(id, "needs the VFIO device"));
        }
        return;
    }
    report.checks.push_back(check_flag(*facts.vfio));
    report.checks.push_back(check_contract(*facts.vfio));
    report.checks.push_back(check_memory(*facts.vfio));
    report.checks.push_back(check_decoders(*facts.vfio, facts.socket.empty(), report));
    report.checks.push_back(check_reset(*facts.vfio));
}

} // namespace

const char *status_name(Status status) {
    switch (status) {
    case Status::Ok:
        return "ok";
    case Status::Warning:
        return "warning";
    case Status::Failed:
        return "FAILED";
    case Status::Skipped:
        break;
    }
    return "skipped";
}

std::size_t Report::count(Status status) const {
    return static_cast<std::size_t>(std::count_if(
        checks.begin(), checks.end(), [&](const auto &check) { return check.status == status; }));
}

bool Report::ready() const {
    return count(Status::Failed) == 0;
}

unsigned needed_bits(const std::string &arch, std::uint64_t ram, std::uint64_t window) {
    std::uint64_t end = 0;
    if (arch == "x86_64") {
        // q35: windows behind the RAM above 4 GiB and the host bridges' registers, then the
        // 64-bit PCI hole of 32 GiB.
        const bool split = ram >= 0xb0000000;
        const std::uint64_t above = 4 * GiB + (split ? ram - 2 * GiB : 0);
        const std::uint64_t base = round_up(above + MiB, cxl::hdm::Unit);
        end = round_up(base + window, GiB) + 32 * GiB;
    } else {
        // virt: RAM from 1 GiB on, then 512 GiB of 64-bit PCI space aligned to its size, above
        // 256 GiB at least; the windows behind it.
        const std::uint64_t pci = 512 * GiB;
        const std::uint64_t top = std::max(256 * GiB, round_up(GiB + ram, GiB));
        end = round_up(top + GiB, pci) + pci + window;
    }
    return static_cast<unsigned>(std::bit_width(end - 1));
}

Report judge(const Facts &facts, const Plan &plan) {
    Report report;
    if (facts.pci) {
        judge_pci(facts, report);
    }
    judge_binding(facts, report);
    judge_vfio(facts, report);
    report.checks.push_back(check_bits(facts.host, plan, report));
    report.checks.push_back(check_huge_pages(facts.host, facts));
    report.checks.push_back(check_memlock(facts.host, facts, plan));
    return report;
}

} // namespace type2::preflight
