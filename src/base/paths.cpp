// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/paths.h"

namespace type2 {

std::filesystem::path top() {
    return TYPE2_TOP;
}

std::filesystem::path build() {
    return top() / "build";
}

std::filesystem::path bin(std::string_view program) {
    return build() / "bin" / program;
}

} // namespace type2
