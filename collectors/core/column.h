// SPDX-License-Identifier: Apache-2.0
#pragma once

// One constexpr table of Column<S> per kernel file ties a member of the parsed struct to its metric:
// name, help, kind, scale. The same table serves exposition, recording, replay and docs/metrics.md,
// so adding a metric is one line.

#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>

namespace tidegauge {

enum class MetricKind : std::uint8_t { kCounter, kGauge, kUntyped, kHistogram, kSummary };

// Values cross folders as the kernel counts them; the scale to base units is applied by whoever
// shows them: value * num / den.
struct Scale {
  std::uint32_t num = 1;
  std::uint32_t den = 1;
  // Multiply by the rounded 1 / den instead, which can differ in the last bit: where node_exporter
  // does so, a series must not change when a host moves over.
  bool by_reciprocal = false;
  friend bool operator==(const Scale&, const Scale&) = default;
};

inline constexpr Scale kUnit{};
inline constexpr Scale kHundredths{1, 100};
inline constexpr Scale kThousandths{1, 1000};
inline constexpr Scale kTicks{1, 100};  // USER_HZ is 100 in every Linux ABI this daemon runs on
inline constexpr Scale kMilliseconds{1, 1000};
inline constexpr Scale kMillisecondsByReciprocal{1, 1000, true};
inline constexpr Scale kMicroseconds{1, 1'000'000};
inline constexpr Scale kNanoseconds{1, 1'000'000'000};
inline constexpr Scale kSectors{512, 1};  // always 512 bytes, whatever the device's block size
inline constexpr Scale kKibibytes{1024, 1};
inline constexpr Scale kKilohertz{1000, 1};

enum class NumberType : std::uint8_t { kUnsigned, kSigned, kReal };

template <class S>
using Member =
    std::variant<std::uint64_t S::*, std::optional<std::uint64_t> S::*, std::int64_t S::*,
                 std::optional<std::int64_t> S::*, double S::*, std::optional<double> S::*>;

// A label that every value of the column carries, such as mode="user".
struct ConstantLabel {
  std::string_view name;
  std::string_view value;
};

// A family that spans several columns (one per constant label) lists them one after another.
template <class S>
struct Column {
  std::string_view name;
  std::string_view help;
  MetricKind kind;
  Scale scale;
  Member<S> member;
  ConstantLabel label{};  // none when its name is empty
};

}  // namespace tidegauge
