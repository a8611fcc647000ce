// SPDX-License-Identifier: Apache-2.0
#include "daemon/config/peer_flags.h"

#include <algorithm>

namespace tidegauge {

namespace {

constexpr IgnoredFlag kIgnored[] = {
    {"runtime.gomaxprocs", "collectors run on one thread anyway"},
};

// Linux collectors of node_exporter 1.11. Those that the registry has never get here.
constexpr std::string_view kPeerCollectors[] = {
    "arp",          "bcache",
    "bcachefs",     "bonding",
    "btrfs",        "buddyinfo",
    "cgroups",      "conntrack",
    "cpu",          "cpu_vulnerabilities",
    "cpufreq",      "diskstats",
    "dmi",          "drbd",
    "drm",          "edac",
    "entropy",      "ethtool",
    "fibrechannel", "filefd",
    "filesystem",   "hwmon",
    "infiniband",   "interrupts",
    "ipvs",         "kernel_hung",
    "ksmd",         "lnstat",
    "loadavg",      "logind",
    "mdadm",        "meminfo",
    "meminfo_numa", "mountstats",
    "netclass",     "netdev",
    "netstat",      "network_route",
    "nfs",          "nfsd",
    "ntp",          "nvme",
    "os",           "pcidevice",
    "perf",         "powersupplyclass",
    "pressure",     "processes",
    "qdisc",        "rapl",
    "runit",        "schedstat",
    "selinux",      "slabinfo",
    "sockstat",     "softirqs",
    "softnet",      "stat",
    "supervisord",  "swap",
    "sysctl",       "systemd",
    "tapestats",    "tcpstat",
    "textfile",     "thermal_zone",
    "time",         "timex",
    "udp_queues",   "uname",
    "vmstat",       "watchdog",
    "wifi",         "xfrm",
    "xfs",          "zfs",
    "zoneinfo",
};

}  // namespace

std::span<const IgnoredFlag> ignored_flags() { return kIgnored; }

bool is_peer_collector(std::string_view name) {
  return std::ranges::find(kPeerCollectors, name) != std::end(kPeerCollectors);
}

}  // namespace tidegauge
