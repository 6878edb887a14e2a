/*
 * CXL Type-2 devices that are refused: what is said, and that nothing is left
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/sockets.h"
#include "qobject/qdict.h"
#include "vfio-cxl-util.h"
#include <sys/un.h>
#include <sys/wait.h>

typedef struct Refusal {
    const char *name;
    const char *model;          /* options of the model, NULL: the default */
    const char *args;           /* windows, bridges, ports and what is there */
    const char *device;         /* the device's options, NULL: below port 0 */
    const char *after;          /* what comes after it on the command line */
    const char *text;           /* and the hint, in a line of its own */
    const char *only;           /* generation or architecture, NULL: all */
    bool cold_only;             /* device_add cannot get there */
    bool nowhere;               /* it is not known what would be to hide */
} Refusal;

#define SWITCH \
    "-device cxl-upstream,bus=rp0,id=us0 " \
    "-device cxl-downstream,port=0,bus=us0,id=ds0,chassis=2,slot=0 "

/* In JSON, as the device is: QEMU makes all others before these */
#define LATER_PORT \
    "-device '{\"driver\": \"cxl-rp\", \"id\": \"rp9\", " \
    "\"bus\": \"cxl.0\", \"chassis\": 9, \"slot\": 1}' "

static const Refusal refusals[] = {
    {
        .name = "bar-without-high-mmio",
        .model = DEFAULT_MODEL " --bar-size 8G",
        .args = "-M highmem-mmio=off " TOPOLOGY,
        .text = "CXL: BAR 0 of 8 GiB has no place: the machine has no PCI "
                "memory space above 4 GiB, expected one\n"
                "Set -M virt,highmem-mmio=on and a CPU with more physical "
                "address bits.",
        .only = "aarch64",
    }, {
        .name = "bar-above-high-mmio",
        .model = DEFAULT_MODEL " --bar-size 512G",
        .args = TOPOLOGY,
        .text = "CXL: BAR 0 of 512 GiB does not fit the PCI memory space of "
                "512 GiB above 4 GiB, expected one that has more than that\n"
                "Set -M virt,highmem-mmio-size=1024G.",
        .only = "aarch64",
    }, {
        .name = "bar-over-window",
        .model = DEFAULT_MODEL " --bar-size 64G",
        .args = WINDOW("cxl.0", "960G") BRIDGE_0 PORT(0),
        .text = "CXL: BAR 0 of 64 GiB does not fit between the end of "
                "window cxl-fmw.0 at 0xf110000000 and that of the CPU's 40 "
                "physical address bits, expected it to\n"
                "Set -cpu with more of them (phys-bits=, host-phys-bits=on) "
                "and -global q35-pcihost.pci-hole64-size=128G.",
        .only = "x86_64",
    }, {
        .name = "on-the-root-bus",
        .args = TOPOLOGY,
        .device = "'bus': 'pcie.0', 'x-cxl-decoders': 'locked'",
        .text = "CXL: the device is on root bus 'pcie.0' itself, expected "
                "it below a cxl-rp on a pxb-cxl\n"
                "Set its bus= to the id of such a root port.",
        .cold_only = true,      /* such a bus takes no hotplug */
    }, {
        .name = "below-a-switch",
        .args = TOPOLOGY SWITCH,
        .device = "'bus': 'ds0', 'x-cxl-decoders': 'guest'",
        .text = "CXL: 'ds0' above the device is a port of a switch or below "
                "one, expected a root port of a pxb-cxl\n"
                "Set the device's bus= to the id of a cxl-rp.",
    }, {
        .name = "port-not-on-cxl",
        .args = WINDOW_0 BRIDGE_0
                "-device pcie-root-port,id=rp0,bus=pcie.0,chassis=0,slot=0 ",
        .device = "'bus': 'rp0', 'x-cxl-decoders': 'locked'",
        .text = "CXL: root port 'rp0' is on bus 'pcie.0', which is not a CXL "
                "bus, expected a cxl-rp with bus= set to the id of a pxb-cxl",
    }, {
        .name = "port-not-cxl",
        .args = WINDOW_0 BRIDGE_0
                "-device pcie-root-port,id=rp0,bus=cxl.0,chassis=0,slot=0 ",
        .device = "'bus': 'rp0', 'x-cxl-decoders': 'guest'",
        .text = "CXL: 'rp0' above the device is a pcie-root-port, expected "
                "a cxl-rp\n"
                "Set the device's bus= to the id of one.",
    }, {
        .name = "two-ports",
        .args = TOPOLOGY
                "-device cxl-rp,id=rp9,bus=cxl.0,chassis=9,slot=1 ",
        .text = "CXL: pxb-cxl 'cxl.0' has 2 root ports, 'rp0' with the "
                "device below it and 'rp9', expected one\n"
                "Give each CXL device a pxb-cxl of its own.",
    }, {
        .name = "bus-numbers",
        .args = TOPOLOGY BRIDGE(1, 53, "") PORT(1),
        .text = "CXL: 'cxl.0' with bus_nr=52 and what is below it need 2 "
                "bus numbers, but 'cxl.1' has bus_nr=53, expected 54 or more\n"
                "Set bus_nr=54 for 'cxl.1'.",
    }, {
        .name = "bus-number-missing",
        .args = WINDOW_0 "-device pxb-cxl,id=cxl.0,bus=pcie.0 " PORT(0),
        .text = "CXL: 'pcie.0' with bus_nr=0 and what is below it need 1 "
                "bus numbers, but 'cxl.0' has bus_nr=0, expected 1 or more\n"
                "Set bus_nr=1 for 'cxl.0'.",
    }, {
        .name = "bus-numbers-later",
        .args = TOPOLOGY,
        .after = BRIDGE(1, 53, ""),
        .text = "CXL: 'cxl.0' with bus_nr=52 and what is below it need 2 "
                "bus numbers, but 'cxl.1' has bus_nr=53, expected 54 or more\n"
                "Set bus_nr=54 for 'cxl.1'.",
        .cold_only = true,
    }, {
        .name = "bus-number-last",
        .args = TOPOLOGY BRIDGE(1, 255, "") PORT(1),
        .text = "CXL: 'cxl.1' with bus_nr=255 and what is below it need 2 bus "
                "numbers, expected bus_nr=254 or less",
    }, {
        .name = "second-port-later",
        .args = TOPOLOGY,
        .after = LATER_PORT,
        .text = "CXL: pxb-cxl 'cxl.0' has 2 root ports, 'rp0' with the "
                "device below it and 'rp9', expected one\n"
                "Give each CXL device a pxb-cxl of its own.",
        .cold_only = true,
    }, {
        .name = "function-1",
        .args = TOPOLOGY,
        .device = "'bus': 'rp0', 'addr': '0.1'",
        .text = "CXL: the device is function 1 of slot 0 below 'rp0', "
                "expected function 0 of slot 0\n"
                "Set addr=0.0.",
        .cold_only = true,      /* a function alone does not announce itself */
    }, {
        .name = "beside-another-function",
        .args = TOPOLOGY "-device pci-testdev,id=other,bus=rp0,addr=0.1 ",
        .device = "'bus': 'rp0', 'addr': '0.0', 'multifunction': true",
        .text = "CXL: 'other' is function 1 below the same root port 'rp0', "
                "expected the CXL device alone\n"
                "Give 'other' a root port elsewhere with bus=.",
    }, {
        .name = "multifunction",
        .args = TOPOLOGY,
        .device = "'bus': 'rp0', 'multifunction': true",
        .text = "CXL: multifunction=on below 'rp0', expected a device of "
                "one function\n"
                "Set multifunction=off.",
    }, {
        .name = "no-window",
        .args = BRIDGE_0 PORT(0),
        .text = "CXL: no fixed memory window targets pxb-cxl 'cxl.0' (found "
                "none), expected one of 256M\n"
                "Add cxl-fmw.N.targets.0=cxl.0,cxl-fmw.N.size=256M to "
                "-machine.",
    }, {
        .name = "window-of-another-bridge",
        .model = "--hdm-size 2G",
        .args = WINDOW("cxl.1", "2G") BRIDGE_0 BRIDGE_1 PORT(0) PORT(1),
        .text = "CXL: no fixed memory window targets pxb-cxl 'cxl.0' (found "
                "cxl-fmw.0 for 'cxl.1'), expected one of 2G\n"
                "Add cxl-fmw.N.targets.0=cxl.0,cxl-fmw.N.size=2G to -machine.",
    }, {
        .name = "two-windows",
        .args = WINDOWS("cxl.0", "256M", "cxl.0", "256M") BRIDGE_0 PORT(0),
        .text = "CXL: windows cxl-fmw.0 and cxl-fmw.1 both target pxb-cxl "
                "'cxl.0', expected one\n"
                "Remove one of them from -machine.",
    }, {
        .name = "interleaved-window",
        .args = "-M cxl-fmw.0.targets.0=cxl.0,cxl-fmw.0.targets.1=cxl.1,"
                "cxl-fmw.0.size=512M " BRIDGE_0 BRIDGE_1 PORT(0) PORT(1),
        .text = "CXL: window cxl-fmw.0 interleaves over 'cxl.0', 'cxl.1', "
                "expected pxb-cxl 'cxl.0' as its single target\n"
                "Give it a window of its own with cxl-fmw.0.targets.0=cxl.0.",
    }, {
        .name = "small-window",
        .model = "--hdm-size 768M",
        .args = WINDOW("cxl.0", "512M") BRIDGE_0 PORT(0),
        .text = "CXL: window cxl-fmw.0 of pxb-cxl 'cxl.0' has 512M, "
                "expected at least the 768M that the device's decoders need\n"
                "Set cxl-fmw.0.size=768M.",
    }, {
        .name = "small-second-window",
        .model = "--hdm-size 1G",
        .args = WINDOWS("cxl.1", "4G", "cxl.0", "512M")
                BRIDGE_0 BRIDGE_1 PORT(0) PORT(1),
        .text = "CXL: window cxl-fmw.1 of pxb-cxl 'cxl.0' has 512M, "
                "expected at least the 1G that the device's decoders need\n"
                "Set cxl-fmw.1.size=1G.",
    }, {
        .name = "small-window-for-the-guest",
        .model = "--hdm-size 512M --uncommitted --memory-without-decoder",
        .args = TOPOLOGY,
        .text = "CXL: window cxl-fmw.0 of pxb-cxl 'cxl.0' has 256M, "
                "expected at least the 512M that the device's decoders need\n"
                "Set cxl-fmw.0.size=512M.",
    }, {
        .name = "more-decoders-than-the-bridge",
        .model = "--decoders 6 --decoder-size 256M --decoder-skip 256M",
        .args = WINDOW("cxl.0", "1536M") BRIDGE_0 PORT(0),
        .text = "CXL: the host's firmware committed 6 decoders, of which 6 "
                "remain where neighbours are merged, expected at most the 4 "
                "that pxb-cxl 'cxl.0' has\n"
                "Set x-cxl-decoders=guest, or hdm_for_passthrough=off on "
                "'cxl.0'.",
    }, {
        .name = "locked-but-uncommitted",
        .model = "--uncommitted --memory-without-decoder",
        .args = TOPOLOGY,
        .device = "'bus': 'rp0', 'x-cxl-decoders': 'locked'",
        .text = "CXL: x-cxl-decoders=locked, but the host's firmware "
                "committed none of the 1 decoders, expected at least "
                "decoder 0\n"
                "Use x-cxl-decoders=guest.",
    /* What the kernel, or a server, says makes no sense */
    }, {
        .name = "two-memory-regions",
        .model = "--fault two-memory-regions",
        .args = TOPOLOGY,
        .text = "CXL: regions 9 and 11 both claim to be the CXL memory "
                "region, expected one",
    }, {
        .name = "no-memory-region",
        .model = "--fault no-memory-region",
        .args = TOPOLOGY,
        .device = "'bus': 'rp0', 'x-cxl-decoders': 'locked'",
        .text = "CXL: the device is flagged as CXL but has no CXL memory "
                "region (type 0x80001e98, subtype 1)",
    }, {
        .name = "no-comp-regs-region",
        .nowhere = true,
        .model = "--fault no-comp-regs-region",
        .args = TOPOLOGY,
        .text = "CXL: the device is flagged as CXL but has no component "
                "register region (type 0x80001e98, subtype 2)",
    }, {
        .name = "memory-size-odd",
        .model = "--fault memory-size-odd",
        .args = TOPOLOGY,
        .text = "CXL: memory region 9 has size 0x10001000, expected a "
                "multiple of 256 MiB below 4 PiB",
    }, {
        .name = "memory-read-only",
        .model = "--fault memory-read-only",
        .args = TOPOLOGY,
        .text = "CXL: memory region 9 has flags 0xd, expected it to be "
                "readable and writable",
    }, {
        .name = "bar-index-6",
        .nowhere = true,
        .model = "--fault bar-index-6",
        .args = TOPOLOGY,
        .text = "CXL: component registers are said to stand in BAR 6, "
                "expected 0 to 5",
    }, {
        .name = "bar-index-absent",
        .nowhere = true,
        .model = "--fault bar-index-absent",
        .args = TOPOLOGY,
        .only = "live",
        .text = "CXL: component registers at offset 0x11200, 0x30 bytes, "
                "expected them dword aligned inside BAR 4 of 0x0 bytes",
    }, {
        .name = "block-outside-bar",
        .nowhere = true,
        .model = "--fault block-outside-bar",
        .args = TOPOLOGY,
        .only = "live",
        .text = "CXL: component registers at offset 0x100200, 0x30 bytes, "
                "expected them dword aligned inside BAR 0 of 0x100000 bytes",
    }, {
        .name = "block-across-bar-end",
        .nowhere = true,
        .model = "--fault block-across-bar-end",
        .args = TOPOLOGY,
        .only = "live",
        .text = "CXL: component registers at offset 0xffff0, 0x30 bytes, "
                "expected them dword aligned inside BAR 0 of 0x100000 bytes",
    }, {
        .name = "block-unaligned",
        .nowhere = true,
        .model = "--fault block-unaligned",
        .args = TOPOLOGY,
        .only = "live",
        .text = "CXL: component registers at offset 0x11202, 0x30 bytes, "
                "expected them dword aligned inside BAR 0 of 0x100000 bytes",
    }, {
        .name = "block-over-msix",
        .model = "--fault block-over-msix",
        .args = TOPOLOGY,
        .only = "live",
        .text = "CXL: component registers at offset 0x0 of BAR 2, 0x30 "
                "bytes, overlap the MSI-X table or pending bits, expected "
                "them apart\n"
                "x-msix-relocation= moves these to another BAR.",
    }, {
        .name = "decoder-count-11",
        .model = "--fault decoder-count-11",
        .args = TOPOLOGY,
        .text = "CXL: HDM decoder capability 0x0020070b announces more than "
                "the 10 decoders that an endpoint may have",
    }, {
        .name = "comp-regs-small",
        .model = "--fault comp-regs-small",
        .args = TOPOLOGY,
        .text = "CXL: the decoder block has 0x20 bytes, expected 0x30 for its "
                "1 decoders",
    }, {
        .name = "decoder-size-wraps",
        .model = "--fault decoder-size-wraps",
        .args = TOPOLOGY,
        .text = "CXL: decoder 0 has size 0x20000000, expected a range that is "
                "not empty and does not wrap",
    }, {
        .name = "decoder-size-zero",
        .model = "--fault decoder-size-zero",
        .args = TOPOLOGY,
        .text = "CXL: decoder 0 has size 0x0, expected a range that is not "
                "empty and does not wrap",
    }, {
        .name = "decoder-size-too-large",
        .model = "--fault decoder-size-too-large",
        .args = TOPOLOGY,
        .text = "CXL: decoder 0 (size 0x20000000, skip 0x0) ends beyond the "
                "memory region of 0x10000000 bytes",
    }, {
        .name = "decoder-error",
        .model = "--fault decoder-error",
        .args = TOPOLOGY,
        .only = "live",
        .text = "CXL: decoder 0 has its error bit set (control 0x00000b00), "
                "expected firmware to have left it committed or empty",
    }, {
        .name = "decoder-interleaved",
        .model = "--fault decoder-interleaved",
        .args = TOPOLOGY,
        .only = "live",
        .text = "CXL: decoder 0 is interleaved (control 0x00000710), expected "
                "all of its memory on this device",
    }, {
        .name = "comp-regs-read-fails",
        .model = "--fault comp-regs-read-fails",
        .args = TOPOLOGY,
        .text = "CXL: reading component register 0x0 in region 10 failed: "
                "Input/output error",
    }, {
        .name = "comp-regs-read-short",
        .model = "--fault comp-regs-read-short",
        .args = TOPOLOGY,
        .text = "CXL: reading component register 0x0 in region 10 failed: "
                "short read",
    }, {
        .name = "comp-regs-write-fails",
        .model = "--fault comp-regs-write-fails",
        .args = TOPOLOGY,
        .only = "shadow",
        .text = "CXL: writing component register 0x210 in region 10 failed: "
                "Operation not permitted",
    }, {
        .name = "region-index-out-of-range",
        .model = "--fault region-index-out-of-range",
        .args = TOPOLOGY,
        .only = "shadow",
        .text = "CXL: the device capability names regions 42 (memory) and 43 "
                "(component registers), expected 9 and 10 as their types say",
    }, {
        .name = "cm-array-empty",
        .model = "--fault cm-array-empty",
        .args = TOPOLOGY,
        .only = "shadow",
        .text = "CXL: no HDM decoder capability (id 5) among the 0 entries of "
                "the capability array",
    }, {
        .name = "cm-pointer-outside",
        .model = "--fault cm-pointer-outside",
        .args = TOPOLOGY,
        .only = "shadow",
        .text = "CXL: the HDM decoder capability is said to stand at 0xffc, "
                "expected it dword aligned behind the array and inside the "
                "region of 0x230 bytes",
    }, {
        .name = "device-cap-48",
        .nowhere = true,
        .model = "--fault device-cap-48",
        .args = TOPOLOGY,
        .only = "shadow",
        .text = "CXL: the device capability has 48 bytes, the layout of the "
                "kernel series of June 2026, which was replaced, expected "
                "the shadow (32 bytes) or the live generation\n"
                "Use a host kernel of one of these.",
    }, {
        .name = "device-cap-version-2",
        .nowhere = true,
        .model = "--fault device-cap-version-2",
        .args = TOPOLOGY,
        .only = "shadow",
        .text = "CXL: the device capability has 32 bytes and version 2, "
                "expected 32 and 1",
    }, {
        .name = "device-info-once",
        .nowhere = true,
        .model = "--fault device-info-once",
        .args = TOPOLOGY,
        .only = "shadow",
        .cold_only = true,      /* once is for the first try */
        .text = "CXL: reading the device info failed: Input/output error",
    }, {
        .name = "comp-regs-cap-version-2",
        .nowhere = true,
        .model = "--fault comp-regs-cap-version-2",
        .args = TOPOLOGY,
        .only = "live",
        .text = "CXL: component register capability has version 2, expected 1",
    }, {
        .name = "cm-header-foreign",
        .model = "--fault cm-header-foreign",
        .args = TOPOLOGY,
        .only = "shadow",
        .text = "CXL: the component registers begin with 0x03110007, expected "
                "a capability array header (id 1)",
    }, {
        .name = "decoder-never-commits",
        .model = "--fault decoder-never-commits",
        .args = TOPOLOGY,
        .only = "shadow",
        .text = "CXL: the device capability says that firmware committed "
                "decoders, but none of the 1 is committed, expected at least "
                "decoder 0 to be",
    }, {
        .name = "decoder-hole",
        .model = "--decoders 4 --fault decoder-hole",
        .args = TOPOLOGY,
        .text = "CXL: decoder 1 is committed but decoder 0 is not, or decodes "
                "nothing, expected those with memory first",
    }, {
        .name = "dvsec-foreign",
        .model = "--fault dvsec-foreign",
        .args = TOPOLOGY,
        .text = "CXL: the device is flagged as CXL but has no CXL Device "
                "DVSEC (vendor 0x1e98, id 0) in its config space",
    }, {
        .name = "device-cap-missing",
        .nowhere = true,
        .model = "--fault device-cap-missing",
        .args = TOPOLOGY,
        .only = "shadow",
        .text = "CXL: component register region 10 has no capability 6 that "
                "says where in which BAR it stands",
    },
};

