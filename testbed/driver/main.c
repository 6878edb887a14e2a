// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A vfio-pci variant driver for CXL Type-2 functions.
 *
 * The kernel's own support is not merged.  This stands in for it in tests: on a
 * function whose decoder 0 firmware has committed it presents, beside what
 * vfio-pci does, what either generation of the proposed interface presents
 * (module parameter contract=live|shadow).  Written from a description of that
 * interface, not from anyone's patches.
 *
 *   echo cxl_type2_vfio >/sys/bus/pci/devices/BDF/driver_override
 *   echo BDF >/sys/bus/pci/drivers_probe
 */
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/unaligned.h>
#include <linux/vfio.h>
#include "cxl_type2_vfio.h"

static char *contract = "live";
module_param(contract, charp, 0444);
MODULE_PARM_DESC(contract, "Generation of the interface to present: live or shadow");
static bool memory_follows_space;
module_param(memory_follows_space, bool, 0444);
MODULE_PARM_DESC(memory_follows_space,
		 "The memory can be reached with memory space on only, as in live before September 2026 (shadow: always)");

/* ---- information ---- */

static int add_device_cap(struct cxl_vfio *cxl, struct vfio_info_cap *caps)
{
	struct cxl_vfio_device_cap cap = {
		.header = { .id = CXL_VFIO_DEVICE_CAP, .version = 1 },
		.hdm_regs_bar_index = cxl->bar,
		.flags = CXL_VFIO_FIRMWARE_COMMITTED |
			 (cxl_dvsec_cache_capable(cxl) ? CXL_VFIO_CACHE_CAPABLE : 0),
		.hdm_regs_offset = cxl->block + CXL_CM_OFFSET,
		.dpa_region_index = cxl->mem_region,
		.comp_regs_region_index = cxl->mem_region + 1,
	};

	return vfio_info_add_capability(caps, &cap.header, sizeof(cap));
}

/* vfio-pci's answer, which has no capabilities on this architecture, and ours in it */
static long get_info(struct cxl_vfio *cxl, void __user *arg)
{
	struct vfio_info_cap caps = {};
	struct vfio_device_info info = {};
	u32 argsz;
	long ret;

	ret = vfio_pci_core_ioctl(&cxl->core.vdev, VFIO_DEVICE_GET_INFO, (unsigned long)arg);
	if (ret)
		return ret;
	if (get_user(argsz, (u32 __user *)arg) ||
	    copy_from_user(&info, arg, min_t(size_t, argsz, sizeof(info))))
		return -EFAULT;
	info.flags |= CXL_VFIO_DEVICE_FLAG;
	if (cxl->contract == CXL_VFIO_SHADOW) {
		ret = add_device_cap(cxl, &caps);
		if (ret)
			return ret;
		info.flags |= VFIO_DEVICE_FLAGS_CAPS;
		info.cap_offset = 0;
		if (argsz < sizeof(info) + caps.size) {
			info.argsz = sizeof(info) + caps.size;
		} else {
			info.cap_offset = sizeof(info);
			vfio_info_cap_shift(&caps, sizeof(info));
			if (copy_to_user(arg + sizeof(info), caps.buf, caps.size))
				ret = -EFAULT;
		}
		kfree(caps.buf);
	}
	if (copy_to_user(arg, &info, min_t(size_t, argsz, sizeof(info))))
		ret = -EFAULT;
	return ret;
}

/* The BAR of the component registers can be mapped around them */
static int get_region_info_caps(struct vfio_device *vdev, struct vfio_region_info *info,
				struct vfio_info_cap *caps)
{
	struct cxl_vfio *cxl = container_of(vdev, struct cxl_vfio, core.vdev);
	struct {
		struct vfio_region_info_cap_sparse_mmap head;
		struct vfio_region_sparse_mmap_area areas[2];
	} sparse = {
		.head.header = { .id = VFIO_REGION_INFO_CAP_SPARSE_MMAP, .version = 1 },
	};
	u64 start, size;
	int ret;

