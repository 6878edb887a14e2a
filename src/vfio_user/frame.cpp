// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio_user/frame.h"

#include <cerrno>
#include <fmt/format.h>
#include <utility>

namespace type2::vfio_user {

Result<std::optional<Message>> FrameReader::next(Transport &from) {
    if (lost_) {
        return tl::unexpected(*lost_);
    }
    auto message = read(from);
    if (!message) {
        lost_ = message.error();
    }
    return message;
}

Result<std::optional<Message>> FrameReader::read(Transport &from) {
    while (true) {
        const bool in_header = have_ < sizeof(Header);
        const std::size_t want = in_header ? sizeof(Header) : message_.header.size;
        if (have_ == want) {
            have_ = 0;
            return std::optional<Message>(std::exchange(message_, {}));
        }
        const ByteSpan room = in_header ? ByteSpan(head_).subspan(have_)
                                        : ByteSpan(message_.body).subspan(have_ - sizeof(Header));
        const auto got = from.receive(room, message_.fds);
        if (!got) {
            return tl::unexpected(got.error());
        }
        if (*got == 0) {
            return std::optional<Message>();
        }
        // Each part of a message can come with some: it is their sum that is bounded.
        if (message_.fds.size() > MaxMessageFds) {
            message_.fds.clear();
            return fail(EMSGSIZE, fmt::format("more than {} file descriptors with one message",
                                              MaxMessageFds));
        }
        have_ += *got;
        if (in_header && have_ == sizeof(Header)) {
            message_.header = load<Header>(head_);
            const std::uint32_t size = message_.header.size;
            if (size < sizeof(Header) || size > MaxMessage) {
                return fail(EMSGSIZE, fmt::format("message size {} is not within {} to {}", size,
                                                  sizeof(Header), MaxMessage));
            }
            message_.body.resize(size - sizeof(Header));
        }
    }
}

} // namespace type2::vfio_user
