/*
 * How a vfio-user server reaches the guest's memory
 *
 * It is told of it by DMA_MAP, with a file descriptor or without one, may
 * refuse that, and asks for what it has no file of by DMA_READ and DMA_WRITE,
 * at any time.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/mman.h>
#include "vfio-user-server.h"

#define RAM_SHARED RAM_MEMFD("256M", "on")
#define RAM_PRIVATE RAM_MEMFD("256M", "off")
#define PATTERN 0x600dda7a
/* In guest RAM, and in each of its pages that a case looks at */
#define SOURCE (RAM_ADDRESS + 0x10000)
#define TARGET (RAM_ADDRESS + 0x20000)

#define ADD_FAILS "the server refused DMA to guest RAM "

/* DMA_MAP and DMA_UNMAP */

static uint64_t map_iova(const Msg *request)
{
    return ldq_le_p(request->data + (request->command == CMD_DMA_MAP ? 16 : 8));
}

static uint64_t map_size(const Msg *request)
{
    return ldq_le_p(request->data +
                    (request->command == CMD_DMA_MAP ? 24 : 16));
}

static bool map_has(const Msg *request, uint64_t address)
{
    return request->command == CMD_DMA_MAP && map_iova(request) <= address &&
           address - map_iova(request) < map_size(request);
}

static void refuse(Msg *reply, uint32_t error)
{
    reply->flags |= FLAG_ERROR;
    reply->error = error;
    reply->size = HDR_SIZE;
}

/* A server that maps files, and does nothing else */
static void refuse_fileless(Server *s, const Msg *request, Msg *reply)
{
    if (request->command == CMD_DMA_MAP && !request->num_fds) {
        refuse(reply, ENOTSUP);
        qatomic_inc(&s->count);
    }
}

static void refuse_all(Server *s, const Msg *request, Msg *reply)
{
    if (request->command == CMD_DMA_MAP) {
        refuse(reply, ENOSPC);
        qatomic_inc(&s->count);
    }
}

/* Firmware on x86 is ROM: QEMU has no file of it */
static void assert_rom_refused(Server *s)
{
    if (is_x86()) {
        g_assert_cmpuint(qatomic_read(&s->count), >, 0);
        assert_log("which is no guest RAM");
        g_assert_cmpuint(log_count("the server refused DMA"), ==, 1);
    }
}

static void rom_cold_run(QTestState *qts, Server *s)
{
    g_assert_cmphex(timed_id(qts, 1000), ==, ID_VALUE);
    assert_rom_refused(s);
}

static void rom_hot_run(QTestState *qts, Server *s)
{
    Server *hot = server_start(s->test);
    QDict *response = device_add(qts, hot, "d1", "rp0");

    g_assert_cmpstr(error_desc(response), ==, NULL);
    qobject_unref(response);
    if (is_x86()) {
        g_assert_cmpuint(qatomic_read(&hot->count), >, 0);
        /* Each of the two devices has said it */
        g_assert_cmpuint(log_count("the server refused DMA"), ==, 2);
    }
    server_stop(hot);
}

/* Where the device would be there from the start, QEMU says what to do */
static void test_ram_cold(const void *data)
{
    Server *s = server_start(data);
    g_autofree char *log = cold_start(s, s->test->memory);

    g_test_message("%s", log);
    g_assert_nonnull(strstr(log, s->path));
    g_assert_nonnull(strstr(log, ADD_FAILS));
    g_assert_nonnull(strstr(log, is_x86() ? "0x0 - 0x" : "0x40000000 - 0x"));
    if (s->test->answer == refuse_fileless) {
        g_assert_nonnull(strstr(log, "share=on"));
        g_assert_nonnull(strstr(log, "aux-ram-share=on"));
    } else {
        g_assert_null(strstr(log, "share=on"));
    }
    g_assert_nonnull(strstr(log, "x-require-dma=off"));
    server_stop(s);
}

/* A device without DMA is a device */
static void no_dma_run(QTestState *qts, Server *s)
{
    g_assert_cmphex(timed_id(qts, 1000), ==, ID_VALUE);
    assert_log(ADD_FAILS);
}

