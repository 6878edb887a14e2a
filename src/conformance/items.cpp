// SPDX-License-Identifier: GPL-2.0-or-later
// What the kernel's own selftest asserts of a CXL Type-2 device, one test per item and of that
// number. Items of the shadow generation alone are called Shadow, what the newest live generation
// changed V6. The tests write to the device's memory and reset it.
#include "base/guard.h"
#include "conformance/options.h"
#include "cxl/component.h"
#include "cxl/dvsec.h"
#include "vfio/target.h"
#include "vfio/uapi.h"
#include "vfio/walk.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <optional>
#include <thread>
#include <unistd.h>

namespace type2::conformance {
namespace {

namespace hdm = cxl::hdm;
namespace uapi = vfio::uapi;
using vfio::Target;
using vfio::TargetDevice;
using vfio::TargetRegion;
using vfio_user::find_cap;

constexpr std::uint32_t Config = VFIO_PCI_CONFIG_REGION_INDEX;
constexpr std::uint32_t LockCommit = hdm::Commit | hdm::LockOnCommit;
constexpr std::uint64_t Page = 4096;
constexpr std::uint64_t LargePage = 2 << 20;
constexpr std::uint16_t ViralEnable = 1U << 14;
constexpr std::uint16_t D3hot = 3;
constexpr auto ResetTimeout = std::chrono::seconds(2);
// The longest Memory_Active_Timeout that CXL r3.1 section 8.1.3.8.2 has and a user waits for.
constexpr auto ActiveTimeout = std::chrono::seconds(16);

class Conformance : public ::testing::Test {
  protected:
    void SetUp() override {
        auto opened = open_target();
        ASSERT_TRUE(opened.has_value()) << opened.error().text;
        target_ = std::move(*opened);
        const auto device = target_->device();
        ASSERT_TRUE(device.has_value()) << device.error().text;
        device_ = *device;
        for (std::uint32_t i = VFIO_PCI_NUM_REGIONS; i < device_.num_regions; ++i) {
            note_region(i);
        }
        const auto *cap = find_cap(device_.caps, uapi::CapDeviceCxlId, sizeof(uapi::CapDeviceCxl));
        if (cap != nullptr) {
            shadow_ = load<uapi::CapDeviceCxl>(cap->body);
        }
        // Configuration space decides whether memory answers: on, in D0.
        const std::uint16_t command = 0x2;
        ASSERT_TRUE(target_->write(Config, 4, std::as_bytes(std::span(&command, 1))).has_value());
    }

    void note_region(std::uint32_t index) {
        const auto region = target_->region(index);
        ASSERT_TRUE(region.has_value()) << "region " << index << ": " << region.error().text;
        const auto *type = find_cap(region->caps, VFIO_REGION_INFO_CAP_TYPE, 8);
        if (type == nullptr || load<std::uint32_t>(type->body) != uapi::RegionType) {
            return;
        }
        const auto subtype = load<std::uint32_t>(type->body, 4);
        auto &slot = subtype == uapi::SubtypeMemory ? memory_ : regs_;
        if (subtype == uapi::SubtypeMemory || subtype == uapi::SubtypeCompRegs) {
            ASSERT_FALSE(slot.has_value()) << "two regions of subtype " << subtype;
            slot = *region;
            (subtype == uapi::SubtypeMemory ? memory_index_ : regs_index_) = index;
        }
    }

    bool is_shadow() const { return shadow_.has_value(); }

    /// Where the component registers are, as the contract says.
    struct Geometry {
        std::uint32_t bar = 0;
        std::uint64_t offset = 0; ///< live: of the HDM block; shadow: of the CM array
    };
    Geometry geometry() const {
        if (shadow_) {
            return {shadow_->hdm_regs_bar_index, shadow_->hdm_regs_offset};
        }
        const auto *cap =
            regs_ ? find_cap(regs_->caps, uapi::CapCompRegsId, sizeof(uapi::CapCompRegs)) : nullptr;
        if (cap == nullptr) {
            ADD_FAILURE() << "the COMP_REGS region has no geometry capability";
            return {VFIO_PCI_ROM_REGION_INDEX, 0};
        }
        const auto body = load<uapi::CapCompRegs>(cap->body);
        return {body.bar, body.offset};
    }

