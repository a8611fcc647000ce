// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>

#include "daemon/commands/process_report.h"

namespace tidegauge {

namespace {

constexpr std::size_t kMaxThreadRows = 15;
constexpr std::size_t kTitleColumns = 11;

// Lines "  title      text", long text going on below itself.
class Page {
 public:
  Page(std::size_t columns, Charset charset) : columns_(columns), charset_(charset) {}

  void head(const std::string& text) { lines_.push_back(printable(text, columns_, charset_)); }

  void line(const std::string& title, const std::string& text) {
    head("  " + left_aligned(title, kTitleColumns, charset_) + text);
  }

  // Nothing of it is cut.
  void whole(const std::string& title, const std::string& text) {
    std::string rest = printable(text, text.size(), charset_);
    const std::size_t room = std::max<std::size_t>(columns_, 40) - kTitleColumns - 2;
    std::string name = title;
    while (!rest.empty()) {
      std::size_t end = rest.size();
      while (columns_of(std::string_view(rest).substr(0, end)) > room) {
        do {
          --end;
        } while ((static_cast<unsigned char>(rest[end]) & 0xC0U) == 0x80);
      }
      line(std::exchange(name, std::string()), rest.substr(0, end));
      rest.erase(0, end);
    }
  }

  [[nodiscard]] Charset charset() const { return charset_; }
  std::vector<std::string> take() { return std::move(lines_); }

