// SPDX-License-Identifier: GPL-2.0-or-later
#include "bench/report.h"

#include "base/files.h"
#include "base/size.h"
#include "bench/paths.h"

#include <cstdlib>
#include <fmt/format.h>
#include <sstream>
#include <sys/utsname.h>
#include <thread>

namespace type2::bench {

using nlohmann::json;

namespace {

std::string first_line(const std::string &text) {
    return text.substr(0, text.find('\n'));
}

// What stands behind `key` and its colon in a file like /proc/cpuinfo.
std::string field(const std::string &text, const std::string &key) {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        const auto colon = line.find(':');
        if (line.starts_with(key) && colon != std::string::npos) {
            const auto value = line.find_first_not_of(" \t", colon + 1);
            return value == std::string::npos ? "" : line.substr(value);
        }
    }
    return "unknown";
}

json as_json(const MemorySamples &samples) {
    json out = {{"chase_ns", samples.chase_ns}};
    if (samples.read_mb_s && samples.write_mb_s) {
        out["read_mb_s"] = *samples.read_mb_s;
        out["write_mb_s"] = *samples.write_mb_s;
    }
    return out;
}

json as_json(const Facts &on) {
    return {{"cpu", on.cpu},       {"cores", on.cores},     {"memory_mib", on.memory_mib},
            {"kernel", on.kernel}, {"load", on.load},       {"qemu", on.qemu},
            {"accel", on.accel},   {"machine", on.machine}, {"guest", on.guest},
            {"smoke", on.smoke},   {"rounds", on.rounds}};
}

json as_json(const SizeRow &row) {
    return {{"size", row.size},
            {"bytes", row.bytes},
            {"startup_s", row.startup_s},
            {"startup_more_s", row.startup_more_s},
            {"rss_mib", row.rss_mib},
            {"rss_of", row.rss_of},
            {"dirty_bitmaps_mib", row.dirty_bitmaps_mib},
            {"memory_regions", row.memory_regions}};
}

json as_json(const std::map<std::string, Sequence> &sequences) {
    json out = json::object();
    for (const auto &[name, sequence] : sequences) {
        out[name] = {{"register_accesses", sequence.register_accesses},
                     {"device_requests", sequence.device_requests}};
    }
    return out;
}

} // namespace

const char *name_of(const std::string &memory) {
    return memory == "ram" ? "RAM" : memory == "cxl" ? "CXL.mem" : "emulated Type-3";
}

std::string name_of(const Ratio &ratio) {
    return fmt::format("CXL.mem to {}, {}, {}", name_of(ratio.memory), ratio.what,
                       format_size(ratio.bytes));
}

Result<Facts> facts_of_machine(const Setting &setting) {
    const auto &kind = *find_kind(setting.arch);
    const auto version = run({{bin(kind.program), "--version"}}, std::chrono::seconds(60));
    if (!version) {
        return tl::unexpected(version.error());
    }
    utsname system = {};
    uname(&system);
    Facts on;
    on.cpu = field(read_file("/proc/cpuinfo"), "model name");
    on.cores = std::thread::hardware_concurrency();
    on.memory_mib =
        std::strtoull(field(read_file("/proc/meminfo"), "MemTotal").c_str(), nullptr, 10) / 1024;
    on.kernel = fmt::format("{} {} {}", system.sysname, system.release, system.machine);
    getloadavg(&on.load, 1);
    on.qemu = first_line(version->out);
    on.accel = setting.accel;
    on.machine = kind.type;
    on.guest = first_line(read_file(build() / "guest" / setting.arch / "version"));
    if (on.guest.empty()) {
        on.guest = "unknown";
    }
    on.smoke = setting.smoke;
    on.rounds = setting.rounds;
    return on;
}

std::vector<Target> targets(const Report &report) {
    std::vector<Target> out;
    for (const auto &ratio : report.guest.ratios) {
        const double wanted = ratio.memory == "ram" ? 0.95 : 100;
        const double found = ratio.ratio.median;
        out.push_back({name_of(ratio) + ", at least", wanted, found, found >= wanted});
    }
    const double registers = report.guest.register_device_to_qemu.median;
    out.push_back({"register of the device to register in QEMU, time, at least", 20, registers,
                   registers >= 20});
    const auto &first = report.sizes.front();
    const auto &last = report.sizes.back();
    const double seconds = last.startup_more_s.median;
    const double mib = last.rss_mib.median - first.rss_mib.median;
    const auto name = fmt::format("{} over {}", last.size, first.size);
    out.push_back({name + ", start-up, s, at most", 0.3, seconds, seconds <= 0.3});
    out.push_back({name + ", RSS, MiB, at most", 128, mib, mib <= 128});
    return out;
}

std::string as_json(const Report &report) {
    const auto &guest = report.guest;
    json out = {{"schema", 2},
                {"machine", as_json(report.facts)},
                {"memory", {{"ram_in_2m_pages", guest.ram_in_2m_pages}}},
                {"registers",
                 {{"qemu_ns", guest.register_qemu_ns},
                  {"device_ns", guest.register_device_ns},
                  {"device_to_qemu", guest.register_device_to_qemu}}},
                {"decoder",
                 {{"commit_us", guest.commit_us},
                  {"uncommit_us", guest.uncommit_us},
                  {"programming_sequence", as_json(guest.sequences)}}},
                {"hotplug",
                 {{"device_add_ms", report.hotplug.device_add_ms},
                  {"device_del_ms", report.hotplug.device_del_ms}}}};
    for (const auto &piece : guest.pieces) {
        json one = {{"bytes", piece.bytes}};
        for (const auto &[name, memory] : piece.memories) {
            one[name] = as_json(memory);
        }
        out["memory"]["pieces"].push_back(std::move(one));
    }
    for (const auto &ratio : guest.ratios) {
        out["ratios"].push_back({{"cxl_to", ratio.memory},
                                 {"what", ratio.what},
                                 {"bytes", ratio.bytes},
                                 {"ratio", ratio.ratio}});
    }
    for (const auto &row : report.sizes) {
        out["sizes"].push_back(as_json(row));
    }
    for (const auto &target : targets(report)) {
        out["targets"].push_back({{"name", target.name},
                                  {"wanted", target.wanted},
                                  {"found", target.found},
                                  {"met", target.met}});
    }
    return out.dump(2) + "\n";
}

} // namespace type2::bench
