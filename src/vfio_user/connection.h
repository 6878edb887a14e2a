// SPDX-License-Identifier: GPL-2.0-or-later
// One client's connection: handshake, dispatch of commands to a DeviceOps, replies, and the
// server's own requests to the client (DMA_READ, DMA_WRITE). No sockets here, only a Transport.
#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "vfio_user/device_ops.h"
#include "vfio_user/frame.h"
#include "vfio_user/protocol.h"
#include "vfio_user/request.h"
#include "vfio_user/transport.h"

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace type2::vfio_user {

using Clock = std::chrono::steady_clock;

/// One message received, for logs.
struct LogEntry {
    std::uint16_t command = 0;
    std::vector<std::pair<const char *, std::uint64_t>> args;
    std::size_t fds = 0;
    bool no_reply = false;
    int error = 0;      ///< errno of the reply, 0 on success
    std::string reason; ///< text of that error
};

/// A reply before it is sent. A ReplyFilter may change anything in it.
struct Reply {
    int error = 0; ///< errno; when not 0, only a header is sent
    Bytes payload;
    std::vector<UniqueFd> fds;
    // What follows exists for misbehaviour on demand; the defaults are the protocol.
    std::optional<std::uint32_t> claimed_size; ///< header.size that differs from what is sent
    std::optional<std::uint16_t> claimed_id;
    std::chrono::milliseconds delay = {};   ///< nothing is sent, nor any later reply, before this
    std::optional<std::size_t> pause_after; ///< first part without delay, the rest after `delay`
    bool swallow = false;                   ///< never answered
    bool hang_up = false;                   ///< the connection is closed instead
};

/// Looks at (and may spoil) every reply, after the device has done its part.
class ReplyFilter {
  public:
    ReplyFilter() = default;
    ReplyFilter(const ReplyFilter &) = delete;
    ReplyFilter &operator=(const ReplyFilter &) = delete;
    virtual ~ReplyFilter() = default;
    virtual void filter(const Request &request, Reply &reply) = 0;
};

class Connection : public ClientMemory {
  public:
    /// `filter` may be null. `log` receives one entry per message.
    Connection(std::unique_ptr<Transport> transport, DeviceOps &device, ReplyFilter *filter,
               std::function<void(const LogEntry &)> log);
    ~Connection() override;

    /// What one pump() takes at most: others wait for their turn meanwhile.
    static constexpr unsigned MaxMessagesPerPump = 32;
    /// With more than this waiting to be sent, nothing is taken: a client has to read its replies.
    static constexpr std::size_t MaxQueued = 2 * std::size_t{MaxMessage};

    /// Takes messages that the transport has, one after the other, and answers each. True: there
    /// may be more to take at once. Error: the connection is over; text why.
    Result<bool> pump(Clock::time_point now);
    /// Sends what is due. Error: the connection is over.
    Result<void> flush(Clock::time_point now);

    int poll_fd() const { return transport_->poll_fd(); }
    /// True if pump() would take a message.
    bool wants_read() const { return queued_ <= MaxQueued; }
    /// Bytes that wait to be sent.
    std::size_t queued() const { return queued_; }
    /// True if bytes wait for room in the transport.
    bool wants_write() const { return blocked_; }
    /// When a delayed reply falls due.
    std::optional<Clock::time_point> deadline() const;
    bool negotiated() const { return negotiated_; }

    // ClientMemory. The answers arrive in a later pump(); flush() sends the questions.
    void dma_read(std::uint64_t address, std::uint32_t count, ReadDone done) override;
    void dma_write(std::uint64_t address, ByteView data, WriteDone done) override;
    void cancel() override;
    std::uint32_t max_transfer() const override { return peer_max_transfer_; }

  private:
    struct Outgoing {
        Bytes bytes;
        std::vector<UniqueFd> fds;
        std::size_t sent = 0;
        std::chrono::milliseconds delay = {};
        std::optional<Clock::time_point> due; ///< set when it comes to the head of the queue
        std::optional<std::uint16_t> request; ///< id of a question of the server's
    };
    /// A question that the client has not answered. Neither `read` nor `write`: cancelled.
    struct Pending {
        ReadDone read;
        WriteDone write;
        std::uint32_t count = 0;
    };

    bool handle(Message message); // false: hang up
    void handle_reply(const Message &message);
    Reply answer(Request &request, LogEntry &entry);
    Reply handle(std::monostate &unread, LogEntry &entry);
    Reply handle(VersionRequest &request, LogEntry &entry);
    Reply handle(DmaMapRequest &request, LogEntry &entry);
    Reply handle(DmaUnmapRequest &request, LogEntry &entry);
    Reply handle(DeviceInfoRequest &request, LogEntry &entry);
    Reply handle(RegionInfoRequest &request, LogEntry &entry);
    Reply handle(IrqInfoRequest &request, LogEntry &entry);
    Reply handle(IrqRequest &request, LogEntry &entry);
    Reply handle(RegionReadRequest &request, LogEntry &entry);
    Reply handle(RegionWriteRequest &request, LogEntry &entry);
    Reply handle(MultiWriteRequest &request, LogEntry &entry);
    Reply handle(ResetRequest &request, LogEntry &entry);
    Reply handle(FeatureRequest &request, LogEntry &entry);
    void queue(const Header &header, Reply reply);
    void queue(Outgoing outgoing);
    void ask(Command command, const Bytes &body, Pending pending);
    /// The answer, or the reason why there is none.
    static void finish(Pending &pending, Result<Bytes> answer);

    std::unique_ptr<Transport> transport_;
    DeviceOps &device_;
    ReplyFilter *filter_;
    std::function<void(const LogEntry &)> log_;
    FrameReader reader_;
    std::deque<Outgoing> outgoing_;
    std::size_t queued_ = 0; ///< bytes in it that have not been sent
    std::map<std::uint16_t, Pending> pending_;
    std::uint16_t next_id_ = 1;
    std::uint32_t peer_max_transfer_ = MaxTransfer;
    bool negotiated_ = false;
    bool blocked_ = false;
};

} // namespace type2::vfio_user
