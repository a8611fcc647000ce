// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/block.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "collectors/ebpf/block_devices.h"
#include "collectors/ebpf/block_ledger.h"
#include "collectors/ebpf/block_tables.h"
#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

constexpr std::uint32_t kDisk = 254U << 20U;
constexpr std::int64_t kSecond = 1'000'000'000;

BlockParty party(std::uint32_t group, std::uint32_t tgid = 0, std::string comm = {}) {
  return {.group = group, .tgid = tgid, .comm = std::move(comm)};
}

BlockLedger::Key owned(std::uint16_t operation, std::uint32_t group) {
  return {.device = kDisk, .operation = operation, .reason = TG_BLOCK_OWNED, .group = group};
}

BlockLedger::Key nobodys(std::uint16_t operation, std::uint16_t reason) {
  return {.device = kDisk, .operation = operation, .reason = reason, .group = 0};
}

BlockAmount sum(const BlockLedger& ledger) {
  BlockAmount out;
  for (const auto& [key, amount] : ledger.amounts()) {
    out += amount;
  }
  return out;
}

TEST(BlockLedger, ChargesAddUp) {
  BlockLedger ledger(10);
  for (int pass = 1; pass <= 2; ++pass) {
    ledger.begin_pass(pass * kSecond);
    ledger.charge(kDisk, TG_BLOCK_READ, party(1, 100, "a"), {10, 4096});
    ledger.charge(kDisk, TG_BLOCK_READ, party(1, 101, "a"), {20, 8192});
    ledger.charge(kDisk, TG_BLOCK_WRITE, party(2), {5, 512});
    ledger.charge_nobody(kDisk, TG_BLOCK_WRITE, TG_BLOCK_SWAP, {7, 4096});
    ledger.charge(kDisk, 77, party(1), {1, 1});  // no such operation
    ledger.settle();
  }
  EXPECT_EQ(ledger.amounts().at(owned(TG_BLOCK_READ, 1)), (BlockAmount{60, 24576}));
  EXPECT_EQ(ledger.amounts().at(owned(TG_BLOCK_WRITE, 2)), (BlockAmount{10, 1024}));
  EXPECT_EQ(ledger.amounts().at(nobodys(TG_BLOCK_WRITE, TG_BLOCK_SWAP)), (BlockAmount{14, 8192}));
  EXPECT_EQ(sum(ledger), (BlockAmount{84, 33792}));
}

TEST(BlockLedger, JournalIsSplitByWhatHandlesDirtied) {
  BlockLedger ledger(10);
  ledger.begin_pass(kSecond);
  ledger.add_journal_weight(kDisk, party(1), 30);
  ledger.add_journal_weight(kDisk, party(2), 10);
  ledger.settle();
  EXPECT_TRUE(ledger.amounts().empty()) << "nothing is written yet";
  ledger.begin_pass(kSecond + 1);
  // One handle's worth is odd: the parts still add up.
  ledger.charge_nobody(kDisk, TG_BLOCK_WRITE, TG_BLOCK_JOURNAL, {1001, 10 * 4096});
  ledger.charge_nobody(kDisk, TG_BLOCK_FLUSH, TG_BLOCK_JOURNAL, {400, 0});
  ledger.settle();
  EXPECT_EQ(ledger.amounts().at(owned(TG_BLOCK_WRITE, 1)), (BlockAmount{750, 30720}));
  EXPECT_EQ(ledger.amounts().at(owned(TG_BLOCK_WRITE, 2)), (BlockAmount{251, 10240}));
  EXPECT_EQ(ledger.amounts().at(owned(TG_BLOCK_FLUSH, 1)), (BlockAmount{300, 0}));
  EXPECT_EQ(ledger.amounts().at(owned(TG_BLOCK_FLUSH, 2)), (BlockAmount{100, 0}));
  EXPECT_EQ(sum(ledger), (BlockAmount{1401, 40960}));
}

