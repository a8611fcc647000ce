// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/file_programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstring>
#include <type_traits>
#include <utility>

#include "collectors/ebpf/program_set.h"
#include "files.skel.h"

namespace tidegauge {

namespace {

#if defined(__aarch64__)
#define TIDEGAUGE_CALL_FUNCTION "__arm64_sys_"
#else
#define TIDEGAUGE_CALL_FUNCTION "__x64_sys_"
#endif

constexpr ProgramSpec call_program(std::string_view name, std::string_view function) {
  return {
      .name = name, .feature = kSyncCallsFeature, .tier = Tier::kTrampoline, .function = function};
}

constexpr ProgramSpec kPrograms[] = {
    {.name = "vfs_sync_begins",
     .feature = kSyncFeature,
     .tier = Tier::kTrampoline,
     .function = "vfs_fsync_range"},
    {.name = "vfs_sync_ends",
     .feature = kSyncFeature,
     .tier = Tier::kTrampoline,
     .function = "vfs_fsync_range"},
    {.name = "ext4_sync_begins",
     .feature = kSyncFeature,
     .tier = Tier::kTracepoint,
     .tracepoint = "ext4_sync_file_enter",
     .module = "ext4"},
    {.name = "ext4_sync_ends",
     .feature = kSyncFeature,
     .tier = Tier::kTracepoint,
     .tracepoint = "ext4_sync_file_exit",
     .module = "ext4"},
    {.name = "btrfs_sync_begins",
     .feature = kSyncFeature,
     .tier = Tier::kTracepoint,
     .tracepoint = "btrfs_sync_file",
     .module = "btrfs",
     .optional = true},

    call_program("fsync_begins", TIDEGAUGE_CALL_FUNCTION "fsync"),
    call_program("fsync_ends", TIDEGAUGE_CALL_FUNCTION "fsync"),
    call_program("fdatasync_begins", TIDEGAUGE_CALL_FUNCTION "fdatasync"),
    call_program("fdatasync_ends", TIDEGAUGE_CALL_FUNCTION "fdatasync"),
    call_program("msync_begins", TIDEGAUGE_CALL_FUNCTION "msync"),
    call_program("msync_ends", TIDEGAUGE_CALL_FUNCTION "msync"),
    call_program("sync_file_range_begins", TIDEGAUGE_CALL_FUNCTION "sync_file_range"),
    call_program("sync_file_range_ends", TIDEGAUGE_CALL_FUNCTION "sync_file_range"),
    call_program("syncfs_begins", TIDEGAUGE_CALL_FUNCTION "syncfs"),
    call_program("syncfs_ends", TIDEGAUGE_CALL_FUNCTION "syncfs"),
    call_program("sync_begins", "ksys_sync"),
    call_program("sync_ends", "ksys_sync"),
    {.name = "any_call_begins",
     .feature = kSyncCallsFeature,
     .tier = Tier::kTracepoint,
     .tracepoint = "sys_enter"},
    {.name = "any_call_ends",
     .feature = kSyncCallsFeature,
     .tier = Tier::kTracepoint,
     .tracepoint = "sys_exit"},

    {.name = "ext4_delayed_write_ends",
     .feature = kFileBytesFeature,
     .tier = Tier::kTracepoint,
     .tracepoint = "ext4_da_write_end",
     .module = "ext4",
     .arguments = 4},
    {.name = "ext4_write_ends",
     .feature = kFileBytesFeature,
     .tier = Tier::kTracepoint,
     .tracepoint = "ext4_write_end",
     .module = "ext4",
     .arguments = 4,
     .optional = true},
    {.name = "ext4_journalled_write_ends",
     .feature = kFileBytesFeature,
     .tier = Tier::kTracepoint,
     .tracepoint = "ext4_journalled_write_end",
     .module = "ext4",
     .arguments = 4,
     .optional = true},
    {.name = "pages_read",
     .feature = kFileBytesFeature,
     .tier = Tier::kTracepoint,
     .tracepoint = "mm_filemap_get_pages",
     .arguments = 3,
     .optional = true},
    {.name = "direct_ends",
     .feature = kFileBytesFeature,
     .tier = Tier::kTracepoint,
     .tracepoint = "iomap_dio_complete",
     .arguments = 3,
     .typed_argument = 0,
     .argument_type = "struct kiocb *",
     .optional = true},

    {.name = "ext4_file_created",
     .feature = kChurnFeature,
     .tier = Tier::kTracepoint,
     .tracepoint = "ext4_allocate_inode",
     .module = "ext4",
     .arguments = 3},
    {.name = "ext4_file_unlinked",
     .feature = kChurnFeature,
     .tier = Tier::kTracepoint,
     .tracepoint = "ext4_unlink_enter",
     .module = "ext4",
     .arguments = 2},
    {.name = "ext4_file_evicted",
     .feature = kChurnFeature,
     .tier = Tier::kTracepoint,
     .tracepoint = "ext4_evict_inode",
     .module = "ext4",
     .arguments = 1},
    {.name = "btrfs_file_created",
     .feature = kChurnFeature,
     .tier = Tier::kTracepoint,
     .tracepoint = "btrfs_inode_new",
     .module = "btrfs",
     .arguments = 1,
     .optional = true},
    {.name = "btrfs_file_evicted",
     .feature = kChurnFeature,
     .tier = Tier::kTracepoint,
     .tracepoint = "btrfs_inode_evict",
     .module = "btrfs",
     .arguments = 1,
     .optional = true},
};

struct CallAction {
  long number;
  std::uint8_t action;
};
constexpr CallAction kCalls[] = {
    {SYS_fsync, TG_FILE_FSYNC | TG_CALL_HAS_FD},
    {SYS_fdatasync, TG_FILE_FDATASYNC | TG_CALL_HAS_FD},
    {SYS_msync, TG_FILE_MSYNC},
#ifdef SYS_sync_file_range
    {SYS_sync_file_range, TG_FILE_SYNC_FILE_RANGE | TG_CALL_HAS_FD},
#endif
    {SYS_syncfs, TG_FILE_SYNCFS | TG_CALL_HAS_FD},
    {SYS_sync, TG_FILE_SYNC},
    {SYS_write, TG_FILE_WRITE | TG_CALL_HAS_FD},
    {SYS_pwrite64, TG_FILE_WRITE | TG_CALL_HAS_FD},
    {SYS_writev, TG_FILE_WRITE | TG_CALL_HAS_FD},
    {SYS_pwritev, TG_FILE_WRITE | TG_CALL_HAS_FD},
    {SYS_pwritev2, TG_FILE_WRITE | TG_CALL_HAS_FD},
    {SYS_sendfile, TG_FILE_WRITE | TG_CALL_HAS_FD},
    {SYS_read, TG_FILE_READ | TG_CALL_HAS_FD},
    {SYS_pread64, TG_FILE_READ | TG_CALL_HAS_FD},
    {SYS_readv, TG_FILE_READ | TG_CALL_HAS_FD},
    {SYS_preadv, TG_FILE_READ | TG_CALL_HAS_FD},
    {SYS_preadv2, TG_FILE_READ | TG_CALL_HAS_FD},
};

// So many in a pass of a second are more than anybody reads.
constexpr std::uint32_t kPathsPerPass = 1000;
constexpr std::uint32_t kSlowPerPass = 32;

using Variables = std::remove_pointer_t<decltype(files_bpf::bss)>;
struct Unmap {
  void operator()(Variables* mapped) const { ::munmap(mapped, sizeof(*mapped)); }
};
struct Destroy {
  void operator()(files_bpf* skeleton) const { files_bpf__destroy(skeleton); }
};
struct FreeRing {
  void operator()(ring_buffer* ring) const { ::ring_buffer__free(ring); }
};

class LoadedFilePrograms final : public FilePrograms {
 public:
  LoadedFilePrograms(std::shared_ptr<EbpfRuntime> runtime, const FileProgramSettings& settings)
      : runtime_(std::move(runtime)), settings_(settings) {
    for (const ProgramSpec& spec : kPrograms) {
      const bool costs_every_call =
          spec.feature == kSyncCallsFeature && spec.tier == Tier::kTracepoint;
      if ((settings.sync_calls || !costs_every_call) &&
          (settings.churn || spec.feature != kChurnFeature)) {
        specs_.push_back(spec);
      }
    }
  }

