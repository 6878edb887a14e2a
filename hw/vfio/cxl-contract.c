/*
 * The kernel's description of a CXL Type-2 device, whatever its generation
 *
 * The answers come from a kernel whose interface is still moving, or over
 * vfio-user from any process at all, so nothing is taken on trust.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/host-utils.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "cxl-contract.h"
#include "cxl-uapi.h"
#include "vfio-helpers.h"

/* CXL r3.1 Section 8.2.4.1: CXL Capability Header Register */
REG32(CM_HEADER, 0)
    FIELD(CM_HEADER, ID, 0, 16)
    FIELD(CM_HEADER, ARRAY_SIZE, 24, 8)
/* CXL r3.1 Section 8.2.4.2 and following: one per capability */
REG32(CM_ENTRY, 4)
    FIELD(CM_ENTRY, ID, 0, 16)
    FIELD(CM_ENTRY, POINTER, 20, 12)

/* CXL r3.1 Table 8-22: CXL_CAPABILITY_ID Assignment */
#define CM_ID_HEADER        1
#define CM_ID_HDM           5

bool vfio_cxl_contract_present(const VFIODevice *vbasedev)
{
    return vbasedev->flags & VFIO_CXL_DEVICE_FLAG;
}

/* Capability @id of a region, NULL where it is absent or not @size bytes */
static void *region_cap(struct vfio_region_info *info, uint16_t id, size_t size)
{
    struct vfio_info_cap_header *hdr = vfio_get_region_info_cap(info, id);
    size_t at;

    if (!hdr) {
        return NULL;
    }
    at = (char *)hdr - (char *)info;
    return at + size <= info->argsz ? hdr : NULL;
}

static bool is_region(struct vfio_region_info *info, uint32_t subtype)
{
    struct vfio_region_info_cap_type *type =
        region_cap(info, VFIO_REGION_INFO_CAP_TYPE, sizeof(*type));

    return type && type->type == VFIO_CXL_REGION_TYPE &&
           type->subtype == subtype;
}

/*
 * The one region of @subtype among the device's own regions, and its index:
 * the one that was asked for, whatever the answer says it is.
 */
static bool find_region(VFIODevice *vbasedev, uint32_t subtype,
                        const char *what, unsigned *index,
                        struct vfio_region_info **found, Error **errp)
{
    unsigned i, unknown = 0;
    int error = 0;

    *found = NULL;
    for (i = VFIO_PCI_NUM_REGIONS; i < vbasedev->num_initial_regions; i++) {
        struct vfio_region_info *info;
        int ret = vfio_device_get_region_info(vbasedev, i, &info);

        if (ret) {
            if (!error) {
                error = ret;
                unknown = i;
            }
            continue;
        }
        if (!is_region(info, subtype)) {
            continue;
        }
        if (*found) {
            error_setg(errp, "CXL: regions %u and %u both claim to be the %s "
                       "region, expected one", *index, i, what);
            return false;
        }
        *found = info;
        *index = i;
    }
    if (!*found && error) {
        error_setg_errno(errp, -error, "CXL: no information on region %u, "
                         "which may be the %s region (type 0x%x, subtype %u)",
                         unknown, what, VFIO_CXL_REGION_TYPE, subtype);
        return false;
    }
    if (!*found) {
        error_setg(errp, "CXL: the device is flagged as CXL but has no %s "
                   "region (type 0x%x, subtype %u)", what,
                   VFIO_CXL_REGION_TYPE, subtype);
        return false;
    }
    return true;
}

static bool read_reg(VFIODevice *vbasedev, const VFIOCXLLayout *layout,
                     uint64_t offset, uint32_t *value, Error **errp)
{
    uint32_t le;
    int ret;

    ret = vbasedev->io_ops->region_read(vbasedev, layout->regs_region, offset,
                                        sizeof(le), &le);
    if (ret != sizeof(le)) {
        error_setg(errp, "CXL: reading component register 0x%"PRIx64
                   " in region %d failed: %s", offset, layout->regs_region,
                   strreaderror(ret));
        return false;
    }
    *value = le32_to_cpu(le);
    return true;
}

