/*
 * vfio-user servers that are other than QEMU's own limits suggest
 *
 * What a server says of itself need not be what QEMU would say: larger numbers
 * of file descriptors, larger pages, less configuration space, memory that is
 * only read, one client at a time.  None of that is an error.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/socket.h>
#include "vfio-user-server.h"

#define RAM_SHARED RAM_MEMFD("256M", "on")

/* What is negotiated: each side's own limit */

#define VERSION_CASE(func, text)                        \
static void func(Server *s)                             \
{                                                       \
    s->caps = "{\"capabilities\":{" text "}}";          \
}

VERSION_CASE(fds_17, "\"max_msg_fds\":17")
VERSION_CASE(fds_32, "\"max_msg_fds\":32")
VERSION_CASE(fds_0, "\"max_msg_fds\":0")
VERSION_CASE(maps_100000, "\"max_dma_maps\":100000")
VERSION_CASE(xfer_128m, "\"max_data_xfer_size\":134217728")
VERSION_CASE(bitmap_1g, "\"migration\":{\"max_bitmap_size\":1073741824}")
VERSION_CASE(pgsizes_64k, "\"pgsizes\":65536")
VERSION_CASE(pgsizes_2m, "\"pgsizes\":2097152")
VERSION_CASE(pgsizes_1g, "\"pgsizes\":1073741824")

/* A server that means what it says of its pages */
static bool fits(Server *s, uint64_t value)
{
    uint64_t page = g_strrstr(s->test->name, "64k") ? 64 * KiB :
                    g_strrstr(s->test->name, "2m") ? 2 * MiB : 1 * GiB;

    return value % page == 0;
}

static void whole_pages(Server *s, const Msg *request, Msg *reply)
{
    uint64_t iova, size;

    if (request->command != CMD_DMA_MAP) {
        return;
    }
    iova = ldq_le_p(request->data + 16);
    size = ldq_le_p(request->data + 24);
    if (!fits(s, iova) || !fits(s, size) ||
        (request->num_fds && !fits(s, ldq_le_p(request->data + 8)))) {
        reply->flags |= FLAG_ERROR;
        reply->error = EINVAL;
        return;
    }
    /* Guest RAM, 128 MiB into it */
    if (iova <= RAM_ADDRESS + 127 * MiB &&
        iova + size > RAM_ADDRESS + 127 * MiB && request->num_fds) {
        qatomic_inc(&s->count);
    }
}

static void whole_pages_run(QTestState *qts, Server *s)
{
    Server *late = server_start(s->test);
    QDict *response = device_add(qts, late, "d1", "rp0");

    g_assert_cmpstr(error_desc(response), ==, NULL);
    qobject_unref(response);
    g_assert_cmpuint(qatomic_read(&late->count), ==,
                     s->test->setup != pgsizes_1g);
    g_assert_cmphex(timed_id(qts, 1000), ==, ID_VALUE);
    g_assert_cmpuint(log_count("guest RAM '"), <=, 2);
    server_stop(late);
}

/* Configuration space */

static void config_255(Server *s)
{
    s->region_size[CONFIG] = 255;
}

static void config_512(Server *s)
{
    s->region_size[CONFIG] = 512;
}

static void config_1024(Server *s)
{
    s->region_size[CONFIG] = 1024;
}

/* The device's own end is one */
static void ends(Server *s, const Msg *request, Msg *reply)
{
    if ((request->command == CMD_REGION_READ ||
         request->command == CMD_REGION_WRITE) &&
        ldl_le_p(request->data + 8) == CONFIG &&
        ldq_le_p(request->data) + ldl_le_p(request->data + 12) >
        s->region_size[CONFIG]) {
        reply->flags |= FLAG_ERROR;
        reply->error = EINVAL;
        reply->size = HDR_SIZE;
        qatomic_inc(&s->count);
    }
}

static uint32_t ecam_readl(QTestState *qts, unsigned offset)
{
    return qtest_readl(qts, (is_x86() ? 0xe0000000 : 0x3f000000) + (5 << 15) +
                            offset);
}

static void config_run(QTestState *qts, Server *s)
{
    unsigned size = s->region_size[CONFIG];

    if (is_x86()) {
        /* MMCONFIG, which firmware would turn on: 00:00.0 is 0x60 */
        qtest_outl(qts, 0xcf8, 0x80000060);
        qtest_outl(qts, 0xcfc, 0xe0000001);
    }
    ARM(s);
    g_assert_cmphex(ecam_readl(qts, 0), ==, ID_VALUE);
    s->config[0xfc] = 1;
    s->config[0xfd] = 2;
    s->config[0xfe] = 3;
    s->config[0xff] = 4;
    g_assert_cmphex(ecam_readl(qts, 0xfc), ==,
                    size < 256 ? 0x00030201 : 0x04030201);
    config_writel(qts, 0xfc, 0);
    if (size > 256) {
        stl_le_p(s->config + size - 4, 0x11223344);
        g_assert_cmphex(ecam_readl(qts, size - 4), ==, 0x11223344);
    }
    g_assert_cmphex(ecam_readl(qts, MAX(size, 0x100)), ==, 0);
    g_assert_cmphex(ecam_readl(qts, 0xffc), ==, 0);
    DISARM(s);
    g_assert_cmpuint(s->count, ==, 0);
    g_assert_cmpuint(log_count("failed"), ==, 0);
}

