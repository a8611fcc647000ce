// SPDX-License-Identifier: Apache-2.0
#include "daemon/commands/top_table.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>

namespace tidegauge {

namespace {

using Cell = std::string (*)(const TopRow& row);

struct NumberColumn {
  const char* title;
  std::size_t columns;
  Cell cell;
};

template <TopRate Rate>
std::string bytes_cell(const TopRow& row) {
  return human(row[Rate]);
}
template <TopRate Rate>
std::string count_cell(const TopRow& row) {
  return human(row[Rate], 1000);
}
template <TopRate Rate>
std::string share_cell(const TopRow& row) {
  return percent(row[Rate]);
}
std::string memory_cell(const TopRow& row) { return human_bytes(row.memory_bytes); }
std::string threads_cell(const TopRow& row) {
  return row.threads ? std::to_string(*row.threads) : "-";
}

// Fits 80 columns with 12 for each name.
constexpr NumberColumn kNumbers[] = {
    {"R/s", 5, bytes_cell<TopRate::kRead>},         {"W/s", 5, bytes_cell<TopRate::kWrite>},
    {"CCWR/s", 6, bytes_cell<TopRate::kCancelled>}, {"IO%", 4, share_cell<TopRate::kDelay>},
    {"CPU%", 5, share_cell<TopRate::kCpu>},         {"MEM", 5, memory_cell},
};
constexpr NumberColumn kMoreNumbers[] = {
    {"MAJF/s", 6, count_cell<TopRate::kMajorFaults>},
    {"CSW/s", 6, count_cell<TopRate::kSwitches>},
    {"THR", 5, threads_cell},
};
constexpr std::size_t kWideColumns = 110;
constexpr std::size_t kPidColumns = 7;
constexpr std::size_t kUserColumns = 8;
constexpr std::size_t kMinNameColumns = 8;
constexpr std::size_t kMaxCommandColumns = 24;  // 15 and how many have ended
constexpr std::size_t kMaxGroupColumns = 64;

// How wide the names are.
struct Layout {
  bool wide = false;
  std::size_t command = kMinNameColumns;
  std::size_t group = kMinNameColumns;
};

Layout layout_of(const TopView& view) {
  Layout layout;
  layout.wide = view.columns >= kWideColumns;
  std::size_t used = kPidColumns + 1 + kUserColumns + 1 + 2;  // with the state
  for (const NumberColumn& column : kNumbers) {
    used += column.columns + 1;
  }
  for (const NumberColumn& column : kMoreNumbers) {
    used += layout.wide ? column.columns + 1 : 0;
  }
  const std::size_t left = view.columns > used ? view.columns - used : 0;
  if (view.groups) {
    layout.command = 0;
    layout.group = std::clamp(left, kMinNameColumns, kMaxGroupColumns);
    return layout;
  }
  layout.command =
      std::clamp((left - std::min<std::size_t>(left, 1)) / 2, kMinNameColumns, kMaxCommandColumns);
  layout.group = std::clamp(left > layout.command + 1 ? left - layout.command - 1 : 0,
                            kMinNameColumns, kMaxGroupColumns);
  return layout;
}

// One line's parts as text, numbers by their columns.
struct Line {
  std::string first;   // pid, or processes
  std::string second;  // user, or how many ended
  std::function<std::string(const NumberColumn&)> number;
  std::string state;
  std::string command;
  std::string command_suffix{};  // kept when the command is cut
  std::string group;
};

std::string command_cell(const Line& line, std::size_t columns, Charset charset) {
  const std::size_t suffix = std::min(line.command_suffix.size(), columns);
  const std::string name = printable(line.command, columns - suffix, charset);
  return left_aligned(name + line.command_suffix, columns, charset);
}

std::string join(const Line& line, const Layout& layout, const TopView& view) {
  std::string out = right_aligned(line.first, kPidColumns) + " ";
  out += view.groups ? right_aligned(line.second, kUserColumns)
                     : left_aligned(line.second, kUserColumns, view.charset);
  const auto add = [&](const NumberColumn& column) {
    out.append(" ").append(right_aligned(line.number(column), column.columns));
  };
  std::for_each(std::begin(kNumbers), std::end(kNumbers), add);
  if (layout.wide) {
    std::for_each(std::begin(kMoreNumbers), std::end(kMoreNumbers), add);
  }
  out.append(" ").append(line.state).append(" ");
  if (layout.command != 0) {
    out.append(command_cell(line, layout.command, view.charset)).append(" ");
  }
  out.append(printable(line.group, layout.group, view.charset));
  out.erase(out.find_last_not_of(' ') + 1);
  return printable(out, view.columns, view.charset);
}

Line line_of(const TopRow& row, const TopView& view) {
  Line line;
  line.number = [&row](const NumberColumn& column) { return column.cell(row); };
  line.group = row.group;
  if (view.groups) {
    line.first = std::to_string(row.processes);
    line.second = std::to_string(row.ended);
    line.state = " ";
    return line;
  }
  line.first = row.pid ? std::to_string(*row.pid) : "-";
  line.second = row.user.empty() ? "-" : row.user;
  line.state = std::string(1, row.state);
  line.command = row.comm;
  if (!row.pid) {
    line.command_suffix = " x" + std::to_string(row.ended);
  }
  return line;
}

Line titles_line(const TopView& view) {
  Line line;
  line.first = view.groups ? "PROCS" : "PID";
  line.second = view.groups ? "ENDED" : "USER";
  line.number = [](const NumberColumn& column) { return std::string(column.title); };
  line.state = view.groups ? " " : "S";
  line.command = "COMMAND";
  line.group = "GROUP";
  return line;
}

Line sum_line(const TopRow& sum, const char* title, std::string what, const TopView& view) {
  Line line;
  line.first = title;
  line.number = [&sum](const NumberColumn& column) { return column.cell(sum); };
  line.state = " ";
  (view.groups ? line.group : line.command) = std::move(what);
  return line;
}

std::string clock_text(std::int64_t realtime_ns) {
  const time_t seconds = static_cast<time_t>(realtime_ns / 1'000'000'000);
  tm local{};
  ::localtime_r(&seconds, &local);
  std::array<char, 16> text{};
  std::strftime(text.data(), text.size(), "%H:%M:%S", &local);
  return text.data();
}

struct FieldName {
  const char* field;
  const char* what;  // operators call it
};
constexpr FieldName kShownFields[] = {
    {"io", "I/O"},           {"block_delay", "IO%"}, {"processes", "everything"},
    {"process", "anything"}, {"memory", "MEM"},
};

std::string missing_line(const char* what, const MissingField& missing) {
  if (missing.field == "block_delay" && missing.reason.starts_with("delay accounting is off")) {
    return "IO% unknown: delay accounting is off (sysctl kernel.task_delayacct=1)";
  }
  // What to do about it, where that stands behind an explanation.
  const std::size_t needs = missing.reason.find("needs ");
  const std::string remedy =
      needs != std::string::npos ? missing.reason.substr(needs) : missing.reason;
  const std::string who =
      missing.field == "processes" ? " of " + std::to_string(missing.processes) + " threads"
      : missing.processes == 0     ? std::string()
                                   : " of " + std::to_string(missing.processes) + " processes";
  return std::string(what) + who + " unknown: " + remedy;
}

std::vector<std::string> head_of(const TopFrame& frame, const TopView& view) {
  const TopFacts& facts = frame.facts;
  std::uint64_t ended = 0;
  for (const TopRow& row : frame.rows) {
    ended += row.ended;
  }
  std::array<char, 32> interval{};
  std::snprintf(interval.data(), interval.size(), "%.2f s", frame.interval_s);
  std::vector<std::string> head;
  const auto add = [&](const std::string& text) {
    head.push_back(printable(text, view.columns, view.charset));
  };
  const std::string host = printable(frame.host, view.columns / 4, view.charset);
  add("top - " + host + " - " + clock_text(facts.realtime_ns) + " - " +
      std::to_string(facts.processes) + " processes, " + std::to_string(ended) + " ended, " +
      std::to_string(facts.threads) + " threads, " + std::to_string(facts.stuck_threads) + " in D");
  add("over " + std::string(interval.data()) + ", sorted by " + std::string(to_string(view.sort)) +
      ", source " + facts.source +
      (facts.source == "procfs" ? ": " + facts.reason : std::string()));
  for (const FieldName& shown : kShownFields) {
    for (const MissingField& missing : facts.missing) {
      if (missing.field == shown.field) {
        add(missing_line(shown.what, missing));
      }
    }
  }
  return head;
}

}  // namespace

std::vector<TopRow> rows_of(const TopFrame& frame, const TopView& view) {
  std::vector<TopRow> rows = view.groups ? group_rows(frame.rows) : frame.rows;
  sort_rows(rows, view.sort);
  return rows;
}

TopText top_text(const TopFrame& frame, const TopView& view) {
  const std::vector<TopRow> rows = rows_of(frame, view);
  const Layout layout = layout_of(view);
  TopText text;
  text.head = head_of(frame, view);
  text.titles = join(titles_line(view), layout, view);
  const std::size_t shown = std::min(view.rows, rows.size());
  const auto rest = rows.begin() + static_cast<std::ptrdiff_t>(shown);
  const TopRow total = sum_of(rows.begin(), rows.end());
  text.lines.push_back(
      join(sum_line(total, "TOTAL", std::to_string(rows.size()) + " rows", view), layout, view));
  for (std::size_t i = 0; i < shown; ++i) {
    text.lines.push_back(join(line_of(rows[i], view), layout, view));
  }
  if (rest != rows.end()) {
    const TopRow left = sum_of(rest, rows.end());
    const std::string what = std::to_string(rows.size() - shown) + " more";
    text.lines.push_back(join(sum_line(left, "REST", what, view), layout, view));
  }
  return text;
}

}  // namespace tidegauge
