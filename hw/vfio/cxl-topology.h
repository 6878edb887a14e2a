/*
 * Where in the guest's CXL topology an assigned device sits
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VFIO_CXL_TOPOLOGY_H
#define HW_VFIO_CXL_TOPOLOGY_H

#include "hw/cxl/cxl.h"
#include "hw/pci/pci_device.h"

typedef struct VFIOCXLTopology {
    PCIDevice *bridge;          /* the pxb-cxl */
    CXLHost *host;              /* and its host bridge */
    PCIDevice *port;            /* its only root port */
    CXLFixedWindow *window;     /* the only window that targets the bridge */
    bool passthrough;           /* the bridge has no HDM decoders */
} VFIOCXLTopology;

/*
 * May @pdev, which has @size bytes of memory, sit where it was put?  It may as
 * function 0 of a root port that is the only one of a pxb-cxl, and one window
 * with that bridge as its single target has to hold the memory.  All bridges
 * need room for the bus numbers below them.  False with @errp set otherwise.
 *
 * To be asked when the device is realized and, as further ports and functions
 * may have been added by then, once more when the machine is complete.
 */
bool vfio_cxl_topology_find(PCIDevice *pdev, uint64_t size,
                            VFIOCXLTopology *topo, Error **errp);

/*
 * Is @pdev below a CXL root port of a pxb-cxl, whatever else is wrong there?
 * False with @errp set otherwise.
 */
bool vfio_cxl_topology_is_cxl(PCIDevice *pdev, Error **errp);

/* What the user calls a device: its id, else its type */
const char *vfio_cxl_topology_label(const PCIDevice *pdev);

/* Human-readable "cxl-fmw.N" of a window; to be freed */
char *vfio_cxl_topology_window_name(const CXLFixedWindow *window);

/*
 * @size, a multiple of 256 MiB, as an option takes it: "256M", "64G"; to be
 * freed
 */
char *vfio_cxl_topology_size(uint64_t size);

#endif /* HW_VFIO_CXL_TOPOLOGY_H */
