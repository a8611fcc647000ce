// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/cgroups.h"

#include "collectors/core/text.h"

namespace tidegauge {

namespace {

constexpr Column<CgroupController> kColumns[] = {
    {"node_cgroups_cgroups", "Control groups that use the controller.", MetricKind::kGauge, kUnit,
     &CgroupController::cgroups},
    {"node_cgroups_enabled", "Whether the controller is enabled.", MetricKind::kGauge, kUnit,
     &CgroupController::enabled},
};

class CgroupsCollector final : public Collector {
 public:
  explicit CgroupsCollector(const KernelFiles& files) : file_(files.proc_file("cgroups")) {}

  Result<void> collect(CollectContext& context, Section& out) override {
    const auto text = file_.read(*context.buffer);
    if (!text) {
      return tl::make_unexpected(text.error());
    }
    if (auto parsed = parse_cgroups(*text, controllers_); !parsed) {
      return parsed;
    }
    table_.begin();
    for (const CgroupController& controller : controllers_) {
      table_.add({controller.name}, controller);
    }
    out.tables.push_back(table_.take());
    return {};
  }

 private:
  KernelFile file_;
  std::vector<CgroupController> controllers_;
  StructTable<CgroupController> table_{kColumns, {"subsys_name"}};
};

}  // namespace

// #subsys_name	hierarchy	num_cgroups	enabled
// cpuset	0	113	1
// memory	0	113	1
Result<void> parse_cgroups(std::string_view text, std::vector<CgroupController>& out) {
  out.clear();
  LineReader lines(text);
  for (std::string_view line; lines.next(line);) {
    if (line.starts_with('#')) {
      continue;
    }
    CgroupController controller;
    controller.name = next_field(line);
    const auto hierarchy = next_unsigned(line);
    const auto cgroups = next_unsigned(line);
    const auto enabled = next_unsigned(line);
    if (!hierarchy || !cgroups || !enabled) {
      return malformed("cgroups", lines.number(), "a controller's name and three numbers");
    }
    controller.cgroups = *cgroups;
    controller.enabled = *enabled;
    out.push_back(controller);
  }
  // A kernel with cgroups but without a controller prints the header alone.
  if (lines.number() == 0) {
    return malformed("cgroups", 0, "a header");
  }
  return {};
}

const CollectorInfo kCgroupsCollector{
    .name = "cgroups",
    .help = "Control groups per controller (/proc/cgroups).",
    .interval_ms = 15'000,
    .make = [](const KernelFiles& files, const Options&) -> Result<std::unique_ptr<Collector>> {
      return std::make_unique<CgroupsCollector>(files);
    },
    .metrics =
        [] {
          std::vector<MetricDoc> docs;
          document<CgroupController>(docs, kColumns, {"subsys_name"});
          return docs;
        },
};

}  // namespace tidegauge
