// SPDX-License-Identifier: GPL-2.0-or-later
// Where things are in the checkout that this program was built from.
#pragma once

#include <filesystem>
#include <string_view>

namespace type2 {

/// The checkout itself, its build/ and the programs in build/bin.
std::filesystem::path top();
std::filesystem::path build();
std::filesystem::path bin(std::string_view program);

} // namespace type2
