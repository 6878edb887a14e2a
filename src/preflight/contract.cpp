// SPDX-License-Identifier: GPL-2.0-or-later
#include "preflight/contract.h"

#include "pci/config_space.h"
#include "vfio/uapi.h"
#include "vfio/walk.h"

#include <cerrno>
#include <fmt/format.h>
#include <linux/vfio.h>

namespace type2::preflight {

namespace {

namespace hdm = cxl::hdm;
namespace uapi = vfio::uapi;
using vfio::Target;
using vfio::TargetDevice;
using vfio::TargetRegion;
using vfio_user::find_cap;

// The layout of June 2026 used the shadow generation's id with 48 bytes.
constexpr std::size_t RetiredBody = 48 - sizeof(vfio_info_cap_header);
// More regions than any kernel has: a lie.
constexpr std::uint32_t MostRegions = 100;

/// The two CXL regions as their types name them.
struct Found {
    std::optional<TargetRegion> memory;
    std::optional<TargetRegion> registers;
};

std::string find_regions(Target &target, std::uint32_t count, Found &found) {
    for (std::uint32_t i = VFIO_PCI_NUM_REGIONS; i < std::min(count, MostRegions); ++i) {
        auto region = target.region(i);
        if (!region) {
            continue;
        }
        const auto *type = find_cap(region->caps, VFIO_REGION_INFO_CAP_TYPE);
        if (type == nullptr || type->body.size() < 8 ||
            load<std::uint32_t>(type->body) != uapi::RegionType) {
            continue;
        }
        const auto subtype = load<std::uint32_t>(type->body, 4);
        if (subtype != uapi::SubtypeMemory && subtype != uapi::SubtypeCompRegs) {
            continue;
        }
        auto &slot = subtype == uapi::SubtypeMemory ? found.memory : found.registers;
        if (slot) {
            return fmt::format("regions {} and {} both have subtype {}, expected one", slot->index,
                               i, subtype);
        }
        region->index = i;
        slot = std::move(*region);
    }
    if (!found.memory || !found.registers) {
        return fmt::format("no {} region (type {:#x}, subtype {})",
                           found.memory ? "component register" : "CXL memory", uapi::RegionType,
                           found.memory ? uapi::SubtypeCompRegs : uapi::SubtypeMemory);
    }
    return {};
}

/// Fills in the generation. Returns what is wrong.
std::string tell_generation(const TargetDevice &device, const Found &found, VfioFacts &facts) {
    const auto *shadow = find_cap(device.caps, uapi::CapDeviceCxlId);
    if (shadow != nullptr) {
        if (shadow->body.size() >= RetiredBody) {
            return fmt::format("a device capability of {} bytes: the layout of June 2026, which "
                               "was replaced",
                               shadow->body.size() + sizeof(vfio_info_cap_header));
        }
        if (shadow->body.size() < sizeof(uapi::CapDeviceCxl) ||
            shadow->version != uapi::CapDeviceCxlVersion) {
            return fmt::format("a device capability of {} bytes, version {}; expected {} and {}",
                               shadow->body.size() + sizeof(vfio_info_cap_header), shadow->version,
                               sizeof(uapi::CapDeviceCxl) + sizeof(vfio_info_cap_header),
                               uapi::CapDeviceCxlVersion);
        }
        const auto body = load<uapi::CapDeviceCxl>(shadow->body);
        if (found.memory && found.registers &&
            (body.dpa_region_index != found.memory->index ||
             body.comp_regs_region_index != found.registers->index)) {
            return fmt::format("the device capability names regions {} and {}, their types say {} "
                               "and {}",
                               body.dpa_region_index, body.comp_regs_region_index,
                               found.memory->index, found.registers->index);
        }
        facts.generation = Generation::Shadow;
        facts.bar = body.hdm_regs_bar_index;
        facts.bar_offset = body.hdm_regs_offset;
        facts.firmware_committed = (body.flags & uapi::FlagFirmwareCommitted) != 0;
        facts.cache_capable = (body.flags & uapi::FlagCacheCapable) != 0;
        return {};
    }
    const auto *live =
        found.registers ? find_cap(found.registers->caps, uapi::CapCompRegsId) : nullptr;
    if (live == nullptr || live->body.size() < sizeof(uapi::CapCompRegs)) {
        return fmt::format("neither a device capability {} nor a capability {} of the component "
                           "register region",
                           uapi::CapDeviceCxlId, uapi::CapCompRegsId);
    }
    if (live->version != uapi::CapCompRegsVersion) {
        return fmt::format("component register capability of version {}, expected {}",
                           live->version, uapi::CapCompRegsVersion);
    }
    const auto body = load<uapi::CapCompRegs>(live->body);
    facts.generation = Generation::Live;
    facts.bar = body.bar;
    facts.bar_offset = body.offset;
    return {};
}

/// Component registers, dword by dword.
class Registers {
  public:
    Registers(Target &target, std::uint32_t region) : target_(target), region_(region) {}

