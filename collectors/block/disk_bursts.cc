// SPDX-License-Identifier: Apache-2.0
#include "collectors/block/disk_bursts.h"

#include <utility>

namespace tidegauge {

namespace {

// Not one of a disk: for which there was no room.
constexpr std::string_view kOtherDisks = "other";

constexpr std::string_view kWindowHelp =
    "Windows of 100 ms by the share of them the device was busy (had at least one request). From "
    "BPF programs; without them from /proc/diskstats every 50 ms while disks are in use, whose "
    "io_ticks are sampled on many kernels.";
constexpr std::string_view kLostHelp =
    "Windows of 50 ms of which too little is known: nobody looked in time, or a disk too many "
    "(device \"other\").";
constexpr std::string_view kBurstsHelp =
    "Times a device was busy for 90 % of 100 ms and for less than half of the second around.";
constexpr std::string_view kPeakBusyHelp =
    "Share of the busiest 100 ms of the last minute that the device was busy.";
constexpr std::string_view kPeakRequestsHelp =
    "Requests that ended in any 100 ms of the last minute, at most, times ten.";
constexpr std::string_view kPeakTimeHelp =
    "When the busiest 100 ms of the last minute began; of several of at least 90 % the last.";
constexpr std::string_view kSecondBusyHelp =
    "As tidegauge_block_peak_busy_ratio, since the collector ran before.";
constexpr std::string_view kSecondRequestsHelp =
    "As tidegauge_block_peak_requests_per_second, since the collector ran before.";
constexpr std::string_view kUserHelp =
    "Who the device was busiest for in the window of tidegauge_block_peak_timestamp_seconds, and "
    "at least which share of its busy time; each moment is divided among the requests the device "
    "has. A request of several pieces counts for whose the first is, and for the last 50 to 100 ms "
    "of its time; reasons as in tidegauge_block_attributed_busy_seconds_total. Without BPF nobody "
    "knows.";

// Behind the histogram.
enum WindowColumn : std::size_t {
  kLost,
  kBursts,
  kPeakBusy,
  kPeakRequests,
  kPeakTime,
  kSecondBusy,
  kSecondRequests,
};

constexpr std::size_t kHistogramColumns = DiskWindows::kBuckets.size() + 3;
// Busy times of pairs.
constexpr Scale kPairs{1, DiskWindows::kPairNs};
constexpr std::uint64_t kPairsPerSecond = 1'000'000'000 / DiskWindows::kPairNs;

std::vector<ColumnInfo> window_columns() {
  std::vector<ColumnInfo> out;
  ColumnInfo info;
  info.family = "tidegauge_block_window_busy_ratio";
  info.help = kWindowHelp;
  info.kind = MetricKind::kHistogram;
  info.suffix = "_bucket";
  for (const char* bound : {"0.1", "0.25", "0.5", "0.75", "0.9", "1", "+Inf"}) {
    info.labels = {{"le", bound}};
    out.push_back(info);
  }
  info.labels.clear();
  info.suffix = "_sum";
  info.scale = kPairs;
  out.push_back(info);
  info.suffix = "_count";
  info.scale = kUnit;
  out.push_back(info);
  const auto add = [&](std::string_view family, std::string_view help, MetricKind kind,
                       Scale scale = {}) {
    ColumnInfo column;
    column.family = family;
    column.help = help;
    column.kind = kind;
    column.scale = scale;
    out.push_back(std::move(column));
  };
  add("tidegauge_block_windows_lost_total", kLostHelp, MetricKind::kCounter);
  add("tidegauge_block_bursts_total", kBurstsHelp, MetricKind::kCounter);
  add("tidegauge_block_peak_busy_ratio", kPeakBusyHelp, MetricKind::kGauge, kPairs);
  add("tidegauge_block_peak_requests_per_second", kPeakRequestsHelp, MetricKind::kGauge);
  add("tidegauge_block_peak_timestamp_seconds", kPeakTimeHelp, MetricKind::kGauge, kMilliseconds);
  add("tidegauge_block_second_peak_busy_ratio", kSecondBusyHelp, MetricKind::kGauge, kPairs);
  add("tidegauge_block_second_peak_requests_per_second", kSecondRequestsHelp, MetricKind::kGauge);
  return out;
}

std::vector<ColumnInfo> user_columns() {
  ColumnInfo info;
  info.family = "tidegauge_block_peak_user_ratio";
  info.help = kUserHelp;
  info.scale = kThousandths;
  return {std::move(info)};
}

const std::vector<std::string> kWindowLabels{"device"};
const std::vector<std::string> kUserLabels{"device", "group", "pid", "comm", "reason"};

void set_histogram(RowTable& table, const DiskWindows& windows) {
  const auto& buckets = windows.buckets();
  std::size_t column = 0;
  for (const std::uint64_t count : buckets) {
    table.set(column++, count);
  }
  table.set(column++, buckets.back());
  table.set(column++, windows.busy_ns());
  table.set(column++, buckets.back());
}

}  // namespace

DiskBursts::DiskBursts()
    : windows_(kWindowLabels, window_columns()), users_(kUserLabels, user_columns()) {}

DiskWindows* DiskBursts::find_or_add(std::uint32_t number, std::string_view name) {
  auto at = disks_.find(number);
  if (at != disks_.end() && at->second.name != name) {
    disks_.erase(at);
    at = disks_.end();
  }
  if (at == disks_.end()) {
    if (disks_.size() >= kMaxDisks) {
      return nullptr;
    }
    at = disks_.emplace(number, Disk{std::string(name), {}}).first;
  }
  return &at->second.windows;
}

void DiskBursts::begin_anew() {
  for (auto& [number, disk] : disks_) {
    disk.windows.stop();
  }
}

void DiskBursts::fill_disk(Disk& disk, std::int64_t realtime_ns, const NameOf& name_of) {
  DiskWindows& windows = disk.windows;
  windows.settle(realtime_ns, name_of);
  windows_.row({disk.name});
  set_histogram(windows_, windows);
  const auto set = [this](WindowColumn column, std::uint64_t value) {
    windows_.set(kHistogramColumns + column, value);
  };
  set(kLost, windows.lost());
  set(kBursts, windows.bursts());
  const DiskWindows::Peak peak = windows.peak();
  set(kPeakBusy, peak.most_busy_ns);
  set(kPeakRequests, peak.most_requests * kPairsPerSecond);
  if (peak.number != 0) {
    set(kPeakTime, static_cast<std::uint64_t>(peak.realtime_ms));
  }
  const DiskWindows::PassPeak pass = windows.take_pass_peak();
  set(kSecondBusy, pass.busy_ns);
  set(kSecondRequests, pass.requests * kPairsPerSecond);
  if (peak.number != 0 && peak.user.thousandths != 0) {
    users_.row({disk.name, peak.name.group, peak.name.pid, peak.name.comm, peak.name.reason});
    users_.set(0, peak.user.thousandths);
  }
}

void DiskBursts::fill(std::int64_t realtime_ns, const NameOf& name_of, Section& out) {
  windows_.begin();
  users_.begin();
  bool any = lost_ != 0;
  for (auto& [number, disk] : disks_) {
    if (disk.windows.started()) {
      fill_disk(disk, realtime_ns, name_of);
      any = true;
    }
  }
  if (!any) {
    return;
  }
  if (lost_ != 0) {
    windows_.row({kOtherDisks});
    windows_.set(kHistogramColumns + kLost, lost_);
  }
  out.tables.push_back(windows_.take());
  out.tables.push_back(users_.take());
}

std::vector<MetricDoc> DiskBursts::documentation() {
  std::vector<MetricDoc> docs;
  const auto add = [&](const std::vector<ColumnInfo>& columns,
                       const std::vector<std::string>& labels) {
    for (const ColumnInfo& info : columns) {
      if (docs.empty() || docs.back().name != info.family) {
        docs.push_back({info.family, info.kind, labels, info.help});
        for (const Label& label : info.labels) {
          docs.back().labels.push_back(label.name);
        }
      }
    }
  };
  add(window_columns(), kWindowLabels);
  add(user_columns(), kUserLabels);
  return docs;
}

}  // namespace tidegauge
