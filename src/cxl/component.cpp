// SPDX-License-Identifier: GPL-2.0-or-later
#include "cxl/component.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>

namespace type2::cxl {

namespace {

constexpr std::uint64_t header(std::uint32_t id, std::uint32_t version, std::uint32_t pointer) {
    return id | version << 16 | pointer << 20;
}

std::vector<Register> array_rows() {
    return {
        // Array header: version 1, cachemem version 1, three entries.
        {"cm_header", 0x0, 4, CapIdCacheMem | 1U << 16 | 1U << 20 | 3U << 24, 0, 0,
         "CXL r3.1 8.2.4.1"},
        {"cm_ras", 0x4, 4, header(CapIdRas, 3, RasOffset), 0, 0, "CXL r3.1 8.2.4.2"},
        {"cm_link", 0x8, 4, header(CapIdLink, 2, LinkOffset), 0, 0, "CXL r3.1 8.2.4.4"},
        {"cm_hdm", 0xc, 4, header(CapIdHdm, 3, HdmOffset), 0, 0, "CXL r3.1 8.2.4.5"},
    };
}

std::vector<Register> ras_rows() {
    std::vector<Register> rows = {
        {"ras_uncorrectable_status", 0x00, 4, 0, 0, 0x1cfff, "CXL r3.1 8.2.4.17.1"},
        {"ras_uncorrectable_mask", 0x04, 4, 0x1cfff, 0x1cfff, 0, "CXL r3.1 8.2.4.17.2"},
        {"ras_uncorrectable_severity", 0x08, 4, 0x1cfff, 0x1cfff, 0, "CXL r3.1 8.2.4.17.3"},
        {"ras_correctable_status", 0x0c, 4, 0, 0, 0x7f, "CXL r3.1 8.2.4.17.4"},
        {"ras_correctable_mask", 0x10, 4, 0x7f, 0x7f, 0, "CXL r3.1 8.2.4.17.5"},
        {"ras_control", 0x14, 4, 0, 0x2000, 0, "CXL r3.1 8.2.4.17.6"},
    };
    for (std::uint32_t i = 0; i < 16; ++i) {
        rows.push_back(
            {fmt::format("ras_header_log{}", i), 0x18 + 4 * i, 4, 0, 0, 0, "CXL r3.1 8.2.4.17.7"});
    }
    return rows;
}

std::vector<Register> link_rows() {
    return {
        // Link version 2, LLR wrap value 64.
        {"link_capability", 0x00, 8, 0x4002, 0, 0, "CXL r3.1 8.2.4.19.1"},
        // Link initialised.
        {"link_control", 0x08, 8, 0x30, 0x3, 0, "CXL r3.1 8.2.4.19.2"},
        {"link_rx_credit_control", 0x10, 8, 0, 0x3ffffffffffULL, 0, "CXL r3.1 8.2.4.19.3"},
        {"link_rx_credit_return", 0x18, 8, 0, 0, 0, "CXL r3.1 8.2.4.19.4"},
        {"link_tx_credit_status", 0x20, 8, 0, 0, 0, "CXL r3.1 8.2.4.19.5"},
        {"link_ack_timer", 0x28, 8, 0, 0x1ffff, 0, "CXL r3.1 8.2.4.19.6"},
        {"link_defeature", 0x30, 8, 0, 0x1, 0, "CXL r3.1 8.2.4.19.7"},
    };
}

} // namespace

CacheMemRegisters::CacheMemRegisters(unsigned decoders, std::uint64_t memory_size)
    : hdm_(decoders, memory_size) {
    registers_.add(array_rows());
    registers_.add(ras_rows(), RasOffset);
    registers_.add(link_rows(), LinkOffset);
}

void CacheMemRegisters::reset() {
    registers_.reset();
    hdm_.registers().reset();
}

void CacheMemRegisters::read(std::uint64_t offset, ByteSpan into) const {
    registers_.read(offset, into);
    const std::uint64_t first = std::max<std::uint64_t>(offset, HdmOffset);
    const std::uint64_t last = std::min<std::uint64_t>(offset + into.size(), end());
    if (first < last) {
        hdm_.read(first - HdmOffset, into.subspan(first - offset, last - first));
    }
}

void CacheMemRegisters::write(std::uint64_t offset, ByteView from) {
    registers_.write(offset, from);
    const std::uint64_t first = std::max<std::uint64_t>(offset, HdmOffset);
    const std::uint64_t last = std::min<std::uint64_t>(offset + from.size(), end());
    if (first < last) {
        hdm_.write(first - HdmOffset, from.subspan(first - offset, last - first));
    }
}

} // namespace type2::cxl
