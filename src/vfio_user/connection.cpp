// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio_user/connection.h"

#include <algorithm>
#include <cerrno>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <variant>

namespace type2::vfio_user {

namespace {

Reply refuse(LogEntry &entry, int code, std::string reason) {
    entry.reason = std::move(reason);
    Reply reply;
    reply.error = code;
    return reply;
}

Reply refuse(LogEntry &entry, const Error &error) {
    return refuse(entry, error.code, error.text);
}

template <typename T> Reply with_payload(const T &value) {
    Reply reply;
    append(reply.payload, value);
    return reply;
}

/// Ours, as far as the client proposed them too: QEMU also drops a reply that is longer than the
/// request.
nlohmann::json agreed_capabilities(const std::vector<std::string> &offered) {
    const nlohmann::json ours = {{"max_msg_fds", MaxMessageFds},
                                 {"max_data_xfer_size", MaxTransfer},
                                 {"pgsizes", DmaPageSize},
                                 {"max_dma_maps", MaxDmaMaps},
                                 {"write_multiple", true}};
    nlohmann::json agreed = nlohmann::json::object();
    for (const auto &[key, value] : ours.items()) {
        if (std::find(offered.begin(), offered.end(), key) != offered.end()) {
            agreed[key] = value;
        }
    }
    return agreed;
}

} // namespace

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
    if ((header.flags & TypeMask) == TypeReply) {
        handle_reply(message);
        return true;
    }
    Request request = parse_request(std::move(message));
    LogEntry entry = {request.command, arguments(request), request.fds, request.no_reply, 0, {}};
    Reply reply = answer(request, entry);
    if (filter_ != nullptr) {
        filter_->filter(request, reply);
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

Reply Connection::answer(Request &request, LogEntry &entry) {
    const bool version = request.command == static_cast<std::uint16_t>(Command::Version);
    if (!negotiated_ && !version) {
        return refuse(entry, EPROTO, "the first command must be VERSION");
    }
    if (negotiated_ && version) {
        return refuse(entry, EINVAL, "VERSION twice");
    }
    if (request.problem) {
        return refuse(entry, *request.problem);
    }
    return std::visit([&](auto &what) { return handle(what, entry); }, request.what);
}

Reply Connection::handle(std::monostate & /*unread*/, LogEntry &entry) {
    return refuse(entry, ENOSYS, "not read"); // parse_request() has said why
}

Reply Connection::handle(VersionRequest &request, LogEntry & /*entry*/) {
    peer_max_transfer_ = request.max_transfer;
    Reply reply = with_payload(Version{VersionMajor, VersionMinor});
    const std::string text =
        nlohmann::json{{"capabilities", agreed_capabilities(request.capabilities)}}.dump();
    for (const char c : text) {
        reply.payload.push_back(static_cast<std::byte>(c));
    }
    reply.payload.push_back(std::byte{0});
    negotiated_ = true;
    device_.opened(*this);
    return reply;
}

Reply Connection::handle(DmaMapRequest &request, LogEntry &entry) {
    const auto done = device_.map_dma(request.range, std::move(request.fd));
    return done ? Reply{} : refuse(entry, done.error());
}

Reply Connection::handle(DmaUnmapRequest &request, LogEntry &entry) {
    auto &unmap = request.unmap;
    const bool all = (unmap.flags & VFIO_DMA_UNMAP_FLAG_ALL) != 0;
    const auto removed = device_.unmap_dma(unmap.iova, unmap.size, all);
    if (!removed) {
        return refuse(entry, removed.error());
    }
    entry.args.emplace_back("removed", *removed);
    unmap.argsz = sizeof(DmaUnmap);
    unmap.size = *removed;
    return with_payload(unmap);
}

Reply Connection::handle(DeviceInfoRequest &request, LogEntry & /*entry*/) {
    const auto device = device_.describe_device();
    Bytes info;
    append(info, DeviceInfo{sizeof(DeviceInfo), device.flags, device.num_regions, device.num_irqs});
    Reply reply;
    reply.payload = info_with_caps(DeviceInfoForm, std::move(info), device.caps, request.argsz);
    return reply;
}

Reply Connection::handle(RegionInfoRequest &request, LogEntry &entry) {
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

Reply Connection::handle(IrqInfoRequest &request, LogEntry &entry) {
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

Reply Connection::handle(IrqRequest &request, LogEntry &entry) {
    const auto done = device_.set_irqs(std::move(request));
    return done ? Reply{} : refuse(entry, done.error());
}

Reply Connection::handle(RegionReadRequest &request, LogEntry &entry) {
    auto access = request.access;
    Bytes data(access.count);
    const auto got = device_.read_region(access.region, access.offset, data);
    if (!got) {
        return refuse(entry, got.error());
    }
    data.resize(*got);
    access.count = static_cast<std::uint32_t>(*got);
    if (const auto value = small_value(data)) {
        entry.args.emplace_back("value", *value);
    }
    Reply reply = with_payload(access);
    reply.payload.insert(reply.payload.end(), data.begin(), data.end());
    return reply;
}

Reply Connection::handle(RegionWriteRequest &request, LogEntry &entry) {
    auto access = request.access;
    const auto put = device_.write_region(access.region, access.offset, request.data);
    if (!put) {
        return refuse(entry, put.error());
    }
    access.count = static_cast<std::uint32_t>(*put);
    return with_payload(access);
}

Reply Connection::handle(MultiWriteRequest &request, LogEntry &entry) {
    std::optional<Error> problem;
    for (std::size_t i = 0; i < request.writes.size(); ++i) {
        const auto &write = request.writes[i];
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
    return problem ? refuse(entry, *problem) : with_payload(request.count);
}

Reply Connection::handle(ResetRequest & /*request*/, LogEntry &entry) {
    const auto done = device_.reset();
    return done ? Reply{} : refuse(entry, done.error());
}

Reply Connection::handle(FeatureRequest &request, LogEntry &entry) {
    // Clients take EINVAL, and nothing else, for "there is no such feature".
    return refuse(entry, EINVAL,
                  fmt::format("no feature {}", request.flags & VFIO_DEVICE_FEATURE_MASK));
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
