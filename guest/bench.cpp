// SPDX-License-Identifier: GPL-2.0-or-later
// Runs in the guest for `make bench`: times the guest's RAM, a Type-2 device's CXL.mem
// and an emulated Type-3 device's memory with the same loops, registers answered by
// QEMU and by the device, and commits of a decoder. `BENCH: key=value` lines say what
// came of it; they are raw samples, round by round: what to make of them is the host's.
//
// With cxl2.parts=1 there is one device and nothing to compare it with but RAM: then
// `/bench memory` and `/bench registers` do one part each.

#include "tools.h"

#include <chrono>
#include <cinttypes>
#include <cstring>
#include <numeric>
#include <optional>
#include <random>
#include <sys/mman.h>
#include <thread>

namespace {

using namespace guest;

constexpr std::uint64_t huge_page = 2 * MiB;
constexpr std::uint64_t page = 4096;
constexpr std::uint64_t line_size = 64;
// CXL r3.1 Section 8.2.3: the component block, its CXL.cachemem array behind 4 KiB
constexpr std::uint64_t cachemem = 0x1000;
const fs::path pci_bus = "/sys/bus/pci/devices";
const fs::path cxl_bus = "/sys/bus/cxl/devices";
const fs::path driver_dir = "/sys/bus/pci/drivers/cxl_type2_guest";

double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::string option(const std::string &cmdline, const std::string &name, const char *otherwise) {
    const std::string key = " cxl2." + name + "=";
    const std::string words = " " + cmdline + " ";
    const auto at = words.find(key);
    if (at == std::string::npos) return otherwise;
    const auto begin = at + key.size();
    return words.substr(begin, words.find(' ', begin) - begin);
}

// "16K,256K"
std::vector<std::uint64_t> sizes(const std::string &list) {
    std::vector<std::uint64_t> out;
    for (std::size_t at = 0; at < list.size();) {
        const auto end = std::min(list.find(',', at), list.size());
        out.push_back(parse_size(list.substr(at, end - at)));
        at = end + 1;
    }
    return out;
}

// ---- a piece of memory, wherever it comes from ----

struct Memory {
    const char *name;
    std::uint64_t *words;
    std::uint64_t size;
};

// Aligned to 2 MiB and in pages of 2 MiB, as the device's mapping is.
std::optional<Memory> ram(std::uint64_t size) {
    void *at = ::mmap(nullptr, size + huge_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) return std::nullopt;
    const auto aligned = (reinterpret_cast<std::uintptr_t>(at) + huge_page - 1) & ~(huge_page - 1);
    ::madvise(reinterpret_cast<void *>(aligned), size, MADV_HUGEPAGE);
    return Memory{"ram", reinterpret_cast<std::uint64_t *>(aligned), size};
}

std::optional<Memory> map_file(const char *name, const fs::path &path, std::uint64_t offset, std::uint64_t size) {
    const int fd = ::open(path.c_str(), O_RDWR | O_SYNC | O_CLOEXEC);
    if (fd < 0) return std::nullopt;
    void *at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, static_cast<off_t>(offset));
    ::close(fd);
    if (at == MAP_FAILED) return std::nullopt;
    return Memory{name, static_cast<std::uint64_t *>(at), size};
}

// KiB of a mapping that stand in pages of 2 MiB, as Linux counts anonymous ones.
std::uint64_t anonymous_huge_kib(const void *at) {
    const std::string maps = "\n" + read_file("/proc/self/smaps");
    const auto address = reinterpret_cast<std::uintptr_t>(at);
    for (std::size_t line = 0; line != std::string::npos; line = maps.find('\n', line + 1)) {
        std::uint64_t from = 0, to = 0;
        if (std::sscanf(maps.c_str() + line + 1, "%" SCNx64 "-%" SCNx64 " ", &from, &to) != 2 ||
            address < from || address >= to)
            continue;
        const auto field = maps.find("AnonHugePages:", line);
        return field == std::string::npos ? 0 : std::strtoull(maps.c_str() + field + 14, nullptr, 10);
    }
    return 0;
}

// ---- loops ----

[[gnu::noinline]] double time_write(const Memory &m, unsigned passes) {
    const auto start = std::chrono::steady_clock::now();
    for (unsigned pass = 0; pass < passes; ++pass)
        for (volatile std::uint64_t *p = m.words, *end = p + m.size / 8; p != end; p += 8) {
            p[0] = 1; p[1] = 2; p[2] = 3; p[3] = 4;
            p[4] = 5; p[5] = 6; p[6] = 7; p[7] = 8;
        }
    return seconds_since(start) / passes;
}

