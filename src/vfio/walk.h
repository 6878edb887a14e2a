// SPDX-License-Identifier: GPL-2.0-or-later
// Where a device has what, found by reads of its registers. Whatever these say, every walk ends.
// `dword` is called with an offset and returns a Result<std::uint32_t>; its errors end the walk.
#pragma once

#include "base/result.h"
#include "cxl/component.h"
#include "cxl/dvsec.h"
#include "pci/config_space.h"

#include <cerrno>
#include <cstdint>
#include <fmt/format.h>

namespace type2::vfio {

/// Offset of a CXL DVSEC in configuration space (PCIe r6.0 section 7.9.6). Error ENOENT: none.
template <typename Dword> Result<std::uint32_t> find_dvsec(std::uint16_t id, Dword dword) {
    constexpr unsigned MostHops = (pci::ConfigSize - pci::ExtendedStart) / 4;
    std::uint32_t at = pci::ExtendedStart;
    for (unsigned hops = 0; at >= pci::ExtendedStart && hops < MostHops; ++hops) {
        const Result<std::uint32_t> header = dword(at);
        if (!header) {
            return tl::unexpected(header.error());
        }
        if ((*header & 0xffff) == pci::ExtCapDvsec) {
            const Result<std::uint32_t> vendor = dword(at + 4);
            const Result<std::uint32_t> number = dword(at + 8);
            if (!vendor || !number) {
                return tl::unexpected((vendor ? number : vendor).error());
            }
            if ((*vendor & 0xffff) == cxl::CxlVendor && (*number & 0xffff) == id) {
                return at;
            }
        }
        at = (*header >> 20) & ~3U;
    }
    return fail(ENOENT, fmt::format("no CXL DVSEC with id {}", id));
}

/// Where component registers are.
struct ComponentPlace {
    unsigned bar = 0;
    std::uint64_t offset = 0;
};

/// What the Register Locator DVSEC at `at` says of them (CXL r3.1 section 8.1.9): blocks of two
/// dwords, the first at +0xc. Error ENOENT: nothing.
template <typename Dword> Result<ComponentPlace> find_component(std::uint32_t at, Dword dword) {
    constexpr std::uint32_t FirstBlock = 0xc;
    constexpr std::uint32_t BlockSize = 8;
    const Result<std::uint32_t> header = dword(at + 4);
    if (!header) {
        return tl::unexpected(header.error());
    }
    const std::uint32_t length = *header >> 20;
    for (std::uint32_t block = FirstBlock; block + BlockSize <= length; block += BlockSize) {
        const Result<std::uint32_t> low = dword(at + block);
        const Result<std::uint32_t> high = dword(at + block + 4);
        if (!low || !high) {
            return tl::unexpected((low ? high : low).error());
        }
        if (((*low >> 8) & 0xff) == cxl::BlockIdComponent) {
            return ComponentPlace{*low & 7U, std::uint64_t{*high} << 32 | (*low & 0xffff0000U)};
        }
    }
    return fail(ENOENT, "no component register block in the Register Locator DVSEC");
}

/// Offset of the HDM decoder capability from the CM array's header (CXL r3.1 section 8.2.4), which
/// is at offset 0. Error EPROTO: no such array, or not in it.
template <typename Dword> Result<std::uint32_t> find_hdm(Dword dword) {
    const Result<std::uint32_t> header = dword(0U);
    if (!header) {
        return tl::unexpected(header.error());
    }
    const std::uint32_t entries = (*header & 0xffff) == cxl::CapIdCacheMem ? *header >> 24 : 0;
    for (std::uint32_t i = 1; i <= entries; ++i) {
        const Result<std::uint32_t> entry = dword(4 * i);
        if (!entry) {
            return tl::unexpected(entry.error());
        }
        if ((*entry & 0xffff) == cxl::CapIdHdm) {
            return *entry >> 20;
        }
    }
    return fail(EPROTO,
                fmt::format("no HDM decoder capability behind array header {:#010x}", *header));
}

} // namespace type2::vfio
