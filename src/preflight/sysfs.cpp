// SPDX-License-Identifier: GPL-2.0-or-later
#include "preflight/sysfs.h"

#include "base/fd.h"
#include "base/files.h"
#include "pci/config_space.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <linux/kvm.h>
#include <regex>
#include <sstream>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

namespace type2::preflight {

namespace {

namespace fs = std::filesystem;

constexpr std::uint32_t BaseClassBridge = 0x06;

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
    const auto text = read_text(path);
    std::smatch match;
    if (!std::regex_search(text, match, std::regex("address sizes\\s*: (\\d+) bits physical"))) {
        return std::nullopt;
    }
    return static_cast<unsigned>(std::stoul(match[1]));
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

std::string machine_arch() {
    utsname name = {};
    uname(&name);
    return name.machine;
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
                     read_number(device(other) + "/class") >> 16 == BaseClassBridge});
            }
        }
    }

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
    facts.huge_pages = read_text(sysfs_ + "/kernel/mm/transparent_hugepage/enabled");
    if (live_) {
        facts.memlock = memlock_limit();
    }
    return facts;
}

Result<std::string> parse_address(std::string_view text) {
    static const std::regex form("(?:([0-9a-fA-F]{4}):)?([0-9a-fA-F]{2}:[01][0-9a-fA-F]\\.[0-7])");
    std::match_results<std::string_view::const_iterator> match;
    if (!std::regex_match(text.begin(), text.end(), match, form)) {
        return fail(EINVAL, fmt::format("'{}' is not a PCI address such as 0000:81:00.0", text));
    }
    auto address = (match[1].matched ? match[1].str() : "0000") + ":" + match[2].str();
    std::transform(address.begin(), address.end(), address.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return address;
}

} // namespace type2::preflight
