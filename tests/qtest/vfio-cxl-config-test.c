/*
 * CXL Type-2 devices over vfio-user: what the guest reads of them is true
 *
 * The registers of the CXL Device DVSEC that are QEMU's, what they have to do
 * with the memory in the window, and what is kept from the device; plain PCI
 * devices, whose decoders are hidden; and the caches that are written back.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qobject/qdict.h"
#include "vfio-cxl-util.h"
#include <sys/wait.h>

#define UNIT            (256 * MiB)

#define GUEST           "'bus': 'rp0', 'x-cxl-decoders': 'guest'"
#define LOCKED          "'bus': 'rp0'"
#define OFF             "'bus': 'rp0', 'x-cxl-decoders': 'off'"
#define CONTROL2_RESET  4u
#define LOCK_CONFIG     1u

static uint16_t dvsec_at(Vm *vm, uint32_t reg)
{
    return find_dvsec(vm, 0, DVSEC_DEVICE) + reg;
}

static uint16_t dvsec_read(Vm *vm, uint32_t reg)
{
    return qtest_readw(vm->qts, dev_at(vm, 0, dvsec_at(vm, reg)));
}

static void dvsec_write(Vm *vm, uint32_t reg, uint16_t value)
{
    dev_write16(vm, 0, dvsec_at(vm, reg), value);
}

/* The device's own Mem_Enable is the host's: it stays as firmware left it */
static void assert_device_enabled(Model *m)
{
    g_assert_cmphex(model_state(m, "dvsec", "control") & CONTROL_MEM_ENABLE,
                    ==, CONTROL_MEM_ENABLE);
    g_assert_cmphex(model_state(m, "dvsec", "lock"), ==, 0);
}

static void guest_program(Vm *vm, uint64_t base)
{
    bridge_program(vm, 0, base, UNIT, CTRL_COMMIT);
    hdm_program(vm, base, UNIT, CTRL_COMMIT);
}

/* Mem_Enable, CXL r3.1 Section 8.1.3.2 */

static void test_mem_enable_locked(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, TOPOLOGY, LOCKED);
    uint64_t base = window_base(vm, 0);
    unsigned i;

    for (i = 0; i < 2; i++) {
        pci_enable(vm, 0);
        g_assert_true(mem_enabled(vm, 0));
        assert_window_mapped(vm, m, base, UNIT, true);
        set_mem_enable(vm, 0, false);
        g_assert_false(mem_enabled(vm, 0));
        assert_window_mapped(vm, m, base, UNIT, false);
        assert_decoder(vm, 0, "disabled", true, base, UNIT, 0);
        assert_device_enabled(m);
        set_mem_enable(vm, 0, true);
        assert_window_mapped(vm, m, base, UNIT, true);

        /* Firmware's: a CXL reset leaves it and the decoders as they are */
        dvsec_write(vm, DVSEC_CONTROL2, CONTROL2_RESET);
        g_assert_true(mem_enabled(vm, 0));
        assert_window_mapped(vm, m, base, UNIT, true);

        set_mem_enable(vm, 0, false);
        vm_reset(vm);
    }
    pci_setup(vm, 0);
    g_assert_true(mem_enabled(vm, 0));
    assert_device_enabled(m);
    vm_stop(vm);
    model_stop(m);
}

/* The write of a byte, a word and a dword */
static void write_control(Vm *vm, unsigned size, bool enable)
{
    uint64_t at = dev_at(vm, 0, dvsec_at(vm, DVSEC_CONTROL));
    uint32_t value = qtest_readw(vm->qts, at) & ~CONTROL_MEM_ENABLE;

    write_sized(vm, at, value | (enable ? CONTROL_MEM_ENABLE : 0), size);
}

