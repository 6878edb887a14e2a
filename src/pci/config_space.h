// SPDX-License-Identifier: GPL-2.0-or-later
// PCI Express configuration space of a single-function type 0 device: 4 KiB of registers with the
// behaviour of hardware (BAR sizing, write masks), and chains of capabilities.
#pragma once

#include "base/registers.h"

#include <array>
#include <cstdint>
#include <optional>
#include <span>

namespace type2::pci {

inline constexpr std::uint32_t ConfigSize = 4096;
inline constexpr std::uint32_t ExtendedStart = 0x100;
inline constexpr unsigned BarCount = 6;

namespace reg {
inline constexpr std::uint32_t VendorId = 0x00;
inline constexpr std::uint32_t DeviceId = 0x02;
inline constexpr std::uint32_t Command = 0x04;
inline constexpr std::uint32_t Status = 0x06;
inline constexpr std::uint32_t ClassCode = 0x09;
inline constexpr std::uint32_t HeaderType = 0x0e;
inline constexpr std::uint32_t Bar0 = 0x10;
inline constexpr std::uint32_t CapPointer = 0x34;
} // namespace reg

inline constexpr std::uint16_t CommandMemory = 1U << 1;
inline constexpr std::uint16_t CommandMaster = 1U << 2;

// Where this device has its Power Management capability; PMCSR in it, PCIe r6.0 section 7.5.2.2.
inline constexpr std::uint32_t PmOffset = 0x40;
inline constexpr std::uint32_t PmControl = 0x04;
inline constexpr std::uint16_t PmStateMask = 0x3;

inline constexpr std::uint8_t CapIdPm = 0x01;
inline constexpr std::uint8_t CapIdMsix = 0x11;
inline constexpr std::uint8_t CapIdExpress = 0x10;
inline constexpr std::uint8_t CapIdAdvancedFeatures = 0x13;
inline constexpr std::uint16_t ExtCapAer = 0x0001;
inline constexpr std::uint16_t ExtCapSerial = 0x0003;
inline constexpr std::uint16_t ExtCapDvsec = 0x0023;

struct Identity {
    std::uint16_t vendor = 0;
    std::uint16_t device = 0;
    std::uint32_t class_code = 0; ///< 24 bits: base class, subclass, interface
    std::uint8_t revision = 0;
};

/// MSI-X (PCIe r6.0 section 7.7.2): where the table and the pending bits lie.
struct MsixLayout {
    std::uint16_t vectors = 0;
    unsigned table_bar = 0;
    std::uint32_t table_offset = 0;
    unsigned pba_bar = 0;
    std::uint32_t pba_offset = 0;
};

class ConfigSpace {
  public:
    explicit ConfigSpace(const Identity &identity);

    /// Declares a 64-bit memory BAR in slots `index` and `index` + 1. size: a power of two >= 16.
    void add_bar64(unsigned index, std::uint64_t size, bool prefetchable);

    /// Appends a capability at `offset` and links it into the chain. `rows` are relative to
    /// `offset` and must not cover the 2-byte header.
    void add_capability(std::uint8_t id, std::uint32_t offset, std::span<const Register> rows);
    /// The same in extended space; the 4-byte header is made here.
    void add_extended(std::uint16_t id, std::uint8_t version, std::uint32_t offset,
                      std::span<const Register> rows);
    /// A DVSEC (PCIe r6.0 section 7.9.6) of `length` bytes, both its headers included.
    void add_dvsec(std::uint16_t vendor, std::uint16_t id, std::uint8_t revision,
                   std::uint32_t offset, std::uint32_t length, std::span<const Register> rows);

    /// Standard capabilities of this kind of device, at fixed places.
    void add_power_management();
    void add_msix(const MsixLayout &layout);
    void add_express_endpoint();
    void add_advanced_features();
    void add_serial_number(std::uint32_t offset, std::uint64_t serial);
    void add_aer(std::uint32_t offset);

    /// A guest's accesses. The caller has checked that they lie within ConfigSize.
    void read(std::uint64_t offset, ByteSpan into) const { registers_.read(offset, into); }
    void write(std::uint64_t offset, ByteView from) { registers_.write(offset, from); }

    /// Memory space enabled and power state D0: BARs and device memory answer.
    bool memory_enabled() const;
    bool bus_master() const;
    void set_memory_enabled(bool enabled);
    /// Power state 0 to 3 of PMCSR (PCIe r6.0 section 5.2.2).
    unsigned power_state() const;
    void set_power_state(unsigned state);
    /// True once after a guest set Initiate Function Level Reset, in either of the two places
    /// (PCIe r6.0 section 7.5.3.4, Conventional PCI Advanced Features ECN).
    bool take_function_reset();

    /// Everything back to the values at power-on.
    void reset() { registers_.reset(); }

    /// The device's own view, no masks.
    RegisterFile &registers() { return registers_; }
    const RegisterFile &registers() const { return registers_; }

  private:
    RegisterFile registers_{ConfigSize};
    std::uint32_t last_cap_ = 0; ///< 0: none yet
    std::uint32_t last_extended_ = 0;
    std::optional<std::uint32_t> power_management_;
    std::optional<std::uint32_t> express_;
    std::optional<std::uint32_t> advanced_;
};

} // namespace type2::pci
