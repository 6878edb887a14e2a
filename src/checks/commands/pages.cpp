// SPDX-License-Identifier: GPL-2.0-or-later
#include "checks/commands/pages.h"

#include "base/files.h"
#include "base/text.h"

#include <algorithm>
#include <array>
#include <filesystem>

namespace type2::commands {

namespace {

namespace fs = std::filesystem;
using Lines = std::vector<std::string_view>;

struct Folder {
    const char *path;
    const char *extension;
    bool deep; ///< with the folders below it
};

// README.md comes before them
constexpr std::array Folders = {
    Folder{"docs", ".md", true},
    Folder{"testbed", ".md", false},
    Folder{"docs/system/devices", ".rst", false},
    Folder{"series/blocks", "", false},
};

/// A paragraph of a list item is indented less than a block of Markdown.
constexpr std::size_t BlockIndent = 4;

struct Block {
    std::size_t number; ///< of the first of its lines, from 1 on
    Lines lines;
};

struct Line {
    std::size_t number; ///< from 1 on
    std::string_view text;
};

struct Parts {
    std::vector<Block> blocks;
    std::vector<Line> prose;
};

bool is_blank(std::string_view line) {
    return trimmed(line).empty();
}

std::size_t indent_of(std::string_view line) {
    return is_blank(line) ? line.size() : offset_in(line, trimmed(line));
}

/// The first line from `at` on that is not blank.
std::size_t skip_blank(const Lines &lines, std::size_t at) {
    while (at < lines.size() && is_blank(lines[at])) {
        ++at;
    }
    return at;
}

/// Behind the last line from `at` on that is blank or indented by at least `least`.
std::size_t end_of_block(const Lines &lines, std::size_t at, std::size_t least) {
    while (at < lines.size() && (is_blank(lines[at]) || indent_of(lines[at]) >= least)) {
        ++at;
    }
    return at;
}

Lines between(const Lines &lines, std::size_t begin, std::size_t end) {
    const auto at = [&](std::size_t i) { return lines.begin() + static_cast<std::ptrdiff_t>(i); };
    return {at(begin), at(end)};
}

/// Blocks, and the text without them.
Parts parts_of(std::string_view text, Markup markup) {
    const auto lines = lines_of(text);
    const bool markdown = markup == Markup::Markdown;
    Parts parts;
    std::size_t at = 0;
    while (at < lines.size()) {
        const auto line = lines[at];
        ++at;
        if (markdown && line.starts_with("```")) {
            auto end = at;
            while (end < lines.size() && !lines[end].starts_with("```")) {
                ++end;
            }
            parts.blocks.push_back({at + 1, between(lines, at, end)});
            at = std::min(end + 1, lines.size());
            continue;
        }
        parts.prose.push_back({at, line});
        const bool announces =
            !markdown && trimmed(line).ends_with("::") && !line.starts_with("..");
        if (!announces && !(markdown && is_blank(line))) {
            continue;
        }
        const auto least = announces ? indent_of(line) + 1 : BlockIndent;
        const auto begin = skip_blank(lines, at);
        if (begin == lines.size() || indent_of(lines[begin]) < least) {
            continue;
        }
        at = end_of_block(lines, begin, least);
        parts.blocks.push_back({begin + 1, between(lines, begin, at)});
        parts.prose.push_back({at, ""});
    }
    return parts;
}

/// Lines of a shell: continued lines joined, comments dropped.
std::vector<std::string> shell_lines(const Lines &lines) {
    static const RE2 comment(R"(\s+#( .*)?$)");
    std::vector<std::string> whole;
    std::string held;
    for (const auto part : lines) {
        auto line = held + std::string(trimmed(part));
        held.clear();
        if (line.ends_with('\\')) {
            line.pop_back();
            held = std::string(trimmed(line)) + " ";
            continue;
        }
        RE2::Replace(&line, comment, "");
        line = trimmed(line);
        if (!line.empty() && !line.starts_with('#')) {
            whole.push_back(line);
        }
    }
    if (!is_blank(held)) {
        whole.emplace_back(trimmed(held));
    }
    return whole;
}

/// Questions at a monitor, each with its answer behind it.
std::vector<std::string> monitor_lines(const std::vector<std::string> &lines) {
    constexpr std::string_view Prompt = "(qemu) ";
    const auto text = joined(lines, " ");
    std::vector<std::string> questions;
    std::size_t at = 0;
    while (at < text.size()) {
        const auto next = text.find(" " + std::string(Prompt), at + 1);
        questions.push_back(text.substr(at, next - at));
        at = next == std::string::npos ? text.size() : next + 1;
    }
    return questions;
}

std::vector<std::string> commands_in(const Block &block) {
    auto lines = shell_lines(block.lines);
    if (!lines.empty() && lines[0].starts_with('-')) {
        return {joined(lines, " ")};
    }
    if (!lines.empty() && lines[0].starts_with("(qemu) ")) {
        return monitor_lines(lines);
    }
    return lines;
}

/// Inline code of the text that looks like a command. It may go on in the next line.
std::vector<Shown> words_of(const std::vector<Line> &prose, const std::string &page,
                            Markup markup) {
    static const RE2 looks_like_one(
        R"(make [\w-]+|scripts/\S+|build/(bin|cpp)/\S+|guest/build|qemu-system-\w+ )"
        R"(|-(M|cpu|device|object|trace|accel|global|machine) \S)");
    static const RE2 markdown("`([^`]+)`");
    static const RE2 restructured_text("``([^`]+)``");
    std::vector<std::string> lines;
    lines.reserve(prose.size());
    for (const auto &line : prose) {
        lines.emplace_back(line.text);
    }
    const auto text = joined(lines, "\n");
    std::vector<Shown> found;
    for (const auto &match :
         all_matches(markup == Markup::Markdown ? markdown : restructured_text, text)) {
        const auto word = one_line(match[1]);
        if (fits(looks_like_one, word)) {
            const auto line = line_at(text, offset_in(text, match[0]));
            found.push_back({page, prose[line - 1].number, word, ""});
        }
    }
    return found;
}

std::vector<std::string> files_in(const std::string &top, const Folder &folder) {
    std::vector<std::string> paths;
    std::error_code error;
    for (fs::recursive_directory_iterator at(fs::path(top) / folder.path, error), end; at != end;
         at.increment(error)) {
        if (!folder.deep) {
            at.disable_recursion_pending();
        }
        if (at->path().extension() == folder.extension) {
            paths.push_back(at->path().lexically_relative(top).string());
        }
    }
    std::sort(paths.begin(), paths.end());
    return paths;
}

} // namespace

std::vector<Shown> commands_of(std::string_view text, const std::string &page, Markup markup) {
    const auto parts = parts_of(text, markup);
    std::vector<Shown> found;
    for (const auto &block : parts.blocks) {
        const auto commands = commands_in(block);
        for (const auto &command : commands) {
            found.push_back({page, block.number, command, commands[0]});
        }
    }
    const auto words = words_of(parts.prose, page, markup);
    found.insert(found.end(), words.begin(), words.end());
    return found;
}

std::vector<Shown> all_commands(const std::string &top) {
    std::vector<std::string> pages = {"README.md"};
    for (const auto &folder : Folders) {
        const auto files = files_in(top, folder);
        pages.insert(pages.end(), files.begin(), files.end());
    }
    std::vector<Shown> all;
    for (const auto &page : pages) {
        const auto markup = page.ends_with(".rst") ? Markup::ReStructuredText : Markup::Markdown;
        const auto text = read_file(fs::path(top) / page);
        const auto commands = commands_of(text, page, markup);
        all.insert(all.end(), commands.begin(), commands.end());
    }
    return all;
}

} // namespace type2::commands
