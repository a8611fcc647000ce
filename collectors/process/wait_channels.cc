// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/wait_channels.h"

#include <algorithm>
#include <utility>

#include "collectors/procfs/read_guard.h"

namespace tidegauge {

namespace {

constexpr std::int64_t kLimitNs = 20'000'000;
constexpr std::size_t kMaxBytes = 128;

}  // namespace

std::string WaitChannels::read(std::uint32_t pid, std::uint32_t tid) {
  std::erase_if(silent_, [this](const Silent& silent) { return silent.until_pass <= pass_; });
  if (std::any_of(silent_.begin(), silent_.end(),
                  [pid](const Silent& silent) { return silent.pid == pid; })) {
    return {};
  }
  const std::string process = std::to_string(pid);
  // Known not to answer: no thread is risked for it.
  const auto statm = reader_.read(files_.proc(process + "/statm"), kMaxBytes, kLimitNs);
  if (statm && is_statm_of_exec(*statm)) {
    return {};
  }
  auto text = reader_.read(files_.proc(process + "/task/" + std::to_string(tid) + "/wchan"),
                           kMaxBytes, kLimitNs);
  if (text) {
    return std::move(*text);
  }
  if (text.error().kind == ErrorKind::kTimeout) {
    if (silent_.size() >= kMaxSilent) {
      silent_.erase(silent_.begin());
    }
    silent_.push_back({pid, pass_ + kSilentPasses});
  }
  return {};
}

}  // namespace tidegauge
