// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the child of CountingHelper does (run_time_counting.h): nothing but system calls, since it is a copy of a
// process that may have threads.

#include <sys/types.h>

namespace tidegauge {

// What it is told, a byte at a time. It answers each with a byte: 0, or the errno.
inline constexpr char kCountingOn = '1';
inline constexpr char kCountingOff = '0';

// Serves `line` until its end, as a child of `parent`. All signals are blocked: it is there as long as the
// parent, whoever sends Ctrl-C to both.
[[noreturn]] void serve_counting(int line, pid_t parent);

// From now on the kernel kills this process at any call but those that serve_counting() still makes. Where it has
// no such filters nothing happens.
void keep_few_calls();

}  // namespace tidegauge
