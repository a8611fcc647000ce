// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "collectors/core/collector.h"

namespace tidegauge {

// /proc/sys/fs/file-nr (fs/file_table.c): allocated, free (0 since 2.6), maximum.
struct FileDescriptors {
  std::uint64_t allocated = 0;
  std::uint64_t maximum = 0;
};

Result<FileDescriptors> parse_file_nr(std::string_view text);

extern const CollectorInfo kFilefdCollector;

}  // namespace tidegauge
