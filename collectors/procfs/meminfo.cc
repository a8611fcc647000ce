// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/meminfo.h"

#include "collectors/core/text.h"

namespace tidegauge {

namespace {

constexpr std::string_view kSizeHelp =
    "Memory in bytes, from the line of this name in /proc/meminfo.";
constexpr std::string_view kCountHelp = "Count from the line of this name in /proc/meminfo.";

std::optional<ColumnInfo> name_column(std::string_view key) {
  ColumnInfo info;
  info.family = "node_memory_" + meminfo_metric_name(key);
  if (key.ends_with(':')) {
    info.help = kCountHelp;
  } else {
    info.family += "_bytes";
    info.help = kSizeHelp;
  }
  return info;
}

class MeminfoCollector final : public Collector {
 public:
  explicit MeminfoCollector(const KernelFiles& files) : file_(files.proc_file("meminfo")) {}

  Result<void> collect(CollectContext& context, Section& out) override {
    const auto text = file_.read_lines(*context.buffer);
    if (!text) {
      return tl::make_unexpected(text.error());
    }
    if (auto parsed = parse_meminfo(*text, fields_); !parsed) {
      return parsed;
    }
    table_.begin();
    for (const MeminfoField& field : fields_) {
      // Multiplied here, modulo 2^64: Committed_AS can underflow in the kernel, and node_exporter
      // shows such a number wrapped the same way.
      table_.add(meminfo_key(field), field.kibibytes ? field.value * 1024 : field.value);
    }
    out.tables.push_back(table_.take());
    return {};
  }

 private:
  KernelFile file_;
  std::vector<MeminfoField> fields_;
  NamedTable table_{{}, name_column};
};

}  // namespace

std::optional<MeminfoField> parse_meminfo_line(std::string_view line) {
  const auto colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0) {
    return std::nullopt;
  }
  MeminfoField field;
  field.name = line.substr(0, colon);
  line.remove_prefix(colon + 1);
  const auto value = next_unsigned(line);
  const std::string_view unit = next_field(line);
  if (!value || field.name.find_first_of(" \t") != std::string_view::npos ||
      (!unit.empty() && unit != "kB") || !next_field(line).empty()) {
    return std::nullopt;
  }
  field.value = *value;
  field.kibibytes = !unit.empty();
  return field;
}

// MemTotal:        8010212 kB
// MemFree:         5178840 kB
// Active(anon):     402196 kB
// HugePages_Total:       0
// Hugepagesize:       2048 kB
Result<void> parse_meminfo(std::string_view text, std::vector<MeminfoField>& out) {
  constexpr std::string_view kWanted = "\"Name: number\", with or without kB";
  out.clear();
  LineReader lines(text);
  for (std::string_view line; lines.next(line);) {
    const auto field = parse_meminfo_line(line);
    if (!field) {
      return malformed("meminfo", lines.number(), kWanted);
    }
    // A size that was cut off before its unit must not pass for a count.
    const bool cut = lines.rest().empty() && !text.ends_with('\n') && !field->kibibytes &&
                     !field->name.starts_with("HugePages_");
    if (cut) {
      return malformed("meminfo", lines.number(), "kB at the end of the file");
    }
    out.push_back(*field);
  }
  if (out.empty()) {
    return malformed("meminfo", 0, kWanted);
  }
  return {};
}

std::string_view meminfo_key(const MeminfoField& field) {
  return field.kibibytes ? field.name : std::string_view(field.name.data(), field.name.size() + 1);
}

std::string meminfo_metric_name(std::string_view key) {
  if (key.ends_with(':')) {
    key.remove_suffix(1);
  }
  std::string name(key);
  const auto open = name.find('(');
  const auto close = name.rfind(')');
  if (open != std::string::npos && close != std::string::npos && open < close) {
    name.erase(close, 1);
    name[open] = '_';
  }
  return sanitize_metric_name(name);
}

const CollectorInfo kMeminfoCollector{
    .name = "meminfo",
    .help = "Memory of the host, every line of /proc/meminfo.",
    .interval_ms = 1000,
    .make = [](const KernelFiles& files, const Options&) -> Result<std::unique_ptr<Collector>> {
      return std::make_unique<MeminfoCollector>(files);
    },
    .metrics =
        [] {
          return std::vector<MetricDoc>{
              {"node_memory_<Field>_bytes", MetricKind::kGauge, {}, std::string(kSizeHelp)},
              {"node_memory_HugePages_<Field>", MetricKind::kGauge, {}, std::string(kCountHelp)}};
        },
};

}  // namespace tidegauge
