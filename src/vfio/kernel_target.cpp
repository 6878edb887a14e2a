// SPDX-License-Identifier: GPL-2.0-or-later
// A device of the kernel's VFIO: container, group and device as <linux/vfio.h> has them.
#include "base/files.h"
#include "pci/address.h"
#include "vfio/dma_buf.h"
#include "vfio/target.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <linux/vfio.h>
#include <map>
#include <string_view>
#include <sys/ioctl.h>
#include <unistd.h>

namespace type2::vfio {

namespace {

namespace fs = std::filesystem;

// What a chain of capabilities may take at most; the kernel's are some hundred bytes.
constexpr std::uint32_t MaxInfo = 64 * 1024;

/// The errno of what just failed, and `what` with its meaning; `advice` is what to do about it.
tl::unexpected<Error> fail_errno(const std::string &what, std::string_view advice = {}) {
    const int code = errno;
    return fail(code, fmt::format("{}: {}{}{}", what, std::strerror(code),
                                  advice.empty() ? "" : "; ", advice));
}

/// A character device. Error: errno, with what to do about it: `busy` and `absent` where it is.
Result<UniqueFd> open_device(const std::string &path, std::string_view absent,
                             std::string_view busy) {
    UniqueFd fd(open(path.c_str(), O_RDWR | O_CLOEXEC));
    if (!fd) {
        return fail_errno("cannot open " + path, errno == EBUSY    ? busy
                                                 : errno == EACCES ? "become root, or its owner"
                                                                   : absent);
    }
    return fd;
}

/// An information ioctl whose answer can end in capabilities: asked again with as many bytes as
/// the kernel says it has. Info begins with argsz.
template <typename Info> Result<Bytes> get_info(int fd, unsigned long request, const Info &query) {
    Bytes answer(sizeof(Info));
    store(ByteSpan(answer), 0, query);
    for (int tries = 0; tries < 2; ++tries) {
        const auto size = static_cast<std::uint32_t>(answer.size());
        store(ByteSpan(answer), offsetof(Info, argsz), size);
        if (ioctl(fd, request, answer.data()) != 0) {
            return fail_errno("ioctl");
        }
        const auto wanted = load<Info>(answer).argsz;
        if (wanted > MaxInfo) {
            return fail(EPROTO, fmt::format("the kernel says that it has {} bytes", wanted));
        }
        if (wanted <= size) {
            break;
        }
        answer.resize(wanted);
        store(ByteSpan(answer), 0, query);
    }
    return answer;
}

class KernelTarget : public Target {
  public:
    KernelTarget(UniqueFd container, UniqueFd group, UniqueFd device)
        : container_(std::move(container)), group_(std::move(group)), device_(std::move(device)) {}

    Result<TargetDevice> device() override {
        auto answer = get_info(device_.get(), VFIO_DEVICE_GET_INFO, vfio_device_info{});
        if (!answer) {
            return fail(answer.error().code, "VFIO_DEVICE_GET_INFO: " + answer.error().text);
        }
        const auto info = load<vfio_device_info>(*answer);
        TargetDevice device{info.flags, info.num_regions, {}};
        if ((info.flags & VFIO_DEVICE_FLAGS_CAPS) != 0) {
            auto caps = vfio_user::parse_caps(*answer, info.cap_offset);
            if (!caps) {
                return tl::unexpected(caps.error());
            }
            device.caps = std::move(*caps);
        }
        return device;
    }

    Result<TargetRegion> region(std::uint32_t index) override {
        vfio_region_info query = {};
        query.index = index;
        auto answer = get_info(device_.get(), VFIO_DEVICE_GET_REGION_INFO, query);
        if (!answer) {
            return fail(answer.error().code, fmt::format("VFIO_DEVICE_GET_REGION_INFO of {}: {}",
                                                         index, answer.error().text));
        }
        const auto info = load<vfio_region_info>(*answer);
        offsets_[index] = info.offset;
        TargetRegion region{info.index, info.flags, info.size, {}};
        if ((info.flags & VFIO_REGION_INFO_FLAG_CAPS) != 0) {
            auto caps = vfio_user::parse_caps(*answer, info.cap_offset);
            if (!caps) {
                return tl::unexpected(caps.error());
            }
            region.caps = std::move(*caps);
        }
        return region;
    }

    Result<std::size_t> read(std::uint32_t region, std::uint64_t offset, ByteSpan into) override {
        const auto base = offset_of(region);
        if (!base) {
            return tl::unexpected(base.error());
        }
        const auto got =
            pread(device_.get(), into.data(), into.size(), static_cast<off_t>(*base + offset));
        if (got < 0) {
            return fail_errno("pread");
        }
        return static_cast<std::size_t>(got);
    }

    Result<std::size_t> write(std::uint32_t region, std::uint64_t offset, ByteView from) override {
        const auto base = offset_of(region);
        if (!base) {
            return tl::unexpected(base.error());
        }
        const auto put =
            pwrite(device_.get(), from.data(), from.size(), static_cast<off_t>(*base + offset));
        if (put < 0) {
            return fail_errno("pwrite");
        }
        return static_cast<std::size_t>(put);
    }

    Result<Mapping> map(std::uint32_t region, std::uint64_t offset, std::uint64_t size) override {
        const auto base = offset_of(region);
        if (!base) {
            return tl::unexpected(base.error());
        }
        return Mapping::map(device_.get(), *base + offset, size, true, true);
    }

