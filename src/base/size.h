// SPDX-License-Identifier: GPL-2.0-or-later
// Sizes and hexadecimal as people type them.
#pragma once

#include "base/bytes.h"
#include "base/result.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace type2 {

inline constexpr std::uint64_t KiB = 1024;
inline constexpr std::uint64_t MiB = 1024 * KiB;
inline constexpr std::uint64_t GiB = 1024 * MiB;

/// A number with an optional K, M, G or T suffix (powers of 1024), decimal or 0x-hexadecimal.
/// Error EINVAL: not a number, trailing text, or more than 64 bits.
Result<std::uint64_t> parse_size(std::string_view text);

/// `bytes` with the largest suffix that divides it: "256M", "1T", "4100".
std::string format_size(std::uint64_t bytes);

/// "00ff" <-> bytes. Error EINVAL: odd length or a character that is no hexadecimal digit.
Result<Bytes> parse_hex(std::string_view text);
std::string format_hex(ByteView bytes);

} // namespace type2
