// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/block_ledger.h"

#include <algorithm>
#include <cmath>

namespace tidegauge {

namespace {

// Device time stands where the rules for CPU time do: seconds per second, and a thousandth is the least. Of
// a device a tenth of that may matter.
constexpr TopCriterion kBusy = TopCriterion::kCpu;
constexpr double kBusyWeight = 10;
constexpr double kLeastWeight = 0.01;

}  // namespace

std::string_view block_operation_name(std::size_t operation) {
  constexpr std::array<std::string_view, TG_BLOCK_OPERATIONS> kNames{"read", "write", "flush",
                                                                     "discard", "other"};
  return operation < kNames.size() ? kNames[operation] : "other";
}

std::string_view block_reason_name(std::size_t reason) {
  constexpr std::array<std::string_view, TG_BLOCK_REASONS + 1> kNames{
      "", "kernel", "journal", "metadata", "swap", "ownerless", "unknown", "full"};
  return reason < kNames.size() ? kNames[reason] : "unknown";
}

void BlockLedger::begin_pass(std::int64_t now_ns) {
  last_ns_ = now_ns_;
  now_ns_ = now_ns;
  for (auto& [party, process] : processes_) {
    process.grown_ns = 0;
  }
}

void BlockLedger::charge(std::uint32_t device, std::uint16_t operation, const BlockParty& party,
                         const BlockAmount& added) {
  if (operation >= TG_BLOCK_OPERATIONS) {
    return;
  }
  amounts_[{.device = device, .operation = operation, .group = party.group}] += added;
  if (party.tgid == 0) {
    return;
  }
  auto at = processes_.find(party);
  if (at == processes_.end()) {
    if (processes_.size() >= kMaxProcesses) {
      return;
    }
    at = processes_.try_emplace(party).first;
    at->second.party = party;
    at->second.id = next_id_++;
    at->second.first_ns = now_ns_;
  }
  at->second.devices[device][operation] += added;
  at->second.grown_ns += added.busy_ns;
}

void BlockLedger::charge_nobody(std::uint32_t device, std::uint16_t operation, std::uint16_t reason,
                                const BlockAmount& added) {
  if (operation >= TG_BLOCK_OPERATIONS) {
    return;
  }
  if (reason == TG_BLOCK_JOURNAL) {
    journals_[device].written[operation] += added;
    return;
  }
  amounts_[{.device = device, .operation = operation, .reason = reason}] += added;
}

void BlockLedger::add_journal_weight(std::uint32_t device, const BlockParty& party,
                                     std::uint64_t blocks) {
  journals_[device].weights[party] += static_cast<double>(blocks);
}

void BlockLedger::scale(Journal& journal, double factor) {
  for (auto& [party, weight] : journal.weights) {
    weight *= factor;
  }
  std::erase_if(journal.weights, [](const auto& entry) { return entry.second < kLeastWeight; });
}

// By how far the weights have come, so that the parts add up to the whole.
void BlockLedger::split(std::uint32_t device, std::uint16_t operation, const Journal& journal,
                        double whole) {
  const BlockAmount& written = journal.written[operation];
  double weight_so_far = 0;
  BlockAmount given;
  std::size_t left = journal.weights.size();
  for (const auto& [party, weight] : journal.weights) {
    weight_so_far += weight;
    const double share = --left == 0 ? 1 : weight_so_far / whole;
    const auto until = [share](std::uint64_t amount, std::uint64_t from) {
      const auto reached = static_cast<std::uint64_t>(static_cast<double>(amount) * share);
      return share == 1 ? amount : std::clamp(reached, from, amount);
    };
    const BlockAmount reached{until(written.busy_ns, given.busy_ns),
                              until(written.bytes, given.bytes)};
    charge(device, operation, party,
           {reached.busy_ns - given.busy_ns, reached.bytes - given.bytes});
    given = reached;
  }
}

void BlockLedger::settle_journal(std::uint32_t device, Journal& journal) {
  double whole = 0;
  for (const auto& [party, weight] : journal.weights) {
    whole += weight;
  }
  for (std::uint16_t operation = 0; operation < TG_BLOCK_OPERATIONS; ++operation) {
    const BlockAmount& written = journal.written[operation];
    if (written == BlockAmount{}) {
      continue;
    }
    if (whole > 0) {
      split(device, operation, journal, whole);
    } else {
      amounts_[{.device = device, .operation = operation, .reason = TG_BLOCK_JOURNAL}] += written;
    }
  }
  if (whole > 0) {
    const double blocks = static_cast<double>(journal.written[TG_BLOCK_WRITE].bytes) / kBlockBytes;
    scale(journal, std::max(0.0, 1 - blocks / whole));
  }
  journal.written = {};
}

void BlockLedger::choose_shown() {
  const double elapsed_s = last_ns_ == 0 ? 0 : static_cast<double>(now_ns_ - last_ns_) / 1e9;
  std::vector<TopProcesses::Candidate> candidates;
  for (auto& [party, process] : processes_) {
    process.scores.update(kBusy, kBusyWeight * static_cast<double>(process.grown_ns) / 1e9,
                          elapsed_s);
    candidates.push_back(
        {.id = process.id, .scores = &process.scores, .age_ns = now_ns_ - process.first_ns});
  }
  const std::vector<std::uint64_t>& ids = top_.update(candidates, now_ns_);
  shown_.clear();
  std::erase_if(processes_, [&](const auto& entry) {
    const Process& process = entry.second;
    return process.scores.are_zero() && process.grown_ns == 0 &&
           !std::binary_search(ids.begin(), ids.end(), process.id);
  });
  for (const auto& [party, process] : processes_) {
    if (std::binary_search(ids.begin(), ids.end(), process.id)) {
      shown_.push_back(&process);
    }
  }
}

void BlockLedger::settle() {
  const double elapsed_s = last_ns_ == 0 ? 0 : static_cast<double>(now_ns_ - last_ns_) / 1e9;
  for (auto& [device, journal] : journals_) {
    settle_journal(device, journal);
    scale(journal, std::exp2(-elapsed_s / kFadeSeconds));
  }
  choose_shown();
}

void BlockLedger::forget_device(std::uint32_t device) {
  std::erase_if(amounts_, [device](const auto& entry) { return entry.first.device == device; });
  journals_.erase(device);
  for (auto& [party, process] : processes_) {
    process.devices.erase(device);
  }
}

void BlockLedger::forget_group(std::uint32_t group) {
  std::erase_if(amounts_, [group](const auto& entry) {
    return entry.first.reason == TG_BLOCK_OWNED && entry.first.group == group;
  });
  for (auto& [device, journal] : journals_) {
    std::erase_if(journal.weights,
                  [group](const auto& entry) { return entry.first.group == group; });
  }
  shown_.clear();  // they point into processes_; chosen anew by settle()
  std::erase_if(processes_, [group](const auto& entry) { return entry.first.group == group; });
}

}  // namespace tidegauge
