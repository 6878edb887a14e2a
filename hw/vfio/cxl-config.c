/*
 * The configuration space of a CXL device: what the guest reads of its memory,
 * and which writes take the memory away
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/range.h"
#include "qemu/timer.h"
#include "qapi/error.h"
#include "hw/cxl/cxl.h"
#include "hw/pci/pcie.h"
#include "cxl-config.h"
#include "trace.h"

/*
 * CXL r3.1 Section 8.1.3: PCIe DVSEC for CXL Devices.  Offset of a register in
 * the extended capability, and the fields of registers.
 */
#define DVSEC(reg)                      offsetof(CXLDVSECDevice, reg)
FIELD(DVSEC_CAPABILITY, CACHE, 0, 1)
FIELD(DVSEC_CAPABILITY, MEM, 2, 1)
FIELD(DVSEC_CAPABILITY, HDM_COUNT, 4, 2)
FIELD(DVSEC_CAPABILITY, WRITE_BACK, 6, 1)
FIELD(DVSEC_CONTROL, MEM_ENABLE, 2, 1)
FIELD(DVSEC_CONTROL2, DISABLE_CACHING, 0, 1)
FIELD(DVSEC_CONTROL2, INITIATE_WRITE_BACK, 1, 1)
FIELD(DVSEC_CONTROL2, INITIATE_RESET, 2, 1)
FIELD(DVSEC_STATUS2, CACHE_INVALID, 0, 1)
FIELD(DVSEC_LOCK, CONFIG_LOCK, 0, 1)
FIELD(DVSEC_RANGE1_SIZE_LO, INFO_VALID, 0, 1)
FIELD(DVSEC_RANGE1_SIZE_LO, ACTIVE, 1, 1)
FIELD(DVSEC_RANGE1_SIZE_LO, ACTIVE_TIMEOUT, 13, 3)
FIELD(DVSEC_RANGE1_SIZE_LO, SIZE, 28, 4)
FIELD(DVSEC_RANGE1_BASE_LO, BASE, 28, 4)

#define DVSEC_RANGE_STRIDE  (DVSEC(range2_size_hi) - DVSEC(range1_size_hi))

/* What is written back where one bit is to change: a doorbell is no state */
#define DVSEC_CONTROL2_STATE ((uint16_t)~ \
                              (R_DVSEC_CONTROL2_INITIATE_WRITE_BACK_MASK | \
                               R_DVSEC_CONTROL2_INITIATE_RESET_MASK))

/*
 * PCIe r6.0 Section 6.6.2: a function has 100 ms for its reset.  A guest that
 * resets it must not hold up QEMU's main loop longer than that.
 */
#define FUNCTION_RESET_MS               100

/* For a device that needed more: it must not hold up QEMU again and again */
#define WRITE_BACK_LATE_MS              10

uint16_t vfio_cxl_config_find_dvsec(PCIDevice *pdev, Error **errp)
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

/* Access to the device's own registers */

static bool dvsec_read(VFIOCXLConfig *config, uint32_t reg, uint16_t *value)
{
    VFIODevice *vbasedev = &config->vdev->vbasedev;
    uint16_t le;

    if (vbasedev->io_ops->region_read(vbasedev, VFIO_PCI_CONFIG_REGION_INDEX,
                                      config->dvsec + reg, sizeof(le), &le) !=
        sizeof(le)) {
        return false;
    }
    *value = le16_to_cpu(le);
    return true;
}

static bool dvsec_read_long(VFIOCXLConfig *config, uint32_t reg,
                            uint32_t *value)
{
    VFIODevice *vbasedev = &config->vdev->vbasedev;
    uint32_t le;

    if (vbasedev->io_ops->region_read(vbasedev, VFIO_PCI_CONFIG_REGION_INDEX,
                                      config->dvsec + reg, sizeof(le), &le) !=
        sizeof(le)) {
        return false;
    }
    *value = le32_to_cpu(le);
    return true;
}

