// SPDX-License-Identifier: GPL-2.0-or-later
// Where QEMU puts what a guest has above 4 GiB. The same rules as in its hw/i386/pc.c and
// hw/arm/virt.c. No I/O.
#pragma once

#include "base/size.h"

#include <cstdint>
#include <string>
#include <vector>

namespace type2::preflight {

struct AddressSpace {
    std::string arch;          ///< "aarch64" (virt) or "x86_64" (q35)
    std::uint64_t ram = 0;     ///< bytes
    std::uint64_t windows = 0; ///< bytes of all CXL fixed memory windows
    /// Bytes for 64-bit BARs: q35's pci-hole64-size, virt's highmem-mmio-size.
    std::uint64_t pci = 0;
    /// The guest's CPU says that it is AMD's: QEMU leaves the HyperTransport range below 1 TiB
    /// free.
    bool amd = false;
};

/// Physical address bits that the guest's CPU needs for it.
unsigned needed_bits(const AddressSpace &space);

/// What the machine reserves for 64-bit BARs unless it is told otherwise.
std::uint64_t default_pci_space(const std::string &arch);

/// What it has to reserve for BARs of these sizes, 0: none. Never less than the default.
std::uint64_t needed_pci_space(const std::string &arch, const std::vector<std::uint64_t> &bars);

} // namespace type2::preflight
