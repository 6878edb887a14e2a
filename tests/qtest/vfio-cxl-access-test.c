/*
 * CXL memory as guest memory: the accesses that QEMU makes for its own devices
 *
 * A guest may use the memory of a CXL device as any other: buffers and rings
 * of its virtio devices are there then, and a dump of the guest has it.  QEMU's
 * threads have to reach it as they reach RAM, without a limit of their own.
 *
 * There is no guest: the test is the driver of a virtio disk, with one queue
 * and one request at a time.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "elf.h"
#include "qemu/bswap.h"
#include "standard-headers/linux/virtio_blk.h"
#include "standard-headers/linux/virtio_config.h"
#include "standard-headers/linux/virtio_pci.h"
#include "standard-headers/linux/virtio_ring.h"
#include "qobject/qdict.h"
#include "vfio-cxl-util.h"

#define DISK_SIZE       (1 * MiB)
#define SECTOR          512

/* More than a bounce buffer has, and no multiple of its size */
#define LENGTH          (300 * KiB)

/* Where the disk is on the root bus, and where its BAR goes */
#define DISK_SLOT       5
#define DISK_BAR        bar_at(3, 0)
#define DISK_ARGS \
    "-drive if=none,id=disk,format=raw,file=%s " \
    "-device virtio-blk-pci,drive=disk,bus=pcie.0,addr=5 "

/* In guest RAM that is there on all boards, from @ram */
#define RAM_OFFSET      (64 * MiB)
#define AT_DESC         0x0000
#define AT_AVAIL        0x1000
#define AT_USED         0x2000
#define AT_HEADER       0x3000
#define AT_STATUS       0x3100
#define AT_DATA         0x10000
#define QUEUE_SIZE      8

#define USED_WAIT_S     20

/* A part of a request: guest address, length, does the device write it? */
typedef struct Part {
    uint64_t addr;
    uint32_t length;
    bool written;
} Part;

typedef struct Disk {
    Vm *vm;
    char *path;
    uint8_t *bytes;             /* what is on it */
    uint64_t ring;              /* descriptors, available and used ring */
    uint64_t ram;
    uint64_t common;
    uint64_t notify;
    uint16_t avail;
} Disk;

static void fill(uint8_t *bytes, size_t size, uint32_t seed)
{
    size_t i;

    for (i = 0; i < size; i++) {
        seed = seed * 1664525 + 1013904223;
        bytes[i] = seed >> 24;
    }
}

static Disk *disk_new(void)
{
    Disk *d = g_new0(Disk, 1);
    GError *err = NULL;
    int fd = g_file_open_tmp("vfio-cxl-disk-XXXXXX", &d->path, &err);

    g_assert_no_error(err);
    close(fd);
    d->bytes = g_malloc(DISK_SIZE);
    fill(d->bytes, DISK_SIZE, 1);
    g_assert_true(g_file_set_contents(d->path, (char *)d->bytes, DISK_SIZE,
                                      NULL));
    return d;
}

static void disk_free(Disk *d)
{
    unlink(d->path);
    g_free(d->path);
    g_free(d->bytes);
    g_free(d);
}

static uint64_t disk_config(Disk *d, uint32_t reg)
{
    return d->vm->ecam + (DISK_SLOT << 15) + reg;
}

/* Where structure @type of the virtio device is */
static uint64_t disk_find(Disk *d, uint8_t type)
{
    QTestState *qts = d->vm->qts;
    uint8_t at = qtest_readb(qts, disk_config(d, 0x34));
    unsigned steps;

    for (steps = 0; steps < 48 && at; steps++) {
        uint64_t header = disk_config(d, at);

        if (qtest_readb(qts, header) == 0x09 &&
            qtest_readb(qts, header + VIRTIO_PCI_CAP_CFG_TYPE) == type) {
            g_assert_cmpuint(qtest_readb(qts, header + VIRTIO_PCI_CAP_BAR), ==,
                             4);
            return DISK_BAR + qtest_readl(qts, header + VIRTIO_PCI_CAP_OFFSET);
        }
        at = qtest_readb(qts, header + 1);
    }
    g_assert_not_reached();
}

