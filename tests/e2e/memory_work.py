# SPDX-License-Identifier: Apache-2.0
"""Workloads of memory_test.py that know what they did, and one daemon for all tests of a class."""

import contextlib
import ctypes
import mmap
import os
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

import harness
from harness import label_values, scaled, wait_until

FLAGS = ("--tick=200ms", "--collector.disable-defaults", "--collector.ebpf", "--collector.ebpf.interval=1s", "--collector.ebpf_memory",
         "--collector.ebpf_memory.interval=200ms", "--collector.ebpf_memory.page-cache",
         "--collector.ebpf_memory.page-cache-reads", "--collector.ebpf.budget-ppm=0", "--cpu-budget=off")
MEBIBYTE = 1 << 20
PAGE = os.sysconf("SC_PAGE_SIZE")
ATTEMPTS = 5  # others may take pages of a file out of the cache while it is read
INSERTED, REMOVED = "tidegauge_page_cache_inserted_bytes_total", "tidegauge_page_cache_removed_bytes_total"
LOOKED_UP = "tidegauge_page_cache_lookup_bytes_total"

# Does each line it is told, and says what came of it.
WORKER = """
import ctypes, mmap, os, sys, time
print("ready", flush=True)
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
"""
READ = "fd = os.open({0!r}, os.O_RDONLY); [None for _ in iter(lambda: os.read(fd, 1 << 17), b'')]; os.close(fd)\n"
DROP = "fd = os.open({0!r}, os.O_RDONLY); os.fsync(fd); os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED); os.close(fd)\n"
WRITE = "fd = os.open({0!r}, os.O_CREAT | os.O_WRONLY, 0o600); [os.write(fd, bytes(1 << 20)) for _ in range({1})]; os.close(fd)\n"
# Every `step`th page, without fault-around or readahead; and how many of the faults were major.
TOUCH = ("fd = os.open({0!r}, os.O_RDONLY); area = mmap.mmap(fd, 0, prot=mmap.PROT_READ); area.madvise(mmap.MADV_RANDOM); "
         "count = lambda: int(open('/proc/self/stat').read().rpartition(')')[2].split()[9]); before = count(); "
         "[area[at] for at in range(0, len(area), {1})]; print(count() - before, flush=True)\n")
# One write after another, each by io_uring, which tries it without waiting first. include/uapi/linux/io_uring.h
URING = """
import ctypes, struct
libc = ctypes.CDLL(None, use_errno=True)
params = ctypes.create_string_buffer(120)
ring = libc.syscall(425, 8, params)
assert ring >= 0, ctypes.get_errno()
head, tail, mask, _, _, _, array = struct.unpack_from("<7I", params, 40)
done_head, done_tail, done_mask, _, _, entries = struct.unpack_from("<6I", params, 80)
queue, requests = mmap.mmap(ring, 4096), mmap.mmap(ring, 4096, offset=0x10000000)
word = lambda at: struct.unpack_from("<I", queue, at)[0]
data = ctypes.create_string_buffer(1 << 18)
def write(fd, offset):
    at = word(tail) & word(mask)
    requests[at * 64:at * 64 + 64] = struct.pack("<BBHiQQIIQ24x", 23, 0, 0, fd, offset, ctypes.addressof(data), 1 << 18, 0, 1)
    struct.pack_into("<I", queue, array + at * 4, at)
    struct.pack_into("<I", queue, tail, word(tail) + 1)
    assert libc.syscall(426, ring, 1, 1, 1, None, 0) == 1, ctypes.get_errno()
    result = struct.unpack_from("<i", queue, entries + (word(done_head) & word(done_mask)) * 16 + 8)[0]
    struct.pack_into("<I", queue, done_head, word(done_head) + 1)
    assert result == 1 << 18, result
"""
# The first of many may wait: it sets the time of the file, which is refused otherwise.
WRITE_NOWAIT = """
def write_nowait(fd, attempts):
    written = 0
    for at in range(attempts):
        try:
            os.pwrite(fd, b"x", 0)
            for i in range(64):
                written += os.pwritev(fd, [bytes(1 << 18)], (at * 64 + i) % 256 << 18, os.RWF_NOWAIT)
        except BlockingIOError:
            pass
    print(written >> 20, "MiB", end=" ", file=sys.stderr, flush=True)
"""


