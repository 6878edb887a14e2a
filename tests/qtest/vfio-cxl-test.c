/*
 * CXL Type-2 devices over vfio-user and vfio
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "qemu/bswap.h"
#include "qemu/cutils.h"
#include "qapi/error.h"
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#include "qobject/qstring.h"
#include "vfio-cxl-util.h"
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

/* A bridge whose decoder the guest uses is not taken from under it */
static void test_hotplug_bridge_in_use(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start(TOPOLOGY);
    uint64_t at = bridge_hdm(vm, 0), base = window_base(vm, 0);
    g_autofree char *wanted =
        g_strdup_printf("vfio %s: CXL: HDM decoder 0 of pxb-cxl 'cxl.0' is "
                        "committed by the guest, expected it free", m->name);

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