/* A 64-bit value that stands in two registers, low one first */
static bool read_reg_pair(VFIODevice *vbasedev, const VFIOCXLLayout *layout,
                          uint64_t offset, uint64_t *value, Error **errp)
{
    uint32_t lo, hi;

    if (!read_reg(vbasedev, layout, offset, &lo, errp) ||
        !read_reg(vbasedev, layout, offset + 4, &hi, errp)) {
        return false;
    }
    *value = deposit64(lo & ~(VFIO_CXL_HDM_UNIT - 1), 32, 32, hi);
    return true;
}

/* The memory region: READ and WRITE, a size that a decoder can express */
static bool read_mem(VFIODevice *vbasedev, VFIOCXLLayout *layout, Error **errp)
{
    const uint32_t rw = VFIO_REGION_INFO_FLAG_READ |
                        VFIO_REGION_INFO_FLAG_WRITE;
    struct vfio_region_info *info;
    unsigned index;

    if (!find_region(vbasedev, VFIO_CXL_REGION_SUBTYPE_MEM, "CXL memory",
                     &index, &info, errp)) {
        return false;
    }
    if ((info->flags & rw) != rw) {
        error_setg(errp, "CXL: memory region %u has flags 0x%x, expected it to "
                   "be readable and writable", index, info->flags);
        return false;
    }
    /* Above the second bound no guest physical address could reach it */
    if (!info->size || info->size % VFIO_CXL_HDM_UNIT ||
        info->size >= 1ULL << 52) {
        error_setg(errp, "CXL: memory region %u has size 0x%"PRIx64
                   ", expected a multiple of 256 MiB below 4 PiB",
                   index, (uint64_t)info->size);
        return false;
    }
    layout->mem_region = index;
    layout->mem_size = info->size;
    layout->mem_mmap = info->flags & VFIO_REGION_INFO_FLAG_MMAP;
    return true;
}

/* Where the live kernel says that the component registers of @info stand */
static bool live_read_cap(const struct vfio_cxl_region_cap_comp_regs *cap,
                          VFIOCXLLayout *layout, Error **errp)
{
    if (cap->header.version != 1) {
        error_setg(errp, "CXL: component register capability has version %u, "
                   "expected 1", cap->header.version);
        return false;
    }
    layout->contract = VFIO_CXL_CONTRACT_LIVE;
    layout->bar = cap->bar;
    layout->regs_bar_offset = cap->offset;
    layout->hdm_offset = 0;
    return true;
}

/*
 * The device's CXL capability, *@size bytes of it; NULL where there is none, or
 * with @errp set on error.  *@buf is the device info around it, to be freed.
 */
static struct vfio_info_cap_header *device_cap(VFIODevice *vbasedev,
                                               struct vfio_device_info **buf,
                                               size_t *size, Error **errp)
{
    struct vfio_info_cap_header *hdr;
    size_t at, end;
    int ret = vfio_device_read_info(vbasedev, buf);

    if (ret) {
        error_setg_errno(errp, -ret, "CXL: reading the device info failed");
        return NULL;
    }
    hdr = vfio_get_device_info_cap(*buf, VFIO_CXL_DEVICE_CAP);
    if (!hdr) {
        return NULL;
    }
    at = (char *)hdr - (char *)*buf;
    end = hdr->next > at ? hdr->next : (*buf)->argsz;
    *size = end - at;
    return hdr;
}