	ret = vfio_pci_ioctl_get_region_info(vdev, info, caps);
	if (ret || info->index != cxl->bar || !(info->flags & VFIO_REGION_INFO_FLAG_MMAP))
		return ret;

	cxl_decoders_hole(cxl, &start, &size);
	if (cxl->contract == CXL_VFIO_SHADOW && size >= info->size) {
		info->flags &= ~VFIO_REGION_INFO_FLAG_MMAP;
		return 0;
	}
	if (start > 0)
		sparse.areas[sparse.head.nr_areas++] =
			(struct vfio_region_sparse_mmap_area){ 0, start };
	if (start + size < info->size)
		sparse.areas[sparse.head.nr_areas++] =
			(struct vfio_region_sparse_mmap_area){ start + size,
							       info->size - start - size };
	return vfio_info_add_capability(caps, &sparse.head.header,
					struct_size(&sparse.head, areas, sparse.head.nr_areas));
}

/* ---- read, write, mmap ---- */

static bool overlaps(u64 a, u64 a_size, u64 b, u64 b_size)
{
	return a_size && b_size && a < b + b_size && b < a + a_size;
}

static ssize_t cxl_read(struct vfio_device *vdev, char __user *buf, size_t count, loff_t *ppos)
{
	struct cxl_vfio *cxl = container_of(vdev, struct cxl_vfio, core.vdev);
	unsigned int index = VFIO_PCI_OFFSET_TO_INDEX(*ppos);
	u64 pos = cxl_vfio_region_pos(*ppos), start, size, from, to;
	ssize_t done = vfio_pci_core_read(vdev, buf, count, ppos);
	int ret;

	if (done <= 0)
		return done;
	if (index == VFIO_PCI_CONFIG_REGION_INDEX) {
		ret = cxl_dvsec_read(cxl, buf, done, pos);
		return ret ?: done;
	}
	if (index == cxl->bar) {
		cxl_decoders_hidden(cxl, &start, &size);
		from = max(pos, start);
		to = min(pos + done, start + size);
		for (; from < to; from++) {
			if (put_user((u8)0xff, (u8 __user *)buf + (from - pos)))
				return -EFAULT;
		}
	}
	return done;
}

/* Does writing @bytes at @pos leave a bit of @mask in the 16-bit register @reg? */
static bool leaves(u64 pos, const u8 *bytes, size_t count, u16 reg, u16 mask)
{
	unsigned int i;

	for (i = 0; i < 2; i++) {
		u64 at = reg + i;

		if (at >= pos && at < pos + count && bytes[at - pos] & (mask >> (8 * i)) & 0xff)
			return true;
	}
	return false;
}

/*
 * Will this write leave D0, or turn memory space off?  A fault in between would
 * find the function unreachable, so the memory is closed before.  (Resets come
 * by way of the error handlers below.)
 */
static bool closes(struct cxl_vfio *cxl, u64 pos, const u8 *bytes, size_t count)
{
	u16 pm = cxl->core.pdev->pm_cap;

	if (cxl->memory_follows_space && overlaps(pos, count, PCI_COMMAND, 1) &&
	    !leaves(pos, bytes, count, PCI_COMMAND, PCI_COMMAND_MEMORY))
		return true;
	return pm && leaves(pos, bytes, count, pm + PCI_PM_CTRL, PCI_PM_CTRL_STATE_MASK);
}

static ssize_t write_config(struct cxl_vfio *cxl, const char __user *buf, size_t count,
			    loff_t *ppos)
{
	u64 pos = cxl_vfio_region_pos(*ppos);
	bool closing = false;
	u8 bytes[8];
	ssize_t done;

	if (count <= sizeof(bytes)) {
		if (copy_from_user(bytes, buf, count))
			return -EFAULT;
		closing = closes(cxl, pos, bytes, count);
	} else {
		/* Not what a VMM does for its guest: no need to look closer */
		closing = overlaps(pos, count, 0, PCI_CFG_SPACE_SIZE);
	}
	if (closing)
		cxl_memory_close_begin(cxl);
	done = vfio_pci_core_write(&cxl->core.vdev, buf, count, ppos);
	if (closing)
		cxl_memory_close_end(cxl);
	return done;
}

