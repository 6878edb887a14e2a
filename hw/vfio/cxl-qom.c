/*
 * What a CXL device shows of itself to whoever looks into QEMU
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "cxl-qom.h"

static void get_contract(Object *obj, Visitor *v, const char *name,
                         void *opaque, Error **errp)
{
    VFIOCXLQom *qom = opaque;
    char *value = (char *)vfio_cxl_contract_name(qom->layout->contract);

    visit_type_str(v, name, &value, errp);
}

static void get_mode(Object *obj, Visitor *v, const char *name, void *opaque,
                     Error **errp)
{
    VFIOCXLQom *qom = opaque;
    char *value = (char *)qom->mode;

    visit_type_str(v, name, &value, errp);
}

static void get_memory_size(Object *obj, Visitor *v, const char *name,
                            void *opaque, Error **errp)
{
    VFIOCXLQom *qom = opaque;
    uint64_t value = qom->layout->mem_size;

    visit_type_size(v, name, &value, errp);
}

static void get_memory_open(Object *obj, Visitor *v, const char *name,
                            void *opaque, Error **errp)
{
    VFIOCXLQom *qom = opaque;
    bool value = qom->mem->open;

    visit_type_bool(v, name, &value, errp);
}

static void get_bridge(Object *obj, Visitor *v, const char *name, void *opaque,
                       Error **errp)
{
    VFIOCXLQom *qom = opaque;
    char *value = (char *)(qom->topo->passthrough ? "pass-through"
                                                  : "decoders");

    visit_type_str(v, name, &value, errp);
}

static void get_window(Object *obj, Visitor *v, const char *name, void *opaque,
                       Error **errp)
{
    VFIOCXLQom *qom = opaque;
    const CXLFixedWindow *window = qom->topo->window;
    g_autofree char *id = vfio_cxl_topology_window_name(window);
    uint64_t base = window->base, size = window->size;

    if (!visit_start_struct(v, name, NULL, 0, errp)) {
        return;
    }
    if (visit_type_str(v, "name", &id, errp) &&
        visit_type_uint64(v, "base", &base, errp) &&
        visit_type_uint64(v, "size", &size, errp)) {
        visit_check_struct(v, errp);
    }
    visit_end_struct(v, NULL);
}

static bool visit_decoder(Visitor *v, const VFIOCXLQom *qom, unsigned n,
                          Error **errp)
{
    const VFIOCXLHdmDecoder *d = &qom->hdm->decoders[n];
    bool committed = FIELD_EX32(d->ctrl, VFIO_CXL_HDM_DECODER0_CTRL, COMMITTED);
    bool locked = vfio_cxl_hdm_locked(qom->hdm, n);
    /* Of a committed one what it was committed with, else what is written */
    uint64_t base = committed ? d->active.base : d->base;
    uint64_t size = committed ? d->active.size : d->size;
    uint64_t dpa = d->active.dpa;
    char *state = (char *)vfio_cxl_memory_state(qom->mem, n);

    return visit_type_str(v, "state", &state, errp) &&
           visit_type_bool(v, "locked", &locked, errp) &&
           visit_type_uint64(v, "base", &base, errp) &&
           visit_type_uint64(v, "size", &size, errp) &&
           visit_type_uint64(v, "dpa", &dpa, errp) &&
           visit_check_struct(v, errp);
}

static void get_decoders(Object *obj, Visitor *v, const char *name,
                         void *opaque, Error **errp)
{
    VFIOCXLQom *qom = opaque;
    unsigned n;
    bool ok = true;

    if (!visit_start_list(v, name, NULL, 0, errp)) {
        return;
    }
    for (n = 0; ok && n < qom->hdm->count; n++) {
        ok = visit_start_struct(v, NULL, NULL, 0, errp);
        if (ok) {
            ok = visit_decoder(v, qom, n, errp);
            visit_end_struct(v, NULL);
        }
    }
    if (ok) {
        visit_check_list(v, errp);
    }
    visit_end_list(v, NULL);
}

static const struct {
    const char *name;
    const char *type;
    ObjectPropertyAccessor *get;
    const char *description;
} qom_properties[] = {
    { "x-cxl-contract", "str", get_contract,
      "Generation of the kernel interface (live/shadow)" },
    { "x-cxl-mode", "str", get_mode,
      "Who programs the HDM decoders (locked/guest)" },
    { "x-cxl-memory-size", "size", get_memory_size,
      "Device memory in bytes" },
    { "x-cxl-memory-open", "bool", get_memory_open,
      "Whether the device lets its memory be used now" },
    { "x-cxl-bridge", "str", get_bridge,
      "What the host bridge above does (pass-through/decoders)" },
    { "x-cxl-window", "VFIOCXLWindow", get_window,
      "The fixed memory window" },
    { "x-cxl-hdm-decoders", "VFIOCXLDecoderList", get_decoders,
      "The HDM decoders that the guest sees" },
};

void vfio_cxl_qom_add(VFIOCXLQom *qom, Object *obj)
{
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(qom_properties); i++) {
        object_property_add(obj, qom_properties[i].name, qom_properties[i].type,
                            qom_properties[i].get, NULL, NULL, qom);
        object_property_set_description(obj, qom_properties[i].name,
                                        qom_properties[i].description);
    }
}

void vfio_cxl_qom_del(VFIOCXLQom *qom, Object *obj)
{
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(qom_properties); i++) {
        object_property_del(obj, qom_properties[i].name);
    }
}
