// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/cgroup_walk.h"

#include <algorithm>
#include <cerrno>

namespace tidegauge {

namespace {

// Unwanted ones that are looked through for wanted ones below.
constexpr std::size_t kMaxPassed = 10'000;
// Names of one directory that are held at a time.
constexpr std::size_t kMaxChildren = 65'536;

}  // namespace

CgroupWalkCounts CgroupWalk::run(std::span<const CgroupDirectory> roots, const Visit& visit) {
  counts_ = {};
  used_ = 0;
  wanted_ = 0;
  path_.assign(1, '/');
  enqueue((1U << roots.size()) - 1, 0);
  for (std::size_t i = 0; i < used_; ++i) {
    if (!open(nodes_[i], roots)) {
      continue;
    }
    if (nodes_[i].wanted) {
      visit(nodes_[i].path, directories_);
    }
    list_children();
    enqueue_children(i);
  }
  directories_.clear();
  return counts_;
}

void CgroupWalk::enqueue(unsigned hierarchies, std::size_t depth) {
  const bool wanted = !filter_.ignores(path_);
  const bool full = wanted ? wanted_ == limits_.max_cgroups : used_ - wanted_ == kMaxPassed;
  if (full || depth > limits_.max_depth) {
    counts_.left_out += wanted ? 1 : 0;
    return;
  }
  if (used_ == nodes_.size()) {
    nodes_.emplace_back();
  }
  Node& node = nodes_[used_++];
  node.path.assign(path_);
  node.hierarchies = hierarchies;
  node.depth = depth;
  node.wanted = wanted;
  wanted_ += wanted ? 1 : 0;
}

// False when the cgroup has left every hierarchy.
bool CgroupWalk::open(const Node& node, std::span<const CgroupDirectory> roots) {
  const char* const relative = node.path.size() == 1 ? "." : node.path.c_str() + 1;
  bool any = false;
  bool unreadable = false;
  directories_.clear();
  for (std::size_t i = 0; i < roots.size(); ++i) {
    CgroupDirectory& directory = directories_.emplace_back();
    if (((node.hierarchies >> i) & 1U) != 0) {
      directory = roots[i].open_below(relative);
      const int failed = directory.valid() ? 0 : errno;
      unreadable = unreadable || (failed != 0 && failed != ENOENT && failed != ENODEV);
      any = any || directory.valid();
    }
  }
  counts_.unreadable += unreadable ? 1 : 0;
  return any;
}

void CgroupWalk::list_children() {
  children_.clear();
  names_.clear();
  for (std::size_t i = 0; i < directories_.size(); ++i) {
    if (!directories_[i].valid() || directories_[i].is_leaf()) {
      continue;
    }
    directories_[i].for_each_child([&](std::string_view name) {
      if (children_.size() == kMaxChildren) {
        ++counts_.left_out;
        return;
      }
      children_.push_back({names_.size(), name.size(), 1U << i});
      names_.append(name);
    });
  }
  std::sort(children_.begin(), children_.end(),
            [&](const Child& a, const Child& b) { return name_of(a) < name_of(b); });
}

void CgroupWalk::enqueue_children(std::size_t parent) {
  for (std::size_t i = 0; i < children_.size();) {
    const std::string_view name = name_of(children_[i]);
    unsigned hierarchies = 0;
    for (; i < children_.size() && name_of(children_[i]) == name; ++i) {
      hierarchies |= children_[i].hierarchies;
    }
    path_.assign(nodes_[parent].path.size() == 1 ? "" : nodes_[parent].path);
    path_.append("/").append(name);
    enqueue(hierarchies, nodes_[parent].depth + 1);
  }
}

}  // namespace tidegauge
