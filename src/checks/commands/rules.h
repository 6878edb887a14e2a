// SPDX-License-Identifier: GPL-2.0-or-later
// Which command is treated in which way: the table to extend for a new line in a page.
#pragma once

#include "checks/commands/kinds.h"
#include "checks/commands/pages.h"

#include <string>
#include <vector>

namespace type2::commands {

/// What makes QEMU's command line of a part of one, before and behind it.
struct Frame {
    std::string before;
    std::string after;
};

struct Rule {
    const char *page;        ///< expression that fits somewhere in the page's path; "." is any page
    const char *command;     ///< expression that fits at the command's beginning
    Kind kind;               ///< what is done
    std::string reason = {}; ///< why it is not run, for the kinds that do not
    Frame frame = {};        ///< for Kind::QemuOptions
};

/// The table. Of two rules that fit, the upper one holds.
const std::vector<Rule> &rules();

/// The first rule of the table that fits; what is asked at a monitor has one that is in no table.
/// Nothing: there is none.
const Rule *rule_for(const Shown &shown);

/// A block that is no command, by what it begins with.
struct Picture {
    const char *beginning;
    const char *what;
};

const std::vector<Picture> &pictures();

/// The picture that a block with this beginning is. Nothing: it is none.
const Picture *picture_for(const Shown &shown);

} // namespace type2::commands
