/*
 * Where in the guest's CXL topology an assigned device sits
 *
 * The rules are narrow on purpose: with one device behind one port of one
 * bridge, and one window for that bridge, there is a single way to decode an
 * address, and QEMU can play it without a trap.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/host-utils.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "hw/boards.h"
#include "hw/core/cpu.h"
#include "hw/cxl/cxl_host.h"
#include "hw/pci/pci_bridge.h"
#include "hw/pci/pci_bus.h"
#include "hw/pci/pcie_port.h"
#include "cxl-topology.h"

/* A BAR of this size or more cannot be placed below 4 GiB */
#define LARGE_BAR       (1 * GiB)

const char *vfio_cxl_topology_label(const PCIDevice *pdev)
{
    return pdev->qdev.id ?: object_get_typename(OBJECT(pdev));
}

char *vfio_cxl_topology_size(uint64_t size)
{
    return size % GiB ? g_strdup_printf("%"PRIu64"M", size / MiB)
                      : g_strdup_printf("%"PRIu64"G", size / GiB);
}

char *vfio_cxl_topology_window_name(const CXLFixedWindow *window)
{
    return g_strdup_printf("cxl-fmw.%d", window->index);
}

/* The root port above @pdev and the bus of the host bridge above that */
static bool find_port(PCIDevice *pdev, VFIOCXLTopology *topo, PCIBus **root,
                      Error **errp)
{
    ERRP_GUARD();
    PCIBus *bus = pci_get_bus(pdev);
    PCIDevice *port = bus->parent_dev;

    if (pci_bus_is_root(bus)) {
        error_setg(errp, "CXL: the device is on root bus '%s' itself, expected "
                   "it below a cxl-rp on a pxb-cxl", bus->qbus.name);
        error_append_hint(errp, "Set its bus= to the id of such a root "
                          "port.\n");
        return false;
    }
    if (object_dynamic_cast(OBJECT(port), TYPE_CXL_DSP) ||
        !pci_bus_is_root(pci_get_bus(port))) {
        error_setg(errp, "CXL: '%s' above the device is a port of a switch or "
                   "below one, expected a root port of a pxb-cxl",
                   vfio_cxl_topology_label(port));
        error_append_hint(errp, "Set the device's bus= to the id of a "
                          "cxl-rp.\n");
        return false;
    }
    *root = pci_get_bus(port);
    if (!pci_bus_is_cxl(*root)) {
        error_setg(errp, "CXL: root port '%s' is on bus '%s', which is not a "
                   "CXL bus, expected a cxl-rp with bus= set to the id of a "
                   "pxb-cxl", vfio_cxl_topology_label(port),
                   (*root)->qbus.name);
        return false;
    }
    if (!object_dynamic_cast(OBJECT(port), TYPE_CXL_ROOT_PORT)) {
        error_setg(errp, "CXL: '%s' above the device is a %s, expected a "
                   "cxl-rp", vfio_cxl_topology_label(port),
                   object_get_typename(OBJECT(port)));
        error_append_hint(errp, "Set the device's bus= to the id of one.\n");
        return false;
    }
    topo->port = port;
    return true;
}

/* A root port beside @port; there is one */
static const PCIDevice *other_port(const PCIBus *root, const PCIDevice *port)
{
    int devfn;

    for (devfn = 0; devfn < ARRAY_SIZE(root->devices); devfn++) {
        const PCIDevice *other = root->devices[devfn];

        if (other && other != port &&
            object_dynamic_cast(OBJECT(other), TYPE_PCIE_PORT)) {
            return other;
        }
    }
    g_assert_not_reached();
}