/*
 * A device whose description is refused is told how to be used without CXL,
 * unless it is not known where its decoders are
 */
#define WAY_OUT "\nx-cxl-decoders=off uses the device as a plain PCI device."

static char *refusal_text(const Refusal *r, Model *m)
{
    bool described = r->model && strstr(r->model, "--fault") &&
                     !strchr(r->text, '\n') && !r->nowhere;

    return g_strdup_printf("vfio %s: %s%s", m->name, r->text,
                           described ? WAY_OUT : "");
}

static void test_refuse_cold(const void *opaque)
{
    const Refusal *r = opaque;
    Model *m = model_start(r->model ?: DEFAULT_MODEL);
    g_autofree char *device = device_arg(m, r->device ?: "'bus': 'rp0'");
    g_autofree char *args = g_strconcat(r->args, device, r->after, NULL);
    g_autofree char *wanted = refusal_text(r, m);

    assert_refused(args, wanted);
    assert_model_let_go(m);
    model_stop(m);
}

static void test_refuse_hot(const void *opaque)
{
    const Refusal *r = opaque;
    Model *m = model_start(r->model ?: DEFAULT_MODEL);
    g_autofree char *wanted = refusal_text(r, m);
    Vm *vm = vm_start(r->args);
    g_autofree char *before = qtest_hmp(vm->qts, "info mtree");
    g_autofree char *after = NULL;
    unsigned i;

    drop_hint(wanted);
    for (i = 0; i < 2; i++) {
        assert_device_add_fails(vm, m, r->device ?: "'bus': 'rp0'", wanted);
    }
    after = qtest_hmp(vm->qts, "info mtree");
    g_assert_cmpstr(before, ==, after);
    vm_stop(vm);
    assert_model_let_go(m);
    model_stop(m);
}

