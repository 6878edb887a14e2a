// SPDX-License-Identifier: GPL-2.0-or-later
// Registers as a table. The same rows build the state, answer accesses of any width, and are
// printed by `cxl-type2-model --registers` and walked by the tests.
#pragma once

#include "base/bytes.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace type2 {

/// One register. Masks are within `width` bytes; a bit in neither mask is read-only.
struct Register {
    std::string name;
    std::uint32_t offset = 0; ///< bytes from the start of the space that holds it
    std::uint32_t width = 4;  ///< bytes: 1, 2, 4 or 8
    std::uint64_t reset = 0;
    std::uint64_t rw = 0;  ///< bits that take what is written
    std::uint64_t w1c = 0; ///< bits cleared by writing 1
    std::string section;   ///< where the specification defines it
};

/// A space of registers with plain read-write and write-1-to-clear behaviour. Side effects belong
/// to whoever owns the space. Bytes that no register covers read 0 and ignore writes.
class RegisterFile {
  public:
    explicit RegisterFile(std::size_t size) : value_(size), rw_(size), w1c_(size) {}

    /// Adds rows; `base` is added to each offset. A later row replaces an earlier one's bytes.
    void add(std::span<const Register> rows, std::uint32_t base = 0);
    void add(const Register &row) { add(std::span(&row, 1)); }

    /// Copies out bytes. The caller has checked the range.
    void read(std::uint64_t offset, ByteSpan into) const;
    /// A guest's write, byte by byte through the masks. The caller has checked the range.
    void write(std::uint64_t offset, ByteView from);

    /// The device's own view: no masks.
    template <typename T> T get(std::uint64_t offset) const { return load<T>(value_, offset); }
    template <typename T> void set(std::uint64_t offset, T value) {
        store<T>(value_, offset, value);
    }
    /// Changes which bits of a register a guest can write.
    template <typename T> void set_rw(std::uint64_t offset, T mask) { store<T>(rw_, offset, mask); }

    /// All values back to their reset values.
    void reset();
    /// The values of a space that has the same rows.
    void copy_values(const RegisterFile &from) { value_ = from.value_; }

    std::size_t size() const { return value_.size(); }
    ByteView values() const { return value_; }
    std::span<const Register> rows() const { return rows_; }

  private:
    std::vector<Register> rows_;
    Bytes value_;
    Bytes rw_;
    Bytes w1c_;
};

} // namespace type2
