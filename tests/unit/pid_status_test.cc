// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/pid_status.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "collectors/core/kernel_files.h"
#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

using testing::error_text;

constexpr std::string_view kHead =
    "Name:\tUid:\\n\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t845\nNgid:\t0\nPid:\t845\n"
    "PPid:\t1\nTracerPid:\t0\nUid:\t1000\t0\t0\t0\nGid:\t1000\t0\t0\t0\nFDSize:\t64\nGroups:\t4 24 "
    "\n";
constexpr std::string_view kMemory =
    "VmPeak:\t    9000 kB\nVmRSS:\t    3600 kB\nRssAnon:\t     1200 kB\nRssFile:\t     2300 kB\n"
    "RssShmem:\t      100 kB\nVmSwap:\t      64 kB\n";
constexpr std::string_view kTail =
    "Threads:\t3\nSigQ:\t0/1\nCpus_allowed_list:\t0-1\nvoluntary_ctxt_switches:\t317\n"
    "nonvoluntary_ctxt_switches:\t29\n";

std::string text_of(std::string_view memory, std::string_view more = "") {
  return std::string(kHead).append(memory).append(more).append(kTail);
}

TEST(PidStatus, ReadsWhatItNames) {
  const auto status = parse_pid_status(text_of(kMemory, "Kthread:\t0\n"));
  ASSERT_TRUE(status) << error_text(status);
  EXPECT_EQ(status->uid, 1000U);
  EXPECT_EQ(status->threads, 3U);
  EXPECT_EQ(status->voluntary_switches, 317U);
  EXPECT_EQ(status->involuntary_switches, 29U);
  EXPECT_EQ(status->resident_kib, 3600U);
  EXPECT_EQ(status->anon_kib, 1200U);
  EXPECT_EQ(status->file_kib, 2300U);
  EXPECT_EQ(status->shmem_kib, 100U);
  EXPECT_EQ(status->swap_kib, 64U);
  EXPECT_EQ(status->kernel_thread, false);
}

TEST(PidStatus, KernelGenerations) {
  const auto old = parse_pid_status(text_of("VmRSS:\t    3600 kB\n"));  // before 4.5
  ASSERT_TRUE(old);
  EXPECT_EQ(old->resident_kib, 3600U);
  EXPECT_FALSE(old->anon_kib);
  EXPECT_FALSE(old->kernel_thread);
  const auto no_memory = parse_pid_status(text_of(""));  // a zombie
  ASSERT_TRUE(no_memory);
  EXPECT_FALSE(no_memory->resident_kib);
  const auto thread = parse_pid_status(text_of("", "Kthread:\t1\n"));
  ASSERT_TRUE(thread);
  EXPECT_EQ(thread->kernel_thread, true);
}

TEST(PidStatus, HugeNumbers) {
  std::string text = text_of(kMemory);
  text.replace(text.find("317"), 3, "18446744073709551615");
  ASSERT_TRUE(parse_pid_status(text));
  text.replace(text.find("18446744073709551615"), 20, "18446744073709551616");
  EXPECT_NE(error_text(parse_pid_status(text)).find("expected a number"), std::string::npos);
  std::string uid = text_of(kMemory);
  uid.replace(uid.find("Uid:\t1000"), 9, "Uid:\t4294967296");
  EXPECT_FALSE(parse_pid_status(uid));
}

TEST(PidStatus, RefusesWhatIsNotTheKernels) {
  for (const std::string& text :
       {std::string(), std::string("\n"), std::string(kHead), std::string(kTail),
        text_of("VmRSS:\n"), text_of("VmRSS:\tx kB\n"), text_of("RssAnon:\t-1 kB\n"),
        std::string("\xff\xfe:\n"), text_of(kMemory).substr(0, 150)}) {
    EXPECT_FALSE(parse_pid_status(text)) << text;
  }
}

TEST(PidStatus, EveryPrefixIsParsedOrRefused) {
  const std::string text = text_of(kMemory);
  for (std::size_t size = 0; size < text.size(); ++size) {
    const auto status = parse_pid_status(text.substr(0, size));
    if (status) {
      EXPECT_EQ(status->uid, 1000U);
      EXPECT_EQ(status->threads, 3U);
    }
  }
}

TEST(PidStatus, ThisProcess) {
  ReadBuffer buffer;
  const auto text = read_file("/proc/self/status", buffer);
  ASSERT_TRUE(text) << error_text(text);
  const auto status = parse_pid_status(*text);
  ASSERT_TRUE(status) << error_text(status);
  EXPECT_EQ(status->uid, ::getuid());
  EXPECT_GT(status->resident_kib, 0U);
}

}  // namespace
}  // namespace tidegauge
