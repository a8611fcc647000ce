// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/os.h"

#include <algorithm>
#include <chrono>

#include "collectors/core/text.h"

namespace tidegauge {

namespace {

constexpr std::string_view kFile = "os-release";

bool is_digit(char c) { return c >= '0' && c <= '9'; }
char to_upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

bool is_key(std::string_view key) {
  const auto letter = [](char c) { return to_upper(c) >= 'A' && to_upper(c) <= 'Z'; };
  return !key.empty() && (letter(key.front()) || key.front() == '_') &&
         std::all_of(key.begin(), key.end(), [&](char c) {
           return letter(c) || is_digit(c) || c == '_' || c == '.' || c == '/';
         });
}

// The character that a backslash and `c` stand for between double quotes. A shell knows only the
// first four; exporters read the file with JSON's escapes, and both are served.
std::optional<char> escaped(char c) {
  static constexpr std::string_view kFrom = "\"\\$`/nrtbf";
  static constexpr std::string_view kTo = "\"\\$`/\n\r\t\b\f";
  const auto at = kFrom.find(c);
  return at == std::string_view::npos ? std::nullopt : std::optional(kTo[at]);
}

// Undoes shell quoting into `out`; false when a quote stays open or a control character stands in
// the value.
bool unquote(std::string_view value, std::string& out) {
  out.clear();
  char quote = '\0';
  std::size_t significant = 0;  // blanks before a comment do not count
  for (std::size_t i = 0; i < value.size(); ++i) {
    char c = value[i];
    if (static_cast<unsigned char>(c) < 0x20 && c != '\t') {
      return false;
    }
    if (quote == '\0' && c == '#') {
      out.resize(significant);
      return true;
    }
    if (quote == '\0' ? (c == '"' || c == '\'') : c == quote) {
      quote = quote == '\0' ? c : '\0';
      significant = std::max(significant, out.size());
      continue;
    }
    if (quote == '"' && c == '\\' && i + 1 < value.size()) {
      if (const auto plain = escaped(value[i + 1])) {
        c = *plain;
        ++i;
      }
    }
    out.push_back(c);
    if (quote != '\0' || !is_blank(c)) {
      significant = out.size();
    }
  }
  return quote == '\0';
}

// The digits in front with at most one dot: "22.04" of "22.04.3".
std::optional<double> leading_version(std::string_view text) {
  std::size_t length = 0;
  bool dot = false;
  while (length < text.size() &&
         (is_digit(text[length]) || (text[length] == '.' && length > 0 && !dot))) {
    dot = dot || text[length] == '.';
    ++length;
  }
  const auto value = parse_real(text.substr(0, length));
  return value && *value > 0 ? value : std::nullopt;
}

// "2028-06-30" as the seconds of its midnight.
std::optional<std::int64_t> parse_date(std::string_view text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') {
    return std::nullopt;
  }
  const auto year = parse_unsigned(text.substr(0, 4));
  const auto month = parse_unsigned(text.substr(5, 2));
  const auto day = parse_unsigned(text.substr(8, 2));
  if (!year || !month || !day) {
    return std::nullopt;
  }
  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(*year)),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) {
    return std::nullopt;
  }
  return std::chrono::sys_seconds(std::chrono::sys_days(date)).time_since_epoch().count();
}

// Where the value of `key` belongs; null when it is of no interest.
std::string* destination(std::string_view key, OsRelease& out) {
  const auto at = std::find_if(kOsLabels.begin(), kOsLabels.end(), [&](std::string_view label) {
    return std::equal(label.begin(), label.end(), key.begin(), key.end(),
                      [](char small, char capital) { return to_upper(small) == capital; });
  });
  return at == kOsLabels.end() ? nullptr
                               : &out.values[static_cast<std::size_t>(at - kOsLabels.begin())];
}

constexpr std::string_view kInfoFamily = "node_os_info";
constexpr std::string_view kInfoHelp = "The distribution as os-release names it; always 1.";
constexpr std::string_view kVersionFamily = "node_os_version";
constexpr std::string_view kVersionHelp = "The first two parts of the distribution's version.";
constexpr std::string_view kSupportEndFamily = "node_os_support_end_timestamp_seconds";
constexpr std::string_view kSupportEndHelp = "When the distribution's support ends, since 1970.";

class OsCollector final : public Collector {
 public:
  explicit OsCollector(const KernelFiles& files)
      : etc_(files.root("/etc/os-release")), usr_(files.root("/usr/lib/os-release")) {}

