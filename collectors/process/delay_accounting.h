// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "collectors/core/kernel_files.h"

namespace tidegauge {

// Whether the block delays of stat mean anything (kernel/delayacct.c). Since 5.14 a sysctl says so, and
// a process is accounted for when it was on at its birth; one that was born before the first pass is
// taken to be. Kernels before it have it on unless built or
// booted without: there a delay that is not 0, of any process, is the proof.
class DelayAccounting {
 public:
  explicit DelayAccounting(KernelFile sysctl) : sysctl_(std::move(sysctl)) {}

  // Once per pass, before any process.
  void begin(ReadBuffer& buffer) {
    const auto text = sysctl_.read(buffer, kMaxSmallFileBytes);
    sysctl_there_ = text.has_value();
    off_ = text && !text->starts_with('1');
  }
  void saw(std::uint64_t ticks) { seen_ = seen_ || ticks != 0; }

  [[nodiscard]] bool off() const { return off_; }
  [[nodiscard]] bool works() const { return sysctl_there_ ? !off_ : seen_; }
  [[nodiscard]] std::string_view reason() const {
    return sysctl_there_
               ? "delay accounting is off (sysctl kernel.task_delayacct=1; counts processes "
                 "started afterwards)"
               : "no process of this kernel shows a delay: built without "
                 "CONFIG_TASK_DELAY_ACCT or booted with nodelayacct";
  }

 private:
  KernelFile sysctl_;
  bool sysctl_there_ = false;
  bool off_ = false;
  bool seen_ = false;
};

}  // namespace tidegauge
