/*
 * Tests of how the kernel's description of a CXL device is read
 *
 * The kernel is an array of regions and one of register bytes here, so that it
 * can say whatever a broken kernel or a hostile server could.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "hw/vfio/cxl-contract.h"
#include "hw/vfio/cxl-uapi.h"
#include "hw/vfio/vfio-helpers.h"

#define UNIT            (256 * MiB)

enum {
    BAR_REGION = 0,
    MEM_REGION = 9,
    REGS_REGION = 10,
    SPARE_REGION = 11,
    REGION_COUNT = 12,
};

/* Bits of Decoder n Control, CXL r3.1 Section 8.2.4.20.7 */
#define CTRL_FIRMWARE   0x700u      /* committed and locked */
#define CTRL_ERROR      0x800u
#define CTRL_IW_2       0x010u

typedef struct FakeRegion {
    int error;                      /* what asking for it gives */
    union {
        struct vfio_region_info info;
        uint8_t bytes[256];
    };
} FakeRegion;

typedef struct Fake {
    VFIODevice vbasedev;
    FakeRegion regions[REGION_COUNT];
    uint8_t registers[0x1000];
    int mem_read;                   /* what reading the memory gives */
    uint64_t fail_at;               /* offset of the register that fails */
    int fail_with;                  /* what reading that gives */
    unsigned reads;
    int info_error;                 /* what asking for the device info gives */
    union {
        struct vfio_device_info info;
        uint8_t bytes[128];
    } device;
} Fake;

/* The seams: what cxl-contract.c takes from the rest of QEMU */

int vfio_device_get_region_info(VFIODevice *vbasedev, int index,
                                struct vfio_region_info **info)
{
    Fake *f = container_of(vbasedev, Fake, vbasedev);

    g_assert_cmpint(index, >=, 0);
    g_assert_cmpint(index, <, REGION_COUNT);
    *info = NULL;
    if (f->regions[index].error) {
        return f->regions[index].error;
    }
    *info = &f->regions[index].info;
    return 0;
}

struct vfio_info_cap_header *
vfio_get_region_info_cap(struct vfio_region_info *info, uint16_t id)
{
    uint32_t at = info->flags & VFIO_REGION_INFO_FLAG_CAPS ? info->cap_offset
                                                           : 0;

    while (at) {
        struct vfio_info_cap_header *header = (void *)((char *)info + at);

        if (header->id == id) {
            return header;
        }
        at = header->next;
    }
    return NULL;
}

int vfio_device_read_info(VFIODevice *vbasedev, struct vfio_device_info **info)
{
    Fake *f = container_of(vbasedev, Fake, vbasedev);

    *info = NULL;
    if (f->info_error) {
        return f->info_error;
    }
    *info = g_memdup2(&f->device, sizeof(f->device));
    return 0;
}

struct vfio_info_cap_header *
vfio_get_device_info_cap(struct vfio_device_info *info, uint16_t id)
{
    struct vfio_info_cap_header *header;

    if (!(info->flags & VFIO_DEVICE_FLAGS_CAPS)) {
        return NULL;
    }
    header = (void *)((char *)info + info->cap_offset);
    return header->id == id ? header : NULL;
}

static int fake_region_read(VFIODevice *vbasedev, uint8_t nr, off_t off,
                            uint32_t size, void *data)
{
    Fake *f = container_of(vbasedev, Fake, vbasedev);

    if (nr == MEM_REGION) {
        g_assert_cmpint(off, ==, 0);
        g_assert_cmpuint(size, ==, 4);
        memset(data, 0x5a, size);
        return f->mem_read;
    }
    /* The kernel refuses everything but whole registers inside the region */
    g_assert_cmpuint(nr, ==, REGS_REGION);
    g_assert_cmpuint(size, ==, 4);
    g_assert_cmpint(off % 4, ==, 0);
    if (off + size > f->regions[REGS_REGION].info.size) {
        return -EINVAL;
    }
    g_assert_cmpuint(off + size, <=, sizeof(f->registers));
    f->reads++;
    memcpy(data, f->registers + off, size);
    return off == f->fail_at ? f->fail_with : size;
}

static int fake_region_write(VFIODevice *vbasedev, uint8_t nr, off_t off,
                             uint32_t size, void *data, bool post)
{
    Fake *f = container_of(vbasedev, Fake, vbasedev);

    g_assert_cmpuint(nr, ==, REGS_REGION);
    g_assert_cmpuint(size, ==, 4);
    g_assert_false(post);
    memcpy(f->registers + off, data, size);
    return off == f->fail_at ? f->fail_with : size;
}

static VFIODeviceIOOps fake_io_ops = {
    .region_read = fake_region_read,
    .region_write = fake_region_write,
};

/* Building the fake */

static void set_region(Fake *f, unsigned i, uint32_t flags, uint64_t size)
{
    f->regions[i] = (FakeRegion) {
        .info = {
            .argsz = sizeof(struct vfio_region_info),
            .index = i,
            .flags = flags,
            .size = size,
        },
    };
}

/* One more capability of @size bytes at the end of region @i's chain */
static void *add_cap(Fake *f, unsigned i, uint16_t id, size_t size)
{
    struct vfio_region_info *info = &f->regions[i].info;
    struct vfio_info_cap_header *header;
    uint32_t at = info->argsz;

    g_assert_cmpuint(at + size, <=, sizeof(f->regions[i].bytes));
    if (info->flags & VFIO_REGION_INFO_FLAG_CAPS) {
        header = (void *)((char *)info + info->cap_offset);
        while (header->next) {
            header = (void *)((char *)info + header->next);
        }
        header->next = at;
    } else {
        info->flags |= VFIO_REGION_INFO_FLAG_CAPS;
        info->cap_offset = at;
    }
    header = (void *)((char *)info + at);
    header->id = id;
    header->version = 1;
    info->argsz += size;
    return header;
}

