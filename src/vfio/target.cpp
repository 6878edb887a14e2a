// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/target.h"

#include <cerrno>
#include <fmt/format.h>

namespace type2::vfio {

Result<std::uint32_t> read_dword(Target &target, std::uint32_t region, std::uint64_t offset) {
    std::uint32_t value = 0;
    const auto got = target.read(region, offset, std::as_writable_bytes(std::span(&value, 1)));
    if (!got || *got != sizeof(value)) {
        return fail(got ? EIO : got.error().code,
                    fmt::format("register {:#x} of region {} cannot be read: {}", offset, region,
                                got ? "short read" : got.error().text));
    }
    return value;
}

} // namespace type2::vfio
