// SPDX-License-Identifier: Apache-2.0
#include "collectors/block/disk_bursts.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

constexpr std::uint32_t kDisk = 254U << 20U;
constexpr std::uint64_t kFirst = 20'000;

std::map<std::string, double> fill(DiskBursts& bursts) {
  Section out;
  bursts.fill(
      1'000'000'000,
      [](const WindowUser& user) {
        return WindowUserName{.group = "db\xFF",
                              .pid = std::to_string(user.tgid),
                              .comm = "w\"riter\n",
                              .reason = {}};
      },
      out);
  return testing::flatten(out);
}

void add_burst(DiskWindows& windows) {
  windows.start(kFirst);
  windows.idle_until(kFirst + 30);
  for (std::uint64_t i = 30; i < 33; ++i) {
    windows.add({.number = kFirst + i,
                 .busy_ns = DiskWindow::kNs,
                 .requests = 25,
                 .user = {.owner = 1, .tgid = 42, .thousandths = 750}});
  }
  windows.idle_until(kFirst + 60);
}

TEST(DiskBursts, Series) {
  DiskBursts bursts;
  add_burst(*bursts.find_or_add(kDisk, "vda"));
  const auto series = fill(bursts);
  const auto at = [&](const std::string& name) { return series.at(name + R"({device="vda"})"); };
  EXPECT_EQ(series.at(R"(tidegauge_block_window_busy_ratio_bucket{device="vda",le="0.1"})"), 28);
  EXPECT_EQ(series.at(R"(tidegauge_block_window_busy_ratio_bucket{device="vda",le="0.5"})"), 29);
  EXPECT_EQ(series.at(R"(tidegauge_block_window_busy_ratio_bucket{device="vda",le="1"})"), 30);
  EXPECT_EQ(series.at(R"(tidegauge_block_window_busy_ratio_bucket{device="vda",le="+Inf"})"), 30);
  EXPECT_DOUBLE_EQ(at("tidegauge_block_window_busy_ratio_sum"), 1.5);
  EXPECT_EQ(at("tidegauge_block_window_busy_ratio_count"), 30);
  EXPECT_EQ(at("tidegauge_block_bursts_total"), 1);
  EXPECT_EQ(at("tidegauge_block_windows_lost_total"), 0);
  EXPECT_EQ(at("tidegauge_block_peak_busy_ratio"), 1);
  EXPECT_EQ(at("tidegauge_block_peak_requests_per_second"), 500);
  EXPECT_EQ(at("tidegauge_block_second_peak_busy_ratio"), 1);
  EXPECT_EQ(at("tidegauge_block_second_peak_requests_per_second"), 500);
  EXPECT_DOUBLE_EQ(at("tidegauge_block_peak_timestamp_seconds"), 1 + 1001.5);
  std::size_t users = 0;
  for (const auto& [name, value] : series) {
    if (name.starts_with("tidegauge_block_peak_user_ratio{")) {
      ++users;
      EXPECT_EQ(value, 0.75);
      EXPECT_NE(name.find(R"(pid="42")"), std::string::npos) << name;
      EXPECT_EQ(name.find('\xFF'), std::string::npos) << "labels are UTF-8";
    }
  }
  EXPECT_EQ(users, 1U);
}

TEST(DiskBursts, DisksAreBoundedAndForgotten) {
  DiskBursts bursts;
  for (std::uint32_t i = 0; i < DiskBursts::kMaxDisks; ++i) {
    ASSERT_NE(bursts.find_or_add(i, "d"), nullptr);
  }
  EXPECT_EQ(bursts.find_or_add(kDisk, "vda"), nullptr);
  bursts.forget(7);
  DiskWindows* disk = bursts.find_or_add(kDisk, "vda");
  ASSERT_NE(disk, nullptr);
  add_burst(*disk);
  EXPECT_EQ(bursts.find_or_add(kDisk, "vda"), disk);
  EXPECT_FALSE(bursts.find_or_add(kDisk, "vdb")->started()) << "another device under its number";
}

TEST(DiskBursts, SumsOutliveAChangeOfSource) {
  DiskBursts bursts;
  DiskWindows& disk = *bursts.find_or_add(kDisk, "vda");
  add_burst(disk);
  bursts.begin_anew();
  EXPECT_TRUE(fill(bursts).empty());
  disk.start(kFirst + 1000);
  disk.idle_until(kFirst + 1002);
  const auto series = fill(bursts);
  EXPECT_EQ(series.at(R"(tidegauge_block_bursts_total{device="vda"})"), 1);
  EXPECT_EQ(series.at(R"(tidegauge_block_window_busy_ratio_count{device="vda"})"), 31);
}

TEST(DiskBursts, EveryFamilyIsDocumented) {
  std::map<std::string, MetricDoc> docs;
  for (const MetricDoc& doc : DiskBursts::documentation()) {
    EXPECT_TRUE(docs.emplace(doc.name, doc).second) << doc.name;
    EXPECT_FALSE(doc.help.empty()) << doc.name;
  }
  EXPECT_EQ(docs.at("tidegauge_block_window_busy_ratio").labels,
            (std::vector<std::string>{"device", "le"}));
}

}  // namespace
}  // namespace tidegauge