static void test_mem_enable_guest(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, TOPOLOGY, GUEST);
    uint64_t base = window_base(vm, 0);
    unsigned i, size;

    for (i = 0; i < 2; i++) {
        pci_enable(vm, 0);
        g_assert_false(mem_enabled(vm, 0));
        qtest_writel(vm->qts, hdm_at(0, HDM_GLOBAL), 2);
        guest_program(vm, base);
        assert_window_mapped(vm, m, base, UNIT, false);
        assert_decoder(vm, 0, "disabled", false, base, UNIT, 0);
        for (size = 1; size <= 4; size *= 2) {
            write_control(vm, size, true);
            g_assert_true(mem_enabled(vm, 0));
            assert_window_mapped(vm, m, base, UNIT, true);
            write_control(vm, size, false);
            g_assert_false(mem_enabled(vm, 0));
            assert_window_mapped(vm, m, base, UNIT, false);
        }
        set_mem_enable(vm, 0, true);

        /* Both are needed */
        qtest_writel(vm->qts, hdm_at(0, HDM_GLOBAL), 0);
        assert_window_mapped(vm, m, base, UNIT, false);
        qtest_writel(vm->qts, hdm_at(0, HDM_GLOBAL), 3);
        assert_window_mapped(vm, m, base, UNIT, true);

        /* And both are gone after a CXL reset, while the decoder stays */
        dvsec_write(vm, DVSEC_CONTROL2, CONTROL2_RESET);
        g_assert_cmphex(dvsec_read(vm, DVSEC_STATUS2) & 2, ==, 2);
        g_assert_false(mem_enabled(vm, 0));
        g_assert_cmphex(qtest_readl(vm->qts, hdm_at(0, HDM_GLOBAL)), ==, 1);
        g_assert_cmphex(qtest_readl(vm->qts, hdm_at(0, HDM_CTRL(0))), ==,
                        CTRL_COMMIT | CTRL_COMMITTED);
        assert_window_mapped(vm, m, base, UNIT, false);
        set_mem_enable(vm, 0, true);
        assert_window_mapped(vm, m, base, UNIT, false);
        qtest_writel(vm->qts, hdm_at(0, HDM_GLOBAL), 2);
        assert_window_mapped(vm, m, base, UNIT, true);
        assert_device_enabled(m);
        vm_reset(vm);
    }
    vm_stop(vm);
    model_stop(m);
}

/* CONFIG_LOCK, CXL r3.1 Section 8.1.3.6 */
static void config_lock(const char *members)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, TOPOLOGY, members);
    bool guest = g_str_equal(members, GUEST);
    uint32_t base_hi;

    guest_enable(vm, 0);
    g_assert_cmphex(dvsec_read(vm, DVSEC_LOCK), ==, 0);
    dvsec_write(vm, DVSEC_LOCK, 0);
    g_assert_cmphex(dvsec_read(vm, DVSEC_LOCK), ==, 0);
    dvsec_write(vm, DVSEC_LOCK, LOCK_CONFIG);
    dvsec_write(vm, DVSEC_LOCK, 0);
    g_assert_cmphex(dvsec_read(vm, DVSEC_LOCK), ==, LOCK_CONFIG);

    base_hi = dev_read(vm, 0, dvsec_at(vm, DVSEC_BASE_HI(0)));
    set_mem_enable(vm, 0, false);
    g_assert_true(mem_enabled(vm, 0));
    dvsec_write(vm, DVSEC_CONTROL, 0);
    g_assert_true(mem_enabled(vm, 0));
    qtest_writel(vm->qts, dev_at(vm, 0, dvsec_at(vm, DVSEC_BASE_HI(0))), 0x55);
    g_assert_cmphex(dev_read(vm, 0, dvsec_at(vm, DVSEC_BASE_HI(0))), ==,
                    base_hi);
    assert_device_enabled(m);

    /* A conventional reset unlocks */
    vm_reset(vm);
    pci_enable(vm, 0);
    g_assert_cmphex(dvsec_read(vm, DVSEC_LOCK), ==, 0);
    g_assert_cmpint(mem_enabled(vm, 0), ==, !guest);
    set_mem_enable(vm, 0, guest);
    g_assert_cmpint(mem_enabled(vm, 0), ==, guest);
    qtest_writel(vm->qts, dev_at(vm, 0, dvsec_at(vm, DVSEC_BASE_HI(0))), 0x55);
    g_assert_cmphex(dev_read(vm, 0, dvsec_at(vm, DVSEC_BASE_HI(0))), ==,
                    guest ? 0x55 : base_hi);
    vm_stop(vm);
    model_stop(m);
}

static void test_config_lock_locked(void)
{
    config_lock(LOCKED);
}

static void test_config_lock_guest(void)
{
    config_lock(GUEST);
}

/* Ranges: CXL r3.1 Section 8.1.3.8 */

/*
 * With Mem_Enable set and HDM Decoder Enable clear they would be what is
 * decoded.  Nothing is, so they are not valid then.
 */
static void test_ranges_claim_nothing(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, TOPOLOGY, GUEST);
    uint64_t base = window_base(vm, 0);

    pci_enable(vm, 0);
    g_assert_cmphex(range_status(vm, 0, 0), ==, RANGE_VALID | RANGE_ACTIVE);
    g_assert_cmphex(range_status(vm, 0, 1), ==, 0);
    set_mem_enable(vm, 0, true);
    g_assert_cmphex(range_status(vm, 0, 0), ==, 0);
    qtest_writel(vm->qts, hdm_at(0, HDM_GLOBAL), 2);
    g_assert_cmphex(range_status(vm, 0, 0), ==, RANGE_VALID | RANGE_ACTIVE);
    guest_program(vm, base);
    g_assert_cmphex(range_status(vm, 0, 0), ==, RANGE_VALID | RANGE_ACTIVE);
    assert_window_mapped(vm, m, base, UNIT, true);
    vm_stop(vm);

    vm = vm_start_with(m, TOPOLOGY, LOCKED);
    pci_enable(vm, 0);
    g_assert_cmphex(range_status(vm, 0, 0), ==, RANGE_VALID | RANGE_ACTIVE);
    qtest_writel(vm->qts, hdm_at(0, HDM_GLOBAL), 0);
    g_assert_cmphex(range_status(vm, 0, 0), ==, 0);
    vm_stop(vm);
    model_stop(m);
}

