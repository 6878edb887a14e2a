/*
 * Unit tests of memory that can be taken away while it is mapped
 *
 * A file that is truncated stands in for a kernel that closes the memory: an
 * access to what was mapped of it is the same SIGBUS.  The test's own handler
 * stands in for that of system/cpus.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "qemu/memfd.h"
#include "qemu/rcu.h"
#include "qemu/thread.h"
#include "qemu/thread-sigbus.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "system/revocable-ram.h"
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define SIZE    (8 * MiB)

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
    if (!(info->si_code == BUS_ADRERR &&
          revocable_ram_on_sigbus(info->si_addr)) &&
        !revocable_ram_defer_sigbus(info, context)) {
        signal(sig, SIG_DFL);
    }
}

/* SIZE bytes of a file, all of them mapped */
typedef struct Fixture {
    int fd;
    void *host;
    RevocableRam *ram;
    bool closed;                /* what its owner says */
    bool keeps;                 /* for the guest what stands in for it */
    bool gives;                 /* to the guest as soon as it is regained */
    unsigned asked;
    unsigned lost;
    unsigned regained;
} Fixture;

static bool reachable(void *opaque)
{
    Fixture *f = opaque;

    f->asked++;
    return !f->closed;
}

static void lost(void *opaque)
{
    Fixture *f = opaque;

    f->lost++;
    if (!f->keeps || !revocable_ram_stand_in(f->ram)) {
        revocable_ram_take(f->ram);
    }
}

static void regained(void *opaque)
{
    Fixture *f = opaque;

    f->regained++;
    if (f->gives) {
        g_assert_true(revocable_ram_give(f->ram));
    }
}

static const RevocableRamOps memory_ops = {
    .reachable = reachable,
    .lost = lost,
    .regained = regained,
};

static const RevocableRamOps register_ops = {
    .registers = true,
    .reachable = reachable,
    .lost = lost,
    .regained = regained,
};

static void start(Fixture *f, const RevocableRamOps *ops)
{
    RevocableRamMap map = { .size = SIZE, .prot = PROT_READ | PROT_WRITE };

    *f = (Fixture) {
        .fd = qemu_memfd_create("memory", SIZE, false, 0, 0, &error_abort),
        .gives = true,
    };
    f->host = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);
    g_assert_true(f->host != MAP_FAILED);
    map.host = f->host;
    map.fd = f->fd;
    f->ram = revocable_ram_new(&map, 1, ops, f, &error_abort);
    g_assert_true(revocable_ram_give(f->ram));
    memset(f->host, 0x5a, SIZE);
}

static void end(Fixture *f)
{
    revocable_ram_free(f->ram);
    drain_call_rcu();
    munmap(f->host, SIZE);
    close(f->fd);
}

static uint8_t *at(const Fixture *f, size_t offset)
{
    return (uint8_t *)f->host + offset;
}

static uint8_t read_at(const Fixture *f, size_t offset)
{
    /* volatile: each call is to access the memory */
    return *(volatile uint8_t *)at(f, offset);
}

/* What the owner does when it closes the memory, and opens it again */
static void close_memory(Fixture *f)
{
    g_assert_cmpint(ftruncate(f->fd, 0), ==, 0);
    f->closed = true;
}

static void open_memory(Fixture *f)
{
    g_assert_cmpint(ftruncate(f->fd, SIZE), ==, 0);
    f->closed = false;
}

static void run_main_loop(void)
{
    while (g_main_context_pending(NULL)) {
        main_loop_wait(true);
    }
    main_loop_wait(true);
}

/* Until @count is @wanted, which takes a timer */
static void wait_for(const unsigned *count, unsigned wanted)
{
    int64_t end = g_get_monotonic_time() + 20 * G_TIME_SPAN_SECOND;

    while (*count < wanted) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        main_loop_wait(false);
    }
    g_assert_cmpuint(*count, ==, wanted);
}

static void test_main_thread(void)
{
    uint8_t byte;
    Fixture f;

    start(&f, &memory_ops);
    close_memory(&f);
    g_assert_cmphex(read_at(&f, 4 * MiB), ==, 0);

    /* In the signal handler nobody is called yet */
    g_assert_cmpuint(f.lost, ==, 0);
    g_assert_false(revocable_ram_is_lost(f.ram));
    run_main_loop();
    g_assert_cmpuint(f.lost, ==, 1);
    g_assert_true(revocable_ram_is_lost(f.ram));

    /* What replaces it can be written, and does not outlive it */
    *at(&f, 4 * MiB) = 0x11;
    g_assert_cmphex(read_at(&f, 4 * MiB), ==, 0x11);
    open_memory(&f);
    wait_for(&f.regained, 1);
    g_assert_false(revocable_ram_is_lost(f.ram));
    g_assert_cmphex(read_at(&f, 4 * MiB), ==, 0);
    *at(&f, 4 * MiB) = 0x22;
    g_assert_cmpint(pread(f.fd, &byte, 1, 4 * MiB), ==, 1);
    g_assert_cmphex(byte, ==, 0x22);
    end(&f);
}

