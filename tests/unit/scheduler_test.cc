// SPDX-License-Identifier: Apache-2.0
#include "daemon/scheduler/scheduler.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "daemon/scheduler/tick_plan.h"

namespace tidegauge {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kEpoch = 1'700'000'000 * kSecond;  // a whole tick

// Time passes when the test says so.
class FakeClock final : public Clock {
 public:
  [[nodiscard]] std::int64_t realtime_ns() const override {
    const std::lock_guard lock(mutex_);
    return realtime_ns_;
  }
  [[nodiscard]] std::int64_t boottime_ns() const override {
    const std::lock_guard lock(mutex_);
    return boottime_ns_;
  }
  [[nodiscard]] std::int64_t thread_cpu_ns() const override { return thread_cpu_ns_; }
  [[nodiscard]] std::int64_t process_cpu_ns() const override { return process_cpu_ns_; }
  // CPU of the calling thread, and of the process.
  void burn(std::int64_t ns) {
    thread_cpu_ns_ += ns;
    process_cpu_ns_ += ns;
  }
  void wait(std::condition_variable& wake, std::unique_lock<std::mutex>& lock,
            std::int64_t deadline_ns) override {
    {
      const std::lock_guard own(mutex_);
      if (boottime_ns_ >= deadline_ns) {
        return;
      }
      sleeper_ = &wake;
      sleeper_mutex_ = lock.mutex();
      ++sleeps_;
      slept_.notify_all();
    }
    wake.wait(lock);
  }
  // Until the tick thread has nothing to do but wait for time to pass.
  bool wait_for_sleeper() {
    std::unique_lock lock(mutex_);
    return slept_.wait_for(lock, std::chrono::seconds(10), [&] { return sleeps_ > 0; });
  }
  void advance(std::int64_t ns) { move(ns, ns); }
  void step_realtime(std::int64_t ns) { move(ns, 0); }

 private:
  void move(std::int64_t realtime_ns, std::int64_t boottime_ns) {
    std::condition_variable* sleeper = nullptr;
    std::mutex* sleeper_mutex = nullptr;
    {
      const std::lock_guard lock(mutex_);
      realtime_ns_ += realtime_ns;
      boottime_ns_ += boottime_ns;
      sleeps_ = 0;
      sleeper = sleeper_;
      sleeper_mutex = sleeper_mutex_;
    }
    if (sleeper != nullptr) {
      const std::lock_guard lock(*sleeper_mutex);  // not between its check and its wait
      sleeper->notify_all();
    }
  }

  static thread_local std::int64_t thread_cpu_ns_;
  std::atomic<std::int64_t> process_cpu_ns_{3600 * kSecond};
  mutable std::mutex mutex_;
  std::int64_t realtime_ns_ = kEpoch;
  std::int64_t boottime_ns_ = 1000 * kSecond;
  std::condition_variable slept_;
  int sleeps_ = 0;
  std::condition_variable* sleeper_ = nullptr;
  std::mutex* sleeper_mutex_ = nullptr;
};

thread_local std::int64_t FakeClock::thread_cpu_ns_ = 0;

// Blocks whoever enters while closed.
class Gate {
 public:
  void close() {
    const std::lock_guard lock(mutex_);
    open_ = false;
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void pass() {
    std::unique_lock lock(mutex_);
    ++inside_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return open_; });
    --inside_;
  }
  bool wait_for_entry() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return inside_ > 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = true;
  int inside_ = 0;
};

class ScriptedCollector final : public Collector {
 public:
  explicit ScriptedCollector(std::function<Result<void>(CollectContext&, Section&)> script)
      : script_(std::move(script)) {}
  Result<void> collect(CollectContext& context, Section& out) override {
    return script_(context, out);
  }

 private:
  std::function<Result<void>(CollectContext&, Section&)> script_;
};

constexpr CollectorInfo info_of(std::string_view name, Lane lane) {
  CollectorInfo info{};
  info.name = name;
  info.lane = lane;
  return info;
}
constexpr CollectorInfo kFast = info_of("fast", Lane::kTick);
constexpr CollectorInfo kSlow = info_of("slow", Lane::kTick);
constexpr CollectorInfo kMount = info_of("mount", Lane::kWorker);

constexpr CollectorInfo patient_info_of(std::string_view name, Lane lane) {
  CollectorInfo info = info_of(name, lane);
  info.stretch = true;
  return info;
}
constexpr CollectorInfo kPatient = patient_info_of("patient", Lane::kTick);
constexpr CollectorInfo kPatientWorker = patient_info_of("patient_worker", Lane::kWorker);

