/*
 * What QEMU tells a CXL Type-2 device of the guest's memory: DMA_MAP, DMA_UNMAP
 *
 * The messages are followed as the device gets them: RAM has to be mapped, BARs
 * are treated as unpatched QEMU treats them, CXL memory is left out, and
 * nothing is unmapped that was not mapped.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/range.h"
#include "qapi/error.h"
#include "qobject/qdict.h"
#include "qobject/qjson.h"
#include "qobject/qlist.h"
#include "qobject/qnum.h"
#include "vfio-cxl-util.h"

#define SIZE            (256 * MiB)
/* Guest RAM that is there on all boards, beside what firmware uses */
#define RAM_OFFSET      (64 * MiB)
/* Of the VT-d remapping hardware: a root table, what is enabled */
#define VTD_ROOT_TABLE  0xfed90020
#define VTD_COMMAND     0xfed90018
/* Path of an unpatched QEMU for the same target */
#define UNPATCHED       "CXL_TYPE2_UNPATCHED_QEMU"

/* What the device has been told */
typedef struct Mapping {
    uint64_t iova;
    uint64_t size;
    bool file;
} Mapping;

typedef struct Ledger {
    Model *m;
    GArray *now;                /* of Mapping */
    unsigned maps;              /* messages so far */
    unsigned unmaps;
} Ledger;

static Ledger *ledger_new(Model *m)
{
    Ledger *l = g_new0(Ledger, 1);

    l->m = m;
    l->now = g_array_new(false, false, sizeof(Mapping));
    return l;
}

static void ledger_free(Ledger *l)
{
    g_array_unref(l->now);
    g_free(l);
}

static uint64_t number(QDict *message, const char *name)
{
    uint64_t value = 0;

    g_assert_true(qnum_get_try_uint(qobject_to(QNum, qdict_get(message, name)),
                                    &value));
    return value;
}

/* The mapping that has a byte of [@iova, @iova + @size) */
static Mapping *ledger_find(Ledger *l, uint64_t iova, uint64_t size)
{
    guint i;

    for (i = 0; i < l->now->len; i++) {
        Mapping *at = &g_array_index(l->now, Mapping, i);

        if (ranges_overlap(at->iova, at->size, iova, size)) {
            return at;
        }
    }
    return NULL;
}

static void ledger_map(Ledger *l, QDict *message)
{
    Mapping new = {
        .iova = number(message, "iova"),
        .size = number(message, "size"),
        .file = qdict_haskey(message, "fds"),
    };

    g_assert_null(ledger_find(l, new.iova, new.size));
    g_array_append_val(l->now, new);
    l->maps++;
}

/* docs/interop/vfio-user.rst: "must match exactly a previous mapping" */
static void ledger_unmap(Ledger *l, QDict *message)
{
    uint64_t iova = number(message, "iova");
    uint64_t size = number(message, "size");
    guint i;

    for (i = 0; i < l->now->len; i++) {
        Mapping *at = &g_array_index(l->now, Mapping, i);

        if (at->iova == iova && at->size == size) {
            break;
        }
    }
    if (i == l->now->len) {
        g_error("unmap of 0x%" PRIx64 " + 0x%" PRIx64 ", which was not mapped "
                "in one piece", iova, size);
    }
    g_array_remove_index(l->now, i);
    g_assert_cmphex(number(message, "removed"), ==, size);
    l->unmaps++;
}

/* Takes what has come since the last call */
static void ledger_take(Ledger *l)
{
    g_autofree char *answer = model_ask(l->m, "log");
    QList *log = qobject_to(QList, qobject_from_json(answer, &error_abort));
    const QListEntry *it;

    QLIST_FOREACH_ENTRY(log, it) {
        QDict *message = qobject_to(QDict, qlist_entry_obj(it));
        const char *command = qdict_get_str(message, "command");

        if (!g_str_has_prefix(command, "DMA_")) {
            continue;
        }
        g_assert_false(qdict_haskey(message, "error"));
        if (g_str_equal(command, "DMA_MAP")) {
            ledger_map(l, message);
        } else if (g_str_equal(command, "DMA_UNMAP")) {
            ledger_unmap(l, message);
        }
    }
    qobject_unref(log);
}

