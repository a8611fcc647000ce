// SPDX-License-Identifier: Apache-2.0
#include "daemon/commands/top.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <exception>
#include <memory>
#include <utility>

#include "daemon/commands/terminal.h"
#include "daemon/commands/top_table.h"
#include "daemon/config/load.h"
#include "daemon/scheduler/clock.h"

namespace tidegauge {

namespace {

constexpr std::size_t kRowsWithoutTerminal = 20;

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "?";
}

void complain(const std::string& message) {
  std::fprintf(stderr, "tidegauge: %s\n", message.c_str());
}

void sleep_until(std::int64_t boottime_ns) {
  const timespec until{.tv_sec = boottime_ns / 1'000'000'000,
                       .tv_nsec = boottime_ns % 1'000'000'000};
  while (::clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &until, nullptr) == EINTR) {
  }
}

// Passes and what lies between them.
class TopSession {
 public:
  TopSession(TopCollector& collector, const TopOptions& options)
      : collector_(collector), interval_ns_(options.interval_ns) {
    frame_.host = host_name();
  }

  // The first pass, and any other.
  Result<void> step() {
    std::swap(previous_, current_);
    if (auto done = collector_.pass(current_); !done) {
      return done;
    }
    const std::int64_t elapsed_ns = current_.boottime_ns - previous_.boottime_ns;
    frame_.facts = collector_.facts();
    frame_.interval_s = static_cast<double>(elapsed_ns) / 1e9;
    frame_.rows = top_rows(previous_, current_, elapsed_ns);
    for (TopRow& row : frame_.rows) {
      row.user = collector_.user(row.uid);
    }
    // Late by more than an interval: it is not made up for.
    deadline_ns_ = std::max(deadline_ns_, current_.boottime_ns) + interval_ns_;
    return {};
  }

  [[nodiscard]] std::int64_t deadline_ns() const { return deadline_ns_; }
  [[nodiscard]] const TopFrame& frame() const { return frame_; }

 private:
  TopCollector& collector_;
  std::int64_t interval_ns_;
  std::int64_t deadline_ns_ = 0;
  TopPass previous_;
  TopPass current_;
  TopFrame frame_;
};

TopView view_of(const TopOptions& options, Charset charset) {
  TopView view;
  view.sort = options.sort;
  view.groups = options.groups;
  view.rows = options.rows != 0 ? static_cast<std::size_t>(options.rows) : kRowsWithoutTerminal;
  view.columns = terminal_size().columns;
  view.charset = charset;
  return view;
}

std::string table_of(const TopFrame& frame, const TopView& view) {
  const TopText text = top_text(frame, view);
  std::string out;
  for (const std::string& line : text.head) {
    out.append(line).append("\n");
  }
  out.append(text.titles).append("\n");
  for (const std::string& line : text.lines) {
    out.append(line).append("\n");
  }
  return out;
}

// Tables or objects one after another. Who reads them may leave at any time.
int run_plain(TopSession& session, const TopOptions& options, const TopView& view) {
  const std::int64_t count = options.once ? 1 : options.count;
  for (std::int64_t done = 0; count == 0 || done < count; ++done) {
    sleep_until(session.deadline_ns());
    if (auto stepped = session.step(); !stepped) {
      complain(stepped.error().message());
      return 1;
    }
    std::string text =
        options.json ? top_json(session.frame(), view) : table_of(session.frame(), view);
    if (!options.json && done != 0) {
      text.insert(0, "\n");
    }
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() ||
        std::fflush(stdout) != 0) {
      return errno == EPIPE ? 0 : 1;
    }
  }
  return 0;
}

constexpr std::string_view kHelp =
    "q quit   sort: i I/O r read w write c CPU m memory f faults d delay   g groups";

