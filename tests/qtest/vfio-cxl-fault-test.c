/*
 * CXL Type-2 devices that lie, over vfio-user
 *
 * The device model can misbehave in many ways, one at a time.  For each of
 * them the table below says what QEMU makes of it: a refusal, by its text, or
 * a device that works in a certain manner.  Whatever it is, the machine lives
 * on, waits no longer than its timeout, and has nothing mapped outside the
 * window.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qapi/error.h"
#include "qobject/qdict.h"
#include "qobject/qjson.h"
#include "vfio-cxl-util.h"
#include <sys/wait.h>

#define SIZE            (256 * MiB)
/* The device waits so long for an answer; all its waits together are bounded */
#define TIMEOUT         "'x-msg-timeout': 500"
#define PATIENCE        (10 * G_USEC_PER_SEC)

/* What is shown of a device that was accepted; memory space is off at first */
typedef void Behaviour(Vm *vm, Model *m, uint64_t base);

typedef struct Outcome {
    const char *refused;        /* with this text and hint; NULL: accepted */
    Behaviour *behaves;
    const char *says;           /* on standard error too; NULL: whatever */
} Outcome;

typedef struct FaultCase {
    const char *name;
    Outcome live;
    Outcome shadow;
    bool dies;                  /* the model does not end in good order */
} FaultCase;

/* Behaviours */

static void works(Vm *vm, Model *m, uint64_t base)
{
    unsigned i;

    for (i = 0; i < 2; i++) {
        assert_window_mapped(vm, m, base, SIZE, false);
        pci_enable(vm, 0);
        assert_firmware_decoder(vm, 0, base, SIZE);
        assert_dvsec_base(vm, 0, base);
        assert_window_mapped(vm, m, base, SIZE, true);
        vm_reset(vm);
    }
}

/* The same, but the guest sees another decoder control or DVSEC */
static void works_otherwise(Vm *vm, Model *m, uint64_t base)
{
    unsigned i;

    for (i = 0; i < 2; i++) {
        assert_window_mapped(vm, m, base, SIZE, false);
        pci_enable(vm, 0);
        g_assert_cmphex(qtest_readq(vm->qts, hdm_at(0, HDM_BASE(0))), ==, base);
        assert_window_mapped(vm, m, base, SIZE, true);
        vm_reset(vm);
    }
}

/* The guest reads that the registers are elsewhere; QEMU asks the kernel */
static void says_another_bar(Vm *vm, Model *m, uint64_t base)
{
    uint16_t locator;

    works(vm, m, base);
    pci_enable(vm, 0);
    locator = find_dvsec(vm, 0, DVSEC_LOCATOR);
    g_assert_cmphex(locator, !=, 0);
    g_assert_cmphex(dev_read(vm, 0, locator + 0x0c) & 7, !=, 0);
}

static void assert_region_event(Vm *vm, bool lost)
{
    QDict *event = qtest_qmp_eventwait_ref(vm->qts, "VFIO_REGION_MEMORY");
    QDict *data = qdict_get_qdict(event, "data");

    g_assert_cmpstr(qdict_get_str(data, "device-id"), ==, "dev0");
    g_assert_nonnull(strstr(qdict_get_str(data, "qom-path"), "/dev0"));
    g_assert_cmpint(qdict_get_int(data, "region"), ==, 0);
    g_assert_cmpint(qdict_get_bool(data, "lost"), ==, lost);
    qobject_unref(event);
}

/*
 * The file behind BAR 0 is gone when the machine starts: the guest reads all-
 * ones once, and then what the server answers.  After a reset it has it again.
 */
static void loses_its_bar(Vm *vm, Model *m, uint64_t base)
{
    unsigned i;

    for (i = 0; i < 2; i++) {
        pci_enable(vm, 0);
        g_assert_cmphex(qtest_readl(vm->qts, bar_at(0, 0x2000)), ==, ~0u);
        assert_region_event(vm, true);
        forget_accesses(m);
        qtest_readl(vm->qts, bar_at(0, 0x2000));
        assert_region_accesses(m, 0, 1);
        assert_window_mapped(vm, m, base, SIZE, true);

        vm_reset(vm);
        pci_enable(vm, 0);
        assert_region_event(vm, false);
        qtest_writel(vm->qts, bar_at(0, 0x2000), 0x600d600d);
        g_assert_cmphex(qtest_readl(vm->qts, bar_at(0, 0x2000)), ==,
                        0x600d600d);
        assert_region_accesses(m, 0, 0);
        vm_reset(vm);
    }
}

