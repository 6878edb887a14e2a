/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vfio-pci variant driver for CXL Type-2 functions: what its files share.
 *
 * main.c      binding, and where VFIO's operations differ from vfio-pci's
 * decoders.c  component registers: finding them, the physical decoder, the region
 *             that shows it
 * dvsec.c     CXL Device DVSEC: what user space sees of it, and the resets it asks for
 * memory.c    the region of the device's memory, and when it is closed
 */
#ifndef CXL_TYPE2_VFIO_H
#define CXL_TYPE2_VFIO_H

#include <linux/bits.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/sizes.h>
#include <linux/types.h>
#include <linux/vfio_pci_core.h>

/* ---- what is not in linux/vfio.h yet: the user interface of both generations ---- */

#define CXL_VFIO_DEVICE_FLAG		BIT(9)

#define CXL_VENDOR_ID			0x1e98
#define CXL_VFIO_REGION_TYPE		(VFIO_REGION_TYPE_PCI_VENDOR_TYPE | CXL_VENDOR_ID)
#define CXL_VFIO_REGION_MEM		1
#define CXL_VFIO_REGION_COMP_REGS	2

/* live: capability of the COMP_REGS region; @offset: the HDM decoder block in the BAR */
#define CXL_VFIO_REGION_CAP_COMP_REGS	6

struct cxl_vfio_region_cap {
	struct vfio_info_cap_header header;
	__u32 bar;
	__u32 reserved;
	__u64 offset;
};

/* shadow: capability of the device; @hdm_regs_offset: the CXL.cachemem array in the BAR */
#define CXL_VFIO_DEVICE_CAP		6
#define CXL_VFIO_FIRMWARE_COMMITTED	BIT(0)
#define CXL_VFIO_CACHE_CAPABLE		BIT(1)

struct cxl_vfio_device_cap {
	struct vfio_info_cap_header header;
	__u8 hdm_regs_bar_index;
	__u8 reserved[3];
	__u32 flags;
	__u64 hdm_regs_offset;
	__u32 dpa_region_index;
	__u32 comp_regs_region_index;
};

/* ---- hardware ---- */

/* CXL r3.1 Section 8.2.3: a block of component registers; CXL.cachemem within */
#define CXL_COMPONENT_SIZE		SZ_64K
#define CXL_CM_OFFSET			SZ_4K
#define CXL_CM_SIZE			SZ_4K

/* CXL r3.1 Section 8.1.3: PCIe DVSEC for CXL Devices; no later revision is longer */
#define CXL_DVSEC_MAX			SZ_256

enum cxl_vfio_contract {
	CXL_VFIO_LIVE,
	CXL_VFIO_SHADOW,
};

struct cxl_vfio_range {
	u64 base;
	u64 size;
	u32 ctrl;
};

struct cxl_vfio {
	struct vfio_pci_core_device core;	/* first: VFIO allocates it */
	enum cxl_vfio_contract contract;
	bool memory_follows_space;

	/* Component registers, learnt when the driver binds */
	unsigned int bar;
	u64 block;			/* of 64 KiB, in @bar */
	u32 hdm;			/* decoder block, in the CXL.cachemem array */
	u32 hdm_size;
	void __iomem *cm;		/* the array */
	struct cxl_vfio_range range;	/* decoder 0 as firmware left it */

	/* shadow: what the VMM sees of the array; changes under @regs_lock */
	struct mutex regs_lock;
	u32 *shadow;

	/* DVSEC: what the VMM sees of it; changes under @dvsec_lock */
	struct mutex dvsec_lock;
	u16 dvsec;
	u16 dvsec_len;
	u16 capability;
	u8 dvsec_shadow[CXL_DVSEC_MAX];

	/*
	 * The memory is closed while one of these says so.  A fault holds @gate
	 * for reading, whoever closes for writing; core.memory_lock comes before.
	 */
	struct rw_semaphore gate;
	bool resetting;			/* under way, or the last one failed */
	unsigned int closing;		/* calls that are about to make it unreachable */
	void *mem;			/* all of @range, write-back */
	unsigned int mem_region;
};

static inline struct cxl_vfio *to_cxl(struct vfio_pci_core_device *core)
{
	return container_of(core, struct cxl_vfio, core);
}

static inline u64 cxl_vfio_region_pos(loff_t pos)
{
	return pos & VFIO_PCI_OFFSET_MASK;
}

/* decoders.c */
int cxl_decoders_find(struct cxl_vfio *cxl);
void cxl_decoders_forget(struct cxl_vfio *cxl);
int cxl_decoders_restore(struct cxl_vfio *cxl);
void cxl_decoders_snapshot(struct cxl_vfio *cxl);
int cxl_decoders_add_region(struct cxl_vfio *cxl);
/* What user space must not reach of the BAR: to read, and to map */
void cxl_decoders_hidden(struct cxl_vfio *cxl, u64 *start, u64 *size);
void cxl_decoders_hole(struct cxl_vfio *cxl, u64 *start, u64 *size);

/* dvsec.c */
int cxl_dvsec_find(struct cxl_vfio *cxl);
void cxl_dvsec_snapshot(struct cxl_vfio *cxl);
bool cxl_dvsec_cache_capable(struct cxl_vfio *cxl);
int cxl_dvsec_read(struct cxl_vfio *cxl, char __user *buf, size_t count, u64 pos);
ssize_t cxl_dvsec_write(struct cxl_vfio *cxl, const char __user *buf, size_t count, u64 at);
void cxl_dvsec_reset_done(struct cxl_vfio *cxl);
int cxl_dvsec_reset(struct cxl_vfio *cxl, bool *cleared);

/* memory.c */
extern const struct vfio_pci_device_ops cxl_memory_pci_ops;
int cxl_memory_map(struct cxl_vfio *cxl);
void cxl_memory_unmap(struct cxl_vfio *cxl);
int cxl_memory_add_region(struct cxl_vfio *cxl);
void cxl_memory_close_begin(struct cxl_vfio *cxl);
void cxl_memory_close_end(struct cxl_vfio *cxl);
void cxl_memory_reset_begin(struct cxl_vfio *cxl);
void cxl_memory_reset_end(struct cxl_vfio *cxl);
bool cxl_memory_reset_failed(struct cxl_vfio *cxl);

#endif /* CXL_TYPE2_VFIO_H */
