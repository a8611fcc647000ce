// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/core/collector.h"

namespace tidegauge {

// A line of /proc/interrupts that counts per CPU. Views into the text.
struct Interrupt {
  std::string_view name;     // a number, or NMI, LOC, IPI0, ...
  std::string_view details;  // all behind the counts, trimmed
};

// /proc/interrupts (kernel/irq/proc.c, show_interrupts, and arch_show_interrupts).
struct Interrupts {
  std::size_t cpus = 0;  // columns: the online CPUs
  std::vector<Interrupt> lines;
  std::vector<std::uint64_t> counts;  // `cpus` per line
};

// Replaces `out` and keeps its memory. Lines without a count per CPU and a description (ERR, MIS)
// are left out.
Result<void> parse_interrupts(std::string_view text, Interrupts& out);

// node_exporter's labels: behind a numbered interrupt's counts stand the chip and then the devices,
// with single blanks; all else is described by info alone.
struct InterruptLabels {
  std::string info;
  std::string devices;
};
InterruptLabels interrupt_labels(const Interrupt& interrupt);

extern const CollectorInfo kInterruptsCollector;

}  // namespace tidegauge
