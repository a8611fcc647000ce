// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/top_processes.h"

#include <algorithm>
#include <cmath>

namespace tidegauge {

namespace {

constexpr double kMeanOverSeconds = 30;

// Below these nobody is a culprit: bytes/s, bytes/s, syncs/s, CPUs, faults/s, bytes/s.
constexpr std::array<float, kTopCriteria> kFloors{4096.0F, 4096.0F, 0.1F, 0.001F, 0.1F, 65536.0F};

}  // namespace

void TopScores::update(TopCriterion criterion, double growth, double elapsed_s) {
  float& mean = per_second[static_cast<std::size_t>(criterion)];
  if (elapsed_s <= 0 || (growth == 0 && mean == 0)) {
    return;
  }
  const double keep = std::exp(-elapsed_s / kMeanOverSeconds);
  const double next = static_cast<double>(mean) * keep + growth / elapsed_s * (1 - keep);
  // Far below any floor it is nothing, and idle processes are left alone.
  mean = std::abs(next) >= 1e-6 ? static_cast<float>(next) : 0.0F;
}

bool TopProcesses::admit(std::size_t criterion, const Candidate& candidate, std::int64_t now_ns) {
  if (candidate.age_ns >= kGrownUpNs) {
    return true;
  }
  const auto k = static_cast<double>(k_);
  Admission& admission = admission_[criterion];
  const double minutes = static_cast<double>(now_ns - admission.since_ns) / 60e9;
  admission.left = admission.since_ns == 0 ? 2 * k : std::min(2 * k, admission.left + k * minutes);
  admission.since_ns = now_ns;
  if (admission.left < 1) {
    return false;
  }
  admission.left -= 1;
  return true;
}

void TopProcesses::update_one(std::size_t criterion, const std::vector<Candidate>& candidates,
                              std::int64_t now_ns) {
  std::vector<Member>& members = members_[criterion];
  const auto score = [criterion](const Candidate& c) { return c.scores->per_second[criterion]; };
  ranked_.clear();
  for (const Candidate& candidate : candidates) {
    if (candidate.alive && score(candidate) >= kFloors[criterion]) {
      ranked_.push_back(&candidate);
    }
  }
  const std::size_t top = std::min(k_, ranked_.size());
  std::partial_sort(ranked_.begin(), ranked_.begin() + static_cast<std::ptrdiff_t>(top),
                    ranked_.end(), [&](const Candidate* a, const Candidate* b) {
                      return score(*a) != score(*b) ? score(*a) > score(*b) : a->id < b->id;
                    });
  for (Member& member : members) {
    member.score = 0;  // until found below: gone, or under the floor
  }
  for (const Candidate* candidate : ranked_) {
    const auto at = std::find_if(members.begin(), members.end(),
                                 [&](const Member& m) { return m.id == candidate->id; });
    if (at != members.end()) {
      at->score = score(*candidate);
    }
  }
  for (std::size_t i = 0; i < top; ++i) {
    const std::uint64_t id = ranked_[i]->id;
    const auto at = std::find_if(members.begin(), members.end(),
                                 [&](const Member& member) { return member.id == id; });
    if (at != members.end()) {
      at->last_top_ns = now_ns;
    } else if (admit(criterion, *ranked_[i], now_ns)) {
      members.push_back({id, now_ns, score(*ranked_[i])});
    }
  }
  std::erase_if(members, [&](const Member& m) { return now_ns - m.last_top_ns > hold_ns_; });
  // Too many in the hold: the least of them leave. The present K are never among those.
  if (members.size() > 2 * k_) {
    std::sort(members.begin(), members.end(), [](const Member& a, const Member& b) {
      if (a.last_top_ns != b.last_top_ns) {
        return a.last_top_ns > b.last_top_ns;
      }
      return a.score != b.score ? a.score > b.score : a.id < b.id;
    });
    members.resize(2 * k_);
  }
}

const std::vector<std::uint64_t>& TopProcesses::update(const std::vector<Candidate>& candidates,
                                                       std::int64_t now_ns) {
  shown_.clear();
  hold_ns_ = last_ns_ != 0 ? std::max(kHoldNs, kHoldPasses * (now_ns - last_ns_)) : kHoldNs;
  last_ns_ = now_ns;
  for (std::size_t i = 0; i < kTopCriteria; ++i) {
    update_one(i, candidates, now_ns);
    for (const Member& member : members_[i]) {
      shown_.push_back(member.id);
    }
  }
  std::sort(shown_.begin(), shown_.end());
  shown_.erase(std::unique(shown_.begin(), shown_.end()), shown_.end());
  return shown_;
}

}  // namespace tidegauge
