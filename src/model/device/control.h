// SPDX-License-Identifier: GPL-2.0-or-later
// The control socket's language: one command per line, one line of reply. No sockets here.
#pragma once

#include "model/device/device.h"
#include "vfio_user/connection.h"

#include <deque>
#include <string>
#include <string_view>

namespace type2::device {

/// Messages received since they were last asked for, oldest first; the oldest go when it is full.
class MessageLog {
  public:
    static constexpr std::size_t Capacity = 100000;
    void add(const vfio_user::LogEntry &entry);
    /// One-line JSON array of what is kept; forgets it.
    std::string take();
    /// One message as a JSON object on one line.
    static std::string format(const vfio_user::LogEntry &entry);

  private:
    std::deque<vfio_user::LogEntry> entries_;
};

/// Executes one line. Commands: peek OFFSET LENGTH, poke OFFSET HEX, state, maps, log,
/// irq VECTOR, busy 0|1, help. Anything wrong yields "error: TEXT".
std::string run_command(Device &device, MessageLog &log, std::string_view line);

} // namespace type2::device