/*
 * Two devices below one bridge: whichever of them is refused is named, and both
 * ports are; the other device is the one below the other port.
 */
static void test_refuse_two_devices(void)
{
    Model *m0 = model_start(DEFAULT_MODEL);
    Model *m1 = model_start(DEFAULT_MODEL " --device-id 0xc2a2");
    g_autofree char *dev0 = device_arg(m0, "'bus': 'rp0'");
    g_autofree char *dev1 = second_device_arg(m1, "rp9");
    g_autofree char *one_by_one =
        g_strconcat(WINDOW("cxl.0", "512M") BRIDGE_0 PORT(0), dev0, LATER_PORT,
                    dev1, NULL);
    g_autofree char *ports_first =
        g_strconcat(WINDOW("cxl.0", "512M") BRIDGE_0 PORT(0) LATER_PORT, dev0,
                    dev1, NULL);
    g_autofree char *second =
        g_strdup_printf("vfio %s: CXL: pxb-cxl 'cxl.0' has 2 root ports, 'rp9' "
                        "with the device below it and 'rp0', expected one\n"
                        "Give each CXL device a pxb-cxl of its own.",
                        m1->name);
    g_autofree char *first =
        g_strdup_printf("vfio %s: CXL: pxb-cxl 'cxl.0' has 2 root ports, 'rp0' "
                        "with the device below it and 'rp9', expected one\n"
                        "Give each CXL device a pxb-cxl of its own.",
                        m0->name);

    assert_refused(one_by_one, second);
    assert_refused(ports_first, first);
    assert_model_let_go(m0);
    assert_model_let_go(m1);
    model_stop(m0);
    model_stop(m1);
}

