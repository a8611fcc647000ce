// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/task_iterator.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <string>
#include <utility>
#include <vector>

#include "bpf/task_records.h"
#include "collectors/core/text.h"
#include "collectors/ebpf/kprobe_events.h"
#include "collectors/ebpf/program_source.h"
#include "collectors/process/task_merge.h"
#include "tasks.skel.h"

namespace tidegauge {

namespace {

// include/linux/proc_ns.h, PROC_PID_INIT_INO: fixed for good.
constexpr std::uint32_t kInitialPidNamespace = 0xEFFFFFFC;
constexpr std::size_t kReadBytes = 64U * 1024;  // the kernel hands out 32 KiB at a time
constexpr std::uint32_t kExitBatch = 1024;

tl::unexpected<Error> refused(int errno_value, std::string what) {
  const ErrorKind kind =
      errno_value == EPERM || errno_value == EACCES ? ErrorKind::kDenied : ErrorKind::kUnsupported;
  return tl::make_unexpected(Error{kind, errno_value, std::move(what)});
}

struct Skeleton {
  void operator()(tasks_bpf* skeleton) const { tasks_bpf__destroy(skeleton); }
};
using SkeletonPtr = std::unique_ptr<tasks_bpf, Skeleton>;

// The iterator walks the pid namespace of who reads it: only where that is the one procfs shows are
// its numbers the ones the rest of the daemon knows. Reasons become a label: no paths in them.
Result<void> check_namespace(const KernelFiles& files) {
  ReadBuffer buffer;
  const auto status = read_file(files.proc("self/status"), buffer);
  if (!status) {
    return refused(0, "--path.procfs is not of this daemon's pid namespace");
  }
  LineReader lines(*status);
  for (std::string_view line; lines.next(line);) {
    if (!line.starts_with("NSpid:")) {
      continue;
    }
    line.remove_prefix(6);
    const auto first = next_unsigned(line);
    if (!first || *first != static_cast<std::uint64_t>(::getpid()) || !next_field(line).empty()) {
      return refused(0, "--path.procfs is of an outer pid namespace");
    }
    return {};
  }
  return refused(0, "--path.procfs is not this kernel's");
}

class TaskIterator final : public TaskSource, public ProgramSource {
 public:
  TaskIterator(SkeletonPtr skeleton, bool counts_syncs, std::string why_no_better,
               KernelFile delay_switch)
      : skeleton_(std::move(skeleton)),
        counts_syncs_(counts_syncs),
        why_no_better_(std::move(why_no_better)),
        delay_switch_(std::move(delay_switch)),
        records_(kReadBytes),
        keys_(kExitBatch),
        ended_(kExitBatch) {
    ProgramSources::all().add(this);
    ProgramSources::all().changed();
  }
  ~TaskIterator() override { ProgramSources::all().remove(this); }

  [[nodiscard]] std::string_view object() const override { return "tasks"; }
  // Whoever is shown by them cannot do without; there is no tier between this and /proc.
  void shed(std::string_view /*feature*/, const std::string& /*reason*/) override {}
  [[nodiscard]] std::vector<ProgramStatus> statuses() const override {
    std::vector<ProgramStatus> out;
    bpf_program* program = nullptr;
    while ((program = ::bpf_object__next_program(skeleton_->obj, program)) != nullptr) {
      const std::string_view section = ::bpf_program__section_name(program);
      const std::string_view name = ::bpf_program__name(program);
      const bool loaded = ::bpf_program__autoload(program);
      out.push_back(
          {.name = std::string(name),
           .feature = name.find("_sync_") == std::string_view::npos ? "tasks" : "task_syncs",
           .tier = section.starts_with("iter") ? Tier::kIterator
                   : section.starts_with("f")  ? Tier::kTrampoline
                   : section.starts_with("k")  ? Tier::kKprobe
                                               : Tier::kTracepoint,
           .state = loaded ? ProgramState::kAttached : ProgramState::kMissing,
           .reason = loaded ? "" : why_no_better_,
           .can_be_shed = false,
           .fd = loaded ? ::bpf_program__fd(program) : -1});
    }
    return out;
  }

  [[nodiscard]] std::string_view name() const override { return "iterator"; }

  // Once, before the first pass.
  Result<void> prepare() {
    auto first = keep_nameless(skeleton_->maps.exits_0);
    return first ? keep_nameless(skeleton_->maps.exits_1) : first;
  }

