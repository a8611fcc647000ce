// SPDX-License-Identifier: Apache-2.0
#include "daemon/commands/top_rates.h"

#include <tsl/robin_map.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <string_view>
#include <tuple>
#include <utility>

namespace tidegauge {

namespace {

// /proc tells start times in steps of 10 ms, rounded down.
constexpr std::int64_t kStartStepNs = 10'000'000;

// A rate is a sum of counters times a scale.
struct RateField {
  TopRate rate;
  TaskCounter first;
  TaskCounter second;  // the same as `first` where there is one
  double scale;
};
constexpr RateField kFields[] = {
    {TopRate::kRead, TaskCounter::kStorageReadBytes, TaskCounter::kStorageReadBytes, 1},
    {TopRate::kWrite, TaskCounter::kStorageWriteBytes, TaskCounter::kStorageWriteBytes, 1},
    {TopRate::kCancelled, TaskCounter::kStorageCancelledBytes, TaskCounter::kStorageCancelledBytes,
     1},
    {TopRate::kDelay, TaskCounter::kBlockDelayNs, TaskCounter::kBlockDelayNs, 1e-9},
    {TopRate::kCpu, TaskCounter::kUserNs, TaskCounter::kSystemNs, 1e-9},
    {TopRate::kMajorFaults, TaskCounter::kMajorFaults, TaskCounter::kMajorFaults, 1},
    {TopRate::kSwitches, TaskCounter::kVoluntarySwitches, TaskCounter::kInvoluntarySwitches, 1},
};

// `before` is null for what has done all of it in the interval.
std::optional<double> growth_of(TaskCounter field, const TaskCounters* before,
                                const TaskCounters& now) {
  if (!now.present(field) || (before != nullptr && !before->present(field))) {
    return std::nullopt;
  }
  const std::uint64_t base = before != nullptr ? (*before)[field] : 0;
  return now[field] > base ? static_cast<double>(now[field] - base) : 0.0;
}

void set_rates(TopRow& row, const TaskCounters* before, const TaskCounters& now,
               std::int64_t elapsed_ns) {
  if (elapsed_ns <= 0) {
    return;
  }
  const double seconds = static_cast<double>(elapsed_ns) / 1e9;
  for (const RateField& field : kFields) {
    auto grown = growth_of(field.first, before, now);
    if (field.second != field.first) {
      const auto more = growth_of(field.second, before, now);
      grown = grown && more ? std::optional(*grown + *more) : std::nullopt;
    }
    if (grown) {
      row.rates[static_cast<std::size_t>(field.rate)] = *grown * field.scale / seconds;
    }
  }
}

std::optional<std::uint64_t> resident_bytes(const TaskGauges& gauges) {
  if (!gauges.present(TaskGauge::kAnonBytes) || !gauges.present(TaskGauge::kFileBytes)) {
    return std::nullopt;
  }
  return gauges[TaskGauge::kAnonBytes] + gauges[TaskGauge::kFileBytes] +
         gauges[TaskGauge::kShmemBytes];
}

template <class T>
void add_known(std::optional<T>& to, const std::optional<T>& from) {
  if (from) {
    to = to.value_or(0) + *from;
  }
}

void add_row(TopRow& to, const TopRow& from) {
  to.processes += from.processes;
  to.ended += from.ended;
  for (std::size_t i = 0; i < kTopRates; ++i) {
    add_known(to.rates[i], from.rates[i]);
  }
  add_known(to.memory_bytes, from.memory_bytes);
  add_known(to.threads, from.threads);
}

// Those that ended, summed over equal names.
class EndedRows {
 public:
  void add(TopRow row) {
    row.state = 'X';
    const auto place =
        places_.try_emplace(Key(row.comm, row.group, row.uid, row.kernel_thread), rows_.size());
    if (place.second) {
      rows_.push_back(std::move(row));
      return;
    }
    TopRow& sum = rows_[place.first->second];
    add_row(sum, row);
    sum.pid.reset();
    sum.start_ns = 0;
  }

  void move_to(std::vector<TopRow>& out) {
    std::move(rows_.begin(), rows_.end(), std::back_inserter(out));
  }

