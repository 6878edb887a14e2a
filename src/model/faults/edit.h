// SPDX-License-Identifier: GPL-2.0-or-later
// What faults are made of: looking at a request, and changing the device's honest reply to it.
#pragma once

#include "model/contract/contract.h"
#include "model/device/config.h"
#include "model/faults/faults.h"
#include "vfio_user/caps.h"
#include "vfio_user/protocol.h"

#include <array>
#include <chrono>
#include <cstdint>
#include <linux/vfio.h>
#include <optional>
#include <vector>

namespace type2::device::lies {

using vfio_user::Command;
using vfio_user::InfoCap;
using vfio_user::RegionAccess;
using vfio_user::RegionInfo;
using vfio_user::Reply;

inline constexpr std::uint32_t BarRegion = VFIO_PCI_BAR0_REGION_INDEX + ComponentBar;
inline constexpr std::uint32_t ConfigRegion = VFIO_PCI_CONFIG_REGION_INDEX;
inline constexpr std::uint32_t MemoryRegion = contract::MemoryRegion;
inline constexpr std::uint32_t CompRegs = contract::CompRegsRegion;
inline constexpr std::chrono::seconds Hang{60}; // longer than any client waits

// --- looking at requests -------------------------------------------------------------------------

/// A question about a region that is well formed, whatever the device says to it.
std::optional<vfio_user::RegionInfoRequest> info_request(const FaultView &view);
/// The index of a question about a region that the device answers.
std::optional<std::uint32_t> info_index(const FaultView &view, const Reply &reply);
/// Of a question about the device or a region that the device answers.
std::uint32_t info_argsz(const FaultView &view);
/// A read or a write, as `command` says, of any region.
std::optional<RegionAccess> access(const FaultView &view, Command command);
bool reads(const FaultView &view, std::uint32_t region);
bool writes(const FaultView &view, std::uint32_t region);
bool is_shadow(const FaultView &view);

// --- changing replies ----------------------------------------------------------------------------

/// The process ends, as if it had crashed.
[[noreturn]] void die();

/// An info structure with its capabilities, as argsz has room for them.
Bytes region_info(const RegionInfo &info, const std::vector<InfoCap> &caps, std::uint32_t argsz);

void with_device_info(FaultView &view, Reply &reply, void (*change)(vfio_user::DeviceInfo &));

/// Rebuilds the region info of `index` after `change(info, caps)`, honestly in every other respect.
template <typename Change>
void edit_region(FaultView &view, Reply &reply, std::uint32_t index, Change change) {
    if (info_index(view, reply) != index) {
        return;
    }
    auto info = load<RegionInfo>(reply.payload);
    std::vector<InfoCap> caps;
    if ((info.flags & VFIO_REGION_INFO_FLAG_CAPS) != 0) {
        caps = vfio_user::parse_caps(reply.payload, info.cap_offset).value_or(caps);
    } else if (info.argsz > sizeof(RegionInfo)) {
        return; // the client asks again with room for the capabilities
    }
    change(info, caps);
    info.flags &= ~std::uint32_t{VFIO_REGION_INFO_FLAG_CAPS};
    info.cap_offset = 0;
    reply.payload = region_info(info, caps, info_argsz(view));
    if ((info.flags & VFIO_REGION_INFO_FLAG_MMAP) == 0) {
        reply.fds.clear();
    }
}

/// A dword of `region`, or as much of it as a read returns.
template <typename Change>
void edit_dword(FaultView &view, Reply &reply, std::uint32_t region, std::uint64_t offset,
                Change change) {
    const auto found = access(view, Command::RegionRead);
    if (!found || found->region != region || reply.error != 0) {
        return;
    }
    // Bytes of the dword that were not read count as 0.
    const auto part = ByteSpan(reply.payload).subspan(sizeof(RegionAccess));
    const auto covered = [&](std::size_t i) {
        return offset + i >= found->offset && offset + i - found->offset < part.size();
    };
    std::array<std::byte, 4> dword{};
    for (std::size_t i = 0; i < dword.size(); ++i) {
        if (covered(i)) {
            dword.at(i) = part[offset + i - found->offset];
        }
    }
    store(ByteSpan(dword), 0, std::uint32_t{change(load<std::uint32_t>(dword))});
    for (std::size_t i = 0; i < dword.size(); ++i) {
        if (covered(i)) {
            part[offset + i - found->offset] = dword.at(i);
        }
    }
}

/// Leaves the first `count` bytes of a successful read of `region`, of as many as there are.
template <typename Count>
void cut_read(FaultView &view, Reply &reply, std::uint32_t region, Count count) {
    if (reads(view, region) && reply.error == 0) {
        auto header = load<RegionAccess>(reply.payload);
        header.count = count(std::uint32_t{header.count});
        store(ByteSpan(reply.payload), 0, header);
        reply.payload.resize(sizeof(RegionAccess) + header.count);
    }
}

} // namespace type2::device::lies
