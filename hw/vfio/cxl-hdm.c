/*
 * CXL HDM decoder block of an endpoint, as a register model
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "qemu/host-utils.h"
#include "cxl-hdm.h"

/* CXL r3.1 Section 8.2.4.20.1: fields of the capability that the guest sees */
#define CAPABILITY_SHOWN \
    (R_CXL_HDM_DECODER_CAPABILITY_DECODER_COUNT_MASK | \
     R_CXL_HDM_DECODER_CAPABILITY_TARGET_COUNT_MASK | \
     R_CXL_HDM_DECODER_CAPABILITY_SUPPORTED_COHERENCY_MODEL_MASK)

/* CXL r3.1 Section 8.2.4.20.2: bits of Global Control that software owns */
#define GLOBAL_ENABLE \
    R_CXL_HDM_DECODER_GLOBAL_CONTROL_HDM_DECODER_ENABLE_MASK
#define GLOBAL_CONTROL_RW \
    (GLOBAL_ENABLE | R_CXL_HDM_DECODER_GLOBAL_CONTROL_POISON_ON_ERR_EN_MASK)

/* Base, size and skip have the same bits in their low registers */
#define LO_MASK R_CXL_HDM_DECODER0_BASE_LO_L_MASK

/* CXL r3.1 Section 8.2.4.20.7: bits of Decoder n Control likewise */
#define CTRL_RW (R_CXL_HDM_DECODER0_CTRL_IG_MASK | \
                 R_CXL_HDM_DECODER0_CTRL_IW_MASK | \
                 R_CXL_HDM_DECODER0_CTRL_LOCK_ON_COMMIT_MASK | \
                 R_CXL_HDM_DECODER0_CTRL_COMMIT_MASK | \
                 R_CXL_HDM_DECODER0_CTRL_TYPE_MASK)

#define CTRL_GET(ctrl, field) \
    FIELD_EX32(ctrl, CXL_HDM_DECODER0_CTRL, field)
#define CTRL_SET(ctrl, field, val) \
    FIELD_DP32(ctrl, CXL_HDM_DECODER0_CTRL, field, val)

unsigned vfio_cxl_hdm_decoder_count(uint32_t capability)
{
    unsigned n = FIELD_EX32(capability, CXL_HDM_DECODER_CAPABILITY,
                            DECODER_COUNT);
    unsigned count = n ? 2 * n : 1;

    return count <= HDM_DECODE_MAX ? count : 0;
}

void vfio_cxl_hdm_init(VFIOCXLHdm *hdm, uint32_t capability, uint64_t capacity,
                       const VFIOCXLHdmOps *ops, void *opaque)
{
    *hdm = (VFIOCXLHdm) {
        .ops = ops,
        .opaque = opaque,
        .capability = capability & CAPABILITY_SHOWN,
        .capacity = capacity,
        .count = vfio_cxl_hdm_decoder_count(capability),
    };
}

void vfio_cxl_hdm_reset(VFIOCXLHdm *hdm)
{
    hdm->global_control = 0;
    memset(hdm->decoders, 0, sizeof(hdm->decoders));
    hdm->ops->changed(hdm->opaque);
}

bool vfio_cxl_hdm_enabled(const VFIOCXLHdm *hdm)
{
    return hdm->global_control & GLOBAL_ENABLE;
}

static void hdm_set_global_control(VFIOCXLHdm *hdm, uint32_t value)
{
    bool was = vfio_cxl_hdm_enabled(hdm);

    hdm->global_control = value & GLOBAL_CONTROL_RW;
    if (vfio_cxl_hdm_enabled(hdm) != was) {
        hdm->ops->changed(hdm->opaque);
    }
}

void vfio_cxl_hdm_disable(VFIOCXLHdm *hdm)
{
    hdm_set_global_control(hdm, hdm->global_control & ~GLOBAL_ENABLE);
}

bool vfio_cxl_hdm_decodes(const VFIOCXLHdm *hdm, unsigned n,
                          VFIOCXLHdmRange *range)
{
    if (n >= hdm->count || !vfio_cxl_hdm_enabled(hdm) ||
        !CTRL_GET(hdm->decoders[n].ctrl, COMMITTED)) {
        return false;
    }
    if (range) {
        *range = hdm->decoders[n].active;
    }
    return true;
}

/*
 * CXL r3.1 Section 8.2.4.20.13: a locked decoder is read-only as a whole.
 * Section 8.2.4.20.7: LOCK_ON_COMMIT counts when the decoder commits, not when
 * it is written later.
 */
bool vfio_cxl_hdm_locked(const VFIOCXLHdm *hdm, unsigned n)
{
    return n < hdm->count && hdm->decoders[n].locked;
}

static void hdm_refused(const VFIOCXLHdm *hdm, unsigned n, const char *why)
{
    if (hdm->ops->refused) {
        hdm->ops->refused(hdm->opaque, n, why);
    }
}

