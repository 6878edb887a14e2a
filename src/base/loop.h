// SPDX-License-Identifier: GPL-2.0-or-later
// The one poll loop of the process. Plain poll(2); the clock is handed to the callbacks.
#pragma once

#include "base/result.h"

#include <chrono>
#include <functional>
#include <map>
#include <optional>

namespace type2 {

class Loop {
  public:
    using Clock = std::chrono::steady_clock;
    using Ready = std::function<void(short revents, Clock::time_point now)>;

    /// Watches `fd` for `events` (POLLIN, POLLOUT). A second call for one fd replaces the first.
    void watch(int fd, short events, Ready ready);
    void forget(int fd) { watches_.erase(fd); }
    /// Called before each wait: returns when to wake up at the latest, time_point::min() for "at
    /// once", nothing for "whenever a descriptor is ready".
    void set_idle(std::function<std::optional<Clock::time_point>(Clock::time_point)> idle) {
        idle_ = std::move(idle);
    }
    void stop() { stopped_ = true; }
    /// Runs until stop(). Error: errno of poll.
    Result<void> run();

  private:
    struct Watch {
        short events = 0;
        Ready ready;
    };
    std::map<int, Watch> watches_;
    std::function<std::optional<Clock::time_point>(Clock::time_point)> idle_;
    bool stopped_ = false;
};

} // namespace type2
