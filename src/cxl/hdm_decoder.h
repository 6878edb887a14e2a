// SPDX-License-Identifier: GPL-2.0-or-later
// The HDM decoder capability structure as hardware has it (CXL r3.1 section 8.2.4.20).
#pragma once

#include "base/registers.h"

#include <cstdint>

namespace type2::cxl {

namespace hdm {
inline constexpr std::uint32_t Capability = 0x00;
inline constexpr std::uint32_t GlobalControl = 0x04;
inline constexpr std::uint32_t FirstDecoder = 0x10;
inline constexpr std::uint32_t DecoderStride = 0x20;
// Offsets within one decoder.
inline constexpr std::uint32_t BaseLow = 0x00;
inline constexpr std::uint32_t BaseHigh = 0x04;
inline constexpr std::uint32_t SizeLow = 0x08;
inline constexpr std::uint32_t SizeHigh = 0x0c;
inline constexpr std::uint32_t Control = 0x10;
inline constexpr std::uint32_t SkipLow = 0x14;
inline constexpr std::uint32_t SkipHigh = 0x18;
// Control register (CXL r3.1 section 8.2.4.20.7).
inline constexpr std::uint32_t InterleaveMask = 0xff;
inline constexpr std::uint32_t LockOnCommit = 1U << 8;
inline constexpr std::uint32_t Commit = 1U << 9;
inline constexpr std::uint32_t Committed = 1U << 10;
inline constexpr std::uint32_t ErrorNotCommitted = 1U << 11;
inline constexpr std::uint32_t TargetHostOnly = 1U << 12;
// Global control register (CXL r3.1 section 8.2.4.20.2).
inline constexpr std::uint32_t DecoderEnable = 1U << 1;

inline constexpr std::uint64_t Unit = 256ULL << 20; ///< base and size come in 256 MiB
inline constexpr unsigned MaxDecoders = 10;         ///< of a device

/// The 4-bit code of the capability register: 1 decoder is 0, else count / 2.
constexpr std::uint32_t encode_count(unsigned count) {
    return count == 1 ? 0 : count / 2;
}
constexpr unsigned decode_count(std::uint32_t code) {
    return (code & 0xf) == 0 ? 1 : 2 * (code & 0xf);
}
/// Bytes of the whole structure.
constexpr std::uint32_t block_size(unsigned count) {
    return FirstDecoder + DecoderStride * count;
}
constexpr std::uint32_t decoder_offset(unsigned index) {
    return FirstDecoder + DecoderStride * index;
}
/// True for 1, 2, 4, 6, 8, 10: what the code can say for a device.
constexpr bool is_count(unsigned count) {
    return count == 1 || (count >= 2 && count <= MaxDecoders && count % 2 == 0);
}
} // namespace hdm

/// Rows of the structure for `count` decoders, everything zero but the capability register.
std::vector<Register> hdm_rows(unsigned count);

class HdmBlock {
  public:
    /// count: see hdm::is_count; capacity: bytes of device memory that the decoders can decode.
    HdmBlock(unsigned count, std::uint64_t capacity);

    unsigned count() const { return count_; }
    std::uint32_t size() const { return hdm::block_size(count_); }

    /// Any width, any alignment; the caller has checked the range.
    void read(std::uint64_t offset, ByteSpan into) const { registers_.read(offset, into); }
    /// A write through the bus, by hardware's rules: a locked and committed decoder ignores it,
    /// COMMIT ends in COMMITTED or ERROR_NOT_COMMITTED.
    void write(std::uint64_t offset, ByteView from);

    /// What firmware does at boot. base, size and skip: multiples of 256 MiB.
    void program(unsigned index, std::uint64_t base, std::uint64_t size, bool commit_and_lock,
                 std::uint64_t skip = 0);

    std::uint64_t base(unsigned index) const { return pair(index, hdm::BaseLow); }
    std::uint64_t length(unsigned index) const { return pair(index, hdm::SizeLow); }
    std::uint64_t skip(unsigned index) const { return pair(index, hdm::SkipLow); }
    std::uint32_t control(unsigned index) const {
        return registers_.get<std::uint32_t>(hdm::decoder_offset(index) + hdm::Control);
    }
    void set_control(unsigned index, std::uint32_t value) {
        registers_.set(hdm::decoder_offset(index) + hdm::Control, value);
    }
    std::uint32_t dword(std::uint32_t offset) const {
        return registers_.get<std::uint32_t>(offset);
    }
    const RegisterFile &registers() const { return registers_; }
    RegisterFile &registers() { return registers_; }

  private:
    void write_dword(std::uint32_t offset, std::uint32_t value);
    std::uint64_t pair(unsigned index, std::uint32_t low) const;
    bool may_commit(unsigned index, std::uint32_t control) const;

    unsigned count_;
    std::uint64_t capacity_;
    RegisterFile registers_;
};

} // namespace type2::cxl