/* Remembers of the guest's RAM how it was told of, and counts unmaps */
static void note_maps(Server *s, const Msg *request, Msg *reply)
{
    if (map_has(request, RAM_ADDRESS)) {
        s->count = request->num_fds ? 1 : 2;
    }
}

static void private_run(QTestState *qts, Server *s)
{
    g_assert_cmpuint(s->count, ==, 2);
}

static void shared_run(QTestState *qts, Server *s)
{
    g_assert_cmpuint(s->count, ==, 1);
}

/* A DIMM in the midst of the VM's life, which nobody else can map */
#define DIMM_ADDRESS (is_x86() ? 0x100000000ULL : 0x80000000ULL)

static void plug_private_dimm(QTestState *qts)
{
    qtest_qmp_assert_success(qts, "{'execute': 'object-add', 'arguments': "
                             "{'qom-type': 'memory-backend-memfd', 'id': 'm1', "
                             "'size': 134217728, 'share': false}}");
    qtest_qmp_assert_success(qts, "{'execute': 'device_add', 'arguments': "
                             "{'driver': 'pc-dimm', 'id': 'dimm', 'memdev': "
                             "'m1'}}");
}

static void note_dimm(Server *s, const Msg *request, Msg *reply)
{
    if (map_has(request, DIMM_ADDRESS)) {
        s->count = request->num_fds ? 1 : 2;
    }
}

static void dimm_private_run(QTestState *qts, Server *s)
{
    if (!is_x86()) {
        g_test_skip("virt takes DIMMs with firmware only");
        return;
    }
    ARM(s);
    plug_private_dimm(qts);
    DISARM(s);
    g_assert_cmpuint(s->count, ==, 2);
}

static void dimm_refused_run(QTestState *qts, Server *s)
{
    if (!is_x86()) {
        g_test_skip("virt takes DIMMs with firmware only");
        return;
    }
    ARM(s);
    plug_private_dimm(qts);
    DISARM(s);
    assert_log("guest RAM 'm1', 0x100000000 - 0x107ffffff");
    assert_log("share=on");
    g_assert_cmphex(timed_id(qts, 1000), ==, ID_VALUE);
}

/* What was refused is not unmapped: the BAR of the other device */
static void refuse_bar(Server *s, const Msg *request, Msg *reply)
{
    if (request->command == CMD_DMA_MAP && map_iova(request) == BAR_ADDRESS) {
        refuse(reply, EINVAL);
        qatomic_inc(&s->count);
    } else if (request->command == CMD_DMA_UNMAP &&
               map_iova(request) == BAR_ADDRESS) {
        refuse(reply, ENOENT);
        qatomic_add(&s->count, 1000);
    }
}

static const Case bar_case = { "bar", NULL, refuse_bar };

static void refused_unmap_run(QTestState *qts, Server *s)
{
    Server *peer = server_start(&bar_case);
    QDict *response = device_add(qts, peer, "d1", "rp0");
    int i;

    g_assert_cmpstr(error_desc(response), ==, NULL);
    qobject_unref(response);
    for (i = 0; i < 3; i++) {
        map_bar(qts, PCI_BASE_ADDRESS_0, BAR_ADDRESS);
        config_writel(qts, PCI_COMMAND, 0);
    }
    /* An answered read of the device ends what was under way to the peer */
    g_assert_cmpuint(qatomic_read(&peer->count), ==, 3);
    g_assert_cmpuint(log_count("refused DMA"), ==, 1);
    g_assert_cmpuint(log_count("refused to unmap"), ==, 0);
    server_stop(peer);
}

/* Requests of the server, while QEMU waits for it */

typedef enum Outcome {
    OUTCOME_NONE,
    OUTCOME_DONE,
    OUTCOME_REFUSED,
    OUTCOME_CONFUSED,   /* another message came in the place of the reply */
} Outcome;

/*
 * As libvfio-user does it: the reply has to be the next message.  A server of
 * that kind that finds something else has lost step and ends the connection.
 */