TEST(BlockLedger, WhatNoHandleExplainsStaysTheJournals) {
  BlockLedger ledger(10);
  ledger.begin_pass(kSecond);
  ledger.charge_nobody(kDisk, TG_BLOCK_WRITE, TG_BLOCK_JOURNAL, {9, 4096});
  ledger.settle();
  EXPECT_EQ(ledger.amounts().at(nobodys(TG_BLOCK_WRITE, TG_BLOCK_JOURNAL)), (BlockAmount{9, 4096}));
  // Weights are used up by what is written, and those of another device do not count.
  ledger.begin_pass(2 * kSecond);
  ledger.add_journal_weight(kDisk, party(1), 2);
  ledger.add_journal_weight(kDisk + 1, party(2), 1000);
  ledger.charge_nobody(kDisk, TG_BLOCK_WRITE, TG_BLOCK_JOURNAL, {10, 3 * 4096});
  ledger.settle();
  ledger.begin_pass(3 * kSecond);
  ledger.charge_nobody(kDisk, TG_BLOCK_WRITE, TG_BLOCK_JOURNAL, {1, 4096});
  ledger.settle();
  EXPECT_EQ(ledger.amounts().at(owned(TG_BLOCK_WRITE, 1)), (BlockAmount{10, 12288}));
  EXPECT_EQ(ledger.amounts().at(nobodys(TG_BLOCK_WRITE, TG_BLOCK_JOURNAL)),
            (BlockAmount{10, 8192}));
}

TEST(BlockLedger, OldHandlesFade) {
  BlockLedger ledger(10);
  ledger.begin_pass(kSecond);
  ledger.add_journal_weight(kDisk, party(1), 1000);  // rewritten many times, written once
  ledger.settle();
  for (int pass = 2; pass < 400; ++pass) {
    ledger.begin_pass(pass * kSecond);
    ledger.settle();
  }
  ledger.begin_pass(400 * kSecond);
  ledger.add_journal_weight(kDisk, party(2), 1);
  ledger.charge_nobody(kDisk, TG_BLOCK_WRITE, TG_BLOCK_JOURNAL, {100, 4096});
  ledger.settle();
  EXPECT_EQ(ledger.amounts().at(owned(TG_BLOCK_WRITE, 2)), (BlockAmount{100, 4096}));
}

TEST(BlockLedger, TheBusiestProcessesAreShownAndStay) {
  BlockLedger ledger(2);
  std::int64_t now_ns = 0;
  const auto pass = [&](std::uint32_t busiest) {
    now_ns += kSecond;
    ledger.begin_pass(now_ns);
    for (std::uint32_t tgid = 1; tgid <= 5; ++tgid) {
      ledger.charge(kDisk, TG_BLOCK_READ, party(1, tgid, "p"),
                    {tgid == busiest ? 500'000'000U : 2'000'000U * tgid, 4096});
    }
    ledger.settle();
  };
  for (int i = 0; i < 20; ++i) {
    pass(1);
  }
  const auto is_shown = [&](std::uint32_t tgid) {
    return std::any_of(ledger.shown().begin(), ledger.shown().end(),
                       [tgid](const auto* process) { return process->party.tgid == tgid; });
  };
  EXPECT_TRUE(is_shown(1));
  EXPECT_TRUE(is_shown(5));
  EXPECT_FALSE(is_shown(2));
  EXPECT_LE(ledger.shown().size(), 4U);
  pass(3);
  EXPECT_TRUE(is_shown(1)) << "leaves late";
}

TEST(BlockLedger, ProcessesAreBounded) {
  BlockLedger ledger(10);
  ledger.begin_pass(kSecond);
  const std::uint32_t many = BlockLedger::kMaxProcesses + 1000;
  for (std::uint32_t tgid = 1; tgid <= many; ++tgid) {
    ledger.charge(kDisk, TG_BLOCK_WRITE, party(1, tgid, "storm"), {1'000'000, 1});
  }
  ledger.settle();
  EXPECT_EQ(ledger.amounts().at(owned(TG_BLOCK_WRITE, 1)).bytes, many);
  EXPECT_LE(ledger.shown().size(), 20U);
  // Who does no more is forgotten, and others find room.
  for (int i = 2; i < 700; ++i) {
    ledger.begin_pass(i * kSecond);
    ledger.settle();
  }
  EXPECT_TRUE(ledger.shown().empty());
}

