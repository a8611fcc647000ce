// SPDX-License-Identifier: Apache-2.0
#pragma once

// The scheduler's only source of time and of CPU readings, so that tests can be the ones who make it pass.

#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace tidegauge {

class Clock {
 public:
  Clock() = default;
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;
  virtual ~Clock() = default;

  [[nodiscard]] virtual std::int64_t realtime_ns() const = 0;  // steps when the clock is set
  [[nodiscard]] virtual std::int64_t boottime_ns() const = 0;  // monotone, counts suspend
  // CPU used so far, by the calling thread and by the whole process.
  [[nodiscard]] virtual std::int64_t thread_cpu_ns() const = 0;
  [[nodiscard]] virtual std::int64_t process_cpu_ns() const = 0;
  // Waits on `wake` until notified or boottime reaches `deadline_ns`; may wake early.
  virtual void wait(std::condition_variable& wake, std::unique_lock<std::mutex>& lock,
                    std::int64_t deadline_ns) = 0;
};

class SystemClock final : public Clock {
 public:
  [[nodiscard]] std::int64_t realtime_ns() const override;
  [[nodiscard]] std::int64_t boottime_ns() const override;
  [[nodiscard]] std::int64_t thread_cpu_ns() const override;
  [[nodiscard]] std::int64_t process_cpu_ns() const override;
  void wait(std::condition_variable& wake, std::unique_lock<std::mutex>& lock,
            std::int64_t deadline_ns) override;
};

}  // namespace tidegauge
