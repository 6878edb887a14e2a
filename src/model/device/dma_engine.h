// SPDX-License-Identifier: GPL-2.0-or-later
// The DMA engine of the device: what a driver programs, and the state machine behind it.
//
// Registers: in BAR 2 from offset 0x1000 on, little-endian, to be accessed with their own width.
//
//   offset width name         access meaning
//   0x00   4     ID           RO     0x32435844
//   0x04   4     VERSION      RO     1
//   0x08   4     CAPABILITIES RO     [7:0] MSI-X vectors, [15:8] log2 of the longest ring
//   0x0c   4     CONTROL      RW     bit 0 ENABLE: 0 to 1 takes RING_BASE and RING_SIZE over and
//                                    sets HEAD, TAIL, ERROR to 0; 1 to 0 stops the engine: what is
//                                    in work is dropped without a write-back.
//                                    bit 1 RESET: writing 1 stops the engine and puts every
//                                    register back to its reset value; reads 0
//   0x10   4     STATUS       RO     bit 0 BUSY: HEAD has not reached TAIL
//                                    bit 1 HALTED: see ERROR; leave by ENABLE 1 to 0, or RESET
//   0x14   4     ERROR        RO     why it halted: 0 not at all, 1 bad RING_BASE or RING_SIZE,
//                                    2 TAIL not below RING_SIZE, 3 a descriptor could not be read
//                                    or its write-back failed, 4 bus mastering off, not in D0, or
//                                    the last reset failed
//   0x18   8     RING_BASE    RW     IOVA of descriptor 0, multiple of 64
//   0x20   4     RING_SIZE    RW     descriptors in the ring: a power of two, 2 to 4096
//   0x24   4     TAIL         RW     doorbell: index behind the last descriptor that is ready
//   0x28   4     HEAD         RO     index of the descriptor in work, or the next one
//   0x2c   4     ERROR_VECTOR RW     MSI-X vector raised when the engine halts; above 7: none
//   0x30   8     COMPLETED    RO     descriptors completed without error since the last RESET
//   0x38   8     FAILED       RO     descriptors completed with an error since the last RESET
//   0x40   8     MEMORY_SIZE  RO     bytes of device memory
//
// Descriptor: 64 bytes in guest RAM at RING_BASE + 64 * index, little-endian.
//
//   offset width name
//   0x00   4     opcode       0 nothing, 1 RAM to device, 2 device to RAM, 3 RAM to RAM
//   0x04   4     flags        bit 0: raise an interrupt on completion; [15:8] its MSI-X vector,
//                             0 to 7; other bits 0
//   0x08   8     source       IOVA, or offset in device memory (opcode 2)
//   0x10   8     destination  IOVA, or offset in device memory (opcode 1)
//   0x18   8     length       1 byte to 1 GiB (opcode 0: ignored)
//   0x20   16    not looked at: the driver's own
//   0x30   8     bytes        written back: bytes copied
//   0x38   4     status       written back, last: 1 done, 2 bad opcode, 3 bad length, 4 bad flags,
//                             5 outside device memory, 6 IOVA not mapped for this access, or
//                             nothing behind it any more, 7 source and destination overlap. The
//                             driver puts 0 there first
//   0x3c   4     not looked at
//
// Descriptors are worked on in order, one at a time. One that is refused (2 to 5, 7, and 6 where a
// mapping is missing beforehand) touches nothing but its own write-back. The interrupt follows the
// write-back. The ring must be mapped readable and writable.
#pragma once

#include "base/registers.h"
#include "base/result.h"
#include "model/device/dma_map.h"
#include "vfio_user/device_ops.h"

#include <cstdint>
#include <functional>
#include <vector>

