// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/ksmd.h"

#include "collectors/core/text.h"

namespace tidegauge {

namespace {

constexpr Column<Ksm> kColumns[] = {
    {"node_ksmd_full_scans_total", "Times that all mergeable memory was scanned.",
     MetricKind::kCounter, kUnit, &Ksm::full_scans},
    {"node_ksmd_merge_across_nodes", "Whether pages of different NUMA nodes may be merged.",
     MetricKind::kGauge, kUnit, &Ksm::merge_across_nodes},
    {"node_ksmd_pages_shared", "Shared pages in use.", MetricKind::kGauge, kUnit,
     &Ksm::pages_shared},
    {"node_ksmd_pages_sharing", "Pages saved by sharing.", MetricKind::kGauge, kUnit,
     &Ksm::pages_sharing},
    {"node_ksmd_pages_to_scan", "Pages to scan before ksmd sleeps.", MetricKind::kGauge, kUnit,
     &Ksm::pages_to_scan},
    {"node_ksmd_pages_unshared", "Pages that are unique but checked again and again.",
     MetricKind::kGauge, kUnit, &Ksm::pages_unshared},
    {"node_ksmd_pages_volatile", "Pages that change too fast to be merged.", MetricKind::kGauge,
     kUnit, &Ksm::pages_volatile},
    {"node_ksmd_run", "State of ksmd: 0 stopped, 1 running, 2 stopped with all pages unmerged.",
     MetricKind::kGauge, kUnit, &Ksm::run},
    {"node_ksmd_sleep_seconds", "Time that ksmd sleeps between batches.", MetricKind::kGauge,
     kMilliseconds, &Ksm::sleep_ms},
    {"node_ksmd_general_profit_bytes", "Memory saved by merging less what the bookkeeping takes.",
     MetricKind::kGauge, kUnit, &Ksm::general_profit_bytes},
};

struct KsmFile {
  std::string_view name;
  std::optional<std::uint64_t> Ksm::*member;
};

constexpr KsmFile kFiles[] = {
    {"full_scans", &Ksm::full_scans},         {"merge_across_nodes", &Ksm::merge_across_nodes},
    {"pages_shared", &Ksm::pages_shared},     {"pages_sharing", &Ksm::pages_sharing},
    {"pages_to_scan", &Ksm::pages_to_scan},   {"pages_unshared", &Ksm::pages_unshared},
    {"pages_volatile", &Ksm::pages_volatile}, {"run", &Ksm::run},
    {"sleep_millisecs", &Ksm::sleep_ms},
};
constexpr std::string_view kProfitFile = "general_profit";

class KsmdCollector final : public Collector {
 public:
  explicit KsmdCollector(const KernelFiles& files) : directory_(files.sys("kernel/mm/ksm")) {}

  Result<void> collect(CollectContext& context, Section& out) override {
    Ksm ksm;
    bool found = false;
    for (const KsmFile& file : kFiles) {
      const auto number = read(file.name, context);
      if (!number) {
        return tl::make_unexpected(number.error());
      }
      if (*number && **number < 0) {
        return malformed(file.name, 1, "a number that is not negative");
      }
      if (*number) {
        ksm.*(file.member) = static_cast<std::uint64_t>(**number);
        found = true;
      }
    }
    const auto profit = read(kProfitFile, context);
    if (!profit) {
      return tl::make_unexpected(profit.error());
    }
    ksm.general_profit_bytes = *profit;
    if (!found) {
      return system_error(ENOENT, directory_);  // a kernel without CONFIG_KSM
    }
    table_.begin();
    table_.add({}, ksm);
    out.tables.push_back(table_.take());
    return {};
  }

 private:
  // None when this kernel lacks the file.
  Result<std::optional<std::int64_t>> read(std::string_view name, CollectContext& context) const {
    const auto text = read_file(directory_ + "/" + std::string(name), *context.buffer);
    if (!text && text.error().kind == ErrorKind::kMissing) {
      return std::optional<std::int64_t>();
    }
    if (!text) {
      return tl::make_unexpected(text.error());
    }
    const auto number = parse_ksm_number(name, *text);
    if (!number) {
      return tl::make_unexpected(number.error());
    }
    return std::optional<std::int64_t>(*number);
  }

  std::string directory_;
  StructTable<Ksm> table_{kColumns};
};

}  // namespace

// 100
Result<std::int64_t> parse_ksm_number(std::string_view file, std::string_view text) {
  const auto number = parse_signed(trim(text));
  if (!number) {
    return malformed(file, 1, "one number");
  }
  return *number;
}

const CollectorInfo kKsmdCollector{
    .name = "ksmd",
    .help = "Kernel samepage merging (/sys/kernel/mm/ksm).",
    .refresh = false,  // a scanner that takes minutes
    .make = [](const KernelFiles& files, const Options&) -> Result<std::unique_ptr<Collector>> {
      return std::make_unique<KsmdCollector>(files);
    },
    .metrics =
        [] {
          std::vector<MetricDoc> docs;
          document<Ksm>(docs, kColumns, {});
          return docs;
        },
};

}  // namespace tidegauge
