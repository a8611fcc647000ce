// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/files.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string>
#include <vector>

#include "collectors/core/sha256.h"
#include "collectors/procfs/regular_file.h"

namespace tidegauge {

namespace {

struct FileFacts {
  std::optional<std::uint64_t> exists;  // absent when that cannot be known
  std::uint64_t readable = 0;
  std::optional<std::uint64_t> size_bytes;
  std::optional<std::int64_t> mtime_ns;
};

constexpr Column<FileFacts> kColumns[] = {
    {"tidegauge_file_exists", "Whether the configured path leads to anything.", MetricKind::kGauge,
     kUnit, &FileFacts::exists},
    {"tidegauge_file_readable", "Whether the configured path is a regular file we can open.",
     MetricKind::kGauge, kUnit, &FileFacts::readable},
    {"tidegauge_file_size_bytes", "Size of the configured file.", MetricKind::kGauge, kUnit,
     &FileFacts::size_bytes},
    {"tidegauge_file_mtime_timestamp_seconds",
     "When the configured file was last modified, since the epoch.", MetricKind::kGauge,
     kNanoseconds, &FileFacts::mtime_ns},
};

constexpr std::string_view kInfoFamily = "tidegauge_file_info";
constexpr std::string_view kInfoHelp = "SHA-256 of the configured file's content; always 1.";
const std::vector<std::string>& info_labels() {
  static const std::vector<std::string> kLabels{"path", "sha256"};
  return kLabels;
}

constexpr std::size_t kMaxPaths = 256;
constexpr std::size_t kHashChunkBytes = 64U * 1024;

constexpr OptionSpec kOptions[] = {
    {"paths", "path", OptionType::kStringList, "/etc/hosts\n/etc/resolv.conf\n/etc/os-release",
     "Files to watch, by their absolute path on the host."},
    {"max_bytes", "max-bytes", OptionType::kInteger, "16777216",
     "Files larger than this are not hashed; 0 hashes none.", 0, 1'073'741'824},
};

class FilesCollector final : public Collector {
 public:
  FilesCollector(const KernelFiles& files, const std::vector<std::string>& paths,
                 std::uint64_t max_bytes)
      : root_(files.roots().rootfs), max_bytes_(max_bytes) {
    for (const std::string& path : paths) {
      const bool known = std::any_of(watched_.begin(), watched_.end(),
                                     [&](const Watched& other) { return other.path == path; });
      if (!known) {
        watched_.push_back({path, {}, {}});
      }
    }
  }

  Result<void> collect(CollectContext& context, Section& out) override {
    facts_.begin();
    info_.begin();
    for (Watched& file : watched_) {
      facts_.add({file.path}, look_at(file, context));
      if (!file.sha256.empty()) {
        info_.add({file.path, file.sha256}, 1);
      }
    }
    out.tables.push_back(facts_.take());
    out.tables.push_back(info_.take());
    return {};
  }

 private:
  struct Watched {
    std::string path;
    std::string sha256;                  // "" when there is none to show
    std::optional<FileIdentity> hashed;  // what sha256 is of, when it can be relied on
  };

  FileFacts look_at(Watched& file, CollectContext& context) const {
    FileFacts facts;
    const auto found = RegularFile::find(root_, file.path);
    if (!found) {
      forget(file);
      if (found.error().kind == ErrorKind::kMissing) {
        facts.exists = 0;
      } else if (found.error().kind == ErrorKind::kUnsupported) {
        facts.exists = 1;
      }
      return facts;
    }
    const FileIdentity& identity = found->identity();
    facts.exists = 1;
    facts.size_bytes = identity.size_bytes;
    facts.mtime_ns = identity.mtime_ns;
    const auto fd = found->open();
    if (!fd) {
      forget(file);
      return facts;
    }
    facts.readable = 1;
    if (file.hashed != identity) {
      hash(file, identity, *fd, context);
    }
    ::close(*fd);
    return facts;
  }

  static void forget(Watched& file) {
    file.sha256.clear();
    file.hashed.reset();
  }

  void hash(Watched& file, const FileIdentity& identity, int fd, CollectContext& context) const {
    forget(file);
    if (identity.size_bytes > max_bytes_ || max_bytes_ == 0) {
      return;
    }
    char* const chunk = context.buffer->reserve(kHashChunkBytes);
    Sha256 sha256;
    std::uint64_t size = 0;
    while (true) {
      const ssize_t got = ::read(fd, chunk, kHashChunkBytes);
      if (got == 0) {
        break;
      }
      if (got < 0 && errno == EINTR) {
        continue;
      }
      size += got > 0 ? static_cast<std::uint64_t>(got) : 0;
      if (got < 0 || size > max_bytes_) {
        return;
      }
      sha256.add({chunk, static_cast<std::size_t>(got)});
    }
    file.sha256 = sha256.finish();
    if (size == identity.size_bytes && identity.settled(context.realtime_ns)) {
      file.hashed = identity;
    }
  }

  std::string root_;
  std::uint64_t max_bytes_;
  std::vector<Watched> watched_;
  StructTable<FileFacts> facts_{kColumns, {"path"}};
  ValueTable info_{std::string(kInfoFamily), std::string(kInfoHelp), MetricKind::kGauge,
                   info_labels()};
};

Result<std::unique_ptr<Collector>> make_files(const KernelFiles& files, const Options& options) {
  const std::vector<std::string>& paths = options.list("paths");
  if (paths.size() > kMaxPaths) {
    return invalid_option("paths",
                          "expected at most 256 paths, got " + std::to_string(paths.size()));
  }
  for (std::size_t i = 0; i < paths.size(); ++i) {
    if (!paths[i].starts_with('/') || paths[i].find('\0') != std::string::npos) {
      return invalid_option("paths[" + std::to_string(i) + "]",
                            "expected an absolute path, got \"" + paths[i] + "\"");
    }
  }
  return std::make_unique<FilesCollector>(files, paths,
                                          static_cast<std::uint64_t>(options.integer("max_bytes")));
}

}  // namespace

const CollectorInfo kFilesCollector{
    .name = "files",
    .help = "Size, modification time and hash of configured files.",
    .lane = Lane::kWorker,
    .refresh = false,
    .options = kOptions,
    .make = make_files,
    .metrics =
        [] {
          std::vector<MetricDoc> docs;
          document<FileFacts>(docs, kColumns, {"path"});
          docs.push_back({std::string(kInfoFamily), MetricKind::kGauge, info_labels(),
                          std::string(kInfoHelp)});
          return docs;
        },
};

}  // namespace tidegauge
