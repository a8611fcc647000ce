// SPDX-License-Identifier: Apache-2.0

// The part of HttpLoop that deals with one request: from the library's callbacks to the handler
// and back.

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <exception>

#include "daemon/exporter/http_loop.h"
#include "daemon/exporter/http_loop_callbacks.h"

namespace tidegauge {
namespace {

constexpr std::uint64_t kMaxBodyBytes = 64 * 1024;
// Chunked bodies do not announce their size, and a response is only possible at their end. Up to
// here they are read for the sake of a proper 413; who sends more is cut off.
constexpr std::uint64_t kMaxDrainedBytes = 1024 * 1024;
constexpr std::chrono::milliseconds kMaxPending{60'000};

HttpConnection* connection_of(MHD_Connection* mhd) {
  const MHD_ConnectionInfo* info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
  return info == nullptr ? nullptr : static_cast<HttpConnection*>(info->socket_context);
}

std::string_view header(MHD_Connection* mhd, const char* name) {
  const char* value = MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, name);
  return value == nullptr ? std::string_view() : std::string_view(value);
}

// Unreadable lengths are the library's to refuse.
std::uint64_t announced_body_bytes(MHD_Connection* mhd) {
  const std::string_view text = header(mhd, MHD_HTTP_HEADER_CONTENT_LENGTH);
  std::uint64_t length_bytes = 0;
  std::from_chars(text.data(), text.data() + text.size(), length_bytes);
  return length_bytes;
}

HttpResponse plain_text(int status, std::string_view text) {
  HttpResponse response;
  response.status = status;
  response.content_type = "text/plain; charset=utf-8";
  response.body = std::make_shared<const std::string>(text);
  return response;
}

HttpResponse refusal(const HttpConnection& connection) {
  if (connection.body_bytes > kMaxBodyBytes) return plain_text(413, "Content Too Large\n");
  if (!connection.target_valid) return plain_text(400, "Bad Request: malformed target\n");
  HttpResponse response = plain_text(405, "Method Not Allowed\n");
  response.headers.emplace_back(MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
  return response;
}

std::string shown_path(const HttpConnection& connection) {
  return connection.target.path.substr(0, 100);  // as long as the client likes, otherwise
}

bool is_known(std::string_view method) {
  return method == "GET" || method == "HEAD" || method == "POST" || method == "PUT";
}

}  // namespace

void HttpLoopCallbacks::connection(void* cls, MHD_Connection* mhd, void** context,
                                   MHD_ConnectionNotificationCode code) noexcept {
  static_cast<HttpLoop*>(cls)->on_connection(mhd, context, code);
}

void* HttpLoopCallbacks::target(void* cls, const char* target, MHD_Connection* mhd) noexcept {
  HttpConnection* connection = connection_of(mhd);
  if (connection != nullptr) static_cast<HttpLoop*>(cls)->on_target(*connection, target);
  return connection;
}

MHD_Result HttpLoopCallbacks::request(void* cls, MHD_Connection*, const char*, const char* method,
                                      const char*, const char*, std::size_t* upload_size,
                                      void** context) noexcept {
  if (*context == nullptr) return MHD_NO;
  try {
    return static_cast<HttpLoop*>(cls)->on_request(*static_cast<HttpConnection*>(*context), method,
                                                   upload_size);
  } catch (...) {
    return MHD_NO;  // out of memory: the connection is closed
  }
}

void HttpLoopCallbacks::completed(void* cls, MHD_Connection*, void** context,
                                  MHD_RequestTerminationCode code) noexcept {
  if (*context == nullptr) return;
  static_cast<HttpLoop*>(cls)->on_completed(*static_cast<HttpConnection*>(*context), code);
}

void HttpLoop::on_connection(MHD_Connection* mhd, void** context,
                             MHD_ConnectionNotificationCode code) {
  const int fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
  if (code == MHD_CONNECTION_NOTIFY_STARTED) {
    try {
      HttpConnection& connection = connections_.add(fd, mhd, now_);
      *context = &connection;
      epoll_event event{};
      event.events = EPOLLIN | EPOLLET;
      event.data.ptr = &connection;
      epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event);
    } catch (const std::bad_alloc&) {
      shutdown(fd, SHUT_RDWR);  // unknown to us, so it must not live
    }
  } else if (*context != nullptr) {
    epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, nullptr);
    connections_.remove(*static_cast<HttpConnection*>(*context));
    *context = nullptr;
  }
  counters_.open.store(connections_.open(), std::memory_order_relaxed);
}

