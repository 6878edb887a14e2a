/*
 * What firmware does with the HDM decoders of a CXL device before a guest runs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "hw/cxl/cxl_host_decoder.h"
#include "hw/pci/pcie_port.h"
#include "cxl-firmware.h"
#include "trace.h"

uint64_t vfio_cxl_firmware_size(const VFIOCXLLayout *layout)
{
    uint64_t size = 0;
    unsigned n;

    for (n = 0; n < layout->committed; n++) {
        size += layout->decoders[n].size;
    }
    return size;
}

/* The decoders of the bridge that QEMU is to commit must not be the guest's */
static bool check_bridge(const VFIOCXLFirmware *fw, Error **errp)
{
    ERRP_GUARD();
    const VFIOCXLTopology *topo = fw->topo;
    unsigned n;

    for (n = 0; !topo->passthrough && n < fw->count; n++) {
        if (!cxl_host_decoder_is_free(topo->host, n)) {
            error_setg(errp, "CXL: HDM decoder %u of pxb-cxl '%s' is committed "
                       "by the guest, expected it free", n,
                       vfio_cxl_topology_label(topo->bridge));
            error_append_hint(errp, "Have the guest uncommit it, or set "
                              "x-cxl-decoders=guest.\n");
            return false;
        }
    }
    return true;
}

bool vfio_cxl_firmware_merge(VFIOCXLFirmware *fw, Error **errp)
{
    ERRP_GUARD();
    const VFIOCXLLayout *layout = fw->layout;
    unsigned most = fw->topo->passthrough ? HDM_DECODE_MAX
                                          : CXL_HDM_DECODER_COUNT;
    VFIOCXLHostDecoder *last = NULL;
    unsigned n;

    fw->count = 0;
    for (n = 0; n < layout->committed; n++) {
        const VFIOCXLHostDecoder *from = &layout->decoders[n];

        if (layout->committed > most && last && !from->skip &&
            !((from->ctrl ^ last->ctrl) & VFIO_CXL_HDM_CTRL_FIRMWARE)) {
            last->size += from->size;
        } else {
            last = &fw->decoders[fw->count++];
            *last = *from;
        }
    }
    if (fw->count > most) {
        const char *bridge = vfio_cxl_topology_label(fw->topo->bridge);

        error_setg(errp, "CXL: the host's firmware committed %u decoders, of "
                   "which %u remain where neighbours are merged, expected at "
                   "most the %u that pxb-cxl '%s' has", layout->committed,
                   fw->count, most, bridge);
        error_append_hint(errp, "Set x-cxl-decoders=guest, or "
                          "hdm_for_passthrough=off on '%s'.\n", bridge);
        return false;
    }
    return check_bridge(fw, errp);
}

bool vfio_cxl_firmware_set_bases(const VFIOCXLFirmware *fw, Error **errp)
{
    uint64_t base = fw->topo->window->base;
    unsigned n;

    for (n = 0; n < fw->layout->committed; n++) {
        if (!vfio_cxl_contract_set_base(fw->vbasedev, fw->layout, n, base,
                                        errp)) {
            return false;
        }
        base += fw->layout->decoders[n].size;
    }
    return true;
}

/* Decoder @n, and that of the bridge above, over @base */
static bool commit_decoder(VFIOCXLFirmware *fw, unsigned n, uint64_t base,
                           Error **errp)
{
    const VFIOCXLTopology *topo = fw->topo;
    const VFIOCXLHostDecoder *from = &fw->decoders[n];

    if (!vfio_cxl_hdm_firmware_commit(fw->hdm, n, base, from->size, from->skip,
                                      from->ctrl)) {
        error_setg(errp, "CXL: decoder %u of 0x%"PRIx64" bytes cannot be "
                   "committed at 0x%"PRIx64", expected it to fit the window "
                   "and the memory", n, from->size, base);
        return false;
    }
    if (!topo->passthrough) {
        CXLHostFirmwareDecoder decoder = {
            .base = base,
            .size = from->size,
            .target = PCIE_PORT(topo->port)->port,
            .ctrl = from->ctrl,
        };

        cxl_host_firmware_commit(topo->host, n, &decoder);
    }
    trace_vfio_cxl_firmware_commit(fw->vbasedev->name, n, base, from->size,
                                   !topo->passthrough);
    return true;
}

bool vfio_cxl_firmware_commit(VFIOCXLFirmware *fw, Error **errp)
{
    uint64_t base = fw->topo->window->base;
    unsigned n;

    if (!vfio_cxl_firmware_set_bases(fw, errp)) {
        return false;
    }
    for (n = 0; n < fw->count; n++) {
        if (!commit_decoder(fw, n, base, errp)) {
            return false;
        }
        base += fw->decoders[n].size;
    }
    return true;
}

void vfio_cxl_firmware_release(const VFIOCXLFirmware *fw)
{
    unsigned n;

    /* A bridge that passes everything through has no decoders */
    for (n = 0; n < fw->count && !fw->topo->passthrough; n++) {
        cxl_host_firmware_release(fw->topo->host, n);
    }
}
