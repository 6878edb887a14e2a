// SPDX-License-Identifier: GPL-2.0-or-later
// The guest that is planned: QEMU's command line and libvirt's domain. No I/O.
#pragma once

#include "preflight/facts.h"
#include "preflight/plan.h"

#include <string>
#include <vector>

namespace type2::preflight {

/// The command line, one option with its value per element.
std::vector<std::string> command_line(const Facts &facts, const Plan &plan);

/// A domain for `virsh define`.
std::string libvirt_xml(const Facts &facts, const Plan &plan);

// What both say.

// Decoders of the bridge are for QEMU to commit. A guest would have to program them, too.
inline constexpr const char *BridgeDecodersOption = "hdm_for_passthrough";
inline constexpr const char *ModeOption = "x-cxl-decoders";
inline constexpr const char *IommufdOption = "iommufd";
inline constexpr const char *IommufdName = "iommufd0";

bool is_arm(const Plan &plan);
/// Opened by its own file, and so with an iommufd.
bool needs_iommufd(const DeviceFacts &device);
/// "cxl=on" and the windows, each for one bridge, whose name is name(DevicePlan::bridge).
std::string window_options(const Plan &plan, std::string (*name)(const std::string &id));
/// -device for a device on the port of that name.
std::string device_option(const DeviceFacts &device, const DevicePlan &plan,
                          const std::string &port);
/// The CPU's address bits have to be said.
bool needs_bits(const Plan &plan);
/// What makes room for large BARs: -global and -fw_cfg on q35. Nothing where none is needed.
std::vector<std::pair<std::string, std::string>> room_for_bars(const Plan &plan);

} // namespace type2::preflight
