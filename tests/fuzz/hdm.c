/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The decoder block of hw/vfio/cxl-hdm.c under any sequence of accesses. In C,
 * because QEMU's headers are.
 *
 * An input is a header of 4 bytes (decoder count, capacity, start and length of
 * the window in units of 256 MiB), then 12 bytes for each step: what is done, a
 * size or decoder, an offset, a value.
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "hw/vfio/cxl-hdm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEADER = 4, STEP = 12 };

typedef struct Window {
    uint64_t first, end;            /* what validate_commit() lets pass */
    unsigned changes;               /* calls of changed() */
    VFIOCXLHdmRange allowed[HDM_DECODE_MAX];
} Window;

/* What the decoder block says of each decoder */
typedef struct View {
    bool decodes[HDM_DECODE_MAX];
    bool locked[HDM_DECODE_MAX];     /* when it was committed */
    VFIOCXLHdmRange ranges[HDM_DECODE_MAX];
    uint8_t registers[VFIO_CXL_HDM_BLOCK_SIZE(HDM_DECODE_MAX)];
} View;

static const char *validate_commit(void *opaque, unsigned n,
                                   const VFIOCXLHdmRange *range)
{
    Window *w = opaque;

    /* Everything but the window has been checked already */
    g_assert(n < HDM_DECODE_MAX && range->size);
    g_assert(range->base + range->size > range->base);
    g_assert((range->base | range->size | range->dpa) % VFIO_CXL_HDM_UNIT == 0);
    if (range->base < w->first || range->base + range->size > w->end) {
        return "it is not inside the window";
    }
    w->allowed[n] = *range;
    return NULL;
}

static void changed(void *opaque)
{
    Window *w = opaque;

    w->changes++;
}

static const VFIOCXLHdmOps ops = { .validate_commit = validate_commit, .changed = changed };

static void look(const VFIOCXLHdm *hdm, View *view)
{
    size_t i;

    memset(view, 0, sizeof(*view));
    for (i = 0; i < HDM_DECODE_MAX; i++) {
        view->decodes[i] = vfio_cxl_hdm_decodes(hdm, i, &view->ranges[i]);
    }
    for (i = 0; i < sizeof(view->registers); i++) {
        view->registers[i] = vfio_cxl_hdm_read(hdm, i, 1);
    }
}

static uint32_t control(const View *view, unsigned n)
{
    return ldl_le_p(view->registers + VFIO_CXL_HDM_REG(DECODER0_CTRL) +
                    n * VFIO_CXL_HDM_DECODER_STRIDE);
}

static bool bit(uint32_t ctrl, uint32_t mask)
{
    return ctrl & mask;
}

#define COMMITTED R_CXL_HDM_DECODER0_CTRL_COMMITTED_MASK
#define FAILED    R_CXL_HDM_DECODER0_CTRL_ERR_MASK
#define COMMIT    R_CXL_HDM_DECODER0_CTRL_COMMIT_MASK
#define LOCK      R_CXL_HDM_DECODER0_CTRL_LOCK_ON_COMMIT_MASK

/* What holds at any time */
static void check(const VFIOCXLHdm *hdm, const Window *w, const View *v)
{
    uint64_t above = 0, dpa = 0;
    bool more = true;
    unsigned n;

    for (n = 0; n < HDM_DECODE_MAX; n++) {
        const VFIOCXLHdmRange *r = &v->ranges[n];
        uint32_t ctrl = control(v, n);

        g_assert(!(bit(ctrl, COMMITTED) && bit(ctrl, FAILED)));
        g_assert(bit(ctrl, COMMIT) || !bit(ctrl, COMMITTED | FAILED));
        /* Committed in order, without a gap */
        g_assert(more || !bit(ctrl, COMMITTED));
        more = bit(ctrl, COMMITTED);
        g_assert(n < hdm->count || (!ctrl && !v->decodes[n]));
        if (!v->decodes[n]) {
            continue;
        }
        g_assert(bit(ctrl, COMMITTED));
        /* What was allowed is decoded, in the window, apart, in the memory */
        g_assert(!memcmp(r, &w->allowed[n], sizeof(*r)));
        g_assert(r->base >= w->first && r->base + r->size <= w->end);
        g_assert(r->base >= above && r->dpa >= dpa);
        g_assert(r->dpa + r->size <= hdm->capacity);
        above = r->base + r->size;
        dpa = r->dpa + r->size;
    }
}