[[gnu::noinline]] double time_read(const Memory &m, unsigned passes) {
    const auto start = std::chrono::steady_clock::now();
    std::uint64_t sum = 0;
    for (unsigned pass = 0; pass < passes; ++pass)
        for (volatile std::uint64_t *p = m.words, *end = p + m.size / 8; p != end; p += 8)
            sum += p[0] + p[1] + p[2] + p[3] + p[4] + p[5] + p[6] + p[7];
    const double took = seconds_since(start);
    return sum == m.size / line_size * 36 * passes ? took / passes : -1;
}

// One cycle through every line in a random order, each of which holds the address of the
// next: a load's address is known only when the one before it has come.
void lay_chase(const Memory &m, std::uint32_t seed) {
    std::vector<std::uint32_t> order(m.size / line_size);
    std::iota(order.begin(), order.end(), 0U);
    std::mt19937 random(seed);
    for (std::size_t i = order.size() - 1; i > 0; --i)
        std::swap(order[i], order[random() % (i + 1)]);
    for (std::size_t i = 0; i < order.size(); ++i) {
        const std::uint64_t *next = m.words + order[(i + 1) % order.size()] * (line_size / 8);
        *const_cast<volatile std::uint64_t *>(m.words + order[i] * (line_size / 8)) =
            reinterpret_cast<std::uintptr_t>(next);
    }
}

// Whole cycles, so that it ends where it began. Unrolled: what is timed are loads, not the
// loop around them, which under TCG costs as much as they do.
[[gnu::noinline]] double time_chase(const Memory &m, unsigned passes) {
    const std::uint64_t steps = m.size / line_size * passes;
    auto at = reinterpret_cast<std::uintptr_t>(m.words);
    const auto start = std::chrono::steady_clock::now();
    for (std::uint64_t i = 0; i < steps; i += 32)
#pragma GCC unroll 32
        for (int n = 0; n < 32; ++n) at = *reinterpret_cast<const volatile std::uintptr_t *>(at);
    const double took = seconds_since(start);
    return at == reinterpret_cast<std::uintptr_t>(m.words) ? took / static_cast<double>(steps) : -1;
}

struct Sample {
    double write = 1e9, read = 1e9, chase = 1e9;
    bool ok = true;

    void add(double &best, double took) {
        ok = ok && took > 0;
        best = std::min(best, took);
    }
};

enum class What { All, Chase };

// Each the best of `tries`: what others do to the machine only ever makes it slower.
// In turns, and who is first in turns as well: a disturbance meets all. A small memory is
// gone through several times, because once would be over before a clock can tell.
void measure(std::vector<std::pair<Memory, What>> memories, std::uint64_t round, unsigned tries) {
    const std::uint64_t size = memories.front().first.size;
    const auto passes = static_cast<unsigned>(std::max<std::uint64_t>(1, MiB / size));
    const auto chase_passes = static_cast<unsigned>(std::max<std::uint64_t>(1, 8 * MiB / size));
    if (round % 2) std::reverse(memories.begin(), memories.end());
    std::vector<Sample> samples(memories.size());
    for (unsigned i = 0; i < tries; ++i)
        for (std::size_t n = 0; n < memories.size(); ++n) {
            if (memories[n].second == What::Chase) continue;
            samples[n].add(samples[n].write, time_write(memories[n].first, passes));
            samples[n].add(samples[n].read, time_read(memories[n].first, passes));
        }
    for (const auto &[m, what] : memories) lay_chase(m, static_cast<std::uint32_t>(round));
    for (unsigned i = 0; i < tries; ++i)
        for (std::size_t n = 0; n < memories.size(); ++n)
            samples[n].add(samples[n].chase, time_chase(memories[n].first, chase_passes));
    for (std::size_t n = 0; n < memories.size(); ++n) {
        const auto &[m, what] = memories[n];
        const double mb = static_cast<double>(m.size) / 1e6;
        const auto moved = what == What::All ? text("write_mb_s=%.3f read_mb_s=%.3f ", mb / samples[n].write,
                                                    mb / samples[n].read)
                                             : std::string();
        say(text("BENCH: memory=%s bytes=%" PRIu64 " round=%" PRIu64 " ", m.name, m.size, round) + moved +
            text("chase_ns=%.3f ok=%d", samples[n].chase * 1e9, samples[n].ok));
    }
}

// ---- registers ----

