// SPDX-License-Identifier: Apache-2.0
#pragma once

// The BPF source of passes: loads bpf/tasks.bpf.c. Needs Linux 5.8, the kernel's own BTF, CAP_BPF and
// CAP_PERFMON (CAP_SYS_ADMIN before 5.8 would not help: the iterator is not there).

#include <memory>

#include "collectors/process/task_source.h"

namespace tidegauge {

// Attached from here on: what ends later is accounted for. The error's `where` says in one clause why
// this kernel, this privilege or this procfs does not allow it.
// For a collector's factory, see collectors/ebpf/kprobe_events.h.
void open_task_kprobes(const KernelFiles& files);

Result<std::unique_ptr<TaskSource>> make_task_iterator(const KernelFiles& files);

}  // namespace tidegauge
