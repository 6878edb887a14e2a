/*
 * CXL Type-2 devices over vfio-user and vfio: what happens to them over time
 *
 * Resets of every kind, hotplug and reprogramming without end, the host bridge
 * above, and what can be seen of all that from outside.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "qemu/bswap.h"
#include "qemu/cutils.h"
#include "qapi/error.h"
#include "qobject/qbool.h"
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#include "qobject/qnum.h"
#include "qobject/qstring.h"
#include "vfio-cxl-util.h"
#include <sys/wait.h>

#define UNIT            (256 * MiB)

#define PASS_THROUGH    BRIDGE(0, 52, "")
#define GUEST           "'bus': 'rp0', 'x-cxl-decoders': 'guest'"
#define LOCKED          "'bus': 'rp0'"

#define CAP_AF          0x13
#define BRIDGE_CONTROL  0x3e
#define BUS_RESET       0x40

/* Looking in */

/* Member @name of property x-cxl, a string or an enum */
static void assert_info(Vm *vm, const char *name, const char *value)
{
    QDict *answer = device_get(vm, "x-cxl");

    g_assert_cmpstr(qdict_get_str(qdict_get_qdict(answer, "return"), name), ==,
                    value);
    qobject_unref(answer);
}

static bool info_bool(Vm *vm, const char *name)
{
    QDict *answer = device_get(vm, "x-cxl");
    bool value = qdict_get_bool(qdict_get_qdict(answer, "return"), name);

    qobject_unref(answer);
    return value;
}

static void test_properties_locked(void)
{
    Model *m = model_start("--decoders 2 --decoder-size 256M");
    Vm *vm = vm_start_with(m, WINDOW("cxl.0", "1G") BRIDGE_0 PORT(0), LOCKED);
    uint64_t base = window_base(vm, 0);
    g_autofree char *shown = NULL;
    QDict *answer, *info, *window;

    assert_info(vm, "contract", contract());
    assert_info(vm, "mode", "locked");
    g_assert_true(info_bool(vm, "bridge-decoders"));
    answer = device_get(vm, "x-cxl");
    info = qdict_get_qdict(answer, "return");
    g_assert_cmphex(qdict_get_int(info, "memory-size"), ==, 2 * UNIT);
    window = qdict_get_qdict(info, "window");
    g_assert_cmpstr(qdict_get_str(window, "name"), ==, "cxl-fmw.0");
    g_assert_cmphex(qdict_get_int(window, "base"), ==, base);
    g_assert_cmphex(qdict_get_int(window, "size"), ==, 4 * UNIT);
    qobject_unref(answer);

    g_assert_false(info_bool(vm, "memory-open"));
    assert_decoder(vm, 0, "closed", true, base, UNIT, 0);
    pci_enable(vm, 0);
    g_assert_true(info_bool(vm, "memory-open"));
    assert_decoder(vm, 0, "mapped", true, base, UNIT, 0);
    assert_decoder(vm, 1, "mapped", true, base + UNIT, UNIT, UNIT);
    qtest_writel(vm->qts, hdm_at(0, HDM_GLOBAL), 0);
    assert_decoder(vm, 1, "disabled", true, base + UNIT, UNIT, UNIT);

    /* By hand it looks like this */
    shown = qtest_hmp(vm->qts, "qom-get /machine/peripheral/dev0 x-cxl");
    g_assert_nonnull(strstr(shown, "\"name\": \"cxl-fmw.0\""));
    vm_stop(vm);
    model_stop(m);
}

static void test_properties_guest(void)
{
    Model *m = model_start("--hdm-size 512M");
    Vm *vm = vm_start_with(m, WINDOW("cxl.0", "512M") BRIDGE_0 PORT(0), GUEST);
    uint64_t base = window_base(vm, 0);

    assert_info(vm, "mode", "guest");
    guest_enable(vm, 0);
    assert_decoder(vm, 0, "uncommitted", false, 0, 0, 0);
    hdm_program(vm, base, 4 * UNIT, CTRL_COMMIT);
    assert_decoder(vm, 0, "refused", false, base, 4 * UNIT, 0);
    hdm_program(vm, base + UNIT, UNIT, 0);
    assert_decoder(vm, 0, "uncommitted", false, base + UNIT, UNIT, 0);
    hdm_program(vm, base + UNIT, UNIT, CTRL_COMMIT);
    assert_decoder(vm, 0, "disabled", false, base + UNIT, UNIT, 0);
    qtest_writel(vm->qts, hdm_at(0, HDM_GLOBAL), 2);
    assert_decoder(vm, 0, "not-reached", false, base + UNIT, UNIT, 0);
    bridge_program(vm, 0, base, 2 * UNIT, CTRL_COMMIT);
    assert_decoder(vm, 0, "mapped", false, base + UNIT, UNIT, 0);
    dev_set_command(vm, 0, 0);
    assert_decoder(vm, 0, "closed", false, base + UNIT, UNIT, 0);
    vm_stop(vm);
    model_stop(m);
}

/* It is listed, and nobody can set it; without CXL there is none */
static void test_properties_read_only(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, TOPOLOGY, LOCKED);
    g_autofree char *list = qtest_hmp(vm->qts,
                                      "qom-list /machine/peripheral/dev0");
    g_autofree char *plain = NULL;
    QDict *error;

    g_assert_nonnull(strstr(list, "x-cxl (VfioCxlInfo)"));
    error = qtest_qmp_assert_failure_ref(vm->qts, "{'execute': 'qom-set', "
        "'arguments': {'path': '/machine/peripheral/dev0', "
        "'property': 'x-cxl', 'value': 1}}");
    g_assert_nonnull(strstr(qdict_get_str(error, "desc"), "x-cxl"));
    qobject_unref(error);
    vm_stop(vm);

    vm = vm_start_with(m, TOPOLOGY, "'bus': 'rp0', 'x-cxl-decoders': 'off'");
    plain = qtest_hmp(vm->qts, "qom-list /machine/peripheral/dev0");
    g_assert_null(strstr(plain, "x-cxl ("));
    vm_stop(vm);
    model_stop(m);
}

/* Host bridges */

