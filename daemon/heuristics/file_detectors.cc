// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/heuristics/detectors.h"
#include "daemon/heuristics/parties.h"

namespace tidegauge::heuristics {

namespace {

std::string ratio_text(double value) { return format_figure(value, Unit::kRatio); }
std::string rate_text(double value) { return format_figure(value, Unit::kBytesPerSecond); }
std::string number_text(double value) { return format_figure(value, Unit::kNumber); }

// ---- sync_bound_process ----

constexpr double kSyncWindow = 10;  // seconds
// Those who synchronise one file again and again wait for their log. Who synchronises many files once each installs or
// delivers something: that ends, and is told only if it does not for long.
constexpr double kSameFile = 0.25;  // of the synchronisations
constexpr double kManyFilesSeconds = 120;
constexpr double kLeastCalls = 1;  // a second
constexpr double kSteady = 0.7;    // of the seconds

struct Syncs {
  const Subject* group = nullptr;
  const Subject* process = nullptr;  // that waits most
  double of_process = 0;             // seconds a second
  double seconds = 0;                // of the group
  double calls = 0;
  const Subject* operation = nullptr;  // of which most time goes
  const Subject* file = nullptr;
  bool is_same_file = false;
};

// Seconds of the last `seconds` in which it synchronised at all, and was waiting for it a good part.
bool is_steady(const Scene& scene, const Syncs& syncs, double least, double seconds) {
  const double share =
      scene.share_at_least(*syncs.group, Signal::kGroupSyncSeconds, least, seconds);
  return is_known(share) && share >= kSteady;
}

bool is_bound(const Scene& scene, const Thresholds& limits, Syncs& syncs) {
  const std::string& name = syncs.group->label(0);
  syncs.seconds = mean_or_0(scene, *syncs.group, Signal::kGroupSyncSeconds, kSyncWindow);
  if (syncs.seconds < limits.sync_wall_ratio || is_kernel_group(name)) {
    return false;
  }
  syncs.calls = mean_or_0(scene, *syncs.group, Signal::kGroupSyncs, kSyncWindow);
  if (syncs.calls < kLeastCalls ||
      !is_steady(scene, syncs, limits.sync_wall_ratio / 3, kSyncWindow)) {
    return false;
  }
  // Many that wait a little each are not bound: one of them is, or all on average.
  double processes = 0;
  for (const Subject* process : scene.subjects(Kind::kProcess)) {
    if (process->attribute("group") != name) {
      continue;
    }
    const double value = mean_or_0(scene, *process, Signal::kProcessSyncSeconds, kSyncWindow);
    processes += value > 0 ? 1 : 0;
    if (value > syncs.of_process) {
      syncs.of_process = value;
      syncs.process = process;
    }
  }
  if (syncs.of_process < limits.sync_wall_ratio &&
      syncs.seconds < limits.sync_wall_ratio * std::max(processes, 1.0)) {
    return false;
  }
  double most = 0;
  for (const Subject* operation : scene.subjects(Kind::kSync)) {
    const double seconds = operation->label(0) == name
                               ? mean_or_0(scene, *operation, Signal::kSyncSeconds, kSyncWindow)
                               : 0;
    if (seconds > most) {
      most = seconds;
      syncs.operation = operation;
    }
  }
  syncs.file = busiest_file(scene, Signal::kFileSyncSeconds, name, "", kSyncWindow);
  const double of_file =
      syncs.file == nullptr ? 0 : mean_or_0(scene, *syncs.file, Signal::kFileSyncs, kSyncWindow);
  syncs.is_same_file = of_file >= kSameFile * syncs.calls && of_file * kSyncWindow >= 3;
  if (syncs.is_same_file) {
    return true;
  }
  const auto since =
      scene.at_least_since(*syncs.group, Signal::kGroupSyncSeconds, limits.sync_wall_ratio / 3);
  return since && static_cast<double>(scene.boottime_ns() - *since) / 1e9 >= kManyFilesSeconds;
}

// Whether the disk is to blame, said explicitly either way.
void tell_disk(const Scene& scene, const Thresholds& limits, const Subject& disk,
               Finding& finding) {
  const double busy = disk_busy(scene, disk, kSyncWindow);
  const double queue = mean_or_0(scene, disk, Signal::kDiskQueue, kSyncWindow);
  const double latency = disk_latency(scene, disk, kSyncWindow);
  const std::string& name = disk.label(0);
  finding.evidence.push_back({"%util of " + name, busy, Unit::kRatio, limits.disk_busy_ratio,
                              "node_disk_io_time_seconds_total"});
  finding.evidence.push_back({"requests in its queue (aqu-sz)", queue, Unit::kNumber,
                              limits.disk_queue, "node_disk_io_time_weighted_seconds_total"});
  if (is_known(latency)) {
    finding.evidence.push_back(
        {"time a request takes (await)", latency, Unit::kSeconds, std::nullopt,
         "node_disk_read_time_seconds_total, node_disk_write_time_seconds_total"});
  }
  const std::string figures =
      "busy " + ratio_text(busy) + ", " + number_text(queue) + " requests queue" +
      (is_known(latency) ? ", " + format_figure(latency, Unit::kSeconds) + " each" : "");
  if (busy >= limits.disk_busy_ratio && queue >= limits.disk_queue) {
    finding.sentence += "; the disk " + name + " is saturated as well: " + figures;
  } else {
    finding.sentence += "; the disk " + name + " is not saturated: " + figures;
    finding.ruled_out.push_back({"disk " + name + " is saturated", figures});
  }
}

Party party_of_syncs(const Scene& scene, const Syncs& syncs, double value) {
  Party party = syncs.process != nullptr && syncs.of_process >= syncs.seconds / 2
                    ? party_of(scene, *syncs.process)
                    : party_of_group(syncs.group->label(0));
  party.group = syncs.group->label(0);
  party.share = std::min(value, 1.0);
  if (syncs.file != nullptr) {
    const std::string_view pid = syncs.file->attribute("pid");
    const std::string_view thread = syncs.file->attribute("thread");
    if (syncs.is_same_file) {
      party.file = syncs.file->label(0);
    }
    if (party.pid.empty() && syncs.process == nullptr && syncs.is_same_file) {
      party.pid = pid;
    }
    if (pid == party.pid && thread != party.comm) {
      party.thread = thread;
    }
  }
  return party;
}

Finding sync_bound(const Scene& scene, const Thresholds& limits, const Syncs& syncs) {
  const std::string& name = syncs.group->label(0);
  Finding finding;
  finding.id = VerdictId::kSyncBoundProcess;
  finding.instance = name;
  finding.onset_ns =
      scene.at_least_since(*syncs.group, Signal::kGroupSyncSeconds, syncs.seconds / 3)
          .value_or(scene.boottime_ns());
  finding.onset_resolution_seconds = scene.tick_seconds();
  const bool is_process = syncs.process != nullptr && syncs.of_process >= syncs.seconds / 2;
  const double value = is_process ? syncs.of_process : syncs.seconds;
  const std::string call =
      syncs.operation != nullptr ? syncs.operation->label(1) : "fsync and its kin";
  const double mean = syncs.calls > 0 ? syncs.seconds / syncs.calls : kUnknown;
  const double p99 = syncs.operation != nullptr && syncs.operation->histogram
                         ? syncs.operation->histogram->quantile(0.99)
                         : kUnknown;
  Party party = party_of_syncs(scene, syncs, value);
  const DiskOfGroup used = disk_of_group(scene, name, kSyncWindow);
  const Subject* disk =
      syncs.file != nullptr ? disk_of_number(scene, syncs.file->label(1)) : nullptr;
  disk = disk == nullptr ? used.disk : disk;
  party.device = disk == nullptr ? "" : disk->label(0);
  party.doing = value > 1.05 ? "has " + number_text(value) + " threads in " + call + " at a time"
                             : "spends " + ratio_text(value) + " of the time in " + call;
  finding.evidence = {
      {"time in synchronisations, a second", value, Unit::kRatio, limits.sync_wall_ratio,
       is_process ? "tidegauge_process_sync_seconds_total" : "tidegauge_group_sync_seconds_total"},
      {"synchronisations", syncs.calls, Unit::kPerSecond, kLeastCalls,
       "tidegauge_group_syncs_total"},
      {"time one takes, on average", mean, Unit::kSeconds, std::nullopt,
       "tidegauge_group_sync_seconds_total"},
  };
  if (is_known(p99)) {
    finding.evidence.push_back({"time that 99 of 100 take at most", p99, Unit::kSeconds,
                                std::nullopt, "tidegauge_file_sync_duration_seconds"});
  }
  const double bytes = syncs.operation == nullptr
                           ? 0
                           : mean_or_0(scene, *syncs.operation, Signal::kSyncBytes, kSyncWindow);
  const double calls = syncs.operation == nullptr
                           ? 0
                           : mean_or_0(scene, *syncs.operation, Signal::kSyncCalls, kSyncWindow);
  if (bytes > 0 && calls > 0) {
    finding.evidence.push_back({"bytes written for each", bytes / calls, Unit::kBytes, std::nullopt,
                                "tidegauge_file_sync_written_bytes_total"});
  }
  finding.sentence = party.text() + " " + party.doing + ": " + number_text(syncs.calls) +
                     " a second of " + format_figure(mean, Unit::kSeconds) + " each";
  if (bytes > 0 && calls > 0) {
    finding.sentence += ", " + format_figure(bytes / calls, Unit::kBytes) + " at a time";
  }
  if (!party.file.empty()) {
    finding.sentence += ", of " + party.file;
  }
  finding.sentence +=
      ", for " + format_duration(static_cast<double>(scene.boottime_ns() - finding.onset_ns) / 1e9);
  if (disk != nullptr) {
    tell_disk(scene, limits, *disk, finding);
  } else {
    finding.unchecked.emplace_back("which disk it is, and whether that is saturated");
  }
  finding.sentence += ".";
  if (!syncs.is_same_file) {
    finding.unchecked.emplace_back(
        "one file that is synchronised again and again: it is many files");
  }
  finding.confidence = 0.6 + (syncs.is_same_file ? 0.15 : 0) + (is_process ? 0.1 : 0) +
                       (disk != nullptr && syncs.operation != nullptr ? 0.05 : 0);
  finding.timeline = {{finding.onset_ns, name + " begins to wait for synchronisations"}};
  finding.next_steps = {"strace -f -T -tt -e trace=fsync,fdatasync,msync,sync_file_range -p " +
                            (party.pid.empty() ? std::string("PID") : party.pid),
                        "iostat -x 1"};
  if (!party.file.empty() && !party.pid.empty()) {
    finding.next_steps.push_back("lsof -p " + party.pid);
  }
  finding.causes.push_back(std::move(party));
  return finding;
}

// ---- temp_file_churn ----

constexpr double kChurnWindow =
    15;  // seconds: a request makes its files, then reads them, then removes them
constexpr double kChurnGap = 10;
constexpr double kShortLived = 300;   // seconds
constexpr double kCostlyBusy = 0.15;  // of a disk's time, for the group
constexpr double kVeryCostlyBusy = 0.5;
constexpr double kSomeWait = 0.2;  // PSI

struct Churn {
  const Subject* group = nullptr;
  const Subject* directory = nullptr;
  double created = 0;  // files a second
  double deleted = 0;
  double deleted_bytes = 0;   // a second, of all its directories
  double unstored_bytes = 0;  // of these: never reached a disk
  double written = 0;
  double share = 0;  // of what it writes
  double lifetime = kUnknown;
  double busy = 0;  // of the disk
  const Subject* disk = nullptr;
};

// Of a group's directories the one with most files deleted, and the sums of all.
bool find_directories(const Scene& scene, Churn& churn) {
  double most = 0;
  for (const Subject* directory : scene.subjects(Kind::kDirectory)) {
    if (directory->label(0) != churn.group->label(0)) {
      continue;
    }
    const double deleted = mean_or_0(scene, *directory, Signal::kDirectoryDeleted, kChurnWindow);
    churn.deleted_bytes +=
        mean_or_0(scene, *directory, Signal::kDirectoryDeletedBytes, kChurnWindow);
    churn.unstored_bytes += mean_or_0(scene, *directory, Signal::kDirectoryUnstored, kChurnWindow);
    const std::string& name = directory->label(1);
    if (deleted > most && name != "other" && name != "unknown") {
      most = deleted;
      churn.directory = directory;
    }
  }
  return churn.deleted_bytes > 0;
}

// What it costs: a disk's time, or that of those who wait.
bool is_costly(const Scene& scene, Churn& churn) {
  const std::string& name = churn.group->label(0);
  const DiskOfGroup used = disk_of_group(scene, name, kChurnWindow);
  churn.disk = used.disk;
  churn.busy = used.busy;
  if (churn.disk == nullptr && !scene.has(Signal::kGroupDiskBusy)) {
    for (const Subject* disk : scene.subjects(Kind::kDisk)) {
      const double busy = disk_busy(scene, *disk, kChurnWindow);
      const double written = mean_or_0(scene, *disk, Signal::kDiskWrittenBytes, kChurnWindow);
      if (busy > churn.busy && is_whole_disk(scene, *disk) && churn.written >= written / 2) {
        churn.busy = busy;
        churn.disk = disk;
      }
    }
  }
  return churn.busy >= kCostlyBusy;
}

// By what programs on files tell.
bool is_churn(const Scene& scene, const Thresholds& limits, Churn& churn) {
  churn.created = mean_or_0(scene, *churn.group, Signal::kGroupCreated, kChurnWindow);
  churn.deleted = mean_or_0(scene, *churn.group, Signal::kGroupDeleted, kChurnWindow);
  const double files = std::min(churn.created, churn.deleted);
  if (files < limits.churn_files_per_second / 2 || !find_directories(scene, churn)) {
    return false;
  }
  // Files that are synchronised are meant to last, whatever becomes of them: a package manager writes, synchronises
  // and renames.
  constexpr double kSynced = 0.5;
  if (mean_or_0(scene, *churn.group, Signal::kGroupSyncs, kChurnWindow) >= kSynced * files) {
    return false;
  }
  const Subject* ages = scene.find(Kind::kLifetime, {churn.group->label(0)});
  if (ages != nullptr) {
    // Deleting what had long been there is no churn: an upgrade replaces files.
    if (mean_or_0(scene, *ages, Signal::kLifetimeFiles, kChurnWindow) < churn.deleted / 2) {
      return false;
    }
    churn.lifetime = ages->histogram ? ages->histogram->quantile(0.5) : kUnknown;
    if (churn.lifetime > kShortLived) {
      return false;
    }
  }
  churn.written =
      std::max(mean_or_0(scene, *churn.group, Signal::kGroupWritten, kChurnWindow),
               mean_or_0(scene, *churn.group, Signal::kGroupSyscallWritten, kChurnWindow));
  if (churn.written <= 0 || churn.deleted_bytes < limits.churn_share * churn.written ||
      !is_costly(scene, churn)) {
    return false;
  }
  churn.share = std::min(churn.deleted_bytes / churn.written, 1.0);
  return files >= limits.churn_files_per_second || churn.busy >= kVeryCostlyBusy;
}

// Where no program tells of files: a good part of what it dirties is gone again before it reaches a disk. That is what
// is seen of files that live for seconds; it may also be one file that is cut again and again.
bool is_cancelled(const Scene& scene, Churn& churn) {
  constexpr double kCancelled = 0.3;
  constexpr double kSeenOften = 0.3;  // of the seconds: it comes with each batch of files
  const double cancelled = mean_or_0(scene, *churn.group, Signal::kGroupCancelled, kChurnWindow);
  if (cancelled <= 0) {
    return false;
  }
  churn.written = mean_or_0(scene, *churn.group, Signal::kGroupWritten, kChurnWindow);
  const double seen =
      scene.share_at_least(*churn.group, Signal::kGroupWritten, churn.written / 4, kChurnWindow);
  if (churn.written <= 0 || cancelled < kCancelled * churn.written || !(seen >= kSeenOften) ||
      !is_costly(scene, churn)) {
    return false;
  }
  const double waiting = scene.mean(Signal::kPressureIo, kChurnWindow);
  if (churn.busy < 2 * kCostlyBusy || (is_known(waiting) && waiting < kSomeWait)) {
    return false;
  }
  churn.deleted_bytes = cancelled;
  churn.unstored_bytes = cancelled;
  churn.share = std::min(cancelled / churn.written, 1.0);
  return true;
}

// A path to show, and who used it.
const Subject* example_file(const Scene& scene, const Churn& churn) {
  const Subject* out = nullptr;
  double most = -1;
  for (const Subject* file : scene.subjects(Kind::kFile)) {
    if (file->attribute("group") != churn.group->label(0)) {
      continue;
    }
    const double written = mean_or_0(scene, *file, Signal::kFileWritten, 60);
    if (written > most) {
      most = written;
      out = file;
    }
  }
  return out;
}

Party party_of_churn(const Scene& scene, const Churn& churn, const Subject* example) {
  const std::string& name = churn.group->label(0);
  const ProcessOfGroup writer =
      process_of_group(scene, Signal::kProcessWritten, name, kChurnWindow);
  Party party = writer.process != nullptr && writer.value >= 0.4 * churn.written
                    ? party_of(scene, *writer.process)
                    : party_of_group(name);
  party.group = name;
  party.share = churn.share;
  if (churn.directory != nullptr) {
    party.directory = churn.directory->label(1);
  }
  if (example != nullptr) {
    party.file = example->label(0);
    const std::string_view pid = example->attribute("pid");
    const std::string_view thread = example->attribute("thread");
    if (!party.pid.empty() && pid == party.pid && example->attribute("tid") != pid &&
        thread != party.comm) {
      party.thread = std::string(thread) + " " + std::string(example->attribute("tid"));
    }
  }
  if (churn.disk != nullptr) {
    party.device = churn.disk->label(0);
  }
  return party;
}

std::int64_t churn_since(const Scene& scene, const Churn& churn, bool is_guess) {
  const double written = mean_or_0(scene, *churn.group, Signal::kGroupWritten, kChurnWindow);
  const auto writes =
      scene.at_least_since(*churn.group, Signal::kGroupWritten, written / 4, kChurnGap);
  const auto creates = is_guess ? std::nullopt
                                : scene.at_least_since(*churn.group, Signal::kGroupCreated,
                                                       churn.created / 4, kChurnGap);
  std::int64_t out = creates.value_or(writes.value_or(scene.boottime_ns()));
  // Programs on files may have come later than the churn: it has been writing at this pace before.
  if (writes && creates) {
    out = std::min(out, *writes);
  }
  return out;
}

void add_churn_evidence(const Scene& scene, const Thresholds& limits, const Churn& churn,
                        bool is_guess, Finding& finding) {
  if (!is_guess) {
    finding.evidence = {
        {"files created", churn.created, Unit::kPerSecond, limits.churn_files_per_second,
         "tidegauge_files_created_total"},
        {"files deleted", churn.deleted, Unit::kPerSecond, limits.churn_files_per_second,
         "tidegauge_files_deleted_total"},
        {"bytes in the files deleted", churn.deleted_bytes, Unit::kBytesPerSecond, std::nullopt,
         "tidegauge_deleted_file_bytes_total"},
        {"of these never stored on a disk", churn.unstored_bytes, Unit::kBytesPerSecond,
         std::nullopt, "tidegauge_deleted_file_unstored_bytes_total"},
    };
    if (is_known(churn.lifetime)) {
      finding.evidence.push_back({"how long a file lives (median)", churn.lifetime, Unit::kSeconds,
                                  kShortLived, "tidegauge_file_lifetime_seconds"});
    }
  } else {
    finding.evidence.push_back({"bytes dirtied and gone before they were written",
                                churn.deleted_bytes, Unit::kBytesPerSecond, std::nullopt,
                                "tidegauge_group_storage_cancelled_bytes_total"});
    finding.unchecked.emplace_back(
        "which files, and whether they are deleted or cut: no BPF programs on files");
  }
  finding.evidence.push_back({"bytes written", churn.written, Unit::kBytesPerSecond, std::nullopt,
                              "tidegauge_group_storage_written_bytes_total"});
  finding.evidence.push_back({"share of what it writes that is gone again", churn.share,
                              Unit::kRatio,
                              is_guess ? std::nullopt : std::optional(limits.churn_share),
                              "tidegauge_deleted_file_bytes_total"});
  if (churn.disk != nullptr) {
    const std::string& device = churn.disk->label(0);
    finding.evidence.push_back(
        {"time that " + device + " is busy for it", churn.busy, Unit::kRatio, kCostlyBusy,
         scene.has(Signal::kGroupDiskBusy) ? "tidegauge_block_attributed_busy_seconds_total"
                                           : "node_disk_io_time_seconds_total"});
    finding.evidence.push_back({"%util of " + device, disk_busy(scene, *churn.disk, kChurnWindow),
                                Unit::kRatio, limits.disk_busy_ratio,
                                "node_disk_io_time_seconds_total"});
  }
}

Finding file_churn(const Scene& scene, const Thresholds& limits, const Churn& churn,
                   bool is_guess) {
  Finding finding;
  finding.id = VerdictId::kTempFileChurn;
  finding.instance = churn.group->label(0);
  finding.onset_ns = churn_since(scene, churn, is_guess);
  finding.onset_resolution_seconds = scene.tick_seconds();
  const Subject* example = is_guess ? nullptr : example_file(scene, churn);
  Party party = party_of_churn(scene, churn, example);
  party.doing = is_guess ? "writes " + rate_text(churn.written) + ", of which " +
                               ratio_text(churn.share) + " is gone again before it reaches a disk"
                         : "creates " + number_text(churn.created) + " and deletes " +
                               number_text(churn.deleted) + " files a second";
  add_churn_evidence(scene, limits, churn, is_guess, finding);
  finding.sentence = party.text() + " " + party.doing;
  if (!is_guess) {
    if (!party.directory.empty()) {
      finding.sentence += " in " + party.directory;
    }
    finding.sentence += ", " + rate_text(churn.deleted_bytes) + " or " + ratio_text(churn.share) +
                        " of what it writes";
    if (is_known(churn.lifetime)) {
      finding.sentence +=
          "; half of them live less than " + format_figure(churn.lifetime, Unit::kSeconds);
    }
    if (!party.file.empty()) {
      finding.sentence += ", as " + party.file;
    }
  }
  if (churn.disk != nullptr) {
    finding.sentence +=
        "; " + party.device + " is busy " + ratio_text(churn.busy) + (is_guess ? "" : " for it");
  }
  finding.sentence +=
      ", for " +
      format_duration(static_cast<double>(scene.boottime_ns() - finding.onset_ns) / 1e9) + ".";
  const bool has_all = !party.pid.empty() && !party.directory.empty();
  finding.confidence = is_guess
                           ? 0.5
                           : 0.7 + (has_all ? 0.1 : 0) + (is_known(churn.lifetime) ? 0.05 : 0) +
                                 (churn.busy >= 2 * kCostlyBusy ? 0.05 : 0);
  if (!is_guess && !is_known(churn.lifetime)) {
    finding.unchecked.emplace_back("how long the files live");
  }
  if (is_known(churn.lifetime)) {
    finding.ruled_out.push_back(
        {"old files are cleaned up",
         "half of those deleted lived less than " + format_figure(churn.lifetime, Unit::kSeconds)});
  }
  finding.timeline = {{finding.onset_ns, finding.instance + " begins to write"}};
  finding.next_steps = {"pidstat -d 1",
                        "opensnoop -p " + (party.pid.empty() ? std::string("PID") : party.pid),
                        "strace -f -e trace=openat,unlink,unlinkat -p " +
                            (party.pid.empty() ? std::string("PID") : party.pid)};
  finding.causes.push_back(std::move(party));
  return finding;
}

}  // namespace

void detect_sync_bound_process(const DetectorInput& input, Findings& out) {
  const Scene& scene = input.scene;
  for (const Subject* group : scene.subjects(Kind::kGroup)) {
    if (!is_known(Scene::now(*group, Signal::kGroupSyncSeconds))) {
      continue;
    }
    Syncs syncs;
    syncs.group = group;
    if (is_bound(scene, input.limits, syncs)) {
      out.push_back(sync_bound(scene, input.limits, syncs));
    }
  }
}

void detect_temp_file_churn(const DetectorInput& input, Findings& out) {
  const Scene& scene = input.scene;
  const bool has_files = scene.has(Signal::kGroupCreated) || scene.has(Signal::kSyncCalls) ||
                         scene.has(Signal::kFileUser);
  for (const Subject* group : scene.subjects(Kind::kGroup)) {
    if (!is_known(Scene::now(*group, Signal::kGroupWritten)) || is_kernel_group(group->label(0))) {
      continue;
    }
    Churn churn;
    churn.group = group;
    if (has_files ? is_churn(scene, input.limits, churn) : is_cancelled(scene, churn)) {
      out.push_back(file_churn(scene, input.limits, churn, !has_files));
    }
  }
}

}  // namespace tidegauge::heuristics