/* They say no more than what the decoders decode */
static void test_ranges_size(void)
{
    Model *m = model_start("--decoders 2 --decoder-size 256M "
                           "--decoder-skip 256M");
    Vm *vm = vm_start_with(m, WINDOW("cxl.0", "512M") BRIDGE_0 PORT(0), LOCKED);

    pci_enable(vm, 0);
    g_assert_cmphex(dev_read(vm, 0, dvsec_at(vm, DVSEC_SIZE_HI(0))), ==, 0);
    g_assert_cmphex(dev_read(vm, 0, dvsec_at(vm, DVSEC_SIZE_LO(0))) >> 28, ==,
                    2);
    vm_stop(vm);
    model_stop(m);
}

/* Memory_Active, CXL r3.1 Section 8.1.3.8.2 */

static void set_busy(Model *m, bool busy)
{
    g_free(model_ask(m, "busy %d", busy));
}

static void function_reset(Vm *vm)
{
    uint8_t express = find_cap(vm, 0, CAP_EXPRESS);

    dev_write16(vm, 0, express + 8, dev_read(vm, 0, express + 8) | 0x8000);
}

static char *get_said(const Capture *capture)
{
    g_autoptr(GError) err = NULL;
    char *said = NULL;

    g_file_get_contents(capture->path, &said, NULL, &err);
    g_assert_no_error(err);
    return said;
}

/* A write of @value to @addr: the memory is unmapped, then the device told */
static void assert_closes_first(Vm *vm, const Capture *capture, uint16_t addr,
                                uint16_t value)
{
    g_autofree char *write = g_strdup_printf("region 7 offset 0x%x count 2",
                                             addr);
    g_autofree char *before = get_said(capture);
    g_autofree char *after = NULL;
    const char *unmap, *told;

    dev_write16(vm, 0, addr, value);
    after = get_said(capture);
    unmap = strstr(after + strlen(before), "vfio_cxl_memory_unmap ");
    told = strstr(after + strlen(before), write);
    if (!unmap || !told || unmap > told) {
        g_test_message("expected the unmap before '%s', said: %s", write,
                       after + strlen(before));
    }
    g_assert_nonnull(unmap);
    g_assert_nonnull(told);
    g_assert_true(unmap < told);
}

static void test_closes_first(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    uint16_t power, express;
    Capture capture;
    Vm *vm;

    capture_start(&capture);
    vm = vm_start_with(m, "-trace vfio_cxl_memory_unmap "
                       "-trace vfio_user_region_rw " TOPOLOGY, LOCKED);
    capture_release(&capture);
    pci_enable(vm, 0);
    power = find_cap(vm, 0, CAP_PM) + 4;
    express = find_cap(vm, 0, CAP_EXPRESS) + 8;

    assert_closes_first(vm, &capture, CFG_COMMAND, 0);
    dev_set_command(vm, 0, COMMAND_MEMORY);
    assert_closes_first(vm, &capture, power, 3);
    dev_write16(vm, 0, power, 0);
    assert_closes_first(vm, &capture, express, 0x8000);
    vm_stop(vm);
    capture_end(&capture);
    model_stop(m);
}

/* Whoever polls it makes QEMU look; what is written while it is 1 arrives */
static void test_memory_active(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, TOPOLOGY, LOCKED);
    uint64_t base = window_base(vm, 0);
    unsigned round;

    pci_enable(vm, 0);
    for (round = 0; round < 3; round++) {
        g_assert_cmphex(range_status(vm, 0, 0), ==, RANGE_VALID | RANGE_ACTIVE);
        assert_window_mapped(vm, m, base, UNIT, true);
        set_busy(m, true);
        if (round == 0) {
            dev_set_command(vm, 0, 0);
            dev_set_command(vm, 0, COMMAND_MEMORY);
        } else {
            function_reset(vm);
        }
        g_assert_cmphex(range_status(vm, 0, 0), ==, RANGE_VALID);
        assert_window_mapped(vm, m, base, UNIT, false);
        /* Long enough for QEMU's own pauses to have become long */
        g_usleep(round == 2 ? 1000000 : 0);
        set_busy(m, false);
        g_assert_cmphex(range_status(vm, 0, 0), ==, RANGE_VALID | RANGE_ACTIVE);
        assert_window_mapped(vm, m, base, UNIT, true);
    }
    vm_stop(vm);
    model_stop(m);
}

