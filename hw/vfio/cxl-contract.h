/*
 * The kernel's description of a CXL Type-2 device, whatever its generation
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VFIO_CXL_CONTRACT_H
#define HW_VFIO_CXL_CONTRACT_H

#include "hw/vfio/vfio-device.h"
#include "qapi/qapi-types-vfio.h"
#include "cxl-hdm.h"

/* One decoder as the kernel shows it, in bytes; its base stays in the kernel */
typedef struct VFIOCXLHostDecoder {
    uint64_t size;
    uint64_t skip;
    uint32_t ctrl;
} VFIOCXLHostDecoder;

/*
 * What is known of a device.  Everything in here has been checked: offsets lie
 * inside their regions, sizes are in units of 256 MiB and add up.
 */
typedef struct VFIOCXLLayout {
    VfioCxlContract contract;
    bool cache_capable;         /* wants a cache write-back before a reset */
    uint32_t said_mem_region;   /* by the shadow kernel's capability */
    uint32_t said_regs_region;

    unsigned bar;               /* BAR that holds the component registers */
    uint64_t regs_bar_offset;   /* where @regs_region begins in that BAR */
    int regs_region;            /* their region; it takes whole dwords only */
    uint64_t regs_size;

    uint64_t hdm_offset;        /* of the decoder block in @regs_region */
    uint64_t hdm_size;

    int mem_region;             /* region index of the device's memory */
    uint64_t mem_size;
    uint64_t mem_dpa;           /* device address where it begins */
    bool mem_mmap;              /* the region can be mapped */

    uint32_t hdm_capability;    /* the decoder block's first register */
    unsigned decoder_count;
    unsigned committed;         /* decoders 0 to n-1 are committed */
    bool by_firmware;           /* it was firmware that committed them */
    VFIOCXLHostDecoder decoders[HDM_DECODE_MAX];
} VFIOCXLLayout;

/* Does the kernel say that this device has CXL.mem? */
bool vfio_cxl_contract_present(const VFIODevice *vbasedev);

/*
 * Where the component registers are: the fields of @layout up to @regs_size,
 * and nothing else.  False with @errp set where an answer is missing or makes
 * no sense; then it is not known where the physical decoders are.
 */
bool vfio_cxl_contract_find_regs(VFIODevice *vbasedev, VFIOCXLLayout *layout,
                                 Error **errp);

/* Is there a memory region at all?  Says nothing of what it is like */
bool vfio_cxl_contract_has_memory(VFIODevice *vbasedev);

/*
 * Ask the kernel for all of it, and check every answer.  False with @errp set
 * where an answer is missing or makes no sense; @layout is then of no use.
 */
bool vfio_cxl_contract_read(VFIODevice *vbasedev, VFIOCXLLayout *layout,
                            Error **errp);

/*
 * Is the memory behind @layout there to be used right now?  It is not while
 * the kernel keeps it closed: memory space off, power state other than D0, or
 * a reset that failed.  A mapping that is touched then is a SIGBUS.
 */
bool vfio_cxl_contract_memory_ready(VFIODevice *vbasedev,
                                    const VFIOCXLLayout *layout);

/*
 * A file that stands for the memory behind @layout in an IOMMU: IOMMUFD maps
 * it, and unmaps it when the kernel closes the memory.  -errno where the kernel
 * does not give one.
 */
int vfio_cxl_contract_get_dma_buf(VFIODevice *vbasedev,
                                  const VFIOCXLLayout *layout);

/*
 * Decoder @n of the guest is committed at @base: write that to a kernel that
 * keeps the guest's view.  False with @errp set where the kernel refuses it.
 */
bool vfio_cxl_contract_set_base(VFIODevice *vbasedev,
                                const VFIOCXLLayout *layout, unsigned n,
                                uint64_t base, Error **errp);

#endif /* HW_VFIO_CXL_CONTRACT_H */