/* What is in the way of a port, or of a device without bus=, is named */
static void test_refuse_slot_taken(void)
{
    assert_refused(BRIDGE_0 PORT(0) BRIDGE_1
                   "-device cxl-rp,id=rp1,bus=cxl.1,chassis=0,slot=0 ",
                   "Slot 0 of chassis 0 is that of 'rp0': give each port a "
                   "chassis= of its own.");
    assert_refused(BRIDGE_0 PORT(0)
                   "-device pcie-root-port,id=rp1,bus=pcie.0,chassis=0,slot=0 ",
                   "Slot 0 of chassis 0 is that of 'rp0': give each port a "
                   "chassis= of its own.");
    assert_refused(BRIDGE_0 PORT(0)
                   "-device cxl-upstream,bus=rp0,id=us0 "
                   "-device cxl-downstream,port=0,bus=us0,chassis=0,slot=0 ",
                   "Slot 0 of chassis 0 is that of 'rp0': give each port a "
                   "chassis= of its own.");
}

static void test_refuse_no_bus(void)
{
    assert_refused(BRIDGE_0 PORT(0) "-device virtio-rng-pci ",
                   "Without bus= a device is put on a bus that has room, here "
                   "on 'cxl.0'; name the right one, as bus=pcie.0 or bus=ID "
                   "of a root port.");
}

