// SPDX-License-Identifier: GPL-2.0-or-later
// Reports in TAP. A check is what was found wrong: nothing is success.
#pragma once

#include <string>
#include <string_view>

namespace type2 {

class Tap {
  public:
    /// Prints the result at once; `wrong` goes below a failure, as comments. True: it was well.
    bool check(std::string_view name, std::string_view wrong);
    void skip(std::string_view name, std::string_view reason);
    /// Prints the plan: the program's exit status. A run without a check is a failure.
    int end();

  private:
    int count_ = 0;
    int failed_ = 0;
};

} // namespace type2