class SchedulerTest : public ::testing::Test {
 protected:
  // Threads outlive a test's own variables: what they use belongs to the fixture.
  ~SchedulerTest() override {
    for (Gate& gate : gates_) {
      gate.open();
    }
    while (scheduler_ && !scheduler_->stop()) {
      std::this_thread::yield();
    }
  }
  std::atomic<int>& counter() { return counters_.emplace_back(0); }
  Gate& new_gate() { return gates_.emplace_back(); }

  void add(const CollectorInfo& info, std::int64_t interval_s,
           std::function<Result<void>(CollectContext&, Section&)> script) {
    collectors_.push_back(
        {&info, interval_s * kSecond, std::make_unique<ScriptedCollector>(std::move(script))});
  }
  void counting(const CollectorInfo& info, std::int64_t interval_s, std::atomic<int>& runs) {
    add(info, interval_s, [&runs](CollectContext&, Section&) -> Result<void> {
      ++runs;
      return {};
    });
  }
  // Counts its runs and uses `ms` milliseconds of CPU in each.
  void burning(const CollectorInfo& info, std::int64_t interval_s, std::atomic<int>& runs,
               std::atomic<int>& ms) {
    add(info, interval_s, [this, &runs, &ms](CollectContext&, Section&) -> Result<void> {
      ++runs;
      clock_.burn(ms * 1'000'000LL);
      return {};
    });
  }
  void start(std::int64_t worker_wait_ns = 10 * kSecond) {
    make();
    scheduler_->start(worker_wait_ns);
    EXPECT_TRUE(published(1));
  }
  void make() {
    published_ = 0;
    scheduler_ = std::make_unique<Scheduler>(
        options_, std::move(collectors_), clock_,
        [this](std::string_view collector, const Error* error) {
          const std::lock_guard lock(mutex_);
          reports_.push_back(std::string(collector) + ": " + (error ? error->message() : "ok"));
        });
    scheduler_->on_publish([this] {
      const std::lock_guard lock(mutex_);
      ++published_;
      changed_.notify_all();
    });
    scheduler_->on_snapshot([this](const SnapshotPtr& snapshot) {
      const std::lock_guard lock(mutex_);
      recorded_.push_back(snapshot);
    });
  }
  // Waits for publication number n (the first tick is number 1).
  bool published(int n) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return published_ >= n; });
  }
  bool advance_ticks(int n) {
    for (int i = 0; i < n; ++i) {
      int before = 0;
      {
        const std::lock_guard lock(mutex_);
        before = published_;
      }
      clock_.advance(kSecond);
      if (!published(before + 1)) {
        return false;
      }
    }
    return true;
  }
  // Ticks until it is so; ten seconds of real time at most.
  bool eventually(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!condition() && std::chrono::steady_clock::now() < deadline) {
      if (!advance_ticks(1)) {
        return false;
      }
      std::this_thread::yield();
    }
    return condition();
  }
  std::int64_t effective_s(std::string_view name) const {
    return status(name).effective_interval_ns / kSecond;
  }
  CollectorStatus status(std::string_view name) const {
    return scheduler_->latest()->find(name)->status;
  }

  FakeClock clock_;
  std::deque<std::atomic<int>> counters_;
  std::deque<Gate> gates_;
  SchedulerOptions options_;
  std::vector<ScheduledCollector> collectors_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int published_ = 0;
  std::vector<SnapshotPtr> recorded_;
  std::vector<std::string> reports_;
  std::unique_ptr<Scheduler> scheduler_;
};

TEST(TickPlan, NextTickLiesOnTheWallClockGrid) {
  EXPECT_EQ(next_tick_boottime_ns(kEpoch + 250, 1000, kSecond), 1000 + kSecond - 250);
  EXPECT_EQ(next_tick_boottime_ns(kEpoch, 1000, kSecond), 1000 + kSecond);
}

TEST(TickPlan, DueOnMultiplesOnly) {
  DueInput in{.tick = 1'700'000'010,
              .boottime_ns = 115 * kSecond,
              .tick_ns = kSecond,
              .interval_ns = 15 * kSecond,
              .ran = true,
              .last_run_boottime_ns = 100 * kSecond};
  EXPECT_TRUE(is_due(in));  // 1'700'000'010 is a multiple of 15
  in.tick -= 1;
  in.boottime_ns -= kSecond;
  EXPECT_FALSE(is_due(in));
  in.ran = false;
  EXPECT_TRUE(is_due(in)) << "the first time at once";
}

