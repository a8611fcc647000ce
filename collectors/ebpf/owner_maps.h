// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the eBPF collectors share: the kernel's types, the limits of this machine, the maps of owners.

#include <memory>
#include <string>

#include "collectors/core/kernel_files.h"
#include "collectors/core/result.h"
#include "collectors/ebpf/kernel_btf.h"
#include "collectors/ebpf/program_set.h"

struct bpf_map;
struct bpf_object;
struct bpf_object_open_opts;

namespace tidegauge {

class EbpfRuntime {
 public:
  virtual ~EbpfRuntime() = default;

  [[nodiscard]] virtual const KernelBtf& kernel() const = 0;
  [[nodiscard]] virtual const TierLimits& limits() const = 0;
  // Inode of the daemon's pid namespace, 0 when it is the initial one: for `namespace_inode`.
  [[nodiscard]] virtual std::uint32_t namespace_inode() const = 0;
  // Descriptor of the shared map `owners`; stays valid.
  [[nodiscard]] virtual int owners_fd() const = 0;
  // For X_bpf__open_opts(); stays valid.
  [[nodiscard]] virtual const bpf_object_open_opts* open_options() const = 0;
  // Puts the shared maps into an object that was opened and not loaded. Returns 0 or -errno.
  virtual int share_maps(bpf_object* object) const = 0;
  // Gives memory back, and begins the table of owners anew when it is nearly full; whether it did. Numbers come from what an owner
  // is, so they stay. One thread, once in a while.
  virtual bool make_room() = 0;
};

// Why there are no trampolines, or "". Tried once, with a program that does nothing: some hypervisors and architectures
// refuse what the kernel's configuration promises. Thread-safe.
std::string trampolines_refused(const std::string& btf_path);

// Made when the first asks and kept while one holds it. kUnsupported or kDenied where there is no eBPF at
// all. Thread-safe.
Result<std::shared_ptr<EbpfRuntime>> shared_ebpf_runtime(const KernelFiles& files);

}  // namespace tidegauge
