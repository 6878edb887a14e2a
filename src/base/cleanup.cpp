// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/cleanup.h"

#include <csignal>
#include <pthread.h>
#include <set>
#include <system_error>
#include <thread>
#include <unistd.h>

namespace type2 {

namespace {

struct Left {
    std::mutex mutex;
    std::set<pid_t> groups;
    std::set<std::filesystem::path> folders;
};

/// Never destroyed: the thread that waits for a signal uses it until the process is gone.
Left &left() {
    static auto &value = *new Left;
    return value;
}

// In a thread, not in a handler: there locks and allocations are allowed.
[[noreturn]] void wait_for_signal(sigset_t signals) {
    int signal = 0;
    sigwait(&signals, &signal);
    // Never given back: nobody starts another child from here on.
    const std::scoped_lock lock(left().mutex);
    for (const pid_t group : left().groups) {
        kill(-group, SIGKILL);
    }
    for (const auto &folder : left().folders) {
        std::error_code ignored;
        std::filesystem::remove_all(folder, ignored);
    }
    _exit(128 + signal);
}

} // namespace

void clean_up_on_signals() {
    sigset_t signals;
    sigemptyset(&signals);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
        sigaddset(&signals, signal);
    }
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    std::thread(wait_for_signal, signals).detach();
}

std::unique_lock<std::mutex> hold_cleanup() {
    return std::unique_lock(left().mutex);
}

void note_group(pid_t group) {
    left().groups.insert(group);
}

void forget_group(pid_t group) {
    const std::scoped_lock lock(left().mutex);
    left().groups.erase(group);
}

void note_folder(const std::filesystem::path &folder) {
    const std::scoped_lock lock(left().mutex);
    left().folders.insert(folder);
}

void forget_folder(const std::filesystem::path &folder) {
    const std::scoped_lock lock(left().mutex);
    left().folders.erase(folder);
}

} // namespace type2
