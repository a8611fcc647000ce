// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a cgroup path says about who lives there. Pure text; paths are of untrusted origin.

#include <string>
#include <string_view>

#include "collectors/core/result.h"

namespace tidegauge {

struct CgroupIdentity {
  std::string unit;   // innermost systemd service or scope that is not a container: "nginx.service"
  std::string slice;  // innermost slice: "system.slice", "user-1000.slice"
  std::string
      container;        // full id as the runtime knows it, lower-case hex, or a name (lxc, nspawn)
  std::string runtime;  // "docker", "containerd", "podman", "cri-o", "lxc", "nspawn", ...
  std::string pod;      // Kubernetes pod uid with dashes
  friend bool operator==(const CgroupIdentity&, const CgroupIdentity&) = default;
};

// `path` is relative to the hierarchy's root ("/system.slice/docker-<id>.scope"). docker, containerd,
// podman, cri-o and Kubernetes with the cgroupfs and the systemd driver, on v1 and v2.
CgroupIdentity identify_cgroup(std::string_view path);

// Of /proc/PID/cgroup (several "id:controllers:path" lines on v1 and hybrid hosts, one "0::path" on
// v2) the path that tells most about the process: the deepest of the unified hierarchy, name=systemd,
// memory, cpu, pids, in that order of preference where equally telling. Malformed when no line is one.
Result<std::string_view> telling_cgroup_path(std::string_view proc_pid_cgroup);

}  // namespace tidegauge
