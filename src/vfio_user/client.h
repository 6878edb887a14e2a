// SPDX-License-Identifier: GPL-2.0-or-later
// The other side of the protocol: a blocking client, for the conformance program and the tests.
#pragma once

#include "vfio_user/caps.h"
#include "vfio_user/frame.h"
#include "vfio_user/protocol.h"
#include "vfio_user/transport.h"

#include <chrono>
#include <functional>
#include <memory>
#include <vector>

namespace type2::vfio_user {

struct ClientRegion {
    RegionInfo info = {};
    std::vector<InfoCap> caps;
    UniqueFd fd;
};

struct ClientDeviceInfo {
    DeviceInfo info = {};
    std::vector<InfoCap> caps;
};

class Client {
  public:
    using Clock = std::chrono::steady_clock;
    /// Waits until the transport may have more, at most until the time given; false: gave up.
    using Wait = std::function<bool(Clock::time_point until)>;
    using Now = std::function<Clock::time_point()>;
    /// Answers DMA_READ (fills `data`, write false) and DMA_WRITE; returns an errno or 0.
    using DmaHandler = std::function<int(std::uint64_t address, ByteSpan data, bool write)>;

    /// wait: null means poll(2) on the transport's descriptor; now: null means the real clock.
    explicit Client(std::unique_ptr<Transport> transport, Wait wait = nullptr, Now now = nullptr);

    /// Over a UNIX socket, version negotiated. Error: errno and text.
    static Result<std::unique_ptr<Client>> connect(const std::string &path);

    int poll_fd() const { return transport_->poll_fd(); }
    void set_timeout(std::chrono::milliseconds timeout) { timeout_ = timeout; }
    void set_dma_handler(DmaHandler handler) { dma_ = std::move(handler); }

    Result<void> negotiate();
    /// Capabilities are asked for with a growing argsz, as QEMU does for regions.
    Result<ClientDeviceInfo> device_info();
    Result<ClientRegion> region(std::uint32_t index);
    Result<IrqInfo> irq(std::uint32_t index);
    /// set: argsz is filled in. extra: DATA_BOOL bytes.
    Result<void> set_irqs(IrqSet set, std::span<const int> eventfds, ByteView extra = {});
    /// Returns the bytes read: may be fewer than asked.
    Result<std::size_t> read(std::uint32_t region, std::uint64_t offset, ByteSpan into);
    Result<std::size_t> write(std::uint32_t region, std::uint64_t offset, ByteView from);
    Result<void> map_dma(std::uint64_t iova, std::uint64_t size, std::uint64_t offset, int fd,
                         std::uint32_t flags = 3);
    Result<std::uint64_t> unmap_dma(std::uint64_t iova, std::uint64_t size,
                                    std::uint32_t flags = 0);
    Result<void> reset();
    /// Handles what the server sends on its own, for as long as `until` says it is not done.
    Result<void> serve(const std::function<bool()> &done);

    /// Any command. Error: errno of the reply, ETIMEDOUT, or that of the transport.
    Result<Message> call(Command command, ByteView body, std::span<const int> fds = {},
                         std::uint32_t extra_flags = 0);
    /// Bytes as they are, for hostile tests.
    Result<void> send_raw(ByteView bytes, std::span<const int> fds = {});
    /// The next message whatever it is.
    Result<Message> receive();

  private:
    Result<Message> next(Clock::time_point until);
    Result<void> answer(const Message &request);
    /// DMA_READ or DMA_WRITE: what the reply carries. Error: the errno to answer with.
    Result<Bytes> reach_memory(const Message &request);
    template <typename Info>
    Result<Message> info_call(Command command, Info request, std::uint32_t argsz);

    std::unique_ptr<Transport> transport_;
    Wait wait_;
    Now now_;
    DmaHandler dma_;
    FrameReader reader_;
    std::chrono::milliseconds timeout_ = std::chrono::seconds(10);
    std::uint16_t next_id_ = 1;
};

} // namespace type2::vfio_user
