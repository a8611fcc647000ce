// SPDX-License-Identifier: Apache-2.0
#pragma once

// A file that is there whole or not at all: written under another name beside it, then renamed.

#include <string>
#include <string_view>

#include "collectors/core/result.h"

namespace tidegauge {

class NewFile {
 public:
  // An existing file is replaced only when `may_replace`, and only a regular one.
  static Result<NewFile> create(const std::string& path, bool may_replace);
  // What was not committed goes away.
  ~NewFile();
  NewFile(NewFile&& other) noexcept;
  NewFile& operator=(NewFile&&) = delete;
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  Result<void> write(std::string_view bytes);
  // On the disk and under its name, with mode 0640.
  Result<void> commit();

 private:
  NewFile(std::string path, bool may_replace) : path_(std::move(path)), may_replace_(may_replace) {}

  std::string path_;
  std::string temporary_;
  int fd_ = -1;
  bool may_replace_;
};

// Why `path` cannot be made, before any work is done for it.
Result<void> check_new_file(const std::string& path, bool may_replace);

}  // namespace tidegauge