  Result<void> prepare() {
    programs_ = std::make_unique<ProgramSet>("files", specs_, [this] { return open(); });
    if (auto loaded = programs_->load(runtime_->kernel(), runtime_->limits()); !loaded) {
      return loaded;
    }
    ring_.reset(::ring_buffer__new(::bpf_map__fd(skeleton_->maps.events), on_event, this, nullptr));
    if (ring_ == nullptr) {
      return system_error(errno, "BPF ring of file events");
    }
    // Not the skeleton's: that is what they were before bpf_object__load().
    void* mapped = ::mmap(nullptr, sizeof(Variables), PROT_READ | PROT_WRITE, MAP_SHARED,
                          fd(skeleton_->maps.bss), 0);
    if (mapped == MAP_FAILED) {
      return system_error(errno, "variables of the BPF programs on files");
    }
    variables_.reset(static_cast<Variables*>(mapped));
    permit();
    return {};
  }

  [[nodiscard]] const EbpfRuntime& runtime() const override { return *runtime_; }
  [[nodiscard]] bool active(std::string_view feature) const override {
    return programs_->active(feature);
  }
  void attach_waiting() override { programs_->attach_waiting(runtime_->kernel()); }

  void drain(const std::function<void(const tg_path_event&, std::string_view)>& path,
             const std::function<void(const tg_slow_event&)>& slow) override {
    path_ = &path;
    slow_ = &slow;
    static_cast<void>(::ring_buffer__consume(ring_.get()));
    path_ = nullptr;
    slow_ = nullptr;
    permit();
  }

