// SPDX-License-Identifier: Apache-2.0
#include "daemon/exporter/http_server.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/http_test_client.h"

namespace tidegauge {
namespace {

using std::chrono::milliseconds;
using testing::eventually;
using testing::kPatience;
using testing::since;
using testing::TestClient;
using testing::TestClock;

constexpr std::size_t kBigBodyBytes = 16U << 20U;  // more than any socket buffer takes

class FakeHandler : public HttpHandler {
 public:
  std::variant<HttpResponse, HttpPending> handle(const HttpRequest& request,
                                                 bool resumed) override {
    ++calls;
    if (request.path == "/pending") {
      if (!resumed) return HttpPending{pending_timeout};
      return text(200, "resumed");
    }
    if (request.path == "/never") return HttpPending{pending_timeout};
    if (request.path == "/throw") throw std::runtime_error("boom");
    if (request.path == "/throw-int") throw 1;
    if (request.path == "/-/reload") {
      return text(request.method == "POST" || request.method == "PUT" ? 200 : 405, "");
    }
    if (request.path == "/echo") return text(200, echo(request));
    if (request.method != "GET" && request.method != "HEAD") {
      HttpResponse response = text(405, "no");
      response.headers.emplace_back("Allow", "GET, HEAD");
      return response;
    }
    if (request.path == "/big") return shared(big_);
    if (request.path == "/metrics") {
      HttpResponse response = shared(metrics_);
      response.gzip_encoded = request.accepts_gzip;
      return response;
    }
    if (request.path == "/split") {
      HttpResponse response = text(200, "x");
      response.headers.emplace_back("X-Bad", "a\r\nSet-Cookie: b");
      return response;
    }
    if (request.path == "/empty") return HttpResponse{};
    return text(404, "nothing here");
  }

  std::atomic<int> calls{0};
  milliseconds pending_timeout{60'000};

 private:
  static HttpResponse text(int status, std::string body) {
    HttpResponse response;
    response.status = status;
    response.content_type = "text/plain";
    response.body = std::make_shared<const std::string>(std::move(body));
    return response;
  }

  static HttpResponse shared(std::shared_ptr<const std::string> body) {
    HttpResponse response;
    response.content_type = "text/plain; version=0.0.4; charset=utf-8";
    response.body = std::move(body);
    return response;
  }

  static std::string echo(const HttpRequest& request) {
    std::string text = std::string(request.method) + " accept=" + std::string(request.accept) +
                       " auth=" + std::string(request.authorization);
    for (const auto& [key, value] : request.query) {
      text.append(" ").append(key).append("=").append(value);
    }
    return text;
  }

  const std::shared_ptr<const std::string> big_ =
      std::make_shared<const std::string>(kBigBodyBytes, 'x');
  const std::shared_ptr<const std::string> metrics_ =
      std::make_shared<const std::string>("tidegauge_up 1\n");
};

class HttpServerTest : public ::testing::Test {
 protected:
  void start(HttpServerOptions options = {}) {
    if (options.listen_addresses.empty()) options.listen_addresses = {"127.0.0.1:0"};
    options.log_error = [this](std::string_view line) {
      const std::lock_guard<std::mutex> lock(log_mutex_);
      log_ += std::string(line) + "\n";
    };
    auto started = HttpServer::start(std::move(options), handler_);
    ASSERT_TRUE(started) << started.error().message;
    server_ = std::move(*started);
    address_ = server_->addresses().at(0);
  }

  [[nodiscard]] TestClient client() const { return TestClient(address_); }

  [[nodiscard]] std::vector<TestClient> crowd(std::size_t size) const {
    std::vector<TestClient> clients;
    clients.reserve(size);
    for (std::size_t i = 0; i < size; ++i) clients.push_back(client());
    return clients;
  }

  // Sends a request, and returns when it is with the handler.
  TestClient client_in_flight(std::string_view path = "/pending") {
    const int before = handler_.calls;
    TestClient waiting = client();
    waiting.send(std::string("GET ").append(path).append(" HTTP/1.1\r\nHost: x\r\n\r\n"));
    EXPECT_TRUE(eventually([&] { return handler_.calls > before; }));
    return waiting;
  }

  std::string logged() {
    const std::lock_guard<std::mutex> lock(log_mutex_);
    return log_;
  }