  Result<void> pass(CollectContext& context, TaskPass& out) override {
    tg_exit_control& control = skeleton_->data->control;
    // From now on every end has its own entry, until it is known who was seen.
    __atomic_store_n(&control.known_before_ns, ~0ULL, __ATOMIC_RELAXED);
    const std::uint32_t drained = control.active;
    std::memset(skeleton_->bss->stirred[1 - drained], 0, TG_STIRRED);
    __atomic_store_n(&control.active, 1 - drained, __ATOMIC_SEQ_CST);
    control.want_base = first_ ? 1 : 0;
    auto iterated = iterate(context);
    if (!iterated && iterated.error().kind == ErrorKind::kMalformed) {
      iterated = iterate(context);  // in full
    }
    if (!iterated) {
      return iterated;
    }
    first_ = false;
    merge_.set_features(features(context));
    bpf_map* map = drained == 0 ? skeleton_->maps.exits_0 : skeleton_->maps.exits_1;
    if (auto emptied = drain(map, out); !emptied) {
      return emptied;
    }
    if (auto kept = keep_nameless(map); !kept) {
      return kept;
    }
    merge_.finish(out);
    if (read_after_us_ != 0) {
      for (ProcessSample& sample : out.processes) {
        sample.read_after_us = read_after_us_;
      }
    }
    out.lost_exits += skeleton_->bss->losses.unrecorded + missed_exits();
    tell_missing(out);
    return {};
  }

 private:
  // After a pass that failed everything is told in full: the two sides may not remember the same.
  void prepare_memory() {
    tg_task_memory& memory = skeleton_->bss->memory;
    memory.known = is_remembered_ ? std::min<std::uint32_t>(memory.written, TG_TASK_SLOTS) : 0;
    memory.read_at = 0;
    memory.written = 0;
    memory.last_tid = 0;
    memory.turn = (memory.turn + 1) % TG_TURNS;
  }

  // Ends that all three programs were left out of. Those missed during this pass may yet be met again. The
  // kernel tells it since 5.12, long before it happened.
  std::uint64_t missed_exits() {
    bpf_prog_info info{};
    std::uint32_t bytes = sizeof(info);
    const int fd = ::bpf_program__fd(skeleton_->progs.task_exits);
    if (::bpf_obj_get_info_by_fd(fd, &info, &bytes) != 0) {
      return lost_exits_;
    }
    const std::uint64_t missed = std::exchange(missed_exits_, info.recursion_misses);
    const std::uint64_t met_again = skeleton_->bss->losses.met_again;
    lost_exits_ = std::max(lost_exits_, missed > met_again ? missed - met_again : 0);
    return lost_exits_;
  }

  Result<void> iterate(const CollectContext& context) {
    prepare_memory();
    is_remembered_ = false;
    merge_.begin();
    auto outcome = read_all(context);
    is_remembered_ = outcome.has_value();
    return outcome;
  }

  Result<void> read_all(const CollectContext& context) {
    const int fd = ::bpf_iter_create(::bpf_link__fd(skeleton_->links.dump_task));
    if (fd < 0) {
      return system_error(-fd, "BPF iterator over tasks");
    }
    read_after_us_ = PassTime(context).after_us();  // of all: they are read within milliseconds
    Result<void> outcome;
    while (outcome) {
      const ssize_t got = ::read(fd, records_.data(), records_.size());
      if (got == 0) {
        break;
      }
      if (got > 0) {
        outcome = merge_.add_records({records_.data(), static_cast<std::size_t>(got)});
      } else if (errno != EAGAIN && errno != EINTR) {
        outcome = system_error(errno, "BPF iterator over tasks");
      }
    }
    ::close(fd);
    return outcome;
  }

  // The place for ends that find no other: made while the map is empty.
  static Result<void> keep_nameless(const bpf_map* map) {
    const tg_process_key nameless{};
    tg_exit nobody{};
    nobody.uid = kUnknownUid;
    if (::bpf_map__update_elem(map, &nameless, sizeof(nameless), &nobody, sizeof(nobody),
                               BPF_NOEXIST) != 0 &&
        errno != EEXIST) {
      return system_error(errno, "BPF map of ended tasks");
    }
    return {};
  }

