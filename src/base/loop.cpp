// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/loop.h"

#include <cerrno>
#include <cstring>
#include <poll.h>
#include <vector>

namespace type2 {

void Loop::watch(int fd, short events, Ready ready) {
    watches_[fd] = Watch{events, std::move(ready)};
}

Result<void> Loop::run() {
    while (!stopped_) {
        int timeout = -1;
        const auto now = Clock::now();
        if (idle_) {
            if (const auto wake = idle_(now)) {
                const auto left = *wake <= now ? Clock::duration::zero() : *wake - now;
                // Rounded up, so that the deadline has passed when poll returns.
                timeout =
                    static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(left).count());
            }
        }
        std::vector<pollfd> fds;
        fds.reserve(watches_.size());
        for (const auto &[fd, watch] : watches_) {
            fds.push_back({fd, watch.events, 0});
        }
        if (poll(fds.data(), fds.size(), timeout) < 0) {
            if (errno == EINTR) {
                continue;
            }
            return fail(errno, std::strerror(errno));
        }
        for (const auto &entry : fds) {
            const auto found = watches_.find(entry.fd);
            if (entry.revents != 0 && found != watches_.end()) {
                // A copy: the callback may replace or forget its own watch.
                const auto ready = found->second.ready;
                ready(entry.revents, Clock::now());
            }
        }
    }
    return {};
}

} // namespace type2
