// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/cleanup.h"
#include "base/process.h"
#include "base/scratch.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <gtest/gtest.h>
#include <sstream>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace type2;
using namespace std::chrono_literals;

namespace {

Command shell(const std::string &text) {
    return {{"sh", "-c", text}};
}

// A process is gone, or will be within a second: who adopts an orphan has to reap it first.
bool gone(pid_t pid) {
    for (int i = 0; i < 100; ++i) {
        std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
        std::string number;
        std::string name;
        std::string state;
        if (!(stat >> number >> name >> state) || state == "Z") {
            return true;
        }
        std::this_thread::sleep_for(10ms);
    }
    return false;
}

} // namespace

TEST(Process, TakesWhatIsSaidAndTheStatus) {
    auto command = shell("cat; echo wrong >&2; exit 3");
    command.input = "hello\n";
    command.err = {};
    const auto outcome = run(command, 20s);
    ASSERT_TRUE(outcome) << outcome.error().text;
    EXPECT_EQ(outcome->status, 3);
    EXPECT_EQ(outcome->out, "hello\n");
    EXPECT_EQ(outcome->err, "wrong\n");
}

TEST(Process, MergesStderrInOrder) {
    const auto outcome = run(shell("echo a; echo b >&2; echo c"), 20s);
    ASSERT_TRUE(outcome) << outcome.error().text;
    EXPECT_EQ(outcome->out, "a\nb\nc\n");
}

TEST(Process, TakesMoreThanAPipeHolds) {
    const auto outcome = run(shell("head -c 1000000 /dev/zero"), 20s);
    ASSERT_TRUE(outcome) << outcome.error().text;
    EXPECT_EQ(outcome->out.size(), 1000000U);
}

TEST(Process, SetsAndUnsetsVariablesAndTheFolder) {
    auto command = shell("echo \"$ONE-${HOME-none}-$PWD\"");
    command.environment = {{"ONE", "1"}, {"HOME", std::nullopt}};
    command.folder = "/usr";
    const auto outcome = run(command, 20s);
    ASSERT_TRUE(outcome) << outcome.error().text;
    EXPECT_EQ(outcome->out, "1-none-/usr\n");
}

TEST(Process, WritesBothStreamsToAFile) {
    const auto folder = Scratch::make("test");
    ASSERT_TRUE(folder);
    auto command = shell("echo a; echo b >&2");
    command.out = {Stream::Kind::File, *folder / "log"};
    const auto outcome = run(command, 20s);
    ASSERT_TRUE(outcome) << outcome.error().text;
    EXPECT_EQ(outcome->out, "");
    std::ifstream log(*folder / "log");
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(log), {}), "a\nb\n");
}

TEST(Process, TellsOfAProgramThatIsNotThere) {
    const auto outcome = run({{"/nowhere/at/all"}}, 20s);
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().code, ENOENT);
}

TEST(Process, IsKilledWithItsGroupWhenTimeIsUp) {
    const auto begin = Clock::now();
    const auto outcome = run(shell("sleep 60 & echo $!; wait"), 300ms);
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().code, ETIMEDOUT);
    EXPECT_LT(Clock::now() - begin, 20s);
    // The child of the child, whose number is what had been said
    const auto &text = outcome.error().text;
    const auto number = text.substr(text.find('\n') + 1);
    EXPECT_TRUE(gone(std::stoi(number))) << text;
}

TEST(Process, LeavesNobodyOfItsGroupBehind) {
    const auto outcome = run(shell("sleep 60 >/dev/null 2>&1 & echo $!"), 20s);
    ASSERT_TRUE(outcome) << outcome.error().text;
    EXPECT_TRUE(gone(std::stoi(outcome->out)));
}

TEST(Process, IsKilledWhenNobodyHoldsItAnyMore) {
    pid_t pid = -1;
    {
        auto child = Process::start({{"sleep", "60"}});
        ASSERT_TRUE(child) << child.error().text;
        pid = child->pid();
        EXPECT_TRUE(child->running());
        EXPECT_FALSE(gone(pid));
    }
    EXPECT_TRUE(gone(pid));
}

