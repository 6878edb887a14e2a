// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/device/memory.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>

namespace type2::device {

Result<Memory> Memory::create(const char *name, std::uint64_t size, bool sealed) {
    auto fd = make_memfd(name, size, sealed);
    if (!fd) {
        return tl::unexpected(fd.error());
    }
    return Memory(std::move(*fd), size);
}

Result<void> Memory::read(std::uint64_t offset, ByteSpan into) const {
    if (!fits(offset, into.size(), size_)) {
        return fail(EINVAL, fmt::format("[{:#x}, +{:#x}) is not within {:#x} bytes of memory",
                                        offset, into.size(), size_));
    }
    return read_at(fd_.get(), offset, into);
}

Result<void> Memory::write(std::uint64_t offset, ByteView from) {
    if (!fits(offset, from.size(), size_)) {
        return fail(EINVAL, fmt::format("[{:#x}, +{:#x}) is not within {:#x} bytes of memory",
                                        offset, from.size(), size_));
    }
    return write_at(fd_.get(), offset, from);
}

Result<void> Memory::clear() {
    if (fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                  static_cast<off_t>(size_)) != 0) {
        return fail(errno, fmt::format("fallocate: {}", std::strerror(errno)));
    }
    return {};
}

} // namespace type2::device