/* Every width gives what the dwords give */
static void reads_in_parts(Vm *vm, Model *m, uint64_t base)
{
    const uint64_t at[] = { CM, CM_RAS, CM_LINK, HDM };
    unsigned i, n;

    works(vm, m, base);
    pci_enable(vm, 0);
    for (i = 0; i < ARRAY_SIZE(at); i++) {
        uint64_t addr = bar_at(0, at[i]);
        uint32_t low = qtest_readl(vm->qts, addr);
        uint32_t high = qtest_readl(vm->qts, addr + 4);

        g_assert_cmphex(qtest_readq(vm->qts, addr), ==,
                        low | (uint64_t)high << 32);
        for (n = 0; n < 4; n++) {
            g_assert_cmphex(qtest_readb(vm->qts, addr + n), ==,
                            (uint8_t)(low >> 8 * n));
        }
        g_assert_cmphex(qtest_readw(vm->qts, addr + 1), ==,
                        (uint16_t)(low >> 8));
    }
}

/* Up to the last register, and beyond it what the BAR has */
static void ends_where_it_ends(Vm *vm, Model *m, uint64_t base)
{
    works(vm, m, base);
    pci_enable(vm, 0);
    g_assert_cmphex(qtest_readl(vm->qts, hdm_at(0, 0x2c)), ==, 0);
    g_assert_cmphex(qtest_readl(vm->qts, hdm_at(0, 0x30)), ==, 0);
    qtest_writel(vm->qts, hdm_at(0, 0x30), 0xffffffff);
    g_assert_cmphex(qtest_readq(vm->qts, hdm_at(0, 0x2c)), ==,
                    (uint64_t)qtest_readl(vm->qts, hdm_at(0, 0x30)) << 32);
    assert_firmware_decoder(vm, 0, base, SIZE);
    assert_window_mapped(vm, m, base, SIZE, true);
}

/* Flip bits of a register of the CXL DVSEC: the ones that did flip */
static uint16_t dvsec_flip(Vm *vm, uint32_t reg, uint16_t bits)
{
    uint32_t at = find_dvsec(vm, 0, DVSEC_DEVICE) + reg;
    uint16_t before = dev_read(vm, 0, at);

    dev_write16(vm, 0, at, before ^ bits);
    return before ^ (uint16_t)dev_read(vm, 0, at);
}

/* The guest makes it say that it has no cache: a reset believes that */
static void says_what_it_is_told(Vm *vm, Model *m, uint64_t base)
{
    works(vm, m, base);
    pci_enable(vm, 0);
    /* Cache_Capable, Cache Writeback and Invalidate Capable */
    g_assert_cmphex(dvsec_flip(vm, 0x0a, 0x41), ==, 0x41);
    vm_reset(vm);
    works(vm, m, base);
}

static void keeps_its_control(Vm *vm, Model *m, uint64_t base)
{
    works(vm, m, base);
    pci_enable(vm, 0);
    g_assert_cmphex(dvsec_flip(vm, 0x0c, 1), ==, 0);
    vm_reset(vm);
    works(vm, m, base);
}

/* CONFIG_LOCK is QEMU's: it locks, whatever the device's does */
static void is_locked_all_the_same(Vm *vm, Model *m, uint64_t base)
{
    works(vm, m, base);
    pci_enable(vm, 0);
    g_assert_cmphex(dvsec_flip(vm, 0x14, 1), ==, 1);
    g_assert_cmphex(dvsec_flip(vm, 0x0c, 5), ==, 0);
    vm_reset(vm);
    works(vm, m, base);
}

/* Its Memory_Active_Timeout of a second passes, then a read decides */
static void is_active_late(Vm *vm, Model *m, uint64_t base)
{
    pci_enable(vm, 0);
    assert_firmware_decoder(vm, 0, base, SIZE);
    assert_window_mapped(vm, m, base, SIZE, false);
    g_usleep(1100000);
    g_assert_cmphex(range_status(vm, 0, 0), ==, RANGE_VALID | RANGE_ACTIVE);
    assert_window_mapped(vm, m, base, SIZE, true);
}

/* In D3hot there is no memory, whatever the device answers */
static void sleeps(Vm *vm, Model *m, uint64_t base)
{
    uint16_t control;
    uint8_t pm;

    pci_enable(vm, 0);
    assert_window_mapped(vm, m, base, SIZE, true);
    pm = find_cap(vm, 0, CAP_PM) + 4;
    control = dev_read(vm, 0, pm);
    dev_write16(vm, 0, pm, control | 3);
    g_assert_cmphex(range_status(vm, 0, 0), ==, RANGE_VALID);
    assert_window_mapped(vm, m, base, SIZE, false);
    dev_write16(vm, 0, pm, control);
    assert_window_mapped(vm, m, base, SIZE, true);
}