/* And holds it against what the model says that it has */
static void ledger_follow(Ledger *l)
{
    ledger_take(l);
    g_assert_cmpint(model_state(l->m, NULL, "dma_maps"), ==, l->now->len);
}

static uint64_t ram_at(Vm *vm)
{
    uint64_t start = 0;

    if (!g_str_equal(board->arch, "x86_64")) {
        g_assert_true(find_region(vm->qts, "mem", 0, &start, NULL));
    }
    return start + RAM_OFFSET;
}

/*
 * RAM with its file; of the BARs what the device lets be mapped, without one;
 * nothing in the window
 */
static void ledger_assert(Ledger *l, Vm *vm, uint64_t window, bool bars)
{
    Mapping *ram, *bar;

    ledger_follow(l);
    ram = ledger_find(l, ram_at(vm), 4096);
    g_assert_nonnull(ram);
    g_assert_true(ram->file);

    bar = ledger_find(l, bar_at(0, 0), 4096);
    g_assert_cmpint(bar != NULL, ==, bars);
    if (bars) {
        g_assert_false(bar->file);
        /* The decoder block cannot be mapped by anyone, nor can the engine */
        g_assert_null(ledger_find(l, hdm_at(0, 0), 4));
        g_assert_null(ledger_find(l, bar_at(0, ENGINE_BAR), ENGINE_BAR_SIZE));
    }
    g_assert_null(ledger_find(l, window, SIZE));
}

/* The device is in its slot from the start, or until it is taken out */
static void test_life(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Ledger *l = ledger_new(m);
    Vm *vm = vm_start_with(m, TOPOLOGY, "'bus': 'rp0'");
    uint64_t base = window_base(vm, 0);
    uint8_t pm, express;
    unsigned i, maps;

    ledger_assert(l, vm, base, false);
    pci_enable(vm, 0);
    assert_window_mapped(vm, m, base, SIZE, true);
    ledger_assert(l, vm, base, true);
    pm = find_cap(vm, 0, CAP_PM);
    express = find_cap(vm, 0, CAP_EXPRESS);

    for (i = 0; i < 3; i++) {
        maps = l->maps;
        dev_set_command(vm, 0, 0);
        assert_window_mapped(vm, m, base, SIZE, false);
        ledger_assert(l, vm, base, false);
        dev_set_command(vm, 0, COMMAND_MEMORY | COMMAND_MASTER);
        assert_window_mapped(vm, m, base, SIZE, true);
        ledger_assert(l, vm, base, true);
        /* Or all of this would show nothing */
        g_assert_cmpuint(l->maps, >, maps);

        dev_write16(vm, 0, pm + 4, 3);
        ledger_follow(l);
        g_assert_null(ledger_find(l, base, SIZE));
        dev_write16(vm, 0, pm + 4, 0);
        ledger_follow(l);
        g_assert_null(ledger_find(l, base, SIZE));

        /* Function Level Reset, and everything anew */
        dev_write16(vm, 0, express + 8, 1 << 15);
        ledger_follow(l);
        g_assert_null(ledger_find(l, base, SIZE));
        pci_enable(vm, 0);
        assert_window_mapped(vm, m, base, SIZE, true);
        ledger_assert(l, vm, base, true);

        vm_reset(vm);
        ledger_assert(l, vm, base, false);
        pci_enable(vm, 0);
        assert_window_mapped(vm, m, base, SIZE, true);
        ledger_assert(l, vm, base, true);
    }

    /* Unplugged while everything is mapped */
    slot_power(vm, true);
    device_del(vm);
    assert_model_let_go(m);
    ledger_take(l);
    vm_stop(vm);
    ledger_free(l);
    model_stop(m);
}

/* The guest commits and uncommits */
static void test_guest(void)
{
    Model *m = model_start(DEFAULT_MODEL
                           " --uncommitted --memory-without-decoder");
    Ledger *l = ledger_new(m);
    Vm *vm = vm_start_with(m, TOPOLOGY, "'bus': 'rp0'");
    uint64_t base = window_base(vm, 0);
    unsigned i, maps;

    guest_enable(vm, 0);
    ledger_assert(l, vm, base, true);
    maps = l->maps;
    qtest_writel(vm->qts, hdm_at(0, HDM_GLOBAL), 2);
    for (i = 0; i < 20; i++) {
        bridge_program(vm, 0, base, SIZE, CTRL_COMMIT);
        hdm_program(vm, base, SIZE, CTRL_COMMIT);
        assert_window_mapped(vm, m, base, SIZE, true);
        ledger_assert(l, vm, base, true);
        hdm_program(vm, base, SIZE, 0);
        assert_window_mapped(vm, m, base, SIZE, false);
    }
    ledger_assert(l, vm, base, true);
    /* What is not mapped for DMA costs no message either */
    g_assert_cmpuint(l->maps, ==, maps);
    vm_stop(vm);
    ledger_free(l);
    model_stop(m);
}