/* A guest that programs decoders waits for it before it does */
static void test_memory_active_guest(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, TOPOLOGY, GUEST);
    uint64_t base = window_base(vm, 0);

    set_busy(m, true);
    pci_enable(vm, 0);
    g_assert_cmphex(range_status(vm, 0, 0), ==, RANGE_VALID);
    set_busy(m, false);
    g_assert_cmphex(range_status(vm, 0, 0), ==, RANGE_VALID | RANGE_ACTIVE);
    qtest_writel(vm->qts, hdm_at(0, HDM_GLOBAL), 2);
    set_mem_enable(vm, 0, true);
    guest_program(vm, base);
    assert_window_mapped(vm, m, base, UNIT, true);

    /* In D3hot there is none */
    dev_write16(vm, 0, find_cap(vm, 0, CAP_PM) + 4, 3);
    g_assert_cmphex(range_status(vm, 0, 0), ==, RANGE_VALID);
    vm_stop(vm);
    model_stop(m);
}

/* The device's own word is believed for as long as it may take, not longer */
static void test_memory_never_active(void)
{
    Model *m = model_start(DEFAULT_MODEL " --fault memory-never-active");
    Vm *vm = vm_start_with(m, TOPOLOGY, LOCKED);
    uint64_t base = window_base(vm, 0);

    pci_enable(vm, 0);
    assert_window_mapped(vm, m, base, UNIT, false);
    g_assert_cmphex(range_status(vm, 0, 0), ==, RANGE_VALID);
    /* Its Memory_Active_Timeout is 1 s */
    g_usleep(1100000);
    g_assert_cmphex(range_status(vm, 0, 0), ==, RANGE_VALID | RANGE_ACTIVE);
    assert_window_mapped(vm, m, base, UNIT, true);
    vm_stop(vm);
    model_stop(m);
}

/*
 * A device that takes its time after each reset: its memory is not active, and
 * no write of the guest's is lost once it is.  QEMU looks by itself, too.
 */
static void active_late(Model *m)
{
    Vm *vm = vm_start_with(m, TOPOLOGY, LOCKED);
    uint64_t base = window_base(vm, 0), value = 0x1122334455667788;
    unsigned round, tries;

    pci_enable(vm, 0);
    for (round = 0; round < 4; round++) {
        bool there = false;

        function_reset(vm);
        g_assert_cmphex(range_status(vm, 0, 0), ==, RANGE_VALID);
        assert_window_mapped(vm, m, base, UNIT, false);
        model_poke(m, 64, value);
        for (tries = 0; tries < 500 && !there; tries++) {
            g_usleep(10000);
            /* By a read alone: it may come before what would follow */
            there = round % 2 ? qtest_readq(vm->qts, base + 64) == value :
                    range_status(vm, 0, 0) == (RANGE_VALID | RANGE_ACTIVE);
        }
        g_assert_true(there);
        qtest_writeq(vm->qts, base + 64, value + round);
        g_assert_cmphex(model_peek(m, 64), ==, value + round);
    }
    vm_stop(vm);
    model_stop(m);
}

static void test_memory_active_late(void)
{
    active_late(model_start(DEFAULT_MODEL " --active-after 800"));
}

static void test_memory_active_late_newest(void)
{
    active_late(model_start_newest(DEFAULT_MODEL " --active-after 800"));
}

/*
 * What kernels do with a device in which no decoder is committed: its memory
 * does not answer.  A guest's own decoders change nothing about that, and it is
 * told so.
 */
static void test_memory_without_decoder(void)
{
    Model *m = model_start(DEFAULT_MODEL " --uncommitted");
    Vm *vm = vm_start_with(m, TOPOLOGY, GUEST);
    uint64_t base = window_base(vm, 0);

    pci_enable(vm, 0);
    qtest_writel(vm->qts, hdm_at(0, HDM_GLOBAL), 2);
    set_mem_enable(vm, 0, true);
    guest_program(vm, base);
    g_assert_cmphex(range_status(vm, 0, 0) & RANGE_ACTIVE, ==, 0);
    assert_window_mapped(vm, m, base, UNIT, false);
    vm_stop(vm);
    model_stop(m);
}

/*
 * The kernel's newest generation: memory space is a matter of BARs.  The memory
 * is there before it is on and stays when it goes, with no moment in between.
 */
