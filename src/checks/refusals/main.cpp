// SPDX-License-Identifier: GPL-2.0-or-later
// check-refusals: what QEMU says, what the tests expect and what the manual quotes. Command line
// and TAP only.
#include "base/paths.h"
#include "base/program.h"
#include "base/tap.h"
#include "base/text.h"
#include "checks/refusals/compare.h"

#include <CLI/App.hpp>
#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace {

int run(int argc, char **argv) {
    using namespace type2::refusals;
    CLI::App app("Compares what QEMU says, what the tests expect and what the manual quotes.",
                 "check-refusals");
    auto checkout = type2::top().string();
    app.add_option("checkout", checkout, "Whose texts; default: this one's")->type_name("FOLDER");
    CLI11_PARSE(app, argc, argv);
    const auto texts = read_texts(checkout);
    type2::Tap tap;
    tap.check(fmt::format("refusals: {} rows of the manual, {} tests in tables, {} texts of the "
                          "sources agree",
                          texts.rows.size(), texts.cases.size(), texts.messages.size()),
              type2::joined(differences(texts), "\n"));
    return tap.end();
}

} // namespace

int main(int argc, char **argv) {
    return type2::run_program("check-refusals", 1, [&] { return run(argc, argv); });
}
