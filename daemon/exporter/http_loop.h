// SPDX-License-Identifier: Apache-2.0
#pragma once

// The web thread's loop around libmicrohttpd. The library parses and writes; it runs without
// listening socket, thread and time-outs of its own. The loop accepts, watches the clock and
// decides who may stay.
//
// Every client socket is in two epoll sets: the library's, and ours (edge-triggered, input only),
// because the library does not tell when the first bytes of a kept-alive connection's next request
// arrive. Its own set is a member of ours, so one epoll_wait serves both. If bytes slip in between
// our epoll_wait and the library's read, that first byte goes unseen; the next one, or the request
// line when it is complete, starts the clock instead, and the idle deadline bounds the rest.

#include <microhttpd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "daemon/exporter/http_connections.h"
#include "daemon/exporter/http_response_cache.h"
#include "daemon/exporter/http_server.h"
#include "daemon/exporter/listener.h"

namespace tidegauge {

class HttpLoop {
 public:
  static tl::expected<std::unique_ptr<HttpLoop>, std::string> create(
      HttpServerOptions options, HttpHandler& handler, std::vector<Listener> listeners);

  HttpLoop(const HttpLoop&) = delete;
  HttpLoop& operator=(const HttpLoop&) = delete;
  ~HttpLoop();

  // The web thread's life: returns after request_stop(), with every socket closed. Once only.
  void run();

  // Any thread.
  void request_stop();
  void request_resume();
  [[nodiscard]] std::vector<std::string> addresses() const { return addresses_; }
  [[nodiscard]] HttpServerStats stats() const;

 private:
  struct Counters {
    std::atomic<std::uint64_t> open{0};
    std::atomic<std::uint64_t> accepted{0};
    std::atomic<std::uint64_t> shed{0};
    std::atomic<std::uint64_t> expired{0};
    std::atomic<std::uint64_t> accept_failures{0};
    std::atomic<std::uint64_t> body_bytes{0};
    std::array<std::atomic<std::uint64_t>, 6> by_class{};
  };

  HttpLoop(HttpServerOptions options, HttpHandler& handler, std::vector<Listener> listeners);

  // The error is empty when all went well.
  std::string set_up();
  std::string watch(int fd, std::uint64_t tag);

  void turn(HttpClock::time_point wake_by);
  [[nodiscard]] int timeout_ms(HttpClock::time_point wake_by) const;
  void wake();
  void drain_and_close();
  void resume(HttpConnection& connection);

  void accept_from(const Listener& listener);
  void on_accept_error(int errno_value);
  void set_accepting(bool accepting);
  void log(std::string_view line);

  // What the library calls, after the static shims in http_loop_requests.cc.
  friend struct HttpLoopCallbacks;
  void on_connection(MHD_Connection* mhd, void** context, MHD_ConnectionNotificationCode code);
  void on_target(HttpConnection& connection, const char* target);
  MHD_Result on_request(HttpConnection& connection, const char* method, std::size_t* upload_size);
  void on_completed(HttpConnection& connection, MHD_RequestTerminationCode code);
  MHD_Result answer(HttpConnection& connection, const char* method);
  std::variant<HttpResponse, HttpPending> call_handler(HttpConnection& connection,
                                                       std::string_view method);
  MHD_Result send(HttpConnection& connection, const HttpResponse& response, bool has_body);

  const HttpServerOptions options_;
  HttpHandler& handler_;
  std::vector<Listener> listeners_;
  const std::vector<std::string> addresses_;

  int epoll_fd_ = -1;
  int wake_fd_ = -1;
  MHD_Daemon* mhd_ = nullptr;
  std::atomic<bool> stop_requested_{false};
  std::atomic<bool> resume_requested_{false};
  // A handler runs or somebody is pending: from before the handler looks at what it might wait for, so that no
  // resume is missed.
  std::atomic<bool> may_be_pending_{false};
  Counters counters_;

  // Web thread only.
  HttpConnections connections_;
  HttpResponseCache cache_;
  HttpClock::time_point now_;  // as of the last wake-up
  bool accepting_ = true;
  HttpClock::time_point accept_again_ = HttpClock::time_point::max();
  HttpClock::time_point log_again_ = HttpClock::time_point::min();
  std::uint64_t lines_suppressed_ = 0;
};

}  // namespace tidegauge
