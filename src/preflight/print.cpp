// SPDX-License-Identifier: GPL-2.0-or-later
#include "preflight/print.h"

#include "base/text.h"
#include "preflight/command_line.h"

#include <algorithm>
#include <cctype>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace type2::preflight {

namespace {

using Json = nlohmann::ordered_json;

std::string subject(const DeviceFacts &device) {
    return device.address.empty() ? device.socket : device.address;
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

std::string table(const std::vector<Check> &checks, std::size_t width) {
    std::string text;
    for (const auto &check : checks) {
        text += fmt::format("  {:<{}}  {:<7}  {}\n", check.id, width, status_name(check.status),
                            check.found);
        if (!check.advice.empty()) {
            text += fmt::format("  {:<{}}           do: {}\n", "", width, check.advice);
        }
    }
    return text;
}

Json json_of(const std::vector<Check> &checks) {
    Json list = Json::array();
    for (const auto &check : checks) {
        auto status = std::string(status_name(check.status));
        std::transform(status.begin(), status.end(), status.begin(),
                       [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        list.push_back({{"id", check.id},
                        {"status", status},
                        {"found", check.found},
                        {"advice", check.advice}});
    }
    return list;
}

Json text_or_null(const std::string &text) {
    return text.empty() ? Json(nullptr) : Json(text);
}

} // namespace

std::string as_text(const Facts &facts, const Report &report) {
    std::size_t width = 0;
    const auto widen = [&width](const std::vector<Check> &checks) {
        for (const auto &check : checks) {
            width = std::max(width, check.id.size());
        }
    };
    std::for_each(report.devices.begin(), report.devices.end(), widen);
    widen(report.host);
    const bool one = facts.devices.size() == 1;
    std::string text;
    std::string subjects;
    for (std::size_t i = 0; i < facts.devices.size(); ++i) {
        text += fmt::format("{}\n\n{}{}", subject(facts.devices[i]),
                            table(report.devices[i], width), one ? "" : "\n");
        subjects += (subjects.empty() ? "" : ", ") + subject(facts.devices[i]);
    }
    text += (one ? "" : "the host\n\n") + table(report.host, width);
    text += fmt::format("\n{}: {}\n", subjects, verdict(report));
    if (report.has_advice()) {
        text += fmt::format("\nQEMU:\n\n{}\n\nlibvirt:\n\n{}",
                            joined(command_line(facts, report.plan), " \\\n  "),
                            libvirt_xml(facts, report.plan));
    }
    return text;
}

std::string as_json(const Facts &facts, const Report &report) {
    Json root;
    root["ready"] = report.ready();
    root["devices"] = Json::array();
    for (std::size_t i = 0; i < facts.devices.size(); ++i) {
        const auto &planned = report.plan.devices[i];
        root["devices"].push_back({{"device", text_or_null(facts.devices[i].address)},
                                   {"socket", text_or_null(facts.devices[i].socket)},
                                   {"ready", report.ready(i)},
                                   {"checks", json_of(report.devices[i])},
                                   {"window_bytes", planned.window},
                                   {"decoders", planned.guest_mode ? "guest" : "locked"}});
    }
    root["host"] = {{"checks", json_of(report.host)},
                    {"arch", report.plan.arch},
                    {"kvm", report.plan.kvm},
                    {"phys_bits", report.plan.phys_bits},
                    {"pci_space_bytes", report.plan.pci_space}};
    const bool advice = report.has_advice();
    root["command_line"] =
        advice ? Json(joined(command_line(facts, report.plan), " ")) : Json(nullptr);
    root["libvirt_xml"] = advice ? Json(libvirt_xml(facts, report.plan)) : Json(nullptr);
    return root.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

} // namespace type2::preflight
