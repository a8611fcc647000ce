// SPDX-License-Identifier: Apache-2.0

#include <gtest/gtest.h>

#include <string>

#include "tests/unit/disk_host.h"

namespace tidegauge::heuristics {
namespace {

// ---- sync_bound_process ----

class SyncHost : public DiskHost {
 public:
  void syncs(const std::string& pid, const std::string& comm, double calls, double seconds_each) {
    const Labels labels{
        {"pid", pid}, {"comm", comm}, {"group", comm}, {"unit", ""}, {"container", ""}};
    gauge("process", "tidegauge_process_start_time_seconds", labels, 1);
    rate("process", "tidegauge_process_sync_seconds_total", labels, calls * seconds_each);
    group(comm, calls, seconds_each);
  }
  void group(const std::string& name, double calls, double seconds_each) {
    rate("process", "tidegauge_group_sync_seconds_total", {{"group", name}}, calls * seconds_each);
    rate("process", "tidegauge_group_syncs_total", {{"group", name}}, calls);
    const Labels labels{{"group", name}, {"fstype", "ext4"}, {"operation", "fdatasync"}};
    rate("ebpf_files", "tidegauge_file_sync_duration_seconds|_sum", labels, calls * seconds_each);
    rate("ebpf_files", "tidegauge_file_sync_duration_seconds|_count", labels, calls);
    rate("ebpf_files", "tidegauge_file_sync_written_bytes_total", labels, calls * 67);
  }
  void file(const std::string& path, const std::string& group, const std::string& pid, double calls,
            double seconds_each) {
    const Labels labels{{"path", path}, {"device", "8:1"}};
    rate("ebpf_files", "tidegauge_top_file_syncs_total", labels, calls);
    rate("ebpf_files", "tidegauge_top_file_sync_seconds_total", labels, calls * seconds_each);
    gauge("ebpf_files", "tidegauge_top_file_user_info",
          {{"path", path},
           {"device", "8:1"},
           {"group", group},
           {"thread", group},
           {"pid", pid},
           {"tid", pid}},
          1);
  }
};

TEST(SyncBound, OneFileAgainAndAgain) {
  SyncHost host;
  host.disk("sda", 0, 492, 5400, 0.00176, 0.0);
  host.run(10);
  host.syncs("9085", "redis-server", 100, 0.007);
  host.file("/data/appendonly.aof", "redis-server", "9085", 100, 0.007);
  host.run(15);
  const Findings found = host.find(detect_sync_bound_process);
  ASSERT_EQ(found.size(), 1U);
  const Party& cause = found[0].causes.at(0);
  EXPECT_EQ(cause.comm, "redis-server");
  EXPECT_EQ(cause.pid, "9085");
  EXPECT_EQ(cause.file, "/data/appendonly.aof");
  EXPECT_EQ(cause.device, "sda") << "of its partition 8:1";
  EXPECT_NEAR(cause.share.value_or(0), 0.7, 0.15);
  EXPECT_GE(found[0].confidence, 0.8);
  for (const char* part : {"fdatasync", "67 B", "not saturated", "7 ms"}) {
    EXPECT_NE(found[0].sentence.find(part), std::string::npos)
        << part << " in " << found[0].sentence;
  }
  EXPECT_NEAR(host.ago(found[0].onset_ns), 14, 1.1);
}

TEST(SyncBound, ManyFilesOnceEachAreAnUpgrade) {
  SyncHost host;
  host.disk("sda", 0, 300, 20e3, 0.003, 0.6);
  host.syncs("9", "dpkg", 60, 0.01);
  for (int i = 0; i < 30; ++i) {
    host.file("/usr/share/doc/" + std::to_string(i), "dpkg", "9", 0.1, 0.01);
  }
  host.run(40);
  EXPECT_TRUE(host.find(detect_sync_bound_process).empty());
  host.run(110);
  EXPECT_EQ(host.find(detect_sync_bound_process).size(), 1U)
      << "but one that goes on and on is something else";
}

TEST(SyncBound, ManyThatWaitALittleEachAreNot) {
  SyncHost host;
  host.group("postgres", 100, 0.01);
  for (int i = 0; i < 10; ++i) {
    host.rate("process", "tidegauge_process_sync_seconds_total",
              {{"pid", std::to_string(100 + i)},
               {"comm", "postgres"},
               {"group", "postgres"},
               {"unit", ""},
               {"container", ""}},
              0.1);
    host.gauge("process", "tidegauge_process_start_time_seconds",
               {{"pid", std::to_string(100 + i)},
                {"comm", "postgres"},
                {"group", "postgres"},
                {"unit", ""},
                {"container", ""}},
               1);
  }
  host.file("/data/pg_wal/1", "postgres", "100", 100, 0.01);
  host.run(30);
  EXPECT_TRUE(host.find(detect_sync_bound_process).empty());
}

TEST(SyncBound, MoreThanOneThreadIsSaidSo) {
  SyncHost host;
  host.syncs("9", "mysqld", 300, 0.01);
  host.file("/data/ib_logfile0", "mysqld", "9", 300, 0.01);
  host.run(30);
  const Findings found = host.find(detect_sync_bound_process);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_LE(found[0].causes.at(0).share.value_or(2), 1);
  EXPECT_NE(found[0].sentence.find("3 threads"), std::string::npos) << found[0].sentence;
}

TEST(SyncBound, ThreadsOfTheKernelAreNotAndOneSyncIsNot) {
  SyncHost host;
  host.group("[kworker]", 100, 0.007);
  host.run(30);
  EXPECT_TRUE(host.find(detect_sync_bound_process).empty());
  host.group("dd", 1, 20);  // counted at its end
  host.run(1);
  host.group("dd", 0, 0);
  host.run(3);
  EXPECT_TRUE(host.find(detect_sync_bound_process).empty());
}

// ---- temp_file_churn ----

class ChurnHost : public DiskHost {
 public:
  void churn(double files, double bytes_each, double known_age) {
    const Labels group{{"group", "web"}, {"fstype", "ext4"}};
    rate("ebpf_files", "tidegauge_files_created_total", group, files);
    rate("ebpf_files", "tidegauge_files_deleted_total", group, files);
    rate("ebpf_files", "tidegauge_file_lifetime_seconds|_count", group, files * known_age);
    const Labels directory{{"group", "web"}, {"directory", "/tmp/X"}};
    rate("ebpf_files", "tidegauge_directory_files_created_total", directory, files);
    rate("ebpf_files", "tidegauge_directory_files_deleted_total", directory, files);
    rate("ebpf_files", "tidegauge_deleted_file_bytes_total", directory, files * bytes_each);
    gauge("ebpf_files", "tidegauge_top_file_user_info",
          {{"path", "/tmp/1-2/7.txt"},
           {"device", "8:0"},
           {"group", "web"},
           {"thread", "worker"},
           {"pid", "3920"},
           {"tid", "21776"}},
          1);
    process("3920", "python", "web", files * bytes_each, 0.3);
  }
};

TEST(TempFileChurn, NamesProcessThreadAndDirectory) {
  ChurnHost host;
  host.disk("sda", 0, 100, 600e3, 0.3, 1.0);
  host.churn(0, 0, 1);
  host.run(20);
  host.churn(25, 2.5e6, 1);
  host.uses_disk("sda", "web", 0.9);
  host.run(20);
  const Findings found = host.find(detect_temp_file_churn);
  ASSERT_EQ(found.size(), 1U);
  const Party& cause = found[0].causes.at(0);
  EXPECT_EQ(cause.comm, "python");
  EXPECT_EQ(cause.pid, "3920");
  EXPECT_EQ(cause.thread, "worker 21776");
  EXPECT_EQ(cause.directory, "/tmp/X");
  EXPECT_EQ(cause.file, "/tmp/1-2/7.txt");
  EXPECT_EQ(cause.device, "sda");
  EXPECT_GE(found[0].confidence, 0.8);
  EXPECT_NEAR(host.ago(found[0].onset_ns), 20, 1.1);
}

TEST(TempFileChurn, CheapOnesAreACompiler) {
  ChurnHost host;
  host.disk("sda", 0, 10, 600e3, 0.01, 0.05);
  host.churn(60, 200e3, 1);
  host.uses_disk("sda", "web", 0.05);
  host.run(30);
  EXPECT_TRUE(host.find(detect_temp_file_churn).empty());
}

TEST(TempFileChurn, ReplacingOldFilesIsAnUpgrade) {
  ChurnHost host;
  host.disk("sda", 0, 100, 600e3, 0.01, 0.9);
  host.churn(100, 600e3, 0.05);
  host.uses_disk("sda", "web", 0.9);
  host.run(30);
  EXPECT_TRUE(host.find(detect_temp_file_churn).empty());
}

TEST(TempFileChurn, WithoutBpfByWhatIsGoneUnwritten) {
  DiskHost host;
  host.disk("sda", 0, 100, 600e3, 0.3, 1.0);
  host.process("3920", "python", "web", 60e6, 0.3);
  host.rate("process", "tidegauge_group_storage_cancelled_bytes_total", {{"group", "web"}}, 30e6);
  host.pressure_io(0.6);
  host.run(30);
  const Findings found = host.find(detect_temp_file_churn);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].causes.at(0).comm, "python");
  EXPECT_LT(found[0].confidence, 0.6);
  EXPECT_FALSE(found[0].unchecked.empty());
}

TEST(TempFileChurn, NothingKnownNothingFound) {
  ChurnHost host;
  EXPECT_TRUE(host.find(detect_temp_file_churn).empty());
  host.churn(0, 0, 0);
  host.run(5);
  EXPECT_TRUE(host.find(detect_temp_file_churn).empty());
}

}  // namespace
}  // namespace tidegauge::heuristics
