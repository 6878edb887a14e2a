// SPDX-License-Identifier: GPL-2.0-or-later
// The guest that would get the devices: made of the facts and of what the user wishes, once, before
// anything is checked or printed. No I/O.
#pragma once

#include "preflight/facts.h"

#include <cstdint>
#include <string>
#include <vector>

namespace type2::preflight {

/// What the user says of the guest.
struct Wish {
    std::uint64_t ram = 0; ///< bytes
    unsigned cpus = 0;
    bool numa = false; ///< RAM and CPUs in node 0, the devices' host bridges in node 1
};

/// One device's place in the guest.
struct DevicePlan {
    std::uint64_t window = 0; ///< bytes that its fixed window needs; 0: not known
    bool guest_mode = false;  ///< the guest programs the decoders
    bool ask_for_it = false;  ///< and QEMU has to be told so
    // QEMU's ids, and libvirt's aliases of them.
    std::string bridge; ///< "cxl.0"
    std::string port;   ///< "rp0"
    std::string name;   ///< "gpu0"
    unsigned bus = 0;   ///< bus_nr of the bridge
    unsigned chassis = 0;
    unsigned slot = 0;
};

struct Plan {
    std::string arch;      ///< "aarch64" (virt) or "x86_64" (q35)
    bool kvm = false;      ///< else emulated
    std::uint64_t ram = 0; ///< bytes
    unsigned cpus = 0;
    bool numa = false;
    bool shared_ram = false;         ///< some device is reached by vfio-user
    bool iommufd = false;            ///< some device is opened by its own file
    std::vector<DevicePlan> devices; ///< in the order of the facts
    std::uint64_t windows = 0;       ///< bytes of all; 0: not known of one at least
    std::uint64_t pci_space = 0;     ///< bytes to reserve for 64-bit BARs
    bool large_bars = false;         ///< more than the machine reserves by itself
    unsigned phys_bits = 0;          ///< that the guest's CPU needs; 0: not known
};

Plan make_plan(const Facts &facts, const Wish &wish);

/// Sizes of the 64-bit BARs of a device.
std::vector<std::uint64_t> bars_of(const DeviceFacts &device);

/// What the CXL Device DVSEC says of the memory, in bytes. 0: nothing.
std::uint64_t dvsec_size(const DeviceFacts &device);

} // namespace type2::preflight
