// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/parties.h"

#include <algorithm>
#include <charconv>
#include <system_error>

namespace tidegauge::heuristics {

Party party_of_group(std::string_view group) {
  Party out;
  out.group = group;
  return out;
}

Party party_of_process(const Scene& scene, std::string_view pid, std::string_view comm) {
  Party out;
  out.pid = pid;
  out.comm = comm;
  if (const Subject* process = scene.find(Kind::kProcess, {pid, comm})) {
    out.group = process->attribute("group");
    out.unit = process->attribute("unit");
    out.container = process->attribute("container");
  }
  return out;
}

Party party_of(const Scene& scene, const Subject& subject) {
  const auto names = kind_labels(subject.kind);
  const auto get = [&](std::string_view name) -> std::string {
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (names[i] == name) {
        return subject.labels[i];
      }
    }
    return std::string(subject.attribute(name));
  };
  const std::string pid = get("pid");
  Party out;
  if (!pid.empty() && pid != "0") {
    out = party_of_process(scene, pid, get("comm"));
  }
  if (out.group.empty()) {
    out.group = get("group");
  }
  out.thread = get("thread");
  out.file = get("path");
  out.directory = get("directory");
  out.device = get("device");
  out.cpu = get("cpu");
  out.cgroup = get("cgroup");
  return out;
}

std::string busiest_thread(const Scene& scene, std::string_view pid, std::string_view comm,
                           double seconds) {
  const Subject* best = nullptr;
  double most = 0;
  double all = 0;
  for (const Subject* thread : scene.subjects(Kind::kThread)) {
    if (thread->label(0) != pid || thread->label(1) != comm) {
      continue;
    }
    const double cpu = scene.mean(*thread, Signal::kThreadCpu, seconds);
    if (!is_known(cpu)) {
      continue;
    }
    all += cpu;
    if (cpu > most) {
      most = cpu;
      best = thread;
    }
  }
  return best != nullptr && most >= all / 2 ? best->label(2) : std::string();
}

namespace {

template <class Wanted>
std::vector<Share> shares_where(const Scene& scene, Signal signal, double seconds, double total,
                                double least_share, Wanted wanted) {
  std::vector<Share> out;
  double sum = 0;
  for (const Subject* subject : scene.subjects(info_of(signal).kind)) {
    if (!wanted(*subject)) {
      continue;
    }
    const double value = scene.mean(*subject, signal, seconds);
    if (is_known(value) && value > 0) {
      out.push_back({subject, value, 0});
      sum += value;
    }
  }
  const double whole = is_known(total) ? total : sum;
  std::sort(out.begin(), out.end(), [](const Share& a, const Share& b) {
    return a.value != b.value ? a.value > b.value : a.subject->labels < b.subject->labels;
  });
  std::erase_if(out, [&](Share& one) {
    one.share = whole > 0 ? std::min(one.value / whole, 1.0) : 0;
    return one.share < least_share;
  });
  return out;
}

}  // namespace

std::vector<Share> shares(const Scene& scene, Signal signal, double seconds, double total,
                          double least_share) {
  return shares_where(scene, signal, seconds, total, least_share,
                      [](const Subject&) { return true; });
}

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// "sda1": "sda"; "nvme0n1p1": "nvme0n1"; the same when it is no partition's name.
std::string_view without_partition(std::string_view name) {
  std::size_t end = name.size();
  while (end > 0 && is_digit(name[end - 1])) {
    --end;
  }
  if (end == 0 || end == name.size()) {
    return name;
  }
  if (name[end - 1] == 'p' && end >= 2 && is_digit(name[end - 2])) {
    return name.substr(0, end - 1);
  }
  return name.find_first_of("0123456789") == end ? name.substr(0, end) : name;
}

// Of one device of many: shares of what it has, the largest first.
std::vector<Share> shares_of_device(const Scene& scene, Signal signal, double seconds,
                                    std::string_view device) {
  return shares_where(scene, signal, seconds, kUnknown, 0,
                      [&](const Subject& subject) { return subject.label(0) == device; });
}

// Without BPF: who read and wrote most in the time, of what the disk did.
DiskUsers guess_users(const Scene& scene, std::string_view device, double seconds,
                      std::size_t most) {
  DiskUsers out;
  out.is_guess = true;
  const Subject* disk = scene.find(Kind::kDisk, {device});
  if (disk == nullptr) {
    return out;
  }
  const double bytes = scene.mean(*disk, Signal::kDiskReadBytes, seconds) +
                       scene.mean(*disk, Signal::kDiskWrittenBytes, seconds);
  std::vector<std::pair<double, const Subject*>> users;
  for (const Subject* process : scene.subjects(Kind::kProcess)) {
    const double read = scene.mean(*process, Signal::kProcessRead, seconds);
    const double written = scene.mean(*process, Signal::kProcessWritten, seconds);
    const double sum = (is_known(read) ? read : 0) + (is_known(written) ? written : 0);
    if (sum > 0.1 * bytes) {
      users.emplace_back(sum, process);
    }
  }
  std::sort(users.begin(), users.end(),
            [](const auto& a, const auto& b) { return a.first > b.first; });
  for (const auto& [sum, process] : users) {
    if (out.parties.size() == most) {
      break;
    }
    Party party = party_of(scene, *process);
    party.device = device;
    party.share = bytes > 0 ? std::min(sum / bytes, 1.0) : 0;
    party.doing = format_figure(sum, Unit::kBytesPerSecond) + " to and from disks";
    out.parties.push_back(std::move(party));
  }
  return out;
}

