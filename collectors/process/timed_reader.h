// SPDX-License-Identifier: Apache-2.0
#pragma once

// Reads of files that can block in the kernel for as long as they like: cmdline and smaps_rollup take
// the target's mmap lock, which a task in trouble may hold for minutes.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "collectors/core/result.h"

namespace tidegauge {

// One reading thread of its own, started when first needed. A read that outlives its limit keeps that
// thread; the next one starts another, up to kMaxStuck, then reads fail at once until one comes back.
// Not thread-safe; stuck threads co-own what they need and are never waited for.
class TimedReader {
 public:
  // Reads at most so many bytes of a file, for as long as it takes. Called on the reading threads.
  using Read = std::function<Result<std::string>(const std::string& path, std::size_t max_bytes)>;

  TimedReader();
  explicit TimedReader(Read read);  // a test's own
  ~TimedReader();
  TimedReader(const TimedReader&) = delete;
  TimedReader& operator=(const TimedReader&) = delete;

  // At most `max_bytes`: more is cut off. kTimeout after `limit_ns`.
  Result<std::string> read(const std::string& path, std::size_t max_bytes, std::int64_t limit_ns);

  static constexpr int kMaxStuck = 4;

 private:
  struct Worker;
  struct Shared;
  std::shared_ptr<Worker> worker_;
  std::shared_ptr<Shared> shared_;
};

}  // namespace tidegauge
