/*
 * CXL Type-2 devices over vfio-user and vfio
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "qemu/bswap.h"
#include "qemu/cutils.h"
#include "qemu/sockets.h"
#include "qapi/error.h"
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#include "qobject/qstring.h"
#include "vfio-cxl-util.h"
#include <sys/un.h>
#include <sys/wait.h>

/*
 * Is there any part of the host's address in these bytes?  The model's is made
 * for that question.  A real one is found as registers have it: as two dwords,
 * the upper one first or last, with other fields in the low bits.
 */
static void assert_no_host_address(const uint8_t *bytes, size_t size,
                                   const char *where)
{
    uint64_t base = host_base();
    uint8_t wanted[2];
    const uint8_t *found;
    size_t i;

    for (i = 0; i + 8 <= size; i += 4) {
        uint32_t first = ldl_le_p(bytes + i), second = ldl_le_p(bytes + i + 4);

        if (((first ^ (uint32_t)base) < 1u << 28 && second == base >> 32) ||
            ((second ^ (uint32_t)base) < 1u << 28 && first == base >> 32)) {
            g_error("host address at 0x%zx of %s", i, where);
        }
    }
    if (host_function()) {
        return;
    }
    stw_le_p(wanted, HOST_BASE_HI);
    found = memmem(bytes, size, wanted, sizeof(wanted));
    if (found) {
        g_error("host address at 0x%zx of %s", (size_t)(found - bytes), where);
    }
}

static void assert_no_host_address_at(Vm *vm, uint64_t addr, size_t size,
                                      const char *where)
{
    g_autofree uint8_t *bytes = g_malloc(size);

    qtest_memread(vm->qts, addr, bytes, size);
    assert_no_host_address(bytes, size, where);
}

/* Configuration space */

static void test_config(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, TOPOLOGY, "'bus': 'rp0'");
    uint64_t base = window_base(vm, 0);
    uint16_t locator;

    pci_enable(vm, 0);
    g_assert_cmphex(dev_read(vm, 0, 0), ==, DEVICE_ID << 16 | VENDOR_ID);
    g_assert_cmphex(dev_read(vm, 0, 8) >> 8, ==, 0x120000);
    g_assert_cmphex(find_cap(vm, 0, CAP_EXPRESS), !=, 0);
    assert_dvsec_base(vm, 0, base);

    /* The component registers are where the guest will look for them */
    locator = find_dvsec(vm, 0, DVSEC_LOCATOR);
    g_assert_cmphex(locator, !=, 0);
    g_assert_cmphex(dev_read(vm, 0, locator + 0x0c), ==, COMPONENT | 1 << 8);
    g_assert_cmphex(dev_read(vm, 0, locator + 0x10), ==, 0);

    vm_stop(vm);
    model_stop(m);
}

/* Memory in two ranges: the second one's addresses are behind the first's */
static void test_dvsec_two_ranges(void)
{
    Model *m = model_start("--hdm-size 1G --fault dvsec-two-ranges");
    Vm *vm = vm_start_with(m, WINDOW("cxl.0", "1G") BRIDGE_0 PORT(0),
                           "'bus': 'rp0'");
    uint64_t base = window_base(vm, 0), second = base + 512 * MiB;
    uint16_t dvsec;
    unsigned i;

    for (i = 0; i < 2; i++) {
        pci_enable(vm, 0);
        dvsec = find_dvsec(vm, 0, DVSEC_DEVICE);
        g_assert_cmphex(dev_read(vm, 0, dvsec + 0x1c) >> 28, ==, 2);
        g_assert_cmphex(dev_read(vm, 0, dvsec + 0x2c) >> 28, ==, 2);
        g_assert_cmphex(dev_read(vm, 0, dvsec + 0x20), ==, base >> 32);
        g_assert_cmphex(dev_read(vm, 0, dvsec + 0x24), ==, (uint32_t)base);
        g_assert_cmphex(dev_read(vm, 0, dvsec + 0x30), ==, second >> 32);
        g_assert_cmphex(dev_read(vm, 0, dvsec + 0x34), ==, (uint32_t)second);
        vm_reset(vm);
    }
    vm_stop(vm);
    model_stop(m);
}

/* The range bases of a locked device are read-only, its control is not */
static void test_config_dvsec_writes(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, TOPOLOGY, "'bus': 'rp0'");
    uint64_t base = window_base(vm, 0);
    uint16_t dvsec, control;
    unsigned i;

    pci_enable(vm, 0);
    dvsec = find_dvsec(vm, 0, DVSEC_DEVICE);
    for (i = 0x20; i < 0x38; i += 4) {
        qtest_writel(vm->qts, dev_at(vm, 0, dvsec + i), 0xffffffff);
        qtest_writew(vm->qts, dev_at(vm, 0, dvsec + i), 0x1234);
        qtest_writeb(vm->qts, dev_at(vm, 0, dvsec + i + 3), 0x56);
    }
    assert_dvsec_base(vm, 0, base);
    assert_window_mapped(vm, m, base, 256 * MiB, true);

    /* CACHE_ENABLE */
    control = dev_read(vm, 0, dvsec + 0x0c);
    dev_write16(vm, 0, dvsec + 0x0c, control ^ 1);
    g_assert_cmphex((uint16_t)dev_read(vm, 0, dvsec + 0x0c), ==, control ^ 1);
    /* With a kernel it need not get further than to that */
    if (!host_function()) {
        g_assert_cmphex(model_state(m, "dvsec", "control"), ==, control ^ 1);
    }

    vm_stop(vm);
    model_stop(m);
}

static void test_no_host_address(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, TOPOLOGY, "'bus': 'rp0'");
    uint64_t base = window_base(vm, 0);

    if (base == host_base()) {
        g_test_skip("the guest's window is where the host has the memory");
        vm_stop(vm);
        model_stop(m);
        return;
    }
    if (!host_function()) {
        g_autofree char *state = model_ask(m, "state");
        g_autofree char *number = g_strdup_printf("%" PRIu64, host_base());

        /* The device does have it, or nothing would be shown here */
        g_assert_nonnull(strstr(state, number));
    }

    assert_no_host_address_at(vm, dev_at(vm, 0, 0), 4096, "config space");
    pci_enable(vm, 0);
    assert_no_host_address_at(vm, dev_at(vm, 0, 0), 4096, "config space");
    assert_no_host_address_at(vm, bar_at(0, 0), BAR_SIZE, "BAR 0");
    assert_no_host_address_at(vm, bar_at(0, ENGINE_BAR), ENGINE_BAR_SIZE,
                              "BAR 2");
    assert_no_host_address_at(vm, base, MiB, "the window");
    assert_no_host_address_at(vm, base + 255 * MiB, MiB, "the window");

    /* Nor after a reset */
    vm_reset(vm);
    assert_no_host_address_at(vm, dev_at(vm, 0, 0), 4096, "config space");

    vm_stop(vm);
    model_stop(m);
}

/* Overlay */

static void make_image(Vm *vm, uint8_t *image, uint64_t base, uint64_t size)
{
    memset(image, 0, 0x30);
    stl_le_p(image, qtest_readl(vm->qts, hdm_at(0, 0)));
    stl_le_p(image + HDM_GLOBAL, 2);
    stq_le_p(image + HDM_BASE(0), base);
    stq_le_p(image + HDM_SIZE(0), size);
    stl_le_p(image + HDM_CTRL(0), CTRL_FIRMWARE);
}

static void test_overlay_reads(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, TOPOLOGY, "'bus': 'rp0'");
    uint8_t image[0x30];
    unsigned at, size;

    pci_enable(vm, 0);
    assert_firmware_decoder(vm, 0, window_base(vm, 0), 256 * MiB);
    make_image(vm, image, window_base(vm, 0), 256 * MiB);
    /* One decoder */
    g_assert_cmphex(image[0] & 0xf, ==, 0);
    for (size = 1; size <= 8; size *= 2) {
        for (at = 0; at + size <= sizeof(image); at++) {
            g_assert_cmphex(read_sized(vm, hdm_at(0, at), size), ==,
                            ldn_le_p(image + at, size));
        }
    }
    vm_stop(vm);
    model_stop(m);
}

/* Whatever is written: all reads back as before, and stays where it is */
static void test_overlay_writes(void)
{
    static const uint64_t values[] = {
        0, UINT64_MAX, 0x0000020000000200, 0x0000060000000600,
        0x1000000010000000,
    };
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, TOPOLOGY, "'bus': 'rp0'");
    uint64_t base = window_base(vm, 0);
    uint8_t image[0x30], now[0x30];
    unsigned at, size, i;

    pci_enable(vm, 0);
    make_image(vm, image, base, 256 * MiB);
    for (i = 0; i < ARRAY_SIZE(values); i++) {
        for (size = 1; size <= 8; size *= 2) {
            for (at = 0; at + size <= sizeof(image); at++) {
                write_sized(vm, hdm_at(0, at), values[i], size);
                /* Global Control is the guest's, locked or not */
                if (size >= 4 && at % 4 == 0 && at <= HDM_GLOBAL &&
                    at + size > HDM_GLOBAL) {
                    uint32_t global = values[i] >> (8 * (HDM_GLOBAL - at));

                    g_assert_cmphex(qtest_readl(vm->qts, hdm_at(0, HDM_GLOBAL)),
                                    ==, global & 3);
                    qtest_writel(vm->qts, hdm_at(0, HDM_GLOBAL), 2);
                }
                qtest_memread(vm->qts, hdm_at(0, 0), now, sizeof(now));
                g_assert_cmpmem(now, sizeof(now), image, sizeof(image));
            }
        }
    }
    assert_window_mapped(vm, m, base, 256 * MiB, true);
    vm_stop(vm);
    model_stop(m);
}

/* The decoder block is QEMU's: the device is not asked */
static void test_overlay_no_round_trip(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, TOPOLOGY, "'bus': 'rp0'");
    unsigned at;

    pci_enable(vm, 0);
    forget_accesses(m);
    for (at = 0; at < 0x30; at += 4) {
        qtest_readl(vm->qts, hdm_at(0, at));
        qtest_writel(vm->qts, hdm_at(0, at), 0x200);
    }
    g_free(model_ask(m, "state"));
    assert_region_accesses(m, 10, 0);
    /*
     * While a register next to it is the device's, in the BAR or, with shadow,
     * in the region that the kernel has for the registers.
     */
    qtest_readl(vm->qts, bar_at(0, CM));
    assert_region_accesses(m, shadow() ? 10 : 0, 1);
    vm_stop(vm);
    model_stop(m);
}

/* Decoding off and on again is the guest's right */
static void test_overlay_global_enable(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, TOPOLOGY, "'bus': 'rp0'");
    uint64_t base = window_base(vm, 0);

    pci_enable(vm, 0);
    assert_window_mapped(vm, m, base, 256 * MiB, true);
    qtest_writel(vm->qts, hdm_at(0, HDM_GLOBAL), 0);
    assert_window_mapped(vm, m, base, 256 * MiB, false);
    qtest_writel(vm->qts, hdm_at(0, HDM_GLOBAL), 2);
    assert_window_mapped(vm, m, base, 256 * MiB, true);
    vm_stop(vm);
    model_stop(m);
}

