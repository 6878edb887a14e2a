/*
 * CXL Type-2 devices over vfio-user and vfio: what the tests share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/cutils.h"
#include "qemu/sockets.h"
#include "qapi/error.h"
#include "qobject/qdict.h"
#include "qobject/qjson.h"
#include "qobject/qlist.h"
#include "qobject/qnum.h"
#include "vfio-cxl-util.h"
#include <glib/gstdio.h>
#include <sys/prctl.h>
#include <sys/un.h>
#include <sys/wait.h>

#define PCIEXBAR_BASE   0xb0000000u

static const Board boards[] = {
    {
        .arch = "aarch64",
        .machine = "-machine virt,cxl=on,memory-backend=mem -cpu max",
        .mmio = 0x10000000,
        .short_cpu = "-cpu cortex-a57",
        .short_size = "16384G",
        .short_text = "CXL: window cxl-fmw.0 does not fit the guest's physical "
                      "address space, so it has no address, expected one\n"
                      "Raise the address bits (-cpu with more of them, "
                      "phys-bits= on x86) or lower cxl-fmw.0.size.",
    }, {
        .arch = "x86_64",
        .machine = "-machine q35,cxl=on,memory-backend=mem "
                   "-global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off",
        .mmio = 0xe0000000,
        .short_cpu = "-cpu qemu64,phys-bits=40",
        .short_size = "1024G",
        /* This machine does not even start */
        .short_text = "phys-bits too low (40)",
    },
};

const Board *board;
const uint8_t bridge_bus[] = { 52, 100, 148, 196 };
/* Stands in for firmware, which nobody executes */
static char *bios;

static char *model_path(void)
{
    return getenv("CXL_TYPE2_MODEL");
}

const char *host_function(void)
{
    return getenv("VFIO_CXL_HOST");
}

char *model_ask(Model *m, const char *fmt, ...)
{
    g_autofree char *command = NULL;
    char *line = NULL;
    size_t size = 0;
    ssize_t len;
    va_list ap;

    va_start(ap, fmt);
    command = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    g_assert_cmpint(fprintf(m->talk, "%s\n", command), >, 0);
    g_assert_cmpint(fflush(m->talk), ==, 0);
    len = getline(&line, &size, m->talk);
    g_assert_cmpint(len, >, 0);
    line[len - 1] = 0;
    if (g_str_has_prefix(line, "error")) {
        g_error("the model was asked '%s' and answered '%s'", command, line);
    }
    return line;
}

/* Seen from inside a machine it can be a port that leads to the socket */
static int open_control(const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    struct stat st;
    int fd;

    g_assert_cmpint(stat(path, &st), ==, 0);
    if (S_ISCHR(st.st_mode)) {
        fd = open(path, O_RDWR | O_CLOEXEC);
        g_assert_cmpint(fd, >=, 0);
        return fd;
    }
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpuint(strlen(path), <, sizeof(addr.sun_path));
    pstrcpy(addr.sun_path, sizeof(addr.sun_path), path);
    g_assert_cmpint(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), ==, 0);
    return fd;
}

static void model_connect(Model *m)
{
    m->talk = fdopen(open_control(m->control), "r+");
    g_assert_nonnull(m->talk);
}

/* In the child: not to be left behind by a test that fails */
static void die_with_parent(gpointer opaque)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

const char *contract(void)
{
    return getenv("CXL_TYPE2_CONTRACT") ?: "live";
}

bool shadow(void)
{
    return g_str_equal(contract(), "shadow");
}

uint64_t host_base(void)
{
    const char *text = getenv("VFIO_CXL_HOST_BASE");
    uint64_t base = 0;

    if (!host_function()) {
        return HOST_BASE;
    }
    if (text) {
        g_assert_cmpint(qemu_strtou64(text, NULL, 0, &base), ==, 0);
    }
    return base;
}

static Model *host_start(const char *options)
{
    Model *m = g_new0(Model, 1);

    g_assert_cmpstr(options, ==, DEFAULT_MODEL);
    m->name = g_strdup(host_function());
    m->control = g_strdup(getenv("VFIO_CXL_CONTROL"));
    model_connect(m);
    return m;
}

Model *model_start(const char *options)
{
    g_autofree char *all = NULL;

    if (host_function()) {
        return host_start(options);
    }
    all = g_strdup_printf("%s --memory-follows-space", options);
    return model_start_newest(all);
}

