// SPDX-License-Identifier: GPL-2.0-or-later
// VFIO_DEVICE_FEATURE_DMA_BUF, which <linux/vfio.h> of older systems lacks.
#pragma once

#include "base/bytes.h"

#include <cerrno>
#include <cstdint>

namespace type2::vfio {

inline constexpr std::uint32_t FeatureDmaBuf = 11;
inline constexpr std::uint32_t FeatureGet = 1U << 16;
inline constexpr std::uint32_t FeatureProbe = 1U << 18;

/// struct vfio_device_feature that asks whether there is such a feature.
inline Bytes dma_buf_probe() {
    Bytes body;
    append(body, std::uint32_t{8});
    append(body, FeatureProbe | FeatureGet | FeatureDmaBuf);
    return body;
}

/// struct vfio_device_feature, followed by struct vfio_device_feature_dma_buf with one range that
/// is the whole region.
inline Bytes dma_buf_request(std::uint32_t region, std::uint64_t size) {
    constexpr std::uint32_t Length = 8 + 16 + 16;
    Bytes body;
    append(body, Length);
    append(body, FeatureGet | FeatureDmaBuf);
    append(body, region);
    append(body, std::uint32_t{0}); // open flags
    append(body, std::uint32_t{0}); // flags
    append(body, std::uint32_t{1}); // ranges
    append(body, std::uint64_t{0});
    append(body, size);
    return body;
}

/// True if this errno of the request means that there is no such feature. EINVAL does not: it is
/// what one that is there says to a request that it does not understand.
inline bool dma_buf_absent(int code) {
    return code == ENOTSUP || code == ENOSYS || code == ENOTTY;
}

} // namespace type2::vfio
