// SPDX-License-Identifier: Apache-2.0
#include "daemon/config/command_flags.h"

#include <gtest/gtest.h>

#include <vector>

#include "collectors/registry.h"
#include "daemon/config/flags.h"
#include "daemon/config/generate.h"

namespace tidegauge {
namespace {

ConfigResult<CommandLine> parse(const std::vector<const char*>& arguments) {
  return parse_command_line(arguments, all_collectors());
}

std::string error_of(const std::vector<const char*>& arguments) {
  const auto line = parse(arguments);
  return line ? "accepted" : line.error().message;
}

TEST(CommandFlags, TopHasDefaults) {
  const auto line = parse({"top"});
  ASSERT_TRUE(line);
  EXPECT_EQ(line->command, Command::kTop);
  const TopOptions& options = line->options.top;
  EXPECT_FALSE(options.once || options.json || options.groups);
  EXPECT_EQ(options.interval_ns, 1'000'000'000);
  EXPECT_EQ(options.count, 0);
  EXPECT_EQ(options.rows, 0);
  EXPECT_EQ(options.sort, TopSort::kIo);
}

TEST(CommandFlags, AllOfTop) {
  const auto line =
      parse({"top", "--once", "--json", "--groups", "--interval=250ms", "--count=3", "--sort=delay",
             "--rows", "7", "--path.procfs=/host/proc", "--collector.process.source=procfs"});
  ASSERT_TRUE(line) << line.error().message;
  const TopOptions& options = line->options.top;
  EXPECT_TRUE(options.once && options.json && options.groups);
  EXPECT_EQ(options.interval_ns, 250'000'000);
  EXPECT_EQ(options.count, 3);
  EXPECT_EQ(options.rows, 7);
  EXPECT_EQ(options.sort, TopSort::kDelay);
  EXPECT_EQ(line->flags.size(), 2U);
  EXPECT_EQ(parse({"top", "--sort=cpu", "--sort=read", "--no-json"})->options.top.sort,
            TopSort::kRead);
  for (const char* sort : {"io", "read", "write", "cpu", "memory", "faults", "delay"}) {
    const std::string flag = std::string("--sort=") + sort;
    EXPECT_EQ(to_string(parse({"top", flag.c_str()})->options.top.sort), sort);
  }
}

TEST(CommandFlags, AllOfProcess) {
  const auto line = parse({"process", "42", "--json", "--smaps", "--cmdline"});
  ASSERT_TRUE(line) << line.error().message;
  EXPECT_EQ(line->command, Command::kProcess);
  EXPECT_EQ(line->options.report.pid, 42U);
  EXPECT_TRUE(line->options.report.json && line->options.report.smaps &&
              line->options.report.command_line);
  EXPECT_FALSE(parse({"process", "42"})->options.report.command_line);
}

TEST(CommandFlags, NamesOfCommandsAreStillNamesOfCollectors) {
  EXPECT_EQ(parse({"collect", "process"})->names, std::vector<std::string>{"process"});
}

TEST(CommandFlags, AllOfImport) {
  const auto line =
      parse({"import", "captures", "--out=a.rec", "--force", "--utc-offset", "-05:30"});
  ASSERT_TRUE(line) << line.error().message;
  EXPECT_EQ(line->command, Command::kImport);
  const ImportOptions& options = line->options.importing;
  EXPECT_EQ(options.directory, "captures");
  EXPECT_EQ(options.out, "a.rec");
  EXPECT_TRUE(options.force);
  EXPECT_EQ(options.utc_offset_ns, -19'800'000'000'000);
  EXPECT_EQ(parse({"import", "a", "--out=b"})->options.importing.utc_offset_ns, 0);
  for (const auto& arguments : std::vector<std::vector<const char*>>{
           {"import"}, {"import", "a"}, {"import", "--out=b"}, {"import", "a", "--out="}}) {
    EXPECT_EQ(error_of(arguments),
              "import: expected a directory and a file: `tidegauge import DIRECTORY --out=FILE`");
  }
  EXPECT_EQ(error_of({"import", "a", "b", "--out=c"}), "unexpected argument \"b\"");
  EXPECT_EQ(error_of({"import", "a", "--out=c", "--utc-offset=9"}),
            "--utc-offset: expected an offset such as +09:00, got \"9\"");
  EXPECT_EQ(error_of({"top", "--out=c"}), "--out is a flag of `tidegauge import`");
}

TEST(CommandFlags, WrongOnes) {
  EXPECT_EQ(error_of({"top", "--onec"}), "unknown flag \"--onec\"; did you mean \"--once\"?");
  EXPECT_EQ(error_of({"--once"}), "--once is a flag of `tidegauge top`");
  EXPECT_EQ(error_of({"serve", "--json"}),
            "--json is a flag of `tidegauge top` and `tidegauge process` and `tidegauge ebpf` and "
            "`tidegauge incidents` and `tidegauge why`");
  EXPECT_EQ(error_of({"top", "--smaps"}), "--smaps is a flag of `tidegauge process`");
  EXPECT_EQ(error_of({"top", "--sort=io2"}),
            "--sort: expected io, read, write, cpu, memory, faults or delay, got \"io2\"");
  EXPECT_EQ(error_of({"top", "--interval=10ms"}),
            "--interval: expected a duration such as 500ms or 15s, from 100ms to 1h, got \"10ms\"");
  EXPECT_EQ(error_of({"top", "--rows=0"}),
            "--rows: expected an integer from 1 to 100000, got \"0\"");
  EXPECT_EQ(error_of({"top", "--count"}), "--count: expected a value");
  EXPECT_EQ(error_of({"top", "x"}), "unexpected argument \"x\"");
  EXPECT_EQ(error_of({"process"}),
            "process: expected the number of a process: `tidegauge process PID`");
  EXPECT_EQ(error_of({"process", "init"}),
            "process: expected the number of a process, got \"init\"");
  EXPECT_EQ(error_of({"process", "0"}), "process: expected the number of a process, got \"0\"");
  EXPECT_EQ(error_of({"process", "1", "2"}), "unexpected argument \"2\"");
}

TEST(CommandFlags, OfRecordings) {
  const auto line = parse({"replay", "x.tgrec", "--from", "-5m", "--to=2026-11-26T02:12:32Z",
                           "--serve", "127.0.0.1:0", "--speed=0.5", "--loop"});
  ASSERT_TRUE(line) << line.error().message;
  EXPECT_EQ(line->command, Command::kReplay);
  const RecordingOptions& options = line->options.recording;
  EXPECT_EQ(options.file, "x.tgrec");
  EXPECT_TRUE(options.from->is_before_end);
  EXPECT_EQ(options.from->ns, 300'000'000'000);
  EXPECT_FALSE(options.to->is_before_end);
  EXPECT_EQ(options.serve_address, "127.0.0.1:0");
  EXPECT_EQ(options.speed, 0.5);
  EXPECT_TRUE(options.loop);
  const auto dump = parse({"dump", "x", "--format=csv", "--family", "node_.*"});
  ASSERT_TRUE(dump);
  EXPECT_EQ(dump->options.recording.format, DumpFormat::kCsv);
  EXPECT_EQ(dump->options.recording.family, "node_.*");
  EXPECT_TRUE(parse({"dump", "x", "--raw"})->options.recording.raw);
  const auto incidents = parse({"incidents", "/tmp/x", "--json"});
  EXPECT_EQ(incidents->options.incidents.directory, "/tmp/x");
  EXPECT_TRUE(incidents->options.incidents.json);
  EXPECT_TRUE(parse({"incidents"}));
}

TEST(CommandFlags, OfRecordingsWrongOnes) {
  EXPECT_EQ(error_of({"replay"}), "replay: expected a recording: `tidegauge replay FILE`");
  EXPECT_EQ(error_of({"dump", "x", "y"}), "unexpected argument \"y\"");
  EXPECT_EQ(error_of({"dump", "x", "--from=noon"}),
            "--from: expected " + std::string(kTimeForms) + ", got \"noon\"");
  EXPECT_EQ(error_of({"dump", "x", "--format=xml"}),
            "--format: expected openmetrics, json or csv, got \"xml\"");
  EXPECT_EQ(error_of({"dump", "x", "--raw", "--family=a"}),
            "--raw goes with neither --format nor --family");
  EXPECT_EQ(error_of({"replay", "x", "--speed=2"}), "--speed goes with --serve");
  EXPECT_EQ(error_of({"replay", "x", "--serve=:1", "--speed=0"}),
            "--speed: expected a number from 0.01 to 1000, got \"0\"");
  EXPECT_EQ(error_of({"replay", "x", "--raw"}), "--raw is a flag of `tidegauge dump`");
}

TEST(CommandFlags, OfWhy) {
  const auto live = parse({"why", "--json", "--all", "--web.listen-address=:1"});
  ASSERT_TRUE(live) << live.error().message;
  EXPECT_EQ(live->command, Command::kWhy);
  EXPECT_TRUE(live->options.why.json && live->options.why.all);
  EXPECT_EQ(live->options.recording.file, "");
  const auto replayed = parse({"why", "--replay", "x.tgrec", "--from", "-5m", "--to=-1m"});
  ASSERT_TRUE(replayed) << replayed.error().message;
  EXPECT_EQ(replayed->options.recording.file, "x.tgrec");
  EXPECT_TRUE(replayed->options.recording.from->is_before_end);
  EXPECT_EQ(error_of({"why", "--from=-5m"}), "--from goes with --replay");
  EXPECT_EQ(error_of({"why", "--replay="}), "--replay: expected a recording, got \"\"");
  EXPECT_EQ(error_of({"why", "x"}), "unexpected argument \"x\"");
  EXPECT_EQ(error_of({"replay", "x", "--all"}), "--all is a flag of `tidegauge why`");
}

TEST(CommandFlags, HelpNamesThem) {
  const std::string help = help_text(all_collectors());
  for (const CommandFlag& flag : command_flags()) {
    EXPECT_NE(help.find(flag.setting.spec.flag), std::string::npos);
  }
}

}  // namespace
}  // namespace tidegauge
