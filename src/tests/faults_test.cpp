// SPDX-License-Identifier: GPL-2.0-or-later
// Every fault makes a difference that a client can see, and breaks nothing but the conversation.
#include "cxl/dvsec.h"
#include "model/faults/faults.h"
#include "pci/config_space.h"
#include "tests/harness.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fstream>
#include <map>
#include <set>
#include <sys/stat.h>
#include <sys/wait.h>

namespace type2::test {
namespace {

using device::ContractKind;
using device::Fault;

constexpr std::uint32_t Config = 7;
constexpr std::uint32_t Memory = 9;
constexpr std::uint32_t CompRegs = 10;
constexpr std::uint32_t Dvsec = cxl::DeviceDvsecOffset;

/// What a client can learn: every reply of a long conversation, as text.
class Conversation {
  public:
    Conversation(ContractKind contract, const Fault *fault) {
        device::Config config;
        config.contract = contract;
        config_ = valid(config);
        if (fault != nullptr) {
            filter_ = std::make_unique<device::FaultFilter>(*fault, config_);
            quirks_ = {fault->config_space, fault->resets_fail};
        }
    }

    std::string run() {
        Harness harness(config_, false, filter_.get(), quirks_);
        client_ = harness.client.get();
        client_->set_timeout(std::chrono::milliseconds(20));
        Bytes hello;
        append(hello, vfio_user::Version{0, 0});
        for (const char c : std::string_view(R"({"capabilities":{"max_msg_fds":16}})")) {
            hello.push_back(static_cast<std::byte>(c));
        }
        hello.push_back(std::byte{0});
        say(vfio_user::Command::Version, hello);
        for (const std::uint32_t argsz : {16U, 200U}) {
            say(vfio_user::Command::DeviceGetInfo, vfio_user::DeviceInfo{argsz, 0, 0, 0});
        }
        for (std::uint32_t index = 0; index <= 11; ++index) {
            for (const std::uint32_t argsz : {32U, 200U}) {
                vfio_user::RegionInfo request = {};
                request.argsz = argsz;
                request.index = index;
                say(vfio_user::Command::DeviceGetRegionInfo, request);
            }
        }
        say(vfio_user::Command::DeviceGetIrqInfo, vfio_user::IrqInfo{16, 0, 2, 0});
        say(vfio_user::Command::DeviceFeature, std::uint64_t{0});
        say(vfio_user::Command::DmaMap, vfio_user::DmaMap{32, 3, 0, 0x1000, 0x1000});
        read(Config, 0, 4096);
        write(Config, Dvsec + cxl::dvsec::Capability, std::uint16_t{0});
        write(Config, Dvsec + cxl::dvsec::Lock, std::uint16_t{1});
        write(Config, Dvsec + cxl::dvsec::Control, std::uint16_t{0x4007});
        write(Config, Dvsec + cxl::dvsec::Control2, cxl::dvsec::InitCacheWbi);
        read(Config, Dvsec + cxl::dvsec::Status2, 2);
        write(Config, Dvsec + cxl::dvsec::Control2, cxl::dvsec::InitCxlReset);
        read(Config, Dvsec, 0x3c);
        const std::uint32_t base = config_.contract == ContractKind::Shadow ? cxl::HdmOffset : 0;
        for (std::uint32_t at = 0; at < base + 0x34; at += 4) {
            read(CompRegs, at, 4);
        }
        read(CompRegs, 1, 4);
        write(CompRegs, base + 0x14, std::uint32_t{0x55});
        write(CompRegs, base + 0x20, std::uint32_t{0});
        write(CompRegs, base + 0x28, std::uint32_t{0x55});
        read(CompRegs, base + 0x14, 4);
        read(CompRegs, base + 0x20, 4);
        read(CompRegs, base + 0x28, 4);
        write(CompRegs, base + 0x20, std::uint32_t{0x200});
        read(CompRegs, base + 0x20, 4);
        read(0, 0x11000, 16);
        read(0, 0x11200, 16);
        write(Memory, 0, std::uint32_t{0x12345678});
        read(Memory, 0, 4);
        write(Config, pci::PmOffset + pci::PmControl, std::uint16_t{3});
        read(Memory, 0, 4);
        write(Config, pci::PmOffset + pci::PmControl, std::uint16_t{0});
        read(CompRegs, base + 0x20, 4);
        say(vfio_user::Command::DeviceReset, ByteView());
        read(Memory, 0, 4);
        describe_memory_file();
        return text_;
    }

  private:
    template <typename T> void say(vfio_user::Command command, const T &body) {
        say(command, ByteView(std::as_bytes(std::span(&body, 1))));
    }
    void say(vfio_user::Command command, const Bytes &body) { say(command, ByteView(body)); }
    void say(vfio_user::Command command, ByteView body) {
        auto reply = client_->call(command, body);
        text_ += fmt::format("{} {}: ", static_cast<int>(command),
                             format_hex(body.first(std::min<std::size_t>(body.size(), 24))));
        if (!reply) {
            text_ += fmt::format("error {}\n", reply.error().code);
            return;
        }
        text_ += format_hex(reply->body) + fmt::format(" {} files\n", reply->fds.size());
        if (command == vfio_user::Command::DeviceGetRegionInfo && !reply->fds.empty() &&
            load<vfio_user::RegionInfo>(body).index == Memory) {
            memory_file_ = std::move(reply->fds.front());
        }
    }
    void read(std::uint32_t region, std::uint64_t offset, std::uint32_t count) {
        say(vfio_user::Command::RegionRead, vfio_user::RegionAccess{offset, region, count});
    }
    template <typename T> void write(std::uint32_t region, std::uint64_t offset, T value) {
        Bytes body;
        append(body, vfio_user::RegionAccess{offset, region, sizeof(T)});
        append(body, value);
        say(vfio_user::Command::RegionWrite, body);
    }
    void describe_memory_file() {
        struct stat file = {};
        if (memory_file_ && fstat(memory_file_.get(), &file) == 0) {
            text_ += fmt::format("file of {} bytes, mode {}, seals {}\n", file.st_size,
                                 fcntl(memory_file_.get(), F_GETFL) & O_ACCMODE,
                                 fcntl(memory_file_.get(), F_GET_SEALS));
        }
    }

