// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/text.h"

namespace type2 {

namespace {

constexpr std::string_view Space = " \t\r\n\f\v";

} // namespace

std::string_view trimmed(std::string_view text) {
    const auto first = text.find_first_not_of(Space);
    if (first == std::string_view::npos) {
        return text.substr(0, 0);
    }
    return text.substr(first, text.find_last_not_of(Space) - first + 1);
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

} // namespace type2