static void add_type(Fake *f, unsigned i, uint32_t type, uint32_t subtype)
{
    struct vfio_region_info_cap_type *cap;

    cap = add_cap(f, i, VFIO_REGION_INFO_CAP_TYPE, sizeof(*cap));
    cap->type = type;
    cap->subtype = subtype;
}

static struct vfio_cxl_region_cap_comp_regs *add_place(Fake *f, uint32_t bar,
                                                       uint64_t offset)
{
    struct vfio_cxl_region_cap_comp_regs *cap;

    cap = add_cap(f, REGS_REGION, VFIO_CXL_REGION_CAP_COMP_REGS, sizeof(*cap));
    cap->bar = bar;
    cap->offset = offset;
    return cap;
}

static void set_mem(Fake *f, uint32_t flags, uint64_t size)
{
    set_region(f, MEM_REGION, flags, size);
    add_type(f, MEM_REGION, 0x80001e98, 1);
}

static void set_regs(Fake *f, uint64_t size, uint32_t bar, uint64_t offset)
{
    set_region(f, REGS_REGION, VFIO_REGION_INFO_FLAG_READ |
               VFIO_REGION_INFO_FLAG_WRITE, size);
    add_type(f, REGS_REGION, 0x80001e98, 2);
    add_place(f, bar, offset);
}

static void set_register(Fake *f, uint64_t at, uint32_t value)
{
    stl_le_p(f->registers + at, value);
}

static void set_decoder(Fake *f, unsigned n, uint64_t base, uint64_t size,
                        uint64_t skip, uint32_t ctrl)
{
    uint64_t at = 0x10 + 0x20 * n;

    stq_le_p(f->registers + at, base);
    stq_le_p(f->registers + at + 0x08, size);
    set_register(f, at + 0x10, ctrl);
    stq_le_p(f->registers + at + 0x14, skip);
}

#define HOST_BASE       0x424240000000ULL
#define MEM_FLAGS       (VFIO_REGION_INFO_FLAG_READ | \
                         VFIO_REGION_INFO_FLAG_WRITE | \
                         VFIO_REGION_INFO_FLAG_MMAP)

/* One decoder, committed by firmware over the whole memory of 512 MiB */
static void start(Fake *f)
{
    unsigned i;

    memset(f, 0, sizeof(*f));
    f->vbasedev.io_ops = &fake_io_ops;
    f->vbasedev.num_initial_regions = REGION_COUNT;
    f->vbasedev.flags = 1u << 9 | VFIO_DEVICE_FLAGS_PCI;
    f->device.info.argsz = sizeof(f->device.info);
    f->mem_read = 4;
    f->fail_at = UINT64_MAX;
    for (i = 0; i < REGION_COUNT; i++) {
        set_region(f, i, 0, 0);
    }
    set_region(f, BAR_REGION, MEM_FLAGS, 1 * MiB);
    set_mem(f, MEM_FLAGS, 2 * UNIT);
    set_regs(f, 0x30, BAR_REGION, 0x11200);
    set_register(f, 0, 0x10);
    set_decoder(f, 0, HOST_BASE, 2 * UNIT, 0, CTRL_FIRMWARE);
}

/* A block of @count decoders, nothing committed, @size bytes of memory */
static void start_with(Fake *f, unsigned count, uint64_t size)
{
    start(f);
    set_mem(f, MEM_FLAGS, size);
    set_regs(f, 0x10 + 0x20 * count, BAR_REGION, 0x11200);
    set_register(f, 0, count == 1 ? 0 : count / 2);
    set_decoder(f, 0, 0, 0, 0, 0);
}

static void accepted(Fake *f, VFIOCXLLayout *layout)
{
    Error *err = NULL;
    bool ok;

    memset(layout, 0xa5, sizeof(*layout));
    ok = vfio_cxl_contract_read(&f->vbasedev, layout, &err);
    if (err) {
        g_test_message("refused: %s", error_get_pretty(err));
    }
    g_assert_true(ok);
    g_assert_null(err);
}

static void refuse(Fake *f, const char *text)
{
    VFIOCXLLayout layout;
    Error *err = NULL;

    g_assert_false(vfio_cxl_contract_read(&f->vbasedev, &layout, &err));
    g_assert_nonnull(err);
    g_assert_cmpstr(error_get_pretty(err), ==, text);
    error_free(err);
}

/* Is it one of ours? */

static void test_present(void)
{
    Fake f;

    start(&f);
    g_assert_true(vfio_cxl_contract_present(&f.vbasedev));
    f.vbasedev.flags = ~(1u << 9);
    g_assert_false(vfio_cxl_contract_present(&f.vbasedev));
}

/* The kernel's structures, byte by byte */
static void test_uapi(void)
{
    G_STATIC_ASSERT(sizeof(struct vfio_cxl_region_cap_comp_regs) == 24);
    G_STATIC_ASSERT(offsetof(struct vfio_cxl_region_cap_comp_regs, bar) == 8);
    G_STATIC_ASSERT(offsetof(struct vfio_cxl_region_cap_comp_regs, offset) ==
                    16);
    G_STATIC_ASSERT(sizeof(struct vfio_cxl_device_cap) == 32);
    G_STATIC_ASSERT(offsetof(struct vfio_cxl_device_cap, flags) == 12);
    G_STATIC_ASSERT(offsetof(struct vfio_cxl_device_cap, hdm_regs_offset) ==
                    16);
    G_STATIC_ASSERT(offsetof(struct vfio_cxl_device_cap, dpa_region_index) ==
                    24);
    G_STATIC_ASSERT(offsetof(struct vfio_cxl_device_cap,
                             comp_regs_region_index) == 28);
    g_assert_cmphex(VFIO_CXL_DEVICE_FLAG, ==, 0x200);
    g_assert_cmphex(VFIO_CXL_REGION_TYPE, ==, 0x80001e98);
}

/* Accepted */

