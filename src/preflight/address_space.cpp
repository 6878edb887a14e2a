// SPDX-License-Identifier: GPL-2.0-or-later
#include "preflight/address_space.h"

#include "base/bytes.h"
#include "cxl/hdm_decoder.h"

#include <algorithm>
#include <bit>
#include <numeric>

namespace type2::preflight {

namespace {

constexpr std::uint64_t HyperTransport = 0xfd00000000; ///< up to 1 TiB
constexpr std::uint64_t AboveHyperTransport = 1024 * GiB;

/// Behind RAM above 4 GiB, which begins at `above`: the host bridges' registers, the windows, then
/// the 64-bit PCI hole. The first address behind it all.
std::uint64_t end_of_q35(const AddressSpace &space, std::uint64_t above) {
    constexpr std::uint64_t Below4G = 2 * GiB; // of RAM, where there is more than fits
    constexpr std::uint64_t FitsBelow = 0xb0000000;
    const std::uint64_t ram = space.ram >= FitsBelow ? space.ram - Below4G : 0;
    const std::uint64_t bridges = above + ram + MiB;
    const std::uint64_t windows_end = round_up(bridges, cxl::hdm::Unit) + space.windows;
    // QEMU forgets the window's alignment here.
    const std::uint64_t hole_end = round_up(bridges + space.windows, GiB) + space.pci;
    return std::max(windows_end, hole_end);
}

/// RAM from 1 GiB on, then the PCI space, aligned to its size, above 256 GiB at least; the windows
/// behind it.
std::uint64_t end_of_virt(const AddressSpace &space) {
    const std::uint64_t top = std::max(256 * GiB, round_up(GiB + space.ram, GiB));
    return round_up(top + GiB, space.pci) + space.pci + space.windows;
}

} // namespace

unsigned needed_bits(const AddressSpace &space) {
    std::uint64_t end = 0;
    if (space.arch == "x86_64") {
        end = end_of_q35(space, 4 * GiB);
        if (space.amd && end - 1 >= HyperTransport) {
            end = end_of_q35(space, AboveHyperTransport);
        }
    } else {
        end = end_of_virt(space);
    }
    return static_cast<unsigned>(std::bit_width(end - 1));
}

std::uint64_t default_pci_space(const std::string &arch) {
    return arch == "x86_64" ? 32 * GiB : 512 * GiB;
}

std::uint64_t needed_pci_space(const std::string &arch, const std::vector<std::uint64_t> &bars) {
    const std::uint64_t most = default_pci_space(arch);
    if (bars.empty()) {
        return most;
    }
    const std::uint64_t sum = std::accumulate(bars.begin(), bars.end(), std::uint64_t{0});
    const std::uint64_t largest = *std::max_element(bars.begin(), bars.end());
    // Sizes are powers of two, so the largest first they fit into the next one above their sum.
    // On q35 the hole is aligned to nothing: one as large as its largest BAR may have no room.
    const std::uint64_t room =
        std::bit_ceil(arch == "x86_64" ? std::max(sum, 2 * largest) : sum + GiB);
    return std::max(most, room);
}

} // namespace type2::preflight
