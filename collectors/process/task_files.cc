// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/task_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>

#include "collectors/core/text.h"
#include "collectors/procfs/task_directory.h"

namespace tidegauge {

namespace {

constexpr std::size_t kMaxPath = 32;
constexpr std::size_t kMaxPidDigits = 9;  // PID_MAX_LIMIT has 7; these still fit in 32 bits

TaskFileState state_of(int errno_value) {
  if (task_left(errno_value)) {
    return TaskFileState::kGone;
  }
  return errno_value == EACCES || errno_value == EPERM ? TaskFileState::kDenied
                                                       : TaskFileState::kBroken;
}

}  // namespace

TaskFile read_task_file(int directory, std::uint32_t number, std::string_view file,
                        std::span<char> buffer) {
  std::array<char, kMaxPath> path;
  char* at = std::to_chars(path.data(), path.data() + path.size(), number).ptr;
  *at++ = '/';
  if (file.size() >= static_cast<std::size_t>(path.data() + path.size() - at)) {
    return {};
  }
  at = std::copy(file.begin(), file.end(), at);
  *at = '\0';
  const Descriptor open_file(
      ::openat(directory, path.data(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  const ssize_t got =
      open_file.valid() ? ::read(open_file.get(), buffer.data(), buffer.size()) : -1;
  if (got < 0) {
    return {state_of(errno), {}};
  }
  const auto size = static_cast<std::size_t>(got);
  if (size == buffer.size()) {
    return {};
  }
  return {TaskFileState::kText, {buffer.data(), size}};
}

TaskFile read_task_file(ReadGuard& guard, std::uint32_t pid, int directory, std::uint32_t number,
                        std::string_view file, std::span<char> buffer) {
  return guard.read(pid, [&] { return read_task_file(directory, number, file, buffer); });
}

std::uint32_t parse_pid(std::string_view name) {
  if (name.size() > kMaxPidDigits || name.starts_with('0')) {
    return 0;
  }
  return static_cast<std::uint32_t>(parse_unsigned(name).value_or(0));
}

Result<void> list_pids(int directory, const std::string& path, std::vector<std::uint32_t>& pids,
                       std::uint64_t& unusable) {
  pids.clear();
  auto listed = for_each_task(directory, path, [&](std::string_view name) -> Result<void> {
    const std::uint32_t pid = parse_pid(name);
    if (pid == 0) {
      ++unusable;
    } else {
      pids.push_back(pid);
    }
    return {};
  });
  // procfs lists them in this order; a copy of it in another file system may not.
  if (!std::is_sorted(pids.begin(), pids.end())) {
    std::sort(pids.begin(), pids.end());
  }
  return listed;
}

}  // namespace tidegauge
