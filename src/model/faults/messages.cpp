// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/faults/edit.h"
#include "model/faults/tables.h"

#include <cerrno>

namespace type2::device::lies {

namespace {

bool is_info(const FaultView &view) {
    return view.command == Command::DeviceGetInfo || view.command == Command::DeviceGetRegionInfo;
}

constexpr std::array kTable = {
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

std::span<const Fault> message_faults() {
    return kTable;
}

} // namespace type2::device::lies