    std::uint32_t get(std::uint32_t region, std::uint64_t offset) {
        const auto value = read_dword(*target_, region, offset);
        EXPECT_TRUE(value.has_value()) << value.error().text;
        return value.value_or(0);
    }
    Result<std::size_t> put(std::uint32_t region, std::uint64_t offset, std::uint32_t value) {
        return target_->write(region, offset, std::as_bytes(std::span(&value, 1)));
    }
    Result<std::size_t> read(std::uint32_t region, std::uint64_t offset, std::size_t count) {
        Bytes bytes(count);
        return target_->read(region, offset, bytes);
    }

    /// All of `into`, in as many reads of the memory as it takes: one may come short, none empty.
    void read_memory(std::uint64_t offset, ByteSpan into) {
        while (!into.empty()) {
            const auto got = target_->read(memory_index_, offset, into);
            ASSERT_TRUE(got.has_value()) << "offset " << offset << ": " << got.error().text;
            ASSERT_GT(*got, 0U) << "nothing is read at offset " << offset;
            ASSERT_LE(*got, into.size())
                << "more is read at offset " << offset << " than asked for";
            offset += *got;
            into = into.subspan(*got);
        }
    }
    std::uint32_t memory_dword(std::uint64_t offset) {
        std::uint32_t value = 0;
        read_memory(offset, std::as_writable_bytes(std::span(&value, 1)));
        return value;
    }
    /// The mapping's bytes, as long as it is there. A failure of the test where it is not.
    static Bytes touch(const Mapping &mapping) {
        Bytes bytes(mapping.bytes().size());
        const bool there = survives(
            [&] { std::copy(mapping.bytes().begin(), mapping.bytes().end(), bytes.begin()); });
        EXPECT_TRUE(there) << "SIGBUS at a read";
        return bytes;
    }

    /// Offset of the HDM block in COMP_REGS; walks the array where the region begins with one.
    std::uint64_t hdm_base() { return is_shadow() ? walk(regs_index_, 0) : 0; }
    /// Offset of capability 5 from the array header that is at `array` of a region.
    std::uint64_t walk(std::uint32_t region, std::uint64_t array) {
        const auto found = vfio::find_hdm(
            [&](std::uint32_t offset) { return read_dword(*target_, region, array + offset); });
        EXPECT_TRUE(found.has_value()) << found.error().text;
        return found.value_or(0);
    }
    unsigned decoder_count() { return hdm::decode_count(get(regs_index_, hdm_base())); }
    std::uint64_t decoder(unsigned index) { return hdm_base() + hdm::decoder_offset(index); }
    std::uint32_t control(unsigned index) {
        return get(regs_index_, decoder(index) + hdm::Control);
    }
    std::uint64_t pair(unsigned index, std::uint32_t low) {
        return (get(regs_index_, decoder(index) + low) & 0xf0000000U) |
               std::uint64_t{get(regs_index_, decoder(index) + low + 4)} << 32;
    }
    bool committed(unsigned index) { return (control(index) & hdm::Committed) != 0; }

    /// Offset of a CXL DVSEC in configuration space, 0: not there.
    std::uint32_t dvsec(std::uint16_t id) {
        const auto found = vfio::find_dvsec(
            id, [&](std::uint32_t at) { return read_dword(*target_, Config, at); });
        EXPECT_TRUE(found.has_value()) << found.error().text;
        return found.value_or(0);
    }
    /// Where the Register Locator says that the component registers are.
    Result<vfio::ComponentPlace> component() {
        return vfio::find_component(dvsec(cxl::DvsecLocator), [&](std::uint32_t at) {
            return read_dword(*target_, Config, at);
        });
    }
    std::uint16_t config16(std::uint32_t offset) {
        return static_cast<std::uint16_t>(get(Config, offset & ~3U) >> (8 * (offset & 2)));
    }
    void put16(std::uint32_t offset, std::uint16_t value) {
        const auto done = target_->write(Config, offset, std::as_bytes(std::span(&value, 1)));
        EXPECT_TRUE(done.has_value()) << done.error().text;
    }

