// SPDX-License-Identifier: Apache-2.0

// Every collector against every kind of broken file. Which files a collector reads is found by
// watching it read the fixture; each of them is then emptied, cut, garbled, blown up, removed, and
// replaced by a directory and by a FIFO. Nothing may crash, hang or show a malformed section, and a
// collector without its primary file must fail instead of showing zeros.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/core/text.h"
#include "collectors/registry.h"
#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

namespace fs = std::filesystem;

using testing::FixtureTree;
using namespace std::string_view_literals;

constexpr std::string_view kFixture = "linux-6.12";
constexpr std::size_t kEveryByteUpTo = 4096;
constexpr std::size_t kThenEvery = 97;
constexpr std::size_t kHugeBytes = 10'000'000;  // more than any file may have
constexpr std::size_t kLargeBytes = 64 * 1024;  // allowed, and far more than any fixture's
constexpr auto kTimeLimit = std::chrono::seconds(2);
constexpr unsigned kHangSeconds = 20;  // then the test kills itself and says where
constexpr std::int64_t kHourNs = 3'600'000'000'000;

// What the suite must know about a collector and cannot find out.
struct Row {
  std::string_view collector;
  // Without these, the collector has nothing to say: empty, garbled and missing are errors.
  std::vector<std::string_view> primary_files = {};
  // A kernel may lack these one by one, but their content is believed or refused: empty and garbled
  // are errors. A collector of such files alone says nothing or fails when all are missing.
  std::vector<std::string_view> optional_files = {};
  // "key=value"; {root} is the fixture tree.
  std::vector<std::string_view> options = {};
  // Files the shared fixture does not have.
  std::vector<std::pair<std::string_view, std::string_view>> extra_files = {};
};

