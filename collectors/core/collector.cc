// SPDX-License-Identifier: Apache-2.0
#include "collectors/core/collector.h"

#include <re2/re2.h>

#include <algorithm>

#include "collectors/core/text.h"

namespace tidegauge {

namespace {

tl::unexpected<Error> rejected(const OptionSpec& spec, std::string_view accepted) {
  return tl::make_unexpected(
      Error{ErrorKind::kInvalid, 0, std::string(spec.key) + ": expected " + std::string(accepted)});
}

}  // namespace

std::string join_choices(std::span<const std::string_view> words) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    text.append(i == 0 ? "" : i + 1 == words.size() ? " or " : ", ").append(words[i]);
  }
  return text;
}

std::optional<std::int64_t> parse_duration(std::string_view text) {
  struct Unit {
    std::string_view name;
    std::int64_t ns;
  };
  static constexpr Unit kUnits[] = {{"ns", 1},
                                    {"us", 1'000},
                                    {"ms", 1'000'000},
                                    {"s", 1'000'000'000},
                                    {"m", 60'000'000'000},
                                    {"h", 3'600'000'000'000},
                                    {"d", 86'400'000'000'000}};
  if (text.empty()) {
    return std::nullopt;
  }
  std::int64_t total = 0;
  while (!text.empty()) {
    const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    const auto number = parse_signed(text.substr(0, digits));
    if (!number || digits == 0) {
      return std::nullopt;
    }
    text.remove_prefix(digits);
    const std::size_t letters = std::min(text.find_first_of("0123456789"), text.size());
    const std::string_view name = text.substr(0, letters);
    text.remove_prefix(letters);
    const Unit* unit = nullptr;
    for (const Unit& candidate : kUnits) {
      if (candidate.name == name) {
        unit = &candidate;
      }
    }
    std::int64_t part = 0;
    if (unit == nullptr || __builtin_mul_overflow(*number, unit->ns, &part) ||
        __builtin_add_overflow(total, part, &total)) {
      return std::nullopt;
    }
  }
  return total;
}

Result<OptionValue> parse_option(const OptionSpec& spec, std::string_view text) {
  switch (spec.type) {
    case OptionType::kBool:
      if (text == "true" || text == "false") {
        return text == "true";
      }
      return rejected(spec, "true or false");
    case OptionType::kInteger: {
      const auto value = parse_signed(text);
      if (!value || *value < spec.min || *value > spec.max) {
        return rejected(spec, "an integer from " + std::to_string(spec.min) + " to " +
                                  std::to_string(spec.max));
      }
      return *value;
    }
    case OptionType::kDuration: {
      const auto value = parse_duration(text);
      if (!value || *value < spec.min || *value > spec.max) {
        return rejected(spec, "a duration such as 500ms, 15s or 5m, from " +
                                  std::to_string(spec.min / 1'000'000) + "ms to " +
                                  std::to_string(spec.max / 1'000'000) + "ms");
      }
      return *value;
    }
    case OptionType::kRegex: {
      RE2::Options quiet;
      quiet.set_log_errors(false);
      const RE2 regex(re2::StringPiece(text.data(), text.size()), quiet);
      if (!regex.ok()) {
        return rejected(spec, "a regular expression in RE2 syntax (" + regex.error() + ")");
      }
      return std::string(text);
    }
    case OptionType::kString:
      return std::string(text);
    case OptionType::kChoice:
      if (std::find(spec.words.begin(), spec.words.end(), text) == spec.words.end()) {
        return rejected(spec, join_choices(spec.words));
      }
      return std::string(text);
    case OptionType::kStringList: {
      std::vector<std::string> items;
      LineReader lines(text);
      for (std::string_view line; lines.next(line);) {
        items.emplace_back(line);
      }
      return items;
    }
    case OptionType::kRecords:
      if (text.empty()) {
        return std::vector<OptionRecord>{};
      }
      return rejected(spec, "a list of records, which only a configuration file can write");
  }
  return rejected(spec, "a value");
}

Options default_options(std::span<const OptionSpec> specs) {
  Options options;
  for (const OptionSpec& spec : specs) {
    // Defaults are constants of this build; a test parses every one of them.
    if (auto value = parse_option(spec, spec.default_text)) {
      options.set(spec.key, std::move(*value));
    }
  }
  return options;
}

}  // namespace tidegauge
