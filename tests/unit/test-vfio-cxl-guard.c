/*
 * Unit tests of the guard over CXL memory that the kernel closes
 *
 * A file that is truncated stands in for the kernel: touching what was mapped
 * of it is the same SIGBUS.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "qemu/memfd.h"
#include "qemu/module.h"
#include "qemu/rcu.h"
#include "qemu/thread.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "hw/core/cpu.h"
#include "hw/qdev-core.h"
#include "qom/object.h"
#include "hw/vfio/vfio-device.h"
#include "system/iothread.h"
#include "hw/vfio/cxl-guard.h"
#include <sys/mman.h>
#include <sys/wait.h>

#define SIZE    (8 * MiB)

/* The seams: what cxl-guard.c takes from the rest of QEMU */

bool kvm_allowed;
CPUTailQ cpus_queue = QTAILQ_HEAD_INITIALIZER(cpus_queue);
static DeviceListener *listener;
static AioContext *iothread_context;
static run_on_cpu_func cpu_asked;

void device_listener_register(DeviceListener *which)
{
    g_assert_null(listener);
    listener = which;
}

void async_run_on_cpu(CPUState *cpu, run_on_cpu_func func, run_on_cpu_data data)
{
    cpu_asked = func;
}

AioContext *iothread_get_aio_context(IOThread *iothread)
{
    return iothread_context;
}

int vfio_device_get_region_fd(VFIODevice *vbasedev, int index)
{
    return *(int *)vbasedev;
}

/* Objects that are nothing but of these types */
static const TypeInfo types[] = {
    { .name = TYPE_CPU, .parent = TYPE_OBJECT },
    { .name = TYPE_IOTHREAD, .parent = TYPE_OBJECT },
    { .name = "disk", .parent = TYPE_OBJECT },
};

static void realize(const char *type)
{
    Object *obj = object_new(type);

    listener->realize(listener, (DeviceState *)obj);
    object_unref(obj);
}

/* A region of SIZE bytes with one mapping of all of it, and its guard */
typedef struct Fixture {
    int fd;
    VFIORegion region;
    VFIOMmap mmap;
    VFIOCXLGuard *guard;
    unsigned lost;
} Fixture;

static void count_lost(void *opaque)
{
    ((Fixture *)opaque)->lost++;
}

static void start(Fixture *f)
{
    *f = (Fixture) {
        .fd = qemu_memfd_create("memory", SIZE, false, 0, 0, NULL),
    };
    g_assert_cmpint(f->fd, >=, 0);
    f->mmap.size = SIZE;
    f->mmap.mmap = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd,
                        0);
    g_assert_true(f->mmap.mmap != MAP_FAILED);
    f->region.vbasedev = (VFIODevice *)&f->fd;
    f->region.nr_mmaps = 1;
    f->region.mmaps = &f->mmap;
    f->guard = vfio_cxl_guard_new(count_lost, f, &error_abort);
    vfio_cxl_guard_watch(f->guard, &f->region);
    memset(f->mmap.mmap, 0x5a, SIZE);
}

static void end(Fixture *f)
{
    vfio_cxl_guard_free(f->guard);
    drain_call_rcu();
    munmap(f->mmap.mmap, SIZE);
    close(f->fd);
}

static uint8_t *at(const Fixture *f, size_t offset)
{
    return (uint8_t *)f->mmap.mmap + offset;
}

static uint8_t read_at(const Fixture *f, size_t offset)
{
    /* volatile: each call is to touch the memory */
    return *(volatile uint8_t *)at(f, offset);
}

/* What the kernel does when it closes the memory, and opens it again */
static void close_memory(const Fixture *f)
{
    g_assert_cmpint(ftruncate(f->fd, 0), ==, 0);
}

static void open_memory(const Fixture *f)
{
    g_assert_cmpint(ftruncate(f->fd, SIZE), ==, 0);
}

static void run_main_loop(void)
{
    while (g_main_context_pending(NULL)) {
        main_loop_wait(true);
    }
    main_loop_wait(true);
}

static void test_main_thread(void)
{
    uint8_t byte;
    Fixture f;

    start(&f);
    g_assert_false(vfio_cxl_guard_tripped(f.guard));
    close_memory(&f);
    g_assert_cmphex(read_at(&f, 4 * MiB), ==, 0);
    g_assert_true(vfio_cxl_guard_tripped(f.guard));

    /* In the signal handler nobody is called yet */
    g_assert_cmpuint(f.lost, ==, 0);
    run_main_loop();
    g_assert_cmpuint(f.lost, ==, 1);

    /* What replaces it can be written, and does not outlive it */
    *at(&f, 4 * MiB) = 0x11;
    g_assert_cmphex(read_at(&f, 4 * MiB), ==, 0x11);
    open_memory(&f);
    g_assert_true(vfio_cxl_guard_restore(f.guard));
    g_assert_false(vfio_cxl_guard_tripped(f.guard));
    g_assert_cmphex(read_at(&f, 4 * MiB), ==, 0);
    *at(&f, 4 * MiB) = 0x22;
    g_assert_cmpint(pread(f.fd, &byte, 1, 4 * MiB), ==, 1);
    g_assert_cmphex(byte, ==, 0x22);
    end(&f);
}

