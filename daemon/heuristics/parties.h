// SPDX-License-Identifier: Apache-2.0
#pragma once

// Who it is: from subjects to Parties, with everything that is known about a process; and who has which share of
// what, for all detectors alike.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/heuristics/scene.h"
#include "daemon/heuristics/verdict.h"

namespace tidegauge::heuristics {

// A process of the top tables with its group, unit and container.
Party party_of_process(const Scene& scene, std::string_view pid, std::string_view comm);
Party party_of_group(std::string_view group);
// The subject's labels and attributes of the same names as a Party's members.
Party party_of(const Scene& scene, const Subject& subject);

// The busiest thread of the process by name, if it uses at least half of the process's CPU time; "" otherwise.
std::string busiest_thread(const Scene& scene, std::string_view pid, std::string_view comm,
                           double seconds);

struct Share {
  const Subject* subject = nullptr;
  double value = 0;  // mean over the window
  double share = 0;  // of `total`
};
// A mean that is 0 where nobody knows it: for sums and gates.
double mean_or_0(const Scene& scene, const Subject& subject, Signal signal, double seconds,
                 double ago = 0);

// Subjects of a signal by their mean over the last `seconds`, the largest first; those below `least_share` of the
// total are left out. `total`: of all subjects where it is kUnknown.
std::vector<Share> shares(const Scene& scene, Signal signal, double seconds,
                          double total = kUnknown, double least_share = 0.05);

// Who keeps a disk busy: processes where they are known and have a good part of their group's, else groups. Shares
// are of the disk's attributed busy time. Without BPF: by bytes that processes read and wrote, of what the disk did;
// then `is_guess` says so. At most `most`.
struct DiskUsers {
  std::vector<Party> parties;
  bool is_guess = false;
  double unattributed =
      0;  // share of the busy time that is nobody's: the kernel's own, or not known
};
DiskUsers disk_users(const Scene& scene, std::string_view device, double seconds,
                     std::size_t most = 4);

// The file that the group (or, where given, the process) writes, reads or synchronises most over the last seconds;
// null when none is known.
const Subject* busiest_file(const Scene& scene, Signal signal, std::string_view group,
                            std::string_view pid, double seconds);

// Mean time of a request of the disk over the last seconds, reads and writes; kUnknown when there were none.
double disk_latency(const Scene& scene, const Subject& disk, double seconds, double ago = 0);
double disk_requests(const Scene& scene, const Subject& disk, double seconds, double ago = 0);
// Whether it is a whole disk with a queue of its own, no partition or pseudo device.
bool is_whole_disk(const Scene& scene, const Subject& disk);

// Share of the time the disk is busy, as iostat has it; where that is the sampled io_ticks of a kernel from 5.0 on and
// BPF knows better, what BPF says.
double disk_busy(const Scene& scene, const Subject& disk, double seconds);
// The median of disk_latency() of the disk's minutes in which it did something, of those before `until_ns`; kUnknown
// where too little is known of its past.
double usual_latency(const Scene& scene, const Subject& disk, std::int64_t until_ns);
// The disk of "8:0", its numbers, as files have it; or of a partition of it; null when none is known.
const Subject* disk_of_number(const Scene& scene, std::string_view number);
// The disk that was busy most for the group, null without BPF; `busy` is how much of the time it was busy for it.
struct DiskOfGroup {
  const Subject* disk = nullptr;
  double busy = 0;
};
DiskOfGroup disk_of_group(const Scene& scene, std::string_view group, double seconds);
// The process of the group that has most of the signal, and how much; null when none is known.
struct ProcessOfGroup {
  const Subject* process = nullptr;
  double value = 0;
};
ProcessOfGroup process_of_group(const Scene& scene, Signal of_processes, std::string_view group,
                                double seconds);
// Threads of the kernel, and what could not be charged to anybody.
bool is_kernel_group(std::string_view group);

// "sda: 492 w/s, 2.6 MiB/s, 1.76 ms" for texts.
std::string disk_text(const Scene& scene, const Subject& disk, double seconds);

}  // namespace tidegauge::heuristics
