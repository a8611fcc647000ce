// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/sysctl.h"

#include <algorithm>
#include <charconv>

#include "collectors/core/text.h"

namespace tidegauge {

namespace {

constexpr std::string_view kFamilyPrefix = "node_sysctl_";
constexpr std::string_view kHelp = "The kernel parameter of this name, from /proc/sys.";
constexpr std::string_view kInfoFamily = "node_sysctl_info";
constexpr std::string_view kInfoHelp = "The words of a kernel parameter, from /proc/sys; always 1.";

// What decides how this host reclaims, writes back and overcommits.
constexpr OptionSpec kOptions[] = {
    {.key = "include",
     .flag = "include",
     .type = OptionType::kStringList,
     .default_text =
         "vm.swappiness\nvm.min_free_kbytes\nvm.watermark_scale_factor\nvm.watermark_boost_factor\n"
         "vm.dirty_ratio\nvm.dirty_background_ratio\nvm.dirty_bytes\nvm.dirty_background_bytes\n"
         "vm.dirty_expire_centisecs\nvm.dirty_writeback_centisecs\nvm.overcommit_memory\n"
         "vm.overcommit_ratio\nvm.vfs_cache_pressure\nvm.zone_reclaim_mode\nkernel.numa_balancing\n"
         "kernel.task_delayacct\nfs.file-max\nkernel.pid_max",
     .help = "Numeric kernel parameters to export; NAME:a,b names the numbers of one that has "
             "several. What the kernel lacks is left out."},
    {.key = "include_info",
     .flag = "include-info",
     .type = OptionType::kStringList,
     .default_text = "",
     .help = "Kernel parameters to export as the labels of node_sysctl_info."},
};

// One configured parameter.
struct Parameter {
  std::string name;
  KernelFile file;
  std::vector<std::string> names;  // of its numbers; empty when they are numbered
  std::vector<std::string> keys;   // per number, see number_keys()
};

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (true) {
    const auto at = text.find(separator);
    parts.emplace_back(text.substr(0, at));
    if (at == std::string_view::npos) {
      return parts;
    }
    text.remove_prefix(at + 1);
  }
}

// NamedTable keys of a parameter's numbers: the family, and behind a '#' the index label if any.
std::vector<std::string> number_keys(const Parameter& parameter, std::size_t count) {
  const std::string family = std::string(kFamilyPrefix) + sysctl_metric_name(parameter.name);
  std::vector<std::string> keys;
  for (std::size_t i = 0; i < count; ++i) {
    if (!parameter.names.empty()) {
      keys.push_back(family + "_" + sysctl_metric_name(parameter.names[i]));
    } else {
      keys.push_back(count == 1 ? family : family + "#" + std::to_string(i));
    }
  }
  return keys;
}

constexpr char kNegativeMark = '-';

std::optional<ColumnInfo> name_column(std::string_view key) {
  ColumnInfo info;
  info.help = kHelp;
  info.kind = MetricKind::kUntyped;
  if (key.ends_with(kNegativeMark)) {
    key.remove_suffix(1);
    info.type = NumberType::kSigned;
  }
  const auto hash = key.find('#');
  info.family = key.substr(0, hash);
  if (hash != std::string_view::npos) {
    info.labels = {{"index", std::string(key.substr(hash + 1))}};
  }
  return info;
}

class SysctlCollector final : public Collector {
 public:
  SysctlCollector(std::vector<Parameter> numbers, std::vector<Parameter> infos)
      : numbers_(std::move(numbers)), infos_(std::move(infos)) {}

  Result<void> collect(CollectContext& context, Section& out) override {
    number_table_.begin();
    info_table_.begin();
    for (Parameter& parameter : numbers_) {
      if (auto added = add_numbers(parameter, context); !added) {
        return added;
      }
    }
    for (Parameter& parameter : infos_) {
      if (auto added = add_info(parameter, context); !added) {
        return added;
      }
    }
    out.tables.push_back(number_table_.take());
    out.tables.push_back(info_table_.take());
    return {};
  }

