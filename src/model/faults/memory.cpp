// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/faults/edit.h"
#include "model/faults/tables.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

namespace type2::device::lies {

namespace {

void give_memory(FaultView &view, Reply &reply, Result<UniqueFd> fd) {
    if (info_index(view, reply) == MemoryRegion && fd) {
        reply.fds.clear();
        reply.fds.push_back(std::move(*fd));
    }
}

constexpr std::array kTable = {
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
    Fault{"memory-read-asleep",
          "answers reads of its memory in D3hot and with memory space off, too",
          [](FaultView &view, Reply &reply) {
              const auto found = access(view, Command::RegionRead);
              if (found && found->region == MemoryRegion && reply.error != 0) {
                  reply = Reply{};
                  reply.payload = view.request.body;
                  reply.payload.resize(reply.payload.size() + found->count);
              }
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
    Fault{"memory-fd-seals-late",
          "sends such a file, and seals it when there is nothing left of it",
          [](FaultView &view, Reply &reply) {
              if (info_index(view, reply) == MemoryRegion && !view.state.memory) {
                  if (auto file = make_memfd("seals-late", view.config.hdm_size, false)) {
                      view.state.memory = std::move(*file);
                  }
              }
              if (view.state.memory) {
                  give_memory(view, reply, view.state.memory.duplicate());
                  // The size has been looked at by now.
                  if (reads(view, CompRegs) && view.state.count++ == 0 &&
                      (ftruncate(view.state.memory.get(), 0) != 0 ||
                       fcntl(view.state.memory.get(), F_ADD_SEALS, F_SEAL_SHRINK) != 0)) {
                      die();
                  }
              }
          }},
    Fault{"bar-fd-shrinks",
          "sends a file that it could shrink with its component BAR, shrinks it to nothing at "
          "every other reset, and lets it grow again at those between",
          [](FaultView &view, Reply &reply) {
              if (info_index(view, reply) == BarRegion && !view.state.memory) {
                  if (auto file = make_memfd("bar-shrinks", view.config.bar_size, false)) {
                      view.state.memory = std::move(*file);
                  }
              }
              if (!view.state.memory) {
                  return;
              }
              auto file = view.state.memory.duplicate();
              if (info_index(view, reply) == BarRegion && file) {
                  reply.fds.clear();
                  reply.fds.push_back(std::move(*file));
              }
              if (view.command == Command::DeviceReset) {
                  const auto size = view.state.count++ % 2 == 0 ? 0 : view.config.bar_size;
                  if (ftruncate(view.state.memory.get(), static_cast<off_t>(size)) != 0) {
                      die();
                  }
              }
          }},
    Fault{"dma-buf-lies", "says yes to DEVICE_FEATURE and sends no file",
          [](FaultView &view, Reply &reply) {
              if (view.command == Command::DeviceFeature) {
                  reply = Reply{};
                  reply.payload = view.request.body;
              }
          }},
};

} // namespace

std::span<const Fault> memory_faults() {
    return kTable;
}

} // namespace type2::device::lies
