// SPDX-License-Identifier: GPL-2.0-or-later
// What came of a run: as JSON, as a table, as a picture.
#pragma once

#include "bench/guest.h"
#include "bench/sizes.h"

#include <filesystem>
#include <string>
#include <vector>

namespace type2::bench {

/// What it ran on.
struct Facts {
    std::string cpu;
    unsigned cores = 0;
    std::uint64_t memory_mib = 0;
    std::string kernel; ///< name, release and machine of it
    double load = 0;    ///< of the minute before the start
    std::string qemu;
    std::string accel;
    std::string machine;
    std::string guest; ///< the guest's kernel
    bool smoke = false;
    unsigned rounds = 0;
};

struct Target {
    std::string name; ///< ends in "at least" or "at most"
    double wanted = 0;
    double found = 0;
    bool met = false;
};

struct Report {
    Facts facts;
    GuestResult guest;
    Hotplug hotplug;
    std::vector<SizeRow> sizes; ///< ascending, one at least
};

/// Error: QEMU does not tell its version.
Result<Facts> facts_of_machine(const Setting &setting);

/// A memory of Piece, and a ratio, as people read them.
const char *name_of(const std::string &memory);
std::string name_of(const Ratio &ratio);

/// What was aimed at, and what was found.
std::vector<Target> targets(const Report &report);

/// One object on several lines.
std::string as_json(const Report &report);
/// For people.
std::string as_table(const Report &report);
/// A script for gnuplot that draws a PNG at `picture`.
std::string as_gnuplot(const Report &report, const std::filesystem::path &picture);

} // namespace type2::bench
