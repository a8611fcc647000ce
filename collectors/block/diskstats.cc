// SPDX-License-Identifier: Apache-2.0
#include "collectors/block/diskstats.h"

#include <limits>
#include <string>

#include "collectors/block/disk_info.h"
#include "collectors/block/disk_times.h"
#include "collectors/core/text.h"
#include "collectors/procfs/default_filter.h"

namespace tidegauge {

namespace {

constexpr Column<DiskStats> kColumns[] = {
    {"node_disk_reads_completed_total", "Read requests that completed.", MetricKind::kCounter,
     kUnit, &DiskStats::reads_completed},
    {"node_disk_reads_merged_total", "Read requests merged into a neighbour while queued.",
     MetricKind::kCounter, kUnit, &DiskStats::reads_merged},
    {"node_disk_read_bytes_total", "Bytes read from the device.", MetricKind::kCounter, kSectors,
     &DiskStats::read_sectors},
    {"node_disk_read_time_seconds_total", "Time read requests took, summed over requests.",
     MetricKind::kCounter, kMillisecondsByReciprocal, &DiskStats::read_time_ms},
    {"node_disk_writes_completed_total", "Write requests that completed.", MetricKind::kCounter,
     kUnit, &DiskStats::writes_completed},
    {"node_disk_writes_merged_total", "Write requests merged into a neighbour while queued.",
     MetricKind::kCounter, kUnit, &DiskStats::writes_merged},
    {"node_disk_written_bytes_total", "Bytes written to the device.", MetricKind::kCounter,
     kSectors, &DiskStats::written_sectors},
    {"node_disk_write_time_seconds_total", "Time write requests took, summed over requests.",
     MetricKind::kCounter, kMillisecondsByReciprocal, &DiskStats::write_time_ms},
    {"node_disk_io_now", "Requests in flight at the moment.", MetricKind::kGauge, kUnit,
     &DiskStats::in_progress},
    {"node_disk_io_time_seconds_total", "Time during which at least one request was in flight.",
     MetricKind::kCounter, kMillisecondsByReciprocal, &DiskStats::io_time_ms},
    {"node_disk_io_time_weighted_seconds_total",
     "Time of requests weighted by their number; since Linux 5.7 only completed ones count.",
     MetricKind::kCounter, kMillisecondsByReciprocal, &DiskStats::weighted_io_time_ms},
    {"node_disk_discards_completed_total", "Discard requests that completed.", MetricKind::kCounter,
     kUnit, &DiskStats::discards_completed},
    {"node_disk_discards_merged_total", "Discard requests merged into a neighbour while queued.",
     MetricKind::kCounter, kUnit, &DiskStats::discards_merged},
    {"node_disk_discarded_sectors_total", "Sectors of 512 bytes discarded.", MetricKind::kCounter,
     kUnit, &DiskStats::discarded_sectors},
    {"node_disk_discard_time_seconds_total", "Time discard requests took, summed over requests.",
     MetricKind::kCounter, kMillisecondsByReciprocal, &DiskStats::discard_time_ms},
    {"node_disk_flush_requests_total", "Cache flush requests that completed.", MetricKind::kCounter,
     kUnit, &DiskStats::flushes_completed},
    {"node_disk_flush_requests_time_seconds_total",
     "Time cache flush requests took, summed over requests.", MetricKind::kCounter,
     kMillisecondsByReciprocal, &DiskStats::flush_time_ms},
};

constexpr std::string_view kDefaultExclude =
    R"(^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$)";

constexpr OptionSpec kOptions[] = {
    {"device_include", "device-include", OptionType::kRegex, "",
     "Disks to show; without it all that are not excluded."},
    {"device_exclude", "device-exclude", OptionType::kRegex, kDefaultExclude,
     "Disks to leave out: by default partitions, loop devices, RAM disks and floppies."},
};

// Identities rarely change; udev writes its database a moment after a device has appeared.
constexpr std::int64_t kInfoPeriodNs = 60'000'000'000;
constexpr std::int64_t kInfoSettleNs = 5'000'000'000;

struct Device {
  std::string name;
  std::uint32_t major = 0;
  std::uint32_t minor = 0;
  bool ignored = false;
  DiskTimes times;

