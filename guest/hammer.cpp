// SPDX-License-Identifier: GPL-2.0-or-later
// Runs in the guest: keeps on using the device's memory while the function is reset, by
// this program in every way that a guest has, or by somebody else. Says in TAP what the
// memory was afterwards.
//
//   /hammer [bars] [wide] [use=SECONDS] [METHOD=COUNT]... [touch]
//
//     wide         read the memory by instructions, too, that KVM cannot emulate: with them
//                  the program lives only while something is mapped where the memory is
//     bars         read the BARs in a loop as well (Linux must be started with iomem=relaxed)
//     use=SECONDS  no resets: the host does that
//     touch        at last, one word of each 4 KiB of the memory
//     METHOD       flr           function level reset, by /sys/bus/pci/devices/.../reset
//                  cxl_bus       secondary bus reset of a CXL port, by the same file
//                  d3hot         power state D3hot and back
//                  memory-space  Memory Space Enable off and on

#include "tools.h"

#include <array>
#include <atomic>
#include <chrono>
#include <cinttypes>
#include <csignal>
#include <cstring>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <sys/mman.h>
#include <thread>

namespace {

using namespace guest;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr std::uint64_t piece = 2 * MiB;
const fs::path driver_dir = "/sys/bus/pci/drivers/cxl_type2_guest";

// ---- configuration space ----

// PCIe r6.0 Section 7.5.1.1, 7.5.2: where a function has what this program writes
enum : unsigned { command = 0x04, bars_begin = 0x10, bars_end = 0x28, capabilities = 0x34 };
constexpr unsigned command_memory = 2, capability_pm = 1, pm_control = 4, pm_state = 3, d3hot = 3;

class Function {
public:
    explicit Function(fs::path pci)
        : pci_(std::move(pci)), config_(::open((pci_ / "config").c_str(), O_RDWR | O_CLOEXEC)) {}
    ~Function() { ::close(config_); }
    Function(const Function &) = delete;
    Function &operator=(const Function &) = delete;

    [[nodiscard]] const fs::path &path() const { return pci_; }

    // By the kernel, which saves and restores configuration space around it
    bool reset(const std::string &method) {
        return write_file(pci_ / "reset_method", method) && write_file(pci_ / "reset", "1");
    }
    bool memory_space_off_and_on() {
        const auto old = read16(command);
        write16(command, static_cast<std::uint16_t>(old & ~command_memory));
        std::this_thread::sleep_for(milliseconds(2));
        write16(command, old);
        return read16(command) == old;
    }
    bool d3hot_and_back() {
        const auto pm = capability(capability_pm);
        if (pm == 0) return false;
        std::array<std::uint16_t, (bars_end - command) / 2> saved;
        for (unsigned i = 0; i < saved.size(); ++i) saved[i] = read16(command + 2 * i);
        const auto old = read16(pm + pm_control);
        write16(pm + pm_control, static_cast<std::uint16_t>(old | d3hot));
        std::this_thread::sleep_for(milliseconds(10));
        const bool there = (read16(pm + pm_control) & pm_state) == d3hot;
        write16(pm + pm_control, static_cast<std::uint16_t>(old & ~pm_state));
        std::this_thread::sleep_for(milliseconds(10));
        // A function without No_Soft_Reset has forgotten them; Command last.
        for (auto i = saved.size(); i-- > 0;) write16(command + 2 * static_cast<unsigned>(i), saved[i]);
        return there && (read16(pm + pm_control) & pm_state) == 0;
    }

private:
    [[nodiscard]] std::uint16_t read16(unsigned at) const {
        std::uint16_t value = 0xffff;
        return ::pread(config_, &value, sizeof value, at) == sizeof value ? value : 0xffff;
    }
    void write16(unsigned at, std::uint16_t value) const {
        if (::pwrite(config_, &value, sizeof value, at) != sizeof value) say("# configuration space takes no write");
    }
    [[nodiscard]] unsigned capability(unsigned id) const {
        unsigned at = read16(capabilities) & 0xfcU;
        for (unsigned n = 0; n < 48 && at != 0; ++n) {
            const auto head = read16(at);
            if ((head & 0xffU) == id) return at;
            at = head >> 8 & 0xfcU;
        }
        return 0;
    }