std::vector<std::string> screen_of(const TopFrame* frame, TopView view, bool all_rows) {
  const TerminalSize size = terminal_size();
  view.columns = size.columns;
  std::vector<std::string> lines;
  if (frame != nullptr) {
    if (all_rows) {
      view.rows = size.rows;
    }
    TopText text = top_text(*frame, view);
    // Titles, the sum, what is left, and the help.
    const std::size_t around = text.head.size() + 4;
    const std::size_t room = size.rows > around ? size.rows - around : 1;
    if (view.rows > room) {
      view.rows = room;
      text = top_text(*frame, view);
    }
    lines = std::move(text.head);
    lines.push_back("\x1b[7m" + left_aligned(text.titles, view.columns, view.charset) + "\x1b[0m");
    std::move(text.lines.begin(), text.lines.end(), std::back_inserter(lines));
  } else {
    lines.emplace_back("top - first interval");
  }
  lines.resize(std::max<std::size_t>(size.rows, 2) - 1);
  lines.push_back(printable(kHelp, view.columns, view.charset));
  return lines;
}

// What an arrow or a function key sends is one sequence: ESC [ numbers and a letter, or ESC O and one.
std::string_view without_escape(std::string_view keys) {
  keys.remove_prefix(1);
  if (keys.starts_with('O')) {
    return keys.substr(std::min<std::size_t>(keys.size(), 2));
  }
  if (!keys.starts_with('[')) {
    return keys;
  }
  const auto last =
      std::find_if(keys.begin() + 1, keys.end(), [](char c) { return c >= '@' && c <= '~'; });
  return {last == keys.end() ? last : last + 1, keys.end()};
}

// False: to the end.
bool obey(std::string_view keys, TopView& view) {
  constexpr std::pair<char, TopSort> kSorts[] = {
      {'i', TopSort::kIo},    {'r', TopSort::kRead},   {'w', TopSort::kWrite},
      {'c', TopSort::kCpu},   {'m', TopSort::kMemory}, {'f', TopSort::kFaults},
      {'d', TopSort::kDelay},
  };
  while (!keys.empty()) {
    const char key = keys.front();
    if (key == '\x1b') {
      keys = without_escape(keys);
      continue;
    }
    keys.remove_prefix(1);
    if (key == 'q' || key == 'Q' || key == '\x04') {
      return false;
    }
    view.groups = view.groups != (key == 'g');
    for (const auto& [wanted, sort] : kSorts) {
      view.sort = wanted == key ? sort : view.sort;
    }
  }
  return true;
}

Result<void> run_live(Terminal& terminal, TopSession& session, const TopOptions& options,
                      TopView view) {
  std::int64_t intervals = 0;
  bool going = terminal.draw(screen_of(nullptr, view, true));
  while (going) {
    switch (terminal.wait(session.deadline_ns())) {
      case TerminalEvent::kTime:
        if (auto stepped = session.step(); !stepped) {
          return stepped;
        }
        ++intervals;
        break;
      case TerminalEvent::kKeys:
        going = obey(terminal.keys(), view);
        break;
      case TerminalEvent::kRedraw:
        break;
      case TerminalEvent::kEnd:
        return {};
    }
    const TopFrame* frame = intervals != 0 ? &session.frame() : nullptr;
    going = going && terminal.draw(screen_of(frame, view, options.rows == 0));
    going = going && (options.count == 0 || intervals < options.count);
  }
  return {};
}

int run(TopCollector& collector, const TopOptions& options, Charset charset) {
  std::unique_ptr<Terminal> terminal;
  if (!options.once && !options.json && is_interactive()) {
    terminal = Terminal::take();
  }
  TopSession session(collector, options);
  auto done = session.step();
  const TopView view = view_of(options, charset);
  if (done && !terminal) {
    return run_plain(session, options, view);
  }
  if (done) {
    done = run_live(*terminal, session, options, view);
  }
  terminal.reset();  // before anything is said
  if (!done) {
    complain(done.error().message());
  }
  return done ? 0 : 1;
}

}  // namespace

int top(const CommandLine& command_line, CollectorRegistry registry) {
  const auto config = load_config(command_line, registry);
  if (!config) {
    complain(config.error().message);
    return 2;
  }
  auto collector = TopCollector::make(*config);
  if (!collector) {
    complain(collector.error().message);
    return 2;
  }
  ::signal(SIGPIPE, SIG_IGN);
  try {
    return run(**collector, command_line.options.top, use_environments_charset());
  } catch (const std::exception& error) {  // the terminal is given back by now
    complain(error.what());
    return 1;
  }
}

}  // namespace tidegauge
