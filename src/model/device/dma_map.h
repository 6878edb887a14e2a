// SPDX-License-Identifier: GPL-2.0-or-later
// The client's memory that the device may reach: exactly what DMA_MAP gave and DMA_UNMAP left.
#pragma once

#include "base/fd.h"
#include "vfio_user/device_ops.h"

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace type2::device {

class DmaMap {
  public:
    struct Entry {
        vfio_user::DmaRange range;
        // Neither: it is reached by DMA_READ and DMA_WRITE.
        Mapping mapping;
        UniqueFd file; ///< for pread and pwrite
    };

    /// Error EEXIST: overlaps a range that is mapped; ENOSPC: too many; EINVAL: the file is
    /// shorter than the range says; errno of mmap.
    Result<void> map(const vfio_user::DmaRange &range, UniqueFd fd);
    /// Removes mappings that lie in [iova, iova + size); returns the bytes removed, 0 if there were
    /// none. Error EINVAL: a mapping sticks out of the range; nothing is removed then.
    Result<std::uint64_t> unmap(std::uint64_t iova, std::uint64_t size);
    /// Removes everything; returns the bytes removed.
    std::uint64_t clear();

    /// A stretch of client memory within one mapping.
    struct Piece {
        const Entry *entry = nullptr;
        std::uint64_t offset = 0; ///< in the entry
        std::uint64_t size = 0;
    };
    /// The longest piece that starts at `iova`, at most `size` long. Error EFAULT: not mapped, or
    /// mapped without the right that is asked for.
    Result<Piece> find(std::uint64_t iova, std::uint64_t size, bool write) const;
    /// True if every byte of [iova, iova + size) is mapped with that right.
    bool covers(std::uint64_t iova, std::uint64_t size, bool write) const;

    const std::map<std::uint64_t, Entry> &entries() const { return entries_; }

  private:
    std::map<std::uint64_t, Entry> entries_; ///< by iova
};

} // namespace type2::device
