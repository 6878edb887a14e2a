// SPDX-License-Identifier: GPL-2.0-or-later
#include "checks/refusals/compare.h"

#include "base/files.h"
#include "base/text.h"
#include "checks/refusals/format.h"

#include <algorithm>
#include <array>
#include <deque>
#include <filesystem>
#include <fmt/format.h>
#include <set>

namespace type2::refusals {

namespace {

namespace fs = std::filesystem;

struct Folder {
    const char *path;
    const char *files; ///< expression for the whole name
};

constexpr std::array Sources = {Folder{"hw/vfio", R"(cxl.*\.c)"},
                                Folder{"hw/cxl", R"(cxl-host-decoder\.c)"}};
constexpr std::array Tests = {Folder{"tests/qtest", R"((test-)?vfio-cxl.*\.c)"},
                              Folder{"tests/unit", R"((test-)?vfio-cxl.*\.c)"}};

struct Excuse {
    const char *format;
    const char *why;
};

// Said only if something fails that no test can make fail
constexpr std::array Unprovoked = {
    Excuse{"CXL: setting up memory region %d failed", "an ioctl that worked a moment before"},
    Excuse{"CXL: no information on BAR %u", "a BAR of which QEMU had the information before"},
    Excuse{"CXL: decoder %u does not fit at 0x%x", "the window was found large enough before"},
    Excuse{"CXL: the cache write-back before a reset was not done: the CXL DVSEC at 0x%x cannot "
           "be accessed; the reset goes on, what the device had cached may be lost",
           "a device that is gone, and says so by itself"},
    Excuse{"CXL: KVM of this host does not map the memory of devices cacheable, expected "
           "capability KVM_CAP_ARM_CACHEABLE_PFNMAP_SUPPORTED",
           "KVM on an Arm host without S2FWB: testbed/jobs/kvm-refused"},
    Excuse{"CXL: memory region %d cannot be mapped, expected that it can: with KVM on Arm a guest "
           "dies of accesses that trap",
           "KVM on an Arm host, and a device without mmap"},
};

/// A literal of a test that is shorter says nothing of its own.
constexpr std::size_t ShortestExpectation = 16;

/// Paths of the files, relative to the checkout, sorted.
std::vector<std::string> files_in(const std::string &checkout, const Folder &folder) {
    std::vector<std::string> paths;
    std::error_code error;
    const RE2 expression(folder.files);
    for (const auto &entry : fs::directory_iterator(fs::path(checkout) / folder.path, error)) {
        const auto name = entry.path().filename().string();
        if (RE2::FullMatch(name, expression)) {
            paths.push_back(fmt::format("{}/{}", folder.path, name));
        }
    }
    std::sort(paths.begin(), paths.end());
    return paths;
}

std::string read(const std::string &checkout, const std::string &path) {
    return read_file(checkout + "/" + path);
}

bool is_excused(const std::string &format) {
    return std::any_of(Unprovoked.begin(), Unprovoked.end(),
                       [&](const Excuse &excuse) { return format == excuse.format; });
}

/// From the manual to the tests and back.
void compare_tests(const Texts &texts, std::vector<std::string> &problems) {
    // A deque: an expression does not move.
    std::deque<Format> expectations;
    for (const auto &test : texts.tests) {
        for (const auto &literal : literals(test)) {
            if (literal.size() >= ShortestExpectation) {
                expectations.emplace_back(literal);
            }
        }
    }
    std::set<std::string> named;
    for (const auto &row : texts.rows) {
        const auto &what = row.configuration;
        const auto found = texts.cases.find(row.test.substr(row.test.rfind('/') + 1));
        if (row.test.starts_with("refuse/") && found != texts.cases.end()) {
            named.insert(found->first);
            if (found->second != row.message) {
                problems.push_back(fmt::format("{}: the manual says\n    {}\n  and test {} "
                                               "expects\n    {}",
                                               what, row.message, row.test, found->second));
            }
            continue;
        }
        const auto quoted = '"' + row.test + '"';
        if (std::none_of(texts.tests.begin(), texts.tests.end(), [&](const std::string &test) {
                return test.find(quoted) != std::string::npos;
            })) {
            problems.push_back(fmt::format("{}: no test is called {}", what, row.test));
        }
        if (std::none_of(expectations.begin(), expectations.end(), [&](const Format &format) {
                return format.has_words() && format.within(row.message);
            })) {
            problems.push_back(fmt::format("{}: no test expects\n    {}", what, row.message));
        }
    }
    for (const auto &[name, text] : texts.cases) {
        if (named.find(name) == named.end()) {
            problems.push_back(fmt::format("test refuse/{} is in no table of {}", name, Manual));
        }
    }
}

/// Between the manual and the sources.
void compare_sources(const Texts &texts, std::vector<std::string> &problems) {
    std::deque<Format> formats;
    for (const auto &[path, format] : texts.messages) {
        formats.emplace_back(format);
    }
    for (const auto &row : texts.rows) {
        if (std::none_of(formats.begin(), formats.end(),
                         [&](const Format &format) { return format.prints(row.message); })) {
            problems.push_back(fmt::format("{}: nothing in {} or {} says\n    {}",
                                           row.configuration, Sources[0].path, Sources[1].path,
                                           row.message));
        }
    }
    for (std::size_t i = 0; i < formats.size(); ++i) {
        const auto &[path, format] = texts.messages[i];
        if (!is_excused(format) &&
            std::none_of(texts.rows.begin(), texts.rows.end(),
                         [&](const Row &row) { return formats[i].prints(row.message); })) {
            problems.push_back(
                fmt::format("{} says what is in no table of {}:\n    {}", path, Manual, format));
        }
    }
    for (const auto &excuse : Unprovoked) {
        if (std::none_of(texts.messages.begin(), texts.messages.end(),
                         [&](const auto &message) { return message.second == excuse.format; })) {
            problems.push_back(
                fmt::format("src/checks/refusals excuses what nobody says: {}", excuse.format));
        }
    }
}

} // namespace

Texts read_texts(const std::string &checkout) {
    Texts texts;
    texts.rows = rows_of(read(checkout, Manual));
    for (const auto &folder : Sources) {
        for (const auto &path : files_in(checkout, folder)) {
            for (const auto &said : refusals_in(without_comments(read(checkout, path)))) {
                // What is put before another text, or behind one, is no text of its own.
                if (said.call != "error_prepend" && !said.format.starts_with("%s; ")) {
                    texts.messages.emplace_back(path, said.format);
                }
            }
        }
    }
    for (const auto &folder : Tests) {
        for (const auto &path : files_in(checkout, folder)) {
            texts.tests.push_back(without_comments(read(checkout, path)));
            for (auto &[name, text] : table_tests(texts.tests.back())) {
                texts.cases.insert_or_assign(name, std::move(text));
            }
        }
    }
    return texts;
}

std::vector<std::string> differences(const Texts &texts) {
    std::vector<std::string> problems;
    compare_tests(texts, problems);
    compare_sources(texts, problems);
    if (texts.rows.empty() || texts.cases.empty() || texts.messages.empty()) {
        problems.emplace_back("found nothing to compare");
    }
    return problems;
}

} // namespace type2::refusals
