// SPDX-License-Identifier: GPL-2.0-or-later
// Runs in the guest, from init: finds every CXL Type-2 device that the driver has
// bound, compares what Linux's CXL core says about it with what must be so, uses
// its memory through /dev/cxl_type2, and says on the console what came of it:
// TAP for people and test runners, `CXL2: key=value` lines for harnesses.

#include "bars.h"
#include "dma.h"
#include "tools.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cinttypes>
#include <csetjmp>
#include <csignal>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/utsname.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

using namespace guest;
using Bytes16 = std::array<std::uint8_t, 16>;

constexpr std::uint64_t chunk_size = 2 * MiB;
constexpr std::uint64_t host_offset = 4096;  // where the host pokes, from either end
const fs::path cxl_bus = "/sys/bus/cxl/devices";
const fs::path driver_dir = "/sys/bus/pci/drivers/cxl_type2_guest";

// ---- what the kernel command line asks for ----

struct Options {
    bool host = true;              // cxl2.host=0: nobody will poke
    bool locked = true;            // cxl2.locked=0: decoders need not be locked
    std::uint64_t devices = 1;     // cxl2.devices=N: so many must be there
    std::uint64_t points = 4096;   // cxl2.points=N: at most so many 2 MiB pieces
    std::uint64_t dma = 0;         // cxl2.dma=SIZE: so much by DMA, each way
    bool bars = false;             // cxl2.bars=1: no BAR may be moved
    bool dma_fault = false;        // cxl2.dma_fault=1: DMA where nothing is mapped
};

// ---- small tools ----

std::string hex(const Bytes16 &bytes) {
    std::string out;
    for (const auto byte : bytes) out += text("%02x", byte);
    return out;
}

Options parse_options(const std::string &cmdline) {
    Options options;
    std::size_t at = 0;
    while (at < cmdline.size()) {
        const auto end = std::min(cmdline.find(' ', at), cmdline.size());
        const std::string word = cmdline.substr(at, end - at);
        at = end + 1;
        const auto eq = word.find('=');
        if (eq == std::string::npos) continue;
        const std::string key = word.substr(0, eq), value = word.substr(eq + 1);
        if (key == "cxl2.host") options.host = value != "0";
        if (key == "cxl2.locked") options.locked = value != "0";
        if (key == "cxl2.devices") options.devices = std::strtoull(value.c_str(), nullptr, 0);
        if (key == "cxl2.bars") options.bars = value != "0";
        if (key == "cxl2.dma") options.dma = parse_size(value);
        if (key == "cxl2.dma_fault") options.dma_fault = value != "0";
        if (key == "cxl2.points")
            options.points = std::max<std::uint64_t>(2, std::strtoull(value.c_str(), nullptr, 0));
    }
    return options;
}

// ---- accesses that may fault ----

sigjmp_buf fault_return;
volatile std::sig_atomic_t fault_expected = 0;

void on_fault(int signal) {
    if (!fault_expected) {
        std::signal(signal, SIG_DFL);
        return;
    }
    siglongjmp(fault_return, signal);
}

// Runs what touches device memory; false if it ended in SIGBUS or SIGSEGV.
template <typename Use> bool without_fault(Use &&use) {
    if (sigsetjmp(fault_return, 1) != 0) {
        fault_expected = 0;
        return false;
    }
    fault_expected = 1;
    use();
    fault_expected = 0;
    return true;
}

// ---- what Linux knows ----

struct Window {
    std::string name;
    std::uint64_t base = 0, size = 0;
};

struct Device {
    fs::path pci;
    std::string memdev, endpoint, decoder, region;
    std::uint64_t hpa_base = 0, hpa_size = 0;
    std::uint64_t region_base = 0, region_size = 0;
    bool locked = false, iomem = false, by_core = false;
    std::optional<Window> window;
    std::span<std::uint8_t> memory;

    [[nodiscard]] volatile std::uint64_t *word(std::uint64_t offset) const {
        return reinterpret_cast<volatile std::uint64_t *>(memory.data() + offset);
    }
};