static Outcome server_dma(Server *s, uint16_t command, uint64_t address,
                          void *data, uint32_t count)
{
    static uint16_t id = 0x4000;
    g_autofree Msg *msg = g_new0(Msg, 1);
    uint16_t want = id++;

    msg->id = want;
    msg->command = command;
    msg->size = HDR_SIZE + 16;
    stq_le_p(msg->data, address);
    stq_le_p(msg->data + 8, count);
    if (command == CMD_DMA_WRITE) {
        memcpy(msg->data + 16, data, count);
        msg->size += count;
    }
    if (!send_msg(s, msg) || !recv_bytes(s->fd, msg, HDR_SIZE, msg) ||
        !(msg->flags & FLAG_REPLY) || msg->id != want) {
        server_hang_up(s);
        return OUTCOME_CONFUSED;
    }
    if (!recv_bytes(s->fd, msg->data, msg->size - HDR_SIZE, msg)) {
        server_hang_up(s);
        return OUTCOME_CONFUSED;
    }
    if (msg->flags & FLAG_ERROR) {
        return OUTCOME_REFUSED;
    }
    /* Both replies say what has been done */
    if (msg->size < HDR_SIZE + 16 || ldq_le_p(msg->data) != address ||
        ldq_le_p(msg->data + 8) != count) {
        return OUTCOME_NONE;
    }
    if (command == CMD_DMA_READ) {
        memcpy(data, msg->data + 16, count);
    }
    return OUTCOME_DONE;
}

/* The callback: one word of the guest is copied */
static void copy_word(Server *s)
{
    uint32_t word = 0;

    s->count = server_dma(s, CMD_DMA_READ, SOURCE, &word, 4);
    if (s->count == OUTCOME_DONE) {
        s->count = server_dma(s, CMD_DMA_WRITE, TARGET, &word, 4);
    }
}

static void copies_on_read(Server *s, const Msg *request, Msg *reply)
{
    if (is_id_read(request)) {
        copy_word(s);
    }
}

static void copies_on_write(Server *s, const Msg *request, Msg *reply)
{
    if (request->command == CMD_REGION_WRITE &&
        ldl_le_p(request->data + 8) == 2) {
        copy_word(s);
    }
}

static void prepare_copy(QTestState *qts)
{
    qtest_writel(qts, SOURCE, PATTERN);
    qtest_writel(qts, TARGET, 0);
}

static void read_copies_run(QTestState *qts, Server *s)
{
    config_writel(qts, PCI_COMMAND, PCI_COMMAND_MASTER);
    prepare_copy(qts);
    ARM(s);
    g_assert_cmphex(timed_id(qts, 1000), ==, ID_VALUE);
    DISARM(s);
    g_assert_cmpuint(s->count, ==, OUTCOME_DONE);
    g_assert_cmphex(qtest_readl(qts, TARGET), ==, PATTERN);
}

static void write_copies_run(QTestState *qts, Server *s)
{
    int64_t start;

    map_bar(qts, PCI_BASE_ADDRESS_2, BAR_ADDRESS);
    prepare_copy(qts);
    ARM(s);
    start = g_get_monotonic_time();
    qtest_writel(qts, BAR_ADDRESS + 0x200, 1);
    /* Right behind: what a server that waits for its reply must not see */
    g_assert_cmphex(config_readl(qts, PCI_VENDOR_ID), ==, ID_VALUE);
    g_assert_cmpint(g_get_monotonic_time() - start, <, 1000 * 1000);
    DISARM(s);
    g_assert_cmpuint(s->count, ==, OUTCOME_DONE);
    g_assert_cmphex(qtest_readl(qts, TARGET), ==, PATTERN);
    g_assert_cmpuint(log_count(LOST), ==, 0);
}

/* No region can be mapped, so that writes need no reply */
static void posts_writes(Server *s)
{
    s->posted = true;
}

static void note_posted(Server *s, const Msg *request, Msg *reply)
{
    if (request->command == CMD_REGION_WRITE &&
        request->flags & FLAG_NO_REPLY) {
        qatomic_inc(&s->count);
    }
}