/*
 * A CXL reset of the guest's, of which the device never says how it went: the
 * memory is back once it answers
 */
static void is_reset_by_the_guest(Vm *vm, Model *m, uint64_t base)
{
    uint16_t dvsec;
    int64_t resets;

    works(vm, m, base);
    pci_enable(vm, 0);
    resets = model_state(m, "resets", "cxl");
    g_assert_cmpint(resets, ==, 0);
    dvsec = find_dvsec(vm, 0, DVSEC_DEVICE);
    dev_write16(vm, 0, dvsec + 0x10, dev_read(vm, 0, dvsec + 0x10) | 4);
    g_assert_cmpint(model_state(m, "resets", "cxl"), ==, 1);
    assert_firmware_decoder(vm, 0, base, SIZE);
    assert_window_mapped(vm, m, base, SIZE, true);
}

/* As a device that firmware left alone: the guest programs the decoders */
static void is_the_guests(Vm *vm, Model *m, uint64_t base)
{
    pci_enable(vm, 0);
    g_assert_cmphex(qtest_readl(vm->qts, hdm_at(0, HDM_CTRL(0))), ==, 0);
    assert_window_mapped(vm, m, base, SIZE, false);
    set_mem_enable(vm, 0, true);
    bridge_program(vm, 0, base, SIZE, CTRL_COMMIT);
    qtest_writel(vm->qts, hdm_at(0, HDM_GLOBAL), 2);
    hdm_program(vm, base, SIZE, CTRL_COMMIT);
    assert_window_mapped(vm, m, base, SIZE, true);
    hdm_program(vm, base, SIZE, 0);
    assert_window_mapped(vm, m, base, SIZE, false);
}

/* A plain PCI device: the BAR is there, of CXL nothing is */
static void is_plain(Vm *vm, Model *m, uint64_t base)
{
    pci_enable(vm, 0);
    g_assert_cmphex(dev_read(vm, 0, 0), ==, DEVICE_ID << 16 | VENDOR_ID);
    assert_window_mapped(vm, m, base, SIZE, false);
    qtest_writel(vm->qts, hdm_at(0, HDM_GLOBAL), 2);
    hdm_program(vm, base, SIZE, CTRL_COMMIT);
    assert_window_mapped(vm, m, base, SIZE, false);
}

/* The registers answer, the memory does not: it stays out of the window */
static void has_no_memory(Vm *vm, Model *m, uint64_t base)
{
    pci_enable(vm, 0);
    assert_firmware_decoder(vm, 0, base, SIZE);
    assert_window_mapped(vm, m, base, SIZE, false);
    vm_reset(vm);
    pci_enable(vm, 0);
    assert_window_mapped(vm, m, base, SIZE, false);
}

/* Nobody is there any more: the guest reads ones, and writes to nobody */
static void is_gone(Vm *vm, Model *m, uint64_t base)
{
    uint64_t at;

    qtest_writew(vm->qts, dev_at(vm, 0, CFG_COMMAND), 0);
    qtest_writew(vm->qts, dev_at(vm, 0, CFG_COMMAND), COMMAND_MEMORY);
    g_assert_cmphex(dev_read(vm, 0, 0), ==, 0xffffffff);
    qtest_writeq(vm->qts, base, 1);
    qtest_readq(vm->qts, base + SIZE - 8);
    g_assert_false(find_decoder(vm->qts, m, 0, 0, &at, NULL));
    vm_reset(vm);
}

/* It was there until the guest wrote to it */
static void dies_at_a_write(Vm *vm, Model *m, uint64_t base)
{
    uint64_t at;

    pci_enable(vm, 0);
    assert_firmware_decoder(vm, 0, base, SIZE);
    g_assert_true(find_decoder(vm->qts, m, 0, 0, &at, NULL));
    qtest_writel(vm->qts, bar_at(0, ENGINE_BAR + 0x1000), 1);
    /* A write is posted; this waits for an answer */
    g_assert_cmphex(qtest_readl(vm->qts, bar_at(0, CM)), ==, 0xffffffff);
    is_gone(vm, m, base);
}

/* The table */

#define REFUSED(text)       { .refused = text }
#define ACCEPTED(how)       { .behaves = how }
#define TELLS(how, text)    { .behaves = how, .says = text }
#define BOTH(what)          .live = what, .shadow = what
#define SAID(text, more)    { .refused = text, .says = more }