/* Large BARs: the table in docs/system/devices/vfio-cxl.rst */

typedef struct LargeBar {
    const char *name;
    const char *arch;
    const char *args;           /* beside window, bridge and port */
    const char *window;
    const char *bar;
    unsigned gib;               /* the same */
    unsigned bits;              /* of a physical address, x86's */
    const char *refused;        /* NULL: there is room for it */
} LargeBar;

#define NO_HIGH_MMIO \
    "CXL: BAR 0 of 64 GiB has no place: the machine has no PCI memory space " \
    "above 4 GiB, expected one\n" \
    "Set -M virt,highmem-mmio=on and a CPU with more physical address bits."
#define ROOM_FOR_64G    "-global q35-pcihost.pci-hole64-size=128G "

static const LargeBar large_bars[] = {
    { "virt-8G", "aarch64", "", "256G", "8G", 8 },
    { "virt-64G", "aarch64", "", "256G", "64G", 64 },
    { "virt-512G", "aarch64", "", "256G", "512G", 512,
      .refused = "CXL: BAR 0 of 512 GiB does not fit the PCI memory space "
                 "of 512 GiB above 4 GiB, expected one that has more than "
                 "that\n"
                 "Set -M virt,highmem-mmio-size=1024G." },
    { "virt-512G-of-1T", "aarch64", "-M highmem-mmio-size=1T ", "256G", "512G",
      512 },
    { "virt-40-bits", "aarch64", "-cpu cortex-a53 -M highmem-mmio-size=1T ",
      "256G", "64G", 64, .refused = NO_HIGH_MMIO },
    { "virt-no-high-mmio", "aarch64", "-M highmem-mmio=off ", "256G", "64G",
      64, .refused = NO_HIGH_MMIO },
    { "q35-8G", "x86_64", "", "256G", "8G", 8, 40 },
    { "q35-64G", "x86_64", "", "256G", "64G", 64, 40 },
    { "q35-960G", "x86_64", "", "960G", "64G", 64, 40,
      .refused = "CXL: BAR 0 of 64 GiB does not fit between the end of "
                 "window cxl-fmw.0 at 0xf110000000 and that of the CPU's 40 "
                 "physical address bits, expected it to\n"
                 "Set -cpu with more of them (phys-bits=, host-phys-bits=on) "
                 "and -global q35-pcihost.pci-hole64-size=128G." },
    { "q35-960G-hole", "x86_64", ROOM_FOR_64G, "960G", "64G", 64, 40,
      .refused = "phys-bits too low (40)" },
    { "q35-960G-42-bits", "x86_64",
      "-cpu qemu64,phys-bits=42 " ROOM_FOR_64G, "960G", "64G", 64, 42 },
};

