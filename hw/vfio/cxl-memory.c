/*
 * The memory of a CXL device: may it be touched, and where is it in the window
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qapi/error.h"
#include "hw/cxl/cxl_host_decoder.h"
#include "hw/pci/pcie_port.h"
#include "qemu/target-info.h"
#include "system/kvm.h"
#include "cxl-memory.h"
#include "trace.h"

/* Waiting for the memory: first and last pause, each twice the one before */
#define ASK_FIRST_MS            10
#define ASK_LAST_MS             5120

/* Does the bridge above lead @range to the device? */
static bool memory_reached(const VFIOCXLMemory *mem,
                           const VFIOCXLHdmRange *range)
{
    return mem->topo->passthrough ||
           cxl_host_decodes(mem->topo->host, range->base, range->size,
                            PCIE_PORT(mem->topo->port)->port);
}

static void memory_unmap(VFIOCXLMemory *mem, unsigned n)
{
    if (mem->mapped[n].size) {
        memory_region_del_subregion(&mem->topo->window->mr, &mem->alias[n]);
        mem->mapped[n] = (VFIOCXLHdmRange) { 0 };
    }
}

static void memory_map(VFIOCXLMemory *mem, unsigned n,
                       const VFIOCXLHdmRange *range)
{
    MemoryRegion *alias = &mem->alias[n];

    memory_region_set_size(alias, range->size);
    memory_region_set_alias_offset(alias, range->dpa - mem->layout->mem_dpa);
    memory_region_add_subregion(&mem->topo->window->mr,
                                range->base - mem->topo->window->base, alias);
    mem->mapped[n] = *range;
}

/*
 * The only place that maps and unmaps: what is in the window follows from
 * what the decoders decode, from what the bridge above leads to the device,
 * from Mem_Enable, and from whether the memory may be touched.
 */
static void memory_update_window(VFIOCXLMemory *mem)
{
    const char *name = mem->vdev->vbasedev.name;
    VFIOCXLHdmRange want[HDM_DECODE_MAX] = { 0 };
    unsigned n;

    for (n = 0; n < mem->hdm->count; n++) {
        VFIOCXLHdmRange range;

        if ((mem->open || mem->lost) && mem->enabled &&
            vfio_cxl_hdm_decodes(mem->hdm, n, &range) &&
            memory_reached(mem, &range)) {
            want[n] = range;
        }
    }
    if (!memcmp(want, mem->mapped, sizeof(want))) {
        return;
    }

    memory_region_transaction_begin();
    for (n = 0; n < mem->hdm->count; n++) {
        if (mem->mapped[n].size && !want[n].size) {
            trace_vfio_cxl_memory_unmap(name, n);
        }
        if (memcmp(&mem->mapped[n], &want[n], sizeof(want[n]))) {
            memory_unmap(mem, n);
        }
    }
    for (n = 0; n < mem->hdm->count; n++) {
        if (want[n].size && !mem->mapped[n].size) {
            memory_map(mem, n, &want[n]);
            trace_vfio_cxl_memory_map(name, n, want[n].base, want[n].size,
                                      want[n].dpa);
        }
    }
    memory_region_transaction_commit();
}

VfioCxlDecoderState vfio_cxl_memory_state(const VFIOCXLMemory *mem, unsigned n)
{
    uint32_t ctrl = mem->hdm->decoders[n].ctrl;

    if (mem->mapped[n].size) {
        return mem->lost ? VFIO_CXL_DECODER_STATE_LOST
                         : VFIO_CXL_DECODER_STATE_MAPPED;
    }
    if (FIELD_EX32(ctrl, CXL_HDM_DECODER0_CTRL, ERR)) {
        return VFIO_CXL_DECODER_STATE_REFUSED;
    }
    if (!FIELD_EX32(ctrl, CXL_HDM_DECODER0_CTRL, COMMITTED)) {
        return VFIO_CXL_DECODER_STATE_UNCOMMITTED;
    }
    if (!mem->enabled || !vfio_cxl_hdm_decodes(mem->hdm, n, NULL)) {
        return VFIO_CXL_DECODER_STATE_DISABLED;
    }
    return mem->open ? VFIO_CXL_DECODER_STATE_NOT_REACHED
                     : VFIO_CXL_DECODER_STATE_CLOSED;
}

