/*
 * The CXL Device DVSEC of a Type-2 device, as vfio passes it through
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VFIO_CXL_DVSEC_H
#define HW_VFIO_CXL_DVSEC_H

#include "hw/vfio/vfio-device.h"

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
 * Before a reset of a device whose DVSEC stands at @dvsec in config space:
 * have it write back what it caches of the host's memory, and cache no more.
 * @cache_capable: the kernel says that it caches, beside the DVSEC.  Waits a
 * second at most.  False with @errp set where the device does not say that it
 * is done; true at once where it has no cache or cannot be asked.
 * CXL r3.1 Sections 8.1.3.4 and 8.1.3.5.
 */
bool vfio_cxl_dvsec_write_back(VFIODevice *vbasedev, uint16_t dvsec,
                               bool cache_capable, Error **errp);

/* After the reset: it may cache again, whether or not the reset said so */
void vfio_cxl_dvsec_allow_caching(VFIODevice *vbasedev, uint16_t dvsec);

#endif /* HW_VFIO_CXL_DVSEC_H */