#define NONE_COMMITTED \
    "CXL: the device capability says that firmware committed decoders, but " \
    "none of the 1 is committed, expected at least decoder 0 to be"
#define PLAIN \
    "CXL: the kernel flags the device as CXL but gives no CXL memory region, " \
    "expected one; used as a plain PCI device"
#define UNKNOWN_MEMORY_REGION \
    "CXL: no information on region 9, which may be the CXL memory region " \
    "(type 0x80001e98, subtype 1): "
#define NO_REGS_REGION \
    "CXL: the device is flagged as CXL but has no component register region " \
    "(type 0x80001e98, subtype 2)"
#define NOT_HIDDEN \
    "\nWithout that the physical decoders cannot be hidden from the guest."
#define SLOW \
    "CXL: memory region 9 cannot be mapped, every access of the guest will " \
    "be slow"
#define UNSEALED \
    "CXL: memory region 9: its file has no seal F_SEAL_SHRINK and could be " \
    "truncated"
#define LOST \
    "lost the connection to the server, the device is of no more use"
#define MEMORY_SIZE(size) \
    "CXL: memory region 9 has size " size ", expected a multiple of 256 MiB " \
    "below 4 PiB"
#define PLACE(offset, bytes, bar, size) \
    "CXL: component registers at offset " offset ", " bytes " bytes, " \
    "expected them dword aligned inside BAR " bar " of " size " bytes"
#define OVER_MSIX(bytes) \
    "CXL: component registers at offset 0x0 of BAR 2, " bytes " bytes, " \
    "overlap the MSI-X table or pending bits, expected them apart"
#define HDM_PLACE(offset) \
    "CXL: the HDM decoder capability is said to stand at " offset ", " \
    "expected it dword aligned behind the array and inside the region of " \
    "0x230 bytes"
#define NO_HDM(n) \
    "CXL: no HDM decoder capability (id 5) among the " n " entries of the " \
    "capability array"
#define BAD_READ(why) \
    "CXL: reading component register 0x0 in region 10 failed: " why

