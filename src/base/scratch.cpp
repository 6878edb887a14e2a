// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/scratch.h"

#include "base/cleanup.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fmt/format.h>
#include <system_error>

namespace type2 {

Result<Scratch> Scratch::make(const std::string &name) {
    std::error_code ignored;
    auto above = std::filesystem::temp_directory_path(ignored);
    if (above.empty()) {
        above = "/tmp";
    }
    std::string folder = above / fmt::format("cxl-{}.XXXXXX", name);
    if (mkdtemp(folder.data()) == nullptr) {
        const int code = errno;
        return fail(code, fmt::format("{}: {}", folder, std::strerror(code)));
    }
    note_folder(folder);
    return Scratch(folder);
}

Scratch::~Scratch() {
    if (!folder_.empty()) {
        std::error_code ignored;
        std::filesystem::remove_all(folder_, ignored);
        forget_folder(folder_);
    }
}

} // namespace type2
