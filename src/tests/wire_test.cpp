// SPDX-License-Identifier: GPL-2.0-or-later
// Messages as a hostile client would send them. Each negative test ends by showing that the
// connection and the device are as before.
#include "model/faults/faults.h"
#include "tests/harness.h"
#include "vfio/target.h"

#include <atomic>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <thread>
#include <unistd.h>

namespace type2::test {
namespace {

using namespace vfio_user;

class Wire : public ::testing::Test {
  protected:
    Harness harness;

    Bytes message(std::uint16_t command, std::uint32_t size, std::uint32_t flags, ByteView body) {
        Bytes bytes;
        append(bytes, Header{7, command, size, flags, 0});
        bytes.insert(bytes.end(), body.begin(), body.end());
        return bytes;
    }
    Bytes message(Command command, ByteView body, std::uint32_t flags = 0) {
        return message(static_cast<std::uint16_t>(command),
                       static_cast<std::uint32_t>(sizeof(Header) + body.size()), flags, body);
    }
    /// errno of the reply to raw bytes; -1 when the connection ended without one.
    int raw(const Bytes &bytes, std::span<const int> fds = {}) {
        EXPECT_TRUE(harness.client->send_raw(bytes, fds).has_value());
        const auto reply = harness.client->receive();
        if (!reply) {
            return -1;
        }
        EXPECT_EQ(reply->header.id, 7);
        EXPECT_EQ(reply->header.flags & TypeMask, TypeReply);
        if ((reply->header.flags & FlagError) != 0) {
            EXPECT_NE(reply->header.error, 0U) << "a refusal without a reason";
            EXPECT_TRUE(reply->body.empty());
        }
        return static_cast<int>(reply->header.error);
    }
    void expect_alive() {
        EXPECT_EQ(harness.read32(7, 0), 0xc2a11234U);
        EXPECT_EQ(harness.control("maps"), "[]");
        EXPECT_EQ(harness.device->counters().device_resets, 0U);
    }
};

TEST_F(Wire, VersionReplyHoldsOnlyWhatWasProposedAndIsNotLonger) {
    Harness fresh(valid(), false);
    Bytes body;
    append(body, Version{0, 0});
    const std::string_view caps = R"({"capabilities":{"max_msg_fds":16,"migration":{}}})";
    for (const char c : caps) {
        body.push_back(static_cast<std::byte>(c));
    }
    body.push_back(std::byte{0});
    const auto reply = value_of(fresh.client->call(Command::Version, body));
    EXPECT_LE(reply.body.size(), body.size());
    const std::string text(reinterpret_cast<const char *>(reply.body.data()) + sizeof(Version));
    EXPECT_EQ(text, R"({"capabilities":{"max_msg_fds":16}})");
}

TEST_F(Wire, FirstCommandMustBeVersion) {
    Harness fresh(valid(), false);
    EXPECT_EQ(code_of(fresh.client->device_info()), EPROTO);
    EXPECT_FALSE(fresh.device->is_open());
    EXPECT_TRUE(fresh.client->negotiate().has_value());
    EXPECT_TRUE(fresh.device->is_open());
}

TEST_F(Wire, VersionTwiceIsRefusedAndEndsTheConnection) {
    EXPECT_EQ(code_of(harness.client->negotiate()), EINVAL);
    EXPECT_EQ(code_of(harness.client->device_info()), EPIPE);
    EXPECT_FALSE(harness.device->is_open());
}

TEST_F(Wire, BadVersionsAndBadJsonAreRefused) {
    const auto code = [](std::uint16_t major, std::string_view text, bool nul) {
        Harness fresh(valid(), false);
        Bytes body;
        append(body, Version{major, 0});
        for (const char c : text) {
            body.push_back(static_cast<std::byte>(c));
        }
        if (nul) {
            body.push_back(std::byte{0});
        }
        const int result = code_of(fresh.client->call(Command::Version, body));
        EXPECT_EQ(fresh.device->is_open(), result == 0);
        return result;
    };
    EXPECT_EQ(code(1, "{}", true), ENOTSUP);
    EXPECT_EQ(code(0, "{}", false), EINVAL);
    EXPECT_EQ(code(0, "{", true), EINVAL);
    EXPECT_EQ(code(0, "[]", true), EINVAL);
    EXPECT_EQ(code(0, R"({"capabilities":3})", true), EINVAL);
    EXPECT_EQ(code(0, R"({"capabilities":{"max_data_xfer_size":-1}})", true), EINVAL);
    EXPECT_EQ(code(0, R"({"capabilities":{"max_data_xfer_size":0}})", true), EINVAL);
    EXPECT_EQ(code(0, R"({"capabilities":{"max_data_xfer_size":63}})", true), EINVAL);
    EXPECT_EQ(code(0, R"({"capabilities":{"max_data_xfer_size":64}})", true), 0);
    EXPECT_EQ(code(0, std::string(100, '['), true), EINVAL);
    EXPECT_EQ(code(0, std::string(5000, ' '), true), EINVAL);
    EXPECT_EQ(code(0, "{}", true), 0);
    EXPECT_EQ(code(0, "", false), 0);
}

TEST_F(Wire, HeaderSizesOutOfBoundsEndTheConnectionWithAReason) {
    for (const std::uint32_t size : {0U, 8U, 15U, MaxMessage + 1, 0xffffffffU}) {
        Harness fresh;
        Bytes bytes = message(4, size, 0, {});
        ASSERT_TRUE(fresh.client->send_raw(bytes).has_value());
        const auto reply = value_of(fresh.client->receive());
        EXPECT_EQ(reply.header.error, static_cast<std::uint32_t>(EMSGSIZE)) << size;
        EXPECT_EQ(code_of(fresh.client->receive()), ECONNRESET) << size;
        EXPECT_FALSE(fresh.device->is_open());
    }
}

TEST_F(Wire, UnknownCommandsAndTypesAreRefusedAndTheStreamKeepsStep) {
    const Bytes body(100);
    EXPECT_EQ(raw(message(static_cast<Command>(0), body)), ENOSYS);
    EXPECT_EQ(raw(message(static_cast<Command>(19), body)), ENOSYS);
    EXPECT_EQ(raw(message(static_cast<Command>(0xffff), body)), ENOSYS);
    EXPECT_EQ(raw(message(Command::DmaRead, body)), EINVAL);
    EXPECT_EQ(raw(message(Command::DirtyPages, body)), ENOTSUP);
    EXPECT_EQ(raw(message(Command::DeviceGetRegionIoFds, body)), ENOTSUP);
    EXPECT_EQ(raw(message(Command::DeviceGetInfo, body, 0x7)), EINVAL);
    expect_alive();
}

TEST_F(Wire, BodiesOfTheWrongSizeAreRefused) {
    for (const auto command :
         {Command::DmaMap, Command::DmaUnmap, Command::DeviceGetInfo, Command::DeviceGetRegionInfo,
          Command::DeviceGetIrqInfo, Command::DeviceSetIrqs, Command::RegionRead,
          Command::RegionWrite, Command::RegionWriteMulti}) {
        EXPECT_EQ(raw(message(command, Bytes(7))), EINVAL) << static_cast<int>(command);
    }
    EXPECT_EQ(raw(message(Command::DeviceReset, Bytes(4))), EINVAL);
    EXPECT_EQ(raw(message(Command::DmaMap, Bytes(33))), EINVAL);
    expect_alive();
}

/// A device that lies looks at requests, too: at all of them, whatever their size.
TEST(WireFaults, ShortAndHugeRequestsAreSurvivedByEveryFault) {
    for (const auto &fault : device::faults()) {
        if (std::string_view(fault.name).starts_with("die-")) {
            continue;
        }
        for (const auto contract : {device::ContractKind::Live, device::ContractKind::Shadow}) {
            SCOPED_TRACE(fault.name);
            device::Config config;
            config.contract = contract;
            device::FaultFilter filter(fault, valid(config));
            Harness harness(valid(config), true, &filter, {fault.config_space, fault.resets_fail});
            for (const std::uint32_t count : {0U, MaxTransfer + 1, UINT32_MAX}) {
                Bytes body;
                append(body, RegionAccess{0, 10, count});
                const auto reply = harness.client->call(Command::RegionRead, body);
                EXPECT_LE(reply ? reply->body.size() : 0, sizeof(RegionAccess) + MaxTransfer);
                const auto next = harness.client->call(Command::DeviceGetInfo, Bytes(16));
                EXPECT_NE(code_of(next), EMSGSIZE) << "the stream has lost step";
            }
            // VERSION last: a second one ends the connection.
            for (std::uint16_t command = 18; command >= 1; --command) {
                for (const std::size_t size : {0, 3, 7, 12, 15, 16, 20, 24, 31, 32, 40}) {
                    (void)harness.client->call(static_cast<Command>(command), Bytes(size));
                }
            }
        }
    }
}

TEST_F(Wire, DescriptorsOnTheWrongMessageAreRefusedAndClosed) {
    const UniqueFd fd(eventfd(0, EFD_CLOEXEC));
    const int one = fd.get();
    EXPECT_EQ(raw(message(Command::DeviceReset, {}), std::span(&one, 1)), EINVAL);
    const DmaMap map = {sizeof(DmaMap), 3, 0, 0x1000, 0x1000};
    const std::array<int, 2> two = {one, one};
    EXPECT_EQ(raw(message(Command::DmaMap, std::as_bytes(std::span(&map, 1))), two), EINVAL);
    expect_alive();
}

TEST_F(Wire, NoReplyMeansNoReplyEvenToAnError) {
    const RegionAccess access = {0, 99, 4};
    Bytes body;
    append(body, access);
    append(body, std::uint32_t{0});
    ASSERT_TRUE(harness.client->send_raw(message(Command::RegionWrite, body, FlagNoReply)));
    expect_alive(); // the next reply is that of the next command
    EXPECT_NE(harness.control("log").find("\"error\":22"), std::string::npos);
}

TEST_F(Wire, RepliesThatNobodyReadsStopTheTaking) {
    constexpr unsigned Reads = 20;
    harness.server_end->set_room(64 * KiB);
    Bytes body;
    append(body, RegionAccess{0, 9, MaxTransfer});
    for (unsigned i = 0; i < Reads; ++i) {
        ASSERT_TRUE(harness.client->send_raw(message(Command::RegionRead, body)).has_value());
    }
    for (unsigned i = 0; i < Reads; ++i) {
        ASSERT_TRUE(harness.connection->pump(harness.now).has_value());
    }
    EXPECT_FALSE(harness.connection->wants_read());
    EXPECT_TRUE(harness.connection->wants_write());
    EXPECT_LE(harness.connection->queued(), Connection::MaxQueued + MaxMessage);
    // When it does read, every one is there.
    for (unsigned i = 0; i < Reads; ++i) {
        const auto reply = value_of(harness.client->receive());
        ASSERT_EQ(reply.body.size(), sizeof(RegionAccess) + MaxTransfer) << i;
    }
    EXPECT_EQ(harness.connection->queued(), 0U);
    EXPECT_TRUE(harness.connection->wants_read());
    expect_alive();
}

TEST_F(Wire, AStreamOfMessagesIsTakenInTurns) {
    constexpr std::uint32_t Writes = 3 * Connection::MaxMessagesPerPump;
    for (std::uint32_t i = 0; i < Writes; ++i) {
        Bytes body;
        append(body, RegionAccess{4 * i, 9, 4});
        append(body, i + 1);
        ASSERT_TRUE(harness.client->send_raw(message(Command::RegionWrite, body, FlagNoReply)));
    }
    harness.control("log");
    EXPECT_TRUE(value_of(harness.connection->pump(harness.now))) << "there is more";
    const auto log = harness.control("log");
    EXPECT_EQ(std::count(log.begin(), log.end(), '{'), Connection::MaxMessagesPerPump);
    EXPECT_EQ(harness.read32(9, 4 * (Writes - 1)), Writes);
}

TEST_F(Wire, SlowSenderIsAssembledByteByByte) {
    harness.server_end->set_chunk(1);
    expect_alive();
}

TEST_F(Wire, ArgszTooSmallForCapabilitiesYieldsTheStructureAlone) {
    RegionInfo request = {};
    request.argsz = sizeof(RegionInfo);
    request.index = 9;
    auto reply = value_of(
        harness.client->call(Command::DeviceGetRegionInfo, std::as_bytes(std::span(&request, 1))));
    EXPECT_EQ(reply.body.size(), sizeof(RegionInfo));
    const auto info = load<RegionInfo>(reply.body);
    EXPECT_EQ(info.argsz, 48U);
    EXPECT_EQ(info.flags & VFIO_REGION_INFO_FLAG_CAPS, 0U);
    EXPECT_EQ(info.cap_offset, 0U);
    EXPECT_EQ(reply.fds.size(), 0U) << "a client that asks for the size has no room for a file";

    request.argsz = info.argsz;
    reply = value_of(
        harness.client->call(Command::DeviceGetRegionInfo, std::as_bytes(std::span(&request, 1))));
    EXPECT_EQ(reply.body.size(), info.argsz);
    EXPECT_EQ(reply.fds.size(), 1U) << "with the whole answer";

    request.argsz = sizeof(RegionInfo) - 1;
    EXPECT_EQ(code_of(harness.client->call(Command::DeviceGetRegionInfo,
                                           std::as_bytes(std::span(&request, 1)))),
              EINVAL);
}

TEST_F(Wire, RegionAccessOutOfBoundsIsRefused) {
    EXPECT_EQ(harness.read_code(7, 4096, 1), EINVAL);
    EXPECT_EQ(harness.read_code(7, UINT64_MAX, 4), EINVAL);
    EXPECT_EQ(harness.read_code(1, 0, 4), EINVAL);
    EXPECT_EQ(harness.read_code(99, 0, 4), EINVAL);
    EXPECT_EQ(harness.read_code(9, 256 * MiB - 2, 4), EINVAL);
    const RegionAccess nothing = {0, 7, 0};
    EXPECT_EQ(
        code_of(harness.client->call(Command::RegionRead, std::as_bytes(std::span(&nothing, 1)))),
        EINVAL);
    const RegionAccess huge = {0, 9, MaxTransfer + 1};
    EXPECT_EQ(
        code_of(harness.client->call(Command::RegionRead, std::as_bytes(std::span(&huge, 1)))),
        EINVAL);
    expect_alive();
}

TEST_F(Wire, WriteMultiDoesEveryWriteAndRefusesBadCounts) {
    Bytes body;
    append(body, std::uint64_t{2});
    append(body, MultiWrite{0x20, 9, 4, {1, 2, 3, 4}});
    append(body, MultiWrite{0x28, 9, 8, {5, 6, 7, 8, 9, 10, 11, 12}});
    EXPECT_EQ(code_of(harness.client->call(Command::RegionWriteMulti, body)), 0);
    EXPECT_EQ(harness.control("peek 0x20 16"), "010203040000000005060708090a0b0c");
    Bytes lie;
    append(lie, std::uint64_t{3});
    lie.insert(lie.end(), body.begin() + 8, body.end());
    EXPECT_EQ(code_of(harness.client->call(Command::RegionWriteMulti, lie)), EINVAL);
    store(ByteSpan(lie), 0, UINT64_MAX / sizeof(MultiWrite));
    EXPECT_EQ(code_of(harness.client->call(Command::RegionWriteMulti, lie)), EINVAL);
    Bytes wide;
    append(wide, std::uint64_t{1});
    append(wide, MultiWrite{0x20, 9, 9, {}});
    EXPECT_EQ(code_of(harness.client->call(Command::RegionWriteMulti, wide)), EINVAL);
    EXPECT_EQ(harness.control("peek 0x20 4"), "01020304");
}

TEST_F(Wire, DmaMapRefusesWhatCannotBe) {
    const UniqueFd file = value_of(make_memfd("ram", 64 * KiB));
    auto &client = *harness.client;
    EXPECT_EQ(code_of(client.map_dma(0x1000, 0, 0, file.get())), EINVAL);
    EXPECT_EQ(code_of(client.map_dma(0x1001, 0x1000, 0, file.get())), EINVAL);
    EXPECT_EQ(code_of(client.map_dma(0x1000, 0x1001, 0, file.get())), EINVAL);
    EXPECT_EQ(code_of(client.map_dma(0x1000, 0x1000, 1, file.get())), EINVAL);
    EXPECT_EQ(code_of(client.map_dma(0x1000, 0x1000, 0, file.get(), 0)), EINVAL);
    EXPECT_EQ(code_of(client.map_dma(0x1000, 0x1000, 0, file.get(), 4)), EINVAL)
        << "neither readable nor writable";
    EXPECT_EQ(code_of(client.map_dma(0x1000, 0x1000, 0, file.get(), 3 | 16)), EINVAL);
    EXPECT_EQ(code_of(client.map_dma(0x1000, 0x1000, 0, file.get(), 3 | 1U << 31)), EINVAL);
    for (const std::uint32_t way : {DmaMapMmap, DmaMapFileIo, DmaMapMmap | DmaMapFileIo}) {
        EXPECT_EQ(code_of(client.map_dma(0x1000, 0x1000, 0, -1, 3 | way)), EINVAL)
            << "a way to use a file, and no file";
    }
    EXPECT_EQ(code_of(client.map_dma(UINT64_MAX - 0xfff, 0x2000, 0, file.get())), EINVAL);
    EXPECT_EQ(code_of(client.map_dma(0x1000, 128 * KiB, 0, file.get())), EINVAL)
        << "the file is shorter";
    expect_alive();
}

TEST_F(Wire, DmaMapTakesEachWayToUseTheFile) {
    const UniqueFd file = value_of(make_memfd("ram", 64 * KiB));
    auto &client = *harness.client;
    EXPECT_EQ(code_of(client.map_dma(0x10000, 0x1000, 0, file.get(), 3 | DmaMapMmap)), 0);
    EXPECT_EQ(code_of(client.map_dma(0x20000, 0x1000, 0, file.get(), 3 | DmaMapFileIo)), 0);
    EXPECT_EQ(code_of(client.map_dma(0x30000, 0x1000, 0, file.get(), 15)), 0) << "either";
    const auto maps = harness.control("maps");
    const auto count = [&](std::string_view part) {
        std::size_t found = 0;
        for (auto at = maps.find(part); at != std::string::npos; at = maps.find(part, at + 1)) {
            ++found;
        }
        return found;
    };
    EXPECT_EQ(count(R"("fd":true)"), 3U) << maps;
    EXPECT_EQ(count(R"("file_io":true)"), 1U) << maps;
    EXPECT_EQ(value_of(client.unmap_dma(0, 0, VFIO_DMA_UNMAP_FLAG_ALL)), 0x3000U);
    expect_alive();
}

TEST_F(Wire, DmaMapsDoNotOverlapAndUnmapsAreExact) {
    const UniqueFd file = value_of(make_memfd("ram", 64 * KiB));
    auto &client = *harness.client;
    EXPECT_EQ(code_of(client.map_dma(0x10000, 0x4000, 0, file.get())), 0);
    EXPECT_EQ(code_of(client.map_dma(0x20000, 0x4000, 0, -1)), 0);
    EXPECT_EQ(code_of(client.map_dma(0x10000, 0x4000, 0, file.get())), EEXIST);
    EXPECT_EQ(code_of(client.map_dma(0xf000, 0x2000, 0, file.get())), EEXIST);
    EXPECT_EQ(code_of(client.map_dma(0x13000, 0x2000, 0, file.get())), EEXIST);
    EXPECT_EQ(
        harness.control("maps"),
        R"([{"iova":65536,"size":16384,"offset":0,"readable":true,"writable":true,"fd":true},)"
        R"({"iova":131072,"size":16384,"offset":0,"readable":true,"writable":true,"fd":false}])");
    EXPECT_EQ(code_of(client.unmap_dma(0x10000, 0x2000)), EINVAL) << "would cut a mapping";
    EXPECT_EQ(code_of(client.unmap_dma(0x12000, 0x2000)), EINVAL) << "would cut a mapping";
    EXPECT_EQ(value_of(client.unmap_dma(0x10000, 0x4000)), 0x4000U);
    EXPECT_EQ(value_of(client.unmap_dma(0x10000, 0x4000)), 0U) << "nothing was there";
    EXPECT_EQ(code_of(client.unmap_dma(0x1000, 0x1000, VFIO_DMA_UNMAP_FLAG_ALL)), EINVAL);
    EXPECT_EQ(value_of(client.unmap_dma(0, 0, VFIO_DMA_UNMAP_FLAG_ALL)), 0x4000U);
    expect_alive();
}

TEST_F(Wire, SetIrqsArmsFiresAndDisarms) {
    const UniqueFd fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    const int one = fd.get();
    auto &client = *harness.client;
    const std::uint32_t arm = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
    const std::uint32_t fire = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER;
    const auto msix = std::uint32_t{VFIO_PCI_MSIX_IRQ_INDEX};
    const auto count = [&] {
        std::uint64_t fired = 0;
        return ::read(one, &fired, sizeof(fired)) == sizeof(fired) ? fired : 0;
    };
    EXPECT_EQ(value_of(client.irq(VFIO_PCI_MSIX_IRQ_INDEX)).count, 8U);
    EXPECT_EQ(code_of(client.irq(5)), EINVAL);
    EXPECT_EQ(code_of(client.set_irqs({0, arm, msix, 3, 1}, std::span(&one, 1))), 0);
    EXPECT_EQ(harness.control("irq 3"), "ok");
    EXPECT_EQ(count(), 1U);
    EXPECT_EQ(code_of(client.set_irqs({0, fire, msix, 3, 1}, {})), 0);
    EXPECT_EQ(count(), 1U);
    const std::array<std::byte, 2> only_second = {std::byte{0}, std::byte{1}};
    EXPECT_EQ(code_of(client.set_irqs(
                  {0, VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_ACTION_TRIGGER, msix, 2, 2}, {},
                  only_second)),
              0);
    EXPECT_EQ(count(), 1U);
    EXPECT_EQ(code_of(client.set_irqs({0, fire, msix, 0, 0}, {})), 0) << "disarms the index";
    EXPECT_EQ(harness.control("irq 3"), "ok");
    EXPECT_EQ(count(), 0U);
    EXPECT_EQ(harness.device->interrupts().pending(), 1U << 3) << "pending until armed again";
    EXPECT_EQ(code_of(client.set_irqs({0, arm, msix, 3, 1}, std::span(&one, 1))), 0);
    EXPECT_EQ(count(), 1U);
}

TEST_F(Wire, SetIrqsRefusesWhatDoesNotFit) {
    const UniqueFd fd(eventfd(0, EFD_CLOEXEC));
    const std::array<int, 2> two = {fd.get(), fd.get()};
    auto &client = *harness.client;
    const std::uint32_t arm = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
    EXPECT_EQ(code_of(client.set_irqs({0, arm, 2, 7, 2}, two)), EINVAL) << "past the end";
    EXPECT_EQ(code_of(client.set_irqs({0, arm, 2, UINT32_MAX, 2}, two)), EINVAL);
    EXPECT_EQ(code_of(client.set_irqs({0, arm, 5, 0, 2}, two)), EINVAL) << "no such index";
    EXPECT_EQ(code_of(client.set_irqs({0, arm, 2, 0, 3}, two)), EINVAL) << "count and fds differ";
    EXPECT_EQ(code_of(client.set_irqs({0, 0, 2, 0, 1}, {})), EINVAL) << "no action";
    EXPECT_EQ(code_of(client.set_irqs({0, arm | 1, 2, 0, 2}, two)), EINVAL) << "two data types";
    EXPECT_EQ(code_of(client.set_irqs(
                  {0, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_MASK, 2, 0, 1}, {})),
              ENOTTY);
    EXPECT_EQ(code_of(client.set_irqs(
                  {0, VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_ACTION_TRIGGER, 2, 0, 8}, {})),
              EINVAL)
        << "no booleans";
    EXPECT_EQ(harness.device->interrupts().armed(VFIO_PCI_MSIX_IRQ_INDEX), 0U);
    expect_alive();
}

TEST_F(Wire, SetIrqsTakesEventfdsOnly) {
    const UniqueFd event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    std::array<int, 2> pipe_ends = {};
    ASSERT_EQ(pipe2(pipe_ends.data(), O_CLOEXEC), 0);
    UniqueFd reader(pipe_ends[0]);
    const UniqueFd writer(pipe_ends[1]);
    std::array<int, 2> sockets = {};
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets.data()), 0);
    const UniqueFd left(sockets[0]);
    const UniqueFd right(sockets[1]);
    const UniqueFd file = value_of(make_memfd("file", 4 * KiB));
    const UniqueFd timer(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
    reader.reset(); // a write would be SIGPIPE
    auto &client = *harness.client;
    const std::uint32_t arm = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
    const int good = event.get();
    EXPECT_EQ(code_of(client.set_irqs({0, arm, 2, 0, 1}, std::span(&good, 1))), 0);
    for (const auto *bad : {&writer, &left, &file, &timer}) {
        const std::array<int, 2> fds = {event.get(), bad->get()};
        EXPECT_EQ(code_of(client.set_irqs({0, arm, 2, 0, 2}, fds)), EINVAL);
        EXPECT_EQ(code_of(client.set_irqs({0, arm, 2, 1, 1}, std::span(fds).subspan(1))), EINVAL);
        EXPECT_EQ(harness.device->interrupts().armed(VFIO_PCI_MSIX_IRQ_INDEX), 1U)
            << "all of them or none, and the one before stays";
    }
    EXPECT_EQ(harness.control("irq 0"), "ok");
    EXPECT_EQ(harness.control("irq 1"), "ok");
    std::uint64_t fired = 0;
    EXPECT_EQ(::read(good, &fired, sizeof(fired)), static_cast<ssize_t>(sizeof(fired)));
    EXPECT_EQ(fired, 1U);
    expect_alive();
}

TEST_F(Wire, AnEventfdThatIsFullIsNotWaitedFor) {
    const UniqueFd event(eventfd(0, EFD_CLOEXEC)); // blocking
    const int one = event.get();
    const std::uint32_t arm = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
    EXPECT_EQ(code_of(harness.client->set_irqs({0, arm, 2, 0, 1}, std::span(&one, 1))), 0);
    const std::uint64_t full = UINT64_MAX - 1;
    ASSERT_EQ(::write(one, &full, sizeof(full)), static_cast<ssize_t>(sizeof(full)));
    std::atomic<bool> done = false;
    std::atomic<bool> waited = false;
    std::thread rescue([&] {
        for (int i = 0; i < 200 && !done; ++i) {
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        }
        if (!done) {
            waited = true;
            std::uint64_t count = 0;
            EXPECT_EQ(::read(one, &count, sizeof(count)), static_cast<ssize_t>(sizeof(count)));
        }
    });
    EXPECT_EQ(harness.control("irq 0"), "ok");
    done = true;
    rescue.join();
    EXPECT_FALSE(waited) << "the device waited for the client";
    expect_alive();
}

TEST_F(Wire, AFeatureThatIsNotThereIsAnsweredAsItIsUnderstood) {
    constexpr std::uint32_t Probe = 1U << 18;
    constexpr std::uint32_t Get = 1U << 16;
    for (const std::uint32_t feature : {1U, 2U, 6U, 11U}) {
        for (const std::uint32_t operation : {Get, Probe | Get}) {
            Bytes body;
            append(body, std::uint32_t{8});
            append(body, operation | feature);
            EXPECT_EQ(code_of(harness.client->call(Command::DeviceFeature, body)), EINVAL);
        }
    }
    EXPECT_TRUE(harness.control("log").find("no feature 11") != std::string::npos);
    EXPECT_EQ(code_of(harness.client->call(Command::DeviceFeature, Bytes(7))), EINVAL);
    EXPECT_EQ(code_of(harness.client->call(Command::DirtyPages, Bytes(8))), ENOTSUP);
    expect_alive();
}

TEST_F(Wire, ClientThatLeavesTakesItsMappingsAndEventfdsAlong) {
    const UniqueFd file = value_of(make_memfd("ram", 64 * KiB));
    const UniqueFd fd(eventfd(0, EFD_CLOEXEC));
    const int one = fd.get();
    EXPECT_EQ(code_of(harness.client->map_dma(0x10000, 0x4000, 0, file.get())), 0);
    EXPECT_EQ(code_of(harness.client->set_irqs(
                  {0, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, 2, 0, 1},
                  std::span(&one, 1))),
              0);
    EXPECT_EQ(harness.write(9, 0, 0x11223344U), 0);
    harness.client.reset();
    EXPECT_FALSE(harness.connection->pump(harness.now).has_value());
    harness.connection.reset();
    EXPECT_FALSE(harness.device->is_open());
    EXPECT_EQ(harness.control("maps"), "[]");
    EXPECT_EQ(harness.device->interrupts().armed(VFIO_PCI_MSIX_IRQ_INDEX), 0U);
    EXPECT_EQ(harness.control("peek 0 4"), "44332211") << "device state stays";
}

TEST(Frames, DescriptorsOfOneMessageAreCountedTogether) {
    auto [here, there] = MemoryTransport::pair();
    const UniqueFd fd(eventfd(0, EFD_CLOEXEC));
    const std::vector<int> some(MaxMessageFds, fd.get());
    const Bytes arm = framed(1, Command::DeviceSetIrqs, TypeCommand, Bytes(sizeof(IrqSet)));
    const ByteView whole = arm;
    FrameReader reader;
    ASSERT_TRUE(there->send(whole.first(20), some).has_value());
    EXPECT_FALSE(value_of(reader.next(*here)).has_value()) << "the rest is to come";
    ASSERT_TRUE(there->send(whole.subspan(20), std::span(some).first(1)).has_value());
    EXPECT_EQ(code_of(reader.next(*here)), EMSGSIZE);
}

TEST(Frames, AStreamThatHasLostStepStaysLost) {
    auto [here, there] = MemoryTransport::pair();
    Bytes bytes;
    append(bytes, Header{1, static_cast<std::uint16_t>(Command::DeviceReset), 8, TypeCommand, 0});
    const Bytes good = framed(2, Command::DeviceReset, TypeCommand, {});
    bytes.insert(bytes.end(), good.begin(), good.end());
    ASSERT_TRUE(there->send(bytes, {}).has_value());
    FrameReader reader;
    EXPECT_EQ(code_of(reader.next(*here)), EMSGSIZE);
    EXPECT_EQ(reader.header().id, 1);
    EXPECT_EQ(code_of(reader.next(*here)), EMSGSIZE);
}

TEST(Caps, ChainsAreAlignedAndParsedBack) {
    const std::vector<InfoCap> caps = {{1, 1, Bytes(3, std::byte{5})}, {6, 2, Bytes(16)}};
    Bytes info(32);
    const Bytes chain = serialize_caps(caps, 32);
    info.insert(info.end(), chain.begin(), chain.end());
    const auto parsed = value_of(parse_caps(info, 32));
    ASSERT_EQ(parsed.size(), 2U);
    EXPECT_EQ(parsed[0].id, 1);
    EXPECT_EQ(parsed[1].id, 6);
    EXPECT_EQ(parsed[1].version, 2);
    EXPECT_EQ(parsed[1].body.size(), 16U);
}

TEST(Caps, LyingChainsAreRefused) {
    Bytes info(64);
    EXPECT_EQ(code_of(parse_caps(info, 60)), EPROTO) << "past the end";
    EXPECT_EQ(code_of(parse_caps(info, 33)), EPROTO) << "unaligned";
    EXPECT_EQ(code_of(parse_caps(info, 0xffffffff)), EPROTO);
    store(ByteSpan(info), 32, vfio_info_cap_header{1, 1, 32});
    EXPECT_EQ(code_of(parse_caps(info, 32)), EPROTO) << "loops";
}

/// A client whose server is what the test makes of it.
class LyingServer : public ::testing::Test {
  protected:
    void SetUp() override {
        auto [here, there] = MemoryTransport::pair();
        server = std::move(here);
        client = std::make_unique<Client>(
            std::move(there), [this](auto) { return talk(); },
            [this] { return now += std::chrono::milliseconds(1); });
        client->set_timeout(std::chrono::milliseconds(100));
    }
    /// The server's turn. False: it has nothing to say.
    bool talk() {
        if (++turns > MostTurns || !says) {
            return false;
        }
        EXPECT_TRUE(server->send(says(), {}).has_value());
        return true;
    }

