// SPDX-License-Identifier: GPL-2.0-or-later
#include "checks/refusals/manual.h"

#include "base/text.h"

#include <cctype>

namespace type2::refusals {

namespace {

using Cells = std::vector<std::string>;

std::string unquoted(std::string_view cell) {
    while (cell.starts_with('`')) {
        cell.remove_prefix(1);
    }
    while (cell.ends_with('`')) {
        cell.remove_suffix(1);
    }
    return std::string(cell);
}

/// Adds a line to a table's rows.
void read_line(std::string_view line, std::vector<Cells> &rows) {
    constexpr std::string_view NewRow = "   * - ";
    constexpr std::string_view NewCell = "     - ";
    if (line.starts_with(NewRow)) {
        rows.push_back({std::string(line.substr(NewRow.size()))});
    } else if (!rows.empty() && line.starts_with(NewCell)) {
        rows.back().emplace_back(line.substr(NewCell.size()));
    } else if (!rows.empty()) {
        rows.back().back().append("\n").append(line);
    }
}

} // namespace

std::vector<Row> rows_of(std::string_view page) {
    enum class Place { Outside, Options, Body } place = Place::Outside;
    std::vector<Cells> rows;
    for (const auto line : lines_of(page)) {
        const bool indented = line.empty() || std::isspace(static_cast<unsigned char>(line[0]));
        if (line.starts_with(".. list-table::")) {
            place = Place::Options;
        } else if (place == Place::Options && line.empty()) {
            place = Place::Body;
        } else if (place == Place::Body && !indented) {
            place = Place::Outside;
        }
        if (place == Place::Body) {
            read_line(line, rows);
        }
    }
    std::vector<Row> found;
    for (const auto &cells : rows) {
        if (cells.size() == 3 && one_line(cells[0]) != "Configuration") {
            found.push_back(
                {one_line(cells[0]), unquoted(one_line(cells[1])), unquoted(one_line(cells[2]))});
        }
    }
    return found;
}

} // namespace type2::refusals
