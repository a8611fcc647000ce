// SPDX-License-Identifier: Apache-2.0
#include "daemon/recorder/incident_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdio>
#include <ctime>
#include <memory>
#include <tuple>

namespace tidegauge::recording {

namespace {

constexpr std::string_view kSuffix = ".tgrec";
constexpr std::string_view kPartialSuffix = ".partial";
constexpr std::string_view kTimeForm = "20261126T013232.123Z-";
constexpr std::size_t kMaxReasonBytes = 32;
constexpr std::string_view kCheapMark = "http-";
constexpr std::int64_t kMillisecond = 1'000'000;
constexpr std::int64_t kSecond = 1'000'000'000;
constexpr int kMaxLinks = 8;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_of_reason(char c) { return (c >= 'a' && c <= 'z') || is_digit(c); }

std::optional<int> number(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

// Where the dash stands of a text that ends in a dash and digits.
std::size_t number_dash(std::string_view text) {
  std::size_t at = text.size();
  while (at > 0 && is_digit(text[at - 1])) {
    --at;
  }
  return at < text.size() && at > 1 && text[at - 1] == '-' ? at - 1 : std::string_view::npos;
}

std::optional<std::int64_t> parse_time(std::string_view text) {
  const auto year = number(text.substr(0, 4));
  const auto month = number(text.substr(4, 2));
  const auto day = number(text.substr(6, 2));
  const auto hour = number(text.substr(9, 2));
  const auto minute = number(text.substr(11, 2));
  const auto second = number(text.substr(13, 2));
  const auto millisecond = number(text.substr(16, 3));
  // 2262 is the last year with nanoseconds in 64 bits.
  if (!year || !month || !day || !hour || !minute || !second || !millisecond || *year < 1970 ||
      *year > 2261 || *millisecond < 0) {
    return std::nullopt;
  }
  struct tm parts {};
  parts.tm_year = *year - 1900;
  parts.tm_mon = *month - 1;
  parts.tm_mday = *day;
  parts.tm_hour = *hour;
  parts.tm_min = *minute;
  parts.tm_sec = *second;
  return (std::int64_t{::timegm(&parts)} * 1000 + *millisecond) * kMillisecond;
}

bool is_ours(const struct stat& info) { return info.st_uid == 0 || info.st_uid == ::geteuid(); }

// The link's own text, of a descriptor that stands for the link.
Result<std::string> read_link(int fd, const std::string& path) {
  std::string target(PATH_MAX, '\0');
  const ssize_t size = ::readlinkat(fd, "", target.data(), target.size());
  if (size < 0) {
    return system_error(errno, path);
  }
  target.resize(static_cast<std::size_t>(size));
  if (target.starts_with('/')) {
    return target;
  }
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? target : path.substr(0, slash + 1) + target;
}

// A slash at the end would make the kernel follow a link in spite of O_NOFOLLOW.
void strip_slashes(std::string& path) {
  while (path.size() > 1 && path.ends_with('/')) {
    path.pop_back();
  }
}

Result<std::vector<IncidentFile>> list_directory(int directory, const std::string& path) {
  // Of its own, so that reading starts at the beginning.
  const int fd = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) {
    return system_error(errno, path);
  }
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(fd), &::closedir);
  if (!stream) {
    const int error = errno;
    ::close(fd);
    return system_error(error, path);
  }
  std::vector<IncidentFile> out;
  while (out.size() < kMaxIncidentFiles) {
    errno = 0;
    const dirent* entry = ::readdir(stream.get());
    if (entry == nullptr) {
      if (errno != 0) {
        return system_error(errno, path);
      }
      break;
    }
    const std::string_view name = entry->d_name;
    auto parsed = parse_file_name(name);
    struct stat info {};
    if (!parsed || ::fstatat(fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISREG(info.st_mode)) {
      continue;
    }
    out.push_back({std::string(name), static_cast<std::uint64_t>(info.st_size), parsed->realtime_ns,
                   std::move(parsed->reason), name.starts_with('.'),
                   std::int64_t{info.st_mtim.tv_sec} * kSecond + info.st_mtim.tv_nsec});
  }
  std::sort(out.begin(), out.end(), [](const IncidentFile& a, const IncidentFile& b) {
    return std::tie(a.realtime_ns, a.name) < std::tie(b.realtime_ns, b.name);
  });
  return out;
}

// Whether somebody is writing it: writers hold a lock on what they write.
bool is_locked(int directory, const std::string& name) {
  const Descriptor file(
      ::openat(directory, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  return file.is_open() && ::flock(file.get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

}  // namespace

Descriptor::~Descriptor() {
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

std::string incident_reason(std::string_view text) {
  std::string out;
  for (const char raw : text) {
    const char c = raw >= 'A' && raw <= 'Z' ? static_cast<char>(raw - 'A' + 'a') : raw;
    if (is_of_reason(c)) {
      out.push_back(c);
    } else if (!out.empty() && out.back() != '-') {
      out.push_back('-');
    }
    if (out.size() == kMaxReasonBytes) {
      break;
    }
  }
  if (out.ends_with('-')) {
    out.pop_back();
  }
  for (std::size_t dash = number_dash(out); dash != std::string::npos; dash = number_dash(out)) {
    out.erase(dash, 1);
  }
  return out.empty() ? "unknown" : out;
}

bool has_cheap_mark(std::string_view reason) { return reason.starts_with(kCheapMark); }

std::string marked_reason(std::string_view text, bool is_cheap) {
  std::string reason = incident_reason(text);
  if (has_cheap_mark(reason) == is_cheap) {
    return reason;
  }
  if (!is_cheap) {
    return incident_reason(reason.erase(kCheapMark.size() - 1, 1));
  }
  std::string marked = incident_reason(std::string(kCheapMark) + reason);
  // Digits alone behind the mark's dash look like a number.
  return has_cheap_mark(marked) ? marked : incident_reason(std::string(kCheapMark) + "x" + reason);
}

std::string file_name(const IncidentName& name) {
  const std::int64_t milliseconds = std::max<std::int64_t>(name.realtime_ns, 0) / kMillisecond;
  const std::time_t seconds = milliseconds / 1000;
  struct tm parts {};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 64> time{};
  std::snprintf(time.data(), time.size(), "%04d%02d%02dT%02d%02d%02d.%03dZ-", parts.tm_year + 1900,
                parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                static_cast<int>(milliseconds % 1000));
  std::string out(time.data());
  out += name.reason;
  if (name.number > 1) {
    out += "-" + std::to_string(name.number);
  }
  return out.append(kSuffix);
}

std::string partial_name(const IncidentName& name) {
  return "." + file_name(name).append(kPartialSuffix);
}

std::optional<IncidentName> parse_file_name(std::string_view name) {
  std::string_view text = name;
  const bool is_partial = text.starts_with('.') && text.ends_with(kPartialSuffix);
  if (is_partial) {
    text.remove_prefix(1);
    text.remove_suffix(kPartialSuffix.size());
  }
  if (text.size() <= kTimeForm.size() + kSuffix.size() || !text.ends_with(kSuffix)) {
    return std::nullopt;
  }
  const auto time = parse_time(text);
  if (!time) {
    return std::nullopt;
  }
  text.remove_prefix(kTimeForm.size());
  text.remove_suffix(kSuffix.size());
  IncidentName out{*time, std::string(text), 1};
  if (const std::size_t dash = number_dash(text); dash != std::string_view::npos) {
    const auto parsed = number(text.substr(dash + 1));
    if (!parsed || *parsed < 2) {
      return std::nullopt;
    }
    out.number = static_cast<unsigned>(*parsed);
    out.reason.resize(dash);
  }
  // Whatever the above let through: a name of ours is one that we would write.
  if (out.reason != incident_reason(out.reason) ||
      name != (is_partial ? partial_name(out) : file_name(out))) {
    return std::nullopt;
  }
  return out;
}

Result<std::vector<IncidentFile>> list_incidents(const std::string& directory) {
  const Descriptor fd(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd.is_open()) {
    return system_error(errno, directory);
  }
  return list_directory(fd.get(), directory);
}

IncidentSurplus count_surplus(const std::vector<IncidentFile>& files,
                              const IncidentOptions& options, std::int64_t now_realtime_ns,
                              const std::optional<OwnIncident>& own) {
  std::size_t left = files.size() + (own ? 1 : 0);
  std::uint64_t bytes = own ? own->bytes : 0;
  for (const IncidentFile& file : files) {
    bytes += file.bytes;
  }
  IncidentSurplus out;
  std::vector<bool> goes(files.size());
  const auto take = [&](std::size_t i) {
    goes[i] = true;
    out.files.push_back(i);
    --left;
    bytes -= files[i].bytes;
  };
  const std::int64_t oldest_ns = now_realtime_ns - options.max_age_ns;
  for (std::size_t i = 0; options.max_age_ns > 0 && i < files.size(); ++i) {
    if (out.files.size() < (files.size() + 1) / 2 && files[i].realtime_ns < oldest_ns &&
        files[i].mtime_ns < oldest_ns) {
      take(i);
    }
  }
  const auto is_over = [&] {
    return (options.max_files > 0 && left > options.max_files) ||
           (options.max_bytes > 0 && bytes > options.max_bytes);
  };
  const std::size_t by_age = out.files.size();
  const bool spares_others = own && own->is_cheap;
  for (const bool cheap : {true, false}) {
    for (std::size_t i = 0; i < files.size() && is_over() && (cheap || !spares_others); ++i) {
      if (!goes[i] && has_cheap_mark(files[i].reason) == cheap) {
        take(i);
      }
    }
  }
  out.fits = !is_over();
  if (spares_others && !out.fits) {
    out.files.resize(by_age);
  }
  std::sort(out.files.begin(), out.files.end());
  return out;
}

namespace {

// With the one above it: on a host without our package's unit /var/lib has nothing of ours.
bool make_directory(const std::string& path) {
  const auto make = [](const std::string& name) {
    return ::mkdir(name.c_str(), 0750) == 0 || errno == EEXIST;
  };
  if (make(path)) {
    return true;
  }
  const std::size_t slash = path.rfind('/');
  return errno == ENOENT && slash != std::string::npos && slash != 0 &&
         make(path.substr(0, slash)) && make(path);
}

}  // namespace

Result<IncidentDirectory> IncidentDirectory::open(const std::string& path) {
  std::string at = path;
  strip_slashes(at);
  for (int links = 0; links <= kMaxLinks; ++links) {
    int fd = ::open(at.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && links == 0) {
      if (!make_directory(at)) {
        return system_error(errno, at);
      }
      fd = ::open(at.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC);
    }
    const Descriptor found(fd);
    struct stat info {};
    if (!found.is_open() || ::fstat(found.get(), &info) != 0) {
      return system_error(errno, at);
    }
    if (S_ISLNK(info.st_mode)) {
      if (!is_ours(info)) {
        return tl::make_unexpected(
            Error{ErrorKind::kDenied, EACCES,
                  at + ": a symbolic link of another user, who could point it anywhere"});
      }
      auto target = read_link(found.get(), at);
      if (!target) {
        return tl::make_unexpected(std::move(target.error()));
      }
      at = std::move(*target);
      strip_slashes(at);
      continue;
    }
    // What was looked at is what is used; O_PATH alone can neither be read nor synced.
    Descriptor usable(::openat(found.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!usable.is_open()) {
      return system_error(errno, at);
    }
    return IncidentDirectory(std::move(usable), at, (info.st_mode & (S_IWGRP | S_IWOTH)) != 0);
  }
  return system_error(ELOOP, path);
}

Result<std::vector<IncidentFile>> IncidentDirectory::list() const {
  return list_directory(fd_.get(), path_);
}

Result<IncidentDirectory::Retention> IncidentDirectory::remove_surplus(
    const IncidentOptions& options, std::int64_t now_realtime_ns,
    const std::optional<Own>& own) const {
  auto files = list();
  if (!files) {
    return tl::make_unexpected(std::move(files.error()));
  }
  std::erase_if(*files, [&own](const IncidentFile& file) { return own && file.name == own->name; });
  const IncidentSurplus surplus = count_surplus(*files, options, now_realtime_ns, own);
  Retention out;
  out.fits = surplus.fits;
  for (std::size_t i = 0; i < files->size(); ++i) {
    const IncidentFile& file = (*files)[i];
    // One that does not go must not take others with it, so it is not made up for.
    const bool goes = std::binary_search(surplus.files.begin(), surplus.files.end(), i);
    if (goes && !(file.is_torn && is_locked(fd_.get(), file.name))) {
      if (::unlinkat(fd_.get(), file.name.c_str(), 0) == 0) {
        out.removed.push_back(file.name);
        continue;
      }
      if (errno == ENOENT) {
        continue;
      }
      out.failed.push_back(system_error(errno, path_ + "/" + file.name).value());
    }
    ++out.files;
    out.bytes += file.bytes;
  }
  return out;
}

}  // namespace tidegauge::recording
