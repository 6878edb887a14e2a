// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/stream.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <poll.h>
#include <sys/socket.h>

namespace type2 {

Result<void> send_all(int socket, std::string_view text) {
    while (!text.empty()) {
        const ssize_t put = send(socket, text.data(), text.size(), MSG_NOSIGNAL);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return fail(EPIPE, "the peer hung up");
        }
        text.remove_prefix(static_cast<std::size_t>(put));
    }
    return {};
}

Result<std::string> receive_line(int socket, std::string &received, Clock::time_point deadline) {
    for (;;) {
        if (const auto end = received.find('\n'); end != std::string::npos) {
            std::string line = received.substr(0, end);
            received.erase(0, end + 1);
            return line;
        }
        pollfd fd = {socket, POLLIN, 0};
        if (poll(&fd, 1, milliseconds_until(deadline)) <= 0) {
            if (Clock::now() >= deadline) {
                return fail(ETIMEDOUT, "no answer in time");
            }
            continue;
        }
        std::array<char, 65536> buffer = {};
        const ssize_t got = recv(socket, buffer.data(), buffer.size(), 0);
        if (got <= 0) {
            return fail(EPIPE, "the peer hung up");
        }
        received.append(buffer.data(), static_cast<std::size_t>(got));
    }
}

int milliseconds_until(Clock::time_point deadline) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    return static_cast<int>(std::clamp<long>(left.count(), 0, 3'600'000));
}

} // namespace type2
