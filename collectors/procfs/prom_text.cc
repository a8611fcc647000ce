// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/prom_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <set>
#include <string>
#include <unordered_map>

#include "collectors/core/text.h"

namespace tidegauge {

namespace {

constexpr std::size_t kMaxPaddedLabels = 100'000;

constexpr std::size_t kNoLimit = std::numeric_limits<std::size_t>::max();

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_name_char(char c, bool colons) {
  return is_letter(c) || (c >= '0' && c <= '9') || (colons && c == ':');
}

// [a-zA-Z_][a-zA-Z0-9_]*, for metrics also with colons, off the front; "" when there is none.
std::string_view take_name(std::string_view& text, bool colons) {
  std::size_t length = 0;
  while (length < text.size() && is_name_char(text[length], colons)) {
    ++length;
  }
  if (length != 0 && text[0] >= '0' && text[0] <= '9') {
    length = 0;
  }
  const std::string_view name = text.substr(0, length);
  text.remove_prefix(length);
  return name;
}

void skip_blanks(std::string_view& text) {
  while (!text.empty() && is_blank(text.front())) {
    text.remove_prefix(1);
  }
}

std::string_view take_word(std::string_view& text) {
  const std::size_t length = std::min(text.find_first_of(" \t"), text.size());
  const std::string_view word = text.substr(0, length);
  text.remove_prefix(length);
  return word;
}

// Undoes \\, \n and, where quotes can be escaped, \"; false on any other escape.
bool unescape(std::string_view text, std::string& out) {
  out.clear();
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out.push_back(text[i]);
      continue;
    }
    if (++i == text.size() || (text[i] != '\\' && text[i] != 'n' && text[i] != '"')) {
      return false;
    }
    out.push_back(text[i] == 'n' ? '\n' : text[i]);
  }
  return true;
}

// A quoted text off the front, unescaped.
bool take_quoted(std::string_view& text, std::string& out) {
  if (!text.starts_with('"')) {
    return false;
  }
  std::size_t end = 1;
  while (end < text.size() && text[end] != '"') {
    end += text[end] == '\\' ? 2U : 1U;
  }
  if (end >= text.size() || !unescape(text.substr(1, end - 1), out)) {
    return false;
  }
  text.remove_prefix(end + 1);
  return true;
}

bool is_name(std::string_view text, bool colons) {
  std::string_view rest = text;
  return take_name(rest, colons).size() == text.size() && !text.empty();
}

