// SPDX-License-Identifier: GPL-2.0-or-later
// When the device's memory answers: not while the device is busy, without its Mem_Enable or outside
// D0, and without memory space where the kernel's generation gates it by that.
#include "cxl/dvsec.h"
#include "tests/harness.h"

#include <cerrno>
#include <chrono>
#include <thread>

namespace type2::test {
namespace {

constexpr std::uint32_t Config = 7;
constexpr std::uint32_t Memory = contract::MemoryRegion;
constexpr std::uint32_t Control = cxl::DeviceDvsecOffset + cxl::dvsec::Control;
constexpr std::uint32_t SizeLow = cxl::DeviceDvsecOffset + cxl::dvsec::Range1SizeLow;
constexpr std::uint32_t PowerControl = 0x44;

bool active(Harness &harness) {
    return (harness.read32(Config, SizeLow) & cxl::dvsec::MemoryActive) != 0;
}

TEST(MemoryGates, ABusyDeviceIsNotActiveThroughAReset) {
    Harness harness;
    EXPECT_TRUE(active(harness));
    harness.device->set_busy(true);
    EXPECT_FALSE(active(harness));
    EXPECT_EQ(harness.read_code(Memory, 0, 4), EIO);
    EXPECT_EQ(code_of(harness.device->reset()), 0);
    EXPECT_FALSE(active(harness));
    harness.device->set_busy(false);
    EXPECT_TRUE(active(harness));
    EXPECT_EQ(harness.read_code(Memory, 0, 4), 0);
}

TEST(MemoryGates, ADecoderNeedsMemEnable) {
    Harness harness;
    const auto control = static_cast<std::uint16_t>(harness.read32(Config, Control));
    EXPECT_EQ(harness.write(Config, Control,
                            static_cast<std::uint16_t>(control & ~unsigned{cxl::dvsec::MemEnable})),
              0);
    EXPECT_EQ(harness.read_code(Memory, 0, 4), EIO);
    EXPECT_EQ(harness.write(Config, Control, control), 0);
    EXPECT_EQ(harness.read_code(Memory, 0, 4), 0);
}

TEST(MemoryGates, MemorySpaceGatesItUnlessTheGenerationSaysOtherwise) {
    for (const bool follows : {false, true}) {
        device::Config config;
        config.memory_follows_space = follows;
        Harness harness(valid(config));
        EXPECT_EQ(harness.write(Config, pci::reg::Command, std::uint16_t{0}), 0);
        EXPECT_EQ(harness.read_code(Memory, 0, 4), follows ? EIO : 0);
        EXPECT_EQ(harness.read_code(0, 0, 4), EIO);
        EXPECT_EQ(harness.write(Config, PowerControl, std::uint16_t{3}), 0);
        EXPECT_EQ(harness.read_code(Memory, 0, 4), EIO);
    }
}

TEST(MemoryGates, AShadowKernelGatesItByMemorySpace) {
    device::Config config;
    config.contract = device::ContractKind::Shadow;
    Harness harness(valid(config));
    EXPECT_EQ(harness.write(Config, pci::reg::Command, std::uint16_t{0}), 0);
    EXPECT_EQ(harness.read_code(Memory, 0, 4), EIO);
}

TEST(MemoryGates, MemoryIsNotActiveForAWhileAfterAReset) {
    device::Config config;
    config.active_after = std::chrono::milliseconds(200);
    Harness harness(valid(config));
    EXPECT_TRUE(active(harness));
    EXPECT_EQ(code_of(harness.device->reset()), 0);
    EXPECT_FALSE(active(harness));
    EXPECT_EQ(harness.read_code(Memory, 0, 4), EIO);
    std::this_thread::sleep_for(config.active_after);
    EXPECT_TRUE(active(harness));
    EXPECT_EQ(harness.read_code(Memory, 0, 4), 0);
}

TEST(MemoryGates, WithoutACommittedDecoderNoneAnswersUnlessItIsAsked) {
    for (const bool all_the_same : {false, true}) {
        device::Config config;
        config.uncommitted = true;
        config.memory_without_decoder = all_the_same;
        Harness harness(valid(config));
        EXPECT_EQ(harness.read_code(Memory, 0, 4), all_the_same ? 0 : EIO);
    }
}

} // namespace
} // namespace type2::test