// The HDM decoder capability (id 5) of a component block: offset in the BAR.
std::uint64_t find_hdm(const volatile std::uint32_t *bar, std::uint64_t block) {
    const auto array = (block + cachemem) / 4;
    const std::uint32_t count = bar[array] >> 24;
    for (std::uint32_t i = 1; i <= count; ++i)
        if ((bar[array + i] & 0xffff) == 5) return block + cachemem + (bar[array + i] >> 20);
    return 0;
}

struct Registers {
    volatile std::uint32_t *bar = nullptr;
    std::uint64_t block = 0, hdm = 0;

    [[nodiscard]] volatile std::uint32_t &at(std::uint64_t offset) const { return bar[(hdm + offset) / 4]; }
};

// CXL r3.1 Section 8.1.9, Register Locator DVSEC: where block id 1 stands.
std::optional<Registers> registers_of(const fs::path &pci) {
    const Config config(pci);
    const std::size_t at = config.find_dvsec(8), end = at + (config.dword(at + 4) >> 20);
    for (std::size_t entry = at + 0xc; at != 0 && entry + 8 <= end; entry += 8) {
        const std::uint32_t low = config.dword(entry);
        if (((low >> 8) & 0xff) != 1) continue;
        const fs::path resource = pci / text("resource%u", low & 7);
        std::error_code error;
        const auto size = fs::file_size(resource, error);
        const auto bar = error ? std::nullopt : map_file("bar", resource, 0, size);
        if (!bar) return std::nullopt;
        Registers r;
        r.bar = reinterpret_cast<volatile std::uint32_t *>(bar->words);
        r.block = (low & 0xffff0000U) | std::uint64_t{config.dword(entry + 4)} << 32;
        r.hdm = find_hdm(r.bar, r.block);
        if (r.hdm == 0) return std::nullopt;
        return r;
    }
    return std::nullopt;
}

double time_reads(const volatile std::uint32_t &reg, unsigned count) {
    const auto start = std::chrono::steady_clock::now();
    for (unsigned i = 0; i < count; ++i) {
        const std::uint32_t value = reg;
        if (value == ~0U) return -1;
    }
    return seconds_since(start) / count;
}

// CXL r3.1 Section 8.2.4.20: as a driver does it. Seconds of the commit itself.
double commit(const Registers &r, std::uint64_t base, std::uint64_t size) {
    r.at(0x10) = static_cast<std::uint32_t>(base);
    r.at(0x14) = static_cast<std::uint32_t>(base >> 32);
    r.at(0x18) = static_cast<std::uint32_t>(size);
    r.at(0x1c) = static_cast<std::uint32_t>(size >> 32);
    r.at(0x04) = r.at(0x04) | 2;
    const auto start = std::chrono::steady_clock::now();
    r.at(0x20) = 0x200;
    while ((r.at(0x20) & 0xc00) == 0 && seconds_since(start) < 1) {}
    const double took = seconds_since(start);
    return (r.at(0x20) & 0x400) != 0 ? took : -1;
}

double uncommit(const Registers &r) {
    const auto start = std::chrono::steady_clock::now();
    r.at(0x20) = 0;
    while ((r.at(0x20) & 0x400) != 0 && seconds_since(start) < 1) {}
    const double took = seconds_since(start);
    return (r.at(0x20) & 0x400) == 0 ? took : -1;
}

// ---- the devices ----

struct Window {
    std::uint64_t base = 0, size = 0;
};

Window window(unsigned n) {
    const fs::path decoder = cxl_bus / text("decoder0.%u", n);
    return {read_number(decoder / "start"), read_number(decoder / "size")};
}

std::optional<fs::path> type2(const char *path) {
    for (const auto &device : entries(driver_dir, "0"))
        if (read_file(device / "path") == path) return resolve(device);
    return std::nullopt;
}

// QEMU's emulated Type-3, by what it is for PCI: CXL memory device of vendor 0x8086.
std::optional<fs::path> type3() {
    for (const auto &device : entries(pci_bus, "0"))
        if (read_file(device / "class") == "0x050210" && read_file(device / "vendor") == "0x8086")
            return resolve(device);
    return std::nullopt;
}

// Its decoder is committed over its window at register level; its host bridge passes
// everything through. The window is mapped as what it is, no RAM; for memory of which
// every access traps that makes no difference.
std::optional<Memory> type3_memory(std::uint64_t size) {
    const auto device = type3();
    if (!device) return std::nullopt;
    write_file(*device / "enable", "1");
    const auto registers = registers_of(*device);
    const Window where = window(1);
    if (!registers || where.size == 0 || commit(*registers, where.base, where.size) < 0) return std::nullopt;
    return map_file("type3", "/dev/mem", where.base, size);
}

bool say_if(bool missing, const char *what) {
    if (missing) say(text("BENCH: missing=%s", what));
    return missing;
}

