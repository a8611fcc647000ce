// SPDX-License-Identifier: Apache-2.0
#pragma once

// What udev and sysfs say about disks, as info families. Reading it costs two files per disk, so
// the collector refreshes it rarely and shows the same tables in between.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/core/collector.h"

namespace tidegauge {

// The device properties of a udev database file (src/libsystemd/sd-device in systemd writes them)
// that become labels or values; empty when the file lacks them.
struct UdevDisk {
  std::string path;                     // ID_PATH
  std::string wwn;                      // ID_WWN
  std::string model;                    // ID_MODEL
  std::string revision;                 // ID_REVISION
  std::string scsi_serial;              // SCSI_IDENT_SERIAL
  std::string short_serial;             // ID_SERIAL_SHORT
  std::string serial;                   // ID_SERIAL
  std::string fs_type;                  // ID_FS_TYPE
  std::string fs_usage;                 // ID_FS_USAGE
  std::string fs_uuid;                  // ID_FS_UUID
  std::string fs_version;               // ID_FS_VERSION
  std::string dm_name;                  // DM_NAME
  std::string dm_uuid;                  // DM_UUID
  std::string dm_vg_name;               // DM_VG_NAME
  std::string dm_lv_name;               // DM_LV_NAME
  std::string dm_lv_layer;              // DM_LV_LAYER
  std::string ata;                      // ID_ATA
  std::string ata_write_cache;          // ID_ATA_WRITE_CACHE
  std::string ata_write_cache_enabled;  // ID_ATA_WRITE_CACHE_ENABLED
  std::string ata_rotation_rate_rpm;    // ID_ATA_ROTATION_RATE_RPM
};

// Lines that are not "E:KEY=VALUE" with a wanted key are skipped; the last of equal keys counts.
UdevDisk parse_udev_disk(std::string_view text);

struct DiskName {
  std::string_view name;
  std::uint32_t major = 0;
  std::uint32_t minor = 0;
};

class DiskInfo {
 public:
  explicit DiskInfo(KernelFiles files);
  // Reads everything anew. A missing or unreadable file leaves its labels empty.
  void refresh(const std::vector<DiskName>& disks, ReadBuffer& buffer);
  void append(Section& out) const;

  static std::vector<MetricDoc> documentation();

 private:
  void add(const DiskName& disk, const UdevDisk& udev);
  [[nodiscard]] std::string_view rotational(const DiskName& disk) const;

  KernelFiles files_;
  ValueTable info_;
  ValueTable filesystem_;
  ValueTable device_mapper_;
  ValueTable write_cache_;
  ValueTable write_cache_enabled_;
  ValueTable rotation_rate_;
  std::vector<Table> tables_;
};

}  // namespace tidegauge
