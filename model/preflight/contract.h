// SPDX-License-Identifier: GPL-2.0-or-later
// What a VFIO device says about itself, asked as QEMU asks, and never written to.
#pragma once

#include "conformance/target.h"
#include "preflight/facts.h"

namespace model::preflight {

/// Error: the device info could not be had. Everything else that is wrong is a problem in the
/// facts.
Result<VfioFacts> read_contract(conformance::Target &target);

/// Configuration space through the device, and the sizes of its BARs. Error: errno and text.
Result<PciFacts> read_config(conformance::Target &target);

} // namespace model::preflight
