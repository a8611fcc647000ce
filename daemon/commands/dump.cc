// SPDX-License-Identifier: Apache-2.0
#include "daemon/commands/dump.h"

#include <string>

#include "daemon/commands/recording_command.h"
#include "daemon/replay/dump_rows.h"
#include "daemon/replay/open_metrics.h"
#include "daemon/replay/raw_text.h"

namespace tidegauge {

namespace {

int dump_raw(replay::RecordingWalk& walk, const RecordingOptions& options) {
  StandardOutput output;
  std::uint64_t found = 0;
  while (const auto files = walk.next_raw()) {
    ++found;
    if (!output.write(replay::raw_text(*files))) {
      break;
    }
  }
  const recording::RecordingSummary& summary = walk.summary();
  const bool is_outside =
      walk.from_ns() > summary.last_realtime_ns || walk.to_ns() < summary.first_realtime_ns;
  if (found == 0 && !(is_outside && summary.snapshots != 0)) {
    complain_of_recording(options.file + ": no copies of kernel files in it" +
                          (options.from || options.to ? " between --from and --to" : ""));
    found = 1;  // all is said
  }
  return end_of_walk(options, walk, found, output);
}

void tell_left_out(const std::string& file, const replay::OpenMetricsStats& stats) {
  if (stats.not_later != 0) {
    complain_of_recording(
        file + ": " + std::to_string(stats.not_later) +
        " samples left out that are not later than the one before (the clock was set back)");
  }
  if (stats.collisions != 0) {
    complain_of_recording(file + ": " + std::to_string(stats.collisions) +
                          " samples left out of series that another collector has, too");
  }
}

int dump_file(const RecordingOptions& options, CollectorRegistry registry) {
  auto matcher = replay::FamilyMatcher::make(options.family);
  if (!matcher) {
    complain_of_recording(matcher.error().where);
    return 2;
  }
  auto walk = open_recording(options);
  if (!walk) {
    return 2;
  }
  if (options.raw) {
    return dump_raw(*walk, options);
  }
  StandardOutput output;
  replay::RecordedText text(registry);
  const replay::TextSink sink = [&](std::string_view part) { return output.write(part); };
  switch (options.format.value_or(DumpFormat::kOpenMetrics)) {
    case DumpFormat::kOpenMetrics: {
      replay::OpenMetricsDump dump(*walk, text, *matcher);
      dump.run(sink);
      tell_left_out(options.file, dump.stats());
      break;
    }
    case DumpFormat::kJson:
      replay::dump_json(*walk, text, *matcher, sink);
      break;
    case DumpFormat::kCsv:
      replay::dump_csv(*walk, text, *matcher, sink);
      break;
  }
  return end_of_walk(options, *walk, walk->snapshots(), output);
}

}  // namespace

int dump_recording(const CommandLine& command_line, CollectorRegistry registry) {
  const RecordingOptions& options = command_line.options.recording;
  return with_recording(options.file, [&] { return dump_file(options, registry); });
}

}  // namespace tidegauge
