// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/file_programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <type_traits>
#include <utility>

#include "collectors/ebpf/file_program_table.h"
#include "collectors/ebpf/map_reader.h"
#include "collectors/ebpf/program_set.h"
#include "files.skel.h"

namespace tidegauge {

namespace {

// What costs every call of the host is seen only by request: the calls' own functions cost others nothing. A kretprobe
// costs a read several times what a trampoline does.
bool wanted(const ProgramSpec& spec, const FileProgramSettings& settings) {
  const bool at_every_call = spec.tier == Tier::kTracepoint;
  if (spec.feature == kSyncCallsFeature) {
    return settings.sync_calls || !at_every_call;
  }
  if (spec.feature == kOperationsFeature) {
    return settings.operations == OperationChoice::kOn ||
           (settings.operations == OperationChoice::kAuto && spec.tier == Tier::kTrampoline);
  }
  if (spec.feature == kOtherChurnFeature && at_every_call && !settings.sync_calls) {
    return settings.churn && spec.module == "btrfs";  // the others need the end of opening
  }
  return settings.churn || (spec.feature != kChurnFeature && spec.feature != kOtherChurnFeature);
}

std::vector<ProgramSpec> specs_for(const FileProgramSettings& settings) {
  std::vector<ProgramSpec> out;
  for (const ProgramSpec& spec : file_program_specs()) {
    if (wanted(spec, settings)) {
      out.push_back(spec);
    }
  }
  return out;
}

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
      : runtime_(std::move(runtime)), settings_(settings), specs_(specs_for(settings)) {}

  Result<void> load() override {
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
    for (const ProgramStatus& status : programs_->statuses()) {
      sees_reads_ =
          sees_reads_ || (status.state == ProgramState::kAttached &&
                          (status.name == "pages_read" || status.name == "direct_begins"));
    }
    find_layouts();
    permit();
    return {};
  }

  [[nodiscard]] const EbpfRuntime& runtime() const override { return *runtime_; }
  [[nodiscard]] bool active(std::string_view feature) const override {
    return programs_->active(feature);
  }
  [[nodiscard]] bool sees_reads() const override { return sees_reads_; }
  void attach_waiting() override {
    programs_->attach_waiting(runtime_->kernel());
    find_layouts();
  }

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
  // Once: reading types takes milliseconds.
  void find_layouts() {
    if (variables_->control.xfs_inode_offset != 0) {
      return;
    }
    for (const ProgramStatus& status : programs_->statuses()) {
      if (status.name == kXfsInodeDestroyed && status.state == ProgramState::kAttached) {
        variables_->control.xfs_inode_offset =
            runtime_->kernel().member_offset(kXfsInode, kXfsInodeMember, "xfs").value_or(0);
      }
    }
  }

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
    for (bpf_map* map : {skeleton_->maps.pending, skeleton_->maps.files, skeleton_->maps.births,
                         skeleton_->maps.directories}) {
      ::bpf_map__set_max_entries(map, least_recently_used_entries(::bpf_map__max_entries(map)));
    }
    skeleton_->rodata->page_shift = static_cast<std::uint32_t>(
        std::countr_zero(static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE))));
    skeleton_->rodata->namespace_inode = runtime_->namespace_inode();
    for (const FileCall& call : file_calls()) {
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
    // Those that wait in a call whose end nobody sees any more are not to be ignored for good.
    const Tier calls = programs_->tier(kSyncCallsFeature);
    control.calls_shed = calls == Tier::kOff ? 1 : 0;
    control.opens_tell_new_files =
        calls == Tier::kTracepoint && programs_->tier(kOtherChurnFeature) == Tier::kTracepoint ? 1
                                                                                               : 0;
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
  bool sees_reads_ = false;
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

std::uint32_t least_recently_used_entries(std::uint32_t at_least) {
  constexpr std::uint32_t kPerCpu = 256;
  return std::max(at_least, kPerCpu * static_cast<std::uint32_t>(possible_cpus()));
}

void FilePrograms::open_kprobes(const KernelFiles& files, const FileProgramSettings& settings) {
  tidegauge::open_kprobes(files, "files", specs_for(settings));
}

std::unique_ptr<FilePrograms> FilePrograms::make(std::shared_ptr<EbpfRuntime> runtime,
                                                 const FileProgramSettings& settings) {
  return std::make_unique<LoadedFilePrograms>(std::move(runtime), settings);
}

}  // namespace tidegauge
