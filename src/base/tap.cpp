// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/tap.h"

#include <algorithm>
#include <cstdio>
#include <fmt/format.h>

namespace type2 {

bool Tap::check(std::string_view name, std::string_view wrong) {
    ++count_;
    fmt::print("{}ok {} - {}\n", wrong.empty() ? "" : "not ", count_, name);
    if (!wrong.empty()) {
        ++failed_;
        while (wrong.ends_with('\n')) {
            wrong.remove_suffix(1);
        }
        for (std::size_t at = 0; at <= wrong.size();) {
            const auto end = std::min(wrong.find('\n', at), wrong.size());
            fmt::print("#   {}\n", wrong.substr(at, end - at));
            at = end + 1;
        }
    }
    // Whoever follows a long run sees each line when it comes.
    std::fflush(stdout);
    return wrong.empty();
}

void Tap::skip(std::string_view name, std::string_view reason) {
    ++count_;
    fmt::print("ok {} - {} # SKIP {}\n", count_, name, reason);
    std::fflush(stdout);
}

int Tap::end() {
    fmt::print("1..{}\n", count_);
    return failed_ == 0 && count_ > 0 ? 0 : 1;
}

} // namespace type2
