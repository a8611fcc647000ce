// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/time.h"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <optional>
#include <utility>

#include "collectors/core/text.h"

namespace tidegauge {

namespace {

// The kernel changes its clock source when a watchdog distrusts it, at most a few times in the life
// of a host.
constexpr std::int64_t kRefreshNs = 60'000'000'000;

constexpr std::string_view kNowFamily = "node_time_seconds";
constexpr std::string_view kNowHelp = "The wall clock, since 1970.";
constexpr std::string_view kZoneFamily = "node_time_zone_offset_seconds";
constexpr std::string_view kZoneHelp = "How far local time is ahead of UTC.";
constexpr std::string_view kAvailableFamily = "node_time_clocksource_available_info";
constexpr std::string_view kAvailableHelp = "Clock sources that the kernel could use; always 1.";
constexpr std::string_view kCurrentFamily = "node_time_clocksource_current_info";
constexpr std::string_view kCurrentHelp = "The clock source that the kernel uses; always 1.";

struct ClockSource {
  std::string available;  // names between blanks
  std::string current;
};

bool is_text(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

// A kernel without the directory has no clock sources to choose from: no error.
Result<std::vector<ClockSource>> read_clock_sources(const KernelFiles& files) {
  const std::string directory = files.sys("devices/system/clocksource");
  const auto names = list_directory(directory);
  std::vector<ClockSource> out;
  if (!names) {
    return names.error().kind == ErrorKind::kMissing && names.error().errno_value == ENOENT
               ? Result<std::vector<ClockSource>>(out)
               : tl::make_unexpected(names.error());
  }
  constexpr std::string_view kPrefix = "clocksource";
  for (const std::string& name : *names) {
    if (!name.starts_with(kPrefix) || name.size() == kPrefix.size() || name[kPrefix.size()] < '0' ||
        name[kPrefix.size()] > '9') {
      continue;
    }
    std::string base = directory;
    base.append("/").append(name).append("/");
    auto available = read_attribute(base + "available_clocksource");
    if (!available) {
      return tl::make_unexpected(available.error());
    }
    auto current = read_attribute(base + "current_clocksource");
    if (!current) {
      return tl::make_unexpected(current.error());
    }
    // The kernel lists at least the one it runs on.
    if (!is_text(*available) || available->empty()) {
      return malformed(base + "available_clocksource", 1, "names");
    }
    if (!is_text(*current) || current->empty() || current->find(' ') != std::string::npos) {
      return malformed(base + "current_clocksource", 1, "one name");
    }
    out.push_back({std::move(*available), std::move(*current)});
  }
  return out;
}

class TimeCollector final : public Collector {
 public:
  explicit TimeCollector(KernelFiles files) : files_(std::move(files)) {}

  Result<void> collect(CollectContext& context, Section& out) override {
    if (auto fresh = refresh(context.boottime_ns); !fresh) {
      return fresh;
    }
    now_.begin();
    now_.add({}, static_cast<std::uint64_t>(context.realtime_ns));
    out.tables.push_back(now_.take());
    if (auto zone = add_zone(context.realtime_ns, out); !zone) {
      return zone;
    }
    add_clock_sources(out);
    return {};
  }

 private:
  Result<void> refresh(std::int64_t boottime_ns) {
    if (read_at_ns_ && boottime_ns - *read_at_ns_ < kRefreshNs) {
      return {};
    }
    read_at_ns_.reset();
    auto sources = read_clock_sources(files_);
    if (!sources) {
      return tl::make_unexpected(sources.error());
    }
    sources_ = std::move(*sources);
    read_at_ns_ = boottime_ns;
    return {};
  }

  // tzset() looks whether /etc/localtime was replaced, which localtime_r() alone does not.
  Result<void> add_zone(std::int64_t realtime_ns, Section& out) {
    ::tzset();
    const auto seconds = static_cast<time_t>(realtime_ns / 1'000'000'000);
    tm local{};
    if (::localtime_r(&seconds, &local) == nullptr) {
      return system_error(errno, "localtime");
    }
    zone_.begin();
    zone_.add({local.tm_zone}, static_cast<std::uint64_t>(local.tm_gmtoff));
    out.tables.push_back(zone_.take());
    return {};
  }

  void add_clock_sources(Section& out) {
    available_.begin();
    current_.begin();
    for (std::size_t i = 0; i < sources_.size(); ++i) {
      const std::string device = std::to_string(i);
      std::string_view rest = sources_[i].available;
      for (std::string_view name = next_field(rest); !name.empty(); name = next_field(rest)) {
        available_.add({device, name}, 1);
      }
      current_.add({device, sources_[i].current}, 1);
    }
    out.tables.push_back(available_.take());
    out.tables.push_back(current_.take());
  }

  KernelFiles files_;
  std::vector<ClockSource> sources_;
  std::optional<std::int64_t> read_at_ns_;
  ValueTable now_{
      std::string(kNowFamily), std::string(kNowHelp), MetricKind::kGauge, {}, kNanoseconds,
      NumberType::kSigned};
  ValueTable zone_{
      std::string(kZoneFamily), std::string(kZoneHelp), MetricKind::kGauge, {"time_zone"}, kUnit,
      NumberType::kSigned};
  ValueTable available_{std::string(kAvailableFamily),
                        std::string(kAvailableHelp),
                        MetricKind::kGauge,
                        {"device", "clocksource"}};
  ValueTable current_{std::string(kCurrentFamily),
                      std::string(kCurrentHelp),
                      MetricKind::kGauge,
                      {"device", "clocksource"}};
};

}  // namespace

const CollectorInfo kTimeCollector{
    .name = "time",
    .help = "Wall clock, time zone and clock sources.",
    .interval_ms = 15'000,
    .make = [](const KernelFiles& files, const Options&) -> Result<std::unique_ptr<Collector>> {
      return std::make_unique<TimeCollector>(files);
    },
    .metrics =
        [] {
          const std::vector<std::string> source = {"device", "clocksource"};
          return std::vector<MetricDoc>{
              {std::string(kNowFamily), MetricKind::kGauge, {}, std::string(kNowHelp)},
              {std::string(kZoneFamily), MetricKind::kGauge, {"time_zone"}, std::string(kZoneHelp)},
              {std::string(kAvailableFamily), MetricKind::kGauge, source,
               std::string(kAvailableHelp)},
              {std::string(kCurrentFamily), MetricKind::kGauge, source, std::string(kCurrentHelp)}};
        },
};

}  // namespace tidegauge
