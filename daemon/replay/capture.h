// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a directory of old captures holds, by moment: which kernel files were copied when. docs/importing.md says which
// names and layouts are understood.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/core/result.h"
#include "daemon/replay/beneath.h"

namespace tidegauge {

// More of one kernel file at one moment is refused.
inline constexpr std::uint64_t kMaxCaptureBytes = std::uint64_t{16} << 20U;
// Of a file that holds many moments.
inline constexpr std::uint64_t kMaxCaptureLogBytes = std::uint64_t{256} << 20U;
inline constexpr std::size_t kMaxMoments = 100'000;

// Who hears of what: one line each, without its newline.
struct ImportTell {
  std::function<void(const std::string&)> complain;  // something was captured and cannot be used
  std::function<void(const std::string&)> note;      // something is no capture
};

// The kernel files that captures may hold, by their path below /proc.
std::span<const std::string_view> captured_files();

// One kernel file at one moment: a whole file or a part of one.
struct CapturedText {
  std::size_t kernel_file = 0;  // of captured_files()
  std::size_t file = 0;         // of Capture::file()
  bool is_whole = true;
  // Of a part:
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  std::uint64_t line = 0;  // the number of its first line
};

struct CapturedMoment {
  std::int64_t realtime_ns = 0;
  std::string
      root;  // a directory with copies of /proc and /sys, below the capture's own; "" when there is none
  std::vector<CapturedText> texts;  // at most one per kernel file
};

class Capture {
 public:
  // Reads the directory and the times in files of many moments. Fails when it cannot be read at all, holds no moment or
  // too many.
  static Result<Capture> open(const std::string& directory, std::int64_t utc_offset_ns,
                              const ImportTell& tell);

  // By rising time, no two of one time.
  [[nodiscard]] const std::vector<CapturedMoment>& moments() const { return moments_; }
  // Below the directory.
  [[nodiscard]] const std::string& file(std::size_t index) const { return files_[index]; }
  // For messages: as the operator names it.
  [[nodiscard]] std::string shown(std::string_view relative) const;
  [[nodiscard]] int directory_fd() const { return fd_.get(); }

 private:
  friend class CaptureReader;
  Capture() = default;

  std::string directory_;
  OwnedFd fd_;
  std::vector<std::string> files_;
  std::vector<CapturedMoment> moments_;
};

}  // namespace tidegauge
