// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio_user/connection.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <string_view>

namespace type2::vfio_user {

namespace {

constexpr int MaxJsonDepth = 8;
constexpr std::size_t MaxJsonText = 4096;

Reply refuse(LogEntry &entry, int code, std::string reason) {
    entry.reason = std::move(reason);
    Reply reply;
    reply.error = code;
    return reply;
}

Reply refuse(LogEntry &entry, const Error &error) {
    return refuse(entry, error.code, error.text);
}

Reply refuse_size(LogEntry &entry, std::size_t found, std::size_t expected) {
    return refuse(entry, EINVAL, fmt::format("payload of {} bytes, expected {}", found, expected));
}

template <typename T> Reply with_payload(const T &value) {
    Reply reply;
    append(reply.payload, value);
    return reply;
}

/// Depth is bounded before the text meets the parser.
bool too_deep(std::string_view text) {
    int depth = 0;
    bool in_string = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (in_string) {
            if (c == '\\') {
                ++i;
            } else if (c == '"') {
                in_string = false;
            }
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > MaxJsonDepth) {
                return true;
            }
        } else if (c == '}' || c == ']') {
            --depth;
        }
    }
    return false;
}

/// The client's capabilities, from what follows the version numbers: a NUL-terminated JSON text, or
/// nothing. An object in any case. Error EINVAL.
Result<nlohmann::json> offered_capabilities(ByteView data) {
    if (data.empty()) {
        return nlohmann::json::object();
    }
    const std::string_view text(reinterpret_cast<const char *>(data.data()), data.size());
    const auto nul = text.find('\0');
    if (nul != text.size() - 1 || text.size() > MaxJsonText || too_deep(text)) {
        return fail(EINVAL, "version data: no single NUL at the end, or too large");
    }
    const auto parsed = nlohmann::json::parse(text.substr(0, nul), nullptr, false);
    if (!parsed.is_object()) {
        return fail(EINVAL, "version data is no JSON object");
    }
    auto offered =
        parsed.contains("capabilities") ? parsed["capabilities"] : nlohmann::json::object();
    if (!offered.is_object()) {
        return fail(EINVAL, "\"capabilities\" is no JSON object");
    }
    return offered;
}

/// What the client takes and gives in one message. Error EINVAL: not a number, or too little.
Result<std::uint32_t> offered_transfer(const nlohmann::json &offered) {
    const auto value = offered.find("max_data_xfer_size");
    if (value == offered.end()) {
        return MaxTransfer;
    }
    if (!value->is_number_unsigned() || value->get<std::uint64_t>() < MinTransfer) {
        return fail(EINVAL, fmt::format("max_data_xfer_size {}: expected a number from {} on",
                                        value->dump(), MinTransfer));
    }
    return static_cast<std::uint32_t>(
        std::min<std::uint64_t>(value->get<std::uint64_t>(), MaxTransfer));
}

/// Ours, as far as the client proposed them too: QEMU also drops a reply that is longer than the
/// request.
nlohmann::json agreed_capabilities(const nlohmann::json &offered) {
    const nlohmann::json ours = {{"max_msg_fds", MaxMessageFds},
                                 {"max_data_xfer_size", MaxTransfer},
                                 {"pgsizes", DmaPageSize},
                                 {"max_dma_maps", MaxDmaMaps},
                                 {"write_multiple", true}};
    nlohmann::json agreed = nlohmann::json::object();
    for (const auto &[key, value] : ours.items()) {
        if (offered.contains(key)) {
            agreed[key] = value;
        }
    }
    return agreed;
}

bool takes_fds(std::uint16_t command) {
    return command == static_cast<std::uint16_t>(Command::DmaMap) ||
           command == static_cast<std::uint16_t>(Command::DeviceSetIrqs);
}

} // namespace