static ssize_t write_bar(struct cxl_vfio *cxl, const char __user *buf, size_t count, loff_t *ppos)
{
	return vfio_pci_core_write(&cxl->core.vdev, buf, count, ppos);
}

/*
 * Write what is before, inside and behind [@start, @start + @size) by itself.
 * Inside belongs to the DVSEC's shadow, or is dropped.
 */
static ssize_t write_around(struct cxl_vfio *cxl, const char __user *buf, size_t count,
			    loff_t *ppos, u64 start, u64 size, bool dvsec)
{
	ssize_t done = 0, ret = 0;

	while (done < count) {
		u64 pos = cxl_vfio_region_pos(*ppos);
		size_t part = count - done;

		if (pos >= start && pos < start + size) {
			part = min_t(u64, part, start + size - pos);
			ret = dvsec ? cxl_dvsec_write(cxl, buf + done, part, pos - start) : part;
			if (ret > 0)
				*ppos += ret;
		} else {
			if (pos < start)
				part = min_t(u64, part, start - pos);
			ret = dvsec ? write_config(cxl, buf + done, part, ppos)
				    : write_bar(cxl, buf + done, part, ppos);
		}
		if (ret <= 0)
			break;
		done += ret;
	}
	return done ?: ret;
}

static ssize_t cxl_write(struct vfio_device *vdev, const char __user *buf, size_t count,
			 loff_t *ppos)
{
	struct cxl_vfio *cxl = container_of(vdev, struct cxl_vfio, core.vdev);
	unsigned int index = VFIO_PCI_OFFSET_TO_INDEX(*ppos);
	u64 start, size;

	if (index == VFIO_PCI_CONFIG_REGION_INDEX)
		return write_around(cxl, buf, count, ppos, cxl->dvsec, cxl->dvsec_len, true);
	if (index == cxl->bar) {
		cxl_decoders_hidden(cxl, &start, &size);
		return write_around(cxl, buf, count, ppos, start, size, false);
	}
	return vfio_pci_core_write(vdev, buf, count, ppos);
}

static int cxl_mmap(struct vfio_device *vdev, struct vm_area_struct *vma)
{
	struct cxl_vfio *cxl = container_of(vdev, struct cxl_vfio, core.vdev);
	u64 offset = (u64)vma->vm_pgoff << PAGE_SHIFT;
	u64 start, size;

	cxl_decoders_hole(cxl, &start, &size);
	if (VFIO_PCI_OFFSET_TO_INDEX(offset) == cxl->bar &&
	    overlaps(cxl_vfio_region_pos(offset), vma->vm_end - vma->vm_start, start, size))
		return -EINVAL;
	return vfio_pci_core_mmap(vdev, vma);
}

/* ---- ioctls ---- */

/* A write of the kernel's at an event must not reach what is hidden from user space */
static long set_ioeventfd(struct cxl_vfio *cxl, unsigned long arg)
{
	struct vfio_device_ioeventfd ioeventfd;
	u64 start, size;

	if (copy_from_user(&ioeventfd, (void __user *)arg, sizeof(ioeventfd)))
		return -EFAULT;
	cxl_decoders_hole(cxl, &start, &size);
	if (VFIO_PCI_OFFSET_TO_INDEX(ioeventfd.offset) == cxl->bar &&
	    overlaps(cxl_vfio_region_pos(ioeventfd.offset), 8, start, size))
		return -EINVAL;
	return vfio_pci_core_ioctl(&cxl->core.vdev, VFIO_DEVICE_IOEVENTFD, arg);
}

