/*
 * HDM decoders of a CXL host bridge that firmware committed
 *
 * Linux assembles a region for an endpoint decoder that it finds committed only
 * where the decoder of the host bridge above covers the same range.  Whoever
 * plays firmware for the endpoint has to play it for the bridge as well.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/cxl/cxl.h"

#define DECODER_STRIDE \
    (R_CXL_HDM_DECODER1_BASE_LO - R_CXL_HDM_DECODER0_BASE_LO)

/* CXL r3.1 Section 8.2.4.20.7: what both ends of a link have to agree on */
#define CTRL_FIRMWARE (R_CXL_HDM_DECODER0_CTRL_IG_MASK | \
                       R_CXL_HDM_DECODER0_CTRL_TYPE_MASK | \
                       R_CXL_HDM_DECODER0_CTRL_BI_MASK)

/* Register @reg of decoder 0, for decoder @n */
static uint32_t *decoder_reg(uint32_t *regs, unsigned n, unsigned reg)
{
    return regs + reg + n * DECODER_STRIDE;
}

static uint32_t decoder_read(const CXLHost *host, unsigned n, unsigned reg)
{
    return ldl_le_p(host->cxl_cstate.crb.cache_mem_registers + reg +
                    n * DECODER_STRIDE);
}

/* Base and size are in units of 256 MiB, the registers have no bits below */
static uint64_t decoder_read_pair(const CXLHost *host, unsigned n,
                                  unsigned low)
{
    return (decoder_read(host, n, low) & R_CXL_HDM_DECODER0_BASE_LO_L_MASK) |
           (uint64_t)decoder_read(host, n, low + 1) << 32;
}

static void decoders_changed(CXLHost *host)
{
    notifier_list_notify(&host->cxl_cstate.hdm_notifiers, NULL);
}

static void decoder_program(CXLHost *host, unsigned n,
                            const CXLHostFirmwareDecoder *decoder)
{
    uint32_t *regs = host->cxl_cstate.crb.cache_mem_registers;
    uint32_t *mask = host->cxl_cstate.crb.cache_mem_regs_write_mask;
    uint32_t ctrl = decoder->ctrl & CTRL_FIRMWARE;

    ctrl = FIELD_DP32(ctrl, CXL_HDM_DECODER0_CTRL, LOCK_ON_COMMIT, 1);
    ctrl = FIELD_DP32(ctrl, CXL_HDM_DECODER0_CTRL, COMMIT, 1);
    ctrl = FIELD_DP32(ctrl, CXL_HDM_DECODER0_CTRL, COMMITTED, 1);

    stl_le_p(decoder_reg(regs, n, R_CXL_HDM_DECODER0_BASE_LO),
             extract64(decoder->base, 0, 32));
    stl_le_p(decoder_reg(regs, n, R_CXL_HDM_DECODER0_BASE_HI),
             extract64(decoder->base, 32, 32));
    stl_le_p(decoder_reg(regs, n, R_CXL_HDM_DECODER0_SIZE_LO),
             extract64(decoder->size, 0, 32));
    stl_le_p(decoder_reg(regs, n, R_CXL_HDM_DECODER0_SIZE_HI),
             extract64(decoder->size, 32, 32));
    stl_le_p(decoder_reg(regs, n, R_CXL_HDM_DECODER0_TARGET_LIST_LO),
             decoder->target);
    stl_le_p(decoder_reg(regs, n, R_CXL_HDM_DECODER0_TARGET_LIST_HI), 0);
    stl_le_p(decoder_reg(regs, n, R_CXL_HDM_DECODER0_CTRL), ctrl);

    /* CXL r3.1 Section 8.2.4.20.13: locked, so read-only as a whole */
    memset(decoder_reg(mask, n, R_CXL_HDM_DECODER0_BASE_LO), 0,
           DECODER_STRIDE * sizeof(*mask));
}

bool cxl_host_decoder_is_free(const CXLHost *host, unsigned n)
{
    uint32_t ctrl = decoder_read(host, n, R_CXL_HDM_DECODER0_CTRL);

    return host->firmware_decoders[n].size ||
           !FIELD_EX32(ctrl, CXL_HDM_DECODER0_CTRL, COMMITTED);
}

void cxl_host_firmware_commit(CXLHost *host, unsigned n,
                              const CXLHostFirmwareDecoder *decoder)
{
    assert(n < ARRAY_SIZE(host->firmware_decoders));
    host->firmware_decoders[n] = *decoder;
    decoder_program(host, n, decoder);
    decoders_changed(host);
}

void cxl_host_firmware_release(CXLHost *host, unsigned n)
{
    uint32_t *regs = host->cxl_cstate.crb.cache_mem_registers;
    uint32_t *mask = host->cxl_cstate.crb.cache_mem_regs_write_mask;
    g_autofree uint32_t *fresh_regs = NULL;
    g_autofree uint32_t *fresh_mask = NULL;

    assert(n < ARRAY_SIZE(host->firmware_decoders));
    if (!host->firmware_decoders[n].size) {
        return;
    }
    host->firmware_decoders[n] = (CXLHostFirmwareDecoder) { 0 };

    /* What this decoder looks like after a reset, write mask included */
    fresh_regs = g_malloc0(CXL2_COMPONENT_CM_REGION_SIZE);
    fresh_mask = g_malloc0(CXL2_COMPONENT_CM_REGION_SIZE);
    cxl_component_register_init_common(fresh_regs, fresh_mask, CXL2_RC);
    memcpy(decoder_reg(regs, n, R_CXL_HDM_DECODER0_BASE_LO),
           decoder_reg(fresh_regs, n, R_CXL_HDM_DECODER0_BASE_LO),
           DECODER_STRIDE * sizeof(*regs));
    memcpy(decoder_reg(mask, n, R_CXL_HDM_DECODER0_BASE_LO),
           decoder_reg(fresh_mask, n, R_CXL_HDM_DECODER0_BASE_LO),
           DECODER_STRIDE * sizeof(*mask));
    decoders_changed(host);
}

void cxl_host_firmware_restore(CXLHost *host)
{
    unsigned n;

    for (n = 0; n < ARRAY_SIZE(host->firmware_decoders); n++) {
        if (host->firmware_decoders[n].size) {
            decoder_program(host, n, &host->firmware_decoders[n]);
        }
    }
    decoders_changed(host);
}

bool cxl_host_decodes(const CXLHost *host, uint64_t base, uint64_t size,
                      uint8_t target)
{
    unsigned n;

    for (n = 0; n < CXL_HDM_DECODER_COUNT; n++) {
        uint32_t ctrl = decoder_read(host, n, R_CXL_HDM_DECODER0_CTRL);
        uint32_t targets = decoder_read(host, n,
                                        R_CXL_HDM_DECODER0_TARGET_LIST_LO);
        uint64_t from = decoder_read_pair(host, n, R_CXL_HDM_DECODER0_BASE_LO);
        uint64_t span = decoder_read_pair(host, n, R_CXL_HDM_DECODER0_SIZE_LO);

        /* Written so that no sum of what the guest wrote can wrap */
        if (FIELD_EX32(ctrl, CXL_HDM_DECODER0_CTRL, COMMITTED) &&
            base >= from && size <= span && base - from <= span - size) {
            return !FIELD_EX32(ctrl, CXL_HDM_DECODER0_CTRL, IW) &&
                   extract32(targets, 0, 8) == target;
        }
    }
    return false;
}

void cxl_host_add_decode_notifier(CXLHost *host, Notifier *notifier)
{
    notifier_list_add(&host->cxl_cstate.hdm_notifiers, notifier);
}
