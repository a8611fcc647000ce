// SPDX-License-Identifier: Apache-2.0
#include "daemon/exporter/http_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <system_error>

#include "daemon/exporter/http_loop_callbacks.h"

namespace tidegauge {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kConnectionMemoryBytes = 8 * 1024;
constexpr int kEventsPerTurn = 256;
constexpr int kAcceptsPerTurn = 64;  // so that a flood of connects cannot starve requests
// The library's own limit is never to be met: there it would just refuse. Ours may be exceeded by
// the connections that are shut down but not yet freed.
constexpr std::size_t kLibraryLimitSlack = 1024;
constexpr milliseconds kAcceptBackOff{50};
constexpr milliseconds kStopGrace{100};
constexpr milliseconds kLogInterval{1'000};

// Tags in epoll_event.data.u64: small numbers are ours, listeners count up from kFirstListener,
// anything else is a HttpConnection* in epoll_event.data.ptr, which no small number equals.
constexpr std::uint64_t kWakeTag = 0;
constexpr std::uint64_t kLibraryTag = 1;
constexpr std::uint64_t kFirstListener = 2;

std::string describe(int errno_value) { return std::generic_category().message(errno_value); }

std::vector<std::string> addresses_of(const std::vector<Listener>& listeners) {
  std::vector<std::string> addresses;
  addresses.reserve(listeners.size());
  for (const Listener& listener : listeners) addresses.push_back(listener.address());
  return addresses;
}

}  // namespace

HttpLoop::HttpLoop(HttpServerOptions options, HttpHandler& handler, std::vector<Listener> listeners)
    : options_(std::move(options)),
      handler_(handler),
      listeners_(std::move(listeners)),
      addresses_(addresses_of(listeners_)),
      connections_(options_.deadlines) {}

HttpLoop::~HttpLoop() {
  if (mhd_ != nullptr) MHD_stop_daemon(mhd_);
  if (wake_fd_ >= 0) close(wake_fd_);
  if (epoll_fd_ >= 0) close(epoll_fd_);
}

tl::expected<std::unique_ptr<HttpLoop>, std::string> HttpLoop::create(
    HttpServerOptions options, HttpHandler& handler, std::vector<Listener> listeners) {
  std::unique_ptr<HttpLoop> loop(new HttpLoop(std::move(options), handler, std::move(listeners)));
  if (std::string error = loop->set_up(); !error.empty()) return tl::unexpected(std::move(error));
  return loop;
}

std::string HttpLoop::set_up() {
  epoll_fd_ = epoll_create1(EPOLL_CLOEXEC);
  wake_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (epoll_fd_ < 0 || wake_fd_ < 0) return "cannot start the web server: " + describe(errno);

  const auto library_limit = static_cast<unsigned int>(
      std::min<std::size_t>(options_.connection_limit, UINT_MAX - kLibraryLimitSlack) +
      kLibraryLimitSlack);
  mhd_ = MHD_start_daemon(MHD_USE_NO_LISTEN_SOCKET | MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0,
                          nullptr, nullptr, &HttpLoopCallbacks::request, this,                 //
                          MHD_OPTION_NOTIFY_CONNECTION, &HttpLoopCallbacks::connection, this,  //
                          MHD_OPTION_URI_LOG_CALLBACK, &HttpLoopCallbacks::target, this,       //
                          MHD_OPTION_NOTIFY_COMPLETED, &HttpLoopCallbacks::completed, this,    //
                          MHD_OPTION_CONNECTION_MEMORY_LIMIT, kConnectionMemoryBytes,          //
                          MHD_OPTION_CONNECTION_LIMIT, library_limit,                          //
                          MHD_OPTION_CONNECTION_TIMEOUT, 0U,                                   //
                          MHD_OPTION_END);
  if (mhd_ == nullptr) return "cannot start the web server: libmicrohttpd refuses";

  const MHD_DaemonInfo* info = MHD_get_daemon_info(mhd_, MHD_DAEMON_INFO_EPOLL_FD);
  if (info == nullptr) return "cannot start the web server: libmicrohttpd lacks epoll";
  std::string error = watch(wake_fd_, kWakeTag);
  if (error.empty()) error = watch(info->epoll_fd, kLibraryTag);
  for (std::size_t i = 0; i < listeners_.size() && error.empty(); ++i) {
    error = watch(listeners_[i].fd(), kFirstListener + i);
  }
  return error;
}

std::string HttpLoop::watch(int fd, std::uint64_t tag) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = tag;
  if (epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) == 0) return {};
  return "cannot start the web server: epoll: " + describe(errno);
}

