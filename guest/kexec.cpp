// SPDX-License-Identifier: GPL-2.0-or-later
// Runs in the guest, from init, where cxl2.action=kexec asks for it: starts a kernel without a
// reset of the machine, so that devices are as this kernel has left them.
//
//   kexec KERNEL INITRD COMMAND-LINE       files, or disks that hold them

#include "tools.h"

#include <cerrno>
#include <cstring>
#include <linux/reboot.h>
#include <sys/mman.h>
#include <sys/syscall.h>

namespace {

// The system call takes regular files only. -1: it cannot be read.
int regular(const char *path) {
    const int from = ::open(path, O_RDONLY | O_CLOEXEC);
    const int to = ::memfd_create(path, MFD_CLOEXEC);
    std::array<char, 65536> buffer;
    ssize_t n = from < 0 || to < 0 ? -1 : 1;
    while (n > 0) {
        n = ::read(from, buffer.data(), buffer.size());
        if (n > 0 && ::write(to, buffer.data(), static_cast<std::size_t>(n)) != n) n = -1;
    }
    if (from >= 0) ::close(from);
    return n < 0 ? -1 : to;
}

}  // namespace

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    const int kernel = regular(argv[1]), initrd = regular(argv[2]);
    if (::syscall(SYS_kexec_file_load, kernel, initrd, std::strlen(argv[3]) + 1, argv[3], 0UL) != 0) {
        guest::say(guest::text("CXL2: kexec: %s", std::strerror(errno)));
        return 1;
    }
    guest::say("CXL2: kexec");
    ::syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC, nullptr);
    return 1;
}