const char *command_name(std::uint16_t command) {
    switch (static_cast<Command>(command)) {
    case Command::Version:
        return "VERSION";
    case Command::DmaMap:
        return "DMA_MAP";
    case Command::DmaUnmap:
        return "DMA_UNMAP";
    case Command::DeviceGetInfo:
        return "DEVICE_GET_INFO";
    case Command::DeviceGetRegionInfo:
        return "DEVICE_GET_REGION_INFO";
    case Command::DeviceGetRegionIoFds:
        return "DEVICE_GET_REGION_IO_FDS";
    case Command::DeviceGetIrqInfo:
        return "DEVICE_GET_IRQ_INFO";
    case Command::DeviceSetIrqs:
        return "DEVICE_SET_IRQS";
    case Command::RegionRead:
        return "REGION_READ";
    case Command::RegionWrite:
        return "REGION_WRITE";
    case Command::DmaRead:
        return "DMA_READ";
    case Command::DmaWrite:
        return "DMA_WRITE";
    case Command::DeviceReset:
        return "DEVICE_RESET";
    case Command::DirtyPages:
        return "DIRTY_PAGES";
    case Command::RegionWriteMulti:
        return "REGION_WRITE_MULTI";
    case Command::DeviceFeature:
        return "DEVICE_FEATURE";
    case Command::MigDataRead:
        return "MIG_DATA_READ";
    case Command::MigDataWrite:
        return "MIG_DATA_WRITE";
    }
    return "UNKNOWN";
}

Connection::Connection(std::unique_ptr<Transport> transport, DeviceOps &device, ReplyFilter *filter,
                       std::function<void(const LogEntry &)> log)
    : transport_(std::move(transport)), device_(device), filter_(filter), log_(std::move(log)) {}

Connection::~Connection() {
    if (negotiated_) {
        device_.closed();
    }
    for (auto &[id, waiting] : std::exchange(pending_, {})) {
        finish(waiting, fail(ECONNRESET, "the client is gone"));
    }
}

Result<bool> Connection::pump(Clock::time_point now) {
    for (unsigned taken = 0; taken < MaxMessagesPerPump; ++taken) {
        // Before the next message is taken, so that its reply is not queued behind many.
        if (const auto sent = flush(now); !sent) {
            return tl::unexpected(sent.error());
        }
        if (!wants_read()) {
            return false;
        }
        auto message = reader_.next(*transport_);
        if (!message) {
            if (message.error().code == EMSGSIZE) {
                Reply reply;
                reply.error = EMSGSIZE;
                queue(reader_.header(), std::move(reply));
                (void)flush(now);
            }
            return tl::unexpected(message.error());
        }
        if (!message->has_value()) {
            return false;
        }
        if (!handle(std::move(**message))) {
            (void)flush(now);
            return fail(ECONNABORTED, "the server ends the connection");
        }
    }
    if (const auto sent = flush(now); !sent) {
        return tl::unexpected(sent.error());
    }
    return wants_read();
}

std::optional<Clock::time_point> Connection::deadline() const {
    return outgoing_.empty() || blocked_ ? std::nullopt : outgoing_.front().due;
}

Result<void> Connection::flush(Clock::time_point now) {
    blocked_ = false;
    while (!outgoing_.empty()) {
        auto &head = outgoing_.front();
        if (head.delay.count() > 0 && !head.due) {
            head.due = now + head.delay;
        }
        if (head.due && now < *head.due) {
            return {};
        }
        std::vector<int> fds;
        if (head.sent == 0) {
            std::transform(head.fds.begin(), head.fds.end(), std::back_inserter(fds),
                           [](const UniqueFd &fd) { return fd.get(); });
        }
        const auto put = transport_->send(ByteView(head.bytes).subspan(head.sent), fds);
        if (!put) {
            return tl::unexpected(put.error());
        }
        if (*put == 0) {
            blocked_ = true;
            return {};
        }
        head.sent += *put;
        queued_ -= *put;
        if (head.sent == head.bytes.size()) {
            outgoing_.pop_front();
        }
    }
    return {};
}