TEST(BlockLedger, ForgetsDevices) {
  BlockLedger ledger(1);
  ledger.begin_pass(kSecond);
  ledger.charge(kDisk, TG_BLOCK_READ, party(1, 7, "a"), {1, 1});
  ledger.charge(kDisk + 1, TG_BLOCK_READ, party(1, 7, "a"), {2, 2});
  ledger.settle();
  ledger.forget_device(kDisk);
  ASSERT_EQ(ledger.amounts().size(), 1U);
  EXPECT_EQ(ledger.amounts().begin()->first.device, kDisk + 1);
}

TEST(BlockLedger, ForgetsGroups) {
  BlockLedger ledger(10);
  for (int pass = 1; pass <= 2; ++pass) {
    ledger.begin_pass(pass * kSecond);
    ledger.charge(kDisk, TG_BLOCK_READ, party(1, 100, "a"), {kSecond / 2, 4096});
    ledger.charge(kDisk, TG_BLOCK_READ, party(2, 101, "b"), {kSecond / 2, 4096});
    ledger.charge_nobody(kDisk, TG_BLOCK_READ, TG_BLOCK_SWAP, {7, 4096});
    ledger.add_journal_weight(kDisk, party(1, 100, "a"), 10);
    ledger.settle();
  }
  ASSERT_EQ(ledger.shown().size(), 2U);
  ledger.forget_group(1);
  EXPECT_EQ(ledger.amounts().count(owned(TG_BLOCK_READ, 1)), 0U);
  EXPECT_EQ(ledger.amounts().count(nobodys(TG_BLOCK_READ, TG_BLOCK_SWAP)), 1U);
  ledger.begin_pass(3 * kSecond);
  ledger.charge_nobody(kDisk, TG_BLOCK_WRITE, TG_BLOCK_JOURNAL, {5, 4096});
  ledger.settle();
  EXPECT_EQ(ledger.amounts().at(nobodys(TG_BLOCK_WRITE, TG_BLOCK_JOURNAL)), (BlockAmount{5, 4096}));
  ASSERT_EQ(ledger.shown().size(), 1U);
  EXPECT_EQ(ledger.shown()[0]->party.group, 2U);
}

TEST(ParseDeviceNumber, MajorAndMinor) {
  EXPECT_EQ(parse_device_number("254:1\n"), 254U << 20U | 1U);
  EXPECT_EQ(parse_device_number("259:1048575"), 259U << 20U | 0xFFFFFU);
  for (const char* text :
       {"", "254", ":", "1:", ":1", "a:b", "4096:0", "1:1048576", "-1:0", "1:2:3"}) {
    EXPECT_EQ(parse_device_number(text), std::nullopt) << text;
  }
}

TEST(BlockDevices, NamesAreThoseOfDiskstats) {
  const testing::FixtureTree tree;
  tree.write("proc/diskstats",
             " 254       0 vda 1 0 0 0 1 0 0 0 0 0 0\n 254       1 vda1 1 0 0 0 1 0 0 0 0 0 0\n");
  BlockDevices devices(tree.files());
  ReadBuffer buffer;
  ASSERT_TRUE(devices.refresh(buffer));
  EXPECT_TRUE(devices.is_present(kDisk, "vda"));
  EXPECT_FALSE(devices.is_present(kDisk, "vdb")) << "another device under its number";
  EXPECT_FALSE(devices.is_present(8U << 20U, "sda"));
  EXPECT_TRUE(devices.is_present(TG_HIDDEN_DEVICE | 5U, "nvme0c0n1"));
  tree.write("proc/diskstats", " 254       0 vda x\n");
  EXPECT_FALSE(devices.refresh(buffer));
  tree.remove("proc/diskstats");
  EXPECT_FALSE(devices.refresh(buffer));
}

