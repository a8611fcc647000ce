// SPDX-License-Identifier: Apache-2.0
// daemon/config as a whole: files, flags, layers, the generated reference. Most tests use a registry
// of their own, since no collector's name or option is daemon/config's business.

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <stdexcept>
#include <tuple>

#include "collectors/registry.h"
#include "daemon/config/builder.h"
#include "daemon/config/flags.h"
#include "daemon/config/generate.h"
#include "daemon/config/load.h"
#include "daemon/config/peer_flags.h"
#include "daemon/config/suggest.h"
#include "daemon/config/yaml.h"
#include "daemon/config/yaml_tree.h"
#include "daemon/service/collector_set.h"

namespace tidegauge {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

constexpr OptionSpec kGroupFields[] = {
    {"name", "", OptionType::kString, "", "What the group is called."},
    {"comm", "", OptionType::kStringList, "", "Names of programs.", 1},
    {"cmdline", "", OptionType::kRegex, "", "Matches command lines."},
    {"children", "", OptionType::kBool, "", "Whether children belong to it."},
    {"most", "", OptionType::kInteger, "", "How many.", 1, 9},
};
constexpr OptionSpec kDiskOptions[] = {
    {"device_exclude", "device-exclude", OptionType::kRegex, "^(ram|loop)\\d+$", "Not these."},
    {"device_include", "device-include", OptionType::kRegex, "", "Only these."},
    {"directory", "directory", OptionType::kStringList, "/a\n/b c", "Where to look."},
    {"workers", "workers", OptionType::kInteger, "4", "How many.", 1, 64},
    {"mount_timeout", "mount-timeout", OptionType::kDuration, "5s", "How long.", 1'000'000,
     60 * kSecond},
    {"guest", "guest", OptionType::kBool, "true", "Whether."},
    {"note", "note", OptionType::kString, "it's: #1", "A text that YAML has to quote."},
    {"groups", "", OptionType::kRecords, "", "Named groups.", 0, 3, kGroupFields},
};
const CollectorInfo kDisk{.name = "disk",
                          .help = "Disks.",
                          .interval_ms = 1000,
                          .options = kDiskOptions,
                          .make = nullptr,
                          .metrics = nullptr};
const CollectorInfo kSlow{.name = "slow_one",
                          .help = "Slow.",
                          .enabled = false,
                          .options = {},
                          .make = nullptr,
                          .metrics = nullptr};
const CollectorInfo* const kRegistry[] = {&kDisk, &kSlow};

// Every value as text, so that configurations compare and failures show where they differ.
std::string dump(const Config& config) {
  std::ostringstream out;
  out << "tick=" << config.tick_ns << " freshness=" << config.freshness_ns
      << " timeout=" << config.collector_timeout_ns << " cpu=" << config.cpu_budget_ppm
      << " privacy=" << static_cast<int>(config.roots.privacy) << " node=" << config.node_families
      << "\nlisten=";
  for (const std::string& address : config.listen_addresses) {
    out << address << ' ';
  }
  out << "\npath=" << config.telemetry_path << " requests=" << config.max_requests
      << " connections=" << config.max_connections << " socket=" << config.systemd_socket
      << " lifecycle=" << config.enable_lifecycle << " own=" << !config.disable_exporter_metrics
      << "\nroots=" << config.roots.procfs << ' ' << config.roots.sysfs << ' '
      << config.roots.rootfs << ' ' << config.roots.udev_data
      << "\nlog=" << static_cast<int>(config.log_level) << static_cast<int>(config.log_format);
  for (const CollectorConfig& collector : config.collectors) {
    out << '\n' << collector.info->name << ' ' << collector.enabled << ' ' << collector.interval_ns;
    for (const OptionSpec& spec : collector.info->options) {
      out << ' ' << spec.key << '=';
      switch (spec.type) {
        case OptionType::kBool:
          out << collector.options.boolean(spec.key);
          break;
        case OptionType::kInteger:
        case OptionType::kDuration:
          out << collector.options.integer(spec.key);
          break;
        case OptionType::kString:
        case OptionType::kChoice:
        case OptionType::kRegex:
          out << collector.options.text(spec.key);
          break;
        case OptionType::kStringList:
          for (const std::string& item : collector.options.list(spec.key)) {
            out << '[' << item << ']';
          }
          break;
        case OptionType::kRecords:
          out << collector.options.records(spec.key).size();
      }
    }
  }
  return out.str();
}

ConfigResult<Config> from_yaml(std::string_view text, CollectorRegistry registry = kRegistry) {
  ConfigBuilder builder(registry);
  if (auto done = apply_yaml(text, "t.yaml", registry, builder); !done) {
    return tl::make_unexpected(done.error());
  }
  return std::move(builder).finish();
}

ConfigResult<CommandLine> parse(const std::vector<const char*>& arguments,
                                CollectorRegistry registry = kRegistry) {
  return parse_command_line(arguments, registry);
}

// Flags alone, or over the text of a file.
ConfigResult<Config> from_flags(const std::vector<const char*>& arguments,
                                std::string_view yaml = "") {
  const auto line = parse(arguments);
  if (!line) {
    return tl::make_unexpected(line.error());
  }
  ConfigBuilder builder(kRegistry);
  if (auto done = apply_yaml(yaml, "t.yaml", kRegistry, builder); !done) {
    return tl::make_unexpected(done.error());
  }
  if (auto done = apply_flags(*line, kRegistry, builder); !done) {
    return tl::make_unexpected(done.error());
  }
  return std::move(builder).finish();
}

template <class T>
std::string error_of(const ConfigResult<T>& result) {
  return result ? "accepted" : result.error().message;
}

const CollectorConfig& disk(const Config& config) { return config.collectors.front(); }
const CollectorConfig& slow(const Config& config) { return config.collectors.back(); }

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = ::testing::TempDir() + "tidegauge_config_XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  [[nodiscard]] std::string write(std::string_view name, std::string_view content) const {
    std::ofstream(path(name), std::ios::binary) << content;
    return path(name);
  }
  [[nodiscard]] std::string path(std::string_view name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

std::string read_text(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// --- defaults -----------------------------------------------------------------------------------

TEST(ConfigDefaults, EverySettingHasItsDefault) {
  EXPECT_EQ(dump(default_config(kRegistry)),
            "tick=1000000000 freshness=0 timeout=5000000000 cpu=10000 privacy=0 node=1\n"
            "listen=127.0.0.1:10070 \n"
            "path=/metrics requests=40 connections=512 socket=0 lifecycle=0 own=1\n"
            "roots=/proc /sys / /run/udev/data\n"
            "log=10\n"
            "disk 1 1000000000 device_exclude=^(ram|loop)\\d+$ device_include= "
            "directory=[/a][/b c] workers=4 mount_timeout=5000000000 guest=1 note=it's: #1 "
            "groups=0\n"
            "slow_one 0 15000000000");
}

TEST(ConfigDefaults, TablesAndStructAgree) {
  Config from_table;
  for (const Setting& setting : settings()) {
    if (setting.apply == nullptr) {
      continue;
    }
    const Target target{.setting = &setting};
    const auto value = parse_value(target, setting.spec.default_text);
    ASSERT_TRUE(value) << setting.spec.key << ": " << error_of(value);
    setting.apply(from_table, *value);
  }
  EXPECT_EQ(dump(from_table), dump(Config{}));
}

TEST(ConfigDefaults, EveryCollectorOfThisBuildFits) {
  std::set<std::string> flags;
  for (const FlagTarget& flag : flag_targets(all_collectors())) {
    EXPECT_TRUE(flags.insert(flag.name).second) << "--" << flag.name << " is there twice";
  }
  for (const CollectorInfo* info : all_collectors()) {
    std::set<std::string_view> keys{kCollectorEnabled.key, kCollectorInterval.key};
    for (const OptionSpec& spec : info->options) {
      EXPECT_TRUE(keys.insert(spec.key).second) << info->name << " has " << spec.key << " twice";
      EXPECT_TRUE(parse_option(spec, spec.default_text)) << info->name << '.' << spec.key;
      EXPECT_FALSE(spec.help.empty()) << info->name << '.' << spec.key;
    }
  }
  EXPECT_EQ(error_of(parse({}, all_collectors())), "accepted");
}

TEST(ConfigDefaults, IntervalsFollowTheTick) {
  const auto config = from_yaml("tick: 2s");
  ASSERT_TRUE(config) << error_of(config);
  EXPECT_EQ(disk(*config).interval_ns, 2 * kSecond);
  EXPECT_EQ(slow(*config).interval_ns, 16 * kSecond);
}

// --- files that are right -----------------------------------------------------------------------

TEST(ConfigYaml, NothingIsAllDefaults) {
  for (const char* text : {"", "\n\n", "# only a comment\n", "---\n", "--- # x\n...\n", "web:\n",
                           "web:\npath:\nlog:\ncollectors:\n", "collectors: {disk: }", "{}",
                           "\xEF\xBB\xBF# with a byte order mark\n"}) {
    const auto config = from_yaml(text);
    ASSERT_TRUE(config) << text << error_of(config);
    EXPECT_EQ(dump(*config), dump(default_config(kRegistry))) << text;
  }
}

TEST(ConfigYaml, EveryKey) {
  const auto config = from_yaml(R"(
tick: 500ms
freshness: 0
collector_timeout: 1m30s
cpu_budget: 0.5%
privacy: hash
node_families: false
web:
  listen_address: ['[::1]:9100', ':9101', 'unix:/run/t.sock', 'fd:3', 'localhost:0']
  telemetry_path: /m
  max_requests: 0
  max_connections: 7
  systemd_socket: true
  enable_lifecycle: true
  disable_exporter_metrics: true
path: {procfs: /host/proc, sysfs: /host/sys, rootfs: /host, udev_data: "relative/is fine"}
log: {level: debug, format: json}
collectors:
  slow_one: {enabled: true, interval: 2m}
  disk:
    interval: "1500ms"
    device_exclude: ''
    device_include: ^sd
    directory: [/x, "", /y]
    workers: 64
    mount_timeout: 1s500ms
    guest: false
    note: 17
)");
  ASSERT_TRUE(config) << error_of(config);
  EXPECT_EQ(dump(*config),
            "tick=500000000 freshness=0 timeout=90000000000 cpu=5000 privacy=1 node=0\n"
            "listen=[::1]:9100 :9101 unix:/run/t.sock fd:3 localhost:0 \n"
            "path=/m requests=0 connections=7 socket=1 lifecycle=1 own=0\n"
            "roots=/host/proc /host/sys /host relative/is fine\n"
            "log=01\n"
            "disk 1 1500000000 device_exclude= device_include=^sd directory=[/x][][/y] workers=64 "
            "mount_timeout=1500000000 guest=0 note=17 groups=0\n"
            "slow_one 1 120000000000");
}

TEST(ConfigYaml, AListOfOneMayBeItsItem) {
  const auto config =
      from_yaml("web: {listen_address: ':9100'}\ncollectors: {disk: {directory: /x}}");
  ASSERT_TRUE(config) << error_of(config);
  EXPECT_EQ(config->listen_addresses, std::vector<std::string>{":9100"});
  EXPECT_EQ(disk(*config).options.list("directory"), std::vector<std::string>{"/x"});
}

TEST(ConfigYaml, AListMayBeEmpty) {
  const auto config = from_yaml("collectors: {disk: {directory: []}}");
  ASSERT_TRUE(config) << error_of(config);
  EXPECT_TRUE(disk(*config).options.list("directory").empty());
}

TEST(ConfigYaml, Records) {
  const auto config = from_yaml(R"(
collectors:
  disk:
    groups:
      - name: 'web:{comm}'
        comm: [nginx, apache2]
        cmdline: '--port=(?P<port>\d+)'
      - {children: true, most: 9, comm: sh}
)");
  ASSERT_TRUE(config) << error_of(config);
  const std::vector<OptionRecord>& groups = disk(*config).options.records("groups");
  ASSERT_EQ(groups.size(), 2U);
  EXPECT_EQ(groups[0].text("name"), "web:{comm}");
  EXPECT_EQ(groups[0].list("comm"), (std::vector<std::string>{"nginx", "apache2"}));
  EXPECT_EQ(groups[0].text("cmdline"), "--port=(?P<port>\\d+)");
  EXPECT_FALSE(groups[0].has("children"));
  EXPECT_FALSE(groups[1].has("name")) << "only what was written";
  EXPECT_EQ(groups[1].list("comm"), std::vector<std::string>{"sh"}) << "a list of one";
  EXPECT_TRUE(groups[1].boolean("children", false));
  EXPECT_EQ(groups[1].integer("most", 0), 9);
  const auto none = from_yaml("collectors: {disk: {groups: []}}");
  ASSERT_TRUE(none) << error_of(none);
  EXPECT_TRUE(disk(*none).options.records("groups").empty());
  EXPECT_FALSE(disk(*none).options == disk(*config).options) << "a reload sees the difference";
}

TEST(ConfigYaml, RecordsThatAreNotAccepted) {
  const std::string groups = "collectors.disk.groups";
  const std::string known = "expected one of name, comm, cmdline, children, most";
  const std::string key = "t.yaml:1:21: " + groups;
  const std::string first = "t.yaml:1:31: " + groups + "[0]";
  const std::pair<const char*, std::string> cases[] = {
      {"", key + ": expected a list of records, got nothing"},
      {"x", key + ": expected a list of records, got \"x\""},
      {"{name: x}", key + ": expected a list of records, got a mapping"},
      {"[{name: a}, {name: b}, {name: c}, {name: d}]", key + ": expected at most 3 records, got 4"},
      {" [x]", first + ": expected a record of name, comm, cmdline, children, most, got \"x\""},
      {" [[]]", first + ": expected a record of name, comm, cmdline, children, most, got a list"},
      {" [~]", first + ": expected a record of name, comm, cmdline, children, most, got nothing"},
      {" [{}]",
       first + ": expected a record of name, comm, cmdline, children, most, got an empty one"},
      {"[{nmae: x}]",
       "t.yaml:1:31: " + groups + "[0].nmae: unknown field; did you mean \"name\"?; " + known},
      {"[{'a b': x}]", "t.yaml:1:31: " + groups + "[0].\"a b\": unknown field; " + known},
      {"[{name: a}, {name: [b]}]",
       "t.yaml:1:42: " + groups + "[1].name: expected text, got a list"},
      {"[{name: a}, {name: }]", "t.yaml:1:42: " + groups + "[1].name: expected text, got nothing"},
      {"[{name: a}, {cmdline: '(x'}]",
       "t.yaml:1:42: " + groups +
           "[1].cmdline: expected a regular expression in RE2 syntax (missing ): (x), got "
           "\"(x\""},
      {"[{comm: []}]",
       "t.yaml:1:31: " + groups + "[0].comm: expected a list of texts, got an empty list"},
      {"[{comm: {}}]",
       "t.yaml:1:31: " + groups + "[0].comm: expected a list of texts, got a mapping"},
      {"[{comm: [a, [b]]}]", "t.yaml:1:41: " + groups + "[0].comm[1]: expected text, got a list"},
      {"[{children: yes}]",
       "t.yaml:1:31: " + groups + "[0].children: expected true or false, got \"yes\""},
      {"[{most: 10}]",
       "t.yaml:1:31: " + groups + "[0].most: expected an integer from 1 to 9, got \"10\""},
      {"[{most: '5'}]",
       "t.yaml:1:31: " + groups + "[0].most: expected an integer from 1 to 9, got the text \"5\""},
      {"[{name: a}, {name: b, name: c}]",
       "t.yaml:1:51: " + groups + "[1].name: given twice, first in line 1"},
      {"[{name: a}], groups: []", "t.yaml:1:42: " + groups + ": given twice, first in line 1"},
  };
  for (const auto& [text, message] : cases) {
    EXPECT_EQ(error_of(from_yaml("collectors: {disk: {groups: " + std::string(text) + "}}")),
              message)
        << text;
  }
}

TEST(ConfigYaml, AnExpressionOfSeveralLinesIsAnErrorOfOne) {
  EXPECT_EQ(error_of(from_yaml("collectors: {disk: {device_include: \"(\\n\\t\"}}")),
            "t.yaml:1:21: collectors.disk.device_include: expected a regular expression in RE2 "
            "syntax (missing ): (\\n\\x09), got \"(\\n\\x09\"");
}

TEST(ConfigYaml, AnchorsAreFine) {
  const auto config =
      from_yaml("tick: &t 2s\nfreshness: *t\ncollectors: {disk: {interval: *t}, slow_one: {}}");
  ASSERT_TRUE(config) << error_of(config);
  EXPECT_EQ(config->freshness_ns, 2 * kSecond);
}

TEST(ConfigYaml, CarriageReturnsAreFine) {
  const auto config = from_yaml("tick: 2s\r\nweb:\r\n  max_requests: 3\r\n");
  ASSERT_TRUE(config) << error_of(config);
  EXPECT_EQ(config->max_requests, 3);
}

TEST(ConfigYaml, DisableDefaultsLeavesWhatIsSwitchedOn) {
  const auto none = from_yaml("collectors: {disable_defaults: true}");
  ASSERT_TRUE(none) << error_of(none);
  EXPECT_FALSE(disk(*none).enabled);
  // Whatever the order in the file.
  const auto one = from_yaml("collectors: {slow_one: {enabled: true}, disable_defaults: true}");
  ASSERT_TRUE(one) << error_of(one);
  EXPECT_FALSE(disk(*one).enabled);
  EXPECT_TRUE(slow(*one).enabled);
}

// --- files that are wrong -----------------------------------------------------------------------

struct BadFile {
  const char* text;
  const char* message;
};

constexpr const char* kRootKeys =
    "expected one of tick, freshness, collector_timeout, cpu_budget, privacy, node_families, web, "
    "path, heuristics, recorder, log, collectors";

TEST(ConfigYaml, UnknownKeys) {
  const std::string root_keys = kRootKeys;
  const std::pair<const char*, std::string> cases[] = {
      {"tic: 1s", "t.yaml:1:1: tic: unknown key; did you mean \"tick\"?"},
      {"\n\n  Freshness: 1s", "t.yaml:3:3: Freshness: unknown key; did you mean \"freshness\"?"},
      {"max_requests: 3",
       "t.yaml:1:1: max_requests: unknown key; did you mean \"web.max_requests\"?"},
      {"disk: {}", "t.yaml:1:1: disk: unknown key; did you mean \"collectors.disk\"?"},
      {"zzz: 1", "t.yaml:1:1: zzz: unknown key; " + root_keys},
      {"'a b': 1", "t.yaml:1:1: \"a b\": unknown key; " + root_keys},
      {"'': 1", "t.yaml:1:1: \"\": unknown key; " + root_keys},
      {"\"a\\nb\": 1", "t.yaml:1:1: \"a\\nb\": unknown key; " + root_keys},
      {"<<: {tick: 1s}", "t.yaml:1:1: \"<<\": unknown key; " + root_keys},
      {"web:\n  listen-address: ':1'",
       "t.yaml:2:3: web.listen-address: unknown key; did you mean \"listen_address\"?"},
      {"web: {tick: 1s}", "t.yaml:1:7: web.tick: unknown key; did you mean \"tick\"?"},
      {"log: {colour: red}", "t.yaml:1:7: log.colour: unknown key; expected one of level, format"},
      {"collectors: {dsik: {}}",
       "t.yaml:1:14: collectors.dsik: unknown collector; did you mean \"disk\"?"},
      {"collectors: {bogus: {}}",
       "t.yaml:1:14: collectors.bogus: unknown collector; expected one of disk, slow_one"},
      {"collectors: {disable_default: true}",
       "t.yaml:1:14: collectors.disable_default: unknown collector; did you mean "
       "\"disable_defaults\"?"},
      {"collectors:\n  disk:\n    device-exclude: x",
       "t.yaml:3:5: collectors.disk.device-exclude: unknown key; did you mean \"device_exclude\"?"},
      {"collectors: {slow_one: {bogus: 1}}",
       "t.yaml:1:25: collectors.slow_one.bogus: unknown key; expected one of enabled, interval"},
  };
  for (const auto& [text, message] : cases) {
    EXPECT_EQ(error_of(from_yaml(text)), message) << text;
  }
}

TEST(ConfigYaml, ValuesThatAreNotAccepted) {
  const std::string tick =
      "t.yaml:1:1: tick: expected a duration such as 500ms or 15s, from 100ms to 1m, got ";
  const std::string budget =
      "t.yaml:1:1: cpu_budget: expected a share of one core such as 0.5% or 1%, from 0.01% to "
      "100%, "
      "or off, got ";
  const std::string address =
      ": expected an address such as 127.0.0.1:10070, [::1]:10070, :10070 or "
      "unix:/run/tidegauge/web.sock, got ";
  const std::string interval =
      ": expected a duration that is a multiple of the tick (1s), at most 1h, got ";
  const std::string path =
      "t.yaml:1:7: web.telemetry_path: expected a path that begins with / but not with /-/, "
      "without blanks, quotes, ?, #, %, &, < and >, got ";
  const std::pair<const char*, std::string> cases[] = {
      {"tick:", tick + "nothing"},
      {"tick: ~", tick + "nothing"},
      {"tick: ''", tick + "\"\""},
      {"tick: 1", tick + "\"1\""},
      {"tick: 0", tick + "\"0\""},
      {"tick: 99ms", tick + "\"99ms\""},
      {"tick: 61s", tick + "\"61s\""},
      {"tick: 1.5s", tick + "\"1.5s\""},
      {"tick: -1s", tick + "\"-1s\""},
      {"tick: 99999999999999999999h", tick + "\"99999999999999999999h\""},
      {"tick: [1s]", tick + "a list"},
      {"tick: {a: b}", tick + "a mapping"},
      {"freshness: 61m",
       "t.yaml:1:1: freshness: expected a duration such as 500ms or 15s, from 0s to 1h, got "
       "\"61m\""},
      {"collector_timeout: 1ms",
       "t.yaml:1:1: collector_timeout: expected a duration such as 500ms or 15s, from 100ms to "
       "10m, got \"1ms\""},
      {"cpu_budget: 1", budget + "\"1\""},
      {"cpu_budget: 0%", budget + "\"0%\""},
      {"cpu_budget: 0.009%", budget + "\"0.009%\""},
      {"cpu_budget: 100.0001%", budget + "\"100.0001%\""},
      {"cpu_budget: 0.50001%", budget + "\"0.50001%\""},
      {"cpu_budget: -1%", budget + "\"-1%\""},
      {"cpu_budget: 1 %", budget + "\"1 %\""},
      {"cpu_budget: 99999999999999999999%", budget + "\"99999999999999999999%\""},
      {"cpu_budget: Off", budget + "\"Off\""},
      {"cpu_budget:", budget + "nothing"},
      {"privacy: none", "t.yaml:1:1: privacy: expected keep, hash or drop, got \"none\""},
      {"privacy: [hash]", "t.yaml:1:1: privacy: expected keep, hash or drop, got a list"},
      {"node_families: yes", "t.yaml:1:1: node_families: expected true or false, got \"yes\""},
      {"node_families: 'true'",
       "t.yaml:1:1: node_families: expected true or false, got the text \"true\""},
      {"web: 3", "t.yaml:1:1: web: expected a mapping, got \"3\""},
      {"web: []", "t.yaml:1:1: web: expected a mapping, got a list"},
      {"web:\n  max_requests: many",
       "t.yaml:2:3: web.max_requests: expected an integer from 0 to 100000, got \"many\""},
      {"web:\n  max_requests: '40'",
       "t.yaml:2:3: web.max_requests: expected an integer from 0 to 100000, got the text \"40\""},
      {"web:\n  max_requests: -1",
       "t.yaml:2:3: web.max_requests: expected an integer from 0 to 100000, got \"-1\""},
      {"web:\n  max_requests: 4e1",
       "t.yaml:2:3: web.max_requests: expected an integer from 0 to 100000, got \"4e1\""},
      {"web:\n  max_connections: 0",
       "t.yaml:2:3: web.max_connections: expected an integer from 1 to 65536, got \"0\""},
      {"web: {listen_address: []}", "t.yaml:1:7: web.listen_address" + address + "an empty list"},
      {"web: {listen_address: }", "t.yaml:1:7: web.listen_address" + address + "nothing"},
      {"web: {listen_address: [':1', foo]}",
       "t.yaml:1:30: web.listen_address[1]" + address + "\"foo\""},
      {"web: {listen_address: [[':1']]}",
       "t.yaml:1:24: web.listen_address[0]" + address + "a list"},
      {"web: {listen_address: ':65536'}",
       "t.yaml:1:7: web.listen_address" + address + "\":65536\""},
      {"web: {telemetry_path: metrics}", path + "\"metrics\""},
      {"web: {telemetry_path: /-/x}", path + "\"/-/x\""},
      {"web: {telemetry_path: '/a b'}", path + "\"/a b\""},
      {"path: {procfs: ''}", "t.yaml:1:8: path.procfs: expected a path, got \"\""},
      {"path: {procfs: \"/a\\0b\"}",
       "t.yaml:1:8: path.procfs: expected a path without NUL bytes, got "},
      {"log: {level: trace}",
       "t.yaml:1:7: log.level: expected debug, info, warn or error, got \"trace\""},
      {"log: {format: xml}", "t.yaml:1:7: log.format: expected logfmt or json, got \"xml\""},
      {"collectors: [disk]", "t.yaml:1:1: collectors: expected a mapping, got a list"},
      {"collectors: {disk: false}",
       "t.yaml:1:14: collectors.disk: expected a mapping, got \"false\""},
      {"collectors: {disable_defaults: 1}",
       "t.yaml:1:14: collectors.disable_defaults: expected true or false, got \"1\""},
      {"collectors:\n  disk:\n    interval: 1.5s",
       "t.yaml:3:5: collectors.disk.interval" + interval + "\"1.5s\""},
      {"collectors:\n  disk:\n    interval: 1500ms",
       "t.yaml:3:5: collectors.disk.interval" + interval + "\"1500ms\""},
      {"collectors: {disk: {interval: 0s}}",
       "t.yaml:1:21: collectors.disk.interval" + interval + "\"0s\""},
      {"collectors: {disk: {interval: 3601s}}",
       "t.yaml:1:21: collectors.disk.interval" + interval + "\"3601s\""},
      {"collectors: {disk: {interval: 15}}",
       "t.yaml:1:21: collectors.disk.interval" + interval + "\"15\""},
      {"collectors: {disk: {interval: }}",
       "t.yaml:1:21: collectors.disk.interval: expected a duration that is a multiple of the "
       "tick, got nothing"},
      {"collectors: {disk: {enabled: on}}",
       "t.yaml:1:21: collectors.disk.enabled: expected true or false, got \"on\""},
      {"collectors: {disk: {workers: 65}}",
       "t.yaml:1:21: collectors.disk.workers: expected an integer from 1 to 64, got \"65\""},
      {"collectors: {disk: {mount_timeout: 2m}}",
       "t.yaml:1:21: collectors.disk.mount_timeout: expected a duration such as 500ms or 15s, from "
       "1ms to 1m, got \"2m\""},
      {"collectors: {disk: {device_include: '('}}",
       "t.yaml:1:21: collectors.disk.device_include: expected a regular expression in RE2 syntax "
       "(missing ): (), got \"(\""},
      {"collectors: {disk: {device_include: }}",
       "t.yaml:1:21: collectors.disk.device_include: expected a regular expression in RE2 syntax, "
       "got nothing"},
      {"collectors: {disk: {directory: [/x, [/y]]}}",
       "t.yaml:1:37: collectors.disk.directory[1]: expected text, got a list"},
      {"collectors: {disk: {directory: }}",
       "t.yaml:1:21: collectors.disk.directory: expected a list of texts, got nothing"},
      {"collectors: {disk: {note: {}}}",
       "t.yaml:1:21: collectors.disk.note: expected text, got a mapping"},
  };
  for (const auto& [text, message] : cases) {
    const std::string error = error_of(from_yaml(text));
    EXPECT_TRUE(error.starts_with(message)) << text << "\n is: " << error << "\nnot: " << message;
    EXPECT_EQ(error.find('\n'), std::string::npos) << error;
    if (!message.ends_with("got ")) {
      EXPECT_EQ(error, message) << text;
    }
  }
}

TEST(ConfigYaml, TheIntervalNamesTheTickInForce) {
  EXPECT_EQ(error_of(from_yaml("collectors:\n  disk: {interval: 3s}\ntick: 2s")),
            "t.yaml:2:10: collectors.disk.interval: expected a duration that is a multiple of the "
            "tick (2s), at most 1h, got \"3s\"");
  // The file's interval does not fit the command line's tick.
  EXPECT_EQ(error_of(from_flags({"--tick=2s"}, "collectors: {disk: {interval: 3s}}")),
            "t.yaml:1:21: collectors.disk.interval: expected a duration that is a multiple of the "
            "tick (2s), at most 1h, got \"3s\"");
}

TEST(ConfigYaml, StructureThatIsWrong) {
  const BadFile cases[] = {
      {"foo", "t.yaml:1:1: expected keys and values, got \"foo\""},
      {"- a\n- b", "t.yaml:1:1: expected keys and values, got a list"},
      {"tick: 1s\nweb: {}\ntick: 2s", "t.yaml:3:1: tick: given twice, first in line 1"},
      {"collectors:\n  disk:\n  slow_one:\n  disk:\n",
       "t.yaml:4:3: collectors.disk: given twice, first in line 2"},
      {"collectors:\n  disk: {workers: 1, workers: 2}",
       "t.yaml:2:22: collectors.disk.workers: given twice, first in line 2"},
      {"---\ntick: 1s\n---\ntick: 2s\n", "t.yaml:3:1: expected one YAML document, got several"},
      {"? [a]\n: b", "t.yaml:1:3: a key must be a word"},
      {"~: b", "t.yaml:1:1: a key must be a word"},
      {"web:\n  {a: b}: c", "t.yaml:2:3: web: a key must be a word"},
      {"x: &a [1]\n*a : 3", "t.yaml:2:1: a key must be a word"},
      {"tick: !!str 1s", "t.yaml:1:7: YAML tags are not supported: \"tag:yaml.org,2002:str\""},
      {"web: !x {}", "t.yaml:1:6: YAML tags are not supported: \"!x\""},
      {"tick: *x", "t.yaml:1:7: not valid YAML: the referenced anchor is not defined"},
      {"web: &w\n  listen_address: [*w]", "t.yaml:2:20: an alias within its own anchor"},
      {"%YAML 1.2\n---\ntick: 1s", "t.yaml:1:1: YAML directives are not supported"},
      {"web:\n\tmax_requests: 5",
       "t.yaml:2:14: not valid YAML: a tab in the indentation, which has to be blanks"},
      {"web:\n  max_requests: 5\n\ttelemetry_path: /x\n",
       "t.yaml:3:1: not valid YAML: a tab in the indentation, which has to be blanks"},
      {"web: [\n", "t.yaml:2:1: not valid YAML: end of sequence flow not found"},
      {"tick: 1s: 2", "t.yaml:1:9: not valid YAML: illegal map value"},
      {"tick: \"1s", "t.yaml:1:10: not valid YAML: illegal EOF in scalar"},
      {"@x: 3", "t.yaml:1:1: not valid YAML: unknown token"},
      {"tick: 1s\n\xFF\xFE: 3", "t.yaml:2:1: not UTF-8 text"},
      {"\xFF\xFEt\x01", "t.yaml:1:1: not UTF-8 text"},
      {"tick: 1s\n# \x04\ngarbage", "t.yaml:2:3: a control character"},
  };
  for (const auto& [text, message] : cases) {
    EXPECT_EQ(error_of(from_yaml(text)), message) << text;
  }
  EXPECT_EQ(error_of(from_yaml(std::string_view("a\0b: 1", 6))), "t.yaml:1:2: not UTF-8 text");
}

std::string repeat(std::string_view text, std::size_t bytes) {
  std::string out;
  while (out.size() + text.size() <= bytes) {
    out.append(text);
  }
  return out;
}

TEST(ConfigYaml, HostileFilesEndInOneLine) {
  for (const char* piece :
       {"[",  "{",     "- ",  "? ", "a: ", "{a: ", "&a ", "!",   "*",    "\"",    "x", ":", "-\n",
        "[]", "---\n", "?\n", ">",  "[\"", "[a,",  "'",   "|\n", "\"\\", "a:\n ", ",", "`"}) {
    const auto config = from_yaml(repeat(piece, kMaxConfigBytes));
    const std::string error = error_of(config);
    EXPECT_TRUE(error.starts_with("t.yaml:")) << piece << error.substr(0, 200);
    EXPECT_EQ(error.find_first_of(std::string_view("\n\0", 2)), std::string::npos) << piece;
    EXPECT_LT(error.size(), 400U) << piece;
  }
}

TEST(ConfigYaml, SizeDepthAndNumberAreBounded) {
  EXPECT_EQ(error_of(from_yaml(repeat("#", kMaxConfigBytes))), "accepted");
  EXPECT_EQ(error_of(from_yaml(repeat("#", kMaxConfigBytes + 1))),
            "t.yaml: larger than 1048576 bytes");
  std::string many;
  for (int i = 0; i < 5001; ++i) {
    many.append("k").append(std::to_string(i)).append(": 1\n");
  }
  EXPECT_EQ(error_of(from_yaml(many)), "t.yaml:5000:8: more than 10000 values");
  EXPECT_EQ(error_of(from_yaml(repeat("- ", 200))), "t.yaml:1:65: nested deeper than 32 levels");
}

TEST(ConfigYaml, AliasesCountAsWhatTheyStandFor) {
  std::string laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 10; ++i) {
    const std::string alias = "*a" + std::to_string(i - 1);
    laughs += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + alias;
    for (int j = 1; j < 10; ++j) {
      laughs += "," + alias;
    }
    laughs += "]\n";
  }
  EXPECT_EQ(error_of(from_yaml(laughs)), "t.yaml:4:38: more than 10000 values");
}

TEST(ConfigYaml, EveryTruncationOfTheReferenceIsReadOrRefused) {
  const std::string reference = reference_yaml(kRegistry);
  for (std::size_t size = 0; size < reference.size(); ++size) {
    const std::string error = error_of(from_yaml(std::string_view(reference).substr(0, size)));
    EXPECT_EQ(error.find('\n'), std::string::npos) << error;
  }
}

// --- files on disk ------------------------------------------------------------------------------

CommandLine with_file(const std::string& path) {
  CommandLine line;
  line.config_file = path;
  return line;
}

TEST(ConfigLoad, ReadsTheNamedFile) {
  const TemporaryDirectory directory;
  const auto config =
      load_config(with_file(directory.write("t.yaml", "tick: 2s\n")), kRegistry, "/nonexistent");
  ASSERT_TRUE(config) << error_of(config);
  EXPECT_EQ(config->tick_ns, 2 * kSecond);
}

TEST(ConfigLoad, ANamedFileMustBeReadable) {
  const TemporaryDirectory directory;
  const auto load = [](const std::string& path) {
    return error_of(load_config(with_file(path), kRegistry, ""));
  };
  const std::string missing = directory.path("missing.yaml");
  EXPECT_EQ(load(missing), missing + ": cannot be read: No such file or directory");
  EXPECT_EQ(load(directory.path("")), directory.path("") + ": cannot be read: Is a directory");
  const std::string large = directory.write("large.yaml", repeat("#", kMaxConfigBytes + 1));
  EXPECT_EQ(load(large), large + ": larger than 1048576 bytes");
  const std::string denied = directory.write("denied.yaml", "");
  ASSERT_EQ(::chmod(denied.c_str(), 0), 0);
  if (::geteuid() == 0) {
    std::cout << "no test of an unreadable file: root reads every file\n";
  } else {
    EXPECT_EQ(load(denied), denied + ": cannot be read: Permission denied");
  }
}

TEST(ConfigLoad, AFifoDoesNotBlock) {
  const TemporaryDirectory directory;
  ASSERT_EQ(::mkfifo(directory.path("fifo").c_str(), 0600), 0);
  // Read with pread, which a FIFO refuses; what counts is that it returns.
  EXPECT_EQ(error_of(load_config(with_file(directory.path("fifo")), kRegistry, "")),
            directory.path("fifo") + ": cannot be read: Illegal seek");
}

TEST(ConfigLoad, TheDefaultFileMayBeMissingButNotWrong) {
  const TemporaryDirectory directory;
  const auto without = load_config(CommandLine{}, kRegistry, directory.path("none.yaml"));
  ASSERT_TRUE(without) << error_of(without);
  EXPECT_EQ(dump(*without), dump(default_config(kRegistry)));
  const std::string path = directory.write("t.yaml", "tick: never");
  EXPECT_EQ(error_of(load_config(CommandLine{}, kRegistry, path)),
            path +
                ":1:1: tick: expected a duration such as 500ms or 15s, from 100ms to 1m, got "
                "\"never\"");
  EXPECT_EQ(error_of(load_config(with_file(""), kRegistry, path)), "accepted");
}

TEST(ConfigLoad, AReloadSeesTheNewFileUnderTheSameFlags) {
  const TemporaryDirectory directory;
  const std::string path = directory.write("t.yaml", "web: {max_requests: 1, max_connections: 2}");
  const std::string flag = "--config.file=" + path;
  const auto line = parse({flag.c_str(), "--web.max-requests=9"});
  ASSERT_TRUE(line) << error_of(line);
  const auto before = load_config(*line, kRegistry);
  ASSERT_TRUE(before) << error_of(before);
  EXPECT_EQ(before->max_requests, 9);
  EXPECT_EQ(before->max_connections, 2);
  std::ignore = directory.write("t.yaml", "web: {max_requests: 1, max_connections: 3}");
  const auto after = load_config(*line, kRegistry);
  ASSERT_TRUE(after) << error_of(after);
  EXPECT_EQ(after->max_requests, 9);
  EXPECT_EQ(after->max_connections, 3);
}

// --- command lines ------------------------------------------------------------------------------

TEST(CommandLineFlags, Commands) {
  const auto command = [](const std::vector<const char*>& arguments) {
    const auto line = parse(arguments);
    return line ? static_cast<int>(line->command) : -1;
  };
  EXPECT_EQ(command({}), static_cast<int>(Command::kServe));
  EXPECT_EQ(command({"--tick=1s"}), static_cast<int>(Command::kServe));
  EXPECT_EQ(command({"serve"}), static_cast<int>(Command::kServe));
  EXPECT_EQ(command({"metrics", "--path.procfs", "/x"}), static_cast<int>(Command::kMetrics));
  EXPECT_EQ(command({"config-reference"}), static_cast<int>(Command::kConfigReference));
  for (const char* help : {"help", "-h", "--help"}) {
    EXPECT_EQ(command({help}), static_cast<int>(Command::kHelp)) << help;
  }
  EXPECT_EQ(command({"collect", "--help"}), static_cast<int>(Command::kHelp));
  EXPECT_EQ(command({"--version"}), static_cast<int>(Command::kVersion));
}

TEST(CommandLineFlags, ArgumentsOfCommands) {
  const auto check = parse({"check-config", "/some/file"});
  ASSERT_TRUE(check) << error_of(check);
  EXPECT_EQ(check->command, Command::kCheckConfig);
  EXPECT_EQ(check->config_file, "/some/file");

  const auto collect = parse({"--tick", "2s", "collect", "slow_one", "--path.sysfs=/s", "disk"});
  ASSERT_TRUE(collect) << error_of(collect);
  EXPECT_EQ(collect->command, Command::kCollect);
  EXPECT_EQ(collect->names, (std::vector<std::string>{"slow_one", "disk"}));
  EXPECT_EQ(collect->flags.size(), 2U);
  EXPECT_FALSE(collect->config_file);
}

TEST(CommandLineFlags, EveryFlag) {
  const auto config = from_flags({"--tick=500ms",
                                  "--freshness=2s",
                                  "--collector-timeout",
                                  "1m",
                                  "--cpu-budget=off",
                                  "--privacy=drop",
                                  "--no-node-families",
                                  "--web.listen-address=[::1]:9100",
                                  "--web.listen-address",
                                  ":9101",
                                  "--web.telemetry-path=/m",
                                  "--web.max-requests=0",
                                  "--web.max-connections=7",
                                  "--web.systemd-socket",
                                  "--web.enable-lifecycle",
                                  "--web.disable-exporter-metrics",
                                  "--path.procfs=/p",
                                  "--path.sysfs=/s",
                                  "--path.rootfs=/r",
                                  "--path.udev.data=/u",
                                  "--log.level=error",
                                  "--log.format=json",
                                  "--collector.disable-defaults",
                                  "--collector.slow_one",
                                  "--collector.slow_one.interval=2500ms",
                                  "--collector.disk.device-exclude=",
                                  "--collector.disk.device-include",
                                  "^[ab]$",
                                  "--collector.disk.directory=[x,y]",
                                  "--collector.disk.directory=/z",
                                  "--collector.disk.workers=5",
                                  "--collector.disk.mount-timeout=100ms",
                                  "--no-collector.disk.guest",
                                  "--collector.disk.note="});
  ASSERT_TRUE(config) << error_of(config);
  EXPECT_EQ(dump(*config),
            "tick=500000000 freshness=2000000000 timeout=60000000000 cpu=0 privacy=2 node=0\n"
            "listen=[::1]:9100 :9101 \n"
            "path=/m requests=0 connections=7 socket=1 lifecycle=1 own=0\n"
            "roots=/p /s /r /u\n"
            "log=31\n"
            "disk 0 1000000000 device_exclude= device_include=^[ab]$ directory=[[x,y]][/z] "
            "workers=5 mount_timeout=100000000 guest=0 note= groups=0\n"
            "slow_one 1 2500000000");
}

TEST(CommandLineFlags, EveryFlagIsAccepted) {
  for (const FlagTarget& flag : flag_targets(all_collectors())) {
    const OptionSpec& spec = flag.target.spec();
    std::string text = "--" + flag.name;
    if (spec.type != OptionType::kBool) {
      const bool is_interval = &spec == &kCollectorInterval;
      text += "=" + std::string(is_interval ? "60s" : spec.default_text);
    }
    EXPECT_EQ(error_of(parse({text.c_str()}, all_collectors())), "accepted") << text;
  }
}

TEST(CommandLineFlags, RecordsHaveNone) {
  for (const FlagTarget& flag : flag_targets(kRegistry)) {
    EXPECT_NE(flag.target.spec().type, OptionType::kRecords) << flag.name;
    EXPECT_FALSE(flag.name.ends_with('.')) << flag.name;
  }
  EXPECT_NE(error_of(parse({"--collector.disk.groups=x"})), "accepted");
  EXPECT_NE(error_of(parse({"--collector.disk.=x"})), "accepted");
  EXPECT_EQ(help_text(kRegistry).find(".groups"), std::string::npos);
}

TEST(CommandLineFlags, Switches) {
  const auto guest = [](const std::vector<const char*>& arguments) {
    const auto config = from_flags(arguments);
    return config ? disk(*config).options.boolean("guest")
                  : throw std::runtime_error(error_of(config));
  };
  EXPECT_TRUE(guest({}));
  EXPECT_FALSE(guest({"--no-collector.disk.guest"}));
  EXPECT_FALSE(guest({"--collector.disk.guest=false"}));
  EXPECT_TRUE(guest({"--collector.disk.guest=true"}));
  EXPECT_TRUE(guest({"--no-collector.disk.guest=false"}));
  EXPECT_TRUE(guest({"--no-collector.disk.guest", "--collector.disk.guest"}));
  EXPECT_FALSE(guest({"--collector.disk.guest", "--no-collector.disk.guest"}));
}

TEST(CommandLineFlags, TheLastOneWins) {
  const auto config = from_flags({"--tick=2s", "--tick=3s"});
  ASSERT_TRUE(config) << error_of(config);
  EXPECT_EQ(config->tick_ns, 3 * kSecond);
}

TEST(CommandLineFlags, FlagsWinOverTheFile) {
  constexpr const char* kFile =
      "tick: 2s\nweb: {max_requests: 1, enable_lifecycle: true}\n"
      "collectors: {disk: {interval: 4s, directory: [/f], workers: 9}}";
  const auto config = from_flags({"--web.max-requests=2", "--no-web.enable-lifecycle",
                                  "--collector.disk.interval=6s", "--collector.disk.directory=/c"},
                                 kFile);
  ASSERT_TRUE(config) << error_of(config);
  EXPECT_EQ(config->tick_ns, 2 * kSecond);
  EXPECT_EQ(config->max_requests, 2);
  EXPECT_FALSE(config->enable_lifecycle);
  EXPECT_EQ(disk(*config).interval_ns, 6 * kSecond);
  EXPECT_EQ(disk(*config).options.list("directory"), std::vector<std::string>{"/c"});
  EXPECT_EQ(disk(*config).options.integer("workers"), 9);
  const auto emptied = from_flags({"--collector.disk.directory="}, kFile);
  ASSERT_TRUE(emptied) << error_of(emptied);
  EXPECT_TRUE(disk(*emptied).options.list("directory").empty());
}

TEST(CommandLineFlags, WhichCollectorsRun) {
  struct Case {
    std::vector<const char*> flags;
    const char* file;
    bool disk;
    bool slow;
  };
  const Case cases[] = {
      {{}, "", true, false},
      {{"--no-collector.disk"}, "", false, false},
      {{"--collector.slow_one"}, "", true, true},
      {{"--collector.disk=false"}, "", false, false},
      {{}, "collectors: {disk: {enabled: false}, slow_one: {enabled: true}}", false, true},
      {{"--collector.disk"}, "collectors: {disk: {enabled: false}}", true, false},
      {{"--no-collector.disk"}, "collectors: {disk: {enabled: true}}", false, false},
      {{"--collector.disable-defaults"}, "", false, false},
      {{"--collector.disable-defaults", "--collector.disk"}, "", true, false},
      {{"--collector.disable-defaults"}, "collectors: {disk: {enabled: true}}", false, false},
      {{"--collector.slow_one"}, "collectors: {disable_defaults: true}", false, true},
      {{"--no-collector.disable-defaults"}, "collectors: {disable_defaults: true}", true, false},
  };
  for (const Case& c : cases) {
    const auto config = from_flags(c.flags, c.file);
    ASSERT_TRUE(config) << error_of(config);
    EXPECT_EQ(disk(*config).enabled, c.disk) << c.file << &c - cases;
    EXPECT_EQ(slow(*config).enabled, c.slow) << c.file << &c - cases;
  }
}

TEST(CommandLineFlags, WrongOnes) {
  struct Case {
    std::vector<const char*> arguments;
    const char* message;
  };
  const Case cases[] = {
      {{"--tik=1s"}, "unknown flag \"--tik\"; did you mean \"--tick\"?"},
      {{"--procfs=/x"}, "unknown flag \"--procfs\"; did you mean \"--path.procfs\"?"},
      {{"-web.telemetry-path=/x"},
       "unknown flag \"-web.telemetry-path\"; did you mean \"--web.telemetry-path\"?"},
      {{"--web.listen_address=:1"},
       "unknown flag \"--web.listen_address\"; did you mean \"--web.listen-address\"?"},
      {{"--no-tick"}, "unknown flag \"--no-tick\"; `tidegauge help` lists all flags"},
      {{"--bogus", "3"}, "unknown flag \"--bogus\"; `tidegauge help` lists all flags"},
      {{"--a\nb"}, "unknown flag \"--a\\nb\"; `tidegauge help` lists all flags"},
      {{"--web.config.file=x"},
       "unknown flag \"--web.config.file\"; `tidegauge help` lists all flags"},
      {{"--no-collector.dis"},
       "unknown flag \"--no-collector.dis\"; did you mean \"--no-collector.disk\"?"},
      {{"--collector.bogus"},
       "unknown flag \"--collector.bogus\"; `tidegauge help` lists all flags"},
      {{"--collector.disk.worker=3"},
       "unknown flag \"--collector.disk.worker\"; did you mean \"--collector.disk.workers\"?"},
      {{"serv"}, "unknown command \"serv\"; did you mean \"serve\"?"},
      {{"frobnicate"}, "unknown command \"frobnicate\"; `tidegauge help` lists all commands"},
      {{""}, "unknown command \"\"; `tidegauge help` lists all commands"},
      {{"serve", "disk"}, "unexpected argument \"disk\""},
      {{"serve", "collect"}, "unexpected argument \"collect\""},
      {{"check-config", "a", "b"}, "unexpected argument \"b\""},
      {{"check-config", "a", "--config.file=b"}, "unexpected argument \"a\""},
      {{"collect", "dsk"}, "unknown collector \"dsk\"; did you mean \"disk\"?"},
      {{"collect", "collect[]=disk"},
       "unknown collector \"collect[]=disk\"; `tidegauge help` lists all collectors"},
      {{"collect", "[disk,slow_one]"},
       "unknown collector \"[disk,slow_one]\"; `tidegauge help` lists all collectors"},
      {{"--tick"}, "--tick: expected a value"},
      {{"--collector.disk.directory"}, "--collector.disk.directory: expected a value"},
      {{"--config.file"}, "--config.file: expected a value"},
      {{"--tick=", "--freshness=1s"},
       "--tick: expected a duration such as 500ms or 15s, from 100ms to 1m, got \"\""},
      {{"--web.max-requests", "-1"},
       "--web.max-requests: expected an integer from 0 to 100000, got \"-1\""},
      {{"--web.listen-address="},
       "--web.listen-address: expected an address such as 127.0.0.1:10070, [::1]:10070, :10070 or "
       "unix:/run/tidegauge/web.sock, got \"\""},
      {{"--log.level=trace"}, "--log.level: expected debug, info, warn or error, got \"trace\""},
      {{"--collector.disk=maybe"}, "--collector.disk: expected true or false, got \"maybe\""},
      {{"--no-collector.disk=maybe"}, "--collector.disk: expected true or false, got \"maybe\""},
      {{"--collector.disk.device-include=("},
       "--collector.disk.device-include: expected a regular expression in RE2 syntax (missing ): "
       "(), got \"(\""},
      {{"--collector.disk.interval=1.5s"},
       "--collector.disk.interval: expected a duration that is a multiple of the tick (1s), at "
       "most 1h, got \"1.5s\""},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(error_of(from_flags(c.arguments)), c.message);
  }
}

TEST(CommandLineFlags, FlagsThatNodeExporterHas) {
  const auto ignored = parse({"--runtime.gomaxprocs=2", "--no-collector.wifi"});
  ASSERT_TRUE(ignored) << error_of(ignored);
  EXPECT_EQ(ignored->warnings,
            (std::vector<std::string>{
                "--runtime.gomaxprocs is ignored: collectors run on one thread anyway",
                "--no-collector.wifi is ignored: there is no such collector here"}));
  EXPECT_EQ(error_of(parse({"--collector.wifi"})),
            "--collector.wifi: tidegauge has no collector \"wifi\"; remove the flag");
  EXPECT_EQ(error_of(parse({"--collector.ntp.server=x"})),
            "--collector.ntp.server: tidegauge has no collector \"ntp\"; remove the flag");
  EXPECT_EQ(error_of(parse({"--no-collector.wifi=x"})),
            "--no-collector.wifi: tidegauge has no collector \"wifi\"; remove the flag");
}

// --- include and exclude ------------------------------------------------------------------------

TEST(ConfigInclude, TheOneAtItsDefaultGivesWay) {
  const auto filters = [](const std::vector<const char*>& flags, const char* file) {
    const auto config = from_flags(flags, file);
    const Options& options = disk(*config).options;
    return options.text("device_include") + " " + options.text("device_exclude");
  };
  EXPECT_EQ(filters({}, ""), " ^(ram|loop)\\d+$");
  EXPECT_EQ(filters({"--collector.disk.device-include=sda"}, ""), "sda ");
  EXPECT_EQ(filters({}, "collectors: {disk: {device_include: sda}}"), "sda ");
  EXPECT_EQ(filters({"--collector.disk.device-exclude=x"}, ""), " x");
  // Both set: the collector's make() refuses.
  EXPECT_EQ(filters({"--collector.disk.device-exclude=x", "--collector.disk.device-include=y"}, ""),
            "y x");
  // The installed reference writes the default out, which does not count as set.
  EXPECT_EQ(filters({"--collector.disk.device-include=sda"}, reference_yaml(kRegistry).c_str()),
            "sda ");
}

TEST(ConfigInclude, AnIncludeWithADefaultGivesWayToo) {
  constexpr OptionSpec kSlabs[] = {
      {"slabs_include", "slabs-include", OptionType::kRegex, ".*", "Only these."},
      {"slabs_exclude", "slabs-exclude", OptionType::kRegex, "", "Not these."},
      {"other_include", "other-include", OptionType::kRegex, "", "Has no counterpart."},
  };
  Options options = default_options(kSlabs);
  resolve_include_exclude(kSlabs, options);
  EXPECT_EQ(options, default_options(kSlabs));
  options.set("slabs_exclude", std::string("dentry"));
  options.set("other_include", std::string("x"));
  resolve_include_exclude(kSlabs, options);
  EXPECT_EQ(options.text("slabs_include"), "");
  EXPECT_EQ(options.text("slabs_exclude"), "dentry");
  EXPECT_EQ(options.text("other_include"), "x");
}

// --- generated texts ----------------------------------------------------------------------------

// Lines "#key: value" show what is the default anyway.
std::string uncomment(const std::string& text) {
  std::istringstream lines(text);
  std::string out;
  for (std::string line; std::getline(lines, line);) {
    const std::size_t hash = line.find('#');
    if (hash != std::string::npos && hash + 1 < line.size() && line[hash + 1] != ' ' &&
        line.find_first_not_of(' ') == hash) {
      line.erase(hash, 1);
    }
    out.append(line).append("\n");
  }
  return out;
}

TEST(ConfigReference, ReadBackItIsTheDefaults) {
  for (const CollectorRegistry registry : {CollectorRegistry(kRegistry), all_collectors()}) {
    const std::string reference = reference_yaml(registry);
    const auto config = from_yaml(reference, registry);
    ASSERT_TRUE(config) << error_of(config);
    EXPECT_EQ(dump(*config), dump(default_config(registry)));
    const std::string live = uncomment(reference);
    EXPECT_NE(live, reference);
    const auto all = from_yaml(live, registry);
    ASSERT_TRUE(all) << error_of(all);
    EXPECT_EQ(dump(*all), dump(default_config(registry)));
  }
}

TEST(ConfigReference, NamesEveryKey) {
  const std::string reference = reference_yaml(kRegistry);
  for (const Setting& setting : settings()) {
    EXPECT_NE(reference.find(std::string(setting.spec.key) + ": "), std::string::npos);
  }
  for (const OptionSpec& spec : kDiskOptions) {
    EXPECT_NE(reference.find("\n    " + std::string(spec.key) + ": "), std::string::npos);
  }
  EXPECT_NE(reference.find("    directory: [/a, '/b c']\n"), std::string::npos);
  EXPECT_NE(reference.find("    note: 'it''s: #1'\n"), std::string::npos);
  EXPECT_NE(
      reference.find("    # Named groups. At most 3, each with one or more of:\n"
                     "    #   - name (text): What the group is called.\n"
                     "    #   - comm (a list of texts): Names of programs.\n"
                     "    #   - cmdline (a regular expression in RE2 syntax): Matches command "
                     "lines.\n"
                     "    #   - children (true or false): Whether children belong to it.\n"
                     "    #   - most (an integer from 1 to 9): How many.\n"
                     "    groups: []\n"),
      std::string::npos)
      << reference;
}

TEST(ConfigReference, AllowsAnotherTickAndDisableDefaults) {
  const auto config = from_flags({"--tick=7s"}, reference_yaml(kRegistry));
  ASSERT_TRUE(config) << error_of(config);
  EXPECT_EQ(disk(*config).interval_ns, 7 * kSecond);
}

TEST(ConfigReference, TheFileInTheTreeIsUpToDate) {
  EXPECT_EQ(read_text(TIDEGAUGE_SOURCE_DIR "/config/tidegauge.yaml"),
            reference_yaml(all_collectors()))
      << "run: tidegauge config-reference > config/tidegauge.yaml";
}

TEST(ConfigHelp, NamesEveryFlagWithinTheLine) {
  const std::string help = help_text(kRegistry);
  for (const FlagTarget& flag : flag_targets(kRegistry)) {
    if (flag.target.option == &kCollectorInterval) {
      continue;  // --collector.NAME.interval stands for all
    }
    const bool is_switch = flag.target.spec().type == OptionType::kBool;
    EXPECT_NE(help.find((is_switch ? "--[no-]" : "--") + flag.name), std::string::npos)
        << flag.name;
  }
  for (const char* text : {"--collector.NAME.interval", "--config.file", "--version", "-h, --help",
                           "check-config", "collect [NAME...]", "metrics"}) {
    EXPECT_NE(help.find(text), std::string::npos) << text;
  }
  EXPECT_EQ(help.find("config-reference"), std::string::npos);
  std::istringstream lines(help);
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), 100U) << line;
  }
}

