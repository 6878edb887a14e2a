// SPDX-License-Identifier: GPL-2.0-or-later
#include "preflight/facts.h"

#include "cxl/dvsec.h"
#include "cxl/hdm_decoder.h"
#include "pci/config_space.h"

namespace model::preflight {

namespace {

template <typename T> T field(ByteView config, std::size_t at) {
    return fits(at, sizeof(T), config.size()) ? load<T>(config, at) : T{0};
}

// PCIe r6.0 section 7.9.6: vendor, revision and length at +4, id at +8.
std::optional<std::uint32_t> find_dvsec(ByteView config, std::uint16_t id) {
    constexpr unsigned MostHops = (pci::ConfigSize - pci::ExtendedStart) / 4;
    std::uint32_t at = pci::ExtendedStart;
    for (unsigned hops = 0; at >= pci::ExtendedStart && hops < MostHops; ++hops) {
        if (!fits(at, 12, config.size())) {
            break;
        }
        const auto header = load<std::uint32_t>(config, at);
        if ((header & 0xffff) == pci::ExtCapDvsec &&
            field<std::uint16_t>(config, at + 4) == cxl::CxlVendor &&
            field<std::uint16_t>(config, at + 8) == id) {
            return at;
        }
        at = (header >> 20) & ~3U;
    }
    return std::nullopt;
}

DvsecRange decode_range(ByteView config, std::uint32_t at) {
    constexpr std::uint32_t High = ~static_cast<std::uint32_t>(cxl::hdm::Unit - 1);
    const auto size_low = field<std::uint32_t>(config, at + 4);
    const auto pair = [&](std::uint32_t high, std::uint32_t low) {
        return std::uint64_t{field<std::uint32_t>(config, high)} << 32 |
               (field<std::uint32_t>(config, low) & High);
    };
    return {pair(at + 8, at + 12), pair(at, at + 4), (size_low & 1U) != 0, (size_low & 2U) != 0};
}

CxlDvsec decode_device_dvsec(ByteView config, std::uint32_t at) {
    constexpr std::uint32_t RangeStride = 0x10;
    CxlDvsec dvsec;
    dvsec.capability = field<std::uint16_t>(config, at + cxl::dvsec::Capability);
    dvsec.control = field<std::uint16_t>(config, at + cxl::dvsec::Control);
    // HDM_Count, CXL r3.1 section 8.1.3.1: 1 or 2 ranges
    const unsigned count = (dvsec.capability >> 4) & 3U;
    for (unsigned i = 0; i < count && i < 2; ++i) {
        dvsec.ranges.push_back(
            decode_range(config, at + cxl::dvsec::Range1SizeHigh + RangeStride * i));
    }
    return dvsec;
}

// CXL r3.1 section 8.1.9: blocks of two dwords, the first at +0xc
std::optional<ComponentPlace> decode_locator(ByteView config, std::uint32_t at) {
    constexpr std::uint32_t FirstBlock = 0xc;
    constexpr std::uint32_t BlockSize = 8;
    const std::uint32_t length = field<std::uint32_t>(config, at + 4) >> 20;
    for (std::uint32_t block = FirstBlock; block + BlockSize <= length; block += BlockSize) {
        const auto low = field<std::uint32_t>(config, at + block);
        if (((low >> 8) & 0xff) == cxl::BlockIdComponent) {
            return ComponentPlace{
                low & 7U, std::uint64_t{field<std::uint32_t>(config, at + block + 4)} << 32 |
                              (low & 0xffff0000U)};
        }
    }
    return std::nullopt;
}

} // namespace

PciFacts decode_config(ByteView config) {
    PciFacts facts;
    facts.config_size = config.size();
    facts.vendor = field<std::uint16_t>(config, pci::reg::VendorId);
    facts.device = field<std::uint16_t>(config, pci::reg::DeviceId);
    facts.class_code = field<std::uint32_t>(config, pci::reg::ClassCode - 1) >> 8;
    facts.header_type = field<std::uint8_t>(config, pci::reg::HeaderType) & 0x7f;
    if (const auto at = find_dvsec(config, cxl::DvsecDevice)) {
        facts.cxl = decode_device_dvsec(config, *at);
    }
    if (const auto at = find_dvsec(config, cxl::DvsecLocator)) {
        facts.component = decode_locator(config, *at);
    }
    return facts;
}

} // namespace model::preflight
