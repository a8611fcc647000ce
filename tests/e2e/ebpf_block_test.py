#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Requests of block devices and whose they are, against what the workloads themselves know they did."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import harness
from harness import sample, scaled, wait_until

MEBIBYTE = 1 << 20
FLAGS = ("--collector.disable-defaults", "--collector.ebpf_block", "--cpu-budget=off")
NOBODY = "(unattributed)"

# FILE FROM MIB SYNC: buffered.
WRITER = """
import os, sys
fd = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY, 0o600)
for i in range(int(sys.argv[3])):
    os.pwrite(fd, b"x" * (1 << 20), (int(sys.argv[2]) + i) << 20)
if sys.argv[4] == "fsync":
    os.fsync(fd)
"""
# FILE MIB read|write: direct, in pieces of 64 KiB.
DIRECT = """
import mmap, os, sys
reads = sys.argv[3] == "read"
fd = os.open(sys.argv[1], os.O_DIRECT | (os.O_RDONLY if reads else os.O_WRONLY))
buffer = mmap.mmap(-1, 65536)
for i in range(int(sys.argv[2]) * 16):
    done = os.preadv(fd, [buffer], i << 16) if reads else os.pwritev(fd, [buffer], i << 16)
    assert done == 65536, done
"""
# DIRECTORY COUNT: small files, many.
CROWD = """
import os, sys
for i in range(int(sys.argv[2])):
    with open(f"{sys.argv[1]}/{i}", "wb", buffering=0) as file:
        file.write(b"x" * 4096)
os.sync()
"""


def disk_of(path):
    """The disk a file lies on, as /proc/diskstats names it; None when that is none with requests."""
    number = os.stat(path).st_dev
    folder = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    if not folder.exists():
        return None
    folder = folder.resolve()
    folder = folder.parent if (folder / "partition").exists() else folder
    return folder.name if (folder / "mq").exists() else None


def io_ticks(device):
    for line in Path("/proc/diskstats").read_text().splitlines():
        fields = line.split()
        if fields[2] == device:
            return int(fields[12]) / 1000
    raise AssertionError(f"no {device} in /proc/diskstats")


def total(families, name, **labels):
    """Sum over all series of a family that have these labels."""
    if name not in families:
        return 0
    wanted = set(labels.items())
    return sum(value for (_, pairs), value in families[name].series.items() if wanted <= set(pairs))


def histogram(families, name, suffix, **labels):
    """The _sum or _count of a histogram; 0 when there is none."""
    family = families.get(name)
    return family.series.get((name + suffix, tuple(sorted(labels.items()))), 0) if family else 0


