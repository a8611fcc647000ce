// SPDX-License-Identifier: Apache-2.0
#include "daemon/replay/import.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "collectors/core/text.h"
#include "daemon/exporter/own_metrics.h"
#include "daemon/recorder/chunk.h"
#include "daemon/recorder/ring.h"
#include "daemon/replay/capture_root.h"
#include "daemon/replay/new_file.h"
#include "daemon/service/collector_set.h"

namespace tidegauge {

namespace {

constexpr std::int64_t kFirstBoottimeNs = 3'600'000'000'000;
// Collectors that share /proc/stat read it once within this time (collectors/procfs/proc_stat.cc).
constexpr std::int64_t kStatApartNs = 50'000'000;

// Collectors that read nothing but what a capture can hold, and what must be there of it: one of these.
struct Importable {
  std::string_view collector;
  std::string_view needs;  // separated by blanks
};
constexpr Importable kImportable[] = {
    {"cpu", "proc/stat"},
    {"stat", "proc/stat"},
    {"loadavg", "proc/loadavg"},
    {"meminfo", "proc/meminfo"},
    {"vmstat", "proc/vmstat"},
    {"zoneinfo", "proc/zoneinfo"},
    {"buddyinfo", "proc/buddyinfo"},
    {"pressure", "proc/pressure/cpu proc/pressure/io proc/pressure/memory proc/pressure/irq"},
    {"diskstats", "proc/diskstats"},
    {"netdev", "proc/net/dev"},
    {"meminfo_numa", "sys/devices/system/node"},
    {"slabinfo", "proc/slabinfo"},
    {"ksmd", "sys/kernel/mm/ksm"},
    {"softirqs", "proc/softirqs"},
    {"interrupts", "proc/interrupts"},
    {"schedstat", "proc/schedstat"},
    {"filefd", "proc/sys/fs/file-nr"},
    {"sysctl", "proc/sys"},
    {"cgroups", "proc/cgroups"},
    {"kernel_hung", "proc/sys/kernel/hung_task_detect_count"},
};

const Importable* find_importable(std::string_view collector) {
  const auto* at = std::ranges::find(kImportable, collector, &Importable::collector);
  return at == std::end(kImportable) ? nullptr : at;
}

// Those that are off by default are on: what was captured was captured for a purpose.
void select_collectors(Config& config) {
  for (CollectorConfig& collector : config.collectors) {
    const bool is_switched_off = !collector.enabled && collector.info->enabled;
    collector.enabled = find_importable(collector.info->name) != nullptr && !is_switched_off;
    if (collector.info->name == "netdev") {
      collector.options.set("netlink", false);  // would ask this host's kernel
    }
  }
}

recording::Checkpoint checkpoint() {
  const BuildInfo& build = build_info();
  return {
      {"build.version", build.version}, {"build.revision", build.revision}, {"origin", "import"}};
}

tl::unexpected<ConfigError> fail(const Error& error) {
  return tl::make_unexpected(ConfigError{error.message()});
}

class Importer {
 public:
  Importer(std::vector<ScheduledCollector> collectors, CaptureRoot& root, const ImportTell& tell)
      : collectors_(std::move(collectors)),
        root_(root),
        tell_(tell),
        sections_(collectors_.size()) {}

  SnapshotPtr run(const CapturedMoment& moment) {
    if (sequence_ == 0) {
      first_realtime_ns_ = moment.realtime_ns;
    }
    auto out = std::make_shared<Snapshot>();
    out->sequence = out->ticks = ++sequence_;
    out->realtime_ns = moment.realtime_ns;
    out->boottime_ns = moment.realtime_ns - first_realtime_ns_ + kFirstBoottimeNs;
    out->entries.reserve(collectors_.size());
    for (std::size_t i = 0; i < collectors_.size(); ++i) {
      auto section = run(collectors_[i], *out);
      sections_[i] += section != nullptr ? 1U : 0U;
      out->entries.push_back(
          {collectors_[i].info->name, std::move(section), collectors_[i].status});
    }
    if (root_.has("proc/stat") && !is_too_soon_for_stat(*out)) {
      last_stat_boottime_ns_ = out->boottime_ns;
    }
    return out;
  }

  void report(ImportReport& out) const {
    for (std::size_t i = 0; i < collectors_.size(); ++i) {
      if (sections_[i] != 0) {
        out.sections.emplace_back(collectors_[i].info->name, sections_[i]);
      }
    }
  }

