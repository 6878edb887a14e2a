// SPDX-License-Identifier: GPL-2.0-or-later
// A server as the process that it is: several clients at once, and clients that do not play along.
#include "base/unix_socket.h"
#include "model/device/config.h"
#include "model/device/device.h"
#include "model/device/dma_engine.h"
#include "model/device/server.h"
#include "tests/harness.h"

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <poll.h>
#include <string>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace type2::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using vfio_user::Client;
using vfio_user::Command;
using vfio_user::RegionAccess;

constexpr std::uint32_t Config = 7;
constexpr std::uint32_t Memory = 9;

class Server : public ::testing::Test {
  protected:
    void TearDown() override {
        if (pid_ > 0) {
            kill(pid_, SIGTERM);
            int status = 0;
            waitpid(pid_, &status, 0);
            EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "status " << status;
        }
        fs::remove_all(dir_);
    }

    /// files: the descriptors that the process may have, 0: as many as this one.
    void start(rlim_t files = 0) {
        std::string name = (fs::temp_directory_path() / "server.XXXXXX").string();
        ASSERT_NE(mkdtemp(name.data()), nullptr);
        dir_ = name;
        std::array<int, 2> listening = {};
        ASSERT_EQ(pipe2(listening.data(), O_CLOEXEC), 0);
        const UniqueFd hear_it(listening[0]);
        UniqueFd say_it(listening[1]);
        pid_ = fork();
        ASSERT_GE(pid_, 0);
        if (pid_ == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (files != 0) {
                const rlimit limit = {files, files};
                setrlimit(RLIMIT_NOFILE, &limit);
            }
            auto device = device::Device::create(valid());
            auto server = device::Server::create({socket(), control(), trace()}, **device, nullptr);
            say_it.reset();
            _exit(server && (*server)->run() ? 0 : 1);
        }
        say_it.reset();
        char end = 0;
        EXPECT_EQ(::read(hear_it.get(), &end, 1), 0) << "it has closed its end when it listens";
    }

    std::string socket() const { return (dir_ / "s").string(); }
    std::string control() const { return (dir_ / "c").string(); }
    std::string trace() const { return (dir_ / "t").string(); }

    /// The trace, as soon as it has that text; what there is of it in four seconds else.
    std::string traced(std::string_view text) const {
        std::string all;
        for (int i = 0; i < 400 && all.find(text) == std::string::npos; ++i) {
            std::this_thread::sleep_for(10ms);
            std::ifstream file(trace());
            all.assign(std::istreambuf_iterator<char>(file), {});
        }
        return all;
    }

    /// A number of the process's, in kB: "VmHWM", the most memory that it ever had.
    std::uint64_t status(const std::string &key) const {
        std::ifstream file(fmt::format("/proc/{}/status", pid_));
        for (std::string line; std::getline(file, line);) {
            if (line.starts_with(key + ":")) {
                return std::strtoull(line.c_str() + key.size() + 1, nullptr, 10);
            }
        }
        ADD_FAILURE() << "no " << key;
        return 0;
    }
    /// What the process has used of a CPU.
    std::chrono::milliseconds cpu_time() const {
        std::ifstream file(fmt::format("/proc/{}/stat", pid_));
        std::string word;
        std::uint64_t ticks = 0;
        for (int i = 1; file >> word && i <= 15; ++i) {
            ticks += i >= 14 ? std::strtoull(word.c_str(), nullptr, 10) : 0; // utime, stime
        }
        return std::chrono::milliseconds(1000 * ticks /
                                         static_cast<std::uint64_t>(sysconf(_SC_CLK_TCK)));
    }

