// SPDX-License-Identifier: GPL-2.0-or-later
#include "preflight/facts.h"

#include "cxl/dvsec.h"
#include "cxl/hdm_decoder.h"
#include "pci/config_space.h"
#include "vfio/walk.h"

#include <cerrno>

namespace type2::preflight {

namespace {

template <typename T> T field(ByteView config, std::size_t at) {
    return fits(at, sizeof(T), config.size()) ? load<T>(config, at) : T{0};
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
    dvsec.revision = (field<std::uint32_t>(config, at + 4) >> 16) & 0xf;
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

/// PCIe r6.0 section 7.5.3.2, Device/Port Type.
bool is_root_complex_integrated(ByteView config) {
    constexpr unsigned MostHops = 48;
    constexpr unsigned IntegratedEndpoint = 9;
    std::size_t at = field<std::uint8_t>(config, pci::reg::CapPointer) & ~3U;
    for (unsigned hops = 0; at != 0 && hops < MostHops; ++hops) {
        if (field<std::uint8_t>(config, at) == pci::CapIdExpress) {
            return ((field<std::uint16_t>(config, at + 2) >> 4) & 0xf) == IntegratedEndpoint;
        }
        at = field<std::uint8_t>(config, at + 1) & ~3U;
    }
    return false;
}

} // namespace

PciFacts decode_config(ByteView config) {
    PciFacts facts;
    facts.config_size = config.size();
    facts.vendor = field<std::uint16_t>(config, pci::reg::VendorId);
    facts.device = field<std::uint16_t>(config, pci::reg::DeviceId);
    facts.class_code = field<std::uint32_t>(config, pci::reg::ClassCode - 1) >> 8;
    facts.header_type = field<std::uint8_t>(config, pci::reg::HeaderType) & 0x7f;
    facts.memory_space =
        (field<std::uint16_t>(config, pci::reg::Command) & pci::CommandMemory) != 0;
    const auto dword = [&](std::uint32_t at) -> Result<std::uint32_t> {
        return fits(at, sizeof(std::uint32_t), config.size())
                   ? Result<std::uint32_t>(load<std::uint32_t>(config, at))
                   : fail(ENODATA, "that much of configuration space was not read");
    };
    if (const auto at = vfio::find_dvsec(cxl::DvsecDevice, dword)) {
        facts.cxl = decode_device_dvsec(config, *at);
    }
    facts.root_complex_integrated = is_root_complex_integrated(config);
    if (const auto at = vfio::find_dvsec(cxl::DvsecLocator, dword)) {
        facts.has_locator = true;
        if (const auto place = vfio::find_component(*at, dword)) {
            facts.component = *place;
        }
    }
    return facts;
}

} // namespace type2::preflight
