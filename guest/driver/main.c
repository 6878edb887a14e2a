// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A small driver for a CXL Type-2 device, as a guest sees it.
 *
 * It asks Linux's CXL core, through the interface made for Type-2 drivers, which
 * host physical range (HPA; in a VM: guest physical) the device's memory has,
 * and lets user space map it: /dev/cxl_type2, write-back cacheable, 2 MiB pages
 * where they fit; ioctls move memory by the device's DMA engine (dma.c).
 * A device whose decoders nobody has committed, and over which the core builds no
 * region, can be programmed at register level through the attribute "program".
 *
 * Attributes, below the PCI device:
 *   hpa_base, hpa_size   what can be mapped; size 0: nothing yet
 *   capacity             bytes of device memory
 *   locked               1 if decoder 0 is committed with lock-on-commit
 *   path                 core | registers: who found the range
 *   decoders             one line per decoder, as the registers say
 *   program              write "N BASE SIZE [SKIP]" to commit decoder N,
 *                        "N 0 0" to uncommit it
 *   node                 the name below /dev
 *   sysram               write 1: the memory becomes system RAM of the kernel's,
 *                        its blocks to be onlined by user space; write 0: the
 *                        kernel gives it back. Reads as the NUMA node, -1: it is
 *                        not the kernel's
 */
#include <linux/bitfield.h>
#include <linux/delay.h>
#include <linux/idr.h>
#include <linux/io.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/memory.h>
#include <linux/memory_hotplug.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/numa.h>
#include <linux/pci.h>
#include <linux/range.h>
#include <linux/rwsem.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include <cxl/cxl.h>
#include <cxl/pci.h>
#include "dma.h"

#define CXL_DVSEC_VENDOR		0x1e98

/* CXL r3.1 Section 8.2.4.20 CXL HDM Decoder Capability Structure */
#define HDM_CAP				0x00
#define   HDM_CAP_COUNT			GENMASK(3, 0)
#define HDM_GLOBAL_CTRL			0x04
#define   HDM_GLOBAL_ENABLE		BIT(1)
#define HDM_BASE_LOW(n)			(0x10 + 0x20 * (n))
#define HDM_BASE_HIGH(n)		(0x14 + 0x20 * (n))
#define HDM_SIZE_LOW(n)			(0x18 + 0x20 * (n))
#define HDM_SIZE_HIGH(n)		(0x1c + 0x20 * (n))
#define HDM_CTRL(n)			(0x20 + 0x20 * (n))
#define   HDM_CTRL_LOCK			BIT(8)
#define   HDM_CTRL_COMMIT		BIT(9)
#define   HDM_CTRL_COMMITTED		BIT(10)
#define   HDM_CTRL_ERROR		BIT(11)
#define HDM_SKIP_LOW(n)			(0x24 + 0x20 * (n))
#define HDM_SKIP_HIGH(n)		(0x28 + 0x20 * (n))
#define HDM_UNIT_MASK			GENMASK(31, 28)
#define HDM_UNIT			(256ULL << 20)
/* Decoders may need up to 10 ms to commit or to say that they do not */
#define HDM_COMMIT_MS			20

static ushort vendor, device;
module_param(vendor, ushort, 0444);
MODULE_PARM_DESC(vendor, "bind to this PCI vendor id as well (needs device=)");
module_param(device, ushort, 0444);
MODULE_PARM_DESC(device, "bind to this PCI device id as well (needs vendor=)");

static bool core = true;
module_param(core, bool, 0444);
MODULE_PARM_DESC(core, "ask the CXL core about committed decoders (default: yes)");

static unsigned long long capacity;
module_param(capacity, ullong, 0444);
MODULE_PARM_DESC(capacity, "bytes of device memory (default: what the device says)");

/*
 * What an open file holds on to. It outlives the device: after removal the
 * range is empty and every access ends in SIGBUS.
 */
struct type2_mem {
	struct kref kref;
	struct miscdevice misc;
	char name[24];
	int id;
	struct rw_semaphore lock;	/* hpa, files */
	u64 base, size;
	void *kernel_map;
	struct list_head files;
	struct mutex dma_lock;		/* the engine, and its use */
	struct type2_dma *dma;
};

