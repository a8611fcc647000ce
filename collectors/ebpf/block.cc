// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/block.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "collectors/block/disk_bursts.h"
#include "collectors/block/disk_sampler.h"
#include "collectors/ebpf/block_devices.h"
#include "collectors/ebpf/block_in_flight.h"
#include "collectors/ebpf/block_ledger.h"
#include "collectors/ebpf/block_programs.h"
#include "collectors/ebpf/block_tables.h"
#include "collectors/ebpf/block_window_fold.h"
#include "collectors/ebpf/owner_groups.h"

namespace tidegauge {

namespace {

constexpr std::int64_t kMinuteNs = 60'000'000'000;
constexpr std::string_view kNobody = "(unattributed)";
constexpr std::int64_t kLongestRetryNs = 60 * kMinuteNs;

class EbpfBlockCollector final : public Collector {
 public:
  EbpfBlockCollector(const KernelFiles& files, std::size_t max_groups, std::size_t top,
                     bool has_bursts)
      : files_(files),
        has_bursts_(has_bursts),
        devices_(files),
        groups_(files, max_groups, [this](std::uint32_t group) { ledger_.forget_group(group); }),
        ledger_(top) {}

  // Without eBPF there are only bursts to show: the collector `ebpf` tells why.
  Result<void> collect(CollectContext& context, Section& out) override {
    if (context.boottime_ns >= next_try_ns_) {
      load_or_attach(context.boottime_ns);
    }
    if (!is_loaded_ || !programs_->active("block")) {
      return sample(context, out);
    }
    if (sampler_) {
      sampler_.reset();
      bursts_.begin_anew();
    }
    return pass(context, out);
  }

 private:
  struct Seen {
    std::uint32_t number;
    std::string name;
    tg_block_device device;
  };

  // Programs that failed are kept until the next try: what they have on record is shown. What a verifier refuses
  // it will refuse again, and takes its time for it: so tries become rare.
  void load_or_attach(std::int64_t now_ns) {
    if (is_loaded_) {
      programs_->attach_waiting();
      next_try_ns_ = now_ns + kMinuteNs;
      return;
    }
    next_try_ns_ = now_ns + retry_ns_;
    retry_ns_ = std::min(2 * retry_ns_, kLongestRetryNs);
    programs_.reset();
    auto runtime = shared_ebpf_runtime(files_);
    if (!runtime) {
      return;
    }
    programs_ = BlockPrograms::make(std::move(*runtime), has_bursts_);
    is_loaded_ = programs_->load().has_value();
  }

  Result<void> pass(CollectContext& context, Section& out) {
    const std::uint64_t begin_ns = monotonic_ns();
    if (auto names = devices_.refresh(*context.buffer); !names) {
      return names;
    }
    groups_.begin_pass(context, programs_->owners_fd());
    ledger_.begin_pass(context.boottime_ns);
    // First the parts, then the whole: what ends in between is not more than it.
    const bool attributed = programs_->active("block_attribution");
    if (auto read = attributed ? read_accounts(context.boottime_ns) : Result<void>{}; !read) {
      return read;
    }
    if (auto read = read_devices(); !read) {
      return read;
    }
    if (auto read = forget_stale(begin_ns); !read) {
      return read;
    }
    ledger_.settle();
    std::vector<BlockDeviceSample> samples;
    samples.reserve(seen_.size());
    for (const Seen& seen : seen_) {
      samples.push_back({seen.number, seen.name, &seen.device});
    }
    tables_.fill(
        samples, attributed ? &ledger_ : nullptr,
        [this](std::uint32_t group) { return groups_.name(group); }, programs_->losses(), out);
    if (has_bursts_) {
      fold_windows_of_all(begin_ns, attributed);
      fill_bursts(context, begin_ns, out);
    }
    return {};
  }

  Result<void> sample(CollectContext& context, Section& out) {
    if (!has_bursts_ || context.is_capture) {
      return {};
    }
    if (!sampler_) {
      bursts_.begin_anew();
      sampler_.emplace(files_, bursts_);
    }
    auto sampled = sampler_->with([&] { fill_bursts(context, monotonic_ns(), out); });
    context.helpers_cpu_ns += sampler_->take_cpu_ns();
    return sampled;
  }

  void fold_windows_of_all(std::uint64_t now_ns, bool is_attributed) {
    for (const Seen& seen : seen_) {
      if (seen.device.window.number == 0) {
        continue;
      }
      if (DiskWindows* windows = bursts_.find_or_add(seen.number, seen.name)) {
        fold_windows(seen.device, now_ns, is_attributed, *windows);
      }
    }
  }

  void fill_bursts(const CollectContext& context, std::uint64_t now_ns, Section& out) {
    bursts_.fill(
        context.realtime_ns - static_cast<std::int64_t>(now_ns),
        [this](const WindowUser& user) { return name_user(user); }, out);
  }

  WindowUserName name_user(const WindowUser& user) {
    if ((user.tgid & TG_WINDOW_NOBODY) != 0) {
      return {.group = std::string(kNobody),
              .pid = {},
              .comm = {},
              .reason = std::string(block_reason_name(user.tgid & ~TG_WINDOW_NOBODY))};
    }
    const BlockParty party = party_of(user.owner, user.tgid);
    return {.group = std::string(groups_.name(party.group)),
            .pid = user.tgid != 0 ? std::to_string(user.tgid) : std::string(),
            .comm = party.comm,
            .reason = {}};
  }

