/*
 * CXL HDM decoder block of an endpoint, as a register model
 *
 * State and rules only: no I/O, no device and no memory region is known here.
 * CXL r3.1 Section 8.2.4.20: CXL HDM Decoder Capability Structure
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VFIO_CXL_HDM_H
#define HW_VFIO_CXL_HDM_H

#include "hw/registerfields.h"

/* An endpoint has 10 decoders at most, CXL r3.1 Section 8.2.4.20.1 */
#define VFIO_CXL_HDM_MAX_DECODERS   10

/* Offsets from the start of the block, in bytes */
REG32(VFIO_CXL_HDM_CAPABILITY, 0x00)
    FIELD(VFIO_CXL_HDM_CAPABILITY, DECODER_COUNT, 0, 4)
    FIELD(VFIO_CXL_HDM_CAPABILITY, TARGET_COUNT, 4, 4)
    FIELD(VFIO_CXL_HDM_CAPABILITY, COHERENCY_MODELS, 21, 2)
REG32(VFIO_CXL_HDM_GLOBAL_CONTROL, 0x04)
    FIELD(VFIO_CXL_HDM_GLOBAL_CONTROL, POISON_ON_ERR, 0, 1)
    FIELD(VFIO_CXL_HDM_GLOBAL_CONTROL, ENABLE, 1, 1)
REG32(VFIO_CXL_HDM_DECODER0_BASE_LO, 0x10)
    FIELD(VFIO_CXL_HDM_DECODER0_BASE_LO, L, 28, 4)
REG32(VFIO_CXL_HDM_DECODER0_BASE_HI, 0x14)
REG32(VFIO_CXL_HDM_DECODER0_SIZE_LO, 0x18)
    FIELD(VFIO_CXL_HDM_DECODER0_SIZE_LO, L, 28, 4)
REG32(VFIO_CXL_HDM_DECODER0_SIZE_HI, 0x1c)
REG32(VFIO_CXL_HDM_DECODER0_CTRL, 0x20)
    FIELD(VFIO_CXL_HDM_DECODER0_CTRL, IG, 0, 4)
    FIELD(VFIO_CXL_HDM_DECODER0_CTRL, IW, 4, 4)
    FIELD(VFIO_CXL_HDM_DECODER0_CTRL, LOCK_ON_COMMIT, 8, 1)
    FIELD(VFIO_CXL_HDM_DECODER0_CTRL, COMMIT, 9, 1)
    FIELD(VFIO_CXL_HDM_DECODER0_CTRL, COMMITTED, 10, 1)
    FIELD(VFIO_CXL_HDM_DECODER0_CTRL, ERROR_NOT_COMMITTED, 11, 1)
    FIELD(VFIO_CXL_HDM_DECODER0_CTRL, TYPE, 12, 1)
REG32(VFIO_CXL_HDM_DECODER0_SKIP_LO, 0x24)
    FIELD(VFIO_CXL_HDM_DECODER0_SKIP_LO, L, 28, 4)
REG32(VFIO_CXL_HDM_DECODER0_SKIP_HI, 0x28)
/* From one decoder to the next */
#define VFIO_CXL_HDM_DECODER_STRIDE 0x20

/*
 * Bits of Decoder n Control that firmware takes over from the physical one.
 * BI and UIO are not: neither QEMU's bridges nor its windows have them.
 */
#define VFIO_CXL_HDM_CTRL_FIRMWARE  (R_VFIO_CXL_HDM_DECODER0_CTRL_IG_MASK | \
                                     R_VFIO_CXL_HDM_DECODER0_CTRL_TYPE_MASK)

/* Bytes that a block of @count decoders takes */
#define VFIO_CXL_HDM_BLOCK_SIZE(count) \
    (A_VFIO_CXL_HDM_DECODER0_BASE_LO + (count) * VFIO_CXL_HDM_DECODER_STRIDE)

/* Unit of base, size and skip: the registers have no bits below it */
#define VFIO_CXL_HDM_UNIT           (1ULL << 28)

/* What one decoder decodes, in bytes */
typedef struct VFIOCXLHdmRange {
    uint64_t base;      /* guest physical address */
    uint64_t size;
    uint64_t dpa;       /* device physical address */
} VFIOCXLHdmRange;

