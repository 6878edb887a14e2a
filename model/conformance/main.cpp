// SPDX-License-Identifier: GPL-2.0-or-later
// cxl-type2-conformance: does the device behind this socket keep the kernel's contract?
#include "conformance/options.h"
#include "version.h"

#include <algorithm>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <string_view>

namespace model::conformance {

namespace {

constexpr const char *Usage =
    "usage: cxl-type2-conformance --socket PATH [--gtest_filter=PATTERN] [--gtest_list_tests]\n"
    "Runs the kernel's assertions about a CXL Type-2 device against a vfio-user server, on\n"
    "whichever generation of the contract the server presents. Writes to the device's memory and\n"
    "resets it. Exit status 0: every item holds (items of the other generation are skipped).\n";

Options &mutable_options() {
    static Options value;
    return value;
}

} // namespace

const Options &options() {
    return mutable_options();
}

} // namespace model::conformance

int main(int argc, char **argv) {
    using model::conformance::mutable_options;
    const bool list = std::any_of(argv, argv + argc, [](const char *arg) {
        return std::string_view(arg) == "--gtest_list_tests";
    });
    // Before GoogleTest sees it, which has a --help of its own.
    if (argc > 1 && std::string_view(argv[1]) == "--help") {
        fmt::print("{}", model::conformance::Usage);
        return 0;
    }
    ::testing::InitGoogleTest(&argc, argv);
    for (int i = 1; i < argc; ++i) {
        const std::string_view arg = argv[i];
        if (arg == "--version") {
            fmt::print("cxl-type2-conformance {}\n", MODEL_VERSION);
            return 0;
        }
        if (arg == "--socket" && i + 1 < argc) {
            mutable_options().socket = argv[++i];
            continue;
        }
        fmt::print(stderr, "cxl-type2-conformance: '{}' is not an option\n{}", arg,
                   model::conformance::Usage);
        return 2;
    }
    if (mutable_options().socket.empty() && !list) {
        fmt::print(stderr, "cxl-type2-conformance: --socket PATH is required\n{}",
                   model::conformance::Usage);
        return 2;
    }
    return RUN_ALL_TESTS();
}
