// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/headroom.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "daemon/heuristics/parties.h"

namespace tidegauge::heuristics {

namespace {

constexpr double kWindow = 10;       // seconds
constexpr double kSlopeWindow = 60;  // of each of the two means that a slope is taken of
constexpr double kSlopeSpan = 540;   // between them, at most
// What falls slower than this is not about to run out.
constexpr double kHorizonSeconds = 24 * 3600;
constexpr std::size_t kMaxDisks = 3;

void add(std::vector<Evidence>& out, std::string what, double value, Unit unit,
         std::optional<double> threshold, std::string source) {
  if (is_known(value)) {
    out.push_back({std::move(what), value, unit, threshold, std::move(source)});
  }
}

// Until available memory is `limit`, as it fell over the last minutes; unknown while it does not fall.
double seconds_until(const Scene& scene, double limit) {
  const TimeAxis& axis = scene.axis();
  if (axis.size() < 2) {
    return kUnknown;
  }
  const double known_seconds =
      static_cast<double>(axis.end_ns(0) - axis.end_ns(axis.size() - 1)) * 1e-9;
  const double span = std::min(kSlopeSpan, known_seconds - kSlopeWindow);
  if (span < kSlopeWindow) {
    return kUnknown;
  }
  const double now = scene.mean(Signal::kMemAvailable, kSlopeWindow);
  const double before = scene.mean(Signal::kMemAvailable, kSlopeWindow, span);
  const double lost_per_second = (before - now) / span;
  if (!(lost_per_second > 0) || now <= limit) {
    return kUnknown;
  }
  const double seconds = (now - limit) / lost_per_second;
  return seconds <= kHorizonSeconds ? seconds : kUnknown;
}

void add_memory(const Scene& scene, const Thresholds& limits, std::vector<Evidence>& out) {
  const double total = scene.now(Signal::kMemTotal);
  if (!(total > 0)) {
    return;
  }
  const double limit = limits.available_ratio * total;
  add(out, "memory available", scene.now(Signal::kMemAvailable), Unit::kBytes, limit,
      "node_memory_MemAvailable_bytes");
  add(out, "time until that is short, as it falls now", seconds_until(scene, limit), Unit::kSeconds,
      std::nullopt, "node_memory_MemAvailable_bytes");
  add(out, "free swap", scene.now(Signal::kSwapTotal) > 0 ? scene.now(Signal::kSwapFree) : kUnknown,
      Unit::kBytes, std::nullopt, "node_memory_SwapFree_bytes");
}

// Of a CPU's time, what it worked.
double busy_of(const Scene& scene, const Subject& cpu) {
  double busy = kUnknown;
  for (const Signal signal : {Signal::kCpuUser, Signal::kCpuSystem, Signal::kCpuInterrupts}) {
    const double part = scene.mean(cpu, signal, kWindow);
    if (is_known(part)) {
      busy = is_known(busy) ? busy + part : part;
    }
  }
  return busy;
}

void add_cpus(const Scene& scene, const Thresholds& limits, std::vector<Evidence>& out) {
  double sum = 0;
  std::size_t count = 0;
  double most = kUnknown;
  std::string busiest;
  for (const Subject* cpu : scene.subjects(Kind::kCpu)) {
    const double busy = busy_of(scene, *cpu);
    if (!is_known(Scene::now(*cpu, Signal::kCpuUser)) || !is_known(busy)) {
      continue;  // it has gone offline
    }
    sum += busy;
    ++count;
    if (!(busy <= most)) {
      most = busy;
      busiest = cpu->label(0);
    }
  }
  if (count == 0) {
    return;
  }
  add(out, "CPUs busy, of " + std::to_string(count),
      std::min(sum / static_cast<double>(count), 1.0), Unit::kRatio, std::nullopt,
      "node_cpu_seconds_total");
  add(out, "busiest CPU: " + busiest, std::min(most, 1.0), Unit::kRatio, limits.cpu_busy_ratio,
      "node_cpu_seconds_total");
}

void add_disks(const Scene& scene, const Thresholds& limits, std::vector<Evidence>& out) {
  struct Disk {
    const Subject* subject;
    Signal signal;
    double busy;
  };
  std::vector<Disk> disks;
  for (const Subject* disk : scene.subjects(Kind::kDisk)) {
    const Signal signal = is_known(Scene::now(*disk, Signal::kDiskExactBusy))
                              ? Signal::kDiskExactBusy
                              : Signal::kDiskBusy;
    if (!is_known(Scene::now(*disk, signal)) || !is_whole_disk(scene, *disk)) {
      continue;
    }
    const double busy = scene.mean(*disk, signal, kWindow);
    if (is_known(busy)) {
      disks.push_back({disk, signal, busy});
    }
  }
  std::stable_sort(disks.begin(), disks.end(),
                   [](const Disk& a, const Disk& b) { return a.busy > b.busy; });
  disks.resize(std::min(disks.size(), kMaxDisks));
  for (const Disk& disk : disks) {
    add(out, "disk " + disk.subject->label(0) + " busy", std::min(disk.busy, 1.0), Unit::kRatio,
        limits.disk_busy_ratio,
        disk.signal == Signal::kDiskExactBusy ? "tidegauge_block_busy_seconds_total"
                                              : "node_disk_io_time_seconds_total");
  }
}

}  // namespace

std::vector<Evidence> headroom(const Scene& scene, const Thresholds& limits) {
  std::vector<Evidence> out;
  add_memory(scene, limits, out);
  add_cpus(scene, limits, out);
  add_disks(scene, limits, out);
  add(out, "time in which tasks wait for a CPU", scene.mean(Signal::kPressureCpu, kWindow),
      Unit::kRatio, limits.cpu_waiting_ratio, "node_pressure_cpu_waiting_seconds_total");
  add(out, "time in which tasks wait for I/O", scene.mean(Signal::kPressureIo, kWindow),
      Unit::kRatio, std::nullopt, "node_pressure_io_waiting_seconds_total");
  add(out, "time in which tasks wait for memory", scene.mean(Signal::kPressureMemory, kWindow),
      Unit::kRatio, limits.pressure_memory_ratio, "node_pressure_memory_waiting_seconds_total");
  return out;
}

std::vector<std::string> missing_sources(const Snapshot& snapshot) {
  struct Teller {
    std::string_view collector;
    std::string_view tells;
  };
  constexpr Teller kTellers[] = {
      {"meminfo", "how much memory there is"},
      {"vmstat", "whether memory is reclaimed"},
      {"zoneinfo", "how far memory is from its watermarks"},
      {"pressure", "what tasks wait for (PSI)"},
      {"cpu", "what CPUs do"},
      {"diskstats", "what disks do"},
      {"process", "who does it"},
      {"cgroups", "which cgroup is at a limit"},
      {"ebpf", "how long syncs take"},
      {"ebpf_block", "whom disks work for"},
      {"ebpf_files", "which files are written, created and deleted"},
      {"ebpf_memory", "who waits for memory and who fills the page cache"},
  };
  std::vector<std::string> out;
  for (const Teller& source : kTellers) {
    const SnapshotEntry* entry = snapshot.find(source.collector);
    if (entry != nullptr && (entry->section || !entry->status.ran)) {
      continue;  // it is there, or will be
    }
    out.push_back(std::string(source.tells) + ": collector " + std::string(source.collector) +
                  (entry == nullptr ? " is off" : " has no data"));
  }
  return out;
}

}  // namespace tidegauge::heuristics
