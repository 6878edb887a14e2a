// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/size.h"

#include <array>
#include <cerrno>
#include <charconv>
#include <fmt/format.h>
#include <optional>

namespace type2 {

namespace {

constexpr std::string_view Suffixes = "KMGT";

std::optional<unsigned> hex_digit(char c) {
    if (c >= '0' && c <= '9') {
        return static_cast<unsigned>(c - '0');
    }
    if (c >= 'a' && c <= 'f') {
        return static_cast<unsigned>(c - 'a' + 10);
    }
    if (c >= 'A' && c <= 'F') {
        return static_cast<unsigned>(c - 'A' + 10);
    }
    return std::nullopt;
}

} // namespace

Result<std::uint64_t> parse_size(std::string_view text) {
    const std::string_view whole = text;
    int base = 10;
    if (text.starts_with("0x") || text.starts_with("0X")) {
        base = 16;
        text.remove_prefix(2);
    }
    std::uint64_t value = 0;
    const auto *end = text.data() + text.size();
    const auto [rest, problem] = std::from_chars(text.data(), end, value, base);
    if (problem != std::errc()) {
        return fail(EINVAL, fmt::format("'{}' is not a size", whole));
    }
    if (rest == end) {
        return value;
    }
    const auto power = Suffixes.find(*rest >= 'a' ? static_cast<char>(*rest - 'a' + 'A') : *rest);
    if (power == std::string_view::npos || rest + 1 != end) {
        return fail(EINVAL, fmt::format("'{}' is not a size (suffixes: K, M, G, T)", whole));
    }
    const unsigned shift = 10 * (static_cast<unsigned>(power) + 1);
    if (value > (UINT64_MAX >> shift)) {
        return fail(EINVAL, fmt::format("'{}' needs more than 64 bits", whole));
    }
    return value << shift;
}

std::string format_size(std::uint64_t bytes) {
    for (std::size_t i = Suffixes.size(); i > 0 && bytes != 0; --i) {
        const unsigned shift = 10 * static_cast<unsigned>(i);
        if ((bytes & ((std::uint64_t{1} << shift) - 1)) == 0) {
            return fmt::format("{}{}", bytes >> shift, Suffixes[i - 1]);
        }
    }
    return fmt::format("{}", bytes);
}

Result<Bytes> parse_hex(std::string_view text) {
    if (text.size() % 2 != 0) {
        return fail(EINVAL, "hexadecimal bytes need an even number of digits");
    }
    Bytes bytes;
    bytes.reserve(text.size() / 2);
    for (std::size_t i = 0; i < text.size(); i += 2) {
        const auto high = hex_digit(text[i]);
        const auto low = hex_digit(text[i + 1]);
        if (!high || !low) {
            return fail(EINVAL, fmt::format("'{}' is not hexadecimal", text.substr(i, 2)));
        }
        bytes.push_back(static_cast<std::byte>(*high << 4 | *low));
    }
    return bytes;
}

std::string format_hex(ByteView bytes) {
    static constexpr std::array<char, 16> Digits = {'0', '1', '2', '3', '4', '5', '6', '7',
                                                    '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'};
    std::string text;
    text.reserve(bytes.size() * 2);
    for (const auto byte : bytes) {
        const auto value = std::to_integer<unsigned>(byte);
        text.push_back(Digits[value >> 4]);
        text.push_back(Digits[value & 0xf]);
    }
    return text;
}

} // namespace type2
