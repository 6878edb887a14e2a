// SPDX-License-Identifier: GPL-2.0-or-later
// UNIX stream sockets by path.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <string>

namespace type2 {

/// Connects to, or listens on, a UNIX socket at `path`. A stale socket file is replaced on listen;
/// anything else that lies there is refused. Error: errno and text naming the path.
Result<UniqueFd> connect_unix(const std::string &path);
Result<UniqueFd> listen_unix(const std::string &path);

} // namespace type2
