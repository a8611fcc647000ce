// SPDX-License-Identifier: Apache-2.0
#include "daemon/commands/process_threads.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <map>
#include <string_view>

#include "collectors/core/text.h"
#include "collectors/process/process_entry.h"
#include "collectors/process/task_files.h"
#include "collectors/procfs/pid_stat.h"
#include "collectors/procfs/task_directory.h"

namespace tidegauge {

namespace {

constexpr std::size_t kMaxWaitChannels = 64;
constexpr std::size_t kMaxChannelBytes = 128;

struct Growth {
  const ThreadTime* thread;
  std::uint64_t ticks;
};

bool is_more_telling(const Growth& a, const Growth& b) {
  const bool a_stuck = a.thread->state == 'D';
  const bool b_stuck = b.thread->state == 'D';
  return a_stuck != b_stuck ? a_stuck : a.ticks > b.ticks;
}

}  // namespace

std::vector<ThreadTime> read_threads(const KernelFiles& files, std::uint32_t pid) {
  std::vector<ThreadTime> threads;
  const std::string path = files.proc(std::to_string(pid) + "/task");
  const Descriptor tasks(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!tasks.valid()) {
    return threads;
  }
  std::array<char, 2048> buffer;
  // An error ends the walk; what was seen until then counts.
  static_cast<void>(for_each_task(tasks.get(), path, [&](std::string_view name) -> Result<void> {
    if (threads.size() >= kMaxThreadsLookedAt) {
      return tl::make_unexpected(Error{ErrorKind::kTooLarge, 0, {}});
    }
    const std::uint32_t tid = parse_pid(name);
    const TaskFile file = read_task_file(tasks.get(), tid, "stat", buffer);
    if (tid == 0 || file.state != TaskFileState::kText) {
      return {};
    }
    if (const auto stat = parse_pid_stat(file.text)) {
      threads.push_back(
          {tid, stat->comm, stat->state, stat->user_ticks + stat->system_ticks, stat->start_ticks});
    }
    return {};
  }));
  return threads;
}

std::vector<ThreadRow> thread_rows(const std::vector<ThreadTime>& before,
                                   const std::vector<ThreadTime>& after, std::int64_t elapsed_ns) {
  std::map<std::pair<std::uint32_t, std::uint64_t>, std::uint64_t> ticks_before;
  for (const ThreadTime& thread : before) {
    ticks_before[{thread.tid, thread.start_ticks}] = thread.cpu_ticks;
  }
  std::map<std::string_view, std::vector<Growth>> by_name;
  for (const ThreadTime& thread : after) {
    const auto at = ticks_before.find({thread.tid, thread.start_ticks});
    const std::uint64_t known = at != ticks_before.end() ? at->second : 0;
    by_name[thread.name.view()].push_back({&thread, growth(known, thread.cpu_ticks)});
  }
  std::vector<ThreadRow> rows;
  for (const auto& [name, members] : by_name) {
    ThreadRow& row = rows.emplace_back();
    row.name = name;
    row.threads = members.size();
    std::uint64_t ticks = 0;
    for (const Growth& member : members) {
      ticks += member.ticks;
      row.stuck += member.thread->state == 'D' ? 1 : 0;
    }
    if (elapsed_ns > 0) {
      row.cpu_ratio = static_cast<double>(ticks * kNsPerTick) / static_cast<double>(elapsed_ns);
    }
    const ThreadTime& one =
        *std::min_element(members.begin(), members.end(), is_more_telling)->thread;
    row.tid = one.tid;
    row.state = one.state;
  }
  std::stable_sort(rows.begin(), rows.end(), [](const ThreadRow& a, const ThreadRow& b) {
    return a.cpu_ratio != b.cpu_ratio ? a.cpu_ratio > b.cpu_ratio : a.stuck > b.stuck;
  });
  return rows;
}

void read_wait_channels(const KernelFiles& files, std::uint32_t pid, std::vector<ThreadRow>& rows) {
  ReadBuffer buffer;
  std::size_t asked = 0;
  for (ThreadRow& row : rows) {
    if (row.state != 'D' || asked++ >= kMaxWaitChannels) {
      continue;
    }
    const auto text =
        read_file(files.proc(std::to_string(pid) + "/task/" + std::to_string(row.tid) + "/wchan"),
                  buffer, kMaxChannelBytes);
    if (text && trim(*text) != "0") {
      row.wait_channel = trim(*text);
    }
  }
}

}  // namespace tidegauge
