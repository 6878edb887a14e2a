// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio_user/client.h"

#include "base/unix_socket.h"

#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <poll.h>
#include <string_view>

namespace type2::vfio_user {

namespace {

constexpr std::uint32_t MaxInfo = MaxTransfer; // an argsz beyond this is a lie

Result<void> dropped(const Result<Message> &reply) {
    if (!reply) {
        return tl::unexpected(reply.error());
    }
    return {};
}

/// expected: how many bytes, in words where there is a choice.
template <typename Expected>
tl::unexpected<Error> wrong_size(Command command, const Message &reply, const Expected &expected) {
    return fail(EPROTO, fmt::format("{}: a reply of {} bytes, expected {}",
                                    command_name(static_cast<std::uint16_t>(command)),
                                    reply.body.size(), expected));
}

} // namespace

Client::Client(std::unique_ptr<Transport> transport, Wait wait, Now now)
    : transport_(std::move(transport)), wait_(std::move(wait)), now_(std::move(now)) {
    if (!now_) {
        now_ = Clock::now;
    }
    if (!wait_) {
        wait_ = [this](Clock::time_point until) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - now_());
            pollfd fd = {transport_->poll_fd(), POLLIN, 0};
            return left.count() > 0 && poll(&fd, 1, static_cast<int>(left.count())) > 0;
        };
    }
}

Result<std::unique_ptr<Client>> Client::connect(const std::string &path) {
    auto fd = connect_unix(path);
    if (!fd) {
        return tl::unexpected(fd.error());
    }
    auto client = std::make_unique<Client>(std::make_unique<SocketTransport>(std::move(*fd)));
    if (const auto done = client->negotiate(); !done) {
        return tl::unexpected(done.error());
    }
    return client;
}

Result<void> Client::send_raw(ByteView bytes, std::span<const int> fds) {
    while (!bytes.empty()) {
        const auto put = transport_->send(bytes, fds);
        if (!put) {
            return tl::unexpected(put.error());
        }
        if (*put != 0) {
            fds = {};
        } else if (pollfd fd = {transport_->poll_fd(), POLLOUT, 0};
                   poll(&fd, 1, static_cast<int>(timeout_.count())) <= 0) {
            return fail(ETIMEDOUT, "the server does not read");
        }
        bytes = bytes.subspan(*put);
    }
    return {};
}

Result<Message> Client::next(Clock::time_point until) {
    while (true) {
        auto message = reader_.next(*transport_);
        if (!message) {
            return tl::unexpected(message.error());
        }
        if (message->has_value()) {
            return std::move(**message);
        }
        if (!wait_(until)) {
            return fail(ETIMEDOUT, "no answer in time");
        }
    }
}

Result<Message> Client::receive() {
    return next(now_() + timeout_);
}

Result<Bytes> Client::reach_memory(const Message &request) {
    const bool write = request.header.command == static_cast<std::uint16_t>(Command::DmaWrite);
    const bool known =
        write || request.header.command == static_cast<std::uint16_t>(Command::DmaRead);
    if (!known || !dma_) {
        return fail(ENOSYS);
    }
    if (request.body.size() < sizeof(DmaAccess)) {
        return fail(EINVAL);
    }
    const auto access = load<DmaAccess>(request.body);
    Bytes data(request.body.begin() + sizeof(DmaAccess), request.body.end());
    // The count is the server's word: nothing is allocated for it beyond what a message holds.
    if (access.count > MaxTransfer || data.size() != (write ? access.count : 0)) {
        return fail(EINVAL);
    }
    data.resize(access.count);
    if (const int code = dma_(access.address, data, write); code != 0) {
        return fail(code);
    }
    Bytes body;
    append(body, access);
    if (!write) {
        body.insert(body.end(), data.begin(), data.end());
    }
    return body;
}

Result<void> Client::answer(const Message &request) {
    Header header = request.header;
    header.flags = TypeReply;
    const auto reached = reach_memory(request);
    const Bytes body = reached.value_or(Bytes());
    if (!reached) {
        header.flags |= FlagError;
        header.error = static_cast<std::uint32_t>(reached.error().code);
    }
    header.size = static_cast<std::uint32_t>(sizeof(Header) + body.size());
    Bytes whole;
    append(whole, header);
    whole.insert(whole.end(), body.begin(), body.end());
    return send_raw(whole);
}

