// SPDX-License-Identifier: Apache-2.0
#pragma once

// Walks the cgroups of all hierarchies at once, breadth first and by name, so that what a limit cuts
// off are the deepest. A path that several v1 hierarchies have is one cgroup.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/core/filter.h"
#include "collectors/process/cgroup_directory.h"

namespace tidegauge {

struct CgroupLimits {
  std::size_t max_cgroups = 0;
  std::size_t max_depth = 0;  // of the root: 0
};

struct CgroupWalkCounts {
  std::uint64_t left_out = 0;    // met, wanted, and beyond a limit; their descendants are not met
  std::uint64_t unreadable = 0;  // could not be opened, though they are there
};

// Not thread-safe; keeps its memory between runs.
class CgroupWalk {
 public:
  // `path` begins with a slash; `directories` are parallel to the roots, invalid where a hierarchy has
  // no such cgroup.
  using Visit =
      std::function<void(const std::string& path, std::span<const CgroupDirectory> directories)>;

  CgroupWalk(CgroupLimits limits, NameFilter filter)
      : limits_(limits), filter_(std::move(filter)) {}

  CgroupWalkCounts run(std::span<const CgroupDirectory> roots, const Visit& visit);

 private:
  struct Node {
    std::string path;
    unsigned hierarchies = 0;  // a bit per root
    std::size_t depth = 0;
    bool wanted = false;  // else only its descendants may be
  };
  struct Child {
    std::size_t offset = 0;  // into names_
    std::size_t length = 0;
    unsigned hierarchies = 0;
  };

  void enqueue(unsigned hierarchies, std::size_t depth);
  bool open(const Node& node, std::span<const CgroupDirectory> roots);
  void list_children();
  void enqueue_children(std::size_t parent);
  [[nodiscard]] std::string_view name_of(const Child& child) const {
    return std::string_view(names_).substr(child.offset, child.length);
  }

  CgroupLimits limits_;
  NameFilter filter_;
  CgroupWalkCounts counts_;
  std::vector<Node> nodes_;  // the first used_ are of this run
  std::size_t used_ = 0;
  std::size_t wanted_ = 0;
  std::vector<CgroupDirectory> directories_;
  std::vector<Child> children_;
  std::string names_;
  std::string path_;  // of the node to enqueue
};

}  // namespace tidegauge