TEST(TickPlan, ClockSetBackNeitherRepeatsNorStarves) {
  DueInput in{.tick = 1'700'000'010,
              .boottime_ns = 103 * kSecond,
              .tick_ns = kSecond,
              .interval_ns = 15 * kSecond,
              .ran = true,
              .last_run_boottime_ns = 100 * kSecond};
  EXPECT_FALSE(is_due(in)) << "the multiple came again 3 s later";
  in.tick = 1'700'000'011;
  in.boottime_ns = 116 * kSecond;
  EXPECT_TRUE(is_due(in)) << "its multiple was jumped over";
}

TEST(TickPlan, MissedTicksByElapsedTime) {
  EXPECT_EQ(ticks_missed(0, kSecond, kSecond), 0U);
  EXPECT_EQ(ticks_missed(0, kSecond + 400'000'000, kSecond), 0U);
  EXPECT_EQ(ticks_missed(0, 3 * kSecond, kSecond), 2U);
  EXPECT_EQ(ticks_missed(0, 100'000'000, kSecond), 0U) << "a clock step moved the grid";
}

TEST_F(SchedulerTest, RunsEachCollectorAtItsInterval) {
  std::atomic<int>& fast = counter();
  std::atomic<int>& slow = counter();
  counting(kFast, 1, fast);
  counting(kSlow, 5, slow);
  start();
  EXPECT_EQ(fast, 1);
  EXPECT_EQ(slow, 1);
  ASSERT_TRUE(advance_ticks(10));
  EXPECT_EQ(fast, 11);
  EXPECT_EQ(slow, 3);  // at the start and at the multiples 5 and 10
  EXPECT_EQ(scheduler_->latest()->ticks, 11U);
  EXPECT_EQ(scheduler_->latest()->ticks_skipped, 0U);
}

TEST_F(SchedulerTest, SectionsAreCarriedOverBetweenRuns) {
  std::atomic<int>& fast = counter();
  std::atomic<int>& slow = counter();
  counting(kFast, 1, fast);
  counting(kSlow, 5, slow);
  start();
  const auto first = scheduler_->latest();
  ASSERT_TRUE(advance_ticks(1));
  const auto second = scheduler_->latest();
  EXPECT_NE(first->find("fast")->section, second->find("fast")->section);
  EXPECT_EQ(first->find("slow")->section, second->find("slow")->section);
  EXPECT_EQ(second->boottime_ns - first->boottime_ns, kSecond);
}

TEST_F(SchedulerTest, LateTicksAreSkippedAndCounted) {
  std::atomic<int>& fast = counter();
  std::atomic<int>& slow = counter();
  counting(kFast, 1, fast);
  counting(kSlow, 5, slow);
  start();
  ASSERT_TRUE(clock_.wait_for_sleeper());
  clock_.advance(7 * kSecond);  // the machine slept
  ASSERT_TRUE(published(2));
  EXPECT_EQ(fast, 2);
  EXPECT_EQ(slow, 2) << "its multiple fell into the gap: it runs now";
  EXPECT_EQ(scheduler_->latest()->ticks_skipped, 6U);
}

TEST_F(SchedulerTest, ClockSteppedBackKeepsTicking) {
  std::atomic<int>& fast = counter();
  counting(kFast, 1, fast);
  start();
  clock_.step_realtime(-3600 * kSecond);
  ASSERT_TRUE(advance_ticks(3));
  EXPECT_EQ(fast, 4);
  EXPECT_EQ(scheduler_->latest()->ticks_skipped, 0U);
}

TEST_F(SchedulerTest, FailureRemovesTheSectionAndIsReported) {
  std::atomic<int>& fail = counter();
  std::atomic<int>& other = counter();
  add(kFast, 1, [&](CollectContext&, Section&) -> Result<void> {
    if (fail != 0) {
      return malformed("stat", 3, "a number");
    }
    return {};
  });
  counting(kSlow, 1, other);
  start();
  ASSERT_TRUE(scheduler_->latest()->find("fast")->section);
  fail = 1;
  ASSERT_TRUE(advance_ticks(2));
  EXPECT_FALSE(scheduler_->latest()->find("fast")->section);
  EXPECT_FALSE(status("fast").success);
  EXPECT_EQ(status("fast").error, ErrorKind::kMalformed);
  EXPECT_EQ(status("fast").failures, 2U);
  EXPECT_EQ(other, 3) << "the others go on";
  fail = 0;
  ASSERT_TRUE(advance_ticks(1));
  EXPECT_TRUE(status("fast").success);
  const std::lock_guard lock(mutex_);
  ASSERT_EQ(reports_.size(), 3U);
  EXPECT_EQ(reports_[0], "fast: malformed: stat line 3: expected a number");
  EXPECT_EQ(reports_[2], "fast: ok");
}

