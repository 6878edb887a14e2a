/*
 * Memory of a device that can be taken away while QEMU has it mapped
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/event_notifier.h"
#include "qemu/main-loop.h"
#include "qemu/memfd.h"
#include "qemu/queue.h"
#include "qemu/rcu.h"
#include "qemu/rcu_queue.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "system/revocable-ram.h"
#include "trace.h"
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>

/*
 * How much zero memory replaces around an access: small enough for a host that
 * does not overcommit.  Of registers it is a page.
 */
#define CHUNK_SIZE          (2 * MiB)

/* Asking whether lost memory is back: first and longest pause */
#define LOST_FIRST_MS       100
#define LOST_LAST_MS        2000

/*
 * What stands in for all of a region's memory is a file, mapped one time
 * behind the other: what a guest writes there costs the host no more than its
 * size, and the host does not run out of mappings (65,530 by default).
 */
#define STAND_IN_SIZE       (2 * MiB)
#define STAND_IN_MAPPINGS   4096

/*
 * Running a vCPU again although all memory can be reached: what it accessed may
 * have come back meanwhile, or another vCPU has had it taken away.
 */
#define MAX_ATTEMPTS        5
#define ATTEMPT_MS          20

/*
 * Freed by RCU: a thread that accesses memory of a device does so within the
 * RCU critical section of the flatview, so its signal handler may look at what
 * another thread is just removing from the list.
 */
struct RevocableRam {
    struct rcu_head rcu;
    RevocableRamMap *maps;
    unsigned count;
    const RevocableRamOps *ops;
    void *opaque;
    EventNotifier notifier;     /* the signal handler replaced something */
    bool replaced;              /* atomic: not all of it is the device's */
    bool given;                 /* to the guest */
    bool lost;
    int stand_in_fd;            /* -1 before it is needed */
    size_t stand_in_size;
    QEMUTimer *timer;           /* asks whether lost memory is back */
    int64_t pause_ms;           /* and how long it waits */
    int64_t given_ms;           /* when the guest was given it last */
    QSLIST_ENTRY(RevocableRam) next;
};

/* Changes under the BQL; read by the signal handler at any time */
static QSLIST_HEAD(, RevocableRam) all_rams =
    QSLIST_HEAD_INITIALIZER(all_rams);

/* A page of all-ones, for what stands in for registers */
static int ones_fd = -1;

static bool ones_init(Error **errp)
{
    size_t size = qemu_real_host_page_size();
    g_autofree uint8_t *ones = g_malloc(size);
    int fd;

    if (ones_fd >= 0) {
        return true;
    }
    fd = qemu_memfd_create("all-ones", size, false, 0, 0, errp);
    if (fd < 0) {
        return false;
    }
    memset(ones, 0xff, size);
    if (qemu_write_full(fd, ones, size) != size) {
        error_setg_errno(errp, errno, "cannot write a page of all-ones");
        close(fd);
        return false;
    }
    ones_fd = fd;
    return true;
}

static bool map_over(void *at, size_t size, int prot, int flags, int fd,
                     off_t offset)
{
    return mmap(at, size, prot, MAP_FIXED | flags, fd, offset) != MAP_FAILED;
}

