// SPDX-License-Identifier: GPL-2.0-or-later
#include "preflight/sysfs.h"

#include "base/fd.h"
#include "base/files.h"
#include "base/text.h"
#include "pci/config_space.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <fnmatch.h>
#include <linux/kvm.h>
#include <re2/re2.h>
#include <sstream>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

namespace type2::preflight {

namespace {

namespace fs = std::filesystem;

/// Without the end of its last line.
std::string read_text(const std::string &path) {
    auto value = read_file(path);
    while (!value.empty() && (value.back() == '\n' || value.back() == ' ')) {
        value.pop_back();
    }
    return value;
}

std::uint64_t read_number(const std::string &path) {
    const auto text = read_text(path);
    const bool hex = text.starts_with("0x");
    std::uint64_t value = 0;
    std::from_chars(text.data() + (hex ? 2 : 0), text.data() + text.size(), value, hex ? 16 : 10);
    return value;
}

std::vector<std::string> entries(const std::string &path) {
    std::vector<std::string> names;
    std::error_code error;
    for (const auto &entry : fs::directory_iterator(path, error)) {
        names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
}

bool exists(const std::string &path) {
    std::error_code error;
    return fs::exists(path, error);
}

/// `resource`: a line "start end flags" per BAR. A BAR without an address has size 0 here.
std::vector<std::uint64_t> read_bars(const std::string &path) {
    std::vector<std::uint64_t> bars;
    std::istringstream lines(read_text(path));
    std::string start;
    std::string end;
    std::string flags;
    while (bars.size() < pci::BarCount && lines >> start >> end >> flags) {
        const auto from = std::strtoull(start.c_str(), nullptr, 16);
        const auto to = std::strtoull(end.c_str(), nullptr, 16);
        bars.push_back(from != 0 && to > from ? to - from + 1 : 0);
    }
    return bars;
}

/// x86: "address sizes : 46 bits physical, 48 bits virtual".
std::optional<unsigned> cpuinfo_bits(const std::string &path) {
    unsigned bits = 0;
    return RE2::PartialMatch(read_file(path), "address sizes\\s*: (\\d+) bits physical", &bits)
               ? std::optional(bits)
               : std::nullopt;
}

/// Arm: what KVM gives a guest.
std::optional<unsigned> kvm_bits(const std::string &path) {
    const UniqueFd kvm(open(path.c_str(), O_RDWR | O_CLOEXEC));
    const int bits = kvm ? ioctl(kvm.get(), KVM_CHECK_EXTENSION, KVM_CAP_ARM_VM_IPA_SIZE) : 0;
    // 0: an old kernel, whose guests have 40 bits.
    return kvm ? std::optional(bits > 0 ? static_cast<unsigned>(bits) : 40U) : std::nullopt;
}

std::optional<std::uint64_t> memlock_limit() {
    rlimit limit = {};
    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0) {
        return std::nullopt;
    }
    return limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : std::uint64_t{limit.rlim_cur};
}

/// Lines "first last kind" of the kind that has to be mapped 1:1. What is direct-relaxable the
/// kernel lets a guest's mappings replace.
std::vector<std::string> direct_regions(const std::string &text) {
    std::vector<std::string> found;
    for (const auto line : lines_of(text)) {
        if (trimmed(line).ends_with(" direct")) {
            found.emplace_back(trimmed(line));
        }
    }
    return found;
}

/// KVM_CAP_ARM_CACHEABLE_PFNMAP_SUPPORTED, which <linux/kvm.h> of older systems lacks. A kernel
/// that does not know the question maps device memory as device memory.
constexpr int CacheablePfnmap = 243;

std::optional<bool> kvm_cacheable(const std::string &path) {
    const UniqueFd kvm(open(path.c_str(), O_RDWR | O_CLOEXEC));
    return kvm ? std::optional(ioctl(kvm.get(), KVM_CHECK_EXTENSION, CacheablePfnmap) > 0)
               : std::nullopt;
}

std::string machine_arch() {
    utsname name = {};
    uname(&name);
    return name.machine;
}

std::string machine_release() {
    utsname name = {};
    uname(&name);
    return name.release;
}

} // namespace

Sysfs::Sysfs(std::string path) : sysfs_(std::move(path)) {
    while (sysfs_.size() > 1 && sysfs_.back() == '/') {
        sysfs_.pop_back();
    }
    live_ = sysfs_ == "/sys";
    root_ = fs::path(sysfs_).parent_path().string();
    if (root_.empty()) {
        root_ = ".";
    }
    if (root_ == "/") {
        root_.clear();
    }
}

std::string Sysfs::device(const std::string &address) const {
    return sysfs_ + "/bus/pci/devices/" + address;
}

Result<PciFacts> Sysfs::pci(const std::string &address) const {
    const auto folder = device(address);
    if (!exists(folder)) {
        return fail(ENOENT, fmt::format("{}: no such device ({})", address, folder));
    }
    const UniqueFd file(open((folder + "/config").c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) {
        const int code = errno;
        return fail(code, fmt::format("{}/config: {}", folder, std::strerror(code)));
    }
    Bytes config(pci::ConfigSize);
    const auto got = pread(file.get(), config.data(), config.size(), 0);
    if (got < 0) {
        const int code = errno;
        return fail(code, fmt::format("{}/config: {}", folder, std::strerror(code)));
    }
    config.resize(static_cast<std::size_t>(got));
    auto facts = decode_config(config);
    facts.bars = read_bars(folder + "/resource");
    facts.power_state = read_text(folder + "/power_state");
    return facts;
}

BindingFacts Sysfs::binding(const std::string &address) const {
    const auto folder = device(address);
    BindingFacts facts;
    facts.driver = link_name(folder + "/driver");
    const auto registered = entries(folder + "/vfio-dev");
    if (!registered.empty()) {
        facts.vfio_device = registered.front();
    }
    const auto group = link_name(folder + "/iommu_group");
    unsigned number = 0;
    if (std::from_chars(group.data(), group.data() + group.size(), number).ec == std::errc()) {
        facts.group = number;
        for (const auto &other :
             entries(fmt::format("{}/kernel/iommu_groups/{}/devices", sysfs_, number))) {
            if (other != address) {
                facts.others.push_back(
                    {other, link_name(device(other) + "/driver"),
                     static_cast<std::uint32_t>(read_number(device(other) + "/class"))});
            }
        }
        const auto of_group = fmt::format("{}/kernel/iommu_groups/{}", sysfs_, number);
        facts.noiommu = read_text(of_group + "/name") == "vfio-noiommu" ||
                        exists(beside(fmt::format("/dev/vfio/noiommu-{}", number)));
        facts.direct = direct_regions(read_text(of_group + "/reserved_regions"));
    }
    facts.module = module_of(address);

    facts.nodes_recorded = exists(beside("/dev"));
    // Group and container where they are: what a command line without iommufd opens.
    const auto by_group = "/dev/vfio/" + group;
    const auto by_itself = "/dev/vfio/devices/" + facts.vfio_device;
    facts.iommufd = !facts.vfio_device.empty() && exists(beside(by_itself)) &&
                    exists(beside("/dev/iommu")) &&
                    !(exists(beside(by_group)) && exists(beside("/dev/vfio/vfio")));
    facts.node = facts.iommufd ? by_itself : by_group;
    for (const auto &node : {facts.iommufd ? "/dev/iommu" : "/dev/vfio/vfio", facts.node.c_str()}) {
        if (!exists(beside(node))) {
            facts.missing_node = node;
        } else if (live_ && access(node, R_OK | W_OK) != 0) {
            facts.forbidden_node = node;
        }
    }
    return facts;
}

std::string Sysfs::arch() const {
    if (live_) {
        return machine_arch();
    }
    const auto cpus = read_text(beside("/proc/cpuinfo"));
    return cpus.find("CPU implementer") != std::string::npos ? "aarch64"
           : cpus.find("vendor_id") != std::string::npos     ? "x86_64"
                                                             : machine_arch();
}

std::string Sysfs::module_of(const std::string &address) const {
    const auto folder = device(address);
    const auto id = [&](const char *file) { return read_number(folder + "/" + file); };
    const auto pci_class = id("class");
    const auto name =
        fmt::format("vfio_pci:v{:08X}d{:08X}sv{:08X}sd{:08X}bc{:02X}sc{:02X}i{:02X}", id("vendor"),
                    id("device"), id("subsystem_vendor"), id("subsystem_device"),
                    pci_class >> 16 & 0xff, pci_class >> 8 & 0xff, pci_class & 0xff);
    const auto modules = beside("/lib/modules");
    const auto releases = live_ ? std::vector<std::string>{machine_release()} : entries(modules);
    std::string best;
    auto fewest = std::string::npos;
    for (const auto &release : releases) {
        const auto text = read_file(fmt::format("{}/{}/modules.alias", modules, release));
        for (const auto line : lines_of(text)) {
            std::istringstream words{std::string(line)};
            std::string keyword;
            std::string pattern;
            std::string module;
            words >> keyword >> pattern >> module;
            // Of several the one with the fewest wildcards is meant.
            const auto wild =
                static_cast<std::size_t>(std::count(pattern.begin(), pattern.end(), '*'));
            if (keyword == "alias" && pattern.starts_with("vfio_pci:") && wild < fewest &&
                fnmatch(pattern.c_str(), name.c_str(), 0) == 0) {
                best = module;
                fewest = wild;
            }
        }
    }
    return best;
}

std::vector<IomemRange> Sysfs::iomem() const {
    std::vector<IomemRange> ranges;
    const auto text = read_file(beside("/proc/iomem"));
    for (const auto line : lines_of(text)) {
        const auto colon = line.find(" : ");
        const auto range = trimmed(line.substr(0, colon));
        const auto dash = range.find('-');
        if (colon == std::string_view::npos || dash == std::string_view::npos) {
            continue;
        }
        IomemRange one;
        std::from_chars(range.data(), range.data() + dash, one.first, 16);
        std::from_chars(range.data() + dash + 1, range.data() + range.size(), one.last, 16);
        one.name = trimmed(line.substr(colon + 3));
        // Without privilege every address is 0.
        if (one.last != 0) {
            ranges.push_back(one);
        }
    }
    return ranges;
}

std::optional<bool> Sysfs::cacheable() const {
    if (live_) {
        return kvm_cacheable("/dev/kvm");
    }
    // What the kernel said of its CPUs when it booted.
    const auto said = read_file(beside("/dmesg"));
    if (said.find("CPU features: ") == std::string::npos) {
        return std::nullopt;
    }
    return said.find("Stage-2 Force Write-Back") != std::string::npos &&
           said.find("Instruction cache invalidation not required") != std::string::npos;
}

HostFacts Sysfs::host(const std::string &arch) const {
    HostFacts facts;
    facts.arch = arch;
    const bool native = arch == this->arch();
    facts.kvm =
        native && (live_ ? access("/dev/kvm", R_OK | W_OK) == 0 : exists(beside("/dev/kvm")));
    if (facts.kvm) {
        facts.phys_bits = arch == "x86_64" ? cpuinfo_bits(beside("/proc/cpuinfo"))
                          : live_          ? kvm_bits("/dev/kvm")
                                           : std::nullopt;
    }
    if (arch == "x86_64" && native) {
        std::string vendor;
        const auto cpus = read_file(beside("/proc/cpuinfo"));
        RE2::PartialMatch(cpus, "vendor_id\\s*: (\\S+)", &vendor);
        facts.cpu_vendor = vendor;
    }
    if (arch == "aarch64" && facts.kvm) {
        facts.cacheable = cacheable();
    }
    facts.iomem = iomem();
    facts.huge_pages = read_text(sysfs_ + "/kernel/mm/transparent_hugepage/enabled");
    if (live_) {
        facts.memlock = memlock_limit();
    }
    return facts;
}

} // namespace type2::preflight