    /// Offset of PMCSR (PCIe r6.0 section 7.5.2.2), 0: the function has no power management.
    std::uint32_t power_control() {
        std::uint32_t at = get(Config, 0x34) & 0xfc;
        for (int steps = 0; at != 0 && steps < 48; ++steps) {
            const auto header = get(Config, at);
            if ((header & 0xff) == PCI_CAP_ID_PM) {
                return at + 4;
            }
            at = (header >> 8) & 0xfc;
        }
        return 0;
    }

    /// Waits for Memory_Active of the CXL Device DVSEC, which may come late after a reset.
    void await_memory() {
        const auto at = dvsec(cxl::DvsecDevice);
        ASSERT_NE(at, 0U);
        const auto until = std::chrono::steady_clock::now() + ActiveTimeout;
        const auto active = [&] {
            return (get(Config, at + cxl::dvsec::Range1SizeLow) & cxl::dvsec::MemoryActive) != 0;
        };
        while (!active() && std::chrono::steady_clock::now() < until) {
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        }
        EXPECT_TRUE(active()) << "Memory_Active is not set after " << ActiveTimeout.count() << " s";
    }

    std::unique_ptr<Target> target_;
    TargetDevice device_;
    std::optional<TargetRegion> memory_;
    std::optional<TargetRegion> regs_;
    std::uint32_t memory_index_ = 0;
    std::uint32_t regs_index_ = 0;
    std::optional<uapi::CapDeviceCxl> shadow_;
};

// The items below need what item 1 asserts.
#define REQUIRE_REGIONS()                                                                          \
    ASSERT_TRUE(memory_.has_value()) << "no CXL_MEM region";                                       \
    ASSERT_TRUE(regs_.has_value()) << "no COMP_REGS region"
#define LIVE_ONLY()                                                                                \
    if (is_shadow()) {                                                                             \
        GTEST_SKIP() << "an item of the live generation";                                          \
    }                                                                                              \
    REQUIRE_REGIONS()
#define SHADOW_ONLY()                                                                              \
    if (!is_shadow()) {                                                                            \
        GTEST_SKIP() << "an item of the shadow generation";                                        \
    }                                                                                              \
    REQUIRE_REGIONS()
#define V6_ONLY()                                                                                  \
    if (!options().v6) {                                                                           \
        GTEST_SKIP() << "an item of the live generation since v6, --v6 asks for it";               \
    }                                                                                              \
    LIVE_ONLY()
#define COMMITTED_ONLY()                                                                           \
    if (!committed(0) && (control(0) & hdm::Commit) == 0) {                                        \
        GTEST_SKIP() << "firmware did not commit decoder 0";                                       \
    }

TEST_F(Conformance, Item01_RegionsExist) {
    REQUIRE_REGIONS();
    EXPECT_NE(device_.flags & uapi::DeviceFlagsCxl, 0U);
    EXPECT_NE(memory_index_, regs_index_);
    EXPECT_EQ(memory_->index, memory_index_);
    EXPECT_EQ(regs_->index, regs_index_);
    EXPECT_GT(memory_->size, 0U);
    EXPECT_GT(regs_->size, 0U);
    EXPECT_LT(geometry().bar, 6U);
    if (!is_shadow()) {
        EXPECT_NE(memory_->flags & VFIO_REGION_INFO_FLAG_MMAP, 0U);
    }
}

TEST_F(Conformance, Item02_ComponentBarIsSparse) {
    REQUIRE_REGIONS();
    const auto where = geometry();
    ASSERT_LT(where.bar, 6U);
    const auto bar = target_->region(where.bar);
    ASSERT_TRUE(bar.has_value()) << bar.error().text;
    ASSERT_NE(bar->flags & VFIO_REGION_INFO_FLAG_MMAP, 0U);
    const auto *cap = find_cap(bar->caps, VFIO_REGION_INFO_CAP_SPARSE_MMAP, 8);
    ASSERT_NE(cap, nullptr) << "no sparse-mmap capability";
    EXPECT_FALSE(target_->map(where.bar, 0, bar->size).has_value()) << "the whole BAR maps";
    const auto count = load<std::uint32_t>(cap->body);
    ASSERT_LE(8 + 16 * std::uint64_t{count}, cap->body.size()) << "more areas than bytes";
    std::uint64_t end = 0;
    for (std::uint32_t i = 0; i < count; ++i) {
        const auto offset = load<std::uint64_t>(cap->body, 8 + 16 * std::size_t{i});
        const auto size = load<std::uint64_t>(cap->body, 16 + 16 * std::size_t{i});
        EXPECT_EQ((offset | size) % Page, 0U) << "area " << i;
        EXPECT_GE(offset, end) << "area " << i << " overlaps or is out of order";
        ASSERT_TRUE(fits(offset, size, bar->size)) << "area " << i;
        EXPECT_TRUE(target_->map(where.bar, offset, size).has_value()) << "area " << i;
        end = offset + size;
    }
    const std::uint64_t page = round_down(where.offset, Page);
    EXPECT_FALSE(target_->map(where.bar, page, Page).has_value()) << "the decoder page maps";
}

TEST_F(Conformance, Item03_MemoryMapsAndReadsBack) {
    REQUIRE_REGIONS();
    if ((memory_->flags & VFIO_REGION_INFO_FLAG_MMAP) == 0) {
        ASSERT_TRUE(is_shadow()) << "live memory must be mappable";
        GTEST_SKIP() << "this kernel does not map the memory";
    }
    const auto mapping = target_->map(memory_index_, 0, Page);
    ASSERT_TRUE(mapping.has_value()) << mapping.error().text;
    const auto pattern = [](std::size_t i) { return static_cast<std::byte>(i * 7 + i / 256); };
    ASSERT_TRUE(survives([&] {
        for (std::size_t i = 0; i < Page; ++i) {
            mapping->bytes()[i] = pattern(i);
        }
    })) << "SIGBUS";
    const Bytes mapped = touch(*mapping);
    Bytes through_fd(Page);
    ASSERT_NO_FATAL_FAILURE(read_memory(0, through_fd));
    for (std::size_t i = 0; i < Page; ++i) {
        ASSERT_EQ(mapped[i], pattern(i)) << i;
        ASSERT_EQ(through_fd[i], mapped[i]) << "fd and mapping differ at " << i;
    }
}

TEST_F(Conformance, Item04_LargePageRoundTrips) {
    REQUIRE_REGIONS();
    if ((memory_->flags & VFIO_REGION_INFO_FLAG_MMAP) == 0) {
        ASSERT_TRUE(is_shadow()) << "live memory must be mappable";
        GTEST_SKIP() << "this kernel does not map the memory";
    }
    const auto mapping = target_->map(memory_index_, 0, LargePage);
    ASSERT_TRUE(mapping.has_value()) << mapping.error().text;
    const std::uint32_t value = 0xdeadbeef;
    ASSERT_TRUE(survives([&] { store(mapping->bytes(), LargePage - sizeof(value), value); }))
        << "SIGBUS";
    EXPECT_EQ(load<std::uint32_t>(touch(*mapping), LargePage - sizeof(value)), value);
    EXPECT_EQ(memory_dword(LargePage - sizeof(value)), value);
}

TEST_F(Conformance, Item05_MemoryAsDmaBuf) {
    REQUIRE_REGIONS();
    const auto done = target_->map_dma_buf(memory_index_, memory_->size);
    if (!done && done.error().code == ENOTSUP) {
        GTEST_SKIP() << "no dma-buf here: " << done.error().text;
    }
    EXPECT_TRUE(done.has_value()) << done.error().text;
}

TEST_F(Conformance, Item06_CompRegsHoldDecoder0) {
    REQUIRE_REGIONS();
    ASSERT_GE(regs_->size, hdm_base() + 0x24);
    const auto got = read(regs_index_, hdm_base() + 0x20, 4);
    ASSERT_TRUE(got.has_value()) << got.error().text;
    EXPECT_EQ(*got, 4U);
}

TEST_F(Conformance, Item07_CompRegsRefuseOddAccesses) {
    REQUIRE_REGIONS();
    EXPECT_FALSE(read(regs_index_, 1, 4).has_value()) << "4 bytes at +1";
    EXPECT_FALSE(read(regs_index_, 0, 2).has_value()) << "2 bytes at +0";
}

TEST_F(Conformance, Item08_CompRegsEnd) {
    REQUIRE_REGIONS();
    EXPECT_TRUE(read(regs_index_, regs_->size - 4, 4).has_value());
    EXPECT_FALSE(read(regs_index_, regs_->size, 4).has_value());
}

TEST_F(Conformance, Item09_DecommitIsAbsorbed) {
    LIVE_ONLY();
    COMMITTED_ONLY();
    const auto done = put(regs_index_, decoder(0) + hdm::Control, 0);
    EXPECT_TRUE(done.has_value()) << done.error().text;
    EXPECT_TRUE(committed(0));
}

TEST_F(Conformance, Item10_CommitAndLockStay) {
    LIVE_ONLY();
    COMMITTED_ONLY();
    EXPECT_TRUE(put(regs_index_, decoder(0) + hdm::Control, LockCommit).has_value());
    EXPECT_TRUE(put(regs_index_, decoder(0) + hdm::Control, 0).has_value());
    EXPECT_TRUE(committed(0));
    EXPECT_NE(control(0) & hdm::LockOnCommit, 0U);
}

TEST_F(Conformance, Item11_BaseIsAbsorbed) {
    LIVE_ONLY();
    COMMITTED_ONLY();
    const auto before = pair(0, hdm::BaseLow);
    EXPECT_TRUE(put(regs_index_, decoder(0) + hdm::BaseLow, 0x70000000).has_value());
    EXPECT_TRUE(put(regs_index_, decoder(0) + hdm::BaseHigh, 0x77).has_value());
    EXPECT_EQ(pair(0, hdm::BaseLow), before);
}

TEST_F(Conformance, Item12_DvsecBodyReads) {
    const auto at = dvsec(cxl::DvsecDevice);
    ASSERT_NE(at, 0U);
    bool something = false;
    for (std::uint32_t reg = 0x0c; reg < 0x3c; reg += 4) {
        something = something || get(Config, at + reg) != UINT32_MAX;
    }
    EXPECT_TRUE(something) << "all ones";
}

TEST_F(Conformance, Item13_CxlReset) {
    const auto at = dvsec(cxl::DvsecDevice);
    ASSERT_NE(at, 0U);
    put16(at + cxl::dvsec::Control2, cxl::dvsec::InitCxlReset);
    const auto until = std::chrono::steady_clock::now() + ResetTimeout;
    std::uint16_t status = 0;
    do {
        status = config16(at + cxl::dvsec::Status2);
    } while ((status & (cxl::dvsec::ResetDone | cxl::dvsec::ResetError)) == 0 &&
             std::chrono::steady_clock::now() < until);
    EXPECT_EQ(config16(at + cxl::dvsec::Control2) & cxl::dvsec::InitCxlReset, 0);
    EXPECT_NE(status & cxl::dvsec::ResetDone, 0);
    EXPECT_EQ(status & cxl::dvsec::ResetError, 0);
}

TEST_F(Conformance, Item14_DeviceReset) {
    EXPECT_NE(device_.flags & VFIO_DEVICE_FLAGS_RESET, 0U);
    const auto done = target_->reset();
    EXPECT_TRUE(done.has_value()) << done.error().text;
}

TEST_F(Conformance, Item15_BlockIsHiddenInBar) {
    LIVE_ONLY();
    const auto where = geometry();
    ASSERT_LT(where.bar, 6U);
    for (std::uint64_t at = 0; at + 4 <= regs_->size; at += 4) {
        ASSERT_EQ(get(where.bar, where.offset + at), UINT32_MAX) << "block + " << at;
    }
    const auto place = component();
    ASSERT_TRUE(place.has_value()) << place.error().text;
    EXPECT_EQ(get(where.bar, place->offset + cxl::CacheMemOffset) & 0xffff, cxl::CapIdCacheMem);
}

TEST_F(Conformance, Item16_LocatorLeadsToTheDecoders) {
    REQUIRE_REGIONS();
    const auto where = geometry();
    ASSERT_LT(where.bar, 6U);
    const auto place = component();
    ASSERT_TRUE(place.has_value()) << place.error().text;
    EXPECT_EQ(place->bar, where.bar) << "the BIR is not the geometry's BAR";
    const std::uint64_t array = place->offset + cxl::CacheMemOffset;
    const auto found = walk(where.bar, array);
    EXPECT_EQ(is_shadow() ? array : array + found, where.offset);
    for (unsigned i = 0; i < decoder_count() && committed(i); ++i) {
        const auto size = pair(i, hdm::SizeLow);
        EXPECT_GT(size, 0U) << "decoder " << i;
        EXPECT_GE(pair(i, hdm::BaseLow) + size, size) << "decoder " << i << " wraps";
    }
}

TEST_F(Conformance, Item17_SizeIsTheRegions) {
    LIVE_ONLY();
    COMMITTED_ONLY();
    // What the first one skips lies in front of the region, what the others do inside.
    std::uint64_t together = 0;
    for (unsigned i = 0; i < decoder_count() && committed(i); ++i) {
        together += pair(i, hdm::SizeLow) + (i != 0 ? pair(i, hdm::SkipLow) : 0);
    }
    EXPECT_EQ(together, memory_->size);
}

TEST_F(Conformance, Item18_DvsecWrites) {
    const auto at = dvsec(cxl::DvsecDevice);
    ASSERT_NE(at, 0U);
    const auto capability = config16(at + cxl::dvsec::Capability);
    put16(at + cxl::dvsec::Capability, static_cast<std::uint16_t>(~unsigned{capability}));
    EXPECT_EQ(config16(at + cxl::dvsec::Capability), capability);
    const auto before = config16(at + cxl::dvsec::Control);
    const auto other = static_cast<std::uint16_t>(unsigned{before} ^ ViralEnable);
    put16(at + cxl::dvsec::Control, other);
    EXPECT_EQ(config16(at + cxl::dvsec::Control), other);
    put16(at + cxl::dvsec::Control, before);
}

TEST_F(Conformance, Item19_RegionFlags) {
    REQUIRE_REGIONS();
    const std::uint32_t both = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
    const std::uint32_t all = both | VFIO_REGION_INFO_FLAG_MMAP;
    EXPECT_EQ(regs_->flags & all, both);
    if (is_shadow()) {
        EXPECT_EQ(memory_->flags & both, both);
    } else {
        EXPECT_EQ(memory_->flags & all, all);
        EXPECT_NE(find_cap(regs_->caps, uapi::CapCompRegsId, sizeof(uapi::CapCompRegs)), nullptr);
    }
}

TEST_F(Conformance, Shadow01_DeviceCapabilityNamesTheRegions) {
    SHADOW_ONLY();
    EXPECT_EQ(find_cap(device_.caps, uapi::CapDeviceCxlId, 0)->body.size(),
              sizeof(uapi::CapDeviceCxl));
    EXPECT_EQ(shadow_->dpa_region_index, memory_index_);
    EXPECT_EQ(shadow_->comp_regs_region_index, regs_index_);
}

TEST_F(Conformance, Shadow02_MemoryCanBeReadAndWritten) {
    SHADOW_ONLY();
    const std::uint32_t both = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
    EXPECT_EQ(memory_->flags & both, both);
    EXPECT_TRUE(put(memory_index_, 0, 0x12345678).has_value());
    EXPECT_EQ(memory_dword(0), 0x12345678U);
}

TEST_F(Conformance, Shadow03_CommittedDecoderHasBaseZero) {
    SHADOW_ONLY();
    if ((shadow_->flags & uapi::FlagFirmwareCommitted) == 0) {
        GTEST_SKIP() << "firmware did not commit decoder 0";
    }
    EXPECT_EQ(pair(0, hdm::BaseLow), 0U);
    std::uint64_t together = 0;
    for (unsigned i = 0; i < decoder_count(); ++i) {
        together += pair(i, hdm::SkipLow) + pair(i, hdm::SizeLow);
    }
    EXPECT_GE(together, memory_->size);
}

TEST_F(Conformance, Shadow04_UnlockedDecoderCommitsBothWays) {
    SHADOW_ONLY();
    ASSERT_EQ(control(0) & hdm::LockOnCommit, 0U);
    EXPECT_TRUE(put(regs_index_, decoder(0) + hdm::Control, 0).has_value());
    EXPECT_FALSE(committed(0));
    EXPECT_TRUE(put(regs_index_, decoder(0) + hdm::Control, hdm::Commit).has_value());
    EXPECT_TRUE(committed(0));
    EXPECT_TRUE(put(regs_index_, decoder(0) + hdm::Control, 0).has_value());
    EXPECT_FALSE(committed(0));
}

TEST_F(Conformance, Shadow05_MmapOfTheBlockFails) {
    SHADOW_ONLY();
    const auto where = geometry();
    ASSERT_LT(where.bar, 6U);
    const std::uint64_t block = where.offset - cxl::CacheMemOffset;
    for (std::uint64_t at = 0; at < cxl::ComponentBlockSize; at += Page) {
        const auto mapping = target_->map(where.bar, block + at, Page);
        ASSERT_FALSE(mapping.has_value()) << "block + " << at;
        EXPECT_EQ(mapping.error().code, EINVAL);
    }
}

TEST_F(Conformance, Shadow06_DvsecLockFreezesControl) {
    SHADOW_ONLY();
    const auto at = dvsec(cxl::DvsecDevice);
    ASSERT_NE(at, 0U);
    const auto before = config16(at + cxl::dvsec::Control);
    put16(at + cxl::dvsec::Lock, cxl::dvsec::ConfigLock);
    put16(at + cxl::dvsec::Control, static_cast<std::uint16_t>(unsigned{before} ^ ViralEnable));
    EXPECT_EQ(config16(at + cxl::dvsec::Control), before);
}

TEST_F(Conformance, Shadow07_SkipIsAbsorbed) {
    SHADOW_ONLY();
    ASSERT_EQ(control(0) & hdm::LockOnCommit, 0U);
    const auto before = pair(0, hdm::SkipLow);
    EXPECT_TRUE(put(regs_index_, decoder(0) + hdm::SkipLow, 0x70000000).has_value());
    EXPECT_TRUE(put(regs_index_, decoder(0) + hdm::SkipHigh, 0x77).has_value());
    EXPECT_EQ(pair(0, hdm::SkipLow), before);
}

TEST_F(Conformance, V6_01_MemoryAnswersWithMemorySpaceOff) {
    V6_ONLY();
    COMMITTED_ONLY();
    await_memory();
    put16(PCI_COMMAND, 0);
    EXPECT_TRUE(read(memory_index_, 0, 4).has_value());
}

TEST_F(Conformance, V6_02_CompRegsFailWithMemorySpaceOff) {
    V6_ONLY();
    put16(PCI_COMMAND, 0);
    const auto refused = read(regs_index_, 0, 4);
    ASSERT_FALSE(refused.has_value()) << "they answer";
    EXPECT_EQ(refused.error().code, EIO);
}

TEST_F(Conformance, V6_03_DecoderIsBackAfterD3hot) {
    V6_ONLY();
    COMMITTED_ONLY();
    const auto at = power_control();
    if (at == 0) {
        GTEST_SKIP() << "no power management capability";
    }
    const auto before = control(0);
    const auto state = config16(at);
    put16(at, static_cast<std::uint16_t>(state | D3hot));
    EXPECT_FALSE(read(memory_index_, 0, 4).has_value()) << "the memory answers in D3hot";
    put16(at, state);
    put16(PCI_COMMAND, PCI_COMMAND_MEMORY); // a function without No_Soft_Reset lost it
    EXPECT_EQ(control(0), before);
    await_memory();
    EXPECT_TRUE(read(memory_index_, 0, 4).has_value());
}

TEST_F(Conformance, V6_04_DwordsTogetherAreThoseReadSingly) {
    V6_ONLY();
    Bytes together(regs_->size);
    const auto got = target_->read(regs_index_, 0, together);
    ASSERT_TRUE(got.has_value()) << got.error().text;
    ASSERT_EQ(*got, together.size());
    for (std::uint64_t at = 0; at + 4 <= together.size(); at += 4) {
        EXPECT_EQ(load<std::uint32_t>(ByteView(together).subspan(at)), get(regs_index_, at))
            << "offset " << at;
    }
}

TEST_F(Conformance, V6_05_MemoryIsActiveSomeTimeAfterAReset) {
    V6_ONLY();
    COMMITTED_ONLY();
    ASSERT_TRUE(target_->reset().has_value());
    put16(PCI_COMMAND, PCI_COMMAND_MEMORY);
    await_memory();
    EXPECT_TRUE(read(memory_index_, 0, 4).has_value());
}

} // namespace
} // namespace type2::conformance
