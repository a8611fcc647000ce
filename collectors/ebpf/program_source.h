// SPDX-License-Identifier: Apache-2.0
#pragma once

// Who has loaded BPF programs tells here how they fare, for those who show and bound what they cost.

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace tidegauge {

// From the best down. The same feature has the same metrics in each.
enum class Tier : std::uint8_t { kTrampoline, kKprobe, kTracepoint, kIterator, kOff };

// "trampoline", "kprobe", "tracepoint", "iterator", "off"
std::string_view tier_name(Tier tier);

// The best that this process is to try, as collector `ebpf` is configured: what is loaded from now on.
Tier highest_tier();
void set_highest_tier(Tier tier);

enum class ProgramState : std::uint8_t {
  kAttached,
  kWaiting,  // for its module
  kMissing,  // the kernel lacks what it needs, or refused it
  kShed,     // detached: the budget
};

struct ProgramStatus {
  std::string name;
  std::string feature;
  Tier tier = Tier::kOff;
  ProgramState state = ProgramState::kMissing;
  std::string reason;  // "" when attached in the best tier; of untrusted text nothing
  bool can_be_shed = true;
  int fd = -1;  // of the program, owned by its object; -1 when it is not loaded
};

class ProgramSource {
 public:
  virtual ~ProgramSource() = default;
  // Of the BPF object, static.
  [[nodiscard]] virtual std::string_view object() const = 0;
  // Any thread.
  [[nodiscard]] virtual std::vector<ProgramStatus> statuses() const = 0;
  // Detaches a feature for good, if it can be done without. Any thread.
  virtual void shed(std::string_view feature, const std::string& reason) = 0;
};

// Every source that lives. Thread-safe.
class ProgramSources {
 public:
  static ProgramSources& all();
  void add(ProgramSource* source);
  void remove(ProgramSource* source);
  void for_each(const std::function<void(ProgramSource&)>& visit);
  // Why there are none at all; "": there may be.
  void refuse(std::string reason);
  [[nodiscard]] std::string refusal() const;
  // Grows when something was attached, detached or refused.
  [[nodiscard]] std::uint64_t changes() const { return changes_.load(std::memory_order_relaxed); }
  void changed() { changes_.fetch_add(1, std::memory_order_relaxed); }

 private:
  mutable std::mutex mutex_;
  std::set<ProgramSource*> sources_;
  std::string refusal_;
  std::atomic<std::uint64_t> changes_{0};
};

// "attached", "waiting", "missing", "shed"
std::string_view state_name(ProgramState state);

// To be held while libbpf loads an object: it reads the kernel's types each time, twice 6 MiB, and collectors begin
// together. Who has waited for a second gets none and goes on: to be late is worse.
std::unique_lock<std::timed_mutex> loading_turn();

// Sends libbpf's messages where take_libbpf_complaint() finds them.
void capture_libbpf_messages();
// The first complaint on this thread since the last call: it names the program and the cause; those behind it
// are consequences.
std::string take_libbpf_complaint();

}  // namespace tidegauge