// --- what collectors refuse ---------------------------------------------------------------------

// The first complaint of a collector of this build about a file and flags.
std::string refusal(std::string_view yaml, const std::vector<const char*>& flags = {}) {
  const auto line = parse(flags, all_collectors());
  if (!line) {
    return error_of(line);
  }
  ConfigBuilder builder(all_collectors());
  if (auto done = apply_yaml(yaml, "t.yaml", all_collectors(), builder); !done) {
    return error_of(done);
  }
  if (auto done = apply_flags(*line, all_collectors(), builder); !done) {
    return error_of(done);
  }
  const auto config = std::move(builder).finish();
  return config ? error_of(make_collectors(*config, {"process", "files", "sysctl", "netdev"}))
                : error_of(config);
}

TEST(CollectorErrors, SayWhereTheOptionWasWritten) {
  const std::string name =
      "expected text with {comm}, {exe}, {user}, {unit}, {container}, {pod}, {cgroup} or a named "
      "group of this rule's expressions";
  const std::string path = "expected an absolute path, got \"b\"";
  EXPECT_EQ(refusal(""), "accepted");
  EXPECT_EQ(refusal("collectors:\n  process:\n    groups:\n      - name: '{nope}'\n"),
            "t.yaml:4:9: collectors.process.groups[0].name: " + name);
  EXPECT_EQ(refusal("collectors: {process: {groups: [{name: a}, {comm: b, name: '{'}]}}"),
            "t.yaml:1:54: collectors.process.groups[1].name: " + name);
  EXPECT_EQ(refusal("collectors: {process: {groups: [{comm: a}]}}"),
            "t.yaml:1:33: collectors.process.groups[0]: a group needs a name");
  EXPECT_EQ(refusal("collectors: {process: {groups: [{name: a, comm_regex: "
                    "(1)(2)(3)(4)(5)(6)(7)(8)}]}}"),
            "t.yaml:1:43: collectors.process.groups[0].comm_regex: more than 7 capturing groups; "
            "(?:...) does not capture");
  EXPECT_EQ(refusal("collectors: {files: {paths: [/a, b]}}"),
            "t.yaml:1:34: collectors.files.paths[1]: " + path);
  EXPECT_EQ(refusal("collectors: {files: {paths: b}}"),
            "t.yaml:1:22: collectors.files.paths: " + path);
  EXPECT_EQ(refusal("", {"--collector.files.path=b"}), "--collector.files.path: " + path);
  EXPECT_EQ(refusal("collectors: {files: {paths: [/a, /c]}}",
                    {"--collector.files.path=/a", "--collector.files.path=b"}),
            "--collector.files.path: " + path)
      << "the file's list is not in force";
  EXPECT_EQ(refusal("collectors: {sysctl: {include: ['a.b:']}}"),
            "t.yaml:1:33: collectors.sysctl.include[0]: expected a parameter such as "
            "vm.swappiness or fs.file-nr:allocated,unused,max, got \"a.b:\"");
  EXPECT_EQ(
      refusal("collectors: {netdev: {device_exclude: a}}", {"--collector.netdev.device-include=b"}),
      "t.yaml:1:23: collectors.netdev.device_exclude: cannot be used together with "
      "device_include");
}

