// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/qmp.h"
#include "base/scratch.h"
#include "base/stream.h"
#include "base/unix_socket.h"

#include <cerrno>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <thread>

using namespace type2;
using namespace std::chrono_literals;

namespace {

/// Plays QEMU: greets, then answers each line with the next of its answers, which may be several
/// lines; hangs up after the last.
class Script {
  public:
    Script(const std::string &path, std::vector<std::string> answers)
        : listener_(listen_unix(path).value()),
          thread_([this, answers = std::move(answers)] { play(answers); }) {}
    Script(const Script &) = delete;
    Script &operator=(const Script &) = delete;
    ~Script() { finish(); }

    /// What was asked, when the other side has gone.
    std::vector<std::string> finish() {
        if (thread_.joinable()) {
            thread_.join();
        }
        return asked_;
    }

  private:
    void play(const std::vector<std::string> &answers) {
        // The listener does not block, and this thread may be here first.
        pollfd waiting = {listener_.get(), POLLIN, 0};
        poll(&waiting, 1, 20'000);
        const UniqueFd peer(accept(listener_.get(), nullptr, nullptr));
        std::string received;
        (void)send_all(peer.get(), "{\"QMP\":{}}\n");
        for (const auto &answer : answers) {
            const auto line = receive_line(peer.get(), received, Clock::now() + 20s);
            if (!line) {
                return;
            }
            asked_.push_back(*line);
            (void)send_all(peer.get(), answer);
        }
        // Kept open until the other side goes: silence is not the end.
        (void)receive_line(peer.get(), received, Clock::now() + 20s);
    }

    UniqueFd listener_;
    std::vector<std::string> asked_;
    std::thread thread_;
};

struct Place {
    Scratch folder = Scratch::make("test").value();
    std::string path = folder / "qmp";
    Process qemu = Process::start({{"sleep", "60"}}).value();
};

constexpr const char *Done = "{\"return\":{}}\n";

} // namespace

TEST(Qmp, AsksAndKeepsEventsThatComeBetween) {
    Place place;
    Script script(place.path, {Done, "{\"event\":\"STOP\"}\n{\"event\":\"RESUME\"}\n"
                                     "{\"return\":{\"status\":\"running\"}}\n"});
    {
        auto qmp = Qmp::connect(place.path, place.qemu, 20s);
        ASSERT_TRUE(qmp) << qmp.error().text;
        const auto answer = qmp->ask("query-status", {{"a", 1}});
        ASSERT_TRUE(answer) << answer.error().text;
        EXPECT_EQ(answer->at("status"), "running");
        EXPECT_TRUE(qmp->wait_event("RESUME", 0s));
        EXPECT_TRUE(qmp->wait_event("STOP", 0s));
        const auto again = qmp->wait_event("STOP", 10ms);
        EXPECT_EQ(again ? 0 : again.error().code, ETIMEDOUT);
    }
    const auto asked = script.finish();
    ASSERT_EQ(asked.size(), 2U);
    EXPECT_EQ(nlohmann::json::parse(asked[1]),
              nlohmann::json({{"execute", "query-status"}, {"arguments", {{"a", 1}}}}));
}

TEST(Qmp, ARefusalHasItsText) {
    Place place;
    const Script script(place.path, {Done, "{\"error\":{\"desc\":\"no such thing\"}}\n"});
    auto qmp = Qmp::connect(place.path, place.qemu, 20s);
    ASSERT_TRUE(qmp) << qmp.error().text;
    const auto answer = qmp->ask("device_add");
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().text, "device_add: no such thing");
}

TEST(Qmp, HumanLinesHavePlainEnds) {
    Place place;
    const Script script(place.path, {Done, "{\"return\":\"a\\r\\nb\\r\\n\"}\n"});
    auto qmp = Qmp::connect(place.path, place.qemu, 20s);
    ASSERT_TRUE(qmp) << qmp.error().text;
    EXPECT_EQ(qmp->hmp("info mtree").value_or("nothing"), "a\nb\n");
}

TEST(Qmp, WhatIsNoQmpIsRefused) {
    Place place;
    const Script script(place.path, {Done, "hello\n"});
    auto qmp = Qmp::connect(place.path, place.qemu, 20s);
    ASSERT_TRUE(qmp) << qmp.error().text;
    const auto answer = qmp->ask("query-status");
    EXPECT_EQ(answer ? 0 : answer.error().code, EPROTO);
}

TEST(Qmp, GivesUpOnAQemuThatEnds) {
    Place place;
    auto qemu = Process::start({{"sh", "-c", "echo cannot start; exit 1"}});
    ASSERT_TRUE(qemu);
    const auto qmp = Qmp::connect(place.path, *qemu, 20s);
    ASSERT_FALSE(qmp);
    EXPECT_EQ(qmp.error().code, ESRCH);
    EXPECT_NE(qmp.error().text.find("cannot start"), std::string::npos);
}

TEST(Qmp, GivesUpWhenNobodyListens) {
    Place place;
    const auto qmp = Qmp::connect(place.path, place.qemu, 50ms);
    EXPECT_EQ(qmp ? 0 : qmp.error().code, ETIMEDOUT);
}
