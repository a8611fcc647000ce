// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/scene.h"

#include <algorithm>
#include <cmath>

#include "collectors/core/text.h"

namespace tidegauge::heuristics {

namespace {

constexpr double kNsPerSecond = 1e9;
constexpr std::int64_t kForgetNs = 960'000'000'000;
constexpr std::size_t kMaxSubjects = 4096;  // of a kind
// More than any counter of 64 bits says; a damaged or forged recording may. Sums and products of such stay finite.
constexpr double kGreatest = 1e21;
constexpr double kIdleSeconds = 60;  // a track that was 0 for so long gives its place up
// Memory of which the days are remembered is at least this share of all.
constexpr double kLargeShare = 0.005;
constexpr double kHistogramSeconds = 30;
constexpr char kBetween = '\x1f';

std::string_view label_of(const Shape& shape, std::size_t row, const ColumnInfo& column,
                          std::string_view name) {
  for (std::size_t i = 0; i < shape.label_names.size(); ++i) {
    if (shape.label_names[i] == name) {
      return shape.rows[row][i];
    }
  }
  for (const Label& label : column.labels) {
    if (label.name == name) {
      return label.value;
    }
  }
  return {};
}

bool has_label(const Shape& shape, const ColumnInfo& column, std::string_view name) {
  return std::find(shape.label_names.begin(), shape.label_names.end(), name) !=
             shape.label_names.end() ||
         std::any_of(column.labels.begin(), column.labels.end(),
                     [&](const Label& label) { return label.name == name; });
}

// "mode=user": at most one is asked for.
bool is_wanted(const Source& source, const Shape& shape, std::size_t row,
               const ColumnInfo& column) {
  if (source.labels.empty()) {
    return true;
  }
  const std::size_t at = source.labels.find('=');
  return label_of(shape, row, column, source.labels.substr(0, at)) == source.labels.substr(at + 1);
}

// Signals by the family they come from.
using Wanted =
    std::unordered_multimap<std::string_view, std::pair<const SignalInfo*, const Source*>>;

const Wanted& wanted_families() {
  static const Wanted kAll = [] {
    Wanted out;
    for (const SignalInfo& info : all_signals()) {
      for (const heuristics::Source& source : info.sources) {
        if (!source.family.empty()) {
          out.emplace(source.family, std::pair(&info, &source));
        }
      }
    }
    return out;
  }();
  return kAll;
}

// A row by its labels, to find it again in another Shape.
std::string row_key(const Shape& shape, std::size_t row) {
  std::string out;
  for (const std::string& value : shape.rows[row]) {
    out += value;
    out += kBetween;
  }
  return out;
}

bool same_columns(const Shape& a, const Shape& b) {
  return a.label_names == b.label_names && a.columns.size() == b.columns.size() &&
         std::equal(a.columns.begin(), a.columns.end(), b.columns.begin(),
                    [](const ColumnInfo& x, const ColumnInfo& y) {
                      return x.family == y.family && x.suffix == y.suffix && x.labels == y.labels;
                    });
}

}  // namespace

double RecentHistogram::quantile(double share, double least) const {
  double all = 0;
  for (const double count : counts) {
    all += count;
  }
  if (all < least) {
    return kUnknown;
  }
  double below = 0;
  double lower = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (below + counts[i] >= share * all) {
      return std::isinf(bounds[i]) || counts[i] <= 0
                 ? lower
                 : lower + (bounds[i] - lower) * (share * all - below) / counts[i];
    }
    below += counts[i];
    lower = bounds[i];
  }
  return lower;
}

std::string_view Subject::attribute(std::string_view name) const {
  for (const auto& [key, value] : attributes) {
    if (key == name) {
      return value;
    }
  }
  return {};
}

void Subject::set_attribute(std::string_view name, std::string_view value) {
  for (auto& [key, old] : attributes) {
    if (key == name) {
      old = value;
      return;
    }
  }
  attributes.emplace_back(name, value);
}

Scene::Scene() {
  auto host = std::make_unique<Subject>();
  const std::size_t count = signal_count(Kind::kHost);
  host->values.assign(count, kUnknown);
  host->tracks.resize(count);
  host->minutes.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    const Keep kept = all_signals()[first_signal(Kind::kHost) + i].keep;
    if (kept == Keep::kSeconds || kept == Keep::kBoth) {
      host->tracks[i] = std::make_unique<Track>(kUnknown);
    }
    if (kept == Keep::kMinutes || kept == Keep::kBoth) {
      host->minutes[i] = std::make_unique<MinuteTrack>();
    }
  }
  host_ = host.get();
  kinds_[index_of(Kind::kHost)].list.push_back(host_);
  kinds_[index_of(Kind::kHost)].by_key.emplace("", std::move(host));
}

