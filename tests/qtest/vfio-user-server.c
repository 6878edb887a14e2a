/*
 * A vfio-user server in a thread of a test, and QEMU with its device
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include "qapi/error.h"
#include "qemu/memfd.h"
#include "qemu/sockets.h"
#include "vfio-user-server.h"

static char *tmpdir;
static char *log_path;
static char *bios_path;

/* The device */

void put_cap(Server *s, unsigned pos, uint8_t id, uint8_t next)
{
    s->config[pos] = id;
    s->config[pos + 1] = next;
}

void put_ext_cap(Server *s, unsigned pos, uint16_t id, unsigned next)
{
    stl_le_p(s->config + pos, id | 1 << 16 | next << 20);
}

static void server_init_device(Server *s)
{
    uint8_t *c = s->config;

    memset(c, 0, sizeof(s->config));
    stw_le_p(c + PCI_VENDOR_ID, 0x1234);
    stw_le_p(c + PCI_DEVICE_ID, 0x5678);
    stw_le_p(c + PCI_STATUS, PCI_STATUS_CAP_LIST);
    stl_le_p(c + PCI_CLASS_REVISION, 0x12000001);
    c[PCI_INTERRUPT_PIN] = 1;
    c[PCI_CAPABILITY_LIST] = 0x40;
    put_cap(s, 0x40, PCI_CAP_ID_PM, 0x50);
    put_cap(s, 0x50, PCI_CAP_ID_MSIX, 0x60);
    stw_le_p(c + 0x52, 3);
    stl_le_p(c + 0x54, 2);
    stl_le_p(c + 0x58, 0x800 | 2);
    put_cap(s, 0x60, PCI_CAP_ID_EXP, 0xa0);
    stw_le_p(c + 0x62, 2);
    put_cap(s, 0xa0, PCI_CAP_ID_MSI, 0);
    stw_le_p(c + 0xa2, PCI_MSI_FLAGS_64BIT);
    put_ext_cap(s, 0x100, PCI_EXT_CAP_ID_DSN, 0x140);
    put_ext_cap(s, 0x140, PCI_EXT_CAP_ID_VNDR, 0);

    memset(s->region_size, 0, sizeof(s->region_size));
    s->region_size[0] = BAR_SIZE;
    s->region_size[2] = 4 * KiB;
    s->region_size[CONFIG] = PCI_CFG_SPACE_EXP_SIZE;
    stl_le_p(c + PCI_BASE_ADDRESS_0, PCI_BASE_ADDRESS_MEM_TYPE_64);
    s->caps = "{\"capabilities\":{\"max_msg_fds\":8}}";
}

struct vfio_region_info *reply_region(Msg *reply)
{
    return (struct vfio_region_info *)reply->data;
}

static void answer_version(Server *s, Msg *reply)
{
    stw_le_p(reply->data, 0);
    stw_le_p(reply->data + 2, 0);
    strcpy((char *)reply->data + 4, s->caps);
    reply->size = HDR_SIZE + 4 + strlen(s->caps) + 1;
}

/* BAR 0 comes with a file, two areas, and a capability that nobody knows */
static void answer_region_info(Server *s, const Msg *request, Msg *reply)
{
    const struct vfio_region_info *asked = (const void *)request->data;
    struct vfio_region_info *info = reply_region(reply);
    struct vfio_region_info_cap_sparse_mmap *sparse = (void *)(info + 1);
    struct vfio_info_cap_header *unknown = (void *)&sparse->areas[2];

    memset(info, 0, 4096);
    info->argsz = sizeof(*info);
    info->index = asked->index;
    info->size = asked->index < NUM_REGIONS ? s->region_size[asked->index] : 0;
    info->flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
    if (info->index == 0 && !s->posted) {
        info->flags |= VFIO_REGION_INFO_FLAG_MMAP |
                       VFIO_REGION_INFO_FLAG_CAPS;
        info->argsz = sizeof(*info) + sizeof(*sparse) +
                      2 * sizeof(sparse->areas[0]) + 16;
        info->cap_offset = sizeof(*info);
        sparse->header.id = VFIO_REGION_INFO_CAP_SPARSE_MMAP;
        sparse->header.version = 1;
        sparse->header.next = (char *)unknown - (char *)info;
        sparse->nr_areas = 2;
        sparse->areas[0].offset = 0;
        sparse->areas[0].size = 16 * KiB;
        sparse->areas[1].offset = 32 * KiB;
        sparse->areas[1].size = 32 * KiB;
        unknown->id = 0x7777;
        unknown->version = 1;
        reply->fds[reply->num_fds++] = s->mem_fd;
    }
    reply->size = HDR_SIZE + MIN(info->argsz, asked->argsz);
}

