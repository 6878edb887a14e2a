// SPDX-License-Identifier: GPL-2.0-or-later
// Small tools of the guest's programs: text, files below /sys, TAP.
#pragma once

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <string>
#include <string_view>
#include <sys/klog.h>
#include <unistd.h>
#include <vector>

namespace guest {

namespace fs = std::filesystem;

constexpr std::uint64_t MiB = 1024 * 1024;

[[gnu::format(printf, 1, 2)]] inline std::string text(const char *format, ...) {
    std::array<char, 512> buffer{};
    va_list args;
    va_start(args, format);
    std::vsnprintf(buffer.data(), buffer.size(), format, args);
    va_end(args);
    return buffer.data();
}

inline void say(const std::string &line) { std::printf("%s\n", line.c_str()); }

// A line's end is left out, unless all that is there is wanted.
inline std::string read_file(const fs::path &path, bool line = true) {
    std::string out;
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return out;
    std::array<char, 4096> buffer;
    for (ssize_t n; (n = ::read(fd, buffer.data(), buffer.size())) > 0;)
        out.append(buffer.data(), static_cast<std::size_t>(n));
    ::close(fd);
    while (line && !out.empty() && out.back() == '\n') out.pop_back();
    return out;
}

inline bool write_file(const fs::path &path, const std::string &content) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd < 0) return false;
    const bool ok = ::write(fd, content.data(), content.size()) ==
                    static_cast<ssize_t>(content.size());
    ::close(fd);
    return ok;
}

inline std::uint64_t read_number(const fs::path &path) {
    return std::strtoull(read_file(path).c_str(), nullptr, 0);
}

inline std::vector<fs::path> entries(const fs::path &dir, std::string_view prefix) {
    std::vector<fs::path> out;
    std::error_code error;
    for (fs::directory_iterator i(dir, error), end; !error && i != end; i.increment(error))
        if (i->path().filename().string().starts_with(prefix)) out.push_back(i->path());
    std::sort(out.begin(), out.end());
    return out;
}

inline fs::path resolve(const fs::path &path) {
    std::error_code error;
    return fs::canonical(path, error);
}

// A PCI function's configuration space, as it is when this is made.
class Config {
public:
    explicit Config(const fs::path &pci) : bytes_(read_file(pci / "config", false)) {}
    [[nodiscard]] std::uint32_t dword(std::size_t at) const {
        std::uint32_t value = 0;
        if (at + 4 <= bytes_.size()) std::memcpy(&value, bytes_.data() + at, 4);
        return value;
    }
    // Where CXL's DVSEC of that id is, 0: nowhere (CXL r3.1 section 8.1.1).
    [[nodiscard]] std::size_t find_dvsec(std::uint32_t id) const {
        for (std::size_t at = 0x100, steps = 0; at >= 0x100 && steps < 1024; at = dword(at) >> 20, ++steps)
            if ((dword(at) & 0xffff) == 0x23 && (dword(at + 4) & 0xffff) == 0x1e98 && (dword(at + 8) & 0xffff) == id)
                return at;
        return 0;
    }

private:
    std::string bytes_;
};

// The kernel's log, whole
inline std::string kernel_log() {
    constexpr int read_all = 3, size_of_buffer = 10;
    std::string log(static_cast<std::size_t>(std::max(::klogctl(size_of_buffer, nullptr, 0), 0)), '\0');
    const int length = ::klogctl(read_all, log.data(), static_cast<int>(log.size()));
    log.resize(static_cast<std::size_t>(std::max(length, 0)));
    return log;
}

// A number with K, M, G or T behind it.
inline std::uint64_t parse_size(const std::string &text) {
    char *end = nullptr;
    const std::uint64_t value = std::strtoull(text.c_str(), &end, 0);
    switch (*end) {
    case 'K': return value << 10;
    case 'M': return value << 20;
    case 'G': return value << 30;
    case 'T': return value << 40;
    default: return value;
    }
}

class Tap {
public:
    bool check(bool ok, const std::string &what) {
        ++count_;
        if (!ok) ++failed_;
        say(text("%sok %u - ", ok ? "" : "not ", count_) + what);
        return ok;
    }
    [[nodiscard]] bool finish() const {
        say(text("1..%u", count_));
        return failed_ == 0 && count_ > 0;
    }

private:
    unsigned count_ = 0, failed_ = 0;
};

}  // namespace guest
