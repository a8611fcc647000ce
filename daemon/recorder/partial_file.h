// SPDX-License-Identifier: Apache-2.0
#pragma once

// An incident file while it is being written: under a name of its own, locked, and only given the real name once it
// is complete and on the disk. Not thread-safe; everything may block as long as the disk does.

#include <cstdint>
#include <string>
#include <string_view>

#include "collectors/core/result.h"
#include "daemon/recorder/incident_directory.h"

namespace tidegauge::recording {

class PartialFile {
 public:
  // Takes the name's next number where a file of that name is there. `directory` must outlive it.
  static Result<PartialFile> create(const IncidentDirectory& directory, IncidentName name);

  [[nodiscard]] const IncidentName& name() const { return name_; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  // As it is in the directory now.
  [[nodiscard]] std::string current_name() const;

  // Takes from `bytes` what could be written, also when the rest could not.
  Result<void> append(std::string_view& bytes);
  // So that what was written outlives the host's crash.
  Result<void> sync();
  // To the disk, and to its real name; an existing file is never replaced: the number rises instead.
  Result<void> publish();
  // So that the name outlives the host's crash, too.
  [[nodiscard]] Result<void> sync_directory() const;
  // Deletes it, unless published.
  void discard();

 private:
  PartialFile(const IncidentDirectory& directory, Descriptor fd, IncidentName name)
      : directory_(&directory), fd_(std::move(fd)), name_(std::move(name)) {}
  [[nodiscard]] tl::unexpected<Error> failed(int error) const;
  [[nodiscard]] int rename_once() const;

  const IncidentDirectory* directory_;
  Descriptor fd_;
  IncidentName name_;
  std::string partial_ = partial_name(name_);
  std::uint64_t bytes_ = 0;
  std::uint64_t written_back_ = 0;  // bytes that the kernel was asked to write
  bool is_published_ = false;
};

}  // namespace tidegauge::recording
