// SPDX-License-Identifier: Apache-2.0

// Recorded Snapshots lead to the verdicts that they led to live.

#include "daemon/replay/replay_heuristics.h"

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "collectors/core/table_builder.h"
#include "collectors/registry.h"
#include "daemon/heuristics/verdict_json.h"
#include "daemon/recorder/ring.h"
#include "daemon/replay/found_verdicts.h"
#include "daemon/replay/recorded_text.h"
#include "daemon/replay/recording_walk.h"
#include "daemon/replay/replay_source.h"
#include "tests/unit/testing.h"

namespace tidegauge::replay {
namespace {

using heuristics::Heuristics;
using heuristics::Thresholds;
using heuristics::VerdictId;

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kStart = 1'795'656'752 * kSecond;
constexpr std::string_view kName = Heuristics::kName;

ColumnInfo counter(std::string family, Scale scale = {}) {
  ColumnInfo out;
  out.family = std::move(family);
  out.help = "h";
  out.kind = MetricKind::kCounter;
  out.scale = scale;
  return out;
}

// A host with one disk, which is saturated in some of its seconds, and its daemon: what the daemon would record.
class Host {
 public:
  explicit Host(const Thresholds& limits = {}) : live_(limits), limits_(limits) {
    recording::RingOptions options;
    options.chunk_ns = 20 * kSecond;
    options.window_ns = INT64_MAX / 2;
    options.max_bytes = std::size_t{1} << 30U;
    ring_ = std::make_unique<recording::Ring>(options, [this] {
      recording::Checkpoint out;
      add_thresholds(limits_, out);
      out[std::string(kHeuristicsState)] = live_.save();
      return out;
    });
  }

  void tick(bool is_saturated) {
    ++ticks_;
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->sequence = snapshot->ticks = ticks_;
    snapshot->boottime_ns = 50 * kSecond + static_cast<std::int64_t>(ticks_) * kSecond;
    snapshot->realtime_ns = kStart + static_cast<std::int64_t>(ticks_) * kSecond;
    snapshot->entries.push_back({"diskstats", disks(is_saturated, snapshot->boottime_ns), {}});
    // Slow collectors are carried over from tick to tick, and so into another chunk.
    if (ticks_ % 7 == 1) {
      groups_ = groups(snapshot->boottime_ns);
    }
    snapshot->entries.push_back({"process", groups_, {}});
    for (SnapshotEntry& entry : snapshot->entries) {
      entry.status.ran = entry.status.success = true;
    }
    auto section = live_.update(*snapshot);
    snapshot->entries.push_back({kName, std::move(section), snapshot->entries[0].status});
    snapshots_.push_back(snapshot);
    reports_.push_back(live_.report());
    // As the recorder does, a few at a time, when the heuristics are further already.
    if (ticks_ % 5 == 0) {
      flush();
    }
  }
  void ticks(int count, bool is_saturated) {
    for (int i = 0; i < count; ++i) {
      tick(is_saturated);
    }
  }
  void flush() {
    for (; recorded_ < snapshots_.size(); ++recorded_) {
      ring_->add(snapshots_[recorded_]);
    }
  }
  // From this chunk on, with what was known before or without.
  std::string file(std::size_t first_chunk = 0, bool with_history = true) {
    flush();
    ring_->seal();
    std::string out = recording::file_header();
    const auto chunks = ring_->chunks();
    const std::string history = live_.save_history(chunks[first_chunk]->first_boottime_ns,
                                                   chunks[first_chunk]->last_boottime_ns);
    if (with_history && !history.empty()) {
      recording::ChunkCompressor compressor(1);
      compressor.add(history);
      out += compressor.finish({.kind = recording::ChunkKind::kHistory, .count = 1});
    }
    for (std::size_t i = first_chunk; i < chunks.size(); ++i) {
      out += chunks[i]->bytes;
    }
    return out + recording::ChunkCompressor(1).finish({.kind = recording::ChunkKind::kEnd});
  }

