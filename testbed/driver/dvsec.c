// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The CXL Device DVSEC.  User space sees a shadow of it, in which CONTROL and
 * CONTROL2 can be written; the doorbells in CONTROL2 are acted on here.
 */
#include <linux/bitfield.h>
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/pci.h>
#include <linux/uaccess.h>
#include <linux/unaligned.h>
#include "cxl_type2_vfio.h"

/* CXL r3.1 Section 8.1.3: PCIe DVSEC for CXL Devices */
#define DVSEC_ID			0
#define DVSEC_CAPABILITY		0x0a
#define   DVSEC_CACHE_CAPABLE		BIT(0)
#define   DVSEC_MEM_CAPABLE		BIT(2)
#define   DVSEC_WBI_CAPABLE		BIT(6)
#define   DVSEC_RESET_CAPABLE		BIT(7)
#define   DVSEC_RESET_TIMEOUT		GENMASK(10, 8)
#define   DVSEC_RESET_CLEARS		BIT(11)
#define DVSEC_CONTROL			0x0c
#define   DVSEC_CONTROL_WRITABLE	0x4ffd
#define DVSEC_CONTROL2			0x10
#define   DVSEC_INIT_WBI		BIT(1)
#define   DVSEC_INIT_RESET		BIT(2)
#define   DVSEC_RESET_CLEAR		BIT(3)
#define   DVSEC_CONTROL2_WRITABLE	0x001f
#define DVSEC_STATUS2			0x12
#define   DVSEC_CACHE_INVALID		BIT(0)
#define   DVSEC_RESET_DONE		BIT(1)
#define   DVSEC_RESET_ERROR		BIT(2)
#define DVSEC_LOCK			0x14
#define   DVSEC_CONFIG_LOCK		BIT(0)
/* What is ours begins behind the headers */
#define DVSEC_BODY			DVSEC_CAPABILITY

#define WBI_TIMEOUT_MS			1000
#define POLL_MS				5

int cxl_dvsec_find(struct cxl_vfio *cxl)
{
	struct pci_dev *pdev = cxl->core.pdev;
	u32 header;

	cxl->dvsec = pci_find_dvsec_capability(pdev, CXL_VENDOR_ID, DVSEC_ID);
	if (!cxl->dvsec) {
		pci_err(pdev, "no CXL Device DVSEC (vendor 0x%04x, id %d), so this is not a CXL device: not taken\n",
			CXL_VENDOR_ID, DVSEC_ID);
		return -ENODEV;
	}
	pci_read_config_dword(pdev, cxl->dvsec + PCI_DVSEC_HEADER1, &header);
	cxl->dvsec_len = min_t(u16, PCI_DVSEC_HEADER1_LEN(header), CXL_DVSEC_MAX);
	if (cxl->dvsec_len < DVSEC_LOCK + 2) {
		pci_err(pdev, "its CXL Device DVSEC has %u bytes, expected at least %d: not taken\n",
			cxl->dvsec_len, DVSEC_LOCK + 2);
		return -ENODEV;
	}
	pci_read_config_word(pdev, cxl->dvsec + DVSEC_CAPABILITY, &cxl->capability);
	if (!(cxl->capability & DVSEC_MEM_CAPABLE)) {
		pci_err(pdev, "its CXL capability is 0x%04x, without CXL.mem: vfio-pci is the driver for it, not taken\n",
			cxl->capability);
		return -ENODEV;
	}
	return 0;
}

bool cxl_dvsec_cache_capable(struct cxl_vfio *cxl)
{
	return cxl->capability & DVSEC_CACHE_CAPABLE;
}

