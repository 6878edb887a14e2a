// SPDX-License-Identifier: GPL-2.0-or-later
// cxl-type2-ctl: sends one command to a model's control socket and prints the reply.
#include "base/unix_socket.h"

#include <array>
#include <fmt/format.h>
#include <string>
#include <string_view>
#include <sys/socket.h>

namespace {

constexpr const char *Usage =
    "usage: cxl-type2-ctl PATH COMMAND [ARG...]\n"
    "Sends one command to the control socket PATH of a cxl-type2-model and prints its reply.\n"
    "  peek OFFSET LENGTH   device memory as hexadecimal bytes\n"
    "  poke OFFSET HEX      write device memory\n"
    "  state                decoders, DVSEC, resets, mappings, interrupts as JSON\n"
    "  maps                 DMA mappings as JSON\n"
    "  log                  messages received since the last log, as JSON\n"
    "  irq VECTOR           raise an MSI-X interrupt\n"
    "  busy 0|1             1: answer no access to memory, as after a slow reset; 0: again\n"
    "Exit status: 0, or 1 when the model answers with an error or cannot be reached.\n";

int complain(const std::string &text) {
    fmt::print(stderr, "cxl-type2-ctl: {}\n", text);
    return 1;
}

} // namespace

int main(int argc, char **argv) {
    if (argc == 2 && std::string_view(argv[1]) == "--help") {
        fmt::print("{}", Usage);
        return 0;
    }
    if (argc == 2 && std::string_view(argv[1]) == "--version") {
        fmt::print("cxl-type2-ctl {}\n", TYPE2_VERSION);
        return 0;
    }
    if (argc < 3) {
        fmt::print(stderr, "{}", Usage);
        return 1;
    }
    const auto fd = type2::connect_unix(argv[1]);
    if (!fd) {
        return complain(fd.error().text);
    }
    std::string line;
    for (int i = 2; i < argc; ++i) {
        line += (i > 2 ? " " : "") + std::string(argv[i]);
    }
    line += '\n';
    for (std::string_view left = line; !left.empty();) {
        const ssize_t put = send(fd->get(), left.data(), left.size(), MSG_NOSIGNAL);
        if (put < 0) {
            return complain("the model hung up");
        }
        left.remove_prefix(static_cast<std::size_t>(put));
    }
    std::string reply;
    std::array<char, 65536> buffer = {};
    while (reply.empty() || reply.back() != '\n') {
        const ssize_t got = recv(fd->get(), buffer.data(), buffer.size(), 0);
        if (got <= 0) {
            return complain("the model hung up");
        }
        reply.append(buffer.data(), static_cast<std::size_t>(got));
    }
    fmt::print("{}", reply);
    return reply.starts_with("error:") ? 1 : 0;
}
