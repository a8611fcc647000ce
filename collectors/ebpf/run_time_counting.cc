// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/run_time_counting.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <ctime>
#include <utility>

#include "collectors/ebpf/counting_child.h"

namespace tidegauge {

namespace {

constexpr int kAnswerMs = 500;
constexpr int kEndMs = 200;
// The same on all architectures; older headers lack them. The systemd unit's filter allows both (@process).
constexpr long kPidfdSendSignal = 424;
constexpr long kPidfdOpen = 434;

bool may_administer() {
  __user_cap_header_struct header{};
  header.version = _LINUX_CAPABILITY_VERSION_3;
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  return ::syscall(SYS_capget, &header, data) == 0 &&
         (data[0].effective & (1U << CAP_SYS_ADMIN)) != 0;
}

std::int64_t monotonic_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

}  // namespace

std::unique_ptr<CountingHelper> CountingHelper::start() {
  int line[2] = {-1, -1};
  if (!may_administer() || ::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, line) != 0) {
    return nullptr;
  }
  const pid_t parent = ::getpid();
  // No signal may find the child between the fork and its own mask.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t child = ::fork();
  if (child == 0) {
    serve_counting(line[1], parent);
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::close(line[1]);
  if (child < 0) {
    ::close(line[0]);
    return nullptr;
  }
  // That it answers below shows that it lived: the descriptor is of no other.
  const int pidfd = static_cast<int>(::syscall(kPidfdOpen, child, 0));
  std::unique_ptr<CountingHelper> helper(new CountingHelper(line[0], child, pidfd));
  return helper->set(true) ? std::move(helper) : nullptr;
}

CountingHelper::~CountingHelper() {
  if (line_ >= 0) {
    ::close(line_);  // at which it leaves
    line_ = -1;
  }
  const timespec pause{.tv_sec = 0, .tv_nsec = 1'000'000};
  for (const std::int64_t begin = monotonic_ms(); !reap() && monotonic_ms() - begin < kEndMs;) {
    ::nanosleep(&pause, nullptr);
  }
  if (!is_reaped_) {
    kill();
    static_cast<void>(reap());
  }
  if (pidfd_ >= 0) {
    ::close(pidfd_);
  }
}

bool CountingHelper::set(bool on) {
  if (is_lost()) {
    static_cast<void>(reap());
    return false;
  }
  const char wanted = on ? kCountingOn : kCountingOff;
  if (::send(line_, &wanted, 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1) {
    give_up();
    return false;
  }
  const std::int64_t end_ms = monotonic_ms() + kAnswerMs;
  pollfd answer{.fd = line_, .events = POLLIN, .revents = 0};
  int ready = -1;
  do {
    const std::int64_t left_ms = end_ms - monotonic_ms();
    ready = ::poll(&answer, 1, left_ms > 0 ? static_cast<int>(left_ms) : 0);
  } while (ready < 0 && errno == EINTR);
  unsigned char error = 0;
  if (ready != 1 || ::recv(line_, &error, 1, MSG_DONTWAIT) != 1) {
    give_up();
    return false;
  }
  return error == 0;
}

// Killed, it certainly counts no more; without its line it ends, unless it is stuck.
void CountingHelper::give_up() {
  ::close(line_);
  line_ = -1;
  kill();
  static_cast<void>(reap());
}

// Never by number: where SIGCHLD is ignored, the number of one that died may be another process's.
void CountingHelper::kill() const {
  if (pidfd_ >= 0) {
    static_cast<void>(::syscall(kPidfdSendSignal, pidfd_, SIGKILL, nullptr, 0));
  }
}

bool CountingHelper::reap() {
  // Without children: somebody ignores SIGCHLD.
  is_reaped_ = is_reaped_ || ::waitpid(pid_, nullptr, WNOHANG) != 0;
  return is_reaped_;
}

struct RunTimeCounting::Shared {
  Shared() = default;
  ~Shared() {
    if (descriptor >= 0) {
      ::close(descriptor);
    }
  }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;

  [[nodiscard]] bool is_usable() const {
    return descriptor >= 0 || (helper != nullptr && !helper->is_lost());
  }

  std::mutex mutex;
  int descriptor = -1;  // or a helper
  std::unique_ptr<CountingHelper> helper;
  int wishes = 0;
};

RunTimeCounting::RunTimeCounting(CountingChoice choice, std::shared_ptr<Shared> shared)
    : choice_(choice), shared_(std::move(shared)) {}

RunTimeCounting::~RunTimeCounting() { static_cast<void>(set(false)); }

std::unique_ptr<RunTimeCounting> RunTimeCounting::make(CountingChoice choice) {
  static std::mutex mutex;
  static std::weak_ptr<Shared> last;
  if (choice == CountingChoice::kOff) {
    return nullptr;
  }
  const std::lock_guard lock(mutex);
  auto shared = last.lock();
  if (shared != nullptr) {
    const std::lock_guard use(shared->mutex);
    if (shared->is_usable()) {
      return std::unique_ptr<RunTimeCounting>(new RunTimeCounting(choice, shared));
    }
  }
  shared = std::make_shared<Shared>();
  if (choice == CountingChoice::kAlways) {
    shared->descriptor = ::bpf_enable_stats(BPF_STATS_RUN_TIME);
  } else {
    shared->helper = CountingHelper::start();
  }
  last = shared;
  std::unique_ptr<RunTimeCounting> counting(new RunTimeCounting(choice, shared));
  static_cast<void>(counting->set(true));
  return counting;
}

bool RunTimeCounting::set(bool on) {
  const std::lock_guard lock(shared_->mutex);
  if (shared_->descriptor >= 0) {
    wish_ = on;
    return true;
  }
  if (shared_->helper == nullptr || shared_->helper->is_lost()) {
    wish_ = false;
    return shared_->helper != nullptr && shared_->helper->set(on);  // reaps it
  }
  if (on == wish_) {
    return true;
  }
  // A helper just started counts already; to say it twice does no harm.
  const int others = shared_->wishes - (wish_ ? 1 : 0);
  if (others == 0 && !shared_->helper->set(on)) {
    shared_->wishes = others;
    wish_ = false;
    return false;
  }
  wish_ = on;
  shared_->wishes = others + (on ? 1 : 0);
  return true;
}

bool RunTimeCounting::is_on() const {
  const std::lock_guard lock(shared_->mutex);
  return shared_->descriptor >= 0 || (wish_ && !shared_->helper->is_lost());
}

bool RunTimeCounting::is_for_good() const {
  const std::lock_guard lock(shared_->mutex);
  return shared_->descriptor >= 0 || choice_ == CountingChoice::kAlways;
}

}  // namespace tidegauge
