/*
 * CXL memory that the kernel closes while somebody touches it
 *
 * QEMU takes the memory out of the window before it has the kernel close it.
 * But the host closes it too, and does not ask: its administrator resets the
 * function, the device falls off the bus.  A touch is then a SIGBUS, which must
 * cost the guest the memory and not the VM.
 *
 * This is for touches of QEMU's own threads.  Where KVM runs the guest, a touch
 * of the guest's raises no signal but ends KVM_RUN with an error, which stops
 * the VM.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "qapi/error.h"
#include "hw/core/cpu.h"
#include "hw/vfio/vfio-device.h"
#include "system/kvm.h"
#include "cxl-guard.h"
#include <sys/mman.h>

/* Changes under the BQL; read by the signal handler at any time */
static QSLIST_HEAD(, VFIOCXLGuard) guards = QSLIST_HEAD_INITIALIZER(guards);
static struct sigaction before;
static bool installed;

static bool map_over(void *at, size_t size, int flags, int fd, off_t offset)
{
    return mmap(at, size, PROT_READ | PROT_WRITE, MAP_FIXED | flags, fd,
                offset) != MAP_FAILED;
}

/* In a signal handler: system calls, and nothing that takes a lock */
static bool guard_trip(VFIOCXLGuard *guard, const void *addr)
{
    VFIORegion *region = guard->region;
    int i;

    for (i = 0; i < region->nr_mmaps; i++) {
        VFIOMmap *map = &region->mmaps[i];

        if (!map->mmap || addr < map->mmap || addr >= map->mmap + map->size) {
            continue;
        }
        if (!map_over(map->mmap, map->size,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {
            return false;
        }
        qatomic_set(&guard->tripped, true);
        event_notifier_set(&guard->notifier);
        return true;
    }
    return false;
}

static void sigbus_handler(int sig, siginfo_t *info, void *context)
{
    int saved = errno;
    VFIOCXLGuard *guard;

    if (info->si_code == BUS_ADRERR) {
        QSLIST_FOREACH(guard, &guards, next) {
            if (guard_trip(guard, info->si_addr)) {
                errno = saved;
                return;
            }
        }
    }
    /* Not ours.  What is as before does what it did */
    if (before.sa_flags & SA_SIGINFO) {
        before.sa_sigaction(sig, info, context);
    } else {
        sigaction(SIGBUS, &before, NULL);
        raise(SIGBUS);
    }
    errno = saved;
}

/* A signal that is blocked where it arises ends the process, handler or not */
static void unblock(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGBUS);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void unblock_vcpu(CPUState *cpu, run_on_cpu_data data)
{
    unblock();
}

static void guard_lost(EventNotifier *notifier)
{
    VFIOCXLGuard *guard = container_of(notifier, VFIOCXLGuard, notifier);

    if (event_notifier_test_and_clear(notifier)) {
        guard->lost(guard->opaque);
    }
}

bool vfio_cxl_guard_add(VFIOCXLGuard *guard, VFIORegion *region,
                        void (*lost)(void *opaque), void *opaque,
                        Error **errp)
{
    struct sigaction action = {
        .sa_sigaction = sigbus_handler,
        .sa_flags = SA_SIGINFO,
    };
    int ret = event_notifier_init(&guard->notifier, 0);

    if (ret) {
        error_setg_errno(errp, -ret, "CXL: no event notifier for the memory");
        return false;
    }
    guard->region = region;
    guard->lost = lost;
    guard->opaque = opaque;
    event_notifier_set_handler(&guard->notifier, guard_lost);
    QSLIST_INSERT_HEAD(&guards, guard, next);
    if (!installed) {
        installed = true;
        sigaction(SIGBUS, &action, &before);
    }
    return true;
}

void vfio_cxl_guard_remove(VFIOCXLGuard *guard)
{
    if (!guard->region) {
        return;
    }
    QSLIST_REMOVE(&guards, guard, VFIOCXLGuard, next);
    event_notifier_set_handler(&guard->notifier, NULL);
    event_notifier_cleanup(&guard->notifier);
    guard->region = NULL;
}

void vfio_cxl_guard_arm(VFIOCXLGuard *guard)
{
    CPUState *cpu;

    /* KVM has the main loop and the vCPUs take a SIGBUS in a way of its own */
    if (!guard->region || kvm_enabled()) {
        return;
    }
    unblock();
    CPU_FOREACH(cpu) {
        async_run_on_cpu(cpu, unblock_vcpu, RUN_ON_CPU_NULL);
    }
}

bool vfio_cxl_guard_restore(VFIOCXLGuard *guard)
{
    VFIORegion *region = guard->region;
    int i, fd;

    if (!region || !qatomic_read(&guard->tripped)) {
        return true;
    }
    fd = vfio_device_get_region_fd(region->vbasedev, region->nr);
    for (i = 0; i < region->nr_mmaps; i++) {
        VFIOMmap *map = &region->mmaps[i];

        if (map->mmap && !map_over(map->mmap, map->size, MAP_SHARED, fd,
                                   region->fd_offset + map->offset)) {
            return false;
        }
    }
    qatomic_set(&guard->tripped, false);
    return true;
}
