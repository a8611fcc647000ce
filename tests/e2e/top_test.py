#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`tidegauge top` against what processes themselves know they did, and on a terminal of its own."""

import bisect
import ctypes
import json
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
import fcntl

import harness
from harness import TIDEGAUGE, libc, scaled

NOBODY = 65534
COLUMNS = 80
# Two intervals: the second one is a full one of whatever runs all the time.
NAME = "import ctypes,sys; ctypes.CDLL(None).prctl(15, bytes.fromhex(sys.argv[1]), 0, 0, 0)\n"
# Writes about 10 MiB a second; tells its own bytes whenever it is asked.
WRITER = NAME + """
import os, select, time
fd = os.open(sys.argv[2], os.O_CREAT | os.O_WRONLY, 0o600)
total, block = 0, bytes(1 << 16)
while True:
    os.pwrite(fd, block, total % (64 << 20))
    total += len(block)
    if total % (1 << 20) == 0:
        os.fdatasync(fd)
    print(time.clock_gettime(time.CLOCK_BOOTTIME), total, flush=True)
    time.sleep(0.006)
"""
# Short-lived children all the time, each writing 64 KiB; tells how many.
STORM = NAME + """
import os, time
block, count = bytes(65536), 0
while True:
    if os.fork() == 0:
        fd = os.open(f"{sys.argv[2]}/{count % 32}", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        os.write(fd, block)
        os._exit(0)
    os.wait()
    count += 1
    print(time.clock_gettime(time.CLOCK_BOOTTIME), count, flush=True)
    time.sleep(0.02)
"""
IDLE = NAME + "print('ready', flush=True)\nsys.stdin.read()\n"
HOSTILE = (b"\x1b[31mred", b"a\nb\rc", b"\xff\xfe\x80", "\u4e16\u754c\u4e16\u754c".encode(), "\u202eabc".encode(),
           b"\xc2\x9b2Jx", b"\x1b]0;title\x07", b"tab\tbell\x07", "e\u0301\u0301\u0301".encode())

libc.setlocale.restype = ctypes.c_char_p
UTF8 = libc.setlocale(0, b"C.UTF-8") is not None  # LC_CTYPE
libc.wcwidth.argtypes = [ctypes.c_wchar]


def columns_of(text):
    widths = [libc.wcwidth(c) for c in text]
    if any(w < 0 for w in widths):
        raise AssertionError(f"{text!r} has what no terminal shows")
    return sum(widths)


class TopTest(harness.TestCase):
    def python(self, code, name, *arguments):
        name = name if isinstance(name, bytes) else name.encode()
        process = subprocess.Popen([sys.executable, "-c", code, name.hex(), *map(str, arguments)], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.wait)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stdin.close)
        self.addCleanup(process.kill)
        return process

    def disk_directory(self):
        directory = Path(harness.ROOT / "build" / f"e2e-top-{os.getpid()}")
        directory.mkdir(parents=True, exist_ok=True)
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        return directory

    def top(self, *flags, wrapper=(), program=TIDEGAUGE, env=None):
        ran = subprocess.run([*wrapper, program, "top", "--config.file=", *flags], capture_output=True, timeout=scaled(20),
                             stdin=subprocess.DEVNULL, check=False, cwd=self.directory,
                             env={**os.environ, "LC_ALL": "C.UTF-8", **(env or {})})
        self.assertEqual(ran.returncode, 0, ran.stderr.decode())
        return ran.stdout.decode()

    def objects(self, *flags, **options):
        return [json.loads(line) for line in self.top("--json", *flags, **options).splitlines()]

    def need_root(self):
        if os.geteuid() != 0:
            self.skipTest("the I/O of other processes needs root")

    def check_lines(self, text, columns=COLUMNS):
        self.assertNotIn("\x1b", text)
        for line in text.splitlines():
            self.assertLessEqual(columns_of(line), columns, repr(line))


