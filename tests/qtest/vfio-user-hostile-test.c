/*
 * vfio-user-pci against servers that lie, are slow, or die
 *
 * A server in a thread of this program plays a small but complete PCI device.
 * Each case changes one thing that it says or does.  What is expected is told
 * by the text with which QEMU refuses the device, or by what a guest reads, and
 * always that QEMU answers afterwards and takes a device that behaves.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/socket.h>
#include "qapi/error.h"
#include "qemu/memfd.h"
#include "vfio-user-server.h"

/* Region information */

static struct vfio_region_info_cap_sparse_mmap *
bar0_sparse(const Msg *request, Msg *reply)
{
    return bar0_info(request, reply) ? (void *)(reply_region(reply) + 1) : NULL;
}

static void cap_loop_self(Server *s, const Msg *request, Msg *reply)
{
    struct vfio_region_info_cap_sparse_mmap *sparse;

    sparse = bar0_sparse(request, reply);
    if (sparse) {
        sparse->header.id = 0x7776;
        sparse->header.next = reply_region(reply)->cap_offset;
    }
}

static void cap_loop_two(Server *s, const Msg *request, Msg *reply)
{
    struct vfio_region_info_cap_sparse_mmap *sparse;
    struct vfio_info_cap_header *unknown;

    sparse = bar0_sparse(request, reply);
    if (sparse) {
        unknown = (void *)(reply->data + sparse->header.next);
        sparse->header.id = 0x7776;
        unknown->next = reply_region(reply)->cap_offset;
    }
}

static void cap_outside(Server *s, const Msg *request, Msg *reply)
{
    struct vfio_region_info_cap_sparse_mmap *sparse;

    sparse = bar0_sparse(request, reply);
    if (sparse) {
        sparse->header.id = 0x7776;
        sparse->header.next = 0xfffffff0;
    }
}

static void cap_at_end(Server *s, const Msg *request, Msg *reply)
{
    struct vfio_region_info *info = bar0_info(request, reply);

    if (info) {
        info->cap_offset = info->argsz;
    }
}

static void cap_unaligned(Server *s, const Msg *request, Msg *reply)
{
    struct vfio_region_info *info = bar0_info(request, reply);

    if (info) {
        info->cap_offset += 4;
    }
}

static void cap_truncated(Server *s, const Msg *request, Msg *reply)
{
    if (bar0_info(request, reply)) {
        reply->size = HDR_SIZE + sizeof(struct vfio_region_info) + 4;
    }
}

static void argsz_grows(Server *s, const Msg *request, Msg *reply)
{
    if (is_region(request, 1)) {
        reply_region(reply)->argsz = reply_region((Msg *)request)->argsz + 64;
    }
}

static void argsz_2g(Server *s, const Msg *request, Msg *reply)
{
    if (is_region(request, 1)) {
        reply_region(reply)->argsz = 0x80000000;
    }
}

static void argsz_4g(Server *s, const Msg *request, Msg *reply)
{
    if (is_region(request, 1)) {
        reply_region(reply)->argsz = 0xfffffff0;
    }
}

static void areas_many(Server *s, const Msg *request, Msg *reply)
{
    struct vfio_region_info_cap_sparse_mmap *sparse;

    sparse = bar0_sparse(request, reply);
    if (sparse) {
        sparse->nr_areas = 0x100000;
    }
}

static void areas_overlap(Server *s, const Msg *request, Msg *reply)
{
    struct vfio_region_info_cap_sparse_mmap *sparse;

    sparse = bar0_sparse(request, reply);
    if (sparse) {
        sparse->areas[0].size = 36 * KiB;
    }
}

static void areas_outside(Server *s, const Msg *request, Msg *reply)
{
    struct vfio_region_info_cap_sparse_mmap *sparse;

    sparse = bar0_sparse(request, reply);
    if (sparse) {
        sparse->areas[1].offset = 36 * KiB;
    }
}

static void areas_wrap(Server *s, const Msg *request, Msg *reply)
{
    struct vfio_region_info_cap_sparse_mmap *sparse;

    sparse = bar0_sparse(request, reply);
    if (sparse) {
        sparse->areas[1].offset = -(uint64_t)(16 * KiB);
    }
}

static void fds_many(Server *s, const Msg *request, Msg *reply)
{
    if (is_region(request, 1)) {
        while (reply->num_fds < MAX_FDS) {
            reply->fds[reply->num_fds++] = s->mem_fd;
        }
    }
}

static void region_info_header_only(Server *s, const Msg *request, Msg *reply)
{
    if (is_region(request, 1)) {
        reply->size = HDR_SIZE;
    }
}

/* A file that ends inside the second area */
static void file_short_setup(Server *s)
{
    close(s->mem_fd);
    s->mem_fd = qemu_memfd_create("short", 40 * KiB, false, 0, 0, &error_abort);
}

