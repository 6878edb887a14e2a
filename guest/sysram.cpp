// SPDX-License-Identifier: GPL-2.0-or-later
// Runs in the guest, from init, where cxl2.sysram= asks for it: hands the memory of the
// first CXL Type-2 device to Linux as system RAM, uses it as what it then is, disks
// included, and says on the console what came of it, as the exercise does.
//
//   sysram         what cxl2.sysram=SIZE says, so much memory of it filled, as often as
//                  cxl2.cycles=N says: online, use, offline; the last time it stays
//   sysram hold    and then: a read from a slow disk into it, until the device is gone
//   sysram io N    and then: disks are read into it for N seconds, whatever comes of that

#include "tools.h"

#include <arpa/inet.h>
#include <chrono>
#include <cstring>
#include <linux/mempolicy.h>
#include <net/if.h>
#include <netinet/in.h>
#include <optional>
#include <poll.h>
#include <span>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <thread>

#include <linux/errqueue.h>
#include <linux/fs.h>

namespace {

using namespace guest;
using std::chrono::steady_clock;

const fs::path driver_dir = "/sys/bus/pci/drivers/cxl_type2_guest";
const fs::path memory_dir = "/sys/devices/system/memory";
const fs::path node_dir = "/sys/devices/system/node";
constexpr std::uint64_t page = 4096;
constexpr std::size_t request = 1 * MiB;
constexpr int ram_node = 0;

std::string option(const std::string &name, const std::string &otherwise) {
    const std::string line = " " + read_file("/proc/cmdline") + " ", key = " cxl2." + name + "=";
    const auto at = line.find(key);
    if (at == std::string::npos) return otherwise;
    return line.substr(at + key.size(), line.find(' ', at + 1) - at - key.size());
}

double seconds_since(steady_clock::time_point start) {
    return std::chrono::duration<double>(steady_clock::now() - start).count();
}

// CRC-32 as in zlib, so that the host can compute the same of a disk's file.
class Crc {
public:
    Crc() {
        for (std::uint32_t i = 0; i < table_.size(); ++i) {
            std::uint32_t x = i;
            for (int bit = 0; bit < 8; ++bit) x = (x & 1U) != 0 ? 0xedb88320U ^ x >> 1U : x >> 1U;
            table_[i] = x;
        }
    }
    void add(std::span<const std::uint8_t> bytes) {
        for (const auto byte : bytes) value_ = table_[(value_ ^ byte) & 0xffU] ^ value_ >> 8U;
    }
    [[nodiscard]] std::uint32_t value() const { return ~value_; }

private:
    std::array<std::uint32_t, 256> table_{};
    std::uint32_t value_ = ~0U;
};

// Anonymous memory that may only be on one node.
class Buffer {
public:
    Buffer(std::uint64_t size, int node) {
        void *at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED) return;
        bytes_ = {static_cast<std::uint8_t *>(at), size};
        const unsigned long nodes = 1UL << static_cast<unsigned>(node);
        if (::syscall(SYS_mbind, at, size, MPOL_BIND, &nodes, 8 * sizeof nodes, 0) != 0) free();
    }
    ~Buffer() { free(); }
    Buffer(const Buffer &) = delete;
    Buffer &operator=(const Buffer &) = delete;