def boottime_of(realtime):
    """What CLOCK_BOOTTIME was when CLOCK_REALTIME was this."""
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    now = time.clock_gettime(time.CLOCK_REALTIME)
    return realtime - now + (before + time.clock_gettime(time.CLOCK_BOOTTIME)) / 2


def count_at(told, moment):
    """The count at a moment between two of [(time, count)], as if it grew evenly from one to the next."""
    after = bisect.bisect_left(told, (moment,))
    (t0, n0), (t1, n1) = told[after - 1], told[after]
    return n0 + (n1 - n0) * (moment - t0) / (t1 - t0)


class Content(TopTest):
    def rate_within(self, process, begin, end):
        """A second, of what the process counted between two moments by the clock that it prints."""
        told = [(0.0, 0)]
        while told[-1][0] <= end:
            line = process.stdout.readline()
            self.assertTrue(line, "it ended")
            moment, count = line.split()
            told.append((float(moment), int(count)))
        self.assertLess(told[1][0], begin)
        return (count_at(told, end) - count_at(told, begin)) / (end - begin)

    def compare_with_writer(self, source):
        self.need_root()
        if source == "iterator" and self.run_tidegauge("collect", "process", "--collector.process.source=iterator").returncode:
            self.skipTest("no BPF iterator here")
        writer = self.python(WRITER, "tgtopwriter", self.disk_directory() / "file")
        writer.stdout.readline()
        config = self.write("rules.yaml", "collectors: {process: {groups: [{name: 'writers', comm: [tgtopwriter]}]}}\n")
        frame = self.objects("--once", "--interval=3s", f"--collector.process.source={source}", f"--config.file={config}")[-1]
        self.assertEqual(frame["source"], source)
        rows = [row for row in frame["rows"] if row["pid"] == writer.pid]
        self.assertEqual(len(rows), 1, frame)
        self.assertEqual((rows[0]["comm"], rows[0]["group"], rows[0]["user"]), ("tgtopwriter", "writers", "root"))
        end = boottime_of(rows[0]["time"])
        own = self.rate_within(writer, end - rows[0]["interval_seconds"], end)
        ratio = rows[0]["written_bytes_per_second"] / own
        print(f"{source}: {own / 1e6:.3f} MB/s, ratio {ratio:.4f}, read {rows[0]['time'] - frame['time']:.4f} s into the pass, "
              f"over {rows[0]['interval_seconds']:.4f} s of {frame['interval_seconds']:.4f}", file=sys.stderr)
        self.assertAlmostEqual(ratio, 1, delta=0.08)
        self.assertGreaterEqual(frame["total"]["written_bytes_per_second"], rows[0]["written_bytes_per_second"])

    def test_writer_by_iterator(self):
        self.compare_with_writer("iterator")

    def test_writer_by_procfs(self):
        self.compare_with_writer("procfs")

    def test_short_lived_processes_are_rows(self):
        self.need_root()
        storm = self.python(STORM, "tgtopstorm", self.disk_directory())
        storm.stdout.readline()
        frame = self.objects("--once", "--interval=2s")[-1]
        if frame["source"] != "iterator":
            self.skipTest("no BPF iterator here")
        ended = [row for row in frame["rows"] if row["comm"] == "tgtopstorm" and row["ended"]]
        self.assertEqual(len(ended), 1, frame["rows"])
        end = boottime_of(frame["time"])
        own = self.rate_within(storm, end - frame["interval_seconds"], end)
        print(f"ended {ended[0]['ended'] / frame['interval_seconds'] / own:.4f}, written "
              f"{ended[0]['written_bytes_per_second'] / (own * 65536):.4f}", file=sys.stderr)
        self.assertAlmostEqual(ended[0]["ended"] / frame["interval_seconds"] / own, 1, delta=0.25)
        self.assertAlmostEqual(ended[0]["written_bytes_per_second"] / (own * 65536), 1, delta=0.25)
        self.assertIsNone(ended[0]["pid"])
        table = self.top("--once", "--rows=1000")
        self.assertRegex(table, r"\n +- root .* X [tgopsrm+]+ x\d+ ")

    def test_hostile_names(self):
        ready = [self.python(IDLE, name) for name in HOSTILE]
        for process in ready:
            self.assertEqual(process.stdout.readline(), "ready\n")
        pids = {process.pid for process in ready}
        for charset in ("C.UTF-8", "C"):
            for flags in ((), ("--groups",)):
                text = self.top("--once", "--rows=5000", "--interval=100ms", *flags, env={"LC_ALL": charset})
                self.check_lines(text)
                if charset == "C":
                    self.assertTrue(text.isascii())
            first = [line.split()[0] for line in self.top("--once", "--rows=5000", "--interval=100ms").splitlines()]
            self.assertLessEqual({str(pid) for pid in pids}, set(first))
        line = self.top("--json", "--once", "--rows=5000", "--interval=100ms")
        self.assertTrue(line.isascii())
        self.assertEqual(line.count("\n"), 1)
        self.assertNotIn("\x7f", line)
        names = {row["comm"] for row in json.loads(line)["rows"] if row["pid"] in pids}
        self.assertIn("\x1b[31mred", names)  # as it is, escaped

    def test_unprivileged_says_what_it_cannot_see(self):
        self.need_root()
        program = harness.copy_for_everyone(TIDEGAUGE, self.directory)
        wrapper = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all")
        text = self.top("--once", "--interval=200ms", wrapper=wrapper, program=program)
        self.check_lines(text)
        self.assertRegex(text, r"source procfs: no BPF iterator")
        self.assertRegex(text, r"I/O of \d+ processes unknown: needs CAP_SYS_PTRACE")
        frame = self.objects("--once", "--interval=200ms", wrapper=wrapper, program=program)[0]
        self.assertTrue(any(row["read_bytes_per_second"] is None for row in frame["rows"]))
        self.assertEqual([row["pid"] for row in frame["rows"] if row["read_bytes_per_second"] == 0 and row["user"] == "root"], [])

    def test_privacy(self):
        frame = self.objects("--once", "--interval=100ms", "--privacy=drop")[0]
        self.assertEqual({row["user"] for row in frame["rows"] if row["user"]}, {"-"})

    def test_successive_tables_without_a_terminal(self):
        text = self.top("--count=3", "--interval=200ms", "--rows=3")
        self.check_lines(text)
        self.assertEqual(text.count("\ntop - ") + text.startswith("top - "), 3)
        self.check_lines(self.top("--once", "--interval=100ms", env={"COLUMNS": "50"}), 50)

    def test_a_reader_that_leaves(self):
        ran = subprocess.run(["bash", "-c", "set -o pipefail; \"$0\" top --config.file= --interval=100ms | head -1", TIDEGAUGE],
                             capture_output=True, text=True, timeout=scaled(10), check=False)
        self.assertEqual(ran.returncode, 0)
        self.assertEqual(ran.stderr, "")
        self.assertTrue(ran.stdout.startswith("top - "))

    def test_no_procfs(self):
        ran = self.run_tidegauge("top", "--once", f"--path.procfs={self.directory / 'none'}", "--config.file=")
        self.assertEqual(ran.returncode, 1)
        self.assertEqual(len(ran.stderr.splitlines()), 1, ran.stderr)


