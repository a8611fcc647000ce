// SPDX-License-Identifier: Apache-2.0
#include "daemon/commands/why_text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "collectors/core/text.h"

namespace tidegauge {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kColumns = 80;
constexpr std::size_t kMaxText = 4000;  // columns of one paragraph
constexpr std::size_t kValueColumns = 14;

// ---- the document, of which nothing is believed ----

std::string text_of(const Json& object, const char* key) {
  const auto at = object.is_object() ? object.find(key) : object.end();
  return object.is_object() && at != object.end() && at->is_string() ? at->get<std::string>() : "";
}

std::optional<double> number_of(const Json& object, const char* key) {
  const auto at = object.is_object() ? object.find(key) : object.end();
  return object.is_object() && at != object.end() && at->is_number()
             ? std::optional(at->get<double>())
             : std::nullopt;
}

bool is_true(const Json& object, const char* key) {
  const auto at = object.is_object() ? object.find(key) : object.end();
  return object.is_object() && at != object.end() && at->is_boolean() && at->get<bool>();
}

const Json& list_of(const Json& object, const char* key) {
  static const Json kNone = Json::array();
  const auto at = object.is_object() ? object.find(key) : object.end();
  return object.is_object() && at != object.end() && at->is_array() ? *at : kNone;
}

// ---- paragraphs ----

// The bytes of `text` that take `columns` at most; at least one character.
std::size_t cut_of(std::string_view text, std::size_t columns) {
  std::size_t good = 0;
  for (std::size_t end = 1; end <= text.size(); ++end) {
    const bool is_boundary =
        end == text.size() || (static_cast<unsigned char>(text[end]) & 0xC0U) != 0x80U;
    if (!is_boundary) {
      continue;
    }
    if (good != 0 && columns_of(text.substr(0, end)) > columns) {
      break;
    }
    good = end;
    if (columns_of(text.substr(0, end)) >= columns) {
      break;
    }
  }
  return good;
}

class Page {
 public:
  explicit Page(Charset charset) : charset_(charset) {}

  void blank() { out_ += "\n"; }
  // `text` behind `lead`, whose columns are left blank in lines that follow.
  void paragraph(std::string_view lead, std::string_view text) {
    const std::size_t indent = lead.size();
    std::size_t number = 0;
    for (const std::string& line : wrapped(text, kColumns - indent)) {
      out_ += number++ == 0 ? std::string(lead) : std::string(indent, ' ');
      out_ += line + "\n";
    }
  }
  void line(std::string_view text) { out_ += printable(text, kColumns, charset_) + "\n"; }
  // Bullets below a heading; nothing for an empty list.
  void list(std::string_view heading, const std::vector<std::string>& items) {
    if (items.empty()) {
      return;
    }
    blank();
    line("  " + std::string(heading));
    for (const std::string& item : items) {
      paragraph("    - ", item);
    }
  }
  // `cells` stand behind the last line of `text`, each in its columns, right-aligned.
  void row(std::string_view lead, std::string_view text, const std::vector<std::string>& cells) {
    const std::size_t columns = kColumns - lead.size() - cells.size() * (kValueColumns + 1);
    const std::vector<std::string> lines = wrapped(text, columns);
    for (std::size_t i = 0; i < lines.size(); ++i) {
      std::string shown = std::string(lead) + lines[i];
      if (i + 1 == lines.size()) {
        shown.append(columns - std::min(columns, columns_of(lines[i])), ' ');
        for (const std::string& cell : cells) {
          shown += " " + right_aligned(printable(cell, kValueColumns, charset_), kValueColumns);
        }
        shown.erase(shown.find_last_not_of(' ') + 1);
      }
      out_ += shown + "\n";
    }
  }
  [[nodiscard]] std::string take() { return std::move(out_); }