/* The same of the shadow kernel, which describes the whole device */
static bool shadow_read_cap(VFIODevice *vbasedev, VFIOCXLLayout *layout,
                            Error **errp)
{
    ERRP_GUARD();
    g_autofree struct vfio_device_info *info = NULL;
    struct vfio_cxl_device_cap cap;
    struct vfio_info_cap_header *hdr;
    size_t size;

    hdr = device_cap(vbasedev, &info, &size, errp);
    if (!hdr) {
        if (!*errp) {
            error_setg(errp, "CXL: component register region %d has no "
                       "capability %u that says where in which BAR it stands",
                       layout->regs_region, VFIO_CXL_REGION_CAP_COMP_REGS);
        }
        return false;
    }
    if (size >= VFIO_CXL_DEVICE_CAP_RETIRED_SIZE) {
        error_setg(errp, "CXL: the device capability has %zu bytes, the "
                   "layout of the kernel series of June 2026, which was "
                   "replaced, expected the shadow (%zu bytes) or the live "
                   "generation", size, sizeof(cap));
        error_append_hint(errp, "Use a host kernel of one of these.\n");
        return false;
    }
    if (size < sizeof(cap) || hdr->version != 1) {
        error_setg(errp, "CXL: the device capability has %zu bytes and version "
                   "%u, expected %zu and 1", size, hdr->version, sizeof(cap));
        return false;
    }
    memcpy(&cap, hdr, sizeof(cap));

    layout->said_mem_region = cap.dpa_region_index;
    layout->said_regs_region = cap.comp_regs_region_index;
    layout->contract = VFIO_CXL_CONTRACT_SHADOW;
    layout->cache_capable = cap.flags & VFIO_CXL_DEVICE_CAP_CACHE_CAPABLE;
    layout->by_firmware = cap.flags & VFIO_CXL_DEVICE_CAP_FIRMWARE_COMMITTED;
    layout->bar = cap.hdm_regs_bar_index;
    layout->regs_bar_offset = cap.hdm_regs_offset;
    return true;
}

/*
 * The component registers.  Only the live kernel's region says where they
 * stand; what other capabilities such a kernel's device has is not asked.
 */
static bool read_regs_location(VFIODevice *vbasedev, VFIOCXLLayout *layout,
                               Error **errp)
{
    struct vfio_cxl_region_cap_comp_regs *cap;
    struct vfio_region_info *info;
    unsigned index;

    if (!find_region(vbasedev, VFIO_CXL_REGION_SUBTYPE_REGS,
                     "component register", &index, &info, errp)) {
        return false;
    }
    layout->regs_region = index;
    layout->regs_size = info->size;
    cap = region_cap(info, VFIO_CXL_REGION_CAP_COMP_REGS, sizeof(*cap));
    return cap ? live_read_cap(cap, layout, errp)
               : shadow_read_cap(vbasedev, layout, errp);
}

/*
 * The shadow region begins with the CXL.cachemem capability array.
 * CXL r3.1 Section 8.2.4.1: CXL Capability Header Register
 */
static bool shadow_find_hdm(VFIODevice *vbasedev, VFIOCXLLayout *layout,
                            Error **errp)
{
    uint32_t header, entry;
    unsigned n, count;

    if (!read_reg(vbasedev, layout, 0, &header, errp)) {
        return false;
    }
    count = FIELD_EX32(header, CM_HEADER, ARRAY_SIZE);
    if (FIELD_EX32(header, CM_HEADER, ID) != CM_ID_HEADER) {
        error_setg(errp, "CXL: the component registers begin with 0x%08x, "
                   "expected a capability array header (id %d)", header,
                   CM_ID_HEADER);
        return false;
    }
    for (n = 1; n <= count; n++) {
        if (!read_reg(vbasedev, layout, n * sizeof(entry), &entry, errp)) {
            return false;
        }
        if (FIELD_EX32(entry, CM_ENTRY, ID) == CM_ID_HDM) {
            layout->hdm_offset = FIELD_EX32(entry, CM_ENTRY, POINTER);
            break;
        }
    }
    if (n > count) {
        error_setg(errp, "CXL: no HDM decoder capability (id %d) among the %u "
                   "entries of the capability array", CM_ID_HDM, count);
        return false;
    }
    if (layout->hdm_offset <= count * sizeof(entry) ||
        layout->hdm_offset % 4 || layout->hdm_offset >= layout->regs_size) {
        error_setg(errp, "CXL: the HDM decoder capability is said to stand at "
                   "0x%"PRIx64", expected it dword aligned behind the array "
                   "and inside the region of 0x%"PRIx64" bytes",
                   layout->hdm_offset, layout->regs_size);
        return false;
    }
    return true;
}

