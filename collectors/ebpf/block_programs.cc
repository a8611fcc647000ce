// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/block_programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "block.skel.h"
#include "collectors/ebpf/block_in_flight.h"
#include "collectors/ebpf/map_reader.h"
#include "collectors/ebpf/program_set.h"

namespace tidegauge {

namespace {

// One of two variants: since 5.11 (a54895fa057c; backported to 5.10 and not everywhere) without the queue.
constexpr ProgramSpec since_5_11(std::string_view name, std::string_view feature,
                                 std::string_view tracepoint, std::string_view type) {
  return {.name = name,
          .feature = feature,
          .tier = Tier::kTracepoint,
          .tracepoint = tracepoint,
          .typed_argument = 0,
          .argument_type = type,
          .alternative = tracepoint};
}

constexpr ProgramSpec before_5_11(std::string_view name, std::string_view feature,
                                  std::string_view tracepoint) {
  return since_5_11(name, feature, tracepoint, "struct request_queue *");
}

// Attached in this order: who ends requests before who begins them, so that none stays in flight unseen; who
// tells owners before who asks for them.
constexpr ProgramSpec kPrograms[] = {
    {.name = "block_folio_dirtied",
     .feature = "block_attribution",
     .tier = Tier::kTracepoint,
     .tracepoint = "writeback_dirty_folio",
     .alternative = "dirty"},
    {.name = "block_page_dirtied",  // before 5.19
     .feature = "block_attribution",
     .tier = Tier::kTracepoint,
     .tracepoint = "writeback_dirty_page",
     .alternative = "dirty"},
    since_5_11("block_bio_queued", "block_attribution", "block_bio_queue", "struct bio *"),
    before_5_11("block_bio_queued_q", "block_attribution", "block_bio_queue"),
    since_5_11("block_bio_split", "block_attribution", "block_split", "struct bio *"),
    before_5_11("block_bio_split_q", "block_attribution", "block_split"),
    {.name = "block_journal_handle",
     .feature = "block_journal",
     .tier = Tier::kTracepoint,
     .tracepoint = "jbd2_handle_stats",
     .module = "jbd2"},
    since_5_11("block_request_completed", "block", "block_rq_complete", "struct request *"),
    before_5_11("block_request_completed_q", "block", "block_rq_complete"),
    {.name = "block_request_completed_2",
     .feature = "block",
     .tier = Tier::kTracepoint,
     .tracepoint = "block_rq_complete",
     .argument_type = "struct request *",
     .optional = true},
    since_5_11("block_request_requeued", "block", "block_rq_requeue", "struct request *"),
    before_5_11("block_request_requeued_q", "block", "block_rq_requeue"),
    {.name = "block_request_merged",
     .feature = "block",
     .tier = Tier::kTracepoint,
     .tracepoint = "block_rq_merge",
     .argument_type = "struct request *",
     .optional = true},
    since_5_11("block_request_issued", "block", "block_rq_issue", "struct request *"),
    before_5_11("block_request_issued_q", "block", "block_rq_issue"),
};

struct Destroy {
  void operator()(block_bpf* skeleton) const { block_bpf__destroy(skeleton); }
};

class LoadedBlockPrograms final : public BlockPrograms {
 public:
  LoadedBlockPrograms(std::shared_ptr<EbpfRuntime> runtime, bool has_windows)
      : runtime_(std::move(runtime)), has_windows_(has_windows) {}

  // Whether tracing programs may lock is told nowhere but by the verifier. Those that may not load at all are not
  // tried in other ways.
  Result<void> load() override {
    constexpr Variant kVariants[] = {{.lock = true, .forgetting = true},
                                     {.lock = false, .forgetting = true},
                                     {.lock = true, .forgetting = false},
                                     {.lock = false, .forgetting = false}};
    Result<void> loaded;
    for (const Variant& variant : kVariants) {
      loaded = load_with(variant);
      if (programs_->active("block") || (!loaded && loaded.error().kind == ErrorKind::kDenied)) {
        break;
      }
    }
    return loaded;
  }

