// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The component registers of the function: where they are, the decoder that
 * firmware committed, and the region in which user space sees them.
 */
#include <linux/bitfield.h>
#include <linux/delay.h>
#include <linux/io.h>
#include <linux/overflow.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "cxl_type2_vfio.h"

/* CXL r3.1 Section 8.1.9: Register Locator DVSEC */
#define LOCATOR_ID		8
#define LOCATOR_BLOCK(n)	(0xc + 8 * (n))
#define   LOCATOR_BIR		GENMASK(2, 0)
#define   LOCATOR_BLOCK_ID	GENMASK(15, 8)
#define   LOCATOR_OFFSET_LOW	GENMASK(31, 16)
#define LOCATOR_COMPONENT	1

/* CXL r3.1 Section 8.2.4.1 CXL Capability Header Register, and one per capability */
#define CM_ID			GENMASK(15, 0)
#define CM_ARRAY_SIZE		GENMASK(31, 24)
#define CM_POINTER		GENMASK(31, 20)
#define CM_ID_ARRAY		1
#define CM_ID_HDM		5

/* CXL r3.1 Section 8.2.4.20 CXL HDM Decoder Capability Structure */
#define HDM_CAP			0x00
#define   HDM_CAP_COUNT		GENMASK(3, 0)
#define   HDM_MAX_COUNT		10
#define HDM_GLOBAL		0x04
#define   HDM_GLOBAL_POISON	BIT(0)
#define   HDM_GLOBAL_ENABLE	BIT(1)
#define HDM_FIRST		0x10
#define HDM_STRIDE		0x20
#define HDM_BASE_LOW		0x00
#define HDM_BASE_HIGH		0x04
#define HDM_SIZE_LOW		0x08
#define HDM_SIZE_HIGH		0x0c
#define   HDM_UNIT_MASK		GENMASK(31, 28)
#define HDM_CTRL		0x10
#define   HDM_CTRL_IW		GENMASK(7, 4)
#define   HDM_CTRL_LOCK		BIT(8)
#define   HDM_CTRL_COMMIT	BIT(9)
#define   HDM_CTRL_COMMITTED	BIT(10)
#define   HDM_CTRL_ERROR	BIT(11)
/* Decoders may need up to 10 ms to commit or to say that they do not */
#define HDM_COMMIT_MS		20

static u32 decoder(unsigned int n)
{
	return HDM_FIRST + n * HDM_STRIDE;
}

static u32 hdm_read(struct cxl_vfio *cxl, u32 reg)
{
	return ioread32(cxl->cm + cxl->hdm + reg);
}

static void hdm_write(struct cxl_vfio *cxl, u32 reg, u32 value)
{
	iowrite32(value, cxl->cm + cxl->hdm + reg);
}

static u64 hdm_read_pair(struct cxl_vfio *cxl, u32 reg)
{
	return (u64)hdm_read(cxl, reg + 4) << 32 | (hdm_read(cxl, reg) & HDM_UNIT_MASK);
}

/* The BAR and the offset in it that the Register Locator names */
static int find_block(struct cxl_vfio *cxl)
{
	struct pci_dev *pdev = cxl->core.pdev;
	u16 at = pci_find_dvsec_capability(pdev, CXL_VENDOR_ID, LOCATOR_ID);
	u32 header, low, high;
	unsigned int n;

	if (!at) {
		pci_err(pdev, "no CXL Register Locator DVSEC (vendor 0x%04x, id %d), so its decoders cannot be found: not taken\n",
			CXL_VENDOR_ID, LOCATOR_ID);
		return -ENODEV;
	}
	pci_read_config_dword(pdev, at + PCI_DVSEC_HEADER1, &header);
	for (n = 0; LOCATOR_BLOCK(n + 1) <= PCI_DVSEC_HEADER1_LEN(header); n++) {
		pci_read_config_dword(pdev, at + LOCATOR_BLOCK(n), &low);
		pci_read_config_dword(pdev, at + LOCATOR_BLOCK(n) + 4, &high);
		if (FIELD_GET(LOCATOR_BLOCK_ID, low) != LOCATOR_COMPONENT)
			continue;
		cxl->bar = FIELD_GET(LOCATOR_BIR, low);
		cxl->block = (u64)high << 32 | (low & LOCATOR_OFFSET_LOW);
		if (cxl->bar >= PCI_STD_NUM_BARS ||
		    size_add(cxl->block, CXL_COMPONENT_SIZE) > pci_resource_len(pdev, cxl->bar)) {
			pci_err(pdev, "component registers are said to be at 0x%llx of BAR %u, which has 0x%llx bytes: not taken\n",
				cxl->block, cxl->bar, cxl->bar < PCI_STD_NUM_BARS ?
				(u64)pci_resource_len(pdev, cxl->bar) : 0);
			return -ENODEV;
		}
		return 0;
	}
	pci_err(pdev, "its Register Locator names no component registers (block id %d): not taken\n",
		LOCATOR_COMPONENT);
	return -ENODEV;
}

