// SPDX-License-Identifier: GPL-2.0-or-later
// What main() of every program with an option parser does around its work.
#pragma once

#include <cstdio>
#include <exception>

namespace type2 {

/// The exit status that `work` returns. The option parser reports through exceptions, and none of
/// them may end in abort(): what one says goes to stderr, behind the program's `name`, and the
/// status is `failed` then.
template <typename Work> int run_program(const char *name, int failed, Work work) {
    try {
        return work();
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s: %s\n", name, error.what());
        return failed;
    }
}

} // namespace type2
