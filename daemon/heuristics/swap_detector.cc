// SPDX-License-Identifier: Apache-2.0

// swap_thrash: the same memory goes out to swap and comes back, and somebody waits for it. Idle memory that is swapped
// out once is none.

#include <algorithm>
#include <cmath>
#include <utility>

#include "daemon/heuristics/detectors.h"
#include "daemon/heuristics/leading_signal.h"
#include "daemon/heuristics/memory_parties.h"
#include "daemon/heuristics/parties.h"

namespace tidegauge::heuristics {

namespace {

constexpr double kWindow = 10;  // seconds
// Pages go out in bursts, many at a time, and come back one by one.
constexpr double kOutWindow = 30;
constexpr double kMostOfIt = 0.5;  // of the window, in which pages must move
constexpr double kPsiHeavy = 0.3;
constexpr std::size_t kMostVictims = 4;

// Swap's place is in no file that is read: the disk that moves what is swapped, both ways.
const Subject* swap_disk(const Scene& scene, double in_bytes, double out_bytes) {
  const Subject* best = nullptr;
  double nearest = 1;
  for (const Subject* disk : scene.subjects(Kind::kDisk)) {
    const double read = scene.mean(*disk, Signal::kDiskReadBytes, kWindow);
    const double written = std::max(scene.mean(*disk, Signal::kDiskWrittenBytes, kOutWindow),
                                    scene.mean(*disk, Signal::kDiskWrittenBytes, kWindow));
    if (!(read >= 0.7 * in_bytes) || !(written >= 0.7 * out_bytes)) {
      continue;
    }
    const double off =
        std::abs(std::log(read / in_bytes)) + std::abs(std::log(written / out_bytes));
    if (best == nullptr || off < nearest) {
      nearest = off;
      best = disk;
    }
  }
  return best;
}

}  // namespace

void detect_swap_thrash(const DetectorInput& input, Findings& out) {
  const Scene& scene = input.scene;
  const Thresholds& limits = input.limits;
  const double in = scene.mean(Signal::kSwapIns, kWindow);
  const double swapped = scene.mean(Signal::kSwapOuts, kOutWindow);
  const double pressure = scene.mean(Signal::kPressureMemory, kWindow);
  // A disk that can do no more pages than that makes the waits longer instead.
  const double limit = limits.swap_pages_per_second * (pressure >= kPsiHeavy ? 0.25 : 1);
  if (!(in >= limit) || !(swapped >= limit) ||
      !(scene.share_at_least(scene.host(), Signal::kSwapIns, limit / 4, kWindow) >= kMostOfIt) ||
      !goes_on(scene, Signal::kSwapIns, in)) {
    return;
  }
  const double majors = scene.mean(Signal::kMajorFaults, kWindow);
  const bool waits =
      is_known(pressure) ? pressure >= limits.pressure_memory_ratio : majors >= limit / 8;
  if (!waits) {
    return;
  }
  Finding finding;
  finding.id = VerdictId::kSwapThrash;
  finding.confidence = 0.75;
  const auto began_in = onset_of(scene, scene.host(), Signal::kSwapIns, in);
  const auto began_out =
      scene.at_least_since(scene.host(), Signal::kSwapOuts, swapped / 10, kOutWindow);
  finding.onset_ns =
      std::min(began_in.value_or(scene.boottime_ns()), began_out.value_or(scene.boottime_ns()));
  // Swapping out alone is no thrash yet.
  if (began_in && began_out) {
    finding.onset_ns = std::max(*began_in, *began_out);
  }
  finding.onset_resolution_seconds = scene.tick_seconds();
  const double page = page_bytes(input.memory);
  const Subject* disk = swap_disk(scene, in * page, swapped * page);

  for (const Share& one : shares(scene, Signal::kGroupMajorFaults, kWindow, kUnknown, 0.05)) {
    if (finding.victims.size() == kMostVictims) {
      break;
    }
    Party party = member_of_group(scene, one.subject->label(0), Signal::kProcessMajorFaults,
                                  one.value, kWindow);
    party.group = one.subject->label(0);
    party.share = one.share;
    party.doing =
        "waits for " + figure(one.value, Unit::kPerSecond) + " pages a second from swap or files";
    if (const double bytes = Scene::now(*one.subject, Signal::kGroupSwap);
        is_known(bytes) && bytes > 0) {
      party.doing += ", has " + figure(bytes, Unit::kBytes) + " in swap";
    }
    finding.victims.push_back(std::move(party));
  }
  // What is resident and what is swapped of it is what it wants.
  finding.causes = largest_parties(scene, kWindow);
  if (finding.causes.empty()) {
    finding.unchecked.emplace_back("who has the memory: no process is seen to");
  } else {
    finding.confidence += 0.1;
    if (disk != nullptr) {
      finding.causes.front().device = disk->label(0);
    }
  }
  add_figure(finding, "pages swapped in (pswpin)", in, Signal::kSwapIns, limit);
  add_figure(finding, "pages swapped out (pswpout)", swapped, Signal::kSwapOuts, limit);
  add_figure(finding, "major faults (majflt)", majors, Signal::kMajorFaults);
  add_figure(finding, "time in which some task waits for memory (PSI)", pressure,
             Signal::kPressureMemory, limits.pressure_memory_ratio);
  add_figure(finding, "time in which all that could run wait for memory (PSI)",
             scene.mean(Signal::kPressureMemoryFull, kWindow), Signal::kPressureMemoryFull);
  add_figure(finding, "anonymous pages needed again after they were swapped out",
             scene.mean(Signal::kRefaultsAnon, kWindow), Signal::kRefaultsAnon);
  add_figure(finding, "swap that is free", scene.now(Signal::kSwapFree), Signal::kSwapFree);
  add_figure(finding, "anonymous memory (AnonPages)", scene.now(Signal::kAnonPages),
             Signal::kAnonPages);
  std::string where;
  if (disk != nullptr) {
    where = " on " + disk->label(0);
    add_figure(finding, "time a request of " + disk->label(0) + " takes",
               disk_latency(scene, *disk, kWindow), Unit::kSeconds, std::nullopt,
               "node_disk_read_time_seconds_total");
  } else {
    finding.unchecked.emplace_back("the disk of the swap space: none moves what is swapped");
  }
  add_unchecked(finding, scene, Signal::kPressureMemory,
                "time lost by waiting for memory: this kernel has no PSI");
  finding.ruled_out.push_back(
      {"idle memory swapped out once", figure(in, Unit::kPagesPerSecond) + " come back"});
  Timeline timeline;
  timeline.add(began_out, "pages are swapped out");
  timeline.add(began_in, "and in again");
  timeline.add(onset_of(scene, scene.host(), Signal::kPressureMemory, pressure),
               "tasks wait for memory");
  finding.timeline = std::move(timeline).moments();
  finding.sentence = "Memory is swapped back and forth" + where + ": " +
                     figure(in, Unit::kPagesPerSecond) + " in, " +
                     figure(swapped, Unit::kPagesPerSecond) + " out";
  finding.sentence += who_does(finding) + lasted(scene, finding);
  finding.next_steps = {"vmstat 1", "sar -W 1", "grep VmSwap /proc/*/status"};
  finding.confidence = std::min(finding.confidence, 0.9);
  out.push_back(std::move(finding));
}

}  // namespace tidegauge::heuristics
