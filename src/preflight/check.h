// SPDX-License-Identifier: GPL-2.0-or-later
// A check: what was looked at, what was found, what to do about it. Each looks at facts, and at
// the plan made of them; none changes either. No I/O.
#pragma once

#include "preflight/facts.h"
#include "preflight/plan.h"

#include <string>
#include <utility>
#include <vector>

namespace type2::preflight {

enum class Status { Ok, Warning, Failed, Skipped };

/// "ok", "warning", "FAILED", "skipped"
const char *status_name(Status status);

struct Check {
    std::string id;
    Status status = Status::Skipped;
    std::string found;  ///< or why it was skipped
    std::string advice; ///< what to do; empty where nothing is to be done
};

inline Check ok(std::string id, std::string found) {
    return {std::move(id), Status::Ok, std::move(found), {}};
}
inline Check warning(std::string id, std::string found, std::string advice) {
    return {std::move(id), Status::Warning, std::move(found), std::move(advice)};
}
inline Check failed(std::string id, std::string found, std::string advice) {
    return {std::move(id), Status::Failed, std::move(found), std::move(advice)};
}
inline Check skipped(std::string id, std::string why) {
    return {std::move(id), Status::Skipped, std::move(why), {}};
}

/// Configuration space: is it such a device, and has firmware set it up?
std::vector<Check> check_config(const DeviceFacts &device);
/// The kernel's driver, the IOMMU group, the device files.
std::vector<Check> check_binding(const DeviceFacts &device);
/// What the VFIO device says of itself.
std::vector<Check> check_vfio(const DeviceFacts &device);
/// What the host does with the device's memory.
std::vector<Check> check_memory(const DeviceFacts &device, const HostFacts &host);
/// What the guest that is planned needs of the host.
std::vector<Check> check_host(const Facts &facts, const Plan &plan);

/// Does the device answer at all?
bool is_silent(const DeviceFacts &device);

} // namespace type2::preflight
