// SPDX-License-Identifier: Apache-2.0
#include "daemon/service/service.h"

#include <malloc.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>

#include "daemon/exporter/exposition.h"
#include "daemon/exporter/family_text.h"
#include "daemon/exporter/http_server.h"
#include "daemon/exporter/own_metrics.h"
#include "daemon/exporter/routes.h"
#include "daemon/heuristics/assess.h"
#include "daemon/heuristics/verdict_json.h"
#include "daemon/replay/replay_heuristics.h"
#include "daemon/service/collector_set.h"
#include "daemon/service/culprit_watch.h"
#include "daemon/service/ebpf_json.h"
#include "daemon/service/ebpf_log.h"
#include "daemon/service/flight_recorder.h"
#include "daemon/service/log.h"
#include "daemon/service/privileges.h"
#include "daemon/service/verdict_watch.h"

namespace tidegauge {

namespace {

// For workers, so that the first scrape is full; most of it goes to loading BPF programs, one object after the other.
constexpr std::int64_t kFirstTickWaitNs = 1'500'000'000;
constexpr std::chrono::milliseconds kStartPatience{2000};
constexpr std::int64_t kMaxLoopWaitNs = 1'000'000'000;
// By then every collector has run and loaded what it needs.
constexpr std::int64_t kStartupNs = 20'000'000'000;
constexpr std::uint64_t kManyConnections = 32;

// Says what befell a collector when it changes, not each time.
class CollectorLog {
 public:
  explicit CollectorLog(Log& log) : log_(log) {}

  void operator()(std::string_view collector, const Error* error) {
    {
      const std::lock_guard lock(mutex_);
      const std::string now = error != nullptr ? error->message() : "";
      auto [at, is_new] = last_.try_emplace(std::string(collector));
      if (!is_new && at->second == now) {
        return;
      }
      at->second = now;
    }
    if (error == nullptr) {
      log_.notice("collector works again", {{"collector", collector}});
    } else if (error->kind == ErrorKind::kMissing || error->kind == ErrorKind::kUnsupported) {
      log_.notice("collector has no data on this machine",
                  {{"collector", collector}, {"err", error->message()}});
    } else {
      log_.warn("collector failed", {{"collector", collector}, {"err", error->message()}});
    }
  }

 private:
  Log& log_;
  std::mutex mutex_;
  std::map<std::string, std::string, std::less<>> last_;
};

// Lets a reload put other routes behind the same sockets.
class SwitchingHandler final : public HttpHandler {
 public:
  void set(std::shared_ptr<HttpHandler> handler) {
    const std::lock_guard lock(mutex_);
    handler_ = std::move(handler);
  }
  std::variant<HttpResponse, HttpPending> handle(const HttpRequest& request,
                                                 bool resumed) override {
    std::shared_ptr<HttpHandler> handler;
    {
      const std::lock_guard lock(mutex_);
      handler = handler_;
    }
    if (!handler && !resumed) {
      return HttpPending{kStartPatience};  // the first tick takes milliseconds
    }
    if (!handler) {
      HttpResponse starting;
      starting.status = 503;
      starting.content_type = "text/plain; charset=utf-8";
      starting.body = std::make_shared<const std::string>("starting\n");
      return starting;
    }
    return handler->handle(request, resumed);
  }