/* The registers have to lie inside a BAR that is there */
static bool check_bar(VFIODevice *vbasedev, const VFIOCXLLayout *layout,
                      Error **errp)
{
    struct vfio_region_info *info;
    uint64_t end;
    int ret;

    if (layout->bar > VFIO_PCI_BAR5_REGION_INDEX) {
        error_setg(errp, "CXL: component registers are said to stand in BAR "
                   "%u, expected 0 to 5", layout->bar);
        return false;
    }
    ret = vfio_device_get_region_info(vbasedev, layout->bar, &info);
    if (ret) {
        error_setg_errno(errp, -ret, "CXL: no information on BAR %u",
                         layout->bar);
        return false;
    }
    if (layout->regs_bar_offset % 4 || !layout->regs_size ||
        uadd64_overflow(layout->regs_bar_offset, layout->regs_size, &end) ||
        end > info->size) {
        error_setg(errp, "CXL: component registers at offset 0x%"PRIx64
                   ", 0x%"PRIx64" bytes, expected them dword aligned inside "
                   "BAR %u of 0x%"PRIx64" bytes", layout->regs_bar_offset,
                   layout->regs_size, layout->bar, (uint64_t)info->size);
        return false;
    }
    return true;
}

static bool read_decoder(VFIODevice *vbasedev, VFIOCXLLayout *layout,
                         unsigned n, uint64_t *dpa, Error **errp)
{
    VFIOCXLHostDecoder *d = &layout->decoders[n];
    uint64_t at = layout->hdm_offset + n * VFIO_CXL_HDM_DECODER_STRIDE;
    uint64_t base, end;

    if (!read_reg(vbasedev, layout, at + VFIO_CXL_HDM_REG(DECODER0_CTRL),
                  &d->ctrl, errp)) {
        return false;
    }
    if (FIELD_EX32(d->ctrl, CXL_HDM_DECODER0_CTRL, ERR)) {
        error_setg(errp, "CXL: decoder %u has its error bit set (control "
                   "0x%08x), expected firmware to have left it committed or "
                   "empty", n, d->ctrl);
        return false;
    }
    if (!FIELD_EX32(d->ctrl, CXL_HDM_DECODER0_CTRL, COMMITTED)) {
        return true;
    }
    if (!read_reg_pair(vbasedev, layout,
                       at + VFIO_CXL_HDM_REG(DECODER0_BASE_LO), &base, errp) ||
        !read_reg_pair(vbasedev, layout,
                       at + VFIO_CXL_HDM_REG(DECODER0_SIZE_LO), &d->size,
                       errp) ||
        !read_reg_pair(vbasedev, layout,
                       at + VFIO_CXL_HDM_REG(DECODER0_DPA_SKIP_LO), &d->skip,
                       errp)) {
        return false;
    }
    /*
     * CXL r3.1 Section 8.2.4.20.12: such a decoder decodes nothing.  Firmware
     * commits those that it has no use for, to lock them.
     */
    if (n && !d->size) {
        return true;
    }
    if (layout->committed != n) {
        error_setg(errp, "CXL: decoder %u is committed but decoder %u is not, "
                   "or decodes nothing, expected those with memory first", n,
                   layout->committed);
        return false;
    }
    if (FIELD_EX32(d->ctrl, CXL_HDM_DECODER0_CTRL, IW)) {
        error_setg(errp, "CXL: decoder %u is interleaved (control 0x%08x), "
                   "expected all of its memory on this device", n, d->ctrl);
        return false;
    }
    if (!d->size || uadd64_overflow(base, d->size, &end)) {
        error_setg(errp, "CXL: decoder %u has size 0x%"PRIx64", expected a "
                   "range that is not empty and does not wrap", n, d->size);
        return false;
    }
    /* The live region begins with what decoder 0 decodes, skipped or not */
    if (!n && layout->contract == VFIO_CXL_CONTRACT_LIVE) {
        layout->mem_dpa = d->skip;
    }
    if (uadd64_overflow(layout->mem_dpa, layout->mem_size, &end) ||
        uadd64_overflow(*dpa, d->skip, dpa) ||
        uadd64_overflow(*dpa, d->size, dpa) || *dpa > end) {
        error_setg(errp, "CXL: decoder %u (size 0x%"PRIx64", skip 0x%"PRIx64
                   ") ends beyond the memory region of 0x%"PRIx64" bytes",
                   n, d->size, d->skip, layout->mem_size);
        return false;
    }
    layout->committed = n + 1;
    return true;
}