/* A driver's first steps, with the rings at @ring, or in RAM where that is 0 */
static void disk_enable(Disk *d, Vm *vm, uint64_t ring)
{
    QTestState *qts = vm->qts;
    uint64_t base = 0;

    d->vm = vm;
    if (!g_str_equal(board->arch, "x86_64")) {
        g_assert_true(find_region(qts, "mem", 0, &base, NULL));
    }
    d->ram = base + RAM_OFFSET;
    d->ring = ring ?: d->ram;
    qtest_writel(qts, disk_config(d, 0x20), DISK_BAR);
    qtest_writel(qts, disk_config(d, 0x24), 0);
    qtest_writew(qts, disk_config(d, CFG_COMMAND),
                 COMMAND_MEMORY | COMMAND_MASTER);
    d->common = disk_find(d, VIRTIO_PCI_CAP_COMMON_CFG);
    d->notify = disk_find(d, VIRTIO_PCI_CAP_NOTIFY_CFG);

    qtest_writeb(qts, d->common + VIRTIO_PCI_COMMON_STATUS, 0);
    qtest_writeb(qts, d->common + VIRTIO_PCI_COMMON_STATUS,
                 VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
    qtest_writel(qts, d->common + VIRTIO_PCI_COMMON_GFSELECT, 1);
    qtest_writel(qts, d->common + VIRTIO_PCI_COMMON_GF,
                 1u << (VIRTIO_F_VERSION_1 - 32));
    qtest_writeb(qts, d->common + VIRTIO_PCI_COMMON_STATUS,
                 VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
                 VIRTIO_CONFIG_S_FEATURES_OK);

    qtest_memset(qts, d->ring, 0, 0x3000);
    qtest_writew(qts, d->common + VIRTIO_PCI_COMMON_Q_SELECT, 0);
    qtest_writew(qts, d->common + VIRTIO_PCI_COMMON_Q_SIZE, QUEUE_SIZE);
    qtest_writel(qts, d->common + VIRTIO_PCI_COMMON_Q_DESCLO,
                 d->ring + AT_DESC);
    qtest_writel(qts, d->common + VIRTIO_PCI_COMMON_Q_DESCHI,
                 (d->ring + AT_DESC) >> 32);
    qtest_writel(qts, d->common + VIRTIO_PCI_COMMON_Q_AVAILLO,
                 d->ring + AT_AVAIL);
    qtest_writel(qts, d->common + VIRTIO_PCI_COMMON_Q_AVAILHI,
                 (d->ring + AT_AVAIL) >> 32);
    qtest_writel(qts, d->common + VIRTIO_PCI_COMMON_Q_USEDLO,
                 d->ring + AT_USED);
    qtest_writel(qts, d->common + VIRTIO_PCI_COMMON_Q_USEDHI,
                 (d->ring + AT_USED) >> 32);
    qtest_writew(qts, d->common + VIRTIO_PCI_COMMON_Q_ENABLE, 1);
    qtest_writeb(qts, d->common + VIRTIO_PCI_COMMON_STATUS,
                 VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
                 VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);
    d->avail = 0;
}

static void disk_describe(Disk *d, unsigned n, const Part *part, bool last)
{
    QTestState *qts = d->vm->qts;
    uint64_t at = d->ring + AT_DESC + 16 * n;

    qtest_writeq(qts, at, part->addr);
    qtest_writel(qts, at + 8, part->length);
    qtest_writew(qts, at + 12, (part->written ? VRING_DESC_F_WRITE : 0) |
                               (last ? 0 : VRING_DESC_F_NEXT));
    qtest_writew(qts, at + 14, last ? 0 : n + 1);
}

/*
 * A request of @type from @sector on, its data in @parts: the status that the
 * disk answers with
 */
static uint8_t disk_request(Disk *d, uint32_t type, uint64_t sector,
                            const Part *parts, unsigned count)
{
    QTestState *qts = d->vm->qts;
    uint64_t avail = d->ring + AT_AVAIL, used = d->ring + AT_USED;
    gint64 deadline = g_get_monotonic_time() + USED_WAIT_S * G_USEC_PER_SEC;
    Part header = { d->ram + AT_HEADER, 16, false };
    Part status = { d->ram + AT_STATUS, 1, true };
    unsigned i;

    g_assert_cmpuint(count + 2, <=, QUEUE_SIZE);
    qtest_writel(qts, header.addr, type);
    qtest_writel(qts, header.addr + 4, 0);
    qtest_writeq(qts, header.addr + 8, sector);
    qtest_writeb(qts, status.addr, 0xff);
    disk_describe(d, 0, &header, false);
    for (i = 0; i < count; i++) {
        disk_describe(d, 1 + i, &parts[i], false);
    }
    disk_describe(d, 1 + count, &status, true);

    qtest_writew(qts, avail + 4 + 2 * (d->avail % QUEUE_SIZE), 0);
    d->avail++;
    qtest_writew(qts, avail + 2, d->avail);
    qtest_writew(qts, d->notify, 0);
    while (qtest_readw(qts, used + 2) != d->avail) {
        g_assert_cmphex(qtest_readb(qts, d->common + VIRTIO_PCI_COMMON_STATUS) &
                        VIRTIO_CONFIG_S_NEEDS_RESET, ==, 0);
        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        g_usleep(1000);
    }
    return qtest_readb(qts, status.addr);
}

/* A machine with a CXL device and @d, whose rings are in its memory or not */
static Vm *start(Disk *d, Model *m, bool ring_in_window, uint64_t *window)
{
    g_autofree char *device = device_arg(m, "'bus': 'rp0'");
    g_autofree char *disk = g_strdup_printf(DISK_ARGS, d->path);
    g_autofree char *args = g_strconcat(TOPOLOGY, device, disk, NULL);
    Vm *vm = vm_start(args);

    pci_enable(vm, 0);
    *window = window_base(vm, 0);
    g_assert_true(memory_seen(vm, m, *window, 0));
    disk_enable(d, vm, ring_in_window ? *window + 16 * MiB : 0);
    return vm;
}

static void assert_memory(Vm *vm, uint64_t addr, const uint8_t *wanted,
                          size_t size)
{
    g_autofree uint8_t *got = g_malloc(size);

    qtest_memread(vm->qts, addr, got, size);
    g_assert_cmpmem(got, size, wanted, size);
}

/* What the model has there, a few words of it */
static void assert_device_memory(Model *m, uint64_t dpa, const uint8_t *wanted,
                                 size_t size)
{
    size_t at[] = { 0, 8, size / 2 & ~7, size - 8 };
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(at); i++) {
        g_assert_cmphex(model_peek(m, dpa + at[i]), ==,
                        ldq_le_p(wanted + at[i]));
    }
}