static void test_live(void)
{
    VFIOCXLLayout layout;
    Fake f;

    start(&f);
    accepted(&f, &layout);
    g_assert_cmpint(layout.contract, ==, VFIO_CXL_CONTRACT_LIVE);
    g_assert_false(layout.cache_capable);
    g_assert_cmpuint(layout.bar, ==, 0);
    g_assert_cmphex(layout.regs_bar_offset, ==, 0x11200);
    g_assert_cmpint(layout.regs_region, ==, REGS_REGION);
    g_assert_cmphex(layout.regs_size, ==, 0x30);
    g_assert_cmphex(layout.hdm_offset, ==, 0);
    g_assert_cmphex(layout.hdm_size, ==, 0x30);
    g_assert_cmpint(layout.mem_region, ==, MEM_REGION);
    g_assert_cmphex(layout.mem_size, ==, 2 * UNIT);
    g_assert_true(layout.mem_mmap);
    g_assert_cmphex(layout.hdm_capability, ==, 0x10);
    g_assert_cmpuint(layout.decoder_count, ==, 1);
    g_assert_cmpuint(layout.committed, ==, 1);
    g_assert_cmphex(layout.decoders[0].size, ==, 2 * UNIT);
    g_assert_cmphex(layout.decoders[0].skip, ==, 0);
    g_assert_cmphex(layout.decoders[0].ctrl, ==, CTRL_FIRMWARE);
    /* What does not exist is empty, and the host's address is nowhere */
    g_assert_cmphex(layout.decoders[1].size, ==, 0);
    g_assert_null(memmem(&layout, sizeof(layout),
                         &(uint64_t) { HOST_BASE }, sizeof(uint64_t)));
}

/* Shadow: the device has the capability, the region begins with the array */
#define SHADOW_HDM      0x200

static struct vfio_cxl_device_cap *start_shadow(Fake *f, size_t cap_size)
{
    struct vfio_cxl_device_cap *cap;

    start(f);
    memset(f->registers, 0, sizeof(f->registers));
    set_region(f, REGS_REGION, VFIO_REGION_INFO_FLAG_READ |
               VFIO_REGION_INFO_FLAG_WRITE, SHADOW_HDM + 0x30);
    add_type(f, REGS_REGION, 0x80001e98, 2);

    f->device.info.flags = VFIO_DEVICE_FLAGS_CAPS;
    f->device.info.cap_offset = sizeof(f->device.info);
    f->device.info.argsz = sizeof(f->device.info) + cap_size;
    cap = (void *)(f->device.bytes + sizeof(f->device.info));
    cap->header.id = 6;
    cap->header.version = 1;
    cap->hdm_regs_bar_index = BAR_REGION;
    cap->flags = VFIO_CXL_DEVICE_CAP_FIRMWARE_COMMITTED;
    cap->hdm_regs_offset = 0x11000;
    cap->dpa_region_index = MEM_REGION;
    cap->comp_regs_region_index = REGS_REGION;

    set_register(f, 0, 2u << 24 | 1);               /* two entries follow */
    set_register(f, 4, 0x080u << 20 | 2);           /* RAS */
    set_register(f, 8, SHADOW_HDM << 20 | 5);       /* HDM decoders */
    stq_le_p(f->registers + SHADOW_HDM + 0x18, 2 * UNIT);
    set_register(f, SHADOW_HDM + 0x20, 0x600);      /* LOCK was cleared */
    return cap;
}

static void test_shadow(void)
{
    struct vfio_cxl_device_cap *cap;
    VFIOCXLLayout layout;
    Error *err = NULL;
    Fake f;

    cap = start_shadow(&f, 32);
    cap->flags |= VFIO_CXL_DEVICE_CAP_CACHE_CAPABLE;
    accepted(&f, &layout);
    g_assert_cmpint(layout.contract, ==, VFIO_CXL_CONTRACT_SHADOW);
    g_assert_true(layout.cache_capable);
    g_assert_cmphex(layout.regs_bar_offset, ==, 0x11000);
    g_assert_cmphex(layout.regs_size, ==, SHADOW_HDM + 0x30);
    g_assert_cmphex(layout.hdm_offset, ==, SHADOW_HDM);
    g_assert_cmphex(layout.hdm_size, ==, 0x30);
    g_assert_cmpuint(layout.committed, ==, 1);
    g_assert_cmphex(layout.decoders[0].size, ==, 2 * UNIT);

    /* The kernel's view of the guest's decoder */
    g_assert_true(vfio_cxl_contract_set_base(&f.vbasedev, &layout, 0,
                                             0x10040000000ULL, &err));
    g_assert_null(err);
    g_assert_cmphex(ldq_le_p(f.registers + SHADOW_HDM + 0x10), ==,
                    0x10040000000ULL);

    f.fail_at = SHADOW_HDM + 0x14;
    f.fail_with = -EIO;
    g_assert_false(vfio_cxl_contract_set_base(&f.vbasedev, &layout, 0, 0,
                                              &err));
    g_assert_nonnull(strstr(error_get_pretty(err), "writing component"));
    error_free(err);
}

static void test_live_is_not_told(void)
{
    VFIOCXLLayout layout;
    Fake f;

    start(&f);
    accepted(&f, &layout);
    g_assert_true(vfio_cxl_contract_set_base(&f.vbasedev, &layout, 0, 0,
                                             &error_abort));
    g_assert_cmphex(ldq_le_p(f.registers + 0x10), ==, HOST_BASE);
}

/* Refused with a text that has @part in it */
static void refuse_with(Fake *f, const char *part)
{
    VFIOCXLLayout layout;
    Error *err = NULL;

    g_assert_false(vfio_cxl_contract_read(&f->vbasedev, &layout, &err));
    g_test_message("%s", error_get_pretty(err));
    g_assert_nonnull(strstr(error_get_pretty(err), part));
    error_free(err);
}