/* The capability array and the other capabilities are the device's own */
static void test_pass_through(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, TOPOLOGY, "'bus': 'rp0'");
    uint32_t entries, i;
    uint64_t link;
    bool hdm = false;

    pci_enable(vm, 0);
    g_assert_cmphex(qtest_readl(vm->qts, bar_at(0, CM)) & 0xffff, ==, 1);
    entries = qtest_readl(vm->qts, bar_at(0, CM)) >> 24;
    g_assert_cmpuint(entries, ==, 3);
    for (i = 1; i <= entries; i++) {
        uint32_t entry = qtest_readl(vm->qts, bar_at(0, CM + 4 * i));

        if ((entry & 0xffff) == 5) {
            g_assert_cmphex(CM + (entry >> 20), ==, HDM);
            hdm = true;
        }
    }
    g_assert_true(hdm);

    /*
     * RAS, by the dword: a mask that can be written.  Link: 8-byte registers,
     * in one access and as parts.  With shadow these are a snapshot, and what
     * is written is dropped.
     */
    g_assert_cmphex(qtest_readl(vm->qts, bar_at(0, CM_RAS + 4)), ==, 0x1cfff);
    qtest_writel(vm->qts, bar_at(0, CM_RAS + 4), 0x1);
    g_assert_cmphex(qtest_readl(vm->qts, bar_at(0, CM_RAS + 4)), ==,
                    shadow() ? 0x1cfff : 0x1);

    link = shadow() ? qtest_readq(vm->qts, bar_at(0, CM_LINK + 0x10))
                    : 0x123456789abULL;
    g_assert_cmphex(qtest_readq(vm->qts, bar_at(0, CM_LINK)), ==, 0x4002);
    qtest_writeq(vm->qts, bar_at(0, CM_LINK + 0x10), 0x123456789abULL);
    g_assert_cmphex(qtest_readq(vm->qts, bar_at(0, CM_LINK + 0x10)), ==, link);
    g_assert_cmphex(qtest_readl(vm->qts, bar_at(0, CM_LINK + 0x14)), ==,
                    extract64(link, 32, 32));
    g_assert_cmphex(qtest_readw(vm->qts, bar_at(0, CM_LINK + 0x12)), ==,
                    extract64(link, 16, 16));
    g_assert_cmphex(qtest_readb(vm->qts, bar_at(0, CM_LINK + 0x11)), ==,
                    extract64(link, 8, 8));

    vm_stop(vm);
    model_stop(m);
}

/* What is not left out of the BAR is mapped: no message goes to the device */
static void bar_direct(const char *options, bool whole_block, bool direct)
{
    /* Around the decoders' page, or around the whole component block */
    static const uint64_t around_page[] = {
        0, COMPONENT, CM - 4, CM + 0x1000, BAR_SIZE - 4,
    };
    static const uint64_t around_block[] = {
        0, 8, COMPONENT - 4, COMPONENT + 0x10000, BAR_SIZE - 4,
    };
    const uint64_t *offsets = whole_block ? around_block : around_page;
    Model *m = model_start(options);
    Vm *vm = vm_start_with(m, TOPOLOGY, "'bus': 'rp0'");
    unsigned i;

    QEMU_BUILD_BUG_ON(ARRAY_SIZE(around_page) != ARRAY_SIZE(around_block));
    pci_enable(vm, 0);
    forget_accesses(m);
    for (i = 0; i < ARRAY_SIZE(around_page); i++) {
        qtest_writel(vm->qts, bar_at(0, offsets[i]), 0xabcd0000 + i);
    }
    for (i = 0; i < ARRAY_SIZE(around_page); i++) {
        g_assert_cmphex(qtest_readl(vm->qts, bar_at(0, offsets[i])), ==,
                        0xabcd0000 + i);
    }
    assert_region_accesses(m, 0, direct ? 0 : 2 * ARRAY_SIZE(around_page));
    /* Where it is the hole, or nothing else, the decoders are in the way */
    assert_firmware_decoder(vm, 0, window_base(vm, 0), 256 * MiB);
    vm_stop(vm);
    model_stop(m);
}

/* live leaves out the decoders' page, shadow the whole component block */
static void test_bar_direct(void)
{
    bar_direct(DEFAULT_MODEL, shadow(), true);
}

/* A host with pages of 64 KiB has no smaller hole */
static void test_bar_direct_64k(void)
{
    bar_direct(DEFAULT_MODEL " --page-size 64K", true, true);
}

/* Nothing of the BAR can be mapped: it works by messages */
static void test_bar_not_direct(void)
{
    bar_direct(DEFAULT_MODEL " --fault sparse-none", shadow(), false);
}

/* Window */

static void test_window(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, TOPOLOGY, "'bus': 'rp0'");
    uint64_t base = window_base(vm, 0), size;
    g_autofree char *bytes = NULL;
    uint8_t pattern[4096], back[4096];
    unsigned i;

    g_assert_true(find_region(vm->qts, "cxl-fixed-memory-region", 0, &base,
                              &size));
    g_assert_cmphex(size, ==, 256 * MiB);
    pci_enable(vm, 0);

    for (i = 0; i < sizeof(pattern); i++) {
        pattern[i] = i * 7 + i / 256;
    }
    qtest_memwrite(vm->qts, base + 128 * MiB - 2048, pattern, sizeof(pattern));
    qtest_memread(vm->qts, base + 128 * MiB - 2048, back, sizeof(back));
    g_assert_cmpmem(pattern, sizeof(pattern), back, sizeof(back));
    g_assert_cmphex(model_peek(m, 128 * MiB), ==, ldq_le_p(pattern + 2048));

    /* The first and the last byte, both ways */
    qtest_writeb(vm->qts, base, 0x11);
    qtest_writeb(vm->qts, base + 256 * MiB - 1, 0x99);
    g_assert_cmphex(model_peek(m, 0), ==, 0x11);
    g_assert_cmphex(model_peek(m, 256 * MiB - 8), ==, 0x99ULL << 56);
    model_poke(m, 0, 0x2222222222222222);
    model_poke(m, 256 * MiB - 8, 0x7777777777777777);
    g_assert_cmphex(qtest_readb(vm->qts, base), ==, 0x22);
    g_assert_cmphex(qtest_readb(vm->qts, base + 256 * MiB - 1), ==, 0x77);
    assert_window_mapped(vm, m, base, 256 * MiB, true);

    /* Without the device being asked */
    forget_accesses(m);
    qtest_memread(vm->qts, base, back, sizeof(back));
    assert_region_accesses(m, 9, 0);
    vm_stop(vm);
    model_stop(m);
}

static void test_window_memory_space(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, TOPOLOGY, "'bus': 'rp0'");
    uint64_t base = window_base(vm, 0);
    unsigned i;

    assert_window_mapped(vm, m, base, 256 * MiB, false);
    pci_setup(vm, 0);
    assert_window_mapped(vm, m, base, 256 * MiB, false);
    for (i = 0; i < 3; i++) {
        dev_set_command(vm, 0, COMMAND_MEMORY);
        assert_window_mapped(vm, m, base, 256 * MiB, true);
        assert_firmware_decoder(vm, 0, base, 256 * MiB);
        /* A write that leaves memory space on leaves the memory there */
        dev_set_command(vm, 0, COMMAND_MEMORY | COMMAND_MASTER);
        assert_window_mapped(vm, m, base, 256 * MiB, true);
        qtest_writeb(vm->qts, dev_at(vm, 0, CFG_COMMAND + 1), 0x4);
        assert_window_mapped(vm, m, base, 256 * MiB, true);
        dev_set_command(vm, 0, COMMAND_MASTER);
        assert_window_mapped(vm, m, base, 256 * MiB, false);
    }
    /* By a byte and by a dword as well */
    qtest_writel(vm->qts, dev_at(vm, 0, CFG_COMMAND), COMMAND_MEMORY);
    assert_window_mapped(vm, m, base, 256 * MiB, true);
    qtest_writeb(vm->qts, dev_at(vm, 0, CFG_COMMAND), 0);
    assert_window_mapped(vm, m, base, 256 * MiB, false);
    vm_stop(vm);
    model_stop(m);
}

static void test_window_power_state(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, TOPOLOGY, "'bus': 'rp0'");
    uint64_t base = window_base(vm, 0);
    uint16_t control;
    uint8_t pm;

    pci_enable(vm, 0);
    pm = find_cap(vm, 0, CAP_PM);
    control = dev_read(vm, 0, pm + 4);
    g_assert_cmphex(control & 3, ==, 0);
    dev_write16(vm, 0, pm + 4, control | 3);
    g_assert_cmpint(model_state(m, NULL, "power_state"), ==, 3);
    assert_window_mapped(vm, m, base, 256 * MiB, false);
    dev_write16(vm, 0, pm + 4, control);
    g_assert_cmpint(model_state(m, NULL, "power_state"), ==, 0);
    assert_window_mapped(vm, m, base, 256 * MiB, true);

    /* Memory space off in D3hot, so not back with D0 alone */
    dev_write16(vm, 0, pm + 4, control | 3);
    dev_set_command(vm, 0, 0);
    dev_write16(vm, 0, pm + 4, control);
    assert_window_mapped(vm, m, base, 256 * MiB, false);
    dev_set_command(vm, 0, COMMAND_MEMORY);
    assert_window_mapped(vm, m, base, 256 * MiB, true);
    vm_stop(vm);
    model_stop(m);
}

/* Resets that the guest asks the device for: memory cleared, still there */
static void test_window_function_reset(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, TOPOLOGY, "'bus': 'rp0'");
    uint64_t base = window_base(vm, 0);
    uint16_t dvsec, value;
    uint8_t express;
    int64_t resets;

    pci_enable(vm, 0);
    express = find_cap(vm, 0, CAP_EXPRESS);
    dvsec = find_dvsec(vm, 0, DVSEC_DEVICE);

    qtest_writeq(vm->qts, base + 4096, 0x1122334455667788);
    value = dev_read(vm, 0, express + 8);
    resets = model_resets(m, "function");
    dev_write16(vm, 0, express + 8, value | 0x8000);
    assert_resets(m, "function", resets);
    g_assert_cmphex(qtest_readq(vm->qts, base + 4096), ==, 0);
    assert_window_mapped(vm, m, base, 256 * MiB, true);
    assert_firmware_decoder(vm, 0, base, 256 * MiB);

    /* INITIATE_CXL_RESET */
    qtest_writeq(vm->qts, base + 4096, 0x1122334455667788);
    value = dev_read(vm, 0, dvsec + 0x10);
    resets = model_resets(m, "cxl");
    dev_write16(vm, 0, dvsec + 0x10, value | 4);
    assert_resets(m, "cxl", resets);
    g_assert_cmphex(dev_read(vm, 0, dvsec + 0x12) & 2, ==, 2);
    g_assert_cmphex(qtest_readq(vm->qts, base + 4096), ==, 0);
    assert_window_mapped(vm, m, base, 256 * MiB, true);
    assert_firmware_decoder(vm, 0, base, 256 * MiB);
    vm_stop(vm);
    model_stop(m);
}

/* A window that is larger than the memory: the rest is nothing */
static void test_window_surplus(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, WINDOW("cxl.0", "1G") BRIDGE_0 PORT(0),
                           "'bus': 'rp0'");
    uint64_t base = window_base(vm, 0);

    pci_enable(vm, 0);
    assert_window_mapped(vm, m, base, 256 * MiB, true);
    g_assert_false(memory_seen(vm, m, base + 256 * MiB, 0));
    g_assert_false(memory_seen(vm, m, base + 1024 * MiB - 8, 256 * MiB - 8));
    vm_stop(vm);
    model_stop(m);
}

/* Host bridge */