static void file_short_run(QTestState *qts, Server *s)
{
    map_bar(qts, PCI_BASE_ADDRESS_0, BAR_ADDRESS);
    /* Not the file's content, which is 0: the server is asked */
    g_assert_cmphex(qtest_readl(qts, BAR_ADDRESS + 60 * KiB), ==, 0x5a5a5a5a);
    g_assert_cmphex(qtest_readl(qts, BAR_ADDRESS), ==, 0x5a5a5a5a);
}

static void file_unsealed_setup(Server *s)
{
    close(s->mem_fd);
    s->mem_fd = qemu_memfd_create("unsealed", BAR_SIZE, false, 0, 0,
                                  &error_abort);
}

static void file_unsealed_run(QTestState *qts, Server *s)
{
    map_bar(qts, PCI_BASE_ADDRESS_0, BAR_ADDRESS);
    g_assert(!ftruncate(s->mem_fd, 0));
    g_assert_cmphex(qtest_readl(qts, BAR_ADDRESS), ==, 0x5a5a5a5a);
}

/* A sealed one is mapped: content 0 */
static void file_sealed_run(QTestState *qts, Server *s)
{
    map_bar(qts, PCI_BASE_ADDRESS_0, BAR_ADDRESS);
    g_assert_cmphex(qtest_readl(qts, BAR_ADDRESS), ==, 0);
    g_assert_cmphex(qtest_readl(qts, BAR_ADDRESS + 20 * KiB), ==, 0x5a5a5a5a);
    g_assert_cmpint(ftruncate(s->mem_fd, 0), ==, -1);
}

/* Config space */

static void config_size_0(Server *s)
{
    s->region_size[CONFIG] = 0;
}

static void config_size_16(Server *s)
{
    s->region_size[CONFIG] = 16;
}

static void config_size_1m(Server *s)
{
    s->region_size[CONFIG] = 1 * MiB;
}

static void config_size_4g(Server *s)
{
    s->region_size[CONFIG] = 4 * GiB;
}

static void std_cap_loop(Server *s)
{
    s->config[0xa1] = 0x40;
}

static void std_cap_low(Server *s)
{
    s->config[0xa1] = 0x3c;
}

static void std_cap_at_end(Server *s)
{
    s->config[0xa1] = 0xf8;
    put_cap(s, 0xf8, PCI_CAP_ID_EXP, 0);
    put_cap(s, 0x60, PCI_CAP_ID_VNDR, 0xa0);
}

static void std_cap_twice(Server *s)
{
    s->config[0xa1] = 0xc0;
    memcpy(s->config + 0xc0, s->config + 0x50, 12);
    s->config[0xc1] = 0;
}

static void ext_cap_loop(Server *s)
{
    put_ext_cap(s, 0x140, PCI_EXT_CAP_ID_VNDR, 0x100);
}

static void ext_cap_low(Server *s)
{
    put_ext_cap(s, 0x140, PCI_EXT_CAP_ID_VNDR, 0x80);
}

static void ext_cap_at_end(Server *s)
{
    put_ext_cap(s, 0x140, PCI_EXT_CAP_ID_VNDR, 0xffc);
    put_ext_cap(s, 0xffc, PCI_EXT_CAP_ID_VNDR, 0);
}

static void ext_cap_close(Server *s)
{
    put_ext_cap(s, 0x140, PCI_EXT_CAP_ID_VNDR, 0x144);
    put_ext_cap(s, 0x144, PCI_EXT_CAP_ID_VNDR, 0);
}

static void header_type_1(Server *s)
{
    s->config[PCI_HEADER_TYPE] = PCI_HEADER_TYPE_BRIDGE;
}

static void pin_9(Server *s)
{
    s->config[PCI_INTERRUPT_PIN] = 9;
}

static void msi_128(Server *s)
{
    stw_le_p(s->config + 0xa2, PCI_MSI_FLAGS_64BIT | 7 << 1);
}

static void bar_size_odd(Server *s)
{
    s->region_size[2] = 12 * KiB;
}

static void bar_size_4g(Server *s)
{
    s->region_size[2] = 4 * GiB;
}

static void bar_upper_taken(Server *s)
{
    s->region_size[1] = 4 * KiB;
}

static void bar5_64bit(Server *s)
{
    s->region_size[5] = 4 * KiB;
    stl_le_p(s->config + PCI_BASE_ADDRESS_5, PCI_BASE_ADDRESS_MEM_TYPE_64);
}

static void bar_unreadable(Server *s, const Msg *request, Msg *reply)
{
    if (request->command == CMD_REGION_READ &&
        ldl_le_p(request->data + 8) == CONFIG &&
        ldq_le_p(request->data) == PCI_BASE_ADDRESS_2) {
        reply->flags |= FLAG_ERROR;
        reply->error = EIO;
        reply->size = HDR_SIZE;
    }
}

static void msix_bir_7(Server *s)
{
    stl_le_p(s->config + 0x54, 7);
}