    static constexpr unsigned MostTurns = 10000;
    std::unique_ptr<MemoryTransport> server;
    std::unique_ptr<Client> client;
    std::function<Bytes()> says;
    Clock::time_point now{};
    unsigned turns = 0;
    std::uint16_t id = 1; ///< of the client's next question
};

TEST_F(LyingServer, ThatNeverStopsTalkingIsWaitedForAsLongAsASilentOne) {
    says = [] { return framed(0xbeef, Command::DeviceReset, TypeReply, {}); };
    EXPECT_EQ(code_of(client->reset()), ETIMEDOUT);
    EXPECT_LT(turns, 1000U);
    turns = 0;
    says = [] { return framed(1, Command::DmaRead, TypeCommand, {}); };
    EXPECT_EQ(code_of(client->reset()), ETIMEDOUT);
    EXPECT_LT(turns, 1000U);
}

TEST_F(LyingServer, NamesACountOfBytesThatNobodyAllocates) {
    bool asked = false;
    client->set_dma_handler([&](auto, auto, auto) {
        asked = true;
        return 0;
    });
    for (const auto command : {Command::DmaRead, Command::DmaWrite}) {
        for (const std::uint64_t count :
             {std::uint64_t{MaxTransfer} + 1, std::uint64_t{1} << 40, UINT64_MAX}) {
            Bytes body;
            append(body, DmaAccess{0, count});
            says = [&] { return framed(1, command, TypeCommand, body); };
            EXPECT_EQ(code_of(client->reset()), ETIMEDOUT);
            EXPECT_FALSE(asked);
            FrameReader answers;
            while (const auto answer = value_of(answers.next(*server))) {
                if ((answer->header.flags & TypeMask) == TypeReply) {
                    EXPECT_EQ(answer->header.error, static_cast<std::uint32_t>(EINVAL));
                }
            }
        }
    }
}

TEST_F(LyingServer, IsToldWhatItsReplyIsAndShouldBe) {
    const auto text = [](const auto &result) { return result ? "" : result.error().text; };
    const auto answer = [this](Command command, std::size_t size) {
        says = [this, command, size] { return framed(id++, command, TypeReply, Bytes(size)); };
    };
    answer(Command::DeviceGetIrqInfo, sizeof(IrqInfo) + 4);
    EXPECT_EQ(text(client->irq(2)), "DEVICE_GET_IRQ_INFO: a reply of 20 bytes, expected 16");
    answer(Command::DeviceGetIrqInfo, 4);
    EXPECT_EQ(text(client->irq(2)), "DEVICE_GET_IRQ_INFO: a reply of 4 bytes, expected 16");
    answer(Command::DeviceGetRegionInfo, sizeof(RegionInfo) + 8);
    EXPECT_EQ(text(client->region(0)),
              "DEVICE_GET_REGION_INFO: a reply of 40 bytes, expected 32 to 32");
    answer(Command::RegionWrite, 24);
    EXPECT_EQ(text(client->write(9, 0, Bytes(4))),
              "REGION_WRITE: a reply of 24 bytes, expected 16");
    answer(Command::DmaUnmap, 25);
    EXPECT_EQ(text(client->unmap_dma(0, 4096)), "DMA_UNMAP: a reply of 25 bytes, expected 24");
    answer(Command::RegionRead, 8);
    Bytes into(4);
    EXPECT_EQ(text(client->read(9, 0, into)),
              "REGION_READ: a reply of 8 bytes, expected 16 at least");
}

TEST_F(LyingServer, AnErrorWithoutAnErrnoIsNoSuccess) {
    says = [this] { return framed(id++, Command::DeviceReset, TypeReply | FlagError, {}); };
    const auto reset = client->reset();
    ASSERT_FALSE(reset.has_value());
    EXPECT_EQ(reset.error().code, EPROTO);
    EXPECT_EQ(reset.error().text, "DEVICE_RESET: an error reply with errno 0");
}

TEST(Info, ThatGrowsWithEveryQuestionIsNotAskedForForEver) {
    const auto *fault = device::find_fault("argsz-grows");
    ASSERT_NE(fault, nullptr);
    device::FaultFilter filter(*fault, valid());
    Harness harness(valid(), true, &filter);
    harness.control("log");
    EXPECT_EQ(code_of(harness.client->region(9)), EPROTO);
    const auto log = harness.control("log");
    EXPECT_LE(std::count(log.begin(), log.end(), '{'), 3);
}

/// Answers DEVICE_FEATURE with errnos of the test's, one for a probe and one for what follows.
class Featured : public ReplyFilter {
  public:
    Featured(int probe, int get) : probe_(probe), get_(get) {}
    void filter(const Request &request, Reply &reply) override {
        if (const auto *feature = request.as<FeatureRequest>()) {
            constexpr std::uint32_t Probe = 1U << 18;
            const bool probe = (feature->flags & Probe) != 0;
            EXPECT_EQ(request.body.size(), probe ? 8U : 40U);
            reply = {};
            reply.error = probe ? probe_ : get_;
            reply.payload = request.body;
        }
    }

  private:
    int probe_;
    int get_;
};

TEST(DmaBuf, IsAbsentOnlyWhereTheProbeSaysSo) {
    const auto code = [](int probe, int get) {
        Featured filter(probe, get);
        Harness harness(valid(), true, &filter);
        const auto target = vfio::make_vfio_user(std::move(harness.client));
        return code_of(target->map_dma_buf(9, 256 * MiB));
    };
    // EINVAL is what servers that follow the protocol's reference say of a feature they lack.
    for (const int absent : {EINVAL, ENOTTY, ENOTSUP, ENOSYS}) {
        EXPECT_EQ(code(absent, 0), ENOTSUP) << "a reason to skip the item";
    }
    EXPECT_EQ(code(EIO, 0), EIO) << "a reason to fail it";
    for (const int refused : {EINVAL, ENOTTY, EIO, EPERM}) {
        EXPECT_EQ(code(0, refused), refused) << "a reason to fail it";
    }
    EXPECT_EQ(code(0, 0), EPROTO) << "no file came with the answer";
}

} // namespace
} // namespace type2::test