void vfio_cxl_memory_update(VFIOCXLMemory *mem)
{
    unsigned n;

    memory_update_window(mem);
    for (n = 0; n < mem->hdm->count; n++) {
        VfioCxlDecoderState state = vfio_cxl_memory_state(mem, n);

        trace_vfio_cxl_memory_update(mem->vdev->vbasedev.name, n,
                                     VfioCxlDecoderState_str(state));
    }
}

void vfio_cxl_memory_set_enabled(VFIOCXLMemory *mem, bool enabled)
{
    if (mem->enabled != enabled) {
        mem->enabled = enabled;
        vfio_cxl_memory_update(mem);
    }
}

/*
 * Asked for before the memory is in the window for the first time: then
 * containers decide whether they map it.  What a kernel gives while the memory
 * is closed cannot be mapped.
 */
static void memory_get_dma_buf(VFIOCXLMemory *mem)
{
    VFIODevice *vbasedev = &mem->vdev->vbasedev;
    int ret;

    if (mem->dma_buf_asked || !vbasedev->iommufd) {
        return;
    }
    ret = vfio_cxl_contract_get_dma_buf(vbasedev, mem->layout);
    trace_vfio_cxl_memory_get_dma_buf(vbasedev->name, ret);
    mem->dma_buf = ret < 0 ? -1 : ret;
    mem->dma_buf_asked = true;
}

static void memory_set_open(VFIOCXLMemory *mem, bool open, bool lost)
{
    if (mem->open == open && mem->lost == lost) {
        return;
    }
    trace_vfio_cxl_memory_set_open(mem->vdev->vbasedev.name, open);
    if (open) {
        mem->opening(mem->opaque);
        memory_get_dma_buf(mem);
    }
    mem->open = open;
    mem->lost = lost;
    vfio_cxl_memory_update(mem);
    if (!open && !lost) {
        vfio_region_mmaps_set_enabled(&mem->region, false);
    }
}

void vfio_cxl_memory_close(VFIOCXLMemory *mem)
{
    timer_del(mem->timer);
    memory_set_open(mem, false, false);
}

/* No memory answers outside D0 */
static bool memory_in_d0(const VFIOCXLMemory *mem)
{
    const PCIDevice *pdev = PCI_DEVICE(mem->vdev);

    return !pdev->pm_cap ||
           !(pci_get_word(pdev->config + pdev->pm_cap + PCI_PM_CTRL) &
             PCI_PM_CTRL_STATE_MASK);
}

/* There are kernels whose memory answers with memory space off, and others */
static bool memory_space_on(const VFIOCXLMemory *mem)
{
    const PCIDevice *pdev = PCI_DEVICE(mem->vdev);

    return pci_get_word(pdev->config + PCI_COMMAND) & PCI_COMMAND_MEMORY;
}

/* Does the memory answer, and is it in its place? */
static bool memory_ready(VFIOCXLMemory *mem)
{
    return mem->active(mem->opaque) &&
           vfio_cxl_contract_memory_ready(&mem->vdev->vbasedev, mem->layout) &&
           vfio_region_mmaps_set_enabled(&mem->region, true);
}

/*
 * The memory is used once the device has answered a read of it.  It need not
 * do so at once, after a reset for one, and no config write would tell when
 * it does: so ask again, at first soon and then less often.  Memory that the
 * host closed may be back at any time.
 */
