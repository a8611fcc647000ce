// SPDX-License-Identifier: Apache-2.0
#include "daemon/replay/open_metrics.h"

#include <algorithm>
#include <cstdio>
#include <limits>
#include <tuple>
#include <utility>

#include "collectors/core/text.h"
#include "daemon/recorder/wire.h"

namespace tidegauge::replay {

namespace {

using recording::ByteReader;
using recording::ByteWriter;

constexpr std::size_t kWriteBytes = std::size_t{1} << 18U;
// Beside the texts: nodes of tables, the object.
constexpr std::size_t kSeriesBytes = 256;
constexpr std::size_t kFamilyBytes = 256;
constexpr std::size_t kNameBytes = 96;
// With what a vector keeps in reserve.
constexpr std::size_t kTimeBytes = 2 * (sizeof(std::int64_t) + sizeof(std::string));
// However little memory is allowed, names of families may take this much.
constexpr std::size_t kLeastNamesBytes = std::size_t{1} << 20U;
constexpr std::string_view kTotal = "_total";

// Buckets stand in the order of their bounds, all else in that of the bytes.
std::pair<std::string_view, double> order_of(std::string_view series) {
  constexpr std::string_view kBound = "le=\"";
  const std::size_t at = series.rfind(kBound);
  if (at == std::string_view::npos) {
    return {series, -std::numeric_limits<double>::infinity()};
  }
  const std::string_view bound = series.substr(at + kBound.size());
  const auto value = parse_real(bound.substr(0, bound.find('"')));
  return {series.substr(0, at), value && *value == *value ? *value : 0};
}

}  // namespace

struct OpenMetricsDump::Family {
  std::string name;
  std::string help;
  std::string type;

  [[nodiscard]] std::size_t bytes() const {
    return kFamilyBytes + name.capacity() + help.capacity() + type.capacity();
  }
};

// Samples are steps of time and values; one like that before is told by an empty text.
struct OpenMetricsDump::Series {
  const Family* family = nullptr;
  std::string name;
  std::string samples;
  std::uint32_t last_time = 0;
  std::size_t last_value_at = 0;  // in samples
  std::size_t last_value_bytes = 0;
  std::uint64_t count = 0;
  std::uint64_t not_later = 0;
  std::uint64_t collisions = 0;

