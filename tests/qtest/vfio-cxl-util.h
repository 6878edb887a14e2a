/*
 * CXL Type-2 devices over vfio-user and vfio: what the tests share
 *
 * QEMU is run against a device model that shows over a socket what the kernel
 * would show of a device.  There is no guest: the test configures the PCI
 * hierarchy and is the one that reads and writes.  The model has a second
 * socket through which its memory and its state can be looked at.
 *
 * Where VFIO_CXL_HOST is the address of a PCI function of this machine, it is
 * vfio-pci with that function instead.  The machine then is one whose hardware
 * is such a model, and VFIO_CXL_CONTROL names the way to the model's second
 * socket.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_VFIO_CXL_UTIL_H
#define TESTS_VFIO_CXL_UTIL_H

#include "qemu/units.h"
#include "libqtest.h"
#include "qobject/qdict.h"

/* Something that is nowhere else: two bytes of it are looked for */
#define HOST_BASE_HI    0xa55cu
#define HOST_BASE       ((uint64_t)HOST_BASE_HI << 32 | 0x70000000)

#define DEFAULT_MODEL   "--hdm-size 256M"

/* The model's device */
#define VENDOR_ID       0x1234u
#define DEVICE_ID       0xc2a1u
#define BAR_SIZE        (1 * MiB)
#define ENGINE_BAR_SIZE (64 * KiB)
#define COMPONENT       0x10000
#define CM              (COMPONENT + 0x1000)
#define CM_RAS          (CM + 0x100)
#define CM_LINK         (CM + 0x180)
#define HDM             (CM + 0x200)

/* HDM decoder registers, CXL r3.1 Section 8.2.4.20 */
#define HDM_GLOBAL      0x04
#define HDM_BASE(n)     (0x10 + 0x20 * (n))
#define HDM_SIZE(n)     (0x18 + 0x20 * (n))
#define HDM_CTRL(n)     (0x20 + 0x20 * (n))
#define HDM_SKIP(n)     (0x24 + 0x20 * (n))
#define CTRL_LOCK       0x100u
#define CTRL_COMMIT     0x200u
#define CTRL_COMMITTED  0x400u
#define CTRL_ERROR      0x800u
#define CTRL_FIRMWARE   (CTRL_LOCK | CTRL_COMMIT | CTRL_COMMITTED)

/* PCI configuration space */
#define CFG_COMMAND     0x04
#define COMMAND_MEMORY  0x02
#define COMMAND_MASTER  0x04
#define CAP_PM          0x01
#define CAP_EXPRESS     0x10
#define EXT_CAP_DVSEC   0x23
#define CXL_VENDOR      0x1e98
#define DVSEC_DEVICE    0
#define DVSEC_CAPABILITY 0x0a
#define DVSEC_CONTROL   0x0c
#define DVSEC_CONTROL2  0x10
#define DVSEC_STATUS2   0x12
#define DVSEC_LOCK      0x14
#define DVSEC_SIZE_HI(n) (0x18 + 0x10 * (n))
#define DVSEC_SIZE_LO(n) (0x1c + 0x10 * (n))
#define DVSEC_BASE_HI(n) (0x20 + 0x10 * (n))
#define DVSEC_BASE_LO(n) (0x24 + 0x10 * (n))
#define CONTROL_MEM_ENABLE 0x0004u
#define DVSEC_LOCATOR   8

/* A running model and its two sockets, or the host's function */
typedef struct Model {
    GPid pid;
    char *dir;
    char *socket;
    char *control;
    FILE *talk;
    char *name;                 /* of the device in what QEMU says */
} Model;

/* The machine that the tests run on, by architecture */
typedef struct Board {
    const char *arch;
    const char *machine;        /* -machine and what belongs to it */
    uint64_t mmio;              /* room for BARs below 4 GiB */
    const char *short_cpu;      /* a CPU with few physical address bits */
    const char *short_size;     /* and a window that these are too few for */
    const char *short_text;     /* what is said of that */
} Board;

