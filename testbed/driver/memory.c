// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The region of the device's memory: write-back pages of the range that the
 * committed decoder decodes.  A fault is a SIGBUS, and an access through the file
 * descriptor -EIO, while the memory cannot be reached: a power state other than
 * D0, a reset under way or failed, and in some generations memory space off.
 */
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/pfn.h>
#include <linux/pci.h>
#include <linux/pci-p2pdma.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "cxl_type2_vfio.h"

int cxl_memory_map(struct cxl_vfio *cxl)
{
	cxl->mem = memremap(cxl->range.base, cxl->range.size, MEMREMAP_WB);
	if (!cxl->mem) {
		pci_err(cxl->core.pdev, "its memory at 0x%llx, 0x%llx bytes, cannot be mapped: not taken\n",
			cxl->range.base, cxl->range.size);
		return -ENOMEM;
	}
	return 0;
}

void cxl_memory_unmap(struct cxl_vfio *cxl)
{
	memunmap(cxl->mem);
}

/* ---- closing it ---- */

static void zap(struct cxl_vfio *cxl)
{
	/* Before the first open there is no region, and nobody has mapped it */
	if (cxl->mem_region)
		unmap_mapping_range(cxl->core.vdev.inode->i_mapping,
				    VFIO_PCI_INDEX_TO_OFFSET(cxl->mem_region), cxl->range.size, true);
}

/* A call that makes the memory unreachable comes in between these two */
void cxl_memory_close_begin(struct cxl_vfio *cxl)
{
	down_write(&cxl->gate);
	cxl->closing++;
	zap(cxl);
	up_write(&cxl->gate);
}

/* From here on the state of the function alone says whether it is reachable */
void cxl_memory_close_end(struct cxl_vfio *cxl)
{
	down_write(&cxl->gate);
	cxl->closing--;
	up_write(&cxl->gate);
}

void cxl_memory_reset_begin(struct cxl_vfio *cxl)
{
	down_write(&cxl->gate);
	cxl->resetting = true;
	zap(cxl);
	up_write(&cxl->gate);
}

static int reset(struct cxl_vfio *cxl)
{
	bool cleared;
	int ret;

	ret = cxl_dvsec_reset(cxl, &cleared) ?: cxl_decoders_restore(cxl);
	if (ret)
		return ret;
	if (!cleared)
		memset(cxl->mem, 0, cxl->range.size);
	cxl_decoders_snapshot(cxl);
	cxl_dvsec_reset_done(cxl);
	return 0;
}

/* The function came out of a PCI reset, or is to have a CXL reset alone */
void cxl_memory_reset_end(struct cxl_vfio *cxl)
{
	struct pci_dev *pdev = cxl->core.pdev;
	u16 command;
	int ret;

	/* Registers and memory answer with memory space on only; the VMM may have it off */
	pci_read_config_word(pdev, PCI_COMMAND, &command);
	pci_write_config_word(pdev, PCI_COMMAND, command | PCI_COMMAND_MEMORY);
	ret = reset(cxl);
	pci_write_config_word(pdev, PCI_COMMAND, command);
	if (ret)
		return;
	down_write(&cxl->gate);
	cxl->resetting = false;
	up_write(&cxl->gate);
}

bool cxl_memory_reset_failed(struct cxl_vfio *cxl)
{
	bool failed;

	down_read(&cxl->gate);
	failed = cxl->resetting;
	up_read(&cxl->gate);
	return failed;
}

/* Both locks held for reading */
static bool closed(struct cxl_vfio *cxl)
{
	struct vfio_pci_core_device *core = &cxl->core;

	if (cxl->resetting || cxl->closing || core->pm_runtime_engaged)
		return true;
	return cxl->memory_follows_space ? !__vfio_pci_memory_enabled(core)
					 : core->pdev->current_state >= PCI_D3hot;
}

/* ---- the region ---- */

/* Through a buffer: a fault on the user's page may be one on this very memory */
static ssize_t memory_rw_some(struct cxl_vfio *cxl, char __user *buf, size_t count, u64 pos,
			      bool iswrite, void *bounce)
{
	bool shut;

	if (iswrite && copy_from_user(bounce, buf, count))
		return -EFAULT;
	down_read(&cxl->core.memory_lock);
	down_read(&cxl->gate);
	shut = closed(cxl);
	if (!shut && iswrite)
		memcpy(cxl->mem + pos, bounce, count);
	else if (!shut)
		memcpy(bounce, cxl->mem + pos, count);
	up_read(&cxl->gate);
	up_read(&cxl->core.memory_lock);
	if (shut)
		return -EIO;
	if (!iswrite && copy_to_user(buf, bounce, count))
		return -EFAULT;
	return count;
}

