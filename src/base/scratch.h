// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "base/process.h"

#include <filesystem>
#include <string>
#include <utility>

namespace type2 {

/// A folder for files that nobody keeps, below $TMPDIR or /tmp. Goes with all that is in it. Its
/// path is short: sockets lie in it, whose paths have at most 107 characters.
class Scratch {
  public:
    /// name: what it is for, part of the folder's. Error: errno of mkdtemp.
    static Result<Scratch> make(const std::string &name);

    Scratch(const Scratch &) = delete;
    Scratch &operator=(const Scratch &) = delete;
    Scratch(Scratch &&other) noexcept : folder_(std::exchange(other.folder_, {})) {}
    Scratch &operator=(Scratch &&other) noexcept {
        std::swap(folder_, other.folder_);
        return *this;
    }
    ~Scratch();

    const std::filesystem::path &path() const { return folder_; }
    std::filesystem::path operator/(const std::string &name) const { return folder_ / name; }

  private:
    explicit Scratch(std::filesystem::path folder) : folder_(std::move(folder)) {}

    std::filesystem::path folder_;
};

} // namespace type2
