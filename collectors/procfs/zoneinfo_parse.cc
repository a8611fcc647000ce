// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "collectors/core/text.h"
#include "collectors/procfs/zoneinfo.h"

namespace tidegauge {

namespace {

struct Field {
  std::string_view name;
  std::optional<std::uint64_t> ZoneInfo::*member;
};

// The kernel's names. They must match whole: nr_free_pages_blocks, nr_zone_active_anon and a
// pageset's "high:" are something else.
constexpr Field kFields[] = {
    {"nr_free_pages", &ZoneInfo::nr_free_pages},
    {"min", &ZoneInfo::min_pages},
    {"low", &ZoneInfo::low_pages},
    {"high", &ZoneInfo::high_pages},
    {"boost", &ZoneInfo::boost_pages},
    {"promo", &ZoneInfo::promo_pages},
    {"scanned", &ZoneInfo::scanned_pages},
    {"spanned", &ZoneInfo::spanned_pages},
    {"present", &ZoneInfo::present_pages},
    {"managed", &ZoneInfo::managed_pages},
    {"nr_free_cma", &ZoneInfo::nr_free_cma_pages},
    {"nr_active_anon", &ZoneInfo::nr_active_anon_pages},
    {"nr_inactive_anon", &ZoneInfo::nr_inactive_anon_pages},
    {"nr_isolated_anon", &ZoneInfo::nr_isolated_anon_pages},
    {"nr_anon_pages", &ZoneInfo::nr_anon_pages},
    {"nr_anon_transparent_hugepages", &ZoneInfo::nr_anon_transparent_hugepages},
    {"nr_active_file", &ZoneInfo::nr_active_file_pages},
    {"nr_inactive_file", &ZoneInfo::nr_inactive_file_pages},
    {"nr_isolated_file", &ZoneInfo::nr_isolated_file_pages},
    {"nr_file_pages", &ZoneInfo::nr_file_pages},
    {"nr_slab_reclaimable", &ZoneInfo::nr_slab_reclaimable_pages},
    {"nr_slab_unreclaimable", &ZoneInfo::nr_slab_unreclaimable_pages},
    {"nr_mlock_stack", &ZoneInfo::nr_mlock_stack_pages},
    {"nr_kernel_stack", &ZoneInfo::nr_kernel_stack},
    {"nr_mapped", &ZoneInfo::nr_mapped_pages},
    {"nr_dirty", &ZoneInfo::nr_dirty_pages},
    {"nr_writeback", &ZoneInfo::nr_writeback_pages},
    {"nr_unevictable", &ZoneInfo::nr_unevictable_pages},
    {"nr_shmem", &ZoneInfo::nr_shmem_pages},
    {"nr_dirtied", &ZoneInfo::nr_dirtied_pages},
    {"nr_written", &ZoneInfo::nr_written_pages},
    {"numa_hit", &ZoneInfo::numa_hit},
    {"numa_miss", &ZoneInfo::numa_miss},
    {"numa_foreign", &ZoneInfo::numa_foreign},
    {"numa_interleave", &ZoneInfo::numa_interleave},
    {"numa_local", &ZoneInfo::numa_local},
    {"numa_other", &ZoneInfo::numa_other},
};

constexpr std::size_t kLongestName = 29;

// kFields grouped by the length of their name: the length alone tells most of the 70 names apart.
struct FieldIndex {
  std::array<Field, std::size(kFields)> fields{};
  std::array<std::size_t, kLongestName + 2> begin{};  // of the group of each length
};

constexpr FieldIndex make_index() {
  FieldIndex index;
  std::size_t at = 0;
  for (std::size_t length = 0; length <= kLongestName; ++length) {
    index.begin[length] = at;
    for (const Field& field : kFields) {
      if (field.name.size() == length) {
        index.fields[at++] = field;
      }
    }
  }
  index.begin[kLongestName + 1] = at;
  return index;
}

constexpr FieldIndex kIndex = make_index();
static_assert(kIndex.begin[kLongestName + 1] == std::size(kFields), "a name is longer than that");

const Field* find_field(std::string_view name) {
  if (name.size() > kLongestName) {
    return nullptr;
  }
  for (std::size_t i = kIndex.begin[name.size()]; i < kIndex.begin[name.size() + 1]; ++i) {
    if (kIndex.fields[i].name == name) {
      return &kIndex.fields[i];
    }
  }
  return nullptr;
}

// "Node 0, zone    DMA32" behind its "Node ".
bool parse_header(std::string_view line, ZoneInfo& zone) {
  zone.node = next_field(line);
  if (!zone.node.ends_with(',')) {
    return false;
  }
  zone.node.remove_suffix(1);
  const bool is_zone = next_field(line) == "zone";
  zone.zone = next_field(line);
  return is_zone && parse_unsigned(zone.node) && !zone.zone.empty();
}

// "(0, 3019, 6859)" behind its "protection: "
bool parse_protection(std::string_view list, ZoneInfo& zone) {
  list = trim(list);
  if (!list.starts_with('(') || !list.ends_with(')')) {
    return false;
  }
  list = list.substr(1, list.size() - 2);
  zone.protection_count = 0;
  while (!list.empty()) {
    const auto comma = std::min(list.find(','), list.size());
    const auto pages = parse_signed(trim(list.substr(0, comma)));
    if (!pages || zone.protection_count == kMaxZoneTypes) {
      return false;
    }
    zone.protection_pages[zone.protection_count++] = *pages;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return true;
}

// Any other line above the pagesets. Returns what was expected, or an empty view when all is well.
std::string_view parse_zone_line(std::string_view line, ZoneInfo& zone) {
  const std::string_view name = next_field(line);
  if (name == "protection:") {
    return parse_protection(line, zone) ? "" : "protection: (a, b, ...)";
  }
  const Field* field = find_field(name);
  if (field == nullptr) {
    return "";
  }
  const auto value = next_unsigned(line);
  if (!value) {
    return "a number behind the name";
  }
  zone.*(field->member) = *value;
  return "";
}

bool is_complete(const ZoneInfo& zone) {
  // Of an unpopulated zone the kernel prints nothing below "protection".
  return zone.min_pages && zone.low_pages && zone.high_pages && zone.spanned_pages &&
         zone.present_pages && (*zone.present_pages == 0 || zone.nr_free_pages);
}

constexpr std::string_view kNode = "Node ";
constexpr std::string_view kNextNode = "\nNode ";

// Where the next zone begins, or the end of the text.
std::size_t next_zone(std::string_view text, std::size_t at) {
  const void* found =
      ::memmem(text.data() + at, text.size() - at, kNextNode.data(), kNextNode.size());
  return found == nullptr
             ? text.size()
             : static_cast<std::size_t>(static_cast<const char*>(found) - text.data()) + 1;
}

tl::unexpected<Error> malformed_at(std::string_view text, std::size_t at, std::string_view wanted) {
  const auto newlines =
      std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n');
  return malformed("zoneinfo", static_cast<std::size_t>(newlines) + 1, wanted);
}

}  // namespace

// Node 0, zone      DMA
//   per-node stats
//       nr_inactive_anon 2986
//       nr_dirty     5162
//   pages free     3840
//         boost    0
//         min      36
//         low      45
//         high     54
//         promo    63
//         spanned  4095
//         present  3998
//         managed  3840
//         cma      0
//         protection: (0, 3019, 6859, 6859, 6859)
//       nr_free_pages 3840
//       nr_free_pages_blocks 3584
//       numa_hit     0
//   pagesets
//     cpu: 0
//               count:    0
//               high:     0
//               batch:    1
//   vm stats threshold: 4
//   node_unreclaimable:  0
//   start_pfn:           1
Result<void> parse_zoneinfo(std::string_view text, std::vector<ZoneInfo>& out) {
  constexpr std::string_view kWholeZone =
      "a zone with min, low, high, spanned, present and nr_free_pages above this line";
  out.clear();
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    if (line.starts_with(kNode)) {
      if (!out.empty() && !is_complete(out.back())) {
        return malformed_at(text, at, kWholeZone);
      }
      line.remove_prefix(kNode.size());
      if (!parse_header(line, out.emplace_back())) {
        return malformed_at(text, at, "Node N, zone NAME");
      }
    } else if (out.empty()) {
      return malformed_at(text, at, "Node N, zone NAME");
    } else if (line.starts_with("  pagesets")) {
      at = next_zone(text, at);
      continue;
    } else if (const auto wanted = parse_zone_line(line, out.back()); !wanted.empty()) {
      return malformed_at(text, at, wanted);
    }
    at = end + 1;
  }
  if (out.empty()) {
    return malformed("zoneinfo", 0, "Node N, zone NAME");
  }
  if (!is_complete(out.back())) {
    return malformed_at(text, text.size(), kWholeZone);
  }
  return {};
}

}  // namespace tidegauge