typedef struct VFIOCXLHdmDecoder {
    uint64_t base;
    uint64_t size;
    uint64_t skip;
    uint32_t ctrl;
    /* Taken over at commit */
    VFIOCXLHdmRange active;
    bool locked;
} VFIOCXLHdmDecoder;

typedef struct VFIOCXLHdmOps {
    /*
     * May decoder @n decode @range?  NULL, or why it may not.  Asked at
     * commit, once everything that the block itself can judge is in order.
     */
    const char *(*judge)(void *opaque, unsigned n,
                         const VFIOCXLHdmRange *range);
    /*
     * Decoder @n does not do what the guest asked of it, and @why: to be told
     * to whoever looks for the reason.  May be NULL.
     */
    void (*refused)(void *opaque, unsigned n, const char *why);
    /* What vfio_cxl_hdm_decodes() answers may have changed */
    void (*changed)(void *opaque);
} VFIOCXLHdmOps;

typedef struct VFIOCXLHdm {
    const VFIOCXLHdmOps *ops;
    void *opaque;
    uint32_t capability;
    uint32_t global_control;
    uint64_t capacity;          /* of the device's memory, in bytes */
    unsigned count;
    VFIOCXLHdmDecoder decoders[VFIO_CXL_HDM_MAX_DECODERS];
} VFIOCXLHdm;

/*
 * Number of decoders that a capability register announces; 0 where the value
 * is not one that an endpoint may have.  CXL r3.1 Section 8.2.4.20.1
 */
unsigned vfio_cxl_hdm_decoder_count(uint32_t capability);

/*
 * Start with every decoder empty and nothing enabled.  @capability is the
 * device's own register and must have passed vfio_cxl_hdm_decoder_count(); of
 * its other bits the guest sees those that hold here as well, which
 * interleaving, UIO and poison do not; BI of a decoder cannot be set.
 * @capacity is the size of the device's memory in bytes.  Calls nothing back.
 */
void vfio_cxl_hdm_init(VFIOCXLHdm *hdm, uint32_t capability, uint64_t capacity,
                       const VFIOCXLHdmOps *ops, void *opaque);

/* A conventional reset: decoders empty and unlocked, nothing enabled */
void vfio_cxl_hdm_reset(VFIOCXLHdm *hdm);

/*
 * What firmware does before the guest starts: decoder @n gets @base, @size,
 * @skip (bytes, in units of 256 MiB) and those bits of @ctrl that do not
 * control the commit itself, is committed and locked, and decoding is enabled.
 * Decoders are to be given in ascending order.  False, and nothing changed,
 * where the rules of a commit by the guest would refuse it.
 */
bool vfio_cxl_hdm_firmware_commit(VFIOCXLHdm *hdm, unsigned n, uint64_t base,
                                  uint64_t size, uint64_t skip, uint32_t ctrl);

/*
 * Guest access to the block, @size is 1, 2, 4 or 8 bytes at @offset.  Reads
 * may have any size and alignment and give 0 where no register is.  CXL r3.1
 * Section 8.2.2 permits whole registers only: of the writes, those of less
 * than 4 bytes or across a register's border are dropped; 8 bytes from the
 * start of a register are two of them, the low one first.
 */
uint64_t vfio_cxl_hdm_read(const VFIOCXLHdm *hdm, uint64_t offset,
                           unsigned size);
void vfio_cxl_hdm_write(VFIOCXLHdm *hdm, uint64_t offset, uint64_t value,
                        unsigned size);

/* HDM Decoder Enable of Global Control, CXL r3.1 Section 8.2.4.20.2 */
bool vfio_cxl_hdm_enabled(const VFIOCXLHdm *hdm);

/* Clear it, as a CXL reset does */
void vfio_cxl_hdm_disable(VFIOCXLHdm *hdm);

/* Is decoder @n committed, and locked until a conventional reset? */
bool vfio_cxl_hdm_locked(const VFIOCXLHdm *hdm, unsigned n);

/* Does decoder @n decode now?  If so @range, where not NULL, says what. */
bool vfio_cxl_hdm_decodes(const VFIOCXLHdm *hdm, unsigned n,
                          VFIOCXLHdmRange *range);

#endif /* HW_VFIO_CXL_HDM_H */
