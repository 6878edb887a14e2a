// SPDX-License-Identifier: GPL-2.0-or-later
// cxl-type2-model: a CXL Type-2 device behind a vfio-user socket. Command line only.
#include "base/fd.h"
#include "base/program.h"
#include "base/size.h"
#include "model/device/config.h"
#include "model/device/device.h"
#include "model/device/server.h"
#include "model/faults/faults.h"

#include <algorithm>
#include <cerrno>
#include <CLI/App.hpp>
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unistd.h>

namespace {

using type2::device::Config;
using type2::device::ContractKind;

/// The options as typed; sizes are parsed here so that every message names its option.
struct Typed {
    std::string hdm_size;
    std::string decoder_size;
    std::string decoder_skip;
    std::string bar_size;
    std::string page_size;
    std::string host_base;
    std::string vendor_id;
    std::string device_id;
    std::string decoders;
    std::string active_after;
    std::string contract = "live";
};

/// Memory_Active_Timeout of the range registers goes that far (CXL r3.1 section 8.1.3.8.2).
constexpr std::uint64_t LongestWait = 256'000;

bool number(const char *option, const std::string &text, std::uint64_t most, std::uint64_t &value) {
    const auto parsed = type2::parse_size(text);
    if (!parsed) {
        fmt::print(stderr, "cxl-type2-model: {}: {}\n", option, parsed.error().text);
        return false;
    }
    if (*parsed > most) {
        fmt::print(stderr, "cxl-type2-model: {} {}: must be at most {:#x}\n", option, text, most);
        return false;
    }
    value = *parsed;
    return true;
}

bool id(const char *option, const std::string &text, std::uint16_t &value) {
    std::uint64_t wide = value;
    if (!number(option, text, UINT16_MAX, wide)) {
        return false;
    }
    value = static_cast<std::uint16_t>(wide);
    return true;
}

bool apply(const Typed &typed, Config &config) {
    const auto size = [](const char *option, const std::string &text, std::uint64_t &value) {
        return text.empty() || number(option, text, UINT64_MAX, value);
    };
    if (typed.contract != "live" && typed.contract != "shadow") {
        fmt::print(stderr, "cxl-type2-model: --contract '{}': must be live or shadow\n",
                   typed.contract);
        return false;
    }
    config.contract = typed.contract == "live" ? ContractKind::Live : ContractKind::Shadow;
    std::uint64_t decoders = config.decoders;
    if (!typed.decoders.empty() && !number("--decoders", typed.decoders, UINT16_MAX, decoders)) {
        return false;
    }
    config.decoders = static_cast<unsigned>(decoders);
    std::uint64_t active_after = 0;
    if (!typed.active_after.empty() &&
        !number("--active-after", typed.active_after, LongestWait, active_after)) {
        return false;
    }
    config.active_after = std::chrono::milliseconds(active_after);
    return size("--hdm-size", typed.hdm_size, config.hdm_size) &&
           size("--decoder-size", typed.decoder_size, config.decoder_size) &&
           size("--decoder-skip", typed.decoder_skip, config.decoder_skip) &&
           size("--bar-size", typed.bar_size, config.bar_size) &&
           size("--page-size", typed.page_size, config.page_size) &&
           size("--host-base", typed.host_base, config.host_base) &&
           (typed.vendor_id.empty() || id("--vendor-id", typed.vendor_id, config.vendor_id)) &&
           (typed.device_id.empty() || id("--device-id", typed.device_id, config.device_id));
}

void list_faults() {
    std::size_t width = 0;
    for (const auto &fault : type2::device::faults()) {
        width = std::max(width, std::string_view(fault.name).size());
    }
    for (const auto &fault : type2::device::faults()) {
        fmt::print("{:<{}}  {}\n", fault.name, width, fault.description);
    }
}

void list_space(const char *space, std::span<const type2::Register> rows, std::uint64_t base) {
    for (const auto &row : rows) {
        fmt::print("{:<8} {:#07x} {:>5} {:<28} {:#018x} {:#018x} {:#018x}  {}\n", space,
                   base + row.offset, row.width, row.name, row.reset, row.rw, row.w1c, row.section);
    }
}

/// Every register of the device as configured, from the tables that make it.
int list_registers(const Config &config) {
    const auto device = type2::device::Device::create(config);
    if (!device) {
        fmt::print(stderr, "cxl-type2-model: {}\n", device.error().text);
        return 1;
    }
    const auto &cachemem = (*device)->cachemem();
    const std::uint64_t array = type2::device::ComponentOffset + type2::cxl::CacheMemOffset;
    fmt::print("{:<8} {:<7} {:>5} {:<28} {:<18} {:<18} {:<18}  {}\n", "space", "offset", "width",
               "name", "reset", "read-write", "write-1-to-clear", "defined in");
    list_space("config", (*device)->config_space().registers().rows(), 0);
    list_space("bar0", cachemem.registers().rows(), array);
    list_space("bar0", cachemem.hdm().registers().rows(), array + type2::cxl::HdmOffset);
    list_space("bar2", (*device)->engine_bar().rows(), 0);
    return 0;
}

struct Background {
    bool wanted = false;
    std::string pid_file; ///< empty: none
};

/// A file that holds the process id of whoever serves, until it has ended.
class PidFile {
  public:
    /// Empty path: no file. Error: errno of open.
    static type2::Result<PidFile> create(const std::string &path) {
        type2::UniqueFd fd;
        if (!path.empty()) {
            fd.reset(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
            if (!fd) {
                const int code = errno;
                return type2::fail(code, fmt::format("--pid-file: cannot write '{}': {}", path,
                                                     std::strerror(code)));
            }
        }
        return PidFile(path, std::move(fd));
    }
    bool write(pid_t pid) const {
        const auto text = fmt::format("{}\n", pid);
        return !fd_ || type2::write_at(fd_.get(), 0, std::as_bytes(std::span(text))).has_value();
    }
    void remove() const {
        if (fd_) {
            unlink(path_.c_str());
        }
    }

  private:
    PidFile(std::string path, type2::UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}

    std::string path_;
    type2::UniqueFd fd_;
};

/// Goes on in a child and ends this process, which is what somebody waits for. The child stays in
/// the process group, and writes its errors where this process does; it has no standard output.
/// Error: errno of fork.
type2::Result<void> go_to_background(const PidFile &file) {
    std::fflush(nullptr);
    const pid_t child = fork();
    if (child < 0) {
        return type2::fail(errno, fmt::format("--background: {}", std::strerror(errno)));
    }
    if (child > 0) {
        if (file.write(child)) {
            _exit(0); // without destructors: the sockets are the child's
        }
        fmt::print(stderr, "cxl-type2-model: --pid-file: it cannot be written\n");
        kill(child, SIGTERM);
        _exit(1);
    }
    const type2::UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
    dup2(null.get(), STDIN_FILENO);
    dup2(null.get(), STDOUT_FILENO);
    return {};
}

int run(const Config &config, const type2::device::ServerOptions &options,
        const type2::device::Fault *fault, const Background &background) {
    const auto complain = [](const type2::Error &error) {
        fmt::print(stderr, "cxl-type2-model: {}\n", error.text);
        return 1;
    };
    // A limit to the size of files, and a trace into a pipe that nobody reads, are errors of
    // write(2) then, and said; not the end.
    std::signal(SIGXFSZ, SIG_IGN);
    std::signal(SIGPIPE, SIG_IGN);
    type2::device::Quirks quirks;
    std::optional<type2::device::FaultFilter> filter;
    if (fault != nullptr) {
        quirks = {fault->config_space, fault->resets_fail};
        filter.emplace(*fault, config);
    }
    auto device = type2::device::Device::create(config, quirks);
    if (!device) {
        return complain(device.error());
    }
    auto server = type2::device::Server::create(options, **device, filter ? &*filter : nullptr);
    if (!server) {
        return complain(server.error());
    }
    const auto pid_file = PidFile::create(background.pid_file);
    if (!pid_file) {
        return complain(pid_file.error());
    }
    fmt::print("cxl-type2-model: listening on {}\n", options.socket);
    std::fflush(stdout);
    if (background.wanted) {
        if (const auto gone = go_to_background(*pid_file); !gone) {
            pid_file->remove();
            return complain(gone.error());
        }
    } else if (!pid_file->write(getpid())) {
        pid_file->remove();
        return complain({EIO, "--pid-file: it cannot be written"});
    }
    const auto done = (*server)->run();
    server->reset(); // the sockets before the file that says that it runs
    pid_file->remove();
    return done ? 0 : complain(done.error());
}

int run(int argc, char **argv) {
    CLI::App app("A CXL Type-2 device behind a vfio-user socket", "cxl-type2-model");
    Config config;
    Typed typed;
    type2::device::ServerOptions options;
    bool no_cache = false;
    bool registers = false;
    Background background;
    std::string fault_name;
    app.set_version_flag("--version", std::string("cxl-type2-model ") + TYPE2_VERSION);
    app.add_option("--socket", options.socket, "Listen for one vfio-user client on this path")
        ->type_name("PATH");
    app.add_option("--hdm-size", typed.hdm_size,
                   "Device memory, multiple of 256M (default 256M); costs nothing until used")
        ->type_name("SIZE");
    app.add_option("--contract", typed.contract,
                   "Generation of the kernel interface to present: live or shadow (default live)")
        ->type_name("NAME");
    app.add_option("--vendor-id", typed.vendor_id, "PCI vendor id (default 0x1234)")
        ->type_name("ID");
    app.add_option("--device-id", typed.device_id, "PCI device id (default 0xc2a1)")
        ->type_name("ID");
    app.add_option("--bar-size", typed.bar_size,
                   "Component register BAR, power of two from 256K (default 1M)")
        ->type_name("SIZE");
    app.add_option("--decoders", typed.decoders,
                   "HDM decoders, one behind the other: 1, 2, 4, 6, 8 or 10 (default 1)")
        ->type_name("N");
    app.add_option("--decoder-size", typed.decoder_size,
                   "Size of each decoder (default: --hdm-size divided by --decoders)")
        ->type_name("SIZE");
    app.add_option("--decoder-skip", typed.decoder_skip,
                   "Device memory that each decoder leaves out in front of its own (DPA skip), "
                   "multiple of 256M (default 0); it is part of --hdm-size, but for decoder 0's on "
                   "live, whose memory region begins behind it")
        ->type_name("SIZE");
    app.add_flag("--uncommitted", config.uncommitted, "Firmware has not committed the decoders");
    app.add_flag("--memory-without-decoder", config.memory_without_decoder,
                 "Of such a device the memory answers all the same, which no kernel has it do");
    app.add_flag("--memory-follows-space", config.memory_follows_space,
                 "Device memory answers with PCI memory space on only: kernels of before "
                 "September 2026 (v6), and all of contract shadow");
    app.add_option("--active-after", typed.active_after,
                   "How many milliseconds after a reset the memory is active (default 0)")
        ->type_name("MS");
    app.add_option("--page-size", typed.page_size,
                   "Host page size, what can be left out of an mmap: 4K or 64K (default 4K)")
        ->type_name("SIZE");
    app.add_option("--host-base", typed.host_base,
                   "Host physical address of the memory, multiple of 256M (default "
                   "0x424240000000)")
        ->type_name("ADDRESS");
    app.add_flag("--no-cache", no_cache, "Not CXL.cache capable");
    app.add_option("--control", options.control, "Listen for control commands on this path")
        ->type_name("PATH");
    app.add_option("--trace", options.trace, "Write every message to this file, one JSON per line")
        ->type_name("FILE");
    app.add_flag("--background", background.wanted,
                 "Return as soon as it listens, and go on without standard output");
    app.add_option("--pid-file", background.pid_file,
                   "Its process id, in a file that is removed when it has ended")
        ->type_name("FILE");
    app.add_option("--fault", fault_name,
                   "Misbehave in one way; \"list\" prints the ways there are and exits")
        ->type_name("NAME");
    app.add_flag("--registers", registers, "Print every register of such a device and exit");
    CLI11_PARSE(app, argc, argv);
    if (fault_name == "list") {
        list_faults();
        return 0;
    }
    const auto *fault = type2::device::find_fault(fault_name);
    if (fault == nullptr && !fault_name.empty()) {
        fmt::print(stderr,
                   "cxl-type2-model: --fault '{}': no such fault; --fault list names them\n",
                   fault_name);
        return 1;
    }
    if (options.socket.empty() && !registers) {
        fmt::print(stderr, "cxl-type2-model: --socket PATH is required\n");
        return 1;
    }

    config.cache = !no_cache;
    if (!apply(typed, config)) {
        return 1;
    }
    const auto valid =
        type2::device::validate(config, !typed.hdm_size.empty(), !typed.decoder_size.empty());
    if (!valid) {
        fmt::print(stderr, "cxl-type2-model: {}\n", valid.error().text);
        return 1;
    }
    return registers ? list_registers(*valid) : run(*valid, options, fault, background);
}

} // namespace

int main(int argc, char **argv) {
    return type2::run_program("cxl-type2-model", 1, [&] { return run(argc, argv); });
}