std::optional<MetricKind> kind_named(std::string_view type) {
  std::string lower(type);
  for (char& c : lower) {
    c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  struct Name {
    std::string_view text;
    MetricKind kind;
  };
  for (const Name& name : {Name{"counter", MetricKind::kCounter},
                           {"gauge", MetricKind::kGauge},
                           {"untyped", MetricKind::kUntyped},
                           {"histogram", MetricKind::kHistogram},
                           {"summary", MetricKind::kSummary}}) {
    if (name.text == lower) {
      return name.kind;
    }
  }
  return std::nullopt;
}

class PromParser {
 public:
  PromParser(std::string_view text, std::string_view file, std::size_t max_samples)
      : text_(text), file_(file), samples_left_(max_samples), max_families_(max_samples) {}

  Result<std::vector<PromFamily>> parse() {
    LineReader lines(text_);
    for (std::string_view line; lines.next(line);) {
      wanted_ = {};
      skip_blanks(line);
      if (!line.empty() && lines.rest().empty() && text_.back() != '\n') {
        wanted_ = "a newline at the end of the last line";
      } else if (line.starts_with('#')) {
        comment(line.substr(1));
      } else if (!line.empty()) {
        sample(line);
      }
      if (!wanted_.empty()) {
        return malformed(file_, lines.number(), wanted_);
      }
    }
    std::erase_if(families_, [](const PromFamily& family) { return family.metrics.empty(); });
    if (padded_labels() > kMaxPaddedLabels) {
      return malformed(file_, 0, "fewer different labels for so many samples");
    }
    return std::move(families_);
  }

 private:
  enum class Part : std::uint8_t { kPlain, kSum, kCount };
  struct Target {
    std::size_t family = 0;
    Part part = Part::kPlain;
  };
  struct Labels {
    std::vector<Label> labels;
    double point = std::numeric_limits<double>::quiet_NaN();  // of le or quantile
  };

  void fail(std::string_view wanted) { wanted_ = wanted; }

  // A family's table has a column per label that any of its metrics has, empty for the others: with a
  // label of its own for each metric, a small file would make a huge table.
  [[nodiscard]] std::size_t padded_labels() const {
    std::size_t padded = 0;
    for (const PromFamily& family : families_) {
      std::set<std::string_view> names;
      std::size_t labels = 0;
      for (const PromMetric& metric : family.metrics) {
        labels += metric.labels.size();
        for (const Label& label : metric.labels) {
          names.insert(label.name);
        }
      }
      padded += names.size() * family.metrics.size() - labels;
    }
    return padded;
  }

  std::optional<std::size_t> find(std::string_view name) const {
    const auto at = by_name_.find(std::string(name));
    return at == by_name_.end() ? std::nullopt : std::optional(at->second);
  }

  [[nodiscard]] bool is_kind(std::optional<std::size_t> family, MetricKind kind) const {
    return family && typed_[*family] && families_[*family].kind == kind;
  }

  // The family a name belongs to: its own, that of a known histogram or summary, or a new one.
  Target target(std::string_view name) {
    if (const auto exact = find(name)) {
      return {*exact, Part::kPlain};
    }
    struct Suffix {
      std::string_view text;
      Part part;
    };
    for (const Suffix& suffix :
         {Suffix{"_count", Part::kCount}, {"_sum", Part::kSum}, {"_bucket", Part::kPlain}}) {
      if (name.size() <= suffix.text.size() || !name.ends_with(suffix.text)) {
        continue;
      }
      const auto base = find(name.substr(0, name.size() - suffix.text.size()));
      if (is_kind(base, MetricKind::kHistogram) ||
          (suffix.part != Part::kPlain && is_kind(base, MetricKind::kSummary))) {
        return {*base, suffix.part};
      }
    }
    if (families_.size() >= max_families_) {  // one without samples costs as much as a sample
      fail("fewer families");
    }
    by_name_.emplace(name, families_.size());
    families_.emplace_back().name = name;
    typed_.push_back(false);
    return {families_.size() - 1, Part::kPlain};
  }

  // # HELP name text, # TYPE name type; any other comment is none of ours.
  void comment(std::string_view line) {
    skip_blanks(line);
    const std::string_view keyword = take_word(line);
    if (line.empty() || (keyword != "HELP" && keyword != "TYPE")) {
      return;
    }
    skip_blanks(line);
    if (line.empty()) {
      return;
    }
    const std::string_view name = take_name(line, true);
    if (name.empty() || (!line.empty() && !is_blank(line.front()))) {
      return fail("a metric name");
    }
    if (line.empty()) {
      return;
    }
    const std::size_t family = target(name).family;
    skip_blanks(line);
    if (line.empty()) {
      return;
    }
    keyword == "HELP" ? help(families_[family], line) : type(family, line);
  }

  void help(PromFamily& family, std::string_view text) {
    std::string unescaped;
    if (family.help) {
      fail("one HELP line for a metric");
    } else if (!unescape(text, unescaped)) {
      fail("no escapes but \\\\ and \\n in a HELP text");
    } else {
      family.help = sanitize_label(unescaped, kNoLimit);
    }
  }

  void type(std::size_t family, std::string_view text) {
    const auto kind = kind_named(text);
    if (typed_[family]) {
      fail("one TYPE line for a metric, before its samples");
    } else if (!kind) {
      fail("counter, gauge, untyped, histogram or summary");
    } else {
      families_[family].kind = *kind;
      typed_[family] = true;
    }
  }

  void sample(std::string_view line) {
    Target at;
    Labels labels;
    if (line.starts_with('{')) {
      line.remove_prefix(1);
      if (!name_in_braces(line, at) || !label_set(line, at, labels)) {
        return;
      }
    } else {
      const std::string_view name = take_name(line, true);
      if (name.empty()) {
        return fail("a metric name");
      }
      at = target(name);
      skip_blanks(line);
      if (line.starts_with('{')) {
        line.remove_prefix(1);
        if (!label_set(line, at, labels)) {
          return;
        }
      }
    }
    typed_[at.family] = true;  // untyped, unless a TYPE line came first
    skip_blanks(line);
    const auto number = parse_prom_value(take_word(line));
    if (!number) {
      return fail("a number as the sample's value");
    }
    if (!line.empty()) {
      return fail("no timestamp or blank behind the value");
    }
    if (samples_left_ == 0) {
      return fail("fewer samples");
    }
    --samples_left_;
    store(at, std::move(labels), *number);
  }

  // {"name", label="value"}: the quoted form of Prometheus 3, still with names of the old kind.
  bool name_in_braces(std::string_view& line, Target& at) {
    skip_blanks(line);
    std::string name;
    if (!take_quoted(line, name) || !is_name(name, true)) {
      fail("a metric name");
      return false;
    }
    at = target(name);
    skip_blanks(line);
    if (line.starts_with(',')) {
      line.remove_prefix(1);
    } else if (!line.starts_with('}')) {
      fail("a comma or a brace behind the metric name");
      return false;
    }
    return true;
  }

  // What follows the opening brace, with the closing one.
  bool label_set(std::string_view& line, const Target& at, Labels& out) {
    for (skip_blanks(line); !line.starts_with('}'); skip_blanks(line)) {
      Label& label = out.labels.emplace_back();
      if (!label_pair(line, label)) {
        return false;
      }
      const MetricKind kind = families_[at.family].kind;
      if ((kind == MetricKind::kHistogram && label.name == "le") ||
          (kind == MetricKind::kSummary && label.name == "quantile")) {
        const auto point = parse_prom_value(label.value);
        if (!point) {
          fail("a number as le or quantile");
          return false;
        }
        out.point = *point;
        out.labels.pop_back();
      }
      skip_blanks(line);
      if (line.starts_with(',')) {
        line.remove_prefix(1);
      } else if (!line.starts_with('}')) {
        fail("a comma or a brace behind a label");
        return false;
      }
    }
    line.remove_prefix(1);
    std::sort(out.labels.begin(), out.labels.end(),
              [](const Label& a, const Label& b) { return a.name < b.name; });
    const auto same = [](const Label& a, const Label& b) { return a.name == b.name; };
    if (std::adjacent_find(out.labels.begin(), out.labels.end(), same) != out.labels.end()) {
      fail("each label once");
      return false;
    }
    return true;
  }

  bool label_pair(std::string_view& line, Label& out) {
    if (line.starts_with('"')) {
      if (!take_quoted(line, out.name)) {
        out.name.clear();
      }
    } else {
      out.name = take_name(line, false);
    }
    if (!is_name(out.name, false) || out.name.starts_with("__")) {
      fail("a label name");
      return false;
    }
    skip_blanks(line);
    if (!line.starts_with('=')) {
      fail("'=' behind the label name");
      return false;
    }
    line.remove_prefix(1);
    skip_blanks(line);
    if (!take_quoted(line, out.value)) {
      fail("a quoted label value");
      return false;
    }
    if (sanitize_label(out.value, kNoLimit) != out.value) {
      fail("valid UTF-8 without NUL in a label value");
      return false;
    }
    return true;
  }

  void store(const Target& at, Labels labels, double value) {
    PromFamily& family = families_[at.family];
    const bool composed =
        family.kind == MetricKind::kHistogram || family.kind == MetricKind::kSummary;
    if (!composed) {
      family.metrics.push_back({std::move(labels.labels), value, {}, 0, 0});
      return;
    }
    std::string key = family.name;
    for (const Label& label : labels.labels) {
      key.append(1, '\0').append(label.name).append(1, '\0').append(label.value);
    }
    const auto [found, is_new] = composed_.try_emplace(std::move(key), family.metrics.size());
    if (is_new) {
      family.metrics.push_back({std::move(labels.labels), 0, {}, 0, 0});
    }
    PromMetric& metric = family.metrics[found->second];
    if (family.kind == MetricKind::kHistogram && at.part != Part::kSum && value < 0) {
      return fail("a histogram without negative counts");
    }
    if (at.part == Part::kCount) {
      metric.count = value;
    } else if (at.part == Part::kSum) {
      metric.sum = value;
    } else if (!std::isnan(labels.point)) {
      metric.points.push_back({labels.point, value});
    }
  }

  std::string_view text_;
  std::string_view file_;
  std::size_t samples_left_;
  std::size_t max_families_;
  std::string_view wanted_;  // set by the first mistake
  std::vector<PromFamily> families_;
  std::vector<bool> typed_;  // parallel to families_: its kind is settled
  std::unordered_map<std::string, std::size_t> by_name_;
  std::unordered_map<std::string, std::size_t> composed_;  // metrics of histograms and summaries
};

}  // namespace

