// SPDX-License-Identifier: GPL-2.0-or-later
// cxl-type2-conformance: does this device keep the kernel's contract?
#include "conformance/options.h"

#include "pci/address.h"

#include <algorithm>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <string_view>

namespace type2::conformance {

namespace {

constexpr const char *Usage =
    "usage: cxl-type2-conformance --socket PATH | --vfio DDDD:BB:DD.F [--v6]\n"
    "                             [--gtest_filter=PATTERN] [--gtest_list_tests]\n"
    "Runs the kernel's assertions about a CXL Type-2 device, on whichever generation of the\n"
    "contract it shows: against a vfio-user server, or against a PCI function that a vfio driver\n"
    "of this machine's kernel holds. Writes to the device's memory and resets it. Exit status 0:\n"
    "every item holds (items of the other generation are skipped). With --v6 those of the newest\n"
    "live generation (September 2026) have to hold, too.\n";

Options &changeable_options() {
    static Options value;
    return value;
}

int refuse(const std::string &text) {
    fmt::print(stderr, "cxl-type2-conformance: {}\n{}", text, Usage);
    return 2;
}

} // namespace

const Options &options() {
    return changeable_options();
}

Result<std::unique_ptr<vfio::Target>> open_target() {
    return options().vfio.empty() ? vfio::open_vfio_user(options().socket)
                                  : vfio::open_kernel_vfio(options().vfio);
}

} // namespace type2::conformance

int main(int argc, char **argv) {
    using type2::conformance::refuse;
    auto &options = type2::conformance::changeable_options();
    const bool list = std::any_of(argv, argv + argc, [](const char *arg) {
        return std::string_view(arg) == "--gtest_list_tests";
    });
    // Before GoogleTest sees it, which has a --help of its own.
    if (argc > 1 && std::string_view(argv[1]) == "--help") {
        fmt::print("{}", type2::conformance::Usage);
        return 0;
    }
    ::testing::InitGoogleTest(&argc, argv);
    for (int i = 1; i < argc; ++i) {
        const std::string_view arg = argv[i];
        if (arg == "--version") {
            fmt::print("cxl-type2-conformance {}\n", TYPE2_VERSION);
            return 0;
        }
        if (arg == "--socket" && i + 1 < argc) {
            options.socket = argv[++i];
            continue;
        }
        if (arg == "--vfio" && i + 1 < argc) {
            options.vfio = argv[++i];
            if (!type2::pci::is_address(options.vfio)) {
                return refuse(fmt::format("--vfio '{}': not a PCI function, expected one like "
                                          "0000:01:00.0",
                                          options.vfio));
            }
            continue;
        }
        if (arg == "--v6") {
            options.v6 = true;
            continue;
        }
        return refuse(fmt::format("'{}' is not an option, or its value is missing", arg));
    }
    if (list) {
        return RUN_ALL_TESTS();
    }
    if (options.socket.empty() == options.vfio.empty()) {
        return refuse("one of --socket PATH and --vfio DDDD:BB:DD.F is required");
    }
    // Said once, not by each of the items. A server may be one that takes a single connection.
    if (!options.vfio.empty()) {
        const auto target = type2::conformance::open_target();
        if (!target) {
            fmt::print(stderr, "cxl-type2-conformance: {}\n", target.error().text);
            return 1;
        }
    }
    return RUN_ALL_TESTS();
}
