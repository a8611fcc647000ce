// SPDX-License-Identifier: Apache-2.0
#pragma once

// Work over the files of all processes, of which one may never answer.
//
// A task that hangs inside execve (a descriptor to be closed lies on a dead NFS or FUSE mount) holds its
// exec_update_lock, and whoever reads its /proc/PID/{stat,io,wchan,syscall} waits for that lock for as
// long: the read cannot be ended, nor can one tell before. So the work runs on a thread of the guard's,
// which says before each read whose file it is and otherwise runs as it would anywhere. The caller
// waits. When one read lasts longer than the limit, the caller leaves that thread behind and runs the
// work again on another, which goes on behind the process that does not answer:
//
//   caller   run(work) ............ kStuck 17, run(work) ......... kDone
//   thread 1   \ 15 16 17 (hangs)                            ... 17 answers: LeftBehind, thread ends
//   thread 2                           \ 18 19 20 ... end
//
// - The work keeps its place where it survives the thread (in members), and moves it on before the read.
//   What read() has not returned from must leave no trace there.
// - A process is skipped while its thread hangs; one that hung again after it had answered also for 8
//   passes, then 16, ... at most kMaxBackOff.
// - From kSieveFrom such threads on, processes in the middle of an exec are known by their statm, which
//   answers, and are not asked. At kMaxStuck run() refuses.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

namespace tidegauge {

struct ReadGuardHooks {
  std::int64_t limit_ns = 100'000'000;
  // For tests: called on the working thread just before a read, as part of it.
  std::function<void(std::uint32_t pid)> before_read;
};

// Not thread-safe: one caller, and between two runs nobody else. Threads left behind co-own what they
// need and are never waited for.
class ReadGuard {
 public:
  static constexpr int kMaxStuck = 4;
  static constexpr int kSieveFrom = 2;
  static constexpr std::uint64_t kMaxBackOff = 256;

  explicit ReadGuard(ReadGuardHooks hooks = {});
  ~ReadGuard();
  ReadGuard(const ReadGuard&) = delete;
  ReadGuard& operator=(const ReadGuard&) = delete;

  void begin_pass();

  enum class Outcome : std::uint8_t {
    kDone,
    kStuck,    // at `pid`
    kRefused,  // no thread can be had
  };
  struct Ran {
    Outcome outcome = Outcome::kRefused;
    std::uint32_t pid = 0;
    std::int64_t cpu_ns = 0;  // of the thread, when done
  };
  // Does the work and returns, or leaves it. What it throws, this throws.
  Ran run(const std::function<void()>& work);

  // Within the work. `directory` is the open procfs.
  [[nodiscard]] bool skips(int directory, std::uint32_t pid) {
    return (!silent_.empty() || sieving_) && is_silent(directory, pid);
  }

  // Within the work: `what` reads files of this process and touches nothing else that another thread
  // could. Throws LeftBehind when nobody waits any more; destructors on the way out must touch
  // nothing either.
  template <class What>
  auto read(std::uint32_t pid, const What& what) {
    Worker& worker = *worker_;
    enter(worker, pid);
    auto answer = what();
    leave(worker);
    return answer;
  }

  // Threads that hang.
  [[nodiscard]] int stuck() const;

 private:
  struct Worker;
  struct Silent {
    std::uint32_t pid = 0;
    std::shared_ptr<Worker> worker;  // that hangs, or has come back
    std::uint32_t times = 0;
    std::uint64_t since_pass = 0;
  };

  static void enter(Worker& worker, std::uint32_t pid);
  static void leave(Worker& worker);
  bool start_worker();
  [[nodiscard]] bool is_silent(int directory, std::uint32_t pid);
  [[nodiscard]] bool is_over(const Silent& silent) const;
  void remember(std::uint32_t pid);

  std::shared_ptr<const ReadGuardHooks> hooks_;
  std::shared_ptr<Worker> worker_;
  std::vector<Silent> silent_;  // at most kMaxSilent
  std::uint64_t pass_ = 0;
  bool sieving_ = false;
};

// Whether /proc/PID/statm is that of a process that has its new memory and no program in it yet: it is
// in the middle of an exec.
bool is_statm_of_exec(std::string_view statm);

}  // namespace tidegauge