/* One root port below the bridge, one function below the port */
static bool check_alone(PCIDevice *pdev, PCIBus *root, Error **errp)
{
    ERRP_GUARD();
    PCIBus *bus = pci_get_bus(pdev);
    const PCIDevice *port = bus->parent_dev;
    int n = pcie_count_ds_ports(root);
    int devfn;

    if (n != 1) {
        error_setg(errp, "CXL: pxb-cxl '%s' has %d root ports, '%s' with the "
                   "device below it and '%s', expected one",
                   vfio_cxl_topology_label(root->parent_dev), n,
                   vfio_cxl_topology_label(port),
                   vfio_cxl_topology_label(other_port(root, port)));
        error_append_hint(errp, "Give each CXL device a pxb-cxl of its "
                          "own.\n");
        return false;
    }
    if (pdev->devfn) {
        error_setg(errp, "CXL: the device is function %d of slot %d below "
                   "'%s', expected function 0 of slot 0",
                   PCI_FUNC(pdev->devfn), PCI_SLOT(pdev->devfn),
                   vfio_cxl_topology_label(port));
        error_append_hint(errp, "Set addr=0.0.\n");
        return false;
    }
    for (devfn = 1; devfn < ARRAY_SIZE(bus->devices); devfn++) {
        if (bus->devices[devfn]) {
            const char *other = vfio_cxl_topology_label(bus->devices[devfn]);

            error_setg(errp, "CXL: '%s' is function %d below the same root "
                       "port '%s', expected the CXL device alone", other,
                       PCI_FUNC(devfn), vfio_cxl_topology_label(port));
            error_append_hint(errp, "Give '%s' a root port elsewhere with "
                              "bus=.\n", other);
            return false;
        }
    }
    if (pdev->cap_present & QEMU_PCI_CAP_MULTIFUNCTION) {
        error_setg(errp, "CXL: multifunction=on below '%s', expected a device "
                   "of one function", vfio_cxl_topology_label(port));
        error_append_hint(errp, "Set multifunction=off.\n");
        return false;
    }
    return true;
}

static bool window_targets(const CXLFixedWindow *window, Object *bridge)
{
    int i;

    /*
     * By name: the links to the bridges are made after the machine-done
     * notifiers of devices have run.
     */
    for (i = 0; i < window->num_targets; i++) {
        if (object_resolve_path_type(window->targets[i], TYPE_PXB_CXL_DEV,
                                     NULL) == bridge) {
            return true;
        }
    }
    return false;
}

/* "'cxl.0', 'cxl.1'", to be freed */
static char *window_target_names(const CXLFixedWindow *window)
{
    GString *names = g_string_new(NULL);
    int i;

    for (i = 0; i < window->num_targets; i++) {
        g_string_append_printf(names, "%s'%s'", i ? ", " : "",
                               window->targets[i]);
    }
    return g_string_free(names, false);
}

