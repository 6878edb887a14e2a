// SPDX-License-Identifier: GPL-2.0-or-later
// Reads commands out of the documentation: indented and fenced blocks, and words in the text that
// look like a command or an option of QEMU's.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace type2::commands {

/// A command as a page shows it.
struct Shown {
    std::string page;      ///< path from the top folder
    std::size_t line;      ///< where its block or the word begins, from 1 on
    std::string text;      ///< one line: continued lines joined, comments dropped
    std::string beginning; ///< first line of its block; empty for a word of the text
};

enum class Markup { Markdown, ReStructuredText };

/// The commands of a page: those of all blocks, then those within the text. A block that begins
/// with an option is one command, and so is each question at a monitor, "(qemu) ...", with what
/// the page shows as its answer.
std::vector<Shown> commands_of(std::string_view text, const std::string &page, Markup markup);

/// The commands of all pages below `top`, page by page.
std::vector<Shown> all_commands(const std::string &top);

} // namespace type2::commands
