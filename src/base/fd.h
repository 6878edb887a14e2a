// SPDX-License-Identifier: GPL-2.0-or-later
// File descriptors and mappings that clean up after themselves.
#pragma once

#include "base/bytes.h"
#include "base/result.h"

#include <cstdint>
#include <utility>

namespace type2 {

/// Owns a file descriptor; closes it when it goes.
class UniqueFd {
  public:
    UniqueFd() = default;
    explicit UniqueFd(int fd) : fd_(fd) {}
    UniqueFd(const UniqueFd &) = delete;
    UniqueFd &operator=(const UniqueFd &) = delete;
    UniqueFd(UniqueFd &&other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    UniqueFd &operator=(UniqueFd &&other) noexcept {
        if (this != &other) {
            reset(std::exchange(other.fd_, -1));
        }
        return *this;
    }
    ~UniqueFd() { reset(); }

    int get() const { return fd_; }
    explicit operator bool() const { return fd_ >= 0; }
    /// Closes what is held and holds `fd` from now on.
    void reset(int fd = -1) noexcept;
    /// Gives the descriptor away; the caller closes it.
    int release() { return std::exchange(fd_, -1); }
    /// A second descriptor of the same file. Error: errno of dup.
    Result<UniqueFd> duplicate() const;

  private:
    int fd_ = -1;
};

/// Owns a shared mapping of a file; unmaps it when it goes.
class Mapping {
  public:
    Mapping() = default;
    Mapping(const Mapping &) = delete;
    Mapping &operator=(const Mapping &) = delete;
    Mapping(Mapping &&other) noexcept
        : whole_(std::exchange(other.whole_, {})), bytes_(std::exchange(other.bytes_, {})) {}
    Mapping &operator=(Mapping &&other) noexcept;
    ~Mapping();

    /// Maps `size` bytes of `fd` from `offset` on (page aligned), MAP_SHARED and without reserving
    /// memory. A file of huge pages is mapped in whole ones; bytes() is what was asked for.
    /// Error: errno of mmap.
    static Result<Mapping> map(int fd, std::uint64_t offset, std::uint64_t size, bool readable,
                               bool writable);

    ByteSpan bytes() const { return bytes_; }
    explicit operator bool() const { return whole_.data() != nullptr; }

  private:
    Mapping(ByteSpan whole, ByteSpan bytes) : whole_(whole), bytes_(bytes) {}

    ByteSpan whole_; ///< what is mapped
    ByteSpan bytes_; ///< the part of it that was asked for
};

/// An anonymous file of `size` bytes, sparse. sealed: size fixed for good, so that nobody who maps
/// it can be hit by SIGBUS. Error: errno of memfd_create, ftruncate or fcntl.
Result<UniqueFd> make_memfd(const char *name, std::uint64_t size, bool sealed = true);

/// True if `fd` is an eventfd, by what /proc/self/fd says of it.
bool is_eventfd(int fd);

/// True if a write to `fd` would not block now.
bool takes_write(int fd);

/// Reads or writes exactly the whole span at `offset`. Error: errno, EIO when the file ends early.
Result<void> read_at(int fd, std::uint64_t offset, ByteSpan into);
Result<void> write_at(int fd, std::uint64_t offset, ByteView from);

} // namespace type2
