// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/program_report.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include <algorithm>
#include <utility>

namespace tidegauge {

namespace {

template <class Entry>
Entry& entry_of(std::vector<Entry>& entries, const SeenProgram& seen) {
  const auto at = std::find_if(entries.begin(), entries.end(), [&](const Entry& entry) {
    return entry.object == seen.object && entry.feature == seen.status.feature;
  });
  if (at != entries.end()) {
    return *at;
  }
  Entry& entry = entries.emplace_back();
  entry.object = seen.object;
  entry.feature = seen.status.feature;
  return entry;
}

}  // namespace

std::vector<SeenProgram> look_at_programs() {
  std::vector<SeenProgram> out;
  ProgramSources::all().for_each([&](ProgramSource& source) {
    for (ProgramStatus& status : source.statuses()) {
      SeenProgram& seen = out.emplace_back();
      seen.object = source.object();
      bpf_prog_info info{};
      std::uint32_t bytes = sizeof(info);
      if (status.fd >= 0 && ::bpf_obj_get_info_by_fd(status.fd, &info, &bytes) == 0) {
        seen.run_ns = info.run_time_ns;
        seen.runs = info.run_cnt;
      }
      seen.status = std::move(status);
    }
  });
  return out;
}

bool ProgramCosts::is_same(const SeenProgram& a, const SeenProgram& b) {
  return a.object == b.object && a.status.name == b.status.name &&
         a.status.feature == b.status.feature;
}

void ProgramCosts::add(const std::vector<SeenProgram>& before,
                       const std::vector<SeenProgram>& after, double times) {
  for (const SeenProgram& now : after) {
    auto entry = std::find_if(entries_.begin(), entries_.end(),
                              [&](const Entry& e) { return is_same(e.program, now); });
    if (entry == entries_.end()) {
      entry = entries_.insert(entries_.end(), Entry{now, {}});
    }
    const auto then = std::find_if(before.begin(), before.end(),
                                   [&](const SeenProgram& seen) { return is_same(seen, now); });
    if (then != before.end() && (now.run_ns < then->run_ns || now.runs < then->runs)) {
      continue;  // loaded anew
    }
    // Not loaded then, or not there at all.
    const bool is_new = then == before.end() || (then->status.fd < 0 && now.status.fd >= 0);
    const auto scaled = [times = is_new ? 1 : times](std::uint64_t grown) {
      return static_cast<std::uint64_t>(static_cast<double>(grown) * times);
    };
    entry->cost.run_ns += scaled(now.run_ns - (is_new ? 0 : then->run_ns));
    entry->cost.runs += scaled(now.runs - (is_new ? 0 : then->runs));
  }
}

ProgramCosts::Cost ProgramCosts::of(const SeenProgram& program) const {
  const auto at = std::find_if(entries_.begin(), entries_.end(),
                               [&](const Entry& entry) { return is_same(entry.program, program); });
  return at == entries_.end() ? Cost{} : at->cost;
}

std::vector<FeatureCost> ProgramCosts::by_feature() const {
  std::vector<FeatureCost> out;
  for (const Entry& entry : entries_) {
    FeatureCost& cost = entry_of(out, entry.program);
    cost.run_ns += entry.cost.run_ns;
    cost.can_be_shed = cost.can_be_shed && entry.program.status.can_be_shed;
  }
  return out;
}

std::vector<SeenFeature> features_of(const std::vector<SeenProgram>& programs) {
  std::vector<SeenFeature> out;
  for (const SeenProgram& seen : programs) {
    SeenFeature& feature = entry_of(out, seen);
    if (seen.status.fd >= 0) {
      feature.tier = std::min(feature.tier, seen.status.tier);
    }
  }
  for (const SeenProgram& seen : programs) {
    SeenFeature& feature = entry_of(out, seen);
    if (feature.reason.empty() && seen.status.fd < 0 && seen.status.tier < feature.tier) {
      feature.reason = seen.status.reason;
    }
  }
  return out;
}

}  // namespace tidegauge
