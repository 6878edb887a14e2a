/*
 * What the kernel tells a VMM about a CXL Type-2 device
 *
 * The kernel interface is not merged.  Every number of it that QEMU uses
 * stands here and nowhere else, so that the merged values can be dropped in.
 * Two generations are in use, see docs/system/devices/vfio-cxl.rst: "live"
 * shows the physical decoders read-only, "shadow" keeps a writable copy.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VFIO_CXL_UAPI_H
#define HW_VFIO_CXL_UAPI_H

#include <linux/vfio.h>

/* VFIO_DEVICE_GET_INFO, flags: the function has CXL.mem */
#define VFIO_CXL_DEVICE_FLAG            (1U << 9)

/* Type of both CXL regions: PCI vendor type, vendor id of the CXL consortium */
#define VFIO_CXL_REGION_TYPE            (VFIO_REGION_TYPE_PCI_VENDOR_TYPE | \
                                         0x1e98U)
/* Subtypes, the same in both generations */
#define VFIO_CXL_REGION_SUBTYPE_MEM     1
#define VFIO_CXL_REGION_SUBTYPE_REGS    2

/*
 * live: capability of the COMP_REGS region.  @offset is where the HDM decoder
 * block stands in BAR @bar, in bytes.
 */
#define VFIO_CXL_REGION_CAP_COMP_REGS   6

struct vfio_cxl_region_cap_comp_regs {
    struct vfio_info_cap_header header;
    __u32 bar;
    __u32 reserved;
    __u64 offset;
};

/*
 * shadow: capability of the device.  @hdm_regs_offset is where the CXL.cachemem
 * capability array, not the decoder block, stands in the BAR, in bytes.
 */
#define VFIO_CXL_DEVICE_CAP             6

struct vfio_cxl_device_cap {
    struct vfio_info_cap_header header;
    __u8 hdm_regs_bar_index;
    __u8 reserved[3];
    __u32 flags;
#define VFIO_CXL_DEVICE_CAP_FIRMWARE_COMMITTED  (1U << 0)
#define VFIO_CXL_DEVICE_CAP_CACHE_CAPABLE       (1U << 1)
    __u64 hdm_regs_offset;
    __u32 dpa_region_index;
    __u32 comp_regs_region_index;
};

/* A third layout used the shadow id with this size; it was never shipped */
#define VFIO_CXL_DEVICE_CAP_RETIRED_SIZE        48

/*
 * A dma-buf of a region, VFIO_DEVICE_FEATURE with VFIO_DEVICE_FEATURE_GET: in
 * Linux since 6.19, not in QEMU's copy of linux/vfio.h yet.
 */
#ifndef VFIO_DEVICE_FEATURE_DMA_BUF
#define VFIO_DEVICE_FEATURE_DMA_BUF             11

struct vfio_region_dma_range {
    __u64 offset;
    __u64 length;
};

struct vfio_device_feature_dma_buf {
    __u32 region_index;
    __u32 open_flags;
    __u32 flags;
    __u32 nr_ranges;
    struct vfio_region_dma_range dma_ranges[];
};
#endif

#endif /* HW_VFIO_CXL_UAPI_H */