bool Connection::handle(Message message) {
    const Header header = message.header;
    LogEntry entry;
    entry.command = header.command;
    entry.fds = message.fds.size();
    entry.no_reply = (header.flags & FlagNoReply) != 0;

    if ((header.flags & TypeMask) == TypeReply) {
        handle_reply(message);
        return true;
    }
    Reply reply;
    if ((header.flags & TypeMask) != TypeCommand) {
        reply = refuse(entry, EINVAL, fmt::format("message type {}", header.flags & TypeMask));
    } else if (!message.fds.empty() && !takes_fds(header.command)) {
        reply = refuse(entry, EINVAL, "file descriptors with a command that takes none");
    } else {
        reply = dispatch(message, entry);
    }
    if (filter_ != nullptr) {
        filter_->filter(header, message.body, reply);
    }
    entry.error = reply.error;
    if (log_) {
        log_(entry);
    }
    if (reply.hang_up) {
        return false;
    }
    if (!entry.no_reply && !reply.swallow) {
        queue(header, std::move(reply));
    }
    // A client that does not speak our version has nothing more to say.
    return header.command != static_cast<std::uint16_t>(Command::Version) || entry.error == 0;
}

void Connection::handle_reply(const Message &message) {
    const auto found = pending_.find(message.header.id);
    if (found == pending_.end()) {
        return; // an answer to nothing we asked
    }
    Pending waiting = std::move(found->second);
    pending_.erase(found);
    const std::size_t expected = sizeof(DmaAccess) + waiting.count;
    if ((message.header.flags & FlagError) != 0) {
        const int code = message.header.error != 0 ? static_cast<int>(message.header.error) : EIO;
        finish(waiting, fail(code, "the client refused it"));
    } else if (waiting.read && message.body.size() != expected) {
        finish(waiting, fail(EPROTO, fmt::format("DMA_READ answered with {} bytes, expected {}",
                                                 message.body.size(), expected)));
    } else if (waiting.read) {
        finish(waiting, Bytes(message.body.begin() + sizeof(DmaAccess), message.body.end()));
    } else {
        finish(waiting, Bytes());
    }
}

void Connection::finish(Pending &pending, Result<Bytes> answer) {
    if (pending.read) {
        pending.read(std::move(answer));
    } else if (pending.write) {
        pending.write(answer ? Result<void>() : tl::unexpected(answer.error()));
    }
}

Reply Connection::dispatch(Message &message, LogEntry &entry) {
    const auto command = static_cast<Command>(message.header.command);
    if (!negotiated_ && command != Command::Version) {
        return refuse(entry, EPROTO, "the first command must be VERSION");
    }
    switch (command) {
    case Command::Version:
        return version(message, entry);
    case Command::DmaMap:
        return dma_map(message, entry);
    case Command::DmaUnmap:
        return dma_unmap(message, entry);
    case Command::DeviceGetInfo:
        return device_info(message, entry);
    case Command::DeviceGetRegionInfo:
        return region_info(message, entry);
    case Command::DeviceGetIrqInfo:
        return irq_info(message, entry);
    case Command::DeviceSetIrqs:
        return set_irqs(message, entry);
    case Command::RegionRead:
        return region_read(message, entry);
    case Command::RegionWrite:
        return region_write(message, entry);
    case Command::RegionWriteMulti:
        return region_write_multi(message, entry);
    case Command::DeviceReset:
        return device_reset(message, entry);
    case Command::DeviceFeature:
        return device_feature(message, entry);
    case Command::DeviceGetRegionIoFds:
    case Command::DirtyPages:
    case Command::MigDataRead:
    case Command::MigDataWrite:
        return refuse(entry, ENOTSUP, "this device does not offer the command");
    case Command::DmaRead:
    case Command::DmaWrite:
        return refuse(entry, EINVAL, "only the server sends this command");
    }
    return refuse(entry, ENOSYS, fmt::format("unknown command {}", message.header.command));
}

Reply Connection::version(const Message &message, LogEntry &entry) {
    if (negotiated_) {
        return refuse(entry, EINVAL, "VERSION twice");
    }
    const ByteView body = message.body;
    if (body.size() < sizeof(Version)) {
        return refuse_size(entry, body.size(), sizeof(Version));
    }
    const auto proposed = load<Version>(body);
    entry.args = {{"major", proposed.major}, {"minor", proposed.minor}};
    if (proposed.major != VersionMajor) {
        return refuse(entry, ENOTSUP,
                      fmt::format("major version {}, expected {}", proposed.major, VersionMajor));
    }
    const auto offered = offered_capabilities(body.subspan(sizeof(Version)));
    if (!offered) {
        return refuse(entry, offered.error());
    }
    const auto transfer = offered_transfer(*offered);
    if (!transfer) {
        return refuse(entry, transfer.error());
    }
    peer_max_transfer_ = *transfer;
    Reply reply = with_payload(Version{VersionMajor, VersionMinor});
    const std::string text = nlohmann::json{{"capabilities", agreed_capabilities(*offered)}}.dump();
    for (const char c : text) {
        reply.payload.push_back(static_cast<std::byte>(c));
    }
    reply.payload.push_back(std::byte{0});
    negotiated_ = true;
    device_.opened(*this);
    return reply;
}