Model *model_start_newest(const char *options)
{
    g_autofree char *command = NULL;
    g_auto(GStrv) argv = NULL;
    GError *err = NULL;
    Model *m;
    char byte;
    int out;

    m = g_new0(Model, 1);
    m->dir = g_dir_make_tmp("vfio-cxl-test-XXXXXX", &err);
    g_assert_no_error(err);
    m->socket = g_build_filename(m->dir, "vfio-user", NULL);
    m->control = g_build_filename(m->dir, "control", NULL);
    m->name = g_strdup_printf("vfio-user:%s", m->socket);
    command = g_strdup_printf("'%s' --socket %s --control %s --contract %s "
                              "--host-base 0x%" PRIx64 " %s", model_path(),
                              m->socket, m->control, contract(), HOST_BASE,
                              options);
    g_shell_parse_argv(command, NULL, &argv, &err);
    g_assert_no_error(err);
    g_spawn_async_with_pipes(NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD,
                             die_with_parent, NULL, &m->pid, NULL, &out, NULL,
                             &err);
    g_assert_no_error(err);

    /* One line says that it listens; its end without one that it failed */
    do {
        g_assert_cmpint(read(out, &byte, 1), ==, 1);
    } while (byte != '\n');
    close(out);
    model_connect(m);
    return m;
}

int model_end(Model *m, int signal)
{
    int status;

    g_assert_cmpint(kill(m->pid, signal), ==, 0);
    g_assert_cmpint(waitpid(m->pid, &status, 0), ==, m->pid);
    g_spawn_close_pid(m->pid);
    m->pid = 0;
    return status;
}

void model_stop(Model *m)
{
    if (m->pid) {
        int status = model_end(m, SIGTERM);

        g_assert_true(WIFEXITED(status));
        g_assert_cmpint(WEXITSTATUS(status), ==, 0);
    }
    fclose(m->talk);
    if (m->dir) {
        /* Left there by a model that was killed */
        unlink(m->socket);
        unlink(m->control);
        g_assert_cmpint(rmdir(m->dir), ==, 0);
    }
    g_free(m->dir);
    g_free(m->socket);
    g_free(m->control);
    g_free(m->name);
    g_free(m);
}

void model_poke(Model *m, uint64_t offset, uint64_t value)
{
    /* Bytes in the order in which they lie in memory */
    g_autofree char *answer = model_ask(m, "poke 0x%" PRIx64 " %016" PRIx64,
                                        offset, bswap64(value));

    g_assert_cmpstr(answer, ==, "ok");
}

uint64_t model_peek(Model *m, uint64_t offset)
{
    g_autofree char *answer = model_ask(m, "peek 0x%" PRIx64 " 8", offset);
    uint64_t value;

    g_assert_cmpint(qemu_strtou64(answer, NULL, 16, &value), ==, 0);
    return bswap64(value);
}

uint64_t model_kernel_base(Model *m, unsigned n)
{
    g_autofree char *answer = model_ask(m, "state");
    QDict *state = qobject_to(QDict, qobject_from_json(answer, &error_abort));
    QList *decoders = qdict_get_qlist(state, "visible_decoders");
    uint64_t base = 0;
    QListEntry *entry;
    unsigned i = 0;

    QLIST_FOREACH_ENTRY(decoders, entry) {
        if (i++ == n) {
            QDict *decoder = qobject_to(QDict, qlist_entry_obj(entry));

            base = qnum_get_uint(qobject_to(QNum, qdict_get(decoder, "base")));
        }
    }
    g_assert_cmpuint(n, <, i);
    qobject_unref(state);
    return base;
}

int64_t model_state(Model *m, const char *group, const char *name)
{
    g_autofree char *answer = model_ask(m, "state");
    QDict *state = qobject_to(QDict, qobject_from_json(answer, &error_abort));
    QDict *in = group ? qdict_get_qdict(state, group) : state;
    int64_t value = qdict_get_int(in, name);

    qobject_unref(state);
    return value;
}

int64_t model_resets(Model *m, const char *kind)
{
    return model_state(m, "resets", host_function() ? "total" : kind);
}

void assert_resets(Model *m, const char *kind, int64_t before)
{
    int64_t now = model_resets(m, kind);

    g_assert_cmpint(now, >, before);
    if (!host_function()) {
        g_assert_cmpint(now, ==, before + 1);
    }
}