TEST(CollectorErrors, OfWhatNobodyWrote) {
  const CollectorConfig collector{&kDisk, true, 1, {}, {}};
  EXPECT_EQ(collector_error(collector, invalid_option("workers", "too many").value()).message,
            "collectors.disk.workers: too many");
  EXPECT_EQ(collector_error(collector, system_error(ENOENT, "/x").value()).message,
            "collectors.disk: missing: /x: No such file or directory");
}

TEST(CollectorErrors, ChoicesNameWhatTheyAccept) {
  const std::string source = "expected auto, iterator or procfs, got ";
  EXPECT_EQ(refusal("collectors:\n  process:\n    source: bogus\n"),
            "t.yaml:3:5: collectors.process.source: " + source + "\"bogus\"");
  EXPECT_EQ(refusal("collectors: {process: {source: }}"),
            "t.yaml:1:24: collectors.process.source: " + source + "nothing");
  EXPECT_EQ(refusal("collectors: {process: {source: [auto]}}"),
            "t.yaml:1:24: collectors.process.source: " + source + "a list");
  EXPECT_EQ(refusal("", {"--collector.process.source=bpf"}),
            "--collector.process.source: " + source + "\"bpf\"");
  EXPECT_EQ(refusal("collectors: {process: {source: procfs}}"), "accepted");
  EXPECT_NE(reference_yaml(all_collectors()).find("Accepts auto, iterator or procfs."),
            std::string::npos);
  EXPECT_NE(help_text(all_collectors()).find("--collector.process.source=WORD"), std::string::npos);
  for (const Setting& setting : settings()) {
    EXPECT_EQ(setting.spec.words.empty(), setting.spec.type != OptionType::kChoice)
        << setting.spec.key;
  }
}