Reply Connection::dma_map(Message &message, LogEntry &entry) {
    if (message.body.size() != sizeof(DmaMap)) {
        return refuse_size(entry, message.body.size(), sizeof(DmaMap));
    }
    const auto map = load<DmaMap>(message.body);
    entry.args = {
        {"iova", map.iova}, {"size", map.size}, {"offset", map.offset}, {"flags", map.flags}};
    const std::uint32_t rights = map.flags & (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);
    const std::uint32_t ways = map.flags & (DmaMapMmap | DmaMapFileIo);
    if (map.argsz < sizeof(DmaMap) || (map.flags & ~(rights | ways)) != 0 || rights == 0 ||
        message.fds.size() > 1) {
        return refuse(entry, EINVAL, "argsz, flags or number of descriptors");
    }
    if (ways != 0 && message.fds.empty()) {
        return refuse(entry, EINVAL, "flags that say how to use a file, and no file");
    }
    const std::uint64_t low = DmaPageSize - 1;
    if (map.size == 0 || map.iova + map.size - 1 < map.iova ||
        ((map.iova | map.size | map.offset) & low) != 0) {
        return refuse(entry, EINVAL, "empty, wrapping or unaligned range");
    }
    const DmaRange range = {map.iova,
                            map.size,
                            map.offset,
                            (map.flags & VFIO_DMA_MAP_FLAG_READ) != 0,
                            (map.flags & VFIO_DMA_MAP_FLAG_WRITE) != 0,
                            ways == DmaMapFileIo};
    UniqueFd fd;
    if (!message.fds.empty()) {
        fd = std::move(message.fds.front());
    }
    const auto done = device_.map_dma(range, std::move(fd));
    return done ? Reply{} : refuse(entry, done.error());
}

Reply Connection::dma_unmap(const Message &message, LogEntry &entry) {
    if (message.body.size() != sizeof(DmaUnmap)) {
        return refuse_size(entry, message.body.size(), sizeof(DmaUnmap));
    }
    auto unmap = load<DmaUnmap>(message.body);
    entry.args = {{"iova", unmap.iova}, {"size", unmap.size}, {"flags", unmap.flags}};
    const bool all = (unmap.flags & VFIO_DMA_UNMAP_FLAG_ALL) != 0;
    if (unmap.argsz < sizeof(DmaUnmap) ||
        (unmap.flags & ~std::uint32_t{VFIO_DMA_UNMAP_FLAG_ALL}) != 0 ||
        (all && (unmap.iova | unmap.size) != 0) || (!all && unmap.size == 0) ||
        (!all && unmap.iova + unmap.size - 1 < unmap.iova)) {
        return refuse(entry, EINVAL, "argsz, flags, or an empty or wrapping range");
    }
    const auto removed = device_.unmap_dma(unmap.iova, unmap.size, all);
    if (!removed) {
        return refuse(entry, removed.error());
    }
    entry.args.emplace_back("removed", *removed);
    unmap.argsz = sizeof(DmaUnmap);
    unmap.size = *removed;
    return with_payload(unmap);
}

Reply Connection::device_info(const Message &message, LogEntry &entry) {
    if (message.body.size() < sizeof(DeviceInfo)) {
        return refuse_size(entry, message.body.size(), sizeof(DeviceInfo));
    }
    const auto request = load<DeviceInfo>(message.body);
    entry.args = {{"argsz", request.argsz}};
    if (request.argsz < sizeof(DeviceInfo)) {
        return refuse(entry, EINVAL,
                      fmt::format("argsz {} is below {}", request.argsz, sizeof(DeviceInfo)));
    }
    const auto device = device_.describe_device();
    Bytes info;
    append(info, DeviceInfo{sizeof(DeviceInfo), device.flags, device.num_regions, device.num_irqs});
    Reply reply;
    reply.payload = info_with_caps(DeviceInfoForm, std::move(info), device.caps, request.argsz);
    return reply;
}

