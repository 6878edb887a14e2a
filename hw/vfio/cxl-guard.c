/*
 * CXL memory that the kernel closes while somebody touches it
 *
 * QEMU takes the memory out of the window before it has the kernel close it.
 * But the host closes it too, and does not ask: its administrator resets the
 * function, the device falls off the bus.  And a vCPU may be late: what it had
 * translated before the memory left the window it still uses for a moment.  A
 * touch is then a SIGBUS, which must cost the guest the memory and not the VM.
 *
 * This is for touches of QEMU's own threads: TCG's vCPUs, IOThreads, and the
 * main loop.  Where KVM runs the guest, a touch of the guest's raises no signal
 * but ends KVM_RUN with an error, which stops the VM; and the main loop's
 * SIGBUS is blocked there, because KVM reads it from a file.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/event_notifier.h"
#include "qemu/main-loop.h"
#include "qemu/queue.h"
#include "qemu/rcu.h"
#include "qemu/rcu_queue.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "block/aio.h"
#include "hw/core/cpu.h"
#include "hw/qdev-core.h"
#include "hw/vfio/vfio-device.h"
#include "system/iothread.h"
#include "system/kvm.h"
#include "cxl-guard.h"
#include <sys/mman.h>

/* How much of the memory is replaced where it is touched: cheap, and enough */
#define CHUNK_SIZE      (2 * MiB)

typedef struct VFIOCXLGuardMap {
    void *at;
    size_t size;
    int fd;
    off_t offset;
} VFIOCXLGuardMap;

/*
 * On its own, and freed by RCU: a thread that touches memory of a device does
 * so within flatview's RCU critical section, so its signal handler may look at
 * what another thread just takes from the list.
 */
struct VFIOCXLGuard {
    struct rcu_head rcu;
    VFIOCXLGuardMap *maps;
    unsigned count;             /* of @maps; with any it is in the list */
    EventNotifier notifier;
    void (*lost)(void *opaque);
    void *opaque;
    bool tripped;
    QSLIST_ENTRY(VFIOCXLGuard) next;
};

/* Changes under the BQL; read by the signal handler at any time */
static QSLIST_HEAD(, VFIOCXLGuard) guards = QSLIST_HEAD_INITIALIZER(guards);
static struct sigaction guard_chained;      /* what handled SIGBUS before */
static bool guard_installed;

static bool guard_map_over(void *at, size_t size, int flags, int fd,
                           off_t offset)
{
    return mmap(at, size, PROT_READ | PROT_WRITE, MAP_FIXED | flags, fd,
                offset) != MAP_FAILED;
}