TEST(CheckPrivacy, SaysWhenNamesAreDropped) {
  const TemporaryDirectory directory;
  KernelRoots roots;
  roots.rootfs = directory.path("");
  for (const Privacy privacy : {Privacy::kKeep, Privacy::kDrop}) {
    roots.privacy = privacy;
    EXPECT_EQ(check_privacy(roots), "");
  }
  roots.privacy = Privacy::kHash;
  EXPECT_EQ(check_privacy(roots), "privacy: hash needs " + directory.path("etc/machine-id") +
                                      ", which cannot be read or holds no machine id: names are "
                                      "dropped instead");
  std::filesystem::create_directory(directory.path("etc"));
  static_cast<void>(directory.write("etc/machine-id", "0123456789abcdef0123456789abcdef\n"));
  EXPECT_EQ(check_privacy(roots), "");
}

// --- small parts --------------------------------------------------------------------------------

TEST(CpuBudgetText, PartsPerMillion) {
  EXPECT_EQ(parse_cpu_budget("1%"), 10'000);
  EXPECT_EQ(parse_cpu_budget("0.5%"), 5'000);
  EXPECT_EQ(parse_cpu_budget("5.00%"), 50'000);
  EXPECT_EQ(parse_cpu_budget("0.01%"), 100);
  EXPECT_EQ(parse_cpu_budget("0.0123%"), 123);
  EXPECT_EQ(parse_cpu_budget("100%"), 1'000'000);
  EXPECT_EQ(parse_cpu_budget("off"), 0);
  for (const char* text : {"", "%", "0", "1", ".5%", "1.%", "1%%", "1e1%", "0.005%", "101%"}) {
    EXPECT_EQ(parse_cpu_budget(text), std::nullopt) << text;
  }
}

TEST(Suggest, NearMisses) {
  const std::vector<std::string> names{"diskstats", "meminfo", "path.procfs", "cpu", "cpufreq"};
  EXPECT_EQ(suggest("diskstat", names), "diskstats");
  EXPECT_EQ(suggest("DISKSTATS", names), "diskstats");
  EXPECT_EQ(suggest("idskstats", names), "diskstats");
  EXPECT_EQ(suggest("path-procfs", names), "path.procfs");
  EXPECT_EQ(suggest("procfs", names), "path.procfs");
  EXPECT_EQ(suggest("cpi", names), "cpu");
  EXPECT_EQ(suggest("xyz", names), "");
  EXPECT_EQ(suggest("", names), "");
  EXPECT_EQ(suggest(std::string(100, 'a'), names), "");
  EXPECT_EQ(did_you_mean("memifno", names, "--"), "; did you mean \"--meminfo\"?");
  EXPECT_EQ(did_you_mean("bogus", names), "");
}

TEST(FormatDuration, IsReadBack) {
  const std::pair<std::int64_t, const char*> cases[] = {
      {0, "0s"},
      {1, "1ns"},
      {100'000'000, "100ms"},
      {kSecond, "1s"},
      {90 * kSecond, "1m30s"},
      {3600 * kSecond, "1h"},
      {1'500'000'001, "1s500ms1ns"},
  };
  for (const auto& [duration_ns, text] : cases) {
    EXPECT_EQ(format_duration(duration_ns), text);
    EXPECT_EQ(parse_duration(text), duration_ns);
  }
}

TEST(Quote, EscapesAndCuts) {
  EXPECT_EQ(quote("a\"b\\c\nd\x1B"), "\"a\\\"b\\\\c\\nd\\x1b\"");
  EXPECT_EQ(quote(std::string(100, 'x')), "\"" + std::string(80, 'x') + "...\"");
}

}  // namespace
}  // namespace tidegauge
