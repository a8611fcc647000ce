// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the running kernel says about itself: which tracepoints it has and what they pass. Never decided
// by version or by a trial load: distributions backport, and a program of the wrong variant loads
// silently.

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/core/kernel_files.h"
#include "collectors/core/result.h"

struct btf;

namespace tidegauge {

// Thread-safe.
class KernelBtf {
 public:
  // From --path.btf, else <sysfs>/kernel/btf/vmlinux. kUnsupported when there is none.
  static Result<std::shared_ptr<const KernelBtf>> load(const KernelFiles& files);

  // The types of a tracepoint's arguments as C writes them ("struct bio *", "int"), without the
  // context in front. Nothing when neither the kernel nor, where it is given, the module has it. Of a
  // module without BTF (5.10's) only has_module() is known.
  [[nodiscard]] std::optional<std::vector<std::string>> tracepoint(
      std::string_view name, std::string_view module = {}) const;
  [[nodiscard]] bool has_function(std::string_view name) const;
  // Bytes from the begin of a struct to a member of its own, of the kernel or of the module.
  [[nodiscard]] std::optional<std::uint32_t> member_offset(std::string_view structure,
                                                           std::string_view member,
                                                           std::string_view module) const;
  // Loaded or built in with a name of its own: <sysfs>/module/NAME.
  [[nodiscard]] bool has_module(std::string_view name) const;
  // Gives the memory back, several MiB, until types are asked for again.
  void forget_types() const;
  // For libbpf's btf_custom_path; "" when the kernel's own is used.
  [[nodiscard]] const std::string& custom_path() const { return custom_path_; }

 private:
  struct Free {
    void operator()(btf* types) const;
  };
  explicit KernelBtf(KernelFiles files) : files_(std::move(files)) {}
  Result<void> read() const;
  using Types = std::unique_ptr<btf, Free>;
  // Null when it has none. They live no longer than the kernel's.
  [[nodiscard]] Types types_of_module(std::string_view module) const;

  KernelFiles files_;
  mutable std::mutex mutex_;
  mutable std::unique_ptr<btf, Free> kernel_;  // null: not in memory
  std::string custom_path_;
};

}  // namespace tidegauge
