// SPDX-License-Identifier: Apache-2.0
#pragma once

// collectors/schema: what Sections that others decode look like. Column tables only; no files.

#include <cstdint>
#include <optional>
#include <span>

#include "collectors/core/column.h"

namespace tidegauge {

// A process or a group of them, as the tables of the `process` collector show it. Cumulative since the
// process (the group's members) started; what the host cannot tell is absent.
struct ProcessRow {
  std::optional<std::uint64_t> user_ns;
  std::optional<std::uint64_t> system_ns;
  std::optional<std::uint64_t> minor_faults;
  std::optional<std::uint64_t> major_faults;
  std::optional<std::uint64_t> storage_read_bytes;
  std::optional<std::uint64_t> storage_written_bytes;
  std::optional<std::uint64_t> storage_cancelled_bytes;
  std::optional<std::uint64_t> syscall_read_bytes;
  std::optional<std::uint64_t> syscall_written_bytes;
  std::optional<std::uint64_t> read_syscalls;
  std::optional<std::uint64_t> write_syscalls;
  std::optional<std::uint64_t> block_delay_ns;
  std::optional<std::uint64_t> voluntary_switches;
  std::optional<std::uint64_t> involuntary_switches;
  std::optional<std::uint64_t> run_delay_ns;
  std::optional<std::uint64_t> sync_calls;
  std::optional<std::uint64_t> sync_ns;
  std::optional<std::uint64_t> threads;
  std::optional<std::uint64_t> anon_bytes;
  std::optional<std::uint64_t> file_bytes;
  std::optional<std::uint64_t> shmem_bytes;
  std::optional<std::uint64_t> swap_bytes;
  std::optional<std::uint64_t> processes;          // groups only
  std::optional<std::uint64_t> started;            // groups only
  std::optional<std::uint64_t> start_realtime_ns;  // processes only
};

// Families tidegauge_group_*, one row per group; label: group.
std::span<const Column<ProcessRow>> group_columns();
// Families tidegauge_process_*, one row per process that is or lately was among the busiest; labels:
// pid, comm, group, unit, container.
std::span<const Column<ProcessRow>> top_process_columns();

}  // namespace tidegauge
