// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/unix_socket.h"

#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace type2 {

namespace {

constexpr int ListenBacklog = 4;

Result<sockaddr_un> unix_address(const std::string &path) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof(address.sun_path)) {
        return fail(ENAMETOOLONG, fmt::format("socket path '{}' must have 1 to {} characters", path,
                                              sizeof(address.sun_path) - 1));
    }
    std::memcpy(address.sun_path, path.data(), path.size());
    return address;
}

tl::unexpected<Error> fail_path(const char *what, const std::string &path) {
    const int code = errno;
    return fail(code, fmt::format("cannot {} '{}': {}", what, path, std::strerror(code)));
}

const sockaddr *generic(const sockaddr_un *address) {
    return reinterpret_cast<const sockaddr *>(address);
}

} // namespace

Result<UniqueFd> connect_unix(const std::string &path) {
    const auto address = unix_address(path);
    if (!address) {
        return tl::unexpected(address.error());
    }
    UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd || connect(fd.get(), generic(&*address), sizeof(*address)) != 0) {
        return fail_path("connect to", path);
    }
    return fd;
}

Result<UniqueFd> listen_unix(const std::string &path) {
    const auto address = unix_address(path);
    if (!address) {
        return tl::unexpected(address.error());
    }
    struct stat there = {};
    if (lstat(path.c_str(), &there) == 0) {
        if (!S_ISSOCK(there.st_mode)) {
            return fail(EEXIST, fmt::format("'{}' exists and is not a socket", path));
        }
        if (connect_unix(path)) {
            return fail(EADDRINUSE, fmt::format("another process listens on '{}'", path));
        }
        unlink(path.c_str());
    }
    UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd || bind(fd.get(), generic(&*address), sizeof(*address)) != 0 ||
        listen(fd.get(), ListenBacklog) != 0) {
        return fail_path("listen on", path);
    }
    return fd;
}

} // namespace type2