TEST_F(SchedulerTest, AnExceptionCostsOneRun) {
  add(kFast, 1, [](CollectContext&, Section&) -> Result<void> { throw std::bad_alloc(); });
  start();
  EXPECT_FALSE(status("fast").success);
  ASSERT_TRUE(advance_ticks(1));
}

TEST_F(SchedulerTest, HangingWorkerGoesStaleAlone) {
  Gate& gate = new_gate();
  std::atomic<int>& fast = counter();
  counting(kFast, 1, fast);
  add(kMount, 1, [&](CollectContext&, Section&) -> Result<void> {
    gate.pass();
    return {};
  });
  start();
  ASSERT_TRUE(scheduler_->latest()->find("mount")->section);
  gate.close();
  ASSERT_TRUE(advance_ticks(1));
  ASSERT_TRUE(gate.wait_for_entry());
  ASSERT_TRUE(advance_ticks(3));
  EXPECT_TRUE(scheduler_->latest()->find("mount")->section) << "within its time limit";
  EXPECT_EQ(status("mount").skipped, 3U);
  ASSERT_TRUE(advance_ticks(3));
  EXPECT_FALSE(scheduler_->latest()->find("mount")->section);
  EXPECT_TRUE(status("mount").stuck);
  EXPECT_EQ(status("mount").error, ErrorKind::kTimeout);
  EXPECT_EQ(fast, 8) << "no tick was lost";
  gate.open();
  // It comes back by itself: the tick after the stuck call returned orders a new run.
  ASSERT_TRUE(eventually([&] { return scheduler_->latest()->find("mount")->section != nullptr; }));
  EXPECT_TRUE(status("mount").success);
  EXPECT_FALSE(status("mount").stuck);
}

TEST_F(SchedulerTest, HangingTickCollectorIsLeftBehind) {
  Gate& gate = new_gate();
  std::atomic<int>& fast = counter();
  add(kSlow, 1, [&](CollectContext&, Section&) -> Result<void> {
    gate.pass();
    return {};
  });
  counting(kFast, 1, fast);
  start();
  gate.close();
  clock_.advance(kSecond);
  ASSERT_TRUE(gate.wait_for_entry());
  EXPECT_EQ(fast, 1);
  scheduler_->supervise();
  clock_.advance(kSecond);
  scheduler_->supervise();  // the same run, a tick later: a new tick thread takes over
  ASSERT_TRUE(published(2)) << "with the tick that is due";
  ASSERT_TRUE(advance_ticks(3));
  EXPECT_EQ(fast, 5);
  gate.open();
  EXPECT_TRUE(eventually([&] { return status("slow").runs >= 3; }))
      << "it goes on, on a worker of its own";
  EXPECT_TRUE(status("slow").success);
}

TEST_F(SchedulerTest, StopDoesNotWaitForAStuckWorker) {
  auto gate = std::make_shared<Gate>();
  gate->close();
  add(kMount, 1, [gate](CollectContext&, Section&) -> Result<void> {
    gate->pass();
    return {};
  });
  start(0);
  ASSERT_TRUE(gate->wait_for_entry());
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_FALSE(scheduler_->stop());
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(1));
  gate->open();
  for (int i = 0; i < 1'000'000 && !scheduler_->stop(); ++i) {
    std::this_thread::yield();
  }
  EXPECT_TRUE(scheduler_->stop()) << "it ends once the call returns";
}

TEST_F(SchedulerTest, AHangAtTheFirstTickIsLeftBehindToo) {
  Gate& gate = new_gate();
  gate.close();
  std::atomic<int>& fast = counter();
  add(kSlow, 1, [&](CollectContext&, Section&) -> Result<void> {
    gate.pass();
    return {};
  });
  counting(kFast, 1, fast);
  make();
  scheduler_->start(0);  // returns after its two seconds
  EXPECT_EQ(scheduler_->latest(), nullptr);
  scheduler_->supervise();
  clock_.advance(kSecond);
  scheduler_->supervise();
  clock_.advance(kSecond);
  ASSERT_TRUE(published(1));
  EXPECT_GE(fast, 1);  // the next tick may have come already
  gate.open();
}

