// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>
#include <utility>

#include "daemon/heuristics/detectors.h"
#include "daemon/heuristics/parties.h"

namespace tidegauge::heuristics {

namespace {

constexpr double kWindow = 6;  // seconds
// One that may go elsewhere and yet stays on its CPU for so long is a program with one busy thread.
constexpr double kLongSeconds = 45;
constexpr double kOtherCpusBusy = 0.6;  // the others must have room
constexpr double kManyWait = 0.5;       // tasks that wait for the CPU, on average
constexpr double kManyInterrupts = 0.5;
constexpr double kNotable = 0.1;  // steal, iowait

double known_or_0(double value) { return is_known(value) ? value : 0; }

// Shares of the time that the kernel accounted for: virtual machines lose timer ticks, and mpstat says it so, too.
struct CpuTime {
  double busy = 0;
  double system = 0;
  double interrupts = 0;
  double steal = 0;
};

CpuTime time_of(const Scene& scene, const Subject& cpu, double seconds) {
  const auto mean = [&](Signal signal) { return known_or_0(scene.mean(cpu, signal, seconds)); };
  const double user = mean(Signal::kCpuUser);
  CpuTime out{0, mean(Signal::kCpuSystem), mean(Signal::kCpuInterrupts), mean(Signal::kCpuSteal)};
  const double busy = user + out.system + out.interrupts;
  const double all = busy + out.steal + mean(Signal::kCpuIdle) + mean(Signal::kCpuIowait);
  if (all <= 0) {
    return {};
  }
  return {busy / all, out.system / all, out.interrupts / all, out.steal / all};
}

// Whether a list like "0-3,8" has the number.
bool has_cpu(std::string_view list, unsigned number) {
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    const std::string_view part = list.substr(0, comma);
    unsigned first = 0;
    const auto* const end = part.data() + part.size();
    const auto begin = std::from_chars(part.data(), end, first);
    unsigned last = first;
    if (begin.ec == std::errc() && begin.ptr != end && *begin.ptr == '-') {
      std::from_chars(begin.ptr + 1, end, last);
    }
    if (begin.ec == std::errc() && first <= number && number <= last) {
      return true;
    }
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

double process_cpu(const Scene& scene, const Subject& process, double seconds) {
  return known_or_0(scene.mean(process, Signal::kProcessUser, seconds)) +
         known_or_0(scene.mean(process, Signal::kProcessSystem, seconds));
}

struct Owner {
  const Subject* process = nullptr;
  double cores = 0;
  bool is_bound = false;  // may run on few CPUs, this one among them
};

// Who fills the CPU. Those that are bound to it come first; of the rest only one that uses a whole CPU can be told.
std::vector<Owner> owners_of(const Scene& scene, std::string_view cpu, double cpus) {
  constexpr double kPart = 0.1;
  constexpr double kWhole = 0.85;
  unsigned number = 0;
  std::from_chars(cpu.data(), cpu.data() + cpu.size(), number);
  std::vector<Owner> bound;
  std::vector<Owner> free;
  for (const Subject* process : scene.subjects(Kind::kProcess)) {
    const double cores = process_cpu(scene, *process, kWindow);
    const double allowed = Scene::now(*process, Signal::kProcessCpus);
    if (cores < kPart) {
      continue;
    }
    if (is_known(allowed) && allowed <= cpus / 2 && has_cpu(process->attribute("cpus"), number)) {
      bound.push_back({process, cores, true});
    } else if (cores >= kWhole && !(is_known(allowed) && allowed <= cpus / 2)) {
      free.push_back({process, cores, false});
    }
  }
  std::vector<Owner> out = !bound.empty() ? std::move(bound) : std::move(free);
  std::sort(out.begin(), out.end(),
            [](const Owner& a, const Owner& b) { return a.cores > b.cores; });
  return out;
}

std::string share_text(double value) { return format_figure(value, Unit::kRatio); }

Party party_of_owner(const Scene& scene, const Owner& owner, const std::string& cpu) {
  Party party = party_of(scene, *owner.process);
  party.thread = busiest_thread(scene, owner.process->label(0), owner.process->label(1), kWindow);
  party.cpu = cpu;
  party.share = std::min(owner.cores, 1.0);
  party.doing = "uses " + share_text(owner.cores) + " of a CPU";
  if (owner.is_bound) {
    party.doing += " and may run on CPU " + std::string(owner.process->attribute("cpus")) + " only";
  }
  return party;
}

}  // namespace

void detect_cpu_single_saturated(const DetectorInput& input, Findings& out) {
  const Scene& scene = input.scene;
  const Thresholds& limits = input.limits;
  const auto cpus = scene.subjects(Kind::kCpu);
  double all = 0;
  double count = 0;
  std::vector<const Subject*> full;
  for (const Subject* cpu : cpus) {
    if (!is_known(Scene::now(*cpu, Signal::kCpuIdle))) {
      continue;
    }
    const double busy = time_of(scene, *cpu, kWindow).busy;
    all += busy;
    ++count;
    if (busy >= limits.cpu_busy_ratio) {
      full.push_back(cpu);
    }
  }
  // Half of them full is the host's affair.
  if (full.empty() || count < 2 || static_cast<double>(full.size()) > count / 2) {
    return;
  }
  for (const Subject* cpu : full) {
    const std::string& name = cpu->label(0);
    const CpuTime time = time_of(scene, *cpu, kWindow);
    const double busy = time.busy;
    const double others = (all - busy) / (count - 1);
    const double interrupts = time.interrupts;
    const double waiting = Scene::now(*cpu, Signal::kCpuWaiting);
    std::vector<Owner> owners = owners_of(scene, name, count);
    const bool is_bound = !owners.empty() && owners.front().is_bound;
    const bool is_long =
        time_of(scene, *cpu, kLongSeconds).busy >= limits.cpu_busy_ratio * 0.97 &&
        owners.size() == 1 &&
        process_cpu(scene, *owners.front().process, kLongSeconds) >= limits.cpu_busy_ratio * 0.9 &&
        scene.axis().resolution_seconds(kLongSeconds) * static_cast<double>(scene.axis().size()) >=
            kLongSeconds;
    if (others > kOtherCpusBusy ||
        (!is_bound && interrupts < kManyInterrupts && !(waiting >= kManyWait) && !is_long)) {
      continue;
    }
    Finding finding;
    finding.id = VerdictId::kCpuSingleSaturated;
    finding.instance = name;
    const Signal most = interrupts >= kManyInterrupts ? Signal::kCpuInterrupts
                        : time.system > busy / 2      ? Signal::kCpuSystem
                                                      : Signal::kCpuUser;
    finding.onset_ns = scene.at_least_since(*cpu, most, scene.mean(*cpu, most, kWindow) / 2)
                           .value_or(scene.boottime_ns());
    finding.onset_resolution_seconds = scene.tick_seconds();
    finding.confidence = is_bound ? 0.9 : is_long || interrupts >= kManyInterrupts ? 0.75 : 0.6;
    for (std::size_t i = 0; i < std::min<std::size_t>(owners.size(), 3); ++i) {
      finding.causes.push_back(party_of_owner(scene, owners[i], name));
    }
    if (finding.causes.empty()) {
      Party party;
      party.cpu = name;
      party.doing = "is busy";
      finding.causes.push_back(std::move(party));
    }
    finding.evidence = {
        {"CPU " + name + " busy", busy, Unit::kRatio, limits.cpu_busy_ratio,
         "node_cpu_seconds_total"},
        {"the other CPUs, on average", others, Unit::kRatio, kOtherCpusBusy,
         "node_cpu_seconds_total"},
        {"the host's average", all / count, Unit::kRatio, std::nullopt, "node_cpu_seconds_total"},
    };
    if (interrupts >= kNotable) {
      finding.evidence.push_back(
          {"of it interrupts", interrupts, Unit::kRatio, std::nullopt, "node_cpu_seconds_total"});
    }
    if (is_known(waiting)) {
      finding.evidence.push_back({"tasks that wait for it", waiting, Unit::kNumber, std::nullopt,
                                  "node_schedstat_waiting_seconds_total"});
    } else {
      finding.unchecked.emplace_back("how many tasks wait for this CPU: no schedstat");
    }
    finding.ruled_out.push_back(
        {"the host has too few CPUs", "the others are busy " + share_text(others)});
    finding.ruled_out.push_back(
        {"the hypervisor takes the CPU", "steal is " + share_text(time.steal)});
    const bool has_owner = !owners.empty();
    if (!has_owner) {
      finding.unchecked.emplace_back(
          "which process it is: none uses the CPU alone or is bound to it");
    }
    finding.sentence = "CPU " + name + " is busy " + share_text(busy) +
                       " while the others are busy " + share_text(others) +
                       ", so the host's average of " + share_text(all / count) + " hides it";
    if (interrupts >= kManyInterrupts) {
      finding.sentence += "; interrupts take " + share_text(interrupts);
    } else if (has_owner) {
      finding.sentence += "; " + finding.causes.front().text() + " " + finding.causes.front().doing;
    }
    finding.sentence += ".";
    finding.next_steps = {"mpstat -P ALL 1", "pidstat -t -u 1"};
    if (has_owner) {
      finding.next_steps.push_back("taskset -cp " + owners.front().process->label(0));
    }
    out.push_back(std::move(finding));
  }
}

void detect_cpu_contention(const DetectorInput& input, Findings& out) {
  const Scene& scene = input.scene;
  const Thresholds& limits = input.limits;
  double count = 0;
  for (const Subject* cpu : scene.subjects(Kind::kCpu)) {
    count += is_known(Scene::now(*cpu, Signal::kCpuIdle)) ? 1 : 0;
  }
  if (count == 0) {
    return;
  }
  // How long tasks wait tells it exactly. The number of runnable ones is a sample of moments at which timers fire.
  const double running = scene.mean(Signal::kRunning, kWindow);
  double waiting = kUnknown;
  for (const Subject* group : scene.subjects(Kind::kGroup)) {
    const double delay = scene.mean(*group, Signal::kGroupRunDelay, kWindow);
    if (is_known(delay)) {
      waiting = known_or_0(waiting) + delay;
    }
  }
  const bool is_exact = is_known(waiting) && scene.has(Signal::kGroupRunDelay);
  if (!is_exact) {
    waiting = running - count;
  }
  if (!(waiting >= limits.cpu_waiting_tasks * count)) {
    return;
  }
  const auto host_mean = [&](Signal signal) { return known_or_0(scene.mean(signal, kWindow)); };
  const double iowait_cores = host_mean(Signal::kHostIowait);
  const double steal_cores = host_mean(Signal::kHostSteal);
  const double accounted = host_mean(Signal::kHostUser) + host_mean(Signal::kHostSystem) +
                           host_mean(Signal::kHostInterrupts) + host_mean(Signal::kHostIdle) +
                           iowait_cores + steal_cores;
  if (accounted <= 0) {
    return;
  }
  const double idle = (host_mean(Signal::kHostIdle) + iowait_cores) / accounted;
  const double pressure = scene.mean(Signal::kPressureCpu, kWindow);
  if (idle > 1 - limits.cpu_busy_ratio + 0.05 ||
      (is_known(pressure) && pressure < limits.cpu_waiting_ratio)) {
    return;
  }
  Finding finding;
  finding.id = VerdictId::kCpuContention;
  const std::optional<std::int64_t> waits_since =
      is_known(pressure) ? scene.at_least_since(scene.host(), Signal::kPressureCpu, pressure / 2)
                         : std::nullopt;
  finding.onset_ns =
      waits_since.value_or(scene.at_least_since(scene.host(), Signal::kRunning, running / 2)
                               .value_or(scene.boottime_ns()));
  finding.onset_resolution_seconds = scene.tick_seconds();
  std::vector<Share> users;
  double all = 0;
  for (const Subject* group : scene.subjects(Kind::kGroup)) {
    const double cores = known_or_0(scene.mean(*group, Signal::kGroupUser, kWindow)) +
                         known_or_0(scene.mean(*group, Signal::kGroupSystem, kWindow));
    users.push_back({group, cores, 0});
    all += cores;
  }
  std::sort(users.begin(), users.end(),
            [](const Share& a, const Share& b) { return a.value > b.value; });
  for (const Share& user : users) {
    if (finding.causes.size() == 3 || user.value < 0.1 * all || user.value <= 0) {
      break;
    }
    Party party = party_of_group(user.subject->label(0));
    // The process that uses most of what its group does.
    const Subject* busiest = nullptr;
    double most = user.value / 2;
    for (const Subject* process : scene.subjects(Kind::kProcess)) {
      const double cores = process_cpu(scene, *process, kWindow);
      if (process->attribute("group") == party.group && cores > most) {
        most = cores;
        busiest = process;
      }
    }
    if (busiest != nullptr) {
      party = party_of(scene, *busiest);
    }
    party.share = user.value / all;
    party.doing = "uses " + format_figure(user.value, Unit::kCores) + " of " +
                  format_figure(count, Unit::kNumber);
    finding.causes.push_back(std::move(party));
  }
  for (const Share& victim : shares(scene, Signal::kGroupRunDelay, kWindow, kUnknown, 0.1)) {
    if (finding.victims.size() == 4) {
      break;
    }
    Party party = party_of_group(victim.subject->label(0));
    party.share = victim.share;
    party.doing = "waits for a CPU " + format_figure(victim.value, Unit::kSeconds) +
                  " in every second, its threads together";
    finding.victims.push_back(std::move(party));
  }
  // That the daemon itself takes the CPUs is no trouble of the host's: loading BPF programs on a slow machine, once.
  if (all > 0 && known_or_0(scene.now(Signal::kOwnCpu)) >= all / 2) {
    return;
  }
  const double steal = steal_cores / accounted;
  const double iowait = iowait_cores / accounted;
  finding.evidence = {
      {"tasks that wait for a CPU, on average", waiting, Unit::kNumber,
       limits.cpu_waiting_tasks * count,
       is_exact ? "tidegauge_group_run_queue_wait_seconds_total" : "node_procs_running"},
      {"time in which some task waits for a CPU", pressure, Unit::kRatio, limits.cpu_waiting_ratio,
       "node_pressure_cpu_waiting_seconds_total"},
      {"CPUs idle", idle, Unit::kRatio, std::nullopt, "node_cpu_seconds_total"},
  };
  if (!is_known(pressure)) {
    finding.evidence.erase(finding.evidence.begin() + 1);
    finding.unchecked.emplace_back("for how much of the time tasks wait: this kernel has no PSI");
  }
  if (!is_exact) {
    finding.unchecked.emplace_back("who waits: run-queue waits of processes are not known");
  }
  finding.ruled_out.push_back({"waiting for disks", "iowait is " + share_text(iowait)});
  if (steal < kNotable) {
    finding.ruled_out.push_back({"the hypervisor takes CPUs", "steal is " + share_text(steal)});
  } else {
    finding.evidence.push_back({"CPU time that the hypervisor took", steal, Unit::kRatio, kNotable,
                                "node_cpu_seconds_total"});
  }
  finding.confidence = is_known(pressure) && !finding.causes.empty() ? 0.9 : 0.7;
  finding.sentence = format_figure(waiting, Unit::kNumber) + " tasks wait for " +
                     format_figure(count, Unit::kNumber) + " CPUs at any time";
  if (!finding.causes.empty()) {
    finding.sentence += "; " + finding.causes.front().text() + " " + finding.causes.front().doing;
  }
  if (!finding.victims.empty()) {
    finding.sentence += "; " + finding.victims.front().text() + " waits most";
  }
  finding.sentence += ".";
  finding.next_steps = {"pidstat -u -w 1", "perf sched timehist, for who waits for whom"};
  out.push_back(std::move(finding));
}

}  // namespace tidegauge::heuristics
