// SPDX-License-Identifier: GPL-2.0-or-later
// QEMU as the benchmark starts it.
#pragma once

#include "base/qmp.h"
#include "bench/device_process.h"

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

namespace type2::bench {

/// What a run takes. The sizes are texts that QEMU and the guest take as well: "256M".
struct Setting {
    std::string arch = "arm64";
    std::string accel = "tcg";
    std::string size = "32M";                          ///< the largest piece of each memory
    std::vector<std::string> pieces = {"16K", "256K"}; ///< the smaller ones, ascending
    unsigned rounds = 9;                               ///< samples of each quantity
    unsigned tries = 5;                                ///< of which a sample is the best
    unsigned starts = 5;                               ///< of QEMU, for each size of a device
    std::vector<std::string> sizes = {"256M", "16G", "256G", "1T"}; ///< of a device
    bool smoke = false;
};

/// A machine that a guest may have.
struct Kind {
    std::string arch;
    std::string program;
    std::string type;
    std::string cpu;  ///< under TCG
    std::string cpus; ///< how many; under TCG x86 is not safe with more: docs/testing.md
    std::string kernel;
    std::string bios;
    std::string console;
};

/// The kind for an `arch` of Setting; nullptr: there is none.
const Kind *find_kind(const std::string &arch);

/// Options for a host bridge, a root port rpN and a window for each of `sizes`; in `passthrough`
/// are bridges (by number) whose decoders are not passed over.
std::vector<std::string> bridges(const std::vector<std::string> &sizes,
                                 const std::set<unsigned> &passthrough = {});
/// A RAM of `size` that a device's process can share.
std::vector<std::string> shared_ram(const std::string &size);
/// Arguments of -device and device_add for the device of `model` on `bus`.
nlohmann::json device(const DeviceProcess &model, const std::string &bus);

/// A running QEMU that answers QMP. What it says goes to a file in its folder.
class Machine {
  public:
    enum class Console { None, Captured };

    /// Starts it with `words` besides. Console::Captured: stdout is read by process(). Error: it
    /// does not answer; the text has what it said and its command line.
    static Result<Machine> start(const Setting &setting, const std::filesystem::path &folder,
                                 const std::vector<std::string> &words,
                                 Console console = Console::None);

    Qmp &qmp() { return qmp_; }
    Process &process() { return process_; }
    /// Seconds from its start to its first answer.
    double seconds() const { return seconds_; }
    /// What it has said by now, traces included.
    std::string said() const;

  private:
    Machine(Process process, Qmp qmp, std::filesystem::path log, double seconds)
        : process_(std::move(process)), qmp_(std::move(qmp)), log_(std::move(log)),
          seconds_(seconds) {}

    Process process_;
    Qmp qmp_;
    std::filesystem::path log_;
    double seconds_;
};

} // namespace type2::bench
