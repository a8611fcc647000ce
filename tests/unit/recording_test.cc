// SPDX-License-Identifier: Apache-2.0

// Recordings: what went in comes out, and what was damaged on the way is noticed.

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "collectors/core/table_builder.h"
#include "daemon/recorder/recording_reader.h"
#include "daemon/recorder/ring.h"
#include "daemon/recorder/snapshot_decoder.h"
#include "daemon/recorder/snapshot_encoder.h"
#include "daemon/recorder/wire.h"

namespace tidegauge::recording {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

// Of what a Snapshot says, everything.
void expect_equal(const Snapshot& a, const Snapshot& b) {
  EXPECT_EQ(snapshot_fields(a), snapshot_fields(b));
  ASSERT_EQ(a.entries.size(), b.entries.size());
  for (std::size_t i = 0; i < a.entries.size(); ++i) {
    EXPECT_EQ(a.entries[i].collector, b.entries[i].collector);
    EXPECT_EQ(status_fields(a.entries[i].status), status_fields(b.entries[i].status));
    ASSERT_EQ(a.entries[i].section != nullptr, b.entries[i].section != nullptr) << i;
    if (!a.entries[i].section) {
      continue;
    }
    const Section& left = *a.entries[i].section;
    const Section& right = *b.entries[i].section;
    EXPECT_EQ(left.read_start_boottime_ns, right.read_start_boottime_ns);
    EXPECT_EQ(left.read_end_boottime_ns, right.read_end_boottime_ns);
    ASSERT_EQ(left.tables.size(), right.tables.size());
    for (std::size_t t = 0; t < left.tables.size(); ++t) {
      EXPECT_EQ(left.tables[t].shape->label_names, right.tables[t].shape->label_names);
      EXPECT_EQ(left.tables[t].shape->columns, right.tables[t].shape->columns);
      EXPECT_EQ(left.tables[t].shape->rows, right.tables[t].shape->rows);
      EXPECT_EQ(left.tables[t].values, right.tables[t].values);
      EXPECT_EQ(left.tables[t].absent, right.tables[t].absent);
    }
  }
}

ColumnInfo column(std::string family, NumberType type = NumberType::kUnsigned) {
  ColumnInfo out;
  out.family = std::move(family);
  out.help = "Help, with\nlines and \"quotes\".";
  out.kind = MetricKind::kCounter;
  out.type = type;
  out.scale = kMilliseconds;
  out.labels.push_back({"mode", "a\"b\\c\xC3\xA4"});
  return out;
}

// Snapshots of three collectors whose devices come and go, one of which fails now and then.
class Host {
 public:
  explicit Host(unsigned seed) : random_(seed) {}

  SnapshotPtr next() {
    auto out = std::make_shared<Snapshot>();
    out->sequence = ++sequence_;
    realtime_ns_ += one_of(20) == 0 ? -5 * kSecond : kSecond;  // the clock is set back at times
    boottime_ns_ += kSecond + static_cast<std::int64_t>(one_of(1000));
    out->realtime_ns = realtime_ns_;
    out->boottime_ns = boottime_ns_;
    out->ticks = sequence_;
    disks_section(*out);
    load_section(*out);
    CollectorStatus failing;
    failing.error = ErrorKind::kTimeout;
    failing.failures = sequence_;
    out->entries.push_back({"failing", nullptr, failing});
    return out;
  }

 private:
  unsigned one_of(unsigned n) { return static_cast<unsigned>(random_() % n); }

  std::shared_ptr<Section> section() const {
    auto out = std::make_shared<Section>();
    out->read_start_boottime_ns = boottime_ns_ + 1000;
    out->read_end_boottime_ns = boottime_ns_ + 2000;
    return out;
  }