// The fixed window (root decoder) whose single target is the bridge above the device.
std::optional<Window> window_of(const fs::path &pci) {
    for (const auto &decoder : entries(cxl_bus, "decoder")) {
        const fs::path root = resolve(decoder).parent_path();
        if (!root.filename().string().starts_with("root")) continue;
        const fs::path bridge = root / ("dport" + read_file(decoder / "target_list"));
        const std::string bus = resolve(bridge / "physical_node").filename();
        const std::string direct = resolve(bridge).filename();
        for (const auto &part : resolve(pci))
            if (part == bus || part == direct)
                return Window{decoder.filename(), read_number(decoder / "start"),
                              read_number(decoder / "size")};
    }
    return std::nullopt;
}

bool iomem_has(std::uint64_t base, std::uint64_t size, const std::string &name) {
    const std::string line = text("%08" PRIx64 "-%08" PRIx64 " : ", base, base + size - 1) + name + "\n";
    const std::string iomem = read_file("/proc/iomem") + "\n";
    for (std::size_t at = iomem.find(line); at != std::string::npos; at = iomem.find(line, at + 1))
        if (at == 0 || iomem[at - 1] == '\n' || iomem[at - 1] == ' ') return true;
    return false;
}

void look_up(Device &d) {
    d.by_core = read_file(d.pci / "path") == "core";
    d.window = window_of(d.pci);
    // A device that nobody committed: its first decoder goes to the window's base.
    if (!d.by_core && d.window && read_number(d.pci / "hpa_size") == 0) {
        const auto size = read_number(d.pci / "capacity");
        write_file(d.pci / "program", text("0 0x%" PRIx64 " 0x%" PRIx64, d.window->base, size));
    }
    d.hpa_base = read_number(d.pci / "hpa_base");
    d.hpa_size = read_number(d.pci / "hpa_size");
    for (const auto &mem : entries(d.pci, "mem"))
        if (fs::exists(cxl_bus / mem.filename())) d.memdev = mem.filename();
    for (const auto &endpoint : entries(cxl_bus, "endpoint"))
        if (!d.memdev.empty() && resolve(endpoint / "uport").filename() == d.memdev)
            d.endpoint = endpoint.filename();
    for (const auto &region : entries(cxl_bus, "region")) {
        const std::string target = read_file(region / "target0");
        // A region that could not be assembled has no target.
        if (d.endpoint.empty() || target.empty() || !fs::exists(cxl_bus / d.endpoint / target)) continue;
        d.region = region.filename();
        d.decoder = target;
        d.region_base = read_number(region / "resource");
        d.region_size = read_number(region / "size");
        break;
    }
    if (d.by_core) {
        d.locked = read_number(cxl_bus / d.decoder / "locked") == 1;
        d.iomem = iomem_has(d.region_base, d.region_size, d.region);
    } else {
        d.region = "none";
        d.decoder = "0";
        d.region_base = d.hpa_base;
        d.region_size = d.hpa_size;
        d.locked = read_number(d.pci / "locked") == 1;
        d.iomem = iomem_has(d.hpa_base, d.hpa_size, read_file(d.pci / "node"));
    }
}

void tell_topology() {
    for (const auto &path : entries(cxl_bus, "")) {
        const std::string name = path.filename();
        if (name.starts_with("decoder")) {
            if (read_number(path / "size") == 0) continue;
            const fs::path real = resolve(path);
            say("# linux: " + name + " of " + real.parent_path().filename().string() + ", start " +
                read_file(path / "start") + " size " + read_file(path / "size") + ", locked " +
                read_file(path / "locked"));
        } else if (name.starts_with("region")) {
            say("# linux: " + name + " at " + read_file(path / "resource") + " size " +
                read_file(path / "size") + " target " + read_file(path / "target0"));
        } else {
            say("# linux: " + name + " is " + resolve(path).string());
        }
    }
}

// ---- the memory ----

