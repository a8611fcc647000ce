// SPDX-License-Identifier: Apache-2.0
// Verdicts about hostile recordings. The first byte chooses: a recording as it is; series that the heuristics know, set
// one by one to what no kernel says; or a recording of a real incident of which some values and names are other ones.
// Whatever comes, verdicts are sound and can be told, as text and as JSON.

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "daemon/commands/why_text.h"
#include "daemon/heuristics/assess.h"
#include "daemon/heuristics/signal.h"
#include "daemon/heuristics/verdict_json.h"
#include "daemon/recorder/recording_reader.h"
#include "daemon/replay/found_verdicts.h"
#include "daemon/replay/recording_walk.h"
#include "tests/unit/fake_host.h"

namespace {

using namespace tidegauge;              // NOLINT(google-build-using-namespace)
using namespace tidegauge::heuristics;  // NOLINT(google-build-using-namespace)

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::array kValues{0.0,
                             1.0,
                             -1.0,
                             0.5,
                             100.0,
                             4096.0,
                             1e9,
                             1e-300,
                             1e308,
                             -1e308,
                             9.3e18,
                             1.9e19,
                             kInfinity,
                             -kInfinity,
                             std::numeric_limits<double>::quiet_NaN(),
                             std::numeric_limits<double>::denorm_min()};
constexpr std::array kNumbers{std::uint64_t{0},        std::uint64_t{1},
                              std::uint64_t{1} << 31U, std::uint64_t{1} << 53U,
                              std::uint64_t{1} << 63U, std::numeric_limits<std::uint64_t>::max()};
constexpr std::array<std::string_view, 14> kNames{"",
                                                  "a",
                                                  "0",
                                                  "7",
                                                  "sda",
                                                  "vdb",
                                                  "kernel",
                                                  "other",
                                                  "unknown",
                                                  "-1",
                                                  "\x1b[2J\r\n\"\\",
                                                  "18446744073709551616",
                                                  "/a/<number>/../\xff",
                                                  "nan"};

class Bytes {
 public:
  Bytes(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
  [[nodiscard]] bool empty() const { return size_ == 0; }
  std::size_t one() {
    if (size_ == 0) {
      return 0;
    }
    --size_;
    return *data_++;
  }
  std::size_t below(std::size_t limit) {
    const std::size_t number = one() << 8U;
    return limit == 0 ? 0 : (number | one()) % limit;
  }
  template <class T, std::size_t kCount>
  const T& of(const std::array<T, kCount>& all) {
    return all[one() % kCount];
  }
  std::string_view rest() const { return {reinterpret_cast<const char*>(data_), size_}; }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
};

[[noreturn]] void fail(const char* what, std::string_view text) {
  std::fprintf(stderr, "%s: %.*s\n", what,
               static_cast<int>(std::min<std::size_t>(text.size(), 400)), text.data());
  std::abort();
}

void check_text(std::string_view text, std::string_view allowed) {
  for (const char c : text) {
    if ((c < ' ' || c > '~') && allowed.find(c) == std::string_view::npos) {
      fail("not printable", text);
    }
  }
}

// What `why --replay` does, and that it is sound.
class Judge {
 public:
  void look(const Snapshot& snapshot) {
    heuristics_.update(snapshot);
    const auto report = heuristics_.report();
    for (const Verdict& verdict : report->active) {
      const Finding& finding = verdict.finding;
      if (!(finding.confidence >= 0 && finding.confidence <= 1) || finding.sentence.empty()) {
        fail("no sound verdict", finding.sentence);
      }
      for (const Party& party : finding.causes) {
        if (party.share && !(*party.share >= 0 && *party.share <= 1)) {
          fail("no share", finding.sentence);
        }
      }
    }
    found_.look(*report);
  }
  void tell() {
    const auto report = heuristics_.report();
    nlohmann::ordered_json json = report_json(*report);
    check_text(json_text(json), "\n");
    static_cast<void>(why_text(json, true, Charset::kAscii));
    json = report_frame(*report);
    std::vector<const Verdict*> verdicts;
    for (const Verdict& verdict : found_.found()) {
      verdicts.push_back(&verdict);
    }
    std::size_t bytes = kMaxReportBytes;
    json["found"] = verdicts_json(verdicts, bytes);
    const std::string text = json_text(json);
    check_text(text, "\n");
    if (text.size() > 2 * kMaxReportBytes || !nlohmann::ordered_json::accept(text)) {
      fail("no document", text);
    }
    check_text(why_text(json, true, Charset::kAscii), "\n");
    Heuristics other;
    if (!other.load(heuristics_.save())) {
      fail("state that is not read back", "");
    }
  }

