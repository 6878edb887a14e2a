/*
 * The CXL Device DVSEC of a Type-2 device, as vfio passes it through
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "cxl-dvsec.h"
#include "pci.h"
#include "trace.h"

/* The specification knows no limit; a device with megabytes takes a fraction */
#define WRITE_BACK_TIMEOUT_MS           1000

static bool dvsec_read(VFIODevice *vbasedev, uint32_t at, uint16_t *value)
{
    uint16_t le;

    if (vbasedev->io_ops->region_read(vbasedev, VFIO_PCI_CONFIG_REGION_INDEX,
                                      at, sizeof(le), &le) != sizeof(le)) {
        return false;
    }
    *value = le16_to_cpu(le);
    return true;
}

static bool dvsec_write(VFIODevice *vbasedev, uint32_t at, uint16_t value)
{
    uint16_t le = cpu_to_le16(value);

    return vbasedev->io_ops->region_write(vbasedev,
                                          VFIO_PCI_CONFIG_REGION_INDEX, at,
                                          sizeof(le), &le, false) == sizeof(le);
}

bool vfio_cxl_dvsec_write_back(VFIODevice *vbasedev, uint16_t dvsec,
                               bool cache_capable, Error **errp)
{
    int64_t start = g_get_monotonic_time();
    int64_t spent;
    uint16_t capability, control2, status2;

    if (!dvsec_read(vbasedev, dvsec + DVSEC_CAPABILITY, &capability)) {
        goto unreadable;
    }
    if (!(capability & DVSEC_CAPABILITY_WRITE_BACK) ||
        !(cache_capable || capability & DVSEC_CAPABILITY_CACHE)) {
        return true;
    }
    if (!dvsec_read(vbasedev, dvsec + DVSEC_CONTROL2, &control2) ||
        !dvsec_write(vbasedev, dvsec + DVSEC_CONTROL2,
                     control2 | DVSEC_CONTROL2_DISABLE_CACHING |
                     DVSEC_CONTROL2_WRITE_BACK)) {
        goto unreadable;
    }
    for (;;) {
        if (!dvsec_read(vbasedev, dvsec + DVSEC_STATUS2, &status2)) {
            goto unreadable;
        }
        spent = (g_get_monotonic_time() - start) / 1000;
        if (status2 & DVSEC_STATUS2_CACHE_INVALID) {
            trace_vfio_cxl_write_back(vbasedev->name, spent);
            return true;
        }
        if (spent >= WRITE_BACK_TIMEOUT_MS) {
            error_setg(errp, "CXL: the cache write-back before a reset is not "
                       "done after %"PRId64" ms: STATUS2 of the CXL DVSEC is "
                       "0x%04x, expected bit 0 (Cache Invalid) set; the reset "
                       "goes on, what the device had cached may be lost",
                       spent, status2);
            return false;
        }
        g_usleep(1000);
    }

unreadable:
    error_setg(errp, "CXL: the cache write-back before a reset was not done: "
               "the CXL DVSEC at 0x%x cannot be accessed; the reset goes on, "
               "what the device had cached may be lost", dvsec);
    return false;
}

void vfio_cxl_dvsec_allow_caching(VFIODevice *vbasedev, uint16_t dvsec)
{
    uint16_t control2;

    /* A device that does not answer has nothing to allow */
    if (dvsec_read(vbasedev, dvsec + DVSEC_CONTROL2, &control2) &&
        control2 & DVSEC_CONTROL2_DISABLE_CACHING) {
        dvsec_write(vbasedev, dvsec + DVSEC_CONTROL2,
                    control2 & ~DVSEC_CONTROL2_DISABLE_CACHING);
    }
}