/*
 * CXL r3.1 Section 8.2.4.20.12: Committing Decoder Programming.  The decoder
 * is checked as it is programmed; @range gets what it would decode.  NULL, or
 * the reason why it must not commit.
 */
static const char *hdm_validate_commit(const VFIOCXLHdm *hdm, unsigned n,
                                       VFIOCXLHdmRange *range)
{
    const VFIOCXLHdmDecoder *d = &hdm->decoders[n];
    uint64_t dpa = 0, floor = 0, end;

    /* Decoders are committed in order, and their ranges ascend */
    if (n) {
        const VFIOCXLHdmDecoder *prev = &hdm->decoders[n - 1];

        if (!CTRL_GET(prev->ctrl, COMMITTED)) {
            return "the decoder before it is not committed";
        }
        floor = prev->active.base + prev->active.size;
        dpa = prev->active.dpa + prev->active.size;
    }

    /* One device behind one root port: there is nothing to interleave with */
    if (CTRL_GET(d->ctrl, IW)) {
        return "it is interleaved";
    }
    if (!d->size || uadd64_overflow(d->base, d->size, &end)) {
        return "its range is empty or wraps";
    }
    if (d->base < floor) {
        return "it begins before the end of the decoder before it";
    }
    /* CXL r3.1 Section 8.2.4.20.9: the skip counts from the previous decoder */
    if (uadd64_overflow(dpa, d->skip, &dpa) ||
        uadd64_overflow(dpa, d->size, &end) || end > hdm->capacity) {
        return "it ends beyond the device's memory";
    }

    *range = (VFIOCXLHdmRange) {
        .base = d->base, .size = d->size, .dpa = dpa,
    };
    return hdm->ops->validate_commit(hdm->opaque, n, range);
}

static bool hdm_commit(VFIOCXLHdm *hdm, unsigned n)
{
    VFIOCXLHdmDecoder *d = &hdm->decoders[n];
    VFIOCXLHdmRange range;
    const char *why = hdm_validate_commit(hdm, n, &range);

    if (why) {
        hdm_refused(hdm, n, why);
    } else {
        d->active = range;
        d->locked = CTRL_GET(d->ctrl, LOCK_ON_COMMIT);
    }
    d->ctrl = CTRL_SET(d->ctrl, COMMITTED, !why);
    d->ctrl = CTRL_SET(d->ctrl, ERR, !!why);
    return !why;
}

bool vfio_cxl_hdm_firmware_commit(VFIOCXLHdm *hdm, unsigned n, uint64_t base,
                                  uint64_t size, uint64_t skip, uint32_t ctrl)
{
    VFIOCXLHdmDecoder *d, before;

    if (n >= hdm->count || (base | size | skip) % VFIO_CXL_HDM_UNIT) {
        return false;
    }

    d = &hdm->decoders[n];
    before = *d;
    *d = (VFIOCXLHdmDecoder) {
        .base = base,
        .size = size,
        .skip = skip,
        .ctrl = (ctrl & VFIO_CXL_HDM_CTRL_FIRMWARE) |
                R_CXL_HDM_DECODER0_CTRL_COMMIT_MASK |
                R_CXL_HDM_DECODER0_CTRL_LOCK_ON_COMMIT_MASK,
    };
    if (!hdm_commit(hdm, n)) {
        *d = before;
        return false;
    }
    hdm->global_control |= GLOBAL_ENABLE;
    hdm->ops->changed(hdm->opaque);
    return true;
}

static uint32_t hdm_read_reg(const VFIOCXLHdm *hdm, uint64_t offset)
{
    const VFIOCXLHdmDecoder *d;
    uint64_t n;

    switch (offset) {
    case VFIO_CXL_HDM_REG(DECODER_CAPABILITY):
        return hdm->capability;
    case VFIO_CXL_HDM_REG(DECODER_GLOBAL_CONTROL):
        return hdm->global_control;
    }
    if (offset < VFIO_CXL_HDM_REG(DECODER0_BASE_LO)) {
        return 0;
    }

    offset -= VFIO_CXL_HDM_REG(DECODER0_BASE_LO);
    n = offset / VFIO_CXL_HDM_DECODER_STRIDE;
    if (n >= hdm->count) {
        return 0;
    }
    d = &hdm->decoders[n];

    switch (offset % VFIO_CXL_HDM_DECODER_STRIDE +
            VFIO_CXL_HDM_REG(DECODER0_BASE_LO)) {
    case VFIO_CXL_HDM_REG(DECODER0_BASE_LO):
        return extract64(d->base, 0, 32);
    case VFIO_CXL_HDM_REG(DECODER0_BASE_HI):
        return extract64(d->base, 32, 32);
    case VFIO_CXL_HDM_REG(DECODER0_SIZE_LO):
        return extract64(d->size, 0, 32);
    case VFIO_CXL_HDM_REG(DECODER0_SIZE_HI):
        return extract64(d->size, 32, 32);
    case VFIO_CXL_HDM_REG(DECODER0_CTRL):
        return d->ctrl;
    case VFIO_CXL_HDM_REG(DECODER0_DPA_SKIP_LO):
        return extract64(d->skip, 0, 32);
    case VFIO_CXL_HDM_REG(DECODER0_DPA_SKIP_HI):
        return extract64(d->skip, 32, 32);
    default:
        return 0;
    }
}

