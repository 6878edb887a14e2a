// SPDX-License-Identifier: GPL-2.0-or-later
// What can be said of a command that is not run: that what it names exists in the checkout.
#pragma once

#include "base/process.h"

#include <string>

namespace type2::commands {

/// A line of make's: its targets are in the Makefile, somebody reads its variables,
/// scripts/check/check has its steps. Error: which of them is not.
Result<void> check_make_line(const std::string &command);

/// The first word is a file or a folder. Error: it is not.
Result<void> check_program(const std::string &command);

/// The first word is in scripts/check/steps.sh. Error: it is not.
Result<void> check_named_by_step(const std::string &command);

} // namespace type2::commands
