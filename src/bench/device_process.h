// SPDX-License-Identifier: GPL-2.0-or-later
// A running cxl-type2-model and its control socket.
#pragma once

#include "base/process.h"

#include <filesystem>
#include <string>
#include <vector>

namespace type2 {

class DeviceProcess {
  public:
    /// Starts the model device on `socket`, with `options` of its command line besides, and waits
    /// until it listens; its control socket is beside it. Error: it does not, with what it says.
    static Result<DeviceProcess> start(const std::filesystem::path &socket,
                                       const std::vector<std::string> &options = {});

    const std::filesystem::path &socket() const { return socket_; }
    Process &process() { return process_; }

    /// The reply to a control command ("peek 0 16"; `cxl-type2-ctl --help` lists them), without
    /// its line's end. Error: EPROTO with the model's text, or of a model that is gone or stuck.
    Result<std::string> control(const std::string &command) const;
    /// Ends it as a user does, with SIGTERM: its exit status.
    int stop() { return process_.stop(std::chrono::seconds(5)); }

  private:
    DeviceProcess(std::filesystem::path socket, Process process)
        : socket_(std::move(socket)), process_(std::move(process)) {}

    std::filesystem::path socket_;
    Process process_;
};

} // namespace type2
