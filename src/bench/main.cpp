// SPDX-License-Identifier: GPL-2.0-or-later
// cxl-type2-bench: what passing a CXL Type-2 device through costs, and what it gives.
#include "base/cleanup.h"
#include "base/program.h"
#include "base/scratch.h"
#include "base/size.h"
#include "bench/paths.h"
#include "bench/report.h"

#include <CLI/App.hpp>
#include <CLI/CLI.hpp>
#include <cstdio>
#include <fmt/format.h>
#include <fstream>
#include <system_error>

namespace {

using namespace type2;
using namespace type2::bench;
namespace fs = std::filesystem;

constexpr const char *Footer =
    "Everything is measured in one run, memories in turns in one VM, and told as ratios, each\n"
    "round's by itself, so that a machine whose speed drifts does not decide. Nothing here is a\n"
    "test: targets are shown as met or not, the exit status is 0 either way.\n"
    "Writes build/bench/bench.json, bench.txt and bench.png.";

int complain(const std::string &text) {
    fmt::print(stderr, "cxl-type2-bench: {}\n", text);
    return 1;
}

void say(const std::string &text) {
    fmt::print(stderr, "{}\n", text);
}

Result<Report> measure(const Setting &setting) {
    const auto folder = Scratch::make("bench");
    if (!folder) {
        return tl::unexpected(folder.error());
    }
    auto facts = facts_of_machine(setting);
    if (!facts) {
        return tl::unexpected(facts.error());
    }
    say("start-up and memory of QEMU ...");
    auto sizes = measure_sizes(setting, folder->path());
    if (!sizes) {
        return tl::unexpected(sizes.error());
    }
    say("plugging ...");
    const auto hotplug = measure_hotplug(setting, folder->path());
    if (!hotplug) {
        return tl::unexpected(hotplug.error());
    }
    say("a guest ...");
    auto guest = measure_guest(setting, folder->path());
    if (!guest) {
        return tl::unexpected(guest.error());
    }
    return Report{std::move(*facts), std::move(*guest), *hotplug, std::move(*sizes)};
}

Result<void> write(const fs::path &path, const std::string &text) {
    std::ofstream out(path, std::ios::binary);
    out << text << std::flush;
    if (!out) {
        return fail(EIO, fmt::format("{} cannot be written", path.string()));
    }
    return {};
}

Result<void> publish(const Report &report, const std::string &stem) {
    for (const auto &[end, text] :
         {std::pair(".json", as_json(report)), std::pair(".txt", as_table(report))}) {
        if (auto done = write(stem + end, text); !done) {
            return done;
        }
    }
    Command gnuplot{{"gnuplot"}};
    gnuplot.input = as_gnuplot(report, stem + ".png");
    const auto drawn = run(gnuplot, std::chrono::seconds(60));
    if (!drawn || drawn->status != 0) {
        return fail(EIO, fmt::format("gnuplot: {}", drawn ? drawn->out : drawn.error().text));
    }
    return {};
}

// A size that has each smaller piece in it, whole lines and whole pages of 2 MiB.
Result<void> check_size(const std::string &text) {
    const auto size = type2::parse_size(text);
    if (!size) {
        return tl::unexpected(size.error());
    }
    if (*size < 2 * type2::MiB || *size > 128 * type2::MiB || *size % (2 * type2::MiB) != 0) {
        return fail(EINVAL, fmt::format("SIZE={}: expected 2M to 128M, in steps of 2M", text));
    }
    return {};
}

int run_with(Setting setting) {
    if (setting.size.empty()) {
        setting.size = setting.smoke ? "2M" : "32M";
    }
    if (setting.rounds == 0) {
        setting.rounds = setting.smoke ? 2 : 9;
    }
    if (setting.smoke) {
        setting.tries = 1;
        setting.starts = 1;
        setting.sizes = {"256M", "256G"};
    }
    if (const auto good = check_size(setting.size); !good) {
        return complain(good.error().text);
    }
    const auto folder = build() / "bench";
    std::error_code error;
    fs::create_directories(folder, error);
    if (error) {
        return complain(fmt::format("{}: {}", folder.string(), error.message()));
    }
    const auto report = measure(setting);
    if (!report) {
        return complain(report.error().text);
    }
    const std::string name = setting.smoke ? "smoke" : "bench";
    if (const auto done = publish(*report, folder / name); !done) {
        return complain(done.error().text);
    }
    fmt::print("{}\n", as_table(*report));
    std::fflush(stdout);
    say(fmt::format("build/bench/{}.json, .txt, .png", name));
    return 0;
}

int run(int argc, char **argv) {
    CLI::App app("Measures what passing a CXL Type-2 device through costs, and what it gives.",
                 "cxl-type2-bench");
    app.footer(Footer);
    Setting setting;
    setting.size.clear();
    setting.rounds = 0;
    app.add_option("--arch", setting.arch,
                   "The guest: arm64 (virt with EDK2, the default) or amd64 (q35 with SeaBIOS)")
        ->type_name("NAME")
        ->envname("ARCH")
        ->check(CLI::IsMember({"arm64", "amd64"}));
    app.add_option("--accel", setting.accel, "How QEMU runs it: tcg (default) or kvm")
        ->type_name("NAME")
        ->envname("ACCEL")
        ->check(CLI::IsMember({"tcg", "kvm"}));
    app.add_option("--size", setting.size, "Of each memory, the largest piece (default 32M)")
        ->type_name("SIZE")
        ->envname("SIZE");
    app.add_option("--rounds", setting.rounds,
                   "Samples of each quantity, which are the best of five (default 9)")
        ->type_name("N")
        ->envname("ROUNDS")
        ->check(CLI::Range(1, 1000));
    app.add_flag("--smoke", setting.smoke,
                 "The least of everything, to see that it works; writes smoke.* instead");
    CLI11_PARSE(app, argc, argv);
    return run_with(setting);
}

} // namespace

int main(int argc, char **argv) {
    clean_up_on_signals();
    return type2::run_program("cxl-type2-bench", 1, [&] { return run(argc, argv); });
}
