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
#include "qemu/units.h"
#include "qapi/error.h"
#include "hw/cxl/cxl_host_decoder.h"
#include "hw/pci/pcie_port.h"
#include "migration/blocker.h"
#include "system/system.h"
#include "cxl-contract.h"
#include "cxl-dvsec.h"
#include "cxl-hdm.h"
#include "cxl-memory.h"
#include "cxl-qom.h"
#include "cxl-regs.h"
#include "cxl-topology.h"
#include "pci.h"
#include "trace.h"
#include "vfio-cxl.h"

/*
 * A register in config space that opens and closes the memory: it is closed by
 * a write that sets one of @bits, or where @clears clears them.
 */
typedef struct VFIOCXLGate {
    uint16_t at;                /* 0: the device has none */
    uint16_t bits;
    bool clears;
} VFIOCXLGate;

struct VFIOCXL {
    VFIOPCIDevice *vdev;
    VFIOCXLMode mode;
    VFIOCXLLayout layout;
    VFIOCXLTopology topo;
    VFIOCXLHdm hdm;
    VFIOCXLRegs regs;
    VFIOCXLMemory mem;
    VFIOCXLHostDecoder plan[VFIO_CXL_HDM_MAX_DECODERS];
    unsigned planned;           /* decoders of @plan that firmware commits */
    uint16_t dvsec;             /* CXL Device DVSEC in config space */
    uint8_t af_cap;             /* Advanced Features likewise, 0: none */
    VFIOCXLGate gates[5];
    VFIOCXLWriteBack write_back;
    VFIOCXLQom qom;
    Notifier bridge_changed;
    Notifier machine_done;
    Error *migration_blocker;
};

static const char *const vfio_cxl_mode_names[] = {
    [VFIO_CXL_MODE_AUTO] = "auto",
    [VFIO_CXL_MODE_LOCKED] = "locked",
    [VFIO_CXL_MODE_GUEST] = "guest",
    [VFIO_CXL_MODE_OFF] = "off",
};

static const QEnumLookup vfio_cxl_mode_lookup = {
    .array = vfio_cxl_mode_names,
    .size = ARRAY_SIZE(vfio_cxl_mode_names),
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
    object_class_property_add_enum(klass, "x-cxl-decoders", "VFIOCXLMode",
                                   &vfio_cxl_mode_lookup, vfio_cxl_get_mode,
                                   vfio_cxl_set_mode);
    object_class_property_set_description(klass, "x-cxl-decoders",
                                          "Who programs the CXL HDM decoders "
                                          "(auto/locked/guest/off)");
}

static void vfio_cxl_bridge_changed(Notifier *notifier, void *data)
{
    vfio_cxl_memory_update(&container_of(notifier, VFIOCXL,
                                         bridge_changed)->mem);
}

static const char *vfio_cxl_judge(void *opaque, unsigned n,
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
    trace_vfio_cxl_judge(cxl->vdev->vbasedev.name, n, range->base, range->size,
                         range->dpa, why ?: "it may");
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
    .judge = vfio_cxl_judge,
    .refused = vfio_cxl_refused,
    .changed = vfio_cxl_decoders_changed,
};

void vfio_cxl_pre_reset(VFIOPCIDevice *vdev)
{
    VFIOCXL *cxl = vdev->cxl;
    Error *err = NULL;

    if (!cxl) {
        return;
    }
    if (!vfio_cxl_dvsec_write_back(&vdev->vbasedev, cxl->dvsec,
                                   cxl->layout.cache_capable,
                                   &cxl->write_back, &err)) {
        error_reportf_err(err, VFIO_MSG_PREFIX, vdev->vbasedev.name);
    }
}

/*
 * Tell a kernel that keeps the guest's view where the memory is.  It takes
 * every physical decoder by itself, whatever the guest sees of them.
 */
static bool vfio_cxl_tell_kernel(VFIOCXL *cxl, Error **errp)
{
    uint64_t base = cxl->topo.window->base;
    unsigned n;

    for (n = 0; n < cxl->layout.committed; n++) {
        if (!vfio_cxl_contract_tell_base(&cxl->vdev->vbasedev, &cxl->layout, n,
                                         base, errp)) {
            return false;
        }
        base += cxl->layout.decoders[n].size;
    }
    return true;
}

