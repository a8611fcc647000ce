// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/exposition_parser.h"

#include <cctype>
#include <set>
#include <stdexcept>

#include "collectors/core/text.h"

namespace tidegauge::testing {

namespace {

[[noreturn]] void refuse(const std::string& why) { throw std::runtime_error(why); }

std::string take_name(std::string_view& text) {
  std::size_t n = 0;
  while (n < text.size() && (std::isalnum(static_cast<unsigned char>(text[n])) != 0 ||
                             text[n] == '_' || text[n] == ':')) {
    ++n;
  }
  if (n == 0 || std::isdigit(static_cast<unsigned char>(text[0])) != 0) {
    refuse("bad name");
  }
  std::string name(text.substr(0, n));
  text.remove_prefix(n);
  return name;
}

std::string take_escaped(std::string_view& text, bool quoted) {
  std::string out;
  while (true) {
    if (text.empty()) {
      if (quoted) {
        refuse("unterminated label value");
      }
      return out;
    }
    const char c = text.front();
    text.remove_prefix(1);
    if (quoted && c == '"') {
      return out;
    }
    if (c != '\\') {
      out.push_back(c);
      continue;
    }
    const char escaped = text.empty() ? '\0' : text.front();
    if (escaped == 'n') {
      out.push_back('\n');
    } else if (escaped == '\\' || (quoted && escaped == '"')) {
      out.push_back(escaped);
    } else {
      refuse("bad escape");
    }
    text.remove_prefix(1);
  }
}

std::string take_labels(std::string_view& text) {
  std::map<std::string, std::string> labels;
  if (!text.starts_with('{')) {
    return "";
  }
  do {
    text.remove_prefix(1);
    const std::string name = take_name(text);
    if (!text.starts_with("=\"")) {
      refuse("expected =\"");
    }
    text.remove_prefix(2);
    const std::string value = take_escaped(text, true);
    if (sanitize_label(value, value.size()) != value) {
      refuse("label value is not UTF-8");
    }
    if (!labels.emplace(name, value).second) {
      refuse("label twice");
    }
  } while (text.starts_with(','));
  if (!text.starts_with('}')) {
    refuse("expected }");
  }
  text.remove_prefix(1);
  std::string out;
  for (const auto& [name, value] : labels) {
    out += name + "=" + value + ";";
  }
  return out;
}

double parse_value(std::string_view text) {
  if (text == "Nan") {  // prometheus-cpp's own spelling
    text = "NaN";
  }
  const auto value = parse_real(text);
  if (!value) {
    refuse("bad value " + std::string(text));
  }
  return *value;
}

// The family a series belongs to: suffixes count only below a histogram or summary.
std::string family_of(const ParsedExposition& out, const std::string& series) {
  for (const std::string_view suffix : {"_bucket", "_sum", "_count"}) {
    if (series.ends_with(suffix)) {
      const std::string base = series.substr(0, series.size() - suffix.size());
      const auto at = out.families.find(base);
      if (at != out.families.end() &&
          (at->second.type == "histogram" || at->second.type == "summary")) {
        return base;
      }
    }
  }
  return series;
}

void parse_line(ParsedExposition& out, std::string& current, std::set<std::string>& closed,
                std::string_view line) {
  const bool help = line.starts_with("# HELP ");
  if (help || line.starts_with("# TYPE ")) {
    line.remove_prefix(7);
    const std::string name = take_name(line);
    if (!line.starts_with(' ')) {
      refuse("expected a blank");
    }
    line.remove_prefix(1);
    ParsedFamily& family = out.families[name];
    if (help) {
      if (!current.empty()) {
        closed.insert(current);
      }
      if (closed.contains(name)) {
        refuse("family " + name + " twice");
      }
      family.help = take_escaped(line, false);
    } else {
      if (!family.type.empty() || !family.series.empty()) {
        refuse("second TYPE of " + name);
      }
      family.type = line;
    }
    current = name;
    return;
  }
  if (line.starts_with("# ")) {  // a comment
    return;
  }
  const std::string name = take_name(line);
  const std::string labels = take_labels(line);
  if (!line.starts_with(' ')) {
    refuse("expected a blank");
  }
  const std::string family = family_of(out, name);
  if (family != current) {
    refuse("series " + name + " outside its family");
  }
  const std::string key = (name == family ? "" : name + " ") + labels;
  if (!out.families[family].series.emplace(key, parse_value(line.substr(1))).second) {
    refuse("series " + name + "{" + labels + "} twice");
  }
}

}  // namespace

ParsedExposition parse_exposition(std::string_view text) {
  ParsedExposition out;
  if (!text.empty() && text.back() != '\n') {
    out.error = "no newline at the end";
    return out;
  }
  std::string current;
  std::set<std::string> closed;
  LineReader lines(text);
  for (std::string_view line; lines.next(line);) {
    try {
      parse_line(out, current, closed, line);
    } catch (const std::exception& e) {
      out.error = "line " + std::to_string(lines.number()) + ": " + e.what();
      return out;
    }
  }
  return out;
}

}  // namespace tidegauge::testing