    fs::path pci_;
    int config_;
};

// ---- what is used ----

std::span<std::uint8_t> map_file(const fs::path &path, std::uint64_t size) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0) return {};
    void *at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ::close(fd);
    if (at == MAP_FAILED) return {};
    return {static_cast<std::uint8_t *>(at), size};
}

// The last piece is not hammered: its first word is a witness of what a reset does to the
// memory, its second one says whether the memory answers.
struct Memory {
    std::span<std::uint8_t> bytes;

    [[nodiscard]] volatile std::uint64_t *word(std::uint64_t at) const {
        return reinterpret_cast<volatile std::uint64_t *>(bytes.data() + at);
    }
    [[nodiscard]] volatile std::uint64_t *witness() const { return word(bytes.size() - piece); }
    [[nodiscard]] bool answers(std::uint64_t value) const {
        auto *at = word(bytes.size() - piece + 8);
        *at = value;
        std::atomic_thread_fence(std::memory_order_seq_cst);
        return *at == value;
    }
};

struct Used {
    std::atomic<std::uint64_t> rounds = 0, lost = 0, bar_reads = 0, bar_ones = 0;
    std::atomic<bool> stop = false, wide = false;
};

// What KVM cannot emulate where the access traps. On Arm there is no syndrome of a load of a pair,
// on x86 the emulator does not know SSE's arithmetic.
void load_wide(const volatile std::uint64_t *at) {
#if defined(__x86_64__)
    asm volatile("paddq (%0), %%xmm0" : : "r"(at) : "xmm0", "memory");
#elif defined(__aarch64__)
    asm volatile("ldp x9, x10, [%0]" : : "r"(at) : "x9", "x10", "memory");
#else
#error "no such instruction is known here"
#endif
}

void use_memory(const Memory &memory, Used &used) {
    for (std::uint64_t round = 1; !used.stop; ++round) {
        for (std::uint64_t at = 0; at + piece < memory.bytes.size() && !used.stop; at += piece) {
            const auto value = round * 0x9e3779b97f4a7c15U ^ at;
            auto *word = memory.word(at + round * 4096 % piece);
            *word = value;
            if (*word != value) ++used.lost;
            if (used.wide) load_wide(memory.word((at + round * 4096 % piece) & ~std::uint64_t{15}));
        }
        ++used.rounds;
    }
}

void use_bars(const std::vector<std::span<std::uint8_t>> &bars, Used &used) {
    while (!used.stop)
        for (const auto &bar : bars)
            for (std::size_t at = 0; at < bar.size(); at += 65536) {
                if (*reinterpret_cast<volatile std::uint32_t *>(bar.data() + at) == ~0U) ++used.bar_ones;
                ++used.bar_reads;
            }
}

// ---- resets ----

struct Method {
    std::function<bool(Function &)> act;
    bool clears;
};

const std::map<std::string, Method> &methods() {
    static const std::map<std::string, Method> table = {
        {"flr", {[](Function &f) { return f.reset("flr"); }, true}},
        {"cxl_bus", {[](Function &f) { return f.reset("cxl_bus"); }, true}},
        {"d3hot", {[](Function &f) { return f.d3hot_and_back(); }, false}},
        {"memory-space", {[](Function &f) { return f.memory_space_off_and_on(); }, false}},
    };
    return table;
}

// The device may take its time: QEMU asks it for ten seconds.
bool comes_back(const Memory &memory, std::uint64_t value) {
    const auto deadline = steady_clock::now() + seconds(20);
    while (!memory.answers(value)) {
        if (steady_clock::now() > deadline) return false;
        std::this_thread::sleep_for(milliseconds(1));
    }
    return true;
}

