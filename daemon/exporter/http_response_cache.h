// SPDX-License-Identifier: Apache-2.0
#pragma once

// From our HttpResponse to the library's refcounted one. Between two ticks every scrape gets the
// same body, so the library's object (headers copied, buffer registered) is built once per body
// and shared by all connections.

#include <microhttpd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "daemon/exporter/http_message.h"

namespace tidegauge {

struct MhdResponseDeleter {
  void operator()(MHD_Response* response) const { MHD_destroy_response(response); }
};
using MhdResponse = std::shared_ptr<MHD_Response>;

// Builds the library's response; the body is shared with it, not copied. Null when memory is out
// or a header holds what HTTP forbids (a line break).
MhdResponse make_mhd_response(const HttpResponse& response);

// Web thread only. Holds a body at most until the first request after its owner dropped it.
class HttpResponseCache {
 public:
  // Like make_mhd_response, but the same object again while body and headers are the same.
  MhdResponse get(const HttpResponse& response);

 private:
  struct Entry {
    std::shared_ptr<const std::string> body;
    std::string content_type;
    bool gzip_encoded;
    std::vector<std::pair<std::string, std::string>> headers;
    MhdResponse built;
  };

  void drop_stale();

  std::vector<Entry> entries_;  // oldest first
};

}  // namespace tidegauge
