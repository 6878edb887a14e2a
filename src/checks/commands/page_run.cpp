// SPDX-License-Identifier: GPL-2.0-or-later
#include "checks/commands/page_run.h"

#include "base/files.h"
#include "base/paths.h"
#include "base/text.h"
#include "checks/commands/stand_ins.h"

#include <algorithm>
#include <csignal>
#include <fmt/format.h>
#include <fstream>
#include <system_error>

namespace type2::commands {

namespace {

namespace fs = std::filesystem;

constexpr std::uintmax_t DiskSize = 1 << 20;
constexpr std::size_t LongestOutput = 2000;
constexpr std::chrono::seconds Grace{10};

Command shell_command(const std::string &line) {
    // What make tells the makes below it is not what a reader's shell has.
    return {.words = {"sh", "-c", line},
            .folder = top(),
            .environment = {{"MAKEFLAGS", {}}, {"MAKELEVEL", {}}, {"MFLAGS", {}}}};
}

void replace_all(std::string &text, std::string_view what, std::string_view instead) {
    for (auto at = text.find(what); at != std::string::npos;
         at = text.find(what, at + instead.size())) {
        text.replace(at, what.size(), instead);
    }
}

bool has(const std::string &text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

/// Is there a device of vfio-user's in the machine?
Result<void> look_for_device(Qmp &qmp) {
    auto there = nlohmann::json::array();
    for (const auto *folder : {"/machine/peripheral-anon", "/machine/peripheral"}) {
        const auto list = qmp.ask("qom-list", {{"path", folder}});
        if (!list) {
            return tl::unexpected(list.error());
        }
        for (const auto &property : *list) {
            if (has(property.value("type", ""), "vfio-user-pci")) {
                return {};
            }
            there.push_back(property);
        }
    }
    return wrong("no vfio-user-pci among " + there.dump());
}

/// From its first answer to its end.
Result<void> talk(Process &qemu, const std::string &socket, bool with_device,
                  const std::function<Result<void>(Qmp &)> &then) {
    auto qmp = Qmp::connect(socket, qemu);
    if (!qmp) {
        return tl::unexpected(qmp.error());
    }
    if (const auto running = qmp->ask("query-status"); !running) {
        return tl::unexpected(running.error());
    }
    if (with_device) {
        if (auto found = look_for_device(*qmp); !found) {
            return found;
        }
    }
    if (then) {
        if (auto done = then(*qmp); !done) {
            return done;
        }
    }
    if (const auto quit = qmp->ask("quit"); !quit) {
        return tl::unexpected(quit.error());
    }
    const auto status = qemu.wait(std::chrono::seconds(30));
    if (!status) {
        return tl::unexpected(status.error());
    }
    return *status == 0 ? Result<void>() : wrong(fmt::format("exit status {} after quit", *status));
}

} // namespace

std::string_view last_part(std::string_view output) {
    return output.substr(output.size() - std::min(output.size(), LongestOutput));
}

Result<std::string> PageRun::shell(const std::string &command, std::chrono::seconds timeout) {
    auto line = filled(command);
    if (!line) {
        return line;
    }
    auto child = Process::start(shell_command(*line));
    if (!child) {
        return tl::unexpected(child.error());
    }
    const auto status = child->wait(timeout);
    if (!status) {
        // Scripts have files of their own to remove.
        kill(-child->pid(), SIGTERM);
        static_cast<void>(child->wait(Grace));
        child->stop();
        return wrong(
            fmt::format("not done after {} s:\n{}", timeout.count(), last_part(child->out())));
    }
    if (*status != 0) {
        return wrong(fmt::format("exit status {}:\n{}", *status, last_part(child->out())));
    }
    return child->out();
}

Result<void> PageRun::start_model(std::string command) {
    RE2::Replace(&command, R"(--socket \S+)", "--socket " + path("device"));
    if (!has(command, "--control")) {
        command += " --control " + path("control");
    }
    return run_model(command, model_);
}

Result<void> PageRun::run_model(const std::string &command, std::optional<Process> &model) {
    model.reset();
    auto process = Process::start(shell_command("exec " + command));
    if (!process) {
        return tl::unexpected(process.error());
    }
    const auto line = process->read_line(Soon);
    if (!line || !has(*line, "listening on")) {
        return wrong(fmt::format("{}: {}", command, line ? *line : line.error().text));
    }
    model = std::move(*process);
    return {};
}

Result<void> PageRun::start_model_for(const std::string &command, int window,
                                      std::string_view socket, std::optional<Process> &model) {
    std::string size = "256M";
    RE2::PartialMatch(command, fmt::format(R"(cxl-fmw\.{}\.size=(\w+))", window), &size);
    return run_model(fmt::format("build/bin/cxl-type2-model --socket {} --hdm-size {} --control {}",
                                 path(std::string(socket)), size,
                                 path(window ? "control2" : "control")),
                     model);
}

Result<std::string> PageRun::filled(std::string command) {
    command = with_stand_ins(std::move(command));
    if (has(command, ModelSocket) || has(command, ControlSocket)) {
        // QEMU gets a new one, of the window's size.
        const bool for_qemu = has(command, "build/bin/qemu");
        if (!model_ || for_qemu) {
            if (const auto started = start_model_for(command, 0, "device", model_); !started) {
                return tl::unexpected(started.error());
            }
        }
    }
    if (has(command, SecondModelSocket)) {
        if (const auto started = start_model_for(command, 1, "device2", second_model_); !started) {
            return tl::unexpected(started.error());
        }
    }
    if (has(command, DiskImage)) {
        const std::ofstream made(path("disk"));
        std::error_code error;
        fs::resize_file(path("disk"), DiskSize, error);
        if (error) {
            return wrong(fmt::format("{}: {}", path("disk"), error.message()));
        }
    }
    replace_all(command, ModelSocket, path("device"));
    replace_all(command, SecondModelSocket, path("device2"));
    replace_all(command, ControlSocket, path("control"));
    replace_all(command, DiskImage, path("disk"));
    replace_all(command, Firmware, (build() / "guest/firmware/QEMU_EFI.fd").string());
    return command;
}

Result<void> PageRun::qemu_to_qmp(const std::string &command,
                                  const std::function<Result<void>(Qmp &)> &then) {
    auto line = filled(command);
    if (!line) {
        return tl::unexpected(line.error());
    }
    const auto socket = path("qmp");
    const auto log = path("log");
    *line += fmt::format(" -display none -S -qmp unix:{},server=on,wait=off", socket);
    auto started = shell_command("exec " + *line);
    started.out = {Stream::Kind::File, log};
    Result<void> done;
    {
        auto qemu = Process::start(started);
        done = qemu ? talk(*qemu, socket, has(*line, "vfio-user"), then)
                    : tl::unexpected(qemu.error());
    }
    if (!done) {
        done = wrong(fmt::format("{}: {}\n{}", done.error().text, *line, read_file(log)));
    }
    // The next one of this page makes its own.
    std::error_code ignored;
    fs::remove(socket, ignored);
    fs::remove(log, ignored);
    return done;
}

} // namespace type2::commands