static void test_bridge(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, TOPOLOGY, "'bus': 'rp0'");
    uint64_t base = window_base(vm, 0), at = bridge_hdm(vm, 0);
    unsigned i, reg;

    /* There before the guest does anything */
    assert_bridge_decoder(vm, 0, base, 256 * MiB);
    pci_enable(vm, 0);
    for (reg = HDM_BASE(0); reg < HDM_BASE(1); reg += 4) {
        qtest_writel(vm->qts, at + reg, 0xffffffff);
        qtest_writel(vm->qts, at + reg, 0);
    }
    assert_bridge_decoder(vm, 0, base, 256 * MiB);
    assert_window_mapped(vm, m, base, 256 * MiB, true);

    /* The bridge's registers are made anew by each reset */
    for (i = 0; i < 2; i++) {
        qtest_writel(vm->qts, at + HDM_GLOBAL, 0);
        vm_reset(vm);
        assert_bridge_decoder(vm, 0, base, 256 * MiB);
        qtest_writel(vm->qts, at + HDM_CTRL(0), 0);
        assert_bridge_decoder(vm, 0, base, 256 * MiB);
    }
    /* Its other decoders are the guest's, as ever */
    qtest_writel(vm->qts, at + HDM_BASE(1) + 4, 0x1234);
    g_assert_cmphex(qtest_readl(vm->qts, at + HDM_BASE(1) + 4), ==, 0x1234);
    vm_stop(vm);
    model_stop(m);
}

/* The port's number is what the target list names */
static void test_bridge_port_number(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, WINDOW_0 BRIDGE_0
                           "-device cxl-rp,id=rp0,bus=cxl.0,chassis=0,slot=0,"
                           "port=7 ", "'bus': 'rp0'");

    g_assert_cmphex(qtest_readl(vm->qts, bridge_hdm(vm, 0) + HDM_SKIP(0)), ==,
                    7);
    vm_stop(vm);
    model_stop(m);
}

static void test_bridge_pass_through(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, WINDOW_0 BRIDGE(0, 52, "") PORT(0),
                           "'bus': 'rp0'");
    uint64_t base = window_base(vm, 0);

    g_assert_cmphex(bridge_hdm(vm, 0), ==, 0);
    pci_enable(vm, 0);
    assert_firmware_decoder(vm, 0, base, 256 * MiB);
    assert_window_mapped(vm, m, base, 256 * MiB, true);
    vm_reset(vm);
    g_assert_cmphex(bridge_hdm(vm, 0), ==, 0);
    vm_stop(vm);
    model_stop(m);
}

/* Resets of the machine */

static void test_system_reset(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, TOPOLOGY, "'bus': 'rp0'");
    uint64_t base = window_base(vm, 0);
    int64_t resets;
    unsigned i;

    for (i = 0; i < 3; i++) {
        pci_enable(vm, 0);
        assert_firmware_decoder(vm, 0, base, 256 * MiB);
        assert_dvsec_base(vm, 0, base);
        assert_window_mapped(vm, m, base, 256 * MiB, true);

        qtest_writeq(vm->qts, base, 0x1122334455667788);
        qtest_writeq(vm->qts, base + 256 * MiB - 8, 0x8877665544332211);
        qtest_writel(vm->qts, hdm_at(0, HDM_GLOBAL), 0);
        resets = model_resets(m, "device");
        vm_reset(vm);
        g_assert_cmpint(model_resets(m, "device"), >, resets);

        /* Memory space is off, so nothing is mapped; the memory is cleared */
        assert_window_mapped(vm, m, base, 256 * MiB, false);
        g_assert_cmphex(model_peek(m, 0), ==, 0);
        g_assert_cmphex(model_peek(m, 256 * MiB - 8), ==, 0);
    }
    vm_stop(vm);
    model_stop(m);
}

/* What the device caches of the host's memory is written back before a reset */
static void test_cache_writeback(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, TOPOLOGY, "'bus': 'rp0'");
    int64_t before = model_state(m, NULL, "cache_writebacks");
    uint16_t dvsec, value;
    uint8_t express;

    vm_reset(vm);
    g_assert_cmpint(model_state(m, NULL, "cache_writebacks"), ==, before + 1);

    pci_enable(vm, 0);
    dvsec = find_dvsec(vm, 0, DVSEC_DEVICE);
    express = find_cap(vm, 0, CAP_EXPRESS);
    value = dev_read(vm, 0, express + 8);
    dev_write16(vm, 0, express + 8, value | 0x8000);
    g_assert_cmpint(model_state(m, "resets", "function"), ==, 1);
    g_assert_cmpint(model_state(m, NULL, "cache_writebacks"), ==, before + 2);

    g_assert_cmpint(model_state(m, "resets", "total"), >=, 2);
    g_assert_cmpint(model_state(m, NULL, "dirty_resets"), ==, 0);
    /* DISABLE_CACHING was for the reset only */
    g_assert_cmphex(model_state(m, "dvsec", "control2"), ==, 0);
    g_assert_cmphex((uint16_t)dev_read(vm, 0, dvsec + 0x10), ==, 0);

    /* Before a CXL reset it is the guest's to ask for; 1: and cache no more */
    dev_write16(vm, 0, dvsec + 0x10, 1 | 2);
    g_assert_cmpint(model_state(m, NULL, "cache_writebacks"), ==, before + 3);
    dev_write16(vm, 0, dvsec + 0x10, 1 | 4);
    g_assert_cmpint(model_state(m, "resets", "cxl"), ==, 1);
    g_assert_cmpint(model_state(m, NULL, "cache_writebacks"), ==, before + 3);
    g_assert_cmpint(model_state(m, NULL, "dirty_resets"), ==, 0);
    g_assert_cmphex((uint16_t)dev_read(vm, 0, dvsec + 0x10), ==, 1);

    /* A kernel resets a device that nobody has open any more */
    device_del(vm);
    g_assert_cmpint(model_state(m, NULL, "cache_writebacks"), ==, before + 4);
    g_assert_cmphex(model_state(m, "dvsec", "control2"), ==, 0);
    vm_stop(vm);
    model_stop(m);

    m = model_start(DEFAULT_MODEL " --no-cache");
    vm = vm_start_with(m, TOPOLOGY, "'bus': 'rp0'");
    vm_reset(vm);
    g_assert_cmpint(model_state(m, "resets", "device"), >=, 1);
    g_assert_cmpint(model_state(m, NULL, "cache_writebacks"), ==, 0);
    vm_stop(vm);
    model_stop(m);
}

/* Several devices, several decoders */

/* -device of a second model, at root port @bus; to be freed */
static char *second_device_arg(Model *m, const char *bus)
{
    return g_strdup_printf("-device '{\"driver\": \"vfio-user-pci\", "
                           "\"id\": \"dev1\", \"bus\": \"%s\", "
                           "\"socket\": {\"type\": \"unix\", "
                           "\"path\": \"%s\"}}' ", bus, m->socket);
}

static void test_two_devices(void)
{
    Model *m0 = model_start(DEFAULT_MODEL);
    Model *m1 = model_start("--hdm-size 1G --device-id 0xc2a2");
    g_autofree char *dev0 = device_arg(m0, "'bus': 'rp0'");
    g_autofree char *dev1 = second_device_arg(m1, "rp1");
    g_autofree char *args =
        g_strconcat(WINDOWS("cxl.0", "256M", "cxl.1", "1G")
                    BRIDGE_0 BRIDGE_1 PORT(0) PORT(1), dev0, dev1, NULL);
    Vm *vm = vm_start(args);
    uint64_t base0 = window_base(vm, 0), base1 = window_base(vm, 1);

    g_assert_cmphex(base1, >=, base0 + 256 * MiB);
    pci_enable(vm, 0);
    pci_enable(vm, 1);
    g_assert_cmphex(dev_read(vm, 0, 0) >> 16, ==, 0xc2a1);
    g_assert_cmphex(dev_read(vm, 1, 0) >> 16, ==, 0xc2a2);
    assert_firmware_decoder(vm, 0, base0, 256 * MiB);
    assert_firmware_decoder(vm, 1, base1, 1024 * MiB);
    assert_dvsec_base(vm, 0, base0);
    assert_dvsec_base(vm, 1, base1);
    /* The registers of the bridges lie in reverse order */
    assert_bridge_decoder(vm, 1, base0, 256 * MiB);
    assert_bridge_decoder(vm, 0, base1, 1024 * MiB);
    assert_window_mapped(vm, m0, base0, 256 * MiB, true);
    assert_window_mapped(vm, m1, base1, 1024 * MiB, true);
    /* Each is itself, not the other */
    g_assert_false(memory_seen(vm, m1, base0, 0));
    g_assert_false(memory_seen(vm, m0, base1, 0));

    dev_set_command(vm, 0, 0);
    assert_window_mapped(vm, m0, base0, 256 * MiB, false);
    assert_window_mapped(vm, m1, base1, 1024 * MiB, true);
    vm_stop(vm);
    model_stop(m0);
    model_stop(m1);
}

static void test_decoders(const char *bridge, const char *options,
                          unsigned count)
{
    g_autofree char *topology =
        g_strdup_printf("-M cxl-fmw.0.targets.0=cxl.0,cxl-fmw.0.size=%uM %s %s",
                        count * 256, bridge, PORT(0));
    Model *m = model_start(options);
    Vm *vm = vm_start_with(m, topology, "'bus': 'rp0'");
    uint64_t base = window_base(vm, 0);
    unsigned i, n;

    for (i = 0; i < 2; i++) {
        pci_enable(vm, 0);
        g_assert_cmphex(qtest_readl(vm->qts, hdm_at(0, 0)) & 0xf, ==,
                        count / 2);
        for (n = 0; n < count; n++) {
            g_assert_cmphex(qtest_readq(vm->qts, hdm_at(0, HDM_BASE(n))), ==,
                            base + n * 256 * MiB);
            g_assert_cmphex(qtest_readq(vm->qts, hdm_at(0, HDM_SIZE(n))), ==,
                            256 * MiB);
            g_assert_cmphex(qtest_readl(vm->qts, hdm_at(0, HDM_CTRL(n))), ==,
                            CTRL_FIRMWARE);
        }
        assert_window_mapped(vm, m, base, count * 256 * MiB, true);
        for (n = 0; n < count; n++) {
            g_assert_true(memory_seen(vm, m, base + n * 256 * MiB,
                                      n * 256 * MiB));
        }
        vm_reset(vm);
    }
    vm_stop(vm);
    model_stop(m);
}

static void test_four_decoders(void)
{
    test_decoders(BRIDGE_0, "--decoders 4 --decoder-size 256M", 4);
}

/* More than a host bridge has; one that passes through has no say */
static void test_ten_decoders(void)
{
    test_decoders(BRIDGE(0, 52, ""), "--decoders 10 --decoder-size 256M", 10);
}

static void test_ten_decoders_unplugged(void)
{
    Model *m = model_start("--decoders 10 --decoder-size 256M");
    Vm *vm = vm_start_with(m, "-M cxl-fmw.0.targets.0=cxl.0,"
                           "cxl-fmw.0.size=2560M " BRIDGE(0, 52, "") PORT(0),
                           "'bus': 'rp0'");

    pci_enable(vm, 0);
    device_del(vm);
    assert_model_let_go(m);
    vm_stop(vm);
    model_stop(m);
}

/*
 * More than the bridge has, and one behind the other: the guest finds one over
 * all of them, and the kernel is told of each.
 */
static void test_merged_decoders(void)
{
    Model *m = model_start("--decoders 10 --decoder-size 256M");
    Vm *vm = vm_start_with(m, WINDOW("cxl.0", "2560M") BRIDGE_0 PORT(0),
                           "'bus': 'rp0'");
    uint64_t base = window_base(vm, 0);
    unsigned i, n;

    for (i = 0; i < 2; i++) {
        pci_enable(vm, 0);
        g_assert_cmphex(qtest_readl(vm->qts, hdm_at(0, 0)) & 0xf, ==, 5);
        assert_firmware_decoder(vm, 0, base, 10 * 256 * MiB);
        assert_bridge_decoder(vm, 0, base, 10 * 256 * MiB);
        assert_decoder(vm, 0, "mapped", true, base, 10 * 256 * MiB, 0);
        for (n = 1; n < 10; n++) {
            g_assert_cmphex(qtest_readl(vm->qts, hdm_at(0, HDM_CTRL(n))), ==,
                            0);
            g_assert_cmphex(qtest_readq(vm->qts, hdm_at(0, HDM_SIZE(n))), ==,
                            0);
        }
        for (n = 0; shadow() && n < 10; n++) {
            g_assert_cmphex(model_kernel_base(m, n), ==, base + n * 256 * MiB);
        }
        assert_window_mapped(vm, m, base, 10 * 256 * MiB, true);
        vm_reset(vm);
    }
    vm_stop(vm);
    model_stop(m);
}