    [[nodiscard]] std::span<std::uint8_t> bytes() const { return bytes_; }
    // A word for each page, which names it.
    void mark(std::uint64_t salt) const {
        for (std::uint64_t at = 0; at < bytes_.size(); at += page) *word(at) = salt ^ at * 0x9e3779b97f4a7c15U;
    }
    [[nodiscard]] std::uint64_t count_wrong(std::uint64_t salt) const {
        std::uint64_t wrong = 0;
        for (std::uint64_t at = 0; at < bytes_.size(); at += page)
            if (*word(at) != (salt ^ at * 0x9e3779b97f4a7c15U)) ++wrong;
        return wrong;
    }
    // How many of its pages are elsewhere, by the kernel's own account.
    [[nodiscard]] std::uint64_t count_elsewhere(int node) const {
        std::vector<void *> pages;
        for (std::uint64_t at = 0; at < bytes_.size(); at += page) pages.push_back(bytes_.data() + at);
        std::vector<int> status(pages.size(), -1);
        if (::syscall(SYS_move_pages, 0, pages.size(), pages.data(), nullptr, status.data(), 0) != 0)
            return pages.size();
        return static_cast<std::uint64_t>(
            std::count_if(status.begin(), status.end(), [&](int s) { return s != node; }));
    }

private:
    [[nodiscard]] volatile std::uint64_t *word(std::uint64_t at) const {
        return reinterpret_cast<volatile std::uint64_t *>(bytes_.data() + at);
    }
    void free() {
        if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
        bytes_ = {};
    }
    std::span<std::uint8_t> bytes_;
};

// ---- the memory and the kernel ----

struct Memory {
    fs::path pci;
    std::uint64_t base = 0, size = 0;
    int node = -1;
};

std::optional<Memory> find_memory() {
    for (const auto &path : entries(driver_dir, "0")) {
        Memory m{resolve(path), read_number(path / "hpa_base"), read_number(path / "hpa_size")};
        if (m.size != 0) return m;
    }
    return std::nullopt;
}

std::vector<fs::path> blocks_of(const Memory &m) {
    const std::uint64_t size = std::strtoull(read_file(memory_dir / "block_size_bytes").c_str(), nullptr, 16);
    std::vector<fs::path> out;
    for (std::uint64_t at = m.base; size != 0 && at < m.base + m.size; at += size)
        out.push_back(memory_dir / text("memory%" PRIu64, at / size));
    return out;
}

// Kilobytes, as node 1's meminfo has it: "Node 1 MemTotal:  1048576 kB"
std::uint64_t node_says(int node, const std::string &key) {
    const std::string info = read_file(node_dir / text("node%d", node) / "meminfo");
    const auto at = info.find(key + ":");
    return at == std::string::npos ? 0 : std::strtoull(info.c_str() + at + key.size() + 1, nullptr, 10) << 10U;
}

bool online(Tap &tap, Memory &m) {
    // Kernels differ in what they do of themselves.
    write_file(memory_dir / "auto_online_blocks", "offline");
    if (!tap.check(write_file(m.pci / "sysram", "1"), "the kernel takes the memory as its own")) return false;
    m.node = std::atoi(read_file(m.pci / "sysram").c_str());
    bool all = true;
    for (const auto &block : blocks_of(m)) {
        all = write_file(block / "state", "online_movable") && all && read_file(block / "state") == "online" && read_file(block / "valid_zones") == "Movable";
    }
    tap.check(all, text("its %zu blocks are online, movable", blocks_of(m).size()));
    tap.check(m.node != ram_node && node_says(m.node, "MemTotal") == m.size &&
                  read_file(node_dir / text("node%d", m.node) / "cpulist").empty(),
              text("node %d has this memory, nothing else, and no CPU", m.node));
    tap.check(read_file("/proc/iomem").find("System RAM (cxl_type2)") != std::string::npos,
              "/proc/iomem says whose it is");
    return all;
}

bool offline(Tap &tap, const Memory &m) {
    return tap.check(write_file(m.pci / "sysram", "0") && read_file(m.pci / "sysram") == "-1" &&
                         node_says(m.node, "MemTotal") == 0,
                     "offline, and no longer the kernel's");
}

// ---- disks ----

class Disk {
public:
    explicit Disk(const std::string &name)
        : name_(name), fd_(::open(("/dev/" + name).c_str(), O_RDWR | O_DIRECT | O_CLOEXEC)) {
        if (fd_ >= 0) ::ioctl(fd_, BLKGETSIZE64, &size_);
    }
    ~Disk() { if (fd_ >= 0) ::close(fd_); }
    Disk(const Disk &) = delete;
    Disk &operator=(const Disk &) = delete;