    /// A connection that is there at once; empty: the listener's queue is full.
    static UniqueFd try_connect(const std::string &path) {
        UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        sockaddr_un address = {};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof(address.sun_path) - 1);
        if (connect(fd.get(), reinterpret_cast<const sockaddr *>(&address), sizeof(address)) != 0) {
            return {};
        }
        return fd;
    }
    /// As many connections as there can be, `most` at most; the last ones wait in the queue.
    static std::vector<UniqueFd> connect_many(const std::string &path, std::size_t most) {
        std::vector<UniqueFd> many;
        for (int full = 0; full < 50 && many.size() < most;) {
            if (auto fd = try_connect(path)) {
                many.push_back(std::move(fd));
                full = 0;
            } else {
                ++full;
                std::this_thread::sleep_for(10ms);
            }
        }
        return many;
    }
    static void say(const UniqueFd &fd, std::string_view text) {
        EXPECT_EQ(send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL),
                  static_cast<ssize_t>(text.size()));
    }
    /// A line, or what came of it in four seconds: less than it was once kept waiting.
    static std::string hear(const UniqueFd &fd) {
        std::string line;
        pollfd entry = {fd.get(), POLLIN, 0};
        while (!line.ends_with('\n') && poll(&entry, 1, 4000) > 0) {
            std::array<char, 65536> some = {};
            const ssize_t got = recv(fd.get(), some.data(), some.size(), 0);
            if (got <= 0) {
                break;
            }
            line.append(some.data(), static_cast<std::size_t>(got));
        }
        return line;
    }
    std::unique_ptr<Client> client() const {
        auto made = value_of(Client::connect(socket()));
        made->set_timeout(4s);
        return made;
    }
    static std::uint32_t identity(Client &client) {
        std::uint32_t value = 0;
        EXPECT_EQ(value_of(client.read(Config, 0, std::as_writable_bytes(std::span(&value, 1)))),
                  sizeof(value));
        return value;
    }

    fs::path dir_;
    pid_t pid_ = -1;
};

TEST_F(Server, RepliesThatNobodyReadsAreNotHeaped) {
    constexpr unsigned Reads = 200;
    start();
    auto greedy = client();
    Bytes read;
    append(read, RegionAccess{0, Memory, vfio_user::MaxTransfer});
    Bytes burst;
    for (unsigned i = 0; i < Reads; ++i) {
        const Bytes one = framed(9, Command::RegionRead, 0, read);
        burst.insert(burst.end(), one.begin(), one.end());
    }
    ASSERT_TRUE(greedy->send_raw(burst).has_value());
    // Somebody else's question is answered meanwhile.
    const auto other = value_of(connect_unix(control()));
    say(other, "state\n");
    EXPECT_EQ(hear(other).substr(0, 1), "{");
    for (unsigned i = 0; i < Reads; ++i) {
        ASSERT_EQ(value_of(greedy->receive()).body.size(),
                  sizeof(RegionAccess) + vfio_user::MaxTransfer)
            << i;
    }
    EXPECT_LT(status("VmHWM"), 100000U);
    EXPECT_EQ(identity(*greedy), 0xc2a11234U);
}

TEST_F(Server, AControlClientThatDoesNotReadIsNotWaitedFor) {
    start();
    const auto deaf = value_of(connect_unix(control()));
    say(deaf, "peek 0 1M\npeek 0 1M\npeek 0 4\n");
    const auto other = value_of(connect_unix(control()));
    say(other, "peek 0 4\n");
    EXPECT_EQ(hear(other), "00000000\n");
    EXPECT_EQ(identity(*client()), 0xc2a11234U);
    // When it reads after all, nothing is lost.
    std::string all;
    while (std::count(all.begin(), all.end(), '\n') < 3) {
        const auto some = hear(deaf);
        ASSERT_FALSE(some.empty());
        all += some;
    }
    EXPECT_EQ(all.size(), 2 * (2 * MiB + 1) + 9);
    EXPECT_TRUE(all.ends_with("\n00000000\n"));
}

TEST_F(Server, AControlClientThatHasSaidAllIsAnswered) {
    start();
    const auto brief = value_of(connect_unix(control()));
    say(brief, "peek 0 1M\npeek 0 4\n");
    ASSERT_EQ(shutdown(brief.get(), SHUT_WR), 0);
    std::string all;
    for (auto some = hear(brief); !some.empty(); some = hear(brief)) {
        all += some;
    }
    EXPECT_EQ(all.size(), 2 * MiB + 1 + 9);
}

