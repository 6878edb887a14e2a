// SPDX-License-Identifier: GPL-2.0-or-later
// A client that sends anything: bytes in pieces, with and without descriptors. An input is a byte
// that chooses the device, one that says in which pieces the bytes arrive and whether a handshake
// went before them, then the bytes. What comes back has to be whole vfio-user messages.
#include "fuzz/input.h"
#include "fuzz/subject.h"
#include "vfio_user/connection.h"

#include <sys/mman.h>

namespace type2::fuzz {
namespace {

using vfio_user::Clock;
using vfio_user::MemoryTransport;

void send(MemoryTransport &to, ByteView bytes, std::span<const int> fds = {}) {
    while (!bytes.empty()) {
        const auto sent = to.send(bytes, fds);
        if (!sent || *sent == 0) {
            return;
        }
        bytes = bytes.subspan(*sent);
        fds = {};
    }
}

void handshake(MemoryTransport &to) {
    Bytes message;
    append(message,
           vfio_user::Header{.id = 0,
                             .command = static_cast<std::uint16_t>(vfio_user::Command::Version),
                             .size = sizeof(vfio_user::Header) + 4,
                             .flags = 0,
                             .error = 0});
    append(message, std::uint16_t{0}); // major
    append(message, std::uint16_t{1}); // minor
    send(to, message);
}

// Both sides until neither has anything to say.
void talk(vfio_user::Connection &connection, Subject &subject, MemoryTransport &client) {
    vfio_user::FrameReader replies;
    // Time stands still: what is delayed stays so, and nothing waits.
    const Clock::time_point now{};
    for (bool busy = true; busy;) {
        const auto pumped = connection.pump(now);
        const bool alive = pumped && connection.flush(now);
        busy = subject.device().work() || pumped.value_or(false);
        subject.check();
        for (;;) {
            const auto message = replies.next(client);
            if (!message) {
                if (alive) {
                    finding("what the server sends is no message");
                }
                return;
            }
            if (!*message) {
                break;
            }
        }
        if (!alive) {
            return;
        }
    }
}

void converse(Input &input) {
    Subject subject(input.take<std::uint8_t>());
    const auto how = input.take<std::uint8_t>();
    auto [server, client] = MemoryTransport::pair();
    if ((how & 0x0f) != 0) {
        server->set_chunk(how & 0x0f);
    }
    vfio_user::Connection connection(std::move(server), subject.device(), nullptr,
                                     [](const vfio_user::LogEntry &) {});
    if ((how & 0x10) != 0) {
        handshake(*client);
        talk(connection, subject, *client);
    }
    // A file to map, for a message that says it comes with one.
    const UniqueFd file((how & 0x20) != 0 ? memfd_create("fuzz", MFD_CLOEXEC) : -1);
    if (file && ftruncate(file.get(), 1 << 20) != 0) {
        finding("no file");
    }
    while (!input.empty()) {
        const auto some = input.bytes((how & 0x40) != 0 ? 64 : SIZE_MAX);
        const int fd = file.get();
        send(*client, some, file ? std::span(&fd, 1) : std::span<const int>());
        talk(connection, subject, *client);
    }
}

} // namespace
} // namespace type2::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    type2::fuzz::Input input(data, size);
    type2::fuzz::converse(input);
    return 0;
}