struct type2_file {
	struct list_head entry;
	struct type2_mem *mem;
	struct address_space *mapping;
};

struct type2_dev {
	struct cxl_dev_state cxlds;	/* first, as the CXL core wants it */
	struct type2_mem *mem;
	void __iomem *hdm;
	unsigned int decoders;
	u64 capacity;
	bool by_core;
	struct mutex program_lock;	/* and what sysram says */
	u64 sysram_base, sysram_size;
	int sysram_node;
	u64 requested_base, requested_size;
};

struct hdm_decoder {
	u64 base, size, skip;
	u32 ctrl;
};

static DEFINE_IDA(type2_ids);

/* ---- decoder registers ---- */

static u64 hdm_read64(struct type2_dev *t2, unsigned int low)
{
	return readl(t2->hdm + low) | (u64)readl(t2->hdm + low + 4) << 32;
}

static void hdm_write64(struct type2_dev *t2, unsigned int low, u64 value)
{
	writel(lower_32_bits(value), t2->hdm + low);
	writel(upper_32_bits(value), t2->hdm + low + 4);
}

static struct hdm_decoder hdm_read(struct type2_dev *t2, unsigned int n)
{
	return (struct hdm_decoder) {
		.base = hdm_read64(t2, HDM_BASE_LOW(n)),
		.size = hdm_read64(t2, HDM_SIZE_LOW(n)),
		.skip = hdm_read64(t2, HDM_SKIP_LOW(n)),
		.ctrl = readl(t2->hdm + HDM_CTRL(n)),
	};
}

static bool hdm_committed(const struct hdm_decoder *d)
{
	return d->size && (d->ctrl & HDM_CTRL_COMMITTED);
}

/* The contiguous range that the committed decoders give, decoder 0 first. */
static void hdm_range(struct type2_dev *t2, u64 *base, u64 *size)
{
	*base = *size = 0;
	for (unsigned int n = 0; n < t2->decoders; n++) {
		struct hdm_decoder d = hdm_read(t2, n);

		if (!hdm_committed(&d) || (n && d.base != *base + *size))
			break;
		if (!n)
			*base = d.base;
		*size += d.size;
	}
}

/* CXL r3.1 Section 8.2.4.20.1: 0 is one decoder, 1..8 are two each, then by four */
static unsigned int hdm_count(u32 cap)
{
	unsigned int n = FIELD_GET(HDM_CAP_COUNT, cap);

	return !n ? 1 : n <= 8 ? 2 * n : 16 + 4 * (n - 8);
}

static int hdm_commit(struct type2_dev *t2, unsigned int n, u64 base, u64 size, u64 skip)
{
	u32 ctrl = readl(t2->hdm + HDM_CTRL(n));

	/* Such a decoder ignores every write: saying "done" would be a lie. */
	if ((ctrl & HDM_CTRL_COMMITTED) && (ctrl & HDM_CTRL_LOCK))
		return -EPERM;
	ctrl &= ~(HDM_CTRL_COMMIT | HDM_CTRL_COMMITTED | HDM_CTRL_ERROR);
	writel(ctrl, t2->hdm + HDM_CTRL(n));
	if (!size)
		return readl(t2->hdm + HDM_CTRL(n)) & HDM_CTRL_COMMITTED ? -EBUSY : 0;

	hdm_write64(t2, HDM_BASE_LOW(n), base);
	hdm_write64(t2, HDM_SIZE_LOW(n), size);
	hdm_write64(t2, HDM_SKIP_LOW(n), skip);
	/* The order matters to a device that decodes at once: commit comes last. */
	writel(readl(t2->hdm + HDM_GLOBAL_CTRL) | HDM_GLOBAL_ENABLE, t2->hdm + HDM_GLOBAL_CTRL);
	writel(ctrl | HDM_CTRL_COMMIT, t2->hdm + HDM_CTRL(n));

	for (int ms = 0; ms <= HDM_COMMIT_MS; ms++) {
		ctrl = readl(t2->hdm + HDM_CTRL(n));
		if (ctrl & HDM_CTRL_COMMITTED)
			return 0;
		if (ctrl & HDM_CTRL_ERROR)
			return -ENXIO;
		usleep_range(900, 1000);
	}
	return -ETIMEDOUT;
}

