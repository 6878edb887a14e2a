// SPDX-License-Identifier: GPL-2.0-or-later
// cxl-type2-preflight: is this device ready to be passed through? Command line only.
#include "base/program.h"
#include "base/size.h"
#include "pci/address.h"
#include "preflight/command_line.h"
#include "preflight/contract.h"
#include "preflight/print.h"
#include "preflight/sysfs.h"

#include <algorithm>
#include <cerrno>
#include <CLI/App.hpp>
#include <CLI/CLI.hpp>
#include <cstdio>
#include <fmt/format.h>
#include <optional>
#include <vector>

namespace {

using namespace type2::preflight;

// Exit status
constexpr int Ready = 0;
constexpr int NotReady = 1;
constexpr int Usage = 2;
constexpr int NothingToLookAt = 3;

constexpr const char *Footer =
    "Exit status: 0 ready (warnings are possible), 1 not ready, 2 wrong use,\n"
    "3 there is nothing to look at: no such device, or nobody behind the socket.\n"
    "Nothing is written to the device. Opening it makes the kernel reset it, as the start\n"
    "of a guest does.";

struct Options {
    std::vector<std::string> addresses;
    std::vector<std::string> sockets;
    std::string sysfs = "/sys";
    std::string arch;
    std::string ram = "16G";
    unsigned cpus = 8;
    unsigned phys_bits = 0;
    bool numa = false;
    bool json = false;
    bool xml = false;
    bool no_open = false;
};

/// What ends the program early.
struct End {
    int status = Ready;
    std::string text;
};

int complain(const End &end) {
    fmt::print(stderr, "cxl-type2-preflight: {}\n", end.text);
    return end.status;
}

/// Fills in `vfio`, and `pci` where there is no sysfs that knows it.
type2::Result<void> ask(type2::vfio::Target &target, DeviceFacts &device) {
    auto vfio = read_contract(target);
    if (!vfio) {
        return tl::unexpected(vfio.error());
    }
    device.vfio = std::move(*vfio);
    if (!device.pci) {
        auto pci = read_config(target);
        if (!pci) {
            return tl::unexpected(pci.error());
        }
        device.pci = std::move(*pci);
    }
    return {};
}

void open_host_device(const Options &options, const Sysfs &sysfs, DeviceFacts &device) {
    if (!sysfs.is_live()) {
        device.vfio_absent = "a recorded tree has no device";
        return;
    }
    if (options.no_open) {
        device.vfio_absent = "--no-open";
        return;
    }
    if (is_silent(device)) {
        device.vfio_absent = "the device does not answer";
        return;
    }
    if (device.binding->iommufd) {
        device.vfio_absent =
            "it is opened by group and container, which this kernel does not offer";
        return;
    }
    if (!device.binding->missing_node.empty() || !device.binding->forbidden_node.empty() ||
        device.binding->noiommu) {
        device.vfio_absent = "not bound to VFIO, or not accessible";
        return;
    }
    auto target = type2::vfio::open_kernel_vfio(device.address);
    const auto done = target ? ask(**target, device) : tl::unexpected(target.error());
    if (!done) {
        device.vfio_absent = done.error().text;
        device.vfio_failed = true;
    }
}

/// address, socket: one may be empty; a socket beside an address stands for its VFIO device.
std::optional<End> look_at(const Options &options, const Sysfs &sysfs, const std::string &address,
                           const std::string &socket, Facts &facts) {
    DeviceFacts device;
    device.socket = socket;
    if (!address.empty()) {
        const auto parsed = type2::pci::parse_address(address);
        if (!parsed) {
            return End{Usage, parsed.error().text};
        }
        device.address = parsed->text();
        const bool twice =
            std::any_of(facts.devices.begin(), facts.devices.end(),
                        [&](const DeviceFacts &other) { return other.address == device.address; });
        if (twice) {
            return End{Usage, device.address + " is named twice"};
        }
        auto pci = sysfs.pci(device.address);
        if (!pci) {
            return End{NothingToLookAt, pci.error().text};
        }
        device.pci = std::move(*pci);
        device.binding = sysfs.binding(device.address);
    }
    if (socket.empty()) {
        open_host_device(options, sysfs, device);
    } else {
        auto target = type2::vfio::open_vfio_user(socket);
        const auto done = target ? ask(**target, device) : tl::unexpected(target.error());
        if (!done) {
            return End{NothingToLookAt, fmt::format("--socket {}: {}", socket, done.error().text)};
        }
    }
    facts.devices.push_back(std::move(device));
    return std::nullopt;
}

int report(const Options &options, const Facts &facts, const Wish &wish) {
    const auto report = judge(facts, wish);
    if (options.json) {
        fmt::print("{}", as_json(facts, report));
    } else if (!options.xml) {
        fmt::print("{}", as_text(facts, report));
    } else if (report.has_advice()) {
        fmt::print("{}", libvirt_xml(facts, report.plan));
    } else {
        fmt::print(stderr, "{}", as_text(facts, report));
    }
    return report.ready() ? Ready : NotReady;
}

int run(const Options &options) {
    const auto ram = type2::parse_size(options.ram);
    if (!ram || *ram < 256 * type2::MiB || *ram % type2::MiB != 0) {
        return complain({Usage, fmt::format("--ram {}: expected a size of 256M or more, in whole "
                                            "MiB",
                                            options.ram)});
    }
    const Sysfs sysfs(options.sysfs);
    const auto arch = options.arch.empty() ? sysfs.arch() : options.arch;
    if (arch != "aarch64" && arch != "x86_64") {
        return complain(
            {Usage, fmt::format("--arch {}: expected aarch64 (virt) or x86_64 (q35)", arch)});
    }
    const auto &addresses = options.addresses;
    const auto &sockets = options.sockets;
    const std::size_t count = std::max(addresses.size(), sockets.size());
    if (count == 0) {
        return complain({Usage, "name PCI addresses, or a vfio-user server with --socket PATH"});
    }
    if (!addresses.empty() && !sockets.empty() && addresses.size() != sockets.size()) {
        return complain({Usage, fmt::format("{} addresses and {} sockets: each socket stands for "
                                            "one device, or there are sockets only",
                                            addresses.size(), sockets.size())});
    }
    constexpr std::size_t MostDevices = 32; // what bus numbers there are
    if (count > MostDevices) {
        return complain({Usage, fmt::format("{} devices: at most {}", count, MostDevices)});
    }
    Facts facts;
    facts.host = sysfs.host(arch);
    if (options.phys_bits != 0) {
        facts.host.phys_bits = options.phys_bits;
        facts.host.kvm = true;
    }
    for (std::size_t i = 0; i < count; ++i) {
        const auto end =
            look_at(options, sysfs, i < addresses.size() ? addresses[i] : std::string(),
                    i < sockets.size() ? sockets[i] : std::string(), facts);
        if (end) {
            return complain(*end);
        }
    }
    return report(options, facts, {*ram, options.cpus, options.numa});
}

int run(int argc, char **argv) {
    CLI::App app("Are these CXL Type-2 devices ready to be passed through?", "cxl-type2-preflight");
    Options options;
    app.set_version_flag("--version", std::string("cxl-type2-preflight ") + TYPE2_VERSION);
    app.footer(Footer);
    app.add_option("address", options.addresses,
                   "The devices of one guest, 0000:81:00.0 for instance")
        ->type_name("ADDRESS");
    app.add_option("--socket", options.sockets,
                   "A device behind a vfio-user server, cxl-type2-model for instance; again for "
                   "each one")
        ->type_name("PATH")
        ->allow_extra_args(false);
    app.add_option(
           "--sysfs", options.sysfs,
           "A recorded tree instead of /sys; dev/, proc/ and lib/modules/ are looked for beside it")
        ->type_name("DIR");
    app.add_option("--arch", options.arch,
                   "The guest: aarch64 (virt) or x86_64 (q35); default: the host's")
        ->type_name("NAME");
    app.add_option("--ram", options.ram, "The guest's RAM (default 16G)")->type_name("SIZE");
    app.add_option("--cpus", options.cpus, "The guest's CPUs (default 8)")
        ->type_name("N")
        ->check(CLI::Range(1, 512));
    app.add_option("--phys-bits", options.phys_bits,
                   "Physical address bits that KVM gives a guest, where this machine cannot tell")
        ->type_name("N")
        ->check(CLI::Range(32, 64));
    app.add_flag("--numa", options.numa,
                 "The guest has NUMA nodes: its RAM and CPUs in the first, the devices in another");
    app.add_flag("--no-open", options.no_open, "Do not open the VFIO device");
    auto *json = app.add_flag("--json", options.json, "Everything as one JSON object");
    app.add_flag("--xml", options.xml, "The libvirt domain only")->excludes(json);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError &error) {
        return app.exit(error) == 0 ? Ready : Usage;
    }
    return run(options);
}

} // namespace

int main(int argc, char **argv) {
    return type2::run_program("cxl-type2-preflight", Usage, [&] { return run(argc, argv); });
}