/* @buf holds configuration space from @pos on: put the shadow over it */
int cxl_dvsec_read(struct cxl_vfio *cxl, char __user *buf, size_t count, u64 pos)
{
	u64 from = max_t(u64, pos, cxl->dvsec + DVSEC_BODY);
	u64 to = min_t(u64, pos + count, cxl->dvsec + cxl->dvsec_len);
	u8 body[CXL_DVSEC_MAX];

	if (from >= to)
		return 0;
	mutex_lock(&cxl->dvsec_lock);
	memcpy(body, cxl->dvsec_shadow + (from - cxl->dvsec), to - from);
	mutex_unlock(&cxl->dvsec_lock);
	return copy_to_user(buf + (from - pos), body, to - from) ? -EFAULT : 0;
}

static u16 get16(struct cxl_vfio *cxl, u16 reg)
{
	return get_unaligned_le16(cxl->dvsec_shadow + reg);
}

static void put16(struct cxl_vfio *cxl, u16 reg, u16 clear, u16 set)
{
	put_unaligned_le16((get16(cxl, reg) & ~clear) | set, cxl->dvsec_shadow + reg);
}

/* At open: of the doorbells that were rung before, the VMM rang none */
void cxl_dvsec_snapshot(struct cxl_vfio *cxl)
{
	u16 i;

	mutex_lock(&cxl->dvsec_lock);
	for (i = 0; i < cxl->dvsec_len; i++)
		pci_read_config_byte(cxl->core.pdev, cxl->dvsec + i, cxl->dvsec_shadow + i);
	put16(cxl, DVSEC_STATUS2, DVSEC_CACHE_INVALID | DVSEC_RESET_DONE | DVSEC_RESET_ERROR, 0);
	mutex_unlock(&cxl->dvsec_lock);
}

static u16 writable(struct cxl_vfio *cxl, u16 reg)
{
	bool locked = get16(cxl, DVSEC_LOCK) & DVSEC_CONFIG_LOCK;

	switch (reg) {
	case DVSEC_CONTROL:
		return locked ? 0 : DVSEC_CONTROL_WRITABLE;
	case DVSEC_CONTROL2:
		return DVSEC_CONTROL2_WRITABLE;
	case DVSEC_LOCK:
		return cxl->contract == CXL_VFIO_SHADOW && !locked ? DVSEC_CONFIG_LOCK : 0;
	default:
		return 0;
	}
}

/* Ring a doorbell of the function and wait for one of the bits @done in STATUS2 */
static int ring(struct cxl_vfio *cxl, u16 doorbell, u16 done, unsigned int ms, u16 *status)
{
	struct pci_dev *pdev = cxl->core.pdev;
	unsigned long until = jiffies + msecs_to_jiffies(ms);
	u16 control2;

	pci_read_config_word(pdev, cxl->dvsec + DVSEC_CONTROL2, &control2);
	pci_write_config_word(pdev, cxl->dvsec + DVSEC_CONTROL2, control2 | doorbell);
	for (;;) {
		bool late = time_after(jiffies, until);

		pci_read_config_word(pdev, cxl->dvsec + DVSEC_STATUS2, status);
		if (late || (!PCI_POSSIBLE_ERROR(*status) && *status & done))
			break;
		msleep(POLL_MS);
	}
	pci_write_config_word(pdev, cxl->dvsec + DVSEC_CONTROL2, control2);
	return !PCI_POSSIBLE_ERROR(*status) && *status & done ? 0 : -ETIMEDOUT;
}

/*
 * CXL r3.1 Section 9.7: reset of what CXL.cache and CXL.mem hold.  *@cleared
 * says whether the function itself has cleared its memory.
 */
