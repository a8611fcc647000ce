// SPDX-License-Identifier: Apache-2.0
#pragma once

// Include and exclude expressions as exporters have them: RE2 syntax, unanchored.

#include <re2/re2.h>

#include <memory>
#include <string>
#include <string_view>

#include "collectors/core/result.h"

namespace tidegauge {

class NameFilter {
 public:
  // Empty expressions do not filter. Both at once is an error, as it is for node_exporter. `stem`
  // and "include" or "exclude" are the options' keys: "device_".
  static Result<NameFilter> make(std::string_view include, std::string_view exclude,
                                 std::string_view stem);
  [[nodiscard]] bool ignores(std::string_view name) const {
    const re2::StringPiece piece(name.data(), name.size());
    return (exclude_ && RE2::PartialMatch(piece, *exclude_)) ||
           (include_ && !RE2::PartialMatch(piece, *include_));
  }

 private:
  std::unique_ptr<RE2> include_;
  std::unique_ptr<RE2> exclude_;
};

}  // namespace tidegauge
