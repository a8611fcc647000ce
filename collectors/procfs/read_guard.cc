// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/read_guard.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <ctime>
#include <exception>
#include <mutex>
#include <span>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "collectors/core/text.h"
#include "collectors/procfs/task_directory.h"

namespace tidegauge {

namespace {

// Looks at the working thread per limit: a read is given up that was there at so many running.
constexpr int kLooks = 4;
constexpr std::size_t kMaxSilent = 64;
constexpr std::uint64_t kFirstBackOff = 8;
constexpr std::uint64_t kLeft = ~std::uint64_t{0};

struct LeftBehind {};

std::int64_t thread_cpu_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

// One read() gives these files whole; longer ones are cut.
std::string_view read_short(int directory, const char* path, std::span<char> buffer) {
  const Descriptor file(::openat(directory, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  const ssize_t got = file.valid() ? ::read(file.get(), buffer.data(), buffer.size()) : -1;
  return {buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0))};
}

// A thread that is not given a CPU (an overloaded host, a quota) hangs in no read. `status` needs no
// lock that anybody holds for long.
bool is_runnable(pid_t thread) {
  std::array<char, 48> path{};
  std::snprintf(path.data(), path.size(), "/proc/self/task/%d/status", static_cast<int>(thread));
  std::array<char, 256> buffer;
  return read_short(AT_FDCWD, path.data(), buffer).find("\nState:\tR") != std::string_view::npos;
}

}  // namespace

struct ReadGuard::Worker {
  std::shared_ptr<const ReadGuardHooks> hooks;
  // 0 between reads; else the number of the read and below it the pid; kLeft for good.
  std::atomic<std::uint64_t> place = 0;
  std::atomic<pid_t> thread = 0;
  std::atomic<bool> came_back = false;
  std::uint64_t reads = 0;

  std::mutex mutex;
  std::condition_variable changed;
  std::function<void()> work;
  bool ordered = false;
  bool done = false;
  bool dismissed = false;
  std::exception_ptr failure;
  std::int64_t cpu_ns = 0;

  void main() {
    thread = ::gettid();
    std::unique_lock lock(mutex);
    while (true) {
      changed.wait(lock, [this] { return ordered || dismissed; });
      if (!std::exchange(ordered, false)) {
        return;
      }
      lock.unlock();
      const std::int64_t begin_ns = thread_cpu_ns();
      std::exception_ptr thrown;
      try {
        work();
      } catch (const LeftBehind&) {
        came_back = true;
        return;
      } catch (...) {
        thrown = std::current_exception();
      }
      lock.lock();
      cpu_ns = thread_cpu_ns() - begin_ns;
      failure = std::move(thrown);
      done = true;
      changed.notify_all();
    }
  }

