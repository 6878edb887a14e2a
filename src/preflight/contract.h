// SPDX-License-Identifier: GPL-2.0-or-later
// What a VFIO device says about itself, asked as QEMU asks, and never written to.
#pragma once

#include "preflight/facts.h"
#include "vfio/target.h"

namespace type2::preflight {

/// Error: the device info could not be had. Everything else that is wrong is a problem in the
/// facts.
Result<VfioFacts> read_contract(vfio::Target &target);

/// Configuration space through the device, and the sizes of its BARs. Error: errno and text.
Result<PciFacts> read_config(vfio::Target &target);

} // namespace type2::preflight
