// SPDX-License-Identifier: GPL-2.0-or-later
// What can be done with a command that a page shows.
#pragma once

#include "checks/commands/page_run.h"

#include <string>
#include <string_view>

namespace type2::commands {

struct Rule;

/// kinds.cpp says of each what it is, in the words of --list.
enum class Kind {
    // The command is run
    AsItStands,
    GuestBoot,
    QemuBoot,
    QemuStart,
    QemuOptions,
    MonitorQuestion,
    ModelStart,
    ModelQuestion,
    ModelClient,
    PrintsAndExits,
    Preflight,
    Recording,
    PreflightOfRecording,
    // It is not, for a reason, and checked for what can be checked
    MakeTarget,
    Script,
    ScriptOfAStep,
    NoCommand,
};

/// What is done. Where the command is not run, a reason belongs behind it: "not run, for ...".
std::string_view description_of(Kind kind);

/// Does it with a command that fits the rule. Error: what is wrong with the command.
Result<void> act(PageRun &run, const Rule &rule, const std::string &command);

} // namespace type2::commands