Result<void> Client::serve(const std::function<bool()> &done) {
    const auto until = now_() + timeout_;
    while (!done()) {
        auto message = next(std::min(until, now_() + std::chrono::milliseconds(20)));
        if (!message && message.error().code != ETIMEDOUT) {
            return tl::unexpected(message.error());
        }
        if (message && (message->header.flags & TypeMask) == TypeCommand) {
            if (auto answered = answer(*message); !answered) {
                return answered;
            }
        }
        if (now_() >= until) {
            return fail(ETIMEDOUT, "it did not happen in time");
        }
    }
    return {};
}

Result<Message> Client::call(Command command, ByteView body, std::span<const int> fds,
                             std::uint32_t extra_flags) {
    const std::uint16_t id = next_id_++;
    Bytes whole;
    append(whole, Header{id, static_cast<std::uint16_t>(command),
                         static_cast<std::uint32_t>(sizeof(Header) + body.size()),
                         TypeCommand | extra_flags, 0});
    whole.insert(whole.end(), body.begin(), body.end());
    if (const auto sent = send_raw(whole, fds); !sent) {
        return tl::unexpected(sent.error());
    }
    if ((extra_flags & FlagNoReply) != 0) {
        return Message{};
    }
    const auto until = now_() + timeout_;
    while (true) {
        auto message = next(until);
        if (!message) {
            return message;
        }
        if ((message->header.flags & TypeMask) == TypeCommand) {
            if (const auto answered = answer(*message); !answered) {
                return tl::unexpected(answered.error());
            }
        } else if (message->header.id == id) {
            if ((message->header.flags & FlagError) != 0) {
                const auto *name = command_name(static_cast<std::uint16_t>(command));
                const auto code = static_cast<int>(message->header.error);
                return code != 0
                           ? fail(code, fmt::format("{}: {}", name, std::strerror(code)))
                           : fail(EPROTO, fmt::format("{}: an error reply with errno 0", name));
            }
            return message;
        }
        // A server that never stops talking is not waited for any longer than a silent one.
        if (now_() >= until) {
            return fail(ETIMEDOUT, "other messages, and no answer in time");
        }
    }
}

Result<void> Client::negotiate() {
    const auto caps =
        fmt::format(R"({{"capabilities":{{"max_msg_fds":{},"max_data_xfer_size":{},"pgsizes":{},)"
                    R"("max_dma_maps":{},"write_multiple":true}}}})",
                    MaxMessageFds, MaxTransfer, DmaPageSize, MaxDmaMaps);
    Bytes body;
    append(body, Version{VersionMajor, VersionMinor});
    for (const char c : caps) {
        body.push_back(static_cast<std::byte>(c));
    }
    body.push_back(std::byte{0});
    return dropped(call(Command::Version, body));
}

template <typename Info>
Result<Message> Client::info_call(Command command, Info request, std::uint32_t argsz) {
    // Once to learn how much there is, and once more should it have become more meanwhile.
    constexpr int MostAsks = 3;
    for (int asked = 0; asked < MostAsks; ++asked) {
        request.argsz = argsz;
        auto reply = call(command, std::as_bytes(std::span(&request, 1)));
        if (!reply) {
            return reply;
        }
        if (reply->body.size() < sizeof(Info) || reply->body.size() > argsz) {
            return wrong_size(command, *reply, fmt::format("{} to {}", sizeof(Info), argsz));
        }
        const auto needed = load<std::uint32_t>(reply->body);
        if (needed <= argsz) {
            return reply;
        }
        if (needed > MaxInfo) {
            return fail(EPROTO, fmt::format("argsz {} is beyond reason", needed));
        }
        argsz = needed;
    }
    return fail(EPROTO, fmt::format("{} bytes, and more each time", argsz));
}

Result<ClientDeviceInfo> Client::device_info() {
    auto reply = info_call(Command::DeviceGetInfo, DeviceInfo{}, sizeof(DeviceInfo));
    if (!reply) {
        return tl::unexpected(reply.error());
    }
    ClientDeviceInfo device = {load<DeviceInfo>(reply->body), {}};
    if ((device.info.flags & VFIO_DEVICE_FLAGS_CAPS) != 0) {
        if (reply->body.size() < sizeof(DeviceInfoWithCaps)) {
            return wrong_size(Command::DeviceGetInfo, *reply,
                              fmt::format("{} with capabilities", sizeof(DeviceInfoWithCaps)));
        }
        auto caps = parse_caps(reply->body, load<DeviceInfoWithCaps>(reply->body).cap_offset);
        if (!caps) {
            return tl::unexpected(caps.error());
        }
        device.caps = std::move(*caps);
    }
    return device;
}

