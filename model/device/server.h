// SPDX-License-Identifier: GPL-2.0-or-later
// The edge: sockets of a running model. One vfio-user client at a time, any number of control
// connections, one poll loop.
#pragma once

#include "base/loop.h"
#include "device/control.h"
#include "device/device.h"
#include "vfio_user/connection.h"

#include <fstream>
#include <map>
#include <memory>
#include <string>

namespace model::device {

struct ServerOptions {
    std::string socket;
    std::string control; ///< empty: none
    std::string trace;   ///< empty: none
};

class Server {
  public:
    /// Listens. Error: errno and text naming the path. filter may be null and outlives the server.
    static Result<std::unique_ptr<Server>> create(const ServerOptions &options, Device &device,
                                                  vfio_user::ReplyFilter *filter);
    ~Server();
    Server(const Server &) = delete;
    Server &operator=(const Server &) = delete;

    /// Serves until SIGTERM or SIGINT. Error: errno of poll.
    Result<void> run();

  private:
    Server(ServerOptions options, Device &device, vfio_user::ReplyFilter *filter)
        : options_(std::move(options)), device_(device), filter_(filter) {}

    Result<void> start();
    void accept_client();
    void accept_control();
    void serve_client(short revents, Loop::Clock::time_point now);
    void serve_control(int fd);
    void drop_client();
    void watch_client();
    void log_message(const vfio_user::LogEntry &entry);

    struct ControlClient {
        UniqueFd fd;
        std::string input;
    };

    ServerOptions options_;
    Device &device_;
    vfio_user::ReplyFilter *filter_;
    Loop loop_;
    MessageLog log_;
    std::ofstream trace_;
    UniqueFd signals_;
    UniqueFd listener_;
    UniqueFd control_listener_;
    std::unique_ptr<vfio_user::Connection> client_;
    std::map<int, ControlClient> controls_;
};

} // namespace model::device
