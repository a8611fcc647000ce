// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/vmstat.h"

#include <re2/re2.h>

#include <bit>

#include "collectors/core/text.h"

namespace tidegauge {

namespace {

constexpr std::string_view kHelp = "The field of this name in /proc/vmstat.";

// node_exporter's four, then what tells reclaim, thrashing and compaction apart. Per-zone names of
// kernels up to 4.7 (pgscan_kswapd_normal) and allocstall_<zone> come along by their prefix.
constexpr OptionSpec kOptions[] = {
    {.key = "fields",
     .flag = "fields",
     .type = OptionType::kRegex,
     .default_text =
         "^(oom_kill|pgpg|pswp|pg.*fault|pgfree|pgscan|pgsteal|allocstall|workingset|kswapd"
         "|compact|pageoutrun|drop_|thp_|balloon|swap|swp"
         "|nr_dirty|nr_writeback|nr_written|nr_vmscan_write).*",
     .help = "Fields of /proc/vmstat to export; empty exports all."},
};

class VmstatCollector final : public Collector {
 public:
  VmstatCollector(const KernelFiles& files, std::shared_ptr<const RE2> wanted)
      : file_(files.proc_file("vmstat")),
        table_({}, [wanted = std::move(wanted)](std::string_view key) {
          return name_column(*wanted, key);
        }) {}

  Result<void> collect(CollectContext& context, Section& out) override {
    const auto text = file_.read_lines(*context.buffer);
    if (!text) {
      return tl::make_unexpected(text.error());
    }
    if (auto parsed = parse_vmstat(*text, fields_); !parsed) {
      return parsed;
    }
    table_.begin();
    for (const VmstatField& field : fields_) {
      // The rule sees only the name, so a sign, which no kernel is known to print, goes into it.
      if (field.is_negative) {
        table_.add(std::string(field.name) + kNegativeMark, field.bits);
      } else {
        table_.add(field.name, field.bits);
      }
    }
    out.tables.push_back(table_.take());
    return {};
  }

 private:
  static constexpr char kNegativeMark = '-';

  static std::optional<ColumnInfo> name_column(const RE2& wanted, std::string_view key) {
    ColumnInfo info;
    if (key.ends_with(kNegativeMark)) {
      key.remove_suffix(1);
      info.type = NumberType::kSigned;
    }
    if (!RE2::PartialMatch(re2::StringPiece(key.data(), key.size()), wanted)) {
      return std::nullopt;
    }
    info.family = "node_vmstat_" + sanitize_metric_name(key);
    info.help = kHelp;
    info.kind = MetricKind::kUntyped;
    return info;
  }

  KernelFile file_;
  std::vector<VmstatField> fields_;
  NamedTable table_;
};

}  // namespace

// nr_free_pages 1294710
// pgscan_kswapd 358784
// allocstall_normal 112
Result<void> parse_vmstat(std::string_view text, std::vector<VmstatField>& out) {
  constexpr std::string_view kWanted = "a name and a number";
  out.clear();
  LineReader lines(text);
  for (std::string_view line; lines.next(line);) {
    VmstatField field;
    field.name = next_field(line);
    const std::string_view number = next_field(line);
    if (const auto value = parse_unsigned(number)) {
      field.bits = *value;
    } else if (const auto negative = parse_signed(number)) {
      field.bits = std::bit_cast<std::uint64_t>(*negative);
      field.is_negative = true;
    } else {
      return malformed("vmstat", lines.number(), kWanted);
    }
    out.push_back(field);
  }
  if (out.empty()) {
    return malformed("vmstat", 0, kWanted);
  }
  return {};
}

const CollectorInfo kVmstatCollector{
    .name = "vmstat",
    .help = "Counters of the memory management (/proc/vmstat).",
    .interval_ms = 1000,
    .options = kOptions,
    .make = [](const KernelFiles& files,
               const Options& options) -> Result<std::unique_ptr<Collector>> {
      RE2::Options quiet;
      quiet.set_log_errors(false);
      auto wanted = std::make_shared<const RE2>(options.text("fields"), quiet);
      if (!wanted->ok()) {
        return invalid_option("fields", wanted->error());
      }
      return std::make_unique<VmstatCollector>(files, std::move(wanted));
    },
    .metrics =
        [] {
          return std::vector<MetricDoc>{
              {"node_vmstat_<name>", MetricKind::kUntyped, {}, std::string(kHelp)}};
        },
};

}  // namespace tidegauge