Result<ClientRegion> Client::region(std::uint32_t index) {
    RegionInfo request = {};
    request.index = index;
    auto reply = info_call(Command::DeviceGetRegionInfo, request, sizeof(RegionInfo));
    if (!reply) {
        return tl::unexpected(reply.error());
    }
    ClientRegion region;
    region.info = load<RegionInfo>(reply->body);
    if ((region.info.flags & VFIO_REGION_INFO_FLAG_CAPS) != 0) {
        auto caps = parse_caps(reply->body, region.info.cap_offset);
        if (!caps) {
            return tl::unexpected(caps.error());
        }
        region.caps = std::move(*caps);
    }
    if (!reply->fds.empty()) {
        region.fd = std::move(reply->fds.front());
    }
    return region;
}

Result<IrqInfo> Client::irq(std::uint32_t index) {
    IrqInfo request = {};
    request.argsz = sizeof(IrqInfo);
    request.index = index;
    auto reply = call(Command::DeviceGetIrqInfo, std::as_bytes(std::span(&request, 1)));
    if (!reply) {
        return tl::unexpected(reply.error());
    }
    if (reply->body.size() != sizeof(IrqInfo)) {
        return wrong_size(Command::DeviceGetIrqInfo, *reply, sizeof(IrqInfo));
    }
    return load<IrqInfo>(reply->body);
}

Result<void> Client::set_irqs(IrqSet set, std::span<const int> eventfds, ByteView extra) {
    set.argsz = static_cast<std::uint32_t>(sizeof(IrqSet) + extra.size());
    Bytes body;
    append(body, set);
    body.insert(body.end(), extra.begin(), extra.end());
    return dropped(call(Command::DeviceSetIrqs, body, eventfds));
}

Result<std::size_t> Client::read(std::uint32_t region, std::uint64_t offset, ByteSpan into) {
    const RegionAccess access = {offset, region, static_cast<std::uint32_t>(into.size())};
    auto reply = call(Command::RegionRead, std::as_bytes(std::span(&access, 1)));
    if (!reply) {
        return tl::unexpected(reply.error());
    }
    if (reply->body.size() < sizeof(RegionAccess)) {
        return wrong_size(Command::RegionRead, *reply,
                          fmt::format("{} at least", sizeof(RegionAccess)));
    }
    const std::size_t count = load<RegionAccess>(reply->body).count;
    if (count > into.size() || reply->body.size() != sizeof(RegionAccess) + count) {
        return fail(EPROTO, "REGION_READ: count and data do not agree");
    }
    std::memcpy(into.data(), reply->body.data() + sizeof(RegionAccess), count);
    return count;
}

Result<std::size_t> Client::write(std::uint32_t region, std::uint64_t offset, ByteView from) {
    Bytes body;
    append(body, RegionAccess{offset, region, static_cast<std::uint32_t>(from.size())});
    body.insert(body.end(), from.begin(), from.end());
    auto reply = call(Command::RegionWrite, body);
    if (!reply) {
        return tl::unexpected(reply.error());
    }
    if (reply->body.size() != sizeof(RegionAccess)) {
        return wrong_size(Command::RegionWrite, *reply, sizeof(RegionAccess));
    }
    return std::size_t{load<RegionAccess>(reply->body).count};
}

Result<void> Client::map_dma(std::uint64_t iova, std::uint64_t size, std::uint64_t offset, int fd,
                             std::uint32_t flags) {
    const DmaMap map = {sizeof(DmaMap), flags, offset, iova, size};
    return dropped(call(Command::DmaMap, std::as_bytes(std::span(&map, 1)),
                        fd >= 0 ? std::span<const int>(&fd, 1) : std::span<const int>()));
}

Result<std::uint64_t> Client::unmap_dma(std::uint64_t iova, std::uint64_t size,
                                        std::uint32_t flags) {
    const DmaUnmap unmap = {sizeof(DmaUnmap), flags, iova, size};
    auto reply = call(Command::DmaUnmap, std::as_bytes(std::span(&unmap, 1)));
    if (!reply) {
        return tl::unexpected(reply.error());
    }
    if (reply->body.size() != sizeof(DmaUnmap)) {
        return wrong_size(Command::DmaUnmap, *reply, sizeof(DmaUnmap));
    }
    return load<DmaUnmap>(reply->body).size;
}

Result<void> Client::reset() {
    return dropped(call(Command::DeviceReset, {}));
}

} // namespace type2::vfio_user
