// SPDX-License-Identifier: Apache-2.0
#pragma once

// The daemon's log: one line per event on standard error, as logfmt or JSON, so that journald and
// log shippers find the fields. Any thread. Never waits for the reader: a line that does not fit into
// a stalled pipe is dropped and counted, because a host that is slow is what the daemon is for.

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

namespace tidegauge {

enum class LogLevel : std::uint8_t { kDebug, kInfo, kWarn, kError };
enum class LogFormat : std::uint8_t { kLogfmt, kJson };

using LogFields = std::initializer_list<std::pair<std::string_view, std::string_view>>;

// Text of a line without time and level. Values are made valid UTF-8, escaped and cut: they come
// from kernel names and clients.
std::string format_log_payload(LogFormat format, std::string_view message, LogFields fields);

// Lets the same line through once a minute and counts what it holds back. Not thread-safe.
class LogLimiter {
 public:
  bool allow(const std::string& key, std::int64_t now_ns);

 private:
  static constexpr std::int64_t kQuietNs = 60'000'000'000;
  static constexpr std::size_t kMaxKeys = 512;
  std::map<std::string, std::int64_t, std::less<>> last_ns_;
};

class Log {
 public:
  Log(LogLevel level, LogFormat format);
  void configure(LogLevel level, LogFormat format);
  void set_suppressed_counter(std::function<void()> on_suppressed);

  void debug(std::string_view message, LogFields fields = {});
  void info(std::string_view message, LogFields fields = {});
  // The same text and fields appear at most once a minute.
  void notice(std::string_view message, LogFields fields = {});  // at level info
  void warn(std::string_view message, LogFields fields = {});
  void error(std::string_view message, LogFields fields = {});

 private:
  void write(LogLevel level, std::string_view message, LogFields fields);
  void write_limited(LogLevel level, std::string_view message, LogFields fields);

  std::mutex mutex_;
  LogLevel level_;
  LogFormat format_;
  LogLimiter limiter_;
  std::function<void()> on_suppressed_;
};

}  // namespace tidegauge
