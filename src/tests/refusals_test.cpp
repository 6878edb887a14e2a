// SPDX-License-Identifier: GPL-2.0-or-later
// What is read out of C sources and the manual, and when a text is what a format prints. Whole
// checkouts are the matter of scripts/check/tests/refusals.
#include "checks/refusals/c_source.h"
#include "checks/refusals/format.h"
#include "checks/refusals/manual.h"

#include <gtest/gtest.h>

namespace type2::refusals {
namespace {

TEST(CSource, CommentsGoAndLinesStay) {
    EXPECT_EQ(without_comments("a /* \"b\"\n c */ d\n/**/e"), "a \n d\ne");
}

TEST(CSource, LiteralsAndMacrosAreJoined) {
    const std::string_view source = R"(VFIO_MSG_PREFIX "at 0x%" PRIx64
        " of 0x%" HWADDR_PRIx ", \"%u\"\n", x)";
    const auto literal = literal_at(source, 0);
    EXPECT_EQ(literal.text, R"(vfio %s: at 0x%x of 0x%x, "%u")");
    EXPECT_EQ(source.substr(literal.end), ", x");
}

TEST(CSource, NothingIsThere) {
    EXPECT_EQ(literal_at("text", 0).text, "");
    EXPECT_EQ(literal_at("text", 0).end, 0U);
}

TEST(CSource, AllLiterals) {
    EXPECT_EQ(literals(R"(f("one", "two" "three"); g("four"))"),
              (std::vector<std::string>{"one", "twothree", "four"}));
}

TEST(CSource, RefusalsAndWarnings) {
    const auto said = refusals_in("error_setg(errp, \"no %s\", x);\nmy_error_setg(\"not this\");\n"
                                  "warn_report(VFIO_MSG_PREFIX \"odd\", name);\n");
    ASSERT_EQ(said.size(), 2U);
    EXPECT_EQ(said[0].call, "error_setg");
    EXPECT_EQ(said[0].format, "no %s");
    EXPECT_EQ(said[1].format, "vfio %s: odd");
}

TEST(CSource, EntriesOfATableThatHaveBoth) {
    const auto tests = table_tests("x[] = {\n { .name = \"one\", .text = \"says \" \"so\" },\n"
                                   " { .name = \"two\", .fault = \"f\" },\n"
                                   " { .name = \"three\",\n .text = \"more\" },\n};\n"
                                   ".text = \"outside\"");
    EXPECT_EQ(tests, (std::map<std::string, std::string>{{"one", "says so"}, {"three", "more"}}));
}

TEST(Manual, RowsOfThreeCells) {
    const auto rows =
        rows_of(".. list-table:: Refused\n   :header-rows: 1\n\n"
                "   * - Configuration\n     - Message\n     - Test\n"
                "   * - a window\n       too small\n     - ``no\n       room``\n"
                "     - ``refuse/small``\n"
                "   * - two\n     - cells\n\nText\n   * - no\n     - table\n     - x\n");
    ASSERT_EQ(rows.size(), 1U);
    EXPECT_EQ(rows[0].configuration, "a window too small");
    EXPECT_EQ(rows[0].message, "no room");
    EXPECT_EQ(rows[0].test, "refuse/small");
}

TEST(Format, PrintsWhatItSays) {
    EXPECT_TRUE(Format("BAR %d: 0x%016x (%s)").prints("BAR 2: 0x0000000000001000 (ok)"));
    EXPECT_FALSE(Format("BAR %d: ok").prints("BAR : ok")) << "something stands for a conversion";
    EXPECT_FALSE(Format("a.b").prints("axb")) << "it is no expression";
    EXPECT_FALSE(Format("no room").prints("no room left"));
    EXPECT_TRUE(Format("vfio %s: no room").prints("no room")) << "the device's name is left out";
}

TEST(Format, AnErrnoMayFollow) {
    EXPECT_TRUE(Format("cannot open").prints("cannot open: Permission denied"));
    EXPECT_TRUE(Format("cannot open: ").prints("cannot open: Permission denied"));
    EXPECT_FALSE(Format("cannot open: ").prints("cannot open: "));
}

TEST(Format, ConversionsAloneAreNoWords) {
    EXPECT_FALSE(Format(" %s %u ").has_words());
    EXPECT_TRUE(Format("BAR %u").has_words());
}

} // namespace
} // namespace type2::refusals
