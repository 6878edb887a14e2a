/*
 * The memory of a CXL device: may it be touched, and where is it in the window
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VFIO_CXL_MEMORY_H
#define HW_VFIO_CXL_MEMORY_H

#include "hw/vfio/vfio-region.h"
#include "qapi/qapi-types-vfio.h"
#include "qemu/timer.h"
#include "cxl-contract.h"
#include "cxl-hdm.h"
#include "cxl-topology.h"
#include "pci.h"

/*
 * The memory is in the window while decoders decode it, the bridge above leads
 * there, Mem_Enable is set, and it is open: the kernel lets it be used.  Memory
 * that the host has closed stays there, other memory standing in for it.  The
 * upper fields are to be set before anything here is called, the others are
 * none of the caller's.
 */
typedef struct VFIOCXLMemory {
    VFIOPCIDevice *vdev;
    const VFIOCXLLayout *layout;
    const VFIOCXLTopology *topo;
    const VFIOCXLHdm *hdm;
    /* Does the device say that its memory may be touched?  Asked first */
    bool (*active)(void *opaque);
    /* The memory answers, and is about to be opened to the guest */
    void (*opening)(void *opaque);
    void *opaque;

    VFIORegion region;
    bool enabled;               /* Mem_Enable */
    bool open;
    bool lost;                  /* by the host, not closed by the guest since */
    bool warned;                /* that it does not answer */
    bool dma_buf_asked;
    int dma_buf;                /* for IOMMUFD, -1: there is none */
    QEMUTimer *timer;           /* asks whether it may be used now */
    int64_t pause_ms;           /* and how long after that it asks again */
    MemoryRegion alias[HDM_DECODE_MAX];
    VFIOCXLHdmRange mapped[HDM_DECODE_MAX];  /* size 0: not mapped */
} VFIOCXLMemory;

/*
 * Map the memory region, to be shown nowhere yet.  False with @errp set where
 * the kernel does not give it, nothing is left behind then.
 */
bool vfio_cxl_memory_setup(VFIOCXLMemory *mem, Error **errp);

/* Take it from the guest for good; after vfio_cxl_memory_setup() only */
void vfio_cxl_memory_exit(VFIOCXLMemory *mem);
/* When nobody can touch it any more */
void vfio_cxl_memory_finalize(VFIOCXLMemory *mem);

/*
 * What the decoders decode, or what the bridge above leads to the device, may
 * have changed: have the window show that.
 */
void vfio_cxl_memory_update(VFIOCXLMemory *mem);

/* Mem_Enable of the CXL Device DVSEC is @enabled now */
void vfio_cxl_memory_set_enabled(VFIOCXLMemory *mem, bool enabled);

/* Take the memory from the guest: something is about to close it */
void vfio_cxl_memory_close(VFIOCXLMemory *mem);

/*
 * Something may have opened the memory, or closed it: give it to the guest when
 * the device answers a read of it.  A device that does not do so at once is
 * asked again, at first soon and then every five seconds.
 */
void vfio_cxl_memory_ask(VFIOCXLMemory *mem);

/*
 * Somebody waits for the memory: where it is closed and may be open, ask once
 * more, now.
 */
void vfio_cxl_memory_look(VFIOCXLMemory *mem);

/* Is what decoder @n decodes in the window, and if not, what is to be done? */
VfioCxlDecoderState vfio_cxl_memory_state(const VFIOCXLMemory *mem, unsigned n);

/* Where in it does @mr begin, in bytes?  -1: it is no part of it */
int64_t vfio_cxl_memory_offset(const VFIOCXLMemory *mem,
                               const MemoryRegion *mr);

#endif /* HW_VFIO_CXL_MEMORY_H */