/* What can do no DMA can't be confused */
static void still_posted_run(QTestState *qts, Server *s)
{
    int i;

    config_writel(qts, PCI_BASE_ADDRESS_2, BAR_ADDRESS);
    config_writel(qts, PCI_COMMAND, PCI_COMMAND_MEMORY);
    ARM(s);
    for (i = 0; i < 10; i++) {
        qtest_writel(qts, BAR_ADDRESS + 0x200, i);
    }
    g_assert_cmphex(timed_id(qts, 1000), ==, ID_VALUE);
    DISARM(s);
    g_assert_cmpuint(s->count, ==, 10);
}

/* Before realize has ended there is no DMA: said at once */
static void copies_early(Server *s, const Msg *request, Msg *reply)
{
    if (is_region(request, 3)) {
        copy_word(s);
    }
}

static const Case early_case = { "early", NULL, copies_early };

static void early_run(QTestState *qts, Server *s)
{
    Server *early = server_start(&early_case);
    int64_t start = g_get_monotonic_time();
    QDict *response = device_add(qts, early, "d1", "rp0");

    g_assert_cmpstr(error_desc(response), ==, NULL);
    qobject_unref(response);
    g_assert_cmpint(g_get_monotonic_time() - start, <, 2 * 1000 * 1000);
    g_assert_cmpuint(early->count, ==, OUTCOME_REFUSED);
    server_stop(early);
}

/* While the guest's memory changes, QEMU waits for the last of its requests */
static void copies_on_map(Server *s, const Msg *request, Msg *reply)
{
    /* The second area of BAR 0 is the last that is mapped */
    if (request->command == CMD_DMA_MAP &&
        map_iova(request) == BAR_ADDRESS + 32 * KiB) {
        copy_word(s);
    }
}

static const Case map_case = { "map", NULL, copies_on_map };

static void map_copies_run(QTestState *qts, Server *s)
{
    Server *peer = server_start(&map_case);
    QDict *response = device_add(qts, peer, "d1", "rp0");
    int64_t start;

    g_assert_cmpstr(error_desc(response), ==, NULL);
    qobject_unref(response);
    start = g_get_monotonic_time();
    map_bar(qts, PCI_BASE_ADDRESS_0, BAR_ADDRESS);
    config_writel(qts, PCI_COMMAND, 0);
    g_assert_cmpint(g_get_monotonic_time() - start, <, 2 * 1000 * 1000);
    g_assert_cmpuint(log_count(LOST), ==, 0);
    /* Not a bus master: refused, which is an answer */
    g_assert_cmpuint(peer->count, ==, OUTCOME_REFUSED);
    server_stop(peer);
}

/* A server that only ever asks does not make QEMU wait for longer */
static void asks_forever(Server *s, const Msg *request, Msg *reply)
{
    uint32_t word;

    if (is_id_read(request)) {
        while (qatomic_read(&s->armed) &&
               server_dma(s, CMD_DMA_READ, SOURCE, &word, 4) == OUTCOME_DONE) {
            s->maps++;
        }
        reply->drop = true;
    }
}

static void asks_forever_run(QTestState *qts, Server *s)
{
    config_writel(qts, PCI_COMMAND, PCI_COMMAND_MASTER);
    prepare_copy(qts);
    s->maps = 0;
    ARM(s);
    /* The timeout is what it was, whatever the server asks meanwhile */
    g_assert_cmphex(timed_id(qts, 8 * SHORT_TIMEOUT), ==, 0xffffffff);
    g_assert_cmpuint(qatomic_read(&s->maps), >, 0);
    DISARM(s);
}

/* Much is asked for in one callback: a copy of 32 MiB, 128 KiB at a time */
static void copies_much(Server *s, const Msg *request, Msg *reply)
{
    g_autofree uint8_t *buf = g_malloc(128 * KiB);
    unsigned i;

    if (!is_id_read(request)) {
        return;
    }
    for (i = 0; i < 256; i++) {
        uint64_t from = RAM_ADDRESS + 64 * MiB + i * 128 * KiB;
        uint64_t to = RAM_ADDRESS + 128 * MiB + i * 128 * KiB;

        s->count = server_dma(s, CMD_DMA_READ, from, buf, 128 * KiB);
        if (s->count == OUTCOME_DONE) {
            s->count = server_dma(s, CMD_DMA_WRITE, to, buf, 128 * KiB);
        }
        if (s->count != OUTCOME_DONE) {
            return;
        }
    }
}

