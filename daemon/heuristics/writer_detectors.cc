// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/heuristics/detectors.h"
#include "daemon/heuristics/parties.h"
#include "daemon/heuristics/reclaim_reading.h"

namespace tidegauge::heuristics {

namespace {

constexpr double kWindow = 8;      // seconds
constexpr double kGapSeconds = 5;  // writeback comes in waves
constexpr double kSomeWait = 0.1;  // PSI
constexpr double kIdleDisk = 0.5;  // busy less: it has room

std::string ratio_text(double value) { return format_figure(value, Unit::kRatio); }
std::string rate_text(double value) { return format_figure(value, Unit::kBytesPerSecond); }

// Threads in uninterruptible sleep of the group, in functions of these names; and in which most.
struct Sleepers {
  double threads = 0;
  std::string wchan;
};

Sleepers sleepers_of(const Scene& scene, std::string_view group,
                     std::initializer_list<std::string_view> parts) {
  Sleepers out;
  double most = 0;
  for (const Subject* stuck : scene.subjects(Kind::kStuck)) {
    const std::string& wchan = stuck->label(1);
    if ((!group.empty() && stuck->label(0) != group) ||
        (parts.size() > 0 && std::none_of(parts.begin(), parts.end(), [&](std::string_view part) {
           return wchan.find(part) != std::string::npos;
         }))) {
      continue;
    }
    const double threads = mean_or_0(scene, *stuck, Signal::kStuckThreads, kWindow);
    out.threads += threads;
    if (threads > most) {
      most = threads;
      out.wchan = wchan;
    }
  }
  return out;
}

// The process that writes most of the group, with what else is known; the group where no process has a good part.
Party party_of_writer(const Scene& scene, const std::string& group, double seconds) {
  const ProcessOfGroup writer =
      process_of_group(scene, Signal::kProcessSyscallWritten, group, seconds);
  const Subject* of_group = scene.find(Kind::kGroup, {group});
  const double all =
      of_group == nullptr ? 0 : mean_or_0(scene, *of_group, Signal::kGroupSyscallWritten, seconds);
  Party out = writer.process != nullptr && writer.value >= all / 2
                  ? party_of(scene, *writer.process)
                  : party_of_group(group);
  out.group = group;
  if (const Subject* file = busiest_file(scene, Signal::kFileWritten, group, out.pid, seconds)) {
    out.file = file->label(0);
    const std::string_view thread = file->attribute("thread");
    if (!out.pid.empty() && thread != out.comm) {
      out.thread = thread;
    }
  }
  return out;
}

// ---- dirty_throttling ----

struct Throttled {
  const Subject* group = nullptr;
  double seconds = 0;  // paused, a second, its threads together
  double written = 0;  // bytes dirtied a second
};

std::vector<Throttled> throttled_groups(const Scene& scene, double least) {
  std::vector<Throttled> out;
  for (const Subject* group : scene.subjects(Kind::kGroup)) {
    if (!is_known(Scene::now(*group, Signal::kGroupThrottled)) ||
        is_kernel_group(group->label(0))) {
      continue;
    }
    const double seconds = mean_or_0(scene, *group, Signal::kGroupThrottled, kWindow);
    if (seconds >= least) {
      out.push_back({group, seconds, mean_or_0(scene, *group, Signal::kGroupWritten, kWindow)});
    }
  }
  // Who dirties most is the cause, the others pay for it.
  std::sort(out.begin(), out.end(), [](const Throttled& a, const Throttled& b) {
    return a.written != b.written ? a.written > b.written : a.seconds > b.seconds;
  });
  return out;
}

// Where no program tells of pauses: memory is full of dirty pages and writers sleep.
std::vector<Throttled> guess_throttled(const Scene& scene, const DirtyReading& dirty) {
  constexpr double kNear = 0.95;
  std::vector<Throttled> out;
  if (!(dirty.freerun_ratio.value_or(0) >= kNear)) {
    return out;
  }
  const double waiting = scene.mean(Signal::kPressureIo, kWindow);
  const double blocked = std::max(mean_or_0(scene, scene.host(), Signal::kUninterruptible, kWindow),
                                  mean_or_0(scene, scene.host(), Signal::kBlocked, kWindow));
  const bool is_seen = sleepers_of(scene, "", {"balance_dirty"}).threads > 0;
  if (!is_seen && !(is_known(waiting) ? waiting >= 2 * kSomeWait : blocked >= 0.5)) {
    return out;
  }
  for (const Share& writer : shares(scene, Signal::kGroupWritten, kWindow, kUnknown, 0.2)) {
    if (!is_kernel_group(writer.subject->label(0))) {
      out.push_back({writer.subject, 0, writer.value});
    }
  }
  return out;
}

std::optional<std::int64_t> throttled_since(const Scene& scene, const Throttled& main) {
  if (main.seconds > 0) {
    return scene.at_least_since(*main.group, Signal::kGroupThrottled, main.seconds / 2,
                                kGapSeconds);
  }
  const double dirty = mean_or_0(scene, scene.host(), Signal::kDirty, kWindow);
  return scene.at_least_since(scene.host(), Signal::kDirty, 0.9 * dirty, kGapSeconds);
}

void add_dirty(const DirtyReading& dirty, Finding& finding) {
  const auto add = [&](std::string what, std::optional<double> value, Unit unit,
                       std::optional<double> threshold, std::string source) {
    if (value) {
      finding.evidence.push_back({std::move(what), *value, unit, threshold, std::move(source)});
    }
  };
  add("dirty memory", dirty.dirty_bytes, Unit::kBytes, dirty.threshold_bytes,
      "node_memory_Dirty_bytes");
  add("memory under writeback", dirty.writeback_bytes, Unit::kBytes, std::nullopt,
      "node_memory_Writeback_bytes");
  add("both, of the mark from which writers are paused", dirty.freerun_ratio, Unit::kRatio, 1,
      "node_vmstat_nr_dirty_threshold, node_vmstat_nr_dirty_background_threshold");
}

// The disk that does not keep up: the group's, or the one written to most.
const Subject* disk_of_writer(const Scene& scene, const std::string& group) {
  if (const DiskOfGroup own = disk_of_group(scene, group, kWindow); own.disk != nullptr) {
    return own.disk;
  }
  const Subject* out = nullptr;
  double most = 0;
  for (const Subject* disk : scene.subjects(Kind::kDisk)) {
    const double written = mean_or_0(scene, *disk, Signal::kDiskWrittenBytes, kWindow);
    if (written > most && is_whole_disk(scene, *disk)) {
      most = written;
      out = disk;
    }
  }
  return out;
}

Finding throttling(const DetectorInput& input, const std::vector<Throttled>& groups,
                   bool is_guess) {
  const Scene& scene = input.scene;
  const Throttled& main = groups.front();
  const std::string& name = main.group->label(0);
  const Subject* disk = disk_of_writer(scene, name);
  Finding finding;
  finding.id = VerdictId::kDirtyThrottling;
  finding.instance = disk == nullptr ? "" : disk->label(0);
  finding.onset_ns = throttled_since(scene, main).value_or(scene.boottime_ns());
  finding.onset_resolution_seconds = scene.tick_seconds();
  double all = 0;
  for (const Throttled& one : groups) {
    all += one.written;
  }
  for (const Throttled& one : groups) {
    const bool is_cause = &one == &main || one.written >= 0.5 * main.written;
    std::vector<Party>& list = is_cause ? finding.causes : finding.victims;
    if (list.size() == 4) {
      continue;
    }
    Party party = party_of_writer(scene, one.group->label(0), kWindow);
    party.device = finding.instance;
    if (all > 0) {
      party.share = one.written / all;
    }
    party.doing = "writes " + rate_text(one.written);
    if (one.seconds > 0) {
      party.doing += one.seconds > 1 ? " and " + format_figure(one.seconds, Unit::kNumber) +
                                           " of its threads are paused at a time"
                                     : " and is paused " + ratio_text(one.seconds) + " of the time";
    }
    list.push_back(std::move(party));
  }
  // A copy that is held back to what its disk takes, and nobody else: as it should be.
  if (groups.size() == 1) {
    finding.severity = Severity::kInfo;
  }
  if (!is_guess) {
    finding.evidence.push_back({"time that " + name + " is paused for, a second", main.seconds,
                                Unit::kSeconds, input.limits.throttled_ratio,
                                "tidegauge_dirty_throttle_seconds_total"});
  } else {
    finding.unchecked.emplace_back(
        "who is paused and for how long: no BPF program on balance_dirty_pages");
  }
  add_dirty(input.memory.dirty, finding);
  const bool is_near = input.memory.dirty.freerun_ratio.value_or(0) >= 0.8;
  finding.confidence = is_guess ? 0.55 : is_near && disk != nullptr ? 0.9 : 0.75;
  if (!is_guess && !is_near) {
    finding.unchecked.emplace_back(
        "the limits of the cgroup or of the device, which are lower than the host's");
  }
  finding.sentence = finding.causes.front().text() + " " + finding.causes.front().doing;
  if (disk != nullptr) {
    const double busy = disk_busy(scene, *disk, kWindow);
    const double written = mean_or_0(scene, *disk, Signal::kDiskWrittenBytes, kWindow);
    finding.evidence.push_back({"bytes written to " + finding.instance, written,
                                Unit::kBytesPerSecond, std::nullopt,
                                "node_disk_written_bytes_total"});
    finding.evidence.push_back({"%util of " + finding.instance, busy, Unit::kRatio, std::nullopt,
                                "node_disk_io_time_seconds_total"});
    finding.sentence += " because dirty memory is full: " + finding.instance + " takes " +
                        rate_text(written) + ", busy " + ratio_text(busy);
  }
  if (!finding.victims.empty()) {
    finding.sentence += "; " + finding.victims.front().text() + " is held back, too";
  }
  finding.sentence += ".";
  const Subject* group = main.group;
  const double reclaim = mean_or_0(scene, *group, Signal::kGroupReclaimStall, kWindow);
  if (scene.has(Signal::kGroupReclaimStall) && reclaim < 0.5 * main.seconds) {
    finding.ruled_out.push_back({"the writer reclaims memory",
                                 "for " + format_figure(reclaim, Unit::kSeconds) + " a second"});
  }
  finding.timeline = {{finding.onset_ns, name + " is paused for writing"}};
  finding.next_steps = {"grep -E 'Dirty|Writeback' /proc/meminfo",
                        "sysctl vm.dirty_ratio vm.dirty_background_ratio", "iostat -x 1"};
  return finding;
}

// ---- writer_stalled_in_kernel ----

constexpr double kStalled = 1.0 / 3;  // of the time
constexpr double kLeastRate = 4096;   // bytes a second: what writes less does not live from writing
constexpr double kUnreclaimable = 0.5;

struct Stall {
  const Subject* process = nullptr;
  std::string group;
  double written = 0;               // bytes a second
  double cpu = 0;                   // of one
  double share = 0;                 // of the time
  std::string where;                // "direct reclaim"
  std::string source;               // the metric
  const Subject* cgroup = nullptr;  // at its limit
  const Subject* disk = nullptr;
  double busy = 0;  // of the disk
};

// The cgroup of a unit or container that pushes its tasks into reclaim.
const Subject* limited_cgroup(const Scene& scene, const Subject& process) {
  const std::string_view unit = process.attribute("unit");
  const std::string_view container = process.attribute("container");
  for (const Subject* cgroup : scene.subjects(Kind::kCgroup)) {
    const std::string& path = cgroup->label(0);
    const bool is_own = (!unit.empty() && path.ends_with(unit)) ||
                        (!container.empty() && path.find(container) != std::string::npos);
    if (is_own && (Scene::sum(*cgroup, Signal::kCgroupHitHigh) > 0 ||
                   Scene::sum(*cgroup, Signal::kCgroupHitMax) > 0 ||
                   Scene::sum(*cgroup, Signal::kCgroupPressureMemory) > kSomeWait)) {
      return cgroup;
    }
  }
  return nullptr;
}

bool reclaims_most(const Scene& scene, const std::string& group) {
  const Subject* most = nullptr;
  double value = 0;
  for (const Subject* one : scene.subjects(Kind::kGroup)) {
    const double stall = mean_or_0(scene, *one, Signal::kGroupReclaimStall, kWindow);
    if (stall > value) {
      value = stall;
      most = one;
    }
  }
  return most != nullptr && most->label(0) == group;
}

// Where the writer sits for most of the time, as far as any source tells.
void find_stall(const Scene& scene, Stall& stall) {
  const Subject* group = scene.find(Kind::kGroup, {stall.group});
  const auto take = [&](double share, std::string where, std::string source) {
    if (share > stall.share) {
      stall.share = std::min(share, 1.0);
      stall.where = std::move(where);
      stall.source = std::move(source);
    }
  };
  if (group != nullptr) {
    take(mean_or_0(scene, *group, Signal::kGroupReclaimStall, kWindow), "direct reclaim",
         "tidegauge_reclaim_stall_seconds");
    take(mean_or_0(scene, *group, Signal::kGroupThrottled, kWindow),
         "pauses for dirty memory (balance_dirty_pages)", "tidegauge_dirty_throttle_seconds_total");
  }
  const Sleepers sleepers = sleepers_of(scene, stall.group, {});
  if (!sleepers.wchan.empty() && sleepers.wchan != "unknown") {
    take(sleepers.threads, "uninterruptible sleep in " + sleepers.wchan, "tidegauge_stuck_threads");
  }
  // Memory stalls of the host are this writer's where it is the one that reclaims.
  stall.cgroup = limited_cgroup(scene, *stall.process);
  const double waiting = mean_or_0(scene, scene.host(), Signal::kPressureMemory, kWindow);
  if (stall.cgroup != nullptr) {
    take(std::max(Scene::sum(*stall.cgroup, Signal::kCgroupPressureMemory), waiting),
         "reclaim of its cgroup " + stall.cgroup->label(0),
         "tidegauge_cgroup_pressure_waiting_seconds_total");
  } else if (waiting > stall.share && reclaims_most(scene, stall.group)) {
    take(waiting, "waiting for memory", "node_pressure_memory_waiting_seconds_total");
  }
}

std::optional<Stall> stalled_writer(const Scene& scene, const Subject& process) {
  Stall out;
  out.process = &process;
  out.group = process.attribute("group");
  out.written = mean_or_0(scene, process, Signal::kProcessSyscallWritten, kWindow);
  // Into files on disks, that is, not into sockets.
  const double stored = std::max(mean_or_0(scene, process, Signal::kProcessWritten, kWindow),
                                 mean_or_0(scene, process, Signal::kProcessWritten, 60));
  const double wanted =
      std::max(out.written, mean_or_0(scene, process, Signal::kProcessSyscallWritten, 60));
  if (wanted < kLeastRate || stored < wanted / 2 || is_kernel_group(out.group)) {
    return std::nullopt;
  }
  out.cpu = mean_or_0(scene, process, Signal::kProcessUser, kWindow) +
            mean_or_0(scene, process, Signal::kProcessSystem, kWindow);
  const double runnable = mean_or_0(scene, process, Signal::kProcessRunDelay, kWindow);
  if (out.cpu + runnable >= 0.5) {
    return std::nullopt;
  }
  find_stall(scene, out);
  if (out.share < kStalled) {
    return std::nullopt;
  }
  out.disk = disk_of_writer(scene, out.group);
  out.busy = out.disk == nullptr ? 0 : disk_busy(scene, *out.disk, kWindow);
  if (out.disk == nullptr || !(out.busy < kIdleDisk)) {
    return std::nullopt;
  }
  return out;
}

// Since the stall that was found is there.
std::int64_t stalled_since(const Scene& scene, const Stall& stall) {
  const Subject* group = scene.find(Kind::kGroup, {stall.group});
  std::optional<std::int64_t> out;
  if (stall.source.starts_with("tidegauge_reclaim") && group != nullptr) {
    out = scene.at_least_since(*group, Signal::kGroupReclaimStall, stall.share / 2, kGapSeconds);
  } else if (stall.source.starts_with("tidegauge_dirty") && group != nullptr) {
    out = scene.at_least_since(*group, Signal::kGroupThrottled, stall.share / 2, kGapSeconds);
  } else if (!stall.source.starts_with("tidegauge_stuck")) {
    const double waiting = mean_or_0(scene, scene.host(), Signal::kPressureMemory, kWindow);
    out = scene.at_least_since(scene.host(), Signal::kPressureMemory, waiting / 2, kGapSeconds);
  }
  if (!out) {
    const double blocked = mean_or_0(scene, scene.host(), Signal::kUninterruptible, kWindow);
    out = scene.at_least_since(scene.host(), Signal::kUninterruptible, std::max(blocked / 2, 0.5),
                               kGapSeconds);
  }
  return out.value_or(scene.boottime_ns());
}

// How much of memory no reclaim can take: of the host, or of the cgroup that is at its limit.
double unreclaimable_share(const Scene& scene, const Stall& stall, std::string& text) {
  if (stall.cgroup != nullptr && Scene::sum(*stall.cgroup, Signal::kCgroupUsage) > 0) {
    const double usage = Scene::sum(*stall.cgroup, Signal::kCgroupUsage);
    const double shmem = Scene::sum(*stall.cgroup, Signal::kCgroupShmem);
    const double anon = Scene::sum(*stall.cgroup, Signal::kCgroupAnon);
    text = "of the memory of " + stall.cgroup->label(0) + " is " +
           (shmem > anon ? "shared memory (Shmem)" : "anonymous");
    return std::min((shmem + anon) / usage, 1.0);
  }
  const double shmem = Scene::sum(scene.host(), Signal::kShmem);
  const double anon = Scene::sum(scene.host(), Signal::kAnonPages);
  text = std::string("of the host's memory is ") +
         (shmem > anon ? "shared memory (Shmem)" : "anonymous (AnonPages)");
  const double total = scene.now(Signal::kMemTotal);
  return total > 0 ? std::min((shmem + anon) / total, 1.0) : kUnknown;
}

Finding stalled(const Scene& scene, const Stall& stall) {
  Finding finding;
  finding.id = VerdictId::kWriterStalledInKernel;
  finding.instance = stall.group;
  finding.onset_ns = stalled_since(scene, stall);
  finding.onset_resolution_seconds = scene.tick_seconds();
  Party party = party_of_writer(scene, stall.group, kWindow);
  if (party.pid.empty()) {
    party = party_of(scene, *stall.process);
  }
  const std::string device = stall.disk->label(0);
  party.device = device;
  party.share = stall.share;
  party.cgroup = stall.cgroup == nullptr ? "" : stall.cgroup->label(0);
  party.doing = "writes " + rate_text(stall.written) + " and spends " + ratio_text(stall.share) +
                " of the time in " + stall.where;
  const double latency = disk_latency(scene, *stall.disk, kWindow);
  std::string what;
  const double unreclaimable = unreclaimable_share(scene, stall, what);
  const double most = scene.max(*stall.process, Signal::kProcessSyscallWritten, 600);
  finding.evidence = {
      {"time in " + stall.where, stall.share, Unit::kRatio, kStalled, stall.source},
      {"bytes it writes", stall.written, Unit::kBytesPerSecond, std::nullopt,
       "tidegauge_process_syscall_written_bytes_total"},
      {"its CPU time", stall.cpu, Unit::kCores, 0.5, "tidegauge_process_cpu_seconds_total"},
      {"%util of " + device, stall.busy, Unit::kRatio, kIdleDisk,
       "node_disk_io_time_seconds_total"},
  };
  if (most > 2 * stall.written) {
    finding.evidence.push_back({"bytes it wrote in its best second", most, Unit::kBytesPerSecond,
                                std::nullopt, "tidegauge_process_syscall_written_bytes_total"});
  }
  if (is_known(unreclaimable)) {
    finding.evidence.push_back(
        {"memory that cannot be reclaimed: " + ratio_text(unreclaimable) + " " + what,
         unreclaimable, Unit::kRatio, kUnreclaimable,
         stall.cgroup == nullptr
             ? "node_memory_Shmem_bytes, node_memory_AnonPages_bytes"
             : "tidegauge_cgroup_memory_shmem_bytes, tidegauge_cgroup_memory_anon_bytes"});
  }
  if (stall.cgroup != nullptr) {
    const double high = Scene::now(*stall.cgroup, Signal::kCgroupHigh);
    finding.evidence.push_back({"memory of its cgroup",
                                Scene::sum(*stall.cgroup, Signal::kCgroupUsage), Unit::kBytes,
                                is_known(high) ? std::optional(high) : std::nullopt,
                                "tidegauge_cgroup_memory_usage_bytes"});
  }
  const std::string_view release = scene.host().attribute("release");
  if (!release.empty()) {
    finding.evidence.push_back({"kernel release " + std::string(release), 1, Unit::kNumber,
                                std::nullopt, "node_uname_info"});
  }
  finding.ruled_out.push_back(
      {"disk " + device + " is saturated",
       "busy " + ratio_text(stall.busy) +
           (is_known(latency) ? ", a request takes " + format_figure(latency, Unit::kSeconds)
                              : "")});
  finding.ruled_out.push_back(
      {"the writer has no CPU time or uses all of it", format_figure(stall.cpu, Unit::kCores)});
  if (!scene.has(Signal::kGroupReclaimStall)) {
    finding.unchecked.emplace_back("how long it reclaims memory itself: no BPF program tells");
  }
  finding.confidence = 0.65 + (unreclaimable >= kUnreclaimable ? 0.15 : 0) +
                       (stall.share >= 0.6 ? 0.05 : 0) + (stall.busy < kIdleDisk / 2 ? 0.05 : 0);
  finding.sentence = party.text() + " " + party.doing + " while its disk " + device + " is busy " +
                     ratio_text(stall.busy);
  if (unreclaimable >= kUnreclaimable) {
    finding.sentence +=
        "; " + ratio_text(unreclaimable) + " " + what + " and leaves little for the page cache";
  }
  finding.sentence += release.empty() ? "." : " (kernel " + std::string(release) + ").";
  finding.causes.push_back(std::move(party));
  finding.timeline = {{finding.onset_ns, stall.where + " begins"}};
  finding.next_steps = {"cat /proc/" + finding.causes.front().pid + "/stack",
                        "cat /proc/pressure/memory",
                        "grep -E 'Shmem|AnonPages|Cached' /proc/meminfo"};
  if (stall.cgroup != nullptr) {
    finding.next_steps.push_back("cat /sys/fs/cgroup" + stall.cgroup->label(0) + "/memory.events");
  }
  return finding;
}

}  // namespace

void detect_dirty_throttling(const DetectorInput& input, Findings& out) {
  const Scene& scene = input.scene;
  std::vector<Throttled> groups = throttled_groups(scene, input.limits.throttled_ratio);
  bool is_guess = false;
  if (groups.empty() && !scene.has(Signal::kGroupThrottled)) {
    groups = guess_throttled(scene, input.memory.dirty);
    is_guess = true;
  }
  if (!groups.empty()) {
    out.push_back(throttling(input, groups, is_guess));
  }
}

void detect_writer_stalled_in_kernel(const DetectorInput& input, Findings& out) {
  const Scene& scene = input.scene;
  // Nobody is stalled for long without one of these.
  if (mean_or_0(scene, scene.host(), Signal::kPressureMemory, kWindow) < kSomeWait &&
      mean_or_0(scene, scene.host(), Signal::kPressureIo, kWindow) < kSomeWait &&
      mean_or_0(scene, scene.host(), Signal::kUninterruptible, kWindow) < kStalled &&
      mean_or_0(scene, scene.host(), Signal::kBlocked, kWindow) < kStalled) {
    return;
  }
  std::vector<Stall> found;
  for (const Subject* process : scene.subjects(Kind::kProcess)) {
    if (!is_known(Scene::now(*process, Signal::kProcessWritten))) {
      continue;
    }
    if (std::optional<Stall> stall = stalled_writer(scene, *process)) {
      found.push_back(std::move(*stall));
    }
  }
  std::sort(found.begin(), found.end(),
            [](const Stall& a, const Stall& b) { return a.written > b.written; });
  std::vector<std::string> told;
  for (const Stall& stall : found) {
    if (told.size() < 3 && std::find(told.begin(), told.end(), stall.group) == told.end()) {
      out.push_back(stalled(scene, stall));
      told.push_back(stall.group);
    }
  }
}

}  // namespace tidegauge::heuristics
