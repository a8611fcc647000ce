// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/parties.h"

#include <algorithm>

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

std::vector<Share> shares(const Scene& scene, Signal signal, double seconds, double total,
                          double least_share) {
  std::vector<Share> out;
  double sum = 0;
  for (const Subject* subject : scene.subjects(info_of(signal).kind)) {
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

namespace {

std::vector<Share> of_device(std::vector<Share> all, std::string_view device) {
  std::erase_if(all, [&](const Share& one) { return one.subject->label(0) != device; });
  return all;
}

// Without BPF: who read and wrote most in the time, of what the disk did.
DiskUsers guess_users(const Scene& scene, std::string_view device, double seconds, std::size_t most) {
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

}  // namespace

DiskUsers disk_users(const Scene& scene, std::string_view device, double seconds, std::size_t most) {
  std::vector<Share> groups = of_device(shares(scene, Signal::kGroupDiskBusy, seconds, kUnknown, 0), device);
  double all = 0;
  for (const Share& group : groups) {
    all += group.value;
  }
  if (all <= 0) {
    return guess_users(scene, device, seconds, most);
  }
  const std::vector<Share> processes =
      of_device(shares(scene, Signal::kProcessDiskBusy, seconds, kUnknown, 0), device);
  DiskUsers out;
  for (const Share& group : groups) {
    const double share = group.value / all;
    if (share < 0.05 || out.parties.size() == most) {
      break;
    }
    const std::string& name = group.subject->label(1);
    // The process that has most of the group's part, where one has.
    const Share* own = nullptr;
    for (const Share& process : processes) {
      if (process.subject->attribute("group") == name ||
          party_of_process(scene, process.subject->label(1), process.subject->label(2)).group == name) {
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
    const bool is_theirs = !pid.empty() ? file->attribute("pid") == pid : file->attribute("group") == group;
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

bool is_whole_disk(const Scene& /*scene*/, const Subject& disk) {
  const std::string& name = disk.label(0);
  return !name.starts_with("loop") && !name.starts_with("ram") && !name.starts_with("zram");
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
    out += std::string(out.ends_with(':') ? " " : ", ") + format_figure(writes, Unit::kNumber) + " w/s, " +
           format_figure(scene.mean(disk, Signal::kDiskWrittenBytes, seconds), Unit::kBytesPerSecond);
  }
  const double latency = disk_latency(scene, disk, seconds);
  if (is_known(latency)) {
    out += ", " + format_figure(latency, Unit::kSeconds) + " a request";
  }
  return out;
}

}  // namespace tidegauge::heuristics