const std::vector<Row>& rows() {
  static const std::vector<Row> kRows = {
      {"cpu",
       {"proc/stat", "proc/cpuinfo"},
       {"sys/devices/system/cpu/cpu0/topology/core_id",
        "sys/devices/system/cpu/cpu0/topology/physical_package_id",
        "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count",
        "sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count"},
       {"info=true"}},
      {"stat", {"proc/stat"}, {}, {"softirq=true"}},
      {"loadavg", {"proc/loadavg"}},
      {"meminfo", {"proc/meminfo"}},
      {"vmstat", {"proc/vmstat"}},
      {"zoneinfo", {"proc/zoneinfo"}},
      {"buddyinfo", {"proc/buddyinfo"}},
      {"pressure",
       {},
       {"proc/pressure/cpu", "proc/pressure/io", "proc/pressure/memory", "proc/pressure/irq"}},
      {"diskstats", {"proc/diskstats"}},
      {"netdev", {"proc/net/dev"}, {}, {"netlink=false"}},  // the other way is this host's
      {"filesystem", {"proc/1/mountinfo"}},
      {"meminfo_numa",
       {"sys/devices/system/node/node0/meminfo", "sys/devices/system/node/node0/numastat"}},
      {"slabinfo", {"proc/slabinfo"}},
      {"ksmd",
       {},
       {"sys/kernel/mm/ksm/full_scans", "sys/kernel/mm/ksm/general_profit",
        "sys/kernel/mm/ksm/merge_across_nodes", "sys/kernel/mm/ksm/pages_shared",
        "sys/kernel/mm/ksm/pages_sharing", "sys/kernel/mm/ksm/pages_to_scan",
        "sys/kernel/mm/ksm/pages_unshared", "sys/kernel/mm/ksm/pages_volatile",
        "sys/kernel/mm/ksm/run", "sys/kernel/mm/ksm/sleep_millisecs"}},
      {"softirqs", {"proc/softirqs"}},
      {"interrupts", {"proc/interrupts"}},
      {"schedstat", {"proc/schedstat"}},
      {"cpufreq",
       {},
       {"sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq",
        "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_avg_freq",
        "sys/devices/system/cpu/cpu1/cpufreq/scaling_max_freq",
        "sys/devices/system/cpu/cpu1/cpufreq/cpuinfo_min_freq"}},
      // A process may leave, but one that is there has a stat.
      {"processes",
       {"proc/sys/kernel/pid_max", "proc/sys/kernel/threads-max"},
       {"proc/1/stat", "proc/612/stat", "proc/612/task/645/stat"}},
      // Of one process among many nothing is an error. The iterator would be this host's.
      {"process",
       {},
       {},
       {"source=procfs"},
       {{"proc/612/io",
         "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 5\nwrite_bytes: 6\n"
         "cancelled_write_bytes: 7\n"},
        {"proc/612/status",
         "Name:\trsyslogd\nUid:\t0\t0\t0\t0\nRssAnon:\t12 kB\nRssFile:\t8 kB\n"
         "RssShmem:\t4 kB\nVmSwap:\t0 kB\nvoluntary_ctxt_switches:\t3\n"
         "nonvoluntary_ctxt_switches:\t4\n"},
        {"proc/612/schedstat", "1000 2000 3\n"},
        {"proc/612/cgroup", "0::/system.slice/rsyslog.service\n"},
        {"proc/612/task/612/wchan", "do_select"},
        {"root/etc/passwd", "root:x:0:0:root:/root:/bin/bash\n"}}},
      // BPF programs need the running kernel's own types, which no fixture has: nothing to say.
      {"ebpf"},
      {"ebpf_block"},  // but for bursts of disks, if it can read of them
      {"ebpf_files"},
      {"ebpf_memory"},
      // A broken file costs its cgroup what the file says and is counted.
      {"cgroup",
       {},
       {},
       {},
       {{"sys/fs/cgroup/cgroup.controllers", "cpu io memory pids\n"},
        {"sys/fs/cgroup/a.service/memory.current", "4096\n"},
        {"sys/fs/cgroup/a.service/memory.stat", "anon 1\nfile 2\npgscan 3\n"},
        {"sys/fs/cgroup/a.service/memory.max", "max\n"},
        {"sys/fs/cgroup/a.service/cpu.stat", "usage_usec 3\nuser_usec 2\nsystem_usec 1\n"},
        {"sys/fs/cgroup/a.service/cpu.max", "150000 100000\n"},
        {"sys/fs/cgroup/a.service/io.stat",
         "252:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n"},
        {"sys/fs/cgroup/a.service/cpu.pressure",
         "some avg10=0.00 avg60=0.00 avg300=0.00 total=7\n"
         "full avg10=0.00 avg60=0.00 avg300=0.00 total=8\n"}}},
      {"filefd", {"proc/sys/fs/file-nr"}},
      {"sysctl", {}, {"proc/sys/kernel/pid_max", "proc/sys/vm/swappiness", "proc/sys/fs/file-max"}},
      {"cgroups", {"proc/cgroups"}},
      {"uname"},  // a system call
      {"os", {"root/usr/lib/os-release"}},
      {"time",
       {"sys/devices/system/clocksource/clocksource0/available_clocksource",
        "sys/devices/system/clocksource/clocksource0/current_clocksource"}},
      {"kernel_hung", {"proc/sys/kernel/hung_task_detect_count"}},
      // Says of each file whether it could be read, and so never fails itself.
      {"textfile",
       {},
       {},
       {"directory={root}root/textfile"},
       {{"root/textfile/a.prom", "# HELP x A.\n# TYPE x counter\nx{a=\"b \\\" c\"} 1e3\ny 2\n"}}},
      {"files"},  // shows any file's state, whatever it is
      {"self"},   // reads this process's own, never the fixture's
  };
  return kRows;
}

const Row* find_row(std::string_view collector) {
  for (const Row& row : rows()) {
    if (row.collector == collector) {
      return &row;
    }
  }
  return nullptr;
}

// Says what is being tried when the process has to be killed.
class Watchdog {
 public:
  Watchdog() {
    struct sigaction action {};
    action.sa_handler = [](int) {
      (void)!::write(STDERR_FILENO, what_.data(), std::strlen(what_.data()));
      ::_exit(1);
    };
    ::sigaction(SIGALRM, &action, nullptr);
  }
  static void begin(const std::string& what) {
    const std::string text = "hangs: " + what + "\n";
    what_.fill('\0');
    text.copy(what_.data(), what_.size() - 1);
    ::alarm(kHangSeconds);
  }
  static void end() { ::alarm(0); }

 private:
  static inline std::array<char, 512> what_{};
};

// Files below a directory that something opens while this lives.
class OpenWatch {
 public:
  explicit OpenWatch(const fs::path& root) : fd_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
    add(root);
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
      if (entry.is_directory() && !entry.is_symlink()) {
        add(entry.path());
      }
    }
  }
  ~OpenWatch() { ::close(fd_); }
  OpenWatch(const OpenWatch&) = delete;
  OpenWatch& operator=(const OpenWatch&) = delete;

  std::set<std::string> opened() {
    std::set<std::string> out;
    alignas(inotify_event) std::array<char, 65536> events;
    for (ssize_t got = 0; (got = ::read(fd_, events.data(), events.size())) > 0;) {
      for (ssize_t at = 0; at < got;) {
        const auto* event = reinterpret_cast<const inotify_event*>(events.data() + at);
        at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
        if (event->len != 0 && (event->mask & IN_ISDIR) == 0) {
          const fs::path path = directories_[event->wd] / event->name;
          // A link in the file's place is opened by the name of what it leads to.
          if (fs::is_regular_file(fs::symlink_status(path))) {
            out.insert(path.string());
          }
        }
      }
    }
    return out;
  }

 private:
  void add(const fs::path& directory) {
    directories_[::inotify_add_watch(fd_, directory.c_str(), IN_OPEN)] = directory;
  }

  int fd_;
  std::map<int, fs::path> directories_;
};

