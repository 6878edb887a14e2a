// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/files.h"

#include <fstream>
#include <sstream>
#include <system_error>

namespace type2 {

std::string read_file(const std::filesystem::path &path) {
    const std::ifstream file(path, std::ios::binary);
    std::ostringstream text; // which takes what is no file, a folder for one, for empty
    text << file.rdbuf();
    return text.str();
}

std::string link_name(const std::filesystem::path &path) {
    std::error_code error;
    return std::filesystem::read_symlink(path, error).filename().string();
}

} // namespace type2
