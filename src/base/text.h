// SPDX-License-Identifier: GPL-2.0-or-later
// Text in pieces: views into a text that the caller keeps.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace type2 {

/// Without white space at both ends.
std::string_view trimmed(std::string_view text);

/// Lines without their ends; "a\n" has two, the second is empty.
std::vector<std::string_view> lines_of(std::string_view text);

/// The parts with `between` between them.
std::string joined(const std::vector<std::string> &parts, std::string_view between);

} // namespace type2
