/*
 * The CXL Device DVSEC of a Type-2 device, as vfio passes it through
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "hw/cxl/cxl.h"
#include "hw/pci/pcie.h"
#include "cxl-dvsec.h"
#include "cxl-hdm.h"
#include "trace.h"

/* The specification knows no limit; a device with megabytes takes a fraction */
#define WRITE_BACK_TIMEOUT_MS           1000

/* For one that needed more: a guest must not hold QEMU up again and again */
#define WRITE_BACK_LATE_MS              10

uint16_t vfio_cxl_dvsec_find(PCIDevice *pdev, Error **errp)
{
    uint32_t pos = PCI_CONFIG_SPACE_SIZE;
    uint32_t end = pci_config_size(pdev);
    uint32_t steps;

    /* A device decides where its chain leads, so the steps are counted */
    for (steps = 0; steps < end / 4; steps++) {
        uint32_t header;

        if (pos < PCI_CONFIG_SPACE_SIZE || pos + sizeof(header) > end) {
            break;
        }
        header = pci_get_long(pdev->config + pos);
        if (PCI_EXT_CAP_ID(header) == PCI_EXT_CAP_ID_DVSEC &&
            pos + PCIE_CXL_DEVICE_DVSEC_LENGTH <= end &&
            pci_get_word(pdev->config + pos + PCIE_DVSEC_HEADER1_OFFSET) ==
            CXL_VENDOR_ID &&
            pci_get_word(pdev->config + pos + PCIE_DVSEC_ID_OFFSET) ==
            PCIE_CXL_DEVICE_DVSEC) {
            return pos;
        }
        pos = PCI_EXT_CAP_NEXT(header);
    }
    error_setg(errp, "CXL: the device is flagged as CXL but has no CXL Device "
               "DVSEC (vendor 0x%04x, id %d) in its config space; "
               "x-cxl-decoders=off uses it as a plain PCI device",
               CXL_VENDOR_ID, PCIE_CXL_DEVICE_DVSEC);
    return 0;
}

void vfio_cxl_dvsec_set_range(PCIDevice *pdev, uint16_t dvsec, unsigned n,
                              uint64_t base)
{
    pci_set_long(pdev->config + dvsec + DVSEC_RANGE_BASE_HI(n),
                 extract64(base, 32, 32));
    pci_set_long(pdev->config + dvsec + DVSEC_RANGE_BASE_LO(n),
                 extract64(base, 0, 32));
}

void vfio_cxl_dvsec_emulate_ranges(VFIOPCIDevice *vdev, uint16_t dvsec,
                                   bool writable)
{
    PCIDevice *pdev = PCI_DEVICE(vdev);
    unsigned n;

    for (n = 0; n < DVSEC_RANGE_COUNT; n++) {
        uint32_t hi = dvsec + DVSEC_RANGE_BASE_HI(n);
        uint32_t lo = dvsec + DVSEC_RANGE_BASE_LO(n);

        pci_set_long(vdev->emulated_config_bits + hi, ~0);
        pci_set_long(vdev->emulated_config_bits + lo, ~0);
        pci_set_long(pdev->wmask + hi, writable ? ~0 : 0);
        pci_set_long(pdev->wmask + lo,
                     writable ? R_VFIO_CXL_HDM_DECODER0_BASE_LO_L_MASK : 0);
        vfio_cxl_dvsec_set_range(pdev, dvsec, n, 0);
    }
}

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
                               bool cache_capable, VFIOCXLWriteBack *state,
                               Error **errp)
{
    int64_t limit = state->late ? WRITE_BACK_LATE_MS : WRITE_BACK_TIMEOUT_MS;
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
    state->asked = true;
    state->guest_disabled = control2 & DVSEC_CONTROL2_DISABLE_CACHING;
    for (;;) {
        if (!dvsec_read(vbasedev, dvsec + DVSEC_STATUS2, &status2)) {
            goto unreadable;
        }
        spent = (g_get_monotonic_time() - start) / 1000;
        if (status2 & DVSEC_STATUS2_CACHE_INVALID) {
            trace_vfio_cxl_write_back(vbasedev->name, spent);
            state->late = false;
            return true;
        }
        if (spent >= limit) {
            state->late = true;
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

void vfio_cxl_dvsec_allow_caching(VFIODevice *vbasedev, uint16_t dvsec,
                                  VFIOCXLWriteBack *state, bool conventional)
{
    uint16_t control2;

    if (!state->asked) {
        return;
    }
    state->asked = false;
    if (state->guest_disabled && !conventional) {
        return;
    }
    /* A device that does not answer has nothing to allow */
    if (dvsec_read(vbasedev, dvsec + DVSEC_CONTROL2, &control2) &&
        control2 & DVSEC_CONTROL2_DISABLE_CACHING) {
        dvsec_write(vbasedev, dvsec + DVSEC_CONTROL2,
                    control2 & ~DVSEC_CONTROL2_DISABLE_CACHING);
    }
}