/* The host's function is in use as long as its group cannot be opened */
static bool host_in_use(void)
{
    g_autofree char *link = g_strdup_printf("/sys/bus/pci/devices/%s/"
                                            "iommu_group", host_function());
    g_autofree char *group = g_file_read_link(link, NULL);
    g_autofree char *number = NULL;
    g_autofree char *path = NULL;
    int fd;

    g_assert_nonnull(group);
    number = g_path_get_basename(group);
    path = g_build_filename("/dev/vfio", number, NULL);
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        g_assert_cmpint(errno, ==, EBUSY);
        return true;
    }
    close(fd);
    return false;
}

static bool model_in_use(Model *m)
{
    return host_function() ? host_in_use() : model_state(m, NULL, "dma_maps");
}

void assert_model_let_go(Model *m)
{
    unsigned i;

    for (i = 0; i < 100 && model_in_use(m); i++) {
        g_usleep(50000);
    }
    g_assert_false(model_in_use(m));
}

static unsigned model_region_accesses(Model *m, int region)
{
    g_autofree char *answer = model_ask(m, "log");
    QList *log = qobject_to(QList, qobject_from_json(answer, &error_abort));
    const QListEntry *it;
    unsigned n = 0;

    g_assert_nonnull(log);
    QLIST_FOREACH_ENTRY(log, it) {
        QDict *message = qobject_to(QDict, qlist_entry_obj(it));

        if (g_str_has_prefix(qdict_get_str(message, "command"), "REGION_") &&
            qdict_get_try_int(message, "region", -1) == region) {
            n++;
        }
    }
    qobject_unref(log);
    return n;
}

void assert_region_accesses(Model *m, int region, unsigned wanted)
{
    if (host_function()) {
        g_test_message("accesses of region %d are not counted", region);
        return;
    }
    g_assert_cmpuint(model_region_accesses(m, region), ==, wanted);
}

void forget_accesses(Model *m)
{
    if (!host_function()) {
        model_region_accesses(m, 0);
    }
}

char *common_args(const char *args)
{
    return g_strdup_printf("%s -nodefaults -m 128M "
                           "-object memory-backend-memfd,id=mem,size=128M,"
                           "share=on -bios %s %s", board->machine, bios, args);
}

char *device_json(Model *m, const char *members)
{
    if (host_function()) {
        return g_strdup_printf("{'driver': 'vfio-pci', 'id': 'dev0', "
                               "'host': '%s'%s%s}", m->name,
                               *members ? ", " : "", members);
    }
    return g_strdup_printf("{'driver': 'vfio-user-pci', 'id': 'dev0', "
                           "'socket': {'type': 'unix', 'path': '%s'}%s%s}",
                           m->socket, *members ? ", " : "", members);
}

char *device_arg(Model *m, const char *members)
{
    g_autofree char *json = device_json(m, members);

    return g_strdup_printf("-device '%s' ", g_strdelimit(json, "'", '"'));
}

bool find_region(QTestState *qts, const char *name, unsigned n,
                 uint64_t *start, uint64_t *size)
{
    g_autofree char *tree = qtest_hmp(qts, "info mtree");
    g_auto(GStrv) lines = g_strsplit(tree, "\n", -1);
    g_autofree char *wanted = g_strdup_printf("): %s", name);
    char **line;

    for (line = lines; *line; line++) {
        const char *text = *line + strspn(*line, " ");
        const char *found = strstr(text, wanted);
        const char *end = found ? found + strlen(wanted) : NULL;
        uint64_t first, last;

        /* A name ends with the line, or before the target of an alias */
        if (!found || (*end && *end != '\r' && *end != ' ')) {
            continue;
        }
        if (n--) {
            continue;
        }
        g_assert_cmpint(qemu_strtou64(text, &text, 16, &first), ==, 0);
        g_assert_cmpint(*text, ==, '-');
        g_assert_cmpint(qemu_strtou64(text + 1, &text, 16, &last), ==, 0);
        *start = first;
        if (size) {
            *size = last - first + 1;
        }
        return true;
    }
    return false;
}

bool find_decoder(QTestState *qts, Model *m, unsigned n, unsigned i,
                  uint64_t *start, uint64_t *size)
{
    g_autofree char *name =
        g_strdup_printf("alias %s CXL decoder %u", m->name, n);

    return find_region(qts, name, i, start, size);
}

