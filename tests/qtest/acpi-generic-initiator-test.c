/*
 * acpi-generic-initiator for a PCI device that comes and goes
 *
 * The tables are built when firmware asks for them after each reset.  A device
 * that is there is in the SRAT, by its bus and function; one that is not yet
 * plugged in, or was unplugged, is left out, and QEMU goes on.
 *
 * There is no firmware: the test reads the tables from fw_cfg.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "standard-headers/linux/qemu_fw_cfg.h"
#include "libqtest.h"

/*
 * Function 1 of an otherwise empty slot is unplugged without the guest, which
 * has not seen it
 */
#define DEVICE \
    "{'execute': 'device_add', 'arguments': {'driver': 'virtio-rng-pci'," \
    " 'id': 'gi', 'bus': 'rp', 'addr': '0.1'}}"

/* ACPI 6.5 Section 5.2.16.6 Generic Initiator Affinity Structure */
#define SRAT_GENERIC_INITIATOR  5
#define SRAT_HEADER_SIZE        48

typedef struct Board {
    const char *arch;
    const char *machine;
    uint64_t fw_cfg;            /* 0: I/O ports */
    uint64_t ram;               /* anywhere in it */
} Board;

static const Board boards[] = {
    { "aarch64", "virt -cpu max", 0x09020000, 0x40000000 + 16 * MiB },
    { "x86_64", "q35 -global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off",
      0, 16 * MiB },
};

static const Board *board;

/* Read @size bytes of what is selected, or of @key where that is not 0 */
static void fw_cfg_read(QTestState *qts, uint16_t key, void *to, uint32_t size)
{
    uint64_t data = board->ram + 4 * KiB;
    uint64_t at = cpu_to_be64(board->ram);
    struct fw_cfg_dma_access access = {
        .control = cpu_to_be32(FW_CFG_DMA_CTL_READ |
                               (key ? FW_CFG_DMA_CTL_SELECT | key << 16 : 0)),
        .length = cpu_to_be32(size),
        .address = cpu_to_be64(data),
    };

    qtest_memwrite(qts, board->ram, &access, sizeof(access));
    if (board->fw_cfg) {
        qtest_memwrite(qts, board->fw_cfg + 16, &at, sizeof(at));
    } else {
        qtest_outl(qts, 0x514, 0);
        qtest_outl(qts, 0x518, bswap32(board->ram));
    }
    qtest_memread(qts, board->ram, &access, sizeof(access));
    g_assert_cmphex(access.control, ==, 0);
    qtest_memread(qts, data, to, size);
}

/* The ACPI tables, as firmware would get them now */
static uint8_t *read_tables(QTestState *qts, uint32_t *size)
{
    struct fw_cfg_file file = { 0 };
    uint32_t count;
    uint8_t *tables;

    fw_cfg_read(qts, FW_CFG_FILE_DIR, &count, sizeof(count));
    count = be32_to_cpu(count);
    do {
        g_assert_cmpuint(count--, >, 0);
        fw_cfg_read(qts, 0, &file, sizeof(file));
    } while (!g_str_equal(file.name, "etc/acpi/tables"));
    *size = be32_to_cpu(file.size);
    tables = g_malloc(*size);
    fw_cfg_read(qts, be16_to_cpu(file.select), tables, *size);
    return tables;
}

/*
 * Structures of generic initiators in the SRAT; the PCI device of the last one
 * in @handle: segment, bus, device and function
 */
static unsigned count_initiators(QTestState *qts, uint32_t *handle)
{
    uint32_t size, at;
    g_autofree uint8_t *tables = read_tables(qts, &size);
    uint8_t *srat = NULL;
    unsigned n = 0;

    for (at = 0; !srat && at + 36 < size;
         at += MAX(ldl_le_p(tables + at + 4), 36)) {
        if (!memcmp(tables + at, "SRAT", 4)) {
            srat = tables + at;
        }
    }
    g_assert_nonnull(srat);
    size = ldl_le_p(srat + 4);
    for (at = SRAT_HEADER_SIZE; at < size; at += srat[at + 1]) {
        g_assert_cmpuint(srat[at + 1], >, 0);
        if (srat[at] == SRAT_GENERIC_INITIATOR) {
            /* Of PCI type, for node 1 */
            g_assert_cmpuint(srat[at + 3], ==, 1);
            g_assert_cmpuint(ldl_le_p(srat + at + 4), ==, 1);
            *handle = ldl_be_p(srat + at + 8);
            n++;
        }
    }
    return n;
}

static QTestState *start(const char *more)
{
    return qtest_initf("-M %s -nodefaults -m 128M "
                       "-object memory-backend-ram,id=ram,size=128M "
                       "-numa node,nodeid=0,memdev=ram -numa node,nodeid=1 "
                       "-device pcie-root-port,id=rp,bus=pcie.0,addr=4 "
                       "-object acpi-generic-initiator,id=g,pci-dev=gi,node=1 "
                       "%s", board->machine, more);
}

static void test_there(void)
{
    QTestState *qts = start("-device virtio-rng-pci,id=gi,bus=pcie.0,addr=6.3");
    uint32_t handle;

    g_assert_cmpuint(count_initiators(qts, &handle), ==, 1);
    g_assert_cmphex(handle, ==, 6 << 3 | 3);
    qtest_quit(qts);
}

/* An empty slot, filled, and emptied again; the tables follow at resets */
static void test_comes_and_goes(void)
{
    QTestState *qts = start("");
    uint32_t handle;

    g_assert_cmpuint(count_initiators(qts, &handle), ==, 0);
    qtest_qmp_assert_success(qts, DEVICE);
    qtest_system_reset(qts);
    g_assert_cmpuint(count_initiators(qts, &handle), ==, 1);
    /* The port leads to bus 0 as long as nobody has numbered its bus */
    g_assert_cmphex(handle & 0xff, ==, 1);
    qtest_qmp_assert_success(qts, "{'execute': 'device_del',"
                             " 'arguments': {'id': 'gi'}}");
    qtest_qmp_eventwait(qts, "DEVICE_DELETED");
    qtest_system_reset(qts);
    g_assert_cmpuint(count_initiators(qts, &handle), ==, 0);
    qtest_quit(qts);
}

int main(int argc, char **argv)
{
    size_t i;

    g_test_init(&argc, &argv, NULL);
    for (i = 0; i < ARRAY_SIZE(boards); i++) {
        if (g_str_equal(boards[i].arch, qtest_get_arch())) {
            board = &boards[i];
            qtest_add_func("/acpi-generic-initiator/there", test_there);
            qtest_add_func("/acpi-generic-initiator/comes-and-goes",
                           test_comes_and_goes);
        }
    }
    return g_test_run();
}
