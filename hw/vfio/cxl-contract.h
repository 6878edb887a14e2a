/*
 * The kernel's description of a CXL Type-2 device, whatever its generation
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VFIO_CXL_CONTRACT_H
#define HW_VFIO_CXL_CONTRACT_H

#include "hw/vfio/vfio-device.h"
#include "cxl-hdm.h"

typedef enum VFIOCXLContract {
    VFIO_CXL_CONTRACT_LIVE,
    VFIO_CXL_CONTRACT_SHADOW,
} VFIOCXLContract;

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
    VFIOCXLContract contract;
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
    VFIOCXLHostDecoder decoders[VFIO_CXL_HDM_MAX_DECODERS];
} VFIOCXLLayout;

/* "live" or "shadow" */
const char *vfio_cxl_contract_name(VFIOCXLContract contract);

/* Does the kernel say that this device has CXL.mem? */
bool vfio_cxl_contract_present(const VFIODevice *vbasedev);

/*
 * Where the component registers stand: the fields of @layout up to @regs_size,
 * and nothing else.  False with @errp set where an answer is missing or makes
 * no sense; then the physical decoders may stand anywhere.
 */
bool vfio_cxl_contract_read_place(VFIODevice *vbasedev, VFIOCXLLayout *layout,
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
 * Decoder @n of the guest is committed over @base: tell a kernel that keeps the
 * guest's view.  False with @errp set where the kernel does not take it.
 */
bool vfio_cxl_contract_tell_base(VFIODevice *vbasedev,
                                 const VFIOCXLLayout *layout, unsigned n,
                                 uint64_t base, Error **errp);

#endif /* HW_VFIO_CXL_CONTRACT_H */
