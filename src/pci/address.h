// SPDX-License-Identifier: GPL-2.0-or-later
// The address of a PCI function as Linux spells it: DDDD:BB:DD.F.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace type2::pci {

struct Address {
    std::uint32_t domain = 0; ///< above 0xffff where a driver made it: Intel VMD, Hyper-V
    std::uint8_t bus = 0;
    std::uint8_t slot = 0;
    std::uint8_t function = 0;

    /// As sysfs has it: lower case, four digits of domain at least.
    std::string text() const;
};

/// "81:00.0", "0000:81:00.0" and "10000:e1:00.0". Error EINVAL: not such an address.
Result<Address> parse_address(std::string_view text);

/// True if `text` is an address as sysfs spells it.
bool is_address(std::string_view text);

} // namespace type2::pci
