// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/pid_status.h"

#include <limits>
#include <string>

#include "collectors/core/text.h"

namespace tidegauge {

namespace {

using Number = std::optional<std::uint64_t>;

struct Keyed {
  std::string_view key;
  Number PidStatus::*member;
};

constexpr Keyed kNumbers[] = {
    {"VmRSS", &PidStatus::resident_kib},
    {"RssAnon", &PidStatus::anon_kib},
    {"RssFile", &PidStatus::file_kib},
    {"RssShmem", &PidStatus::shmem_kib},
    {"VmSwap", &PidStatus::swap_kib},
    {"voluntary_ctxt_switches", &PidStatus::voluntary_switches},
    {"nonvoluntary_ctxt_switches", &PidStatus::involuntary_switches},
};

struct Scan {
  PidStatus status;
  Number uid;
  Number threads;
  Number kernel_thread;

  // The number that `key` goes to; null for a line of no interest.
  Number* wanted(std::string_view key) {
    if (key == "Uid") {
      return &uid;
    }
    if (key == "Threads") {
      return &threads;
    }
    if (key == "Kthread") {
      return &kernel_thread;
    }
    for (const Keyed& keyed : kNumbers) {
      if (key == keyed.key) {
        return &(status.*keyed.member);
      }
    }
    return nullptr;
  }
};

}  // namespace

// Name:   sshd
// Uid:    1000    0       0       0
// RssAnon:            1200 kB
// Threads:        1
// voluntary_ctxt_switches:        317
// (one tab behind the colon; about fifty lines more; newlines in a name are written as \n)
Result<PidStatus> parse_pid_status(std::string_view text) {
  if (!text.ends_with('\n')) {
    return malformed(kPidStatusFile, 0, "a newline at the end");
  }
  Scan scan;
  LineReader lines(text);
  for (std::string_view line; lines.next(line);) {
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) {
      continue;
    }
    Number* const wanted = scan.wanted(line.substr(0, colon));
    if (wanted == nullptr) {
      continue;
    }
    line.remove_prefix(colon + 1);
    *wanted = next_unsigned(line);
    if (!*wanted) {
      return malformed(kPidStatusFile, lines.number(), "a number");
    }
  }
  if (!scan.uid || *scan.uid > std::numeric_limits<std::uint32_t>::max()) {
    return malformed(kPidStatusFile, lines.number(), "a Uid");
  }
  if (!scan.threads) {
    return malformed(kPidStatusFile, lines.number(), "Threads");
  }
  scan.status.uid = static_cast<std::uint32_t>(*scan.uid);
  scan.status.threads = *scan.threads;
  if (scan.kernel_thread) {
    scan.status.kernel_thread = *scan.kernel_thread != 0;
  }
  return scan.status;
}

}  // namespace tidegauge