static void msix_pba_bir_6(Server *s)
{
    stl_le_p(s->config + 0x58, 6);
}

/* Expansion ROM */

#define ROM_ADDRESS (BAR_ADDRESS + 1 * MiB)

static void rom_run(QTestState *qts, Server *s)
{
    qatomic_set(&s->armed, true);
    map_bar(qts, PCI_ROM_ADDRESS, ROM_ADDRESS | PCI_ROM_ADDRESS_ENABLE);
    qtest_readl(qts, ROM_ADDRESS);
    qtest_readl(qts, ROM_ADDRESS + 4);
}

static void rom_huge(Server *s)
{
    s->rom_mask = ~0u << 16;
    s->region_size[ROM] = (1ULL << 50) + 64 * KiB;
}

static void rom_64k(Server *s)
{
    s->rom_mask = ~0u << 16;
    s->region_size[ROM] = 64 * KiB;
}

static void rom_again_answer(Server *s, const Msg *request, Msg *reply)
{
    if (request->command == CMD_REGION_READ &&
        ldl_le_p(request->data + 8) == ROM) {
        reply->flags |= FLAG_ERROR;
        reply->error = EAGAIN;
        reply->size = HDR_SIZE;
    }
}

/* A byte at a time */
static void rom_trickle_answer(Server *s, const Msg *request, Msg *reply)
{
    if (request->command == CMD_REGION_READ &&
        ldl_le_p(request->data + 8) == ROM) {
        stl_le_p(reply->data + 12, 1);
        reply->size = HDR_SIZE + 16 + 1;
    }
}

static void rom_odd(Server *s)
{
    s->rom_mask = 0xfff50000;
    s->region_size[ROM] = 64 * KiB;
}

/* Version and device information */

static void pgsizes_0(Server *s)
{
    s->caps = "{\"capabilities\":{\"pgsizes\":0}}";
}

static void max_xfer_0(Server *s)
{
    s->caps = "{\"capabilities\":{\"max_data_xfer_size\":0}}";
}

static void migration_malformed(Server *s)
{
    s->caps = "{\"capabilities\":{\"migration\":5,\"write_multiple\":5}}";
}

static void version_long(Server *s)
{
    s->caps = "{\"capabilities\":{\"max_msg_fds\":8},\"remark\":\""
              "................................................................"
              "................................................................"
              "................................................................"
              "................................................................"
              "\"}";
}

static void version_header_only(Server *s, const Msg *request, Msg *reply)
{
    if (request->command == CMD_VERSION) {
        reply->size = HDR_SIZE;
    }
}

static void info_long(Server *s, const Msg *request, Msg *reply)
{
    if (request->command == CMD_GET_INFO) {
        stl_le_p(reply->data, 64);
        memset(reply->data + 16, 0, 48);
        reply->size = HDR_SIZE + 64;
    }
}

static void info_header_only(Server *s, const Msg *request, Msg *reply)
{
    if (request->command == CMD_GET_INFO) {
        reply->size = HDR_SIZE;
    }
}

static void irq_info_header_only(Server *s, const Msg *request, Msg *reply)
{
    if (request->command == CMD_GET_IRQ_INFO &&
        ldl_le_p(request->data + 8) == VFIO_PCI_MSIX_IRQ_INDEX) {
        reply->size = HDR_SIZE;
    }
}

static void dma_map_refused(Server *s, const Msg *request, Msg *reply)
{
    if (request->command == CMD_DMA_MAP) {
        reply->flags |= FLAG_ERROR;
        reply->error = ENOSPC;
    }
}

/* The BAR of the other device, which is mapped where the guest wants it */
static void peer_map_refused(Server *s, const Msg *request, Msg *reply)
{
    if (request->command == CMD_DMA_MAP &&
        ldq_le_p(request->data + 16) == BAR_ADDRESS) {
        dma_map_refused(s, request, reply);
        s->count++;
    }
}

static const Case peer_case = { "peer", NULL, peer_map_refused };

static void peer_refused_run(QTestState *qts, Server *s)
{
    Server *peer = server_start(&peer_case);
    QDict *response;

    map_bar(qts, PCI_BASE_ADDRESS_0, BAR_ADDRESS);
    response = device_add(qts, peer, "d1", "rp0");
    g_assert_cmpstr(error_desc(response), ==, NULL);
    qobject_unref(response);
    g_assert_cmpuint(peer->count, >, 0);
    server_stop(peer);
}

/* Messages, while the device is realized */

static void partial(Server *s, const Msg *request, Msg *reply)
{
    if (is_region(request, 3)) {
        reply->split = HDR_SIZE + 8;
        reply->delay_ms = 3 * SHORT_TIMEOUT;
    }
}

static void partial_file(Server *s, const Msg *request, Msg *reply)
{
    if (bar0_info(request, reply)) {
        reply->split = HDR_SIZE + 8;
        reply->delay_ms = 3 * SHORT_TIMEOUT;
    }
}

