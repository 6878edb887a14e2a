// SPDX-License-Identifier: GPL-2.0-or-later
// From facts to verdicts: what is right, what is not, and what to do about it. No I/O.
#pragma once

#include "preflight/facts.h"

#include <string>
#include <vector>

namespace type2::preflight {

enum class Status { Ok, Warning, Failed, Skipped };

/// "ok", "warning", "FAILED", "skipped"
const char *status_name(Status status);

struct Check {
    std::string id;
    Status status = Status::Skipped;
    std::string found;  ///< or why it was skipped
    std::string advice; ///< what to do; empty where nothing is to be done
};

/// The guest that is planned.
struct Plan {
    std::uint64_t ram = 0; ///< bytes
    unsigned cpus = 0;
};

struct Report {
    std::vector<Check> checks;
    std::uint64_t window = 0; ///< bytes that the fixed window needs; 0: not known
    bool guest_mode = false;  ///< the guest programs the decoders
    bool ask_for_it = false;  ///< and QEMU has to be told so
    unsigned phys_bits = 0;   ///< that the guest needs

    bool ready() const;
    std::size_t count(Status status) const;
};

Report judge(const Facts &facts, const Plan &plan);

/// Address bits that a guest needs for a window of this size, by where QEMU puts it.
unsigned needed_bits(const std::string &arch, std::uint64_t ram, std::uint64_t window);

} // namespace type2::preflight
