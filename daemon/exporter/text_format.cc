// SPDX-License-Identifier: Apache-2.0
#include "daemon/exporter/text_format.h"

#include <array>
#include <bit>
#include <charconv>
#include <cmath>

#include "collectors/core/text.h"

namespace tidegauge {

namespace {

constexpr std::size_t kMaxHelpBytes = 4096;

}  // namespace

std::string_view type_name(MetricKind kind) {
  switch (kind) {
    case MetricKind::kCounter:
      return "counter";
    case MetricKind::kGauge:
      return "gauge";
    case MetricKind::kUntyped:
      return "untyped";
    case MetricKind::kHistogram:
      return "histogram";
    case MetricKind::kSummary:
      return "summary";
  }
  return "untyped";
}

void append_label_value(std::string& out, std::string_view value) {
  for (const char c : value) {
    switch (c) {
      case '\\':
        out.append("\\\\");
        break;
      case '"':
        out.append("\\\"");
        break;
      case '\n':
        out.append("\\n");
        break;
      default:
        out.push_back(c);
    }
  }
}

void append_header(std::string& out, std::string_view family, std::string_view help,
                   MetricKind kind) {
  out.append("# HELP ").append(family).push_back(' ');
  // One byte that is not UTF-8 makes Prometheus refuse the whole scrape.
  for (const char c : sanitize_label(help, kMaxHelpBytes)) {
    if (c == '\\') {
      out.append("\\\\");
    } else if (c == '\n') {
      out.append("\\n");
    } else {
      out.push_back(c);
    }
  }
  out.append("\n# TYPE ").append(family).push_back(' ');
  out.append(type_name(kind)).push_back('\n');
}

SeriesName::SeriesName(std::string& out, std::string_view name, std::string_view suffix)
    : out_(out) {
  out_.append(name).append(suffix);
}

void SeriesName::label(std::string_view name, std::string_view value) {
  out_.push_back(any_ ? ',' : '{');
  any_ = true;
  out_.append(name).append("=\"");
  append_label_value(out_, value);
  out_.push_back('"');
}

void SeriesName::end() { out_.append(any_ ? "} " : " "); }

namespace {

// 32 characters hold every 64-bit integer and every shortest double.
template <class T>
void append_number(std::string& out, T value) {
  std::array<char, 32> text{};
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value);
  static_cast<void>(error);
  out.append(text.data(), end);
}

int decimal_digits(std::uint32_t den) {
  int digits = 0;
  while (den > 1 && den % 10 == 0) {
    den /= 10;
    ++digits;
  }
  return den == 1 ? digits : -1;
}

void append_decimal(std::string& out, std::uint64_t magnitude, std::uint32_t den, int digits) {
  append_number(out, magnitude / den);
  std::uint64_t fraction = magnitude % den;
  if (fraction == 0) {
    return;
  }
  while (fraction % 10 == 0) {
    fraction /= 10;
    --digits;
  }
  std::array<char, 20> text{};
  for (int i = digits - 1; i >= 0; --i) {
    text[static_cast<std::size_t>(i)] = static_cast<char>('0' + fraction % 10);
    fraction /= 10;
  }
  out.push_back('.');
  out.append(text.data(), static_cast<std::size_t>(digits));
}

}  // namespace

void append_real(std::string& out, double value) {
  if (std::isnan(value)) {
    out.append("NaN");
  } else if (std::isinf(value)) {
    out.append(value > 0 ? "+Inf" : "-Inf");
  } else {
    append_number(out, value);
  }
}

void append_value(std::string& out, std::uint64_t bits, NumberType type, Scale scale) {
  const double num = scale.num;
  const double den = scale.den;
  const auto scaled_real = [&](double value) {
    return scale.by_reciprocal ? value * (num / den) : value * num / den;
  };
  if (type == NumberType::kReal) {
    append_real(out, scaled_real(std::bit_cast<double>(bits)));
    return;
  }
  const bool negative = type == NumberType::kSigned && static_cast<std::int64_t>(bits) < 0;
  const std::uint64_t magnitude = negative ? 0 - bits : bits;
  std::uint64_t scaled = 0;
  const int digits = decimal_digits(scale.den);
  if (digits < 0 || scale.by_reciprocal ||
      __builtin_mul_overflow(magnitude, std::uint64_t{scale.num}, &scaled)) {
    append_real(out, scaled_real((negative ? -1.0 : 1.0) * static_cast<double>(magnitude)));
    return;
  }
  if (negative) {
    out.push_back('-');
  }
  if (digits == 0) {
    append_number(out, scaled);
  } else {
    append_decimal(out, scaled, scale.den, digits);
  }
}

}  // namespace tidegauge
