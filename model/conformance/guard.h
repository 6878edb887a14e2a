// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>

namespace model::conformance {

/// Runs `access`, which touches a device's memory and owns nothing that needs a destructor. False:
/// it ended in SIGBUS, as it does where a kernel has nothing to map for a page. One at a time.
bool survives(const std::function<void()> &access);

} // namespace model::conformance
