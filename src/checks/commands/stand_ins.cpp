// SPDX-License-Identifier: GPL-2.0-or-later
#include "checks/commands/stand_ins.h"

#include <re2/re2.h>

namespace type2::commands {

std::string with_stand_ins(std::string command) {
    struct StandIn {
        RE2 what;
        const char *instead;
    };
    static const StandIn table[] = {
        // KVM
        {R"(-accel kvm\b)", "-accel tcg"},
        {R"(-cpu host,host-phys-bits=on\b)", "-cpu max,phys-bits=46"},
        {R"(-cpu host\b)", "-cpu max"},
        // the device
        {R"(-device vfio-pci,id=(gpu1),host=[0-9a-f:.]+,bus=(\w+))",
         R"(-device '{"driver":"vfio-user-pci","id":"\1","bus":"\2",)"
         R"("socket":{"type":"unix","path":"@MODEL2@"}}' )"},
        {R"(-device vfio-pci,id=(\w+),host=[0-9a-f:.]+,bus=(\w+))",
         R"(-device '{"driver":"vfio-user-pci","id":"\1","bus":"\2",)"
         R"("socket":{"type":"unix","path":"@MODEL@"}}' )"},
        {R"re("path":"/[^"]*)re", R"("path":"@MODEL@)"},
        // files; what has a folder before it is there
        {R"((^|[^\w/])QEMU_EFI\.fd\b)", R"(\1@EFI@)"},
        {R"(file=guest\.img)", "file=@DISK@"},
        {R"((^|[^\w/])qemu-system-)", R"(\1build/bin/qemu-system-)"},
        // "and so on"
        {R"(\s\.\.\.(\s|$))", " "},
    };
    for (const auto &entry : table) {
        RE2::GlobalReplace(&command, entry.what, entry.instead);
    }
    return command;
}

} // namespace type2::commands