static int find_hdm(struct cxl_vfio *cxl)
{
	struct pci_dev *pdev = cxl->core.pdev;
	u32 header = ioread32(cxl->cm);
	unsigned int n, count = FIELD_GET(CM_ARRAY_SIZE, header);

	if (FIELD_GET(CM_ID, header) != CM_ID_ARRAY) {
		pci_err(pdev, "its component registers begin with 0x%08x, expected a capability array (id %d): not taken\n",
			header, CM_ID_ARRAY);
		return -ENODEV;
	}
	for (n = 1; n <= count; n++) {
		u32 entry = ioread32(cxl->cm + 4 * n);
		u32 decoders;

		if (FIELD_GET(CM_ID, entry) != CM_ID_HDM)
			continue;
		cxl->hdm = FIELD_GET(CM_POINTER, entry);
		if (cxl->hdm <= 4 * count || cxl->hdm % 4 || cxl->hdm + HDM_FIRST > CXL_CM_SIZE)
			break;
		decoders = FIELD_GET(HDM_CAP_COUNT, hdm_read(cxl, HDM_CAP));
		decoders = decoders ? 2 * decoders : 1;
		cxl->hdm_size = decoder(decoders);
		if (decoders > HDM_MAX_COUNT || cxl->hdm + cxl->hdm_size > CXL_CM_SIZE)
			break;
		return 0;
	}
	pci_err(pdev, "no HDM decoder capability (id %d) that makes sense among the %u of its component registers: not taken\n",
		CM_ID_HDM, count);
	return -ENODEV;
}

static void read_range(struct cxl_vfio *cxl, unsigned int n, struct cxl_vfio_range *range)
{
	range->base = hdm_read_pair(cxl, decoder(n) + HDM_BASE_LOW);
	range->size = hdm_read_pair(cxl, decoder(n) + HDM_SIZE_LOW);
	range->ctrl = hdm_read(cxl, decoder(n) + HDM_CTRL);
}

/* One decoder, committed by firmware, not interleaved: nothing else is presented */
static int find_range(struct cxl_vfio *cxl)
{
	struct pci_dev *pdev = cxl->core.pdev;
	struct cxl_vfio_range *range = &cxl->range, other;
	u64 end;

	read_range(cxl, 0, range);
	if (!(range->ctrl & HDM_CTRL_COMMITTED)) {
		pci_err(pdev, "HDM decoder 0 is not committed (control 0x%08x), expected firmware to have done that: not taken\n",
			range->ctrl);
		return -ENODEV;
	}
	if (range->ctrl & HDM_CTRL_IW) {
		pci_err(pdev, "HDM decoder 0 is interleaved (control 0x%08x), expected all of the memory on this function: not taken\n",
			range->ctrl);
		return -ENODEV;
	}
	if (!range->base || !range->size || check_add_overflow(range->base, range->size, &end)) {
		pci_err(pdev, "HDM decoder 0 has base 0x%llx and size 0x%llx, expected a range: not taken\n",
			range->base, range->size);
		return -ENODEV;
	}
	if (cxl->hdm_size > decoder(1)) {
		read_range(cxl, 1, &other);
		if (other.ctrl & HDM_CTRL_COMMITTED) {
			pci_err(pdev, "HDM decoders 0 and 1 are committed, expected one: not taken\n");
			return -ENODEV;
		}
	}
	return 0;
}

int cxl_decoders_find(struct cxl_vfio *cxl)
{
	struct pci_dev *pdev = cxl->core.pdev;
	int ret;

	ret = find_block(cxl);
	if (ret)
		return ret;
	cxl->cm = pci_iomap_range(pdev, cxl->bar, cxl->block + CXL_CM_OFFSET, CXL_CM_SIZE);
	if (!cxl->cm)
		return -ENOMEM;
	ret = find_hdm(cxl) ?: find_range(cxl);
	if (!ret && cxl->contract == CXL_VFIO_SHADOW) {
		cxl->shadow = kzalloc(cxl->hdm + cxl->hdm_size, GFP_KERNEL);
		if (!cxl->shadow)
			ret = -ENOMEM;
	}
	if (ret)
		cxl_decoders_forget(cxl);
	return ret;
}

void cxl_decoders_forget(struct cxl_vfio *cxl)
{
	kfree(cxl->shadow);
	cxl->shadow = NULL;
	if (cxl->cm)
		pci_iounmap(cxl->core.pdev, cxl->cm);
	cxl->cm = NULL;
}

