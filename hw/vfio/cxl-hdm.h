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

#include "hw/cxl/cxl_component.h"

/*
 * Offset of a register from the start of the block, in bytes.  @reg is the name
 * that it has in hw/cxl/cxl_component.h, without CXL_HDM_.
 */
#define VFIO_CXL_HDM_REG(reg)       (A_CXL_HDM_##reg - CXL_HDM_REGISTERS_OFFSET)
/* From one decoder to the next */
#define VFIO_CXL_HDM_DECODER_STRIDE 0x20

/*
 * Bits of Decoder n Control that firmware takes over from the physical one.
 * BI and UIO are not: neither QEMU's bridges nor its windows have them.
 */
#define VFIO_CXL_HDM_CTRL_FIRMWARE  (R_CXL_HDM_DECODER0_CTRL_IG_MASK | \
                                     R_CXL_HDM_DECODER0_CTRL_TYPE_MASK)

/* Bytes that a block of @count decoders takes */
#define VFIO_CXL_HDM_BLOCK_SIZE(count) \
    (VFIO_CXL_HDM_REG(DECODER0_BASE_LO) + \
     (count) * VFIO_CXL_HDM_DECODER_STRIDE)

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
     * Decoder @n is about to commit @range, which the rules of the block allow.
     * NULL, or the reason why the range must not be decoded.
     */
    const char *(*validate_commit)(void *opaque, unsigned n,
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
    VFIOCXLHdmDecoder decoders[HDM_DECODE_MAX];
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
