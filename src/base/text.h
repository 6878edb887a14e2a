// SPDX-License-Identifier: GPL-2.0-or-later
// Text in pieces. A StringPiece is a view into a text that the caller keeps.
#pragma once

#include <cstddef>
#include <re2/re2.h>
#include <string>
#include <string_view>
#include <vector>

namespace type2 {

/// Without white space at both ends.
std::string_view trimmed(std::string_view text);

/// Each run of white space becomes one space, none is left at the ends.
std::string one_line(std::string_view text);

/// Lines without their ends; "a\n" has two, the second is empty.
std::vector<std::string_view> lines_of(std::string_view text);

/// The parts with `between` between them.
std::string joined(const std::vector<std::string> &parts, std::string_view between);

/// Every match in `text`, those of the expression's groups (at most five) behind it. A group that
/// took no part is empty. The context before a match counts (\b, ^).
std::vector<std::vector<std::string_view>> all_matches(const RE2 &expression,
                                                       std::string_view text);

/// Where `part`, a view into `text`, begins in it, in bytes.
inline std::size_t offset_in(std::string_view text, std::string_view part) {
    return static_cast<std::size_t>(part.data() - text.data());
}

/// The first line (from 1 on) is the one of offset 0; `offset` in bytes.
std::size_t line_at(std::string_view text, std::size_t offset);

/// Does the expression fit at the beginning of the text? What follows does not matter.
bool fits(const RE2 &expression, std::string_view text);

} // namespace type2
