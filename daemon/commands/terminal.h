// SPDX-License-Identifier: Apache-2.0
#pragma once

// The terminal, while `tidegauge top` has it to itself: alternate screen, keys one by one, signals as
// events. The destructor gives it back as it was.

#include <termios.h>

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tidegauge {

struct TerminalSize {
  std::size_t columns = 80;
  std::size_t rows = 24;
};
// Of standard output; $COLUMNS where that is no terminal, 80 by 24 where nobody knows.
TerminalSize terminal_size();

// Whether standard input and output are a terminal that understands escape sequences.
bool is_interactive();

enum class TerminalEvent : std::uint8_t {
  kTime,    // the deadline has come
  kKeys,    // see keys()
  kRedraw,  // another size, or back from a stop
  kEnd,     // a signal to end, or nobody is there any more
};

// At most one, made before any other thread, so that all threads leave the signals to it.
class Terminal {
 public:
  // Null when the terminal's settings cannot be had.
  static std::unique_ptr<Terminal> take();
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  // Until boottime reaches `deadline_ns`.
  TerminalEvent wait(std::int64_t deadline_ns);
  [[nodiscard]] std::string_view keys() const { return keys_; }

  // The whole screen anew. False when the terminal is gone or a signal to end came meanwhile: one
  // that does not take its text cannot hold the program.
  bool draw(const std::vector<std::string>& lines);

 private:
  Terminal() = default;
  bool enter();
  void leave();
  bool write(std::string_view text);
  std::optional<TerminalEvent> take_signal();
  void stop();

  int out_ = -1;      // does not block
  bool own_ = false;  // and is ours to close
  int signals_ = -1;
  bool entered_ = false;
  termios before_{};
  sigset_t signals_before_{};
  std::string keys_;
};

}  // namespace tidegauge