TEST_F(Server, WithoutDescriptorsLeftItWaitsAndDoesNotSpin) {
    start(24);
    auto many = connect_many(control(), 60);
    EXPECT_LT(many.size(), 60U) << "it has descriptors for all of them";
    const auto before = cpu_time();
    std::this_thread::sleep_for(500ms);
    EXPECT_LT(cpu_time() - before, 100ms);
    many.clear();
    EXPECT_EQ(identity(*client()), 0xc2a11234U) << "and goes on when there are some";
}

TEST_F(Server, SomeControlClientsAreServedAndTheOthersWait) {
    start();
    auto many = connect_many(control(), 200);
    ASSERT_GE(many.size(), 64U);
    EXPECT_LT(many.size(), 100U);
    say(many.back(), "peek 0 4\n");
    many.erase(many.begin(), many.begin() + 32);
    EXPECT_EQ(hear(many.back()), "00000000\n");
}

TEST_F(Server, TheNextClientsTurnIsWhenTheLastOnesMessagesAreDone) {
    start();
    for (std::uint32_t round = 0; round < 10; ++round) {
        Bytes burst;
        for (std::uint32_t i = 0; i < 200; ++i) {
            Bytes write;
            append(write, RegionAccess{4 * i, Memory, 4});
            append(write, round + i);
            const Bytes one = framed(9, Command::RegionWrite, vfio_user::FlagNoReply, write);
            burst.insert(burst.end(), one.begin(), one.end());
        }
        auto leaving = client();
        std::uint32_t value = 0;
        ASSERT_EQ(
            value_of(leaving->read(Memory, 4 * 199, std::as_writable_bytes(std::span(&value, 1)))),
            sizeof(value));
        EXPECT_EQ(value, round == 0 ? 0 : round - 1 + 199);
        ASSERT_TRUE(leaving->send_raw(burst).has_value());
    }
}

TEST_F(Server, TheTraceSaysWhyAClientIsDropped) {
    start();
    client().reset();
    const auto left = traced("closed");
    EXPECT_NE(left.find(R"({"closed":"the peer closed the connection"})"), std::string::npos)
        << left;
    // One that takes nothing any more: found out when the device asks it for a descriptor, on its
    // own account, and not when a message comes.
    namespace reg = device::engine::reg;
    auto deaf = client();
    ASSERT_TRUE(deaf->map_dma(0x10000, 0x10000, 0, -1).has_value());
    Bytes burst;
    const auto post = [&](std::uint32_t region, std::uint64_t at, auto value) {
        Bytes write;
        append(write, RegionAccess{at, region, sizeof(value)});
        append(write, value);
        const Bytes one = framed(9, Command::RegionWrite, vfio_user::FlagNoReply, write);
        burst.insert(burst.end(), one.begin(), one.end());
    };
    const auto engine = [&](std::uint32_t at, auto value) {
        post(2, device::engine::Offset + at, value);
    };
    post(Config, 4, std::uint16_t{6});
    engine(reg::RingBase, std::uint64_t{0x10000});
    engine(reg::RingSize, std::uint32_t{8});
    engine(reg::Control, device::engine::ControlEnable);
    engine(reg::Tail, std::uint32_t{1});
    ASSERT_EQ(shutdown(deaf->poll_fd(), SHUT_RD), 0);
    ASSERT_TRUE(deaf->send_raw(burst).has_value());
    const auto dropped = traced("Broken pipe");
    EXPECT_NE(dropped.find(R"({"closed":"send: Broken pipe"})"), std::string::npos) << dropped;
    EXPECT_EQ(identity(*client()), 0xc2a11234U) << "the next one is served";
}

TEST_F(Server, TheTraceSaysThatThereWasASecondClient) {
    start();
    const auto first = client();
    EXPECT_FALSE(Client::connect(socket()).has_value());
    const auto refused = traced("refused");
    EXPECT_NE(refused.find(R"({"refused":"a second client"})"), std::string::npos) << refused;
    EXPECT_EQ(identity(*first), 0xc2a11234U);
    kill(pid_, SIGTERM);
    const auto ended = traced("the model ends");
    EXPECT_NE(ended.find(R"({"closed":"the model ends"})"), std::string::npos) << ended;
}

} // namespace
} // namespace type2::test
