// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string>
#include <utility>

#include "daemon/heuristics/detectors.h"
#include "daemon/heuristics/parties.h"

namespace tidegauge::heuristics {

namespace {

constexpr double kWindow = 6;  // seconds
// Nobody waits long for a disk that answers so fast, whatever its queue.
constexpr double kFastSeconds = 0.002;
// Slow by itself, where nothing is known of the disk's past: a seek takes less.
constexpr double kSlowSeconds = 0.01;
// Writeback comes in waves: between them a disk that does not keep up is idle for a moment. It is told by requests that
// take this much longer than slow ones, and by those who wait.
constexpr double kWaveFactor = 10;
constexpr double kWaveWindow = 10;  // seconds
constexpr double kWaveBusy = 0.75;  // of disk_busy_ratio
constexpr double kWaveWaiting = 0.4;
constexpr double kSomeWait = 0.1;  // PSI: the share of the time in which some task waits for I/O
constexpr double kBlocked = 0.5;   // without PSI: threads in uninterruptible sleep
constexpr double kNotable = 0.05;  // of a disk's busy time
constexpr double kThroughputGap = 20;  // seconds

struct Load {
  const Subject* disk = nullptr;
  double window = kWindow;  // that the figures are of
  double busy = 0;
  double queue = 0;
  double latency = 0;
  double usual = kUnknown;
  double waiting = kUnknown;  // PSI
  double blocked = 0;
  bool is_awaited = false;            // by those who made its requests
  bool is_stuck_at_its_most = false;  // more queue than before, no more throughput
  std::int64_t onset_ns = 0;
};

double bytes_of(const Scene& scene, const Subject& disk, double seconds, double ago = 0) {
  return mean_or_0(scene, disk, Signal::kDiskReadBytes, seconds, ago) +
         mean_or_0(scene, disk, Signal::kDiskWrittenBytes, seconds, ago);
}

// Twice the queue of a while ago, when it was in use as well, and nothing more comes of it.
bool is_at_its_most(const Scene& scene, const Subject& disk, double queue) {
  constexpr double kMore = 1.1;
  const double busy_before = mean_or_0(scene, disk, Signal::kDiskBusy, kWindow, kThroughputGap);
  const double queue_before = mean_or_0(scene, disk, Signal::kDiskQueue, kWindow, kThroughputGap);
  return busy_before >= 0.5 && queue_before > 0 && queue >= 2 * queue_before &&
         bytes_of(scene, disk, kWindow) <= kMore * bytes_of(scene, disk, kWindow, kThroughputGap) &&
         disk_requests(scene, disk, kWindow) <=
             kMore * disk_requests(scene, disk, kWindow, kThroughputGap);
}

// Requests that somebody waits for, whatever PSI says, which does not count those of asynchronous I/O: reads, and writes
// that are not the kernel's writeback.
bool are_awaited(const Scene& scene, const Thresholds& limits, const Load& load) {
  const Subject& disk = *load.disk;
  if (mean_or_0(scene, disk, Signal::kDiskReadTime, load.window) >= limits.disk_queue) {
    return true;
  }
  constexpr double kOfQueue = 0.25;
  const double writes = mean_or_0(scene, disk, Signal::kDiskWrites, load.window);
  const double queued = mean_or_0(scene, disk, Signal::kDiskWriteTime, load.window);
  const double writeback = scene.mean(Signal::kWriteback, load.window);
  return writes > 0 && queued >= limits.disk_queue && is_known(writeback) &&
         writeback < kOfQueue * queued *
                         mean_or_0(scene, disk, Signal::kDiskWrittenBytes, load.window) / writes;
}

// Whether anybody but writers that the kernel pauses on purpose waits for disks.
bool somebody_waits(const Scene& scene, const Load& load) {
  if (!is_known(load.waiting)) {
    return load.blocked >= kBlocked;
  }
  if (load.waiting < kSomeWait) {
    return false;
  }
  double paused = 0;
  for (const Subject* group : scene.subjects(Kind::kGroup)) {
    paused += is_known(Scene::now(*group, Signal::kGroupThrottled))
                  ? mean_or_0(scene, *group, Signal::kGroupThrottled, load.window)
                  : 0;
  }
  if (load.waiting - std::min(paused, 1.0) >= kSomeWait || paused < 0.5 * load.waiting) {
    return true;
  }
  // They alone wait; unless somebody else uses the disk, too.
  int users = 0;
  for (const Subject* user : scene.subjects(Kind::kGroupDisk)) {
    users += user->label(0) == load.disk->label(0) && !is_kernel_group(user->label(1)) &&
                     mean_or_0(scene, *user, Signal::kGroupDiskBusy, load.window) >= kNotable
                 ? 1
                 : 0;
  }
  return users > 1 || mean_or_0(scene, *load.disk, Signal::kDiskReads, load.window) >=
                          0.1 * disk_requests(scene, *load.disk, load.window);
}

bool is_saturated(const Scene& scene, const Thresholds& limits, Load& load) {
  const Subject& disk = *load.disk;
  load.busy = disk_busy(scene, disk, load.window);
  const bool is_wave = load.window == kWaveWindow;
  if (!(load.busy >= (is_wave ? kWaveBusy : 1) * limits.disk_busy_ratio) ||
      !is_whole_disk(scene, disk)) {
    return false;
  }
  load.queue = scene.mean(disk, Signal::kDiskQueue, load.window);
  load.latency = disk_latency(scene, disk, load.window);
  // A full queue makes requests wait for one another; without one they are slow by themselves.
  if (!(load.queue >= limits.disk_queue) || !(load.latency >= kFastSeconds)) {
    return false;
  }
  load.waiting = scene.mean(Signal::kPressureIo, load.window);
  load.blocked = std::max(mean_or_0(scene, scene.host(), Signal::kUninterruptible, load.window),
                          mean_or_0(scene, scene.host(), Signal::kBlocked, load.window));
  load.is_awaited = are_awaited(scene, limits, load);
  if (!load.is_awaited && !somebody_waits(scene, load)) {
    return false;
  }
  // Since both: a disk may have been busy long before requests queued.
  constexpr double kGapSeconds = 5;
  const auto since = [&](Signal signal, double level) {
    return scene.at_least_since(disk, signal, level, kGapSeconds).value_or(scene.boottime_ns());
  };
  load.onset_ns =
      std::max(since(Signal::kDiskBusy, load.busy / 2), since(Signal::kDiskQueue, load.queue / 4));
  if (!load.is_awaited && is_known(load.waiting)) {
    load.onset_ns = std::max(
        load.onset_ns,
        scene.at_least_since(scene.host(), Signal::kPressureIo, load.waiting / 4, kGapSeconds)
            .value_or(load.onset_ns));
  }
  load.usual = usual_latency(scene, disk, load.onset_ns);
  load.is_stuck_at_its_most = is_at_its_most(scene, disk, load.queue);
  const double slow = is_known(load.usual)
                          ? std::max(load.usual * limits.disk_latency_factor, kFastSeconds)
                          : kSlowSeconds;
  if (!(load.latency >= slow) && !load.is_stuck_at_its_most) {
    return false;
  }
  return !is_wave || (load.latency >= kWaveFactor * slow && load.queue >= 4 * limits.disk_queue &&
                      load.waiting >= kWaveWaiting);
}

// Others that use the disk, but for the first cause: their requests stand in the same queue.
std::vector<Party> victims_of(const Scene& scene, const Load& load,
                              const std::vector<Party>& causes) {
  std::vector<Party> out;
  if (causes.empty()) {
    return out;
  }
  const std::string& device = load.disk->label(0);
  for (const Share& user : shares(scene, Signal::kGroupDiskBusy, load.window, kUnknown, 0)) {
    const std::string& group = user.subject->label(1);
    if (out.size() == 4) {
      break;
    }
    if (user.subject->label(0) != device || group == causes.front().group ||
        is_kernel_group(group)) {
      continue;
    }
    Party party = party_of_group(group);
    party.device = device;
    party.doing =
        "waits " + format_figure(load.latency, Unit::kSeconds) + " for each request to it";
    const Subject* of_group = scene.find(Kind::kGroup, {group});
    const double faults = of_group == nullptr
                              ? 0
                              : mean_or_0(scene, *of_group, Signal::kGroupMajorFaults, load.window);
    if (faults >= 1) {
      party.doing += ", " + format_figure(faults, Unit::kNumber) + " major faults a second";
    }
    out.push_back(std::move(party));
  }
  return out;
}

void add_evidence(const Scene& scene, const Thresholds& limits, const Load& load,
                  Finding& finding) {
  const Subject& disk = *load.disk;
  const std::string& name = disk.label(0);
  finding.evidence = {
      {"%util of " + name, load.busy, Unit::kRatio, limits.disk_busy_ratio,
       "node_disk_io_time_seconds_total"},
      {"requests in its queue (aqu-sz)", load.queue, Unit::kNumber, limits.disk_queue,
       "node_disk_io_time_weighted_seconds_total"},
      {"time a request takes (await)", load.latency, Unit::kSeconds,
       is_known(load.usual) ? load.usual * limits.disk_latency_factor : kSlowSeconds,
       "node_disk_read_time_seconds_total, node_disk_write_time_seconds_total"},
  };
  const auto add = [&](std::string what, double value, Unit unit, std::string source,
                       std::optional<double> threshold = std::nullopt) {
    if (is_known(value)) {
      finding.evidence.push_back({std::move(what), value, unit, threshold, std::move(source)});
    }
  };
  add("usual await, the median of its minutes", load.usual, Unit::kSeconds,
      "node_disk_read_time_seconds_total");
  add("reads", scene.mean(disk, Signal::kDiskReads, load.window), Unit::kPerSecond,
      "node_disk_reads_completed_total");
  add("bytes read", scene.mean(disk, Signal::kDiskReadBytes, load.window), Unit::kBytesPerSecond,
      "node_disk_read_bytes_total");
  add("writes", scene.mean(disk, Signal::kDiskWrites, load.window), Unit::kPerSecond,
      "node_disk_writes_completed_total");
  add("bytes written", scene.mean(disk, Signal::kDiskWrittenBytes, load.window),
      Unit::kBytesPerSecond, "node_disk_written_bytes_total");
  add("time in which some task waits for I/O", load.waiting, Unit::kRatio,
      "node_pressure_io_waiting_seconds_total", kSomeWait);
  add("threads in uninterruptible sleep", load.blocked, Unit::kNumber,
      "tidegauge_uninterruptible_threads");
  if (!is_known(load.usual)) {
    finding.unchecked.push_back(
        "what " + name + " usually needs for a request: it has not been watched for long enough");
  }
  if (!is_known(load.waiting)) {
    finding.unchecked.emplace_back(
        "for how much of the time tasks wait for I/O: this kernel has no PSI");
  }
}

void rule_out(const Scene& scene, const Load& load, Finding& finding) {
  const Subject& disk = *load.disk;
  finding.ruled_out.push_back(
      {"the disk hangs", "it completes " +
                             format_figure(disk_requests(scene, disk, load.window), Unit::kNumber) +
                             " requests a second"});
  finding.ruled_out.push_back({"busy, but with room left as a disk that serves many at a time has",
                               format_figure(load.queue, Unit::kNumber) +
                                   " requests queue and each takes " +
                                   format_figure(load.latency, Unit::kSeconds)});
  const double memory = scene.mean(Signal::kPressureMemory, load.window);
  if (memory < kSomeWait) {
    finding.ruled_out.push_back(
        {"waiting for memory",
         "some task waits for memory " + format_figure(memory, Unit::kRatio) + " of the time"});
  }
}

void name_file(const Scene& scene, const Load& load, bool is_write, Party& party) {
  const Subject* file = busiest_file(scene, is_write ? Signal::kFileWritten : Signal::kFileRead,
                                     party.group, party.pid, load.window);
  if (file == nullptr) {
    return;
  }
  party.file = file->label(0);
  const std::string_view thread = file->attribute("thread");
  if (!party.pid.empty() && file->attribute("pid") == party.pid && thread != party.comm) {
    party.thread = thread;
  }
}

Finding saturated(const Scene& scene, const Thresholds& limits, const Load& load) {
  const Subject& disk = *load.disk;
  const std::string& name = disk.label(0);
  const double read_time = mean_or_0(scene, disk, Signal::kDiskReadTime, load.window);
  const double write_time = mean_or_0(scene, disk, Signal::kDiskWriteTime, load.window);
  const bool is_write = write_time >= read_time;
  const bool is_mixed = std::min(read_time, write_time) > 0.3 * std::max(read_time, write_time);
  Finding finding;
  finding.id = VerdictId::kDiskSaturated;
  finding.instance = name;
  finding.onset_ns = load.onset_ns;
  finding.onset_resolution_seconds = scene.tick_seconds();
  DiskUsers users = disk_users(scene, name, load.window);
  finding.causes = std::move(users.parties);
  finding.victims = victims_of(scene, load, finding.causes);
  add_evidence(scene, limits, load, finding);
  rule_out(scene, load, finding);
  if (users.is_guess) {
    finding.unchecked.emplace_back(
        "whose requests they are: no BPF, so processes are told by their own bytes");
  } else if (users.unattributed >= kNotable) {
    finding.unchecked.push_back(
        "whose " + format_figure(users.unattributed, Unit::kRatio) +
        " of its busy time is: the kernel's own, or begun before the daemon came");
  }
  finding.confidence = 0.6;
  if (!finding.causes.empty() && !users.is_guess &&
      finding.causes.front().share.value_or(0) >= 0.3) {
    finding.confidence += 0.15;
  }
  if ((is_known(load.usual) && load.latency >= load.usual * limits.disk_latency_factor) ||
      load.latency >= 3 * kSlowSeconds || load.is_stuck_at_its_most) {
    finding.confidence += 0.1;
  }
  if (load.waiting >= 2 * kSomeWait || load.is_awaited) {
    finding.confidence += 0.1;
  }
  finding.sentence = "Disk " + name + " is saturated by " +
                     (is_mixed   ? "reads and writes"
                      : is_write ? "writes"
                                 : "reads") +
                     ": busy " + format_figure(load.busy, Unit::kRatio) + ", " +
                     format_figure(load.queue, Unit::kNumber) + " requests queue and each takes " +
                     format_figure(load.latency, Unit::kSeconds);
  if (is_known(load.usual)) {
    finding.sentence += ", usually " + format_figure(load.usual, Unit::kSeconds);
  }
  finding.sentence +=
      ", for " + format_duration(static_cast<double>(scene.boottime_ns() - load.onset_ns) / 1e9);
  if (!finding.causes.empty()) {
    Party& first = finding.causes.front();
    name_file(scene, load, is_write, first);
    finding.sentence += "; " + first.text() + " " + first.doing;
  }
  if (!finding.victims.empty()) {
    finding.sentence += "; " + finding.victims.front().text() + " waits for it as well";
  }
  finding.sentence += ".";
  finding.timeline = {{load.onset_ns, name + " is busy and requests queue"}};
  finding.next_steps = {"iostat -x " + name + " 1", "pidstat -d 1"};
  return finding;
}

}  // namespace

void detect_disk_saturated(const DetectorInput& input, Findings& out) {
  for (const Subject* disk : input.scene.subjects(Kind::kDisk)) {
    if (!is_known(Scene::now(*disk, Signal::kDiskBusy))) {
      continue;
    }
    for (const double window : {kWindow, kWaveWindow}) {
      Load load;
      load.disk = disk;
      load.window = window;
      if (is_saturated(input.scene, input.limits, load)) {
        out.push_back(saturated(input.scene, input.limits, load));
        break;
      }
    }
  }
}

}  // namespace tidegauge::heuristics