bool is_unattributed(std::string_view group) { return group.starts_with('('); }

}  // namespace

double mean_or_0(const Scene& scene, const Subject& subject, Signal signal, double seconds,
                 double ago) {
  const double value = scene.mean(subject, signal, seconds, ago);
  return is_known(value) ? value : 0;
}

bool is_kernel_group(std::string_view group) {
  return group.starts_with('[') || is_unattributed(group);
}

DiskUsers disk_users(const Scene& scene, std::string_view device, double seconds,
                     std::size_t most) {
  std::vector<Share> groups = shares_of_device(scene, Signal::kGroupDiskBusy, seconds, device);
  double all = 0;
  for (const Share& group : groups) {
    all += group.value;
  }
  if (all <= 0) {
    return guess_users(scene, device, seconds, most);
  }
  const std::vector<Share> processes =
      shares_of_device(scene, Signal::kProcessDiskBusy, seconds, device);
  DiskUsers out;
  for (const Share& group : groups) {
    const double share = group.value / all;
    const std::string& name = group.subject->label(1);
    if (is_unattributed(name)) {
      out.unattributed = share;
      continue;
    }
    if (share < 0.05 || out.parties.size() == most) {
      continue;
    }
    // The process that has most of the group's part, where one has.
    const Share* own = nullptr;
    for (const Share& process : processes) {
      if (process.subject->attribute("group") == name ||
          party_of_process(scene, process.subject->label(1), process.subject->label(2)).group ==
              name) {
        own = &process;
        break;
      }
    }
    Party party = own != nullptr && own->value >= group.value / 2
                      ? party_of_process(scene, own->subject->label(1), own->subject->label(2))
                      : party_of_group(name);
    party.group = name;
    party.device = device;
    party.share = share;
    const double bytes = scene.mean(*group.subject, Signal::kGroupDiskBytes, seconds);
    party.doing = "caused " + format_figure(share, Unit::kRatio) + " of its busy time";
    if (is_known(bytes)) {
      party.doing += ", " + format_figure(bytes, Unit::kBytesPerSecond);
    }
    out.parties.push_back(std::move(party));
  }
  return out;
}

const Subject* busiest_file(const Scene& scene, Signal signal, std::string_view group,
                            std::string_view pid, double seconds) {
  const Subject* best = nullptr;
  double most = 0;
  for (const Subject* file : scene.subjects(Kind::kFile)) {
    const bool is_theirs =
        !pid.empty() ? file->attribute("pid") == pid : file->attribute("group") == group;
    if (!is_theirs) {
      continue;
    }
    const double value = scene.mean(*file, signal, seconds);
    if (is_known(value) && value > most) {
      most = value;
      best = file;
    }
  }
  return best;
}

double disk_requests(const Scene& scene, const Subject& disk, double seconds, double ago) {
  return scene.mean(disk, Signal::kDiskReads, seconds, ago) +
         scene.mean(disk, Signal::kDiskWrites, seconds, ago);
}

double disk_latency(const Scene& scene, const Subject& disk, double seconds, double ago) {
  const double requests = disk_requests(scene, disk, seconds, ago);
  const double time = scene.mean(disk, Signal::kDiskReadTime, seconds, ago) +
                      scene.mean(disk, Signal::kDiskWriteTime, seconds, ago);
  return requests > 0 ? time / requests : kUnknown;
}

bool is_whole_disk(const Scene& scene, const Subject& disk) {
  const std::string_view name = disk.label(0);
  // dm and md pass on to disks, which are looked at themselves.
  for (const std::string_view other : {"loop", "ram", "zram", "dm-", "md", "fd", "sr"}) {
    if (name.starts_with(other) && name.size() > other.size() && is_digit(name[other.size()])) {
      return false;
    }
  }
  const std::string_view whole = without_partition(name);
  return whole.size() == name.size() || scene.find(Kind::kDisk, {whole}) == nullptr;
}

double disk_busy(const Scene& scene, const Subject& disk, double seconds) {
  const double ticks = scene.mean(disk, Signal::kDiskBusy, seconds);
  const double exact = is_known(Scene::now(disk, Signal::kDiskExactBusy))
                           ? scene.min(disk, Signal::kDiskExactBusy, seconds) > 0
                                 ? scene.mean(disk, Signal::kDiskExactBusy, seconds)
                                 : kUnknown
                           : kUnknown;
  constexpr double kMuchLess = 0.8;
  return is_known(exact) && exact < kMuchLess * ticks ? exact : ticks;
}

