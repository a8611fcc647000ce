// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/process_identifier.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace tidegauge {

namespace {

constexpr std::size_t kMaxCommandLineBytes = 4096;
// A command line takes microseconds unless its process is in trouble.
constexpr std::int64_t kCommandLineLimitNs = 20'000'000;
constexpr std::int64_t kCommandLinesPerPassNs = 200'000'000;
constexpr std::uint64_t kFirstWaitPasses = 64;
constexpr std::uint64_t kLongestWaitPasses = 4096;
constexpr std::size_t kMaxUnanswered = 256;
constexpr std::size_t kMaxOwners = 8192;
constexpr std::uint64_t kForgetPasses = 64;
constexpr std::size_t kMaxPathBytes = 1024;

std::string file_of(std::uint32_t pid, std::string_view name) {
  return std::to_string(pid) + "/" + std::string(name);
}

}  // namespace

ProcessIdentifier::ProcessIdentifier(const KernelFiles& files, GroupRules rules)
    : files_(files), rules_(std::move(rules)), users_(files.root("/etc/passwd")) {}

void ProcessIdentifier::begin_pass(ReadBuffer& buffer) {
  users_.refresh(buffer);
  command_lines_left_ns_ = kCommandLinesPerPassNs;
  if (++passes_ % kForgetPasses == 0) {
    forget_unused();
  }
}

// An owner that only the maps hold has no process any more. Those of keys stay a round longer: what
// ended meanwhile is still to be classified.
void ProcessIdentifier::forget_unused() {
  for (auto at = by_path_.begin(); at != by_path_.end();) {
    at = at->second.use_count() <= 1 ? by_path_.erase(at) : std::next(at);
  }
  tsl::robin_map<const ProcessOwner*, long> keys;
  for (const auto& [key, owner] : by_key_) {
    ++keys[owner.get()];
  }
  for (auto at = by_key_.begin(); at != by_key_.end();) {
    // Used by its keys and at most by `by_path_`.
    const bool unused = at->second.use_count() <= keys[at->second.get()] + 1;
    at = unused ? by_key_.erase(at) : std::next(at);
  }
  for (auto at = unanswered_.begin(); at != unanswered_.end();) {
    const bool over = at->second.next_pass + kLongestWaitPasses < passes_;
    at = over ? unanswered_.erase(at) : std::next(at);
  }
}

std::shared_ptr<const ProcessOwner> ProcessIdentifier::read_owner(std::uint32_t pid) {
  const auto text = read_file(files_.proc(file_of(pid, "cgroup")), buffer_, kMaxSmallFileBytes);
  if (!text) {
    return nullptr;
  }
  const auto path = telling_cgroup_path(*text);
  if (!path) {
    return nullptr;
  }
  std::string name(path->substr(0, kMaxPathBytes));
  if (const auto at = by_path_.find(name); at != by_path_.end()) {
    return at->second;
  }
  auto owner = std::make_shared<ProcessOwner>();
  owner->identity = identify_cgroup(name);
  owner->cgroup = name;
  if (by_path_.size() >= kMaxOwners) {
    return owner;
  }
  return by_path_.emplace(std::move(name), std::move(owner)).first->second;
}

std::shared_ptr<const ProcessOwner> ProcessIdentifier::owner_of(const ProcessSample& sample) {
  if (sample.cgroup_key == 0) {
    return sample.alive ? read_owner(sample.key.pid) : nullptr;
  }
  if (const auto at = by_key_.find(sample.cgroup_key); at != by_key_.end()) {
    return at->second;
  }
  auto owner = sample.alive ? read_owner(sample.key.pid) : nullptr;
  if (owner != nullptr && by_key_.size() < kMaxOwners) {
    by_key_.emplace(sample.cgroup_key, owner);
  }
  return owner;
}

std::optional<std::string> ProcessIdentifier::command_line_of(const ProcessSample& sample) {
  const auto known = unanswered_.find(sample.key.pid);
  const bool has_failed =
      known != unanswered_.end() && known->second.start_ns == sample.key.start_ns;
  if (command_lines_left_ns_ <= 0 || (has_failed && passes_ < known->second.next_pass)) {
    return std::nullopt;
  }
  auto text = timed_.read(files_.proc(file_of(sample.key.pid, "cmdline")), kMaxCommandLineBytes,
                          kCommandLineLimitNs);
  if (!text && text.error().kind == ErrorKind::kTimeout) {
    command_lines_left_ns_ -= kCommandLineLimitNs;
    const std::uint64_t wait =
        has_failed ? std::min(known->second.wait_passes * 2, kLongestWaitPasses) : kFirstWaitPasses;
    if (has_failed || unanswered_.size() < kMaxUnanswered) {
      unanswered_[sample.key.pid] = {sample.key.start_ns, passes_ + wait, wait};
    }
    return std::nullopt;
  }
  if (known != unanswered_.end()) {
    unanswered_.erase(known);
  }
  std::string line = text ? std::move(*text) : std::string();
  std::replace(line.begin(), line.end(), '\0', ' ');
  return line;
}

Classified ProcessIdentifier::classify(const ProcessSample& sample) {
  Classified out;
  out.owner = owner_of(sample);
  ProcessIdentity identity;
  identity.comm = sample.comm.view();
  identity.kernel_thread = sample.kernel_thread;
  identity.privacy = &files_.privacy();
  const std::string user = sample.uid != kUnknownUid ? users_.name(sample.uid) : std::string();
  identity.user = user;
  std::string executable;
  if (rules_.needs_executable() && sample.alive && !sample.kernel_thread) {
    executable = read_link(files_.proc(file_of(sample.key.pid, "exe"))).value_or("");
    constexpr std::string_view kReplaced = " (deleted)";  // the package was upgraded since
    if (executable.ends_with(kReplaced)) {
      executable.resize(executable.size() - kReplaced.size());
    }
    identity.executable = executable;
  }
  std::optional<std::string> command_line;
  if (rules_.needs_command_line() && sample.alive && !sample.kernel_thread) {
    command_line = command_line_of(sample);
    out.is_complete = command_line.has_value();
    identity.command_line = command_line ? *command_line : std::string_view();
  }
  if (out.owner != nullptr) {
    identity.cgroup = out.owner->cgroup;
    identity.owner = &out.owner->identity;
  }
  out.group = rules_.group_of(identity);
  return out;
}

GroupName ProcessIdentifier::classify_exited(const ExitedSample& sample) const {
  ProcessIdentity identity;
  identity.comm = sample.comm.view();
  identity.kernel_thread = sample.kernel_thread;
  identity.privacy = &files_.privacy();
  const std::string user = sample.uid != kUnknownUid ? users_.name(sample.uid) : std::string();
  identity.user = user;
  if (const auto at = by_key_.find(sample.cgroup_key); at != by_key_.end()) {
    identity.cgroup = at->second->cgroup;
    identity.owner = &at->second->identity;
  }
  return rules_.group_of(identity);
}

}  // namespace tidegauge