 private:
  std::size_t columns_;
  Charset charset_;
  std::vector<std::string> lines_;
};

std::string time_text(std::int64_t realtime_ns) {
  const time_t seconds = static_cast<time_t>(realtime_ns / 1'000'000'000);
  tm local{};
  ::localtime_r(&seconds, &local);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S", &local);
  return text.data();
}

std::string seconds_text(double seconds) {
  std::array<char, 48> text{};
  if (seconds < 120) {
    std::snprintf(text.data(), text.size(), "%.2f s", seconds);
  } else if (seconds < 7200) {
    std::snprintf(text.data(), text.size(), "%.0f min", seconds / 60);
  } else if (seconds < 172'800) {
    std::snprintf(text.data(), text.size(), "%.1f h", seconds / 3600);
  } else {
    std::snprintf(text.data(), text.size(), "%.1f days", seconds / 86'400);
  }
  return text.data();
}

std::string or_dash(const std::string& text) { return text.empty() ? "-" : text; }

void add_identity(Page& page, const ProcessReport& report) {
  const ProcessSample& sample = report.process.sample;
  const CgroupIdentity identity =
      report.process.owner ? report.process.owner->identity : CgroupIdentity{};
  page.head("process " + std::to_string(sample.key.pid) + " " +
            printable(sample.comm.view(), 16, page.charset()) +
            (report.ended ? " - it ended meanwhile" : ""));
  page.line("started",
            time_text(report.start_realtime_ns) + ", " + seconds_text(report.age_s) + " ago");
  page.line("user", or_dash(report.user));
  page.line("state", std::string(1, sample.state) + ", " +
                         std::to_string(sample.gauges[TaskGauge::kThreads]) + " threads, parent " +
                         std::to_string(sample.parent_pid) +
                         (sample.kernel_thread ? ", of the kernel" : ""));
  page.line("group", report.process.group);
  page.whole("cgroup", or_dash(report.cgroup));
  page.line("unit", or_dash(identity.unit));
  page.whole("container", or_dash(identity.container));
  page.whole("executable", or_dash(report.executable));
  if (report.command_line) {
    const OrReason<std::string>& text = *report.command_line;
    page.whole("command", text.value ? *text.value : "- (" + text.reason + ")");
  }
  page.whole("CPUs", or_dash(report.allowed_cpus) +
                         (report.allowed_cpu_count
                              ? ": it may run on " + std::to_string(*report.allowed_cpu_count)
                              : ""));
  const auto number = [](const OrReason<std::uint64_t>& value) {
    return value.value ? std::to_string(*value.value) : "- (" + value.reason + ")";
  };
  page.line("files", number(report.open_files) + " open, limit " +
                         (report.open_files_limit.value ? number(report.open_files_limit)
                                                        : report.open_files_limit.reason));
}

void add_counters(Page& page, const ProcessReport& report) {
  const TaskCounters& counters = report.process.sample.counters;
  const auto bytes = [&](TaskCounter field) {
    return counters.present(field) ? human(static_cast<double>(counters[field])) : "-";
  };
  const auto count = [&](TaskCounter field) {
    return counters.present(field) ? std::to_string(counters[field]) : "-";
  };
  const auto seconds = [&](TaskCounter field) {
    return counters.present(field) ? seconds_text(static_cast<double>(counters[field]) / 1e9) : "-";
  };
  page.head("since it started, by " + report.facts.source);
  page.line("CPU", "user " + seconds(TaskCounter::kUserNs) + ", system " +
                       seconds(TaskCounter::kSystemNs) + ", waited for a CPU " +
                       seconds(TaskCounter::kRunDelayNs));
  page.line("storage", "read " + bytes(TaskCounter::kStorageReadBytes) + ", written " +
                           bytes(TaskCounter::kStorageWriteBytes) + ", cancelled " +
                           bytes(TaskCounter::kStorageCancelledBytes) + ", waited " +
                           seconds(TaskCounter::kBlockDelayNs));
  page.line("calls", "read " + bytes(TaskCounter::kSyscallReadBytes) + " in " +
                         count(TaskCounter::kReadSyscalls) + ", written " +
                         bytes(TaskCounter::kSyscallWriteBytes) + " in " +
                         count(TaskCounter::kWriteSyscalls));
  page.line("faults", "minor " + count(TaskCounter::kMinorFaults) + ", major " +
                          count(TaskCounter::kMajorFaults));
  page.line("switches", "voluntary " + count(TaskCounter::kVoluntarySwitches) + ", involuntary " +
                            count(TaskCounter::kInvoluntarySwitches));
}

void add_memory(Page& page, const ProcessReport& report) {
  const TaskGauges& gauges = report.process.sample.gauges;
  const auto bytes = [&](TaskGauge field) {
    return gauges.present(field) ? human(static_cast<double>(gauges[field])) : "-";
  };
  page.head("memory");
  page.line("resident", "anonymous " + bytes(TaskGauge::kAnonBytes) + ", files " +
                            bytes(TaskGauge::kFileBytes) + ", shared " +
                            bytes(TaskGauge::kShmemBytes) + "; swapped out " +
                            bytes(TaskGauge::kSwapBytes));
  if (!report.smaps.value) {
    page.whole("mappings", "smaps_rollup: " + report.smaps.reason);
    return;
  }
  const PidSmapsRollup& smaps = *report.smaps.value;
  const auto kib = [](std::optional<std::uint64_t> value) {
    return human(value ? std::optional(static_cast<double>(*value) * 1024) : std::nullopt);
  };
  page.line("mappings", "Rss " + kib(smaps.rss_kib) + ", Pss " + kib(smaps.pss_kib) +
                            ", Anonymous " + kib(smaps.anonymous_kib) + ", AnonHugePages " +
                            kib(smaps.anon_huge_kib));
  page.line("", "Private_Clean " + kib(smaps.private_clean_kib) + ", Private_Dirty " +
                    kib(smaps.private_dirty_kib));
  page.line("", "Shared_Clean " + kib(smaps.shared_clean_kib) + ", Shared_Dirty " +
                    kib(smaps.shared_dirty_kib));
  page.line("", "Swap " + kib(smaps.swap_kib) + ", SwapPss " + kib(smaps.swap_pss_kib) +
                    ", Locked " + kib(smaps.locked_kib));
}

void add_threads(Page& page, const ProcessReport& report) {
  page.head("threads by name, over " + seconds_text(report.interval_s));
  page.head("   CPU%  THREADS  IN D      TID S NAME             WAITS IN");
  const std::size_t shown = std::min(kMaxThreadRows, report.threads.size());
  for (std::size_t i = 0; i < shown; ++i) {
    const ThreadRow& row = report.threads[i];
    page.head(right_aligned(percent(row.cpu_ratio), 7) + " " +
              right_aligned(std::to_string(row.threads), 8) + " " +
              right_aligned(std::to_string(row.stuck), 5) + " " +
              right_aligned(std::to_string(row.tid), 8) + " " + std::string(1, row.state) + " " +
              left_aligned(row.name, 16, page.charset()) + " " + or_dash(row.wait_channel));
  }
  if (shown < report.threads.size()) {
    page.head("  and " + std::to_string(report.threads.size() - shown) + " names more");
  }
}

}  // namespace

std::vector<std::string> report_text(const ProcessReport& report, std::size_t columns,
                                     Charset charset) {
  Page page(columns, charset);
  add_identity(page, report);
  add_counters(page, report);
  add_memory(page, report);
  add_threads(page, report);
  return page.take();
}

}  // namespace tidegauge