/* What a region says of itself goes before what the device is said to be */
static void test_live_with_device_cap(void)
{
    struct vfio_cxl_device_cap *cap;
    VFIOCXLLayout layout;
    Fake f;

    cap = start_shadow(&f, 64);
    cap->hdm_regs_bar_index = 77;
    set_regs(&f, 0x30, BAR_REGION, 0x11200);
    memset(f.registers, 0, sizeof(f.registers));
    set_register(&f, 0, 0x10);
    set_decoder(&f, 0, HOST_BASE, 2 * UNIT, 0, CTRL_FIRMWARE);
    accepted(&f, &layout);
    g_assert_cmpint(layout.contract, ==, VFIO_CXL_CONTRACT_LIVE);
    g_assert_cmpuint(layout.bar, ==, BAR_REGION);
    g_assert_cmphex(layout.regs_bar_offset, ==, 0x11200);
}

static void test_refuse_shadow(void)
{
    struct vfio_cxl_device_cap *cap;
    Fake f;

    start_shadow(&f, 48);
    refuse_with(&f, "the layout of the kernel series of June 2026");
    start_shadow(&f, 24);
    refuse_with(&f, "the device capability has 24 bytes");
    cap = start_shadow(&f, 32);
    cap->header.version = 2;
    refuse_with(&f, "version 2, expected 32 and 1");
    cap = start_shadow(&f, 32);
    cap->dpa_region_index = SPARE_REGION;
    refuse_with(&f, "names regions 11 (memory) and 10");
    cap = start_shadow(&f, 32);
    cap->comp_regs_region_index = MEM_REGION;
    refuse_with(&f, "names regions 9 (memory) and 9");
    start_shadow(&f, 32);
    f.info_error = -EIO;
    refuse_with(&f, "reading the device info failed");
    start_shadow(&f, 32);
    set_register(&f, 0, 2u << 24 | 7);
    refuse_with(&f, "expected a capability array header");
    start_shadow(&f, 32);
    set_register(&f, 0, 1);
    refuse_with(&f, "no HDM decoder capability (id 5) among the 0");
    start_shadow(&f, 32);
    set_register(&f, 0, 255u << 24 | 1);
    set_register(&f, 8, 0);
    refuse_with(&f, "component register 0x230 in region 10 failed");
    start_shadow(&f, 32);
    set_register(&f, 8, 0x008u << 20 | 5);
    refuse_with(&f, "is said to stand at 0x8");
    start_shadow(&f, 32);
    set_register(&f, 8, 0xffcu << 20 | 5);
    refuse_with(&f, "is said to stand at 0xffc");
    start_shadow(&f, 32);
    set_register(&f, 8, 0x210u << 20 | 5);
    refuse_with(&f, "expected 0x30 for its 1 decoders");
    start_shadow(&f, 32);
    set_register(&f, SHADOW_HDM + 0x20, 0);
    refuse(&f, "CXL: the device capability says that firmware committed "
           "decoders, but none of the 1 is committed, expected at least "
           "decoder 0 to be");
}

/* Who committed them the flag says, whether they are committed the decoders */
static void test_by_firmware(void)
{
    struct vfio_cxl_device_cap *cap;
    VFIOCXLLayout layout;
    Fake f;

    start(&f);
    accepted(&f, &layout);
    g_assert_true(layout.by_firmware);
    set_decoder(&f, 0, 0, 0, 0, 0);
    accepted(&f, &layout);
    g_assert_false(layout.by_firmware);

    cap = start_shadow(&f, 32);
    accepted(&f, &layout);
    g_assert_true(layout.by_firmware);
    cap->flags = 0;
    accepted(&f, &layout);
    g_assert_cmpuint(layout.committed, ==, 1);
    g_assert_false(layout.by_firmware);
}

static void test_other_places(void)
{
    VFIOCXLLayout layout;
    Fake f;

    start(&f);
    /* Other BAR, to its last byte; capabilities in another order */
    set_region(&f, BAR_REGION, 0, 0);
    set_region(&f, 5, MEM_FLAGS, 0x20000);
    set_region(&f, REGS_REGION, VFIO_REGION_INFO_FLAG_READ, 0x30);
    add_cap(&f, REGS_REGION, 1, 32);
    add_place(&f, 5, 0x20000 - 0x30);
    add_type(&f, REGS_REGION, 0x80001e98, 2);
    accepted(&f, &layout);
    g_assert_cmpuint(layout.bar, ==, 5);
    g_assert_cmphex(layout.regs_bar_offset, ==, 0x20000 - 0x30);
}

/* Which of the device's own regions it is does not matter, others may fail */
static void test_other_indices(void)
{
    VFIOCXLLayout layout;
    FakeRegion mem;
    Fake f;

    start(&f);
    mem = f.regions[MEM_REGION];
    mem.info.index = SPARE_REGION;
    f.regions[SPARE_REGION] = mem;
    f.regions[MEM_REGION].error = -EINVAL;
    accepted(&f, &layout);
    g_assert_cmpint(layout.mem_region, ==, SPARE_REGION);
    g_assert_cmpint(layout.regs_region, ==, REGS_REGION);
}

/* An index in the answer is the server's word: that asked for is what counts */
static void test_index_in_answer(void)
{
    VFIOCXLLayout layout;
    Fake f;

    start(&f);
    f.regions[MEM_REGION].info.index = 200;
    f.regions[REGS_REGION].info.index = 0;
    accepted(&f, &layout);
    g_assert_cmpint(layout.mem_region, ==, MEM_REGION);
    g_assert_cmpint(layout.regs_region, ==, REGS_REGION);
}

/* Regions of other vendors and subtypes are no business of ours */
static void test_foreign_regions(void)
{
    VFIOCXLLayout layout;
    Fake f;

    start(&f);
    add_type(&f, SPARE_REGION, 0x80001e98, 3);
    accepted(&f, &layout);
    set_region(&f, SPARE_REGION, MEM_FLAGS, UNIT);
    add_type(&f, SPARE_REGION, 0x800010de, 1);
    accepted(&f, &layout);
    /* A region of the PCI device proper is none of the device's own */
    add_type(&f, 7, 0x80001e98, 1);
    accepted(&f, &layout);
    g_assert_cmpint(layout.mem_region, ==, MEM_REGION);
}

