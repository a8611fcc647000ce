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
CREATED, DELETED = "tidegauge_files_created_total", "tidegauge_files_deleted_total"
OPERATIONS = "tidegauge_file_operation_duration_seconds"
# A daemon each, at once, so that all see the same work. Not each on each kernel: an emulated verifier takes its time.
TIERS = {"trampoline": 10070, "kprobe": 10071, "tracepoint": 10072}
TIERS_OF = {"bullseye": ("trampoline", "kprobe"), "bookworm": ("trampoline", "kprobe"), "trixie": ("trampoline", "kprobe"),
            "sid": ("trampoline",)}
# Why tracepoints alone do not tell all that churns, by name.
NO_TIMES = "this kernel has no tracepoint ctime_ns_xchg"
NO_LAYOUT = "this kernel does not tell the types of its module xfs"
REASONS = {"bullseye": {NO_TIMES, NO_LAYOUT}, "bookworm": {NO_TIMES}, "trixie": {NO_TIMES}, "sid": set()}


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
        cls.daemons = {}
        cls.tiers = TIERS_OF[cls.suite]
        for tier in cls.tiers:
            extra = () if tier == "trampoline" else (f"--collector.ebpf.highest-tier={tier}",)
            extra += ("--collector.ebpf_files.operations=on",) if tier == "kprobe" else ()
            cls.daemons[tier] = Daemon(machine, tier, TIERS[tier], *FLAGS, *extra)
            # One after the other: an emulated machine can lock up where two patch the kernel's text.
            machine.run(f"until wget -q -O - http://127.0.0.1:{TIERS[tier]}/metrics | grep -q 'feature_info.*feature=\"sync\"'; "
                        "do usleep 200000; done", 90)
        cls.daemon = cls.daemons[cls.tiers[0]]

    def work(self, name):
        """Runs the workload as `name` and returns what it says of itself."""
        pid = self.workload(name, "files", f"/mnt/{name.removeprefix('lab')}", COUNT)
        said = self.machine.text(f"head -n 1 /tmp/{name}.out")
        return pid, json.loads(said)

    def check_files(self, filesystem):
        name = f"lab{filesystem}"
        _, said = self.work(name)
        churner = f"labc{filesystem}"
        self.workload(churner, "churn", f"/mnt/{filesystem}", str(COUNT))
        churned = json.loads(self.machine.text(f"head -n 1 /tmp/{churner}.out"))
        for tier in self.tiers:
            with self.subTest(tier=tier):
                self.check_syncs(filesystem, tier, name, said)
                self.check_churn(filesystem, tier, name, churner, churned)

    def check_syncs(self, filesystem, tier, name, said):
        def wanted():
            for operation in ("fsync", "fdatasync", "msync"):
                yield operation, series(self.families, SYNCS, "_count", group=name, operation=operation), COUNT
            if tier != "tracepoint":  # of other than ext4 fewer
                yield "syncs of the process", series(self.families, "tidegauge_group_syncs_total", group=name), 3 * COUNT
                own = {"group": name, "fstype": filesystem}
                yield "read", series(self.families, OPERATIONS, "_count", **own, operation="read"), said["read"]["count"]
                if filesystem != "tmpfs":  # which on some kernels is the root's, too, where it tells of itself
                    yield ("write", series(self.families, OPERATIONS, "_count", **own, operation="write"),
                           said["write"]["count"] + 1)  # one before its clock
                yield "create", series(self.families, OPERATIONS, "_count", **own, operation="create"), COUNT + 1
                for operation in ("rename", "unlink"):
                    yield operation, series(self.families, OPERATIONS, "_count", group=name, operation=operation), COUNT
            # Others': where kretprobes have no room (on 5.10 for as many as CPUs), and where a program that is preempted has
            # the kernel skip it for who comes meanwhile.
            if tier != "kprobe" and self.suite != "sid":
                yield "unpaired", series(self.families, "tidegauge_file_events_lost_total", what="unpaired"), 0
        self.wait_for(wanted, tier)
        for operation in ("fsync", "fdatasync", "msync"):
            ours = series(self.families, SYNCS, "_sum", group=name, operation=operation)
            theirs = said[operation]["ns"] / 1e9
            self.assertLessEqual(ours, theirs, operation)
            # An emulated CPU takes its time between the two clocks, the other daemon's programs too: all of it, where nothing
            # is to be written.
            if theirs / COUNT > 200e-6 and filesystem != "tmpfs":
                self.assertGreaterEqual(ours, theirs * 0.6, operation)
        users = [labels for labels in self.daemons[tier].labels("tidegauge_top_file_user_info")
                 if labels["path"] == f"/mnt/{filesystem}/journal"]
        self.assertEqual([(labels["thread"], labels["group"]) for labels in users], [("labthread", name)])

    def check_churn(self, filesystem, tier, name, churner, churned):
        # Of what has no name at all a system call's end tells no creation, and a time stamp no end.
        unborn = COUNT if tier == "tracepoint" and filesystem in ("xfs", "tmpfs") else 0
        undead = unborn if filesystem == "tmpfs" else 0
        own = {"group": churner, "fstype": filesystem}

        def wanted():
            yield "created", series(self.families, CREATED, group=name, fstype=filesystem), COUNT + 1
            yield "deleted", series(self.families, DELETED, group=name, fstype=filesystem), COUNT
            yield "churned: created", series(self.families, CREATED, **own), churned["created"] - unborn
            yield "churned: deleted", series(self.families, DELETED, **own), churned["deleted"] - undead
            yield ("bytes", series(self.families, "tidegauge_deleted_file_bytes_total", group=churner),
                   churned["bytes"] - 700 * undead)
            yield ("lifetimes", series(self.families, "tidegauge_file_lifetime_seconds", "_count", **own),
                   churned["created"] - unborn)
            yield "lost", series(self.families, "tidegauge_file_events_lost_total", what="files_churned"), 0
        self.wait_for(wanted, tier)
        directories = {labels["directory"] for labels in self.daemons[tier].labels("tidegauge_directory_files_created_total")
                       if labels["group"] == churner}
        directory = "/mnt/extN/churn" if filesystem == "ext4" else f"/mnt/{filesystem}/churn"
        if tier == "tracepoint" and filesystem == "btrfs":
            self.assertEqual(directories, {"unknown"})
        else:
            self.assertEqual(directories - {"unknown"}, {directory})
        unstored = series(self.families, "tidegauge_deleted_file_unstored_bytes_total", group=churner)
        if filesystem == "tmpfs":
            self.assertEqual(unstored, churned["bytes"] - 700 * undead)
        elif filesystem == "xfs":
            self.assertIsNone(unstored)

    def report(self, tier):
        return json.loads(self.machine.text(f"tidegauge ebpf --json --config.file= --web.listen-address=127.0.0.1:{TIERS[tier]}"))

    def wait_for(self, wanted, tier="trampoline", seconds=15):
        wrong = None
        for _ in range(seconds * 2):
            self.families = self.daemons[tier].families()
            wrong = [f"{what}: {seen}, not {value}" for what, seen, value in wanted() if seen != value]
            if not wrong:
                return
            self.machine.run("usleep 500000")
        raise AssertionError(f"{tier}: " + "; ".join(wrong) + "\n" + self.daemons[tier].log())

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
        for tier in self.tiers:
            report = self.report(tier)
            rows = [f"{row['feature']}={row['tier']}" for row in report["features"]]
            print(f"\n{self.suite}: {self.machine.text('uname -r').strip()}: {tier}: {' '.join(rows)}", file=sys.stderr)
            for row in report["features"]:
                if row["tier"] == "off":
                    print(f"  {row['feature']}: {row['reason']}", file=sys.stderr)
                    self.assertNotEqual(row["reason"], "", row["feature"])
            tiers = {row["feature"]: row["tier"] for row in report["features"]}
            # These kernels have them.
            for feature in ("sync", "sync_calls", "churn_other", "task_syncs", "major_faults"):
                if tier != "tracepoint" or feature not in ("task_syncs", "major_faults"):
                    self.assertEqual(tiers.get(feature), tier, feature)
            self.assertEqual(tiers.get("file_operations", "off"), "off" if tier == "tracepoint" else tier)
            self.assertEqual(tiers["churn"], "tracepoint")
            self.assertEqual({row["reason"] for row in report["programs"]} & {NO_TIMES, NO_LAYOUT}, REASONS[self.suite])
            refused = [row for row in report["programs"] if re.search("failed to load|Invalid argument", row["reason"])]
            self.assertEqual(refused, [])

    def test_zz_more_ends_than_kretprobes_have_room_for(self):
        """What of them is not seen is counted as lost: all but each thread's last one, whose end nothing comes after. So
        are writes, which wait as well."""
        if "kprobe" not in self.tiers:
            return
        threads, count = 40, 12
        self.workload("labsyncers", "syncers", "/mnt/ext4", str(threads), str(count))

        def wanted():
            counted = series(self.families, SYNCS, "_count", group="labsyncers", operation="fsync") or 0
            lost = series(self.families, "tidegauge_file_events_lost_total", what="unpaired")
            self.seen = f"[{counted:.0f} + {lost:.0f} lost of {threads * count}] "
            yield f"at least {counted} + {lost}", counted + lost >= threads * (count - 1), True
            yield f"at most {counted}", counted <= threads * count, True
        self.wait_for(wanted, "kprobe")
        print(self.seen, end="", file=sys.stderr, flush=True)

    def test_writer_is_charged(self):
        """Buffered writes are the writer's, not a kernel thread's."""
        self.workload("labwriter", "disk", "/mnt/ext4/charged", 16)

        def wanted():
            written = series(self.families, "tidegauge_block_attributed_bytes_total", group="labwriter", operation="write") or 0
            yield "bytes written", abs(written - (16 << 20)) <= (16 << 20) // 100, True
        self.wait_for(wanted)
