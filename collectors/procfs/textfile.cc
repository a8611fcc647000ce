// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/textfile.h"

#include <fnmatch.h>
#include <unistd.h>

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/core/text.h"
#include "collectors/procfs/regular_file.h"
#include "collectors/procfs/textfile_tables.h"

namespace tidegauge {

namespace {

constexpr std::string_view kMtime = "node_textfile_mtime_seconds";
constexpr std::string_view kMtimeHelp = "When the text file was last modified, since the epoch.";
constexpr std::string_view kError = "node_textfile_scrape_error";
constexpr std::string_view kErrorHelp =
    "Whether a directory or file could not be read or held a mistake.";

// A file beyond these is a mistake of its writer; together they bound the daemon's memory.
constexpr std::size_t kMaxFileBytes = 8U * 1024 * 1024;
constexpr std::size_t kMaxSamplesPerFile = 50'000;
constexpr std::size_t kMaxTotalBytes = 32U * 1024 * 1024;
constexpr std::size_t kMaxFiles = 1'000;
constexpr std::size_t kMaxDirectories = 1'000;

constexpr OptionSpec kOptions[] = {
    {"directory", "directory", OptionType::kStringList, "",
     "Directories whose *.prom files are shown; each may be a glob pattern."},
};

bool has_wildcard(std::string_view text) {
  return text.find_first_of("*?[\\") != std::string_view::npos;
}

// Directories that match `pattern`; the pattern itself when none does, so that its absence shows.
std::vector<std::string> expand(const std::string& pattern) {
  if (!has_wildcard(pattern)) {
    return {pattern};
  }
  std::vector<std::string> found{pattern.starts_with('/') ? "/" : ""};
  std::string_view rest = pattern;
  while (!rest.empty()) {
    const std::string component(rest.substr(0, rest.find('/')));
    rest.remove_prefix(std::min(component.size() + 1, rest.size()));
    if (component.empty()) {
      continue;
    }
    std::vector<std::string> next;
    for (const std::string& base : found) {
      const std::string prefix = base.empty() || base.ends_with('/') ? base : base + "/";
      if (!has_wildcard(component)) {
        if (::access((prefix + component).c_str(), F_OK) == 0) {
          next.push_back(prefix + component);
        }
        continue;
      }
      const auto names = list_directory(base.empty() ? "." : base);
      for (const std::string& name : names.value_or(std::vector<std::string>{})) {
        if (::fnmatch(component.c_str(), name.c_str(), 0) == 0 && next.size() < kMaxDirectories) {
          next.push_back(prefix + name);
        }
      }
    }
    found = std::move(next);
  }
  return found.empty() ? std::vector<std::string>{pattern} : found;
}

// A *.prom file as one look at the directories found it, and what the tables in hand are made of.
struct Source {
  std::string path;
  std::optional<FileIdentity> identity;  // none when it is no regular file or out of reach
  friend bool operator==(const Source&, const Source&) = default;
};

struct Listing {
  std::vector<Source> sources;
  bool failed = false;
};

void list_into(const std::string& directory, Listing& listing) {
  const auto names = list_directory(directory);
  if (!names) {
    listing.failed = true;
    return;
  }
  for (const std::string& name : *names) {
    if (!name.ends_with(".prom")) {
      continue;
    }
    if (listing.sources.size() == kMaxFiles) {
      listing.failed = true;
      return;
    }
    Source& source = listing.sources.emplace_back();
    source.path = (std::filesystem::path(directory) / name).lexically_normal().string();
    if (const auto file = RegularFile::find("/", source.path)) {
      source.identity = file->identity();
    }
  }
}

class TextfileCollector final : public Collector {
 public:
  explicit TextfileCollector(std::vector<std::string> directories)
      : directories_(std::move(directories)) {}

