// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/process_details.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "collectors/core/text.h"
#include "collectors/process/process_entry.h"
#include "collectors/process/task_files.h"
#include "collectors/procfs/pid_stat.h"
#include "collectors/procfs/task_directory.h"

namespace tidegauge {

namespace {

// A pass looks at so many processes and reads so many files of threads: about two milliseconds.
constexpr std::size_t kProcessesPerPass = 6;
constexpr std::size_t kReadsPerPass = 128;
// One that has not used that much CPU since the last look has little news.
constexpr std::uint64_t kNewsNs = 10'000'000;
constexpr std::int64_t kRestNs = 15'000'000'000;
constexpr std::size_t kMaxThreads = 4096;  // of a process; the first ones by number
constexpr std::size_t kMaxDescriptors = 20'000;
// About 20 ms a GiB of small pages, during which page faults of the target wait.
constexpr std::uint64_t kMostResidentBytes = 8ULL << 30U;
constexpr std::int64_t kMappingsIntervalNs = 60'000'000'000;
constexpr std::int64_t kMappingsLimitNs = 500'000'000;

// Entries of /proc/PID/fd. Since 6.2 the directory's size tells (f1f1f2569901 "proc: report open files
// as size in stat() for /proc/pid/fd"); before, they are counted.
std::optional<std::uint64_t> count_descriptors(const std::string& path) {
  const Descriptor directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct stat info {};
  if (!directory.valid() || ::fstat(directory.get(), &info) != 0) {
    return std::nullopt;
  }
  if (info.st_size > 0) {
    return static_cast<std::uint64_t>(info.st_size);
  }
  std::uint64_t count = 0;
  const auto walked = for_each_task(directory.get(), path, [&](std::string_view) -> Result<void> {
    if (++count > kMaxDescriptors) {
      return tl::make_unexpected(Error{ErrorKind::kTooLarge, 0, {}});
    }
    return {};
  });
  return walked ? std::optional(count) : std::nullopt;
}

std::string allowed_cpus(std::string_view status) {
  LineReader lines(status);
  constexpr std::string_view kKey = "Cpus_allowed_list:";
  for (std::string_view line; lines.next(line);) {
    if (line.starts_with(kKey)) {
      return std::string(trim(line.substr(kKey.size())));
    }
  }
  return {};
}

void add_time(std::vector<ThreadGroupTime>& threads, std::string_view name, std::uint64_t ticks) {
  const auto named = [&](std::string_view wanted) {
    return std::find_if(threads.begin(), threads.end(),
                        [&](const ThreadGroupTime& t) { return t.name == wanted; });
  };
  auto at = named(name);
  if (at == threads.end() && threads.size() + 1 >= kMaxThreadNames) {
    name = "other";
    at = named(name);
  }
  if (at == threads.end()) {
    at = threads.insert(threads.end(), {.name = std::string(name)});
  }
  at->cpu_ticks += ticks;
}

}  // namespace

namespace {

std::uint64_t cpu_ns(const TaskCounters& counters) {
  return counters[TaskCounter::kUserNs] + counters[TaskCounter::kSystemNs];
}

bool is_due(const ProcessDetail& detail, const TaskCounters& counters, std::int64_t now_ns) {
  return !detail.looked_ns || !detail.round.empty() || now_ns >= *detail.looked_ns + kRestNs ||
         cpu_ns(counters) - detail.looked_cpu_ns >= kNewsNs;
}

}  // namespace

std::optional<std::uint64_t> count_cpus(std::string_view list) {
  std::uint64_t count = 0;
  while (!list.empty()) {
    const auto comma = list.find(',');
    const std::string_view range = list.substr(0, comma);
    list.remove_prefix(comma == std::string_view::npos ? list.size() : comma + 1);
    const auto dash = range.find('-');
    const auto first = parse_unsigned(range.substr(0, dash));
    const auto last =
        dash == std::string_view::npos ? first : parse_unsigned(range.substr(dash + 1));
    if (!first || !last || *last < *first || *last > 1'000'000) {
      return std::nullopt;
    }
    count += *last - *first + 1;
  }
  return count != 0 ? std::optional(count) : std::nullopt;
}

namespace {

std::uint64_t ticks_of(const std::vector<ThreadTicks>& round, std::uint32_t tid,
                       std::uint64_t unknown) {
  const auto at = std::lower_bound(
      round.begin(), round.end(), tid,
      [](const ThreadTicks& thread, std::uint32_t wanted) { return thread.tid < wanted; });
  return at != round.end() && at->tid == tid ? at->ticks : unknown;
}

}  // namespace

void ProcessDetails::look_at_threads(ProcessDetail& detail) {
  const std::string path = files_.proc(std::to_string(detail.key.pid) + "/task");
  const Descriptor tasks(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  std::vector<std::uint32_t> tids;
  std::uint64_t unusable = 0;
  if (!tasks.valid() || !list_pids(tasks.get(), path, tids, unusable)) {
    return;
  }
  std::vector<ThreadTicks> round = detail.round;
  std::vector<ThreadGroupTime> threads = detail.threads;
  std::array<char, 2048> buffer;
  auto at = std::upper_bound(tids.begin(), tids.end(), round.empty() ? 0 : round.back().tid);
  for (; at != tids.end() && reads_left_ != 0 && round.size() < kMaxThreads; ++at) {
    --reads_left_;
    const TaskFile file = read_task_file(guard_, detail.key.pid, tasks.get(), *at, "stat", buffer);
    const auto stat = parse_pid_stat(file.text);
    if (file.state != TaskFileState::kText || !stat) {
      continue;
    }
    const std::uint64_t ticks = stat->user_ticks + stat->system_ticks;
    // What a thread did before the first look does not count; one that came since has done all of it
    // since. A number that was reused by a thread that has done less is another thread.
    const bool is_old = stat->start_ticks * kNsPerTick < detail.first_look_ns;
    const std::uint64_t known = ticks_of(detail.last_round, *at, is_old ? ticks : 0);
    add_time(threads, sanitize_label(stat->comm.view(), sizeof(TaskName)),
             known <= ticks ? ticks - known : ticks);
    round.push_back({*at, ticks});
  }
  // Only now: a thread that hung above and was left behind has changed nothing.
  if (at == tids.end() || round.size() >= kMaxThreads) {
    detail.last_round = std::move(round);
    round.clear();
  }
  detail.round = std::move(round);
  detail.threads = std::move(threads);
  std::sort(detail.threads.begin(), detail.threads.end(),
            [](const ThreadGroupTime& a, const ThreadGroupTime& b) {
              return a.cpu_ticks != b.cpu_ticks ? a.cpu_ticks > b.cpu_ticks : a.name < b.name;
            });
  for (std::size_t i = 0; i < std::min(kShownThreadNames, detail.threads.size()); ++i) {
    ThreadGroupTime& thread = detail.threads[i];
    thread.is_shown = thread.is_shown || thread.cpu_ticks != 0;
  }
}

void ProcessDetails::look(ProcessDetail& detail, bool has_threads) {
  const Descriptor procfs(
      ::open(files_.roots().procfs.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (guard_.skips(procfs.get(), detail.key.pid)) {
    return;
  }
  const std::string directory = files_.proc(std::to_string(detail.key.pid));
  detail.open_descriptors = count_descriptors(directory + "/fd");
  ReadBuffer buffer;
  if (const auto status = read_file(directory + "/status", buffer, kMaxSmallFileBytes)) {
    detail.allowed_cpus = allowed_cpus(*status);
    detail.allowed_cpu_count = count_cpus(detail.allowed_cpus);
  }
  if (has_threads) {
    look_at_threads(detail);
  }
}

void ProcessDetails::look_at_mappings(const std::vector<const TrackedProcess*>& processes,
                                      std::uint32_t suspect_pid, std::int64_t now_ns) {
  if (mappings_read_ns_ && now_ns - *mappings_read_ns_ < kMappingsIntervalNs) {
    return;
  }
  const auto growth = [](const TrackedProcess* process) {
    return process->scores.per_second[static_cast<std::size_t>(TopCriterion::kMemoryGrowth)];
  };
  const TrackedProcess* suspect = nullptr;
  for (const TrackedProcess* process : processes) {
    const TaskGauges& gauges = process->sample.gauges;
    const std::uint64_t resident = gauges[TaskGauge::kAnonBytes] + gauges[TaskGauge::kFileBytes] +
                                   gauges[TaskGauge::kShmemBytes];
    if (!process->sample.alive || resident > kMostResidentBytes) {
      continue;
    }
    if (process->sample.key.pid == suspect_pid) {
      suspect = process;
      break;
    }
    if (growth(process) > 0 && (suspect == nullptr || growth(process) > growth(suspect))) {
      suspect = process;
    }
  }
  const auto detail =
      suspect == nullptr
          ? details_.end()
          : std::find_if(details_.begin(), details_.end(),
                         [&](const ProcessDetail& one) { return one.key == suspect->sample.key; });
  if (detail == details_.end()) {
    return;
  }
  mappings_read_ns_ = now_ns;
  const auto text = timed_.read(files_.proc(std::to_string(detail->key.pid) + "/smaps_rollup"),
                                kMaxSmallFileBytes, kMappingsLimitNs);
  if (text) {
    if (const auto parsed = parse_pid_smaps_rollup(*text)) {
      detail->mappings = *parsed;
    }
  }
}

std::int64_t ProcessDetails::update(const std::vector<const TrackedProcess*>& processes,
                                    std::int64_t now_ns) {
  for (ProcessDetail& detail : details_) {
    detail.listed = false;
  }
  for (const TrackedProcess* process : processes) {
    const ProcessSample& sample = process->sample;
    if (!sample.alive || sample.kernel_thread) {
      continue;
    }
    auto at = std::find_if(details_.begin(), details_.end(),
                           [&](const ProcessDetail& detail) { return detail.key == sample.key; });
    if (at == details_.end()) {
      at = details_.emplace(details_.end());
      at->key = sample.key;
      at->first_look_ns = static_cast<std::uint64_t>(now_ns);
    }
    at->comm = sample.comm;
    at->listed = true;
    at->is_due = is_due(*at, sample.counters, now_ns);
  }
  std::erase_if(details_, [](const ProcessDetail& detail) { return !detail.listed; });
  reads_left_ = kReadsPerPass;
  looks_left_ = std::min(kProcessesPerPass, static_cast<std::size_t>(std::ranges::count_if(
                                                details_, [](const auto& d) { return d.is_due; })));
  if (looks_left_ == 0) {
    return 0;
  }
  guard_.begin_pass();
  ReadGuard::Ran ran{};
  do {
    ran = guard_.run([this, &processes, now_ns] { look_at_some(processes, now_ns); });
  } while (ran.outcome == ReadGuard::Outcome::kStuck);
  return ran.cpu_ns;
}

void ProcessDetails::look_at_some(const std::vector<const TrackedProcess*>& processes,
                                  std::int64_t now_ns) {
  while (looks_left_ != 0 && reads_left_ != 0) {
    ProcessDetail& detail = details_[next_++ % details_.size()];
    if (!std::exchange(detail.is_due, false)) {
      continue;
    }
    --looks_left_;
    const auto process = std::find_if(
        processes.begin(), processes.end(),
        [&](const TrackedProcess* candidate) { return candidate->sample.key == detail.key; });
    detail.looked_ns = now_ns;
    detail.looked_cpu_ns = cpu_ns((*process)->sample.counters);
    look(detail, (*process)->sample.gauges[TaskGauge::kThreads] > 1);
  }
}

}  // namespace tidegauge
