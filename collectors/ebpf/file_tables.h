// SPDX-License-Identifier: Apache-2.0
#pragma once

// The tables of the `ebpf_files` collector.

#include <cstdint>
#include <functional>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "collectors/core/collector.h"
#include "collectors/ebpf/file_ledger.h"
#include "collectors/ebpf/file_sums.h"
#include "collectors/ebpf/slow_operations.h"

namespace tidegauge {

// Of a group's, or an owner's, number.
using GroupNameOf = std::function<std::string_view(std::uint32_t)>;

// By group and operation.
using SlowCounts = std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint64_t>;

struct LossCount {
  std::string_view what;
  std::uint64_t count = 0;
};

class FileTables {
 public:
  FileTables();

  void add_operations(const OperationSums& sums, const GroupNameOf& group, Section& out);
  void add_top(const FileLedger& ledger, const GroupNameOf& owner, Section& out);
  void add_churn(const ChurnSums& sums, const DirectorySums& directories, const GroupNameOf& group,
                 Section& out);
  void add_slow(const SlowOperations& slow, const SlowCounts& counts, const GroupNameOf& group,
                Section& out);
  void add_losses(const std::vector<LossCount>& losses, Section& out);

  static std::vector<MetricDoc> metrics();

 private:
  RowTable syncs_;
  RowTable others_;
  StructTable<FileTotals> top_;
  ValueTable users_;
  RowTable churn_;
  RowTable directories_;
  ValueTable slow_;
  ValueTable slow_counts_;
  ValueTable losses_;
};

}  // namespace tidegauge
