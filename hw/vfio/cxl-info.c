/*
 * What QMP can read of a CXL device
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "cxl-info.h"

static VfioCxlDecoder *decoder_info(const VFIOCXLMemory *mem, unsigned n)
{
    const VFIOCXLHdmDecoder *d = &mem->hdm->decoders[n];
    VfioCxlDecoder *info = g_new0(VfioCxlDecoder, 1);
    bool committed = FIELD_EX32(d->ctrl, CXL_HDM_DECODER0_CTRL, COMMITTED);

    info->state = vfio_cxl_memory_state(mem, n);
    info->locked = vfio_cxl_hdm_locked(mem->hdm, n);
    /* Of a committed one what it was committed with, else what is written */
    info->base = committed ? d->active.base : d->base;
    info->size = committed ? d->active.size : d->size;
    info->dpa = d->active.dpa;
    return info;
}

VfioCxlInfo *vfio_cxl_info(const VFIOCXLMemory *mem, VfioCxlDecoders mode)
{
    const CXLFixedWindow *window = mem->topo->window;
    VfioCxlInfo *info = g_new0(VfioCxlInfo, 1);
    unsigned n;

    info->contract = mem->layout->contract;
    info->mode = mode;
    info->memory_size = mem->layout->mem_size;
    info->memory_open = mem->open;
    info->bridge_decoders = !mem->topo->passthrough;
    info->window = g_new0(VfioCxlWindow, 1);
    info->window->name = vfio_cxl_topology_window_name(window);
    info->window->base = window->base;
    info->window->size = window->size;
    for (n = mem->hdm->count; n; n--) {
        QAPI_LIST_PREPEND(info->decoders, decoder_info(mem, n - 1));
    }
    return info;
}
