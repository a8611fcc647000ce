#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Files, as the daemon's eBPF programs see them, against what a workload itself knows it did to them."""

import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import harness
from harness import label_values, scaled, wait_until

LONG = os.environ.get("TIDEGAUGE_E2E_LONG")
# No disk synchronises anything within a microsecond: all are slow.
FLAGS = ("--collector.disable-defaults", "--collector.ebpf", "--collector.ebpf_files", "--tick=200ms", "--collector.ebpf_files.interval=200ms",
         "--collector.ebpf_files.top=100", "--collector.ebpf_files.slow-operation=1us", "--cpu-budget=off",
         "--collector.ebpf.budget-ppm=0")

# A process whose thread does some work and says in JSON what it did.
PROGRAM = """
import ctypes, json, mmap, os, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
where, count = os.fsencode(sys.argv[1]), int(sys.argv[2])
told = {"pid": os.getpid(), "ns": {}, "calls": {}}
def timed(operation, call, *arguments):
    begin = time.monotonic_ns()
    result = call(*arguments)
    told["ns"][operation] = told["ns"].get(operation, 0) + time.monotonic_ns() - begin
    told["calls"][operation] = told["calls"].get(operation, 0) + 1
    return result
def work():
    told["tid"] = threading.get_native_id()
    libc.prctl(15, b"worker", 0, 0, 0)
%s
thread = threading.Thread(target=work)
thread.start()
thread.join()
print(json.dumps(told), flush=True)
"""

SYNC = """
    path = where + b"/file"
    fd = os.open(path, os.O_CREAT | os.O_RDWR)
    os.ftruncate(fd, 4096)
    mapping = mmap.mmap(fd, 4096)
    for i in range(count):
        os.pwrite(fd, b"x" * 100, 0)
        timed("fsync", os.fsync, fd)
        os.pwrite(fd, b"x" * 50, 0)
        timed("fdatasync", os.fdatasync, fd)
        mapping[5] = i % 256
        timed("msync", mapping.flush)
    os.rename(path, path + b"-renamed")
    for i in range(count):
        os.pwrite(fd, b"x", 0)
        timed("fsync", os.fsync, fd)
    os.unlink(path + b"-renamed")
    for i in range(count):
        os.pwrite(fd, b"x", 0)
        timed("fdatasync", os.fdatasync, fd)
    synced = os.open(where + b"/synced", os.O_CREAT | os.O_RDWR | os.O_DSYNC)
    for i in range(count):
        os.pwrite(synced, b"x" * 10, 0)
        timed("sync_file_range", lambda: libc.sync_file_range(synced, ctypes.c_long(0), ctypes.c_long(0), 2))
    for i in range(3):
        timed("syncfs", libc.syncfs, fd)
        timed("sync", os.sync)
    for i in range(2):
        assert libc.fsync(9999) == -1
"""

# One synchronisation of each file named.
SYNC_EACH = """
    for i in range(count):
        for name in sys.argv[3:]:
            fd = os.open(os.path.join(where, os.fsencode(name)), os.O_CREAT | os.O_RDWR)
            os.write(fd, b"x")
            os.fsync(fd)
            os.close(fd)
"""

# A path deeper than the kernel takes in one name.
SYNC_DEEP = """
    os.chdir(where)
    for i in range(count):
        os.mkdir(b"d" * 200)
        os.chdir(b"d" * 200)
    fd = os.open(b"deep\\xff\\n" + b"n" * 240, os.O_CREAT | os.O_RDWR)
    for i in range(count):
        os.write(fd, b"x")
        os.fsync(fd)
    os.chdir("/")
"""

