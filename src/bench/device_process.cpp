// SPDX-License-Identifier: GPL-2.0-or-later
#include "bench/device_process.h"

#include "base/stream.h"
#include "base/unix_socket.h"
#include "bench/paths.h"

#include <cerrno>
#include <fmt/format.h>

namespace type2 {

namespace {

std::string control_of(const std::filesystem::path &socket) {
    return socket.string() + ".control";
}

} // namespace

Result<DeviceProcess> DeviceProcess::start(const std::filesystem::path &socket,
                                           const std::vector<std::string> &options) {
    Command command{{bin("cxl-type2-model"), "--socket", socket, "--control", control_of(socket)}};
    command.words.insert(command.words.end(), options.begin(), options.end());
    auto process = Process::start(command);
    if (!process) {
        return tl::unexpected(process.error());
    }
    const auto line = process->read_line(std::chrono::seconds(20));
    if (!line || line->find("listening on") == std::string::npos) {
        return fail(line ? EPROTO : line.error().code,
                    fmt::format("the model device does not listen: {}{}",
                                line ? *line : line.error().text, process->out()));
    }
    return DeviceProcess(socket, std::move(*process));
}

Result<std::string> DeviceProcess::control(const std::string &command) const {
    const auto socket = connect_unix(control_of(socket_));
    if (!socket) {
        return tl::unexpected(socket.error());
    }
    if (const auto sent = send_all(socket->get(), command + "\n"); !sent) {
        return tl::unexpected(sent.error());
    }
    std::string received;
    auto reply = receive_line(socket->get(), received, Clock::now() + std::chrono::seconds(20));
    if (reply && reply->starts_with("error:")) {
        return fail(EPROTO, fmt::format("{}: {}", command, *reply));
    }
    return reply;
}

} // namespace type2
