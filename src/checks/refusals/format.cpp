// SPDX-License-Identifier: GPL-2.0-or-later
#include "checks/refusals/format.h"

#include "base/text.h"

namespace type2::refusals {

namespace {

const RE2 &conversion() {
    static const RE2 expression(R"(%[-+ #0]*\d*(?:\.\d+)?(?:hh|h|ll|l|z|j|t)?[diouxXsc])");
    return expression;
}

std::string pattern(std::string format) {
    RE2::Replace(&format, "^vfio (?:vfio-user:)?%s: ", "");
    std::string expression;
    std::size_t at = 0;
    for (const auto &match : all_matches(conversion(), format)) {
        const auto begin = offset_in(format, match[0]);
        expression += RE2::QuoteMeta(format.substr(at, begin - at)) + ".+";
        at = begin + match[0].size();
    }
    return expression + RE2::QuoteMeta(format.substr(at));
}

bool words_in(std::string format) {
    RE2::GlobalReplace(&format, conversion(), "");
    return !trimmed(format).empty();
}

} // namespace

Format::Format(const std::string &format)
    : has_words_(words_in(format)), within_(pattern(format)),
      prints_(pattern(format) + (format.ends_with(": ") ? ".+$" : "(?::.*)?$")) {}

bool Format::within(std::string_view text) const {
    return RE2::PartialMatch(text, within_);
}

bool Format::prints(std::string_view text) const {
    return RE2::PartialMatch(text, prints_);
}

} // namespace type2::refusals
