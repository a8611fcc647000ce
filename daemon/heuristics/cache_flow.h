// SPDX-License-Identifier: Apache-2.0
#pragma once

// How fast the page cache is filled and reclaimed, from which disks, by whom, and what the others lose by it: the
// measurements behind page_cache_thrash. Pure.

#include <vector>

#include "daemon/heuristics/detectors.h"
#include "daemon/heuristics/memory_parties.h"
#include "daemon/heuristics/scene.h"

namespace tidegauge::heuristics {

inline constexpr double kCacheWindow = 6;  // seconds
// Of what is reclaimed, reads must have filled this part: else something else wants the memory.
inline constexpr double kReadShare = 0.5;
// Swapped out, this part of what is reclaimed explains the reclaim.
inline constexpr double kSwapShare = 0.1;
// Seconds that threads wait, all together, per second: below, one thread loses less than a tenth of its time.
inline constexpr double kWaitRatio = 0.1;
// How much more than usual, and at least, where a counter tells that pages had been in the cache before; the second
// pair where none does, and programs that start fault as well.
inline constexpr double kFactor = 5;
inline constexpr double kLeastFaults = 5;
inline constexpr double kFactorAlone = 10;
inline constexpr double kLeastFaultsAlone = 10;

struct CacheFlow {
  double page_bytes = 4096;
  double stolen = 0;  // pages per second
  double stolen_bytes = 0;
  double read_bytes = 0;
  double majors = kUnknown;
  double usual_majors = kUnknown;
  double refaults = kUnknown;  // pages per second
};

struct CacheDisks {
  const Subject* leader = nullptr;
  double leader_bytes = 0;           // read per second
  double share = 0;                  // of pgpgin, of all that fill
  double other_bytes = 0;            // read from the others
  double other_wait = 0;             // time their reads take, per second
  std::vector<const Subject*> hurt;  // others that read much more than usual, the busiest first
};

struct CacheReader {
  const Subject* group = nullptr;
  Signal signal = Signal::kGroupCacheRead;
  double bytes = 0;
  double share = 0;  // of pgpgin
};

struct CacheHurt {
  double wait = 0;            // seconds per second
  double faults = kUnknown;   // major ones of those that do not fill
  double latency = kUnknown;  // of the disk they wait for
  bool is_counted = false;    // the kernel counts refaults
  bool rose = false;
};

// The cheap part: false unless the cache is reclaimed, and filled by reads, at such a pace at all.
bool read_flow(const DetectorInput& input, CacheFlow& out);
// Whether memory that is no page cache wants what is reclaimed.
bool is_for_anon(const Scene& scene, const CacheFlow& flow, const Taking& taking);
CacheDisks find_disks(const Scene& scene, const CacheFlow& flow);
// The group that reads most of what fills the cache, where one reads half of it.
CacheReader find_reader(const Scene& scene, const CacheFlow& flow);
CacheHurt measure_hurt(const Scene& scene, const CacheFlow& flow, const CacheDisks& disks,
                       const CacheReader& reader);
// Mean time of a read; unknown when there were none.
double read_latency(const Scene& scene, const Subject& disk);

}  // namespace tidegauge::heuristics