TEST(BlockDevices, DisksBelow) {
  const testing::FixtureTree tree;
  tree.write("proc/diskstats", " 254       0 vda 1 0 0 0 1 0 0 0 0 0 0\n");
  tree.write("sys/devices/pci/block/vda/dev", "254:0\n");
  tree.write("sys/devices/pci/block/vda/vda1/dev", "254:1\n");
  tree.write("sys/devices/pci/block/vda/vda1/partition", "1\n");
  tree.write("sys/devices/pci/block/sda/dev", "8:0\n");
  tree.write("sys/devices/virtual/block/dm-0/dev", "253:0\n");
  tree.write("sys/dev/block/README", "");
  tree.link("sys/dev/block/254:0", "../../devices/pci/block/vda");
  tree.link("sys/dev/block/254:1", "../../devices/pci/block/vda/vda1");
  tree.link("sys/dev/block/8:0", "../../devices/pci/block/sda");
  tree.link("sys/dev/block/253:0", "../../devices/virtual/block/dm-0");
  tree.write("sys/devices/virtual/block/dm-0/slaves/README/none", "");
  tree.link("sys/devices/virtual/block/dm-0/slaves/sda", "../../../../pci/block/sda");
  tree.link("sys/devices/virtual/block/dm-0/slaves/vda1", "../../../../pci/block/vda/vda1");
  BlockDevices devices(tree.files());
  ReadBuffer buffer;
  ASSERT_TRUE(devices.refresh(buffer));
  using Numbers = std::vector<std::uint32_t>;
  EXPECT_EQ(devices.disks_below(kDisk), Numbers{kDisk});
  EXPECT_EQ(devices.disks_below(kDisk + 1), Numbers{kDisk}) << "a partition is its disk";
  Numbers below = devices.disks_below(253U << 20U);
  std::sort(below.begin(), below.end());
  EXPECT_EQ(below, (Numbers{8U << 20U, kDisk})) << "a logical volume is what it lies on";
  EXPECT_EQ(devices.disks_below(7U << 20U), Numbers{7U << 20U}) << "of which sysfs knows nothing";
}

std::map<std::string, double> fill(const tg_block_device& device, const BlockLedger& ledger,
                                   const tg_block_losses& losses = {}) {
  BlockTables tables;
  const std::vector<BlockDeviceSample> devices{{kDisk, "vda", &device}};
  Section section;
  tables.fill(
      devices, &ledger, [](std::uint32_t group) { return group == 1 ? "dd" : "other"; }, losses,
      section);
  return testing::flatten(section);
}

TEST(BlockTables, DeviceTimes) {
  tg_block_device device{};
  device.busy_ns = 2 * kSecond;
  device.operation_in_flight[TG_BLOCK_WRITE] = 3;
  tg_block_times& read = device.times[TG_BLOCK_READ];
  read.device_slots[7] = 5;  // under 128 us
  read.device_ns = 500'000;
  read.queue_slots[0] = 4;
  read.queue_ns = 2'000;
  read.bytes = 20480;
  read.sequential = 2;
  read.random = 3;
  read.errors = 1;
  read.requeues = 6;
  read.merged = 7;
  BlockLedger ledger(1);
  const auto series = fill(device, ledger);
  const auto read_of = [&](const std::string& name, const std::string& more = {}) {
    return series.at(name + R"({device="vda",operation="read")" + more + "}");
  };
  EXPECT_EQ(read_of("tidegauge_block_device_seconds_bucket", R"(,le="6.4e-05")"), 0);
  EXPECT_EQ(read_of("tidegauge_block_device_seconds_bucket", R"(,le="0.000128")"), 5);
  EXPECT_EQ(read_of("tidegauge_block_device_seconds_bucket", R"(,le="+Inf")"), 5);
  EXPECT_DOUBLE_EQ(read_of("tidegauge_block_device_seconds_sum"), 0.0005);
  EXPECT_EQ(read_of("tidegauge_block_device_seconds_count"), 5);
  EXPECT_EQ(read_of("tidegauge_block_queue_seconds_count"), 4);
  EXPECT_DOUBLE_EQ(read_of("tidegauge_block_queue_seconds_sum"), 2e-6);
  EXPECT_EQ(read_of("tidegauge_block_request_bytes_total"), 20480);
  EXPECT_EQ(read_of("tidegauge_block_requests_total", R"(,pattern="sequential")"), 2);
  EXPECT_EQ(read_of("tidegauge_block_requests_total", R"(,pattern="random")"), 3);
  EXPECT_EQ(read_of("tidegauge_block_request_errors_total"), 1);
  EXPECT_EQ(read_of("tidegauge_block_requeues_total"), 6);
  EXPECT_EQ(read_of("tidegauge_block_merged_total"), 7);
  EXPECT_EQ(read_of("tidegauge_block_in_flight"), 0);
  EXPECT_EQ(series.at(R"(tidegauge_block_in_flight{device="vda",operation="write"})"), 3);
  EXPECT_EQ(series.count(R"(tidegauge_block_in_flight{device="vda",operation="discard"})"), 0U);
  EXPECT_EQ(series.at(R"(tidegauge_block_busy_seconds_total{device="vda"})"), 2);
}

