#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Requests of block devices and whose they are, against what the workloads themselves know they did."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
import unittest
from pathlib import Path

import block_case
import harness
from block_case import CROWD, DIRECT, MEBIBYTE, NOBODY, WRITER, histogram, io_ticks, total
from harness import sample, scaled, wait_until

LONG = os.environ.get("TIDEGAUGE_E2E_LONG")


class Checks(block_case.Case):
    def check_direct(self, attempt):
        device, file = self.need_disk(), self.directory / "file"
        self.work(WRITER, "blkprepare", file, 0, 32, "fsync")
        self.work(DIRECT, "blkdirectw" + attempt, file, 32, "write")
        self.work(DIRECT, "blkdirectr" + attempt, file, 32, "read")
        families = self.settled()
        self.assertAlmostEqual(self.bytes_of(families, device, "blkdirectw" + attempt), 32 * MEBIBYTE, delta=0.1 * MEBIBYTE)
        # Besides the file an interpreter reads its own modules, if they are not cached.
        read = self.bytes_of(families, device, "blkdirectr" + attempt, "read")
        self.assertGreaterEqual(read, 32 * MEBIBYTE)
        self.assertLess(read, 32.5 * MEBIBYTE)

    def check_buffered(self, attempt):
        device, name = self.need_disk(), "blkbuffered" + attempt
        self.work(WRITER, name, self.directory / attempt, 0, 32, "fsync")
        families = self.settled()
        self.assertAlmostEqual(self.bytes_of(families, device, name), 32 * MEBIBYTE, delta=0.32 * MEBIBYTE)
        self.assertGreater(total(families, "tidegauge_block_attributed_busy_seconds_total", device=device, group=name), 0)
        self.assertEqual(self.bytes_of(families, device, "kworker"), 0)
        self.assertAlmostEqual(total(families, "tidegauge_block_process_bytes_total", comm=name, operation="write"),
                               32 * MEBIBYTE, delta=0.32 * MEBIBYTE)

    def check_two_writers(self, attempt):
        device, file = self.need_disk(), self.directory / attempt
        self.work(WRITER, "blkthree" + attempt, file, 0, 24, "leave")
        self.work(WRITER, "blkone" + attempt, file, 24, 8, "leave")
        os.sync()
        families = self.settled()
        self.assertAlmostEqual(self.bytes_of(families, device, "blkthree" + attempt), 24 * MEBIBYTE, delta=0.32 * MEBIBYTE)
        self.assertAlmostEqual(self.bytes_of(families, device, "blkone" + attempt), 8 * MEBIBYTE, delta=0.32 * MEBIBYTE)

    def check_written_later(self, attempt):
        device, name = self.need_disk(), "blklater" + attempt
        self.work(WRITER, name, self.directory / attempt, 0, 32, "leave")
        os.sync()
        self.assertAlmostEqual(self.bytes_of(self.settled(), device, name), 32 * MEBIBYTE, delta=0.32 * MEBIBYTE)

    def check_written_anew(self, attempt):
        device, file = self.need_disk(), self.directory / attempt
        self.work(WRITER, "blkgone" + attempt, file, 0, 16, "leave")
        os.truncate(file, 0)
        self.work(WRITER, "blkstays" + attempt, file, 0, 16, "fsync")
        self.assertAlmostEqual(self.bytes_of(self.settled(), device, "blkstays" + attempt), 16 * MEBIBYTE, delta=0.16 * MEBIBYTE)

    def check_untimed(self, requests, begin, end):
        """Requests that are in no histogram: their ends were not seen, and each is a loss that is told. There are kernels that
        run no BPF program in an interrupt of certain processes."""
        lost = sample(end, "tidegauge_block_losses_total", what="end") - sample(begin, "tidegauge_block_losses_total", what="end")
        self.assertGreaterEqual(requests, 0)
        self.assertLessEqual(requests, lost)

    def check_file_system(self, kind):
        path = self.loop_device(320 if kind == "xfs" else 160)
        device, where = os.path.basename(path), self.mount(path, kind)
        os.sync()
        name = "blk" + kind
        begin = self.settled()
        for i in range(20):
            self.work(WRITER, name, where / f"file{i}", 0, 2, "fsync" if i % 2 else "leave")
        os.sync()
        end = self.quiet(device)

        def grown(family, **labels):
            return total(end, family, device=device, **labels) - total(begin, family, device=device, **labels)
        ours = grown("tidegauge_block_attributed_bytes_total", group=name, operation="write")
        nobodys = grown("tidegauge_block_attributed_bytes_total", group=NOBODY, operation="write")
        whole = grown("tidegauge_block_request_bytes_total", operation="write")
        reasons = {reason: grown("tidegauge_block_attributed_bytes_total", group=NOBODY, reason=reason) for reason in
                   harness.label_values(end, "tidegauge_block_attributed_bytes_total", "reason") if reason}
        print(f"{kind}: {whole:.0f} bytes written, {ours:.0f} of the writer's {40 * MEBIBYTE}, {nobodys:.0f} nobody's {reasons}",
              file=sys.stderr)
        self.assertGreaterEqual(ours, 40 * MEBIBYTE)
        self.assertEqual(grown("tidegauge_block_attributed_bytes_total", operation="write"), whole)
        self.assertLess(nobodys, 0.1 * whole)
        return grown


