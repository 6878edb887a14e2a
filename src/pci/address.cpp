// SPDX-License-Identifier: GPL-2.0-or-later
#include "pci/address.h"

#include <cerrno>
#include <fmt/format.h>
#include <re2/re2.h>

namespace type2::pci {

std::string Address::text() const {
    return fmt::format("{:04x}:{:02x}:{:02x}.{:x}", domain, bus, slot, function);
}

Result<Address> parse_address(std::string_view text) {
    static const RE2 form("(?:([0-9a-fA-F]{4,8}):)?([0-9a-fA-F]{2}):([01][0-9a-fA-F])\\.([0-7])");
    std::string domain;
    unsigned bus = 0;
    unsigned slot = 0;
    unsigned function = 0;
    if (!RE2::FullMatch(re2::StringPiece(text.data(), text.size()), form, &domain, RE2::Hex(&bus),
                        RE2::Hex(&slot), RE2::Hex(&function))) {
        return fail(EINVAL, fmt::format("'{}' is not a PCI address such as 0000:81:00.0", text));
    }
    Address address;
    address.domain = static_cast<std::uint32_t>(std::strtoul(domain.c_str(), nullptr, 16));
    address.bus = static_cast<std::uint8_t>(bus);
    address.slot = static_cast<std::uint8_t>(slot);
    address.function = static_cast<std::uint8_t>(function);
    return address;
}

bool is_address(std::string_view text) {
    const auto address = parse_address(text);
    return address && address->text() == text;
}

} // namespace type2::pci
