// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/loadavg.h"

#include "collectors/core/text.h"

namespace tidegauge {

namespace {

constexpr Column<LoadAvg> kColumns[] = {
    {"node_load1", "Load average over 1 minute.", MetricKind::kGauge, kHundredths,
     &LoadAvg::load1_hundredths},
    {"node_load5", "Load average over 5 minutes.", MetricKind::kGauge, kHundredths,
     &LoadAvg::load5_hundredths},
    {"node_load15", "Load average over 15 minutes.", MetricKind::kGauge, kHundredths,
     &LoadAvg::load15_hundredths},
};

class LoadAvgCollector final : public Collector {
 public:
  explicit LoadAvgCollector(const KernelFiles& files) : file_(files.proc_file("loadavg")) {}

  Result<void> collect(CollectContext& context, Section& out) override {
    const auto text = file_.read_lines(*context.buffer);
    if (!text) {
      return tl::make_unexpected(text.error());
    }
    const auto load = parse_loadavg(*text);
    if (!load) {
      return tl::make_unexpected(load.error());
    }
    table_.begin();
    table_.add({}, *load);
    out.tables.push_back(table_.take());
    return {};
  }

 private:
  KernelFile file_;
  StructTable<LoadAvg> table_{kColumns};
};

}  // namespace

// 0.20 0.18 0.12 1/80 11206
Result<LoadAvg> parse_loadavg(std::string_view text) {
  std::string_view line;
  LineReader(text).next(line);
  LoadAvg load;
  for (std::uint64_t LoadAvg::*member :
       {&LoadAvg::load1_hundredths, &LoadAvg::load5_hundredths, &LoadAvg::load15_hundredths}) {
    const auto value = parse_decimal(next_field(line), 2);
    if (!value) {
      return malformed("loadavg", 1, "three load averages with two decimals");
    }
    load.*member = *value;
  }
  return load;
}

const CollectorInfo kLoadAvgCollector{
    .name = "loadavg",
    .help = "Load averages (/proc/loadavg).",
    .interval_ms = 1000,
    .make = [](const KernelFiles& files, const Options&) -> Result<std::unique_ptr<Collector>> {
      return std::make_unique<LoadAvgCollector>(files);
    },
    .metrics =
        [] {
          std::vector<MetricDoc> docs;
          document<LoadAvg>(docs, kColumns, {});
          return docs;
        },
};

}  // namespace tidegauge