Reply Connection::region_info(const Message &message, LogEntry &entry) {
    if (message.body.size() < sizeof(RegionInfo)) {
        return refuse_size(entry, message.body.size(), sizeof(RegionInfo));
    }
    const auto request = load<RegionInfo>(message.body);
    entry.args = {{"index", request.index}, {"argsz", request.argsz}};
    if (request.argsz < sizeof(RegionInfo)) {
        return refuse(entry, EINVAL,
                      fmt::format("argsz {} is below {}", request.argsz, sizeof(RegionInfo)));
    }
    auto region = device_.describe_region(request.index);
    if (!region) {
        return refuse(entry, region.error());
    }
    Bytes info;
    append(info, RegionInfo{.argsz = sizeof(RegionInfo),
                            .flags = region->flags,
                            .index = request.index,
                            .cap_offset = 0,
                            .size = region->size,
                            .offset = region->offset});
    Reply reply;
    reply.payload = info_with_caps(RegionInfoForm, std::move(info), region->caps, request.argsz);
    // A client that asks how much room the answer needs may have none for a descriptor.
    const bool whole = load<std::uint32_t>(reply.payload) <= request.argsz;
    if (whole && (region->flags & VFIO_REGION_INFO_FLAG_MMAP) != 0 && region->fd) {
        reply.fds.push_back(std::move(region->fd));
    }
    return reply;
}

Reply Connection::irq_info(const Message &message, LogEntry &entry) {
    if (message.body.size() < sizeof(IrqInfo)) {
        return refuse_size(entry, message.body.size(), sizeof(IrqInfo));
    }
    const auto request = load<IrqInfo>(message.body);
    entry.args = {{"index", request.index}, {"argsz", request.argsz}};
    if (request.argsz < sizeof(IrqInfo)) {
        return refuse(entry, EINVAL,
                      fmt::format("argsz {} is below {}", request.argsz, sizeof(IrqInfo)));
    }
    const auto irq = device_.describe_irq(request.index);
    if (!irq) {
        return refuse(entry, irq.error());
    }
    IrqInfo info = {};
    info.argsz = sizeof(IrqInfo);
    info.flags = irq->flags;
    info.index = request.index;
    info.count = irq->count;
    return with_payload(info);
}

Reply Connection::set_irqs(Message &message, LogEntry &entry) {
    if (message.body.size() < sizeof(IrqSet)) {
        return refuse_size(entry, message.body.size(), sizeof(IrqSet));
    }
    const auto set = load<IrqSet>(message.body);
    entry.args = {
        {"index", set.index}, {"start", set.start}, {"count", set.count}, {"flags", set.flags}};
    const std::uint32_t data = set.flags & VFIO_IRQ_SET_DATA_TYPE_MASK;
    const std::uint32_t action = set.flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;
    const std::uint32_t known = VFIO_IRQ_SET_DATA_TYPE_MASK | VFIO_IRQ_SET_ACTION_TYPE_MASK;
    if ((set.flags & ~known) != 0 || !std::has_single_bit(data) || !std::has_single_bit(action)) {
        return refuse(entry, EINVAL, "flags need one DATA bit and one ACTION bit");
    }
    if (set.argsz < sizeof(IrqSet) || set.argsz > message.body.size()) {
        return refuse(entry, EINVAL, "argsz does not match the message");
    }
    IrqRequest request;
    request.flags = set.flags;
    request.index = set.index;
    request.start = set.start;
    request.count = set.count;
    if (data == VFIO_IRQ_SET_DATA_BOOL) {
        if (message.body.size() - sizeof(IrqSet) != set.count) {
            return refuse_size(entry, message.body.size(), sizeof(IrqSet) + std::size_t{set.count});
        }
        for (std::size_t i = sizeof(IrqSet); i < message.body.size(); ++i) {
            request.selected.push_back(message.body[i] != std::byte{0});
        }
    }
    const bool wants_fds = data == VFIO_IRQ_SET_DATA_EVENTFD;
    if (wants_fds ? (!message.fds.empty() && message.fds.size() != set.count)
                  : !message.fds.empty()) {
        return refuse(
            entry, EINVAL,
            fmt::format("{} descriptors for {} interrupts", message.fds.size(), set.count));
    }
    request.eventfds = std::move(message.fds);
    const auto done = device_.set_irqs(std::move(request));
    return done ? Reply{} : refuse(entry, done.error());
}