static void test_memory_ignores_space(void)
{
    Model *m = model_start_newest(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, TOPOLOGY, LOCKED);
    uint64_t base = window_base(vm, 0);
    uint8_t pm;
    unsigned i;

    for (i = 0; i < 2; i++) {
        assert_window_mapped(vm, m, base, UNIT, true);
        pci_setup(vm, 0);
        g_assert_cmphex(range_status(vm, 0, 0), ==, RANGE_VALID | RANGE_ACTIVE);
        dev_set_command(vm, 0, COMMAND_MEMORY);
        forget_accesses(m);
        dev_set_command(vm, 0, 0);
        assert_region_accesses(m, 9, 0);
        assert_window_mapped(vm, m, base, UNIT, true);
        g_assert_cmphex(range_status(vm, 0, 0), ==, RANGE_VALID | RANGE_ACTIVE);

        /* Power does matter, and so does a reset */
        pm = find_cap(vm, 0, CAP_PM);
        dev_write16(vm, 0, pm + 4, 3);
        assert_window_mapped(vm, m, base, UNIT, false);
        dev_write16(vm, 0, pm + 4, 0);
        assert_window_mapped(vm, m, base, UNIT, true);
        set_busy(m, true);
        function_reset(vm);
        assert_window_mapped(vm, m, base, UNIT, false);
        set_busy(m, false);
        g_assert_cmphex(range_status(vm, 0, 0), ==, RANGE_VALID | RANGE_ACTIVE);
        assert_window_mapped(vm, m, base, UNIT, true);
        vm_reset(vm);
    }
    vm_stop(vm);
    model_stop(m);
}

/* Writes that leave the memory as it is cost no access to it */
static void test_config_writes_ask_nothing(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, TOPOLOGY, LOCKED);
    uint64_t base = window_base(vm, 0);
    uint8_t express, pm;
    unsigned i;

    pci_enable(vm, 0);
    express = find_cap(vm, 0, CAP_EXPRESS);
    pm = find_cap(vm, 0, CAP_PM);
    assert_window_mapped(vm, m, base, UNIT, true);
    forget_accesses(m);
    for (i = 0; i < 10; i++) {
        /* INTx masked and unmasked, as by a handler */
        dev_set_command(vm, 0, COMMAND_MEMORY | COMMAND_MASTER |
                               (i % 2 ? 0 : 0x400));
        dev_write16(vm, 0, express + 8, dev_read(vm, 0, express + 8) ^ 0x10);
        dev_write16(vm, 0, pm + 4, dev_read(vm, 0, pm + 4));
        dvsec_write(vm, DVSEC_CONTROL2, 0);
    }
    assert_region_accesses(m, 9, 0);
    assert_window_mapped(vm, m, base, UNIT, true);

    /* One that closes it does */
    forget_accesses(m);
    dev_set_command(vm, 0, 0);
    dev_set_command(vm, 0, COMMAND_MEMORY);
    assert_window_mapped(vm, m, base, UNIT, true);
    vm_stop(vm);
    model_stop(m);
}

/* Plain PCI devices */

/* The registers' page reads as 0, and what is written does not arrive */
static void assert_hidden(Vm *vm, Model *m)
{
    g_autofree char *before = model_ask(m, "state");
    g_autofree char *after = NULL;
    unsigned at, size;

    for (at = 0; at < 0x1000; at += 4) {
        g_assert_cmphex(qtest_readl(vm->qts, bar_at(0, CM + at)), ==, 0);
    }
    for (size = 1; size <= 8; size *= 2) {
        for (at = 0; at < 0x30; at += size) {
            write_sized(vm, hdm_at(0, at), UINT64_MAX, size);
            write_sized(vm, hdm_at(0, at), 0, size);
        }
    }
    /* What commits a physical decoder somewhere */
    hdm_program(vm, 16 * UNIT, UNIT, 0);
    hdm_program(vm, 16 * UNIT, UNIT, CTRL_COMMIT);
    for (at = 0; at < 0x30; at += 4) {
        g_assert_cmphex(qtest_readl(vm->qts, hdm_at(0, at)), ==, 0);
    }
    after = model_ask(m, "state");
    g_assert_cmpstr(before, ==, after);

    /* And the rest of the BAR is the device's */
    qtest_writel(vm->qts, bar_at(0, 0x1000), 0x12345678);
    g_assert_cmphex(qtest_readl(vm->qts, bar_at(0, 0x1000)), ==, 0x12345678);
    g_assert_cmphex(qtest_readl(vm->qts, bar_at(0, CM + 0x1000)), ==, 0);

    /* It announces no memory, and claims none */
    g_assert_cmphex(dvsec_read(vm, DVSEC_CAPABILITY) & 0x34, ==, 0);
    set_mem_enable(vm, 0, true);
    g_assert_false(mem_enabled(vm, 0));
    g_assert_cmphex(range_status(vm, 0, 0), ==, 0);
    g_assert_cmphex(dev_read(vm, 0, dvsec_at(vm, DVSEC_SIZE_LO(0))) >> 28, ==,
                    0);
    assert_dvsec_base(vm, 0, 0);
}