Subject* Scene::subject_of(Kind kind, const Shape& shape, std::size_t row,
                           const ColumnInfo& column) {
  if (kind == Kind::kHost) {
    return host_;
  }
  std::string key;
  for (const std::string_view name : kind_labels(kind)) {
    key += label_of(shape, row, column, name);
    key += kBetween;
  }
  const KindState& state = kinds_[index_of(kind)];
  if (const auto at = state.by_key.find(key); at != state.by_key.end()) {
    return at->second.get();
  }
  std::vector<std::string> labels;
  for (const std::string_view name : kind_labels(kind)) {
    labels.emplace_back(label_of(shape, row, column, name));
  }
  return subject_of(kind, std::move(labels));
}

Subject* Scene::subject_of(Kind kind, std::vector<std::string> labels) {
  if (kind == Kind::kHost) {
    return host_;
  }
  std::string key;
  for (const std::string& label : labels) {
    key += label;
    key += kBetween;
  }
  KindState& state = kinds_[index_of(kind)];
  std::unique_ptr<Subject>& subject = state.by_key[key];
  if (subject == nullptr) {
    if (state.list.size() >= kMaxSubjects) {
      state.by_key.erase(key);
      return nullptr;
    }
    subject = std::make_unique<Subject>();
    subject->kind = kind;
    subject->labels = std::move(labels);
    subject->values.assign(signal_count(kind), kUnknown);
    subject->tracks.resize(signal_count(kind));
    subject->minutes.resize(signal_count(kind));
    subject->first_seen_ns = boottime_ns_;
    subject->last_seen_ns = boottime_ns_;
    state.list.push_back(subject.get());
  }
  return subject.get();
}

void Scene::map_buckets(Reader& reader, const Shape& shape, std::size_t row, const Reader& before,
                        std::size_t row_before) {
  if (reader.bucket_columns.empty()) {
    return;
  }
  const ColumnInfo& first = shape.columns[reader.bucket_columns.front()];
  const auto [begin, end] = wanted_families().equal_range(first.family);
  if (begin == end) {
    return;
  }
  Subject* const subject = subject_of(begin->second.first->kind, shape, row, first);
  if (subject == nullptr) {
    return;
  }
  if (!subject->histogram) {
    subject->histogram = std::make_unique<RecentHistogram>();
    for (const std::uint32_t column : reader.bucket_columns) {
      const std::string_view text = label_of(shape, row, shape.columns[column], "le");
      double bound = std::numeric_limits<double>::infinity();
      if (text != "+Inf") {
        bound = std::strtod(std::string(text).c_str(), nullptr);
      }
      subject->histogram->bounds.push_back(bound);
    }
    subject->histogram->counts.assign(reader.bucket_columns.size(), 0);
  }
  BucketCell cell;
  cell.row = static_cast<std::uint32_t>(row);
  cell.subject = subject;
  for (const BucketCell& old : before.buckets) {
    if (old.row == row_before) {
      cell.previous = old.previous;
    }
  }
  reader.buckets.push_back(std::move(cell));
}