TEST_F(SchedulerTest, ASuccessorWaitsForAStuckRunOfItsPredecessor) {
  auto gate = std::make_shared<Gate>();
  gate->close();
  add(kMount, 1, [gate](CollectContext&, Section&) -> Result<void> {
    gate->pass();
    return {};
  });
  start(0);
  ASSERT_TRUE(gate->wait_for_entry());
  EXPECT_FALSE(scheduler_->stop());
  auto released = scheduler_->release();
  ASSERT_EQ(released.size(), 1U);
  ASSERT_TRUE(released[0].still_running);
  EXPECT_TRUE(released[0].still_running());
  EXPECT_FALSE(released[0].collector);
  std::atomic<int>& runs = counter();
  counting(kMount, 1, runs);
  collectors_[0].still_running = released[0].still_running;
  collectors_[0].status = released[0].status;
  start(0);
  ASSERT_TRUE(advance_ticks(3));
  EXPECT_EQ(runs, 0) << "one dead mount holds one thread";
  EXPECT_GE(status("mount").skipped, 3U);
  gate->open();
  EXPECT_TRUE(eventually([&] { return runs > 0; }));
}

TEST_F(SchedulerTest, AClockSetBackALittleDoesNotRepeatATick) {
  std::atomic<int>& fast = counter();
  counting(kFast, 1, fast);
  start();
  ASSERT_TRUE(clock_.wait_for_sleeper());
  clock_.step_realtime(-1'000'000);
  clock_.advance(kSecond);
  ASSERT_TRUE(clock_.wait_for_sleeper());
  EXPECT_EQ(fast, 1) << "a millisecond short of the new grid point";
  clock_.advance(1'000'000);
  ASSERT_TRUE(published(2));
  EXPECT_EQ(fast, 2);
  EXPECT_EQ(scheduler_->latest()->ticks_skipped, 0U);
}

TEST_F(SchedulerTest, WakingHalfATickLateSkipsIt) {
  std::atomic<int>& fast = counter();
  counting(kFast, 1, fast);
  start();
  ASSERT_TRUE(clock_.wait_for_sleeper());
  clock_.advance(kSecond + 600'000'000);
  ASSERT_TRUE(clock_.wait_for_sleeper());
  EXPECT_EQ(fast, 1);
  clock_.advance(400'000'000);
  ASSERT_TRUE(published(2));
  EXPECT_EQ(fast, 2);
  EXPECT_EQ(scheduler_->latest()->ticks_skipped, 1U);
}

TEST_F(SchedulerTest, RefreshIsForTheExporterAlone) {
  std::atomic<int>& fast = counter();
  std::atomic<int>& slow = counter();
  counting(kFast, 1, fast);
  counting(kSlow, 15, slow);
  start();
  EXPECT_FALSE(scheduler_->is_stale({}));
  ASSERT_TRUE(advance_ticks(4));
  EXPECT_TRUE(scheduler_->is_stale({}));
  EXPECT_FALSE(scheduler_->is_stale({true, false})) << "only old data counts";
  const auto before = scheduler_->latest_tick();
  const int slow_before = slow;
  scheduler_->request_refresh();
  ASSERT_TRUE(published(6));
  EXPECT_EQ(slow, slow_before + 1);
  EXPECT_EQ(fast, 5) << "fresh data is not read again";
  EXPECT_FALSE(scheduler_->is_stale({}));
  EXPECT_EQ(scheduler_->latest_tick(), before);
  EXPECT_NE(scheduler_->latest(), before);
  ASSERT_TRUE(advance_ticks(1));
  {
    const std::lock_guard lock(mutex_);
    EXPECT_EQ(recorded_.size(), 6U) << "refreshes are not recorded";
    EXPECT_EQ(recorded_.back()->find("slow")->section, before->find("slow")->section);
  }
  EXPECT_NE(scheduler_->latest()->find("slow")->section, before->find("slow")->section)
      << "the exporter keeps the newer data";
}

TEST_F(SchedulerTest, RefreshReachesWorkersAndDoesNotWaitForAStuckOne) {
  Gate& gate = new_gate();
  std::atomic<int>& runs = counter();
  add(kMount, 15, [&](CollectContext&, Section&) -> Result<void> {
    ++runs;
    gate.pass();
    return {};
  });
  start();
  ASSERT_TRUE(advance_ticks(3));
  const int before = runs;
  scheduler_->request_refresh();
  ASSERT_TRUE(published(5));
  EXPECT_EQ(runs, before + 1);
  EXPECT_FALSE(scheduler_->is_stale({}));
  ASSERT_TRUE(advance_ticks(3));
  gate.close();
  scheduler_->request_refresh();
  ASSERT_TRUE(published(9)) << "within its budget";
  ASSERT_TRUE(advance_ticks(2)) << "and ticks go on";
  gate.open();
}

