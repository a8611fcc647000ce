// SPDX-License-Identifier: Apache-2.0
// What needs this machine's kernel says so when it is refused.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <span>
#include <string>
#include <thread>

#include "bpf/owner_records.h"
#include "collectors/ebpf/file_program_table.h"
#include "collectors/ebpf/kernel_btf.h"
#include "collectors/ebpf/map_reader.h"
#include "collectors/ebpf/owner_maps.h"
#include "collectors/ebpf/program_report.h"
#include "collectors/ebpf/time_histogram.h"
#include "collectors/registry.h"
#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

TEST(TimeHistogram, BucketsAreCumulativeAndEndWithAll) {
  TimeHistogram histogram;
  __u64 added[TG_TIME_SLOTS] = {};
  added[0] = 1;                  // under 1 us
  added[1] = 2;                  // under 2 us
  added[2] = 4;                  // under 4 us
  added[TG_TIME_SLOTS - 1] = 8;  // beyond all bounds
  histogram.add(added, 123);
  for (const BucketStep step : {BucketStep::kFine, BucketStep::kCoarse}) {
    RowTable table({}, time_histogram_columns("tidegauge_x_seconds", "Help.", step));
    table.begin();
    table.row(LabelValues{});
    EXPECT_EQ(set_time_histogram(table, 0, histogram, step), table.columns().size());
    std::map<std::string, std::uint64_t> by_bound;
    const Table out = table.take();
    for (std::size_t i = 0; i < out.shape->columns.size(); ++i) {
      const ColumnInfo& column = out.shape->columns[i];
      by_bound[column.labels.empty() ? column.suffix : column.labels[0].value] = out.raw(0, i);
    }
    EXPECT_EQ(by_bound["1e-06"], 1U);
    EXPECT_EQ(by_bound["4e-06"], 7U);
    EXPECT_EQ(by_bound["16.777216"], 7U);
    EXPECT_EQ(by_bound["+Inf"], 15U);
    EXPECT_EQ(by_bound["_count"], 15U);
    EXPECT_EQ(by_bound["_sum"], 123U);
    EXPECT_EQ(by_bound.contains("2e-06"), step == BucketStep::kFine);
  }
}

struct Key {
  std::uint32_t number;
  std::uint32_t zero;
};
struct Value {
  std::uint64_t count;
  std::uint64_t bytes;
};

class FoldedMap : public ::testing::Test {
 protected:
  void SetUp() override {
    fd_ = ::bpf_map_create(BPF_MAP_TYPE_HASH, "tidegauge_test", sizeof(Key), sizeof(Value), kSize,
                           nullptr);
    if (fd_ < 0) {
      GTEST_SKIP() << "this process may create no BPF maps: " << std::strerror(errno);
    }
  }
  void TearDown() override {
    if (fd_ >= 0) {
      ::close(fd_);
    }
  }
  void put(std::uint32_t number, Value value) const {
    const Key key{number, 0};
    ASSERT_EQ(::bpf_map_update_elem(fd_, &key, &value, BPF_ANY), 0);
  }
  std::map<std::uint32_t, std::uint64_t> fold() {
    std::map<std::uint32_t, std::uint64_t> out;
    now_ns_ += kSecond;
    const auto done = folder_.fold(
        fd_, now_ns_,
        [&](const Key& key, const Value& added, const Value&) { out[key.number] = added.count; });
    EXPECT_TRUE(done) << testing::error_text(done);
    return out;
  }

  static constexpr std::uint32_t kSize = 2000;
  static constexpr std::int64_t kSecond = 1'000'000'000;
  int fd_ = -1;
  std::int64_t now_ns_ = 0;
  MapFolder<Key, Value> folder_{kSize, false, 3 * kSecond};
};

TEST_F(FoldedMap, TellsWhatWasAdded) {
  using Added = std::map<std::uint32_t, std::uint64_t>;
  put(1, {5, 0});
  put(2, {7, 0});
  EXPECT_EQ(fold(), (Added{{1, 5}, {2, 7}}));
  put(1, {9, 0});
  EXPECT_EQ(fold(), (Added{{1, 4}}));
  put(2, {3, 0});  // left and came again
  EXPECT_EQ(fold(), (Added{{2, 3}}));
  EXPECT_EQ(fold(), Added{});
}

TEST_F(FoldedMap, ReadsMoreThanABatch) {
  for (std::uint32_t i = 0; i < 1500; ++i) {
    put(i, {i + 1, 0});
  }
  const auto added = fold();
  EXPECT_EQ(added.size(), 1500U);
  EXPECT_EQ(added.at(1499), 1500U);
  EXPECT_EQ(folder_.entries(), 1500U);
}

