// SPDX-License-Identifier: GPL-2.0-or-later
// String literals of C sources, as the compiler joins them. No parser: it knows comments, literals
// and the macros that stand between literals, which is what messages are made of.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace type2::refusals {

/// Comments become as many line ends as they had, so that lines keep their numbers.
std::string without_comments(std::string_view source);

struct Literal {
    std::string text; ///< \" is ", \n is nothing; a PRI macro is its conversion, "0x%x"
    std::size_t end;  ///< offset behind it
};

/// What adjacent literals and macros make from `at` on. Empty, with `end` = `at`: none is there.
Literal literal_at(std::string_view source, std::size_t at);

/// Every literal of a source without comments.
std::vector<std::string> literals(std::string_view source);

struct Said {
    std::string call;   ///< the function: error_setg, warn_report ...
    std::string format; ///< its literal
};

/// Every refusal and warning of a source without comments.
std::vector<Said> refusals_in(std::string_view source);

/// The entries of a table of tests that have both `.name = "..."` and `.text = "..."`.
std::map<std::string, std::string> table_tests(std::string_view source);

} // namespace type2::refusals