static bool read_decoders(VFIODevice *vbasedev, VFIOCXLLayout *layout,
                          Error **errp)
{
    uint64_t dpa = 0, need;
    unsigned n;

    if (!read_reg(vbasedev, layout,
                  layout->hdm_offset + VFIO_CXL_HDM_REG(DECODER_CAPABILITY),
                  &layout->hdm_capability, errp)) {
        return false;
    }
    layout->decoder_count = vfio_cxl_hdm_decoder_count(layout->hdm_capability);
    if (!layout->decoder_count) {
        error_setg(errp, "CXL: HDM decoder capability 0x%08x announces more "
                   "than the %d decoders that an endpoint may have",
                   layout->hdm_capability, HDM_DECODE_MAX);
        return false;
    }
    need = VFIO_CXL_HDM_BLOCK_SIZE(layout->decoder_count);
    if (layout->hdm_size < need) {
        error_setg(errp, "CXL: the decoder block has 0x%"PRIx64" bytes, "
                   "expected 0x%"PRIx64" for its %u decoders",
                   layout->hdm_size, need, layout->decoder_count);
        return false;
    }
    for (n = 0; n < layout->decoder_count; n++) {
        if (!read_decoder(vbasedev, layout, n, &dpa, errp)) {
            return false;
        }
    }
    if (layout->contract == VFIO_CXL_CONTRACT_LIVE) {
        /* There is no flag, and no driver of the host's commits any */
        layout->by_firmware = layout->committed;
    }
    if (layout->by_firmware && !layout->committed) {
        error_setg(errp, "CXL: the device capability says that firmware "
                   "committed decoders, but none of the %u is committed, "
                   "expected at least decoder 0 to be",
                   layout->decoder_count);
        return false;
    }
    return true;
}

bool vfio_cxl_contract_find_regs(VFIODevice *vbasedev, VFIOCXLLayout *layout,
                                 Error **errp)
{
    *layout = (VFIOCXLLayout) { 0 };

    return read_regs_location(vbasedev, layout, errp) &&
           check_bar(vbasedev, layout, errp);
}

bool vfio_cxl_contract_has_memory(VFIODevice *vbasedev)
{
    unsigned i;

    for (i = VFIO_PCI_NUM_REGIONS; i < vbasedev->num_initial_regions; i++) {
        struct vfio_region_info *info;

        /* What is not known may be it */
        if (vfio_device_get_region_info(vbasedev, i, &info) ||
            is_region(info, VFIO_CXL_REGION_SUBTYPE_MEM)) {
            return true;
        }
    }
    return false;
}

