/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A kernel that says anything at all, as hw/vfio/cxl-contract.c hears it. In C,
 * because QEMU's headers are.
 *
 * An input is an image: 8 bytes that say which register access fails and how, the
 * device info, the information on each region, the component registers.
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qapi/error.h"
#include "hw/vfio/cxl-contract.h"
#include "hw/vfio/cxl-uapi.h"
#include "hw/vfio/vfio-helpers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    INFO = 128,                     /* bytes of each answer, capabilities too */
    REGIONS = 12,
    REGISTERS = 0x1000,
};

typedef struct Image {
    uint8_t fail_at;                /* this access fails */
    uint8_t fail_short;             /* so many bytes came; above 4: an errno */
    uint8_t pad[6];                 /* answers are aligned, as they always are */
    uint8_t device[INFO];
    uint8_t regions[REGIONS][INFO];
    uint8_t registers[REGISTERS];
} Image;

typedef struct Kernel {
    VFIODevice vbasedev;
    const Image *image;
    struct vfio_region_info *regions[REGIONS];
    unsigned accesses;
} Kernel;

/* What the kernel guarantees, and the vfio-user client checks: chains end */
static bool chain_ends(const uint8_t *info, uint32_t len, uint32_t min,
                       uint32_t at)
{
    unsigned n;

    for (n = 0; at; n++) {
        if (at < min || at % 8 || n > INFO ||
            at + sizeof(struct vfio_info_cap_header) > len) {
            return false;
        }
        at = ((const struct vfio_info_cap_header *)(info + at))->next;
    }
    return true;
}

static struct vfio_info_cap_header *find(void *info, uint32_t at, uint16_t id)
{
    while (at) {
        struct vfio_info_cap_header *header = (void *)((char *)info + at);

        if (header->id == id) {
            return header;
        }
        at = header->next;
    }
    return NULL;
}

/* The seams: what cxl-contract.c takes from the rest of QEMU */

int vfio_device_get_region_info(VFIODevice *vbasedev, int index,
                                struct vfio_region_info **info)
{
    Kernel *k = container_of(vbasedev, Kernel, vbasedev);
    struct vfio_region_info *said;

    g_assert(index >= 0 && index < REGIONS);
    if (!k->regions[index]) {
        said = (void *)k->image->regions[index];
        if (said->argsz < sizeof(*said) || said->argsz > INFO ||
            (said->flags & VFIO_REGION_INFO_FLAG_CAPS &&
             !chain_ends((void *)said, said->argsz, sizeof(*said),
                         said->cap_offset))) {
            return -EINVAL;
        }
        /* Of just that size: a look beyond its end is noticed */
        k->regions[index] = g_memdup2(said, said->argsz);
    }
    *info = k->regions[index];
    return 0;
}

struct vfio_info_cap_header *
vfio_get_region_info_cap(struct vfio_region_info *info, uint16_t id)
{
    return info->flags & VFIO_REGION_INFO_FLAG_CAPS ?
           find(info, info->cap_offset, id) : NULL;
}

int vfio_device_read_info(VFIODevice *vbasedev, struct vfio_device_info **info)
{
    Kernel *k = container_of(vbasedev, Kernel, vbasedev);
    struct vfio_device_info *said = (void *)k->image->device;

    *info = NULL;
    if (said->argsz < sizeof(*said) || said->argsz > INFO ||
        (said->flags & VFIO_DEVICE_FLAGS_CAPS &&
         !chain_ends((void *)said, said->argsz, sizeof(*said),
                     said->cap_offset))) {
        return -EINVAL;
    }
    *info = g_memdup2(said, said->argsz);
    return 0;
}

struct vfio_info_cap_header *
vfio_get_device_info_cap(struct vfio_device_info *info, uint16_t id)
{
    return info->flags & VFIO_DEVICE_FLAGS_CAPS ?
           find(info, info->cap_offset, id) : NULL;
}

/* Whole registers inside the region that was found; one of them may fail */
static int register_access(Kernel *k, uint8_t nr, off_t off, uint32_t size)
{
    g_assert(nr < REGIONS && k->regions[nr]);
    g_assert(size == 4 && off >= 0 && off % 4 == 0);
    if (++k->accesses == k->image->fail_at) {
        return k->image->fail_short > 4 ? -(int)k->image->fail_short
                                        : k->image->fail_short;
    }
    if (off + size > k->regions[nr]->size || off + size > REGISTERS) {
        return -EINVAL;
    }
    return size;
}

