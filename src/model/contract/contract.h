// SPDX-License-Identifier: GPL-2.0-or-later
// How a kernel shows CXL hardware to user space. Two generations of that interface exist; each is
// one implementation of Contract. Nobody outside this folder asks which one it is, but the faults,
// which lie about it.
#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "cxl/component.h"
#include "vfio_user/caps.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace type2::contract {

/// The generations: COMP_REGS shows the host's decoders, read-only; or a writable shadow of them
/// that the kernel keeps.
enum class Kind { Live, Shadow };

/// True if the memory region begins with what decoder 0 decodes, false if with the device's first
/// byte, so that what decoder 0 skips is in it. Sizes follow from it, before there is hardware.
constexpr bool memory_begins_at_decoder0(Kind kind) {
    return kind == Kind::Live;
}

/// Region indices of the two CXL regions; both are also found by type.
inline constexpr std::uint32_t MemoryRegion = 9;
inline constexpr std::uint32_t CompRegsRegion = 10;
inline constexpr std::uint32_t RegionCount = 11;

/// What there is to show. The registers belong to the device and outlive the contract.
struct Hardware {
    cxl::CacheMemRegisters *registers = nullptr;
    unsigned component_bar = 0;
    std::uint64_t component_offset = 0; ///< of the 64 KiB block in that BAR
    std::uint64_t bar_size = 0;
    std::uint64_t page_size = 4096; ///< of the host: what can be left out of an mmap
    bool firmware_committed = true;
    bool cache_capable = true;

    /// BAR offset of the CM array header and of the HDM decoder block.
    std::uint64_t cm_offset() const { return component_offset + cxl::CacheMemOffset; }
    std::uint64_t hdm_offset() const { return cm_offset() + cxl::HdmOffset; }
};

/// A part of a region that can be mapped.
struct Area {
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
    bool operator==(const Area &) const = default;
};

class Contract {
  public:
    Contract() = default;
    Contract(const Contract &) = delete;
    Contract &operator=(const Contract &) = delete;
    virtual ~Contract() = default;

    virtual const char *name() const = 0;
    /// Capabilities of VFIO_DEVICE_GET_INFO.
    virtual std::vector<vfio_user::InfoCap> device_caps() const = 0;
    /// Capabilities of the COMP_REGS region and its size in bytes.
    virtual std::vector<vfio_user::InfoCap> comp_regs_caps() const = 0;
    virtual std::uint64_t comp_regs_size() const = 0;
    /// The parts of the component BAR that can be mapped, ascending; empty: no mmap at all.
    virtual std::vector<Area> component_areas() const = 0;
    /// True if COMP_REGS shows hardware, which answers only while memory space is on.
    virtual bool comp_regs_are_live() const = 0;
    /// True if CONFIG_LOCK of the CXL Device DVSEC can be written, and then freezes CONTROL.
    virtual bool dvsec_can_be_locked() const = 0;

    /// Access to the COMP_REGS region. Returns the bytes transferred. Error EINVAL: alignment,
    /// width, or position.
    virtual Result<std::size_t> read_comp_regs(std::uint64_t offset, ByteSpan into) const = 0;
    virtual Result<std::size_t> write_comp_regs(std::uint64_t offset, ByteView from) = 0;

    /// Access to the CXL.cachemem range through the BAR's fd; offsets from the CM array header.
    virtual void read_cachemem(std::uint64_t offset, ByteSpan into) const = 0;
    virtual void write_cachemem(std::uint64_t offset, ByteView from) = 0;

    /// The device was opened, or came out of a reset: what the kernel then does to its state.
    virtual void restored() = 0;
    /// Registers as the VMM sees them in COMP_REGS, decoder block only.
    virtual const cxl::HdmBlock &visible_hdm() const = 0;
};

std::unique_ptr<Contract> make(Kind kind, const Hardware &hardware);
std::unique_ptr<Contract> make_live(const Hardware &hardware);
std::unique_ptr<Contract> make_shadow(const Hardware &hardware);

/// [0, bar_size) without [offset, offset + size) rounded out to pages.
std::vector<Area> areas_around(std::uint64_t bar_size, std::uint64_t offset, std::uint64_t size,
                               std::uint64_t page_size);

/// VFIO_REGION_INFO_CAP_SPARSE_MMAP and VFIO_REGION_INFO_CAP_TYPE.
vfio_user::InfoCap sparse_cap(const std::vector<Area> &areas);
vfio_user::InfoCap type_cap(std::uint32_t subtype);

} // namespace type2::contract
