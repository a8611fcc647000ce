// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/buddyinfo.h"

#include "collectors/core/text.h"

namespace tidegauge {

namespace {

constexpr std::string_view kFamily = "node_buddyinfo_blocks";
constexpr std::string_view kHelp = "Free blocks of 2^size pages in the zone.";

std::vector<ColumnInfo> order_columns(std::size_t orders) {
  std::vector<ColumnInfo> columns(orders);
  for (std::size_t order = 0; order < orders; ++order) {
    columns[order].family = kFamily;
    columns[order].help = kHelp;
    columns[order].labels = {{"size", std::to_string(order)}};
  }
  return columns;
}

class BuddyinfoCollector final : public Collector {
 public:
  explicit BuddyinfoCollector(const KernelFiles& files) : file_(files.proc_file("buddyinfo")) {}

  Result<void> collect(CollectContext& context, Section& out) override {
    const auto text = file_.read_lines(*context.buffer);
    if (!text) {
      return tl::make_unexpected(text.error());
    }
    if (auto parsed = parse_buddyinfo(*text, zones_); !parsed) {
      return parsed;
    }
    // Fixed when the kernel is built, so this happens once.
    if (table_.columns().size() != zones_[0].orders) {
      table_ = RowTable({"node", "zone"}, order_columns(zones_[0].orders));
    }
    table_.begin();
    for (const BuddyZone& zone : zones_) {
      table_.row({zone.node, zone.zone});
      for (std::size_t order = 0; order < zone.orders; ++order) {
        table_.set(order, zone.free_blocks[order]);
      }
    }
    out.tables.push_back(table_.take());
    return {};
  }

 private:
  KernelFile file_;
  std::vector<BuddyZone> zones_;
  RowTable table_{{"node", "zone"}, {}};
};

// Returns whether the line has the kernel's form.
bool parse_line(std::string_view line, BuddyZone& zone) {
  if (next_field(line) != "Node") {
    return false;
  }
  zone.node = next_field(line);
  if (!zone.node.ends_with(',')) {
    return false;
  }
  zone.node.remove_suffix(1);
  if (!parse_unsigned(zone.node) || next_field(line) != "zone") {
    return false;
  }
  zone.zone = next_field(line);
  for (std::string_view field = next_field(line); !field.empty(); field = next_field(line)) {
    const auto blocks = parse_unsigned(field);
    if (!blocks || zone.orders == kMaxBuddyOrders) {
      return false;
    }
    zone.free_blocks[zone.orders++] = *blocks;
  }
  return zone.orders != 0;
}

}  // namespace

// Node 0, zone      DMA      1      0      1      0      2      1      1      0      1      1     3
// Node 0, zone    DMA32    759    572    791    475    194     45     12      0      0      0     0
Result<void> parse_buddyinfo(std::string_view text, std::vector<BuddyZone>& out) {
  out.clear();
  LineReader lines(text);
  for (std::string_view line; lines.next(line);) {
    if (!parse_line(line, out.emplace_back())) {
      return malformed("buddyinfo", lines.number(), "Node N, zone NAME and a number per order");
    }
    if (out.back().orders != out.front().orders) {
      return malformed("buddyinfo", lines.number(), "as many numbers as in line 1");
    }
  }
  if (out.empty()) {
    return malformed("buddyinfo", 0, "Node N, zone NAME and a number per order");
  }
  return {};
}

const CollectorInfo kBuddyinfoCollector{
    .name = "buddyinfo",
    .help = "Free blocks per zone and order (/proc/buddyinfo), which shows fragmentation.",
    .interval_ms = 1000,
    .make = [](const KernelFiles& files, const Options&) -> Result<std::unique_ptr<Collector>> {
      return std::make_unique<BuddyinfoCollector>(files);
    },
    .metrics =
        [] {
          return std::vector<MetricDoc>{{std::string(kFamily),
                                         MetricKind::kGauge,
                                         {"node", "zone", "size"},
                                         std::string(kHelp)}};
        },
};

}  // namespace tidegauge