void write(const std::string& path, std::string_view content) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

std::string read(const std::string& path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return out.str();
}

// Whether `name` is one that `docs` announces; a documented name may hold <placeholders>.
bool documented(const std::vector<MetricDoc>& docs, std::string_view name) {
  return std::any_of(docs.begin(), docs.end(), [&](const MetricDoc& doc) {
    const auto open = doc.name.find('<');
    return open == std::string::npos ? doc.name == name
                                     : name.starts_with(doc.name.substr(0, open));
  });
}

bool valid_name(std::string_view name) {
  return !name.empty() && (name.front() < '0' || name.front() > '9') &&
         sanitize_metric_name(name) == name;
}

bool valid_text(std::string_view text) {
  return sanitize_label(text, static_cast<std::size_t>(-1)) == text;
}

std::string check_table(const Table& table, const std::vector<MetricDoc>& docs) {
  if (!table.shape) {
    return "a table without a shape";
  }
  const Shape& shape = *table.shape;
  const std::size_t cells = shape.rows.size() * shape.columns.size();
  if (table.values.size() != cells ||
      (!table.absent.empty() && table.absent.size() != (cells + 63) / 64)) {
    return "a table of another size than its shape";
  }
  for (const ColumnInfo& column : shape.columns) {
    if (!valid_name(column.family) || !documented(docs, column.family)) {
      return "family " + column.family;
    }
    if (!valid_text(column.help)) {
      return "help of " + column.family;
    }
    if (column.scale.den == 0) {
      return "scale of " + column.family;
    }
  }
  for (const auto& row : shape.rows) {
    if (row.size() != shape.label_names.size()) {
      return "a row with another number of labels than the table";
    }
    if (!std::all_of(row.begin(), row.end(), valid_text)) {
      return "a label that is not valid UTF-8";
    }
  }
  return {};
}

// What any section must be, whatever the files said; empty when it is.
std::string check_section(const Section& section, const std::vector<MetricDoc>& docs) {
  std::set<std::string> done;
  std::string current;
  for (const Table& table : section.tables) {
    if (std::string wrong = check_table(table, docs); !wrong.empty()) {
      return wrong;
    }
    for (const ColumnInfo& column : table.shape->columns) {
      if (column.family != current) {
        if (!done.insert(current).second || done.contains(column.family)) {
          return "family " + column.family + " is torn apart";
        }
        current = column.family;
      }
    }
  }
  return {};
}

class CollectorAbuse : public ::testing::TestWithParam<const CollectorInfo*> {
 protected:
  static void SetUpTestSuite() {
    // Ten thousand small files are quicker in memory.
    if (::access("/dev/shm", W_OK) == 0) {
      ::setenv("TMPDIR", "/dev/shm", 0);
    }
  }

  void SetUp() override {
    row_ = find_row(info().name);
    ASSERT_NE(row_, nullptr) << "add a row for collector " << info().name
                             << " to rows() in this file";
    tree_.emplace(kFixture);
    for (const auto& [path, content] : row_->extra_files) {
      tree_->write(path, content);
    }
    docs_ = info().metrics();
    files_ = files_read();
    collector_ = fresh();
    ASSERT_TRUE(collector_) << "collector " << info().name << " does not take its fixture";
  }

  static const CollectorInfo& info() { return *GetParam(); }

  std::unique_ptr<Collector> fresh() const {
    std::vector<std::string> options;
    for (const std::string_view text : row_->options) {
      std::string option(text);
      if (const auto at = option.find("{root}"); at != std::string::npos) {
        option.replace(at, 6, tree_->path(""));
      }
      options.push_back(std::move(option));
    }
    auto collector = testing::make(info(), tree_->files(), options);
    return collector ? std::move(*collector) : nullptr;
  }

  std::vector<std::string> files_read() {
    OpenWatch watch(tree_->path(""));
    const auto collector = fresh();
    if (!collector) {
      return {};
    }
    const auto section = testing::run(*collector);
    EXPECT_TRUE(section) << testing::error_text(section);
    const auto opened = watch.opened();
    return {opened.begin(), opened.end()};
  }