 private:
  Result<void> add_numbers(Parameter& parameter, CollectContext& context) {
    const auto text = parameter.file.read(*context.buffer, kMaxSmallFileBytes);
    if (!text) {
      return ignore_missing(text.error());
    }
    if (auto parsed = parse_sysctl_numbers(parameter.name, *text, values_); !parsed) {
      return parsed;
    }
    if (!parameter.names.empty() && parameter.names.size() != values_.size()) {
      return tl::make_unexpected(Error{ErrorKind::kInvalid, 0,
                                       "sysctl.include: " + parameter.name + " has " +
                                           std::to_string(values_.size()) + " numbers"});
    }
    if (parameter.keys.size() != values_.size()) {
      parameter.keys = number_keys(parameter, values_.size());
    }
    for (std::size_t i = 0; i < values_.size(); ++i) {
      // A column's type hangs on its key, so a change of sign is a change of key.
      if (values_[i].is_negative) {
        number_table_.add(parameter.keys[i] + kNegativeMark, values_[i].bits);
      } else {
        number_table_.add(parameter.keys[i], values_[i].bits);
      }
    }
    return {};
  }

  Result<void> add_info(Parameter& parameter, CollectContext& context) {
    const auto text = parameter.file.read(*context.buffer, kMaxSmallFileBytes);
    if (!text) {
      return ignore_missing(text.error());
    }
    if (auto parsed = parse_sysctl_words(parameter.name, *text, words_); !parsed) {
      return parsed;
    }
    for (std::size_t i = 0; i < words_.size(); ++i) {
      info_table_.add({parameter.name, words_[i], std::to_string(i)}, 1);
    }
    return {};
  }

  static Result<void> ignore_missing(const Error& error) {
    if (error.kind == ErrorKind::kMissing) {
      return {};
    }
    return tl::make_unexpected(error);
  }

  std::vector<Parameter> numbers_;
  std::vector<Parameter> infos_;
  std::vector<SysctlNumber> values_;
  std::vector<std::string_view> words_;
  NamedTable number_table_{{}, name_column};
  ValueTable info_table_{std::string(kInfoFamily),
                         std::string(kInfoHelp),
                         MetricKind::kGauge,
                         {"name", "value", "index"}};
};

Result<std::vector<Parameter>> parse_parameters(const KernelFiles& files,
                                                const std::vector<std::string>& items,
                                                std::string_view option, bool may_name) {
  std::vector<Parameter> parameters;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const std::string& item = items[i];
    const auto colon = item.find(':');
    const std::string name = item.substr(0, colon);
    std::vector<std::string> names;
    if (colon != std::string::npos) {
      names = split(std::string_view(item).substr(colon + 1), ',');
    }
    const bool empty_name =
        name.empty() || std::find(names.begin(), names.end(), "") != names.end();
    if (empty_name || (!names.empty() && !may_name)) {
      return invalid_option(std::string(option) + "[" + std::to_string(i) + "]",
                            std::string("expected a parameter such as vm.swappiness") +
                                (may_name ? " or fs.file-nr:allocated,unused,max" : "") +
                                ", got \"" + item + "\"");
    }
    const bool repeated = std::any_of(
        parameters.begin(), parameters.end(),
        [&](const Parameter& other) { return other.name == name && other.names == names; });
    if (!repeated) {
      std::string path = name;
      std::replace(path.begin(), path.end(), '.', '/');
      parameters.push_back({name, files.proc_file("sys/" + path), std::move(names), {}});
    }
  }
  return parameters;
}

}  // namespace