 private:
  std::mutex mutex_;
  std::shared_ptr<HttpHandler> handler_;
};

// "" before the first tick.
std::string verdicts_json(const heuristics::Heuristics& heuristics) {
  const auto report = heuristics.report();
  return report->realtime_ns == 0 ? "" : heuristics::json_text(heuristics::report_json(*report));
}

double realtime_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// What one configuration brings to life. Members are destroyed in reverse order.
struct Generation {
  Config config;
  std::unique_ptr<Scheduler> scheduler;
  std::unique_ptr<Exposition> exposition;
  std::unique_ptr<Routes> routes;
};

class Service {
 public:
  Service(const CommandLine& command_line, CollectorRegistry registry, Config config)
      : command_line_(command_line),
        registry_(registry),
        log_(config.log_level, config.log_format),
        collector_log_(log_),
        verdict_watch_(log_,
                       [this](std::string_view reason) {
                         if (triggers_on_verdict_) {
                           recorder_.trigger(reason);
                         }
                       }),
        recorder_(
            log_, [this](recording::Checkpoint& out) { complete(out); },
            [this](std::int64_t begin_ns, std::int64_t until_ns) {
              return has_verdicts_ ? heuristics_.save_history(begin_ns, until_ns) : std::string();
            }),
        config_(std::move(config)) {
    log_.set_suppressed_counter([this] { own_.count_suppressed_log(); });
    heuristics_.on_change(
        [this](const heuristics::Verdict& verdict) { verdict_watch_.add(verdict); });
  }

  int run();

 private:
  void complete(recording::Checkpoint& out) const;
  bool start_http();
  std::shared_ptr<Generation> build(const Config& config,
                                    std::vector<ScheduledCollector> collectors,
                                    SchedulerOptions options);
  void activate(const std::shared_ptr<Generation>& generation);
  void announce();
  void drop_privileges();
  void warn_of_privacy(const KernelRoots& roots);
  void loop();
  void reload();
  ConfigResult<void> try_reload();
  void feed_watchdog();
  void finish_startup();
  void trim_memory();
  int shut_down();

  const CommandLine& command_line_;
  CollectorRegistry registry_;
  Log log_;
  CollectorLog collector_log_;
  heuristics::Heuristics heuristics_;  // outlives reloads: what it remembers
  std::atomic<bool> has_verdicts_{false};
  std::atomic<bool> triggers_on_verdict_{false};
  VerdictWatch verdict_watch_;
  FlightRecorder recorder_;
  Config config_;
  SystemClock clock_;
  OwnMetrics own_;
  SwitchingHandler handler_;
  std::unique_ptr<HttpServer> server_;
  std::shared_ptr<Generation> generation_;
  bool is_memory_locked_ = false;
  std::uint64_t peak_connections_ = 0;  // since the last trim
  // Schedulers before a reload, of which a thread had not come back.
  std::vector<std::shared_ptr<Generation>> leftovers_;
};

sigset_t handled_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR2}) {
    ::sigaddset(&set, number);
  }
  return set;
}

// What a replay needs to say what is said now.
void Service::complete(recording::Checkpoint& out) const {
  replay::add_thresholds(heuristics_.limits(), out);
  if (has_verdicts_) {
    out[std::string(replay::kHeuristicsState)] = heuristics_.save();
  }
}

bool Service::start_http() {
  HttpServerOptions options;
  options.listen_addresses = config_.listen_addresses;
  if (config_.systemd_socket) {
    options.listen_addresses.clear();
    const int count = ::sd_listen_fds(1);
    for (int i = 0; i < count; ++i) {
      options.listen_addresses.push_back("fd:" + std::to_string(SD_LISTEN_FDS_START + i));
    }
    if (options.listen_addresses.empty()) {
      log_.error("web.systemd_socket is set but systemd passed no socket");
      return false;
    }
  }
  options.on_thread_start = [this] { drop_privileges(); };
  options.connection_limit = static_cast<std::size_t>(config_.max_connections);
  options.log_error = [this](std::string_view message) {
    log_.warn("web server", {{"err", message}});
  };
  auto server = HttpServer::start(std::move(options), handler_);
  if (!server) {
    log_.error("cannot listen", {{"err", server.error().message}});
    return false;
  }
  server_ = std::move(*server);
  return true;
}