static void header_size_8(Server *s, const Msg *request, Msg *reply)
{
    if (is_region(request, 3)) {
        reply->size = 8;
    }
}

static void header_type_bad(Server *s, const Msg *request, Msg *reply)
{
    if (is_region(request, 3)) {
        reply->flags = 7;
    }
}

static void read_header_only(Server *s, const Msg *request, Msg *reply)
{
    if (request->command == CMD_REGION_READ) {
        reply->size = HDR_SIZE;
    }
}

static void read_count_large(Server *s, const Msg *request, Msg *reply)
{
    if (request->command == CMD_REGION_READ) {
        reply->size = HDR_SIZE + 16;
    }
}

static void error_0(Server *s, const Msg *request, Msg *reply)
{
    if (is_region(request, 3)) {
        reply->flags |= FLAG_ERROR;
        reply->size = HDR_SIZE;
    }
}

static void dies(Server *s, const Msg *request, Msg *reply)
{
    if (is_region(request, 3)) {
        server_hang_up(s);
    }
}

/* Messages, at run time */

/* The first read goes wrong, the next ones do not */
static void once_bad_run(QTestState *qts, Server *s)
{
    g_assert_cmphex(timed_id(qts, 1000), ==, ID_VALUE);
    ARM(s);
    g_assert_cmphex(config_readl(qts, PCI_VENDOR_ID), ==, 0xffffffff);
    DISARM(s);
    g_usleep(4 * SHORT_TIMEOUT * 1000);
    g_assert_cmphex(config_readl(qts, PCI_VENDOR_ID), ==, ID_VALUE);
    g_assert_cmphex(config_readl(qts, PCI_CLASS_REVISION), ==, 0x12000001);
    g_assert_cmphex(config_readl(qts, PCI_VENDOR_ID), ==, ID_VALUE);
}

/* The read is fine, what else comes does not do harm */
static void once_more_run(QTestState *qts, Server *s)
{
    g_assert_cmphex(timed_id(qts, 1000), ==, ID_VALUE);
    ARM(s);
    g_assert_cmphex(timed_id(qts, 1000), ==, ID_VALUE);
    DISARM(s);
    g_assert_cmphex(timed_id(qts, 1000), ==, ID_VALUE);
    g_assert_cmphex(config_readl(qts, PCI_CLASS_REVISION), ==, 0x12000001);
}

static void read_partial(Server *s, const Msg *request, Msg *reply)
{
    if (is_id_read(request)) {
        reply->split = HDR_SIZE + 4;
        reply->delay_ms = 3 * SHORT_TIMEOUT;
    }
}

static void read_late(Server *s, const Msg *request, Msg *reply)
{
    if (is_id_read(request)) {
        reply->delay_ms = 3 * SHORT_TIMEOUT;
    }
}

static void read_twice(Server *s, const Msg *request, Msg *reply)
{
    reply->twice = is_id_read(request);
}

static void read_unknown_id(Server *s, const Msg *request, Msg *reply)
{
    if (is_id_read(request)) {
        reply->id += 1000;
    }
}

static void read_too_long(Server *s, const Msg *request, Msg *reply)
{
    if (is_id_read(request)) {
        memset(reply->data + 20, 0xee, 40000);
        reply->size += 40000;
    }
}

static void read_with_fds(Server *s, const Msg *request, Msg *reply)
{
    if (is_id_read(request)) {
        reply->fds[0] = reply->fds[1] = s->mem_fd;
        reply->num_fds = 2;
    }
}

/* -4 as error number was "4 bytes read", of what stood on the stack */
static void read_error_huge(Server *s, const Msg *request, Msg *reply)
{
    if (is_id_read(request)) {
        reply->flags |= FLAG_ERROR;
        reply->error = -4;
        reply->size = HDR_SIZE;
    }
}

static void read_dies(Server *s, const Msg *request, Msg *reply)
{
    if (is_id_read(request)) {
        server_hang_up(s);
    }
}

static void dies_run(QTestState *qts, Server *s)
{
    int i;

    ARM(s);
    g_assert_cmphex(timed_id(qts, 1000), ==, 0xffffffff);
    for (i = 0; i < 1000; i++) {
        g_assert_cmphex(timed_id(qts, 1000), ==, 0xffffffff);
    }
    DISARM(s);
    /* Said once, with the name of the device, and nothing after it */
    assert_log(s->path);
    g_assert_cmpuint(log_count(LOST), ==, 1);
    g_assert_cmpuint(log_count("\n"), <, 5);
}

static void plug_dimm(QTestState *qts)
{
    qtest_qmp_assert_success(qts, "{'execute': 'object-add', 'arguments': "
                             "{'qom-type': 'memory-backend-ram', 'id': 'mem', "
                             "'size': 134217728}}");
    qtest_qmp_assert_success(qts, "{'execute': 'device_add', 'arguments': "
                             "{'driver': 'pc-dimm', 'id': 'dimm', 'memdev': "
                             "'mem'}}");
}

