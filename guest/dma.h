// SPDX-License-Identifier: GPL-2.0-or-later
// The device's DMA engine and its interrupts, as the guest's driver offers them.
#pragma once

#include "tools.h"

#include <cstdint>
#include <span>

namespace guest {

// Says which IOMMU the device is behind, and holds that against ACPI's IORT.
void tell_iommu(Tap &tap, const fs::path &pci);

// Moves `size` bytes from RAM into device memory by DMA, and back; compares every
// byte, looks at `memory`, the mapping of the same device memory, and counts interrupts.
void use_dma(Tap &tap, const fs::path &pci, std::uint64_t size, std::span<std::uint8_t> memory);

// DMA, either way, at an address that is not mapped: it must fail and touch nothing.
void use_unmapped(Tap &tap, const fs::path &pci);

// DMA at `physical`, the device's own memory in the window, mapped as Linux maps such
// things: says how it ended. It is the machine's to know whether that must work.
void use_window(Tap &tap, const fs::path &pci, std::uint64_t physical);

}  // namespace guest
