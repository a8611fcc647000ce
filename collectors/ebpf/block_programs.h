// SPDX-License-Identifier: Apache-2.0
#pragma once

// The kernel's side of the block collector: loads bpf/block.bpf.c and reads its maps.

#include <cstdint>
#include <functional>
#include <memory>

#include "bpf/block_records.h"
#include "collectors/core/kernel_files.h"
#include "collectors/core/result.h"

namespace tidegauge {

// Not thread-safe.
class BlockPrograms {
 public:
  virtual ~BlockPrograms() = default;

  static Result<std::unique_ptr<BlockPrograms>> load(const KernelFiles& files);

  // All devices that have had requests, each a consistent copy, its busy time up to now.
  virtual Result<void> read_devices(
      const std::function<void(std::uint32_t, const tg_block_device&)>& visit) = 0;
  // visit(key, added since the last call)
  virtual Result<void> read_accounts(
      const std::function<void(const tg_block_account_key&, const tg_block_account&)>& visit) = 0;
  virtual Result<void> read_journal(
      const std::function<void(const tg_journal_key&, std::uint64_t blocks)>& visit) = 0;
  // A device that is gone; false while requests are in flight.
  virtual bool forget_device(std::uint32_t device) = 0;
  [[nodiscard]] virtual tg_block_losses losses() const = 0;
  [[nodiscard]] virtual int owners_fd() const = 0;
  // "block", "block_attribution", "block_journal"
  [[nodiscard]] virtual bool active(std::string_view feature) const = 0;
  // Once in a while: modules that were missing may have come.
  virtual void attach_waiting() = 0;
};

}  // namespace tidegauge