/* From the disk into the window and back, a request as large as Linux's */
static void test_disk(const void *data)
{
    Disk *d = disk_new();
    Model *m = model_start(DEFAULT_MODEL);
    uint64_t window;
    Vm *vm = start(d, m, data != NULL, &window);
    g_autofree char *changed = NULL;
    gsize size;
    Part in = { window + 4096 + 8, LENGTH, true };
    Part out = { window + 8 * MiB, LENGTH, false };

    g_assert_cmpint(disk_request(d, VIRTIO_BLK_T_IN, 3, &in, 1), ==,
                    VIRTIO_BLK_S_OK);
    assert_memory(vm, in.addr, d->bytes + 3 * SECTOR, LENGTH);
    assert_device_memory(m, in.addr - window, d->bytes + 3 * SECTOR, LENGTH);

    fill(d->bytes + 5 * SECTOR, LENGTH, 2);
    qtest_memwrite(vm->qts, out.addr, d->bytes + 5 * SECTOR, LENGTH);
    g_assert_cmpint(disk_request(d, VIRTIO_BLK_T_OUT, 5, &out, 1), ==,
                    VIRTIO_BLK_S_OK);
    g_assert_true(g_file_get_contents(d->path, &changed, &size, NULL));
    g_assert_cmpmem(changed, size, d->bytes, DISK_SIZE);
    vm_stop(vm);
    model_stop(m);
    disk_free(d);
}

/* Pieces of one request in the window and in RAM, as a file's pages may be */
static void test_disk_scattered(void)
{
    Disk *d = disk_new();
    Model *m = model_start(DEFAULT_MODEL);
    uint64_t window;
    Vm *vm = start(d, m, false, &window);
    Part parts[] = {
        { window + 2 * MiB - 4096, 3 * 4096, true },
        { d->ram + AT_DATA, 2 * 4096, true },
        { window + 32 * MiB, 4096, true },
        { window + 256 * MiB - 5 * 4096, 5 * 4096, true },
    };
    const uint8_t *wanted = d->bytes + SECTOR;
    unsigned i;

    g_assert_cmpint(disk_request(d, VIRTIO_BLK_T_IN, 1, parts,
                                 ARRAY_SIZE(parts)), ==, VIRTIO_BLK_S_OK);
    for (i = 0; i < ARRAY_SIZE(parts); i++) {
        assert_memory(vm, parts[i].addr, wanted, parts[i].length);
        wanted += parts[i].length;
    }
    vm_stop(vm);
    model_stop(m);
    disk_free(d);
}