  [[nodiscard]] const Heuristics& live() const { return live_; }
  [[nodiscard]] const std::vector<SnapshotPtr>& snapshots() const { return snapshots_; }
  [[nodiscard]] const std::vector<std::shared_ptr<const heuristics::Report>>& reports() const {
    return reports_;
  }

 private:
  std::shared_ptr<const Section> disks(bool is_saturated, std::int64_t boottime_ns) {
    // Milliseconds; 200 requests a second of 45 ms each, nine in the queue.
    requests_ += is_saturated ? 200 : 2;
    busy_ms_ += is_saturated ? 1000 : 1;
    wait_ms_ += is_saturated ? 9000 : 2;
    disk_.begin();
    disk_.row({"sda"});
    disk_.set(0, requests_);
    disk_.set(1, requests_ * 4096);
    disk_.set(2, wait_ms_);
    disk_.set(3, busy_ms_);
    disk_.set(4, wait_ms_);
    for (std::size_t column = 5; column < 8; ++column) {
      disk_.set(column, 0);
    }
    auto out = std::make_shared<Section>();
    out->tables.push_back(disk_.take());
    out->read_start_boottime_ns = boottime_ns - 2000;
    out->read_end_boottime_ns = boottime_ns - 1000;
    return out;
  }
  std::shared_ptr<const Section> groups(std::int64_t boottime_ns) {
    group_.begin();
    for (const char* name : {"unit:a", "unit:b"}) {
      group_.row({name});
      group_.set(0, requests_ * 4096);
    }
    auto out = std::make_shared<Section>();
    out->tables.push_back(group_.take());
    out->read_start_boottime_ns = boottime_ns - 3000;
    out->read_end_boottime_ns = boottime_ns - 500;
    return out;
  }

  Heuristics live_;
  Thresholds limits_;
  std::unique_ptr<recording::Ring> ring_;
  std::vector<SnapshotPtr> snapshots_;
  std::vector<std::shared_ptr<const heuristics::Report>> reports_;
  std::size_t recorded_ = 0;
  std::uint64_t ticks_ = 0;
  std::uint64_t requests_ = 0;
  std::uint64_t busy_ms_ = 0;
  std::uint64_t wait_ms_ = 0;
  std::shared_ptr<const Section> groups_;
  RowTable disk_{
      {"device"},
      {counter("node_disk_reads_completed_total"), counter("node_disk_read_bytes_total"),
       counter("node_disk_read_time_seconds_total", kMilliseconds),
       counter("node_disk_io_time_seconds_total", kMilliseconds),
       counter("node_disk_io_time_weighted_seconds_total", kMilliseconds),
       counter("node_disk_writes_completed_total"), counter("node_disk_written_bytes_total"),
       counter("node_disk_write_time_seconds_total", kMilliseconds)}};
  RowTable group_{{"group"}, {counter("tidegauge_group_storage_written_bytes_total")}};
};

// Two incidents, the second of which holds at the end.
void incidents(Host& host) {
  host.ticks(33, false);
  host.ticks(50, true);
  host.ticks(60, false);
  host.ticks(40, true);
}

std::string text_of(const heuristics::Report& report) {
  return heuristics::json_text(heuristics::report_json(report));
}

class ReplayHeuristicsTest : public ::testing::Test {
 protected:
  RecordingWalk walk(const std::string& bytes, const WalkRange& range = {}) {
    tree_.write("root/x.tgrec", bytes);
    auto out = RecordingWalk::open(path(), range, [](const recording::Damage&) {});
    EXPECT_TRUE(out);
    return std::move(*out);
  }
  [[nodiscard]] std::string path() const { return tree_.path("root/x.tgrec"); }

