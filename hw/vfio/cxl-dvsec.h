/*
 * The CXL Device DVSEC of a Type-2 device, as vfio passes it through
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VFIO_CXL_DVSEC_H
#define HW_VFIO_CXL_DVSEC_H

#include "hw/vfio/vfio-device.h"
#include "pci.h"

/*
 * CXL r3.1 Section 8.1.3: PCIe DVSEC for CXL Devices.  Registers as offsets
 * from the start of the extended capability.
 */
#define DVSEC_CAPABILITY                0x0a
#define DVSEC_CAPABILITY_CACHE          (1u << 0)
#define DVSEC_CAPABILITY_WRITE_BACK     (1u << 6)
#define DVSEC_CONTROL2                  0x10
#define DVSEC_CONTROL2_DISABLE_CACHING  (1u << 0)
#define DVSEC_CONTROL2_WRITE_BACK       (1u << 1)
#define DVSEC_CONTROL2_INITIATE_RESET   (1u << 2)
#define DVSEC_STATUS2                   0x12
#define DVSEC_STATUS2_CACHE_INVALID     (1u << 0)
#define DVSEC_RANGE_BASE_HI(n)          (0x20 + 0x10 * (n))
#define DVSEC_RANGE_BASE_LO(n)          (0x24 + 0x10 * (n))
#define DVSEC_RANGE_COUNT               2

/*
 * Where the CXL Device DVSEC stands in the config space of @pdev, as QEMU has
 * it from the device: CXL r3.1 Section 8.1.3.  0 with @errp set where there is
 * none.
 */
uint16_t vfio_cxl_dvsec_find(PCIDevice *pdev, Error **errp);

/* The guest is to read that range @n begins at @base */
void vfio_cxl_dvsec_set_range(PCIDevice *pdev, uint16_t dvsec, unsigned n,
                              uint64_t base);

/*
 * From here on the range bases are QEMU's, all of them 0: the guest must not
 * read where the memory stands in the host.  @writable: it may also write them,
 * in units of 256 MiB, CXL r3.1 Section 8.1.3.8.
 */
void vfio_cxl_dvsec_emulate_ranges(VFIOPCIDevice *vdev, uint16_t dvsec,
                                   bool writable);

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
