// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/cpuinfo.h"

#include <gtest/gtest.h>

#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

std::vector<CpuInfo> parse(std::string_view text) {
  std::vector<CpuInfo> cpus;
  const auto parsed = parse_cpuinfo(text, cpus);
  EXPECT_TRUE(parsed) << testing::error_text(parsed);
  return cpus;
}

TEST(ParseCpuinfo, X86) {
  const auto cpus = parse(
      "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 26\nmodel\t\t: 2\n"
      "model name\t: AMD EPYC  \nstepping\t: 1\nmicrocode\t: 0x1\ncpu MHz\t\t: 2596.124\n"
      "cache size\t: 1024 KB\nphysical id\t: 0\ncore id\t\t: 3\nflags\t\t: fpu aes\n"
      "bugs\t\t: mds\npower management:\n\nprocessor\t: 4\ncpu MHz\t\t: Unknown\nnew key: 1");
  ASSERT_EQ(cpus.size(), 2U);
  EXPECT_EQ(cpus[0].vendor, "AuthenticAMD");
  EXPECT_EQ(cpus[0].model, "2");
  EXPECT_EQ(cpus[0].model_name, "AMD EPYC  ");  // as node_exporter has it
  EXPECT_EQ(cpus[0].core, "3");
  EXPECT_EQ(cpus[0].frequency_mhz, 2596.124);
  EXPECT_EQ(cpus[0].flags, "fpu aes");
  EXPECT_EQ(cpus[1].cpu, 4U);
  EXPECT_FALSE(cpus[1].frequency_mhz);
  EXPECT_EQ(cpus[1].vendor, "");
}

TEST(ParseCpuinfo, Arm) {
  const auto arm64 = parse(
      "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd\nCPU part\t: 0xd0c\n\n"
      "processor\t: 1\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd\nCPU part\t: 0xd0c\n");
  ASSERT_EQ(arm64.size(), 2U);
  EXPECT_EQ(arm64[1].flags, "fp asimd");
  EXPECT_EQ(arm64[1].model_name, "");
  const auto old = parse(
      "Processor\t: AArch64 Processor rev 1 (aarch64)\nprocessor\t: 0\nprocessor\t: 1\n"
      "Features\t: fp asimd\nHardware\t: APM X-Gene\n");
  ASSERT_EQ(old.size(), 2U);
  EXPECT_EQ(old[1].model_name, "AArch64 Processor rev 1 (aarch64)");
  EXPECT_EQ(old[0].flags, "fp asimd");
}

TEST(ParseCpuinfo, PowerpcModelIsTheMachines) {
  const auto cpus = parse(
      "processor\t: 0\ncpu\t\t: POWER9 (architected)\nclock\t\t: 2200.000000MHz\n\n"
      "processor\t: 8\ncpu\t\t: POWER9 (architected)\nclock\t\t: 2300.000000MHz\n\n"
      "timebase\t: 512000000\nmodel\t\t: IBM,9009-22A\n");
  ASSERT_EQ(cpus.size(), 2U);
  EXPECT_EQ(cpus[1].vendor, "POWER9 (architected)");
  EXPECT_EQ(cpus[1].frequency_mhz, 2300.0);
  EXPECT_EQ(cpus[1].model, "");
}

TEST(ParseCpuinfo, S390HasDetailsInBlocksOfTheirOwn) {
  const auto cpus = parse(
      "vendor_id       : IBM/S390\n# processors    : 2\nbogomips per cpu: 3033.00\n"
      "features\t: esan3 zarch\nprocessor 0: version = FF,  identification = 2733E8\n"
      "processor 1: version = FF,  identification = 2733E8\n\ncpu number      : 0\n"
      "physical id     : 2\ncore id         : 0\ncpu MHz dynamic : 5000\ncpu MHz static  : 5100\n\n"
      "cpu number      : 1\nphysical id     : 2\ncore id         : 1\ncpu MHz dynamic : 5001\n");
  ASSERT_EQ(cpus.size(), 2U);
  EXPECT_EQ(cpus[1].vendor, "IBM/S390");
  EXPECT_EQ(cpus[1].flags, "esan3 zarch");
  EXPECT_EQ(cpus[0].frequency_mhz, 5000.0);
  EXPECT_EQ(cpus[1].core, "1");
  EXPECT_EQ(cpus[1].frequency_mhz, 5001.0);
}

TEST(ParseCpuinfo, RiscvMipsLoongarch) {
  const auto riscv = parse("processor\t: 0\nhart\t\t: 1\nisa\t\t: rv64imafdc\nmmu\t\t: sv39\n");
  ASSERT_EQ(riscv.size(), 1U);
  EXPECT_EQ(riscv[0].core, "1");
  EXPECT_EQ(riscv[0].model_name, "rv64imafdc");
  const auto mips = parse(
      "system type\t\t: Malta\nmachine\t\t\t: x\nprocessor\t\t: 0\ncpu model\t\t: MIPS 24Kc\n");
  ASSERT_EQ(mips.size(), 1U);
  EXPECT_EQ(mips[0].vendor, "Malta");
  EXPECT_EQ(mips[0].model_name, "MIPS 24Kc");
  const auto loong = parse(
      "system type\t\t: generic-loongson-machine\n\nprocessor\t\t: 0\npackage\t\t\t: 0\n"
      "CPU Family\t\t: Loongson-64bit\nModel Name\t\t: Loongson-3A5000\nCPU MHz\t\t\t: 2500.00\n");
  ASSERT_EQ(loong.size(), 1U);
  EXPECT_EQ(loong[0].family, "Loongson-64bit");
  EXPECT_EQ(loong[0].model_name, "Loongson-3A5000");
}

TEST(ParseCpuinfo, RejectsOtherText) {
  std::vector<CpuInfo> cpus;
  for (const char* text :
       {"", "\n", "garbage", "a: b\nprocessor\t: 0\n", "processor\t: \n", "processor\t: x\n",
        "processor\t: 1\nprocessor\t: 1\n", "processor\t: 65536\n", "vendor_id : IBM/S390\n",
        "processor\t: 0\ncpu MHz\t\t: fast\n", "processor\t: 0\ncpu number : 7\n"}) {
    EXPECT_NE(testing::error_text(parse_cpuinfo(text, cpus)).find("malformed: cpuinfo"),
              std::string::npos)
        << text;
  }
}

TEST(ParseCpuinfo, ThisMachine) {
  ReadBuffer buffer;
  const auto text = read_file("/proc/cpuinfo", buffer);
  ASSERT_TRUE(text);
  EXPECT_FALSE(parse(*text).empty());
}

}  // namespace
}  // namespace tidegauge
