/*
 * What a CXL device shows of itself to whoever looks into QEMU
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VFIO_CXL_QOM_H
#define HW_VFIO_CXL_QOM_H

#include "qom/object.h"
#include "cxl-contract.h"
#include "cxl-hdm.h"
#include "cxl-memory.h"
#include "cxl-topology.h"

/* Where the properties find what they show; all of it the device's own */
typedef struct VFIOCXLQom {
    const VFIOCXLLayout *layout;
    const VFIOCXLTopology *topo;
    const VFIOCXLHdm *hdm;
    const VFIOCXLMemory *mem;
    const char *mode;
} VFIOCXLQom;

/*
 * Give @obj read-only properties, documented in
 * docs/system/devices/vfio-cxl.rst, that show what @qom points to.  @qom has to
 * stay until vfio_cxl_qom_del().
 */
void vfio_cxl_qom_add(VFIOCXLQom *qom, Object *obj);
void vfio_cxl_qom_del(VFIOCXLQom *qom, Object *obj);

#endif /* HW_VFIO_CXL_QOM_H */
