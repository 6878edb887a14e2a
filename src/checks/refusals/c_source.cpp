// SPDX-License-Identifier: GPL-2.0-or-later
#include "checks/refusals/c_source.h"

#include "base/text.h"

#include <algorithm>

namespace type2::refusals {

namespace {

constexpr auto Nowhere = std::string_view::npos;

/// Where a message may begin: the macro is vfio's, and stands before many.
constexpr const char *Begin = R"("|VFIO_MSG_PREFIX)";

std::string unescaped(std::string_view literal) {
    std::string text(literal);
    RE2::GlobalReplace(&text, R"(\\")", R"(")");
    RE2::GlobalReplace(&text, R"(\\n)", "");
    return text;
}

} // namespace

std::string without_comments(std::string_view source) {
    std::string text;
    std::size_t at = 0;
    for (auto begin = source.find("/*"); begin != Nowhere; begin = source.find("/*", at)) {
        const auto end = source.find("*/", begin + 2);
        if (end == Nowhere) {
            break;
        }
        text += source.substr(at, begin - at);
        const auto comment = source.substr(begin, end - begin);
        text.append(static_cast<std::size_t>(std::count(comment.begin(), comment.end(), '\n')),
                    '\n');
        at = end + 2;
    }
    text += source.substr(at);
    return text;
}

Literal literal_at(std::string_view source, std::size_t at) {
    // A literal, a conversion by macro, or one of what else stands between literals
    static const RE2 token(
        R"re("((?:[^"\\]|\\.)*)"|(?:PRI([diuxX])\w+|HWADDR_PRI(\w))|(VFIO_MSG_PREFIX)|\s+)re");
    Literal all{{}, at};
    re2::StringPiece rest = source.substr(at);
    std::string literal;
    std::string conversion;
    std::string address;
    std::string prefix;
    while (RE2::Consume(&rest, token, &literal, &conversion, &address, &prefix)) {
        all.text.append(unescaped(literal)).append(conversion).append(address);
        if (!prefix.empty()) {
            all.text += "vfio %s: ";
        }
    }
    all.end = source.size() - rest.size();
    return all;
}

std::vector<std::string> literals(std::string_view source) {
    static const RE2 begin(Begin);
    std::vector<std::string> found;
    std::size_t end = 0;
    for (const auto &match : all_matches(begin, source)) {
        const auto at = offset_in(source, match[0]);
        // The quotes within the literal before are none that begin one.
        if (at >= end) {
            auto literal = literal_at(source, at);
            end = std::max(literal.end, at + match[0].size());
            found.push_back(std::move(literal.text));
        }
    }
    return found;
}

std::vector<Said> refusals_in(std::string_view source) {
    static const RE2 call(
        R"(\b(error_setg|error_setg_errno|error_prepend|error_report|warn_report|warn_reportf_err)\()");
    static const RE2 begin(Begin);
    std::vector<Said> found;
    for (const auto &match : all_matches(call, source)) {
        const auto behind = offset_in(source, match[0]) + match[0].size();
        re2::StringPiece format;
        if (begin.Match(source, behind, source.size(), RE2::UNANCHORED, &format, 1)) {
            found.push_back(
                {std::string(match[1]), literal_at(source, offset_in(source, format)).text});
        }
    }
    return found;
}

std::map<std::string, std::string> table_tests(std::string_view source) {
    static const RE2 name(R"re(\.name = "([^"]+)")re");
    static const RE2 text(R"re(\.text = ("))re");
    std::map<std::string, std::string> tests;
    for (const auto &match : all_matches(name, source)) {
        const auto begin = offset_in(source, match[0]) + match[0].size();
        // Up to the next entry, or the end of the table
        const auto end = std::min(source.find(".name = ", begin), source.find("\n};", begin));
        re2::StringPiece whole[2];
        if (end != Nowhere && text.Match(source, begin, end, RE2::UNANCHORED, whole, 2)) {
            tests[std::string(match[1])] = literal_at(source, offset_in(source, whole[1])).text;
        }
    }
    return tests;
}

} // namespace type2::refusals
