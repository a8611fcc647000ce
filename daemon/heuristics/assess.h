// SPDX-License-Identifier: Apache-2.0
#pragma once

// From Snapshots to verdicts. Live and replay are one program: what it says follows from the Snapshots alone. Asks no
// clock but for its callers' times, reads nothing, writes nothing.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/core/metric_doc.h"
#include "collectors/core/section.h"
#include "daemon/heuristics/condition.h"
#include "daemon/heuristics/scene.h"
#include "daemon/heuristics/thresholds.h"
#include "daemon/heuristics/verdict.h"
#include "daemon/heuristics/verdict_tables.h"

namespace tidegauge::heuristics {

// A figure of a host on which nothing is wrong: how far it is from trouble.
using Headroom = Evidence;

// More that is to be known of a suspect. An answer comes in the Snapshots that follow: in a replay with those that were
// recorded, so that nobody needs to carry out a request there.
struct Request {
  std::string_view collector;  // to run before its time
  std::uint32_t pid = 0;       // of whom; 0: nobody is suspected yet
  friend bool operator==(const Request&, const Request&) = default;
};
inline constexpr std::size_t kMaxRequests = 4;  // of a tick

// What there is to say after a tick. Immutable.
struct Report {
  std::int64_t boottime_ns = 0;
  std::int64_t realtime_ns = 0;
  std::string host;
  std::string kernel;
  std::vector<Verdict> active;                         // the most important one first
  std::vector<std::shared_ptr<const Verdict>> recent;  // ended, the last one last
  std::vector<Headroom> headroom;
  std::vector<std::string> unchecked;  // sources that are missing altogether
  std::vector<Request> requests;       // at most kMaxRequests
};

class Heuristics {
 public:
  explicit Heuristics(Thresholds limits = {});
  ~Heuristics();

  // The name of the Section among those of collectors.
  static constexpr std::string_view kName = "verdicts";

  // One thread at a time: that of ticks. The Section has tidegauge_verdict_* and the watermark module's families. An older
  // Snapshot than the one before changes nothing and gives the last Section.
  std::shared_ptr<const Section> update(const Snapshot& snapshot);

  // Bytes from which a later one goes on: what verdicts there are, since when, how often they began, and the memory
  // model. Not the history that they were found in: see save_history(). Bounded. Any thread.
  [[nodiscard]] std::string save() const;
  // False, and nothing changes, where they are not what save() made. Until a Snapshot is newer than they are, update()
  // leaves the verdicts as loaded: the recorder saves them a few Snapshots late. Not during update().
  bool load(std::string_view state);
  // What was remembered when a recording began that begins at `begin_ns`, up to `until_ns` (boot times), as far as it is
  // still known; "" when nothing was. Bounded. Any thread.
  [[nodiscard]] std::string save_history(std::int64_t begin_ns, std::int64_t until_ns) const;
  // After load(), up to whose time it counts, and before any update(). False, and nothing changes, where it is not what
  // save_history() made. Not during update().
  bool load_history(std::string_view history);
  // Boot time of the Snapshot behind which the loaded bytes were saved; 0 without them.
  [[nodiscard]] std::int64_t loaded_boottime_ns() const { return loaded_boottime_ns_; }

  // From the next update on; what is remembered stays. Any thread.
  void set_limits(const Thresholds& limits);
  [[nodiscard]] Thresholds limits() const;  // any thread

  // Called by update() when a verdict begins or ends, and must not call back.
  using ChangeHandler = std::function<void(const Verdict& verdict)>;
  void on_change(ChangeHandler handler) { on_change_ = std::move(handler); }

  // After the last update. Any thread.
  [[nodiscard]] std::shared_ptr<const Report> report() const;
  // For tests and measurements: one thread.
  [[nodiscard]] const Scene& scene() const { return scene_; }

 private:
  Conditions::Changes look();
  void make_report(const Snapshot& snapshot, std::vector<Request> requests);

  mutable std::mutex
      update_mutex_;  // of all but report_; a thread that was left behind may come back
  Thresholds limits_;
  Scene scene_;
  struct Memory;
  std::unique_ptr<Memory> memory_;
  Conditions conditions_;
  VerdictTables tables_;
  ChangeHandler on_change_;
  std::shared_ptr<const Section> section_;
  std::int64_t loaded_boottime_ns_ = 0;
  mutable std::mutex mutex_;
  std::shared_ptr<const Report> report_;  // guarded by mutex_
};

inline constexpr std::string_view kHelp =
    "Verdicts: what makes the host slow, who causes it, and how far memory is from its watermarks.";
std::vector<MetricDoc> heuristics_metrics();

}  // namespace tidegauge::heuristics