 private:
  using Key = std::tuple<std::string, std::string, std::uint32_t, bool>;
  std::map<Key, std::size_t> places_;
  std::vector<TopRow> rows_;
};

TopRow row_of(const TopProcess& process) {
  const ProcessSample& sample = process.sample;
  TopRow row;
  row.pid = sample.key.pid;
  row.start_ns = sample.key.start_ns;
  row.uid = sample.uid;
  row.comm = sample.comm.view();
  row.group = process.group;
  row.owner = process.owner;
  row.state = sample.state;
  row.kernel_thread = sample.kernel_thread;
  row.memory_bytes = resident_bytes(sample.gauges);
  (sample.alive ? row.processes : row.ended) = 1;
  if (sample.gauges.present(TaskGauge::kThreads)) {
    row.threads = sample.gauges[TaskGauge::kThreads];
  }
  return row;
}

TopRow row_of(const TopExited& exited) {
  TopRow row;
  row.uid = exited.sample.uid;
  row.comm = exited.sample.comm.view();
  row.group = exited.group;
  row.kernel_thread = exited.sample.kernel_thread;
  row.ended = exited.sample.processes;
  return row;
}

std::int64_t read_after_ns(const ProcessSample& sample) {
  return std::int64_t{sample.read_after_us} * 1000;
}

std::int64_t own_interval_ns(const ProcessSample& before, const ProcessSample& now,
                             std::int64_t elapsed_ns) {
  return elapsed_ns > 0 ? elapsed_ns + read_after_ns(now) - read_after_ns(before) : elapsed_ns;
}

double value_of(const TopRow& row, TopSort by) {
  constexpr double kUnknown = -1;
  const auto rate = [&](TopRate which) { return row[which].value_or(kUnknown); };
  switch (by) {
    case TopSort::kIo:
      return rate(TopRate::kRead) + rate(TopRate::kWrite);
    case TopSort::kRead:
      return rate(TopRate::kRead);
    case TopSort::kWrite:
      return rate(TopRate::kWrite);
    case TopSort::kCpu:
      return rate(TopRate::kCpu);
    case TopSort::kMemory:
      return row.memory_bytes ? static_cast<double>(*row.memory_bytes) : kUnknown;
    case TopSort::kFaults:
      return rate(TopRate::kMajorFaults);
    case TopSort::kDelay:
      return rate(TopRate::kDelay);
  }
  return kUnknown;
}

}  // namespace

std::vector<TopRow> top_rows(const TopPass& previous, const TopPass& current,
                             std::int64_t elapsed_ns) {
  tsl::robin_map<std::uint32_t, const ProcessSample*> before;
  before.reserve(previous.processes.size());
  for (const TopProcess& process : previous.processes) {
    if (process.sample.alive) {
      before.insert_or_assign(process.sample.key.pid, &process.sample);
    }
  }
  std::vector<TopRow> rows;
  rows.reserve(current.processes.size());
  EndedRows ended;
  for (const TopProcess& process : current.processes) {
    const ProcessSample& sample = process.sample;
    TopRow row = row_of(process);
    const auto at = before.find(sample.key.pid);
    if (at != before.end() && at->second->key == sample.key) {
      row.interval_ns = own_interval_ns(*at->second, sample, elapsed_ns);
      set_rates(row, &at->second->counters, sample.counters, row.interval_ns);
    } else if (static_cast<std::int64_t>(sample.key.start_ns) + kStartStepNs >
               current.boottime_ns - elapsed_ns) {
      row.interval_ns = elapsed_ns;
      set_rates(row, nullptr, sample.counters, elapsed_ns);
    }  // else it is old and was not seen: what it did since then is not known
    if (sample.alive) {
      row.read_ns = current.boottime_ns + read_after_ns(sample);
      rows.push_back(std::move(row));
    } else {
      ended.add(std::move(row));
    }
  }
  for (const TopExited& exited : current.exited) {
    TopRow row = row_of(exited);
    set_rates(row, nullptr, exited.sample.counters, elapsed_ns);
    ended.add(std::move(row));
  }
  ended.move_to(rows);
  return rows;
}

std::vector<TopRow> group_rows(const std::vector<TopRow>& rows) {
  std::vector<TopRow> groups;
  tsl::robin_map<std::string_view, std::size_t> places;
  for (const TopRow& row : rows) {
    const auto [at, is_new] = places.try_emplace(row.group, groups.size());
    if (is_new) {
      groups.emplace_back().group = row.group;
    }
    add_row(groups[at->second], row);
  }
  return groups;
}

TopRow sum_of(std::vector<TopRow>::const_iterator begin, std::vector<TopRow>::const_iterator end) {
  TopRow sum;
  std::for_each(begin, end, [&](const TopRow& row) { add_row(sum, row); });
  sum.memory_bytes.reset();
  return sum;
}

void sort_rows(std::vector<TopRow>& rows, TopSort by) {
  std::sort(rows.begin(), rows.end(), [by](const TopRow& a, const TopRow& b) {
    for (const TopSort criterion : {by, TopSort::kIo, TopSort::kCpu, TopSort::kMemory}) {
      const double left = value_of(a, criterion);
      const double right = value_of(b, criterion);
      if (left != right) {
        return left > right;
      }
    }
    return std::tie(a.pid, a.group, a.comm, a.uid) < std::tie(b.pid, b.group, b.comm, b.uid);
  });
}

}  // namespace tidegauge
