// SPDX-License-Identifier: Apache-2.0
#pragma once

// What `top` and `process` see: passes by the collectors' own pieces, with the configuration of the
// `process` collector and without a daemon.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "collectors/process/process_identifier.h"
#include "collectors/process/process_options.h"
#include "collectors/process/process_tracker.h"
#include "collectors/process/users.h"
#include "daemon/commands/top_rates.h"
#include "daemon/config/config.h"

namespace tidegauge {

struct TopFacts {
  // Just before the counters were read.
  std::int64_t realtime_ns = 0;
  std::int64_t boottime_ns = 0;
  std::string source;  // "iterator" or "procfs"
  std::string reason;  // why that one
  std::uint64_t processes = 0;
  std::uint64_t threads = 0;
  std::uint64_t stuck_threads = 0;  // in uninterruptible sleep
  std::vector<MissingField> missing;
};

// Not thread-safe.
class TopCollector {
 public:
  // Everything but the source, which the first pass makes. The error is for exit code 2.
  static ConfigResult<std::unique_ptr<TopCollector>> make(const Config& config);

  // A source that fails where --collector.process.source=auto gives way to /proc: then this pass is
  // a first one again, and nothing of `out` compares with the one before.
  Result<void> pass(TopPass& out);

  [[nodiscard]] const TopFacts& facts() const { return facts_; }
  [[nodiscard]] const KernelFiles& files() const { return files_; }
  // As it may be shown; "" where it is not known.
  [[nodiscard]] std::string user(std::uint32_t uid);

 private:
  TopCollector(const KernelFiles& files, const ProcessSettings& settings, GroupRules rules);

  Result<void> make_source();
  Result<void> read(TopPass& out);
  Result<void> read_somehow(TopPass& out);
  void add_ended(TopPass& out);
  void classify(TopPass& out);
  void tell_facts();

  KernelFiles files_;
  ProcessSettings settings_;
  ProcessIdentifier identifier_;
  ProcessTracker tracker_;
  Users users_;
  std::map<std::uint32_t, std::string> shown_users_;
  ChosenSource source_;
  TaskPass pass_;
  ReadBuffer buffer_;
  TopFacts facts_;
};

}  // namespace tidegauge
