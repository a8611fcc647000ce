// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a route sees of HTTP: plain requests, plain responses, and the pure functions that read the
// parts of a request which the HTTP library leaves to us. No socket and no library type in here.

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace tidegauge {

using HttpQuery = std::vector<std::pair<std::string, std::string>>;

// Views live as long as the call of HttpHandler::handle that gets them.
struct HttpRequest {
  std::string_view method;  // GET, HEAD, POST or PUT: nothing else reaches a handler
  std::string_view path;    // decoded, starts with '/', holds no control characters
  HttpQuery query;          // decoded; repeated keys (collect[]) are kept in their order
  bool accepts_gzip = false;
  bool is_cross_site =
      false;  // a browser says that another site's page sent it (Sec-Fetch-Site, Origin)
  std::string_view accept;         // empty when the client sent none
  std::string_view authorization;  // likewise
};

struct HttpResponse {
  int status = 200;
  std::string content_type;
  std::shared_ptr<const std::string> body;  // null means empty; shared, never copied
  bool gzip_encoded = false;                // adds Content-Encoding and Vary
  std::vector<std::pair<std::string, std::string>> headers;
};

// "Ask me again": the answer needs something that is not there yet.
struct HttpPending {
  std::chrono::milliseconds timeout{0};  // a minute at most
};

// Routes requests. Called on the web thread only; must neither throw nor block, as everybody waits
// meanwhile.
class HttpHandler {
 public:
  virtual ~HttpHandler() = default;

  // `resumed` is false at first. After an HttpPending the same request comes again with true, as
  // soon as HttpServer::resume_pending() was called or the timeout is over; it must be answered
  // then (a second HttpPending becomes a 503). The body of a POST or PUT is not passed on.
  virtual std::variant<HttpResponse, HttpPending> handle(const HttpRequest& request,
                                                         bool resumed) = 0;
};

struct RequestTarget {
  std::string path;
  HttpQuery query;
};

// Splits and decodes the target of a request line ("/metrics?collect[]=cpu", or the absolute form
// that proxies send). Nothing when it is malformed: a bad %-escape, a control character (decoded
// or not: %00 must not cut a path short), or no leading '/'.
std::optional<RequestTarget> parse_target(std::string_view target);

// Whether a client that sent this Accept-Encoding takes gzip: an own entry for gzip decides, else
// one for *; q=0 is a refusal.
bool accepts_gzip(std::string_view accept_encoding);

}  // namespace tidegauge
