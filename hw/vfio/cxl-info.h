/*
 * What QMP can read of a CXL device
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VFIO_CXL_INFO_H
#define HW_VFIO_CXL_INFO_H

#include "qapi/qapi-types-vfio.h"
#include "cxl-memory.h"

/*
 * The state of a device whose memory is @mem and whose decoders are programmed
 * as @mode says; to be freed with qapi_free_VfioCxlInfo().
 */
VfioCxlInfo *vfio_cxl_info(const VFIOCXLMemory *mem, VfioCxlDecoders mode);

#endif /* HW_VFIO_CXL_INFO_H */