  // Makes sure that all clients so far have been accepted.
  void settle(std::uint64_t accepted) {
    EXPECT_TRUE(eventually([&] { return server_->stats().connections_accepted >= accepted; }));
  }

  FakeHandler handler_;
  std::mutex log_mutex_;
  std::string log_;
  std::unique_ptr<HttpServer> server_;
  std::string address_;
};

HttpServerOptions with_deadlines(milliseconds request, milliseconds idle, milliseconds response) {
  HttpServerOptions options;
  options.deadlines.request = request;
  options.deadlines.idle = idle;
  options.deadlines.response = response;
  return options;
}

// --- requests and responses

TEST_F(HttpServerTest, AnswersGetOverOneKeptConnection) {
  start();
  TestClient scraper = client();
  for (int i = 0; i < 3; ++i) {
    const auto response = scraper.get("/metrics");
    ASSERT_TRUE(response);
    EXPECT_EQ(response->status, 200);
    EXPECT_EQ(response->body, "tidegauge_up 1\n");
    EXPECT_TRUE(response->has("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    EXPECT_TRUE(response->has("x-content-type-options: nosniff\r\n"));
    EXPECT_FALSE(response->has("content-encoding"));
  }
  EXPECT_TRUE(eventually([&] { return server_->stats().response_body_bytes == 45; }));
  const HttpServerStats stats = server_->stats();
  EXPECT_EQ(stats.connections_accepted, 1U);
  EXPECT_EQ(stats.connections_open, 1U);
  EXPECT_EQ(stats.requests_by_class[2], 3U);
}

TEST_F(HttpServerTest, HeadHasTheLengthButNoBody) {
  start();
  TestClient scraper = client();
  scraper.send("HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto response = scraper.receive(/*has_body=*/false);
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 200);
  EXPECT_TRUE(response->has("content-length: 15\r\n"));
  EXPECT_EQ(scraper.get("/empty").value().status, 200)
      << "a body would have been taken for this response";
}

TEST_F(HttpServerTest, MarksGzipOnlyForWhoTakesIt) {
  start();
  TestClient scraper = client();
  const auto packed = scraper.get("/metrics", "Accept-Encoding: deflate, gzip\r\n");
  ASSERT_TRUE(packed);
  EXPECT_TRUE(packed->has("content-encoding: gzip\r\n"));
  EXPECT_TRUE(packed->has("vary: accept-encoding\r\n"));
  const auto plain = scraper.get("/metrics", "Accept-Encoding: gzip;q=0\r\n");
  ASSERT_TRUE(plain);
  EXPECT_FALSE(plain->has("content-encoding"));
}

TEST_F(HttpServerTest, PassesDecodedQueryAndHeaders) {
  start();
  const auto response = client().get("/echo?collect[]=cpu&collect%5B%5D=disk&name%5B%5D=a+b",
                                     "Accept: text/html\r\nAuthorization: Basic eDp5\r\n");
  ASSERT_TRUE(response);
  EXPECT_EQ(response->body,
            "GET accept=text/html auth=Basic eDp5 collect[]=cpu collect[]=disk name[]=a b");
}

TEST_F(HttpServerTest, StatusesOfMethodsAndPaths) {
  struct Case {
    std::string_view line;
    int status;
  };
  const Case cases[] = {
      {"GET /nope", 404},        {"POST /metrics", 405},      {"PUT /metrics", 405},
      {"POST /-/reload", 200},   {"GET /-/reload", 405},      {"DELETE /metrics", 405},
      {"BREW /metrics", 405},    {"OPTIONS /metrics", 405},   {"TRACE /metrics", 405},
      {"GET /metrics%00x", 400}, {"GET /%zz", 400},           {"GET metrics", 400},
      {"OPTIONS *", 400},        {"GET /metrics?a=%0a", 400}, {"GET http://h/metrics", 200},
  };
  start();
  for (const Case& c : cases) {
    TestClient one = client();
    one.send(std::string(c.line) + " HTTP/1.1\r\nHost: x\r\n\r\n");
    const auto response = one.receive();
    ASSERT_TRUE(response) << c.line;
    EXPECT_EQ(response->status, c.status) << c.line;
    if (c.line.ends_with("/metrics") && c.status == 405) {
      EXPECT_TRUE(response->has("allow: get, head\r\n")) << c.line;
    }
  }
}

TEST_F(HttpServerTest, AnswersPipelinedRequestsInOrder) {
  start();
  TestClient one = client();
  one.send(
      "GET /echo?n=1 HTTP/1.1\r\nHost: x\r\n\r\nGET /nope HTTP/1.1\r\nHost: x\r\n\r\n"
      "GET /echo?n=3 HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(one.receive().value().body, "GET accept= auth= n=1");
  EXPECT_EQ(one.receive().value().status, 404);
  EXPECT_EQ(one.receive().value().body, "GET accept= auth= n=3");
}

TEST_F(HttpServerTest, DiscardsSmallBodiesAndRefusesLargeOnes) {
  start();
  const auto post = [&](std::size_t size, bool chunked) {
    TestClient one = client();
    std::string request = "POST /-/reload HTTP/1.1\r\nHost: x\r\n";
    if (chunked) {
      char length[32];
      std::snprintf(length, sizeof length, "%zx\r\n", size);
      request += "Transfer-Encoding: chunked\r\n\r\n" + std::string(length);
    } else {
      request += "Content-Length: " + std::to_string(size) + "\r\n\r\n";
    }
    one.send(request + std::string(size, 'b') + (chunked ? "\r\n0\r\n\r\n" : ""));
    const auto response = one.receive();
    return response ? response->status : 0;
  };
  EXPECT_EQ(post(0, false), 200);
  EXPECT_EQ(post(65'536, false), 200);
  EXPECT_EQ(post(65'536, true), 200);
  EXPECT_EQ(post(65'537, true), 413);
  EXPECT_EQ(post(8U << 20U, true), 0) << "far too much is cut off";

  TestClient announced = client();
  announced.send("POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n");
  EXPECT_EQ(announced.receive().value().status, 413) << "answered before the body comes";
  EXPECT_TRUE(announced.closed_within(kPatience));
}

TEST_F(HttpServerTest, SurvivesAHandlerThatThrows) {
  start();
  TestClient one = client();
  EXPECT_EQ(one.get("/throw").value().status, 500);
  EXPECT_EQ(one.get("/throw-int").value().status, 500);
  EXPECT_EQ(one.get("/metrics").value().status, 200);
  EXPECT_EQ(logged(), "handler of /throw failed: boom\n") << "at most one line a second";
}

TEST_F(HttpServerTest, DoesNotSplitResponses) {
  start();
  const auto response = client().get("/split");
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 500);
  EXPECT_FALSE(response->has("set-cookie"));
}

// --- requests that wait

TEST_F(HttpServerTest, ManyPendingRequestsShareOneResume) {
  start();
  std::vector<TestClient> waiting;
  waiting.reserve(50);
  for (int i = 0; i < 50; ++i) waiting.push_back(client_in_flight());
  EXPECT_EQ(client().get("/metrics").value().status, 200) << "others are served meanwhile";
  server_->resume_pending();
  for (TestClient& one : waiting) {
    const auto response = one.receive();
    ASSERT_TRUE(response);
    EXPECT_EQ(response->body, "resumed");
    EXPECT_EQ(one.get("/metrics").value().status, 200);
  }
}

TEST_F(HttpServerTest, PendingTimeoutAsksTheHandlerAgain) {
  handler_.pending_timeout = milliseconds(50);
  start();
  const auto begin = TestClock::now();
  EXPECT_EQ(client().get("/pending").value().body, "resumed");
  EXPECT_GE(since(begin), milliseconds(50));
}

TEST_F(HttpServerTest, PendingTwiceIsUnavailable) {
  handler_.pending_timeout = milliseconds(1);
  start();
  TestClient one = client();
  EXPECT_EQ(one.get("/never").value().status, 503);
  EXPECT_EQ(one.get("/pending").value().body, "resumed") << "the next request starts anew";
}

TEST_F(HttpServerTest, ClientThatLeavesWhilePendingDoesNoHarm) {
  start();
  { const TestClient gone = client_in_flight(); }
  server_->resume_pending();
  EXPECT_TRUE(eventually([&] { return server_->stats().connections_open == 0; }));
  EXPECT_EQ(client().get("/metrics").value().status, 200);
}

// --- slow clients

TEST_F(HttpServerTest, SlowClientsDoNotDelayAScrape) {
  start();
  const std::vector<TestClient> silent = crowd(200);
  for (std::size_t i = 0; i < 20; ++i) silent[i].send("G");
  const auto begin = TestClock::now();
  EXPECT_EQ(client().get("/metrics").value().status, 200);
  EXPECT_LT(since(begin), milliseconds(100));
}

TEST_F(HttpServerTest, DeadlineIsAbsoluteForAClientThatDrips) {
  start(with_deadlines(milliseconds(200), kPatience, kPatience));
  const auto begin = TestClock::now();
  TestClient drip = client();
  const std::string request = "GET /metrics HTTP/1.1\r\nX-Padding: " + std::string(10'000, 'p');
  std::size_t sent = 0;
  while (!drip.closed_within(milliseconds(10)) && since(begin) < kPatience) {
    drip.send(request.substr(sent++, 1));
  }
  EXPECT_GE(since(begin), milliseconds(195));
  EXPECT_LT(since(begin), milliseconds(600));
  EXPECT_TRUE(eventually([&] { return server_->stats().deadlines_exceeded == 1; }));
}

TEST_F(HttpServerTest, DeadlineCoversTheBodyToo) {
  start(with_deadlines(milliseconds(150), kPatience, kPatience));
  TestClient drip = client();
  drip.send("POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nab");
  EXPECT_TRUE(drip.closed_within(milliseconds(1'000)));
  EXPECT_EQ(handler_.calls, 0);
}

TEST_F(HttpServerTest, KeptConnectionMayIdleButNotDrip) {
  start(with_deadlines(milliseconds(100), kPatience, kPatience));
  TestClient kept = client();
  EXPECT_EQ(kept.get("/metrics").value().status, 200);
  EXPECT_FALSE(kept.closed_within(milliseconds(250))) << "idle is not slow";
  EXPECT_EQ(kept.get("/metrics").value().status, 200);
  const auto begin = TestClock::now();
  while (!kept.closed_within(milliseconds(10)) && since(begin) < kPatience) kept.send("G");
  EXPECT_LT(since(begin), milliseconds(500));
}

TEST_F(HttpServerTest, IdleConnectionIsClosedInTheEnd) {
  start(with_deadlines(kPatience, milliseconds(100), kPatience));
  TestClient kept = client();
  EXPECT_EQ(kept.get("/metrics").value().status, 200);
  EXPECT_TRUE(kept.closed_within(milliseconds(1'000)));
}

TEST_F(HttpServerTest, SlowReaderIsClosedAtTheWriteDeadline) {
  start(with_deadlines(kPatience, kPatience, milliseconds(200)));
  TestClient reader(address_, 4'096);
  reader.send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(eventually([&] { return server_->stats().deadlines_exceeded == 1; }));
  EXPECT_TRUE(eventually([&] { return server_->stats().connections_open == 0; }));
  EXPECT_FALSE(reader.receive()) << "the body must be cut short";
  EXPECT_EQ(server_->stats().response_body_bytes, 0U);
}

TEST_F(HttpServerTest, FastReaderGetsABigBodyWhole) {
  start();
  const auto response = client().get("/big");
  ASSERT_TRUE(response);
  EXPECT_EQ(response->body.size(), kBigBodyBytes);
}

// --- the connection limit

TEST_F(HttpServerTest, NewcomerReplacesTheOldestWithoutARequest) {
  HttpServerOptions options;
  options.connection_limit = 4;
  start(std::move(options));
  TestClient in_flight = client_in_flight();
  TestClient kept = client();
  EXPECT_EQ(kept.get("/metrics").value().status, 200);
  TestClient silent = client();
  TestClient dripping = client();
  settle(4);
  dripping.send("GET /metr");

  EXPECT_EQ(client().get("/metrics").value().status, 200);
  EXPECT_TRUE(kept.closed_within(kPatience)) << "it has waited longest";
  TestClient fifth = client();
  TestClient sixth = client();
  EXPECT_EQ(sixth.get("/metrics").value().status, 200);
  EXPECT_TRUE(silent.closed_within(kPatience));
  EXPECT_EQ(fifth.get("/metrics").value().status, 200);

  server_->resume_pending();
  EXPECT_EQ(in_flight.receive().value().body, "resumed") << "a request in hand is never shed";
}

TEST_F(HttpServerTest, SilentCrowdBeyondTheLimitCannotShutOutAScrape) {
  HttpServerOptions options;
  options.connection_limit = 16;
  start(std::move(options));
  const std::vector<TestClient> silent = crowd(200);
  const auto begin = TestClock::now();
  EXPECT_EQ(client().get("/metrics").value().status, 200);
  EXPECT_LT(since(begin), milliseconds(200));
  settle(201);
  EXPECT_TRUE(eventually([&] { return server_->stats().connections_shed == 201 - 16; }));
}

TEST_F(HttpServerTest, NewcomerWaitsWhenEverybodyIsBeingServed) {
  HttpServerOptions options;
  options.connection_limit = 2;
  start(std::move(options));
  TestClient first = client_in_flight();
  TestClient second = client_in_flight();
  TestClient third = client();
  third.send("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_FALSE(third.receive(true, milliseconds(100)));
  server_->resume_pending();
  EXPECT_EQ(first.receive().value().body, "resumed");
  EXPECT_EQ(second.receive().value().body, "resumed");
  EXPECT_EQ(third.receive().value().status, 200);
}

TEST_F(HttpServerTest, ReadersThatStallGiveWayAtTheLimit) {
  HttpServerOptions options;
  options.connection_limit = 2;
  options.deadlines.stalled_response = milliseconds(50);
  start(std::move(options));
  const TestClient first = client_in_flight("/big");
  const TestClient second = client_in_flight("/big");
  EXPECT_EQ(client().get("/metrics").value().status, 200);
  EXPECT_EQ(server_->stats().connections_shed, 1U);
}

TEST_F(HttpServerTest, EndOfDescriptorsNeitherSpinsNorLocksOut) {
  start();
  std::vector<TestClient> clients(8);
  for (TestClient& one : clients) one.prepare(address_);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const int lowest_free = dup(0);
  ASSERT_GE(lowest_free, 0);
  close(lowest_free);
  const rlimit tight{static_cast<rlim_t>(lowest_free) + 3, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &tight), 0);

  for (TestClient& one : clients) EXPECT_TRUE(one.connect());
  const auto response = clients.back().get("/metrics");
  const HttpServerStats stats = server_->stats();
  setrlimit(RLIMIT_NOFILE, &before);
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 200);
  EXPECT_GE(stats.accept_failures, 1U);
  EXPECT_LE(stats.accept_failures, 20U) << "it must pause between attempts";
  EXPECT_NE(logged().find("cannot accept a connection: Too many open files"), std::string::npos);
}

// --- malformed input

TEST_F(HttpServerTest, RefusesOversizeHeaders) {
  start();
  for (const std::string& request :
       {"GET /" + std::string(20'000, 'a') + " HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nX: " + std::string(20'000, 'a') + "\r\n\r\n"}) {
    TestClient one = client();
    one.send(request);
    const auto response = one.receive();
    // The refusal can be lost to the reset that follows unread input.
    if (response) {
      EXPECT_TRUE(response->status == 431 || response->status == 414);
    }
    EXPECT_TRUE(one.closed_within(kPatience));
  }
  EXPECT_EQ(client().get("/metrics").value().status, 200);
}

TEST_F(HttpServerTest, SurvivesGarbage) {
  start(with_deadlines(milliseconds(100), milliseconds(100), milliseconds(100)));
  std::vector<std::string> inputs = {
      "\r\n\r\n",
      "GET\r\n\r\n",
      "GET \r\n\r\n",
      "GET / HTTP/9.9\r\n\r\n",
      "GET /metrics\r\n\r\n",
      "\x16\x03\x01\x02\x01\x01",  // a TLS client
      "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
      "GET / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
      "GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
      "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
      "GET / HTTP/1.1\r\nno colon\r\n\r\n",
      std::string("GET /met\0rics HTTP/1.1\r\n\r\n", 26),
  };
  std::minstd_rand random(1);
  for (int i = 0; i < 50; ++i) {
    std::string bytes;
    bytes.reserve(300);
    for (int j = 0; j < 300; ++j) bytes.push_back(static_cast<char>(random() & 0xffU));
    inputs.push_back(i % 2 == 0 ? bytes : "GET " + bytes + "\r\n\r\n");
  }
  std::vector<TestClient> clients;
  for (const std::string& input : inputs) {
    clients.push_back(client());
    clients.back().send(input);
  }
  for (TestClient& one : clients) EXPECT_TRUE(one.closed_within(kPatience));
  EXPECT_EQ(client().get("/metrics").value().status, 200);
}

// --- addresses, start and stop

TEST_F(HttpServerTest, ServesSeveralAddressesUnderOneLimit) {
  if (!HttpServer::start({.listen_addresses = {"[::1]:0"}, .deadlines = {}, .log_error = {}},
                         handler_)) {
    GTEST_SKIP() << "no IPv6 on this machine: [::1] cannot be bound";
  }
  HttpServerOptions options;
  const std::string path = ::testing::TempDir() + "tg_http_" + std::to_string(getpid()) + ".sock";
  options.listen_addresses = {"127.0.0.1:0", "[::1]:0", "unix:" + path};
  options.connection_limit = 3;
  start(std::move(options));
  const std::vector<std::string> addresses = server_->addresses();
  ASSERT_EQ(addresses.size(), 3U);
  std::vector<TestClient> clients;
  for (const std::string& address : addresses) {
    clients.emplace_back(address);
    const auto response = clients.back().get("/metrics");
    ASSERT_TRUE(response) << address;
    EXPECT_EQ(response->status, 200);
  }
  EXPECT_EQ(TestClient(addresses[2]).get("/metrics").value().status, 200);
  EXPECT_TRUE(clients[0].closed_within(kPatience));
  server_->stop();
  EXPECT_NE(access(path.c_str(), F_OK), 0);
}

TEST_F(HttpServerTest, StartFailsWhenOneAddressIsTaken) {
  start();
  const auto second = HttpServer::start(
      {.listen_addresses = {"127.0.0.1:0", address_}, .deadlines = {}, .log_error = {}}, handler_);
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find(address_), std::string::npos);
  EXPECT_NE(second.error().message.find("ss -ltnp"), std::string::npos);
  EXPECT_FALSE(HttpServer::start({}, handler_)) << "nothing to listen on";
}

TEST_F(HttpServerTest, StopsAtOnceWhateverClientsDo) {
  start();
  std::vector<TestClient> clients = crowd(50);
  clients[0].send("GET /met");
  TestClient kept = client();
  EXPECT_EQ(kept.get("/metrics").value().status, 200);
  TestClient waiting = client_in_flight();
  const TestClient stalled = client_in_flight("/big");
  const auto begin = TestClock::now();
  server_->stop();
  EXPECT_LT(since(begin), milliseconds(200));
  EXPECT_EQ(waiting.receive().value().body, "resumed");
  for (TestClient& one : clients) EXPECT_TRUE(one.closed_within(kPatience));
  EXPECT_FALSE(client().get("/metrics"));
  server_->stop();  // again is nothing
  server_->resume_pending();
}

TEST_F(HttpServerTest, StopsInPeaceWhenSomebodyElseHoldsTheListeningSocket) {
  const int listening = socket(AF_INET, SOCK_STREAM, 0);
  ASSERT_EQ(listen(listening, 200), 0);
  const int systemds = dup(listening);
  HttpServerOptions options;
  options.listen_addresses = {"fd:" + std::to_string(listening)};
  start(std::move(options));
  address_ = "127.0.0.1" + address_.substr(address_.rfind(':'));
  const TestClient stalled = client_in_flight("/big");  // makes stop() linger
  std::atomic<bool> stopped{false};
  std::thread stopper([&] {
    server_->stop();
    stopped = true;
  });
  std::vector<TestClient> late;  // fill the queue that survives
  eventually([&] {
    if (late.size() < 150) late.push_back(client());
    return stopped.load();
  });
  stopper.join();
  close(systemds);
}

TEST_F(HttpServerTest, ResumeAndStatsMayComeFromAnyThread) {
  start();
  std::atomic<bool> done{false};
  std::thread other([&] {
    while (!done) {
      server_->resume_pending();
      EXPECT_LE(server_->stats().connections_open, 4U);
    }
  });
  TestClient one = client();
  for (int i = 0; i < 200; ++i) {
    const auto response = one.get(i % 2 == 0 ? "/pending" : "/metrics");
    ASSERT_TRUE(response);
    EXPECT_EQ(response->status, 200);
  }
  done = true;
  other.join();
}

}  // namespace
}  // namespace tidegauge