  Result<void> collect(CollectContext& context, Section& out) override {
    Listing listing;
    for (const std::string& pattern : directories_) {
      if (!pattern.empty()) {
        for (const std::string& directory : expand(pattern)) {
          list_into(directory, listing);
        }
      }
    }
    if (!reusable_ || listing.sources != sources_) {
      reusable_ = read(listing.sources, *context.buffer, context.realtime_ns);
      sources_ = std::move(listing.sources);
    }
    out.tables = tables_;
    append_own(listing.failed || failed_, out);
    return {};
  }

 private:
  // False when another look may give another result although nothing seems to have changed.
  bool read(const std::vector<Source>& sources, ReadBuffer& buffer, std::int64_t realtime_ns) {
    bool reliable = true;
    failed_ = false;
    times_.clear();
    std::size_t total_bytes = 0;
    TextfileTables merged;
    for (const Source& source : sources) {
      const auto file = RegularFile::find("/", source.path);
      const auto text = file && total_bytes < kMaxTotalBytes
                            ? file->read(buffer, kMaxFileBytes)
                            : Result<std::string_view>(malformed(source.path, 0, "a small file"));
      if (!text) {
        reliable = false;
        failed_ = true;
        continue;
      }
      reliable =
          reliable && file->identity() == source.identity && file->identity().settled(realtime_ns);
      total_bytes += text->size();
      auto families = parse_prom_text(*text, source.path, kMaxSamplesPerFile);
      if (!families) {
        failed_ = true;
        continue;
      }
      // Our own two families are not the files' to write.
      std::erase_if(*families, [](const PromFamily& family) {
        return family.name == kMtime || family.name == kError;
      });
      failed_ |= !merged.add(source.path, std::move(*families));
      times_.push_back({source.path, file->identity().mtime_ns / 1'000'000'000});
    }
    buffer.shrink();
    adopt(merged.build());
    return reliable;
  }

  // Keeps the Shapes of before where only numbers changed.
  void adopt(std::vector<Table> tables) {
    for (std::size_t i = 0; i < tables.size() && i < tables_.size(); ++i) {
      const Shape& now = *tables[i].shape;
      const Shape& before = *tables_[i].shape;
      if (now.label_names == before.label_names && now.columns == before.columns &&
          now.rows == before.rows) {
        tables[i].shape = tables_[i].shape;
      }
    }
    tables_ = std::move(tables);
  }

  void append_own(bool failed, Section& out) {
    mtime_.begin();
    for (const FileTime& time : times_) {
      mtime_.add({time.path}, std::bit_cast<std::uint64_t>(time.mtime_s));
    }
    out.tables.push_back(mtime_.take());
    error_.begin();
    error_.add({}, failed ? 1 : 0);
    out.tables.push_back(error_.take());
  }

  struct FileTime {
    std::string path;
    std::int64_t mtime_s = 0;
  };

  std::vector<std::string> directories_;
  std::vector<Source> sources_;  // of tables_
  bool reusable_ = false;        // tables_ are still true if nothing but the time has changed
  bool failed_ = false;
  std::vector<Table> tables_;
  std::vector<FileTime> times_;
  ValueTable mtime_{std::string(kMtime), std::string(kMtimeHelp), MetricKind::kGauge, {"file"}, {},
                    NumberType::kSigned};
  ValueTable error_{std::string(kError), std::string(kErrorHelp), MetricKind::kGauge, {}};
};

}  // namespace

const CollectorInfo kTextfileCollector{
    .name = "textfile",
    .help = "Metrics from *.prom files of other programs.",
    .lane = Lane::kWorker,
    .options = kOptions,
    .make = [](const KernelFiles&, const Options& options) -> Result<std::unique_ptr<Collector>> {
      return std::make_unique<TextfileCollector>(options.list("directory"));
    },
    .metrics =
        [] {
          return std::vector<MetricDoc>{
              {"<any>", MetricKind::kUntyped, {}, "Whatever the text files hold."},
              {std::string(kMtime), MetricKind::kGauge, {"file"}, std::string(kMtimeHelp)},
              {std::string(kError), MetricKind::kGauge, {}, std::string(kErrorHelp)},
          };
        },
};

}  // namespace tidegauge
