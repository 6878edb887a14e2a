// SPDX-License-Identifier: GPL-2.0-or-later
// The device under test, as user space sees a VFIO device. One implementation speaks vfio-user,
// the other the kernel's ioctls; the tests do not know which.
#pragma once

#include "base/bytes.h"
#include "base/fd.h"
#include "base/result.h"
#include "vfio_user/caps.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace type2::vfio_user {
class Client;
} // namespace type2::vfio_user

namespace type2::vfio {

struct TargetDevice {
    std::uint32_t flags = 0; ///< VFIO_DEVICE_FLAGS_*
    std::uint32_t num_regions = 0;
    std::vector<vfio_user::InfoCap> caps;
};

struct TargetRegion {
    std::uint32_t index = 0; ///< that the device put into its answer
    std::uint32_t flags = 0; ///< VFIO_REGION_INFO_FLAG_*
    std::uint64_t size = 0;
    std::vector<vfio_user::InfoCap> caps;
};

class Target {
  public:
    Target() = default;
    Target(const Target &) = delete;
    Target &operator=(const Target &) = delete;
    virtual ~Target() = default;

    virtual Result<TargetDevice> device() = 0;
    virtual Result<TargetRegion> region(std::uint32_t index) = 0;
    /// Access through the device's fd. Returns the bytes transferred. Error: errno.
    virtual Result<std::size_t> read(std::uint32_t region, std::uint64_t offset, ByteSpan into) = 0;
    virtual Result<std::size_t> write(std::uint32_t region, std::uint64_t offset,
                                      ByteView from) = 0;
    /// Maps a part of a region, readable and writable. Error EINVAL: the device does not offer
    /// that part; others: errno of mmap. Touching it can end in SIGBUS: see base/guard.h.
    virtual Result<Mapping> map(std::uint32_t region, std::uint64_t offset, std::uint64_t size) = 0;
    /// VFIO_DEVICE_RESET. Error: errno.
    virtual Result<void> reset() = 0;
    /// VFIO_DEVICE_FEATURE_DMA_BUF of a whole region: a dma-buf of that size.
    /// Error ENOTSUP: it is not offered here; others: it is offered and does not work.
    virtual Result<void> map_dma_buf(std::uint32_t region, std::uint64_t size) = 0;
};

/// Four bytes through the device's fd. Error: errno, EIO where fewer came; text names the register.
Result<std::uint32_t> read_dword(Target &target, std::uint32_t region, std::uint64_t offset);

/// The device that a client has negotiated with.
std::unique_ptr<Target> make_vfio_user(std::unique_ptr<vfio_user::Client> client);
/// Opens the device behind a vfio-user socket. Error: errno and text.
Result<std::unique_ptr<Target>> open_vfio_user(const std::string &socket);

/// Where the kernel shows its devices; tests put something else there.
struct KernelPaths {
    std::string sys = "/sys";
    std::string dev = "/dev";
};

/// Opens a PCI function that a vfio driver of the kernel holds, by its IOMMU group and a type1
/// container of its own. Nobody else can have it open at the same time. Error: errno, and a text
/// that says what to do.
Result<std::unique_ptr<Target>> open_kernel_vfio(const std::string &address,
                                                 const KernelPaths &paths = {});

} // namespace type2::vfio
