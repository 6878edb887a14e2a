// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/faults/faults.h"

#include "model/faults/tables.h"

#include <algorithm>
#include <vector>

namespace type2::device {

std::span<const Fault> faults() {
    static const std::vector<Fault> all = [] {
        std::vector<Fault> list;
        for (const auto some : {lies::info_faults(), lies::register_faults(), lies::memory_faults(),
                                lies::config_space_faults(), lies::message_faults()}) {
            list.insert(list.end(), some.begin(), some.end());
        }
        return list;
    }();
    return all;
}

const Fault *find_fault(std::string_view name) {
    const auto all = faults();
    const auto found = std::find_if(all.begin(), all.end(),
                                    [&](const Fault &fault) { return name == fault.name; });
    return found == all.end() ? nullptr : &*found;
}

void FaultFilter::filter(const vfio_user::Request &request, vfio_user::Reply &reply) {
    FaultView view = {static_cast<vfio_user::Command>(request.command), request, config_, state_};
    if (fault_.reply != nullptr) {
        fault_.reply(view, reply);
    }
}

} // namespace type2::device