std::optional<SysctlNumber> parse_sysctl_number(std::string_view field) {
  SysctlNumber number;
  number.is_negative = field.starts_with('-');
  if (number.is_negative || field.starts_with('+')) {
    field.remove_prefix(1);
  }
  int base = 10;
  const auto prefixed = [&](std::string_view lower, std::string_view upper) {
    return field.starts_with(lower) || field.starts_with(upper);
  };
  if (prefixed("0x", "0X")) {
    base = 16;
  } else if (prefixed("0b", "0B")) {
    base = 2;
  } else if (prefixed("0o", "0O")) {
    base = 8;
  } else if (field.size() > 1 && field.front() == '0') {
    base = 8;
    field.remove_prefix(1);
  }
  if (field.size() > 1 && (base == 16 || base == 2 || prefixed("0o", "0O"))) {
    field.remove_prefix(2);
  }
  std::uint64_t magnitude = 0;
  const char* const end = field.data() + field.size();
  const auto [at, error] = std::from_chars(field.data(), end, magnitude, base);
  constexpr std::uint64_t kMostNegative = std::uint64_t{1} << 63;
  if (error != std::errc{} || at != end || (number.is_negative && magnitude > kMostNegative)) {
    return std::nullopt;
  }
  number.bits = number.is_negative ? ~magnitude + 1 : magnitude;
  return number;
}

// 4096	131072	6291456
Result<void> parse_sysctl_numbers(std::string_view name, std::string_view text,
                                  std::vector<SysctlNumber>& out) {
  out.clear();
  LineReader lines(text);
  for (std::string_view line; lines.next(line);) {
    for (auto field = next_field(line); !field.empty(); field = next_field(line)) {
      const auto number = parse_sysctl_number(field);
      if (!number) {
        return malformed(name, lines.number(), "numbers only");
      }
      out.push_back(*number);
    }
  }
  if (out.empty()) {
    return malformed(name, 0, "a number");
  }
  return {};
}

// kill_process kill_thread trap errno user_notif trace log allow
Result<void> parse_sysctl_words(std::string_view name, std::string_view text,
                                std::vector<std::string_view>& out) {
  out.clear();
  LineReader lines(text);
  for (std::string_view line; lines.next(line);) {
    for (auto field = next_field(line); !field.empty(); field = next_field(line)) {
      out.push_back(field);
    }
  }
  if (out.empty()) {
    return malformed(name, 0, "a word");
  }
  return {};
}

std::string sysctl_metric_name(std::string_view name) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  std::string out;
  for (std::size_t at = 0; at < name.size();) {
    std::size_t end = at;
    while (end < name.size() && name[end] == '_') {
      ++end;
    }
    const std::size_t other = end;
    while (end < name.size() && name[end] != '_' && !fits(name[end])) {
      ++end;
    }
    if (end != other) {
      while (end < name.size() && name[end] == '_') {
        ++end;
      }
      out.push_back('_');
    } else if (other != at) {
      out.append(name.substr(at, other - at));
    } else {
      out.push_back(name[end++]);
    }
    at = end;
  }
  return out;
}

const CollectorInfo kSysctlCollector{
    .name = "sysctl",
    .help = "Chosen kernel parameters (/proc/sys).",
    .refresh = false,
    .options = kOptions,
    .make = [](const KernelFiles& files,
               const Options& options) -> Result<std::unique_ptr<Collector>> {
      auto numbers = parse_parameters(files, options.list("include"), "include", true);
      if (!numbers) {
        return tl::make_unexpected(numbers.error());
      }
      auto infos = parse_parameters(files, options.list("include_info"), "include_info", false);
      if (!infos) {
        return tl::make_unexpected(infos.error());
      }
      return std::make_unique<SysctlCollector>(std::move(*numbers), std::move(*infos));
    },
    .metrics =
        [] {
          return std::vector<MetricDoc>{{std::string(kFamilyPrefix) + "<name>",
                                         MetricKind::kUntyped,
                                         {"index"},
                                         std::string(kHelp)},
                                        {std::string(kInfoFamily),
                                         MetricKind::kGauge,
                                         {"name", "value", "index"},
                                         std::string(kInfoHelp)}};
        },
};

}  // namespace tidegauge
