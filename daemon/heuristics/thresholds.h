// SPDX-License-Identifier: Apache-2.0
#pragma once

// Where conditions begin. Each has a row with its reason, from which the configuration is made.

#include <string_view>

namespace tidegauge::heuristics {

struct Thresholds {
  // disks
  double disk_busy_ratio = 0.9;
  double disk_queue = 1.5;
  double disk_latency_factor = 3;
  double disk_hung_seconds = 5;
  double burst_busy_ratio = 0.6;
  // syncs and files
  double sync_wall_ratio = 0.3;
  double churn_files_per_second = 10;
  double churn_share = 0.5;
  // memory
  double scan_pages_per_second = 1000;
  double cache_refill_ratio = 0.01;
  double direct_stall_ratio = 0.02;
  double pressure_memory_ratio = 0.05;
  double swap_pages_per_second = 200;
  double throttled_ratio = 0.1;
  double available_ratio = 0.05;
  double oom_horizon_seconds = 600;
  double leak_growth_ratio_per_day = 0.05;
  double fragmentation_stalls_per_second = 1;
  double cgroup_limit_ratio = 0.98;
  // CPUs
  double cpu_busy_ratio = 0.95;
  double cpu_waiting_ratio = 0.2;
  double cpu_waiting_tasks = 0.75;
  double iowait_ratio = 0.3;

  friend bool operator==(const Thresholds&, const Thresholds&) = default;
};

struct ThresholdInfo {
  double Thresholds::*member;
  std::string_view key;  // heuristics.<key>
  double least;
  double most;
  std::string_view help;  // what it is, and why the default
};
inline constexpr ThresholdInfo kThresholds[] = {
    {&Thresholds::disk_busy_ratio, "disk_busy_ratio", 0.5, 1,
     "Busy share from which a disk may be saturated. Alone it says little of a disk that serves "
     "many requests at a "
     "time, so queue and latency must agree."},
    {&Thresholds::disk_queue, "disk_queue", 1, 1000,
     "Mean number of requests in the disk's queue (aqu-sz) from which they wait for one another: "
     "one is in service, "
     "the rest waits."},
    {&Thresholds::disk_latency_factor, "disk_latency_factor", 1.5, 100,
     "How many times its usual latency a disk needs for a request to be called slow; usual is the "
     "median of its "
     "minutes."},
    {&Thresholds::disk_hung_seconds, "disk_hung_seconds", 1, 600,
     "A disk with requests in flight that completes none for so long hangs. The slowest spinning "
     "disk completes one "
     "in a tenth of a second; SCSI gives up after 30 s."},
    {&Thresholds::burst_busy_ratio, "burst_busy_ratio", 0.5, 1,
     "Busy share of 100 ms from which a burst is told, on a disk that is otherwise half idle."},
    {&Thresholds::sync_wall_ratio, "sync_wall_ratio", 0.05, 1,
     "Share of its time that a group must spend in fsync and its kin to be bound by them."},
    {&Thresholds::churn_files_per_second, "churn_files_per_second", 1, 100000,
     "Files created and deleted again per second from which they are churn."},
    {&Thresholds::churn_share, "churn_share", 0.1, 1,
     "Share of what a group writes that must have been in files it deleted again."},
    {&Thresholds::scan_pages_per_second, "scan_pages_per_second", 1, 10000000,
     "Pages that reclaim looks at per second (4 MB/s) below which it is background noise."},
    {&Thresholds::cache_refill_ratio, "cache_refill_ratio", 0.0001, 1,
     "Share of all memory per second that must be reclaimed and read again for the page cache to "
     "be thrashed: at one "
     "percent all of it turns over in 100 s."},
    {&Thresholds::direct_stall_ratio, "direct_stall_ratio", 0.001, 1,
     "Share of the time that threads spend in direct reclaim, all together."},
    {&Thresholds::pressure_memory_ratio, "pressure_memory_ratio", 0.001, 1,
     "Share of the time in which some task waits for memory (PSI)."},
    {&Thresholds::swap_pages_per_second, "swap_pages_per_second", 1, 10000000,
     "Pages swapped in and out per second, each way, from which swapping is thrash."},
    {&Thresholds::throttled_ratio, "throttled_ratio", 0.01, 1,
     "Share of its time that a writer must be paused by the kernel."},
    {&Thresholds::available_ratio, "available_ratio", 0.005, 0.5,
     "MemAvailable as a share of MemTotal below which memory is short."},
    {&Thresholds::oom_horizon_seconds, "oom_horizon_seconds", 10, 86400,
     "Memory that will be gone within this time, as it falls now, is about to run out."},
    {&Thresholds::leak_growth_ratio_per_day, "leak_growth_ratio_per_day", 0.001, 10,
     "Growth of a group's anonymous memory per day, as a share of all memory, from which a leak is "
     "suspected: five "
     "percent fill a host in three weeks."},
    {&Thresholds::fragmentation_stalls_per_second, "fragmentation_stalls_per_second", 0.01, 100000,
     "Allocations per second that had to compact memory themselves."},
    {&Thresholds::cgroup_limit_ratio, "cgroup_limit_ratio", 0.5, 1,
     "Use of its memory limit at which a cgroup is at it."},
    {&Thresholds::cpu_busy_ratio, "cpu_busy_ratio", 0.5, 1,
     "Busy share of a CPU from which it is saturated: the timer's samples leave a few percent "
     "open."},
    {&Thresholds::cpu_waiting_ratio, "cpu_waiting_ratio", 0.01, 1,
     "Share of the time in which some task waits for a CPU (PSI)."},
    {&Thresholds::cpu_waiting_tasks, "cpu_waiting_tasks", 0.1, 100,
     "Tasks that wait for each CPU, on average, from which there are too few CPUs: three that want "
     "to run all the time on "
     "two CPUs make 0.5."},
    {&Thresholds::iowait_ratio, "iowait_ratio", 0.05, 1,
     "Share of a CPU's time in iowait that wants an explanation."},
};

}  // namespace tidegauge::heuristics
