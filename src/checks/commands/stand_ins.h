// SPDX-License-Identifier: GPL-2.0-or-later
// What stands in for what a machine for tests lacks: KVM, the device, files that are the reader's.
#pragma once

#include <string>

namespace type2::commands {

/// A reader's command line as one for this machine. What only its run knows is left as a name:
inline constexpr const char *ModelSocket = "@MODEL@";        ///< the device's vfio-user socket
inline constexpr const char *SecondModelSocket = "@MODEL2@"; ///< that of a second one, gpu1
inline constexpr const char *ControlSocket = "@CONTROL@";    ///< the model's control socket
inline constexpr const char *DiskImage = "@DISK@";           ///< an empty disk
inline constexpr const char *Firmware = "@EFI@";             ///< the guest's firmware

std::string with_stand_ins(std::string command);

} // namespace type2::commands
