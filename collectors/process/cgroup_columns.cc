// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/cgroup_stats.h"

namespace tidegauge {

namespace {

constexpr MetricKind kG = MetricKind::kGauge;
constexpr MetricKind kC = MetricKind::kCounter;
using S = CgroupStats;

constexpr std::string_view kEvents = "tidegauge_cgroup_memory_events_total";
constexpr std::string_view kEventsHelp =
    "Times that memory ran into a boundary, that reclaim failed (oom) or killed (oom_kill). On "
    "cgroup v1 only max (memory.failcnt, without descendants) and oom_kill (since Linux 4.13).";
constexpr std::string_view kRefaults = "tidegauge_cgroup_memory_refaults_total";
constexpr std::string_view kRefaultsHelp =
    "Pages that were needed again after their reclaim (cgroup v2).";
constexpr std::string_view kWaiting = "tidegauge_cgroup_pressure_waiting_seconds_total";
constexpr std::string_view kWaitingHelp =
    "Time in which some task waited for the resource (cgroup v2).";
constexpr std::string_view kStalled = "tidegauge_cgroup_pressure_stalled_seconds_total";
constexpr std::string_view kStalledHelp =
    "Time in which all busy tasks waited for the resource (cgroup v2).";

constexpr Column<CgroupStats> kStatsColumns[] = {
    {"tidegauge_cgroup_memory_usage_bytes", "Memory charged, page cache included.", kG, kUnit,
     &S::memory_bytes},
    {"tidegauge_cgroup_memory_anon_bytes", "Anonymous memory.", kG, kUnit, &S::anon_bytes},
    {"tidegauge_cgroup_memory_file_bytes", "Page cache, shared memory included.", kG, kUnit,
     &S::file_bytes},
    {"tidegauge_cgroup_memory_shmem_bytes", "Shared memory and tmpfs.", kG, kUnit, &S::shmem_bytes},
    {"tidegauge_cgroup_memory_mapped_bytes", "Page cache mapped by processes.", kG, kUnit,
     &S::mapped_bytes},
    {"tidegauge_cgroup_memory_kernel_bytes", "Memory of the kernel's own.", kG, kUnit,
     &S::kernel_bytes},
    {"tidegauge_cgroup_memory_slab_reclaimable_bytes",
     "Slab memory that can be reclaimed (cgroup v2).", kG, kUnit, &S::slab_reclaimable_bytes},
    {"tidegauge_cgroup_memory_slab_unreclaimable_bytes",
     "Slab memory that cannot be reclaimed (cgroup v2).", kG, kUnit, &S::slab_unreclaimable_bytes},
    {"tidegauge_cgroup_memory_sock_bytes", "Buffers of sockets; of TCP sockets on cgroup v1.", kG,
     kUnit, &S::sock_bytes},
    {"tidegauge_cgroup_memory_dirty_bytes", "Page cache waiting to be written back.", kG, kUnit,
     &S::dirty_bytes},
    {"tidegauge_cgroup_memory_writeback_bytes", "Page cache being written back.", kG, kUnit,
     &S::writeback_bytes},
    {"tidegauge_cgroup_memory_swap_bytes", "Memory swapped out.", kG, kUnit, &S::swap_bytes},
    {"tidegauge_cgroup_memory_limit_bytes", "The cgroup's own hard limit; absent without one.", kG,
     kUnit, &S::memory_limit_bytes},
    {"tidegauge_cgroup_memory_high_bytes",
     "Usage above which tasks are slowed and reclaimed from; absent without such a limit (cgroup "
     "v2).",
     kG, kUnit, &S::memory_high_bytes},
    {"tidegauge_cgroup_memory_swap_limit_bytes", "Limit of swap (cgroup v2).", kG, kUnit,
     &S::swap_limit_bytes},
    {"tidegauge_cgroup_memory_and_swap_limit_bytes", "Limit of memory and swap (cgroup v1).", kG,
     kUnit, &S::memory_and_swap_limit_bytes},
    {kEvents, kEventsHelp, kC, kUnit, &S::low_events, {"event", "low"}},
    {kEvents, kEventsHelp, kC, kUnit, &S::high_events, {"event", "high"}},
    {kEvents, kEventsHelp, kC, kUnit, &S::max_events, {"event", "max"}},
    {kEvents, kEventsHelp, kC, kUnit, &S::oom_events, {"event", "oom"}},
    {kEvents, kEventsHelp, kC, kUnit, &S::oom_kills, {"event", "oom_kill"}},
    {"tidegauge_cgroup_memory_major_faults_total", "Page faults that waited for a disk.", kC, kUnit,
     &S::major_faults},
    {kRefaults, kRefaultsHelp, kC, kUnit, &S::anon_refaults, {"type", "anon"}},
    {kRefaults, kRefaultsHelp, kC, kUnit, &S::file_refaults, {"type", "file"}},
    {"tidegauge_cgroup_memory_scanned_pages_total", "Pages that reclaim looked at (cgroup v2).", kC,
     kUnit, &S::scanned_pages},
    {"tidegauge_cgroup_memory_reclaimed_pages_total", "Pages that reclaim took (cgroup v2).", kC,
     kUnit, &S::stolen_pages},
    {"tidegauge_cgroup_cpu_usage_seconds_total", "CPU time.", kC, kNanoseconds, &S::usage_ns},
    {"tidegauge_cgroup_cpu_user_seconds_total", "CPU time in user mode.", kC, kNanoseconds,
     &S::user_ns},
    {"tidegauge_cgroup_cpu_system_seconds_total", "CPU time in the kernel.", kC, kNanoseconds,
     &S::system_ns},
    {"tidegauge_cgroup_cpu_periods_total", "Quota periods in which the cgroup wanted to run.", kC,
     kUnit, &S::periods},
    {"tidegauge_cgroup_cpu_throttled_periods_total", "Quota periods that were used up.", kC, kUnit,
     &S::throttled_periods},
    {"tidegauge_cgroup_cpu_throttled_seconds_total", "Time its CPUs were held back by the quota.",
     kC, kNanoseconds, &S::throttled_ns},
    {"tidegauge_cgroup_cpu_quota_cpus", "CPUs that the cgroup's own quota allows; absent without.",
     kG, kUnit, &S::quota_cpus},
    {kWaiting, kWaitingHelp, kC, kMicroseconds, &S::cpu_waiting_us, {"resource", "cpu"}},
    {kWaiting, kWaitingHelp, kC, kMicroseconds, &S::io_waiting_us, {"resource", "io"}},
    {kWaiting, kWaitingHelp, kC, kMicroseconds, &S::memory_waiting_us, {"resource", "memory"}},
    {kStalled, kStalledHelp, kC, kMicroseconds, &S::cpu_stalled_us, {"resource", "cpu"}},
    {kStalled, kStalledHelp, kC, kMicroseconds, &S::io_stalled_us, {"resource", "io"}},
    {kStalled, kStalledHelp, kC, kMicroseconds, &S::memory_stalled_us, {"resource", "memory"}},
    {"tidegauge_cgroup_pids", "Tasks, threads included.", kG, kUnit, &S::pids},
    {"tidegauge_cgroup_pids_limit", "Tasks that may be; absent without a limit.", kG, kUnit,
     &S::pids_limit},
};

constexpr Column<CgroupIo> kIoColumns[] = {
    {"tidegauge_cgroup_io_read_bytes_total", "Bytes read from the device.", kC, kUnit,
     &CgroupIo::read_bytes},
    {"tidegauge_cgroup_io_written_bytes_total", "Bytes written to the device.", kC, kUnit,
     &CgroupIo::written_bytes},
    {"tidegauge_cgroup_io_discarded_bytes_total", "Bytes discarded.", kC, kUnit,
     &CgroupIo::discarded_bytes},
    {"tidegauge_cgroup_io_reads_total", "Read requests.", kC, kUnit, &CgroupIo::reads},
    {"tidegauge_cgroup_io_writes_total", "Write requests.", kC, kUnit, &CgroupIo::writes},
    {"tidegauge_cgroup_io_discards_total", "Discard requests.", kC, kUnit, &CgroupIo::discards},
};

}  // namespace

const std::span<const Column<CgroupStats>> kCgroupStatsColumns = kStatsColumns;
const std::span<const Column<CgroupIo>> kCgroupIoColumns = kIoColumns;

}  // namespace tidegauge
