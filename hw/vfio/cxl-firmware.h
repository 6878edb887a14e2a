/*
 * What firmware does with the HDM decoders of a CXL device before a guest runs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VFIO_CXL_FIRMWARE_H
#define HW_VFIO_CXL_FIRMWARE_H

#include "cxl-contract.h"
#include "cxl-hdm.h"
#include "cxl-topology.h"

/*
 * The pointers are to be set before vfio_cxl_firmware_merge(), the others are
 * none of the caller's.
 */
typedef struct VFIOCXLFirmware {
    VFIODevice *vbasedev;
    const VFIOCXLLayout *layout;
    const VFIOCXLTopology *topo;
    VFIOCXLHdm *hdm;

    VFIOCXLHostDecoder decoders[HDM_DECODE_MAX];
    unsigned count;             /* of @decoders, one behind the other */
} VFIOCXLFirmware;

/* Bytes of the window that the decoders which the host committed take */
uint64_t vfio_cxl_firmware_size(const VFIOCXLLayout *layout);

/*
 * A host bridge with decoders has few of them, and the endpoint's have to match
 * them one by one.  Where the host committed more, neighbours are merged: they
 * are contiguous in the window.  False with @errp set where too many remain, or
 * where the guest has committed one of the bridge's.
 */
bool vfio_cxl_firmware_merge(VFIOCXLFirmware *fw, Error **errp);

/*
 * Give a kernel that keeps the guest's view the base of each physical decoder,
 * merged or not.  False with @errp set where it does not take one.
 */
bool vfio_cxl_firmware_set_bases(const VFIOCXLFirmware *fw, Error **errp);

/*
 * After a reset of the device: commit and lock its decoders and those of the
 * host bridge, from the start of the window on.  False with @errp set on error;
 * vfio_cxl_firmware_release() and vfio_cxl_hdm_reset() undo what was done.
 */
bool vfio_cxl_firmware_commit(VFIOCXLFirmware *fw, Error **errp);

/* Give the decoders of the host bridge back to the guest */
void vfio_cxl_firmware_release(const VFIOCXLFirmware *fw);

#endif /* HW_VFIO_CXL_FIRMWARE_H */
