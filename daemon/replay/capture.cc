// SPDX-License-Identifier: Apache-2.0
#include "daemon/replay/capture.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <optional>
#include <utility>

#include "collectors/core/kernel_files.h"
#include "collectors/core/text.h"
#include "daemon/replay/capture_time.h"

namespace tidegauge {

namespace {

constexpr std::string_view kFiles[] = {
    "stat",         "loadavg",     "meminfo",         "vmstat",       "zoneinfo",  "buddyinfo",
    "diskstats",    "slabinfo",    "softirqs",        "interrupts",   "schedstat", "cgroups",
    "pressure/cpu", "pressure/io", "pressure/memory", "pressure/irq", "net/dev",
};

constexpr std::string_view kEndings[] = {".txt", ".log", ".dat"};

// What stands behind the kernel file's name in a capture's name, "pressure-io" being pressure/io.
std::optional<std::string_view> behind(std::string_view kernel_file, std::string_view name) {
  if (name.size() < kernel_file.size()) {
    return std::nullopt;
  }
  for (std::size_t i = 0; i < kernel_file.size(); ++i) {
    const bool same =
        kernel_file[i] == '/' ? name[i] == '-' || name[i] == '_' : name[i] == kernel_file[i];
    if (!same) {
      return std::nullopt;
    }
  }
  return name.substr(kernel_file.size());
}

struct FileName {
  std::size_t kernel_file = 0;
  std::optional<std::int64_t> realtime_ns;  // none of a file of many moments
};

// meminfo-20160910T105332.txt, vmstat.1473472412.5, meminfo.log
std::optional<FileName> parse_file_name(std::string_view name, std::int64_t utc_offset_ns) {
  for (std::size_t i = 0; i < std::size(kFiles); ++i) {
    auto rest = behind(kFiles[i], name);
    if (!rest) {
      continue;
    }
    if (rest->empty() || std::ranges::find(kEndings, *rest) != std::end(kEndings)) {
      return FileName{i, std::nullopt};
    }
    if (std::string_view("-_.").find(rest->front()) == std::string_view::npos) {
      continue;
    }
    rest->remove_prefix(1);
    auto time = parse_capture_time(*rest, utc_offset_ns);
    for (const std::string_view ending : kEndings) {
      if (!time && rest->ends_with(ending)) {
        time = parse_capture_time(rest->substr(0, rest->size() - ending.size()), utc_offset_ns);
      }
    }
    if (time) {
      return FileName{i, time};
    }
  }
  return std::nullopt;
}

constexpr std::string_view kMark = "zzz ***";
constexpr std::string_view kPlainMark = "# ";

}  // namespace

// Fills a Capture.
class CaptureReader {
 public:
  CaptureReader(Capture& capture, std::int64_t utc_offset_ns, const ImportTell& tell)
      : capture_(capture), utc_offset_ns_(utc_offset_ns), tell_(tell) {}

  Result<void> read() {
    const auto names = list_directory(capture_.fd_.path());
    if (!names) {
      return system_error(names.error().errno_value, capture_.directory_);
    }
    for (const std::string& name : *names) {
      take(name);
      if (moments_.size() > kMaxMoments) {
        return tl::make_unexpected(
            Error{ErrorKind::kTooLarge, 0,
                  capture_.directory_ + ": more than " + std::to_string(kMaxMoments) + " moments"});
      }
    }
    if (moments_.empty()) {
      return tl::make_unexpected(
          Error{ErrorKind::kMissing, 0,
                capture_.directory_ + ": no kernel files with times in it (docs/importing.md)"});
    }
    for (auto& [time, moment] : moments_) {
      moment.realtime_ns = time;
      capture_.moments_.push_back(std::move(moment));
    }
    return {};
  }

 private:
  void take(const std::string& name) {
    if (const auto file = parse_file_name(name, utc_offset_ns_)) {
      if (file->realtime_ns) {
        take_file(name, *file);
      } else {
        take_log(name, file->kernel_file);
      }
    } else if (const auto time = parse_capture_time(name, utc_offset_ns_);
               time && is_directory(name)) {
      take_root(name, *time);
    } else {
      tell_.note(capture_.shown(name) + ": no capture, passed over");
    }
  }

  bool is_directory(const std::string& name) const {
    const auto fd = open_beneath(capture_.directory_fd(), name);
    struct stat info {};
    return fd && ::fstat(fd->get(), &info) == 0 && S_ISDIR(info.st_mode);
  }

  void take_root(const std::string& name, std::int64_t realtime_ns) {
    CapturedMoment& moment = moments_[realtime_ns];
    if (moment.root.empty()) {
      moment.root = name;
    } else {
      tell_.complain(capture_.shown(name) + ": the time of " + capture_.shown(moment.root));
    }
  }

