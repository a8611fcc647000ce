// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/slabinfo.h"

#include <string>
#include <unordered_set>

#include "collectors/core/filter.h"
#include "collectors/core/text.h"

namespace tidegauge {

namespace {

constexpr Column<Slab> kColumns[] = {
    {"node_slabinfo_active_objects", "Objects of the slab cache that are in use.",
     MetricKind::kGauge, kUnit, &Slab::active_objects},
    {"node_slabinfo_objects", "Objects of the slab cache that are allocated, in use or not.",
     MetricKind::kGauge, kUnit, &Slab::objects},
    {"node_slabinfo_object_size_bytes", "Size of an object of the slab cache.", MetricKind::kGauge,
     kUnit, &Slab::object_size_bytes},
    {"node_slabinfo_objects_per_slab", "Objects that fit in one slab.", MetricKind::kGauge, kUnit,
     &Slab::objects_per_slab},
    {"node_slabinfo_pages_per_slab", "Pages of one slab.", MetricKind::kGauge, kUnit,
     &Slab::pages_per_slab},
};

constexpr OptionSpec kOptions[] = {
    {.key = "slabs_include",
     .flag = "slabs-include",
     .type = OptionType::kRegex,
     .default_text = ".*",
     .help = "Slab caches to export; empty exports all."},
    {.key = "slabs_exclude",
     .flag = "slabs-exclude",
     .type = OptionType::kRegex,
     .default_text = "",
     .help = "Slab caches not to export; wins over slabs-include."},
};

class SlabinfoCollector final : public Collector {
 public:
  SlabinfoCollector(const KernelFiles& files, NameFilter include, NameFilter exclude)
      : file_(files.proc_file("slabinfo")),
        include_(std::move(include)),
        exclude_(std::move(exclude)) {}

  Result<void> collect(CollectContext& context, Section& out) override {
    const auto text = file_.read_lines(*context.buffer);
    if (!text) {
      return tl::make_unexpected(text.error());
    }
    if (auto parsed = parse_slabinfo(*text, slabs_); !parsed) {
      return parsed;
    }
    update_choice();
    table_.begin();
    for (std::size_t i = 0; i < slabs_.size(); ++i) {
      if (choice_[i].wanted) {
        table_.add({slabs_[i].name}, slabs_[i]);
      }
    }
    out.tables.push_back(table_.take());
    return {};
  }

 private:
  struct Choice {
    std::string name;
    bool wanted;
  };

  // Decides anew only when a cache came or went. Of caches with one name the first is shown, as one
  // series can have one value.
  void update_choice() {
    bool same = choice_.size() == slabs_.size();
    for (std::size_t i = 0; same && i < slabs_.size(); ++i) {
      same = choice_[i].name == slabs_[i].name;
    }
    if (same) {
      return;
    }
    choice_.clear();
    std::unordered_set<std::string_view> seen;
    for (const Slab& slab : slabs_) {
      const bool wanted = !include_.ignores(slab.name) && !exclude_.ignores(slab.name) &&
                          seen.insert(slab.name).second;
      choice_.push_back({std::string(slab.name), wanted});
    }
  }

  KernelFile file_;
  NameFilter include_;
  NameFilter exclude_;
  std::vector<Slab> slabs_;
  std::vector<Choice> choice_;
  StructTable<Slab> table_{kColumns, {"slab"}};
};

}  // namespace

// slabinfo - version: 2.1
// # name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables ...
// kmalloc-8192         132    148   8192    4    8 : tunables    0    0    0 : slabdata     37 ...
Result<void> parse_slabinfo(std::string_view text, std::vector<Slab>& out) {
  out.clear();
  LineReader lines(text);
  for (std::string_view line; lines.next(line);) {
    if (line.starts_with("slabinfo - ") || line.starts_with('#')) {
      continue;
    }
    Slab slab;
    slab.name = next_field(line);
    for (std::uint64_t Slab::*member :
         {&Slab::active_objects, &Slab::objects, &Slab::object_size_bytes, &Slab::objects_per_slab,
          &Slab::pages_per_slab}) {
      const auto value = next_unsigned(line);
      if (!value) {
        return malformed("slabinfo", lines.number(), "a name and five numbers");
      }
      slab.*member = *value;
    }
    if (next_field(line) != ":" || line.find(": slabdata") == std::string_view::npos) {
      return malformed("slabinfo", lines.number(), "tunables and slabdata behind the numbers");
    }
    out.push_back(slab);
  }
  if (out.empty()) {
    return malformed("slabinfo", 0, "a line per slab cache");
  }
  return {};
}

const CollectorInfo kSlabinfoCollector{
    .name = "slabinfo",
    .help = "Slab caches of the kernel (/proc/slabinfo, readable by root only).",
    // The kernel walks every cache, and on some versions every partial slab, under locks: 2 ms on an idle host.
    .interval_ms = 60'000,
    .lane = Lane::kWorker,
    .options = kOptions,
    .make = [](const KernelFiles& files,
               const Options& options) -> Result<std::unique_ptr<Collector>> {
      // Apart, because node_exporter allows both here: its include defaults to everything.
      auto include = NameFilter::make(options.text("slabs_include"), "", "slabs_");
      auto exclude = NameFilter::make("", options.text("slabs_exclude"), "slabs_");
      if (!include) {
        return tl::make_unexpected(include.error());
      }
      if (!exclude) {
        return tl::make_unexpected(exclude.error());
      }
      return std::make_unique<SlabinfoCollector>(files, std::move(*include), std::move(*exclude));
    },
    .metrics =
        [] {
          std::vector<MetricDoc> docs;
          document<Slab>(docs, kColumns, {"slab"});
          return docs;
        },
};

}  // namespace tidegauge
