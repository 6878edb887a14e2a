// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/fd.h"

#include "base/size.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <poll.h>
#include <string_view>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

namespace type2 {

namespace {

tl::unexpected<Error> fail_errno(const char *what) {
    const int code = errno;
    return fail(code, fmt::format("{}: {}", what, std::strerror(code)));
}

/// A mapping of the file begins and ends at multiples of this.
std::uint64_t mapping_unit(int fd) {
    struct statfs file = {};
    const bool huge = fstatfs(fd, &file) == 0 && file.f_type == HUGETLBFS_MAGIC;
    return huge ? static_cast<std::uint64_t>(file.f_bsize) : 1;
}

} // namespace

void UniqueFd::reset(int fd) noexcept {
    if (fd_ >= 0) {
        close(fd_);
    }
    fd_ = fd;
}

Result<UniqueFd> UniqueFd::duplicate() const {
    UniqueFd copy(fcntl(fd_, F_DUPFD_CLOEXEC, 0));
    if (!copy) {
        return fail_errno("dup");
    }
    return copy;
}

Mapping &Mapping::operator=(Mapping &&other) noexcept {
    if (this != &other) {
        Mapping old(std::move(*this));
        whole_ = std::exchange(other.whole_, {});
        bytes_ = std::exchange(other.bytes_, {});
    }
    return *this;
}

Mapping::~Mapping() {
    if (whole_.data() != nullptr) {
        munmap(whole_.data(), whole_.size());
    }
}

Result<Mapping> Mapping::map(int fd, std::uint64_t offset, std::uint64_t size, bool readable,
                             bool writable) {
    const int prot = (readable ? PROT_READ : 0) | (writable ? PROT_WRITE : 0);
    const std::uint64_t unit = mapping_unit(fd);
    const std::uint64_t begin = round_down(offset, unit);
    const std::uint64_t length = round_up(offset + size, unit) - begin;
    void *data =
        mmap(nullptr, length, prot, MAP_SHARED | MAP_NORESERVE, fd, static_cast<off_t>(begin));
    if (data == MAP_FAILED) {
        return fail_errno("mmap");
    }
    const ByteSpan whole(static_cast<std::byte *>(data), length);
    return Mapping(whole, whole.subspan(offset - begin, size));
}

Result<UniqueFd> make_memfd(const char *name, std::uint64_t size, bool sealed) {
    UniqueFd fd(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!fd) {
        return fail_errno("memfd_create");
    }
    if (ftruncate(fd.get(), static_cast<off_t>(size)) != 0) {
        const int code = errno;
        return fail(code, fmt::format("{} of memory: {}{}", format_size(size), std::strerror(code),
                                      code == EFBIG ? "; see ulimit -f" : ""));
    }
    if (sealed && fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
        return fail_errno("F_ADD_SEALS");
    }
    return fd;
}

bool is_eventfd(int fd) {
    constexpr std::string_view Eventfd = "anon_inode:[eventfd]";
    std::array<char, Eventfd.size() + 1> name = {};
    const ssize_t length =
        readlink(fmt::format("/proc/self/fd/{}", fd).c_str(), name.data(), name.size());
    return length >= 0 &&
           std::string_view(name.data(), static_cast<std::size_t>(length)) == Eventfd;
}

bool takes_write(int fd) {
    pollfd entry = {fd, POLLOUT, 0};
    return poll(&entry, 1, 0) > 0 && (entry.revents & POLLOUT) != 0;
}

Result<void> read_at(int fd, std::uint64_t offset, ByteSpan into) {
    while (!into.empty()) {
        const ssize_t got = pread(fd, into.data(), into.size(), static_cast<off_t>(offset));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return fail_errno("pread");
        }
        if (got == 0) {
            return fail(EIO, "the file ends early");
        }
        into = into.subspan(static_cast<std::size_t>(got));
        offset += static_cast<std::uint64_t>(got);
    }
    return {};
}

Result<void> write_at(int fd, std::uint64_t offset, ByteView from) {
    while (!from.empty()) {
        const ssize_t put = pwrite(fd, from.data(), from.size(), static_cast<off_t>(offset));
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return fail_errno("pwrite");
        }
        if (put == 0) {
            return fail(EIO, "the file ends early");
        }
        from = from.subspan(static_cast<std::size_t>(put));
        offset += static_cast<std::uint64_t>(put);
    }
    return {};
}

} // namespace type2
