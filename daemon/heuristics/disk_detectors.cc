// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/heuristics/detectors.h"
#include "daemon/heuristics/parties.h"

namespace tidegauge::heuristics {

namespace {

double seconds_of(std::int64_t ns) { return static_cast<double>(ns) / 1e9; }

// ---- disk_hung ----

constexpr double kRememberedSeconds = 900;
constexpr double kSomeWait = 0.05;  // PSI

// For how long the disk has had requests and completed none.
double hung_seconds(const Scene& scene, const Subject& disk) {
  constexpr Signal kCompleted[] = {Signal::kDiskReads, Signal::kDiskWrites, Signal::kDiskFlushes,
                                   Signal::kDiskDiscards};
  if (!(Scene::now(disk, Signal::kDiskInFlight) >= 1) ||
      !is_known(Scene::now(disk, Signal::kDiskReads)) ||
      std::any_of(std::begin(kCompleted), std::end(kCompleted),
                  [&](Signal one) { return Scene::sum(disk, one) > 0; })) {
    return 0;
  }
  const auto since = scene.at_least_since(disk, Signal::kDiskInFlight, 1, 0);
  double out = since ? seconds_of(scene.boottime_ns() - *since) : 0;
  for (const Signal completed : kCompleted) {
    if (const Track* track = scene.track(disk, completed)) {
      out = std::min(out, track->seconds_idle(scene.axis()));
    }
  }
  return out;
}

struct Waiters {
  std::vector<Party> parties;  // programs first, then threads of the kernel
  double threads = 0;
};

Waiters stuck_threads(const Scene& scene, double seconds, std::size_t most) {
  Waiters out;
  std::vector<Share> all = shares(scene, Signal::kStuckThreads, seconds, kUnknown, 0);
  std::stable_partition(all.begin(), all.end(),
                        [](const Share& one) { return !is_kernel_group(one.subject->label(0)); });
  for (const Share& one : all) {
    out.threads += one.value;
    if (out.parties.size() == most) {
      continue;
    }
    Party party = party_of_group(one.subject->label(0));
    party.share = one.share;
    const double longest = Scene::now(*one.subject, Signal::kStuckLongest);
    const std::string& wchan = one.subject->label(1);
    party.doing =
        format_figure(one.value, Unit::kNumber) + " of its threads in uninterruptible sleep";
    if (!wchan.empty() && wchan != "unknown") {
      party.doing += " in " + wchan;
    }
    if (is_known(longest)) {
      party.doing += ", the longest for " + format_duration(longest);
    }
    out.parties.push_back(std::move(party));
  }
  return out;
}

bool anybody_waits(const Scene& scene) {
  return Scene::sum(scene.host(), Signal::kUninterruptible) >= 1 ||
         Scene::sum(scene.host(), Signal::kBlocked) >= 1 ||
         Scene::sum(scene.host(), Signal::kPressureIo) >= kSomeWait;
}

Finding hung(const Scene& scene, const Thresholds& limits, const Subject& disk, double seconds,
             bool is_waited_for) {
  const std::string& name = disk.label(0);
  const double in_flight = Scene::now(disk, Signal::kDiskInFlight);
  Finding finding;
  finding.id = VerdictId::kDiskHung;
  finding.instance = name;
  finding.onset_ns = scene.boottime_ns() - static_cast<std::int64_t>(seconds * 1e9);
  finding.onset_resolution_seconds = scene.tick_seconds();
  Waiters waiters = stuck_threads(scene, 2, 5);
  finding.confidence = !is_waited_for ? 0.6 : waiters.threads > 0 ? 0.95 : 0.85;
  Party party;
  party.device = name;
  party.doing =
      "has " + format_figure(in_flight, Unit::kNumber) + " requests in flight and completes none";
  finding.causes.push_back(std::move(party));
  finding.victims = std::move(waiters.parties);
  finding.evidence = {
      {"requests in flight on " + name, in_flight, Unit::kNumber, 1, "node_disk_io_now"},
      {"time without a completed request", seconds, Unit::kSeconds, limits.disk_hung_seconds,
       "node_disk_reads_completed_total, node_disk_writes_completed_total"},
      {"%util, as the kernel has it", Scene::now(disk, Signal::kDiskBusy), Unit::kRatio,
       std::nullopt, "node_disk_io_time_seconds_total"},
  };
  const double waiting = scene.now(Signal::kPressureIo);
  if (is_known(waiting)) {
    finding.evidence.push_back({"time in which some task waits for I/O", waiting, Unit::kRatio,
                                kSomeWait, "node_pressure_io_waiting_seconds_total"});
  }
  const double before = disk_requests(scene, disk, 30, seconds);
  if (is_known(before) && before > 0) {
    finding.evidence.push_back(
        {"requests completed before that", before, Unit::kPerSecond, std::nullopt,
         "node_disk_reads_completed_total, node_disk_writes_completed_total"});
  }
  finding.ruled_out = {
      {"saturated",
       "a saturated disk completes requests; this one none for " + format_duration(seconds)},
      {"idle", format_figure(in_flight, Unit::kNumber) + " requests are in flight"}};
  if (!scene.has(Signal::kStuckThreads)) {
    finding.unchecked.emplace_back(
        "who waits and in which function: no thread is seen in one long sleep");
  }
  finding.sentence = "Disk " + name + " hangs: " + format_figure(in_flight, Unit::kNumber) +
                     " requests in flight and none completed for " + format_duration(seconds);
  if (!finding.victims.empty()) {
    finding.sentence +=
        "; " + finding.victims.front().text() + " has " + finding.victims.front().doing;
  }
  finding.sentence += ".";
  finding.timeline = {{finding.onset_ns, "the last request of " + name + " completed"}};
  finding.next_steps = {"dmesg | tail -50", "cat /sys/block/" + name + "/inflight",
                        "ps -eo pid,stat,wchan:32,comm | awk '$2 ~ /D/'"};
  return finding;
}

// ---- disk_burst ----

constexpr double kLastBurst = 70;     // seconds since the last one, at most
constexpr double kBurstWindow = 240;  // seconds that are looked at
constexpr std::size_t kLeastBursts = 3;
constexpr double kQuietBusy = 0.5;
// What a journal's commit or a few lines of a log take is less.
constexpr double kBurstRequests = 300;             // a second, in the busiest 100 ms
constexpr double kBurstBytes = 4.0 * 1024 * 1024;  // in its second
constexpr double kOfWriteback = 0.5;
// Shorter than a second: a disk that works for longer, or on and off all the time, is in use.
constexpr double kActiveBusy = 0.05;
constexpr double kBurstSeconds = 0.8;
constexpr double kBurstTicks = 3.5;

struct Burst {
  std::int64_t start_ns = 0;
  std::int64_t end_ns = 0;
  double requests = 0;  // peak, a second
  double busy = 0;      // of the second
  double bytes = 0;
};

double at_or_0(const Track* track, const TimeAxis& axis, std::size_t back) {
  const double value = track == nullptr || back >= axis.size() ? kUnknown : track->at(axis, back);
  return is_known(value) ? value : 0;
}

// The kernel writes out what is dirty every five seconds: that is how it should be.
bool is_writeback(const Scene& scene, std::size_t newest, std::size_t oldest, double read_bytes,
                  double written_bytes) {
  const Track* dirty = scene.track(scene.host(), Signal::kDirty);
  if (dirty == nullptr || written_bytes < 4 * read_bytes) {
    return false;
  }
  const TimeAxis& axis = scene.axis();
  const double before =
      std::max(at_or_0(dirty, axis, oldest + 1), at_or_0(dirty, axis, oldest + 2));
  const double after =
      newest == 0 ? at_or_0(dirty, axis, 0)
                  : std::min(at_or_0(dirty, axis, newest), at_or_0(dirty, axis, newest - 1));
  return before - after >= kOfWriteback * written_bytes;
}

// Newest first.
std::vector<Burst> bursts_of(const Scene& scene, const Thresholds& limits, const Subject& disk) {
  std::vector<Burst> out;
  const TimeAxis& axis = scene.axis();
  const Track* peaks = scene.track(disk, Signal::kDiskPeakBusy);
  if (peaks == nullptr) {
    return out;
  }
  const Track* requests = scene.track(disk, Signal::kDiskPeakRequests);
  const Track* busy = scene.track(disk, Signal::kDiskBusy);
  const Track* read = scene.track(disk, Signal::kDiskReadBytes);
  const Track* written = scene.track(disk, Signal::kDiskWrittenBytes);
  const std::size_t count = axis.ticks_within(kBurstWindow);
  const std::size_t recent = axis.ticks_within(kLastBurst);
  // From one rest of the disk to the next.
  struct Stretch {
    Burst all;
    double busy_seconds = 0;
    double read_bytes = 0;
    double written_bytes = 0;
    double peak = 0;  // some 100 ms of it; windows may be known a tick after the bytes
    std::size_t newest = 0;
    std::size_t oldest = 0;
  };
  std::optional<Stretch> stretch;
  const auto end_stretch = [&] {
    if (stretch && stretch->peak >= limits.burst_busy_ratio &&
        (stretch->all.requests >= kBurstRequests || stretch->all.bytes >= kBurstBytes) &&
        stretch->busy_seconds <= kBurstSeconds &&
        seconds_of(stretch->all.end_ns - stretch->all.start_ns) <=
            kBurstTicks * scene.tick_seconds() &&
        !is_writeback(scene, stretch->newest, stretch->oldest, stretch->read_bytes,
                      stretch->written_bytes)) {
      out.push_back(stretch->all);
    }
    stretch.reset();
  };
  for (std::size_t back = 0; back < (out.empty() ? std::min(recent, count) : count); ++back) {
    const double mean_busy = at_or_0(busy, axis, back);
    const double peak = at_or_0(peaks, axis, back);
    if (mean_busy < kActiveBusy && peak < limits.burst_busy_ratio) {
      end_stretch();
      continue;
    }
    const double seconds = seconds_of(axis.length_ns(back));
    const double read_bytes = at_or_0(read, axis, back) * seconds;
    const double written_bytes = at_or_0(written, axis, back) * seconds;
    const double peak_requests = at_or_0(requests, axis, back);
    if (!stretch) {
      stretch.emplace();
      stretch->all.end_ns = axis.end_ns(back);
      stretch->newest = back;
    }
    Burst& all = stretch->all;
    all.start_ns = axis.end_ns(back) - axis.length_ns(back);
    all.requests = std::max(all.requests, peak_requests);
    all.busy = std::max(all.busy, mean_busy);
    all.bytes += read_bytes + written_bytes;
    stretch->busy_seconds += mean_busy * seconds;
    stretch->read_bytes += read_bytes;
    stretch->written_bytes += written_bytes;
    stretch->peak = std::max(stretch->peak, peak);
    stretch->oldest = back;
  }
  end_stretch();
  return out;
}

// Seconds from one to the next where they come regularly; unknown where not.
double period_of(const std::vector<Burst>& bursts) {
  constexpr double kSpread = 0.25;
  std::vector<double> gaps;
  for (std::size_t i = 1; i < bursts.size(); ++i) {
    gaps.push_back(seconds_of(bursts[i - 1].start_ns - bursts[i].start_ns));
  }
  if (gaps.size() < 2) {
    return kUnknown;
  }
  const auto middle = gaps.begin() + static_cast<std::ptrdiff_t>(gaps.size() / 2);
  std::nth_element(gaps.begin(), middle, gaps.end());
  const double median = *middle;
  // A tick is the finest there is.
  const auto near = std::count_if(gaps.begin(), gaps.end(), [&](double gap) {
    return std::abs(gap - median) <= std::max(kSpread * median, 1.1);
  });
  return static_cast<double>(near) >= 0.75 * static_cast<double>(gaps.size()) ? median : kUnknown;
}

// Who the disk was busiest for in its busiest window.
std::vector<Party> peak_users(const Scene& scene, const std::string& device) {
  std::vector<const Subject*> users;
  for (const Subject* user : scene.subjects(Kind::kPeakUser)) {
    if (user->label(0) == device && Scene::sum(*user, Signal::kPeakUserRatio) > 0) {
      users.push_back(user);
    }
  }
  std::sort(users.begin(), users.end(), [](const Subject* a, const Subject* b) {
    return Scene::sum(*a, Signal::kPeakUserRatio) > Scene::sum(*b, Signal::kPeakUserRatio);
  });
  std::vector<Party> out;
  for (const Subject* user : users) {
    if (out.size() == 3) {
      break;
    }
    Party party = party_of_group(user->label(1));
    const std::string& pid = user->label(2);
    if (!pid.empty() && pid != "0") {
      party = party_of_process(scene, pid, user->label(3));
      party.group = user->label(1);
    }
    party.device = device;
    party.share = std::min(Scene::sum(*user, Signal::kPeakUserRatio), 1.0);
    party.doing = "had " + format_figure(*party.share, Unit::kRatio) + " of the busiest 100 ms";
    out.push_back(std::move(party));
  }
  return out;
}

std::string period_text(double period, std::size_t count, double seconds) {
  return is_known(period) ? "every " + format_duration(period)
                          : std::to_string(count) + " times in " + format_duration(seconds);
}

Finding burst(const Scene& scene, const Thresholds& limits, const Subject& disk,
              const std::vector<Burst>& bursts) {
  const std::string& name = disk.label(0);
  const std::int64_t onset_ns = bursts.back().start_ns;
  const double seconds = seconds_of(scene.boottime_ns() - onset_ns);
  const double period = period_of(bursts);
  Burst most;
  double of_all_bytes = 0;
  for (const Burst& one : bursts) {
    most.requests = std::max(most.requests, one.requests);
    most.bytes = std::max(most.bytes, one.bytes);
    of_all_bytes += one.bytes;
  }
  const double mean_busy = disk_busy(scene, disk, seconds);
  Finding finding;
  finding.id = VerdictId::kDiskBurst;
  finding.instance = name;
  finding.onset_ns = onset_ns;
  finding.onset_resolution_seconds = scene.tick_seconds();
  finding.causes = peak_users(scene, name);
  bool is_guess = false;
  if (finding.causes.empty()) {
    DiskUsers users = disk_users(scene, name, seconds, 3);
    finding.causes = std::move(users.parties);
    is_guess = users.is_guess;
    finding.unchecked.emplace_back(
        "who made the busiest 100 ms themselves: told by who used the disk meanwhile");
  }
  finding.confidence =
      finding.causes.empty() || is_guess                                                ? 0.55
      : finding.causes.front().share.value_or(0) >= 0.5 && bursts.size() > kLeastBursts ? 0.85
                                                                                        : 0.75;
  finding.evidence = {
      {"busiest 100 ms of " + name, scene.max(disk, Signal::kDiskPeakBusy, seconds), Unit::kRatio,
       limits.burst_busy_ratio, "tidegauge_block_second_peak_busy_ratio"},
      {"requests a second in the busiest 100 ms", most.requests, Unit::kPerSecond, kBurstRequests,
       "tidegauge_block_second_peak_requests_per_second"},
      {"busy on average, meanwhile", mean_busy, Unit::kRatio, kQuietBusy,
       "node_disk_io_time_seconds_total"},
      {"bursts", static_cast<double>(bursts.size()), Unit::kNumber,
       static_cast<double>(kLeastBursts), "tidegauge_block_second_peak_busy_ratio"},
      {"bytes of a burst, on average", of_all_bytes / static_cast<double>(bursts.size()),
       Unit::kBytes, std::nullopt, "node_disk_read_bytes_total, node_disk_written_bytes_total"},
  };
  if (is_known(period)) {
    finding.evidence.push_back({"from one to the next", period, Unit::kSeconds, std::nullopt,
                                "tidegauge_block_second_peak_busy_ratio"});
  }
  finding.ruled_out = {
      {"saturated", "on average it is busy " + format_figure(mean_busy, Unit::kRatio)},
      {"the kernel's writeback", "dirty memory does not fall by what is written"}};
  finding.sentence =
      "Disk " + name + " is full for a moment " + period_text(period, bursts.size(), seconds) +
      " though busy " + format_figure(mean_busy, Unit::kRatio) + " on average: up to " +
      format_figure(most.requests, Unit::kPerSecond) + " requests in its busiest 100 ms";
  if (!finding.causes.empty()) {
    finding.sentence += "; " + finding.causes.front().text() + " " + finding.causes.front().doing;
  }
  finding.sentence += ".";
  finding.timeline = {{onset_ns, "first burst"}, {bursts.front().start_ns, "last burst"}};
  finding.next_steps = {"blktrace -d /dev/" + name + " -o - | blkparse -i -",
                        "iostat -x " + name + " 1"};
  return finding;
}

// ---- iowait_unexplained ----

constexpr double kIowaitWindow = 15;  // seconds

bool is_explanation(VerdictId id) {
  switch (id) {
    case VerdictId::kPageCacheThrash:
    case VerdictId::kDirectReclaimStall:
    case VerdictId::kDirtyThrottling:
    case VerdictId::kSwapThrash:
    case VerdictId::kDiskSaturated:
    case VerdictId::kDiskHung:
    case VerdictId::kSyncBoundProcess:
    case VerdictId::kTempFileChurn:
    case VerdictId::kWriterStalledInKernel:
      return true;
    default:
      return false;
  }
}

// A program that waits for disks it keeps busy itself needs no explanation.
bool disks_explain(const Scene& scene, double iowait_cores) {
  constexpr double kEnough = 0.5;
  double busy = 0;
  const bool has_users = scene.has(Signal::kGroupDiskBusy);
  for (const Subject* disk : scene.subjects(Kind::kDisk)) {
    const double own = disk_busy(scene, *disk, kIowaitWindow);
    if (!(own >= 0.05) || !is_whole_disk(scene, *disk)) {
      continue;
    }
    // A device takes many requests at a time; whoever waits for them has as many threads.
    const double waits = std::max(own, mean_or_0(scene, *disk, Signal::kDiskQueue, kIowaitWindow));
    const DiskUsers users = disk_users(scene, disk->label(0), kIowaitWindow, 2);
    busy += has_users ? waits * (1 - users.unattributed) : users.parties.empty() ? 0 : waits;
  }
  return busy >= kEnough * iowait_cores;
}

struct Iowait {
  double cores = 0;
  double of_host = 0;
  const Subject* cpu = nullptr;  // the worst
  double of_cpu = 0;
};

Iowait iowait_of(const Scene& scene) {
  Iowait out;
  double count = 0;
  for (const Subject* cpu : scene.subjects(Kind::kCpu)) {
    if (!is_known(Scene::now(*cpu, Signal::kCpuIowait))) {
      continue;
    }
    ++count;
    const double value = mean_or_0(scene, *cpu, Signal::kCpuIowait, kIowaitWindow);
    out.cores += value;
    if (value > out.of_cpu) {
      out.of_cpu = value;
      out.cpu = cpu;
    }
  }
  out.of_host = count > 0 ? out.cores / count : 0;
  return out;
}

void add_unknowns(const Scene& scene, Finding& finding) {
  if (!scene.has(Signal::kGroupDiskBusy)) {
    finding.unchecked.emplace_back(
        "whose requests the disks serve: no BPF programs on block requests");
  }
  if (!scene.has(Signal::kGroupSyncSeconds)) {
    finding.unchecked.emplace_back("who waits in fsync and its kin: no BPF programs on files");
  }
  if (!scene.has(Signal::kStuckThreads)) {
    finding.unchecked.emplace_back(
        "what sleeping threads wait in: none slept long enough to be looked at");
  }
  bool has_delay = false;
  for (const Subject* group : scene.subjects(Kind::kGroup)) {
    has_delay = has_delay || Scene::sum(*group, Signal::kGroupIoDelay) > 0;
  }
  if (!has_delay) {
    finding.unchecked.emplace_back(
        "how long each process waits for block I/O: delay accounting is off "
        "(kernel.task_delayacct)");
  }
}

}  // namespace

void detect_disk_hung(const DetectorInput& input, Findings& out) {
  const Scene& scene = input.scene;
  for (const Subject* disk : scene.subjects(Kind::kDisk)) {
    const double seconds = hung_seconds(scene, *disk);
    if (seconds < input.limits.disk_hung_seconds) {
      continue;
    }
    // Some kernels lose count of requests in flight: nobody waits for those, and they were there before.
    const bool is_waited_for = anybody_waits(scene);
    if (!is_waited_for && !(scene.min(*disk, Signal::kDiskInFlight, kRememberedSeconds) <= 0)) {
      continue;
    }
    out.push_back(hung(scene, input.limits, *disk, seconds, is_waited_for));
  }
}

void detect_disk_burst(const DetectorInput& input, Findings& out) {
  const Scene& scene = input.scene;
  for (const Subject* disk : scene.subjects(Kind::kDisk)) {
    if (!is_known(Scene::now(*disk, Signal::kDiskPeakBusy)) || !is_whole_disk(scene, *disk)) {
      continue;
    }
    const std::vector<Burst> bursts = bursts_of(scene, input.limits, *disk);
    if (bursts.size() >= kLeastBursts && disk_busy(scene, *disk, kBurstWindow) < kQuietBusy) {
      out.push_back(burst(scene, input.limits, *disk, bursts));
    }
  }
}

void detect_iowait_unexplained(const DetectorInput& input, Findings& out) {
  const Scene& scene = input.scene;
  const Iowait iowait = iowait_of(scene);
  const bool is_host = iowait.of_host >= input.limits.iowait_ratio;
  if (iowait.cpu == nullptr || (!is_host && iowait.of_cpu < input.limits.iowait_ratio) ||
      std::any_of(out.begin(), out.end(),
                  [](const Finding& one) { return is_explanation(one.id); }) ||
      disks_explain(scene, iowait.cores)) {
    return;
  }
  const std::string& cpu = iowait.cpu->label(0);
  Finding finding;
  finding.id = VerdictId::kIowaitUnexplained;
  finding.confidence = 0.5;
  finding.onset_ns = scene.at_least_since(*iowait.cpu, Signal::kCpuIowait, iowait.of_cpu / 2)
                         .value_or(scene.boottime_ns());
  finding.onset_resolution_seconds = scene.tick_seconds();
  finding.causes = stuck_threads(scene, kIowaitWindow, 4).parties;
  finding.evidence = {
      {"iowait of CPU " + cpu, iowait.of_cpu, Unit::kRatio, input.limits.iowait_ratio,
       "node_cpu_seconds_total"},
      {"iowait of the host", iowait.of_host, Unit::kRatio, input.limits.iowait_ratio,
       "node_cpu_seconds_total"},
  };
  const double waiting = scene.mean(Signal::kPressureIo, kIowaitWindow);
  if (is_known(waiting)) {
    finding.evidence.push_back({"time in which some task waits for I/O", waiting, Unit::kRatio,
                                std::nullopt, "node_pressure_io_waiting_seconds_total"});
  } else {
    finding.unchecked.emplace_back(
        "for how much of the time tasks wait for I/O: this kernel has no PSI");
  }
  const Subject* busiest = nullptr;
  for (const Subject* disk : scene.subjects(Kind::kDisk)) {
    if (is_known(disk_busy(scene, *disk, kIowaitWindow)) &&
        (busiest == nullptr ||
         disk_busy(scene, *disk, kIowaitWindow) > disk_busy(scene, *busiest, kIowaitWindow))) {
      busiest = disk;
    }
  }
  if (busiest != nullptr) {
    finding.ruled_out.push_back(
        {"a saturated disk",
         "the busiest is busy " +
             format_figure(disk_busy(scene, *busiest, kIowaitWindow), Unit::kRatio) + ", " +
             disk_text(scene, *busiest, kIowaitWindow)});
  }
  add_unknowns(scene, finding);
  constexpr double kFarAbove = 1.5;  // one CPU alone: the host's average hides it
  finding.sentence =
      (is_host && iowait.of_cpu < kFarAbove * iowait.of_host
           ? "The host's CPUs spend " + format_figure(iowait.of_host, Unit::kRatio)
           : "CPU " + cpu + " spends " + format_figure(iowait.of_cpu, Unit::kRatio)) +
      " of the time in iowait and no disk is busy enough to account for it";
  if (!finding.causes.empty()) {
    finding.sentence +=
        "; " + finding.causes.front().text() + " has " + finding.causes.front().doing;
  }
  finding.sentence += ".";
  finding.next_steps = {"mpstat -P ALL 1", "ps -eLo pid,tid,stat,wchan:32,comm | awk '$3 ~ /D/'",
                        "pidstat -d 1",
                        "strace -f -T -e trace=fsync,fdatasync,io_uring_enter -p PID"};
  out.push_back(std::move(finding));
}

}  // namespace tidegauge::heuristics