/* The mapping follows what the bridge leads to the device */
static void test_bridge_follows(void)
{
    Model *m = model_start("--hdm-size 512M");
    Vm *vm = vm_start_with(m, WINDOW("cxl.0", "1G") BRIDGE_0 PORT(0), GUEST);
    uint64_t base = window_base(vm, 0), at = bridge_hdm(vm, 0);
    unsigned i;

    guest_enable(vm, 0);
    qtest_writel(vm->qts, hdm_at(0, HDM_GLOBAL), 2);
    hdm_program(vm, base + UNIT, 2 * UNIT, CTRL_COMMIT);
    g_assert_cmphex(qtest_readl(vm->qts, hdm_at(0, HDM_CTRL(0))), ==,
                    CTRL_COMMIT | CTRL_COMMITTED);
    assert_window_mapped(vm, m, base + UNIT, 2 * UNIT, false);

    for (i = 0; i < 3; i++) {
        /* The same range; all of it and more; all but the start, the end */
        bridge_program(vm, 0, base + UNIT, 2 * UNIT, CTRL_COMMIT);
        assert_window_mapped(vm, m, base + UNIT, 2 * UNIT, true);
        qtest_writel(vm->qts, at + HDM_CTRL(0), 0);
        assert_window_mapped(vm, m, base + UNIT, 2 * UNIT, false);
        bridge_program(vm, 0, base, 4 * UNIT, CTRL_COMMIT);
        assert_window_mapped(vm, m, base + UNIT, 2 * UNIT, true);
        bridge_program(vm, 0, base + 2 * UNIT, 2 * UNIT, CTRL_COMMIT);
        assert_window_mapped(vm, m, base + UNIT, 2 * UNIT, false);
        bridge_program(vm, 0, base, 2 * UNIT, CTRL_COMMIT);
        assert_window_mapped(vm, m, base + UNIT, 2 * UNIT, false);
    }

    /* To another port, or to several in turn, is not to this one */
    bridge_program(vm, 0, base, 4 * UNIT, CTRL_COMMIT);
    assert_window_mapped(vm, m, base + UNIT, 2 * UNIT, true);
    qtest_writel(vm->qts, at + HDM_SKIP(0), 1);
    assert_window_mapped(vm, m, base + UNIT, 2 * UNIT, false);
    qtest_writel(vm->qts, at + HDM_SKIP(0), 0);
    assert_window_mapped(vm, m, base + UNIT, 2 * UNIT, true);
    qtest_writel(vm->qts, at + HDM_CTRL(0), CTRL_COMMIT | 0x10);
    assert_window_mapped(vm, m, base + UNIT, 2 * UNIT, false);
    qtest_writel(vm->qts, at + HDM_CTRL(0), CTRL_COMMIT);
    assert_window_mapped(vm, m, base + UNIT, 2 * UNIT, true);

    /* Any of its decoders will do; a size that wraps covers nothing */
    qtest_writel(vm->qts, at + HDM_CTRL(0), 0);
    qtest_writel(vm->qts, at + HDM_BASE(2), (uint32_t)base);
    qtest_writel(vm->qts, at + HDM_BASE(2) + 4, base >> 32);
    qtest_writel(vm->qts, at + HDM_SIZE(2), 3 * UNIT);
    qtest_writel(vm->qts, at + HDM_CTRL(2), CTRL_COMMIT);
    assert_window_mapped(vm, m, base + UNIT, 2 * UNIT, true);
    qtest_writel(vm->qts, at + HDM_CTRL(2), 0);
    bridge_program(vm, 0, 0xfffffffff0000000, 0xfffffffff0000000, CTRL_COMMIT);
    assert_window_mapped(vm, m, base + UNIT, 2 * UNIT, false);

    /* The machine's reset takes the bridge's decoders too, both are anew */
    bridge_program(vm, 0, base, 4 * UNIT, CTRL_COMMIT);
    assert_window_mapped(vm, m, base + UNIT, 2 * UNIT, true);
    vm_reset(vm);
    g_assert_cmphex(qtest_readl(vm->qts, at + HDM_CTRL(0)), ==, 0);
    guest_enable(vm, 0);
    assert_window_mapped(vm, m, base + UNIT, 2 * UNIT, false);
    vm_stop(vm);
    model_stop(m);
}

/* Below a bridge that passes through nobody else has a say */
static void test_bridge_passes(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, WINDOW_0 PASS_THROUGH PORT(0), GUEST);
    uint64_t base = window_base(vm, 0);

    g_assert_false(info_bool(vm, "bridge-decoders"));
    guest_enable(vm, 0);
    qtest_writel(vm->qts, hdm_at(0, HDM_GLOBAL), 2);
    hdm_program(vm, base, UNIT, CTRL_COMMIT);
    assert_window_mapped(vm, m, base, UNIT, true);
    vm_stop(vm);
    model_stop(m);
}

/* The bridge's decoder says of type and granularity what the device's does */
static void test_bridge_attributes(void)
{
    Model *m = model_start("--hdm-size 256M --fault decoder-host-only");
    Vm *vm = vm_start_with(m, TOPOLOGY, LOCKED);
    uint32_t ctrl = CTRL_FIRMWARE | 0x1000;

    pci_enable(vm, 0);
    g_assert_cmphex(qtest_readl(vm->qts, hdm_at(0, HDM_CTRL(0))), ==, ctrl);
    g_assert_cmphex(qtest_readl(vm->qts, bridge_hdm(vm, 0) + HDM_CTRL(0)), ==,
                    ctrl);
    vm_stop(vm);
    model_stop(m);
}

/* Decoders that are locked, and no bridge to match: Linux makes no use of it */
static void test_warn_pass_through(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    g_autofree char *locked = device_arg(m, LOCKED);
    g_autofree char *guest = device_arg(m, GUEST);
    g_autofree char *args = g_strconcat(WINDOW_0 PASS_THROUGH PORT(0), locked,
                                        NULL);
    g_autofree char *other = g_strconcat(WINDOW_0 PASS_THROUGH PORT(0), guest,
                                         NULL);
    g_autofree char *wanted =
        g_strdup_printf("vfio %s: CXL: the decoders are locked and "
                        "the host bridge 'cxl.0' has none that match, so a "
                        "Linux guest will not use the memory; set "
                        "hdm_for_passthrough=on on 'cxl.0', or "
                        "x-cxl-decoders=guest", m->name);
    g_autofree char *output = NULL;
    g_autofree char *quiet = NULL;

    g_assert_cmpint(run_qemu(args, &output), ==, 0);
    g_assert_nonnull(strstr(output, wanted));
    g_assert_cmpint(run_qemu(other, &quiet), ==, 0);
    g_assert_null(strstr(quiet, "hdm_for_passthrough"));
    model_stop(m);
}

