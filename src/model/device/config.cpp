// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/device/config.h"

#include "cxl/hdm_decoder.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <fmt/format.h>

namespace type2::device {

namespace {

Result<void> check_units(const char *option, std::uint64_t size) {
    if (size == 0 || size % cxl::hdm::Unit != 0 || size > MaxHdmSize) {
        return fail(EINVAL, fmt::format("{} {}: must be a multiple of 256M from 256M to {}", option,
                                        format_size(size), format_size(MaxHdmSize)));
    }
    return {};
}

Result<void> check_decoders(const Config &config) {
    if (!cxl::hdm::is_count(config.decoders)) {
        return fail(EINVAL, fmt::format("--decoders {}: a CXL device can have 1, 2, 4, 6, 8 or 10",
                                        config.decoders));
    }
    if (config.decoder_skip % cxl::hdm::Unit != 0 || config.decoder_skip > MaxHdmSize) {
        return fail(EINVAL, fmt::format("--decoder-skip {}: must be a multiple of 256M up to {}",
                                        format_size(config.decoder_skip), format_size(MaxHdmSize)));
    }
    return {};
}

/// hdm_size from decoder_size.
Result<void> size_by_decoders(Config &config, bool hdm_size_given) {
    if (auto ok = check_units("--decoder-size", config.decoder_size); !ok) {
        return ok;
    }
    const std::uint64_t left_out = skipped(config);
    const std::uint64_t together = config.decoder_size * config.decoders + left_out;
    if (hdm_size_given && config.hdm_size != together) {
        return fail(EINVAL, fmt::format("--hdm-size {}: {} decoders of --decoder-size {}{} make "
                                        "{}; give one of the two options, or sizes that agree",
                                        format_size(config.hdm_size), config.decoders,
                                        format_size(config.decoder_size),
                                        left_out != 0 ? " and what --decoder-skip leaves out" : "",
                                        format_size(together)));
    }
    config.hdm_size = together;
    return check_units("--hdm-size", config.hdm_size);
}

/// decoder_size from hdm_size.
Result<void> size_by_memory(Config &config, bool hdm_size_given) {
    const std::uint64_t left_out = skipped(config);
    if (!hdm_size_given) {
        config.hdm_size = std::max(config.hdm_size, config.decoders * cxl::hdm::Unit) + left_out;
    }
    if (auto ok = check_units("--hdm-size", config.hdm_size); !ok) {
        return ok;
    }
    if (config.hdm_size <= left_out) {
        return fail(EINVAL, fmt::format("--hdm-size {}: {} decoders leave out {} (--decoder-skip), "
                                        "so nothing is left to decode",
                                        format_size(config.hdm_size), config.decoders,
                                        format_size(left_out)));
    }
    config.decoder_size = (config.hdm_size - left_out) / config.decoders;
    if ((config.hdm_size - left_out) % (config.decoders * cxl::hdm::Unit) != 0) {
        return fail(EINVAL,
                    fmt::format("--hdm-size {}: must divide into {} decoders (--decoders) of a "
                                "multiple of 256M each{}",
                                format_size(config.hdm_size), config.decoders,
                                left_out != 0 ? ", without what --decoder-skip leaves out" : ""));
    }
    return {};
}

Result<void> check_host(const Config &config) {
    if (!std::has_single_bit(config.bar_size) || config.bar_size < MinBarSize ||
        config.bar_size > MaxBarSize) {
        return fail(EINVAL, fmt::format("--bar-size {}: must be a power of two from {} to {}",
                                        format_size(config.bar_size), format_size(MinBarSize),
                                        format_size(MaxBarSize)));
    }
    if (config.page_size != 4 * KiB && config.page_size != 64 * KiB) {
        return fail(EINVAL, fmt::format("--page-size {}: must be 4K or 64K",
                                        format_size(config.page_size)));
    }
    if (config.host_base == 0 || config.host_base % cxl::hdm::Unit != 0 ||
        config.host_base > MaxAddress - config.hdm_size) {
        return fail(EINVAL,
                    fmt::format("--host-base {:#x}: must be a multiple of 256M, not 0, with "
                                "{} of memory ending below {:#x}",
                                config.host_base, format_size(config.hdm_size), MaxAddress));
    }
    return {};
}

} // namespace

Result<Config> validate(Config config, bool hdm_size_given, bool decoder_size_given) {
    if (const auto ok = check_decoders(config); !ok) {
        return tl::unexpected(ok.error());
    }
    const auto sized = decoder_size_given ? size_by_decoders(config, hdm_size_given)
                                          : size_by_memory(config, hdm_size_given);
    if (!sized) {
        return tl::unexpected(sized.error());
    }
    if (const auto ok = check_host(config); !ok) {
        return tl::unexpected(ok.error());
    }
    if (config.memory_without_decoder && !config.uncommitted) {
        return fail(EINVAL, "--memory-without-decoder: is of use with --uncommitted only");
    }
    config.memory_follows_space |= config.contract == ContractKind::Shadow;
    return config;
}

} // namespace type2::device