/* What is not there of registers reads as all-ones, and takes writes */
static void test_registers(void)
{
    size_t page = qemu_real_host_page_size();
    Fixture f;

    start(&f, &register_ops);
    close_memory(&f);
    g_assert_cmphex(read_at(&f, 3 * page + 5), ==, 0xff);
    g_assert_cmphex(read_at(&f, 3 * page), ==, 0xff);
    g_assert_cmphex(read_at(&f, 4 * page - 1), ==, 0xff);
    *at(&f, 3 * page) = 0x11;
    g_assert_cmphex(read_at(&f, 5 * page), ==, 0xff);
    open_memory(&f);
    run_main_loop();
    wait_for(&f.regained, 1);
    g_assert_cmphex(read_at(&f, 3 * page), ==, 0);
    end(&f);

    /* Another's are not affected by what was written there */
    start(&f, &register_ops);
    close_memory(&f);
    g_assert_cmphex(read_at(&f, 3 * page), ==, 0xff);
    end(&f);
}

/* Each place that is accessed is replaced, and it alone */
static void test_places(void)
{
    const size_t places[] = { 0, 1, 2 * MiB - 1, 2 * MiB, SIZE - 1 };
    unsigned char resident[SIZE / (4 * KiB)];
    size_t i, pages = 0;
    Fixture f;

    start(&f, &memory_ops);
    close_memory(&f);
    for (i = 0; i < ARRAY_SIZE(places); i++) {
        g_assert_cmphex(read_at(&f, places[i]), ==, 0);
        *at(&f, places[i]) = 0x11;
    }
    run_main_loop();
    g_assert_cmpuint(f.lost, ==, 1);
    if (qemu_real_host_page_size() == 4 * KiB) {
        g_assert_cmpint(mincore(f.host, SIZE, resident), ==, 0);
        for (i = 0; i < ARRAY_SIZE(resident); i++) {
            pages += resident[i] & 1;
        }
        /* Less than all, even where the host gives huge pages */
        g_assert_cmpuint(pages, <, ARRAY_SIZE(resident));
    }
    open_memory(&f);
    g_assert_true(revocable_ram_give(f.ram));
    for (i = 0; i < ARRAY_SIZE(places); i++) {
        g_assert_cmphex(read_at(&f, places[i]), ==, 0);
    }
    end(&f);
}

/* Two devices: who is accessed is told */
static void test_two(void)
{
    Fixture a, b;

    start(&a, &memory_ops);
    start(&b, &register_ops);
    close_memory(&a);
    g_assert_cmphex(read_at(&a, 0), ==, 0);
    g_assert_cmphex(read_at(&b, 0), ==, 0x5a);
    run_main_loop();
    g_assert_cmpuint(a.lost, ==, 1);
    g_assert_cmpuint(b.lost, ==, 0);
    end(&a);
    close_memory(&b);
    g_assert_cmphex(read_at(&b, 0), ==, 0xff);
    end(&b);
}

/* Taken from the guest before it is closed: a late access is no loss */
static void test_late(void)
{
    Fixture f;

    start(&f, &memory_ops);
    revocable_ram_take(f.ram);
    close_memory(&f);
    g_assert_cmphex(read_at(&f, 0), ==, 0);
    run_main_loop();
    g_assert_cmpuint(f.lost, ==, 0);
    g_assert_false(revocable_ram_is_lost(f.ram));

    /* And what stands in for it is gone when the guest gets it again */
    open_memory(&f);
    g_assert_true(revocable_ram_give(f.ram));
    g_assert_cmpint(pwrite(f.fd, "\x33", 1, 0), ==, 1);
    g_assert_cmphex(read_at(&f, 0), ==, 0x33);
    g_assert_cmpuint(f.asked, ==, 0);
    end(&f);
}

/* Given again while it is closed: it is not, until its owner opens it */
static void test_give_lost(void)
{
    Fixture f;

    start(&f, &memory_ops);
    f.gives = false;
    close_memory(&f);
    g_assert_cmphex(read_at(&f, 0), ==, 0);

    /* An access of which nobody has been told is found here */
    g_assert_false(revocable_ram_give(f.ram));
    g_assert_cmpuint(f.lost, ==, 1);
    run_main_loop();
    g_assert_cmpuint(f.lost, ==, 1);
    g_assert_false(revocable_ram_give(f.ram));
    open_memory(&f);
    wait_for(&f.regained, 1);
    g_assert_true(revocable_ram_give(f.ram));
    g_assert_cmpuint(f.lost, ==, 1);
    end(&f);
}