  void disks_section(Snapshot& out) {
    if (one_of(4) == 0) {
      devices_[std::to_string(one_of(20))] = {};
    }
    if (one_of(6) == 0 && !devices_.empty()) {
      devices_.erase(std::next(devices_.begin(), one_of(static_cast<unsigned>(devices_.size()))));
    }
    disks_.begin();
    for (auto& [name, values] : devices_) {
      disks_.row({name, "virtio"});
      for (std::size_t i = 0; i < 3; ++i) {
        values[i] += one_of(3) == 0 ? 0 : one_of(1'000'000);
        if (one_of(10) != 0) {
          disks_.set(i, i == 2 ? std::bit_cast<std::uint64_t>(values[i] / 7.0)
                               : static_cast<std::uint64_t>(values[i]));
        }
      }
    }
    if (one_of(8) == 0) {
      out.entries.push_back({"disks", nullptr, {}});
      return;
    }
    if (!disks_section_ || one_of(3) != 0) {  // else a slow collector's, as before
      auto fresh = section();
      fresh->tables.push_back(disks_.take());
      if (one_of(2) == 0) {
        fresh->tables.push_back(other_table());
      }
      disks_section_ = fresh;
    }
    CollectorStatus status;
    status.ran = status.success = true;
    status.runs = sequence_;
    status.duration_ns = static_cast<std::int64_t>(one_of(1'000'000));
    out.entries.push_back({"disks", disks_section_, status});
  }

  Table other_table() {
    other_.begin();
    other_.row({});
    other_.set(0, static_cast<std::uint64_t>(-static_cast<std::int64_t>(one_of(1000))));
    return other_.take();
  }

  void load_section(Snapshot& out) {
    load_.begin();
    load_.row({});
    load_.set(0, std::bit_cast<std::uint64_t>(one_of(100) / 100.0));
    auto fresh = section();
    fresh->tables.push_back(load_.take());
    out.entries.push_back({"load", fresh, {}});
  }

  std::mt19937 random_;
  std::uint64_t sequence_ = 0;
  std::int64_t realtime_ns_ = 1'700'000'000 * kSecond;
  std::int64_t boottime_ns_ = 5 * kSecond;
  std::map<std::string, std::array<double, 3>> devices_;
  std::shared_ptr<const Section> disks_section_;
  RowTable disks_{{"device", "driver"},
                  {column("a_total"), column("b_total"), column("c", NumberType::kReal)}};
  RowTable other_{{}, {column("signed", NumberType::kSigned)}};
  RowTable load_{{}, {column("load1", NumberType::kReal)}};
};

Ring make_ring(RingOptions options = {}) {
  return Ring(options, [] {
    return Checkpoint{{"build.version", "1"}, {"state", std::string("\0x", 2)}};
  });
}

std::string end_chunk() { return ChunkCompressor(1).finish({.kind = ChunkKind::kEnd}); }

std::string file_of(const std::vector<ChunkPtr>& chunks) {
  std::string out = file_header();
  for (const ChunkPtr& chunk : chunks) {
    out += chunk->bytes;
  }
  return out + end_chunk();
}

struct ReadBack {
  std::vector<SnapshotPtr> snapshots;
  std::vector<Damage> damages;
  std::vector<RawFiles> raw;
};

ReadBack read_all(RecordingReader& reader) {
  ReadBack out;
  while (auto item = reader.next()) {
    if (auto* snapshot = std::get_if<SnapshotPtr>(&*item)) {
      out.snapshots.push_back(*snapshot);
    } else if (auto* damage = std::get_if<Damage>(&*item)) {
      out.damages.push_back(*damage);
    } else {
      out.raw.push_back(std::get<RawFiles>(*item));
    }
  }
  return out;
}

TEST(Wire, NumbersComeBack) {
  std::string bytes;
  ByteWriter writer(bytes);
  const std::vector<std::uint64_t> numbers{0,   1,          127,        128,
                                           300, UINT32_MAX, UINT64_MAX, 1ULL << 63U};
  const std::vector<std::int64_t> signed_numbers{0, -1, 1, INT64_MAX, INT64_MIN, -64, 63};
  for (const auto number : numbers) {
    writer.number(number);
  }
  for (const auto number : signed_numbers) {
    writer.signed_number(number);
  }
  writer.text("text");
  ByteReader reader(bytes);
  for (const auto number : numbers) {
    EXPECT_EQ(reader.number(), number);
  }
  for (const auto number : signed_numbers) {
    EXPECT_EQ(reader.signed_number(), number);
  }
  EXPECT_EQ(reader.text(), "text");
  EXPECT_TRUE(reader.is_good());
  EXPECT_EQ(reader.byte(), 0);
  EXPECT_FALSE(reader.is_good());
}

TEST(Wire, NumbersOfMoreThan64BitsAreBad) {
  for (const std::string& bytes : {std::string(10, '\xFF') + '\x01',
                                   std::string(9, '\xFF') + '\x02', std::string(3, '\xFF')}) {
    ByteReader reader(bytes);
    reader.number();
    EXPECT_FALSE(reader.is_good());
  }
}

TEST(Recording, WhatGoesInComesOut) {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    Host host(seed);
    RingOptions options;
    options.chunk_ns = 10 * kSecond;
    Ring ring = make_ring(options);
    std::vector<SnapshotPtr> in;
    for (int i = 0; i < 100; ++i) {
      in.push_back(host.next());
      ring.add(in.back());
    }
    ring.seal();
    auto reader = RecordingReader::from_bytes(file_of(ring.chunks()));
    ASSERT_TRUE(reader);
    const ReadBack out = read_all(*reader);
    EXPECT_TRUE(out.damages.empty());
    ASSERT_EQ(out.snapshots.size(), in.size());
    for (std::size_t i = 0; i < in.size(); ++i) {
      expect_equal(*in[i], *out.snapshots[i]);
    }
    EXPECT_EQ(reader->checkpoint().at("build.version"), "1");
    EXPECT_EQ(reader->checkpoint().at("state"), std::string("\0x", 2));
    const RecordingSummary summary = reader->summary();
    EXPECT_EQ(summary.snapshots, in.size());
    EXPECT_TRUE(summary.is_complete);
    EXPECT_EQ(summary.damages, 0U);
    reader->rewind();
    EXPECT_EQ(read_all(*reader).snapshots.size(), in.size());
  }
}

