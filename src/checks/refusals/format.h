// SPDX-License-Identifier: GPL-2.0-or-later
// What a printf format prints, as an expression.
#pragma once

#include <re2/re2.h>
#include <string>
#include <string_view>

namespace type2::refusals {

class Format {
  public:
    /// The name of the device, "vfio %s: " at the beginning, is not part of what is compared.
    explicit Format(const std::string &format);

    /// Has it more than conversions and white space? What has not prints anything.
    bool has_words() const { return has_words_; }
    /// May the format have printed a part of `text`?
    bool within(std::string_view text) const;
    /// May it have printed the end of `text`? Where the words of an errno come behind it, those
    /// too.
    bool prints(std::string_view text) const;

  private:
    bool has_words_;
    RE2 within_;
    RE2 prints_;
};

} // namespace type2::refusals