static const FaultCase faults[] = {
    /* Capabilities */
    { "caps-loop", BOTH(SAID(UNKNOWN_MEMORY_REGION,
      "region 9: capabilities form a loop through 0x20")) },
    { "caps-past-end", BOTH(SAID(UNKNOWN_MEMORY_REGION,
      "region 9: capability at 0x7ffffff8, expected inside 0x20 to 0x30")) },
    { "caps-unaligned", BOTH(SAID(UNKNOWN_MEMORY_REGION,
      "region 9: capability at 0x23, expected at a multiple of 8")) },
    /* Without memory it would be a plain device, had its decoders a place */
    { "caps-truncated",
      .live = SAID("CXL: component register region 10 has no capability 6 that "
                   "says where in which BAR it stands" NOT_HIDDEN, PLAIN),
      .shadow = SAID(NO_REGS_REGION NOT_HIDDEN, PLAIN) },
    { "caps-offset-at-end", BOTH(SAID(UNKNOWN_MEMORY_REGION,
      "region 9: capability at 0x30, expected inside 0x20 to 0x30")) },
    { "argsz-grows", BOTH(SAID(UNKNOWN_MEMORY_REGION,
      "information on region 9 needs 48 bytes, expected not more than the "
      "40")) },
    { "argsz-huge", BOTH(SAID(UNKNOWN_MEMORY_REGION,
      "information on region 9 needs 4294967280 bytes, expected at most "
      "65536")) },

    /* Regions */
    { "region-index-out-of-range",
      /* What the reply says is not looked at: it was asked for by index */
      .live = ACCEPTED(works),
      .shadow = REFUSED("CXL: the device capability names regions 42 (memory) "
                        "and 43 (component registers), expected 9 and 10 as "
                        "their types say") },
    { "regions-too-many", BOTH(REFUSED(
      "VFIO_USER_DEVICE_GET_INFO: 101 regions and 5 interrupts, expected at "
      "most 100 and 50")) },
    { "two-memory-regions", BOTH(REFUSED(
      "CXL: regions 9 and 11 both claim to be the CXL memory region, expected "
      "one")) },
    { "no-memory-region", BOTH(TELLS(is_plain, PLAIN)) },
    { "no-comp-regs-region", BOTH(REFUSED(NO_REGS_REGION)) },
    { "memory-size-zero", BOTH(REFUSED(MEMORY_SIZE("0x0"))) },
    { "memory-size-odd", BOTH(REFUSED(MEMORY_SIZE("0x10001000"))) },
    { "memory-size-2-63", BOTH(REFUSED(MEMORY_SIZE("0x8000000000000000"))) },
    { "memory-no-mmap", BOTH(TELLS(works, SLOW)) },
    { "memory-read-only", BOTH(REFUSED(
      "CXL: memory region 9 has flags 0xd, expected it to be readable and "
      "writable")) },
    { "comp-regs-mmap", BOTH(ACCEPTED(works)) },
    { "no-cxl-flag", BOTH(ACCEPTED(is_plain)) },
    { "no-reset-flag", BOTH(ACCEPTED(works)) },

    /* Where the registers stand */
    { "block-outside-bar",
      .live = REFUSED(PLACE("0x100200", "0x30", "0", "0x100000")),
      .shadow = REFUSED(PLACE("0x100000", "0x230", "0", "0x100000")) },
    { "block-across-bar-end",
      .live = REFUSED(PLACE("0xffff0", "0x30", "0", "0x100000")),
      .shadow = REFUSED(PLACE("0xffdf0", "0x230", "0", "0x100000")) },
    { "block-over-msix",
      .live = REFUSED(OVER_MSIX("0x30")),
      .shadow = REFUSED(OVER_MSIX("0x230")) },
    { "block-unaligned",
      .live = REFUSED(PLACE("0x11202", "0x30", "0", "0x100000")),
      .shadow = REFUSED(PLACE("0x11002", "0x230", "0", "0x100000")) },
    { "bar-index-6", BOTH(REFUSED(
      "CXL: component registers are said to stand in BAR 6, expected 0 to "
      "5")) },
    { "bar-index-absent",
      .live = REFUSED(PLACE("0x11200", "0x30", "4", "0x0")),
      .shadow = REFUSED(PLACE("0x11000", "0x230", "4", "0x0")) },
    { "locator-bar-wrong", BOTH(ACCEPTED(says_another_bar)) },
    /* The live kernel says where the block is; the array is the guest's */
    { "cm-array-empty", .live = ACCEPTED(works),
      .shadow = REFUSED(NO_HDM("0")) },
    { "cm-array-255", .live = ACCEPTED(works),
      .shadow = REFUSED(HDM_PLACE("0x200")) },
    { "cm-pointer-outside", .live = ACCEPTED(works),
      .shadow = REFUSED(HDM_PLACE("0xffc")) },
    { "cm-pointer-self", .live = ACCEPTED(works),
      .shadow = REFUSED(HDM_PLACE("0x0")) },
    { "cm-header-foreign", .live = ACCEPTED(works), .shadow = REFUSED(
      "CXL: the component registers begin with 0x03110007, expected a "
      "capability array header (id 1)") },
    { "cm-no-hdm", .live = ACCEPTED(works), .shadow = REFUSED(NO_HDM("3")) },

    /* Decoders */
    { "decoder-count-11", BOTH(REFUSED(
      "CXL: HDM decoder capability 0x0020070b announces more than the 10 "
      "decoders that an endpoint may have")) },
    { "decoder-size-wraps", BOTH(REFUSED(
      "CXL: decoder 0 has size 0x20000000, expected a range that is not empty "
      "and does not wrap")) },
    { "decoder-size-zero", BOTH(REFUSED(
      "CXL: decoder 0 has size 0x0, expected a range that is not empty and "
      "does not wrap")) },
    { "decoder-size-too-large", BOTH(REFUSED(
      "CXL: decoder 0 (size 0x20000000, skip 0x0) ends beyond the memory "
      "region of 0x10000000 bytes")) },
    { "decoder-never-commits", .live = ACCEPTED(is_the_guests),
      .shadow = REFUSED(NONE_COMMITTED) },
    /* Of one decoder nothing is left; of several see refuse/decoder-hole */
    { "decoder-hole", .live = ACCEPTED(is_the_guests),
      .shadow = REFUSED(NONE_COMMITTED) },
    { "decoder-error", BOTH(REFUSED("CXL: decoder 0 has its error bit set")) },
    { "decoder-interleaved", BOTH(REFUSED("CXL: decoder 0 is interleaved")) },
    { "decoder-host-only", BOTH(ACCEPTED(works_otherwise)) },
    { "shadow-base-not-zero", BOTH(ACCEPTED(works)) },

    { "comp-regs-cap-version-2", .live = REFUSED(
      "CXL: component register capability has version 2, expected 1"),
      .shadow = ACCEPTED(works) },

    /* Accesses to the registers */
    { "comp-regs-read-fails", BOTH(REFUSED(BAD_READ("Input/output error"))) },
    { "comp-regs-read-short", BOTH(REFUSED(BAD_READ("short read"))) },
    { "comp-regs-read-empty", BOTH(SAID(BAD_READ("Invalid argument"),
      "reply to command 9 has 32 bytes, expected at least 36")) },
    { "comp-regs-read-hangs", BOTH(SAID(BAD_READ("Bad address"),
      "timed out waiting for reply")) },
    { "comp-regs-small", BOTH(REFUSED(
      "CXL: the decoder block has 0x20 bytes, expected 0x30 for its 1 "
      "decoders")) },
    { "comp-regs-any-width", BOTH(ACCEPTED(reads_in_parts)) },
    { "comp-regs-past-end", BOTH(ACCEPTED(ends_where_it_ends)) },
    { "comp-regs-lost-in-d3hot", BOTH(ACCEPTED(sleeps)) },
    { "comp-regs-write-fails", .live = ACCEPTED(works), .shadow = REFUSED(
      "CXL: writing component register 0x210 in region 10 failed: Operation "
      "not permitted") },
    { "comp-regs-control-sticks", BOTH(ACCEPTED(works)) },
    { "comp-regs-base-sticks", BOTH(ACCEPTED(works)) },
    { "comp-regs-skip-sticks", BOTH(ACCEPTED(works)) },
    { "block-visible-in-bar", BOTH(ACCEPTED(works)) },

    /* Reads of the memory: any byte shows that it is open */
    { "memory-read-short", BOTH(ACCEPTED(works)) },
    { "memory-read-empty", BOTH(ACCEPTED(has_no_memory)) },

    /* The memory's file */
    { "memory-read-asleep", BOTH(ACCEPTED(sleeps)) },
    { "memory-fd-missing", BOTH(TELLS(works, SLOW)) },
    { "memory-fd-small", BOTH(TELLS(works,
      "region 9 is not mapped, accesses will be slow: its file has 0x100000 "
      "bytes, less than is to be mapped at 0x0")) },
    { "memory-fd-read-only", BOTH(TELLS(works, SLOW)) },
    { "memory-fd-unsealed", BOTH(TELLS(works, UNSEALED)) },
    { "memory-fd-shrinks", BOTH(TELLS(works, UNSEALED)) },
    { "bar-fd-shrinks", BOTH(ACCEPTED(loses_its_bar)) },
    { "memory-fd-seals-late", BOTH(TELLS(works,
      "CXL: memory region 9: its file has 0x0 bytes, less than the 0x10000000 "
      "that are to be mapped")) },

    /* Parts of the BAR to be mapped */
    { "sparse-covers-block", BOTH(ACCEPTED(works)) },
    { "sparse-overlap", BOTH(SAID("failed to get region 0 info",
      "information on region 0 needs 96 bytes, expected not more than the "
      "80")) },
    { "sparse-outside", BOTH(SAID("failed to get region 0 info",
      "0x100000 bytes")) },
    { "sparse-wraps", BOTH(SAID("failed to get region 0 info",
      "0xfffffffffffff000 bytes, expected inside the region of 0x100000 "
      "bytes")) },
    { "sparse-unaligned", BOTH(ACCEPTED(works)) },
    { "sparse-none", BOTH(ACCEPTED(works)) },
    { "sparse-missing", BOTH(ACCEPTED(works)) },
    { "sparse-count-lies", BOTH(SAID("failed to get region 0 info",
      "sparse mmap capability of 48 bytes says that it has 268435456 "
      "areas")) },

    /* The CXL DVSEC: what it says is the guest's to judge */
    { "dvsec-all-ones", BOTH(ACCEPTED(works_otherwise)) },
    { "dvsec-foreign", BOTH(REFUSED(
      "CXL: the device is flagged as CXL but has no CXL Device DVSEC (vendor "
      "0x1e98, id 0) in its config space")) },
    { "dvsec-capability-writable", BOTH(ACCEPTED(says_what_it_is_told)) },
    { "dvsec-control-read-only", BOTH(ACCEPTED(keeps_its_control)) },
    /* Two halves of 256 MiB are less than a range can say */
    { "dvsec-two-ranges", BOTH(ACCEPTED(works)) },
    { "dvsec-lock-ignored", BOTH(ACCEPTED(is_locked_all_the_same)) },
    { "memory-never-active", BOTH(ACCEPTED(is_active_late)) },

    /* Resets */
    { "reset-fails", BOTH(TELLS(has_no_memory,
      "reset failed: Input/output error")) },
    { "reset-hangs", BOTH(TELLS(is_gone, "timed out waiting for reply")) },
    { "cxl-reset-never-done", BOTH(ACCEPTED(is_reset_by_the_guest)) },
    { "cxl-reset-bit-sticks", BOTH(ACCEPTED(is_reset_by_the_guest)) },
    { "cache-writeback-stuck", BOTH(TELLS(works,
      "STATUS2 of the CXL DVSEC is 0x0000, expected bit 0 (Cache Invalid) set; "
      "the reset goes on")) },

    /* Generations */
    { "device-cap-48", .live = ACCEPTED(works), .shadow = REFUSED(
      "CXL: the device capability has 48 bytes, the layout of the kernel "
      "series of June 2026, which was replaced, expected the shadow (32 bytes) "
      "or the live generation") },
    { "device-cap-version-2", .live = ACCEPTED(works), .shadow = REFUSED(
      "CXL: the device capability has 32 bytes and version 2, expected 32 and "
      "1") },
    { "device-info-once", .live = ACCEPTED(works), .shadow = REFUSED(
      "CXL: reading the device info failed: Input/output error") },
    { "device-cap-missing", .live = ACCEPTED(works), .shadow = REFUSED(
      "CXL: component register region 10 has no capability 6 that says where "
      "in which BAR it stands") },

    /* Messages */
    /* Nobody asks: what comes of a dma-buf is the conformance list's */
    { "dma-buf-lies", BOTH(ACCEPTED(works)) },
    { "version-bad-json", BOTH(REFUSED("malformed capabilities")) },
    { "version-too-new", BOTH(REFUSED("incompatible server version")) },
    { "reply-too-long", BOTH(SAID("failed to get region 0 info",
      "reply to command 5 has 4144 bytes, expected at most 48")) },
    { "reply-wrong-id", BOTH(SAID("failed to get region 0 info",
      "no such request is outstanding, reply ignored")) },
    { "reply-header-size-8", BOTH(SAID("failed to get region 0 info",
      "bad header size")) },
    { "reply-stalls", BOTH(SAID(UNKNOWN_MEMORY_REGION,
      "timed out waiting for reply")) },
    { "reply-never", BOTH(SAID(UNKNOWN_MEMORY_REGION,
      "timed out waiting for reply")) },
    { "dma-map-refused", BOTH(REFUSED(
      "failed to connect proxy: memory listener initialization failed: the "
      "server refused DMA to guest RAM '")) },

    /* Death in each phase */
    { "die-at-version", BOTH(REFUSED("the server does not say its version, it "
      "may have another client: the connection to the server is lost")),
      .dies = true },
    { "die-after-info", BOTH(SAID("failed to get region 0 info", LOST)),
      .dies = true },
    { "die-during-realize", BOTH(SAID("failed to read device config space",
      LOST)), .dies = true },
    { "die-at-comp-regs", BOTH(SAID(
      BAD_READ("Cannot send after transport endpoint shutdown"), LOST)),
      .dies = true },
    { "die-at-reset", BOTH(TELLS(is_gone, LOST)), .dies = true },
    { "die-at-guest-write", BOTH(TELLS(dies_at_a_write, NULL)), .dies = true },
    { "hang-up", BOTH(SAID("failed to read device config space", LOST)) },
    { "slow-info", BOTH(REFUSED("timed out waiting for reply")) },
};