/* Lost again as soon as it is back: the pauses grow, up to a limit */
static void test_pauses(void)
{
    int64_t before, first = 0, last = 0;
    unsigned i;
    Fixture f;

    start(&f, &memory_ops);
    for (i = 1; i <= 4; i++) {
        close_memory(&f);
        g_assert_cmphex(read_at(&f, 0), ==, 0);
        open_memory(&f);
        before = g_get_monotonic_time();
        wait_for(&f.regained, i);
        last = g_get_monotonic_time() - before;
        first = first ?: last;
    }
    g_assert_cmpint(first, >=, 90 * 1000);
    g_assert_cmpint(last, >=, 4 * first);
    end(&f);
}

/* QEMU starts its threads with all signals blocked, but for this one */
static void *access_in_thread(void *opaque)
{
    g_assert_cmphex(read_at(opaque, 0), ==, 0);
    return NULL;
}

static void test_thread(void)
{
    QemuThread thread;
    Fixture f;

    start(&f, &memory_ops);
    close_memory(&f);
    qemu_thread_create(&thread, "iothread", access_in_thread, &f,
                       QEMU_THREAD_JOINABLE);
    qemu_thread_join(&thread);
    run_main_loop();
    g_assert_cmpuint(f.lost, ==, 1);
    end(&f);
}

/* A vCPU that cannot be run: what is to blame is lost, then it is run again */
static void test_fault(void)
{
    unsigned attempts = 0;
    Fixture a, b;

    start(&a, &register_ops);
    start(&b, &memory_ops);
    b.closed = true;
    g_assert_true(revocable_ram_on_fault(&attempts));
    g_assert_cmpuint(attempts, ==, 0);
    g_assert_cmpuint(b.lost, ==, 1);
    /* Registers are not read where something else is to blame */
    g_assert_cmpuint(a.asked, ==, 0);

    a.closed = true;
    g_assert_true(revocable_ram_on_fault(&attempts));
    g_assert_cmpuint(a.lost, ==, 1);
    g_assert_cmpuint(b.lost, ==, 1);
    end(&b);
    end(&a);
}

/* An access of which the main loop has not been told yet is no riddle either */
static void test_fault_and_signal(void)
{
    unsigned attempts = 0;
    Fixture f;

    start(&f, &memory_ops);
    close_memory(&f);
    g_assert_cmphex(read_at(&f, 0), ==, 0);
    open_memory(&f);
    g_assert_true(revocable_ram_on_fault(&attempts));
    g_assert_cmpuint(f.lost, ==, 1);
    end(&f);
}

/* Nobody is to blame: a few attempts, and no more */
static void test_fault_of_others(void)
{
    unsigned attempts = 0, i;
    Fixture f;

    /* Without any memory that can be lost, not one */
    g_assert_false(revocable_ram_on_fault(&attempts));

    start(&f, &memory_ops);
    for (i = 0; i < 20 && revocable_ram_on_fault(&attempts); i++) {
        /* again */
    }
    g_assert_cmpuint(i, >, 0);
    g_assert_cmpuint(i, <, 20);
    g_assert_cmpuint(f.lost, ==, 0);

    /* Memory that the guest does not have is not asked for */
    revocable_ram_take(f.ram);
    f.closed = true;
    attempts = f.asked = 0;
    while (revocable_ram_on_fault(&attempts)) {
        /* again */
    }
    g_assert_cmpuint(f.asked, ==, 0);
    g_assert_cmpuint(f.lost, ==, 0);
    end(&f);
}

/*
 * The guest keeps the mapping: all of it can be used, at the cost of less
 * memory, until the device's is back.
 */
static void test_stand_in(void)
{
    unsigned attempts = 0;
    uint8_t byte;
    size_t i;
    Fixture f;

    start(&f, &memory_ops);
    f.keeps = true;
    close_memory(&f);
    /* As KVM finds it: nothing was accessed by QEMU */
    g_assert_true(revocable_ram_on_fault(&attempts));
    g_assert_cmpuint(f.lost, ==, 1);
    for (i = 0; i < SIZE; i += 4 * KiB) {
        g_assert_cmphex(read_at(&f, i), ==, i < 2 * MiB ? 0 : 0x11);
        *at(&f, i) = 0x11;
    }
    *at(&f, 0) = 0x22;
    g_assert_cmphex(read_at(&f, 2 * MiB), ==, 0x22);
    g_assert_cmphex(read_at(&f, 6 * MiB), ==, 0x22);

    /* Nobody is told a second time */
    run_main_loop();
    g_assert_cmpuint(f.lost, ==, 1);
    g_assert_false(revocable_ram_give(f.ram));
    g_assert_cmphex(read_at(&f, 6 * MiB), ==, 0x22);

    open_memory(&f);
    wait_for(&f.regained, 1);
    for (i = 0; i < SIZE; i += 4 * KiB) {
        g_assert_cmphex(read_at(&f, i), ==, 0);
    }
    *at(&f, 6 * MiB) = 0x33;
    g_assert_cmpint(pread(f.fd, &byte, 1, 6 * MiB), ==, 1);
    g_assert_cmphex(byte, ==, 0x33);
    g_assert_cmphex(read_at(&f, 0), ==, 0);
    end(&f);
}