class BlockTest(Checks):
    def test_buffered_writes_are_the_writers(self):
        self.undisturbed(self.check_buffered)

    def test_direct_io_is_the_submitters(self):
        self.undisturbed(self.check_direct)

    def test_two_writers_of_one_file(self):
        self.undisturbed(self.check_two_writers)

    def test_parts_sum_to_the_whole(self):
        path = self.loop_device(64)
        device = os.path.basename(path)
        begin, ticks = self.quiet(device), io_ticks(device)
        self.work(DIRECT, "blkparts1", path, 64, "write")
        self.work(DIRECT, "blkparts2", path, 64, "read")
        self.work(WRITER, "blkparts3", path, 0, 16, "fsync")
        end, ticks = self.quiet(device), io_ticks(device) - ticks

        def grown(family, **labels):
            return total(end, family, device=device, **labels) - total(begin, family, device=device, **labels)
        busy, parts = grown("tidegauge_block_busy_seconds_total"), grown("tidegauge_block_attributed_busy_seconds_total")
        requests = grown("tidegauge_block_requests_total")
        print(f"busy {busy:.6f} s, parts {parts:.6f} s, io_ticks {ticks:.3f} s, {requests:.0f} requests", file=sys.stderr)
        self.assertAlmostEqual(parts, busy, delta=1e-9 * requests)
        for operation in ("read", "write"):
            self.assertEqual(grown("tidegauge_block_attributed_bytes_total", operation=operation),
                             grown("tidegauge_block_request_bytes_total", operation=operation))
        self.assertEqual(self.bytes_of(end, device, "blkparts1"), 64 * MEBIBYTE)
        self.assertEqual(self.bytes_of(end, device, "blkparts2", "read"), 64 * MEBIBYTE)
        self.assertEqual(self.bytes_of(end, device, "blkparts3"), 16 * MEBIBYTE)
        timed = (histogram(end, "tidegauge_block_device_seconds", "_count", device=device, operation="read")
                 - histogram(begin, "tidegauge_block_device_seconds", "_count", device=device, operation="read"))
        reads = grown("tidegauge_block_requests_total", operation="read")
        self.check_untimed(reads - timed, begin, end)
        self.assertGreaterEqual(reads, 1024)
        # In pieces of 64 KiB one after the other; between them losetup and udev look at the device's ends.
        self.assertGreater(grown("tidegauge_block_requests_total", operation="write", pattern="sequential"), 1000)

    def test_ext4_and_its_journal(self):
        grown = self.check_file_system("ext4")
        # The writer waits for commits: their flushes are for it.
        self.assertGreater(grown("tidegauge_block_requests_total", operation="flush"), 0)
        self.assertEqual(grown("tidegauge_block_attributed_bytes_total", group=NOBODY, reason="journal"), 0)


