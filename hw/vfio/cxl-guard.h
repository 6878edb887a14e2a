/*
 * CXL memory that the kernel closes while somebody touches it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VFIO_CXL_GUARD_H
#define HW_VFIO_CXL_GUARD_H

#include "qemu/event_notifier.h"
#include "qemu/queue.h"
#include "hw/vfio/vfio-region.h"

typedef struct VFIOCXLGuard {
    VFIORegion *region;
    EventNotifier notifier;
    void (*lost)(void *opaque);
    void *opaque;
    bool tripped;
    QSLIST_ENTRY(VFIOCXLGuard) next;
} VFIOCXLGuard;

/*
 * Guard the mappings of @region: where one is touched and cannot be reached,
 * memory that reads as zero takes its place, and @lost is called from the main
 * loop.  False with @errp set where that cannot be.
 */
bool vfio_cxl_guard_add(VFIOCXLGuard *guard, VFIORegion *region,
                        void (*lost)(void *opaque), void *opaque,
                        Error **errp);

/* Before the mappings go, and when nobody can touch them any more */
void vfio_cxl_guard_remove(VFIOCXLGuard *guard);

/* From the BQL: the memory is about to be given to the guest */
void vfio_cxl_guard_arm(VFIOCXLGuard *guard);

/*
 * Put the device's memory back.  True where it is in its place, also if it has
 * never left it.
 */
bool vfio_cxl_guard_restore(VFIOCXLGuard *guard);

#endif /* HW_VFIO_CXL_GUARD_H */
