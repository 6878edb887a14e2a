// SPDX-License-Identifier: GPL-2.0-or-later
#include "bench/machine.h"

#include "base/files.h"
#include "bench/paths.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <system_error>

namespace type2::bench {

namespace fs = std::filesystem;

const Kind *find_kind(const std::string &arch) {
    static const std::array<Kind, 2> kinds = {
        {{"arm64", "qemu-system-aarch64", "virt", "max,pauth-impdef=on", "2", "Image",
          "QEMU_EFI.fd", "ttyAMA0"},
         {"amd64", "qemu-system-x86_64", "q35", "max,phys-bits=46", "1", "bzImage", "bios-256k.bin",
          "ttyS0 no_timer_check"}}};
    const auto *const found = std::find_if(kinds.begin(), kinds.end(),
                                           [&](const Kind &kind) { return kind.arch == arch; });
    return found == kinds.end() ? nullptr : found;
}

std::vector<std::string> bridges(const std::vector<std::string> &sizes,
                                 const std::set<unsigned> &passthrough) {
    std::vector<std::string> windows;
    std::vector<std::string> out;
    for (unsigned n = 0; n < sizes.size(); ++n) {
        windows.push_back(
            fmt::format("cxl-fmw.{0}.targets.0=cxl.{0},cxl-fmw.{0}.size={1}", n, sizes[n]));
        out.insert(out.end(),
                   {"-device",
                    fmt::format("pxb-cxl,id=cxl.{},bus=pcie.0,bus_nr={},hdm_for_passthrough={}", n,
                                12 + 40 * n, passthrough.contains(n) ? "off" : "on"),
                    "-device", fmt::format("cxl-rp,id=rp{0},bus=cxl.{0},chassis=0,slot={0}", n)});
    }
    out.insert(out.begin(), {"-M", fmt::format("{}", fmt::join(windows, ","))});
    return out;
}

std::vector<std::string> shared_ram(const std::string &size) {
    return {"-m", size, "-object",
            fmt::format("memory-backend-memfd,id=mem,size={},share=on", size)};
}

nlohmann::json device(const DeviceProcess &model, const std::string &bus) {
    return {{"driver", "vfio-user-pci"},
            {"bus", bus},
            {"socket", {{"type", "unix"}, {"path", model.socket().string()}}}};
}

Result<Machine> Machine::start(const Setting &setting, const fs::path &folder,
                               const std::vector<std::string> &words, Console console) {
    const Kind *kind = find_kind(setting.arch);
    if (kind == nullptr) {
        return fail(EINVAL, fmt::format("no machine for '{}'", setting.arch));
    }
    const auto log = folder / "qemu.log";
    const auto path = folder / "qmp";
    std::error_code ignored;
    fs::remove(log, ignored);
    fs::remove(path, ignored);
    Command command{{bin(kind->program), "-accel", setting.accel, "-M",
                     kind->type + ",cxl=on,memory-backend=mem", "-cpu",
                     setting.accel == "kvm" ? "host" : kind->cpu, "-L",
                     build() / "guest" / "firmware", "-nodefaults", "-display", "none",
                     "-no-reboot", "-qmp",
                     fmt::format("unix:{},server=on,wait=off", path.string())}};
    command.words.insert(command.words.end(), words.begin(), words.end());
    command.err = {Stream::Kind::File, log};
    command.out = console == Console::Captured ? Stream{} : command.err;

    const auto begin = Clock::now();
    auto process = Process::start(command);
    if (!process) {
        return tl::unexpected(process.error());
    }
    auto qmp = Qmp::connect(path, *process);
    const auto status = qmp ? qmp->ask("query-status") : tl::unexpected(qmp.error());
    if (!status) {
        return fail(status.error().code,
                    fmt::format("{}: {}\n{}", status.error().text, read_file(log),
                                fmt::join(command.words, " ")));
    }
    const std::chrono::duration<double> took = Clock::now() - begin;
    return Machine(std::move(*process), std::move(*qmp), log, took.count());
}

std::string Machine::said() const {
    return read_file(log_);
}

} // namespace type2::bench
