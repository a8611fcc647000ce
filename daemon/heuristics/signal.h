// SPDX-License-Identifier: Apache-2.0
#pragma once

// Every number the heuristics look at: what it is called, what it is about and which metric it comes from. One
// row of a table each (signal.cc), so that a verdict can name the source of its evidence.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "daemon/heuristics/unit.h"

namespace tidegauge::heuristics {

// What a number is about. Subjects of a kind are told apart by the labels of kind_labels().
enum class Kind : std::uint8_t {
  kHost,
  kCpu,
  kDisk,
  kDiskOperation,  // requests by operation, from BPF
  kGroup,
  kProcess,
  kThread,
  kGroupDisk,    // a disk's busy time and bytes by the group that caused them
  kProcessDisk,  // likewise by process
  kSync,         // synchronisations of files, by group and operation
  kFile,
  kDirectory,
  kCgroup,
  kNode,       // NUMA node: its kswapd
  kStuck,      // threads in uninterruptible sleep, by what they wait in
  kOomVictim,  // a process that the kernel killed
  kLifetime,   // how old deleted files were, by group
  kPeakUser,   // who a disk was busiest for in the busiest 100 ms of the last minute
};
inline constexpr std::size_t kKinds = 18;

// The labels that name a subject of this kind, in the order of Subject::labels.
std::span<const std::string_view> kind_labels(Kind kind);

// In the order of the table; those of a kind stand together.
enum class Signal : std::uint16_t {
  // kHost
  kHostUser,
  kHostSystem,
  kHostInterrupts,
  kHostSteal,
  kHostIowait,
  kHostIdle,
  kSwitches,
  kForks,
  kRunning,
  kBlocked,
  kLoad1,
  kMemTotal,
  kMemFree,
  kMemAvailable,
  kBuffers,
  kCached,
  kSwapCached,
  kActiveFile,
  kInactiveFile,
  kActiveAnon,
  kInactiveAnon,
  kUnevictable,
  kAnonPages,
  kMapped,
  kShmem,
  kSlabReclaimable,
  kSlabUnreclaimable,
  kDirty,
  kWriteback,
  kSwapTotal,
  kSwapFree,
  kPageTables,
  kCommitted,
  kCommitLimit,
  kPagedIn,
  kPagedOut,
  kSwapIns,
  kSwapOuts,
  kFaults,
  kMajorFaults,
  kScannedKswapd,
  kScannedDirect,
  kStolenKswapd,
  kStolenDirect,
  kDirectReclaims,
  kRefaultsFile,
  kRefaultsAnon,
  kRefaults,  // of kernels that do not tell file from anon
  kCompactStalls,
  kCompactFails,
  kThpFallbacks,
  kOomKills,
  kKswapdRuns,
  kHitLowQuickly,
  kHitHighQuickly,
  kCacheDrops,
  kDirtyThreshold,
  kDirtyBackground,
  kPressureCpu,
  kPressureIo,
  kPressureIoFull,
  kPressureMemory,
  kPressureMemoryFull,
  kUninterruptible,
  kProcesses,
  kSwappiness,
  kOwnCpu,       // of this daemon
  kHostRelease,  // info: release
  // kCpu
  kCpuUser,
  kCpuSystem,
  kCpuInterrupts,
  kCpuSteal,
  kCpuIowait,
  kCpuIdle,
  kCpuWaiting,
  // kDisk
  kDiskReads,
  kDiskWrites,
  kDiskReadBytes,
  kDiskWrittenBytes,
  kDiskReadTime,
  kDiskWriteTime,
  kDiskInFlight,
  kDiskBusy,
  kDiskQueue,
  kDiskFlushes,
  kDiskFlushTime,
  kDiskDiscards,
  kDiskExactBusy,
  kDiskErrors,
  kDiskPeakBusy,
  kDiskPeakRequests,
  kDiskInfo,  // info: rotational, model
  // kDiskOperation
  kOperationRequests,
  kOperationSeconds,
  // kGroup
  kGroupUser,
  kGroupSystem,
  kGroupMajorFaults,
  kGroupRead,
  kGroupWritten,
  kGroupCancelled,
  kGroupSyscallRead,
  kGroupSyscallWritten,
  kGroupIoDelay,
  kGroupVoluntary,
  kGroupInvoluntary,
  kGroupRunDelay,
  kGroupSyncs,
  kGroupSyncSeconds,
  kGroupThreads,
  kGroupProcesses,
  kGroupStarts,
  kGroupAnon,
  kGroupFile,
  kGroupShmem,
  kGroupSwap,
  kGroupReclaimStall,
  kGroupLimitStall,  // of kGroupReclaimStall, for a cgroup's limit
  kGroupCompactionStall,
  kGroupThrottled,
  kGroupCacheRead,
  kGroupCacheWritten,
  kGroupCacheReclaimed,
  kGroupFaultsOfFiles,
  kGroupCreated,
  kGroupDeleted,
  kGroupOomVictims,
  // kProcess
  kProcessUser,
  kProcessSystem,
  kProcessMajorFaults,
  kProcessRead,
  kProcessWritten,
  kProcessCancelled,
  kProcessSyscallRead,
  kProcessSyscallWritten,
  kProcessIoDelay,
  kProcessVoluntary,
  kProcessInvoluntary,
  kProcessRunDelay,
  kProcessSyncs,
  kProcessSyncSeconds,
  kProcessThreads,
  kProcessAnon,
  kProcessPrivateDirty,
  kProcessFile,
  kProcessShmem,
  kProcessSwap,
  kProcessStart,  // info: group, unit, container
  kProcessFds,
  kProcessCpus,  // info: cpus, its affinity
  // kThread
  kThreadCpu,
  // kGroupDisk
  kGroupDiskBusy,
  kGroupDiskBytes,
  kGroupDiskFaults,
  // kProcessDisk
  kProcessDiskBusy,
  kProcessDiskBytes,
  // kSync
  kSyncCalls,
  kSyncSeconds,
  kSyncBytes,
  // kFile
  kFileSyncs,
  kFileSyncSeconds,
  kFileSyncLongest,
  kFileWritten,
  kFileRead,
  kFileUser,  // info: group, thread, pid, tid
  // kDirectory
  kDirectoryCreated,
  kDirectoryDeleted,
  kDirectoryDeletedBytes,
  kDirectoryUnstored,
  // kCgroup
  kCgroupUsage,
  kCgroupLimit,
  kCgroupHigh,
  kCgroupAnon,
  kCgroupFile,
  kCgroupShmem,
  kCgroupHitMax,
  kCgroupHitHigh,
  kCgroupOomKills,
  kCgroupMajorFaults,
  kCgroupRefaults,
  kCgroupScanned,
  kCgroupReclaimed,
  kCgroupPressureMemory,
  kCgroupPressureMemoryFull,
  kCgroupThrottledPeriods,
  kCgroupPeriods,
  // kNode
  kKswapdAwake,
  kKswapdWakeups,
  // kStuck
  kStuckThreads,
  kStuckLongest,
  // kOomVictim
  kOomVictimTime,  // info: cgroup
  // kLifetime
  kLifetimeFiles,
  // kPeakUser
  kPeakUserRatio,  // info: reason
};
inline constexpr std::size_t kSignals = static_cast<std::size_t>(Signal::kPeakUserRatio) + 1;

enum class How : std::uint8_t {
  kRate,   // of a counter, a second
  kGauge,  // as it is
  kInfo,   // its labels become the subject's attributes; the value as it is
};

// Whether values are kept beyond now.
enum class Keep : std::uint8_t {
  kNow,
  kSeconds,  // every tick, for Scene::mean() and onsets: as long as the subject does something
  kMinutes,  // one mean a minute, for two days
  kBoth,
};

// A metric that is part of a signal. `labels` are "name=value" pairs separated by a blank that a series must carry.
struct Source {
  std::string_view family;
  std::string_view labels{};
  std::string_view suffix{};
};

inline constexpr std::size_t kMaxSources = 7;  // kernels up to 4.7 count reclaim by zone

struct SignalInfo {
  Signal signal;
  Kind kind;
  std::string_view name;  // as evidence has it
  Unit unit;
  How how;
  Keep keep;
  double scale;
  std::array<Source, kMaxSources> sources;  // summed; one that is not there is no part of it
};

const SignalInfo& info_of(Signal signal);
std::span<const SignalInfo> all_signals();
// Those of a kind, as [first, first + count).
std::size_t first_signal(Kind kind);
std::size_t signal_count(Kind kind);
// Whether that one of a kind, by its place among them, is kept tick by tick, or minute by minute.
bool keeps_seconds(Kind kind, std::size_t place);
bool keeps_minutes(Kind kind, std::size_t place);
// Its place by its name; none when this build has no such.
std::optional<std::size_t> place_of(Kind kind, std::string_view name);
constexpr std::size_t index_of(Signal signal) { return static_cast<std::size_t>(signal); }
constexpr std::size_t index_of(Kind kind) { return static_cast<std::size_t>(kind); }

}  // namespace tidegauge::heuristics
