// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "daemon/service/log.h"

namespace tidegauge {

// Writes a line for each feature of BPF programs whose tier has changed. One thread.
class EbpfLog {
 public:
  explicit EbpfLog(Log& log) : log_(&log) {}
  // Cheap while nothing changes.
  void update();

 private:
  Log* log_;
  std::uint64_t changes_ = 0;
  std::map<std::string, std::string> told_;  // feature: tier and reason
};

}  // namespace tidegauge
