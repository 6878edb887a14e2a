// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuzz/subject.h"

#include <cstdio>
#include <cstdlib>
#include <initializer_list>

namespace type2::fuzz {

namespace hdm = cxl::hdm;

void finding(const char *what) {
    std::fprintf(stderr, "finding: %s\n", what);
    std::abort();
}

Subject::Subject(std::uint8_t kind) {
    device::Config config;
    config.contract = (kind & 1) != 0 ? device::ContractKind::Shadow : device::ContractKind::Live;
    config.decoders = (kind & 2) != 0 ? 4 : 1;
    config.uncommitted = (kind & 4) != 0;
    config.page_size = (kind & 8) != 0 ? 64 * KiB : 4 * KiB;
    config.hdm_size = 4 * hdm::Unit;
    config.bar_size = device::MinBarSize; // less to set up for each input
    auto valid = device::validate(config, true, false);
    if (!valid) {
        finding("a configuration that should be valid is not");
    }
    auto made = device::Device::create(*valid);
    if (!made) {
        finding("no device");
    }
    device_ = std::move(*made);
    committed_ = decoders();
}

Bytes Subject::decoders() const {
    const auto &block = device_->cachemem().hdm();
    Bytes bytes(block.size() - hdm::FirstDecoder);
    block.read(hdm::FirstDecoder, bytes);
    return bytes;
}

void Subject::check() {
    const Bytes now = decoders();
    if (!device_->config().uncommitted && now != committed_) {
        finding("decoders that firmware committed and locked have changed");
    }
    // What hardware decodes lies in the memory there is, one decoder's behind the other's.
    std::uint64_t left = device::capacity(device_->config());
    for (std::size_t at = 0; at < now.size(); at += hdm::DecoderStride) {
        const auto control = load<std::uint32_t>(now, at + hdm::Control);
        if ((control & hdm::Committed) == 0) {
            continue;
        }
        for (const auto reg : {hdm::SkipLow, hdm::SizeLow}) {
            const auto part = load<std::uint64_t>(now, at + reg);
            if (part > left) {
                finding("a committed decoder ends beyond the device's memory");
            }
            left -= part;
        }
    }
    Bytes id(4);
    const auto got = device_->read_region(7, 0, id); // VFIO_PCI_CONFIG_REGION_INDEX
    if (got && (*got != id.size() || load<std::uint16_t>(id) != device_->config().vendor_id)) {
        finding("the vendor id has changed");
    }
}

} // namespace type2::fuzz