TEST(Recording, EachChunkStandsAlone) {
  Host host(7);
  RingOptions options;
  options.chunk_ns = 5 * kSecond;
  Ring ring = make_ring(options);
  std::vector<SnapshotPtr> in;
  for (int i = 0; i < 40; ++i) {
    in.push_back(host.next());
    ring.add(in.back());
  }
  ring.seal();
  std::size_t at = 0;
  for (const ChunkPtr& chunk : ring.chunks()) {
    auto reader = RecordingReader::from_bytes(file_of({chunk}));
    ASSERT_TRUE(reader);
    for (const SnapshotPtr& snapshot : read_all(*reader).snapshots) {
      expect_equal(*in[at++], *snapshot);
    }
  }
  EXPECT_EQ(at, in.size());
}

TEST(Recording, RawFilesAndEarlyChunksSkipped) {
  Host host(3);
  RingOptions options;
  options.chunk_ns = 10 * kSecond;
  Ring ring = make_ring(options);
  std::vector<SnapshotPtr> in;
  for (int i = 0; i < 60; ++i) {
    in.push_back(host.next());
    ring.add(in.back());
  }
  ring.seal();
  ChunkCompressor compressor(1);
  const RawFiles raw{"onset", 5, {{"/proc/meminfo", "MemTotal: 1 kB\n"}, {"/proc/x", ""}}};
  compressor.add(encode(raw));
  std::string bytes = file_of(ring.chunks());
  bytes.insert(bytes.size() - end_chunk().size(),
               compressor.finish({.kind = ChunkKind::kRawFiles}));
  auto reader = RecordingReader::from_bytes(bytes);
  ASSERT_TRUE(reader);
  const std::int64_t from_ns = ring.chunks()[3]->info.first_realtime_ns;
  reader->skip_before(from_ns);
  const ReadBack out = read_all(*reader);
  EXPECT_LT(out.snapshots.size(), in.size());
  for (const SnapshotPtr& snapshot : in) {
    const bool there = std::any_of(out.snapshots.begin(), out.snapshots.end(), [&](const auto& s) {
      return s->sequence == snapshot->sequence;
    });
    EXPECT_TRUE(there || snapshot->realtime_ns < from_ns);
  }
  ASSERT_EQ(out.raw.size(), 1U);
  EXPECT_EQ(out.raw[0].moment, "onset");
  EXPECT_EQ(out.raw[0].files, raw.files);
}

class DamagedRecording : public ::testing::Test {
 protected:
  void SetUp() override {
    Host host(11);
    RingOptions options;
    options.chunk_ns = 4 * kSecond;
    Ring ring = make_ring(options);
    for (int i = 0; i < 12; ++i) {
      in_.push_back(host.next());
      ring.add(in_.back());
    }
    ring.seal();
    chunks_ = ring.chunks();
    bytes_ = file_of(chunks_);
    ASSERT_GE(chunks_.size(), 3U);
  }

