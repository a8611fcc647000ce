// SPDX-License-Identifier: Apache-2.0
#include "collectors/core/privacy.h"

#include "collectors/core/sha256.h"

namespace tidegauge {

namespace {

// 64 bits: among a million paths of one host two share a hash with a probability of 3e-8.
constexpr std::size_t kHashDigits = 16;

}  // namespace

std::optional<Privacy> parse_privacy(std::string_view text) {
  if (text == "keep") {
    return Privacy::kKeep;
  }
  if (text == "hash") {
    return Privacy::kHash;
  }
  if (text == "drop") {
    return Privacy::kDrop;
  }
  return std::nullopt;
}

std::string PrivacyFilter::shown(std::string_view text) const {
  if (privacy_ == Privacy::kKeep || text.empty()) {
    return std::string(text);
  }
  if (privacy_ == Privacy::kHash) {
    Sha256 hash;
    hash.add(salt_);
    hash.add(text);
    const std::string digits = hash.finish();
    if (!digits.empty()) {
      return "h:" + digits.substr(0, kHashDigits);
    }
  }
  return std::string(kDroppedName);
}

}  // namespace tidegauge
