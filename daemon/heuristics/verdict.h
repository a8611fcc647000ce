// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the heuristics say: which condition holds, who causes it, since when, on what evidence, and what is ruled out.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/heuristics/unit.h"

namespace tidegauge::heuristics {

enum class VerdictId : std::uint8_t {
  kPageCacheThrash,
  kMemoryWatermarkPressure,
  kDirectReclaimStall,
  kMemoryFragmentation,
  kDirtyThrottling,
  kSwapThrash,
  kMemoryLeakSuspected,
  kOomRisk,
  kOomKill,
  kCgroupMemoryLimit,
  kDiskSaturated,
  kDiskHung,
  kDiskBurst,
  kSyncBoundProcess,
  kTempFileChurn,
  kWriterStalledInKernel,
  kCpuSingleSaturated,
  kCpuContention,
  kIowaitUnexplained,
};
inline constexpr std::size_t kVerdicts =
    static_cast<std::size_t>(VerdictId::kIowaitUnexplained) + 1;

enum class Severity : std::uint8_t { kInfo, kWarning, kCritical };
std::string_view severity_name(Severity severity);

struct VerdictInfo {
  VerdictId id;
  std::string_view name;  // as metrics have it: page_cache_thrash
  Severity severity;
  std::string_view title;  // "Page cache thrash"
  // It begins when its condition has held for so long of the last time, and ends when it has not held for so long.
  double enter_seconds;
  double leave_seconds;
};
std::span<const VerdictInfo> all_verdicts();
const VerdictInfo& info_of(VerdictId id);

// Who or what. What does not apply is empty.
struct Party {
  std::string pid;
  std::string comm;
  std::string thread;
  std::string group;
  std::string unit;
  std::string container;
  std::string file;
  std::string directory;
  std::string device;
  std::string zone;
  std::string cpu;
  std::string cgroup;
  // The part it has in what the verdict is about: 0 to 1.
  std::optional<double> share;
  std::string doing;  // "wrote 62 MB/s to it"

  // "redis-server (pid 9085, redis.service)"; "" when nothing is known.
  [[nodiscard]] std::string text() const;
  friend bool operator==(const Party&, const Party&) = default;
};

// A figure with what it is measured against.
struct Evidence {
  std::string what;  // "%util of sda over 10 s"
  double value = kUnknown;
  Unit unit = Unit::kNumber;
  std::optional<double> threshold;  // none: it only describes
  std::string source;               // the metric
};

// Something else it might have been, and the figure that speaks against it.
struct RuledOut {
  std::string alternative;
  std::string because;  // with its figures
};

// When a signal began to move.
struct Moment {
  std::int64_t boottime_ns = 0;
  std::string what;
};

// What a detector found at this tick.
struct Finding {
  VerdictId id;
  std::string instance;   // tells several apart that hold at a time: a device, a group; may be ""
  double confidence = 0;  // 0 to 1
  std::optional<Severity> severity;  // other than the verdict's own
  std::int64_t onset_ns = 0;         // boot time, found in the history
  // How well the onset is known: the length of the ticks around it.
  double onset_resolution_seconds = 1;
  std::vector<Party> causes;  // the first is the subject
  std::vector<Party> victims;
  std::vector<Evidence> evidence;
  std::vector<RuledOut> ruled_out;
  std::vector<std::string> unchecked;  // what no source could tell
  std::vector<Moment> timeline;        // by time
  std::string sentence;                // one, plain
  std::vector<std::string> next_steps;
};

// One that is or was active.
struct Verdict {
  Finding finding;  // the last one that held
  Severity severity = Severity::kWarning;
  std::uint64_t number = 0;  // rises with each onset
  std::int64_t onset_realtime_ns = 0;
  std::int64_t detected_boottime_ns = 0;
  std::int64_t detected_realtime_ns = 0;
  std::int64_t ended_boottime_ns = 0;  // 0: active
  std::int64_t ended_realtime_ns = 0;

  [[nodiscard]] bool is_active() const { return ended_boottime_ns == 0; }
};

// Findings of a tick; detectors append.
using Findings = std::vector<Finding>;

}  // namespace tidegauge::heuristics
