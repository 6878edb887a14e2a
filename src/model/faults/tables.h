// SPDX-License-Identifier: GPL-2.0-or-later
// The faults, by what they lie about. The order is that of `--fault list`.
#pragma once

#include "model/faults/faults.h"

#include <span>

namespace type2::device::lies {

/// What device and regions are said to be: capabilities, sizes, flags, areas to map.
std::span<const Fault> info_faults();
/// The component registers: where they are, what they say, how they are accessed.
std::span<const Fault> register_faults();
/// The device's memory: what reads of it return, and the files it comes with.
std::span<const Fault> memory_faults();
/// Configuration space, its doorbells among it, and resets.
std::span<const Fault> config_space_faults();
/// The conversation as such, and its end.
std::span<const Fault> message_faults();

} // namespace type2::device::lies
