// SPDX-License-Identifier: Apache-2.0

#include <gtest/gtest.h>

#include <string>

#include "daemon/heuristics/detectors.h"
#include "daemon/heuristics/reclaim_model.h"
#include "tests/unit/fake_host.h"

namespace tidegauge::heuristics {
namespace {

using tidegauge::testing::FakeHost;

// A host of so many CPUs, each busy so much.
class CpuHost {
 public:
  explicit CpuHost(std::vector<double> busy) : busy_(std::move(busy)) {}

  void run(int seconds, double tick = 1) {
    for (int i = 0; i < seconds; ++i) {
      for (std::size_t cpu = 0; cpu < busy_.size(); ++cpu) {
        const std::string name = std::to_string(cpu);
        host_.add("cpu", "node_cpu_seconds_total", {{"cpu", name}, {"mode", mode_}},
                  busy_[cpu] * tick);
        host_.add("cpu", "node_cpu_seconds_total", {{"cpu", name}, {"mode", "idle"}},
                  (1 - busy_[cpu]) * tick);
      }
      for (auto& [labels, cores] : processes_) {
        host_.set("process", "tidegauge_process_start_time_seconds", labels, 1);
        FakeHost::Labels user = labels;
        user.emplace_back("mode", "user");
        host_.add("process", "tidegauge_process_cpu_seconds_total", user, cores * tick);
        host_.add("process", "tidegauge_group_cpu_seconds_total",
                  {{"group", labels[2].second}, {"mode", "user"}}, cores * tick);
      }
      if (pressure_ > 0) {
        host_.add("pressure", "node_pressure_cpu_waiting_seconds_total", {}, pressure_ * tick);
      }
      host_.set("stat", "node_procs_running", {}, running_);
      scene_.update(host_.tick(tick));
    }
  }
  void process(const std::string& pid, const std::string& comm, double cores,
               const std::string& allowed, double number) {
    processes_.push_back(
        {{{"pid", pid}, {"comm", comm}, {"group", comm}, {"unit", ""}, {"container", ""}}, cores});
    host_.set("process", "tidegauge_process_allowed_cpus",
              {{"pid", pid}, {"comm", comm}, {"cpus", allowed}}, number);
  }
  Findings single() { return found(detect_cpu_single_saturated); }
  Findings contention() { return found(detect_cpu_contention); }

  FakeHost host_;
  std::vector<double> busy_;
  std::string mode_ = "user";
  double running_ = 1;
  double pressure_ = 0;
  Thresholds limits_;

 private:
  Findings found(Detector detector) {
    Findings out;
    const MemoryReading memory;
    detector({scene_, memory, limits_}, out);
    return out;
  }
  Scene scene_;
  std::vector<std::pair<FakeHost::Labels, double>> processes_;
};

TEST(CpuSingleSaturated, NamesWhoIsBoundToIt) {
  CpuHost host({0.02, 0.05});
  host.process("77", "python3", 0.01, "1", 1);
  host.run(30);
  EXPECT_TRUE(host.single().empty());
  CpuHost busy({0.02, 1.0});
  busy.process("77", "python3", 0.99, "1", 1);
  busy.run(15);
  const Findings found = busy.single();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].instance, "1");
  ASSERT_FALSE(found[0].causes.empty());
  EXPECT_EQ(found[0].causes[0].pid, "77");
  EXPECT_EQ(found[0].causes[0].cpu, "1");
  EXPECT_GE(found[0].confidence, 0.8);
  EXPECT_NE(found[0].sentence.find("may run on CPU 1 only"), std::string::npos)
      << found[0].sentence;
  EXPECT_EQ(busy.host_.boottime_ns() - found[0].onset_ns, 14'000'000'000)
      << "the first tick has no rate";
}

TEST(CpuSingleSaturated, AFreeProgramIsToldOnlyAfterLong) {
  CpuHost host({0.02, 1.0, 0.1, 0});
  host.process("9", "gzip", 0.99, "0-3", 4);
  host.run(20);
  EXPECT_TRUE(host.single().empty()) << "a short burst of one thread is everyday";
  host.run(40);
  const Findings found = host.single();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_LT(found[0].confidence, 0.8);
}

TEST(CpuSingleSaturated, NotWhenAllAreFull) {
  CpuHost host({1, 1});
  host.process("9", "burn", 2, "0-1", 2);
  host.run(60);
  EXPECT_TRUE(host.single().empty());
}

TEST(CpuSingleSaturated, NotOnAHostOfOneCpu) {
  CpuHost host({1});
  host.process("9", "burn", 1, "0", 1);
  host.run(60);
  EXPECT_TRUE(host.single().empty());
}

TEST(CpuSingleSaturated, InterruptsNeedNoProcess) {
  CpuHost host({1, 0.1, 0.1, 0.1});
  host.mode_ = "softirq";
  host.run(15);
  const Findings found = host.single();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_NE(found[0].sentence.find("interrupts"), std::string::npos);
  EXPECT_FALSE(found[0].unchecked.empty());
}

TEST(CpuContention, NeedsMoreTasksThanCpus) {
  CpuHost host({1, 1});
  host.process("9", "burn", 2, "0-1", 2);
  host.running_ = 2;
  host.pressure_ = 0.3;
  host.run(20);
  EXPECT_TRUE(host.contention().empty()) << "full, but nobody waits long";
  host.running_ = 6;
  host.pressure_ = 0.9;
  host.run(20);
  const Findings found = host.contention();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].causes.at(0).comm, "burn");
  EXPECT_EQ(host.host_.boottime_ns() - found[0].onset_ns, 20'000'000'000);
}

TEST(CpuContention, WithoutPsiItSaysSo) {
  CpuHost host({1, 1});
  host.process("9", "burn", 2, "0-1", 2);
  host.running_ = 7;
  host.run(20);
  const Findings found = host.contention();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_FALSE(found[0].unchecked.empty());
  EXPECT_LT(found[0].confidence, 0.8);
}

TEST(CpuContention, NothingKnownIsNothingFound) {
  CpuHost host({});
  host.running_ = 50;
  host.run(20);
  EXPECT_TRUE(host.contention().empty());
  EXPECT_TRUE(host.single().empty());
}

}  // namespace
}  // namespace tidegauge::heuristics
