// SPDX-License-Identifier: GPL-2.0-or-later
// Reads and writes of any width at any place in any region, resets among them. An input is a byte
// that chooses the device, then for each access a kind, a region, an offset and a length or data.
#include "fuzz/input.h"
#include "fuzz/subject.h"

#include <array>

namespace type2::fuzz {
namespace {

// Configuration space and COMP_REGS more often than the rest.
constexpr std::array<std::uint32_t, 8> Regions = {7, 10, 0, 7, 10, 2, 9, 11};

void access(device::Device &device, Input &input) {
    const auto kind = input.take<std::uint8_t>();
    const auto region = Regions.at(input.take<std::uint8_t>() % Regions.size());
    const std::uint64_t offset = input.take<std::uint32_t>();
    if (kind < 0x60) {
        Bytes into(1 + kind % 16);
        const auto got = device.read_region(region, offset, into);
        if (got && *got > into.size()) {
            finding("a read returned more than was asked for");
        }
    } else if (kind < 0xf8) {
        const auto from = input.bytes(1 + kind % 8);
        const auto put = device.write_region(region, offset, from);
        if (put && *put > from.size()) {
            finding("a write took more than there was");
        }
    } else if (kind < 0xfc) {
        while (device.work()) {
        }
    } else {
        static_cast<void>(device.reset());
    }
}

} // namespace
} // namespace type2::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    using namespace type2::fuzz;
    Input input(data, size);
    Subject subject(input.take<std::uint8_t>());
    while (!input.empty()) {
        access(subject.device(), input);
        subject.check();
    }
    return 0;
}
