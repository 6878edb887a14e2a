// SPDX-License-Identifier: GPL-2.0-or-later
// All checks of all devices and of the host, and the plan they belong to.
#pragma once

#include "preflight/check.h"

#include <vector>

namespace type2::preflight {

struct Report {
    Plan plan;
    std::vector<std::vector<Check>> devices; ///< in the order of the facts
    std::vector<Check> host;

    bool ready() const;
    /// Of one device, whatever there is of the host and of others.
    bool ready(std::size_t device) const;
    std::size_t count(Status status) const;
    /// True if everything is known that a command line needs.
    bool has_advice() const { return ready() && plan.windows != 0; }
};

Report judge(const Facts &facts, const Wish &wish);

} // namespace type2::preflight