/* ---- memory and its mappings ---- */

static void type2_mem_release(struct kref *kref)
{
	struct type2_mem *mem = container_of(kref, struct type2_mem, kref);

	ida_free(&type2_ids, mem->id);
	kfree(mem);
}

/* Replaces the range; whatever user space has mapped of the old one goes. */
static int type2_mem_set(struct type2_mem *mem, u64 base, u64 size)
{
	struct type2_file *file;
	int rc = 0;

	down_write(&mem->lock);
	mem->base = mem->size = 0;
	list_for_each_entry(file, &mem->files, entry)
		unmap_mapping_range(file->mapping, 0, 0, 1);
	if (mem->kernel_map)
		memunmap(mem->kernel_map);
	mem->kernel_map = NULL;
	if (size) {
		/*
		 * On x86 a mapping of our own is what makes the range write-back
		 * for user mappings too; pages without one become uncached.
		 */
		mem->kernel_map = memremap(base, size, MEMREMAP_WB);
		if (mem->kernel_map) {
			mem->base = base;
			mem->size = size;
		} else {
			rc = -ENOMEM;
		}
	}
	up_write(&mem->lock);
	return rc;
}

static vm_fault_t type2_huge_fault(struct vm_fault *vmf, unsigned int order)
{
	struct vm_area_struct *vma = vmf->vma;
	struct type2_file *file = vma->vm_file->private_data;
	struct type2_mem *mem = file->mem;
	unsigned long start = ALIGN_DOWN(vmf->address, PAGE_SIZE << order);
	u64 bytes = PAGE_SIZE << order, offset;
	vm_fault_t ret = VM_FAULT_SIGBUS;

	if (order && (order != PMD_ORDER || start < vma->vm_start ||
		      start + bytes > vma->vm_end))
		return VM_FAULT_FALLBACK;
	offset = ((u64)vma->vm_pgoff << PAGE_SHIFT) + (start - vma->vm_start);

	down_read(&mem->lock);
	if (offset + bytes <= mem->size) {
		unsigned long pfn = PHYS_PFN(mem->base + offset);

		if (!order)
			ret = vmf_insert_pfn(vma, start, pfn);
		else if (IS_ALIGNED(pfn, 1UL << order))
			ret = vmf_insert_pfn_pmd(vmf, pfn, vmf->flags & FAULT_FLAG_WRITE);
		else
			ret = VM_FAULT_FALLBACK;
	}
	up_read(&mem->lock);
	return ret;
}

static vm_fault_t type2_fault(struct vm_fault *vmf)
{
	return type2_huge_fault(vmf, 0);
}

static const struct vm_operations_struct type2_vm_ops = {
	.fault = type2_fault,
	.huge_fault = type2_huge_fault,
};

static int type2_mmap(struct file *filp, struct vm_area_struct *vma)
{
	struct type2_file *file = filp->private_data;
	u64 offset = (u64)vma->vm_pgoff << PAGE_SHIFT;
	u64 length = vma->vm_end - vma->vm_start;
	u64 size;

	down_read(&file->mem->lock);
	size = file->mem->size;
	up_read(&file->mem->lock);
	if (!size)
		return -ENXIO;
	if (offset > size || length > size - offset)
		return -EINVAL;
	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;

	vm_flags_set(vma, VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP);
	vma->vm_ops = &type2_vm_ops;
	return 0;
}

static int type2_open(struct inode *inode, struct file *filp)
{
	/* misc_open() holds its lock here: the device cannot go away meanwhile. */
	struct type2_mem *mem = container_of(filp->private_data, struct type2_mem, misc);
	struct type2_file *file = kzalloc(sizeof(*file), GFP_KERNEL);

	if (!file)
		return -ENOMEM;
	kref_get(&mem->kref);
	file->mem = mem;
	file->mapping = filp->f_mapping;
	filp->private_data = file;
	down_write(&mem->lock);
	list_add(&file->entry, &mem->files);
	up_write(&mem->lock);
	return 0;
}

