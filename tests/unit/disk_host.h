// SPDX-License-Identifier: Apache-2.0
#pragma once

// A host with disks for tests of detectors: what happens in each second is set as rates, then it runs.

#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "daemon/heuristics/detectors.h"
#include "daemon/heuristics/reclaim_reading.h"
#include "tests/unit/fake_host.h"

namespace tidegauge::heuristics {

class DiskHost {
 public:
  using Labels = tidegauge::testing::FakeHost::Labels;

  // A counter that grows by `rate` a second from now on.
  void rate(const std::string& collector, const std::string& family, Labels labels, double rate) {
    rates_[{collector, family, std::move(labels)}] = rate;
  }
  void gauge(const std::string& collector, const std::string& family, Labels labels, double value) {
    host_.set(collector, family, labels, value);
  }
  // As iostat -x has it.
  void disk(const std::string& name, double reads, double writes, double bytes_each, double await,
            double busy, double in_flight = 0) {
    const Labels labels{{"device", name}};
    rate("diskstats", "node_disk_reads_completed_total", labels, reads);
    rate("diskstats", "node_disk_writes_completed_total", labels, writes);
    rate("diskstats", "node_disk_read_bytes_total", labels, reads * bytes_each);
    rate("diskstats", "node_disk_written_bytes_total", labels, writes * bytes_each);
    rate("diskstats", "node_disk_read_time_seconds_total", labels, reads * await);
    rate("diskstats", "node_disk_write_time_seconds_total", labels, writes * await);
    rate("diskstats", "node_disk_io_time_seconds_total", labels, busy);
    rate("diskstats", "node_disk_io_time_weighted_seconds_total", labels, (reads + writes) * await);
    gauge("diskstats", "node_disk_io_now", labels, in_flight);
    const std::string minor = std::to_string(16 * (name.back() - 'a'));
    gauge("diskstats", "node_disk_info", {{"device", name}, {"major", "8"}, {"minor", minor}}, 1);
  }
  void pressure_io(double some) {
    rate("pressure", "node_pressure_io_waiting_seconds_total", {}, some);
  }
  void pressure_memory(double some) {
    rate("pressure", "node_pressure_memory_waiting_seconds_total", {}, some);
  }
  void iowait(const std::string& cpu, double share) {
    rate("cpu", "node_cpu_seconds_total", {{"cpu", cpu}, {"mode", "iowait"}}, share);
    rate("cpu", "node_cpu_seconds_total", {{"cpu", cpu}, {"mode", "idle"}}, 1 - share);
  }
  // A group of one process.
  void process(const std::string& pid, const std::string& comm, const std::string& group,
               double written, double cpu) {
    const Labels labels{
        {"pid", pid}, {"comm", comm}, {"group", group}, {"unit", group}, {"container", ""}};
    gauge("process", "tidegauge_process_start_time_seconds", labels, 1);
    rate("process", "tidegauge_process_storage_written_bytes_total", labels, written);
    rate("process", "tidegauge_process_syscall_written_bytes_total", labels, written);
    rate("process", "tidegauge_group_storage_written_bytes_total", {{"group", group}}, written);
    rate("process", "tidegauge_group_syscall_written_bytes_total", {{"group", group}}, written);
    Labels user = labels;
    user.emplace_back("mode", "user");
    rate("process", "tidegauge_process_cpu_seconds_total", user, cpu);
  }
  void uses_disk(const std::string& device, const std::string& group, double busy) {
    rate("ebpf_block", "tidegauge_block_attributed_busy_seconds_total",
         {{"device", device}, {"group", group}, {"operation", "write"}, {"reason", ""}}, busy);
  }
  void run(int ticks, double seconds = 1) {
    for (int i = 0; i < ticks; ++i) {
      for (const auto& [series, rate] : rates_) {
        host_.add(std::get<0>(series), std::get<1>(series), std::get<2>(series), rate * seconds);
      }
      scene_.update(host_.tick(seconds));
    }
  }
  Findings find(Detector detector, Findings before = {}) {
    detector({scene_, memory_, limits_}, before);
    return before;
  }
  [[nodiscard]] double ago(std::int64_t boottime_ns) const {
    return static_cast<double>(host_.boottime_ns() - boottime_ns) / 1e9;
  }

  tidegauge::testing::FakeHost host_;
  MemoryReading memory_;
  Thresholds limits_;
  Scene scene_;

 private:
  std::map<std::tuple<std::string, std::string, Labels>, double> rates_;
};

}  // namespace tidegauge::heuristics