TEST_F(FoldedMap, IdleEntriesLeaveACrowdedMap) {
  for (std::uint32_t i = 0; i < 1500; ++i) {  // not more than three quarters
    put(i, {1, 0});
  }
  for (std::uint64_t pass = 0; pass < 3; ++pass) {
    put(7, {2 + pass, 0});
    static_cast<void>(fold());
    EXPECT_EQ(folder_.entries(), 1500U);
  }
  for (std::uint64_t pass = 3; pass < 5; ++pass) {
    put(7, {2 + pass, 0});
    static_cast<void>(fold());
  }
  EXPECT_EQ(fold().size(), 0U);
  EXPECT_EQ(folder_.entries(), 1U);
  put(8, {4, 0});  // begins anew
  EXPECT_EQ(fold().at(8), 4U);
}

TEST_F(FoldedMap, SilentEntriesLeaveAFullMapAtOnce) {
  for (std::uint32_t i = 0; i < 1600; ++i) {
    put(i, {1, 0});
  }
  EXPECT_EQ(fold().size(), 1600U);
  put(7, {3, 0});
  EXPECT_EQ(fold(), (std::map<std::uint32_t, std::uint64_t>{{7, 2}}));
  EXPECT_EQ(fold().size(), 0U);
  EXPECT_EQ(folder_.entries(), 1U);
}

// However few passes the time holds.
TEST_F(FoldedMap, IdleIsATime) {
  for (std::uint32_t i = 0; i < 1200; ++i) {
    put(i, {1, 0});
  }
  static_cast<void>(fold());
  now_ns_ += 300 * kSecond;
  static_cast<void>(fold());
  static_cast<void>(fold());
  EXPECT_EQ(folder_.entries(), 0U);
}

class ThisKernel : public ::testing::Test {
 protected:
  void SetUp() override {
    auto runtime = shared_ebpf_runtime(KernelFiles());
    if (!runtime) {
      GTEST_SKIP() << "no BPF programs here: " << runtime.error().message();
    }
    runtime_ = std::move(*runtime);
  }
  std::shared_ptr<EbpfRuntime> runtime_;
};

TEST_F(ThisKernel, TracepointsAreReadFromItsTypes) {
  const KernelBtf& kernel = runtime_->kernel();
  const auto exec = kernel.tracepoint("sched_process_exec");
  ASSERT_TRUE(exec);
  EXPECT_EQ(*exec,
            (std::vector<std::string>{"struct task_struct *", "pid_t", "struct linux_binprm *"}));
  EXPECT_EQ(kernel.tracepoint("no_such_tracepoint"), std::nullopt);
  EXPECT_TRUE(kernel.has_function("vfs_fsync_range"));
  EXPECT_FALSE(kernel.has_function("no_such_function"));
}

TEST_F(ThisKernel, LayoutsAreReadFromItsTypes) {
  const KernelBtf& kernel = runtime_->kernel();
  EXPECT_TRUE(kernel.member_offset("task_struct", "pid", ""));
  EXPECT_NE(kernel.member_offset("task_struct", "pid", ""),
            kernel.member_offset("task_struct", "tgid", ""));
  EXPECT_FALSE(kernel.member_offset("task_struct", "no_such_member", ""));
  EXPECT_FALSE(kernel.member_offset("no_such_struct", "pid", "no_such_module"));
}

TEST(FilePrograms, EveryTrampolineHasAKprobe) {
  std::map<std::string_view, std::pair<int, int>> by_feature;
  for (const ProgramSpec& spec : file_program_specs()) {
    auto& [trampolines, kprobes] = by_feature[spec.feature];
    trampolines += spec.tier == Tier::kTrampoline ? 1 : 0;
    kprobes += spec.tier == Tier::kKprobe ? 1 : 0;
    EXPECT_EQ(spec.at_return, spec.tier == Tier::kKprobe && spec.name.ends_with("_ends"))
        << spec.name;
  }
  for (const auto& [feature, counts] : by_feature) {
    EXPECT_EQ(counts.first, counts.second) << feature;
  }
}

TEST_F(ThisKernel, OneRuntimeForAll) {
  const auto again = shared_ebpf_runtime(KernelFiles());
  ASSERT_TRUE(again);
  EXPECT_EQ(again->get(), runtime_.get());
}

TEST_F(ThisKernel, AFullTableOfOwnersBeginsAnew) {
  EXPECT_FALSE(runtime_->make_room());
  const tg_owner owner{};
  for (std::uint32_t i = 1; i < TG_OWNERS; ++i) {
    ASSERT_EQ(::bpf_map_update_elem(runtime_->owners_fd(), &i, &owner, BPF_ANY), 0);
  }
  EXPECT_TRUE(runtime_->make_room());
  EXPECT_FALSE(runtime_->make_room());
}

TEST_F(ThisKernel, ProgramsAreReported) {
  const auto programs = look_at_programs();
  const auto at = std::find_if(programs.begin(), programs.end(), [](const SeenProgram& seen) {
    return seen.status.name == "owner_calls_exec";
  });
  ASSERT_NE(at, programs.end());
  EXPECT_EQ(at->status.state, ProgramState::kAttached);
  EXPECT_GE(at->status.fd, 0);
}

