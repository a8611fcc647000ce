// SPDX-License-Identifier: Apache-2.0
#pragma once

// A host on which every signal that the heuristics know moves, for every subject, and most of what can go wrong does: what
// a tick of the heuristics costs at most.

#include <algorithm>
#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/heuristics/signal.h"
#include "tests/unit/fake_host.h"

namespace tidegauge::testing {

struct LargeHostSize {
  std::size_t disks = 50;
  std::size_t groups = 200;
  std::size_t cpus = 32;
  std::size_t nodes = 2;  // of four zones each
  // Of each kind so many are in trouble; the others have a fiftieth to do.
  std::size_t troubled = 5;
};

class LargeHost {
 public:
  using Labels = FakeHost::Labels;

  explicit LargeHost(LargeHostSize size) : size_(size) {
    for (const heuristics::SignalInfo& signal : heuristics::all_signals()) {
      for (std::size_t number = 0; number < count_of(signal.kind); ++number) {
        add(signal, number);
      }
    }
    for (std::size_t node = 0; node < size.nodes; ++node) {
      for (const char* zone : {"DMA", "DMA32", "Normal", "Movable"}) {
        const Labels labels{{"node", std::to_string(node)}, {"zone", zone}};
        for (const auto& [name, pages] : {std::pair("nr_free_pages", 24'000.0),
                                          {"min_pages", 20'000.0},
                                          {"low_pages", 25'000.0},
                                          {"high_pages", 30'000.0},
                                          {"present_pages", 1e6},
                                          {"managed_pages", 1e6}}) {
          host_.set("zoneinfo", std::string("node_zoneinfo_") + name, labels, pages);
        }
      }
    }
  }

  Snapshot tick() {
    for (const Rate& rate : rates_) {
      host_.add(rate.collector, rate.family, rate.labels, rate.a_second);
    }
    return host_.tick(1);
  }

 private:
  struct Rate {
    std::string collector;
    std::string family;
    Labels labels;
    double a_second = 0;
  };

  [[nodiscard]] std::size_t count_of(heuristics::Kind kind) const {
    using enum heuristics::Kind;
    switch (kind) {
      case kHost:
        return 1;
      case kCpu:
        return size_.cpus;
      case kDisk:
        return size_.disks;
      case kDiskOperation:
        return size_.disks * 3;
      case kNode:
        return size_.nodes;
      case kOomVictim:
        return 1;
      case kProcess:
      case kThread:
      case kFile:
      case kDirectory:
      case kStuck:
      case kPeakUser:
        return std::min<std::size_t>(size_.groups, 50);  // as many as collectors show
      default:
        return size_.groups;
    }
  }

  [[nodiscard]] std::string label_of(std::string_view name, std::size_t number) const {
    if (name == "device") {
      const std::size_t disk = number % size_.disks;
      return std::string("sd") + static_cast<char>('a' + disk / 26) +
             static_cast<char>('a' + disk % 26);
    }
    if (name == "group" || name == "comm") {
      return "worker-" + std::to_string(number % size_.groups);
    }
    if (name == "operation") {
      constexpr const char* kOperations[] = {"read", "write", "flush"};
      return kOperations[number / size_.disks % 3];
    }
    return name == "cpu" || name == "node" || name == "pid"
               ? std::to_string(number)
               : std::string(name) + "-" + std::to_string(number);
  }

  void add(const heuristics::SignalInfo& signal, std::size_t number) {
    for (const heuristics::Source& source : signal.sources) {
      if (source.family.empty()) {
        break;
      }
      std::map<std::string, std::string> found;
      for (const std::string_view label : heuristics::kind_labels(signal.kind)) {
        found[std::string(label)] = label_of(label, number);
      }
      std::string_view rest = source.labels;
      while (!rest.empty()) {
        const std::string_view pair = rest.substr(0, rest.find(' '));
        rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
        found[std::string(pair.substr(0, pair.find('=')))] = pair.substr(pair.find('=') + 1);
      }
      std::string family(source.family);
      family += source.suffix.empty() ? "" : "|" + std::string(source.suffix);
      const Labels labels(found.begin(), found.end());
      const std::string collector(family.substr(0, family.find('_', 10)));
      const double value = value_of(signal, number);
      host_.set(collector, family, labels, value);
      if (signal.how == heuristics::How::kRate) {
        rates_.push_back({collector, family, labels, value});
      }
    }
  }

  // Busy, short of memory, and nobody quite like another.
  [[nodiscard]] double value_of(const heuristics::SignalInfo& signal, std::size_t number) const {
    using heuristics::Signal;
    const bool is_use = signal.kind == heuristics::Kind::kCgroup &&
                        signal.signal != Signal::kCgroupLimit &&
                        signal.signal != Signal::kCgroupHigh;
    const double calm = signal.how == heuristics::How::kRate || is_use ? 0.02 : 1;
    const double own =
        (1 + 0.01 * static_cast<double>(number)) * (number < size_.troubled ? 1 : calm);
    switch (signal.unit) {
      case heuristics::Unit::kCores:
        return 0.9 * own / (signal.name.find("idle") == std::string_view::npos ? 1 : 100);
      case heuristics::Unit::kRatio:
        return std::min(0.9 * own, 1.0);
      case heuristics::Unit::kBytes:
        return signal.name.find("otal") != std::string_view::npos ? 64e9 : 1e9 * own;
      case heuristics::Unit::kBytesPerSecond:
        return 2e7 * own;
      case heuristics::Unit::kPagesPerSecond:
        return 50'000 * own;
      case heuristics::Unit::kSeconds:
        return 2 * own;
      default:
        return 50 * own;
    }
  }

  LargeHostSize size_;
  FakeHost host_;
  std::vector<Rate> rates_;
};

}  // namespace tidegauge::testing
