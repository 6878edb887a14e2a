/*
 * Tests of the register model of an endpoint's HDM decoders
 *
 * What a register holds, which of its bits software owns and what a lock does
 * to it is written down in the table below and nowhere taken from the model.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "qemu/cutils.h"
#include "qemu/units.h"
#include "hw/vfio/cxl-hdm.h"

#define UNIT            (256 * MiB)
#define WINDOW          (1ULL << 40)
#define CAPACITY        (16 * UNIT)

/* Bits of Decoder n Control, CXL r3.1 Section 8.2.4.20.7 */
#define CTRL_IG         0x0000000fu
#define CTRL_IW         0x000000f0u
#define CTRL_LOCK       0x00000100u
#define CTRL_COMMIT     0x00000200u
#define CTRL_COMMITTED  0x00000400u
#define CTRL_ERROR      0x00000800u
#define CTRL_TYPE       0x00001000u
#define CTRL_BI         0x00002000u

#define GLOBAL_POISON   0x1u
#define GLOBAL_ENABLE   0x2u

enum {
    REG_CAPABILITY = 0x00,
    REG_GLOBAL = 0x04,
    REG_DECODERS = 0x10,
    STRIDE = 0x20,
    BASE_LO = 0x00,
    BASE_HI = 0x04,
    SIZE_LO = 0x08,
    SIZE_HI = 0x0c,
    CTRL = 0x10,
    SKIP_LO = 0x14,
    SKIP_HI = 0x18,
};

/* The oracle: registers of the block, by the bits that software may change */
typedef struct Register {
    uint64_t offset;
    uint32_t rw;            /* what software may change */
    bool lockable;          /* read-only as a whole in a locked decoder */
} Register;

static const Register global_registers[] = {
    { 0x00, 0x00000000, false },    /* capability */
    { 0x04, 0x00000003, false },    /* global control */
    { 0x08, 0x00000000, false },    /* reserved */
    { 0x0c, 0x00000000, false },    /* reserved */
};

static const Register decoder_registers[] = {
    { BASE_LO, 0xf0000000, true },
    { BASE_HI, 0xffffffff, true },
    { SIZE_LO, 0xf0000000, true },
    { SIZE_HI, 0xffffffff, true },
    { CTRL,    0x000013ff, true },  /* no BI, no UIO */
    { SKIP_LO, 0xf0000000, true },
    { SKIP_HI, 0xffffffff, true },
    { 0x1c,    0x00000000, true },  /* reserved */
};

/* What software may change in the dword at @offset of a block of @count */
static Register oracle(unsigned count, uint64_t offset)
{
    if (offset < REG_DECODERS) {
        return global_registers[offset / 4];
    }
    if (offset < REG_DECODERS + (uint64_t)count * STRIDE) {
        return decoder_registers[(offset - REG_DECODERS) % STRIDE / 4];
    }
    return (Register) { .offset = offset };
}

static uint64_t reg(unsigned n, uint64_t offset)
{
    return REG_DECODERS + n * STRIDE + offset;
}

/* A block and its owner */
typedef struct Fixture {
    VFIOCXLHdm hdm;
    unsigned asked;
    unsigned changed;
    unsigned asked_n;
    VFIOCXLHdmRange asked_range;
    bool refuse;
    const char *why;            /* the last reason told */
} Fixture;

static const char *owner_validate_commit(void *opaque, unsigned n,
                                         const VFIOCXLHdmRange *range)
{
    Fixture *f = opaque;

    f->asked++;
    f->asked_n = n;
    f->asked_range = *range;
    return f->refuse ? "its owner does not want it" : NULL;
}

static void owner_refused(void *opaque, unsigned n, const char *why)
{
    ((Fixture *)opaque)->why = why;
}

static void owner_changed(void *opaque)
{
    ((Fixture *)opaque)->changed++;
}

static const VFIOCXLHdmOps owner_ops = {
    .validate_commit = owner_validate_commit,
    .refused = owner_refused,
    .changed = owner_changed,
};

/* Capability register of @count decoders; the target count is not ours */
static uint32_t capability(unsigned count)
{
    return count == 1 ? 0x10 : 0x10 | count / 2;
}

static void start_with(Fixture *f, unsigned count, uint64_t capacity)
{
    *f = (Fixture) { 0 };
    vfio_cxl_hdm_init(&f->hdm, capability(count), capacity, &owner_ops, f);
}

static void start(Fixture *f, unsigned count)
{
    start_with(f, count, CAPACITY);
}

static uint32_t get(Fixture *f, uint64_t offset)
{
    return vfio_cxl_hdm_read(&f->hdm, offset, 4);
}

static void put(Fixture *f, uint64_t offset, uint32_t value)
{
    vfio_cxl_hdm_write(&f->hdm, offset, value, 4);
}

static void put_pair(Fixture *f, uint64_t offset, uint64_t value)
{
    put(f, offset, extract64(value, 0, 32));
    put(f, offset + 4, extract64(value, 32, 32));
}

static uint32_t ctrl(Fixture *f, unsigned n)
{
    return get(f, reg(n, CTRL));
}

static void program(Fixture *f, unsigned n, uint64_t base, uint64_t size,
                    uint64_t skip)
{
    put_pair(f, reg(n, BASE_LO), base);
    put_pair(f, reg(n, SIZE_LO), size);
    put_pair(f, reg(n, SKIP_LO), skip);
}

static void enable(Fixture *f)
{
    put(f, REG_GLOBAL, GLOBAL_ENABLE);
}

static bool decodes(Fixture *f, unsigned n)
{
    return vfio_cxl_hdm_decodes(&f->hdm, n, NULL);
}

static void assert_decodes(Fixture *f, unsigned n, uint64_t base,
                           uint64_t size, uint64_t dpa)
{
    VFIOCXLHdmRange range = { 0 };

    g_assert_true(vfio_cxl_hdm_decodes(&f->hdm, n, &range));
    g_assert_cmphex(range.base, ==, base);
    g_assert_cmphex(range.size, ==, size);
    g_assert_cmphex(range.dpa, ==, dpa);
}

/* Decoder @n over [base, base + size): it has to be taken, and once */
static void commit(Fixture *f, unsigned n, uint64_t base, uint64_t size)
{
    program(f, n, base, size, 0);
    f->asked = 0;
    f->changed = 0;
    put(f, reg(n, CTRL), CTRL_COMMIT);
    g_assert_cmphex(ctrl(f, n), ==, CTRL_COMMIT | CTRL_COMMITTED);
    g_assert_cmpuint(f->asked, ==, 1);
    g_assert_cmpuint(f->asked_n, ==, n);
    g_assert_cmpuint(f->changed, ==, 1);
}

/*
 * Commit of decoder @n as it stands: it has to be refused, and nothing else may
 * happen.  @asks: the block itself finds nothing wrong.
 */