/*
 * Where firmware could put the BAR: on virt in the machine's high PCI memory
 * space, on x86 at the upper end of what the CPU can address
 */
static uint64_t large_bar_place(Vm *vm, const LargeBar *b)
{
    uint64_t size = b->gib * GiB, window, window_size, start, room;

    g_assert_true(find_region(vm->qts, "cxl-fixed-memory-region", 0, &window,
                              &window_size));
    if (b->bits) {
        start = (1ULL << b->bits) - size;
        g_assert_cmphex(start, >=, window + window_size);
        return start;
    }
    g_assert_true(find_region(vm->qts, "alias pcie-mmio-high", 0, &start,
                              &room));
    g_assert_cmphex(start + room, <=, window);
    g_assert_cmphex(ROUND_UP(start, size) + size, <=, start + room);
    return ROUND_UP(start, size);
}

static void large_bar_put(Vm *vm, uint64_t at, uint64_t size)
{
    uint64_t last = at + size - 1;
    uint32_t bus = bridge_bus[0];

    qtest_writel(vm->qts, port_at(vm, 0, 0x18),
                 bus | (bus + 1) << 8 | (bus + 1) << 16);
    /* The port's window of prefetchable memory, and none of the other */
    qtest_writel(vm->qts, port_at(vm, 0, 0x20), 0x0000fff0);
    qtest_writel(vm->qts, port_at(vm, 0, 0x24),
                 (at >> 16 & 0xfff0) | (last & 0xfff00000));
    qtest_writel(vm->qts, port_at(vm, 0, 0x28), at >> 32);
    qtest_writel(vm->qts, port_at(vm, 0, 0x2c), last >> 32);
    qtest_writew(vm->qts, port_at(vm, 0, CFG_COMMAND),
                 COMMAND_MEMORY | COMMAND_MASTER);
    qtest_writel(vm->qts, dev_at(vm, 0, 0x10), at);
    qtest_writel(vm->qts, dev_at(vm, 0, 0x14), at >> 32);
    dev_set_command(vm, 0, COMMAND_MEMORY);
}

