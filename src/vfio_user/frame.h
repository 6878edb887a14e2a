// SPDX-License-Identifier: GPL-2.0-or-later
// Takes a byte stream apart into whole messages. Nothing is allocated for a peer beyond MaxMessage,
// and no more than MaxMessageFds descriptors are kept for it.
#pragma once

#include "base/bytes.h"
#include "base/fd.h"
#include "base/result.h"
#include "vfio_user/protocol.h"
#include "vfio_user/transport.h"

#include <optional>
#include <vector>

namespace type2::vfio_user {

struct Message {
    Header header = {};
    Bytes body; ///< header.size - 16 bytes
    std::vector<UniqueFd> fds;
};

/// Reads from a Transport never further than the end of the current message, so that descriptors
/// are always those of the message being read.
class FrameReader {
  public:
    /// The next whole message, or nothing when the transport has no more bytes now. Error: the
    /// peer is gone; the header's size is below 16 or above MaxMessage, or more than MaxMessageFds
    /// descriptors came (EMSGSIZE). The stream has lost step for good then, and every call says so.
    Result<std::optional<Message>> next(Transport &from);

    /// Header of the message that next() refused, to answer it before hanging up.
    const Header &header() const { return message_.header; }

  private:
    Result<std::optional<Message>> read(Transport &from);

    std::optional<Error> lost_;
    Message message_;
    Bytes head_ = Bytes(sizeof(Header));
    std::size_t have_ = 0; ///< bytes of header and body taken so far
};

} // namespace type2::vfio_user
