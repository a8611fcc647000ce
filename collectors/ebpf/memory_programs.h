// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "bpf/memory_records.h"
#include "collectors/core/result.h"
#include "collectors/ebpf/memory_features.h"
#include "collectors/ebpf/owner_maps.h"
#include "collectors/ebpf/program_set.h"

struct memory_bpf;

namespace tidegauge {

struct MemoryFeatures {
  bool page_cache = false;  // and major faults
  bool page_cache_reads = false;
};

// The object memory.bpf.o. Owned by the collector.
class MemoryPrograms {
 public:
  // For a collector's factory.
  static void open_kprobes(const KernelFiles& files, const MemoryFeatures& wanted);

  MemoryPrograms(std::shared_ptr<EbpfRuntime> runtime, const MemoryFeatures& wanted);

  ~MemoryPrograms();
  MemoryPrograms(const MemoryPrograms&) = delete;
  MemoryPrograms& operator=(const MemoryPrograms&) = delete;

  // Once. When it fails all that is left to ask for is programs().
  Result<void> load();

  [[nodiscard]] const ProgramSet& programs() const { return programs_; }
  [[nodiscard]] const EbpfRuntime& runtime() const { return *runtime_; }
  // Descriptors of the maps of bpf/memory.bpf.c.
  [[nodiscard]] int stalls() const;
  [[nodiscard]] int wakeups() const;
  [[nodiscard]] int page_caches() const;
  [[nodiscard]] int faults() const;  // when page_cache is wanted
  [[nodiscard]] int victims_by_owner() const;
  // Copies: the kernel writes them at any time.
  [[nodiscard]] tg_kswapd kswapd(std::uint32_t node) const;
  // Those whose record is complete, in no order.
  [[nodiscard]] std::vector<tg_oom_victim> victims() const;
  [[nodiscard]] tg_memory_losses losses() const;

 private:
  struct Destroy {
    void operator()(memory_bpf* skeleton) const;
  };

  bpf_object* open();

  std::shared_ptr<EbpfRuntime> runtime_;
  MemoryFeatures wanted_;
  std::unique_ptr<memory_bpf, Destroy> skeleton_;
  std::vector<ProgramSpec> specs_;
  const void* variables_ = nullptr;  // the object's, as its programs see them
  ProgramSet programs_;              // detaches before the object goes
};

// Of the tick, as the kernel rounds it.
std::uint64_t kernel_tick_ns();

}  // namespace tidegauge
