// SPDX-License-Identifier: GPL-2.0-or-later
// The guest that would get the device: QEMU's command line and libvirt's domain. No I/O.
#pragma once

#include "preflight/judge.h"

#include <string>
#include <vector>

namespace type2::preflight {

/// The command line, one option with its value per element.
std::vector<std::string> command_line(const Facts &facts, const Plan &plan, const Report &report);

/// A domain for `virsh define`.
std::string libvirt_xml(const Facts &facts, const Plan &plan, const Report &report);

} // namespace type2::preflight