  [[nodiscard]] bool is(const DiskStats& stats) const {
    return major == stats.major && minor == stats.minor && name == stats.name;
  }
};

class DiskstatsCollector final : public Collector {
 public:
  DiskstatsCollector(const KernelFiles& files, NameFilter filter)
      : file_(files.proc_file("diskstats")),
        block_class_(files.sys("class/block")),
        block_(files.sys("block")),
        filter_(std::move(filter)),
        info_(files) {}

  Result<void> collect(CollectContext& context, Section& out) override {
    const auto text = file_.read_lines(*context.buffer);
    if (!text) {
      return tl::make_unexpected(text.error());
    }
    if (auto parsed = parse_diskstats(*text, stats_); !parsed) {
      return parsed;
    }
    if (stats_.empty() && !has_no_disks()) {
      return malformed(file_.path(), 1, "a line for each of the block devices that sysfs lists");
    }
    bool changed = match();
    table_.begin();
    for (std::size_t i = 0; i < stats_.size(); ++i) {
      changed |= devices_[i].times.unwrap(stats_[i]);
      if (!devices_[i].ignored) {
        table_.add({devices_[i].name}, stats_[i]);
      }
    }
    out.tables.push_back(table_.take());
    refresh_info(context, changed);
    info_.append(out);
    return {};
  }

 private:
  // A machine without any disk has an empty file, and so has a broken one.
  bool has_no_disks() const {
    const auto names = list_directory(block_class_);
    return names && names->empty();
  }

  // Makes devices_ parallel to stats_, keeping the state of those that are still there.
  bool match() {
    bool same = devices_.size() == stats_.size();
    for (std::size_t i = 0; same && i < stats_.size(); ++i) {
      same = devices_[i].is(stats_[i]);
    }
    if (same) {
      return false;
    }
    std::vector<Device> next;
    next.reserve(stats_.size());
    std::size_t expected = 0;  // the order stays, so a search nearly always ends at once
    for (const DiskStats& stats : stats_) {
      next.push_back(take_device(stats, expected));
    }
    devices_ = std::move(next);
    return true;
  }

  Device take_device(const DiskStats& stats, std::size_t& expected) {
    for (std::size_t step = 0; step < devices_.size(); ++step) {
      const std::size_t at = (expected + step) % devices_.size();
      if (devices_[at].is(stats)) {
        expected = at + 1;
        return std::exchange(devices_[at], Device{});
      }
    }
    return Device{std::string(stats.name), stats.major, stats.minor, filter_.ignores(stats.name),
                  DiskTimes{}};
  }

  // The text that stats_ points into is gone afterwards: the buffer is used again.
  void refresh_info(CollectContext& context, bool changed) {
    if (!changed && !context.is_capture && context.boottime_ns < info_due_ns_) {
      return;
    }
    info_due_ns_ = context.boottime_ns + (changed ? kInfoSettleNs : kInfoPeriodNs);
    // A capture without sysfs says nothing of them, not even that they do not rotate.
    const bool are_known = !context.is_capture || list_directory(block_).has_value();
    std::vector<DiskName> names;
    names.reserve(devices_.size());
    for (const Device& device : devices_) {
      if (are_known && !device.ignored) {
        names.push_back({device.name, device.major, device.minor});
      }
    }
    info_.refresh(names, *context.buffer);
  }