void vm_find_ecam(Vm *vm)
{
    if (g_str_equal(board->arch, "x86_64")) {
        /* Firmware's first step: PCIEXBAR of the host bridge */
        qtest_outl(vm->qts, 0xcf8, 0x80000064);
        qtest_outl(vm->qts, 0xcfc, 0);
        qtest_outl(vm->qts, 0xcf8, 0x80000060);
        qtest_outl(vm->qts, 0xcfc, PCIEXBAR_BASE | 1);
        vm->ecam = PCIEXBAR_BASE;
    } else {
        g_assert_true(find_region(vm->qts, "alias pcie-ecam", 0, &vm->ecam,
                                  NULL));
    }
}

Vm *vm_start_binary(const char *binary, const char *args)
{
    g_autofree char *all = common_args(args);
    Vm *vm = g_new0(Vm, 1);

    vm->qts = qtest_init_ext(binary, all, NULL, true);
    vm_find_ecam(vm);
    return vm;
}

Vm *vm_start(const char *args)
{
    return vm_start_binary(NULL, args);
}

Vm *vm_start_with(Model *m, const char *topology, const char *members)
{
    g_autofree char *device = device_arg(m, members);
    g_autofree char *args = g_strconcat(topology, device, NULL);

    return vm_start(args);
}

void vm_reset(Vm *vm)
{
    qtest_system_reset(vm->qts);
    vm_find_ecam(vm);
}

void vm_stop(Vm *vm)
{
    qtest_quit(vm->qts);
    g_free(vm);
}

uint64_t port_at(Vm *vm, unsigned i, uint32_t reg)
{
    return vm->ecam + ((uint64_t)bridge_bus[i] << 20) + reg;
}

uint64_t dev_at(Vm *vm, unsigned i, uint32_t reg)
{
    return vm->ecam + ((uint64_t)(bridge_bus[i] + 1) << 20) + reg;
}

uint32_t dev_read(Vm *vm, unsigned i, uint32_t reg)
{
    return qtest_readl(vm->qts, dev_at(vm, i, reg & ~3)) >> (8 * (reg & 3));
}

void dev_write16(Vm *vm, unsigned i, uint32_t reg, uint16_t value)
{
    qtest_writew(vm->qts, dev_at(vm, i, reg), value);
}

uint64_t read_sized(Vm *vm, uint64_t addr, unsigned size)
{
    switch (size) {
    case 1:
        return qtest_readb(vm->qts, addr);
    case 2:
        return qtest_readw(vm->qts, addr);
    case 4:
        return qtest_readl(vm->qts, addr);
    default:
        return qtest_readq(vm->qts, addr);
    }
}

void write_sized(Vm *vm, uint64_t addr, uint64_t value, unsigned size)
{
    switch (size) {
    case 1:
        qtest_writeb(vm->qts, addr, value);
        break;
    case 2:
        qtest_writew(vm->qts, addr, value);
        break;
    case 4:
        qtest_writel(vm->qts, addr, value);
        break;
    default:
        qtest_writeq(vm->qts, addr, value);
        break;
    }
}

uint64_t bar_at(unsigned i, uint64_t offset)
{
    return board->mmio + i * MMIO_SIZE + offset;
}

uint64_t hdm_at(unsigned i, uint64_t offset)
{
    return bar_at(i, HDM + offset);
}

void dev_set_command(Vm *vm, unsigned i, uint16_t command)
{
    dev_write16(vm, i, CFG_COMMAND, command);
}

void pci_setup(Vm *vm, unsigned i)
{
    uint32_t bus = bridge_bus[i];
    uint32_t first = bar_at(i, 0), last = bar_at(i, MMIO_SIZE) - 1;

    qtest_writel(vm->qts, port_at(vm, i, 0x18),
                 bus | (bus + 1) << 8 | (bus + 1) << 16);
    qtest_writel(vm->qts, port_at(vm, i, 0x20),
                 (first >> 16) | (last & 0xfff00000));
    qtest_writel(vm->qts, port_at(vm, i, 0x24), 0x0000fff0);
    qtest_writew(vm->qts, port_at(vm, i, CFG_COMMAND),
                 COMMAND_MEMORY | COMMAND_MASTER);

    qtest_writel(vm->qts, dev_at(vm, i, 0x10), bar_at(i, 0));
    qtest_writel(vm->qts, dev_at(vm, i, 0x14), 0);
    qtest_writel(vm->qts, dev_at(vm, i, 0x18), bar_at(i, ENGINE_BAR));
    qtest_writel(vm->qts, dev_at(vm, i, 0x1c), 0);
    g_assert_cmphex(dev_read(vm, i, 0x10) & ~0xf, ==, bar_at(i, 0));
    g_assert_cmphex(dev_read(vm, i, 0x18) & ~0xf, ==, bar_at(i, ENGINE_BAR));
}

