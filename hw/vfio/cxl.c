/*
 * CXL Type-2 devices behind vfio-pci and vfio-user-pci
 *
 * The kernel keeps the physical HDM decoders to itself.  The guest gets
 * decoders of QEMU's (cxl-hdm.c) in an overlay over the component registers
 * (cxl-regs.c), and what these decode becomes an alias of the device's memory
 * inside the CXL fixed memory window that the device sits below
 * (cxl-topology.c).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/range.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "hw/cxl/cxl_host_decoder.h"
#include "hw/pci/pcie_port.h"
#include "migration/blocker.h"
#include "system/system.h"
#include "cxl-contract.h"
#include "cxl-dvsec.h"
#include "cxl-guard.h"
#include "cxl-hdm.h"
#include "cxl-qom.h"
#include "cxl-regs.h"
#include "cxl-topology.h"
#include "pci.h"
#include "trace.h"
#include "vfio-cxl.h"

/* Waiting for the memory: first and last pause, each twice the one before */
#define PROBE_FIRST_MS                  10
#define PROBE_LAST_MS                   5120

/* How often to look whether memory that the host closed is back */
#define REOPEN_MIN_MS                   100
#define REOPEN_MAX_MS                   10000

struct VFIOCXL {
    VFIOPCIDevice *vdev;
    VFIOCXLMode mode;
    VFIOCXLLayout layout;
    VFIOCXLTopology topo;
    VFIOCXLHdm hdm;
    VFIOCXLRegs regs;
    uint16_t dvsec;             /* CXL Device DVSEC in config space */
    uint8_t af_cap;             /* Advanced Features likewise, 0: none */
    VFIORegion mem;
    VFIOCXLGuard *guard;
    QEMUTimer *reopen;          /* runs while @guard keeps the memory out */
    int64_t reopen_ms;
    int64_t reopened;
    MemoryRegion alias[VFIO_CXL_HDM_MAX_DECODERS];
    VFIOCXLHdmRange mapped[VFIO_CXL_HDM_MAX_DECODERS];  /* size 0: is not */
    bool open;                  /* the kernel lets the memory be used */
    bool forgotten;             /* a reset by the guest is under way */
    VFIOCXLWriteBack write_back;
    QEMUTimer *probe;           /* asks again whether it may be used */
    int64_t probe_ms;           /* and when after that */
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

/* Does the bridge above lead @range to the device? */
static bool vfio_cxl_reached(const VFIOCXL *cxl, const VFIOCXLHdmRange *range)
{
    return cxl->topo.passthrough ||
           cxl_host_decodes(cxl->topo.host, range->base, range->size,
                            PCIE_PORT(cxl->topo.port)->port);
}

static void vfio_cxl_unmap(VFIOCXL *cxl, unsigned n)
{
    if (cxl->mapped[n].size) {
        memory_region_del_subregion(&cxl->topo.window->mr, &cxl->alias[n]);
        cxl->mapped[n] = (VFIOCXLHdmRange) { 0 };
    }
}

static void vfio_cxl_map(VFIOCXL *cxl, unsigned n, const VFIOCXLHdmRange *range)
{
    MemoryRegion *alias = &cxl->alias[n];

    memory_region_set_size(alias, range->size);
    memory_region_set_alias_offset(alias, range->dpa - cxl->layout.mem_dpa);
    memory_region_add_subregion(&cxl->topo.window->mr,
                                range->base - cxl->topo.window->base, alias);
    cxl->mapped[n] = *range;
}

/*
 * The only place that maps and unmaps: what is in the window follows from
 * what the decoders decode, from what the bridge above leads to the device,
 * and from whether the memory may be touched.
 */
static void vfio_cxl_update_windows(VFIOCXL *cxl)
{
    const char *name = cxl->vdev->vbasedev.name;
    VFIOCXLHdmRange want[VFIO_CXL_HDM_MAX_DECODERS] = { 0 };
    unsigned n;

    for (n = 0; n < cxl->hdm.count; n++) {
        VFIOCXLHdmRange range;

        if (cxl->open && vfio_cxl_hdm_decodes(&cxl->hdm, n, &range) &&
            vfio_cxl_reached(cxl, &range)) {
            want[n] = range;
        }
    }
    if (!memcmp(want, cxl->mapped, sizeof(want))) {
        return;
    }

    memory_region_transaction_begin();
    for (n = 0; n < cxl->hdm.count; n++) {
        if (cxl->mapped[n].size && !want[n].size) {
            trace_vfio_cxl_unmap(name, n);
        }
        if (memcmp(&cxl->mapped[n], &want[n], sizeof(want[n]))) {
            vfio_cxl_unmap(cxl, n);
        }
    }
    for (n = 0; n < cxl->hdm.count; n++) {
        if (want[n].size && !cxl->mapped[n].size) {
            vfio_cxl_map(cxl, n, &want[n]);
            trace_vfio_cxl_map(name, n, want[n].base, want[n].size,
                               want[n].dpa);
        }
    }
    memory_region_transaction_commit();
}

static void vfio_cxl_update_mapping(VFIOCXL *cxl)
{
    unsigned n;

    vfio_cxl_update_windows(cxl);
    for (n = 0; n < cxl->hdm.count; n++) {
        trace_vfio_cxl_state(cxl->vdev->vbasedev.name, n,
                             vfio_cxl_qom_state(&cxl->qom, n));
    }
}

static void vfio_cxl_bridge_changed(Notifier *notifier, void *data)
{
    vfio_cxl_update_mapping(container_of(notifier, VFIOCXL, bridge_changed));
}

static bool vfio_cxl_may_commit(void *opaque, unsigned n,
                                const VFIOCXLHdmRange *range)
{
    VFIOCXL *cxl = opaque;
    CXLFixedWindow *window = cxl->topo.window;
    Range in = range_empty, out = range_empty;
    bool ok;

    range_init_nofail(&in, range->base, range->size);
    range_init_nofail(&out, window->base, window->size);
    ok = range_contains_range(&out, &in) && range->dpa >= cxl->layout.mem_dpa;
    trace_vfio_cxl_may_commit(cxl->vdev->vbasedev.name, n, range->base,
                              range->size, range->dpa, ok);
    return ok;
}

static void vfio_cxl_decoder_refused(void *opaque, unsigned n, const char *why)
{
    VFIOCXL *cxl = opaque;

    trace_vfio_cxl_refused(cxl->vdev->vbasedev.name, n, why);
}

static void vfio_cxl_decoders_changed(void *opaque)
{
    vfio_cxl_update_mapping(opaque);
}

static const VFIOCXLHdmOps vfio_cxl_hdm_ops = {
    .may_commit = vfio_cxl_may_commit,
    .refused = vfio_cxl_decoder_refused,
    .changed = vfio_cxl_decoders_changed,
};

/* Do the function's own registers let its memory be used? */
static bool vfio_cxl_may_open(VFIOCXL *cxl)
{
    PCIDevice *pdev = PCI_DEVICE(cxl->vdev);

    if (!(pci_get_word(pdev->config + PCI_COMMAND) & PCI_COMMAND_MEMORY)) {
        return false;
    }
    if (pdev->pm_cap &&
        pci_get_word(pdev->config + pdev->pm_cap + PCI_PM_CTRL) &
        PCI_PM_CTRL_STATE_MASK) {
        return false;
    }
    return true;
}

/* Does the memory answer, and is it in its place? */
static bool vfio_cxl_ready(VFIOCXL *cxl)
{
    return vfio_cxl_contract_memory_ready(&cxl->vdev->vbasedev,
                                          &cxl->layout) &&
           vfio_cxl_guard_restore(cxl->guard);
}

static void vfio_cxl_set_open(VFIOCXL *cxl, bool open)
{
    timer_del(cxl->probe);
    if (cxl->open == open) {
        return;
    }
    cxl->open = open;
    trace_vfio_cxl_set_open(cxl->vdev->vbasedev.name, open);
    vfio_cxl_update_mapping(cxl);
}

/*
 * The memory is used once the device has answered a read of it.  It need not
 * do so at once, after a reset for one, and no config write would tell when
 * it does: so ask again, at first soon and then less often.
 */
static void vfio_cxl_try_open(VFIOCXL *cxl)
{
    const char *name = cxl->vdev->vbasedev.name;

    if (!vfio_cxl_may_open(cxl)) {
        vfio_cxl_set_open(cxl, false);
    } else if (vfio_cxl_ready(cxl)) {
        vfio_cxl_set_open(cxl, true);
    } else {
        vfio_cxl_set_open(cxl, false);
        if (cxl->probe_ms > PROBE_LAST_MS) {
            warn_report(VFIO_MSG_PREFIX "CXL: the memory does not answer %d s "
                        "after it was turned on, expected it to; it stays "
                        "closed until the guest resets the device or turns "
                        "memory space off and on", name,
                        2 * PROBE_LAST_MS / 1000);
            return;
        }
        trace_vfio_cxl_try_open(name, cxl->probe_ms);
        timer_mod(cxl->probe, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
                  cxl->probe_ms);
        cxl->probe_ms *= 2;
    }
}

static void vfio_cxl_probe(void *opaque)
{
    vfio_cxl_try_open(opaque);
}

/* Does writing @len bytes @val at @addr set a bit of @mask in register @reg? */
static bool written(uint32_t addr, uint32_t val, int len, uint32_t reg,
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

/* Does that write ask for a reset of the function that it can do? */
static bool vfio_cxl_asks_flr(const VFIOCXL *cxl, uint32_t addr, uint32_t val,
                              int len)
{
    PCIDevice *pdev = PCI_DEVICE(cxl->vdev);
    uint32_t express = pdev->exp.exp_cap;

    if (express && written(addr, val, len, express + PCI_EXP_DEVCTL,
                           PCI_EXP_DEVCTL_BCR_FLR)) {
        return pci_get_long(pdev->config + express + PCI_EXP_DEVCAP) &
               PCI_EXP_DEVCAP_FLR;
    }
    return cxl->af_cap &&
           written(addr, val, len, cxl->af_cap + PCI_AF_CTRL,
                   PCI_AF_CTRL_FLR) &&
           pci_get_byte(pdev->config + cxl->af_cap + PCI_AF_CAP) &
           PCI_AF_CAP_FLR;
}

void vfio_cxl_config_write_begin(VFIOPCIDevice *vdev, uint32_t addr,
                                 uint32_t val, int len)
{
    PCIDevice *pdev = PCI_DEVICE(vdev);
    VFIOCXL *cxl = vdev->cxl;
    bool flr;

    if (!cxl) {
        return;
    }
    flr = vfio_cxl_asks_flr(cxl, addr, val, len);
    if (flr) {
        vfio_cxl_pre_reset(vdev);
    }
    /* Before a CXL reset the write-back is the guest's to ask for */
    cxl->forgotten = flr ||
                     written(addr, val, len, cxl->dvsec + DVSEC_CONTROL2,
                             DVSEC_CONTROL2_INITIATE_RESET);
    if (cxl->forgotten ||
        (range_covers_byte(addr, len, PCI_COMMAND) &&
         !written(addr, val, len, PCI_COMMAND, PCI_COMMAND_MEMORY)) ||
        (pdev->pm_cap && written(addr, val, len, pdev->pm_cap + PCI_PM_CTRL,
                                 PCI_PM_CTRL_STATE_MASK))) {
        vfio_cxl_set_open(cxl, false);
    }
}

/* A reset that the guest asks for leaves its decoders, but not the kernel's */
static void vfio_cxl_tell_again(VFIOCXL *cxl)
{
    VFIODevice *vbasedev = &cxl->vdev->vbasedev;
    VFIOCXLHdmRange range;
    unsigned n;

    cxl->forgotten = false;
    if (cxl->mode != VFIO_CXL_MODE_LOCKED) {
        /* The guest's decoders are not the kernel's, one by one */
        return;
    }
    for (n = 0; n < cxl->layout.committed; n++) {
        Error *err = NULL;

        if (vfio_cxl_hdm_decodes(&cxl->hdm, n, &range) &&
            !vfio_cxl_contract_tell_base(vbasedev, &cxl->layout, n, range.base,
                                         &err)) {
            error_reportf_err(err, VFIO_MSG_PREFIX, vbasedev->name);
        }
    }
}

/* The kernel closed the memory, unasked, and it was touched: wait for it */
static void vfio_cxl_memory_lost(void *opaque)
{
    VFIOCXL *cxl = opaque;
    int64_t now = qemu_clock_get_ms(QEMU_CLOCK_REALTIME);

    /*
     * Touched while it was closed anyway, by a vCPU that was late, or mended
     * since: who opens it again puts it back.
     */
    if (!cxl->reopen || !cxl->open || !vfio_cxl_guard_tripped(cxl->guard)) {
        return;
    }
    error_report(VFIO_MSG_PREFIX "CXL: the host has closed the memory (a reset "
                 "of the function?) and it was touched: it is out of the "
                 "window until the host opens it again, what was written is "
                 "lost", cxl->vdev->vbasedev.name);
    vfio_cxl_set_open(cxl, false);
    /* Once more, soon after it was back: do not go round and round */
    cxl->reopen_ms = now - cxl->reopened < REOPEN_MAX_MS
                     ? MIN(2 * cxl->reopen_ms, REOPEN_MAX_MS) : REOPEN_MIN_MS;
    timer_mod(cxl->reopen, now + cxl->reopen_ms);
}

static void vfio_cxl_reopen(void *opaque)
{
    VFIOCXL *cxl = opaque;
    int64_t now = qemu_clock_get_ms(QEMU_CLOCK_REALTIME);

    if (cxl->open) {
        return;
    }
    if (!vfio_cxl_may_open(cxl) || !vfio_cxl_ready(cxl)) {
        cxl->reopen_ms = MIN(2 * cxl->reopen_ms, REOPEN_MAX_MS);
        timer_mod(cxl->reopen, now + cxl->reopen_ms);
        return;
    }
    /* A reset of the host took the guest's addresses, if the kernel had any */
    vfio_cxl_tell_again(cxl);
    vfio_cxl_set_open(cxl, true);
    cxl->reopened = now;
}

void vfio_cxl_config_write_end(VFIOPCIDevice *vdev, uint32_t addr, int len)
{
    PCIDevice *pdev = PCI_DEVICE(vdev);
    VFIOCXL *cxl = vdev->cxl;

    if (!cxl) {
        return;
    }
    if (cxl->forgotten) {
        vfio_cxl_dvsec_allow_caching(&vdev->vbasedev, cxl->dvsec,
                                     &cxl->write_back, false);
        vfio_cxl_tell_again(cxl);
    }
    if (range_covers_byte(addr, len, PCI_COMMAND) ||
        (pdev->pm_cap &&
         range_covers_byte(addr, len, pdev->pm_cap + PCI_PM_CTRL)) ||
        (pdev->exp.exp_cap &&
         ranges_overlap(addr, len, pdev->exp.exp_cap + PCI_EXP_DEVCTL, 2)) ||
        (cxl->af_cap &&
         range_covers_byte(addr, len, cxl->af_cap + PCI_AF_CTRL)) ||
        range_covers_byte(addr, len, cxl->dvsec + DVSEC_CONTROL2)) {
        cxl->probe_ms = PROBE_FIRST_MS;
        vfio_cxl_try_open(cxl);
    }
}

/* Commit decoder @n, and that of the bridge above, over @base */
static bool vfio_cxl_firmware_commit(VFIOCXL *cxl, unsigned n, uint64_t base,
                                     Error **errp)
{
    ERRP_GUARD();
    const VFIOCXLHostDecoder *from = &cxl->layout.decoders[n];

    if (!cxl->topo.passthrough) {
        CXLHostFirmwareDecoder decoder = {
            .base = base,
            .size = from->size,
            .target = PCIE_PORT(cxl->topo.port)->port,
            .ctrl = from->ctrl,
        };

        if (!cxl_host_firmware_commit(cxl->topo.host, n, &decoder, errp)) {
            error_prepend(errp, "CXL: decoder %u: ", n);
            return false;
        }
    }
    if (!vfio_cxl_hdm_firmware_commit(&cxl->hdm, n, base, from->size,
                                      from->skip, from->ctrl)) {
        error_setg(errp, "CXL: decoder %u does not fit at 0x%"PRIx64, n, base);
        return false;
    }
    if (!vfio_cxl_contract_tell_base(&cxl->vdev->vbasedev, &cxl->layout, n,
                                     base, errp)) {
        return false;
    }
    trace_vfio_cxl_firmware_commit(cxl->vdev->vbasedev.name, n, base,
                                   from->size, !cxl->topo.passthrough);
    return true;
}

static void vfio_cxl_release_bridge(VFIOCXL *cxl)
{
    unsigned n;

    for (n = 0; n < cxl->layout.committed; n++) {
        cxl_host_firmware_release(cxl->topo.host, n);
    }
}

static void vfio_cxl_empty(VFIOCXL *cxl)
{
    unsigned n;

    vfio_cxl_hdm_reset(&cxl->hdm);
    for (n = 0; n < DVSEC_RANGE_COUNT; n++) {
        vfio_cxl_dvsec_set_range(PCI_DEVICE(cxl->vdev), cxl->dvsec, n, 0);
    }
}

/*
 * Bring decoders and ranges into the state in which a guest finds them: all of
 * what firmware committed, or nothing.
 */
static bool vfio_cxl_firmware_init(VFIOCXL *cxl, Error **errp)
{
    uint64_t base = cxl->topo.window->base;
    unsigned n;

    vfio_cxl_empty(cxl);
    if (cxl->mode != VFIO_CXL_MODE_LOCKED) {
        return true;
    }

    vfio_cxl_dvsec_set_range(PCI_DEVICE(cxl->vdev), cxl->dvsec, 0, base);
    for (n = 0; n < cxl->layout.committed; n++) {
        if (!vfio_cxl_firmware_commit(cxl, n, base, errp)) {
            vfio_cxl_empty(cxl);
            vfio_cxl_release_bridge(cxl);
            return false;
        }
        base += cxl->layout.decoders[n].size;
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
                   "pending bits, expected them apart",
                   layout->regs_bar_offset, layout->bar, layout->regs_size);
        return false;
    }
    return true;
}

/*
 * A vfio-user server could truncate the file behind the memory, and QEMU would
 * die of a SIGBUS at the guest's next access: map only what cannot shrink.
 */
static bool vfio_cxl_map_memory(VFIOCXL *cxl)
{
    VFIODevice *vbasedev = &cxl->vdev->vbasedev;
    Error *err = NULL;

    if (!cxl->layout.mem_mmap) {
        return false;
    }
    if (vbasedev->use_region_fds &&
        !vfio_device_fd_is_lasting(
            vfio_device_get_region_fd(vbasedev, cxl->layout.mem_region),
            &err)) {
        warn_reportf_err(err, VFIO_MSG_PREFIX "CXL: memory region %d: ",
                         vbasedev->name, cxl->layout.mem_region);
        return false;
    }
    return cxl->mem.nr_mmaps && !vfio_region_mmap(&cxl->mem);
}

static bool vfio_cxl_setup_memory(VFIOCXL *cxl, Error **errp)
{
    VFIODevice *vbasedev = &cxl->vdev->vbasedev;
    Object *owner = OBJECT(cxl->vdev);
    g_autofree char *name = g_strdup_printf("%s CXL memory", vbasedev->name);
    unsigned n;
    int ret;

    /* First: once a region has been set up only finalizing @owner ends it */
    cxl->guard = vfio_cxl_guard_new(vfio_cxl_memory_lost, cxl, errp);
    if (!cxl->guard) {
        return false;
    }
    ret = vfio_region_setup(owner, vbasedev, &cxl->mem, cxl->layout.mem_region,
                            name);
    if (ret) {
        vfio_cxl_guard_free(cxl->guard);
        error_setg_errno(errp, -ret, "CXL: setting up memory region %d failed",
                         cxl->layout.mem_region);
        return false;
    }
    if (!vfio_cxl_map_memory(cxl)) {
        warn_report(VFIO_MSG_PREFIX "CXL: memory region %d cannot be mapped, "
                    "every access of the guest will be slow", vbasedev->name,
                    cxl->layout.mem_region);
    }
    vfio_cxl_guard_watch(cxl->guard, &cxl->mem);
    cxl->reopen = timer_new_ms(QEMU_CLOCK_REALTIME, vfio_cxl_reopen, cxl);
    cxl->reopened = -REOPEN_MAX_MS;
    for (n = 0; n < cxl->layout.decoder_count; n++) {
        g_autofree char *alias = g_strdup_printf("%s CXL decoder %u",
                                                 vbasedev->name, n);

        memory_region_init_alias(&cxl->alias[n], owner, alias, cxl->mem.mem, 0,
                                 0);
    }
    return true;
}

static void vfio_cxl_warn_surplus(const VFIOCXL *cxl)
{
    uint64_t need = vfio_cxl_window_need(cxl);
    g_autofree char *name = NULL;

    if (cxl->topo.window->size == need) {
        return;
    }
    name = vfio_cxl_topology_window_name(cxl->topo.window);
    warn_report(VFIO_MSG_PREFIX "CXL: window %s has %"PRIu64" MiB, the device "
                "needs %"PRIu64"; the rest stays empty and is part of what a "
                "guest sees, set %s.size=%"PRIu64"M",
                cxl->vdev->vbasedev.name, name, cxl->topo.window->size / MiB,
                need / MiB, name, need / MiB);
}

/* Linux looks for a decoder of the bridge that says the same */
static void vfio_cxl_warn_passthrough(const VFIOCXL *cxl)
{
    if (cxl->mode == VFIO_CXL_MODE_LOCKED && cxl->topo.passthrough) {
        const char *id = cxl->topo.bridge->qdev.id ?: "pxb-cxl";

        warn_report(VFIO_MSG_PREFIX "CXL: the decoders are locked and the host "
                    "bridge '%s' has none that match, so a Linux guest will "
                    "not use the memory; set hdm_for_passthrough=on on '%s', "
                    "or x-cxl-decoders=guest",
                    cxl->vdev->vbasedev.name, id, id);
    }
}

/* Everything that can be refused, before anything is built */
static bool vfio_cxl_learn(VFIOCXL *cxl, Error **errp)
{
    VFIOPCIDevice *vdev = cxl->vdev;

    cxl->af_cap = pci_find_capability(PCI_DEVICE(vdev), PCI_CAP_ID_AF);
    if (!vfio_cxl_contract_read(&vdev->vbasedev, &cxl->layout, errp)) {
        return false;
    }
    cxl->dvsec = vfio_cxl_dvsec_find(PCI_DEVICE(vdev), errp);
    if (!cxl->dvsec || !vfio_cxl_check_msix(cxl, errp) ||
        !vfio_cxl_choose_mode(cxl, errp)) {
        return false;
    }
    return vfio_cxl_topology_find(PCI_DEVICE(vdev), vfio_cxl_window_need(cxl),
                                  &cxl->topo, errp);
}

/* Decoders, ranges, migration blocker and memory; the overlay comes last */
static bool vfio_cxl_build(VFIOCXL *cxl, Error **errp)
{
    VFIODevice *vbasedev = &cxl->vdev->vbasedev;

    vfio_cxl_hdm_init(&cxl->hdm, cxl->layout.hdm_capability,
                      cxl->layout.mem_dpa + cxl->layout.mem_size,
                      &vfio_cxl_hdm_ops, cxl);
    vfio_cxl_dvsec_emulate_ranges(cxl->vdev, cxl->dvsec,
                                  cxl->mode == VFIO_CXL_MODE_GUEST);
    /* Every reset does this again; here it can still be refused */
    if (!vfio_cxl_firmware_init(cxl, errp)) {
        return false;
    }

    error_setg(&cxl->migration_blocker, VFIO_MSG_PREFIX
               "the memory of a CXL device cannot be migrated",
               vbasedev->name);
    if (migrate_add_blocker(&cxl->migration_blocker, errp) < 0) {
        return false;
    }
    if (!vfio_cxl_setup_memory(cxl, errp)) {
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
    cxl->qom = (VFIOCXLQom) {
        .layout = &cxl->layout,
        .topo = &cxl->topo,
        .hdm = &cxl->hdm,
        .mode = vfio_cxl_mode_names[cxl->mode],
        .open = &cxl->open,
        .mapped = cxl->mapped,
    };
    trace_vfio_cxl_setup(vbasedev->name,
                         vfio_cxl_contract_name(layout->contract), layout->bar,
                         layout->regs_bar_offset + layout->hdm_offset,
                         layout->decoder_count, layout->committed,
                         layout->mem_size);
    trace_vfio_cxl_place(vbasedev->name, vfio_cxl_mode_names[cxl->mode],
                         cxl->topo.window->index, cxl->topo.window->base,
                         cxl->topo.window->size, cxl->topo.passthrough);
    cxl->probe = timer_new_ms(QEMU_CLOCK_REALTIME, vfio_cxl_probe, cxl);
    if (!vfio_cxl_build(cxl, errp)) {
        vfio_cxl_release_bridge(cxl);
        timer_free(cxl->probe);
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
    timer_free(cxl->reopen);
    cxl->reopen = NULL;
    vfio_cxl_set_open(cxl, false);
    g_clear_pointer(&cxl->probe, timer_free);
    notifier_remove(&cxl->bridge_changed);
    vfio_cxl_release_bridge(cxl);
    if (cxl->machine_done.notify) {
        qemu_remove_machine_init_done_notifier(&cxl->machine_done);
    }
    migrate_del_blocker(&cxl->migration_blocker);
    memory_region_del_subregion(vdev->bars[cxl->layout.bar].mr, &cxl->regs.mr);
    vfio_region_exit(&cxl->mem);
}

void vfio_cxl_finalize(VFIOPCIDevice *vdev)
{
    VFIOCXL *cxl = vdev->cxl;

    if (!cxl) {
        return;
    }
    vfio_cxl_guard_free(cxl->guard);
    vfio_region_finalize(&cxl->mem);
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
    int i;

    if (!memory_region_is_ram_device(mr) || !owner ||
        !object_dynamic_cast(owner, TYPE_VFIO_PCI_DEVICE)) {
        return false;
    }
    cxl = VFIO_PCI_DEVICE(owner)->cxl;
    for (i = 0; cxl && i < cxl->mem.nr_mmaps; i++) {
        if (mr == &cxl->mem.mmaps[i].mem) {
            trace_vfio_cxl_memory_unmappable(cxl->vdev->vbasedev.name,
                                             memory_region_name(mr));
            return true;
        }
    }
    return false;
}