/* Decoders that the guest programs */

/* A device of @size, which is half of the window or all of it */
static void assert_guest_mode(Vm *vm, Model *m, uint64_t size)
{
    uint64_t base = window_base(vm, 0);

    guest_enable(vm, 0);
    bridge_program(vm, 0, base, 512 * MiB, CTRL_COMMIT);
    assert_dvsec_base(vm, 0, 0);
    g_assert_cmphex(qtest_readl(vm->qts, hdm_at(0, HDM_CTRL(0))), ==, 0);
    g_assert_cmphex(qtest_readq(vm->qts, hdm_at(0, HDM_BASE(0))), ==, 0);
    g_assert_cmphex(qtest_readl(vm->qts, hdm_at(0, HDM_GLOBAL)), ==, 0);
    assert_window_mapped(vm, m, base, size, false);

    /* Beside the window, and across its end */
    qtest_writel(vm->qts, hdm_at(0, HDM_GLOBAL), 2);
    hdm_program(vm, base - 256 * MiB, 256 * MiB, CTRL_COMMIT);
    g_assert_cmphex(qtest_readl(vm->qts, hdm_at(0, HDM_CTRL(0))), ==,
                    CTRL_COMMIT | CTRL_ERROR);
    hdm_program(vm, base + 256 * MiB, 512 * MiB, 0);
    hdm_program(vm, base + 256 * MiB, 512 * MiB, CTRL_COMMIT);
    g_assert_cmphex(qtest_readl(vm->qts, hdm_at(0, HDM_CTRL(0))), ==,
                    CTRL_COMMIT | CTRL_ERROR);
    /* Larger than the memory */
    hdm_program(vm, base, size + 256 * MiB, 0);
    hdm_program(vm, base, size + 256 * MiB, CTRL_COMMIT);
    g_assert_cmphex(qtest_readl(vm->qts, hdm_at(0, HDM_CTRL(0))), ==,
                    CTRL_COMMIT | CTRL_ERROR);
    assert_window_mapped(vm, m, base, size, false);

    /* Inside, but not at the start; then elsewhere, and locked */
    hdm_program(vm, base + 256 * MiB, 256 * MiB, 0);
    hdm_program(vm, base + 256 * MiB, 256 * MiB, CTRL_COMMIT);
    g_assert_cmphex(qtest_readl(vm->qts, hdm_at(0, HDM_CTRL(0))), ==,
                    CTRL_COMMIT | CTRL_COMMITTED);
    g_assert_true(memory_seen(vm, m, base + 256 * MiB, 0));
    g_assert_true(memory_seen(vm, m, base + 512 * MiB - 8, 256 * MiB - 8));
    g_assert_false(memory_seen(vm, m, base, 0));
    qtest_writel(vm->qts, hdm_at(0, HDM_CTRL(0)), 0);
    g_assert_false(memory_seen(vm, m, base + 256 * MiB, 0));

    hdm_program(vm, base, size, CTRL_COMMIT | CTRL_LOCK);
    assert_window_mapped(vm, m, base, size, true);
    qtest_writel(vm->qts, hdm_at(0, HDM_CTRL(0)), 0);
    assert_window_mapped(vm, m, base, size, true);
}

/* Once more after a reset: nothing of it is left, the lock neither */
static void test_guest(const char *options, uint64_t size, const char *members)
{
    Model *m = model_start(options);
    Vm *vm = vm_start_with(m, WINDOW("cxl.0", "512M") BRIDGE_0 PORT(0),
                           members);
    unsigned i;

    for (i = 0; i < 2; i++) {
        assert_guest_mode(vm, m, size);
        vm_reset(vm);
    }
    /* What is the guest's on the endpoint is the guest's on the bridge */
    g_assert_cmphex(qtest_readl(vm->qts, bridge_hdm(vm, 0) + HDM_CTRL(0)), ==,
                    0);
    vm_stop(vm);
    model_stop(m);
}

static void test_guest_auto(void)
{
    test_guest("--hdm-size 512M --uncommitted "
                 "--memory-without-decoder",
               512 * MiB, "'bus': 'rp0'");
}

static void test_guest_on_request(void)
{
    test_guest("--hdm-size 512M", 512 * MiB,
               "'bus': 'rp0', 'x-cxl-decoders': 'guest'");
}

/* What is beyond the memory is not mapped, window or not */
static void test_guest_half_a_window(void)
{
    test_guest(DEFAULT_MODEL, 256 * MiB,
               "'bus': 'rp0', 'x-cxl-decoders': 'guest'");
}

/* Without CXL it is a PCI device like any other, below any port */
static void test_off(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, TOPOLOGY,
                           "'bus': 'rp0', 'x-cxl-decoders': 'off'");
    uint64_t base = window_base(vm, 0);

    pci_enable(vm, 0);
    g_assert_cmphex(dev_read(vm, 0, 0), ==, DEVICE_ID << 16 | VENDOR_ID);
    assert_window_mapped(vm, m, base, 256 * MiB, false);
    vm_stop(vm);
    model_stop(m);
}

/* The property is for the device's creation only */
static void test_mode_is_fixed(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, TOPOLOGY, "'bus': 'rp0'");
    QDict *error;
    QDict *answer;

    error = qtest_qmp_assert_failure_ref(vm->qts, "{'execute': 'qom-set', "
        "'arguments': {'path': '/machine/peripheral/dev0', "
        "'property': 'x-cxl-decoders', 'value': 'off'}}");
    g_assert_cmpstr(qdict_get_str(error, "desc"), ==,
                    "x-cxl-decoders cannot change once the device is realized");
    qobject_unref(error);
    answer = qtest_qmp(vm->qts, "{'execute': 'qom-get', 'arguments': {"
                       "'path': '/machine/peripheral/dev0', "
                       "'property': 'x-cxl-decoders'}}");
    g_assert_cmpstr(qdict_get_str(answer, "return"), ==, "auto");
    qobject_unref(answer);
    vm_stop(vm);
    model_stop(m);
}

/* Migration */

static void test_migration(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, TOPOLOGY, "'bus': 'rp0'");
    g_autofree char *wanted =
        g_strdup_printf("vfio %s: the memory of a CXL device cannot "
                        "be migrated", m->name);
    const QListEntry *it;
    bool found = false;
    QDict *error, *state;

    error = qtest_qmp_assert_failure_ref(vm->qts, "{'execute': 'migrate', "
                "'arguments': {'uri': 'exec:cat >/dev/null'}}");
    qobject_unref(error);

    /* A kernel's driver may have a reason of its own beside ours */
    state = qtest_qmp_assert_success_ref(vm->qts,
                                         "{'execute': 'query-migrate'}");
    QLIST_FOREACH_ENTRY(qdict_get_qlist(state, "blocked-reasons"), it) {
        const char *reason = qstring_get_str(qobject_to(QString,
                                                        qlist_entry_obj(it)));

        g_test_message("blocked: %s", reason);
        found |= g_str_equal(reason, wanted);
    }
    g_assert_true(found);
    qobject_unref(state);
    qtest_qmp_assert_success(vm->qts, "{'execute': 'query-status'}");
    vm_stop(vm);
    model_stop(m);
}

/* Refusals */

typedef struct Refusal {
    const char *name;
    const char *model;          /* options of the model, NULL: the default */
    const char *args;           /* windows, bridges, ports and what is there */
    const char *device;         /* the device's options, NULL: below port 0 */
    const char *after;          /* what comes after it on the command line */
    const char *text;
    const char *only;           /* generation or architecture, NULL: all */
    bool cold_only;             /* device_add cannot get there */
    bool nowhere;               /* it is not known what would be to hide */
} Refusal;

#define SWITCH \
    "-device cxl-upstream,bus=rp0,id=us0 " \
    "-device cxl-downstream,port=0,bus=us0,id=ds0,chassis=2,slot=0 "

/* In JSON, as the device is: QEMU makes all others before these */
#define LATER_PORT \
    "-device '{\"driver\": \"cxl-rp\", \"id\": \"rp9\", " \
    "\"bus\": \"cxl.0\", \"chassis\": 9, \"slot\": 1}' "