void HttpLoop::on_target(HttpConnection& connection, const char* target) {
  connections_.on_bytes(connection, now_);
  connection.headers_seen = false;
  connection.resumed = false;
  connection.body_bytes = 0;
  connection.response_bytes = 0;
  connection.target_valid = false;
  if (target == nullptr) return;  // a request line of one word
  try {
    if (auto parsed = parse_target(target)) {
      connection.target = std::move(*parsed);
      connection.target_valid = true;
    }
  } catch (const std::bad_alloc&) {
    // Stays invalid.
  }
}

MHD_Result HttpLoop::on_request(HttpConnection& connection, const char* method,
                                std::size_t* upload_size) {
  if (*upload_size > 0) {
    connection.body_bytes += *upload_size;
    *upload_size = 0;
    return connection.body_bytes > kMaxDrainedBytes ? MHD_NO : MHD_YES;
  }
  if (!connection.headers_seen) {
    connection.headers_seen = true;
    const std::uint64_t announced_bytes = announced_body_bytes(connection.mhd);
    if (announced_bytes <= kMaxBodyBytes) return MHD_YES;  // the library calls again at the end
    connection.body_bytes = announced_bytes;
  }
  return answer(connection, method);
}

MHD_Result HttpLoop::answer(HttpConnection& connection, const char* method) {
  const bool has_body = std::strcmp(method, MHD_HTTP_METHOD_HEAD) != 0;
  if (connection.body_bytes > kMaxBodyBytes || !connection.target_valid || !is_known(method)) {
    return send(connection, refusal(connection), has_body);
  }
  auto outcome = call_handler(connection, method);
  if (const auto* pending = std::get_if<HttpPending>(&outcome)) {
    if (connection.resumed) {
      return send(connection, plain_text(503, "Service Unavailable: not ready in time\n"),
                  has_body);
    }
    const auto timeout = std::clamp(pending->timeout, std::chrono::milliseconds(0), kMaxPending);
    connections_.on_pending(connection, now_, timeout);
    MHD_suspend_connection(connection.mhd);
    return MHD_YES;
  }
  return send(connection, std::get<HttpResponse>(outcome), has_body);
}

std::variant<HttpResponse, HttpPending> HttpLoop::call_handler(HttpConnection& connection,
                                                               std::string_view method) {
  HttpRequest request;
  request.method = method;
  request.path = connection.target.path;
  request.query = connection.target.query;
  request.accepts_gzip = accepts_gzip(header(connection.mhd, MHD_HTTP_HEADER_ACCEPT_ENCODING));
  request.accept = header(connection.mhd, MHD_HTTP_HEADER_ACCEPT);
  const std::string_view site = header(connection.mhd, "Sec-Fetch-Site");
  const bool is_same_site = site.empty() ? header(connection.mhd, MHD_HTTP_HEADER_ORIGIN).empty()
                                         : site == "same-origin" || site == "none";
  request.is_cross_site = !is_same_site;
  request.authorization = header(connection.mhd, MHD_HTTP_HEADER_AUTHORIZATION);
  std::string why;
  may_be_pending_.store(true);
  try {
    return handler_.handle(request, connection.resumed);
  } catch (const std::exception& error) {
    why = error.what();
  } catch (...) {
    why = "not a std::exception";
  }
  log("handler of " + shown_path(connection) + " failed: " + why);
  return plain_text(500, "Internal Server Error\n");
}

MHD_Result HttpLoop::send(HttpConnection& connection, const HttpResponse& response, bool has_body) {
  MhdResponse built = cache_.get(response);
  int status = response.status;
  if (!built || status < 200 || status > 599) {
    log("cannot send the response of " + shown_path(connection) +
        ": bad header, bad status or no memory");
    status = 500;
    built = make_mhd_response(plain_text(status, "Internal Server Error\n"));
    if (!built) return MHD_NO;
  }
  connection.response_bytes = has_body && response.body ? response.body->size() : 0;
  counters_.by_class[static_cast<std::size_t>(status / 100)].fetch_add(1,
                                                                       std::memory_order_relaxed);
  connections_.on_responding(connection, now_);
  return MHD_queue_response(connection.mhd, static_cast<unsigned int>(status), built.get());
}

void HttpLoop::on_completed(HttpConnection& connection, MHD_RequestTerminationCode code) {
  if (code == MHD_REQUEST_TERMINATED_COMPLETED_OK) {
    counters_.body_bytes.fetch_add(connection.response_bytes, std::memory_order_relaxed);
  }
  connections_.on_response_done(connection, now_);
}

}  // namespace tidegauge
