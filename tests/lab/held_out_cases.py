#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the recordings on which the heuristics were measured before anybody had tuned them to these: other programs, sizes,
file systems, disks and kernels than those of record_cases.py, which has the rest and whose options these are.
"""

import record_cases as cases
from record_cases import SLOW, Case, Quiet
from vm import Disk


class HeldOut(Case):
    calm_before, seconds, calm_after = 25, 50, 8
    held_out = True


class CgroupLimit(HeldOut):
    """A service with memory.max of 72 MiB holds 40 MiB and sums up files of 150 MiB with md5sum, over and over; the machine
    has plenty of free memory."""

    suite = "sid"
    memory_mib = 512
    group = "/sys/fs/cgroup/system.slice/checksum.service"
    verdicts = ({"verdict": "cgroup_memory_limit", "cgroup": "/system.slice/checksum.service", "limit_bytes": 72 << 20},)
    may = ("direct_reclaim_stall", "disk_saturated", "cpu_single_saturated")

    def prepare(self):
        self.text("for i in 1 2 3; do dd if=/dev/urandom of=/mnt/vdb/$i bs=1M count=50 2>/dev/null; done; sync; "
                  "echo 3 >/proc/sys/vm/drop_caches; cd /sys/fs/cgroup; echo +memory +io >cgroup.subtree_control; mkdir system.slice; "
                  f"echo +memory +io >system.slice/cgroup.subtree_control; mkdir {self.group}; echo 72M >{self.group}/memory.max", 120)

    def run(self):
        join = f"sh -c 'echo $PPID' >{self.group}/cgroup.procs;"
        self.start("index", "hold 40", comm="index", before=join)
        self.facts = {"pid": self.start("checksum", "sh -c 'while true; do /usr/bin/md5sum /mnt/vdb/1 /mnt/vdb/2 /mnt/vdb/3; done'",
                                        before=join)}

    def finish(self):
        self.facts["memory_events"] = self.text(f"cat {self.group}/memory.events")
        super().finish()


class SyncBoundSqlite(HeldOut):
    """A program adds rows to an SQLite database on xfs, each in a transaction of its own. The disk would do 350 requests a
    second."""

    suite = "sid"
    modules = ("xfs",)
    disks = (Disk(512, "throttling.iops-total=350", "xfs"),)
    verdicts = ({"verdict": "sync_bound_process", "comm": "python3", "pid": "{pid}", "operation": "fdatasync", "device": "vdb",
                 "file": "orders.db-wal", "directory": "/mnt/vdb"},)
    may = ("disk_saturated",)

    def run(self):
        self.facts = {"pid": self.start("orders", "/usr/bin/python3 /usr/share/lab/orders.py /mnt/vdb/orders.db")}
        self.watch(self.seconds - 8, "iostat -x", "pidstat -d")


class ChurnSort(HeldOut):
    """sort with a buffer of 2 MiB sorts a file of 30 MB, again and again: temporary files of its own, in one directory."""

    suite = "bookworm"
    modules = ("xfs",)
    disks = (Disk(1024, SLOW.format(25_000_000, 600), "xfs"),)
    verdicts = ({"verdict": "temp_file_churn", "comm": "sort", "device": "vdb", "directory": "/mnt/vdb/tmp"},)
    may = ("disk_saturated", "dirty_throttling", "cpu_single_saturated")

    def prepare(self):
        self.text("mkdir /mnt/vdb/tmp; dd if=/dev/urandom bs=1M count=22 2>/dev/null | base64 >/mnt/vdb/words; sync", 120)

    def run(self):
        self.start("report", "sh -c 'while true; do LC_ALL=C /usr/bin/sort -S 2M -T /mnt/vdb/tmp -o /dev/null /mnt/vdb/words; done'")


class ChurnSortExt4(ChurnSort):
    """sort with a buffer of 2 MiB sorts a file of 30 MB on ext4, again and again: temporary files of its own, in one directory."""

    suite = "trixie"
    modules = ()
    disks = (Disk(1024, SLOW.format(25_000_000, 600), "ext4"),)


class CpuSingleTaskset(HeldOut):
    """md5sum is pinned to CPU 0 with taskset and never ends; CPU 1 idles."""

    suite = "sid"
    disks = ()
    verdicts = ({"verdict": "cpu_single_saturated", "cpu": 0, "comm": "md5sum", "pid": "{pid}"},)

    def run(self):
        self.facts = {"pid": self.start("md5sum", "taskset 1 /usr/bin/md5sum /dev/zero")}


class CpuContentionMany(HeldOut):
    """Five processes of Python and gzip have work all the time on two CPUs."""

    suite = "trixie"
    disks = ()
    verdicts = ({"verdict": "cpu_contention", "comm": "python3"},)

    def run(self):
        for number in range(4):
            self.start(f"report{number}", "/usr/bin/python3 -c 'while True: sum(range(10000))'")
        self.start("gzip", "sh -c '/usr/bin/gzip -9 </dev/zero >/dev/null'")


class DirtyThrottlingFio(HeldOut):
    """fio's two jobs write 64 KiB at a time through the page cache to a disk of 9 MB/s with xfs."""

    suite = "sid"
    memory_mib = 448
    modules = ("xfs",)
    disks = (Disk(2560, "throttling.bps-total=9000000", "xfs"),)
    verdicts = ({"verdict": "dirty_throttling", "comm": "fio", "device": "vdb"},
                {"verdict": "disk_saturated", "device": "vdb", "operation": "write", "comm": "fio"})
    may = ("writer_stalled_in_kernel",)

    def run(self):
        self.start("fio", "/usr/bin/fio --name=export --directory=/mnt/vdb --rw=write --bs=64k --numjobs=2 --size=1g --fallocate=none "
                   "--time_based --runtime=600 --output=/run/fio.report")
        self.watch(self.seconds - 8, "iostat -x", "pidstat -d")

    def finish(self):
        self.text("kill -9 $(pidof fio); true")
        self.pids.clear()