static const Refusal refusals[] = {
    {
        .name = "bar-without-high-mmio",
        .model = DEFAULT_MODEL " --bar-size 8G",
        .args = "-M highmem-mmio=off " TOPOLOGY,
        .text = "CXL: BAR 0 of 8 GiB has no place: the machine has no PCI "
                "memory space above 4 GiB, expected one; set -M virt,"
                "highmem-mmio=on and a CPU with more physical address bits",
        .only = "aarch64",
    }, {
        .name = "bar-above-high-mmio",
        .model = DEFAULT_MODEL " --bar-size 512G",
        .args = TOPOLOGY,
        .text = "CXL: BAR 0 of 512 GiB does not fit the PCI memory space of "
                "512 GiB above 4 GiB, expected one that has more than that; "
                "set -M virt,highmem-mmio-size=1024G",
        .only = "aarch64",
    }, {
        .name = "bar-over-window",
        .model = DEFAULT_MODEL " --bar-size 64G",
        .args = WINDOW("cxl.0", "960G") BRIDGE_0 PORT(0),
        .text = "CXL: BAR 0 of 64 GiB does not fit between the end of window "
                "cxl-fmw.0 at 0xf110000000 and that of the CPU's 40 physical "
                "address bits; set -cpu with more of them (phys-bits=, "
                "host-phys-bits=on) and -global q35-pcihost.pci-hole64-size="
                "128G",
        .only = "x86_64",
    }, {
        .name = "on-the-root-bus",
        .args = TOPOLOGY,
        .device = "'bus': 'pcie.0', 'x-cxl-decoders': 'locked'",
        .text = "CXL: the device is on root bus 'pcie.0' itself, expected it "
                "below a cxl-rp on a pxb-cxl; set its bus= to the id of such a "
                "root port",
        .cold_only = true,      /* such a bus takes no hotplug */
    }, {
        .name = "below-a-switch",
        .args = TOPOLOGY SWITCH,
        .device = "'bus': 'ds0', 'x-cxl-decoders': 'guest'",
        .text = "CXL: 'ds0' above the device is a port of a switch or below "
                "one, expected a root port of a pxb-cxl; set the device's bus= "
                "to the id of a cxl-rp",
    }, {
        .name = "port-not-on-cxl",
        .args = WINDOW_0 BRIDGE_0
                "-device pcie-root-port,id=rp0,bus=pcie.0,chassis=0,slot=0 ",
        .device = "'bus': 'rp0', 'x-cxl-decoders': 'locked'",
        .text = "CXL: root port 'rp0' is on bus 'pcie.0', which is not a CXL "
                "bus, expected a cxl-rp with bus= set to the id of a pxb-cxl",
    }, {
        .name = "port-not-cxl",
        .args = WINDOW_0 BRIDGE_0
                "-device pcie-root-port,id=rp0,bus=cxl.0,chassis=0,slot=0 ",
        .device = "'bus': 'rp0', 'x-cxl-decoders': 'guest'",
        .text = "CXL: 'rp0' above the device is a pcie-root-port, expected a "
                "cxl-rp; set the device's bus= to the id of one",
    }, {
        .name = "two-ports",
        .args = TOPOLOGY
                "-device cxl-rp,id=rp9,bus=cxl.0,chassis=9,slot=1 ",
        .text = "CXL: pxb-cxl 'cxl.0' has 2 root ports, 'rp0' with the device "
                "below it and 'rp9', expected one; give each CXL device a "
                "pxb-cxl of its own",
    }, {
        .name = "bus-numbers",
        .args = TOPOLOGY BRIDGE(1, 53, "") PORT(1),
        .text = "CXL: 'cxl.0' with bus_nr=52 and what is below it need 2 bus "
                "numbers, but 'cxl.1' has bus_nr=53, expected 54 or more; set "
                "bus_nr=54 for 'cxl.1'",
    }, {
        .name = "bus-number-missing",
        .args = WINDOW_0 "-device pxb-cxl,id=cxl.0,bus=pcie.0 " PORT(0),
        .text = "CXL: 'pcie.0' with bus_nr=0 and what is below it need 1 bus "
                "numbers, but 'cxl.0' has bus_nr=0, expected 1 or more; set "
                "bus_nr=1 for 'cxl.0'",
    }, {
        .name = "bus-numbers-later",
        .args = TOPOLOGY,
        .after = BRIDGE(1, 53, ""),
        .text = "CXL: 'cxl.0' with bus_nr=52 and what is below it need 2 bus "
                "numbers, but 'cxl.1' has bus_nr=53, expected 54 or more; set "
                "bus_nr=54 for 'cxl.1'",
        .cold_only = true,
    }, {
        .name = "bus-number-last",
        .args = TOPOLOGY BRIDGE(1, 255, "") PORT(1),
        .text = "CXL: 'cxl.1' with bus_nr=255 and what is below it need 2 bus "
                "numbers, expected bus_nr=254 or less",
    }, {
        .name = "second-port-later",
        .args = TOPOLOGY,
        .after = LATER_PORT,
        .text = "CXL: pxb-cxl 'cxl.0' has 2 root ports, 'rp0' with the device "
                "below it and 'rp9', expected one; give each CXL device a "
                "pxb-cxl of its own",
        .cold_only = true,
    }, {
        .name = "function-1",
        .args = TOPOLOGY,
        .device = "'bus': 'rp0', 'addr': '0.1'",
        .text = "CXL: the device is function 1 of slot 0 below 'rp0', expected "
                "function 0 of slot 0; set addr=0.0",
        .cold_only = true,      /* a function alone does not announce itself */
    }, {
        .name = "beside-another-function",
        .args = TOPOLOGY "-device pci-testdev,id=other,bus=rp0,addr=0.1 ",
        .device = "'bus': 'rp0', 'addr': '0.0', 'multifunction': true",
        .text = "CXL: 'other' is function 1 below the same root port 'rp0', "
                "expected the CXL device alone; give 'other' a root port "
                "elsewhere with bus=",
    }, {
        .name = "multifunction",
        .args = TOPOLOGY,
        .device = "'bus': 'rp0', 'multifunction': true",
        .text = "CXL: multifunction=on below 'rp0', expected a device of one "
                "function; set multifunction=off",
    }, {
        .name = "no-window",
        .args = BRIDGE_0 PORT(0),
        .text = "CXL: no fixed memory window targets pxb-cxl 'cxl.0' (found "
                "none), expected one of 256M; add cxl-fmw.N.targets.0=cxl.0,"
                "cxl-fmw.N.size=256M to -machine",
    }, {
        .name = "window-of-another-bridge",
        .model = "--hdm-size 2G",
        .args = WINDOW("cxl.1", "2G") BRIDGE_0 BRIDGE_1 PORT(0) PORT(1),
        .text = "CXL: no fixed memory window targets pxb-cxl 'cxl.0' (found "
                "cxl-fmw.0 for 'cxl.1'), expected one of 2G; add "
                "cxl-fmw.N.targets.0=cxl.0,cxl-fmw.N.size=2G to -machine",
    }, {
        .name = "two-windows",
        .args = WINDOWS("cxl.0", "256M", "cxl.0", "256M") BRIDGE_0 PORT(0),
        .text = "CXL: windows cxl-fmw.0 and cxl-fmw.1 both target pxb-cxl "
                "'cxl.0', expected one; remove one of them from -machine",
    }, {
        .name = "interleaved-window",
        .args = "-M cxl-fmw.0.targets.0=cxl.0,cxl-fmw.0.targets.1=cxl.1,"
                "cxl-fmw.0.size=512M " BRIDGE_0 BRIDGE_1 PORT(0) PORT(1),
        .text = "CXL: window cxl-fmw.0 interleaves over 'cxl.0', 'cxl.1', "
                "expected pxb-cxl 'cxl.0' as its single target; give it a "
                "window of its own with cxl-fmw.0.targets.0=cxl.0",
    }, {
        .name = "small-window",
        .model = "--hdm-size 768M",
        .args = WINDOW("cxl.0", "512M") BRIDGE_0 PORT(0),
        .text = "CXL: window cxl-fmw.0 of pxb-cxl 'cxl.0' has 512M, expected "
                "at least the 768M that the device's decoders need; set "
                "cxl-fmw.0.size=768M",
    }, {
        .name = "small-second-window",
        .model = "--hdm-size 1G",
        .args = WINDOWS("cxl.1", "4G", "cxl.0", "512M")
                BRIDGE_0 BRIDGE_1 PORT(0) PORT(1),
        .text = "CXL: window cxl-fmw.1 of pxb-cxl 'cxl.0' has 512M, expected "
                "at least the 1G that the device's decoders need; set "
                "cxl-fmw.1.size=1G",
    }, {
        .name = "small-window-for-the-guest",
        .model = "--hdm-size 512M --uncommitted --memory-without-decoder",
        .args = TOPOLOGY,
        .text = "CXL: window cxl-fmw.0 of pxb-cxl 'cxl.0' has 256M, expected "
                "at least the 512M that the device's decoders need; set "
                "cxl-fmw.0.size=512M",
    }, {
        .name = "more-decoders-than-the-bridge",
        .model = "--decoders 6 --decoder-size 256M --decoder-skip 256M",
        .args = WINDOW("cxl.0", "1536M") BRIDGE_0 PORT(0),
        .text = "CXL: the host's firmware committed 6 decoders, of which 6 "
                "remain where neighbours are merged, expected at most the 4 "
                "that pxb-cxl 'cxl.0' has; set x-cxl-decoders=guest, or "
                "hdm_for_passthrough=off on 'cxl.0'",
    }, {
        .name = "locked-but-uncommitted",
        .model = "--uncommitted --memory-without-decoder",
        .args = TOPOLOGY,
        .device = "'bus': 'rp0', 'x-cxl-decoders': 'locked'",
        .text = "CXL: x-cxl-decoders=locked, but the host's firmware committed "
                "none of the 1 decoders; use x-cxl-decoders=guest",
    /* What the kernel, or a server, says makes no sense */
    }, {
        .name = "two-memory-regions",
        .model = "--fault two-memory-regions",
        .args = TOPOLOGY,
        .text = "CXL: regions 9 and 11 both claim to be the CXL memory "
                "region, expected one",
    }, {
        .name = "no-memory-region",
        .model = "--fault no-memory-region",
        .args = TOPOLOGY,
        .device = "'bus': 'rp0', 'x-cxl-decoders': 'locked'",
        .text = "CXL: the device is flagged as CXL but has no CXL memory "
                "region (type 0x80001e98, subtype 1)",
    }, {
        .name = "no-comp-regs-region",
        .nowhere = true,
        .model = "--fault no-comp-regs-region",
        .args = TOPOLOGY,
        .text = "CXL: the device is flagged as CXL but has no component "
                "register region (type 0x80001e98, subtype 2)",
    }, {
        .name = "memory-size-odd",
        .model = "--fault memory-size-odd",
        .args = TOPOLOGY,
        .text = "CXL: memory region 9 has size 0x10001000, expected a "
                "multiple of 256 MiB below 4 PiB",
    }, {
        .name = "memory-read-only",
        .model = "--fault memory-read-only",
        .args = TOPOLOGY,
        .text = "CXL: memory region 9 has flags 0xd, expected it to be "
                "readable and writable",
    }, {
        .name = "bar-index-6",
        .nowhere = true,
        .model = "--fault bar-index-6",
        .args = TOPOLOGY,
        .text = "CXL: component registers are said to stand in BAR 6, "
                "expected 0 to 5",
    }, {
        .name = "bar-index-absent",
        .nowhere = true,
        .model = "--fault bar-index-absent",
        .args = TOPOLOGY,
        .only = "live",
        .text = "CXL: component registers at offset 0x11200, 0x30 bytes, "
                "expected them dword aligned inside BAR 4 of 0x0 bytes",
    }, {
        .name = "block-outside-bar",
        .nowhere = true,
        .model = "--fault block-outside-bar",
        .args = TOPOLOGY,
        .only = "live",
        .text = "CXL: component registers at offset 0x100200, 0x30 bytes, "
                "expected them dword aligned inside BAR 0 of 0x100000 bytes",
    }, {
        .name = "block-across-bar-end",
        .nowhere = true,
        .model = "--fault block-across-bar-end",
        .args = TOPOLOGY,
        .only = "live",
        .text = "CXL: component registers at offset 0xffff0, 0x30 bytes, "
                "expected them dword aligned inside BAR 0 of 0x100000 bytes",
    }, {
        .name = "block-unaligned",
        .nowhere = true,
        .model = "--fault block-unaligned",
        .args = TOPOLOGY,
        .only = "live",
        .text = "CXL: component registers at offset 0x11202, 0x30 bytes, "
                "expected them dword aligned inside BAR 0 of 0x100000 bytes",
    }, {
        .name = "block-over-msix",
        .model = "--fault block-over-msix",
        .args = TOPOLOGY,
        .only = "live",
        .text = "CXL: component registers at offset 0x0 of BAR 2, 0x30 "
                "bytes, overlap the MSI-X table or pending bits, expected "
                "them apart; x-msix-relocation= moves these to another BAR",
    }, {
        .name = "decoder-count-11",
        .model = "--fault decoder-count-11",
        .args = TOPOLOGY,
        .text = "CXL: HDM decoder capability 0x0020070b announces more than "
                "the 10 decoders that an endpoint may have",
    }, {
        .name = "comp-regs-small",
        .model = "--fault comp-regs-small",
        .args = TOPOLOGY,
        .text = "CXL: the decoder block has 0x20 bytes, expected 0x30 for "
                "its 1 decoders",
    }, {
        .name = "decoder-size-wraps",
        .model = "--fault decoder-size-wraps",
        .args = TOPOLOGY,
        .text = "CXL: decoder 0 has size 0x20000000, expected a range that "
                "is not empty and does not wrap",
    }, {
        .name = "decoder-size-zero",
        .model = "--fault decoder-size-zero",
        .args = TOPOLOGY,
        .text = "CXL: decoder 0 has size 0x0, expected a range that is not "
                "empty and does not wrap",
    }, {
        .name = "decoder-size-too-large",
        .model = "--fault decoder-size-too-large",
        .args = TOPOLOGY,
        .text = "CXL: decoder 0 (size 0x20000000, skip 0x0) ends beyond the "
                "memory region of 0x10000000 bytes",
    }, {
        .name = "decoder-error",
        .model = "--fault decoder-error",
        .args = TOPOLOGY,
        .only = "live",
        .text = "CXL: decoder 0 has its error bit set (control 0x00000b00), "
                "expected firmware to have left it committed or empty",
    }, {
        .name = "decoder-interleaved",
        .model = "--fault decoder-interleaved",
        .args = TOPOLOGY,
        .only = "live",
        .text = "CXL: decoder 0 is interleaved (control 0x00000710), "
                "expected all of its memory on this device",
    }, {
        .name = "comp-regs-read-fails",
        .model = "--fault comp-regs-read-fails",
        .args = TOPOLOGY,
        .text = "CXL: reading component register 0x0 in region 10 failed: "
                "Input/output error",
    }, {
        .name = "comp-regs-read-short",
        .model = "--fault comp-regs-read-short",
        .args = TOPOLOGY,
        .text = "CXL: reading component register 0x0 in region 10 failed: "
                "short read",
    }, {
        .name = "comp-regs-write-fails",
        .model = "--fault comp-regs-write-fails",
        .args = TOPOLOGY,
        .only = "shadow",
        .text = "CXL: writing component register 0x210 in region 10 failed: "
                "Operation not permitted",
    }, {
        .name = "region-index-out-of-range",
        .model = "--fault region-index-out-of-range",
        .args = TOPOLOGY,
        .only = "shadow",
        .text = "CXL: the device capability names regions 42 (memory) and 43 "
                "(component registers), expected 9 and 10 as their types say",
    }, {
        .name = "cm-array-empty",
        .model = "--fault cm-array-empty",
        .args = TOPOLOGY,
        .only = "shadow",
        .text = "CXL: no HDM decoder capability (id 5) among the 0 entries "
                "of the capability array",
    }, {
        .name = "cm-pointer-outside",
        .model = "--fault cm-pointer-outside",
        .args = TOPOLOGY,
        .only = "shadow",
        .text = "CXL: the HDM decoder capability is said to stand at 0xffc, "
                "expected it dword aligned behind the array and inside the "
                "region of 0x230 bytes",
    }, {
        .name = "device-cap-48",
        .nowhere = true,
        .model = "--fault device-cap-48",
        .args = TOPOLOGY,
        .only = "shadow",
        .text = "CXL: the device capability has 48 bytes: this is the layout "
                "of the kernel series of June 2026, which was replaced; "
                "expected the shadow (32 bytes) or the live generation, use "
                "a kernel of one of these",
    }, {
        .name = "device-cap-version-2",
        .nowhere = true,
        .model = "--fault device-cap-version-2",
        .args = TOPOLOGY,
        .only = "shadow",
        .text = "CXL: the device capability has 32 bytes and version 2, "
                "expected 32 and 1",
    }, {
        .name = "device-info-once",
        .nowhere = true,
        .model = "--fault device-info-once",
        .args = TOPOLOGY,
        .only = "shadow",
        .cold_only = true,      /* once is for the first try */
        .text = "CXL: reading the device info failed: Input/output error",
    }, {
        .name = "comp-regs-cap-version-2",
        .nowhere = true,
        .model = "--fault comp-regs-cap-version-2",
        .args = TOPOLOGY,
        .only = "live",
        .text = "CXL: component register capability has version 2, expected 1",
    }, {
        .name = "cm-header-foreign",
        .model = "--fault cm-header-foreign",
        .args = TOPOLOGY,
        .only = "shadow",
        .text = "CXL: the component registers begin with 0x03110007, expected "
                "a capability array header (id 1)",
    }, {
        .name = "decoder-never-commits",
        .model = "--fault decoder-never-commits",
        .args = TOPOLOGY,
        .only = "shadow",
        .text = "CXL: the device capability says that firmware committed "
                "decoders, but none of the 1 is committed, expected at least "
                "decoder 0 to be",
    }, {
        .name = "decoder-hole",
        .model = "--decoders 4 --fault decoder-hole",
        .args = TOPOLOGY,
        .text = "CXL: decoder 1 is committed but decoder 0 is not, "
                "or decodes nothing, expected those with memory first",
    }, {
        .name = "dvsec-foreign",
        .model = "--fault dvsec-foreign",
        .args = TOPOLOGY,
        .text = "CXL: the device is flagged as CXL but has no CXL Device "
                "DVSEC (vendor 0x1e98, id 0) in its config space",
    }, {
        .name = "device-cap-missing",
        .nowhere = true,
        .model = "--fault device-cap-missing",
        .args = TOPOLOGY,
        .only = "shadow",
        .text = "CXL: component register region 10 has no capability 6 that "
                "says where in which BAR it stands",
    },
};