static void off_hides(const char *options)
{
    Model *m = model_start(options);
    Vm *vm = vm_start_with(m, TOPOLOGY, OFF);
    unsigned i;

    for (i = 0; i < 2; i++) {
        pci_enable(vm, 0);
        assert_hidden(vm, m);
        assert_window_mapped(vm, m, window_base(vm, 0), UNIT, false);
        vm_reset(vm);
    }
    device_del(vm);
    assert_model_let_go(m);
    vm_stop(vm);
    model_stop(m);
}

/* Decoders that the host's firmware has locked, and such that it has not */
static void test_off_hides(void)
{
    off_hides(DEFAULT_MODEL);
}

static void test_off_hides_uncommitted(void)
{
    off_hides(DEFAULT_MODEL " --uncommitted");
}

/* Whatever the kernel says is mapped, and however small it says the block is */
static void test_off_hides_lies(void)
{
    off_hides(DEFAULT_MODEL " --fault sparse-covers-block");
    off_hides(DEFAULT_MODEL " --fault comp-regs-small");
}

typedef struct PlainCase {
    const char *name;
    const char *model;
    const char *args;
    const char *device;
    const char *says;           /* the warning; "%s" is nothing of ours */
} PlainCase;

/* Where a machine ran before the kernel knew of CXL, it runs */
static const PlainCase plain_cases[] = {
    {
        .name = "plain/root-bus",
        .args = TOPOLOGY,
        .device = "'bus': 'pcie.0'",
        .says = "CXL: the device is on root bus 'pcie.0' itself, expected it "
                "below a cxl-rp on a pxb-cxl; used as a plain PCI device "
                "without its CXL memory, x-cxl-decoders=off says that this is "
                "meant",
    }, {
        .name = "plain/pcie-root-port",
        .args = "-device pcie-root-port,id=rp0,bus=pcie.0,chassis=0,slot=0 ",
        .says = "CXL: root port 'rp0' is on bus 'pcie.0', which is not a CXL "
                "bus, expected a cxl-rp with bus= set to the id of a pxb-cxl; "
                "used as a plain PCI device without its CXL memory, "
                "x-cxl-decoders=off says that this is meant",
    }, {
        .name = "plain/no-memory-region",
        .model = "--fault no-memory-region",
        .args = TOPOLOGY,
        .says = "CXL: the kernel flags the device as CXL but gives no CXL "
                "memory region, expected one; used as a plain PCI device, a "
                "kernel that gives the memory is needed for more",
    },
};

static void test_plain(const void *opaque)
{
    const PlainCase *c = opaque;
    Model *m = model_start(c->model ?: DEFAULT_MODEL);
    g_autofree char *device = device_arg(m, c->device ?: LOCKED);
    g_autofree char *args = g_strconcat(c->args, device, NULL);
    g_autofree char *output = NULL;
    const char *first;

    g_assert_cmpint(run_qemu(args, &output), ==, 0);
    g_test_message("said: %s", output);
    first = strstr(output, c->says);
    g_assert_nonnull(first);
    g_assert_null(strstr(first + strlen(c->says), "CXL: "));
    model_stop(m);
}

/* Below a port that is not CXL's it is there, with its decoders hidden */
static void test_plain_hides(void)
{
    Model *m = model_start(DEFAULT_MODEL " --fault no-memory-region");
    Vm *vm = vm_start_with(m, TOPOLOGY, LOCKED);

    pci_enable(vm, 0);
    assert_hidden(vm, m);
    vm_stop(vm);
    model_stop(m);
}

typedef struct NotHidden {
    const char *fault;
    const char *only;           /* generation, NULL: both */
    const char *text;
} NotHidden;

#define CANNOT_HIDE \
    "\nWithout that the physical decoders cannot be hidden from the guest."

/* Where QEMU does not know what to hide, it gives nothing */
static const NotHidden not_hidden[] = {
    { "no-comp-regs-region", NULL,
      "CXL: the device is flagged as CXL but has no component register region "
      "(type 0x80001e98, subtype 2)" CANNOT_HIDE },
    { "bar-index-6", NULL,
      "CXL: component registers are said to stand in BAR 6, expected 0 to 5"
      CANNOT_HIDE },
    { "block-outside-bar", "live",
      "CXL: component registers at offset 0x100200, 0x30 bytes, expected them "
      "dword aligned inside BAR 0 of 0x100000 bytes" CANNOT_HIDE },
    { "device-cap-missing", "shadow",
      "CXL: component register region 10 has no capability 6 that says where "
      "in which BAR it stands" CANNOT_HIDE },
    { "block-over-msix", NULL, "overlap the MSI-X table or pending bits" },
};

