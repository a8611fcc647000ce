// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/proc_stat.h"

#include <map>
#include <string>

#include "collectors/core/text.h"

namespace tidegauge {

namespace {

// A tick runs its collectors within a fraction of this; ticks are at least 100 ms apart.
constexpr std::int64_t kSameTickNs = 50'000'000;

constexpr std::uint64_t CpuTimes::*kTimes[] = {
    &CpuTimes::user_ticks,       &CpuTimes::nice_ticks,   &CpuTimes::system_ticks,
    &CpuTimes::idle_ticks,       &CpuTimes::iowait_ticks, &CpuTimes::irq_ticks,
    &CpuTimes::softirq_ticks,    &CpuTimes::steal_ticks,  &CpuTimes::guest_ticks,
    &CpuTimes::guest_nice_ticks,
};
constexpr std::size_t kLeastFields = 4;  // user, nice, system, idle: Linux 2.4

struct NamedNumber {
  std::string_view name;
  std::optional<std::uint64_t> SystemStat::*member;
};
constexpr NamedNumber kNumbers[] = {
    {"intr", &SystemStat::interrupts},
    {"ctxt", &SystemStat::context_switches},
    {"btime", &SystemStat::boot_time_seconds},
    {"processes", &SystemStat::forks},
    {"procs_running", &SystemStat::procs_running},
    {"procs_blocked", &SystemStat::procs_blocked},
};

bool parse_times(std::string_view line, CpuTimes& out) {
  std::size_t count = 0;
  for (std::uint64_t CpuTimes::*member : kTimes) {
    const std::string_view field = next_field(line);
    if (field.empty()) {
      break;
    }
    const auto value = parse_unsigned(field);
    if (!value) {
      return false;
    }
    out.*member = *value;
    ++count;
  }
  return count >= kLeastFields;
}

bool parse_softirqs(std::string_view line, SystemStat& out) {
  if (!next_unsigned(line)) {  // the total
    return false;
  }
  std::array<std::uint64_t, kSoftirqVectors> vectors{};
  for (std::uint64_t& vector : vectors) {
    const auto value = next_unsigned(line);
    if (!value) {
      return false;
    }
    vector = *value;
  }
  out.softirqs = vectors;
  return true;
}

}  // namespace

// cpu  1021 0 804 203312 301 0 20 0 0 0
// cpu0 517 0 402 101655 147 0 9 0 0 0
// cpu1 504 0 402 101657 154 0 11 0 0 0
// intr 128021 0 9 0 ...
// ctxt 273501
// btime 1700000000
// processes 5123
// procs_running 1
// procs_blocked 0
// softirq 61204 0 9803 2 1290 4021 0 5 21001 0 25082
Result<void> parse_proc_stat(std::string_view text, ProcStat& out) {
  out.cpus.clear();
  out.system = {};
  LineReader lines(text);
  for (std::string_view line; lines.next(line);) {
    const std::string_view name = next_field(line);
    if (name.starts_with("cpu")) {
      NumberedCpuTimes cpu;
      cpu.number = name.substr(3);
      if (!parse_times(line, cpu.times) || (!cpu.number.empty() && !parse_unsigned(cpu.number))) {
        return malformed("stat", lines.number(), "cpuN and at least four times");
      }
      if (!cpu.number.empty()) {
        // Rising numbers (for_each_online_cpu) rule out the same CPU twice.
        if (!out.cpus.empty() &&
            *parse_unsigned(cpu.number) <= *parse_unsigned(out.cpus.back().number)) {
          return malformed("stat", lines.number(), "rising CPU numbers");
        }
        out.cpus.push_back(cpu);
      }
      continue;
    }
    if (name == "softirq") {
      if (!parse_softirqs(line, out.system)) {
        return malformed("stat", lines.number(), "softirq, a total and ten counts");
      }
      continue;
    }
    for (const NamedNumber& number : kNumbers) {
      if (name == number.name) {
        const auto value = next_unsigned(line);
        if (!value) {
          return malformed("stat", lines.number(), "a name and a number");
        }
        out.system.*number.member = *value;
        break;
      }
    }
  }
  if (out.cpus.empty()) {
    return malformed("stat", lines.number(), "a line per CPU");
  }
  // Every kernel since 2.6.11 prints them all: a file without one was cut, and CPUs may be missing.
  for (const NamedNumber& number : kNumbers) {
    if (!(out.system.*number.member)) {
      return malformed("stat", lines.number(), "a line " + std::string(number.name) + " by here");
    }
  }
  return {};
}

Result<void> ProcStatReader::refresh(const CollectContext& context) {
  if (read_boottime_ns_ >= 0 && context.boottime_ns >= read_boottime_ns_ &&
      context.boottime_ns - read_boottime_ns_ < kSameTickNs) {
    return outcome_;
  }
  read_boottime_ns_ = context.boottime_ns;
  if (last_bytes_ * 4 < buffer_.capacity()) {
    buffer_.shrink();  // a huge file once must not hold its memory for ever
  }
  const auto text = file_.read_lines(buffer_);
  last_bytes_ = text ? text->size() : 0;
  outcome_ = text ? parse_proc_stat(*text, stat_) : tl::make_unexpected(text.error());
  return outcome_;
}

std::shared_ptr<ProcStatReader> shared_proc_stat(const KernelFiles& files) {
  static std::mutex mutex;
  static std::map<std::string, std::weak_ptr<ProcStatReader>> readers;
  const std::lock_guard lock(mutex);
  std::erase_if(readers, [](const auto& entry) { return entry.second.expired(); });
  std::weak_ptr<ProcStatReader>& slot = readers[files.proc("stat")];
  auto reader = slot.lock();
  if (!reader) {
    reader = std::make_shared<ProcStatReader>(files);
    slot = reader;
  }
  return reader;
}

}  // namespace tidegauge
