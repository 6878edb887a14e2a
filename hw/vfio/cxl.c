/*
 * CXL Type-2 devices behind vfio-pci and vfio-user-pci
 *
 * The kernel keeps the physical HDM decoders to itself.  The guest gets
 * decoders of QEMU's (cxl-hdm.c) in an overlay over the component registers
 * (cxl-regs.c), and what these decode becomes an alias of the device's memory
 * (cxl-memory.c) inside the CXL fixed memory window that the device sits below
 * (cxl-topology.c).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/range.h"
#include "qapi/error.h"
#include "qapi/qapi-visit-vfio.h"
#include "hw/cxl/cxl_host_decoder.h"
#include "hw/vfio/vfio-container.h"
#include "migration/blocker.h"
#include "system/system.h"
#include "cxl-config.h"
#include "cxl-contract.h"
#include "cxl-firmware.h"
#include "cxl-hdm.h"
#include "cxl-info.h"
#include "cxl-memory.h"
#include "cxl-regs.h"
#include "cxl-topology.h"
#include "pci.h"
#include "trace.h"
#include "vfio-cxl.h"

struct VFIOCXL {
    VFIOPCIDevice *vdev;
    VfioCxlDecoders mode;
    VFIOCXLLayout layout;
    VFIOCXLTopology topo;
    VFIOCXLHdm hdm;
    VFIOCXLRegs regs;
    VFIOCXLMemory mem;
    VFIOCXLFirmware firmware;   /* locked mode only */
    VFIOCXLConfig config;
    Notifier bridge_changed;
    Notifier machine_done;
    Notifier exit;
    Error *migration_blocker;
};

static int vfio_cxl_get_mode(Object *obj, Error **errp)
{
    return VFIO_PCI_DEVICE(obj)->cxl_mode;
}

static void vfio_cxl_set_mode(Object *obj, int mode, Error **errp)
{
    if (DEVICE(obj)->realized) {
        error_setg(errp, "x-cxl-decoders cannot change once the device is "
                   "realized");
        return;
    }
    VFIO_PCI_DEVICE(obj)->cxl_mode = mode;
}

void vfio_cxl_class_init(ObjectClass *klass)
{
    object_class_property_add_enum(klass, "x-cxl-decoders", "VfioCxlDecoders",
                                   &VfioCxlDecoders_lookup, vfio_cxl_get_mode,
                                   vfio_cxl_set_mode);
    object_class_property_set_description(klass, "x-cxl-decoders",
                                          "Who programs the CXL HDM decoders "
                                          "(auto/locked/guest/off)");
}

static void vfio_cxl_get_info(Object *obj, Visitor *v, const char *name,
                              void *opaque, Error **errp)
{
    VFIOCXL *cxl = opaque;
    VfioCxlInfo *info = vfio_cxl_info(&cxl->mem, cxl->mode);

    visit_type_VfioCxlInfo(v, name, &info, errp);
    qapi_free_VfioCxlInfo(info);
}

static void vfio_cxl_bridge_changed(Notifier *notifier, void *data)
{
    vfio_cxl_memory_update(&container_of(notifier, VFIOCXL,
                                         bridge_changed)->mem);
}

static const char *vfio_cxl_validate_commit(void *opaque, unsigned n,
                                            const VFIOCXLHdmRange *range)
{
    VFIOCXL *cxl = opaque;
    CXLFixedWindow *window = cxl->topo.window;
    Range in = range_empty, out = range_empty;
    const char *why = NULL;

    range_init_nofail(&in, range->base, range->size);
    range_init_nofail(&out, window->base, window->size);
    if (!range_contains_range(&out, &in)) {
        why = "it is not inside the window";
    } else if (range->dpa < cxl->layout.mem_dpa) {
        why = "it begins before the memory that the kernel gives";
    }
    trace_vfio_cxl_validate_commit(cxl->vdev->vbasedev.name, n, range->base,
                                   range->size, range->dpa, why ?: "valid");
    return why;
}