void pci_enable(Vm *vm, unsigned i)
{
    pci_setup(vm, i);
    dev_set_command(vm, i, COMMAND_MEMORY | COMMAND_MASTER);
}

static uint64_t dvsec_control(Vm *vm, unsigned i)
{
    uint16_t dvsec = find_dvsec(vm, i, DVSEC_DEVICE);

    g_assert_cmphex(dvsec, !=, 0);
    return dev_at(vm, i, dvsec + DVSEC_CONTROL);
}

bool mem_enabled(Vm *vm, unsigned i)
{
    return qtest_readw(vm->qts, dvsec_control(vm, i)) & CONTROL_MEM_ENABLE;
}

void set_mem_enable(Vm *vm, unsigned i, bool enable)
{
    uint64_t at = dvsec_control(vm, i);
    uint16_t value = qtest_readw(vm->qts, at) & ~CONTROL_MEM_ENABLE;

    qtest_writew(vm->qts, at, value | (enable ? CONTROL_MEM_ENABLE : 0));
}

void guest_enable(Vm *vm, unsigned i)
{
    pci_enable(vm, i);
    set_mem_enable(vm, i, true);
}

uint32_t range_status(Vm *vm, unsigned i, unsigned n)
{
    uint16_t dvsec = find_dvsec(vm, i, DVSEC_DEVICE);

    return dev_read(vm, i, dvsec + DVSEC_SIZE_LO(n)) &
           (RANGE_VALID | RANGE_ACTIVE);
}

uint8_t find_cap(Vm *vm, unsigned i, uint8_t id)
{
    uint8_t at = dev_read(vm, i, 0x34);
    unsigned steps;

    for (steps = 0; steps < 48 && at; steps++) {
        uint16_t header = dev_read(vm, i, at);

        if ((header & 0xff) == id) {
            return at;
        }
        at = header >> 8;
    }
    g_assert_not_reached();
}

uint16_t find_dvsec(Vm *vm, unsigned i, uint16_t id)
{
    uint16_t at = 0x100;
    unsigned steps;

    for (steps = 0; steps < 960 && at; steps++) {
        uint32_t header = dev_read(vm, i, at);

        if ((header & 0xffff) == EXT_CAP_DVSEC &&
            (dev_read(vm, i, at + 4) & 0xffff) == CXL_VENDOR &&
            (dev_read(vm, i, at + 8) & 0xffff) == id) {
            return at;
        }
        at = header >> 20;
    }
    return 0;
}

uint64_t window_base(Vm *vm, unsigned n)
{
    uint64_t base;

    g_assert_true(find_region(vm->qts, "cxl-fixed-memory-region", n, &base,
                              NULL));
    g_assert_cmphex(base, !=, 0);
    return base;
}

bool memory_seen(Vm *vm, Model *m, uint64_t addr, uint64_t dpa)
{
    static uint64_t fresh = 0x0123456789abcdef;
    uint64_t old = model_peek(m, dpa);
    bool reads, writes;

    fresh += 0x1111111111111111;
    model_poke(m, dpa, fresh);
    reads = qtest_readq(vm->qts, addr) == fresh;

    qtest_writeq(vm->qts, addr, ~fresh);
    writes = model_peek(m, dpa) == ~fresh;
    if (!writes) {
        g_assert_cmphex(model_peek(m, dpa), ==, fresh);
    }
    g_assert_cmpint(reads, ==, writes);
    model_poke(m, dpa, old);
    return reads;
}

void assert_slice_mapped(Vm *vm, Model *m, uint64_t base, uint64_t size,
                         uint64_t dpa, bool mapped)
{
    uint64_t offsets[] = { 0, 8, 4096, size / 2, size - 4096, size - 8 };
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(offsets); i++) {
        g_assert_cmpint(memory_seen(vm, m, base + offsets[i],
                                    dpa + offsets[i]), ==, mapped);
    }
}