TEST_F(SchedulerTest, ManyRequestsShareOneRefresh) {
  std::atomic<int>& slow = counter();
  counting(kSlow, 15, slow);
  start();
  ASSERT_TRUE(advance_ticks(3));
  const int before = slow;
  for (int i = 0; i < 50; ++i) {
    scheduler_->request_refresh();
  }
  ASSERT_TRUE(published(5));
  ASSERT_TRUE(advance_ticks(1));
  EXPECT_EQ(slow, before + 1);
}

TEST_F(SchedulerTest, ReleaseKeepsStateForASuccessor) {
  std::atomic<int>& fast = counter();
  counting(kFast, 1, fast);
  start();
  ASSERT_TRUE(advance_ticks(2));
  EXPECT_TRUE(scheduler_->stop());
  auto released = scheduler_->release();
  ASSERT_EQ(released.size(), 1U);
  EXPECT_EQ(released[0].status.runs, 3U);
  EXPECT_TRUE(released[0].collector);
}

TEST(TickPlan, OffTheGridAWholeIntervalLater) {
  DueInput in{.tick = 1'700'000'007,
              .boottime_ns = 117 * kSecond,
              .tick_ns = kSecond,
              .interval_ns = 17 * kSecond,
              .on_grid = false,
              .ran = true,
              .last_run_boottime_ns = 100 * kSecond};
  EXPECT_TRUE(is_due(in));
  in.boottime_ns -= 1'000'000;
  EXPECT_TRUE(is_due(in)) << "the tick came a little early";
  in.boottime_ns -= kSecond;
  EXPECT_FALSE(is_due(in));
  in.tick = 1'700'000'000;  // a multiple of 17
  EXPECT_FALSE(is_due(in));
}

// The first tick is a multiple of 5 and 10; of 15 the one 10 ticks later is.

TEST_F(SchedulerTest, WhatCanWaitIsStretchedToTheBudget) {
  std::atomic<int>& runs = counter();
  std::atomic<int>& ms = counter();
  ms = 100;
  options_.cpu_budget_ppm = 10'000;
  burning(kPatient, 5, runs, ms);
  start();
  EXPECT_EQ(effective_s("patient"), 5);
  ASSERT_TRUE(advance_ticks(5));
  EXPECT_EQ(runs, 2);
  EXPECT_EQ(effective_s("patient"), 5) << "the first run is not typical";
  ASSERT_TRUE(advance_ticks(1));
  EXPECT_EQ(effective_s("patient"), 10);
  ASSERT_TRUE(advance_ticks(39));
  EXPECT_EQ(runs, 6) << "10 s after the last one each";
  EXPECT_EQ(status("patient").interval_ns, 5 * kSecond) << "as configured";
  EXPECT_EQ(status("patient").cpu_ns, 600'000'000);
  ms = 40;
  ASSERT_TRUE(advance_ticks(200));
  EXPECT_EQ(effective_s("patient"), 5) << "it has become cheap";
  EXPECT_EQ(scheduler_->latest()->ticks_skipped, 0U);
}

TEST_F(SchedulerTest, WithoutABudgetNothingWaits) {
  std::atomic<int>& runs = counter();
  std::atomic<int>& ms = counter();
  ms = 4000;
  burning(kPatient, 5, runs, ms);
  start();
  ASSERT_TRUE(advance_ticks(50));
  EXPECT_EQ(runs, 11);
  EXPECT_EQ(effective_s("patient"), 5);
}

TEST_F(SchedulerTest, TheOthersAreNeverStretchedAndCountAgainstTheBudget) {
  std::atomic<int>& fast = counter();
  std::atomic<int>& fast_ms = counter();
  std::atomic<int>& runs = counter();
  std::atomic<int>& ms = counter();
  fast_ms = 9;
  ms = 36;
  options_.cpu_budget_ppm = 10'000;
  burning(kFast, 1, fast, fast_ms);
  burning(kPatient, 5, runs, ms);
  start();
  ASSERT_TRUE(advance_ticks(20));
  EXPECT_EQ(effective_s("patient"), 5) << "it takes a minute to tell";
  ASSERT_TRUE(advance_ticks(400));
  EXPECT_EQ(fast, 421);
  EXPECT_EQ(effective_s("fast"), 1);
  EXPECT_EQ(effective_s("patient"), 8) << "half of the budget is left";
  EXPECT_NEAR(scheduler_->background_cores(), 0.009, 1e-4);
}