double usual_latency(const Scene& scene, const Subject& disk, std::int64_t until_ns) {
  constexpr double kUsualMinutes = 24 * 60;
  constexpr std::size_t kLeastMinutes = 10;
  constexpr double kLeastRequests = 0.5;  // a second
  using Points = std::vector<MinuteTrack::Point>;
  const auto points = [&](Signal signal) {
    const MinuteTrack* track = scene.minutes(disk, signal);
    return track == nullptr ? Points{} : track->points(scene.boottime_ns(), kUsualMinutes);
  };
  const Points reads = points(Signal::kDiskReads);
  const Points writes = points(Signal::kDiskWrites);
  const Points read_time = points(Signal::kDiskReadTime);
  const Points write_time = points(Signal::kDiskWriteTime);
  // Tracks begin at different times: each is walked from its end.
  const std::size_t count = std::max(reads.size(), writes.size());
  const double until = static_cast<double>(until_ns) / 60e9 - 1;
  std::vector<double> latencies;
  latencies.reserve(count);
  const auto from_end = [](const Points& all, std::size_t back) {
    return back < all.size() ? all[all.size() - 1 - back].value : 0;
  };
  const Points& longest = reads.size() >= writes.size() ? reads : writes;
  for (std::size_t back = 0; back < count; ++back) {
    const double requests = from_end(reads, back) + from_end(writes, back);
    if (requests >= kLeastRequests && longest[count - 1 - back].minute <= until) {
      latencies.push_back((from_end(read_time, back) + from_end(write_time, back)) / requests);
    }
  }
  if (latencies.size() < kLeastMinutes) {
    return kUnknown;
  }
  const auto middle = latencies.begin() + static_cast<std::ptrdiff_t>(latencies.size() / 2);
  std::nth_element(latencies.begin(), middle, latencies.end());
  return *middle;
}

const Subject* disk_of_number(const Scene& scene, std::string_view number) {
  const std::size_t colon = number.find(':');
  if (colon == std::string_view::npos) {
    return nullptr;
  }
  const std::string_view major = number.substr(0, colon);
  const std::string_view minor = number.substr(colon + 1);
  unsigned wanted = 0;
  std::from_chars(minor.data(), minor.data() + minor.size(), wanted);
  // A partition's number is a little above that of its disk (16 numbers each for sd, vd, xvd).
  constexpr unsigned kPartitions = 16;
  const Subject* near = nullptr;
  unsigned nearest = kPartitions;
  for (const Subject* disk : scene.subjects(Kind::kDisk)) {
    const std::string_view own = disk->attribute("minor");
    unsigned first = 0;
    if (disk->attribute("major") != major ||
        std::from_chars(own.data(), own.data() + own.size(), first).ec != std::errc()) {
      continue;
    }
    if (first <= wanted && wanted - first < nearest) {
      nearest = wanted - first;
      near = disk;
    }
  }
  return near;
}

DiskOfGroup disk_of_group(const Scene& scene, std::string_view group, double seconds) {
  DiskOfGroup out;
  for (const Subject* one : scene.subjects(Kind::kGroupDisk)) {
    if (one->label(1) != group) {
      continue;
    }
    const double busy = mean_or_0(scene, *one, Signal::kGroupDiskBusy, seconds);
    if (busy > out.busy) {
      out.busy = busy;
      out.disk = scene.find(Kind::kDisk, {one->label(0)});
    }
  }
  return out.disk == nullptr ? DiskOfGroup{} : out;
}

ProcessOfGroup process_of_group(const Scene& scene, Signal of_processes, std::string_view group,
                                double seconds) {
  ProcessOfGroup out;
  for (const Subject* process : scene.subjects(Kind::kProcess)) {
    if (process->attribute("group") != group) {
      continue;
    }
    const double value = mean_or_0(scene, *process, of_processes, seconds);
    if (value > out.value) {
      out = {process, value};
    }
  }
  return out;
}

std::string disk_text(const Scene& scene, const Subject& disk, double seconds) {
  const double reads = scene.mean(disk, Signal::kDiskReads, seconds);
  const double writes = scene.mean(disk, Signal::kDiskWrites, seconds);
  std::string out = disk.label(0) + ":";
  if (is_known(reads) && reads > 0) {
    out += " " + format_figure(reads, Unit::kNumber) + " r/s, " +
           format_figure(scene.mean(disk, Signal::kDiskReadBytes, seconds), Unit::kBytesPerSecond);
  }
  if (is_known(writes) && writes > 0) {
    out +=
        std::string(out.ends_with(':') ? " " : ", ") + format_figure(writes, Unit::kNumber) +
        " w/s, " +
        format_figure(scene.mean(disk, Signal::kDiskWrittenBytes, seconds), Unit::kBytesPerSecond);
  }
  const double latency = disk_latency(scene, disk, seconds);
  if (is_known(latency)) {
    out += ", " + format_figure(latency, Unit::kSeconds) + " a request";
  }
  return out;
}

}  // namespace tidegauge::heuristics
