// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/text.h"

#include <algorithm>
#include <array>

namespace type2 {

namespace {

constexpr std::string_view Space = " \t\r\n\f\v";
/// The match itself and five groups.
constexpr int MostGroups = 6;

} // namespace

std::string_view trimmed(std::string_view text) {
    const auto first = text.find_first_not_of(Space);
    if (first == std::string_view::npos) {
        return text.substr(0, 0);
    }
    return text.substr(first, text.find_last_not_of(Space) - first + 1);
}

std::string one_line(std::string_view text) {
    std::string line;
    while (!(text = trimmed(text)).empty()) {
        const auto word = text.substr(0, text.find_first_of(Space));
        if (!line.empty()) {
            line += ' ';
        }
        line += word;
        text.remove_prefix(word.size());
    }
    return line;
}

std::vector<std::string_view> lines_of(std::string_view text) {
    std::vector<std::string_view> lines;
    std::size_t at = 0;
    for (auto end = text.find('\n'); end != std::string_view::npos; end = text.find('\n', at)) {
        lines.push_back(text.substr(at, end - at));
        at = end + 1;
    }
    lines.push_back(text.substr(at));
    return lines;
}

std::string joined(const std::vector<std::string> &parts, std::string_view between) {
    std::string text;
    for (const auto &part : parts) {
        if (&part != &parts.front()) {
            text += between;
        }
        text += part;
    }
    return text;
}

std::vector<std::vector<std::string_view>> all_matches(const RE2 &expression,
                                                       std::string_view text) {
    std::vector<std::vector<std::string_view>> all;
    const int count = std::min(expression.NumberOfCapturingGroups() + 1, MostGroups);
    std::array<re2::StringPiece, MostGroups> found;
    std::size_t at = 0;
    while (at <= text.size() &&
           expression.Match(text, at, text.size(), RE2::UNANCHORED, found.data(), count)) {
        auto &match = all.emplace_back();
        for (int i = 0; i < count; ++i) {
            const auto &piece = found.at(static_cast<std::size_t>(i));
            match.emplace_back(piece.data(), piece.size());
        }
        // An empty match must not be found for ever.
        at = offset_in(text, match[0]) + std::max<std::size_t>(match[0].size(), 1);
    }
    return all;
}

std::size_t line_at(std::string_view text, std::size_t offset) {
    const auto before = text.substr(0, offset);
    return static_cast<std::size_t>(std::count(before.begin(), before.end(), '\n')) + 1;
}

bool fits(const RE2 &expression, std::string_view text) {
    return expression.Match(text, 0, text.size(), RE2::ANCHOR_START, nullptr, 0);
}

} // namespace type2
