// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/faults/edit.h"

#include <cstdlib>
#include <utility>

namespace type2::device::lies {

namespace {
constexpr int DeathStatus = 3;
} // namespace

std::optional<vfio_user::RegionInfoRequest> info_request(const FaultView &view) {
    const auto *request = view.request.as<vfio_user::RegionInfoRequest>();
    return request != nullptr && !view.request.problem ? std::optional(*request) : std::nullopt;
}

std::optional<std::uint32_t> info_index(const FaultView &view, const Reply &reply) {
    const auto request = info_request(view);
    return request && reply.error == 0 ? std::optional(request->index) : std::nullopt;
}

std::uint32_t info_argsz(const FaultView &view) {
    if (const auto *device = view.request.as<vfio_user::DeviceInfoRequest>()) {
        return device->argsz;
    }
    const auto *region = view.request.as<vfio_user::RegionInfoRequest>();
    return region != nullptr ? region->argsz : 0;
}

std::optional<RegionAccess> access(const FaultView &view, Command command) {
    const auto *read = view.request.as<vfio_user::RegionReadRequest>();
    const auto *write = view.request.as<vfio_user::RegionWriteRequest>();
    if (command == Command::RegionRead && read != nullptr) {
        return read->access;
    }
    if (command == Command::RegionWrite && write != nullptr) {
        return write->access;
    }
    return std::nullopt;
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
