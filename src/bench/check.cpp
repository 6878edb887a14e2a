// SPDX-License-Identifier: GPL-2.0-or-later
// check-bench: that cxl-type2-bench works, in TAP. It runs with the least of everything, and what
// it writes has the form that readers of it rely on. No time is judged here, what is counted is.
#include "base/cleanup.h"
#include "base/files.h"
#include "base/paths.h"
#include "base/process.h"
#include "base/tap.h"
#include "bench/form.h"
#include "bench/machine.h"

#include <cstdio>
#include <exception>
#include <fmt/format.h>
#include <system_error>

namespace {

using namespace type2;
using nlohmann::json;

Result<Outcome> run_bench() {
    Command bench{{bin("cxl-type2-bench"), "--smoke"}};
    // A user's choice for a benchmark of their own is none for this one.
    for (const auto *name : {"ARCH", "ACCEL", "SIZE", "ROUNDS"}) {
        bench.environment[name] = std::nullopt;
    }
    return run(bench, std::chrono::minutes(15));
}

std::string targets_missing_in(const std::string &table, const json &result) {
    std::string missing;
    for (const auto &target : result.at("targets")) {
        const std::string name = target.at("name");
        if (table.find(name) == std::string::npos) {
            missing += name + "\n";
        }
    }
    return missing;
}

// The guest programs a decoder by registers that QEMU answers.
std::string requests_of_programming(const json &result) {
    for (const auto &[name, sequence] : result.at("decoder").at("programming_sequence").items()) {
        if (sequence.at("register_accesses") == 0 || !sequence.at("device_requests").empty()) {
            return fmt::format("{}: {}", name, sequence.dump());
        }
    }
    return {};
}

// 24 MiB is what QEMU's dirty bitmaps of 256 GiB take when all three are written.
std::string too_much_memory(const json &result) {
    const auto &sizes = result.at("sizes");
    const double more = sizes.back().at("rss_mib").at("median").get<double>() -
                        sizes.front().at("rss_mib").at("median").get<double>();
    return more > 16 ? fmt::format("{:.1f} MiB more for {} than for {}", more,
                                   sizes.back().at("size").get<std::string>(),
                                   sizes.front().at("size").get<std::string>())
                     : std::string();
}

int check() {
    Tap tap;
    const auto stem = (build() / "bench" / "smoke").string();
    for (const auto *end : {".json", ".txt", ".png"}) {
        std::error_code ignored;
        std::filesystem::remove(stem + end, ignored);
    }
    const auto run = run_bench();
    const auto wrong = !run               ? run.error().text
                       : run->status != 0 ? fmt::format("exit status {}\n{}", run->status, run->out)
                                          : std::string();
    if (!tap.check("bench runs to its end", wrong)) {
        return tap.end();
    }
    const auto result = json::parse(type2::read_file(stem + ".json"), nullptr, false);
    if (!tap.check("bench.json has its form", bench::wrong_form(result))) {
        return tap.end();
    }
    tap.check("samples are there and in order", bench::out_of_order(result));
    tap.check(
        "bench.png is a picture",
        type2::read_file(stem + ".png").starts_with("\x89PNG\r\n\x1a\n") ? "" : "no PNG signature");
    tap.check("the table tells every target",
              targets_missing_in(type2::read_file(stem + ".txt"), result));
    tap.check("programming a decoder is seen by QEMU and by no device",
              requests_of_programming(result));
    tap.check("the memory of a device has no dirty bitmaps", too_much_memory(result));
    return tap.end();
}

} // namespace

int main() {
    try {
        clean_up_on_signals();
        return check();
    } catch (const std::exception &error) {
        fmt::print("Bail out! {}\n", error.what());
        return 1;
    }
}
