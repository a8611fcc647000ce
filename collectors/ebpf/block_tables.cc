// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/block_tables.h"

#include <algorithm>
#include <string>
#include <utility>

#include "collectors/ebpf/time_histogram.h"

namespace tidegauge {

namespace {

constexpr std::string_view kNobody = "(unattributed)";

// Behind the two histograms.
enum RequestColumn : std::size_t {
  kBytes,
  kSequential,
  kRandom,
  kErrors,
  kRequeues,
  kMerged,
  kInFlight,
};

ColumnInfo column(std::string_view family, std::string_view help, MetricKind kind, Scale scale = {},
                  std::vector<Label> labels = {}) {
  ColumnInfo info;
  info.family = family;
  info.help = help;
  info.kind = kind;
  info.scale = scale;
  info.labels = std::move(labels);
  return info;
}

constexpr std::string_view kDeviceTimeHelp =
    "Time requests took on the device, from when the driver got them to their end. Devices that "
    "make "
    "requests: disks, loop and multipath; not dm and md, which pass on to those. Each layer "
    "counts.";
constexpr std::string_view kQueueTimeHelp =
    "Time requests were queued, from when they were made to when the driver got them; without "
    "those of "
    "queues that keep no time (queue/iostats is 0).";
constexpr std::string_view kRequestsHelp =
    "Requests that ended, by whether they began where the last one of the same operation ended; "
    "also "
    "those that ended unseen (tidegauge_block_losses_total), whose time no histogram has.";
constexpr std::string_view kBusyHelp =
    "Time the device had at least one request, exact to the event; the kernel's own io_ticks are "
    "sampled "
    "on many kernels and count requests that are queued, too.";
constexpr std::string_view kAttributedBusyHelp =
    "The device's busy time, divided at each moment among the requests it has, and charged to who "
    "caused them when they end: direct and read requests to the submitter, buffered writes to "
    "those who "
    "dirtied the pages, the journal of ext4 to those whose changes it writes. All groups and "
    "reasons "
    "together are tidegauge_block_busy_seconds_total less what is in flight. Without an owner, by "
    "reason: kernel (threads of the kernel), journal, metadata, swap, ownerless (dirtied before "
    "the "
    "daemon came, or forgotten), unknown (begun before it came, or ended unseen), full.";
constexpr std::string_view kAttributedBytesHelp =
    "Bytes of requests by who caused them, as in tidegauge_block_attributed_busy_seconds_total. "
    "All "
    "together are tidegauge_block_request_bytes_total.";
constexpr std::string_view kProcessBusyHelp =
    "The part of tidegauge_block_attributed_busy_seconds_total of single processes: those the "
    "devices "
    "were busiest for, since they were first noticed.";
constexpr std::string_view kProcessBytesHelp =
    "Bytes of requests that the processes of tidegauge_block_process_busy_seconds_total caused.";
constexpr std::string_view kPagesHelp =
    "Pages written back, by whether it was known who had dirtied them.";
constexpr std::string_view kLossesHelp =
    "What could not be followed: requests of a device too many (device) and too many at once "
    "(request), "
    "requests that ended unseen (end; they count once that is noticed, but their time on the "
    "device "
    "is "
    "not known), that came back to the queue unseen (return; their time is charged, still), "
    "charges "
    "without an account of their own (account), requests of more than 256 parts (part), "
    "pages of "
    "files with more than four dirtiers (dirtier).";

std::vector<ColumnInfo> request_columns() {
  std::vector<ColumnInfo> out =
      time_histogram_columns("tidegauge_block_device_seconds", kDeviceTimeHelp, BucketStep::kFine);
  for (ColumnInfo& info : time_histogram_columns("tidegauge_block_queue_seconds", kQueueTimeHelp,
                                                 BucketStep::kCoarse)) {
    out.push_back(std::move(info));
  }
  const auto add = [&](std::string_view family, std::string_view help, MetricKind kind,
                       std::vector<Label> labels = {}) {
    out.push_back(column(family, help, kind, {}, std::move(labels)));
  };
  add("tidegauge_block_request_bytes_total", "Bytes of requests that ended.", MetricKind::kCounter);
  add("tidegauge_block_requests_total", kRequestsHelp, MetricKind::kCounter,
      {{"pattern", "sequential"}});
  add("tidegauge_block_requests_total", kRequestsHelp, MetricKind::kCounter,
      {{"pattern", "random"}});
  add("tidegauge_block_request_errors_total", "Requests that ended with an error.",
      MetricKind::kCounter);
  add("tidegauge_block_requeues_total",
      "Times the driver gave a request back; its time on the device begins anew.",
      MetricKind::kCounter);
  add("tidegauge_block_merged_total",
      "Pieces of I/O that ended as part of another's request, of at most 256 a request.",
      MetricKind::kCounter);
  add("tidegauge_block_in_flight", "Requests on the device at the moment.", MetricKind::kGauge);
  return out;
}

std::vector<ColumnInfo> busy_columns() {
  return {
      column("tidegauge_block_busy_seconds_total", kBusyHelp, MetricKind::kCounter, kNanoseconds)};
}

std::vector<ColumnInfo> amount_columns() {
  return {
      column("tidegauge_block_attributed_busy_seconds_total", kAttributedBusyHelp,
             MetricKind::kCounter, kNanoseconds),
      column("tidegauge_block_attributed_bytes_total", kAttributedBytesHelp, MetricKind::kCounter)};
}

std::vector<ColumnInfo> process_columns() {
  return {column("tidegauge_block_process_busy_seconds_total", kProcessBusyHelp,
                 MetricKind::kCounter, kNanoseconds)};
}

std::vector<ColumnInfo> process_bytes_columns() {
  return {column("tidegauge_block_process_bytes_total", kProcessBytesHelp, MetricKind::kCounter)};
}

std::vector<ColumnInfo> self_columns() {
  std::vector<ColumnInfo> out;
  for (const char* dirtier : {"known", "unknown"}) {
    out.push_back(column("tidegauge_block_writeback_pages_total", kPagesHelp, MetricKind::kCounter,
                         {}, {{"dirtier", dirtier}}));
  }
  out.push_back(column("tidegauge_block_dirty_files_total",
                       "Files whose dirtiers began to be remembered; at most 65536 at a time are.",
                       MetricKind::kCounter));
  for (const char* what : {"device", "request", "end", "return", "account", "part", "dirtier"}) {
    out.push_back(column("tidegauge_block_losses_total", kLossesHelp, MetricKind::kCounter, {},
                         {{"what", what}}));
  }
  return out;
}

struct NamedColumns {
  std::vector<std::string> labels;
  std::vector<ColumnInfo> columns;
};

// In the order of exposition.
std::vector<NamedColumns> all_columns() {
  return {{{"device", "operation"}, request_columns()},
          {{"device"}, busy_columns()},
          {{"device", "group", "operation", "reason"}, amount_columns()},
          {{"device", "pid", "comm", "group"}, process_columns()},
          {{"device", "pid", "comm", "group", "operation"}, process_bytes_columns()},
          {{}, self_columns()}};
}

RowTable make_table(std::size_t index) {
  NamedColumns all = std::move(all_columns()[index]);
  return {std::move(all.labels), std::move(all.columns)};
}

bool has_anything(const tg_block_device& device, std::size_t operation) {
  const tg_block_times& times = device.times[operation];
  return times.sequential + times.random + times.requeues + device.operation_in_flight[operation] !=
         0;
}

}  // namespace

BlockTables::BlockTables()
    : requests_(make_table(0)),
      busy_(make_table(1)),
      amounts_(make_table(2)),
      processes_(make_table(3)),
      process_bytes_(make_table(4)),
      self_(make_table(5)) {}

std::vector<MetricDoc> BlockTables::documentation() {
  std::vector<MetricDoc> docs;
  for (const NamedColumns& table : all_columns()) {
    for (const ColumnInfo& info : table.columns) {
      if (!docs.empty() && docs.back().name == info.family) {
        continue;
      }
      std::vector<std::string> labels = table.labels;
      for (const Label& label : info.labels) {
        labels.push_back(label.name);
      }
      docs.push_back({info.family, info.kind, std::move(labels), info.help});
    }
  }
  return docs;
}

void BlockTables::fill_device(const BlockDeviceSample& sample) {
  const tg_block_device& device = *sample.device;
  bool any = false;
  for (std::size_t operation = 0; operation < TG_BLOCK_OPERATIONS; ++operation) {
    if (!has_anything(device, operation)) {
      continue;
    }
    any = true;
    const tg_block_times& times = device.times[operation];
    requests_.row({sample.name, block_operation_name(operation)});
    TimeHistogram on_device;
    on_device.add(times.device_slots, times.device_ns);
    TimeHistogram in_queue;
    in_queue.add(times.queue_slots, times.queue_ns);
    std::size_t at = set_time_histogram(requests_, 0, on_device, BucketStep::kFine);
    at = set_time_histogram(requests_, at, in_queue, BucketStep::kCoarse);
    requests_.set(at + kBytes, times.bytes);
    requests_.set(at + kSequential, times.sequential);
    requests_.set(at + kRandom, times.random);
    requests_.set(at + kErrors, times.errors);
    requests_.set(at + kRequeues, times.requeues);
    requests_.set(at + kMerged, times.merged);
    requests_.set(at + kInFlight, device.operation_in_flight[operation]);
  }
  if (any) {  // a device that passes bios on is only known by its flushes
    busy_.row({sample.name});
    busy_.set(0, device.busy_ns);
  }
}

std::string_view BlockTables::name_of(std::uint32_t device) const {
  const auto at =
      std::find_if(devices_->begin(), devices_->end(),
                   [device](const BlockDeviceSample& sample) { return sample.number == device; });
  return at == devices_->end() ? std::string_view() : at->name;
}

void BlockTables::fill_amounts(const BlockLedger& ledger, const GroupName& group_name) {
  for (const auto& [key, amount] : ledger.amounts()) {
    const std::string_view device = name_of(key.device);
    if (device.empty()) {
      continue;
    }
    const std::string_view group = key.reason == TG_BLOCK_OWNED ? group_name(key.group) : kNobody;
    amounts_.row(
        {device, group, block_operation_name(key.operation), block_reason_name(key.reason)});
    amounts_.set(0, amount.busy_ns);
    amounts_.set(1, amount.bytes);
  }
  // By the kernel itself, where it had no room for an account.
  for (const BlockDeviceSample& sample : *devices_) {
    for (std::size_t operation = 0; operation < TG_BLOCK_OPERATIONS; ++operation) {
      const tg_block_times& times = sample.device->times[operation];
      if (times.lost_ns + times.lost_bytes != 0) {
        amounts_.row({sample.name, kNobody, block_operation_name(operation),
                      block_reason_name(kBlockReasonFull)});
        amounts_.set(0, times.lost_ns);
        amounts_.set(1, times.lost_bytes);
      }
    }
  }
}

void BlockTables::fill_processes(const BlockLedger& ledger, const GroupName& group_name) {
  for (const BlockLedger::Process* process : ledger.shown()) {
    const std::string pid = std::to_string(process->party.tgid);
    const std::string_view group = group_name(process->party.group);
    for (const auto& [number, amounts] : process->devices) {
      const std::string_view device = name_of(number);
      if (device.empty()) {
        continue;
      }
      std::uint64_t busy_ns = 0;
      for (std::size_t operation = 0; operation < amounts.size(); ++operation) {
        busy_ns += amounts[operation].busy_ns;
        if (amounts[operation].bytes != 0) {
          process_bytes_.row(
              {device, pid, process->party.comm, group, block_operation_name(operation)});
          process_bytes_.set(0, amounts[operation].bytes);
        }
      }
      processes_.row({device, pid, process->party.comm, group});
      processes_.set(0, busy_ns);
    }
  }
}

void BlockTables::fill_losses(const tg_block_losses& losses, bool is_attributed) {
  const std::uint64_t values[] = {losses.owned_pages, losses.ownerless_pages, losses.dirty_files,
                                  losses.devices,     losses.requests,        losses.ends,
                                  losses.returns,     losses.accounts,        losses.long_requests,
                                  losses.shared_files};
  constexpr std::size_t kOfDevices = 3;  // the others are about owners
  constexpr std::size_t kOfOwners = 7;
  self_.row({});
  for (std::size_t i = 0; i < std::size(values); ++i) {
    if (is_attributed || (i >= kOfDevices && i < kOfOwners)) {
      self_.set(i, values[i]);
    }
  }
}

void BlockTables::fill(const std::vector<BlockDeviceSample>& devices, const BlockLedger* ledger,
                       const GroupName& group_name, const tg_block_losses& losses, Section& out) {
  RowTable* const tables[] = {&requests_, &busy_, &amounts_, &processes_, &process_bytes_, &self_};
  for (RowTable* table : tables) {
    table->begin();
  }
  devices_ = &devices;
  for (const BlockDeviceSample& device : devices) {
    fill_device(device);
  }
  if (ledger != nullptr) {
    fill_amounts(*ledger, group_name);
    fill_processes(*ledger, group_name);
  }
  devices_ = nullptr;
  fill_losses(losses, ledger != nullptr);
  for (RowTable* table : tables) {
    out.tables.push_back(table->take());
  }
}

}  // namespace tidegauge
