// SPDX-License-Identifier: Apache-2.0
#pragma once

// statfs() that cannot hang its caller. On a dead NFS server or a frozen FUSE daemon the system
// call waits for ever and nothing can end it, so it runs in helper threads: one for a whole batch
// when every file system answers, another when one stalls, and so on up to a limit. A thread that
// is stuck is left behind with its share of the state; nobody ever waits for it, the destructor
// included.

#include <sys/vfs.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace tidegauge {

struct StatfsJob {
  enum class Outcome : std::uint8_t {
    kAnswered,   // `error` is 0 and `result` is set, or `error` is an errno
    kStuck,      // did not answer in time, now or since an earlier run
    kExhausted,  // not tried: too many helper threads are stuck
  };

  std::uint64_t id = 0;  // of the mount: a stuck one is not tried again until its call returns
  std::string path;
  bool local = false;  // needs no server to answer, so it may use the last threads
  Outcome outcome = Outcome::kExhausted;
  int error = 0;
  struct statfs result {};
};

using StatfsFunction = std::function<int(const char* path, struct statfs* out)>;

class StatfsPool {
 public:
  static constexpr int kMaxStuckThreads = 16;
  // Beyond those only for local mounts, so that a dead server with many mounts does not hide the root
  // file system.
  static constexpr int kMaxThreads = kMaxStuckThreads + 4;

  explicit StatfsPool(std::chrono::nanoseconds timeout, StatfsFunction function = ::statfs);

  // Fills in outcome, error and result of each job; returns within the time-out and two seconds,
  // however many mounts hang. One caller at a time.
  void run(std::vector<StatfsJob>& jobs);

  // Mounts whose call has not come back.
  [[nodiscard]] std::size_t stuck() const;

 private:
  struct Shared;
  struct Batch;
  struct Task;
  static void* work(void* argument);
  static bool start_worker(const std::shared_ptr<Shared>& shared,
                           const std::shared_ptr<Batch>& batch);

  void wait(const std::shared_ptr<Batch>& batch);
  void give_up_running(Batch& batch);
  void give_up_late(Batch& batch, std::chrono::nanoseconds slice);

  std::chrono::nanoseconds timeout_;
  std::shared_ptr<Shared> shared_;
};

}  // namespace tidegauge