static void vfio_cxl_refused(void *opaque, unsigned n, const char *why)
{
    VFIOCXL *cxl = opaque;

    trace_vfio_cxl_refused(cxl->vdev->vbasedev.name, n, why);
}

static void vfio_cxl_decoders_changed(void *opaque)
{
    VFIOCXL *cxl = opaque;

    vfio_cxl_memory_update(&cxl->mem);
}

static const VFIOCXLHdmOps vfio_cxl_hdm_ops = {
    .validate_commit = vfio_cxl_validate_commit,
    .refused = vfio_cxl_refused,
    .changed = vfio_cxl_decoders_changed,
};

static void vfio_cxl_write_back(VFIOCXL *cxl)
{
    Error *err = NULL;

    if (cxl->config.dvsec &&
        !vfio_cxl_config_write_back(&cxl->config, VFIO_CXL_WRITE_BACK_MS,
                                    &err)) {
        error_reportf_err(err, VFIO_MSG_PREFIX, cxl->vdev->vbasedev.name);
    }
}

void vfio_cxl_pre_reset(VFIOPCIDevice *vdev)
{
    if (vdev->cxl) {
        vfio_cxl_write_back(vdev->cxl);
    }
}

/*
 * QEMU ends, by quit, by SIGTERM or because the guest has: nothing unrealizes
 * the device, and the kernel's reset does not write its caches back.
 */
static void vfio_cxl_at_exit(Notifier *notifier, void *data)
{
    vfio_cxl_write_back(container_of(notifier, VFIOCXL, exit));
}

static bool vfio_cxl_memory_active(void *opaque)
{
    VFIOCXL *cxl = opaque;

    return vfio_cxl_config_memory_active(&cxl->config);
}

/*
 * What closed the memory may have been a reset, by the guest or the host, which
 * clears the bases in the kernel's copy of the decoders.
 */
static void vfio_cxl_memory_opening(void *opaque)
{
    VFIOCXL *cxl = opaque;
    Error *err = NULL;

    /* In guest mode decoder n of the guest need not be that of the kernel */
    if (vfio_cxl_hdm_locked(&cxl->hdm, 0) &&
        cxl->mode == VFIO_CXL_DECODERS_LOCKED &&
        !vfio_cxl_firmware_set_bases(&cxl->firmware, &err)) {
        error_reportf_err(err, VFIO_MSG_PREFIX, cxl->vdev->vbasedev.name);
    }
}

uint32_t vfio_cxl_config_write_begin(VFIOPCIDevice *vdev, uint32_t addr,
                                     uint32_t val, int len)
{
    VFIOCXL *cxl = vdev->cxl;

    return cxl && cxl->config.dvsec
           ? vfio_cxl_config_before_write(&cxl->config, addr, val, len) : val;
}

void vfio_cxl_config_write_end(VFIOPCIDevice *vdev, uint32_t addr, int len)
{
    VFIOCXL *cxl = vdev->cxl;

    if (cxl && cxl->config.dvsec) {
        vfio_cxl_config_after_write(&cxl->config, addr, len);
    }
}

void vfio_cxl_config_read(VFIOPCIDevice *vdev, uint32_t addr, int len)
{
    VFIOCXL *cxl = vdev->cxl;

    if (cxl && cxl->config.dvsec) {
        vfio_cxl_config_before_read(&cxl->config, addr, len);
    }
}

/* Decoders empty, and in the DVSEC the state of a device that has none */
static void vfio_cxl_reset_decoders(VFIOCXL *cxl)
{
    vfio_cxl_hdm_reset(&cxl->hdm);
    vfio_cxl_config_reset(&cxl->config, 0, cxl->mode == VFIO_CXL_DECODERS_GUEST
                                           ? cxl->layout.mem_size : 0, false);
}

/*
 * Bring decoders, Mem_Enable and ranges into the state in which a guest finds
 * them: everything that firmware committed, or nothing.
 */
