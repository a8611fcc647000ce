// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/owner_maps.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "bpf/owner_records.h"
#include "collectors/ebpf/map_reader.h"
#include "owners.skel.h"

namespace tidegauge {

namespace {

// include/linux/proc_ns.h, PROC_PID_INIT_INO: fixed for good.
constexpr std::uint32_t kInitialPidNamespace = 0xEFFFFFFC;

constexpr ProgramSpec kOwnerPrograms[] = {
    {.name = "owner_calls_exec",
     .feature = "owners",
     .tier = Tier::kTracepoint,
     .tracepoint = "sched_process_exec",
     .can_be_shed = false},
    {.name = "owner_is_renamed",
     .feature = "owners",
     .tier = Tier::kTracepoint,
     .tracepoint = "task_rename",
     .optional = true,
     .can_be_shed = false},
};

struct Destroy {
  void operator()(owners_bpf* skeleton) const { owners_bpf__destroy(skeleton); }
};
using OwnersPtr = std::unique_ptr<owners_bpf, Destroy>;

class Runtime final : public EbpfRuntime {
 public:
  explicit Runtime(std::shared_ptr<const KernelBtf> kernel) : kernel_(std::move(kernel)) {
    options_.sz = sizeof(options_);
    options_.btf_custom_path =
        kernel_->custom_path().empty() ? nullptr : kernel_->custom_path().c_str();
  }

  Result<void> prepare(const KernelFiles& files) {
    namespace_inode_ = own_namespace(files);
    find_limits(files);
    programs_ = std::make_unique<ProgramSet>("owners", kOwnerPrograms, [this]() -> bpf_object* {
      owners_.reset(::owners_bpf__open_opts(&options_));
      if (owners_ == nullptr) {
        return nullptr;
      }
      owners_->rodata->namespace_inode = namespace_inode_;
      // In many kernels each CPU may keep 128 places of an LRU map to itself.
      static_cast<void>(::bpf_map__set_max_entries(
          owners_->maps.owner_cache,
          std::max<std::uint32_t>(TG_OWNER_CACHE,
                                  256U * static_cast<std::uint32_t>(possible_cpus()))));
      ::bpf_program__set_autoload(owners_->progs.trampoline_probe, false);
      return owners_->obj;
    });
    return programs_->load(*kernel_, limits_);
  }

  [[nodiscard]] const KernelBtf& kernel() const override { return *kernel_; }
  [[nodiscard]] const TierLimits& limits() const override { return limits_; }
  [[nodiscard]] std::uint32_t namespace_inode() const override { return namespace_inode_; }
  [[nodiscard]] int owners_fd() const override { return ::bpf_map__fd(owners_->maps.owners); }
  [[nodiscard]] const bpf_object_open_opts* open_options() const override { return &options_; }

  int share_maps(bpf_object* object) const override {
    for (bpf_map* ours : {owners_->maps.owners, owners_->maps.owner_cache}) {
      bpf_map* theirs = ::bpf_object__find_map_by_name(object, ::bpf_map__name(ours));
      if (theirs == nullptr) {
        return -ENOENT;
      }
      if (const int failed = ::bpf_map__reuse_fd(theirs, ::bpf_map__fd(ours)); failed != 0) {
        return failed;
      }
    }
    return 0;
  }

  bool make_room() override {
    kernel_->forget_types();
    if (keys_of(owners_->maps.owners).size() < TG_OWNERS / 4 * 3) {
      return false;
    }
    // The processes after the owners: who is found meanwhile is entered again.
    for (bpf_map* map : {owners_->maps.owners, owners_->maps.owner_cache}) {
      for (const std::uint32_t key : keys_of(map)) {
        static_cast<void>(::bpf_map__delete_elem(map, &key, sizeof(key), 0));
      }
    }
    return true;
  }

 private:
  static std::vector<std::uint32_t> keys_of(const bpf_map* map) {
    std::vector<std::uint32_t> out;
    static_cast<void>(read_map(::bpf_map__fd(map), sizeof(std::uint32_t),
                               ::bpf_map__value_size(map), [&](const char* key, const char*) {
                                 std::uint32_t number = 0;
                                 std::memcpy(&number, key, sizeof(number));
                                 out.push_back(number);
                               }));
    return out;
  }

