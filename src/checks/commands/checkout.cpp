// SPDX-License-Identifier: GPL-2.0-or-later
#include "checks/commands/checkout.h"

#include "base/files.h"
#include "base/paths.h"
#include "base/text.h"
#include "checks/commands/page_run.h"

#include <algorithm>
#include <filesystem>
#include <fmt/format.h>
#include <wordexp.h>

namespace type2::commands {

namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

/// A line as a shell splits it. Error: no simple command.
Result<Words> words_of(const std::string &command) {
    wordexp_t expansion = {};
    if (wordexp(command.c_str(), &expansion, WRDE_NOCMD | WRDE_UNDEF) != 0) {
        return wrong("no simple command: " + command);
    }
    Words words(expansion.we_wordv, expansion.we_wordv + expansion.we_wordc);
    wordfree(&expansion);
    if (words.empty()) {
        return wrong("no command");
    }
    return words;
}

std::string read_ours(const fs::path &path) {
    return read_file(top() / path);
}

/// The Makefile or a script that it calls uses the variable.
bool script_reads(const std::string &name) {
    // $NAME, ${NAME, NAME=, $(or $(NAME
    const RE2 uses(fmt::format(R"(\$[({{]?{0}\b|\b{0}=|\$\(or \$\({0})", RE2::QuoteMeta(name)));
    if (RE2::PartialMatch(read_ours("Makefile"), uses)) {
        return true;
    }
    std::error_code error;
    for (const auto *folder : {"scripts", "guest"}) {
        for (const auto &entry : fs::recursive_directory_iterator(top() / folder, error)) {
            if (entry.is_regular_file(error) && RE2::PartialMatch(read_file(entry.path()), uses)) {
                return true;
            }
        }
    }
    return false;
}

/// A program of src/ takes the variable from the environment: its name is a literal there.
bool program_reads(const std::string &name) {
    const auto literal = '"' + name + '"';
    std::error_code error;
    for (fs::recursive_directory_iterator at(top() / "src", error), end; at != end;
         at.increment(error)) {
        // What looks at pages has names of variables too, and reads none.
        if (at->path() == top() / "src/checks") {
            at.disable_recursion_pending();
        } else if (at->path().extension() == ".cpp" &&
                   read_file(at->path()).find(literal) != std::string::npos) {
            return true;
        }
    }
    return false;
}

Result<void> check_steps(const std::string &steps) {
    const auto listed = run({.words = {"scripts/check/check", "--list"}, .folder = top()}, Soon);
    if (!listed) {
        return tl::unexpected(listed.error());
    }
    const auto known = lines_of(listed->out);
    const auto wanted = one_line(steps);
    for (const auto &match : all_matches(R"(\S+)", wanted)) {
        if (std::find(known.begin(), known.end(), match[0]) == known.end()) {
            return wrong(fmt::format("scripts/check/check has no step {}", match[0]));
        }
    }
    return {};
}

} // namespace

Result<void> check_make_line(const std::string &command) {
    const auto words = words_of(command);
    if (!words) {
        return tl::unexpected(words.error());
    }
    const auto makefile = "\n" + read_ours("Makefile");
    for (auto word = words->begin() + 1; word != words->end(); ++word) {
        const auto name = word->substr(0, word->find('='));
        if (name == *word) {
            if (makefile.find("\n" + name + ":") == std::string::npos) {
                return wrong("the Makefile has no target " + name);
            }
            continue;
        }
        if (!script_reads(name) && !program_reads(name)) {
            return wrong(
                fmt::format("neither Makefile nor a script or program of ours reads {}=", name));
        }
        if (name == "STEPS") {
            if (auto there = check_steps(word->substr(name.size() + 1)); !there) {
                return there;
            }
        }
    }
    return {};
}

Result<void> check_program(const std::string &command) {
    const auto words = words_of(command);
    if (!words) {
        return tl::unexpected(words.error());
    }
    std::error_code error;
    if (!fs::exists(top() / words->front(), error)) {
        return wrong("there is no " + words->front());
    }
    return {};
}

Result<void> check_named_by_step(const std::string &command) {
    const auto words = words_of(command);
    if (!words) {
        return tl::unexpected(words.error());
    }
    if (read_ours("scripts/check/steps.sh").find(words->front()) == std::string::npos) {
        return wrong("scripts/check/steps.sh does not name it");
    }
    return {};
}

} // namespace type2::commands