TEST_F(SchedulerTest, WhatStartingUpCostsDoesNotCount) {
  std::atomic<int>& fast = counter();
  std::atomic<int>& fast_ms = counter();
  std::atomic<int>& runs = counter();
  std::atomic<int>& ms = counter();
  fast_ms = 2000;
  ms = 20;
  options_.cpu_budget_ppm = 10'000;
  burning(kFast, 1, fast, fast_ms);
  burning(kPatient, 5, runs, ms);
  start();
  ASSERT_TRUE(advance_ticks(4));
  fast_ms = 0;
  ASSERT_TRUE(advance_ticks(100));
  EXPECT_EQ(runs, 21);
  EXPECT_EQ(effective_s("patient"), 5);
}

TEST_F(SchedulerTest, AWorkersCpuIsItsOwn) {
  std::atomic<int>& runs = counter();
  std::atomic<int>& ms = counter();
  ms = 70;
  burning(kPatientWorker, 5, runs, ms);
  start();
  clock_.burn(kSecond);  // another thread's
  EXPECT_EQ(status("patient_worker").cpu_ns, 70'000'000);
}

TEST_F(SchedulerTest, ASuccessorKnowsWhatARunCosts) {
  std::atomic<int>& runs = counter();
  std::atomic<int>& ms = counter();
  ms = 100;
  options_.cpu_budget_ppm = 10'000;
  burning(kPatient, 5, runs, ms);
  start();
  ASSERT_TRUE(advance_ticks(6));
  EXPECT_TRUE(scheduler_->stop());
  options_.background_cores = 0.005;
  collectors_ = scheduler_->release();
  EXPECT_GT(collectors_[0].cost.mean_cpu_ns, 0);
  start();
  EXPECT_EQ(effective_s("patient"), 20) << "half of the budget is in use";
  EXPECT_EQ(status("patient").cpu_ns, 300'000'000);
  EXPECT_EQ(scheduler_->background_cores(), 0.005);
}

TEST_F(SchedulerTest, AStretchedIntervalSurvivesClockSteps) {
  std::atomic<int>& runs = counter();
  std::atomic<int>& ms = counter();
  ms = 100;
  options_.cpu_budget_ppm = 10'000;
  burning(kPatient, 5, runs, ms);
  start();
  ASSERT_TRUE(advance_ticks(6));
  EXPECT_EQ(runs, 2);
  clock_.step_realtime(-3600 * kSecond);
  ASSERT_TRUE(advance_ticks(8));
  EXPECT_EQ(runs, 2);
  clock_.step_realtime(7200 * kSecond);
  ASSERT_TRUE(advance_ticks(1));
  EXPECT_EQ(runs, 3) << "10 s after the one before";
}

TEST_F(SchedulerTest, TheNextRunIsToldWhomARequestSuspects) {
  std::mutex mutex;
  std::vector<std::optional<std::uint32_t>> told;
  add(kFast, 1, [&](CollectContext& context, Section&) -> Result<void> {
    const std::lock_guard lock(mutex);
    told.push_back(context.culprit_wanted ? std::optional(context.suspect_pid) : std::nullopt);
    return {};
  });
  start();
  ASSERT_TRUE(advance_ticks(1));
  scheduler_->request_run("fast");
  ASSERT_TRUE(advance_ticks(2));
  scheduler_->request_run("fast", 42);
  scheduler_->request_run("fast");
  ASSERT_TRUE(advance_ticks(2));
  const std::lock_guard lock(mutex);
  ASSERT_GE(told.size(), 5U);
  const std::vector<std::optional<std::uint32_t>> last(told.end() - 4, told.end());
  EXPECT_EQ(last, (std::vector<std::optional<std::uint32_t>>{0U, std::nullopt, 42U, std::nullopt}));
}

TEST_F(SchedulerTest, AnEarlyRunComesWithTheNextTick) {
  std::atomic<int>& runs = counter();
  counting(kSlow, 15, runs);
  start();
  ASSERT_TRUE(advance_ticks(12));
  EXPECT_EQ(runs, 2);
  EXPECT_TRUE(scheduler_->request_run("slow"));
  EXPECT_TRUE(scheduler_->request_run("slow")) << "the same one";
  EXPECT_EQ(runs, 2);
  ASSERT_TRUE(advance_ticks(1));
  EXPECT_EQ(runs, 3);
  EXPECT_EQ(status("slow").early_runs, 1U);
  EXPECT_EQ(status("slow").skipped, 0U);
  {
    const std::lock_guard lock(mutex_);
    EXPECT_EQ(recorded_.back()->find("slow")->status.runs, 3U) << "consumers see it";
  }
  ASSERT_TRUE(advance_ticks(12));
  EXPECT_EQ(runs, 4) << "the grid stays";
}

