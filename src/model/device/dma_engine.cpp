// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/device/dma_engine.h"

#include "base/guard.h"
#include "base/size.h"
#include "vfio_user/protocol.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstring>
#include <memory>

namespace type2::device {

using engine::Descriptor;
using engine::Halt;
using engine::Opcode;
using engine::Status;
namespace reg = engine::reg;

// A descriptor is fetched in one message.
static_assert(sizeof(Descriptor) <= vfio_user::MinTransfer);

namespace {

constexpr std::uint64_t RingAlign = 64;
constexpr std::uint32_t FlagInterrupt = 1U << 0;
constexpr std::uint32_t FlagsKnown = FlagInterrupt | 0xff00;
constexpr std::uint64_t Chunk = 1 * MiB; ///< copied in one step
constexpr const char *Section = "device/dma_engine.h";

unsigned vector_of(const Descriptor &descriptor) {
    return descriptor.flags >> 8 & 0xff;
}
bool reads_device(const Descriptor &d) {
    return d.opcode == static_cast<unsigned>(Opcode::FromDevice);
}
bool writes_device(const Descriptor &d) {
    return d.opcode == static_cast<unsigned>(Opcode::ToDevice);
}

/// The client's file behind a mapping has the size that it had only as long as the client wants.
Result<void> move_bytes(ByteView from, ByteSpan to) {
    if (!survives([&] { std::memcpy(to.data(), from.data(), from.size()); })) {
        return fail(EFAULT, "the client's file has become shorter than its mapping");
    }
    return {};
}

} // namespace

std::vector<Register> DmaEngine::rows(unsigned vectors, std::uint64_t memory_size) {
    const std::uint64_t log2_ring = static_cast<unsigned>(std::countr_zero(engine::MaxRing));
    return {
        {"dma_id", reg::Id, 4, engine::IdValue, 0, 0, Section},
        {"dma_version", reg::Version, 4, 1, 0, 0, Section},
        {"dma_capabilities", reg::Capabilities, 4, vectors | log2_ring << 8, 0, 0, Section},
        {"dma_control", reg::Control, 4, 0, 0x3, 0, Section},
        {"dma_status", reg::Status, 4, 0, 0, 0, Section},
        {"dma_error", reg::Error, 4, 0, 0, 0, Section},
        {"dma_ring_base", reg::RingBase, 8, 0, UINT64_MAX, 0, Section},
        {"dma_ring_size", reg::RingSize, 4, 0, 0xffffffff, 0, Section},
        {"dma_tail", reg::Tail, 4, 0, 0xffffffff, 0, Section},
        {"dma_head", reg::Head, 4, 0, 0, 0, Section},
        {"dma_error_vector", reg::ErrorVector, 4, 0xff, 0xff, 0, Section},
        {"dma_completed", reg::Completed, 8, 0, 0, 0, Section},
        {"dma_failed", reg::Failed, 8, 0, 0, 0, Section},
        {"dma_memory_size", reg::MemorySize, 8, memory_size, 0, 0, Section},
    };
}

std::uint32_t DmaEngine::get(std::uint32_t offset) const {
    return registers_.get<std::uint32_t>(engine::Offset + offset);
}

void DmaEngine::set(std::uint32_t offset, std::uint32_t value) {
    registers_.set(engine::Offset + offset, value);
}

void DmaEngine::cancel() {
    if (auto *client = host_.engine_client()) {
        client->cancel();
    }
}

void DmaEngine::stop() {
    cancel();
    enabled_ = false;
    in_work_ = false;
    next_ = nullptr;
}

void DmaEngine::written() {
    const std::uint32_t control = get(reg::Control);
    if ((control & engine::ControlReset) != 0) {
        stop();
        for (const auto &row :
             rows(get(reg::Capabilities) & 0xff,
                  registers_.get<std::uint64_t>(engine::Offset + reg::MemorySize))) {
            if (row.width == 8) {
                registers_.set(engine::Offset + row.offset, row.reset);
            } else {
                set(row.offset, static_cast<std::uint32_t>(row.reset));
            }
        }
        return;
    }
    const bool wanted = (control & engine::ControlEnable) != 0;
    if (wanted && !enabled_) {
        enable();
    } else if (!wanted && enabled_) {
        stop();
        set(reg::Error, 0);
        set(reg::Head, 0);
        set(reg::Tail, 0);
    }
    if (enabled_ && get(reg::Error) == 0 && get(reg::Tail) >= ring_size_) {
        halt(Halt::BadTail);
    }
    update_status();
}

void DmaEngine::enable() {
    enabled_ = true;
    set(reg::Error, 0);
    set(reg::Head, 0);
    set(reg::Tail, 0);
    ring_base_ = registers_.get<std::uint64_t>(engine::Offset + reg::RingBase);
    ring_size_ = get(reg::RingSize);
    const bool fits = ring_size_ >= 2 && ring_size_ <= engine::MaxRing &&
                      std::has_single_bit(ring_size_) && ring_base_ % RingAlign == 0 &&
                      ring_base_ <= UINT64_MAX - sizeof(Descriptor) * engine::MaxRing;
    if (!fits) {
        halt(Halt::BadRing);
    }
}

void DmaEngine::halt(Halt why) {
    cancel();
    in_work_ = false;
    next_ = nullptr;
    set(reg::Error, static_cast<std::uint32_t>(why));
    update_status();
    host_.engine_raise(get(reg::ErrorVector));
}

void DmaEngine::update_status() {
    const bool halted = get(reg::Error) != 0;
    const bool busy = enabled_ && !halted && (in_work_ || get(reg::Head) != get(reg::Tail));
    set(reg::Status, (busy ? engine::StatusBusy : 0) | (halted ? engine::StatusHalted : 0));
}

bool DmaEngine::step() {
    if (next_) {
        const auto work = std::exchange(next_, nullptr);
        work();
    } else if (enabled_ && !in_work_ && get(reg::Error) == 0 && get(reg::Head) != get(reg::Tail)) {
        if (host_.engine_may_master()) {
            fetch();
        } else {
            halt(Halt::NoMaster);
        }
    } else {
        return false;
    }
    const bool idle = enabled_ && !in_work_ && get(reg::Error) == 0;
    return next_ != nullptr || (idle && get(reg::Head) != get(reg::Tail));
}

std::uint64_t DmaEngine::descriptor_address() const {
    return ring_base_ + sizeof(Descriptor) * std::uint64_t{get(reg::Head)};
}

Result<DmaEngine::Reach> DmaEngine::reach(std::uint64_t iova, std::uint64_t count, bool write) {
    const auto piece = host_.engine_dma().find(iova, count, write);
    if (!piece || piece->size < count) {
        return fail(EFAULT);
    }
    const auto &entry = *piece->entry;
    Reach reach;
    if (entry.mapping) {
        reach.bytes = entry.mapping.bytes().subspan(piece->offset, count);
    } else if (entry.file) {
        reach.file = entry.file.get();
        reach.offset = entry.range.offset + piece->offset;
    } else {
        reach.client = host_.engine_client();
        if (reach.client == nullptr) {
            return fail(ENOTCONN);
        }
    }
    return reach;
}

void DmaEngine::read_client(std::uint64_t iova, ByteSpan into, Done done) {
    const auto there = reach(iova, into.size(), false);
    if (!there) {
        done(tl::unexpected(there.error()));
    } else if (there->file >= 0) {
        done(read_at(there->file, there->offset, into));
    } else if (there->client == nullptr) {
        done(move_bytes(there->bytes, into));
    } else {
        there->client->dma_read(iova, static_cast<std::uint32_t>(into.size()),
                                [into, done = std::move(done)](Result<Bytes> bytes) {
                                    if (!bytes) {
                                        done(tl::unexpected(bytes.error()));
                                        return;
                                    }
                                    std::copy(bytes->begin(), bytes->end(), into.begin());
                                    done({});
                                });
    }
}

void DmaEngine::write_client(std::uint64_t iova, ByteView from, Done done) {
    const auto there = reach(iova, from.size(), true);
    if (!there) {
        done(tl::unexpected(there.error()));
    } else if (there->file >= 0) {
        done(write_at(there->file, there->offset, from));
    } else if (there->client == nullptr) {
        done(move_bytes(from, there->bytes));
    } else {
        there->client->dma_write(iova, from, std::move(done));
    }
}

void DmaEngine::fetch() {
    in_work_ = true;
    buffer_.assign(sizeof(Descriptor), std::byte{0});
    read_client(descriptor_address(), buffer_, [this](const Result<void> &result) {
        if (!result) {
            halt(Halt::RingAccess);
            return;
        }
        const auto descriptor = load<Descriptor>(buffer_);
        next_ = [this, descriptor] { begin(descriptor); };
    });
}

Status DmaEngine::check(const Descriptor &d) const {
    if (d.opcode > static_cast<std::uint32_t>(Opcode::InRam)) {
        return Status::BadOpcode;
    }
    const unsigned vectors = get(reg::Capabilities) & 0xff;
    if ((d.flags & ~FlagsKnown) != 0 || vector_of(d) >= vectors) {
        return Status::BadFlags;
    }
    if (d.opcode == static_cast<std::uint32_t>(Opcode::Nothing)) {
        return Status::Done;
    }
    if (d.length == 0 || d.length > engine::MaxLength) {
        return Status::BadLength;
    }
    const std::uint64_t size = host_.engine_memory_size();
    if ((reads_device(d) && !fits(d.source, d.length, size)) ||
        (writes_device(d) && !fits(d.destination, d.length, size))) {
        return Status::OutsideDevice;
    }
    const auto &dma = host_.engine_dma();
    if ((!reads_device(d) && !dma.covers(d.source, d.length, false)) ||
        (!writes_device(d) && !dma.covers(d.destination, d.length, true))) {
        return Status::NotMapped;
    }
    const bool in_ram = d.opcode == static_cast<std::uint32_t>(Opcode::InRam);
    if (in_ram && overlaps(d.source, d.length, d.destination, d.length)) {
        return Status::Overlap;
    }
    return Status::Done;
}

void DmaEngine::begin(const Descriptor &descriptor) {
    descriptor_ = descriptor;
    copied_ = 0;
    const Status checked = check(descriptor);
    const bool nothing = descriptor.opcode == static_cast<std::uint32_t>(Opcode::Nothing);
    if (checked != Status::Done || nothing) {
        complete(checked);
    } else {
        copy();
    }
}

void DmaEngine::copy() {
    if (copied_ == descriptor_.length) {
        complete(Status::Done);
        return;
    }
    if (!host_.engine_may_master()) {
        halt(Halt::NoMaster);
        return;
    }
    // One chunk lies within one mapping on either side, and within one message.
    const std::uint64_t source = descriptor_.source + copied_;
    const std::uint64_t destination = descriptor_.destination + copied_;
    auto *client = host_.engine_client();
    std::uint64_t count = std::min(descriptor_.length - copied_, Chunk);
    if (client != nullptr) {
        count = std::min<std::uint64_t>(count, client->max_transfer());
    }
    const auto &dma = host_.engine_dma();
    if (!reads_device(descriptor_)) {
        const auto piece = dma.find(source, count, false);
        count = piece ? piece->size : 0;
    }
    if (!writes_device(descriptor_) && count != 0) {
        const auto piece = dma.find(destination, count, true);
        count = piece ? piece->size : 0;
    }
    if (count == 0) {
        complete(Status::NotMapped); // unmapped since the descriptor was checked
        return;
    }
    buffer_.resize(count);
    const auto stored = [this, count](const Result<void> &result) {
        if (!result) {
            complete(Status::NotMapped);
            return;
        }
        copied_ += count;
        next_ = [this] { copy(); };
    };
    const auto loaded = [this, destination, stored](const Result<void> &result) {
        if (!result) {
            complete(Status::NotMapped);
        } else if (writes_device(descriptor_)) {
            stored(host_.engine_write_memory(destination, buffer_));
        } else {
            write_client(destination, buffer_, stored);
        }
    };
    if (reads_device(descriptor_)) {
        loaded(host_.engine_read_memory(source, buffer_));
    } else {
        read_client(source, buffer_, loaded);
    }
}

void DmaEngine::complete(Status status) {
    status_ = status;
    // Everything copied is visible before the status is: the driver polls that.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    buffer_.clear();
    append(buffer_, copied_);
    const std::uint64_t at = descriptor_address() + offsetof(Descriptor, bytes);
    write_client(at, buffer_, [this, at](const Result<void> &result) {
        if (!result) {
            halt(Halt::RingAccess);
            return;
        }
        std::atomic_thread_fence(std::memory_order_seq_cst);
        buffer_.clear();
        append(buffer_, static_cast<std::uint32_t>(status_));
        write_client(at + sizeof(std::uint64_t), buffer_, [this](const Result<void> &last) {
            if (!last) {
                halt(Halt::RingAccess);
                return;
            }
            next_ = [this] { finish(); };
        });
    });
}

void DmaEngine::finish() {
    const bool good = status_ == Status::Done;
    const std::uint32_t counter = engine::Offset + (good ? reg::Completed : reg::Failed);
    registers_.set(counter, registers_.get<std::uint64_t>(counter) + 1);
    set(reg::Head, (get(reg::Head) + 1) & (ring_size_ - 1));
    in_work_ = false;
    update_status();
    // A refused descriptor's flags may be wrong themselves; a vector that exists is honoured.
    if ((descriptor_.flags & FlagInterrupt) != 0) {
        host_.engine_raise(vector_of(descriptor_));
    }
}

} // namespace type2::device
