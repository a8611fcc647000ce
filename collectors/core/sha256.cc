// SPDX-License-Identifier: Apache-2.0
#include "collectors/core/sha256.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include <array>

namespace tidegauge {

struct Sha256::State {
  gnutls_hash_hd_t handle = nullptr;
  bool good = false;
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  state_->good = gnutls_hash_init(&state_->handle, GNUTLS_DIG_SHA256) == 0;
}

Sha256::~Sha256() {
  if (state_->handle != nullptr) {
    gnutls_hash_deinit(state_->handle, nullptr);
  }
}

void Sha256::add(std::string_view bytes) {
  state_->good = state_->good && gnutls_hash(state_->handle, bytes.data(), bytes.size()) == 0;
}

std::string Sha256::finish() {
  if (!state_->good) {
    return {};
  }
  std::array<unsigned char, 32> digest{};
  gnutls_hash_output(state_->handle, digest.data());  // resets the state
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const unsigned char byte : digest) {
    out.push_back(kDigits[byte >> 4U]);
    out.push_back(kDigits[byte & 15U]);
  }
  return out;
}

}  // namespace tidegauge