static bool find_window(VFIOCXLTopology *topo, PCIDevice *bridge,
                        uint64_t size, Error **errp)
{
    ERRP_GUARD();
    g_autoptr(GSList) windows = cxl_fmws_get_all_sorted();
    g_autofree char *want = vfio_cxl_topology_size(size);
    g_autoptr(GString) others = g_string_new(NULL);
    g_autofree char *name = NULL;
    g_autofree char *targets = NULL;
    const char *label = vfio_cxl_topology_label(bridge);
    GSList *it;

    topo->window = NULL;
    for (it = windows; it; it = it->next) {
        CXLFixedWindow *window = CXL_FMW(it->data);

        if (!window_targets(window, OBJECT(bridge))) {
            g_autofree char *names = window_target_names(window);

            g_string_append_printf(others, "%scxl-fmw.%d for %s",
                                   others->len ? ", " : "", window->index,
                                   names);
            continue;
        }
        if (topo->window) {
            error_setg(errp, "CXL: windows cxl-fmw.%d and cxl-fmw.%d both "
                       "target pxb-cxl '%s', expected one",
                       topo->window->index, window->index, label);
            error_append_hint(errp, "Remove one of them from -machine.\n");
            return false;
        }
        topo->window = window;
    }

    if (!topo->window) {
        error_setg(errp, "CXL: no fixed memory window targets pxb-cxl '%s' "
                   "(found %s), expected one of %s", label,
                   others->len ? others->str : "none", want);
        error_append_hint(errp, "Add cxl-fmw.N.targets.0=%s,cxl-fmw.N.size=%s "
                          "to -machine.\n", label, want);
        return false;
    }
    name = vfio_cxl_topology_window_name(topo->window);
    if (topo->window->num_targets != 1) {
        targets = window_target_names(topo->window);
        error_setg(errp, "CXL: window %s interleaves over %s, expected pxb-cxl "
                   "'%s' as its single target", name, targets, label);
        error_append_hint(errp, "Give it a window of its own with "
                          "%s.targets.0=%s.\n", name, label);
        return false;
    }
    if (!topo->window->base) {
        error_setg(errp, "CXL: window %s does not fit the guest's physical "
                   "address space, so it has no address, expected one", name);
        error_append_hint(errp, "Raise the address bits (-cpu with more of "
                          "them, phys-bits= on x86) or lower %s.size.\n", name);
        return false;
    }
    if (topo->window->size < size) {
        g_autofree char *found = vfio_cxl_topology_size(topo->window->size);

        error_setg(errp, "CXL: window %s of pxb-cxl '%s' has %s, expected at "
                   "least the %s that the device's decoders need", name, label,
                   found, want);
        error_append_hint(errp, "Set %s.size=%s.\n", name, want);
        return false;
    }
    return true;
}

/* Is there a PCI memory space above 4 GiB, and is BAR @n smaller?  virt's */
static bool check_high_mmio(int n, uint64_t size, Error **errp)
{
    ERRP_GUARD();
    Object *machine = qdev_get_machine();
    uint64_t room;

    if (!object_property_find(machine, "highmem-mmio") ||
        !object_property_find(machine, "highmem-mmio-size")) {
        return true;
    }
    /* Off also where it was left out for want of address bits */
    if (!object_property_get_bool(machine, "highmem-mmio", &error_abort)) {
        error_setg(errp, "CXL: BAR %d of %"PRIu64" GiB has no place: the "
                   "machine has no PCI memory space above 4 GiB, expected "
                   "one", n, size / GiB);
        error_append_hint(errp, "Set -M virt,highmem-mmio=on and a CPU with "
                          "more physical address bits.\n");
        return false;
    }
    room = object_property_get_uint(machine, "highmem-mmio-size",
                                    &error_abort);
    if (size >= room) {
        error_setg(errp, "CXL: BAR %d of %"PRIu64" GiB does not fit the PCI "
                   "memory space of %"PRIu64" GiB above 4 GiB, expected one "
                   "that has more than that", n, size / GiB, room / GiB);
        error_append_hint(errp, "Set -M virt,highmem-mmio-size=%"PRIu64"G.\n",
                          2 * size / GiB);
        return false;
    }
    return true;
}

/* Firmware puts BARs to the upper end of the address space: x86's */
static bool check_phys_bits(int n, uint64_t size, const CXLFixedWindow *window,
                            Error **errp)
{
    ERRP_GUARD();
    uint64_t end = window->base + window->size;
    uint64_t bits;

    if (!first_cpu || !object_property_find(OBJECT(first_cpu), "phys-bits")) {
        return true;
    }
    bits = object_property_get_uint(OBJECT(first_cpu), "phys-bits",
                                    &error_abort);
    if (bits < 64 && (end >> bits || (1ULL << bits) - end < size)) {
        error_setg(errp, "CXL: BAR %d of %"PRIu64" GiB does not fit between "
                   "the end of window cxl-fmw.%d at 0x%"PRIx64" and that of "
                   "the CPU's %"PRIu64" physical address bits, expected it "
                   "to", n, size / GiB, window->index, end, bits);
        error_append_hint(errp, "Set -cpu with more of them (phys-bits=, "
                          "host-phys-bits=on) and -global "
                          "q35-pcihost.pci-hole64-size=%"PRIu64"G.\n",
                          2 * size / GiB);
        return false;
    }
    return true;
}