void assert_window_mapped(Vm *vm, Model *m, uint64_t base, uint64_t size,
                          bool mapped)
{
    assert_slice_mapped(vm, m, base, size, 0, mapped);
}

void assert_firmware_decoder(Vm *vm, unsigned i, uint64_t base,
                             uint64_t size)
{
    g_assert_cmphex(qtest_readq(vm->qts, hdm_at(i, HDM_BASE(0))), ==, base);
    g_assert_cmphex(qtest_readq(vm->qts, hdm_at(i, HDM_SIZE(0))), ==, size);
    g_assert_cmphex(qtest_readl(vm->qts, hdm_at(i, HDM_CTRL(0))), ==,
                    CTRL_FIRMWARE);
    g_assert_cmphex(qtest_readl(vm->qts, hdm_at(i, HDM_GLOBAL)), ==, 2);
}

void assert_dvsec_base(Vm *vm, unsigned i, uint64_t base)
{
    uint16_t dvsec = find_dvsec(vm, i, DVSEC_DEVICE);

    g_assert_cmphex(dvsec, !=, 0);
    g_assert_cmphex(dev_read(vm, i, dvsec + 0x20), ==, base >> 32);
    g_assert_cmphex(dev_read(vm, i, dvsec + 0x24) & 0xf0000000, ==,
                    base & 0xf0000000);
    g_assert_cmphex(dev_read(vm, i, dvsec + 0x30), ==, 0);
    g_assert_cmphex(dev_read(vm, i, dvsec + 0x34) & 0xf0000000, ==, 0);
}

uint64_t bridge_hdm(Vm *vm, unsigned i)
{
    uint64_t base;
    uint32_t n, entries;

    g_assert_true(find_region(vm->qts, "pxb-cxl-host", i, &base, NULL));
    base += 0x1000;
    entries = qtest_readl(vm->qts, base) >> 24;
    g_assert_cmpuint(entries, >, 0);
    for (n = 1; n <= entries; n++) {
        uint32_t entry = qtest_readl(vm->qts, base + 4 * n);

        if ((entry & 0xffff) == 5) {
            return base + (entry >> 20);
        }
    }
    return 0;
}

void assert_bridge_decoder(Vm *vm, unsigned i, uint64_t base,
                           uint64_t size)
{
    uint64_t at = bridge_hdm(vm, i);

    g_assert_cmphex(at, !=, 0);
    g_assert_cmphex(qtest_readl(vm->qts, at + HDM_BASE(0)), ==,
                    (uint32_t)base);
    g_assert_cmphex(qtest_readl(vm->qts, at + HDM_BASE(0) + 4), ==, base >> 32);
    g_assert_cmphex(qtest_readl(vm->qts, at + HDM_SIZE(0)), ==,
                    (uint32_t)size);
    g_assert_cmphex(qtest_readl(vm->qts, at + HDM_SIZE(0) + 4), ==, size >> 32);
    g_assert_cmphex(qtest_readl(vm->qts, at + HDM_CTRL(0)), ==, CTRL_FIRMWARE);
    /* Target list: port 0 alone */
    g_assert_cmphex(qtest_readl(vm->qts, at + HDM_SKIP(0)), ==, 0);
    /* CXL r3.1 Section 8.2.4.20.2: the enable bit is for devices */
    g_assert_cmphex(qtest_readl(vm->qts, at + HDM_GLOBAL), ==, 0);
}

void bridge_program(Vm *vm, unsigned i, uint64_t base, uint64_t size,
                    uint32_t ctrl)
{
    uint64_t at = bridge_hdm(vm, i);

    g_assert_cmphex(at, !=, 0);
    qtest_writel(vm->qts, at + HDM_BASE(0), base);
    qtest_writel(vm->qts, at + HDM_BASE(0) + 4, base >> 32);
    qtest_writel(vm->qts, at + HDM_SIZE(0), size);
    qtest_writel(vm->qts, at + HDM_SIZE(0) + 4, size >> 32);
    qtest_writel(vm->qts, at + HDM_CTRL(0), ctrl);
}

void hdm_program(Vm *vm, uint64_t base, uint64_t size, uint32_t ctrl)
{
    qtest_writeq(vm->qts, hdm_at(0, HDM_BASE(0)), base);
    qtest_writeq(vm->qts, hdm_at(0, HDM_SIZE(0)), size);
    qtest_writel(vm->qts, hdm_at(0, HDM_CTRL(0)), ctrl);
}

