// SPDX-License-Identifier: Apache-2.0
#include "daemon/exporter/recorder_metrics.h"

#include "daemon/exporter/metric_makers.h"

namespace tidegauge {

RecorderMetrics::RecorderMetrics(prometheus::Registry& registry)
    : window_(make_gauge(registry, "tidegauge_recorder_window_seconds",
                         "Time from the oldest Snapshot in memory to the newest.")),
      memory_(make_gauge(registry, "tidegauge_recorder_memory_bytes",
                         "Compressed bytes of the Snapshots in memory.")),
      memory_limit_(make_gauge(registry, "tidegauge_recorder_memory_limit_bytes",
                               "Most that they may take (recorder.memory).")),
      snapshots_(make_gauge(registry, "tidegauge_recorder_snapshots", "Snapshots in memory.")),
      recorded_(make_counter(registry, "tidegauge_recorder_snapshots_recorded_total",
                             "Snapshots that were recorded.")),
      plain_bytes_(make_counter(registry, "tidegauge_recorder_plain_bytes_total",
                                "Bytes of recorded Snapshots as differences, before they were "
                                "compressed.")),
      compressed_bytes_(make_counter(registry, "tidegauge_recorder_compressed_bytes_total",
                                     "Bytes of whole compressed chunks that went into memory.")),
      evicted_early_(make_counter(registry, "tidegauge_recorder_snapshots_evicted_early_total",
                                  "Snapshots given up before the window was over, because "
                                  "recorder.memory did not suffice.")),
      left_out_(
          make_counter(registry, "tidegauge_recorder_sections_left_out_total",
                       "Sections of collectors that are larger than a recording may have "
                       "them, or have names it cannot have; a whole Snapshot counts as one.")),
      cpu_seconds_(make_counter(registry, "tidegauge_recorder_cpu_seconds_total",
                                "CPU time of recording into memory.")),
      recording_(make_gauge(registry, "tidegauge_recorder_incident_in_progress",
                            "1 while an incident file is being recorded.")),
      files_(make_gauge(registry, "tidegauge_recorder_incident_files",
                        "Incident files there were when the directory was looked at last.")),
      files_bytes_(make_gauge(registry, "tidegauge_recorder_incident_file_bytes",
                              "Bytes they took together.")),
      last_file_(make_gauge(registry, "tidegauge_recorder_last_incident_timestamp_seconds",
                            "When the last incident file was finished; 0: none since the start.")),
      written_(make_counter(registry, "tidegauge_recorder_incidents_total",
                            "Incident files that were finished.")),
      written_bytes_(make_counter(registry, "tidegauge_recorder_written_bytes_total",
                                  "Bytes written to incident files.")),
      failures_(prometheus::BuildCounter()
                    .Name("tidegauge_recorder_incident_failures_total")
                    .Help("Incident files that could not be written whole, by reason.")
                    .Register(registry)) {}

void RecorderMetrics::update(const recording::RecorderStats& stats) {
  window_.Set(static_cast<double>(stats.ring.window_ns) / 1e9);
  memory_.Set(static_cast<double>(stats.ring.bytes));
  memory_limit_.Set(static_cast<double>(stats.ring_limit_bytes));
  snapshots_.Set(static_cast<double>(stats.ring.snapshots));
  raise_to(recorded_, static_cast<double>(stats.ring.recorded));
  raise_to(plain_bytes_, static_cast<double>(stats.ring.plain_bytes));
  raise_to(compressed_bytes_, static_cast<double>(stats.ring.compressed_bytes));
  raise_to(evicted_early_, static_cast<double>(stats.ring.evicted_early));
  raise_to(left_out_,
           static_cast<double>(stats.ring.sections_left_out + stats.ring.snapshots_left_out));
  raise_to(cpu_seconds_, static_cast<double>(stats.cpu_ns) / 1e9);
  recording_.Set(stats.is_recording ? 1 : 0);
  files_.Set(static_cast<double>(stats.incidents.directory_files));
  files_bytes_.Set(static_cast<double>(stats.incidents.directory_bytes));
  last_file_.Set(static_cast<double>(stats.incidents.last_finished_realtime_ns) / 1e9);
  raise_to(written_, static_cast<double>(stats.incidents.files_written));
  raise_to(written_bytes_, static_cast<double>(stats.incidents.bytes_written));
  for (std::size_t i = 0; i < recording::kIncidentFailureNames.size(); ++i) {
    raise_to(failures_.Add({{"reason", std::string(recording::kIncidentFailureNames[i])}}),
             static_cast<double>(stats.incidents.failures[i]));
  }
}

}  // namespace tidegauge
