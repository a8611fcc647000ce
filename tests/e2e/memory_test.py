#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Memory pressure and page cache, as the daemon's BPF programs count them, against what the workloads know they did.

All pressure is inside a memory cgroup of a test's own, or on a loop device: the host has other work.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

import harness
from harness import label_values, sample, scaled, wait_until

FLAGS = ("--collector.disable-defaults", "--collector.ebpf", "--collector.ebpf.interval=1s", "--collector.ebpf_memory",
         "--collector.ebpf_memory.interval=1s", "--collector.ebpf_memory.page-cache",
         "--collector.ebpf_memory.page-cache-reads", "--collector.ebpf.budget-ppm=0", "--cpu-budget=off")
MEBIBYTE = 1 << 20
PAGE = os.sysconf("SC_PAGE_SIZE")

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


def histogram(families, name, part, **labels):
    """Its `_count` or `_sum` over all series with these labels; 0 if there is none."""
    series = families[name].series.items() if name in families else ()
    return sum(value for key, value in series if key[0] == f"{name}_{part}" and labels.items() <= dict(key[1]).items())


class MemoryTest(harness.TestCase):
    def setUp(self):
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest("BPF needs root")
        self.daemon = self.start(*FLAGS)
        runs = lambda name: self.daemon.value("tidegauge_collector_runs_total", collector=name) or 0
        wait_until(lambda: runs("ebpf_memory") >= 1, 10, "a first run")
        shown = runs("ebpf")
        wait_until(lambda: runs("ebpf") > shown, 10, "what came of it")
        families = self.daemon.scrape()
        if "tidegauge_ebpf_memory_losses_total" not in families:
            self.skipTest(f"no BPF here: {label_values(families, 'tidegauge_ebpf_feature_info', 'reason')}")

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

    def memory_cgroup(self, limit_bytes):
        """A cgroup with so much memory, on v1 or v2."""
        for line in Path("/proc/mounts").read_text().splitlines():
            _, place, kind, options, *_ = line.split()
            root = Path(place)
            v1 = kind == "cgroup" and "memory" in options.split(",")
            v2 = kind == "cgroup2" and "memory" in (root / "cgroup.subtree_control").read_text().split()
            if not (v1 or v2) or not os.access(root, os.W_OK):
                continue
            cgroup = root / f"tidegauge-e2e-{os.getpid()}-{len(os.listdir(root))}"
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
            file.flush()
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return path

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

    # Reclaim.

    def test_reclaim_at_the_limit_of_a_cgroup(self):
        cgroup = self.memory_cgroup(24 * MEBIBYTE)
        path = self.disk_file("cold", 96)
        reader = self.worker("tgreclaim", cgroup)
        self.do(reader, READ.format(str(path)))
        labels = {"group": "tgreclaim", "kind": "memcg"}
        stalls = lambda part, families=None: histogram(families or self.daemon.scrape(), "tidegauge_reclaim_stall_seconds", part, **labels)
        failures = cgroup / "memory.failcnt"  # v1: of charges; each is followed by a reclaim
        if failures.exists():
            truth = int(failures.read_text())
            wait_until(lambda: stalls("count") >= truth * 0.9, 5, lambda: f"{truth} stalls, seen {stalls('count')}")
            self.assertLessEqual(stalls("count"), truth)
        wait_until(lambda: stalls("count"), 5, "stalls")
        families = self.daemon.scrape()
        seconds = stalls("sum", families)
        self.assertGreater(seconds, 0)
        cpu_seconds = sum(map(int, Path(f"/proc/{reader.pid}/stat").read_text().rpartition(")")[2].split()[11:13])) / 100
        print(f"[{stalls('count', families):.0f} stalls, {seconds:.4f} s of {cpu_seconds} s CPU] ", end="", flush=True)
        # All but what may stay must have been reclaimed, by the reader itself: there is nobody else.
        reclaimed = sample(families, "tidegauge_reclaim_stall_reclaimed_bytes_total", **labels)
        self.assertGreater(reclaimed, (96 - 25) * MEBIBYTE * 0.9)
        self.assertEqual(sample(families, "tidegauge_page_cache_removed_bytes_total", group="tgreclaim", cause="drop"), 0)
        removed = sample(families, "tidegauge_page_cache_removed_bytes_total", group="tgreclaim", cause="reclaim")
        self.assertGreater(removed, (96 - 25) * MEBIBYTE)
        self.assertEqual(sample(families, "tidegauge_ebpf_memory_losses_total", of="stalls"), 0)

    def test_out_of_memory_in_a_cgroup(self):
        cgroup = self.memory_cgroup(32 * MEBIBYTE)
        hungry = self.worker("tghungry", cgroup)
        pid = hungry.pid
        hungry.stdin.write("data = bytearray(b'x') * (128 << 20)\n")
        hungry.stdin.flush()
        self.assertEqual(hungry.wait(scaled(20)), -9)
        self.daemon.wait_value(1, "tidegauge_oom_victims_total", seconds=5, group="tghungry")
        name = "tidegauge_oom_victim_timestamp_seconds"
        (key, when), *others = [(dict(key[1]), value) for key, value in self.daemon.scrape()[name].series.items()
                                if dict(key[1])["comm"] == "tghungry"]
        self.assertEqual(others, [])
        self.assertEqual((key["pid"], key["group"], key["cgroup"]), (str(pid), "tghungry", f"/{cgroup.name}"))
        self.assertLess(abs(when - os.stat(self.daemon.stderr_path).st_mtime), scaled(120))

    # Page cache.

    def test_inserts_and_lookups_are_exact(self):
        self.need("page_cache")
        path = self.disk_file("cold", 64)
        reader = self.worker("tgreader")
        inserted, looked_up = "tidegauge_page_cache_inserted_bytes_total", "tidegauge_page_cache_lookup_bytes_total"
        read = {"group": "tgreader", "cause": "read"}
        before = self.settled(inserted, **read)
        before_lookups = self.value(looked_up, group="tgreader")
        self.do(reader, READ.format(str(path)))
        self.expect_growth(before, 64 * MEBIBYTE, inserted, **read)
        if self.daemon.value(looked_up, group="tgreader") is not None:
            self.expect_growth(before_lookups, 64 * MEBIBYTE, looked_up, group="tgreader")
            self.do(reader, READ.format(str(path)))  # hits
            self.expect_growth(before_lookups, 128 * MEBIBYTE, looked_up, group="tgreader")
        self.assertEqual(self.value(inserted, **read) - before, 64 * MEBIBYTE)
        dropped = {"group": "tgreader", "cause": "drop"}
        before = self.value("tidegauge_page_cache_removed_bytes_total", **dropped)
        self.do(reader, DROP.format(str(path)))
        self.expect_growth(before, 64 * MEBIBYTE, "tidegauge_page_cache_removed_bytes_total", **dropped)

    def test_writes_are_told_from_reads(self):
        self.need("page_cache")
        path = self.disk_file("other", 1).with_name("new")
        writer = self.worker("tgwriter")
        inserted = "tidegauge_page_cache_inserted_bytes_total"
        before = self.settled(inserted, group="tgwriter", cause="write")
        before_reads = self.value(inserted, group="tgwriter", cause="read")
        self.do(writer, WRITE.format(str(path), 32))
        self.expect_growth(before, 32 * MEBIBYTE, inserted, group="tgwriter", cause="write")
        self.assertEqual(self.value(inserted, group="tgwriter", cause="read"), before_reads)

    def test_major_faults(self):
        self.need("major_faults")
        path = self.disk_file("mapped", 16)
        number = os.stat(path).st_dev
        link = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
        device = link.resolve().name if link.exists() else f"{os.major(number)}:{os.minor(number)}"
        faulter = self.worker("tgfaulter")
        labels = {"group": "tgfaulter", "device": device}
        before = self.settled("tidegauge_major_faults_total", **labels)
        before_inserts = self.value("tidegauge_page_cache_inserted_bytes_total", group="tgfaulter", cause="fault")
        major = int(self.do(faulter, TOUCH.format(str(path), 16 * PAGE)))
        self.assertEqual(major, 16 * MEBIBYTE // (16 * PAGE))
        self.expect_growth(before, major, "tidegauge_major_faults_total", **labels)
        self.expect_growth(before_inserts, major * PAGE, "tidegauge_page_cache_inserted_bytes_total", group="tgfaulter",
                           cause="fault")

    # Dirty throttling.

    def test_pauses_of_a_writer(self):
        self.need("dirty_throttle")
        if not shutil.which("mkfs.ext4") and not shutil.which("mkfs.ext4", path="/usr/sbin:/sbin"):
            self.skipTest("no mkfs.ext4")
        image, place = self.directory / "image", self.directory / "mnt"
        place.mkdir()
        with open(image, "wb") as file:
            file.truncate(256 * MEBIBYTE)
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True, env={**os.environ, "PATH": "/usr/sbin:/sbin:/usr/bin:/bin"})
        # The mount ends with the namespace, and the loop device with the mount.
        script = f"mount -o loop {image} {place} && exec \"$@\""
        writer = self.worker("tgthrottled", wrapper=("unshare", "--mount", "sh", "-c", script, "sh"))
        number = int(self.do(writer, f"print(os.stat({str(place)!r}).st_dev)\n"))
        bdi = Path(f"/sys/class/bdi/{os.major(number)}:{os.minor(number)}")
        if os.major(number) != 7 or not (bdi / "max_bytes").exists():
            self.skipTest("no limit per device (strict_limit, max_bytes: since Linux 6.2)")
        for name, value, saved in (("strict_limit", "1", "strict_limit"), ("max_bytes", str(4 * MEBIBYTE), "max_ratio_fine")):
            old = (bdi / saved).read_text()
            self.addCleanup((bdi / saved).write_text, old)
            (bdi / name).write_text(value)
        before = self.value("tidegauge_dirty_throttle_seconds_total", group="tgthrottled")
        took = float(self.do(writer, "begin = time.monotonic()\n", WRITE.format(f"{place}/file", 96),
                             "print(time.monotonic() - begin)\n"))
        pauses = self.settled("tidegauge_dirty_throttle_pauses_total", group="tgthrottled")
        seconds = self.value("tidegauge_dirty_throttle_seconds_total", group="tgthrottled") - before
        print(f"[{pauses:.0f} pauses, {seconds:.3f} s of {took:.3f} s] ", end="", flush=True)
        self.assertGreater(pauses, 0)
        # A pause lasts a tick at least; all of them were in its writes.
        self.assertGreaterEqual(seconds, pauses * 0.001)
        self.assertLessEqual(seconds, took * 1.05 + 0.05)

    def test_promtool(self):
        if not shutil.which("promtool"):
            self.skipTest("no promtool")
        cgroup = self.memory_cgroup(24 * MEBIBYTE)
        reader = self.worker("tgprom", cgroup)
        self.do(reader, READ.format(str(self.disk_file("cold", 48))))
        wait_until(lambda: histogram(self.daemon.scrape(), "tidegauge_reclaim_stall_seconds", "count", group="tgprom"), 5, "stalls")
        checked = subprocess.run(["promtool", "check", "metrics"], input=self.daemon.get().text(), text=True,
                                 capture_output=True, timeout=scaled(20), check=False)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)


class UnprivilegedTest(harness.TestCase):
    def test_nothing_and_no_failure(self):
        if os.geteuid() != 0:
            self.skipTest("needs root to drop it")
        program = harness.copy_for_everyone(harness.TIDEGAUGE, self.directory)
        daemon = self.start(*FLAGS, program=program, wrapper=("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                                                              "--bounding-set=-all", "--inh-caps=-all"))
        wait_until(lambda: daemon.value("tidegauge_collector_runs_total", collector="ebpf_memory"), 5, "a run")
        families = daemon.scrape()
        self.assertEqual(sample(families, "tidegauge_collector_success", collector="ebpf_memory"), 1)
        self.assertEqual([name for name in families if name.startswith(("tidegauge_reclaim", "tidegauge_kswapd"))], [])


if __name__ == "__main__":
    harness.main()
