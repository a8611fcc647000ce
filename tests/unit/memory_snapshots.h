// SPDX-License-Identifier: Apache-2.0
#pragma once

// Snapshots for tests of the memory model, with the names that the collectors give. What the collectors
// themselves make of kernel text comes from run_once() on a fixture and goes into add_section().

#include <bit>
#include <cstdint>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "collectors/core/section.h"
#include "collectors/core/table_builder.h"
#include "daemon/heuristics/reclaim_model.h"
#include "tests/unit/testing.h"

namespace tidegauge::testing {

inline constexpr std::int64_t kSecondNs = 1'000'000'000;

struct ZoneSpec {
  std::string node = "0";
  std::string zone = "Normal";
  std::optional<std::uint64_t> free;
  std::uint64_t min = 1000;
  std::uint64_t low = 1250;
  std::uint64_t high = 1500;
  std::optional<std::uint64_t> managed = 1'000'000;
  std::vector<std::int64_t> protection{};
  std::optional<std::uint64_t> boost{};
  std::optional<std::uint64_t> cma{};
};

// Nothing but room.
inline ZoneSpec rich(std::string node = "0") {
  return {.node = std::move(node), .free = 900'000, .boost = 0};
}
// Between min and low.
inline ZoneSpec poor(std::string node = "0") {
  return {.node = std::move(node), .free = 1100, .boost = 0};
}

using Fields = std::vector<std::pair<std::string, std::uint64_t>>;

// Of vmstat since Linux 4.8; half of what is scanned is reclaimed.
inline Fields scans(std::uint64_t kswapd, std::uint64_t direct = 0) {
  return {{"pgscan_kswapd", kswapd},
          {"pgscan_direct", direct},
          {"pgsteal_kswapd", kswapd / 2},
          {"pgsteal_direct", direct / 2},
          {"compact_stall", 7}};
}

inline std::map<std::string, double> series(heuristics::MemoryModel& model) {
  Section section;
  model.append_tables(section);
  return flatten(section);
}

// `name`: below tests/fixtures.
inline std::string fixture_text(const std::string& name) {
  std::ifstream file(std::string(TIDEGAUGE_SOURCE_DIR) + "/tests/fixtures/" + name);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

inline ColumnInfo plain_column(std::string family, NumberType type = NumberType::kUnsigned,
                               Scale scale = {}) {
  ColumnInfo info;
  info.family = std::move(family);
  info.type = type;
  info.scale = scale;
  return info;
}

// Builds the Snapshots of one host, one after another, with Shapes that stay as a live daemon's do.
class MemoryHost {
 public:
  // Everything that is added until the next call has been read at this time.
  void begin(std::int64_t boottime_ns) {
    boottime_ns_ = boottime_ns;
    snapshot_ = {};
    snapshot_.boottime_ns = boottime_ns;
  }

  void add_section(std::string_view collector, Section section) {
    section.read_start_boottime_ns = section.read_end_boottime_ns = boottime_ns_;
    SnapshotEntry entry;
    entry.collector = collector;
    entry.section = std::make_shared<const Section>(std::move(section));
    snapshot_.entries.push_back(std::move(entry));
  }

  void zones(const std::vector<ZoneSpec>& zones) {
    zones_.begin();
    protection_.begin();
    for (const ZoneSpec& zone : zones) {
      zones_.row({zone.node, zone.zone});
      set(zones_, 0, zone.free);
      zones_.set(1, zone.min);
      zones_.set(2, zone.low);
      zones_.set(3, zone.high);
      set(zones_, 4, zone.managed);
      set(zones_, 5, zone.managed);
      set(zones_, 6, zone.boost);
      set(zones_, 7, zone.cma);
      protection_.row({zone.node, zone.zone});
      for (std::size_t i = 0; i < zone.protection.size() && i < 4; ++i) {
        protection_.set(i, std::bit_cast<std::uint64_t>(zone.protection[i]));
      }
    }
    Section section;
    section.tables.push_back(zones_.take());
    section.tables.push_back(protection_.take());
    add_section("zoneinfo", std::move(section));
  }

  void vmstat(const Fields& fields) {
    vmstat_.begin();
    for (const auto& [name, value] : fields) {
      vmstat_.add(name, value);
    }
    Section section;
    section.tables.push_back(vmstat_.take());
    add_section("vmstat", std::move(section));
  }

  void memory(std::uint64_t total_bytes, std::uint64_t dirty_bytes = 0) {
    memory_.begin();
    memory_.row({});
    memory_.set(0, total_bytes);
    memory_.set(1, dirty_bytes);
    memory_.set(2, 0);
    Section section;
    section.tables.push_back(memory_.take());
    add_section("meminfo", std::move(section));
  }

  void pressure(double some_ms, double full_ms) {
    pressure_.begin();
    pressure_.row({});
    pressure_.set(0, std::bit_cast<std::uint64_t>(some_ms));
    pressure_.set(1, std::bit_cast<std::uint64_t>(full_ms));
    Section section;
    section.tables.push_back(pressure_.take());
    add_section("pressure", std::move(section));
  }

  struct Kswapd {
    std::string node;
    std::uint64_t awake_ns = 0;
    std::uint64_t order0_wakeups = 0;
    std::uint64_t order9_wakeups = 0;
  };
  void ebpf(const std::vector<Kswapd>& nodes, std::uint64_t direct_ns = 0) {
    Section section;
    reclaim_.begin();
    reclaim_.row({"web", "direct"});
    reclaim_.set(0, direct_ns);
    reclaim_.row({"web", "memcg"});
    reclaim_.set(0, 77 * direct_ns);
    section.tables.push_back(reclaim_.take());
    awake_.begin();
    wakeups_.begin();
    for (const Kswapd& node : nodes) {
      awake_.row({node.node});
      awake_.set(0, node.awake_ns);
      wakeups_.add({node.node, "0", "web"}, node.order0_wakeups);
      wakeups_.add({node.node, "9", "web"}, node.order9_wakeups);
    }
    section.tables.push_back(awake_.take());
    section.tables.push_back(wakeups_.take());
    add_section("ebpf_memory", std::move(section));
  }

  void buddy(const std::vector<std::pair<std::string, std::vector<std::uint64_t>>>& zones) {
    buddy_.begin();
    for (const auto& [zone, blocks] : zones) {
      buddy_.row({"0", zone});
      for (std::size_t order = 0; order < blocks.size(); ++order) {
        buddy_.set(order, blocks[order]);
      }
    }
    Section section;
    section.tables.push_back(buddy_.take());
    add_section("buddyinfo", std::move(section));
  }

  // Of what was added since begin().
  [[nodiscard]] const Snapshot& snapshot() const { return snapshot_; }

 private:
  static void set(RowTable& table, std::size_t column, std::optional<std::uint64_t> value) {
    if (value) {
      table.set(column, *value);
    }
  }
  static std::vector<ColumnInfo> zone_columns() {
    return {
        plain_column("node_zoneinfo_nr_free_pages"), plain_column("node_zoneinfo_min_pages"),
        plain_column("node_zoneinfo_low_pages"),     plain_column("node_zoneinfo_high_pages"),
        plain_column("node_zoneinfo_present_pages"), plain_column("node_zoneinfo_managed_pages"),
        plain_column("tidegauge_zone_boost_pages"),  plain_column("tidegauge_zone_cma_free_pages")};
  }
  static std::vector<ColumnInfo> protection_columns() {
    std::vector<ColumnInfo> out;
    for (int i = 0; i < 4; ++i) {
      out.push_back(
          plain_column("node_zoneinfo_protection_" + std::to_string(i), NumberType::kSigned));
    }
    return out;
  }
  static std::vector<ColumnInfo> buddy_columns() {
    std::vector<ColumnInfo> out;
    for (int i = 0; i < 11; ++i) {
      out.push_back(plain_column("node_buddyinfo_blocks"));
      out.back().labels = {{"size", std::to_string(i)}};
    }
    return out;
  }
  static ColumnInfo sum_column(std::string family) {
    ColumnInfo info = plain_column(std::move(family), NumberType::kUnsigned, kNanoseconds);
    info.suffix = "_sum";
    info.kind = MetricKind::kHistogram;
    return info;
  }

  std::int64_t boottime_ns_ = 0;
  Snapshot snapshot_;
  RowTable zones_{{"node", "zone"}, zone_columns()};
  RowTable protection_{{"node", "zone"}, protection_columns()};
  NamedTable vmstat_{{}, [](std::string_view name) {
                       return std::optional(plain_column("node_vmstat_" + std::string(name)));
                     }};
  RowTable memory_{
      {},
      {plain_column("node_memory_MemTotal_bytes"), plain_column("node_memory_Dirty_bytes"),
       plain_column("node_memory_Writeback_bytes")}};
  RowTable pressure_{
      {},
      {plain_column("node_pressure_memory_waiting_seconds_total", NumberType::kReal, kMilliseconds),
       plain_column("node_pressure_memory_stalled_seconds_total", NumberType::kReal,
                    kMilliseconds)}};
  RowTable reclaim_{{"group", "kind"}, {sum_column("tidegauge_reclaim_stall_seconds")}};
  RowTable awake_{
      {"node"},
      {plain_column("tidegauge_kswapd_awake_seconds_total", NumberType::kUnsigned, kNanoseconds)}};
  ValueTable wakeups_{
      "tidegauge_kswapd_wakeups_total", "", MetricKind::kCounter, {"node", "order", "group"}};
  RowTable buddy_{{"node", "zone"}, buddy_columns()};
};

}  // namespace tidegauge::testing