static bool dvsec_write(VFIOCXLConfig *config, uint32_t reg, uint16_t value)
{
    VFIODevice *vbasedev = &config->vdev->vbasedev;
    uint16_t le = cpu_to_le16(value);

    return vbasedev->io_ops->region_write(vbasedev,
                                          VFIO_PCI_CONFIG_REGION_INDEX,
                                          config->dvsec + reg, sizeof(le), &le,
                                          false) == sizeof(le);
}

/* Registers that are QEMU's: the guest's view is in PCIDevice.config */

/* Where register @reg of the first range stands for range @n, from the DVSEC */
static uint32_t range_reg(unsigned n, uint32_t reg)
{
    return reg + n * DVSEC_RANGE_STRIDE;
}

/* @bits of the dword at @reg are QEMU's, @writable ones the guest's to write */
static void config_own(VFIOCXLConfig *config, uint32_t reg, uint32_t bits,
                       uint32_t writable)
{
    uint32_t at = config->dvsec + reg;
    uint8_t *emulated = config->vdev->emulated_config_bits + at;
    uint8_t *wmask = PCI_DEVICE(config->vdev)->wmask + at;

    pci_set_long(emulated, pci_get_long(emulated) | bits);
    pci_set_long(wmask, (pci_get_long(wmask) & ~bits) | (writable & bits));
}

static void config_own_word(VFIOCXLConfig *config, uint32_t reg, uint16_t bits,
                            uint16_t writable)
{
    unsigned shift = 8 * (reg & 2);

    config_own(config, reg & ~2, (uint32_t)bits << shift,
               (uint32_t)writable << shift);
}

static uint32_t config_get(const VFIOCXLConfig *config, uint32_t reg)
{
    return pci_get_long(PCI_DEVICE(config->vdev)->config + config->dvsec + reg);
}

static void config_set(VFIOCXLConfig *config, uint32_t reg, uint32_t value)
{
    pci_set_long(PCI_DEVICE(config->vdev)->config + config->dvsec + reg, value);
}

static bool config_mem_enable(const VFIOCXLConfig *config)
{
    return pci_get_word(PCI_DEVICE(config->vdev)->config + config->dvsec +
                        DVSEC(ctrl)) & R_DVSEC_CONTROL_MEM_ENABLE_MASK;
}

static void config_set_mem_enable(VFIOCXLConfig *config, bool enable)
{
    uint8_t *control = PCI_DEVICE(config->vdev)->config + config->dvsec +
                       DVSEC(ctrl);

    pci_set_word(control, FIELD_DP16(pci_get_word(control), DVSEC_CONTROL,
                                     MEM_ENABLE, enable));
    if (config->mem) {
        vfio_cxl_memory_set_enabled(config->mem, enable);
    }
}

/*
 * CXL r3.1 Section 8.1.3.6: CONFIG_LOCK makes Mem_Enable and the range bases
 * read-only, and itself, until a conventional reset.
 */
static void config_set_lock(VFIOCXLConfig *config, bool lock)
{
    uint8_t *reg = PCI_DEVICE(config->vdev)->config + config->dvsec +
                   DVSEC(lock);
    uint32_t bases = lock || !config->guest_owned ? 0 : UINT32_MAX;
    unsigned n;

    config->locked = lock;
    pci_set_word(reg, FIELD_DP16(pci_get_word(reg), DVSEC_LOCK, CONFIG_LOCK,
                                 lock));
    config_own_word(config, DVSEC(lock), R_DVSEC_LOCK_CONFIG_LOCK_MASK,
                    lock ? 0 : R_DVSEC_LOCK_CONFIG_LOCK_MASK);
    config_own_word(config, DVSEC(ctrl), R_DVSEC_CONTROL_MEM_ENABLE_MASK,
                    lock || !config->mem ? 0 : R_DVSEC_CONTROL_MEM_ENABLE_MASK);
    for (n = 0; n < VFIO_CXL_DVSEC_RANGES; n++) {
        config_own(config, range_reg(n, DVSEC(range1_base_hi)), UINT32_MAX,
                   bases);
        config_own(config, range_reg(n, DVSEC(range1_base_lo)), UINT32_MAX,
                   bases & R_DVSEC_RANGE1_BASE_LO_BASE_MASK);
    }
}

