// SPDX-License-Identifier: Apache-2.0
#include "daemon/commands/top_collect.h"

#include <algorithm>
#include <utility>

#include "collectors/process/process.h"
#include "daemon/scheduler/clock.h"

namespace tidegauge {

namespace {

// Names are no series here: there is room for all.
constexpr std::size_t kMaxGroups = 100'000;

std::int64_t boottime_ns() { return SystemClock().boottime_ns(); }

}  // namespace

TopCollector::TopCollector(const KernelFiles& files, const ProcessSettings& settings,
                           GroupRules rules)
    : files_(files),
      settings_(settings),
      identifier_(files, std::move(rules)),
      tracker_(kMaxGroups, 0),
      users_(files.root("/etc/passwd")) {}

ConfigResult<std::unique_ptr<TopCollector>> TopCollector::make(const Config& config) {
  const auto at = std::find_if(
      config.collectors.begin(), config.collectors.end(),
      [](const CollectorConfig& collector) { return collector.info == &kProcessCollector; });
  const Options options =
      at != config.collectors.end() ? at->options : default_options(process_options());
  const auto complain = [](const Error& error) {
    return tl::make_unexpected(ConfigError{"collectors.process." + error.where});
  };
  const auto settings = process_settings(options);
  if (!settings) {
    return complain(settings.error());
  }
  auto rules = group_rules(options);
  if (!rules) {
    return complain(rules.error());
  }
  return std::unique_ptr<TopCollector>(
      new TopCollector(KernelFiles(config.roots), *settings, std::move(*rules)));
}

std::string TopCollector::user(std::uint32_t uid) {
  if (uid == kUnknownUid) {
    return {};
  }
  const auto [at, is_new] = shown_users_.try_emplace(uid);
  if (is_new) {
    at->second = files_.privacy().user(users_.name(uid));
  }
  return at->second;
}

Result<void> TopCollector::make_source() {
  if (source_.source != nullptr) {
    return {};
  }
  auto made = make_task_source(files_, settings_.source);
  if (!made) {
    return tl::make_unexpected(made.error());
  }
  source_ = std::move(*made);
  return {};
}

// The clocks last of all before the counters: to load BPF programs takes a good part of a second on a busy host.
Result<void> TopCollector::read(TopPass& out) {
  pass_.clear();
  facts_.realtime_ns = SystemClock().realtime_ns();
  facts_.boottime_ns = boottime_ns();
  out.boottime_ns = facts_.boottime_ns;
  CollectContext context{.realtime_ns = facts_.realtime_ns,
                         .boottime_ns = out.boottime_ns,
                         .buffer = &buffer_,
                         .boottime_clock = boottime_ns};
  return source_.source->pass(context, pass_);
}

Result<void> TopCollector::read_somehow(TopPass& out) {
  if (auto made = make_source(); !made) {
    return made;
  }
  auto done = read(out);
  if (done || settings_.source != SourceChoice::kAuto || source_.source->name() == "procfs") {
    return done;
  }
  auto other = make_task_source(files_, SourceChoice::kProcfs);
  if (!other) {
    return done;
  }
  other->reason = "the BPF iterator failed: " + done.error().message();
  source_ = std::move(*other);
  tracker_.rebase();
  return read(out);
}

// Before the tracker forgets them: their group is the one they had.
void TopCollector::add_ended(TopPass& out) {
  for (const ProcessSample& sample : pass_.processes) {
    if (sample.alive) {
      continue;
    }
    TopProcess& process = out.processes.emplace_back();
    process.sample = sample;
    const TrackedProcess* known = tracker_.find(sample.key.pid);
    if (known != nullptr && known->sample.key == sample.key) {
      process.group = tracker_.groups()[known->group].name;
      process.owner = known->owner;
    } else {
      Classified classified = identifier_.classify(sample);
      process.group = std::move(classified.group.name);
      process.owner = std::move(classified.owner);
    }
  }
}

void TopCollector::classify(TopPass& out) {
  users_.refresh(buffer_);
  shown_users_.clear();
  identifier_.begin_pass(buffer_);
  add_ended(out);
  tracker_.update(
      pass_, out.boottime_ns,
      [this](const ProcessSample& sample) { return identifier_.classify(sample); },
      [this](const ExitedSample& sample) { return identifier_.classify_exited(sample); });
  tracker_.for_each([&](const TrackedProcess& tracked) {
    out.processes.push_back({tracked.sample, tracker_.groups()[tracked.group].name, tracked.owner});
  });
  for (const ExitedSample& exited : pass_.exited) {
    out.exited.push_back({exited, identifier_.classify_exited(exited).name});
  }
}

void TopCollector::tell_facts() {
  facts_.source = source_.source->name();
  facts_.reason = source_.reason;
  facts_.processes = tracker_.size();
  facts_.threads = pass_.threads;
  facts_.stuck_threads = pass_.stuck_threads;
  facts_.missing = pass_.missing;
}

Result<void> TopCollector::pass(TopPass& out) {
  out = {};
  if (auto done = read_somehow(out); !done) {
    return done;
  }
  classify(out);
  tell_facts();
  return {};
}

}  // namespace tidegauge
