// SPDX-License-Identifier: GPL-2.0-or-later
// Every check of the preflight, going well and going badly: on a recorded tree of a host that is
// ready, in which one thing at a time is broken, and on the model with one fault at a time.
#include "base/text.h"
#include "cxl/dvsec.h"
#include "model/faults/faults.h"
#include "pci/address.h"
#include "preflight/address_space.h"
#include "preflight/command_line.h"
#include "preflight/contract.h"
#include "preflight/print.h"
#include "preflight/sysfs.h"
#include "tests/harness.h"
#include "vfio/target.h"

#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

namespace type2::test {
namespace {

namespace fs = std::filesystem;
using namespace preflight;
using device::ContractKind;

constexpr const char *Address = "0000:81:00.0";
constexpr Wish Guest = {16 * GiB, 8};

/// Of a device, or of the host.
const Check &find(const Report &report, const std::string &id, std::size_t device = 0) {
    for (const auto *checks : {&report.devices.at(device), &report.host}) {
        for (const auto &check : *checks) {
            if (check.id == id) {
                return check;
            }
        }
    }
    static const Check none;
    ADD_FAILURE() << "no check is called " << id;
    return none;
}

std::string told(const Report &report, const std::string &id) {
    const auto &check = find(report, id);
    return std::string(status_name(check.status)) + ": " + check.found + " | " + check.advice;
}

bool contains(const std::string &text, const std::string &part) {
    return text.find(part) != std::string::npos;
}

/// Expects that check `id` has a status, and says something to the user.
void expect(const Report &report, const std::string &id, Status status, const std::string &found) {
    EXPECT_EQ(find(report, id).status, status) << told(report, id);
    EXPECT_NE(find(report, id).found.find(found), std::string::npos) << told(report, id);
    const bool act = status == Status::Failed || status == Status::Warning;
    EXPECT_EQ(!find(report, id).advice.empty(), act) << told(report, id);
}

std::vector<std::string> with_status(const Report &report, Status status) {
    std::vector<std::string> ids;
    for (const auto *checks : {&report.devices.at(0), &report.host}) {
        for (const auto &check : *checks) {
            if (check.status == status) {
                ids.push_back(check.id);
            }
        }
    }
    return ids;
}

// ---- a host, as sysfs shows it ----

/// A copy of a recorded host, to be broken.
class Tree : public ::testing::Test {
  protected:
    void SetUp() override {
        const char *trees = std::getenv("TYPE2_HOST_TREES");
        ASSERT_NE(trees, nullptr) << "TYPE2_HOST_TREES names the recorded hosts, laid out";
        std::string name = (fs::temp_directory_path() / "preflight.XXXXXX").string();
        ASSERT_NE(mkdtemp(name.data()), nullptr);
        root_ = name;
        fs::copy(fs::path(trees) / recorded_, root_,
                 fs::copy_options::recursive | fs::copy_options::copy_symlinks);
    }
    void TearDown() override {
        if (!root_.empty()) {
            fs::remove_all(root_);
        }
    }