/* Running them */

static const Outcome *outcome(const FaultCase *c)
{
    return shadow() ? &c->shadow : &c->live;
}

static Model *start_model(const FaultCase *c)
{
    g_autofree char *options = g_strdup_printf(DEFAULT_MODEL " --fault %s",
                                               c->name);

    return model_start(options);
}

static void stop_model(const FaultCase *c, Model *m)
{
    if (c->dies) {
        int status = model_end(m, SIGTERM);

        g_assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    model_stop(m);
}

/* What the device's memory is seen through lies in the window, all of it */
static void assert_nothing_outside(Vm *vm, Model *m, uint64_t base)
{
    uint64_t start, size;
    unsigned n;

    for (n = 0; find_decoder(vm->qts, m, 0, n, &start, &size); n++) {
        g_assert_cmphex(start, >=, base);
        g_assert_cmphex(start + size, <=, base + SIZE);
    }
}

static void check_accepted(const FaultCase *c, Model *m)
{
    const Outcome *o = outcome(c);
    Capture capture;
    uint64_t base;
    Vm *vm;

    capture_start(&capture);
    vm = vm_start_with(m, TOPOLOGY, "'bus': 'rp0', " TIMEOUT);
    capture_release(&capture);
    if (o->says) {
        capture_wait(&capture, o->says);
    }
    base = window_base(vm, 0);
    assert_nothing_outside(vm, m, base);
    o->behaves(vm, m, base);
    assert_nothing_outside(vm, m, base);
    qtest_qmp_assert_success(vm->qts, "{'execute': 'query-status'}");
    vm_stop(vm);
    capture_end(&capture);
}

static void refuse_cold(const FaultCase *c, Model *m)
{
    const Outcome *o = outcome(c);
    g_autofree char *device = device_arg(m, "'bus': 'rp0', " TIMEOUT);
    g_autofree char *args = g_strconcat(TOPOLOGY, device, NULL);
    g_autofree char *wanted = g_strdup_printf("vfio vfio-user:%s: %s",
                                              m->socket, o->refused);
    g_autofree char *output = NULL;
    int status = run_qemu(args, &output);

    g_test_message("status 0x%x, said: %s", status, output);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 1);
    g_assert_nonnull(strstr(output, wanted));
    g_assert_true(!o->says || strstr(output, o->says));
}

