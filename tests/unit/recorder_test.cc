// SPDX-License-Identifier: Apache-2.0
#include "daemon/recorder/recorder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "daemon/recorder/recording_reader.h"
#include "tests/unit/testing.h"

namespace tidegauge::recording {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

class RecorderTest : public ::testing::Test {
 protected:
  RecorderTest() {
    options_.incidents.directory = tree_.path("root/incidents");
    options_.after_ns = 5 * kSecond;
    options_.max_incident_ns = 8 * kSecond;
  }

  void make() {
    recorder_.emplace(
        options_,
        [] {
          return Checkpoint{{"build.version", "1"}};
        },
        nullptr,
        [this](const IncidentEvent& event) {
          const std::lock_guard lock(mutex_);
          events_.push_back(event);
          changed_.notify_all();
        },
        history_);
  }

  void ticks(int count) {
    for (int i = 0; i < count; ++i) {
      auto snapshot = std::make_shared<Snapshot>();
      ++second_;
      snapshot->sequence = static_cast<std::uint64_t>(second_);
      snapshot->realtime_ns = (1'700'000'000 + second_) * kSecond;
      snapshot->boottime_ns = second_ * kSecond;
      recorder_->on_snapshot(snapshot);
    }
  }

  // Waits for the next finished file and returns the sequences in it.
  std::vector<std::uint64_t> finished() {
    std::unique_lock lock(mutex_);
    const auto is_finished = [](const IncidentEvent& event) {
      return event.kind == IncidentEvent::Kind::kFinished;
    };
    changed_.wait_for(lock, std::chrono::seconds(30), [&] {
      return std::count_if(events_.begin(), events_.end(), is_finished) > seen_;
    });
    ++seen_;
    const auto at = std::find_if(events_.rbegin(), events_.rend(), is_finished);
    std::vector<std::uint64_t> out;
    if (at == events_.rend()) {
      return out;
    }
    auto reader = RecordingReader::open(options_.incidents.directory + "/" + at->file);
    EXPECT_TRUE(reader) << testing::error_text(reader);
    while (auto item = reader ? reader->next() : std::nullopt) {
      EXPECT_FALSE(std::holds_alternative<Damage>(*item));
      if (const auto* snapshot = std::get_if<SnapshotPtr>(&*item)) {
        histories_.push_back(reader->history());
        out.push_back((*snapshot)->sequence);
      }
    }
    return out;
  }

  static std::vector<std::uint64_t> range(std::uint64_t first, std::uint64_t last) {
    std::vector<std::uint64_t> out;
    for (std::uint64_t i = first; i <= last; ++i) {
      out.push_back(i);
    }
    return out;
  }

  testing::FixtureTree tree_;
  RecorderOptions options_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<IncidentEvent> events_;
  std::ptrdiff_t seen_ = 0;
  std::int64_t second_ = 0;
  Recorder::History history_;
  std::vector<std::string> histories_;  // that came with each Snapshot of finished()
  std::optional<Recorder> recorder_;    // ends first
};

// It belongs to the first chunk, and is asked for when a file begins, once.
TEST_F(RecorderTest, AFileBeginsWithWhatWasKnownBefore) {
  std::vector<std::pair<std::int64_t, std::int64_t>> asked;
  history_ = [&](std::int64_t begin_ns, std::int64_t until_ns) {
    asked.emplace_back(begin_ns, until_ns);
    return std::string("what was");
  };
  make();
  ticks(12);
  EXPECT_TRUE(asked.empty());
  ASSERT_TRUE(recorder_->trigger("test"));
  ticks(20);
  EXPECT_EQ(finished(), range(1, 18));
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_EQ(asked[0].first, 1 * kSecond);
  EXPECT_EQ(asked[0].second, 12 * kSecond);
  ASSERT_EQ(histories_.size(), 18U);
  EXPECT_EQ(std::count(histories_.begin(), histories_.end(), "what was"), 12);
  EXPECT_EQ(histories_.front(), "what was");
  EXPECT_EQ(histories_.back(), "");
}

TEST_F(RecorderTest, AFileHasAllThatWasAndWhatFollows) {
  make();
  EXPECT_FALSE(recorder_->trigger("early"));
  ticks(12);  // two of them wait
  const auto triggered = recorder_->trigger("test");
  ASSERT_TRUE(triggered) << testing::error_text(triggered);
  EXPECT_FALSE(triggered->is_extended);
  EXPECT_EQ(triggered->file, "20231114T221332.000Z-test.tgrec");
  EXPECT_TRUE(recorder_->stats().is_recording);
  ticks(20);
  EXPECT_EQ(finished(), range(1, 18));  // 13 is the first afterwards
  EXPECT_FALSE(recorder_->stats().is_recording);
  EXPECT_EQ(recorder_->stats().ring.recorded, 28U);  // and four that wait
}

TEST_F(RecorderTest, AnotherTriggerExtendsItWithinBounds) {
  make();
  ticks(1);
  ASSERT_TRUE(recorder_->trigger("test"));
  ticks(3);
  const auto again = recorder_->trigger("again");
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->is_extended);
  ticks(3);
  ASSERT_TRUE(recorder_->trigger("again"));
  ticks(20);
  EXPECT_EQ(finished(), range(1, 10));  // 8 s behind 2
  ASSERT_TRUE(recorder_->trigger("next"));
  ticks(20);
  EXPECT_EQ(finished().back(), 33U);
}

TEST_F(RecorderTest, ThatTicksStoodStillCostsNothingOfWhatFollows) {
  make();
  ticks(3);
  ASSERT_TRUE(recorder_->trigger("test"));
  second_ += 3600;
  ticks(20);
  const std::vector<std::uint64_t> there = finished();
  EXPECT_EQ(std::vector(there.begin() + 3, there.end()), range(3604, 3609));
}

TEST_F(RecorderTest, StoppingKeepsWhatThereIs) {
  make();
  ticks(7);
  ASSERT_TRUE(recorder_->trigger("test"));
  ticks(2);
  EXPECT_TRUE(recorder_->stop(std::chrono::seconds(30)));
  EXPECT_EQ(finished(), range(1, 9));
  EXPECT_FALSE(recorder_->trigger("late"));
}

// A disk that takes nothing: the next trigger may have better luck, and the ring is left alone.
TEST_F(RecorderTest, AFailureEndsTheIncident) {
  tree_.write("root/incidents", "a file");
  make();
  ticks(2);
  ASSERT_TRUE(recorder_->trigger("test"));
  {
    std::unique_lock lock(mutex_);
    ASSERT_TRUE(changed_.wait_for(lock, std::chrono::seconds(30), [&] {
      return std::any_of(events_.begin(), events_.end(), [](const IncidentEvent& event) {
        return event.kind == IncidentEvent::Kind::kFailed;
      });
    }));
  }
  ticks(1);
  EXPECT_FALSE(recorder_->stats().is_recording);
  tree_.remove("root/incidents");
  ASSERT_TRUE(recorder_->trigger("test"));
  ticks(20);
  EXPECT_EQ(finished().front(), 1U);
}

SnapshotPtr with_pressure(std::int64_t second, double waited_s) {
  auto shape = std::make_shared<Shape>();
  ColumnInfo column;
  column.family = "node_pressure_io_waiting_seconds_total";
  column.scale = kMicroseconds;
  shape->columns.push_back(column);
  shape->rows.emplace_back();
  auto section = std::make_shared<Section>();
  section->read_start_boottime_ns = second * kSecond;
  Table table;
  table.shape = shape;
  table.values.push_back(static_cast<std::uint64_t>(waited_s * 1e6));
  section->tables.push_back(table);
  auto out = std::make_shared<Snapshot>();
  out->entries.push_back({"pressure", section, {}});
  return out;
}

TEST(PeakWatch, TellsWhenItIsWorseThanBefore) {
  PeakWatch watch;
  double waited_s = 0;
  std::vector<std::int64_t> peaks;
  const auto look = [&](std::int64_t second, double share) {
    waited_s += share;
    if (watch.is_peak(*with_pressure(second, waited_s))) {
      peaks.push_back(second);
    }
  };
  for (std::int64_t second = 1; second <= 30; ++second) {
    look(second, second < 10 ? 0.3 : second < 20 ? 0.5 : 0.55);
  }
  EXPECT_EQ(peaks, std::vector<std::int64_t>{10});  // 0.55 is not clearly worse
  watch.begin_incident();
  look(40, 8);  // nothing to compare with yet
  for (std::int64_t second = 41; second <= 50; ++second) {
    look(second, second < 48 ? 0.1 : 0.2);
  }
  EXPECT_EQ(peaks, (std::vector<std::int64_t>{10, 48}));
}

}  // namespace
}  // namespace tidegauge::recording