/*
 * A conventional reset takes what firmware programmed.  Bring it back; 0 if
 * decoder 0 then decodes what it did before.
 */
int cxl_decoders_restore(struct cxl_vfio *cxl)
{
	struct pci_dev *pdev = cxl->core.pdev;
	const struct cxl_vfio_range *was = &cxl->range;
	struct cxl_vfio_range now;
	unsigned int ms;

	read_range(cxl, 0, &now);
	if (!(now.ctrl & HDM_CTRL_COMMITTED)) {
		pci_info(pdev, "HDM decoder 0 was lost in the reset, programming it again\n");
		hdm_write(cxl, HDM_GLOBAL, hdm_read(cxl, HDM_GLOBAL) | HDM_GLOBAL_ENABLE);
		hdm_write(cxl, decoder(0) + HDM_BASE_LOW, lower_32_bits(was->base));
		hdm_write(cxl, decoder(0) + HDM_BASE_HIGH, upper_32_bits(was->base));
		hdm_write(cxl, decoder(0) + HDM_SIZE_LOW, lower_32_bits(was->size));
		hdm_write(cxl, decoder(0) + HDM_SIZE_HIGH, upper_32_bits(was->size));
		hdm_write(cxl, decoder(0) + HDM_CTRL, was->ctrl & ~(HDM_CTRL_COMMITTED | HDM_CTRL_ERROR));
		for (ms = 0; ms < HDM_COMMIT_MS; ms++) {
			read_range(cxl, 0, &now);
			if (now.ctrl & (HDM_CTRL_COMMITTED | HDM_CTRL_ERROR))
				break;
			usleep_range(1000, 2000);
		}
	}
	if (!(now.ctrl & HDM_CTRL_COMMITTED) || now.base != was->base || now.size != was->size) {
		pci_err(pdev, "after the reset HDM decoder 0 has base 0x%llx size 0x%llx control 0x%08x, expected 0x%llx and 0x%llx committed: its memory stays closed\n",
			now.base, now.size, now.ctrl, was->base, was->size);
		return -EIO;
	}
	return 0;
}

/* ---- the shadow of the registers ---- */

static u32 *shadow_reg(struct cxl_vfio *cxl, u32 reg)
{
	return cxl->shadow + (cxl->hdm + reg) / 4;
}

/* The VMM writes the guest's addresses: committed decoders have none, and no lock */
void cxl_decoders_snapshot(struct cxl_vfio *cxl)
{
	u32 i;

	if (!cxl->shadow)
		return;
	mutex_lock(&cxl->regs_lock);
	for (i = 0; i < (cxl->hdm + cxl->hdm_size) / 4; i++)
		cxl->shadow[i] = ioread32(cxl->cm + 4 * i);
	for (i = HDM_FIRST; i < cxl->hdm_size; i += HDM_STRIDE) {
		u32 *ctrl = shadow_reg(cxl, i + HDM_CTRL);

		if (*ctrl & HDM_CTRL_COMMITTED) {
			*ctrl &= ~HDM_CTRL_LOCK;
			*shadow_reg(cxl, i + HDM_BASE_LOW) = 0;
			*shadow_reg(cxl, i + HDM_BASE_HIGH) = 0;
		}
	}
	mutex_unlock(&cxl->regs_lock);
}

static void shadow_write_ctrl(u32 *ctrl, u32 value)
{
	if (*ctrl & HDM_CTRL_LOCK) {
		if (!(value & HDM_CTRL_LOCK))
			*ctrl &= ~HDM_CTRL_LOCK;
		return;
	}
	value &= ~(HDM_CTRL_COMMITTED | HDM_CTRL_ERROR);
	if (value & HDM_CTRL_COMMIT)
		value |= HDM_CTRL_COMMITTED;
	*ctrl = value;
}

static void shadow_write(struct cxl_vfio *cxl, u32 pos, u32 value)
{
	u32 reg, within;
	u32 *at, *ctrl;

	if (pos < cxl->hdm)
		return;
	reg = pos - cxl->hdm;
	at = shadow_reg(cxl, reg);
	if (reg < HDM_FIRST) {
		if (reg == HDM_GLOBAL)
			*at = (*at & ~(HDM_GLOBAL_POISON | HDM_GLOBAL_ENABLE)) |
			      (value & (HDM_GLOBAL_POISON | HDM_GLOBAL_ENABLE));
		return;
	}
	within = (reg - HDM_FIRST) % HDM_STRIDE;
	ctrl = shadow_reg(cxl, reg - within + HDM_CTRL);
	switch (within) {
	case HDM_CTRL:
		shadow_write_ctrl(ctrl, value);
		break;
	case HDM_BASE_LOW:
	case HDM_SIZE_LOW:
		value &= HDM_UNIT_MASK;
		fallthrough;
	case HDM_BASE_HIGH:
	case HDM_SIZE_HIGH:
		if (!(*ctrl & HDM_CTRL_LOCK))
			*at = value;
		break;
	}
}