  // One run, an hour after the one before so that nothing cached hides the file's state.
  Result<Section> attempt(Collector& collector, const std::string& what) {
    Watchdog::begin(std::string(info().name) + ": " + what);
    const auto start = std::chrono::steady_clock::now();
    boottime_ns_ += kHourNs;
    auto section = testing::run(collector, boottime_ns_);
    const auto took = std::chrono::steady_clock::now() - start;
    Watchdog::end();
    EXPECT_LT(took, kTimeLimit) << what;
    if (section) {
      EXPECT_EQ(check_section(*section, docs_), "") << what;
    } else {
      EXPECT_FALSE(section.error().where.empty()) << what << ": an error must say where";
    }
    return section;
  }

  // With a collector that has seen the intact files and with one that has not.
  void attempt_both(const std::string& what) {
    (void)attempt(*collector_, what);
    if (const auto collector = fresh()) {
      (void)attempt(*collector, what + ", first run");
    }
  }

  void truncate_everywhere(const std::string& path, std::size_t size) {
    std::vector<std::size_t> lengths;
    for (std::size_t length = 0; length < size;
         length += length < kEveryByteUpTo ? 1 : kThenEvery) {
      lengths.push_back(length);
    }
    for (auto length = lengths.rbegin(); length != lengths.rend(); ++length) {
      ASSERT_EQ(::truncate(path.c_str(), static_cast<off_t>(*length)), 0);
      (void)attempt(*collector_, path + " cut to " + std::to_string(*length) + " bytes");
    }
  }

  std::string random_bytes(std::size_t size) {
    std::string out(size, '\0');
    std::generate(out.begin(), out.end(), [&] { return static_cast<char>(random_()); });
    return out;
  }

  // Contents that are broken in ways a parser may not have thought of.
  std::vector<std::pair<std::string, std::string>> garbled(const std::string& good) {
    std::vector<std::pair<std::string, std::string>> out = {
        {"random bytes", random_bytes(std::max<std::size_t>(good.size(), 512))},
        {"a NUL", std::string(1, '\0')},
        {"a newline", "\n"},
        {"the content twice", good + good},
        {"large: repeated", repeated(good)},
        {"large: one line", one_line(good)},
    };
    std::string printable = random_bytes(1024);
    for (char& c : printable) {
      c = "0123456789 abcxyz:._-=\"\\\n\t"[static_cast<unsigned char>(c) % 26];
    }
    out.emplace_back("random text", std::move(printable));
    for (const std::string_view number :
         {"18446744073709551615"sv, "18446744073709551616"sv, "-1"sv, "9e99"sv, ""sv, "x"sv}) {
      out.emplace_back("every number is " + std::string(number), renumbered(good, number));
    }
    for (int i = 0; i < 20 && !good.empty(); ++i) {
      std::string flipped = good;
      for (std::size_t n = 0; n <= good.size() / 40; ++n) {
        flipped[random_() % flipped.size()] = static_cast<char>(random_());
      }
      out.emplace_back("flipped bytes " + std::to_string(i), std::move(flipped));
    }
    return out;
  }

  static std::string repeated(const std::string& good) {
    std::string out;
    while (!good.empty() && out.size() < kLargeBytes) {
      out += good;
    }
    return out;
  }

  static std::string one_line(const std::string& good) {
    std::string out = repeated(good);
    std::replace(out.begin(), out.end(), '\n', ' ');
    return out;
  }

  static std::string renumbered(std::string_view good, std::string_view number) {
    std::string out;
    for (std::size_t i = 0; i < good.size(); ++i) {
      const bool digit = good[i] >= '0' && good[i] <= '9';
      const bool after_digit = i > 0 && good[i - 1] >= '0' && good[i - 1] <= '9';
      if (!digit) {
        out.push_back(good[i]);
      } else if (!after_digit) {
        out += number;
      }
    }
    return out;
  }

  void abuse(const std::string& path) {
    const std::string good = read(path);
    truncate_everywhere(path, good.size());
    for (const auto& [what, content] : garbled(good)) {
      write(path, content);
      attempt_both(path + " holds " + what);
    }
    for (const std::string& huge : huge_files()) {
      fs::remove(path);
      fs::create_symlink(huge, path);
      attempt_both(path + " leads to " + huge);
    }
    fs::remove(path);
    attempt_both(path + " is missing");
    fs::create_directory(path);
    attempt_both(path + " is a directory");
    fs::remove(path);
    ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
    attempt_both(path + " is a FIFO");
    fs::remove(path);
    write(path, good);
  }

