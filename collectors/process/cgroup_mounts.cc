// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/cgroup_mounts.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "collectors/core/text.h"
#include "collectors/process/cgroup_directory.h"
#include "collectors/process/cgroup_files_parse.h"
#include "collectors/procfs/mountinfo.h"

namespace tidegauge {

namespace {

constexpr std::array<std::pair<std::string_view, unsigned>, 5> kControllers{{
    {"memory", kCgroupMemory},
    {"cpu", kCgroupCpu},
    {"cpuacct", kCgroupCpuAcct},
    {"blkio", kCgroupBlkio},
    {"pids", kCgroupPids},
}};

// Of "rw,cpu,cpuacct" or "cpu,cpuacct".
unsigned controllers_of(std::string_view names) {
  unsigned out = 0;
  while (!names.empty()) {
    const auto comma = names.find(',');
    for (const auto& [name, bit] : kControllers) {
      out |= names.substr(0, comma) == name ? bit : 0;
    }
    names.remove_prefix(comma == std::string_view::npos ? names.size() : comma + 1);
  }
  return out;
}

// Collects hierarchies; a directory under a second name adds its controllers to the first.
class Hierarchies {
 public:
  void add(std::string path, unsigned controllers) {
    if (controllers == 0 || found_.size() == kMaxCgroupHierarchies) {
      return;
    }
    const auto directory = CgroupDirectory::open_root(path.c_str());
    if (!directory.valid()) {
      return;
    }
    const auto identity = directory.identity();
    const auto known = std::find(identities_.begin(), identities_.end(), identity);
    if (known != identities_.end()) {
      found_[static_cast<std::size_t>(known - identities_.begin())].controllers |= controllers;
      return;
    }
    // A controller is in one hierarchy; a second mount of it shows a part of the first.
    controllers &= ~controllers_;
    controllers_ |= controllers;
    if (controllers != 0) {
      identities_.push_back(identity);
      found_.push_back({std::move(path), controllers});
    }
  }
  [[nodiscard]] bool empty() const { return found_.empty(); }
  std::vector<CgroupHierarchy> take() { return std::move(found_); }

 private:
  std::vector<CgroupHierarchy> found_;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> identities_;
  unsigned controllers_ = 0;
};

// 41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
// 35 31 0:32 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
void add_mounted(const KernelFiles& files, std::string_view mountinfo, Hierarchies& out) {
  std::vector<MountInfo> mounts;
  if (!parse_mountinfo(mountinfo, mounts)) {
    return;  // the mounts' own collector complains
  }
  const auto is_usual = [](const MountInfo& mount) {
    return mount.mount_point.find("/sys/fs/cgroup") != std::string_view::npos;
  };
  // Network plug-ins and agents mount hierarchies a second time elsewhere.
  std::stable_partition(mounts.begin(), mounts.end(), is_usual);
  for (const MountInfo& mount : mounts) {
    const unsigned controllers = mount.fs_type == "cgroup2"  ? unsigned{kCgroupUnified}
                                 : mount.fs_type == "cgroup" ? controllers_of(mount.super_options)
                                                             : 0;
    if (controllers != 0) {
      out.add(files.root(files.strip_root(unescape_octal(mount.mount_point))), controllers);
    }
  }
}

void add_usual_places(const KernelFiles& files, Hierarchies& out) {
  const std::string base = files.sys("fs/cgroup");
  const auto is_unified = [](const std::string& path) {
    ReadBuffer buffer;
    return read_file(path + "/cgroup.controllers", buffer, kMaxSmallFileBytes).has_value();
  };
  if (is_unified(base)) {
    out.add(base, kCgroupUnified);
    return;
  }
  const auto names = list_directory(base);
  if (!names) {
    return;
  }
  for (const std::string& name : *names) {
    std::string path = base;
    path.append("/").append(name);
    out.add(path, name == "unified" && is_unified(path) ? unsigned{kCgroupUnified}
                                                        : controllers_of(name));
  }
}

}  // namespace

Result<std::vector<CgroupHierarchy>> find_cgroup_hierarchies(const KernelFiles& files,
                                                             ReadBuffer& buffer) {
  Hierarchies found;
  for (const std::string_view process : {"1/mountinfo", "self/mountinfo"}) {
    if (const auto text = files.proc_file(process).read_lines(buffer)) {
      add_mounted(files, *text, found);
    }
    if (!found.empty()) {
      return found.take();
    }
  }
  add_usual_places(files, found);
  if (found.empty()) {
    return tl::make_unexpected(
        Error{ErrorKind::kMissing, 0, "no cgroup hierarchy with a controller is mounted"});
  }
  return found.take();
}

}  // namespace tidegauge
