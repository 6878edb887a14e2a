// SPDX-License-Identifier: GPL-2.0-or-later
#include "preflight/print.h"

#include "base/size.h"
#include "preflight/advice.h"

#include <algorithm>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace type2::preflight {

namespace {

std::string subject(const Facts &facts) {
    return facts.address.empty() ? facts.socket : facts.address;
}

std::string verdict(const Report &report) {
    const auto skipped = report.count(Status::Skipped);
    const auto warnings = report.count(Status::Warning);
    auto text = report.ready() ? std::string("ready")
                               : fmt::format("NOT READY: {} failed", report.count(Status::Failed));
    if (warnings != 0) {
        text += fmt::format(", {} warning{}", warnings, warnings == 1 ? "" : "s");
    }
    if (skipped != 0) {
        text += fmt::format(", {} not looked at", skipped);
    }
    return text;
}

std::string joined(const std::vector<std::string> &line, const char *between) {
    return fmt::format("{}", fmt::join(line, between));
}

} // namespace

bool has_advice(const Report &report) {
    return report.ready() && report.window != 0;
}

std::string as_text(const Facts &facts, const Plan &plan, const Report &report) {
    std::size_t id_width = 0;
    for (const auto &check : report.checks) {
        id_width = std::max(id_width, check.id.size());
    }
    auto text = fmt::format("{}\n\n", subject(facts));
    for (const auto &check : report.checks) {
        text += fmt::format("  {:<{}}  {:<7}  {}\n", check.id, id_width, status_name(check.status),
                            check.found);
        if (!check.advice.empty()) {
            text += fmt::format("  {:<{}}           do: {}\n", "", id_width, check.advice);
        }
    }
    text += fmt::format("\n{}: {}\n", subject(facts), verdict(report));
    if (has_advice(report)) {
        text += fmt::format("\nQEMU:\n\n{}\n\nlibvirt:\n\n{}",
                            joined(command_line(facts, plan, report), " \\\n  "),
                            libvirt_xml(facts, plan, report));
    }
    return text;
}

std::string as_json(const Facts &facts, const Plan &plan, const Report &report) {
    using nlohmann::ordered_json;
    ordered_json root;
    root["device"] = facts.address.empty() ? ordered_json(nullptr) : ordered_json(facts.address);
    root["socket"] = facts.socket.empty() ? ordered_json(nullptr) : ordered_json(facts.socket);
    root["ready"] = report.ready();
    root["checks"] = ordered_json::array();
    for (const auto &check : report.checks) {
        ordered_json one;
        one["id"] = check.id;
        auto status = std::string(status_name(check.status));
        std::transform(status.begin(), status.end(), status.begin(),
                       [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        one["status"] = status;
        one["found"] = check.found;
        one["advice"] = check.advice;
        root["checks"].push_back(one);
    }
    root["window_bytes"] = report.window;
    root["decoders"] = report.guest_mode ? "guest" : "locked";
    root["phys_bits"] = report.phys_bits;
    root["command_line"] = has_advice(report)
                               ? ordered_json(joined(command_line(facts, plan, report), " "))
                               : ordered_json(nullptr);
    root["libvirt_xml"] =
        has_advice(report) ? ordered_json(libvirt_xml(facts, plan, report)) : ordered_json(nullptr);
    return root.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

} // namespace type2::preflight
