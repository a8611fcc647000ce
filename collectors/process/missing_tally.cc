// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/missing_tally.h"

namespace tidegauge {

namespace {

std::string_view io_reason(IoState state) {
  switch (state) {
    case IoState::kDenied:
      return "the I/O of other users' processes needs CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH";
    case IoState::kNoAccounting:
      return "kernel without CONFIG_TASK_IO_ACCOUNTING";
    case IoState::kMalformed:
    case IoState::kReadable:
      break;
  }
  return "malformed";
}

std::string_view detail_reason(DetailState state) {
  switch (state) {
    case DetailState::kPending:
      return "not read yet: only so many processes are looked at closely in one pass";
    case DetailState::kTooManyThreads:
      return "more threads than are summed up";
    case DetailState::kUnreadable:
    case DetailState::kRead:
      break;
  }
  return "status or schedstat cannot be read";
}

}  // namespace

void MissingTally::add(std::string_view field, std::string_view reason, std::uint64_t processes) {
  for (Row& row : rows_) {
    if (row.field == field && row.reason == reason) {
      row.processes += processes;
      return;
    }
  }
  rows_.push_back({field, reason, processes});
}

void MissingTally::add_process(const ProcessSample& sample, const ProcessEntry& entry,
                               std::string_view no_delays) {
  if (entry.io_state != IoState::kReadable) {
    add("io", io_reason(entry.io_state));
  }
  if (!sample.counters.present(TaskCounter::kVoluntarySwitches)) {
    add("switches", detail_reason(entry.detail));
  }
  if (!sample.counters.present(TaskCounter::kRunDelayNs)) {
    add("run_delay", entry.no_schedstat ? "kernel without CONFIG_SCHED_INFO or with it off"
                                        : detail_reason(entry.detail));
  }
  if (!sample.counters.present(TaskCounter::kBlockDelayNs)) {
    add("block_delay", no_delays.empty() ? detail_reason(entry.detail) : no_delays);
  }
  if (sample.uid == kUnknownUid) {
    add("uid", detail_reason(entry.detail));
  }
  if (entry.no_memory_split) {
    add("memory", "kernel before 4.5 does not split resident memory");
  }
}

void MissingTally::take(std::vector<MissingField>& out) {
  for (const Row& row : rows_) {
    out.push_back({std::string(row.field), std::string(row.reason), row.processes});
  }
  rows_.clear();
}

}  // namespace tidegauge
