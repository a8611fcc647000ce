// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the detectors of memory share: who takes memory and how fast, how much is left, what a signal usually is, and
// how figures become evidence. Pure.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/heuristics/detectors.h"
#include "daemon/heuristics/reclaim_reading.h"
#include "daemon/heuristics/scene.h"
#include "daemon/heuristics/trend.h"
#include "daemon/heuristics/verdict.h"

namespace tidegauge::heuristics {

// Bytes of a page: as the memory model found it, else 4096.
double page_bytes(const MemoryReading& reading);

// ---- figures ----
// The metrics a signal is made of, for Evidence::source.
std::string source_of(Signal signal);
// Adds what is known; an unknown figure is no evidence.
void add_figure(Finding& finding, std::string what, double value, Signal signal,
                std::optional<double> threshold = std::nullopt);
void add_figure(Finding& finding, std::string what, double value, Unit unit,
                std::optional<double> threshold, std::string source);
// Sum of what is known of the two; unknown if neither is.
double sum_known(double a, double b);
// Where it settled of a signal of the host before what is going on: the lower quartile of its minutes of the last day
// and of its ticks. Unknown with less than half a minute of past.
double usual_of(const Scene& scene, const Subject& subject, Signal signal);

// Whether a signal of the host has been near the level within the last ticks: a mean outlives what it is the mean of.
bool goes_on(const Scene& scene, Signal of_host, double level);
// Whether a signal of the host is at least `level` for half of the last seconds, or comes again and again: demand that
// comes in bursts gives reclaim a pause after each.
bool lasts_or_recurs(const Scene& scene, Signal of_host, double level, double seconds);

// ---- how much is left ----
// MemAvailable; of kernels before 3.14 free memory and the page cache that files back, which is a little more.
double available_bytes(const Scene& scene);
// The same and free swap, tick by tick over the last seconds, oldest first. Seconds count from now, negative.
std::vector<Sample> left_of_memory(const Scene& scene, double seconds);
// A subject's signal likewise; ticks at which it was not kept are left out.
std::vector<Sample> samples_of(const Scene& scene, const Subject& subject, Signal signal,
                               double seconds);

// ---- who takes it ----
// How memory that only swap can take back moved over the last seconds.
struct Taking {
  const Subject* subject = nullptr;   // group or process; null: of the host
  double net_bytes_per_second = 0;    // what it grew by
  double taken_bytes_per_second = 0;  // sum of its rises alone: what it took, returned or not
  double bytes = 0;                   // now
};
// Of AnonPages and Shmem of the whole host.
Taking host_taking(const Scene& scene, double seconds);
// Groups that took some, by what they took, the largest first.
std::vector<Taking> takers(const Scene& scene, double seconds);
// The group, or the process of it that has at least half of the signal's value: with its part, if `whole` is known.
Party member_of_group(const Scene& scene, std::string_view group, Signal of_process,
                      double group_value, double seconds);
// The same by how anonymous memory grew.
Party taker_party(const Scene& scene, const Taking& taking, double seconds, double whole);
// Parties of the largest of takers(), each with its share and what it does. At most `most`.
std::vector<Party> taker_parties(const Scene& scene, double seconds, std::size_t most = 3);
// Groups with the most anonymous memory and swap over the last seconds, when nobody is seen to take any.
std::vector<Party> largest_parties(const Scene& scene, double seconds, std::size_t most = 2);

// ---- the rest of a finding ----
// "on kernels that ..." for each source that is missing: what the finding cannot know.
void add_unchecked(Finding& finding, const Scene& scene, Signal signal, std::string_view what);
std::string figure(double value, Unit unit);
// ", for 12 s." since its onset, and "; dd (pid 7) writes 5 MiB/s" of its first cause: ends of a sentence.
std::string lasted(const Scene& scene, const Finding& finding);
std::string who_does(const Finding& finding);

}  // namespace tidegauge::heuristics
