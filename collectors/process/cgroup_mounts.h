// SPDX-License-Identifier: Apache-2.0
#pragma once

// Where this host's cgroup hierarchies are mounted: one on v2, one per controller group on v1, both
// kinds on hybrid hosts.

#include <string>
#include <vector>

#include "collectors/core/kernel_files.h"
#include "collectors/core/result.h"

namespace tidegauge {

struct CgroupHierarchy {
  std::string path;          // of its root, as this process opens it
  unsigned controllers = 0;  // CgroupHierarchyBit
};

inline constexpr std::size_t kMaxCgroupHierarchies = 8;

// From init's mountinfo (the own one where init's is hidden) below --path.rootfs; where that names
// none, as in a container that sees another mount table, from fs/cgroup below --path.sysfs. Missing
// when nothing is mounted. Only hierarchies with something to read, each once.
Result<std::vector<CgroupHierarchy>> find_cgroup_hierarchies(const KernelFiles& files,
                                                             ReadBuffer& buffer);

}  // namespace tidegauge
