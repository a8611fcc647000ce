// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/pressure.h"

#include <array>
#include <string>

#include "collectors/core/text.h"

namespace tidegauge {

namespace {

// Milliseconds as doubles, not microseconds: node_exporter divides by 1000 twice, and both programs
// must show the same double to the last bit.
struct Pressure {
  std::optional<double> cpu_waiting_ms;
  std::optional<double> io_waiting_ms;
  std::optional<double> io_stalled_ms;
  std::optional<double> memory_waiting_ms;
  std::optional<double> memory_stalled_ms;
  std::optional<double> irq_stalled_ms;
};

constexpr Column<Pressure> kColumns[] = {
    {"node_pressure_cpu_waiting_seconds_total", "Time in which some task waited for a CPU.",
     MetricKind::kCounter, kMilliseconds, &Pressure::cpu_waiting_ms},
    {"node_pressure_io_waiting_seconds_total", "Time in which some task waited for I/O.",
     MetricKind::kCounter, kMilliseconds, &Pressure::io_waiting_ms},
    {"node_pressure_io_stalled_seconds_total", "Time in which all busy tasks waited for I/O.",
     MetricKind::kCounter, kMilliseconds, &Pressure::io_stalled_ms},
    {"node_pressure_memory_waiting_seconds_total", "Time in which some task waited for memory.",
     MetricKind::kCounter, kMilliseconds, &Pressure::memory_waiting_ms},
    {"node_pressure_memory_stalled_seconds_total",
     "Time in which all busy tasks waited for memory.", MetricKind::kCounter, kMilliseconds,
     &Pressure::memory_stalled_ms},
    {"node_pressure_irq_stalled_seconds_total", "Time in which interrupts kept tasks from running.",
     MetricKind::kCounter, kMilliseconds, &Pressure::irq_stalled_ms},
};

struct Resource {
  std::string_view file;
  std::optional<double> Pressure::*waiting;  // from "some"; null when not shown
  std::optional<double> Pressure::*stalled;  // from "full"
};

constexpr std::array<Resource, 4> kResources{{
    {"pressure/cpu", &Pressure::cpu_waiting_ms, nullptr},
    {"pressure/io", &Pressure::io_waiting_ms, &Pressure::io_stalled_ms},
    {"pressure/memory", &Pressure::memory_waiting_ms, &Pressure::memory_stalled_ms},
    {"pressure/irq", nullptr, &Pressure::irq_stalled_ms},
}};

class PressureCollector final : public Collector {
 public:
  explicit PressureCollector(const KernelFiles& files)
      : files_{files.proc_file(kResources[0].file), files.proc_file(kResources[1].file),
               files.proc_file(kResources[2].file), files.proc_file(kResources[3].file)} {}

  Result<void> collect(CollectContext& context, Section& out) override {
    pressure_ = {};
    std::optional<Error> absent;  // why the first absent file is
    bool found = false;
    for (std::size_t i = 0; i < kResources.size(); ++i) {
      auto text = files_[i].read(*context.buffer);
      // irq can be unsupported alone, when the clock source rules out interrupt accounting (6.13).
      if (!text && (text.error().kind == ErrorKind::kMissing ||
                    text.error().kind == ErrorKind::kUnsupported)) {
        if (!absent) {
          absent = std::move(text.error());
        }
        continue;
      }
      if (!text) {
        return tl::make_unexpected(text.error());
      }
      if (auto done = read_resource(kResources[i], *text, pressure_); !done) {
        return done;
      }
      found = true;
    }
    if (!found) {
      return tl::make_unexpected(std::move(*absent));
    }
    table_.begin();
    table_.add({}, pressure_);
    out.tables.push_back(table_.take());
    return {};
  }

 private:
  static Result<void> read_resource(const Resource& resource, std::string_view text,
                                    Pressure& pressure) {
    const auto totals = parse_pressure(resource.file, text);
    if (!totals) {
      return tl::make_unexpected(totals.error());
    }
    const auto set = [&](std::optional<double> Pressure::*member,
                         const std::optional<std::uint64_t>& total_us) {
      if (member != nullptr && total_us) {
        pressure.*member = static_cast<double>(*total_us) / 1000.0;
      }
      return member == nullptr || total_us.has_value();
    };
    if (!set(resource.waiting, totals->some_total_us)) {
      return malformed(resource.file, 0, "a \"some\" line");
    }
    if (!set(resource.stalled, totals->full_total_us)) {
      return malformed(resource.file, 0, "a \"full\" line");
    }
    return {};
  }

  std::array<KernelFile, kResources.size()> files_;
  Pressure pressure_;
  StructTable<Pressure> table_{kColumns};
};

}  // namespace

// some avg10=0.18 avg60=0.34 avg300=0.10 total=159886802
// full avg10=0.18 avg60=0.34 avg300=0.10 total=159229614
Result<PressureFile> parse_pressure(std::string_view file, std::string_view text) {
  PressureFile out;
  LineReader lines(text);
  for (std::string_view line; lines.next(line);) {
    const std::string_view kind = next_field(line);
    if (kind != "some" && kind != "full") {
      continue;  // a newer kernel's line
    }
    constexpr std::string_view kTotal = "total=";
    std::string_view field = next_field(line);
    while (!field.empty() && !field.starts_with(kTotal)) {
      field = next_field(line);
    }
    const auto total = field.empty() ? std::nullopt : parse_unsigned(field.substr(kTotal.size()));
    if (!total) {
      return malformed(file, lines.number(), "avg10= avg60= avg300= and total=number");
    }
    (kind == "some" ? out.some_total_us : out.full_total_us) = *total;
  }
  if (!out.some_total_us && !out.full_total_us) {
    return malformed(file, 0, "a line \"some\" or \"full\"");
  }
  return out;
}

const CollectorInfo kPressureCollector{
    .name = "pressure",
    .help = "Pressure stall information of the host (/proc/pressure).",
    .interval_ms = 1000,
    .make = [](const KernelFiles& files, const Options&) -> Result<std::unique_ptr<Collector>> {
      return std::make_unique<PressureCollector>(files);
    },
    .metrics =
        [] {
          std::vector<MetricDoc> docs;
          document<Pressure>(docs, kColumns, {});
          return docs;
        },
};

}  // namespace tidegauge
