// SPDX-License-Identifier: GPL-2.0-or-later
// What a device costs QEMU, by its size: time to start, memory, memory regions; and plugging.
#pragma once

#include "bench/machine.h"
#include "bench/samples.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace type2::bench {

struct SizeRow {
    std::string size;
    std::uint64_t bytes = 0;
    Samples startup_s;
    Samples startup_more_s; ///< each start less that with the smallest device, of the same turn
    Samples rss_mib;
    std::map<std::string, double> rss_of; ///< MiB, by what they are for
    double dirty_bitmaps_mib = 0;         ///< of QEMU's dirty bitmaps, what is written at all
    unsigned memory_regions = 0;          ///< in the address space "memory"
};

struct Hotplug {
    Samples device_add_ms;
    Samples device_del_ms; ///< until the event that it is gone
};

/// One row for each of setting.sizes. Error: QEMU or the model does not start.
Result<std::vector<SizeRow>> measure_sizes(const Setting &setting,
                                           const std::filesystem::path &folder);

/// A device of 256 MiB and a machine that stands still. Error: as above, or it does not go.
Result<Hotplug> measure_hotplug(const Setting &setting, const std::filesystem::path &folder);

} // namespace type2::bench
