// SPDX-License-Identifier: GPL-2.0-or-later
// The 64 KiB CXL component register block (CXL r3.1 section 8.2.3) and its CXL.cachemem part with
// the RAS, Link and HDM decoder capabilities (section 8.2.4).
#pragma once

#include "base/registers.h"
#include "cxl/hdm_decoder.h"

#include <cstdint>

namespace type2::cxl {

inline constexpr std::uint32_t ComponentBlockSize = 0x10000;
inline constexpr std::uint32_t CacheMemOffset = 0x1000; ///< of the CM array within the block
inline constexpr std::uint32_t CacheMemSize = 0x1000;   ///< its primary range: what registers fill

inline constexpr std::uint16_t CapIdCacheMem = 1;
inline constexpr std::uint16_t CapIdRas = 2;
inline constexpr std::uint16_t CapIdLink = 4;
inline constexpr std::uint16_t CapIdHdm = 5;

// Where the capabilities lie, in bytes from the CM array header.
inline constexpr std::uint32_t RasOffset = 0x100;
inline constexpr std::uint32_t LinkOffset = 0x180;
inline constexpr std::uint32_t HdmOffset = 0x200;

/// The CXL.cachemem primary range. Offsets are from the CM array header.
class CacheMemRegisters {
  public:
    /// decoders, memory_size: see HdmBlock.
    CacheMemRegisters(unsigned decoders, std::uint64_t memory_size);

    HdmBlock &hdm() { return hdm_; }
    const HdmBlock &hdm() const { return hdm_; }
    /// Offset behind the last register: the HDM block comes last.
    std::uint32_t end() const { return HdmOffset + hdm_.size(); }

    /// Any width and alignment; the caller has checked the range against CacheMemSize.
    void read(std::uint64_t offset, ByteSpan into) const;
    void write(std::uint64_t offset, ByteView from);

    /// All registers as after power-on: no decoder is programmed.
    void reset();

    /// Everything but the HDM decoders.
    RegisterFile &registers() { return registers_; }
    const RegisterFile &registers() const { return registers_; }

  private:
    RegisterFile registers_{CacheMemSize};
    HdmBlock hdm_;
};

} // namespace type2::cxl