static void commit_refused_with(Fixture *f, unsigned n, uint32_t bits,
                                bool asks)
{
    uint64_t base = vfio_cxl_hdm_read(&f->hdm, reg(n, BASE_LO), 8);
    uint64_t size = vfio_cxl_hdm_read(&f->hdm, reg(n, SIZE_LO), 8);
    uint64_t skip = vfio_cxl_hdm_read(&f->hdm, reg(n, SKIP_LO), 8);

    f->asked = 0;
    f->changed = 0;
    put(f, reg(n, CTRL), CTRL_COMMIT | bits);
    g_assert_cmphex(ctrl(f, n), ==, CTRL_COMMIT | CTRL_ERROR | bits);
    g_assert_false(decodes(f, n));
    g_assert_cmpuint(f->asked, ==, asks);
    g_assert_cmpuint(f->changed, ==, 0);
    g_assert_cmphex(vfio_cxl_hdm_read(&f->hdm, reg(n, BASE_LO), 8), ==, base);
    g_assert_cmphex(vfio_cxl_hdm_read(&f->hdm, reg(n, SIZE_LO), 8), ==, size);
    g_assert_cmphex(vfio_cxl_hdm_read(&f->hdm, reg(n, SKIP_LO), 8), ==, skip);
}

static void commit_refused(Fixture *f, unsigned n)
{
    commit_refused_with(f, n, 0, false);
}

static void uncommit(Fixture *f, unsigned n)
{
    f->changed = 0;
    put(f, reg(n, CTRL), 0);
    g_assert_cmphex(ctrl(f, n), ==, 0);
    g_assert_false(decodes(f, n));
    g_assert_cmpuint(f->changed, ==, 1);
}

/* Decoder count */

static void test_count(void)
{
    static const unsigned counts[16] = {
        [0] = 1, [1] = 2, [2] = 4, [3] = 6, [4] = 8, [5] = 10,
        /* 12 and more are for host bridges and switches, or reserved */
    };
    uint32_t n;

    for (n = 0; n < ARRAY_SIZE(counts); n++) {
        g_assert_cmpuint(vfio_cxl_hdm_decoder_count(n), ==, counts[n]);
        /* The other fields of the register do not matter */
        g_assert_cmpuint(vfio_cxl_hdm_decoder_count(n | 0xfffffff0), ==,
                         counts[n]);
    }
}

/* Start */

static void test_init(void)
{
    static const unsigned counts[] = { 1, 2, 4, 6, 8, 10 };
    Fixture f;
    uint64_t at;
    unsigned i, n;

    for (i = 0; i < ARRAY_SIZE(counts); i++) {
        start(&f, counts[i]);
        g_assert_cmphex(get(&f, REG_CAPABILITY), ==, capability(counts[i]));
        for (at = 4; at < 0x400; at += 4) {
            g_assert_cmphex(get(&f, at), ==, 0);
        }
        for (n = 0; n < 16; n++) {
            g_assert_false(decodes(&f, n));
        }
        g_assert_cmpuint(f.asked, ==, 0);
        g_assert_cmpuint(f.changed, ==, 0);
    }
}

/* Nothing is announced that the block would refuse or not do */
static void test_capability(void)
{
    unsigned bit;
    Fixture f;

    for (bit = 8; bit < 32; bit++) {
        uint32_t device = capability(4) | 1u << bit;

        f = (Fixture) { 0 };
        vfio_cxl_hdm_init(&f.hdm, device, CAPACITY, &owner_ops, &f);
        /* Supported coherency models alone are the device's to say */
        g_assert_cmphex(get(&f, REG_CAPABILITY), ==,
                        bit == 21 || bit == 22 ? device : capability(4));
    }
}

static void test_block_size(void)
{
    g_assert_cmphex(VFIO_CXL_HDM_BLOCK_SIZE(1), ==, 0x30);
    g_assert_cmphex(VFIO_CXL_HDM_BLOCK_SIZE(10), ==, 0x150);
}

/* Sweeps */

/* States that the sweeps start from */
typedef enum State {
    EMPTY,
    COMMITTED,
    LOCKED,
} State;

static const char *const state_names[] = { "empty", "committed", "locked" };

/* Register at @at of @image */
static uint32_t image_reg(const GByteArray *image, uint64_t at)
{
    return ldl_le_p(image->data + at);
}

/*
 * A block of which every writable register holds something to tell it from
 * the others, in @state: @image is what it is to read as, by the byte.
 */
static void fill(Fixture *f, unsigned count, State state, GByteArray *image)
{
    unsigned n;
    size_t i;

    start_with(f, count, UINT64_MAX);
    g_byte_array_set_size(image, REG_DECODERS + count * STRIDE + 32);
    memset(image->data, 0, image->len);
    stl_le_p(image->data, capability(count));
    stl_le_p(image->data + REG_GLOBAL, GLOBAL_ENABLE | GLOBAL_POISON);
    put(f, REG_GLOBAL, GLOBAL_ENABLE | GLOBAL_POISON);

    for (n = 0; n < count; n++) {
        uint64_t base = (0x01020304ULL << 36) + n * (1ULL << 33);
        uint64_t size = (1ULL << 32) + n * UNIT;
        uint64_t skip = (1ULL << 34) + (n + 2) * UNIT;
        uint32_t bits = CTRL_TYPE | CTRL_IG;

        program(f, n, base, size, skip);
        if (state == LOCKED) {
            bits |= CTRL_LOCK;
        }
        if (state != EMPTY) {
            bits |= CTRL_COMMIT;
        }
        put(f, reg(n, CTRL), bits);
        if (state != EMPTY) {
            bits |= CTRL_COMMITTED;
            g_assert_true(decodes(f, n));
        }
        stq_le_p(image->data + reg(n, BASE_LO), base);
        stq_le_p(image->data + reg(n, SIZE_LO), size);
        stl_le_p(image->data + reg(n, CTRL), bits);
        stq_le_p(image->data + reg(n, SKIP_LO), skip);
    }
    for (i = 0; i < image->len; i += 4) {
        g_assert_cmphex(get(f, i), ==, image_reg(image, i));
    }
    f->asked = 0;
    f->changed = 0;
}

static uint64_t image_read(const GByteArray *image, uint64_t at, unsigned size)
{
    uint64_t value = 0;
    unsigned i;

    for (i = 0; i < size; i++) {
        value |= (uint64_t)image->data[at + i] << (8 * i);
    }
    return value;
}

/* Every read of every size, aligned or not, across registers, past the end */
static void test_reads(const void *opaque)
{
    State state = GPOINTER_TO_UINT(opaque);
    static const unsigned counts[] = { 1, 2, 4, 6, 8, 10 };
    g_autoptr(GByteArray) image = g_byte_array_new();
    unsigned i, size;
    uint64_t at;
    Fixture f;

    for (i = 0; i < ARRAY_SIZE(counts); i++) {
        fill(&f, counts[i], state, image);
        for (size = 1; size <= 8; size *= 2) {
            for (at = 0; at + size <= image->len; at++) {
                g_assert_cmphex(vfio_cxl_hdm_read(&f.hdm, at, size), ==,
                                image_read(image, at, size));
            }
        }
        /* Reading is without effect */
        g_assert_cmpuint(f.asked, ==, 0);
        g_assert_cmpuint(f.changed, ==, 0);
    }
}

