// SPDX-License-Identifier: Apache-2.0
#pragma once

// The directory of incident files: their names, what is in it, and what has to leave it. Everything here may
// block as long as the disk does.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "collectors/core/result.h"

namespace tidegauge::recording {

// A file descriptor, closed with its owner.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor();
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool is_open() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

struct IncidentOptions {
  std::string directory{};
  std::uint64_t bytes_per_second = std::uint64_t{4} << 20U;  // 0: no limit
  // Of all incident files together, torn ones and the one being written included; 0: no limit.
  std::size_t max_files = 20;
  std::uint64_t max_bytes = std::uint64_t{256} << 20U;
  std::int64_t max_age_ns = std::int64_t{30} * 86'400 * 1'000'000'000;
};

// What the name of a file says.
struct IncidentName {
  std::int64_t realtime_ns = 0;  // whole milliseconds, CLOCK_REALTIME
  std::string reason;            // as incident_reason() makes them
  unsigned number = 1;           // among those of the same time and reason
};

// At most 32 bytes of [a-z0-9-], never empty. Does not end in a dash and digits: that is how numbers look.
std::string incident_reason(std::string_view text);
// The same with the mark "http-" in front, which files have that anybody may ask for; of others none begins with it.
std::string marked_reason(std::string_view text, bool is_cheap);
bool has_cheap_mark(std::string_view reason);
// "20261126T013232.123Z-sigusr2.tgrec", with "-2" behind the reason for the second.
std::string file_name(const IncidentName& name);
// ".NAME.partial": the name until the file is complete.
std::string partial_name(const IncidentName& name);
// Of either form; none for names that are not exactly as these functions write them.
std::optional<IncidentName> parse_file_name(std::string_view name);

struct IncidentFile {
  std::string name;  // in the directory
  std::uint64_t bytes = 0;
  std::int64_t realtime_ns = 0;  // of the name
  std::string reason;
  bool is_torn = false;  // never completed, or not yet
  std::int64_t mtime_ns = 0;
};

inline constexpr std::size_t kMaxIncidentFiles = 10'000;

// Regular files with names of our own form, oldest first; of more than kMaxIncidentFiles, as many as the directory
// names first. Follows links to the directory, none in it.
Result<std::vector<IncidentFile>> list_incidents(const std::string& directory);

// The file that is written, or about to be.
struct OwnIncident {
  std::string name;  // in the directory; empty while it is not there
  std::uint64_t bytes = 0;
  bool is_cheap = false;
};

struct IncidentSurplus {
  std::vector<std::size_t> files;  // indices, ascending
  bool fits = true;                // there will be room for `own`
};
// Which of `files` (oldest first, without `own`) have to go, so that the rest and `own` keep within the options.
// Pure.
//
// By age: those of which both the name's time and the mtime are too old, half of all (rounded up) at most, since
// a clock that was set far ahead makes all of them old. Then, by number and bytes, the oldest cheap ones, and only
// then others. For a cheap `own` no others go; where room cannot be made without them, none goes for it, and it
// does not fit.
IncidentSurplus count_surplus(const std::vector<IncidentFile>& files,
                              const IncidentOptions& options, std::int64_t now_realtime_ns,
                              const std::optional<OwnIncident>& own);

// A directory to write to, held by its descriptor: whoever renames it or puts another in its place does not make
// us write elsewhere. Not thread-safe.
class IncidentDirectory {
 public:
  // Makes it (mode 0750 less the umask) where no more than the last two parts of the path are missing. A link in its place is
  // followed when root or we own it: any other owner could point it, at any time, to where files should neither
  // appear nor be deleted with our rights.
  static Result<IncidentDirectory> open(const std::string& path);

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] const std::string& path() const { return path_; }
  // Its group or everybody can put files there and take ours away.
  [[nodiscard]] bool is_writable_by_others() const { return is_writable_by_others_; }
  [[nodiscard]] Result<std::vector<IncidentFile>> list() const;

  struct Retention {
    std::uint64_t files = 0;  // left, without our own
    std::uint64_t bytes = 0;  // theirs
    std::vector<std::string> removed;
    std::vector<Error> failed;  // files that should have gone
    bool fits = true;           // as count_surplus() says
  };
  using Own = OwnIncident;
  // Deletes files until the options hold, as count_surplus() says. Leaves alone `own`, which counts
  // (none: nothing does), and what another writer has locked.
  [[nodiscard]] Result<Retention> remove_surplus(const IncidentOptions& options,
                                                 std::int64_t now_realtime_ns,
                                                 const std::optional<Own>& own) const;

 private:
  IncidentDirectory(Descriptor fd, std::string path, bool is_writable_by_others)
      : fd_(std::move(fd)), path_(std::move(path)), is_writable_by_others_(is_writable_by_others) {}

  Descriptor fd_;
  std::string path_;
  bool is_writable_by_others_ = false;
};

}  // namespace tidegauge::recording