static void test_without_mmap(void)
{
    VFIOCXLLayout layout;
    Fake f;

    start(&f);
    set_mem(&f, VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE,
            2 * UNIT);
    accepted(&f, &layout);
    g_assert_false(layout.mem_mmap);
}

static void test_uncommitted(void)
{
    VFIOCXLLayout layout;
    Fake f;

    start_with(&f, 4, 8 * UNIT);
    /* What an uncommitted decoder holds is not looked at, interleave either */
    set_decoder(&f, 2, 0x123, 77 * UNIT, 99 * UNIT, CTRL_IW_2);
    accepted(&f, &layout);
    g_assert_cmpuint(layout.decoder_count, ==, 4);
    g_assert_cmpuint(layout.committed, ==, 0);
    g_assert_cmphex(layout.mem_size, ==, 8 * UNIT);
}

static void test_counts(void)
{
    static const unsigned counts[] = { 1, 2, 4, 6, 8, 10 };
    VFIOCXLLayout layout;
    unsigned i, n;
    Fake f;

    for (i = 0; i < ARRAY_SIZE(counts); i++) {
        start_with(&f, counts[i], counts[i] * UNIT);
        for (n = 0; n < counts[i]; n++) {
            set_decoder(&f, n, HOST_BASE + n * UNIT, UNIT, 0, CTRL_FIRMWARE);
        }
        accepted(&f, &layout);
        g_assert_cmpuint(layout.decoder_count, ==, counts[i]);
        g_assert_cmpuint(layout.committed, ==, counts[i]);
        for (n = 0; n < counts[i]; n++) {
            g_assert_cmphex(layout.decoders[n].size, ==, UNIT);
        }
    }
}

/* Committed ones first, the others empty; skip counts, attributes are kept */
static void test_several(void)
{
    VFIOCXLLayout layout;
    Fake f;

    start_with(&f, 4, 8 * UNIT);
    set_decoder(&f, 0, HOST_BASE, UNIT, UNIT, CTRL_FIRMWARE | 0x1000);
    set_decoder(&f, 1, HOST_BASE + UNIT, 4 * UNIT, 2 * UNIT, 0x600);
    accepted(&f, &layout);
    g_assert_cmpuint(layout.committed, ==, 2);
    g_assert_cmphex(layout.decoders[0].size, ==, UNIT);
    g_assert_cmphex(layout.decoders[0].skip, ==, UNIT);
    g_assert_cmphex(layout.decoders[0].ctrl, ==, CTRL_FIRMWARE | 0x1000);
    g_assert_cmphex(layout.decoders[1].size, ==, 4 * UNIT);
    g_assert_cmphex(layout.decoders[1].skip, ==, 2 * UNIT);
    g_assert_cmphex(layout.decoders[1].ctrl, ==, 0x600);
    g_assert_cmphex(layout.decoders[2].size, ==, 0);
}

/*
 * What the first decoder skips the live region leaves out as well; the shadow
 * one has all of the memory.
 */
static void test_first_skip(void)
{
    VFIOCXLLayout layout;
    Fake f;

    start(&f);
    set_decoder(&f, 0, HOST_BASE, 2 * UNIT, 5 * UNIT, CTRL_FIRMWARE);
    accepted(&f, &layout);
    g_assert_cmphex(layout.mem_dpa, ==, 5 * UNIT);
    g_assert_cmphex(layout.mem_size, ==, 2 * UNIT);
    g_assert_cmphex(layout.decoders[0].skip, ==, 5 * UNIT);

    start_shadow(&f, 32);
    stq_le_p(f.registers + SHADOW_HDM + 0x18, UNIT);
    stq_le_p(f.registers + SHADOW_HDM + 0x24, UNIT);
    accepted(&f, &layout);
    g_assert_cmphex(layout.mem_dpa, ==, 0);
    stq_le_p(f.registers + SHADOW_HDM + 0x24, 2 * UNIT);
    refuse(&f, "CXL: decoder 0 (size 0x10000000, skip 0x20000000) ends beyond "
           "the memory region of 0x20000000 bytes");
}

/* Bits below 256 MiB do not exist in the registers, so they do not count */
static void test_low_bits(void)
{
    VFIOCXLLayout layout;
    Fake f;

    start(&f);
    set_decoder(&f, 0, HOST_BASE + 0xfffffff, 2 * UNIT + 0xfffffff, 0xfffffff,
                CTRL_FIRMWARE);
    accepted(&f, &layout);
    g_assert_cmphex(layout.decoders[0].size, ==, 2 * UNIT);
    g_assert_cmphex(layout.decoders[0].skip, ==, 0);
}

static void test_large(void)
{
    VFIOCXLLayout layout;
    Fake f;

    start(&f);
    set_mem(&f, MEM_FLAGS, 4 * PiB - UNIT);
    set_decoder(&f, 0, 0, 4 * PiB - UNIT, 0, CTRL_FIRMWARE);
    accepted(&f, &layout);
    g_assert_cmphex(layout.mem_size, ==, 4 * PiB - UNIT);
    g_assert_cmphex(layout.decoders[0].size, ==, 4 * PiB - UNIT);
}

/* Refused */

#define NO_REGION(what, subtype) \
    "CXL: the device is flagged as CXL but has no " what " region (type " \
    "0x80001e98, subtype " subtype ")"

static void test_refuse_no_region(void)
{
    Fake f;

    start(&f);
    set_region(&f, MEM_REGION, MEM_FLAGS, UNIT);
    refuse(&f, NO_REGION("CXL memory", "1"));
    set_mem(&f, MEM_FLAGS, 2 * UNIT);
    set_region(&f, REGS_REGION, MEM_FLAGS, 0x30);
    refuse(&f, NO_REGION("component register", "2"));

    /* Nor where the kernel has fewer regions */
    start(&f);
    f.vbasedev.num_initial_regions = REGS_REGION;
    refuse(&f, NO_REGION("component register", "2"));
    f.vbasedev.num_initial_regions = 0;
    refuse(&f, NO_REGION("CXL memory", "1"));
    g_assert_cmpuint(f.reads, ==, 0);
}