/* Each place that is touched is replaced, and it alone */
static void test_places(void)
{
    const size_t places[] = { 0, 1, 2 * MiB - 1, 2 * MiB, SIZE - 1 };
    unsigned char resident[SIZE / (4 * KiB)];
    size_t i, pages = 0;
    Fixture f;

    start(&f);
    close_memory(&f);
    for (i = 0; i < ARRAY_SIZE(places); i++) {
        g_assert_cmphex(read_at(&f, places[i]), ==, 0);
        *at(&f, places[i]) = 0x11;
    }
    run_main_loop();
    g_assert_cmpuint(f.lost, >=, 1);
    if (qemu_real_host_page_size() == 4 * KiB) {
        g_assert_cmpint(mincore(f.mmap.mmap, SIZE, resident), ==, 0);
        for (i = 0; i < ARRAY_SIZE(resident); i++) {
            pages += resident[i] & 1;
        }
        /* Less than all, even where the host gives huge pages */
        g_assert_cmpuint(pages, <, ARRAY_SIZE(resident));
    }
    open_memory(&f);
    g_assert_true(vfio_cxl_guard_restore(f.guard));
    for (i = 0; i < ARRAY_SIZE(places); i++) {
        g_assert_cmphex(read_at(&f, places[i]), ==, 0);
    }
    end(&f);
}

/* Two devices: who is touched is told */
static void test_two(void)
{
    Fixture a, b;

    start(&a);
    start(&b);
    close_memory(&a);
    g_assert_cmphex(read_at(&a, 0), ==, 0);
    g_assert_cmphex(read_at(&b, 0), ==, 0x5a);
    run_main_loop();
    g_assert_cmpuint(a.lost, ==, 1);
    g_assert_cmpuint(b.lost, ==, 0);
    g_assert_true(vfio_cxl_guard_tripped(a.guard));
    g_assert_false(vfio_cxl_guard_tripped(b.guard));
    end(&a);
    close_memory(&b);
    g_assert_cmphex(read_at(&b, 0), ==, 0);
    end(&b);
}

/* QEMU starts its threads with SIGBUS blocked: later ones have to be told */
static void *touch_as_vcpu(void *opaque)
{
    cpu_asked(NULL, RUN_ON_CPU_NULL);
    g_assert_cmphex(read_at(opaque, 0), ==, 0);
    return NULL;
}

static void test_later_vcpu(void)
{
    QemuThread thread;
    Fixture f;

    start(&f);
    cpu_asked = NULL;
    realize("disk");
    g_assert_null(cpu_asked);
    realize(TYPE_CPU);
    g_assert_nonnull(cpu_asked);
    close_memory(&f);
    qemu_thread_create(&thread, "vcpu", touch_as_vcpu, &f,
                       QEMU_THREAD_JOINABLE);
    qemu_thread_join(&thread);
    run_main_loop();
    g_assert_cmpuint(f.lost, ==, 1);
    end(&f);
}

static void *touch_as_iothread(void *opaque)
{
    qemu_set_current_aio_context(iothread_context);
    while (aio_poll(iothread_context, false)) {
        /* what was asked of this thread */
    }
    g_assert_cmphex(read_at(opaque, 0), ==, 0);
    return NULL;
}

static void test_later_iothread(void)
{
    Object *iothread = object_new(TYPE_IOTHREAD);
    QemuThread thread;
    Fixture f;

    start(&f);
    iothread_context = aio_context_new(&error_abort);
    object_property_add_child(object_get_objects_root(), "iothread", iothread);
    realize("disk");
    close_memory(&f);
    qemu_thread_create(&thread, "iothread", touch_as_iothread, &f,
                       QEMU_THREAD_JOINABLE);
    qemu_thread_join(&thread);
    object_unparent(iothread);
    object_unref(iothread);
    aio_context_unref(iothread_context);
    run_main_loop();
    g_assert_cmpuint(f.lost, ==, 1);
    end(&f);
}

/* A SIGBUS that is nobody's ends the process, as it would without a guard */
static void test_foreign(void)
{
    Fixture f;
    int status;
    pid_t pid;

    start(&f);
    pid = fork();
    g_assert_cmpint(pid, >=, 0);
    if (!pid) {
        int fd = qemu_memfd_create("foreign", 4 * KiB, false, 0, 0, NULL);
        char *p = mmap(NULL, 4 * KiB, PROT_READ, MAP_SHARED, fd, 0);

        if (ftruncate(fd, 0) < 0) {
            _exit(1);
        }
        /* volatile: it is to be touched, although nothing was written */
        _exit(*(volatile char *)p ? 2 : 3);
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(WIFSIGNALED(status));
    g_assert_cmpint(WTERMSIG(status), ==, SIGBUS);
    g_assert_false(vfio_cxl_guard_tripped(f.guard));
    end(&f);
}

int main(int argc, char **argv)
{
    unsigned i;

    g_test_init(&argc, &argv, NULL);
    module_call_init(MODULE_INIT_QOM);
    qemu_init_main_loop(&error_abort);
    for (i = 0; i < ARRAY_SIZE(types); i++) {
        type_register_static(&types[i]);
    }

    g_test_add_func("/vfio-cxl-guard/main-thread", test_main_thread);
    g_test_add_func("/vfio-cxl-guard/places", test_places);
    g_test_add_func("/vfio-cxl-guard/two", test_two);
    g_test_add_func("/vfio-cxl-guard/later-vcpu", test_later_vcpu);
    g_test_add_func("/vfio-cxl-guard/later-iothread", test_later_iothread);
    g_test_add_func("/vfio-cxl-guard/foreign", test_foreign);
    return g_test_run();
}