static int region_read(VFIODevice *vbasedev, uint8_t nr, off_t off,
                       uint32_t size, void *data)
{
    Kernel *k = container_of(vbasedev, Kernel, vbasedev);
    int ret = register_access(k, nr, off, size);

    if (ret > 0) {
        memcpy(data, k->image->registers + off, ret);
    }
    return ret;
}

static int region_write(VFIODevice *vbasedev, uint8_t nr, off_t off,
                        uint32_t size, void *data, bool post)
{
    g_assert(!post);
    return register_access(container_of(vbasedev, Kernel, vbasedev), nr, off,
                           size);
}

static VFIODeviceIOOps io_ops = {
    .region_read = region_read,
    .region_write = region_write,
};

/* What cxl-contract.h promises of a layout */
static void check(Kernel *k, const VFIOCXLLayout *l)
{
    const struct vfio_region_info *regs = k->regions[l->regs_region];
    const struct vfio_region_info *mem = k->regions[l->mem_region];
    const struct vfio_region_info *bar = k->regions[l->bar];
    uint64_t dpa = 0;
    unsigned n;

    g_assert(l->bar <= VFIO_PCI_BAR5_REGION_INDEX && bar);
    g_assert(l->regs_region != l->mem_region);
    g_assert(l->regs_size == regs->size && l->mem_size == mem->size);
    g_assert(l->regs_bar_offset <= bar->size &&
             l->regs_size <= bar->size - l->regs_bar_offset);
    g_assert(l->hdm_offset < l->regs_size &&
             l->hdm_size <= l->regs_size - l->hdm_offset);
    g_assert((l->regs_bar_offset + l->hdm_offset) % 4 == 0);
    g_assert(l->mem_size && l->mem_size % VFIO_CXL_HDM_UNIT == 0);
    g_assert(l->decoder_count &&
             l->decoder_count <= HDM_DECODE_MAX);
    g_assert(l->hdm_size >= VFIO_CXL_HDM_BLOCK_SIZE(l->decoder_count));
    g_assert(l->committed <= l->decoder_count);
    g_assert(l->committed || !l->by_firmware);
    for (n = 0; n < l->committed; n++) {
        const VFIOCXLHostDecoder *d = &l->decoders[n];

        g_assert(d->size && (d->size | d->skip) % VFIO_CXL_HDM_UNIT == 0);
        dpa += d->skip + d->size;
    }
    /* Only the live region may begin behind what decoder 0 skips */
    g_assert(!l->mem_dpa || (l->contract == VFIO_CXL_CONTRACT_LIVE &&
                             l->committed &&
                             l->mem_dpa == l->decoders[0].skip));
    g_assert(l->mem_dpa <= UINT64_MAX - l->mem_size);
    g_assert(dpa <= l->mem_dpa + l->mem_size);
}

static void use(Kernel *k, const VFIOCXLLayout *l)
{
    Error *err = NULL;

    vfio_cxl_contract_memory_ready(&k->vbasedev, l);
    if (!vfio_cxl_contract_set_base(&k->vbasedev, l, l->decoder_count - 1,
                                     0x1234560000000ULL, &err)) {
        g_assert(err);
        error_free(err);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree Image *image = g_new0(Image, 1);
    Kernel k = {
        .vbasedev = {
            .io_ops = &io_ops,
            .num_initial_regions = REGIONS,
            .flags = VFIO_CXL_DEVICE_FLAG,
        },
        .image = image,
    };
    VFIOCXLLayout layout;
    Error *err = NULL;
    unsigned i;

    memcpy(image, data, MIN(size, sizeof(*image)));
    if (vfio_cxl_contract_read(&k.vbasedev, &layout, &err)) {
        g_assert(!err);
        check(&k, &layout);
        use(&k, &layout);
    } else {
        /* Every refusal says of what it speaks */
        g_assert(err && g_str_has_prefix(error_get_pretty(err), "CXL: "));
        error_free(err);
    }
    for (i = 0; i < REGIONS; i++) {
        g_free(k.regions[i]);
    }
    return 0;
}