@unittest.skipUnless(LONG, "long: make ebpf-long")
class LongBlockTest(Checks):
    def test_written_back_later_by_the_kernel(self):
        self.undisturbed(self.check_written_later)

    def test_a_file_written_anew_is_its_last_writers(self):
        self.undisturbed(self.check_written_anew)

    def test_xfs(self):
        self.check_file_system("xfs")

    def test_btrfs(self):
        self.check_file_system("btrfs")

    def test_forty_thousand_dirty_files(self):
        device, crowd = self.need_disk(), self.directory / "crowd"
        crowd.mkdir()
        begin = self.settled()
        self.work(CROWD, "blkcrowd", crowd, 40_000)
        end = self.settled()

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

    def test_latency_against_fio(self):
        fio = shutil.which("fio")
        if fio is None:
            self.skipTest("no fio")
        disk, path = self.need_disk(), self.loop_device(64)
        device = os.path.basename(path)
        # So slow that what fio adds by waking up is small beside it. The disk below is throttled: to the loop
        # device that is time on the device.
        enter = self.slow_down(disk, 250, "read")
        begin = self.quiet(device)
        for depth in (1, 8):
            done = subprocess.run([fio, "--name=read", f"--filename={path}", "--rw=randread", "--bs=4k", "--direct=1", "--ioengine=libaio",
                                   f"--iodepth={depth}", "--number_ios=1000", "--size=64m", "--randrepeat=0", "--output-format=json"],
                                  capture_output=True, text=True, timeout=scaled(60), check=True, preexec_fn=enter)
            read = json.loads(done.stdout)["jobs"][0]["read"]
            end = self.quiet(device)

            def grown(name, suffix, begin=begin, end=end):
                return (histogram(end, "tidegauge_block_" + name, suffix, device=device, operation="read")
                        - histogram(begin, "tidegauge_block_" + name, suffix, device=device, operation="read"))
            count = grown("device_seconds", "_count")
            ours = (grown("device_seconds", "_sum") + grown("queue_seconds", "_sum")) / count
            theirs = read["clat_ns"]["mean"] / 1e9
            requests = (total(end, "tidegauge_block_requests_total", device=device, operation="read")
                        - total(begin, "tidegauge_block_requests_total", device=device, operation="read"))
            print(f"depth {depth}: fio {theirs * 1e6:.1f} us, ours {ours * 1e6:.1f} us ({ours / theirs:.3f}), {read['total_ios']} and "
                  f"{requests:.0f} requests, {count:.0f} timed", file=sys.stderr)
            self.assertGreaterEqual(requests, read["total_ios"])
            self.check_untimed(requests - count, begin, end)
            self.assertAlmostEqual(ours / theirs, 1, delta=0.1)
            begin = end

    def check_one_unseen(self, device, begin, end):
        """Between them a write of 4 KiB ended unseen: it is counted, but how long it took is not known."""
        def grown(family, **labels):
            return total(end, family, device=device, **labels) - total(begin, family, device=device, **labels)
        timed = (histogram(end, "tidegauge_block_device_seconds", "_count", device=device, operation="write")
                 - histogram(begin, "tidegauge_block_device_seconds", "_count", device=device, operation="write"))
        # On a kernel that runs no BPF program in an interrupt of certain processes there may be others.
        self.assertGreaterEqual(grown("tidegauge_block_requests_total", operation="write"), timed + 1)
        self.check_untimed(grown("tidegauge_block_requests_total", operation="write") - timed, begin, end)
        self.assertEqual(grown("tidegauge_block_attributed_bytes_total", operation="write", reason="unknown"), 4096)
        self.assertEqual(grown("tidegauge_block_attributed_bytes_total"), grown("tidegauge_block_request_bytes_total"))

    def test_a_request_made_anew_whose_end_was_not_seen(self):
        if not shutil.which("bpftool"):
            self.skipTest("no bpftool")
        path = self.loop_device(32)
        device = os.path.basename(path)
        self.work(DIRECT, "blkfirst", path, 1, "write")
        # The address of a request that exists.
        writer = subprocess.Popen([sys.executable, "-c", "while True:\n" + textwrap.indent(DIRECT, "  "), path, "32", "write"])
        self.addCleanup(writer.wait)
        self.addCleanup(writer.kill)
        request = wait_until(lambda: block_case.requests_of(self.daemon, path), 10, "a request of the writer")[0]
        writer.kill()
        writer.wait()
        begin = self.quiet(device)
        begun = time.monotonic()
        block_case.place_request(self.daemon, path, request)
        sizes = []

        def noticed():
            sizes.append(4)
            self.work(DIRECT, "blkanew", path, sizes[-1], "write")
            return not block_case.requests_of(self.daemon, path)
        wait_until(noticed, 8, "the request is used again")
        end = self.quiet(device)
        print(f"noticed after {time.monotonic() - begun:.1f} s and {sum(sizes) * 16} requests", file=sys.stderr)
        self.check_one_unseen(device, begin, end)
        self.assertEqual(self.bytes_of(end, device, "blkanew"), sum(sizes) * MEBIBYTE)

    def test_a_request_whose_end_was_not_seen(self):
        if not shutil.which("bpftool"):
            self.skipTest("no bpftool")
        path = self.loop_device(8)
        device = os.path.basename(path)
        self.work(DIRECT, "blkstale", path, 4, "write")
        begin = self.quiet(device)
        block_case.place_request(self.daemon, path, 0xFFFF888012345600)
        begun = time.monotonic()

        def seen(families):
            return total(families, "tidegauge_block_in_flight", device=device, operation="write")
        wait_until(lambda: seen(self.settled()) == 1, 5, "it is in flight")
        wait_until(lambda: seen(self.settled()) == 0, 30, "it is given up")
        seconds, end = time.monotonic() - begun, self.quiet(device)

        def grown(name, **labels):
            return total(end, name, device=device, **labels) - total(begin, name, device=device, **labels)
        busy, parts = grown("tidegauge_block_busy_seconds_total"), grown("tidegauge_block_attributed_busy_seconds_total")
        unknown = grown("tidegauge_block_attributed_busy_seconds_total", reason="unknown")
        print(f"given up after {seconds:.1f} s; busy {busy:.3f} s, parts {parts:.3f} s, {unknown:.3f} s of it unknown", file=sys.stderr)
        self.assertGreater(busy, 5)
        self.assertLess(busy, seconds)
        self.assertAlmostEqual(parts, busy, delta=1e-6)
        self.assertAlmostEqual(unknown, busy, delta=1e-6)
        self.check_one_unseen(device, begin, end)
        # And all goes on as before.
        self.work(DIRECT, "blkafter", path, 4, "write")
        self.assertEqual(self.bytes_of(self.quiet(device), device, "blkafter"), 4 * MEBIBYTE)


if __name__ == "__main__":
    harness.main()