def resident(path):
    """Bytes of a file that are in the page cache, says mincore()."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE) as area:
        pages = ctypes.create_string_buffer(-(-len(area) // PAGE))
        place = ctypes.c_char.from_buffer(area)
        failed = libc.mincore(ctypes.c_void_p(ctypes.addressof(place)), ctypes.c_size_t(len(area)), pages)
        del place
        if failed:
            raise OSError(ctypes.get_errno(), "mincore")
        return sum(byte & 1 for byte in pages.raw) * PAGE


def oom_kills():
    """Processes, says the kernel."""
    return next(int(line.split()[1]) for line in Path("/proc/vmstat").read_text().splitlines() if line.startswith("oom_kill "))


def total(families, name, **labels):
    series = families[name].series.items() if name in families else ()
    return sum(value for key, value in series if labels.items() <= dict(key[1]).items())


def histogram(families, name, part, **labels):
    """Its `_count` or `_sum` over all series with these labels; 0 if there is none."""
    series = families[name].series.items() if name in families else ()
    return sum(value for key, value in series if key[0] == f"{name}_{part}" and labels.items() <= dict(key[1]).items())


class Memory(harness.TestCase):
    """One daemon for all tests of a class."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if os.geteuid() != 0:
            raise unittest.SkipTest("BPF needs root")
        host = harness.TestCase()
        host.setUp()
        cls.addClassCleanup(host.doCleanups)
        cls.daemon = host.start(*FLAGS)
        runs = lambda name: cls.daemon.value("tidegauge_collector_runs_total", collector=name) or 0
        wait_until(lambda: runs("ebpf_memory") >= 1, 10, "a first run")
        shown = runs("ebpf")
        wait_until(lambda: runs("ebpf") > shown, 10, "what came of it")
        families = cls.daemon.scrape()
        if "tidegauge_ebpf_memory_losses_total" not in families:
            raise unittest.SkipTest(f"no BPF here: {label_values(families, 'tidegauge_ebpf_feature_info', 'reason')}")

    def need(self, feature):
        tiers = [dict(key[1]) for key in self.daemon.scrape()["tidegauge_ebpf_feature_info"].series]
        of = next(one for one in tiers if one["feature"] == feature)
        if of["tier"] == "off":
            self.skipTest(f"{feature}: {of.get('reason')}")
        return of["tier"]

    def worker(self, name, cgroup=None, wrapper=()):
        """A Python of this name: groups are named after what is executed."""
        program = self.directory / name
        if not program.exists():
            program.symlink_to(Path(sys.executable).resolve())

        def enter():
            if cgroup:
                (cgroup / "cgroup.procs").write_text(str(os.getpid()))
        process = subprocess.Popen([*wrapper, str(program), "-B", "-c", WORKER], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True, preexec_fn=enter)
        self.addCleanup(self.finish, process)
        self.assertEqual(process.stdout.readline(), "ready\n")
        return process

    @staticmethod
    def finish(process):
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(scaled(5))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    def do(self, process, *lines):
        """What it printed last before it was done with all."""
        said = ""
        for line in lines:
            process.stdin.write(line)
            process.stdin.flush()
            while (answer := process.stdout.readline()) != "done\n":
                self.assertNotEqual(answer, "", f"it ended: {process.poll()}")
                said = answer
        return said

    def memory_cgroup(self, limit_bytes, name="tidegauge-e2e"):
        """A cgroup with so much memory, on v1 or v2."""
        for line in Path("/proc/mounts").read_text().splitlines():
            _, place, kind, options, *_ = line.split()
            root = Path(place)
            v1 = kind == "cgroup" and "memory" in options.split(",")
            v2 = kind == "cgroup2" and "memory" in (root / "cgroup.subtree_control").read_text().split()
            if not (v1 or v2) or not os.access(root, os.W_OK):
                continue
            cgroup = root / f"{name}-{os.getpid()}-{len(os.listdir(root))}"
            cgroup.mkdir()
            self.addCleanup(lambda: wait_until(lambda: self.remove(cgroup), 5, f"{cgroup} removed"))
            (cgroup / ("memory.limit_in_bytes" if v1 else "memory.max")).write_text(str(limit_bytes))
            if (cgroup / "memory.swap.max").exists():
                (cgroup / "memory.swap.max").write_text("0")
            return cgroup
        self.skipTest("no cgroup hierarchy with the memory controller that can be written to")

    @staticmethod
    def remove(cgroup):
        try:
            cgroup.rmdir()
        except OSError:
            return not cgroup.exists()
        return True

    def disk_file(self, name, mebibytes):
        """On a disk, written and out of the cache."""
        directory = Path(harness.ROOT / "build" / f"e2e-memory-{os.getpid()}")
        directory.mkdir(parents=True, exist_ok=True)
        self.addCleanup(shutil.rmtree, directory, True)
        path = directory / name
        with open(path, "wb") as file:
            for _ in range(mebibytes):
                file.write(os.urandom(MEBIBYTE))
        self.cool(path)
        return path

    def cool(self, path):
        """Out of the cache; pages under writeback, or on their way to a list, stay for a while."""
        def is_cold():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            return resident(path) == 0
        wait_until(is_cold, 10, f"{path} out of the cache")

    def value(self, name, **labels):
        return self.daemon.value(name, **labels) or 0

    def settled(self, name, **labels):
        """Once two passes have shown the same."""
        runs = lambda: self.daemon.value("tidegauge_collector_runs_total", collector="ebpf_memory")
        first = runs()
        wait_until(lambda: runs() >= first + 2, 6, "two passes")
        return self.value(name, **labels)

    def expect_growth(self, before, growth, name, **labels):
        wait_until(lambda: self.value(name, **labels) - before == growth, 5,
                   lambda: f"{name}{labels} +{growth}, seen +{self.value(name, **labels) - before}")

    def mount(self, name, kind, mebibytes):
        """A worker that sees a file system on a loop device of its own, with room for 4 MiB of dirty pages; and where."""
        tool = f"mkfs.{kind}"
        path = os.environ["PATH"] + ":/usr/sbin:/sbin"
        if not shutil.which(tool, path=path):
            self.skipTest(f"no {tool}")
        image, place = self.directory / "image", self.directory / "mnt"
        place.mkdir()
        with open(image, "wb") as file:
            file.truncate(mebibytes * MEBIBYTE)
        subprocess.run([tool, "-q", image], check=True, env={**os.environ, "PATH": path})
        # The mount ends with the namespace, and the loop device with the mount.
        script = f"mount -o loop {image} {place} && exec \"$@\""
        writer = self.worker(name, wrapper=("unshare", "--mount", "sh", "-c", script, "sh"))
        number = int(self.do(writer, f"print(os.stat({str(place)!r}).st_dev)\n"))
        bdi = Path(f"/sys/class/bdi/{os.major(number)}:{os.minor(number)}")
        if os.major(number) != 7 or not (bdi / "max_bytes").exists():
            self.skipTest("no limit per device (strict_limit, max_bytes: since Linux 6.2)")
        for setting, value, saved in (("strict_limit", "1", "strict_limit"), ("max_bytes", str(4 * MEBIBYTE), "max_ratio_fine")):
            old = (bdi / saved).read_text()
            self.addCleanup((bdi / saved).write_text, old)
            (bdi / setting).write_text(value)
        return writer, place

    def pauses(self, group):
        pauses = self.settled("tidegauge_dirty_throttle_pauses_total", group=group)
        return pauses, self.value("tidegauge_dirty_throttle_seconds_total", group=group)

    def check_pauses(self, writer, group, *work):
        """Pauses of a thread that does nothing else are in its time, and a tick each at least."""
        before, before_seconds = self.pauses(group)
        took = float(self.do(writer, "begin = time.monotonic()\n", *work, "print(time.monotonic() - begin)\n"))
        pauses, seconds = self.pauses(group)
        pauses, seconds = pauses - before, seconds - before_seconds
        print(f"[{pauses:.0f} pauses, {seconds:.3f} s of {took:.3f} s] ", end="", flush=True)
        self.assertGreater(pauses, 0)
        self.assertGreaterEqual(seconds, pauses * 0.001)
        self.assertLessEqual(seconds, took * 1.05 + 0.05)
