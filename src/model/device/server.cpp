// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/device/server.h"

#include "base/unix_socket.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

namespace type2::device {

namespace {

constexpr std::size_t MaxControlLine = 4 * MiB; // a poke of 1 MiB and then some
/// What each may have waiting to be sent, the whole log at most, is bounded by their number.
constexpr std::size_t MaxControls = 64;
constexpr std::chrono::milliseconds AcceptPause{100};

/// Is this errno of accept(2) one that lasts, while the listener goes on saying that somebody
/// waits?
bool out_of_resources(int code) {
    return code == EMFILE || code == ENFILE || code == ENOBUFS || code == ENOMEM;
}

bool hung_up(int fd) {
    pollfd entry = {fd, 0, 0};
    return poll(&entry, 1, 0) > 0;
}

} // namespace

Result<std::unique_ptr<Server>> Server::create(const ServerOptions &options, Device &device,
                                               vfio_user::ReplyFilter *filter) {
    std::unique_ptr<Server> server(new Server(options, device, filter));
    if (const auto started = server->start(); !started) {
        return tl::unexpected(started.error());
    }
    return server;
}

Result<void> Server::start() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, nullptr);
    signals_.reset(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!signals_) {
        return fail(errno, fmt::format("signalfd: {}", std::strerror(errno)));
    }
    if (!options_.trace.empty()) {
        trace_.reset(open(options_.trace.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
        if (!trace_) {
            const int code = errno;
            return fail(code, fmt::format("--trace: cannot write '{}': {}", options_.trace,
                                          std::strerror(code)));
        }
    }
    auto listener = listen_unix(options_.socket);
    if (!listener) {
        return fail(listener.error().code, "--socket: " + listener.error().text);
    }
    listener_ = std::move(*listener);
    if (!options_.control.empty()) {
        auto control = listen_unix(options_.control);
        if (!control) {
            return fail(control.error().code, "--control: " + control.error().text);
        }
        control_listener_ = std::move(*control);
    }
    loop_.watch(signals_.get(), POLLIN, [this](short, auto) { loop_.stop(); });
    watch_listeners();
    loop_.set_idle([this](Loop::Clock::time_point now) { return idle(now); });
    return {};
}

std::optional<Loop::Clock::time_point> Server::idle(Loop::Clock::time_point now) {
    if (accept_again_ && *accept_again_ <= now) {
        accept_again_.reset();
        watch_listeners();
    }
    if (!client_) {
        return accept_again_;
    }
    const bool more = device_.work();
    if (const auto sent = client_->flush(now); !sent) {
        drop_client(sent.error());
        return accept_again_;
    }
    watch_client();
    if (more) {
        return Loop::Clock::time_point::min();
    }
    const auto due = client_->deadline();
    return due && accept_again_ ? std::min(due, accept_again_) : due ? due : accept_again_;
}

Server::~Server() {
    client_.reset();
    if (listener_) {
        unlink(options_.socket.c_str());
    }
    if (control_listener_) {
        unlink(options_.control.c_str());
    }
}

Result<void> Server::run() {
    auto done = loop_.run();
    if (client_) {
        drop_client({ECANCELED, "the model ends"});
    }
    return done;
}

void Server::log_message(const vfio_user::LogEntry &entry) {
    log_.add(entry);
    if (trace_) {
        trace(MessageLog::format(entry));
    }
}

void Server::trace(const std::string &line) {
    const std::string whole = line + "\n";
    for (std::string_view rest = whole; trace_ && !rest.empty();) {
        const ssize_t put = write(trace_.get(), rest.data(), rest.size());
        if (put >= 0) {
            rest.remove_prefix(static_cast<std::size_t>(put));
        } else if (errno != EINTR) {
            fmt::print(stderr, "cxl-type2-model: --trace '{}': {}; it ends here\n", options_.trace,
                       std::strerror(errno));
            trace_.reset();
        }
    }
}

void Server::watch_listeners() {
    loop_.watch(listener_.get(), POLLIN, [this](short, auto now) { accept_client(now); });
    // Who comes when there are too many waits in the listener's queue.
    if (control_listener_ && controls_.size() < MaxControls) {
        loop_.watch(control_listener_.get(), POLLIN,
                    [this](short, auto now) { accept_control(now); });
    }
}

UniqueFd Server::accept_from(const UniqueFd &listener, Loop::Clock::time_point now) {
    UniqueFd fd(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd && out_of_resources(errno)) {
        // The listener would wake the loop at once, again and again: it is left alone for a while.
        loop_.forget(listener_.get());
        loop_.forget(control_listener_.get());
        accept_again_ = now + AcceptPause;
    }
    return fd;
}

void Server::accept_client(Loop::Clock::time_point now) {
    // Of a client that has gone there may be messages; the next one's turn is when they are done.
    if (client_ && hung_up(client_->poll_fd())) {
        return;
    }
    UniqueFd fd = accept_from(listener_, now);
    if (fd && client_) {
        trace(R"({"refused":"a second client"})");
    }
    if (!fd || client_) {
        return; // one client at a time: the second is closed at once
    }
    client_ = std::make_unique<vfio_user::Connection>(
        std::make_unique<vfio_user::SocketTransport>(std::move(fd)), device_, filter_,
        [this](const vfio_user::LogEntry &entry) { log_message(entry); });
    watch_client();
}

void Server::watch_client() {
    const auto events = static_cast<short>((client_->wants_read() ? POLLIN : 0) |
                                           (client_->wants_write() ? POLLOUT : 0));
    loop_.watch(client_->poll_fd(), events,
                [this](short revents, auto now) { serve_client(revents, now); });
}

void Server::serve_client(short revents, Loop::Clock::time_point now) {
    Result<void> done;
    if ((revents & ~POLLOUT) == 0) {
        done = client_->flush(now);
    } else if (client_->wants_read()) {
        if (const auto pumped = client_->pump(now); !pumped) {
            done = tl::unexpected(pumped.error());
        }
    } else {
        done = fail(ECONNRESET, "the peer closed the connection, and left its replies");
    }
    if (!done) {
        drop_client(done.error());
    }
}

void Server::drop_client(const Error &why) {
    trace(nlohmann::json{{"closed", why.text}}.dump());
    loop_.forget(client_->poll_fd());
    client_.reset();
}

void Server::accept_control(Loop::Clock::time_point now) {
    UniqueFd fd = accept_from(control_listener_, now);
    if (!fd) {
        return;
    }
    const int number = fd.get();
    auto &client = controls_[number];
    client.fd = std::move(fd);
    watch_control(client);
    if (controls_.size() == MaxControls) {
        loop_.forget(control_listener_.get());
    }
}

void Server::watch_control(const ControlClient &client) {
    // With something to send, or a line that waits for its turn, for room and not for more lines.
    const bool busy = !client.output.empty() || client.input.find('\n') != std::string::npos;
    const int number = client.fd.get();
    loop_.watch(number, busy ? POLLOUT : POLLIN,
                [this, number](short revents, auto) { serve_control(number, revents); });
}

void Server::serve_control(int fd, short revents) {
    auto &client = controls_.at(fd);
    const bool in = (revents & POLLOUT) == 0 && client.output.empty();
    if ((!in || receive_control(client)) && send_control(client) && answer_control(client)) {
        watch_control(client);
        return;
    }
    loop_.forget(fd);
    controls_.erase(fd);
    if (!accept_again_) {
        watch_listeners();
    }
}

bool Server::receive_control(ControlClient &client) {
    std::array<char, 65536> buffer = {};
    const ssize_t got = recv(client.fd.get(), buffer.data(), buffer.size(), 0);
    if (got > 0) {
        client.input.append(buffer.data(), static_cast<std::size_t>(got));
        return true;
    }
    return got < 0 && (errno == EAGAIN || errno == EINTR);
}

bool Server::answer_control(ControlClient &client) {
    if (!client.output.empty()) {
        return true; // it has not taken the last one
    }
    const auto end = client.input.find('\n');
    if (end != std::string::npos) {
        client.output = run_command(device_, log_, client.input.substr(0, end)) + "\n";
        client.input.erase(0, end + 1);
        return send_control(client);
    }
    if (client.input.size() > MaxControlLine) {
        client.output = "error: line too long\n";
        (void)send_control(client);
        return false;
    }
    return true;
}

bool Server::send_control(ControlClient &client) {
    const auto rest = std::string_view(client.output).substr(client.sent);
    const ssize_t put =
        rest.empty() ? 0 : send(client.fd.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (put < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    client.sent += static_cast<std::size_t>(put);
    if (client.sent == client.output.size()) {
        client.output.clear();
        client.sent = 0;
    }
    return true;
}

} // namespace type2::device
