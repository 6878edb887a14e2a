// SPDX-License-Identifier: GPL-2.0-or-later
#include "dma.h"

#include "driver/cxl_type2_dma.h"

#include <chrono>
#include <cinttypes>
#include <cstring>
#include <numeric>
#include <optional>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <utility>

namespace guest {

namespace {

constexpr std::uint64_t piece = TYPE2_DMA_MAX_COPY;
constexpr std::uint64_t words = piece / 8;
constexpr std::uint64_t buffers = 8;  // pieces in RAM, used in turn

// ---- IORT (ARM DEN 0049): which IOMMU does the firmware lead a requester to? ----

template <typename T> std::optional<T> at(const std::string &table, std::uint64_t offset) {
    T value;
    if (offset + sizeof value > table.size()) return std::nullopt;
    std::memcpy(&value, table.data() + offset, sizeof value);
    return value;
}

// Base address of the SMMUv3 that a requester of PCI segment 0 is mapped to; 0: none.
std::uint64_t iort_smmu(const std::string &iort, std::uint32_t requester) {
    constexpr std::uint8_t root_complex = 2, smmu_v3 = 4;
    const auto count = at<std::uint32_t>(iort, 36).value_or(0);
    std::uint64_t node = at<std::uint32_t>(iort, 40).value_or(0);
    for (std::uint32_t n = 0; n < count; ++n) {
        const auto type = at<std::uint8_t>(iort, node).value_or(0);
        const auto length = at<std::uint16_t>(iort, node + 1).value_or(0);
        const auto mappings = at<std::uint32_t>(iort, node + 8).value_or(0);
        std::uint64_t mapping = node + at<std::uint32_t>(iort, node + 12).value_or(0);
        const bool right = type == root_complex && at<std::uint32_t>(iort, node + 28) == 0;
        for (std::uint32_t i = 0; right && i < mappings; ++i, mapping += 20) {
            const auto input = at<std::uint32_t>(iort, mapping).value_or(0);
            const auto more = at<std::uint32_t>(iort, mapping + 4).value_or(0);
            const auto output = at<std::uint32_t>(iort, mapping + 12).value_or(0);
            if (requester >= input && requester - input <= more &&
                at<std::uint8_t>(iort, output) == smmu_v3)
                return at<std::uint64_t>(iort, output + 16).value_or(0);
        }
        if (length == 0) break;
        node += length;
    }
    return 0;
}

// 0000:0d:00.0 is 0x0d00
std::uint32_t requester_of(const std::string &name) {
    unsigned bus = 0, slot = 0, function = 0;
    std::sscanf(name.c_str(), "%*x:%x:%x.%x", &bus, &slot, &function);
    return bus << 8 | slot << 3 | function;
}

// ---- the engine ----

class Engine {
public:
    explicit Engine(const fs::path &pci)
        : fd_(::open(("/dev/" + read_file(pci / "node")).c_str(), O_RDWR | O_CLOEXEC)) {}
    ~Engine() { ::close(fd_); }
    Engine(const Engine &) = delete;
    Engine &operator=(const Engine &) = delete;