/*
 * A device that makes no sense has an option left, unless its decoders may be
 * anywhere; others are told theirs
 */
#define WAY_OUT "; x-cxl-decoders=off uses the device as a plain PCI device"

static char *refusal_text(const Refusal *r, Model *m)
{
    bool senseless = r->model && strstr(r->model, "--fault") &&
                     !strchr(r->text, '=') && !r->nowhere;

    return g_strdup_printf("vfio %s: %s%s", m->name, r->text,
                           senseless ? WAY_OUT : "");
}

static void test_refuse_cold(const void *opaque)
{
    const Refusal *r = opaque;
    Model *m = model_start(r->model ?: DEFAULT_MODEL);
    g_autofree char *device = device_arg(m, r->device ?: "'bus': 'rp0'");
    g_autofree char *args = g_strconcat(r->args, device, r->after, NULL);
    g_autofree char *wanted = refusal_text(r, m);

    assert_refused(args, wanted);
    assert_model_let_go(m);
    model_stop(m);
}

static void test_refuse_hot(const void *opaque)
{
    const Refusal *r = opaque;
    Model *m = model_start(r->model ?: DEFAULT_MODEL);
    g_autofree char *wanted = refusal_text(r, m);
    Vm *vm = vm_start(r->args);
    g_autofree char *before = qtest_hmp(vm->qts, "info mtree");
    g_autofree char *after = NULL;
    unsigned i;

    for (i = 0; i < 2; i++) {
        assert_device_add_fails(vm, m, r->device ?: "'bus': 'rp0'", wanted);
    }
    after = qtest_hmp(vm->qts, "info mtree");
    g_assert_cmpstr(before, ==, after);
    vm_stop(vm);
    assert_model_let_go(m);
    model_stop(m);
}

/*
 * Two devices below one bridge: whichever of them is refused is named, and both
 * ports are; the other device is the one below the other port.
 */
static void test_refuse_two_devices(void)
{
    Model *m0 = model_start(DEFAULT_MODEL);
    Model *m1 = model_start(DEFAULT_MODEL " --device-id 0xc2a2");
    g_autofree char *dev0 = device_arg(m0, "'bus': 'rp0'");
    g_autofree char *dev1 = second_device_arg(m1, "rp9");
    g_autofree char *one_by_one =
        g_strconcat(WINDOW("cxl.0", "512M") BRIDGE_0 PORT(0), dev0, LATER_PORT,
                    dev1, NULL);
    g_autofree char *ports_first =
        g_strconcat(WINDOW("cxl.0", "512M") BRIDGE_0 PORT(0) LATER_PORT, dev0,
                    dev1, NULL);
    g_autofree char *second =
        g_strdup_printf("vfio %s: CXL: pxb-cxl 'cxl.0' has 2 root ports, 'rp9' "
                        "with the device below it and 'rp0', expected one; "
                        "give each CXL device a pxb-cxl of its own", m1->name);
    g_autofree char *first =
        g_strdup_printf("vfio %s: CXL: pxb-cxl 'cxl.0' has 2 root ports, 'rp0' "
                        "with the device below it and 'rp9', expected one; "
                        "give each CXL device a pxb-cxl of its own", m0->name);

    assert_refused(one_by_one, second);
    assert_refused(ports_first, first);
    assert_model_let_go(m0);
    assert_model_let_go(m1);
    model_stop(m0);
    model_stop(m1);
}

/* What is in the way of a port, or of a device without bus=, is named */
static void test_refuse_slot_taken(void)
{
    assert_refused(BRIDGE_0 PORT(0) BRIDGE_1
                   "-device cxl-rp,id=rp1,bus=cxl.1,chassis=0,slot=0 ",
                   "Slot 0 of chassis 0 is that of 'rp0': give each port a "
                   "chassis= of its own.");
    assert_refused(BRIDGE_0 PORT(0)
                   "-device pcie-root-port,id=rp1,bus=pcie.0,chassis=0,slot=0 ",
                   "Slot 0 of chassis 0 is that of 'rp0': give each port a "
                   "chassis= of its own.");
    assert_refused(BRIDGE_0 PORT(0)
                   "-device cxl-upstream,bus=rp0,id=us0 "
                   "-device cxl-downstream,port=0,bus=us0,chassis=0,slot=0 ",
                   "Slot 0 of chassis 0 is that of 'rp0': give each port a "
                   "chassis= of its own.");
}

static void test_refuse_no_bus(void)
{
    assert_refused(BRIDGE_0 PORT(0) "-device virtio-rng-pci ",
                   "Without bus= a device is put on a bus that has room, here "
                   "on 'cxl.0'; name the right one, as bus=pcie.0 or bus=ID "
                   "of a root port.");
}

/* Large BARs: the table in docs/system/devices/vfio-cxl.rst */

typedef struct LargeBar {
    const char *name;
    const char *arch;
    const char *args;           /* beside window, bridge and port */
    const char *window;
    const char *bar;
    unsigned gib;               /* the same */
    unsigned bits;              /* of a physical address, x86's */
    const char *refused;        /* NULL: there is room for it */
} LargeBar;

#define NO_HIGH_MMIO \
    "CXL: BAR 0 of 64 GiB has no place: the machine has no PCI memory space " \
    "above 4 GiB, expected one; set -M virt,highmem-mmio=on and a CPU with " \
    "more physical address bits"
#define ROOM_FOR_64G    "-global q35-pcihost.pci-hole64-size=128G "

static const LargeBar large_bars[] = {
    { "virt-8G", "aarch64", "", "256G", "8G", 8 },
    { "virt-64G", "aarch64", "", "256G", "64G", 64 },
    { "virt-512G", "aarch64", "", "256G", "512G", 512,
      .refused = "CXL: BAR 0 of 512 GiB does not fit the PCI memory space of "
                 "512 GiB above 4 GiB, expected one that has more than that; "
                 "set -M virt,highmem-mmio-size=1024G" },
    { "virt-512G-of-1T", "aarch64", "-M highmem-mmio-size=1T ", "256G", "512G",
      512 },
    { "virt-40-bits", "aarch64", "-cpu cortex-a53 -M highmem-mmio-size=1T ",
      "256G", "64G", 64, .refused = NO_HIGH_MMIO },
    { "virt-no-high-mmio", "aarch64", "-M highmem-mmio=off ", "256G", "64G",
      64, .refused = NO_HIGH_MMIO },
    { "q35-8G", "x86_64", "", "256G", "8G", 8, 40 },
    { "q35-64G", "x86_64", "", "256G", "64G", 64, 40 },
    { "q35-960G", "x86_64", "", "960G", "64G", 64, 40,
      .refused = "CXL: BAR 0 of 64 GiB does not fit between the end of window "
                 "cxl-fmw.0 at 0xf110000000 and that of the CPU's 40 physical "
                 "address bits; set -cpu with more of them (phys-bits=, "
                 "host-phys-bits=on) and -global q35-pcihost.pci-hole64-size="
                 "128G" },
    { "q35-960G-hole", "x86_64", ROOM_FOR_64G, "960G", "64G", 64, 40,
      .refused = "phys-bits too low (40)" },
    { "q35-960G-42-bits", "x86_64",
      "-cpu qemu64,phys-bits=42 " ROOM_FOR_64G, "960G", "64G", 64, 42 },
};

/*
 * Where firmware could put the BAR: on virt in the machine's high PCI memory
 * space, on x86 at the upper end of what the CPU can address
 */