/*
 * What a dword write to @at has to make of @image.  Decoder n Control is the
 * one register that does more than hold bits.
 */
static void oracle_write(GByteArray *image, unsigned count, uint64_t at,
                         uint32_t value, bool *locked)
{
    Register r = oracle(count, at);
    uint8_t *p = image->data + at;
    uint32_t new;

    if (r.lockable) {
        unsigned n = (at - REG_DECODERS) / STRIDE;
        uint32_t now = image_reg(image, reg(n, CTRL));
        bool first = n == 0, last = n == count - 1;

        if (locked[n]) {
            return;
        }
        if (r.offset == CTRL) {
            new = value & r.rw;
            if (now & CTRL_COMMITTED) {
                if (value & CTRL_COMMIT) {
                    new |= CTRL_COMMITTED;
                } else if (!last) {
                    /* Reverse order: only the last one may go */
                    new = now;
                }
            } else if (value & CTRL_COMMIT) {
                /* In order: only the first one may come, if not interleaved */
                new |= first && !(value & CTRL_IW) ? CTRL_COMMITTED
                                                   : CTRL_ERROR;
                /* What is locked was so when it committed, not later */
                locked[n] = (new & CTRL_COMMITTED) && (value & CTRL_LOCK);
            }
            stl_le_p(p, new);
            return;
        }
    }
    if (r.rw) {
        stl_le_p(p, value & r.rw);
    }
}

/* Every write of every size, aligned or not, with patterns, from each state */
static void test_writes(const void *opaque)
{
    static const uint64_t patterns[] = {
        0, UINT64_MAX, 0x5555555555555555, 0xaaaaaaaaaaaaaaaa,
        0x0000020000000200, 0x0000030000000300, 0x0123456789abcdef,
        0xfedcba9876543210,
    };
    static const unsigned counts[] = { 1, 2, 10 };
    State state = GPOINTER_TO_UINT(opaque);
    g_autoptr(GByteArray) image = g_byte_array_new();
    unsigned i, p, size;
    uint64_t at, check;
    Fixture f;

    for (i = 0; i < ARRAY_SIZE(counts); i++) {
        unsigned count = counts[i];
        uint64_t end = REG_DECODERS + count * STRIDE + 24;

        for (p = 0; p < ARRAY_SIZE(patterns); p++) {
            for (size = 1; size <= 8; size *= 2) {
                for (at = 0; at < end; at++) {
                    bool locked[10];

                    fill(&f, count, state, image);
                    memset(locked, state == LOCKED, sizeof(locked));
                    vfio_cxl_hdm_write(&f.hdm, at, patterns[p], size);

                    /* Whole registers are written, or nothing is */
                    if (size >= 4 && at % 4 == 0) {
                        oracle_write(image, count, at, patterns[p], locked);
                    }
                    if (size == 8 && at % 4 == 0) {
                        oracle_write(image, count, at + 4,
                                     patterns[p] >> 32, locked);
                    }
                    for (check = 0; check < image->len; check += 4) {
                        uint32_t is = get(&f, check);
                        uint32_t expected = image_reg(image, check);

                        if (is != expected) {
                            g_test_message("%u decoders, %s: %u bytes "
                                           "0x%" PRIx64 " at 0x%" PRIx64
                                           ", register 0x%" PRIx64,
                                           count, state_names[state], size,
                                           patterns[p], at, check);
                        }
                        g_assert_cmphex(is, ==, expected);
                    }
                    /* Decoders that are not there keep nothing */
                    g_assert_true(buffer_is_zero(&f.hdm.decoders[count],
                                                 (10 - count) *
                                                 sizeof(VFIOCXLHdmDecoder)));
                }
            }
        }
    }
}

/* An access far outside meets nothing and wraps to nothing */
static void test_far_outside(void)
{
    static const uint64_t offsets[] = {
        0x1000, 0xffff0, 1ULL << 32, (1ULL << 32) + REG_GLOBAL,
        (1ULL << 37) + REG_DECODERS, 1ULL << 63, UINT64_MAX - 7,
    };
    g_autoptr(GByteArray) image = g_byte_array_new();
    Fixture f;
    size_t i, at;

    for (i = 0; i < ARRAY_SIZE(offsets); i++) {
        fill(&f, 10, COMMITTED, image);
        g_assert_cmphex(vfio_cxl_hdm_read(&f.hdm, offsets[i], 8), ==, 0);
        vfio_cxl_hdm_write(&f.hdm, offsets[i], 0, 8);
        vfio_cxl_hdm_write(&f.hdm, offsets[i], 0, 4);
        for (at = 0; at < image->len; at += 4) {
            g_assert_cmphex(get(&f, at), ==, image_reg(image, at));
        }
        g_assert_cmpuint(f.changed, ==, 0);
    }
}

/* An 8-byte write is two registers, the low one first: commit sees the size */
static void test_write_8_bytes(void)
{
    Fixture f;

    start(&f, 1);
    enable(&f);
    vfio_cxl_hdm_write(&f.hdm, reg(0, BASE_LO), WINDOW + 0xfffffff, 8);
    vfio_cxl_hdm_write(&f.hdm, reg(0, SIZE_LO), UNIT | 1, 8);
    g_assert_cmphex(vfio_cxl_hdm_read(&f.hdm, reg(0, BASE_LO), 8), ==, WINDOW);
    g_assert_cmphex(vfio_cxl_hdm_read(&f.hdm, reg(0, SIZE_LO), 8), ==, UNIT);

    /* SIZE_HI and CTRL at once: the size is there before it is committed */
    vfio_cxl_hdm_write(&f.hdm, reg(0, SIZE_HI), (uint64_t)CTRL_COMMIT << 32, 8);
    assert_decodes(&f, 0, WINDOW, UNIT, 0);

    /* CTRL and SKIP_LO at once: committed before the skip would spoil it */
    start(&f, 1);
    enable(&f);
    program(&f, 0, WINDOW, CAPACITY, 0);
    vfio_cxl_hdm_write(&f.hdm, reg(0, CTRL), CTRL_COMMIT | 1ULL << 60, 8);
    assert_decodes(&f, 0, WINDOW, CAPACITY, 0);
    g_assert_cmphex(get(&f, reg(0, SKIP_LO)), ==, 1u << 28);
}

/* Commit */