static bool replace_by_zeros(void *at, size_t size)
{
    return map_over(at, size, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

static bool replace_by_ones(void *at, size_t size)
{
    return map_over(at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, ones_fd, 0);
}

/*
 * In a signal handler: system calls, and nothing that takes a lock.  Of a file
 * of huge pages a part cannot be replaced, so then it is all of the mapping.
 */
static bool replace_at(const RevocableRam *ram, const RevocableRamMap *map,
                       void *addr)
{
    size_t chunk = ram->ops->registers ? qemu_real_host_page_size()
                                       : CHUNK_SIZE;
    size_t at = QEMU_ALIGN_DOWN(addr - map->host, chunk);
    size_t size = MIN(chunk, map->size - at);

    if (ram->ops->registers ? replace_by_ones(map->host + at, size)
                            : replace_by_zeros(map->host + at, size)) {
        return true;
    }
    return replace_by_zeros(map->host, map->size);
}

static bool ram_on_sigbus(RevocableRam *ram, void *addr)
{
    unsigned i;

    for (i = 0; i < ram->count; i++) {
        const RevocableRamMap *map = &ram->maps[i];

        if (addr >= map->host && addr < map->host + map->size) {
            if (!replace_at(ram, map, addr)) {
                return false;
            }
            qatomic_set(&ram->replaced, true);
            event_notifier_set(&ram->notifier);
            return true;
        }
    }
    return false;
}

bool revocable_ram_on_sigbus(void *addr)
{
    int saved = errno;
    bool done = false;
    RevocableRam *ram;

    QSLIST_FOREACH_RCU(ram, &all_rams, next) {
        done = ram_on_sigbus(ram, addr);
        if (done) {
            break;
        }
    }
    errno = saved;
    return done;
}

bool revocable_ram_defer_sigbus(siginfo_t *siginfo, void *context)
{
    ucontext_t *interrupted = context;
    int saved = errno, ret;

    if (siginfo->si_code != BUS_MCEERR_AO) {
        return false;
    }
    sigaddset(&interrupted->uc_sigmask, SIGBUS);
    ret = syscall(SYS_rt_tgsigqueueinfo, getpid(), (pid_t)syscall(SYS_gettid),
                  SIGBUS, siginfo);
    errno = saved;
    return !ret;
}

static void ram_wait(RevocableRam *ram)
{
    timer_mod(ram->timer,
              qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + ram->pause_ms);
}

/* The guest has memory that cannot be reached */
static void ram_lose(RevocableRam *ram)
{
    int64_t now = qemu_clock_get_ms(QEMU_CLOCK_REALTIME);

    ram->given = false;
    ram->lost = true;
    /* Lost soon after it came back: do not go round and round */
    if (ram->pause_ms && now - ram->given_ms < LOST_LAST_MS) {
        ram->pause_ms = MIN(2 * ram->pause_ms, LOST_LAST_MS);
    } else {
        ram->pause_ms = LOST_FIRST_MS;
    }
    trace_revocable_ram_lost(ram->maps[0].host, ram->pause_ms);
    ram->ops->lost(ram->opaque);
    ram_wait(ram);
}

static void ram_timer(void *opaque)
{
    RevocableRam *ram = opaque;

    if (!ram->lost) {
        return;
    }
    if (ram->ops->reachable(ram->opaque)) {
        trace_revocable_ram_regained(ram->maps[0].host);
        ram->lost = false;
        ram->ops->regained(ram->opaque);
        return;
    }
    ram->pause_ms = MIN(2 * ram->pause_ms, LOST_LAST_MS);
    ram_wait(ram);
}

/* The signal handler replaced something, of what the guest has or had */
static void ram_notified(EventNotifier *notifier)
{
    RevocableRam *ram = container_of(notifier, RevocableRam, notifier);

    if (event_notifier_test_and_clear(notifier) && ram->given &&
        qatomic_read(&ram->replaced)) {
        ram_lose(ram);
    }
}

/* Put the device's memory back; what was written to its replacement is gone */
static bool ram_restore(RevocableRam *ram)
{
    unsigned i;

    if (!qatomic_read(&ram->replaced)) {
        return true;
    }
    /* First, so that an access meanwhile is not forgotten */
    qatomic_set_mb(&ram->replaced, false);
    for (i = 0; i < ram->count; i++) {
        const RevocableRamMap *map = &ram->maps[i];

        if (!map_over(map->host, map->size, map->prot, MAP_SHARED, map->fd,
                      map->offset)) {
            qatomic_set(&ram->replaced, true);
            return false;
        }
    }
    return true;
}

static bool stand_in_init(RevocableRam *ram)
{
    size_t total = 0, size = STAND_IN_SIZE;
    unsigned i;

    if (ram->stand_in_fd >= 0) {
        return true;
    }
    for (i = 0; i < ram->count; i++) {
        total += ram->maps[i].size;
    }
    while (total / size > STAND_IN_MAPPINGS) {
        size *= 2;
    }
    ram->stand_in_fd = qemu_memfd_create("stand-in", size, false, 0, 0, NULL);
    ram->stand_in_size = size;
    return ram->stand_in_fd >= 0;
}

bool revocable_ram_stand_in(RevocableRam *ram)
{
    unsigned i;
    size_t at;

    assert(ram->lost && !ram->ops->registers);
    if (!stand_in_init(ram)) {
        return false;
    }
    qatomic_set(&ram->replaced, true);
    for (i = 0; i < ram->count; i++) {
        const RevocableRamMap *map = &ram->maps[i];

        for (at = 0; at < map->size; at += ram->stand_in_size) {
            if (!map_over(map->host + at,
                          MIN(ram->stand_in_size, map->size - at),
                          PROT_READ | PROT_WRITE, MAP_SHARED,
                          ram->stand_in_fd, 0)) {
                return false;
            }
        }
    }
    return true;
}

bool revocable_ram_give(RevocableRam *ram)
{
    if (ram->given) {
        if (!qatomic_read(&ram->replaced)) {
            return true;
        }
        ram_lose(ram);
    }
    if ((ram->lost && !ram->ops->reachable(ram->opaque)) ||
        !ram_restore(ram)) {
        ram->lost = true;
        ram->pause_ms = MAX(ram->pause_ms, LOST_FIRST_MS);
        ram_wait(ram);
        return false;
    }
    timer_del(ram->timer);
    ram->lost = false;
    ram->given = true;
    ram->given_ms = qemu_clock_get_ms(QEMU_CLOCK_REALTIME);
    return true;
}

void revocable_ram_take(RevocableRam *ram)
{
    ram->given = false;
}

bool revocable_ram_is_lost(const RevocableRam *ram)
{
    return ram->lost;
}

/* Take what cannot be reached from the guest; true if there is any */
static bool ram_check_all(bool registers)
{
    bool found = false;
    RevocableRam *ram;

    QSLIST_FOREACH(ram, &all_rams, next) {
        if (ram->given && ram->ops->registers == registers &&
            (qatomic_read(&ram->replaced) ||
             !ram->ops->reachable(ram->opaque))) {
            ram_lose(ram);
            found = true;
        }
    }
    return found;
}

/*
 * What ram_check_all() finds is not given to the guest again before a timer, or
 * the guest itself, has asked for it; without a find MAX_ATTEMPTS bounds.
 */
bool revocable_ram_on_fault(unsigned *attempts)
{
    bool found;

    if (QSLIST_EMPTY_RCU(&all_rams)) {
        return false;
    }
    bql_lock();
    /* Registers last: asking has them read */
    found = ram_check_all(false) || ram_check_all(true);
    bql_unlock();
    trace_revocable_ram_on_fault(found, *attempts);
    if (found) {
        *attempts = 0;
        return true;
    }
    if (++*attempts > MAX_ATTEMPTS) {
        return false;
    }
    g_usleep(ATTEMPT_MS * 1000);
    return true;
}

/*
 * A signal that is blocked in the thread that causes it ends the process,
 * whatever its handler.  Threads are created with SIGBUS unblocked, see
 * qemu_thread_keep_sigbus(), but the main thread reads it from a signalfd.
 */
void revocable_ram_unblock_sigbus(void)
{
    sigset_t set;

    if (QSLIST_EMPTY(&all_rams)) {
        return;
    }
    sigemptyset(&set);
    sigaddset(&set, SIGBUS);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

RevocableRam *revocable_ram_new(const RevocableRamMap *maps, unsigned count,
                                const RevocableRamOps *ops, void *opaque,
                                Error **errp)
{
    RevocableRam *ram;
    int ret;

    if (ops->registers && !ones_init(errp)) {
        return NULL;
    }
    ram = g_new0(RevocableRam, 1);
    ret = event_notifier_init(&ram->notifier, 0);
    if (ret) {
        error_setg_errno(errp, -ret, "cannot create an event notifier");
        g_free(ram);
        return NULL;
    }
    ram->maps = g_memdup2(maps, count * sizeof(*maps));
    ram->count = count;
    ram->ops = ops;
    ram->opaque = opaque;
    ram->stand_in_fd = -1;
    ram->timer = timer_new_ms(QEMU_CLOCK_REALTIME, ram_timer, ram);
    event_notifier_set_handler(&ram->notifier, ram_notified);
    QSLIST_INSERT_HEAD_RCU(&all_rams, ram, next);
    revocable_ram_unblock_sigbus();
    return ram;
}

static void ram_reclaim(RevocableRam *ram)
{
    /* Nobody's signal handler can be at it any more */
    if (QSLIST_EMPTY(&all_rams) && ones_fd >= 0) {
        close(ones_fd);
        ones_fd = -1;
    }
    if (ram->stand_in_fd >= 0) {
        close(ram->stand_in_fd);
    }
    event_notifier_cleanup(&ram->notifier);
    g_free(ram->maps);
    g_free(ram);
}

void revocable_ram_free(RevocableRam *ram)
{
    if (!ram) {
        return;
    }
    QSLIST_REMOVE_RCU(&all_rams, ram, RevocableRam, next);
    event_notifier_set_handler(&ram->notifier, NULL);
    timer_free(ram->timer);
    call_rcu(ram, ram_reclaim, rcu);
}