  void take_file(const std::string& name, const FileName& file) {
    add(*file.realtime_ns, {.kernel_file = file.kernel_file, .file = remember(name)});
  }

  std::size_t remember(const std::string& name) {
    capture_.files_.push_back(name);
    return capture_.files_.size() - 1;
  }

  void add(std::int64_t realtime_ns, const CapturedText& text) {
    std::vector<CapturedText>& texts = moments_[realtime_ns].texts;
    const auto same = std::ranges::find(texts, text.kernel_file, &CapturedText::kernel_file);
    if (same == texts.end()) {
      texts.push_back(text);
      return;
    }
    tell_.complain(place(text.file, text.line) + ": " + std::string(kFiles[text.kernel_file]) +
                   " of this moment is also in " + place(same->file, same->line));
  }

  [[nodiscard]] std::string place(std::size_t file, std::uint64_t line) const {
    return capture_.shown(capture_.files_[file]) +
           (line == 0 ? "" : " line " + std::to_string(line));
  }

  // Only where each moment begins is kept.
  void take_log(const std::string& name, std::size_t kernel_file) {
    const auto fd = open_file_beneath(capture_.directory_fd(), name, kMaxCaptureLogBytes);
    ReadBuffer buffer;
    const auto text = fd ? read_file(fd->path(), buffer, kMaxCaptureLogBytes)
                         : Result<std::string_view>(tl::make_unexpected(fd.error()));
    if (!text) {
      Error error = text.error();
      error.where = fd ? capture_.shown(name) : capture_.shown(error.where);
      tell_.complain(error.message());
      return;
    }
    const std::size_t file = remember(name);
    std::optional<CapturedText> open;
    std::int64_t open_realtime_ns = 0;
    const auto end_block = [&](std::size_t end) {
      if (open) {
        trim_blank_lines(text->substr(open->offset, end - open->offset), *open);
        add(open_realtime_ns, *open);
        open.reset();
      }
    };
    bool has_marks = false;
    LineReader lines(*text);
    for (std::string_view line; lines.next(line);) {
      const bool is_mark = line.starts_with(kMark);
      if (!is_mark && !line.starts_with(kPlainMark)) {
        continue;
      }
      const auto time = parse_capture_time(line.substr(is_mark ? kMark.size() : kPlainMark.size()),
                                           utc_offset_ns_);
      if (!is_mark && !time) {
        continue;  // a comment or a heading of the kernel's
      }
      has_marks = true;
      end_block(static_cast<std::size_t>(line.data() - text->data()));
      if (!time) {
        tell_.complain(place(file, lines.number()) + ": malformed: expected a time behind " +
                       std::string(kMark));
        continue;
      }
      open_realtime_ns = *time;
      open = CapturedText{.kernel_file = kernel_file,
                          .file = file,
                          .is_whole = false,
                          .offset = text->size() - lines.rest().size(),
                          .bytes = 0,
                          .line = lines.number() + 1};
      if (moments_.size() > kMaxMoments) {
        return;
      }
    }
    end_block(text->size());
    if (!has_marks) {
      tell_.complain(capture_.shown(name) + ": malformed: expected lines with times, such as \"" +
                     std::string(kMark) + "20160910T105332\"");
    }
  }

  // Between moments capture programs leave blank lines, which are not the kernel's.
  static void trim_blank_lines(std::string_view block, CapturedText& text) {
    for (; block.starts_with('\n'); block.remove_prefix(1)) {
      ++text.offset;
      ++text.line;
    }
    while (block.ends_with("\n\n")) {
      block.remove_suffix(1);
    }
    text.bytes = block.size();
  }

  Capture& capture_;
  std::int64_t utc_offset_ns_;
  const ImportTell& tell_;
  std::map<std::int64_t, CapturedMoment> moments_;
};

std::span<const std::string_view> captured_files() { return kFiles; }

Result<Capture> Capture::open(const std::string& directory, std::int64_t utc_offset_ns,
                              const ImportTell& tell) {
  Capture capture;
  capture.directory_ = directory;
  while (capture.directory_.size() > 1 && capture.directory_.ends_with('/')) {
    capture.directory_.pop_back();
  }
  const int fd = ::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) {
    return system_error(errno, directory);
  }
  capture.fd_ = OwnedFd(fd);
  if (auto done = CaptureReader(capture, utc_offset_ns, tell).read(); !done) {
    return tl::make_unexpected(done.error());
  }
  return capture;
}

std::string Capture::shown(std::string_view relative) const {
  return directory_ + (directory_.ends_with('/') ? "" : "/") + std::string(relative);
}

}  // namespace tidegauge