void HttpLoop::run() {
  while (!stop_requested_.load()) turn(HttpClock::time_point::max());
  drain_and_close();
}

void HttpLoop::drain_and_close() {
  // Closing alone would not do: systemd holds another descriptor of an inherited socket, and epoll
  // goes on reporting it.
  for (const Listener& listener : listeners_) {
    epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, listener.fd(), nullptr);
  }
  listeners_.clear();
  const HttpClock::time_point end = HttpClock::now() + kStopGrace;
  resume_requested_.store(true);  // who waits for something gets what there is
  wake();
  do {
    turn(end);
  } while (connections_.busy() > 0 && now_ < end);
  // The library aborts when it is stopped with suspended connections.
  connections_.resume_all([this](HttpConnection& connection) { resume(connection); });
  MHD_stop_daemon(mhd_);
  mhd_ = nullptr;
}

// The order matters: bytes are noted before the library consumes them, and requests that have
// arrived are taken before anybody is shed for having none.
void HttpLoop::turn(HttpClock::time_point wake_by) {
  std::array<epoll_event, kEventsPerTurn> events;
  const int count = epoll_wait(epoll_fd_, events.data(), kEventsPerTurn, timeout_ms(wake_by));
  now_ = HttpClock::now();

  std::array<std::uint64_t, kEventsPerTurn> ready;  // indices of listeners
  std::size_t ready_count = 0;
  for (int i = 0; i < count; ++i) {
    const epoll_data_t& source = events[static_cast<std::size_t>(i)].data;
    const std::uint64_t tag = source.u64;
    if (tag == kWakeTag) {
      std::uint64_t ignored;
      [[maybe_unused]] const ssize_t got = read(wake_fd_, &ignored, sizeof ignored);
    } else if (tag >= kFirstListener && tag < kFirstListener + listeners_.size()) {
      ready[ready_count++] = tag - kFirstListener;
    } else if (tag != kLibraryTag) {
      connections_.on_bytes(*static_cast<HttpConnection*>(source.ptr), now_);
    }
  }

  const auto resume_one = [this](HttpConnection& connection) { resume(connection); };
  if (resume_requested_.exchange(false)) connections_.resume_all(resume_one);
  const std::size_t expired = connections_.expire(now_, resume_one);
  if (expired > 0) counters_.expired.fetch_add(expired, std::memory_order_relaxed);

  MHD_run(mhd_);
  if (may_be_pending_.load()) may_be_pending_.store(connections_.any_pending());

  if (!accepting_ && now_ >= accept_again_) set_accepting(true);
  for (std::size_t i = 0; i < ready_count && accepting_; ++i) accept_from(listeners_[ready[i]]);
}

int HttpLoop::timeout_ms(HttpClock::time_point wake_by) const {
  MHD_UNSIGNED_LONG_LONG library_ms = 0;
  if (MHD_get_timeout(mhd_, &library_ms) == MHD_YES && library_ms == 0) return 0;
  wake_by = std::min({wake_by, connections_.next_deadline(), accept_again_});
  if (wake_by == HttpClock::time_point::max()) return -1;
  // Rounded up: waking a fraction early would spin until the moment has come.
  const auto wait = std::chrono::ceil<milliseconds>(wake_by - HttpClock::now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(wait, 0, INT_MAX));
}