/* And a running machine is what it was before */
static void refuse_hot(const FaultCase *c, Model *m)
{
    g_autofree char *wanted = g_strdup_printf("vfio vfio-user:%s: %s",
                                              m->socket, outcome(c)->refused);
    g_autofree char *json = device_json(m, "'bus': 'rp0', " TIMEOUT);
    g_autofree char *before = NULL;
    g_autofree char *after = NULL;
    Capture capture;
    QDict *answer;
    Vm *vm;

    drop_hint(wanted);
    capture_start(&capture);
    vm = vm_start(TOPOLOGY);
    capture_release(&capture);
    before = qtest_hmp(vm->qts, "info mtree");
    answer = qtest_qmp(vm->qts, "{'execute': 'device_add', 'arguments': %p}",
                       qobject_to(QDict, qobject_from_json(json,
                                                           &error_abort)));
    g_assert_true(qdict_haskey(answer, "error"));
    g_assert_true(g_str_has_prefix(
        qdict_get_str(qdict_get_qdict(answer, "error"), "desc"), wanted));
    qobject_unref(answer);
    qtest_qmp_assert_success(vm->qts, "{'execute': 'query-status'}");
    after = qtest_hmp(vm->qts, "info mtree");
    g_assert_cmpstr(before, ==, after);
    vm_stop(vm);
    capture_end(&capture);
}