/* Where the kernel does not tell, that is the reason and not what is absent */
static void test_refuse_unknown_region(void)
{
    VFIOCXLLayout layout;
    Fake f;

    start(&f);
    f.regions[REGS_REGION].error = -EIO;
    refuse(&f, "CXL: no information on region 10, which may be the component "
           "register region (type 0x80001e98, subtype 2): Input/output error");
    f.regions[MEM_REGION].error = -ETIMEDOUT;
    refuse(&f, "CXL: no information on region 9, which may be the CXL memory "
           "region (type 0x80001e98, subtype 1): Connection timed out");

    /* One that is not needed may be what it wants */
    start(&f);
    f.regions[SPARE_REGION].error = -EIO;
    accepted(&f, &layout);
}

static void test_refuse_wrong_type(void)
{
    Fake f;

    start(&f);
    set_region(&f, MEM_REGION, MEM_FLAGS, 2 * UNIT);
    add_type(&f, MEM_REGION, 0x00001e98, 1);
    refuse(&f, NO_REGION("CXL memory", "1"));
}

/* A capability that the reply is too short for is not there */
static void test_refuse_cut_type(void)
{
    Fake f;

    start(&f);
    f.regions[MEM_REGION].info.argsz -= 1;
    refuse(&f, NO_REGION("CXL memory", "1"));
}

static void test_refuse_doubled_region(void)
{
    Fake f;

    start(&f);
    set_region(&f, SPARE_REGION, MEM_FLAGS, UNIT);
    add_type(&f, SPARE_REGION, 0x80001e98, 1);
    refuse(&f, "CXL: regions 9 and 11 both claim to be the CXL memory region, "
           "expected one");
    set_region(&f, SPARE_REGION, MEM_FLAGS, 0x30);
    add_type(&f, SPARE_REGION, 0x80001e98, 2);
    refuse(&f, "CXL: regions 10 and 11 both claim to be the component register "
           "region, expected one");
}

static void test_refuse_mem_flags(void)
{
    Fake f;

    start(&f);
    set_mem(&f, VFIO_REGION_INFO_FLAG_READ, 2 * UNIT);
    refuse(&f, "CXL: memory region 9 has flags 0x9, expected it to be readable "
           "and writable");
    set_mem(&f, VFIO_REGION_INFO_FLAG_WRITE | VFIO_REGION_INFO_FLAG_MMAP,
            2 * UNIT);
    refuse(&f, "CXL: memory region 9 has flags 0xe, expected it to be readable "
           "and writable");
}

static void test_refuse_mem_size(void)
{
    static const struct {
        uint64_t size;
        const char *text;
    } rows[] = {
        { 0, "0x0" },
        { 4096, "0x1000" },
        { UNIT - 1, "0xfffffff" },
        { UNIT + 4096, "0x10001000" },
        { 4 * PiB, "0x10000000000000" },
        { 1ULL << 63, "0x8000000000000000" },
        { UINT64_MAX - UNIT + 1, "0xfffffffff0000000" },
        { UINT64_MAX, "0xffffffffffffffff" },
    };
    size_t i;
    Fake f;

    for (i = 0; i < ARRAY_SIZE(rows); i++) {
        g_autofree char *text = g_strdup_printf(
            "CXL: memory region 9 has size %s, expected a multiple of 256 MiB "
            "below 4 PiB", rows[i].text);

        start(&f);
        set_mem(&f, MEM_FLAGS, rows[i].size);
        refuse(&f, text);
    }
}

static void test_refuse_no_place(void)
{
    const char *text = "CXL: component register region 10 has no capability 6 "
                       "that says where in which BAR it stands";
    Fake f;

    start(&f);
    set_region(&f, REGS_REGION, MEM_FLAGS, 0x30);
    add_type(&f, REGS_REGION, 0x80001e98, 2);
    refuse(&f, text);

    /* Cut off: not there */
    start(&f);
    f.regions[REGS_REGION].info.argsz -= 1;
    refuse(&f, text);
}

static void test_refuse_place_version(void)
{
    struct vfio_cxl_region_cap_comp_regs *cap;
    Fake f;

    start(&f);
    set_region(&f, REGS_REGION, MEM_FLAGS, 0x30);
    add_type(&f, REGS_REGION, 0x80001e98, 2);
    cap = add_place(&f, 0, 0x11200);
    cap->header.version = 2;
    refuse(&f, "CXL: component register capability has version 2, expected 1");
    cap->header.version = 0;
    refuse(&f, "CXL: component register capability has version 0, expected 1");
}

static void test_refuse_bar_index(void)
{
    Fake f;

    start(&f);
    set_regs(&f, 0x30, 6, 0x11200);
    refuse(&f, "CXL: component registers are said to stand in BAR 6, expected "
           "0 to 5");
    set_regs(&f, 0x30, UINT32_MAX, 0x11200);
    refuse(&f, "CXL: component registers are said to stand in BAR 4294967295, "
           "expected 0 to 5");
}

static void test_refuse_bar_unknown(void)
{
    Fake f;

    start(&f);
    f.regions[BAR_REGION].error = -EINVAL;
    refuse(&f, "CXL: no information on BAR 0: Invalid argument");
}

