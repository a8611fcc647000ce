# SPDX-License-Identifier: Apache-2.0
"""Requests of block devices and whose they are, on a kernel of a release that people run."""

import sys

from lab import Daemon, LabTest
from vm import Disk

FLAGS = ("--config.file=", "--collector.disable-defaults", "--collector.ebpf", "--collector.ebpf_block", "--cpu-budget=off",
         "--collector.ebpf.budget-ppm=0")
MEBIBYTE = 1 << 20
FEATURES = ("block", "block_attribution", "block_journal")
BYTES = "tidegauge_block_attributed_bytes_total"


def total(families, name, **labels):
    wanted = labels.items()
    found = families.get(name)
    return sum(value for key, value in found.series.items() if wanted <= dict(key[1]).items()) if found else 0


class Block(LabTest):
    # The first alone has a journal; the last takes 20 ms a request.
    disks = (Disk(96, filesystem="ext4"), Disk(320, filesystem="xfs"), Disk(160, filesystem="btrfs"), Disk(8, "throttling.iops-total=50"))
    modules = ("xfs", "btrfs")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for device, name in (("vda", "ext4"), ("vdb", "xfs"), ("vdc", "btrfs")):
            cls.machine.text(f"mkdir -p /mnt/{name} && mount -t {name} /dev/{device} /mnt/{name} && echo ok")
        cls.daemon = Daemon(cls.machine, "daemon", 10070, *FLAGS)
        cls.machine.run("until wget -q -O - http://127.0.0.1:10070/metrics | grep -q 'feature_info.*feature=\"block\"'; "
                        "do usleep 200000; done")

    def settled(self):
        """What the daemon shows of all that happened before this call."""
        runs, families = [], {}
        while not runs or runs[-1] < runs[0] + 3:
            families = self.daemon.families()
            runs.append(total(families, "tidegauge_collector_runs_total", collector="ebpf_block"))
            self.assertLess(len(runs), 40, self.daemon.log())
            self.machine.run("usleep 300000")
        return families

    def test_features(self):
        families = self.daemon.families()
        rows = {dict(key[1])["feature"]: dict(key[1]) for key in families["tidegauge_ebpf_feature_info"].series}
        programs = [dict(key[1]) for key in families["tidegauge_ebpf_program_info"].series]
        print(f"\n{self.suite}: {self.machine.text('uname -r').strip()}: "
              + " ".join(row["program"] for row in programs if row["program"].startswith("block_")), file=sys.stderr)
        for feature in FEATURES:
            self.assertEqual(rows[feature]["tier"], "tracepoint", rows[feature])

    def check_writer(self, filesystem, device, unattributed):
        before = self.settled()
        self.machine.text(f"dd if=/dev/zero of=/mnt/{filesystem}/file bs=1M count=16 conv=fsync 2>&1 && sync && echo ok")
        families = self.settled()

        def grown(name, **labels):
            return total(families, name, device=device, **labels) - total(before, name, device=device, **labels)
        ours = grown(BYTES, group="dd", operation="write")
        whole = grown("tidegauge_block_request_bytes_total", operation="write")
        nobodys = grown(BYTES, group="(unattributed)", operation="write")
        busy = grown("tidegauge_block_busy_seconds_total")
        parts = grown("tidegauge_block_attributed_busy_seconds_total")
        print(f"{self.suite} {filesystem}: {whole:.0f} bytes, dd's {ours:.0f}, nobody's {nobodys:.0f}; busy {busy:.6f} s, "
              f"parts {parts:.6f} s", file=sys.stderr)
        self.assertGreaterEqual(ours, 16 * MEBIBYTE)
        self.assertLess(ours, 17 * MEBIBYTE)
        self.assertEqual(grown(BYTES, operation="write"), whole)
        self.assertLess(nobodys, unattributed * whole)
        self.assertAlmostEqual(parts, busy, delta=1e-4)
        self.assertEqual(total(families, "tidegauge_block_in_flight", device=device), 0)

    def test_ext4(self):
        self.check_writer("ext4", "vda", 0.02)

    def test_xfs(self):
        self.check_writer("xfs", "vdb", 0.02)

    def test_btrfs(self):
        self.check_writer("btrfs", "vdc", 0.1)

    def test_two_writers(self):
        before = self.settled()
        # One writes 12 MiB and the other 4, and nobody waits for the disk.
        self.workload("labmost", "disk", "/mnt/ext4/shared", 12)
        self.machine.text("dd if=/dev/zero of=/mnt/ext4/shared bs=1M count=4 seek=12 conv=notrunc 2>&1 && sync && echo ok")
        families = self.settled()
        theirs = total(families, BYTES, group="dd", operation="write") - total(before, BYTES, group="dd", operation="write")
        self.assertGreaterEqual(theirs, 3.9 * MEBIBYTE)
        self.assertLess(theirs, 4.3 * MEBIBYTE)

    def test_bursts(self):
        device = "vdd"

        def value(families, name):
            return total(families, "tidegauge_block_" + name, device=device)

        def write(count):
            # Two at a time, so that the disk always has one.
            self.machine.text(f"for i in 1 2; do dd if=/dev/zero of=/dev/{device} bs=4k count={count} oflag=direct status=none & done; wait; echo ok")
        write(1)
        for attempt in range(3):  # a machine that stands still makes a gap
            self.machine.run("usleep 1500000")
            before = self.settled()
            write(10)
            self.machine.run("usleep 1500000")
            families = self.settled()
            bursts = value(families, "bursts_total") - value(before, "bursts_total")
            if bursts:
                break
        users = [(dict(key[1]), share) for key, share in families["tidegauge_block_peak_user_ratio"].series.items() if dict(key[1])["device"] == device]
        print(f"{self.suite}: {bursts:.0f} burst, peak {value(families, 'peak_busy_ratio'):.3f}, {value(families, 'peak_requests_per_second'):.0f} "
              f"requests/s, {users}, try {attempt + 1}", file=sys.stderr)
        self.assertEqual(bursts, 1)
        self.assertGreater(value(families, "peak_busy_ratio"), 0.9)
        self.assertGreater(value(families, "peak_requests_per_second"), 0)
        self.assertEqual([user["comm"] for user, _ in users], ["dd"])
        self.assertEqual(value(families, "windows_lost_total"), 0)
