// SPDX-License-Identifier: GPL-2.0-or-later
// What a fuzzer's bytes are taken for: values from the front, zeros when they are used up.
#pragma once

#include "base/bytes.h"

#include <algorithm>
#include <cstdint>

namespace type2::fuzz {

class Input {
  public:
    Input(const std::uint8_t *data, std::size_t size)
        : left_(std::as_bytes(std::span(data, size))) {}

    bool empty() const { return left_.empty(); }

    /// The next sizeof(T) bytes, little endian.
    template <typename T> T take() {
        T value{};
        const auto some = bytes(sizeof(T));
        std::copy(some.begin(), some.end(), std::as_writable_bytes(std::span(&value, 1)).begin());
        return value;
    }

    /// At most `count` bytes.
    ByteView bytes(std::size_t count) {
        const auto some = left_.first(std::min(count, left_.size()));
        left_ = left_.subspan(some.size());
        return some;
    }

  private:
    ByteView left_;
};

} // namespace type2::fuzz
