// SPDX-License-Identifier: GPL-2.0-or-later
// QMP: a QEMU that was started with -qmp unix:PATH,server=on,wait=off.
#pragma once

#include "base/process.h"

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace type2 {

class Qmp {
  public:
    /// Connects and negotiates, as soon as there is somebody at `path`. Error: ESRCH where `qemu`
    /// ends meanwhile, with what it said; ETIMEDOUT; or as ask().
    static Result<Qmp> connect(const std::filesystem::path &path, Process &qemu,
                               Clock::duration timeout = std::chrono::seconds(60));

    /// What QEMU returns to a command. Events that come meanwhile are kept. Error: EPROTO with
    /// QEMU's own text for a refusal or what is no QMP; EPIPE: it hung up; ETIMEDOUT.
    Result<nlohmann::json> ask(const std::string &command,
                               const nlohmann::json &arguments = nlohmann::json::object());
    /// What a line at the human monitor answers, with plain line ends. Error: as ask().
    Result<std::string> hmp(const std::string &line);
    /// The first event of that name that has come or comes within `timeout`; it is forgotten.
    /// Error: ETIMEDOUT, or as ask().
    Result<nlohmann::json> wait_event(const std::string &name, Clock::duration timeout);

  private:
    Qmp(UniqueFd socket, Clock::duration timeout) : socket_(std::move(socket)), timeout_(timeout) {}
    /// The next message, whichever it is.
    Result<nlohmann::json> receive(Clock::time_point deadline);

    UniqueFd socket_;
    Clock::duration timeout_;
    std::string received_;
    std::vector<nlohmann::json> events_;
};

} // namespace type2