// Where the table's cells go. What was counted before is carried over from the Shape before.
void Scene::map_table(Source& source, Reader& reader, const Table& table) {
  const Shape& shape = *table.shape;
  Reader before;
  const bool is_same_table = reader.shape && same_columns(*reader.shape, shape);
  if (is_same_table) {
    before = std::move(reader);
  }
  reader = Reader{};
  reader.shape = table.shape;
  std::unordered_map<std::string, std::size_t> rows_before;
  std::unordered_map<std::uint64_t, double> values_before;
  if (is_same_table) {
    for (std::size_t row = 0; row < before.shape->rows.size(); ++row) {
      rows_before.emplace(row_key(*before.shape, row), row);
    }
    for (const Cell& cell : before.cells) {
      values_before.emplace(std::uint64_t{cell.row} << 32U | cell.column, cell.previous);
    }
  }
  struct Column {
    std::uint32_t place;
    const SignalInfo* info;
    const heuristics::Source* source;
  };
  std::vector<Column> columns;
  for (std::size_t i = 0; i < shape.columns.size(); ++i) {
    const ColumnInfo& column = shape.columns[i];
    const auto [begin, end] = wanted_families().equal_range(column.family);
    for (auto at = begin; at != end; ++at) {
      const auto& [info, from] = at->second;
      const auto names = kind_labels(info->kind);
      if (from->suffix == column.suffix &&
          std::all_of(names.begin(), names.end(),
                      [&](std::string_view name) { return has_label(shape, column, name); })) {
        columns.push_back({static_cast<std::uint32_t>(i), info, from});
      }
    }
    if (begin != end && column.suffix == "_bucket") {
      reader.bucket_columns.push_back(static_cast<std::uint32_t>(i));
    }
  }
  if (columns.empty()) {
    return;
  }
  for (std::size_t row = 0; row < shape.rows.size(); ++row) {
    std::size_t row_before = SIZE_MAX;
    if (is_same_table) {
      const auto at = rows_before.find(row_key(shape, row));
      row_before = at == rows_before.end() ? SIZE_MAX : at->second;
    }
    for (const Column& column : columns) {
      const ColumnInfo& info = shape.columns[column.place];
      if (!is_wanted(*column.source, shape, row, info)) {
        continue;
      }
      Subject* const subject = subject_of(column.info->kind, shape, row, info);
      if (subject == nullptr) {
        continue;
      }
      Cell cell;
      cell.row = static_cast<std::uint32_t>(row);
      cell.column = column.place;
      cell.subject = subject;
      cell.signal = static_cast<std::uint16_t>(index_of(column.info->signal) -
                                               first_signal(column.info->kind));
      cell.is_rate = column.info->how == How::kRate;
      cell.scale = column.info->scale;
      if (row_before != SIZE_MAX) {
        const auto at = values_before.find(std::uint64_t{row_before} << 32U | column.place);
        cell.previous = at == values_before.end() ? kUnknown : at->second;
      } else if (is_same_table && source.starts_at_zero) {
        cell.previous = 0;
      }
      reader.cells.push_back(cell);
      if (column.info->how == How::kInfo) {
        for (std::size_t i = 0; i < shape.label_names.size(); ++i) {
          subject->set_attribute(shape.label_names[i], shape.rows[row][i]);
        }
      }
    }
    map_buckets(reader, shape, row, before, row_before);
  }
}

void Scene::forget_values(Source& source) {
  for (const auto& [subject, signal] : source.touched) {
    subject->values[signal] = kUnknown;
  }
  source.touched.clear();
}

void Scene::read(Source& source, const std::shared_ptr<const Section>& section) {
  // A recording has what was not read again once more in each of its chunks.
  const bool is_same =
      section != nullptr && source.section != nullptr &&
      (section == source.section || section->read_end_boottime_ns == source.read_ns);
  if (is_same) {
    for (const auto& [subject, signal] : source.touched) {
      subject->last_seen_ns = boottime_ns_;
    }
    return;
  }
  forget_values(source);
  if (section == nullptr) {
    source.section = nullptr;
    return;
  }
  const std::int64_t read_ns = section->read_end_boottime_ns;
  const double elapsed_seconds =
      source.read_ns == 0 ? 0 : static_cast<double>(read_ns - source.read_ns) / kNsPerSecond;
  const bool has_elapsed = elapsed_seconds > 0;
  const bool is_resumed = source.read_ns == 0 && resumed_ns_ != 0;
  const double fade = has_elapsed ? std::exp(-elapsed_seconds / kHistogramSeconds) : 1;
  source.readers.resize(section->tables.size());
  for (std::size_t i = 0; i < section->tables.size(); ++i) {
    const Table& table = section->tables[i];
    Reader& reader = source.readers[i];
    if (reader.shape != table.shape) {
      map_table(source, reader, table);
    }
    for (Cell& cell : reader.cells) {
      if (!table.has(cell.row, cell.column)) {
        continue;
      }
      const double raw = table.value(cell.row, cell.column) * cell.scale;
      double value = raw;
      if (cell.is_rate) {
        // What fell began anew; what is new has no rate yet.
        value = has_elapsed && raw >= cell.previous ? (raw - cell.previous) / elapsed_seconds
                                                    : kUnknown;
        cell.previous = raw;
      }
      double& out = cell.subject->values[cell.signal];
      // Of a slow collector a loaded memory has the rate that stands until its next run.
      if (is_resumed && cell.is_rate && !is_known(out)) {
        const Track* const track = cell.subject->tracks[cell.signal].get();
        value = track != nullptr ? track->at(axis_, 0) : kUnknown;
      }
      if (!(std::abs(value) <= kGreatest)) {
        continue;
      }
      if (is_known(out)) {
        out += value;
      } else {
        out = value;
        source.touched.emplace_back(cell.subject, cell.signal);
      }
      cell.subject->last_seen_ns = boottime_ns_;
    }
    for (BucketCell& cell : reader.buckets) {
      RecentHistogram& histogram = *cell.subject->histogram;
      const std::size_t count = std::min(reader.bucket_columns.size(), histogram.counts.size());
      const bool has_previous = cell.previous.size() == reader.bucket_columns.size();
      cell.previous.resize(reader.bucket_columns.size(), 0);
      double below = 0;
      for (std::size_t b = 0; b < count; ++b) {
        if (!table.has(cell.row, reader.bucket_columns[b])) {
          continue;
        }
        const double raw = table.value(cell.row, reader.bucket_columns[b]);
        if (!(raw <= kGreatest)) {
          continue;
        }
        const double grown = has_previous && raw >= cell.previous[b] ? raw - cell.previous[b] : 0;
        cell.previous[b] = raw;
        histogram.counts[b] = histogram.counts[b] * fade + std::max(grown - below, 0.0);
        below = grown;
      }
    }
  }
  source.section = section;
  source.read_ns = read_ns;
}

