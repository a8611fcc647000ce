// SPDX-License-Identifier: Apache-2.0

// Leaks, memory that runs out, what is killed for it, and limits of cgroups: on whom they hold, and on whom not.

#include <gtest/gtest.h>

#include <cmath>
#include <ctime>
#include <iostream>
#include <string>
#include <vector>

#include "daemon/heuristics/assess.h"
#include "tests/unit/reclaim_host.h"

namespace tidegauge::heuristics {
namespace {

using tidegauge::testing::FakeHost;
using tidegauge::testing::ReclaimHost;

constexpr double kMiB = ReclaimHost::kMiB;
constexpr double kGiB = ReclaimHost::kGiB;

// 8 GiB, half of it available; one group of workers.
class Host : public ReclaimHost {
 public:
  Host() {
    memory("MemTotal", 8 * kGiB);
    memory("MemFree", 1 * kGiB);
    memory("SwapFree", 0);
    memory("Shmem", 0);
    vmstat("pgscan_direct", 0);
    vmstat("oom_kill", 0);
    psi(0, 0);
    host().set("process", "tidegauge_group_processes", {{"group", "worker"}}, 4);
    rate("process", "tidegauge_group_processes_started_total", {{"group", "worker"}}, 0);
    use(1 * kGiB);
  }
  void use(double bytes) {
    memory("AnonPages", 1 * kGiB + bytes);
    memory("MemAvailable", 5 * kGiB - bytes);
    group_anon("worker", bytes);
    process_anon("11", "worker", "worker", bytes - 0.5 * kGiB);
    process_anon("12", "worker", "worker", 0.25 * kGiB);
    process_anon("13", "worker", "worker", 0.25 * kGiB);
  }
  // What is found of a use over time, in ticks of some seconds.
  template <class Use>
  Findings watch(Detector detector, int ticks, double seconds, const Use& bytes_at) {
    Findings out;
    for (int i = 0; i < ticks; ++i) {
      use(bytes_at(i * seconds));
      step(seconds);
      if (Findings found = ask(detector); !found.empty()) {
        out = std::move(found);
      }
    }
    return out;
  }
};

double noise(double t) { return std::sin(t * 12.9898) * 0.3 * kMiB; }

TEST(Leak, SteadyAndFast) {
  Host host;
  EXPECT_TRUE(host.watch(detect_memory_leak_suspected, 60, 1, [](double) { return kGiB; }).empty());
  const auto at = [](double t) { return kGiB + t * 2 * kMiB + noise(t); };
  EXPECT_TRUE(host.watch(detect_memory_leak_suspected, 240, 1, at).empty()) << "too early to say";
  const Findings found =
      host.watch(detect_memory_leak_suspected, 160, 1, [&](double t) { return at(t + 240); });
  ASSERT_EQ(found.size(), 1U);
  const Finding& finding = found[0];
  EXPECT_EQ(finding.instance, "worker");
  EXPECT_EQ(finding.causes[0].pid, "11");
  EXPECT_NEAR(finding.evidence[0].value, 7200 * kMiB, 200 * kMiB);
  EXPECT_NEAR(static_cast<double>(host.scene().boottime_ns() - finding.onset_ns) / 1e9, 400, 65);
  EXPECT_GT(finding.confidence, 0.6);
}

// Its verdict asks for a look at what the process maps, and tells what came of it.
TEST(Leak, TheSuspectIsLookedAt) {
  Host host;
  Heuristics heuristics;
  std::vector<Request> requests;
  const auto step = [&](double t) {
    host.use(kGiB + t * 2 * kMiB + noise(t));
    const Snapshot snapshot = host.host().tick(1);
    heuristics.update(snapshot);
    const auto report = heuristics.report();
    requests.insert(requests.end(), report->requests.begin(), report->requests.end());
    return report;
  };
  double t = 0;
  while (t < 900 && step(t)->active.empty()) {
    EXPECT_TRUE(requests.empty()) << "nobody is suspected yet";
    ++t;
  }
  EXPECT_EQ(requests, (std::vector<Request>{{"process", 11}}));
  const auto mapped = [](const Report& report) {
    std::vector<double> out;
    for (const Evidence& evidence : report.active.at(0).finding.evidence) {
      if (evidence.source.starts_with("tidegauge_process_mappings_bytes")) {
        out.push_back(evidence.value);
      }
    }
    return out;
  };
  // Each group has its turn now and then.
  const auto mapped_in_a_minute = [&] {
    for (int i = 0; i < 59; ++i) {
      step(++t);
    }
    return mapped(*step(++t));
  };
  EXPECT_TRUE(mapped_in_a_minute().empty());
  host.host().set("process", "tidegauge_process_mappings_bytes",
                  {{"pid", "11"}, {"comm", "worker"}, {"kind", "private_dirty"}}, 3 * kGiB);
  EXPECT_EQ(mapped_in_a_minute(), (std::vector<double>{3 * kGiB}));
  EXPECT_EQ(requests.size(), 1U) << "once";
}

TEST(Leak, SlowOverDays) {
  Host host;
  // 40 MiB an hour: 12 % of all memory a day; in two days 1.9 GiB of the 4 that are there.
  const auto at = [](double t) { return kGiB + t / 3600 * 40 * kMiB + noise(t); };
  EXPECT_TRUE(host.watch(detect_memory_leak_suspected, 6 * 60, 60, at).empty())
      << "six hours are too short";
  const Findings found = host.watch(detect_memory_leak_suspected, 36 * 60, 60,
                                    [&](double t) { return at(t + 6 * 3600); });
  ASSERT_EQ(found.size(), 1U);
  EXPECT_NEAR(found[0].evidence[0].value, 40 * kMiB, 4 * kMiB);
}

TEST(Leak, AWarmUpLevelsOff) {
  for (const double tau : {25.0, 120.0, 600.0, 3600.0}) {
    Host host;
    const auto at = [&](double t) { return kGiB + 3 * kGiB * (1 - std::exp(-t / tau)) + noise(t); };
    EXPECT_TRUE(host.watch(detect_memory_leak_suspected, 2400, 1, at).empty()) << tau;
  }
}

TEST(Leak, SawTeethStepsAndNoise) {
  Host saw;
  EXPECT_TRUE(saw.watch(detect_memory_leak_suspected, 1500, 2,
                        [](double t) { return kGiB + std::fmod(t, 700.0) * 2 * kMiB; })
                  .size() <= 1U);
  // After one tooth it is known.
  EXPECT_TRUE(saw.watch(detect_memory_leak_suspected, 1500, 2,
                        [](double t) { return kGiB + std::fmod(t + 200, 700.0) * 2 * kMiB; })
                  .empty());
  Host step;
  EXPECT_TRUE(step.watch(detect_memory_leak_suspected, 1500, 1,
                         [](double t) { return t < 500 ? kGiB : 3 * kGiB; })
                  .empty());
  Host flat;
  EXPECT_TRUE(flat.watch(detect_memory_leak_suspected, 1500, 1,
                         [](double t) { return kGiB + 100 * noise(t); })
                  .empty());
}

TEST(Leak, MoreProcessesAreNoLeak) {
  Host host;
  host.pass(30);
  host.rate("process", "tidegauge_group_processes_started_total", {{"group", "worker"}}, 0.1);
  Findings found;
  for (int t = 0; t < 600; ++t) {
    host.group_anon("worker", kGiB + t * 2 * kMiB);
    host.host().set("process", "tidegauge_group_processes", {{"group", "worker"}}, 4 + t / 10);
    host.memory("MemAvailable", 4 * kGiB - t * 2 * kMiB);
    host.step();
    if (Findings more = host.ask(detect_memory_leak_suspected); !more.empty()) {
      found = more;
    }
  }
  EXPECT_TRUE(found.empty());
}

TEST(OomRisk, AFallThatEndsSoon) {
  Host host;
  host.watch(detect_oom_risk, 60, 1, [](double) { return kGiB; });
  const auto at = [](double t) { return kGiB + t * 30 * kMiB; };
  EXPECT_TRUE(host.watch(detect_oom_risk, 10, 1, at).empty());
  const Findings found = host.watch(detect_oom_risk, 40, 1, [&](double t) { return at(t + 10); });
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].causes[0].pid, "11");
  EXPECT_NEAR(static_cast<double>(host.scene().boottime_ns() - found[0].onset_ns) / 1e9, 50, 2);
}

