// SPDX-License-Identifier: Apache-2.0
#pragma once

// A collector reads one source and fills one Section. It knows no Prometheus, YAML, logger or clock.
//
// To add one: write parse_X(text) and its struct (collectors/<folder>/X.h), a Column table and a
// Collector (X.cc) that publishes a CollectorInfo, one line in collectors/registry.cc, one in
// collectors/CMakeLists.txt and a test with a fixture. Its options, flags, YAML keys and the
// documentation follow from the CollectorInfo. docs/design.md walks through an example.

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "collectors/core/kernel_files.h"
#include "collectors/core/metric_doc.h"
#include "collectors/core/result.h"
#include "collectors/core/section.h"
#include "collectors/core/table_builder.h"

namespace tidegauge {

// Time of the run, read by the scheduler; a scratch buffer that belongs to the running thread.
struct CollectContext {
  std::int64_t realtime_ns = 0;
  std::int64_t boottime_ns = 0;
  ReadBuffer* buffer = nullptr;
  // Somebody wants to know now who is to blame, and suspects this process; 0: nobody yet.
  bool culprit_wanted = false;
  std::uint32_t suspect_pid = 0;
  // The files are those of a capture, another one each run: nothing may be kept from run to run, nor taken for absent
  // because it was not captured.
  bool is_capture = false;
  // CPU time the run has used on other threads: the collector adds to it.
  std::int64_t helpers_cpu_ns = 0;
  // CLOCK_BOOTTIME, from who wants to be told how far into the run each thing was read; null: nobody does.
  std::int64_t (*boottime_clock)() = nullptr;
};

class Collector {
 public:
  Collector() = default;
  Collector(const Collector&) = delete;
  Collector& operator=(const Collector&) = delete;
  virtual ~Collector() = default;

  // One run on one thread at a time. On an error the Section is thrown away, the collector counts as
  // failed and its series disappear until a run succeeds. Partial success is the collector's own
  // affair: it succeeds and shows what is missing as a metric.
  virtual Result<void> collect(CollectContext& context, Section& out) = 0;
};

enum class OptionType : std::uint8_t {
  kBool,
  kInteger,   // within [min, max]
  kDuration,  // "500ms", "15s", "5m"; stored as nanoseconds, within [min, max]
  kString,
  kChoice,      // one of `words`, stored as text
  kRegex,       // RE2 syntax, unanchored; empty matches nothing
  kStringList,  // repeatable flag, YAML sequence
  kRecords,     // YAML sequence of mappings, at most `max`; no flag, no default
};

// One item of a kRecords option: the fields that were written, each of its type. Equal whatever the
// order they were written in.
class OptionRecord {
 public:
  using Value = std::variant<bool, std::int64_t, std::string, std::vector<std::string>>;

  [[nodiscard]] bool has(std::string_view key) const { return values_.find(key) != values_.end(); }
  // Of a field that was not written: `absent`, "" and no items.
  [[nodiscard]] bool boolean(std::string_view key, bool absent) const {
    const auto at = values_.find(key);
    return at == values_.end() ? absent : std::get<bool>(at->second);
  }
  [[nodiscard]] std::int64_t integer(std::string_view key, std::int64_t absent) const {
    const auto at = values_.find(key);
    return at == values_.end() ? absent : std::get<std::int64_t>(at->second);
  }
  [[nodiscard]] const std::string& text(std::string_view key) const {
    return value_or_empty<std::string>(key);
  }
  [[nodiscard]] const std::vector<std::string>& list(std::string_view key) const {
    return value_or_empty<std::vector<std::string>>(key);
  }
  void set(std::string_view key, Value value) {
    values_.insert_or_assign(std::string(key), std::move(value));
  }
  friend bool operator==(const OptionRecord&, const OptionRecord&) = default;

 private:
  template <class T>
  [[nodiscard]] const T& value_or_empty(std::string_view key) const {
    static const T kEmpty;
    const auto at = values_.find(key);
    return at == values_.end() ? kEmpty : std::get<T>(at->second);
  }

  std::map<std::string, Value, std::less<>> values_;
};

using OptionValue = std::variant<bool, std::int64_t, std::string, std::vector<std::string>,
                                 std::vector<OptionRecord>>;

// One setting of a collector. YAML: collectors.<name>.<key>; flag: --collector.<name>.<flag>.
struct OptionSpec {
  std::string_view key;
  std::string_view flag;  // "" of kRecords and of fields: not on the command line
  OptionType type;
  std::string_view default_text;  // as written on a command line; list items separated by '\n'
  std::string_view help;
  std::int64_t min = 0;
  std::int64_t max = 0;
  // What a record may hold: kString, kChoice, kRegex, kStringList, kBool or kInteger. Of a list, `min` is the
  // least number of items; a default is the collector's affair.
  std::span<const OptionSpec> fields{};
  std::span<const std::string_view> words{};  // of kChoice
};

// Values of a collector's options; holds one per OptionSpec, of its type.
class Options {
 public:
  [[nodiscard]] bool boolean(std::string_view key) const {
    return std::get<bool>(values_.find(key)->second);
  }
  [[nodiscard]] std::int64_t integer(std::string_view key) const {
    return std::get<std::int64_t>(values_.find(key)->second);
  }
  [[nodiscard]] const std::string& text(std::string_view key) const {
    return std::get<std::string>(values_.find(key)->second);
  }
  [[nodiscard]] const std::vector<std::string>& list(std::string_view key) const {
    return std::get<std::vector<std::string>>(values_.find(key)->second);
  }
  [[nodiscard]] const std::vector<OptionRecord>& records(std::string_view key) const {
    return std::get<std::vector<OptionRecord>>(values_.find(key)->second);
  }
  void set(std::string_view key, OptionValue value) {
    values_.insert_or_assign(std::string(key), std::move(value));
  }
  friend bool operator==(const Options&, const Options&) = default;

 private:
  std::map<std::string, OptionValue, std::less<>> values_;
};

// "red, green or blue"
std::string join_choices(std::span<const std::string_view> words);

// Parses one option value as written on a command line; the error says what is accepted.
Result<OptionValue> parse_option(const OptionSpec& spec, std::string_view text);

// "15s", "500ms", "1m30s" in nanoseconds.
std::optional<std::int64_t> parse_duration(std::string_view text);

// Every option at its default.
Options default_options(std::span<const OptionSpec> specs);

// Where a collector runs. kTick: on the tick thread, for sources that answer in microseconds.
// kWorker: on a thread of its own, for whatever can block on a disk, a network file system or FUSE.
enum class Lane : std::uint8_t { kTick, kWorker };

// The registry's row.
struct CollectorInfo {
  std::string_view name;
  std::string_view help;
  bool enabled = true;                // by default
  std::int64_t interval_ms = 15'000;  // by default; a multiple of the tick
  Lane lane = Lane::kTick;
  // Whether a scrape is worth reading it again between two runs: not what changes with an upgrade.
  bool refresh = true;
  // Whether it may run less often when the daemon exceeds its CPU budget.
  bool stretch = false;
  std::span<const OptionSpec> options{};
  // What it refuses in its options it names: invalid_option().
  Result<std::unique_ptr<Collector>> (*make)(const KernelFiles& files, const Options& options);
  std::vector<MetricDoc> (*metrics)();
};

}  // namespace tidegauge