// The host pokes this word of the device's memory when it is ready.
void wait_for_host(const Memory &cxl, std::uint64_t at, std::uint64_t value) {
    const volatile std::uint64_t *word = cxl.words + at / 8;
    while (*word != value) std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

}  // namespace

int main(int argc, char **argv) {
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    const std::string part = argc > 1 ? argv[1] : "";
    const std::string cmdline = read_file("/proc/cmdline");
    const auto size = parse_size(option(cmdline, "size", "32M"));
    const auto pieces = sizes(option(cmdline, "pieces", "256K"));
    const auto rounds = parse_size(option(cmdline, "rounds", "7"));
    const auto tries = static_cast<unsigned>(parse_size(option(cmdline, "tries", "5")));
    const bool parts = option(cmdline, "parts", "0") == "1";
    if (parts && part.empty()) return 0;

    // ---- memory ----
    const auto device = type2("core");
    if (say_if(!device, "a device that the CXL core attached")) return 1;
    const fs::path node = fs::path("/dev") / read_file(*device / "node");
    const auto cxl = map_file("cxl", node, 0, read_number(*device / "hpa_size"));
    const auto plain = ram(size), slow = parts ? plain : type3_memory(size);
    if (say_if(!cxl, "its memory") || say_if(!plain, "RAM") || say_if(!slow, "the emulated Type-3"))
        return 1;
    const auto measured = [&](std::initializer_list<std::pair<Memory, What>> all) {
        std::vector<std::pair<Memory, What>> memories(all);
        if (parts) memories.pop_back();
        return memories;
    };
    const Memory mapped{"cxl", cxl->words + huge_page / 8, size};
    time_write(*plain, 1);
    time_write(mapped, 1);
    const auto large_rounds = part == "registers" ? 0 : rounds;
    say(text("BENCH: ram_huge_kib=%" PRIu64, anonymous_huge_kib(plain->words)));
    // To write and read all of that where every access traps would take minutes.
    for (std::uint64_t round = 0; round < large_rounds; ++round)
        measure(measured({{*plain, What::All}, {mapped, What::All}, {*slow, What::Chase}}), round, tries);
    for (const auto bytes : pieces) {
        for (std::uint64_t round = 0; round < large_rounds; ++round) {
            // Elsewhere in each round: some addresses get into each other's way in the host's
            // caches, for good, and RAM was then half as slow again as the same RAM elsewhere.
            const std::uint64_t offset = size > bytes ? round * 37 * page % (size - bytes) : 0;
            const auto piece = [&](Memory m) {
                m.words += offset / 8;
                m.size = bytes;
                return std::pair(m, What::All);
            };
            measure(measured({piece(*plain), piece(mapped), piece(*slow)}), round, tries);
        }
    }

    if (part == "memory") return 0;

    // ---- registers: the decoder block is QEMU's, the array's header the device's ----
    const auto registers = registers_of(*device);
    if (say_if(!registers, "component registers")) return 1;
    for (std::uint64_t round = 0; round < rounds; ++round) {
        const double qemu = time_reads(registers->at(0x10), 2000);
        const double device_reads = time_reads(registers->bar[(registers->block + cachemem) / 4], 500);
        say(text("BENCH: registers round=%" PRIu64 " qemu_ns=%.1f device_ns=%.1f", round, qemu * 1e9, device_reads * 1e9));
    }

    if (parts) return 0;

    // ---- commits, of a device whose decoders are the guest's ----
    const auto free_device = type2("registers");
    if (say_if(!free_device, "a device whose decoders the guest programs")) return 1;
    const auto free_registers = registers_of(*free_device);
    const Window where = window(2);
    if (say_if(!free_registers || where.size == 0, "its decoders")) return 1;
    for (std::uint64_t round = 0; round < rounds * 5; ++round) {
        const double in = commit(*free_registers, where.base, where.size), out = uncommit(*free_registers);
        say(text("BENCH: commits round=%" PRIu64 " commit_us=%.2f uncommit_us=%.2f", round, in * 1e6, out * 1e6));
    }
    // Once more, counted by the host.
    say("BENCH: count=ready");
    wait_for_host(*cxl, 0, 1);
    const bool counted = commit(*free_registers, where.base, where.size) >= 0;
    say(text("BENCH: count=committed ok=%d", counted));
    wait_for_host(*cxl, 0, 2);
    say(text("BENCH: count=uncommitted ok=%d", uncommit(*free_registers) >= 0));
    wait_for_host(*cxl, 0, 3);
    say("BENCH: end");
    return 0;
}