/* Resets */

static void act_system_reset(Vm *vm, Model *m)
{
    vm_reset(vm);
}

/* By the machine's own register, as a guest that reboots does */
static void act_guest_reboot(Vm *vm, Model *m)
{
    if (g_str_equal(board->arch, "x86_64")) {
        qtest_outb(vm->qts, 0xcf9, 0x6);
        qtest_qmp_eventwait(vm->qts, "RESET");
        vm_find_ecam(vm);
    } else {
        /* There is no such register: PSCI is for CPUs to call */
        vm_reset(vm);
    }
}

static void act_function_reset(Vm *vm, Model *m)
{
    uint8_t express = find_cap(vm, 0, CAP_EXPRESS);
    uint16_t value = dev_read(vm, 0, express + 8);
    int64_t resets = model_resets(m, "function");

    dev_write16(vm, 0, express + 8, value | 0x8000);
    assert_resets(m, "function", resets);
}

static void act_advanced_features(Vm *vm, Model *m)
{
    uint8_t af = find_cap(vm, 0, CAP_AF);
    int64_t resets = model_resets(m, "function");

    qtest_writeb(vm->qts, dev_at(vm, 0, af + 4), 1);
    assert_resets(m, "function", resets);
}

static void act_cxl_reset(Vm *vm, Model *m)
{
    uint16_t dvsec = find_dvsec(vm, 0, DVSEC_DEVICE);
    uint16_t value = dev_read(vm, 0, dvsec + 0x10);
    int64_t resets = model_resets(m, "cxl");

    dev_write16(vm, 0, dvsec + 0x10, value | 4);
    assert_resets(m, "cxl", resets);
    g_assert_cmphex(dev_read(vm, 0, dvsec + 0x12) & 2, ==, 2);
}

/* A hot reset of the link, by the port above it */
static void act_bus_reset(Vm *vm, Model *m)
{
    uint64_t control = port_at(vm, 0, BRIDGE_CONTROL);
    uint16_t value = qtest_readw(vm->qts, control);
    int64_t resets = model_resets(m, "device");

    qtest_writew(vm->qts, control, value | BUS_RESET);
    qtest_writew(vm->qts, control, value);
    g_assert_cmpint(model_resets(m, "device"), >, resets);
}

static void act_power_state(Vm *vm, Model *m)
{
    uint64_t base = window_base(vm, 0);
    uint8_t pm = find_cap(vm, 0, CAP_PM);
    uint16_t control = dev_read(vm, 0, pm + 4);

    dev_write16(vm, 0, pm + 4, control | 3);
    assert_window_mapped(vm, m, base, UNIT, false);
    g_assert_false(info_bool(vm, "memory-open"));
    dev_write16(vm, 0, pm + 4, control);
}

static void act_memory_space(Vm *vm, Model *m)
{
    uint64_t base = window_base(vm, 0);

    dev_set_command(vm, 0, COMMAND_MASTER);
    assert_window_mapped(vm, m, base, UNIT, false);
    g_assert_false(info_bool(vm, "memory-open"));
    dev_set_command(vm, 0, COMMAND_MEMORY | COMMAND_MASTER);
}

typedef struct Reset {
    const char *name;
    void (*act)(Vm *vm, Model *m);
    bool conventional;      /* decoders are as after power-on */
    bool machine;           /* those of the host bridge too */
    bool clears;            /* the device's memory */
    bool disables;          /* Mem_Enable and HDM Decoder Enable are clear */
} Reset;

/* The table in docs/system/devices/vfio-cxl.rst, "Resets" */
static const Reset resets[] = {
    { "system-reset", act_system_reset, true, true, true },
    { "guest-reboot", act_guest_reboot, true, true, true },
    { "secondary-bus-reset", act_bus_reset, true, false, true },
    { "function-level-reset", act_function_reset, false, false, true },
    { "function-level-reset-af", act_advanced_features, false, false, true },
    { "cxl-reset", act_cxl_reset, false, false, true, true },
    { "d3hot-and-back", act_power_state, false, false, false },
    { "memory-space-off-and-on", act_memory_space, false, false, false },
};

#define MARK            0x1122334455667788

static void assert_marks(Vm *vm, Model *m, uint64_t value)
{
    g_assert_cmphex(model_peek(m, 8), ==, value);
    g_assert_cmphex(model_peek(m, UNIT - 8), ==, value);
}

/* A committed decoder takes no new range while it is locked */
static void assert_locked(Vm *vm, uint64_t base)
{
    hdm_program(vm, base + UNIT, 2 * UNIT, 0);
    g_assert_cmphex(qtest_readq(vm->qts, hdm_at(0, HDM_BASE(0))), ==, base);
    g_assert_cmphex(qtest_readq(vm->qts, hdm_at(0, HDM_SIZE(0))), ==, UNIT);
    g_assert_cmphex(qtest_readl(vm->qts, hdm_at(0, HDM_CTRL(0))), ==,
                    CTRL_FIRMWARE);
}

/* Right after @r: not seen, and not before memory space is on again */
static void assert_closed(Vm *vm, Model *m, const Reset *r, uint64_t base)
{
    if (r->conventional) {
        assert_window_mapped(vm, m, base, UNIT, false);
        g_assert_false(info_bool(vm, "memory-open"));
        pci_setup(vm, 0);
        assert_window_mapped(vm, m, base, UNIT, false);
        g_assert_false(info_bool(vm, "memory-open"));
        pci_enable(vm, 0);
    }
}