    [[nodiscard]] const std::string &name() const { return name_; }
    [[nodiscard]] std::uint64_t size() const { return size_; }
    // All of it from the beginning of `to`, or as far as that goes, without the page cache.
    [[nodiscard]] bool read(std::span<std::uint8_t> to) const {
        return each(to, [&](std::uint8_t *at, std::size_t n, off_t offset) { return ::pread(fd_, at, n, offset); });
    }
    [[nodiscard]] bool write(std::span<std::uint8_t> from) const {
        return each(from, [&](std::uint8_t *at, std::size_t n, off_t offset) { return ::pwrite(fd_, at, n, offset); });
    }

private:
    template <typename Io> bool each(std::span<std::uint8_t> bytes, Io io) const {
        const std::uint64_t size = std::min<std::uint64_t>(bytes.size(), size_);
        for (std::uint64_t at = 0; at < size; at += request) {
            const std::size_t n = std::min<std::uint64_t>(request, size - at);
            if (io(bytes.data() + at, n, static_cast<off_t>(at)) != static_cast<ssize_t>(n)) return false;
        }
        return size != 0;
    }
    std::string name_;
    int fd_;
    std::uint64_t size_ = 0;
};

// A disk, read into the memory and written from it; both sums are for the host to compare.
void use_disk(Tap &tap, const Memory &m, const std::string &name) {
    const Disk disk(name);
    const Buffer cxl(disk.size(), m.node), ram(disk.size(), ram_node);
    if (!tap.check(disk.size() != 0 && !cxl.bytes().empty() && !ram.bytes().empty(), name + " is there")) return;
    Crc read, written;
    const bool got = disk.read(cxl.bytes());
    read.add(cxl.bytes());
    tap.check(got && cxl.count_elsewhere(m.node) == 0, name + ": read into the device's memory");
    for (auto &byte : cxl.bytes()) byte = static_cast<std::uint8_t>(~byte);
    written.add(cxl.bytes());
    tap.check(disk.write(cxl.bytes()) && disk.read(ram.bytes()) &&
                  std::memcmp(ram.bytes().data(), cxl.bytes().data(), cxl.bytes().size()) == 0,
              name + ": written from there, and read back into RAM");
    double best_ram = 1e9, best_cxl = 1e9;
    bool ok = true;
    // In turns, so that both see the same disturbances
    for (int round = 0; round < 12 && ok; ++round) {
        auto start = steady_clock::now();
        ok = disk.read(ram.bytes());
        best_ram = std::min(best_ram, seconds_since(start));
        start = steady_clock::now();
        ok = ok && disk.read(cxl.bytes());
        best_cxl = std::min(best_cxl, seconds_since(start));
    }
    say(text("CXL2: disk=%s read=0x%08x written=0x%08x bytes=%" PRIu64 " ram_mbps=%.0f cxl_mbps=%.0f share=%.3f",
             name.c_str(), read.value(), written.value(), disk.size(), static_cast<double>(disk.size()) / 1e6 / best_ram,
             static_cast<double>(disk.size()) / 1e6 / best_cxl, best_ram / best_cxl));
    tap.check(ok, name + ": the measurement's reads went well");
}

// ---- network ----

