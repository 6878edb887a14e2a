// SPDX-License-Identifier: GPL-2.0-or-later
// The host as sysfs, /dev and /proc show it, live or recorded.
#pragma once

#include "base/result.h"
#include "preflight/facts.h"

#include <string>

namespace type2::preflight {

/// A tree to look at. /dev, /proc and /lib/modules are looked for beside it, as on a running
/// machine.
class Sysfs {
  public:
    explicit Sysfs(std::string path);

    /// True for the machine itself: what can be tried is tried.
    bool is_live() const { return live_; }

    /// Error ENOENT: no such device; EACCES: its configuration space cannot be read.
    Result<PciFacts> pci(const std::string &address) const;
    BindingFacts binding(const std::string &address) const;
    /// The host's architecture as QEMU names it: of a recorded tree by its /proc/cpuinfo, and
    /// this machine's where that does not say.
    std::string arch() const;
    /// arch: the guest's.
    HostFacts host(const std::string &arch) const;

  private:
    std::string device(const std::string &address) const;
    /// The module of modules.alias that is made for the device.
    std::string module_of(const std::string &address) const;
    std::vector<IomemRange> iomem() const;
    std::optional<bool> cacheable() const;
    /// The file `path` of the machine ("/dev/kvm") in this tree.
    std::string beside(const std::string &path) const { return root_ + path; }

    std::string sysfs_;
    std::string root_; ///< the folder above, without a slash at its end
    bool live_;
};

} // namespace type2::preflight