TEST_F(SchedulerTest, OneEarlyRunPerInterval) {
  std::atomic<int>& runs = counter();
  counting(kSlow, 15, runs);
  start();
  ASSERT_TRUE(advance_ticks(12));
  ASSERT_TRUE(scheduler_->request_run("slow"));
  ASSERT_TRUE(advance_ticks(1));
  int accepted_after = 0;
  while (!scheduler_->request_run("slow") && accepted_after < 100) {
    ASSERT_TRUE(advance_ticks(1));
    ++accepted_after;
  }
  EXPECT_EQ(accepted_after, 15);
}

TEST_F(SchedulerTest, ShortIntervalsAllowOneEarlyRunInTenTicks) {
  std::atomic<int>& runs = counter();
  counting(kSlow, 3, runs);
  start();
  const int before = runs;
  for (int i = 0; i < 60; ++i) {
    scheduler_->request_run("slow");
    ASSERT_TRUE(advance_ticks(1));
  }
  EXPECT_LE(status("slow").early_runs, 6U);
  EXPECT_GE(status("slow").early_runs, 3U);
  EXPECT_LE(runs - before, 20 + 6);
}

TEST_F(SchedulerTest, AnEarlyRunCloseToARegularOneTakesItsPlace) {
  std::atomic<int>& runs = counter();
  counting(kSlow, 15, runs);
  start();
  ASSERT_TRUE(advance_ticks(19));
  ASSERT_TRUE(scheduler_->request_run("slow"));
  ASSERT_TRUE(advance_ticks(1));
  EXPECT_EQ(runs, 3);
  ASSERT_TRUE(advance_ticks(5));
  EXPECT_EQ(runs, 3) << "5 s after the early one";
  ASSERT_TRUE(advance_ticks(15));
  EXPECT_EQ(runs, 4);
}

TEST_F(SchedulerTest, EarlyRunsCostNothingOverTheBudget) {
  std::atomic<int>& runs = counter();
  std::atomic<int>& ms = counter();
  ms = 100;
  options_.cpu_budget_ppm = 10'000;
  burning(kPatient, 5, runs, ms);
  start();
  ASSERT_TRUE(advance_ticks(6));
  const int before = runs;
  for (int i = 0; i < 300; ++i) {
    scheduler_->request_run("patient");
    ASSERT_TRUE(advance_ticks(1));
  }
  EXPECT_GE(status("patient").early_runs, 10U);
  EXPECT_LE(runs - before, 31) << "one per 10 s, whoever asks";
  EXPECT_GE(runs - before, 25);
}

TEST_F(SchedulerTest, EarlyRunsThatCannotBe) {
  Gate& gate = new_gate();
  std::atomic<int>& runs = counter();
  counting(kSlow, 15, runs);
  add(kMount, 15, [&](CollectContext&, Section&) -> Result<void> {
    gate.pass();
    return {};
  });
  start();
  EXPECT_FALSE(scheduler_->request_run("nobody"));
  EXPECT_FALSE(scheduler_->request_run(""));
  ASSERT_TRUE(advance_ticks(1));
  gate.close();
  EXPECT_TRUE(scheduler_->request_run("mount"));
  ASSERT_TRUE(advance_ticks(1));
  ASSERT_TRUE(gate.wait_for_entry());
  EXPECT_EQ(status("mount").early_runs, 1U);
  EXPECT_FALSE(scheduler_->request_run("mount")) << "its run hangs";
  ASSERT_TRUE(advance_ticks(40));
  EXPECT_FALSE(scheduler_->request_run("mount"));
  EXPECT_EQ(status("mount").early_runs, 1U);
  EXPECT_TRUE(status("mount").stuck);
  gate.open();
  scheduler_->stop();
  EXPECT_FALSE(scheduler_->request_run("slow")) << "stopped";
}

TEST_F(SchedulerTest, CollectOnceWaitsForWorkers) {
  add(kMount, 15, [](CollectContext&, Section&) -> Result<void> { return {}; });
  make();
  const SnapshotPtr snapshot = scheduler_->collect_once(10 * kSecond);
  EXPECT_TRUE(snapshot->find("mount")->section);
}

}  // namespace
}  // namespace tidegauge
