// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/filefd.h"

#include "collectors/core/text.h"

namespace tidegauge {

namespace {

constexpr Column<FileDescriptors> kColumns[] = {
    {"node_filefd_allocated", "Open file handles of the whole system.", MetricKind::kGauge, kUnit,
     &FileDescriptors::allocated},
    {"node_filefd_maximum", "File handles the kernel is willing to allocate.", MetricKind::kGauge,
     kUnit, &FileDescriptors::maximum},
};

class FilefdCollector final : public Collector {
 public:
  explicit FilefdCollector(const KernelFiles& files) : file_(files.proc_file("sys/fs/file-nr")) {}

  Result<void> collect(CollectContext& context, Section& out) override {
    const auto text = file_.read_lines(*context.buffer);
    if (!text) {
      return tl::make_unexpected(text.error());
    }
    const auto descriptors = parse_file_nr(*text);
    if (!descriptors) {
      return tl::make_unexpected(descriptors.error());
    }
    table_.begin();
    table_.add({}, *descriptors);
    out.tables.push_back(table_.take());
    return {};
  }

 private:
  KernelFile file_;
  StructTable<FileDescriptors> table_{kColumns};
};

}  // namespace

// 1024	0	163329
Result<FileDescriptors> parse_file_nr(std::string_view text) {
  std::string_view line;
  LineReader(text).next(line);
  const auto allocated = next_unsigned(line);
  const auto free = next_unsigned(line);
  const auto maximum = next_unsigned(line);
  if (!allocated || !free || !maximum) {
    return malformed("sys/fs/file-nr", 1, "allocated, free and maximum file handles");
  }
  return FileDescriptors{*allocated, *maximum};
}

const CollectorInfo kFilefdCollector{
    .name = "filefd",
    .help = "File handles of the whole system (/proc/sys/fs/file-nr).",
    .make = [](const KernelFiles& files, const Options&) -> Result<std::unique_ptr<Collector>> {
      return std::make_unique<FilefdCollector>(files);
    },
    .metrics =
        [] {
          std::vector<MetricDoc> docs;
          document<FileDescriptors>(docs, kColumns, {});
          return docs;
        },
};

}  // namespace tidegauge
