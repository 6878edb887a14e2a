// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/registers.h"

#include <algorithm>

namespace type2 {

namespace {

void put(Bytes &bytes, const Register &row, std::uint64_t value) {
    for (std::uint32_t i = 0; i < row.width; ++i) {
        bytes[row.offset + i] = static_cast<std::byte>(value >> (8 * i));
    }
}

} // namespace

void RegisterFile::add(std::span<const Register> rows, std::uint32_t base) {
    for (Register row : rows) {
        row.offset += base;
        put(value_, row, row.reset);
        put(rw_, row, row.rw);
        put(w1c_, row, row.w1c);
        rows_.push_back(std::move(row));
    }
}

void RegisterFile::read(std::uint64_t offset, ByteSpan into) const {
    std::copy_n(value_.begin() + static_cast<std::ptrdiff_t>(offset), into.size(), into.begin());
}

void RegisterFile::write(std::uint64_t offset, ByteView from) {
    for (std::size_t i = 0; i < from.size(); ++i) {
        const std::size_t at = offset + i;
        value_[at] = (value_[at] & ~rw_[at]) | (from[i] & rw_[at]);
        value_[at] &= ~(from[i] & w1c_[at]);
    }
}

void RegisterFile::reset() {
    for (const auto &row : rows_) {
        put(value_, row, row.reset);
    }
}

} // namespace type2
