// SPDX-License-Identifier: GPL-2.0-or-later
#include "bench/report.h"

#include "base/size.h"

#include <fmt/format.h>

namespace type2::bench {

namespace {

// A block of data of gnuplot's: name, median, least and most of each ratio to a memory.
std::string block(const std::vector<Ratio> &ratios, const std::string &memory) {
    std::string out = "$" + memory + " << EOD\n";
    for (const auto &ratio : ratios) {
        if (ratio.memory == memory) {
            out += fmt::format("\"{}\\n{}\" {} {} {}\n", ratio.what, format_size(ratio.bytes),
                               ratio.ratio.median, ratio.ratio.min, ratio.ratio.max);
        }
    }
    return out + "EOD\n";
}

} // namespace

std::string as_gnuplot(const Report &report, const std::filesystem::path &picture) {
    const auto &on = report.facts;
    std::string sizes = "$sizes << EOD\n";
    for (const auto &row : report.sizes) {
        sizes += fmt::format("{} {} {}\n", row.size, row.rss_mib.median, row.startup_s.median);
    }
    return fmt::format("set terminal pngcairo size 1400,440 font \"sans,10\" noenhanced\n"
                       "set output \"{}\"\n"
                       "set multiplot layout 1,3 title \"CXL Type-2 passthrough: {}, {}, {}, {} "
                       "cores, {}\"\n{}{}{}EOD\n",
                       picture.string(), on.machine, on.accel, on.cpu, on.cores, on.kernel,
                       block(report.guest.ratios, "ram"), block(report.guest.ratios, "type3"),
                       sizes) +
           R"gnuplot(set style fill solid 0.7 border
set boxwidth 0.6
set grid ytics
set bmargin 3
unset key
set title "CXL.mem to RAM (1: as fast)"
set yrange [0:*]
plot $ram using 0:2:xtic(1) with boxes lc rgb "#4c8c4a", \
     $ram using 0:2:3:4 with yerrorbars lc rgb "black", 0.95 lc rgb "red"
set title "CXL.mem to emulated Type-3 (times)"
set logscale y
set yrange [1:*]
plot $type3 using 0:2:xtic(1) with boxes lc rgb "#4a6f8c", \
     $type3 using 0:2:3:4 with yerrorbars lc rgb "black", 100 lc rgb "red"
unset logscale y
set yrange [0:*]
set title "QEMU, by size of the device"
set ylabel "RSS, MiB"
set y2label "start-up, s"
set y2range [0:*]
set y2tics
set key top left
plot $sizes using 0:2:xtic(1) with boxes lc rgb "#b98b3e" title "RSS", \
     $sizes using 0:3 axes x1y2 with linespoints lc rgb "black" pt 7 \
     title "start-up"
)gnuplot";
}

} // namespace type2::bench