extern const Board *board;

#define MMIO_SIZE       (16 * MiB)
#define ENGINE_BAR      (8 * MiB)

/* -machine takes all windows at once */
#define FMW(n, bridge, size) \
    "cxl-fmw." #n ".targets.0=" bridge ",cxl-fmw." #n ".size=" size
#define WINDOW(bridge, size) \
    "-M " FMW(0, bridge, size) " "
#define WINDOWS(bridge0, size0, bridge1, size1) \
    "-M " FMW(0, bridge0, size0) "," FMW(1, bridge1, size1) " "
#define BRIDGE(n, bus, more) \
    "-device pxb-cxl,id=cxl." #n ",bus=pcie.0,bus_nr=" #bus more " "
#define PORT(n) \
    "-device cxl-rp,id=rp" #n ",bus=cxl." #n ",chassis=" #n ",slot=0 "

/* Bus numbers of the bridges; the device is on the next one */
extern const uint8_t bridge_bus[4];
#define BRIDGE_0        BRIDGE(0, 52, ",hdm_for_passthrough=on")
#define BRIDGE_1        BRIDGE(1, 100, ",hdm_for_passthrough=on")
#define WINDOW_0        WINDOW("cxl.0", "256M")
#define TOPOLOGY        WINDOW_0 BRIDGE_0 PORT(0)

/* A machine, and where its configuration space is */
typedef struct Vm {
    QTestState *qts;
    uint64_t ecam;
} Vm;

/*
 * Send the model's control socket a command: the line that answers it, to be
 * freed.  An answer that begins with "error" ends the test.
 */