 private:
  // At least one line, each of so many columns at most.
  [[nodiscard]] std::vector<std::string> wrapped(std::string_view raw, std::size_t columns) const {
    const std::string all = printable(raw, kMaxText, charset_);
    std::vector<std::string> lines(1);
    std::string_view rest(all);
    for (std::string_view word; !(word = next_field(rest)).empty();) {
      while (!word.empty()) {
        const std::size_t used = columns_of(lines.back());
        const std::size_t wanted = columns_of(word);
        if (used != 0 && used + 1 + wanted > columns) {
          lines.emplace_back();
          continue;
        }
        const std::size_t bytes = wanted <= columns ? word.size() : cut_of(word, columns);
        lines.back() += (used == 0 ? "" : " ") + std::string(word.substr(0, bytes));
        word.remove_prefix(bytes);
      }
    }
    return lines;
  }

  Charset charset_;
  std::string out_;
};

// ---- words ----

// "2026-11-26T01:32:32.123Z" is "2026-11-26 01:32:32 UTC".
std::string time_text(const std::string& rfc3339) {
  constexpr std::size_t kToSeconds = 19;
  if (rfc3339.size() < kToSeconds + 1 || rfc3339[10] != 'T' || rfc3339.back() != 'Z') {
    return rfc3339;
  }
  return rfc3339.substr(0, 10) + " " + rfc3339.substr(11, 8) + " UTC";
}

std::string upper(std::string text) {
  for (char& c : text) {
    c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  return text;
}

std::string share_text(double share) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.0f %%", std::clamp(share, 0.0, 9.99) * 100);
  return text.data();
}

std::string name_of(const Json& verdict) {
  std::string out = text_of(verdict, "title");
  if (out.empty()) {
    out = text_of(verdict, "verdict");
  }
  const std::string instance = text_of(verdict, "instance");
  return instance.empty() ? out : out + " (" + instance + ")";
}

// "2026-11-26 01:32:32 UTC, 3 min 20 s ago", or for how long.
std::string since_text(const Json& verdict, const Json& report) {
  std::string out = time_text(text_of(verdict, "onset"));
  const auto onset = number_of(verdict, "onset_seconds");
  const auto now = number_of(report, "time_seconds");
  const auto lasted = number_of(verdict, "lasted_seconds");
  if (lasted) {
    return out + " for " + span_text(*lasted);
  }
  if (onset && now) {
    out +=
        ", " + span_text(*now - *onset) + (report.contains("found") ? " before the end" : " ago");
  }
  return out;
}

std::string party_text(const Json& party) {
  std::string out = text_of(party, "text");
  const auto add = [&](std::string_view before, const std::string& name) {
    if (!name.empty() && out.find(name) == std::string::npos) {
      out += std::string(before) + name;
    }
  };
  add(", file ", text_of(party, "file"));
  add(", in ", text_of(party, "directory"));
  add(", on ", text_of(party, "device"));
  if (const auto share = number_of(party, "share")) {
    out += ", " + share_text(*share);
  }
  if (const std::string doing = text_of(party, "doing"); !doing.empty()) {
    out += ": " + doing;
  }
  return out;
}

std::vector<std::string> texts_of(const Json& list) {
  std::vector<std::string> out;
  for (const Json& item : list) {
    if (item.is_string()) {
      out.push_back(item.get<std::string>());
    }
  }
  return out;
}

// ---- parts of the page ----

void add_evidence(Page& page, std::string_view heading, const Json& list) {
  if (list.empty()) {
    return;
  }
  page.blank();
  page.row("  ", heading, {"value", "threshold"});
  for (const Json& one : list) {
    page.row("    ", text_of(one, "what"), {text_of(one, "text"), text_of(one, "threshold_text")});
    if (const std::string source = text_of(one, "source"); !source.empty()) {
      page.paragraph("      from ", source);
    }
  }
}

void add_parties(Page& page, std::string_view lead, const Json& list) {
  bool is_first = true;
  for (const Json& party : list) {
    page.paragraph(std::exchange(is_first, false) ? lead : std::string(lead.size(), ' '),
                   party_text(party));
  }
}

void add_timeline(Page& page, const Json& list) {
  if (list.empty()) {
    return;
  }
  page.blank();
  page.line("  Order of events, in seconds from the onset");
  for (const Json& moment : list) {
    std::array<char, 32> offset{};
    const double seconds = number_of(moment, "offset_seconds").value_or(0);
    std::snprintf(offset.data(), offset.size(), "%+.1f", std::clamp(seconds, -1e7, 1e7));
    page.paragraph("    " + right_aligned(offset.data(), 9) + "  ", text_of(moment, "what"));
  }
}

void add_head(Page& page, const Json& verdict) {
  std::string line = upper(text_of(verdict, "severity")) + ": " + name_of(verdict);
  if (const auto confidence = number_of(verdict, "confidence")) {
    line += ", " + share_text(*confidence) + " sure";
  }
  page.paragraph("", line);
}

void add_whole(Page& page, const Json& verdict, const Json& report) {
  add_head(page, verdict);
  page.paragraph("  ", text_of(verdict, "sentence"));
  page.blank();
  std::string since = since_text(verdict, report);
  if (const auto resolution = number_of(verdict, "onset_resolution_seconds");
      resolution && *resolution > 0) {
    since += " (+- " + span_text(*resolution) + ")";
  }
  if (const auto delay = number_of(verdict, "detection_delay_seconds"); delay && *delay > 0) {
    since += "; noticed " + span_text(*delay) + " later";
  }
  page.paragraph("  Since    ", since);
  add_parties(page, "  Who      ", list_of(verdict, "causes"));
  add_parties(page, "  Victims  ", list_of(verdict, "victims"));
  add_evidence(page, "Evidence", list_of(verdict, "evidence"));
  std::vector<std::string> ruled_out;
  for (const Json& one : list_of(verdict, "ruled_out")) {
    const std::string because = text_of(one, "because");
    ruled_out.push_back(text_of(one, "alternative") + (because.empty() ? "" : ": " + because));
  }
  page.list("Ruled out", ruled_out);
  add_timeline(page, list_of(verdict, "timeline"));
  page.list("Not checked", texts_of(list_of(verdict, "unchecked")));
  page.list("What to do", texts_of(list_of(verdict, "next_steps")));
  if (is_true(verdict, "is_short")) {
    page.paragraph("  ", "There was no room for its evidence.");
  }
}

void add_short(Page& page, const Json& verdict, const Json& report) {
  add_head(page, verdict);
  page.paragraph("  ", text_of(verdict, "sentence"));
  page.paragraph("  Since    ", since_text(verdict, report));
}

std::string host_text(const Json& report) {
  std::string out = text_of(report, "host");
  if (const std::string kernel = text_of(report, "kernel"); !kernel.empty()) {
    out += (out.empty() ? "Linux " : ", Linux ") + kernel;
  }
  return out;
}

bool is_bad(const Json& verdict) {
  const std::string severity = text_of(verdict, "severity");
  return severity == "warning" || severity == "critical";
}

void add_recent(Page& page, const Json& list) {
  if (list.empty()) {
    return;
  }
  page.blank();
  page.line("Ended lately");
  for (const Json& verdict : list) {
    page.line("  " + time_text(text_of(verdict, "onset")) + " for " +
              span_text(number_of(verdict, "lasted_seconds").value_or(0)) + ": " +
              name_of(verdict) + ", " + text_of(verdict, "severity"));
  }
}

std::string daemon_text(const Json& report, bool all, Charset charset) {
  Page page(charset);
  page.paragraph("", host_text(report) + ", " + time_text(text_of(report, "time")));
  const Json& active = list_of(report, "active");
  const bool is_wrong = std::any_of(active.begin(), active.end(), is_bad);
  if (!is_wrong) {
    page.blank();
    page.line(active.empty() ? "Nothing is wrong." : "Nothing is wrong. For information:");
  }
  std::size_t number = 0;
  for (const Json& verdict : active) {
    page.blank();
    if (all || (number == 0 && is_wrong)) {
      add_whole(page, verdict, report);
    } else {
      add_short(page, verdict, report);
    }
    ++number;
  }
  if (!all && number > (is_wrong ? 1U : 0U)) {
    page.blank();
    page.line("`tidegauge why --all` tells everything about each.");
  }
  if (!is_wrong || all) {
    add_evidence(page, "How far it is from trouble", list_of(report, "headroom"));
  }
  add_recent(page, list_of(report, "recent"));
  page.list("What this host cannot tell", texts_of(list_of(report, "unchecked")));
  return page.take();
}

std::string recording_text(const Json& report, bool all, Charset charset) {
  Page page(charset);
  page.paragraph("", text_of(report, "recording"));
  page.paragraph("", host_text(report) + ", " + time_text(text_of(report, "from")) + " to " +
                         time_text(text_of(report, "to")));
  if (const auto damages = number_of(report, "damages"); damages && *damages > 0) {
    page.paragraph("", "It is damaged in " + human(damages, 1000) +
                           (*damages > 1 ? " places" : " place") + "; this is about the rest.");
  }
  const Json& found = list_of(report, "found");
  page.blank();
  page.line(found.empty() ? "Nothing was found." : "Found: " + std::to_string(found.size()));
  std::set<std::string> told;
  bool is_cut = false;
  for (const Json& verdict : found) {
    page.blank();
    if (all || told.insert(name_of(verdict)).second) {
      add_whole(page, verdict, report);
    } else {
      is_cut = true;
      add_short(page, verdict, report);
    }
    if (is_true(verdict, "is_active")) {
      page.paragraph("  ", "It still held at the end of the recording.");
    }
  }
  if (const auto left_out = number_of(report, "left_out"); left_out && *left_out > 0) {
    page.blank();
    page.line("and " + human(left_out, 1000) + " more");
  }
  if (is_cut) {
    page.blank();
    page.line("`--all` tells everything about those that came again.");
  }
  if (found.empty() || all) {
    add_evidence(page, "How far it was from trouble at the end", list_of(report, "headroom"));
  }
  page.list("What this recording cannot tell", texts_of(list_of(report, "unchecked")));
  return page.take();
}

// What a document leaves empty leaves blanks at the ends of lines.
std::string without_trailing_blanks(const std::string& text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (c == '\n') {
      out.erase(out.find_last_not_of(' ') + 1);
    }
    out.push_back(c);
  }
  return out;
}

}  // namespace

