// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio_user/request.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <string_view>

namespace type2::vfio_user {

namespace {

constexpr int MaxJsonDepth = 8;
constexpr std::size_t MaxJsonText = 4096;

Error invalid(std::string reason) {
    return {EINVAL, std::move(reason)};
}

Error wrong_size(std::size_t found, std::size_t expected) {
    return invalid(fmt::format("payload of {} bytes, expected {}", found, expected));
}

/// The structure at the beginning of the body, or nothing and the problem.
template <typename T> std::optional<T> head(Request &request, bool and_no_more) {
    const auto size = request.body.size();
    if (and_no_more ? size != sizeof(T) : size < sizeof(T)) {
        request.problem = wrong_size(size, sizeof(T));
        return std::nullopt;
    }
    return load<T>(request.body);
}

/// Where argsz has no room for the least there is to say.
std::optional<Error> small_argsz(std::uint32_t argsz, std::size_t least) {
    return argsz < least ? std::optional(invalid(fmt::format("argsz {} is below {}", argsz, least)))
                         : std::nullopt;
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

bool takes_fds(std::uint16_t command) {
    return command == static_cast<std::uint16_t>(Command::DmaMap) ||
           command == static_cast<std::uint16_t>(Command::DeviceSetIrqs);
}

void read_version(Request &request) {
    const auto version = head<Version>(request, false);
    if (!version) {
        return;
    }
    auto &what = request.what.emplace<VersionRequest>();
    what.version = *version;
    if (version->major != VersionMajor) {
        request.problem = Error{
            ENOTSUP, fmt::format("major version {}, expected {}", version->major, VersionMajor)};
        return;
    }
    const auto offered = offered_capabilities(ByteView(request.body).subspan(sizeof(Version)));
    if (!offered) {
        request.problem = offered.error();
        return;
    }
    for (const auto &[name, value] : offered->items()) {
        what.capabilities.push_back(name);
    }
    const auto transfer = offered_transfer(*offered);
    if (!transfer) {
        request.problem = transfer.error();
        return;
    }
    what.max_transfer = *transfer;
}

void read_dma_map(Request &request, std::vector<UniqueFd> fds) {
    const auto read = head<DmaMap>(request, true);
    if (!read) {
        return;
    }
    const auto &map = *read;
    auto &what = request.what.emplace<DmaMapRequest>();
    what.map = map;
    const std::uint32_t rights = map.flags & (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);
    const std::uint32_t ways = map.flags & (DmaMapMmap | DmaMapFileIo);
    if (map.argsz < sizeof(DmaMap) || (map.flags & ~(rights | ways)) != 0 || rights == 0 ||
        fds.size() > 1) {
        request.problem = invalid("argsz, flags or number of descriptors");
        return;
    }
    if (ways != 0 && fds.empty()) {
        request.problem = invalid("flags that say how to use a file, and no file");
        return;
    }
    const std::uint64_t low = DmaPageSize - 1;
    if (map.size == 0 || map.iova + map.size - 1 < map.iova ||
        ((map.iova | map.size | map.offset) & low) != 0) {
        request.problem = invalid("empty, wrapping or unaligned range");
        return;
    }
    what.range = {map.iova,
                  map.size,
                  map.offset,
                  (map.flags & VFIO_DMA_MAP_FLAG_READ) != 0,
                  (map.flags & VFIO_DMA_MAP_FLAG_WRITE) != 0,
                  ways == DmaMapFileIo};
    if (!fds.empty()) {
        what.fd = std::move(fds.front());
    }
}

void read_dma_unmap(Request &request) {
    const auto read = head<DmaUnmap>(request, true);
    if (!read) {
        return;
    }
    const auto &unmap = request.what.emplace<DmaUnmapRequest>(DmaUnmapRequest{*read}).unmap;
    const bool all = (unmap.flags & VFIO_DMA_UNMAP_FLAG_ALL) != 0;
    if (unmap.argsz < sizeof(DmaUnmap) ||
        (unmap.flags & ~std::uint32_t{VFIO_DMA_UNMAP_FLAG_ALL}) != 0 ||
        (all && (unmap.iova | unmap.size) != 0) || (!all && unmap.size == 0) ||
        (!all && unmap.iova + unmap.size - 1 < unmap.iova)) {
        request.problem = invalid("argsz, flags, or an empty or wrapping range");
    }
}

void read_device_info(Request &request) {
    if (const auto info = head<DeviceInfo>(request, false)) {
        request.what = DeviceInfoRequest{info->argsz};
        request.problem = small_argsz(info->argsz, sizeof(DeviceInfo));
    }
}

void read_region_info(Request &request) {
    if (const auto info = head<RegionInfo>(request, false)) {
        request.what = RegionInfoRequest{info->index, info->argsz};
        request.problem = small_argsz(info->argsz, sizeof(RegionInfo));
    }
}

void read_irq_info(Request &request) {
    if (const auto info = head<IrqInfo>(request, false)) {
        request.what = IrqInfoRequest{info->index, info->argsz};
        request.problem = small_argsz(info->argsz, sizeof(IrqInfo));
    }
}

void read_set_irqs(Request &request, std::vector<UniqueFd> fds) {
    const auto set = head<IrqSet>(request, false);
    if (!set) {
        return;
    }
    auto &what = request.what.emplace<IrqRequest>();
    what.flags = set->flags;
    what.index = set->index;
    what.start = set->start;
    what.count = set->count;
    const std::uint32_t data = set->flags & VFIO_IRQ_SET_DATA_TYPE_MASK;
    const std::uint32_t action = set->flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;
    const std::uint32_t known = VFIO_IRQ_SET_DATA_TYPE_MASK | VFIO_IRQ_SET_ACTION_TYPE_MASK;
    if ((set->flags & ~known) != 0 || !std::has_single_bit(data) || !std::has_single_bit(action)) {
        request.problem = invalid("flags need one DATA bit and one ACTION bit");
        return;
    }
    if (set->argsz < sizeof(IrqSet) || set->argsz > request.body.size()) {
        request.problem = invalid("argsz does not match the message");
        return;
    }
    if (data == VFIO_IRQ_SET_DATA_BOOL) {
        if (request.body.size() - sizeof(IrqSet) != set->count) {
            request.problem =
                wrong_size(request.body.size(), sizeof(IrqSet) + std::size_t{set->count});
            return;
        }
        for (std::size_t i = sizeof(IrqSet); i < request.body.size(); ++i) {
            what.selected.push_back(request.body[i] != std::byte{0});
        }
    }
    const bool wants_fds = data == VFIO_IRQ_SET_DATA_EVENTFD;
    if (wants_fds ? (!fds.empty() && fds.size() != set->count) : !fds.empty()) {
        request.problem =
            invalid(fmt::format("{} descriptors for {} interrupts", fds.size(), set->count));
        return;
    }
    what.eventfds = std::move(fds);
}

void read_region_read(Request &request) {
    // Its header is of interest where too much comes behind it, too.
    if (request.body.size() >= sizeof(RegionAccess)) {
        request.what = RegionReadRequest{load<RegionAccess>(request.body)};
    }
    const auto access = head<RegionAccess>(request, true);
    if (access && (access->count == 0 || access->count > MaxTransfer)) {
        request.problem =
            invalid(fmt::format("count {} is not within 1 to {}", access->count, MaxTransfer));
    }
}

void read_region_write(Request &request) {
    const auto access = head<RegionAccess>(request, false);
    if (!access) {
        return;
    }
    const ByteView data = ByteView(request.body).subspan(sizeof(RegionAccess));
    request.what = RegionWriteRequest{*access, data};
    if (access->count == 0 || access->count != data.size()) {
        request.problem =
            invalid(fmt::format("count {} with {} bytes of data", access->count, data.size()));
    }
}

void read_multi_write(Request &request) {
    const auto count = head<std::uint64_t>(request, false);
    if (!count) {
        return;
    }
    auto &what = request.what.emplace<MultiWriteRequest>();
    what.count = *count;
    const auto size = request.body.size();
    if (*count > MaxMultiWrites || size != sizeof(*count) + *count * sizeof(MultiWrite)) {
        request.problem = invalid(fmt::format("{} writes in {} bytes", *count, size));
        return;
    }
    for (std::size_t at = sizeof(*count); at < size; at += sizeof(MultiWrite)) {
        what.writes.push_back(load<MultiWrite>(request.body, at));
    }
}

void read_feature(Request &request) {
    using Head = std::array<std::uint32_t, 2>; // struct vfio_device_feature
    if (const auto feature = head<Head>(request, false)) {
        request.what = FeatureRequest{feature->front(), feature->back()};
    }
}

void read_body(Request &request, std::vector<UniqueFd> fds) {
    switch (static_cast<Command>(request.command)) {
    case Command::Version:
        return read_version(request);
    case Command::DmaMap:
        return read_dma_map(request, std::move(fds));
    case Command::DmaUnmap:
        return read_dma_unmap(request);
    case Command::DeviceGetInfo:
        return read_device_info(request);
    case Command::DeviceGetRegionInfo:
        return read_region_info(request);
    case Command::DeviceGetIrqInfo:
        return read_irq_info(request);
    case Command::DeviceSetIrqs:
        return read_set_irqs(request, std::move(fds));
    case Command::RegionRead:
        return read_region_read(request);
    case Command::RegionWrite:
        return read_region_write(request);
    case Command::RegionWriteMulti:
        return read_multi_write(request);
    case Command::DeviceReset:
        request.what = ResetRequest{};
        if (!request.body.empty()) {
            request.problem = wrong_size(request.body.size(), 0);
        }
        return;
    case Command::DeviceFeature:
        return read_feature(request);
    case Command::DeviceGetRegionIoFds:
    case Command::DirtyPages:
    case Command::MigDataRead:
    case Command::MigDataWrite:
        request.problem = Error{ENOTSUP, "this device does not offer the command"};
        return;
    case Command::DmaRead:
    case Command::DmaWrite:
        request.problem = invalid("only the server sends this command");
        return;
    }
    request.problem = Error{ENOSYS, fmt::format("unknown command {}", request.command)};
}

using Arguments = std::vector<std::pair<const char *, std::uint64_t>>;

Arguments said(const std::monostate & /*unread*/) {
    return {};
}
Arguments said(const VersionRequest &request) {
    return {{"major", request.version.major}, {"minor", request.version.minor}};
}
Arguments said(const DmaMapRequest &request) {
    const auto &map = request.map;
    return {{"iova", map.iova}, {"size", map.size}, {"offset", map.offset}, {"flags", map.flags}};
}
Arguments said(const DmaUnmapRequest &request) {
    const auto &unmap = request.unmap;
    return {{"iova", unmap.iova}, {"size", unmap.size}, {"flags", unmap.flags}};
}
Arguments said(const DeviceInfoRequest &request) {
    return {{"argsz", request.argsz}};
}
Arguments said(const RegionInfoRequest &request) {
    return {{"index", request.index}, {"argsz", request.argsz}};
}
Arguments said(const IrqInfoRequest &request) {
    return {{"index", request.index}, {"argsz", request.argsz}};
}
Arguments said(const IrqRequest &request) {
    return {{"index", request.index},
            {"start", request.start},
            {"count", request.count},
            {"flags", request.flags}};
}
Arguments said(const RegionAccess &access) {
    return {{"region", access.region}, {"offset", access.offset}, {"count", access.count}};
}
Arguments said(const RegionReadRequest &request) {
    return said(request.access);
}
Arguments said(const RegionWriteRequest &request) {
    auto list = said(request.access);
    if (const auto value = small_value(request.data)) {
        list.emplace_back("value", *value);
    }
    return list;
}
Arguments said(const MultiWriteRequest &request) {
    return {{"writes", request.count}};
}
Arguments said(const ResetRequest & /*request*/) {
    return {};
}
Arguments said(const FeatureRequest &request) {
    return {{"argsz", request.argsz}, {"flags", request.flags}};
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

Request parse_request(Message message) {
    Request request;
    request.command = message.header.command;
    request.no_reply = (message.header.flags & FlagNoReply) != 0;
    request.fds = message.fds.size();
    request.body = std::move(message.body);
    const auto type = message.header.flags & TypeMask;
    if (type != TypeCommand) {
        request.problem = invalid(fmt::format("message type {}", type));
    } else if (!message.fds.empty() && !takes_fds(request.command)) {
        request.problem = invalid("file descriptors with a command that takes none");
    } else {
        read_body(request, std::move(message.fds));
    }
    return request;
}

std::vector<std::pair<const char *, std::uint64_t>> arguments(const Request &request) {
    return std::visit([](const auto &what) { return said(what); }, request.what);
}

std::optional<std::uint64_t> small_value(ByteView data) {
    std::uint64_t value = 0;
    if (data.empty() || data.size() > sizeof(value)) {
        return std::nullopt;
    }
    std::memcpy(&value, data.data(), data.size());
    return value;
}

} // namespace type2::vfio_user
