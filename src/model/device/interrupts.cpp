// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/device/interrupts.h"

#include <algorithm>
#include <cerrno>
#include <fmt/format.h>
#include <unistd.h>

namespace type2::device {

Interrupts::Interrupts(std::uint16_t msix_vectors) : fired_(msix_vectors) {
    eventfds_[VFIO_PCI_MSIX_IRQ_INDEX].resize(msix_vectors);
    eventfds_[VFIO_PCI_ERR_IRQ_INDEX].resize(1);
    eventfds_[VFIO_PCI_REQ_IRQ_INDEX].resize(1);
}

Result<vfio_user::IrqDescription> Interrupts::describe(std::uint32_t index) const {
    if (index >= IndexCount) {
        return fail(EINVAL, fmt::format("interrupt index {} is not below {}", index, IndexCount));
    }
    const auto count = static_cast<std::uint32_t>(eventfds_[index].size());
    std::uint32_t flags = count != 0 ? VFIO_IRQ_INFO_EVENTFD : 0U;
    if (index == VFIO_PCI_MSIX_IRQ_INDEX) {
        flags |= VFIO_IRQ_INFO_NORESIZE;
    }
    return vfio_user::IrqDescription{flags, count};
}

Result<void> Interrupts::set(vfio_user::IrqRequest request) {
    if (request.index >= IndexCount) {
        return fail(EINVAL,
                    fmt::format("interrupt index {} is not below {}", request.index, IndexCount));
    }
    auto &eventfds = eventfds_[request.index];
    if (!fits(request.start, request.count, eventfds.size())) {
        return fail(EINVAL,
                    fmt::format("interrupts {} to {} of index {}, which has {}", request.start,
                                request.start + request.count, request.index, eventfds.size()));
    }
    const std::uint32_t action = request.flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;
    const std::uint32_t data = request.flags & VFIO_IRQ_SET_DATA_TYPE_MASK;
    if (action != VFIO_IRQ_SET_ACTION_TRIGGER) {
        return fail(ENOTTY, "masking is not offered for this kind of interrupt");
    }
    // A write to anything else can end the process (a pipe that nobody reads) or block it.
    for (const auto &fd : request.eventfds) {
        if (!is_eventfd(fd.get())) {
            return fail(EINVAL, "a descriptor that is no eventfd");
        }
    }
    if (data == VFIO_IRQ_SET_DATA_NONE && request.count == 0) {
        for (auto &fd : eventfds) {
            fd.reset();
        }
        return {};
    }
    for (std::uint32_t i = 0; i < request.count; ++i) {
        const std::uint32_t vector = request.start + i;
        if (data == VFIO_IRQ_SET_DATA_EVENTFD) {
            eventfds[vector] =
                request.eventfds.empty() ? UniqueFd() : std::move(request.eventfds[i]);
            const bool waits =
                request.index == VFIO_PCI_MSIX_IRQ_INDEX && (pending_ >> vector & 1) != 0;
            if (eventfds[vector] && waits) {
                pending_ &= ~(std::uint64_t{1} << vector);
                fire(request.index, vector);
            }
        } else if (data == VFIO_IRQ_SET_DATA_NONE || request.selected[i]) {
            fire(request.index, vector);
        }
    }
    return {};
}

Result<void> Interrupts::raise(unsigned vector) {
    if (vector >= vectors()) {
        return fail(EINVAL, fmt::format("vector {} is not below {}", vector, vectors()));
    }
    ++fired_[vector];
    ++total_;
    if (eventfds_[VFIO_PCI_MSIX_IRQ_INDEX][vector]) {
        fire(VFIO_PCI_MSIX_IRQ_INDEX, vector);
    } else {
        pending_ |= std::uint64_t{1} << vector;
    }
    return {};
}

void Interrupts::release() {
    for (auto &index : eventfds_) {
        for (auto &fd : index) {
            fd.reset();
        }
    }
    pending_ = 0;
}

void Interrupts::reset() {
    pending_ = 0;
    std::fill(fired_.begin(), fired_.end(), 0);
}

std::size_t Interrupts::armed(std::uint32_t index) const {
    const auto &eventfds = eventfds_[index];
    return static_cast<std::size_t>(std::count_if(
        eventfds.begin(), eventfds.end(), [](const UniqueFd &fd) { return fd.get() >= 0; }));
}

void Interrupts::fire(std::uint32_t index, std::uint32_t vector) {
    const auto &fd = eventfds_[index][vector];
    // An eventfd at its maximum would block the write, unless the client made it non-blocking.
    // It is readable already, so whoever waits for the interrupt is awake without another one.
    if (fd && takes_write(fd.get())) {
        const std::uint64_t one = 1;
        [[maybe_unused]] const ssize_t put = ::write(fd.get(), &one, sizeof(one));
    }
}

} // namespace type2::device