static uint64_t large_bar_place(Vm *vm, const LargeBar *b)
{
    uint64_t size = b->gib * GiB, window, window_size, start, room;

    g_assert_true(find_region(vm->qts, "cxl-fixed-memory-region", 0, &window,
                              &window_size));
    if (b->bits) {
        start = (1ULL << b->bits) - size;
        g_assert_cmphex(start, >=, window + window_size);
        return start;
    }
    g_assert_true(find_region(vm->qts, "alias pcie-mmio-high", 0, &start,
                              &room));
    g_assert_cmphex(start + room, <=, window);
    g_assert_cmphex(ROUND_UP(start, size) + size, <=, start + room);
    return ROUND_UP(start, size);
}

static void large_bar_put(Vm *vm, uint64_t at, uint64_t size)
{
    uint64_t last = at + size - 1;
    uint32_t bus = bridge_bus[0];

    qtest_writel(vm->qts, port_at(vm, 0, 0x18),
                 bus | (bus + 1) << 8 | (bus + 1) << 16);
    /* The port's window of prefetchable memory, and none of the other */
    qtest_writel(vm->qts, port_at(vm, 0, 0x20), 0x0000fff0);
    qtest_writel(vm->qts, port_at(vm, 0, 0x24),
                 (at >> 16 & 0xfff0) | (last & 0xfff00000));
    qtest_writel(vm->qts, port_at(vm, 0, 0x28), at >> 32);
    qtest_writel(vm->qts, port_at(vm, 0, 0x2c), last >> 32);
    qtest_writew(vm->qts, port_at(vm, 0, CFG_COMMAND),
                 COMMAND_MEMORY | COMMAND_MASTER);
    qtest_writel(vm->qts, dev_at(vm, 0, 0x10), at);
    qtest_writel(vm->qts, dev_at(vm, 0, 0x14), at >> 32);
    dev_set_command(vm, 0, COMMAND_MEMORY);
}

static void test_large_bar(const void *opaque)
{
    const LargeBar *b = opaque;
    g_autofree char *options = g_strdup_printf("--hdm-size %s --bar-size %s",
                                               b->window, b->bar);
    g_autofree char *topology =
        g_strdup_printf("%s-M cxl-fmw.0.targets.0=cxl.0,cxl-fmw.0.size=%s "
                        "%s", b->args, b->window, BRIDGE_0 PORT(0));
    Model *m = model_start(options);

    if (b->refused) {
        g_autofree char *device = device_arg(m, "'bus': 'rp0'");
        g_autofree char *args = g_strconcat(topology, device, NULL);

        assert_refused(args, b->refused);
    } else {
        Vm *vm = vm_start_with(m, topology, "'bus': 'rp0'");
        uint64_t at = large_bar_place(vm, b);
        uint64_t base = window_base(vm, 0), hdm = at + HDM;

        /* The registers in the BAR, and the memory in the window */
        large_bar_put(vm, at, b->gib * GiB);
        g_assert_cmphex(qtest_readl(vm->qts, at + CM), ==, 0x03110001);
        g_assert_cmphex(qtest_readq(vm->qts, hdm + HDM_BASE(0)), ==, base);
        g_assert_cmphex(qtest_readl(vm->qts, hdm + HDM_CTRL(0)), ==,
                        CTRL_FIRMWARE);
        qtest_writel(vm->qts, at + b->gib * GiB - 4, 0x12345678);
        g_assert_cmphex(qtest_readl(vm->qts, at + b->gib * GiB - 4), ==,
                        0x12345678);
        g_assert_true(memory_seen(vm, m, base, 0));
        vm_stop(vm);
    }
    model_stop(m);
}

/* What the address space has no room for has no address */
static void test_refuse_window_without_address(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    g_autofree char *device = device_arg(m, "'bus': 'rp0'");
    g_autofree char *args =
        g_strdup_printf("%s -M cxl-fmw.0.targets.0=cxl.0,cxl-fmw.0.size=%s "
                        "%s %s", board->short_cpu, board->short_size,
                        BRIDGE_0 PORT(0), device);

    assert_refused(args, board->short_text);
    model_stop(m);
}

static void test_refuse_only_migratable(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    g_autofree char *device = device_arg(m, "'bus': 'rp0'");
    g_autofree char *args = g_strconcat("-only-migratable ", TOPOLOGY, device,
                                        NULL);
    g_autofree char *wanted =
        g_strdup_printf("vfio %s: the memory of a CXL device cannot "
                        "be migrated", m->name);

    assert_refused(args, wanted);
    model_stop(m);
}

static void test_refuse_mode(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    g_autofree char *device = device_arg(m, "'bus': 'rp0', "
                                            "'x-cxl-decoders': 'some'");
    g_autofree char *args = g_strconcat(TOPOLOGY, device, NULL);

    assert_refused(args, "some");
    model_stop(m);
}

/* Accepted, with a warning that says how large it should be */
static void test_warn_surplus(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    g_autofree char *device = device_arg(m, "'bus': 'rp0'");
    g_autofree char *args = g_strconcat(WINDOW("cxl.0", "1G") BRIDGE_0
                                        PORT(0), device, NULL);
    g_autofree char *exact = g_strconcat(TOPOLOGY, device, NULL);
    g_autofree char *wanted =
        g_strdup_printf("vfio %s: CXL: window cxl-fmw.0 has 1G, the device "
                        "needs 256M; the rest stays empty and is part of what "
                        "a guest sees, set cxl-fmw.0.size=256M", m->name);
    g_autofree char *output = NULL;
    g_autofree char *quiet = NULL;
    int status;

    status = run_qemu(args, &output);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 0);
    g_assert_nonnull(strstr(output, wanted));

    status = run_qemu(exact, &quiet);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 0);
    g_assert_null(strstr(quiet, "CXL"));
    model_stop(m);
}

/* Hotplug */

static void test_hotplug(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start(TOPOLOGY);
    g_autofree char *empty = qtest_hmp(vm->qts, "info mtree");
    uint64_t base = window_base(vm, 0);
    unsigned i;

    for (i = 0; i < 10; i++) {
        g_autofree char *now = NULL;

        g_test_message("round %u", i);
        device_add(vm, m, "'bus': 'rp0'");
        slot_power(vm, true);
        assert_bridge_decoder(vm, 0, base, 256 * MiB);
        pci_setup(vm, 0);
        assert_window_mapped(vm, m, base, 256 * MiB, false);
        dev_set_command(vm, 0, COMMAND_MEMORY);
        assert_firmware_decoder(vm, 0, base, 256 * MiB);
        assert_dvsec_base(vm, 0, base);
        assert_window_mapped(vm, m, base, 256 * MiB, true);
        /* A reset in between does not make it another device */
        if (i % 3 == 0) {
            vm_reset(vm);
            slot_power(vm, true);
            pci_enable(vm, 0);
            assert_firmware_decoder(vm, 0, base, 256 * MiB);
            assert_window_mapped(vm, m, base, 256 * MiB, true);
        }

        /* While the memory is mapped */
        device_del(vm);
        assert_window_mapped(vm, m, base, 256 * MiB, false);
        g_assert_cmphex(qtest_readl(vm->qts, bridge_hdm(vm, 0) + HDM_CTRL(0)),
                        ==, 0);
        qtest_writel(vm->qts, port_at(vm, 0, 0x18), 0);
        qtest_writew(vm->qts, port_at(vm, 0, CFG_COMMAND), 0);
        qtest_writel(vm->qts, port_at(vm, 0, 0x20), 0);
        qtest_writel(vm->qts, port_at(vm, 0, 0x24), 0);
        now = qtest_hmp(vm->qts, "info mtree");
        if (i == 0) {
            g_free(empty);
            empty = g_steal_pointer(&now);
        } else {
            g_assert_cmpstr(now, ==, empty);
        }
        g_assert_null(strstr(empty, "CXL decoder"));
    }
    if (!host_function()) {
        g_assert_cmpint(model_state(m, NULL, "opens"), ==, i);
    }
    assert_model_let_go(m);

    /* Nothing is left that would block this */
    qtest_qmp_assert_success(vm->qts, "{'execute': 'migrate', "
                             "'arguments': {'uri': 'exec:cat >/dev/null'}}");
    vm_stop(vm);
    model_stop(m);
}

/* A bridge whose decoder the guest uses is not taken from under it */
/*
 * Firmware has made room behind the empty port, or has not.  What is there at
 * start, or before anybody has turned on the port, is firmware's to place.
 */
static void test_hotplug_no_room(void)
{
    Model *m = model_start(DEFAULT_MODEL " --bar-size 4G");
    Vm *vm = vm_start(TOPOLOGY);
    uint32_t first = bar_at(0, 0), last = bar_at(0, 2 * MiB) - 1;
    uint64_t port = port_at(vm, 0, 0);
    g_autofree char *wanted =
        g_strdup_printf("vfio %s: CXL: the device's BARs need 4G prefetchable "
                        "and 1M other memory, expected root port 'rp0' to have "
                        "that, it has 0G and 2M", m->name);

    qtest_writel(vm->qts, port + 0x18, 52 | 53 << 8 | 53 << 16);
    qtest_writel(vm->qts, port + 0x20, (first >> 16) | (last & 0xfff00000));
    /* Prefetchable: from 64 GiB on, first none and then 4 GiB */
    qtest_writel(vm->qts, port + 0x24, 0x0000fff0);
    qtest_writel(vm->qts, port + 0x28, 16);
    qtest_writel(vm->qts, port + 0x2c, 15);
    qtest_writew(vm->qts, port + CFG_COMMAND, COMMAND_MEMORY);
    assert_device_add_fails(vm, m, "'bus': 'rp0'", wanted);

    qtest_writel(vm->qts, port + 0x24, 0xfff00000);
    qtest_writel(vm->qts, port + 0x2c, 16);
    device_add(vm, m, "'bus': 'rp0'");
    device_del(vm);

    qtest_writel(vm->qts, port + 0x2c, 15);
    qtest_writew(vm->qts, port + CFG_COMMAND, 0);
    device_add(vm, m, "'bus': 'rp0'");
    vm_stop(vm);
    model_stop(m);
}

/* The options that make such room are read by firmware from a port it knows */
static void test_hotplug_reserve(void)
{
    static const char *const reserve[] = { "", ",pref64-reserve=64G" };
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(reserve); i++) {
        g_autofree char *args =
            g_strdup_printf("%s%s-device cxl-rp,id=rp0,bus=cxl.0,chassis=0,"
                            "slot=0%s", WINDOW_0, BRIDGE_0, reserve[i]);
        Vm *vm = vm_start(args);

        g_assert_cmphex(qtest_readl(vm->qts, port_at(vm, 0, 0)), ==,
                        i ? 0x000c1b36 : 0x70758086);
        vm_stop(vm);
    }
}

static void test_hotplug_bridge_in_use(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start(TOPOLOGY);
    uint64_t at = bridge_hdm(vm, 0), base = window_base(vm, 0);
    g_autofree char *wanted =
        g_strdup_printf("vfio %s: CXL: HDM decoder 0 of pxb-cxl 'cxl.0' is "
                        "committed by the guest, expected it free; have the "
                        "guest uncommit it, or set x-cxl-decoders=guest",
                        m->name);

    qtest_writel(vm->qts, at + HDM_BASE(0), (uint32_t)base);
    qtest_writel(vm->qts, at + HDM_BASE(0) + 4, base >> 32);
    qtest_writel(vm->qts, at + HDM_SIZE(0), 256 * MiB);
    qtest_writel(vm->qts, at + HDM_CTRL(0), CTRL_COMMIT);
    g_assert_cmphex(qtest_readl(vm->qts, at + HDM_CTRL(0)) & CTRL_COMMITTED, ==,
                    CTRL_COMMITTED);

    assert_device_add_fails(vm, m, "'bus': 'rp0'", wanted);
    /* Not locked, and still what the guest programmed */
    g_assert_cmphex(qtest_readl(vm->qts, at + HDM_CTRL(0)), ==,
                    CTRL_COMMIT | CTRL_COMMITTED);
    g_assert_cmphex(qtest_readl(vm->qts, at + HDM_BASE(0) + 4), ==, base >> 32);

    /* Once the guest has given it back there is nothing in the way */
    qtest_writel(vm->qts, at + HDM_CTRL(0), 0);
    device_add(vm, m, "'bus': 'rp0'");
    assert_bridge_decoder(vm, 0, base, 256 * MiB);
    device_del(vm);
    g_assert_cmphex(qtest_readl(vm->qts, at + HDM_CTRL(0)), ==, 0);
    vm_stop(vm);
    model_stop(m);
}