    fs::path device(const std::string &file, const char *address = Address) const {
        return root_ / "sys/bus/pci/devices" / address / file;
    }
    static void write(const fs::path &path, const std::string &text) {
        fs::create_directories(path.parent_path());
        std::ofstream(path) << text;
    }
    static void link(const fs::path &path, const std::string &target) {
        fs::create_directories(path.parent_path());
        fs::remove(path);
        fs::create_symlink(target, path);
    }
    void poke(std::uint32_t offset, const std::string &bytes) const {
        std::fstream file(device("config"), std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(offset);
        file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
        ASSERT_TRUE(file.good());
    }
    /// A further function in the device's IOMMU group.
    void neighbour(const char *address, const char *pci_class, const char *driver) const {
        write(device("class", address), pci_class);
        if (driver != nullptr) {
            link(device("driver", address), driver);
        }
        link(root_ / "sys/kernel/iommu_groups/17/devices" / address, "somewhere");
    }

    Facts facts(const std::string &arch = "x86_64",
                const std::vector<std::string> &addresses = {Address}) const {
        const Sysfs sysfs((root_ / "sys").string());
        EXPECT_FALSE(sysfs.is_live());
        Facts facts;
        facts.host = sysfs.host(arch);
        for (const auto &address : addresses) {
            DeviceFacts device;
            device.address = address;
            device.pci = value_of(sysfs.pci(address));
            device.binding = sysfs.binding(address);
            device.vfio_absent = "a recorded tree";
            facts.devices.push_back(std::move(device));
        }
        return facts;
    }
    Report report(const std::string &arch = "x86_64") const { return judge(facts(arch), Guest); }

    std::string recorded_ = "ready";
    fs::path root_;
};

TEST_F(Tree, AHostThatIsReadyPassesEverythingThatCanBeLookedAt) {
    const auto all = report();
    EXPECT_EQ(with_status(all, Status::Ok),
              (std::vector<std::string>{
                  "pci-class", "cxl-dvsec", "component-registers", "memory-ranges", "driver",
                  "iommu-group", "reserved-regions", "vfio-node", "memory-owner", "memory-type",
                  "address-bits", "large-bars", "huge-pages"}));
    EXPECT_EQ(all.count(Status::Failed) + all.count(Status::Warning), 0U);
    EXPECT_TRUE(all.ready());
    EXPECT_EQ(all.plan.windows, 64 * GiB);
    expect(all, "driver", Status::Ok, "vfio-pci");
    expect(all, "iommu-group", Status::Ok, "17, the device alone");
    expect(all, "vfio-node", Status::Ok, "/dev/vfio/17");
    expect(all, "huge-pages", Status::Ok, "pages of 1G");
    expect(all, "vfio-device", Status::Skipped, "recorded");
}

TEST_F(Tree, NoSuchDevice) {
    const Sysfs sysfs((root_ / "sys").string());
    EXPECT_EQ(code_of(sysfs.pci("0000:82:00.0")), ENOENT);
}

TEST_F(Tree, Bridge) {
    poke(0x09, std::string("\x00\x04\x06", 3));
    poke(0x0e, "\x01");
    expect(report(), "pci-class", Status::Failed, "class 0x060400, a bridge");
}

TEST_F(Tree, MemoryExpander) {
    poke(0x09, std::string("\x10\x02\x05", 3));
    poke(cxl::DeviceDvsecOffset + cxl::dvsec::Capability, "\xde");
    expect(report(), "pci-class", Status::Failed, "Type 3");
}

TEST_F(Tree, NoCxlDvsec) {
    poke(cxl::DeviceDvsecOffset + 8, "\x77");
    const auto all = report();
    expect(all, "cxl-dvsec", Status::Failed, "no CXL Device DVSEC");
    expect(all, "memory-ranges", Status::Skipped, "");
    EXPECT_FALSE(all.ready());
    EXPECT_FALSE(all.has_advice());
}

TEST_F(Tree, ADvsecChainThatLoopsEnds) {
    // The first capability points at itself and is none of ours.
    poke(cxl::DeviceDvsecOffset, std::string("\x23\x00\x01\x10", 4));
    poke(cxl::DeviceDvsecOffset + 8, "\x77");
    expect(report(), "cxl-dvsec", Status::Failed, "no CXL Device DVSEC");
}

TEST_F(Tree, NotRoot) {
    fs::resize_file(device("config"), 64);
    const auto all = report();
    expect(all, "cxl-dvsec", Status::Failed, "only 64 bytes");
    expect(all, "component-registers", Status::Skipped, "");
}

TEST_F(Tree, NotCapableOfMemory) {
    poke(cxl::DeviceDvsecOffset + cxl::dvsec::Capability, "\xdb");
    expect(report(), "cxl-dvsec", Status::Failed, "not CXL.mem capable");
}

TEST_F(Tree, NotCapableOfCache) {
    poke(cxl::DeviceDvsecOffset + cxl::dvsec::Capability, "\xde");
    expect(report(), "cxl-dvsec", Status::Warning, "without CXL.cache");
}

constexpr std::uint32_t Locator = 0x140; // of the recorded device

TEST_F(Tree, NoComponentRegisters) {
    poke(Locator + 0xd, "\x03");
    expect(report(), "component-registers", Status::Failed, "no component registers");
}

TEST_F(Tree, ComponentRegistersInABarThatDoesNotExist) {
    poke(Locator + 0xc, "\x06");
    expect(report(), "component-registers", Status::Failed, "BAR 6");
}

TEST_F(Tree, ComponentRegistersBeyondTheirBar) {
    poke(Locator + 0xf, "\x02");
    expect(report(), "component-registers", Status::Failed, "beyond the BAR's 16M");
}

TEST_F(Tree, BarWithoutAddress) {
    write(device("resource"), "0x0000000000000000 0x0000000000ffffff 0x000000000014220c\n");
    expect(report(), "component-registers", Status::Failed, "no address");
    fs::remove(device("resource"));
    expect(report(), "component-registers", Status::Skipped, "not recorded");
}

TEST_F(Tree, MemoryThatIsNotInitialised) {
    poke(cxl::DeviceDvsecOffset + cxl::dvsec::Range1SizeLow, std::string("\x01", 1));
    expect(report(), "memory-ranges", Status::Failed, "not active yet");
    poke(pci::reg::Command, std::string("\x00", 1));
    expect(report(), "memory-ranges", Status::Ok, "not active while memory space is off");
    write(device("power_state"), "D3hot\n");
    expect(report(), "memory-ranges", Status::Ok, "not active in D3");
    poke(cxl::DeviceDvsecOffset + cxl::dvsec::Range1SizeLow, std::string("\x00", 1));
    expect(report(), "memory-ranges", Status::Failed, "size not valid yet");
}

TEST_F(Tree, MemoryThatFirmwareDidNotEnable) {
    poke(cxl::DeviceDvsecOffset + cxl::dvsec::Control, std::string("\x03", 1));
    const auto all = report();
    expect(all, "memory-ranges", Status::Warning, "64G; CXL.mem not enabled");
    EXPECT_TRUE(all.ready());
}

TEST_F(Tree, NoDriver) {
    fs::remove(device("driver"));
    fs::remove_all(device("vfio-dev"));
    const auto all = report();
    expect(all, "driver", Status::Failed, "none");
    EXPECT_NE(find(all, "driver").advice.find("0000:81:00.0/driver_override"), std::string::npos);
}

TEST_F(Tree, TheHostsOwnDriver) {
    link(device("driver"), "gpu");
    fs::remove_all(device("vfio-dev"));
    const auto all = report();
    expect(all, "driver", Status::Failed, "gpu");
    EXPECT_NE(find(all, "driver").advice.find("drivers/gpu/unbind"), std::string::npos);
}

TEST_F(Tree, AVariantDriver) {
    link(device("driver"), "vendor-cxl-vfio-pci");
    expect(report(), "driver", Status::Ok, "vendor-cxl-vfio-pci");
    link(device("driver"), "some_name_of_its_own");
    expect(report(), "driver", Status::Ok, "some_name_of_its_own");
}

TEST_F(Tree, NoIommu) {
    fs::remove(device("iommu_group"));
    expect(report(), "iommu-group", Status::Failed, "none");
}

TEST_F(Tree, GroupSharedWithADeviceThatTheHostUses) {
    neighbour("0000:81:00.1", "0x020000\n", "ixgbe");
    expect(report(), "iommu-group", Status::Failed, "shared with 0000:81:00.1 (driver ixgbe)");
}

TEST_F(Tree, GroupSharedWithDevicesThatNobodyUses) {
    neighbour("0000:81:00.1", "0x020000\n", "vfio-pci");
    neighbour("0000:81:00.2", "0x020000\n", nullptr);
    expect(report(), "iommu-group", Status::Warning, "shared with 2 more");
}

TEST_F(Tree, DeviceFiles) {
    // Without iommufd, what the group needs is needed.
    fs::remove(root_ / "dev/iommu");
    expect(report(), "vfio-node", Status::Ok, "/dev/vfio/17");
    fs::remove(root_ / "dev/vfio/vfio");
    expect(report(), "vfio-node", Status::Failed, "/dev/vfio/vfio is missing");
    fs::remove(root_ / "dev/vfio/17");
    expect(report(), "vfio-node", Status::Failed, "/dev/vfio/17 is missing");
    fs::remove_all(root_ / "dev");
    expect(report(), "vfio-node", Status::Skipped, "not recorded");
}

TEST_F(Tree, AKernelWithoutContainerOrGroups) {
    const char *override = "name='iommufd' type='string' value='iommufd0'";
    for (const char *gone : {"", "dev/vfio/vfio", "dev/vfio/17"}) {
        const bool whole = *gone == 0;
        if (!whole) {
            fs::remove(root_ / gone);
        }
        const auto known = facts();
        const auto all = judge(known, Guest);
        expect(all, "vfio-node", whole ? Status::Ok : Status::Warning,
               whole ? "/dev/vfio/17" : "/dev/vfio/devices/vfio0");
        EXPECT_TRUE(all.ready());
        const auto text = as_text(known, all);
        EXPECT_EQ(contains(text, "-object iommufd,id=iommufd0"), !whole) << text;
        EXPECT_EQ(contains(text, "bus=rp0,iommufd=iommufd0"), !whole) << text;
        EXPECT_EQ(contains(text, "<qemu:arg value='iommufd,id=iommufd0'/>"), !whole) << text;
        EXPECT_EQ(contains(text, override), !whole) << text;
    }
}

TEST_F(Tree, AddressBits) {
    expect(report(), "address-bits", Status::Ok, "52 with KVM");
    write(root_ / "proc/cpuinfo", "address sizes\t: 36 bits physical, 48 bits virtual\n");
    expect(report(), "address-bits", Status::Failed, "37 needed for a window of 64G");
    write(root_ / "proc/cpuinfo", "vendor_id\t: AuthenticAMD\n");
    expect(report(), "address-bits", Status::Skipped, "--phys-bits");
    fs::remove(root_ / "dev/kvm");
    expect(report(), "address-bits", Status::Ok, "emulated");
}

TEST_F(Tree, TheHostIsTheRecordedOne) {
    const auto cpuinfo = root_ / "proc/cpuinfo";
    const auto host = [this] { return Sysfs((root_ / "sys").string()).arch(); };
    EXPECT_EQ(host(), "x86_64");
    EXPECT_TRUE(facts("x86_64").host.kvm);
    EXPECT_FALSE(facts("aarch64").host.kvm);
    write(cpuinfo, "processor\t: 0\nCPU implementer\t: 0x41\n");
    EXPECT_EQ(host(), "aarch64");
    EXPECT_FALSE(facts("x86_64").host.kvm);
    EXPECT_TRUE(facts("aarch64").host.kvm);
    // Then it is as likely as any that the tree was recorded here.
    fs::remove(cpuinfo);
    EXPECT_EQ(host(), Sysfs("/sys").arch());
}

TEST_F(Tree, AddressBitsOfAnArmHostAreAskedFor) {
    write(root_ / "proc/cpuinfo", "CPU implementer\t: 0x41\n");
    expect(report("aarch64"), "address-bits", Status::Skipped, "41 needed");
    auto known = facts("aarch64");
    known.host.phys_bits = 40;
    expect(judge(known, Guest), "address-bits", Status::Failed, "40 with KVM");
    known.host.phys_bits = 48;
    expect(judge(known, Guest), "address-bits", Status::Ok, "48 with KVM");
}

TEST_F(Tree, HugePages) {
    const auto enabled = root_ / "sys/kernel/mm/transparent_hugepage/enabled";
    write(enabled, "always [madvise] never\n");
    expect(report(), "huge-pages", Status::Warning, "madvise");
    write(enabled, "always madvise [never]\n");
    expect(report(), "huge-pages", Status::Warning, "never");
    write(enabled, "[always] madvise never\n");
    // 256 MiB beyond a GiB
    poke(cxl::DeviceDvsecOffset + cxl::dvsec::Range1BaseLow + 3, "\x10");
    expect(report(), "huge-pages", Status::Ok, "pages of 2M");
    fs::remove(enabled);
    expect(report(), "huge-pages", Status::Skipped, "not there");
}

TEST_F(Tree, LockedMemory) {
    auto known = facts();
    known.host.memlock = UINT64_MAX;
    expect(judge(known, Guest), "locked-memory", Status::Ok, "no limit");
    known.host.memlock = 32 * GiB;
    expect(judge(known, Guest), "locked-memory", Status::Ok, "limit 32G");
    known.host.memlock = 8 * MiB;
    expect(judge(known, Guest), "locked-memory", Status::Warning, "limit 8M");
}

TEST_F(Tree, VfioDeviceThatCannotBeOpened) {
    auto busy = facts();
    busy.devices[0].vfio_absent = "/dev/vfio/17: Device or resource busy";
    busy.devices[0].vfio_failed = true;
    const auto all = judge(busy, Guest);
    expect(all, "vfio-device", Status::Failed, "busy");
    EXPECT_FALSE(all.ready());
}

TEST_F(Tree, DeviceFileOfAnotherUser) {
    auto other = facts();
    other.devices[0].binding->forbidden_node = "/dev/vfio/17";
    expect(judge(other, Guest), "vfio-node", Status::Failed, "cannot be opened by this user");
}

TEST_F(Tree, CommandLineAndDomainNameTheDeviceAndTheWindow) {
    const auto known = facts();
    const auto all = judge(known, Guest);
    const auto text = as_text(known, all);
    for (const char *part :
         {"0000:81:00.0: ready", "-device vfio-pci,id=gpu0,host=0000:81:00.0,bus=rp0",
          "-drive file=guest.img,format=raw,if=none,id=disk",
          "-device virtio-blk-pci,drive=disk,bus=pcie.0", "cxl-fmw.0.size=64G", "-m 16G",
          "hdm_for_passthrough=on", "-cpu host,host-phys-bits=on",
          "<memory unit='KiB'>16777216</memory>",
          "<address domain='0x0000' bus='0x81' slot='0x00' function='0x0'/>"}) {
        EXPECT_NE(text.find(part), std::string::npos) << part << " is not in\n" << text;
    }
    const auto json = nlohmann::json::parse(as_json(known, all));
    EXPECT_EQ(json["ready"], true);
    EXPECT_EQ(json["devices"][0]["window_bytes"], 64 * GiB);
    EXPECT_EQ(json["devices"][0]["checks"].size(), all.devices[0].size());
    EXPECT_EQ(json["host"]["checks"].size(), all.host.size());
    EXPECT_EQ(json["libvirt_xml"], libvirt_xml(known, all.plan));
}

TEST_F(Tree, WhatIsNotReadyGetsNoCommandLine) {
    fs::remove(device("iommu_group"));
    const auto known = facts();
    const auto all = judge(known, Guest);
    const auto text = as_text(known, all);
    EXPECT_NE(text.find("NOT READY: 1 failed"), std::string::npos) << text;
    EXPECT_EQ(text.find("qemu-system"), std::string::npos);
    const auto json = nlohmann::json::parse(as_json(known, all));
    EXPECT_EQ(json["ready"], false);
    EXPECT_TRUE(json["command_line"].is_null());
    EXPECT_TRUE(json["libvirt_xml"].is_null());
}

TEST(Address, ThreeForms) {
    const auto text = [](const char *address) {
        return value_of(pci::parse_address(address)).text();
    };
    EXPECT_EQ(text("81:00.0"), "0000:81:00.0");
    EXPECT_EQ(text("0001:AB:1f.7"), "0001:ab:1f.7");
    EXPECT_EQ(text("10000:e1:00.0"), "10000:e1:00.0");
    EXPECT_EQ(text("00000081:00:00.0"), "0081:00:00.0");
    for (const char *bad : {"", "81:00", "81:00.8", "81:20.0", "0000:81:00.0/..", "gpu0",
                            "000:81:00.0", "123456789:81:00.0", "81:00.0\n"}) {
        EXPECT_EQ(code_of(pci::parse_address(bad)), EINVAL) << bad;
    }
}

// Where QEMU puts windows: docs/system/devices/vfio-cxl.rst, "Large BARs".
TEST(AddressBits, FollowTheMemoryMap) {
    const auto arm = [](std::uint64_t ram, std::uint64_t windows, std::uint64_t pci = 512 * GiB) {
        return needed_bits({"aarch64", ram, windows, pci, false});
    };
    EXPECT_EQ(arm(2 * GiB, 256 * MiB), 41U);
    EXPECT_EQ(arm(2 * GiB, 1024 * GiB), 41U);
    EXPECT_EQ(arm(2 * GiB, 1025 * GiB), 42U);
    EXPECT_EQ(arm(600 * GiB, 256 * MiB), 41U);
    EXPECT_EQ(arm(1200 * GiB, 256 * MiB), 42U);
    EXPECT_EQ(arm(2 * GiB, 256 * MiB, 1024 * GiB), 42U);
    const auto pc = [](std::uint64_t ram, std::uint64_t windows, bool amd,
                       std::uint64_t pci = 32 * GiB) {
        return needed_bits({"x86_64", ram, windows, pci, amd});
    };
    for (const bool amd : {false, true}) {
        EXPECT_EQ(pc(2 * GiB, 256 * MiB, amd), 36U);
        EXPECT_EQ(pc(2 * GiB, 960 * GiB, amd), 40U);
    }
    // From 1012 GiB on an AMD CPU's RAM above 4 GiB, and all behind it, begins at 1 TiB.
    EXPECT_EQ(pc(2 * GiB, 974 * GiB, true), 40U);
    EXPECT_EQ(pc(2 * GiB, 975 * GiB, true), 40U);
    EXPECT_EQ(pc(2 * GiB, 976 * GiB, true), 41U);
    EXPECT_EQ(pc(2 * GiB, 976 * GiB, false), 40U);
    EXPECT_EQ(pc(2 * GiB, 1000 * GiB, true), 42U);
    EXPECT_EQ(pc(2 * GiB, 1000 * GiB, false), 41U);
    EXPECT_EQ(pc(2 * GiB, 1024 * GiB, true), 42U);
    EXPECT_EQ(pc(2 * GiB, 512 * GiB, false, 1024 * GiB), 41U);
}

TEST(PciSpace, HasRoomForTheBars) {
    EXPECT_EQ(needed_pci_space("x86_64", {}), 32 * GiB);
    EXPECT_EQ(needed_pci_space("x86_64", {16 * MiB, 64 * KiB}), 32 * GiB);
    EXPECT_EQ(needed_pci_space("x86_64", {16 * GiB}), 32 * GiB);
    EXPECT_EQ(needed_pci_space("x86_64", {32 * GiB}), 64 * GiB);
    EXPECT_EQ(needed_pci_space("x86_64", {64 * GiB, 64 * GiB, 16 * MiB}), 256 * GiB);
    EXPECT_EQ(needed_pci_space("aarch64", {256 * GiB, 128 * GiB}), 512 * GiB);
    EXPECT_EQ(needed_pci_space("aarch64", {512 * GiB}), 1024 * GiB);
}

// ---- hosts of others, as their reports describe them ----

/// data/hosts.json: what is different from the host that is ready, and what has to be said.
nlohmann::json hosts() {
    const char *file = std::getenv("TYPE2_HOSTS");
    std::ifstream stream(file != nullptr ? file : "");
    return nlohmann::json::parse(stream, nullptr, false);
}

class Host : public Tree, public ::testing::WithParamInterface<std::string> {
  protected:
    void SetUp() override {
        recorded_ = GetParam();
        Tree::SetUp();
        host_ = hosts().value(GetParam(), nlohmann::json());
        ASSERT_TRUE(host_.is_object());
    }
    const nlohmann::json &part(const char *name) const {
        static const nlohmann::json none;
        return host_.contains(name) ? host_[name] : none;
    }

