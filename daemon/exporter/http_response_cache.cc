// SPDX-License-Identifier: Apache-2.0
#include "daemon/exporter/http_response_cache.h"

#include <algorithm>
#include <cstddef>

namespace tidegauge {
namespace {

// Plain and gzip of /metrics, and some pages of the user interface.
constexpr std::size_t kMaxEntries = 8;

// Entry::body and the one inside the library's response.
constexpr long kReferencesPerEntry = 2;

using SharedBody = std::shared_ptr<const std::string>;

void free_body(void* body) { delete static_cast<SharedBody*>(body); }

bool add_headers(MHD_Response* built, const HttpResponse& response) {
  const auto add = [built](const char* name, const char* value) {
    return MHD_add_response_header(built, name, value) == MHD_YES;
  };
  bool ok = add("X-Content-Type-Options", "nosniff");
  if (!response.content_type.empty()) {
    ok = ok && add(MHD_HTTP_HEADER_CONTENT_TYPE, response.content_type.c_str());
  }
  if (response.gzip_encoded) {
    ok = ok && add(MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip") &&
         add(MHD_HTTP_HEADER_VARY, MHD_HTTP_HEADER_ACCEPT_ENCODING);
  }
  for (const auto& [name, value] : response.headers) ok = ok && add(name.c_str(), value.c_str());
  return ok;
}

}  // namespace

MhdResponse make_mhd_response(const HttpResponse& response) {
  static const SharedBody kEmpty = std::make_shared<const std::string>();
  auto body = std::make_unique<SharedBody>(response.body ? response.body : kEmpty);
  // The library asks for a void*, but never writes to it.
  void* bytes = const_cast<char*>((*body)->data());
  MHD_Response* raw = MHD_create_response_from_buffer_with_free_callback_cls(
      (*body)->size(), bytes, &free_body, body.get());
  if (raw == nullptr) return nullptr;
  static_cast<void>(body.release());  // free_body has it now
  MhdResponse built(raw, MhdResponseDeleter{});
  if (!add_headers(raw, response)) return nullptr;
  return built;
}

MhdResponse HttpResponseCache::get(const HttpResponse& response) {
  // A body that nobody else holds was made for this request and will not come again.
  if (!response.body || response.body.use_count() == 1) return make_mhd_response(response);

  const auto hit = std::ranges::find_if(entries_, [&](const Entry& entry) {
    return entry.body == response.body && entry.gzip_encoded == response.gzip_encoded &&
           entry.content_type == response.content_type && entry.headers == response.headers;
  });
  if (hit != entries_.end()) return hit->built;

  drop_stale();
  MhdResponse built = make_mhd_response(response);
  if (built) {
    entries_.push_back(
        {response.body, response.content_type, response.gzip_encoded, response.headers, built});
  }
  return built;
}

void HttpResponseCache::drop_stale() {
  std::erase_if(entries_, [this](const Entry& entry) {
    const auto same_body = std::ranges::count(entries_, entry.body, &Entry::body);
    return entry.body.use_count() <= kReferencesPerEntry * same_body;
  });
  if (entries_.size() >= kMaxEntries) entries_.erase(entries_.begin());
}

}  // namespace tidegauge