// An interface with an address, and a connection from there.
class Connection {
public:
    Connection(const std::string &interface, const char *own, const char *other, std::uint16_t port)
        : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        ifreq request{};
        interface.copy(request.ifr_name, IFNAMSIZ - 1);
        auto *address = reinterpret_cast<sockaddr_in *>(&request.ifr_addr);
        *address = at(own, 0);
        const int one = 1;
        const sockaddr_in peer = at(other, port);
        bool ok = ::ioctl(fd_, SIOCSIFADDR, &request) == 0 && ::ioctl(fd_, SIOCGIFFLAGS, &request) == 0;
        request.ifr_flags |= IFF_UP;
        ok = ok && ::ioctl(fd_, SIOCSIFFLAGS, &request) == 0 &&
             ::setsockopt(fd_, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof one) == 0;
        for (int tries = 0; ok && !open_ && tries < 100; ++tries) {
            open_ = ::connect(fd_, reinterpret_cast<const sockaddr *>(&peer), sizeof peer) == 0;
            if (!open_) std::this_thread::sleep_for(std::chrono::milliseconds(100));
        }
    }
    ~Connection() { if (fd_ >= 0) ::close(fd_); }
    Connection(const Connection &) = delete;
    Connection &operator=(const Connection &) = delete;

    [[nodiscard]] bool is_open() const { return open_; }
    // All of it, from where it is: the kernel keeps references to the pages and copies nothing
    // (Documentation/networking/msg_zerocopy.rst). False when it had to copy, or the peer went away.
    [[nodiscard]] bool send(std::span<const std::uint8_t> bytes) const {
        std::uint32_t sent = 0, done = 0;
        while (!bytes.empty()) {
            const auto n = ::send(fd_, bytes.data(), std::min<std::size_t>(bytes.size(), 64 * 1024),
                                  MSG_ZEROCOPY | MSG_NOSIGNAL);
            if (n < 0 && errno == ENOBUFS && sent > done) {
                if (!reap(done)) return false;
                continue;
            }
            if (n <= 0) return false;
            ++sent;
            bytes = bytes.subspan(static_cast<std::size_t>(n));
        }
        while (done < sent)
            if (!reap(done)) return false;
        return ::shutdown(fd_, SHUT_WR) == 0;
    }

