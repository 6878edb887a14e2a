/*
 * vfio-pci without CXL
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "pci.h"
#include "vfio-cxl.h"

void vfio_cxl_class_init(ObjectClass *klass)
{
}

bool vfio_cxl_setup(VFIOPCIDevice *vdev, Error **errp)
{
    return true;
}

void vfio_cxl_exit(VFIOPCIDevice *vdev)
{
}

void vfio_cxl_finalize(VFIOPCIDevice *vdev)
{
}

uint32_t vfio_cxl_config_write_begin(VFIOPCIDevice *vdev, uint32_t addr,
                                     uint32_t val, int len)
{
    return val;
}

void vfio_cxl_config_write_end(VFIOPCIDevice *vdev, uint32_t addr, int len)
{
}

void vfio_cxl_config_read(VFIOPCIDevice *vdev, uint32_t addr, int len)
{
}

void vfio_cxl_pre_reset(VFIOPCIDevice *vdev)
{
}

void vfio_cxl_reset(VFIOPCIDevice *vdev)
{
}

bool vfio_cxl_memory_unmappable(const VFIOContainer *bcontainer,
                                MemoryRegion *mr)
{
    return false;
}

int vfio_cxl_memory_dma_buf(MemoryRegion *mr, const void *vaddr,
                            uint64_t *start)
{
    return -1;
}