  Result<void> drain(bpf_map* map, TaskPass& out) {
    const int fd = ::bpf_map__fd(map);
    std::uint32_t position = 0;
    bool begun = false;
    while (true) {
      std::uint32_t count = kExitBatch;
      const int failed = ::bpf_map_lookup_and_delete_batch(
          fd, begun ? &position : nullptr, &position, keys_.data(), ended_.data(), &count, nullptr);
      if (failed != 0 && errno != ENOENT) {
        return system_error(errno, "BPF map of ended tasks");
      }
      for (std::uint32_t i = 0; i < count; ++i) {
        if (ended_[i].tasks != 0) {
          merge_.add_exit(keys_[i], ended_[i], out);
        }
      }
      if (failed != 0) {
        return {};
      }
      begun = true;
    }
  }

  // What this kernel counts now: delay accounting can be switched off at any time.
  std::uint32_t features(CollectContext& context) {
    std::uint32_t features = skeleton_->bss->features;
    features |= counts_syncs_ ? std::uint32_t{TG_FEATURE_SYNC} : 0U;
    const auto text = delay_switch_.read(*context.buffer, kMaxSmallFileBytes);
    delays_off_ = text && trim(*text) == "0";
    return delays_off_ ? features & ~std::uint32_t{TG_FEATURE_DELAYS} : features;
  }

  void tell_missing(TaskPass& out) {
    const std::uint32_t features = skeleton_->bss->features;
    const auto tell = [&](std::uint32_t feature, const char* field, const char* reason) {
      if ((features & feature) == 0) {
        out.missing.push_back({field, reason, 0});
      }
    };
    tell(TG_FEATURE_STORAGE, "io", "this kernel has no CONFIG_TASK_IO_ACCOUNTING");
    tell(TG_FEATURE_SYSCALLS, "io", "this kernel has no CONFIG_TASK_XACCT");
    tell(TG_FEATURE_RUN_DELAY, "run_delay", "this kernel has no CONFIG_SCHED_INFO");
    if (!counts_syncs_) {
      out.missing.push_back(
          {"syncs", "this kernel lets no BPF program see them (fentry, tracepoints of ext4)", 0});
    }
    if ((features & TG_FEATURE_DELAYS) == 0) {
      out.missing.push_back({"block_delay", "this kernel has no CONFIG_TASK_DELAY_ACCT", 0});
      return;
    }
    const std::uint64_t uncounted = merge_.without_delays();
    if (uncounted == 0) {
      return;
    }
    out.missing.push_back({"block_delay",
                           delays_off_
                               ? "delay accounting is off; sysctl kernel.task_delayacct=1 counts "
                                 "for processes started afterwards"
                               : "started before delay accounting was switched on",
                           uncounted});
  }