CHURN = """
    for i in range(count):
        job = where + b"/job-%d" % (i % 5)
        os.makedirs(job, exist_ok=True)
        path = job + b"/tmp%d" % i
        fd = os.open(path, os.O_CREAT | os.O_RDWR)
        os.write(fd, b"x" * 1000)
        if i % 2:
            os.unlink(path)
            os.close(fd)
        else:
            os.close(fd)
            os.unlink(path)
    kept = os.open(where + b"/kept", os.O_CREAT | os.O_RDWR)
    os.write(kept, b"x" * 5000)
    os.fsync(kept)
    os.close(kept)
    os.unlink(where + b"/kept")
"""

# Each takes the name of the one before; the last of all stays.
REPLACED = """
    for i in range(count):
        for name, size in (b"/keeps-name", 300), (b"/takes-name", 300):
            fd = os.open(where + name, os.O_CREAT | os.O_EXCL | os.O_RDWR)
            os.write(fd, b"x" * size)
            os.close(fd)
        os.rename(where + b"/takes-name", where + b"/keeps-name")
        os.rename(where + b"/keeps-name", where + b"/kept%d" % i)
"""

OPERATIONS = """
    for i in range(count):
        path = where + b"/operation%d" % i
        fd = timed("create", os.open, path, os.O_CREAT | os.O_RDWR)
        timed("write", os.write, fd, b"x" * 5000)
        timed("read", os.pread, fd, 3000, 0)
        timed("writev", os.writev, fd, [b"y" * 100, b"z" * 100])
        os.close(fd)
        os.close(timed("open", os.open, path, os.O_RDONLY))
        timed("rename", os.rename, path, path + b"-renamed")
        timed("unlink", os.unlink, path + b"-renamed")
"""

DIRECT = """
    fd = os.open(where + b"/direct", os.O_CREAT | os.O_RDWR | os.O_DIRECT)
    block = mmap.mmap(-1, 65536)
    for i in range(count):
        os.pwrite(fd, block, 65536 * i)
    for i in range(3):
        os.preadv(fd, [block], 0)
    os.close(fd)
"""

# Several threads at once, each through all of the file that is not in memory.
COLD_READS = """
    path = where + b"/" + os.fsencode(sys.argv[3])
    threads, size, each = map(int, sys.argv[4:])
    fd = os.open(path, os.O_CREAT | os.O_RDWR)
    os.write(fd, b"x" * size)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)
    barrier = threading.Barrier(threads)
    def read_all():
        own = os.open(path, os.O_RDONLY)
        barrier.wait()
        for at in range(0, size, each):
            assert len(os.pread(own, each, at)) == each
        os.close(own)
    readers = [threading.Thread(target=read_all) for i in range(threads)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
"""

# A call that does not name the file written to first.
SPLICE = """
    fd = os.open(where + b"/guess_target", os.O_CREAT | os.O_RDWR)
    come, go = os.pipe()
    for i in range(count):
        os.write(go, b"x" * 4096)
        assert os.splice(come, fd, 4096) == 4096
"""

# Says who it is, and goes on when it is told to.
GATED_SYNCS = """
    fd = os.open(where + b"/gated", os.O_CREAT | os.O_RDWR)
    print(json.dumps(told), flush=True)
    sys.stdin.readline()
    for i in range(count):
        os.write(fd, b"x")
        os.fsync(fd)
"""

WRITES = """
    fd = os.open(where + b"/written", os.O_CREAT | os.O_RDWR)
    for i in range(count):
        os.write(fd, b"x" * 100000)
    os.close(fd)
"""


def sample(families, name, **labels):
    """As harness.sample(); also for the parts of histograms."""
    family = name.removesuffix("_count").removesuffix("_sum")
    key = (name, tuple(sorted((k, v) for k, v in labels.items() if v != "")))
    return families[family].series.get(key) if family in families else None


def fstype(path):
    done = subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def skip(reason):
    print(f"skipped: {reason}", file=sys.stderr)
    raise unittest.SkipTest(reason)