static int type2_release(struct inode *inode, struct file *filp)
{
	struct type2_file *file = filp->private_data;

	down_write(&file->mem->lock);
	list_del(&file->entry);
	up_write(&file->mem->lock);
	kref_put(&file->mem->kref, type2_mem_release);
	kfree(file);
	return 0;
}

static long type2_ioctl(struct file *filp, unsigned int cmd, unsigned long arg)
{
	struct type2_file *file = filp->private_data;
	struct type2_mem *mem = file->mem;

	guard(mutex)(&mem->dma_lock);
	return mem->dma ? type2_dma_ioctl(mem->dma, cmd, (void __user *)arg) : -ENODEV;
}

static const struct file_operations type2_fops = {
	.owner = THIS_MODULE,
	.open = type2_open,
	.release = type2_release,
	.mmap = type2_mmap,
	.unlocked_ioctl = type2_ioctl,
	/* Aligned so that 2 MiB pages fit */
	.get_unmapped_area = thp_get_unmapped_area,
};

static void type2_mem_remove(void *data)
{
	struct type2_mem *mem = data;

	misc_deregister(&mem->misc);
	type2_mem_set(mem, 0, 0);
	kref_put(&mem->kref, type2_mem_release);
}

static int type2_mem_add(struct type2_dev *t2, struct device *dev)
{
	struct type2_mem *mem = kzalloc(sizeof(*mem), GFP_KERNEL);
	int rc;

	if (!mem)
		return -ENOMEM;
	mem->id = ida_alloc(&type2_ids, GFP_KERNEL);
	if (mem->id < 0) {
		rc = mem->id;
		kfree(mem);
		return rc;
	}
	kref_init(&mem->kref);
	init_rwsem(&mem->lock);
	INIT_LIST_HEAD(&mem->files);
	mutex_init(&mem->dma_lock);
	if (mem->id)
		snprintf(mem->name, sizeof(mem->name), "cxl_type2.%d", mem->id);
	else
		strscpy(mem->name, "cxl_type2");
	mem->misc = (struct miscdevice) {
		.minor = MISC_DYNAMIC_MINOR,
		.name = mem->name,
		.fops = &type2_fops,
		.parent = dev,
		.mode = 0600,
	};
	rc = misc_register(&mem->misc);
	if (rc) {
		kref_put(&mem->kref, type2_mem_release);
		return rc;
	}
	t2->mem = mem;
	return devm_add_action_or_reset(dev, type2_mem_remove, mem);
}

static void type2_dma_remove(void *data)
{
	struct type2_mem *mem = data;

	guard(mutex)(&mem->dma_lock);
	mem->dma = NULL;
}

static int type2_dma_add(struct type2_dev *t2, struct pci_dev *pdev)
{
	struct type2_dma *dma = type2_dma_init(pdev);

	/* The memory is of use without it. */
	if (IS_ERR(dma)) {
		dev_warn(&pdev->dev, "the DMA engine or its interrupts cannot be set up: %pe\n", dma);
		return 0;
	}
	scoped_guard(mutex, &t2->mem->dma_lock)
		t2->mem->dma = dma;
	return devm_add_action_or_reset(&pdev->dev, type2_dma_remove, t2->mem);
}

/* ---- attributes ---- */

static ssize_t hpa_base_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct type2_dev *t2 = dev_get_drvdata(dev);

	return sysfs_emit(buf, "0x%llx\n", t2->mem->base);
}
static DEVICE_ATTR_RO(hpa_base);

static ssize_t hpa_size_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct type2_dev *t2 = dev_get_drvdata(dev);

	return sysfs_emit(buf, "0x%llx\n", t2->mem->size);
}
static DEVICE_ATTR_RO(hpa_size);

static ssize_t locked_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct type2_dev *t2 = dev_get_drvdata(dev);
	struct hdm_decoder d = hdm_read(t2, 0);

	return sysfs_emit(buf, "%d\n", hdm_committed(&d) && (d.ctrl & HDM_CTRL_LOCK));
}
static DEVICE_ATTR_RO(locked);

static ssize_t capacity_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct type2_dev *t2 = dev_get_drvdata(dev);

	return sysfs_emit(buf, "0x%llx\n", t2->capacity);
}
static DEVICE_ATTR_RO(capacity);

