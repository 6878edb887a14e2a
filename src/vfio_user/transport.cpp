// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio_user/transport.h"

#include "vfio_user/protocol.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

namespace type2::vfio_user {

namespace {

// One more than any message may carry, so that too many are seen and refused, not lost.
constexpr std::size_t FdRoom = MaxMessageFds + 1;

} // namespace

SocketTransport::SocketTransport(UniqueFd socket) : socket_(std::move(socket)) {
    fcntl(socket_.get(), F_SETFL, fcntl(socket_.get(), F_GETFL) | O_NONBLOCK);
}

Result<std::size_t> SocketTransport::receive(ByteSpan into, std::vector<UniqueFd> &fds) {
    iovec part = {into.data(), into.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(FdRoom * sizeof(int))> control = {};
    msghdr message = {};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    ssize_t got = 0;
    do {
        got = recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return std::size_t{0};
        }
        return fail(errno, fmt::format("receive: {}", std::strerror(errno)));
    }
    for (cmsghdr *c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
            fds.emplace_back(fd);
        }
    }
    if (got == 0) {
        return fail(ECONNRESET, "the peer closed the connection");
    }
    if ((message.msg_flags & MSG_CTRUNC) != 0) {
        return fail(EMSGSIZE, "more file descriptors than a message may carry");
    }
    return static_cast<std::size_t>(got);
}

Result<std::size_t> SocketTransport::send(ByteView from, std::span<const int> fds) {
    iovec part = {const_cast<std::byte *>(from.data()), from.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(FdRoom * sizeof(int))> control = {};
    msghdr message = {};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (fds.size() > FdRoom) {
        return fail(EMSGSIZE, "more file descriptors than a message may carry");
    }
    if (!fds.empty()) {
        message.msg_control = control.data();
        message.msg_controllen = CMSG_SPACE(fds.size_bytes());
        cmsghdr *c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(fds.size_bytes());
        std::memcpy(CMSG_DATA(c), fds.data(), fds.size_bytes());
    }
    ssize_t put = 0;
    do {
        put = sendmsg(socket_.get(), &message, MSG_NOSIGNAL);
    } while (put < 0 && errno == EINTR);
    if (put < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return std::size_t{0};
        }
        return fail(errno, fmt::format("send: {}", std::strerror(errno)));
    }
    return static_cast<std::size_t>(put);
}

std::pair<std::unique_ptr<MemoryTransport>, std::unique_ptr<MemoryTransport>>
MemoryTransport::pair() {
    auto there = std::make_shared<Channel>();
    auto back = std::make_shared<Channel>();
    return {std::unique_ptr<MemoryTransport>(new MemoryTransport(back, there)),
            std::unique_ptr<MemoryTransport>(new MemoryTransport(there, back))};
}

MemoryTransport::~MemoryTransport() {
    in_->closed = true;
    out_->closed = true;
}

Result<std::size_t> MemoryTransport::receive(ByteSpan into, std::vector<UniqueFd> &fds) {
    if (in_->bytes.empty()) {
        if (in_->closed) {
            return fail(ECONNRESET, "the peer closed the connection");
        }
        return std::size_t{0};
    }
    const std::size_t count = std::min({into.size(), in_->bytes.size(), chunk_});
    std::copy_n(in_->bytes.begin(), count, into.begin());
    in_->bytes.erase(in_->bytes.begin(), in_->bytes.begin() + static_cast<std::ptrdiff_t>(count));
    std::move(in_->fds.begin(), in_->fds.end(), std::back_inserter(fds));
    in_->fds.clear();
    return count;
}

Result<std::size_t> MemoryTransport::send(ByteView from, std::span<const int> fds) {
    if (out_->closed) {
        return fail(EPIPE, "the peer closed the connection");
    }
    const std::size_t left = out_->room - std::min(out_->room, out_->bytes.size());
    const ByteView some = from.first(std::min(from.size(), left));
    if (some.empty()) {
        return std::size_t{0};
    }
    out_->bytes.insert(out_->bytes.end(), some.begin(), some.end());
    for (const int fd : fds) {
        out_->fds.emplace_back(fcntl(fd, F_DUPFD_CLOEXEC, 0));
    }
    return some.size();
}

} // namespace type2::vfio_user
