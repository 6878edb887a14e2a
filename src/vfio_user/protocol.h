// SPDX-License-Identifier: GPL-2.0-or-later
// The vfio-user protocol, version 0.0: what travels on the socket. Payload structures are those of
// <linux/vfio.h>, so they are taken from there where the layouts agree. Sizes in bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <linux/vfio.h>

namespace type2::vfio_user {

enum class Command : std::uint16_t {
    Version = 1,
    DmaMap = 2,
    DmaUnmap = 3,
    DeviceGetInfo = 4,
    DeviceGetRegionInfo = 5,
    DeviceGetRegionIoFds = 6,
    DeviceGetIrqInfo = 7,
    DeviceSetIrqs = 8,
    RegionRead = 9,
    RegionWrite = 10,
    DmaRead = 11,
    DmaWrite = 12,
    DeviceReset = 13,
    DirtyPages = 14,
    RegionWriteMulti = 15,
    DeviceFeature = 16,
    MigDataRead = 17,
    MigDataWrite = 18,
};

/// "DMA_MAP" and so on; "UNKNOWN" for a number that is no command.
const char *command_name(std::uint16_t command);

inline constexpr std::uint32_t TypeMask = 0xf;
inline constexpr std::uint32_t TypeCommand = 0x0;
inline constexpr std::uint32_t TypeReply = 0x1;
inline constexpr std::uint32_t FlagNoReply = 0x10;
inline constexpr std::uint32_t FlagError = 0x20;

inline constexpr std::uint16_t VersionMajor = 0;
inline constexpr std::uint16_t VersionMinor = 0;

inline constexpr std::uint32_t MaxTransfer = 1024 * 1024; ///< max_data_xfer_size of either side
/// The least that a client may say there. The protocol names no such number, but what a device
/// reads of a client's memory at once, a descriptor for one, does not fit into less.
inline constexpr std::uint32_t MinTransfer = 64;
inline constexpr std::uint32_t MaxMessageFds = 16; ///< max_msg_fds
/// Each is a mapping of this process, which has 65530 (vm.max_map_count) for everything it does.
inline constexpr std::uint32_t MaxDmaMaps = 32768;
inline constexpr std::uint32_t DmaPageSize = 4096;
/// Questions of the server's (DMA_READ, DMA_WRITE) that wait for an answer, or whose answer is to
/// be ignored. A client that answers none is not asked any more.
inline constexpr std::size_t MaxUnanswered = 256;
inline constexpr std::uint64_t MaxMultiWrites = 200; ///< entries in one REGION_WRITE_MULTI

struct Header {
    std::uint16_t id;
    std::uint16_t command;
    std::uint32_t size; ///< whole message, this header included
    std::uint32_t flags;
    std::uint32_t error;
};
static_assert(sizeof(Header) == 16 && offsetof(Header, error) == 12);

/// Nothing longer is taken from a peer: header, region access header, one full transfer.
inline constexpr std::uint32_t MaxMessage = sizeof(Header) + 16 + MaxTransfer;

struct Version { ///< followed by a NUL-terminated JSON text
    std::uint16_t major;
    std::uint16_t minor;
};
static_assert(sizeof(Version) == 4);

/// How the file that comes with DMA_MAP may be used, in its flags. Neither: mmap. Both: either.
inline constexpr std::uint32_t DmaMapMmap = 1U << 2;
inline constexpr std::uint32_t DmaMapFileIo = 1U << 3; ///< pread and pwrite

struct DmaMap {
    std::uint32_t argsz;
    std::uint32_t flags;  ///< bit 0 readable, bit 1 writable, DmaMapMmap, DmaMapFileIo
    std::uint64_t offset; ///< in the descriptor that comes with the message
    std::uint64_t iova;
    std::uint64_t size;
};
static_assert(sizeof(DmaMap) == 32 && offsetof(DmaMap, iova) == 16);

struct DmaUnmap {
    std::uint32_t argsz;
    std::uint32_t flags; ///< VFIO_DMA_UNMAP_FLAG_ALL or 0
    std::uint64_t iova;
    std::uint64_t size;
};
static_assert(sizeof(DmaUnmap) == 24 && offsetof(DmaUnmap, size) == 16);

/// The protocol's 16 bytes. The kernel's structure goes on with cap_offset at 16 and 4 bytes of
/// padding; a reply that carries capabilities uses that longer form.
struct DeviceInfo {
    std::uint32_t argsz;
    std::uint32_t flags;
    std::uint32_t num_regions;
    std::uint32_t num_irqs;
};
static_assert(sizeof(DeviceInfo) == 16);

struct DeviceInfoWithCaps {
    DeviceInfo info;
    std::uint32_t cap_offset;
    std::uint32_t pad;
};
static_assert(sizeof(DeviceInfoWithCaps) == 24 && offsetof(DeviceInfoWithCaps, cap_offset) == 16);

using RegionInfo = vfio_region_info;
static_assert(sizeof(RegionInfo) == 32 && offsetof(RegionInfo, size) == 16);

using IrqInfo = vfio_irq_info;
static_assert(sizeof(IrqInfo) == 16);

struct IrqSet { ///< followed by `count` bytes with DATA_BOOL
    std::uint32_t argsz;
    std::uint32_t flags;
    std::uint32_t index;
    std::uint32_t start;
    std::uint32_t count;
};
static_assert(sizeof(IrqSet) == 20);

struct RegionAccess { ///< followed by data in a write request and in a read reply
    std::uint64_t offset;
    std::uint32_t region;
    std::uint32_t count;
};
static_assert(sizeof(RegionAccess) == 16);

struct DmaAccess { ///< followed by data in a write request and in a read reply
    std::uint64_t address;
    std::uint64_t count;
};
static_assert(sizeof(DmaAccess) == 16);

struct MultiWrite { ///< one of the writes of REGION_WRITE_MULTI, after a u64 count
    std::uint64_t offset;
    std::uint32_t region;
    std::uint32_t count; ///< 1 to 8
    std::uint8_t data[8];
};
static_assert(sizeof(MultiWrite) == 24);

} // namespace type2::vfio_user