static void test_commit(void)
{
    Fixture f;

    start(&f, 1);
    enable(&f);
    commit(&f, 0, WINDOW, 2 * UNIT);
    assert_decodes(&f, 0, WINDOW, 2 * UNIT, 0);
    g_assert_cmphex(f.asked_range.base, ==, WINDOW);
    g_assert_cmphex(f.asked_range.size, ==, 2 * UNIT);
    g_assert_cmphex(f.asked_range.dpa, ==, 0);

    /* To say it again is no new commit */
    f.asked = f.changed = 0;
    put(&f, reg(0, CTRL), CTRL_COMMIT);
    g_assert_cmpuint(f.asked, ==, 0);
    g_assert_cmpuint(f.changed, ==, 0);
    assert_decodes(&f, 0, WINDOW, 2 * UNIT, 0);

    uncommit(&f, 0);
    /* Nothing left to take back */
    f.changed = 0;
    put(&f, reg(0, CTRL), 0);
    g_assert_cmpuint(f.changed, ==, 0);
}

static void test_commit_every_attribute(void)
{
    Fixture f;

    start(&f, 1);
    enable(&f);
    program(&f, 0, WINDOW, UNIT, 0);
    /* But BI, which the path to the host has not */
    put(&f, reg(0, CTRL), CTRL_COMMIT | CTRL_IG | CTRL_TYPE | CTRL_BI);
    g_assert_cmphex(ctrl(&f, 0), ==, CTRL_COMMIT | CTRL_COMMITTED | CTRL_IG |
                    CTRL_TYPE);
    assert_decodes(&f, 0, WINDOW, UNIT, 0);
}

/* What is decoded is what was committed, until the next commit */
static void test_commit_takes_a_copy(void)
{
    Fixture f;

    start(&f, 2);
    enable(&f);
    commit(&f, 0, WINDOW, UNIT);
    f.changed = 0;
    program(&f, 0, WINDOW + 8 * UNIT, 2 * UNIT, 0);
    g_assert_cmpuint(f.changed, ==, 0);
    assert_decodes(&f, 0, WINDOW, UNIT, 0);

    /* Also for the decoder behind it: address and DPA follow on from there */
    commit(&f, 1, WINDOW + UNIT, UNIT);
    assert_decodes(&f, 1, WINDOW + UNIT, UNIT, UNIT);
    uncommit(&f, 1);

    uncommit(&f, 0);
    f.changed = 0;
    put(&f, reg(0, CTRL), CTRL_COMMIT);
    g_assert_cmpuint(f.changed, ==, 1);
    assert_decodes(&f, 0, WINDOW + 8 * UNIT, 2 * UNIT, 0);
}

static void test_refuse_size_0(void)
{
    Fixture f;

    start(&f, 1);
    enable(&f);
    program(&f, 0, WINDOW, 0, 0);
    commit_refused(&f, 0);
}

static void test_refuse_wrap(void)
{
    Fixture f;

    start_with(&f, 1, UINT64_MAX - UNIT + 1);
    enable(&f);
    program(&f, 0, UINT64_MAX - 2 * UNIT + 1, 3 * UNIT, 0);
    commit_refused(&f, 0);
    put(&f, reg(0, CTRL), 0);

    /* Up to the very last byte is an end that 64 bits do not hold */
    program(&f, 0, UINT64_MAX - UNIT + 1, UNIT, 0);
    commit_refused(&f, 0);
    put(&f, reg(0, CTRL), 0);

    program(&f, 0, UNIT, UINT64_MAX - UNIT + 1, 0);
    commit_refused(&f, 0);
    put(&f, reg(0, CTRL), 0);

    program(&f, 0, UINT64_MAX - 2 * UNIT + 1, UNIT, 0);
    put(&f, reg(0, CTRL), CTRL_COMMIT);
    assert_decodes(&f, 0, UINT64_MAX - 2 * UNIT + 1, UNIT, 0);
}

static void test_refuse_out_of_order(void)
{
    Fixture f;

    start(&f, 4);
    enable(&f);
    program(&f, 1, WINDOW, UNIT, 0);
    commit_refused(&f, 1);
    program(&f, 3, WINDOW, UNIT, 0);
    commit_refused(&f, 3);

    /* The refusal is not for ever */
    put(&f, reg(1, CTRL), 0);
    g_assert_cmphex(ctrl(&f, 1), ==, 0);
    commit(&f, 0, WINDOW, UNIT);
    commit(&f, 1, WINDOW + UNIT, UNIT);
    put(&f, reg(3, CTRL), 0);
    commit_refused(&f, 3);
}

static void test_refuse_descending(void)
{
    Fixture f;

    start(&f, 2);
    enable(&f);
    commit(&f, 0, WINDOW + 4 * UNIT, 2 * UNIT);

    program(&f, 1, WINDOW, UNIT, 0);                /* below */
    commit_refused(&f, 1);
    put(&f, reg(1, CTRL), 0);
    program(&f, 1, WINDOW + 4 * UNIT, UNIT, 0);     /* the same */
    commit_refused(&f, 1);
    put(&f, reg(1, CTRL), 0);
    program(&f, 1, WINDOW + 5 * UNIT, UNIT, 0);     /* its last unit */
    commit_refused(&f, 1);
    put(&f, reg(1, CTRL), 0);
    program(&f, 1, WINDOW + 3 * UNIT, 4 * UNIT, 0); /* around it */
    commit_refused(&f, 1);
    put(&f, reg(1, CTRL), 0);

    commit(&f, 1, WINDOW + 6 * UNIT, UNIT);
    assert_decodes(&f, 0, WINDOW + 4 * UNIT, 2 * UNIT, 0);
    assert_decodes(&f, 1, WINDOW + 6 * UNIT, UNIT, 2 * UNIT);
}

static void test_refuse_interleave(void)
{
    uint32_t iw;
    Fixture f;

    start(&f, 1);
    enable(&f);
    program(&f, 0, WINDOW, UNIT, 0);
    for (iw = 1; iw < 16; iw++) {
        commit_refused_with(&f, 0, iw << 4, false);
        put(&f, reg(0, CTRL), 0);
    }
    /* A granularity without interleave means nothing */
    put(&f, reg(0, CTRL), CTRL_COMMIT | CTRL_IG);
    assert_decodes(&f, 0, WINDOW, UNIT, 0);
}

static void test_refuse_beyond_capacity(void)
{
    Fixture f;

    start_with(&f, 2, 4 * UNIT);
    enable(&f);
    program(&f, 0, WINDOW, 5 * UNIT, 0);
    commit_refused(&f, 0);
    put(&f, reg(0, CTRL), 0);
    program(&f, 0, WINDOW, UNIT, 4 * UNIT);
    commit_refused(&f, 0);
    put(&f, reg(0, CTRL), 0);
    /* Skips that wrap end nowhere inside either */
    program(&f, 0, WINDOW, 2 * UNIT, UINT64_MAX - UNIT + 1);
    commit_refused(&f, 0);
    put(&f, reg(0, CTRL), 0);

    commit(&f, 0, WINDOW, 3 * UNIT);
    program(&f, 1, WINDOW + 3 * UNIT, 2 * UNIT, 0);
    commit_refused(&f, 1);
    put(&f, reg(1, CTRL), 0);
    program(&f, 1, WINDOW + 3 * UNIT, UNIT, UINT64_MAX - UNIT + 1);
    commit_refused(&f, 1);
    put(&f, reg(1, CTRL), 0);
    commit(&f, 1, WINDOW + 3 * UNIT, UNIT);
    assert_decodes(&f, 1, WINDOW + 3 * UNIT, UNIT, 3 * UNIT);
}