static bool vfio_cxl_init_decoders(VFIOCXL *cxl, Error **errp)
{
    vfio_cxl_reset_decoders(cxl);
    if (cxl->mode != VFIO_CXL_DECODERS_LOCKED) {
        return true;
    }
    if (!vfio_cxl_firmware_commit(&cxl->firmware, errp)) {
        vfio_cxl_reset_decoders(cxl);
        vfio_cxl_firmware_release(&cxl->firmware);
        return false;
    }
    vfio_cxl_config_reset(&cxl->config, cxl->topo.window->base,
                          vfio_cxl_firmware_size(&cxl->layout), true);
    return true;
}

void vfio_cxl_reset(VFIOPCIDevice *vdev)
{
    VFIOCXL *cxl = vdev->cxl;
    Error *err = NULL;

    if (!cxl) {
        return;
    }
    if (cxl->config.dvsec) {
        vfio_cxl_config_allow_caching(&cxl->config, true);
    }
    if (cxl->mode == VFIO_CXL_DECODERS_OFF) {
        if (cxl->config.dvsec) {
            vfio_cxl_config_reset(&cxl->config, 0, 0, false);
        }
        return;
    }
    if (!vfio_cxl_init_decoders(cxl, &err)) {
        error_reportf_err(err, VFIO_MSG_PREFIX, vdev->vbasedev.name);
    }
    /* There are kernels whose memory does not wait for memory space */
    vfio_cxl_config_ask_memory(&cxl->config);
}

/* Bytes that the window has to hold */
static uint64_t vfio_cxl_window_need(const VFIOCXL *cxl)
{
    return cxl->mode == VFIO_CXL_DECODERS_LOCKED
           ? vfio_cxl_firmware_size(&cxl->layout) : cxl->layout.mem_size;
}

/* Ports and functions may have come after this device: look again */
static void vfio_cxl_machine_done(Notifier *notifier, void *data)
{
    VFIOCXL *cxl = container_of(notifier, VFIOCXL, machine_done);
    PCIDevice *pdev = PCI_DEVICE(cxl->vdev);
    VFIOCXLTopology topo;
    Error *err = NULL;

    if (!vfio_cxl_topology_find(pdev, vfio_cxl_window_need(cxl), &topo, &err)) {
        error_reportf_err(err, VFIO_MSG_PREFIX, cxl->vdev->vbasedev.name);
        exit(EXIT_FAILURE);
    }
}

static bool vfio_cxl_choose_mode(VFIOCXL *cxl, Error **errp)
{
    ERRP_GUARD();
    cxl->mode = cxl->vdev->cxl_mode;
    if (cxl->mode == VFIO_CXL_DECODERS_AUTO) {
        cxl->mode = cxl->layout.by_firmware ? VFIO_CXL_DECODERS_LOCKED
                                            : VFIO_CXL_DECODERS_GUEST;
    }
    if (cxl->mode == VFIO_CXL_DECODERS_LOCKED && !cxl->layout.committed) {
        error_setg(errp, "CXL: x-cxl-decoders=locked, but the host's firmware "
                   "committed none of the %u decoders, expected at least "
                   "decoder 0", cxl->layout.decoder_count);
        error_append_hint(errp, "Use x-cxl-decoders=guest.\n");
        return false;
    }
    return true;
}

/* An overlay over [@start, +@size) must not take the guest's MSI-X from it */
static bool vfio_cxl_check_msix(const VFIOCXL *cxl, uint64_t start,
                                uint64_t size, Error **errp)
{
    ERRP_GUARD();
    const VFIOCXLLayout *layout = &cxl->layout;
    const VFIOMSIXInfo *msix = cxl->vdev->msix;

    if (msix &&
        ((msix->table_bar == layout->bar &&
          ranges_overlap(msix->table_offset,
                         msix->entries * PCI_MSIX_ENTRY_SIZE, start, size)) ||
         (msix->pba_bar == layout->bar &&
          ranges_overlap(msix->pba_offset,
                         DIV_ROUND_UP(msix->entries, 64) * 8, start, size)))) {
        error_setg(errp, "CXL: component registers at offset 0x%"PRIx64" of "
                   "BAR %u, 0x%"PRIx64" bytes, overlap the MSI-X table or "
                   "pending bits, expected them apart",
                   layout->regs_bar_offset, layout->bar, layout->regs_size);
        error_append_hint(errp, "x-msix-relocation= moves these to another "
                          "BAR.\n");
        return false;
    }
    return true;
}

