// SPDX-License-Identifier: Apache-2.0
#pragma once

// Which processes get series of their own: the K busiest by each criterion, entering at once and
// leaving late, so that series do not flap. Pure: time comes with each pass.

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tidegauge {

enum class TopCriterion : std::uint8_t { kRead, kWrite, kSync, kCpu, kMajorFaults, kMemoryGrowth };
inline constexpr std::size_t kTopCriteria = 6;

// Rates of one process, as means over about half a minute. 24 bytes: every process has one.
struct TopScores {
  std::array<float, kTopCriteria> per_second{};
  [[nodiscard]] bool are_zero() const { return per_second == decltype(per_second){}; }
  // `growth` within `elapsed_s` seconds.
  void update(TopCriterion criterion, double growth, double elapsed_s);
};

class TopProcesses {
 public:
  explicit TopProcesses(std::size_t k) : k_(k) {}

  struct Candidate {
    std::uint64_t id = 0;  // the caller's, unique for a process's whole life
    const TopScores* scores = nullptr;
    bool alive = true;
    std::int64_t age_ns = kGrownUpNs;
  };
  // Younger ones may come and go by the thousand: of them, two K enter by a criterion at once, and K a
  // minute after that.
  static constexpr std::int64_t kGrownUpNs = 10'000'000'000;

  // After each pass, with every process whose scores are not all zero and every member. Returns the
  // ids that have series now, sorted; at most 2 K per criterion.
  const std::vector<std::uint64_t>& update(const std::vector<Candidate>& candidates,
                                           std::int64_t now_ns);

  // A member stays for so long after it was last among the K, or alive: two scrapes at 30 s, and three passes.
  static constexpr std::int64_t kHoldNs = 60'000'000'000;
  static constexpr std::int64_t kHoldPasses = 3;

 private:
  struct Member {
    std::uint64_t id;
    std::int64_t last_top_ns;
    float score;
  };
  void update_one(std::size_t criterion, const std::vector<Candidate>& candidates,
                  std::int64_t now_ns);

  [[nodiscard]] bool admit(std::size_t criterion, const Candidate& candidate, std::int64_t now_ns);

  struct Admission {
    double left = 0;
    std::int64_t since_ns = 0;  // 0: all that there may be
  };
  std::size_t k_;
  std::int64_t last_ns_ = 0;
  std::int64_t hold_ns_ = kHoldNs;
  std::array<Admission, kTopCriteria> admission_;
  std::array<std::vector<Member>, kTopCriteria> members_;
  std::vector<const Candidate*> ranked_;  // scratch
  std::vector<std::uint64_t> shown_;
};

}  // namespace tidegauge
