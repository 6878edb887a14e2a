// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/harness.h"

#include <nlohmann/json.hpp>

namespace type2::test {
namespace {

using device::validate;

TEST(Control, PokeIsSeenByTheClientAndItsWritesByPeek) {
    Harness harness;
    EXPECT_EQ(harness.control("poke 0x1000 0011aaFF"), "ok");
    EXPECT_EQ(harness.read32(9, 0x1000), 0xffaa1100U);
    EXPECT_EQ(harness.write(9, 4, 0x01020304U), 0);
    EXPECT_EQ(harness.control("peek 4 4"), "04030201");
    EXPECT_EQ(harness.control("  peek\t4  4 \r"), "04030201");
}

TEST(Control, WrongCommandsAreAnsweredWithErrorsAndChangeNothing) {
    Harness harness;
    for (const char *line : {"",
                             "   ",
                             "peek",
                             "peek 1",
                             "peek 1 2 3",
                             "peek x 1",
                             "peek 0 x",
                             "peek 256M 1",
                             "peek 0xfffffff 2",
                             "peek 0 2M",
                             "poke 0 0",
                             "poke 0 zz",
                             "poke 256M 00",
                             "poke 0xffffffffffffffff 00",
                             "state 1",
                             "maps 1",
                             "irq 8",
                             "irq -1",
                             "nonsense",
                             "peek -1 1"}) {
        EXPECT_EQ(harness.control(line).substr(0, 7), "error: ") << line;
    }
    EXPECT_EQ(harness.control("peek 0 4"), "00000000");
    EXPECT_EQ(harness.control("peek 0xffffffc 4"), "00000000");
}

TEST(Control, BusyDeviceDoesNotAnswerForItsMemory) {
    Harness harness;
    EXPECT_EQ(harness.control("busy 1"), "ok");
    EXPECT_EQ(harness.read_code(9, 0, 4), EIO);
    EXPECT_EQ(harness.control("busy 2").substr(0, 7), "error: ");
    EXPECT_EQ(harness.control("busy 0"), "ok");
    EXPECT_EQ(harness.read32(9, 0), 0U);
}

TEST(Control, StateTellsDecodersResetsAndMappings) {
    Harness harness;
    EXPECT_EQ(code_of(harness.client->reset()), 0);
    EXPECT_EQ(code_of(harness.client->map_dma(0x1000, 0x1000, 0, -1)), 0);
    const auto state = nlohmann::json::parse(harness.control("state"));
    EXPECT_EQ(state["contract"], "live");
    EXPECT_EQ(state["decoders"].size(), 1U);
    EXPECT_EQ(state["decoders"][0]["base"], 0x424240000000U);
    EXPECT_EQ(state["decoders"][0]["locked"], true);
    EXPECT_EQ(state["decoders"][0]["skip"], 0U);
    EXPECT_EQ(state["resets"]["device"], 1);
    EXPECT_EQ(state["resets"]["total"], 1);
    EXPECT_EQ(state["dma_maps"], 1);
    EXPECT_EQ(state["memory_enabled"], true);
}

TEST(Control, LogTellsMessagesOnce) {
    Harness harness;
    harness.control("log");
    harness.read32(7, 0);
    EXPECT_EQ(harness.read_code(10, 1, 4), EINVAL);
    const auto log = nlohmann::json::parse(harness.control("log"));
    ASSERT_EQ(log.size(), 2U);
    EXPECT_EQ(log[0]["command"], "REGION_READ");
    EXPECT_EQ(log[0]["region"], 7);
    EXPECT_EQ(log[0]["value"], 0xc2a11234U);
    EXPECT_EQ(log[1]["error"], EINVAL);
    EXPECT_EQ(harness.control("log"), "[]");
}

TEST(Options, NonsenseIsRefusedByOptionAndValue) {
    const auto text = [](auto change, bool hdm_given = true, bool decoder_given = false) {
        device::Config config;
        change(config);
        const auto result = validate(config, hdm_given, decoder_given);
        return result ? std::string("accepted") : result.error().text;
    };
    using C = device::Config;
    EXPECT_EQ(text([](C &c) { c.hdm_size = 100 * MiB; }),
              "--hdm-size 100M: must be a multiple of 256M from 256M to 64T");
    EXPECT_EQ(text([](C &c) { c.hdm_size = 0; }).substr(0, 13), "--hdm-size 0:");
    EXPECT_EQ(text([](C &c) { c.hdm_size = 1ULL << 63; }).substr(0, 19), "--hdm-size 8388608T");
    EXPECT_EQ(text([](C &c) { c.decoders = 3; }),
              "--decoders 3: a CXL device can have 1, 2, 4, 6, 8 or 10");
    EXPECT_EQ(text([](C &c) { c.bar_size = 128 * KiB; }),
              "--bar-size 128K: must be a power of two from 256K to 1T");
    EXPECT_EQ(text([](C &c) { c.bar_size = 3 * MiB; }).substr(0, 14), "--bar-size 3M:");
    EXPECT_EQ(text([](C &c) { c.page_size = 16 * KiB; }), "--page-size 16K: must be 4K or 64K");
    EXPECT_EQ(text([](C &c) { c.host_base = 4096; }).substr(0, 19), "--host-base 0x1000:");
    EXPECT_EQ(text([](C &c) { c.host_base = (1ULL << 52) - 256 * MiB; }), "accepted");
    EXPECT_NE(text([](C &c) { c.host_base = 1ULL << 52; }), "accepted");
    EXPECT_NE(text([](C &c) { c.decoders = 2; }), "accepted") << "256M does not divide";
    EXPECT_EQ(text([](C &c) { c.decoders = 2; }, false), "accepted") << "the default grows";
    EXPECT_EQ(text([](C &c) { c.decoder_size = 512 * MiB; }, false, true), "accepted");
    EXPECT_NE(text([](C &c) { c.decoder_size = 512 * MiB; }, true, true), "accepted")
        << "the two sizes disagree";
    EXPECT_NE(text(
                  [](C &c) {
                      c.decoder_size = 1ULL << 63;
                      c.decoders = 2;
                  },
                  false, true),
              "accepted");
}

TEST(Options, SkippedMemoryIsPartOfTheRegion) {
    const auto checked = [](auto change, bool hdm_given = false, bool decoder_given = false) {
        device::Config config;
        config.decoders = 2;
        config.decoder_skip = 512 * MiB;
        change(config);
        return validate(config, hdm_given, decoder_given);
    };
    using C = device::Config;
    using device::ContractKind;
    // Live's region begins behind what decoder 0 skips.
    EXPECT_EQ(value_of(checked([](C &) {})).hdm_size, 1 * GiB);
    EXPECT_EQ(value_of(checked([](C &c) { c.contract = ContractKind::Shadow; })).hdm_size,
              1 * GiB + 512 * MiB);
    EXPECT_EQ(value_of(checked([](C &c) { c.decoder_size = 1 * GiB; }, false, true)).hdm_size,
              2 * GiB + 512 * MiB);
    EXPECT_EQ(value_of(checked([](C &c) { c.hdm_size = 1 * GiB; }, true)).decoder_size, 256 * MiB);
    const auto text = [&](auto change, bool hdm_given = false, bool decoder_given = false) {
        const auto result = checked(change, hdm_given, decoder_given);
        return result ? std::string("accepted") : result.error().text;
    };
    EXPECT_EQ(text([](C &c) { c.decoder_skip = 1 * MiB; }),
              "--decoder-skip 1M: must be a multiple of 256M up to 64T");
    EXPECT_EQ(text([](C &c) { c.decoder_skip = 1ULL << 63; }).substr(0, 14), "--decoder-skip");
    EXPECT_EQ(text([](C &c) { c.hdm_size = 512 * MiB; }, true),
              "--hdm-size 512M: 2 decoders leave out 512M (--decoder-skip), so nothing is left to "
              "decode");
    EXPECT_EQ(text([](C &c) { c.hdm_size = 1280 * MiB; }, true),
              "--hdm-size 1280M: must divide into 2 decoders (--decoders) of a multiple of 256M "
              "each, without what --decoder-skip leaves out");
    EXPECT_EQ(text(
                  [](C &c) {
                      c.hdm_size = 1 * GiB;
                      c.decoder_size = 512 * MiB;
                  },
                  true, true),
              "--hdm-size 1G: 2 decoders of --decoder-size 512M and what --decoder-skip leaves out "
              "make 1536M; give one of the two options, or sizes that agree");
}

TEST(Sizes, AreReadAndWritten) {
    EXPECT_EQ(value_of(parse_size("256M")), 256 * MiB);
    EXPECT_EQ(value_of(parse_size("0x10k")), 16 * KiB);
    EXPECT_EQ(value_of(parse_size("1T")), 1ULL << 40);
    EXPECT_EQ(value_of(parse_size("17")), 17U);
    for (const char *bad :
         {"", "M", "1X", "1MM", "-1", "0x", "99999999999999999999", "16777216T"}) {
        EXPECT_EQ(code_of(parse_size(bad)), EINVAL) << bad;
    }
    EXPECT_EQ(format_size(256 * MiB), "256M");
    EXPECT_EQ(format_size(4100), "4100");
    EXPECT_EQ(format_size(0), "0");
}

TEST(HugeDevice, CostsNothingUntilItIsTouched) {
    device::Config config;
    config.hdm_size = 1ULL << 40;
    Harness harness(valid(config));
    EXPECT_EQ(harness.control("poke 0xfffffffff0 0102"), "ok");
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_EQ(code_of(harness.client->reset()), 0);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(1));
    EXPECT_EQ(harness.control("peek 0xfffffffff0 2"), "0000");
}

} // namespace
} // namespace type2::test
