/*
 * CXL Type-2 devices over vfio-user: what their HDM decoders decode
 *
 * Several decoders that the guest programs, decoders that skip memory, and a
 * sweep of all accesses to the registers against an oracle.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "vfio-cxl-util.h"

#define UNIT            (256 * MiB)
#define MAX_DECODERS    10

#define PASS_THROUGH    BRIDGE(0, 52, "")
#define GUEST           "'bus': 'rp0', 'x-cxl-decoders': 'guest'"
#define LOCKED          "'bus': 'rp0'"

/* What a decoder decodes: a range of the window, and what of the memory */
typedef struct Slice {
    uint64_t base, size;
    uint64_t skip;              /* of DPA, behind the decoder before it */
    uint64_t dpa;
} Slice;

/* The DPA that the region of the device's memory begins with */
static uint64_t region_dpa;

static Vm *start_vm(Model *m, unsigned units, const char *bridge,
                    const char *members)
{
    g_autofree char *topology =
        g_strdup_printf("-M cxl-fmw.0.targets.0=cxl.0,cxl-fmw.0.size=%uM %s %s",
                        units * 256, bridge, PORT(0));

    region_dpa = 0;
    return vm_start_with(m, topology, members);
}

static uint32_t read_ctrl(Vm *vm, unsigned n)
{
    return qtest_readl(vm->qts, hdm_at(0, HDM_CTRL(n)));
}

static void write_ctrl(Vm *vm, unsigned n, uint32_t ctrl)
{
    qtest_writel(vm->qts, hdm_at(0, HDM_CTRL(n)), ctrl);
}

/* Program and commit decoder @n, with @more in its control register */
static bool commit_with(Vm *vm, unsigned n, const Slice *s, uint32_t more)
{
    uint32_t ctrl = CTRL_COMMIT | more;

    write_ctrl(vm, n, 0);
    qtest_writeq(vm->qts, hdm_at(0, HDM_BASE(n)), s->base);
    qtest_writeq(vm->qts, hdm_at(0, HDM_SIZE(n)), s->size);
    qtest_writeq(vm->qts, hdm_at(0, HDM_SKIP(n)), s->skip);
    write_ctrl(vm, n, ctrl);
    if (read_ctrl(vm, n) == (ctrl | CTRL_COMMITTED)) {
        return true;
    }
    g_assert_cmphex(read_ctrl(vm, n), ==, ctrl | CTRL_ERROR);
    return false;
}

static bool commit(Vm *vm, unsigned n, const Slice *s)
{
    return commit_with(vm, n, s, 0);
}

/* It was refused, and is left empty */
static void assert_commit_fails(Vm *vm, unsigned n, Slice s)
{
    g_assert_false(commit(vm, n, &s));
    assert_decoder(vm, n, "refused", false, s.base, s.size, 0);
    write_ctrl(vm, n, 0);
    g_assert_cmphex(read_ctrl(vm, n), ==, 0);
}

static void bridge_commit(Vm *vm, unsigned n, const Slice *s, uint32_t ctrl)
{
    uint64_t at = bridge_hdm(vm, 0);

    qtest_writel(vm->qts, at + HDM_BASE(n), s->base);
    qtest_writel(vm->qts, at + HDM_BASE(n) + 4, s->base >> 32);
    qtest_writel(vm->qts, at + HDM_SIZE(n), s->size);
    qtest_writel(vm->qts, at + HDM_SIZE(n) + 4, s->size >> 32);
    qtest_writel(vm->qts, at + HDM_CTRL(n), ctrl);
}

/* The slice is seen in the window, from its first to its last bytes, or not */
static void assert_slice(Vm *vm, Model *m, const Slice *s, bool mapped)
{
    assert_slice_mapped(vm, m, s->base, s->size, s->dpa - region_dpa, mapped);
}

/* The first @mapped of the @count slices are seen in the window, no others */
static void assert_slices(Vm *vm, Model *m, const Slice *s, unsigned count,
                          unsigned mapped)
{
    unsigned n;

    for (n = 0; n < count; n++) {
        uint64_t start, size;
        bool alias = find_decoder(vm->qts, m, n, 0, &start, &size);

        g_assert_cmpint(alias, ==, n < mapped);
        if (alias) {
            g_assert_cmphex(start, ==, s[n].base);
            g_assert_cmphex(size, ==, s[n].size);
        }
        assert_slice(vm, m, &s[n], n < mapped);
    }
}

