// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a cgroup path says about who lives there. Pure text; paths are of untrusted origin: whoever may
// make a cgroup can name it like a container, so this is a label and never a proof.

#include <string>
#include <string_view>

#include "collectors/core/result.h"

namespace tidegauge {

struct CgroupIdentity {
  std::string unit{};   // innermost systemd unit that is no slice and no container: "nginx.service"
  std::string slice{};  // innermost slice: "system.slice", "user-1000.slice"
  std::string
      container{};  // innermost; the full id as the runtime knows it, or a name (lxc, nspawn)
  // "docker", "containerd", "podman", "cri-o", "lxc", "nspawn", "ecs", "libvirt-lxc", "libvirt-qemu";
  // empty where the path has an id and nothing of who made it (kubepods/.../<id>).
  std::string runtime{};
  std::string pod{};  // Kubernetes pod uid with dashes
  // Below user.slice: the names of what lives there are a user's own choice, or tell who it is.
  bool of_user = false;
  friend bool operator==(const CgroupIdentity&, const CgroupIdentity&) = default;
};

// `path` is relative to the hierarchy's root ("/system.slice/docker-<id>.scope"), of any length, with
// or without the " (deleted)" of /proc/PID/cgroup. docker, containerd, podman, cri-o and Kubernetes
// with the cgroupfs and the systemd driver, on v1 and v2. Helpers that sit outside their container
// (conmon, lxc.monitor) are not members of it.
CgroupIdentity identify_cgroup(std::string_view path);

// Of /proc/PID/cgroup (several "id:controllers:path" lines on v1 and hybrid hosts, one "0::path" on
// v2) the path that tells most about the process: one with a container before one with a unit before
// others, then the deeper one, then in the order unified, name=systemd, memory, cpu, pids, others.
// Points into the text. Lines of another form are passed over; malformed when no line is left.
Result<std::string_view> telling_cgroup_path(std::string_view proc_pid_cgroup);

}  // namespace tidegauge
