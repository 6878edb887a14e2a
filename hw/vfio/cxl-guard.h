/*
 * CXL memory that the kernel closes while somebody touches it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VFIO_CXL_GUARD_H
#define HW_VFIO_CXL_GUARD_H

#include "hw/vfio/vfio-region.h"

typedef struct VFIOCXLGuard VFIOCXLGuard;

/*
 * A guard: where memory that it watches is touched and cannot be reached,
 * memory that reads as zero takes the place of what is around it, and @lost is
 * called from the main loop.  NULL with @errp set where that cannot be.
 */
VFIOCXLGuard *vfio_cxl_guard_new(void (*lost)(void *opaque), void *opaque,
                                 Error **errp);

/* Watch the mappings of @region, once it has them and before a guest has */
void vfio_cxl_guard_watch(VFIOCXLGuard *guard, const VFIORegion *region);

/* When nobody can touch the mappings any more.  NULL is no guard. */
void vfio_cxl_guard_free(VFIOCXLGuard *guard);

/* Has the memory been replaced, in part, since vfio_cxl_guard_restore()? */
bool vfio_cxl_guard_tripped(const VFIOCXLGuard *guard);

/*
 * Put the device's memory back; what was written to its replacement is gone.
 * True where the memory is in its place, also if it has never left it.
 */
bool vfio_cxl_guard_restore(VFIOCXLGuard *guard);

#endif /* HW_VFIO_CXL_GUARD_H */