static void test_refuse_by_owner(void)
{
    Fixture f;

    start(&f, 2);
    enable(&f);
    commit(&f, 0, WINDOW, UNIT);
    program(&f, 1, WINDOW + 4 * UNIT, 2 * UNIT, UNIT);
    f.refuse = true;
    commit_refused_with(&f, 1, 0, true);
    g_assert_cmpuint(f.asked_n, ==, 1);
    g_assert_cmphex(f.asked_range.base, ==, WINDOW + 4 * UNIT);
    g_assert_cmphex(f.asked_range.size, ==, 2 * UNIT);
    g_assert_cmphex(f.asked_range.dpa, ==, 2 * UNIT);
    assert_decodes(&f, 0, WINDOW, UNIT, 0);

    put(&f, reg(1, CTRL), 0);
    f.refuse = false;
    f.changed = 0;
    put(&f, reg(1, CTRL), CTRL_COMMIT);
    g_assert_cmpuint(f.changed, ==, 1);
    assert_decodes(&f, 1, WINDOW + 4 * UNIT, 2 * UNIT, 2 * UNIT);
}

static void assert_told(Fixture *f, unsigned n, uint32_t value,
                        const char *why)
{
    f->why = NULL;
    put(f, reg(n, CTRL), value);
    g_assert_cmpstr(f->why, ==, why);
}

/* Whoever traces the device learns why it does not do what it was asked */
static void test_refused_is_told(void)
{
    const uint32_t interleaved = CTRL_COMMIT | 0x10;
    Fixture f;

    start(&f, 2);
    program(&f, 1, 8 * UNIT, UNIT, 0);
    assert_told(&f, 1, CTRL_COMMIT, "the decoder before it is not committed");
    assert_told(&f, 0, CTRL_COMMIT, "its range is empty or wraps");
    assert_told(&f, 0, interleaved, "it is interleaved");
    program(&f, 0, 8 * UNIT, CAPACITY + UNIT, 0);
    assert_told(&f, 0, CTRL_COMMIT, "it ends beyond the device's memory");
    program(&f, 0, 8 * UNIT, UNIT, 0);
    f.refuse = true;
    assert_told(&f, 0, CTRL_COMMIT, "its owner does not want it");
    f.refuse = false;
    assert_told(&f, 0, 0, NULL);
    assert_told(&f, 0, CTRL_COMMIT, NULL);
    assert_told(&f, 1, 0, NULL);
    assert_told(&f, 1, CTRL_COMMIT,
                "it begins before the end of the decoder before it");
    program(&f, 1, 9 * UNIT, UNIT, 0);
    assert_told(&f, 1, 0, NULL);
    assert_told(&f, 1, CTRL_COMMIT | CTRL_LOCK, NULL);
    assert_told(&f, 0, 0, "the decoder behind it is committed");
    assert_told(&f, 1, 0, "it is locked");
}

/* A refused commit goes with COMMIT, and is no lock */
static void test_refused_is_not_locked(void)
{
    Fixture f;

    start(&f, 1);
    enable(&f);
    commit_refused_with(&f, 0, CTRL_LOCK, false);
    program(&f, 0, WINDOW, UNIT, 0);
    g_assert_cmphex(get(&f, reg(0, SIZE_LO)), ==, UNIT);
    put(&f, reg(0, CTRL), CTRL_LOCK);
    g_assert_cmphex(ctrl(&f, 0), ==, CTRL_LOCK);
    put(&f, reg(0, CTRL), CTRL_LOCK | CTRL_COMMIT);
    g_assert_cmphex(ctrl(&f, 0), ==, CTRL_LOCK | CTRL_COMMIT | CTRL_COMMITTED);
}

static void test_skip(void)
{
    Fixture f;

    start(&f, 4);
    enable(&f);
    program(&f, 0, WINDOW, UNIT, 2 * UNIT);
    put(&f, reg(0, CTRL), CTRL_COMMIT);
    assert_decodes(&f, 0, WINDOW, UNIT, 2 * UNIT);
    program(&f, 1, WINDOW + UNIT, 2 * UNIT, 0);
    put(&f, reg(1, CTRL), CTRL_COMMIT);
    assert_decodes(&f, 1, WINDOW + UNIT, 2 * UNIT, 3 * UNIT);
    program(&f, 2, WINDOW + 3 * UNIT, UNIT, 4 * UNIT);
    put(&f, reg(2, CTRL), CTRL_COMMIT);
    assert_decodes(&f, 2, WINDOW + 3 * UNIT, UNIT, 9 * UNIT);
    /* 10 of 16 units are taken or skipped: 6 + 0 fit, 6 + 1 do not */
    program(&f, 3, WINDOW + 4 * UNIT, 6 * UNIT, UNIT);
    commit_refused(&f, 3);
    put(&f, reg(3, CTRL), 0);
    program(&f, 3, WINDOW + 4 * UNIT, 5 * UNIT, UNIT);
    put(&f, reg(3, CTRL), CTRL_COMMIT);
    assert_decodes(&f, 3, WINDOW + 4 * UNIT, 5 * UNIT, 11 * UNIT);
}

static void test_ten_decoders(void)
{
    unsigned n, round;
    Fixture f;

    start(&f, 10);
    enable(&f);
    for (round = 0; round < 2; round++) {
        for (n = 0; n < 10; n++) {
            commit(&f, n, WINDOW + n * UNIT, UNIT);
        }
        for (n = 0; n < 10; n++) {
            assert_decodes(&f, n, WINDOW + n * UNIT, UNIT, n * UNIT);
        }
        g_assert_false(decodes(&f, 10));
        for (n = 10; n-- > 0;) {
            uncommit(&f, n);
        }
    }
}

/* Uncommit */

static void test_uncommit_order(void)
{
    unsigned n;
    Fixture f;

    start(&f, 4);
    enable(&f);
    for (n = 0; n < 4; n++) {
        commit(&f, n, WINDOW + n * UNIT, UNIT);
    }
    f.changed = 0;
    for (n = 0; n < 3; n++) {
        put(&f, reg(n, CTRL), 0);
        g_assert_cmphex(ctrl(&f, n), ==, CTRL_COMMIT | CTRL_COMMITTED);
        assert_decodes(&f, n, WINDOW + n * UNIT, UNIT, n * UNIT);
    }
    g_assert_cmpuint(f.changed, ==, 0);
    for (n = 4; n-- > 0;) {
        uncommit(&f, n);
    }
}

