/*
 * The configuration space of a CXL device: what the guest reads of its memory,
 * and which writes take the memory away
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VFIO_CXL_CONFIG_H
#define HW_VFIO_CXL_CONFIG_H

#include "hw/registerfields.h"
#include "cxl-hdm.h"
#include "cxl-memory.h"
#include "pci.h"

#define VFIO_CXL_DVSEC_RANGES   2

/* A register that opens and closes the memory, or starts a reset */
typedef struct VFIOCXLGate {
    uint16_t at;                /* in config space */
    uint16_t bits;
    bool closes_if_clear;       /* when @bits are written as 0, else as 1 */
    bool is_state;              /* the same bits open it again, else a reset */
    bool asks_write_back;       /* what is cached is to be written back first */
} VFIOCXLGate;

typedef struct VFIOCXLWriteBack {
    bool late;                  /* the last one was not done in time */
    bool asked;                 /* the device was told to cache no more */
    bool guest_disabled;        /* which the guest had told it before */
} VFIOCXLWriteBack;

/*
 * The upper fields are to be set before vfio_cxl_config_init(), the others are
 * none of the caller's.
 */
typedef struct VFIOCXLConfig {
    VFIOPCIDevice *vdev;
    uint16_t dvsec;             /* CXL Device DVSEC, not 0 */
    bool cache_capable;         /* the kernel says so, beside the DVSEC */
    bool guest_owned;           /* the guest programs the decoders */
    VFIOCXLMemory *mem;         /* NULL: the guest gets no CXL memory */
    VFIOCXLHdm *hdm;            /* likewise */

    VFIOCXLGate gates[5];
    unsigned gate_count;
    /* Of the write that is under way */
    bool ask;                   /* the memory may be open after it */
    bool cxl_reset;             /* it starts a CXL reset */
    uint32_t state;             /* memory space and power state before it */

    bool space_is_no_gate;      /* memory answered with memory space off */
    bool locked;                /* CONFIG_LOCK is set */
    int64_t inactive_ms;        /* when it was found inactive, 0: it was not */
    uint64_t range_size[VFIO_CXL_DVSEC_RANGES];
    VFIOCXLWriteBack write_back;
} VFIOCXLConfig;

/*
 * Where the CXL Device DVSEC stands in the config space of @pdev, as QEMU has
 * it from the device: CXL r3.1 Section 8.1.3.  0 with @errp set where there is
 * none.
 */
uint16_t vfio_cxl_config_find_dvsec(PCIDevice *pdev, Error **errp);

/*
 * From here on Mem_Enable, CONFIG_LOCK, the range registers and their status
 * bits are QEMU's.  The state is that of vfio_cxl_config_reset() with nothing
 * to decode.
 */
void vfio_cxl_config_init(VFIOCXLConfig *config);

/*
 * After a conventional reset: Mem_Enable is @enable, nothing is locked, and the
 * ranges say @base and, of the device's own sizes, up to @size bytes.  A device
 * whose decoders the guest programs has @base 0.
 */
void vfio_cxl_config_reset(VFIOCXLConfig *config, uint64_t base, uint64_t size,
                           bool enable);

/*
 * Around a guest's write of @len bytes @val to config space at @addr.  Before
 * it: the memory leaves the window if the write is about to close it, and the
 * value returned is what the device may have of @val.  After it: the memory
 * comes back if it was closed, or may be open now, and answers.
 */
uint32_t vfio_cxl_config_before_write(VFIOCXLConfig *config, uint32_t addr,
                                      uint32_t val, int len);
void vfio_cxl_config_after_write(VFIOCXLConfig *config, uint32_t addr, int len);

/*
 * The memory may be open, after a reset for one: have it in the window when the
 * device answers.
 */
void vfio_cxl_config_ask_memory(VFIOCXLConfig *config);

/*
 * A guest's read of @len bytes at @addr is about to be answered: bring the
 * status bits of the ranges up to date, by a look at the device where it did
 * not answer before.
 */
void vfio_cxl_config_before_read(VFIOCXLConfig *config, uint32_t addr, int len);

/*
 * May the memory be touched, as far as the device's DVSEC knows?  True also
 * where the device has let its own Memory_Active_Timeout pass: then it is for
 * the kernel to say.  CXL r3.1 Section 8.1.3.8.2.
 */
bool vfio_cxl_config_memory_active(VFIOCXLConfig *config);

/*
 * Before a reset of the device: have it write back what it caches of the host's
 * memory, and cache no more.  Waits @limit_ms at most, and next to nothing for
 * a device that was late before.  False with @errp set where the device does
 * not say that it is done; true at once where it has no cache or cannot be
 * asked.  CXL r3.1 Sections 8.1.3.4 and 8.1.3.5.
 */
bool vfio_cxl_config_write_back(VFIOCXLConfig *config, int64_t limit_ms,
                                Error **errp);

/* Limit of a write-back that QEMU itself asks for, in milliseconds */
#define VFIO_CXL_WRITE_BACK_MS  1000

/*
 * After the reset: it may cache again, whether or not the reset said so.  Only
 * a @conventional one takes back what the guest had disabled itself.
 */
void vfio_cxl_config_allow_caching(VFIOCXLConfig *config, bool conventional);

#endif /* HW_VFIO_CXL_CONFIG_H */