static void answer_region_rw(Server *s, const Msg *request, Msg *reply)
{
    uint64_t offset = ldq_le_p(request->data);
    uint32_t region = ldl_le_p(request->data + 8);
    uint32_t count = ldl_le_p(request->data + 12);
    bool in_config = region == CONFIG && offset <= sizeof(s->config) &&
                     count <= sizeof(s->config) - offset;

    g_assert_cmpuint(count, <=, MAX_MSG - 16);
    memcpy(reply->data, request->data, 16);
    if (request->command == CMD_REGION_READ) {
        memset(reply->data + 16, 0x5a, count);
        if (in_config) {
            memcpy(reply->data + 16, s->config + offset, count);
        }
        reply->size = HDR_SIZE + 16 + count;
        return;
    }
    if (in_config && offset == PCI_COMMAND) {
        memcpy(s->config + offset, request->data + 16, MIN(count, 2));
    } else if (in_config && offset == PCI_ROM_ADDRESS && count == 4) {
        stl_le_p(s->config + offset,
                 ldl_le_p(request->data + 16) & s->rom_mask);
    }
    reply->size = HDR_SIZE + 16;
}

static void server_answer(Server *s, const Msg *request, Msg *reply)
{
    uint32_t index;

    memset(reply, 0, offsetof(Msg, data));
    memset(reply->fds, 0, sizeof(Msg) - offsetof(Msg, fds));
    reply->id = request->id;
    reply->command = request->command;
    reply->flags = FLAG_REPLY;
    reply->size = HDR_SIZE;

    switch (request->command) {
    case CMD_VERSION:
        answer_version(s, reply);
        break;
    case CMD_GET_INFO:
        stl_le_p(reply->data, 16);
        stl_le_p(reply->data + 4,
                 VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET);
        stl_le_p(reply->data + 8, NUM_REGIONS);
        stl_le_p(reply->data + 12, VFIO_PCI_NUM_IRQS);
        reply->size = HDR_SIZE + 16;
        break;
    case CMD_GET_REGION_INFO:
        answer_region_info(s, request, reply);
        break;
    case CMD_GET_IRQ_INFO:
        memcpy(reply->data, request->data, 16);
        index = ldl_le_p(request->data + 8);
        stl_le_p(reply->data + 4, VFIO_IRQ_INFO_EVENTFD);
        stl_le_p(reply->data + 12, index == VFIO_PCI_MSIX_IRQ_INDEX ? 4 :
                                   index <= VFIO_PCI_MSI_IRQ_INDEX);
        reply->size = HDR_SIZE + 16;
        break;
    case CMD_REGION_READ:
    case CMD_REGION_WRITE:
        answer_region_rw(s, request, reply);
        break;
    case CMD_DMA_MAP:
        qatomic_inc(&s->maps);
        break;
    default:
        break;
    }
}

/* The socket */

static bool send_bytes(int fd, const void *buf, size_t len, int *fds, int n)
{
    char control[CMSG_SPACE(sizeof(int) * MAX_FDS)] = { 0 };
    struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (n) {
        struct cmsghdr *cmsg;

        msg.msg_control = control;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * n);
        cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int) * n);
        memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * n);
    }
    while (iov.iov_len) {
        ssize_t ret = sendmsg(fd, &msg, MSG_NOSIGNAL);

        if (ret <= 0) {
            return false;
        }
        iov.iov_base = (char *)iov.iov_base + ret;
        iov.iov_len -= ret;
        msg.msg_controllen = 0;
    }
    return true;
}

bool send_msg(Server *s, Msg *msg)
{
    uint32_t len = MAX(MIN(msg->size, HDR_SIZE + MAX_MSG), HDR_SIZE);
    uint32_t first = msg->split ?: len;

    if (msg->delay_ms && !msg->split) {
        g_usleep(msg->delay_ms * 1000);
    }
    if (!send_bytes(s->fd, msg, first, msg->fds, msg->num_fds)) {
        return false;
    }
    if (first == len) {
        return true;
    }
    g_usleep(msg->delay_ms * 1000);
    return send_bytes(s->fd, (char *)msg + first, len - first, NULL, 0);
}