/* Lock */

static void test_lock(void)
{
    Fixture f;

    start(&f, 1);
    enable(&f);
    program(&f, 0, WINDOW, UNIT, 0);
    put(&f, reg(0, CTRL), CTRL_COMMIT | CTRL_LOCK);
    f.changed = 0;

    put(&f, reg(0, CTRL), 0);
    put(&f, reg(0, CTRL), CTRL_COMMIT);
    put(&f, reg(0, CTRL), CTRL_LOCK);
    put(&f, reg(0, CTRL), ~0u);
    g_assert_cmphex(ctrl(&f, 0), ==, CTRL_COMMIT | CTRL_LOCK | CTRL_COMMITTED);
    program(&f, 0, WINDOW + UNIT, 2 * UNIT, UNIT);
    g_assert_cmphex(vfio_cxl_hdm_read(&f.hdm, reg(0, BASE_LO), 8), ==, WINDOW);
    g_assert_cmphex(vfio_cxl_hdm_read(&f.hdm, reg(0, SIZE_LO), 8), ==, UNIT);
    g_assert_cmphex(vfio_cxl_hdm_read(&f.hdm, reg(0, SKIP_LO), 8), ==, 0);
    g_assert_cmpuint(f.changed, ==, 0);
    assert_decodes(&f, 0, WINDOW, UNIT, 0);
}

/* A lock is one decoder's: that behind it is still the guest's */
static void test_lock_is_one_decoders(void)
{
    Fixture f;

    start(&f, 2);
    enable(&f);
    program(&f, 0, WINDOW, UNIT, 0);
    put(&f, reg(0, CTRL), CTRL_COMMIT | CTRL_LOCK);
    commit(&f, 1, WINDOW + UNIT, UNIT);
    uncommit(&f, 1);
    put(&f, reg(0, CTRL), 0);
    assert_decodes(&f, 0, WINDOW, UNIT, 0);
}

/* LOCK without a commit locks nothing */
static void test_lock_needs_commit(void)
{
    Fixture f;

    start(&f, 1);
    put(&f, reg(0, CTRL), CTRL_LOCK);
    program(&f, 0, WINDOW, UNIT, 2 * UNIT);
    g_assert_cmphex(vfio_cxl_hdm_read(&f.hdm, reg(0, BASE_LO), 8), ==, WINDOW);
    g_assert_cmphex(vfio_cxl_hdm_read(&f.hdm, reg(0, SIZE_LO), 8), ==, UNIT);
    g_assert_cmphex(vfio_cxl_hdm_read(&f.hdm, reg(0, SKIP_LO), 8), ==,
                    2 * UNIT);
    put(&f, reg(0, CTRL), 0);
    g_assert_cmphex(ctrl(&f, 0), ==, 0);
}

/* Written to a decoder that is committed it counts at the next commit only */
static void test_lock_is_latched(void)
{
    Fixture f;

    start(&f, 1);
    enable(&f);
    program(&f, 0, WINDOW, UNIT, 0);
    put(&f, reg(0, CTRL), CTRL_COMMIT);
    put(&f, reg(0, CTRL), CTRL_COMMIT | CTRL_LOCK);
    g_assert_cmphex(ctrl(&f, 0), ==, CTRL_COMMIT | CTRL_LOCK | CTRL_COMMITTED);
    g_assert_false(vfio_cxl_hdm_locked(&f.hdm, 0));
    put(&f, reg(0, CTRL), CTRL_LOCK);
    g_assert_cmphex(ctrl(&f, 0), ==, CTRL_LOCK);
    g_assert_false(decodes(&f, 0));

    put(&f, reg(0, CTRL), CTRL_COMMIT | CTRL_LOCK);
    g_assert_true(vfio_cxl_hdm_locked(&f.hdm, 0));
    put(&f, reg(0, CTRL), 0);
    assert_decodes(&f, 0, WINDOW, UNIT, 0);
}

/* Global enable */

/* As a CXL reset does: nothing is decoded, decoders stay as they are */
static void test_disable(void)
{
    Fixture f;

    start(&f, 1);
    put(&f, REG_GLOBAL, GLOBAL_ENABLE | GLOBAL_POISON);
    commit(&f, 0, WINDOW, UNIT);
    f.changed = 0;
    vfio_cxl_hdm_disable(&f.hdm);
    g_assert_cmphex(get(&f, REG_GLOBAL), ==, GLOBAL_POISON);
    g_assert_cmpuint(f.changed, ==, 1);
    g_assert_false(vfio_cxl_hdm_enabled(&f.hdm));
    g_assert_false(decodes(&f, 0));
    g_assert_cmphex(ctrl(&f, 0), ==, CTRL_COMMIT | CTRL_COMMITTED);
    enable(&f);
    assert_decodes(&f, 0, WINDOW, UNIT, 0);
}

static void test_global_enable(void)
{
    Fixture f;

    start(&f, 2);
    enable(&f);
    commit(&f, 0, WINDOW, UNIT);
    commit(&f, 1, WINDOW + UNIT, UNIT);

    f.changed = 0;
    put(&f, REG_GLOBAL, GLOBAL_ENABLE | GLOBAL_POISON);
    g_assert_cmpuint(f.changed, ==, 0);
    g_assert_true(decodes(&f, 0));
    put(&f, REG_GLOBAL, GLOBAL_POISON);
    g_assert_cmpuint(f.changed, ==, 1);
    g_assert_false(decodes(&f, 0));
    g_assert_false(decodes(&f, 1));
    /* The decoders themselves stay committed */
    g_assert_cmphex(ctrl(&f, 0), ==, CTRL_COMMIT | CTRL_COMMITTED);
    put(&f, REG_GLOBAL, 0);
    g_assert_cmpuint(f.changed, ==, 1);
    put(&f, REG_GLOBAL, GLOBAL_ENABLE);
    g_assert_cmpuint(f.changed, ==, 2);
    assert_decodes(&f, 0, WINDOW, UNIT, 0);
    assert_decodes(&f, 1, WINDOW + UNIT, UNIT, UNIT);
}

/* Locked decoders too: Global Control has no lock */
static void test_global_enable_locked(void)
{
    Fixture f;

    start(&f, 1);
    g_assert_true(vfio_cxl_hdm_firmware_commit(&f.hdm, 0, WINDOW, UNIT, 0, 0));
    f.changed = 0;
    put(&f, REG_GLOBAL, 0);
    g_assert_cmpuint(f.changed, ==, 1);
    g_assert_false(decodes(&f, 0));
    put(&f, REG_GLOBAL, GLOBAL_ENABLE);
    assert_decodes(&f, 0, WINDOW, UNIT, 0);
}