 private:
  Heuristics heuristics_;
  replay::FoundVerdicts found_;
};

void judge_file(std::string_view bytes) {
  auto reader = recording::RecordingReader::from_bytes(std::string(bytes));
  if (!reader) {
    return;
  }
  Judge judge;
  while (auto item = reader->next()) {
    if (const auto* snapshot = std::get_if<SnapshotPtr>(&*item)) {
      judge.look(**snapshot);
    }
  }
  judge.tell();
}

// ---- series one by one

testing::FakeHost::Labels labels_of(const SignalInfo& signal, const Source& source, Bytes& bytes) {
  std::map<std::string, std::string> found;
  for (const std::string_view label : kind_labels(signal.kind)) {
    found[std::string(label)] = bytes.of(kNames);
  }
  std::string_view rest = source.labels;
  while (!rest.empty()) {
    const std::string_view pair = rest.substr(0, rest.find(' '));
    rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
    const std::size_t equals = pair.find('=');
    if (equals != std::string_view::npos) {
      found[std::string(pair.substr(0, equals))] = pair.substr(equals + 1);
    }
  }
  return {found.begin(), found.end()};
}

void judge_series(Bytes bytes) {
  struct Rate {
    std::string family;
    testing::FakeHost::Labels labels;
    double a_second = 0;
  };
  constexpr std::size_t kMostTicks = 400;
  constexpr std::array kSeconds{1.0, 1.0, 1.0, 1.0, 0.1, 5.0, 600.0, 1e6};
  testing::FakeHost host;
  Judge judge;
  std::vector<Rate> rates;
  std::size_t ticks = 0;
  while (!bytes.empty() && ticks < kMostTicks) {
    const std::size_t what = bytes.one() % 8;
    if (what < 6) {
      const SignalInfo& signal = all_signals()[bytes.below(kSignals)];
      const auto count = static_cast<std::size_t>(
          std::find_if(signal.sources.begin(), signal.sources.end(),
                       [](const Source& one) { return one.family.empty(); }) -
          signal.sources.begin());
      if (count == 0) {
        continue;
      }
      const Source& source = signal.sources[bytes.one() % count];
      std::string family(source.family);
      family += source.suffix.empty() ? "" : "|" + std::string(source.suffix);
      const auto labels = labels_of(signal, source, bytes);
      const double value = bytes.of(kValues);
      if (signal.how == How::kRate && what < 4) {
        rates.push_back({family, labels, value});
      }
      host.set("collector", family, labels, signal.how == How::kRate && what < 4 ? 0 : value);
      continue;
    }
    const double seconds = bytes.of(kSeconds);
    for (std::size_t i = bytes.one() % 40 + 1; i > 0 && ticks < kMostTicks; --i, ++ticks) {
      for (const Rate& rate : rates) {
        host.add("collector", rate.family, rate.labels, rate.a_second * seconds);
      }
      judge.look(host.tick(seconds));
    }
  }
  judge.tell();
}

// ---- a real incident with other values

const std::vector<SnapshotPtr>& incident(std::size_t number) {
  static constexpr std::array<const char*, 10> kIncidents{
      "memory-pressure", "temp-file-churn",   "swap-thrash", "writer-stalled",   "disk-burst",
      "cpu-contention",  "page-cache-thrash", "sync-bound",  "dirty-throttling", "disk-hung"};
  static std::array<std::vector<SnapshotPtr>, kIncidents.size()> loaded;
  std::vector<SnapshotPtr>& out = loaded[number % kIncidents.size()];
  if (out.empty()) {
    auto walk = replay::RecordingWalk::open(
        TIDEGAUGE_SOURCE_DIR "/tests/fixtures/recordings/" +
            std::string(kIncidents[number % kIncidents.size()]) + ".tgrec",
        {}, [](const recording::Damage&) {});
    if (!walk) {
      fail("no recording", kIncidents[number % kIncidents.size()]);
    }
    while (SnapshotPtr snapshot = walk->next()) {
      out.push_back(std::move(snapshot));
    }
  }
  return out;
}

struct Change {
  std::size_t entry, table, row, column;
  std::size_t first, count;  // Snapshots
  std::optional<std::string> name;
  double value;
  std::uint64_t number;
};

class Forger {
 public:
  explicit Forger(Bytes bytes) {
    for (std::size_t i = 0; i < 24 && !bytes.empty(); ++i) {
      Change& change = changes_.emplace_back();
      change.entry = bytes.one();
      change.table = bytes.one();
      change.row = bytes.one();
      change.column = bytes.one();
      change.first = bytes.one();
      change.count = bytes.one() + 1;
      if (bytes.one() % 4 == 0) {
        change.name = bytes.of(kNames);
      }
      change.value = bytes.of(kValues);
      change.number = bytes.of(kNumbers);
    }
  }
  SnapshotPtr forge(const SnapshotPtr& original, std::size_t number) {
    auto out = std::make_shared<Snapshot>(*original);
    for (const Change& change : changes_) {
      if (number >= change.first && number < change.first + change.count) {
        apply(change, out->entries[change.entry % out->entries.size()]);
      }
    }
    return out;
  }

