// SPDX-License-Identifier: Apache-2.0
#include "daemon/scheduler/clock.h"

#include <algorithm>
#include <chrono>
#include <ctime>

namespace tidegauge {

namespace {

std::int64_t read_clock(clockid_t id) {
  timespec now{};
  ::clock_gettime(id, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

std::int64_t SystemClock::realtime_ns() const { return read_clock(CLOCK_REALTIME); }
std::int64_t SystemClock::boottime_ns() const { return read_clock(CLOCK_BOOTTIME); }
std::int64_t SystemClock::thread_cpu_ns() const { return read_clock(CLOCK_THREAD_CPUTIME_ID); }
std::int64_t SystemClock::process_cpu_ns() const { return read_clock(CLOCK_PROCESS_CPUTIME_ID); }

void SystemClock::wait(std::condition_variable& wake, std::unique_lock<std::mutex>& lock,
                       std::int64_t deadline_ns) {
  const std::int64_t left = std::max<std::int64_t>(deadline_ns - boottime_ns(), 0);
  wake.wait_for(lock, std::chrono::nanoseconds(left));
}

}  // namespace tidegauge