/* Where an ELF64 dump has guest address @addr; it does */
static const char *dump_find(const char *dump, gsize size, uint64_t addr)
{
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)dump;
    const Elf64_Phdr *part = (const Elf64_Phdr *)(dump + header->e_phoff);
    unsigned i;

    g_assert_cmpuint(header->e_phoff + header->e_phnum * sizeof(*part), <=,
                     size);
    for (i = 0; i < header->e_phnum; i++, part++) {
        if (part->p_type == PT_LOAD && addr >= part->p_paddr &&
            addr + LENGTH <= part->p_paddr + part->p_filesz) {
            g_assert_cmpuint(part->p_offset + part->p_filesz, <=, size);
            return dump + part->p_offset + (addr - part->p_paddr);
        }
    }
    g_assert_not_reached();
}

/* A dump of the guest has the memory, whatever the guest uses it for */
static void test_dump(void)
{
    g_autofree uint8_t *bytes = g_malloc(LENGTH);
    Disk *d = disk_new();
    Model *m = model_start(DEFAULT_MODEL);
    uint64_t window;
    Vm *vm = start(d, m, false, &window);
    uint64_t addr = window + 4 * MiB;
    g_autofree char *path = g_strconcat(d->path, ".dump", NULL);
    g_autofree char *protocol = g_strconcat("file:", path, NULL);
    g_autofree char *dump = NULL;
    gsize size;

    fill(bytes, LENGTH, 3);
    qtest_memwrite(vm->qts, addr, bytes, LENGTH);
    qtest_qmp_assert_success(vm->qts, "{'execute': 'dump-guest-memory',"
                             " 'arguments': {'paging': false,"
                             " 'protocol': %s, 'begin': %" PRId64 ","
                             " 'length': %" PRId64 "}}", protocol,
                             (int64_t)addr, (int64_t)LENGTH);
    g_assert_true(g_file_get_contents(path, &dump, &size, NULL));
    g_assert_cmpmem(dump_find(dump, size, addr), LENGTH, bytes, LENGTH);
    unlink(path);
    vm_stop(vm);
    model_stop(m);
    disk_free(d);
}

/*
 * The memory is closed: the address is nobody's, the request fails or goes
 * nowhere, and the disk works with its next buffer
 */
static void test_disk_closed(void)
{
    Disk *d = disk_new();
    Model *m = model_start(DEFAULT_MODEL);
    uint64_t window;
    Vm *vm = start(d, m, false, &window);
    Part in = { window + 8 * MiB, 4096, true };

    qtest_memset(vm->qts, in.addr, 0x5a, in.length);
    dev_set_command(vm, 0, COMMAND_MASTER);
    disk_request(d, VIRTIO_BLK_T_IN, 0, &in, 1);
    dev_set_command(vm, 0, COMMAND_MEMORY | COMMAND_MASTER);
    g_assert_cmphex(model_peek(m, 8 * MiB), ==, 0x5a5a5a5a5a5a5a5a);
    g_assert_cmpint(disk_request(d, VIRTIO_BLK_T_IN, 0, &in, 1), ==,
                    VIRTIO_BLK_S_OK);
    assert_device_memory(m, 8 * MiB, d->bytes, in.length);
    vm_stop(vm);
    model_stop(m);
    disk_free(d);
}

static void add_tests(void)
{
    add_case("/vfio-cxl-access/disk", NULL, test_disk, NULL);
    add_case("/vfio-cxl-access/disk/rings-too", "", test_disk, NULL);
    qtest_add_func("/vfio-cxl-access/disk/scattered", test_disk_scattered);
    qtest_add_func("/vfio-cxl-access/disk/closed", test_disk_closed);
    qtest_add_func("/vfio-cxl-access/dump", test_dump);
}

int main(int argc, char **argv)
{
    return vfio_cxl_test_main(argc, argv, add_tests);
}
