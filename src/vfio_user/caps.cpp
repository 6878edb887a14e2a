// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio_user/caps.h"

#include <algorithm>
#include <cerrno>
#include <fmt/format.h>
#include <linux/vfio.h>

namespace type2::vfio_user {

namespace {
constexpr std::uint32_t CapAlign = 8;
} // namespace

Bytes serialize_caps(const std::vector<InfoCap> &caps, std::uint32_t start) {
    Bytes chain;
    for (std::size_t i = 0; i < caps.size(); ++i) {
        const std::size_t size =
            round_up(sizeof(vfio_info_cap_header) + caps[i].body.size(), CapAlign);
        vfio_info_cap_header header = {};
        header.id = caps[i].id;
        header.version = caps[i].version;
        const bool last = i + 1 == caps.size();
        header.next = last ? 0 : static_cast<std::uint32_t>(start + chain.size() + size);
        const std::size_t begin = chain.size();
        append(chain, header);
        chain.insert(chain.end(), caps[i].body.begin(), caps[i].body.end());
        chain.resize(begin + size);
    }
    return chain;
}

Bytes info_with_caps(const InfoForm &form, Bytes info, const std::vector<InfoCap> &caps,
                     std::uint32_t argsz) {
    constexpr std::size_t Flags = sizeof(argsz);
    const Bytes chain = serialize_caps(caps, static_cast<std::uint32_t>(form.with_caps));
    const std::size_t whole = caps.empty() ? form.alone : form.with_caps + chain.size();
    store(ByteSpan(info), 0, static_cast<std::uint32_t>(whole));
    if (caps.empty() || argsz < whole) {
        return info;
    }
    info.resize(form.with_caps);
    store(ByteSpan(info), Flags, load<std::uint32_t>(info, Flags) | form.flag);
    store(ByteSpan(info), form.cap_offset, static_cast<std::uint32_t>(form.with_caps));
    info.insert(info.end(), chain.begin(), chain.end());
    return info;
}

const InfoCap *find_cap(const std::vector<InfoCap> &caps, std::uint16_t id, std::size_t size) {
    const auto found = std::find_if(caps.begin(), caps.end(), [&](const InfoCap &cap) {
        return cap.id == id && cap.body.size() >= size;
    });
    return found == caps.end() ? nullptr : &*found;
}

Result<std::vector<InfoCap>> parse_caps(ByteView info, std::uint32_t start) {
    std::vector<InfoCap> caps;
    std::uint32_t at = start;
    while (at != 0) {
        if (at % CapAlign != 0 || !fits(at, sizeof(vfio_info_cap_header), info.size())) {
            return fail(EPROTO,
                        fmt::format("capability at {:#x}: unaligned or outside the {} bytes", at,
                                    info.size()));
        }
        const auto header = load<vfio_info_cap_header>(info, at);
        if (header.next != 0 && header.next <= at) {
            return fail(EPROTO, fmt::format("capability at {:#x}: next {:#x} goes backwards", at,
                                            header.next));
        }
        // A capability has no length field: it ends where the next one starts.
        const std::size_t end =
            header.next == 0 ? info.size() : std::min<std::size_t>(header.next, info.size());
        const ByteView body = info.subspan(at + sizeof(header), std::max(end, at + sizeof(header)) -
                                                                    at - sizeof(header));
        caps.push_back({header.id, header.version, Bytes(body.begin(), body.end())});
        at = header.next;
    }
    return caps;
}

} // namespace type2::vfio_user
