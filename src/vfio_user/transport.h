// SPDX-License-Identifier: GPL-2.0-or-later
// What carries vfio-user messages: a stream of bytes with file descriptors beside it.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <deque>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace type2::vfio_user {

class Transport {
  public:
    Transport() = default;
    Transport(const Transport &) = delete;
    Transport &operator=(const Transport &) = delete;
    virtual ~Transport() = default;

    /// Takes up to into.size() bytes (at least 1); descriptors that came with them are appended to
    /// `fds`. 0: nothing there now. Error: the peer is gone or the stream is broken.
    virtual Result<std::size_t> receive(ByteSpan into, std::vector<UniqueFd> &fds) = 0;
    /// Sends some of `from`; `fds` go with its first byte. 0: no room now. Error: as above.
    virtual Result<std::size_t> send(ByteView from, std::span<const int> fds) = 0;
    /// Descriptor to poll, -1 where there is none.
    virtual int poll_fd() const { return -1; }
};

/// A connected UNIX stream socket, made non-blocking.
class SocketTransport : public Transport {
  public:
    explicit SocketTransport(UniqueFd socket);
    Result<std::size_t> receive(ByteSpan into, std::vector<UniqueFd> &fds) override;
    Result<std::size_t> send(ByteView from, std::span<const int> fds) override;
    int poll_fd() const override { return socket_.get(); }

  private:
    UniqueFd socket_;
};

/// One end of an in-memory pair, for tests and fuzzers. Descriptors are duplicated on the way.
class MemoryTransport : public Transport {
  public:
    /// Two ends; what one sends the other receives.
    static std::pair<std::unique_ptr<MemoryTransport>, std::unique_ptr<MemoryTransport>> pair();
    ~MemoryTransport() override;

    Result<std::size_t> receive(ByteSpan into, std::vector<UniqueFd> &fds) override;
    Result<std::size_t> send(ByteView from, std::span<const int> fds) override;
    /// From now on one receive() yields at most `bytes`, as a slow or hostile peer would cause.
    void set_chunk(std::size_t bytes) { chunk_ = bytes; }
    /// From now on at most `bytes` wait for the other end to take them, as in a socket's buffer.
    void set_room(std::size_t bytes) { out_->room = bytes; }
    /// True if receive() would return anything but 0.
    bool readable() const { return !in_->bytes.empty() || in_->closed; }

  private:
    struct Channel {
        std::deque<std::byte> bytes;
        std::vector<UniqueFd> fds;
        std::size_t room = SIZE_MAX; ///< for bytes
        bool closed = false;
    };

    MemoryTransport(std::shared_ptr<Channel> in, std::shared_ptr<Channel> out)
        : in_(std::move(in)), out_(std::move(out)) {}

    std::shared_ptr<Channel> in_;
    std::shared_ptr<Channel> out_;
    std::size_t chunk_ = SIZE_MAX;
};

} // namespace type2::vfio_user
