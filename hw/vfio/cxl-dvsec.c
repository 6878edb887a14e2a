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
#include "trace.h"

#define DVSEC_RANGE_COUNT               2
#define DVSEC_RANGE_STRIDE              0x10

/* What is written back where one bit is to change: a doorbell is no state */
#define DVSEC_CONTROL2_STATE ((uint16_t)~ \
                              (R_DVSEC_CONTROL2_INITIATE_WRITE_BACK_MASK | \
                               R_DVSEC_CONTROL2_INITIATE_RESET_MASK))

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
               "DVSEC (vendor 0x%04x, id %d) in its config space",
               CXL_VENDOR_ID, PCIE_CXL_DEVICE_DVSEC);
    return 0;
}

/* Where register @reg of the first range stands for range @n */
static uint32_t dvsec_range_reg(uint16_t dvsec, unsigned n, uint32_t reg)
{
    return dvsec + reg + n * DVSEC_RANGE_STRIDE;
}

static void dvsec_set_base(PCIDevice *pdev, uint16_t dvsec, unsigned n,
                           uint64_t base)
{
    pci_set_long(pdev->config + dvsec_range_reg(dvsec, n,
                                                A_DVSEC_RANGE1_BASE_HI),
                 extract64(base, 32, 32));
    pci_set_long(pdev->config + dvsec_range_reg(dvsec, n,
                                                A_DVSEC_RANGE1_BASE_LO),
                 extract64(base, 0, 32));
}

static uint64_t dvsec_get_size(PCIDevice *pdev, uint16_t dvsec, unsigned n)
{
    uint32_t hi = pci_get_long(pdev->config +
                               dvsec_range_reg(dvsec, n,
                                               A_DVSEC_RANGE1_SIZE_HI));
    uint32_t lo = pci_get_long(pdev->config +
                               dvsec_range_reg(dvsec, n,
                                               A_DVSEC_RANGE1_SIZE_LO));

    return deposit64(lo & R_DVSEC_RANGE1_SIZE_LO_SIZE_MASK, 32, 32, hi);
}

void vfio_cxl_dvsec_emulate_ranges(VFIOPCIDevice *vdev, uint16_t dvsec,
                                   bool writable)
{
    PCIDevice *pdev = PCI_DEVICE(vdev);
    unsigned n;

    for (n = 0; n < DVSEC_RANGE_COUNT; n++) {
        uint32_t hi = dvsec_range_reg(dvsec, n, A_DVSEC_RANGE1_BASE_HI);
        uint32_t lo = dvsec_range_reg(dvsec, n, A_DVSEC_RANGE1_BASE_LO);

        pci_set_long(vdev->emulated_config_bits + hi, ~0);
        pci_set_long(vdev->emulated_config_bits + lo, ~0);
        pci_set_long(pdev->wmask + hi, writable ? ~0 : 0);
        pci_set_long(pdev->wmask + lo,
                     writable ? R_DVSEC_RANGE1_BASE_LO_BASE_MASK : 0);
    }
    vfio_cxl_dvsec_clear_ranges(pdev, dvsec);
}

void vfio_cxl_dvsec_clear_ranges(PCIDevice *pdev, uint16_t dvsec)
{
    unsigned n;

    for (n = 0; n < DVSEC_RANGE_COUNT; n++) {
        dvsec_set_base(pdev, dvsec, n, 0);
    }
}

void vfio_cxl_dvsec_place_ranges(PCIDevice *pdev, uint16_t dvsec,
                                 uint64_t base)
{
    unsigned n;

    for (n = 0; n < DVSEC_RANGE_COUNT; n++) {
        uint64_t size = dvsec_get_size(pdev, dvsec, n);

        /* Linux looks at the first one's base whatever its size */
        dvsec_set_base(pdev, dvsec, n, !n || size ? base : 0);
        base += size;
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

    if (!dvsec_read(vbasedev, dvsec + A_DVSEC_CAPABILITY, &capability)) {
        goto unreadable;
    }
    if (!FIELD_EX16(capability, DVSEC_CAPABILITY, WRITE_BACK) ||
        !(cache_capable || FIELD_EX16(capability, DVSEC_CAPABILITY, CACHE))) {
        return true;
    }
    if (!dvsec_read(vbasedev, dvsec + A_DVSEC_CONTROL2, &control2) ||
        !dvsec_write(vbasedev, dvsec + A_DVSEC_CONTROL2,
                     (control2 & DVSEC_CONTROL2_STATE) |
                     R_DVSEC_CONTROL2_DISABLE_CACHING_MASK |
                     R_DVSEC_CONTROL2_INITIATE_WRITE_BACK_MASK)) {
        goto unreadable;
    }
    state->asked = true;
    state->guest_disabled = FIELD_EX16(control2, DVSEC_CONTROL2,
                                       DISABLE_CACHING);
    for (;;) {
        if (!dvsec_read(vbasedev, dvsec + A_DVSEC_STATUS2, &status2)) {
            goto unreadable;
        }
        spent = (g_get_monotonic_time() - start) / 1000;
        if (FIELD_EX16(status2, DVSEC_STATUS2, CACHE_INVALID)) {
            trace_vfio_cxl_dvsec_write_back(vbasedev->name, spent);
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
    if (dvsec_read(vbasedev, dvsec + A_DVSEC_CONTROL2, &control2) &&
        FIELD_EX16(control2, DVSEC_CONTROL2, DISABLE_CACHING)) {
        dvsec_write(vbasedev, dvsec + A_DVSEC_CONTROL2,
                    control2 & DVSEC_CONTROL2_STATE &
                    ~R_DVSEC_CONTROL2_DISABLE_CACHING_MASK);
    }
}