static void test_refuse_place(void)
{
    static const struct {
        uint64_t offset;
        uint64_t size;
        uint64_t bar_size;
    } rows[] = {
        { 0x11201, 0x30, 1 * MiB },                 /* not dword aligned */
        { 0x11202, 0x30, 1 * MiB },
        { 0x11200, 0, 1 * MiB },                    /* empty */
        { 1 * MiB, 0x30, 1 * MiB },                 /* behind */
        { 1 * MiB - 0x2c, 0x30, 1 * MiB },          /* across the end */
        { 0, 0x30, 0 },                             /* no such BAR */
        { 0x11200, 1 * MiB, 1 * MiB },
        { 1ULL << 40, 0x30, 1 * MiB },
        { UINT64_MAX - 0x2f, 0x30, 1 * MiB },       /* wraps to 0 */
        { UINT64_MAX - 0x3, 0x30, 1 * MiB },
        { 0x11200, UINT64_MAX - 3, 1 * MiB },
        { 0x11200, UINT64_MAX - 0x11200 + 5, 1 * MiB },
    };
    size_t i;
    Fake f;

    for (i = 0; i < ARRAY_SIZE(rows); i++) {
        g_autofree char *text = g_strdup_printf(
            "CXL: component registers at offset 0x%" PRIx64 ", 0x%" PRIx64
            " bytes, expected them dword aligned inside BAR 0 of 0x%" PRIx64
            " bytes", rows[i].offset, rows[i].size, rows[i].bar_size);

        start(&f);
        set_region(&f, BAR_REGION, MEM_FLAGS, rows[i].bar_size);
        set_regs(&f, rows[i].size, BAR_REGION, rows[i].offset);
        refuse(&f, text);
        /* Nothing is read from registers that are nowhere */
        g_assert_cmpuint(f.reads, ==, 0);
    }
}

static void test_refuse_count(void)
{
    uint32_t n;
    Fake f;

    for (n = 6; n < 16; n++) {
        g_autofree char *text = g_strdup_printf(
            "CXL: HDM decoder capability 0x%08x announces more than the 10 "
            "decoders that an endpoint may have", 0x20 | n);

        start(&f);
        set_regs(&f, 0x1000, BAR_REGION, 0x11000);
        set_register(&f, 0, 0x20 | n);
        refuse(&f, text);
    }
}

static void test_refuse_short_block(void)
{
    Fake f;

    start(&f);
    set_regs(&f, 0x2c, BAR_REGION, 0x11200);
    refuse(&f, "CXL: the decoder block has 0x2c bytes, expected 0x30 for its 1 "
           "decoders");
    start_with(&f, 10, 10 * UNIT);
    set_regs(&f, 0x14c, BAR_REGION, 0x11200);
    refuse(&f, "CXL: the decoder block has 0x14c bytes, expected 0x150 for its "
           "10 decoders");
    /* 4 bytes that hold a count, and no decoder */
    start(&f);
    set_regs(&f, 4, BAR_REGION, 0x11200);
    refuse(&f, "CXL: the decoder block has 0x4 bytes, expected 0x30 for its 1 "
           "decoders");
}

static void test_refuse_error_bit(void)
{
    Fake f;

    start(&f);
    set_decoder(&f, 0, HOST_BASE, 2 * UNIT, 0, 0xa00);
    refuse(&f, "CXL: decoder 0 has its error bit set (control 0x00000a00), "
           "expected firmware to have left it committed or empty");
    start_with(&f, 2, UNIT);
    set_decoder(&f, 1, 0, 0, 0, CTRL_ERROR);
    refuse(&f, "CXL: decoder 1 has its error bit set (control 0x00000800), "
           "expected firmware to have left it committed or empty");
}

static void test_refuse_hole(void)
{
    Fake f;

    start_with(&f, 4, 4 * UNIT);
    set_decoder(&f, 0, HOST_BASE, UNIT, 0, CTRL_FIRMWARE);
    set_decoder(&f, 2, HOST_BASE + UNIT, UNIT, 0, CTRL_FIRMWARE);
    refuse(&f, "CXL: decoder 2 is committed but decoder 1 is not, or decodes "
           "nothing, expected those with memory first");
    set_decoder(&f, 1, HOST_BASE + UNIT, 0, 0, CTRL_FIRMWARE);
    refuse(&f, "CXL: decoder 2 is committed but decoder 1 is not, or decodes "
           "nothing, expected those with memory first");
    set_decoder(&f, 0, 0, 0, 0, 0);
    refuse(&f, "CXL: decoder 2 is committed but decoder 0 is not, or decodes "
           "nothing, expected those with memory first");
}

/* Firmware that locks the decoders it has no use for commits them empty */
static void test_locked_unused(void)
{
    VFIOCXLLayout layout;
    Fake f;

    start_with(&f, 4, 2 * UNIT);
    set_decoder(&f, 0, HOST_BASE, UNIT, 0, CTRL_FIRMWARE);
    set_decoder(&f, 1, HOST_BASE + UNIT, UNIT, 0, CTRL_FIRMWARE);
    set_decoder(&f, 2, HOST_BASE + 2 * UNIT, 0, 0, CTRL_FIRMWARE);
    set_decoder(&f, 3, HOST_BASE + 2 * UNIT, 0, 0, CTRL_FIRMWARE);
    accepted(&f, &layout);
    g_assert_cmpuint(layout.decoder_count, ==, 4);
    g_assert_cmpuint(layout.committed, ==, 2);
}

static void test_refuse_interleave(void)
{
    Fake f;

    start(&f);
    set_decoder(&f, 0, HOST_BASE, 2 * UNIT, 0, CTRL_FIRMWARE | CTRL_IW_2);
    refuse(&f, "CXL: decoder 0 is interleaved (control 0x00000710), expected "
           "all of its memory on this device");
    set_decoder(&f, 0, HOST_BASE, 2 * UNIT, 0, CTRL_FIRMWARE | 0x80);
    refuse(&f, "CXL: decoder 0 is interleaved (control 0x00000780), expected "
           "all of its memory on this device");
}

static void test_refuse_decoder_size(void)
{
    Fake f;

    start(&f);
    set_decoder(&f, 0, HOST_BASE, 0, 0, CTRL_FIRMWARE);
    refuse(&f, "CXL: decoder 0 has size 0x0, expected a range that is not "
           "empty and does not wrap");
    /* Less than the unit is nothing */
    set_decoder(&f, 0, HOST_BASE, 0xfffffff, 0, CTRL_FIRMWARE);
    refuse(&f, "CXL: decoder 0 has size 0x0, expected a range that is not "
           "empty and does not wrap");
    set_decoder(&f, 0, UINT64_MAX - UNIT + 1, 2 * UNIT, 0, CTRL_FIRMWARE);
    refuse(&f, "CXL: decoder 0 has size 0x20000000, expected a range that is "
           "not empty and does not wrap");
    set_decoder(&f, 0, HOST_BASE, UINT64_MAX, 0, CTRL_FIRMWARE);
    refuse(&f, "CXL: decoder 0 has size 0xfffffffff0000000, expected a range "
           "that is not empty and does not wrap");
}

