// SPDX-License-Identifier: Apache-2.0
#include "collectors/block/disk_sampler.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <ctime>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

namespace tidegauge {

namespace {

constexpr std::uint64_t kSecondNs = 1'000'000'000;
constexpr std::uint64_t kRestNs = 60 * kSecondNs;
constexpr std::uint64_t kCostShare = 200;

std::int64_t thread_cpu_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

// CLOCK_MONOTONIC, as windows are numbered.
std::uint64_t steady_ns() {
  return static_cast<std::uint64_t>(
      std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count());
}

// Partitions are in the folders of their disks; dm and md say what they are made of.
bool is_disk(const KernelFiles& files, std::string_view name) {
  if (name.starts_with("ram") || name.starts_with("zram")) {
    return false;
  }
  std::string folder(name);
  std::replace(folder.begin(), folder.end(), '/', '!');  // "cciss/c0d0"
  folder = files.sys("block/" + folder);
  std::error_code error;
  return std::filesystem::exists(folder, error) &&
         (!std::filesystem::exists(folder + "/slaves", error) ||
          std::filesystem::is_empty(folder + "/slaves", error));
}

}  // namespace

DiskSampler::DiskSampler(const KernelFiles& files, DiskBursts& bursts)
    : files_(files),
      diskstats_(files.proc_file("diskstats")),
      sampling_(bursts, [this](std::string_view name) { return is_disk(files_, name); }) {
  // Signals are for threads that can act on them.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    thread_ = std::thread([this] { run(); });
    ::pthread_setname_np(thread_.native_handle(), "disk-sampler");
  } catch (const std::system_error& error) {  // the system has no thread to give
    no_thread_ = system_error(error.code().value(), "thread disk-sampler");
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

DiskSampler::~DiskSampler() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) {
    thread_.join();
  }
}

Result<void> DiskSampler::with(const std::function<void()>& use) {
  const std::lock_guard lock(mutex_);
  auto looked = look(steady_ns());
  use();
  return looked && !thread_.joinable() ? no_thread_ : looked;
}

std::int64_t DiskSampler::take_cpu_ns() {
  const std::lock_guard lock(mutex_);
  return cpu_ns_ - std::exchange(cpu_taken_ns_, cpu_ns_);
}

std::uint64_t DiskSampler::period_ns(std::uint64_t idle_ns, std::uint64_t cost_ns) {
  const std::uint64_t wanted_ns = idle_ns < kRestNs ? DiskWindow::kNs : kSecondNs;
  const std::uint64_t windows = (cost_ns * kCostShare + DiskWindow::kNs - 1) / DiskWindow::kNs;
  return std::clamp(windows * DiskWindow::kNs, wanted_ns, 10 * kSecondNs);
}

void DiskSampler::run() {
  std::unique_lock lock(mutex_);
  const std::uint64_t started_ns = steady_ns();
  while (!ends_) {
    const std::uint64_t now_ns = steady_ns();
    static_cast<void>(look(now_ns));  // with() tells of errors
    const std::int64_t cpu_ns = thread_cpu_ns();
    const auto cost_ns = static_cast<std::uint64_t>(cpu_ns - std::exchange(cpu_ns_, cpu_ns));
    const std::uint64_t period =
        period_ns(now_ns - std::max(started_ns, sampling_.busy_ns()), cost_ns);
    // On the edges of windows.
    const auto next = std::chrono::nanoseconds((now_ns / period + 1) * period);
    changed_.wait_until(lock, std::chrono::steady_clock::time_point(next),
                        [this] { return ends_; });
  }
}

Result<void> DiskSampler::look(std::uint64_t now_ns) {
  const auto text = diskstats_.read_lines(buffer_);
  return text ? sampling_.take(*text, now_ns) : tl::make_unexpected(text.error());
}

}  // namespace tidegauge