static ssize_t path_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct type2_dev *t2 = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%s\n", t2->by_core ? "core" : "registers");
}
static DEVICE_ATTR_RO(path);

static ssize_t node_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct type2_dev *t2 = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%s\n", t2->mem->name);
}
static DEVICE_ATTR_RO(node);

static ssize_t decoders_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct type2_dev *t2 = dev_get_drvdata(dev);
	ssize_t len = 0;

	for (unsigned int n = 0; n < t2->decoders; n++) {
		struct hdm_decoder d = hdm_read(t2, n);

		len += sysfs_emit_at(buf, len, "%u base=0x%llx size=0x%llx skip=0x%llx ctrl=0x%x\n",
				     n, d.base, d.size, d.skip, d.ctrl);
	}
	return len;
}
static DEVICE_ATTR_RO(decoders);

static void type2_unrequest(void *data)
{
	struct type2_dev *t2 = data;

	if (t2->requested_size)
		release_mem_region(t2->requested_base, t2->requested_size);
	t2->requested_size = 0;
}

/* Makes the range that the registers give available to user space. */
static int type2_adopt_registers(struct type2_dev *t2)
{
	u64 base, size;

	hdm_range(t2, &base, &size);
	type2_unrequest(t2);
	if (size && !request_mem_region(base, size, t2->mem->name))
		return -EBUSY;
	t2->requested_base = base;
	t2->requested_size = size;
	return type2_mem_set(t2->mem, base, size);
}

static ssize_t program_store(struct device *dev, struct device_attribute *attr,
			     const char *buf, size_t count)
{
	struct type2_dev *t2 = dev_get_drvdata(dev);
	long long base, size, skip = 0;
	unsigned int n;
	int rc;

	if (sscanf(buf, "%u %lli %lli %lli", &n, &base, &size, &skip) < 3 || n >= t2->decoders)
		return -EINVAL;
	if (t2->by_core)
		return -EBUSY;

	guard(mutex)(&t2->program_lock);
	if (t2->sysram_size)
		return -EBUSY;
	type2_mem_set(t2->mem, 0, 0);
	rc = hdm_commit(t2, n, base, size, skip);
	if (rc)
		dev_err(dev, "decoder %u does not take base 0x%llx size 0x%llx skip 0x%llx: %pe, control register 0x%x\n",
			n, base, size, skip, ERR_PTR(rc), readl(t2->hdm + HDM_CTRL(n)));
	return type2_adopt_registers(t2) ?: rc ?: count;
}
static DEVICE_ATTR_WO(program);

/* ---- system RAM ---- */

static int type2_sysram_add(struct device *dev, struct type2_dev *t2)
{
	u64 base = t2->mem->base, size = t2->mem->size;
	int node, rc;

	if (t2->sysram_size)
		return -EEXIST;
	if (!size)
		return -ENXIO;
	if (!IS_ALIGNED(base | size, memory_block_size_bytes())) {
		dev_err(dev, "%#llx+%#llx is not made of memory blocks of %#lx\n",
			base, size, memory_block_size_bytes());
		return -EINVAL;
	}
	node = phys_to_target_node(base);
	if (node == NUMA_NO_NODE)
		node = 0;
	/* Nobody else may have it mapped from here on */
	type2_mem_set(t2->mem, 0, 0);
	rc = add_memory_driver_managed(node, base, size, "System RAM (cxl_type2)", MHP_NONE);
	if (rc) {
		dev_err(dev, "the kernel does not take %#llx+%#llx as memory: %pe\n",
			base, size, ERR_PTR(rc));
		type2_mem_set(t2->mem, base, size);
		return rc;
	}
	t2->sysram_base = base;
	t2->sysram_size = size;
	t2->sysram_node = node;
	return 0;
}

/* Moves what is there elsewhere; an error where that is not possible now. */
static int type2_sysram_remove(struct type2_dev *t2)
{
	int rc;

	if (!t2->sysram_size)
		return 0;
	rc = offline_and_remove_memory(t2->sysram_base, t2->sysram_size);
	if (rc)
		return rc;
	rc = type2_mem_set(t2->mem, t2->sysram_base, t2->sysram_size);
	t2->sysram_size = 0;
	return rc;
}