  testing::FixtureTree tree_;
};

// Each Snapshot of `from` leads to what it led to live, as /metrics and /api/v1/verdicts show it.
void expect_live_again(RecordingWalk& from, ReplayHeuristics& again, const Host& host,
                       bool with_reports) {
  RecordedExposition recorded(all_collectors());
  RecordedExposition replayed(all_collectors());
  std::size_t seen = 0;
  while (const SnapshotPtr snapshot = from.next()) {
    ++seen;
    const SnapshotPtr applied = again.apply(snapshot, from.checkpoint());
    ASSERT_EQ(applied->entries.size(), snapshot->entries.size());
    const auto then = recorded.body(snapshot, true);
    ASSERT_NE(then->find("tidegauge_verdict_active"), std::string::npos);
    ASSERT_TRUE(*then == *replayed.body(applied, true)) << snapshot->sequence;
    if (with_reports) {
      ASSERT_EQ(text_of(*again.report()), text_of(*host.reports()[snapshot->sequence - 1]))
          << snapshot->sequence;
    }
  }
  EXPECT_GT(seen, 10U);
}

// A state has only the sentence of what was over when it was made.
nlohmann::json comparable(const heuristics::Report& report, std::string_view begin_time) {
  nlohmann::json out = nlohmann::json::parse(text_of(report));
  for (nlohmann::json& verdict : out["recent"]) {
    if (verdict["ended"].get<std::string>() < begin_time) {
      for (const char* part : {"evidence", "ruled_out", "unchecked", "timeline", "next_steps"}) {
        verdict.erase(part);
      }
    }
  }
  return out;
}

// From the Snapshot on that the first state was made behind: until then the report is ahead, as the state is.
void expect_same_reports(RecordingWalk& from, ReplayHeuristics& again, const Host& host) {
  std::string begin_time;
  std::size_t seen = 0;
  while (const SnapshotPtr snapshot = from.next()) {
    ++seen;
    again.apply(snapshot, from.checkpoint(), from.history());
    begin_time = begin_time.empty() ? time_text(snapshot->realtime_ns + 5 * kSecond) : begin_time;
    if (seen > 5) {
      ASSERT_EQ(comparable(*again.report(), begin_time),
                comparable(*host.reports()[snapshot->sequence - 1], begin_time))
          << snapshot->sequence;
    }
  }
  EXPECT_GT(seen, 10U);
}

// The same verdicts hold since the same times; what depends on history may be less sure.
void expect_same_verdicts(RecordingWalk& from, ReplayHeuristics& again, const Host& host) {
  const auto told = [](const heuristics::Report& report) {
    std::string out;
    for (const heuristics::Verdict& verdict : report.active) {
      out += std::to_string(verdict.number) + " since " +
             std::to_string(verdict.onset_realtime_ns) + "\n";
    }
    return out;
  };
  std::size_t seen = 0;
  while (const SnapshotPtr snapshot = from.next()) {
    ++seen;
    again.apply(snapshot, from.checkpoint());
    // As long as the state is ahead, the report is, too.
    if (seen > 5) {
      ASSERT_EQ(told(*again.report()), told(*host.reports()[snapshot->sequence - 1]))
          << snapshot->sequence;
    }
  }
  EXPECT_GT(seen, 10U);
}

TEST_F(ReplayHeuristicsTest, SaysByteForByteWhatLiveSaid) {
  Host host;
  incidents(host);
  const auto& last = *host.reports().back();
  ASSERT_EQ(last.active.size(), 1U);
  ASSERT_EQ(last.recent.size(), 1U);
  ASSERT_EQ(last.active[0].finding.id, VerdictId::kDiskSaturated);
  RecordingWalk from = walk(host.file());
  ReplayHeuristics again;
  expect_live_again(from, again, host, false);
  EXPECT_EQ(text_of(*again.report()), text_of(last));
  // And without a state, which only says what the first Snapshots say, too.
  RecordingWalk once_more = walk(host.file());
  ReplayHeuristics stateless;
  while (const SnapshotPtr snapshot = once_more.next()) {
    stateless.apply(snapshot, {});
    ASSERT_EQ(text_of(*stateless.report()), text_of(*host.reports()[snapshot->sequence - 1]));
  }
}

TEST_F(ReplayHeuristicsTest, FromTheMiddleItGoesOnWhereLiveStood) {
  Host host;
  incidents(host);
  RecordingWalk from = walk(host.file(3, false));  // within the first incident
  ReplayHeuristics again;
  expect_same_verdicts(from, again, host);
  const auto report = again.report();
  ASSERT_EQ(report->active.size(), 1U);
  EXPECT_EQ(report->active[0].number, 2U);
  ASSERT_EQ(report->recent.size(), 1U);
  EXPECT_EQ(report->recent[0]->finding.onset_ns,
            host.reports().back()->recent[0]->finding.onset_ns);
}

TEST_F(ReplayHeuristicsTest, WithItsHistoryItSaysByteForByteWhatLiveSaid) {
  Host host;
  incidents(host);
  const std::size_t chunks = 9;
  for (std::size_t first = 1; first < chunks; ++first) {
    SCOPED_TRACE(first);
    RecordingWalk from = walk(host.file(first));
    ReplayHeuristics again;
    expect_same_reports(from, again, host);
  }
}

TEST_F(ReplayHeuristicsTest, NoDamageToAHistoryHurts) {
  Host host;
  incidents(host);
  const std::int64_t last_ns = host.snapshots().back()->boottime_ns;
  const std::string history = host.live().save_history(last_ns, last_ns);
  const std::string state = host.live().save();
  ASSERT_GT(history.size(), 1000U);
  EXPECT_EQ(host.live().save_history(0, last_ns), "") << "nothing is older than the beginning";
  const auto load = [&](std::string_view bytes) {
    Heuristics loaded;
    EXPECT_TRUE(loaded.load(state));
    const bool is_good = loaded.load_history(bytes);
    EXPECT_EQ(loaded.scene().axis().size() > 0, is_good);
    if (is_good) {
      Snapshot next = *host.snapshots().back();
      next.boottime_ns += kSecond;
      loaded.update(next);
    }
    return is_good;
  };
  EXPECT_TRUE(load(history));
  for (std::size_t length = 0; length < history.size(); ++length) {
    // A subject is whole or missing, which nothing but the chunk's checksum tells.
    const bool is_good = load(std::string_view(history).substr(0, length));
    ASSERT_TRUE(!is_good || length > 1000) << length;
  }
  std::mt19937 random(1);
  for (std::size_t at = 0; at < history.size(); ++at) {
    std::string bad = history;
    bad[at] = static_cast<char>(random());
    load(bad);
  }
}

TEST_F(ReplayHeuristicsTest, BehindDamageItGoesOnWhereLiveStood) {
  Host host;
  incidents(host);
  std::string bytes = host.file();
  bytes[bytes.size() / 3] = static_cast<char>(bytes[bytes.size() / 3] ^ 0x10);
  RecordingWalk from = walk(bytes);
  ReplayHeuristics again;
  std::uint64_t last = 0;
  bool is_cut = false;
  while (const SnapshotPtr snapshot = from.next()) {
    is_cut = is_cut || snapshot->sequence != last + 1;
    last = snapshot->sequence;
    again.apply(snapshot, from.checkpoint());
  }
  EXPECT_TRUE(is_cut);
  EXPECT_EQ(from.damages(), 1U);
  EXPECT_EQ(again.report()->active.at(0).number, 2U);
}

TEST_F(ReplayHeuristicsTest, FromATimeItKnowsWhatWasBefore) {
  Host host;
  incidents(host);
  RecordingWalk from = walk(host.file(), {parse_time_argument("-25s"), {}});
  ReplayHeuristics again;
  again.warm_up(path(), from);
  expect_live_again(from, again, host, true);
  RecordingWalk whole = walk(host.file());
  ReplayHeuristics cold;
  cold.warm_up(path(), whole);
  EXPECT_EQ(cold.report()->realtime_ns, 0) << "there is nothing before the beginning";
}

TEST_F(ReplayHeuristicsTest, ThresholdsAreThoseOfTheRecording) {
  Thresholds limits;
  limits.disk_queue = 50.5;
  Host host(limits);
  incidents(host);
  EXPECT_TRUE(host.reports().back()->active.empty());
  RecordingWalk from = walk(host.file());
  ReplayHeuristics again;
  expect_live_again(from, again, host, false);

  recording::Checkpoint checkpoint;
  add_thresholds(limits, checkpoint);
  EXPECT_EQ(thresholds_of(checkpoint), limits);
  EXPECT_EQ(thresholds_of({}), Thresholds{});
  for (const char* bad : {"", "x", "nan", "-1", "inf", "1e300", "0"}) {
    EXPECT_EQ(thresholds_of({{"heuristics.disk_queue", bad}}), Thresholds{}) << bad;
  }
}

TEST_F(ReplayHeuristicsTest, AStateThatIsNoneIsIgnored) {
  Host host;
  incidents(host);
  Heuristics far;
  Snapshot late;
  late.boottime_ns = 1'000'000 * kSecond;
  far.update(late);
  for (const std::string& state :
       {std::string("x"), std::string(), std::string(5000, '\xff'), far.save()}) {
    RecordingWalk from = walk(host.file(1));
    ReplayHeuristics again;
    while (const SnapshotPtr snapshot = from.next()) {
      again.apply(snapshot, {{std::string(kHeuristicsState), state}});
    }
    EXPECT_EQ(again.report()->active.size(), 1U);
  }
}

TEST_F(ReplayHeuristicsTest, AddsVerdictsToWhatHasNone) {
  Host host;
  incidents(host);
  ReplayHeuristics again;
  for (const SnapshotPtr& snapshot : host.snapshots()) {
    Snapshot bare = *snapshot;
    bare.entries.pop_back();
    const SnapshotPtr applied = again.apply(std::make_shared<const Snapshot>(bare), {});
    ASSERT_EQ(applied->entries.size(), 3U);
    const SnapshotEntry* entry = applied->find(kName);
    ASSERT_TRUE(entry != nullptr && entry->section && entry->status.success);
  }
  EXPECT_EQ(again.report()->active.size(), 1U);
  again.rewind();
  EXPECT_EQ(again.report()->active.size(), 0U);
}

TEST_F(ReplayHeuristicsTest, TimesThatCannotBeAreLeftAlone) {
  ReplayHeuristics again;
  for (const std::int64_t ns : {INT64_MIN, std::int64_t{-1}, INT64_MAX}) {
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->boottime_ns = ns;
    const SnapshotPtr given = snapshot;
    EXPECT_EQ(again.apply(given, {}), given);
  }
}

TEST_F(ReplayHeuristicsTest, FindsEveryVerdictOnce) {
  Host host;
  incidents(host);
  FoundVerdicts found;
  for (const auto& report : host.reports()) {
    found.look(*report);
  }
  ASSERT_EQ(found.found().size(), 2U);
  EXPECT_EQ(found.found()[0].number, 1U);
  EXPECT_FALSE(found.found()[0].is_active());
  EXPECT_TRUE(found.found()[1].is_active());
  EXPECT_EQ(found.left_out(), 0U);
  // What had ended before is not of it.
  FoundVerdicts late;
  late.look(*host.reports().back());
  ASSERT_EQ(late.found().size(), 1U);
  EXPECT_EQ(late.found()[0].number, 2U);
}

TEST_F(ReplayHeuristicsTest, IsServed) {
  Host host;
  incidents(host);
  ReplaySource source;
  ReplayHandler handler(source, all_collectors());
  const auto get = [&] {
    HttpRequest request;
    request.method = "GET";
    request.path = "/api/v1/verdicts";
    return std::get<HttpResponse>(handler.handle(request, false));
  };
  EXPECT_EQ(get().status, 503);
  source.publish({host.snapshots().back(), true, host.reports().back()});
  const HttpResponse answer = get();
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.content_type, "application/json");
  EXPECT_EQ(*answer.body, text_of(*host.reports().back()));
}

}  // namespace
}  // namespace tidegauge::replay