bool map(Device &d) {
    const fs::path node = fs::path("/dev") / read_file(d.pci / "node");
    const int fd = ::open(node.c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0) return false;
    void *at = ::mmap(nullptr, d.hpa_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ::close(fd);
    if (at == MAP_FAILED) return false;
    d.memory = {static_cast<std::uint8_t *>(at), d.hpa_size};
    return true;
}

Bytes16 load(const Device &d, std::uint64_t offset) {
    Bytes16 out;
    const volatile std::uint8_t *from = d.memory.data() + offset;
    for (auto &byte : out) byte = *from++;
    return out;
}

void store(const Device &d, std::uint64_t offset, const Bytes16 &bytes) {
    volatile std::uint8_t *to = d.memory.data() + offset;
    for (const auto byte : bytes) *to++ = byte;
}

// A value that names its place, so that memory that shows up twice is seen.
std::uint64_t mark(std::uint64_t offset, std::uint64_t salt) {
    std::uint64_t x = offset * 0x9e3779b97f4a7c15U ^ salt;
    x ^= x >> 29;
    return x * 0xbf58476d1ce4e5b9U | 1;
}

// The offsets of the first and the last word of 2 MiB pieces: all of them, or `most`
// evenly spread, the first and the last piece always included.
std::vector<std::uint64_t> both_ends(std::uint64_t size, std::uint64_t most) {
    const std::uint64_t pieces = size / chunk_size, n = std::min(pieces, most);
    std::vector<std::uint64_t> out;
    for (std::uint64_t i = 0; i < n; ++i) {
        const std::uint64_t piece = n == 1 ? 0 : i * (pieces - 1) / (n - 1);
        out.push_back(piece * chunk_size);
        out.push_back((piece + 1) * chunk_size - 8);
    }
    return out;
}

bool all_zero(const Device &d, const std::vector<std::uint64_t> &points) {
    return std::all_of(points.begin(), points.end(), [&](auto at) { return *d.word(at) == 0; });
}

std::uint64_t count_wrong(const Device &d, const std::vector<std::uint64_t> &points,
                          std::uint64_t salt) {
    for (const auto at : points) *d.word(at) = mark(at, salt);
    std::uint64_t wrong = 0;
    for (const auto at : points)
        if (*d.word(at) != mark(at, salt)) ++wrong;
    return wrong;
}

// Every width, unaligned across a page, and an atomic: what ordinary cacheable memory
// allows and a device register does not.
bool widths_work(const Device &d) {
    volatile std::uint8_t *page = d.memory.data() + 8192;
    bool ok = true;
    for (unsigned i = 0; i < 8; ++i) page[i] = static_cast<std::uint8_t>(0x11 * (i + 1));
    ok = ok && *reinterpret_cast<volatile std::uint64_t *>(page) == 0x8877665544332211U;
    ok = ok && *reinterpret_cast<volatile std::uint32_t *>(page + 4) == 0x88776655U;
    ok = ok && *reinterpret_cast<volatile std::uint16_t *>(page + 2) == 0x4433U;
    std::uint64_t across = 0x0123456789abcdefU, back = 0;
    std::memcpy(d.memory.data() + 12288 - 3, &across, sizeof across);
    std::memcpy(&back, d.memory.data() + 12288 - 3, sizeof back);
    ok = ok && back == across && d.memory[12288] == 0x89;
    std::atomic_ref<std::uint64_t> counter(*reinterpret_cast<std::uint64_t *>(d.memory.data() + 8192));
    counter.store(40);
    ok = ok && counter.fetch_add(2) == 40 && counter.load() == 42;
    std::uint64_t expected = 42;
    return ok && counter.compare_exchange_strong(expected, 7) && counter.load() == 7;
}

// ---- bandwidth ----

// One round: the whole buffer written, then read, 8 bytes at a time. Seconds.
[[gnu::noinline]] double round_trip(volatile std::uint64_t *buffer, std::uint64_t words) {
    const auto start = std::chrono::steady_clock::now();
    for (std::uint64_t i = 0; i < words; ++i) buffer[i] = i;
    std::uint64_t sum = 0;
    for (std::uint64_t i = 0; i < words; ++i) sum += buffer[i];
    const auto end = std::chrono::steady_clock::now();
    if (sum != words * (words - 1) / 2) return -1;
    return std::chrono::duration<double>(end - start).count();
}

struct Bandwidth {
    double ram = 0, cxl = 0, share = 0;
};

// Best of several rounds, taken in turns so that both see the same disturbances; few
// where every access traps.
std::optional<Bandwidth> measure(const Device &d) {
    const std::uint64_t size = 8 * MiB, at = d.hpa_size / 2 - size / 2;
    void *plain = ::mmap(nullptr, size + chunk_size, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (plain == MAP_FAILED) return std::nullopt;
    // Aligned like the device's mapping, and in 2 MiB pages like it.
    const auto address = (reinterpret_cast<std::uintptr_t>(plain) + chunk_size - 1) & ~(chunk_size - 1);
    auto *ram = reinterpret_cast<std::uint8_t *>(address);
    ::madvise(ram, size, MADV_HUGEPAGE);
    std::memset(ram, 1, size);
    std::memset(d.memory.data() + at, 1, size);

    double best_ram = 1e9, best_cxl = 1e9;
    double spent = 0;
    for (int i = 0; i < 8 && spent < 3; ++i) {
        const double r = round_trip(reinterpret_cast<std::uint64_t *>(ram), size / 8);
        const double c = round_trip(reinterpret_cast<std::uint64_t *>(d.memory.data() + at), size / 8);
        if (r <= 0 || c <= 0) return std::nullopt;
        spent += r + c;
        best_ram = std::min(best_ram, r);
        best_cxl = std::min(best_cxl, c);
    }
    ::munmap(plain, size + chunk_size);
    const double moved = 2.0 * static_cast<double>(size) / 1e6;
    return Bandwidth{moved / best_ram, moved / best_cxl, best_ram / best_cxl};
}

// ---- the host's bytes ----

bool wait_for_host(std::vector<Device> &devices) {
    const Bytes16 nothing{};
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    const auto complete = [](const Bytes16 &b) {
        return std::count(b.begin(), b.end(), 0) == 0;
    };
    bool all = true;
    for (auto &d : devices) {
        Bytes16 first = nothing, last = nothing;
        while (std::chrono::steady_clock::now() < deadline) {
            first = load(d, host_offset);
            last = load(d, d.hpa_size - host_offset);
            if (complete(first) && complete(last)) break;
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
        say("CXL2: saw first=" + hex(first) + " last=" + hex(last));
        all = all && complete(first) && complete(last);
    }
    return all;
}

Bytes16 random_bytes() {
    Bytes16 out;
    if (::getrandom(out.data(), out.size(), 0) != static_cast<ssize_t>(out.size()))
        for (auto &byte : out) byte = static_cast<std::uint8_t>(std::rand());
    // No zero byte: nothing written must not look like something written.
    for (auto &byte : out) byte = byte == 0 ? 0x5a : byte;
    return out;
}

// ---- what the device says of its memory ----

// CXL r3.1 sections 8.1.3.2 and 8.1.3.8.2, of range 1.
struct Said {
    bool enabled = false, valid = false, active = false;
};

Said said(const fs::path &pci) {
    const Config config(pci);
    const std::size_t at = config.find_dvsec(0);
    if (at == 0) return {};
    const std::uint32_t size = config.dword(at + 0x1c);
    return {(config.dword(at + 0xc) & 4U) != 0, (size & 1U) != 0, (size & 2U) != 0};
}

// The function is reset, and what the device says of its memory followed until it is active: then what is
// written is there. Says how long it took.
int follow_active() {
    for (const auto &path : entries(driver_dir, "0")) {
        Device d;
        d.pci = resolve(path);
        look_up(d);
        if (!map(d)) return 1;
        const auto start = std::chrono::steady_clock::now();
        const auto passed = [&] { return std::chrono::steady_clock::now() - start; };
        bool lost = false;
        if (!write_file(d.pci / "reset", "1")) return 1;
        const bool at_once = said(d.pci).active;
        while (!said(d.pci).active && passed() < std::chrono::seconds(30))
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(passed()).count();
        const Bytes16 bytes = random_bytes();
        const bool no_fault = without_fault([&] {
            store(d, 0, bytes);
            std::atomic_thread_fence(std::memory_order_seq_cst);
            lost = load(d, 0) != bytes;
        });
        say(text("CXL2: active at_once=%d ms=%lld lost=%d first=", at_once, static_cast<long long>(ms),
                 lost || !no_fault) + hex(bytes));
    }
    return 0;
}

// ---- the run ----

void check_device(Tap &tap, Device &d, const Options &options) {
    look_up(d);
    const std::string who = d.pci.filename().string() + ": ";
    if (d.by_core)
        tap.check(!d.region.empty(), who + "Linux's CXL core assembled " +
                                         (d.region.empty() ? "no region" : d.region));
    else
        tap.check(d.hpa_size != 0, who + "the endpoint's decoder took what was programmed");
    tap.check(d.window.has_value() && d.region_size != 0 && d.region_base == d.window->base,
              who + text("the memory starts where its window starts, 0x%" PRIx64 " (window 0x%" PRIx64 ")",
                         d.region_base, d.window ? d.window->base : 0));
    tap.check(d.region_base == d.hpa_base && d.region_size == d.hpa_size && d.hpa_size != 0,
              who + text("driver and CXL core agree on size 0x%" PRIx64, d.hpa_size));
    if (options.locked)
        tap.check(d.locked, who + "the endpoint's decoder is locked");
    tap.check(d.iomem, who + "/proc/iomem shows the range");
    say("CXL2: region=" + d.region + text(" base=0x%" PRIx64 " size=0x%" PRIx64, d.region_base, d.region_size) +
        " decoder=" + d.decoder + text(" locked=%d iomem=%d", d.locked, d.iomem) +
        (d.window ? text(" window=0x%" PRIx64 "+0x%" PRIx64, d.window->base, d.window->size) : "") +
        " pci=" + d.pci.filename().string());
}

void use_memory(Tap &tap, Device &d, const Options &options, std::uint64_t salt) {
    const std::string who = d.pci.filename().string() + ": ";
    const auto points = both_ends(d.hpa_size, options.points);
    bool zero = false;
    std::uint64_t wrong = points.size();
    if (!tap.check(without_fault([&] { zero = all_zero(d, points); }), who + "the memory can be read"))
        return;
    say(text("CXL2: initial zero=%d points=%zu", zero, points.size()));
    const Said of_it = said(d.pci);
    tap.check(of_it.enabled && of_it.valid && of_it.active, who + "Mem_Enable, Memory_Info_Valid and Memory_Active say so");
    const bool written = without_fault([&] { wrong = count_wrong(d, points, salt); });
    tap.check(written && wrong == 0,
              who + text("%zu points, at both ends of %zu of %" PRIu64 " pieces of 2 MiB, keep what was written"
                         " (%" PRIu64 " wrong)", points.size(), points.size() / 2, d.hpa_size / chunk_size, wrong));
    bool widths = false;
    const bool no_fault = without_fault([&] { widths = widths_work(d); });
    tap.check(no_fault && widths, who + "all widths, unaligned and atomic accesses work as on RAM");
}

// Everything that is asked for, of every device that is there; true if all was well.
bool run(const Options &options) {
    Tap tap;

    utsname name{};
    ::uname(&name);
    const bool loaded = fs::exists(driver_dir);
    say(text("CXL2: kernel=%s driver=%s", name.release, loaded ? "loaded" : "missing"));

    std::vector<Device> devices;
    for (const auto &path : entries(driver_dir, "0")) devices.emplace_back().pci = resolve(path);
    tell_topology();
    // Bound or not: processing accelerators
    for (const auto &path : entries("/sys/bus/pci/devices", "0"))
        if (read_number(path / "class") == 0x120000) tell_bars(tap, path, options.bars);
    tap.check(devices.size() == options.devices,
              text("the driver has bound %zu of %" PRIu64 " devices", devices.size(), options.devices));

    std::uint64_t salt = 0;
    std::memcpy(&salt, random_bytes().data(), sizeof salt);
    for (auto &d : devices) check_device(tap, d, options);
    std::erase_if(devices, [&](Device &d) {
        return !tap.check(d.hpa_size >= 32 * MiB && map(d),
                          d.pci.filename().string() + ": the memory can be mapped");
    });
    // Memory of one that is that of another as well is not zero any more when it is looked at.
    for (auto &d : devices) use_memory(tap, d, options, salt ^ d.hpa_base);

    bool usable = without_fault([&] {
        for (const auto &d : devices) {
            const Bytes16 first = random_bytes(), last = random_bytes();
            store(d, 0, first);
            store(d, d.hpa_size - 16, last);
            store(d, host_offset, {});
            store(d, d.hpa_size - host_offset, {});
            std::atomic_thread_fence(std::memory_order_seq_cst);
            say("CXL2: wrote first=" + hex(first) + " last=" + hex(last));
        }
    });
    if (options.host && usable && !devices.empty()) {
        bool seen = false;
        say("CXL2: waiting-for-host");
        const bool no_fault = without_fault([&] { seen = wait_for_host(devices); });
        tap.check(no_fault && seen, "what the host put into device memory arrived");
    }

    for (const auto &d : devices) {
        std::optional<Bandwidth> b;
        usable = without_fault([&] { b = measure(d); });
        if (usable && b)
            say(text("CXL2: bandwidth ram=%.0f cxl=%.0f share=%.3f", b->ram, b->cxl, b->share));
        tap.check(usable && b, d.pci.filename().string() + ": what the measurement wrote was read");
    }

    for (const auto &d : devices) {
        tell_iommu(tap, d.pci);
        if (options.dma != 0) use_dma(tap, d.pci, options.dma, d.memory);
        if (options.dma_fault) {
            use_unmapped(tap, d.pci);
            use_window(tap, d.pci, d.hpa_base);
        }
    }

    for (const auto &d : devices) ::munmap(d.memory.data(), d.memory.size());
    const bool good = tap.finish();
    say(std::string("CXL2: verdict=") + (good ? "pass" : "fail"));
    return good;
}

// ---- a device that comes and goes ----

// A device that was plugged in is examined as one that was there at start, to a verdict
// of its own; then its memory is used for as long as it is there. One line when it has
// come, one a second, one when it is gone. Never returns.
[[noreturn]] void follow(Options options) {
    using std::chrono::steady_clock;
    options.devices = 1;
    for (unsigned plugged = 0;;) {
        const auto paths = entries(driver_dir, "0");
        Device d;
        // The driver's attributes come after its link, this one last.
        if (!paths.empty() && fs::exists(paths.front() / "program")) {
            d.pci = resolve(paths.front());
            look_up(d);
        }
        if (d.hpa_size < 32 * MiB || !map(d)) {
            std::this_thread::sleep_for(std::chrono::milliseconds(200));
            continue;
        }
        const auto points = both_ends(d.hpa_size, 64);
        bool zero = false;
        std::uint64_t rounds = 0, wrong = 0;
        auto told = steady_clock::now();
        bool there = without_fault([&] { zero = all_zero(d, points); });
        say(text("CXL2: plugged n=%u base=0x%" PRIx64 " size=0x%" PRIx64 " zero=%d region=%s", ++plugged,
                 d.hpa_base, d.hpa_size, zero, d.region.c_str()));
        if (there) run(options);
        while (there) {
            there = without_fault([&] { wrong += count_wrong(d, points, ++rounds); });
            if (there && steady_clock::now() - told >= std::chrono::seconds(1)) {
                told = steady_clock::now();
                say(text("CXL2: using rounds=%" PRIu64 " wrong=%" PRIu64, rounds, wrong));
            }
        }
        // What was mapped is gone for good: every access ends in SIGBUS.
        ::munmap(d.memory.data(), d.memory.size());
        say(text("CXL2: gone n=%u rounds=%" PRIu64 " wrong=%" PRIu64, plugged, rounds, wrong));
    }
}

}  // namespace

int main(int argc, char **argv) {
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    std::signal(SIGBUS, on_fault);
    std::signal(SIGSEGV, on_fault);
    const Options options = parse_options(read_file("/proc/cmdline"));
    if (argc > 1 && std::string_view(argv[1]) == "follow") follow(options);
    if (argc > 1 && std::string_view(argv[1]) == "active") return follow_active();
    return run(options) ? 0 : 1;
}
