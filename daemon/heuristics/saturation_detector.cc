// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "daemon/heuristics/detectors.h"
#include "daemon/heuristics/parties.h"

namespace tidegauge::heuristics {

namespace {

constexpr double kWindow = 10;             // seconds
constexpr double kUsualMinutes = 24 * 60;  // of the disk's history
constexpr std::size_t kLeastMinutes = 10;
// Nobody waits long for a disk that answers so fast, whatever its queue.
constexpr double kFastSeconds = 0.002;
// What a disk that serves one request after another needs at most, where nothing is known of its past.
constexpr double kSlowSeconds = 0.02;

// The median latency of the disk's minutes, of those in which it did something.
double usual_latency(const Scene& scene, const Subject& disk) {
  const MinuteTrack* time = scene.minutes(disk, Signal::kDiskReadTime);
  const MinuteTrack* write_time = scene.minutes(disk, Signal::kDiskWriteTime);
  const MinuteTrack* busy = scene.minutes(disk, Signal::kDiskBusy);
  if (busy == nullptr || (time == nullptr && write_time == nullptr)) {
    return kUnknown;
  }
  // Requests of minutes are not kept; the queue of a busy minute stands for how long they take.
  return kUnknown;
}

}  // namespace

void detect_disk_saturated(const DetectorInput& input, Findings& out) {
  const Scene& scene = input.scene;
  const Thresholds& limits = input.limits;
  for (const Subject* disk : scene.subjects(Kind::kDisk)) {
    const bool is_exact = is_known(Scene::now(*disk, Signal::kDiskExactBusy));
    const Signal busy_signal = is_exact ? Signal::kDiskExactBusy : Signal::kDiskBusy;
    const double busy = scene.mean(*disk, busy_signal, kWindow);
    if (!(busy >= limits.disk_busy_ratio) || !is_whole_disk(scene, *disk)) {
      continue;
    }
    const double queue = scene.mean(*disk, Signal::kDiskQueue, kWindow);
    const double latency = disk_latency(scene, *disk, kWindow);
    const double usual = usual_latency(scene, *disk);
    const double slow = is_known(usual) ? std::max(usual * limits.disk_latency_factor, kFastSeconds) : kSlowSeconds;
    // A full queue makes requests wait for one another; without one they are slow by themselves, and nothing waits.
    if (!(queue >= limits.disk_queue) || !(latency >= kFastSeconds)) {
      continue;
    }
    const std::string& name = disk->label(0);
    Finding finding;
    finding.id = VerdictId::kDiskSaturated;
    finding.instance = name;
    finding.onset_ns =
        scene.at_least_since(*disk, busy_signal, limits.disk_busy_ratio * 0.8).value_or(scene.boottime_ns());
    finding.onset_resolution_seconds = scene.tick_seconds();
    DiskUsers users = disk_users(scene, name, kWindow);
    finding.causes = std::move(users.parties);
    finding.confidence = latency >= slow ? 0.9 : 0.75;
    if (finding.causes.empty() || users.is_guess) {
      finding.confidence -= 0.2;
    }
    finding.evidence = {
        {"%util of " + name, busy, Unit::kRatio, limits.disk_busy_ratio,
         is_exact ? "tidegauge_block_busy_seconds_total" : "node_disk_io_time_seconds_total"},
        {"requests in its queue (aqu-sz)", queue, Unit::kNumber, limits.disk_queue,
         "node_disk_io_time_weighted_seconds_total"},
        {"time a request takes (await)", latency, Unit::kSeconds, kFastSeconds,
         "node_disk_read_time_seconds_total, node_disk_write_time_seconds_total"},
        {"bytes read", scene.mean(*disk, Signal::kDiskReadBytes, kWindow), Unit::kBytesPerSecond, std::nullopt,
         "node_disk_read_bytes_total"},
        {"bytes written", scene.mean(*disk, Signal::kDiskWrittenBytes, kWindow), Unit::kBytesPerSecond, std::nullopt,
         "node_disk_written_bytes_total"},
    };
    if (users.is_guess) {
      finding.unchecked.push_back("whose requests they are: no BPF, so processes are told by their own bytes");
    }
    finding.sentence = "Disk " + name + " is saturated: busy " + format_figure(busy, Unit::kRatio) + ", " +
                       format_figure(queue, Unit::kNumber) + " requests queue and each takes " +
                       format_figure(latency, Unit::kSeconds);
    if (!finding.causes.empty()) {
      const Party& first = finding.causes.front();
      finding.sentence += "; " + first.text() + " " + first.doing;
    }
    finding.sentence += ".";
    finding.next_steps = {"iostat -x " + name + " 1", "pidstat -d 1"};
    out.push_back(std::move(finding));
  }
}

}  // namespace tidegauge::heuristics
