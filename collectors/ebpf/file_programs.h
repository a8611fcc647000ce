// SPDX-License-Identifier: Apache-2.0
#pragma once

// bpf/files.bpf.c, loaded: its maps, its ring, what it lost.

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "bpf/file_records.h"
#include "collectors/core/result.h"
#include "collectors/ebpf/owner_maps.h"

namespace tidegauge {

// As in metrics and labels.
inline constexpr std::string_view kSyncFeature = "sync";
inline constexpr std::string_view kSyncCallsFeature = "sync_calls";
inline constexpr std::string_view kFileBytesFeature = "file_bytes";
inline constexpr std::string_view kChurnFeature = "churn";             // of ext4
inline constexpr std::string_view kOtherChurnFeature = "churn_other";  // of other file systems
inline constexpr std::string_view kOperationsFeature = "file_operations";

enum class OperationChoice : std::uint8_t {
  kAuto,  // where there are trampolines
  kOn,
  kOff,
};

struct FileProgramSettings {
  bool sync_calls = true;
  bool churn = true;
  OperationChoice operations = OperationChoice::kAuto;
  std::uint64_t slow_ns = 0;  // 0: none
};

// Room in a table of which the least recently used leave: each CPU holds up to 128 free entries (kernel/bpf/bpf_lru_list.c,
// LOCAL_FREE_TARGET; since 6.16 fewer), and none of them shall be missed by the others.
std::uint32_t least_recently_used_entries(std::uint32_t at_least);

// A label's value for an enum tg_file_operation_kind.
std::string_view file_operation_name(std::uint32_t operation);

class FilePrograms {
 public:
  virtual ~FilePrograms() = default;

  // For a collector's factory.
  static void open_kprobes(const KernelFiles& files, const FileProgramSettings& settings);
  static std::unique_ptr<FilePrograms> make(std::shared_ptr<EbpfRuntime> runtime,
                                            const FileProgramSettings& settings);

  // Once: attached from here on. As ProgramSet::load(); after an error only kept for collector `ebpf`, which shows
  // why each program is not there.
  virtual Result<void> load() = 0;

  [[nodiscard]] virtual const EbpfRuntime& runtime() const = 0;
  [[nodiscard]] virtual bool active(std::string_view feature) const = 0;
  // Whether anything tells what is read from files.
  [[nodiscard]] virtual bool sees_reads() const = 0;
  virtual void attach_waiting() = 0;

  // Begins a pass: the kernel may tell of so many paths and slow operations until the next. Calls back for those
  // told since the last.
  virtual void drain(const std::function<void(const tg_path_event&, std::string_view names)>& path,
                     const std::function<void(const tg_slow_event&)>& slow) = 0;

  // Descriptors of the maps.
  [[nodiscard]] virtual int operations_fd() const = 0;
  [[nodiscard]] virtual int files_fd() const = 0;
  [[nodiscard]] virtual int churn_fd() const = 0;
  [[nodiscard]] virtual int directories_fd() const = 0;
  [[nodiscard]] virtual tg_file_losses losses() const = 0;
};

}  // namespace tidegauge
