// SPDX-License-Identifier: Apache-2.0
#pragma once

// Verdicts and Reports as tests want them.

#include <cstdint>
#include <string>

#include "daemon/heuristics/assess.h"
#include "daemon/heuristics/verdict.h"

namespace tidegauge::testing {

inline constexpr std::int64_t kSampleSecondNs = 1'000'000'000;
// 2026-11-26T01:32:32Z and boot time then.
inline constexpr std::int64_t kSampleRealtimeNs = 1'795'656'752 * kSampleSecondNs;
inline constexpr std::int64_t kSampleBoottimeNs = 5000 * kSampleSecondNs;

// A page cache that is thrashed for 200 s, with one item at least of everything there can be.
inline heuristics::Verdict sample_verdict() {
  using namespace heuristics;  // NOLINT(google-build-using-namespace): many names, of a test
  Verdict out;
  Finding& finding = out.finding;
  finding.id = VerdictId::kPageCacheThrash;
  finding.instance = "vgca0";
  finding.confidence = 0.92;
  finding.onset_ns = kSampleBoottimeNs - 200 * kSampleSecondNs;
  Party cause;
  cause.pid = "3920";
  cause.comm = "python";
  cause.thread = "reader";
  cause.container = "web";
  cause.group = "container:web";
  cause.file = "/data/blob";
  cause.device = "vgca0";
  cause.share = 0.85;
  cause.doing = "read 700 MiB/s from it";
  finding.causes = {cause};
  Party victim;
  victim.device = "sda";
  victim.share = 0.4;
  victim.doing = "serves major faults, 43 ms each";
  finding.victims = {victim};
  finding.evidence = {
      {"pages reclaimed", 180'000, Unit::kPagesPerSecond, 1000, "node_vmstat_pgsteal_kswapd"},
      {"time a request of vgca0 takes, mean of reads and writes",
       0.00009,
       Unit::kSeconds,
       {},
       "node_disk_read_time_seconds_total, node_disk_write_time_seconds_total"},
      {"nobody knows", kUnknown, Unit::kRatio, 0.5, ""},
  };
  finding.ruled_out = {{"swapping", "0 pages/s, and SwapFree is unchanged"}};
  finding.unchecked = {"which file: no BPF"};
  finding.timeline = {{finding.onset_ns - 9'800'000'000, "vgca0 is read at 700 MiB/s"},
                      {finding.onset_ns, "kswapd reclaims file pages"}};
  finding.sentence =
      "The page cache is thrashed: python reads 700 MiB/s of new data from vgca0, so 13.2 GiB of "
      "cached files "
      "were dropped, and everybody else reads theirs again from sda.";
  finding.next_steps = {"pidstat -d 1", "sar -B 1"};
  out.severity = Severity::kCritical;
  out.number = 7;
  out.onset_realtime_ns = kSampleRealtimeNs - 200 * kSampleSecondNs;
  out.detected_boottime_ns = finding.onset_ns + 6 * kSampleSecondNs;
  out.detected_realtime_ns = out.onset_realtime_ns + 6 * kSampleSecondNs;
  return out;
}

// Another one, without any list.
inline heuristics::Verdict bare_verdict(heuristics::VerdictId id, heuristics::Severity severity) {
  heuristics::Verdict out;
  out.finding.id = id;
  out.finding.instance = "sda";
  out.finding.confidence = 0.7;
  out.finding.onset_ns = kSampleBoottimeNs - 45 * kSampleSecondNs;
  out.finding.sentence = "Something is the matter with sda.";
  out.severity = severity;
  out.number = 8;
  out.onset_realtime_ns = kSampleRealtimeNs - 45 * kSampleSecondNs;
  out.detected_boottime_ns = out.finding.onset_ns + 8 * kSampleSecondNs;
  out.detected_realtime_ns = out.onset_realtime_ns + 8 * kSampleSecondNs;
  return out;
}

inline heuristics::Verdict ended(heuristics::Verdict verdict, std::int64_t ago_seconds) {
  verdict.ended_boottime_ns = kSampleBoottimeNs - ago_seconds * kSampleSecondNs;
  verdict.ended_realtime_ns = kSampleRealtimeNs - ago_seconds * kSampleSecondNs;
  return verdict;
}

inline heuristics::Report sample_report() {
  using heuristics::Unit;
  heuristics::Report out;
  out.boottime_ns = kSampleBoottimeNs;
  out.realtime_ns = kSampleRealtimeNs;
  out.host = "host1";
  out.kernel = "6.1.0-28-amd64";
  out.headroom = {{"memory available", 5.2e9, Unit::kBytes, 4e8, "node_memory_MemAvailable_bytes"},
                  {"busiest CPU: 1", 0.31, Unit::kRatio, 0.95, "node_cpu_seconds_total"}};
  out.unchecked = {"what tasks wait for (PSI): collector pressure has no data"};
  return out;
}

}  // namespace tidegauge::testing
