// SPDX-License-Identifier: Apache-2.0
#include "daemon/config/value.h"

#include "collectors/core/text.h"

namespace tidegauge {

namespace {

std::string range_of_durations(const OptionSpec& spec) {
  return "a duration such as 500ms or 15s, from " + format_duration(spec.min) + " to " +
         format_duration(spec.max);
}

constexpr std::size_t kMaxQuotedBytes = 80;

// On one line, cut; characters of `marked` get a backslash.
std::string escape(std::string_view text, std::size_t max_bytes, std::string_view marked) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  for (const char c : sanitize_label(text, max_bytes)) {
    const auto byte = static_cast<unsigned char>(c);
    if (marked.find(c) != std::string_view::npos) {
      out.append({'\\', c});
    } else if (c == '\n') {
      out.append("\\n");
    } else if (byte < 0x20 || byte == 0x7F) {
      out.append("\\x").push_back(kHex[byte >> 4U]);
      out.push_back(kHex[byte & 0xFU]);
    } else {
      out.push_back(c);
    }
  }
  return out.append(text.size() > max_bytes ? "..." : "");
}

// parse_option() with what its message about a regular expression has and nobody else knows.
std::string complaint(const Target& target, std::string_view where) {
  const std::string prefix = std::string(target.spec().key) + ": expected ";
  if (target.spec().type == OptionType::kRegex && where.starts_with(prefix)) {
    // RE2 repeats the offending part of the expression as it is.
    return escape(where.substr(prefix.size()), 2 * kMaxQuotedBytes, "");
  }
  return target.accepted();
}

}  // namespace

std::string Target::accepted() const {
  if (setting != nullptr && !setting->accepted.empty()) {
    return std::string(setting->accepted);
  }
  switch (spec().type) {
    case OptionType::kBool:
      return "true or false";
    case OptionType::kInteger:
      return "an integer from " + std::to_string(spec().min) + " to " + std::to_string(spec().max);
    case OptionType::kDuration:
      return range_of_durations(spec());
    case OptionType::kString:
      return &spec() == &kCollectorInterval ? "a duration that is a multiple of the tick" : "text";
    case OptionType::kChoice:
      return join_choices(spec().words);
    case OptionType::kRegex:
      return "a regular expression in RE2 syntax";
    case OptionType::kStringList:
      return "a list of texts";
    case OptionType::kRecords:
      return "a list of records";
  }
  return "a value";
}

ConfigResult<OptionValue> parse_value(const Target& target, std::string_view text) {
  const OptionSpec& spec = target.spec();
  const auto refuse = [&](std::string_view accepted) {
    return tl::make_unexpected(
        ConfigError{"expected " + std::string(accepted) + ", got " + quote(text)});
  };
  // Paths and patterns end up in system calls and C strings.
  if (text.find('\0') != std::string_view::npos) {
    return refuse(target.accepted() + " without NUL bytes");
  }
  if (target.setting != nullptr && target.setting->valid != nullptr &&
      !target.setting->valid(text)) {
    return refuse(target.accepted());
  }
  if (spec.type == OptionType::kStringList) {
    return OptionValue(std::vector<std::string>{std::string(text)});
  }
  const bool bare_zero = spec.type == OptionType::kDuration && text == "0";
  const auto value = parse_option(spec, bare_zero ? "0s" : text);
  if (!value) {
    return refuse(complaint(target, value.error().where));
  }
  return *value;
}

std::string expected_but_got(const Target& target, std::string_view got) {
  return "expected " + target.accepted() + ", got " + std::string(got);
}

std::string format_duration(std::int64_t duration_ns) {
  struct Unit {
    std::string_view name;
    std::int64_t ns;
  };
  static constexpr Unit kUnits[] = {
      {"h", 3'600'000'000'000}, {"m", 60'000'000'000}, {"s", 1'000'000'000},
      {"ms", 1'000'000},        {"us", 1'000},         {"ns", 1}};
  if (duration_ns <= 0) {
    return "0s";
  }
  std::string text;
  for (const auto& [name, ns] : kUnits) {
    if (duration_ns >= ns) {
      text.append(std::to_string(duration_ns / ns)).append(name);
      duration_ns %= ns;
    }
  }
  return text;
}

std::string quote(std::string_view text) {
  return "\"" + escape(text, kMaxQuotedBytes, "\"\\") + "\"";
}

}  // namespace tidegauge