static void test_refuse_beyond_memory(void)
{
    Fake f;

    start(&f);
    set_decoder(&f, 0, HOST_BASE, 3 * UNIT, 0, CTRL_FIRMWARE);
    refuse(&f, "CXL: decoder 0 (size 0x30000000, skip 0x0) ends beyond the "
           "memory region of 0x20000000 bytes");
    set_decoder(&f, 0, 0, 2 * UNIT, UINT64_MAX, CTRL_FIRMWARE);
    refuse(&f, "CXL: decoder 0 (size 0x20000000, skip 0xfffffffff0000000) ends "
           "beyond the memory region of 0x20000000 bytes");

    /* Each fits, together they do not */
    start_with(&f, 2, 3 * UNIT);
    set_decoder(&f, 0, HOST_BASE, 2 * UNIT, 0, CTRL_FIRMWARE);
    set_decoder(&f, 1, HOST_BASE + 2 * UNIT, 2 * UNIT, 0, CTRL_FIRMWARE);
    refuse(&f, "CXL: decoder 1 (size 0x20000000, skip 0x0) ends beyond the "
           "memory region of 0x30000000 bytes");
    set_decoder(&f, 1, HOST_BASE + 2 * UNIT, UNIT, UINT64_MAX, CTRL_FIRMWARE);
    refuse(&f, "CXL: decoder 1 (size 0x10000000, skip 0xfffffffff0000000) ends "
           "beyond the memory region of 0x30000000 bytes");
}

/* Every register that is read may fail, or answer in part */
static void test_refuse_read(void)
{
    static const uint64_t offsets[] = {
        0x00, 0x10, 0x14, 0x18, 0x1c, 0x20, 0x24, 0x28,
    };
    static const struct {
        int ret;
        const char *text;
    } rows[] = {
        { -EIO, "Input/output error" },
        { -EINVAL, "Invalid argument" },
        { 0, "short read" },
        { 1, "short read" },
        { 3, "short read" },
    };
    size_t i, j;
    Fake f;

    for (i = 0; i < ARRAY_SIZE(offsets); i++) {
        for (j = 0; j < ARRAY_SIZE(rows); j++) {
            g_autofree char *text = g_strdup_printf(
                "CXL: reading component register 0x%" PRIx64 " in region 10 "
                "failed: %s", offsets[i], rows[j].text);

            start(&f);
            f.fail_at = offsets[i];
            f.fail_with = rows[j].ret;
            refuse(&f, text);
        }
    }
}

/* Memory */

static void test_memory_ready(void)
{
    static const int refused[] = { -EIO, -EINVAL, -EFAULT, 0 };
    VFIOCXLLayout layout;
    size_t i;
    Fake f;

    start(&f);
    accepted(&f, &layout);
    g_assert_true(vfio_cxl_contract_memory_ready(&f.vbasedev, &layout));
    for (i = 0; i < ARRAY_SIZE(refused); i++) {
        f.mem_read = refused[i];
        g_assert_false(vfio_cxl_contract_memory_ready(&f.vbasedev, &layout));
    }
    /* Reads of the memory may come short */
    for (i = 1; i <= 4; i++) {
        f.mem_read = i;
        g_assert_true(vfio_cxl_contract_memory_ready(&f.vbasedev, &layout));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

#define TEST(path, func) g_test_add_func("/vfio-cxl-contract/" path, func)
    TEST("present", test_present);
    TEST("uapi", test_uapi);
    TEST("live", test_live);
    TEST("live/not-told", test_live_is_not_told);
    TEST("shadow", test_shadow);
    TEST("live/with-device-capability", test_live_with_device_cap);
    TEST("refuse/shadow", test_refuse_shadow);
    TEST("by-firmware", test_by_firmware);
    TEST("live/other-places", test_other_places);
    TEST("live/other-indices", test_other_indices);
    TEST("live/foreign-regions", test_foreign_regions);
    TEST("live/without-mmap", test_without_mmap);
    TEST("live/uncommitted", test_uncommitted);
    TEST("live/counts", test_counts);
    TEST("live/several", test_several);
    TEST("first-skip", test_first_skip);
    TEST("live/locked-unused", test_locked_unused);
    TEST("live/low-bits", test_low_bits);
    TEST("live/large", test_large);
    TEST("refuse/no-region", test_refuse_no_region);
    TEST("refuse/unknown-region", test_refuse_unknown_region);
    TEST("refuse/wrong-type", test_refuse_wrong_type);
    TEST("refuse/cut-type", test_refuse_cut_type);
    TEST("refuse/doubled-region", test_refuse_doubled_region);
    TEST("refuse/mem-flags", test_refuse_mem_flags);
    TEST("refuse/mem-size", test_refuse_mem_size);
    TEST("refuse/no-place", test_refuse_no_place);
    TEST("refuse/place-version", test_refuse_place_version);
    TEST("refuse/bar-index", test_refuse_bar_index);
    TEST("refuse/bar-unknown", test_refuse_bar_unknown);
    TEST("refuse/place", test_refuse_place);
    TEST("refuse/count", test_refuse_count);
    TEST("refuse/short-block", test_refuse_short_block);
    TEST("refuse/error-bit", test_refuse_error_bit);
    TEST("refuse/hole", test_refuse_hole);
    TEST("refuse/interleave", test_refuse_interleave);
    TEST("refuse/decoder-size", test_refuse_decoder_size);
    TEST("refuse/beyond-memory", test_refuse_beyond_memory);
    TEST("refuse/read", test_refuse_read);
    TEST("memory-ready", test_memory_ready);
    TEST("index-in-answer", test_index_in_answer);
#undef TEST

    return g_test_run();
}
