// SPDX-License-Identifier: Apache-2.0
#pragma once

// From the records of bpf/tasks.bpf.c to one sample per process. Pure: no BPF, no files, so that
// threads that come and go, reused pids and lost records are tested with tables of structs.
//
// A process's counters are what its live threads have (the iterator's records) plus what its ended
// ones had (the exit map's entries). A thread is never in both; one that ends during a pass is in
// neither until the next, so sums may dip by what it had. Published counters hold their last value
// until the sum is back.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "bpf/task_records.h"
#include "collectors/core/place_index.h"
#include "collectors/core/result.h"
#include "collectors/process/task_sample.h"

namespace tidegauge {

class TaskMerge {
 public:
  // Once a pass, in this order.
  void begin();
  // Any number of whole records, tids rising. kMalformed when they are not, or when one of a task that has
  // not run is about a task the last pass did not see: begin again with records in full.
  Result<void> add_records(std::span<const char> records);
  // What this kernel counts, a mask of TG_FEATURE_*: the first records tell.
  void set_features(std::uint32_t features) { features_ = features; }
  void add_exit(const tg_process_key& key, const tg_exit& told, TaskPass& out);
  void finish(TaskPass& out);

  [[nodiscard]] std::size_t size() const { return processes_.size(); }
  // Processes of the last pass whose delays are not counted.
  [[nodiscard]] std::uint64_t without_delays() const { return without_delays_; }

 private:
  static constexpr std::uint32_t kLone = 0xFFFFFFFF;
  // A process's live threads.
  struct Lives {
    std::uint32_t tasks = 0;
    std::uint32_t apart = kLone;  // place of what its leader had when it ceased to be `lone`
    tg_task_counters sum{};
  };
  // What one that has not run needs no look at.
  struct Details {
    Lives lives;
    std::uint64_t base_pass = 0;  // in which `settled` began
    // Of ended threads. Null: nothing, as most have it.
    std::unique_ptr<tg_task_counters> settled;
    ProcessSample sample;  // as last published
  };
  // Every pass looks at all of these, a second after the last: few pages, one behind the other.
  struct Process {
    tg_process_key key{};
    std::uint64_t seen_pass = 0;  // its leader was
    std::uint64_t start_ns = 0;   // as in the sample
    std::uint32_t pid = 0;        // as in the sample
    bool lone = false;            // there is only the leader: its own counters are `lives.sum`
    bool known = false;           // a leader's record has filled the sample
    bool gone = false;            // its last thread has ended
    bool delays = false;          // TG_DELAYS of any thread, ever
    bool has_news = false;        // since it was published
    bool has_delays = false;      // was published with them
    std::unique_ptr<Details> details = std::make_unique<Details>();
  };
  struct KeyHash {
    std::size_t operator()(const tg_process_key& key) const {
      return (key.signal ^ key.tgid) * 0x9E3779B97F4A7C15ULL >> 16U;
    }
  };
  struct KeyEqual {
    bool operator()(const tg_process_key& a, const tg_process_key& b) const {
      return a.signal == b.signal && a.tgid == b.tgid;
    }
  };

  // What the last record in full said of a task. Those on their way out (TG_ACCOUNTED) have no counters here.
  struct Remembered {
    tg_process_key process;
    std::uint32_t tid;
    std::uint32_t flags;
    std::uint32_t own;  // place in `owns_`, or kLone
  };

  // False: not a record of this pass's order.
  bool add_full(const tg_leader_record& record, bool leads, const tg_task_counters* base);
  bool add_same(const tg_same_record& record);
  void adopt_leaderless();
  std::optional<Remembered> take(std::uint32_t tid);
  void drop(Remembered task);
  void forget_tasks();
  void trim_owns();
  static void settle_own(Process& process, Remembered& task);
  static void settle(Process& process, const tg_task_counters& ended);
  [[nodiscard]] std::uint32_t place_of(const tg_process_key& key) const;
  std::uint32_t new_own(const tg_task_counters& own);
  [[nodiscard]] std::uint32_t add_live(Process& process, const tg_task_counters& own, bool leads);
  void change_live(Process& process, std::uint32_t place, const tg_task_counters& own);
  void remove_live(Process& process, std::uint32_t place);
  void publish_one(Process& process, TaskPass& out);
  [[nodiscard]] bool is_expected(const tg_process_key& key) const;
  [[nodiscard]] tg_task_counters sum_of(const Process& process) const;
  [[nodiscard]] bool is_known(const tg_process_key& key) const;
  Process& find_or_add(const tg_process_key& key);
  static Process detach(Process& process);
  void replace(Process& process);
  void add_leader(Process& process, const tg_leader_record& record, const tg_task_counters* base);
  void add_base(Process& process, const tg_leader_record& record,
                const tg_task_counters& base) const;
  void add_stuck(const tg_process_key& process, std::uint32_t tid, const tg_task_counters& own);
  void publish_stuck(TaskPass& out) const;
  void publish_end(Process& process, TaskPass& out);
  void erase(std::size_t at);

  std::vector<Remembered> tasks_;       // of this pass
  std::vector<Remembered> last_tasks_;  // of the pass before
  std::vector<tg_task_counters> owns_;  // of one thread each
  std::vector<std::uint32_t> free_owns_;
  std::size_t last_task_ = 0;  // next of them that a record may be about
  std::vector<Process> processes_;
  PlaceIndex index_;          // into it, by key
  std::size_t expected_ = 0;  // place of the process that the next record is likely about
  // Leaders that nobody saw alive and that are not alone: their threads may be.
  std::vector<tg_leader_record> ended_leaders_;
  // Whose key another process has had in this pass.
  std::vector<Process> replaced_;
  struct Stuck {
    tg_process_key process;
    StuckThread thread;
  };
  std::vector<Stuck> stuck_;
  std::uint64_t stuck_threads_ = 0;
  std::uint64_t threads_ = 0;
  std::uint64_t unlisted_zombies_ = 0;
  std::uint64_t without_delays_ = 0;
  std::uint32_t features_ = 0;
  std::uint64_t pass_ = 0;
  bool finished_ = true;
  std::uint64_t lost_exits_ = 0;
};

}  // namespace tidegauge
