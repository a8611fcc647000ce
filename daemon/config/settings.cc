// SPDX-License-Identifier: Apache-2.0
#include "daemon/config/settings.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "collectors/core/text.h"
#include "daemon/config/heuristics_settings.h"

namespace tidegauge {

namespace {

constexpr std::int64_t kMillisecond = 1'000'000;
constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kMinute = 60 * kSecond;

bool is_not_empty(std::string_view text) { return !text.empty(); }

bool is_port(std::string_view text) {
  const auto port = parse_unsigned(text);
  return port && *port <= 65'535;
}

// The forms of Listener::open(); whether the address can be had is seen when it is opened.
bool is_listen_address(std::string_view text) {
  constexpr std::size_t kMaxUnixPathBytes = 107;
  if (text.starts_with("unix:")) {
    return text.starts_with("unix:/") && text.size() - 5 <= kMaxUnixPathBytes;
  }
  if (text.starts_with("fd:")) {
    return parse_unsigned(text.substr(3)).has_value();
  }
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || !is_port(text.substr(colon + 1))) {
    return false;
  }
  const std::string_view host = text.substr(0, colon);
  if (host.starts_with('[')) {
    return host.ends_with(']') &&
           host.find_first_not_of("0123456789abcdefABCDEF:.%[]") == std::string_view::npos;
  }
  return host.find_first_of(":[]/ \t") == std::string_view::npos;
}

// "/-/" belongs to health and lifecycle.
bool is_telemetry_path(std::string_view text) {
  return text.starts_with('/') && !text.starts_with("/-/") &&
         text.find_first_of(" \t?#%\"<>&") == std::string_view::npos;
}

bool is_cpu_budget(std::string_view text) { return parse_cpu_budget(text).has_value(); }

constexpr std::string_view kPrivacies[] = {"keep", "hash", "drop"};
constexpr std::string_view kLogLevels[] = {"debug", "info", "warn", "error"};
constexpr std::string_view kLogFormats[] = {"logfmt", "json"};

// Of several words; each row says which it accepts.
constexpr OptionSpec choice(std::string_view key, std::string_view flag,
                            std::string_view default_text, std::string_view help,
                            std::span<const std::string_view> words) {
  return {.key = key,
          .flag = flag,
          .type = OptionType::kChoice,
          .default_text = default_text,
          .help = help,
          .words = words};
}

template <auto Member>
void set_boolean(Config& config, const OptionValue& value) {
  config.*Member = std::get<bool>(value);
}

template <auto Member>
void set_integer(Config& config, const OptionValue& value) {
  config.*Member = std::get<std::int64_t>(value);
}

template <auto Member>
void set_recorder_boolean(Config& config, const OptionValue& value) {
  config.recorder.*Member = std::get<bool>(value);
}

template <auto Member>
void set_recorder_integer(Config& config, const OptionValue& value) {
  config.recorder.*Member = std::get<std::int64_t>(value);
}

template <auto Member>
void set_recorder_size(Config& config, const OptionValue& value) {
  config.recorder.*Member = parse_size(std::get<std::string>(value)).value_or(0);
}

constexpr std::int64_t kKibibyte = 1024;
constexpr std::int64_t kMebibyte = 1024 * kKibibyte;
constexpr std::int64_t kGibibyte = 1024 * kMebibyte;

template <std::int64_t Least, std::int64_t Most>
bool is_size(std::string_view text) {
  const auto bytes = parse_size(text);
  return bytes && *bytes >= Least && *bytes <= Most;
}

bool is_absolute_path(std::string_view text) {
  return text.starts_with('/') && text.find_first_of(std::string_view("\0\n", 2)) == text.npos;
}

template <auto Member>
void set_root(Config& config, const OptionValue& value) {
  config.roots.*Member = std::get<std::string>(value);
}

constexpr ConfigSection kSections[] = {
    {"", ""},
    {"web", "The HTTP server."},
    {"path", "Where the host's file systems are, seen from the daemon (containers, fixtures)."},
    {"heuristics",
     "Verdicts: which condition makes the host slow, and who causes it (docs/verdicts.md). The "
     "defaults are where "
     "conditions begin."},
    {"recorder",
     "The last minutes at tick resolution, in memory; written to a file when asked for: SIGUSR2, "
     "`tidegauge record`, POST /api/v1/record."},
    {"log", "One line per event on standard error."},
    {"collectors", "What is collected, and how often."},
};

constexpr Setting kSettings[] = {
    {"",
     {"tick", "tick", OptionType::kDuration, "1s",
      "The clock of everything: collectors run every so many ticks.", 100 * kMillisecond, kMinute},
     "",
     nullptr,
     set_integer<&Config::tick_ns>},
    {"",
     {"freshness", "freshness", OptionType::kDuration, "0s",
      "A scrape that finds values older than this has fast collectors run first; 0s means one "
      "tick.",
      0, 60 * kMinute},
     "",
     nullptr,
     set_integer<&Config::freshness_ns>},
    {"",
     {"collector_timeout", "collector-timeout", OptionType::kDuration, "5s",
      "A collector that runs longer counts as stuck and its series disappear until it returns.",
      100 * kMillisecond, 10 * kMinute},
     "",
     nullptr,
     set_integer<&Config::collector_timeout_ns>},
    {"",
     {"cpu_budget", "cpu-budget", OptionType::kString, "1%",
      "CPU the daemon may use. Above it, collectors that can wait run less often, at least every "
      "5 minutes; the others keep their intervals."},
     "a share of one core such as 0.5% or 1%, from 0.01% to 100%, or off",
     is_cpu_budget,
     [](Config& config, const OptionValue& value) {
       config.cpu_budget_ppm = parse_cpu_budget(std::get<std::string>(value)).value_or(0);
     }},
    {"",
     choice(
         "privacy", "privacy", "keep",
         "How paths and user names of the host's users may leave the host: keep; hash to h: and "
         "16 digits, the same for the same text on this host (salted with its machine id, "
         "without one it is drop); drop to -, which leaves one cgroup to show, the root. Hidden "
         "are executables' names, cgroup paths, user names, the instances of units "
         "(backup@-.service), units that encode paths (.mount, .swap, .automount, .socket, "
         ".device, .path), all units below user.slice, names of lxc, nspawn and libvirt machines "
         "and, once eBPF reports them, paths of files. Not hidden are what processes and threads "
         "call themselves (comm), other units, container ids, mount points, and what this "
         "configuration names.",
         kPrivacies),
     "", nullptr,
     [](Config& config, const OptionValue& value) {
       config.roots.privacy = parse_privacy(std::get<std::string>(value)).value_or(Privacy::kDrop);
     }},
    {"",
     {"node_families", "node-families", OptionType::kBool, "true",
      "Expose the node_* families; false on hosts that run node_exporter too."},
     "",
     nullptr,
     set_boolean<&Config::node_families>},

    {"web",
     {"listen_address", "web.listen-address", OptionType::kStringList, "127.0.0.1:10070",
      "Addresses to listen on; host names are resolved once, at the start.", 1},
     "an address such as 127.0.0.1:10070, [::1]:10070, :10070 or unix:/run/tidegauge/web.sock",
     is_listen_address,
     [](Config& config, const OptionValue& value) {
       config.listen_addresses = std::get<std::vector<std::string>>(value);
     }},
    {"web",
     {"telemetry_path", "web.telemetry-path", OptionType::kString, "/metrics",
      "The path of the metrics."},
     "a path that begins with / but not with /-/, without blanks, quotes, ?, #, %, &, < and >",
     is_telemetry_path,
     [](Config& config, const OptionValue& value) {
       config.telemetry_path = std::get<std::string>(value);
     }},
    {"web",
     {"max_requests", "web.max-requests", OptionType::kInteger, "40",
      "Taken for node_exporter's sake: scrapes share one rendering at a time, so none is refused.",
      0, 100'000},
     "",
     nullptr,
     set_integer<&Config::max_requests>},
    {"web",
     {"max_connections", "web.max-connections", OptionType::kInteger, "512",
      "Connections over all addresses; at the limit the oldest one without a request gives way.", 1,
      65'536},
     "",
     nullptr,
     set_integer<&Config::max_connections>},
    {"web",
     {"systemd_socket", "web.systemd-socket", OptionType::kBool, "false",
      "Take the listening sockets from systemd (socket activation) instead of listen_address."},
     "",
     nullptr,
     set_boolean<&Config::systemd_socket>},
    {"web",
     {"enable_lifecycle", "web.enable-lifecycle", OptionType::kBool, "false",
      "Let POST /-/reload re-read the configuration; SIGHUP always does."},
     "",
     nullptr,
     set_boolean<&Config::enable_lifecycle>},
    {"web",
     {"disable_exporter_metrics", "web.disable-exporter-metrics", OptionType::kBool, "false",
      "Leave out the metrics about the daemon itself."},
     "",
     nullptr,
     set_boolean<&Config::disable_exporter_metrics>},

    {"path",
     {"procfs", "path.procfs", OptionType::kString, "/proc", "The host's /proc."},
     "a path",
     is_not_empty,
     set_root<&KernelRoots::procfs>},
    {"path",
     {"sysfs", "path.sysfs", OptionType::kString, "/sys", "The host's /sys."},
     "a path",
     is_not_empty,
     set_root<&KernelRoots::sysfs>},
    {"path",
     {"rootfs", "path.rootfs", OptionType::kString, "/", "The host's root directory."},
     "a path",
     is_not_empty,
     set_root<&KernelRoots::rootfs>},
    {"path",
     {"udev_data", "path.udev.data", OptionType::kString, "/run/udev/data",
      "The database of udev."},
     "a path",
     is_not_empty,
     set_root<&KernelRoots::udev_data>},
    {"path",
     {"btf", "path.btf", OptionType::kString, "",
      "Types of the running kernel for BPF programs, where the kernel itself has none: a BTF "
      "file."},
     "",
     nullptr,
     set_root<&KernelRoots::btf>},

    {"recorder",
     {"enabled", "recorder.enabled", OptionType::kBool, "true", "Whether anything is recorded."},
     "",
     nullptr,
     set_recorder_boolean<&RecorderConfig::enabled>},
    {"recorder",
     {"window", "recorder.window", OptionType::kDuration, "15m",
      "How far back it reaches, if `memory` suffices.", 10 * kSecond, 1440 * kMinute},
     "",
     nullptr,
     set_recorder_integer<&RecorderConfig::window_ns>},
    {"recorder",
     {"memory", "recorder.memory", OptionType::kString, "8MiB",
      "Compressed bytes it may hold; when they do not suffice, the oldest minutes go."},
     "a size such as 8MiB, from 256KiB to 1GiB",
     is_size<256 * kKibibyte, kGibibyte>,
     set_recorder_size<&RecorderConfig::memory_bytes>},
    {"recorder",
     {"after", "recorder.after", OptionType::kDuration, "1m",
      "How long an incident file goes on after it was asked for.", 0, 60 * kMinute},
     "",
     nullptr,
     set_recorder_integer<&RecorderConfig::after_ns>},
    {"recorder",
     {"directory", "recorder.directory", OptionType::kString, "/var/lib/tidegauge/incidents",
      "Where incident files go; made when it is missing."},
     "an absolute path",
     is_absolute_path,
     [](Config& config, const OptionValue& value) {
       config.recorder.directory = std::get<std::string>(value);
     }},
    {"recorder",
     {"max_files", "recorder.max-files", OptionType::kInteger, "20",
      "Incident files that are kept; older ones are deleted, those asked for over HTTP first.", 1,
      10'000},
     "",
     nullptr,
     set_recorder_integer<&RecorderConfig::max_files>},
    {"recorder",
     {"max_disk", "recorder.max-disk", OptionType::kString, "256MiB",
      "Bytes they may take together; older ones are deleted."},
     "a size such as 256MiB, from 1MiB to 1024GiB",
     is_size<kMebibyte, 1024 * kGibibyte>,
     set_recorder_size<&RecorderConfig::max_disk_bytes>},
    {"recorder",
     {"max_age", "recorder.max-age", OptionType::kDuration, "720h",
      "Older ones are deleted; 0s keeps them whatever their age.", 0, 87'600 * 60 * kMinute},
     "",
     nullptr,
     set_recorder_integer<&RecorderConfig::max_age_ns>},
    {"recorder",
     {"write_rate", "recorder.write-rate", OptionType::kString, "4MiB",
      "Bytes a second that are written, so that a disk in trouble gets no more of it."},
     "a size such as 4MiB, from 64KiB to 1GiB",
     is_size<64 * kKibibyte, kGibibyte>,
     set_recorder_size<&RecorderConfig::write_rate_bytes>},
    {"recorder",
     {"trigger_over_http", "recorder.trigger-over-http", OptionType::kBool, "true",
      "Whether POST /api/v1/record asks for an incident file, once a minute at most. It tells "
      "nothing but the file's name, and such files take the place of none but their like."},
     "",
     nullptr,
     set_recorder_boolean<&RecorderConfig::trigger_over_http>},
    {"recorder",
     {"trigger_on_verdict", "recorder.trigger-on-verdict", OptionType::kBool, "true",
      "Whether a verdict of severity warning or critical that begins asks for an incident file, "
      "each "
      "verdict once in ten minutes at most."},
     "",
     nullptr,
     set_recorder_boolean<&RecorderConfig::trigger_on_verdict>},

    {"log", choice("level", "log.level", "info", "The least severity that is written.", kLogLevels),
     "", nullptr,
     [](Config& config, const OptionValue& value) {
       config.log_level = parse_log_level(std::get<std::string>(value)).value_or(LogLevel::kInfo);
     }},
    {"log", choice("format", "log.format", "logfmt", "How a line is written.", kLogFormats), "",
     nullptr,
     [](Config& config, const OptionValue& value) {
       config.log_format =
           parse_log_format(std::get<std::string>(value)).value_or(LogFormat::kLogfmt);
     }},

    {"collectors",
     {"disable_defaults", "collector.disable-defaults", OptionType::kBool, "false",
      "Run only the collectors that are switched on one by one."},
     "",
     nullptr,
     nullptr},
};

}  // namespace

constexpr OptionSpec kCollectorEnabled{"enabled", "", OptionType::kBool, "true",
                                       "Whether it runs."};
constexpr OptionSpec kCollectorInterval{"interval", "interval", OptionType::kString, "",
                                        "How often it runs: a multiple of the tick, at most 1h."};

std::span<const ConfigSection> config_sections() { return kSections; }

std::span<const Setting> settings() {
  static const std::vector<Setting> kAll = [] {
    std::vector<Setting> out(std::begin(kSettings), std::end(kSettings));
    const auto recorder = std::find_if(out.begin(), out.end(), [](const Setting& setting) {
      return setting.section == "recorder";
    });
    const std::vector<Setting> verdicts = heuristics_settings();
    out.insert(recorder, verdicts.begin(), verdicts.end());
    return out;
  }();
  return kAll;
}

std::optional<std::int64_t> parse_size(std::string_view text) {
  constexpr std::pair<std::string_view, std::int64_t> kUnits[] = {
      {"KiB", kKibibyte}, {"MiB", kMebibyte}, {"GiB", kGibibyte}};
  constexpr std::uint64_t kMost = 1U << 20U;
  for (const auto& [unit, bytes] : kUnits) {
    if (text.ends_with(unit)) {
      const auto count = parse_unsigned(text.substr(0, text.size() - unit.size()));
      return count && *count <= kMost ? std::optional(static_cast<std::int64_t>(*count) * bytes)
                                      : std::nullopt;
    }
  }
  return std::nullopt;
}

std::optional<std::int64_t> parse_cpu_budget(std::string_view text) {
  constexpr unsigned kFractionDigits = 4;  // of a percent: parts per million
  constexpr std::uint64_t kLeast = 100;
  constexpr std::uint64_t kWholeCore = 1'000'000;
  if (text == "off") {
    return 0;
  }
  if (!text.ends_with('%')) {
    return std::nullopt;
  }
  const auto share = parse_decimal(text.substr(0, text.size() - 1), kFractionDigits);
  if (!share || *share < kLeast || *share > kWholeCore) {
    return std::nullopt;
  }
  return static_cast<std::int64_t>(*share);
}

std::optional<LogLevel> parse_log_level(std::string_view text) {
  constexpr std::pair<std::string_view, LogLevel> kLevels[] = {{"debug", LogLevel::kDebug},
                                                               {"info", LogLevel::kInfo},
                                                               {"warn", LogLevel::kWarn},
                                                               {"error", LogLevel::kError}};
  for (const auto& [name, level] : kLevels) {
    if (name == text) {
      return level;
    }
  }
  return std::nullopt;
}

std::optional<LogFormat> parse_log_format(std::string_view text) {
  if (text == "logfmt") {
    return LogFormat::kLogfmt;
  }
  if (text == "json") {
    return LogFormat::kJson;
  }
  return std::nullopt;
}

}  // namespace tidegauge
