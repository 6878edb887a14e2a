// SPDX-License-Identifier: GPL-2.0-or-later
// Results that cross a layer. No exceptions leave a layer; every failure carries an errno that is
// not 0 (it may end up in a vfio-user reply) and a text for a human.
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace type2 {

struct Error {
    int code = 0;     ///< positive errno, never 0
    std::string text; ///< what was found and what was expected; may be empty on hot paths
};

template <typename T> using Result = tl::expected<T, Error>;

/// A failed Result. code: positive errno; text: reason.
inline tl::unexpected<Error> fail(int code, std::string text = {}) {
    return tl::unexpected<Error>(Error{code, std::move(text)});
}

} // namespace type2