/* Several decoders that the guest programs */

/* Of 1, 2, 3, 1, ... units, with one of the window free before every second */
static void make_slices(Slice *s, unsigned count, uint64_t base)
{
    uint64_t dpa = 0;
    unsigned n;

    for (n = 0; n < count; n++) {
        base += n % 2 * UNIT;
        s[n] = (Slice) { .base = base, .size = (1 + n % 3) * UNIT, .dpa = dpa };
        base += s[n].size;
        dpa += s[n].size;
    }
}

/* What must not be committed after the first @n of @s, none of the rules two */
static void assert_refused_after(Vm *vm, const Slice *s, unsigned n)
{
    const Slice *prev = &s[n - 1];

    /* Over the end of the one before, and over all of it */
    assert_commit_fails(vm, n, (Slice) { .base = prev->base + prev->size - UNIT,
                                         .size = UNIT });
    assert_commit_fails(vm, n, (Slice) { .base = prev->base,
                                         .size = prev->size });
    /* Below the one before, where nothing is */
    if (n % 2 == 0) {
        assert_commit_fails(vm, n, (Slice) { .base = prev->base - UNIT,
                                             .size = UNIT });
    }
}

/* There are @left bytes of memory for decoder @n, and more of the window */
static void assert_capacity(Vm *vm, const Slice *s, unsigned n, uint64_t left)
{
    Slice all = { .base = s[n].base, .size = left };

    assert_commit_fails(vm, n, (Slice) { .base = s[n].base,
                                         .size = left + UNIT });
    assert_commit_fails(vm, n, (Slice) { .base = s[n].base, .size = left,
                                         .skip = UNIT });
    assert_commit_fails(vm, n, (Slice) { .base = s[n].base, .size = UNIT,
                                         .skip = left });
    g_assert_true(commit(vm, n, &all));
    write_ctrl(vm, n, 0);
}

/* Committed in order one by one, by the bridge as well where it has a say */
static void commit_in_order(Vm *vm, Model *m, const Slice *s, unsigned count,
                            bool bridge)
{
    unsigned n;

    for (n = 0; n < count; n++) {
        if (n) {
            assert_refused_after(vm, s, n);
        }
        if (n == count - 1) {
            assert_capacity(vm, s, n, 2 * count * UNIT - s[n].dpa);
        }
        g_assert_true(commit(vm, n, &s[n]));
        if (bridge) {
            assert_decoder(vm, n, "not-reached", false, s[n].base, s[n].size,
                           s[n].dpa);
            assert_slices(vm, m, s, count, n);
            bridge_commit(vm, n, &s[n], CTRL_COMMIT);
        }
        assert_decoder(vm, n, "mapped", false, s[n].base, s[n].size, s[n].dpa);
        assert_slices(vm, m, s, count, n + 1);
    }
}

static void assert_guest_decoders(Vm *vm, Model *m, const Slice *s,
                                  unsigned count, bool bridge)
{
    unsigned n;

    guest_enable(vm, 0);
    qtest_writel(vm->qts, hdm_at(0, HDM_GLOBAL), 2);
    g_assert_cmphex(qtest_readl(vm->qts, hdm_at(0, 0)) & 0xf, ==, count / 2);

    /* CXL r3.1 Section 8.2.4.20.12: none before the one in front of it */
    for (n = count - 1; n > 0; n--) {
        assert_decoder(vm, n, "uncommitted", false, 0, 0, 0);
        assert_commit_fails(vm, n, s[n]);
    }
    assert_slices(vm, m, s, count, 0);
    commit_in_order(vm, m, s, count, bridge);

    /* What decoders behind it are counted from does not go */
    for (n = 0; n < count - 1; n++) {
        write_ctrl(vm, n, 0);
        g_assert_cmphex(read_ctrl(vm, n), ==, CTRL_COMMIT | CTRL_COMMITTED);
    }
    assert_slices(vm, m, s, count, count);

    /* A decoder of the bridge takes its own slice with it, and no other */
    if (bridge) {
        bridge_commit(vm, 1, &s[1], 0);
        assert_slice(vm, m, &s[0], true);
        assert_slice(vm, m, &s[1], false);
        assert_slice(vm, m, &s[2], true);
        bridge_commit(vm, 1, &s[1], CTRL_COMMIT);
    }

    for (n = count; n-- > 0; ) {
        write_ctrl(vm, n, 0);
        g_assert_cmphex(read_ctrl(vm, n), ==, 0);
        assert_slices(vm, m, s, count, n);
    }

    /* One that is locked stays when it is the last */
    g_assert_true(commit_with(vm, 0, &s[0], CTRL_LOCK));
    g_assert_true(commit(vm, 1, &s[1]));
    write_ctrl(vm, 1, 0);
    write_ctrl(vm, 0, 0);
    g_assert_cmphex(read_ctrl(vm, 0), ==, CTRL_FIRMWARE);
    assert_slices(vm, m, s, count, 1);
}