/* QEMU places the windows, and firmware the BARs, where it finds room */
static bool check_bars(const PCIDevice *pdev, const CXLFixedWindow *window,
                       Error **errp)
{
    int n;

    for (n = 0; n < PCI_ROM_SLOT; n++) {
        uint64_t size = pdev->io_regions[n].size;

        if (size >= LARGE_BAR && (!check_high_mmio(n, size, errp) ||
                                  !check_phys_bits(n, size, window, errp))) {
            return false;
        }
    }
    return true;
}

bool vfio_cxl_topology_is_cxl(PCIDevice *pdev, Error **errp)
{
    VFIOCXLTopology topo;
    PCIBus *root;

    return find_port(pdev, &topo, &root, errp);
}

/* What BARs of @pdev need in a bridge's window, prefetchable or other */
typedef struct Need {
    uint64_t sum;
    uint64_t largest;
} Need;

static Need bars_need(const PCIDevice *pdev, bool prefetchable)
{
    Need need = { 0 };
    int n;

    for (n = 0; n < PCI_NUM_REGIONS; n++) {
        const PCIIORegion *bar = &pdev->io_regions[n];

        if (!(bar->type & PCI_BASE_ADDRESS_SPACE_IO) && prefetchable ==
            !!(bar->type & PCI_BASE_ADDRESS_MEM_PREFETCH)) {
            need.sum += bar->size;
            need.largest = MAX(need.largest, bar->size);
        }
    }
    return need;
}

/* Bytes in a window of @port from the first address that suits @alignment */
static uint64_t port_room(const PCIDevice *port, uint8_t type,
                          uint64_t alignment)
{
    uint64_t base = pci_bridge_get_base(port, type);
    uint64_t limit = pci_bridge_get_limit(port, type);

    base = alignment ? ROUND_UP(base, alignment) : base;
    return base < limit ? limit - base + 1 : 0;
}

/*
 * What the operating system finds behind a port at hotplug has to fit the
 * windows that firmware gave the port: the host bridge above has told it of no
 * more.  As long as nobody has turned on the port there are no windows yet.
 */
static bool check_room(const PCIDevice *pdev, const PCIDevice *port,
                       Error **errp)
{
    ERRP_GUARD();
    const char *label = vfio_cxl_topology_label(port);
    Need pref = bars_need(pdev, true), mem = bars_need(pdev, false);
    uint64_t largest = MAX(pref.largest, mem.largest);
    uint64_t pref_room = port_room(port, PCI_BASE_ADDRESS_MEM_PREFETCH,
                                   pref.largest);
    uint64_t mem_room = port_room(port, PCI_BASE_ADDRESS_SPACE_MEMORY,
                                  mem.largest);
    g_autofree char *need = vfio_cxl_topology_size(ROUND_UP(pref.sum, MiB));
    g_autofree char *more = vfio_cxl_topology_size(ROUND_UP(mem.sum, MiB));
    g_autofree char *room = vfio_cxl_topology_size(pref_room);
    g_autofree char *also = vfio_cxl_topology_size(mem_room);
    g_autofree char *reserve =
        vfio_cxl_topology_size(pow2ceil(ROUND_UP(pref.sum, MiB)));

    if (!pdev->qdev.hotplugged ||
        !(pci_get_word(port->config + PCI_COMMAND) & PCI_COMMAND_MEMORY) ||
        (pref_room >= pref.sum && mem_room >= mem.sum) ||
        port_room(port, PCI_BASE_ADDRESS_SPACE_MEMORY, largest) >=
        pref.sum + mem.sum) {
        return true;
    }
    error_setg(errp, "CXL: the device's BARs need %s prefetchable and %s other "
               "memory, expected root port '%s' to have that, it has %s and %s",
               need, more, label, room, also);
    error_append_hint(errp, "Firmware makes such room where the port has "
                      "pref64-reserve=%s%s%s; SeaBIOS needs twice that, as it "
                      "does not align the room.\n", reserve,
                      mem_room < mem.sum ? ",mem-reserve=" : "",
                      mem_room < mem.sum ? more : "");
    return false;
}

