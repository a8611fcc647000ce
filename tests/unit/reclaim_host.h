// SPDX-License-Identifier: Apache-2.0
#pragma once

// A FakeHost of memory and disks for the detectors of memory: rates are set, time passes, a detector is asked.

#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "daemon/heuristics/detectors.h"
#include "daemon/heuristics/reclaim_model.h"
#include "daemon/heuristics/scene.h"
#include "tests/unit/fake_host.h"

namespace tidegauge::testing {

class ReclaimHost {
 public:
  using Labels = FakeHost::Labels;
  static constexpr double kMiB = 1 << 20;
  static constexpr double kGiB = 1 << 30;

  // A rate per second of a counter from now on.
  void rate(const std::string& collector, const std::string& family, const Labels& labels,
            double per_second) {
    rates_[{collector, family, labels}] = per_second;
    host_.add(collector, family, labels, 0);
  }
  void vmstat(const std::string& name, double per_second) {
    rate("vmstat", "node_vmstat_" + name, {}, per_second);
  }
  void memory(const std::string& name, double bytes) {
    host_.set("meminfo", "node_memory_" + name + "_bytes", {}, bytes);
  }
  void psi(double some, double full) {
    rate("pressure", "node_pressure_memory_waiting_seconds_total", {}, some);
    rate("pressure", "node_pressure_memory_stalled_seconds_total", {}, full);
  }
  // A disk's reads and how long each takes; busy with them alone.
  void disk(const std::string& device, double reads, double bytes, double seconds_each,
            double written_bytes = 0) {
    const Labels labels{{"device", device}};
    rate("diskstats", "node_disk_reads_completed_total", labels, reads);
    rate("diskstats", "node_disk_read_bytes_total", labels, bytes);
    rate("diskstats", "node_disk_read_time_seconds_total", labels, reads * seconds_each);
    rate("diskstats", "node_disk_writes_completed_total", labels, written_bytes / 100'000);
    rate("diskstats", "node_disk_written_bytes_total", labels, written_bytes);
    rate("diskstats", "node_disk_write_time_seconds_total", labels,
         written_bytes / 100'000 * seconds_each);
    rate("diskstats", "node_disk_io_time_seconds_total", labels,
         std::min(reads * seconds_each, 1.0));
  }
  void group(const std::string& name, const std::string& family, double per_second,
             Labels more = {}) {
    more.insert(more.begin(), {"group", name});
    rate("process", "tidegauge_group_" + family, more, per_second);
  }
  void group_anon(const std::string& name, double bytes) {
    host_.set("process", "tidegauge_group_resident_memory_bytes",
              {{"group", name}, {"kind", "anon"}}, bytes);
  }
  void process_anon(const std::string& pid, const std::string& comm, const std::string& group,
                    double bytes) {
    host_.set("process", "tidegauge_process_start_time_seconds", process(pid, comm, group), 1);
    Labels labels = process(pid, comm, group);
    labels.emplace_back("kind", "anon");
    host_.set("process", "tidegauge_process_resident_memory_bytes", labels, bytes);
  }
  void process_read(const std::string& pid, const std::string& comm, const std::string& group,
                    double per_second) {
    host_.set("process", "tidegauge_process_start_time_seconds", process(pid, comm, group), 1);
    rate("process", "tidegauge_process_storage_read_bytes_total", process(pid, comm, group),
         per_second);
  }
  static Labels process(const std::string& pid, const std::string& comm, const std::string& group) {
    return {{"pid", pid}, {"comm", comm}, {"group", group}, {"unit", ""}, {"container", ""}};
  }
  FakeHost& host() { return host_; }

  void step(double seconds = 1) {
    for (const auto& [key, per_second] : rates_) {
      host_.add(std::get<0>(key), std::get<1>(key), std::get<2>(key), per_second * seconds);
    }
    const Snapshot snapshot = host_.tick(seconds);
    scene_.update(snapshot);
    model_.update(snapshot);
  }
  void pass(int seconds) {
    for (int i = 0; i < seconds; ++i) {
      step();
    }
  }
  heuristics::Findings ask(heuristics::Detector detector) const {
    return ask(detector, model_.reading());
  }
  heuristics::Findings ask(heuristics::Detector detector,
                           const heuristics::MemoryReading& reading) const {
    heuristics::Findings out;
    detector({scene_, reading, limits_}, out);
    return out;
  }
  // Asked at each of the next seconds, as many do that take turns: what was found last.
  heuristics::Findings ask_for(heuristics::Detector detector, int seconds) {
    heuristics::Findings out;
    for (int i = 0; i < seconds; ++i) {
      step();
      if (heuristics::Findings found = ask(detector); !found.empty()) {
        out = std::move(found);
      }
    }
    return out;
  }
  const heuristics::Scene& scene() const { return scene_; }

 private:
  FakeHost host_;
  std::map<std::tuple<std::string, std::string, Labels>, double> rates_;
  heuristics::Scene scene_;
  heuristics::MemoryModel model_;
  heuristics::Thresholds limits_;
};

}  // namespace tidegauge::testing