/* File descriptors that come along: eventfds, guest memory */
bool recv_bytes(int fd, void *buf, size_t len, Msg *received)
{
    while (len) {
        char control[CMSG_SPACE(sizeof(int) * MAX_FDS)];
        struct iovec iov = { .iov_base = buf, .iov_len = len };
        struct msghdr msg = {
            .msg_iov = &iov,
            .msg_iovlen = 1,
            .msg_control = control,
            .msg_controllen = sizeof(control),
        };
        ssize_t ret = recvmsg(fd, &msg, 0);
        struct cmsghdr *cmsg;

        if (ret <= 0) {
            return false;
        }
        for (cmsg = CMSG_FIRSTHDR(&msg); cmsg; cmsg = CMSG_NXTHDR(&msg, cmsg)) {
            size_t n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            const int *fds = (const int *)CMSG_DATA(cmsg);

            while (n--) {
                if (received->num_fds < MAX_FDS) {
                    received->fds[received->num_fds++] = fds[n];
                } else {
                    close(fds[n]);
                }
            }
        }
        buf = (char *)buf + ret;
        len -= ret;
    }
    return true;
}

static void close_fds(Msg *msg)
{
    while (msg->num_fds) {
        close(msg->fds[--msg->num_fds]);
    }
}

static void server_serve(Server *s)
{
    Msg *request = &s->request;
    Msg *reply = &s->reply;

    for (;;) {
        close_fds(request);
        if (!recv_bytes(s->fd, request, HDR_SIZE, request) ||
            request->size > HDR_SIZE + MAX_MSG ||
            !recv_bytes(s->fd, request->data, request->size - HDR_SIZE,
                        request)) {
            close_fds(request);
            return;
        }
        /* The answer to a request of ours */
        if (request->flags & FLAG_REPLY) {
            qatomic_inc(&s->replies);
            continue;
        }
        server_answer(s, request, reply);
        if (qatomic_read(&s->armed) && s->test->answer) {
            s->test->answer(s, request, reply);
        }
        /* answer() may have ended the connection */
        if (s->fd < 0) {
            close_fds(request);
            return;
        }
        if (reply->drop || request->flags & FLAG_NO_REPLY) {
            continue;
        }
        if (!send_msg(s, reply) || (reply->twice && !send_msg(s, reply))) {
            close_fds(request);
            return;
        }
    }
}

void server_hang_up(Server *s)
{
    int fd = qatomic_xchg(&s->fd, -1);

    if (fd >= 0) {
        shutdown(fd, SHUT_RDWR);
        close(fd);
    }
}

static void *server_thread(void *opaque)
{
    Server *s = opaque;

    while (!qatomic_read(&s->stop)) {
        int fd = accept(s->listen_fd, NULL, NULL);

        if (fd < 0) {
            break;
        }
        qatomic_set(&s->fd, fd);
        server_serve(s);
        server_hang_up(s);
    }
    return NULL;
}

Server *server_start(const Case *test)
{
    static unsigned number;
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    Server *s = g_new0(Server, 1);

    s->test = test;
    s->fd = -1;
    s->path = g_strdup_printf("%s/sock%u", tmpdir, number++);
    s->mem_fd = qemu_memfd_create("bar0", BAR_SIZE, false, 0,
                                  F_SEAL_SHRINK | F_SEAL_GROW, &error_abort);
    server_init_device(s);
    if (test->setup) {
        test->setup(s);
    }
    s->armed = true;

    s->listen_fd = socket(AF_UNIX, SOCK_STREAM, 0);
    g_assert_cmpint(s->listen_fd, >=, 0);
    g_strlcpy(addr.sun_path, s->path, sizeof(addr.sun_path));
    g_assert(!bind(s->listen_fd, (struct sockaddr *)&addr, sizeof(addr)));
    g_assert(!listen(s->listen_fd, 1));
    s->thread = g_thread_new("server", server_thread, s);
    return s;
}

void server_stop(Server *s)
{
    int fd;

    qatomic_set(&s->stop, true);
    shutdown(s->listen_fd, SHUT_RDWR);
    fd = qatomic_read(&s->fd);
    if (fd >= 0) {
        shutdown(fd, SHUT_RDWR);
    }
    g_thread_join(s->thread);
    close(s->listen_fd);
    close(s->mem_fd);
    unlink(s->path);
    g_free(s->path);
    g_free(s);
}

/* QEMU */

bool is_x86(void)
{
    return g_str_equal(qtest_get_arch(), "x86_64") ||
           g_str_equal(qtest_get_arch(), "i386");
}