  KernelFile file_;
  std::string block_class_;
  std::string block_;
  NameFilter filter_;
  std::vector<DiskStats> stats_;
  std::vector<Device> devices_;  // parallel to stats_ after match()
  StructTable<DiskStats> table_{kColumns, {"device"}};
  DiskInfo info_;
  std::int64_t info_due_ns_ = 0;
};

bool read_number(std::string_view& line, std::uint32_t& out) {
  const auto value = next_unsigned(line);
  if (!value || *value > std::numeric_limits<std::uint32_t>::max()) {
    return false;
  }
  out = static_cast<std::uint32_t>(*value);
  return true;
}

constexpr std::uint64_t DiskStats::*kFields[] = {
    &DiskStats::reads_completed, &DiskStats::reads_merged,        &DiskStats::read_sectors,
    &DiskStats::read_time_ms,    &DiskStats::writes_completed,    &DiskStats::writes_merged,
    &DiskStats::written_sectors, &DiskStats::write_time_ms,       &DiskStats::in_progress,
    &DiskStats::io_time_ms,      &DiskStats::weighted_io_time_ms,
};

constexpr std::optional<std::uint64_t> DiskStats::*kLaterFields[] = {
    &DiskStats::discards_completed, &DiskStats::discards_merged,   &DiskStats::discarded_sectors,
    &DiskStats::discard_time_ms,    &DiskStats::flushes_completed, &DiskStats::flush_time_ms,
};

// Partitions had four counters before 2.6.25; such lines are passed over.
bool is_old_partition(std::string_view line) {
  std::size_t fields = 0;
  while (!next_field(line).empty()) {
    ++fields;
  }
  return fields == 7;
}

Result<void> parse_line(std::string_view line, std::size_t number, DiskStats& out) {
  if (!read_number(line, out.major) || !read_number(line, out.minor)) {
    return malformed("diskstats", number, "device numbers");
  }
  out.name = next_field(line);
  if (out.name.empty()) {
    return malformed("diskstats", number, "a device name");
  }
  for (const auto field : kFields) {
    const auto value = next_unsigned(line);
    if (!value) {
      return malformed("diskstats", number, "eleven counters");
    }
    out.*field = *value;
  }
  for (const auto field : kLaterFields) {
    const std::string_view word = next_field(line);
    if (word.empty()) {
      break;
    }
    out.*field = parse_unsigned(word);
    if (!(out.*field)) {
      return malformed("diskstats", number, "discard and flush counters");
    }
  }
  return {};
}

}  // namespace

// 3.10:    8       0 sda 25354637 34367663 1003346126 18492372 28444756 11134226 505697032 63877960
//    0 9653880 82621804
// 4.18 adds four fields for discards, 5.5 two for flushes:  ... 0 0 0 0 1602 77
Result<void> parse_diskstats(std::string_view text, std::vector<DiskStats>& out) {
  out.clear();
  LineReader lines(text);
  for (std::string_view line; lines.next(line);) {
    auto parsed = parse_line(line, lines.number(), out.emplace_back());
    if (parsed) {
      continue;
    }
    if (!trim(line).empty() && !is_old_partition(line)) {
      return parsed;
    }
    out.pop_back();
  }
  return {};
}

const CollectorInfo kDiskstatsCollector{
    .name = "diskstats",
    .help = "Disk requests, bytes and times (/proc/diskstats), identities (udev, sysfs).",
    .interval_ms = 1000,
    .options = kOptions,
    .make = [](const KernelFiles& files,
               const Options& options) -> Result<std::unique_ptr<Collector>> {
      auto filter = filter_with_default(options.text("device_include"),
                                        options.text("device_exclude"), kDefaultExclude, "device_");
      if (!filter) {
        return tl::make_unexpected(filter.error());
      }
      return std::make_unique<DiskstatsCollector>(files, std::move(*filter));
    },
    .metrics =
        [] {
          std::vector<MetricDoc> docs;
          document<DiskStats>(docs, kColumns, {"device"});
          for (MetricDoc& doc : DiskInfo::documentation()) {
            docs.push_back(std::move(doc));
          }
          return docs;
        },
};

}  // namespace tidegauge