  void refuses_bad_content(const std::string& path) {
    ASSERT_TRUE(std::find(files_.begin(), files_.end(), path) != files_.end())
        << info().name << " does not read " << path;
    const std::string good = read(path);
    const std::pair<std::string, std::string> kBroken[] = {
        {"empty", ""}, {"garbage", random_bytes(std::max<std::size_t>(good.size(), 512))}};
    for (const auto& [what, content] : kBroken) {
      write(path, content);
      const auto first = attempt(*fresh(), path + " is " + what);
      ASSERT_FALSE(first) << path << " is " << what;
      EXPECT_NE(first.error().kind, ErrorKind::kMissing) << first.error().message();
      EXPECT_FALSE(attempt(*collector_, path + " is " + what))
          << path << " is " << what << ", later";
    }
    write(path, good);
    EXPECT_TRUE(attempt(*collector_, path + " is intact again")) << path;
  }

  // Written once for all: one long line, and many lines.
  const std::vector<std::string>& huge_files() {
    if (huge_files_.empty()) {
      for (const std::string_view pattern : {"name 1 2 3 "sv, "name 1 2 3 4 5 6 7 8\n"sv}) {
        std::string content;
        while (content.size() < kHugeBytes) {
          content += pattern;
        }
        huge_files_.push_back(tree_->path("huge" + std::to_string(huge_files_.size())));
        write(huge_files_.back(), content);
      }
    }
    return huge_files_;
  }

  Watchdog watchdog_;
  const Row* row_ = nullptr;
  std::optional<FixtureTree> tree_;
  std::vector<MetricDoc> docs_;
  std::vector<std::string> files_;
  std::vector<std::string> huge_files_;
  std::unique_ptr<Collector> collector_;
  std::int64_t boottime_ns_ = kHourNs;
  std::mt19937 random_{20240229};
};

TEST_P(CollectorAbuse, SurvivesBrokenFiles) {
  const auto before = testing::run(*fresh());
  ASSERT_TRUE(before) << testing::error_text(before);
  EXPECT_EQ(check_section(*before, docs_), "");
  for (const std::string& path : files_) {
    abuse(path);
  }
  const auto after = testing::run(*fresh());
  ASSERT_TRUE(after) << "the tree is whole again: " << testing::error_text(after);
  EXPECT_EQ(after->tables.size(), before->tables.size());
  EXPECT_TRUE(attempt(*collector_, "intact again")) << "and a collector recovers from anything";
}

TEST_P(CollectorAbuse, PrimaryFilesAreNeeded) {
  for (const std::string_view relative : row_->primary_files) {
    const std::string path = tree_->path(relative);
    refuses_bad_content(path);
    const std::string good = read(path);
    fs::remove(path);
    const auto missing = attempt(*fresh(), "missing");
    ASSERT_FALSE(missing) << relative << " is missing";
    EXPECT_EQ(missing.error().kind, ErrorKind::kMissing) << missing.error().message();
    EXPECT_FALSE(attempt(*collector_, "missing, later")) << relative;
    write(path, good);
    EXPECT_TRUE(attempt(*collector_, "intact again")) << relative;
  }
}

TEST_P(CollectorAbuse, OptionalFilesAreBelievedOrRefused) {
  for (const std::string_view relative : row_->optional_files) {
    const std::string path = tree_->path(relative);
    refuses_bad_content(path);
    const std::string good = read(path);
    fs::remove(path);
    const auto missing = attempt(*fresh(), "missing");
    EXPECT_TRUE(missing) << relative << " is missing: " << testing::error_text(missing);
    write(path, good);
  }
  if (!row_->primary_files.empty() || row_->optional_files.empty()) {
    return;
  }
  for (const std::string& path : files_) {
    fs::remove(path);
  }
  const auto none = attempt(*fresh(), "none of its files");
  if (none) {
    EXPECT_TRUE(testing::flatten(*none).empty()) << "values out of nothing";
  } else {
    EXPECT_EQ(none.error().kind, ErrorKind::kMissing) << none.error().message();
  }
}

INSTANTIATE_TEST_SUITE_P(Registry, CollectorAbuse,
                         ::testing::ValuesIn(all_collectors().begin(), all_collectors().end()),
                         [](const auto& param) { return std::string(param.param->name); });

TEST(CollectorAbuseRows, NameExistingCollectors) {
  for (const Row& row : rows()) {
    EXPECT_NE(find_collector(row.collector), nullptr) << row.collector;
  }
}

}  // namespace
}  // namespace tidegauge