  Result<void> read_devices(
      const std::function<void(std::uint32_t, const tg_block_device&)>& visit) override {
    const int fd = ::bpf_map__fd(skeleton_->maps.devices);
    std::uint32_t number = 0;
    const std::uint32_t* from = nullptr;
    const std::uint64_t now_ns = monotonic_ns();
    for (unsigned i = 0; i < TG_BLOCK_DEVICES; ++i) {
      std::uint32_t next = 0;
      if (::bpf_map_get_next_key(fd, from, &next) != 0) {
        return errno == ENOENT ? Result<void>{} : system_error(errno, "BPF map of block devices");
      }
      number = next;
      from = &number;
      tg_block_device device{};
      if (::bpf_map_lookup_elem_flags(fd, &number, &device, BPF_F_LOCK) == 0) {
        device.busy_ns = busy_times_.shown_ns(number, device, now_ns);
        visit(number, device);
      }
    }
    return {};
  }

  Result<void> read_accounts(std::int64_t now_ns,
                             const std::function<void(const tg_block_account_key&,
                                                      const tg_block_account&)>& visit) override {
    const auto take = [&](const tg_block_account_key& key, const tg_block_account& added,
                          const tg_block_account&) { visit(key, added); };
    auto read = accounts_.fold(::bpf_map__fd(skeleton_->maps.accounts), now_ns, take);
    return read ? owner_accounts_.fold(::bpf_map__fd(skeleton_->maps.owner_accounts), now_ns, take)
                : read;
  }

  Result<void> read_journal(
      std::int64_t now_ns,
      const std::function<void(const tg_journal_key&, std::uint64_t)>& visit) override {
    const auto take = [&](const tg_journal_key& key, const tg_journal_account& added,
                          const tg_journal_account&) { visit(key, added.blocks); };
    auto read = journal_.fold(::bpf_map__fd(skeleton_->maps.journal), now_ns, take);
    return read ? journal_owners_.fold(::bpf_map__fd(skeleton_->maps.journal_owners), now_ns, take)
                : read;
  }

  Result<void> read_requests(const std::function<void(const tg_block_issued&)>& visit) override {
    const auto read = read_map(::bpf_map__fd(skeleton_->maps.requests), sizeof(std::uint64_t),
                               sizeof(tg_block_issued), [&](const char*, const char* value) {
                                 tg_block_issued request;
                                 std::memcpy(&request, value, sizeof(request));
                                 visit(request);
                               });
    return read ? Result<void>{} : tl::make_unexpected(read.error());
  }

  // Only a program can change what others change at the same time. Its tracepoint is one that this thread can
  // have fire.
  void forget_requests(const std::vector<tg_block_forgotten>& stale) override {
    bpf_program* program = skeleton_->progs.block_request_forgotten;
    if (stale.empty() || ::bpf_program__fd(program) < 0) {
      return;
    }
    bpf_link* link = ::bpf_program__attach(program);
    if (::libbpf_get_error(link) != 0) {
      take_libbpf_complaint();
      return;
    }
    std::array<char, 16> name{};
    ::prctl(PR_GET_NAME, name.data());
    const std::uint32_t only = 0;
    for (const tg_block_forgotten& request : stale) {
      if (::bpf_map_update_elem(::bpf_map__fd(skeleton_->maps.forgotten_request), &only, &request,
                                BPF_ANY) == 0) {
        ::prctl(PR_SET_NAME, name.data());
      }
    }
    ::bpf_link__destroy(link);
  }

  bool forget_device(std::uint32_t device) override {
    const int fd = ::bpf_map__fd(skeleton_->maps.devices);
    tg_block_device now{};
    if (::bpf_map_lookup_elem_flags(fd, &device, &now, BPF_F_LOCK) != 0 || now.in_flight == 0) {
      static_cast<void>(::bpf_map_delete_elem(fd, &device));
      busy_times_.forget(device);
      return true;
    }
    return false;
  }