/* Two times in one machine: the second finds what the first has left */
static void test_reset_locked(const void *opaque)
{
    const Reset *r = opaque;
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, TOPOLOGY, LOCKED);
    uint64_t base = window_base(vm, 0);
    unsigned i;

    pci_enable(vm, 0);
    for (i = 0; i < 2; i++) {
        qtest_writeq(vm->qts, base + 8, MARK);
        qtest_writeq(vm->qts, base + UNIT - 8, MARK);
        assert_marks(vm, m, MARK);
        if (r->conventional && i) {
            /* What the guest has changed is not there afterwards */
            qtest_writel(vm->qts, hdm_at(0, HDM_GLOBAL), 0);
        }
        r->act(vm, m);

        assert_closed(vm, m, r, base);
        assert_firmware_decoder(vm, 0, base, UNIT);
        assert_dvsec_base(vm, 0, base);
        assert_bridge_decoder(vm, 0, base, UNIT);
        assert_decoder(vm, 0, "mapped", true, base, UNIT, 0);
        assert_marks(vm, m, r->clears ? 0 : MARK);
        assert_window_mapped(vm, m, base, UNIT, true);

        /* Locked as before */
        assert_locked(vm, base);
        assert_firmware_decoder(vm, 0, base, UNIT);
        assert_window_mapped(vm, m, base, UNIT, true);
    }
    vm_stop(vm);
    model_stop(m);
}

/* After a reset that takes the guest's decoders: empty, and not locked */
static void assert_decoders_gone(Vm *vm, Model *m, const Reset *r,
                                 uint64_t base)
{
    g_assert_cmphex(qtest_readl(vm->qts, hdm_at(0, HDM_CTRL(0))), ==, 0);
    g_assert_cmphex(qtest_readq(vm->qts, hdm_at(0, HDM_BASE(0))), ==, 0);
    g_assert_cmphex(qtest_readq(vm->qts, hdm_at(0, HDM_SIZE(0))), ==, 0);
    g_assert_cmphex(qtest_readl(vm->qts, hdm_at(0, HDM_GLOBAL)), ==, 0);
    assert_dvsec_base(vm, 0, 0);
    assert_window_mapped(vm, m, base, UNIT, false);
    assert_decoder(vm, 0, "uncommitted", false, 0, 0, 0);
    g_assert_cmphex(qtest_readl(vm->qts, bridge_hdm(vm, 0) + HDM_CTRL(0)), ==,
                    r->machine ? 0 : CTRL_COMMIT | CTRL_COMMITTED);
    assert_marks(vm, m, 0);

    /* It can be programmed anew */
    if (r->machine) {
        bridge_program(vm, 0, base, UNIT, CTRL_COMMIT);
    }
    g_assert_false(mem_enabled(vm, 0));
    set_mem_enable(vm, 0, true);
    qtest_writel(vm->qts, hdm_at(0, HDM_GLOBAL), 2);
    hdm_program(vm, base, UNIT, CTRL_COMMIT);
    assert_decoder(vm, 0, "mapped", false, base, UNIT, 0);
}

/* After one that does not: as before, and what was locked still is */
static void assert_decoders_kept(Vm *vm, Model *m, const Reset *r,
                                 uint64_t base, uint32_t lock)
{
    uint16_t dvsec = find_dvsec(vm, 0, DVSEC_DEVICE);

    g_assert_cmphex(qtest_readl(vm->qts, hdm_at(0, HDM_CTRL(0))), ==,
                    CTRL_COMMIT | CTRL_COMMITTED | lock);
    g_assert_cmphex(qtest_readq(vm->qts, hdm_at(0, HDM_BASE(0))), ==, base);
    g_assert_cmphex(qtest_readq(vm->qts, hdm_at(0, HDM_SIZE(0))), ==, UNIT);
    g_assert_cmphex(dev_read(vm, 0, dvsec + 0x20), ==, base >> 32);
    assert_marks(vm, m, r->clears ? 0 : MARK);
    assert_decoder(vm, 0, "mapped", lock, base, UNIT, 0);
    assert_window_mapped(vm, m, base, UNIT, true);

    if (lock) {
        assert_locked(vm, base);
        assert_window_mapped(vm, m, base, UNIT, true);
    } else {
        qtest_writel(vm->qts, hdm_at(0, HDM_CTRL(0)), 0);
        g_assert_cmphex(qtest_readl(vm->qts, hdm_at(0, HDM_CTRL(0))), ==, 0);
        assert_window_mapped(vm, m, base, UNIT, false);
        hdm_program(vm, base, UNIT, CTRL_COMMIT);
    }
}

static void test_reset_guest(const void *opaque)
{
    const Reset *r = opaque;
    uint32_t locks[] = { 0, CTRL_LOCK };
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(locks); i++) {
        Model *m = model_start(DEFAULT_MODEL);
        Vm *vm = vm_start_with(m, WINDOW("cxl.0", "1G") BRIDGE_0 PORT(0),
                               GUEST);
        uint64_t base = window_base(vm, 0);
        uint16_t dvsec;

        guest_enable(vm, 0);
        dvsec = find_dvsec(vm, 0, DVSEC_DEVICE);
        qtest_writel(vm->qts, hdm_at(0, HDM_GLOBAL), 2);
        hdm_program(vm, base, UNIT, CTRL_COMMIT | locks[i]);
        bridge_program(vm, 0, base, UNIT, CTRL_COMMIT);
        qtest_writel(vm->qts, dev_at(vm, 0, dvsec + 0x20), base >> 32);
        assert_window_mapped(vm, m, base, UNIT, true);
        qtest_writeq(vm->qts, base + 8, MARK);
        qtest_writeq(vm->qts, base + UNIT - 8, MARK);
        r->act(vm, m);

        assert_closed(vm, m, r, base);
        if (r->conventional) {
            assert_decoders_gone(vm, m, r, base);
        } else {
            if (r->disables) {
                g_assert_false(mem_enabled(vm, 0));
                g_assert_cmphex(qtest_readl(vm->qts, hdm_at(0, HDM_GLOBAL)),
                                ==, 0);
                assert_window_mapped(vm, m, base, UNIT, false);
                set_mem_enable(vm, 0, true);
                qtest_writel(vm->qts, hdm_at(0, HDM_GLOBAL), 2);
            }
            g_assert_true(mem_enabled(vm, 0));
            assert_decoders_kept(vm, m, r, base, locks[i]);
        }
        assert_window_mapped(vm, m, base, UNIT, true);
        vm_stop(vm);
        model_stop(m);
    }
}