TEST(BlockTables, ADeviceWithoutRequestsIsNotShown) {
  const tg_block_device device{};
  const BlockLedger ledger(1);
  for (const auto& [name, value] : fill(device, ledger)) {
    EXPECT_EQ(name.find("device="), std::string::npos) << name;
  }
}

TEST(BlockTables, Owners) {
  tg_block_device device{};
  device.times[TG_BLOCK_WRITE].lost_ns = 3 * kSecond;
  device.times[TG_BLOCK_WRITE].lost_bytes = 12;
  BlockLedger ledger(1);
  for (int pass = 1; pass <= 2; ++pass) {
    ledger.begin_pass(pass * 10 * kSecond);
    ledger.charge(kDisk, TG_BLOCK_WRITE, party(1, 42, "d\xFF\"d"), {kSecond, 4096});
    ledger.charge(kDisk, TG_BLOCK_FLUSH, party(1, 42, "d\xFF\"d"), {kSecond, 0});
    ledger.charge(kDisk + 1, TG_BLOCK_WRITE, party(1, 42, "d\xFF\"d"), {kSecond, 1});
    ledger.charge_nobody(kDisk, TG_BLOCK_WRITE, TG_BLOCK_OWNERLESS, {2 * kSecond, 8});
    ledger.settle();
  }
  const auto series = fill(device, ledger);
  const auto at = [&](const std::string& name, const std::string& labels) {
    return series.at(name + "{" + labels + "}");
  };
  const std::string busy = "tidegauge_block_attributed_busy_seconds_total";
  EXPECT_EQ(at(busy, R"(device="vda",group="dd",operation="write",reason="")"), 2);
  EXPECT_EQ(at(busy, R"(device="vda",group="dd",operation="flush",reason="")"), 2);
  EXPECT_EQ(
      at(busy, R"x(device="vda",group="(unattributed)",operation="write",reason="ownerless")x"), 4);
  EXPECT_EQ(at(busy, R"x(device="vda",group="(unattributed)",operation="write",reason="full")x"),
            3);
  const std::string bytes = "tidegauge_block_attributed_bytes_total";
  EXPECT_EQ(at(bytes, R"(device="vda",group="dd",operation="write",reason="")"), 8192);
  EXPECT_EQ(at(bytes, R"x(device="vda",group="(unattributed)",operation="write",reason="full")x"),
            12);
  std::size_t processes = 0;
  for (const auto& [name, value] : series) {
    EXPECT_EQ(name.find("\xFF"), std::string::npos) << "labels are UTF-8";
    if (name.starts_with("tidegauge_block_process_busy_seconds_total{")) {
      ++processes;
      EXPECT_NE(name.find(R"(pid="42")"), std::string::npos);
      EXPECT_EQ(value, 4) << "of the device that is there";
    }
  }
  EXPECT_EQ(processes, 1U);
}

