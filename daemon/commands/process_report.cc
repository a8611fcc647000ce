// SPDX-License-Identifier: Apache-2.0
#include "daemon/commands/process_report.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <utility>

#include "collectors/core/text.h"
#include "collectors/process/pid_limits.h"
#include "collectors/process/pid_status.h"
#include "collectors/process/process_details.h"
#include "collectors/process/timed_reader.h"
#include "collectors/procfs/pid_stat.h"
#include "daemon/commands/terminal.h"
#include "daemon/config/load.h"
#include "daemon/scheduler/clock.h"

namespace tidegauge {

namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kLookNs = kSecond;
// smaps_rollup of 1 GiB takes a few milliseconds.
constexpr std::int64_t kSmapsLimitNs = 2 * kSecond;
constexpr std::int64_t kDearSmapsLimitNs = 60 * kSecond;
constexpr std::uint64_t kDearResidentKib = 32ULL << 20U;
constexpr std::size_t kMaxCommandLineBytes = 4096;

// One process's files below /proc.
class ProcessFiles {
 public:
  ProcessFiles(const KernelFiles& files, std::uint32_t pid)
      : files_(files), directory_(std::to_string(pid) + "/") {}

  [[nodiscard]] std::string path(std::string_view name) const {
    return files_.proc(directory_ + std::string(name));
  }
  // The view lives until the next read.
  Result<std::string_view> read(std::string_view name) {
    return read_file(path(name), buffer_, kMaxSmallFileBytes);
  }
  // Whose number it is; 0: nobody's.
  std::uint64_t start_ticks() {
    const auto text = read("stat");
    const auto stat = text ? parse_pid_stat(*text) : tl::make_unexpected(text.error());
    return stat ? stat->start_ticks : 0;
  }
  TimedReader& timed() { return timed_; }