def start_daemon(case, *flags):
    """Returns it and the tier of each feature of its programs on files."""
    daemon = case.start(*FLAGS, *flags)
    tiers = {}

    def told():
        family = daemon.scrape().get("tidegauge_ebpf_feature_info")
        for key in family.series if family else ():
            labels = dict(key[1])
            tiers[labels["feature"]] = (labels["tier"], labels.get("reason", ""))
        return "sync" in tiers or "all" in tiers
    wait_until(told, 20, "the tier of sync")
    tier, reason = tiers.get("sync", tiers.get("all"))
    if tier == "off":
        skip(f"no eBPF here: {reason}")
    return daemon, tiers


class FilesTestCase(harness.TestCase):
    """One daemon for all tests of a class. Each test has files and a group of its own."""

    flags = ()
    tests = 0

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        host = harness.TestCase()
        host.setUp()
        cls.addClassCleanup(host.doCleanups)
        cls.daemon, cls.tiers = start_daemon(host, *cls.flags)

    def setUp(self):
        super().setUp()
        # Other runs of these tests on this host have names of their own; 15 bytes at most.
        FilesTestCase.tests += 1
        self.group = f"tgf{os.getpid() % 10_000_000}x{FilesTestCase.tests}"
        self.place = Path(tempfile.mkdtemp(prefix="tidegauge-files-", dir="/var/tmp"))
        self.addCleanup(shutil.rmtree, self.place, ignore_errors=True)
        if not fstype(self.place).startswith("ext"):
            skip(f"/var/tmp is not on ext4 but {fstype(self.place)}")
        number = os.stat(self.place).st_dev
        self.device = f"{os.major(number)}:{os.minor(number)}"

    def interpreter(self):
        """Executed under the group's name, so that it has it from the first moment."""
        path = self.directory / self.group
        if not path.exists():
            path.symlink_to(os.path.realpath(sys.executable))
        return path

    def run_work(self, work, count, *arguments, wrapper=()):
        done = subprocess.run([*wrapper, self.interpreter(), "-c", PROGRAM % work, str(self.place), str(count), *arguments],
                              capture_output=True, text=True, timeout=scaled(60), check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def expect(self, wanted):
        """Waits until all of {(name, labels...): value} are so."""
        seen = {}

        def same():
            families = self.daemon.scrape()
            for key in wanted:
                seen[key] = sample(families, key[0], **dict(key[1]))
            return seen == wanted
        try:
            wait_until(same, 20, "")
        except AssertionError:
            wrong = {key: (seen[key], value) for key, value in wanted.items() if seen[key] != value}
            self.fail(f"seen and wanted: {wrong}\n{self.daemon.tail()}")

    def syncs(self, counts, fstype="ext4", group=None):
        name = "tidegauge_file_sync_duration_seconds_count"
        return {(name, (("group", group or self.group), ("fstype", fstype), ("operation", operation))): count
                for operation, count in counts.items()}

    def file(self, path, name="tidegauge_top_file_syncs_total"):
        return (name, (("path", path), ("fstype", "ext4"), ("device", self.device)))

    def bound_namespace(self):
        wrapper = ["unshare", "--mount", "sh", "-c", f'mount --bind "{self.place}/real" "{self.place}/bound" && exec "$@"', "sh"]
        probe = subprocess.run([*wrapper, "true"], capture_output=True, text=True, check=False)
        if probe.returncode != 0:
            skip(f"no mount namespaces here: {probe.stderr.strip()}")
        return wrapper

    def settles(self, key, wanted):
        """Whether it comes to be so; otherwise self.told is what it stayed at."""
        self.told, since = None, time.monotonic()
        while self.told != wanted and time.monotonic() - since < scaled(3):
            value = sample(self.daemon.scrape(), key[0], **dict(key[1]))
            if value != self.told:
                self.told, since = value, time.monotonic()
            time.sleep(0.05)
        return self.told == wanted


class EbpfFilesTest(FilesTestCase):
    def test_syncs_are_counted_timed_and_named(self):
        count = 40
        told = self.run_work(SYNC, count)
        path = f"{self.place}/file"
        operations = {"fsync": 2 * count, "fdatasync": 2 * count, "msync": count, "sync_write": count}
        wanted = self.syncs(operations)
        wanted[self.file(path)] = 3 * count
        wanted[self.file(f"{path}-renamed")] = count
        if self.tiers["sync_calls"][0] == "tracepoint":
            wanted |= self.syncs({"sync_file_range": count, "syncfs": 3})
            wanted |= self.syncs({"sync": 3, "fsync": 2}, fstype="")
            errors = ("tidegauge_file_sync_errors_total", (("group", self.group), ("fstype", ""), ("operation", "fsync")))
            wanted[errors] = 2
            wanted[self.file(f"{path}-renamed (deleted)")] = count + 3
            wanted[self.file(f"{self.place}/synced")] = 2 * count
        # What was written before each: msync has nothing, and the last is of a file's last synchronisation.
        written = ("tidegauge_file_sync_written_bytes_total", (("group", self.group), ("fstype", "ext4"), ("operation", "fsync")))
        wanted[written] = 101 * count
        self.expect(wanted)
        families = self.daemon.scrape()
        for operation in ("fsync", "fdatasync", "msync"):
            ours = sample(families, "tidegauge_file_sync_duration_seconds_sum", group=self.group, fstype="ext4",
                          operation=operation) * 1e9
            theirs = told["ns"][operation]
            self.assertLessEqual(ours, theirs, operation)
            self.assertGreater(ours, 0.9 * theirs, operation)  # the rest is Python's, and time without the CPU
        self.assertEqual(sample(families, "tidegauge_top_file_user_info", path=path, fstype="ext4", device=self.device, group=self.group,
                                thread="worker", pid=str(told["pid"]), tid=str(told["tid"])), 1)
        self.assertEqual(label_values(families, "tidegauge_file_events_lost_total", "what", 0) & {"operations", "unpaired"},
                         {"operations", "unpaired"})

    def test_slow_ones_are_told_one_by_one(self):
        path = f"{self.place}/written"
        seen = []

        def slow():
            # Of all that is slow on the host only so many are told at once.
            told = self.run_work(WRITES + "\n    fd = os.open(where + b'/written', os.O_RDWR)\n    os.fsync(fd)\n", 3)
            seen.append({"path": path, "fstype": "ext4", "thread": "worker", "pid": str(told["pid"]), "tid": str(told["tid"])})
            self.expect(self.syncs({"fsync": len(seen)}))
            families = self.daemon.scrape()
            return any(sample(families, "tidegauge_slow_file_operation_seconds", operation="fsync", **one) for one in seen)
        wait_until(slow, 20, "a slow fsync")
        # The count is of all.
        self.assertEqual(sample(self.daemon.scrape(), "tidegauge_slow_file_operations_total", group=self.group,
                                operation="fsync"), len(seen))

    def test_cold_readers_at_once_are_exact(self):
        if 'program="pages_read"' not in self.daemon.get().text():
            skip("this kernel tells no reads through the page cache")
        for name, threads, size, each in (("small", 1, 1000 * 4096, 4096), ("large", 1, 8 << 20, 1 << 20),
                                          ("shared", 2, 32 << 20, 1 << 20)):
            for attempt in range(5):
                # A page that memory takes back while it is read may be told once more, or not at all.
                self.run_work(COLD_READS, 1, f"{name}{attempt}", str(threads), str(size), str(each))
                if self.settles(self.file(f"{self.place}/{name}{attempt}", "tidegauge_top_file_read_bytes_total"), threads * size):
                    break
            else:
                self.fail(f"{name}: not once exact; {self.told}")

    def test_a_guessed_path_is_of_the_whole_file_system(self):
        self.place.joinpath("real").mkdir()
        self.place.joinpath("bound").mkdir()
        self.run_work(SPLICE, 50, wrapper=self.bound_namespace())
        self.expect({self.file(f"{self.place}/guess_target", "tidegauge_top_file_written_bytes_total"): 50 * 4096})

    def test_churn_by_group_and_directory(self):
        count = 200
        self.run_work(CHURN, count)
        group = self.group
        wanted = {("tidegauge_files_created_total", (("group", group), ("fstype", "ext4"))): count + 1,
                  ("tidegauge_files_deleted_total", (("group", group), ("fstype", "ext4"))): count + 1,
                  ("tidegauge_file_lifetime_seconds_count", (("group", group), ("fstype", "ext4"))): count + 1}
        family = self.daemon.scrape
        self.expect(wanted)

        def sums(name):
            series = family()[name].series
            return {dict(key[1])["directory"]: value for key, value in series.items() if dict(key[1])["group"] == group}
        created = sums("tidegauge_directory_files_created_total")
        jobs = [directory for directory in created if directory.endswith("/job-N")]
        self.assertEqual(len(jobs), 1, created)
        self.assertEqual(created[jobs[0]], count)
        self.assertEqual(sums("tidegauge_deleted_file_bytes_total")[jobs[0]], 1000 * count)
        unstored = sums("tidegauge_deleted_file_unstored_bytes_total")
        # Deleted at once: but for those that the kernel wrote back by chance.
        self.assertGreater(unstored[jobs[0]], 900 * count)
        self.assertEqual(sum(sums("tidegauge_deleted_file_bytes_total").values()), 1000 * count + 5000)
        self.assertEqual(sum(unstored.values()), unstored[jobs[0]])

    def test_bytes_of_the_busiest(self):
        self.run_work(WRITES, 100)
        self.expect({self.file(f"{self.place}/written", "tidegauge_top_file_written_bytes_total"): 10_000_000})


class ChurnElsewhereTest(FilesTestCase):
    """Files created and deleted on file systems that have no tracepoints for all of it."""

    def mounted(self, kind, mebibytes):
        where = self.place / "mounted"
        where.mkdir()
        device, options = "none", ["-o", f"size={mebibytes}m"]
        if kind != "tmpfs":
            maker = shutil.which(f"mkfs.{kind}", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
            if not maker:
                skip(f"no mkfs.{kind}")
            device, options = self.place / "image", ["-o", "loop"]
            with open(device, "wb") as image:
                image.truncate(mebibytes << 20)
            subprocess.run([maker, device], check=True, capture_output=True, timeout=scaled(60))
        done = subprocess.run(["mount", "-t", kind, *options, device, where], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            skip(f"{kind} cannot be mounted: {done.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", where], check=False)
        return where

    def check_churn(self, kind, mebibytes):
        where = self.mounted(kind, mebibytes)
        tier, reason = self.tiers.get("churn_other", ("off", "no such programs"))
        if tier == "off":
            skip(f"churn of {kind} is not seen here: {reason}")
        program = {"tmpfs": "change_time_is_set", "xfs": "xfs_inode_is_destroyed", "btrfs": "btrfs_file_evicted"}[kind]
        if tier == "tracepoint" and f'program="{program}"' not in self.daemon.get().text():
            skip(f"this kernel has no tracepoint for churn of {kind}")
        count = 200
        self.place = where
        self.run_work(CHURN + REPLACED, count)
        labels = (("group", self.group), ("fstype", kind))
        self.expect({("tidegauge_files_created_total", labels): 3 * count + 1,
                     ("tidegauge_files_deleted_total", labels): 2 * count + 1,
                     ("tidegauge_file_lifetime_seconds_count", labels): 2 * count + 1})

        def sums(name):
            series = self.daemon.scrape()[name].series
            return {dict(key[1])["directory"]: value for key, value in series.items() if dict(key[1])["group"] == self.group}
        created, size = sums("tidegauge_directory_files_created_total"), sums("tidegauge_deleted_file_bytes_total")
        self.assertEqual(sum(size.values()), 1000 * count + 5000 + 300 * count)
        if kind == "btrfs" and tier == "tracepoint":
            self.assertEqual(set(created), {"unknown"})
            return
        jobs = [directory for directory in created if directory.endswith("/job-N")]
        self.assertEqual([(created[job], size[job]) for job in jobs], [(count, 1000 * count)])
        unstored = sums("tidegauge_deleted_file_unstored_bytes_total")
        self.assertEqual(unstored, size if kind == "tmpfs" else {})

    def test_tmpfs(self):
        self.check_churn("tmpfs", 16)

    def test_xfs(self):
        self.check_churn("xfs", 320)

    def test_btrfs(self):
        self.check_churn("btrfs", 160)


class EbpfFilesWithoutCallsTest(FilesTestCase):
    flags = ("--collector.ebpf_files.sync-calls=false",)

    def test_a_call_whose_end_is_never_seen_hides_no_others(self):
        if self.tiers.get("sync_calls", ("off",))[0] != "off":
            skip("this kernel has trampolines for the calls")
        if not shutil.which("bpftool"):
            skip("no bpftool here")
        if os.readlink("/proc/self/ns/pid") != "pid:[4026531836]":
            skip("the numbers of threads are others for the kernel")
        with subprocess.Popen([self.interpreter(), "-c", PROGRAM % GATED_SYNCS, str(self.place), "20"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True) as process:
            told = json.loads(process.stdout.readline())
            # As it was when the programs that see calls went away in the midst of one.
            thread = told["tid"].to_bytes(4, "little") + told["pid"].to_bytes(4, "little")
            stale = struct.pack("<QQII16sIIII", 1, 0, 0, 0, b"", 1, 0, 1, 0)
            subprocess.run(["bpftool", "map", "update", "id", self.map_id("pending"), "key", "hex", *(f"{b:02x}" for b in thread),
                            "value", "hex", *(f"{b:02x}" for b in stale)], check=True, timeout=scaled(10))
            process.communicate("go on\n", timeout=scaled(60))
        self.assertEqual(process.returncode, 0)
        self.expect(self.syncs({"fsync": 20}) | {self.file(f"{self.place}/gated"): 20})

    def map_id(self, name):
        for info in Path(f"/proc/{self.daemon.process.pid}/fdinfo").iterdir():
            fields = dict(line.split(":", 1) for line in info.read_text().splitlines() if ":" in line)
            if "map_id" in fields:
                done = subprocess.run(["bpftool", "-j", "map", "show", "id", fields["map_id"].strip()], capture_output=True,
                                      text=True, check=True, timeout=scaled(10))
                if json.loads(done.stdout).get("name") == name:
                    return fields["map_id"].strip()
        self.fail(f"no map {name}")


@unittest.skipUnless(LONG, "long: make ebpf-long")
class LongEbpfFilesTest(FilesTestCase):
    def test_paths_through_bind_mounts_and_namespaces(self):
        self.place.joinpath("real").mkdir()
        self.place.joinpath("bound").mkdir()
        wrapper = self.bound_namespace()
        self.run_work(SYNC_EACH, 30, "bound/file", wrapper=wrapper)
        self.expect({self.file(f"{self.place}/bound/file"): 30})
        self.run_work(SYNC_EACH, 20, "real/file")
        self.expect({self.file(f"{self.place}/bound/file"): 30, self.file(f"{self.place}/real/file"): 20})

    def test_names_of_any_kind(self):
        self.run_work(SYNC_EACH, 20, "with\nnewline", 'quo"te\\')
        self.run_work(SYNC_DEEP, 30)
        self.expect({self.file(f"{self.place}/with\nnewline"): 20, self.file(f'{self.place}/quo"te\\'): 20})
        self.expect(self.syncs({"fsync": 70}))

        def deep():
            paths = label_values(self.daemon.scrape(), "tidegauge_top_file_syncs_total", "path")
            return [path for path in paths if path.endswith("n" * 240)]
        paths = wait_until(deep, 10, "the deep file")
        self.assertIn("deep\ufffd\n", paths[0])

    def test_direct_bytes(self):
        told = self.run_work(DIRECT, 50)
        if 'program="direct_begins"' not in self.daemon.get().text():
            skip("this kernel tells no direct I/O")
        path = f"{self.place}/direct"
        self.expect({self.file(path, "tidegauge_top_file_written_bytes_total"): 50 * 65536,
                     self.file(path, "tidegauge_top_file_read_bytes_total"): 3 * 65536})
        self.assertEqual(sample(self.daemon.scrape(), "tidegauge_top_file_user_info", path=path, fstype="ext4", device=self.device, group=self.group,
                                thread="worker", pid=str(told["pid"]), tid=str(told["tid"])), 1)

    def test_redis_synchronises_as_often_as_strace_counts(self):
        server = shutil.which("redis-server")
        bench = shutil.which("redis-benchmark")
        strace = shutil.which("strace")
        if not (server and bench and strace):
            skip("redis-server, redis-benchmark or strace is not installed")
        port = harness.free_port()
        counts = self.place / "strace"
        redis = self.spawn(harness.Program, [strace, "-f", "-c", "-e", "trace=fdatasync,fsync", "-o", counts, server, "--port", port,
                                             "--dir", self.place, "--appendonly", "yes", "--appendfsync", "always",
                                             "--save", ""], "redis", port=port)
        wait_until(lambda: "Ready to accept" in redis.stdout(), 15, redis.tail)
        subprocess.run([bench, "-p", str(port), "-t", "set", "-n", "500", "-c", "4", "-q"], check=True, capture_output=True,
                       timeout=scaled(60))
        subprocess.run(["redis-cli", "-p", str(port), "shutdown", "nosave"], check=False, capture_output=True)
        redis.wait_exit(10)
        calls = {}
        for line in counts.read_text().splitlines():
            fields = line.split()
            if fields and fields[-1] in ("fsync", "fdatasync"):
                calls[fields[-1]] = int(fields[3])
        self.expect(self.syncs(calls, group="redis-server"))


@unittest.skipUnless(LONG, "long: make ebpf-long")
class LongEbpfFileOperationsTest(FilesTestCase):
    flags = ("--collector.ebpf_files.operations=on",)

    def test_all_operations_by_request(self):
        wait_until(lambda: 'feature="file_operations",tier="t' in self.daemon.get().text(), 10, "the programs")
        count = 100
        told = self.run_work(OPERATIONS, count)
        name = "tidegauge_file_operation_duration_seconds_count"
        labels = (("group", self.group), ("fstype", "ext4"))
        wanted = {(name, (*labels, ("operation", operation))): counted
                  for operation, counted in {"create": count, "write": 2 * count}.items()}
        wanted |= {(name, (("group", self.group), ("fstype", ""), ("operation", operation))): count
                   for operation in ("rename", "unlink")}
        wanted[("tidegauge_file_operation_bytes_total", (*labels, ("operation", "write")))] = 5200 * count
        self.expect(wanted)
        # The interpreter opens and reads files of its own, too.
        families = self.daemon.scrape()
        for operation in ("open", "read"):
            self.assertGreaterEqual(sample(families, name, **dict(labels), operation=operation), count)
        for operation in ("create", "write", "rename", "unlink"):
            fstype = "" if operation in ("rename", "unlink") else "ext4"
            ours = sample(families, "tidegauge_file_operation_duration_seconds_sum", group=self.group, fstype=fstype,
                          operation=operation) * 1e9
            theirs = told["ns"][operation] + (told["ns"]["writev"] if operation == "write" else 0)
            self.assertLessEqual(ours, theirs, operation)


if __name__ == "__main__":
    harness.main()
