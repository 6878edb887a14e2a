// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/process.h"

#include "base/cleanup.h"
#include "base/stream.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <string_view>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace type2 {

namespace {

tl::unexpected<Error> fail_with(int code, std::string_view what) {
    return fail(code, fmt::format("{}: {}", what, std::strerror(code)));
}

// What posix_spawn is told, given back at the end of the scope.
struct Actions {
    posix_spawn_file_actions_t value = {};
    Actions() { posix_spawn_file_actions_init(&value); }
    Actions(const Actions &) = delete;
    Actions &operator=(const Actions &) = delete;
    ~Actions() { posix_spawn_file_actions_destroy(&value); }
};

struct Attributes {
    posix_spawnattr_t value = {};
    Attributes() {
        posix_spawnattr_init(&value);
        // A group of its own, and none of the signals that clean_up_on_signals() blocked.
        posix_spawnattr_setflags(&value, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
        sigset_t none;
        sigemptyset(&none);
        posix_spawnattr_setsigmask(&value, &none);
        posix_spawnattr_setpgroup(&value, 0);
    }
    Attributes(const Attributes &) = delete;
    Attributes &operator=(const Attributes &) = delete;
    ~Attributes() { posix_spawnattr_destroy(&value); }
};

std::vector<std::string> environment_of(const Command &command) {
    std::vector<std::string> out;
    for (char **entry = environ; *entry != nullptr; ++entry) {
        const std::string_view text = *entry;
        if (!command.environment.contains(std::string(text.substr(0, text.find('='))))) {
            out.emplace_back(text);
        }
    }
    for (const auto &[name, value] : command.environment) {
        if (value) {
            out.push_back(name + "=" + *value);
        }
    }
    return out;
}

std::vector<char *> pointers(std::vector<std::string> &words) {
    std::vector<char *> out;
    out.reserve(words.size() + 1);
    for (auto &word : words) {
        out.push_back(word.data());
    }
    out.push_back(nullptr);
    return out;
}

// A file, not a pipe: nobody has to feed it while the child runs.
Result<UniqueFd> input_file(const std::string &text) {
    if (text.empty()) {
        UniqueFd fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
        return fd ? Result<UniqueFd>(std::move(fd)) : fail_with(errno, "/dev/null");
    }
    auto fd = make_memfd("input", text.size(), false);
    if (fd) {
        const auto done = write_at(fd->get(), 0, std::as_bytes(std::span(text)));
        if (!done) {
            return tl::unexpected(done.error());
        }
    }
    return fd;
}

// The child's end of an output stream; `reader` is the end to read where it is captured. No
// descriptor for what is inherited.
Result<UniqueFd> output_end(const Stream &stream, UniqueFd &reader) {
    UniqueFd fd;
    switch (stream.kind) {
    case Stream::Kind::Inherited:
    case Stream::Kind::Merged:
        return fd;
    case Stream::Kind::Captured: {
        std::array<int, 2> ends = {};
        if (pipe2(ends.data(), O_CLOEXEC) != 0) {
            return fail_with(errno, "pipe");
        }
        reader.reset(ends[0]);
        fd.reset(ends[1]);
        fcntl(reader.get(), F_SETFL, O_NONBLOCK);
        return fd;
    }
    case Stream::Kind::Discarded:
        fd.reset(open("/dev/null", O_WRONLY | O_CLOEXEC));
        break;
    case Stream::Kind::File:
        fd.reset(open(stream.file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
        break;
    }
    return fd ? Result<UniqueFd>(std::move(fd)) : fail_with(errno, stream.file.string());
}

int status_of(int wait_status) {
    return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

} // namespace

Result<Process> Process::start(const Command &command) {
    if (command.words.empty()) {
        return fail(EINVAL, "a command without a word");
    }
    Process child;
    const auto in = input_file(command.input);
    const auto out = output_end(command.out, child.out_.fd);
    const auto err = output_end(command.err, child.err_.fd);
    for (const auto *end : {&in, &out, &err}) {
        if (!*end) {
            return tl::unexpected(end->error());
        }
    }
    Actions actions;
    posix_spawn_file_actions_adddup2(&actions.value, in->get(), STDIN_FILENO);
    if (*out) {
        posix_spawn_file_actions_adddup2(&actions.value, out->get(), STDOUT_FILENO);
    }
    if (*err) {
        posix_spawn_file_actions_adddup2(&actions.value, err->get(), STDERR_FILENO);
    } else if (command.err.kind == Stream::Kind::Merged) {
        posix_spawn_file_actions_adddup2(&actions.value, STDOUT_FILENO, STDERR_FILENO);
    }
    if (!command.folder.empty()) {
        posix_spawn_file_actions_addchdir_np(&actions.value, command.folder.c_str());
    }
    const Attributes attributes;
    auto words = command.words;
    auto variables = environment_of(command);
    const auto lock = hold_cleanup();
    const int problem =
        posix_spawnp(&child.pid_, words[0].c_str(), &actions.value, &attributes.value,
                     pointers(words).data(), pointers(variables).data());
    if (problem != 0) {
        child.pid_ = -1;
        return fail_with(problem, command.words[0]);
    }
    note_group(child.pid_);
    // By number: the header of Debian 12's libc declares it for C only.
    child.pidfd_.reset(static_cast<int>(syscall(SYS_pidfd_open, child.pid_, 0)));
    return child;
}

Process::Process(Process &&other) noexcept
    : pid_(std::exchange(other.pid_, -1)), pidfd_(std::move(other.pidfd_)),
      out_(std::move(other.out_)), err_(std::move(other.err_)), status_(other.status_) {}

Process &Process::operator=(Process &&other) noexcept {
    if (this != &other) {
        stop();
        pid_ = std::exchange(other.pid_, -1);
        pidfd_ = std::move(other.pidfd_);
        out_ = std::move(other.out_);
        err_ = std::move(other.err_);
        status_ = other.status_;
    }
    return *this;
}

void Process::Pipe::drain() {
    std::array<char, 65536> buffer = {};
    while (fd) {
        const ssize_t got = read(fd.get(), buffer.data(), buffer.size());
        if (got > 0) {
            text.append(buffer.data(), static_cast<std::size_t>(got));
        } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
            fd.reset();
        } else if (errno == EAGAIN) {
            return;
        }
    }
}

bool Process::pump(Clock::time_point deadline) {
    // poll() passes over a descriptor below 0: a stream that has ended or is not captured.
    std::array<pollfd, 3> fds = {
        {{pidfd_.get(), POLLIN, 0}, {out_.fd.get(), POLLIN, 0}, {err_.fd.get(), POLLIN, 0}}};
    if (poll(fds.data(), fds.size(), milliseconds_until(deadline)) <= 0) {
        return Clock::now() < deadline;
    }
    out_.drain();
    err_.drain();
    if (fds[0].revents != 0) {
        reap();
    }
    return true;
}

void Process::reap() {
    // The group first: until the child is reaped, its number belongs to nobody else.
    kill(-pid_, SIGKILL);
    int wait_status = 0;
    while (waitpid(pid_, &wait_status, 0) < 0 && errno == EINTR) {
    }
    status_ = status_of(wait_status);
    forget_group(pid_);
    pidfd_.reset();
    out_.drain();
    err_.drain();
    out_.fd.reset();
    err_.fd.reset();
}

bool Process::running() {
    if (!status_) {
        pump(Clock::now());
    }
    return !status_;
}

Result<int> Process::wait(Clock::duration timeout) {
    const auto deadline = Clock::now() + timeout;
    while (!status_) {
        if (!pump(deadline)) {
            return fail(ETIMEDOUT, "it runs on");
        }
    }
    return *status_;
}

int Process::stop(Clock::duration grace) {
    if (pid_ < 0 || status_) {
        return status_.value_or(0);
    }
    if (grace > Clock::duration::zero()) {
        kill(pid_, SIGTERM);
        const auto ended = wait(grace);
        if (ended) {
            return *ended;
        }
    }
    reap();
    return *status_;
}

Result<std::string> Process::read_line(Clock::duration timeout) {
    const auto deadline = Clock::now() + timeout;
    for (;;) {
        if (const auto end = out_.text.find('\n'); end != std::string::npos) {
            std::string line = out_.text.substr(0, end);
            out_.text.erase(0, end + 1);
            return line;
        }
        if (!out_.fd) {
            // The last line may lack its end.
            if (!out_.text.empty()) {
                return std::exchange(out_.text, {});
            }
            return fail(EPIPE, "its output has ended");
        }
        if (!pump(deadline)) {
            return fail(ETIMEDOUT, "no line came");
        }
    }
}

Result<Outcome> run(const Command &command, Clock::duration timeout) {
    auto child = Process::start(command);
    if (!child) {
        return tl::unexpected(child.error());
    }
    const auto status = child->wait(timeout);
    if (!status) {
        child->stop();
        return fail(ETIMEDOUT,
                    fmt::format("{}: still running after {} s\n{}{}", command.words[0],
                                std::chrono::duration_cast<std::chrono::seconds>(timeout).count(),
                                child->out(), child->err()));
    }
    return Outcome{*status, child->out(), child->err()};
}

} // namespace type2
