// SPDX-License-Identifier: Apache-2.0
#pragma once

// When the run time of BPF programs is counted: in windows, of each of which one look tells the begin and
// others the growth since the look before. Pure; time is an argument.

#include <cstdint>

namespace tidegauge {

class CountingWindows {
 public:
  // From one look to the next at least; less says little.
  static constexpr std::int64_t kLookNs = 4'500'000'000;
  // From the begin of one window to that of the next, less what a pass may be early; and no more than a
  // twentieth of all time, where passes are rare.
  static constexpr std::int64_t kEveryNs = 119'500'000'000;
  static constexpr std::int64_t kShare = 20;

  // What a look within a window tells.
  struct Growth {
    std::int64_t elapsed_ns = 0;  // in which it grew
    double times = 1;  // what grew in this time stands for so much, with the time nobody counted
  };

  [[nodiscard]] bool is_open() const { return is_open_; }
  // Whether it is time for another window.
  [[nodiscard]] bool is_due(std::int64_t now_ns) const;
  // Counting is on, and this is what programs had run before.
  void begin(std::int64_t now_ns);
  // Whether a look in the open window is worth while.
  [[nodiscard]] bool wants_look(std::int64_t now_ns) const;
  [[nodiscard]] Growth look(std::int64_t now_ns);
  // Counting goes off; all up to the last look was told.
  void end() { is_open_ = false; }
  // Counting could not be had, or was off at some time since the last look, of which nothing is known then.
  void fail(std::int64_t now_ns);

 private:
  bool is_open_ = false;
  bool is_first_ = true;            // nothing was told yet
  bool is_next_known_ = false;      // none was asked for yet: any time is right
  std::int64_t next_ns_ = 0;        // when the next window is due
  std::int64_t begin_ns_ = 0;       // of the window
  std::int64_t look_ns_ = 0;        // the last one in the window
  std::int64_t told_until_ns_ = 0;  // growth up to here was told, counted or not
};

}  // namespace tidegauge
