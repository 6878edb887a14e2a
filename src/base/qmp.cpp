// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/qmp.h"

#include "base/stream.h"
#include "base/unix_socket.h"

#include <algorithm>
#include <cerrno>
#include <fmt/format.h>
#include <thread>

namespace type2 {

using nlohmann::json;

Result<Qmp> Qmp::connect(const std::filesystem::path &path, Process &qemu,
                         Clock::duration timeout) {
    const auto deadline = Clock::now() + timeout;
    for (;;) {
        if (!qemu.running()) {
            return fail(ESRCH, fmt::format("QEMU ended with status {}: {}{}",
                                           qemu.status().value_or(0), qemu.out(), qemu.err()));
        }
        auto socket = connect_unix(path);
        if (socket) {
            Qmp qmp(std::move(*socket), timeout);
            const auto greeting = qmp.receive(deadline);
            const auto done = greeting ? qmp.ask("qmp_capabilities") : greeting;
            if (!done) {
                return tl::unexpected(done.error());
            }
            return qmp;
        }
        if (Clock::now() >= deadline) {
            return fail(ETIMEDOUT, fmt::format("no QMP: {}", socket.error().text));
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

Result<json> Qmp::receive(Clock::time_point deadline) {
    const auto line = receive_line(socket_.get(), received_, deadline);
    if (!line) {
        return fail(line.error().code, fmt::format("QMP: {}", line.error().text));
    }
    auto message = json::parse(*line, nullptr, false);
    if (!message.is_object()) {
        return fail(EPROTO, fmt::format("this is no QMP: {}", *line));
    }
    return message;
}

Result<json> Qmp::ask(const std::string &command, const json &arguments) {
    const auto sent =
        send_all(socket_.get(), json{{"execute", command}, {"arguments", arguments}}.dump() + "\n");
    if (!sent) {
        return fail(sent.error().code, fmt::format("{}: {}", command, sent.error().text));
    }
    const auto deadline = Clock::now() + timeout_;
    for (;;) {
        auto message = receive(deadline);
        if (!message) {
            return fail(message.error().code, fmt::format("{}: {}", command, message.error().text));
        }
        if (message->contains("error")) {
            return fail(EPROTO, fmt::format("{}: {}", command,
                                            message->at("error").value("desc", "no reason")));
        }
        if (message->contains("return")) {
            return message->at("return");
        }
        events_.push_back(std::move(*message));
    }
}

Result<std::string> Qmp::hmp(const std::string &line) {
    const auto answer = ask("human-monitor-command", {{"command-line", line}});
    if (!answer) {
        return tl::unexpected(answer.error());
    }
    if (!answer->is_string()) {
        return fail(EPROTO, fmt::format("{}: the answer is no text", line));
    }
    auto text = answer->get<std::string>();
    std::erase(text, '\r');
    return text;
}

Result<json> Qmp::wait_event(const std::string &name, Clock::duration timeout) {
    const auto deadline = Clock::now() + timeout;
    for (;;) {
        const auto found = std::find_if(events_.begin(), events_.end(), [&](const json &event) {
            return event.value("event", "") == name;
        });
        if (found != events_.end()) {
            auto event = std::move(*found);
            events_.erase(found);
            return event;
        }
        auto message = receive(deadline);
        if (!message) {
            return fail(message.error().code, fmt::format("{}: {}", name, message.error().text));
        }
        events_.push_back(std::move(*message));
    }
}

} // namespace type2
