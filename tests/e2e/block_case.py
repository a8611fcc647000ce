# SPDX-License-Identifier: Apache-2.0
"""What the tests of the collector ebpf_block share: workloads that know what they did, disks of their own, one daemon."""

import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import harness
from harness import sample, scaled, wait_until

MEBIBYTE = 1 << 20
FLAGS = ("--collector.disable-defaults", "--collector.ebpf_block", "--cpu-budget=off", "--tick=200ms",
         "--collector.ebpf_block.interval=200ms")
NOBODY = "(unattributed)"  # group

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


# Of struct tg_block_issued in bpf/block_records.h, the last member of struct tg_block_device.
ISSUED_BYTES, ISSUED_WAYS, ISSUED_SETS = 56, 4, 32


def maps_of(daemon):
    """The numbers of its BPF maps."""
    out = set()
    for file in Path(f"/proc/{daemon.pid}/fdinfo").iterdir():
        try:
            out.update(int(number) for number in re.findall(r"^map_id:\s+(\d+)$", file.read_text(), re.MULTILINE))
        except FileNotFoundError:  # closed meanwhile
            pass
    return out


def read_device(daemon, path):
    """(map, key, value) of a device in the daemon's map `devices`."""
    def bpftool(*arguments):
        return json.loads(subprocess.run(["bpftool", "-j", "map", *map(str, arguments)], capture_output=True, text=True, check=True).stdout)
    ours = maps_of(daemon)
    (devices,) = (entry["id"] for entry in bpftool("show") if entry.get("name") == "devices" and entry["id"] in ours)
    number = os.stat(path).st_rdev
    key = [f"{byte:#x}" for byte in (os.major(number) << 20 | os.minor(number)).to_bytes(4, sys.byteorder)]
    return devices, key, bytearray(int(byte, 16) for byte in bpftool("lookup", "id", devices, "key", *key)["value"])


def requests_of(daemon, path):
    """The addresses of the requests that a device has at the moment."""
    _, _, value = read_device(daemon, path)
    first = len(value) - ISSUED_BYTES * ISSUED_WAYS * ISSUED_SETS
    return [request for (request,) in (struct.unpack_from("=Q", value, at) for at in range(first, len(value), ISSUED_BYTES)) if request]


def place_request(daemon, path, request):
    """Makes a device that is idle have a write that is never to end."""
    devices, key, value = read_device(daemon, path)
    number = os.stat(path).st_rdev
    writes = 88 + 8
    first = ((request & 0xFFFFFFFF) * 0x9E3779B1 & 0xFFFFFFFF) >> 27
    place = len(value) - ISSUED_BYTES * ISSUED_WAYS * (ISSUED_SETS - first)
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    value[4:8] = struct.pack("=I", 1)
    value[24:32] = struct.pack("=Q", now)
    value[writes:writes + 8] = struct.pack("=Q", 1)
    (virtual,) = struct.unpack_from("=Q", value, 8)
    unknown = 6  # TG_BLOCK_UNKNOWN
    struct.pack_into("=QQQQIIIIIBBBB", value, place, request, now, 0, virtual, os.major(number) << 20 | os.minor(number), 0, 4096, 0, 0,
                     1, unknown, 0, 1)
    subprocess.run(["bpftool", "map", "update", "id", str(devices), "key", *key, "value", *(f"{byte:#x}" for byte in value)], check=True)


class Case(harness.TestCase):
    """One daemon for all tests of a class: what they look at has names of its own, or has grown since."""

    wrapper = ()  # of the daemon

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if os.geteuid() != 0:
            raise unittest.SkipTest("BPF programs need root")
        if not os.path.exists("/sys/kernel/btf/vmlinux"):
            raise unittest.SkipTest("this kernel describes no types")
        folder = tempfile.TemporaryDirectory(prefix="tidegauge-e2e-")
        cls.addClassCleanup(folder.cleanup)
        port = harness.free_port()
        cls.daemon = harness.Daemon([*cls.wrapper, harness.TIDEGAUGE, "serve", "--config.file=", f"--web.listen-address=127.0.0.1:{port}", *FLAGS],
                                    folder.name, "tidegauge", port=port)
        cls.addClassCleanup(cls.daemon.stop)
        cls.daemon.wait_ready("/-/ready", 10)
        cls.settled()

    def setUp(self):
        super().setUp()
        # Files of before are nobody's: let none of them be written among ours.
        os.sync()

    @classmethod
    def settled(cls):
        """A scrape of a pass that began after this call. The next to end may have begun before, and when a tick has begun and
        not yet been published, also the one after it."""
        def runs(families):
            return sample(families, "tidegauge_collector_runs_total", collector="ebpf_block") or 0
        before = runs(cls.daemon.scrape())
        seen = []

        def later():
            seen.append(cls.daemon.scrape())
            return runs(seen[-1]) >= before + 3
        wait_until(later, 20, lambda: "three more passes\n" + cls.daemon.tail())
        return seen[-1]

    def quiet(self, device):
        """The same, of a device that has nothing in flight. A request that ended unseen is, until it is given up after 10 s."""
        seen = []

        def idle():
            seen.append(self.settled())
            return total(seen[-1], "tidegauge_block_in_flight", device=device) == 0
        wait_until(idle, 20, lambda: f"nothing in flight on {device}: {Path(f'/sys/block/{device}/inflight').read_text()} "
                   f"{total(seen[-1], 'tidegauge_block_in_flight', device=device)}")
        return seen[-1]

    def undisturbed(self, check):
        """Others of this host make the page cache of an interpreter, or of a file, be read or written anew: then once more, under
        another name."""
        for attempt in "abc":
            try:
                return check(attempt)
            except AssertionError as error:
                if attempt == "c":
                    raise
                print(f"{self.id()}: again: {error}", file=sys.stderr)
        return None

    def work(self, program, name, *arguments):
        """Runs it under a name, and so in a group, of its own: that of the link to the interpreter."""
        link = self.directory / "programs" / name
        if not link.exists():
            link.parent.mkdir(exist_ok=True)
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

    def slow_down(self, device, operations_per_second, operation):
        """A control group whose members read from a disk, or write to it, so slowly; how to enter it."""
        number = Path(f"/sys/block/{device}/dev").read_text().strip()
        root = Path("/sys/fs/cgroup/blkio")
        group = root / f"tidegauge-e2e-{os.getpid()}"
        if not (root / "cgroup.procs").exists():
            self.skipTest("no blkio control group (v1)")
        group.mkdir()
        self.addCleanup(group.rmdir)
        limit = group / f"blkio.throttle.{operation}_iops_device"
        if not limit.exists():
            self.skipTest("this kernel throttles no block devices")
        limit.write_text(f"{number} {operations_per_second}")
        return lambda: (group / "cgroup.procs").write_text(str(os.getpid()))

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