/*
 * CXL r3.1 Section 8.1.3.8: without HDM Decoder Enable a device with Mem_Enable
 * set decodes what its ranges say.  This one decodes by its HDM decoders only,
 * so the ranges are not valid then.  Memory_Active says that a decoder would
 * find the memory, which is what QEMU maps it by.
 */
static void config_update_status(VFIOCXLConfig *config)
{
    bool claims = config->mem && config_mem_enable(config) &&
                  !vfio_cxl_hdm_enabled(config->hdm);
    unsigned n;

    for (n = 0; n < VFIO_CXL_DVSEC_RANGES; n++) {
        uint32_t reg = range_reg(n, DVSEC(range1_size_lo));
        bool valid = config->mem && !claims && config->range_size[n];
        uint32_t lo = config_get(config, reg);

        lo = FIELD_DP32(lo, DVSEC_RANGE1_SIZE_LO, INFO_VALID, valid);
        lo = FIELD_DP32(lo, DVSEC_RANGE1_SIZE_LO, ACTIVE,
                        valid && config->mem->open);
        config_set(config, reg, lo);
    }
}

/* The size of the device's range @n, 0 where it does not say */
static uint64_t device_range_size(VFIOCXLConfig *config, unsigned n)
{
    uint32_t lo, hi;

    if (!dvsec_read_long(config, range_reg(n, DVSEC(range1_size_hi)), &hi) ||
        !dvsec_read_long(config, range_reg(n, DVSEC(range1_size_lo)), &lo)) {
        return 0;
    }
    return deposit64(lo & R_DVSEC_RANGE1_SIZE_LO_SIZE_MASK, 32, 32, hi);
}

static void config_set_range(VFIOCXLConfig *config, unsigned n, uint64_t base,
                             uint64_t size)
{
    uint32_t reg = range_reg(n, DVSEC(range1_size_lo));

    config->range_size[n] = size;
    config_set(config, range_reg(n, DVSEC(range1_size_hi)),
               extract64(size, 32, 32));
    config_set(config, reg,
               (config_get(config, reg) & ~R_DVSEC_RANGE1_SIZE_LO_SIZE_MASK) |
               extract64(size, 0, 32));
    config_set(config, range_reg(n, DVSEC(range1_base_hi)),
               extract64(base, 32, 32));
    config_set(config, range_reg(n, DVSEC(range1_base_lo)),
               extract64(base, 0, 32));
}

void vfio_cxl_config_reset(VFIOCXLConfig *config, uint64_t base, uint64_t size,
                           bool enable)
{
    uint64_t sizes[VFIO_CXL_DVSEC_RANGES] = { 0 };
    unsigned n;

    for (n = 0; size && n < VFIO_CXL_DVSEC_RANGES; n++) {
        sizes[n] = device_range_size(config, n);
    }
    /* A device that is not ready to say has all of it in the first */
    sizes[0] = sizes[0] ?: size;
    for (n = 0; n < VFIO_CXL_DVSEC_RANGES; n++) {
        uint64_t part = MIN(sizes[n], size);

        /* Linux looks at the first one's base whatever its size */
        config_set_range(config, n, base && (!n || part) ? base : 0, part);
        base = base ? base + part : 0;
        size -= part;
    }
    config_set_lock(config, false);
    config_set_mem_enable(config, enable);
    config_update_status(config);
    config->inactive_ms = 0;
}

