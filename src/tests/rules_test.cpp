// SPDX-License-Identifier: GPL-2.0-or-later
// The table of what is done with a command, and what stands in for what.
#include "checks/commands/rules.h"
#include "checks/commands/stand_ins.h"

#include <gtest/gtest.h>
#include <re2/re2.h>

namespace type2::commands {
namespace {

const Rule *rule(const std::string &page, const std::string &text) {
    return rule_for({page, 1, text, text});
}

TEST(Rules, ExpressionsAreValid) {
    for (const auto &entry : rules()) {
        EXPECT_TRUE(RE2(entry.page).ok()) << entry.page;
        EXPECT_TRUE(RE2(entry.command).ok()) << entry.command;
    }
}

TEST(Rules, WhatIsNotRunHasItsReasonAndNothingElseHasOne) {
    for (const auto &entry : rules()) {
        const auto does = description_of(entry.kind);
        const bool wants_one = does.ends_with(" for") || does.ends_with(":");
        EXPECT_EQ(!entry.reason.empty(), wants_one) << entry.command;
    }
}

TEST(Rules, UnknownCommandHasNone) {
    EXPECT_EQ(rule("README.md", "make coffee"), nullptr);
    EXPECT_EQ(rule("docs/other.md", "make run"), nullptr) << "the page counts";
    EXPECT_EQ(rule("README.md", "sudo make help"), nullptr) << "the beginning counts";
}

TEST(Rules, TheFirstThatFitsHolds) {
    ASSERT_NE(rule("docs/testing.md", "build/bin/cxl-type2-ctl PATH COMMAND"), nullptr);
    EXPECT_EQ(rule("docs/testing.md", "build/bin/cxl-type2-ctl PATH COMMAND")->kind,
              Kind::NoCommand);
    EXPECT_EQ(rule("docs/testing.md", "build/bin/cxl-type2-ctl PATH state")->kind,
              Kind::ModelQuestion);
}

TEST(Rules, MonitorsAreAskedOnAnyPage) {
    ASSERT_NE(rule("docs/new.md", "(qemu) info status"), nullptr);
    EXPECT_EQ(rule("docs/new.md", "(qemu) info status")->kind, Kind::MonitorQuestion);
}

TEST(Rules, PicturesAreKnownByTheirBeginning) {
    EXPECT_NE(picture_for({"p", 1, "}", "cgroup_device_acl = ["}), nullptr);
    EXPECT_EQ(picture_for({"p", 1, "make check", "make check"}), nullptr);
    EXPECT_EQ(picture_for({"p", 1, "make check", ""}), nullptr);
}

TEST(StandIns, KvmAndTheDevice) {
    EXPECT_EQ(with_stand_ins("qemu-system-aarch64 -accel kvm -cpu host -smp 8 "
                             "-device vfio-pci,id=gpu0,host=0000:81:00.0,bus=rp0 ..."),
              "build/bin/qemu-system-aarch64 -accel tcg -cpu max -smp 8 "
              R"(-device '{"driver":"vfio-user-pci","id":"gpu0","bus":"rp0",)"
              R"("socket":{"type":"unix","path":"@MODEL@"}}' )" +
                  std::string(" "));
    EXPECT_EQ(with_stand_ins("-cpu host,host-phys-bits=on"), "-cpu max,phys-bits=46");
}

TEST(StandIns, FilesOfTheReader) {
    EXPECT_EQ(with_stand_ins("-bios QEMU_EFI.fd -drive file=guest.img,format=raw"),
              "-bios @EFI@ -drive file=@DISK@,format=raw");
    EXPECT_EQ(with_stand_ins(R"({"path":"/run/gpu0.sock"})"), R"({"path":"@MODEL@"})");
}

TEST(StandIns, WhatIsThereStays) {
    const std::string line =
        "build/bin/qemu-system-aarch64 -bios build/guest/firmware/QEMU_EFI.fd -cpu max";
    EXPECT_EQ(with_stand_ins(line), line);
}

} // namespace
} // namespace type2::commands