static void test_not_hidden(const void *opaque)
{
    const NotHidden *c = opaque;
    g_autofree char *options = g_strdup_printf("--fault %s", c->fault);
    Model *m = model_start(options);
    g_autofree char *device = device_arg(m, OFF);
    g_autofree char *args = g_strconcat(TOPOLOGY, device, NULL);

    assert_refused(args, c->text);
    assert_model_let_go(m);
    model_stop(m);
}

/* Caches */

/* However QEMU ends, the device is told before the kernel resets it */
static void test_write_back_at_quit(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, TOPOLOGY, LOCKED);
    int64_t before = model_state(m, NULL, "cache_writebacks");
    g_autofree char *device = NULL;
    g_autofree char *args = NULL;
    g_autofree char *output = NULL;

    /* vm_stop() ends it by SIGTERM */
    vm_stop(vm);
    g_assert_cmpint(model_state(m, NULL, "cache_writebacks"), ==, before + 1);

    before = model_state(m, NULL, "cache_writebacks");
    device = device_arg(m, OFF);
    args = g_strconcat(TOPOLOGY, device, NULL);
    g_assert_cmpint(run_qemu(args, &output), ==, 0);
    /* At the first reset, and when QEMU quits */
    g_assert_cmpint(model_state(m, NULL, "cache_writebacks"), >, before);
    model_stop(m);
}

/* A device that does not end its write-back holds up nobody for a second */
static void test_write_back_of_function_reset(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, TOPOLOGY, LOCKED);
    int64_t start, spent;

    pci_enable(vm, 0);
    set_busy(m, true);
    start = g_get_monotonic_time();
    function_reset(vm);
    qtest_qmp_assert_success(vm->qts, "{'execute': 'query-status'}");
    spent = g_get_monotonic_time() - start;
    g_test_message("%" PRId64 " us", spent);
    g_assert_cmpint(spent, >=, 100000);
    g_assert_cmpint(spent, <, 500000);
    vm_stop(vm);
    model_stop(m);
}

/* The sweep of the DVSEC */

#define DVSEC_FIRST     DVSEC_CAPABILITY
#define DVSEC_END       0x38u

/*
 * CXL r3.1 Section 8.1.3, register by register, and what of it this device has:
 * by dword, the bits that software can change, those that CONFIG_LOCK protects
 * and, of a locked device, that are firmware's.  Doorbells read as 0.
 */
typedef struct DvsecDword {
    uint32_t reg;
    uint32_t rw, rwl;           /* always; until CONFIG_LOCK is set */
    uint32_t guest;             /* likewise, where the guest owns the ranges */
} DvsecDword;

static const DvsecDword dvsec_dwords[] = {
    { 0x08, 0, 0, 0 },                          /* id, CAPABILITY */
    { 0x0c, 0, 0x4ffd, 0 },                     /* CONTROL, STATUS */
    { 0x10, 0x0019, 0, 0 },                     /* CONTROL2, STATUS2 */
    { 0x18, 0, 0, 0 }, { 0x1c, 0, 0, 0 },       /* size of range 1 */
    { 0x20, 0, 0, 0xffffffff },                 /* base of range 1 */
    { 0x24, 0, 0, 0xf0000000 },
    { 0x28, 0, 0, 0 }, { 0x2c, 0, 0, 0 },       /* range 2 */
    { 0x30, 0, 0, 0xffffffff },
    { 0x34, 0, 0, 0xf0000000 },
};

/* The status bits of a range follow from Mem_Enable, see above */
static uint32_t without_status(uint32_t reg, uint32_t value)
{
    return reg == DVSEC_SIZE_LO(0) || reg == DVSEC_SIZE_LO(1) ? value & ~3u
           : reg == DVSEC_CONTROL2 ? value & 0x001f : value;
}

/* Bytes [@at, @at + @size) of the dword at @reg change to those of @value */
static uint32_t put_bytes(uint32_t reg, uint32_t old, uint32_t at,
                          uint32_t value, unsigned size)
{
    unsigned i;

    for (i = 0; i < size; i++) {
        unsigned shift = 8 * (at + i - reg);

        old = (old & ~(0xffu << shift)) |
              ((value >> (8 * i) & 0xff) << shift);
    }
    return old;
}

