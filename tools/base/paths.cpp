// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/paths.h"

#include "top.h"

namespace tools {

std::filesystem::path top() {
    return TOOLS_TOP;
}

std::filesystem::path build() {
    return top() / "build";
}

std::filesystem::path bin(std::string_view program) {
    return build() / "bin" / program;
}

} // namespace tools