static ssize_t memory_rw(struct vfio_pci_core_device *core, char __user *buf, size_t count,
			 loff_t *ppos, bool iswrite)
{
	struct cxl_vfio *cxl = to_cxl(core);
	u64 pos = cxl_vfio_region_pos(*ppos);
	ssize_t done = 0, ret = 0;
	void *bounce;

	if (pos >= cxl->range.size)
		return -EINVAL;
	count = min_t(u64, count, cxl->range.size - pos);
	bounce = kmalloc(PAGE_SIZE, GFP_KERNEL);
	if (!bounce)
		return -ENOMEM;
	while (done < count) {
		ret = memory_rw_some(cxl, buf + done, min_t(size_t, count - done, PAGE_SIZE),
				     pos + done, iswrite, bounce);
		if (ret < 0)
			break;
		done += ret;
	}
	kfree(bounce);
	*ppos += done;
	return done ?: ret;
}

/* vfio-pci's own helper is for BARs: it wants memory space on */
static vm_fault_t insert(struct vm_fault *vmf, unsigned long pfn, unsigned int order)
{
	switch (order) {
	case 0:
		return vmf_insert_pfn(vmf->vma, vmf->address, pfn);
#ifdef CONFIG_ARCH_SUPPORTS_PMD_PFNMAP
	case PMD_ORDER:
		return vmf_insert_pfn_pmd(vmf, pfn, false);
#endif
#ifdef CONFIG_ARCH_SUPPORTS_PUD_PFNMAP
	case PUD_ORDER:
		return vmf_insert_pfn_pud(vmf, pfn, false);
#endif
	}
	return VM_FAULT_FALLBACK;
}

static vm_fault_t memory_huge_fault(struct vm_fault *vmf, unsigned int order)
{
	struct vm_area_struct *vma = vmf->vma;
	struct cxl_vfio *cxl = vma->vm_private_data;
	unsigned long addr = ALIGN_DOWN(vmf->address, PAGE_SIZE << order);
	unsigned long page = vma->vm_pgoff & (VFIO_PCI_OFFSET_MASK >> PAGE_SHIFT);
	unsigned long pfn = PHYS_PFN(cxl->range.base) + page + ((addr - vma->vm_start) >> PAGE_SHIFT);
	vm_fault_t ret = VM_FAULT_SIGBUS;

	if (!is_aligned_for_order(vma, addr, pfn, order))
		return VM_FAULT_FALLBACK;
	down_read(&cxl->core.memory_lock);
	down_read(&cxl->gate);
	if (!closed(cxl))
		ret = insert(vmf, pfn, order);
	up_read(&cxl->gate);
	up_read(&cxl->core.memory_lock);
	return ret;
}

static vm_fault_t memory_fault(struct vm_fault *vmf)
{
	return memory_huge_fault(vmf, 0);
}

static const struct vm_operations_struct memory_vm_ops = {
	.fault = memory_fault,
	.huge_fault = memory_huge_fault,
};

static int memory_mmap(struct vfio_pci_core_device *core, struct vfio_pci_region *region,
		       struct vm_area_struct *vma)
{
	struct cxl_vfio *cxl = to_cxl(core);
	u64 page = vma->vm_pgoff & (VFIO_PCI_OFFSET_MASK >> PAGE_SHIFT);

	if (page + vma_pages(vma) > PHYS_PFN(cxl->range.size))
		return -EINVAL;
	vma->vm_private_data = cxl;
	vm_flags_set(vma, VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP);
	vma->vm_ops = &memory_vm_ops;
	return 0;
}

static void memory_release(struct vfio_pci_core_device *core, struct vfio_pci_region *region)
{
}

static const struct vfio_pci_regops memory_ops = {
	.rw = memory_rw,
	.mmap = memory_mmap,
	.release = memory_release,
};

/*
 * What a dma-buf of the region stands for, in a kernel that gives one.  vfio-pci
 * revokes it when it closes the BARs, so it follows memory space in any case.
 */
static int memory_dmabuf_phys(struct vfio_pci_core_device *core, struct p2pdma_provider **provider,
			      unsigned int region, struct phys_vec *phys,
			      struct vfio_region_dma_range *ranges, size_t count)
{
	struct cxl_vfio *cxl = to_cxl(core);

	if (region != cxl->mem_region)
		return vfio_pci_core_get_dmabuf_phys(core, provider, region, phys, ranges, count);
	*provider = pcim_p2pdma_provider(core->pdev, cxl->bar);
	if (!*provider)
		return -EINVAL;
	return vfio_pci_core_fill_phys_vec(phys, ranges, count, cxl->range.base, cxl->range.size);
}

const struct vfio_pci_device_ops cxl_memory_pci_ops = {
	.get_dmabuf_phys = memory_dmabuf_phys,
};

int cxl_memory_add_region(struct cxl_vfio *cxl)
{
	int ret = vfio_pci_core_register_dev_region(&cxl->core, CXL_VFIO_REGION_TYPE,
						    CXL_VFIO_REGION_MEM, &memory_ops,
						    cxl->range.size, VFIO_REGION_INFO_FLAG_READ |
						    VFIO_REGION_INFO_FLAG_WRITE |
						    VFIO_REGION_INFO_FLAG_MMAP, NULL);

	if (!ret)
		cxl->mem_region = VFIO_PCI_NUM_REGIONS + cxl->core.num_regions - 1;
	return ret;
}
