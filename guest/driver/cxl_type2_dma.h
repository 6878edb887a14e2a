/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What user space may ask of /dev/cxl_type2 beside mmap: the device's DMA engine. */
#ifndef CXL_TYPE2_DMA_H
#define CXL_TYPE2_DMA_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define TYPE2_DMA_VECTORS	8
/* The longest single copy: its pages fit the ring one by one */
#define TYPE2_DMA_MAX_COPY	(2U << 20)

/* Status of a descriptor, as the device writes it back */
#define TYPE2_DMA_DONE		1
#define TYPE2_DMA_NOT_MAPPED	6

/* Copies between the caller's memory and the device's; ends with an interrupt. */
struct type2_dma_copy {
	__u64 address;		/* of the caller's buffer */
	__u64 offset;		/* in device memory */
	__u64 length;
	__u32 to_device;
	__u32 descriptors;	/* out: so many it took */
};

/* What has been asked of the engine, and what came, since the driver was bound. */
struct type2_dma_info {
	__u64 memory_size;	/* as the engine says */
	__u32 vectors;		/* that the kernel gave us */
	__u32 translated;	/* the device's DMA goes through an IOMMU */
	__u64 expected[TYPE2_DMA_VECTORS];
	__u64 counted[TYPE2_DMA_VECTORS];
};

/* A DMA to an address that is mapped for nobody, or to one that is no RAM. */
struct type2_dma_fault {
	__u64 physical;		/* of a page to map for the device; 0: none */
	__u64 iova;		/* out */
	__u64 bytes;		/* out: copied all the same */
	__u32 to_device;
	__u32 status;		/* out: the descriptor's */
};

#define TYPE2_DMA_COPY	_IOWR('2', 1, struct type2_dma_copy)
#define TYPE2_DMA_INFO	_IOR('2', 2, struct type2_dma_info)
#define TYPE2_DMA_FAULT	_IOWR('2', 3, struct type2_dma_fault)

#endif
