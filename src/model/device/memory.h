// SPDX-License-Identifier: GPL-2.0-or-later
// Memory of the device: an anonymous file, sparse, sealed against changes of size.
#pragma once

#include "base/fd.h"

#include <cstdint>

namespace type2::device {

class Memory {
  public:
    /// `size` bytes that cost nothing until they are touched. Error: errno.
    static Result<Memory> create(const char *name, std::uint64_t size, bool sealed = true);

    std::uint64_t size() const { return size_; }
    const UniqueFd &fd() const { return fd_; }
    Result<void> read(std::uint64_t offset, ByteSpan into) const;
    Result<void> write(std::uint64_t offset, ByteView from);
    /// All zero again, for every mapping too, in a time that depends on what was touched only.
    Result<void> clear();

  private:
    Memory(UniqueFd fd, std::uint64_t size) : fd_(std::move(fd)), size_(size) {}

    UniqueFd fd_;
    std::uint64_t size_ = 0;
};

} // namespace type2::device