  SkeletonPtr skeleton_;
  bool counts_syncs_;
  std::string why_no_better_;  // tier of its syncs
  bool delays_off_ = false;
  KernelFile delay_switch_;
  TaskMerge merge_;
  bool first_ = true;
  std::uint64_t missed_exits_ = 0;  // by the first of the programs, as of the last pass
  std::uint64_t lost_exits_ = 0;    // by all
  bool is_remembered_ = false;      // the last pass, by both sides
  std::uint32_t read_after_us_ = 0;
  std::vector<char> records_;
  std::vector<tg_process_key> keys_;
  std::vector<tg_exit> ended_;
};

// Of the daemon's own pid namespace; 0 when that is the initial one.
Result<std::uint32_t> namespace_inode(const KernelFiles& files) {
  struct stat info {};
  const std::string path = files.proc("self/ns/pid");
  if (::stat(path.c_str(), &info) != 0) {
    return system_error(errno, "the daemon's pid namespace cannot be told");
  }
  const auto inode = static_cast<std::uint32_t>(info.st_ino);
  return inode == kInitialPidNamespace ? 0 : inode;
}

// How syncs are counted, see bpf/task_sync.bpf.h; the best first.
enum class SyncTier : std::uint8_t { kTrampolines, kKprobes, kTracepoints, kNone };

// Those of the tracepoints of synchronisation that the kernel itself has. For one that is in no BTF libbpf would
// search all modules, which takes CAP_SYS_ADMIN.
Result<std::vector<std::string_view>> sync_tracepoints() {
  const auto turn = loading_turn();
  const std::unique_ptr<btf, decltype(&::btf__free)> kernel(::btf__load_vmlinux_btf(), ::btf__free);
  if (::libbpf_get_error(kernel.get()) != 0) {
    return refused(0, "this kernel describes no types (CONFIG_DEBUG_INFO_BTF)");
  }
  std::vector<std::string_view> out;
  for (const std::string_view name :
       {"ext4_sync_file_enter", "ext4_sync_file_exit", "xfs_file_fsync", "btrfs_sync_file"}) {
    if (::btf__find_by_name_kind(kernel.get(), ("btf_trace_" + std::string(name)).c_str(),
                                 BTF_KIND_TYPEDEF) > 0) {
      out.push_back(name);
    }
  }
  return out;
}

constexpr std::string_view kTasksObject = "tasks";
#if defined(__aarch64__)
#define TIDEGAUGE_CALL_FUNCTION "__arm64_sys_"
#else
#define TIDEGAUGE_CALL_FUNCTION "__x64_sys_"
#endif

constexpr ProbedFunction kProbedFunctions[] = {
    {"probed_vfs_sync_begins", "vfs_fsync_range", false},
    {"probed_vfs_sync_ends", "vfs_fsync_range", true},
    {"probed_fsync_sync_begins", TIDEGAUGE_CALL_FUNCTION "fsync", false},
    {"probed_fsync_sync_ends", TIDEGAUGE_CALL_FUNCTION "fsync", true},
    {"probed_fdatasync_sync_begins", TIDEGAUGE_CALL_FUNCTION "fdatasync", false},
    {"probed_fdatasync_sync_ends", TIDEGAUGE_CALL_FUNCTION "fdatasync", true},
};

// False when the tier has nothing to load on this kernel.
bool choose_sync_programs(tasks_bpf& skeleton, SyncTier tier,
                          const std::vector<std::string_view>& tracepoints) {
  struct Choice {
    bpf_program* program;
    SyncTier tier;
    std::string_view tracepoint;  // "" where it is none
  };
  const Choice choices[] = {
      {skeleton.progs.vfs_sync_begins, SyncTier::kTrampolines, ""},
      {skeleton.progs.vfs_sync_ends, SyncTier::kTrampolines, ""},
      {skeleton.progs.fsync_sync_begins, SyncTier::kTrampolines, ""},
      {skeleton.progs.fsync_sync_ends, SyncTier::kTrampolines, ""},
      {skeleton.progs.fdatasync_sync_begins, SyncTier::kTrampolines, ""},
      {skeleton.progs.fdatasync_sync_ends, SyncTier::kTrampolines, ""},
      {skeleton.progs.probed_vfs_sync_begins, SyncTier::kKprobes, ""},
      {skeleton.progs.probed_vfs_sync_ends, SyncTier::kKprobes, ""},
      {skeleton.progs.probed_fsync_sync_begins, SyncTier::kKprobes, ""},
      {skeleton.progs.probed_fsync_sync_ends, SyncTier::kKprobes, ""},
      {skeleton.progs.probed_fdatasync_sync_begins, SyncTier::kKprobes, ""},
      {skeleton.progs.probed_fdatasync_sync_ends, SyncTier::kKprobes, ""},
      {skeleton.progs.ext4_sync_begins, SyncTier::kTracepoints, "ext4_sync_file_enter"},
      {skeleton.progs.ext4_sync_ends, SyncTier::kTracepoints, "ext4_sync_file_exit"},
      {skeleton.progs.xfs_sync_begins, SyncTier::kTracepoints, "xfs_file_fsync"},
      {skeleton.progs.btrfs_sync_begins, SyncTier::kTracepoints, "btrfs_sync_file"},
  };
  bool any = tier == SyncTier::kNone;
  for (const Choice& choice : choices) {
    const bool wanted = choice.tier == tier && (choice.tracepoint.empty() ||
                                                std::find(tracepoints.begin(), tracepoints.end(),
                                                          choice.tracepoint) != tracepoints.end());
    ::bpf_program__set_autoload(choice.program, wanted);
    any = any || wanted;
  }
  return any;
}

// Before the others, as the skeleton leaves alone what is attached. 0 or -errno.
int attach_kprobes(tasks_bpf& skeleton) {
  const std::pair<bpf_program*, bpf_link**> kprobes[] = {
      {skeleton.progs.probed_vfs_sync_begins, &skeleton.links.probed_vfs_sync_begins},
      {skeleton.progs.probed_vfs_sync_ends, &skeleton.links.probed_vfs_sync_ends},
      {skeleton.progs.probed_fsync_sync_begins, &skeleton.links.probed_fsync_sync_begins},
      {skeleton.progs.probed_fsync_sync_ends, &skeleton.links.probed_fsync_sync_ends},
      {skeleton.progs.probed_fdatasync_sync_begins, &skeleton.links.probed_fdatasync_sync_begins},
      {skeleton.progs.probed_fdatasync_sync_ends, &skeleton.links.probed_fdatasync_sync_ends},
  };
  for (const auto& [program, link] : kprobes) {
    bpf_link* attached = attach_program(kTasksObject, program);
    if (const long failed = ::libbpf_get_error(attached); failed != 0) {
      return static_cast<int>(failed);
    }
    *link = attached;
  }
  return 0;
}

Result<SkeletonPtr> load(std::uint32_t namespace_of_ours, SyncTier tier,
                         const std::vector<std::string_view>& tracepoints) {
  static_cast<void>(take_libbpf_complaint());
  SkeletonPtr skeleton(::tasks_bpf__open());
  if (skeleton == nullptr) {
    return refused(errno, "libbpf cannot open its program");
  }
  skeleton->rodata->namespace_inode = namespace_of_ours;
  if (!choose_sync_programs(*skeleton, tier, tracepoints)) {
    return refused(0, "nothing to count syncs with");
  }
  int failed = [&] {
    const auto turn = loading_turn();
    return ::tasks_bpf__load(skeleton.get());
  }();
  if (failed == 0 && tier == SyncTier::kKprobes) {
    failed = attach_kprobes(*skeleton);
  }
  if (failed == 0) {
    failed = ::tasks_bpf__attach(skeleton.get());
  }
  if (failed == 0) {
    return skeleton;
  }
  std::string reason = failed == -EPERM || failed == -EACCES
                           ? "loading BPF programs needs CAP_BPF and CAP_PERFMON"
                           : "the kernel refuses the BPF programs";
  if (const std::string complaint = take_libbpf_complaint(); !complaint.empty()) {
    reason.append(": ").append(trim(complaint));
  }
  return refused(-failed, std::move(reason));
}

struct Loaded {
  SkeletonPtr skeleton;
  SyncTier tier;
  std::string why_no_better;
};

// Passes over tasks matter more than syncs: whatever goes wrong with these, those are tried without.
Result<Loaded> load_best(std::uint32_t namespace_of_ours) {
  capture_libbpf_messages();
  const auto tracepoints = sync_tracepoints();
  if (!tracepoints) {
    return tl::make_unexpected(tracepoints.error());
  }
  Error last;
  std::string why;
  constexpr std::pair<SyncTier, Tier> kTiers[] = {{SyncTier::kTrampolines, Tier::kTrampoline},
                                                  {SyncTier::kKprobes, Tier::kKprobe},
                                                  {SyncTier::kTracepoints, Tier::kTracepoint},
                                                  {SyncTier::kNone, Tier::kIterator}};
  for (const auto& [sync_tier, tier] : kTiers) {
    if (tier < highest_tier()) {
      why = "not wanted: " + std::string(tier_name(highest_tier())) + " is configured";
      continue;
    }
    auto skeleton = load(namespace_of_ours, sync_tier, *tracepoints);
    if (skeleton) {
      // What is refused here is allowed in another tier: no privilege is missing.
      return Loaded{std::move(*skeleton), sync_tier, std::move(why)};
    }
    last = skeleton.error();
    if (why.empty()) {
      why = "this kernel refuses trampolines: " + std::string(std::strerror(last.errno_value));
    }
  }
  return tl::make_unexpected(std::move(last));
}

}  // namespace

void open_task_kprobes(const KernelFiles& files) {
  open_kprobes(files, kTasksObject, kProbedFunctions);
}

Result<std::unique_ptr<TaskSource>> make_task_iterator(const KernelFiles& files) {
  if (auto ours = check_namespace(files); !ours) {
    return tl::make_unexpected(ours.error());
  }
  if (highest_tier() == Tier::kOff) {
    return refused(0, "collectors.ebpf.highest_tier is off");
  }
  const auto inode = namespace_inode(files);
  if (!inode) {
    return tl::make_unexpected(inode.error());
  }
  auto loaded = load_best(*inode);
  if (!loaded) {
    return tl::make_unexpected(loaded.error());
  }
  auto iterator = std::make_unique<TaskIterator>(
      std::move(loaded->skeleton), loaded->tier != SyncTier::kNone,
      std::move(loaded->why_no_better), files.proc_file("sys/kernel/task_delayacct"));
  if (auto ready = iterator->prepare(); !ready) {
    return tl::make_unexpected(ready.error());
  }
  return iterator;
}

}  // namespace tidegauge
