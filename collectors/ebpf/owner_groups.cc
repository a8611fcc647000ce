// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/owner_groups.h"

#include <bpf/bpf.h>

#include <cstring>
#include <iterator>
#include <utility>

#include "collectors/ebpf/map_reader.h"
#include "collectors/process/process_options.h"

namespace tidegauge {

OwnerGroups::OwnerGroups(const KernelFiles& files, std::size_t max_groups,
                         std::function<void(std::uint32_t)> on_end)
    : identifier_(files, configured_group_rules()),
      groups_(max_groups),
      on_end_(std::move(on_end)) {}

void OwnerGroups::begin_pass(CollectContext& context, int owners_fd) {
  owners_fd_ = owners_fd;
  now_ns_ = context.boottime_ns;
  identifier_.begin_pass(*context.buffer);
  forget_unused();
  make_room();
}

// Not within a pass: sums may be under way to a group.
void OwnerGroups::make_room() {
  constexpr std::int64_t kSearchNs = 10'000'000'000;
  if (!lacks_room_ || now_ns_ < made_room_ns_ + kSearchNs) {
    return;
  }
  made_room_ns_ = now_ns_;
  lacks_room_ = false;
  for (std::uint32_t group = 0; group < groups_.places(); ++group) {
    if (groups_[group].holders != 0 && groups_.is_idle(group, now_ns_)) {
      on_end_(group);
      groups_.release(group);
    }
  }
  for (auto at = known_.begin(); at != known_.end();) {
    // Those who found no room try again.
    const std::uint32_t group = at->second.group;
    const bool is_lost = group == ProcessGroups::kOther || groups_[group].holders == 0;
    at = is_lost ? known_.erase(at) : std::next(at);
  }
}

// Of many, those that did nothing for ten minutes: looked up anew, one may be told by another process that has
// got its number. Their groups keep theirs: sums are kept under them.
void OwnerGroups::forget_unused() {
  constexpr std::int64_t kMinuteNs = 60'000'000'000;
  constexpr std::size_t kMany = 4U * TG_OWNERS;
  if (known_.size() < kMany || now_ns_ < forgot_ns_ + kMinuteNs) {
    return;
  }
  forgot_ns_ = now_ns_;
  for (auto at = known_.begin(); at != known_.end();) {
    if (at->second.asked_ns + 10 * kMinuteNs < now_ns_) {
      at = known_.erase(at);
    } else {
      ++at;
    }
  }
}

std::uint32_t OwnerGroups::group_of(std::uint32_t owner) {
  if (owner == TG_OWNER_OTHER) {
    return ProcessGroups::kOther;
  }
  if (const auto at = known_.find(owner); at != known_.end()) {
    at.value().asked_ns = now_ns_;
    groups_.touch(at->second.group, now_ns_);
    return at->second.group;
  }
  tg_owner what{};
  if (owners_fd_ < 0 || ::bpf_map_lookup_elem(owners_fd_, &owner, &what) != 0) {
    return ProcessGroups::kOther;
  }
  what.comm[sizeof(what.comm) - 1] = '\0';
  const std::uint32_t group = classify(what);
  known_.emplace(owner, Known{what, group, now_ns_});
  return group;
}

// As the process collector would: the member that was met first speaks for all that are like it. One that
// is gone is told by its name, its user and, if that is known from others, its cgroup.
std::uint32_t OwnerGroups::classify(const tg_owner& what) {
  ProcessSample sample;
  sample.key.pid = what.tgid;
  sample.uid = what.uid;
  sample.cgroup_key = what.cgroup_key;
  sample.comm.assign(what.comm);
  sample.kernel_thread = what.tgid == 0 && what.cgroup_key == 0;
  const GroupName name = identifier_.classify(sample).group;
  const std::uint32_t group = groups_.find_or_add(
      {.name = name.name, .chosen = name.chosen, .alive = true, .uid = what.uid}, now_ns_);
  lacks_room_ = lacks_room_ || group == ProcessGroups::kOther;
  if (groups_[group].holders == 0) {
    groups_.hold(group);
  }
  return group;
}

const tg_owner* OwnerGroups::find(std::uint32_t owner) const {
  const auto at = known_.find(owner);
  return at == known_.end() ? nullptr : &at->second.owner;
}

}  // namespace tidegauge
