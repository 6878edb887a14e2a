// SPDX-License-Identifier: GPL-2.0-or-later
// A VM with RAM, CXL.mem, an emulated Type-3 and a Type-2 whose decoder the guest programs, in
// which guest/bench.cpp runs.
#pragma once

#include "bench/machine.h"
#include "bench/samples.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace type2::bench {

struct MemorySamples {
    std::optional<Samples> read_mb_s; ///< nothing where it would have taken minutes
    std::optional<Samples> write_mb_s;
    Samples chase_ns; ///< a step
};

/// Pieces of one size of the memories "ram", "cxl" and "type3", measured in turns.
struct Piece {
    std::uint64_t bytes = 0;
    std::map<std::string, MemorySamples> memories;
};

/// How many times better CXL.mem is than another memory, round by round.
struct Ratio {
    std::string memory; ///< the other one
    std::string what;   ///< "read", "write" or "latency"
    std::uint64_t bytes = 0;
    Samples ratio;
};

/// What programming a decoder once takes.
struct Sequence {
    unsigned register_accesses = 0; ///< of the guest, seen by QEMU
    std::map<std::string, unsigned> device_requests;
};

struct GuestResult {
    bool ram_in_2m_pages = false;
    std::vector<Piece> pieces; ///< ascending
    std::vector<Ratio> ratios;
    Samples register_qemu_ns;   ///< a read of a register that QEMU answers
    Samples register_device_ns; ///< of one that the device answers
    Samples register_device_to_qemu;
    Samples commit_us;
    Samples uncommit_us;
    std::map<std::string, Sequence> sequences; ///< "commit", "uncommit"
};

/// Boots it and has it measure. Error: EPROTO with what the guest said, or it does not start.
Result<GuestResult> measure_guest(const Setting &setting, const std::filesystem::path &folder);

/// The key=value words of a line.
std::map<std::string, std::string> facts(const std::string &line);

} // namespace type2::bench