static ssize_t sysram_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct type2_dev *t2 = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%d\n", t2->sysram_size ? t2->sysram_node : NUMA_NO_NODE);
}

static ssize_t sysram_store(struct device *dev, struct device_attribute *attr,
			    const char *buf, size_t count)
{
	struct type2_dev *t2 = dev_get_drvdata(dev);
	bool on;
	int rc;

	rc = kstrtobool(buf, &on);
	if (rc)
		return rc;
	guard(mutex)(&t2->program_lock);
	rc = on ? type2_sysram_add(dev, t2) : type2_sysram_remove(t2);
	return rc ?: count;
}
static DEVICE_ATTR_RW(sysram);

static struct attribute *type2_attrs[] = {
	&dev_attr_hpa_base.attr,
	&dev_attr_hpa_size.attr,
	&dev_attr_locked.attr,
	&dev_attr_capacity.attr,
	&dev_attr_path.attr,
	&dev_attr_node.attr,
	&dev_attr_decoders.attr,
	&dev_attr_sysram.attr,
	&dev_attr_program.attr,
	NULL
};
ATTRIBUTE_GROUPS(type2);

/* ---- binding ---- */

static u64 dvsec_capacity(struct pci_dev *pdev, u16 dvsec)
{
	u64 total = 0;

	for (int i = 0; i < CXL_DVSEC_RANGE_MAX; i++) {
		u32 high = 0, low = 0;

		pci_read_config_dword(pdev, dvsec + PCI_DVSEC_CXL_RANGE_SIZE_HIGH(i), &high);
		pci_read_config_dword(pdev, dvsec + PCI_DVSEC_CXL_RANGE_SIZE_LOW(i), &low);
		if (low & PCI_DVSEC_CXL_MEM_INFO_VALID)
			total += (u64)high << 32 | (low & PCI_DVSEC_CXL_MEM_SIZE_LOW);
	}
	return total;
}

/* How far into device memory the decoders reach; a real driver knows its device. */
static u64 hdm_capacity(struct type2_dev *t2)
{
	u64 total = 0;

	for (unsigned int n = 0; n < t2->decoders; n++) {
		struct hdm_decoder d = hdm_read(t2, n);

		if (!hdm_committed(&d))
			break;
		total += d.skip + d.size;
	}
	return total;
}

static const char *type2_hint(int rc)
{
	switch (rc) {
	case -ENXIO:
		return "no region could be built over the committed decoder; either no fixed window holds its range, or the host bridge's own decoder is not committed over the same range";
	case -EBUSY:
		return "device memory is already claimed, or the capacity is smaller than what the decoders use";
	case -ENODEV:
		return "no CXL root is known: is cxl_acpi loaded, and does the firmware hand out a CEDT?";
	case -EPROBE_DEFER:
		return "the CXL core is not ready yet: load cxl_acpi and cxl_mem first";
	default:
		return "the lines of the CXL core above say more";
	}
}

static int type2_probe_core(struct type2_dev *t2, struct pci_dev *pdev, u64 bytes)
{
	struct hdm_decoder d = hdm_read(t2, 0);
	struct cxl_memdev *cxlmd;
	struct range range = { };
	int rc;

	t2->cxlds.media_ready = true;
	rc = cxl_set_capacity(&t2->cxlds, bytes);
	if (rc)
		return dev_err_probe(&pdev->dev, rc, "the CXL core refuses a capacity of 0x%llx\n",
				     bytes);

	cxlmd = devm_cxl_probe_mem(&t2->cxlds, &range);
	if (IS_ERR(cxlmd)) {
		rc = PTR_ERR(cxlmd);
		return dev_err_probe(&pdev->dev, rc,
				     "the CXL core does not attach the memory of decoder 0 (base 0x%llx size 0x%llx control 0x%x): %s\n",
				     d.base, d.size, d.ctrl,
				     hdm_committed(&d) ? type2_hint(rc) :
				     "it builds no region over a decoder that nobody has committed");
	}
	t2->by_core = true;
	dev_info(&pdev->dev, "attached by the CXL core, HPA %#llx-%#llx, decoder 0 %s\n",
		 range.start, range.end, d.ctrl & HDM_CTRL_LOCK ? "locked" : "not locked");
	return type2_mem_set(t2->mem, range.start, range_len(&range));
}