    nlohmann::json host_;
};

TEST_P(Host, IsToldWhatIsWrongAndWhatToDo) {
    const auto known = facts(host_.value("arch", "x86_64"),
                             host_.value("devices", std::vector<std::string>{Address}));
    const auto all = judge(known, Guest);
    const auto text = as_text(known, all);
    EXPECT_EQ(all.ready(), host_["ready"].get<bool>()) << text;
    std::vector<std::string> named;
    for (const auto &expected : host_["expect"]) {
        const auto id = expected["check"].get<std::string>();
        const auto &check = find(all, id, expected.value("device", 0U));
        std::string status = status_name(check.status);
        std::transform(status.begin(), status.end(), status.begin(),
                       [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        EXPECT_EQ(status, expected["status"]) << id << ": " << check.found;
        EXPECT_TRUE(contains(check.found, expected.value("found", ""))) << check.found;
        EXPECT_TRUE(contains(check.advice, expected.value("advice", ""))) << check.advice;
        named.push_back(id);
    }
    EXPECT_FALSE(named.empty());
    // What fails is what the file says, and nothing beside it.
    for (std::size_t i = 0; i < all.devices.size(); ++i) {
        for (const auto &check : all.devices[i]) {
            const bool expected = std::count(named.begin(), named.end(), check.id) != 0;
            EXPECT_TRUE(expected || check.status != Status::Failed || part("arch") == "aarch64")
                << check.id << ": " << check.found;
            EXPECT_TRUE(expected || part("all_skipped_but").is_null() ||
                        check.status == Status::Skipped)
                << check.id;
        }
    }
    const auto line = all.has_advice() ? joined(command_line(known, all.plan), " ") : "";
    for (const auto &wanted : part("command_line")) {
        EXPECT_TRUE(contains(line, wanted.get<std::string>())) << wanted << " is not in " << line;
    }
}

std::vector<std::string> names_of_hosts() {
    std::vector<std::string> names;
    const auto all = hosts();
    for (const auto &[name, host] : all.items()) {
        if (host.contains("expect")) {
            names.push_back(name);
        }
    }
    return names;
}

INSTANTIATE_TEST_SUITE_P(Reported, Host, ::testing::ValuesIn(names_of_hosts()),
                         [](const auto &param) {
                             std::string name = param.param;
                             std::replace_if(
                                 name.begin(), name.end(),
                                 [](char c) { return c == '-' || c == '.'; }, '_');
                             return name;
                         });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Host);

TEST_F(Tree, TwoDevicesHaveNothingInCommon) {
    for (const char *more : {"0000:c1:00.0", "0000:d1:00.0"}) {
        fs::copy(device(""), device("", more),
                 fs::copy_options::recursive | fs::copy_options::copy_symlinks);
    }
    const auto known = facts("x86_64", {Address, "0000:c1:00.0", "0000:d1:00.0"});
    const auto plan = make_plan(known, Guest);
    ASSERT_EQ(plan.devices.size(), 3U);
    std::set<unsigned> numbers;
    for (const auto &device : plan.devices) {
        // One for the bridge, one for its port.
        EXPECT_TRUE(numbers.insert(device.bus).second);
        EXPECT_TRUE(numbers.insert(device.bus + 1).second);
    }
    EXPECT_EQ(plan.windows, 3 * 64 * GiB);
    const auto xml = libvirt_xml(known, plan);
    for (const char *part : {"<target busNr='12'/>", "<target busNr='16'/>", "<target busNr='20'/>",
                             "cxl-fmw.0.targets.0=ua-cxl0,", "cxl-fmw.2.targets.0=ua-cxl2,",
                             "index='6' model='pcie-root-port'", "bus='0xc1'"}) {
        EXPECT_TRUE(contains(xml, part)) << part << " is not in " << xml;
    }
}

TEST_F(Tree, AGuestWithNodes) {
    const auto known = facts();
    const auto all = judge(known, {16 * GiB, 8, true});
    const auto line = joined(command_line(known, all.plan), " ");
    EXPECT_TRUE(contains(line, "-object memory-backend-ram,id=mem,size=16G -numa "
                               "node,nodeid=0,memdev=mem,cpus=0-7 -numa node,nodeid=1 -M q35,cxl"))
        << line;
    EXPECT_TRUE(contains(line, "bus_nr=12,numa_node=1,hdm")) << line;
    EXPECT_FALSE(contains(line, "memory-backend=")) << line;
    EXPECT_TRUE(contains(libvirt_xml(known, all.plan), "<cell id='0' cpus='0-7'"));
}

// ---- the VFIO device: the model, and its faults ----

Facts ask_model(const device::Config &config, const char *fault_name = nullptr) {
    const auto *fault = fault_name != nullptr ? device::find_fault(fault_name) : nullptr;
    EXPECT_EQ(fault != nullptr, fault_name != nullptr) << fault_name;
    std::unique_ptr<device::FaultFilter> filter;
    device::Quirks quirks;
    if (fault != nullptr) {
        filter = std::make_unique<device::FaultFilter>(*fault, config);
        quirks = {fault->config_space, fault->resets_fail};
    }
    Harness harness(config, true, filter.get(), quirks);
    const auto target = vfio::make_vfio_user(std::move(harness.client));
    Facts facts;
    facts.devices.resize(1);
    facts.devices[0].socket = "/run/gpu0.sock";
    facts.host.arch = "aarch64";
    auto vfio = read_contract(*target);
    EXPECT_TRUE(vfio.has_value()) << vfio.error().text;
    facts.devices[0].vfio = std::move(*vfio);
    auto pci = read_config(*target);
    EXPECT_TRUE(pci.has_value()) << pci.error().text;
    facts.devices[0].pci = std::move(*pci);
    return facts;
}

device::Config model_of(ContractKind contract, unsigned decoders = 1,
                        std::uint64_t size = 2 * GiB) {
    device::Config config;
    config.contract = contract;
    config.decoders = decoders;
    config.hdm_size = size;
    config.decoder_size = 0;
    const auto checked = device::validate(config, true, false);
    EXPECT_TRUE(checked.has_value());
    return *checked;
}

TEST(Model, BothGenerationsAreReady) {
    for (const auto contract : {ContractKind::Live, ContractKind::Shadow}) {
        for (const unsigned decoders : {1U, 4U}) {
            const auto facts = ask_model(model_of(contract, decoders));
            const auto all = judge(facts, Guest);
            EXPECT_EQ(all.count(Status::Failed) + all.count(Status::Warning), 0U)
                << as_text(facts, all);
            expect(all, "contract", Status::Ok, contract == ContractKind::Live ? "live" : "shadow");
            expect(all, "decoders", Status::Ok,
                   decoders == 1 ? "1, 1 committed" : "4, 4 committed");
            expect(all, "driver", Status::Skipped, "no host device");
            EXPECT_EQ(all.plan.windows, 2 * GiB);
            EXPECT_FALSE(all.plan.devices[0].guest_mode);
        }
    }
}

TEST(Model, DecodersThatNobodyCommitted) {
    auto config = model_of(ContractKind::Live, 2);
    config.uncommitted = true;
    const auto all = judge(ask_model(config), Guest);
    expect(all, "decoders", Status::Warning, "2, none committed");
    expect(all, "memory-ranges", Status::Warning, "not enabled");
    EXPECT_EQ(all.plan.windows, 2 * GiB);
    EXPECT_TRUE(all.plan.devices[0].guest_mode);
    EXPECT_TRUE(all.ready());
    // That is what QEMU does by itself then.
    const auto text = as_text(ask_model(config), all);
    EXPECT_FALSE(contains(text, "x-cxl-decoders"));
    EXPECT_FALSE(contains(text, "hdm_for_passthrough"));
}

// A kernel gives nothing of a device that decodes nothing.
TEST(Model, DecodersThatNobodyCommittedBehindAKernel) {
    for (const auto contract : {ContractKind::Live, ContractKind::Shadow}) {
        auto config = model_of(contract, 2);
        config.uncommitted = true;
        auto facts = ask_model(config);
        facts.devices[0].address = Address;
        facts.devices[0].socket.clear();
        const auto all = judge(facts, Guest);
        expect(all, "decoders", Status::Failed, "2, none committed");
        EXPECT_FALSE(all.ready());
    }
}

// QEMU goes by what the kernel says of firmware, and has the guest program all of the memory.
TEST(Model, DecodersThatFirmwareDidNotCommit) {
    auto facts = ask_model(model_of(ContractKind::Shadow, 2));
    facts.devices[0].vfio->decoders[1].committed = false;
    facts.devices[0].vfio->firmware_committed = false;
    const auto all = judge(facts, Guest);
    expect(all, "decoders", Status::Warning, "2, 1 committed: 1G, but not by firmware");
    EXPECT_TRUE(all.plan.devices[0].guest_mode);
    EXPECT_EQ(all.plan.windows, 2 * GiB);
    EXPECT_FALSE(contains(as_text(facts, all), ",hdm_for_passthrough=on"));
    EXPECT_FALSE(contains(as_text(facts, all), "x-cxl-decoders=guest"));
}

TEST(Model, TheWindowIsWhatIsCommitted) {
    auto facts = ask_model(model_of(ContractKind::Live, 2));
    facts.devices[0].vfio->decoders[1].committed = false;
    const auto all = judge(facts, Guest);
    expect(all, "decoders", Status::Ok, "2, 1 committed: 1G");
    EXPECT_EQ(all.plan.windows, 1 * GiB);
}

// Live's region begins behind what decoder 0 skips, shadow's in front of it.
TEST(Model, DecodersThatSkipMemory) {
    for (const auto contract : {ContractKind::Live, ContractKind::Shadow}) {
        device::Config config;
        config.contract = contract;
        config.decoders = 2;
        config.decoder_skip = 1 * GiB;
        auto facts = ask_model(*device::validate(config, false, false));
        expect(judge(facts, Guest), "decoders", Status::Ok, "2, 2 committed");
        EXPECT_EQ(judge(facts, Guest).plan.windows, 512 * MiB);
        facts.devices[0].vfio->memory->size -= 256 * MiB;
        expect(judge(facts, Guest), "decoders", Status::Failed, "decoders end at");
    }
}

TEST(Model, CommittedDecodersComeFirst) {
    auto facts = ask_model(model_of(ContractKind::Live, 2));
    facts.devices[0].vfio->decoders[0].committed = false;
    expect(judge(facts, Guest), "decoders", Status::Failed, "decoder 1 is committed");
}

TEST(Model, WhatDecoder0SkipsIsNotInTheLiveRegion) {
    for (const auto contract : {ContractKind::Live, ContractKind::Shadow}) {
        auto facts = ask_model(model_of(contract, 2));
        facts.devices[0].vfio->decoders[0].skip = GiB;
        const bool live = contract == ContractKind::Live;
        expect(judge(facts, Guest), "decoders", live ? Status::Ok : Status::Failed,
               live ? "2, 2 committed: 2G" : "decoders end at 3G, the memory region at 2G");
        // What a later one skips is in it, and no sum wraps.
        facts.devices[0].vfio->decoders[0].skip = 0;
        facts.devices[0].vfio->decoders[1].skip = UINT64_MAX - GiB + 1;
        expect(judge(facts, Guest), "decoders", Status::Failed, "decoders end at");
    }
}

// QEMU makes one of neighbours where its host bridge has too few; it refuses what has more
// pieces than that, so the guest has to program them.
TEST(Model, MoreDecodersThanTheBridgeHas) {
    for (const unsigned decoders : {4U, 6U, 8U, 10U}) {
        const auto facts = ask_model(model_of(ContractKind::Live, decoders, decoders * GiB));
        const auto all = judge(facts, Guest);
        expect(all, "decoders", Status::Ok,
               fmt::format("{0}, {0} committed: {0}G{1}", decoders,
                           decoders > 4 ? "; a guest finds 1" : ""));
        EXPECT_FALSE(all.plan.devices[0].guest_mode);
        EXPECT_EQ(all.plan.windows, decoders * GiB);
        EXPECT_TRUE(contains(as_text(facts, all), ",hdm_for_passthrough=on"));
    }
}

TEST(Model, MorePiecesThanTheBridgeHas) {
    for (const unsigned pieces : {4U, 5U, 6U}) {
        auto facts = ask_model(model_of(ContractKind::Live, 6, 6 * GiB));
        for (unsigned i = 1; i < pieces; ++i) {
            facts.devices[0].vfio->decoders[i].skip = GiB;
            facts.devices[0].vfio->memory->size += GiB;
        }
        // Not all of the memory is committed, and a guest may program more.
        facts.devices[0].vfio->memory->size += GiB;
        const auto all = judge(facts, Guest);
        const bool too_many = pieces > 4;
        expect(all, "decoders", too_many ? Status::Warning : Status::Ok,
               too_many
                   ? fmt::format("6, 6 committed, in {} pieces; QEMU's host bridge has 4", pieces)
                   : "6, 6 committed: 6G; a guest finds 4");
        EXPECT_TRUE(all.ready());
        EXPECT_EQ(all.plan.devices[0].guest_mode, too_many);
        EXPECT_EQ(all.plan.windows, (too_many ? 6 + pieces : 6) * GiB);

        auto text = as_text(facts, all);
        EXPECT_EQ(contains(text, R"(,"x-cxl-decoders":"guest"})"), too_many);
        EXPECT_EQ(contains(text, ",hdm_for_passthrough=on"), !too_many);
        EXPECT_EQ(contains(text, "name='hdm_for_passthrough'"), !too_many);
        const char *override = "name='x-cxl-decoders' type='string' value='guest'";
        EXPECT_FALSE(contains(text, override));

        facts.devices[0].socket.clear();
        facts.devices[0].address = "0000:81:00.0";
        text = as_text(facts, all);
        EXPECT_EQ(contains(text, "bus=rp0,x-cxl-decoders=guest"), too_many);
        EXPECT_EQ(contains(text, override), too_many);
    }
}

struct Broken {
    const char *fault;
    ContractKind contract;
    const char *check;
    Status status;
    const char *found;
};

void PrintTo(const Broken &broken, std::ostream *out) {
    *out << broken.fault;
}

class Fault : public ::testing::TestWithParam<Broken> {};

TEST_P(Fault, IsFound) {
    const auto &broken = GetParam();
    const auto all = judge(ask_model(model_of(broken.contract), broken.fault), Guest);
    expect(all, broken.check, broken.status, broken.found);
    EXPECT_EQ(all.ready(), broken.status != Status::Failed);
}

constexpr auto Live = ContractKind::Live;
constexpr auto Shadow = ContractKind::Shadow;

INSTANTIATE_TEST_SUITE_P(
    Model, Fault,
    ::testing::Values(
        Broken{"no-cxl-flag", Live, "cxl-flag", Status::Failed, "bit 9 clear"},
        Broken{"no-reset-flag", Live, "reset", Status::Warning, "cannot be reset"},
        Broken{"device-cap-48", Shadow, "contract", Status::Failed, "June 2026"},
        Broken{"device-cap-version-2", Shadow, "contract", Status::Failed, "32 bytes, version 2"},
        Broken{"comp-regs-cap-version-2", Live, "contract", Status::Failed, "version 2"},
        Broken{"cm-header-foreign", Shadow, "decoders", Status::Failed, "0x03110007"},
        Broken{"device-cap-missing", Shadow, "contract", Status::Failed, "neither"},
        Broken{"region-index-out-of-range", Shadow, "contract", Status::Failed, "their types say"},
        Broken{"two-memory-regions", Live, "memory-region", Status::Failed, "both have subtype 1"},
        Broken{"no-memory-region", Live, "memory-region", Status::Failed, "no CXL memory region"},
        Broken{"no-comp-regs-region", Live, "memory-region", Status::Failed,
               "no component register region"},
        Broken{"caps-loop", Live, "memory-region", Status::Failed, "no CXL memory region"},
        Broken{"memory-size-zero", Live, "memory-region", Status::Failed, "region 9, 0"},
        Broken{"memory-size-odd", Live, "memory-region", Status::Failed, "region 9"},
        Broken{"memory-size-2-63", Live, "memory-region", Status::Failed, "region 9"},
        Broken{"memory-read-only", Live, "memory-region", Status::Failed, "region 9"},
        Broken{"memory-no-mmap", Live, "memory-region", Status::Warning, "not mappable"},
        Broken{"bar-index-6", Live, "decoders", Status::Failed, "a BAR is 0 to 5"},
        Broken{"bar-index-absent", Live, "decoders", Status::Failed, "inside the BAR of 0x0"},
        Broken{"block-outside-bar", Live, "decoders", Status::Failed, "inside the BAR"},
        Broken{"block-across-bar-end", Live, "decoders", Status::Failed, "inside the BAR"},
        Broken{"block-unaligned", Live, "decoders", Status::Failed, "dword aligned"},
        Broken{"cm-array-empty", Shadow, "decoders", Status::Failed, "no HDM decoder capability"},
        Broken{"cm-no-hdm", Shadow, "decoders", Status::Failed, "no HDM decoder capability"},
        Broken{"decoder-count-11", Live, "decoders", Status::Failed, "10 at most"},
        Broken{"decoder-size-wraps", Live, "decoders", Status::Failed, "decoder 0"},
        Broken{"decoder-size-zero", Live, "decoders", Status::Failed, "of size 0"},
        Broken{"decoder-size-too-large", Live, "decoders", Status::Failed, "decoders end at 4G"},
        Broken{"decoder-error", Live, "decoders", Status::Failed, "error bit"},
        Broken{"decoder-interleaved", Live, "decoders", Status::Failed, "interleaved"},
        Broken{"decoder-never-commits", Live, "decoders", Status::Warning, "none committed"},
        Broken{"decoder-never-commits", Shadow, "decoders", Status::Failed, "firmware committed"},
        Broken{"comp-regs-read-fails", Live, "decoders", Status::Failed, "cannot be read"},
        Broken{"comp-regs-read-short", Live, "decoders", Status::Failed, "short read"},
        Broken{"comp-regs-small", Live, "decoders", Status::Failed, "of a region of"},
        Broken{"locator-bar-wrong", Live, "component-registers", Status::Failed, "BAR"}),
    [](const auto &param) {
        std::string name = param.param.fault;
        name += param.param.contract == Shadow ? "_shadow" : "_live";
        std::replace(name.begin(), name.end(), '-', '_');
        return name;
    });

TEST(Model, CommandLineAndDomainForASocket) {
    const auto facts = ask_model(model_of(Live));
    const auto all = judge(facts, Guest);
    const auto text = as_text(facts, all);
    for (const char *part :
         {"-object memory-backend-memfd,id=mem,size=16G,share=on",
          "'{\"driver\":\"vfio-user-pci\",\"id\":\"gpu0\",\"bus\":\"rp0\",",
          "-device virtio-blk-pci,drive=disk,bus=pcie.0", "<source type='memfd'/>",
          "cxl-fmw.0.size=2G", "-cpu max,pauth-impdef=on"}) {
        EXPECT_NE(text.find(part), std::string::npos) << part << " is not in\n" << text;
    }
    EXPECT_EQ(text.find("<hostdev"), std::string::npos);
}

TEST(Model, ASocketsNameIsQuoted) {
    auto facts = ask_model(model_of(Live));
    facts.devices[0].socket = "/tmp/it's <here> & there";
    const auto all = judge(facts, Guest);
    EXPECT_NE(libvirt_xml(facts, all.plan).find("it&apos;s &lt;here&gt; &amp; there"),
              std::string::npos);
    const auto line = command_line(facts, all.plan);
    EXPECT_NE(as_text(facts, all).find("it'\\''s <here> & there"), std::string::npos);
}

} // namespace
} // namespace type2::test