/*
 * What closed the memory may have been a reset, of the guest's or the host's,
 * after which the kernel does not know any more.
 */
static void vfio_cxl_memory_opening(void *opaque)
{
    VFIOCXL *cxl = opaque;
    Error *err = NULL;

    /* In guest mode the guest's decoders are not the kernel's, one by one */
    if (vfio_cxl_hdm_locked(&cxl->hdm, 0) &&
        cxl->mode == VFIO_CXL_MODE_LOCKED && !vfio_cxl_tell_kernel(cxl, &err)) {
        error_reportf_err(err, VFIO_MSG_PREFIX, cxl->vdev->vbasedev.name);
    }
}

/* Does writing @len bytes @val at @addr set a bit of @mask in register @reg? */
static bool vfio_cxl_written(uint32_t addr, uint32_t val, int len, uint32_t reg,
                             uint32_t mask)
{
    int i;

    for (i = 0; i < 4; i++) {
        uint32_t at = reg + i;

        if (at >= addr && at < addr + len &&
            extract32(val, 8 * (at - addr), 8) & extract32(mask, 8 * i, 8)) {
            return true;
        }
    }
    return false;
}

/* Does that write ask for a reset of the function that it can do? */
static bool vfio_cxl_asks_flr(const VFIOCXL *cxl, uint32_t addr, uint32_t val,
                              int len)
{
    PCIDevice *pdev = PCI_DEVICE(cxl->vdev);
    uint32_t express = pdev->exp.exp_cap;

    if (express && vfio_cxl_written(addr, val, len, express + PCI_EXP_DEVCTL,
                                    PCI_EXP_DEVCTL_BCR_FLR)) {
        return pci_get_long(pdev->config + express + PCI_EXP_DEVCAP) &
               PCI_EXP_DEVCAP_FLR;
    }
    return cxl->af_cap &&
           vfio_cxl_written(addr, val, len, cxl->af_cap + PCI_AF_CTRL,
                            PCI_AF_CTRL_FLR) &&
           pci_get_byte(pdev->config + cxl->af_cap + PCI_AF_CAP) &
           PCI_AF_CAP_FLR;
}

static void vfio_cxl_find_gates(VFIOCXL *cxl)
{
    PCIDevice *pdev = PCI_DEVICE(cxl->vdev);
    VFIOCXLGate *gate = cxl->gates;

    *gate++ = (VFIOCXLGate) { PCI_COMMAND, PCI_COMMAND_MEMORY, true };
    if (pdev->pm_cap) {
        *gate++ = (VFIOCXLGate) {
            pdev->pm_cap + PCI_PM_CTRL, PCI_PM_CTRL_STATE_MASK
        };
    }
    if (pdev->exp.exp_cap) {
        *gate++ = (VFIOCXLGate) {
            pdev->exp.exp_cap + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR
        };
    }
    if (cxl->af_cap) {
        *gate++ = (VFIOCXLGate) { cxl->af_cap + PCI_AF_CTRL, PCI_AF_CTRL_FLR };
    }
    *gate = (VFIOCXLGate) {
        cxl->dvsec + A_DVSEC_CONTROL2, R_DVSEC_CONTROL2_INITIATE_RESET_MASK
    };
}

static bool vfio_cxl_gate_closes(const VFIOCXLGate *gate, uint32_t addr,
                                 uint32_t val, int len)
{
    bool set = vfio_cxl_written(addr, val, len, gate->at, gate->bits);

    return gate->clears ? range_covers_byte(addr, len, gate->at) && !set : set;
}

void vfio_cxl_config_write_begin(VFIOPCIDevice *vdev, uint32_t addr,
                                 uint32_t val, int len)
{
    VFIOCXL *cxl = vdev->cxl;
    unsigned i;

    if (!cxl) {
        return;
    }
    /* Before a CXL reset the write-back is the guest's to ask for */
    if (vfio_cxl_asks_flr(cxl, addr, val, len)) {
        vfio_cxl_pre_reset(vdev);
    }
    for (i = 0; i < ARRAY_SIZE(cxl->gates); i++) {
        const VFIOCXLGate *gate = &cxl->gates[i];

        if (gate->at && vfio_cxl_gate_closes(gate, addr, val, len)) {
            vfio_cxl_memory_close(&cxl->mem);
        }
    }
}