static bool sigbus_is_blocked(void)
{
    sigset_t set;

    pthread_sigmask(SIG_BLOCK, NULL, &set);
    return sigismember(&set, SIGBUS);
}

/* As the kernel reports a hardware error; a process may do so to itself */
static void report_error(int code, void *addr)
{
    siginfo_t info = { .si_signo = SIGBUS, .si_code = code, .si_addr = addr };

    g_assert_cmpint(syscall(SYS_rt_tgsigqueueinfo, getpid(),
                            (pid_t)syscall(SYS_gettid), SIGBUS, &info), ==, 0);
}

/*
 * The main loop reads hardware errors from a signalfd, which wants the signal
 * blocked; memory that can be lost wants it unblocked.  Both have their way.
 */
static void test_hardware_error(void)
{
    struct signalfd_siginfo info;
    sigset_t set;
    Fixture f;
    int fd;

    sigemptyset(&set);
    sigaddset(&set, SIGBUS);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    g_assert_cmpint(fd, >=, 0);

    start(&f, &memory_ops);
    g_assert_false(sigbus_is_blocked());
    report_error(BUS_MCEERR_AO, at(&f, 4 * KiB));
    g_assert_true(sigbus_is_blocked());
    g_assert_cmpint(read(fd, &info, sizeof(info)), ==, sizeof(info));
    g_assert_cmpint(info.ssi_signo, ==, SIGBUS);
    g_assert_cmpint(info.ssi_code, ==, BUS_MCEERR_AO);
    g_assert_cmphex(info.ssi_addr, ==, (uintptr_t)at(&f, 4 * KiB));
    g_assert_cmpint(read(fd, &info, sizeof(info)), ==, -1);

    /* It costs nobody the memory, and the memory can be lost afterwards */
    revocable_ram_unblock_sigbus();
    run_main_loop();
    g_assert_cmpuint(f.lost, ==, 0);
    close_memory(&f);
    g_assert_cmphex(read_at(&f, 4 * KiB), ==, 0);
    run_main_loop();
    g_assert_cmpuint(f.lost, ==, 1);
    end(&f);
    close(fd);
}

/* A SIGBUS that is nobody's ends the process, as it would without all this */
static void test_foreign(void)
{
    Fixture f;
    int status;
    pid_t pid;

    start(&f, &memory_ops);
    pid = fork();
    g_assert_cmpint(pid, >=, 0);
    if (!pid) {
        int fd = qemu_memfd_create("foreign", 4 * KiB, false, 0, 0, NULL);
        char *p = mmap(NULL, 4 * KiB, PROT_READ, MAP_SHARED, fd, 0);

        if (ftruncate(fd, 0) < 0) {
            _exit(1);
        }
        /* volatile: it is to be accessed, although nothing was written */
        _exit(*(volatile char *)p ? 2 : 3);
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(WIFSIGNALED(status));
    g_assert_cmpint(WTERMSIG(status), ==, SIGBUS);
    end(&f);
}

int main(int argc, char **argv)
{
    struct sigaction action = {
        .sa_sigaction = on_sigbus,
        .sa_flags = SA_SIGINFO,
    };

    g_test_init(&argc, &argv, NULL);
    sigaction(SIGBUS, &action, NULL);
    qemu_thread_keep_sigbus();
    qemu_init_main_loop(&error_abort);

    g_test_add_func("/revocable-ram/main-thread", test_main_thread);
    g_test_add_func("/revocable-ram/registers", test_registers);
    g_test_add_func("/revocable-ram/places", test_places);
    g_test_add_func("/revocable-ram/two", test_two);
    g_test_add_func("/revocable-ram/late", test_late);
    g_test_add_func("/revocable-ram/give-lost", test_give_lost);
    g_test_add_func("/revocable-ram/pauses", test_pauses);
    g_test_add_func("/revocable-ram/thread", test_thread);
    g_test_add_func("/revocable-ram/fault", test_fault);
    g_test_add_func("/revocable-ram/fault-and-signal", test_fault_and_signal);
    g_test_add_func("/revocable-ram/fault-of-others", test_fault_of_others);
    g_test_add_func("/revocable-ram/stand-in", test_stand_in);
    g_test_add_func("/revocable-ram/hardware-error", test_hardware_error);
    g_test_add_func("/revocable-ram/foreign", test_foreign);
    return g_test_run();
}
