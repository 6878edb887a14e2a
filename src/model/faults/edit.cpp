// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/faults/edit.h"

#include <cstdlib>
#include <utility>

namespace type2::device::lies {

namespace {
constexpr int DeathStatus = 3;
} // namespace

std::optional<RegionInfo> info_request(const FaultView &view) {
    if (view.command != Command::DeviceGetRegionInfo || view.body.size() < sizeof(RegionInfo)) {
        return std::nullopt;
    }
    const auto request = load<RegionInfo>(view.body);
    return request.argsz >= sizeof(RegionInfo) ? std::optional(request) : std::nullopt;
}

std::optional<std::uint32_t> info_index(const FaultView &view, const Reply &reply) {
    const auto request = info_request(view);
    return request && reply.error == 0 ? std::optional(request->index) : std::nullopt;
}

std::uint32_t info_argsz(const FaultView &view) {
    return load<std::uint32_t>(view.body);
}

std::optional<RegionAccess> access(const FaultView &view, Command command) {
    if (view.command != command || view.body.size() < sizeof(RegionAccess)) {
        return std::nullopt;
    }
    return load<RegionAccess>(view.body);
}

bool reads(const FaultView &view, std::uint32_t region) {
    const auto found = access(view, Command::RegionRead);
    return found && found->region == region;
}

bool writes(const FaultView &view, std::uint32_t region) {
    const auto found = access(view, Command::RegionWrite);
    return found && found->region == region;
}

bool is_shadow(const FaultView &view) {
    return view.config.contract == ContractKind::Shadow;
}

[[noreturn]] void die() {
    std::_Exit(DeathStatus);
}

Bytes region_info(const RegionInfo &info, const std::vector<InfoCap> &caps, std::uint32_t argsz) {
    Bytes bytes;
    append(bytes, info);
    return vfio_user::info_with_caps(vfio_user::RegionInfoForm, std::move(bytes), caps, argsz);
}

void with_device_info(FaultView &view, Reply &reply, void (*change)(vfio_user::DeviceInfo &)) {
    if (view.command == Command::DeviceGetInfo && reply.error == 0) {
        auto info = load<vfio_user::DeviceInfo>(reply.payload);
        change(info);
        store(ByteSpan(reply.payload), 0, info);
    }
}

} // namespace type2::device::lies
