// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/device/dma_map.h"

#include "vfio_user/protocol.h"

#include <algorithm>
#include <cerrno>
#include <fmt/format.h>
#include <iterator>
#include <sys/stat.h>

namespace type2::device {

namespace {

Result<Mapping> map_file(const vfio_user::DmaRange &range, const UniqueFd &fd) {
    struct stat file = {};
    if (fstat(fd.get(), &file) == 0 && S_ISREG(file.st_mode) &&
        !fits(range.offset, range.size, static_cast<std::uint64_t>(file.st_size))) {
        return fail(EINVAL, fmt::format("the file has {:#x} bytes, the range ends at {:#x}",
                                        file.st_size, range.offset + range.size));
    }
    return Mapping::map(fd.get(), range.offset, range.size, range.readable, range.writable);
}

} // namespace

Result<void> DmaMap::map(const vfio_user::DmaRange &range, UniqueFd fd) {
    const auto next = entries_.lower_bound(range.iova);
    const bool hits_next = next != entries_.end() && next->first - range.iova < range.size;
    const bool hits_previous = next != entries_.begin() && range.iova - std::prev(next)->first <
                                                               std::prev(next)->second.range.size;
    if (hits_next || hits_previous) {
        return fail(EEXIST, fmt::format("[{:#x}, +{:#x}) is mapped already, in part at least",
                                        range.iova, range.size));
    }
    if (entries_.size() >= vfio_user::MaxDmaMaps) {
        return fail(ENOSPC, fmt::format("more than {} mappings", vfio_user::MaxDmaMaps));
    }
    Entry entry = {range, {}, {}};
    if (range.file_io) {
        entry.file = std::move(fd);
    } else if (fd) {
        auto mapping = map_file(range, fd);
        if (!mapping) {
            return tl::unexpected(mapping.error());
        }
        entry.mapping = std::move(*mapping);
    }
    entries_.emplace(range.iova, std::move(entry));
    return {};
}

Result<std::uint64_t> DmaMap::unmap(std::uint64_t iova, std::uint64_t size) {
    const std::uint64_t last = iova + (size - 1);
    auto first = entries_.lower_bound(iova);
    if (first != entries_.begin()) {
        const auto &before = std::prev(first)->second.range;
        if (iova - before.iova < before.size) {
            return fail(EINVAL,
                        fmt::format("a mapping begins at {:#x}, before the range", before.iova));
        }
    }
    auto end = first;
    std::uint64_t removed = 0;
    for (; end != entries_.end() && end->first <= last; ++end) {
        const auto &range = end->second.range;
        if (range.iova + (range.size - 1) > last) {
            return fail(EINVAL,
                        fmt::format("the mapping at {:#x} ends behind the range", range.iova));
        }
        removed += range.size;
    }
    entries_.erase(first, end);
    return removed;
}

std::uint64_t DmaMap::clear() {
    std::uint64_t removed = 0;
    for (const auto &[iova, entry] : entries_) {
        removed += entry.range.size;
    }
    entries_.clear();
    return removed;
}

Result<DmaMap::Piece> DmaMap::find(std::uint64_t iova, std::uint64_t size, bool write) const {
    const auto after = entries_.upper_bound(iova);
    if (after != entries_.begin()) {
        const auto &entry = std::prev(after)->second;
        const std::uint64_t offset = iova - entry.range.iova;
        const bool allowed = write ? entry.range.writable : entry.range.readable;
        if (offset < entry.range.size && allowed) {
            return Piece{&entry, offset, std::min(size, entry.range.size - offset)};
        }
    }
    return fail(EFAULT,
                fmt::format("no mapping for a {} at {:#x}", write ? "write" : "read", iova));
}

bool DmaMap::covers(std::uint64_t iova, std::uint64_t size, bool write) const {
    if (size != 0 && iova + (size - 1) < iova) {
        return false;
    }
    while (size != 0) {
        const auto piece = find(iova, size, write);
        if (!piece) {
            return false;
        }
        iova += piece->size;
        size -= piece->size;
    }
    return true;
}

} // namespace type2::device
