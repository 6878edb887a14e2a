// SPDX-License-Identifier: GPL-2.0-or-later
// Little-endian loads and stores in byte buffers, and wire structs to and from bytes.
// The project runs on little-endian hosts only; PCI, CXL and vfio-user on such a host agree.
#pragma once

#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>
#include <vector>

namespace type2 {

static_assert(std::endian::native == std::endian::little, "wire structs are used as they are");

using Bytes = std::vector<std::byte>;
using ByteView = std::span<const std::byte>;
using ByteSpan = std::span<std::byte>;

/// True if [offset, offset + length) lies in [0, size), without wrapping.
constexpr bool fits(std::uint64_t offset, std::uint64_t length, std::uint64_t size) {
    return offset <= size && length <= size - offset;
}

/// Value of type T at byte offset `at`. The caller has checked that at + sizeof(T) fits; one that
/// has not ends here and not somewhere in memory.
template <typename T> T load(ByteView bytes, std::size_t at = 0) {
    static_assert(std::is_trivially_copyable_v<T>);
    assert(fits(at, sizeof(T), bytes.size()));
    T value;
    std::memcpy(&value, bytes.data() + at, sizeof(T));
    return value;
}

/// Stores `value` at byte offset `at`. The caller has checked that at + sizeof(T) fits.
template <typename T> void store(ByteSpan bytes, std::size_t at, const T &value) {
    static_assert(std::is_trivially_copyable_v<T>);
    assert(fits(at, sizeof(T), bytes.size()));
    std::memcpy(bytes.data() + at, &value, sizeof(T));
}

/// Appends the bytes of `value`.
template <typename T> void append(Bytes &bytes, const T &value) {
    static_assert(std::is_trivially_copyable_v<T>);
    const auto old = bytes.size();
    bytes.resize(old + sizeof(T));
    store(ByteSpan(bytes), old, value);
}

/// True if [a, a + a_len) and [b, b + b_len) share a byte. Neither range wraps.
constexpr bool overlaps(std::uint64_t a, std::uint64_t a_len, std::uint64_t b,
                        std::uint64_t b_len) {
    return a_len != 0 && b_len != 0 && a < b + b_len && b < a + a_len;
}

/// value rounded down / up to a multiple of the power of two `unit`.
constexpr std::uint64_t round_down(std::uint64_t value, std::uint64_t unit) {
    return value & ~(unit - 1);
}
constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) {
    return round_down(value + unit - 1, unit);
}

} // namespace type2