uint64_t vfio_cxl_hdm_read(const VFIOCXLHdm *hdm, uint64_t offset,
                           unsigned size)
{
    uint64_t value = 0;
    unsigned i;

    for (i = 0; i < size; i++) {
        uint64_t at = offset + i;
        uint32_t reg = hdm_read_reg(hdm, at & ~3ULL);

        value = deposit64(value, 8 * i, 8, extract32(reg, 8 * (at & 3), 8));
    }
    return value;
}

static void hdm_write_ctrl(VFIOCXLHdm *hdm, unsigned n, uint32_t value)
{
    VFIOCXLHdmDecoder *d = &hdm->decoders[n];
    bool committed = CTRL_GET(d->ctrl, COMMITTED);
    bool commit = CTRL_GET(value, COMMIT);

    /*
     * The decoders behind this one take their place in the device's memory
     * from it, so they have to go first.
     */
    if (committed && !commit && n + 1 < hdm->count &&
        CTRL_GET(hdm->decoders[n + 1].ctrl, COMMITTED)) {
        hdm_refused(hdm, n, "the decoder behind it is committed");
        return;
    }

    d->ctrl = (d->ctrl & ~CTRL_RW) | (value & CTRL_RW);
    if (commit && !committed) {
        if (hdm_commit(hdm, n)) {
            hdm->ops->changed(hdm->opaque);
        }
    } else if (!commit) {
        d->ctrl = CTRL_SET(d->ctrl, COMMITTED, 0);
        d->ctrl = CTRL_SET(d->ctrl, ERR, 0);
        if (committed) {
            d->active = (VFIOCXLHdmRange) { 0 };
            hdm->ops->changed(hdm->opaque);
        }
    }
}

static void hdm_write_reg(VFIOCXLHdm *hdm, uint64_t offset, uint32_t value)
{
    VFIOCXLHdmDecoder *d;
    uint64_t n;

    if (offset == VFIO_CXL_HDM_REG(DECODER_GLOBAL_CONTROL)) {
        hdm_set_global_control(hdm, value);
        return;
    }
    if (offset < VFIO_CXL_HDM_REG(DECODER0_BASE_LO)) {
        return;
    }

    offset -= VFIO_CXL_HDM_REG(DECODER0_BASE_LO);
    n = offset / VFIO_CXL_HDM_DECODER_STRIDE;
    if (n >= hdm->count) {
        return;
    }
    d = &hdm->decoders[n];
    if (vfio_cxl_hdm_locked(hdm, n)) {
        hdm_refused(hdm, n, "it is locked");
        return;
    }

    switch (offset % VFIO_CXL_HDM_DECODER_STRIDE +
            VFIO_CXL_HDM_REG(DECODER0_BASE_LO)) {
    case VFIO_CXL_HDM_REG(DECODER0_BASE_LO):
        d->base = deposit64(d->base, 0, 32, value & LO_MASK);
        break;
    case VFIO_CXL_HDM_REG(DECODER0_BASE_HI):
        d->base = deposit64(d->base, 32, 32, value);
        break;
    case VFIO_CXL_HDM_REG(DECODER0_SIZE_LO):
        d->size = deposit64(d->size, 0, 32, value & LO_MASK);
        break;
    case VFIO_CXL_HDM_REG(DECODER0_SIZE_HI):
        d->size = deposit64(d->size, 32, 32, value);
        break;
    case VFIO_CXL_HDM_REG(DECODER0_CTRL):
        hdm_write_ctrl(hdm, n, value);
        break;
    case VFIO_CXL_HDM_REG(DECODER0_DPA_SKIP_LO):
        d->skip = deposit64(d->skip, 0, 32, value & LO_MASK);
        break;
    case VFIO_CXL_HDM_REG(DECODER0_DPA_SKIP_HI):
        d->skip = deposit64(d->skip, 32, 32, value);
        break;
    }
}

void vfio_cxl_hdm_write(VFIOCXLHdm *hdm, uint64_t offset, uint64_t value,
                        unsigned size)
{
    if (size < 4 || offset % 4) {
        return;
    }
    hdm_write_reg(hdm, offset, extract64(value, 0, 32));
    if (size == 8) {
        hdm_write_reg(hdm, offset + 4, extract64(value, 32, 32));
    }
}