  [[nodiscard]] int operations_fd() const override { return fd(skeleton_->maps.operations); }
  [[nodiscard]] int files_fd() const override { return fd(skeleton_->maps.files); }
  [[nodiscard]] int churn_fd() const override { return fd(skeleton_->maps.churn); }
  [[nodiscard]] int directories_fd() const override { return fd(skeleton_->maps.directories); }
  [[nodiscard]] tg_file_losses losses() const override { return variables_->losses; }

 private:
  static int fd(const bpf_map* map) { return ::bpf_map__fd(map); }

  bpf_object* open() {
    ring_.reset();
    skeleton_.reset(::files_bpf__open_opts(runtime_->open_options()));
    if (skeleton_ == nullptr) {
      return nullptr;
    }
    if (const int failed = runtime_->share_maps(skeleton_->obj); failed != 0) {
      errno = -failed;
      return nullptr;
    }
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, skeleton_->obj) {
      ::bpf_program__set_autoload(program, false);  // those wanted are chosen by name
    }
    skeleton_->rodata->namespace_inode = runtime_->namespace_inode();
    for (const CallAction& call : kCalls) {
      if (call.number >= 0 && call.number < TG_CALLS) {
        skeleton_->rodata->call_actions[call.number] = call.action;
      }
    }
    for (__u64& limit_ns : skeleton_->rodata->slow_ns) {
      limit_ns = settings_.slow_ns;
    }
    return skeleton_->obj;
  }

  void permit() {
    tg_file_control& control = variables_->control;
    control.paths_left = kPathsPerPass;
    control.slow_left = kSlowPerPass;
    ++control.pass;
  }

  static int on_event(void* self, void* data, std::size_t bytes) {
    static_cast<LoadedFilePrograms*>(self)->take({static_cast<const char*>(data), bytes});
    return 0;
  }

  void take(std::string_view event) {
    constexpr std::size_t kHead = offsetof(tg_path_event, names);
    std::uint32_t kind = 0;
    if (path_ == nullptr || event.size() < sizeof(kind)) {
      return;
    }
    std::memcpy(&kind, event.data(), sizeof(kind));
    if (kind == TG_EVENT_PATH && event.size() >= kHead) {
      tg_path_event head;
      std::memcpy(&head, event.data(), kHead);
      (*path_)(head, event.substr(kHead));
    } else if (kind == TG_EVENT_SLOW && event.size() >= sizeof(tg_slow_event)) {
      tg_slow_event slow;
      std::memcpy(&slow, event.data(), sizeof(slow));
      (*slow_)(slow);
    }
  }

  std::shared_ptr<EbpfRuntime> runtime_;
  FileProgramSettings settings_;
  std::vector<ProgramSpec> specs_;
  std::unique_ptr<files_bpf, Destroy> skeleton_;
  std::unique_ptr<ring_buffer, FreeRing> ring_;
  std::unique_ptr<Variables, Unmap> variables_;
  std::unique_ptr<ProgramSet> programs_;  // detaches before the object goes
  const std::function<void(const tg_path_event&, std::string_view)>* path_ = nullptr;
  const std::function<void(const tg_slow_event&)>* slow_ = nullptr;
};

}  // namespace

std::string_view file_operation_name(std::uint32_t operation) {
  constexpr std::string_view kNames[] = {
      "none",       "fsync", "fdatasync", "msync", "sync_file_range", "syncfs", "sync",
      "sync_write", "read",  "write",     "open",  "create",          "unlink", "rename"};
  static_assert(std::size(kNames) == TG_FILE_OPERATIONS);
  return operation < TG_FILE_OPERATIONS ? kNames[operation] : kNames[0];
}

Result<std::unique_ptr<FilePrograms>> FilePrograms::load(std::shared_ptr<EbpfRuntime> runtime,
                                                         const FileProgramSettings& settings) {
  auto programs = std::make_unique<LoadedFilePrograms>(std::move(runtime), settings);
  if (auto ready = programs->prepare(); !ready) {
    return tl::make_unexpected(ready.error());
  }
  return programs;
}

}  // namespace tidegauge