/* The order of commit and enable is the guest's choice */
static void test_commit_before_enable(void)
{
    Fixture f;

    start(&f, 1);
    program(&f, 0, WINDOW, UNIT, 0);
    put(&f, reg(0, CTRL), CTRL_COMMIT);
    g_assert_cmphex(ctrl(&f, 0), ==, CTRL_COMMIT | CTRL_COMMITTED);
    g_assert_false(decodes(&f, 0));
    f.changed = 0;
    enable(&f);
    g_assert_cmpuint(f.changed, ==, 1);
    assert_decodes(&f, 0, WINDOW, UNIT, 0);
}

/* Reset */

static void test_reset(void)
{
    unsigned n;
    uint64_t at;
    Fixture f;

    start(&f, 10);
    put(&f, REG_GLOBAL, GLOBAL_ENABLE | GLOBAL_POISON);
    for (n = 0; n < 10; n++) {
        program(&f, n, WINDOW + n * UNIT, UNIT, 0);
        put(&f, reg(n, CTRL), CTRL_COMMIT | (n % 2 ? CTRL_LOCK : 0));
        g_assert_true(decodes(&f, n));
    }
    f.changed = 0;
    vfio_cxl_hdm_reset(&f.hdm);
    g_assert_cmpuint(f.changed, ==, 1);
    for (n = 0; n < 10; n++) {
        g_assert_false(decodes(&f, n));
    }
    g_assert_cmphex(get(&f, REG_CAPABILITY), ==, capability(10));
    for (at = 4; at < 0x200; at += 4) {
        g_assert_cmphex(get(&f, at), ==, 0);
    }

    /* Unlocked, and usable as at first */
    enable(&f);
    commit(&f, 0, WINDOW + 3 * UNIT, UNIT);
    assert_decodes(&f, 0, WINDOW + 3 * UNIT, UNIT, 0);
}

/* Firmware */

static void test_firmware_commit(void)
{
    const uint32_t bits = CTRL_COMMIT | CTRL_COMMITTED | CTRL_LOCK;
    Fixture f;

    start(&f, 2);
    /* The physical control register, as it may be: only attributes are taken */
    g_assert_true(vfio_cxl_hdm_firmware_commit(&f.hdm, 0, WINDOW, 2 * UNIT,
                                               UNIT, ~0u));
    g_assert_cmpuint(f.changed, ==, 1);
    g_assert_cmpuint(f.asked, ==, 1);
    g_assert_cmphex(get(&f, REG_GLOBAL), ==, GLOBAL_ENABLE);
    g_assert_cmphex(ctrl(&f, 0), ==, bits | CTRL_IG | CTRL_TYPE);
    assert_decodes(&f, 0, WINDOW, 2 * UNIT, UNIT);

    g_assert_true(vfio_cxl_hdm_firmware_commit(&f.hdm, 1, WINDOW + 2 * UNIT,
                                               UNIT, 0, 0));
    g_assert_cmphex(ctrl(&f, 1), ==, bits);
    assert_decodes(&f, 1, WINDOW + 2 * UNIT, UNIT, 3 * UNIT);

    /* Read back as given, and locked */
    g_assert_cmphex(vfio_cxl_hdm_read(&f.hdm, reg(0, BASE_LO), 8), ==, WINDOW);
    g_assert_cmphex(vfio_cxl_hdm_read(&f.hdm, reg(0, SIZE_LO), 8), ==,
                    2 * UNIT);
    g_assert_cmphex(vfio_cxl_hdm_read(&f.hdm, reg(0, SKIP_LO), 8), ==, UNIT);
    f.changed = 0;
    put(&f, reg(0, CTRL), 0);
    put(&f, reg(1, CTRL), 0);
    program(&f, 0, 0, 0, 0);
    g_assert_cmpuint(f.changed, ==, 0);
    assert_decodes(&f, 0, WINDOW, 2 * UNIT, UNIT);
    assert_decodes(&f, 1, WINDOW + 2 * UNIT, UNIT, 3 * UNIT);

    /* Once more after a reset, to other places */
    vfio_cxl_hdm_reset(&f.hdm);
    g_assert_true(vfio_cxl_hdm_firmware_commit(&f.hdm, 0, WINDOW + UNIT, UNIT,
                                               0, 0));
    assert_decodes(&f, 0, WINDOW + UNIT, UNIT, 0);
    g_assert_false(decodes(&f, 1));
}

static void firmware_refused(Fixture *f, unsigned n, uint64_t base,
                             uint64_t size, uint64_t skip)
{
    VFIOCXLHdm before;

    f->changed = 0;
    before = f->hdm;
    g_assert_false(vfio_cxl_hdm_firmware_commit(&f->hdm, n, base, size, skip,
                                                0));
    g_assert_cmpmem(&f->hdm, sizeof(f->hdm), &before, sizeof(before));
    g_assert_cmpuint(f->changed, ==, 0);
}

static void test_firmware_refused(void)
{
    Fixture f;

    start(&f, 2);
    firmware_refused(&f, 2, WINDOW, UNIT, 0);           /* no such decoder */
    firmware_refused(&f, 10, WINDOW, UNIT, 0);
    firmware_refused(&f, UINT_MAX, WINDOW, UNIT, 0);
    firmware_refused(&f, 1, WINDOW, UNIT, 0);           /* not in order */
    firmware_refused(&f, 0, WINDOW + 1, UNIT, 0);       /* not in units */
    firmware_refused(&f, 0, WINDOW, UNIT + 4096, 0);
    firmware_refused(&f, 0, WINDOW, UNIT, UNIT / 2);
    firmware_refused(&f, 0, WINDOW, 0, 0);              /* empty */
    firmware_refused(&f, 0, UINT64_MAX - UNIT + 1, UNIT, 0);
    firmware_refused(&f, 0, WINDOW, CAPACITY + UNIT, 0);
    firmware_refused(&f, 0, WINDOW, CAPACITY, UNIT);
    g_assert_cmpuint(f.asked, ==, 0);
    f.refuse = true;
    firmware_refused(&f, 0, WINDOW, UNIT, 0);
    g_assert_cmpuint(f.asked, ==, 1);
    f.refuse = false;

    g_assert_true(vfio_cxl_hdm_firmware_commit(&f.hdm, 0, WINDOW, 2 * UNIT, 0,
                                               0));
    firmware_refused(&f, 1, WINDOW + UNIT, UNIT, 0);    /* overlaps */
    firmware_refused(&f, 1, WINDOW + 2 * UNIT, CAPACITY - UNIT, 0);
}

/* Whatever a guest writes */

