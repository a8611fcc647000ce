// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tsl/robin_map.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "collectors/core/kernel_files.h"
#include "collectors/process/group_rules.h"
#include "collectors/process/process_tracker.h"
#include "collectors/process/timed_reader.h"
#include "collectors/process/users.h"

namespace tidegauge {

// Looks up what a process's group depends on: cgroup and user always, executable and command line only
// where a rule asks for them. Each cgroup is looked up once for all its processes where the source
// gives it a key. Not thread-safe; owned by the collector.
class ProcessIdentifier {
 public:
  ProcessIdentifier(const KernelFiles& files, GroupRules rules);

  // Before each pass.
  void begin_pass(ReadBuffer& buffer);
  Classified classify(const ProcessSample& sample);
  // By what is left: name, user and, if a member of it was ever met, cgroup.
  [[nodiscard]] GroupName classify_exited(const ExitedSample& sample) const;
  // Processes whose command line a rule needs and that do not show it.
  [[nodiscard]] std::size_t unanswered() const { return unanswered_.size(); }

 private:
  std::shared_ptr<const ProcessOwner> owner_of(const ProcessSample& sample);
  std::shared_ptr<const ProcessOwner> read_owner(std::uint32_t pid);
  // The command line with blanks between its arguments; nothing when it could not be read in time.
  std::optional<std::string> command_line_of(const ProcessSample& sample);
  void forget_unused();

  KernelFiles files_;
  GroupRules rules_;
  Users users_;
  TimedReader timed_;
  ReadBuffer buffer_;
  std::int64_t command_lines_left_ns_ = 0;  // of this pass's time for command lines
  // A read that does not come back holds a thread: who did that is asked again ever more seldom.
  struct Unanswered {
    std::uint64_t start_ns = 0;
    std::uint64_t next_pass = 0;
    std::uint64_t wait_passes = 0;
  };
  tsl::robin_map<std::uint32_t, Unanswered> unanswered_;  // by pid
  tsl::robin_map<std::uint64_t, std::shared_ptr<const ProcessOwner>> by_key_;
  tsl::robin_map<std::string, std::shared_ptr<const ProcessOwner>> by_path_;
  std::uint64_t passes_ = 0;
};

}  // namespace tidegauge
