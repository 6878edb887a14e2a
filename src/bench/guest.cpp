// SPDX-License-Identifier: GPL-2.0-or-later
#include "bench/guest.h"

#include "base/bytes.h"
#include "base/size.h"
#include "bench/paths.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <deque>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <re2/re2.h>
#include <sstream>

namespace type2::bench {

namespace fs = std::filesystem;

using Fact = std::map<std::string, std::string>;

Fact facts(const std::string &line) {
    Fact out;
    std::istringstream words(line);
    for (std::string word; words >> word;) {
        if (const auto equals = word.find('='); equals != std::string::npos) {
            out[word.substr(0, equals)] = word.substr(equals + 1);
        }
    }
    return out;
}

namespace {

std::string text_of(const Fact &fact, const std::string &key) {
    const auto found = fact.find(key);
    return found == fact.end() ? "" : found->second;
}

double number_of(const Fact &fact, const std::string &key) {
    return std::strtod(text_of(fact, key).c_str(), nullptr);
}

// Every value of a key, in the order of the rounds.
std::vector<double> values(const std::vector<Fact> &all, const std::string &key) {
    std::vector<double> out;
    for (const auto &fact : all) {
        if (fact.contains(key)) {
            out.push_back(number_of(fact, key));
        }
    }
    return out;
}

struct Vm {
    DeviceProcess locked; ///< its memory is measured; a word of it tells the guest to go on
    DeviceProcess free;
    Machine machine;
};

Result<Vm> start(const Setting &setting, const fs::path &folder) {
    const auto made = run({{top() / "guest" / "build-bench", setting.arch},
                           {},
                           {},
                           {},
                           {Stream::Kind::Discarded},
                           {Stream::Kind::Inherited}},
                          std::chrono::minutes(10));
    if (!made || made->status != 0) {
        return fail(EPROTO, made ? "guest/build-bench failed" : made.error().text);
    }
    auto locked = DeviceProcess::start(folder / "locked");
    auto free =
        DeviceProcess::start(folder / "free", {"--uncommitted", "--memory-without-decoder"});
    for (const auto *model : {&locked, &free}) {
        if (!*model) {
            return tl::unexpected(model->error());
        }
    }
    const auto &kind = *find_kind(setting.arch);
    const auto built = build() / "guest";
    auto words = shared_ram("1G");
    for (const auto &more :
         {bridges({"256M", "256M", "256M"}, {1, 2}),
          std::vector<std::string>{
              "-smp",
              kind.cpus,
              "-object",
              "memory-backend-ram,id=type3,size=256M",
              "-device",
              device(*locked, "rp0").dump(),
              "-device",
              "cxl-type3,bus=rp1,volatile-memdev=type3,id=slow",
              "-device",
              device(*free, "rp2").dump(),
              "-bios",
              built / "firmware" / kind.bios,
              "-kernel",
              built / setting.arch / kind.kernel,
              "-initrd",
              build() / "bench" / (setting.arch + ".cpio.gz"),
              "-append",
              fmt::format("rdinit=/init console={} loglevel=4 random.trust_cpu=on cxl2.size={} "
                          "cxl2.pieces={} cxl2.rounds={} cxl2.tries={}",
                          kind.console, setting.size, fmt::join(setting.pieces, ","),
                          setting.rounds, setting.tries),
              "-serial",
              "stdio"}}) {
        words.insert(words.end(), more.begin(), more.end());
    }
    auto machine = Machine::start(setting, folder, words, Machine::Console::Captured);
    if (!machine) {
        return tl::unexpected(machine.error());
    }
    return Vm{std::move(*locked), std::move(*free), std::move(*machine)};
}

// Accesses to the free device's registers that QEMU has told of so far.
unsigned traced(const Vm &vm) {
    static const RE2 access("^vfio_cxl_regs_(read|write)\\b");
    std::istringstream lines(vm.machine.said());
    unsigned count = 0;
    for (std::string line; std::getline(lines, line);) {
        if (line.find(vm.free.socket().string()) != std::string::npos &&
            RE2::PartialMatch(line, access)) {
            ++count;
        }
    }
    return count;
}

// At a mark of the guest's: what came since the last one. Then the guest goes on, to `step`.
Result<Sequence> count(const Vm &vm, unsigned &before, std::uint64_t step) {
    const auto log = vm.free.control("log");
    if (!log) {
        return tl::unexpected(log.error());
    }
    const auto messages = nlohmann::json::parse(*log, nullptr, false);
    if (!messages.is_array()) {
        return fail(EPROTO, "the model's log is no list");
    }
    Sequence out;
    for (const auto &message : messages) {
        ++out.device_requests[message.value("command", "unknown")];
    }
    const unsigned now = traced(vm);
    out.register_accesses = now - before;
    before = now;
    Bytes word;
    append(word, step);
    const auto poked = vm.locked.control("poke 0 " + format_hex(word));
    if (!poked) {
        return tl::unexpected(poked.error());
    }
    return out;
}

struct Said {
    std::vector<Fact> facts;
    std::map<std::string, Sequence> sequences;
    unsigned traced = 0;
};

// One line of the guest's. Error: it says that something is wrong.
Result<void> take(Vm &vm, Said &said, const std::string &line) {
    auto fact = facts(line);
    if (fact.contains("missing") || (fact.contains("ok") && fact["ok"] != "1")) {
        return fail(EPROTO, fmt::format("the guest says: {}", line));
    }
    static const std::map<std::string, std::pair<std::uint64_t, std::string>> marks = {
        {"ready", {1, ""}}, {"committed", {2, "commit"}}, {"uncommitted", {3, "uncommit"}}};
    if (const auto mark = marks.find(text_of(fact, "count")); mark != marks.end()) {
        const auto &[step, name] = mark->second;
        if (name.empty()) {
            const auto done = vm.machine.qmp().ask("trace-event-set-state",
                                                   {{"name", "vfio_cxl_regs_*"}, {"enable", true}});
            if (!done) {
                return tl::unexpected(done.error());
            }
        }
        auto counted = count(vm, said.traced, step);
        if (!counted) {
            return tl::unexpected(counted.error());
        }
        if (!name.empty()) {
            said.sequences[name] = std::move(*counted);
        }
    }
    said.facts.push_back(std::move(fact));
    return {};
}

Result<Said> follow(Vm &vm) {
    static const RE2 colours("\x1b\\[[=0-9;]*[A-Za-z]|\r");
    Said said;
    std::deque<std::string> last;
    for (;;) {
        // Firmware and kernel are quiet for long where the machine is busy.
        const auto read = vm.machine.process().read_line(std::chrono::minutes(5));
        if (!read) {
            return fail(EPROTO, fmt::format("the guest ended early: {}\n{}\n{}", read.error().text,
                                            fmt::join(last, "\n"), vm.machine.said()));
        }
        auto line = *read;
        RE2::GlobalReplace(&line, colours, "");
        last.push_back(line);
        if (last.size() > 40) {
            last.pop_front();
        }
        if (line.find("Kernel panic") != std::string::npos ||
            line.find("does not load") != std::string::npos) {
            return fail(EPROTO, fmt::format("the guest fails:\n{}", fmt::join(last, "\n")));
        }
        const auto at = line.find("BENCH: ");
        if (at == std::string::npos) {
            continue;
        }
        if (line.substr(at) == "BENCH: end") {
            return said;
        }
        if (const auto taken = take(vm, said, line.substr(at)); !taken) {
            return tl::unexpected(taken.error());
        }
    }
}

struct Raw {
    std::vector<double> read, write, chase;
};
using RawPieces = std::map<std::uint64_t, std::map<std::string, Raw>>;

RawPieces sort_by_piece(const std::vector<Fact> &all) {
    RawPieces out;
    for (const auto &fact : all) {
        if (!fact.contains("memory")) {
            continue;
        }
        const auto bytes = static_cast<std::uint64_t>(number_of(fact, "bytes"));
        auto &raw = out[bytes][text_of(fact, "memory")];
        raw.chase.push_back(number_of(fact, "chase_ns"));
        if (fact.contains("read_mb_s")) {
            raw.read.push_back(number_of(fact, "read_mb_s"));
            raw.write.push_back(number_of(fact, "write_mb_s"));
        }
    }
    return out;
}

// CXL.mem against `memory`: a rate with the largest piece that has one, latency with each.
void compare(const RawPieces &pieces, const std::string &memory, std::vector<Ratio> &out) {
    const auto largest = std::find_if(pieces.rbegin(), pieces.rend(), [&](const auto &piece) {
        return !piece.second.at(memory).read.empty();
    });
    if (largest != pieces.rend()) {
        const auto &[bytes, raw] = *largest;
        out.push_back({memory, "read", bytes, ratios(raw.at("cxl").read, raw.at(memory).read)});
        out.push_back({memory, "write", bytes, ratios(raw.at("cxl").write, raw.at(memory).write)});
    }
    for (const auto &[bytes, raw] : pieces) {
        // Less is better
        out.push_back(
            {memory, "latency", bytes, ratios(raw.at(memory).chase, raw.at("cxl").chase)});
    }
}

std::optional<Samples> if_any(const std::vector<double> &samples) {
    return samples.empty() ? std::nullopt : std::optional(middle(samples));
}

} // namespace

Result<GuestResult> measure_guest(const Setting &setting, const fs::path &folder) {
    auto vm = start(setting, folder);
    if (!vm) {
        return tl::unexpected(vm.error());
    }
    const auto said = follow(*vm);
    if (!said) {
        return tl::unexpected(said.error());
    }
    GuestResult result;
    const auto raw = sort_by_piece(said->facts);
    for (const auto &[bytes, memories] : raw) {
        for (const auto *memory : {"ram", "cxl", "type3"}) {
            if (!memories.contains(memory)) {
                return fail(EPROTO, fmt::format("the guest did not measure {}", memory));
            }
        }
        Piece piece{bytes, {}};
        for (const auto &[name, samples] : memories) {
            piece.memories[name] = {if_any(samples.read), if_any(samples.write),
                                    middle(samples.chase)};
        }
        result.pieces.push_back(std::move(piece));
    }
    if (raw.empty()) {
        return fail(EPROTO, "the guest measured no memory");
    }
    compare(raw, "ram", result.ratios);
    compare(raw, "type3", result.ratios);
    const auto huge = values(said->facts, "ram_huge_kib");
    result.ram_in_2m_pages =
        !huge.empty() && huge[0] * 1024 >= static_cast<double>(result.pieces.back().bytes);
    const auto in_qemu = values(said->facts, "qemu_ns");
    const auto in_device = values(said->facts, "device_ns");
    result.register_qemu_ns = middle(in_qemu);
    result.register_device_ns = middle(in_device);
    result.register_device_to_qemu = ratios(in_device, in_qemu);
    result.commit_us = middle(values(said->facts, "commit_us"));
    result.uncommit_us = middle(values(said->facts, "uncommit_us"));
    result.sequences = said->sequences;
    return result;
}

} // namespace type2::bench
