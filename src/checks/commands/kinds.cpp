// SPDX-License-Identifier: GPL-2.0-or-later
#include "checks/commands/kinds.h"

#include "base/paths.h"
#include "base/text.h"
#include "checks/commands/checkout.h"
#include "checks/commands/rules.h"
#include "checks/commands/stand_ins.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>

namespace type2::commands {

namespace {

/// What a command said is not looked at.
Result<void> done(const Result<std::string> &output) {
    return output ? Result<void>() : tl::unexpected(output.error());
}

Result<void> said(const Result<std::string> &output, const char *expression) {
    if (!output) {
        return tl::unexpected(output.error());
    }
    if (!RE2::PartialMatch(*output, expression)) {
        return wrong(fmt::format("no {} in\n{}", expression, last_part(*output)));
    }
    return {};
}

std::string replace_first(std::string text, std::string_view what, std::string_view instead) {
    const auto at = text.find(what);
    return at == std::string::npos ? text : text.replace(at, what.size(), instead);
}

std::string replace_host7(const PageRun &run, const std::string &command) {
    return replace_first(command, "host7", run.path("host7"));
}

Result<void> as_it_stands(PageRun &run, const Rule & /*rule*/, const std::string &command) {
    return done(run.shell(command, GuestTime));
}

Result<void> boot_guest(PageRun &run, const Rule & /*rule*/, const std::string &command) {
    return said(run.shell(command, GuestTime), R"(\bPASS\b)");
}

Result<void> boot_qemu(PageRun &run, const Rule & /*rule*/, const std::string &command) {
    return said(run.shell(command, GuestTime), "CXL2: verdict=pass");
}

Result<void> start_qemu(PageRun &run, const Rule &rule, const std::string &command) {
    return run.qemu_to_qmp(rule.frame.before + command + rule.frame.after);
}

Result<void> ask_monitor(PageRun &run, const Rule &rule, const std::string &command) {
    static const RE2 question(R"(\(qemu\) ([^\[{]*)(.*))");
    static const RE2 name(R"re(("[\w-]+"):)re");
    std::string asked;
    std::string shown;
    RE2::FullMatch(command, question, &asked, &shown);
    return run.qemu_to_qmp(rule.frame.before + rule.frame.after, [&](Qmp &qmp) -> Result<void> {
        const auto answer = qmp.hmp(std::string(trimmed(asked)));
        if (!answer) {
            return tl::unexpected(answer.error());
        }
        std::vector<std::string> missing;
        for (const auto &match : all_matches(name, shown)) {
            if (answer->find(match[1]) == std::string::npos) {
                missing.emplace_back(match[1]);
            }
        }
        if (!missing.empty() || answer->starts_with("Error")) {
            return wrong(fmt::format("[{}] missing in: {}", joined(missing, ", "), *answer));
        }
        return {};
    });
}

Result<void> start_model(PageRun &run, const Rule & /*rule*/, const std::string &command) {
    const auto line = trimmed(command);
    return run.start_model(std::string(line.substr(0, line.find_last_not_of("& ") + 1)));
}

Result<void> ask_model(PageRun &run, const Rule & /*rule*/, const std::string &command) {
    return done(run.shell(replace_first(command, "PATH", ControlSocket)));
}

Result<void> run_client(PageRun &run, const Rule & /*rule*/, const std::string &command) {
    return done(run.shell(replace_first(command, "PATH", ModelSocket)));
}

Result<void> print_and_exit(PageRun &run, const Rule & /*rule*/, const std::string &command) {
    return done(run.shell(command));
}

Result<void> preflight(PageRun &run, const Rule & /*rule*/, const std::string &command) {
    return done(
        run.shell(replace_first(command, "0000:", "--sysfs src/tests/data/sysfs/ready/sys 0000:")));
}

Result<void> record(PageRun &run, const Rule & /*rule*/, const std::string &command) {
    return done(run.shell("ROOT=src/tests/data/sysfs/ready " + replace_host7(run, command)));
}

Result<void> preflight_of_recording(PageRun &run, const Rule & /*rule*/,
                                    const std::string &command) {
    return done(run.shell(replace_host7(run, command)));
}

Result<void> check_target(PageRun & /*run*/, const Rule & /*rule*/, const std::string &command) {
    return check_make_line(command);
}

Result<void> check_script(PageRun & /*run*/, const Rule & /*rule*/, const std::string &command) {
    return check_program(command);
}

Result<void> check_step(PageRun & /*run*/, const Rule & /*rule*/, const std::string &command) {
    const auto there = check_program(command);
    return there ? check_named_by_step(command) : there;
}

Result<void> nothing(PageRun & /*run*/, const Rule & /*rule*/, const std::string & /*command*/) {
    return {};
}

struct Entry {
    Kind kind;
    std::string_view does;
    Result<void> (*act)(PageRun &run, const Rule &rule, const std::string &command);
};

constexpr std::array Table = {
    Entry{Kind::AsItStands, "The line as it stands, in the top folder", as_it_stands},
    Entry{Kind::GuestBoot, "A boot: the verdict is on the last line", boot_guest},
    Entry{Kind::QemuBoot, "To the guest's verdict and its power-off", boot_qemu},
    Entry{Kind::QemuStart, "Up to an answer on QMP with the device realized, then quit",
          start_qemu},
    Entry{Kind::QemuOptions,
          "In a frame; Up to an answer on QMP with the device realized, then quit", start_qemu},
    Entry{Kind::MonitorQuestion,
          "At the monitor of a machine with the device: what is asked is answered, and the answer "
          "has "
          "the names that the page shows",
          ask_monitor},
    Entry{Kind::ModelStart, "Left running for the lines that follow on the same page", start_model},
    Entry{Kind::ModelQuestion, "PATH becomes a socket of a model that the test starts", ask_model},
    Entry{Kind::ModelClient, "PATH becomes the device's socket", run_client},
    Entry{Kind::PrintsAndExits, "Takes the option and exits", print_and_exit},
    Entry{Kind::Preflight, "On the recorded host of the model's tests", preflight},
    Entry{Kind::Recording, "Another recording of that host, which stays for the next command",
          record},
    Entry{Kind::PreflightOfRecording, "On what the command before it recorded",
          preflight_of_recording},
    Entry{Kind::MakeTarget, "A make target, its variables and its steps: not run, for",
          check_target},
    Entry{Kind::Script, "A program of ours that is there to be run: not run, for", check_script},
    Entry{Kind::ScriptOfAStep, "A script that scripts/check/steps.sh names: not run here, for",
          check_step},
    Entry{Kind::NoCommand, "Not a command:", nothing},
};

const Entry &entry_of(Kind kind) {
    return *std::find_if(Table.begin(), Table.end(),
                         [&](const Entry &entry) { return entry.kind == kind; });
}

} // namespace

std::string_view description_of(Kind kind) {
    return entry_of(kind).does;
}

Result<void> act(PageRun &run, const Rule &rule, const std::string &command) {
    return entry_of(rule.kind).act(run, rule, command);
}

} // namespace type2::commands