Reply Connection::region_read(const Message &message, LogEntry &entry) {
    if (message.body.size() != sizeof(RegionAccess)) {
        return refuse_size(entry, message.body.size(), sizeof(RegionAccess));
    }
    auto access = load<RegionAccess>(message.body);
    entry.args = {{"region", access.region}, {"offset", access.offset}, {"count", access.count}};
    if (access.count == 0 || access.count > MaxTransfer) {
        return refuse(entry, EINVAL,
                      fmt::format("count {} is not within 1 to {}", access.count, MaxTransfer));
    }
    Bytes data(access.count);
    const auto got = device_.read_region(access.region, access.offset, data);
    if (!got) {
        return refuse(entry, got.error());
    }
    data.resize(*got);
    access.count = static_cast<std::uint32_t>(*got);
    if (data.size() <= sizeof(std::uint64_t)) {
        std::uint64_t value = 0;
        std::memcpy(&value, data.data(), data.size());
        entry.args.emplace_back("value", value);
    }
    Reply reply = with_payload(access);
    reply.payload.insert(reply.payload.end(), data.begin(), data.end());
    return reply;
}

Reply Connection::region_write(const Message &message, LogEntry &entry) {
    if (message.body.size() < sizeof(RegionAccess)) {
        return refuse_size(entry, message.body.size(), sizeof(RegionAccess));
    }
    auto access = load<RegionAccess>(message.body);
    entry.args = {{"region", access.region}, {"offset", access.offset}, {"count", access.count}};
    const ByteView data = ByteView(message.body).subspan(sizeof(RegionAccess));
    if (access.count == 0 || access.count != data.size()) {
        return refuse(entry, EINVAL,
                      fmt::format("count {} with {} bytes of data", access.count, data.size()));
    }
    if (data.size() <= sizeof(std::uint64_t)) {
        std::uint64_t value = 0;
        std::memcpy(&value, data.data(), data.size());
        entry.args.emplace_back("value", value);
    }
    const auto put = device_.write_region(access.region, access.offset, data);
    if (!put) {
        return refuse(entry, put.error());
    }
    access.count = static_cast<std::uint32_t>(*put);
    return with_payload(access);
}

Reply Connection::region_write_multi(const Message &message, LogEntry &entry) {
    const ByteView body = message.body;
    if (body.size() < sizeof(std::uint64_t)) {
        return refuse_size(entry, body.size(), sizeof(std::uint64_t));
    }
    const auto count = load<std::uint64_t>(body);
    entry.args = {{"writes", count}};
    if (count > MaxMultiWrites || body.size() != sizeof(count) + count * sizeof(MultiWrite)) {
        return refuse(entry, EINVAL, fmt::format("{} writes in {} bytes", count, body.size()));
    }
    std::optional<Error> problem;
    for (std::uint64_t i = 0; i < count; ++i) {
        const auto write = load<MultiWrite>(body, sizeof(count) + i * sizeof(MultiWrite));
        if (write.count == 0 || write.count > sizeof(write.data)) {
            problem = Error{EINVAL, fmt::format("write {} of {} bytes", i, write.count)};
            continue;
        }
        const auto put = device_.write_region(write.region, write.offset,
                                              std::as_bytes(std::span(write.data, write.count)));
        if (!put) {
            problem = put.error();
        }
    }
    return problem ? refuse(entry, *problem) : with_payload(count);
}

