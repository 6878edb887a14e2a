/*
 * A vfio-user server in a thread of a test, and QEMU with its device
 *
 * The server plays a small but complete PCI device.  What it says or does is
 * what a case makes of it: the case sees each request with the answer that the
 * server has prepared, and may change the answer.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_VFIO_USER_SERVER_H
#define TESTS_VFIO_USER_SERVER_H

#include <linux/vfio.h>
#include "libqtest.h"
#include "qobject/qdict.h"
#include "qemu/atomic.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "standard-headers/linux/pci_regs.h"

enum {
    CMD_VERSION = 1,
    CMD_DMA_MAP = 2,
    CMD_DMA_UNMAP = 3,
    CMD_GET_INFO = 4,
    CMD_GET_REGION_INFO = 5,
    CMD_GET_IRQ_INFO = 7,
    CMD_SET_IRQS = 8,
    CMD_REGION_READ = 9,
    CMD_REGION_WRITE = 10,
    CMD_DMA_READ = 11,
    CMD_DMA_WRITE = 12,
    CMD_RESET = 13,
};

#define FLAG_REPLY 1
#define FLAG_NO_REPLY 0x10
#define FLAG_ERROR 0x20

#define MAX_MSG (256 * KiB)
#define MAX_FDS 16
#define NUM_REGIONS 9
#define CONFIG VFIO_PCI_CONFIG_REGION_INDEX
#define ROM VFIO_PCI_ROM_REGION_INDEX
#define BAR_SIZE (64 * KiB)
#define HDR_SIZE 16
/* Milliseconds: the default of the device, and one for those who wait for it */
#define LONG_TIMEOUT 5000
#define SHORT_TIMEOUT 400

typedef struct Msg {
    uint16_t id;
    uint16_t command;
    uint32_t size;
    uint32_t flags;
    uint32_t error;
    uint8_t data[MAX_MSG];
    /* How it is sent */
    int fds[MAX_FDS];
    int num_fds;        /* of a request: that came with it */
    bool drop;
    bool twice;
    uint32_t split;     /* send so many bytes first */
    unsigned delay_ms;  /* before the rest, or before all */
} Msg;

typedef struct Server Server;
typedef struct Case Case;

struct Case {
    const char *name;
    void (*setup)(Server *s);
    void (*answer)(Server *s, const Msg *request, Msg *reply);
    const char *error;  /* device_add fails with this */
    const char *log;    /* and QEMU logs this */
    void (*run)(QTestState *qts, Server *s); /* NULL: device_add */
    const char *options; /* of the device, in JSON */
    unsigned timeout;   /* of the device, in ms; 0: its default */
    bool early;         /* answer() is in force before run() is, too */
    const char *memory; /* QEMU's options for RAM; NULL: no file, not shared */
};

struct Server {
    const Case *test;
    GThread *thread;
    char *path;
    int listen_fd;
    int fd;
    bool stop;
    bool armed;         /* the case's answer() is in force */
    int mem_fd;
    uint8_t config[PCI_CFG_SPACE_EXP_SIZE];
    uint32_t rom_mask;
    uint64_t region_size[NUM_REGIONS];
    const char *caps;
    bool posted;        /* no region is mapped, so writes need no reply */
    unsigned count;
    unsigned replies;   /* to requests of ours */
    unsigned maps;      /* DMA_MAP messages */
    void *opaque;       /* the case's own */
    Msg request;
    Msg reply;
};

#define ARM(s) qatomic_set(&(s)->armed, true)
#define DISARM(s) qatomic_set(&(s)->armed, false)

#define RAM_MEMFD(size, share)                                      \
    "-m " size ",slots=2,maxmem=4G -machine memory-backend=ram0 "   \
    "-object memory-backend-memfd,id=ram0,size=" size ",share=" share

#define LOST "lost the connection to the server"

/* The guest: configuration space and BARs of 00:05.0 */
#define ID_VALUE 0x56781234
#define BAR_ADDRESS (is_x86() ? 0xe8000000 : 0x10000000)
#define RAM_ADDRESS (is_x86() ? 0x100000 : 0x40000000)

/* Adds @cases below "/vfio-user/@group/", and runs all tests that were added */
void server_add_cases(const char *group, const Case *cases, size_t count);
bool server_tests_init(int *argc, char ***argv);
int server_tests_run(void);

/* Of the device: a capability in its configuration space */
void put_cap(Server *s, unsigned pos, uint8_t id, uint8_t next);
void put_ext_cap(Server *s, unsigned pos, uint16_t id, unsigned next);

/* Starts a server, whose device is @test's, and ends it */
Server *server_start(const Case *test);
void server_stop(Server *s);

/*
 * In the server's thread, or while it waits for a request: sends @msg, receives
 * @len bytes (with their file descriptors in @msg), ends the connection.
 */
bool send_msg(Server *s, Msg *msg);
bool recv_bytes(int fd, void *buf, size_t len, Msg *msg);
void server_hang_up(Server *s);

/* What a request asks, and the reply that the server has prepared */
struct vfio_region_info *reply_region(Msg *reply);
bool is_region(const Msg *request, uint32_t index);
struct vfio_region_info *bar0_info(const Msg *request, Msg *reply);
bool is_id_read(const Msg *request);

/* QEMU; with @s, its device is there from the start, at 00:05.0 */
bool is_x86(void);
QTestState *start_qemu(Server *s, const char *memory);
QDict *device_add(QTestState *qts, Server *s, const char *id, const char *bus);
const char *error_desc(QDict *response);
void run_device_add(QTestState *qts, Server *s);

/* The command line that start_qemu() uses, for a start that fails; its log */
char *cold_start(Server *s, const char *memory);

/* How often QEMU has logged @text; waits until it has */
unsigned log_count(const char *text);
void assert_log(const char *text);

unsigned count_fds(QTestState *qts);
unsigned resident_kib(QTestState *qts);

/* QEMU answers, and the next device does not suffer from the last one */
void assert_healthy(QTestState *qts);

uint32_t config_readl(QTestState *qts, unsigned offset);
void config_writel(QTestState *qts, unsigned offset, uint32_t value);
void map_bar(QTestState *qts, unsigned reg, uint32_t value);

/* Reads the vendor and device id; how long it may take, in milliseconds */
uint32_t timed_id(QTestState *qts, unsigned limit_ms);

/* A test function: QEMU with the device of the Case @data */
void run_case(const void *data);

#endif