static unsigned sweep_dword(Vm *vm, const DvsecDword *d, bool guest,
                            bool locked)
{
    static const uint32_t values[] = {
        0, 0xffffffff, 0x55555555, 0xaaaaaaaa, 0x10000004,
    };
    uint32_t rw = d->rw | (locked ? 0 : d->rwl | (guest ? d->guest : 0));
    uint64_t at = dev_at(vm, 0, dvsec_at(vm, d->reg));
    unsigned i, size, offset, steps = 0;

    for (size = 1; size <= 4; size *= 2) {
        for (offset = 0; offset < 4; offset += size) {
            for (i = 0; i < ARRAY_SIZE(values); i++) {
                /* Not the doorbells: they have tests of their own */
                uint32_t value = d->reg == DVSEC_CONTROL2
                                 ? values[i] & ~(0x6u >> (8 * offset))
                                 : values[i];
                uint32_t old = qtest_readl(vm->qts, at);
                uint32_t put = put_bytes(d->reg, old, d->reg + offset, value,
                                         size);
                uint32_t want = (old & ~rw) | (put & rw);
                uint32_t now;

                write_sized(vm, at + offset, value, size);
                now = qtest_readl(vm->qts, at);
                if (without_status(d->reg, now) !=
                    without_status(d->reg, want)) {
                    g_test_message("0x%x: %u bytes 0x%x at +%u, was 0x%x",
                                   d->reg, size, value, offset, old);
                }
                g_assert_cmphex(without_status(d->reg, now), ==,
                                without_status(d->reg, want));
                steps++;
            }
        }
    }
    return steps;
}

static void dvsec_sweep(const char *members)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, TOPOLOGY, members);
    bool guest = g_str_equal(members, GUEST);
    uint64_t base = window_base(vm, 0);
    unsigned lock, i, steps = 0;

    pci_enable(vm, 0);
    if (guest) {
        qtest_writel(vm->qts, hdm_at(0, HDM_GLOBAL), 2);
        guest_program(vm, base);
    }
    for (lock = 0; lock < 2; lock++) {
        for (i = 0; i < ARRAY_SIZE(dvsec_dwords); i++) {
            steps += sweep_dword(vm, &dvsec_dwords[i], guest, lock);
            /* Whatever was written, the memory is where Mem_Enable has it */
            g_assert_cmpint(memory_seen(vm, m, base, 0), ==,
                            mem_enabled(vm, 0));
            assert_device_enabled(m);
        }
        set_mem_enable(vm, 0, true);
        dvsec_write(vm, DVSEC_LOCK, LOCK_CONFIG);
    }
    g_assert_cmphex(dvsec_read(vm, DVSEC_LOCK), ==, LOCK_CONFIG);
    g_assert_true(mem_enabled(vm, 0));
    g_test_message("%u writes", steps);
    vm_stop(vm);
    model_stop(m);
}

static void test_sweep_locked(void)
{
    dvsec_sweep(LOCKED);
}

static void test_sweep_guest(void)
{
    dvsec_sweep(GUEST);
}

static void add_tests(void)
{
    size_t i;

#define TEST(path, func)    qtest_add_func("/vfio-cxl-config/" path, func)
    TEST("mem-enable/locked", test_mem_enable_locked);
    TEST("mem-enable/guest", test_mem_enable_guest);
    TEST("config-lock/locked", test_config_lock_locked);
    TEST("config-lock/guest", test_config_lock_guest);
    TEST("ranges/claim-nothing", test_ranges_claim_nothing);
    TEST("ranges/size", test_ranges_size);
    TEST("memory-active/locked", test_memory_active);
    TEST("memory-active/guest", test_memory_active_guest);
    TEST("memory-active/never", test_memory_never_active);
    TEST("memory-active/late", test_memory_active_late);
    TEST("memory-active/without-decoder", test_memory_without_decoder);
    if (!shadow()) {
        TEST("memory-active/late-newest", test_memory_active_late_newest);
        TEST("memory-ignores-space", test_memory_ignores_space);
    }
    TEST("asks-nothing", test_config_writes_ask_nothing);
    TEST("closes-first", test_closes_first);
    TEST("off/hides", test_off_hides);
    TEST("off/hides-uncommitted", test_off_hides_uncommitted);
    TEST("off/hides-lies", test_off_hides_lies);
    TEST("plain-hides", test_plain_hides);
    TEST("write-back/end", test_write_back_at_quit);
    TEST("write-back/function-reset", test_write_back_of_function_reset);
    TEST("sweep/locked", test_sweep_locked);
    TEST("sweep/guest", test_sweep_guest);
#undef TEST
    for (i = 0; i < ARRAY_SIZE(plain_cases); i++) {
        g_autofree char *path = g_strdup_printf("/vfio-cxl-config/%s",
                                                plain_cases[i].name);

        qtest_add_data_func(path, &plain_cases[i], test_plain);
    }
    for (i = 0; i < ARRAY_SIZE(not_hidden); i++) {
        g_autofree char *path = g_strdup_printf("/vfio-cxl-config/not-hidden/"
                                                "%s", not_hidden[i].fault);

        if (!not_hidden[i].only ||
            g_str_equal(not_hidden[i].only, contract())) {
            qtest_add_data_func(path, &not_hidden[i], test_not_hidden);
        }
    }
}

int main(int argc, char **argv)
{
    return vfio_cxl_test_main(argc, argv, add_tests);
}
