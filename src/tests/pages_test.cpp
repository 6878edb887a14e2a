// SPDX-License-Identifier: GPL-2.0-or-later
// What is read out of a page as a command.
#include "checks/commands/pages.h"

#include <gtest/gtest.h>

namespace type2::commands {
namespace {

using Texts = std::vector<std::string>;

Texts texts_of(std::string_view page, Markup markup = Markup::Markdown) {
    Texts texts;
    for (const auto &shown : commands_of(page, "page", markup)) {
        texts.push_back(shown.text);
    }
    return texts;
}

TEST(Pages, FencedBlockIsRead) {
    EXPECT_EQ(texts_of("text\n```sh\nmake one\nmake two\n```\ntext\n"),
              (Texts{"make one", "make two"}));
}

TEST(Pages, IndentedBlockIsReadToItsLastLine) {
    EXPECT_EQ(texts_of("text\n\n    one\n\n    two\n\ntext\n\n    three\n"),
              (Texts{"one", "two", "three"}));
}

TEST(Pages, ParagraphOfAListItemIsNoBlock) {
    EXPECT_EQ(texts_of("* item\n\n  its second paragraph\n"), Texts{});
}

TEST(Pages, ContinuedLinesAreJoinedAndCommentsDropped) {
    EXPECT_EQ(texts_of("\n    qemu -m 1G \\\n      -M virt   # a machine\n    # nothing else\n"
                       "    echo a#b\n"),
              (Texts{"qemu -m 1G -M virt", "echo a#b"}));
}

TEST(Pages, BlockOfCommentsHasNoCommand) {
    EXPECT_EQ(texts_of("\n    # later\n"), Texts{});
}

TEST(Pages, OptionsOfABlockAreOneCommand) {
    EXPECT_EQ(texts_of("\n    -object one\n    -device two\n"), (Texts{"-object one -device two"}));
}

TEST(Pages, EachQuestionAtAMonitorHasItsAnswer) {
    EXPECT_EQ(texts_of("\n    (qemu) info mtree\n    memory\n    (qemu) info qtree\n    bus\n"),
              (Texts{"(qemu) info mtree memory", "(qemu) info qtree bus"}));
}

TEST(Pages, ReStructuredTextAnnouncesABlock) {
    EXPECT_EQ(texts_of("Do::\n\n  make one\n\nand\n\n  a quotation\n\n.. note::\n\n  text\n",
                       Markup::ReStructuredText),
              Texts{"make one"});
}

TEST(Pages, WordsOfTheTextAreReadIfTheyLookLikeACommand) {
    EXPECT_EQ(
        texts_of("`make` runs `make check`, or `scripts/check/check\n--list`, with `-m 1G`\n"
                 "or `-M virt`, `build/cpp/check-commands`, `hw/vfio/cxl.c`.\n"),
        (Texts{"make check", "scripts/check/check --list", "-M virt", "build/cpp/check-commands"}));
    EXPECT_EQ(texts_of("``make check`` and `make check`", Markup::ReStructuredText),
              Texts{"make check"});
}

TEST(Pages, LinesAreThoseOfThePage) {
    const auto found =
        commands_of("one\n\n    make two\n    make three\n\nsix `make six`\n```\nmake eight\n```\n"
                    "ten `make ten`\n",
                    "README.md", Markup::Markdown);
    ASSERT_EQ(found.size(), 5U);
    EXPECT_EQ(found[0].page, "README.md");
    EXPECT_EQ(found[0].line, 3U);
    EXPECT_EQ(found[1].line, 3U);
    EXPECT_EQ(found[1].beginning, "make two");
    EXPECT_EQ(found[2].line, 8U);
    EXPECT_EQ(found[3].line, 6U);
    EXPECT_EQ(found[3].beginning, "");
    EXPECT_EQ(found[4].line, 10U);
}

} // namespace
} // namespace type2::commands