/*
 * Memory for one unit more than the decoders use, and room in the window for
 * more than that: what is refused has one reason.
 */
static void test_guest_decoders(const char *bridge, unsigned count)
{
    g_autofree char *options =
        g_strdup_printf("--decoders %u --decoder-size 512M --uncommitted "
                        "--memory-without-decoder",
                        count);
    bool has_decoders = !g_str_equal(bridge, PASS_THROUGH);
    Model *m = model_start(options);
    Vm *vm = start_vm(m, 3 * count, bridge, LOCKED);
    Slice s[MAX_DECODERS];
    unsigned i;

    make_slices(s, count, window_base(vm, 0));
    for (i = 0; i < 2; i++) {
        assert_guest_decoders(vm, m, s, count, has_decoders);
        vm_reset(vm);
    }
    vm_stop(vm);
    model_stop(m);
}

static void test_guest_four(void)
{
    test_guest_decoders(BRIDGE_0, 4);
}

/* More than a host bridge has; one that passes through has no say */
static void test_guest_ten(void)
{
    test_guest_decoders(PASS_THROUGH, 10);
}

/* Decoders that skip memory */

#define SKIPPING "--decoders 2 --decoder-size 256M --decoder-skip 256M"

/*
 * Live's region begins with what decoder 0 decodes, so what that one skips is
 * not in it; shadow's has all of the device's memory.
 */
static Vm *start_skipping(Model *m, unsigned units, const char *members)
{
    Vm *vm = start_vm(m, units, BRIDGE_0, members);

    region_dpa = shadow() ? 0 : UNIT;
    return vm;
}

static void test_skip_locked(void)
{
    Model *m = model_start(SKIPPING);
    Vm *vm = start_skipping(m, 2, LOCKED);
    uint64_t base = window_base(vm, 0);
    Slice s[] = {
        { .base = base, .size = UNIT, .dpa = UNIT },
        { .base = base + UNIT, .size = UNIT, .dpa = 3 * UNIT },
    };
    /* In both regions: what decoder 1 skips */
    Slice skipped = { .base = base, .size = UNIT, .dpa = 2 * UNIT };
    unsigned i, n;

    for (i = 0; i < 2; i++) {
        assert_slices(vm, m, s, 2, 0);
        pci_enable(vm, 0);
        for (n = 0; n < 2; n++) {
            g_assert_cmphex(read_ctrl(vm, n), ==, CTRL_FIRMWARE);
            g_assert_cmphex(qtest_readq(vm->qts, hdm_at(0, HDM_SKIP(n))), ==,
                            UNIT);
            assert_decoder(vm, n, "mapped", true, s[n].base, s[n].size,
                           s[n].dpa);
        }
        assert_slices(vm, m, s, 2, 2);
        assert_slice(vm, m, &skipped, false);
        skipped.base += UNIT;
        assert_slice(vm, m, &skipped, false);
        skipped.base = base;
        vm_reset(vm);
    }
    vm_stop(vm);
    model_stop(m);
}