static ssize_t shadow_rw(struct cxl_vfio *cxl, char __user *buf, size_t count, loff_t *ppos,
			 bool iswrite)
{
	u64 pos = cxl_vfio_region_pos(*ppos);
	__le32 le = 0;

	if (count != 4 || pos % 4 || pos >= cxl->hdm + cxl->hdm_size)
		return -EINVAL;
	if (iswrite && copy_from_user(&le, buf, sizeof(le)))
		return -EFAULT;
	mutex_lock(&cxl->regs_lock);
	if (iswrite)
		shadow_write(cxl, pos, le32_to_cpu(le));
	else
		le = cpu_to_le32(cxl->shadow[pos / 4]);
	mutex_unlock(&cxl->regs_lock);
	if (!iswrite && copy_to_user(buf, &le, sizeof(le)))
		return -EFAULT;
	*ppos += 4;
	return 4;
}

/* ---- the registers as they are ---- */

static ssize_t live_rw(struct cxl_vfio *cxl, char __user *buf, size_t count, loff_t *ppos,
		       bool iswrite)
{
	u64 pos = cxl_vfio_region_pos(*ppos);
	size_t done;

	if (pos % 4 || count % 4 || pos >= cxl->hdm_size)
		return -EINVAL;
	count = min_t(u64, count, cxl->hdm_size - pos);
	for (done = 0; !iswrite && done < count; done += 4) {
		__le32 le = 0;
		bool there;

		down_read(&cxl->core.memory_lock);
		there = __vfio_pci_memory_enabled(&cxl->core);
		if (there)
			le = cpu_to_le32(hdm_read(cxl, pos + done));
		up_read(&cxl->core.memory_lock);
		if (!there)
			return -EIO;
		if (copy_to_user(buf + done, &le, sizeof(le)))
			return -EFAULT;
	}
	/* Writes are discarded: the physical decoder is the host's */
	*ppos += count;
	return count;
}

static ssize_t comp_regs_rw(struct vfio_pci_core_device *core, char __user *buf, size_t count,
			    loff_t *ppos, bool iswrite)
{
	struct cxl_vfio *cxl = to_cxl(core);

	return cxl->shadow ? shadow_rw(cxl, buf, count, ppos, iswrite)
			   : live_rw(cxl, buf, count, ppos, iswrite);
}

static int comp_regs_add_capability(struct vfio_pci_core_device *core,
				    struct vfio_pci_region *region, struct vfio_info_cap *caps)
{
	struct cxl_vfio *cxl = to_cxl(core);
	struct cxl_vfio_region_cap cap = {
		.header = { .id = CXL_VFIO_REGION_CAP_COMP_REGS, .version = 1 },
		.bar = cxl->bar,
		.offset = cxl->block + CXL_CM_OFFSET + cxl->hdm,
	};

	if (cxl->contract == CXL_VFIO_SHADOW)
		return 0;
	return vfio_info_add_capability(caps, &cap.header, sizeof(cap));
}

static void comp_regs_release(struct vfio_pci_core_device *core, struct vfio_pci_region *region)
{
}

static const struct vfio_pci_regops comp_regs_ops = {
	.rw = comp_regs_rw,
	.release = comp_regs_release,
	.add_capability = comp_regs_add_capability,
};

int cxl_decoders_add_region(struct cxl_vfio *cxl)
{
	u64 size = cxl->shadow ? cxl->hdm + cxl->hdm_size : cxl->hdm_size;

	return vfio_pci_core_register_dev_region(&cxl->core, CXL_VFIO_REGION_TYPE,
						 CXL_VFIO_REGION_COMP_REGS, &comp_regs_ops, size,
						 VFIO_REGION_INFO_FLAG_READ |
						 VFIO_REGION_INFO_FLAG_WRITE, NULL);
}

void cxl_decoders_hidden(struct cxl_vfio *cxl, u64 *start, u64 *size)
{
	*start = cxl->block + CXL_CM_OFFSET + cxl->hdm;
	/* The shadow generation keeps nothing from read() and write() */
	*size = cxl->contract == CXL_VFIO_SHADOW ? 0 : cxl->hdm_size;
}

void cxl_decoders_hole(struct cxl_vfio *cxl, u64 *start, u64 *size)
{
	u64 end;

	if (cxl->contract == CXL_VFIO_SHADOW) {
		*start = cxl->block;
		*size = CXL_COMPONENT_SIZE;
		return;
	}
	cxl_decoders_hidden(cxl, start, size);
	end = PAGE_ALIGN(*start + *size);
	*start = PAGE_ALIGN_DOWN(*start);
	*size = end - *start;
}
