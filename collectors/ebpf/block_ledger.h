// SPDX-License-Identifier: Apache-2.0
#pragma once

// Whose the time and the bytes of block devices are: cumulative sums over what the BPF programs charged.
// Pure: no BPF, no clock.

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/block_records.h"
#include "collectors/process/top_processes.h"

namespace tidegauge {

struct BlockAmount {
  std::uint64_t busy_ns = 0;
  std::uint64_t bytes = 0;

  BlockAmount& operator+=(const BlockAmount& other) {
    busy_ns += other.busy_ns;
    bytes += other.bytes;
    return *this;
  }
  friend bool operator==(const BlockAmount&, const BlockAmount&) = default;
};

// Who is charged: a process of a group, or a group alone (tgid 0).
struct BlockParty {
  std::uint32_t group = 0;
  std::uint32_t tgid = 0;
  std::string comm;
  // NOLINTNEXTLINE(modernize-use-nullptr): in what the compiler writes.
  friend auto operator<=>(const BlockParty&, const BlockParty&) = default;
};

class BlockLedger {
 public:
  struct Key {
    std::uint32_t device = 0;
    std::uint16_t operation = 0;
    std::uint16_t reason = TG_BLOCK_OWNED;
    std::uint32_t group = 0;  // 0 where there is a reason
    // NOLINTNEXTLINE(modernize-use-nullptr): in what the compiler writes.
    friend auto operator<=>(const Key&, const Key&) = default;
  };
  struct Process {
    BlockParty party;
    std::uint64_t id = 0;
    std::int64_t first_ns = 0;
    TopScores scores;
    std::uint64_t grown_ns = 0;  // busy time of this pass
    // By device, then by operation.
    std::map<std::uint32_t, std::array<BlockAmount, TG_BLOCK_OPERATIONS>> devices;
  };
  // More are not told apart from their groups.
  static constexpr std::size_t kMaxProcesses = 4096;

  explicit BlockLedger(std::size_t top) : top_(top) {}

  void begin_pass(std::int64_t now_ns);
  // What requests were charged since the last pass. What the journal wrote waits for settle().
  void charge(std::uint32_t device, std::uint16_t operation, const BlockParty& party,
              const BlockAmount& added);
  void charge_nobody(std::uint32_t device, std::uint16_t operation, std::uint16_t reason,
                     const BlockAmount& added);
  // Blocks of metadata that a process had its handles dirty on a device.
  void add_journal_weight(std::uint32_t device, const BlockParty& party, std::uint64_t blocks);
  // Ends a pass: splits what journals wrote among those who had it written, and chooses the processes to
  // be shown.
  void settle();

  [[nodiscard]] const std::map<Key, BlockAmount>& amounts() const { return amounts_; }
  // Those to be shown, in a stable order.
  [[nodiscard]] const std::vector<const Process*>& shown() const { return shown_; }
  // A device that is gone.
  void forget_device(std::uint32_t device);
  // One whose number may stand for another from now on. Between passes.
  void forget_group(std::uint32_t group);

 private:
  // Of one device: what handles dirtied and no commit has written yet, in blocks. A commit comes within
  // seconds of its handles, and writes a block once that many handles dirtied: so old weights fade.
  struct Journal {
    std::map<BlockParty, double> weights;
    std::array<BlockAmount, TG_BLOCK_OPERATIONS> written{};
  };
  static constexpr double kFadeSeconds = 10;
  static constexpr double kBlockBytes = 4096;

  void settle_journal(std::uint32_t device, Journal& journal);
  void split(std::uint32_t device, std::uint16_t operation, const Journal& journal, double whole);
  static void scale(Journal& journal, double factor);
  void choose_shown();

  std::int64_t now_ns_ = 0;
  std::int64_t last_ns_ = 0;
  std::uint64_t next_id_ = 1;
  std::map<Key, BlockAmount> amounts_;
  std::map<std::uint32_t, Journal> journals_;
  std::map<BlockParty, Process> processes_;
  TopProcesses top_;
  std::vector<const Process*> shown_;
};

// "read", "write", "flush", "discard", "other"
std::string_view block_operation_name(std::size_t operation);
// "" of TG_BLOCK_OWNED
std::string_view block_reason_name(std::size_t reason);

// For which there was no account in the kernel; behind those the kernel knows.
inline constexpr std::uint16_t kBlockReasonFull = TG_BLOCK_REASONS;

}  // namespace tidegauge
