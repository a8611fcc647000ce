// SPDX-License-Identifier: Apache-2.0
#pragma once

// The kernel's side of the block collector: loads bpf/block.bpf.c and reads its maps.

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "bpf/block_records.h"
#include "collectors/core/result.h"
#include "collectors/ebpf/owner_maps.h"

namespace tidegauge {

// Not thread-safe.
class BlockPrograms {
 public:
  virtual ~BlockPrograms() = default;

  // has_windows: whether to keep windows of devices (bpf/block_windows.bpf.h).
  static std::unique_ptr<BlockPrograms> make(std::shared_ptr<EbpfRuntime> runtime,
                                             bool has_windows);

  // Once. When it fails this is only to be kept, for what it has on record (ProgramSource).
  virtual Result<void> load() = 0;

  // All devices that have had requests, each a consistent copy, its busy time up to now.
  virtual Result<void> read_devices(
      const std::function<void(std::uint32_t, const tg_block_device&)>& visit) = 0;
  // visit(key, added since the last call)
  virtual Result<void> read_accounts(
      std::int64_t now_ns,
      const std::function<void(const tg_block_account_key&, const tg_block_account&)>& visit) = 0;
  virtual Result<void> read_journal(
      std::int64_t now_ns,
      const std::function<void(const tg_journal_key&, std::uint64_t blocks)>& visit) = 0;
  // All requests that found no place with their device. Costly where there are many.
  virtual Result<void> read_requests(const std::function<void(const tg_block_issued&)>& visit) = 0;
  // Takes out those that are still as they were found.
  virtual void forget_requests(const std::vector<tg_block_forgotten>& stale) = 0;
  // A device that is gone; false while requests are in flight.
  virtual bool forget_device(std::uint32_t device) = 0;
  [[nodiscard]] virtual tg_block_losses losses() const = 0;
  [[nodiscard]] virtual int owners_fd() const = 0;
  // "block", "block_attribution", "block_journal"
  [[nodiscard]] virtual bool active(std::string_view feature) const = 0;
  // Once in a while: modules that were missing may have come.
  virtual void attach_waiting() = 0;
};

// CLOCK_MONOTONIC, as the programs have it.
std::uint64_t monotonic_ns();

}  // namespace tidegauge
