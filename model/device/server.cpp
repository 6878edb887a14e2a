// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/server.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fmt/format.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

namespace model::device {

namespace {

constexpr std::size_t MaxControlLine = 4 * MiB; // a poke of 1 MiB and then some
constexpr int ControlTimeoutMs = 5000;

/// Sends all of `text`; a control client that does not read for 5 s is not waited for any longer.
bool send_all(int fd, std::string_view text) {
    while (!text.empty()) {
        const ssize_t put = send(fd, text.data(), text.size(), MSG_NOSIGNAL);
        if (put > 0) {
            text.remove_prefix(static_cast<std::size_t>(put));
            continue;
        }
        pollfd wait = {fd, POLLOUT, 0};
        if (errno != EAGAIN || poll(&wait, 1, ControlTimeoutMs) <= 0) {
            return false;
        }
    }
    return true;
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
        trace_.open(options_.trace, std::ios::trunc);
        if (!trace_) {
            return fail(EIO, fmt::format("--trace: cannot write '{}'", options_.trace));
        }
    }
    auto listener = vfio_user::listen_unix(options_.socket);
    if (!listener) {
        return fail(listener.error().code, "--socket: " + listener.error().text);
    }
    listener_ = std::move(*listener);
    if (!options_.control.empty()) {
        auto control = vfio_user::listen_unix(options_.control);
        if (!control) {
            return fail(control.error().code, "--control: " + control.error().text);
        }
        control_listener_ = std::move(*control);
        loop_.watch(control_listener_.get(), POLLIN, [this](short, auto) { accept_control(); });
    }
    loop_.watch(signals_.get(), POLLIN, [this](short, auto) { loop_.stop(); });
    loop_.watch(listener_.get(), POLLIN, [this](short, auto) { accept_client(); });
    loop_.set_idle([this](Loop::Clock::time_point now) -> std::optional<Loop::Clock::time_point> {
        if (!client_) {
            return std::nullopt;
        }
        const bool more = device_.work();
        if (!client_->flush(now)) {
            drop_client();
            return std::nullopt;
        }
        watch_client();
        return more ? Loop::Clock::time_point::min() : client_->deadline();
    });
    return {};
}

Server::~Server() {
    drop_client();
    if (listener_) {
        unlink(options_.socket.c_str());
    }
    if (control_listener_) {
        unlink(options_.control.c_str());
    }
}

Result<void> Server::run() {
    return loop_.run();
}

void Server::log_message(const vfio_user::LogEntry &entry) {
    log_.add(entry);
    if (trace_.is_open()) {
        trace_ << MessageLog::format(entry) << '\n' << std::flush;
    }
}

void Server::accept_client() {
    // Of a client that has gone there may be messages; the next one's turn is when they are done.
    if (client_ && hung_up(client_->poll_fd())) {
        return;
    }
    UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
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
        if (trace_.is_open()) {
            trace_ << fmt::format("{{\"closed\":\"{}\"}}\n", done.error().text) << std::flush;
        }
        drop_client();
    }
}

void Server::drop_client() {
    if (client_) {
        loop_.forget(client_->poll_fd());
        client_.reset();
    }
}

void Server::accept_control() {
    UniqueFd fd(accept4(control_listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd) {
        return;
    }
    const int number = fd.get();
    controls_[number] = {std::move(fd), {}};
    loop_.watch(number, POLLIN, [this, number](short, auto) { serve_control(number); });
}

void Server::serve_control(int fd) {
    auto &client = controls_.at(fd);
    std::array<char, 65536> buffer = {};
    const ssize_t got = recv(fd, buffer.data(), buffer.size(), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    bool keep = got > 0;
    if (got > 0) {
        client.input.append(buffer.data(), static_cast<std::size_t>(got));
    }
    for (auto end = client.input.find('\n'); keep && end != std::string::npos;
         end = client.input.find('\n')) {
        const std::string line = client.input.substr(0, end);
        client.input.erase(0, end + 1);
        keep = send_all(fd, run_command(device_, log_, line) + "\n");
    }
    if (keep && client.input.size() > MaxControlLine) {
        send_all(fd, "error: line too long\n");
        keep = false;
    }
    if (!keep) {
        loop_.forget(fd);
        controls_.erase(fd);
    }
}

} // namespace model::device
