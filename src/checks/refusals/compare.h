// SPDX-License-Identifier: GPL-2.0-or-later
// Three things that say the same: the texts with which QEMU refuses or warns (hw/), the tests that
// provoke them (tests/), and the tables of the manual (docs/).
#pragma once

#include "checks/refusals/c_source.h"
#include "checks/refusals/manual.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace type2::refusals {

inline constexpr const char *Manual = "docs/system/devices/vfio-cxl.rst";

/// What stands where, read once.
struct Texts {
    std::vector<Row> rows;                                     ///< of the manual
    std::vector<std::pair<std::string, std::string>> messages; ///< of the sources: file, format
    std::vector<std::string> tests;                            ///< their sources, no comments
    std::map<std::string, std::string> cases; ///< tests of a table: name, text expected
};

/// Reads a checkout. What is not there is missing in the result, too.
Texts read_texts(const std::string &checkout);

/// What is in one of the three and not in the others, one problem an entry, of several lines
/// perhaps.
std::vector<std::string> differences(const Texts &texts);

} // namespace type2::refusals