  // Only what was recorded, and in order.
  void expect_part(const ReadBack& out) {
    std::size_t at = 0;
    for (const SnapshotPtr& snapshot : out.snapshots) {
      while (at < in_.size() && in_[at]->sequence != snapshot->sequence) {
        ++at;
      }
      ASSERT_LT(at, in_.size());
      expect_equal(*in_[at], *snapshot);
    }
  }

  std::vector<SnapshotPtr> in_;
  std::vector<ChunkPtr> chunks_;
  std::string bytes_;
};

TEST_F(DamagedRecording, EveryByteFlippedIsNoticedAndCostsOneChunk) {
  for (std::size_t i = 0; i < bytes_.size(); ++i) {
    std::string damaged = bytes_;
    damaged[i] = static_cast<char>(static_cast<unsigned char>(damaged[i]) ^ (1U << (i % 8)));
    auto reader = RecordingReader::from_bytes(damaged);
    if (i < kFileHeaderBytes) {
      EXPECT_FALSE(reader) << i;
      continue;
    }
    ASSERT_TRUE(reader) << i;
    const ReadBack out = read_all(*reader);
    ASSERT_GE(out.damages.size(), 1U) << i;
    EXPECT_LE(out.damages[0].offset, i);
    EXPECT_FALSE(out.damages[0].what.empty());
    std::size_t most = 0;
    for (const ChunkPtr& chunk : chunks_) {
      most = std::max<std::size_t>(most, chunk->info.count);
    }
    EXPECT_GE(out.snapshots.size() + most, in_.size()) << i;
    expect_part(out);
  }
}

TEST_F(DamagedRecording, EveryTruncationKeepsWholeChunks) {
  for (std::size_t size = 0; size < bytes_.size(); ++size) {
    auto reader = RecordingReader::from_bytes(bytes_.substr(0, size));
    if (size < kFileHeaderBytes) {
      EXPECT_FALSE(reader);
      continue;
    }
    ASSERT_TRUE(reader);
    const ReadBack out = read_all(*reader);
    EXPECT_EQ(out.damages.size(), 1U) << size;
    std::size_t whole = 0;
    std::size_t end = kFileHeaderBytes;
    for (const ChunkPtr& chunk : chunks_) {
      end += chunk->bytes.size();
      whole += end <= size ? chunk->info.count : 0;
    }
    EXPECT_EQ(out.snapshots.size(), whole) << size;
    expect_part(out);
    EXPECT_FALSE(reader->summary().is_complete);
  }
}

// What stands behind missing bytes is found, wherever it is.
TEST_F(DamagedRecording, MissingBytesCostOneChunk) {
  const std::size_t first = kFileHeaderBytes + kChunkHeaderBytes + 5;
  const std::size_t second = first + chunks_[0]->bytes.size();
  for (const std::size_t at : {first, second}) {
    std::string damaged = bytes_;
    damaged.erase(at, 10);
    auto reader = RecordingReader::from_bytes(damaged);
    ASSERT_TRUE(reader);
    const ReadBack out = read_all(*reader);
    EXPECT_EQ(out.damages.size(), 1U);
    const ChunkPtr& lost = chunks_[at == first ? 0 : 1];
    EXPECT_EQ(out.snapshots.size() + lost->info.count, in_.size());
    expect_part(out);
    EXPECT_EQ(reader->check().damages, 1U);
  }
}

TEST_F(DamagedRecording, OfAnotherFormat) {
  std::string other = bytes_;
  EXPECT_FALSE(RecordingReader::from_bytes("hello, this is not a recording at all"));
  EXPECT_FALSE(RecordingReader::from_bytes(""));
  EXPECT_FALSE(RecordingReader::open("/proc/self/status"));
  const auto missing = RecordingReader::open("/nonexistent");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().kind, ErrorKind::kMissing);
}

