// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/kernel_hung.h"

#include "collectors/core/text.h"

namespace tidegauge {

namespace {

constexpr Column<KernelHung> kColumns[] = {
    {"node_kernel_hung_tasks_total",
     "Tasks that the kernel found blocked for longer than its hung task time-out, since boot.",
     MetricKind::kCounter, kUnit, &KernelHung::detected_tasks},
};

class KernelHungCollector final : public Collector {
 public:
  explicit KernelHungCollector(const KernelFiles& files)
      : file_(files.proc_file("sys/kernel/hung_task_detect_count")) {}

  Result<void> collect(CollectContext& context, Section& out) override {
    const auto text = file_.read_lines(*context.buffer);
    if (!text) {
      return tl::make_unexpected(text.error());
    }
    const auto hung = parse_hung_task_detect_count(*text);
    if (!hung) {
      return tl::make_unexpected(hung.error());
    }
    table_.begin();
    table_.add({}, *hung);
    out.tables.push_back(table_.take());
    return {};
  }

 private:
  KernelFile file_;
  StructTable<KernelHung> table_{kColumns};
};

}  // namespace

// 42
Result<KernelHung> parse_hung_task_detect_count(std::string_view text) {
  const auto count = parse_unsigned(trim(text));
  if (!count) {
    return malformed("sys/kernel/hung_task_detect_count", 1, "one number");
  }
  return KernelHung{.detected_tasks = *count};
}

const CollectorInfo kKernelHungCollector{
    .name = "kernel_hung",
    .help = "Hung tasks that the kernel detected (/proc/sys/kernel/hung_task_detect_count).",
    .make = [](const KernelFiles& files, const Options&) -> Result<std::unique_ptr<Collector>> {
      return std::make_unique<KernelHungCollector>(files);
    },
    .metrics =
        [] {
          std::vector<MetricDoc> docs;
          document<KernelHung>(docs, kColumns, {});
          return docs;
        },
};

}  // namespace tidegauge
