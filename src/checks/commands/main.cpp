// SPDX-License-Identifier: GPL-2.0-or-later
// check-commands: every command line in the documentation is run, in TAP. Command line, order and
// report; what is done with which stands in rules.cpp.
#include "base/cleanup.h"
#include "base/paths.h"
#include "base/program.h"
#include "base/tap.h"
#include "checks/commands/pages.h"
#include "checks/commands/rules.h"

#include <algorithm>
#include <CLI/App.hpp>
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <map>
#include <optional>
#include <set>

namespace {

using namespace type2::commands;

struct Options {
    bool list = false;
    std::vector<std::string> texts;
};

std::string title_of(const Shown &shown) {
    // TAP takes what follows a "#" for a directive.
    std::string text;
    for (const char c : shown.text) {
        text += c == '#' ? "\\#" : std::string(1, c);
    }
    return fmt::format("{}:{}: {}", shown.page, shown.line, text);
}

std::string description_of(const Rule &rule) {
    return fmt::format("{}{}{}.", description_of(rule.kind), rule.reason.empty() ? "" : " ",
                       rule.reason);
}

/// Does commands in the order of the pages, each page's in one PageRun, a command that several
/// pages show once.
class Runner {
  public:
    /// What is wrong; empty: nothing.
    std::string act(const Shown &shown, const Rule &rule) {
        if (!run_ || shown.page != page_) {
            // The processes of the page before end first.
            run_.reset();
            auto scratch = type2::Scratch::make("docs");
            if (!scratch) {
                return scratch.error().text;
            }
            run_.emplace(std::move(*scratch));
            page_ = shown.page;
        }
        const auto [at, is_new] = done_.try_emplace(shown.text);
        if (is_new) {
            const auto result = type2::commands::act(*run_, rule, shown.text);
            if (!result) {
                at->second = result.error().text.empty() ? "it failed" : result.error().text;
            }
        }
        return at->second;
    }

  private:
    std::string page_;
    std::optional<PageRun> run_;
    std::map<std::string, std::string> done_; ///< command: what was wrong
};

bool is_wanted(const std::string &title, const std::vector<std::string> &texts) {
    return texts.empty() || std::any_of(texts.begin(), texts.end(), [&](const auto &text) {
               return title.find(text) != std::string::npos;
           });
}

/// What nobody needs any more. True: nothing.
bool check_unused(const std::set<const void *> &used, type2::Tap &tap) {
    bool well = true;
    for (const auto &rule : rules()) {
        if (used.find(&rule) == used.end()) {
            well &= tap.check(fmt::format("rule {}", rule.command), "fits no command: drop it");
        }
    }
    for (const auto &picture : pictures()) {
        if (used.find(&picture) == used.end()) {
            well &=
                tap.check(fmt::format("picture {}", picture.beginning), "is on no page: drop it");
        }
    }
    return well;
}

int check(const Options &options) {
    type2::Tap tap;
    Runner runner;
    std::set<const void *> used;
    bool well = true;
    for (const auto &shown : all_commands(type2::top().string())) {
        if (const auto *picture = picture_for(shown)) {
            used.insert(picture);
            continue;
        }
        const auto title = title_of(shown);
        const auto *rule = rule_for(shown);
        used.insert(rule);
        if (!is_wanted(title, options.texts)) {
            continue;
        }
        if (rule == nullptr) {
            well &= tap.check(title, "no rule in src/checks/commands/rules.cpp says what to do");
        } else if (options.list) {
            fmt::print("{}\n        {}\n", title, description_of(*rule));
        } else {
            tap.check(rule->reason.empty() ? title
                                           : fmt::format("{} ({})", title, description_of(*rule)),
                      runner.act(shown, *rule));
        }
    }
    // With some commands only, the rules of the others are not looked at.
    if (options.texts.empty()) {
        well &= check_unused(used, tap);
    }
    // A list is no TAP, unless there is something wrong with it.
    return options.list ? (well ? 0 : 1) : tap.end();
}

int run(int argc, char **argv) {
    CLI::App app("Every command line in the documentation is run, in TAP.", "check-commands");
    Options options;
    app.add_flag("--list", options.list, "What would be done with what");
    app.add_option("texts", options.texts, "Only commands with one of these in them")
        ->type_name("TEXT");
    CLI11_PARSE(app, argc, argv);
    return check(options);
}

} // namespace

int main(int argc, char **argv) {
    type2::clean_up_on_signals();
    return type2::run_program("check-commands", 1, [&] { return run(argc, argv); });
}
