// SPDX-License-Identifier: GPL-2.0-or-later
// The DMA engine as a guest's driver programs it.
#include "base/guard.h"
#include "model/device/dma_engine.h"
#include "model/device/dma_map.h"
#include "tests/harness.h"
#include "vfio_user/protocol.h"

#include <array>
#include <fcntl.h>
#include <linux/memfd.h>
#include <nlohmann/json.hpp>
#include <numeric>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

namespace type2::test {
namespace {

namespace engine = device::engine;
namespace reg = device::engine::reg;
using engine::Descriptor;
using engine::Status;

constexpr std::uint32_t EngineRegion = 2;
constexpr std::uint64_t Ring = 0x10000000; // IOVA
constexpr std::uint64_t Data = 0x20000000;
constexpr std::uint64_t Remote = 0x40000000; // reached by messages
constexpr std::uint32_t RingSize = 8;

class Engine : public ::testing::Test {
  protected:
    void SetUp() override {
        ring_fd = value_of(make_memfd("ring", 64 * KiB));
        data_fd = value_of(make_memfd("data", 8 * MiB));
        ring = value_of(Mapping::map(ring_fd.get(), 0, 64 * KiB, true, true));
        data = value_of(Mapping::map(data_fd.get(), 0, 8 * MiB, true, true));
        EXPECT_EQ(code_of(harness.client->map_dma(Ring, 64 * KiB, 0, ring_fd.get())), 0);
        EXPECT_EQ(code_of(harness.client->map_dma(Data, 8 * MiB, 0, data_fd.get())), 0);
        EXPECT_EQ(harness.write(7, 4, std::uint16_t{6}), 0); // memory, bus master
        start(Ring, RingSize);
    }

    void put(std::uint32_t at, std::uint32_t value) {
        EXPECT_EQ(harness.write(EngineRegion, engine::Offset + at, value), 0);
        run();
    }
    std::uint32_t get(std::uint32_t at) {
        return harness.read32(EngineRegion, engine::Offset + at);
    }
    void run() { harness.settle(); }
    void start(std::uint64_t base, std::uint32_t size) {
        EXPECT_EQ(harness.write(EngineRegion, engine::Offset + reg::RingBase, base), 0);
        put(reg::RingSize, size);
        put(reg::Control, engine::ControlEnable);
    }
    void describe(std::uint32_t index, const Descriptor &descriptor) {
        store(ring.bytes(), sizeof(Descriptor) * index, descriptor);
    }
    Descriptor descriptor(std::uint32_t index) {
        return load<Descriptor>(ring.bytes(), sizeof(Descriptor) * index);
    }
    Status status(std::uint32_t index) { return static_cast<Status>(descriptor(index).status); }
    /// One descriptor at index 0, run; its status.
    Status one(const Descriptor &what) {
        put(reg::Control, 0);
        put(reg::Control, engine::ControlEnable);
        describe(0, what);
        put(reg::Tail, 1);
        return status(0);
    }
    void fill(std::uint64_t offset, std::uint64_t count, unsigned seed) {
        for (std::uint64_t i = 0; i < count; ++i) {
            data.bytes()[offset + i] = pattern(i, seed);
        }
    }
    static std::byte pattern(std::uint64_t i, unsigned seed) {
        return static_cast<std::byte>(i * 31 + i / 251 + seed);
    }
    /// The device has done nothing but write back.
    void expect_untouched() {
        EXPECT_EQ(harness.control("peek 0 16"), std::string(32, '0'));
        EXPECT_TRUE(std::all_of(data.bytes().begin(), data.bytes().end(),
                                [](std::byte b) { return b == std::byte{0}; }));
    }