std::string span_text(double seconds) {
  constexpr double kMinute = 60;
  constexpr double kHour = 3600;
  constexpr double kDay = 86'400;
  constexpr double kTenSeconds = 9.95;
  seconds = std::isfinite(seconds) ? std::clamp(seconds, 0.0, 1e10) : 0;
  std::array<char, 48> text{};
  const auto pair = [&](double value, double large, const char* format) {
    const auto units = static_cast<long long>(value);
    const auto per = static_cast<long long>(large);
    std::snprintf(text.data(), text.size(), format, units / per, units % per);
  };
  if (seconds < kTenSeconds) {
    std::snprintf(text.data(), text.size(), "%.1f s", seconds);
    return text.data();
  }
  const double whole = std::round(seconds);
  if (whole < kMinute) {
    std::snprintf(text.data(), text.size(), "%.0f s", whole);
  } else if (whole < kHour) {
    pair(whole, kMinute, "%lld min %lld s");
  } else if (whole < 2 * kDay) {
    pair(std::floor(whole / kMinute), kMinute, "%lld h %lld min");
  } else {
    pair(std::floor(whole / kHour), kDay / kHour, "%lld days %lld h");
  }
  return text.data();
}

bool is_why_report(const Json& report) {
  return report.is_object() && !text_of(report, "time").empty() &&
         !text_of(report, "severity").empty() && report.contains("active");
}

std::string why_text(const Json& report, bool all, Charset charset) {
  return without_trailing_blanks(report.is_object() && report.contains("found")
                                     ? recording_text(report, all, charset)
                                     : daemon_text(report, all, charset));
}

int why_exit_code(const Json& report) { return is_bad(report) ? 1 : 0; }

}  // namespace tidegauge
