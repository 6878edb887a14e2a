// SPDX-License-Identifier: GPL-2.0-or-later
// Where things are in the checkout that the benchmark was built from.
#pragma once

#include <filesystem>
#include <string_view>

namespace type2 {

/// The checkout itself, its build/ and the programs in build/bin.
inline std::filesystem::path top() {
    return TYPE2_TOP;
}

inline std::filesystem::path build() {
    return top() / "build";
}

inline std::filesystem::path bin(std::string_view program) {
    return build() / "bin" / program;
}

} // namespace type2
