/*
 * The CXL Device DVSEC of a Type-2 device, as vfio passes it through
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VFIO_CXL_DVSEC_H
#define HW_VFIO_CXL_DVSEC_H

#include "hw/registerfields.h"
#include "hw/vfio/vfio-device.h"
#include "pci.h"

/*
 * CXL r3.1 Section 8.1.3: PCIe DVSEC for CXL Devices.  Registers as offsets
 * from the start of the extended capability.
 */
REG16(DVSEC_CAPABILITY, 0x0a)
    FIELD(DVSEC_CAPABILITY, CACHE, 0, 1)
    FIELD(DVSEC_CAPABILITY, WRITE_BACK, 6, 1)
REG16(DVSEC_CONTROL2, 0x10)
    FIELD(DVSEC_CONTROL2, DISABLE_CACHING, 0, 1)
    FIELD(DVSEC_CONTROL2, INITIATE_WRITE_BACK, 1, 1)
    FIELD(DVSEC_CONTROL2, INITIATE_RESET, 2, 1)
REG16(DVSEC_STATUS2, 0x12)
    FIELD(DVSEC_STATUS2, CACHE_INVALID, 0, 1)
REG32(DVSEC_RANGE1_SIZE_HI, 0x18)
REG32(DVSEC_RANGE1_SIZE_LO, 0x1c)
    FIELD(DVSEC_RANGE1_SIZE_LO, SIZE, 28, 4)
REG32(DVSEC_RANGE1_BASE_HI, 0x20)
REG32(DVSEC_RANGE1_BASE_LO, 0x24)
    FIELD(DVSEC_RANGE1_BASE_LO, BASE, 28, 4)

/*
 * Where the CXL Device DVSEC stands in the config space of @pdev, as QEMU has
 * it from the device: CXL r3.1 Section 8.1.3.  0 with @errp set where there is
 * none.
 */
uint16_t vfio_cxl_dvsec_find(PCIDevice *pdev, Error **errp);

/*
 * From here on the range bases are QEMU's, all of them 0: the guest must not
 * read where the memory stands in the host.  @writable: it may also write them,
 * in units of 256 MiB, CXL r3.1 Section 8.1.3.8.
 */
void vfio_cxl_dvsec_emulate_ranges(VFIOPCIDevice *vdev, uint16_t dvsec,
                                   bool writable);

/* Have all range bases read as 0 */
void vfio_cxl_dvsec_clear_ranges(PCIDevice *pdev, uint16_t dvsec);

/* As firmware does: the first range at @base, the second, if any, behind it */
void vfio_cxl_dvsec_place_ranges(PCIDevice *pdev, uint16_t dvsec,
                                 uint64_t base);

typedef struct VFIOCXLWriteBack {
    bool late;                  /* the last one was not done in time */
    bool asked;                 /* the device was told to cache no more */
    bool guest_disabled;        /* which the guest had told it before */
} VFIOCXLWriteBack;

/*
 * Before a reset of a device whose DVSEC stands at @dvsec in config space:
 * have it write back what it caches of the host's memory, and cache no more.
 * @cache_capable: the kernel says that it caches, beside the DVSEC.  Waits a
 * second at most, and next to nothing for a device that was late before.
 * False with @errp set where the device does not say that it is done; true at
 * once where it has no cache or cannot be asked.
 * CXL r3.1 Sections 8.1.3.4 and 8.1.3.5.
 */
bool vfio_cxl_dvsec_write_back(VFIODevice *vbasedev, uint16_t dvsec,
                               bool cache_capable, VFIOCXLWriteBack *state,
                               Error **errp);

/*
 * After the reset: it may cache again, whether or not the reset said so.  Only
 * a @conventional one takes back what the guest had disabled itself.
 */
void vfio_cxl_dvsec_allow_caching(VFIODevice *vbasedev, uint16_t dvsec,
                                  VFIOCXLWriteBack *state, bool conventional);

#endif /* HW_VFIO_CXL_DVSEC_H */