static void much_run(QTestState *qts, Server *s)
{
    uint64_t last = 32 * MiB - 4;

    config_writel(qts, PCI_COMMAND, PCI_COMMAND_MASTER);
    qtest_writel(qts, RAM_ADDRESS + 64 * MiB + last, PATTERN);
    ARM(s);
    g_assert_cmphex(timed_id(qts, 4000), ==, ID_VALUE);
    DISARM(s);
    g_assert_cmpuint(s->count, ==, OUTCOME_DONE);
    g_assert_cmphex(qtest_readl(qts, RAM_ADDRESS + 128 * MiB + last), ==,
                    PATTERN);
}

/* To its own BAR: a request in a request */
static void copies_from_bar(Server *s, const Msg *request, Msg *reply)
{
    uint32_t word = 0;

    if (is_id_read(request)) {
        s->count = server_dma(s, CMD_DMA_WRITE, BAR_ADDRESS + 0x300, &word, 4);
    }
}

static void own_bar_run(QTestState *qts, Server *s)
{
    map_bar(qts, PCI_BASE_ADDRESS_2, BAR_ADDRESS);
    ARM(s);
    timed_id(qts, 3 * SHORT_TIMEOUT);
    DISARM(s);
}

static const Case cases[] = {
    { "map/rom-refused", NULL, refuse_fileless, NULL, NULL, rom_cold_run,
      .memory = RAM_SHARED, .early = true },
    { "map/rom-refused-hot", NULL, refuse_fileless, NULL, NULL, rom_hot_run,
      .memory = RAM_SHARED, .early = true },
    { "map/ram-refused", NULL, refuse_fileless, ADD_FAILS },
    { "map/ram-refused-shared", NULL, refuse_all, ADD_FAILS,
      .memory = RAM_SHARED },
    { "map/no-dma", NULL, refuse_all, NULL, NULL, no_dma_run,
      "\"x-require-dma\": false",
      .early = true },
    { "map/shared", NULL, note_maps, NULL, NULL, shared_run,
      .memory = RAM_SHARED, .early = true },
    { "map/private", NULL, note_maps, NULL, NULL, private_run,
      .memory = RAM_PRIVATE, .early = true },
    { "map/dimm-private", NULL, note_dimm, NULL, NULL, dimm_private_run,
      .memory = RAM_SHARED },
    { "map/dimm-refused", NULL, refuse_fileless, NULL, NULL, dimm_refused_run,
      .memory = RAM_SHARED },
    { "map/refused-not-unmapped", NULL, NULL, NULL, NULL, refused_unmap_run },

    { "request/in-read", NULL, copies_on_read, NULL, NULL, read_copies_run },
    { "request/in-write", NULL, copies_on_write, NULL, NULL,
      write_copies_run },
    { "request/in-posted-write", posts_writes, copies_on_write, NULL, NULL,
      write_copies_run },
    { "request/posted-without-dma", posts_writes, note_posted, NULL, NULL,
      still_posted_run },
    { "request/in-realize", NULL, NULL, NULL, NULL, early_run },
    { "request/in-map", NULL, NULL, NULL, NULL, map_copies_run },
    { "request/forever", NULL, asks_forever, NULL, NULL, asks_forever_run,
      NULL, SHORT_TIMEOUT },
    { "request/much", NULL, copies_much, NULL, NULL, much_run },
    { "request/own-bar", NULL, copies_from_bar, NULL, LOST, own_bar_run,
      NULL, SHORT_TIMEOUT },
};

static const Case ram_case = { "ram", NULL, refuse_fileless };
static const Case ram_shared_case = {
    "ram-shared", NULL, refuse_all, .memory = RAM_SHARED
};

int main(int argc, char **argv)
{
    if (server_tests_init(&argc, &argv)) {
        server_add_cases("dma", cases, ARRAY_SIZE(cases));
        qtest_add_data_func("/vfio-user/dma/map/ram-refused-cold", &ram_case,
                            test_ram_cold);
        qtest_add_data_func("/vfio-user/dma/map/ram-refused-shared-cold",
                            &ram_shared_case, test_ram_cold);
    }
    return server_tests_run();
}
