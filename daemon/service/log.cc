// SPDX-License-Identifier: Apache-2.0
#include "daemon/service/log.h"

#include <poll.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <ctime>

#include "collectors/core/text.h"

namespace tidegauge {

namespace {

// A pipe that polls as writable takes PIPE_BUF, 4 096 bytes, without blocking.
constexpr std::size_t kMaxLineBytes = 4000;
constexpr std::size_t kMaxValueBytes = 700;

void append_quoted(std::string& out, std::string_view raw) {
  out.push_back('"');
  for (const char c : sanitize_label(raw, kMaxValueBytes)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (c == '\n') {
      out.append("\\n");
    } else if (byte < 0x20 || byte == 0x7F) {
      constexpr std::string_view kHex = "0123456789abcdef";
      out.append("\\u00");
      out.push_back(kHex[byte >> 4U]);
      out.push_back(kHex[byte & 0xFU]);
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
}

std::int64_t monotonic_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

spdlog::logger& logger() {
  static const auto kLogger = std::make_shared<spdlog::logger>(
      "tidegauge", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  return *kLogger;
}

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

}  // namespace

std::string format_log_payload(LogFormat format, std::string_view message, LogFields fields) {
  std::string out;
  const auto field = [&](std::string_view key, std::string_view value) {
    if (!out.empty()) {
      out.append(format == LogFormat::kJson ? "," : " ");
    }
    if (format == LogFormat::kJson) {
      append_quoted(out, key);
      out.push_back(':');
    } else {
      out.append(key).push_back('=');
    }
    append_quoted(out, value);
  };
  field("msg", message);
  for (const auto& [key, value] : fields) {
    field(key, value);
  }
  return out;
}

bool LogLimiter::allow(const std::string& key, std::int64_t now_ns) {
  const auto at = last_ns_.find(key);
  if (at != last_ns_.end()) {
    if (now_ns - at->second < kQuietNs) {
      return false;
    }
    at->second = now_ns;
    return true;
  }
  if (last_ns_.size() >= kMaxKeys) {
    std::erase_if(last_ns_, [&](const auto& entry) { return now_ns - entry.second >= kQuietNs; });
    if (last_ns_.size() >= kMaxKeys) {
      return false;
    }
  }
  last_ns_.emplace(key, now_ns);
  return true;
}

Log::Log(LogLevel level, LogFormat format) : level_(level), format_(format) {
  configure(level, format);
}

void Log::configure(LogLevel level, LogFormat format) {
  const std::lock_guard lock(mutex_);
  level_ = level;
  format_ = format;
  logger().set_level(to_spdlog(level));
  logger().set_pattern(format == LogFormat::kJson
                           ? R"({"ts":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})"
                           : "ts=%Y-%m-%dT%H:%M:%S.%eZ level=%l %v",
                       spdlog::pattern_time_type::utc);
  logger().flush_on(spdlog::level::trace);
}

void Log::set_suppressed_counter(std::function<void()> on_suppressed) {
  const std::lock_guard lock(mutex_);
  on_suppressed_ = std::move(on_suppressed);
}

void Log::write(LogLevel level, std::string_view message, LogFields fields) {
  const std::lock_guard lock(mutex_);
  if (level < level_) {
    return;
  }
  pollfd writable{.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
  if (::poll(&writable, 1, 0) == 0) {
    if (on_suppressed_) {
      on_suppressed_();
    }
    return;
  }
  const std::string payload = format_log_payload(format_, message, fields);
  if (payload.size() > kMaxLineBytes) {  // written whole or not at all, so that JSON stays JSON
    if (on_suppressed_) {
      on_suppressed_();
    }
    return;
  }
  logger().log(to_spdlog(level), spdlog::string_view_t(payload.data(), payload.size()));
}

void Log::write_limited(LogLevel level, std::string_view message, LogFields fields) {
  {
    const std::lock_guard lock(mutex_);
    const std::string key = format_log_payload(LogFormat::kLogfmt, message, fields);
    if (!limiter_.allow(key, monotonic_ns())) {
      if (on_suppressed_) {
        on_suppressed_();
      }
      return;
    }
  }
  write(level, message, fields);
}

void Log::debug(std::string_view message, LogFields fields) {
  write(LogLevel::kDebug, message, fields);
}
void Log::info(std::string_view message, LogFields fields) {
  write(LogLevel::kInfo, message, fields);
}
void Log::notice(std::string_view message, LogFields fields) {
  write_limited(LogLevel::kInfo, message, fields);
}
void Log::warn(std::string_view message, LogFields fields) {
  write_limited(LogLevel::kWarn, message, fields);
}
void Log::error(std::string_view message, LogFields fields) {
  write_limited(LogLevel::kError, message, fields);
}

}  // namespace tidegauge