/*
 * Where the core finds no memory it takes the device's driver off, a moment
 * later. So what the core has no use for is probed a second time, without it.
 */
struct type2_again {
	struct work_struct work;
	struct pci_dev *pdev;
};

static DEFINE_XARRAY(type2_without_core);	/* functions, by address */
static struct workqueue_struct *type2_again_wq;
#define TYPE2_AGAIN_MS			200

static unsigned long type2_address(struct pci_dev *pdev)
{
	return (unsigned long)pci_domain_nr(pdev->bus) << 16 | pci_dev_id(pdev);
}

static void type2_do_again(struct work_struct *work)
{
	struct type2_again *again = container_of(work, struct type2_again, work);

	msleep(TYPE2_AGAIN_MS);
	if (device_attach(&again->pdev->dev) <= 0)
		xa_erase(&type2_without_core, type2_address(again->pdev));
	pci_dev_put(again->pdev);
	kfree(again);
}

static int type2_probe_again(struct pci_dev *pdev)
{
	struct type2_again *again = kzalloc(sizeof(*again), GFP_KERNEL);
	int rc;

	if (!again)
		return -ENOMEM;
	rc = xa_err(xa_store(&type2_without_core, type2_address(pdev), xa_mk_value(1), GFP_KERNEL));
	if (rc) {
		kfree(again);
		return rc;
	}
	INIT_WORK(&again->work, type2_do_again);
	again->pdev = pci_dev_get(pdev);
	queue_work(type2_again_wq, &again->work);
	return 0;
}

static int type2_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct device *dev = &pdev->dev;
	struct cxl_register_map *map;
	struct type2_dev *t2;
	struct hdm_decoder d;
	u64 bytes;
	u16 dvsec;
	int rc;

	dvsec = pci_find_dvsec_capability(pdev, CXL_DVSEC_VENDOR, PCI_DVSEC_CXL_DEVICE);
	if (!dvsec)
		return dev_err_probe(dev, -ENODEV, "no CXL Device DVSEC (vendor 0x1e98, id 0): not a CXL device\n");

	rc = pcim_enable_device(pdev);
	if (rc)
		return dev_err_probe(dev, rc, "the device cannot be enabled\n");
	pci_set_master(pdev);

	t2 = devm_cxl_dev_state_create(dev, CXL_DEVTYPE_DEVMEM, pci_get_dsn(pdev), dvsec,
				       struct type2_dev, cxlds, false);
	if (!t2)
		return -ENOMEM;
	mutex_init(&t2->program_lock);
	pci_set_drvdata(pdev, t2);

	map = &t2->cxlds.reg_map;
	rc = cxl_pci_setup_regs(pdev, CXL_REGLOC_RBI_COMPONENT, map);
	if (rc)
		return dev_err_probe(dev, rc, "no component registers: is there a Register Locator DVSEC with block id 1?\n");
	if (!map->component_map.hdm_decoder.valid)
		return dev_err_probe(dev, -ENODEV, "component registers at %pa hold no HDM decoder capability (id 5)\n",
				     &map->resource);
	/*
	 * The CXL core maps, and claims, the same registers for itself later, so
	 * they are mapped here without a claim.
	 */
	t2->hdm = devm_ioremap(dev, map->resource + map->component_map.hdm_decoder.offset,
			       map->component_map.hdm_decoder.size);
	if (!t2->hdm)
		return dev_err_probe(dev, -ENOMEM, "the HDM decoder registers cannot be mapped\n");
	if (readl(t2->hdm + HDM_CAP) == ~0U)
		return dev_err_probe(dev, -ENODEV, "the HDM decoder block at %#llx reads as all ones: whoever passed this device through hides its decoders and presents none instead\n",
				     (u64)map->resource + map->component_map.hdm_decoder.offset);
	t2->decoders = hdm_count(readl(t2->hdm + HDM_CAP));
	if (HDM_BASE_LOW(t2->decoders) > map->component_map.hdm_decoder.size)
		return dev_err_probe(dev, -ENODEV, "%u HDM decoders do not fit their capability of %lu bytes\n",
				     t2->decoders, map->component_map.hdm_decoder.size);

	rc = type2_mem_add(t2, dev);
	if (rc)
		return dev_err_probe(dev, rc, "no device node\n");

	rc = type2_dma_add(t2, pdev);
	if (rc)
		return rc;

	bytes = capacity ?: max(dvsec_capacity(pdev, dvsec), hdm_capacity(t2));
	t2->capacity = bytes;
	d = hdm_read(t2, 0);
	dev_info(dev, "%u HDM decoders at %#llx, %llu MiB of device memory, decoder 0 base 0x%llx size 0x%llx control 0x%x\n",
		 t2->decoders, (u64)map->resource + map->component_map.hdm_decoder.offset,
		 bytes >> 20, d.base, d.size, d.ctrl);

	if (core && !xa_erase(&type2_without_core, type2_address(pdev))) {
		rc = type2_probe_core(t2, pdev, bytes);
		/* What firmware has committed and locked is the core's, or nobody's */
		if (!rc || (hdm_committed(&d) && (d.ctrl & HDM_CTRL_LOCK)) || rc == -EPROBE_DEFER)
			return rc;
		return type2_probe_again(pdev) ?: rc;
	}

	/* Nobody locked, or the core is to be left out: user space programs. */
	rc = devm_add_action_or_reset(dev, type2_unrequest, t2);
	if (rc)
		return rc;
	pci_write_config_word(pdev, dvsec + PCI_DVSEC_CXL_CTRL, PCI_DVSEC_CXL_MEM_ENABLE);
	return type2_adopt_registers(t2);
}

