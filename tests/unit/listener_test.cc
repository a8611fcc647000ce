// SPDX-License-Identifier: Apache-2.0
#include "daemon/exporter/listener.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>

#include "tests/unit/http_test_client.h"

namespace tidegauge {
namespace {

using testing::TestClient;

std::string fresh_directory() {
  std::string path = ::testing::TempDir() + "tg_listener_XXXXXX";
  return mkdtemp(path.data()) == nullptr ? std::string() : path;
}

std::string error_of(std::string_view address) {
  const auto listener = Listener::open(address);
  return listener ? "opened" : listener.error();
}

bool reachable(const std::string& address) {
  TestClient client;
  client.prepare(address);
  return client.connect();
}

TEST(Listener, RefusesMalformedAddresses) {
  const std::string_view cases[] = {
      "",         "10070",     "127.0.0.1",   "127.0.0.1:",    "127.0.0.1:http",
      "::1:9100", "[::1]",     "[::1",        "[127.0.0.1]:1", "127.0.0.1:65536",
      "1.2.3:-1", "unix:",     "unix:x.sock", "fd:",           "fd:x",
      "fd:-1",    "fd:999999", "vsock://:1",
  };
  for (const std::string_view address : cases) {
    const std::string error = error_of(address);
    EXPECT_EQ(error.rfind("cannot listen on " + std::string(address), 0), 0U) << error;
  }
  EXPECT_NE(error_of("::1:9100").find("brackets"), std::string::npos);
  EXPECT_NE(error_of("unix:/" + std::string(200, 'x')).find("too long"), std::string::npos);
}

TEST(Listener, NamesTheRealPort) {
  const auto listener = Listener::open("127.0.0.1:0");
  ASSERT_TRUE(listener) << listener.error();
  EXPECT_EQ(listener->address().rfind("127.0.0.1:", 0), 0U);
  EXPECT_NE(listener->address(), "127.0.0.1:0");
  EXPECT_TRUE(reachable(listener->address()));
}

TEST(Listener, ResolvesNames) {
  const auto listener = Listener::open("localhost:0");
  ASSERT_TRUE(listener) << listener.error();
  EXPECT_TRUE(reachable(listener->address()));
}

TEST(Listener, EmptyHostMeansEveryAddress) {
  const auto listener = Listener::open(":0");
  ASSERT_TRUE(listener) << listener.error();
  const std::string port = listener->address().substr(listener->address().rfind(':'));
  EXPECT_TRUE(reachable("127.0.0.1" + port));
  if (listener->address().starts_with("[::]")) {
    EXPECT_TRUE(reachable("[::1]" + port)) << "IPv6 socket, but no loopback address";
  }
}

TEST(Listener, SaysHowToFindThePortsOwner) {
  const auto owner = Listener::open("127.0.0.1:0");
  ASSERT_TRUE(owner);
  const std::string port = owner->address().substr(owner->address().rfind(':'));
  EXPECT_EQ(error_of(owner->address()),
            "cannot listen on " + owner->address() +
                ": address in use by another process; `ss -ltnp 'sport = " + port + "'` names it");
}

TEST(Listener, SaysWhenTheAddressIsNotHere) {
  // 192.0.2.0/24 is for documentation: no host has it.
  EXPECT_EQ(error_of("192.0.2.1:0"), "cannot listen on 192.0.2.1:0: this host has no such address");
}

TEST(Listener, UnixSocketHasItsModeAndGoesWithItsOwner) {
  const std::string path = fresh_directory() + "/x.sock";
  const mode_t previous = umask(0077);
  {
    const auto listener = Listener::open("unix:" + path);
    umask(previous);
    ASSERT_TRUE(listener) << listener.error();
    EXPECT_EQ(listener->address(), "unix:" + path);
    struct stat status {};
    ASSERT_EQ(stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777U, 0660U);
    EXPECT_TRUE(reachable("unix:" + path));
    EXPECT_EQ(error_of("unix:" + path), "cannot listen on unix:" + path +
                                            ": address in use by another process; `ss -lxp` "
                                            "names it");
    EXPECT_EQ(access(path.c_str(), F_OK), 0) << "a refused newcomer removed the owner's socket";
  }
  EXPECT_NE(access(path.c_str(), F_OK), 0);
}

TEST(Listener, ReplacesAStaleUnixSocketOnly) {
  const std::string path = fresh_directory() + "/x.sock";
  {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    std::strncpy(name.sun_path, path.c_str(), sizeof name.sun_path - 1);
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ASSERT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&name), sizeof name), 0);
    close(fd);  // as a crashed daemon leaves it
  }
  EXPECT_TRUE(Listener::open("unix:" + path));

  std::ofstream(path) << "precious";
  EXPECT_EQ(error_of("unix:" + path),
            "cannot listen on unix:" + path + ": exists and is not a socket");
  EXPECT_EQ(access(path.c_str(), F_OK), 0);
}

TEST(Listener, AdoptsAnInheritedSocket) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  EXPECT_NE(error_of("fd:" + std::to_string(fd)).find("not a listening socket"), std::string::npos);
  ASSERT_EQ(listen(fd, 5), 0);  // binds to a free port
  const auto listener = Listener::open("fd:" + std::to_string(fd));
  ASSERT_TRUE(listener) << listener.error();
  EXPECT_EQ(listener->fd(), fd);
  EXPECT_NE(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
  EXPECT_NE(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_EQ(listener->address().rfind("0.0.0.0:", 0), 0U);
}

}  // namespace
}  // namespace tidegauge