void vfio_cxl_config_write_end(VFIOPCIDevice *vdev, uint32_t addr, int len)
{
    VFIOCXL *cxl = vdev->cxl;
    unsigned i;

    if (!cxl) {
        return;
    }
    /* Nothing unless that was a reset, of which this is the end */
    vfio_cxl_dvsec_allow_caching(&vdev->vbasedev, cxl->dvsec, &cxl->write_back,
                                 false);
    for (i = 0; i < ARRAY_SIZE(cxl->gates); i++) {
        const VFIOCXLGate *gate = &cxl->gates[i];

        if (gate->at &&
            ranges_overlap(addr, len, gate->at, sizeof(gate->bits))) {
            vfio_cxl_memory_ask(&cxl->mem);
            return;
        }
    }
}

/*
 * What firmware commits: a decoder for each of the host's.  A bridge that has
 * decoders has few of them, and the endpoint's have to match them one by one;
 * where the host has more, neighbours become one.  They stand one behind the
 * other in the window anyway.
 */
static bool vfio_cxl_make_plan(VFIOCXL *cxl, Error **errp)
{
    const VFIOCXLLayout *layout = &cxl->layout;
    unsigned most = cxl->topo.passthrough ? VFIO_CXL_HDM_MAX_DECODERS
                                          : CXL_HDM_DECODER_COUNT;
    VFIOCXLHostDecoder *last = NULL;
    unsigned n;

    if (cxl->mode != VFIO_CXL_MODE_LOCKED) {
        return true;
    }
    for (n = 0; n < layout->committed; n++) {
        const VFIOCXLHostDecoder *from = &layout->decoders[n];

        if (layout->committed > most && last && !from->skip &&
            !((from->ctrl ^ last->ctrl) & VFIO_CXL_HDM_CTRL_FIRMWARE)) {
            last->size += from->size;
        } else {
            last = &cxl->plan[cxl->planned++];
            *last = *from;
        }
    }
    if (cxl->planned > most) {
        const char *bridge = vfio_cxl_topology_label(cxl->topo.bridge);

        error_setg(errp, "CXL: the host's firmware committed %u decoders, of "
                   "which %u remain where neighbours are merged, expected at "
                   "most the %u that pxb-cxl '%s' has; set "
                   "x-cxl-decoders=guest, or hdm_for_passthrough=off on '%s'",
                   layout->committed, cxl->planned, most, bridge, bridge);
        return false;
    }
    return true;
}

/* Commit decoder @n of the plan, and that of the bridge above, over @base */
static bool vfio_cxl_firmware_commit(VFIOCXL *cxl, unsigned n, uint64_t base,
                                     Error **errp)
{
    const VFIOCXLHostDecoder *from = &cxl->plan[n];

    if (!vfio_cxl_hdm_firmware_commit(&cxl->hdm, n, base, from->size,
                                      from->skip, from->ctrl)) {
        error_setg(errp, "CXL: decoder %u does not fit at 0x%"PRIx64, n, base);
        return false;
    }
    if (!cxl->topo.passthrough) {
        CXLHostFirmwareDecoder decoder = {
            .base = base,
            .size = from->size,
            .target = PCIE_PORT(cxl->topo.port)->port,
            .ctrl = from->ctrl,
        };

        cxl_host_firmware_commit(cxl->topo.host, n, &decoder);
    }
    trace_vfio_cxl_firmware_commit(cxl->vdev->vbasedev.name, n, base,
                                   from->size, !cxl->topo.passthrough);
    return true;
}

static void vfio_cxl_release_bridge(VFIOCXL *cxl)
{
    unsigned n;

    /* There can be more in the plan than a bridge has */
    if (cxl->topo.passthrough) {
        return;
    }
    for (n = 0; n < cxl->planned; n++) {
        cxl_host_firmware_release(cxl->topo.host, n);
    }
}

static void vfio_cxl_empty(VFIOCXL *cxl)
{
    vfio_cxl_hdm_reset(&cxl->hdm);
    vfio_cxl_dvsec_clear_ranges(PCI_DEVICE(cxl->vdev), cxl->dvsec);
}

