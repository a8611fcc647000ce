#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the flight recorder costs: two daemons side by side, one with it and one without, over the same crowd.

Usage: recorder_bench.py [MINUTES] [PROCESSES]   (15 and 1000; a tenth of the processes works and writes all the time)

Prints RSS and CPU of both, their difference, what a tick costs in the ring, and whether either wrote to a file system
(strace, for the last minute; write_bytes all the time)."""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import harness

MINUTES = float(sys.argv[1]) if len(sys.argv) > 1 else 15
PROCESSES = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
BUSY = """
import ctypes, os, sys, time
i = int(sys.argv[1])
ctypes.CDLL(None).prctl(15, b"busy%d" % (i % 40), 0, 0, 0)
ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
file, n = os.open(f"{sys.argv[2]}/{i}", os.O_CREAT | os.O_WRONLY, 0o600), 0
print("ready", flush=True)
while True:
    sum(range(3000 + i))
    os.pwrite(file, b"x" * (512 + i), n % 1000 * 4096)
    n += 1
    time.sleep(0.2 + i % 70 / 500)
"""


class Side:
    def __init__(self, name, directory, *flags):
        self.name, self.port = name, harness.free_port()
        self.log = open(directory / f"{name}.log", "w", encoding="utf-8")
        self.process = subprocess.Popen([harness.TIDEGAUGE, "serve", "--config.file=", f"--recorder.directory={directory / name}",
                                         f"--web.listen-address=127.0.0.1:{self.port}", *flags], stderr=self.log, cwd=directory)
        self.at, self.cpu = time.monotonic(), self.cpu_seconds()

    def cpu_seconds(self):
        return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")) / 1e9

    def rss(self):
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text())[1]) / 1024

    def written(self):
        return int(re.search(r"\nwrite_bytes: (\d+)", Path(f"/proc/{self.process.pid}/io").read_text())[1])

    def settle(self):
        self.at, self.cpu, self.before = time.monotonic(), self.cpu_seconds(), self.written()

    def share(self):
        return (self.cpu_seconds() - self.cpu) / (time.monotonic() - self.at)

    def end(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()


def writes_of(pid, seconds):
    """System calls that write to a file system, by strace."""
    trace = subprocess.run(["timeout", str(seconds), "strace", "-f", "-y", "-e", "trace=write,pwrite64,writev,pwritev,pwritev2,"
                            "sendfile,copy_file_range,fallocate,ftruncate,rename,renameat2,unlink,mkdir", "-p", str(pid)],
                           capture_output=True, text=True, check=False).stderr
    calls = [line for line in trace.splitlines() if "(" in line and not re.search(r"<(socket|pipe|anon_inode|/dev/null)", line)
             and "attached" not in line and "detached" not in line and "resumed" not in line and "exited" not in line]
    return [line for line in calls if ".log>" not in line]


def main():
    directory = Path(tempfile.mkdtemp(prefix="tidegauge-recorder-bench-"))
    kids = []
    try:
        idle = subprocess.Popen([harness.ROOT / "build" / "idle_processes", str(PROCESSES - PROCESSES // 10)], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE)
        kids.append(idle)
        idle.stdout.readline()
        for i in range(PROCESSES // 10):
            busy = subprocess.Popen([sys.executable, "-c", BUSY, str(i), str(directory)], stdout=subprocess.PIPE)
            kids.append(busy)
            busy.stdout.readline()
        sides = [Side("with", directory), Side("without", directory, "--no-recorder.enabled")]
        time.sleep(30)  # BPF and the first pass are not what this is about
        for side in sides:
            side.settle()
        end = time.monotonic() + MINUTES * 60
        while time.monotonic() < end:
            time.sleep(min(60, max(0.0, end - time.monotonic())))
            print(f"{(time.monotonic() - sides[0].at) / 60:5.1f} min  RSS MiB " + "  ".join(f"{s.name} {s.rss():.1f}" for s in sides)
                  + "  CPU % of a core " + "  ".join(f"{s.name} {s.share() * 100:.3f}" for s in sides), flush=True)
        families = harness.http(sides[0].port).text()
        for line in families.splitlines():
            if re.match(r"tidegauge_recorder_(ring_|memory_|window_|cpu_|snapshots_|plain_|compressed_)", line):
                print(line)
        rss, cpu = [s.rss() for s in sides], [s.share() for s in sides]
        print(f"difference: {rss[0] - rss[1]:+.1f} MiB RSS (bar 8), {(cpu[0] - cpu[1]) * 100:+.3f} % of a core (bar 0.3)")
        for side in sides:
            calls = writes_of(side.process.pid, 60)
            print(f"{side.name}: write_bytes grew by {side.written() - side.before}; in a minute of strace {len(calls)} calls that write",
                  *calls[:5], sep="\n  ")
        for side in sides:
            side.end()
    finally:
        for kid in kids:
            kid.kill()
            kid.wait()
        subprocess.run(["rm", "-rf", directory], check=True)


if __name__ == "__main__":
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    main()