char *model_ask(Model *m, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/*
 * The generation of the kernel's interface that all cases run with: "live" or
 * "shadow", from the environment variable CXL_TYPE2_CONTRACT
 */
const char *contract(void);
bool shadow(void);

/*
 * The host's function that the cases run with, by vfio-pci; NULL: a model of
 * their own, by vfio-user-pci
 */
const char *host_function(void);

/*
 * Where the host has the device's memory, which a guest must not learn; 0: of
 * the host's function the environment variable VFIO_CXL_HOST_BASE does not say
 */
uint64_t host_base(void);

/*
 * Start a model with command line @options beside the sockets, the contract and
 * the host's base address; returns when it listens.  The host's function is as
 * it is: only cases with DEFAULT_MODEL can be run with it.
 */
Model *model_start(const char *options);

/*
 * Likewise, with the kernel's newest generation (v6) behind it: memory space is
 * a matter of BARs there.  With the others, which model_start() has, the memory
 * is closed without it; most kernels are like that.
 */
Model *model_start_newest(const char *options);

/* @signal has to end it; returns how it ended, as waitpid() says it */
int model_end(Model *m, int signal);

/* End it, if nothing has, with exit status 0, and remove its files */
void model_stop(Model *m);

/* Eight bytes of the device's memory at DPA @offset */
void model_poke(Model *m, uint64_t offset, uint64_t value);
uint64_t model_peek(Model *m, uint64_t offset);

/*
 * A number of the model's state: member @name of @group, or of the whole where
 * that is NULL
 */
int64_t model_state(Model *m, const char *group, const char *name);

/*
 * Resets of @kind so far: "device", "function" or "cxl".  What a host's kernel
 * makes of them is its own matter: there it is resets of any kind.
 */
int64_t model_resets(Model *m, const char *kind);

/* One more than @before, or more where a kernel takes several for one */
void assert_resets(Model *m, const char *kind, int64_t before);

/* The base of decoder @n that the kernel of @m has, or shows */
uint64_t model_kernel_base(Model *m, unsigned n);

/* QEMU lets go of everything; it may be seen some moments later */
void assert_model_let_go(Model *m);

/*
 * Messages that QEMU sent since the last call of either and that name region
 * @region are @wanted.  Not known of the host's function: there QEMU asks the
 * kernel, and the model has no part in it.
 */
void assert_region_accesses(Model *m, int region, unsigned wanted);
void forget_accesses(Model *m);

/* Arguments that every run of QEMU has, followed by @args; to be freed */
char *common_args(const char *args);

/*
 * The device of @m for device_add: its driver, id "dev0" and socket, then
 * @members (single quotes stand for double ones); to be freed
 */
char *device_json(Model *m, const char *members);

/* -device with that; JSON knows double quotes only, the shell gets single */
char *device_arg(Model *m, const char *members);

/*
 * Where "info mtree" has region @name, the @n-th of that name: start and, where
 * wanted, size.  False: it does not.
 */
bool find_region(QTestState *qts, const char *name, unsigned n,
                 uint64_t *start, uint64_t *size);

/*
 * Where decoder @n of the device of @m puts memory, the @i-th time that it is
 * found: start and, where wanted, size.  False: it is not there.
 */
bool find_decoder(QTestState *qts, Model *m, unsigned n, unsigned i,
                  uint64_t *start, uint64_t *size);

/* A paused machine with @args */
Vm *vm_start(const char *args);

/* The same by the QEMU that environment variable @binary names, if not NULL */
Vm *vm_start_binary(const char *binary, const char *args);

/* With the device of @m too, its options beside the socket in @members */
Vm *vm_start_with(Model *m, const char *topology, const char *members);

/* Firmware's first step, if there was a reset without vm_reset() */
void vm_find_ecam(Vm *vm);

/* A reset takes firmware's work with it */
void vm_reset(Vm *vm);
void vm_stop(Vm *vm);

/* Configuration space of the port at bridge @i, and of the device below it */
uint64_t port_at(Vm *vm, unsigned i, uint32_t reg);
uint64_t dev_at(Vm *vm, unsigned i, uint32_t reg);
uint32_t dev_read(Vm *vm, unsigned i, uint32_t reg);
void dev_write16(Vm *vm, unsigned i, uint32_t reg, uint16_t value);

/* An access of @size bytes, 1, 2, 4 or 8, at guest address @addr */
uint64_t read_sized(Vm *vm, uint64_t addr, unsigned size);
void write_sized(Vm *vm, uint64_t addr, uint64_t value, unsigned size);

/*
 * Guest address of an offset in the first BAR of device @i, and in its HDM
 * decoder block
 */
uint64_t bar_at(unsigned i, uint64_t offset);
uint64_t hdm_at(unsigned i, uint64_t offset);
void dev_set_command(Vm *vm, unsigned i, uint16_t command);

/* What firmware does: bus numbers, windows of the port, BARs; memory is off */
void pci_setup(Vm *vm, unsigned i);

/* And with memory space on */
void pci_enable(Vm *vm, unsigned i);

/*
 * The same, and Mem_Enable of the CXL DVSEC, which a guest sets that programs
 * the decoders itself
 */
void guest_enable(Vm *vm, unsigned i);

/* Mem_Enable of the CXL DVSEC of the device below bridge @i */
bool mem_enabled(Vm *vm, unsigned i);
void set_mem_enable(Vm *vm, unsigned i, bool enable);

/*
 * The status bits of range @n of the CXL DVSEC, as the guest reads them:
 * RANGE_VALID and RANGE_ACTIVE
 */
uint32_t range_status(Vm *vm, unsigned i, unsigned n);
#define RANGE_VALID     1u
#define RANGE_ACTIVE    2u

/* Offset of capability @id; it has to be there */
uint8_t find_cap(Vm *vm, unsigned i, uint8_t id);

/* Offset of the CXL consortium's DVSEC @id; 0: there is none */
uint16_t find_dvsec(Vm *vm, unsigned i, uint16_t id);

/* The fixed memory window with index @n */
uint64_t window_base(Vm *vm, unsigned n);

/*
 * Is the device's memory at @dpa what is seen at @addr?  Asked in both
 * directions with values that were never used before.
 */
bool memory_seen(Vm *vm, Model *m, uint64_t addr, uint64_t dpa);

/* The same for addresses spread over @size bytes from @base and @dpa */
void assert_slice_mapped(Vm *vm, Model *m, uint64_t base, uint64_t size,
                         uint64_t dpa, bool mapped);

/* And from DPA 0 */
void assert_window_mapped(Vm *vm, Model *m, uint64_t base, uint64_t size,
                          bool mapped);

/* Decoder 0 of the device below bridge @i as firmware leaves it */
void assert_firmware_decoder(Vm *vm, unsigned i, uint64_t base,
                             uint64_t size);

/* Range 1 of the CXL DVSEC says @base, range 2 nothing */
void assert_dvsec_base(Vm *vm, unsigned i, uint64_t base);

/* Address of host bridge @i's decoder block; 0: it has none */
uint64_t bridge_hdm(Vm *vm, unsigned i);

/* Its decoder 0 as firmware leaves it */
void assert_bridge_decoder(Vm *vm, unsigned i, uint64_t base,
                           uint64_t size);

/*
 * Write decoder 0 of host bridge @i, the control register last: port 0 is its
 * target
 */
void bridge_program(Vm *vm, unsigned i, uint64_t base, uint64_t size,
                    uint32_t ctrl);

/* Write decoder 0 of device 0, the control register last */
void hdm_program(Vm *vm, uint64_t base, uint64_t size, uint32_t ctrl);

/*
 * QEMU with @args, which are not a working machine: how it ended is returned,
 * what it said is in @output.  If nothing keeps it, it quits by itself.
 */
int run_qemu(const char *args, char **output);

/*
 * Drop the hint from what the command line says of a refused device, an error
 * and a line for the hint: QMP has the error alone.
 */
void drop_hint(char *said);

/* -device of a second model, dev1, at root port @bus; to be freed */
char *second_device_arg(Model *m, const char *bus);

/* QEMU with @args ends with status 1 and says @wanted */
void assert_refused(const char *args, const char *wanted);

/* The same by device_add: an error, and nothing has changed */
void assert_device_add_fails(Vm *vm, Model *m, const char *members,
                             const char *wanted);

/* The answer to qom-get of @property of device "dev0"; to be unreferenced */
QDict *device_get(Vm *vm, const char *property);

/* Property x-cxl of that device says this of decoder @n */
void assert_decoder(Vm *vm, unsigned n, const char *state, bool locked,
                    uint64_t base, uint64_t size, uint64_t dpa);

/* It has to succeed */
void device_add(Vm *vm, Model *m, const char *members);

/* What a guest's hotplug driver does: on, or off with its indicator */
void slot_power(Vm *vm, bool on);

/* And the guest lets go */
void device_del(Vm *vm);

typedef struct Capture {
    char *path;
    int saved;
} Capture;

/*
 * Standard error of what is started from here to capture_release() goes to a
 * file
 */
void capture_start(Capture *c);
void capture_release(Capture *c);

/* @wanted is to be said by itself, that is within some seconds */
void capture_wait(Capture *c, const char *wanted);
void capture_end(Capture *c);

/* Why a case cannot be run with the host's function */
#define ANOTHER_MODEL   "the host's function is one of 256 MiB, committed"
#define TWO_MODELS      "the host has one function of this kind"
#define A_SERVER        "the host's function is behind the kernel, not a socket"
#define ASKED           "what the kernel is asked does not reach the model"

/*
 * Register a case that needs a model of its own, because of @why, and one that
 * does where @why is not NULL
 */
void add_model_test(const char *path, void (*func)(void), const char *why);
void add_case(const char *path, const void *data, void (*func)(const void *),
              const char *why);

/*
 * The main program of a test: calls @add, which registers the cases, and runs
 * them.  Where neither VFIO_CXL_HOST is set nor the environment variable
 * CXL_TYPE2_MODEL names the model they are skipped.  Returns the exit status.
 */
int vfio_cxl_test_main(int argc, char **argv, void (*add)(void));

#endif
