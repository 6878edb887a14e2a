// SPDX-License-Identifier: GPL-2.0-or-later
// cxl-type2-preflight: is this device ready to be passed through? Command line only.
#include "base/program.h"
#include "base/size.h"
#include "preflight/advice.h"
#include "preflight/contract.h"
#include "preflight/print.h"
#include "preflight/sysfs.h"

#include <cerrno>
#include <CLI/App.hpp>
#include <CLI/CLI.hpp>
#include <cstdio>
#include <fmt/format.h>
#include <optional>

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
    std::string address;
    std::string sysfs = "/sys";
    std::string socket;
    std::string arch;
    std::string ram = "16G";
    unsigned cpus = 8;
    unsigned phys_bits = 0;
    bool json = false;
    bool xml = false;
    bool no_open = false;
};

int complain(int status, const std::string &text) {
    fmt::print(stderr, "cxl-type2-preflight: {}\n", text);
    return status;
}

/// Fills in `vfio`, and `pci` where there is no sysfs that knows it.
type2::Result<void> ask(type2::vfio::Target &target, Facts &facts) {
    auto vfio = read_contract(target);
    if (!vfio) {
        return tl::unexpected(vfio.error());
    }
    facts.vfio = std::move(*vfio);
    if (!facts.pci) {
        auto pci = read_config(target);
        if (!pci) {
            return tl::unexpected(pci.error());
        }
        facts.pci = std::move(*pci);
    }
    return {};
}

void open_host_device(const Options &options, const Sysfs &sysfs, Facts &facts) {
    if (!sysfs.is_live()) {
        facts.vfio_absent = "a recorded tree has no device";
        return;
    }
    if (options.no_open) {
        facts.vfio_absent = "--no-open";
        return;
    }
    if (facts.binding->iommufd) {
        facts.vfio_absent = "it is opened by group and container, which this kernel does not offer";
        return;
    }
    if (!facts.binding->missing_node.empty() || !facts.binding->forbidden_node.empty()) {
        facts.vfio_absent = "not bound to VFIO, or not accessible";
        return;
    }
    auto target = type2::vfio::open_kernel_vfio(facts.address);
    const auto done = target ? ask(**target, facts) : tl::unexpected(target.error());
    if (!done) {
        facts.vfio_absent = done.error().text;
        facts.vfio_failed = true;
    }
}

int report(const Options &options, const Facts &facts, const Plan &plan) {
    const auto report = judge(facts, plan);
    if (options.json) {
        fmt::print("{}", as_json(facts, plan, report));
    } else if (!options.xml) {
        fmt::print("{}", as_text(facts, plan, report));
    } else if (has_advice(report)) {
        fmt::print("{}", libvirt_xml(facts, plan, report));
    } else {
        fmt::print(stderr, "{}", as_text(facts, plan, report));
    }
    return report.ready() ? Ready : NotReady;
}

int run(const Options &options) {
    Facts facts;
    Plan plan;
    const auto ram = type2::parse_size(options.ram);
    if (!ram || *ram < 256 * type2::MiB || *ram % type2::MiB != 0) {
        return complain(Usage, fmt::format("--ram {}: expected a size of 256M or more, in whole "
                                           "MiB",
                                           options.ram));
    }
    plan = {*ram, options.cpus};
    const Sysfs sysfs(options.sysfs);
    const auto arch = options.arch.empty() ? sysfs.arch() : options.arch;
    if (arch != "aarch64" && arch != "x86_64") {
        return complain(Usage,
                        fmt::format("--arch {}: expected aarch64 (virt) or x86_64 (q35)", arch));
    }
    if (options.address.empty() && options.socket.empty()) {
        return complain(Usage, "name a PCI address, or a vfio-user server with --socket PATH");
    }
    facts.host = sysfs.host(arch);
    facts.socket = options.socket;
    if (!options.address.empty()) {
        const auto address = parse_address(options.address);
        if (!address) {
            return complain(Usage, address.error().text);
        }
        facts.address = *address;
        auto pci = sysfs.pci(*address);
        if (!pci) {
            return complain(NothingToLookAt, pci.error().text);
        }
        facts.pci = std::move(*pci);
        facts.binding = sysfs.binding(*address);
    }
    if (options.phys_bits != 0) {
        facts.host.phys_bits = options.phys_bits;
        facts.host.kvm = true;
    }
    if (options.socket.empty()) {
        open_host_device(options, sysfs, facts);
        return report(options, facts, plan);
    }
    auto target = type2::vfio::open_vfio_user(options.socket);
    if (!target) {
        return complain(NothingToLookAt,
                        fmt::format("--socket {}: {}", options.socket, target.error().text));
    }
    if (const auto done = ask(**target, facts); !done) {
        return complain(NothingToLookAt,
                        fmt::format("--socket {}: {}", options.socket, done.error().text));
    }
    return report(options, facts, plan);
}

int run(int argc, char **argv) {
    CLI::App app("Is this CXL Type-2 device ready to be passed through?", "cxl-type2-preflight");
    Options options;
    app.set_version_flag("--version", std::string("cxl-type2-preflight ") + TYPE2_VERSION);
    app.footer(Footer);
    app.add_option("address", options.address, "The device, 0000:81:00.0 for instance")
        ->type_name("ADDRESS");
    app.add_option("--socket", options.socket,
                   "A device behind a vfio-user server, cxl-type2-model for instance")
        ->type_name("PATH");
    app.add_option("--sysfs", options.sysfs,
                   "A recorded tree instead of /sys; dev/ and proc/ are looked for beside it")
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
