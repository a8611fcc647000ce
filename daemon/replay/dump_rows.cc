// SPDX-License-Identifier: Apache-2.0
#include "daemon/replay/dump_rows.h"

#include <nlohmann/json.hpp>

namespace tidegauge::replay {

namespace {

// Texts of series that are kept.
constexpr std::size_t kMaxKnownBytes = std::size_t{64} << 20U;

void append_quoted(std::string& out, std::string_view field) {
  if (field.find_first_of(",\"\r\n") == std::string_view::npos) {
    out.append(field);
    return;
  }
  out.push_back('"');
  for (const char c : field) {
    out.append(c == '"' ? 2 : 1, c);
  }
  out.push_back('"');
}

void append_json_text(std::string& out, std::string_view text) {
  out.append(nlohmann::json(text).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace));
}

// Takes `name="value"` off the front, unescaped.
void take_label(std::string_view& labels, std::string& name, std::string& value) {
  const std::size_t equals = std::min(labels.find("=\""), labels.size());
  name = labels.substr(0, equals);
  value.clear();
  std::size_t at = equals + 2;
  for (; at < labels.size() && labels[at] != '"'; ++at) {
    const bool escaped = labels[at] == '\\' && at + 1 < labels.size();
    at += escaped ? 1 : 0;
    value.push_back(escaped && labels[at] == 'n' ? '\n' : labels[at]);
  }
  labels.remove_prefix(std::min(at + 2, labels.size()));  // the quote and a comma
}

// What stands before a value is the same in every line.
class JsonSeries {
 public:
  const std::string& text(std::string_view series) {
    std::string key(series);
    if (const auto at = known_.find(key); at != known_.end()) {
      return at->second;
    }
    if (bytes_ > kMaxKnownBytes) {
      known_.clear();
      bytes_ = 0;
    }
    std::string out = R"({"name":)";
    SeriesParts parts = series_parts(series);
    append_json_text(out, parts.name);
    out.append(R"(,"labels":{)");
    std::string name;
    std::string value;
    for (bool is_first = true; !parts.labels.empty(); is_first = false) {
      take_label(parts.labels, name, value);
      out.append(is_first ? "" : ",");
      append_json_text(out, name);
      out.push_back(':');
      append_json_text(out, value);
    }
    out.append(R"(},"value":)");
    bytes_ += 2 * key.size() + out.size() + 128;
    return known_.emplace(std::move(key), std::move(out)).first->second;
  }

 private:
  std::unordered_map<std::string, std::string> known_;
  std::size_t bytes_ = 0;
};

bool is_json_number(std::string_view value) {
  return value.find_first_not_of("0123456789+-.e") == std::string_view::npos;
}

}  // namespace

bool dump_csv(RecordingWalk& walk, RecordedText& text, FamilyMatcher& matcher,
              const TextSink& sink) {
  std::string out = "time,metric,labels,value\n";
  while (const SnapshotPtr snapshot = walk.next()) {
    const std::string time = time_text(snapshot->realtime_ns);
    const auto add = [&](std::string_view part) {
      read_samples(
          part, [&](const FamilyLines& family) { return matcher.matches(family.name); },
          [&](std::string_view series, std::string_view value) {
            const SeriesParts parts = series_parts(series);
            out.append(time).append(",").append(parts.name).append(",");
            append_quoted(out, parts.labels);
            out.append(",").append(value).append("\n");
          });
    };
    text.begin(snapshot, walk.node_families());
    for (std::size_t i = 0; i < snapshot->entries.size(); ++i) {
      if (text.is_new(i)) {
        add(text.section(i));
      }
    }
    add(text.status());
    if (!sink(out)) {
      return false;
    }
    out.clear();
  }
  return out.empty() || sink(out);
}

bool dump_json(RecordingWalk& walk, RecordedText& text, FamilyMatcher& matcher,
               const TextSink& sink) {
  JsonSeries known;
  while (const SnapshotPtr snapshot = walk.next()) {
    std::string out = R"({"time":")" + time_text(snapshot->realtime_ns) + R"(","sequence":)" +
                      std::to_string(snapshot->sequence) + R"(,"metrics":[)";
    bool is_first = true;
    const auto add = [&](std::string_view part) {
      read_samples(
          part, [&](const FamilyLines& family) { return matcher.matches(family.name); },
          [&](std::string_view series, std::string_view value) {
            out.append(is_first ? "" : ",").append(known.text(series));
            is_first = false;
            const std::string_view quote = is_json_number(value) ? "" : "\"";
            out.append(quote).append(value).append(quote).append("}");
          });
    };
    text.begin(snapshot, walk.node_families());
    for (std::size_t i = 0; i < snapshot->entries.size(); ++i) {
      add(text.section(i));
    }
    add(text.status());
    out.append("]}\n");
    if (!sink(out)) {
      return false;
    }
  }
  return true;
}

}  // namespace tidegauge::replay