static void vfio_cxl_warn_surplus(const VFIOCXL *cxl)
{
    const CXLFixedWindow *window = cxl->topo.window;
    uint64_t need = vfio_cxl_window_need(cxl);
    g_autofree char *name = vfio_cxl_topology_window_name(window);
    g_autofree char *found = vfio_cxl_topology_size(window->size);
    g_autofree char *want = vfio_cxl_topology_size(need);

    if (window->size != need) {
        warn_report(VFIO_MSG_PREFIX "CXL: window %s has %s, the device needs "
                    "%s; the rest stays empty and is part of what a guest "
                    "sees, set %s.size=%s", cxl->vdev->vbasedev.name, name,
                    found, want, name, want);
    }
}

/* Linux looks for a decoder of the bridge that says the same */
static void vfio_cxl_warn_passthrough(const VFIOCXL *cxl)
{
    if (cxl->mode == VFIO_CXL_DECODERS_LOCKED && cxl->topo.passthrough) {
        const char *id = vfio_cxl_topology_label(cxl->topo.bridge);

        warn_report(VFIO_MSG_PREFIX "CXL: the decoders are locked and the host "
                    "bridge '%s' has none that match, so a Linux guest will "
                    "not use the memory; set hdm_for_passthrough=on on '%s', "
                    "or x-cxl-decoders=guest",
                    cxl->vdev->vbasedev.name, id, id);
    }
}

/*
 * The device is refused, @err goes to @errp.  Where its decoders can be hidden
 * x-cxl-decoders=off still gives the guest a plain PCI device.
 */
static void vfio_cxl_refuse_device(VFIOCXL *cxl, Error *err, Error **errp)
{
    VFIOCXLLayout layout;

    if (vfio_cxl_contract_find_regs(&cxl->vdev->vbasedev, &layout, NULL)) {
        error_append_hint(&err, "x-cxl-decoders=off uses the device as a plain "
                          "PCI device.\n");
    }
    error_propagate(errp, err);
}

/* What the kernel says of the device, and the DVSEC that it has */
static bool vfio_cxl_read_device(VFIOCXL *cxl, Error **errp)
{
    VFIOCXLLayout *layout = &cxl->layout;
    Error *err = NULL;

    if (vfio_cxl_contract_read(&cxl->vdev->vbasedev, layout, &err)) {
        cxl->config.dvsec = vfio_cxl_config_find_dvsec(PCI_DEVICE(cxl->vdev),
                                                       &err);
    }
    if (err) {
        vfio_cxl_refuse_device(cxl, err, errp);
        return false;
    }
    return vfio_cxl_check_msix(cxl, layout->regs_bar_offset, layout->regs_size,
                               errp);
}

/* Mode, port, bridge and window, and what firmware commits there */
static bool vfio_cxl_check_topology(VFIOCXL *cxl, Error **errp)
{
    if (!vfio_cxl_choose_mode(cxl, errp) ||
        !vfio_cxl_topology_find(PCI_DEVICE(cxl->vdev),
                                vfio_cxl_window_need(cxl), &cxl->topo, errp)) {
        return false;
    }
    trace_vfio_cxl_check_topology(cxl->vdev->vbasedev.name,
                                  VfioCxlDecoders_str(cxl->mode),
                                  cxl->topo.window->index,
                                  cxl->topo.window->base,
                                  cxl->topo.window->size,
                                  cxl->topo.passthrough);
    if (cxl->mode != VFIO_CXL_DECODERS_LOCKED) {
        return true;
    }
    cxl->firmware = (VFIOCXLFirmware) {
        .vbasedev = &cxl->vdev->vbasedev,
        .layout = &cxl->layout,
        .topo = &cxl->topo,
        .hdm = &cxl->hdm,
    };
    return vfio_cxl_firmware_merge(&cxl->firmware, errp);
}

