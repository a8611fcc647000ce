// SPDX-License-Identifier: Apache-2.0
#include "daemon/exporter/http_connections.h"

#include <sys/socket.h>

#include <algorithm>
#include <iterator>

namespace tidegauge {

HttpConnections::List& HttpConnections::list_of(HttpPhase phase) {
  switch (phase) {
    case HttpPhase::kPending:
    case HttpPhase::kResponding:
      return busy_;
    case HttpPhase::kClosing:
      return closing_;
    case HttpPhase::kNew:
    case HttpPhase::kIdle:
    case HttpPhase::kReading:
      break;
  }
  return waiting_;
}

void HttpConnections::enter(HttpConnection& connection, HttpPhase phase, HttpClock::time_point now,
                            std::chrono::milliseconds limit) {
  List& from = list_of(connection.phase);
  List& to = list_of(phase);
  // Within one list the place is kept: a first byte does not make a client any younger.
  if (&from != &to) to.splice(to.end(), from, connection.self);
  connection.phase = phase;
  connection.since = now;
  connection.deadline = now + limit;
  next_deadline_ = std::min(next_deadline_, connection.deadline);
}

HttpConnection& HttpConnections::add(int fd, MHD_Connection* mhd, HttpClock::time_point now) {
  HttpConnection& connection = waiting_.emplace_back();
  connection.self = std::prev(waiting_.end());
  connection.fd = fd;
  connection.mhd = mhd;
  enter(connection, HttpPhase::kNew, now, deadlines_.request);
  return connection;
}

void HttpConnections::remove(HttpConnection& connection) {
  list_of(connection.phase).erase(connection.self);
}

void HttpConnections::on_bytes(HttpConnection& connection, HttpClock::time_point now) {
  if (connection.phase != HttpPhase::kIdle) return;
  enter(connection, HttpPhase::kReading, now, deadlines_.request);
}

void HttpConnections::on_responding(HttpConnection& connection, HttpClock::time_point now) {
  if (connection.phase == HttpPhase::kClosing) return;
  enter(connection, HttpPhase::kResponding, now, deadlines_.response);
}

void HttpConnections::on_pending(HttpConnection& connection, HttpClock::time_point now,
                                 std::chrono::milliseconds timeout) {
  if (connection.phase == HttpPhase::kClosing) return;
  enter(connection, HttpPhase::kPending, now, timeout);
}

void HttpConnections::on_response_done(HttpConnection& connection, HttpClock::time_point now) {
  if (connection.phase == HttpPhase::kClosing) return;
  enter(connection, HttpPhase::kIdle, now, deadlines_.idle);
}

void HttpConnections::shut_down(HttpConnection& connection) {
  shutdown(connection.fd, SHUT_RDWR);
  closing_.splice(closing_.end(), list_of(connection.phase), connection.self);
  connection.phase = HttpPhase::kClosing;
}

bool HttpConnections::shed(HttpClock::time_point now, bool only_look) {
  HttpConnection* victim = nullptr;
  if (!waiting_.empty()) {
    victim = &waiting_.front();
  } else {
    const auto stalled = std::ranges::find_if(busy_, [&](const HttpConnection& connection) {
      return connection.phase == HttpPhase::kResponding &&
             connection.since + deadlines_.stalled_response <= now;
    });
    if (stalled != busy_.end()) victim = &*stalled;
  }
  if (victim == nullptr) return false;
  if (!only_look) shut_down(*victim);
  return true;
}

std::size_t HttpConnections::expire(HttpClock::time_point now,
                                    const std::function<void(HttpConnection&)>& resume) {
  if (now < next_deadline_) return 0;
  next_deadline_ = HttpClock::time_point::max();
  std::size_t closed = 0;
  for (List* list : {&waiting_, &busy_}) {
    for (auto it = list->begin(); it != list->end();) {
      HttpConnection& connection = *it++;  // it may leave this list below
      if (connection.deadline <= now) {
        if (connection.phase == HttpPhase::kPending) {
          resume(connection);
        } else {
          shut_down(connection);
          ++closed;
          continue;
        }
      }
      next_deadline_ = std::min(next_deadline_, connection.deadline);
    }
  }
  return closed;
}

bool HttpConnections::any_pending() const {
  return std::ranges::any_of(busy_, [](const HttpConnection& connection) {
    return connection.phase == HttpPhase::kPending;
  });
}

void HttpConnections::resume_all(const std::function<void(HttpConnection&)>& resume) {
  for (HttpConnection& connection : busy_) {
    if (connection.phase == HttpPhase::kPending) resume(connection);
  }
}

}  // namespace tidegauge
