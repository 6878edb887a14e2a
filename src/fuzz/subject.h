// SPDX-License-Identifier: GPL-2.0-or-later
// The device that the fuzzers turn to, and what holds of it whatever is done to it.
#pragma once

#include "model/device/device.h"

#include <memory>

namespace type2::fuzz {

class Subject {
  public:
    /// `kind` chooses one of some configurations: contract, number of decoders, committed or not.
    explicit Subject(std::uint8_t kind);

    device::Device &device() { return *device_; }

    /// Ends the process with a message where something does not hold: the device's identity and,
    /// where firmware committed them, its decoders are what they were; committed decoders lie in
    /// the device's memory.
    void check();

  private:
    Bytes decoders() const;

    std::unique_ptr<device::Device> device_;
    Bytes committed_;
};

/// Ends the process: a finding.
[[noreturn]] void finding(const char *what);

} // namespace type2::fuzz
