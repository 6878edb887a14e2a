// SPDX-License-Identifier: GPL-2.0-or-later
// Hardware registers and both generations of the contract, without any message.
#include "model/contract/contract.h"
#include "tests/harness.h"
#include "vfio/uapi.h"
#include "vfio/walk.h"

namespace type2::test {
namespace {

namespace hdm = cxl::hdm;
using contract::Area;

constexpr std::uint64_t Capacity = 4 * GiB;
constexpr std::uint32_t Locked = hdm::Commit | hdm::Committed | hdm::LockOnCommit;

void write32(cxl::HdmBlock &block, std::uint32_t offset, std::uint32_t value) {
    block.write(offset, std::as_bytes(std::span(&value, 1)));
}

TEST(Decoder, CountsAreEncodedAsTheSpecificationSays) {
    for (const unsigned count : {1U, 2U, 4U, 6U, 8U, 10U}) {
        EXPECT_TRUE(hdm::is_count(count));
        EXPECT_EQ(hdm::decode_count(cxl::HdmBlock(count, Capacity).dword(0)), count);
    }
    for (const unsigned count : {0U, 3U, 5U, 9U, 11U, 12U}) {
        EXPECT_FALSE(hdm::is_count(count));
    }
}

TEST(Decoder, LockedAndCommittedIgnoresEveryWrite) {
    cxl::HdmBlock block(2, Capacity);
    block.program(0, 0x100000000, hdm::Unit, true);
    Bytes before(hdm::DecoderStride);
    block.read(hdm::FirstDecoder, before);
    for (std::uint32_t at = 0; at < hdm::DecoderStride; at += 4) {
        write32(block, hdm::FirstDecoder + at, 0xffffffff);
        write32(block, hdm::FirstDecoder + at, 0);
    }
    Bytes after(hdm::DecoderStride);
    block.read(hdm::FirstDecoder, after);
    EXPECT_EQ(before, after);
}

TEST(Decoder, CommitOfAValidRangeSucceedsAndUncommitEndsIt) {
    cxl::HdmBlock block(1, Capacity);
    write32(block, 0x14, 0x1);        // base high
    write32(block, 0x18, 0x1fffffff); // size low: only 256 MiB units stay
    write32(block, 0x20, hdm::Commit);
    EXPECT_EQ(block.base(0), 0x100000000U);
    EXPECT_EQ(block.length(0), hdm::Unit);
    EXPECT_EQ(block.control(0), hdm::Commit | hdm::Committed);
    write32(block, 0x14, 0x2);
    EXPECT_EQ(block.base(0), 0x100000000U) << "a committed range does not move";
    write32(block, 0x20, 0);
    EXPECT_EQ(block.control(0), 0U);
}

TEST(Decoder, CommitOfNothingOrOfAWrappingRangeFails) {
    cxl::HdmBlock block(1, Capacity);
    write32(block, 0x20, hdm::Commit | hdm::LockOnCommit);
    EXPECT_EQ(block.control(0), hdm::Commit | hdm::LockOnCommit | hdm::ErrorNotCommitted);
    write32(block, 0x20, 0);
    EXPECT_EQ(block.control(0), 0U) << "uncommitting clears the error";
    write32(block, 0x10, 0xf0000000);
    write32(block, 0x14, 0xffffffff);
    write32(block, 0x18, 0x20000000);
    write32(block, 0x20, hdm::Commit);
    EXPECT_EQ(block.control(0) & hdm::Committed, 0U);
    EXPECT_NE(block.control(0) & hdm::ErrorNotCommitted, 0U);
}

TEST(Decoder, CommitOfMoreThanTheDeviceHasFails) {
    const auto commit = [](cxl::HdmBlock &block, unsigned index, std::uint64_t size,
                           std::uint64_t skip) {
        const std::uint32_t at = hdm::decoder_offset(index);
        write32(block, at + hdm::Control, 0);
        write32(block, at + hdm::BaseHigh, 1 + index);
        write32(block, at + hdm::SizeLow, static_cast<std::uint32_t>(size));
        write32(block, at + hdm::SizeHigh, static_cast<std::uint32_t>(size >> 32));
        write32(block, at + hdm::SkipLow, static_cast<std::uint32_t>(skip));
        write32(block, at + hdm::SkipHigh, static_cast<std::uint32_t>(skip >> 32));
        write32(block, at + hdm::Control, hdm::Commit);
        const bool error = (block.control(index) & hdm::ErrorNotCommitted) != 0;
        EXPECT_NE(error, (block.control(index) & hdm::Committed) != 0);
        return !error;
    };
    cxl::HdmBlock block(2, 1 * GiB);
    EXPECT_FALSE(commit(block, 0, 0xf0000000, 0));
    EXPECT_TRUE(commit(block, 0, 1 * GiB, 0));
    EXPECT_FALSE(commit(block, 0, 1 * GiB, hdm::Unit)) << "what is skipped counts";
    EXPECT_TRUE(commit(block, 0, 512 * MiB, hdm::Unit));
    EXPECT_FALSE(commit(block, 1, 512 * MiB, 0)) << "what the other one has counts";
    EXPECT_TRUE(commit(block, 1, hdm::Unit, 0));
    EXPECT_FALSE(commit(block, 0, 1 * GiB, 0)) << "whichever comes first";
    // Sums that wrap.
    EXPECT_FALSE(commit(block, 0, hdm::Unit, UINT64_MAX - hdm::Unit + 1));
    EXPECT_FALSE(commit(block, 0, UINT64_MAX - 4 * GiB + 1, hdm::Unit));
}

TEST(Decoder, InterleavedCommitFails) {
    cxl::HdmBlock block(1, Capacity);
    write32(block, 0x18, 0x10000000);
    write32(block, 0x20, hdm::Commit | 0x10);
    EXPECT_EQ(block.control(0) & hdm::Committed, 0U);
}

TEST(Decoder, NarrowWritesChangeTheirBytesOnly) {
    cxl::HdmBlock block(1, Capacity);
    write32(block, 0x14, 0x11223344);
    const std::uint8_t byte = 0xaa;
    block.write(0x15, std::as_bytes(std::span(&byte, 1)));
    EXPECT_EQ(block.dword(0x14), 0x1122aa44U);
}

TEST(Component, WalkingTheArrayFindsTheDecoders) {
    cxl::CacheMemRegisters regs(1, Capacity);
    Bytes bytes(16);
    regs.read(0, bytes);
    const auto header = load<std::uint32_t>(bytes);
    EXPECT_EQ(header & 0xffff, 1U);
    EXPECT_EQ(header >> 24, 3U);
    const auto dword = [&](std::uint32_t at) -> Result<std::uint32_t> {
        return load<std::uint32_t>(bytes, at);
    };
    EXPECT_EQ(value_of(vfio::find_hdm(dword)), cxl::HdmOffset);
}

// What a device says that has never heard of the rules.
TEST(Walks, EndWhateverIsRead) {
    for (const std::uint32_t everywhere :
         {0U, UINT32_MAX, 0x10000023U, 0x10010023U, 0xff000001U, 0xffc00023U}) {
        unsigned reads = 0;
        const auto dword = [&](auto) -> Result<std::uint32_t> {
            ++reads;
            return everywhere;
        };
        EXPECT_EQ(code_of(vfio::find_dvsec(cxl::DvsecDevice, dword)), ENOENT);
        EXPECT_EQ(code_of(vfio::find_hdm(dword)), EPROTO);
        EXPECT_EQ(code_of(vfio::find_component(0x100, dword)), ENOENT);
        EXPECT_LT(reads, 5000U) << everywhere;
    }
}

TEST(Walks, EndWhereNothingCanBeRead) {
    const auto dword = [](auto) -> Result<std::uint32_t> { return fail(EIO); };
    EXPECT_EQ(code_of(vfio::find_dvsec(cxl::DvsecDevice, dword)), EIO);
    EXPECT_EQ(code_of(vfio::find_hdm(dword)), EIO);
    EXPECT_EQ(code_of(vfio::find_component(0x100, dword)), EIO);
}

TEST(Component, RasStatusIsClearedByWritingOneAndHeadersAreReadOnly) {
    cxl::CacheMemRegisters regs(1, Capacity);
    regs.registers().set(cxl::RasOffset, std::uint32_t{0x3});
    const std::uint32_t one = 1;
    regs.write(cxl::RasOffset, std::as_bytes(std::span(&one, 1)));
    EXPECT_EQ(regs.registers().get<std::uint32_t>(cxl::RasOffset), 2U);
    const auto before = regs.registers().get<std::uint32_t>(0);
    regs.write(0, std::as_bytes(std::span(&one, 1)));
    EXPECT_EQ(regs.registers().get<std::uint32_t>(0), before);
}

TEST(Component, RowsDoNotOverlapEachOther) {
    cxl::CacheMemRegisters regs(10, Capacity);
    std::vector<Register> rows(regs.registers().rows().begin(), regs.registers().rows().end());
    for (Register row : regs.hdm().registers().rows()) {
        row.offset += cxl::HdmOffset;
        rows.push_back(row);
    }
    for (std::size_t i = 0; i < rows.size(); ++i) {
        EXPECT_LE(rows[i].offset + rows[i].width, cxl::CacheMemSize);
        for (std::size_t j = i + 1; j < rows.size(); ++j) {
            EXPECT_FALSE(overlaps(rows[i].offset, rows[i].width, rows[j].offset, rows[j].width))
                << rows[i].name << " and " << rows[j].name;
        }
    }
}

TEST(Sparse, AreasLeaveOutTheBlockRoundedToPages) {
    EXPECT_EQ(contract::areas_around(0x100000, 0x11200, 0x30, 0x1000),
              (std::vector<Area>{{0, 0x11000}, {0x12000, 0xee000}}));
    EXPECT_EQ(contract::areas_around(0x100000, 0x11200, 0x30, 0x10000),
              (std::vector<Area>{{0, 0x10000}, {0x20000, 0xe0000}}));
    EXPECT_EQ(contract::areas_around(0x10000, 0x200, 0x30, 0x1000),
              (std::vector<Area>{{0x1000, 0xf000}}));
    EXPECT_TRUE(contract::areas_around(0x10000, 0x200, 0x30, 0x10000).empty());
}

class BothContracts : public ::testing::TestWithParam<device::ContractKind> {
  protected:
    static device::Config config() {
        device::Config made;
        made.contract = GetParam();
        return valid(made);
    }
};

TEST_P(BothContracts, RegionsHaveTheirTypesAndFlags) {
    Harness harness(config());
    const auto memory = value_of(harness.client->region(9));
    const auto regs = value_of(harness.client->region(10));
    ASSERT_FALSE(memory.caps.empty());
    ASSERT_FALSE(regs.caps.empty());
    EXPECT_EQ(load<std::uint32_t>(memory.caps[0].body, 0), vfio::uapi::RegionType);
    EXPECT_EQ(load<std::uint32_t>(memory.caps[0].body, 4), vfio::uapi::SubtypeMemory);
    EXPECT_EQ(load<std::uint32_t>(regs.caps[0].body, 4), vfio::uapi::SubtypeCompRegs);
    EXPECT_EQ(memory.info.flags & 7U, 7U);
    EXPECT_EQ(regs.info.flags & 7U, 3U);
    EXPECT_TRUE(memory.fd);
    EXPECT_FALSE(regs.fd);
}

TEST_P(BothContracts, MemoryFileCannotChangeItsSize) {
    Harness harness(config());
    const auto memory = value_of(harness.client->region(9));
    EXPECT_NE(ftruncate(memory.fd.get(), 4096), 0);
    EXPECT_NE(ftruncate(memory.fd.get(), 1 * GiB), 0);
}

TEST_P(BothContracts, DeviceResetClearsMemoryThroughEveryMapping) {
    Harness harness(config());
    const auto memory = value_of(harness.client->region(9));
    const auto mapping = value_of(Mapping::map(memory.fd.get(), 0, memory.info.size, true, true));
    mapping.bytes()[0] = std::byte{1};
    mapping.bytes()[memory.info.size - 1] = std::byte{2};
    EXPECT_EQ(harness.control("peek 0 1"), "01");
    EXPECT_EQ(harness.control("peek 0xfffffff 1"), "02");
    EXPECT_EQ(code_of(harness.client->reset()), 0);
    EXPECT_EQ(mapping.bytes()[0], std::byte{0});
    EXPECT_EQ(mapping.bytes()[memory.info.size - 1], std::byte{0});
    EXPECT_EQ(harness.device->counters().device_resets, 1U);
}

TEST_P(BothContracts, MappingTheRegisterPageAgainstTheContractShowsNoHostAddress) {
    Harness harness(config());
    const auto bar = value_of(harness.client->region(0));
    const auto mapping = value_of(Mapping::map(bar.fd.get(), 0x11000, 0x1000, true, false));
    for (const auto byte : mapping.bytes()) {
        ASSERT_EQ(byte, std::byte{0xff});
    }
}

INSTANTIATE_TEST_SUITE_P(Contracts, BothContracts,
                         ::testing::Values(device::ContractKind::Live,
                                           device::ContractKind::Shadow),
                         [](const auto &param) {
                             return param.param == device::ContractKind::Live ? "live" : "shadow";
                         });

TEST(Live, CompRegsShowTheHostDecoderAndAbsorbWrites) {
    Harness harness;
    EXPECT_EQ(harness.read32(10, 0x10), 0x40000000U);
    EXPECT_EQ(harness.read32(10, 0x14), 0x4242U);
    EXPECT_EQ(harness.read32(10, 0x20), Locked);
    EXPECT_EQ(harness.write(10, 0x20, 0U), 0);
    EXPECT_EQ(harness.write(10, 0x14, 0U), 0);
    EXPECT_EQ(harness.read32(10, 0x14), 0x4242U);
    EXPECT_EQ(harness.read32(10, 0x20), Locked);
}

TEST(Live, CompRegsAccessRules) {
    Harness harness;
    EXPECT_EQ(harness.read_code(10, 1, 4), EINVAL);
    EXPECT_EQ(harness.read_code(10, 0, 2), EINVAL);
    EXPECT_EQ(harness.read_code(10, 0x30, 4), EINVAL) << "at the end";
    Bytes bytes(64);
    EXPECT_EQ(value_of(harness.client->read(10, 0x28, bytes)), 8U) << "cut at the end";
    EXPECT_EQ(value_of(harness.client->read(10, 0, ByteSpan(bytes).first(8))), 8U);
}

TEST(Live, DecoderBlockIsAllOnesThroughTheBarAndTheRestIsNot) {
    Harness harness;
    for (std::uint32_t at = 0; at < hdm::block_size(1); at += 4) {
        EXPECT_EQ(harness.write(0, 0x11200 + at, 0U), 0);
        EXPECT_EQ(harness.read32(0, 0x11200 + at), 0xffffffffU);
    }
    EXPECT_EQ(harness.read32(0, 0x11000), 0x03110001U);
    EXPECT_EQ(harness.read32(0, 0x11200 + hdm::block_size(1)), 0U);
    EXPECT_EQ(harness.write(0, 0x10ffe, 0x12345678U), 0) << "across the edge of the page";
    EXPECT_EQ(harness.read32(0, 0x10ffe) & 0xffffU, 0x5678U);
    EXPECT_EQ(harness.read32(0, 0x11000), 0x03110001U);
}

TEST(Live, GeometryCapabilityNamesTheDecoderBlock) {
    Harness harness;
    const auto regs = value_of(harness.client->region(10));
    ASSERT_EQ(regs.caps.size(), 2U);
    const auto cap = load<vfio::uapi::CapCompRegs>(regs.caps[1].body);
    EXPECT_EQ(cap.bar, 0U);
    EXPECT_EQ(cap.offset, 0x11200U);
    EXPECT_TRUE(value_of(harness.client->device_info()).caps.empty());
}

TEST(Live, SeveralDecodersFollowEachOther) {
    device::Config config;
    config.decoders = 4;
    Harness harness(valid(config));
    EXPECT_EQ(value_of(harness.client->region(9)).info.size, 1 * GiB);
    for (unsigned i = 0; i < 4; ++i) {
        const std::uint32_t at = hdm::decoder_offset(i);
        EXPECT_EQ(harness.read32(10, at), 0x40000000U + i * 0x10000000U);
        EXPECT_EQ(harness.read32(10, at + 8), 0x10000000U);
        EXPECT_EQ(harness.read32(10, at + 0x10), Locked);
    }
}

TEST(Decoder, FirmwareProgramsTheSkip) {
    cxl::HdmBlock block(2, Capacity);
    block.program(1, 0x100000000, hdm::Unit, true, 0x340000000);
    EXPECT_EQ(block.skip(0), 0U);
    EXPECT_EQ(block.skip(1), 0x340000000U);
    EXPECT_EQ(block.dword(hdm::decoder_offset(1) + hdm::SkipLow), 0x40000000U);
    EXPECT_EQ(block.dword(hdm::decoder_offset(1) + hdm::SkipHigh), 3U);
}

// A reset programs them anew, and the region has the memory in between.
TEST(Live, DecodersThatSkipMemory) {
    device::Config config;
    config.decoders = 2;
    config.decoder_skip = 512 * MiB;
    Harness harness(valid(config));
    for (int round = 0; round < 2; ++round) {
        EXPECT_EQ(value_of(harness.client->region(9)).info.size, 1 * GiB);
        for (unsigned i = 0; i < 2; ++i) {
            const std::uint32_t at = hdm::decoder_offset(i);
            EXPECT_EQ(harness.read32(10, at), 0x40000000U + i * 0x10000000U) << "one host range";
            EXPECT_EQ(harness.read32(10, at + hdm::SkipLow), 0x20000000U);
            EXPECT_EQ(harness.read32(10, at + hdm::Control), Locked);
        }
        EXPECT_EQ(code_of(harness.client->reset()), 0);
    }
}

TEST(Live, UncommittedDecodersAreEmptyAndMemoryIsThere) {
    device::Config config;
    config.uncommitted = true;
    config.memory_without_decoder = true;
    Harness harness(valid(config));
    for (std::uint32_t at = 4; at < hdm::block_size(1); at += 4) {
        EXPECT_EQ(harness.read32(10, at), 0U);
    }
    EXPECT_EQ(harness.write(9, 0, 7U), 0);
    EXPECT_EQ(harness.read32(9, 0), 7U);
}

class ShadowContract : public ::testing::Test {
  protected:
    static device::Config config() {
        device::Config made;
        made.contract = device::ContractKind::Shadow;
        return valid(made);
    }
    Harness harness{config()};
    static constexpr std::uint32_t D0 = cxl::HdmOffset + hdm::FirstDecoder;
};

TEST_F(ShadowContract, DeviceCapabilityHasThirtyTwoBytes) {
    auto info = value_of(harness.client->device_info());
    EXPECT_EQ(info.info.argsz, 24U + 32U);
    ASSERT_EQ(info.caps.size(), 1U);
    EXPECT_EQ(info.caps[0].id, 6);
    EXPECT_EQ(info.caps[0].version, 1);
    const auto cap = load<vfio::uapi::CapDeviceCxl>(info.caps[0].body);
    EXPECT_EQ(cap.hdm_regs_bar_index, 0);
    EXPECT_EQ(cap.hdm_regs_offset, 0x11000U);
    EXPECT_EQ(cap.dpa_region_index, 9U);
    EXPECT_EQ(cap.comp_regs_region_index, 10U);
    EXPECT_EQ(cap.flags, 3U);
}

TEST(Shadow, SkippedMemoryIsInTheRegion) {
    device::Config config;
    config.contract = device::ContractKind::Shadow;
    config.decoder_skip = 512 * MiB;
    Harness harness(valid(config));
    EXPECT_EQ(value_of(harness.client->region(9)).info.size, 768 * MiB);
    const std::uint32_t at = cxl::HdmOffset + hdm::decoder_offset(0);
    EXPECT_EQ(harness.read32(10, at + hdm::SkipLow), 0x20000000U);
    EXPECT_EQ(harness.read32(10, at + hdm::SizeLow), 0x10000000U);
}

TEST_F(ShadowContract, DeviceInfoNeverExceedsArgsz) {
    for (std::uint32_t argsz = 16; argsz < 64; argsz += 4) {
        const vfio_user::DeviceInfo request = {argsz, 0, 0, 0};
        const auto reply = value_of(harness.client->call(vfio_user::Command::DeviceGetInfo,
                                                         std::as_bytes(std::span(&request, 1))));
        EXPECT_EQ(reply.body.size(), argsz < 56 ? 16U : 56U);
        const auto info = load<vfio_user::DeviceInfo>(reply.body);
        EXPECT_EQ(info.argsz, 56U);
        EXPECT_EQ((info.flags & VFIO_DEVICE_FLAGS_CAPS) != 0, argsz >= 56);
    }
}

TEST_F(ShadowContract, CompRegsBeginAtTheArrayAndSnapshotIsReadOnly) {
    EXPECT_EQ(harness.read32(10, 0), 0x03110001U);
    EXPECT_EQ(value_of(harness.client->region(10)).info.size, cxl::HdmOffset + hdm::block_size(1));
    const auto mask = harness.read32(10, cxl::RasOffset + 4);
    EXPECT_NE(mask, 0U);
    EXPECT_EQ(harness.write(10, cxl::RasOffset + 4, 0U), 0);
    EXPECT_EQ(harness.read32(10, cxl::RasOffset + 4), mask);
}

TEST_F(ShadowContract, CompRegsAccessRules) {
    EXPECT_EQ(harness.read_code(10, 0, 8), EINVAL);
    EXPECT_EQ(harness.read_code(10, 2, 4), EINVAL);
    EXPECT_EQ(harness.read_code(10, 0, 2), EINVAL);
    EXPECT_EQ(harness.read_code(10, cxl::HdmOffset + hdm::block_size(1), 4), EINVAL);
    EXPECT_EQ(harness.write(10, 0, std::uint64_t{0}), EINVAL);
}

TEST_F(ShadowContract, CommittedDecoderLosesLockAndBase) {
    EXPECT_EQ(harness.read32(10, D0), 0U);
    EXPECT_EQ(harness.read32(10, D0 + 4), 0U);
    EXPECT_EQ(harness.read32(10, D0 + 8), 0x10000000U);
    EXPECT_EQ(harness.read32(10, D0 + 0x10), hdm::Commit | hdm::Committed);
}

TEST_F(ShadowContract, ShadowRules) {
    EXPECT_EQ(harness.write(10, D0, 0xffffffffU), 0);
    EXPECT_EQ(harness.read32(10, D0), 0xf0000000U) << "low 28 bits are 0";
    EXPECT_EQ(harness.write(10, D0 + 0x10, 0U), 0);
    EXPECT_EQ(harness.read32(10, D0 + 0x10), 0U) << "uncommits at once";
    EXPECT_EQ(harness.write(10, D0 + 0x10, hdm::Commit | hdm::LockOnCommit), 0);
    EXPECT_EQ(harness.read32(10, D0 + 0x10), Locked) << "commits at once";
    EXPECT_EQ(harness.write(10, D0, 0U), 0);
    EXPECT_EQ(harness.read32(10, D0), 0xf0000000U) << "locked";
    EXPECT_EQ(harness.write(10, D0 + 0x10, hdm::LockOnCommit), 0);
    EXPECT_EQ(harness.read32(10, D0 + 0x10), Locked) << "LOCK=1 is ignored";
    EXPECT_EQ(harness.write(10, D0 + 0x10, 0U), 0);
    EXPECT_EQ(harness.read32(10, D0 + 0x10), hdm::Commit | hdm::Committed) << "LOCK=0 unlocks only";
}

// The hardware, by the BAR's fd, has 256 MiB; the kernel's shadow is a set of values.
TEST(Shadow, HardwareRefusesWhatTheShadowCommits) {
    device::Config config;
    config.contract = device::ContractKind::Shadow;
    config.uncommitted = true;
    Harness harness(valid(config));
    const std::uint64_t block = device::ComponentOffset + cxl::CacheMemOffset;
    const std::uint32_t d0 = cxl::HdmOffset + hdm::FirstDecoder;
    for (const auto &[region, at] : {std::pair{0U, block + d0}, {10U, std::uint64_t{d0}}}) {
        EXPECT_EQ(harness.write(region, at + hdm::SizeLow, 0xf0000000U), 0);
        EXPECT_EQ(harness.write(region, at + hdm::Control, hdm::Commit), 0);
    }
    EXPECT_EQ(harness.read32(0, block + d0 + hdm::Control), hdm::Commit | hdm::ErrorNotCommitted);
    EXPECT_EQ(harness.read32(10, d0 + hdm::Control), hdm::Commit | hdm::Committed);
    // What a VMM sees that opens the device now is the hardware's error, until it writes.
    harness.device->closed();
    harness.device->opened(*harness.connection);
    EXPECT_EQ(harness.read32(10, d0 + hdm::Control), hdm::Commit | hdm::ErrorNotCommitted);
    EXPECT_EQ(harness.write(10, d0 + hdm::Control, hdm::Commit), 0);
    EXPECT_EQ(harness.read32(10, d0 + hdm::Control), hdm::Commit | hdm::Committed);
    EXPECT_EQ(harness.write(0, block + d0 + hdm::Control, 0U), 0);
    EXPECT_EQ(harness.write(0, block + d0 + hdm::SizeLow, 0x10000000U), 0);
    EXPECT_EQ(harness.write(0, block + d0 + hdm::Control, hdm::Commit), 0);
    EXPECT_EQ(harness.read32(0, block + d0 + hdm::Control), hdm::Commit | hdm::Committed);
}

TEST_F(ShadowContract, ResetTakesANewSnapshot) {
    EXPECT_EQ(harness.write(10, D0 + 4, 0x1234U), 0);
    EXPECT_EQ(harness.read32(10, D0 + 4), 0x1234U);
    EXPECT_EQ(code_of(harness.client->reset()), 0);
    EXPECT_EQ(harness.read32(10, D0 + 4), 0U);
    EXPECT_EQ(harness.read32(10, D0 + 0x10), hdm::Commit | hdm::Committed);
}

TEST_F(ShadowContract, WhatIsSkippedIsNotTheGuests) {
    EXPECT_EQ(harness.write(10, D0 + hdm::Control, 0U), 0);
    EXPECT_EQ(harness.write(10, D0 + hdm::SkipLow, 0x10000000U), 0) << "taken, and dropped";
    EXPECT_EQ(harness.write(10, D0 + hdm::SkipHigh, 1U), 0);
    EXPECT_EQ(harness.read32(10, D0 + hdm::SkipLow), 0U);
    EXPECT_EQ(harness.read32(10, D0 + hdm::SkipHigh), 0U);
}

TEST_F(ShadowContract, BarLeavesOutTheWholeBlock) {
    const auto bar = value_of(harness.client->region(0));
    ASSERT_EQ(bar.caps.size(), 1U);
    EXPECT_EQ(load<std::uint32_t>(bar.caps[0].body, 0), 2U);
    EXPECT_EQ(load<std::uint64_t>(bar.caps[0].body, 8), 0U);
    EXPECT_EQ(load<std::uint64_t>(bar.caps[0].body, 16), 0x10000U);
    EXPECT_EQ(load<std::uint64_t>(bar.caps[0].body, 24), 0x20000U);
    EXPECT_EQ(load<std::uint64_t>(bar.caps[0].body, 32), 0xe0000U);
}

} // namespace
} // namespace type2::test
