#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bursts of block devices that a second does not show: how high, and whose. With BPF programs and without."""

import os
import shutil
import subprocess
import sys
import time
import unittest
from pathlib import Path

import block_case
import harness
from block_case import total
from harness import sample, scaled, wait_until

# DEVICE MILLISECONDS EVERY ROUNDS: direct writes of 4 KiB for so long, twelve at a time, every so many seconds. Says when each
# began and ended, and how many there were.
BURSTS = """
import mmap, os, sys, threading, time
fd = os.open(sys.argv[1], os.O_DIRECT | os.O_WRONLY)
buffer = mmap.mmap(-1, 4096)
def write(end, done):
    while done[0] == 0 or time.monotonic() < end:
        os.pwritev(fd, [buffer], done[0] % 256 << 12)
        done[0] += 1
for i in range(int(sys.argv[4])):
    begun, counts = time.time(), [[0] for _ in range(12)]
    end = time.monotonic() + int(sys.argv[2]) / 1000
    threads = [threading.Thread(target=write, args=(end, done)) for done in counts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(begun, time.time(), sum(done[0] for done in counts), flush=True)
    time.sleep(max(0, begun + float(sys.argv[3]) - time.time()))
"""
TRICKLE = """
import mmap, os, sys, time
fd = os.open(sys.argv[1], os.O_DIRECT | os.O_WRONLY)
buffer = mmap.mmap(-1, 4096)
while True:
    os.pwritev(fd, [buffer], 0)
    time.sleep(0.02)
"""
RATIO = "tidegauge_block_window_busy_ratio"


class Bursts(block_case.Case):
    least_bursts = 3  # of four, where the host is so busy that one has a gap

    def begin(self):
        """A device that is so slow that it is busy however late its writer is given a CPU: of twelve requests the disk below
        takes ten in 100 ms, so some wait all the time."""
        disk = self.need_disk()
        self.path = self.loop_device(8)
        self.device = os.path.basename(self.path)
        self.enter = self.slow_down(disk, 100, "write")
        self.told = []

        def known():
            self.bursts("blkfirst", 1, 0, 1)
            return self.value(self.after(), "bursts_total") is not None
        wait_until(known, 20, "windows of the device")

    def program(self, name):
        link = self.directory / "programs" / name
        link.parent.mkdir(exist_ok=True)
        if not link.exists():
            link.symlink_to(os.path.realpath(sys.executable))
        return link

    def bursts(self, name, milliseconds, every, rounds):
        """What the writer says of each: from when to when, how many."""
        done = subprocess.run([self.program(name), "-c", BURSTS, self.path, str(milliseconds), str(every), str(rounds)], capture_output=True,
                              text=True, timeout=scaled(60), check=True, preexec_fn=self.enter)
        told = [tuple(map(float, line.split())) for line in done.stdout.splitlines()]
        self.told += told
        return told

    def value(self, families, name, **labels):
        return sample(families, "tidegauge_block_" + name, device=self.device, **labels)

    def after(self):
        """What has ended is in windows that have ended, half a second around included."""
        time.sleep(scaled(0.7))
        return self.settled()

    def grown(self, begin, end):
        """Windows since, their mean, and how many of them there were of more than 90 %."""
        def since(suffix, **labels):
            now, before = (families[RATIO].series.get((RATIO + suffix, tuple(sorted({"device": self.device, **labels}.items()))), 0)
                           for families in (end, begin))
            return now - before
        windows = since("_count")
        return windows, since("_sum") / windows, windows - since("_bucket", le="0.9")

    def check_bursts(self, attempt):
        begin, started = self.after(), time.time()
        told = self.bursts(f"blkburst{attempt}", 150, 4, 4)
        end, seconds = self.after(), time.time() - started
        windows, mean, high = self.grown(begin, end)
        peak, bursts = self.value(end, "peak_busy_ratio"), self.value(end, "bursts_total") - self.value(begin, "bursts_total")
        most = self.value(end, "peak_requests_per_second")
        print(f"4 bursts of {min(end - begin for begin, end, _ in told):.3f} to {max(end - begin for begin, end, _ in told):.3f} s in "
              f"{seconds:.1f} s: {bursts:.0f} seen, peak {peak:.3f}, mean {mean:.3f}, {windows:.0f} windows, {high:.0f} of them over 0.9; "
              f"{most:.0f} requests/s at most", file=sys.stderr)
        self.assertGreater(peak, 0.95)
        self.assertLess(mean, 0.1)
        self.assertAlmostEqual(windows, 10 * seconds, delta=0.15 * 10 * seconds)
        self.assertLessEqual(bursts, 8)
        self.assertGreaterEqual(bursts, self.least_bursts)
        self.assertEqual(self.value(end, "windows_lost_total"), self.value(begin, "windows_lost_total"))
        # Each write is a request; losetup and udev have looked at the device, too.
        self.assertGreaterEqual(most, 80)
        self.assertLess(most, 1500)
        when = self.value(end, "peak_timestamp_seconds")
        self.assertTrue(any(begun - 0.1 <= when <= ended for begun, ended, _ in self.told), (when, self.told))
        return end

    def check_steady(self, attempt):
        begin = self.after()
        self.bursts(f"blksteady{attempt}", 3000, 3, 1)
        end = self.after()
        windows, mean, high = self.grown(begin, end)
        print(f"3 s: peak {self.value(end, 'peak_busy_ratio'):.3f}, mean {mean:.3f}, {high:.0f} of {windows:.0f} over 0.9", file=sys.stderr)
        self.assertGreater(high, 25)
        self.assertEqual(self.value(end, "bursts_total"), self.value(begin, "bursts_total"))