std::shared_ptr<Generation> Service::build(const Config& config,
                                           std::vector<ScheduledCollector> collectors,
                                           SchedulerOptions options) {
  auto generation = std::make_shared<Generation>();
  generation->config = config;
  auto exports = exported(collectors);
  if (config.heuristics.enabled) {
    exports.push_back(verdicts_as_collector());
  }
  generation->scheduler = std::make_unique<Scheduler>(
      options, std::move(collectors), clock_,
      [this](std::string_view collector, const Error* error) { collector_log_(collector, error); });
  generation->scheduler->on_publish([this] { server_->resume_pending(); });
  // The tick thread belongs to the scheduler, so it does not outlive what it refers to.
  generation->scheduler->on_snapshot(
      [this, watch = CulpritWatch(), programs = EbpfLog(log_),
       scheduler = generation->scheduler.get()](const SnapshotPtr& snapshot) mutable {
        programs.update();
        if (watch.wants_pass(*snapshot)) {
          static_cast<void>(scheduler->request_run("process"));
        }
        const auto report = heuristics_.report();
        if (report->boottime_ns == snapshot->boottime_ns) {
          for (const heuristics::Request& request : report->requests) {
            static_cast<void>(scheduler->request_run(request.collector, request.pid));
          }
        }
      });
  heuristics_.set_limits(config.heuristics.limits);
  has_verdicts_ = config.heuristics.enabled;
  triggers_on_verdict_ = config.recorder.enabled && config.recorder.trigger_on_verdict;
  if (config.heuristics.enabled) {
    generation->scheduler->set_derived(
        heuristics::Heuristics::kName,
        [this](const Snapshot& snapshot) { return heuristics_.update(snapshot); },
        generation_ != nullptr ? generation_->scheduler->derived() : SnapshotEntry{});
  }
  if (auto consumer = recorder_.consumer()) {
    generation->scheduler->on_snapshot(std::move(consumer));
  }
  // Behind the recorder, so that an incident has the tick that began it.
  generation->scheduler->on_snapshot([this](const SnapshotPtr&) { verdict_watch_.tell(); });
  ExpositionOptions exposition;
  exposition.node_families = config.node_families;
  exposition.own_metrics = !config.disable_exporter_metrics;
  // The exposition belongs to the generation it points to.
  generation->exposition = std::make_unique<Exposition>(
      exposition, exports, [this, self = generation.get()](std::string& out) {
        own_.update_http(server_->stats());
        if (const auto stats = recorder_.stats()) {
          own_.update_recorder(*stats);
        }
        own_.update_exposition(self->exposition->body_bytes(),
                               self->exposition->suppressed_series());
        append_families(out, own_.collect());
      });
  std::vector<std::string_view> known;
  for (const CollectorInfo* info : registry_) {
    known.push_back(info->name);
  }
  known.push_back(heuristics::Heuristics::kName);
  RouteOptions routes{.telemetry_path = config.telemetry_path,
                      .enable_lifecycle = config.enable_lifecycle,
                      .ebpf_json = ebpf_json,
                      .verdicts_json = nullptr,
                      .record = nullptr};
  if (config.heuristics.enabled) {
    routes.verdicts_json = [this] { return verdicts_json(heuristics_); };
  }
  if (config.recorder.enabled && config.recorder.trigger_over_http) {
    routes.record = [this](std::string_view reason) { return recorder_.trigger_over_http(reason); };
  }
  generation->routes = std::make_unique<Routes>(
      std::move(routes), std::move(exports), std::move(known), *generation->scheduler,
      *generation->exposition, own_, [] { ::kill(::getpid(), SIGHUP); });
  return generation;
}

void Service::activate(const std::shared_ptr<Generation>& generation) {
  own_.set_cpu_budget(generation->config.cpu_budget_ppm);
  generation->scheduler->start(kFirstTickWaitNs);
  generation->routes->set_ready(true);
  generation_ = generation;
  handler_.set(std::shared_ptr<HttpHandler>(generation, generation->routes.get()));
  server_->resume_pending();
}

void Service::announce() {
  for (const std::string& warning : command_line_.warnings) {
    log_.warn(warning);
  }
  for (const std::string& missing : missing_privileges()) {
    log_.warn("running without a capability", {{"missing", missing}});
  }
  warn_of_privacy(config_.roots);
  const BuildInfo& build = build_info();
  for (const std::string& address : server_->addresses()) {
    log_.info("listening", {{"address", address},
                            {"path", config_.telemetry_path},
                            {"version", build.version},
                            {"revision", build.revision}});
  }
}

