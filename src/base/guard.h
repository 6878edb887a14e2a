// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>

namespace type2 {

/// Runs `access`, which touches mapped memory that somebody else can take away, and owns nothing
/// that needs a destructor. False: it ended in SIGBUS, as it does where a kernel has nothing to map
/// for a page, or a file has become shorter. One at a time.
bool survives(const std::function<void()> &access);

} // namespace type2
