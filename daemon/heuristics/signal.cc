// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/signal.h"

#include <array>

namespace tidegauge::heuristics {

namespace {

// clang-format off: a row a line
constexpr SignalInfo kInfos[] = {
    {Signal::kHostUser, Kind::kHost, "user", Unit::kCores, How::kRate, Keep::kSeconds, 1, {{{"node_cpu_seconds_total", "mode=user"}, {"node_cpu_seconds_total", "mode=nice"}}}},
    {Signal::kHostSystem, Kind::kHost, "system", Unit::kCores, How::kRate, Keep::kSeconds, 1, {{{"node_cpu_seconds_total", "mode=system"}}}},
    {Signal::kHostInterrupts, Kind::kHost, "interrupts", Unit::kCores, How::kRate, Keep::kSeconds, 1, {{{"node_cpu_seconds_total", "mode=irq"}, {"node_cpu_seconds_total", "mode=softirq"}}}},
    {Signal::kHostSteal, Kind::kHost, "steal", Unit::kCores, How::kRate, Keep::kSeconds, 1, {{{"node_cpu_seconds_total", "mode=steal"}}}},
    {Signal::kHostIowait, Kind::kHost, "iowait", Unit::kCores, How::kRate, Keep::kSeconds, 1, {{{"node_cpu_seconds_total", "mode=iowait"}}}},
    {Signal::kHostIdle, Kind::kHost, "idle", Unit::kCores, How::kRate, Keep::kSeconds, 1, {{{"node_cpu_seconds_total", "mode=idle"}}}},
    {Signal::kSwitches, Kind::kHost, "context_switches", Unit::kPerSecond, How::kRate, Keep::kNow, 1, {{{"node_context_switches_total"}}}},
    {Signal::kForks, Kind::kHost, "forks", Unit::kPerSecond, How::kRate, Keep::kNow, 1, {{{"node_forks_total"}}}},
    {Signal::kRunning, Kind::kHost, "running", Unit::kNumber, How::kGauge, Keep::kSeconds, 1, {{{"node_procs_running"}}}},
    {Signal::kBlocked, Kind::kHost, "blocked", Unit::kNumber, How::kGauge, Keep::kSeconds, 1, {{{"node_procs_blocked"}}}},
    {Signal::kLoad1, Kind::kHost, "load1", Unit::kNumber, How::kGauge, Keep::kNow, 1, {{{"node_load1"}}}},
    {Signal::kMemTotal, Kind::kHost, "MemTotal", Unit::kBytes, How::kGauge, Keep::kNow, 1, {{{"node_memory_MemTotal_bytes"}}}},
    {Signal::kMemFree, Kind::kHost, "MemFree", Unit::kBytes, How::kGauge, Keep::kSeconds, 1, {{{"node_memory_MemFree_bytes"}}}},
    {Signal::kMemAvailable, Kind::kHost, "MemAvailable", Unit::kBytes, How::kGauge, Keep::kBoth, 1, {{{"node_memory_MemAvailable_bytes"}}}},
    {Signal::kBuffers, Kind::kHost, "Buffers", Unit::kBytes, How::kGauge, Keep::kSeconds, 1, {{{"node_memory_Buffers_bytes"}}}},
    {Signal::kCached, Kind::kHost, "Cached", Unit::kBytes, How::kGauge, Keep::kSeconds, 1, {{{"node_memory_Cached_bytes"}}}},
    {Signal::kSwapCached, Kind::kHost, "SwapCached", Unit::kBytes, How::kGauge, Keep::kNow, 1, {{{"node_memory_SwapCached_bytes"}}}},
    {Signal::kActiveFile, Kind::kHost, "Active(file)", Unit::kBytes, How::kGauge, Keep::kSeconds, 1, {{{"node_memory_Active_file_bytes"}}}},
    {Signal::kInactiveFile, Kind::kHost, "Inactive(file)", Unit::kBytes, How::kGauge, Keep::kSeconds, 1, {{{"node_memory_Inactive_file_bytes"}}}},
    {Signal::kActiveAnon, Kind::kHost, "Active(anon)", Unit::kBytes, How::kGauge, Keep::kNow, 1, {{{"node_memory_Active_anon_bytes"}}}},
    {Signal::kInactiveAnon, Kind::kHost, "Inactive(anon)", Unit::kBytes, How::kGauge, Keep::kNow, 1, {{{"node_memory_Inactive_anon_bytes"}}}},
    {Signal::kUnevictable, Kind::kHost, "Unevictable", Unit::kBytes, How::kGauge, Keep::kNow, 1, {{{"node_memory_Unevictable_bytes"}}}},
    {Signal::kAnonPages, Kind::kHost, "AnonPages", Unit::kBytes, How::kGauge, Keep::kBoth, 1, {{{"node_memory_AnonPages_bytes"}}}},
    {Signal::kMapped, Kind::kHost, "Mapped", Unit::kBytes, How::kGauge, Keep::kNow, 1, {{{"node_memory_Mapped_bytes"}}}},
    {Signal::kShmem, Kind::kHost, "Shmem", Unit::kBytes, How::kGauge, Keep::kSeconds, 1, {{{"node_memory_Shmem_bytes"}}}},
    {Signal::kSlabReclaimable, Kind::kHost, "SReclaimable", Unit::kBytes, How::kGauge, Keep::kNow, 1, {{{"node_memory_SReclaimable_bytes"}}}},
    {Signal::kSlabUnreclaimable, Kind::kHost, "SUnreclaim", Unit::kBytes, How::kGauge, Keep::kNow, 1, {{{"node_memory_SUnreclaim_bytes"}}}},
    {Signal::kDirty, Kind::kHost, "Dirty", Unit::kBytes, How::kGauge, Keep::kSeconds, 1, {{{"node_memory_Dirty_bytes"}}}},
    {Signal::kWriteback, Kind::kHost, "Writeback", Unit::kBytes, How::kGauge, Keep::kSeconds, 1, {{{"node_memory_Writeback_bytes"}}}},
    {Signal::kSwapTotal, Kind::kHost, "SwapTotal", Unit::kBytes, How::kGauge, Keep::kNow, 1, {{{"node_memory_SwapTotal_bytes"}}}},
    {Signal::kSwapFree, Kind::kHost, "SwapFree", Unit::kBytes, How::kGauge, Keep::kSeconds, 1, {{{"node_memory_SwapFree_bytes"}}}},
    {Signal::kPageTables, Kind::kHost, "PageTables", Unit::kBytes, How::kGauge, Keep::kNow, 1, {{{"node_memory_PageTables_bytes"}}}},
    {Signal::kCommitted, Kind::kHost, "Committed_AS", Unit::kBytes, How::kGauge, Keep::kNow, 1, {{{"node_memory_Committed_AS_bytes"}}}},
    {Signal::kCommitLimit, Kind::kHost, "CommitLimit", Unit::kBytes, How::kGauge, Keep::kNow, 1, {{{"node_memory_CommitLimit_bytes"}}}},
    {Signal::kPagedIn, Kind::kHost, "pgpgin", Unit::kBytesPerSecond, How::kRate, Keep::kSeconds, 1024, {{{"node_vmstat_pgpgin"}}}},
    {Signal::kPagedOut, Kind::kHost, "pgpgout", Unit::kBytesPerSecond, How::kRate, Keep::kSeconds, 1024, {{{"node_vmstat_pgpgout"}}}},
    {Signal::kSwapIns, Kind::kHost, "pswpin", Unit::kPagesPerSecond, How::kRate, Keep::kSeconds, 1, {{{"node_vmstat_pswpin"}}}},
    {Signal::kSwapOuts, Kind::kHost, "pswpout", Unit::kPagesPerSecond, How::kRate, Keep::kSeconds, 1, {{{"node_vmstat_pswpout"}}}},
    {Signal::kFaults, Kind::kHost, "fault", Unit::kPerSecond, How::kRate, Keep::kNow, 1, {{{"node_vmstat_pgfault"}}}},
    {Signal::kMajorFaults, Kind::kHost, "majflt", Unit::kPerSecond, How::kRate, Keep::kBoth, 1, {{{"node_vmstat_pgmajfault"}}}},
    {Signal::kScannedKswapd, Kind::kHost, "pgscank", Unit::kPagesPerSecond, How::kRate, Keep::kSeconds, 1, {{{"node_vmstat_pgscan_kswapd"}, {"node_vmstat_pgscan_kswapd_dma"}, {"node_vmstat_pgscan_kswapd_dma32"}, {"node_vmstat_pgscan_kswapd_normal"}, {"node_vmstat_pgscan_kswapd_high"}, {"node_vmstat_pgscan_kswapd_movable"}, {"node_vmstat_pgscan_kswapd_device"}}}},
    {Signal::kScannedDirect, Kind::kHost, "pgscand", Unit::kPagesPerSecond, How::kRate, Keep::kSeconds, 1, {{{"node_vmstat_pgscan_direct"}, {"node_vmstat_pgscan_direct_dma"}, {"node_vmstat_pgscan_direct_dma32"}, {"node_vmstat_pgscan_direct_normal"}, {"node_vmstat_pgscan_direct_high"}, {"node_vmstat_pgscan_direct_movable"}, {"node_vmstat_pgscan_direct_device"}}}},
    {Signal::kStolenKswapd, Kind::kHost, "pgsteal_kswapd", Unit::kPagesPerSecond, How::kRate, Keep::kSeconds, 1, {{{"node_vmstat_pgsteal_kswapd"}, {"node_vmstat_pgsteal_kswapd_dma"}, {"node_vmstat_pgsteal_kswapd_dma32"}, {"node_vmstat_pgsteal_kswapd_normal"}, {"node_vmstat_pgsteal_kswapd_high"}, {"node_vmstat_pgsteal_kswapd_movable"}, {"node_vmstat_pgsteal_kswapd_device"}}}},
    {Signal::kStolenDirect, Kind::kHost, "pgsteal_direct", Unit::kPagesPerSecond, How::kRate, Keep::kSeconds, 1, {{{"node_vmstat_pgsteal_direct"}, {"node_vmstat_pgsteal_direct_dma"}, {"node_vmstat_pgsteal_direct_dma32"}, {"node_vmstat_pgsteal_direct_normal"}, {"node_vmstat_pgsteal_direct_high"}, {"node_vmstat_pgsteal_direct_movable"}, {"node_vmstat_pgsteal_direct_device"}}}},
    {Signal::kDirectReclaims, Kind::kHost, "allocstall", Unit::kPerSecond, How::kRate, Keep::kSeconds, 1, {{{"node_vmstat_allocstall"}, {"node_vmstat_allocstall_dma"}, {"node_vmstat_allocstall_dma32"}, {"node_vmstat_allocstall_normal"}, {"node_vmstat_allocstall_high"}, {"node_vmstat_allocstall_movable"}, {"node_vmstat_allocstall_device"}}}},
    {Signal::kRefaultsFile, Kind::kHost, "refault_file", Unit::kPagesPerSecond, How::kRate, Keep::kSeconds, 1, {{{"node_vmstat_workingset_refault_file"}}}},
    {Signal::kRefaultsAnon, Kind::kHost, "refault_anon", Unit::kPagesPerSecond, How::kRate, Keep::kSeconds, 1, {{{"node_vmstat_workingset_refault_anon"}}}},
    {Signal::kRefaults, Kind::kHost, "refault", Unit::kPagesPerSecond, How::kRate, Keep::kSeconds, 1, {{{"node_vmstat_workingset_refault"}}}},
    {Signal::kCompactStalls, Kind::kHost, "compact_stall", Unit::kPerSecond, How::kRate, Keep::kSeconds, 1, {{{"node_vmstat_compact_stall"}}}},
    {Signal::kCompactFails, Kind::kHost, "compact_fail", Unit::kPerSecond, How::kRate, Keep::kSeconds, 1, {{{"node_vmstat_compact_fail"}}}},
    {Signal::kThpFallbacks, Kind::kHost, "thp_fault_fallback", Unit::kPerSecond, How::kRate, Keep::kNow, 1, {{{"node_vmstat_thp_fault_fallback"}}}},
    {Signal::kOomKills, Kind::kHost, "oom_kill", Unit::kPerSecond, How::kRate, Keep::kSeconds, 1, {{{"node_vmstat_oom_kill"}}}},
    {Signal::kKswapdRuns, Kind::kHost, "pageoutrun", Unit::kPerSecond, How::kRate, Keep::kSeconds, 1, {{{"node_vmstat_pageoutrun"}}}},
    {Signal::kHitLowQuickly, Kind::kHost, "kswapd_low_wmark_hit_quickly", Unit::kPerSecond, How::kRate, Keep::kNow, 1, {{{"node_vmstat_kswapd_low_wmark_hit_quickly"}}}},
    {Signal::kHitHighQuickly, Kind::kHost, "kswapd_high_wmark_hit_quickly", Unit::kPerSecond, How::kRate, Keep::kNow, 1, {{{"node_vmstat_kswapd_high_wmark_hit_quickly"}}}},
    {Signal::kCacheDrops, Kind::kHost, "drop_pagecache", Unit::kPerSecond, How::kRate, Keep::kSeconds, 1, {{{"node_vmstat_drop_pagecache"}}}},
    {Signal::kDirtyThreshold, Kind::kHost, "dirty_threshold", Unit::kPages, How::kGauge, Keep::kNow, 1, {{{"node_vmstat_nr_dirty_threshold"}}}},
    {Signal::kDirtyBackground, Kind::kHost, "dirty_background_threshold", Unit::kPages, How::kGauge, Keep::kNow, 1, {{{"node_vmstat_nr_dirty_background_threshold"}}}},
    {Signal::kPressureCpu, Kind::kHost, "pressure_cpu", Unit::kRatio, How::kRate, Keep::kSeconds, 1, {{{"node_pressure_cpu_waiting_seconds_total"}}}},
    {Signal::kPressureIo, Kind::kHost, "pressure_io", Unit::kRatio, How::kRate, Keep::kSeconds, 1, {{{"node_pressure_io_waiting_seconds_total"}}}},
    {Signal::kPressureIoFull, Kind::kHost, "pressure_io_full", Unit::kRatio, How::kRate, Keep::kSeconds, 1, {{{"node_pressure_io_stalled_seconds_total"}}}},
    {Signal::kPressureMemory, Kind::kHost, "pressure_memory", Unit::kRatio, How::kRate, Keep::kSeconds, 1, {{{"node_pressure_memory_waiting_seconds_total"}}}},
    {Signal::kPressureMemoryFull, Kind::kHost, "pressure_memory_full", Unit::kRatio, How::kRate, Keep::kSeconds, 1, {{{"node_pressure_memory_stalled_seconds_total"}}}},
    {Signal::kUninterruptible, Kind::kHost, "uninterruptible_threads", Unit::kNumber, How::kGauge, Keep::kSeconds, 1, {{{"tidegauge_uninterruptible_threads"}}}},
    {Signal::kProcesses, Kind::kHost, "processes", Unit::kNumber, How::kGauge, Keep::kNow, 1, {{{"tidegauge_processes"}}}},
    {Signal::kSwappiness, Kind::kHost, "vm.swappiness", Unit::kNumber, How::kGauge, Keep::kNow, 1, {{{"node_sysctl_vm_swappiness"}}}},
    {Signal::kOwnCpu, Kind::kHost, "own_cpu", Unit::kCores, How::kRate, Keep::kNow, 1, {{{"process_cpu_seconds_total"}}}},
    {Signal::kHostRelease, Kind::kHost, "kernel_release", Unit::kNumber, How::kInfo, Keep::kNow, 1, {{{"node_uname_info"}}}},
    {Signal::kCpuUser, Kind::kCpu, "user", Unit::kRatio, How::kRate, Keep::kSeconds, 1, {{{"node_cpu_seconds_total", "mode=user"}, {"node_cpu_seconds_total", "mode=nice"}}}},
    {Signal::kCpuSystem, Kind::kCpu, "system", Unit::kRatio, How::kRate, Keep::kSeconds, 1, {{{"node_cpu_seconds_total", "mode=system"}}}},
    {Signal::kCpuInterrupts, Kind::kCpu, "interrupts", Unit::kRatio, How::kRate, Keep::kSeconds, 1, {{{"node_cpu_seconds_total", "mode=irq"}, {"node_cpu_seconds_total", "mode=softirq"}}}},
    {Signal::kCpuSteal, Kind::kCpu, "steal", Unit::kRatio, How::kRate, Keep::kSeconds, 1, {{{"node_cpu_seconds_total", "mode=steal"}}}},
    {Signal::kCpuIowait, Kind::kCpu, "iowait", Unit::kRatio, How::kRate, Keep::kSeconds, 1, {{{"node_cpu_seconds_total", "mode=iowait"}}}},
    {Signal::kCpuIdle, Kind::kCpu, "idle", Unit::kRatio, How::kRate, Keep::kSeconds, 1, {{{"node_cpu_seconds_total", "mode=idle"}}}},
    {Signal::kCpuWaiting, Kind::kCpu, "waiting", Unit::kNumber, How::kRate, Keep::kNow, 1, {{{"node_schedstat_waiting_seconds_total"}}}},
    {Signal::kDiskReads, Kind::kDisk, "r/s", Unit::kPerSecond, How::kRate, Keep::kBoth, 1, {{{"node_disk_reads_completed_total"}}}},
    {Signal::kDiskWrites, Kind::kDisk, "w/s", Unit::kPerSecond, How::kRate, Keep::kBoth, 1, {{{"node_disk_writes_completed_total"}}}},
    {Signal::kDiskReadBytes, Kind::kDisk, "rkB/s", Unit::kBytesPerSecond, How::kRate, Keep::kSeconds, 1, {{{"node_disk_read_bytes_total"}}}},
    {Signal::kDiskWrittenBytes, Kind::kDisk, "wkB/s", Unit::kBytesPerSecond, How::kRate, Keep::kSeconds, 1, {{{"node_disk_written_bytes_total"}}}},
    {Signal::kDiskReadTime, Kind::kDisk, "read_time", Unit::kRatio, How::kRate, Keep::kBoth, 1, {{{"node_disk_read_time_seconds_total"}}}},
    {Signal::kDiskWriteTime, Kind::kDisk, "write_time", Unit::kRatio, How::kRate, Keep::kBoth, 1, {{{"node_disk_write_time_seconds_total"}}}},
    {Signal::kDiskInFlight, Kind::kDisk, "in_flight", Unit::kNumber, How::kGauge, Keep::kSeconds, 1, {{{"node_disk_io_now"}}}},
    {Signal::kDiskBusy, Kind::kDisk, "%util", Unit::kRatio, How::kRate, Keep::kBoth, 1, {{{"node_disk_io_time_seconds_total"}}}},
    {Signal::kDiskQueue, Kind::kDisk, "aqu-sz", Unit::kNumber, How::kRate, Keep::kSeconds, 1, {{{"node_disk_io_time_weighted_seconds_total"}}}},
    {Signal::kDiskFlushes, Kind::kDisk, "f/s", Unit::kPerSecond, How::kRate, Keep::kSeconds, 1, {{{"node_disk_flush_requests_total"}}}},
    {Signal::kDiskFlushTime, Kind::kDisk, "flush_time", Unit::kRatio, How::kRate, Keep::kNow, 1, {{{"node_disk_flush_requests_time_seconds_total"}}}},
    {Signal::kDiskDiscards, Kind::kDisk, "d/s", Unit::kPerSecond, How::kRate, Keep::kSeconds, 1, {{{"node_disk_discards_completed_total"}}}},
    {Signal::kDiskExactBusy, Kind::kDisk, "busy", Unit::kRatio, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_block_busy_seconds_total"}}}},
    {Signal::kDiskErrors, Kind::kDisk, "errors", Unit::kPerSecond, How::kRate, Keep::kNow, 1, {{{"tidegauge_block_request_errors_total"}}}},
    {Signal::kDiskPeakBusy, Kind::kDisk, "peak_busy", Unit::kRatio, How::kGauge, Keep::kSeconds, 1, {{{"tidegauge_block_second_peak_busy_ratio"}}}},
    {Signal::kDiskPeakRequests, Kind::kDisk, "peak_requests", Unit::kPerSecond, How::kGauge, Keep::kSeconds, 1, {{{"tidegauge_block_second_peak_requests_per_second"}}}},
    {Signal::kDiskInfo, Kind::kDisk, "model", Unit::kNumber, How::kInfo, Keep::kNow, 1, {{{"node_disk_info"}}}},
    {Signal::kOperationRequests, Kind::kDiskOperation, "requests", Unit::kPerSecond, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_block_device_seconds", "", "_count"}}}},
    {Signal::kOperationSeconds, Kind::kDiskOperation, "seconds", Unit::kRatio, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_block_device_seconds", "", "_sum"}}}},
    {Signal::kGroupUser, Kind::kGroup, "cpu_user", Unit::kCores, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_group_cpu_seconds_total", "mode=user"}}}},
    {Signal::kGroupSystem, Kind::kGroup, "cpu_system", Unit::kCores, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_group_cpu_seconds_total", "mode=system"}}}},
    {Signal::kGroupMajorFaults, Kind::kGroup, "major_faults", Unit::kPerSecond, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_group_page_faults_total", "kind=major"}}}},
    {Signal::kGroupRead, Kind::kGroup, "storage_read", Unit::kBytesPerSecond, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_group_storage_read_bytes_total"}}}},
    {Signal::kGroupWritten, Kind::kGroup, "storage_written", Unit::kBytesPerSecond, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_group_storage_written_bytes_total"}}}},
    {Signal::kGroupCancelled, Kind::kGroup, "storage_cancelled", Unit::kBytesPerSecond, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_group_storage_cancelled_bytes_total"}}}},
    {Signal::kGroupSyscallRead, Kind::kGroup, "syscall_read", Unit::kBytesPerSecond, How::kRate, Keep::kNow, 1, {{{"tidegauge_group_syscall_read_bytes_total"}}}},
    {Signal::kGroupSyscallWritten, Kind::kGroup, "syscall_written", Unit::kBytesPerSecond, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_group_syscall_written_bytes_total"}}}},
    {Signal::kGroupIoDelay, Kind::kGroup, "io_delay", Unit::kRatio, How::kRate, Keep::kNow, 1, {{{"tidegauge_group_block_io_delay_seconds_total"}}}},
    {Signal::kGroupVoluntary, Kind::kGroup, "voluntary_switches", Unit::kPerSecond, How::kRate, Keep::kNow, 1, {{{"tidegauge_group_context_switches_total", "kind=voluntary"}}}},
    {Signal::kGroupInvoluntary, Kind::kGroup, "involuntary_switches", Unit::kPerSecond, How::kRate, Keep::kNow, 1, {{{"tidegauge_group_context_switches_total", "kind=involuntary"}}}},
    {Signal::kGroupRunDelay, Kind::kGroup, "run_queue_wait", Unit::kRatio, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_group_run_queue_wait_seconds_total"}}}},
    {Signal::kGroupSyncs, Kind::kGroup, "syncs", Unit::kPerSecond, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_group_syncs_total"}}}},
    {Signal::kGroupSyncSeconds, Kind::kGroup, "sync_time", Unit::kRatio, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_group_sync_seconds_total"}}}},
    {Signal::kGroupThreads, Kind::kGroup, "threads", Unit::kNumber, How::kGauge, Keep::kNow, 1, {{{"tidegauge_group_threads"}}}},
    {Signal::kGroupProcesses, Kind::kGroup, "processes", Unit::kNumber, How::kGauge, Keep::kNow, 1, {{{"tidegauge_group_processes"}}}},
    {Signal::kGroupStarts, Kind::kGroup, "processes_started", Unit::kPerSecond, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_group_processes_started_total"}}}},
    {Signal::kGroupAnon, Kind::kGroup, "anon", Unit::kBytes, How::kGauge, Keep::kBoth, 1, {{{"tidegauge_group_resident_memory_bytes", "kind=anon"}}}},
    {Signal::kGroupFile, Kind::kGroup, "file", Unit::kBytes, How::kGauge, Keep::kNow, 1, {{{"tidegauge_group_resident_memory_bytes", "kind=file"}}}},
    {Signal::kGroupShmem, Kind::kGroup, "shmem", Unit::kBytes, How::kGauge, Keep::kNow, 1, {{{"tidegauge_group_resident_memory_bytes", "kind=shmem"}}}},
    {Signal::kGroupSwap, Kind::kGroup, "swap", Unit::kBytes, How::kGauge, Keep::kBoth, 1, {{{"tidegauge_group_swap_bytes"}}}},
    {Signal::kGroupReclaimStall, Kind::kGroup, "reclaim_stall", Unit::kRatio, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_reclaim_stall_seconds", "", "_sum"}}}},
    {Signal::kGroupLimitStall, Kind::kGroup, "limit_stall", Unit::kRatio, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_reclaim_stall_seconds", "kind=memcg", "_sum"}}}},
    {Signal::kGroupCompactionStall, Kind::kGroup, "compaction_stall", Unit::kRatio, How::kRate, Keep::kNow, 1, {{{"tidegauge_compaction_stall_seconds", "", "_sum"}}}},
    {Signal::kGroupThrottled, Kind::kGroup, "dirty_throttled", Unit::kRatio, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_dirty_throttle_seconds_total"}}}},
    {Signal::kGroupCacheRead, Kind::kGroup, "cache_read", Unit::kBytesPerSecond, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_page_cache_inserted_bytes_total", "cause=read"}, {"tidegauge_page_cache_inserted_bytes_total", "cause=fault"}}}},
    {Signal::kGroupCacheWritten, Kind::kGroup, "cache_written", Unit::kBytesPerSecond, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_page_cache_inserted_bytes_total", "cause=write"}}}},
    {Signal::kGroupCacheReclaimed, Kind::kGroup, "cache_reclaimed", Unit::kBytesPerSecond, How::kRate, Keep::kNow, 1, {{{"tidegauge_page_cache_removed_bytes_total", "cause=reclaim"}}}},
    {Signal::kGroupFaultsOfFiles, Kind::kGroup, "faults_of_files", Unit::kPerSecond, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_major_faults_total"}}}},
    {Signal::kGroupCreated, Kind::kGroup, "files_created", Unit::kPerSecond, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_files_created_total"}}}},
    {Signal::kGroupDeleted, Kind::kGroup, "files_deleted", Unit::kPerSecond, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_files_deleted_total"}}}},
    {Signal::kGroupOomVictims, Kind::kGroup, "oom_victims", Unit::kPerSecond, How::kRate, Keep::kNow, 1, {{{"tidegauge_oom_victims_total"}}}},
    {Signal::kProcessUser, Kind::kProcess, "cpu_user", Unit::kCores, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_process_cpu_seconds_total", "mode=user"}}}},
    {Signal::kProcessSystem, Kind::kProcess, "cpu_system", Unit::kCores, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_process_cpu_seconds_total", "mode=system"}}}},
    {Signal::kProcessMajorFaults, Kind::kProcess, "major_faults", Unit::kPerSecond, How::kRate, Keep::kNow, 1, {{{"tidegauge_process_page_faults_total", "kind=major"}}}},
    {Signal::kProcessRead, Kind::kProcess, "storage_read", Unit::kBytesPerSecond, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_process_storage_read_bytes_total"}}}},
    {Signal::kProcessWritten, Kind::kProcess, "storage_written", Unit::kBytesPerSecond, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_process_storage_written_bytes_total"}}}},
    {Signal::kProcessCancelled, Kind::kProcess, "storage_cancelled", Unit::kBytesPerSecond, How::kRate, Keep::kNow, 1, {{{"tidegauge_process_storage_cancelled_bytes_total"}}}},
    {Signal::kProcessSyscallRead, Kind::kProcess, "syscall_read", Unit::kBytesPerSecond, How::kRate, Keep::kNow, 1, {{{"tidegauge_process_syscall_read_bytes_total"}}}},
    {Signal::kProcessSyscallWritten, Kind::kProcess, "syscall_written", Unit::kBytesPerSecond, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_process_syscall_written_bytes_total"}}}},
    {Signal::kProcessIoDelay, Kind::kProcess, "io_delay", Unit::kRatio, How::kRate, Keep::kNow, 1, {{{"tidegauge_process_block_io_delay_seconds_total"}}}},
    {Signal::kProcessVoluntary, Kind::kProcess, "voluntary_switches", Unit::kPerSecond, How::kRate, Keep::kNow, 1, {{{"tidegauge_process_context_switches_total", "kind=voluntary"}}}},
    {Signal::kProcessInvoluntary, Kind::kProcess, "involuntary_switches", Unit::kPerSecond, How::kRate, Keep::kNow, 1, {{{"tidegauge_process_context_switches_total", "kind=involuntary"}}}},
    {Signal::kProcessRunDelay, Kind::kProcess, "run_queue_wait", Unit::kRatio, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_process_run_queue_wait_seconds_total"}}}},
    {Signal::kProcessSyncs, Kind::kProcess, "syncs", Unit::kPerSecond, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_process_syncs_total"}}}},
    {Signal::kProcessSyncSeconds, Kind::kProcess, "sync_time", Unit::kRatio, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_process_sync_seconds_total"}}}},
    {Signal::kProcessThreads, Kind::kProcess, "threads", Unit::kNumber, How::kGauge, Keep::kNow, 1, {{{"tidegauge_process_threads"}}}},
    {Signal::kProcessAnon, Kind::kProcess, "anon", Unit::kBytes, How::kGauge, Keep::kBoth, 1, {{{"tidegauge_process_resident_memory_bytes", "kind=anon"}}}},
    {Signal::kProcessFile, Kind::kProcess, "file", Unit::kBytes, How::kGauge, Keep::kNow, 1, {{{"tidegauge_process_resident_memory_bytes", "kind=file"}}}},
    {Signal::kProcessShmem, Kind::kProcess, "shmem", Unit::kBytes, How::kGauge, Keep::kNow, 1, {{{"tidegauge_process_resident_memory_bytes", "kind=shmem"}}}},
    {Signal::kProcessSwap, Kind::kProcess, "swap", Unit::kBytes, How::kGauge, Keep::kNow, 1, {{{"tidegauge_process_swap_bytes"}}}},
    {Signal::kProcessStart, Kind::kProcess, "start_time", Unit::kSeconds, How::kInfo, Keep::kNow, 1, {{{"tidegauge_process_start_time_seconds"}}}},
    {Signal::kProcessFds, Kind::kProcess, "open_fds", Unit::kNumber, How::kGauge, Keep::kNow, 1, {{{"tidegauge_process_open_fds"}}}},
    {Signal::kProcessCpus, Kind::kProcess, "allowed_cpus", Unit::kNumber, How::kInfo, Keep::kNow, 1, {{{"tidegauge_process_allowed_cpus"}}}},
    {Signal::kThreadCpu, Kind::kThread, "cpu", Unit::kCores, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_process_thread_cpu_seconds_total"}}}},
    {Signal::kGroupDiskBusy, Kind::kGroupDisk, "busy", Unit::kRatio, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_block_attributed_busy_seconds_total"}}}},
    {Signal::kGroupDiskBytes, Kind::kGroupDisk, "bytes", Unit::kBytesPerSecond, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_block_attributed_bytes_total"}}}},
    {Signal::kGroupDiskFaults, Kind::kGroupDisk, "faults_of_files", Unit::kPerSecond, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_major_faults_total"}}}},
    {Signal::kProcessDiskBusy, Kind::kProcessDisk, "busy", Unit::kRatio, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_block_process_busy_seconds_total"}}}},
    {Signal::kProcessDiskBytes, Kind::kProcessDisk, "bytes", Unit::kBytesPerSecond, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_block_process_bytes_total"}}}},
    {Signal::kSyncCalls, Kind::kSync, "calls", Unit::kPerSecond, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_file_sync_duration_seconds", "", "_count"}}}},
    {Signal::kSyncSeconds, Kind::kSync, "seconds", Unit::kRatio, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_file_sync_duration_seconds", "", "_sum"}}}},
    {Signal::kSyncBytes, Kind::kSync, "bytes", Unit::kBytesPerSecond, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_file_sync_written_bytes_total"}}}},
    {Signal::kFileSyncs, Kind::kFile, "syncs", Unit::kPerSecond, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_top_file_syncs_total"}}}},
    {Signal::kFileSyncSeconds, Kind::kFile, "sync_time", Unit::kRatio, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_top_file_sync_seconds_total"}}}},
    {Signal::kFileSyncLongest, Kind::kFile, "sync_longest", Unit::kSeconds, How::kGauge, Keep::kNow, 1, {{{"tidegauge_top_file_sync_longest_seconds"}}}},
    {Signal::kFileWritten, Kind::kFile, "written", Unit::kBytesPerSecond, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_top_file_written_bytes_total"}}}},
    {Signal::kFileRead, Kind::kFile, "read", Unit::kBytesPerSecond, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_top_file_read_bytes_total"}}}},
    {Signal::kFileUser, Kind::kFile, "user", Unit::kNumber, How::kInfo, Keep::kNow, 1, {{{"tidegauge_top_file_user_info"}}}},
    {Signal::kDirectoryCreated, Kind::kDirectory, "created", Unit::kPerSecond, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_directory_files_created_total"}}}},
    {Signal::kDirectoryDeleted, Kind::kDirectory, "deleted", Unit::kPerSecond, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_directory_files_deleted_total"}}}},
    {Signal::kDirectoryDeletedBytes, Kind::kDirectory, "deleted_bytes", Unit::kBytesPerSecond, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_deleted_file_bytes_total"}}}},
    {Signal::kDirectoryUnstored, Kind::kDirectory, "deleted_unstored", Unit::kBytesPerSecond, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_deleted_file_unstored_bytes_total"}}}},
    {Signal::kCgroupUsage, Kind::kCgroup, "usage", Unit::kBytes, How::kGauge, Keep::kNow, 1, {{{"tidegauge_cgroup_memory_usage_bytes"}}}},
    {Signal::kCgroupLimit, Kind::kCgroup, "limit", Unit::kBytes, How::kGauge, Keep::kNow, 1, {{{"tidegauge_cgroup_memory_limit_bytes"}}}},
    {Signal::kCgroupHigh, Kind::kCgroup, "high", Unit::kBytes, How::kGauge, Keep::kNow, 1, {{{"tidegauge_cgroup_memory_high_bytes"}}}},
    {Signal::kCgroupAnon, Kind::kCgroup, "anon", Unit::kBytes, How::kGauge, Keep::kNow, 1, {{{"tidegauge_cgroup_memory_anon_bytes"}}}},
    {Signal::kCgroupFile, Kind::kCgroup, "file", Unit::kBytes, How::kGauge, Keep::kNow, 1, {{{"tidegauge_cgroup_memory_file_bytes"}}}},
    {Signal::kCgroupShmem, Kind::kCgroup, "shmem", Unit::kBytes, How::kGauge, Keep::kNow, 1, {{{"tidegauge_cgroup_memory_shmem_bytes"}}}},
    {Signal::kCgroupHitMax, Kind::kCgroup, "hit_max", Unit::kPerSecond, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_cgroup_memory_events_total", "event=max"}}}},
    {Signal::kCgroupHitHigh, Kind::kCgroup, "hit_high", Unit::kPerSecond, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_cgroup_memory_events_total", "event=high"}}}},
    {Signal::kCgroupOomKills, Kind::kCgroup, "oom_kills", Unit::kPerSecond, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_cgroup_memory_events_total", "event=oom_kill"}}}},
    {Signal::kCgroupMajorFaults, Kind::kCgroup, "major_faults", Unit::kPerSecond, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_cgroup_memory_major_faults_total"}}}},
    {Signal::kCgroupRefaults, Kind::kCgroup, "refaults", Unit::kPagesPerSecond, How::kRate, Keep::kNow, 1, {{{"tidegauge_cgroup_memory_refaults_total", "type=file"}}}},
    {Signal::kCgroupScanned, Kind::kCgroup, "scanned", Unit::kPagesPerSecond, How::kRate, Keep::kNow, 1, {{{"tidegauge_cgroup_memory_scanned_pages_total"}}}},
    {Signal::kCgroupReclaimed, Kind::kCgroup, "reclaimed", Unit::kPagesPerSecond, How::kRate, Keep::kNow, 1, {{{"tidegauge_cgroup_memory_reclaimed_pages_total"}}}},
    {Signal::kCgroupPressureMemory, Kind::kCgroup, "pressure_memory", Unit::kRatio, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_cgroup_pressure_waiting_seconds_total", "resource=memory"}}}},
    {Signal::kCgroupPressureMemoryFull, Kind::kCgroup, "pressure_memory_full", Unit::kRatio, How::kRate, Keep::kNow, 1, {{{"tidegauge_cgroup_pressure_stalled_seconds_total", "resource=memory"}}}},
    {Signal::kCgroupThrottledPeriods, Kind::kCgroup, "throttled_periods", Unit::kPerSecond, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_cgroup_cpu_throttled_periods_total"}}}},
    {Signal::kCgroupPeriods, Kind::kCgroup, "periods", Unit::kPerSecond, How::kRate, Keep::kNow, 1, {{{"tidegauge_cgroup_cpu_periods_total"}}}},
    {Signal::kKswapdAwake, Kind::kNode, "kswapd_awake", Unit::kRatio, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_kswapd_awake_seconds_total"}}}},
    {Signal::kKswapdWakeups, Kind::kNode, "kswapd_wakeups", Unit::kPerSecond, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_kswapd_wakeups_total"}}}},
    {Signal::kStuckThreads, Kind::kStuck, "threads", Unit::kNumber, How::kGauge, Keep::kSeconds, 1, {{{"tidegauge_stuck_threads"}}}},
    {Signal::kStuckLongest, Kind::kStuck, "longest", Unit::kSeconds, How::kGauge, Keep::kNow, 1, {{{"tidegauge_stuck_threads_longest_seconds"}}}},
    {Signal::kOomVictimTime, Kind::kOomVictim, "time", Unit::kSeconds, How::kInfo, Keep::kNow, 1, {{{"tidegauge_oom_victim_timestamp_seconds"}}}},
    {Signal::kLifetimeFiles, Kind::kLifetime, "deleted_of_known_age", Unit::kPerSecond, How::kRate, Keep::kSeconds, 1, {{{"tidegauge_file_lifetime_seconds", "", "_count"}}}},
    {Signal::kPeakUserRatio, Kind::kPeakUser, "peak_user", Unit::kRatio, How::kInfo, Keep::kNow, 1, {{{"tidegauge_block_peak_user_ratio"}}}},
};
// clang-format on

constexpr bool is_in_order() {
  for (std::size_t i = 0; i < std::size(kInfos); ++i) {
    if (index_of(kInfos[i].signal) != i || (i > 0 && kInfos[i].kind < kInfos[i - 1].kind)) {
      return false;
    }
  }
  return std::size(kInfos) == kSignals;
}
static_assert(is_in_order());

struct Range {
  std::size_t first = 0;
  std::size_t count = 0;
};

constexpr std::array<Range, kKinds> ranges() {
  std::array<Range, kKinds> out{};
  for (std::size_t i = 0; i < std::size(kInfos); ++i) {
    Range& range = out[index_of(kInfos[i].kind)];
    range.first = range.count == 0 ? i : range.first;
    ++range.count;
  }
  return out;
}
constexpr std::array<Range, kKinds> kRanges = ranges();

constexpr std::string_view kCpuLabels[] = {"cpu"};
constexpr std::string_view kDiskLabels[] = {"device"};
constexpr std::string_view kDiskOperationLabels[] = {"device", "operation"};
constexpr std::string_view kGroupLabels[] = {"group"};
constexpr std::string_view kProcessLabels[] = {"pid", "comm"};
constexpr std::string_view kThreadLabels[] = {"pid", "comm", "thread"};
constexpr std::string_view kGroupDiskLabels[] = {"device", "group"};
constexpr std::string_view kProcessDiskLabels[] = {"device", "pid", "comm"};
constexpr std::string_view kSyncLabels[] = {"group", "operation"};
constexpr std::string_view kFileLabels[] = {"path", "device"};
constexpr std::string_view kDirectoryLabels[] = {"group", "directory"};
constexpr std::string_view kCgroupLabels[] = {"cgroup"};
constexpr std::string_view kNodeLabels[] = {"node"};
constexpr std::string_view kStuckLabels[] = {"group", "wchan"};
constexpr std::string_view kOomVictimLabels[] = {"number", "pid", "comm", "group"};
constexpr std::string_view kLifetimeLabels[] = {"group"};
constexpr std::string_view kPeakUserLabels[] = {"device", "group", "pid", "comm"};

constexpr std::span<const std::string_view> kLabels[kKinds] = {
    {},               kCpuLabels,        kDiskLabels,   kDiskOperationLabels,
    kGroupLabels,     kProcessLabels,    kThreadLabels, kGroupDiskLabels,
    kProcessDiskLabels, kSyncLabels,     kFileLabels,   kDirectoryLabels,
    kCgroupLabels,    kNodeLabels,       kStuckLabels,  kOomVictimLabels,
    kLifetimeLabels,  kPeakUserLabels};

}  // namespace

std::span<const std::string_view> kind_labels(Kind kind) { return kLabels[index_of(kind)]; }

const SignalInfo& info_of(Signal signal) { return kInfos[index_of(signal)]; }

std::span<const SignalInfo> all_signals() { return kInfos; }

std::size_t first_signal(Kind kind) { return kRanges[index_of(kind)].first; }

std::size_t signal_count(Kind kind) { return kRanges[index_of(kind)].count; }

}  // namespace tidegauge::heuristics