static long cxl_ioctl(struct vfio_device *vdev, unsigned int cmd, unsigned long arg)
{
	struct cxl_vfio *cxl = container_of(vdev, struct cxl_vfio, core.vdev);
	long ret;

	switch (cmd) {
	case VFIO_DEVICE_GET_INFO:
		return get_info(cxl, (void __user *)arg);
	case VFIO_DEVICE_IOEVENTFD:
		return set_ioeventfd(cxl, arg);
	}
	ret = vfio_pci_core_ioctl(vdev, cmd, arg);
	/* vfio-pci's own part may have gone well, and ours, in reset_done(), not */
	if (cmd == VFIO_DEVICE_RESET && !ret && cxl_memory_reset_failed(cxl))
		ret = -EIO;
	return ret;
}

/* Low power takes the function out of D0 at some later time */
static int cxl_device_feature(struct vfio_device *vdev, u32 flags, void __user *arg, size_t argsz)
{
	struct cxl_vfio *cxl = container_of(vdev, struct cxl_vfio, core.vdev);
	u32 feature = flags & VFIO_DEVICE_FEATURE_MASK;
	bool closing = flags & VFIO_DEVICE_FEATURE_SET &&
		       (feature == VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY ||
			feature == VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP);
	int ret;

	if (closing)
		cxl_memory_close_begin(cxl);
	ret = vfio_pci_core_ioctl_feature(vdev, flags, arg, argsz);
	if (closing)
		cxl_memory_close_end(cxl);
	return ret;
}

/* ---- open, bind, reset ---- */

static int cxl_open(struct vfio_device *vdev)
{
	struct cxl_vfio *cxl = container_of(vdev, struct cxl_vfio, core.vdev);
	int ret;

	/* Resets the function, too */
	ret = vfio_pci_core_enable(&cxl->core);
	if (ret)
		return ret;
	ret = cxl_memory_add_region(cxl) ?: cxl_decoders_add_region(cxl);
	if (ret) {
		vfio_pci_core_disable(&cxl->core);
		return ret;
	}
	cxl_dvsec_snapshot(cxl);
	cxl_decoders_snapshot(cxl);
	vfio_pci_core_finish_enable(&cxl->core);
	return 0;
}

static int cxl_init(struct vfio_device *vdev)
{
	struct cxl_vfio *cxl = container_of(vdev, struct cxl_vfio, core.vdev);

	mutex_init(&cxl->regs_lock);
	mutex_init(&cxl->dvsec_lock);
	init_rwsem(&cxl->gate);
	return vfio_pci_core_init_dev(vdev);
}

static const struct vfio_device_ops cxl_ops = {
	.name = "cxl_type2_vfio",
	.init = cxl_init,
	.release = vfio_pci_core_release_dev,
	.open_device = cxl_open,
	.close_device = vfio_pci_core_close_device,
	.ioctl = cxl_ioctl,
	.get_region_info_caps = get_region_info_caps,
	.device_feature = cxl_device_feature,
	.read = cxl_read,
	.write = cxl_write,
	.mmap = cxl_mmap,
	.request = vfio_pci_core_request,
	.match = vfio_pci_core_match,
	.match_token_uuid = vfio_pci_core_match_token_uuid,
	.bind_iommufd = vfio_iommufd_physical_bind,
	.unbind_iommufd = vfio_iommufd_physical_unbind,
	.attach_ioas = vfio_iommufd_physical_attach_ioas,
	.detach_ioas = vfio_iommufd_physical_detach_ioas,
};

/* The registers can be read while the function decodes its BARs */
static int learn(struct cxl_vfio *cxl)
{
	struct pci_dev *pdev = cxl->core.pdev;
	int ret;

	ret = cxl_dvsec_find(cxl);
	if (ret)
		return ret;
	ret = pci_enable_device_mem(pdev);
	if (ret) {
		pci_err(pdev, "cannot be enabled (%d): not taken\n", ret);
		return ret;
	}
	ret = cxl_decoders_find(cxl);
	pci_disable_device(pdev);
	if (ret)
		return ret;
	ret = cxl_memory_map(cxl);
	if (ret)
		cxl_decoders_forget(cxl);
	return ret;
}

