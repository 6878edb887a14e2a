// SPDX-License-Identifier: GPL-2.0-or-later
// The interrupt indices of a VFIO PCI device and the eventfds behind them. MSI-X alone raises
// anything here; error and request notification can be armed, as clients expect.
#pragma once

#include "base/fd.h"
#include "vfio_user/device_ops.h"

#include <array>
#include <cstdint>
#include <linux/vfio.h>
#include <vector>

namespace type2::device {

class Interrupts {
  public:
    static constexpr std::uint32_t IndexCount = VFIO_PCI_NUM_IRQS;

    explicit Interrupts(std::uint16_t msix_vectors);

    Result<vfio_user::IrqDescription> describe(std::uint32_t index) const;
    /// Arms, disarms or fires. Errors: EINVAL (index, range, a descriptor that is no eventfd),
    /// ENOTTY (masking: not offered). Nothing has changed then.
    Result<void> set(vfio_user::IrqRequest request);
    /// Signals MSI-X `vector`. Without an eventfd the vector stays pending until it gets one.
    /// Error EINVAL: no such vector.
    Result<void> raise(unsigned vector);
    /// The client has gone: no eventfd is kept and nothing pends.
    void release();
    /// A reset: nothing pending, nothing counted; eventfds stay, as in the kernel.
    void reset();

    std::uint64_t pending() const { return pending_; } ///< bit per MSI-X vector: the PBA
    std::size_t armed(std::uint32_t index) const;
    std::uint64_t fired(unsigned vector) const { return fired_[vector]; }
    /// Of all vectors, those before resets counted.
    std::uint64_t total() const { return total_; }
    unsigned vectors() const { return static_cast<unsigned>(fired_.size()); }

  private:
    void fire(std::uint32_t index, std::uint32_t vector);

    std::array<std::vector<UniqueFd>, IndexCount> eventfds_;
    std::vector<std::uint64_t> fired_;
    std::uint64_t total_ = 0;
    std::uint64_t pending_ = 0;
};

} // namespace type2::device
