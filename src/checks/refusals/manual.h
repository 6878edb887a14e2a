// SPDX-License-Identifier: GPL-2.0-or-later
// The tables of the manual that quote what QEMU says.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace type2::refusals {

struct Row {
    std::string configuration; ///< what somebody did
    std::string message;       ///< what QEMU says then
    std::string test;          ///< the test that shows it
};

/// The rows of three cells of every list-table of a page in reStructuredText, but their headings.
/// White space within a cell is one space; message and test are without their quotes.
std::vector<Row> rows_of(std::string_view page);

} // namespace type2::refusals