    Harness harness;
    UniqueFd ring_fd;
    UniqueFd data_fd;
    Mapping ring;
    Mapping data;
};

TEST_F(Engine, TellsWhatItIs) {
    EXPECT_EQ(get(reg::Id), engine::IdValue);
    EXPECT_EQ(get(reg::Version), 1U);
    EXPECT_EQ(get(reg::Capabilities), 8U | 12U << 8);
    EXPECT_EQ(get(reg::MemorySize), 256 * MiB);
    EXPECT_EQ(get(reg::Status), 0U);
}

TEST_F(Engine, CopiesBothWaysAndInRam) {
    constexpr std::uint64_t Length = 3 * MiB + 17; // several steps, none of them round
    fill(0, Length, 1);
    describe(0, {1, 0, Data, 0x1003, Length, {}, 0, 0, 0});
    describe(1, {2, 0, 0x1003, Data + 4 * MiB, Length, {}, 0, 0, 0});
    put(reg::Tail, 2);
    EXPECT_EQ(status(0), Status::Done);
    EXPECT_EQ(status(1), Status::Done);
    EXPECT_EQ(descriptor(1).bytes, Length);
    EXPECT_EQ(get(reg::Head), 2U);
    EXPECT_EQ(get(reg::Completed), 2U);
    EXPECT_EQ(get(reg::Status), 0U);
    for (std::uint64_t i = 0; i < Length; ++i) {
        ASSERT_EQ(data.bytes()[4 * MiB + i], pattern(i, 1)) << i;
    }
    EXPECT_EQ(data.bytes()[4 * MiB + Length], std::byte{0});
    fill(0, 64, 9);
    describe(2, {3, 0, Data, Data + 1 * MiB, 64, {}, 0, 0, 0});
    put(reg::Tail, 3);
    EXPECT_EQ(status(2), Status::Done);
    EXPECT_EQ(data.bytes()[1 * MiB + 63], pattern(63, 9));
}

TEST_F(Engine, GoesAroundTheRing) {
    for (std::uint32_t i = 0; i < 3 * RingSize; ++i) {
        describe(i % RingSize, {0, 0, 0, 0, 0, {}, 0, 0, 0});
        put(reg::Tail, (i + 1) % RingSize);
        ASSERT_EQ(status(i % RingSize), Status::Done);
    }
    EXPECT_EQ(get(reg::Completed), 3 * RingSize);
    EXPECT_EQ(get(reg::Head), 0U);
}

TEST_F(Engine, RaisesTheVectorThatTheDescriptorNames) {
    const UniqueFd event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    const int one_fd = event.get();
    EXPECT_EQ(code_of(harness.client->set_irqs(
                  {0, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
                   VFIO_PCI_MSIX_IRQ_INDEX, 5, 1},
                  std::span(&one_fd, 1))),
              0);
    describe(0, {0, 1 | 5 << 8, 0, 0, 0, {}, 0, 0, 0});
    describe(1, {0, 5 << 8, 0, 0, 0, {}, 0, 0, 0});
    put(reg::Tail, 2);
    std::uint64_t count = 0;
    ASSERT_EQ(::read(one_fd, &count, sizeof(count)), static_cast<ssize_t>(sizeof(count)));
    EXPECT_EQ(count, 1U) << "only where the flag asks for it";
}

TEST_F(Engine, BadDescriptorsSaySoAndTouchNothing) {
    EXPECT_EQ(one({4, 0, Data, 0, 64, {}, 0, 0, 0}), Status::BadOpcode);
    EXPECT_EQ(one({1, 0, Data, 0, 0, {}, 0, 0, 0}), Status::BadLength);
    EXPECT_EQ(one({1, 0, Data, 0, engine::MaxLength + 1, {}, 0, 0, 0}), Status::BadLength);
    EXPECT_EQ(one({1, 2, Data, 0, 64, {}, 0, 0, 0}), Status::BadFlags);
    EXPECT_EQ(one({1, 1 | 8 << 8, Data, 0, 64, {}, 0, 0, 0}), Status::BadFlags);
    EXPECT_EQ(one({1, 0, Data, 256 * MiB - 63, 64, {}, 0, 0, 0}), Status::OutsideDevice);
    EXPECT_EQ(one({2, 0, UINT64_MAX - 8, Data, 64, {}, 0, 0, 0}), Status::OutsideDevice);
    EXPECT_EQ(one({1, 0, Data + 8 * MiB - 63, 0, 64, {}, 0, 0, 0}), Status::NotMapped);
    EXPECT_EQ(one({1, 0, UINT64_MAX - 8, 0, 64, {}, 0, 0, 0}), Status::NotMapped);
    EXPECT_EQ(one({2, 0, 0, 0, 64, {}, 0, 0, 0}), Status::NotMapped);
    EXPECT_EQ(one({3, 0, Data, Data + 32, 64, {}, 0, 0, 0}), Status::Overlap);
    EXPECT_EQ(get(reg::Failed), 11U);
    EXPECT_EQ(get(reg::Completed), 0U);
    EXPECT_EQ(get(reg::Status), 0U) << "the engine goes on";
    expect_untouched();
}

TEST_F(Engine, ReadOnlyMappingsAreNotWritten) {
    const UniqueFd file = value_of(make_memfd("rom", 4 * KiB));
    EXPECT_EQ(code_of(harness.client->map_dma(0x50000000, 4 * KiB, 0, file.get(), 1)), 0);
    EXPECT_EQ(one({2, 0, 0, 0x50000000, 64, {}, 0, 0, 0}), Status::NotMapped);
    EXPECT_EQ(one({1, 0, 0x50000000, 0, 64, {}, 0, 0, 0}), Status::Done);
}

TEST_F(Engine, UnmappedMemoryIsNotReachedAnyLonger) {
    EXPECT_EQ(one({1, 0, Data, 0, 64, {}, 0, 0, 0}), Status::Done);
    EXPECT_EQ(value_of(harness.client->unmap_dma(Data, 8 * MiB)), 8 * MiB);
    EXPECT_EQ(one({1, 0, Data, 0, 64, {}, 0, 0, 0}), Status::NotMapped);
}

TEST_F(Engine, FilesThatBecomeShorterCostTheDescriptorNotTheProcess) {
    const UniqueFd file = value_of(make_memfd("shrinks", 2 * MiB, false));
    constexpr std::uint64_t Shrinks = 0x60000000;
    EXPECT_EQ(code_of(harness.client->map_dma(Shrinks, 2 * MiB, 0, file.get())), 0);
    EXPECT_EQ(one({1, 0, Shrinks, 0, 2 * MiB, {}, 0, 0, 0}), Status::Done);
    ASSERT_EQ(ftruncate(file.get(), 4 * KiB), 0);
    EXPECT_EQ(one({1, 0, Shrinks, 0, 4 * KiB, {}, 0, 0, 0}), Status::Done) << "what is left of it";
    EXPECT_EQ(one({1, 0, Shrinks, 0, 2 * MiB, {}, 0, 0, 0}), Status::NotMapped);
    EXPECT_EQ(one({2, 0, 0, Shrinks, 2 * MiB, {}, 0, 0, 0}), Status::NotMapped);
    EXPECT_EQ(one({3, 0, Shrinks + 1 * MiB, Data, 64, {}, 0, 0, 0}), Status::NotMapped);
    // A ring in it halts the engine, as one that is not mapped does.
    put(reg::Control, 0);
    start(Shrinks + 1 * MiB, RingSize);
    put(reg::Tail, 1);
    EXPECT_EQ(get(reg::Error), 3U);
    put(reg::Control, 0);
    start(Ring, RingSize);
    EXPECT_EQ(one({0, 0, 0, 0, 0, {}, 0, 0, 0}), Status::Done);
}

TEST_F(Engine, HaltsOnABadRing) {
    const auto bad = [&](std::uint64_t base, std::uint32_t size) {
        put(reg::Control, 0);
        start(base, size);
        EXPECT_EQ(get(reg::Status), engine::StatusHalted);
        return get(reg::Error);
    };
    EXPECT_EQ(bad(Ring + 8, 8), 1U);
    EXPECT_EQ(bad(Ring, 0), 1U);
    EXPECT_EQ(bad(Ring, 1), 1U);
    EXPECT_EQ(bad(Ring, 3), 1U);
    EXPECT_EQ(bad(Ring, 8192), 1U);
    EXPECT_EQ(bad(UINT64_MAX - 63, 8), 1U);
}

TEST_F(Engine, HaltsOnABadTailOrARingThatIsNotMapped) {
    put(reg::ErrorVector, 7);
    put(reg::Tail, RingSize);
    EXPECT_EQ(get(reg::Error), 2U);
    EXPECT_EQ(harness.device->interrupts().fired(7), 1U);
    // A reset forgets what fired, but not that something did.
    EXPECT_EQ(harness.device->interrupts().total(), 1U);
    put(reg::Control, 0);
    start(0x70000000, 8);
    put(reg::Tail, 1);
    EXPECT_EQ(get(reg::Error), 3U);
    EXPECT_EQ(get(reg::Status), engine::StatusHalted);
    put(reg::Control, engine::ControlReset);
    EXPECT_EQ(get(reg::Error), 0U);
    EXPECT_EQ(get(reg::Control), 0U);
    EXPECT_EQ(get(reg::ErrorVector), 0xffU);
    start(Ring, 8);
    EXPECT_EQ(one({0, 0, 0, 0, 0, {}, 0, 0, 0}), Status::Done) << "works again";
}

TEST_F(Engine, DoesNothingWithoutBusMastering) {
    EXPECT_EQ(harness.write(7, 4, std::uint16_t{2}), 0);
    fill(0, 64, 1);
    describe(0, {1, 0, Data, 0, 64, {}, 0, 0, 0});
    put(reg::Tail, 1);
    EXPECT_EQ(get(reg::Error), 4U);
    EXPECT_EQ(descriptor(0).status, 0U);
    EXPECT_EQ(harness.control("peek 0 8"), std::string(16, '0'));
}

TEST_F(Engine, DeviceResetStopsItAndClearsItsRegisters) {
    EXPECT_EQ(one({0, 0, 0, 0, 0, {}, 0, 0, 0}), Status::Done);
    EXPECT_EQ(code_of(harness.client->reset()), 0);
    EXPECT_EQ(get(reg::Control), 0U);
    EXPECT_EQ(get(reg::RingSize), 0U);
    EXPECT_EQ(get(reg::Completed), 0U);
    describe(0, {0, 0, 0, 0, 0, {}, 0, 0, 0});
    put(reg::Tail, 1);
    EXPECT_EQ(descriptor(0).status, 0U) << "not enabled";
}

TEST_F(Engine, ReachesMemoryWithoutAFileByMessages) {
    Bytes far(2 * MiB);
    for (std::size_t i = 0; i < far.size(); ++i) {
        far[i] = pattern(i, 3);
    }
    harness.client->set_dma_handler([&](std::uint64_t address, ByteSpan bytes, bool write) {
        if (address < Remote || !fits(address - Remote, bytes.size(), far.size())) {
            return EFAULT;
        }
        const auto at = far.begin() + static_cast<std::ptrdiff_t>(address - Remote);
        if (write) {
            std::copy(bytes.begin(), bytes.end(), at);
        } else {
            std::copy_n(at, bytes.size(), bytes.begin());
        }
        return 0;
    });
    EXPECT_EQ(code_of(harness.client->map_dma(Remote, far.size(), 0, -1)), 0);
    describe(0, {1, 0, Remote, 0, 1 * MiB + 5, {}, 0, 0, 0});
    describe(1, {2, 0, 0, Remote + 1 * MiB + 5, 1000, {}, 0, 0, 0});
    put(reg::Tail, 2);
    ASSERT_TRUE(harness.client->serve([&] { return descriptor(1).status != 0; }).has_value());
    EXPECT_EQ(status(0), Status::Done);
    EXPECT_EQ(status(1), Status::Done);
    EXPECT_EQ(harness.control("peek 0x100000 1"), format_hex(std::array{pattern(1 * MiB, 3)}));
    for (std::size_t i = 0; i < 1000; ++i) {
        ASSERT_EQ(far[1 * MiB + 5 + i], pattern(i, 3)) << i;
    }
    // A refusal of the client fails the descriptor, not the device.
    harness.client->set_dma_handler([](auto, auto, auto) { return EACCES; });
    describe(2, {1, 0, Remote, 0, 64, {}, 0, 0, 0});
    put(reg::Tail, 3);
    ASSERT_TRUE(harness.client->serve([&] { return descriptor(2).status != 0; }).has_value());
    EXPECT_EQ(status(2), Status::NotMapped);
}

TEST_F(Engine, ResetWhileTheClientIsAskedLeavesNothingBehind) {
    EXPECT_EQ(code_of(harness.client->map_dma(Remote, 1 * MiB, 0, -1)), 0);
    describe(0, {1, 0, Remote, 0, 64, {}, 0, 0, 0});
    put(reg::Tail, 1); // the question is on its way, nobody has answered
    bool asked = false;
    harness.client->set_dma_handler([&](auto, ByteSpan bytes, auto) {
        asked = true;
        std::fill(bytes.begin(), bytes.end(), std::byte{0xee});
        return 0;
    });
    EXPECT_EQ(code_of(harness.client->reset()), 0); // the answer comes after the reset
    run();
    EXPECT_TRUE(asked);
    EXPECT_EQ(get(reg::Status), 0U);
    EXPECT_EQ(descriptor(0).status, 0U);
    EXPECT_EQ(harness.control("peek 0 4"), "00000000");
}

/// What a client sends that reads nothing: writes to the engine's registers, unanswered.
class Silent : public Engine {
  protected:
    void SetUp() override {
        Engine::SetUp();
        EXPECT_EQ(code_of(harness.client->map_dma(Remote, 1 * MiB, 0, -1)), 0);
    }
    template <typename T> void post(std::uint32_t at, T value) {
        Bytes body;
        append(body, vfio_user::RegionAccess{engine::Offset + at, EngineRegion, sizeof(T)});
        append(body, value);
        const Bytes message =
            framed(1, vfio_user::Command::RegionWrite, vfio_user::FlagNoReply, body);
        ASSERT_TRUE(harness.client->send_raw(message).has_value());
        run();
    }
    void restart(std::uint64_t base) {
        post(reg::Control, std::uint32_t{0});
        post(reg::RingBase, base);
        post(reg::RingSize, RingSize);
        post(reg::Control, engine::ControlEnable);
        post(reg::Tail, std::uint32_t{1});
    }
    std::uint32_t look(std::uint32_t at) const {
        return harness.device->engine_bar().get<std::uint32_t>(engine::Offset + at);
    }
};

TEST_F(Silent, ClientsAreAskedSoOftenAndNotMore) {
    unsigned asked = 0;
    for (; asked < 1000 && look(reg::Error) == 0; ++asked) {
        restart(Remote); // a descriptor that only the client can give
    }
    EXPECT_EQ(asked, vfio_user::MaxUnanswered + 1);
    EXPECT_EQ(look(reg::Error), static_cast<std::uint32_t>(engine::Halt::RingAccess));
    restart(Ring);
    EXPECT_EQ(look(reg::Error), 0U) << "what needs no answer is done";
    EXPECT_EQ(look(reg::Head), 1U);
    // It answers after all: what it was asked is forgotten, and there is room for new questions.
    unsigned answered = 0;
    harness.client->set_dma_handler([&](auto, ByteSpan bytes, auto) {
        ++answered;
        std::fill(bytes.begin(), bytes.end(), std::byte{0});
        return 0;
    });
    EXPECT_EQ(get(reg::Status), 0U);
    EXPECT_EQ(answered, vfio_user::MaxUnanswered);
    restart(Remote);
    ASSERT_TRUE(harness.client->serve([&] { return look(reg::Head) == 1; }).has_value());
    EXPECT_EQ(look(reg::Error), 0U);
}

TEST_F(Silent, AWriteThatWaitsForTheSocketGoesWithTheEngine) {
    describe(0, {2, 0, 0, Remote, 4 * KiB, {}, 0, 0, 0});
    harness.server_end->set_room(0);
    restart(Ring);
    EXPECT_GT(harness.connection->queued(), 4 * KiB) << "a DMA_WRITE that cannot be sent";
    post(reg::Control, std::uint32_t{0});
    EXPECT_EQ(harness.connection->queued(), 0U);
    harness.server_end->set_room(SIZE_MAX);
    run();
    EXPECT_EQ(code_of(harness.client->receive()), ETIMEDOUT) << "nothing was asked";
}

TEST_F(Silent, HalfAQuestionIsFinished) {
    describe(0, {2, 0, 0, Remote, 4 * KiB, {}, 0, 0, 0});
    harness.server_end->set_room(100);
    restart(Ring);
    post(reg::Control, std::uint32_t{0});
    harness.server_end->set_room(SIZE_MAX);
    run();
    // The stream keeps step; the answer is one to nothing.
    const auto question = value_of(harness.client->receive());
    EXPECT_EQ(question.header.command, static_cast<std::uint16_t>(vfio_user::Command::DmaWrite));
    EXPECT_EQ(harness.read32(7, 0), 0xc2a11234U);
}

TEST_F(Engine, ReachesAFileByItsOwnCalls) {
    // Not every file can be mapped; this one of the kernel's cannot.
    const UniqueFd memory(open("/proc/self/mem", O_RDWR | O_CLOEXEC));
    ASSERT_TRUE(memory);
    constexpr std::uint64_t Filed = 0x60000000;
    auto far =
        value_of(Mapping::map(value_of(make_memfd("far", 2 * MiB)).get(), 0, 2 * MiB, true, true));
    const auto at = reinterpret_cast<std::uintptr_t>(far.bytes().data());
    auto &client = *harness.client;
    EXPECT_NE(code_of(client.map_dma(Filed, 2 * MiB, at, memory.get(), 3 | vfio_user::DmaMapMmap)),
              0);
    EXPECT_EQ(
        code_of(client.map_dma(Filed, 2 * MiB, at, memory.get(), 3 | vfio_user::DmaMapFileIo)), 0);
    fill(0, 1 * MiB + 5, 7);
    EXPECT_EQ(one({3, 0, Data, Filed, 1 * MiB + 5, {}, 0, 0, 0}), Status::Done);
    EXPECT_EQ(one({1, 0, Filed, 0, 1 * MiB + 5, {}, 0, 0, 0}), Status::Done);
    EXPECT_EQ(one({2, 0, 0, Data + 4 * MiB, 1 * MiB + 5, {}, 0, 0, 0}), Status::Done);
    for (std::uint64_t i = 0; i < 1 * MiB + 5; ++i) {
        ASSERT_EQ(far.bytes()[i], pattern(i, 7)) << i;
        ASSERT_EQ(data.bytes()[4 * MiB + i], pattern(i, 7)) << i;
    }
    EXPECT_EQ(far.bytes()[1 * MiB + 5], std::byte{0});
    far = Mapping(); // nothing behind it any more
    EXPECT_EQ(one({1, 0, Filed, 0, 64, {}, 0, 0, 0}), Status::NotMapped);
    EXPECT_EQ(one({2, 0, 0, Filed, 64, {}, 0, 0, 0}), Status::NotMapped);
    EXPECT_EQ(one({0, 0, 0, 0, 0, {}, 0, 0, 0}), Status::Done);
}

TEST_F(Engine, HugePagesAreMappedWholeWhereverTheMappingBegins) {
    const UniqueFd file(memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB));
    if (!file || ftruncate(file.get(), 4 * MiB) != 0) {
        GTEST_SKIP() << "this kernel has no huge pages of 2 MiB";
    }
    // As a PC has its RAM: what lies behind the gap below 1 MiB, and not up to the file's end.
    constexpr std::uint64_t Huge = 0x60000000;
    ASSERT_EQ(code_of(harness.client->map_dma(Huge, 2 * MiB, 1 * MiB, file.get())), 0);
    EXPECT_EQ(code_of(harness.client->map_dma(Huge + 2 * MiB, 2 * MiB, 3 * MiB, file.get())),
              EINVAL)
        << "the file is shorter";
    auto whole = value_of(Mapping::map(file.get(), 0, 4 * MiB, true, true));
    if (!survives([&] { whole.bytes()[1 * MiB] = whole.bytes()[3 * MiB - 1] = std::byte{1}; })) {
        EXPECT_EQ(one({2, 0, 0, Huge, 64, {}, 0, 0, 0}), Status::NotMapped);
        GTEST_SKIP() << "mapped, but not copied: none of this machine's huge pages is free";
    }
    fill(0, 2 * MiB, 3);
    EXPECT_EQ(one({3, 0, Data, Huge, 2 * MiB, {}, 0, 0, 0}), Status::Done);
    for (std::uint64_t i = 0; i < 2 * MiB; ++i) {
        ASSERT_EQ(whole.bytes()[1 * MiB + i], pattern(i, 3)) << i;
    }
    EXPECT_EQ(whole.bytes()[1 * MiB - 1], std::byte{0});
    EXPECT_EQ(whole.bytes()[3 * MiB], std::byte{0});
    EXPECT_EQ(value_of(harness.client->unmap_dma(Huge, 2 * MiB)), 2 * MiB);
}

TEST(DmaMap, MappingsEndBeforeTheProcessHasNoneLeft) {
    const auto fd = value_of(make_memfd("page", 4 * KiB));
    device::DmaMap map;
    for (std::uint64_t i = 0; i < vfio_user::MaxDmaMaps; ++i) {
        ASSERT_EQ(code_of(map.map({i * 8 * KiB, 4 * KiB, 0, true, true}, value_of(fd.duplicate()))),
                  0)
            << i;
    }
    const std::uint64_t after = std::uint64_t{vfio_user::MaxDmaMaps} * 8 * KiB;
    EXPECT_EQ(code_of(map.map({after, 4 * KiB, 0, true, true}, value_of(fd.duplicate()))), ENOSPC);
    EXPECT_EQ(map.entries().size(), vfio_user::MaxDmaMaps);
    EXPECT_FALSE(map.covers(after, 1, false));
    EXPECT_EQ(map.clear(), std::uint64_t{vfio_user::MaxDmaMaps} * 4 * KiB);
}

} // namespace
} // namespace type2::test
