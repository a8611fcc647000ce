// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// What is done to files, by whom, and how long it took.
//
//   file_path.bpf.h   a file's path
//   file_entries.bpf.h  the file that a call names, and what is known of it
//   file_calls.bpf.h  begin and end of an operation, and the programs that see them
//   file_bytes.bpf.h  bytes read from and written to files
//   file_churn.bpf.h  files that are created and deleted
//   file_operations.bpf.h  how long all other operations take
//
// Everything that user space shows is summed up in here and only grows; paths and slow operations go through
// a ring.

// clang-format off: the helpers' headers use the types and do not include them.
#include "file_types.bpf.h"
#include "kernel_types.bpf.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "file_records.h"
#include "histogram.bpf.h"
#include "owner.bpf.h"
// clang-format on

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct tg_file_control control = {};
struct tg_file_losses losses = {};

// What each system call is to us: an enum tg_file_operation_kind and TG_CALL_*. 0: nothing.
const volatile __u8 call_actions[TG_CALLS] = {};
// Longer ones are told one by one; by kind of operation. 0: none.
const volatile __u64 slow_ns[TG_FILE_OPERATIONS] = {};
const volatile __u32 page_shift = 12;

// Each uses what stands above it.
// clang-format off
#include "file_path.bpf.h"
#include "file_entries.bpf.h"
#include "file_calls.bpf.h"
#include "file_bytes.bpf.h"
#include "file_churn.bpf.h"
#include "file_operations.bpf.h"
// clang-format on