/* A device that was there from the start can be taken out, and come back */
static void test_unplug_cold_plugged(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start_with(m, TOPOLOGY, "'bus': 'rp0'");
    uint64_t base = window_base(vm, 0);

    pci_enable(vm, 0);
    assert_window_mapped(vm, m, base, 256 * MiB, true);
    device_del(vm);
    assert_window_mapped(vm, m, base, 256 * MiB, false);
    vm_reset(vm);
    g_assert_cmphex(qtest_readl(vm->qts, bridge_hdm(vm, 0) + HDM_CTRL(0)), ==,
                    0);
    device_add(vm, m, "'bus': 'rp0'");
    slot_power(vm, true);
    pci_enable(vm, 0);
    assert_window_mapped(vm, m, base, 256 * MiB, true);
    vm_stop(vm);
    model_stop(m);
}

/* Devices that go, or that are none */

static void test_model_killed(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Capture capture;
    uint64_t base, at;
    int64_t start;
    Vm *vm;

    capture_start(&capture);
    vm = vm_start_with(m, TOPOLOGY, "'bus': 'rp0', 'x-msg-timeout': 500");
    capture_release(&capture);
    base = window_base(vm, 0);
    pci_enable(vm, 0);
    assert_window_mapped(vm, m, base, 256 * MiB, true);
    g_assert_true(find_decoder(vm->qts, m, 0, 0, &at, NULL));
    g_assert_cmphex(at, ==, base);

    g_assert_true(WIFSIGNALED(model_end(m, SIGKILL)));
    capture_wait(&capture, m->socket);

    /* The VM lives, whatever the guest touches, and waits once, if at all */
    start = g_get_monotonic_time();
    qtest_qmp_assert_success(vm->qts, "{'execute': 'query-status'}");
    qtest_writeq(vm->qts, base, 1);
    qtest_readq(vm->qts, base + 256 * MiB - 8);
    g_assert_cmphex(qtest_readl(vm->qts, bar_at(0, CM)), ==, 0xffffffff);
    g_assert_cmphex(qtest_readq(vm->qts, hdm_at(0, HDM_BASE(0))), ==, base);
    dev_set_command(vm, 0, 0);
    dev_set_command(vm, 0, COMMAND_MEMORY);
    /* What does not answer is not there */
    g_assert_false(find_decoder(vm->qts, m, 0, 0, &at, NULL));
    vm_reset(vm);
    qtest_qmp_assert_success(vm->qts, "{'execute': 'query-status'}");
    g_assert_cmpint(g_get_monotonic_time() - start, <, 5 * G_USEC_PER_SEC);
    vm_stop(vm);

    capture_end(&capture);
    model_stop(m);
}

/* A server that knows no vfio-user at all */
typedef struct Stranger {
    const char *name;
    const char *says;           /* to whatever is sent; NULL: nothing */
    size_t size;
    bool hangs_up;
} Stranger;

static const Stranger strangers[] = {
    { "hangs-up", NULL, 0, true },
    { "is-silent", NULL, 0, false },
    { "is-a-web-server", "HTTP/1.1 400 Bad Request\r\n\r\n", 28, false },
    { "says-zeros", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16, false },
    /* A reply to message 0, of 8 bytes */
    { "replies-too-short", "\0\0\1\0\10\0\0\0\1\0\0\0\0\0\0\0", 16, false },
};

typedef struct StrangerThread {
    const Stranger *stranger;
    int listener;
} StrangerThread;

static void *stranger_thread(void *opaque)
{
    StrangerThread *t = opaque;
    char buffer[4096];
    int fd = accept(t->listener, NULL, NULL);

    g_assert_cmpint(fd, >=, 0);
    while (read(fd, buffer, sizeof(buffer)) > 0) {
        if (t->stranger->hangs_up) {
            break;
        }
        if (t->stranger->says) {
            ssize_t sent = send(fd, t->stranger->says, t->stranger->size,
                                MSG_NOSIGNAL);

            if (sent < 0) {
                break;
            }
        }
    }
    close(fd);
    return NULL;
}

static void test_stranger(const void *opaque)
{
    StrangerThread thread = { .stranger = opaque };
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    Model m = { 0 };
    g_autofree char *device = NULL;
    g_autofree char *args = NULL;
    g_autofree char *wanted = NULL;
    GError *err = NULL;
    GThread *running;

    m.dir = g_dir_make_tmp("vfio-cxl-test-XXXXXX", &err);
    g_assert_no_error(err);
    m.socket = g_build_filename(m.dir, "vfio-user", NULL);
    pstrcpy(addr.sun_path, sizeof(addr.sun_path), m.socket);
    thread.listener = socket(AF_UNIX, SOCK_STREAM, 0);
    g_assert_cmpint(bind(thread.listener, (struct sockaddr *)&addr,
                         sizeof(addr)), ==, 0);
    g_assert_cmpint(listen(thread.listener, 1), ==, 0);
    running = g_thread_new("stranger", stranger_thread, &thread);

    device = device_arg(&m, "'bus': 'rp0', 'x-msg-timeout': 500");
    args = g_strconcat(TOPOLOGY, device, NULL);
    wanted = g_strdup_printf("vfio vfio-user:%s: ", m.socket);
    assert_refused(args, wanted);

    g_thread_join(running);
    close(thread.listener);
    unlink(m.socket);
    g_assert_cmpint(rmdir(m.dir), ==, 0);
    g_free(m.socket);
    g_free(m.dir);
}

/* Nobody there at all */
static void test_no_socket(void)
{
    Model m = { .socket = (char *)"/nonexistent/vfio-user" };
    g_autofree char *device = device_arg(&m, "'bus': 'rp0'");
    g_autofree char *args = g_strconcat(TOPOLOGY, device, NULL);

    assert_refused(args, "/nonexistent/vfio-user");
}

static void add_refusals(void)
{
    size_t i;

    for (i = 0; i < ARRAY_SIZE(refusals); i++) {
        g_autofree char *cold = g_strdup_printf("/vfio-cxl/refuse/%s",
                                                refusals[i].name);
        g_autofree char *hot = g_strdup_printf("/vfio-cxl/refuse-hot/%s",
                                               refusals[i].name);
        const char *why = refusals[i].model ? ANOTHER_MODEL : NULL;

        if (refusals[i].only && !g_str_equal(refusals[i].only, contract()) &&
            !g_str_equal(refusals[i].only, board->arch)) {
            continue;
        }
        add_case(cold, &refusals[i], test_refuse_cold, why);
        if (!refusals[i].cold_only) {
            add_case(hot, &refusals[i], test_refuse_hot, why);
        }
    }
    for (i = 0; i < ARRAY_SIZE(strangers); i++) {
        g_autofree char *name = g_strdup_printf("/vfio-cxl/stranger/%s",
                                                strangers[i].name);

        add_case(name, &strangers[i], test_stranger, A_SERVER);
    }
}

static void add_large_bars(void)
{
    size_t i;

    for (i = 0; i < ARRAY_SIZE(large_bars); i++) {
        g_autofree char *path = g_strdup_printf("/vfio-cxl/large-bar/%s",
                                                large_bars[i].name);

        if (g_str_equal(large_bars[i].arch, board->arch)) {
            add_case(path, &large_bars[i], test_large_bar, ANOTHER_MODEL);
        }
    }
}

static void add_tests(void)
{
#define TEST(path, func)     qtest_add_func("/vfio-cxl/" path, func)
#define OWN(path, func, why) add_model_test("/vfio-cxl/" path, func, why)
    TEST("config", test_config);
    OWN("dvsec-two-ranges", test_dvsec_two_ranges, ANOTHER_MODEL);
    TEST("config/dvsec-writes", test_config_dvsec_writes);
    if (host_base()) {
        TEST("no-host-address", test_no_host_address);
    } else {
        OWN("no-host-address", test_no_host_address,
            "VFIO_CXL_HOST_BASE does not say where the host has the memory");
    }
    TEST("overlay/reads", test_overlay_reads);
    TEST("overlay/writes", test_overlay_writes);
    OWN("overlay/no-round-trip", test_overlay_no_round_trip, ASKED);
    TEST("overlay/global-enable", test_overlay_global_enable);
    TEST("overlay/pass-through", test_pass_through);
    TEST("bar-direct", test_bar_direct);
    OWN("bar-direct/64k-pages", test_bar_direct_64k, ANOTHER_MODEL);
    OWN("bar-direct/none", test_bar_not_direct, ANOTHER_MODEL);
    TEST("window", test_window);
    TEST("window/memory-space", test_window_memory_space);
    TEST("window/power-state", test_window_power_state);
    TEST("window/function-reset", test_window_function_reset);
    TEST("window/surplus", test_window_surplus);
    TEST("bridge", test_bridge);
    TEST("bridge/port-number", test_bridge_port_number);
    TEST("bridge/pass-through", test_bridge_pass_through);
    TEST("system-reset", test_system_reset);
    OWN("cache-writeback", test_cache_writeback, ASKED);
    OWN("two-devices", test_two_devices, TWO_MODELS);
    OWN("decoders/4", test_four_decoders, ANOTHER_MODEL);
    OWN("decoders/10", test_ten_decoders, ANOTHER_MODEL);
    OWN("decoders/10-unplugged", test_ten_decoders_unplugged, ANOTHER_MODEL);
    OWN("decoders/merged", test_merged_decoders, ANOTHER_MODEL);
    OWN("guest/auto", test_guest_auto, ANOTHER_MODEL);
    OWN("guest/on-request", test_guest_on_request, ANOTHER_MODEL);
    TEST("guest/half-a-window", test_guest_half_a_window);
    TEST("off", test_off);
    TEST("mode-is-fixed", test_mode_is_fixed);
    TEST("migration", test_migration);
    add_refusals();
    OWN("refuse/two-devices", test_refuse_two_devices, TWO_MODELS);
    TEST("refuse/slot-taken", test_refuse_slot_taken);
    TEST("refuse/no-bus", test_refuse_no_bus);
    add_large_bars();
    TEST("refuse/window-without-address", test_refuse_window_without_address);
    TEST("refuse/only-migratable", test_refuse_only_migratable);
    TEST("refuse/mode", test_refuse_mode);
    OWN("refuse/no-socket", test_no_socket, A_SERVER);
    TEST("warn-surplus", test_warn_surplus);
    TEST("hotplug", test_hotplug);
    TEST("hotplug/bridge-in-use", test_hotplug_bridge_in_use);
    OWN("hotplug/no-room", test_hotplug_no_room, ANOTHER_MODEL);
    TEST("hotplug/reserve", test_hotplug_reserve);
    TEST("hotplug/unplug-cold-plugged", test_unplug_cold_plugged);
    OWN("model-killed", test_model_killed, A_SERVER);
#undef OWN
#undef TEST
}

int main(int argc, char **argv)
{
    return vfio_cxl_test_main(argc, argv, add_tests);
}
