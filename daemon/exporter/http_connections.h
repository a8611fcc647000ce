// SPDX-License-Identifier: Apache-2.0
#pragma once

// Which client connections there are, what each is up to, and which of them has to go. The HTTP
// library's own time-out starts anew with every byte, so a client that drips one byte a second
// would live for ever; the deadlines here are absolute. A connection is ended by shutdown(2): the
// library sees that as the end of the stream and frees its part.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>

#include "daemon/exporter/http_message.h"

struct MHD_Connection;

namespace tidegauge {

using HttpClock = std::chrono::steady_clock;

//            accept                       complete request
//              |                                 |
//              v     request complete            v
//            kNew --------------------------> kResponding <---+
//                                               |    ^   |    | resumed
//   kReading <---- kIdle <----------------------+    |   v    |
//      |   first byte      response written          | kPending
//      +---------------------------------------------+
//
// Any of them becomes kClosing by shutdown(), and stays it until the library lets go.
enum class HttpPhase : std::uint8_t {
  kNew,         // since accept: no complete request yet
  kIdle,        // kept alive between two requests
  kReading,     // kept alive, and the next request has begun
  kPending,     // the handler asked to be asked again
  kResponding,  // a response is being written
  kClosing,
};

struct HttpConnection {
  int fd = -1;                    // owned by the library
  MHD_Connection* mhd = nullptr;  // likewise
  HttpPhase phase = HttpPhase::kNew;
  HttpClock::time_point since;  // when the phase began
  HttpClock::time_point deadline;

  // The request in hand.
  RequestTarget target;
  bool target_valid = false;
  bool headers_seen = false;
  bool resumed = false;
  std::uint64_t body_bytes = 0;      // of the request, discarded
  std::uint64_t response_bytes = 0;  // of the response's body, as sent

  std::list<HttpConnection>::iterator self;
};

struct HttpDeadlines {
  std::chrono::milliseconds request{5'000};    // accept or first byte, to the request's last byte
  std::chrono::milliseconds idle{120'000};     // kept alive without a byte
  std::chrono::milliseconds response{10'000};  // request complete, to the response's last byte
  // At the connection limit, responses older than this may be sacrificed too.
  std::chrono::milliseconds stalled_response{2'000};
};

// Web thread only. Addresses of connections are stable until remove().
class HttpConnections {
 public:
  explicit HttpConnections(const HttpDeadlines& deadlines) : deadlines_(deadlines) {}

  HttpConnection& add(int fd, MHD_Connection* mhd, HttpClock::time_point now);
  void remove(HttpConnection& connection);

  void on_bytes(HttpConnection& connection, HttpClock::time_point now);
  void on_responding(HttpConnection& connection, HttpClock::time_point now);
  void on_pending(HttpConnection& connection, HttpClock::time_point now,
                  std::chrono::milliseconds timeout);
  void on_response_done(HttpConnection& connection, HttpClock::time_point now);

  // Shuts down whom a newcomer may replace: the connection that has gone longest without a
  // complete request; failing that, the oldest response that its client does not read. Returns
  // whether there was one; with `only_look` it stays.
  bool shed(HttpClock::time_point now, bool only_look = false);

  // Shuts down everyone whose deadline has passed and returns their number. The pending ones
  // among them are handed to `resume` instead.
  std::size_t expire(HttpClock::time_point now, const std::function<void(HttpConnection&)>& resume);

  // Hands every pending connection to `resume`, which must call on_responding().
  void resume_all(const std::function<void(HttpConnection&)>& resume);

  // A time before which expire() has nothing to do; max() when it never has.
  [[nodiscard]] HttpClock::time_point next_deadline() const { return next_deadline_; }

  [[nodiscard]] bool any_pending() const;
  [[nodiscard]] std::size_t live() const { return waiting_.size() + busy_.size(); }
  [[nodiscard]] std::size_t busy() const { return busy_.size(); }
  [[nodiscard]] std::size_t open() const { return live() + closing_.size(); }

 private:
  using List = std::list<HttpConnection>;

  List& list_of(HttpPhase phase);
  void enter(HttpConnection& connection, HttpPhase phase, HttpClock::time_point now,
             std::chrono::milliseconds limit);
  void shut_down(HttpConnection& connection);

  const HttpDeadlines deadlines_;
  // Each in the order of joining, so the front has waited longest.
  List waiting_;  // kNew, kIdle, kReading
  List busy_;     // kPending, kResponding
  List closing_;
  // A lower bound: deadlines that move later leave it alone, which costs an idle look now and
  // then, and saves a look at every connection on every request.
  HttpClock::time_point next_deadline_ = HttpClock::time_point::max();
};

}  // namespace tidegauge
