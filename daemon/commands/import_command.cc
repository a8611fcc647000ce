// SPDX-License-Identifier: Apache-2.0
#include "daemon/commands/import_command.h"

#include <csignal>
#include <cstdio>
#include <ctime>
#include <string>

#include "daemon/commands/terminal_text.h"
#include "daemon/config/load.h"
#include "daemon/replay/import.h"

namespace tidegauge {

namespace {

// More lines would hide the first ones.
constexpr std::uint64_t kMaxLines = 200;

volatile std::sig_atomic_t interrupted = 0;

// So that the temporary files go away.
void catch_signals() {
  struct sigaction action {};
  action.sa_handler = [](int) { interrupted = 1; };
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
    ::sigaction(signal, &action, nullptr);
  }
  // Errors of write() instead.
  for (const int signal : {SIGPIPE, SIGXFSZ}) {
    ::signal(signal, SIG_IGN);
  }
}

std::string utc(std::int64_t realtime_ns) {
  const std::time_t seconds = realtime_ns / 1'000'000'000;
  std::tm parts{};
  char text[32];
  ::gmtime_r(&seconds, &parts);
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

// Names of captured files are whoever's.
void print_line(const std::string& line) {
  std::fprintf(stderr, "%s\n", printable(line, 1000, Charset::kAscii).c_str());
}

}  // namespace

int import_captures(const CommandLine& command_line, CollectorRegistry registry) {
  const auto config = load_config(command_line, registry);
  if (!config) {
    print_line(config.error().message);
    return 2;
  }
  catch_signals();
  const ImportOptions& options = command_line.options.importing;
  std::uint64_t complaints = 0;
  std::uint64_t notes = 0;
  const ImportTell tell{[&](const std::string& line) {
                          if (++complaints <= kMaxLines) {
                            print_line(line);
                          }
                        },
                        [&](const std::string& line) {
                          if (++notes <= kMaxLines) {
                            print_line(line);
                          }
                        }};
  const auto report = import_capture(options, *config, tell, [] { return interrupted != 0; });
  if (complaints > kMaxLines || notes > kMaxLines) {
    std::fprintf(stderr, "%llu complaints and %llu notes in all\n",
                 static_cast<unsigned long long>(complaints),
                 static_cast<unsigned long long>(notes));
  }
  if (!report) {
    print_line("import: " + report.error().message);
    return 2;
  }
  std::string text = options.out + ": " + std::to_string(report->moments) +
                     (report->moments == 1 ? " moment, " : " moments, ") +
                     utc(report->first_realtime_ns) + " to " + utc(report->last_realtime_ns);
  for (const auto& [collector, sections] : report->sections) {
    text += (&collector == &report->sections.front().first ? "; " : ", ") + std::string(collector) +
            " " + std::to_string(sections);
  }
  std::fprintf(stdout, "%s\n", text.c_str());
  return std::fflush(stdout) == 0 && report->is_clean ? 0 : 1;
}

}  // namespace tidegauge