/* Which writes close the memory, and which want a write-back before them */
static void config_find_gates(VFIOCXLConfig *config)
{
    PCIDevice *pdev = PCI_DEVICE(config->vdev);
    uint32_t express = pdev->exp.exp_cap;
    uint8_t af = pci_find_capability(pdev, PCI_CAP_ID_AF);
    VFIOCXLGate *gate = config->gates;

    *gate++ = (VFIOCXLGate) {
        .at = PCI_COMMAND, .bits = PCI_COMMAND_MEMORY,
        .closes_if_clear = true, .is_state = true,
    };
    if (pdev->pm_cap) {
        *gate++ = (VFIOCXLGate) {
            .at = pdev->pm_cap + PCI_PM_CTRL, .bits = PCI_PM_CTRL_STATE_MASK,
            .is_state = true,
        };
    }
    if (express && pci_get_long(pdev->config + express + PCI_EXP_DEVCAP) &
                   PCI_EXP_DEVCAP_FLR) {
        *gate++ = (VFIOCXLGate) {
            .at = express + PCI_EXP_DEVCTL, .bits = PCI_EXP_DEVCTL_BCR_FLR,
            .asks_write_back = true,
        };
    }
    if (af && pci_get_byte(pdev->config + af + PCI_AF_CAP) & PCI_AF_CAP_FLR) {
        *gate++ = (VFIOCXLGate) {
            .at = af + PCI_AF_CTRL, .bits = PCI_AF_CTRL_FLR,
            .asks_write_back = true,
        };
    }
    /* Before a CXL reset the write-back is the guest's to ask for */
    *gate++ = (VFIOCXLGate) {
        .at = config->dvsec + DVSEC(ctrl2),
        .bits = R_DVSEC_CONTROL2_INITIATE_RESET_MASK,
    };
    config->gate_count = gate - config->gates;
}

void vfio_cxl_config_init(VFIOCXLConfig *config)
{
    uint32_t size_lo = R_DVSEC_RANGE1_SIZE_LO_SIZE_MASK |
                       R_DVSEC_RANGE1_SIZE_LO_INFO_VALID_MASK |
                       R_DVSEC_RANGE1_SIZE_LO_ACTIVE_MASK;
    unsigned n;

    config_find_gates(config);
    for (n = 0; n < VFIO_CXL_DVSEC_RANGES; n++) {
        config_own(config, range_reg(n, DVSEC(range1_size_hi)), UINT32_MAX, 0);
        config_own(config, range_reg(n, DVSEC(range1_size_lo)), size_lo, 0);
    }
    if (!config->mem) {
        uint8_t *reg = PCI_DEVICE(config->vdev)->config + config->dvsec +
                       DVSEC(cap);
        uint16_t bits = R_DVSEC_CAPABILITY_MEM_MASK |
                        R_DVSEC_CAPABILITY_HDM_COUNT_MASK;

        config_own_word(config, DVSEC(cap), bits, 0);
        pci_set_word(reg, pci_get_word(reg) & ~bits);
    }
    vfio_cxl_config_reset(config, 0, 0, false);
}

/* Does writing @len bytes @val at @addr set a bit of @mask in register @reg? */
static bool write_sets(uint32_t addr, uint32_t val, int len, uint32_t reg,
                       uint32_t mask)
{
    int i;

    for (i = 0; i < 4; i++) {
        uint32_t at = reg + i;

        if (at >= addr && at < addr + len &&
            extract32(val, 8 * (at - addr), 8) & extract32(mask, 8 * i, 8)) {
            return true;
        }
    }
    return false;
}

static bool gate_closes(const VFIOCXLGate *gate, uint32_t addr, uint32_t val,
                        int len)
{
    bool set = write_sets(addr, val, len, gate->at, gate->bits);

    if (gate->closes_if_clear) {
        return range_covers_byte(addr, len, gate->at) && !set;
    }
    return set;
}

/* Values of the gates that are states, to see whether a write changes them */
static uint32_t config_state(const VFIOCXLConfig *config)
{
    const PCIDevice *pdev = PCI_DEVICE(config->vdev);
    uint32_t state = pci_get_word(pdev->config + PCI_COMMAND) &
                     PCI_COMMAND_MEMORY;

    if (pdev->pm_cap) {
        state = deposit32(state, 16, 16,
                          pci_get_word(pdev->config + pdev->pm_cap +
                                       PCI_PM_CTRL) & PCI_PM_CTRL_STATE_MASK);
    }
    return state;
}

/*
 * What the device may have of a write: not what is QEMU's.  Its own Mem_Enable
 * turns off the host's decoding, its range bases are the host's addresses.
 */