  static std::uint32_t own_namespace(const KernelFiles& files) {
    struct stat info {};
    if (::stat(files.proc("self/ns/pid").c_str(), &info) != 0) {
      return 0;
    }
    const auto inode = static_cast<std::uint32_t>(info.st_ino);
    return inode == kInitialPidNamespace ? 0 : inode;
  }

  void find_limits(const KernelFiles& files) {
    limits_.best = highest_tier();
    if (limits_.best == Tier::kTrampoline) {
      limits_.trampoline_refused = trampolines_refused(files.roots().btf);
    }
    if (::access(files.sys("bus/event_source/devices/kprobe/type").c_str(), R_OK) != 0) {
      limits_.kprobe_refused = "this kernel has no kprobes";
    }
  }

  std::shared_ptr<const KernelBtf> kernel_;
  bpf_object_open_opts options_{};
  TierLimits limits_;
  std::uint32_t namespace_inode_ = 0;
  OwnersPtr owners_;
  std::unique_ptr<ProgramSet> programs_;  // before owners_ goes
};

}  // namespace

std::string trampolines_refused(const std::string& btf_path) {
  static std::mutex mutex;
  // Never destroyed: a worker may still ask while the process ends.
  static auto& tried = *new std::map<std::string, std::string>();
  const std::lock_guard lock(mutex);
  if (const auto at = tried.find(btf_path); at != tried.end()) {
    return at->second;
  }
  capture_libbpf_messages();
  std::string& refused = tried[btf_path];
  bpf_object_open_opts options{};
  options.sz = sizeof(options);
  options.btf_custom_path = btf_path.empty() ? nullptr : btf_path.c_str();
  take_libbpf_complaint();
  const OwnersPtr probe(::owners_bpf__open_opts(&options));
  if (probe == nullptr) {
    refused = "libbpf cannot open its program";
    return refused;
  }
  ::bpf_program__set_autoload(probe->progs.owner_calls_exec, false);
  ::bpf_program__set_autoload(probe->progs.owner_is_renamed, false);
  int failed = [&] {
    const auto turn = loading_turn();
    return ::owners_bpf__load(probe.get());
  }();
  bpf_link* link = nullptr;
  if (failed == 0) {
    link = ::bpf_program__attach(probe->progs.trampoline_probe);
    failed = static_cast<int>(::libbpf_get_error(link));
  }
  if (failed == 0) {
    ::bpf_link__destroy(link);
  } else {
    refused = "this kernel refuses trampolines: " + std::string(std::strerror(-failed));
  }
  take_libbpf_complaint();
  return refused;
}

Result<std::shared_ptr<EbpfRuntime>> shared_ebpf_runtime(const KernelFiles& files) {
  static std::mutex mutex;
  // Never destroyed: a worker may still ask while the process ends.
  static auto& runtimes = *new std::map<std::string, std::weak_ptr<EbpfRuntime>>();
  const std::lock_guard lock(mutex);
  std::erase_if(runtimes, [](const auto& entry) { return entry.second.expired(); });
  const Tier highest = highest_tier();
  if (highest == Tier::kOff) {
    return tl::make_unexpected(
        Error{ErrorKind::kUnsupported, 0, "collectors.ebpf.highest_tier is off"});
  }
  std::weak_ptr<EbpfRuntime>& slot =
      runtimes[files.sys("") + '\n' + files.proc("") + '\n' + std::string(tier_name(highest))];
  if (auto runtime = slot.lock()) {
    return runtime;
  }
  capture_libbpf_messages();
  auto kernel = KernelBtf::load(files);
  if (!kernel) {
    return tl::make_unexpected(kernel.error());
  }
  auto runtime = std::make_shared<Runtime>(std::move(*kernel));
  if (auto ready = runtime->prepare(files); !ready) {
    return tl::make_unexpected(ready.error());
  }
  slot = runtime;
  return std::shared_ptr<EbpfRuntime>(std::move(runtime));
}

}  // namespace tidegauge
