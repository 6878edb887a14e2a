/*
 * The guest's view of the component registers that QEMU virtualizes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VFIO_CXL_REGS_H
#define HW_VFIO_CXL_REGS_H

#include "system/memory.h"
#include "cxl-contract.h"

typedef struct VFIOCXLRegs {
    MemoryRegion mr;            /* to lie over the BAR, at regs_bar_offset */
    VFIODevice *vbasedev;
    const VFIOCXLLayout *layout;
    VFIOCXLHdm *hdm;
} VFIOCXLRegs;

/*
 * Make @regs->mr, owned by @owner, of layout->regs_size bytes: accesses to the
 * decoder block are answered by @hdm without asking the device, all others go
 * to the region that the kernel has for them.
 */
void vfio_cxl_regs_init(VFIOCXLRegs *regs, Object *owner, VFIODevice *vbasedev,
                        const VFIOCXLLayout *layout, VFIOCXLHdm *hdm);

/*
 * Make @regs->mr of @size bytes hide the device's registers from the guest: it
 * reads as 0, and what is written is dropped.
 */
void vfio_cxl_regs_init_hidden(VFIOCXLRegs *regs, Object *owner,
                               VFIODevice *vbasedev, uint64_t size);

#endif /* HW_VFIO_CXL_REGS_H */
