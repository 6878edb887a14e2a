// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "preflight/report.h"

#include <string>

namespace type2::preflight {

/// The checks, then command line and domain where everything is ready.
std::string as_text(const Facts &facts, const Report &report);

/// The same as one JSON object, of the form in preflight.schema.json.
std::string as_json(const Facts &facts, const Report &report);

} // namespace type2::preflight