/* Put memory that reads as zero over [@at, @at + @size) of a mapping */
static bool guard_replace(const VFIOCXLGuardMap *map, size_t at, size_t size)
{
    return guard_map_over(map->at + at, size,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

/*
 * In a signal handler: system calls, and nothing that takes a lock.  A chunk is
 * enough, and all that a host which does not overcommit may have to give; but
 * of a file of huge pages a part cannot be replaced.
 */
static bool guard_trip(VFIOCXLGuard *guard, void *addr)
{
    unsigned i;

    for (i = 0; i < guard->count; i++) {
        const VFIOCXLGuardMap *map = &guard->maps[i];
        size_t at;

        if (addr < map->at || addr >= map->at + map->size) {
            continue;
        }
        at = QEMU_ALIGN_DOWN(addr - map->at, CHUNK_SIZE);
        if (!guard_replace(map, at, MIN(CHUNK_SIZE, map->size - at)) &&
            !guard_replace(map, 0, map->size)) {
            return false;
        }
        qatomic_set(&guard->tripped, true);
        event_notifier_set(&guard->notifier);
        return true;
    }
    return false;
}

static void guard_sigbus(int sig, siginfo_t *info, void *context)
{
    int saved = errno;
    VFIOCXLGuard *guard;

    if (info->si_code == BUS_ADRERR) {
        QSLIST_FOREACH_RCU(guard, &guards, next) {
            if (guard_trip(guard, info->si_addr)) {
                errno = saved;
                return;
            }
        }
    }
    /* Not ours: whoever handled the signal before handles it now */
    if (guard_chained.sa_flags & SA_SIGINFO) {
        guard_chained.sa_sigaction(sig, info, context);
    } else {
        sigaction(SIGBUS, &guard_chained, NULL);
        raise(SIGBUS);
    }
    errno = saved;
}

/*
 * A signal that is blocked in the thread it arises in ends the process, handler
 * or not, and QEMU starts all its threads with SIGBUS blocked.
 */
static void guard_unblock(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGBUS);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void guard_unblock_vcpu(CPUState *cpu, run_on_cpu_data data)
{
    guard_unblock();
}

static void guard_unblock_bh(void *opaque)
{
    guard_unblock();
}

static int guard_unblock_iothread(Object *obj, void *opaque)
{
    IOThread *iothread = (IOThread *)object_dynamic_cast(obj, TYPE_IOTHREAD);

    if (iothread) {
        aio_bh_schedule_oneshot(iothread_get_aio_context(iothread),
                                guard_unblock_bh, NULL);
    }
    return 0;
}

static void guard_unblock_iothreads(void)
{
    object_child_foreach_recursive(object_get_objects_root(),
                                   guard_unblock_iothread, NULL);
}

/*
 * Threads that come later: a vCPU is a device, and an IOThread touches memory
 * for a device that was realized after the IOThread was made.
 */
static void guard_device_realized(DeviceListener *listener, DeviceState *dev)
{
    CPUState *cpu = (CPUState *)object_dynamic_cast(OBJECT(dev), TYPE_CPU);

    if (cpu && !kvm_enabled()) {
        async_run_on_cpu(cpu, guard_unblock_vcpu, RUN_ON_CPU_NULL);
    }
    guard_unblock_iothreads();
}

static DeviceListener guard_device_listener = {
    .realize = guard_device_realized,
};

/* From the main loop, where devices are made */
static bool guard_install(Error **errp)
{
    struct sigaction action = {
        .sa_sigaction = guard_sigbus,
        .sa_flags = SA_SIGINFO,
    };
    CPUState *cpu;

    if (guard_installed) {
        return true;
    }
    if (sigaction(SIGBUS, &action, &guard_chained)) {
        error_setg_errno(errp, errno, "CXL: no handler for SIGBUS");
        return false;
    }
    guard_installed = true;
    /* KVM has the main loop and the vCPUs take a SIGBUS in a way of its own */
    if (!kvm_enabled()) {
        guard_unblock();
        CPU_FOREACH(cpu) {
            async_run_on_cpu(cpu, guard_unblock_vcpu, RUN_ON_CPU_NULL);
        }
    }
    guard_unblock_iothreads();
    device_listener_register(&guard_device_listener);
    return true;
}

static void guard_lost(EventNotifier *notifier)
{
    VFIOCXLGuard *guard = container_of(notifier, VFIOCXLGuard, notifier);

    if (event_notifier_test_and_clear(notifier)) {
        guard->lost(guard->opaque);
    }
}

VFIOCXLGuard *vfio_cxl_guard_new(void (*lost)(void *opaque), void *opaque,
                                 Error **errp)
{
    VFIOCXLGuard *guard;
    int ret;

    if (!guard_install(errp)) {
        return NULL;
    }
    guard = g_new0(VFIOCXLGuard, 1);
    guard->lost = lost;
    guard->opaque = opaque;
    ret = event_notifier_init(&guard->notifier, 0);
    if (ret) {
        error_setg_errno(errp, -ret, "CXL: no event notifier for the memory");
        g_free(guard);
        return NULL;
    }
    event_notifier_set_handler(&guard->notifier, guard_lost);
    return guard;
}

void vfio_cxl_guard_watch(VFIOCXLGuard *guard, const VFIORegion *region)
{
    int fd = vfio_device_get_region_fd(region->vbasedev, region->nr);
    int i;

    guard->maps = g_new0(VFIOCXLGuardMap, region->nr_mmaps);
    for (i = 0; i < region->nr_mmaps; i++) {
        const VFIOMmap *map = &region->mmaps[i];

        if (map->mmap) {
            guard->maps[guard->count++] = (VFIOCXLGuardMap) {
                .at = map->mmap,
                .size = map->size,
                .fd = fd,
                .offset = region->fd_offset + map->offset,
            };
        }
    }
    if (guard->count) {
        QSLIST_INSERT_HEAD_RCU(&guards, guard, next);
    }
}

static void guard_reclaim(VFIOCXLGuard *guard)
{
    g_free(guard->maps);
    g_free(guard);
}

void vfio_cxl_guard_free(VFIOCXLGuard *guard)
{
    if (!guard) {
        return;
    }
    if (guard->count) {
        QSLIST_REMOVE_RCU(&guards, guard, VFIOCXLGuard, next);
    }
    event_notifier_set_handler(&guard->notifier, NULL);
    event_notifier_cleanup(&guard->notifier);
    call_rcu(guard, guard_reclaim, rcu);
}

bool vfio_cxl_guard_tripped(const VFIOCXLGuard *guard)
{
    return qatomic_read(&guard->tripped);
}

bool vfio_cxl_guard_restore(VFIOCXLGuard *guard)
{
    unsigned i;

    if (!vfio_cxl_guard_tripped(guard)) {
        return true;
    }
    /* First, so that a touch meanwhile is not forgotten */
    qatomic_set_mb(&guard->tripped, false);
    for (i = 0; i < guard->count; i++) {
        const VFIOCXLGuardMap *map = &guard->maps[i];

        if (!guard_map_over(map->at, map->size, MAP_SHARED, map->fd,
                            map->offset)) {
            qatomic_set(&guard->tripped, true);
        }
    }
    return !vfio_cxl_guard_tripped(guard);
}
