// SPDX-License-Identifier: Apache-2.0
#pragma once

// The roots that collectors read while a capture is replayed: at each moment they show what was captured then and
// nothing else. Nothing is copied to a disk: the roots hold links to the captured files, which are open meanwhile.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/core/kernel_files.h"
#include "collectors/core/result.h"
#include "daemon/replay/capture.h"

namespace tidegauge {

// Not thread-safe. Its temporary directory (in $TMPDIR, else /tmp) goes away with it.
class CaptureRoot {
 public:
  static Result<std::unique_ptr<CaptureRoot>> make();
  ~CaptureRoot();
  CaptureRoot(const CaptureRoot&) = delete;
  CaptureRoot& operator=(const CaptureRoot&) = delete;

  // The same paths at every moment, so that collectors keep their state.
  [[nodiscard]] KernelRoots roots(KernelRoots base) const;
  // What cannot be shown is absent and told of.
  void show(const Capture& capture, const CapturedMoment& moment, const ImportTell& tell);
  // Whether there is "proc/stat" or "sys/devices/system/node" at this moment.
  [[nodiscard]] bool has(std::string_view path) const;
  // A collector's complaint in terms of the captured file and its lines.
  [[nodiscard]] std::string explain(const Error& error) const;

 private:
  struct Shown {
    std::size_t kernel_file = 0;
    std::string source;      // as the operator names it
    std::uint64_t line = 0;  // with which the text begins there; 0 of a whole file
  };

  explicit CaptureRoot(std::string path) : path_(std::move(path)) {}
  void clear();
  void show_text(const Capture& capture, const CapturedText& text, const ImportTell& tell);
  void show_root(const Capture& capture, const std::string& root, const ImportTell& tell);
  void show_tree(const Capture& capture, const std::string& source, const char* name,
                 const ImportTell& tell);
  Result<void> link(OwnedFd fd, const std::string& name);

  std::string path_;
  std::string capture_root_;   // of this moment, as the operator names it; "" when there is none
  std::vector<OwnedFd> open_;  // what the links lead to
  std::vector<std::string> links_;  // below path_
  std::vector<Shown> shown_;
};

}  // namespace tidegauge
