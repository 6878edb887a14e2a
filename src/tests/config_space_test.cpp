// SPDX-License-Identifier: GPL-2.0-or-later
#include "cxl/dvsec.h"
#include "tests/harness.h"

#include <cstdio>
#include <cstdlib>
#include <fmt/format.h>
#include <fstream>

namespace type2::test {
namespace {

constexpr std::uint32_t Config = 7;

class ConfigSpace : public ::testing::Test {
  protected:
    Harness harness;
};

TEST_F(ConfigSpace, BarsAreSizedAsHardwareIs) {
    EXPECT_EQ(harness.read32(Config, 0x10), 0xcU) << "64-bit, prefetchable";
    EXPECT_EQ(harness.read32(Config, 0x18), 0x4U) << "64-bit";
    for (const std::uint32_t at : {0x10U, 0x14U, 0x18U, 0x1cU, 0x20U, 0x24U}) {
        EXPECT_EQ(harness.write(Config, at, UINT32_MAX), 0);
    }
    EXPECT_EQ(harness.read32(Config, 0x10), 0xfff0000cU) << "1 MiB";
    EXPECT_EQ(harness.read32(Config, 0x14), 0xffffffffU);
    EXPECT_EQ(harness.read32(Config, 0x18), 0xffff0004U) << "64 KiB";
    EXPECT_EQ(harness.read32(Config, 0x1c), 0xffffffffU);
    EXPECT_EQ(harness.read32(Config, 0x20), 0U) << "no BAR 4";
}

TEST_F(ConfigSpace, HugeBarsReachIntoTheUpperHalf) {
    device::Config config;
    config.bar_size = 64 * GiB;
    Harness big(valid(config));
    EXPECT_EQ(big.write(Config, 0x10, UINT32_MAX), 0);
    EXPECT_EQ(big.write(Config, 0x14, UINT32_MAX), 0);
    EXPECT_EQ(big.read32(Config, 0x10), 0xcU);
    EXPECT_EQ(big.read32(Config, 0x14), 0xfffffff0U);
    EXPECT_EQ(value_of(big.client->region(0)).info.size, 64 * GiB);
}

TEST_F(ConfigSpace, ReadOnlyRegistersIgnoreWritesOfEveryWidth) {
    const auto &space = harness.device->config_space().registers();
    for (const auto &row : space.rows()) {
        if (row.rw != 0 || row.w1c != 0) {
            continue;
        }
        Bytes before(row.width);
        space.read(row.offset, before);
        for (std::uint32_t i = 0; i < row.width; ++i) {
            EXPECT_EQ(harness.write(Config, row.offset + i, std::uint8_t{0xa5}), 0);
        }
        Bytes after(row.width);
        space.read(row.offset, after);
        EXPECT_EQ(before, after) << row.name;
    }
}

TEST_F(ConfigSpace, RowsStayInsideAndEveryMaskFitsItsWidth) {
    for (const auto &row : harness.device->config_space().registers().rows()) {
        EXPECT_TRUE(fits(row.offset, row.width, pci::ConfigSize)) << row.name;
        const std::uint64_t all =
            row.width == 8 ? UINT64_MAX : (std::uint64_t{1} << (8 * row.width)) - 1;
        EXPECT_EQ((row.reset | row.rw | row.w1c) & ~all, 0U) << row.name;
        EXPECT_EQ(row.rw & row.w1c, 0U) << row.name;
        EXPECT_FALSE(row.section.empty()) << row.name;
    }
}

TEST(ConfigSpaceOfOldKernels, MemoryAnswersOnlyInD0WithMemorySpaceOn) {
    device::Config config;
    config.memory_follows_space = true;
    Harness harness(valid(config));
    const auto expect_code = [&](int code) {
        EXPECT_EQ(harness.read_code(9, 0, 4), code);
        EXPECT_EQ(harness.write(9, 0, 1U), code);
        EXPECT_EQ(harness.read_code(0, 0, 4), code);
        EXPECT_EQ(harness.read_code(2, 0, 4), code);
        EXPECT_EQ(harness.read_code(10, 0x20, 4), code);
        EXPECT_EQ(harness.read_code(Config, 0, 4), 0);
    };
    expect_code(0);
    EXPECT_EQ(harness.write(Config, 4, std::uint16_t{0}), 0);
    expect_code(EIO);
    EXPECT_EQ(harness.write(Config, 4, std::uint16_t{2}), 0);
    expect_code(0);
    EXPECT_EQ(harness.write(Config, 0x44, std::uint16_t{3}), 0); // D3hot
    expect_code(EIO);
    EXPECT_EQ(harness.write(Config, 0x44, std::uint16_t{0}), 0);
    expect_code(0);
}

TEST_F(ConfigSpace, FunctionLevelResetClearsMemoryAndKeepsConfigSpace) {
    EXPECT_EQ(harness.write(Config, 0x10, 0x80000000U), 0);
    EXPECT_EQ(harness.write(9, 64 * MiB, 0x55aa55aaU), 0);
    EXPECT_EQ(harness.write(Config, 0x68, std::uint16_t{0xa810}), 0);
    EXPECT_EQ(harness.device->counters().function_resets, 1U);
    EXPECT_EQ(harness.read32(9, 64 * MiB), 0U);
    EXPECT_EQ(harness.read32(Config, 0x10), 0x8000000cU);
    EXPECT_EQ(harness.read32(Config, 0x68) & 0x8000U, 0U) << "the bit reads 0";
}

TEST_F(ConfigSpace, FunctionLevelResetOfAdvancedFeaturesIsTheSame) {
    EXPECT_EQ(harness.write(9, 64 * MiB, 0x55aa55aaU), 0);
    EXPECT_EQ(harness.write(Config, 0xa4, std::uint8_t{1}), 0);
    EXPECT_EQ(harness.device->counters().function_resets, 1U);
    EXPECT_EQ(harness.read32(9, 64 * MiB), 0U);
    EXPECT_EQ(harness.read32(Config, 0xa4) & 0xffU, 0U) << "the bit reads 0";
}

TEST_F(ConfigSpace, CxlResetDoorbellClearsMemoryAndSaysDone) {
    const std::uint32_t dvsec = cxl::DeviceDvsecOffset;
    EXPECT_EQ(harness.write(9, 0, 0x55aa55aaU), 0);
    EXPECT_EQ(harness.write(Config, dvsec + cxl::dvsec::Control2, std::uint16_t{4}), 0);
    EXPECT_EQ(harness.read32(Config, dvsec + cxl::dvsec::Control2),
              std::uint32_t{cxl::dvsec::ResetDone} << 16);
    EXPECT_EQ(harness.read32(9, 0), 0U);
}

TEST_F(ConfigSpace, CacheDoorbellSaysInvalid) {
    const std::uint32_t dvsec = cxl::DeviceDvsecOffset;
    EXPECT_EQ(harness.write(Config, dvsec + cxl::dvsec::Control2, std::uint16_t{2}), 0);
    EXPECT_EQ(harness.read32(Config, dvsec + cxl::dvsec::Control2),
              std::uint32_t{cxl::dvsec::CacheInvalid} << 16);
    EXPECT_EQ(harness.device->counters().cache_writebacks, 1U);
    EXPECT_EQ(harness.device->counters().cxl_resets, 0U);
}

TEST_F(ConfigSpace, EveryOpenStartsFromTheSameState) {
    EXPECT_EQ(harness.write(Config, 0x10, 0x80000000U), 0);
    harness.device->closed();
    harness.device->opened(*harness.connection);
    EXPECT_EQ(harness.read32(Config, 0x10), 0xcU);
    EXPECT_EQ(harness.read32(Config, 4) & 0xffffU, 2U) << "memory space on, as the kernel does";
}

/// What lspci makes of the configuration space, compared with a golden file.
TEST_F(ConfigSpace, LspciDecodesItAsTheGoldenFileSays) {
    Bytes space(pci::ConfigSize);
    ASSERT_EQ(value_of(harness.client->read(Config, 0, space)), space.size());
    const std::string dump = ::testing::TempDir() + "cxl-type2-config.txt";
    std::ofstream out(dump);
    out << "00:00.0 device\n";
    for (std::size_t at = 0; at < space.size(); at += 16) {
        out << fmt::format("{:03x}:", at);
        for (std::size_t i = 0; i < 16; ++i) {
            out << fmt::format(" {:02x}", std::to_integer<unsigned>(space[at + i]));
        }
        out << '\n';
    }
    out.close();
    const std::string command = "lspci -n -vvv -F " + dump + " 2>/dev/null";
    FILE *pipe = popen(command.c_str(), "r");
    ASSERT_NE(pipe, nullptr);
    std::string found;
    std::array<char, 4096> buffer = {};
    for (std::size_t got = 0; (got = fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) {
        found.append(buffer.data(), got);
    }
    ASSERT_EQ(pclose(pipe), 0) << "lspci is missing: install pciutils";
    std::remove(dump.c_str());
    const char *golden = std::getenv("TYPE2_GOLDEN_LSPCI");
    ASSERT_NE(golden, nullptr) << "run through meson test";
    std::ifstream in(golden);
    std::string expected;
    for (std::string line; std::getline(in, line);) {
        expected += line.starts_with('#') ? "" : line + "\n"; // the licence line is ours
    }
    EXPECT_EQ(found, expected) << "if the change is meant, put it into " << golden;
}

} // namespace
} // namespace type2::test