static char *device_json(Server *s, const char *more)
{
    return g_strdup_printf("{\"driver\": \"vfio-user-pci\", %s\"socket\": "
                           "{\"type\": \"unix\", \"path\": \"%s\"}%s%s, "
                           "\"x-msg-timeout\": %u}", more, s->path,
                           s->test->options ? ", " : "",
                           s->test->options ?: "",
                           s->test->timeout ?: LONG_TIMEOUT);
}

static char *command_line(Server *s, const char *memory)
{
    g_autofree char *json = s ? device_json(s, "\"bus\": \"pcie.0\", "
                                            "\"addr\": \"5\", ") : NULL;

    /* No CPU runs, and no firmware: hotplug is the root port's own */
    g_autofree char *machine =
        is_x86() ? g_strdup_printf("q35 -bios %s -global ICH9-LPC."
                                   "acpi-pci-hotplug-with-bridge-support=off",
                                   bios_path)
                 : g_strdup("virt,highmem-ecam=off");

    return g_strdup_printf("-nodefaults -M %s %s "
                           "-device pcie-root-port,id=rp0,chassis=1 "
                           "-device pcie-root-port,id=rp1,chassis=2 "
                           "%s%s%s 2>%s", machine,
                           memory ?: "-m 256M,slots=2,maxmem=1G",
                           s ? "-device '" : "", json ?: "", s ? "'" : "",
                           log_path);
}

QTestState *start_qemu(Server *s, const char *memory)
{
    g_autofree char *args = command_line(s, memory);

    return qtest_init(args);
}

char *cold_start(Server *s, const char *memory)
{
    g_autofree char *args = command_line(s, memory);
    g_autofree char *command =
        g_strdup_printf("exec %s -accel qtest -display none %s",
                        getenv("QTEST_QEMU_BINARY"), args);
    int status = system(command);
    char *log;

    g_assert(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 1);
    g_assert(g_file_get_contents(log_path, &log, NULL, NULL));
    return log;
}

QDict *device_add(QTestState *qts, Server *s, const char *id,
                         const char *bus)
{
    g_autofree char *more = g_strdup_printf("\"id\": \"%s\", \"bus\": \"%s\", ",
                                            id, bus);
    g_autofree char *json = device_json(s, more);

    qtest_qmp_send_raw(qts, "{\"execute\": \"device_add\", "
                       "\"arguments\": %s}\n", json);
    return qtest_qmp_receive(qts);
}

const char *error_desc(QDict *response)
{
    return qdict_haskey(response, "error") ?
           qdict_get_str(qdict_get_qdict(response, "error"), "desc") : NULL;
}

unsigned log_count(const char *text)
{
    g_autofree char *log = NULL;
    unsigned n = 0;
    char *at;

    g_assert(g_file_get_contents(log_path, &log, NULL, NULL));
    for (at = log; (at = strstr(at, text)); at++) {
        n++;
    }
    return n;
}

void assert_log(const char *text)
{
    g_autofree char *log = NULL;
    int i;

    for (i = 0; i < 300; i++) {
        if (log_count(text)) {
            return;
        }
        g_usleep(100 * 1000);
    }
    g_file_get_contents(log_path, &log, NULL, NULL);
    g_test_message("%s, expected: %s", log, text);
    g_assert_not_reached();
}

unsigned count_fds(QTestState *qts)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/fd", qtest_pid(qts));
    GDir *dir = g_dir_open(path, 0, NULL);
    unsigned n = 0;

    g_assert(dir);
    while (g_dir_read_name(dir)) {
        n++;
    }
    g_dir_close(dir);
    return n;
}

unsigned resident_kib(QTestState *qts)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/statm", qtest_pid(qts));
    g_autofree char *text = NULL;
    unsigned long size, resident;

    g_assert(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_cmpint(sscanf(text, "%lu %lu", &size, &resident), ==, 2);
    return resident * (qemu_real_host_page_size() / KiB);
}

static const Case good_case = { .name = "good" };

void assert_healthy(QTestState *qts)
{
    Server *s = server_start(&good_case);
    QDict *response;

    qtest_qmp_assert_success(qts, "{'execute': 'query-status'}");
    response = device_add(qts, s, "good", "rp1");
    g_assert_cmpstr(error_desc(response), ==, NULL);
    qobject_unref(response);
    qtest_qmp_assert_success(qts, "{'execute': 'system_reset'}");
    qtest_qmp_eventwait(qts, "RESET");
    qtest_qmp_assert_success(qts, "{'execute': 'query-status'}");
    server_stop(s);
}

static uint64_t ecam(unsigned offset)
{
    return 0x3f000000 + (5 << 15) + offset;
}