/*
 * intel-iommu without caching-mode has no MAP notifiers: while it translates
 * there is no file behind any range, and nothing where MSIs go
 */
static void test_guest_iommu(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Ledger *l = ledger_new(m);
    g_autofree char *device = device_arg(m, "'bus': 'rp0'");
    g_autofree char *args = g_strconcat("-device intel-iommu,intremap=off ",
                                        TOPOLOGY, device, NULL);
    Vm *vm = vm_start(args);
    unsigned i;

    pci_enable(vm, 0);
    for (i = 0; i < 3; i++) {
        ledger_assert(l, vm, window_base(vm, 0), true);

        /* A root table without an entry; Root Table Pointer, Translation */
        qtest_writeq(vm->qts, VTD_ROOT_TABLE, RAM_OFFSET);
        qtest_writel(vm->qts, VTD_COMMAND, 1 << 30);
        qtest_writel(vm->qts, VTD_COMMAND, 1u << 31);
        ledger_follow(l);
        g_assert_nonnull(ledger_find(l, ram_at(vm), 4096));
        g_assert_false(ledger_find(l, ram_at(vm), 4096)->file);
        g_assert_nonnull(ledger_find(l, UINT64_MAX - 4095, 4096));
        g_assert_null(ledger_find(l, 0xfee00000, 1 * MiB));

        qtest_writel(vm->qts, VTD_COMMAND, 0);
    }
    ledger_assert(l, vm, window_base(vm, 0), true);
    vm_stop(vm);
    ledger_free(l);
    model_stop(m);
}

/* Plugged in and out, five times */
static void test_hotplug(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    Vm *vm = vm_start(TOPOLOGY);
    uint64_t base = window_base(vm, 0);
    unsigned i;

    for (i = 0; i < 5; i++) {
        Ledger *l = ledger_new(m);

        device_add(vm, m, "'bus': 'rp0'");
        slot_power(vm, true);
        ledger_assert(l, vm, base, false);
        pci_enable(vm, 0);
        assert_window_mapped(vm, m, base, SIZE, true);
        ledger_assert(l, vm, base, true);
        device_del(vm);
        assert_model_let_go(m);
        assert_window_mapped(vm, m, base, SIZE, false);
        /* What was not unmapped has gone with the connection */
        ledger_take(l);
        g_assert_cmpuint(l->unmaps, >, 0);
        ledger_free(l);
    }
    vm_stop(vm);
    model_stop(m);
}

/* The memory of one device is not mapped for another, its BARs are */
static void test_two_devices(void)
{
    Model *m[2] = { model_start(DEFAULT_MODEL), model_start(DEFAULT_MODEL) };
    Ledger *l[2] = { ledger_new(m[0]), ledger_new(m[1]) };
    g_autofree char *first = device_arg(m[0], "'bus': 'rp0'");
    g_autofree char *json = device_json(m[1], "'bus': 'rp1'");
    g_autofree char *second =
        g_strdup_printf("-device '%s' ", g_strdelimit(json, "'", '"'));
    g_autofree char *args = NULL;
    Vm *vm;
    unsigned i, n;

    memcpy(strstr(second, "dev0"), "dev1", 4);
    args = g_strconcat(WINDOWS("cxl.0", "256M", "cxl.1", "256M") BRIDGE_0
                       BRIDGE_1 PORT(0) PORT(1), first, second, NULL);
    vm = vm_start(args);
    for (i = 0; i < 2; i++) {
        pci_enable(vm, i);
        assert_window_mapped(vm, m[i], window_base(vm, i), SIZE, true);
    }
    for (i = 0; i < 2; i++) {
        ledger_follow(l[i]);
        for (n = 0; n < 2; n++) {
            g_assert_nonnull(ledger_find(l[i], bar_at(n, 0), 4096));
            g_assert_null(ledger_find(l[i], window_base(vm, n), SIZE));
        }
    }
    vm_stop(vm);
    for (i = 0; i < 2; i++) {
        ledger_free(l[i]);
        model_stop(m[i]);
    }
}

