// SPDX-License-Identifier: Apache-2.0
#pragma once

// The forms that files of cgroups have, and which file of which controller holds what. Pure text:
// a parser fills its part of a sample or returns malformed, and then what it filled is void.

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "collectors/core/result.h"
#include "collectors/process/cgroup_stats.h"

namespace tidegauge {

// What a hierarchy offers: bits of CgroupHierarchy::controllers.
enum CgroupHierarchyBit : unsigned {
  kCgroupUnified = 1U,
  kCgroupMemory = 2U,
  kCgroupCpu = 4U,
  kCgroupCpuAcct = 8U,
  kCgroupBlkio = 16U,
  kCgroupPids = 32U,
};

using CgroupParser = Result<void> (*)(std::string_view text, CgroupSample& out);

struct CgroupFile {
  const char* name;     // in the cgroup's directory
  unsigned controller;  // of the hierarchy that has it
  CgroupParser parse;
  const char* instead = nullptr;  // read when there is no `name`
  // A controller is on v1 or on v2: where v1 has one of these, v2 has no such file.
  unsigned v1_controllers = 0;
};

// In reading order. Where two files tell the same the later one counts.
std::span<const CgroupFile> cgroup_v2_files();
std::span<const CgroupFile> cgroup_v1_files();

// One "key number" line of a flat keyed file; the number is stored times `factor`.
struct CgroupKey {
  std::string_view key;
  std::optional<std::uint64_t> CgroupStats::*member;
  std::uint64_t factor = 1;
};

// Lines of other keys are passed over; a file without any of `keys` is malformed.
Result<void> parse_cgroup_keys(std::string_view file, std::string_view text,
                               std::span<const CgroupKey> keys, CgroupStats& out);

// A file of one number; "max" is none.
Result<std::optional<std::uint64_t>> parse_cgroup_value(std::string_view file,
                                                        std::string_view text);

// "8:16"
std::optional<CgroupDevice> parse_cgroup_device(std::string_view field);

// The device's entry, made when there is none yet; null beyond kMaxCgroupDevices.
CgroupIo* find_cgroup_device(CgroupSample& sample, const CgroupDevice& device);

}  // namespace tidegauge