namespace type2::device {

namespace engine {
inline constexpr std::uint32_t Offset = 0x1000; ///< of the registers in their BAR

namespace reg {
inline constexpr std::uint32_t Id = 0x00;
inline constexpr std::uint32_t Version = 0x04;
inline constexpr std::uint32_t Capabilities = 0x08;
inline constexpr std::uint32_t Control = 0x0c;
inline constexpr std::uint32_t Status = 0x10;
inline constexpr std::uint32_t Error = 0x14;
inline constexpr std::uint32_t RingBase = 0x18;
inline constexpr std::uint32_t RingSize = 0x20;
inline constexpr std::uint32_t Tail = 0x24;
inline constexpr std::uint32_t Head = 0x28;
inline constexpr std::uint32_t ErrorVector = 0x2c;
inline constexpr std::uint32_t Completed = 0x30;
inline constexpr std::uint32_t Failed = 0x38;
inline constexpr std::uint32_t MemorySize = 0x40;
inline constexpr std::uint32_t End = 0x48;
} // namespace reg

inline constexpr std::uint32_t IdValue = 0x32435844;
inline constexpr std::uint32_t ControlEnable = 1U << 0;
inline constexpr std::uint32_t ControlReset = 1U << 1;
inline constexpr std::uint32_t StatusBusy = 1U << 0;
inline constexpr std::uint32_t StatusHalted = 1U << 1;
inline constexpr std::uint32_t MaxRing = 4096;
inline constexpr std::uint64_t MaxLength = 1ULL << 30;

enum class Halt : std::uint32_t { None, BadRing, BadTail, RingAccess, NoMaster };
enum class Opcode : std::uint32_t { Nothing, ToDevice, FromDevice, InRam };
enum class Status : std::uint32_t {
    Done = 1,
    BadOpcode,
    BadLength,
    BadFlags,
    OutsideDevice,
    NotMapped,
    Overlap,
};

struct Descriptor {
    std::uint32_t opcode;
    std::uint32_t flags;
    std::uint64_t source;
    std::uint64_t destination;
    std::uint64_t length;
    std::uint64_t driver[2];
    std::uint64_t bytes;
    std::uint32_t status;
    std::uint32_t reserved;
};
static_assert(sizeof(Descriptor) == 64 && offsetof(Descriptor, bytes) == 0x30 &&
              offsetof(Descriptor, status) == 0x38);
} // namespace engine

/// What the engine needs of the device it is part of.
class EngineHost {
  public:
    EngineHost() = default;
    EngineHost(const EngineHost &) = delete;
    EngineHost &operator=(const EngineHost &) = delete;
    virtual ~EngineHost() = default;

    virtual Result<void> engine_read_memory(std::uint64_t offset, ByteSpan into) = 0;
    virtual Result<void> engine_write_memory(std::uint64_t offset, ByteView from) = 0;
    virtual std::uint64_t engine_memory_size() const = 0;
    virtual const DmaMap &engine_dma() const = 0;
    /// Bus mastering is on, the device in D0 and not gated.
    virtual bool engine_may_master() const = 0;
    virtual void engine_raise(unsigned vector) = 0;
    /// The client, for memory that came without a file; null: there is none.
    virtual vfio_user::ClientMemory *engine_client() = 0;
};

class DmaEngine {
  public:
    /// `registers` holds rows() at engine::Offset; both outlive the engine.
    DmaEngine(RegisterFile &registers, EngineHost &host) : registers_(registers), host_(host) {}

    /// Rows of the register table above; offsets from engine::Offset.
    static std::vector<Register> rows(unsigned vectors, std::uint64_t memory_size);

    /// A guest has written to the registers: acts on CONTROL and TAIL.
    void written();
    /// Does a bounded piece of work. True: call again at once. False: nothing to do, or waiting
    /// for the client.
    bool step();
    /// Stops; the registers are someone else's to reset.
    void stop();

  private:
    using Done = std::function<void(Result<void>)>;

    std::uint32_t get(std::uint32_t offset) const;
    void set(std::uint32_t offset, std::uint32_t value);
    void halt(engine::Halt why);
    void enable();
    void update_status();
    std::uint64_t descriptor_address() const;

    void fetch();
    void begin(const engine::Descriptor &descriptor);
    engine::Status check(const engine::Descriptor &descriptor) const;
    void copy();
    void complete(engine::Status status);
    void finish();

    /// Copies one piece, of one mapping, from or to client memory; `done` runs at once, or when the
    /// client has answered; not at all if the engine has been stopped in between.
    void read_client(std::uint64_t iova, ByteSpan into, Done done);
    void write_client(std::uint64_t iova, ByteView from, Done done);
    /// How that piece is reached: one of these. Error: there is none.
    struct Reach {
        ByteSpan bytes;
        int file = -1;
        std::uint64_t offset = 0; ///< in the file
        vfio_user::ClientMemory *client = nullptr;
    };
    Result<Reach> reach(std::uint64_t iova, std::uint64_t count, bool write);
    /// What the client was asked is of no interest any more.
    void cancel();

    RegisterFile &registers_;
    EngineHost &host_;
    bool enabled_ = false;
    std::uint64_t ring_base_ = 0;
    std::uint32_t ring_size_ = 0;
    std::function<void()> next_; ///< what step() does; empty: nothing, or waiting
    bool in_work_ = false;       ///< a descriptor is being worked on
    engine::Descriptor descriptor_ = {};
    std::uint64_t copied_ = 0;
    engine::Status status_ = engine::Status::Done;
    Bytes buffer_;
};

} // namespace type2::device
