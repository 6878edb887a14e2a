// SPDX-License-Identifier: GPL-2.0-or-later
#include "checks/commands/rules.h"

#include "base/text.h"

#include <algorithm>
#include <deque>
#include <initializer_list>
#include <string_view>

namespace type2::commands {

namespace {

// Frames: what a page leaves out. @EFI@, @MODEL@ and the like are filled in by PageRun.
constexpr std::string_view Virt = "build/bin/qemu-system-aarch64 -accel tcg -cpu max -m 1G "
                                  "-M virt,cxl=on,cxl-fmw.0.targets.0=cxl.0,cxl-fmw.0.size=256M "
                                  "-bios @EFI@ -nodefaults";
constexpr std::string_view Q35 = "build/bin/qemu-system-x86_64 -accel tcg -m 1G "
                                 "-M q35,cxl=on,cxl-fmw.0.targets.0=cxl.0,cxl-fmw.0.size=256M "
                                 "-nodefaults";
constexpr std::string_view Bridge =
    "-device pxb-cxl,id=cxl.0,bus=pcie.0,bus_nr=12,hdm_for_passthrough=on "
    "-device cxl-rp,id=rp0,bus=cxl.0,chassis=0,slot=0";
constexpr std::string_view Device =
    R"(-device '{"driver":"vfio-user-pci","id":"gpu0","bus":"rp0","socket":)"
    R"({"type":"unix","path":"@MODEL@"}}')";

/// For a page that names the machine itself
constexpr std::string_view NoMachine = "build/bin/qemu-system-aarch64 -cpu max -nodefaults";

/// These parts before the page's, those behind it.
Frame frame(std::initializer_list<std::string_view> before,
            std::initializer_list<std::string_view> after = {}) {
    Frame whole;
    for (const auto part : before) {
        whole.before.append(part).append(" ");
    }
    for (const auto part : after) {
        whole.after.append(" ").append(part);
    }
    return whole;
}

} // namespace

const std::vector<Rule> &rules() {
    using enum Kind;
    // A row is one line, however long:
    // clang-format off
    static const std::vector<Rule> table = {
        // boots
        {"README", R"(make run( [A-Z]+=\S+)*$)", GuestBoot},
        {"README", R"(build/bin/qemu-system-aarch64 -accel tcg .*-kernel)", QemuBoot},

        // hardware: without it and KVM up to QMP
        {".", R"((build/bin/)?qemu-system-(aarch64|x86_64) -accel kvm .*-device vfio-pci)", QemuStart},

        // parts of command lines
        {"vfio-cxl", R"(-object memory-backend-memfd,id=mem0.*vfio-user-pci)", QemuOptions, "",
            frame({NoMachine, "-smp 8 -m 16G -M virt,cxl=on,cxl-fmw.0.targets.0=cxl.0,cxl-fmw.0.size=64G", Bridge})},
        {"vfio-cxl", R"(-device virtio-net-pci)", QemuOptions, "", frame({Virt, Bridge}, {Device})},
        {"series/blocks", R"(-M virt,cxl=on,cxl-fmw.*-device vfio-pci)", QemuOptions, "", frame({NoMachine, "-m 1G"})},
        {"series/blocks", R"(-device .\{"driver":"vfio-user-pci")", QemuOptions, "", frame({Virt, Bridge})},
        {"vfio-cxl", R"(-object memory-backend-memfd.*-numa)", QemuOptions, "",
            frame({NoMachine, "-m 16G -M virt,cxl=on,cxl-fmw.0.targets.0=cxl.0,cxl-fmw.0.size=256M", Bridge}, {Device})},
        {"vfio-cxl", R"(-device cxl-rp,)", QemuOptions, "",
            frame({Virt, "-device pxb-cxl,id=cxl.0,bus=pcie.0,bus_nr=12,hdm_for_passthrough=on"}, {Device})},
        {"vfio-cxl", R"(-object memory-backend-memfd)", QemuOptions, "",
            frame({NoMachine, "-m 16G -M virt,cxl=on,cxl-fmw.0.targets.0=cxl.0,cxl-fmw.0.size=64G", Bridge})},
        {"vfio-cxl", R"(-cpu host,host-phys-bits=on -global q35)", QemuOptions, "", frame({Q35}, {Bridge, Device})},
        {"vfio-cxl", R"(-fw_cfg)", QemuOptions, "", frame({Q35}, {Bridge, Device})},
        {"vfio-cxl", R"(-M virt,)", QemuOptions, "", frame({Virt}, {Bridge, Device})},
        {"vfio-cxl", R"(-M q35,cxl=on,\.\.\.$)", NoCommand, "says which machine the options above go to"},
        {"vfio-cxl", R"(-device intel-iommu)", QemuOptions, "", frame({Q35, "-M kernel-irqchip=split"}, {Bridge, Device})},
        {"vfio-cxl", R"(-M kernel-irqchip=split)", QemuOptions, "", frame({Q35}, {Bridge, Device})},
        {".", R"(-device arm-smmuv3)", QemuOptions, "", frame({Virt, Bridge}, {Device})},
        {".", R"((-accel kvm )?-device vfio-pci$)", NoCommand, "the name of the option"},
        {".", R"(-accel kvm$)", NoCommand, "the name of the option"},
        {".", R"(-trace 'vfio_cxl\*')", QemuOptions, "", frame({Virt, Bridge}, {Device})},

        // the model
        {"README", R"(build/bin/cxl-type2-model --socket .*&$)", ModelStart},
        {"README", R"(kill %1$)", NoCommand, "ends the model that the block has started"},
        {"testing", R"(build/bin/cxl-type2-model --help$)", PrintsAndExits},
        {"testing", R"(build/bin/cxl-type2-ctl PATH COMMAND$)", NoCommand, "the form of the lines below it"},
        {"testing", R"(build/bin/cxl-type2-ctl PATH)", ModelQuestion},
        {"testing", R"(build/bin/cxl-type2-conformance --socket PATH)", ModelClient},

        // preflight
        {".", R"(build/bin/cxl-type2-preflight --sysfs src/\S+ 0000:81:00.0$)", AsItStands},
        {"preflight", R"(build/bin/cxl-type2-preflight 0000:81:00.0 0000:c1)", NoCommand, "the recorded host has one device; src/tests/preflight_test.cpp has two"},
        {"preflight", R"(build/bin/cxl-type2-preflight 0000:)", Preflight},
        {"preflight", R"(build/bin/cxl-type2-preflight --socket PATH)", ModelClient},
        {"preflight", R"(scripts/record-sysfs 0000:)", Recording},
        {"preflight", R"(build/bin/cxl-type2-preflight --sysfs host7)", PreflightOfRecording},

        // make
        {".", R"(make help$)", AsItStands},
        {".", R"(make check( STEPS=.*)?$)", MakeTarget, "it is what runs this"},
        {".", R"(make (refresh|discard)\b)", MakeTarget, "edits the tree; scripts/check/tests/refresh runs it on a tree of its own"},
        {".", R"(make prepare$)", MakeTarget, "edits the tree; scripts/check/tests/prepare runs it on a tree of its own"},
        {".", R"(make series$)", MakeTarget, "another step of make check does the same, and both would want one lock"},
        {".", R"(make series-(check|build|qemu-check)$)", MakeTarget, "compiles all of QEMU, once or for each patch"},
        {".", R"(make rebase QEMU_SRC=)", MakeTarget, "wants another QEMU; scripts/check/tests/series runs it on a small tree"},
        {".", R"(make check-asan$)", MakeTarget, "compiles QEMU once more"},
        {".", R"(make fuzz SECONDS=)", MakeTarget, "runs for an hour; another step of make check runs each for 10 s"},
        {"(testing|architecture)", R"(make run( KVM=1.*)?$)", MakeTarget, "boots a nested host; other steps of make check do"},
        {".", R"(make (check-)?nested)", MakeTarget, "other steps of make check run it"},
        {"testbed", R"(scripts/nested/run live (window|kvm)$)", Script, "other steps of make check run it"},
        {".", R"(make bench( [A-Z]+=\S+)*$)", MakeTarget, "takes minutes; another step of make check runs the least of it"},
        {".", R"(make (install PREFIX=\S+|install|deb)$)", MakeTarget, "another step of make check packs, installs and uses it"},
        {"README", R"(apt-get install \./build/deb/)", NoCommand, "another step of make check installs them, in a Debian of its own"},
        {".", R"(make qemu$)", MakeTarget, "everything here needs what it makes"},

        // scripts and tools
        {".", R"(scripts/[a-z]+/(tests/)?$)", NoCommand, "a folder"},
        {".", R"(scripts/check/check --list$)", PrintsAndExits},
        {".", R"(scripts/qemu/build-arm64$)", Script, "the nested hosts for arm64 need what it makes"},
        {".", R"(scripts/lib/model\.sh$)", NoCommand, "a file that scripts read"},
        {".", R"(scripts/record-sysfs$)", Script, "a line of docs/preflight.md runs it"},
        {".", R"(scripts/series/series check$)", Script, "another step of make check runs it"},
        {".", R"(build/bin/cxl-type2-bench$)", Script, "make bench calls it, and takes minutes"},
        {".", R"(build/cpp/check-commands --list$)", PrintsAndExits},
        {".", R"(build/cpp/check-)", ScriptOfAStep, "it is a step of make check"},
        {".", R"(scripts/check/conformance-table$)", Script, "wants the output of the steps nested-*"},
        {"testing", R"(scripts/check/fuzz --pack TARGET$)", Script, "writes an archive of inputs that is tracked"},
        {".", R"(scripts/diagrams$)", Script, "scripts/check/docs runs it"},
        {".", R"(scripts/(check/(tests/)?[a-z]|nested/[a-z]))", ScriptOfAStep, "it is a step of make check"},
    };
    // clang-format on
    return table;
}

const std::vector<Picture> &pictures() {
    static const std::vector<Picture> table = {
        {"outer QEMU (this project", "the nested host, drawn"},
        {"guest            ld  x0", "the ways of accesses, drawn"},
        {"PASS: ", "the last line of make run"},
        {"cgroup_device_acl", "for a configuration file of libvirt"},
        {"/dev/iommu rw", "for AppArmor's"},
    };
    return table;
}

const Rule *rule_for(const Shown &shown) {
    struct Expressions {
        explicit Expressions(const Rule &rule) : page(rule.page), command(rule.command) {}
        RE2 page;
        RE2 command;
    };
    // A deque: an expression does not move.
    static const std::deque<Expressions> table(rules().begin(), rules().end());
    static const Rule monitor = {".", "", Kind::MonitorQuestion, "",
                                 frame({Virt}, {Bridge, Device})};

    if (shown.text.starts_with("(qemu) ")) {
        return &monitor;
    }
    const auto found = std::find_if(table.begin(), table.end(), [&](const Expressions &rule) {
        return RE2::PartialMatch(shown.page, rule.page) && fits(rule.command, shown.text);
    });
    return found == table.end() ? nullptr
                                : &rules()[static_cast<std::size_t>(found - table.begin())];
}

const Picture *picture_for(const Shown &shown) {
    const auto found =
        std::find_if(pictures().begin(), pictures().end(), [&](const Picture &picture) {
            return shown.beginning.starts_with(picture.beginning);
        });
    return found == pictures().end() ? nullptr : &*found;
}

} // namespace type2::commands