  // 0 when it is done; the read in which it was left.
  std::uint64_t wait(std::int64_t limit_ns) {
    std::unique_lock lock(mutex);
    std::uint64_t seen = 0;
    int looks = 0;
    while (!changed.wait_for(lock, std::chrono::nanoseconds(limit_ns / kLooks),
                             [this] { return done; })) {
      std::uint64_t now = place;
      looks = now != 0 && now == seen ? looks + 1 : 0;
      seen = now;
      if (looks < kLooks || is_runnable(thread)) {
        continue;
      }
      if (place.compare_exchange_strong(now, kLeft)) {
        return now;
      }
    }
    return 0;
  }
};

ReadGuard::ReadGuard(ReadGuardHooks hooks)
    : hooks_(std::make_shared<const ReadGuardHooks>(std::move(hooks))) {}

ReadGuard::~ReadGuard() {
  if (worker_ != nullptr) {
    const std::lock_guard lock(worker_->mutex);
    worker_->dismissed = true;
    worker_->changed.notify_all();
  }
}

int ReadGuard::stuck() const {
  return static_cast<int>(std::count_if(silent_.begin(), silent_.end(), [](const Silent& silent) {
    return !silent.worker->came_back;
  }));
}

bool ReadGuard::is_over(const Silent& silent) const {
  if (!silent.worker->came_back) {
    return false;
  }
  const std::uint64_t back_off =
      silent.times < 2 ? 0 : kFirstBackOff << std::min<std::uint32_t>(silent.times - 2, 5);
  return pass_ >= silent.since_pass + std::min(back_off, kMaxBackOff);
}

void ReadGuard::begin_pass() {
  ++pass_;
  std::erase_if(silent_, [this](const Silent& silent) {
    return silent.worker->came_back && pass_ > silent.since_pass + 2 * kMaxBackOff;
  });
  sieving_ = stuck() >= kSieveFrom;
}

bool ReadGuard::is_silent(int directory, std::uint32_t pid) {
  const auto known = std::find_if(silent_.begin(), silent_.end(),
                                  [&](const Silent& silent) { return silent.pid == pid; });
  if (known != silent_.end() && !is_over(*known)) {
    return true;
  }
  if (!sieving_) {
    return false;
  }
  std::array<char, 32> path{};
  std::snprintf(path.data(), path.size(), "%u/statm", pid);
  return read(pid, [directory, &path] {
    std::array<char, 256> buffer;
    return is_statm_of_exec(read_short(directory, path.data(), buffer));
  });
}

void ReadGuard::remember(std::uint32_t pid) {
  auto at = std::find_if(silent_.begin(), silent_.end(),
                         [&](const Silent& silent) { return silent.pid == pid; });
  if (at == silent_.end()) {
    if (silent_.size() >= kMaxSilent) {
      const auto oldest = std::find_if(silent_.begin(), silent_.end(), [](const Silent& silent) {
        return silent.worker->came_back.load();
      });
      silent_.erase(oldest != silent_.end() ? oldest : silent_.begin());
    }
    at = silent_.insert(silent_.end(), Silent{.pid = pid, .worker = nullptr});
  }
  ++at->times;
  at->since_pass = pass_;
  at->worker = std::move(worker_);
  worker_ = nullptr;
  sieving_ = stuck() >= kSieveFrom;
}

bool ReadGuard::start_worker() {
  if (worker_ != nullptr) {
    return true;
  }
  if (stuck() >= kMaxStuck) {
    return false;
  }
  auto worker = std::make_shared<Worker>();
  worker->hooks = hooks_;
  try {
    std::thread([worker] {
      ::pthread_setname_np(::pthread_self(), "tasks");
      worker->main();
    }).detach();
  } catch (const std::system_error&) {
    return false;
  }
  worker_ = std::move(worker);
  return true;
}

ReadGuard::Ran ReadGuard::run(const std::function<void()>& work) {
  if (!start_worker()) {
    return {};
  }
  {
    const std::lock_guard lock(worker_->mutex);
    worker_->work = work;
    worker_->done = false;
    worker_->ordered = true;
    worker_->changed.notify_all();
  }
  const std::uint64_t reading = worker_->wait(hooks_->limit_ns);
  if (reading != 0) {
    const auto pid = static_cast<std::uint32_t>(reading);
    remember(pid);
    return {Outcome::kStuck, pid, 0};
  }
  worker_->work = nullptr;
  if (worker_->failure) {
    std::rethrow_exception(std::exchange(worker_->failure, nullptr));
  }
  return {Outcome::kDone, 0, worker_->cpu_ns};
}

void ReadGuard::enter(Worker& worker, std::uint32_t pid) {
  worker.place.store(++worker.reads << 32U | pid, std::memory_order_release);
  if (worker.hooks->before_read) {
    worker.hooks->before_read(pid);
  }
}

void ReadGuard::leave(Worker& worker) {
  // `reads` is this thread's own, and so is what it has stored.
  std::uint64_t mine = worker.place.load(std::memory_order_relaxed);
  if (mine == kLeft || !worker.place.compare_exchange_strong(mine, 0, std::memory_order_acq_rel)) {
    throw LeftBehind{};
  }
}

// 4226 2727 947 1 0 2064 0
//
// In pages: size, resident, shared, text. exec_mmap() gives the process its new memory, with a stack
// alone, under the lock; the program is mapped after the lock is given back (fs/exec.c,
// fs/binfmt_elf.c), and no program is without text. Kernel threads have no memory at all.
bool is_statm_of_exec(std::string_view statm) {
  const auto size = parse_unsigned(next_field(statm));
  next_field(statm);
  next_field(statm);
  const auto text = parse_unsigned(next_field(statm));
  return size && text && *size != 0 && *text == 0;
}

}  // namespace tidegauge
