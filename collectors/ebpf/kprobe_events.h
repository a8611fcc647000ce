// SPDX-License-Identifier: Apache-2.0
#pragma once

// Kprobes, opened while the daemon still has all its capabilities: kernels that restrict perf events (Debian's by
// default, kernel.perf_event_paranoid 3) want CAP_SYS_ADMIN for them, CAP_PERFMON is not enough. Thread-safe.

#include <span>
#include <string_view>

#include "collectors/core/kernel_files.h"

struct bpf_link;
struct bpf_program;

namespace tidegauge {

struct ProbedFunction {
  std::string_view program;  // of the object; static, as the function's name
  std::string_view function;
  bool at_return = false;
};

// For a collector's factory. Does nothing where there are no kprobes, or better is to be had. What cannot be opened is
// tried again by attach_program().
void open_kprobes(const KernelFiles& files, std::string_view object,
                  std::span<const ProbedFunction> functions);

// Opens what was refused for the sake of something better, now that highest_tier() is another.
void retry_kprobes(const KernelFiles& files);

// bpf_program__attach(), but by what was opened. It stays open: who attaches again, after a reload, has no capability any
// more. (Before 5.15 the kernel lets go of a program when the kprobe is closed, not before: then the second is refused.)
bpf_link* attach_program(std::string_view object, bpf_program* program);

// Of a program that is not needed: the function costs a little as long as its kprobe is there.
void close_kprobe(std::string_view object, std::string_view program);

}  // namespace tidegauge
