// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/owner_groups.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>
#include <vector>

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
  known_.begin_pass();
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
  forget([&](const Known& known) {  // those who found no room try again
    return known.group == ProcessGroups::kOther || groups_[known.group].holders == 0;
  });
}

template <class IsOver>
void OwnerGroups::forget(IsOver is_over) {
  for (std::size_t at = 0; at < known_.size();) {
    if (is_over(known_[at].value)) {
      known_.erase_at(at);
    } else {
      ++at;
    }
  }
}

// Of many, those that did nothing for ten minutes: looked up anew, one may be told by another process that has
// got its number. Their groups keep theirs: sums are kept under them. Of too many - a process may take a new name as
// often as it likes - those that did nothing for longest.
void OwnerGroups::forget_unused() {
  constexpr std::int64_t kMinuteNs = 60'000'000'000;
  if (known_.size() >= kMaxOwners) {
    std::vector<std::int64_t> asked;
    asked.reserve(known_.size());
    for (const auto& [owner, known] : known_) {
      asked.push_back(known.asked_ns);
    }
    const auto middle = asked.begin() + static_cast<std::ptrdiff_t>(asked.size() / 2);
    std::nth_element(asked.begin(), middle, asked.end());
    std::size_t surplus = known_.size() - kMaxOwners / 2;
    forget([&](const Known& known) { return known.asked_ns <= *middle && surplus-- != 0; });
  }
  if (known_.size() < kMaxOwners / 2 || now_ns_ < forgot_ns_ + kMinuteNs) {
    return;
  }
  forgot_ns_ = now_ns_;
  forget([&](const Known& known) { return known.asked_ns + 10 * kMinuteNs < now_ns_; });
}

std::uint32_t OwnerGroups::group_of(std::uint32_t owner) {
  if (owner == TG_OWNER_OTHER) {
    return ProcessGroups::kOther;
  }
  if (Known* known = known_.find(owner); known != nullptr) {
    known->asked_ns = now_ns_;
    groups_.touch(known->group, now_ns_);
    return known->group;
  }
  tg_owner what{};
  if (owners_fd_ < 0 || ::bpf_map_lookup_elem(owners_fd_, &owner, &what) != 0) {
    return ProcessGroups::kOther;
  }
  what.comm[sizeof(what.comm) - 1] = '\0';
  const std::uint32_t group = classify(what);
  known_.find_or_add(owner) = {what, group, now_ns_};
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
  const Known* known = known_.find(owner);
  return known == nullptr ? nullptr : &known->owner;
}

}  // namespace tidegauge
