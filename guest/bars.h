// SPDX-License-Identifier: GPL-2.0-or-later
// Where firmware put BARs and bridge windows, and where Linux has them.
#pragma once

#include "tools.h"

namespace guest {

// For everything below the host bridge of `pci`: compares what Linux found when it scanned
// the bus, which is what firmware wrote, with what it uses. Whatever was moved is named.
// With `must_stay` that is a failure.
void tell_bars(Tap &tap, const fs::path &pci, bool must_stay);

}  // namespace guest