 private:
  const KernelFiles& files_;
  std::string directory_;
  ReadBuffer buffer_;
  TimedReader timed_;
};

std::string sentence_of(const Error& error) {
  switch (error.kind) {
    case ErrorKind::kDenied:
      return "needs CAP_SYS_PTRACE";
    case ErrorKind::kTimeout:
      return "did not answer in time";
    case ErrorKind::kMissing:
      return "this process or kernel has none";
    default:
      return error.message();
  }
}

// "" when it is a process; else a sentence.
std::string why_not(ProcessFiles& process, std::uint32_t pid) {
  const std::string number = std::to_string(pid);
  const auto status = process.read("status");
  if (!status) {
    return status.error().kind == ErrorKind::kMissing
               ? "there is no process " + number
               : "process " + number + " cannot be read: " + status.error().message();
  }
  LineReader lines(*status);
  for (std::string_view line; lines.next(line);) {
    if (line.starts_with("Tgid:")) {
      const auto leader = parse_unsigned(trim(line.substr(5)));
      return !leader || *leader == pid
                 ? std::string()
                 : number + " is a thread of process " + std::to_string(*leader);
    }
  }
  return {};
}

OrReason<PidSmapsRollup> read_smaps(ProcessFiles& process, bool also_dear) {
  const auto status = process.read("status");
  const auto parsed = status ? parse_pid_status(*status) : tl::make_unexpected(status.error());
  const std::uint64_t resident_kib = parsed ? parsed->resident_kib.value_or(0) : 0;
  if (parsed && !parsed->resident_kib) {
    return {std::nullopt, "it has no memory of its own"};
  }
  if (resident_kib > kDearResidentKib && !also_dear) {
    return {std::nullopt,
            "not read: over 32 GiB resident, it would hold the process's memory lock for long; "
            "--smaps reads it"};
  }
  const auto text = process.timed().read(process.path("smaps_rollup"), kMaxSmallFileBytes,
                                         also_dear ? kDearSmapsLimitNs : kSmapsLimitNs);
  if (!text) {
    return {std::nullopt, sentence_of(text.error())};
  }
  const auto rollup = parse_pid_smaps_rollup(*text);
  if (!rollup) {
    return {std::nullopt, rollup.error().message()};
  }
  return {*rollup};
}

OrReason<std::string> read_command_line(ProcessFiles& process, const PrivacyFilter& privacy) {
  auto text = process.timed().read(process.path("cmdline"), kMaxCommandLineBytes, kSecond);
  if (!text) {
    return {std::nullopt, sentence_of(text.error())};
  }
  if (text->empty()) {
    return {std::nullopt, "it has none"};
  }
  std::replace(text->begin(), text->end(), '\0', ' ');
  return {privacy.path(trim(*text))};
}

OrReason<std::uint64_t> read_open_files_limit(ProcessFiles& process) {
  const auto text = process.read("limits");
  const auto limits = text ? parse_pid_limits(*text) : tl::make_unexpected(text.error());
  if (!limits) {
    return {std::nullopt, sentence_of(limits.error())};
  }
  return {limits->open_files, "unlimited"};
}

void add_details(ProcessReport& report, const KernelFiles& files) {
  TrackedProcess tracked;
  tracked.sample = report.process.sample;
  ProcessDetails details(files);
  details.update({&tracked}, 0);
  report.open_files.reason =
      tracked.sample.kernel_thread ? "a kernel thread has none" : "needs CAP_SYS_PTRACE";
  for (const ProcessDetail& detail : details.all()) {
    report.open_files.value = detail.open_descriptors;
    report.allowed_cpus = detail.allowed_cpus;
    report.allowed_cpu_count = detail.allowed_cpu_count;
  }
}

void add_threads(ProcessReport& report, const KernelFiles& files) {
  const std::uint32_t pid = report.process.sample.key.pid;
  const SystemClock clock;
  const std::vector<ThreadTime> before = read_threads(files, pid);
  const std::int64_t began_ns = clock.boottime_ns();
  const timespec pause{.tv_sec = kLookNs / kSecond, .tv_nsec = kLookNs % kSecond};
  ::nanosleep(&pause, nullptr);
  const std::vector<ThreadTime> after = read_threads(files, pid);
  const std::int64_t elapsed_ns = clock.boottime_ns() - began_ns;
  report.interval_s = static_cast<double>(elapsed_ns) / 1e9;
  report.threads = thread_rows(before, after, elapsed_ns);
  read_wait_channels(files, pid, report.threads);
}

std::string executable_of(const ProcessFiles& process, const PrivacyFilter& privacy) {
  const auto link = read_link(process.path("exe"));
  return link ? privacy.path(*link) : std::string();
}

// Which of the pass's processes it is; false: none.
bool find(const TopPass& pass, std::uint32_t pid, TopProcess& out) {
  const auto at = std::find_if(
      pass.processes.begin(), pass.processes.end(),
      [pid](const TopProcess& one) { return one.sample.alive && one.sample.key.pid == pid; });
  if (at == pass.processes.end()) {
    return false;
  }
  out = *at;
  return true;
}

// The error is the sentence for exit code 1.
tl::expected<ProcessReport, std::string> look(TopCollector& collector,
                                              const ReportOptions& options) {
  const KernelFiles& files = collector.files();
  ProcessFiles process(files, options.pid);
  if (std::string reason = why_not(process, options.pid); !reason.empty()) {
    return tl::make_unexpected(std::move(reason));
  }
  ProcessReport report;
  const std::uint64_t start_ticks = process.start_ticks();
  TopPass pass;
  if (auto done = collector.pass(pass); !done) {
    return tl::make_unexpected(done.error().message());
  }
  if (!find(pass, options.pid, report.process)) {
    const std::string number = std::to_string(options.pid);
    return tl::make_unexpected(process.start_ticks() != start_ticks
                                   ? "process " + number + " has ended"
                                   : "the " + collector.facts().source + " does not show process " +
                                         number + "; --collector.process.source=procfs may");
  }
  report.facts = collector.facts();
  report.user = collector.user(report.process.sample.uid);
  const auto age_ns =
      pass.boottime_ns - static_cast<std::int64_t>(report.process.sample.key.start_ns);
  report.age_s = static_cast<double>(age_ns) / 1e9;
  report.start_realtime_ns = report.facts.realtime_ns - age_ns;
  report.executable = executable_of(process, files.privacy());
  if (report.process.owner) {
    report.cgroup = files.privacy().path(report.process.owner->cgroup);
  }
  add_details(report, files);
  add_threads(report, files);
  report.open_files_limit = read_open_files_limit(process);
  report.smaps = read_smaps(process, options.smaps);
  if (options.command_line) {
    report.command_line = read_command_line(process, files.privacy());
  }
  report.ended = start_ticks == 0 || process.start_ticks() != start_ticks;
  return report;
}

}  // namespace

int process_report(const CommandLine& command_line, CollectorRegistry registry) {
  const auto complain = [](const std::string& message, int code) {
    std::fprintf(stderr, "tidegauge: %s\n", message.c_str());
    return code;
  };
  const auto config = load_config(command_line, registry);
  if (!config) {
    return complain(config.error().message, 2);
  }
  auto collector = TopCollector::make(*config);
  if (!collector) {
    return complain(collector.error().message, 2);
  }
  ::signal(SIGPIPE, SIG_IGN);
  const Charset charset = use_environments_charset();
  const ReportOptions& options = command_line.options.report;
  const auto report = look(**collector, options);
  if (!report) {
    return complain(report.error(), 1);
  }
  std::string text;
  if (options.json) {
    text = report_json(*report);
  } else {
    for (const std::string& line : report_text(*report, terminal_size().columns, charset)) {
      text.append(line).append("\n");
    }
  }
  std::fwrite(text.data(), 1, text.size(), stdout);
  return std::fflush(stdout) == 0 || errno == EPIPE ? 0 : 1;
}

}  // namespace tidegauge