/*
 * After a reset a shadow kernel knows the guest's address no more: it is told
 * again, whether the guest has decoding enabled or not
 */
static void test_told_again(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, TOPOLOGY, LOCKED);
    uint64_t base = window_base(vm, 0);
    uint64_t wanted = shadow() ? base : host_base();

    pci_enable(vm, 0);
    g_assert_cmphex(model_kernel_base(m, 0), ==, wanted);
    act_function_reset(vm, m);
    g_assert_cmphex(model_kernel_base(m, 0), ==, wanted);
    assert_window_mapped(vm, m, base, UNIT, true);

    qtest_writel(vm->qts, hdm_at(0, HDM_GLOBAL), 0);
    act_function_reset(vm, m);
    assert_decoder(vm, 0, "disabled", true, base, UNIT, 0);
    g_assert_cmphex(model_kernel_base(m, 0), ==, wanted);

    /* And where it is not to be used meanwhile, when it is */
    dev_set_command(vm, 0, 0);
    act_function_reset(vm, m);
    pci_enable(vm, 0);
    qtest_writel(vm->qts, hdm_at(0, HDM_GLOBAL), 2);
    g_assert_cmphex(model_kernel_base(m, 0), ==, wanted);
    assert_window_mapped(vm, m, base, UNIT, true);
    vm_stop(vm);
    model_stop(m);
}

/* Slow to answer: not mapped before it does, and then by itself */
static void test_not_ready(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, TOPOLOGY, LOCKED);
    uint64_t base = window_base(vm, 0);
    unsigned i, round;

    pci_enable(vm, 0);
    for (round = 0; round < 3; round++) {
        assert_window_mapped(vm, m, base, UNIT, true);
        g_free(model_ask(m, "busy 1"));
        if (round == 2) {
            uint8_t af = find_cap(vm, 0, CAP_AF);

            qtest_writeb(vm->qts, dev_at(vm, 0, af + 4), 1);
        } else if (round == 1) {
            uint8_t express = find_cap(vm, 0, CAP_EXPRESS);
            uint16_t value = dev_read(vm, 0, express + 8);

            dev_write16(vm, 0, express + 8, value | 0x8000);
        } else {
            dev_set_command(vm, 0, 0);
            dev_set_command(vm, 0, COMMAND_MEMORY);
        }
        assert_decoder(vm, 0, "closed", true, base, UNIT, 0);
        g_usleep(100000);
        assert_decoder(vm, 0, "closed", true, base, UNIT, 0);
        assert_window_mapped(vm, m, base, UNIT, false);
        g_free(model_ask(m, "busy 0"));

        /* No write of the guest's tells it: QEMU asks again */
        for (i = 0; i < 100; i++) {
            if (info_bool(vm, "memory-open")) {
                break;
            }
            g_usleep(20000);
        }
        assert_decoder(vm, 0, "mapped", true, base, UNIT, 0);
        assert_window_mapped(vm, m, base, UNIT, true);
    }

    /* Turned off meanwhile it stays out, however ready it is */
    g_free(model_ask(m, "busy 1"));
    dev_set_command(vm, 0, 0);
    dev_set_command(vm, 0, COMMAND_MEMORY);
    dev_set_command(vm, 0, 0);
    g_free(model_ask(m, "busy 0"));
    g_usleep(300000);
    g_assert_false(info_bool(vm, "memory-open"));
    vm_stop(vm);
    model_stop(m);
}

/* A device that does not answer is reported once, and asked for ever */
static void test_never_gives_up(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    g_autofree char *wanted =
        g_strdup_printf("vfio %s: CXL: the memory does not answer 5 s after it "
                        "was turned on, expected it to; it stays out of the "
                        "guest's reach until it does", m->name);
    Capture capture;
    uint64_t base;
    unsigned i;
    Vm *vm;

    capture_start(&capture);
    vm = vm_start_with(m, TOPOLOGY, LOCKED);
    capture_release(&capture);
    base = window_base(vm, 0);
    g_free(model_ask(m, "busy 1"));
    pci_enable(vm, 0);
    assert_decoder(vm, 0, "closed", true, base, UNIT, 0);
    g_usleep(3 * G_USEC_PER_SEC);
    capture_wait(&capture, wanted);
    assert_decoder(vm, 0, "closed", true, base, UNIT, 0);
    qtest_qmp_assert_success(vm->qts, "{'execute': 'query-status'}");

    /* Beyond the ten seconds after which a device was given up once */
    g_usleep(5500000);
    g_free(model_ask(m, "busy 0"));
    for (i = 0; i < 120; i++) {
        uint64_t at;

        if (find_decoder(vm->qts, m, 0, 0, &at, NULL)) {
            break;
        }
        g_usleep(50000);
    }
    assert_window_mapped(vm, m, base, UNIT, true);
    vm_stop(vm);
    capture_end(&capture);
    model_stop(m);
}

/* Why a guest finds nothing, for whoever traces */
static void test_traces(void)
{
    static const char *const wanted[] = {
        "vfio_cxl_setup ", "vfio_cxl_check_topology ",
        "vfio_cxl_firmware_commit ",
        "vfio_cxl_memory_set_open ", "vfio_cxl_memory_map ",
        "decoder 0 does not do what was asked: it is locked",
        "decoder 0 is mapped", "decoder 0 is closed", "vfio_cxl_memory_unmap ",
    };
    static const char *const wanted_of_guest[] = {
        "decoder 0 does not do what was asked: it is not inside the window",
        "vfio_cxl_validate_commit ",
    };
    Model *m = model_start(DEFAULT_MODEL);
    Capture capture;
    unsigned i;
    Vm *vm;

    capture_start(&capture);
    vm = vm_start_with(m, "-trace 'vfio_cxl*' " TOPOLOGY, LOCKED);
    capture_release(&capture);
    pci_enable(vm, 0);
    qtest_writel(vm->qts, hdm_at(0, HDM_CTRL(0)), 0);
    dev_set_command(vm, 0, 0);
    for (i = 0; i < ARRAY_SIZE(wanted); i++) {
        capture_wait(&capture, wanted[i]);
    }
    vm_stop(vm);
    capture_end(&capture);

    capture_start(&capture);
    vm = vm_start_with(m, "-trace 'vfio_cxl*' " TOPOLOGY, GUEST);
    capture_release(&capture);
    pci_enable(vm, 0);
    hdm_program(vm, window_base(vm, 0) + UNIT, UNIT, CTRL_COMMIT);
    for (i = 0; i < ARRAY_SIZE(wanted_of_guest); i++) {
        capture_wait(&capture, wanted_of_guest[i]);
    }
    vm_stop(vm);
    capture_end(&capture);
    model_stop(m);
}

