// SPDX-License-Identifier: GPL-2.0-or-later
#include "bench/report.h"

#include <gtest/gtest.h>

using namespace type2::bench;

namespace {

// A report as a run makes it, with numbers that nobody measured.
Report report() {
    Report out;
    out.facts = {"a cpu", 2,     1024, "Linux 6 x86_64", 0.5, "QEMU 10.2", "tcg", "virt",
                 "linux", false, 3};
    const Samples ten = middle({10, 11, 12});
    const Samples times = middle({200, 201, 202});
    for (const std::uint64_t bytes : {16384U, 2097152U}) {
        Piece piece{bytes, {}};
        for (const auto *memory : {"ram", "cxl", "type3"}) {
            piece.memories[memory] = {ten, ten, ten};
        }
        out.guest.pieces.push_back(piece);
    }
    out.guest.pieces[1].memories["type3"] = {std::nullopt, std::nullopt, ten};
    out.guest.ratios = {{"ram", "read", 2097152, middle({0.9, 0.96, 1})},
                        {"type3", "latency", 16384, times}};
    for (auto *samples :
         {&out.guest.register_qemu_ns, &out.guest.register_device_ns,
          &out.guest.register_device_to_qemu, &out.guest.commit_us, &out.guest.uncommit_us,
          &out.hotplug.device_add_ms, &out.hotplug.device_del_ms}) {
        *samples = ten;
    }
    out.guest.sequences = {{"commit", {9, {}}}, {"uncommit", {3, {{"region_read", 1}}}}};
    const std::map<std::string, double> rss = {{"heap and bitmaps", 8}, {"device memory", 0}};
    out.sizes = {{"256M", 1U << 28U, ten, middle({-0.1, 0, 0.1}), middle({40}), rss, 0, 57},
                 {"1T", 1ULL << 40U, ten, middle({0.01, 0.4, 0.5}), middle({60}), rss, 32, 57}};
    return out;
}

} // namespace

TEST(Samples, MiddleOfOddAndEven) {
    EXPECT_EQ(middle({3, 1, 2}).median, 2);
    EXPECT_EQ(middle({4, 1, 2, 3}).median, 2.5);
    EXPECT_EQ(middle({4, 1, 2, 3}).min, 1);
    EXPECT_EQ(middle({4, 1, 2, 3}).max, 4);
    EXPECT_EQ(middle({}).samples, 0U);
}

TEST(Samples, RatiosAreRoundByRound) {
    // Of the medians it would be 2
    const auto ratio = ratios({10, 40, 20}, {10, 10, 20});
    EXPECT_EQ(ratio.median, 1);
    EXPECT_EQ(ratio.max, 4);
}

TEST(Samples, NumbersForPeople) {
    EXPECT_EQ(number(0.95612), "0.956");
    EXPECT_EQ(number(999.0), "999");
    EXPECT_EQ(number(1234567.8), "1,234,568");
    EXPECT_EQ(number(-1234.0), "-1,234");
}

TEST(Facts, KeysAndValuesOfALine) {
    const auto fact = facts("BENCH: memory=cxl round=0 note ok=1");
    EXPECT_EQ(fact.size(), 3U);
    EXPECT_EQ(fact.at("memory"), "cxl");
}

TEST(Report, TargetsAreMetOrNot) {
    const auto rows = targets(report());
    ASSERT_EQ(rows.size(), 5U);
    EXPECT_EQ(rows[0].name, "CXL.mem to RAM, read, 2M, at least");
    EXPECT_TRUE(rows[0].met);
    EXPECT_TRUE(rows[1].met);
    EXPECT_FALSE(rows[2].met) << "a register of the device is only 11 times slower";
    EXPECT_FALSE(rows[3].met) << "0.4 s more for 1 TiB";
    EXPECT_TRUE(rows[4].met);
    auto slow = report();
    slow.guest.ratios[0].ratio = middle({0.949});
    EXPECT_FALSE(targets(slow)[0].met);
}

TEST(Report, TheTableTellsAllOfIt) {
    const auto table = as_table(report());
    for (const auto *text : {"CXL.mem to emulated Type-3, latency, 16K, at least 100", "NOT met",
                             "requests to the device: 1 1 region_read", "read, MB/s, 2M"}) {
        EXPECT_NE(table.find(text), std::string::npos) << text << " in\n" << table;
    }
}
