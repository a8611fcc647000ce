// SPDX-License-Identifier: Apache-2.0
#include "daemon/exporter/http_server.h"

#include <pthread.h>

#include <csignal>
#include <system_error>

#include "daemon/exporter/http_loop.h"
#include "daemon/exporter/listener.h"

namespace tidegauge {

HttpServer::HttpServer(std::unique_ptr<HttpLoop> loop, std::function<void()> on_thread_start)
    : loop_(std::move(loop)) {
  // The thread inherits this mask: signals are the main thread's business, and a client that
  // hangs up must not raise SIGPIPE.
  sigset_t all;
  sigset_t previous;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &previous);
  try {
    thread_ = std::thread([this, on_start = std::move(on_thread_start)] {
      pthread_setname_np(pthread_self(), "tidegauge-web");
      if (on_start) on_start();
      loop_->run();
    });
  } catch (const std::system_error&) {
    // No thread: start() sees it.
  }
  pthread_sigmask(SIG_SETMASK, &previous, nullptr);
}

HttpServer::~HttpServer() { stop(); }

tl::expected<std::unique_ptr<HttpServer>, HttpServerError> HttpServer::start(
    HttpServerOptions options, HttpHandler& handler) {
  const auto fail = [](std::string message) {
    return tl::unexpected(HttpServerError{std::move(message)});
  };
  std::vector<Listener> listeners;
  for (const std::string& address : options.listen_addresses) {
    auto listener = Listener::open(address);
    if (!listener) return fail(std::move(listener.error()));
    listeners.push_back(std::move(*listener));
  }
  if (listeners.empty()) return fail("no address to listen on");

  auto on_thread_start = options.on_thread_start;
  auto loop = HttpLoop::create(std::move(options), handler, std::move(listeners));
  if (!loop) return fail(std::move(loop.error()));
  std::unique_ptr<HttpServer> server(new HttpServer(std::move(*loop), std::move(on_thread_start)));
  if (!server->thread_.joinable()) return fail("cannot start the web thread");
  return server;
}

void HttpServer::resume_pending() { loop_->request_resume(); }

std::vector<std::string> HttpServer::addresses() const { return loop_->addresses(); }

HttpServerStats HttpServer::stats() const { return loop_->stats(); }

void HttpServer::stop() {
  if (!thread_.joinable()) return;
  loop_->request_stop();
  thread_.join();
}

}  // namespace tidegauge
