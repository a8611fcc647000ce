// SPDX-License-Identifier: Apache-2.0
#pragma once

// The daemon's HTTP server: one thread, any number of listening addresses, and deadlines that no
// client can stretch. http_message.h is what routes see of it; http_loop.h is how it works.

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <tl/expected.hpp>
#include <vector>

#include "daemon/exporter/http_connections.h"
#include "daemon/exporter/http_message.h"

namespace tidegauge {

struct HttpServerOptions {
  // See Listener::open() for the forms.
  std::vector<std::string> listen_addresses;

  // Over all addresses together. At the limit a newcomer replaces the oldest connection that has
  // no complete request, so idle clients cannot shut out a scrape.
  std::size_t connection_limit = 512;

  HttpDeadlines deadlines;

  // Called on the web thread before it serves anything, for what belongs to threads (capabilities).
  std::function<void()> on_thread_start{};

  // Gets one line for the log, at most one a second. Called on the web thread; must neither throw
  // nor block.
  std::function<void(std::string_view)> log_error;
};

struct HttpServerError {
  std::string message;  // one line for the operator
};

struct HttpServerStats {
  std::uint64_t connections_open = 0;
  std::uint64_t connections_accepted = 0;
  std::uint64_t connections_shed = 0;     // gave way at the limit, or at the end of descriptors
  std::uint64_t deadlines_exceeded = 0;   // connections that were closed for being slow
  std::uint64_t accept_failures = 0;      // accept() had no descriptor or no memory to give
  std::uint64_t response_body_bytes = 0;  // of responses that were written to the end
  // Index 2 is 2xx. What the library refuses by itself (431, malformed requests) is not in here.
  std::array<std::uint64_t, 6> requests_by_class{};
};

class HttpLoop;

class HttpServer {
 public:
  // Opens all addresses, or none, and starts the web thread. The handler must outlive the server.
  static tl::expected<std::unique_ptr<HttpServer>, HttpServerError> start(HttpServerOptions options,
                                                                          HttpHandler& handler);

  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;
  ~HttpServer();  // stops

  // Every request that waits for HttpPending is handled again, with resumed = true. Publish what
  // it waits for first, then call this. Any thread, the handler's too; does not block.
  void resume_pending();

  // The bound addresses with their real ports, in the order of the options. Any thread.
  [[nodiscard]] std::vector<std::string> addresses() const;

  // Any thread.
  [[nodiscard]] HttpServerStats stats() const;

  // Stops accepting, lets responses in flight finish for 100 ms, closes everything and joins the
  // thread: 200 ms at most, whatever clients do. Idempotent. Not from the handler.
  void stop();

 private:
  HttpServer(std::unique_ptr<HttpLoop> loop, std::function<void()> on_thread_start);

  const std::unique_ptr<HttpLoop> loop_;
  std::thread thread_;
};

}  // namespace tidegauge