void Service::warn_of_privacy(const KernelRoots& roots) {
  if (const std::string complaint = check_privacy(roots); !complaint.empty()) {
    log_.warn(complaint);
  }
}

void Service::drop_privileges() {
  if (const std::string error = drop_capabilities(); !error.empty()) {
    log_.warn("cannot drop capabilities", {{"err", error}});
  }
}

int Service::run() {
  if (const std::string complaint = check_roots(config_.roots); !complaint.empty()) {
    log_.error(complaint);
    return 1;
  }
  auto collectors = make_collectors(config_);
  if (!collectors) {
    log_.error("bad configuration", {{"err", collectors.error().message}});
    return 2;
  }
  is_memory_locked_ = lock_memory();
  if (!is_memory_locked_) {
    log_.info("memory is not locked (RLIMIT_MEMLOCK): answers may be late while the host swaps");
  }
  if (!start_http()) {
    return 1;
  }
  drop_privileges();
  recorder_.configure(config_);
  activate(build(config_, std::move(*collectors), scheduler_options(config_)));
  own_.reload_finished(true, realtime_seconds());
  announce();
  ::sd_notify(0, "READY=1");
  loop();
  return shut_down();
}

void Service::loop() {
  const sigset_t signals = handled_signals();
  std::int64_t started_ns = clock_.boottime_ns();
  while (true) {
    std::int64_t wait_ns = std::min(generation_->config.tick_ns, kMaxLoopWaitNs);
    std::uint64_t watchdog_us = 0;
    if (::sd_watchdog_enabled(0, &watchdog_us) > 0) {
      wait_ns = std::min(wait_ns, static_cast<std::int64_t>(watchdog_us) * 1000 / 3);
    }
    const timespec wait{.tv_sec = wait_ns / 1'000'000'000, .tv_nsec = wait_ns % 1'000'000'000};
    const int number = ::sigtimedwait(&signals, nullptr, &wait);
    if (number == SIGTERM || number == SIGINT) {
      return;
    }
    if (number == SIGHUP) {
      reload();
    }
    if (number == SIGUSR2) {
      recorder_.trigger("sigusr2");
    }
    generation_->scheduler->supervise();
    feed_watchdog();
    trim_memory();
    if (started_ns != 0 && clock_.boottime_ns() - started_ns >= kStartupNs) {
      started_ns = 0;
      finish_startup();
    }
    std::erase_if(leftovers_, [](const auto& old) { return old->scheduler->stop(); });
  }
}

// What it took to get so far is not needed any more.
void Service::finish_startup() {
  ::malloc_trim(0);
  release_startup_pages();
  if (is_memory_locked_) {
    static_cast<void>(lock_memory());  // what comes back
  }
}

// A burst of connections leaves holes in the heap that only an explicit trim gives back.
void Service::trim_memory() {
  const std::uint64_t open = server_->stats().connections_open;
  peak_connections_ = std::max(peak_connections_, open);
  if (peak_connections_ >= kManyConnections && open <= peak_connections_ / 2) {
    ::malloc_trim(0);
    peak_connections_ = open;
  }
}

void Service::feed_watchdog() {
  std::uint64_t limit_us = 0;
  if (::sd_watchdog_enabled(0, &limit_us) > 0 && generation_->scheduler->alive()) {
    ::sd_notify(0, "WATCHDOG=1");
  }
}