/* Side by side with unpatched QEMU */

/* Messages with @prefix, one on each line; sockets aside they name no path */
static char *messages(Model *m, const char *prefix)
{
    g_autofree char *answer = model_ask(m, "log");
    QList *log = qobject_to(QList, qobject_from_json(answer, &error_abort));
    GString *text = g_string_new(NULL);
    const QListEntry *it;

    QLIST_FOREACH_ENTRY(log, it) {
        QDict *message = qobject_to(QDict, qlist_entry_obj(it));

        if (g_str_has_prefix(qdict_get_str(message, "command"), prefix)) {
            GString *line = qobject_to_json(QOBJECT(message));

            g_string_append_printf(text, "%s\n", line->str);
            g_string_free(line, true);
        }
    }
    qobject_unref(log);
    return g_string_free(text, false);
}

/*
 * What QEMU says to the device in a life with memory on and off and a reset.
 * Unplugging is no part of it: unpatched QEMU does not survive that.
 */
static char *life_of(const char *binary, const char *model,
                     const char *prefix)
{
    Model *m = model_start(model);
    g_autofree char *device = device_arg(m, "'bus': 'rp0'");
    g_autofree char *args = g_strconcat(TOPOLOGY, device, NULL);
    Vm *vm = vm_start_binary(binary, args);
    char *text;

    pci_enable(vm, 0);
    dev_set_command(vm, 0, 0);
    dev_set_command(vm, 0, COMMAND_MEMORY | COMMAND_MASTER);
    vm_reset(vm);
    pci_enable(vm, 0);
    text = messages(m, prefix);
    vm_stop(vm);
    model_stop(m);
    return text;
}

static bool writes_command(const char *message)
{
    return strstr(message, "REGION_WRITE") && strstr(message, "\"offset\": 4,");
}

/*
 * A write of COMMAND that closes the BARs: unpatched QEMU unmaps them when it
 * is done.  Moves each behind the unmaps that follow it, where ours has it.
 */
static char *unmapped_first(const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    int i;

    for (i = 0; lines[i] && lines[i + 1]; i++) {
        if (writes_command(lines[i]) && strstr(lines[i + 1], "DMA_UNMAP")) {
            char *line = lines[i];

            lines[i] = lines[i + 1];
            lines[i + 1] = line;
        }
    }
    return g_strjoinv("\n", lines);
}

static void assert_same_life(const char *model, const char *prefix)
{
    g_autofree char *unpatched = NULL;
    g_autofree char *before = NULL;
    g_autofree char *now = NULL;

    if (!getenv(UNPATCHED)) {
        g_test_skip(UNPATCHED " is not set: the path of an unpatched QEMU");
        return;
    }
    unpatched = life_of(UNPATCHED, model, prefix);
    before = unmapped_first(unpatched);
    now = life_of(NULL, model, prefix);
    g_assert_nonnull(strstr(before, "DMA_UNMAP"));
    g_assert_cmpstr(now, ==, before);
}

/* A device that does not say that it is CXL: all messages */
static void test_unpatched_plain(void)
{
    assert_same_life("--fault no-cxl-flag", "");
}

/* The CXL device, which to unpatched QEMU is a plain one: those about DMA */
static void test_unpatched_cxl(void)
{
    assert_same_life(DEFAULT_MODEL, "DMA_");
}

#define TEST(path, func) qtest_add_func("/vfio-cxl-dma/" path, func)

static void add_tests(void)
{
    TEST("life", test_life);
    TEST("guest", test_guest);
    TEST("hotplug", test_hotplug);
    if (g_str_equal(board->arch, "x86_64")) {
        TEST("guest-iommu", test_guest_iommu);
    }
    TEST("two-devices", test_two_devices);
    TEST("unpatched/plain", test_unpatched_plain);
    TEST("unpatched/cxl", test_unpatched_cxl);
}

int main(int argc, char **argv)
{
    return vfio_cxl_test_main(argc, argv, add_tests);
}
