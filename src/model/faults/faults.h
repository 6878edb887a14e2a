// SPDX-License-Identifier: GPL-2.0-or-later
// Devices that lie. Tables (in faults/) say of each fault its name, what it does, and how.
#pragma once

#include "base/fd.h"
#include "model/device/config.h"
#include "model/device/device.h"
#include "vfio_user/connection.h"

#include <cstdint>
#include <map>
#include <span>

namespace type2::device {

/// What a fault remembers between messages.
struct FaultState {
    std::uint64_t count = 0;                        ///< messages of the kind that it counts
    std::map<std::uint64_t, std::uint32_t> written; ///< register writes that it makes stick
    UniqueFd memory;                                ///< a file that it gave away
};

/// One message as a fault sees it: the request, and the device's honest reply to change.
struct FaultView {
    vfio_user::Command command = {};
    const vfio_user::Request &request;
    const Config &config;
    FaultState &state;
};

struct Fault {
    const char *name;
    const char *description; ///< what the device does; ends the sentence "the device …"
    void (*reply)(FaultView &view, vfio_user::Reply &reply) = nullptr;
    void (*config_space)(pci::ConfigSpace &config) = nullptr; ///< once, when it is built
    bool resets_fail = false;                                 ///< all three kinds
};

/// Every fault there is, in the order of `--fault list`.
std::span<const Fault> faults();
/// Null: no such fault.
const Fault *find_fault(std::string_view name);

/// Applies one fault to a connection's replies.
class FaultFilter : public vfio_user::ReplyFilter {
  public:
    FaultFilter(const Fault &fault, const Config &config) : fault_(fault), config_(config) {}
    void filter(const vfio_user::Request &request, vfio_user::Reply &reply) override;

  private:
    const Fault &fault_;
    Config config_;
    FaultState state_;
};

} // namespace type2::device