    Result<void> reset() override {
        if (ioctl(device_.get(), VFIO_DEVICE_RESET) != 0) {
            return fail_errno("VFIO_DEVICE_RESET");
        }
        return {};
    }

    Result<void> map_dma_buf(std::uint32_t region, std::uint64_t size) override {
        Bytes request = dma_buf_request(region, size);
        const UniqueFd dma_buf(ioctl(device_.get(), VFIO_DEVICE_FEATURE, request.data()));
        if (!dma_buf) {
            const int code = errno;
            return fail(dma_buf_absent(code) ? ENOTSUP : code,
                        fmt::format("VFIO_DEVICE_FEATURE_DMA_BUF: {}", std::strerror(code)));
        }
        const off_t end = lseek(dma_buf.get(), 0, SEEK_END);
        if (end < 0 || static_cast<std::uint64_t>(end) != size) {
            return fail(EPROTO, fmt::format("the dma-buf has {} bytes, the region {}", end, size));
        }
        return {};
    }

  private:
    /// Where the region is in the device's file. It does not change while the device is open.
    Result<std::uint64_t> offset_of(std::uint32_t index) {
        if (!offsets_.contains(index)) {
            const auto asked = region(index);
            if (!asked) {
                return tl::unexpected(asked.error());
            }
        }
        return offsets_.at(index);
    }

    // In this order: the device goes first.
    UniqueFd container_;
    UniqueFd group_;
    UniqueFd device_;
    std::map<std::uint32_t, std::uint64_t> offsets_;
};

/// The functions of a group, and what holds each of them.
std::string group_members(const fs::path &group) {
    std::string text;
    std::error_code error;
    for (const auto &member : fs::directory_iterator(group / "devices", error)) {
        const auto driver = link_name(member.path() / "driver");
        text += fmt::format("{}{} ({})", text.empty() ? "" : ", ",
                            member.path().filename().string(), driver.empty() ? "none" : driver);
    }
    return text;
}

Result<UniqueFd> open_container(const KernelPaths &paths) {
    auto container =
        open_device(paths.dev + "/vfio/vfio", "load the kernel's vfio_iommu_type1", "");
    if (!container) {
        return container;
    }
    const int version = ioctl(container->get(), VFIO_GET_API_VERSION);
    if (version != VFIO_API_VERSION) {
        return fail(EPROTO, fmt::format("{}/vfio/vfio speaks version {} of VFIO's interface, "
                                        "expected {}",
                                        paths.dev, version, VFIO_API_VERSION));
    }
    if (ioctl(container->get(), VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) <= 0) {
        return fail(ENOTSUP, paths.dev + "/vfio/vfio has no type1 IOMMU; load vfio_iommu_type1");
    }
    return container;
}

} // namespace

Result<std::unique_ptr<Target>> open_kernel_vfio(const std::string &address,
                                                 const KernelPaths &paths) {
    if (!pci::is_address(address)) {
        return fail(EINVAL, fmt::format("'{}' is not a PCI function, expected one like "
                                        "0000:01:00.0",
                                        address));
    }
    const fs::path function = fs::path(paths.sys) / "bus/pci/devices" / address;
    std::error_code error;
    if (!fs::exists(function, error)) {
        return fail(ENODEV,
                    fmt::format("there is no PCI function {}: no {}", address, function.string()));
    }
    const auto group_name = link_name(function / "iommu_group");
    if (group_name.empty()) {
        return fail(ENODEV, fmt::format("{} is in no IOMMU group; does the machine have an IOMMU, "
                                        "and does the kernel use it (intel_iommu=on)?",
                                        address));
    }
    const auto driver = link_name(function / "driver");
    const auto held = driver.empty() ? "no driver" : "driver " + driver;
    auto group =
        open_device(paths.dev + "/vfio/" + group_name,
                    fmt::format("bind the function to a vfio driver ({} has {})", address, held),
                    "another process has a function of this group open");
    if (!group) {
        return tl::unexpected(group.error());
    }
    auto container = open_container(paths);
    if (!container) {
        return tl::unexpected(container.error());
    }
    vfio_group_status status = {};
    status.argsz = sizeof(status);
    if (ioctl(group->get(), VFIO_GROUP_GET_STATUS, &status) != 0) {
        return fail_errno("VFIO_GROUP_GET_STATUS of group " + group_name);
    }
    if ((status.flags & VFIO_GROUP_FLAGS_VIABLE) == 0) {
        return fail(EBUSY, fmt::format("IOMMU group {} is not viable: each of its functions must "
                                       "have a vfio driver or none: {}",
                                       group_name, group_members(function / "iommu_group")));
    }
    int container_fd = container->get();
    if (ioctl(group->get(), VFIO_GROUP_SET_CONTAINER, &container_fd) != 0) {
        return fail_errno("VFIO_GROUP_SET_CONTAINER of group " + group_name);
    }
    if (ioctl(container->get(), VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) != 0) {
        return fail_errno("VFIO_SET_IOMMU of group " + group_name,
                          "the kernel's log says why; without interrupt remapping it refuses");
    }
    UniqueFd device(ioctl(group->get(), VFIO_GROUP_GET_DEVICE_FD, address.c_str()));
    if (!device) {
        return fail_errno(fmt::format("VFIO_GROUP_GET_DEVICE_FD of {} ({})", address, held),
                          "bind the function to a vfio driver; the kernel's log may say more");
    }
    return std::unique_ptr<Target>(std::make_unique<KernelTarget>(
        std::move(*container), std::move(*group), std::move(device)));
}

} // namespace type2::vfio