/* A shadow kernel says by their numbers, too, which regions are CXL's */
static bool check_regions(const VFIOCXLLayout *layout, Error **errp)
{
    if (layout->contract != VFIO_CXL_CONTRACT_SHADOW) {
        return true;
    }
    if (layout->said_regs_region != layout->regs_region ||
        layout->said_mem_region != layout->mem_region) {
        error_setg(errp, "CXL: the device capability names regions %u (memory) "
                   "and %u (component registers), expected %d and %d as their "
                   "types say", layout->said_mem_region,
                   layout->said_regs_region, layout->mem_region,
                   layout->regs_region);
        return false;
    }
    return true;
}

bool vfio_cxl_contract_read(VFIODevice *vbasedev, VFIOCXLLayout *layout,
                            Error **errp)
{
    *layout = (VFIOCXLLayout) { 0 };

    if (!read_mem(vbasedev, layout, errp) ||
        !read_regs_location(vbasedev, layout, errp) ||
        !check_regions(layout, errp) ||
        !check_bar(vbasedev, layout, errp) ||
        (layout->contract == VFIO_CXL_CONTRACT_SHADOW &&
         !shadow_find_hdm(vbasedev, layout, errp))) {
        return false;
    }
    layout->hdm_size = layout->regs_size - layout->hdm_offset;
    return read_decoders(vbasedev, layout, errp);
}

bool vfio_cxl_contract_memory_ready(VFIODevice *vbasedev,
                                    const VFIOCXLLayout *layout)
{
    uint32_t probe;

    /* A read may come short: any byte shows that the memory is open */
    return vbasedev->io_ops->region_read(vbasedev, layout->mem_region, 0,
                                         sizeof(probe), &probe) > 0;
}

int vfio_cxl_contract_get_dma_buf(VFIODevice *vbasedev,
                                  const VFIOCXLLayout *layout)
{
    size_t size = sizeof(struct vfio_device_feature) +
                  sizeof(struct vfio_device_feature_dma_buf) +
                  sizeof(struct vfio_region_dma_range);
    g_autofree struct vfio_device_feature *feature = g_malloc0(size);
    struct vfio_device_feature_dma_buf *dma_buf =
        (struct vfio_device_feature_dma_buf *)feature->data;

    feature->argsz = size;
    feature->flags = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_BUF;
    dma_buf->region_index = layout->mem_region;
    dma_buf->open_flags = O_RDWR | O_CLOEXEC;
    dma_buf->nr_ranges = 1;
    dma_buf->dma_ranges[0].length = layout->mem_size;
    return vbasedev->io_ops->device_feature(vbasedev, feature);
}

static bool write_reg(VFIODevice *vbasedev, const VFIOCXLLayout *layout,
                      uint64_t offset, uint32_t value, Error **errp)
{
    uint32_t le = cpu_to_le32(value);
    int ret;

    ret = vbasedev->io_ops->region_write(vbasedev, layout->regs_region, offset,
                                         sizeof(le), &le, false);
    if (ret != sizeof(le)) {
        error_setg(errp, "CXL: writing component register 0x%"PRIx64
                   " in region %d failed: %s", offset, layout->regs_region,
                   strwriteerror(ret));
        return false;
    }
    return true;
}

bool vfio_cxl_contract_set_base(VFIODevice *vbasedev,
                                const VFIOCXLLayout *layout, unsigned n,
                                uint64_t base, Error **errp)
{
    uint64_t at = layout->hdm_offset + n * VFIO_CXL_HDM_DECODER_STRIDE;

    if (layout->contract != VFIO_CXL_CONTRACT_SHADOW) {
        return true;
    }
    return write_reg(vbasedev, layout, at + VFIO_CXL_HDM_REG(DECODER0_BASE_LO),
                     extract64(base, 0, 32), errp) &&
           write_reg(vbasedev, layout, at + VFIO_CXL_HDM_REG(DECODER0_BASE_HI),
                     extract64(base, 32, 32), errp);
}