static void test_large_bar(const void *opaque)
{
    const LargeBar *b = opaque;
    g_autofree char *options = g_strdup_printf("--hdm-size %s --bar-size %s",
                                               b->window, b->bar);
    g_autofree char *topology =
        g_strdup_printf("%s-M cxl-fmw.0.targets.0=cxl.0,cxl-fmw.0.size=%s "
                        "%s", b->args, b->window, BRIDGE_0 PORT(0));
    Model *m = model_start(options);

    if (b->refused) {
        g_autofree char *device = device_arg(m, "'bus': 'rp0'");
        g_autofree char *args = g_strconcat(topology, device, NULL);

        assert_refused(args, b->refused);
    } else {
        Vm *vm = vm_start_with(m, topology, "'bus': 'rp0'");
        uint64_t at = large_bar_place(vm, b);
        uint64_t base = window_base(vm, 0), hdm = at + HDM;

        /* The registers in the BAR, and the memory in the window */
        large_bar_put(vm, at, b->gib * GiB);
        g_assert_cmphex(qtest_readl(vm->qts, at + CM), ==, 0x03110001);
        g_assert_cmphex(qtest_readq(vm->qts, hdm + HDM_BASE(0)), ==, base);
        g_assert_cmphex(qtest_readl(vm->qts, hdm + HDM_CTRL(0)), ==,
                        CTRL_FIRMWARE);
        qtest_writel(vm->qts, at + b->gib * GiB - 4, 0x12345678);
        g_assert_cmphex(qtest_readl(vm->qts, at + b->gib * GiB - 4), ==,
                        0x12345678);
        g_assert_true(memory_seen(vm, m, base, 0));
        vm_stop(vm);
    }
    model_stop(m);
}

/* What the address space has no room for has no address */
static void test_refuse_window_without_address(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    g_autofree char *device = device_arg(m, "'bus': 'rp0'");
    g_autofree char *args =
        g_strdup_printf("%s -M cxl-fmw.0.targets.0=cxl.0,cxl-fmw.0.size=%s "
                        "%s %s", board->short_cpu, board->short_size,
                        BRIDGE_0 PORT(0), device);

    assert_refused(args, board->short_text);
    model_stop(m);
}

static void test_refuse_only_migratable(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    g_autofree char *device = device_arg(m, "'bus': 'rp0'");
    g_autofree char *args = g_strconcat("-only-migratable ", TOPOLOGY, device,
                                        NULL);
    g_autofree char *wanted =
        g_strdup_printf("vfio %s: the memory of a CXL device cannot "
                        "be migrated", m->name);

    assert_refused(args, wanted);
    model_stop(m);
}

static void test_refuse_mode(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    g_autofree char *device = device_arg(m, "'bus': 'rp0', "
                                            "'x-cxl-decoders': 'some'");
    g_autofree char *args = g_strconcat(TOPOLOGY, device, NULL);

    assert_refused(args, "some");
    model_stop(m);
}

/* Accepted, with a warning that says how large it should be */
static void test_warn_surplus(void)
{
    Model *m = model_start(DEFAULT_MODEL);
    g_autofree char *device = device_arg(m, "'bus': 'rp0'");
    g_autofree char *args = g_strconcat(WINDOW("cxl.0", "1G") BRIDGE_0
                                        PORT(0), device, NULL);
    g_autofree char *exact = g_strconcat(TOPOLOGY, device, NULL);
    g_autofree char *wanted =
        g_strdup_printf("vfio %s: CXL: window cxl-fmw.0 has 1G, the device "
                        "needs 256M; the rest stays empty and is part of what "
                        "a guest sees, set cxl-fmw.0.size=256M", m->name);
    g_autofree char *output = NULL;
    g_autofree char *quiet = NULL;
    int status;

    status = run_qemu(args, &output);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 0);
    g_assert_nonnull(strstr(output, wanted));

    status = run_qemu(exact, &quiet);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 0);
    g_assert_null(strstr(quiet, "CXL"));
    model_stop(m);
}

/* A server that knows no vfio-user at all */
typedef struct Stranger {
    const char *name;
    const char *says;           /* to whatever is sent; NULL: nothing */
    size_t size;
    bool hangs_up;
} Stranger;

static const Stranger strangers[] = {
    { "hangs-up", NULL, 0, true },
    { "is-silent", NULL, 0, false },
    { "is-a-web-server", "HTTP/1.1 400 Bad Request\r\n\r\n", 28, false },
    { "says-zeros", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16, false },
    /* A reply to message 0, of 8 bytes */
    { "replies-too-short", "\0\0\1\0\10\0\0\0\1\0\0\0\0\0\0\0", 16, false },
};