  Result<void> collect(CollectContext& context, Section& out) override {
    auto text = etc_.read(*context.buffer);
    if (!text && text.error().kind == ErrorKind::kMissing) {
      text = usr_.read(*context.buffer);
    }
    if (!text) {
      return tl::make_unexpected(text.error());
    }
    if (text_.empty() || *text != text_) {
      text_.clear();
      if (auto parsed = parse_os_release(*text, os_); !parsed) {
        return parsed;
      }
      text_ = *text;
    }
    std::array<std::string_view, kOsLabels.size()> labels;
    std::copy(os_.values.begin(), os_.values.end(), labels.begin());
    info_.begin();
    info_.add(labels, 1);
    out.tables.push_back(info_.take());
    if (os_.version) {
      version_.begin();
      version_.add_real({os_.value("id"), os_.value("id_like"), os_.value("name")}, *os_.version);
      out.tables.push_back(version_.take());
    }
    if (os_.support_end_seconds) {
      support_end_.begin();
      support_end_.add({}, static_cast<std::uint64_t>(*os_.support_end_seconds));
      out.tables.push_back(support_end_.take());
    }
    return {};
  }

 private:
  KernelFile etc_;
  KernelFile usr_;
  std::string text_;  // of which os_ was parsed; it changes once a year
  OsRelease os_;
  ValueTable info_{std::string(kInfoFamily),
                   std::string(kInfoHelp),
                   MetricKind::kGauge,
                   {kOsLabels.begin(), kOsLabels.end()}};
  ValueTable version_{std::string(kVersionFamily),
                      std::string(kVersionHelp),
                      MetricKind::kGauge,
                      {"id", "id_like", "name"},
                      kUnit,
                      NumberType::kReal};
  ValueTable support_end_{std::string(kSupportEndFamily),
                          std::string(kSupportEndHelp),
                          MetricKind::kGauge,
                          {},
                          kUnit,
                          NumberType::kSigned};
};

}  // namespace

const std::string& OsRelease::value(std::string_view label) const {
  static const std::string kNone;
  const auto at = std::find(kOsLabels.begin(), kOsLabels.end(), label);
  return at == kOsLabels.end() ? kNone : values[static_cast<std::size_t>(at - kOsLabels.begin())];
}

// NAME="Fedora Linux"
// VERSION_ID=41
// SUPPORT_END=2025-12-15
Result<void> parse_os_release(std::string_view text, OsRelease& out) {
  for (std::string& value : out.values) {
    value.clear();
  }
  out.version.reset();
  out.support_end_seconds.reset();
  std::string support_end;
  std::string ignored;
  bool any = false;
  LineReader lines(text);
  for (std::string_view line; lines.next(line);) {
    line = trim(line);
    if (line.empty() || line.starts_with('#')) {
      continue;
    }
    const auto equals = line.find('=');
    std::string_view key = trim(line.substr(0, equals));
    if (key.starts_with("export ")) {
      key = trim(key.substr(7));
    }
    if (equals == std::string_view::npos || !is_key(key)) {
      return malformed(kFile, lines.number(), "KEY=value");
    }
    std::string* value = key == "SUPPORT_END" ? &support_end : destination(key, out);
    if (!unquote(trim(line.substr(equals + 1)), value != nullptr ? *value : ignored)) {
      return malformed(kFile, lines.number(), "a value with its quotes closed");
    }
    any = true;
  }
  if (!any) {
    return malformed(kFile, 0, "at least one KEY=value");
  }
  out.version = leading_version(out.value("version_id"));
  if (!support_end.empty()) {
    out.support_end_seconds = parse_date(support_end);
    if (!out.support_end_seconds) {
      return malformed(kFile, 0, "SUPPORT_END as YYYY-MM-DD");
    }
  }
  return {};
}

const CollectorInfo kOsCollector{
    .name = "os",
    .help = "The distribution and its version (/etc/os-release).",
    .interval_ms = 15'000,
    .lane = Lane::kWorker,  // below rootfs, which can be a network file system
    .refresh = false,
    .make = [](const KernelFiles& files, const Options&) -> Result<std::unique_ptr<Collector>> {
      return std::make_unique<OsCollector>(files);
    },
    .metrics =
        [] {
          return std::vector<MetricDoc>{{std::string(kInfoFamily),
                                         MetricKind::kGauge,
                                         {kOsLabels.begin(), kOsLabels.end()},
                                         std::string(kInfoHelp)},
                                        {std::string(kVersionFamily),
                                         MetricKind::kGauge,
                                         {"id", "id_like", "name"},
                                         std::string(kVersionHelp)},
                                        {std::string(kSupportEndFamily),
                                         MetricKind::kGauge,
                                         {},
                                         std::string(kSupportEndHelp)}};
        },
};

}  // namespace tidegauge