static uint32_t config_for_device(VFIOCXLConfig *config, uint32_t addr,
                                  uint32_t val, int len)
{
    VFIODevice *vbasedev = &config->vdev->vbasedev;
    uint32_t mask = 0, le;
    int i;

    for (i = 0; i < len; i++) {
        uint32_t at = addr + i;
        uint8_t bits;

        if (at < config->dvsec + DVSEC(cap) ||
            at >= config->dvsec + PCIE_CXL_DEVICE_DVSEC_LENGTH) {
            continue;
        }
        bits = config->vdev->emulated_config_bits[at];
        if (config->locked && at - config->dvsec - DVSEC(ctrl) < 2) {
            bits = UINT8_MAX;
        }
        mask = deposit32(mask, 8 * i, 8, bits);
    }
    if (!mask) {
        return val;
    }
    if (vbasedev->io_ops->region_read(vbasedev, VFIO_PCI_CONFIG_REGION_INDEX,
                                      addr, len, &le) != len) {
        return val & ~mask;
    }
    return (val & ~mask) | (le32_to_cpu(le) & mask);
}

uint32_t vfio_cxl_config_before_write(VFIOCXLConfig *config, uint32_t addr,
                                      uint32_t val, int len)
{
    Error *err = NULL;
    unsigned i;

    config->ask = false;
    config->state = config_state(config);
    config->cxl_reset = write_sets(addr, val, len,
                                   config->dvsec + DVSEC(ctrl2),
                                   R_DVSEC_CONTROL2_INITIATE_RESET_MASK);
    for (i = 0; i < config->gate_count; i++) {
        const VFIOCXLGate *gate = &config->gates[i];

        if (!gate_closes(gate, addr, val, len)) {
            continue;
        }
        if (gate->asks_write_back &&
            !vfio_cxl_config_write_back(config, FUNCTION_RESET_MS, &err)) {
            error_reportf_err(err, VFIO_MSG_PREFIX,
                              config->vdev->vbasedev.name);
            err = NULL;
        }
        if (!config->mem ||
            (gate->at == PCI_COMMAND && config->space_is_no_gate)) {
            continue;
        }
        config->ask |= config->mem->open || !gate->is_state;
        vfio_cxl_memory_close(config->mem);
    }
    return config_for_device(config, addr, val, len);
}

void vfio_cxl_config_ask_memory(VFIOCXLConfig *config)
{
    const PCIDevice *pdev = PCI_DEVICE(config->vdev);

    config->inactive_ms = 0;
    vfio_cxl_memory_ask(config->mem);
    if (config->mem->open &&
        !(pci_get_word(pdev->config + PCI_COMMAND) & PCI_COMMAND_MEMORY)) {
        config->space_is_no_gate = true;
    }
}

void vfio_cxl_config_after_write(VFIOCXLConfig *config, uint32_t addr, int len)
{
    const PCIDevice *pdev = PCI_DEVICE(config->vdev);

    /* Nothing unless that was a reset, of which this is the end */
    vfio_cxl_config_allow_caching(config, false);

    if (!config->locked &&
        pci_get_word(pdev->config + config->dvsec + DVSEC(lock)) &
        R_DVSEC_LOCK_CONFIG_LOCK_MASK) {
        config_set_lock(config, true);
    }
    if (!config->mem) {
        return;
    }
    /* CXL r3.1 Section 9.7: it disables CXL.mem.  Firmware's stays as it is. */
    if (config->cxl_reset && config->guest_owned) {
        config_set_mem_enable(config, false);
        vfio_cxl_hdm_disable(config->hdm);
    } else if (ranges_overlap(addr, len, config->dvsec + DVSEC(ctrl), 2)) {
        vfio_cxl_memory_set_enabled(config->mem, config_mem_enable(config));
    }
    if (config->ask ||
        (!config->mem->open && config->state != config_state(config))) {
        vfio_cxl_config_ask_memory(config);
    }
}

void vfio_cxl_config_before_read(VFIOCXLConfig *config, uint32_t addr, int len)
{
    unsigned n;

    for (n = 0; n < VFIO_CXL_DVSEC_RANGES; n++) {
        if (range_covers_byte(addr, len, config->dvsec +
                              range_reg(n, DVSEC(range1_size_lo)))) {
            if (config->mem) {
                vfio_cxl_memory_look(config->mem);
            }
            config_update_status(config);
            return;
        }
    }
}

