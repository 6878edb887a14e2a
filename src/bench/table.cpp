// SPDX-License-Identifier: GPL-2.0-or-later
#include "bench/report.h"

#include "base/size.h"

#include <fmt/format.h>
#include <optional>

namespace type2::bench {

namespace {

// Lines of the table: a name, a value, a note.
class Lines {
  public:
    void head(const std::string &text) { text_ += (text_.empty() ? "" : "\n") + text + "\n"; }
    void row(const std::string &name, const std::string &value, const std::string &note = {}) {
        add(fmt::format("  {:<50} {:<34} {}", name, value, note));
    }
    void add(std::string line) {
        line.erase(line.find_last_not_of(' ') + 1);
        text_ += line + "\n";
    }
    std::string take() { return std::move(text_); }

  private:
    std::string text_;
};

void add_memories(Lines &out, const GuestResult &guest) {
    constexpr const char *Row = "  {:<28} {:<30} {:<30} {}";
    out.head("The guest's memories, median [least .. most]");
    out.add(fmt::format(Row, "", name_of("ram"), name_of("cxl"), name_of("type3")));
    const auto rows = [&](const char *name, const auto &get) {
        for (const auto &piece : guest.pieces) {
            const auto cell = [&](const char *memory) {
                const std::optional<Samples> samples = get(piece.memories.at(memory));
                return samples ? number(*samples) : "-";
            };
            out.add(fmt::format(Row, fmt::format("{}, {}", name, format_size(piece.bytes)),
                                cell("ram"), cell("cxl"), cell("type3")));
        }
    };
    rows("read, MB/s", [](const MemorySamples &memory) { return memory.read_mb_s; });
    rows("write, MB/s", [](const MemorySamples &memory) { return memory.write_mb_s; });
    rows("pointer chase, ns", [](const MemorySamples &memory) { return memory.chase_ns; });
    if (!guest.ram_in_2m_pages) {
        out.add("  NOTE: RAM was not in 2 MiB pages, CXL.mem was");
    }
}

void add_registers(Lines &out, const Report &report) {
    const auto &guest = report.guest;
    out.head("Registers and decoders");
    out.row("decoder register, answered in QEMU, ns", number(guest.register_qemu_ns));
    out.row("register that goes to the device, ns", number(guest.register_device_ns));
    out.row("commit, us", number(guest.commit_us));
    out.row("uncommit, us", number(guest.uncommit_us));
    for (const auto &[name, sequence] : guest.sequences) {
        unsigned requests = 0;
        std::string kinds;
        for (const auto &[command, count] : sequence.device_requests) {
            requests += count;
            kinds += fmt::format(" {} {}", count, command);
        }
        out.row(fmt::format("exits of a sequence to {}", name),
                fmt::format("{} register accesses", sequence.register_accesses),
                fmt::format("requests to the device: {}{}", requests, kinds));
    }
    out.row("device_add, ms", number(report.hotplug.device_add_ms));
    out.row("device_del, ms", number(report.hotplug.device_del_ms));
}

void add_sizes(Lines &out, const std::vector<SizeRow> &sizes) {
    out.head("Size of the device\n  size   start-up, s                   RSS, MiB  regions  RSS of "
             "heap and bitmaps / bitmaps alone / device memory, MiB");
    for (const auto &row : sizes) {
        out.add(fmt::format("  {:<6} {:<29} {:<9.1f} {:<8} {:.1f} / {:.1f} / {:.1f}", row.size,
                            number(row.startup_s), row.rss_mib.median, row.memory_regions,
                            row.rss_of.at("heap and bitmaps"), row.dirty_bitmaps_mib,
                            row.rss_of.at("device memory")));
    }
}

} // namespace

std::string as_table(const Report &report) {
    Lines out;
    const auto &on = report.facts;
    out.head("Ran on");
    out.row("cpu", on.cpu);
    out.row("cores", fmt::format("{}", on.cores));
    out.row("memory_mib", fmt::format("{}", on.memory_mib));
    out.row("kernel", on.kernel);
    out.row("load", fmt::format("{:.2f}", on.load));
    out.row("qemu", on.qemu);
    out.row("accel", on.accel);
    out.row("machine", on.machine);
    out.row("guest", on.guest);
    add_memories(out, report.guest);
    out.head("Ratios, round by round");
    for (const auto &ratio : report.guest.ratios) {
        out.row(name_of(ratio), number(ratio.ratio));
    }
    out.row("register of the device to one in QEMU, time",
            number(report.guest.register_device_to_qemu));
    add_registers(out, report);
    add_sizes(out, report.sizes);
    out.head("Targets");
    for (const auto &target : targets(report)) {
        out.add(fmt::format("  {:<66} {:<12} {}", fmt::format("{} {}", target.name, target.wanted),
                            number(target.found), target.met ? "met" : "NOT met"));
    }
    return out.take();
}

} // namespace type2::bench
