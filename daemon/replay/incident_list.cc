// SPDX-License-Identifier: Apache-2.0
#include "daemon/replay/incident_list.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <system_error>
#include <utility>

#include "collectors/core/text.h"
#include "daemon/config/value.h"
#include "daemon/recorder/incident_directory.h"
#include "daemon/recorder/recording_reader.h"
#include "daemon/replay/recording_walk.h"

namespace tidegauge::replay {

namespace {

constexpr std::string_view kSuffix = ".tgrec";
constexpr std::string_view kPartial = ".partial";
constexpr std::size_t kColumns = 80;
constexpr std::size_t kIndent = 4;
// NAME_MAX is 255.
constexpr std::size_t kNameColumns = 255;

bool is_partial(std::string_view name) { return name.starts_with('.') && name.ends_with(kPartial); }

// As a partial one is called once it is complete.
std::string_view finished_name(std::string_view partial) {
  return partial.substr(1, partial.size() - 1 - kPartial.size());
}

bool is_recording(std::string_view name) {
  return is_partial(name) || (name.ends_with(kSuffix) && !name.starts_with('.'));
}

// Its writer holds a lock on it.
bool is_being_written(const std::string& path) {
  const recording::Descriptor file(
      ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  struct stat info {};
  return file.is_open() && ::fstat(file.get(), &info) == 0 && S_ISREG(info.st_mode) &&
         ::flock(file.get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

bool is_gone(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) != 0 && errno == ENOENT;
}

void read_recording(const std::string& directory, Incident& out) {
  const std::string& name = out.name;
  const std::string path = directory + "/" + name;
  // Asked before it is read: what it lacks then, it lacked while it was written.
  const bool is_written = is_partial(name) && is_being_written(path);
  auto reader = recording::RecordingReader::open(path);
  if (!reader) {
    if (is_written && reader.error().errno_value == 0) {  // not even its head is there
      out.state = IncidentState::kBeingWritten;
      return;
    }
    // The path is known; what remains is what is wrong.
    const Error& error = reader.error();
    out.why =
        error.errno_value != 0
            ? std::generic_category().message(error.errno_value)
            : error.where.substr(std::min(error.where.size(), directory.size() + name.size() + 3));
    return;
  }
  const recording::RecordingSummary summary = reader->check();
  out.first_realtime_ns = summary.first_realtime_ns;
  out.last_realtime_ns = summary.last_realtime_ns;
  out.snapshots = summary.snapshots;
  out.bytes = summary.file_bytes;
  if (is_written) {
    out.state = IncidentState::kBeingWritten;
  } else if (summary.damages != 0) {
    out.state = IncidentState::kDamaged;
  } else {
    out.state =
        summary.is_complete && !is_partial(name) ? IncidentState::kComplete : IncidentState::kTorn;
  }
}

Incident look_at(const std::string& directory, const std::string& name) {
  Incident out;
  out.name = name;
  out.reason = reason_of(name);
  try {
    read_recording(directory, out);
  } catch (const std::exception& error) {  // bad_alloc: costs this file
    out.state = IncidentState::kUnreadable;
    out.why = error.what();
  }
  return out;
}

// None where the file went meanwhile. One that became complete has its new name.
std::optional<Incident> look_for(const std::string& directory, const std::string& name) {
  Incident out = look_at(directory, name);
  if (out.state != IncidentState::kUnreadable || !is_gone(directory + "/" + name)) {
    return out;
  }
  if (!is_partial(name)) {
    return std::nullopt;
  }
  const std::string finished(finished_name(name));
  out = look_at(directory, finished);
  return is_gone(directory + "/" + finished) ? std::nullopt : std::optional(std::move(out));
}

std::int64_t length_ns(const Incident& incident) {
  std::int64_t out = 0;
  const bool overflows =
      __builtin_sub_overflow(incident.last_realtime_ns, incident.first_realtime_ns, &out);
  return overflows ? 0 : std::max<std::int64_t>(out, 0);
}

std::string length_text(std::int64_t ns) {
  constexpr std::int64_t kSecondNs = 1'000'000'000;
  return ns < kSecondNs ? "0s" : format_duration(ns / kSecondNs * kSecondNs);
}

}  // namespace

std::string_view to_string(IncidentState state) {
  switch (state) {
    case IncidentState::kComplete:
      return "complete";
    case IncidentState::kBeingWritten:
      return "being written";
    case IncidentState::kTorn:
      return "torn";
    case IncidentState::kDamaged:
      return "damaged";
    case IncidentState::kUnreadable:
      return "unreadable";
  }
  return "unreadable";
}

std::string reason_of(std::string_view name) {
  if (auto ours = recording::parse_file_name(name)) {
    return std::move(ours->reason);
  }
  if (is_partial(name)) {
    name = finished_name(name);
  }
  if (name.ends_with(kSuffix)) {
    name.remove_suffix(kSuffix.size());
  }
  // The time may have dashes of its own; it ends in UTC's letter.
  const std::size_t utc = name.find("Z-");
  if (utc != std::string_view::npos) {
    return std::string(name.substr(utc + 2));
  }
  const std::size_t dash = name.find('-');
  return dash == std::string_view::npos ? "" : std::string(name.substr(dash + 1));
}

Result<std::vector<Incident>> list_incidents(const std::string& directory) {
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(directory.c_str()), ::closedir);
  if (!stream) {
    return system_error(errno, directory);
  }
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(stream.get())) {
    if (is_recording(entry->d_name)) {
      names.emplace_back(entry->d_name);
    }
  }
  const auto order = [](std::string_view name) { return name.substr(is_partial(name) ? 1 : 0); };
  std::sort(names.begin(), names.end(),
            [&](const auto& a, const auto& b) { return order(a) < order(b); });
  std::vector<Incident> out;
  out.reserve(names.size());
  for (const std::string& name : names) {
    auto incident = look_for(directory, name);
    // readdir() may show a file under both its names.
    if (incident && (out.empty() || out.back().name != incident->name)) {
      out.push_back(std::move(*incident));
    }
  }
  return out;
}

std::string incidents_text(const std::vector<Incident>& incidents, Charset charset) {
  std::string out;
  for (const Incident& incident : incidents) {
    std::string line;
    if (incident.state == IncidentState::kUnreadable) {
      line = "unreadable: " + incident.why;
    } else {
      std::string start = incident.snapshots == 0 ? "-" : time_text(incident.first_realtime_ns);
      line = left_aligned(start, 24, charset) + "  " +
             right_aligned(length_text(length_ns(incident)), 8) + "  " +
             right_aligned(std::to_string(incident.snapshots), 6) + " snapshots  " +
             right_aligned(human_bytes(incident.bytes), 5) + "  " +
             std::string(to_string(incident.state));
      if (!incident.reason.empty()) {
        line += "  " + incident.reason;
      }
    }
    out.append(printable(line, kColumns, charset)).append("\n");
    out.append(kIndent, ' ').append(printable(incident.name, kNameColumns, charset)).append("\n");
  }
  return out;
}

std::string incidents_json(const std::vector<Incident>& incidents) {
  auto out = nlohmann::ordered_json::array();
  for (const Incident& incident : incidents) {
    nlohmann::ordered_json entry;
    entry["name"] = sanitize_label(incident.name);
    entry["reason"] = sanitize_label(incident.reason);
    entry["state"] = to_string(incident.state);
    if (incident.state == IncidentState::kUnreadable) {
      entry["why"] = sanitize_label(incident.why);
    } else {
      const bool has_any = incident.snapshots != 0;
      entry["start"] = has_any ? nlohmann::ordered_json(time_text(incident.first_realtime_ns))
                               : nlohmann::ordered_json(nullptr);
      entry["duration_seconds"] = static_cast<double>(length_ns(incident)) / 1e9;
      entry["snapshots"] = incident.snapshots;
      entry["bytes"] = incident.bytes;
    }
    out.push_back(std::move(entry));
  }
  return out.dump(2, ' ', true) + "\n";
}

}  // namespace tidegauge::replay
