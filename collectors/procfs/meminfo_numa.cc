// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/meminfo_numa.h"

#include <algorithm>

#include "collectors/core/text.h"

namespace tidegauge {

namespace {

constexpr std::string_view kMemoryHelp =
    "Memory of a NUMA node in bytes (HugePages: pages), from the line of this name in its meminfo.";
constexpr std::string_view kStatHelp =
    "Page allocations of a NUMA node, from the line of this name in its numastat.";

std::optional<ColumnInfo> name_memory_column(std::string_view key) {
  ColumnInfo info;
  info.family = "node_memory_numa_" + meminfo_metric_name(key);
  info.help = kMemoryHelp;
  info.scale = key.ends_with(':') ? kUnit : kKibibytes;
  return info;
}

std::optional<ColumnInfo> name_stat_column(std::string_view name) {
  ColumnInfo info;
  info.family = "node_memory_numa_" + sanitize_metric_name(name) + "_total";
  info.help = kStatHelp;
  info.kind = MetricKind::kCounter;
  return info;
}

struct NumaNode {
  std::string number;  // "0", as in the directory's name
  KernelFile meminfo;
  KernelFile numastat;
};

class MeminfoNumaCollector final : public Collector {
 public:
  explicit MeminfoNumaCollector(const KernelFiles& files)
      : directory_(files.sys("devices/system/node")) {}

  Result<void> collect(CollectContext& context, Section& out) override {
    if (auto found = find_nodes(); !found) {
      return found;
    }
    memory_.begin();
    stat_.begin();
    for (NumaNode& node : nodes_) {
      if (auto read = collect_node(node, context); !read) {
        return read;
      }
    }
    out.tables.push_back(memory_.take());
    out.tables.push_back(stat_.take());
    return {};
  }

 private:
  Result<void> find_nodes() {
    auto listed = list_directory(directory_);
    // Kernels without CONFIG_NUMA have no such directory: nothing to show, nothing wrong.
    if (!listed && listed.error().kind != ErrorKind::kMissing) {
      return tl::make_unexpected(listed.error());
    }
    std::vector<std::string> names = listed ? std::move(*listed) : std::vector<std::string>{};
    std::erase_if(names, [](const std::string& name) {
      return !name.starts_with("node") || !parse_unsigned(std::string_view(name).substr(4));
    });
    if (names != names_) {
      names_ = std::move(names);
      nodes_.clear();
      for (const std::string& name : names_) {
        const std::string path = directory_ + "/" + name;
        nodes_.push_back(
            {name.substr(4), KernelFile(path + "/meminfo"), KernelFile(path + "/numastat")});
      }
    }
    return {};
  }

  // A node that went offline since the listing is left out; one that is there has both files.
  Result<void> collect_node(NumaNode& node, CollectContext& context) {
    const auto gone = [&](const Error& error) {
      return error.kind == ErrorKind::kMissing &&
             !list_directory(directory_ + "/node" + node.number);
    };
    if (auto text = node.meminfo.read(*context.buffer, kMaxSmallFileBytes)) {
      if (auto parsed = parse_node_meminfo(*text, fields_); !parsed) {
        return parsed;
      }
      memory_.row({node.number});
      for (const MeminfoField& field : fields_) {
        memory_.add(meminfo_key(field), field.value);
      }
    } else if (!gone(text.error())) {
      return tl::make_unexpected(text.error());
    }
    if (auto text = node.numastat.read(*context.buffer, kMaxSmallFileBytes)) {
      if (auto parsed = parse_node_numastat(*text, stats_); !parsed) {
        return parsed;
      }
      stat_.row({node.number});
      for (const NumastatField& field : stats_) {
        stat_.add(field.name, field.allocations);
      }
    } else if (!gone(text.error())) {
      return tl::make_unexpected(text.error());
    }
    return {};
  }

  std::string directory_;
  std::vector<std::string> names_;
  std::vector<NumaNode> nodes_;
  std::vector<MeminfoField> fields_;
  std::vector<NumastatField> stats_;
  NamedTable memory_{{"node"}, name_memory_column};
  NamedTable stat_{{"node"}, name_stat_column};
};

}  // namespace

// Node 0 MemTotal:        8010212 kB
// Node 0 Active(anon):     402196 kB
// Node 0 HugePages_Total:     0
Result<void> parse_node_meminfo(std::string_view text, std::vector<MeminfoField>& out) {
  constexpr std::string_view kWanted = "\"Node N Name: number\", with or without kB";
  out.clear();
  LineReader lines(text);
  for (std::string_view line; lines.next(line);) {
    // Kernels up to 2.6 put an empty line first; trees copied from them still have it.
    if (trim(line).empty()) {
      continue;
    }
    const bool is_node = next_field(line) == "Node" && next_unsigned(line).has_value();
    const auto field = parse_meminfo_line(trim(line));
    if (!is_node || !field) {
      return malformed("meminfo", lines.number(), kWanted);
    }
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

// numa_hit 2601972389
// numa_miss 0
Result<void> parse_node_numastat(std::string_view text, std::vector<NumastatField>& out) {
  constexpr std::string_view kWanted = "a name and a number";
  out.clear();
  LineReader lines(text);
  for (std::string_view line; lines.next(line);) {
    const std::string_view name = next_field(line);
    const auto value = next_unsigned(line);
    if (!value || !next_field(line).empty()) {
      return malformed("numastat", lines.number(), kWanted);
    }
    out.push_back({name, *value});
  }
  if (out.empty()) {
    return malformed("numastat", 0, kWanted);
  }
  return {};
}

const CollectorInfo kMeminfoNumaCollector{
    .name = "meminfo_numa",
    .help = "Memory per NUMA node (/sys/devices/system/node/node*/meminfo and numastat).",
    .make = [](const KernelFiles& files, const Options&) -> Result<std::unique_ptr<Collector>> {
      return std::make_unique<MeminfoNumaCollector>(files);
    },
    .metrics =
        [] {
          return std::vector<MetricDoc>{
              {"node_memory_numa_<Field>", MetricKind::kGauge, {"node"}, std::string(kMemoryHelp)},
              {"node_memory_numa_<name>_total",
               MetricKind::kCounter,
               {"node"},
               std::string(kStatHelp)}};
        },
};

}  // namespace tidegauge
