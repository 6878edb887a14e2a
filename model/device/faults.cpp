// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/faults.h"

#include "contract/contract.h"
#include "contract/uapi.h"
#include "cxl/component.h"
#include "cxl/dvsec.h"
#include "vfio_user/caps.h"
#include "vfio_user/protocol.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <fmt/format.h>
#include <optional>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

namespace model::device {

namespace {

using vfio_user::Command;
using vfio_user::InfoCap;
using vfio_user::RegionAccess;
using vfio_user::RegionInfo;
using vfio_user::Reply;
namespace hdm = cxl::hdm;
namespace uapi = contract::uapi;

constexpr std::uint32_t BarRegion = VFIO_PCI_BAR0_REGION_INDEX + ComponentBar;
constexpr std::uint32_t ConfigRegion = VFIO_PCI_CONFIG_REGION_INDEX;
constexpr std::uint32_t MemoryRegion = contract::MemoryRegion;
constexpr std::uint32_t CompRegs = contract::CompRegsRegion;
constexpr std::chrono::seconds Hang{60}; // longer than any client waits
constexpr int DeathStatus = 3;

// --- looking at requests -------------------------------------------------------------------------

/// A question about a region that is well formed, whatever the device says to it.
std::optional<RegionInfo> info_request(const FaultView &view) {
    if (view.command != Command::DeviceGetRegionInfo || view.body.size() < sizeof(RegionInfo)) {
        return std::nullopt;
    }
    const auto request = load<RegionInfo>(view.body);
    return request.argsz >= sizeof(RegionInfo) ? std::optional(request) : std::nullopt;
}

/// The index of a question about a region that the device answers.
std::optional<std::uint32_t> info_index(const FaultView &view, const Reply &reply) {
    const auto request = info_request(view);
    return request && reply.error == 0 ? std::optional(request->index) : std::nullopt;
}

/// Of a question about the device or a region that the device answers.
std::uint32_t info_argsz(const FaultView &view) {
    return load<std::uint32_t>(view.body);
}

std::optional<RegionAccess> access(const FaultView &view, Command command) {
    if (view.command != command || view.body.size() < sizeof(RegionAccess)) {
        return std::nullopt;
    }
    return load<RegionAccess>(view.body);
}

bool reads(const FaultView &view, std::uint32_t region) {
    const auto found = access(view, Command::RegionRead);
    return found && found->region == region;
}

bool writes(const FaultView &view, std::uint32_t region) {
    const auto found = access(view, Command::RegionWrite);
    return found && found->region == region;
}

// --- changing replies ----------------------------------------------------------------------------

Bytes region_info(const RegionInfo &info, const std::vector<InfoCap> &caps, std::uint32_t argsz) {
    Bytes bytes;
    append(bytes, info);
    return vfio_user::info_with_caps(vfio_user::RegionInfoForm, std::move(bytes), caps, argsz);
}

/// Rebuilds the region info of `index` after `change(info, caps)`, honestly in every other respect.
template <typename Change>
void edit_region(FaultView &view, Reply &reply, std::uint32_t index, Change change) {
    if (info_index(view, reply) != index) {
        return;
    }
    auto info = load<RegionInfo>(reply.payload);
    std::vector<InfoCap> caps;
    if ((info.flags & VFIO_REGION_INFO_FLAG_CAPS) != 0) {
        caps = vfio_user::parse_caps(reply.payload, info.cap_offset).value_or(caps);
    } else if (info.argsz > sizeof(RegionInfo)) {
        return; // the client asks again with room for the capabilities
    }
    change(info, caps);
    info.flags &= ~std::uint32_t{VFIO_REGION_INFO_FLAG_CAPS};
    info.cap_offset = 0;
    reply.payload = region_info(info, caps, info_argsz(view));
    if ((info.flags & VFIO_REGION_INFO_FLAG_MMAP) == 0) {
        reply.fds.clear();
    }
}

template <typename Change> void edit_size(FaultView &view, Reply &reply, Change change) {
    edit_region(view, reply, MemoryRegion,
                [&](RegionInfo &info, auto &) { info.size = change(std::uint64_t{info.size}); });
}

/// The bytes of a capability chain that is sent, for both CXL regions: change(payload, at) with
/// `at` the first capability's offset.
template <typename Change> void edit_chain(FaultView &view, Reply &reply, Change change) {
    const auto index = info_index(view, reply);
    const auto is = [&](std::uint32_t region) { return index == region; };
    if (!is(MemoryRegion) && !is(CompRegs)) {
        return;
    }
    auto info = load<RegionInfo>(reply.payload);
    if ((info.flags & VFIO_REGION_INFO_FLAG_CAPS) != 0) {
        change(reply.payload, std::size_t{info.cap_offset});
    }
}

void set_next(Bytes &payload, std::size_t at, std::uint32_t next) {
    store(ByteSpan(payload), at + offsetof(vfio_info_cap_header, next), next);
}

/// The sparse areas of the component BAR.
template <typename Change> void edit_areas(FaultView &view, Reply &reply, Change change) {
    edit_region(view, reply, BarRegion, [&](RegionInfo &, std::vector<InfoCap> &caps) {
        for (auto &cap : caps) {
            if (cap.id == VFIO_REGION_INFO_CAP_SPARSE_MMAP) {
                std::vector<contract::Area> areas;
                const auto count = load<std::uint32_t>(cap.body);
                for (std::uint32_t i = 0; i < count; ++i) {
                    areas.push_back({load<std::uint64_t>(cap.body, 8 + 16 * std::size_t{i}),
                                     load<std::uint64_t>(cap.body, 16 + 16 * std::size_t{i})});
                }
                change(areas);
                cap = contract::sparse_cap(areas);
            }
        }
    });
}

/// Where the contract says that the decoder block is: live, in the region's capability; shadow, in
/// the device's. change(bar, offset of the HDM block).
template <typename Change> void edit_geometry(FaultView &view, Reply &reply, Change change) {
    if (view.config.contract == ContractKind::Live) {
        edit_region(view, reply, CompRegs, [&](RegionInfo &, std::vector<InfoCap> &caps) {
            for (auto &cap : caps) {
                if (cap.id == uapi::CapCompRegsId) {
                    auto body = load<uapi::CapCompRegs>(cap.body);
                    change(body.bar, body.offset);
                    store(ByteSpan(cap.body), 0, body);
                }
            }
        });
    } else if (view.command == Command::DeviceGetInfo &&
               reply.payload.size() > sizeof(vfio_user::DeviceInfoWithCaps)) {
        const std::size_t at = sizeof(vfio_user::DeviceInfoWithCaps) + sizeof(vfio_info_cap_header);
        auto body = load<uapi::CapDeviceCxl>(reply.payload, at);
        std::uint32_t bar = body.hdm_regs_bar_index;
        std::uint64_t offset = body.hdm_regs_offset + cxl::HdmOffset;
        change(bar, offset);
        body.hdm_regs_bar_index = static_cast<std::uint8_t>(bar);
        body.hdm_regs_offset = offset - cxl::HdmOffset;
        store(ByteSpan(reply.payload), at, body);
    }
}

/// A dword of `region`, or as much of it as a read returns.
template <typename Change>
void edit_dword(FaultView &view, Reply &reply, std::uint32_t region, std::uint64_t offset,
                Change change) {
    const auto found = access(view, Command::RegionRead);
    if (!found || found->region != region || reply.error != 0) {
        return;
    }
    // Bytes of the dword that were not read count as 0.
    const auto part = ByteSpan(reply.payload).subspan(sizeof(RegionAccess));
    const auto covered = [&](std::size_t i) {
        return offset + i >= found->offset && offset + i - found->offset < part.size();
    };
    std::array<std::byte, 4> dword{};
    for (std::size_t i = 0; i < dword.size(); ++i) {
        if (covered(i)) {
            dword.at(i) = part[offset + i - found->offset];
        }
    }
    store(ByteSpan(dword), 0, std::uint32_t{change(load<std::uint32_t>(dword))});
    for (std::size_t i = 0; i < dword.size(); ++i) {
        if (covered(i)) {
            part[offset + i - found->offset] = dword.at(i);
        }
    }
}

/// A register of the HDM decoder block, in the COMP_REGS region.
template <typename Change>
void edit_hdm(FaultView &view, Reply &reply, std::uint32_t reg, Change change) {
    const bool shadow = view.config.contract == ContractKind::Shadow;
    edit_dword(view, reply, CompRegs, reg + (shadow ? cxl::HdmOffset : 0), change);
}

/// A register of the CM array, wherever it is read.
template <typename Change>
void edit_cm(FaultView &view, Reply &reply, std::uint32_t reg, Change change) {
    edit_dword(view, reply, BarRegion, ComponentOffset + cxl::CacheMemOffset + reg, change);
    if (view.config.contract == ContractKind::Shadow) {
        edit_dword(view, reply, CompRegs, reg, change);
    }
}

constexpr std::uint32_t D0 = hdm::FirstDecoder;

void set_decoder0(FaultView &view, Reply &reply, std::optional<std::uint64_t> base,
                  std::optional<std::uint64_t> size) {
    const auto put = [&](std::uint32_t reg, std::uint64_t value) {
        edit_hdm(view, reply, D0 + reg,
                 [&](std::uint32_t) { return static_cast<std::uint32_t>(value); });
        edit_hdm(view, reply, D0 + reg + 4,
                 [&](std::uint32_t) { return static_cast<std::uint32_t>(value >> 32); });
    };
    if (base) {
        put(hdm::BaseLow, *base);
    }
    if (size) {
        put(hdm::SizeLow, *size);
    }
}

void edit_control(FaultView &view, Reply &reply, std::uint32_t clear, std::uint32_t set) {
    edit_hdm(view, reply, D0 + hdm::Control,
             [&](std::uint32_t value) { return (value & ~clear) | set; });
}

/// Turns a refused read of COMP_REGS into a success that carries zeros.
void accept_anyway(Reply &reply, const RegionAccess &read) {
    const bool fits_a_message = read.count <= vfio_user::MaxTransfer;
    if (read.region == CompRegs && reply.error != 0 && fits_a_message) {
        reply.error = 0;
        reply.payload.clear();
        append(reply.payload, read);
        reply.payload.resize(sizeof(RegionAccess) + read.count);
    }
}

/// Leaves the first `count` bytes of a successful read of `region`, of as many as there are.
template <typename Count>
void cut_read(FaultView &view, Reply &reply, std::uint32_t region, Count count) {
    if (reads(view, region) && reply.error == 0) {
        auto header = load<RegionAccess>(reply.payload);
        header.count = count(std::uint32_t{header.count});
        store(ByteSpan(reply.payload), 0, header);
        reply.payload.resize(sizeof(RegionAccess) + header.count);
    }
}

/// Writes of one decoder 0 register take effect, as far as reads tell.
void make_stick(FaultView &view, Reply &reply, std::uint32_t reg) {
    const std::uint64_t offset =
        reg + (view.config.contract == ContractKind::Shadow ? cxl::HdmOffset : 0U);
    if (writes(view, CompRegs) && load<RegionAccess>(view.body).offset == offset &&
        view.body.size() == sizeof(RegionAccess) + 4) {
        view.state.written[offset] = load<std::uint32_t>(view.body, sizeof(RegionAccess));
    }
    if (const auto found = view.state.written.find(offset); found != view.state.written.end()) {
        edit_dword(view, reply, CompRegs, offset, [&](std::uint32_t) { return found->second; });
    }
}

void give_memory(FaultView &view, Reply &reply, Result<UniqueFd> fd) {
    if (info_index(view, reply) == MemoryRegion && fd) {
        reply.fds.clear();
        reply.fds.push_back(std::move(*fd));
    }
}

[[noreturn]] void die() {
    std::_Exit(DeathStatus);
}

void with_device_info(FaultView &view, Reply &reply, void (*change)(vfio_user::DeviceInfo &)) {
    if (view.command == Command::DeviceGetInfo && reply.error == 0) {
        auto info = load<vfio_user::DeviceInfo>(reply.payload);
        change(info);
        store(ByteSpan(reply.payload), 0, info);
    }
}

bool is_info(const FaultView &view) {
    return view.command == Command::DeviceGetInfo || view.command == Command::DeviceGetRegionInfo;
}

// --- the table -----------------------------------------------------------------------------------

constexpr std::uint32_t Dvsec = cxl::DeviceDvsecOffset;

const std::array kTable = {
    // Capability chains.
    Fault{"caps-loop", "lets the first capability of each CXL region point at itself",
          [](FaultView &view, Reply &reply) {
              edit_chain(view, reply, [](Bytes &payload, std::size_t at) {
                  set_next(payload, at, static_cast<std::uint32_t>(at));
              });
          }},
    Fault{"caps-past-end", "lets the first capability of each CXL region point far outside",
          [](FaultView &view, Reply &reply) {
              edit_chain(view, reply, [](Bytes &payload, std::size_t at) {
                  set_next(payload, at, 0x7ffffff8);
              });
          }},
    Fault{"caps-unaligned", "places the first capability of each CXL region at an odd offset",
          [](FaultView &view, Reply &reply) {
              edit_chain(view, reply, [](Bytes &payload, std::size_t at) {
                  store(ByteSpan(payload), offsetof(RegionInfo, cap_offset),
                        static_cast<std::uint32_t>(at + 3));
              });
          }},
    Fault{"caps-truncated", "cuts the last capability of each CXL region in the middle",
          [](FaultView &view, Reply &reply) {
              edit_chain(view, reply, [](Bytes &payload, std::size_t) {
                  payload.resize(payload.size() - 4);
                  store(ByteSpan(payload), 0, static_cast<std::uint32_t>(payload.size()));
              });
          }},
    Fault{"caps-offset-at-end", "lets cap_offset of each CXL region point behind the reply",
          [](FaultView &view, Reply &reply) {
              edit_chain(view, reply, [](Bytes &payload, std::size_t) {
                  store(ByteSpan(payload), offsetof(RegionInfo, cap_offset),
                        static_cast<std::uint32_t>(payload.size()));
              });
          }},
    Fault{"argsz-grows", "wants a larger argsz in every reply about its memory region",
          [](FaultView &view, Reply &reply) {
              if (info_index(view, reply) == MemoryRegion) {
                  store(ByteSpan(reply.payload), 0, info_argsz(view) + 8);
              }
          }},
    Fault{"argsz-huge", "wants an argsz of 0xfffffff0 for its memory region",
          [](FaultView &view, Reply &reply) {
              if (info_index(view, reply) == MemoryRegion) {
                  store(ByteSpan(reply.payload), 0, std::uint32_t{0xfffffff0});
              }
          }},
    // Regions.
    Fault{"region-index-out-of-range",
          "names regions that do not exist (live: in the replies; shadow: in the device capability)",
          [](FaultView &view, Reply &reply) {
              edit_region(view, reply, MemoryRegion,
                          [](RegionInfo &info, auto &) { info.index += 100; });
              edit_region(view, reply, CompRegs,
                          [](RegionInfo &info, auto &) { info.index += 100; });
              const std::size_t at = sizeof(vfio_user::DeviceInfoWithCaps) +
                                     sizeof(vfio_info_cap_header) +
                                     offsetof(uapi::CapDeviceCxl, dpa_region_index);
              if (view.command == Command::DeviceGetInfo && reply.payload.size() >= at + 8) {
                  store(ByteSpan(reply.payload), at, std::uint32_t{42});
                  store(ByteSpan(reply.payload), at + 4, std::uint32_t{43});
              }
          }},
    Fault{"regions-too-many", "says that it has 101 regions",
          [](FaultView &view, Reply &reply) {
              with_device_info(view, reply,
                               [](vfio_user::DeviceInfo &info) { info.num_regions = 101; });
          }},
    Fault{"two-memory-regions", "has a second region with the type of its memory region",
          [](FaultView &view, Reply &reply) {
              with_device_info(view, reply,
                               [](vfio_user::DeviceInfo &info) { ++info.num_regions; });
              const auto request = info_request(view);
              if (request && request->index == contract::RegionCount) {
                  RegionInfo info = {};
                  info.index = contract::RegionCount;
                  info.size = view.config.hdm_size;
                  info.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
                  reply = Reply{};
                  reply.payload = region_info(info, {contract::type_cap(uapi::SubtypeMemory)},
                                              request->argsz);
              }
          }},
    Fault{"no-memory-region", "gives its memory region a type that nobody knows",
          [](FaultView &view, Reply &reply) {
              edit_region(view, reply, MemoryRegion, [](RegionInfo &, std::vector<InfoCap> &caps) {
                  caps = {contract::type_cap(77)};
              });
          }},
    Fault{"no-comp-regs-region", "gives its COMP_REGS region a type that nobody knows",
          [](FaultView &view, Reply &reply) {
              edit_region(view, reply, CompRegs, [](RegionInfo &, std::vector<InfoCap> &caps) {
                  caps.front() = contract::type_cap(77);
              });
          }},
    Fault{"memory-size-zero", "says that its memory region has 0 bytes",
          [](FaultView &view, Reply &reply) {
              edit_size(view, reply, [](std::uint64_t) { return std::uint64_t{0}; });
          }},
    Fault{"memory-size-odd", "says that its memory is 4 KiB longer than a multiple of 256 MiB",
          [](FaultView &view, Reply &reply) {
              edit_size(view, reply, [](std::uint64_t size) { return size + 4 * KiB; });
          }},
    Fault{"memory-size-2-63", "says that its memory region has 2^63 bytes",
          [](FaultView &view, Reply &reply) {
              edit_size(view, reply, [](std::uint64_t) { return std::uint64_t{1} << 63; });
          }},
    Fault{"memory-no-mmap", "offers its memory without mmap, as some vendor kernels do",
          [](FaultView &view, Reply &reply) {
              edit_region(view, reply, MemoryRegion, [](RegionInfo &info, auto &) {
                  info.flags &= ~std::uint32_t{VFIO_REGION_INFO_FLAG_MMAP};
              });
          }},
    Fault{"memory-read-only", "offers its memory without the right to write",
          [](FaultView &view, Reply &reply) {
              edit_region(view, reply, MemoryRegion, [](RegionInfo &info, auto &) {
                  info.flags &= ~std::uint32_t{VFIO_REGION_INFO_FLAG_WRITE};
              });
          }},
    Fault{"comp-regs-mmap", "offers its decoder registers for mmap",
          [](FaultView &view, Reply &reply) {
              edit_region(view, reply, CompRegs, [](RegionInfo &info, auto &) {
                  info.flags |= VFIO_REGION_INFO_FLAG_MMAP;
              });
          }},
    Fault{"no-cxl-flag", "does not say that it is a CXL device",
          [](FaultView &view, Reply &reply) {
              with_device_info(view, reply, [](vfio_user::DeviceInfo &info) {
                  info.flags &= ~uapi::DeviceFlagsCxl;
              });
          }},
    Fault{"no-reset-flag", "does not say that it can be reset",
          [](FaultView &view, Reply &reply) {
              with_device_info(view, reply, [](vfio_user::DeviceInfo &info) {
                  info.flags &= ~std::uint32_t{VFIO_DEVICE_FLAGS_RESET};
              });
          }},
    // Geometry.
    Fault{"block-outside-bar", "places its decoder block behind the end of the BAR",
          [](FaultView &view, Reply &reply) {
              edit_geometry(view, reply, [&](std::uint32_t &, std::uint64_t &offset) {
                  offset = view.config.bar_size + cxl::HdmOffset;
              });
          }},
    Fault{"block-across-bar-end", "places its decoder block across the end of the BAR",
          [](FaultView &view, Reply &reply) {
              edit_geometry(view, reply, [&](std::uint32_t &, std::uint64_t &offset) {
                  offset = view.config.bar_size - 0x10;
              });
          }},
    Fault{"block-over-msix", "places its decoder block over the MSI-X table",
          [](FaultView &view, Reply &reply) {
              const bool shadow = view.config.contract == ContractKind::Shadow;
              edit_geometry(view, reply, [&](std::uint32_t &bar, std::uint64_t &offset) {
                  bar = EngineBar;
                  // live: the block itself; shadow: the array, 0x200 before it
                  offset = shadow ? std::uint64_t{cxl::HdmOffset} : 0;
              });
          }},
    Fault{"block-unaligned", "places its decoder block at an odd offset",
          [](FaultView &view, Reply &reply) {
              edit_geometry(view, reply,
                            [](std::uint32_t &, std::uint64_t &offset) { offset += 2; });
          }},
    Fault{"bar-index-6", "says that its decoder block is in BAR 6",
          [](FaultView &view, Reply &reply) {
              edit_geometry(view, reply, [](std::uint32_t &bar, std::uint64_t &) { bar = 6; });
          }},
    Fault{"bar-index-absent", "says that its decoder block is in BAR 4, which it does not have",
          [](FaultView &view, Reply &reply) {
              edit_geometry(view, reply, [](std::uint32_t &bar, std::uint64_t &) { bar = 4; });
          }},
    Fault{"locator-bar-wrong", "lets the Register Locator DVSEC name another BAR",
          [](FaultView &view, Reply &reply) {
              edit_dword(view, reply, ConfigRegion, 0x14c,
                         [](std::uint32_t value) { return value | 3; });
          }},
    // CM array.
    Fault{"cm-array-empty", "has a CM array of 0 entries",
          [](FaultView &view, Reply &reply) {
              edit_cm(view, reply, 0, [](std::uint32_t value) { return value & 0x00ffffff; });
          }},
    Fault{"cm-array-255", "has a CM array of 255 entries",
          [](FaultView &view, Reply &reply) {
              edit_cm(view, reply, 0, [](std::uint32_t value) { return value | 0xff000000; });
          }},
    Fault{"cm-pointer-outside", "lets the HDM entry of the CM array point at its last bytes",
          [](FaultView &view, Reply &reply) {
              edit_cm(view, reply, 0xc,
                      [](std::uint32_t value) { return (value & 0xfffff) | 0xffc00000; });
          }},
    Fault{"cm-pointer-self", "lets the HDM entry of the CM array point at the array",
          [](FaultView &view, Reply &reply) {
              edit_cm(view, reply, 0xc, [](std::uint32_t value) { return value & 0xfffff; });
          }},
    Fault{"cm-header-foreign", "begins its CM array with the header of another capability",
          [](FaultView &view, Reply &reply) {
              edit_cm(view, reply, 0,
                      [](std::uint32_t value) { return (value & ~0xffffU) | 7; });
          }},
    Fault{"cm-no-hdm", "has no HDM decoder capability in its CM array",
          [](FaultView &view, Reply &reply) {
              edit_cm(view, reply, 0xc,
                      [](std::uint32_t value) { return (value & ~0xffffU) | 9; });
          }},
    // Decoders.
    Fault{"decoder-count-11", "says 11 in the decoder count field, which no device may",
          [](FaultView &view, Reply &reply) {
              edit_hdm(view, reply, hdm::Capability,
                       [](std::uint32_t value) { return (value & ~0xfU) | 11; });
          }},
    Fault{"decoder-size-wraps", "has a decoder whose base and size wrap around 2^64",
          [](FaultView &view, Reply &reply) {
              set_decoder0(view, reply, 0xfffffffff0000000, 0x20000000);
          }},
    Fault{"decoder-size-zero", "has a committed decoder of size 0",
          [](FaultView &view, Reply &reply) { set_decoder0(view, reply, std::nullopt, 0); }},
    Fault{"decoder-size-too-large", "has a decoder twice as large as its memory region",
          [](FaultView &view, Reply &reply) {
              set_decoder0(view, reply, std::nullopt, 2 * view.config.hdm_size);
          }},
    Fault{"decoder-never-commits", "never sets COMMITTED",
          [](FaultView &view, Reply &reply) { edit_control(view, reply, hdm::Committed, 0); }},
    Fault{"decoder-hole", "leaves decoder 0 empty, and those behind it committed",
          [](FaultView &view, Reply &reply) {
              edit_control(view, reply, hdm::Commit | hdm::Committed | hdm::LockOnCommit, 0);
          }},
    Fault{"decoder-error", "says ERROR_NOT_COMMITTED",
          [](FaultView &view, Reply &reply) {
              edit_control(view, reply, hdm::Committed, hdm::ErrorNotCommitted);
          }},
    Fault{"decoder-interleaved", "says that its decoder is interleaved two ways",
          [](FaultView &view, Reply &reply) { edit_control(view, reply, 0, 1U << 4); }},
    Fault{"decoder-host-only", "says that its decoder is of the host-only kind, as of a Type-3",
          [](FaultView &view, Reply &reply) {
              edit_control(view, reply, 0, hdm::TargetHostOnly);
          }},
    Fault{"shadow-base-not-zero", "keeps the host's address in a shadow decoder when it is opened",
          [](FaultView &view, Reply &reply) {
              set_decoder0(view, reply, view.config.host_base, std::nullopt);
          }},
    Fault{"comp-regs-cap-version-2", "has version 2 of the capability of COMP_REGS (live)",
          [](FaultView &view, Reply &reply) {
              edit_region(view, reply, CompRegs, [](RegionInfo &, std::vector<InfoCap> &caps) {
                  for (auto &cap : caps) {
                      if (cap.id == uapi::CapCompRegsId) {
                          cap.version = 2;
                      }
                  }
              });
          }},
    // COMP_REGS accesses.
    Fault{"comp-regs-read-fails", "answers every read of COMP_REGS with EIO",
          [](FaultView &view, Reply &reply) {
              if (reads(view, CompRegs)) {
                  reply.error = EIO;
              }
          }},
    Fault{"comp-regs-read-short", "answers reads of COMP_REGS with half of the bytes",
          [](FaultView &view, Reply &reply) {
              cut_read(view, reply, CompRegs, [](std::uint32_t count) { return count / 2; });
          }},
    Fault{"comp-regs-read-empty", "answers reads of COMP_REGS with a count but no data",
          [](FaultView &view, Reply &reply) {
              if (reads(view, CompRegs) && reply.error == 0) {
                  reply.payload.resize(sizeof(RegionAccess));
              }
          }},
    Fault{"comp-regs-read-hangs", "takes a minute to answer a read of COMP_REGS",
          [](FaultView &view, Reply &reply) {
              if (reads(view, CompRegs)) {
                  reply.delay = Hang;
              }
          }},
    Fault{"comp-regs-small", "says that its COMP_REGS region ends before decoder 0's control",
          [](FaultView &view, Reply &reply) {
              edit_region(view, reply, CompRegs, [&](RegionInfo &info, auto &) {
                  info.size -= hdm::block_size(view.config.decoders) - 0x20;
              });
          }},
    Fault{"comp-regs-any-width", "accepts unaligned and narrow reads of COMP_REGS",
          [](FaultView &view, Reply &reply) {
              const auto found = access(view, Command::RegionRead);
              if (found && ((found->offset | found->count) & 3) != 0) {
                  accept_anyway(reply, *found);
              }
          }},
    Fault{"comp-regs-past-end", "accepts reads behind the end of COMP_REGS",
          [](FaultView &view, Reply &reply) {
              const auto found = access(view, Command::RegionRead);
              if (found && ((found->offset | found->count) & 3) == 0) {
                  accept_anyway(reply, *found);
              }
          }},
    Fault{"comp-regs-write-fails", "refuses writes of COMP_REGS",
          [](FaultView &view, Reply &reply) {
              if (writes(view, CompRegs)) {
                  reply.error = EPERM;
              }
          }},
    Fault{"comp-regs-control-sticks", "lets a write of a decoder's control register take effect",
          [](FaultView &view, Reply &reply) { make_stick(view, reply, D0 + hdm::Control); }},
    Fault{"comp-regs-base-sticks", "lets a write of a decoder's base register take effect",
          [](FaultView &view, Reply &reply) { make_stick(view, reply, D0 + hdm::BaseHigh); }},
    Fault{"comp-regs-skip-sticks", "lets a write of a decoder's skip register take effect",
          [](FaultView &view, Reply &reply) { make_stick(view, reply, D0 + hdm::SkipHigh); }},
    Fault{"block-visible-in-bar", "shows zeros instead of ones for the decoder block in the BAR",
          [](FaultView &view, Reply &reply) {
              const std::uint64_t block = ComponentOffset + cxl::CacheMemOffset + cxl::HdmOffset;
              for (std::uint32_t at = 0; at < hdm::block_size(view.config.decoders); at += 4) {
                  edit_dword(view, reply, BarRegion, block + at,
                             [](std::uint32_t) { return std::uint32_t{0}; });
              }
          }},
    // Accesses to the memory.
    Fault{"memory-read-short", "answers reads of its memory with half of the bytes, as kernels may",
          [](FaultView &view, Reply &reply) {
              cut_read(view, reply, MemoryRegion,
                       [](std::uint32_t count) { return count - count / 2; });
          }},
    Fault{"memory-read-empty", "answers reads of its memory with no byte at all",
          [](FaultView &view, Reply &reply) {
              cut_read(view, reply, MemoryRegion, [](std::uint32_t) { return 0U; });
          }},
    // Memory files.
    Fault{"memory-fd-missing", "sends no file with its memory region",
          [](FaultView &view, Reply &reply) {
              if (info_index(view, reply) == MemoryRegion) {
                  reply.fds.clear();
              }
          }},
    Fault{"memory-fd-small", "sends a file of 1 MiB with its memory region",
          [](FaultView &view, Reply &reply) {
              give_memory(view, reply, make_memfd("small", 1 * MiB));
          }},
    Fault{"memory-fd-read-only", "sends a file that can only be read with its memory region",
          [](FaultView &view, Reply &reply) {
              if (info_index(view, reply) == MemoryRegion && !reply.fds.empty()) {
                  const auto path = fmt::format("/proc/self/fd/{}", reply.fds.front().get());
                  give_memory(view, reply, UniqueFd(open(path.c_str(), O_RDONLY | O_CLOEXEC)));
              }
          }},
    Fault{"memory-fd-unsealed", "sends a file that it could shrink with its memory region",
          [](FaultView &view, Reply &reply) {
              give_memory(view, reply, make_memfd("unsealed", view.config.hdm_size, false));
          }},
    Fault{"memory-fd-shrinks", "sends such a file, and shrinks it to nothing at the first reset",
          [](FaultView &view, Reply &reply) {
              if (info_index(view, reply) == MemoryRegion && !view.state.memory) {
                  if (auto file = make_memfd("shrinks", view.config.hdm_size, false)) {
                      view.state.memory = std::move(*file);
                  }
              }
              if (view.state.memory) {
                  give_memory(view, reply, view.state.memory.duplicate());
                  if (view.command == Command::DeviceReset &&
                      ftruncate(view.state.memory.get(), 0) != 0) {
                      die();
                  }
              }
          }},
    // Sparse areas.
    Fault{"sparse-covers-block", "offers the whole component BAR for mmap",
          [](FaultView &view, Reply &reply) {
              edit_areas(view, reply, [&](auto &areas) {
                  areas = {{0, view.config.bar_size}};
              });
          }},
    Fault{"sparse-overlap", "offers areas of the component BAR that overlap",
          [](FaultView &view, Reply &reply) {
              edit_areas(view, reply, [](auto &areas) { areas.push_back(areas.front()); });
          }},
    Fault{"sparse-outside", "offers an area that ends behind the component BAR",
          [](FaultView &view, Reply &reply) {
              edit_areas(view, reply, [&](auto &areas) {
                  areas.back().size += view.config.bar_size;
              });
          }},
    Fault{"sparse-wraps", "offers an area of the component BAR that wraps around 2^64",
          [](FaultView &view, Reply &reply) {
              edit_areas(view, reply, [](auto &areas) {
                  areas.back().size = UINT64_MAX - 0xfff;
              });
          }},
    Fault{"sparse-unaligned", "offers an area of the component BAR that is not page aligned",
          [](FaultView &view, Reply &reply) {
              edit_areas(view, reply, [](auto &areas) {
                  areas.front().size -= 0x10;
              });
          }},
    Fault{"sparse-none", "offers no area of the component BAR, in a capability that says so",
          [](FaultView &view, Reply &reply) {
              edit_areas(view, reply, [](auto &areas) { areas.clear(); });
          }},
    Fault{"sparse-missing", "offers the component BAR for mmap without a sparse capability",
          [](FaultView &view, Reply &reply) {
              edit_region(view, reply, BarRegion,
                          [](RegionInfo &, std::vector<InfoCap> &caps) { caps.clear(); });
          }},
    Fault{"sparse-count-lies", "says that there are 2^28 areas where there is one",
          [](FaultView &view, Reply &reply) {
              edit_region(view, reply, BarRegion, [](RegionInfo &, std::vector<InfoCap> &caps) {
                  store(ByteSpan(caps.front().body), 0, std::uint32_t{1} << 28);
              });
          }},
    // Configuration space.
    Fault{"dvsec-all-ones", "reads as all ones in its CXL Device DVSEC",
          [](FaultView &view, Reply &reply) {
              for (std::uint32_t at = 0x0c; at < 0x3c; at += 4) {
                  edit_dword(view, reply, ConfigRegion, Dvsec + at,
                             [](std::uint32_t) { return UINT32_MAX; });
              }
          }},
    Fault{"dvsec-foreign", "has a DVSEC of another vendor where its CXL Device DVSEC should be",
          [](FaultView &view, Reply &reply) {
              edit_dword(view, reply, ConfigRegion, Dvsec + 4,
                         [](std::uint32_t value) { return (value & 0xffff0000U) | 0x1af4U; });
          }},
    Fault{"dvsec-capability-writable", "lets the CAPABILITY register of its DVSEC be written",
          nullptr,
          [](pci::ConfigSpace &config) {
              config.registers().set_rw(Dvsec + cxl::dvsec::Capability, std::uint16_t{0xffff});
          }},
    Fault{"dvsec-control-read-only", "ignores writes of the CONTROL register of its DVSEC", nullptr,
          [](pci::ConfigSpace &config) {
              config.registers().set_rw(Dvsec + cxl::dvsec::Control, std::uint16_t{0});
          }},
    Fault{"dvsec-lock-ignored", "ignores CONFIG_LOCK: CONTROL stays writable (shadow)", nullptr,
          [](pci::ConfigSpace &config) {
              // A lock bit that does not take the write never locks anything.
              config.registers().set_rw(Dvsec + cxl::dvsec::Lock, std::uint16_t{0});
          }},
    // Resets and doorbells.
    Fault{"reset-fails", "fails every reset; its memory stays out of reach, RST_ERR is set", nullptr,
          nullptr, true},
    Fault{"reset-hangs", "takes a minute to answer a reset",
          [](FaultView &view, Reply &reply) {
              if (view.command == Command::DeviceReset) {
                  reply.delay = Hang;
              }
          }},
    Fault{"cxl-reset-never-done", "never sets RST_DONE or RST_ERR",
          [](FaultView &view, Reply &reply) {
              edit_dword(view, reply, ConfigRegion, Dvsec + cxl::dvsec::Control2,
                         [](std::uint32_t value) { return value & 0xfff9ffff; });
          }},
    Fault{"cxl-reset-bit-sticks", "leaves INIT_CXL_RST set",
          [](FaultView &view, Reply &reply) {
              edit_dword(view, reply, ConfigRegion, Dvsec + cxl::dvsec::Control2,
                         [](std::uint32_t value) { return value | cxl::dvsec::InitCxlReset; });
          }},
    Fault{"cache-writeback-stuck", "never sets CACHE_INV after a cache write-back was started",
          [](FaultView &view, Reply &reply) {
              edit_dword(view, reply, ConfigRegion, Dvsec + cxl::dvsec::Control2,
                         [](std::uint32_t value) { return value & 0xfffeffff; });
          }},
    // shadow's device capability.
    Fault{"device-cap-48", "has the device capability of 48 bytes that was never shipped (shadow)",
          [](FaultView &view, Reply &reply) {
              if (view.command == Command::DeviceGetInfo && reply.error == 0 &&
                  view.config.contract == ContractKind::Shadow) {
                  auto info = load<vfio_user::DeviceInfo>(reply.payload);
                  info.argsz += 16;
                  const bool room = info_argsz(view) >= info.argsz;
                  if (!room) {
                      info.flags &= ~std::uint32_t{VFIO_DEVICE_FLAGS_CAPS};
                      reply.payload.resize(sizeof(info));
                  } else {
                      reply.payload.resize(reply.payload.size() + 16);
                  }
                  store(ByteSpan(reply.payload), 0, info);
              }
          }},
    Fault{"device-cap-version-2", "has version 2 of the device capability (shadow)",
          [](FaultView &view, Reply &reply) {
              if (view.command == Command::DeviceGetInfo &&
                  reply.payload.size() > sizeof(vfio_user::DeviceInfoWithCaps)) {
                  store(ByteSpan(reply.payload),
                        sizeof(vfio_user::DeviceInfoWithCaps) +
                            offsetof(vfio_info_cap_header, version),
                        std::uint16_t{2});
              }
          }},
    Fault{"device-info-once", "tells its device info once, and then answers EIO",
          [](FaultView &view, Reply &reply) {
              if (view.command == Command::DeviceGetInfo && ++view.state.count > 1) {
                  reply.error = EIO;
              }
          }},
    Fault{"device-cap-missing", "has no device capability, which shadow needs",
          [](FaultView &view, Reply &reply) {
              if (view.command == Command::DeviceGetInfo && reply.error == 0) {
                  auto info = load<vfio_user::DeviceInfo>(reply.payload);
                  info.argsz = sizeof(info);
                  info.flags &= ~std::uint32_t{VFIO_DEVICE_FLAGS_CAPS};
                  reply.payload.resize(sizeof(info));
                  store(ByteSpan(reply.payload), 0, info);
              }
          }},
    Fault{"dma-buf-lies", "says yes to DEVICE_FEATURE and sends no file",
          [](FaultView &view, Reply &reply) {
              if (view.command == Command::DeviceFeature) {
                  reply = Reply{};
                  reply.payload.assign(view.body.begin(), view.body.end());
              }
          }},
    // The connection.
    Fault{"version-bad-json", "answers VERSION with a text that is no JSON",
          [](FaultView &view, Reply &reply) {
              if (view.command == Command::Version && reply.payload.size() > 5) {
                  reply.payload[4] = std::byte{'?'};
              }
          }},
    Fault{"version-too-new", "answers VERSION with major version 7",
          [](FaultView &view, Reply &reply) {
              if (view.command == Command::Version && reply.error == 0) {
                  store(ByteSpan(reply.payload), 0, std::uint16_t{7});
              }
          }},
    Fault{"reply-too-long", "answers questions about regions with more bytes than asked for",
          [](FaultView &view, Reply &reply) {
              if (view.command == Command::DeviceGetRegionInfo && reply.error == 0) {
                  reply.payload.resize(reply.payload.size() + 4 * KiB);
              }
          }},
    Fault{"reply-wrong-id", "answers the first question about a region with another message's id",
          [](FaultView &view, Reply &reply) {
              if (view.command == Command::DeviceGetRegionInfo && view.state.count++ == 0) {
                  reply.claimed_id = std::uint16_t{0xbeef};
              }
          }},
    Fault{"reply-header-size-8", "answers the first question about a region with header size 8",
          [](FaultView &view, Reply &reply) {
              if (view.command == Command::DeviceGetRegionInfo && view.state.count++ == 0) {
                  reply.claimed_size = 8;
              }
          }},
    Fault{"reply-stalls", "sends half of a reply about its memory, then nothing for a minute",
          [](FaultView &view, Reply &reply) {
              if (info_index(view, reply) == MemoryRegion) {
                  reply.pause_after = sizeof(vfio_user::Header) + sizeof(RegionInfo) / 2;
                  reply.delay = Hang;
              }
          }},
    Fault{"reply-never", "does not answer questions about its memory region at all",
          [](FaultView &view, Reply &reply) {
              if (info_index(view, reply) == MemoryRegion) {
                  reply.swallow = true;
              }
          }},
    Fault{"dma-map-refused", "refuses every DMA mapping",
          [](FaultView &view, Reply &reply) {
              if (view.command == Command::DmaMap) {
                  reply.error = ENOMEM;
              }
          }},
    // Death.
    Fault{"die-at-version", "dies instead of answering VERSION",
          [](FaultView &view, Reply &) {
              if (view.command == Command::Version) {
                  die();
              }
          }},
    Fault{"die-after-info", "dies when it is asked about a region",
          [](FaultView &view, Reply &) {
              if (view.command == Command::DeviceGetRegionInfo) {
                  die();
              }
          }},
    Fault{"die-during-realize", "dies at the first access to configuration space",
          [](FaultView &view, Reply &) {
              if (reads(view, ConfigRegion)) {
                  die();
              }
          }},
    Fault{"die-at-comp-regs", "dies at the first access to COMP_REGS",
          [](FaultView &view, Reply &) {
              if (reads(view, CompRegs) || writes(view, CompRegs)) {
                  die();
              }
          }},
    Fault{"die-at-reset", "dies at the first reset, which is when the machine is ready",
          [](FaultView &view, Reply &) {
              if (view.command == Command::DeviceReset) {
                  die();
              }
          }},
    Fault{"die-at-guest-write", "dies when the guest writes to a BAR or to its memory",
          [](FaultView &view, Reply &) {
              const auto found = access(view, Command::RegionWrite);
              if (view.command == Command::RegionWriteMulti ||
                  (found && found->region != ConfigRegion && found->region != CompRegs)) {
                  die();
              }
          }},
    Fault{"hang-up", "closes the connection when it is asked about interrupts",
          [](FaultView &view, Reply &reply) {
              if (view.command == Command::DeviceGetIrqInfo) {
                  reply.hang_up = true;
              }
          }},
    Fault{"slow-info", "takes a second for each answer about the device and its regions",
          [](FaultView &view, Reply &reply) {
              if (is_info(view)) {
                  reply.delay = std::chrono::seconds(1);
              }
          }},
};

} // namespace

std::span<const Fault> faults() {
    return kTable;
}

const Fault *find_fault(std::string_view name) {
    const auto *found = std::find_if(kTable.begin(), kTable.end(),
                                     [&](const Fault &fault) { return name == fault.name; });
    return found == kTable.end() ? nullptr : found;
}

void FaultFilter::filter(const vfio_user::Header &request, ByteView body, vfio_user::Reply &reply) {
    FaultView view = {static_cast<vfio_user::Command>(request.command), body, config_, state_};
    if (fault_.reply != nullptr) {
        fault_.reply(view, reply);
    }
}

} // namespace model::device
