// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>

namespace model::conformance {

struct Options {
    std::string socket; ///< of a vfio-user server
};

/// What the command line said.
const Options &options();

} // namespace model::conformance