/* The bus numbers that firmware needs for the bridges below @bus */
static unsigned count_buses(const PCIBus *bus)
{
    const PCIBus *child;
    unsigned n = 0;

    QLIST_FOREACH(child, &bus->child, sibling) {
        /* The root buses of pxb's hang below the machine's: they have theirs */
        if (!pci_bus_is_root((PCIBus *)child)) {
            n += 1 + count_buses(child);
        }
    }
    return n;
}

static const char *root_bus_label(const PCIBus *root)
{
    return root->parent_dev ? vfio_cxl_topology_label(root->parent_dev)
                            : root->qbus.name;
}

/*
 * A root bus has the numbers up to that of the next one.  Firmware doesn't
 * say where these are too few, it leaves buses out, and Linux 7.3 panics.
 * A pxb-cxl without bus_nr= has the number of the machine's own bus, and
 * cannot be reached.
 */
static bool check_bus_numbers(PCIBus *host, PCIBus *root, Error **errp)
{
    ERRP_GUARD();
    unsigned first = pci_bus_num(root);
    unsigned end = first + 1 + count_buses(root);
    PCIBus *other, *next = NULL;

    QLIST_FOREACH(other, &host->child, sibling) {
        if (pci_bus_is_root(other) && other != root &&
            pci_bus_num(other) >= first &&
            (!next || pci_bus_num(other) < pci_bus_num(next))) {
            next = other;
        }
    }
    if (next && pci_bus_num(next) < end) {
        error_setg(errp, "CXL: '%s' with bus_nr=%u and what is below it need "
                   "%u bus numbers, but '%s' has bus_nr=%u, expected %u or "
                   "more", root_bus_label(root), first, end - first,
                   root_bus_label(next), pci_bus_num(next), end);
        error_append_hint(errp, "Set bus_nr=%u for '%s'.\n", end,
                          root_bus_label(next));
        return false;
    }
    if (end > PCI_BUS_MAX) {
        error_setg(errp, "CXL: '%s' with bus_nr=%u and what is below it need "
                   "%u bus numbers, expected bus_nr=%u or less",
                   root_bus_label(root), first, end - first,
                   PCI_BUS_MAX - (end - first));
        return false;
    }
    return true;
}

/* Of all root buses: whichever has too few, the guest does not get far */
static bool check_all_bus_numbers(PCIBus *root, Error **errp)
{
    PCIBus *host = pci_get_bus(root->parent_dev);
    PCIBus *other;

    if (!check_bus_numbers(host, host, errp)) {
        return false;
    }
    QLIST_FOREACH(other, &host->child, sibling) {
        if (pci_bus_is_root(other) && !check_bus_numbers(host, other, errp)) {
            return false;
        }
    }
    return true;
}

bool vfio_cxl_topology_find(PCIDevice *pdev, uint64_t size,
                            VFIOCXLTopology *topo, Error **errp)
{
    PCIBus *root;
    PXBCXLDev *bridge;

    *topo = (VFIOCXLTopology) { 0 };
    if (!find_port(pdev, topo, &root, errp) ||
        !check_alone(pdev, root, errp) ||
        !check_all_bus_numbers(root, errp)) {
        return false;
    }
    bridge = PXB_CXL_DEV(root->parent_dev);
    topo->bridge = PCI_DEVICE(bridge);
    topo->host = bridge->cxl_host_bridge;
    /* CXLHost.passthrough says the same, but only after the first reset */
    topo->passthrough = !bridge->hdm_for_passthrough;
    return find_window(topo, topo->bridge, size, errp) &&
           check_bars(pdev, topo->window, errp) &&
           check_room(pdev, topo->port, errp);
}