static void test_fault(const void *opaque)
{
    const FaultCase *c = opaque;
    int64_t start = g_get_monotonic_time();
    Model *m = start_model(c);

    if (outcome(c)->refused) {
        refuse_cold(c, m);
        if (!c->dies) {
            assert_model_let_go(m);
        }
        /* Some lie once, or are dead now */
        stop_model(c, m);
        m = start_model(c);
        refuse_hot(c, m);
    } else {
        check_accepted(c, m);
    }
    stop_model(c, m);
    g_assert_cmpint(g_get_monotonic_time() - start, <, PATIENCE);
}

/* The model's list and the table name the same faults */
static void test_list(void)
{
    g_autofree char *command = g_strdup_printf("'%s' --fault list",
                                               getenv("CXL_TYPE2_MODEL"));
    g_autofree char *list = NULL;
    g_auto(GStrv) lines = NULL;
    GError *err = NULL;
    unsigned i, n = 0;

    g_spawn_command_line_sync(command, &list, NULL, NULL, &err);
    g_assert_no_error(err);
    lines = g_strsplit(g_strstrip(list), "\n", -1);
    for (i = 0; lines[i]; i++) {
        size_t length = strcspn(lines[i], " ");

        for (n = 0; n < ARRAY_SIZE(faults); n++) {
            if (strlen(faults[n].name) == length &&
                g_str_has_prefix(lines[i], faults[n].name)) {
                break;
            }
        }
        if (n == ARRAY_SIZE(faults)) {
            g_test_message("the model can '%s', which is not in the table",
                           lines[i]);
            g_test_fail();
        }
    }
    g_assert_cmpuint(i, ==, ARRAY_SIZE(faults));
}

static void add_tests(void)
{
    size_t i;

    qtest_add_func("/vfio-cxl-fault/list", test_list);
    for (i = 0; i < ARRAY_SIZE(faults); i++) {
        g_autofree char *path = g_strdup_printf("/vfio-cxl-fault/%s",
                                                faults[i].name);

        qtest_add_data_func(path, &faults[i], test_fault);
    }
}

int main(int argc, char **argv)
{
    return vfio_cxl_test_main(argc, argv, add_tests);
}
