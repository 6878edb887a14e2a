// SPDX-License-Identifier: GPL-2.0-or-later
// A client's message, read once: what handling, the log and faults take. Sizes and shapes are
// checked here; what the device makes of the values is not known here.
#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "vfio_user/device_ops.h"
#include "vfio_user/frame.h"
#include "vfio_user/protocol.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace type2::vfio_user {

struct VersionRequest {
    Version version = {};
    std::vector<std::string> capabilities; ///< names of those that the client proposes
    std::uint32_t max_transfer = MaxTransfer;
};

struct DmaMapRequest {
    DmaMap map = {};
    DmaRange range;
    UniqueFd fd; ///< may be empty
};

struct DmaUnmapRequest {
    DmaUnmap unmap = {};
};

struct DeviceInfoRequest {
    std::uint32_t argsz = 0;
};

struct RegionInfoRequest {
    std::uint32_t index = 0;
    std::uint32_t argsz = 0;
};

struct IrqInfoRequest {
    std::uint32_t index = 0;
    std::uint32_t argsz = 0;
};

struct RegionReadRequest {
    RegionAccess access = {};
};

struct RegionWriteRequest {
    RegionAccess access = {};
    ByteView data; ///< in Request::body
};

struct MultiWriteRequest {
    std::uint64_t count = 0; ///< that the message says
    std::vector<MultiWrite> writes;
};

struct ResetRequest {};

struct FeatureRequest {
    std::uint32_t argsz = 0;
    std::uint32_t flags = 0;
};

struct Request {
    Request() = default;
    Request(const Request &) = delete;
    Request &operator=(const Request &) = delete;
    Request(Request &&) = default;
    Request &operator=(Request &&) = default;
    ~Request() = default;

    /// The command's request of this type, as far as it could be read; null: another command, or
    /// too short for that. `problem` may stand beside it.
    template <typename T> const T *as() const { return std::get_if<T>(&what); }

    std::uint16_t command = 0; ///< as it came
    bool no_reply = false;
    std::size_t fds = 0; ///< descriptors that came
    Bytes body;
    std::variant<std::monostate, VersionRequest, DmaMapRequest, DmaUnmapRequest, DeviceInfoRequest,
                 RegionInfoRequest, IrqInfoRequest, IrqRequest, RegionReadRequest,
                 RegionWriteRequest, MultiWriteRequest, ResetRequest, FeatureRequest>
        what;
    std::optional<Error> problem; ///< why it is refused, whatever the device is
};

/// Reads a message that is no reply.
Request parse_request(Message message);

/// What the log says of a request: names and values.
std::vector<std::pair<const char *, std::uint64_t>> arguments(const Request &request);

/// Of 1 to 8 bytes, the number that they are, for the log; nothing of more.
std::optional<std::uint64_t> small_value(ByteView data);

} // namespace type2::vfio_user