class BlockTest(harness.TestCase):
    def setUp(self):
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest("BPF programs need root")
        if not os.path.exists("/sys/kernel/btf/vmlinux"):
            self.skipTest("this kernel describes no types")

    def start_daemon(self):
        daemon = self.start(*FLAGS)
        # Files of before are nobody's: let none of them be written among ours.
        os.sync()
        self.settled(daemon)
        return daemon

    def settled(self, daemon):
        """A scrape of a pass that began after this call."""
        def runs(families):
            return sample(families, "tidegauge_collector_runs_total", collector="ebpf_block") or 0
        before = runs(daemon.scrape())
        seen = []

        def later():
            seen.append(daemon.scrape())
            return runs(seen[-1]) >= before + 2
        wait_until(later, 10, lambda: "two more passes\n" + daemon.tail())
        return seen[-1]

    def work(self, program, name, *arguments):
        """Runs it under a name, and so in a group, of its own: that of the link to the interpreter."""
        link = self.directory / name
        if not link.exists():
            link.symlink_to(os.path.realpath(sys.executable))
        done = subprocess.run([link, "-c", program, *map(str, arguments)], capture_output=True, text=True,
                              timeout=scaled(60), check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    def need_disk(self):
        device = disk_of(self.directory)
        if device is None:
            self.skipTest(f"{self.directory} is on no disk with requests")
        return device

    def loop_device(self, mebibytes):
        """A disk of nobody else's."""
        image = self.directory / "image"
        with open(image, "wb") as file:
            for _ in range(mebibytes):
                file.write(bytes(MEBIBYTE))
            os.fsync(file.fileno())
        if not shutil.which("losetup"):
            self.skipTest("no losetup")
        done = subprocess.run(["losetup", "--find", "--show", "--direct-io=on", image], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            self.skipTest("no loop device: " + done.stderr.strip())
        device = done.stdout.strip()
        self.addCleanup(subprocess.run, ["losetup", "--detach", device], check=False)
        return device

    def mount(self, device, kind):
        where = self.directory / "mounted"
        where.mkdir()
        maker = shutil.which(f"mkfs.{kind}", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if maker is None:
            self.skipTest(f"no mkfs.{kind}")
        # Nothing may be left to the kernel to do later.
        options = ["-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"] if kind == "ext4" else ["-f"]
        subprocess.run([maker, "-q", *options, device], check=True, timeout=scaled(60))
        done = subprocess.run(["mount", "-t", kind, device, where], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            self.skipTest(f"{kind} cannot be mounted: {done.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", where], check=False)
        return where

    def bytes_of(self, families, device, group, operation="write", **labels):
        return total(families, "tidegauge_block_attributed_bytes_total", device=device, group=group, operation=operation, **labels)

    def test_buffered_writes_are_the_writers(self):
        device, daemon = self.need_disk(), self.start_daemon()
        self.work(WRITER, "blkbuffered", self.directory / "file", 0, 64, "fsync")
        families = self.settled(daemon)
        self.assertAlmostEqual(self.bytes_of(families, device, "blkbuffered"), 64 * MEBIBYTE, delta=0.64 * MEBIBYTE)
        self.assertGreater(total(families, "tidegauge_block_attributed_busy_seconds_total", device=device, group="blkbuffered"), 0)
        self.assertEqual(self.bytes_of(families, device, "kworker"), 0)
        self.assertAlmostEqual(total(families, "tidegauge_block_process_bytes_total", comm="blkbuffered", operation="write"),
                               64 * MEBIBYTE, delta=0.64 * MEBIBYTE)

    def test_written_back_later_by_the_kernel(self):
        device, daemon = self.need_disk(), self.start_daemon()
        self.work(WRITER, "blklater", self.directory / "file", 0, 32, "leave")
        os.sync()
        families = self.settled(daemon)
        self.assertAlmostEqual(self.bytes_of(families, device, "blklater"), 32 * MEBIBYTE, delta=0.32 * MEBIBYTE)

    def test_direct_io_is_the_submitters(self):
        device, daemon = self.need_disk(), self.start_daemon()
        file = self.directory / "file"
        self.work(WRITER, "blkprepare", file, 0, 32, "fsync")
        self.work(DIRECT, "blkdirectw", file, 32, "write")
        self.work(DIRECT, "blkdirectr", file, 32, "read")
        families = self.settled(daemon)
        self.assertAlmostEqual(self.bytes_of(families, device, "blkdirectw"), 32 * MEBIBYTE, delta=0.1 * MEBIBYTE)
        # Besides the file an interpreter reads its own modules, if they are not cached.
        read = self.bytes_of(families, device, "blkdirectr", "read")
        self.assertGreaterEqual(read, 32 * MEBIBYTE)
        self.assertLess(read, 32.5 * MEBIBYTE)

    def test_two_writers_of_one_file(self):
        device, daemon = self.need_disk(), self.start_daemon()
        file = self.directory / "file"
        self.work(WRITER, "blkthree", file, 0, 24, "leave")
        self.work(WRITER, "blkone", file, 24, 8, "leave")
        os.sync()
        families = self.settled(daemon)
        self.assertAlmostEqual(self.bytes_of(families, device, "blkthree"), 24 * MEBIBYTE, delta=0.32 * MEBIBYTE)
        self.assertAlmostEqual(self.bytes_of(families, device, "blkone"), 8 * MEBIBYTE, delta=0.32 * MEBIBYTE)

    def test_a_file_written_anew_is_its_last_writers(self):
        device, daemon = self.need_disk(), self.start_daemon()
        file = self.directory / "file"
        self.work(WRITER, "blkgone", file, 0, 16, "leave")
        os.truncate(file, 0)
        self.work(WRITER, "blkstays", file, 0, 16, "fsync")
        families = self.settled(daemon)
        self.assertAlmostEqual(self.bytes_of(families, device, "blkstays"), 16 * MEBIBYTE, delta=0.16 * MEBIBYTE)

    def test_parts_sum_to_the_whole(self):
        daemon, path = self.start_daemon(), self.loop_device(64)
        device = os.path.basename(path)
        before = io_ticks(device)
        self.work(DIRECT, "blkparts1", path, 64, "write")
        self.work(DIRECT, "blkparts2", path, 64, "read")
        self.work(WRITER, "blkparts3", path, 0, 16, "fsync")
        families = self.settled(daemon)
        ticks = io_ticks(device) - before
        busy = sample(families, "tidegauge_block_busy_seconds_total", device=device)
        parts = total(families, "tidegauge_block_attributed_busy_seconds_total", device=device)
        requests = total(families, "tidegauge_block_requests_total", device=device)
        print(f"busy {busy:.6f} s, parts {parts:.6f} s, io_ticks {ticks:.3f} s, {requests:.0f} requests", file=sys.stderr)
        self.assertEqual(total(families, "tidegauge_block_in_flight", device=device), 0)
        self.assertAlmostEqual(parts, busy, delta=1e-9 * requests)
        for operation in ("read", "write"):
            self.assertEqual(total(families, "tidegauge_block_attributed_bytes_total", device=device, operation=operation),
                             sample(families, "tidegauge_block_request_bytes_total", device=device, operation=operation))
        self.assertEqual(self.bytes_of(families, device, "blkparts1"), 64 * MEBIBYTE)
        self.assertEqual(self.bytes_of(families, device, "blkparts2", "read"), 64 * MEBIBYTE)
        self.assertEqual(self.bytes_of(families, device, "blkparts3"), 16 * MEBIBYTE)
        reads = histogram(families, "tidegauge_block_device_seconds", "_count", device=device, operation="read")
        self.assertEqual(reads, total(families, "tidegauge_block_requests_total", device=device, operation="read"))
        self.assertGreaterEqual(reads, 1024)
        # In pieces of 64 KiB one after the other; between them losetup and udev look at the device's ends.
        self.assertGreater(sample(families, "tidegauge_block_requests_total", device=device, operation="write", pattern="sequential"), 1000)

    def check_file_system(self, kind):
        daemon, path = self.start_daemon(), self.loop_device(320 if kind == "xfs" else 160)
        device, where = os.path.basename(path), self.mount(path, kind)
        os.sync()
        begin = self.settled(daemon)
        for i in range(20):
            self.work(WRITER, "blkfs", where / f"file{i}", 0, 2, "fsync" if i % 2 else "leave")
        os.sync()
        end = self.settled(daemon)

        def grown(name, **labels):
            return total(end, name, device=device, **labels) - total(begin, name, device=device, **labels)
        ours = grown("tidegauge_block_attributed_bytes_total", group="blkfs", operation="write")
        nobodys = grown("tidegauge_block_attributed_bytes_total", group=NOBODY, operation="write")
        whole = grown("tidegauge_block_request_bytes_total", operation="write")
        reasons = {dict(key[1])["reason"]: round(value) for key, value in
                   end["tidegauge_block_attributed_bytes_total"].series.items()
                   if dict(key[1])["group"] == NOBODY and dict(key[1])["device"] == device}
        print(f"{kind}: {whole:.0f} bytes written, {ours:.0f} of the writer's {40 * MEBIBYTE}, {nobodys:.0f} nobody's {reasons}",
              file=sys.stderr)
        self.assertGreaterEqual(ours, 40 * MEBIBYTE)
        self.assertEqual(grown("tidegauge_block_attributed_bytes_total", operation="write"), whole)
        self.assertLess(nobodys, 0.1 * whole)
        return end, device

    def test_ext4_and_its_journal(self):
        end, device = self.check_file_system("ext4")
        # The writer waits for commits: their flushes are for it.
        self.assertGreater(total(end, "tidegauge_block_requests_total", device=device, operation="flush"), 0)
        self.assertEqual(self.bytes_of(end, device, NOBODY, reason="journal"), 0)

    def test_xfs(self):
        self.check_file_system("xfs")

    def test_btrfs(self):
        self.check_file_system("btrfs")

    def test_forty_thousand_dirty_files(self):
        device, daemon = self.need_disk(), self.start_daemon()
        crowd = self.directory / "crowd"
        crowd.mkdir()
        begin = daemon.scrape()
        self.work(CROWD, "blkcrowd", crowd, 40_000)
        end = self.settled(daemon)

        def grown(name, **labels):
            return total(end, name, **labels) - total(begin, name, **labels)
        known = grown("tidegauge_block_writeback_pages_total", dirtier="known")
        unknown = grown("tidegauge_block_writeback_pages_total", dirtier="unknown")
        ours = self.bytes_of(end, device, "blkcrowd") - self.bytes_of(begin, device, "blkcrowd")
        nobodys = self.bytes_of(end, device, NOBODY) - self.bytes_of(begin, device, NOBODY)
        print(f"40000 files of 4096 bytes: {ours:.0f} bytes are the writer's, {nobodys:.0f} nobody's; of {known + unknown:.0f} pages "
              f"{unknown:.0f} ownerless ({unknown / (known + unknown):.2%})", file=sys.stderr)
        self.assertGreaterEqual(ours, 0.99 * 40_000 * 4096)
        self.assertLess(unknown, 0.01 * (known + unknown))

    def slow_down(self, device, operations_per_second):
        """A control group whose members read so slowly from a disk; how to enter it."""
        number = Path(f"/sys/block/{device}/dev").read_text().strip()
        root = Path("/sys/fs/cgroup/blkio")
        group = root / f"tidegauge-e2e-{os.getpid()}"
        if not (root / "cgroup.procs").exists():
            self.skipTest("no blkio control group (v1)")
        group.mkdir()
        self.addCleanup(group.rmdir)
        limit = group / "blkio.throttle.read_iops_device"
        if not limit.exists():
            self.skipTest("this kernel throttles no block devices")
        limit.write_text(f"{number} {operations_per_second}")
        return lambda: (group / "cgroup.procs").write_text(str(os.getpid()))

    def test_latency_against_fio(self):
        fio = shutil.which("fio")
        if fio is None:
            self.skipTest("no fio")
        disk, daemon, path = self.need_disk(), self.start_daemon(), self.loop_device(64)
        device = os.path.basename(path)
        # So slow that what fio adds by waking up is small beside it. The disk below is throttled: to the loop
        # device that is time on the device.
        enter = self.slow_down(disk, 250)
        begin = self.settled(daemon)
        for depth in (1, 8):
            done = subprocess.run([fio, "--name=read", f"--filename={path}", "--rw=randread", "--bs=4k", "--direct=1", "--ioengine=libaio",
                                   f"--iodepth={depth}", "--number_ios=1000", "--size=64m", "--randrepeat=0", "--output-format=json"],
                                  capture_output=True, text=True, timeout=scaled(60), check=True, preexec_fn=enter)
            read = json.loads(done.stdout)["jobs"][0]["read"]
            end = self.settled(daemon)

            def grown(name, suffix, begin=begin, end=end):
                return (histogram(end, "tidegauge_block_" + name, suffix, device=device, operation="read")
                        - histogram(begin, "tidegauge_block_" + name, suffix, device=device, operation="read"))
            count = grown("device_seconds", "_count")
            ours = (grown("device_seconds", "_sum") + grown("queue_seconds", "_sum")) / count
            theirs = read["clat_ns"]["mean"] / 1e9
            print(f"depth {depth}: fio {theirs * 1e6:.1f} us, ours {ours * 1e6:.1f} us ({ours / theirs:.3f}), {read['total_ios']} and "
                  f"{count:.0f} requests", file=sys.stderr)
            self.assertGreaterEqual(count, read["total_ios"])
            self.assertAlmostEqual(ours / theirs, 1, delta=0.1)
            begin = end


if __name__ == "__main__":
    harness.main()
