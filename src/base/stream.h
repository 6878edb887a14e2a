// SPDX-License-Identifier: GPL-2.0-or-later
// Lines over a connected UNIX socket, which is how QMP and the model's control socket talk.
#pragma once

#include "base/process.h"

#include <string>
#include <string_view>

namespace type2 {

/// Sends all of `text`. Error EPIPE: the peer hung up.
Result<void> send_all(int socket, std::string_view text);

/// The next line, without its end; `received` keeps what came behind it. Error: EPIPE, ETIMEDOUT.
Result<std::string> receive_line(int socket, std::string &received, Clock::time_point deadline);

/// What poll() takes: milliseconds until `deadline`, not fewer, an hour at most.
int milliseconds_until(Clock::time_point deadline);

} // namespace type2
