// SPDX-License-Identifier: GPL-2.0-or-later
// A device, a connection and a client in one process, over the in-memory transport.
#pragma once

#include "model/device/config.h"
#include "model/device/control.h"
#include "model/device/device.h"
#include "vfio_user/client.h"
#include "vfio_user/connection.h"

#include <gtest/gtest.h>
#include <memory>

namespace type2::test {

template <typename T> T value_of(Result<T> result) {
    EXPECT_TRUE(result.has_value()) << (result ? "" : result.error().text);
    return std::move(*result);
}

template <typename T> int code_of(const Result<T> &result) {
    return result ? 0 : result.error().code;
}

/// A validated Config; decoder sizes follow from hdm_size.
inline device::Config valid(device::Config config = {}) {
    const auto checked = device::validate(config, false, false);
    EXPECT_TRUE(checked.has_value()) << (checked ? "" : checked.error().text);
    return checked.value_or(config);
}

/// A whole message.
inline Bytes framed(std::uint16_t id, vfio_user::Command command, std::uint32_t flags,
                    ByteView body) {
    using vfio_user::Header;
    Bytes bytes;
    append(bytes, Header{id, static_cast<std::uint16_t>(command),
                         static_cast<std::uint32_t>(sizeof(Header) + body.size()), flags, 0});
    bytes.insert(bytes.end(), body.begin(), body.end());
    return bytes;
}

class Harness {
  public:
    explicit Harness(const device::Config &config = valid(), bool negotiate = true,
                     vfio_user::ReplyFilter *filter = nullptr, const device::Quirks &quirks = {}) {
        device = std::move(*device::Device::create(config, quirks));
        auto [here, there] = vfio_user::MemoryTransport::pair();
        server_end = here.get();
        client_end = there.get();
        connection = std::make_unique<vfio_user::Connection>(
            std::move(here), *device, filter,
            [this](const vfio_user::LogEntry &entry) { log.add(entry); });
        client = std::make_unique<vfio_user::Client>(
            std::move(there), [this](auto until) { return progress(until); },
            [this] { return now; });
        client->set_timeout(std::chrono::milliseconds(200));
        if (negotiate) {
            EXPECT_TRUE(client->negotiate().has_value());
        }
    }

    /// Lets the server do all that it has to do now.
    void settle() {
        for (bool more = true; more;) {
            const auto pumped = connection ? connection->pump(now) : Result<bool>(false);
            if (!pumped) {
                connection.reset(); // hangs up: the client sees ECONNRESET after what was sent
            }
            more = pumped.value_or(false);
            while (device->work()) {
            }
            if (connection) {
                (void)connection->flush(now);
            }
        }
    }

    /// What the client waits with: false if nothing comes for it until then. No time passes but
    /// here, and only to when the server has something to do, so that nothing depends on how fast
    /// the machine is.
    bool progress(vfio_user::Clock::time_point until) {
        settle();
        while (!client_end->readable()) {
            const auto due = connection ? connection->deadline() : std::nullopt;
            if (!due || *due > until) {
                now = until;
                return false;
            }
            now = *due;
            settle();
        }
        return true;
    }

    std::uint32_t read32(std::uint32_t region, std::uint64_t offset) {
        std::uint32_t value = 0;
        const auto got = client->read(region, offset, std::as_writable_bytes(std::span(&value, 1)));
        EXPECT_TRUE(got && *got == 4) << (got ? "short" : got.error().text);
        return value;
    }
    template <typename T> int write(std::uint32_t region, std::uint64_t offset, T value) {
        return code_of(client->write(region, offset, std::as_bytes(std::span(&value, 1))));
    }
    /// errno of a read of `count` bytes, 0 on success.
    int read_code(std::uint32_t region, std::uint64_t offset, std::size_t count) {
        Bytes bytes(count);
        return code_of(client->read(region, offset, bytes));
    }
    std::string control(std::string_view line) { return run_command(*device, log, line); }

    std::unique_ptr<device::Device> device;
    device::MessageLog log;
    vfio_user::Clock::time_point now{}; ///< what all of it takes for the time
    vfio_user::MemoryTransport *server_end = nullptr;
    vfio_user::MemoryTransport *client_end = nullptr; ///< as long as there is a client
    std::unique_ptr<vfio_user::Connection> connection;
    std::unique_ptr<vfio_user::Client> client;
};

} // namespace type2::test
