// SPDX-License-Identifier: GPL-2.0-or-later
#include "cxl/dvsec.h"
#include "model/faults/edit.h"
#include "model/faults/tables.h"

#include <fmt/format.h>

namespace type2::device::lies {

namespace {

constexpr std::uint32_t Dvsec = cxl::DeviceDvsecOffset;
constexpr std::uint32_t SizeBits = 0xf0000000; // of a range's SIZE_LOW

constexpr std::array kTable = {
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
    Fault{"dvsec-two-ranges", "has its memory in both ranges of its DVSEC, half in each", nullptr,
          [](pci::ConfigSpace &config) {
              auto &registers = config.registers();
              const auto high = registers.get<std::uint32_t>(Dvsec + cxl::dvsec::Range1SizeHigh);
              const auto low = registers.get<std::uint32_t>(Dvsec + cxl::dvsec::Range1SizeLow);
              const auto flags = low & ~SizeBits;
              const auto half = (std::uint64_t{high} << 32 | (low & SizeBits)) / 2;
              // Rows and not values, which a reset would take back.
              for (const std::uint32_t n : {0U, 1U}) {
                  const auto at = Dvsec + n * cxl::dvsec::RangeStride;
                  registers.add({fmt::format("range{}_size_high", n + 1),
                                 at + cxl::dvsec::Range1SizeHigh, 4, half >> 32, 0, 0,
                                 "CXL r3.1 8.1.3.8"});
                  registers.add({fmt::format("range{}_size_low", n + 1),
                                 at + cxl::dvsec::Range1SizeLow, 4, (half & SizeBits) | flags, 0, 0,
                                 "CXL r3.1 8.1.3.8"});
              }
          }},
    Fault{"memory-never-active", "never sets Memory_Active in the ranges of its DVSEC",
          [](FaultView &view, Reply &reply) {
              for (const std::uint32_t n : {0U, 1U}) {
                  edit_dword(view, reply, ConfigRegion,
                             Dvsec + cxl::dvsec::Range1SizeLow + n * cxl::dvsec::RangeStride,
                             [](std::uint32_t value) { return value & ~cxl::dvsec::MemoryActive; });
              }
          }},
    // Resets and doorbells.
    Fault{"reset-fails", "fails every reset; its memory stays out of reach, RST_ERR is set",
          nullptr, nullptr, true},
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
};

} // namespace

std::span<const Fault> config_space_faults() {
    return kTable;
}

} // namespace type2::device::lies