  BlockParty party_of(std::uint32_t owner, std::uint32_t tgid) {
    BlockParty party{.group = groups_.group_of(owner), .tgid = tgid, .comm = {}};
    if (const tg_owner* known = groups_.find(owner); known != nullptr && tgid != 0) {
      party.comm = known->comm;
    }
    return party;
  }

  Result<void> read_accounts(std::int64_t now_ns) {
    auto read = programs_->read_accounts(
        now_ns, [this](const tg_block_account_key& key, const tg_block_account& added) {
          const BlockAmount amount{added.busy_ns, added.bytes};
          if (key.reason == TG_BLOCK_OWNED) {
            ledger_.charge(key.device, key.operation, party_of(key.owner, key.tgid), amount);
          } else {
            ledger_.charge_nobody(key.device, key.operation, key.reason, amount);
          }
        });
    if (!read) {
      return read;
    }
    return programs_->read_journal(now_ns, [this](const tg_journal_key& key, std::uint64_t blocks) {
      for (const std::uint32_t disk : devices_.disks_below(key.device)) {
        ledger_.add_journal_weight(disk, party_of(key.owner, key.tgid), blocks);
      }
    });
  }

  Result<void> read_devices() {
    seen_.clear();
    auto read =
        programs_->read_devices([this](std::uint32_t number, const tg_block_device& device) {
          const std::string name(device.name, ::strnlen(device.name, sizeof(device.name)));
          if (!name.empty()) {
            seen_.push_back({number, name, device});
          }
        });
    std::erase_if(seen_, [this](const Seen& seen) {
      if (devices_.is_present(seen.number, seen.name)) {
        return false;
      }
      if (programs_->forget_device(seen.number)) {
        ledger_.forget_device(seen.number);
        bursts_.forget(seen.number);
        stale_.forget(seen.number);
      }
      return true;
    });
    return read;
  }

  Result<void> forget_stale(std::uint64_t begin_ns) {
    std::vector<tg_block_forgotten> found;
    for (const Seen& seen : seen_) {
      // Asked of the kernel only while there is something.
      const auto in_progress = seen.device.in_flight != 0 ? devices_.in_progress(seen.number)
                                                          : std::optional<std::uint64_t>(0);
      const auto until_ns = in_progress
                                ? stale_.look(seen.number, seen.device, *in_progress, begin_ns)
                                : std::nullopt;
      if (!until_ns) {
        continue;
      }
      StaleRequests::find(seen.number, seen.device.issued, *until_ns, found);
      auto read = programs_->read_requests([&](const tg_block_issued& request) {
        StaleRequests::find(seen.number, {&request, 1}, *until_ns, found);
      });
      if (!read) {
        return read;
      }
    }
    programs_->forget_requests(found);
    return {};
  }

  KernelFiles files_;
  bool has_bursts_;
  BlockDevices devices_;
  OwnerGroups groups_;
  BlockLedger ledger_;
  BlockTables tables_;
  std::unique_ptr<BlockPrograms> programs_;
  bool is_loaded_ = false;
  StaleRequests stale_;
  DiskBursts bursts_;
  std::optional<DiskSampler> sampler_;  // where there are no programs
  std::vector<Seen> seen_;
  std::int64_t next_try_ns_ = 0;
  std::int64_t retry_ns_ = kMinuteNs;
};

constexpr OptionSpec kOptions[] = {
    {.key = "bursts",
     .flag = "bursts",
     .type = OptionType::kBool,
     .default_text = "true",
     .help =
         "Keep windows of 100 ms of each device: bursts that a second does not show. Where there "
         "are no BPF "
         "programs a thread reads /proc/diskstats for them every 50 ms while disks are in use."},
    {.key = "max_groups",
     .flag = "max-groups",
     .type = OptionType::kInteger,
     .default_text = "200",
     .help = "Groups of processes that are told apart; the others count for \"other\".",
     .min = 1,
     .max = 10'000},
    {.key = "top",
     .flag = "top",
     .type = OptionType::kInteger,
     .default_text = "10",
     .help = "How many processes the devices are busiest for have series of their own; 0: none.",
     .min = 0,
     .max = 1'000},
};

Result<std::unique_ptr<Collector>> make_block(const KernelFiles& files, const Options& options) {
  return std::make_unique<EbpfBlockCollector>(
      files, static_cast<std::size_t>(options.integer("max_groups")),
      static_cast<std::size_t>(options.integer("top")), options.boolean("bursts"));
}

}  // namespace

const CollectorInfo kEbpfBlockCollector{
    .name = "ebpf_block",
    .help =
        "Requests of block devices (BPF): their times apart in queue and device, and the device's "
        "busy time by who caused it, and bursts; without BPF bursts alone.",
    .interval_ms = 1'000,
    .lane = Lane::kWorker,
    .refresh = false,
    .stretch = true,
    .options = kOptions,
    .make = make_block,
    .metrics =
        [] {
          std::vector<MetricDoc> docs = BlockTables::documentation();
          for (MetricDoc& doc : DiskBursts::documentation()) {
            docs.push_back(std::move(doc));
          }
          return docs;
        },
};

}  // namespace tidegauge
