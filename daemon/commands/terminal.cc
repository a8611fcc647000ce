// SPDX-License-Identifier: Apache-2.0
#include "daemon/commands/terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "collectors/core/text.h"
#include "daemon/scheduler/clock.h"

namespace tidegauge {

namespace {

constexpr std::string_view kEnter = "\x1b[?1049h\x1b[?25l";  // alternate screen, no cursor
constexpr std::string_view kLeave = "\x1b[0m\x1b[?25h\x1b[?1049l";
constexpr std::size_t kMaxColumns = 1000;
// At the end, a terminal that takes no text for so long is left as it is.
constexpr int kLeaveLimitMs = 500;

constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP};

int open_own(int fd) {
  std::array<char, 128> name{};
  if (::ttyname_r(fd, name.data(), name.size()) != 0) {
    return -1;
  }
  return ::open(name.data(), O_WRONLY | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
}

}  // namespace

TerminalSize terminal_size() {
  TerminalSize size;
  winsize window{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col != 0) {
    size.columns = window.ws_col;
    size.rows = window.ws_row != 0 ? window.ws_row : size.rows;
  } else if (const char* columns = std::getenv("COLUMNS")) {
    size.columns = parse_unsigned(columns).value_or(size.columns);
  }
  size.columns = std::clamp<std::size_t>(size.columns, 20, kMaxColumns);
  return size;
}

bool is_interactive() {
  const char* type = std::getenv("TERM");
  return ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1 && type != nullptr &&
         *type != '\0' && std::string_view(type) != "dumb";
}

std::unique_ptr<Terminal> Terminal::take() {
  std::unique_ptr<Terminal> terminal(new Terminal);
  if (::tcgetattr(STDIN_FILENO, &terminal->before_) != 0) {
    return nullptr;
  }
  sigset_t set;
  ::sigemptyset(&set);
  for (const int number : kSignals) {
    ::sigaddset(&set, number);
  }
  ::pthread_sigmask(SIG_BLOCK, &set, &terminal->signals_before_);
  terminal->signals_ = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (terminal->signals_ < 0) {
    ::pthread_sigmask(SIG_SETMASK, &terminal->signals_before_, nullptr);
    return nullptr;
  }
  terminal->out_ = open_own(STDOUT_FILENO);
  terminal->own_ = terminal->out_ >= 0;
  if (!terminal->own_) {
    terminal->out_ = STDOUT_FILENO;
  }
  terminal->enter();
  return terminal;
}

Terminal::~Terminal() {
  leave();
  if (own_) {
    ::close(out_);
  }
  if (signals_ >= 0) {
    ::close(signals_);
    ::pthread_sigmask(SIG_SETMASK, &signals_before_, nullptr);
  }
}

// Ctrl-C and Ctrl-Z stay signals; Ctrl-S must not hold the program.
bool Terminal::enter() {
  termios raw = before_;
  raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
  raw.c_iflag &= ~static_cast<tcflag_t>(IXON);
  raw.c_cc[VMIN] = 1;
  raw.c_cc[VTIME] = 0;
  entered_ = true;
  return ::tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0 && write(kEnter);
}

void Terminal::leave() {
  if (std::exchange(entered_, false)) {
    write(kLeave);
    ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
}

void Terminal::stop() {
  leave();
  ::raise(SIGSTOP);
  enter();
}

bool Terminal::write(std::string_view text) {
  while (!text.empty()) {
    const ssize_t done = ::write(out_, text.data(), text.size());
    if (done > 0) {
      text.remove_prefix(static_cast<std::size_t>(done));
      continue;
    }
    if (done < 0 && errno == EINTR) {
      continue;
    }
    if (done == 0 || errno != EAGAIN) {
      return false;
    }
    std::array<pollfd, 2> waiting{{{out_, POLLOUT, 0}, {signals_, POLLIN, 0}}};
    const bool may_end = entered_;  // while leaving, the signal has been heard
    const int ready = ::poll(waiting.data(), may_end ? 2 : 1, may_end ? -1 : kLeaveLimitMs);
    if (ready == 0 || (ready > 0 && (waiting[0].revents & (POLLERR | POLLHUP)) != 0)) {
      return false;
    }
    if (may_end && (waiting[1].revents & POLLIN) != 0 && take_signal() == TerminalEvent::kEnd) {
      return false;
    }
  }
  return true;
}

bool Terminal::draw(const std::vector<std::string>& lines) {
  std::string screen = "\x1b[H";
  for (std::size_t i = 0; i < lines.size(); ++i) {
    // Clears first: behind a full line the cursor still stands on its last column.
    screen.append(i == 0 ? "" : "\r\n").append("\x1b[K").append(lines[i]);
  }
  return write(screen.append("\x1b[0m\x1b[J"));
}

std::optional<TerminalEvent> Terminal::take_signal() {
  signalfd_siginfo info{};
  if (::read(signals_, &info, sizeof(info)) != static_cast<ssize_t>(sizeof(info))) {
    return std::nullopt;
  }
  switch (info.ssi_signo) {
    case SIGWINCH:
      return TerminalEvent::kRedraw;
    case SIGTSTP:
      stop();
      return TerminalEvent::kRedraw;
    default:
      return TerminalEvent::kEnd;
  }
}

TerminalEvent Terminal::wait(std::int64_t deadline_ns) {
  while (true) {
    const std::int64_t left_ns = deadline_ns - SystemClock().boottime_ns();
    if (left_ns <= 0) {
      return TerminalEvent::kTime;
    }
    std::array<pollfd, 2> waiting{{{STDIN_FILENO, POLLIN, 0}, {signals_, POLLIN, 0}}};
    const timespec left{.tv_sec = left_ns / 1'000'000'000, .tv_nsec = left_ns % 1'000'000'000};
    if (::ppoll(waiting.data(), waiting.size(), &left, nullptr) <= 0) {
      continue;
    }
    if ((waiting[1].revents & POLLIN) != 0) {
      if (const auto event = take_signal()) {
        return *event;
      }
    }
    if (waiting[0].revents == 0) {
      continue;
    }
    std::array<char, 64> typed{};
    const ssize_t got = ::read(STDIN_FILENO, typed.data(), typed.size());
    if (got <= 0) {
      return TerminalEvent::kEnd;
    }
    keys_.assign(typed.data(), static_cast<std::size_t>(got));
    return TerminalEvent::kKeys;
  }
}

}  // namespace tidegauge
