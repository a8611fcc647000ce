// SPDX-License-Identifier: Apache-2.0
#include "daemon/config/builder.h"

#include <algorithm>
#include <utility>

namespace tidegauge {

namespace {

constexpr std::int64_t kNsPerMs = 1'000'000;

std::int64_t round_up(std::int64_t value, std::int64_t step) {
  return (value + step - 1) / step * step;
}

const OptionSpec* find_spec(std::span<const OptionSpec> specs, std::string_view key) {
  const auto at = std::ranges::find(specs, key, &OptionSpec::key);
  return at == specs.end() ? nullptr : &*at;
}

bool is_default(const OptionSpec& spec, const Options& options) {
  return options.text(spec.key) == spec.default_text;
}

}  // namespace

ConfigBuilder::ConfigBuilder(CollectorRegistry registry) {
  for (const CollectorInfo* info : registry) {
    config_.collectors.push_back({info, info->enabled, 0, default_options(info->options), {}});
  }
  file_.enabled.resize(registry.size());
  flags_.enabled.resize(registry.size());
  intervals_.resize(registry.size());
}

void ConfigBuilder::set(ConfigLayer layer, const Target& target, OptionValue value,
                        std::string origin) {
  Switches& switches = layer == ConfigLayer::kFile ? file_ : flags_;
  if (target.setting != nullptr) {
    if (target.setting->apply != nullptr) {
      target.setting->apply(config_, value);
    } else {
      switches.disable_defaults = std::get<bool>(value);
    }
  } else if (target.option == &kCollectorEnabled) {
    switches.enabled[target.collector] = std::get<bool>(value);
  } else if (target.option == &kCollectorInterval) {
    intervals_[target.collector] =
        Interval{std::get<std::string>(std::move(value)), std::move(origin)};
  } else {
    CollectorConfig& collector = config_.collectors[target.collector];
    collector.options.set(target.option->key, std::move(value));
    collector.origins.set(target.option->key, std::move(origin));
  }
}

void ConfigBuilder::set_parts(const Target& target, const YamlNode& value, std::string_view file,
                              const std::string& path) {
  const bool is_own = target.setting == nullptr && target.option != &kCollectorEnabled &&
                      target.option != &kCollectorInterval;
  if (is_own) {
    config_.collectors[target.collector].origins.add_parts(std::string(target.option->key), value,
                                                           file, path);
  }
}

bool ConfigBuilder::is_enabled(std::size_t collector) const {
  if (flags_.enabled[collector]) {
    return *flags_.enabled[collector];
  }
  if (flags_.disable_defaults.value_or(false)) {
    return false;
  }
  if (file_.enabled[collector]) {
    return *file_.enabled[collector];
  }
  // --no-collector.disable-defaults takes the file's back.
  const bool disabled = flags_.disable_defaults.value_or(file_.disable_defaults.value_or(false));
  return !disabled && config_.collectors[collector].info->enabled;
}

ConfigResult<std::int64_t> ConfigBuilder::interval_ns(std::size_t collector) const {
  const auto& asked = intervals_[collector];
  if (!asked) {
    const std::int64_t usual_ns = config_.collectors[collector].info->interval_ms * kNsPerMs;
    return round_up(std::max<std::int64_t>(usual_ns, 1), config_.tick_ns);
  }
  const auto interval = parse_duration(asked->text);
  if (!interval || *interval <= 0 || *interval > kMaxIntervalNs ||
      *interval % config_.tick_ns != 0) {
    return tl::make_unexpected(
        ConfigError{asked->origin + ": expected a duration that is a multiple of the tick (" +
                    format_duration(config_.tick_ns) + "), at most " +
                    format_duration(kMaxIntervalNs) + ", got " + quote(asked->text)});
  }
  return *interval;
}

ConfigResult<Config> ConfigBuilder::finish() && {
  for (std::size_t i = 0; i < config_.collectors.size(); ++i) {
    CollectorConfig& collector = config_.collectors[i];
    const auto interval = interval_ns(i);
    if (!interval) {
      return tl::make_unexpected(interval.error());
    }
    collector.interval_ns = *interval;
    collector.enabled = is_enabled(i);
    resolve_include_exclude(collector.info->options, collector.options);
  }
  return std::move(config_);
}

ConfigError collector_error(const CollectorConfig& collector, const Error& error) {
  const std::string_view origin = collector.origins.find(error.option);
  if (!origin.empty()) {
    return {std::string(origin) + ": " + error.where};
  }
  const std::string path = "collectors." + std::string(collector.info->name);
  return {error.option.empty() ? path + ": " + error.message()
                               : path + "." + error.option + ": " + error.where};
}

void resolve_include_exclude(std::span<const OptionSpec> specs, Options& options) {
  constexpr std::string_view kSuffix = "include";
  for (const OptionSpec& include : specs) {
    if (include.type != OptionType::kRegex || !include.key.ends_with(kSuffix)) {
      continue;
    }
    const std::string_view stem = include.key.substr(0, include.key.size() - kSuffix.size());
    const OptionSpec* exclude = find_spec(specs, std::string(stem) + "exclude");
    if (exclude == nullptr || exclude->type != OptionType::kRegex) {
      continue;
    }
    const bool include_default = is_default(include, options);
    const bool exclude_default = is_default(*exclude, options);
    if (!include_default && exclude_default && !options.text(include.key).empty()) {
      options.set(exclude->key, std::string());
    } else if (include_default && !exclude_default && !options.text(exclude->key).empty()) {
      options.set(include.key, std::string());
    }
  }
}

}  // namespace tidegauge