int cxl_dvsec_reset(struct cxl_vfio *cxl, bool *cleared)
{
	static const unsigned int timeouts[] = { 10, 100, 1000, 10000, 100000 };
	unsigned int timeout = FIELD_GET(DVSEC_RESET_TIMEOUT, cxl->capability);
	struct pci_dev *pdev = cxl->core.pdev;
	u16 control, status, doorbell = DVSEC_INIT_RESET;
	int ret;

	*cleared = false;
	if (!(cxl->capability & DVSEC_RESET_CAPABLE))
		return 0;
	if (cxl->capability & DVSEC_RESET_CLEARS)
		doorbell |= DVSEC_RESET_CLEAR;
	pci_read_config_word(pdev, cxl->dvsec + DVSEC_CONTROL, &control);
	ret = ring(cxl, doorbell, DVSEC_RESET_DONE | DVSEC_RESET_ERROR,
		   timeouts[min(timeout, ARRAY_SIZE(timeouts) - 1)], &status);
	pci_write_config_word(pdev, cxl->dvsec + DVSEC_CONTROL, control);
	if (ret || status & DVSEC_RESET_ERROR) {
		pci_err(pdev, "CXL reset %s (status 0x%04x): its memory stays closed\n",
			ret ? "does not end" : "failed", status);
		return -EIO;
	}
	*cleared = doorbell & DVSEC_RESET_CLEAR;
	return 0;
}

static void set_status2(struct cxl_vfio *cxl, u16 clear, u16 set)
{
	mutex_lock(&cxl->dvsec_lock);
	put16(cxl, DVSEC_STATUS2, clear, set);
	mutex_unlock(&cxl->dvsec_lock);
}

/* What a reset leaves are no caches that were invalidated on request */
void cxl_dvsec_reset_done(struct cxl_vfio *cxl)
{
	set_status2(cxl, DVSEC_CACHE_INVALID, 0);
}

/* core.memory_lock comes before dvsec_lock */
static void reset_by_guest(struct cxl_vfio *cxl)
{
	bool failed;

	down_write(&cxl->core.memory_lock);
	cxl_memory_reset_begin(cxl);
	cxl_memory_reset_end(cxl);
	failed = cxl_memory_reset_failed(cxl);
	up_write(&cxl->core.memory_lock);
	set_status2(cxl, 0, failed ? DVSEC_RESET_ERROR : DVSEC_RESET_DONE);
}

static void writeback_by_guest(struct cxl_vfio *cxl)
{
	u16 status;

	if (cxl->capability & DVSEC_WBI_CAPABLE &&
	    ring(cxl, DVSEC_INIT_WBI, DVSEC_CACHE_INVALID, WBI_TIMEOUT_MS, &status)) {
		pci_err(cxl->core.pdev, "cache write-back does not end\n");
		return;
	}
	set_status2(cxl, 0, DVSEC_CACHE_INVALID);
}

/* @count bytes at @at of the DVSEC, all of them inside it */
ssize_t cxl_dvsec_write(struct cxl_vfio *cxl, const char __user *buf, size_t count, u64 at)
{
	u8 bytes[CXL_DVSEC_MAX];
	u16 control2;
	size_t i;

	if (copy_from_user(bytes, buf, count))
		return -EFAULT;
	mutex_lock(&cxl->dvsec_lock);
	for (i = 0; i < count; i++) {
		u16 reg = (at + i) & ~1, shift = 8 * ((at + i) & 1);
		u16 mask = writable(cxl, reg) & (0xff << shift);

		put16(cxl, reg, mask, (bytes[i] << shift) & mask);
	}
	control2 = get16(cxl, DVSEC_CONTROL2);
	put16(cxl, DVSEC_CONTROL2, DVSEC_INIT_WBI | DVSEC_INIT_RESET, 0);
	if (control2 & DVSEC_INIT_WBI)
		put16(cxl, DVSEC_STATUS2, DVSEC_CACHE_INVALID, 0);
	if (control2 & DVSEC_INIT_RESET)
		put16(cxl, DVSEC_STATUS2, DVSEC_RESET_DONE | DVSEC_RESET_ERROR, 0);
	mutex_unlock(&cxl->dvsec_lock);
	if (control2 & DVSEC_INIT_WBI)
		writeback_by_guest(cxl);
	if (control2 & DVSEC_INIT_RESET)
		reset_by_guest(cxl);
	return count;
}