// # HELP backup_bytes Size of the last backup.
// # TYPE backup_bytes gauge
// backup_bytes{job="db"} 1.5e+09
Result<std::vector<PromFamily>> parse_prom_text(std::string_view text, std::string_view file,
                                                std::size_t max_samples) {
  return PromParser(text, file, max_samples).parse();
}

std::optional<double> parse_prom_value(std::string_view text) {
  std::string_view digits = text;
  const bool has_sign = digits.starts_with('+') || digits.starts_with('-');
  digits.remove_prefix(has_sign ? 1 : 0);
  // Signed and "(...)" NaNs are of C, not of the format.
  if (digits.empty() || digits.starts_with('-') || digits.starts_with('+') ||
      (has_sign && (digits.front() == 'n' || digits.front() == 'N')) ||
      digits.find('(') != std::string_view::npos) {
    return std::nullopt;
  }
  double value = 0;
  const char* const end = digits.data() + digits.size();
  const auto [at, error] = std::from_chars(digits.data(), end, value);
  if (at != end) {
    return std::nullopt;
  }
  if (error == std::errc::result_out_of_range) {
    // Too small is 0 or subnormal, too large is a mistake; from_chars does not tell which.
    value = std::strtod(std::string(digits).c_str(), nullptr);
    if (std::isinf(value)) {
      return std::nullopt;
    }
  } else if (error != std::errc{}) {
    return std::nullopt;
  }
  return text.starts_with('-') ? -value : value;
}

}  // namespace tidegauge
