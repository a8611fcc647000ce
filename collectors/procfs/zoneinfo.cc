// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/zoneinfo.h"

#include <algorithm>
#include <bit>
#include <string>

namespace tidegauge {

namespace {

constexpr MetricKind kG = MetricKind::kGauge;
constexpr MetricKind kC = MetricKind::kCounter;

// Names from node_exporter, where the per-node counters carry the zone they stand under. Ours carry
// the same two labels so that they join.
constexpr Column<ZoneInfo> kColumns[] = {
    {"node_zoneinfo_nr_free_pages", "Free pages of the zone.", kG, kUnit, &ZoneInfo::nr_free_pages},
    {"node_zoneinfo_min_pages", "Watermark below which allocating tasks reclaim by themselves.", kG,
     kUnit, &ZoneInfo::min_pages},
    {"node_zoneinfo_low_pages", "Watermark below which kswapd is woken.", kG, kUnit,
     &ZoneInfo::low_pages},
    {"node_zoneinfo_high_pages", "Watermark at which kswapd goes back to sleep.", kG, kUnit,
     &ZoneInfo::high_pages},
    {"node_zoneinfo_scanned_pages", "Pages scanned since the last reclaim, up to Linux 4.7.", kG,
     kUnit, &ZoneInfo::scanned_pages},
    {"node_zoneinfo_spanned_pages", "Pages the zone spans, holes included.", kG, kUnit,
     &ZoneInfo::spanned_pages},
    {"node_zoneinfo_present_pages", "Pages of the zone that exist as memory.", kG, kUnit,
     &ZoneInfo::present_pages},
    {"node_zoneinfo_managed_pages", "Present pages that the page allocator manages.", kG, kUnit,
     &ZoneInfo::managed_pages},
    {"node_zoneinfo_nr_active_anon_pages", "Anonymous pages on the active list.", kG, kUnit,
     &ZoneInfo::nr_active_anon_pages},
    {"node_zoneinfo_nr_inactive_anon_pages", "Anonymous pages on the inactive list.", kG, kUnit,
     &ZoneInfo::nr_inactive_anon_pages},
    {"node_zoneinfo_nr_isolated_anon_pages", "Anonymous pages taken off their list by reclaim.", kG,
     kUnit, &ZoneInfo::nr_isolated_anon_pages},
    {"node_zoneinfo_nr_anon_pages", "Mapped anonymous pages.", kG, kUnit, &ZoneInfo::nr_anon_pages},
    {"node_zoneinfo_nr_anon_transparent_hugepages", "Anonymous transparent huge pages.", kG, kUnit,
     &ZoneInfo::nr_anon_transparent_hugepages},
    {"node_zoneinfo_nr_active_file_pages", "Page cache pages on the active list.", kG, kUnit,
     &ZoneInfo::nr_active_file_pages},
    {"node_zoneinfo_nr_inactive_file_pages", "Page cache pages on the inactive list.", kG, kUnit,
     &ZoneInfo::nr_inactive_file_pages},
    {"node_zoneinfo_nr_isolated_file_pages", "Page cache pages taken off their list by reclaim.",
     kG, kUnit, &ZoneInfo::nr_isolated_file_pages},
    {"node_zoneinfo_nr_file_pages", "Page cache pages.", kG, kUnit, &ZoneInfo::nr_file_pages},
    {"node_zoneinfo_nr_slab_reclaimable_pages", "Slab pages that can be reclaimed.", kG, kUnit,
     &ZoneInfo::nr_slab_reclaimable_pages},
    {"node_zoneinfo_nr_slab_unreclaimable_pages", "Slab pages that cannot be reclaimed.", kG, kUnit,
     &ZoneInfo::nr_slab_unreclaimable_pages},
    {"node_zoneinfo_nr_mlock_stack_pages", "Locked pages that reclaim moved off its lists.", kG,
     kUnit, &ZoneInfo::nr_mlock_stack_pages},
    {"node_zoneinfo_nr_kernel_stacks", "Kernel stacks: a number up to Linux 4.7, KiB since.", kG,
     kUnit, &ZoneInfo::nr_kernel_stack},
    {"node_zoneinfo_nr_mapped_pages", "Page cache pages mapped by processes.", kG, kUnit,
     &ZoneInfo::nr_mapped_pages},
    {"node_zoneinfo_nr_dirty_pages", "Pages waiting to be written back.", kG, kUnit,
     &ZoneInfo::nr_dirty_pages},
    {"node_zoneinfo_nr_writeback_pages", "Pages being written back.", kG, kUnit,
     &ZoneInfo::nr_writeback_pages},
    {"node_zoneinfo_nr_unevictable_pages", "Pages that cannot be evicted.", kG, kUnit,
     &ZoneInfo::nr_unevictable_pages},
    {"node_zoneinfo_nr_shmem_pages", "Pages of shared memory and tmpfs.", kG, kUnit,
     &ZoneInfo::nr_shmem_pages},
    {"node_zoneinfo_nr_dirtied_total", "Pages dirtied since boot.", kC, kUnit,
     &ZoneInfo::nr_dirtied_pages},
    {"node_zoneinfo_nr_written_total", "Pages written back since boot.", kC, kUnit,
     &ZoneInfo::nr_written_pages},
    {"node_zoneinfo_numa_hit_total", "Allocations that got memory of the node they wanted.", kC,
     kUnit, &ZoneInfo::numa_hit},
    {"node_zoneinfo_numa_miss_total", "Allocations that wanted another node.", kC, kUnit,
     &ZoneInfo::numa_miss},
    {"node_zoneinfo_numa_foreign_total", "Allocations that wanted this node and went elsewhere.",
     kC, kUnit, &ZoneInfo::numa_foreign},
    {"node_zoneinfo_numa_interleave_total",
     "Interleaved allocations that got the node they wanted.", kC, kUnit,
     &ZoneInfo::numa_interleave},
    {"node_zoneinfo_numa_local_total", "Allocations by CPUs of this node.", kC, kUnit,
     &ZoneInfo::numa_local},
    {"node_zoneinfo_numa_other_total", "Allocations by CPUs of other nodes.", kC, kUnit,
     &ZoneInfo::numa_other},
    {"tidegauge_zone_boost_pages",
     "Temporary raise of the zone's watermarks against fragmentation, included in them.", kG, kUnit,
     &ZoneInfo::boost_pages},
    {"tidegauge_zone_promo_pages", "Watermark for promotion between tiers of memory.", kG, kUnit,
     &ZoneInfo::promo_pages},
    {"tidegauge_zone_cma_free_pages",
     "Free pages reserved for contiguous allocations, which not every allocation may use.", kG,
     kUnit, &ZoneInfo::nr_free_cma_pages},
};

constexpr std::string_view kProtection = "node_zoneinfo_protection_";
constexpr std::string_view kProtectionHelp =
    "Pages of the zone kept from allocations that could use the zone type of this number.";

std::vector<ColumnInfo> protection_columns(std::size_t count) {
  std::vector<ColumnInfo> columns(count);
  for (std::size_t i = 0; i < count; ++i) {
    columns[i].family = std::string(kProtection) + std::to_string(i);
    columns[i].help = kProtectionHelp;
    columns[i].type = NumberType::kSigned;
  }
  return columns;
}

class ZoneinfoCollector final : public Collector {
 public:
  explicit ZoneinfoCollector(const KernelFiles& files) : file_(files.proc_file("zoneinfo")) {}