    std::optional<type2_dma_info> info() const {
        type2_dma_info info{};
        if (::ioctl(fd_, TYPE2_DMA_INFO, &info) != 0) return std::nullopt;
        return info;
    }
    // So many descriptors it took; 0: failed
    std::uint32_t copy(std::uint64_t *buffer, std::uint64_t offset, std::uint64_t length,
                       bool to_device) {
        type2_dma_copy copy{reinterpret_cast<std::uintptr_t>(buffer), offset, length, to_device, 0};
        const auto start = std::chrono::steady_clock::now();
        const bool ok = ::ioctl(fd_, TYPE2_DMA_COPY, &copy) == 0;
        seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        return ok ? copy.descriptors : 0;
    }
    std::optional<type2_dma_fault> fault(bool to_device, std::uint64_t physical = 0) {
        type2_dma_fault fault{physical, 0, ~0ULL, to_device, 0};
        if (::ioctl(fd_, TYPE2_DMA_FAULT, &fault) != 0) return std::nullopt;
        return fault;
    }
    // Spent in copies since the last call
    double seconds() { return std::exchange(seconds_, 0.0); }

private:
    int fd_;
    double seconds_ = 0;
};

std::uint64_t total(const __u64 (&counts)[TYPE2_DMA_VECTORS]) {
    return std::accumulate(std::begin(counts), std::end(counts), std::uint64_t{0});
}

// What stands in word `index` of all that is moved: no two alike, no two runs alike.
std::uint64_t word_at(std::uint64_t index, std::uint64_t salt) {
    const std::uint64_t x = (index + salt) * 0x9e3779b97f4a7c15U;
    return x ^ x >> 32;
}

std::uint64_t add_to_sum(std::uint64_t sum, std::uint64_t word) {
    return (sum << 7 | sum >> 57) + word;
}

struct Moved {
    std::uint64_t sum_to = 0, sum_from = 0;
    std::uint64_t descriptors = 0, failed = 0, wrong = 0, unseen = 0;
    double seconds_to = 0, seconds_from = 0;
};

Moved move(Engine &engine, std::uint64_t *ram, std::uint64_t size, std::span<std::uint8_t> memory,
           std::uint64_t salt) {
    Moved moved;
    for (std::uint64_t done = 0; done < size; done += piece) {
        std::uint64_t *buffer = ram + done / piece % buffers * words;
        for (std::uint64_t i = 0; i < words; ++i) {
            buffer[i] = word_at(done / 8 + i, salt);
            moved.sum_to = add_to_sum(moved.sum_to, buffer[i]);
        }
        const auto descriptors = engine.copy(buffer, done, piece, true);
        moved.descriptors += descriptors;
        if (descriptors == 0) ++moved.failed;
        // What DMA has put there the CPU reads in the window.
        for (const std::uint64_t i : {std::uint64_t{0}, words / 2, words - 1}) {
            std::uint64_t seen = 0;
            std::memcpy(&seen, memory.data() + done + 8 * i, sizeof seen);
            if (seen != buffer[i]) ++moved.unseen;
        }
    }
    moved.seconds_to = engine.seconds();
    for (std::uint64_t done = 0; done < size; done += piece) {
        std::uint64_t *buffer = ram + done / piece % buffers * words;
        std::memset(buffer, 0xdb, piece);
        const auto descriptors = engine.copy(buffer, done, piece, false);
        moved.descriptors += descriptors;
        if (descriptors == 0) ++moved.failed;
        for (std::uint64_t i = 0; i < words; ++i) {
            if (buffer[i] != word_at(done / 8 + i, salt)) ++moved.wrong;
            moved.sum_from = add_to_sum(moved.sum_from, buffer[i]);
        }
    }
    moved.seconds_from = engine.seconds();
    return moved;
}

enum KernelLog { log_console_off = 6, log_console_on = 7 };

// The last line of the kernel's log with all of `parts` in it
std::string kernel_said(const std::vector<std::string> &parts) {
    const std::string log = kernel_log();
    for (std::size_t end = log.size(); end > 0;) {
        const std::size_t begin = log.rfind('\n', end - 1) + 1;
        const std::string line = log.substr(begin, end - begin);
        if (std::all_of(parts.begin(), parts.end(),
                        [&](const auto &part) { return line.find(part) != std::string::npos; }))
            return line;
        end = begin == 0 ? 0 : begin - 1;
    }
    return {};
}

}  // namespace

void tell_iommu(Tap &tap, const fs::path &pci) {
    const std::string name = pci.filename();
    const fs::path group = resolve(pci / "iommu_group");
    if (!fs::exists(pci / "iommu")) {
        say("CXL2: iommu=none");
        return;
    }
    const std::string iommu = resolve(pci / "iommu").filename();
    say("CXL2: iommu=" + iommu + " group=" + group.filename().string() +
        " type=" + read_file(group / "type"));
    tap.check(fs::exists(group / "devices" / name),
              name + ": is in iommu group " + group.filename().string() + " of " + iommu);
    if (iommu.starts_with("smmu3.")) {
        const auto base = iort_smmu(read_file("/sys/firmware/acpi/tables/IORT"), requester_of(name));
        tap.check(iommu == text("smmu3.0x%016" PRIx64, base),
                  name + text(": the IORT leads it to the SMMUv3 at 0x%" PRIx64, base));
    }
}

void use_dma(Tap &tap, const fs::path &pci, std::uint64_t size, std::span<std::uint8_t> memory) {
    const std::string who = pci.filename().string() + ": ";
    Engine engine(pci);
    const auto before = engine.info();
    if (!tap.check(before && before->memory_size >= size && memory.size() >= size && size % piece == 0,
                   who + text("there is a DMA engine, and cxl2.dma=%" PRIu64 " bytes, a multiple of"
                              " 2M, fit its memory", size)))
        return;
    void *ram = ::mmap(nullptr, buffers * piece, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                       -1, 0);
    if (!tap.check(ram != MAP_FAILED, who + "there is RAM for DMA")) return;
    // Page by page, so that there is something to scatter and gather.
    ::madvise(ram, buffers * piece, MADV_NOHUGEPAGE);
    std::uint64_t salt = 1;
    if (::getrandom(&salt, sizeof salt, 0) != sizeof salt) say("# no random numbers");

    const Moved moved = move(engine, static_cast<std::uint64_t *>(ram), size, memory, salt);
    ::munmap(ram, buffers * piece);
    const auto after = engine.info().value_or(type2_dma_info{});
    const std::uint64_t expected = total(after.expected) - total(before->expected);
    const std::uint64_t counted = total(after.counted) - total(before->counted);
    const bool each = std::equal(std::begin(after.expected), std::end(after.expected), after.counted);
    say(text("CXL2: dma=%" PRIu64 " sum_to=%016" PRIx64 " sum_from=%016" PRIx64 " descriptors=%" PRIu64
             " interrupts=%" PRIu64 " expected=%" PRIu64 " vectors=%u translated=%u to_mbps=%.0f from_mbps=%.0f",
             size, moved.sum_to, moved.sum_from, moved.descriptors, counted, expected, after.vectors,
             after.translated, static_cast<double>(size) / 1e6 / moved.seconds_to,
             static_cast<double>(size) / 1e6 / moved.seconds_from));
    tap.check(moved.failed == 0, who + text("%" PRIu64 " MiB went each way by DMA (%" PRIu64 " copies failed)",
                                            size / MiB, moved.failed));
    tap.check(moved.wrong == 0 && moved.sum_to == moved.sum_from,
              who + text("every byte came back, checksum %016" PRIx64 " (%" PRIu64 " words wrong)",
                         moved.sum_from, moved.wrong));
    tap.check(moved.unseen == 0, who + "the CPU reads in the window what DMA has written");
    tap.check(counted == expected && expected == 2 * (size / piece) && each,
              who + text("one interrupt for each copy, on %u vectors in turn (%" PRIu64 " of %" PRIu64 ")",
                         after.vectors, counted, expected));
}

void use_unmapped(Tap &tap, const fs::path &pci) {
    const std::string name = pci.filename();
    Engine engine(pci);
    const auto info = engine.info();
    if (!tap.check(info.has_value(), name + ": there is a DMA engine")) return;
    // The kernel's own report would come into the middle of a line of ours.
    ::klogctl(log_console_off, nullptr, 0);
    for (const bool to_device : {true, false}) {
        const auto fault = engine.fault(to_device);
        tap.check(fault && fault->status == TYPE2_DMA_NOT_MAPPED && fault->bytes == 0,
                  name + text(": DMA %s 0x%" PRIx64 ", where nothing is mapped, ends with an error"
                              " (status %u, %" PRIu64 " bytes)", to_device ? "from" : "to",
                              fault ? std::uint64_t{fault->iova} : 0, fault ? fault->status : 0,
                              fault ? std::uint64_t{fault->bytes} : 0));
        if (!fault) break;
        // The events of an SMMUv3 come to a thread of the kernel's.
        std::string line;
        const std::string iova = text("%" PRIx64, std::uint64_t{fault->iova});
        for (int i = 0; i < 20 && info->translated && line.empty(); ++i) {
            line = kernel_said({"F_TRANSLATION", name, iova});
            if (line.empty()) line = kernel_said({"DMAR", name.substr(name.find(':') + 1), iova});
            if (line.empty()) ::usleep(50000);
        }
        if (!line.empty()) say("# linux: " + line);
        say(text("CXL2: fault_%s=0x%s status_%s=%u reported_%s=%d", to_device ? "read" : "write",
                 iova.c_str(), to_device ? "read" : "write", fault->status,
                 to_device ? "read" : "write", !line.empty()));
    }
    ::klogctl(log_console_on, nullptr, 0);
    std::uint64_t word = 0;
    tap.check(engine.copy(&word, 0, sizeof word, false) == 1, name + ": the engine works on after that");
}

void use_window(Tap &tap, const fs::path &pci, std::uint64_t physical) {
    Engine engine(pci);
    const auto fault = engine.fault(true, physical);
    if (tap.check(fault.has_value(), pci.filename().string() +
                                         text(": DMA from the window at 0x%" PRIx64 " ends", physical)))
        say(text("CXL2: window_dma=%u", fault->status));
}

}  // namespace guest
