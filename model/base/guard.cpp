// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/guard.h"

#include <csetjmp>
#include <csignal>

namespace model {

namespace {

sigjmp_buf &return_point() {
    static sigjmp_buf value;
    return value;
}

void leave(int /*signal*/) {
    siglongjmp(return_point(), 1);
}

} // namespace

bool survives(const std::function<void()> &access) {
    struct sigaction action = {};
    struct sigaction before = {};
    action.sa_handler = leave;
    sigaction(SIGBUS, &action, &before);
    // The second argument has the signal's mask restored: the next SIGBUS is caught as well.
    const bool alive = sigsetjmp(return_point(), 1) == 0;
    if (alive) {
        access();
    }
    sigaction(SIGBUS, &before, nullptr);
    return alive;
}

} // namespace model