TEST(Process, HasTimeToEndByItself) {
    auto child = Process::start(shell("trap 'echo bye; exit 7' TERM; echo up; sleep 60 & wait"));
    ASSERT_TRUE(child) << child.error().text;
    ASSERT_EQ(child->read_line(20s).value_or("nothing"), "up");
    EXPECT_EQ(child->stop(20s), 7);
    EXPECT_EQ(child->out(), "bye\n");
}

TEST(Process, TellsWhichSignalEndedIt) {
    auto child = Process::start({{"sleep", "60"}});
    ASSERT_TRUE(child) << child.error().text;
    EXPECT_EQ(child->stop(), 128 + SIGKILL);
    EXPECT_FALSE(child->running());
    EXPECT_EQ(child->wait(0s).value_or(-1), 128 + SIGKILL);
}

TEST(Process, ReadsLinesWhenTheyCome) {
    auto child = Process::start(shell("echo one; read x; sleep 0.2; printf 'two\\nthree'"));
    ASSERT_TRUE(child) << child.error().text;
    EXPECT_EQ(child->read_line(20s).value_or("nothing"), "one");
    const auto early = child->read_line(1ms);
    EXPECT_EQ(early ? 0 : early.error().code, ETIMEDOUT);
    EXPECT_EQ(child->read_line(20s).value_or("nothing"), "two");
    EXPECT_EQ(child->read_line(20s).value_or("nothing"), "three");
    const auto late = child->read_line(20s);
    EXPECT_EQ(late ? 0 : late.error().code, EPIPE);
}

TEST(Scratch, GoesWithAllThatIsInIt) {
    std::filesystem::path path;
    {
        const auto folder = Scratch::make("test");
        ASSERT_TRUE(folder) << folder.error().text;
        path = folder->path();
        std::ofstream(*folder / "file") << "text";
        EXPECT_TRUE(std::filesystem::exists(path / "file"));
    }
    EXPECT_FALSE(std::filesystem::exists(path));
}

namespace {

// Registered before any static of a function there is, and so called when all of those are gone.
bool signal_at_the_end = false;
void at_the_end() {
    if (signal_at_the_end) {
        kill(getpid(), SIGTERM);
        sleep(20);
        _exit(3);
    }
}
[[maybe_unused]] const int registered = std::atexit(at_the_end);

/// A process that a signal ends, while it runs or in exit(), leaves neither child nor folder.
void signal_leaves_nothing(bool in_exit) {
    std::array<int, 2> ends = {};
    ASSERT_EQ(pipe(ends.data()), 0);
    const pid_t other = fork();
    if (other == 0) {
        clean_up_on_signals();
        const auto child = Process::start({{"sleep", "60"}});
        const auto folder = Scratch::make("test");
        const auto told = std::to_string(child->pid()) + " " + folder->path().string();
        const bool done = write(ends[1], told.data(), told.size()) > 0;
        if (in_exit) {
            signal_at_the_end = true;
            std::exit(2); // whose destructors are those of statics only
        }
        kill(getpid(), SIGTERM);
        sleep(20);
        _exit(done ? 1 : 2);
    }
    std::array<char, 256> told = {};
    ASSERT_GT(read(ends[0], told.data(), told.size() - 1), 0);
    int status = 0;
    ASSERT_EQ(waitpid(other, &status, 0), other);
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 128 + SIGTERM);
    std::istringstream words(told.data());
    pid_t child = -1;
    std::string folder;
    words >> child >> folder;
    EXPECT_TRUE(gone(child));
    EXPECT_FALSE(folder.empty());
    EXPECT_FALSE(std::filesystem::exists(folder));
    close(ends[0]);
    close(ends[1]);
}

} // namespace

TEST(CleanUp, ASignalLeavesNothingBehind) {
    signal_leaves_nothing(false);
}

TEST(CleanUp, ASignalDuringExitLeavesNothingBehind) {
    signal_leaves_nothing(true);
}