/* A VM whose device is gone goes on changing its memory */
static void dies_then_map_run(QTestState *qts, Server *s)
{
    ARM(s);
    g_assert_cmphex(timed_id(qts, 1000), ==, 0xffffffff);
    DISARM(s);
    if (is_x86()) {
        plug_dimm(qts);
    }
    qtest_qmp_assert_success(qts, "{'execute': 'system_reset'}");
    qtest_qmp_eventwait(qts, "RESET");
}

static void dies_idle_run(QTestState *qts, Server *s)
{
    int fd = qatomic_read(&s->fd);

    shutdown(fd, SHUT_RDWR);
    assert_log(LOST);
    g_assert_cmphex(timed_id(qts, 1000), ==, 0xffffffff);
}

/* A socket that is closed with something unread resets the connection */
static void posts_writes(Server *s)
{
    s->posted = true;
}

static void dies_unread(Server *s, const Msg *request, Msg *reply)
{
    if (request->command == CMD_REGION_WRITE) {
        g_usleep(300 * 1000);
        server_hang_up(s);
    }
}

static void dies_unread_run(QTestState *qts, Server *s)
{
    int i;

    /* What is no bus master gets posted writes */
    config_writel(qts, PCI_BASE_ADDRESS_2, BAR_ADDRESS);
    config_writel(qts, PCI_COMMAND, PCI_COMMAND_MEMORY);
    ARM(s);
    for (i = 0; i < 10; i++) {
        qtest_writel(qts, BAR_ADDRESS + 0x200, i);
    }
    assert_log(LOST);
    DISARM(s);
}

static void never_answers(Server *s, const Msg *request, Msg *reply)
{
    reply->drop = is_id_read(request);
}

/* Two reads wait for the timeout, no more do, until the server is heard */
static void stuck_run(QTestState *qts, Server *s)
{
    int i;

    ARM(s);
    for (i = 0; i < 2; i++) {
        g_assert_cmphex(timed_id(qts, 3 * SHORT_TIMEOUT), ==, 0xffffffff);
    }
    for (i = 0; i < 20; i++) {
        g_assert_cmphex(timed_id(qts, SHORT_TIMEOUT), ==, 0xffffffff);
    }
    DISARM(s);
    /* A reply that nobody waits for is a sign of life */
    s->reply.twice = false;
    g_assert(send_msg(s, &s->reply));
    g_usleep(200 * 1000);
    g_assert_cmphex(config_readl(qts, PCI_VENDOR_ID), ==, ID_VALUE);
}

/* Does not read for as long as the case is armed */
static void does_not_read(Server *s, const Msg *request, Msg *reply)
{
    int i;

    for (i = 0; i < 600 && qatomic_read(&s->armed); i++) {
        g_usleep(50 * 1000);
    }
}

/*
 * So much is on its way that requests time out before they are sent.  There
 * will never be a reply to these: that the server reads again has to do.  A
 * map is sent then; it is of no less use than before.
 */
static void behind_run(QTestState *qts, Server *s)
{
    unsigned maps = qatomic_read(&s->maps);
    int i;

    /* What is no bus master gets posted writes */
    config_writel(qts, PCI_BASE_ADDRESS_2, BAR_ADDRESS);
    config_writel(qts, PCI_COMMAND, PCI_COMMAND_MEMORY);
    ARM(s);
    for (i = 0; i < 4000; i++) {
        qtest_writel(qts, BAR_ADDRESS + 0x200, i);
    }
    if (is_x86()) {
        plug_dimm(qts);
    } else {
        g_assert_cmphex(timed_id(qts, 3 * SHORT_TIMEOUT), ==, 0xffffffff);
    }
    g_assert_cmphex(timed_id(qts, 3 * SHORT_TIMEOUT), ==, 0xffffffff);
    g_assert_cmphex(timed_id(qts, SHORT_TIMEOUT), ==, 0xffffffff);
    DISARM(s);
    for (i = 0; i < 100 && config_readl(qts, PCI_VENDOR_ID) != ID_VALUE; i++) {
        g_usleep(50 * 1000);
    }
    g_assert_cmphex(config_readl(qts, PCI_VENDOR_ID), ==, ID_VALUE);
    g_assert_cmpuint(qatomic_read(&s->maps), ==, maps + is_x86());
}

/* Requests of the server */

static void send_dma(Server *s, uint16_t command, uint32_t count, int num_fds,
                     uint32_t flags)
{
    Msg *msg = g_new0(Msg, 1);
    int i;

    msg->command = command;
    msg->flags = flags;
    msg->size = HDR_SIZE + 16;
    if (command == CMD_DMA_WRITE) {
        memset(msg->data + 16, 0x5a, count);
        msg->size += count;
    }
    stq_le_p(msg->data, RAM_ADDRESS);
    stl_le_p(msg->data + 8, count);
    msg->num_fds = num_fds;
    for (i = 0; i < num_fds; i++) {
        msg->fds[i] = s->mem_fd;
    }
    send_msg(s, msg);
    g_free(msg);
}

