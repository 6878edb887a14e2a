// SPDX-License-Identifier: GPL-2.0-or-later
// What is known of a device and its host before anything is judged: plain values.
#pragma once

#include "base/bytes.h"
#include "vfio/walk.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace type2::preflight {

/// Range of a CXL Device DVSEC (CXL r3.1 section 8.1.3.8).
struct DvsecRange {
    std::uint64_t base = 0;
    std::uint64_t size = 0;
    bool valid = false;
    bool active = false;
};

struct CxlDvsec {
    unsigned revision = 0; ///< 0: CXL 1.1
    std::uint16_t capability = 0;
    std::uint16_t control = 0;
    std::vector<DvsecRange> ranges; ///< those that the device says it has, two at most
};

struct PciFacts {
    std::uint16_t vendor = 0;
    std::uint16_t device = 0;
    std::uint32_t class_code = 0; ///< 24 bits
    std::uint8_t header_type = 0;
    bool memory_space = false;            ///< Memory Space Enable in COMMAND
    bool root_complex_integrated = false; ///< by its PCI Express capability
    std::size_t config_size = 0;          ///< bytes that could be read
    std::string power_state;              ///< "D0", "D3cold"; empty: not known
    std::optional<CxlDvsec> cxl;
    std::optional<vfio::ComponentPlace> component; ///< as the Register Locator DVSEC has it
    bool has_locator = false;                      ///< there is a Register Locator DVSEC
    /// Size of each BAR slot, 0: none or without an address. Empty: not known.
    std::vector<std::uint64_t> bars;
};

struct GroupMember {
    std::string address;
    std::string driver;           ///< empty: none
    std::uint32_t class_code = 0; ///< 24 bits
};

/// How the host's kernel has bound the device.
struct BindingFacts {
    std::string driver;      ///< empty: none
    std::string vfio_device; ///< "vfio0"; empty: not registered with VFIO
    /// Module whose alias in modules.alias fits the device best, "vfio_pci" where none but that
    /// does; empty: not known.
    std::string module;
    std::optional<unsigned> group; ///< IOMMU group
    bool noiommu = false;          ///< which is VFIO's own, for want of an IOMMU
    /// Lines of the group's reserved_regions that ask for a 1:1 mapping.
    std::vector<std::string> direct;
    std::vector<GroupMember> others;
    std::string node;           ///< the device file to open, as on the real machine
    std::string missing_node;   ///< a device file that should be there
    std::string forbidden_node; ///< a device file that this user cannot open
    bool iommufd = false;       ///< no group or no container, but the device's own file and iommufd
    bool nodes_recorded = false; ///< there was a /dev to look at
};

enum class Generation { None, Live, Shadow };

struct RegionFacts {
    std::uint32_t index = 0;
    std::uint32_t flags = 0;
    std::uint64_t size = 0;
};

struct DecoderFacts {
    std::uint64_t size = 0;
    std::uint64_t skip = 0;
    bool wraps = false; ///< base + size
    bool committed = false;
    bool locked = false;
    bool interleaved = false;
    bool error = false;
};

/// What the VFIO device says. A problem is empty where there is none.
struct VfioFacts {
    std::uint32_t flags = 0;
    Generation generation = Generation::None;
    bool firmware_committed = false; ///< shadow: what its flag says
    bool cache_capable = false;      ///< shadow: the VMM writes caches back before a reset
    std::uint32_t bar = 0;           ///< where the component register region lies
    std::uint64_t bar_offset = 0;
    std::string contract_problem;
    std::optional<RegionFacts> memory;
    std::optional<RegionFacts> registers;
    std::string region_problem;
    std::vector<DecoderFacts> decoders;
    std::string decoder_problem;
};

/// A line of /proc/iomem.
struct IomemRange {
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    std::string name;
};

struct HostFacts {
    std::string arch;                  ///< "aarch64" or "x86_64"
    bool kvm = false;                  ///< guests of that kind run on KVM here
    std::string cpu_vendor;            ///< x86: as CPUID says it, "AuthenticAMD"
    std::optional<unsigned> phys_bits; ///< physical address bits a guest can have
    /// Arm: KVM maps device memory cacheable, which takes S2FWB and CTR_EL0.DIC.
    std::optional<bool> cacheable;
    /// Empty: /proc/iomem was not there, or showed no addresses to this user.
    std::vector<IomemRange> iomem;
    std::string huge_pages; ///< transparent_hugepage/enabled; empty: not known
    /// RLIMIT_MEMLOCK in bytes, UINT64_MAX: none; nullopt: not known.
    std::optional<std::uint64_t> memlock;
};

struct DeviceFacts {
    std::string address; ///< "0000:81:00.0"; empty: a socket alone
    std::string socket;
    std::optional<PciFacts> pci;
    std::optional<BindingFacts> binding;
    std::optional<VfioFacts> vfio;
    std::string vfio_absent;  ///< why there is no `vfio`
    bool vfio_failed = false; ///< opening it was tried
};

struct Facts {
    std::vector<DeviceFacts> devices;
    HostFacts host;
};

/// Decodes as much of configuration space as there is.
PciFacts decode_config(ByteView config);

} // namespace type2::preflight