static int cxl_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct cxl_vfio *cxl;
	int ret;

	cxl = vfio_alloc_device(cxl_vfio, core.vdev, &pdev->dev, &cxl_ops);
	if (IS_ERR(cxl))
		return PTR_ERR(cxl);
	cxl->contract = strcmp(contract, "shadow") ? CXL_VFIO_LIVE : CXL_VFIO_SHADOW;
	cxl->memory_follows_space = memory_follows_space || cxl->contract == CXL_VFIO_SHADOW;
	/* Only a kernel of testbed/kernel has IOMMUFD, and asks for dma-bufs of our regions */
	if (IS_ENABLED(CONFIG_IOMMUFD))
		cxl->core.pci_ops = &cxl_memory_pci_ops;
	dev_set_drvdata(&pdev->dev, &cxl->core);
	ret = learn(cxl);
	if (ret)
		goto put;
	ret = vfio_pci_core_register_device(&cxl->core);
	if (ret)
		goto forget;
	pci_info(pdev, "%s contract, %llu MiB of CXL memory at 0x%llx, component registers at 0x%llx of BAR %u\n",
		 contract, cxl->range.size >> 20, cxl->range.base, cxl->block, cxl->bar);
	return 0;

forget:
	cxl_memory_unmap(cxl);
	cxl_decoders_forget(cxl);
put:
	vfio_put_device(&cxl->core.vdev);
	return ret;
}

static void cxl_remove(struct pci_dev *pdev)
{
	struct cxl_vfio *cxl = to_cxl(dev_get_drvdata(&pdev->dev));

	vfio_pci_core_unregister_device(&cxl->core);
	cxl_memory_unmap(cxl);
	cxl_decoders_forget(cxl);
	vfio_put_device(&cxl->core.vdev);
}

/* Around every reset of the function, whoever asks for it and by whatever method */
static void cxl_reset_prepare(struct pci_dev *pdev)
{
	cxl_memory_reset_begin(to_cxl(dev_get_drvdata(&pdev->dev)));
}

static void cxl_reset_done(struct pci_dev *pdev)
{
	cxl_memory_reset_end(to_cxl(dev_get_drvdata(&pdev->dev)));
}

static const struct pci_error_handlers cxl_err_handlers = {
	.error_detected = vfio_pci_core_aer_err_detected,
	.reset_prepare = cxl_reset_prepare,
	.reset_done = cxl_reset_done,
};

/* Bound by driver_override only: nothing here knows by its ids what a function is */
static const struct pci_device_id cxl_ids[] = {
	{ PCI_DRIVER_OVERRIDE_DEVICE_VFIO(PCI_ANY_ID, PCI_ANY_ID) },
	{}
};
MODULE_DEVICE_TABLE(pci, cxl_ids);

static struct pci_driver cxl_driver = {
	.name = "cxl_type2_vfio",
	.id_table = cxl_ids,
	.probe = cxl_probe,
	.remove = cxl_remove,
	.err_handler = &cxl_err_handlers,
	.driver_managed_dma = true,
};

static int __init cxl_module_init(void)
{
	if (strcmp(contract, "live") && strcmp(contract, "shadow")) {
		pr_err("cxl_type2_vfio: contract=%s: must be live or shadow\n", contract);
		return -EINVAL;
	}
	return pci_register_driver(&cxl_driver);
}
module_init(cxl_module_init);

static void __exit cxl_module_exit(void)
{
	pci_unregister_driver(&cxl_driver);
}
module_exit(cxl_module_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("vfio-pci variant driver for CXL Type-2 functions");
