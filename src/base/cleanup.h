// SPDX-License-Identifier: GPL-2.0-or-later
// What a program leaves behind when a signal ends it: nothing. Children have process groups of
// their own, so whoever ends this program's group (scripts/check/check does) does not reach them.
#pragma once

#include <filesystem>
#include <mutex>
#include <sys/types.h>

namespace type2 {

/// Call first in main(), before any thread: from then on SIGINT, SIGTERM and SIGHUP kill the
/// process groups and remove the folders noted below, and end the program with 128 + signal.
void clean_up_on_signals();

/// Held while a child is started and noted, so that no signal comes between the two.
std::unique_lock<std::mutex> hold_cleanup();

/// A child's process group is there, or gone. The caller of the first holds hold_cleanup().
void note_group(pid_t group);
void forget_group(pid_t group);

/// A folder to remove with all that is in it, or one that no longer is.
void note_folder(const std::filesystem::path &folder);
void forget_folder(const std::filesystem::path &folder);

} // namespace type2
