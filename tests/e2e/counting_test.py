#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The child that has the kernel count what BPF programs cost: what it may do, when it counts, and that it ends."""

import os
import re
import signal
import unittest
from pathlib import Path

import harness
from harness import wait_until

LONG = os.environ.get("TIDEGAUGE_E2E_LONG")


class RunTimeCountingTest(harness.TestCase):
    def helper(self, daemon):
        """Its pid; None without one."""
        for pid in Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split():
            if Path(f"/proc/{pid}/comm").read_text() == "bpf-stats\n":
                return int(pid)
        return None

    def start_counting(self, *flags):
        if os.geteuid() != 0:
            self.skipTest("needs root")
        daemon = self.start(*flags)
        wait_until(lambda: daemon.value("tidegauge_ebpf_run_time_counted") is not None, 5, "a run of the collector")
        if daemon.value("tidegauge_ebpf_run_time_counted") != 1:
            self.skipTest("the kernel does not count")
        return daemon

    def assert_gone(self, pid):
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), 10, "the end of the child")  # at once, unless the host is busy

    def test_the_child_can_do_nothing_else(self):
        daemon = self.start_counting()
        helper = self.helper(daemon)
        status = dict(re.findall(r"^(\w+):\t(.*)$", Path(f"/proc/{helper}/status").read_text(), re.MULTILINE))
        sys_admin = f"{1 << 21:016x}"
        self.assertEqual([status[key] for key in ("CapPrm", "CapEff", "CapInh", "Seccomp", "NoNewPrivs")],
                         [sys_admin, sys_admin, f"{0:016x}", "2", "1"])
        kinds = [os.readlink(f"/proc/{helper}/fd/{fd}").split(":")[0] for fd in os.listdir(f"/proc/{helper}/fd")]
        self.assertEqual(set(kinds) - {"anon_inode"}, {"socket"})
        wait_until(lambda: daemon.value("tidegauge_ebpf_cpu_ratio") is not None, 15, "what the programs cost")
        self.assertEqual(daemon.value("tidegauge_ebpf_run_time_counted"), 1)
        wait_until(lambda: len(os.listdir(f"/proc/{helper}/fd")) == 1, 2, "the end of the window")
        self.assert_ends_well(daemon)
        self.assert_gone(helper)

    def test_it_ends_with_a_daemon_that_is_killed(self):
        daemon = self.start_counting()
        helper = self.helper(daemon)
        daemon.signal(signal.SIGKILL)
        self.assert_gone(helper)

    def test_without_it_nothing_is_counted(self):
        daemon = self.start_counting("--collector.ebpf.interval=1s")
        os.kill(self.helper(daemon), signal.SIGKILL)
        daemon.wait_value(0, "tidegauge_ebpf_run_time_counted", 10)
        wait_until(lambda: self.helper(daemon) is None, 2, "no zombie")
        self.assert_ends_well(daemon)

    def test_a_reload_keeps_it(self):
        daemon = self.start_counting("--collector.ebpf.interval=1s")
        helper = self.helper(daemon)
        for count in (1, 2):
            daemon.signal(signal.SIGHUP)
            daemon.wait_log("configuration reloaded", count=count)
        self.assertEqual(self.helper(daemon), helper)
        wait_until(lambda: daemon.value("tidegauge_ebpf_cpu_ratio") is not None, 15, "what the programs cost")
        self.assertEqual(daemon.value("tidegauge_ebpf_run_time_counted"), 1)

    @unittest.skipUnless(LONG, "TIDEGAUGE_E2E_LONG is not set: `make ebpf-long`")
    def test_over_the_budget_the_window_stays_open(self):
        daemon = self.start_counting("--collector.ebpf.budget-ppm=1", "--collector.ebpf.interval=1s")
        wait_until(lambda: (daemon.value("tidegauge_ebpf_shed_features_total") or 0) >= 1, 30, "a feature that goes", pause=0.5)

    def test_always_and_off(self):
        daemon = self.start_counting("--collector.ebpf.statistics=always")
        self.assertIsNone(self.helper(daemon))
        off = self.start("--collector.ebpf.statistics=off")
        self.assertIsNone(self.helper(off))
        wait_until(lambda: off.value("tidegauge_ebpf_run_time_counted") is not None, 5, "a run of the collector")
        with open("/proc/sys/kernel/bpf_stats_enabled", encoding="utf-8") as switch:
            self.assertEqual(off.value("tidegauge_ebpf_run_time_counted"), int(switch.read()))


if __name__ == "__main__":
    harness.main()