/* The same device, programmed by the guest */
static void test_skip_guest(void)
{
    Model *m = model_start(SKIPPING);
    Vm *vm = start_skipping(m, 4, GUEST);
    uint64_t base = window_base(vm, 0);
    Slice s[] = {
        { .base = base + UNIT, .size = UNIT, .skip = UNIT, .dpa = UNIT },
        { .base = base + 3 * UNIT, .size = UNIT, .skip = UNIT,
          .dpa = 3 * UNIT },
    };
    Slice from_zero = { .base = base, .size = UNIT };

    guest_enable(vm, 0);
    bridge_program(vm, 0, base, 4 * UNIT, CTRL_COMMIT);
    qtest_writel(vm->qts, hdm_at(0, HDM_GLOBAL), 2);

    /* Of live's device the first unit is not in the region */
    if (shadow()) {
        g_assert_true(commit(vm, 0, &from_zero));
        assert_slice(vm, m, &from_zero, true);
        write_ctrl(vm, 0, 0);
        assert_slice(vm, m, &from_zero, false);
    } else {
        assert_commit_fails(vm, 0, from_zero);
    }

    g_assert_true(commit(vm, 0, &s[0]));
    assert_decoder(vm, 0, "mapped", false, s[0].base, UNIT, UNIT);
    assert_slices(vm, m, s, 2, 1);
    assert_commit_fails(vm, 1, (Slice) { .base = s[1].base, .size = UNIT,
                                         .skip = 2 * UNIT });
    g_assert_true(commit(vm, 1, &s[1]));
    assert_decoder(vm, 1, "mapped", false, s[1].base, UNIT, 3 * UNIT);
    assert_slices(vm, m, s, 2, 2);

    /* The same without: it is the other half that is seen */
    s[1].skip = 0;
    s[1].dpa = 2 * UNIT;
    write_ctrl(vm, 1, 0);
    g_assert_true(commit(vm, 1, &s[1]));
    assert_slices(vm, m, s, 2, 2);
    vm_stop(vm);
    model_stop(m);
}

/* A device whose firmware skipped nothing */
static void test_skip_guest_alone(void)
{
    Model *m = model_start("--decoders 4 --decoder-size 256M");
    Vm *vm = start_vm(m, 4, PASS_THROUGH, GUEST);
    uint64_t base = window_base(vm, 0);
    Slice s[] = {
        { .base = base, .size = UNIT, .skip = UNIT, .dpa = UNIT },
        { .base = base + UNIT, .size = UNIT, .skip = UNIT, .dpa = 3 * UNIT },
    };

    guest_enable(vm, 0);
    qtest_writel(vm->qts, hdm_at(0, HDM_GLOBAL), 2);
    assert_commit_fails(vm, 0, (Slice) { .base = base, .size = UNIT,
                                         .skip = 4 * UNIT });
    assert_commit_fails(vm, 0, (Slice) { .base = base, .size = UNIT,
                                         .skip = 0xfffffffff0000000 });
    g_assert_true(commit(vm, 0, &s[0]));
    g_assert_true(commit(vm, 1, &s[1]));
    assert_slices(vm, m, s, 2, 2);
    /* All of the memory is decoded or skipped, and half of the window free */
    assert_commit_fails(vm, 2, (Slice) { .base = base + 2 * UNIT,
                                         .size = UNIT });
    vm_stop(vm);
    model_stop(m);
}

/* The sweep */

#define BLOCK           0x50u       /* two decoders */
#define AROUND          8u          /* bytes on each side of the overlay */

/*
 * What the specification makes of a register block, with nothing taken from
 * QEMU's: its bytes, where it is writable and what a commit does.
 */
typedef struct Oracle {
    uint8_t bytes[BLOCK];
    Slice active[2];                /* what is decoded; size 0: nothing */
    bool locked[2];                 /* by the commit */
    uint64_t window, window_size;
    uint64_t capacity;
} Oracle;

static uint32_t oracle_get(const Oracle *o, unsigned at)
{
    return ldl_le_p(o->bytes + at);
}

static uint64_t oracle_get_pair(const Oracle *o, unsigned at)
{
    return ldq_le_p(o->bytes + at);
}

static bool oracle_is_committed(const Oracle *o, unsigned n)
{
    return oracle_get(o, HDM_CTRL(n)) & CTRL_COMMITTED;
}

/* CXL r3.1 Section 8.2.4.20.12, for decoder @n of two */
static bool oracle_commit(Oracle *o, unsigned n)
{
    uint64_t size = oracle_get_pair(o, HDM_SIZE(n));
    uint64_t skip = oracle_get_pair(o, HDM_SKIP(n));
    uint64_t base = oracle_get_pair(o, HDM_BASE(n));
    uint64_t floor = o->window, dpa = 0;

    if (n == 1) {
        if (!oracle_is_committed(o, 0)) {
            return false;
        }
        floor = o->active[0].base + o->active[0].size;
        dpa = o->active[0].dpa + o->active[0].size;
    }
    if (oracle_get(o, HDM_CTRL(n)) & 0xf0 || !size || base < floor ||
        size > o->window_size ||
        base - o->window > o->window_size - size ||
        skip > o->capacity - dpa || size > o->capacity - dpa - skip) {
        return false;
    }
    o->active[n] = (Slice) { .base = base, .size = size, .dpa = dpa + skip };
    o->locked[n] = oracle_get(o, HDM_CTRL(n)) & CTRL_LOCK;
    return true;
}