uint32_t config_readl(QTestState *qts, unsigned offset)
{
    if (is_x86()) {
        qtest_outl(qts, 0xcf8, 0x80000000 | 5 << 11 | offset);
        return qtest_inl(qts, 0xcfc);
    }
    return qtest_readl(qts, ecam(offset));
}

void config_writel(QTestState *qts, unsigned offset, uint32_t value)
{
    if (is_x86()) {
        qtest_outl(qts, 0xcf8, 0x80000000 | 5 << 11 | offset);
        qtest_outl(qts, 0xcfc, value);
    } else {
        qtest_writel(qts, ecam(offset), value);
    }
}

void map_bar(QTestState *qts, unsigned reg, uint32_t value)
{
    config_writel(qts, reg, value);
    config_writel(qts, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

uint32_t timed_id(QTestState *qts, unsigned limit_ms)
{
    int64_t start = g_get_monotonic_time();
    uint32_t value = config_readl(qts, PCI_VENDOR_ID);

    g_assert_cmpint(g_get_monotonic_time() - start, <, limit_ms * 1000);
    return value;
}

/* Running a case */

void run_device_add(QTestState *qts, Server *s)
{
    const Case *test = s->test;
    int64_t start = g_get_monotonic_time();
    QDict *response = device_add(qts, s, "d0", "rp0");
    const char *desc = error_desc(response);

    if (!test->error) {
        g_assert_cmpstr(desc, ==, NULL);
    } else {
        if (!desc || !strstr(desc, test->error)) {
            g_test_message("error: %s, expected: %s", desc, test->error);
        }
        g_assert_nonnull(desc);
        g_assert_nonnull(strstr(desc, test->error));
        g_assert_nonnull(strstr(desc, s->path));
        /* Nobody waited for a timeout that is not the subject of the case */
        if (!test->timeout) {
            g_assert_cmpint(g_get_monotonic_time() - start, <, 4 * 1000 * 1000);
        }
    }
    qobject_unref(response);
}

void run_case(const void *data)
{
    const Case *test = data;
    Server *s = server_start(test);
    QTestState *qts;

    /* A QEMU that hangs does not let us wait */
    alarm(60);
    if (test->run) {
        qatomic_set(&s->armed, test->early);
        qts = start_qemu(s, test->memory);
        test->run(qts, s);
    } else {
        qts = start_qemu(NULL, test->memory);
        run_device_add(qts, s);
    }
    if (test->log) {
        assert_log(test->log);
    }
    assert_healthy(qts);
    qtest_quit(qts);
    server_stop(s);
    alarm(0);
}

/* Region information */

bool is_region(const Msg *request, uint32_t index)
{
    return request->command == CMD_GET_REGION_INFO &&
           reply_region((Msg *)request)->index == index;
}

/* BAR 0 with its capabilities */
struct vfio_region_info *bar0_info(const Msg *request, Msg *reply)
{
    struct vfio_region_info *info = reply_region(reply);

    return is_region(request, 0) && reply->size >= HDR_SIZE + info->argsz ?
           info : NULL;
}

bool is_id_read(const Msg *request)
{
    return request->command == CMD_REGION_READ &&
           ldl_le_p(request->data + 8) == CONFIG &&
           ldq_le_p(request->data) == PCI_VENDOR_ID;
}

/* The program */

bool server_tests_init(int *argc, char ***argv)
{
    g_autofree char *bios = g_malloc0(64 * KiB);

    g_test_init(argc, argv, NULL);
    if (!qtest_has_device("vfio-user-pci") ||
        !qtest_has_machine(is_x86() ? "q35" : "virt")) {
        g_test_skip("vfio-user-pci or the machine is not there");
        return false;
    }

    tmpdir = g_dir_make_tmp("vfio-user-XXXXXX", NULL);
    g_assert_nonnull(tmpdir);
    log_path = g_strdup_printf("%s/log", tmpdir);
    bios_path = g_strdup_printf("%s/bios", tmpdir);
    g_assert(g_file_set_contents(bios_path, bios, 64 * KiB, NULL));
    return true;
}

void server_add_cases(const char *group, const Case *cases, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        g_autofree char *path = g_strdup_printf("/vfio-user/%s/%s", group,
                                                cases[i].name);

        qtest_add_data_func(path, &cases[i], run_case);
    }
}

int server_tests_run(void)
{
    int ret = g_test_run();

    if (tmpdir) {
        unlink(log_path);
        unlink(bios_path);
        rmdir(tmpdir);
    }
    return ret;
}
