# SPDX-License-Identifier: Apache-2.0
"""BPF programs on a kernel of a release that people run: which load, in which tier, and whether they count what a
workload with its own clock did on each file system. Prints a row of the table kernel x feature x tier."""

import json
import re
import sys

from lab import Daemon, LabTest
from vm import Disk

FLAGS = ("--config.file=", "--collector.disable-defaults", "--collector.ebpf", "--collector.ebpf_files", "--collector.ebpf_block",
         "--collector.ebpf_memory", "--collector.process", "--collector.process.interval=1s", "--cpu-budget=off",
         "--collector.ebpf.budget-ppm=0")
COUNT = 20
SYNCS = "tidegauge_file_sync_duration_seconds"
# Created and deleted files are told of these.
CHURNED = ("ext4", "btrfs")


def series(families, family, suffix="", **labels):
    """The sum over the series of that name with these labels; None without one."""
    found = families.get(family)
    wanted = {key: str(value) for key, value in labels.items()}.items()
    values = [value for (name, its), value in found.series.items() if name == family + suffix and wanted <= dict(its).items()] \
        if found else []
    return sum(values) if values else None


class Ebpf(LabTest):
    disks = (Disk(128, filesystem="ext4"), Disk(320, filesystem="xfs"), Disk(160, filesystem="btrfs"))
    modules = ("xfs", "btrfs")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        machine = cls.machine
        for device, name in (("vda", "ext4"), ("vdb", "xfs"), ("vdc", "btrfs")):
            machine.text(f"mkdir -p /mnt/{name} && mount -t {name} /dev/{device} /mnt/{name} && echo ok")
        machine.text("mkdir -p /mnt/tmpfs && mount -t tmpfs none /mnt/tmpfs && echo ok")
        cls.daemon = Daemon(machine, "daemon", 10070, *FLAGS)
        machine.run("until wget -q -O - http://127.0.0.1:10070/metrics | grep -q 'feature_info.*feature=\"sync\"'; "
                    "do usleep 200000; done")

    def work(self, name):
        """Runs the workload as `name` and returns what it says of itself."""
        pid = self.workload(name, "files", f"/mnt/{name.removeprefix('lab')}", COUNT)
        said = self.machine.text(f"head -n 1 /tmp/{name}.out")
        return pid, json.loads(said)

    def check_files(self, filesystem):
        name = f"lab{filesystem}"
        _, said = self.work(name)

        def wanted():
            for operation in ("fsync", "fdatasync", "msync"):
                yield operation, series(self.families, SYNCS, "_count", group=name, operation=operation), COUNT
            yield "syncs of the process", series(self.families, "tidegauge_group_syncs_total", group=name), 3 * COUNT
            if filesystem in CHURNED:
                yield "created", series(self.families, "tidegauge_files_created_total", group=name), COUNT + 1
                yield "deleted", series(self.families, "tidegauge_files_deleted_total", group=name), COUNT
        self.wait_for(wanted)
        for operation in ("fsync", "fdatasync", "msync"):
            ours = series(self.families, SYNCS, "_sum", group=name, operation=operation)
            theirs = said[operation]["ns"] / 1e9
            self.assertLessEqual(ours, theirs, operation)
            # An emulated CPU takes its time between the two clocks: all of it, where nothing is to be written.
            if theirs / COUNT > 200e-6:
                self.assertGreaterEqual(ours, theirs * 0.6, operation)
        users = [labels for labels in self.daemon.labels("tidegauge_top_file_user_info")
                 if labels["path"] == f"/mnt/{filesystem}/journal"]
        self.assertEqual([(labels["thread"], labels["group"]) for labels in users], [("labthread", name)])

    def wait_for(self, wanted, seconds=15):
        wrong = None
        for _ in range(seconds * 2):
            self.families = self.daemon.families()
            wrong = [f"{what}: {seen}, not {value}" for what, seen, value in wanted() if seen != value]
            if not wrong:
                return
            self.machine.run("usleep 500000")
        raise AssertionError("; ".join(wrong) + "\n" + self.daemon.log())

    def test_ext4(self):
        self.check_files("ext4")

    def test_xfs(self):
        self.check_files("xfs")

    def test_btrfs(self):
        self.check_files("btrfs")

    def test_tmpfs(self):
        self.check_files("tmpfs")

    def test_programs(self):
        """Each feature runs, or says what the kernel lacks; no program was refused by the verifier."""
        report = json.loads(self.machine.text("tidegauge ebpf --json --config.file="))
        rows = [f"{row['feature']}={row['tier']}" for row in report["features"]]
        print(f"\n{self.suite}: {self.machine.text('uname -r').strip()}: {' '.join(rows)}", file=sys.stderr)
        for row in report["features"]:
            if row["tier"] == "off":
                print(f"  {row['feature']}: {row['reason']}", file=sys.stderr)
                self.assertNotEqual(row["reason"], "", row["feature"])
        tiers = {row["feature"]: row["tier"] for row in report["features"]}
        self.assertEqual(tiers["sync"], "trampoline")  # these kernels have them
        refused = [row for row in report["programs"] if re.search("failed to load|Invalid argument", row["reason"])]
        self.assertEqual(refused, [])

    def test_writer_is_charged(self):
        """Buffered writes are the writer's, not a kernel thread's."""
        self.workload("labwriter", "disk", "/mnt/ext4/charged", 16)

        def wanted():
            written = series(self.families, "tidegauge_block_attributed_bytes_total", group="labwriter", operation="write") or 0
            yield "bytes written", abs(written - (16 << 20)) <= (16 << 20) // 100, True
        self.wait_for(wanted)
