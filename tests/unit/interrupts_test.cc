// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/interrupts.h"

#include <gtest/gtest.h>

#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

constexpr std::string_view kHeader = "           CPU0       CPU1\n";

// Views into `text`.
Interrupts parse(std::string_view text) {
  Interrupts out;
  const auto parsed = parse_interrupts(text, out);
  EXPECT_TRUE(parsed) << testing::error_text(parsed);
  return out;
}

std::map<std::string, double> series_of(const KernelFiles& files,
                                        const std::vector<std::string>& options = {}) {
  const auto section = testing::run_once(kInterruptsCollector, files, options);
  EXPECT_TRUE(section) << testing::error_text(section);
  return section ? testing::flatten(*section) : std::map<std::string, double>{};
}

TEST(ParseInterrupts, X86) {
  const std::string text = std::string(kHeader) +
                           " 24:          1          2  IO-APIC   5-edge      ACPI:Ged\n"
                           "NMI:          3 18446744073709551615   Non-maskable interrupts\n"
                           "ERR:          0\nMIS:          0";
  const auto out = parse(text);
  EXPECT_EQ(out.cpus, 2U);
  ASSERT_EQ(out.lines.size(), 2U);
  EXPECT_EQ(out.counts, (std::vector<std::uint64_t>{1, 2, 3, ~std::uint64_t{0}}));
  const auto numbered = interrupt_labels(out.lines[0]);
  EXPECT_EQ(numbered.info, "IO-APIC");
  EXPECT_EQ(numbered.devices, "5-edge ACPI:Ged");
  const auto named = interrupt_labels(out.lines[1]);
  EXPECT_EQ(named.info, "Non-maskable interrupts");
  EXPECT_EQ(named.devices, "");
}

TEST(ParseInterrupts, OtherArchitectures) {
  // arm64 leaves no blank before a wide count; arm has FIQ, s390 lines without a description.
  const std::string text = std::string(kHeader) +
                           "IPI0:1234567890 1234567891       Rescheduling interrupts\n"
                           " 13:          7          8     GICv3  26 Level     arch_timer\n"
                           "FIQ:              usb_fiq\nEXT:         12         13\n"
                           "Err:          0\n\nno colon here\n";
  const auto out = parse(text);
  ASSERT_EQ(out.lines.size(), 2U);
  EXPECT_EQ(out.lines[0].name, "IPI0");
  EXPECT_EQ(out.counts[0], 1234567890U);
  const auto labels = interrupt_labels(out.lines[1]);
  EXPECT_EQ(labels.info, "GICv3");
  EXPECT_EQ(labels.devices, "26 Level arch_timer");
}

TEST(ParseInterrupts, RejectsOtherText) {
  Interrupts out;
  for (const char* lines : {" 24: 1\n", " 24:\n", " 24: 1 x chip\n", "LOC: 1 x Local timer\n",
                            "24: 1 18446744073709551616 chip\n", " 24: -1 2 chip\n"}) {
    EXPECT_NE(testing::error_text(parse_interrupts(std::string(kHeader) + lines, out))
                  .find("malformed: interrupts line 2"),
              std::string::npos)
        << lines;
  }
  for (const char* text : {"", "\n", "garbage\n", " 24: 1 2 chip\n"}) {
    EXPECT_NE(testing::error_text(parse_interrupts(text, out)).find("malformed: interrupts line 1"),
              std::string::npos)
        << text;
  }
  EXPECT_FALSE(parse_interrupts("CPU0 CPU1 CPU2 CPU3\nLOC: 1 2\n", out));
}

TEST(InterruptsCollector, EveryKernelGeneration) {
  const auto old = series_of(testing::fixture("linux-3.10"));
  EXPECT_EQ(old.size(), 16U);
  EXPECT_EQ(old.at("node_interrupts_total{type=\"26\",info=\"PCI-MSI-edge\",devices=\"ahci, "
                   "virtio1-req.0\",cpu=\"1\"}"),
            40211);
  const auto recent = series_of(testing::fixture("linux-6.12"));
  EXPECT_EQ(recent.size(), 18U);
  EXPECT_EQ(recent.at("node_interrupts_total{type=\"26\",info=\"PCI-MSIX-0000:00:04.0\",devices="
                      "\"1-edge ahci, virtio1-req.0\",cpu=\"1\"}"),
            40214);
}

TEST(InterruptsCollector, Options) {
  const auto files = testing::fixture("linux-6.12");
  EXPECT_EQ(series_of(files, {"include_zeros=false"}).size(), 10U);
  EXPECT_EQ(series_of(files, {"name_include=^LOC;Local"}).size(), 2U);
  EXPECT_EQ(series_of(files, {"name_exclude=virtio"}).size(), 14U);
  const auto both =
      testing::make(kInterruptsCollector, files, {"name_include=a", "name_exclude=b"});
  ASSERT_FALSE(both);
  EXPECT_EQ(both.error().kind, ErrorKind::kInvalid);
}

TEST(InterruptsCollector, FollowsCpusDevicesAndRepeatedNames) {
  const testing::FixtureTree tree;
  tree.write("proc/interrupts", std::string(kHeader) + "1: 1 2 chip a\n2: 3 4 chip b\n");
  const auto collector = testing::make(kInterruptsCollector, tree.files());
  ASSERT_TRUE(collector);
  const auto run = [&] { return testing::flatten(*testing::run(**collector)); };
  EXPECT_EQ(run().size(), 4U);
  tree.write("proc/interrupts", "CPU0\n1: 5 chip other\n2: 6 chip b\n2: 7 chip b\n");
  const auto series = run();
  EXPECT_EQ(series.size(), 2U);
  EXPECT_EQ(series.at(R"(node_interrupts_total{type="1",info="chip",devices="other",cpu="0"})"), 5);
  EXPECT_EQ(series.at(R"(node_interrupts_total{type="2",info="chip",devices="b",cpu="0"})"), 7);
}

TEST(InterruptsCollector, ThisMachine) { EXPECT_FALSE(series_of(KernelFiles()).empty()); }

}  // namespace
}  // namespace tidegauge