char *second_device_arg(Model *m, const char *bus)
{
    return g_strdup_printf("-device '{\"driver\": \"vfio-user-pci\", "
                           "\"id\": \"dev1\", \"bus\": \"%s\", "
                           "\"socket\": {\"type\": \"unix\", "
                           "\"path\": \"%s\"}}' ", bus, m->socket);
}

int run_qemu(const char *args, char **output)
{
    g_autofree char *all = common_args(args);
    g_autofree char *command =
        g_strdup_printf("echo '{\"execute\": \"qmp_capabilities\"}"
                        "{\"execute\": \"quit\"}' | "
                        "exec %s -accel qtest -display none -qmp stdio %s",
                        qtest_qemu_binary(NULL), all);
    const char *argv[] = { "/bin/sh", "-c", command, NULL };
    GError *err = NULL;
    int status;

    g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_STDOUT_TO_DEV_NULL, NULL,
                 NULL, NULL, output, &status, &err);
    g_assert_no_error(err);
    return status;
}

void drop_hint(char *said)
{
    said[strcspn(said, "\n")] = '\0';
}

void assert_refused(const char *args, const char *wanted)
{
    g_autofree char *output = NULL;
    int status = run_qemu(args, &output);

    if (!WIFEXITED(status) || WEXITSTATUS(status) != 1 ||
        !strstr(output, wanted)) {
        g_test_message("expected: %s", wanted);
        g_test_message("status 0x%x, said: %s", status, output);
    }
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 1);
    g_assert_nonnull(strstr(output, wanted));
}

void assert_device_add_fails(Vm *vm, Model *m, const char *members,
                             const char *wanted)
{
    g_autofree char *json = device_json(m, members);
    QDict *args = qobject_to(QDict, qobject_from_json(json, &error_abort));
    QDict *answer;
    QDict *error;

    answer = qtest_qmp(vm->qts, "{'execute': 'device_add', 'arguments': %p}",
                       args);
    g_assert_true(qdict_haskey(answer, "error"));
    error = qdict_get_qdict(answer, "error");
    g_assert_cmpstr(qdict_get_str(error, "desc"), ==, wanted);
    qobject_unref(answer);

    qtest_qmp_assert_success(vm->qts, "{'execute': 'query-status'}");
    answer = qtest_qmp(vm->qts, "{'execute': 'qom-list', 'arguments': "
                       "{'path': '/machine/peripheral/dev0'}}");
    g_assert_true(qdict_haskey(answer, "error"));
    qobject_unref(answer);
}

void device_add(Vm *vm, Model *m, const char *members)
{
    g_autofree char *json = device_json(m, members);
    QDict *args = qobject_to(QDict, qobject_from_json(json, &error_abort));

    qtest_qmp_assert_success(vm->qts, "{'execute': 'device_add', "
                             "'arguments': %p}", args);
}

QDict *device_get(Vm *vm, const char *property)
{
    return qtest_qmp(vm->qts, "{'execute': 'qom-get', 'arguments': {"
                     "'path': '/machine/peripheral/dev0', 'property': %s}}",
                     property);
}

void assert_decoder(Vm *vm, unsigned n, const char *state, bool locked,
                    uint64_t base, uint64_t size, uint64_t dpa)
{
    QDict *answer = device_get(vm, "x-cxl");
    QDict *info = qdict_get_qdict(answer, "return");
    const QListEntry *it = qlist_first(qdict_get_qlist(info, "decoders"));
    QDict *d;

    while (n--) {
        g_assert_nonnull(it);
        it = qlist_next(it);
    }
    g_assert_nonnull(it);
    d = qobject_to(QDict, qlist_entry_obj(it));
    g_assert_cmpstr(qdict_get_str(d, "state"), ==, state);
    g_assert_cmpint(qdict_get_bool(d, "locked"), ==, locked);
    g_assert_cmphex(qnum_get_uint(qobject_to(QNum, qdict_get(d, "base"))), ==,
                    base);
    g_assert_cmphex(qnum_get_uint(qobject_to(QNum, qdict_get(d, "size"))), ==,
                    size);
    g_assert_cmphex(qnum_get_uint(qobject_to(QNum, qdict_get(d, "dpa"))), ==,
                    dpa);
    qobject_unref(answer);
}

