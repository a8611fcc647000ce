// SPDX-License-Identifier: Apache-2.0
#pragma once

// The metrics of collector ebpf_memory.

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "bpf/memory_records.h"
#include "collectors/core/metric_doc.h"
#include "collectors/core/section.h"
#include "collectors/core/table_builder.h"
#include "collectors/ebpf/memory_totals.h"

namespace tidegauge {

struct KswapdRow {
  std::uint32_t node = 0;
  std::uint64_t awake_ns = 0;
  std::uint64_t runs = 0;
};

// What of the page cache is counted here.
struct PageCacheParts {
  bool inserts = false;
  bool faults = false;  // told from reads
  bool reads = false;   // look-ups
};

// Not thread-safe; owned by the collector. What a kernel or the configuration lacks is not added, and has
// no series.
class MemoryTables {
 public:
  using GroupName = std::function<std::string_view(std::uint32_t group)>;
  using DeviceName = std::function<std::string_view(std::uint32_t device)>;
  using CgroupLabel = std::function<std::string(std::string_view path)>;

  explicit MemoryTables(std::uint64_t page_bytes);

  void add_reclaim(const MemoryTotals& totals, const GroupName& name, Section& out);
  void add_compaction(const MemoryTotals& totals, const GroupName& name, Section& out);
  void add_kswapd(const std::vector<KswapdRow>& rows, const MemoryTotals& totals,
                  const GroupName& name, Section& out);
  void add_dirty_throttle(const MemoryTotals& totals, const GroupName& name, Section& out);
  // `group_of`: of an owner.
  void add_oom(const MemoryTotals& totals, const OomVictims& victims, const GroupName& name,
               const std::function<std::uint32_t(std::uint32_t owner)>& group_of,
               const CgroupLabel& cgroup, Section& out);
  void add_page_cache(const MemoryTotals& totals, const PageCacheParts& parts,
                      const GroupName& name, Section& out);
  // `timed`: whether the times of faults are counted here.
  void add_faults(const MemoryTotals& totals, bool timed, const GroupName& name,
                  const DeviceName& device, Section& out);
  void add_losses(const tg_memory_losses& losses,
                  const std::function<bool(std::string_view feature)>& active, Section& out);

  static std::vector<MetricDoc> docs();

 private:
  RowTable reclaim_;
  RowTable compaction_;
  RowTable kswapd_;
  ValueTable wakeups_;
  RowTable dirty_;
  ValueTable victims_;
  ValueTable last_victims_;
  RowTable page_cache_;
  RowTable faults_;
  ValueTable losses_;
};

}  // namespace tidegauge