/* A decoder that was locked is what it was */
static void check_locked(const View *before, const View *after)
{
    unsigned n;

    for (n = 0; n < HDM_DECODE_MAX; n++) {
        size_t at = VFIO_CXL_HDM_REG(DECODER0_BASE_LO) +
                    n * VFIO_CXL_HDM_DECODER_STRIDE;

        if (before->locked[n]) {
            g_assert(!memcmp(before->registers + at, after->registers + at,
                             VFIO_CXL_HDM_DECODER_STRIDE));
        }
    }
}

/* CXL r3.1 Section 8.2.4.20.7: LOCK_ON_COMMIT counts at the commit */
static void track_locks(const View *before, View *now)
{
    unsigned n;

    for (n = 0; n < HDM_DECODE_MAX; n++) {
        uint32_t ctrl = control(now, n);

        now->locked[n] = bit(ctrl, COMMITTED) &&
                         (bit(control(before, n), COMMITTED)
                          ? before->locked[n] : bit(ctrl, LOCK));
    }
}

static void step(VFIOCXLHdm *hdm, Window *w, const uint8_t *in, View *now)
{
    View before = *now;
    unsigned size = in[1] % 8 + 1;
    uint64_t offset = lduw_le_p(in + 2) & 0x1ff;
    uint64_t value = ldq_le_p(in + 4);
    bool guest = false;
    unsigned n;

    w->changes = 0;
    switch (in[0] % 8) {
    case 0:
        vfio_cxl_hdm_reset(hdm);
        break;
    case 1:
        /* In ascending order, as its callers have to */
        n = in[1] % (HDM_DECODE_MAX + 2);
        if (n >= hdm->count || !bit(control(&before, n), COMMITTED)) {
            vfio_cxl_hdm_firmware_commit(hdm, n, value & 0x7ffff0000000,
                                         (uint64_t)in[2] << 28,
                                         (uint64_t)(in[3] & 7) << 28, value);
        }
        break;
    case 2:
        vfio_cxl_hdm_read(hdm, offset, size);
        g_assert(!w->changes);
        break;
    case 3:
        vfio_cxl_hdm_disable(hdm);
        g_assert(!vfio_cxl_hdm_enabled(hdm));
        break;
    default:
        guest = true;
        size = 1 << size % 4;
        vfio_cxl_hdm_write(hdm, offset, value, size);
        break;
    }

    look(hdm, now);
    check(hdm, w, now);
    track_locks(&before, now);
    if (guest) {
        check_locked(&before, now);
        g_assert(size >= 4 || !memcmp(before.registers, now->registers,
                                      sizeof(now->registers)));
    }
    if (memcmp(before.decodes, now->decodes, sizeof(now->decodes)) ||
        memcmp(before.ranges, now->ranges, sizeof(now->ranges))) {
        g_assert(w->changes);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    VFIOCXLHdm hdm;
    Window w = { 0 };
    View view;

    if (size < HEADER || !vfio_cxl_hdm_decoder_count(data[0])) {
        return 0;
    }
    w.first = (uint64_t)data[2] << 28;
    w.end = w.first + ((uint64_t)data[3] << 28);
    vfio_cxl_hdm_init(&hdm, data[0], (uint64_t)data[1] << 28, &ops, &w);
    look(&hdm, &view);
    for (data += HEADER, size -= HEADER; size >= STEP;
         data += STEP, size -= STEP) {
        step(&hdm, &w, data, &view);
    }
    return 0;
}
