#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a pass over the processes costs: the whole daemon with nothing but the `process` collector, both sources, beside
a scrape of process-exporter in the same run; prints each figure, its limit and the ratio.

Idle crowds of 1 000 and 10 000 processes, and 1 000 with ten threads each; a pass a second, as in service. The limits
are those of the project's third issue. Exit code 1 with --check if one is missed. Not part of the tests: takes about
four minutes (--quick: two), needs root and a quiet host.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import harness
from harness import wait_until
from resources_bench import Figures, cpu_seconds, memory, sleep_to

FLAGS = ("--collector.disable-defaults", "--collector.process", "--collector.process.interval=1s", "--cpu-budget=off")
MIB = 1 << 20
RULES = "process_names:\n  - name: '{{.Comm}}'\n    cmdline: ['.+']\n"


def pids_limit():
    return int(Path("/proc/sys/kernel/pid_max").read_text())


class Bench(harness.TestCase):
    """Only for its helpers: it starts the programs and stops them."""

    def runTest(self):
        self.figures = Figures()
        self.passes = 8 if options.quick else 20
        if pids_limit() < 16_000:
            raise AssertionError("kernel.pid_max is too small for 10 000 processes")
        peer = shutil.which("prometheus-process-exporter")
        rss = {}
        for processes, threads, limits in ((1_000, 1, {}), (10_000, 1, {"iterator": 15, "procfs": 125}),
                                           (1_000, 10, {"iterator": 8})):
            crowd = self.crowd(processes, threads)
            print(f"{processes} idle processes of {threads} thread{'s' if threads > 1 else ''}: CPU a pass, one a second")
            costs = {}
            for source in ("iterator", "procfs"):
                costs[source], rss[source, processes, threads] = self.cost_of(source, limits.get(source))
            if peer:
                theirs = self.peer_cost(peer)
                for source, cost in costs.items():
                    self.figures.show(f"process-exporter's scrape / {source}",
                                      f"{theirs * 1e3:.0f} ms / {cost * 1e3:.2f} ms: {theirs / cost:.0f} times")
            crowd.stdin.close()
            crowd.wait()
        if not peer:
            print("process-exporter is not installed: not compared")
        self.figures.at_most("RSS, iterator, 10 000 processes", rss["iterator", 10_000, 1] / MIB, 40, "MiB")
        self.figures.at_most("RSS, procfs, 10 000 processes", rss["procfs", 10_000, 1] / MIB, 40, "MiB")
        for source in ("iterator", "procfs"):
            self.figures.show(f"RSS, {source}, 1 000 processes", f"{rss[source, 1_000, 1] / MIB:.2f} MiB")
        if self.figures.missed:
            print(f"missed: {', '.join(self.figures.missed)}")
        if options.check:
            self.assertEqual(self.figures.missed, [])

    def crowd(self, processes, threads):
        crowd = subprocess.Popen([harness.ROOT / "build" / "idle_processes", str(processes), str(threads)],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(crowd.wait)
        self.addCleanup(crowd.stdout.close)
        self.addCleanup(crowd.kill)
        if crowd.stdout.readline() != "ready\n":
            raise AssertionError("this host allows no such crowd")
        return crowd

    def cost_of(self, source, limit_ms):
        daemon = self.start(*FLAGS, f"--collector.process.source={source}")
        wait_until(lambda: daemon.value("tidegauge_processes"), 10, "a first pass")
        time.sleep(2)
        costs, begin = [], time.monotonic() + 1.5 - time.time() % 1  # half a second off the ticks
        for number in range(self.passes + 1):
            sleep_to(begin + number)
            now = cpu_seconds(daemon.pid)
            if number:
                costs[-1] = now - costs[-1]
            if number < self.passes:
                costs.append(now)
        mean = statistics.mean(costs)
        text = f"mean {mean * 1e3:.2f} ms, median {statistics.median(costs) * 1e3:.2f}, min {min(costs) * 1e3:.2f}"
        if limit_ms:
            self.figures.show(f"  {source}", f"{text} (at most {limit_ms})", mean * 1e3 <= limit_ms)
        else:
            self.figures.show(f"  {source}", text)
        rss = memory(daemon.pid)[0]
        daemon.stop()
        return mean, rss

    def peer_cost(self, path):
        config = self.write("process-exporter.yaml", RULES)
        port = harness.free_port()
        peer = self.spawn(harness.Program, [path, f"-config.path={config}", f"-web.listen-address=127.0.0.1:{port}"],
                          "process-exporter", port=port).wait_ready("/", 20)
        peer.get(timeout=60)
        costs = []
        for _ in range(2 if options.quick else 4):
            before = cpu_seconds(peer.pid)
            peer.get(timeout=60)
            time.sleep(0.2)
            costs.append(cpu_seconds(peer.pid) - before)
        peer.stop()
        return statistics.mean(costs)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="shorter, less exact")
    parser.add_argument("--check", action="store_true", help="exit code 1 if a limit is missed")
    options = parser.parse_args()
    outcome = Bench().run()
    for _, text in (*outcome.errors, *outcome.failures):
        print(text, file=sys.stderr)
    sys.exit(0 if outcome.wasSuccessful() else 1)
