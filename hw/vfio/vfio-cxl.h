/*
 * CXL Type-2 devices behind vfio-pci and vfio-user-pci
 *
 * All of these gate themselves: for a device without CXL they do nothing, and
 * without CONFIG_VFIO_CXL they are empty.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VFIO_VFIO_CXL_H
#define HW_VFIO_VFIO_CXL_H

#include "hw/vfio/types.h"
#include "hw/vfio/vfio-container.h"
#include "system/memory.h"

typedef struct VFIOCXL VFIOCXL;
typedef struct VFIOPCIDevice VFIOPCIDevice;

/* Properties that both device types have */
void vfio_cxl_class_init(ObjectClass *klass);

/*
 * Probe the kernel for CXL memory, check the topology, map the overlay over the
 * BAR.  Called in realize, with config space and BARs set up.  False with @errp
 * set where the device cannot be served, nothing is left behind then.
 */
bool vfio_cxl_setup(VFIOPCIDevice *vdev, Error **errp);

/* Undo vfio_cxl_setup() up to what the guest may still hold references to */
void vfio_cxl_exit(VFIOPCIDevice *vdev);
/* Undo the rest */
void vfio_cxl_finalize(VFIOPCIDevice *vdev);

/*
 * Around a guest's write of @len bytes @val to config space at @addr: what
 * takes the memory away from under a mapping has to find it unmapped, what
 * brings it back maps it.  The value returned is what the device may have.
 */
uint32_t vfio_cxl_config_write_begin(VFIOPCIDevice *vdev, uint32_t addr,
                                     uint32_t val, int len);
void vfio_cxl_config_write_end(VFIOPCIDevice *vdev, uint32_t addr, int len);

/* A guest's read of @len bytes of config space at @addr is to be answered */
void vfio_cxl_config_read(VFIOPCIDevice *vdev, uint32_t addr, int len);

/*
 * A reset of the device is about to begin: what it caches of the host's memory
 * is written back, which the kernel does not do
 */
void vfio_cxl_pre_reset(VFIOPCIDevice *vdev);

/* A conventional reset of the device is over */
void vfio_cxl_reset(VFIOPCIDevice *vdev);

/*
 * Is @mr CXL memory that @bcontainer, or a guest's IOMMU where that is NULL,
 * must not map?  The answer is the same for as long as the memory is in an
 * address space.
 */
bool vfio_cxl_memory_unmappable(const VFIOContainer *bcontainer,
                                MemoryRegion *mr);

/*
 * The file that IOMMUFD maps instead of @vaddr, where @mr is CXL memory that
 * has one, and in @start the offset in it.  -1: there is none.
 */
int vfio_cxl_memory_dma_buf(MemoryRegion *mr, const void *vaddr,
                            uint64_t *start);

#endif /* HW_VFIO_VFIO_CXL_H */