TEST(OomRisk, AProgramThatStartsOrWarmsUp) {
  Host start;
  start.watch(detect_oom_risk, 60, 1, [](double) { return kGiB; });
  EXPECT_TRUE(start
                  .watch(detect_oom_risk, 100, 1,
                         [](double t) { return kGiB + std::min(t, 15.0) * 60 * kMiB; })
                  .empty());
  for (const double tau : {15.0, 25.0, 60.0}) {
    Host warm;
    warm.watch(detect_oom_risk, 60, 1, [](double) { return kGiB; });
    EXPECT_TRUE(warm.watch(detect_oom_risk, 200, 1,
                           [&](double t) { return kGiB + 2.2 * kGiB * (1 - std::exp(-t / tau)); })
                    .empty())
        << tau;
  }
}

TEST(OomRisk, NothingIsLeft) {
  Host host;
  host.pass(30);
  host.memory("MemAvailable", 0.1 * kGiB);
  EXPECT_TRUE(host.ask_for(detect_oom_risk, 20).empty()) << "little, and nobody waits";
  host.psi(0.5, 0.3);
  EXPECT_EQ(host.ask_for(detect_oom_risk, 20).size(), 1U);
}

TEST(OomKill, TheVictimAndWhoGrew) {
  Host host;
  host.watch(detect_oom_kill, 60, 1, [](double t) { return kGiB + t * 60 * kMiB; });
  host.host().add("vmstat", "node_vmstat_oom_kill", {}, 1);
  const double now =
      static_cast<double>(host.host().boottime_ns() + FakeHost::kBootRealtimeNs) / 1e9 + 0.5;
  host.host().set(
      "ebpf_memory", "tidegauge_oom_victim_timestamp_seconds",
      {{"pid", "11"}, {"comm", "worker"}, {"group", "worker"}, {"cgroup", "/"}, {"number", "1"}},
      now);
  host.step();
  const Findings found = host.ask(detect_oom_kill);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].victims[0].pid, "11");
  EXPECT_EQ(found[0].causes[0].pid, "11");
  EXPECT_NE(found[0].causes[0].doing.find("GiB"), std::string::npos) << found[0].causes[0].doing;
  EXPECT_NEAR(static_cast<double>(host.scene().boottime_ns() - found[0].onset_ns) / 1e9, 0.5, 0.1);
  EXPECT_TRUE(host.ask_for(detect_oom_kill, 1).size() == 1U);
  host.pass(30);
  EXPECT_TRUE(host.ask(detect_oom_kill).empty());
}