  // The skeleton's own view of it is only of use to who loads by the skeleton.
  [[nodiscard]] tg_block_losses losses() const override {
    const std::uint32_t all = 0;
    std::vector<char> bytes(::bpf_map__value_size(skeleton_->maps.bss));
    std::remove_pointer_t<decltype(skeleton_->bss)> variables{};
    if (bytes.size() >= sizeof(variables) &&
        ::bpf_map_lookup_elem(::bpf_map__fd(skeleton_->maps.bss), &all, bytes.data()) == 0) {
      std::memcpy(&variables, bytes.data(), sizeof(variables));
    }
    return variables.losses;
  }
  [[nodiscard]] int owners_fd() const override { return runtime_->owners_fd(); }
  [[nodiscard]] bool active(std::string_view feature) const override {
    return programs_->active(feature);
  }
  void attach_waiting() override { programs_->attach_waiting(runtime_->kernel()); }

 private:
  struct Variant {
    bool lock;
    bool forgetting;  // with block_request_forgotten, which is no part of a feature
  };

  Result<void> load_with(const Variant& variant) {
    programs_.emplace("block", kPrograms, [this, variant]() -> bpf_object* {
      skeleton_.reset(::block_bpf__open_opts(runtime_->open_options()));
      if (skeleton_ == nullptr || runtime_->share_maps(skeleton_->obj) != 0) {
        return nullptr;
      }
      skeleton_->rodata->namespace_inode = runtime_->namespace_inode();
      skeleton_->rodata->has_lock = variant.lock ? 1 : 0;
      skeleton_->rodata->has_windows = has_windows_ ? 1 : 0;
      ::bpf_program__set_autoload(skeleton_->progs.block_request_forgotten, variant.forgetting);
      give_room(skeleton_->maps.dirty_files);
      skeleton_->rodata->page_shift =
          static_cast<std::uint32_t>(std::countr_zero(static_cast<unsigned long>(::getpagesize())));
      return skeleton_->obj;
    });
    return programs_->load(runtime_->kernel(), runtime_->limits());
  }

  // Each CPU takes 128 entries of an LRU map at once (LOCAL_FREE_TARGET in kernel/bpf/bpf_lru_list.c), whatever
  // its size before 6.16: of a small map it takes those of other CPUs, which are in use.
  static void give_room(bpf_map* map) {
    constexpr std::uint32_t kPerCpu = 256;
    const std::uint32_t least = kPerCpu * static_cast<std::uint32_t>(possible_cpus());
    ::bpf_map__set_max_entries(map, std::max(::bpf_map__max_entries(map), least));
  }

  std::shared_ptr<EbpfRuntime> runtime_;
  bool has_windows_;
  std::unique_ptr<block_bpf, Destroy> skeleton_;
  std::optional<ProgramSet> programs_;  // detached before skeleton_ goes
  MapFolder<tg_block_account_key, tg_block_account> accounts_{TG_BLOCK_ACCOUNTS, false};
  MapFolder<tg_block_account_key, tg_block_account> owner_accounts_{TG_BLOCK_OWNER_ACCOUNTS, false};
  MapFolder<tg_journal_key, tg_journal_account> journal_{TG_JOURNAL_ACCOUNTS, false};
  MapFolder<tg_journal_key, tg_journal_account> journal_owners_{TG_JOURNAL_OWNERS, false};
  BlockBusyTimes busy_times_;
};

}  // namespace

std::unique_ptr<BlockPrograms> BlockPrograms::make(std::shared_ptr<EbpfRuntime> runtime,
                                                   bool has_windows) {
  return std::make_unique<LoadedBlockPrograms>(std::move(runtime), has_windows);
}

std::uint64_t monotonic_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
         static_cast<std::uint64_t>(now.tv_nsec);
}

}  // namespace tidegauge
