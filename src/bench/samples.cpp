// SPDX-License-Identifier: GPL-2.0-or-later
#include "bench/samples.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace type2::bench {

Samples middle(std::vector<double> values) {
    if (values.empty()) {
        return {};
    }
    std::sort(values.begin(), values.end());
    const auto half = values.size() / 2;
    const double median =
        values.size() % 2 != 0 ? values[half] : (values[half - 1] + values[half]) / 2;
    return {values.front(), median, values.back(), values.size()};
}

Samples ratios(const std::vector<double> &over, const std::vector<double> &under) {
    std::vector<double> values;
    for (std::size_t i = 0; i < std::min(over.size(), under.size()); ++i) {
        values.push_back(over[i] / under[i]);
    }
    return middle(std::move(values));
}

std::string number(double value) {
    if (std::abs(value) < 1000) {
        return fmt::format("{:.3g}", value);
    }
    std::string text = fmt::format("{:.0f}", value);
    const std::size_t digits = value < 0 ? 1 : 0;
    for (auto at = text.size(); at > digits + 3;) {
        at -= 3;
        text.insert(at, 1, ',');
    }
    return text;
}

std::string number(const Samples &samples) {
    return fmt::format("{}  [{} .. {}]", number(samples.median), number(samples.min),
                       number(samples.max));
}

void to_json(nlohmann::json &json, const Samples &samples) {
    json = {{"min", samples.min},
            {"median", samples.median},
            {"max", samples.max},
            {"samples", samples.samples}};
}

} // namespace type2::bench
