// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/block_devices.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "collectors/core/text.h"

namespace tidegauge {

namespace {

constexpr unsigned kMinorBits = 20;  // MINORBITS in include/linux/kdev_t.h
constexpr std::uint32_t kMinorMask = (1U << kMinorBits) - 1;
constexpr int kMaxDepth = 8;  // dm on dm on md

std::uint32_t number_of(std::uint32_t major, std::uint32_t minor) {
  return major << kMinorBits | (minor & kMinorMask);
}

std::string text_of(std::uint32_t number) {
  return std::to_string(number >> kMinorBits) + ":" + std::to_string(number & kMinorMask);
}

}  // namespace

std::optional<std::uint32_t> parse_device_number(std::string_view text) {
  text = trim(text);
  const auto colon = text.find(':');
  if (colon == std::string_view::npos) {
    return std::nullopt;
  }
  const auto major = parse_unsigned(text.substr(0, colon));
  const auto minor = parse_unsigned(text.substr(colon + 1));
  if (!major || !minor || *major >= 1U << (32 - kMinorBits) || *minor > kMinorMask) {
    return std::nullopt;
  }
  return number_of(static_cast<std::uint32_t>(*major), static_cast<std::uint32_t>(*minor));
}

BlockDevices::BlockDevices(const KernelFiles& files)
    : files_(files), diskstats_(files.proc_file("diskstats")) {}

Result<void> BlockDevices::refresh(ReadBuffer& buffer) {
  const auto text = diskstats_.read_lines(buffer);
  if (!text) {
    return tl::make_unexpected(text.error());
  }
  if (auto parsed = parse_diskstats(*text, parsed_); !parsed) {
    return parsed;
  }
  bool same = parsed_.size() == names_.size();
  for (const DiskStats& disk : parsed_) {
    const auto known = names_.find(number_of(disk.major, disk.minor));
    same = same && known != names_.end() && known->second == disk.name;
  }
  if (!same) {
    names_.clear();
    below_.clear();
    for (const DiskStats& disk : parsed_) {
      names_.insert_or_assign(number_of(disk.major, disk.minor), std::string(disk.name));
    }
  }
  return {};
}

bool BlockDevices::is_present(std::uint32_t number, std::string_view name) const {
  if ((number & TG_HIDDEN_DEVICE) != 0) {
    return true;
  }
  const auto at = names_.find(number);
  return at != names_.end() && at->second == name;
}

std::optional<std::uint64_t> BlockDevices::in_progress(std::uint32_t number) const {
  const auto at = std::find_if(parsed_.begin(), parsed_.end(), [number](const DiskStats& disk) {
    return number_of(disk.major, disk.minor) == number;
  });
  if (at == parsed_.end()) {
    return std::nullopt;
  }
  const auto counts =
      read_unsigned_attribute(files_.sys("dev/block/" + text_of(number) + "/queue/iostats"));
  return counts && *counts == 1 ? std::optional(at->in_progress) : std::nullopt;
}

std::optional<std::uint32_t> BlockDevices::read_number(const std::string& path) {
  const auto text = read_file(path, small_, kMaxSmallFileBytes);
  return text ? parse_device_number(*text) : std::nullopt;
}

void BlockDevices::find_below(std::uint32_t number, int depth, std::vector<std::uint32_t>& out) {
  const std::string here = files_.sys("dev/block/" + text_of(number));
  std::error_code error;
  if (std::filesystem::exists(here + "/partition", error)) {
    // The link leads into the disk's own folder.
    const auto disk = read_number(here + "/../dev");
    if (disk && *disk != number && depth < kMaxDepth) {
      find_below(*disk, depth + 1, out);
      return;
    }
  }
  std::size_t found = 0;
  for (const auto& slave : std::filesystem::directory_iterator(here + "/slaves", error)) {
    const auto below = read_number(slave.path().string() + "/dev");
    if (below && depth < kMaxDepth) {
      find_below(*below, depth + 1, out);
      ++found;
    }
  }
  if (found == 0) {
    out.push_back(number);
  }
}

const std::vector<std::uint32_t>& BlockDevices::disks_below(std::uint32_t number) {
  auto at = below_.find(number);
  if (at == below_.end()) {
    std::vector<std::uint32_t> disks;
    find_below(number, 0, disks);
    at = below_.insert_or_assign(number, std::move(disks)).first;
  }
  return at->second;
}

}  // namespace tidegauge
