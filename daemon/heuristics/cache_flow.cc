// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/cache_flow.h"

#include <algorithm>
#include <utility>

#include "daemon/heuristics/parties.h"

namespace tidegauge::heuristics {

namespace {

// Anonymous memory that grows by this part of what is reclaimed explains the reclaim.
constexpr double kAnonShare = 0.3;
// A disk that reads so much of what the busiest one reads takes part in filling the cache.
constexpr double kFillingShare = 0.2;
constexpr double kReadFactor = 3;  // times what it usually reads, from which a disk is hurt
// Without MemTotal: 80 MB/s reclaimed.
constexpr double kScanFactor = 20;

bool is_stacked(std::string_view device) {
  return device.starts_with("dm-") || device.starts_with("md");
}

}  // namespace

double read_latency(const Scene& scene, const Subject& disk) {
  const double reads = scene.mean(disk, Signal::kDiskReads, kCacheWindow);
  return reads > 0 ? scene.mean(disk, Signal::kDiskReadTime, kCacheWindow) / reads : kUnknown;
}

bool read_flow(const DetectorInput& input, CacheFlow& out) {
  const Scene& scene = input.scene;
  const double stolen = sum_known(scene.mean(Signal::kStolenKswapd, kCacheWindow),
                                  scene.mean(Signal::kStolenDirect, kCacheWindow));
  const double scanned = sum_known(scene.mean(Signal::kScannedKswapd, kCacheWindow),
                                   scene.mean(Signal::kScannedDirect, kCacheWindow));
  out.stolen = is_known(stolen) ? stolen : scanned;
  if (!(out.stolen >= input.limits.scan_pages_per_second / 2)) {
    return false;
  }
  if (!goes_on(scene, is_known(stolen) ? Signal::kStolenKswapd : Signal::kScannedKswapd,
               out.stolen) &&
      !goes_on(scene, Signal::kStolenDirect, out.stolen)) {
    return false;
  }
  out.page_bytes = page_bytes(input.memory);
  out.stolen_bytes = out.stolen * out.page_bytes;
  out.read_bytes = scene.mean(Signal::kPagedIn, kCacheWindow);
  const double total = scene.now(Signal::kMemTotal);
  const double least = is_known(total)
                           ? input.limits.cache_refill_ratio * total
                           : kScanFactor * input.limits.scan_pages_per_second * out.page_bytes;
  return out.stolen_bytes >= least &&
         out.read_bytes >= std::max(least / 2, kReadShare * out.stolen_bytes);
}

bool is_for_anon(const Scene& scene, const CacheFlow& flow, const Taking& taking) {
  const double swapped = scene.mean(Signal::kSwapOuts, kCacheWindow);
  return taking.net_bytes_per_second > kAnonShare * flow.stolen_bytes ||
         swapped > kSwapShare * flow.stolen;
}

CacheDisks find_disks(const Scene& scene, const CacheFlow& flow) {
  CacheDisks out;
  std::vector<std::pair<double, const Subject*>> all;
  double most = 0;
  for (const Subject* disk : scene.subjects(Kind::kDisk)) {
    const double bytes = scene.mean(*disk, Signal::kDiskReadBytes, kCacheWindow);
    if (bytes > 0 && is_whole_disk(scene, *disk)) {
      all.emplace_back(bytes, disk);
      most = std::max(most, bytes);
    }
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first > b.first : a.second->labels < b.second->labels;
  });
  double filling = 0;
  double filling_stacked = 0;
  for (const auto& [bytes, disk] : all) {
    if (bytes < kFillingShare * most) {
      continue;
    }
    (is_stacked(disk->label(0)) ? filling_stacked : filling) += bytes;
    // The disk itself rather than what is stacked on it.
    const bool is_below = out.leader != nullptr && is_stacked(out.leader->label(0)) &&
                          !is_stacked(disk->label(0)) && bytes >= 0.9 * out.leader_bytes;
    if (out.leader == nullptr || is_below) {
      out.leader = disk;
      out.leader_bytes = bytes;
    }
  }
  out.share = std::min(std::max(filling, filling_stacked) / std::max(flow.read_bytes, 1.0), 1.0);
  for (const auto& [bytes, disk] : all) {
    if (bytes >= kFillingShare * most || is_stacked(disk->label(0))) {
      continue;
    }
    out.other_bytes += bytes;
    out.other_wait += Scene::sum(*disk, Signal::kDiskReadTime) > 0
                          ? scene.mean(*disk, Signal::kDiskReadTime, kCacheWindow)
                          : 0;
    const double usual = usual_of(scene, *disk, Signal::kDiskReadBytes);
    if (!is_known(usual) || bytes >= kReadFactor * usual) {
      out.hurt.push_back(disk);
    }
  }
  std::stable_sort(out.hurt.begin(), out.hurt.end(), [&](const Subject* a, const Subject* b) {
    return scene.mean(*a, Signal::kDiskReadTime, kCacheWindow) >
           scene.mean(*b, Signal::kDiskReadTime, kCacheWindow);
  });
  return out;
}

CacheReader find_reader(const Scene& scene, const CacheFlow& flow) {
  CacheReader out;
  out.signal = scene.has(Signal::kGroupCacheRead) ? Signal::kGroupCacheRead : Signal::kGroupRead;
  const std::vector<Share> readers =
      shares(scene, out.signal, kCacheWindow, flow.read_bytes, kReadShare);
  if (!readers.empty()) {
    out.group = readers.front().subject;
    out.bytes = readers.front().value;
    out.share = readers.front().share;
  }
  return out;
}

// What those lose that do not fill the cache.
CacheHurt measure_hurt(const Scene& scene, const CacheFlow& flow, const CacheDisks& disks,
                       const CacheReader& reader) {
  CacheHurt out;
  out.is_counted = is_known(flow.refaults);
  out.faults = flow.majors;
  if (reader.group != nullptr && is_known(flow.majors)) {
    const double own = scene.mean(*reader.group, Signal::kGroupMajorFaults, kCacheWindow);
    out.faults = std::max(flow.majors - (is_known(own) ? own : 0), 0.0);
  }
  const Subject* waited_for = disks.hurt.empty() ? disks.leader : disks.hurt.front();
  out.latency = waited_for == nullptr ? kUnknown : read_latency(scene, *waited_for);
  const double again = out.is_counted ? std::min(out.faults, flow.refaults) : out.faults;
  if (is_known(again) && is_known(out.latency)) {
    out.wait = again * out.latency;
  }
  const double factor = out.is_counted ? kFactor : kFactorAlone;
  const double least = out.is_counted ? kLeastFaults : kLeastFaultsAlone;
  const double usual = is_known(flow.usual_majors) ? flow.usual_majors : 0;
  out.rose = out.faults >= std::max(least, factor * usual);
  if (!disks.hurt.empty()) {
    // Readers that do not map their files have no faults; the share of what they read that had been there before.
    const double pages = disks.other_bytes / flow.page_bytes;
    const double share = out.is_counted ? std::min(flow.refaults / std::max(pages, 1.0), 1.0)
                                        : (out.rose ? 1.0 : 0.0);
    const double wait = disks.other_wait * share;
    if (out.is_counted && flow.refaults >= kLeastFaults && wait > out.wait) {
      out.wait = wait;
      out.rose = true;
    } else if (out.rose) {
      out.wait = std::max(out.wait, wait);
    } else if (!out.is_counted && !is_known(flow.majors)) {
      out.wait = disks.other_wait;
      out.rose = true;
    }
  }
  return out;
}

}  // namespace tidegauge::heuristics
