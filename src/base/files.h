// SPDX-License-Identifier: GPL-2.0-or-later
// Files as values.
#pragma once

#include <filesystem>
#include <string>

namespace type2 {

/// All of a file, as far as it can be read: empty where there is none.
std::string read_file(const std::filesystem::path &path);

/// Last part of what a link leads to. Empty: there is no such link.
std::string link_name(const std::filesystem::path &path);

} // namespace type2