/* Before the CXL core takes its region back: nobody may still reach the memory. */
static void type2_remove(struct pci_dev *pdev)
{
	struct type2_dev *t2 = pci_get_drvdata(pdev);
	bool told = false;

	/*
	 * The kernel cannot do without memory that it uses, and a removal cannot
	 * be refused. So it waits: the slot keeps its power until the memory is
	 * free.
	 */
	guard(mutex)(&t2->program_lock);
	while (type2_sysram_remove(t2)) {
		if (!told)
			dev_warn(&pdev->dev, "the memory is in use as system RAM: the removal waits for it\n");
		told = true;
		msleep(500);
	}
	type2_mem_set(t2->mem, 0, 0);
}

static const struct pci_device_id type2_ids_table[] = {
	{ PCI_DEVICE(0x1234, 0xc2a1) },
	{ }
};
MODULE_DEVICE_TABLE(pci, type2_ids_table);

static struct pci_driver type2_driver = {
	.name = "cxl_type2_guest",
	.id_table = type2_ids_table,
	.probe = type2_probe,
	.remove = type2_remove,
	.dev_groups = type2_groups,
	.driver.probe_type = PROBE_FORCE_SYNCHRONOUS,
};

static int __init type2_init(void)
{
	int rc;

	type2_again_wq = alloc_workqueue("cxl_type2", WQ_UNBOUND, 0);
	if (!type2_again_wq)
		return -ENOMEM;
	rc = pci_register_driver(&type2_driver);
	if (!rc && vendor) {
		rc = pci_add_dynid(&type2_driver, vendor, device, PCI_ANY_ID, PCI_ANY_ID, 0, 0, 0);
		if (rc)
			pci_unregister_driver(&type2_driver);
	}
	/* What was there is bound when the module is loaded */
	flush_workqueue(type2_again_wq);
	if (rc)
		destroy_workqueue(type2_again_wq);
	return rc;
}
module_init(type2_init);

static void __exit type2_exit(void)
{
	/* Before the driver goes, so that none is probed later */
	drain_workqueue(type2_again_wq);
	pci_unregister_driver(&type2_driver);
	destroy_workqueue(type2_again_wq);
	xa_destroy(&type2_without_core);
	ida_destroy(&type2_ids);
}
module_exit(type2_exit);

MODULE_DESCRIPTION("CXL Type-2 device memory for user space, by Linux's CXL core");
MODULE_IMPORT_NS("CXL");
MODULE_LICENSE("GPL");