static void oracle_write_ctrl(Oracle *o, unsigned n, uint32_t value)
{
    unsigned at = HDM_CTRL(n);
    bool committed = oracle_is_committed(o, n);

    /* Decoder 1 takes its place in the memory from decoder 0 */
    if (!n && committed && !(value & CTRL_COMMIT) &&
        oracle_is_committed(o, 1)) {
        return;
    }
    /* No BI, no UIO: the path to the host has neither */
    value &= 0x13ff;
    stl_le_p(o->bytes + at, value);
    if (!(value & CTRL_COMMIT)) {
        o->active[n] = (Slice) { 0 };
    } else if (committed || oracle_commit(o, n)) {
        stl_le_p(o->bytes + at, value | CTRL_COMMITTED);
    } else {
        stl_le_p(o->bytes + at, value | CTRL_ERROR);
    }
}

static void oracle_write_register(Oracle *o, unsigned at, uint32_t value)
{
    static const uint32_t writable[8] = {
        0xf0000000, 0xffffffff, 0xf0000000, 0xffffffff,
        0, 0xf0000000, 0xffffffff, 0,
    };
    unsigned n = (at - HDM_BASE(0)) / 0x20;

    if (at == HDM_GLOBAL) {
        stl_le_p(o->bytes + at, value & 3);
    }
    /* CXL r3.1 Section 8.2.4.20.7: what is locked was so when it committed */
    if (at < HDM_BASE(0) || o->locked[n]) {
        return;
    }
    if (at == HDM_CTRL(n)) {
        oracle_write_ctrl(o, n, value);
    } else {
        stl_le_p(o->bytes + at,
                 value & writable[(at - HDM_BASE(0)) % 0x20 / 4]);
    }
}

/* CXL r3.1 Section 8.2.2: whole registers only; @at may be outside */
static void oracle_write(Oracle *o, int at, uint64_t value, unsigned size)
{
    unsigned i;

    for (i = 0; size >= 4 && at % 4 == 0 && i < size; i += 4) {
        if (at + (int)i >= 0 && at + i < BLOCK) {
            oracle_write_register(o, at + i, value >> (8 * i));
        }
    }
}

static void assert_block(Vm *vm, const Oracle *o)
{
    uint8_t now[BLOCK];

    qtest_memread(vm->qts, hdm_at(0, 0), now, sizeof(now));
    g_assert_cmpmem(now, sizeof(now), o->bytes, sizeof(o->bytes));
}

/* What is in the window is what the oracle says is decoded */
static void assert_decoded(Vm *vm, Model *m, const Oracle *o)
{
    unsigned n;

    for (n = 0; n < 2; n++) {
        Slice s = { .base = o->window + n * UNIT, .size = UNIT,
                    .dpa = n * UNIT };

        if (o->active[n].size && oracle_get(o, HDM_GLOBAL) & 2) {
            assert_slice(vm, m, &o->active[n], true);
        } else {
            assert_slice(vm, m, &s, false);
        }
    }
}

typedef struct Sweep {
    const char *name;
    const char *members;
    bool firmware;                  /* both decoders are locked */
    unsigned committed;             /* by the guest, where each step begins */
    bool all;                       /* of the overlay, not the block alone */
    bool overlap;                   /* decoder 1 is programmed as decoder 0 */
} Sweep;

static const Sweep sweeps[] = {
    { "locked", LOCKED, true, 2, true },
    { "guest", GUEST, false, 0, true },
    { "guest-first-committed", GUEST, false, 1, false },
    { "guest-first-committed-overlap", GUEST, false, 1, false, true },
    { "guest-both-committed", GUEST, false, 2, false },
};

/* As which decoder @n is programmed where each step begins */
static Slice sweep_slice(const Sweep *sweep, const Oracle *o, unsigned n)
{
    uint64_t offset = sweep->overlap ? 0 : n * UNIT;

    return (Slice) { .base = o->window + offset, .size = UNIT, .dpa = offset };
}