// Few bytes that stand for very much.
TEST(HostileRecording, CostsNoMoreThanItIs) {
  const auto decode = [](const std::string& plain) {
    SnapshotDecoder decoder(plain);
    for (;;) {
      auto next = decoder.next();
      if (!next) {
        return next.error().where;
      }
      if (!*next) {
        return std::string("end");
      }
    }
  };
  const auto message = [](Message type, const std::function<void(ByteWriter&)>& fill) {
    std::string body;
    ByteWriter writer(body);
    fill(writer);
    std::string out;
    ByteWriter whole(out);
    whole.byte(static_cast<std::uint8_t>(type));
    whole.text(body);
    return out;
  };
  const std::string collectors = message(Message::kCollectors, [](ByteWriter& w) {
    w.number(1);
    w.text("c");
  });
  const auto shape = [&](std::uint64_t id, std::uint64_t base, std::uint64_t rows,
                         bool by_reference) {
    return message(Message::kShape, [&](ByteWriter& w) {
      w.number(id);
      w.number(base);
      if (base == 0) {
        w.number(1);
        w.text("l");
        w.number(1);
        std::string column_bytes;
        ByteWriter c(column_bytes);
        c.text("family");
        c.text("");
        c.text("help");
        c.byte(0);
        c.byte(0);
        c.number(1);
        c.number(1);
        c.byte(0);
        c.number(0);
        w.text(column_bytes);
      }
      w.number(rows);
      if (by_reference) {
        for (std::uint64_t left = rows; left != 0;) {
          const std::uint64_t run = std::min<std::uint64_t>(left, rows / 2);
          w.number(run << 1U | 1U);
          w.number(0);
          left -= run;
        }
      } else {
        w.number(rows << 1U);
        for (std::uint64_t i = 0; i < rows; ++i) {
          w.text("x");
        }
      }
    });
  };
  // Each twice the one before.
  std::string doubling = collectors + shape(1, 0, 2, false);
  for (std::uint64_t id = 2; id < 40; ++id) {
    doubling += shape(id, id - 1, 2ULL << (id - 1), true);
  }
  EXPECT_NE(decode(doubling), "end");
  // All of a large table's cells in three bytes, again and again.
  std::string cells = collectors + shape(1, 0, 50'000, false);
  for (int i = 0; i < 100'000; ++i) {
    cells += message(Message::kSnapshot, [](ByteWriter& w) {
      w.number(0);
      w.byte(kHasSection | kStatusAsBefore);
      w.signed_number(0);
      w.signed_number(0);
      w.number(1);
      w.number(1);
      w.byte(0);
      w.byte(0);
      w.number(49'999);
    });
  }
  EXPECT_NE(decode(cells).find("too many values"), std::string::npos);
  EXPECT_NE(decode(message(Message::kCollectors, [](ByteWriter& w) { w.number(200'000'000); })),
            "end");
  EXPECT_EQ(
      decode(collectors + message(static_cast<Message>(99), [](ByteWriter& w) { w.number(1); })),
      "end");
}

SnapshotPtr snapshot_of(std::shared_ptr<Section> section, std::int64_t second) {
  auto out = std::make_shared<Snapshot>();
  out->sequence = static_cast<std::uint64_t>(second);
  out->realtime_ns = out->boottime_ns = second * kSecond;
  out->entries.push_back({"one", std::move(section), {}});
  return out;
}

std::shared_ptr<Section> one_table(std::vector<ColumnInfo> columns, std::vector<std::string> names,
                                   std::vector<std::vector<std::string>> rows) {
  auto shape = std::make_shared<Shape>();
  shape->label_names = std::move(names);
  shape->columns = std::move(columns);
  shape->rows = std::move(rows);
  auto out = std::make_shared<Section>();
  Table table;
  table.values.assign(shape->rows.size() * shape->columns.size(), 7);
  table.shape = std::move(shape);
  out->tables.push_back(std::move(table));
  return out;
}

// The rest of the recording is not lost for it.
TEST(Ring, WhatReadersWouldRefuseIsLeftOut) {
  const auto good = [] { return one_table({column("good")}, {"l"}, {{"x"}}); };
  auto many_tables = std::make_shared<Section>();
  for (std::size_t i = 0; i <= kMaxTablesOfSection; ++i) {
    many_tables->tables.push_back(good()->tables[0]);
  }
  const std::vector<std::shared_ptr<Section>> refused{
      many_tables,
      one_table({column(std::string(257, 'a'))}, {}, {{}}),
      one_table({column("a")}, {"mode"}, {{"x"}}),  // its constant label's name, too
      one_table({column("a")}, {"__name__"}, {{"x"}}),
      one_table({column("a")}, {"l"}, {{std::string(std::size_t{9} << 20U, 'x')}}),
      one_table({column("a")}, {"l"},
                std::vector<std::vector<std::string>>(300'000, std::vector<std::string>{"x"}))};
  for (const auto& section : refused) {
    Ring ring = make_ring();
    ring.add(snapshot_of(good(), 1));
    const SnapshotPtr bad = snapshot_of(section, 2);
    ring.add(bad);
    ring.add(bad);
    ring.add(snapshot_of(good(), 3));
    ring.seal();
    EXPECT_EQ(ring.stats().sections_left_out, 1U);
    auto reader = RecordingReader::from_bytes(file_of(ring.chunks()));
    ASSERT_TRUE(reader);
    const ReadBack out = read_all(*reader);
    EXPECT_TRUE(out.damages.empty());
    ASSERT_EQ(out.snapshots.size(), 4U);
    EXPECT_NE(out.snapshots[0]->entries[0].section, nullptr);
    EXPECT_EQ(out.snapshots[1]->entries[0].section, nullptr);
    EXPECT_NE(out.snapshots[3]->entries[0].section, nullptr);
  }
}

// Whoever may put a file into the textfile collector's directory must not stop the clock.
TEST(Ring, ThousandsOfTablesThatAreAlwaysNew) {
  Ring ring = make_ring();
  for (std::int64_t second = 1; second <= 5; ++second) {
    auto section = std::make_shared<Section>();
    for (std::size_t i = 0; i < kMaxTablesOfSection; ++i) {
      section->tables.push_back(
          one_table({column("family_" + std::to_string(i))}, {}, {{}})->tables[0]);
    }
    ring.add(snapshot_of(section, second));
  }
  ring.seal();
  auto reader = RecordingReader::from_bytes(file_of(ring.chunks()));
  ASSERT_TRUE(reader);
  EXPECT_EQ(read_all(*reader).snapshots.size(), 5U);
}

TEST(Ring, AChunkIsNeverLargerThanAFileMayHaveIt) {
  Ring ring = make_ring();
  std::vector<SnapshotPtr> in;
  for (std::int64_t second = 1; second <= 6; ++second) {
    std::vector<std::vector<std::string>> rows;
    for (int i = 0; i < 70; ++i) {  // 7 MiB of labels, new ones each time
      rows.push_back({std::string(100'000, static_cast<char>('a' + second)) + std::to_string(i)});
    }
    in.push_back(snapshot_of(one_table({column("a")}, {"l"}, rows), second));
    ring.add(in.back());
  }
  ring.seal();
  EXPECT_EQ(ring.stats().sections_left_out + ring.stats().snapshots_left_out, 0U);
  auto reader = RecordingReader::from_bytes(file_of(ring.chunks()));
  ASSERT_TRUE(reader);
  const ReadBack out = read_all(*reader);
  EXPECT_TRUE(out.damages.empty());
  ASSERT_EQ(out.snapshots.size(), in.size());
  for (std::size_t i = 0; i < in.size(); ++i) {
    expect_equal(*in[i], *out.snapshots[i]);
  }
}

TEST(Ring, IsBoundedByTimeAndBytes) {
  Host host(5);
  RingOptions options;
  options.window_ns = 30 * kSecond;
  options.chunk_ns = 5 * kSecond;
  Ring ring = make_ring(options);
  for (int i = 0; i < 100; ++i) {
    ring.add(host.next());
  }
  RingStats stats = ring.stats();
  EXPECT_EQ(stats.recorded, 100U);
  EXPECT_EQ(stats.evicted_early, 0U);
  EXPECT_GE(stats.window_ns, 29 * kSecond);
  EXPECT_LE(stats.window_ns, 36 * kSecond);

  options.window_ns = 3600 * kSecond;
  options.max_bytes = 16'384;
  Ring small = make_ring(options);
  for (int i = 0; i < 500; ++i) {
    small.add(host.next());
    EXPECT_LE(small.stats().bytes, options.max_bytes);
  }
  stats = small.stats();
  EXPECT_GT(stats.evicted_early, 0U);
  EXPECT_LT(stats.window_ns, 3600 * kSecond);
  EXPECT_EQ(stats.snapshots + stats.evicted_early, 500U);
}

TEST(Ring, OtherCollectorsBeginAChunk) {
  Host host(5);
  Ring ring = make_ring();
  ring.add(host.next());
  ring.add(host.next());
  auto changed = std::make_shared<Snapshot>(*host.next());
  changed->entries.pop_back();
  const ChunkPtr sealed = ring.add(changed);
  ASSERT_NE(sealed, nullptr);
  EXPECT_EQ(sealed->info.count, 2U);
  EXPECT_EQ(ring.seal()->info.count, 1U);
  EXPECT_EQ(ring.seal(), nullptr);
}

}  // namespace
}  // namespace tidegauge::recording