    device::Config config_;
    device::Quirks quirks_;
    std::unique_ptr<device::FaultFilter> filter_;
    vfio_user::Client *client_ = nullptr;
    UniqueFd memory_file_;
    std::string text_;
};

TEST(Faults, NamesAreUniqueAndDescribed) {
    std::set<std::string> names;
    for (const auto &fault : device::faults()) {
        EXPECT_TRUE(names.insert(fault.name).second) << fault.name;
        EXPECT_GT(std::string_view(fault.description).size(), 10U) << fault.name;
        EXPECT_TRUE(fault.reply != nullptr || fault.config_space != nullptr || fault.resets_fail)
            << fault.name << " does nothing";
        EXPECT_EQ(device::find_fault(fault.name), &fault);
    }
    EXPECT_EQ(device::find_fault("no-such-fault"), nullptr);
    EXPECT_EQ(device::find_fault(""), nullptr);
}

class EveryFault : public ::testing::TestWithParam<const Fault *> {};

TEST_P(EveryFault, IsSeenByAClient) {
    const Fault &fault = *GetParam();
    const bool deadly = std::string_view(fault.name).starts_with("die-");
    bool seen = false;
    for (const auto contract : {ContractKind::Live, ContractKind::Shadow}) {
        static std::map<ContractKind, std::string> honest;
        if (honest[contract].empty()) {
            honest[contract] = Conversation(contract, nullptr).run();
        }
        if (deadly) {
            EXPECT_EXIT(Conversation(contract, &fault).run(), ::testing::ExitedWithCode(3), "");
            seen = true;
            continue;
        }
        seen = seen || Conversation(contract, &fault).run() != honest[contract];
    }
    // A slow answer is a full answer in the end: the conversation is the same, later.
    EXPECT_TRUE(seen) << fault.name << " changed nothing in the conversation";
}

std::vector<const Fault *> all_faults() {
    std::vector<const Fault *> list;
    for (const auto &fault : device::faults()) {
        list.push_back(&fault);
    }
    return list;
}

INSTANTIATE_TEST_SUITE_P(Table, EveryFault, ::testing::ValuesIn(all_faults()),
                         [](const auto &param) {
                             std::string name = param.param->name;
                             std::replace(name.begin(), name.end(), '-', '_');
                             return name;
                         });

TEST(Faults, TheHonestConversationIsTheSameEveryTime) {
    for (const auto contract : {ContractKind::Live, ContractKind::Shadow}) {
        EXPECT_EQ(Conversation(contract, nullptr).run(), Conversation(contract, nullptr).run());
    }
}

TEST(Faults, AfterAFailedResetNothingAnswersAndTheErrorIsShown) {
    const auto *fault = device::find_fault("reset-fails");
    ASSERT_NE(fault, nullptr);
    Harness harness(valid(), true, nullptr, {fault->config_space, fault->resets_fail});
    EXPECT_EQ(harness.write(Memory, 0, 7U), 0);
    EXPECT_EQ(code_of(harness.client->reset()), EIO);
    EXPECT_EQ(harness.read_code(Memory, 0, 4), EIO);
    EXPECT_EQ(harness.read_code(0, 0, 4), EIO);
    EXPECT_EQ(harness.read_code(CompRegs, 0, 4), EIO);
    EXPECT_EQ(harness.write(Config, Dvsec + cxl::dvsec::Control2, std::uint16_t{4}), 0);
    EXPECT_EQ(harness.read32(Config, Dvsec + cxl::dvsec::Control2),
              std::uint32_t{cxl::dvsec::ResetError} << 16);
}

TEST(Faults, ADelayedReplyComesWhenTheClockSaysSo) {
    const auto *fault = device::find_fault("slow-info");
    ASSERT_NE(fault, nullptr);
    device::FaultFilter filter(*fault, valid());
    Harness harness(valid(), true, &filter);
    Bytes question;
    append(question, vfio_user::Header{1, 4, 32, 0, 0});
    append(question, vfio_user::DeviceInfo{16, 0, 0, 0});
    ASSERT_TRUE(harness.client->send_raw(question).has_value());
    const auto begin = harness.now;
    ASSERT_TRUE(harness.connection->pump(begin).has_value());
    ASSERT_TRUE(harness.connection->deadline().has_value());
    EXPECT_EQ(*harness.connection->deadline(), begin + std::chrono::seconds(1));
    ASSERT_TRUE(harness.connection->flush(begin + std::chrono::milliseconds(999)).has_value());
    EXPECT_EQ(code_of(harness.client->receive()), ETIMEDOUT);
    ASSERT_TRUE(harness.connection->flush(begin + std::chrono::seconds(1)).has_value());
    EXPECT_EQ(value_of(harness.client->receive()).header.command, 4);
}

} // namespace
} // namespace type2::test