static void sweep_enable(Vm *vm, const Sweep *sweep, const Oracle *o)
{
    pci_enable(vm, 0);
    if (!sweep->firmware) {
        set_mem_enable(vm, 0, true);
        bridge_program(vm, 0, o->window, o->window_size, CTRL_COMMIT);
    }
}

static void sweep_program(Vm *vm, const Sweep *sweep, const Oracle *o)
{
    unsigned n;

    /* What a step has locked takes a reset to be unlocked */
    for (n = 0; n < 2; n++) {
        if ((read_ctrl(vm, n) & CTRL_FIRMWARE) == CTRL_FIRMWARE) {
            vm_reset(vm);
            sweep_enable(vm, sweep, o);
        }
    }
    write_ctrl(vm, 1, 0);
    write_ctrl(vm, 0, 0);
    for (n = 0; n < 2; n++) {
        Slice s = sweep_slice(sweep, o, n);

        qtest_writeq(vm->qts, hdm_at(0, HDM_BASE(n)), s.base);
        qtest_writeq(vm->qts, hdm_at(0, HDM_SIZE(n)), s.size);
        qtest_writeq(vm->qts, hdm_at(0, HDM_SKIP(n)), 0);
        write_ctrl(vm, n, n < sweep->committed ? CTRL_COMMIT : 0);
    }
}

/* Bring the block to where each step of the sweep begins */
static void sweep_start(Vm *vm, const Sweep *sweep, Oracle *o)
{
    unsigned n;

    if (!sweep->firmware) {
        sweep_program(vm, sweep, o);
    }
    qtest_writel(vm->qts, hdm_at(0, HDM_GLOBAL), 2);

    memset(o->bytes, 0, sizeof(o->bytes));
    memset(o->active, 0, sizeof(o->active));
    memset(o->locked, 0, sizeof(o->locked));
    /* Two decoders, device-coherent only; no interleaving, UIO or poison */
    stl_le_p(o->bytes, 1 | (qtest_readl(vm->qts, hdm_at(0, 0)) & 0xf0) |
             1 << 21);
    stl_le_p(o->bytes + HDM_GLOBAL, 2);
    for (n = 0; n < 2; n++) {
        Slice s = sweep_slice(sweep, o, n);

        stq_le_p(o->bytes + HDM_BASE(n), s.base);
        stq_le_p(o->bytes + HDM_SIZE(n), s.size);
        if (n < sweep->committed) {
            stl_le_p(o->bytes + HDM_CTRL(n), CTRL_COMMIT | CTRL_COMMITTED |
                     (sweep->firmware ? CTRL_LOCK : 0));
            o->active[n] = s;
            o->locked[n] = sweep->firmware;
        }
    }
}

/* Does an access of @size bytes at @at reach one of these registers? */
static bool touches(int at, unsigned size, int reg)
{
    return at < reg + 4 && at + (int)size > reg;
}

static bool touches_decoding(int at, unsigned size)
{
    return touches(at, size, HDM_GLOBAL) || touches(at, size, HDM_CTRL(0)) ||
           touches(at, size, HDM_CTRL(1));
}

/* Every access of every size in bytes @image, which begin at @first */
static unsigned sweep_reads(Vm *vm, int first, const GByteArray *image)
{
    unsigned at, size, steps = 0;

    for (size = 1; size <= 8; size *= 2) {
        for (at = 0; at + size <= image->len; at++) {
            g_assert_cmphex(read_sized(vm, hdm_at(0, first + (int)at), size),
                            ==, ldn_le_p(image->data + at, size));
            steps++;
        }
    }
    return steps;
}

/*
 * The bytes of the access at @at that are not the block's: nothing of it is
 * written but the shadow's BAR in front of the overlay, which is memory.
 */
static void assert_around(Vm *vm, int first, GByteArray *image, unsigned at,
                          uint64_t value, unsigned size)
{
    unsigned i, reg;

    for (i = at; i < at + size; i++) {
        if (shadow() && i < AROUND && first + (int)i < -(int)(HDM - CM)) {
            image->data[i] = value >> (8 * (i - at));
        }
    }
    for (reg = at & ~3; reg < at + size; reg += 4) {
        int offset = first + (int)reg;

        if (offset < 0 || offset >= (int)BLOCK) {
            g_assert_cmphex(qtest_readl(vm->qts, hdm_at(0, offset)), ==,
                            ldn_le_p(image->data + reg, 4));
        }
    }
}

