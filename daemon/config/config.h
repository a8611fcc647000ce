// SPDX-License-Identifier: Apache-2.0
#pragma once

// daemon/config: from a YAML file and a command line to one plain struct.
//
//   settings.h    the daemon's own settings, one table row each: key, flag, range, default, help
//   value.h       text to value, and what an error says about it
//   yaml_tree.h   YAML text to a bounded tree with positions     (the only user of yaml-cpp)
//   yaml_value.h  a node of it to one value
//   yaml.h        tree to settings, strict
//   flags.h       command line to command and flags              (the only user of CLI11)
//   command_flags.h  flags of single commands
//   time_argument.h  moments within a recording
//   builder.h     the layers: defaults < file < flags
//   origins.h     where a collector's options were written
//   load.h        all of it in one call; SIGHUP makes the same call again
//   generate.h    config/tidegauge.yaml and --help, from the same tables
//
// Collectors are known here by their registry rows only: none is named, except peers' in
// peer_flags.cc. Nothing here logs, exits or keeps state.

#include <cstdint>
#include <span>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "collectors/core/collector.h"
#include "collectors/core/kernel_files.h"
#include "daemon/config/origins.h"
#include "daemon/heuristics/thresholds.h"
#include "daemon/service/log.h"

namespace tidegauge {

using CollectorRegistry = std::span<const CollectorInfo* const>;

struct CollectorConfig {
  const CollectorInfo* info = nullptr;
  bool enabled = true;
  std::int64_t interval_ns = 0;  // a positive multiple of the tick
  Options options;
  OptionOrigins origins;  // of the options that were set
};

// The flight recorder.
struct RecorderConfig {
  bool enabled = true;
  std::int64_t window_ns = 900'000'000'000;
  std::int64_t memory_bytes = 8 << 20;
  std::int64_t after_ns = 60'000'000'000;
  std::string directory = "/var/lib/tidegauge/incidents";
  std::int64_t max_files = 20;
  std::int64_t max_disk_bytes = 256 << 20;
  std::int64_t max_age_ns = 720 * 3'600'000'000'000;  // 0: any
  std::int64_t write_rate_bytes = 4 << 20;            // a second
  bool trigger_over_http = true;
  bool trigger_on_verdict = true;
  friend bool operator==(const RecorderConfig&, const RecorderConfig&) = default;
};

// Verdicts: why the host is slow.
struct HeuristicsConfig {
  bool enabled = true;
  heuristics::Thresholds limits;
  friend bool operator==(const HeuristicsConfig&, const HeuristicsConfig&) = default;
};

struct Config {
  std::int64_t tick_ns = 1'000'000'000;
  std::int64_t freshness_ns = 0;  // 0: one tick
  std::int64_t collector_timeout_ns = 5'000'000'000;
  std::int64_t cpu_budget_ppm = 10'000;  // parts per million of one core; 0: no limit
  bool node_families = true;             // false: no node_*, for hosts that run node_exporter too

  std::vector<std::string> listen_addresses{"127.0.0.1:10070"};
  std::string telemetry_path = "/metrics";
  std::int64_t max_requests = 40;  // 0: no limit
  std::int64_t max_connections = 512;
  bool systemd_socket = false;
  bool enable_lifecycle = false;
  bool disable_exporter_metrics = false;

  KernelRoots roots;  // with the privacy of what is found there

  HeuristicsConfig heuristics;
  RecorderConfig recorder;

  LogLevel log_level = LogLevel::kInfo;
  LogFormat log_format = LogFormat::kLogfmt;

  std::vector<CollectorConfig> collectors;  // every one of the registry, in its order
};

struct ConfigError {
  std::string message;  // one line for the operator
};

// What a collector said when it could not be made, with the place in the file or the flag.
ConfigError collector_error(const CollectorConfig& collector, const Error& error);

template <class T>
using ConfigResult = tl::expected<T, ConfigError>;

}  // namespace tidegauge