/* Accepted, with a warning @wanted */
static void assert_warns(const char *options, const char *wanted)
{
    Model *m = model_start(options);
    g_autofree char *device = device_arg(m, LOCKED);
    g_autofree char *args = g_strconcat(TOPOLOGY, device, NULL);
    g_autofree char *output = NULL;
    int status = run_qemu(args, &output);

    g_test_message("said: %s", output);
    g_assert_cmpint(status, ==, 0);
    g_assert_nonnull(strstr(output, wanted));
    model_stop(m);
}

static void test_warn_not_mapped(void)
{
    assert_warns("--fault memory-no-mmap",
                 "CXL: memory region 9 cannot be mapped, every access of the "
                 "guest will be slow");
}

static void test_warn_not_sealed(void)
{
    assert_warns("--fault memory-fd-unsealed",
                 "CXL: memory region 9: its file has no seal F_SEAL_SHRINK and "
                 "could be truncated");
}

/* Over and over */

typedef struct Usage {
    unsigned regions;       /* MemoryRegions, by QOM */
    unsigned fds;
    unsigned threads;
    unsigned blockers;      /* of migration */
    size_t rss;             /* of QEMU's own, in KiB */
} Usage;

static unsigned count_entries(const char *fmt, pid_t pid)
{
    g_autofree char *path = g_strdup_printf(fmt, (int)pid);
    GDir *dir = g_dir_open(path, 0, NULL);
    unsigned n = 0;

    g_assert_nonnull(dir);
    while (g_dir_read_name(dir)) {
        n++;
    }
    g_dir_close(dir);
    return n;
}

/* Anonymous memory: the guest's RAM and devices' memory, mapped, is not ours */
static size_t read_rss(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/status", (int)pid);
    g_autofree char *text = NULL;
    unsigned long kib;
    const char *line;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    line = strstr(text, "RssAnon:");
    g_assert_nonnull(line);
    g_assert_cmpint(qemu_strtoul(line + strlen("RssAnon:"), &line, 10, &kib),
                    ==, 0);
    return kib;
}

static unsigned count_blockers(Vm *vm)
{
    QDict *state = qtest_qmp_assert_success_ref(vm->qts,
                                                "{'execute': 'query-migrate'}");
    QList *reasons = qdict_get_qlist(state, "blocked-reasons");
    unsigned n = reasons ? qlist_size(reasons) : 0;

    qobject_unref(state);
    return n;
}

static Usage get_usage(Vm *vm, const char *when)
{
    pid_t pid = qtest_pid(vm->qts);
    g_autofree char *tree = qtest_hmp(vm->qts, "info qom-tree /");
    Usage u = {
        .fds = count_entries("/proc/%d/fd", pid),
        .threads = count_entries("/proc/%d/task", pid),
        .blockers = count_blockers(vm),
        .rss = read_rss(pid),
    };
    const char *at = tree;

    while ((at = strstr(at, "memory-region)"))) {
        u.regions++;
        at++;
    }
    g_assert_cmpuint(u.regions, >, 0);
    g_test_message("%s: %u memory regions, %u files, %u threads, %u migration "
                   "blockers, %zu KiB of anonymous memory", when, u.regions,
                   u.fds, u.threads, u.blockers, u.rss);
    return u;
}

/*
 * One MiB is what the allocator may keep for itself.  What waits to be freed is
 * more on a busy machine, and the heap keeps its greatest size: that happens
 * once or twice.  What each cycle loses is lost in every round, so where this
 * is true there are some more, MOST_ROUNDS at most.
 */
#define KEPT_KIB        1024
#define MOST_ROUNDS     4

static bool has_grown(const Usage *before, const Usage *after)
{
    return after->rss > before->rss + KEPT_KIB;
}

static void assert_flat(const Usage *before, const Usage *after)
{
    g_assert_cmpuint(after->regions, ==, before->regions);
    g_assert_cmpuint(after->fds, ==, before->fds);
    g_assert_cmpuint(after->threads, <=, before->threads);
    g_assert_cmpuint(after->blockers, ==, before->blockers);
    g_assert_cmpuint(after->rss, <=, before->rss + KEPT_KIB);
}

static void plug_and_unplug(Vm *vm, Model *m)
{
    uint64_t base = window_base(vm, 0);

    g_assert_cmpuint(count_blockers(vm), ==, 0);
    device_add(vm, m, LOCKED);
    /* The kernel may have a reason of its own not to migrate the device */
    if (host_function()) {
        g_assert_cmpuint(count_blockers(vm), >, 0);
    } else {
        g_assert_cmpuint(count_blockers(vm), ==, 1);
    }
    slot_power(vm, true);
    pci_enable(vm, 0);
    g_assert_true(memory_seen(vm, m, base, 0));
    g_assert_true(memory_seen(vm, m, base + UNIT - 8, UNIT - 8));
    device_del(vm);
    g_assert_false(memory_seen(vm, m, base, 0));
}

/* What a guest does that has not noticed; both ends are looked at */
static void use_memory(Vm *vm, Model *m, uint64_t base, bool there)
{
    g_autofree uint8_t *bytes = g_malloc(64 * KiB);
    unsigned i;

    memset(bytes, 0x5a, 64 * KiB);
    for (i = 0; i < 4; i++) {
        qtest_memwrite(vm->qts, base + i * 64 * MiB + 4096, bytes, 64 * KiB);
        qtest_memread(vm->qts, base + i * 64 * MiB + 4096, bytes, 64 * KiB);
        if (there) {
            g_assert_cmphex(ldq_le_p(bytes), ==, 0x5a5a5a5a5a5a5a5a);
        }
    }
    g_assert_cmpint(memory_seen(vm, m, base, 0), ==, there);
    g_assert_cmpint(memory_seen(vm, m, base + UNIT - 8, UNIT - 8), ==, there);
}

