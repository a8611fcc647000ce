#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the collector ebpf_block costs: fio's random direct reads of 4 KiB at depths 1 and 32 with it and without, in turn,
and what the kernel counts for each program. Usage: ebpf_block_bench.py [FILE] [ROUNDS] [SECONDS]; as root.

FILE lies on the disk that is measured; it is made when it is not there. Prints medians of both sides and their ratio."""

import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import harness

SIZE = 512 << 20
DEPTHS = (1, 32)
FLAGS = ("--collector.disable-defaults", "--collector.ebpf_block", "--cpu-budget=off")


def fio(path, depth, seconds):
    """Operations per second, and CPU seconds per operation of the whole machine."""
    def busy():
        fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
        return (sum(fields[:8]) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")
    before = busy()
    done = subprocess.run(["fio", "--name=read", f"--filename={path}", f"--size={SIZE}", "--rw=randread", "--bs=4k", "--direct=1",
                           "--ioengine=libaio", f"--iodepth={depth}", f"--runtime={seconds}", "--time_based", "--randrepeat=0",
                           "--output-format=json"], capture_output=True, text=True, check=True)
    read = json.loads(done.stdout)["jobs"][0]["read"]
    return read["iops"], (busy() - before) / read["total_ios"]


class Daemon:
    def __init__(self, *flags):
        self.port = harness.free_port()
        self.process = subprocess.Popen([harness.TIDEGAUGE, "serve", "--config.file=", f"--web.listen-address=127.0.0.1:{self.port}",
                                         *FLAGS, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while b"tidegauge_block_busy_seconds_total" not in self.scrape():
            if self.process.poll() is not None:
                sys.exit("the daemon ended")
            os.sync()
            time.sleep(0.2)

    def scrape(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
                return answer.read()
        except OSError:
            return b""

    def stop(self):
        self.process.terminate()
        self.process.wait()


def measure(path, rounds, seconds):
    results = {(depth, on): [] for depth in DEPTHS for on in (False, True)}
    for turn in range(rounds):
        # Each goes first in every other round: what drifts meanwhile falls on both.
        for on in (False, True) if turn % 2 else (True, False):
            daemon = Daemon() if on else None
            for depth in DEPTHS:
                results[depth, on].append(fio(path, depth, seconds))
            if daemon:
                daemon.stop()
    for depth in DEPTHS:
        without, with_it = ([statistics.median(run[i] for run in results[depth, on]) for i in (0, 1)] for on in (False, True))
        spread = [run[0] for run in results[depth, False]]
        print(f"depth {depth}: without {without[0]:.0f} IOPS ({min(spread):.0f} to {max(spread):.0f}), with {with_it[0]:.0f} IOPS, "
              f"ratio {with_it[0] / without[0]:.3f}; CPU {without[1] * 1e6:.2f} and {with_it[1] * 1e6:.2f} us an operation")


def cost_of_programs(path, seconds):
    daemon = Daemon("--collector.ebpf", "--collector.ebpf.statistics=always", "--collector.ebpf.budget-ppm=0")
    fio(path, DEPTHS[-1], seconds)
    time.sleep(6)  # past a look at what they cost
    values = {}
    for line in daemon.scrape().decode().splitlines():
        for name in ("run_seconds_total", "runs_total"):
            if line.startswith("tidegauge_ebpf_program_" + name):
                values[line.split('"')[1], name] = float(line.rsplit(" ", 1)[1])
    daemon.stop()
    for program in sorted({key[0] for key in values}):
        runs = values[program, "runs_total"]
        if program.startswith("block_") and runs:
            print(f"{program}: {values[program, 'run_seconds_total'] / runs * 1e9:.0f} ns a run, with the 20 to 40 ns that counting takes")


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else "/var/tmp/tidegauge-block-bench"
    rounds, seconds = (int(sys.argv[i]) if len(sys.argv) > i else default for i, default in ((2, 5), (3, 4)))
    if not os.path.exists(path):
        subprocess.run(["fio", "--name=make", f"--filename={path}", f"--size={SIZE}", "--rw=write", "--bs=1m", "--direct=1"],
                       stdout=subprocess.DEVNULL, check=True)
    measure(path, rounds, seconds)
    cost_of_programs(path, seconds)


if __name__ == "__main__":
    main()