    Result<std::uint32_t> dword(std::uint64_t offset) {
        return vfio::read_dword(target_, region_, offset);
    }

    /// Two registers, the low one first.
    Result<std::uint64_t> pair(std::uint64_t offset) {
        const auto low = dword(offset);
        const auto high = dword(offset + 4);
        if (!low || !high) {
            return tl::unexpected((low ? high : low).error());
        }
        return std::uint64_t{*high} << 32 | (*low & ~static_cast<std::uint32_t>(hdm::Unit - 1));
    }

    Result<DecoderFacts> decoder(std::uint64_t at) {
        const auto control = dword(at + hdm::Control);
        const auto base = pair(at + hdm::BaseLow);
        const auto size = pair(at + hdm::SizeLow);
        const auto skip = pair(at + hdm::SkipLow);
        if (!control) {
            return tl::unexpected(control.error());
        }
        for (const auto *value : {&base, &size, &skip}) {
            if (!*value) {
                return tl::unexpected(value->error());
            }
        }
        constexpr std::uint32_t Ways = 0xf0;
        DecoderFacts facts;
        facts.size = *size;
        facts.skip = *skip;
        facts.wraps = *base + *size < *base;
        facts.committed = (*control & hdm::Committed) != 0;
        facts.locked = (*control & hdm::LockOnCommit) != 0;
        facts.interleaved = (*control & Ways) != 0;
        facts.error = (*control & hdm::ErrorNotCommitted) != 0;
        return facts;
    }

  private:
    Target &target_;
    std::uint32_t region_;
};

/// The registers have to lie inside a BAR that is there. Returns what is wrong.
std::string check_place(Target &target, const VfioFacts &facts) {
    const auto place = fmt::format("component registers in BAR {} at {:#x}, {:#x} bytes", facts.bar,
                                   facts.bar_offset, facts.registers->size);
    if (facts.bar >= pci::BarCount) {
        return place + ": a BAR is 0 to 5";
    }
    const auto bar = target.region(facts.bar);
    const auto size = bar ? bar->size : 0;
    if (facts.bar_offset % 4 != 0 || facts.registers->size == 0 ||
        !fits(facts.bar_offset, facts.registers->size, size)) {
        return fmt::format("{}: expected them dword aligned inside the BAR of {:#x} bytes", place,
                           size);
    }
    return {};
}

std::string read_decoders(Target &target, VfioFacts &facts) {
    Registers registers(target, facts.registers->index);
    std::uint64_t block = 0;
    if (facts.generation == Generation::Shadow) {
        const auto found =
            vfio::find_hdm([&](std::uint32_t offset) { return registers.dword(offset); });
        if (!found) {
            return found.error().text;
        }
        block = *found;
    }
    const auto capability = registers.dword(block + hdm::Capability);
    if (!capability) {
        return capability.error().text;
    }
    const unsigned count = hdm::decode_count(*capability);
    if (count > hdm::MaxDecoders) {
        return fmt::format("{} decoders, a device has {} at most", count, hdm::MaxDecoders);
    }
    const auto length = facts.registers->size;
    if (!fits(block, hdm::block_size(count), length)) {
        return fmt::format("the block of {} decoders at {:#x} of a region of {:#x} bytes", count,
                           block, length);
    }
    for (unsigned i = 0; i < count; ++i) {
        auto decoder = registers.decoder(block + hdm::decoder_offset(i));
        if (!decoder) {
            return decoder.error().text;
        }
        facts.decoders.push_back(*decoder);
    }
    return {};
}

RegionFacts plain(const TargetRegion &region) {
    return {region.index, region.flags, region.size};
}

} // namespace

Result<VfioFacts> read_contract(Target &target) {
    const auto device = target.device();
    if (!device) {
        return tl::unexpected(device.error());
    }
    VfioFacts facts;
    facts.flags = device->flags;
    Found found;
    facts.region_problem = find_regions(target, device->num_regions, found);
    if (found.memory) {
        facts.memory = plain(*found.memory);
    }
    if (found.registers) {
        facts.registers = plain(*found.registers);
    }
    facts.contract_problem = tell_generation(*device, found, facts);
    if (facts.generation != Generation::None && facts.registers) {
        facts.decoder_problem = check_place(target, facts);
        if (facts.decoder_problem.empty()) {
            facts.decoder_problem = read_decoders(target, facts);
        }
    }
    return facts;
}

Result<PciFacts> read_config(Target &target) {
    Bytes config(pci::ConfigSize);
    const auto got = target.read(VFIO_PCI_CONFIG_REGION_INDEX, 0, config);
    if (!got) {
        return tl::unexpected(got.error());
    }
    config.resize(*got);
    auto facts = decode_config(config);
    for (std::uint32_t i = 0; i < pci::BarCount; ++i) {
        const auto bar = target.region(i);
        facts.bars.push_back(bar ? bar->size : 0);
    }
    return facts;
}

} // namespace type2::preflight