static void send_dma_read(Server *s, uint32_t count, int num_fds)
{
    send_dma(s, CMD_DMA_READ, count, num_fds, 0);
}

/* Others get their turn, and what a lost server has asked for is not done */
static void dma_flood_run(QTestState *qts, Server *s)
{
    int i;

    config_writel(qts, PCI_COMMAND, PCI_COMMAND_MASTER);
    for (i = 0; i < 10000; i++) {
        send_dma(s, CMD_DMA_READ, 1 * MiB, 0, FLAG_NO_REPLY);
    }
    send_dma(s, CMD_DMA_WRITE, 4, 0, FLAG_NO_REPLY);
    send_dma_read(s, 4, 0);
    qtest_qmp_assert_success(qts, "{'execute': 'query-status'}");
    g_assert_cmpuint(qatomic_read(&s->replies), ==, 0);
    shutdown(qatomic_read(&s->fd), SHUT_RDWR);
    assert_log(LOST);
    for (i = 0; i < 100; i++) {
        qtest_qmp_assert_success(qts, "{'execute': 'query-status'}");
        g_usleep(20 * 1000);
    }
    g_assert_cmphex(qtest_readl(qts, RAM_ADDRESS), !=, 0x5a5a5a5a);
}

/* Much of it, and large: what is slower than the server is not yet a fault */
static void dma_stream_run(QTestState *qts, Server *s)
{
    int i;

    config_writel(qts, PCI_COMMAND, PCI_COMMAND_MASTER);
    for (i = 0; i < 5000; i++) {
        send_dma(s, CMD_DMA_WRITE, 128 * KiB, 0, FLAG_NO_REPLY);
    }
    send_dma_read(s, 4, 0);
    for (i = 0; i < 600 && !qatomic_read(&s->replies); i++) {
        g_usleep(50 * 1000);
    }
    g_assert_cmpuint(qatomic_read(&s->replies), ==, 1);
    g_assert_cmphex(qtest_readl(qts, RAM_ADDRESS), ==, 0x5a5a5a5a);
    g_assert_cmphex(timed_id(qts, 1000), ==, ID_VALUE);
}

static void dma_fds_run(QTestState *qts, Server *s)
{
    unsigned before = count_fds(qts);
    int i;

    for (i = 0; i < 100; i++) {
        send_dma_read(s, 4, 4);
    }
    g_usleep(200 * 1000);
    g_assert_cmphex(timed_id(qts, 1000), ==, ID_VALUE);
    g_assert_cmpuint(count_fds(qts), <=, before + 2);
}

/* Asks for much and reads nothing, neither does it end */
static void dma_unread_run(QTestState *qts, Server *s)
{
    unsigned before = resident_kib(qts);
    int i;

    config_writel(qts, PCI_COMMAND, PCI_COMMAND_MASTER);
    /* From here on the server's thread waits instead of reading */
    ARM(s);
    g_assert_cmphex(timed_id(qts, 3 * SHORT_TIMEOUT), ==, 0xffffffff);
    for (i = 0; i < 600; i++) {
        send_dma_read(s, 1 * MiB, 0);
    }
    assert_log("has left more than");
    DISARM(s);
    g_assert_cmpuint(resident_kib(qts), <, before + 400 * KiB);
}

/* Failing again and again costs nothing */
static void again_answer(Server *s, const Msg *request, Msg *reply)
{
    unsigned n;

    if (request->command == CMD_VERSION) {
        s->count++;
    }
    n = s->count % 7;
    if ((n == 0 && request->command == CMD_VERSION) ||
               (n == 1 && request->command == CMD_GET_INFO) ||
               (n == 2 && is_region(request, 3)) ||
               (n == 3 && is_region(request, CONFIG)) ||
               (n == 4 && request->command == CMD_REGION_READ) ||
               (n == 5 && request->command == CMD_GET_IRQ_INFO) ||
               (n == 6 && request->command == CMD_SET_IRQS)) {
        reply->flags |= FLAG_ERROR;
        reply->error = EIO;
        reply->size = HDR_SIZE;
    }
}

static void test_again(const void *data)
{
    Server *s = server_start(data);
    QTestState *qts = start_qemu(NULL, NULL);
    unsigned fds = 0, resident = 0;
    int i;

    alarm(60);
    for (i = 0; i < 140; i++) {
        QDict *response = device_add(qts, s, "d0", "rp0");

        g_assert_nonnull(error_desc(response));
        qobject_unref(response);
        /* Let what only happens once happen first */
        if (i == 39) {
            fds = count_fds(qts);
            resident = resident_kib(qts);
        }
    }
    g_assert_cmpuint(count_fds(qts), <=, fds + 2);
    g_assert_cmpuint(resident_kib(qts), <=, resident + 4 * KiB);
    assert_healthy(qts);
    qtest_quit(qts);
    server_stop(s);
    alarm(0);
}

