// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/contract/contract.h"

#include "vfio/uapi.h"

#include <linux/vfio.h>

namespace type2::contract {

namespace uapi = vfio::uapi;

std::unique_ptr<Contract> make(Kind kind, const Hardware &hardware) {
    return kind == Kind::Live ? make_live(hardware) : make_shadow(hardware);
}

std::vector<Area> areas_around(std::uint64_t bar_size, std::uint64_t offset, std::uint64_t size,
                               std::uint64_t page_size) {
    const std::uint64_t begin = round_down(offset, page_size);
    const std::uint64_t end = round_up(offset + size, page_size);
    std::vector<Area> areas;
    if (begin > 0) {
        areas.push_back({0, begin});
    }
    if (end < bar_size) {
        areas.push_back({end, bar_size - end});
    }
    return areas;
}

vfio_user::InfoCap sparse_cap(const std::vector<Area> &areas) {
    vfio_user::InfoCap cap = {VFIO_REGION_INFO_CAP_SPARSE_MMAP, 1, {}};
    append(cap.body, static_cast<std::uint32_t>(areas.size()));
    append(cap.body, std::uint32_t{0});
    for (const auto &area : areas) {
        append(cap.body, area.offset);
        append(cap.body, area.size);
    }
    return cap;
}

vfio_user::InfoCap type_cap(std::uint32_t subtype) {
    vfio_user::InfoCap cap = {VFIO_REGION_INFO_CAP_TYPE, 1, {}};
    append(cap.body, uapi::RegionType);
    append(cap.body, subtype);
    return cap;
}

} // namespace type2::contract