private:
    static sockaddr_in at(const char *address, std::uint16_t port) {
        sockaddr_in out{};
        out.sin_family = AF_INET;
        out.sin_port = htons(port);
        ::inet_pton(AF_INET, address, &out.sin_addr);
        return out;
    }
    // Waits for one notification, of one or more sends that the device has read.
    [[nodiscard]] bool reap(std::uint32_t &done) const {
        pollfd wait{fd_, 0, 0};
        if (::poll(&wait, 1, 10'000) != 1) return false;
        std::array<char, 256> control{};
        msghdr message{};
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        if (::recvmsg(fd_, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) return errno == EAGAIN;
        const cmsghdr *header = CMSG_FIRSTHDR(&message);
        if (header == nullptr) return false;
        sock_extended_err error{};
        std::memcpy(&error, CMSG_DATA(header), sizeof error);
        if (error.ee_origin != SO_EE_ORIGIN_ZEROCOPY || (error.ee_code & SO_EE_CODE_ZEROCOPY_COPIED) != 0) return false;
        done += error.ee_data - error.ee_info + 1;
        return true;
    }
    int fd_;
    bool open_ = false;
};

// Bytes of the memory go out by an interface; the sum is for the host to compare.
void use_network(Tap &tap, const Memory &m, const std::string &name, std::uint16_t port) {
    const Buffer cxl(4 * MiB, m.node);
    cxl.mark(port);
    Crc sum;
    sum.add(cxl.bytes());
    const std::string net = text("10.0.%u.", port);
    const Connection connection(name, (net + "2").c_str(), (net + "1").c_str(), port);
    if (!tap.check(connection.is_open(), name + ": the host answers")) return;
    tap.check(connection.send(cxl.bytes()) && cxl.count_elsewhere(m.node) == 0,
              name + ": sent from the device's memory, of which the kernel made no copy");
    say(text("CXL2: net=%s sent=0x%08x bytes=%zu", name.c_str(), sum.value(), cxl.bytes().size()));
}

std::vector<std::string> names_of(const std::string &what) {
    std::vector<std::string> out;
    std::string names = option(what, "");
    while (!names.empty()) {
        const auto comma = std::min(names.find(','), names.size());
        out.push_back(names.substr(0, comma));
        names.erase(0, comma + 1);
    }
    return out;
}

bool use(std::uint64_t fill, unsigned cycles) {
    Tap tap;
    auto m = find_memory();
    if (!tap.check(m.has_value(), "the driver has memory")) return tap.finish();
    for (unsigned cycle = 1; cycle <= cycles; ++cycle) {
        const std::uint64_t salt = cycle * 0x0123456789abcdefU;
        if (!online(tap, *m)) break;
        {
            const Buffer much(fill, m->node);
            if (!tap.check(!much.bytes().empty(), "memory of that node alone")) break;
            much.mark(salt);
            const auto elsewhere = much.count_elsewhere(m->node);
            tap.check(elsewhere == 0, text("%" PRIu64 " MiB filled, %" PRIu64 " pages are on another node",
                                           fill / MiB, elsewhere));
            for (const auto &disk : names_of("disks")) use_disk(tap, *m, disk);
            // A port, and a network, for each interface
            std::uint16_t port = 9;
            for (const auto &interface : names_of("nets")) use_network(tap, *m, interface, port++);
            tap.check(much.count_wrong(salt) == 0, "what was filled is there still");
        }
        if (cycle < cycles && !offline(tap, *m)) break;
        say(text("CXL2: cycle=%u", cycle));
    }
    say(text("CXL2: sysram base=0x%" PRIx64 " bytes=0x%" PRIx64 " node=%d filled=0x%" PRIx64 " ram=0x%" PRIx64, m->base,
             m->size, m->node, fill, node_says(ram_node, "MemTotal")));
    const bool good = tap.finish();
    say(std::string("CXL2: sysram-verdict=") + (good ? "pass" : "fail"));
    return good;
}

std::optional<Memory> online_memory() {
    std::optional<Memory> m;
    for (const auto &path : entries(driver_dir, "0")) m = Memory{resolve(path)};
    if (m) m->node = std::atoi(read_file(m->pci / "sysram").c_str());
    return m;
}

// The disks are read into the memory again and again. What becomes of a read is counted, and that
// each ends.
int io(double seconds) {
    const auto m = online_memory();
    if (!m) return 1;
    const auto start = steady_clock::now();
    unsigned good = 0, bad = 0;
    say("CXL2: io-begins");
    while (seconds_since(start) < seconds) {
        for (const auto &name : names_of("disks")) {
            const Disk disk(name);
            const Buffer buffer(disk.size(), m->node);
            if (buffer.bytes().empty()) return 1;
            if (disk.read(buffer.bytes())) ++good; else ++bad;
        }
    }
    say(text("CXL2: io-ends good=%u bad=%u", good, bad));
    return 0;
}

// The device is asked back while a disk's read into its memory is under way.
int hold() {
    const auto m = online_memory();
    if (!m) return 1;
    const Disk slow(option("slow", ""));
    const Buffer buffer(request, m->node), much(64 * MiB, m->node);
    much.mark(1);
    const auto part = buffer.bytes();
    // The first is free of the disk's limit, the next ones are not
    bool ok = slow.read(part) && buffer.count_elsewhere(m->node) == 0;
    std::thread reader([&] {
        while (ok && fs::exists(m->pci / "sysram")) ok = slow.read(part);
        say(text("CXL2: read-ended ok=%d", ok));
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    say(text("CXL2: holding node=%d ok=%d", m->node, ok));
    // The driver's attributes go before it is asked to let go.
    while (fs::exists(m->pci / "sysram")) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    say("CXL2: asked-to-let-go");
    reader.join();
    while (fs::exists(m->pci)) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    say(text("CXL2: let-go wrong=%" PRIu64 " elsewhere=%" PRIu64 " total=%" PRIu64, much.count_wrong(1),
             much.count_elsewhere(ram_node), node_says(m->node, "MemTotal")));
    return 0;
}

}  // namespace

int main(int argc, char **argv) {
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    if (argc > 1 && std::string_view(argv[1]) == "hold") return hold();
    if (argc > 2 && std::string_view(argv[1]) == "io") return io(std::atof(argv[2]));
    return use(parse_size(option("sysram", "64M")),
               static_cast<unsigned>(std::strtoul(option("cycles", "2").c_str(), nullptr, 0)))
               ? 0 : 1;
}