 private:
  std::shared_ptr<const Section> run(ScheduledCollector& scheduled, const Snapshot& moment) {
    CollectorStatus& status = scheduled.status;
    auto section = std::make_shared<Section>();
    section->read_start_boottime_ns = section->read_end_boottime_ns = moment.boottime_ns;
    const auto done = collect(scheduled, moment, *section);
    status.ran = true;
    status.success = done.has_value();
    status.interval_ns = status.effective_interval_ns = scheduled.interval_ns;
    status.last_run_boottime_ns = moment.boottime_ns;
    ++status.runs;
    if (done) {
      status.last_success_realtime_ns = moment.realtime_ns;
      return section;
    }
    status.error = done.error().kind;
    ++status.failures;
    if (status.error != ErrorKind::kMissing) {
      tell_.complain(root_.explain(done.error()) + " (collector " +
                     std::string(scheduled.info->name) + ")");
    }
    return nullptr;
  }

  [[nodiscard]] bool is_too_soon_for_stat(const Snapshot& moment) const {
    return last_stat_boottime_ns_ != 0 &&
           moment.boottime_ns - last_stat_boottime_ns_ < kStatApartNs;
  }

  Result<void> collect(ScheduledCollector& scheduled, const Snapshot& moment, Section& out) {
    const Importable& importable = *find_importable(scheduled.info->name);
    bool is_there = false;
    std::string_view needs = importable.needs;
    for (auto need = next_field(needs); !need.empty(); need = next_field(needs)) {
      is_there = is_there || root_.has(need);
    }
    if (!is_there) {
      return tl::make_unexpected(Error{ErrorKind::kMissing, 0, std::string(importable.needs)});
    }
    if (importable.needs == "proc/stat" && is_too_soon_for_stat(moment)) {
      return malformed("stat", 0, "50 ms at least between two moments");
    }
    CollectContext context{
        .realtime_ns = moment.realtime_ns, .boottime_ns = moment.boottime_ns, .buffer = &buffer_};
    context.is_capture = true;
    try {
      return scheduled.collector->collect(context, out);
    } catch (const std::exception& error) {  // bad_alloc, a library: costs this moment
      return tl::make_unexpected(
          Error{ErrorKind::kIo, 0, std::string("exception: ") + error.what()});
    }
  }

  std::vector<ScheduledCollector> collectors_;
  CaptureRoot& root_;
  const ImportTell& tell_;
  std::vector<std::uint64_t> sections_;  // parallel to collectors_
  ReadBuffer buffer_;
  std::uint64_t sequence_ = 0;
  std::int64_t first_realtime_ns_ = 0;
  std::int64_t last_stat_boottime_ns_ = 0;  // that was not refused
};

}  // namespace

ConfigResult<ImportReport> import_capture(const ImportOptions& options, Config config,
                                          const ImportTell& tell,
                                          const std::function<bool()>& is_interrupted) {
  ImportReport report;
  const ImportTell counting{[&](const std::string& line) {
                              report.is_clean = false;
                              tell.complain(line);
                            },
                            tell.note};
  if (auto done = check_new_file(options.out, options.force); !done) {
    return fail(done.error());
  }
  const auto capture = Capture::open(options.directory, options.utc_offset_ns, counting);
  if (!capture) {
    return fail(capture.error());
  }
  const auto root = CaptureRoot::make();
  if (!root) {
    return fail(root.error());
  }
  config.roots = (*root)->roots(config.roots);
  select_collectors(config);
  auto collectors = make_collectors(config);
  if (!collectors) {
    return tl::make_unexpected(collectors.error());
  }
  auto file = NewFile::create(options.out, options.force);
  if (!file) {
    return fail(file.error());
  }
  auto done = file->write(recording::file_header());

  recording::RingOptions ring_options;
  ring_options.window_ns = 0;  // chunks are written when they are sealed
  ring_options.chunk_ns = 3'600'000'000'000;
  ring_options.max_bytes = std::size_t{64} << 20U;
  recording::Ring ring(ring_options, checkpoint);
  Importer importer(std::move(*collectors), **root, counting);
  const auto write_chunk = [&](const recording::ChunkPtr& chunk) {
    if (done && chunk) {
      done = file->write(chunk->bytes);
    }
  };
  for (const CapturedMoment& moment : capture->moments()) {
    if (is_interrupted && is_interrupted()) {
      return tl::make_unexpected(ConfigError{"interrupted"});
    }
    (*root)->show(*capture, moment, counting);
    write_chunk(ring.add(importer.run(moment)));
  }
  write_chunk(ring.seal());
  if (done) {
    done = file->write(recording::ChunkCompressor(1).finish({.kind = recording::ChunkKind::kEnd}));
  }
  if (done) {
    done = file->commit();
  }
  if (!done) {
    return fail(done.error());
  }
  report.moments = capture->moments().size();
  report.first_realtime_ns = capture->moments().front().realtime_ns;
  report.last_realtime_ns = capture->moments().back().realtime_ns;
  importer.report(report);
  return report;
}

}  // namespace tidegauge
