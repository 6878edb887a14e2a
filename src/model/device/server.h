// SPDX-License-Identifier: GPL-2.0-or-later
// The edge: sockets of a running model. One vfio-user client at a time, some control connections,
// one poll loop in which nobody is waited for.
#pragma once

#include "base/loop.h"
#include "model/device/control.h"
#include "model/device/device.h"
#include "vfio_user/connection.h"

#include <map>
#include <memory>
#include <optional>
#include <string>

namespace type2::device {

struct ServerOptions {
    std::string socket;
    std::string control; ///< empty: none
    std::string trace;   ///< empty: none
};

class Server {
  public:
    /// Listens. Error: errno and text naming the path. filter may be null and outlives the server.
    /// The caller ignores SIGXFSZ and SIGPIPE, or a trace that cannot be written ends the process.
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

    /// One that is read from only when its last answer has been taken, so that there is one at
    /// most.
    struct ControlClient {
        UniqueFd fd;
        std::string input;
        std::string output;
        std::size_t sent = 0; ///< bytes of the output
    };

    Result<void> start();
    /// What is to be done before each wait; when to wake up.
    std::optional<Loop::Clock::time_point> idle(Loop::Clock::time_point now);
    void watch_listeners();
    /// A new connection on `listener`; empty: there is none now.
    UniqueFd accept_from(const UniqueFd &listener, Loop::Clock::time_point now);
    void accept_client(Loop::Clock::time_point now);
    void accept_control(Loop::Clock::time_point now);
    void serve_client(short revents, Loop::Clock::time_point now);
    void serve_control(int fd, short revents);
    /// Takes what it has sent, answers one line. False: the connection is over.
    bool receive_control(ControlClient &client);
    bool answer_control(ControlClient &client);
    static bool send_control(ControlClient &client);
    void watch_control(const ControlClient &client);
    /// why: for the trace.
    void drop_client(const Error &why);
    void watch_client();
    void log_message(const vfio_user::LogEntry &entry);
    /// A line for --trace. One that cannot be written ends the trace, with a word on stderr.
    void trace(const std::string &line);

    ServerOptions options_;
    Device &device_;
    vfio_user::ReplyFilter *filter_;
    Loop loop_;
    MessageLog log_;
    UniqueFd trace_;
    UniqueFd signals_;
    UniqueFd listener_;
    UniqueFd control_listener_;
    std::optional<Loop::Clock::time_point> accept_again_; ///< set while nobody is accepted
    std::unique_ptr<vfio_user::Connection> client_;
    std::map<int, ControlClient> controls_;
};

} // namespace type2::device
