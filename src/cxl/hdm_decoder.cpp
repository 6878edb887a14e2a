// SPDX-License-Identifier: GPL-2.0-or-later
#include "cxl/hdm_decoder.h"

#include <fmt/format.h>

namespace type2::cxl {

namespace {

constexpr std::uint32_t HighBits = 0xf0000000; // 256 MiB units in a low word
constexpr std::uint32_t ControlWritable =
    hdm::InterleaveMask | hdm::LockOnCommit | hdm::Commit | hdm::TargetHostOnly;
// Interleave on address bits 11:8 and 14:12, poison on decode error, device-coherent only.
constexpr std::uint32_t CapabilityBits = 1U << 8 | 1U << 9 | 1U << 10 | 1U << 21;

} // namespace

std::vector<Register> hdm_rows(unsigned count) {
    std::vector<Register> rows = {
        {"hdm_capability", hdm::Capability, 4, hdm::encode_count(count) | CapabilityBits, 0, 0,
         "CXL r3.1 8.2.4.20.1"},
        {"hdm_global_control", hdm::GlobalControl, 4, 0, 0x3, 0, "CXL r3.1 8.2.4.20.2"},
    };
    for (unsigned i = 0; i < count; ++i) {
        const std::uint32_t at = hdm::decoder_offset(i);
        const auto name = [i](const char *what) { return fmt::format("hdm{}_{}", i, what); };
        rows.insert(
            rows.end(),
            {
                {name("base_low"), at + hdm::BaseLow, 4, 0, HighBits, 0, "CXL r3.1 8.2.4.20.3"},
                {name("base_high"), at + hdm::BaseHigh, 4, 0, 0xffffffff, 0, "CXL r3.1 8.2.4.20.4"},
                {name("size_low"), at + hdm::SizeLow, 4, 0, HighBits, 0, "CXL r3.1 8.2.4.20.5"},
                {name("size_high"), at + hdm::SizeHigh, 4, 0, 0xffffffff, 0, "CXL r3.1 8.2.4.20.6"},
                {name("control"), at + hdm::Control, 4, 0, ControlWritable, 0,
                 "CXL r3.1 8.2.4.20.7"},
                {name("dpa_skip_low"), at + hdm::SkipLow, 4, 0, HighBits, 0, "CXL r3.1 8.2.4.20.8"},
                {name("dpa_skip_high"), at + hdm::SkipHigh, 4, 0, 0xffffffff, 0,
                 "CXL r3.1 8.2.4.20.9"},
            });
    }
    return rows;
}

HdmBlock::HdmBlock(unsigned count, std::uint64_t capacity)
    : count_(count), capacity_(capacity), registers_(hdm::block_size(count)) {
    registers_.add(hdm_rows(count));
}

void HdmBlock::write(std::uint64_t offset, ByteView from) {
    while (!from.empty()) {
        // Narrow and unaligned writes keep the other bytes of the dword as they are.
        const auto at = static_cast<std::uint32_t>(round_down(offset, 4));
        const std::size_t skip = offset - at;
        const std::size_t count = std::min<std::size_t>(4 - skip, from.size());
        auto value = dword(at);
        std::memcpy(reinterpret_cast<std::byte *>(&value) + skip, from.data(), count);
        write_dword(at, value);
        from = from.subspan(count);
        offset += count;
    }
}

void HdmBlock::program(unsigned index, std::uint64_t base, std::uint64_t size, bool commit_and_lock,
                       std::uint64_t skip) {
    const std::uint32_t at = hdm::decoder_offset(index);
    registers_.set(at + hdm::BaseLow, static_cast<std::uint32_t>(base) & HighBits);
    registers_.set(at + hdm::BaseHigh, static_cast<std::uint32_t>(base >> 32));
    registers_.set(at + hdm::SizeLow, static_cast<std::uint32_t>(size) & HighBits);
    registers_.set(at + hdm::SizeHigh, static_cast<std::uint32_t>(size >> 32));
    registers_.set(at + hdm::SkipLow, static_cast<std::uint32_t>(skip) & HighBits);
    registers_.set(at + hdm::SkipHigh, static_cast<std::uint32_t>(skip >> 32));
    registers_.set(at + hdm::Control,
                   commit_and_lock ? hdm::LockOnCommit | hdm::Commit | hdm::Committed : 0U);
    if (commit_and_lock) {
        registers_.set(hdm::GlobalControl, hdm::DecoderEnable);
    }
}

void HdmBlock::write_dword(std::uint32_t offset, std::uint32_t value) {
    const auto plain = [&] { registers_.write(offset, std::as_bytes(std::span(&value, 1))); };
    if (offset < hdm::FirstDecoder) {
        plain();
        return;
    }
    const unsigned index = (offset - hdm::FirstDecoder) / hdm::DecoderStride;
    const std::uint32_t within = (offset - hdm::FirstDecoder) % hdm::DecoderStride;
    const std::uint32_t before = control(index);
    if ((before & hdm::Committed) != 0 && (before & hdm::LockOnCommit) != 0) {
        return;
    }
    if (within != hdm::Control) {
        // What is decoded now does not move under the host: commit is the moment of change.
        if ((before & hdm::Committed) == 0) {
            plain();
        }
        return;
    }
    plain();
    std::uint32_t after = control(index) & ~(hdm::Committed | hdm::ErrorNotCommitted);
    if ((after & hdm::Commit) != 0) {
        after |= may_commit(index, after) ? hdm::Committed : hdm::ErrorNotCommitted;
    }
    set_control(index, after);
}

/// A range that is not empty, does not wrap and is not interleaved; and, behind what it skips,
/// device memory that no other decoder has (CXL r3.1 section 8.2.4.20.12).
bool HdmBlock::may_commit(unsigned index, std::uint32_t control) const {
    const std::uint64_t size = length(index);
    if (size == 0 || base(index) + size - 1 < base(index) || (control & hdm::InterleaveMask) != 0) {
        return false;
    }
    std::uint64_t left = capacity_;
    for (unsigned i = 0; i < count_; ++i) {
        const bool counts = i == index || (this->control(i) & hdm::Committed) != 0;
        for (const std::uint64_t part : {skip(i), length(i)}) {
            if (counts && part > left) {
                return false;
            }
            left -= counts ? part : 0;
        }
    }
    return true;
}

std::uint64_t HdmBlock::pair(unsigned index, std::uint32_t low) const {
    const std::uint32_t at = hdm::decoder_offset(index) + low;
    return (dword(at) & HighBits) | static_cast<std::uint64_t>(dword(at + 4)) << 32;
}

} // namespace type2::cxl
