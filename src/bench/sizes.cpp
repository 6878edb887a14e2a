// SPDX-License-Identifier: GPL-2.0-or-later
#include "bench/sizes.h"

#include "base/files.h"
#include "base/size.h"

#include <cctype>
#include <fmt/format.h>
#include <re2/re2.h>
#include <sstream>

namespace type2::bench {

namespace fs = std::filesystem;

namespace {

struct Start {
    double seconds = 0;
    std::map<std::string, double> rss_of;
    unsigned regions = 0;

    double rss() const {
        double sum = 0;
        for (const auto &[kind, mib] : rss_of) {
            sum += mib;
        }
        return sum;
    }
};

const char *kind_of(const std::string &mapping) {
    if (mapping.find("memory-backend-memfd") != std::string::npos) {
        return "guest RAM";
    }
    if (mapping.find("memfd:") != std::string::npos) {
        return "device memory";
    }
    return mapping.find(" /") != std::string::npos ? "programs and files" : "heap and bitmaps";
}

// MiB of a process by what they are for.
std::map<std::string, double> resident(pid_t pid) {
    std::map<std::string, double> out = {
        {"heap and bitmaps", 0}, {"device memory", 0}, {"guest RAM", 0}, {"programs and files", 0}};
    std::istringstream lines(read_file(fmt::format("/proc/{}/smaps", pid)));
    std::string kind = "heap and bitmaps";
    for (std::string line; std::getline(lines, line);) {
        // A mapping begins with its address, in lower case; what is said of it with a capital.
        if (std::isupper(static_cast<unsigned char>(line[0])) == 0) {
            kind = kind_of(line);
        } else if (line.starts_with("Rss:")) {
            out[kind] += std::stod(line.substr(4)) / 1024;
        }
    }
    return out;
}

// Lines of the tree that has the address space "memory"; a tree is a paragraph, headed by its
// address spaces.
unsigned memory_regions(const std::string &mtree) {
    static const RE2 region("^ +[0-9a-f]{16}-");
    std::istringstream lines(mtree);
    bool inside = false;
    unsigned count = 0;
    for (std::string line; std::getline(lines, line);) {
        if (line.find_first_not_of(' ') == std::string::npos) {
            if (inside) {
                break;
            }
        } else if (line == "address-space: memory") {
            inside = true;
        } else if (inside && RE2::PartialMatch(line, region)) {
            ++count;
        }
    }
    return count;
}

Result<Start> start_once(const Setting &setting, const fs::path &folder, const std::string &size) {
    const auto model = DeviceProcess::start(folder / "device", {"--hdm-size", size});
    if (!model) {
        return tl::unexpected(model.error());
    }
    std::vector<std::string> words = {"-S", "-device", device(*model, "rp0").dump()};
    for (const auto &more : {shared_ram("256M"), bridges({size})}) {
        words.insert(words.begin(), more.begin(), more.end());
    }
    auto machine = Machine::start(setting, folder, words);
    if (!machine) {
        return tl::unexpected(machine.error());
    }
    auto rss_of = resident(machine->process().pid());
    const auto tree = machine->qmp().hmp("info mtree");
    if (!tree) {
        return tl::unexpected(tree.error());
    }
    return Start{machine->seconds(), std::move(rss_of), memory_regions(*tree)};
}

template <typename Get> Samples samples_of(const std::vector<Start> &starts, const Get &get) {
    std::vector<double> values;
    values.reserve(starts.size());
    for (std::size_t i = 0; i < starts.size(); ++i) {
        values.push_back(get(i));
    }
    return middle(std::move(values));
}

SizeRow row_of(const Setting &setting, const std::string &size, const std::vector<Start> &starts,
               const std::vector<Start> &smallest) {
    SizeRow row;
    row.size = size;
    row.bytes = parse_size(size).value_or(0);
    row.startup_s = samples_of(starts, [&](std::size_t i) { return starts[i].seconds; });
    row.startup_more_s =
        samples_of(starts, [&](std::size_t i) { return starts[i].seconds - smallest[i].seconds; });
    row.rss_mib = samples_of(starts, [&](std::size_t i) { return starts[i].rss(); });
    row.rss_of = starts.back().rss_of;
    // A bit for each page of 4 KiB. QEMU has three such bitmaps; of a device's memory only TCG's
    // is written.
    row.dirty_bitmaps_mib = setting.accel == "tcg" ? static_cast<double>(row.bytes) / 4096 / 8 /
                                                         static_cast<double>(MiB)
                                                   : 0;
    row.memory_regions = starts.back().regions;
    return row;
}

double milliseconds_since(Clock::time_point begin) {
    return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

} // namespace

Result<std::vector<SizeRow>> measure_sizes(const Setting &setting, const fs::path &folder) {
    std::map<std::string, std::vector<Start>> starts;
    // The first turn is to warm up.
    for (unsigned turn = 0; turn < 1 + setting.starts; ++turn) {
        for (const auto &size : setting.sizes) {
            auto one = start_once(setting, folder, size);
            if (!one) {
                return tl::unexpected(one.error());
            }
            if (turn > 0) {
                starts[size].push_back(std::move(*one));
            }
        }
    }
    std::vector<SizeRow> rows;
    rows.reserve(setting.sizes.size());
    for (const auto &size : setting.sizes) {
        rows.push_back(row_of(setting, size, starts[size], starts[setting.sizes[0]]));
    }
    return rows;
}

Result<Hotplug> measure_hotplug(const Setting &setting, const fs::path &folder) {
    std::vector<std::string> words = {"-S"};
    for (const auto &more : {shared_ram("256M"), bridges({"256M"})}) {
        words.insert(words.end(), more.begin(), more.end());
    }
    auto machine = Machine::start(setting, folder, words);
    if (!machine) {
        return tl::unexpected(machine.error());
    }
    std::vector<double> add;
    std::vector<double> del;
    for (unsigned round = 0; round < setting.rounds; ++round) {
        const auto model = DeviceProcess::start(folder / "plugged");
        if (!model) {
            return tl::unexpected(model.error());
        }
        auto arguments = device(*model, "rp0");
        arguments["id"] = "plugged";
        auto begin = Clock::now();
        if (const auto done = machine->qmp().ask("device_add", arguments); !done) {
            return tl::unexpected(done.error());
        }
        add.push_back(milliseconds_since(begin));
        begin = Clock::now();
        if (const auto done = machine->qmp().ask("device_del", {{"id", "plugged"}}); !done) {
            return tl::unexpected(done.error());
        }
        if (const auto gone = machine->qmp().wait_event("DEVICE_DELETED", std::chrono::seconds(10));
            !gone) {
            return tl::unexpected(gone.error());
        }
        del.push_back(milliseconds_since(begin));
    }
    return Hotplug{middle(std::move(add)), middle(std::move(del))};
}

} // namespace type2::bench
