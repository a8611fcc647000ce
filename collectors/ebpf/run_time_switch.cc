// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/run_time_switch.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>

#include <cstring>
#include <mutex>

namespace tidegauge {

namespace {

constexpr int kLine = 3;
constexpr int kAnswerMs = 200;

int enable_statistics() {
  bpf_attr attributes{};
  attributes.enable_stats.type = BPF_STATS_RUN_TIME;
  return static_cast<int>(::syscall(SYS_bpf, BPF_ENABLE_STATS, &attributes, sizeof(attributes)));
}

void close_all_but_line() {
#ifdef SYS_close_range
  if (::syscall(SYS_close_range, kLine + 1, ~0U, 0) == 0) {  // since 5.9
    return;
  }
#endif
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  for (int fd = kLine + 1; fd < static_cast<int>(limit.rlim_cur) && fd < 65536; ++fd) {
    ::close(fd);
  }
}

// Nothing but CAP_SYS_ADMIN, and never more.
void keep_one_capability() {
  __user_cap_header_struct header{};
  header.version = _LINUX_CAPABILITY_VERSION_3;
  __user_cap_data_struct data[2] = {};
  data[0].effective = data[0].permitted = 1U << CAP_SYS_ADMIN;
  ::syscall(SYS_capset, &header, data);
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

// A copy of a process that may have threads: nothing but system calls.
[[noreturn]] void serve(int line, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) {
    ::_exit(0);
  }
  ::prctl(PR_SET_NAME, "tidegauge-stats");
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_BLOCK, &all, nullptr);  // it ends with its parent
  if (line != kLine) {
    ::dup2(line, kLine);
  }
  for (int fd = 0; fd < kLine; ++fd) {
    ::close(fd);
  }
  close_all_but_line();
  keep_one_capability();
  int statistics = -1;
  char wanted = 0;
  while (::read(kLine, &wanted, 1) == 1) {
    if (wanted == '1' && statistics < 0) {
      statistics = enable_statistics();
    } else if (wanted == '0' && statistics >= 0) {
      ::close(statistics);
      statistics = -1;
    }
    const char now = statistics >= 0 ? '1' : '0';
    if (::write(kLine, &now, 1) != 1) {
      break;
    }
  }
  ::_exit(0);
}

}  // namespace

std::shared_ptr<RunTimeSwitch> RunTimeSwitch::shared() {
  static std::mutex mutex;
  static auto& last = *new std::weak_ptr<RunTimeSwitch>();
  const std::lock_guard lock(mutex);
  if (auto running = last.lock()) {
    return running;
  }
  const int probe = enable_statistics();
  if (probe < 0) {
    return nullptr;
  }
  ::close(probe);
  int line[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, line) != 0) {
    return nullptr;
  }
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child == 0) {
    serve(line[1], parent);
  }
  ::close(line[1]);
  if (child < 0) {
    ::close(line[0]);
    return nullptr;
  }
  std::shared_ptr<RunTimeSwitch> made(new RunTimeSwitch(line[0], child));
  last = made;
  return made;
}

RunTimeSwitch::~RunTimeSwitch() {
  ::close(line_);  // it reads the end and leaves
  ::waitpid(child_, nullptr, 0);
}

bool RunTimeSwitch::set(bool on) {
  const char wanted = on ? '1' : '0';
  char now = 0;
  pollfd answer{.fd = line_, .events = POLLIN, .revents = 0};
  return ::send(line_, &wanted, 1, MSG_NOSIGNAL) == 1 && ::poll(&answer, 1, kAnswerMs) == 1 &&
         ::read(line_, &now, 1) == 1 && now == wanted;
}

}  // namespace tidegauge