static unsigned sweep_writes(Vm *vm, Model *m, const Sweep *sweep, Oracle *o,
                             int first, GByteArray *image)
{
    static const uint64_t values[] = {
        0, UINT64_MAX, 0x0000020000000200, 0x1000000010000000,
        0x0000010000000100,
    };
    unsigned at, size, i, steps = 0;

    for (i = 0; i < ARRAY_SIZE(values); i++) {
        for (size = 1; size <= 8; size *= 2) {
            for (at = 0; at + size <= image->len; at++) {
                int offset = first + (int)at;

                write_sized(vm, hdm_at(0, offset), values[i], size);
                oracle_write(o, offset, values[i], size);
                assert_block(vm, o);
                assert_around(vm, first, image, at, values[i], size);
                if (touches_decoding(offset, size)) {
                    assert_decoded(vm, m, o);
                }
                if (offset + (int)size > 0 && offset < (int)BLOCK) {
                    sweep_start(vm, sweep, o);
                    assert_block(vm, o);
                }
                steps++;
            }
        }
    }
    return steps;
}

/*
 * The overlay is the block alone, with shadow all from the capability array on.
 * Across both of its ends an access is two, to it and to the BAR.
 */
static void test_sweep(const void *opaque)
{
    const Sweep *sweep = opaque;
    Model *m = model_start("--decoders 2 --decoder-size 256M");
    Vm *vm = start_vm(m, 2, BRIDGE_0, sweep->members);
    Oracle o = {
        .window = window_base(vm, 0), .window_size = 2 * UNIT,
        .capacity = 2 * UNIT,
    };
    int first = -(int)AROUND - (shadow() && sweep->all ? HDM - CM : 0);
    g_autoptr(GByteArray) image = g_byte_array_new();
    unsigned reads, writes, at;

    sweep_enable(vm, sweep, &o);
    sweep_start(vm, sweep, &o);
    assert_block(vm, &o);
    assert_decoded(vm, m, &o);
    if (first < -(int)AROUND) {
        qtest_writeq(vm->qts, hdm_at(0, first), 0x8877665544332211);
    }

    /* What is not the block's is the device's own, dword by dword */
    g_byte_array_set_size(image, BLOCK + AROUND - first);
    for (at = 0; at < image->len; at += 4) {
        stl_le_p(image->data + at,
                 qtest_readl(vm->qts, hdm_at(0, first + (int)at)));
    }
    memcpy(image->data - first, o.bytes, BLOCK);
    if (first < -(int)AROUND) {
        /* Of which something is known: the array's header, a RAS mask, Link */
        g_assert_cmphex(ldn_le_p(image->data + AROUND, 4), ==, 0x03110001);
        g_assert_cmphex(ldn_le_p(image->data + AROUND + CM_RAS - CM + 4, 4), ==,
                        0x1cfff);
        g_assert_cmphex(ldn_le_p(image->data + AROUND + CM_LINK - CM, 8), ==,
                        0x4002);
    }
    reads = sweep_reads(vm, first, image);
    writes = sweep_writes(vm, m, sweep, &o, first, image);

    memcpy(image->data - first, o.bytes, BLOCK);
    sweep_reads(vm, first, image);
    assert_decoded(vm, m, &o);
    g_test_message("%u reads, %u writes", reads, writes);
    vm_stop(vm);
    model_stop(m);
}

static void add_tests(void)
{
    size_t i;

    qtest_add_func("/vfio-cxl-decoder/guest/4", test_guest_four);
    qtest_add_func("/vfio-cxl-decoder/guest/10", test_guest_ten);
    qtest_add_func("/vfio-cxl-decoder/skip/locked", test_skip_locked);
    qtest_add_func("/vfio-cxl-decoder/skip/guest", test_skip_guest);
    qtest_add_func("/vfio-cxl-decoder/skip/guest-alone",
                   test_skip_guest_alone);
    for (i = 0; i < ARRAY_SIZE(sweeps); i++) {
        g_autofree char *path = g_strdup_printf("/vfio-cxl-decoder/sweep/%s",
                                                sweeps[i].name);

        qtest_add_data_func(path, &sweeps[i], test_sweep);
    }
}

int main(int argc, char **argv)
{
    return vfio_cxl_test_main(argc, argv, add_tests);
}
