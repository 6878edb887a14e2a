// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/faults/edit.h"
#include "model/faults/tables.h"
#include "vfio/uapi.h"

#include <cerrno>

namespace type2::device::lies {

namespace {

namespace uapi = vfio::uapi;

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
                areas.reserve(count);
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

constexpr std::array kTable = {
    // Capability chains.
    Fault{"caps-loop", "lets the first capability of each CXL region point at itself",
          [](FaultView &view, Reply &reply) {
              edit_chain(view, reply, [](Bytes &payload, std::size_t at) {
                  set_next(payload, at, static_cast<std::uint32_t>(at));
              });
          }},
    Fault{"caps-past-end", "lets the first capability of each CXL region point far outside",
          [](FaultView &view, Reply &reply) {
              edit_chain(view, reply,
                         [](Bytes &payload, std::size_t at) { set_next(payload, at, 0x7ffffff8); });
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
    Fault{
        "region-index-out-of-range",
        "names regions that do not exist (live: in the replies; shadow: in the device capability)",
        [](FaultView &view, Reply &reply) {
            edit_region(view, reply, MemoryRegion,
                        [](RegionInfo &info, auto &) { info.index += 100; });
            edit_region(view, reply, CompRegs, [](RegionInfo &info, auto &) { info.index += 100; });
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
                  reply.payload =
                      region_info(info, {contract::type_cap(uapi::SubtypeMemory)}, request->argsz);
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
    // Sparse areas.
    Fault{"sparse-covers-block", "offers the whole component BAR for mmap",
          [](FaultView &view, Reply &reply) {
              edit_areas(view, reply, [&](auto &areas) { areas = {{0, view.config.bar_size}}; });
          }},
    Fault{"sparse-overlap", "offers areas of the component BAR that overlap",
          [](FaultView &view, Reply &reply) {
              edit_areas(view, reply, [](auto &areas) { areas.push_back(areas.front()); });
          }},
    Fault{"sparse-outside", "offers an area that ends behind the component BAR",
          [](FaultView &view, Reply &reply) {
              edit_areas(view, reply,
                         [&](auto &areas) { areas.back().size += view.config.bar_size; });
          }},
    Fault{"sparse-wraps", "offers an area of the component BAR that wraps around 2^64",
          [](FaultView &view, Reply &reply) {
              edit_areas(view, reply, [](auto &areas) { areas.back().size = UINT64_MAX - 0xfff; });
          }},
    Fault{"sparse-unaligned", "offers an area of the component BAR that is not page aligned",
          [](FaultView &view, Reply &reply) {
              edit_areas(view, reply, [](auto &areas) { areas.front().size -= 0x10; });
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
    // shadow's device capability.
    Fault{"device-cap-48", "has the device capability of 48 bytes that was never shipped (shadow)",
          [](FaultView &view, Reply &reply) {
              if (view.command == Command::DeviceGetInfo && reply.error == 0 && is_shadow(view)) {
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
};

} // namespace

std::span<const Fault> info_faults() {
    return kTable;
}

} // namespace type2::device::lies