class Live(TopTest):
    def live(self, *flags, columns=COLUMNS, rows=24):
        """(process, master, settings before)"""
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        self.addCleanup(os.close, slave)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        before = termios.tcgetattr(slave)
        process = subprocess.Popen([TIDEGAUGE, "top", "--config.file=", "--interval=200ms", *flags], stdin=slave, stdout=slave,
                                   stderr=slave, start_new_session=True,
                                   env={**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8"},
                                   preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.slave = slave
        return process, master, before

    def read_until(self, master, wanted, seconds=5):
        data, deadline = b"", time.monotonic() + scaled(seconds)
        while wanted not in data:
            ready, _, _ = select.select([master], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise AssertionError(f"no {wanted!r} in {data[-2000:]!r}")
            data += os.read(master, 65536)
        return data

    def check_restored(self, process, master, before, code=0, seconds=3):
        data = b""
        deadline = time.monotonic() + scaled(seconds)
        while process.poll() is None and time.monotonic() < deadline:
            if select.select([master], [], [], 0.05)[0]:
                data += os.read(master, 65536)
        self.assertEqual(process.wait(1), code)
        while select.select([master], [], [], 0.1)[0]:
            data += os.read(master, 65536)
        self.assertIn(b"\x1b[?1049l", data)
        self.assertIn(b"\x1b[?25h", data)
        self.assertEqual(termios.tcgetattr(self.slave), before)

    def test_q_ends_it_and_the_terminal_is_as_before(self):
        process, master, before = self.live()
        self.read_until(master, b"\x1b[?1049h")
        self.read_until(master, b"TOTAL")
        self.assertNotEqual(termios.tcgetattr(self.slave), before)
        os.write(master, b"q")
        self.check_restored(process, master, before)

    def test_signals_restore_too(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            process, master, before = self.live()
            self.read_until(master, b"TOTAL")
            process.send_signal(number)
            self.check_restored(process, master, before)

    def test_control_c(self):
        process, master, before = self.live()
        self.read_until(master, b"TOTAL")
        os.write(master, b"\x03")
        self.check_restored(process, master, before)

    def test_a_terminal_that_takes_nothing_does_not_hold_it(self):
        process, master, before = self.live(columns=400, rows=100)
        time.sleep(scaled(1.5))  # nobody reads: its buffer is full
        process.send_signal(signal.SIGTERM)
        self.assertIsNotNone(process.wait(scaled(8)))
        self.assertEqual(termios.tcgetattr(self.slave), before)

    def test_keys(self):
        process, master, before = self.live()
        self.read_until(master, b"sorted by io")
        os.write(master, b"c")
        self.read_until(master, b"sorted by cpu")
        os.write(master, b"\x1b[A\x1bOP\x1b[15~g")
        self.read_until(master, b"PROCS")
        os.write(master, b"g")
        self.read_until(master, b"COMMAND")
        os.write(master, b"q")
        self.check_restored(process, master, before)

    def test_another_size(self):
        process, master, before = self.live("--interval=1h")
        self.read_until(master, b"q quit")
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 10, 30, 0, 0))
        data = self.read_until(master, b"\x1b[J")
        lines = data.decode().split("\x1b[H")[-1].split("\r\n")
        self.assertEqual(len(lines), 10)
        self.assertIn("q quit   sort: i I/O r read w+", lines[-1])
        os.write(master, b"q")
        self.check_restored(process, master, before)

    def test_stop_and_go_on(self):
        process, master, before = self.live()
        self.read_until(master, b"TOTAL")
        os.write(master, b"\x1a")
        self.read_until(master, b"\x1b[?1049l")
        self.assertTrue(os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1]))
        self.assertEqual(termios.tcgetattr(self.slave), before)
        process.send_signal(signal.SIGCONT)
        self.read_until(master, b"\x1b[?1049h")
        os.write(master, b"q")
        self.check_restored(process, master, before)

    def test_an_error_restores_too(self):
        procfs = self.directory / "proc"
        procfs.mkdir()
        process, master, before = self.live(f"--path.procfs={procfs}", "--collector.process.source=procfs")
        self.read_until(master, b"TOTAL")
        procfs.rmdir()
        self.check_restored(process, master, before, code=1)

    def test_count_ends_it(self):
        process, master, before = self.live("--count=2")
        self.check_restored(process, master, before)


if __name__ == "__main__":
    harness.main()