static bool vfio_cxl_firmware_commit_all(VFIOCXL *cxl, Error **errp)
{
    uint64_t base = cxl->topo.window->base;
    unsigned n;

    if (!vfio_cxl_tell_kernel(cxl, errp)) {
        return false;
    }
    vfio_cxl_dvsec_place_ranges(PCI_DEVICE(cxl->vdev), cxl->dvsec, base);
    for (n = 0; n < cxl->planned; n++) {
        if (!vfio_cxl_firmware_commit(cxl, n, base, errp)) {
            return false;
        }
        base += cxl->plan[n].size;
    }
    return true;
}

/*
 * Bring decoders and ranges into the state in which a guest finds them: all of
 * what firmware committed, or nothing.
 */
static bool vfio_cxl_firmware_init(VFIOCXL *cxl, Error **errp)
{
    vfio_cxl_empty(cxl);
    if (cxl->mode == VFIO_CXL_MODE_LOCKED &&
        !vfio_cxl_firmware_commit_all(cxl, errp)) {
        vfio_cxl_empty(cxl);
        vfio_cxl_release_bridge(cxl);
        return false;
    }
    return true;
}

void vfio_cxl_reset(VFIOPCIDevice *vdev)
{
    VFIOCXL *cxl = vdev->cxl;
    Error *err = NULL;

    if (!cxl) {
        return;
    }
    vfio_cxl_dvsec_allow_caching(&vdev->vbasedev, cxl->dvsec, &cxl->write_back,
                                 true);
    if (!vfio_cxl_firmware_init(cxl, &err)) {
        error_reportf_err(err, VFIO_MSG_PREFIX, vdev->vbasedev.name);
    }
}

/* What the window has to hold */
static uint64_t vfio_cxl_window_need(const VFIOCXL *cxl)
{
    uint64_t need = 0;
    unsigned n;

    if (cxl->mode != VFIO_CXL_MODE_LOCKED) {
        return cxl->layout.mem_size;
    }
    for (n = 0; n < cxl->layout.committed; n++) {
        need += cxl->layout.decoders[n].size;
    }
    return need;
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
    cxl->mode = cxl->vdev->cxl_mode;
    if (cxl->mode == VFIO_CXL_MODE_AUTO) {
        cxl->mode = cxl->layout.by_firmware ? VFIO_CXL_MODE_LOCKED
                                            : VFIO_CXL_MODE_GUEST;
    }
    if (cxl->mode == VFIO_CXL_MODE_LOCKED && !cxl->layout.committed) {
        error_setg(errp, "CXL: x-cxl-decoders=locked, but the host's firmware "
                   "committed none of the %u decoders; use "
                   "x-cxl-decoders=guest", cxl->layout.decoder_count);
        return false;
    }
    return true;
}

