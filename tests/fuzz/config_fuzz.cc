// SPDX-License-Identifier: Apache-2.0
// Configuration files: any bytes give a configuration or a one-line error, in bounded time.

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "collectors/registry.h"
#include "daemon/config/load.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const int file = ::memfd_create("tidegauge-fuzz", 0);
  static const std::string path = "/proc/self/fd/" + std::to_string(file);
  if (::ftruncate(file, 0) != 0 || ::pwrite(file, data, size, 0) != static_cast<ssize_t>(size)) {
    return 0;
  }
  tidegauge::CommandLine command_line;
  command_line.config_file = path;
  const auto config = tidegauge::load_config(command_line, tidegauge::all_collectors());
  if (!config &&
      (config.error().message.empty() || config.error().message.find('\n') != std::string::npos)) {
    std::abort();
  }
  return 0;
}
