// SPDX-License-Identifier: Apache-2.0
#pragma once

// What of a unit's, container's or pod's name may leave the host: the one place that decides it, for
// labels and for names of groups alike. Pure.
//
//   shown as it is   services and scopes of the system ("nginx.service"), ids of container engines, uids of pods
//   hidden in part   the instance of a template: "backup@home-alice.service" is "backup@h:....service"
//   hidden           units of types that encode paths or devices (.mount, .swap, .automount, .socket,
//                    .device, .path, and any other type), everything below user.slice, names that
//                    somebody gave a machine (lxc, nspawn, libvirt)
//
// A service that the host's administrator named after a user ("jupyter-alice.service") stays visible:
// nothing in the name tells.

#include "collectors/core/privacy.h"
#include "collectors/process/cgroup_identity.h"

namespace tidegauge {

CgroupIdentity shown_identity(const PrivacyFilter& privacy, const CgroupIdentity& identity);

}  // namespace tidegauge
