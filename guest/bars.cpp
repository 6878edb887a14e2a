// SPDX-License-Identifier: GPL-2.0-or-later
#include "bars.h"

#include <algorithm>
#include <array>
#include <cinttypes>
#include <map>
#include <optional>
#include <sstream>

namespace guest {

namespace {

struct Found {
    std::string device, what;
    std::uint64_t start = 0, end = 0;
};

// A line of the scan: "pci 0000:0d:00.0: BAR 0 [mem 0x8000000000-0x80000fffff 64bit pref]",
// or "bridge window [mem ...". Other lines say what Linux did later.
std::optional<Found> parse(const std::string &line) {
    std::array<char, 32> device{}, flags{};
    Found found;
    unsigned bar = 0;
    const auto at = line.find("pci ");
    if (at == std::string::npos) return std::nullopt;
    const char *text = line.c_str() + at;
    if (std::sscanf(text, "pci %31s BAR %u [mem 0x%" SCNx64 "-0x%" SCNx64 "%31[^]]]",
                    device.data(), &bar, &found.start, &found.end, flags.data()) >= 4)
        found.what = "BAR " + std::to_string(bar);
    else if (std::sscanf(text, "pci %31s bridge window [mem 0x%" SCNx64 "-0x%" SCNx64 "%31[^]]]",
                         device.data(), &found.start, &found.end, flags.data()) >= 3)
        found.what = std::string(flags.data()).find("pref") != std::string::npos
                         ? "prefetchable window" : "window";
    else
        return std::nullopt;
    // "...: assigned", "...: releasing" and the like
    if (!line.ends_with("]")) return std::nullopt;
    found.device = device.data();
    if (found.device.ends_with(":")) found.device.pop_back();
    return found;
}

// What Linux uses: lines "start end flags"
bool uses(const fs::path &device, std::uint64_t start, std::uint64_t end) {
    std::istringstream lines(read_file(device / "resource"));
    for (std::string line; std::getline(lines, line);) {
        std::uint64_t a = 0, b = 0;
        if (std::sscanf(line.c_str(), "0x%" SCNx64 " 0x%" SCNx64, &a, &b) == 2 && a == start && b == end)
            return true;
    }
    return false;
}

// The largest BAR that has an address.
std::uint64_t largest_placed(const fs::path &device) {
    std::istringstream lines(read_file(device / "resource"));
    std::uint64_t largest = 0;
    int n = 0;
    for (std::string line; n < 6 && std::getline(lines, line); ++n) {
        std::uint64_t start = 0, end = 0;
        if (std::sscanf(line.c_str(), "0x%" SCNx64 " 0x%" SCNx64, &start, &end) == 2 && start != 0)
            largest = std::max(largest, end - start + 1);
    }
    return largest;
}

}  // namespace

void tell_bars(Tap &tap, const fs::path &pci, bool must_stay) {
    // /sys/devices/pci0000:0c/0000:0c:00.0/0000:0d:00.0
    fs::path bridge = resolve(pci);
    while (bridge.has_relative_path() && !bridge.filename().string().starts_with("pci0")) bridge = bridge.parent_path();
    std::istringstream log(kernel_log());
    std::map<std::string, Found> first;
    for (std::string line; std::getline(log, line);)
        if (const auto found = parse(line); found && found->start != 0) {
            const fs::path device = resolve(fs::path("/sys/bus/pci/devices") / found->device);
            if (device.string().starts_with(bridge.string() + "/"))
                first.emplace(found->device + " " + found->what, *found);
        }
    unsigned kept = 0, moved = 0;
    std::uint64_t largest = 0;
    for (const auto &[name, found] : first) {
        const bool stays = uses(fs::path("/sys/bus/pci/devices") / found.device, found.start, found.end);
        ++(stays ? kept : moved);
        if (found.what.starts_with("BAR")) largest = std::max(largest, found.end - found.start + 1);
        say("# linux: " + name + text(": firmware put it at 0x%" PRIx64 "-0x%" PRIx64 ", %s", found.start, found.end,
                                      stays ? "where it is" : "Linux moved it"));
    }
    say(text("CXL2: bars_kept=%u bars_moved=%u bars_largest=%" PRIu64 " bars_placed=%" PRIu64, kept, moved, largest,
             largest_placed(pci)));
    if (must_stay)
        tap.check(kept > 0 && moved == 0, bridge.filename().string() +
                                              text(": %u BARs and windows are where firmware put them, %u are not", kept, moved));
}

}  // namespace guest
