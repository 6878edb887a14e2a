// SPDX-License-Identifier: GPL-2.0-or-later
#include "cxl/component.h"
#include "model/faults/edit.h"
#include "model/faults/tables.h"
#include "pci/config_space.h"
#include "vfio/uapi.h"

#include <cerrno>

namespace type2::device::lies {

namespace {

namespace hdm = cxl::hdm;
namespace uapi = vfio::uapi;

/// Where the contract says that the decoder block is: live, in the region's capability; shadow, in
/// the device's. change(bar, offset of the HDM block).
template <typename Change> void edit_geometry(FaultView &view, Reply &reply, Change change) {
    if (!is_shadow(view)) {
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

/// A register of the HDM decoder block, in the COMP_REGS region.
template <typename Change>
void edit_hdm(FaultView &view, Reply &reply, std::uint32_t reg, Change change) {
    const bool shadow = is_shadow(view);
    edit_dword(view, reply, CompRegs, reg + (shadow ? cxl::HdmOffset : 0), change);
}

/// A register of the CM array, wherever it is read.
template <typename Change>
void edit_cm(FaultView &view, Reply &reply, std::uint32_t reg, Change change) {
    edit_dword(view, reply, BarRegion, ComponentOffset + cxl::CacheMemOffset + reg, change);
    if (is_shadow(view)) {
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

/// Writes of one decoder 0 register take effect, as far as reads tell.
void make_stick(FaultView &view, Reply &reply, std::uint32_t reg) {
    const std::uint64_t offset = reg + (is_shadow(view) ? cxl::HdmOffset : 0U);
    const auto *write = view.request.as<vfio_user::RegionWriteRequest>();
    if (writes(view, CompRegs) && write->access.offset == offset && write->data.size() == 4) {
        view.state.written[offset] = load<std::uint32_t>(write->data);
    }
    if (const auto found = view.state.written.find(offset); found != view.state.written.end()) {
        edit_dword(view, reply, CompRegs, offset, [&](std::uint32_t) { return found->second; });
    }
}

constexpr std::array kTable = {
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
              const bool shadow = is_shadow(view);
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
              edit_cm(view, reply, 0, [](std::uint32_t value) { return (value & ~0xffffU) | 7; });
          }},
    Fault{"cm-no-hdm", "has no HDM decoder capability in its CM array",
          [](FaultView &view, Reply &reply) {
              edit_cm(view, reply, 0xc, [](std::uint32_t value) { return (value & ~0xffffU) | 9; });
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
          [](FaultView &view, Reply &reply) { edit_control(view, reply, 0, hdm::TargetHostOnly); }},
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
    Fault{"comp-regs-lost-in-d3hot", "forgets in D3hot what decoder 0 was committed with",
          [](FaultView &view, Reply &reply) {
              const auto *write = view.request.as<vfio_user::RegionWriteRequest>();
              if (writes(view, ConfigRegion) &&
                  write->access.offset == pci::PmOffset + pci::PmControl && !write->data.empty() &&
                  (std::to_integer<unsigned>(write->data[0]) & pci::PmStateMask) != 0) {
                  view.state.count = 1;
              }
              if (view.state.count != 0) {
                  edit_control(view, reply, hdm::Commit | hdm::Committed, 0);
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
};

} // namespace

std::span<const Fault> register_faults() {
    return kTable;
}

} // namespace type2::device::lies