void HttpLoop::wake() {
  const std::uint64_t one = 1;
  // Full means that a wake-up is pending already.
  [[maybe_unused]] const ssize_t written = write(wake_fd_, &one, sizeof one);
}

void HttpLoop::request_stop() {
  stop_requested_.store(true);
  wake();
}

void HttpLoop::request_resume() {
  resume_requested_.store(true);
  if (may_be_pending_.load()) wake();
}

void HttpLoop::resume(HttpConnection& connection) {
  connection.resumed = true;
  connections_.on_responding(connection, now_);
  MHD_resume_connection(connection.mhd);
}

void HttpLoop::accept_from(const Listener& listener) {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    const bool full = connections_.live() >= options_.connection_limit;
    if (full && !connections_.shed(now_, /*only_look=*/true)) {
      set_accepting(false);  // everybody is being served: newcomers wait in the kernel's queue
      return;
    }
    sockaddr_storage peer{};
    socklen_t length = sizeof peer;
    const int fd = accept4(listener.fd(), reinterpret_cast<sockaddr*>(&peer), &length,
                           SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EAGAIN) return;
      if (errno == EINTR || errno == ECONNABORTED) continue;
      on_accept_error(errno);
      return;
    }
    if (full) {
      connections_.shed(now_);
      counters_.shed.fetch_add(1, std::memory_order_relaxed);
    }
    counters_.accepted.fetch_add(1, std::memory_order_relaxed);
    // Calls on_connection() before it returns; closes fd itself when it fails.
    MHD_add_connection(mhd_, fd, reinterpret_cast<const sockaddr*>(&peer), length);
  }
}

// Out of descriptors or memory, mostly. The connection stays in the kernel's queue and its
// listener readable, so without a pause this would spin.
void HttpLoop::on_accept_error(int errno_value) {
  counters_.accept_failures.fetch_add(1, std::memory_order_relaxed);
  const bool exhausted = errno_value == EMFILE || errno_value == ENFILE || errno_value == ENOBUFS ||
                         errno_value == ENOMEM;
  if (exhausted && connections_.shed(now_)) {
    counters_.shed.fetch_add(1, std::memory_order_relaxed);
  }
  log("cannot accept a connection: " + describe(errno_value));
  set_accepting(false);
}

void HttpLoop::set_accepting(bool accepting) {
  accepting_ = accepting;
  accept_again_ = accepting ? HttpClock::time_point::max() : now_ + kAcceptBackOff;
  for (std::size_t i = 0; i < listeners_.size(); ++i) {
    epoll_event event{};
    event.events = accepting ? EPOLLIN : 0U;
    event.data.u64 = kFirstListener + i;
    epoll_ctl(epoll_fd_, EPOLL_CTL_MOD, listeners_[i].fd(), &event);
  }
}

void HttpLoop::log(std::string_view line) {
  if (!options_.log_error) return;
  if (now_ < log_again_) {
    ++lines_suppressed_;
    return;
  }
  log_again_ = now_ + kLogInterval;
  std::string text(line);
  if (lines_suppressed_ > 0) text += " (" + std::to_string(lines_suppressed_) + " lines left out)";
  lines_suppressed_ = 0;
  options_.log_error(text);
}

HttpServerStats HttpLoop::stats() const {
  const auto load = [](const std::atomic<std::uint64_t>& counter) {
    return counter.load(std::memory_order_relaxed);
  };
  HttpServerStats stats;
  stats.connections_open = load(counters_.open);
  stats.connections_accepted = load(counters_.accepted);
  stats.connections_shed = load(counters_.shed);
  stats.deadlines_exceeded = load(counters_.expired);
  stats.accept_failures = load(counters_.accept_failures);
  stats.response_body_bytes = load(counters_.body_bytes);
  for (std::size_t i = 0; i < stats.requests_by_class.size(); ++i) {
    stats.requests_by_class[i] = load(counters_.by_class[i]);
  }
  return stats;
}

}  // namespace tidegauge