/* Decoders, ranges, migration blocker and memory; the overlay comes last */
static bool vfio_cxl_realize_memory(VFIOCXL *cxl, Error **errp)
{
    VFIODevice *vbasedev = &cxl->vdev->vbasedev;
    Error *err = NULL;

    vfio_cxl_hdm_init(&cxl->hdm, cxl->layout.hdm_capability,
                      cxl->layout.mem_dpa + cxl->layout.mem_size,
                      &vfio_cxl_hdm_ops, cxl);
    cxl->mem = (VFIOCXLMemory) {
        .vdev = cxl->vdev,
        .layout = &cxl->layout,
        .topo = &cxl->topo,
        .hdm = &cxl->hdm,
        .active = vfio_cxl_memory_active,
        .opening = vfio_cxl_memory_opening,
        .opaque = cxl,
    };
    cxl->config.vdev = cxl->vdev;
    cxl->config.cache_capable = cxl->layout.cache_capable;
    cxl->config.guest_owned = cxl->mode == VFIO_CXL_DECODERS_GUEST;
    cxl->config.mem = &cxl->mem;
    cxl->config.hdm = &cxl->hdm;
    vfio_cxl_config_init(&cxl->config);
    /* Every reset does this again; here it can still be refused */
    if (!vfio_cxl_init_decoders(cxl, &err)) {
        vfio_cxl_refuse_device(cxl, err, errp);
        return false;
    }

    error_setg(&cxl->migration_blocker, VFIO_MSG_PREFIX
               "the memory of a CXL device cannot be migrated",
               vbasedev->name);
    if (migrate_add_blocker(&cxl->migration_blocker, errp) < 0) {
        return false;
    }
    if (!vfio_cxl_memory_setup(&cxl->mem, errp)) {
        migrate_del_blocker(&cxl->migration_blocker);
        return false;
    }
    return true;
}

/* Lay the overlay over [@start, ...) of the BAR that has the registers */
static void vfio_cxl_add_overlay(VFIOCXL *cxl, uint64_t start)
{
    memory_region_add_subregion_overlap(cxl->vdev->bars[cxl->layout.bar].mr,
                                        start, &cxl->regs.mr, 1);
}

/*
 * A plain PCI device, without its memory.  The physical decoders must not be
 * the guest's for that: the page that they stand in is hidden.
 */
static bool vfio_cxl_setup_plain(VFIOCXL *cxl, Error **errp)
{
    ERRP_GUARD();
    VFIOPCIDevice *vdev = cxl->vdev;
    VFIOCXLLayout *layout = &cxl->layout;
    uint64_t start, end;

    cxl->mode = VFIO_CXL_DECODERS_OFF;
    if (!vfio_cxl_contract_find_regs(&vdev->vbasedev, layout, errp)) {
        error_append_hint(errp, "Without that the physical decoders cannot be "
                          "hidden from the guest.\n");
        return false;
    }
    start = ROUND_DOWN(layout->regs_bar_offset, CXL2_COMPONENT_CM_REGION_SIZE);
    end = MIN(ROUND_UP(layout->regs_bar_offset + layout->regs_size,
                       CXL2_COMPONENT_CM_REGION_SIZE),
              vdev->bars[layout->bar].region.size);
    if (!vfio_cxl_check_msix(cxl, start, end - start, errp)) {
        return false;
    }
    vfio_cxl_regs_init_hidden(&cxl->regs, OBJECT(vdev), &vdev->vbasedev,
                              end - start);
    vfio_cxl_add_overlay(cxl, start);

    cxl->config.vdev = vdev;
    cxl->config.cache_capable = layout->cache_capable;
    cxl->config.dvsec = vfio_cxl_config_find_dvsec(PCI_DEVICE(vdev), NULL);
    if (cxl->config.dvsec) {
        vfio_cxl_config_init(&cxl->config);
    }
    trace_vfio_cxl_setup_plain(vdev->vbasedev.name, layout->bar, start,
                               end - start);
    return true;
}