/* The same with the memory in use before, between and after all the steps */
static void plug_in_use(Vm *vm, Model *m)
{
    uint64_t base = window_base(vm, 0);

    use_memory(vm, m, base, false);
    device_add(vm, m, LOCKED);
    use_memory(vm, m, base, false);
    slot_power(vm, true);
    use_memory(vm, m, base, false);
    pci_setup(vm, 0);
    use_memory(vm, m, base, false);
    dev_set_command(vm, 0, COMMAND_MEMORY | COMMAND_MASTER);
    use_memory(vm, m, base, true);
    qtest_writel(vm->qts, hdm_at(0, HDM_GLOBAL), 0);
    use_memory(vm, m, base, false);
    qtest_writel(vm->qts, hdm_at(0, HDM_GLOBAL), 2);
    use_memory(vm, m, base, true);

    /* Asked to go, with the guest's word outstanding: it is still there */
    qtest_qmp_assert_success(vm->qts, "{'execute': 'device_del', "
                             "'arguments': {'id': 'dev0'}}");
    use_memory(vm, m, base, true);
    slot_power(vm, false);
    use_memory(vm, m, base, false);
    qtest_qmp_eventwait(vm->qts, "DEVICE_DELETED");
    use_memory(vm, m, base, false);
}

static void repeat_plugs(void (*plug)(Vm *vm, Model *m))
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start(TOPOLOGY);
    Usage before, after;
    unsigned i, rounds = 0;

    /* The first ones fill caches and grow the heap */
    for (i = 0; i < 20; i++) {
        plug(vm, m);
    }
    after = get_usage(vm, "after 20 cycles");
    do {
        before = after;
        for (i = 0; i < 100; i++) {
            plug(vm, m);
        }
        after = get_usage(vm, "after 100 more");
    } while (++rounds < MOST_ROUNDS && has_grown(&before, &after));
    assert_flat(&before, &after);
    if (!host_function()) {
        g_assert_cmpint(model_state(m, NULL, "opens"), ==, 20 + 100 * rounds);
    }
    assert_model_let_go(m);
    vm_stop(vm);
    model_stop(m);
}

static void test_hundred_plugs(void)
{
    repeat_plugs(plug_and_unplug);
}

static void test_hundred_plugs_in_use(void)
{
    repeat_plugs(plug_in_use);
}

static void commit_and_uncommit(Vm *vm, unsigned i)
{
    qtest_writel(vm->qts, hdm_at(0, HDM_CTRL(0)), CTRL_COMMIT);
    g_assert_cmphex(qtest_readl(vm->qts, hdm_at(0, HDM_CTRL(0))), ==,
                    CTRL_COMMIT | CTRL_COMMITTED);
    qtest_writel(vm->qts, hdm_at(0, HDM_CTRL(0)), 0);
    g_assert_cmphex(qtest_readl(vm->qts, hdm_at(0, HDM_CTRL(0))), ==, 0);
    if (i % 10 == 0) {
        /* Views of memory that nobody uses any more are freed at leisure */
        g_usleep(20000);
    }
}

static void commit_often(Vm *vm, Model *m, uint64_t base, unsigned times)
{
    unsigned i;

    for (i = 0; i < times; i++) {
        uint64_t at = base + i % 4 * UNIT;

        hdm_program(vm, at, UNIT, 0);
        if (i % 100 == 50) {
            qtest_writel(vm->qts, hdm_at(0, HDM_CTRL(0)), CTRL_COMMIT);
            g_assert_true(memory_seen(vm, m, at + 64, 64));
            /* By the bridge in between */
            bridge_program(vm, 0, base, 4 * UNIT, 0);
            g_assert_false(memory_seen(vm, m, at + 64, 64));
            bridge_program(vm, 0, base, 4 * UNIT, CTRL_COMMIT);
            g_assert_true(memory_seen(vm, m, at + 64, 64));
            qtest_writel(vm->qts, hdm_at(0, HDM_CTRL(0)), 0);
            g_assert_false(memory_seen(vm, m, at + 64, 64));
        }
        commit_and_uncommit(vm, i);
    }
}

static void test_thousand_commits(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, WINDOW("cxl.0", "1G") BRIDGE_0 PORT(0), GUEST);
    uint64_t base = window_base(vm, 0);
    g_autofree char *tree = NULL;
    g_autofree char *now = NULL;
    Usage before, after;
    unsigned rounds = 0;

    guest_enable(vm, 0);
    bridge_program(vm, 0, base, 4 * UNIT, CTRL_COMMIT);
    qtest_writel(vm->qts, hdm_at(0, HDM_GLOBAL), 2);
    tree = qtest_hmp(vm->qts, "info mtree");
    commit_often(vm, m, base, 100);
    after = get_usage(vm, "after 100 commits");
    do {
        before = after;
        commit_often(vm, m, base, 1000);
        after = get_usage(vm, "after 1000 more");
    } while (++rounds < MOST_ROUNDS && has_grown(&before, &after));
    assert_flat(&before, &after);
    now = qtest_hmp(vm->qts, "info mtree");
    g_assert_cmpstr(now, ==, tree);
    vm_stop(vm);
    model_stop(m);
}

