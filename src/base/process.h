// SPDX-License-Identifier: GPL-2.0-or-later
// Children: started in a process group of their own, read, timed, always reaped.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <chrono>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace type2 {

using Clock = std::chrono::steady_clock;

/// Where a stream of a child goes.
struct Stream {
    enum class Kind {
        Captured,  ///< Process::read_line(), out() and err()
        Discarded, ///< /dev/null
        Inherited, ///< where this program's own goes
        Merged,    ///< stderr only: where stdout goes
        File,      ///< appended to `file`, which is made
    };
    Kind kind = Kind::Captured;
    std::filesystem::path file = {};
};

struct Command {
    std::vector<std::string> words;    ///< the program, looked up in PATH, and its arguments
    std::filesystem::path folder = {}; ///< where it runs; empty: where this program does
    /// Variables that differ from this program's: a value, or nothing for one that is not set
    std::map<std::string, std::optional<std::string>> environment = {};
    std::string input = {}; ///< all of its stdin
    Stream out = {};
    Stream err = {Stream::Kind::Merged};
};

/// A running or ended child. When it goes, the child and its process group are killed.
class Process {
  public:
    /// Error: errno of what could not be opened or started, ENOENT for no such program.
    static Result<Process> start(const Command &command);

    Process(const Process &) = delete;
    Process &operator=(const Process &) = delete;
    Process(Process &&other) noexcept;
    Process &operator=(Process &&other) noexcept;
    ~Process() { stop(); }

    pid_t pid() const { return pid_; }
    /// False: it has ended, and is reaped.
    bool running();
    /// Its exit status, 128 + signal for one that a signal ended; nothing while it runs.
    std::optional<int> status() const { return status_; }

    /// Waits for its end: its status. What it left running in its group is killed then. Error
    /// ETIMEDOUT: it runs on.
    Result<int> wait(Clock::duration timeout);
    /// Ends it: SIGTERM where there is a `grace` to wait for its end, then SIGKILL to the group.
    /// Returns its status. Does nothing where it has ended.
    int stop(Clock::duration grace = {});

    /// The next line of its captured stdout, without the line's end. Error: ETIMEDOUT, or EPIPE
    /// where no more will come.
    Result<std::string> read_line(Clock::duration timeout);
    /// What is captured so far and was not taken by read_line().
    const std::string &out() const { return out_.text; }
    const std::string &err() const { return err_.text; }

  private:
    struct Pipe {
        UniqueFd fd;
        std::string text;
        /// Takes what is there without waiting; closes `fd` at the end.
        void drain();
    };

    Process() = default;
    /// Waits for output or the end until `deadline`. False: neither came.
    bool pump(Clock::time_point deadline);
    /// It has ended or is about to, being killed.
    void reap();

    pid_t pid_ = -1;
    UniqueFd pidfd_; ///< readable when the child has ended
    Pipe out_;
    Pipe err_;
    std::optional<int> status_;
};

/// What came of a command that ran to its end.
struct Outcome {
    int status = 0;  ///< as Process::status()
    std::string out; ///< stdout, with stderr in it where that is merged
    std::string err; ///< stderr where it is captured by itself
};

/// Runs a command to its end. Error: as Process::start(), or ETIMEDOUT with what it had said; it
/// is killed then, with its group.
Result<Outcome> run(const Command &command, Clock::duration timeout);

} // namespace type2
