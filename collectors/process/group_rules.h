// SPDX-License-Identifier: Apache-2.0
#pragma once

// Which group a process belongs to: rules of the configuration, first match wins, then a default that
// is sensible without any. Pure; names come from untrusted users and leave as text of bounded length.

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/core/privacy.h"
#include "collectors/core/result.h"
#include "collectors/process/cgroup_identity.h"

namespace tidegauge {

// What is known about a process beside its counters. Empty: unknown, or it has none.
struct ProcessIdentity {
  std::string_view comm;
  std::string_view executable;    // /proc/PID/exe, only read when a rule asks
  std::string_view command_line;  // /proc/PID/cmdline with blanks, only read when a rule asks
  std::string_view user;          // name, or the number where there is none
  std::string_view cgroup;        // path
  const CgroupIdentity* owner = nullptr;
  bool kernel_thread = false;
  // What of it may be shown; null: all. Conditions always see the truth.
  const PrivacyFilter* privacy = nullptr;
};

struct GroupName {
  std::string name;
  // By the process, which any user can run under any name; else by the configuration, the service manager,
  // a container runtime or the kernel.
  bool chosen = false;
};

// As written; every condition that is given must hold, one of a list's items suffices.
struct GroupRuleSpec {
  std::string name{};  // with {comm}, {exe}, {user}, {unit}, {container}, {pod}, {cgroup}
                       // and the named groups of this rule's regular expressions
  std::vector<std::string> comm{};        // exact
  std::vector<std::string> executable{};  // a path, or a file name without '/'
  std::vector<std::string> user{};
  std::vector<std::string> unit{};
  std::vector<std::string> container{};  // id or its beginning; "*" for any
  std::string comm_regex{};              // RE2, unanchored, as the others
  std::string command_line_regex{};
  std::string cgroup_regex{};
};

class GroupRules {
 public:
  // kInvalid when an expression is not RE2 or a name has an unknown placeholder; `option` tells which.
  static Result<GroupRules> compile(std::vector<GroupRuleSpec> specs);

  GroupRules(GroupRules&&) noexcept;
  GroupRules& operator=(GroupRules&&) noexcept;
  ~GroupRules();

  [[nodiscard]] bool needs_executable() const { return needs_executable_; }
  [[nodiscard]] bool needs_command_line() const { return needs_command_line_; }

  // The group's name: valid UTF-8, at most kMaxGroupNameBytes, never empty.
  [[nodiscard]] GroupName group_of(const ProcessIdentity& process) const;

 private:
  struct Rule;
  GroupRules();

  std::vector<Rule> rules_;
  bool needs_executable_ = false;
  bool needs_command_line_ = false;
};

inline constexpr std::size_t kMaxGroupNameBytes = 128;

// Without rules: the container ("docker:0123456789ab"), the service ("nginx.service"), a kernel
// thread's kind ("[kworker]"), else its name; "comm:" stands before a name that looks like one of those, so
// that nobody's doings are shown as another's.
GroupName default_group(const ProcessIdentity& process);

}  // namespace tidegauge