static int compare_times(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

/*
 * Commit all of a device of @size: how many ranges the machine's address spaces
 * have with it.  How long it takes from the write that commits to the first
 * access, the median, is said and not judged.
 */
static unsigned commit_ranges(const char *size, uint64_t bytes)
{
    g_autofree char *ranges = NULL;
    g_auto(GStrv) lines = NULL;
    g_autofree char *options = g_strdup_printf("--hdm-size %s", size);
    g_autofree char *topology =
        g_strdup_printf("-M cxl-fmw.0.targets.0=cxl.0,cxl-fmw.0.size=%s %s",
                        size, PASS_THROUGH PORT(0));
    Model *m = model_start(options);
    Vm *vm = vm_start_with(m, topology, GUEST);
    uint64_t base = window_base(vm, 0);
    int64_t times[201];
    unsigned i;

    guest_enable(vm, 0);
    qtest_writel(vm->qts, hdm_at(0, HDM_GLOBAL), 2);
    hdm_program(vm, base, bytes, 0);
    model_poke(m, bytes - 8, MARK);
    for (i = 0; i < ARRAY_SIZE(times); i++) {
        int64_t start = g_get_monotonic_time();

        qtest_writel(vm->qts, hdm_at(0, HDM_CTRL(0)), CTRL_COMMIT);
        g_assert_cmphex(qtest_readq(vm->qts, base + bytes - 8), ==, MARK);
        times[i] = g_get_monotonic_time() - start;
        qtest_writel(vm->qts, hdm_at(0, HDM_CTRL(0)), 0);
    }
    qsort(times, ARRAY_SIZE(times), sizeof(times[0]), compare_times);
    g_test_message("%s: commit to first access %" PRId64 " us", size,
                   times[ARRAY_SIZE(times) / 2]);

    forget_accesses(m);
    qtest_writel(vm->qts, hdm_at(0, HDM_CTRL(0)), CTRL_COMMIT);
    assert_region_accesses(m, 9, 0);
    ranges = qtest_hmp(vm->qts, "info mtree -f");
    lines = g_strsplit(ranges, "\n", -1);
    vm_stop(vm);
    model_stop(m);
    return g_strv_length(lines);
}

/* What a commit is made of does not depend on how much memory there is */
static void test_commit_cost(void)
{
    g_assert_cmpuint(commit_ranges("256M", UNIT), ==,
                     commit_ranges("256G", 256 * GiB));
}

/* Snapshots and migration */

static void test_snapshots(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, TOPOLOGY, LOCKED);
    g_autofree char *wanted =
        g_strdup_printf("vfio %s: the memory of a CXL device cannot be "
                        "migrated", m->name);
    g_autofree char *saved = NULL;
    QDict *error;

    saved = qtest_hmp(vm->qts, "savevm here");
    g_assert_nonnull(strstr(saved, wanted));

    error = qtest_qmp_assert_failure_ref(vm->qts, "{'execute': 'migrate', "
        "'arguments': {'uri': 'exec:cat >/dev/null'}}");
    g_assert_nonnull(strstr(qdict_get_str(error, "desc"), wanted));
    qobject_unref(error);

    /* It is the device that is in the way */
    device_del(vm);
    g_free(saved);
    saved = qtest_hmp(vm->qts, "savevm here");
    g_assert_null(strstr(saved, "CXL"));
    vm_stop(vm);
    model_stop(m);
}

/* A job tells by how it ends */
static void test_snapshot_job(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, TOPOLOGY, LOCKED);
    bool concluded = false;
    const QListEntry *it;
    const char *why;
    QDict *answer;

    qtest_qmp_assert_success(vm->qts, "{'execute': 'snapshot-save', "
        "'arguments': {'job-id': 'save', 'tag': 'here', 'vmstate': 'none', "
        "'devices': []}}");
    while (!concluded) {
        QDict *event = qtest_qmp_eventwait_ref(vm->qts, "JOB_STATUS_CHANGE");

        concluded = g_str_equal(qdict_get_str(qdict_get_qdict(event, "data"),
                                              "status"), "concluded");
        qobject_unref(event);
    }
    answer = qtest_qmp(vm->qts, "{'execute': 'query-jobs'}");
    it = qlist_first(qdict_get_qlist(answer, "return"));
    why = qdict_get_str(qobject_to(QDict, qlist_entry_obj(it)), "error");
    g_assert_nonnull(strstr(why, m->name));
    g_assert_nonnull(strstr(why, "the memory of a CXL device cannot be "
                                 "migrated"));
    qobject_unref(answer);
    vm_stop(vm);
    model_stop(m);
}

/* Why it is not run with the host's function */
#define OTHER_REASON \
    "one reason is given, and that may be that the kernel does not migrate it"

static void add_resets(void)
{
    size_t i;

    for (i = 0; i < ARRAY_SIZE(resets); i++) {
        g_autofree char *locked =
            g_strdup_printf("/vfio-cxl-life/reset/%s/locked", resets[i].name);
        g_autofree char *guest =
            g_strdup_printf("/vfio-cxl-life/reset/%s/guest", resets[i].name);

        qtest_add_data_func(locked, &resets[i], test_reset_locked);
        qtest_add_data_func(guest, &resets[i], test_reset_guest);
    }
}

static void add_tests(void)
{
#define TEST(path, func)     qtest_add_func("/vfio-cxl-life/" path, func)
#define OWN(path, func, why) add_model_test("/vfio-cxl-life/" path, func, why)
    OWN("properties/locked", test_properties_locked, ANOTHER_MODEL);
    OWN("properties/guest", test_properties_guest, ANOTHER_MODEL);
    TEST("properties/read-only", test_properties_read_only);
    OWN("bridge/follows", test_bridge_follows, ANOTHER_MODEL);
    TEST("bridge/passes", test_bridge_passes);
    OWN("bridge/attributes", test_bridge_attributes, ANOTHER_MODEL);
    TEST("bridge/warn-pass-through", test_warn_pass_through);
    add_resets();
    OWN("told-again", test_told_again, ASKED);
    TEST("traces", test_traces);
    OWN("not-ready", test_not_ready, ASKED);
    OWN("not-ready/never-gives-up", test_never_gives_up, ASKED);
    OWN("warn/not-mapped", test_warn_not_mapped, ANOTHER_MODEL);
    OWN("warn/not-sealed", test_warn_not_sealed, ANOTHER_MODEL);
    TEST("cycles/hotplug", test_hundred_plugs);
    TEST("cycles/hotplug-in-use", test_hundred_plugs_in_use);
    TEST("cycles/commit", test_thousand_commits);
    OWN("cycles/commit-cost", test_commit_cost, ANOTHER_MODEL);
    OWN("snapshots", test_snapshots, OTHER_REASON);
    OWN("snapshots/job", test_snapshot_job, OTHER_REASON);
#undef OWN
#undef TEST
}

int main(int argc, char **argv)
{
    return vfio_cxl_test_main(argc, argv, add_tests);
}