double Scene::tick_seconds() const {
  return axis_.size() < 2 ? 0 : static_cast<double>(axis_.length_ns(0)) / kNsPerSecond;
}

double Scene::observed_seconds() const {
  return axis_.size() < 2
             ? 0
             : static_cast<double>(axis_.end_ns(0) - axis_.end_ns(axis_.size() - 1)) / kNsPerSecond;
}

bool Scene::update(const Snapshot& snapshot) {
  if (!axis_.add(snapshot.boottime_ns)) {
    if (snapshot.boottime_ns <= resumed_ns_) {
      read_all(snapshot);
    }
    return false;
  }
  boottime_ns_ = snapshot.boottime_ns;
  realtime_ns_ = snapshot.realtime_ns;
  read_all(snapshot);
  keep();
  forget_subjects();
  return true;
}

void Scene::read_all(const Snapshot& snapshot) {
  for (auto& [name, source] : sources_) {
    if (snapshot.find(name) == nullptr) {
      read(source, nullptr);
    }
  }
  for (const SnapshotEntry& entry : snapshot.entries) {
    auto at = sources_.find(entry.collector);
    if (at == sources_.end()) {
      at = sources_.emplace(std::string(entry.collector), Source{}).first;
      at->second.starts_at_zero = entry.collector.starts_with("ebpf");
    }
    read(at->second, entry.section);
  }
}

// A place for one more track: that of the one which has been 0 for longest.
bool Scene::make_room() {
  if (kept_.size() < kMaxTracks) {
    return true;
  }
  if (is_full_) {
    return false;
  }
  auto idlest = kept_.end();
  double idle_seconds = kIdleSeconds;
  for (auto at = kept_.begin(); at != kept_.end(); ++at) {
    const double seconds = at->first->tracks[at->second]->seconds_idle(axis_);
    if (seconds > idle_seconds) {
      idle_seconds = seconds;
      idlest = at;
    }
  }
  if (idlest == kept_.end()) {
    is_full_ = true;
    return false;
  }
  idlest->first->tracks[idlest->second] = nullptr;
  *idlest = kept_.back();
  kept_.pop_back();
  return true;
}

void Scene::keep_subject(Subject& subject) {
  const std::size_t first = first_signal(subject.kind);
  const double total = now(Signal::kMemTotal);
  for (std::size_t i = 0; i < subject.values.size(); ++i) {
    const SignalInfo& info = all_signals()[first + i];
    const double value = subject.values[i];
    if (info.keep == Keep::kNow) {
      continue;
    }
    const bool is_large = info.unit == Unit::kBytes ? value >= kLargeShare * total : value > 0;
    if (info.keep != Keep::kMinutes) {
      std::unique_ptr<Track>& track = subject.tracks[i];
      if (!track && is_large) {
        if (make_room()) {
          track = std::make_unique<Track>(0);
          kept_.emplace_back(&subject, static_cast<std::uint16_t>(i));
        } else {
          ++refused_;
        }
      }
      if (track) {
        track->set(axis_, &subject == host_ || is_known(value) ? value : 0);
      }
    }
    if (info.keep != Keep::kSeconds) {
      std::unique_ptr<MinuteTrack>& minutes = subject.minutes[i];
      if (!minutes && is_large && minute_tracks_ < kMaxMinuteTracks) {
        minutes = std::make_unique<MinuteTrack>();
        ++minute_tracks_;
      }
      if (minutes) {
        minutes->add(boottime_ns_, axis_.length_ns(0), value);
      }
    }
  }
}