static void test_unplug(const void *data)
{
    Server *s = server_start(data);
    QTestState *qts = start_qemu(NULL, NULL);
    int i;

    alarm(60);
    for (i = 0; i < 3; i++) {
        QDict *response = device_add(qts, s, "d0", "rp0");

        g_assert_cmpstr(error_desc(response), ==, NULL);
        qobject_unref(response);
        qtest_qmp_assert_success(qts, "{'execute': 'device_del', 'arguments': "
                                 "{'id': 'd0'}}");
        qtest_qmp_eventwait(qts, "DEVICE_DELETED");
    }
    assert_healthy(qts);
    qtest_quit(qts);
    server_stop(s);
    alarm(0);
}

#define REGION(n) "failed to get region " #n " info"

static const Case cases[] = {
    { "region/cap-loop-self", NULL, cap_loop_self, REGION(0), "form a loop" },
    { "region/cap-loop-two", NULL, cap_loop_two, REGION(0), "form a loop" },
    { "region/cap-outside", NULL, cap_outside, REGION(0),
      "capability at 0xfffffff0, expected inside" },
    { "region/cap-at-end", NULL, cap_at_end, REGION(0), "expected inside" },
    { "region/cap-unaligned", NULL, cap_unaligned, REGION(0),
      "expected at a multiple of 8" },
    { "region/cap-truncated", NULL, cap_truncated, REGION(0),
      "expected inside" },
    { "region/argsz-grows", NULL, argsz_grows, REGION(1),
      "expected not more than the" },
    { "region/argsz-2g", NULL, argsz_2g, REGION(1), "expected at most" },
    { "region/argsz-4g", NULL, argsz_4g, REGION(1), "expected at most" },
    { "region/areas-many", NULL, areas_many, REGION(0), "1048576 areas" },
    { "region/areas-overlap", NULL, areas_overlap, REGION(0), "overlap" },
    { "region/areas-outside", NULL, areas_outside, REGION(0),
      "expected inside the region" },
    { "region/areas-wrap", NULL, areas_wrap, REGION(0),
      "expected inside the region" },
    { "region/fds-many", NULL, fds_many, REGION(1),
      "brings 16 file descriptors, expected at most 1" },
    { "region/header-only", NULL, region_info_header_only, REGION(1),
      "has 16 bytes, expected at least" },
    { "region/file-short", file_short_setup, NULL, NULL,
      "less than is to be mapped", file_short_run },
    { "region/file-unsealed", file_unsealed_setup, NULL, NULL, "F_SEAL_SHRINK",
      file_unsealed_run, "\"x-require-sealed\": true" },
    { "region/file-sealed", NULL, NULL, NULL, NULL, file_sealed_run,
      "\"x-require-sealed\": true" },

    { "config/size-0", config_size_0, NULL, "config space has 0x0 bytes" },
    { "config/size-16", config_size_16, NULL, "config space has 0x10 bytes" },
    { "config/size-1m", config_size_1m, NULL,
      "config space has 0x100000 bytes" },
    { "config/size-4g", config_size_4g, NULL, "config space has 0x0 bytes" },
    { "config/std-cap-loop", std_cap_loop, NULL,
      "PCI capabilities form a loop" },
    { "config/std-cap-low", std_cap_low, NULL, "PCI capability at 0x3c" },
    { "config/std-cap-at-end", std_cap_at_end, NULL,
      "PCI capability 0x10 at 0xf8, expected 20 bytes" },
    { "config/std-cap-twice", std_cap_twice, NULL, "is not the first one" },
    { "config/ext-cap-loop", ext_cap_loop, NULL,
      "PCI extended capabilities form a loop" },
    { "config/ext-cap-low", ext_cap_low, NULL,
      "PCI extended capability at 0x80" },
    { "config/ext-cap-at-end", ext_cap_at_end, NULL,
      "extended capability 0xb at 0xffc has 4 bytes" },
    { "config/ext-cap-close", ext_cap_close, NULL,
      "extended capability 0xb at 0x140 has 4 bytes" },
    { "config/header-type-1", header_type_1, NULL, "PCI header type 1" },
    { "config/pin-9", pin_9, NULL, "interrupt pin 9" },
    { "config/msi-128", msi_128, NULL, "128 MSI vectors" },
    { "config/bar-size-odd", bar_size_odd, NULL, "BAR 2 has 0x3000 bytes" },
    { "config/bar-size-4g", bar_size_4g, NULL,
      "BAR 2 is a 32-bit one of 0x100000000 bytes" },
    { "config/bar-upper-taken", bar_upper_taken, NULL,
      "BAR 0 is a 64-bit one" },
    { "config/bar5-64bit", bar5_64bit, NULL, "BAR 5 is a 64-bit one" },
    { "config/bar-unreadable", NULL, bar_unreadable, "failed to read BAR 2" },
    { "config/msix-bir-7", msix_bir_7, NULL, "MSI-X table in BAR 7" },
    { "config/msix-pba-bir-6", msix_pba_bir_6, NULL,
      "pending bits in BAR 6" },
    { "config/rom-huge", rom_huge, NULL, NULL, "expected at most 16 MiB",
      rom_run },
    { "config/rom-again", rom_64k, rom_again_answer, NULL,
      "Error reading device ROM", rom_run },
    { "config/rom-trickle", rom_64k, rom_trickle_answer, NULL,
      "in pieces of 1, expected", rom_run },
    { "config/rom-odd", rom_odd, NULL, NULL, "expansion ROM of" },

    { "version/pgsizes-0", pgsizes_0, NULL, "pgsizes 0x0" },
    { "version/max-xfer-0", max_xfer_0, NULL,
      "max_data_xfer_size 0 is too small" },
    { "version/migration-malformed", migration_malformed, NULL,
      "malformed migration" },
    { "version/long", version_long },
    { "version/header-only", NULL, version_header_only,
      "version reply is too short" },
    { "info/long", NULL, info_long },
    { "info/header-only", NULL, info_header_only, "short reply" },
    { "info/irq-header-only", NULL, irq_info_header_only,
      "failed to get MSI-X irq info" },
    { "info/dma-map-refused", NULL, dma_map_refused,
      "the server refused DMA to guest RAM" },

    { "realize/partial", NULL, partial, REGION(3), "timed out", NULL, NULL,
      SHORT_TIMEOUT },
    { "realize/partial-file", NULL, partial_file, REGION(0), "timed out", NULL,
      NULL, SHORT_TIMEOUT },
    { "realize/header-size-8", NULL, header_size_8, REGION(3), LOST },
    { "realize/header-type", NULL, header_type_bad, REGION(3), LOST },
    { "realize/read-header-only", NULL, read_header_only,
      "failed to read device config space" },
    { "realize/read-count", NULL, read_count_large,
      "failed to read device config space" },
    { "realize/error-0", NULL, error_0, REGION(3) },
    { "realize/dies", NULL, dies, REGION(3), LOST },

    { "runtime/partial", NULL, read_partial, NULL, "timed out", once_bad_run,
      NULL, SHORT_TIMEOUT },
    { "runtime/late", NULL, read_late, NULL, "no such request is outstanding",
      once_bad_run, NULL, SHORT_TIMEOUT },
    { "runtime/unknown-id", NULL, read_unknown_id, NULL,
      "no such request is outstanding", once_bad_run, NULL, SHORT_TIMEOUT },
    { "runtime/too-long", NULL, read_too_long, NULL, "has 40036 bytes",
      once_bad_run, NULL, SHORT_TIMEOUT },
    { "runtime/fds", NULL, read_with_fds, NULL, "brings 2 file descriptors",
      once_bad_run, NULL, SHORT_TIMEOUT },
    { "runtime/error-huge", NULL, read_error_huge, NULL, NULL, once_bad_run,
      NULL, SHORT_TIMEOUT },
    { "runtime/twice", NULL, read_twice, NULL,
      "no such request is outstanding", once_more_run },
    { "runtime/dies", NULL, read_dies, NULL, LOST, dies_run },
    { "runtime/dies-idle", NULL, NULL, NULL, LOST, dies_idle_run },
    { "runtime/dies-unread", posts_writes, dies_unread, NULL, LOST,
      dies_unread_run },
    { "runtime/dies-then-map", NULL, read_dies, NULL, LOST,
      dies_then_map_run },
    { "runtime/stuck", NULL, never_answers, NULL, "requests in a row time out",
      stuck_run, NULL, SHORT_TIMEOUT },
    { "runtime/dma-fds", NULL, NULL, NULL, NULL, dma_fds_run },
    { "runtime/behind", posts_writes, does_not_read, NULL,
      "requests in a row time out", behind_run, NULL, SHORT_TIMEOUT },
    { "runtime/peer-refused", NULL, NULL, NULL, "refused DMA to",
      peer_refused_run },
    { "runtime/dma-flood", NULL, NULL, NULL, LOST, dma_flood_run },
    { "runtime/dma-stream", NULL, NULL, NULL, NULL, dma_stream_run },
    { "runtime/dma-unread", NULL, does_not_read, NULL, LOST,
      dma_unread_run, NULL, SHORT_TIMEOUT },
};

static const Case again_case = { "again", NULL, again_answer };

static const Case good_case = { .name = "good" };

int main(int argc, char **argv)
{
    if (server_tests_init(&argc, &argv)) {
        server_add_cases("hostile", cases, ARRAY_SIZE(cases));
        qtest_add_data_func("/vfio-user/hostile/again", &again_case,
                            test_again);
        qtest_add_data_func("/vfio-user/hostile/unplug", &good_case,
                            test_unplug);
    }
    return server_tests_run();
}
