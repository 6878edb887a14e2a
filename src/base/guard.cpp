// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/guard.h"

#include <csetjmp>
#include <csignal>

namespace type2 {

namespace {

sigjmp_buf &return_point() {
    static sigjmp_buf value;
    return value;
}

void leave(int /*signal*/) {
    siglongjmp(return_point(), 1);
}

/// SIGBUS is caught for as long as one of these lives.
class Caught {
  public:
    Caught() {
        struct sigaction action = {};
        action.sa_handler = leave;
        sigaction(SIGBUS, &action, &before_);
    }
    Caught(const Caught &) = delete;
    Caught &operator=(const Caught &) = delete;
    ~Caught() { sigaction(SIGBUS, &before_, nullptr); }

  private:
    struct sigaction before_ = {};
};

} // namespace

bool survives(const std::function<void()> &access) {
    const Caught caught;
    // sigsetjmp() may stand in a comparison that is all of a condition, and in little else (C17
    // 7.13.1.1). Its second argument has the signal's mask restored: the next SIGBUS is caught too.
    if (sigsetjmp(return_point(), 1) == 0) {
        access();
        return true;
    }
    return false;
}

} // namespace type2
