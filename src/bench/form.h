// SPDX-License-Identifier: GPL-2.0-or-later
// The form that readers of bench.json rely on.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace type2::bench {

/// The first place at which `result` has not the form of a report of cxl-type2-bench; empty: it
/// has it.
std::string wrong_form(const nlohmann::json &result);

/// The first set of samples whose least, median and most are out of order, or that has none;
/// empty: all are well. Only a difference may be below zero.
std::string out_of_order(const nlohmann::json &value, const std::string &where = {});

} // namespace type2::bench