TEST(BlockTables, WithoutAttributionNobodyIsTold) {
  tg_block_device device{};
  device.busy_ns = kSecond;
  device.times[TG_BLOCK_WRITE].lost_ns = 3;
  device.times[TG_BLOCK_WRITE].random = 1;
  BlockTables tables;
  const std::vector<BlockDeviceSample> devices{{kDisk, "vda", &device}};
  Section section;
  tables.fill(devices, nullptr, {}, {}, section);
  const auto series = testing::flatten(section);
  for (const auto& [name, value] : series) {
    EXPECT_FALSE(name.starts_with("tidegauge_block_attributed") ||
                 name.starts_with("tidegauge_block_process") ||
                 name.starts_with("tidegauge_block_writeback") ||
                 name.starts_with("tidegauge_block_dirty"))
        << name;
  }
  EXPECT_EQ(series.count(R"(tidegauge_block_busy_seconds_total{device="vda"})"), 1U);
  EXPECT_EQ(series.count(R"(tidegauge_block_losses_total{what="end"})"), 1U);
  EXPECT_EQ(series.count(R"(tidegauge_block_losses_total{what="account"})"), 0U);
}

TEST(BlockTables, Losses) {
  const tg_block_device device{};
  const BlockLedger ledger(1);
  const auto series = fill(device, ledger,
                           {.devices = 1,
                            .requests = 2,
                            .ends = 3,
                            .returns = 4,
                            .accounts = 5,
                            .long_requests = 6,
                            .shared_files = 7,
                            .dirty_files = 8,
                            .owned_pages = 9,
                            .ownerless_pages = 10});
  double expected = 0;
  for (const char* what : {"device", "request", "end", "return", "account", "part", "dirtier"}) {
    EXPECT_EQ(series.at(std::string(R"(tidegauge_block_losses_total{what=")") + what + R"("})"),
              ++expected);
  }
  EXPECT_EQ(series.at("tidegauge_block_dirty_files_total"), 8);
  EXPECT_EQ(series.at(R"(tidegauge_block_writeback_pages_total{dirtier="known"})"), 9);
  EXPECT_EQ(series.at(R"(tidegauge_block_writeback_pages_total{dirtier="unknown"})"), 10);
}

TEST(BlockDevices, RequestsInProgress) {
  const testing::FixtureTree tree;
  tree.write("proc/diskstats",
             " 254 0 vda 1 0 0 0 1 0 0 0 7 0 0\n 8 0 sda 1 0 0 0 1 0 0 0 2 0 0\n");
  tree.write("sys/dev/block/254:0/queue/iostats", "1\n");
  tree.write("sys/dev/block/8:0/queue/iostats", "0\n");
  BlockDevices devices(tree.files());
  ReadBuffer buffer;
  ASSERT_TRUE(devices.refresh(buffer));
  EXPECT_EQ(devices.in_progress(kDisk), 7U);
  EXPECT_EQ(devices.in_progress(8U << 20U), std::nullopt) << "the kernel keeps no count";
  EXPECT_EQ(devices.in_progress(9U << 20U), std::nullopt);
}

TEST(BlockTables, EveryFamilyIsDocumented) {
  std::map<std::string, MetricDoc> docs;
  for (const MetricDoc& doc : BlockTables::documentation()) {
    EXPECT_TRUE(docs.emplace(doc.name, doc).second) << doc.name;
    EXPECT_FALSE(doc.help.empty()) << doc.name;
  }
  EXPECT_EQ(docs.at("tidegauge_block_requests_total").labels,
            (std::vector<std::string>{"device", "operation", "pattern"}));
}

// Without a kernel that describes itself there is nothing, and that is no failure.
TEST(EbpfBlockCollector, WithoutEbpf) {
  const auto section = testing::run_once(kEbpfBlockCollector, testing::fixture("linux-6.12"));
  ASSERT_TRUE(section) << testing::error_text(section);
  EXPECT_TRUE(section->tables.empty());
}

}  // namespace
}  // namespace tidegauge
