// SPDX-License-Identifier: GPL-2.0-or-later
// What can be said of the kernel's VFIO where there is none: each way that leads to no device ends
// in a text that says what to do. With a kernel, the nested host runs all of it.
#include "base/fd.h"
#include "base/guard.h"
#include "pci/address.h"
#include "vfio/target.h"

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>

namespace type2::test {
namespace {

namespace fs = std::filesystem;
using vfio::open_kernel_vfio;

constexpr const char *Function = "0000:01:00.0";

/// A folder that stands in for /sys and /dev, with one PCI function.
class KernelVfio : public ::testing::Test {
  protected:
    void SetUp() override {
        std::string name = (fs::temp_directory_path() / "kernel-vfio-XXXXXX").string();
        ASSERT_NE(mkdtemp(name.data()), nullptr);
        top_ = name;
        paths_ = {name + "/sys", name + "/dev"};
        fs::create_directories(function());
        fs::create_directories(top_ / "dev/vfio");
    }
    void TearDown() override { fs::remove_all(top_); }

    fs::path function() const { return top_ / "sys/bus/pci/devices" / Function; }
    void put_in_group(const char *group) const {
        const auto folder = top_ / "sys/kernel/iommu_groups" / group;
        fs::create_directories(folder / "devices");
        fs::create_directory_symlink(folder, function() / "iommu_group");
        fs::create_directory_symlink(function(), folder / "devices" / Function);
    }
    void bind_to(const char *driver) const {
        fs::create_directory_symlink(top_ / "sys/bus/pci/drivers" / driver, function() / "driver");
    }
    /// The text of the error, which has to be `code`.
    std::string refusal(int code, const char *address = Function) const {
        const auto opened = open_kernel_vfio(address, paths_);
        if (opened) {
            ADD_FAILURE() << "it opens";
            return {};
        }
        EXPECT_EQ(opened.error().code, code) << opened.error().text;
        return opened.error().text;
    }

    fs::path top_;
    vfio::KernelPaths paths_;
};

TEST(PciAddress, IsWhatSysfsSays) {
    for (const char *good : {"0000:01:00.0", "0000:bb:1d.7", "abcd:ef:09.3", "10000:e1:00.0"}) {
        EXPECT_TRUE(pci::is_address(good)) << good;
    }
    for (const char *bad : {"", "01:00.0", "ABCD:ef:09.3", "00000:01:00.0", "0000:01:00",
                            "0000:01:00.8", "0000:01:00.00", "0000-01:00.0", "000g:01:00.0",
                            "0000:01:00.0 ", "../../../etc", "0000:01:00:0", "0000.01.00.0"}) {
        EXPECT_FALSE(pci::is_address(bad)) << bad;
    }
}

TEST_F(KernelVfio, NoAddressOfThePciBus) {
    EXPECT_EQ(refusal(EINVAL, "01:00.0"),
              "'01:00.0' is not a PCI function, expected one like 0000:01:00.0");
}

TEST_F(KernelVfio, NoSuchFunction) {
    EXPECT_EQ(refusal(ENODEV, "0000:02:00.0"), "there is no PCI function 0000:02:00.0: no " +
                                                   paths_.sys + "/bus/pci/devices/0000:02:00.0");
}

TEST_F(KernelVfio, NoIommu) {
    EXPECT_EQ(refusal(ENODEV), "0000:01:00.0 is in no IOMMU group; does the machine have an IOMMU, "
                               "and does the kernel use it (intel_iommu=on)?");
}

TEST_F(KernelVfio, NoVfioDriver) {
    put_in_group("12");
    const std::string cannot = "cannot open " + paths_.dev +
                               "/vfio/12: No such file or directory; bind the function to a vfio "
                               "driver (0000:01:00.0 has ";
    EXPECT_EQ(refusal(ENOENT), cannot + "no driver)");
    bind_to("cxl_pci");
    EXPECT_EQ(refusal(ENOENT), cannot + "driver cxl_pci)");
}

TEST_F(KernelVfio, NoContainer) {
    put_in_group("12");
    std::ofstream(top_ / "dev/vfio/12") << "not a group";
    EXPECT_EQ(refusal(ENOENT), "cannot open " + paths_.dev +
                                   "/vfio/vfio: No such file or directory; load the kernel's "
                                   "vfio_iommu_type1");
    std::ofstream(top_ / "dev/vfio/vfio") << "not a container";
    EXPECT_EQ(refusal(EPROTO), paths_.dev + "/vfio/vfio speaks version -1 of VFIO's interface, "
                                            "expected 0");
}

TEST(Guard, SigbusIsToldEachTime) {
    constexpr std::size_t Page = 4096;
    auto fd = make_memfd("guard", Page, false);
    ASSERT_TRUE(fd.has_value());
    const auto mapping = Mapping::map(fd->get(), 0, 2 * Page, true, true);
    ASSERT_TRUE(mapping.has_value());
    for (int i = 0; i < 3; ++i) {
        EXPECT_TRUE(survives([&] { mapping->bytes()[0] = std::byte{1}; }));
        EXPECT_FALSE(survives([&] { mapping->bytes()[Page] = std::byte{1}; }));
    }
    EXPECT_EQ(mapping->bytes()[0], std::byte{1});
}

} // namespace
} // namespace type2::test
