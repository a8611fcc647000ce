// SPDX-License-Identifier: Apache-2.0
#include "collectors/block/disk_info.h"

#include <algorithm>
#include <array>

#include "collectors/core/text.h"

namespace tidegauge {

namespace {

struct Property {
  std::string_view key;
  std::string UdevDisk::*member;
};

constexpr Property kProperties[] = {
    {"ID_PATH", &UdevDisk::path},
    {"ID_WWN", &UdevDisk::wwn},
    {"ID_MODEL", &UdevDisk::model},
    {"ID_REVISION", &UdevDisk::revision},
    {"SCSI_IDENT_SERIAL", &UdevDisk::scsi_serial},
    {"ID_SERIAL_SHORT", &UdevDisk::short_serial},
    {"ID_SERIAL", &UdevDisk::serial},
    {"ID_FS_TYPE", &UdevDisk::fs_type},
    {"ID_FS_USAGE", &UdevDisk::fs_usage},
    {"ID_FS_UUID", &UdevDisk::fs_uuid},
    {"ID_FS_VERSION", &UdevDisk::fs_version},
    {"DM_NAME", &UdevDisk::dm_name},
    {"DM_UUID", &UdevDisk::dm_uuid},
    {"DM_VG_NAME", &UdevDisk::dm_vg_name},
    {"DM_LV_NAME", &UdevDisk::dm_lv_name},
    {"DM_LV_LAYER", &UdevDisk::dm_lv_layer},
    {"ID_ATA", &UdevDisk::ata},
    {"ID_ATA_WRITE_CACHE", &UdevDisk::ata_write_cache},
    {"ID_ATA_WRITE_CACHE_ENABLED", &UdevDisk::ata_write_cache_enabled},
    {"ID_ATA_ROTATION_RATE_RPM", &UdevDisk::ata_rotation_rate_rpm},
};

struct Family {
  std::string_view name;
  std::string_view help;
  std::vector<std::string> labels;
  NumberType type = NumberType::kUnsigned;
};

enum FamilyIndex : std::size_t {
  kInfo,
  kFilesystem,
  kDeviceMapper,
  kWriteCache,
  kWriteCacheEnabled,
  kRotationRate,
};

std::array<Family, 6> families() {
  return {{
      {"node_disk_info",
       "Identity of the disk as sysfs and udev know it; always 1.",
       {"device", "major", "minor", "path", "wwn", "model", "serial", "revision", "rotational"}},
      {"node_disk_filesystem_info",
       "File system that udev found on the device; always 1.",
       {"device", "type", "usage", "uuid", "version"}},
      {"node_disk_device_mapper_info",
       "Device mapper and LVM names of the device; always 1.",
       {"device", "name", "uuid", "vg_name", "lv_name", "lv_layer"}},
      {"node_disk_ata_write_cache",
       "Whether the ATA disk has a write cache.",
       {"device"},
       NumberType::kReal},
      {"node_disk_ata_write_cache_enabled",
       "Whether the write cache of the ATA disk is in use.",
       {"device"},
       NumberType::kReal},
      {"node_disk_ata_rotation_rate_rpm",
       "Rotation rate of the ATA disk in revolutions per minute, 0 for solid state.",
       {"device"},
       NumberType::kReal},
  }};
}

ValueTable value_table(FamilyIndex index) {
  Family family = families()[index];
  return ValueTable(std::string(family.name), std::string(family.help), MetricKind::kGauge,
                    std::move(family.labels), {}, family.type);
}

void add_number(ValueTable& table, std::string_view device, std::string_view text) {
  if (const auto value = parse_real(text)) {
    table.add_real({device}, *value);
  }
}

}  // namespace

// S:disk/by-id/ata-ST500
// I:73815117
// E:ID_ATA=1
// E:ID_MODEL=ST500
// G:systemd
UdevDisk parse_udev_disk(std::string_view text) {
  UdevDisk out;
  LineReader lines(text);
  for (std::string_view line; lines.next(line);) {
    if (!line.starts_with("E:")) {
      continue;
    }
    line.remove_prefix(2);
    const auto equals = line.find('=');
    if (equals == std::string_view::npos) {
      continue;
    }
    for (const Property& property : kProperties) {
      if (property.key == line.substr(0, equals)) {
        (out.*property.member).assign(line.substr(equals + 1));
      }
    }
  }
  return out;
}

DiskInfo::DiskInfo(KernelFiles files)
    : files_(std::move(files)),
      info_(value_table(kInfo)),
      filesystem_(value_table(kFilesystem)),
      device_mapper_(value_table(kDeviceMapper)),
      write_cache_(value_table(kWriteCache)),
      write_cache_enabled_(value_table(kWriteCacheEnabled)),
      rotation_rate_(value_table(kRotationRate)) {}

void DiskInfo::refresh(const std::vector<DiskName>& disks, ReadBuffer& buffer) {
  const std::array tables{&info_,        &filesystem_,          &device_mapper_,
                          &write_cache_, &write_cache_enabled_, &rotation_rate_};
  for (ValueTable* table : tables) {
    table->begin();
  }
  for (const DiskName& disk : disks) {
    const auto text = read_file(
        files_.udev("b" + std::to_string(disk.major) + ":" + std::to_string(disk.minor)), buffer);
    add(disk, text ? parse_udev_disk(*text) : UdevDisk{});
  }
  tables_.clear();
  for (ValueTable* table : tables) {
    tables_.push_back(table->take());
    if (tables_.back().shape->rows.empty()) {
      tables_.pop_back();
    }
  }
}

void DiskInfo::add(const DiskName& disk, const UdevDisk& udev) {
  // The SCSI serial is what the disk's label says; virtio disks have only the long one.
  const std::string& serial = !udev.scsi_serial.empty()    ? udev.scsi_serial
                              : !udev.short_serial.empty() ? udev.short_serial
                                                           : udev.serial;
  info_.add({disk.name, std::to_string(disk.major), std::to_string(disk.minor), udev.path, udev.wwn,
             udev.model, serial, udev.revision, rotational(disk)},
            1);
  if (!udev.fs_type.empty()) {
    filesystem_.add({disk.name, udev.fs_type, udev.fs_usage, udev.fs_uuid, udev.fs_version}, 1);
  }
  if (!udev.dm_name.empty()) {
    device_mapper_.add(
        {disk.name, udev.dm_name, udev.dm_uuid, udev.dm_vg_name, udev.dm_lv_name, udev.dm_lv_layer},
        1);
  }
  if (!udev.ata.empty()) {
    add_number(write_cache_, disk.name, udev.ata_write_cache);
    add_number(write_cache_enabled_, disk.name, udev.ata_write_cache_enabled);
    add_number(rotation_rate_, disk.name, udev.ata_rotation_rate_rpm);
  }
}

// "0" also for partitions, which have no queue of their own: node_exporter says the same.
std::string_view DiskInfo::rotational(const DiskName& disk) const {
  std::string name(disk.name);
  std::replace(name.begin(), name.end(), '/', '!');  // cciss/c0d0 is cciss!c0d0 in sysfs
  const auto value = read_unsigned_attribute(files_.sys("block/" + name + "/queue/rotational"));
  return value && *value != 0 ? "1" : "0";
}

void DiskInfo::append(Section& out) const {
  out.tables.insert(out.tables.end(), tables_.begin(), tables_.end());
}

std::vector<MetricDoc> DiskInfo::documentation() {
  std::vector<MetricDoc> docs;
  for (Family& family : families()) {
    docs.push_back({std::string(family.name), MetricKind::kGauge, std::move(family.labels),
                    std::string(family.help)});
  }
  return docs;
}

}  // namespace tidegauge