TEST(OomKill, ByTheCounterAlone) {
  Host host;
  host.pass(60);
  host.host().add("vmstat", "node_vmstat_oom_kill", {}, 1);
  host.step();
  const Findings found = host.ask(detect_oom_kill);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_FALSE(found[0].unchecked.empty());
}

class Limited : public Host {
 public:
  explicit Limited(double anon) {
    const Labels one{{"cgroup", kName}};
    host().set("cgroup", "tidegauge_cgroup_memory_usage_bytes", one, 99.9 * kMiB);
    host().set("cgroup", "tidegauge_cgroup_memory_limit_bytes", one, 100 * kMiB);
    host().set("cgroup", "tidegauge_cgroup_memory_anon_bytes", one, anon);
    event("max", 0);
    press(0);
    refault(0);
  }
  void event(const std::string& name, double per_second) {
    rate("cgroup", "tidegauge_cgroup_memory_events_total", {{"cgroup", kName}, {"event", name}},
         per_second);
  }
  void press(double ratio) {
    rate("cgroup", "tidegauge_cgroup_pressure_waiting_seconds_total",
         {{"cgroup", kName}, {"resource", "memory"}}, ratio);
  }
  void refault(double pages) {
    rate("cgroup", "tidegauge_cgroup_memory_refaults_total", {{"cgroup", kName}, {"type", "file"}},
         pages);
  }
  static constexpr const char* kName = "/system.slice/report.service";
};

TEST(CgroupLimit, HeldAndWaiting) {
  Limited host(60 * kMiB);
  EXPECT_TRUE(host.ask_for(detect_cgroup_memory_limit, 20).empty()) << "at the limit, at rest";
  host.event("max", 50);
  host.press(0.3);
  host.pass(10);
  const Findings found = host.ask(detect_cgroup_memory_limit);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].instance, Limited::kName);
  EXPECT_EQ(found[0].causes[0].cgroup, Limited::kName);
}

TEST(CgroupLimit, PageCacheThatStreamsThrough) {
  Limited host(2 * kMiB);
  host.event("max", 50);
  EXPECT_TRUE(host.ask_for(detect_cgroup_memory_limit, 20).empty());
  host.press(0.3);
  EXPECT_TRUE(host.ask_for(detect_cgroup_memory_limit, 20).empty())
      << "it waits for its disk or for its reclaim";
  host.refault(400);
  EXPECT_EQ(host.ask_for(detect_cgroup_memory_limit, 20).size(), 1U);
}

// What a tick costs with many groups and disks, and nothing wrong: told, and far below a bound for slow machines.
TEST(MemoryDetectors, CostLittle) {
  Host host;
  for (int i = 0; i < 200; ++i) {
    host.group_anon("g" + std::to_string(i), 0.03 * kGiB);
    host.group("g" + std::to_string(i), "storage_read_bytes_total", 1000);
  }
  for (int i = 0; i < 50; ++i) {
    host.disk("sd" + std::to_string(i), 10, 1e5, 0.005);
  }
  host.pass(1000);
  const Detector detectors[] = {detect_page_cache_thrash,
                                detect_memory_watermark_pressure,
                                detect_direct_reclaim_stall,
                                detect_memory_fragmentation,
                                detect_swap_thrash,
                                detect_memory_leak_suspected,
                                detect_oom_risk,
                                detect_oom_kill,
                                detect_cgroup_memory_limit};
  double most = 0;
  double all = 0;
  for (int i = 0; i < 60; ++i) {
    host.step();
    const std::clock_t begin = std::clock();  // of this process alone: other programs may run
    for (const Detector detector : detectors) {
      EXPECT_TRUE(host.ask(detector).empty());
    }
    const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    most = std::max(most, seconds);
    all += seconds;
  }
  std::cout << "mean " << all / 60 * 1e6 << " us, most " << most * 1e6 << " us\n";
  EXPECT_LT(all / 60, 0.005);
}

}  // namespace
}  // namespace tidegauge::heuristics