/* The overlay must not take from the guest what is not its own */
static bool vfio_cxl_check_msix(VFIOCXL *cxl, Error **errp)
{
    const VFIOCXLLayout *layout = &cxl->layout;
    const VFIOMSIXInfo *msix = cxl->vdev->msix;

    if (msix &&
        ((msix->table_bar == layout->bar &&
          ranges_overlap(msix->table_offset,
                         msix->entries * PCI_MSIX_ENTRY_SIZE,
                         layout->regs_bar_offset, layout->regs_size)) ||
         (msix->pba_bar == layout->bar &&
          ranges_overlap(msix->pba_offset,
                         DIV_ROUND_UP(msix->entries, 64) * 8,
                         layout->regs_bar_offset, layout->regs_size)))) {
        error_setg(errp, "CXL: component registers at offset 0x%"PRIx64" of "
                   "BAR %u, 0x%"PRIx64" bytes, overlap the MSI-X table or "
                   "pending bits, expected them apart; x-msix-relocation= "
                   "moves these to another BAR",
                   layout->regs_bar_offset, layout->bar, layout->regs_size);
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
    if (cxl->mode == VFIO_CXL_MODE_LOCKED && cxl->topo.passthrough) {
        const char *id = vfio_cxl_topology_label(cxl->topo.bridge);

        warn_report(VFIO_MSG_PREFIX "CXL: the decoders are locked and the host "
                    "bridge '%s' has none that match, so a Linux guest will "
                    "not use the memory; set hdm_for_passthrough=on on '%s', "
                    "or x-cxl-decoders=guest",
                    cxl->vdev->vbasedev.name, id, id);
    }
}

/* The decoders of the bridge that QEMU is to commit must not be the guest's */
static bool vfio_cxl_check_bridge(VFIOCXL *cxl, Error **errp)
{
    unsigned n;

    for (n = 0; !cxl->topo.passthrough && n < cxl->planned; n++) {
        if (!cxl_host_decoder_is_free(cxl->topo.host, n)) {
            error_setg(errp, "CXL: HDM decoder %u of pxb-cxl '%s' is committed "
                       "by the guest, expected it free; have the guest "
                       "uncommit it, or set x-cxl-decoders=guest", n,
                       vfio_cxl_topology_label(cxl->topo.bridge));
            return false;
        }
    }
    return true;
}

/* Of a device that makes no sense there is something left */
static void vfio_cxl_refuse_device(Error *err, Error **errp)
{
    error_setg(errp, "%s; x-cxl-decoders=off uses the device as a plain PCI "
               "device", error_get_pretty(err));
    error_free(err);
}

static bool vfio_cxl_learn(VFIOCXL *cxl, Error **errp)
{
    PCIDevice *pdev = PCI_DEVICE(cxl->vdev);
    Error *err = NULL;

    cxl->af_cap = pci_find_capability(pdev, PCI_CAP_ID_AF);
    if (vfio_cxl_contract_read(&cxl->vdev->vbasedev, &cxl->layout, &err)) {
        cxl->dvsec = vfio_cxl_dvsec_find(pdev, &err);
    }
    if (err) {
        vfio_cxl_refuse_device(err, errp);
        return false;
    }
    return vfio_cxl_check_msix(cxl, errp);
}

/* Where it sits, and what becomes of it there */
static bool vfio_cxl_place(VFIOCXL *cxl, Error **errp)
{
    if (!vfio_cxl_choose_mode(cxl, errp) ||
        !vfio_cxl_topology_find(PCI_DEVICE(cxl->vdev),
                                vfio_cxl_window_need(cxl), &cxl->topo, errp)) {
        return false;
    }
    trace_vfio_cxl_place(cxl->vdev->vbasedev.name,
                         vfio_cxl_mode_names[cxl->mode],
                         cxl->topo.window->index, cxl->topo.window->base,
                         cxl->topo.window->size, cxl->topo.passthrough);
    return vfio_cxl_make_plan(cxl, errp) && vfio_cxl_check_bridge(cxl, errp);
}

/* Decoders, ranges, migration blocker and memory; the overlay comes last */
static bool vfio_cxl_build(VFIOCXL *cxl, Error **errp)
{
    VFIODevice *vbasedev = &cxl->vdev->vbasedev;
    Error *err = NULL;

    vfio_cxl_find_gates(cxl);
    vfio_cxl_hdm_init(&cxl->hdm, cxl->layout.hdm_capability,
                      cxl->layout.mem_dpa + cxl->layout.mem_size,
                      &vfio_cxl_hdm_ops, cxl);
    cxl->mem = (VFIOCXLMemory) {
        .vdev = cxl->vdev,
        .layout = &cxl->layout,
        .topo = &cxl->topo,
        .hdm = &cxl->hdm,
        .opening = vfio_cxl_memory_opening,
        .opaque = cxl,
    };
    vfio_cxl_dvsec_emulate_ranges(cxl->vdev, cxl->dvsec,
                                  cxl->mode == VFIO_CXL_MODE_GUEST);
    /* Every reset does this again; here it can still be refused */
    if (!vfio_cxl_firmware_init(cxl, &err)) {
        vfio_cxl_refuse_device(err, errp);
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

bool vfio_cxl_setup(VFIOPCIDevice *vdev, Error **errp)
{
    VFIODevice *vbasedev = &vdev->vbasedev;
    VFIOCXLLayout *layout;
    VFIOCXL *cxl;

    if (!vfio_cxl_contract_present(vbasedev)) {
        return true;
    }
    if (vdev->cxl_mode == VFIO_CXL_MODE_OFF) {
        uint16_t dvsec = vfio_cxl_dvsec_find(PCI_DEVICE(vdev), NULL);

        /* Left out or not, the host's addresses are not the guest's to read */
        if (dvsec) {
            vfio_cxl_dvsec_emulate_ranges(vdev, dvsec, false);
        }
        return true;
    }

    cxl = g_new0(VFIOCXL, 1);
    cxl->vdev = vdev;
    layout = &cxl->layout;
    if (!vfio_cxl_learn(cxl, errp)) {
        g_free(cxl);
        return false;
    }
    trace_vfio_cxl_setup(vbasedev->name,
                         vfio_cxl_contract_name(layout->contract), layout->bar,
                         layout->regs_bar_offset + layout->hdm_offset,
                         layout->decoder_count, layout->committed,
                         layout->mem_size);
    /* All that can be refused has been, when this is done */
    if (!vfio_cxl_place(cxl, errp)) {
        g_free(cxl);
        return false;
    }
    if (!vfio_cxl_build(cxl, errp)) {
        vfio_cxl_release_bridge(cxl);
        g_free(cxl);
        return false;
    }
    cxl->bridge_changed.notify = vfio_cxl_bridge_changed;
    cxl_host_add_decode_notifier(cxl->topo.host, &cxl->bridge_changed);

    vfio_cxl_regs_init(&cxl->regs, OBJECT(vdev), vbasedev, layout, &cxl->hdm);
    memory_region_add_subregion_overlap(vdev->bars[layout->bar].mr,
                                        layout->regs_bar_offset,
                                        &cxl->regs.mr, 1);
    vfio_cxl_warn_surplus(cxl);
    vfio_cxl_warn_passthrough(cxl);
    cxl->qom = (VFIOCXLQom) {
        .layout = layout,
        .topo = &cxl->topo,
        .hdm = &cxl->hdm,
        .mem = &cxl->mem,
        .mode = vfio_cxl_mode_names[cxl->mode],
    };
    vfio_cxl_qom_add(&cxl->qom, OBJECT(vdev));

    if (!phase_check(PHASE_MACHINE_READY)) {
        cxl->machine_done.notify = vfio_cxl_machine_done;
        qemu_add_machine_init_done_notifier(&cxl->machine_done);
    }
    vdev->cxl = cxl;
    return true;
}

void vfio_cxl_exit(VFIOPCIDevice *vdev)
{
    VFIOCXL *cxl = vdev->cxl;

    if (!cxl) {
        return;
    }
    vfio_cxl_qom_del(&cxl->qom, OBJECT(vdev));
    notifier_remove(&cxl->bridge_changed);
    vfio_cxl_release_bridge(cxl);
    if (cxl->machine_done.notify) {
        qemu_remove_machine_init_done_notifier(&cxl->machine_done);
    }
    migrate_del_blocker(&cxl->migration_blocker);
    memory_region_del_subregion(vdev->bars[cxl->layout.bar].mr, &cxl->regs.mr);
    vfio_cxl_memory_exit(&cxl->mem);

    /* The kernel resets the device once nobody has it open any more */
    vfio_cxl_pre_reset(vdev);
    vfio_cxl_dvsec_allow_caching(&vdev->vbasedev, cxl->dvsec, &cxl->write_back,
                                 true);
}

void vfio_cxl_finalize(VFIOPCIDevice *vdev)
{
    VFIOCXL *cxl = vdev->cxl;

    if (!cxl) {
        return;
    }
    vfio_cxl_memory_finalize(&cxl->mem);
    g_clear_pointer(&vdev->cxl, g_free);
}

/*
 * No container of today maps it in a way that ends when the kernel closes the
 * memory.  IOMMUFD refuses to pin such pages through a user address; type1
 * looks them up once, and leaves them in the IOMMU through a reset.  A dma-buf
 * of the region would do, but nobody makes one yet.  A vfio-user server could
 * be answered access by access; but then it would decide when QEMU touches
 * memory that may just have been closed.
 */
bool vfio_cxl_memory_unmappable(MemoryRegion *mr)
{
    Object *owner = memory_region_owner(mr);
    VFIOCXL *cxl;

    if (!memory_region_is_ram_device(mr) || !owner ||
        !object_dynamic_cast(owner, TYPE_VFIO_PCI_DEVICE)) {
        return false;
    }
    cxl = VFIO_PCI_DEVICE(owner)->cxl;
    if (!cxl || !vfio_cxl_memory_has(&cxl->mem, mr)) {
        return false;
    }
    trace_vfio_cxl_memory_unmappable(cxl->vdev->vbasedev.name,
                                     memory_region_name(mr));
    return true;
}
