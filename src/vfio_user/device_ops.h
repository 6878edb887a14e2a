// SPDX-License-Identifier: GPL-2.0-or-later
// What the protocol asks of a device. The protocol layer has checked sizes and shapes of messages;
// meaning (does the region exist, may this be written now) is the device's.
#pragma once

#include "base/bytes.h"
#include "base/fd.h"
#include "base/result.h"
#include "vfio_user/caps.h"

#include <cstdint>
#include <functional>
#include <vector>

namespace type2::vfio_user {

struct DeviceDescription {
    std::uint32_t flags = 0; ///< VFIO_DEVICE_FLAGS_*
    std::uint32_t num_regions = 0;
    std::uint32_t num_irqs = 0;
    std::vector<InfoCap> caps; ///< travel only where the peer's argsz has room for them
};

struct RegionDescription {
    std::uint32_t flags = 0; ///< VFIO_REGION_INFO_FLAG_* without CAPS
    std::uint64_t size = 0;
    std::uint64_t offset = 0; ///< to give to mmap of `fd`
    std::vector<InfoCap> caps;
    UniqueFd fd; ///< sent where the region can be mapped
};

struct IrqDescription {
    std::uint32_t flags = 0; ///< VFIO_IRQ_INFO_*
    std::uint32_t count = 0;
};

struct IrqRequest {
    std::uint32_t flags = 0; ///< one VFIO_IRQ_SET_DATA_* and one VFIO_IRQ_SET_ACTION_*
    std::uint32_t index = 0;
    std::uint32_t start = 0;
    std::uint32_t count = 0;
    std::vector<bool> selected;     ///< DATA_BOOL: `count` entries
    std::vector<UniqueFd> eventfds; ///< DATA_EVENTFD: `count` entries, or none to take them away
};

struct DmaRange {
    std::uint64_t iova = 0;
    std::uint64_t size = 0;
    std::uint64_t offset = 0; ///< in the descriptor
    bool readable = false;
    bool writable = false;
    bool file_io = false; ///< the descriptor is for pread and pwrite, not for mmap
};

/// The client's memory, reached by messages: what the server may ask of the client.
class ClientMemory {
  public:
    using ReadDone = std::function<void(Result<Bytes>)>;
    using WriteDone = std::function<void(Result<void>)>;

    ClientMemory() = default;
    ClientMemory(const ClientMemory &) = delete;
    ClientMemory &operator=(const ClientMemory &) = delete;
    virtual ~ClientMemory() = default;

    /// Asks for / hands over at most max_transfer() bytes. `done` runs later, with the client's
    /// errno where it refuses, with ECONNRESET when the connection ends; at once, with EBUSY,
    /// where the client has too many unanswered questions.
    virtual void dma_read(std::uint64_t address, std::uint32_t count, ReadDone done) = 0;
    virtual void dma_write(std::uint64_t address, ByteView data, WriteDone done) = 0;
    /// Takes back what has been asked: no `done` runs any more, and what has not been sent yet
    /// stays here.
    virtual void cancel() = 0;
    virtual std::uint32_t max_transfer() const = 0;
};

class DeviceOps {
  public:
    DeviceOps() = default;
    DeviceOps(const DeviceOps &) = delete;
    DeviceOps &operator=(const DeviceOps &) = delete;
    virtual ~DeviceOps() = default;

    virtual DeviceDescription describe_device() = 0;
    /// Error EINVAL: no such region.
    virtual Result<RegionDescription> describe_region(std::uint32_t index) = 0;
    /// Error EINVAL: no such interrupt index.
    virtual Result<IrqDescription> describe_irq(std::uint32_t index) = 0;
    virtual Result<void> set_irqs(IrqRequest request) = 0;

    /// Returns how many bytes were read or written: may be fewer than asked. Offsets are within
    /// the region. Errors: EINVAL (range, alignment), EIO (gated), and what the device needs.
    virtual Result<std::size_t> read_region(std::uint32_t index, std::uint64_t offset,
                                            ByteSpan into) = 0;
    virtual Result<std::size_t> write_region(std::uint32_t index, std::uint64_t offset,
                                             ByteView from) = 0;

    /// `fd` is empty where the client's memory can be reached by messages only. Errors: EEXIST
    /// (overlap), EINVAL, ENOSPC, errno of mmap.
    virtual Result<void> map_dma(const DmaRange &range, UniqueFd fd) = 0;
    /// Removes what lies in [iova, iova + size), or everything. Returns the bytes removed. Error
    /// EINVAL: the range cuts a mapping in two.
    virtual Result<std::uint64_t> unmap_dma(std::uint64_t iova, std::uint64_t size, bool all) = 0;

    virtual Result<void> reset() = 0;

    /// A client has negotiated / has gone: the counterpart of opening and closing the device.
    /// `client` is valid until closed().
    virtual void opened(ClientMemory &client) = 0;
    virtual void closed() = 0;
};

} // namespace type2::vfio_user