void reset(Tap &tap, Function &function, const Memory &memory, const std::string &name, unsigned count) {
    const auto &method = methods().at(name);
    unsigned done = 0, back = 0, as_it_should = 0;
    for (; done < count; ++done) {
        const std::uint64_t value = 0x5eed000000000001U + done;
        *memory.witness() = value;
        if (!method.act(function)) break;
        if (comes_back(memory, value)) ++back;
        if (*memory.witness() == (method.clears ? 0 : value)) ++as_it_should;
    }
    tap.check(done == count, name + text(": %u of %u times", done, count));
    tap.check(back == count, name + text(": the memory was back after %u of them", back));
    tap.check(as_it_should == count, name + text(": it was %s after %u of them", method.clears ? "cleared" : "kept", as_it_should));
    tap.check(read_number(function.path() / "locked") == 1, name + ": decoder 0 is committed and locked");
}

} // namespace

int main(int argc, char **argv) {
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    Tap tap;
    const auto devices = entries(driver_dir, "0");
    if (!tap.check(devices.size() == 1, "the driver has one device")) return 1;
    Function function(resolve(devices.front()));
    const Memory memory{map_file("/dev/" + read_file(function.path() / "node"), read_number(function.path() / "hpa_size"))};
    if (!tap.check(memory.bytes.size() > piece, "its memory can be mapped")) return 1;

    std::vector<std::span<std::uint8_t>> bars;
    std::vector<std::pair<std::string, unsigned>> resets;
    unsigned use = 0;
    bool touch = false, wide = false;
    for (const std::string word : std::span(argv + 1, static_cast<std::size_t>(argc - 1))) {
        const auto eq = word.find('=');
        const auto number = eq == std::string::npos ? 0U : static_cast<unsigned>(std::strtoul(word.c_str() + eq + 1, nullptr, 0));
        if (word == "bars") {
            for (const auto *name : {"resource0", "resource2"}) {
                std::error_code error;
                const auto size = fs::file_size(function.path() / name, error);
                if (const auto bar = map_file(function.path() / name, size); tap.check(!bar.empty(), std::string(name) + " can be mapped"))
                    bars.push_back(bar);
            }
        } else if (word == "touch") {
            touch = true;
        } else if (word == "wide") {
            wide = true;
        } else if (word.starts_with("use=")) {
            use = number;
        } else if (methods().contains(word.substr(0, eq))) {
            resets.emplace_back(word.substr(0, eq), number);
        } else {
            tap.check(false, "\"" + word + "\" is known here");
        }
    }
    say("# reset methods of this Linux: " + read_file(function.path() / "reset_method"));

    Used used;
    used.wide = wide;
    std::thread memory_user([&] { use_memory(memory, used); }), bars_user;
    if (!bars.empty()) bars_user = std::thread([&] { use_bars(bars, used); });
    say("CXL2: hammering");
    for (const auto &[name, count] : resets) reset(tap, function, memory, name, count);
    for (unsigned second = 0; second < use; ++second) std::this_thread::sleep_for(seconds(1));
    if (touch)
        for (std::uint64_t at = 0; at < memory.bytes.size(); at += 4096) static_cast<void>(*memory.word(at));
    const auto before = used.rounds.load();
    for (unsigned i = 0; i < 100 && used.rounds == before; ++i) std::this_thread::sleep_for(milliseconds(100));
    tap.check(used.rounds > before, "the memory is in use to the end");
    used.stop = true;
    memory_user.join();
    if (bars_user.joinable()) bars_user.join();
    say(text("CXL2: hammered rounds=%" PRIu64 " lost=%" PRIu64 " bar_reads=%" PRIu64 " bar_ones=%" PRIu64,
             used.rounds.load(), used.lost.load(), used.bar_reads.load(), used.bar_ones.load()));
    return tap.finish() ? 0 : 1;
}