Reply Connection::device_reset(const Message &message, LogEntry &entry) {
    if (!message.body.empty()) {
        return refuse_size(entry, message.body.size(), 0);
    }
    const auto done = device_.reset();
    return done ? Reply{} : refuse(entry, done.error());
}

Reply Connection::device_feature(const Message &message, LogEntry &entry) {
    constexpr std::size_t Head = 2 * sizeof(std::uint32_t); // struct vfio_device_feature
    if (message.body.size() < Head) {
        return refuse_size(entry, message.body.size(), Head);
    }
    const auto flags = load<std::uint32_t>(message.body, sizeof(std::uint32_t));
    entry.args = {{"argsz", load<std::uint32_t>(message.body)}, {"flags", flags}};
    // Clients take EINVAL, and nothing else, for "there is no such feature".
    return refuse(entry, EINVAL, fmt::format("no feature {}", flags & VFIO_DEVICE_FEATURE_MASK));
}

void Connection::queue(const Header &header, Reply reply) {
    Header out = header;
    out.flags = TypeReply;
    out.error = 0;
    if (reply.error != 0) {
        out.flags |= FlagError;
        out.error = static_cast<std::uint32_t>(reply.error);
        reply.payload.clear();
        reply.fds.clear();
    }
    out.id = reply.claimed_id.value_or(header.id);
    out.size = reply.claimed_size.value_or(
        static_cast<std::uint32_t>(sizeof(Header) + reply.payload.size()));
    Outgoing whole;
    append(whole.bytes, out);
    whole.bytes.insert(whole.bytes.end(), reply.payload.begin(), reply.payload.end());
    whole.fds = std::move(reply.fds);
    whole.delay = reply.delay;
    if (reply.pause_after && *reply.pause_after > 0 && *reply.pause_after < whole.bytes.size()) {
        Outgoing first;
        const auto cut = whole.bytes.begin() + static_cast<std::ptrdiff_t>(*reply.pause_after);
        first.bytes.assign(whole.bytes.begin(), cut);
        first.fds = std::move(whole.fds);
        whole.fds.clear();
        whole.bytes.erase(whole.bytes.begin(), cut);
        queue(std::move(first));
    }
    queue(std::move(whole));
}

void Connection::queue(Outgoing outgoing) {
    queued_ += outgoing.bytes.size();
    outgoing_.push_back(std::move(outgoing));
}

void Connection::ask(Command command, const Bytes &body, Pending pending) {
    if (pending_.size() >= MaxUnanswered) {
        finish(pending, fail(EBUSY, fmt::format("{} questions without an answer", MaxUnanswered)));
        return;
    }
    while (pending_.contains(next_id_)) {
        ++next_id_;
    }
    Outgoing out;
    out.request = next_id_++;
    append(out.bytes,
           Header{*out.request, static_cast<std::uint16_t>(command),
                  static_cast<std::uint32_t>(sizeof(Header) + body.size()), TypeCommand, 0});
    out.bytes.insert(out.bytes.end(), body.begin(), body.end());
    pending_.emplace(*out.request, std::move(pending));
    queue(std::move(out));
}

void Connection::cancel() {
    for (auto &[id, waiting] : pending_) {
        waiting.read = nullptr;
        waiting.write = nullptr;
    }
    // One of which a part has been sent is finished, or the stream would lose step.
    const auto unsent = [this](const Outgoing &out) {
        if (!out.request || out.sent != 0) {
            return false;
        }
        pending_.erase(*out.request);
        queued_ -= out.bytes.size();
        return true;
    };
    outgoing_.erase(std::remove_if(outgoing_.begin(), outgoing_.end(), unsent), outgoing_.end());
}

void Connection::dma_read(std::uint64_t address, std::uint32_t count, ReadDone done) {
    Bytes body;
    append(body, DmaAccess{address, count});
    ask(Command::DmaRead, body, {std::move(done), {}, count});
}

void Connection::dma_write(std::uint64_t address, ByteView data, WriteDone done) {
    Bytes body;
    append(body, DmaAccess{address, data.size()});
    body.insert(body.end(), data.begin(), data.end());
    ask(Command::DmaWrite, body, {{}, std::move(done), static_cast<std::uint32_t>(data.size())});
}

} // namespace type2::vfio_user
