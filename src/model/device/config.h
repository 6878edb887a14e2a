// SPDX-License-Identifier: GPL-2.0-or-later
// What a model device is made of: the command line's options, and the lies told about them.
#pragma once

#include "base/result.h"
#include "base/size.h"
#include "model/contract/contract.h"

#include <chrono>
#include <cstdint>
#include <string>

namespace type2::device {

using ContractKind = contract::Kind;

struct Config {
    std::uint64_t hdm_size = 256 * MiB; ///< the memory region: all decoders, and what they skip
    ContractKind contract = ContractKind::Live;
    std::uint16_t vendor_id = 0x1234;
    std::uint16_t device_id = 0xc2a1;
    std::uint64_t bar_size = 1 * MiB;
    unsigned decoders = 1;
    std::uint64_t decoder_size = 0;      ///< of each; 0: what hdm_size gives each
    std::uint64_t decoder_skip = 0;      ///< device memory that each leaves out in front of its own
    bool uncommitted = false;            ///< firmware left the decoders alone
    bool memory_without_decoder = false; ///< and the memory answers all the same
    bool memory_follows_space = false;   ///< it does not answer with memory space off
    std::chrono::milliseconds active_after{0}; ///< how long after a reset the memory is active
    std::uint64_t page_size = 4 * KiB;
    std::uint64_t host_base = 0x424240000000; ///< where the host decodes the memory
    bool cache = true;                        ///< CXL.cache capable, as Type-2 devices are
};

/// The fixed parts of the device's layout.
inline constexpr std::uint32_t ClassCode = 0x120000; ///< processing accelerator
inline constexpr unsigned ComponentBar = 0;
inline constexpr std::uint64_t ComponentOffset = 0x10000;
inline constexpr unsigned EngineBar = 2;
inline constexpr std::uint64_t EngineBarSize = 64 * KiB;
inline constexpr std::uint16_t MsixVectors = 8;
inline constexpr std::uint32_t MsixTableOffset = 0;
inline constexpr std::uint32_t MsixPbaOffset = 0x8000;
inline constexpr std::uint64_t MinBarSize = 256 * KiB;
inline constexpr std::uint64_t MaxBarSize = 1ULL << 40;
inline constexpr std::uint64_t MaxHdmSize = 1ULL << 46;
inline constexpr std::uint64_t MaxAddress = 1ULL << 52; ///< host physical addresses end here

/// Device memory in front of the memory region: what decoder 0 skips, or nothing.
constexpr std::uint64_t hidden(const Config &config) {
    return contract::memory_begins_at_decoder0(config.contract) ? config.decoder_skip : 0;
}

/// Device memory that the decoders leave out, of what the memory region shows.
constexpr std::uint64_t skipped(const Config &config) {
    return config.decoders * config.decoder_skip - hidden(config);
}

/// Device memory as its decoders count it, from the first byte on, shown or not.
constexpr std::uint64_t capacity(const Config &config) {
    return config.hdm_size + hidden(config);
}

/// Checks the options against each other and fills in decoder_size and hdm_size where one follows
/// from the other. Error EINVAL: text names option, value and what is allowed.
Result<Config> validate(Config config, bool hdm_size_given, bool decoder_size_given);

} // namespace type2::device