std::size_t open_bpf_descriptors() {
  std::size_t out = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const std::string target = std::filesystem::read_symlink(entry.path(), gone).string();
    out += target.find("bpf") != std::string::npos ? 1U : 0U;
  }
  return out;
}

std::size_t resident_pages() {
  std::ifstream statm("/proc/self/statm");
  std::size_t all = 0;
  std::size_t resident = 0;
  statm >> all >> resident;
  return resident;
}

// A hundred times with TIDEGAUGE_E2E_LONG=1, while files come and go.
TEST_F(ThisKernel, AttachingAndDetachingLeavesNothing) {
  const int rounds = std::getenv("TIDEGAUGE_E2E_LONG") != nullptr ? 100 : 3;
  std::atomic<bool> stop{false};
  std::thread load([&] {
    const std::string path = ::testing::TempDir() + "tidegauge_churned";
    while (!stop) {
      std::ofstream(path) << "x";
      std::filesystem::remove(path);
    }
  });
  std::size_t descriptors = 0;
  [[maybe_unused]] std::size_t pages = 0;
  for (int round = 0; round <= rounds; ++round) {
    ReadBuffer buffer;
    for (const CollectorInfo* info : all_collectors()) {
      if (!info->name.starts_with("ebpf")) {
        continue;
      }
      auto collector = info->make(KernelFiles(), default_options(info->options));
      ASSERT_TRUE(collector) << info->name;
      CollectContext context{.realtime_ns = 1, .boottime_ns = 1'000'000'000, .buffer = &buffer};
      Section section;
      const auto done = (*collector)->collect(context, section);
      EXPECT_TRUE(done) << info->name << ": " << testing::error_text(done);
      EXPECT_FALSE(section.tables.empty()) << info->name;
    }
    if (round == 0) {  // what is made once
      descriptors = open_bpf_descriptors();
      pages = resident_pages();
    }
  }
  stop = true;
  load.join();
  EXPECT_EQ(open_bpf_descriptors(), descriptors);
#ifndef __SANITIZE_ADDRESS__  // which keeps what was freed for a while, and looks for leaks itself
  EXPECT_LT(resident_pages(), pages + (rounds > 10 ? 1024 : 4096));
#endif
}

// What a kernel refuses costs the feature a tier, and the reason stays on record.
constexpr ProgramSpec kSpecs[] = {
    {.name = "trampoline_probe",
     .feature = "probe",
     .tier = Tier::kTrampoline,
     .function = "no_such_function"},
    {.name = "owner_calls_exec",
     .feature = "probe",
     .tier = Tier::kTracepoint,
     .tracepoint = "sched_process_exec",
     .arguments = 3,
     .typed_argument = 2,
     .argument_type = "struct linux_binprm *"},
};
constexpr ProgramSpec kWrongVariant[] = {
    {.name = "owner_calls_exec",
     .feature = "probe",
     .tier = Tier::kTracepoint,
     .tracepoint = "sched_process_exec",
     .arguments = 2},
};
constexpr ProgramSpec kAbsent[] = {
    {.name = "owner_calls_exec",
     .feature = "probe",
     .tier = Tier::kTracepoint,
     .tracepoint = "no_such_tracepoint"},
};

TEST_F(ThisKernel, TiersFallBack) {
  bpf_object* object = nullptr;
  const auto open = [&]() -> bpf_object* {
    ::bpf_object__close(object);
    object = ::bpf_object__open_file(TIDEGAUGE_OWNERS_OBJECT, runtime_->open_options());
    return object;
  };
  {
    ProgramSet set("test", kSpecs, open);
    const auto loaded = set.load(runtime_->kernel(), runtime_->limits());
    ASSERT_TRUE(loaded) << testing::error_text(loaded);
    EXPECT_EQ(set.tier("probe"), Tier::kTracepoint);
    EXPECT_FALSE(set.statuses()[0].reason.empty());
    EXPECT_EQ(set.statuses()[1].state, ProgramState::kAttached);
    set.shed("probe", "for the test");
    EXPECT_EQ(set.statuses()[1].state, ProgramState::kAttached) << "by another thread";
    EXPECT_EQ(set.tier("probe"), Tier::kOff);
    EXPECT_EQ(set.statuses()[1].state, ProgramState::kShed);
  }
  for (const std::span<const ProgramSpec> specs :
       {std::span<const ProgramSpec>(kWrongVariant), std::span<const ProgramSpec>(kAbsent)}) {
    ProgramSet set("test", specs, open);
    EXPECT_FALSE(set.load(runtime_->kernel(), runtime_->limits()));
    EXPECT_EQ(set.tier("probe"), Tier::kOff);
    EXPECT_NE(set.statuses()[0].reason, "");
  }
  ::bpf_object__close(object);
}

}  // namespace
}  // namespace tidegauge