static void memory_ask_now(VFIOCXLMemory *mem)
{
    const char *name = mem->vdev->vbasedev.name;

    if (memory_in_d0(mem) && memory_ready(mem)) {
        timer_del(mem->timer);
        memory_set_open(mem, true, false);
        return;
    }
    timer_del(mem->timer);
    memory_set_open(mem, false, mem->lost);
    if (!memory_in_d0(mem) || !memory_space_on(mem)) {
        return;
    }
    if (mem->pause_ms == ASK_LAST_MS && !mem->warned) {
        warn_report(VFIO_MSG_PREFIX "CXL: the memory does not answer %d s "
                    "after it was turned on, expected it to; it stays out of "
                    "the guest's reach until it does", name,
                    ASK_LAST_MS / 1000);
        mem->warned = true;
    }
    trace_vfio_cxl_memory_ask(name, mem->pause_ms);
    timer_mod(mem->timer,
              qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + mem->pause_ms);
    mem->pause_ms = MIN(2 * mem->pause_ms, ASK_LAST_MS);
}

static void memory_timer(void *opaque)
{
    memory_ask_now(opaque);
}

void vfio_cxl_memory_ask(VFIOCXLMemory *mem)
{
    mem->warned = false;
    mem->pause_ms = ASK_FIRST_MS;
    memory_ask_now(mem);
}

void vfio_cxl_memory_look(VFIOCXLMemory *mem)
{
    if (!mem->open && memory_in_d0(mem) && memory_ready(mem)) {
        timer_del(mem->timer);
        memory_set_open(mem, true, false);
    }
}

/* The host has closed the memory, or opened it again */
static void memory_changed(VFIORegion *region, bool lost)
{
    VFIOCXLMemory *mem = container_of(region, VFIOCXLMemory, region);

    if (lost) {
        timer_del(mem->timer);
        memory_set_open(mem, false, region->stand_in);
    } else {
        vfio_cxl_memory_ask(mem);
    }
}

/*
 * A vfio-user server could truncate the file behind the memory, and QEMU would
 * die of a SIGBUS at the guest's next access: map only what cannot shrink.
 */
static bool memory_map_region(VFIOCXLMemory *mem)
{
    VFIODevice *vbasedev = &mem->vdev->vbasedev;
    int fd = vfio_device_get_region_fd(vbasedev, mem->layout->mem_region);
    Error *err = NULL;

    if (!mem->layout->mem_mmap) {
        return false;
    }
    if (vbasedev->use_region_fds &&
        !vfio_device_fd_is_lasting(fd, mem->region.fd_offset +
                                   mem->region.size, &err)) {
        warn_reportf_err(err, VFIO_MSG_PREFIX "CXL: memory region %d: ",
                         vbasedev->name, mem->layout->mem_region);
        return false;
    }
    return mem->region.nr_mmaps && !vfio_region_mmap(&mem->region);
}

/*
 * Unlike registers in a BAR it is memory: cacheable, for accesses of any size.
 * A guest may use it as it uses RAM, with the buffers of virtio devices there.
 */
static void memory_set_direct(VFIOCXLMemory *mem)
{
    int i;

    for (i = 0; i < mem->region.nr_mmaps; i++) {
        memory_region_set_ram_device_direct(&mem->region.mmaps[i].mem);
    }
}

/*
 * KVM on Arm takes a mapping of a device's memory that is cacheable for a
 * memory slot only where the CPU keeps it coherent; kvm_set_phys_mem() aborts
 * where it does not.  Memory that is not mapped is no way out: a load or store
 * of a pair of registers is an access that KVM cannot hand to QEMU (no valid
 * syndrome), and an external abort for the guest.
 */