 private:
  void apply(const Change& change, SnapshotEntry& entry) {
    if (!entry.section || entry.section->tables.empty()) {
      return;
    }
    auto section = std::make_shared<Section>(*entry.section);
    Table& table = section->tables[change.table % section->tables.size()];
    if (table.values.empty()) {
      return;
    }
    const std::size_t row = change.row % table.shape->rows.size();
    const std::size_t column = change.column % table.shape->columns.size();
    if (change.name && !table.shape->label_names.empty()) {
      auto& forged = shapes_[{table.shape, &change}];
      if (!forged) {
        auto shape = std::make_shared<Shape>(*table.shape);
        shape->rows[row][change.column % shape->label_names.size()] = *change.name;
        forged = std::move(shape);
      }
      table.shape = forged;
    } else {
      table.values[table.index(row, column)] =
          table.shape->columns[column].type == NumberType::kReal
              ? std::bit_cast<std::uint64_t>(change.value)
              : change.number;
    }
    entry.section = std::move(section);
  }

  std::vector<Change> changes_;
  std::map<std::pair<std::shared_ptr<const Shape>, const Change*>, std::shared_ptr<const Shape>>
      shapes_;
};

void judge_forgery(Bytes bytes) {
  constexpr std::size_t kBefore = 35;  // of calm
  constexpr std::size_t kTicks = 110;
  const std::vector<SnapshotPtr>& all = incident(bytes.one());
  const std::size_t first = all.size() > kTicks ? std::min(all.size() - kTicks, kBefore) : 0;
  Forger forger(bytes);
  Judge judge;
  for (std::size_t i = first; i < std::min(all.size(), first + kTicks); ++i) {
    judge.look(*forger.forge(all[i], i - first));
  }
  judge.tell();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Bytes bytes(data, size);
  switch (bytes.one() % 3) {
    case 0:
      judge_file(bytes.rest());
      break;
    case 1:
      judge_series(bytes);
      break;
    default:
      judge_forgery(bytes);
      break;
  }
  return 0;
}
