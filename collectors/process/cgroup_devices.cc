// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/cgroup_devices.h"

#include <algorithm>

#include "collectors/block/diskstats.h"

namespace tidegauge {

std::string_view CgroupDeviceNames::name(const CgroupDevice& device) {
  const auto known = std::find_if(known_.begin(), known_.end(),
                                  [&](const Known& one) { return one.device == device; });
  if (known != known_.end()) {
    return known->name;
  }
  std::string number = std::to_string(device.major) + ":" + std::to_string(device.minor);
  std::string found = find(device, number);
  // A name is a label: two devices of one name would be one series twice.
  const bool usable = !found.empty() && found.find(':') == std::string::npos &&
                      std::none_of(known_.begin(), known_.end(),
                                   [&](const Known& one) { return one.name == found; });
  known_.push_back({device, usable ? std::move(found) : std::move(number)});
  return known_.back().name;
}

// sysfs writes '!' where a device's name has '/' (cciss!c0d0).
std::string CgroupDeviceNames::find(const CgroupDevice& device, std::string_view number) const {
  if (const auto link = read_link(files_.sys("dev/block/" + std::string(number)))) {
    std::string name = link->substr(link->rfind('/') + 1);
    std::replace(name.begin(), name.end(), '!', '/');
    return name;
  }
  ReadBuffer buffer;
  std::vector<DiskStats> disks;
  const auto text = files_.proc_file("diskstats").read_lines(buffer);
  if (!text || !parse_diskstats(*text, disks)) {
    return {};
  }
  const auto at = std::find_if(disks.begin(), disks.end(), [&](const DiskStats& disk) {
    return disk.major == device.major && disk.minor == device.minor;
  });
  return at == disks.end() ? std::string() : std::string(at->name);
}

}  // namespace tidegauge