static uint16_t find_port_express(Vm *vm)
{
    uint8_t at = qtest_readb(vm->qts, port_at(vm, 0, 0x34));
    unsigned steps;

    for (steps = 0; steps < 48 && at; steps++) {
        uint16_t header = qtest_readw(vm->qts, port_at(vm, 0, at));

        if ((header & 0xff) == CAP_EXPRESS) {
            return at;
        }
        at = header >> 8;
    }
    g_assert_not_reached();
}

void slot_power(Vm *vm, bool on)
{
    uint64_t control = port_at(vm, 0, find_port_express(vm) + 0x18);
    uint16_t value = qtest_readw(vm->qts, control) & ~0x0700;

    /* Power Indicator Control: 01b on, 11b off; Power Controller Control */
    qtest_writew(vm->qts, control, value | (on ? 0x0100 : 0x0700));
}

void device_del(Vm *vm)
{
    qtest_qmp_assert_success(vm->qts, "{'execute': 'device_del', "
                             "'arguments': {'id': 'dev0'}}");
    slot_power(vm, false);
    qtest_qmp_eventwait(vm->qts, "DEVICE_DELETED");
}

void capture_start(Capture *c)
{
    GError *err = NULL;
    int fd = g_file_open_tmp("vfio-cxl-test-XXXXXX", &c->path, &err);

    g_assert_no_error(err);
    fflush(stderr);
    c->saved = dup(STDERR_FILENO);
    g_assert_cmpint(dup2(fd, STDERR_FILENO), ==, STDERR_FILENO);
    close(fd);
}

void capture_release(Capture *c)
{
    fflush(stderr);
    g_assert_cmpint(dup2(c->saved, STDERR_FILENO), ==, STDERR_FILENO);
    close(c->saved);
}

void capture_wait(Capture *c, const char *wanted)
{
    unsigned i;

    for (i = 0; i < 100; i++) {
        g_autofree char *text = NULL;
        GError *err = NULL;

        g_file_get_contents(c->path, &text, NULL, &err);
        g_assert_no_error(err);
        if (strstr(text, wanted)) {
            return;
        }
        if (i == 99) {
            g_test_message("expected: %s, said: %s", wanted, text);
        }
        g_usleep(50000);
    }
    g_assert_not_reached();
}

void capture_end(Capture *c)
{
    unlink(c->path);
    g_free(c->path);
}

static void test_skipped(void)
{
    g_test_skip("neither CXL_TYPE2_MODEL is set, the path of the CXL Type-2 "
                "device model, nor VFIO_CXL_HOST, the address of a function of "
                "the host that is such a device");
}

/* @opaque: what the host's function is not, or cannot do */
static void test_not_on_host(const void *opaque)
{
    g_test_skip(opaque);
}

void add_model_test(const char *path, void (*func)(void), const char *why)
{
    if (host_function()) {
        qtest_add_data_func(path, why, test_not_on_host);
    } else {
        qtest_add_func(path, func);
    }
}

void add_case(const char *path, const void *data, void (*func)(const void *),
              const char *why)
{
    if (host_function() && why) {
        qtest_add_data_func(path, why, test_not_on_host);
    } else {
        qtest_add_data_func(path, data, func);
    }
}

static void make_bios(void)
{
    static const char zeros[64 * KiB];
    GError *err = NULL;
    int fd = g_file_open_tmp("vfio-cxl-test-bios-XXXXXX", &bios, &err);

    g_assert_no_error(err);
    g_assert_cmpint(write(fd, zeros, sizeof(zeros)), ==, sizeof(zeros));
    close(fd);
}

int vfio_cxl_test_main(int argc, char **argv, void (*add)(void))
{
    size_t i;
    int ret;

    g_test_init(&argc, &argv, NULL);

    for (i = 0; i < ARRAY_SIZE(boards); i++) {
        if (g_str_equal(boards[i].arch, qtest_get_arch())) {
            board = &boards[i];
        }
    }
    if (host_function() && !getenv("VFIO_CXL_CONTROL")) {
        g_printerr("VFIO_CXL_HOST is set, VFIO_CXL_CONTROL is not: the control "
                   "socket of the model that is this host's function, or the "
                   "port that leads to it\n");
        return 1;
    }
    if (!board || (!model_path() && !host_function())) {
        qtest_add_func("/vfio-cxl/skipped", test_skipped);
        return g_test_run();
    }
    make_bios();
    add();
    ret = g_test_run();
    unlink(bios);
    g_free(bios);
    return ret;
}