/*
 * A machine that ran before the kernel knew of CXL runs after it does: nobody
 * asked for CXL where the device has no place for it, or no memory.
 */
static bool vfio_cxl_is_plain(VFIOCXL *cxl)
{
    VFIOPCIDevice *vdev = cxl->vdev;
    Error *err = NULL;

    if (vdev->cxl_mode != VFIO_CXL_DECODERS_AUTO) {
        return vdev->cxl_mode == VFIO_CXL_DECODERS_OFF;
    }
    if (!vfio_cxl_topology_is_cxl(PCI_DEVICE(vdev), &err)) {
        warn_report(VFIO_MSG_PREFIX "%s; used as a plain PCI device without "
                    "its CXL memory, x-cxl-decoders=off says that this is "
                    "meant", vdev->vbasedev.name, error_get_pretty(err));
        error_free(err);
        return true;
    }
    if (!vfio_cxl_contract_has_memory(&vdev->vbasedev)) {
        warn_report(VFIO_MSG_PREFIX "CXL: the kernel flags the device as CXL "
                    "but gives no CXL memory region, expected one; used as a "
                    "plain PCI device, a kernel that gives the memory is "
                    "needed for more", vdev->vbasedev.name);
        return true;
    }
    return false;
}

/* A device with memory, whose decoders the guest sees */
static bool vfio_cxl_setup_memory(VFIOCXL *cxl, Error **errp)
{
    VFIOPCIDevice *vdev = cxl->vdev;
    VFIODevice *vbasedev = &vdev->vbasedev;
    VFIOCXLLayout *layout = &cxl->layout;

    if (!vfio_cxl_read_device(cxl, errp)) {
        return false;
    }
    trace_vfio_cxl_setup(vbasedev->name,
                         VfioCxlContract_str(layout->contract), layout->bar,
                         layout->regs_bar_offset + layout->hdm_offset,
                         layout->decoder_count, layout->committed,
                         layout->mem_size);
    /* Behind these two nothing fails */
    if (!vfio_cxl_check_topology(cxl, errp)) {
        return false;
    }
    if (!vfio_cxl_realize_memory(cxl, errp)) {
        vfio_cxl_firmware_release(&cxl->firmware);
        return false;
    }
    cxl->bridge_changed.notify = vfio_cxl_bridge_changed;
    cxl_host_add_decode_notifier(cxl->topo.host, &cxl->bridge_changed);

    vfio_cxl_regs_init(&cxl->regs, OBJECT(vdev), vbasedev, layout, &cxl->hdm);
    vfio_cxl_add_overlay(cxl, layout->regs_bar_offset);
    vfio_cxl_warn_surplus(cxl);
    vfio_cxl_warn_passthrough(cxl);
    object_property_add(OBJECT(vdev), "x-cxl", "VfioCxlInfo",
                        vfio_cxl_get_info, NULL, NULL, cxl);
    object_property_set_description(OBJECT(vdev), "x-cxl",
                                    "What of its CXL memory the guest finds");

    if (!phase_check(PHASE_MACHINE_READY)) {
        cxl->machine_done.notify = vfio_cxl_machine_done;
        qemu_add_machine_init_done_notifier(&cxl->machine_done);
    }
    return true;
}

bool vfio_cxl_setup(VFIOPCIDevice *vdev, Error **errp)
{
    VFIOCXL *cxl;

    if (!vfio_cxl_contract_present(&vdev->vbasedev)) {
        return true;
    }
    cxl = g_new0(VFIOCXL, 1);
    cxl->vdev = vdev;
    if (vfio_cxl_is_plain(cxl) ? !vfio_cxl_setup_plain(cxl, errp)
                               : !vfio_cxl_setup_memory(cxl, errp)) {
        g_free(cxl);
        return false;
    }
    cxl->exit.notify = vfio_cxl_at_exit;
    qemu_add_exit_notifier(&cxl->exit);
    vdev->cxl = cxl;
    return true;
}

