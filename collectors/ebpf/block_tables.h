// SPDX-License-Identifier: Apache-2.0
#pragma once

// The block collector's metrics, from plain values.

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "bpf/block_records.h"
#include "collectors/core/collector.h"
#include "collectors/ebpf/block_ledger.h"

namespace tidegauge {

struct BlockDeviceSample {
  std::uint32_t number = 0;
  std::string_view name;
  const tg_block_device* device = nullptr;
};

class BlockTables {
 public:
  using GroupName = std::function<std::string_view(std::uint32_t)>;

  BlockTables();
  // Without a ledger nothing is known of whose anything is.
  void fill(const std::vector<BlockDeviceSample>& devices, const BlockLedger* ledger,
            const GroupName& group_name, const tg_block_losses& losses, Section& out);

  static std::vector<MetricDoc> documentation();

 private:
  void fill_device(const BlockDeviceSample& sample);
  void fill_amounts(const BlockLedger& ledger, const GroupName& group_name);
  void fill_processes(const BlockLedger& ledger, const GroupName& group_name);
  void fill_losses(const tg_block_losses& losses, bool is_attributed);
  [[nodiscard]] std::string_view name_of(std::uint32_t device) const;

  const std::vector<BlockDeviceSample>* devices_ = nullptr;  // during fill()
  RowTable requests_;
  RowTable busy_;
  RowTable amounts_;
  RowTable processes_;
  RowTable process_bytes_;
  RowTable self_;
};

}  // namespace tidegauge