void Scene::keep() {
  is_full_ = false;
  for (const KindState& kind : kinds_) {
    for (Subject* const subject : kind.list) {
      keep_subject(*subject);
    }
  }
}

void Scene::forget_subjects() {
  for (std::size_t k = 1; k < kKinds; ++k) {
    KindState& kind = kinds_[k];
    const auto is_gone = [&](const Subject& subject) {
      return boottime_ns_ - subject.last_seen_ns > kForgetNs;
    };
    if (std::none_of(kind.list.begin(), kind.list.end(),
                     [&](const Subject* one) { return is_gone(*one); })) {
      continue;
    }
    // Shapes that are in use may still name one that has no values: it stays.
    std::vector<const Subject*> named;
    for (const auto& [name, source] : sources_) {
      for (const Reader& reader : source.readers) {
        for (const Cell& cell : reader.cells) {
          named.push_back(cell.subject);
        }
        for (const BucketCell& cell : reader.buckets) {
          named.push_back(cell.subject);
        }
      }
    }
    std::sort(named.begin(), named.end());
    std::erase_if(kept_, [&](const auto& one) {
      return one.first->kind == static_cast<Kind>(k) && is_gone(*one.first) &&
             !std::binary_search(named.begin(), named.end(), one.first);
    });
    std::erase_if(kind.list, [&](const Subject* one) {
      return is_gone(*one) && !std::binary_search(named.begin(), named.end(), one);
    });
    std::erase_if(kind.by_key, [&](const auto& one) {
      const Subject& subject = *one.second;
      if (!is_gone(subject) || std::binary_search(named.begin(), named.end(), &subject)) {
        return false;
      }
      minute_tracks_ -=
          static_cast<std::size_t>(std::count_if(subject.minutes.begin(), subject.minutes.end(),
                                                 [](const auto& kept) { return kept != nullptr; }));
      return true;
    });
  }
}

const Subject* Scene::find(Kind kind, std::span<const std::string_view> labels) const {
  std::string key;
  for (const std::string_view label : labels) {
    key += label;
    key += kBetween;
  }
  const KindState& state = kinds_[index_of(kind)];
  const auto at = state.by_key.find(key);
  return at == state.by_key.end() ? nullptr : at->second.get();
}

const Track* Scene::track(const Subject& subject, Signal signal) const {
  return subject.tracks[index_of(signal) - first_signal(subject.kind)].get();
}

const MinuteTrack* Scene::minutes(const Subject& subject, Signal signal) const {
  return subject.minutes[index_of(signal) - first_signal(subject.kind)].get();
}

double Scene::mean(const Subject& subject, Signal signal, double seconds, double ago) const {
  const Track* kept = track(subject, signal);
  return kept == nullptr ? now(subject, signal) : kept->mean(axis_, seconds, ago);
}

double Scene::max(const Subject& subject, Signal signal, double seconds, double ago) const {
  const Track* kept = track(subject, signal);
  return kept == nullptr ? now(subject, signal) : kept->max(axis_, seconds, ago);
}

double Scene::min(const Subject& subject, Signal signal, double seconds, double ago) const {
  const Track* kept = track(subject, signal);
  return kept == nullptr ? now(subject, signal) : kept->min(axis_, seconds, ago);
}

double Scene::share_at_least(const Subject& subject, Signal signal, double level,
                             double seconds) const {
  const Track* kept = track(subject, signal);
  if (kept != nullptr) {
    return kept->share_at_least(axis_, level, seconds);
  }
  const double value = now(subject, signal);
  return is_known(value) ? (value >= level ? 1 : 0) : kUnknown;
}

std::optional<std::int64_t> Scene::at_least_since(const Subject& subject, Signal signal,
                                                  double level, double gap_seconds) const {
  const Track* kept = track(subject, signal);
  if (kept != nullptr) {
    return kept->at_least_since(axis_, level, gap_seconds);
  }
  return now(subject, signal) >= level ? std::optional(boottime_ns_ - axis_.length_ns(0))
                                       : std::nullopt;
}

bool Scene::has(Signal signal) const {
  const auto list = subjects(info_of(signal).kind);
  return std::any_of(list.begin(), list.end(),
                     [&](const Subject* subject) { return is_known(now(*subject, signal)); });
}

}  // namespace tidegauge::heuristics
