// SPDX-License-Identifier: Apache-2.0
#pragma once

// From the owners that BPF programs count for to the groups of the process collector's rules.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "bpf/owner_records.h"
#include "collectors/core/collector.h"
#include "collectors/core/dense_map.h"
#include "collectors/process/process_groups.h"
#include "collectors/process/process_identifier.h"

namespace tidegauge {

// Not thread-safe: one per collector.
class OwnerGroups {
 public:
  // More are not remembered from pass to pass.
  static constexpr std::size_t kMaxOwners = 4U * TG_OWNERS;

  // `on_end(group)` is called from begin_pass() when a group gives its number up: what was counted under it has to
  // be dropped, for the number may stand for another from now on.
  OwnerGroups(const KernelFiles& files, std::size_t max_groups,
              std::function<void(std::uint32_t)> on_end);

  // Before the maps of a pass are folded.
  void begin_pass(CollectContext& context, int owners_fd);
  // A small number that stays until `on_end`; ProcessGroups::kOther when there is no room. An owner that appeared
  // after begin_pass() is looked up when it is asked for. Groups that have rested as long as those of the process
  // collector would end when others need their places.
  std::uint32_t group_of(std::uint32_t owner);
  [[nodiscard]] std::string_view name(std::uint32_t group) const { return groups_[group].name; }
  // As in the kernel's map; null when it is not known.
  [[nodiscard]] const tg_owner* find(std::uint32_t owner) const;
  [[nodiscard]] std::size_t owners() const { return known_.size(); }

 private:
  std::uint32_t classify(const tg_owner& what);

  struct Known {
    tg_owner owner;
    std::uint32_t group;
    std::int64_t asked_ns;
  };
  void forget_unused();
  template <class IsOver>
  void forget(IsOver is_over);
  void make_room();

  ProcessIdentifier identifier_;
  ProcessGroups groups_;
  std::function<void(std::uint32_t)> on_end_;
  struct NumberHash {
    std::size_t operator()(std::uint32_t owner) const { return owner; }
  };
  DenseMap<std::uint32_t, Known, NumberHash, std::equal_to<>> known_;
  int owners_fd_ = -1;
  std::int64_t forgot_ns_ = 0;
  std::int64_t made_room_ns_ = 0;
  bool lacks_room_ = false;
  std::int64_t now_ns_ = 0;
};

}  // namespace tidegauge
