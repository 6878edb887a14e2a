/*
 * The guest's view of the component registers that QEMU virtualizes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "qemu/bswap.h"
#include "qemu/error-report.h"
#include "qemu/log.h"
#include "cxl-regs.h"
#include "trace.h"

/*
 * How many bytes of an access stand before the decoder block, which is the last
 * thing in the overlay.  Across its start an access is two: what the kernel
 * has of the decoders is never what the guest sees.
 */
static unsigned before_hdm_block(const VFIOCXLRegs *regs, hwaddr offset,
                                 unsigned size)
{
    hwaddr start = regs->layout->hdm_offset;

    return offset >= start ? 0 : MIN(size, start - offset);
}

/*
 * Read from the device's region.  It takes whole dwords only; what the guest
 * asked for is cut out of them.
 */
static uint64_t regs_region_read(VFIOCXLRegs *regs, hwaddr offset,
                                 unsigned size)
{
    VFIODevice *vbasedev = regs->vbasedev;
    hwaddr end = offset + size;
    uint64_t value = 0;
    hwaddr at;

    for (at = QEMU_ALIGN_DOWN(offset, 4); at < end; at += 4) {
        uint32_t part;
        unsigned i;
        int ret = vbasedev->io_ops->region_read(vbasedev,
                                                regs->layout->regs_region, at,
                                                sizeof(part), &part);

        /* What a bus gives for a register that does not answer */
        part = ret == sizeof(part) ? le32_to_cpu(part) : UINT32_MAX;
        for (i = 0; i < 4; i++) {
            if (at + i >= offset && at + i < end) {
                value = deposit64(value, 8 * (at + i - offset), 8,
                                  extract32(part, 8 * i, 8));
            }
        }
    }
    return value;
}

static void regs_region_write(VFIOCXLRegs *regs, hwaddr offset, uint64_t value,
                              unsigned size)
{
    VFIODevice *vbasedev = regs->vbasedev;
    unsigned i;

    /* A part of a dword cannot be written without the rest of it */
    if (size % 4 || offset % 4) {
        return;
    }
    for (i = 0; i < size; i += 4) {
        uint32_t le = cpu_to_le32(extract64(value, 8 * i, 32));

        vbasedev->io_ops->region_write(vbasedev, regs->layout->regs_region,
                                       offset + i, sizeof(le), &le, false);
    }
}

static uint64_t vfio_cxl_regs_read(void *opaque, hwaddr offset, unsigned size)
{
    VFIOCXLRegs *regs = opaque;
    VFIODevice *vbasedev = regs->vbasedev;
    unsigned before = before_hdm_block(regs, offset, size);
    uint64_t value = 0;

    if (before) {
        value = regs_region_read(regs, offset, before);
    }
    if (before < size) {
        uint64_t part = vfio_cxl_hdm_read(regs->hdm, offset + before -
                                          regs->layout->hdm_offset,
                                          size - before);

        value = deposit64(value, 8 * before, 8 * (size - before), part);
    }
    trace_vfio_cxl_regs_read(vbasedev->name, offset, value, size);

    /* As after any access to the BAR: the guest may have served INTx by it */
    vbasedev->ops->vfio_eoi(vbasedev);
    return value;
}

static void vfio_cxl_regs_write(void *opaque, hwaddr offset, uint64_t value,
                                unsigned size)
{
    VFIOCXLRegs *regs = opaque;
    VFIODevice *vbasedev = regs->vbasedev;
    unsigned before = before_hdm_block(regs, offset, size);

    trace_vfio_cxl_regs_write(vbasedev->name, offset, value, size);

    if (before) {
        regs_region_write(regs, offset, value, before);
    }
    if (before < size) {
        hwaddr at = offset + before - regs->layout->hdm_offset;

        value >>= 8 * before;
        size -= before;
        if (size < 4 || at % 4) {
            qemu_log_mask(LOG_GUEST_ERROR, "vfio %s: CXL: write of %u bytes at "
                          "0x%"HWADDR_PRIx" of the decoder block is not to a "
                          "whole register, dropped\n", vbasedev->name, size,
                          at);
        }
        vfio_cxl_hdm_write(regs->hdm, at, value, size);
    }
    vbasedev->ops->vfio_eoi(vbasedev);
}

/*
 * Every size and alignment is taken, as a BAR that is not virtualized takes
 * them too; an access that the specification does not permit must not become
 * an abort in the guest.
 */
static const MemoryRegionOps vfio_cxl_regs_ops = {
    .read = vfio_cxl_regs_read,
    .write = vfio_cxl_regs_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = {
        .min_access_size = 1,
        .max_access_size = 8,
        .unaligned = true,
    },
    .impl = {
        .min_access_size = 1,
        .max_access_size = 8,
        .unaligned = true,
    },
};

void vfio_cxl_regs_init(VFIOCXLRegs *regs, Object *owner, VFIODevice *vbasedev,
                        const VFIOCXLLayout *layout, VFIOCXLHdm *hdm)
{
    g_autofree char *name = g_strdup_printf("%s CXL component registers",
                                            vbasedev->name);

    regs->vbasedev = vbasedev;
    regs->layout = layout;
    regs->hdm = hdm;
    memory_region_init_io(&regs->mr, owner, &vfio_cxl_regs_ops, regs, name,
                          layout->regs_size);
}

static uint64_t vfio_cxl_regs_hidden_read(void *opaque, hwaddr offset,
                                          unsigned size)
{
    VFIOCXLRegs *regs = opaque;

    trace_vfio_cxl_regs_hidden_read(regs->vbasedev->name, offset, size);
    regs->vbasedev->ops->vfio_eoi(regs->vbasedev);
    return 0;
}

static void vfio_cxl_regs_hidden_write(void *opaque, hwaddr offset,
                                       uint64_t value, unsigned size)
{
    VFIOCXLRegs *regs = opaque;

    trace_vfio_cxl_regs_hidden_write(regs->vbasedev->name, offset, value, size);
    regs->vbasedev->ops->vfio_eoi(regs->vbasedev);
}

static const MemoryRegionOps vfio_cxl_regs_hidden_ops = {
    .read = vfio_cxl_regs_hidden_read,
    .write = vfio_cxl_regs_hidden_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = {
        .min_access_size = 1,
        .max_access_size = 8,
        .unaligned = true,
    },
    .impl = {
        .min_access_size = 1,
        .max_access_size = 8,
        .unaligned = true,
    },
};

void vfio_cxl_regs_init_hidden(VFIOCXLRegs *regs, Object *owner,
                               VFIODevice *vbasedev, uint64_t size)
{
    g_autofree char *name = g_strdup_printf("%s CXL hidden registers",
                                            vbasedev->name);

    regs->vbasedev = vbasedev;
    memory_region_init_io(&regs->mr, owner, &vfio_cxl_regs_hidden_ops, regs,
                          name, size);
}