static void vfio_cxl_exit_memory(VFIOCXL *cxl)
{
    object_property_del(OBJECT(cxl->vdev), "x-cxl");
    notifier_remove(&cxl->bridge_changed);
    vfio_cxl_firmware_release(&cxl->firmware);
    if (cxl->machine_done.notify) {
        qemu_remove_machine_init_done_notifier(&cxl->machine_done);
    }
    migrate_del_blocker(&cxl->migration_blocker);
    vfio_cxl_memory_exit(&cxl->mem);
}

void vfio_cxl_exit(VFIOPCIDevice *vdev)
{
    VFIOCXL *cxl = vdev->cxl;

    if (!cxl) {
        return;
    }
    qemu_remove_exit_notifier(&cxl->exit);
    memory_region_del_subregion(vdev->bars[cxl->layout.bar].mr, &cxl->regs.mr);
    if (cxl->mode != VFIO_CXL_DECODERS_OFF) {
        vfio_cxl_exit_memory(cxl);
    }

    /* The kernel resets the device once nobody has it open any more */
    vfio_cxl_write_back(cxl);
    if (cxl->config.dvsec) {
        vfio_cxl_config_allow_caching(&cxl->config, true);
    }
}

void vfio_cxl_finalize(VFIOPCIDevice *vdev)
{
    VFIOCXL *cxl = vdev->cxl;

    if (!cxl) {
        return;
    }
    if (cxl->mode != VFIO_CXL_DECODERS_OFF) {
        vfio_cxl_memory_finalize(&cxl->mem);
    }
    g_clear_pointer(&vdev->cxl, g_free);
}

/* The device whose memory @mr is part of, NULL: there is none */
static VFIOCXL *vfio_cxl_of_memory(MemoryRegion *mr)
{
    Object *owner = memory_region_owner(mr);
    VFIOCXL *cxl;

    if (!memory_region_is_ram_device(mr) || !owner ||
        !object_dynamic_cast(owner, TYPE_VFIO_PCI_DEVICE)) {
        return NULL;
    }
    cxl = VFIO_PCI_DEVICE(owner)->cxl;
    return cxl && vfio_cxl_memory_offset(&cxl->mem, mr) >= 0 ? cxl : NULL;
}

/*
 * A mapping has to end when the kernel closes the memory.  IOMMUFD ends that of
 * a dma-buf, and refuses to pin such pages through a user address; type1 looks
 * them up once, and leaves them in the IOMMU through a reset.  A vfio-user
 * server could be answered access by access; but then it would decide when QEMU
 * touches memory that may just have been closed.
 */
bool vfio_cxl_memory_unmappable(const VFIOContainer *bcontainer,
                                MemoryRegion *mr)
{
    VFIOCXL *cxl = vfio_cxl_of_memory(mr);

    if (!cxl || (bcontainer && cxl->mem.dma_buf >= 0 &&
                 VFIO_IOMMU_GET_CLASS(bcontainer)->dma_map_file)) {
        return false;
    }
    trace_vfio_cxl_memory_unmappable(cxl->vdev->vbasedev.name,
                                     memory_region_name(mr));
    return true;
}

int vfio_cxl_memory_dma_buf(MemoryRegion *mr, const void *vaddr,
                            uint64_t *start)
{
    VFIOCXL *cxl = vfio_cxl_of_memory(mr);

    if (!cxl) {
        return -1;
    }
    *start = vfio_cxl_memory_offset(&cxl->mem, mr) +
             ((const uint8_t *)vaddr -
              (const uint8_t *)memory_region_get_ram_ptr(mr));
    return cxl->mem.dma_buf;
}
