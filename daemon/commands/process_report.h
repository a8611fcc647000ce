// SPDX-License-Identifier: Apache-2.0
#pragma once

// `tidegauge process PID`: everything about one process on one page. Never its environment; its
// command line only when asked for.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "collectors/process/pid_smaps_rollup.h"
#include "daemon/commands/process_threads.h"
#include "daemon/commands/terminal_text.h"
#include "daemon/commands/top_collect.h"
#include "daemon/config/flags.h"

namespace tidegauge {

// A value, or a sentence on why there is none.
template <class T>
struct OrReason {
  std::optional<T> value;
  std::string reason{};
};

struct ProcessReport {
  TopFacts facts;
  TopProcess process;
  std::string user;
  std::string executable;  // as it may be shown; "": unknown
  std::string cgroup;      // likewise
  std::int64_t start_realtime_ns = 0;
  double age_s = 0;
  OrReason<std::uint64_t> open_files;
  OrReason<std::uint64_t> open_files_limit;
  std::string allowed_cpus;  // "0-3"; "": unknown
  std::optional<std::uint64_t> allowed_cpu_count;
  OrReason<PidSmapsRollup> smaps;
  std::optional<OrReason<std::string>> command_line;  // when asked for
  double interval_s = 0;
  std::vector<ThreadRow> threads;
  bool ended = false;  // while it was looked at
};

// Lines without newlines, none wider than `columns`.
std::vector<std::string> report_text(const ProcessReport& report, std::size_t columns,
                                     Charset charset);
// One line of ASCII, with its newline.
std::string report_json(const ProcessReport& report);

// Returns the process's exit code: 1 and one sentence when there is no such process.
int process_report(const CommandLine& command_line, CollectorRegistry registry);

}  // namespace tidegauge
