// SPDX-License-Identifier: Apache-2.0
#pragma once

// The tables of the `ebpf_files` collector.

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "collectors/core/collector.h"
#include "collectors/ebpf/file_ledger.h"
#include "collectors/ebpf/file_sums.h"
#include "collectors/ebpf/slow_operations.h"

namespace tidegauge {

// Of a group's, or an owner's, number.
using GroupNameOf = std::function<std::string_view(std::uint32_t)>;

// What is seen now. What is not leaves no series: a counter that stands still would lie.
struct FileViews {
  bool syncs = true;
  bool sync_calls = true;  // those that `syncs` alone does not see
  bool operations = true;
  bool writes = true;
  bool reads = true;
};

struct ShownFile {
  std::optional<std::uint64_t> syncs;
  std::optional<std::uint64_t> sync_ns;
  std::optional<std::uint64_t> worst_sync_ns;
  std::optional<std::uint64_t> written_bytes;
  std::optional<std::uint64_t> read_bytes;
};

struct LossCount {
  std::string_view what;
  std::uint64_t count = 0;
};

class FileTables {
 public:
  FileTables();

  void add_operations(const OperationSums& sums, const FileViews& views, const GroupNameOf& group,
                      Section& out);
  void add_top(const FileLedger& ledger, const FileViews& views, const GroupNameOf& owner,
               Section& out);
  void add_churn(const ChurnSums& sums, const DirectorySums& directories, const GroupNameOf& group,
                 Section& out);
  void add_slow(const SlowOperations& slow, const OperationSums& sums, const FileViews& views,
                const GroupNameOf& group, Section& out);
  void add_losses(const std::vector<LossCount>& losses, Section& out);

  static std::vector<MetricDoc> metrics();

 private:
  RowTable syncs_;
  RowTable others_;
  StructTable<ShownFile> top_;
  ValueTable users_;
  RowTable churn_;
  RowTable directories_;
  ValueTable slow_;
  ValueTable slow_counts_;
  ValueTable losses_;
};

}  // namespace tidegauge
