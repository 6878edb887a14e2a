// SPDX-License-Identifier: GPL-2.0-or-later
#include "preflight/report.h"

#include <algorithm>

namespace type2::preflight {

namespace {

std::size_t count_in(const std::vector<Check> &checks, Status status) {
    return static_cast<std::size_t>(std::count_if(
        checks.begin(), checks.end(), [&](const auto &check) { return check.status == status; }));
}

std::vector<Check> check_device(const DeviceFacts &device, const HostFacts &host) {
    std::vector<Check> all;
    const auto add = [&all](std::vector<Check> checks) {
        all.insert(all.end(), std::make_move_iterator(checks.begin()),
                   std::make_move_iterator(checks.end()));
    };
    add(check_config(device));
    add(check_binding(device));
    add(check_vfio(device));
    add(check_memory(device, host));
    // Nothing else can be said of a device that does not answer.
    if (is_silent(device)) {
        for (auto &check : all) {
            if (check.status != Status::Failed || check.id != "pci-class") {
                check = skipped(check.id, "the device does not answer");
            }
        }
    }
    return all;
}

} // namespace

const char *status_name(Status status) {
    switch (status) {
    case Status::Ok:
        return "ok";
    case Status::Warning:
        return "warning";
    case Status::Failed:
        return "FAILED";
    case Status::Skipped:
        break;
    }
    return "skipped";
}

std::size_t Report::count(Status status) const {
    std::size_t number = count_in(host, status);
    for (const auto &checks : devices) {
        number += count_in(checks, status);
    }
    return number;
}

bool Report::ready() const {
    return count(Status::Failed) == 0;
}

bool Report::ready(std::size_t device) const {
    return count_in(devices[device], Status::Failed) == 0;
}

Report judge(const Facts &facts, const Wish &wish) {
    Report report;
    report.plan = make_plan(facts, wish);
    for (const auto &device : facts.devices) {
        report.devices.push_back(check_device(device, facts.host));
    }
    report.host = check_host(facts, report.plan);
    return report;
}

} // namespace type2::preflight