class BpfTest(Bursts):
    def user(self, families):
        rows = [dict(labels) for (_, labels) in families["tidegauge_block_peak_user_ratio"].series if dict(labels)["device"] == self.device]
        self.assertEqual(len(rows), 1, [(dict(labels), value) for name, family in families.items() if name.startswith("tidegauge_block")
                                        for (_, labels), value in family.series.items() if dict(labels).get("device") == self.device and "peak" in name])
        return rows[0]

    def test_bursts_and_whose_they_are(self):
        self.begin()

        def check(attempt):
            end = self.check_bursts(attempt)
            labels = self.user(end)
            self.assertEqual((labels["comm"][:-1], labels["group"][:-1], labels.get("reason")), ("blkburst", "blkburst", None))
            self.assertTrue(labels["pid"].isdecimal())
            self.assertGreater(self.value(end, "peak_user_ratio", **{key: labels[key] for key in labels if key != "device"}), 0.3)
        self.undisturbed(check)

    def test_a_steady_writer_has_no_bursts(self):
        self.begin()
        self.undisturbed(self.check_steady)

    def test_who_of_two(self):
        """One that writes a little all the time, and one that comes in a burst."""
        self.begin()
        trickle = subprocess.Popen([self.program("blktrickle"), "-c", TRICKLE, self.path])
        self.addCleanup(trickle.wait)
        self.addCleanup(trickle.kill)

        def check(attempt):
            self.bursts("blkcomes" + attempt, 200, 1, 1)
            end = self.after()
            self.assertEqual(self.user(end)["comm"], "blkcomes" + attempt)
        self.undisturbed(check)

    def test_switched_off(self):
        self.begin()
        self.bursts("blkoff", 100, 1, 1)
        daemon = self.launch("--collector.disable-defaults", "--collector.ebpf_block", "--no-collector.ebpf_block.bursts", "--tick=200ms",
                             "--collector.ebpf_block.interval=200ms")
        daemon.wait_ready("/-/ready", 10)

        def seen():
            self.bursts(f"blkoff{time.monotonic_ns()}", 20, 0, 1)
            return total(daemon.scrape(), "tidegauge_block_busy_seconds_total", device=self.device) > 0
        wait_until(seen, 15, daemon.tail)
        self.assertNotIn(RATIO, daemon.scrape())


class ProcfsTest(Bursts):
    """Without any privilege that BPF takes."""
    least_bursts = 2  # a thread that is given a CPU late tells less
    wrapper = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")

    @classmethod
    def setUpClass(cls):
        if not shutil.which("setpriv"):
            raise unittest.SkipTest("no setpriv")
        super().setUpClass()

    def test_bursts_of_nobody(self):
        self.begin()

        def check(attempt):
            end = self.check_bursts(attempt)
            self.assertNotIn("tidegauge_block_peak_user_ratio", end)
            self.assertNotIn("tidegauge_block_busy_seconds_total", end)
        self.undisturbed(check)

    def test_a_steady_writer_has_no_bursts(self):
        self.begin()
        self.undisturbed(self.check_steady)

    def test_it_costs_next_to_nothing(self):
        def thread():
            for task in Path(f"/proc/{self.daemon.pid}/task").iterdir():
                if (task / "comm").read_text().strip() == "disk-sampler":
                    return int((task / "schedstat").read_text().split()[0])
            raise AssertionError("no such thread")
        before, begun = thread(), time.monotonic()
        time.sleep(scaled(3))
        share = (thread() - before) / 1e9 / (time.monotonic() - begun)
        print(f"{share:.3%} of a CPU, with {len(Path('/proc/diskstats').read_text().splitlines())} lines of /proc/diskstats", file=sys.stderr)
        self.assertLess(share, 0.01)


if __name__ == "__main__":
    harness.main()
