// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "vfio/target.h"

#include <string>

namespace type2::conformance {

/// What the command line said: one of the first two.
struct Options {
    std::string socket; ///< of a vfio-user server
    std::string vfio;   ///< address of a PCI function that a vfio driver of the kernel holds
    bool v6 = false;    ///< it is to keep what the newest live generation changed, too
};

const Options &options();

/// The device that the command line named. Error: errno and text.
Result<std::unique_ptr<vfio::Target>> open_target();

} // namespace type2::conformance