class SwapThrashTable(HeldOut):
    """A program of Python updates a table larger than the memory, here and there; the swap space is on a disk that does 350
    requests a second."""

    suite = "bookworm"
    memory_mib = 352
    disks = (Disk(640, SLOW.format(14_000_000, 350)),)
    verdicts = ({"verdict": "swap_thrash", "comm": "python3", "pid": "{pid}", "device": "vdb"},)
    may = ("disk_saturated", "memory_watermark_pressure", "direct_reclaim_stall", "page_cache_thrash", "oom_risk")

    def prepare(self):
        self.text("mkswap /dev/vdb && swapon /dev/vdb")

    def run(self):
        mib = int(int(self.text("awk '/MemAvailable/ { print int($2 / 1024) }' /proc/meminfo")) * 1.35)
        self.facts = {"pid": self.start("table", f"/usr/bin/python3 /usr/share/lab/table.py {mib}"), "mib": mib}
        self.watch(self.seconds - 8, "iostat -x", "sar -B")


class OomKill(cases.MemoryLeakToKill):
    """A program of Python keeps 5 MiB more every second until the kernel kills it."""

    suite = "sid"
    held_out = True
    calm_before, seconds, calm_after = 25, 0, 8
    verdicts = ({"verdict": "oom_risk", "comm": "python3", "pid": "{pid}", "until": "{killed}"},
                {"verdict": "oom_kill", "comm": "python3", "pid": "{pid}", "at": "{killed}"})
    may = ("memory_leak_suspected", "memory_watermark_pressure", "direct_reclaim_stall", "page_cache_thrash", "disk_saturated")

    def run(self):
        self.facts = {"pid": self.start("leak", "/usr/bin/python3 -c 'import time\nkept = []\nwhile True:\n"
                                        " kept.append(bytearray(b\"x\") * (5 << 20))\n time.sleep(1)'")}

    def prepare(self):
        pass


class BackupTar(HeldOut, Quiet):
    """tar copies a tree to a disk with xfs and syncs, then waits; both disks are faster than that."""

    suite = "sid"
    modules = ("xfs",)
    disks = (Disk(768, "throttling.bps-total=60000000", "xfs"),)

    def run(self):
        self.start("backup", "sh -c 'while true; do for n in 1 2 3; do /usr/bin/tar -cf /mnt/vdb/$n.tar /usr/lib/python3.11; "
                   "/usr/bin/sync; sleep 4; done; done'")


def held(case, **changes):
    return type(case.__name__, (case,), {"__doc__": case.__doc__, "held_out": True, **changes})


CASES = {
    "cgroup-limit-checksum": CgroupLimit, "sync-bound-sqlite": SyncBoundSqlite, "temp-file-churn-sort": ChurnSort,
    "temp-file-churn-sort-ext4": ChurnSortExt4,
    "cpu-single-taskset": CpuSingleTaskset, "cpu-contention-many": CpuContentionMany, "dirty-throttling-fio": DirtyThrottlingFio,
    "swap-thrash-table": SwapThrashTable, "oom-kill-python": OomKill,
    "quiet-backup-tar": BackupTar, "quiet-warm-up": held(cases.WarmUp, suite="trixie", seconds=110),
    "quiet-compile": held(cases.Compile), "quiet-log-rotation": held(cases.LogRotation),
    "quiet-boot": held(cases.Boot), "cgroup-limit": held(cases.CgroupLimit, calm_before=25, seconds=45, calm_after=8),
    "memory-pressure-72": held(cases.MemoryPressure, suite="sid", share=0.7, calm_before=25, calm_after=8),
    "disk-burst-61": held(cases.DiskBurst, suite="bookworm", calm_before=25, seconds=50, calm_after=8,
                          disks=(Disk(512, SLOW.format(60_000_000, 2500), "ext4"),)),
}


if __name__ == "__main__":
    cases.main(CASES)