/* Memory that is only read, or only written */

static void region_0_flags(const Msg *request, Msg *reply, uint32_t without)
{
    struct vfio_region_info *info = bar0_info(request, reply);

    if (info) {
        info->flags &= ~without;
    }
}

static void read_only(Server *s, const Msg *request, Msg *reply)
{
    region_0_flags(request, reply, VFIO_REGION_INFO_FLAG_WRITE);
}

static void write_only(Server *s, const Msg *request, Msg *reply)
{
    region_0_flags(request, reply, VFIO_REGION_INFO_FLAG_READ);
}

static void no_access(Server *s, const Msg *request, Msg *reply)
{
    region_0_flags(request, reply, VFIO_REGION_INFO_FLAG_READ |
                                   VFIO_REGION_INFO_FLAG_WRITE);
}

/* The device of @s is as it should be, this one is hot-plugged */
static void flags_run(QTestState *qts, Server *s)
{
    g_assert_cmpuint(pwrite(s->mem_fd, "abcd", 4, 0), ==, 4);
    map_bar(qts, PCI_BASE_ADDRESS_0, BAR_ADDRESS);
    if (s->test->answer == read_only) {
        g_assert_cmphex(qtest_readl(qts, BAR_ADDRESS), ==, 0x64636261);
    } else {
        qtest_readl(qts, BAR_ADDRESS);
    }
    qtest_writel(qts, BAR_ADDRESS, 0x12345678);
    if (s->test->answer == read_only) {
        g_assert_cmphex(qtest_readl(qts, BAR_ADDRESS), ==, 0x64636261);
    }
    qtest_readl(qts, BAR_ADDRESS + 20 * KiB);
    qtest_writel(qts, BAR_ADDRESS + 20 * KiB, 0);
    g_assert_cmphex(timed_id(qts, 1000), ==, ID_VALUE);
}

/* A server that has a client: some hang up, others never get to us */

static void hangs_up(Server *s, const Msg *request, Msg *reply)
{
    if (request->command == CMD_VERSION) {
        server_hang_up(s);
    }
}

static void keeps_waiting(Server *s, const Msg *request, Msg *reply)
{
    if (request->command == CMD_VERSION) {
        reply->drop = true;
    }
}

#define TAKEN "it may have another client"

static void test_taken_cold(const void *data)
{
    Server *s = server_start(data);
    g_autofree char *log = cold_start(s, NULL);

    g_test_message("%s", log);
    g_assert_nonnull(strstr(log, TAKEN));
    g_assert_nonnull(strstr(log, "a server and a socket of its own"));
    g_assert_null(strstr(log, LOST));
    server_stop(s);
}

/* A server that is gone, and the guest is reset: there is one thing to say */
static void gone_run(QTestState *qts, Server *s)
{
    unsigned before = log_count("\n");
    int i;

    shutdown(qatomic_read(&s->fd), SHUT_RDWR);
    assert_log(LOST);
    for (i = 0; i < 2; i++) {
        qtest_qmp_assert_success(qts, "{'execute': 'system_reset'}");
        qtest_qmp_eventwait(qts, "RESET");
    }
    g_assert_cmphex(timed_id(qts, 1000), ==, 0xffffffff);
    g_assert_cmpuint(log_count("\n"), ==, before + 1);
}

static const Case cases[] = {
    { "version/fds-17", fds_17 },
    { "version/fds-32", fds_32 },
    { "version/fds-0", fds_0 },
    { "version/maps-100000", maps_100000 },
    { "version/xfer-128m", xfer_128m },
    { "version/bitmap-1g", bitmap_1g },
    { "version/pgsizes-64k", pgsizes_64k, whole_pages, NULL, NULL,
      whole_pages_run, .early = true, .memory = RAM_SHARED },
    { "version/pgsizes-2m", pgsizes_2m, whole_pages, NULL, NULL,
      whole_pages_run, .early = true, .memory = RAM_SHARED },
    { "version/pgsizes-1g", pgsizes_1g, whole_pages, NULL, NULL,
      whole_pages_run, .early = true, .memory = RAM_SHARED },

    { "config/size-255", config_255, ends, NULL, NULL, config_run },
    { "config/size-512", config_512, ends, NULL, NULL, config_run },
    { "config/size-1024", config_1024, ends, NULL, NULL, config_run },

    { "region/read-only", NULL, read_only, NULL, NULL, flags_run,
      .early = true },
    { "region/write-only", NULL, write_only, NULL, NULL, flags_run,
      .early = true },
    { "region/no-access", NULL, no_access, NULL, NULL, flags_run,
      .early = true },

    { "taken/hangs-up", NULL, hangs_up, TAKEN },
    { "taken/keeps-waiting", NULL, keeps_waiting, TAKEN, NULL, NULL, NULL,
      SHORT_TIMEOUT },
    { "gone/reset", NULL, NULL, NULL, LOST, gone_run },
};

static const Case taken_case = { "taken", NULL, hangs_up };

int main(int argc, char **argv)
{
    if (server_tests_init(&argc, &argv)) {
        server_add_cases("limits", cases, ARRAY_SIZE(cases));
        qtest_add_data_func("/vfio-user/limits/taken/cold", &taken_case,
                            test_taken_cold);
    }
    return server_tests_run();
}