bool vfio_cxl_config_memory_active(VFIOCXLConfig *config)
{
    int64_t now = qemu_clock_get_ms(QEMU_CLOCK_REALTIME);
    int64_t timeout_ms;
    uint32_t lo = 0;
    unsigned n;

    for (n = 0; n < VFIO_CXL_DVSEC_RANGES; n++) {
        if ((n && !config->range_size[n]) ||
            (dvsec_read_long(config, range_reg(n, DVSEC(range1_size_lo)),
                             &lo) &&
             FIELD_EX32(lo, DVSEC_RANGE1_SIZE_LO, ACTIVE))) {
            continue;
        }
        /*
         * CXL r3.1 Section 8.1.3.8.2: 1, 4, 16, 64 or 256 s from a reset.  A
         * kernel may answer from a copy that never changes, so after that
         * only the kernel's answer to a read counts.
         */
        timeout_ms = 1000LL << 2 * MIN(FIELD_EX32(lo, DVSEC_RANGE1_SIZE_LO,
                                                  ACTIVE_TIMEOUT), 4);
        config->inactive_ms = config->inactive_ms ?: now;
        trace_vfio_cxl_config_memory_inactive(config->vdev->vbasedev.name, n,
                                              now - config->inactive_ms,
                                              timeout_ms);
        return now - config->inactive_ms >= timeout_ms;
    }
    config->inactive_ms = 0;
    return true;
}

bool vfio_cxl_config_write_back(VFIOCXLConfig *config, int64_t limit_ms,
                                Error **errp)
{
    VFIOCXLWriteBack *state = &config->write_back;
    int64_t limit = state->late ? WRITE_BACK_LATE_MS : limit_ms;
    int64_t start = g_get_monotonic_time();
    int64_t spent;
    uint16_t capability, control2, status2;

    if (!dvsec_read(config, DVSEC(cap), &capability)) {
        goto unreadable;
    }
    if (!FIELD_EX16(capability, DVSEC_CAPABILITY, WRITE_BACK) ||
        !(config->cache_capable ||
          FIELD_EX16(capability, DVSEC_CAPABILITY, CACHE))) {
        return true;
    }
    if (!dvsec_read(config, DVSEC(ctrl2), &control2) ||
        !dvsec_write(config, DVSEC(ctrl2),
                     (control2 & DVSEC_CONTROL2_STATE) |
                     R_DVSEC_CONTROL2_DISABLE_CACHING_MASK |
                     R_DVSEC_CONTROL2_INITIATE_WRITE_BACK_MASK)) {
        goto unreadable;
    }
    state->asked = true;
    state->guest_disabled = FIELD_EX16(control2, DVSEC_CONTROL2,
                                       DISABLE_CACHING);
    for (;;) {
        if (!dvsec_read(config, DVSEC(status2), &status2)) {
            goto unreadable;
        }
        spent = (g_get_monotonic_time() - start) / 1000;
        if (FIELD_EX16(status2, DVSEC_STATUS2, CACHE_INVALID)) {
            trace_vfio_cxl_config_write_back(config->vdev->vbasedev.name,
                                             spent);
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
               "what the device had cached may be lost", config->dvsec);
    return false;
}

void vfio_cxl_config_allow_caching(VFIOCXLConfig *config, bool conventional)
{
    VFIOCXLWriteBack *state = &config->write_back;
    uint16_t control2;

    if (!state->asked) {
        return;
    }
    state->asked = false;
    if (state->guest_disabled && !conventional) {
        return;
    }
    /* A device that does not answer has nothing to allow */
    if (dvsec_read(config, DVSEC(ctrl2), &control2) &&
        FIELD_EX16(control2, DVSEC_CONTROL2, DISABLE_CACHING)) {
        dvsec_write(config, DVSEC(ctrl2),
                    control2 & DVSEC_CONTROL2_STATE &
                    ~R_DVSEC_CONTROL2_DISABLE_CACHING_MASK);
    }
}
