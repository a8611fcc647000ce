// SPDX-License-Identifier: Apache-2.0

// page_cache_thrash: somebody's reads fill the page cache so fast that reclaim takes what others still need, and they
// wait for a disk to read it again. Reads that stream through the cache and hurt nobody are no thrash: the figure that
// decides is the time others wait.

#include <algorithm>
#include <utility>

#include "daemon/heuristics/cache_flow.h"
#include "daemon/heuristics/detectors.h"
#include "daemon/heuristics/leading_signal.h"
#include "daemon/heuristics/memory_parties.h"
#include "daemon/heuristics/parties.h"

namespace tidegauge::heuristics {

namespace {

constexpr std::size_t kMostVictims = 6;

std::string since_usual(double usual, Unit unit) {
  return is_known(usual) ? " against " + figure(usual, unit) + " before" : "";
}

void add_causes(Finding& finding, const Scene& scene, const CacheDisks& disks,
                const CacheReader& reader) {
  Party cause;
  if (reader.group != nullptr) {
    const std::string& group = reader.group->label(0);
    cause = member_of_group(scene, group, Signal::kProcessRead, reader.bytes, kCacheWindow);
    cause.group = group;
    cause.share = reader.share;
    cause.doing = "reads " + figure(reader.bytes, Unit::kBytesPerSecond);
    if (disks.leader != nullptr) {
      cause.doing += " from " + disks.leader->label(0);
    }
    cause.doing += ", " + figure(reader.share, Unit::kRatio) + " of all that is read";
    if (const Subject* file =
            busiest_file(scene, Signal::kFileRead, group, cause.pid, kCacheWindow)) {
      cause.file = file->label(0);
    }
  } else if (disks.leader != nullptr) {
    cause.share = disks.share;
    cause.doing = "is read at " + figure(disks.leader_bytes, Unit::kBytesPerSecond) + ", " +
                  figure(disks.share, Unit::kRatio) + " of all that is read";
  }
  if (disks.leader != nullptr) {
    cause.device = disks.leader->label(0);
  }
  finding.causes.push_back(std::move(cause));
}

void add_victims(Finding& finding, const Scene& scene, const CacheDisks& disks,
                 const CacheReader& reader) {
  for (const Share& one : shares(scene, Signal::kGroupMajorFaults, kCacheWindow, kUnknown, 0.02)) {
    if (one.subject == reader.group || one.value < 1 || finding.victims.size() == kMostVictims) {
      continue;
    }
    Party party = member_of_group(scene, one.subject->label(0), Signal::kProcessMajorFaults,
                                  one.value, kCacheWindow);
    party.group = one.subject->label(0);
    party.share = one.share;
    party.doing = "takes " + figure(one.value, Unit::kPerSecond) + " major faults";
    finding.victims.push_back(std::move(party));
  }
  for (std::size_t i = 0; i < disks.hurt.size() && i < 4; ++i) {
    const Subject& disk = *disks.hurt[i];
    if (!(scene.mean(disk, Signal::kDiskReadTime, kCacheWindow) >= kWaitRatio / 2)) {
      continue;
    }
    Party party;
    party.device = disk.label(0);
    const double busy = scene.mean(disk, Signal::kDiskBusy, kCacheWindow);
    party.doing =
        "reads " +
        figure(scene.mean(disk, Signal::kDiskReadBytes, kCacheWindow), Unit::kBytesPerSecond) +
        ", " + figure(disk_latency(scene, disk, kCacheWindow), Unit::kSeconds) + " a request";
    if (is_known(busy)) {
      party.doing += ", busy " + figure(std::min(busy, 1.0), Unit::kRatio);
    }
    finding.victims.push_back(std::move(party));
  }
}

void add_evidence(Finding& finding, const DetectorInput& input, const CacheFlow& flow,
                  const CacheDisks& disks, const CacheHurt& hurt) {
  const Scene& scene = input.scene;
  const double total = scene.now(Signal::kMemTotal);
  add_figure(finding, "time that others wait for pages, all threads together", hurt.wait,
             Unit::kRatio, kWaitRatio, "node_disk_read_time_seconds_total, node_vmstat_pgmajfault");
  add_figure(finding, "memory reclaimed per second, of all", flow.stolen_bytes / total,
             Unit::kRatio, input.limits.cache_refill_ratio, source_of(Signal::kStolenKswapd));
  add_figure(finding, "pages reclaimed (pgsteal)", flow.stolen, Signal::kStolenKswapd);
  add_figure(finding, "pages scanned by kswapd (pgscank)",
             scene.mean(Signal::kScannedKswapd, kCacheWindow), Signal::kScannedKswapd,
             input.limits.scan_pages_per_second);
  add_figure(finding, "read from disks (pgpgin)", flow.read_bytes, Signal::kPagedIn);
  if (disks.leader != nullptr) {
    add_figure(finding, "read from " + disks.leader->label(0), disks.leader_bytes,
               Signal::kDiskReadBytes);
    add_figure(finding, "share of " + disks.leader->label(0) + " in pgpgin", disks.share,
               Unit::kRatio, std::nullopt, source_of(Signal::kDiskReadBytes));
  }
  add_figure(finding, "major faults (majflt)", flow.majors, Signal::kMajorFaults,
             std::max(hurt.is_counted ? kLeastFaults : kLeastFaultsAlone,
                      (hurt.is_counted ? kFactor : kFactorAlone) *
                          (is_known(flow.usual_majors) ? flow.usual_majors : 0)));
  add_figure(finding, "major faults before", flow.usual_majors, Signal::kMajorFaults);
  add_figure(finding, "pages read again after their reclaim (refaults)", flow.refaults,
             scene.has(Signal::kRefaultsFile) ? Signal::kRefaultsFile : Signal::kRefaults);
  for (std::size_t i = 0; i < disks.hurt.size() && i < 2; ++i) {
    add_figure(finding, "time a read of " + disks.hurt[i]->label(0) + " takes",
               read_latency(scene, *disks.hurt[i]), Unit::kSeconds, std::nullopt,
               "node_disk_read_time_seconds_total");
  }
  add_figure(finding, "page cache (Cached)", scene.now(Signal::kCached), Signal::kCached);
  add_figure(finding, "its largest size of the last quarter of an hour",
             scene.max(Signal::kCached, 900), Signal::kCached);
}

// The nodes' free memory against their marks: what it rules out, or that it does not.
void judge_watermarks(Finding& finding, const DetectorInput& input, const CacheFlow& flow) {
  const double scanned = input.scene.mean(Signal::kScannedKswapd, kCacheWindow);
  bool is_known_of_all = !input.memory.nodes.empty();
  bool is_far = is_known_of_all;
  double headroom = kUnknown;
  for (const NodeReading& node : input.memory.nodes) {
    const NodeWatermarks& marks = node.watermarks;
    is_known_of_all = is_known_of_all && marks.headroom_low_pages.has_value();
    is_far = is_far && marks.is_far_above_high.value_or(false);
    if (marks.headroom_low_pages && !(headroom < *marks.headroom_low_pages)) {
      headroom = *marks.headroom_low_pages;
    }
  }
  if (!is_known_of_all) {
    finding.unchecked.emplace_back(
        "free memory against the watermarks: no /proc/zoneinfo at this time");
    return;
  }
  if (!is_far) {
    add_figure(finding, "free memory above low, in the node with least", headroom * flow.page_bytes,
               Unit::kBytes, std::nullopt, "node_zoneinfo_low_pages");
    return;
  }
  finding.ruled_out.push_back(
      {"a breach of the watermarks", "free memory is " +
                                         figure(headroom * flow.page_bytes, Unit::kBytes) +
                                         " above low where it is least, and far above high"});
  if (scanned >= input.limits.scan_pages_per_second) {
    finding.evidence.push_back(
        {"kswapd scans although free memory is far above high: something other than the order-0 "
         "watermark keeps it awake (large blocks, boosted marks)",
         scanned, Unit::kPagesPerSecond, input.limits.scan_pages_per_second,
         source_of(Signal::kScannedKswapd)});
  }
}

void rule_out(Finding& finding, const DetectorInput& input, const CacheFlow& flow,
              const Taking& taking) {
  const Scene& scene = input.scene;
  if (scene.has(Signal::kAnonPages)) {
    finding.ruled_out.push_back({"growth of anonymous memory",
                                 "AnonPages and Shmem change by " +
                                     figure(taking.net_bytes_per_second, Unit::kBytesPerSecond) +
                                     ", " + figure(flow.stolen_bytes, Unit::kBytesPerSecond) +
                                     " are reclaimed"});
  } else {
    // All memory that was read came from files: what is reclaimed is what was read.
    finding.ruled_out.push_back({"growth of anonymous memory",
                                 figure(flow.read_bytes, Unit::kBytesPerSecond) + " are read and " +
                                     figure(flow.stolen_bytes, Unit::kBytesPerSecond) +
                                     " reclaimed: what was reclaimed was filled by reads again"});
    finding.unchecked.emplace_back("AnonPages: no /proc/meminfo at this time");
  }
  const double in = scene.mean(Signal::kSwapIns, kCacheWindow);
  const double swapped = scene.mean(Signal::kSwapOuts, kCacheWindow);
  const double written = scene.mean(Signal::kPagedOut, kCacheWindow);
  if (is_known(swapped)) {
    finding.ruled_out.push_back({"swapping", figure(in, Unit::kPagesPerSecond) +
                                                 " are swapped in and " +
                                                 figure(swapped, Unit::kPagesPerSecond) + " out"});
  } else if (written < kSwapShare * flow.stolen_bytes) {
    finding.ruled_out.push_back({"swapping", "all that is written to disks (pgpgout) is " +
                                                 figure(written, Unit::kBytesPerSecond) + ", " +
                                                 figure(flow.stolen_bytes, Unit::kBytesPerSecond) +
                                                 " are reclaimed"});
  }
  const double direct = scene.mean(Signal::kScannedDirect, kCacheWindow);
  if (is_known(direct)) {
    if (direct <= 0.01 * flow.stolen) {
      finding.ruled_out.push_back(
          {"failing allocations and direct reclaim",
           figure(direct, Unit::kPagesPerSecond) + " are scanned directly (pgscand)"});
    } else {
      add_figure(finding, "pages scanned by those who allocate (pgscand)", direct,
                 Signal::kScannedDirect);
    }
  }
  if (scene.has(Signal::kCacheDrops) && scene.max(Signal::kCacheDrops, 60) == 0) {
    finding.ruled_out.push_back({"a dropped cache", "nobody wrote to vm.drop_caches"});
  }
}

// Onsets, and which came first.
void tell_order(Finding& finding, const Scene& scene, const CacheFlow& flow,
                const CacheDisks& disks) {
  const Subject& host = scene.host();
  const auto stolen =
      onset_of(scene, host, Signal::kStolenKswapd, scene.mean(Signal::kStolenKswapd, kCacheWindow));
  const auto faults = onset_of(scene, host, Signal::kMajorFaults, flow.majors, flow.usual_majors);
  const Signal refault_signal =
      scene.has(Signal::kRefaultsFile) ? Signal::kRefaultsFile : Signal::kRefaults;
  const auto refaults = onset_of(scene, host, refault_signal, flow.refaults);
  std::optional<std::int64_t> reads;
  Timeline timeline;
  if (disks.leader != nullptr) {
    reads = onset_of(scene, *disks.leader, Signal::kDiskReadBytes, disks.leader_bytes,
                     usual_of(scene, *disks.leader, Signal::kDiskReadBytes));
    timeline.add(reads, "reads of " + disks.leader->label(0) + " rise");
  }
  timeline.add(stolen, "kswapd reclaims");
  timeline.add(refaults, "reclaimed pages are read again");
  timeline.add(faults, "major faults rise");
  for (std::size_t i = 0; i < disks.hurt.size() && i < 2; ++i) {
    timeline.add(onset_of(scene, *disks.hurt[i], Signal::kDiskReadBytes,
                          scene.mean(*disks.hurt[i], Signal::kDiskReadBytes, kCacheWindow),
                          usual_of(scene, *disks.hurt[i], Signal::kDiskReadBytes)),
                 "reads of " + disks.hurt[i]->label(0) + " rise");
  }
  finding.timeline = std::move(timeline).moments();
  finding.onset_resolution_seconds = scene.tick_seconds();
  // Reclaim that went on long before it hurt was no thrash yet.
  constexpr std::int64_t kSameNs = 30'000'000'000;
  finding.onset_ns = stolen.value_or(scene.boottime_ns());
  if (const auto hurt = faults ? faults : refaults; hurt && *hurt > finding.onset_ns + kSameNs) {
    finding.onset_ns = *hurt;
  }
  if (!can_tell_order(scene, 60)) {
    finding.unchecked.push_back("which came first, the reads or the reclaim: samples are " +
                                format_duration(scene.axis().resolution_seconds(60)) + " apart");
  } else if (reads && stolen) {
    const double lead = static_cast<double>(*stolen - *reads) / 1e9;
    add_figure(finding, "lead of the reads of " + disks.leader->label(0) + " over kswapd", lead,
               Unit::kSeconds, std::nullopt, source_of(Signal::kDiskReadBytes));
    finding.confidence += lead >= 0 ? 0.05 : -0.1;
  }
}

void say(Finding& finding, const Scene& scene, const CacheFlow& flow, const CacheDisks& disks,
         const CacheHurt& hurt) {
  const Party& cause = finding.causes.front();
  std::string who = cause.text();
  if (!cause.group.empty() || !cause.comm.empty()) {
    who += " reads " + figure(disks.leader_bytes, Unit::kBytesPerSecond);
    who += disks.leader != nullptr ? " from " + disks.leader->label(0) : "";
  } else {
    who = "Reads of " + who + ", " + figure(disks.leader_bytes, Unit::kBytesPerSecond) + ",";
  }
  finding.sentence = who + (cause.comm.empty() && cause.group.empty() ? " push" : " and pushes") +
                     " what others need out of the page cache: " +
                     figure(flow.stolen_bytes, Unit::kBytesPerSecond) + " are reclaimed";
  if (is_known(flow.majors)) {
    finding.sentence += ", " + figure(flow.majors, Unit::kPerSecond) + " major faults" +
                        since_usual(flow.usual_majors, Unit::kPerSecond);
  }
  std::string disk_names;
  for (const Party& victim : finding.victims) {
    if (!victim.device.empty()) {
      disk_names += (disk_names.empty() ? "" : " and ") + victim.device;
    }
  }
  if (!disk_names.empty() && is_known(hurt.latency)) {
    finding.sentence += " wait " + figure(hurt.latency, Unit::kSeconds) + " each for " + disk_names;
  }
  finding.sentence +=
      ", for " +
      format_duration(static_cast<double>(scene.boottime_ns() - finding.onset_ns) / 1e9) + ".";
}

}  // namespace

void detect_page_cache_thrash(const DetectorInput& input, Findings& out) {
  const Scene& scene = input.scene;
  CacheFlow flow;
  if (!read_flow(input, flow)) {
    return;
  }
  const Taking taking = host_taking(scene, kCacheWindow);
  const double total = scene.now(Signal::kMemTotal);
  // Where little is left for the cache, its pages are what is short, whoever reads.
  if (is_for_anon(scene, flow, taking) ||
      available_bytes(scene) < input.limits.available_ratio * total) {
    return;
  }
  flow.majors = scene.mean(Signal::kMajorFaults, kCacheWindow);
  flow.usual_majors = usual_of(scene, scene.host(), Signal::kMajorFaults);
  flow.refaults = sum_known(scene.mean(Signal::kRefaultsFile, kCacheWindow),
                            scene.mean(Signal::kRefaults, kCacheWindow));
  const CacheDisks disks = find_disks(scene, flow);
  const CacheReader reader = find_reader(scene, flow);
  // Nobody in particular, or the reader's own disk alone and no reader: memory is too small for what is used.
  if (reader.group == nullptr && (disks.share < kReadShare || disks.hurt.empty())) {
    return;
  }
  const CacheHurt hurt = measure_hurt(scene, flow, disks, reader);
  if (!hurt.rose || !(hurt.wait >= kWaitRatio)) {
    return;
  }
  Finding finding;
  finding.id = VerdictId::kPageCacheThrash;
  finding.confidence = 0.6;
  add_causes(finding, scene, disks, reader);
  add_victims(finding, scene, disks, reader);
  add_evidence(finding, input, flow, disks, hurt);
  rule_out(finding, input, flow, taking);
  judge_watermarks(finding, input, flow);
  tell_order(finding, scene, flow, disks);
  if (hurt.is_counted) {
    finding.confidence += 0.1;
  } else {
    finding.unchecked.emplace_back(
        "whether what is read again had been in the cache: this kernel counts no refaults");
  }
  if (is_known(flow.usual_majors)) {
    finding.confidence += 0.05;
  }
  if (reader.group != nullptr) {
    finding.confidence += scene.has(Signal::kGroupCacheRead) ? 0.1 : 0.05;
  } else {
    finding.unchecked.emplace_back("who reads: no process is seen to read most of it");
  }
  add_unchecked(finding, scene, Signal::kGroupCacheRead, "who fills the page cache: needs BPF");
  finding.confidence = std::clamp(finding.confidence, 0.0, 0.95);
  say(finding, scene, flow, disks, hurt);
  finding.next_steps = {"sar -B 1", "iostat -x 1", "pidstat -dr 1",
                        "vmtouch or fincore on what the victims map"};
  out.push_back(std::move(finding));
}

}  // namespace tidegauge::heuristics
