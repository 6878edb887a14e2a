// SPDX-License-Identifier: GPL-2.0-or-later
// Samples of one quantity, and what is told of them.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace type2::bench {

struct Samples {
    double min = 0;
    double median = 0;
    double max = 0;
    std::size_t samples = 0;
};

/// What is told of `values`; all 0 where there are none.
Samples middle(std::vector<double> values);
/// Sample by sample over[i] / under[i]; of the shorter's length.
Samples ratios(const std::vector<double> &over, const std::vector<double> &under);

/// Three digits, or all before the point in groups: "0.956", "12,345".
std::string number(double value);
/// "median  [least .. most]"
std::string number(const Samples &samples);

void to_json(nlohmann::json &json, const Samples &samples);

} // namespace type2::bench