  Result<void> collect(CollectContext& context, Section& out) override {
    const auto text = file_.read(*context.buffer);
    if (!text) {
      return tl::make_unexpected(text.error());
    }
    if (auto parsed = parse_zoneinfo(*text, zones_); !parsed) {
      return parsed;
    }
    fit_protection();
    zone_table_.begin();
    protection_.begin();
    for (const ZoneInfo& zone : zones_) {
      zone_table_.add({zone.node, zone.zone}, zone);
      protection_.row({zone.node, zone.zone});
      for (std::size_t i = 0; i < zone.protection_count; ++i) {
        protection_.set(i, std::bit_cast<std::uint64_t>(zone.protection_pages[i]));
      }
    }
    out.tables.push_back(zone_table_.take());
    if (!protection_.columns().empty()) {
      out.tables.push_back(protection_.take());
    }
    return {};
  }

 private:
  // The number of zone types is fixed when the kernel is built.
  void fit_protection() {
    std::size_t most = 0;
    for (const ZoneInfo& zone : zones_) {
      most = std::max(most, zone.protection_count);
    }
    if (protection_.columns().size() != most) {
      protection_ = RowTable({"node", "zone"}, protection_columns(most));
    }
  }

  KernelFile file_;
  std::vector<ZoneInfo> zones_;
  StructTable<ZoneInfo> zone_table_{kColumns, {"node", "zone"}};
  RowTable protection_{{"node", "zone"}, {}};
};

void decode_protection(const Table& table, std::size_t row, ZoneInfo& zone) {
  for (std::size_t i = 0; i < kMaxZoneTypes; ++i) {
    const auto column = find_column(*table.shape, std::string(kProtection) + std::to_string(i));
    if (!column || !table.has(row, *column)) {
      return;
    }
    zone.protection_pages[i] = std::bit_cast<std::int64_t>(table.raw(row, *column));
    zone.protection_count = i + 1;
  }
}

}  // namespace

std::vector<ZoneInfo> decode_zoneinfo(const Section& section) {
  std::vector<ZoneInfo> zones;
  for (const Table& table : section.tables) {
    const bool is_protection =
        !table.shape->columns.empty() && table.shape->columns[0].family.starts_with(kProtection);
    for (std::size_t row = 0; row < table.shape->rows.size(); ++row) {
      if (!is_protection) {
        zones.push_back(decode<ZoneInfo>(kColumns, table, row));
        zones.back().node = table.shape->rows[row][0];
        zones.back().zone = table.shape->rows[row][1];
      } else if (row < zones.size()) {  // same rows, in the table behind
        decode_protection(table, row, zones[row]);
      }
    }
  }
  return zones;
}

const CollectorInfo kZoneinfoCollector{
    .name = "zoneinfo",
    .help = "Watermarks and page counts of every memory zone (/proc/zoneinfo).",
    .interval_ms = 1000,
    .make = [](const KernelFiles& files, const Options&) -> Result<std::unique_ptr<Collector>> {
      return std::make_unique<ZoneinfoCollector>(files);
    },
    .metrics =
        [] {
          std::vector<MetricDoc> docs;
          document<ZoneInfo>(docs, kColumns, {"node", "zone"});
          docs.push_back({std::string(kProtection) + "<i>",
                          MetricKind::kGauge,
                          {"node", "zone"},
                          std::string(kProtectionHelp)});
          return docs;
        },
};

}  // namespace tidegauge
