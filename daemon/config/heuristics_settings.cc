// SPDX-License-Identifier: Apache-2.0
#include "daemon/config/heuristics_settings.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <optional>
#include <utility>

#include "daemon/heuristics/thresholds.h"

namespace tidegauge {

namespace {

using heuristics::kThresholds;
using heuristics::ThresholdInfo;

constexpr std::size_t kCount = std::size(kThresholds);

// A plain decimal: no sign, no exponent.
std::optional<double> parse_threshold(std::string_view text) {
  constexpr std::size_t kMostDigits = 20;
  if (text.empty() || text.size() > kMostDigits || text.front() == '.' || text.back() == '.' ||
      text.find_first_not_of("0123456789.") != text.npos || text.find('.') != text.rfind('.')) {
    return std::nullopt;
  }
  return std::strtod(std::string(text).c_str(), nullptr);
}

std::string decimal(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.10g", value);
  return text.data();
}

// Texts that settings refer to for good.
struct Texts {
  std::string flag;
  std::string standard;
  std::string accepted;
};

const std::array<Texts, kCount>& texts() {
  static const std::array<Texts, kCount> kAll = [] {
    std::array<Texts, kCount> out;
    const heuristics::Thresholds standard;
    for (std::size_t i = 0; i < kCount; ++i) {
      const ThresholdInfo& info = kThresholds[i];
      out[i].flag = "heuristics." + std::string(info.key);
      for (char& c : out[i].flag) {
        c = c == '_' ? '-' : c;
      }
      out[i].standard = decimal(standard.*info.member);
      out[i].accepted = "a number from " + decimal(info.least) + " to " + decimal(info.most);
    }
    return out;
  }();
  return kAll;
}

template <std::size_t I>
bool is_threshold(std::string_view text) {
  const auto value = parse_threshold(text);
  return value && *value >= kThresholds[I].least && *value <= kThresholds[I].most;
}

template <std::size_t I>
void set_threshold(Config& config, const OptionValue& value) {
  config.heuristics.limits.*kThresholds[I].member =
      parse_threshold(std::get<std::string>(value)).value_or(0);
}

template <std::size_t I>
Setting setting() {
  const Texts& text = texts()[I];
  return {"heuristics",
          {.key = kThresholds[I].key,
           .flag = text.flag,
           .type = OptionType::kString,
           .default_text = text.standard,
           .help = kThresholds[I].help},
          text.accepted,
          is_threshold<I>,
          set_threshold<I>};
}

template <std::size_t... I>
std::vector<Setting> make_settings(std::index_sequence<I...> /*all*/) {
  return {setting<I>()...};
}

}  // namespace

std::vector<Setting> heuristics_settings() {
  std::vector<Setting> out = make_settings(std::make_index_sequence<kCount>());
  out.insert(out.begin(), {"heuristics",
                           {"enabled", "heuristics.enabled", OptionType::kBool, "true",
                            "Whether verdicts are looked for."},
                           "",
                           nullptr,
                           [](Config& config, const OptionValue& value) {
                             config.heuristics.enabled = std::get<bool>(value);
                           }});
  return out;
}

}  // namespace tidegauge