  [[nodiscard]] Place place() const { return {family->name, name}; }
  [[nodiscard]] std::size_t bytes() const {
    return kSeriesBytes + name.capacity() + samples.capacity();
  }
};

std::string open_metrics_time(std::int64_t ms) {
  const bool negative = ms < 0;
  const std::uint64_t magnitude =
      negative ? 0 - static_cast<std::uint64_t>(ms) : static_cast<std::uint64_t>(ms);
  char text[48];
  std::snprintf(text, sizeof text, "%s%llu.%03llu", negative ? "-" : "",
                static_cast<unsigned long long>(magnitude / 1000),
                static_cast<unsigned long long>(magnitude % 1000));
  return text;
}

OpenMetricsDump::OpenMetricsDump(RecordingWalk& walk, RecordedText& text, FamilyMatcher& matcher,
                                 std::size_t max_bytes)
    : walk_(walk), text_(text), matcher_(matcher), max_bytes_(max_bytes) {}

OpenMetricsDump::~OpenMetricsDump() = default;

bool OpenMetricsDump::is_before(const Place& a, const Place& b) {
  if (a.family != b.family) {
    return a.family < b.family;
  }
  const auto left = order_of(a.series);
  const auto right = order_of(b.series);
  return std::tie(left.first, left.second, a.series) <
         std::tie(right.first, right.second, b.series);
}

bool OpenMetricsDump::is_in_this_pass(const Place& place) const {
  return (!has_floor_ || is_before(floor_.view(), place)) &&
         (!has_ceiling_ || is_before(place, ceiling_.view()));
}

bool OpenMetricsDump::enter_family(const FamilyLines& lines) {
  if (!matcher_.matches(lines.name)) {
    return false;
  }
  if (stats_.passes == 0) {
    add_name(lines.name);
  }
  if ((has_floor_ && lines.name < floor_.family) ||
      (has_ceiling_ && lines.name > ceiling_.family)) {
    return false;
  }
  lines_ = lines;
  return true;
}

void OpenMetricsDump::add_name(std::string_view name) {
  const std::size_t most = std::max(max_bytes_ / 4, kLeastNamesBytes);
  knows_all_names_ = knows_all_names_ && names_bytes_ <= most;
  if (knows_all_names_ && names_.emplace(name).second) {
    names_bytes_ += kNameBytes + name.size();
  }
}

const OpenMetricsDump::Family& OpenMetricsDump::family() {
  const auto at = families_.find(lines_.name);
  if (at != families_.end()) {
    return *at->second;
  }
  auto fresh = std::make_unique<Family>();
  fresh->name = lines_.name;
  fresh->help = lines_.help;
  fresh->type = lines_.type;
  bytes_ += fresh->bytes();
  const std::string_view key = fresh->name;
  return *families_.emplace(key, std::move(fresh)).first->second;
}

void OpenMetricsDump::begin_time(std::int64_t realtime_ns) {
  now_ms_ = realtime_ns / 1'000'000 - (realtime_ns % 1'000'000 < 0 ? 1 : 0);
  is_now_kept_ = false;
}

std::uint32_t OpenMetricsDump::keep_time() {
  if (!is_now_kept_) {
    is_now_kept_ = true;
    times_ms_.push_back(now_ms_);
    times_.push_back(open_metrics_time(now_ms_));
  }
  return static_cast<std::uint32_t>(times_.size() - 1);
}

std::size_t OpenMetricsDump::fixed_bytes() const {
  return names_bytes_ + kTimeBytes * times_.size();
}

void OpenMetricsDump::add_sample(std::string_view name, std::string_view value) {
  if (bytes_ + fixed_bytes() > max_bytes_ && series_.size() > 1) {
    make_room();
  }
  auto at = series_.find(name);
  if (at == series_.end()) {
    if (!is_in_this_pass({lines_.name, name})) {
      return;
    }
    auto fresh = std::make_unique<Series>();
    fresh->family = &family();
    fresh->name = name;
    bytes_ += fresh->bytes();
    const std::string_view key = fresh->name;
    at = series_.emplace(key, std::move(fresh)).first;
  }
  Series& series = *at->second;
  if (series.count != 0 && now_ms_ <= times_ms_[series.last_time]) {
    const bool is_of_now = is_now_kept_ && series.last_time + 1 == times_.size();
    ++(is_of_now ? series.collisions : series.not_later);
    return;
  }
  const std::uint32_t time = keep_time();
  const std::size_t before = series.bytes();
  const std::string_view last =
      std::string_view(series.samples).substr(series.last_value_at, series.last_value_bytes);
  const bool is_same = series.count != 0 && last == value;
  ByteWriter writer(series.samples);
  writer.number(time - (series.count == 0 ? 0 : series.last_time));
  writer.text(is_same ? std::string_view() : value);
  if (!is_same) {
    series.last_value_at = series.samples.size() - value.size();
    series.last_value_bytes = value.size();
  }
  series.last_time = time;
  ++series.count;
  bytes_ += series.bytes() - before;
}

void OpenMetricsDump::add_text(std::string_view text) {
  read_samples(
      text, [&](const FamilyLines& lines) { return enter_family(lines); },
      [&](std::string_view name, std::string_view value) { add_sample(name, value); });
}

std::vector<OpenMetricsDump::Series*> OpenMetricsDump::sorted() const {
  std::vector<Series*> out;
  out.reserve(series_.size());
  for (const auto& [name, series] : series_) {
    out.push_back(series.get());
  }
  std::sort(out.begin(), out.end(),
            [](const Series* a, const Series* b) { return is_before(a->place(), b->place()); });
  return out;
}

// Leaves the later half to the next pass; the first series stays whatever it takes.
void OpenMetricsDump::make_room() {
  const std::vector<Series*> all = sorted();
  const std::size_t most = (max_bytes_ - std::min(max_bytes_, fixed_bytes())) / 2;
  std::unordered_set<const Family*> kept_families;
  std::size_t kept = 0;
  std::size_t kept_bytes = 0;
  for (; kept < all.size(); ++kept) {
    const Family* const family = all[kept]->family;
    const bool is_new = kept_families.count(family) == 0;
    const std::size_t bytes = all[kept]->bytes() + (is_new ? family->bytes() : 0);
    if (kept != 0 && kept_bytes + bytes > most) {
      break;
    }
    kept_bytes += bytes;
    kept_families.insert(family);
  }
  if (kept == all.size()) {
    return;
  }
  has_ceiling_ = true;
  ceiling_ = {all[kept]->family->name, all[kept]->name};
  for (std::size_t i = kept; i < all.size(); ++i) {
    const auto at = series_.find(all[i]->name);
    const auto doomed = std::move(at->second);  // the key is a part of it
    series_.erase(at);
  }
  for (auto at = families_.begin(); at != families_.end();) {
    if (kept_families.count(at->second.get()) != 0) {
      ++at;
      continue;
    }
    const auto doomed = std::move(at->second);
    at = families_.erase(at);
  }
  bytes_ = kept_bytes;
}

void OpenMetricsDump::collect() {
  while (const SnapshotPtr snapshot = walk_.next()) {
    begin_time(snapshot->realtime_ns);
    text_.begin(snapshot, walk_.node_families());
    for (std::size_t i = 0; i < snapshot->entries.size(); ++i) {
      if (text_.is_new(i)) {
        add_text(text_.section(i));
      }
    }
    add_text(text_.status());
  }
}

// OpenMetrics wants a counter's samples to be called as the family and _total; what Prometheus scraped under another
// name keeps it.
void OpenMetricsDump::append_head(std::string& out, const Family& family) const {
  std::string_view name = family.name;
  std::string_view type = family.type == "untyped" ? "unknown" : std::string_view(family.type);
  if (type == "counter") {
    const bool has_total = name.ends_with(kTotal) && name.size() > kTotal.size();
    const std::string_view base = name.substr(0, name.size() - (has_total ? kTotal.size() : 0));
    if (has_total && knows_all_names_ && names_.count(std::string(base)) == 0) {
      name = base;
    } else {
      type = "unknown";
    }
  }
  out.append("# HELP ").append(name).push_back(' ');
  for (const char c : family.help) {  // quotes are escaped here, too
    out.append(c == '"' ? "\\" : "").push_back(c);
  }
  out.append("\n# TYPE ").append(name).append(" ").append(type).append("\n");
}

void OpenMetricsDump::append_samples(std::string& out, const Series& series) {
  ByteReader reader(series.samples);
  std::size_t time = 0;
  std::string_view value;
  while (reader.left() != 0) {
    time += static_cast<std::size_t>(reader.number());
    const std::string_view text = reader.text();
    value = text.empty() ? value : text;
    out.append(series.name).append(" ").append(value).append(" ");
    out.append(times_[time]).append("\n");
  }
  stats_.samples += series.count;
  stats_.not_later += series.not_later;
  stats_.collisions += series.collisions;
  ++stats_.series;
}

bool OpenMetricsDump::write(const TextSink& sink) {
  std::string out;
  std::string_view last = has_floor_ ? std::string_view(floor_.family) : std::string_view();
  const std::vector<Series*> all = sorted();
  for (const Series* series : all) {
    if (series->family->name != last) {
      append_head(out, *series->family);
      last = series->family->name;
    }
    append_samples(out, *series);
    if (out.size() >= kWriteBytes) {
      if (!sink(out)) {
        return false;
      }
      out.clear();
    }
  }
  if (!all.empty()) {
    floor_ = {all.back()->family->name, all.back()->name};
    has_floor_ = true;
  }
  return out.empty() || sink(out);
}

void OpenMetricsDump::clear() {
  series_.clear();
  families_.clear();
  lines_ = {};
  times_.clear();
  times_ms_.clear();
  bytes_ = 0;
  has_ceiling_ = false;
  text_.forget();
}

bool OpenMetricsDump::run(const TextSink& sink) {
  for (bool more = true; more;) {
    collect();
    ++stats_.passes;
    more = has_ceiling_;
    if (!write(sink)) {
      return false;
    }
    clear();
    walk_.rewind();
  }
  return sink("# EOF\n");
}

}  // namespace tidegauge::replay