static void random_access(Fixture *f, GRand *rand)
{
    static const uint32_t values[] = {
        0, UNIT, 2 * UNIT, 3 * UNIT, ~0u, CTRL_COMMIT, CTRL_COMMIT | CTRL_LOCK,
        CTRL_COMMIT | CTRL_TYPE, GLOBAL_ENABLE, GLOBAL_ENABLE | GLOBAL_POISON,
        CTRL_COMMIT | 0x10,
    };
    unsigned n = g_rand_int_range(rand, 0, f->hdm.count);
    uint32_t value = values[g_rand_int_range(rand, 0, ARRAY_SIZE(values))];

    switch (g_rand_int_range(rand, 0, 8)) {
    case 0:
        put(f, reg(n, SIZE_LO), g_rand_int_range(rand, 0, 4) * UNIT);
        break;
    case 1:
        put(f, reg(n, BASE_LO), g_rand_int_range(rand, 0, 16) * UNIT);
        break;
    case 2:
    case 3:
    case 4:
        put(f, reg(n, CTRL), CTRL_COMMIT);
        break;
    case 5:
        put(f, reg(n, CTRL), g_rand_int_range(rand, 0, 64) ? 0 : value);
        break;
    case 6:
        put(f, REG_GLOBAL, g_rand_int_range(rand, 0, 8) ? GLOBAL_ENABLE : 0);
        break;
    default:
        vfio_cxl_hdm_write(&f->hdm, g_rand_int_range(rand, 0, 0x180), value,
                           1u << g_rand_int_range(rand, 0, 4));
        break;
    }
}

/*
 * Ranges ascend, nothing lies on something else, nothing is beyond the device's
 * memory, and nothing of that changes without the owner being told.
 */
static void test_random(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(0x32);
    unsigned i, n, most = 0, seen = 0;
    Fixture f;

    for (i = 0; i < 200000; i++) {
        VFIOCXLHdmRange old[10] = { 0 }, now[10] = { 0 };
        uint64_t base = 0, dpa = 0;
        unsigned count = 0;
        bool same = true;

        if (i % 1000 == 0) {
            start(&f, 10);
        }
        for (n = 0; n < 10; n++) {
            vfio_cxl_hdm_decodes(&f.hdm, n, &old[n]);
        }
        f.changed = 0;
        random_access(&f, rand);
        for (n = 0; n < 10; n++) {
            bool on = vfio_cxl_hdm_decodes(&f.hdm, n, &now[n]);

            same = same && !memcmp(&old[n], &now[n], sizeof(now[n]));
            if (!on) {
                continue;
            }
            g_assert_cmpuint(n, ==, count);
            count++;
            g_assert_cmphex(now[n].size, !=, 0);
            g_assert_cmphex(now[n].base, >=, base);
            g_assert_cmphex(now[n].dpa, >=, dpa);
            base = now[n].base + now[n].size;
            dpa = now[n].dpa + now[n].size;
            g_assert_cmphex(base, >, now[n].base);
            g_assert_cmphex(dpa, <=, CAPACITY);
        }
        if (!same) {
            g_assert_cmpuint(f.changed, >, 0);
            seen++;
        }
        most = MAX(most, count);
    }
    /* Or nothing of the above was tried */
    g_assert_cmpuint(most, >=, 3);
    g_assert_cmpuint(seen, >, 1000);
}

int main(int argc, char **argv)
{
    State state;

    g_test_init(&argc, &argv, NULL);

    g_test_add_func("/vfio-cxl-hdm/count", test_count);
    g_test_add_func("/vfio-cxl-hdm/init", test_init);
    g_test_add_func("/vfio-cxl-hdm/capability", test_capability);
    g_test_add_func("/vfio-cxl-hdm/block-size", test_block_size);
    for (state = EMPTY; state <= LOCKED; state++) {
        g_autofree char *reads = g_strdup_printf("/vfio-cxl-hdm/reads/%s",
                                                 state_names[state]);
        g_autofree char *writes = g_strdup_printf("/vfio-cxl-hdm/writes/%s",
                                                  state_names[state]);

        g_test_add_data_func(reads, GUINT_TO_POINTER(state), test_reads);
        g_test_add_data_func(writes, GUINT_TO_POINTER(state), test_writes);
    }
    g_test_add_func("/vfio-cxl-hdm/far-outside", test_far_outside);
    g_test_add_func("/vfio-cxl-hdm/write-8-bytes", test_write_8_bytes);
    g_test_add_func("/vfio-cxl-hdm/commit", test_commit);
    g_test_add_func("/vfio-cxl-hdm/commit/every-attribute",
                    test_commit_every_attribute);
    g_test_add_func("/vfio-cxl-hdm/commit/takes-a-copy",
                    test_commit_takes_a_copy);
    g_test_add_func("/vfio-cxl-hdm/commit/before-enable",
                    test_commit_before_enable);
    g_test_add_func("/vfio-cxl-hdm/commit/skip", test_skip);
    g_test_add_func("/vfio-cxl-hdm/commit/ten-decoders", test_ten_decoders);
    g_test_add_func("/vfio-cxl-hdm/refuse/size-0", test_refuse_size_0);
    g_test_add_func("/vfio-cxl-hdm/refuse/wrap", test_refuse_wrap);
    g_test_add_func("/vfio-cxl-hdm/refuse/out-of-order",
                    test_refuse_out_of_order);
    g_test_add_func("/vfio-cxl-hdm/refuse/descending", test_refuse_descending);
    g_test_add_func("/vfio-cxl-hdm/refuse/interleave", test_refuse_interleave);
    g_test_add_func("/vfio-cxl-hdm/refuse/beyond-capacity",
                    test_refuse_beyond_capacity);
    g_test_add_func("/vfio-cxl-hdm/refuse/by-owner", test_refuse_by_owner);
    g_test_add_func("/vfio-cxl-hdm/refuse/is-told", test_refused_is_told);
    g_test_add_func("/vfio-cxl-hdm/refuse/is-not-locked",
                    test_refused_is_not_locked);
    g_test_add_func("/vfio-cxl-hdm/uncommit-order", test_uncommit_order);
    g_test_add_func("/vfio-cxl-hdm/lock", test_lock);
    g_test_add_func("/vfio-cxl-hdm/lock/is-one-decoders",
                    test_lock_is_one_decoders);
    g_test_add_func("/vfio-cxl-hdm/lock/needs-commit", test_lock_needs_commit);
    g_test_add_func("/vfio-cxl-hdm/global-enable", test_global_enable);
    g_test_add_func("/vfio-cxl-hdm/lock/is-latched", test_lock_is_latched);
    g_test_add_func("/vfio-cxl-hdm/disable", test_disable);
    g_test_add_func("/vfio-cxl-hdm/global-enable/locked",
                    test_global_enable_locked);
    g_test_add_func("/vfio-cxl-hdm/reset", test_reset);
    g_test_add_func("/vfio-cxl-hdm/firmware/commit", test_firmware_commit);
    g_test_add_func("/vfio-cxl-hdm/firmware/refused", test_firmware_refused);
    g_test_add_func("/vfio-cxl-hdm/random", test_random);

    return g_test_run();
}