static bool memory_can_be_slot(const VFIOCXLMemory *mem, Error **errp)
{
    ERRP_GUARD();

    if (!kvm_enabled() || !target_base_arm()) {
        return true;
    }
#ifdef CONFIG_KVM
    /*
     * Of a vfio-user server it is a file, which is RAM to KVM.  Linux answers
     * for a VM only, not for KVM as such.
     */
    if (!mem->vdev->vbasedev.use_region_fds &&
        kvm_vm_check_extension(kvm_state,
                               KVM_CAP_ARM_CACHEABLE_PFNMAP_SUPPORTED) <= 0) {
        error_setg(errp, "CXL: KVM of this host does not map the memory of "
                   "devices cacheable, expected capability "
                   "KVM_CAP_ARM_CACHEABLE_PFNMAP_SUPPORTED");
        error_append_hint(errp, "The CPU needs S2FWB and CTR_EL0.DIC, the "
                          "kernel Linux 6.17.  With x-cxl-decoders=off the "
                          "guest gets a plain PCI device.\n");
        return false;
    }
#endif
    return true;
}

/* The memory region cannot be mapped */
static bool memory_slow_path(VFIOCXLMemory *mem, Error **errp)
{
    ERRP_GUARD();

    if (kvm_enabled() && target_base_arm()) {
        error_setg(errp, "CXL: memory region %d cannot be mapped, expected "
                   "that it can: with KVM on Arm a guest dies of accesses that "
                   "trap", mem->layout->mem_region);
        error_append_hint(errp, "With x-cxl-decoders=off the guest gets a "
                          "plain PCI device.\n");
        return false;
    }
    warn_report(VFIO_MSG_PREFIX "CXL: memory region %d cannot be mapped, "
                "every access of the guest will be slow",
                mem->vdev->vbasedev.name, mem->layout->mem_region);
    return true;
}

bool vfio_cxl_memory_setup(VFIOCXLMemory *mem, Error **errp)
{
    VFIODevice *vbasedev = &mem->vdev->vbasedev;
    Object *owner = OBJECT(mem->vdev);
    g_autofree char *name = g_strdup_printf("%s CXL memory", vbasedev->name);
    unsigned n;
    int ret;

    if (!memory_can_be_slot(mem, errp)) {
        return false;
    }
    ret = vfio_region_setup(owner, vbasedev, &mem->region,
                            mem->layout->mem_region, name);
    if (ret) {
        error_setg_errno(errp, -ret, "CXL: setting up memory region %d failed",
                         mem->layout->mem_region);
        return false;
    }
    mem->region.no_registers = true;
    mem->region.changed = memory_changed;
    if (memory_map_region(mem)) {
        memory_set_direct(mem);
    } else if (!memory_slow_path(mem, errp)) {
        object_unparent(OBJECT(mem->region.mem));
        vfio_region_finalize(&mem->region);
        return false;
    }
    vfio_region_mmaps_set_enabled(&mem->region, false);
    mem->dma_buf = -1;
    mem->timer = timer_new_ms(QEMU_CLOCK_REALTIME, memory_timer, mem);
    for (n = 0; n < mem->layout->decoder_count; n++) {
        g_autofree char *alias = g_strdup_printf("%s CXL decoder %u",
                                                 vbasedev->name, n);

        memory_region_init_alias(&mem->alias[n], owner, alias, mem->region.mem,
                                 0, 0);
    }
    return true;
}

void vfio_cxl_memory_exit(VFIOCXLMemory *mem)
{
    vfio_cxl_memory_close(mem);
    g_clear_pointer(&mem->timer, timer_free);
    vfio_region_exit(&mem->region);
}

void vfio_cxl_memory_finalize(VFIOCXLMemory *mem)
{
    if (mem->dma_buf >= 0) {
        close(mem->dma_buf);
    }
    vfio_region_finalize(&mem->region);
}

int64_t vfio_cxl_memory_offset(const VFIOCXLMemory *mem,
                               const MemoryRegion *mr)
{
    int i;

    for (i = 0; i < mem->region.nr_mmaps; i++) {
        if (mr == &mem->region.mmaps[i].mem) {
            return mem->region.mmaps[i].offset;
        }
    }
    return -1;
}