typedef struct StrangerThread {
    const Stranger *stranger;
    int listener;
} StrangerThread;

static void *stranger_thread(void *opaque)
{
    StrangerThread *t = opaque;
    char buffer[4096];
    int fd = accept(t->listener, NULL, NULL);

    g_assert_cmpint(fd, >=, 0);
    while (read(fd, buffer, sizeof(buffer)) > 0) {
        if (t->stranger->hangs_up) {
            break;
        }
        if (t->stranger->says) {
            ssize_t sent = send(fd, t->stranger->says, t->stranger->size,
                                MSG_NOSIGNAL);

            if (sent < 0) {
                break;
            }
        }
    }
    close(fd);
    return NULL;
}

static void test_stranger(const void *opaque)
{
    StrangerThread thread = { .stranger = opaque };
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    Model m = { 0 };
    g_autofree char *device = NULL;
    g_autofree char *args = NULL;
    g_autofree char *wanted = NULL;
    GError *err = NULL;
    GThread *running;

    m.dir = g_dir_make_tmp("vfio-cxl-test-XXXXXX", &err);
    g_assert_no_error(err);
    m.socket = g_build_filename(m.dir, "vfio-user", NULL);
    pstrcpy(addr.sun_path, sizeof(addr.sun_path), m.socket);
    thread.listener = socket(AF_UNIX, SOCK_STREAM, 0);
    g_assert_cmpint(bind(thread.listener, (struct sockaddr *)&addr,
                         sizeof(addr)), ==, 0);
    g_assert_cmpint(listen(thread.listener, 1), ==, 0);
    running = g_thread_new("stranger", stranger_thread, &thread);

    device = device_arg(&m, "'bus': 'rp0', 'x-msg-timeout': 500");
    args = g_strconcat(TOPOLOGY, device, NULL);
    wanted = g_strdup_printf("vfio vfio-user:%s: ", m.socket);
    assert_refused(args, wanted);

    g_thread_join(running);
    close(thread.listener);
    unlink(m.socket);
    g_assert_cmpint(rmdir(m.dir), ==, 0);
    g_free(m.socket);
    g_free(m.dir);
}

/* Nobody there at all */
static void test_no_socket(void)
{
    Model m = { .socket = (char *)"/nonexistent/vfio-user" };
    g_autofree char *device = device_arg(&m, "'bus': 'rp0'");
    g_autofree char *args = g_strconcat(TOPOLOGY, device, NULL);

    assert_refused(args, "/nonexistent/vfio-user");
}

static void add_refusals(void)
{
    size_t i;

    for (i = 0; i < ARRAY_SIZE(refusals); i++) {
        g_autofree char *cold = g_strdup_printf("/vfio-cxl-refuse/cold/%s",
                                               refusals[i].name);
        g_autofree char *hot = g_strdup_printf("/vfio-cxl-refuse/hot/%s",
                                              refusals[i].name);
        const char *why = refusals[i].model ? ANOTHER_MODEL : NULL;

        if (refusals[i].only && !g_str_equal(refusals[i].only, contract()) &&
            !g_str_equal(refusals[i].only, board->arch)) {
            continue;
        }
        add_case(cold, &refusals[i], test_refuse_cold, why);
        if (!refusals[i].cold_only) {
            add_case(hot, &refusals[i], test_refuse_hot, why);
        }
    }
    for (i = 0; i < ARRAY_SIZE(strangers); i++) {
        g_autofree char *name = g_strdup_printf("/vfio-cxl-refuse/stranger/%s",
                                                strangers[i].name);

        add_case(name, &strangers[i], test_stranger, A_SERVER);
    }
}

static void add_large_bars(void)
{
    size_t i;

    for (i = 0; i < ARRAY_SIZE(large_bars); i++) {
        g_autofree char *path = g_strdup_printf("/vfio-cxl-refuse/large-bar/%s",
                                                large_bars[i].name);

        if (g_str_equal(large_bars[i].arch, board->arch)) {
            add_case(path, &large_bars[i], test_large_bar, ANOTHER_MODEL);
        }
    }
}

static void add_tests(void)
{
#define TEST(path, func)     qtest_add_func("/vfio-cxl-refuse/" path, func)
#define OWN(path, func, why) add_model_test("/vfio-cxl-refuse/" path, func, why)
    add_refusals();
    add_large_bars();
    OWN("two-devices", test_refuse_two_devices, TWO_MODELS);
    TEST("slot-taken", test_refuse_slot_taken);
    TEST("no-bus", test_refuse_no_bus);
    TEST("window-without-address", test_refuse_window_without_address);
    TEST("only-migratable", test_refuse_only_migratable);
    TEST("mode", test_refuse_mode);
    OWN("no-socket", test_no_socket, A_SERVER);
    TEST("warn-surplus", test_warn_surplus);
#undef OWN
#undef TEST
}

int main(int argc, char **argv)
{
    return vfio_cxl_test_main(argc, argv, add_tests);
}
