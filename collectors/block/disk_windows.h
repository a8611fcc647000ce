// SPDX-License-Identifier: Apache-2.0
#pragma once

// What one disk did in short windows of time, folded into what a look once a second, or once a minute, still tells.
// Pure: no clock, no I/O.

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace tidegauge {

// The process, or the group alone, that the disk was busiest for.
struct WindowUser {
  std::uint32_t owner = 0;
  std::uint32_t tgid = 0;
  std::uint32_t thousandths =
      0;  // at least so much of what ended in the window; 0: nobody is known
};

struct DiskWindow {
  static constexpr std::uint64_t kNs = 50'000'000;
  std::uint64_t number = 0;  // time over kNs, of a clock that does not go back
  std::uint64_t busy_ns = 0;
  std::uint64_t requests = 0;
  WindowUser user;
};

// How the user of a window is shown.
struct WindowUserName {
  std::string group;
  std::string pid;
  std::string comm;
  std::string reason;
  friend bool operator==(const WindowUserName&, const WindowUserName&) = default;
};

// A burst of 150 ms fills two windows of 50 ms one after the other, wherever it begins; so what is told is of any
// two neighbours, 100 ms. Not thread-safe.
class DiskWindows {
 public:
  static constexpr std::uint64_t kPairNs = 2 * DiskWindow::kNs;
  static constexpr std::array<double, 6> kBuckets{0.1, 0.25, 0.5, 0.75, 0.9, 1};
  // The most within the last minute, in pieces of 5 s; so of up to 65 s.
  static constexpr std::uint64_t kSlotWindows = 100;
  static constexpr std::uint64_t kSlots = 13;

  // The busiest pair, of equals that of which is known best for whom it was, with the most that any pair had. Of pairs that were busy for 90 % in different seconds the last:
  // so who makes a burst is told, whatever was before.
  struct Peak {
    std::uint64_t number = 0;  // of the second window; 0: none
    std::uint64_t busy_ns = 0;
    std::uint64_t requests = 0;
    std::uint64_t most_busy_ns = 0;
    std::uint64_t most_requests = 0;
    WindowUser user;
    std::int64_t realtime_ms = 0;  // when it began; by settle()
    WindowUserName name;           // by settle()
  };
  struct PassPeak {
    std::uint64_t busy_ns = 0;
    std::uint64_t requests = 0;
  };

  // The first window to come, which need not be whole. Sums stay; what was before is not known.
  void start(std::uint64_t number);
  void stop() { next_ = 0; }
  [[nodiscard]] bool started() const { return next_ != 0; }
  // All windows below are done.
  [[nodiscard]] std::uint64_t next() const { return next_; }

  // Each does nothing with what is below next(). Windows that are left out were idle.
  void add(const DiskWindow& window);
  void idle_until(std::uint64_t number);
  void busy_until(std::uint64_t number);
  void lose_until(std::uint64_t number);

  // Once per pass. realtime_ns: of the clock's zero. Names who is new among the peaks.
  void settle(std::int64_t realtime_ns, const std::function<WindowUserName(WindowUser)>& name_of);
  // Of the last minute.
  [[nodiscard]] Peak peak() const;
  // The most since the last call; as before when no window has ended.
  PassPeak take_pass_peak();

  // Pairs of windows, each in one, with at most this share of busy time: cumulative.
  [[nodiscard]] const std::array<std::uint64_t, kBuckets.size()>& buckets() const {
    return buckets_;
  }
  [[nodiscard]] std::uint64_t busy_ns() const { return busy_ns_; }  // of all pairs
  // Times it was busy 90 % of 100 ms and not half of the second around.
  [[nodiscard]] std::uint64_t bursts() const { return bursts_; }
  [[nodiscard]] std::uint64_t lost() const { return lost_; }  // windows, not pairs

 private:
  static constexpr std::size_t kSecondWindows = 20;
  static constexpr std::size_t kAround = kSecondWindows / 2;

  struct Slot {
    std::uint64_t slot = 0;  // its number, that of its windows over kSlotWindows
    bool is_settled = false;
    Peak peak;
  };

  void step(const DiskWindow& window);
  void step_same(std::uint64_t until, std::uint64_t busy_ns);
  void count_pair(std::uint64_t busy_ns, std::uint64_t pairs);
  void note_peak(const DiskWindow& window);
  static WindowUser user_of(const DiskWindow& a, const DiskWindow& b);
  static bool is_higher(const Peak& pair, const Peak& than);
  void look_for_burst(std::uint64_t busy_ns);
  Slot& slot_of(std::uint64_t number);

  std::uint64_t next_ = 0;
  std::optional<DiskWindow> last_;
  std::array<std::uint64_t, kSecondWindows> second_{};  // busy times of the last windows, a ring
  std::uint64_t second_ns_ = 0;
  std::size_t known_ = 0;  // of them
  bool in_burst_ = false;
  std::array<Slot, kSlots> slots_;
  PassPeak pass_;
  bool is_pass_taken_ = true;
  std::array<std::uint64_t, kBuckets.size()> buckets_{};
  std::uint64_t busy_ns_ = 0;
  std::uint64_t bursts_ = 0;
  std::uint64_t lost_ = 0;
};

}  // namespace tidegauge