ConfigResult<void> Service::try_reload() {
  auto config = load_config(command_line_, registry_);
  if (!config) {
    return tl::make_unexpected(config.error());
  }
  const Config& old = generation_->config;
  if (config->listen_addresses != old.listen_addresses ||
      config->systemd_socket != old.systemd_socket ||
      config->max_connections != old.max_connections) {
    return tl::make_unexpected(ConfigError{
        "web.listen_address, web.systemd_socket and web.max_connections need a restart"});
  }
  if (const std::string complaint = check_roots(config->roots); !complaint.empty()) {
    return tl::make_unexpected(ConfigError{complaint});
  }
  auto collectors = make_collectors(*config);
  if (!collectors) {
    return tl::make_unexpected(collectors.error());
  }
  // From here on nothing can fail.
  generation_->routes->set_ready(false);
  if (!generation_->scheduler->stop()) {
    leftovers_.push_back(generation_);
  }
  SchedulerOptions options = scheduler_options(*config);
  options.background_cores = generation_->scheduler->background_cores();
  if (const SnapshotPtr last = generation_->scheduler->latest_tick()) {
    options.ticks = last->ticks;
    options.ticks_skipped = last->ticks_skipped;
  }
  const auto options_of = [](const Config& from, const CollectorInfo* info) {
    return std::find_if(from.collectors.begin(), from.collectors.end(),
                        [&](const CollectorConfig& c) { return c.info == info; })
        ->options;
  };
  const bool same_roots = config->roots == old.roots;
  // A collector whose settings stay keeps its object: it holds what makes counters monotone.
  for (ScheduledCollector& kept : generation_->scheduler->release()) {
    const auto at =
        std::find_if(collectors->begin(), collectors->end(),
                     [&](const ScheduledCollector& fresh) { return fresh.info == kept.info; });
    if (at == collectors->end()) {
      continue;
    }
    at->still_running = std::move(kept.still_running);
    at->status = kept.status;
    if (!same_roots || options_of(old, kept.info) != options_of(*config, kept.info)) {
      continue;
    }
    at->recorded = std::move(kept.recorded);
    at->newest = std::move(kept.newest);
    at->cost = kept.cost;
    if (kept.collector) {
      at->collector = std::move(kept.collector);
    }
  }
  log_.configure(config->log_level, config->log_format);
  if (!same_roots) {
    warn_of_privacy(config->roots);
  }
  recorder_.configure(*config);
  activate(build(*config, std::move(*collectors), options));
  return {};
}

void Service::reload() {
  ::sd_notify(0, "RELOADING=1");
  sigset_t pending;
  if (::sigpending(&pending) == 0 &&
      (::sigismember(&pending, SIGTERM) == 1 || ::sigismember(&pending, SIGINT) == 1)) {
    return;  // not worth it any more
  }
  const auto outcome = try_reload();
  own_.reload_finished(outcome.has_value(), realtime_seconds());
  if (outcome) {
    log_.info("configuration reloaded");
  } else {
    log_.error("configuration not reloaded, the old one stays in force",
               {{"err", outcome.error().message}});
  }
  ::sd_notify(0, "READY=1");
}

int Service::shut_down() {
  ::sd_notify(0, "STOPPING=1");
  log_.info("stopping");
  generation_->routes->set_ready(false);
  leftovers_.push_back(generation_);
  bool clean = true;
  for (const auto& old : leftovers_) {
    clean = old->scheduler->stop() && clean;
  }
  server_->stop();
  clean = recorder_.stop() && clean;
  if (!clean) {
    // A thread is inside a call that does not return; unwinding would pull the ground from under it.
    log_.warn("a collector is stuck in the kernel; ending without it");
    std::fflush(nullptr);
    ::_exit(0);
  }
  return 0;
}

}  // namespace

int serve(const CommandLine& command_line, CollectorRegistry registry) {
  open_standard_streams();
  tame_allocator();
  // First of all: a SIGHUP that comes early must not kill.
  const sigset_t signals = handled_signals();
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  auto config = load_config(command_line, registry);
  if (!config) {
    std::fprintf(stderr, "%s\n", config.error().message.c_str());
    return 2;
  }
  // On the heap and never freed early: threads refer to it until the process ends.
  const auto service = std::make_unique<Service>(command_line, registry, std::move(*config));
  return service->run();
}

}  // namespace tidegauge
