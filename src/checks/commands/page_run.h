// SPDX-License-Identifier: GPL-2.0-or-later
// The processes and files of the commands of one page. Nothing of them stays behind.
#pragma once

#include "base/process.h"
#include "base/qmp.h"
#include "base/scratch.h"

#include <cerrno>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace type2::commands {

/// What is wrong with a command.
inline tl::unexpected<Error> wrong(std::string text) {
    return fail(EINVAL, std::move(text));
}

/// Of a long output its end, which says what went wrong.
std::string_view last_part(std::string_view output);

/// What most commands are done in, and what a guest needs to boot at the worst.
inline constexpr std::chrono::seconds Soon{60};
inline constexpr std::chrono::seconds GuestTime{420};

class PageRun {
  public:
    /// scratch: for the files of this page's commands.
    explicit PageRun(Scratch scratch) : scratch_(std::move(scratch)) {}

    /// A file of this page's commands, not made.
    std::string path(const std::string &name) const { return (scratch_ / name).string(); }

    /// A command line as a shell takes it, with stand-ins, in the top folder: all that it says.
    /// Error: an exit status other than 0, or it does not end.
    Result<std::string> shell(const std::string &command, std::chrono::seconds timeout = Soon);

    /// The model device by its command line, its sockets in our folder. It runs until the next
    /// model or the end of the page. Error: it does not listen.
    Result<void> start_model(std::string command);

    /// Starts QEMU, waits for its QMP, looks for the device where there should be one, does `then`
    /// and ends it by QMP. Error: what went wrong, with QEMU's own words.
    Result<void> qemu_to_qmp(const std::string &command,
                             const std::function<Result<void>(Qmp &)> &then = {});

  private:
    /// The command with stand-ins, and with the model started where it needs one.
    Result<std::string> filled(std::string command);
    /// A model by its whole command line, in the place of what `model` was.
    Result<void> run_model(const std::string &command, std::optional<Process> &model);
    /// A model with memory of the size that `command`, QEMU's, gives its window of this number.
    Result<void> start_model_for(const std::string &command, int window, std::string_view socket,
                                 std::optional<Process> &model);

    Scratch scratch_;
    std::optional<Process> model_;
    std::optional<Process> second_model_; ///< of a line with two devices
};

} // namespace type2::commands
