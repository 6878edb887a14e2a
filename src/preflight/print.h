// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "preflight/judge.h"

#include <string>

namespace type2::preflight {

/// The table, then command line and domain where the device is ready.
std::string as_text(const Facts &facts, const Plan &plan, const Report &report);

/// The same as one JSON object.
std::string as_json(const Facts &facts, const Plan &plan, const Report &report);

/// True if everything is known that a command line needs.
bool has_advice(const Report &report);

} // namespace type2::preflight
