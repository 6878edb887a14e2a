// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/dma_buf.h"
#include "vfio/target.h"
#include "vfio_user/client.h"

#include <cerrno>
#include <fmt/format.h>
#include <linux/vfio.h>
#include <sys/stat.h>

namespace type2::vfio {

namespace {

class VfioUserTarget : public Target {
  public:
    explicit VfioUserTarget(std::unique_ptr<vfio_user::Client> client)
        : client_(std::move(client)) {}

    Result<TargetDevice> device() override {
        auto info = client_->device_info();
        if (!info) {
            return tl::unexpected(info.error());
        }
        return TargetDevice{info->info.flags, info->info.num_regions, std::move(info->caps)};
    }

    Result<TargetRegion> region(std::uint32_t index) override {
        auto found = client_->region(index);
        if (!found) {
            return tl::unexpected(found.error());
        }
        return TargetRegion{found->info.index, found->info.flags, found->info.size,
                            std::move(found->caps)};
    }

    Result<std::size_t> read(std::uint32_t region, std::uint64_t offset, ByteSpan into) override {
        return client_->read(region, offset, into);
    }

    Result<std::size_t> write(std::uint32_t region, std::uint64_t offset, ByteView from) override {
        return client_->write(region, offset, from);
    }

    // A kernel refuses an mmap of what it does not offer. A socket's server has given its file
    // away, so what it offers is what it says: the flags, the sparse areas, the file's length.
    Result<Mapping> map(std::uint32_t region, std::uint64_t offset, std::uint64_t size) override {
        auto found = client_->region(region);
        if (!found) {
            return tl::unexpected(found.error());
        }
        const auto &info = found->info;
        if ((info.flags & VFIO_REGION_INFO_FLAG_MMAP) == 0 || !fits(offset, size, info.size)) {
            return fail(EINVAL, "no mmap of this region, or outside it");
        }
        for (const auto &cap : found->caps) {
            if (cap.id == VFIO_REGION_INFO_CAP_SPARSE_MMAP && !offered(cap.body, offset, size)) {
                return fail(EINVAL, "outside the sparse areas");
            }
        }
        struct stat file = {};
        if (!found->fd || fstat(found->fd.get(), &file) != 0) {
            return fail(EBADF, "mmap is offered but no file was sent");
        }
        if (!fits(info.offset + offset, size, static_cast<std::uint64_t>(file.st_size))) {
            return fail(ENXIO, fmt::format("the file has {:#x} bytes only", file.st_size));
        }
        return Mapping::map(found->fd.get(), info.offset + offset, size, true, true);
    }

    Result<void> reset() override { return client_->reset(); }

    Result<void> map_dma_buf(std::uint32_t region, std::uint64_t size) override {
        using vfio_user::Command;
        const auto probed = client_->call(Command::DeviceFeature, dma_buf_probe());
        if (!probed) {
            // The protocol's reference server says EINVAL of a feature that it lacks.
            const int code = probed.error().code;
            return fail(dma_buf_absent(code) || code == EINVAL ? ENOTSUP : code,
                        probed.error().text);
        }
        const auto reply = client_->call(Command::DeviceFeature, dma_buf_request(region, size));
        if (!reply) {
            return tl::unexpected(reply.error());
        }
        if (reply->fds.size() != 1) {
            return fail(EPROTO, "DMA_BUF succeeds but no dma-buf was sent");
        }
        // The server has a dma-buf. There is no IOMMU on a socket to map it into; it must at
        // least be a file of the region's size.
        struct stat file = {};
        if (fstat(reply->fds.front().get(), &file) != 0 ||
            static_cast<std::uint64_t>(file.st_size) < size) {
            return fail(EPROTO, "the dma-buf is shorter than the region");
        }
        return {};
    }

  private:
    static bool offered(ByteView cap, std::uint64_t offset, std::uint64_t size) {
        constexpr std::size_t Head = 8;
        constexpr std::size_t Area = 16;
        if (cap.size() < Head) {
            return false;
        }
        const std::size_t count =
            std::min<std::size_t>(load<std::uint32_t>(cap), (cap.size() - Head) / Area);
        for (std::size_t i = 0; i < count; ++i) {
            const auto begin = load<std::uint64_t>(cap, Head + Area * i);
            const auto length = load<std::uint64_t>(cap, Head + Area * i + 8);
            if (offset >= begin && fits(offset - begin, size, length)) {
                return true;
            }
        }
        return false;
    }

    std::unique_ptr<vfio_user::Client> client_;
};

} // namespace

std::unique_ptr<Target> make_vfio_user(std::unique_ptr<vfio_user::Client> client) {
    return std::make_unique<VfioUserTarget>(std::move(client));
}

Result<std::unique_ptr<Target>> open_vfio_user(const std::string &socket) {
    auto client = vfio_user::Client::connect(socket);
    if (!client) {
        return tl::unexpected(client.error());
    }
    return make_vfio_user(std::move(*client));
}

} // namespace type2::vfio
