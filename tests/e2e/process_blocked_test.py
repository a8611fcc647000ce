#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A process that hangs inside exec, so that reads of its /proc/PID/{stat,io,wchan} do not return, costs no other its
figures. The hang is real: closing a file of a FUSE server that does not answer (frozen_fuse.py)."""

import sys
import threading
from pathlib import Path

import frozen_fuse
import harness
from harness import label_values, sample, wait_until

FLAGS = ("--collector.disable-defaults", "--collector.process", "--collector.process.interval=500ms",
         "--collector.processes", "--collector.processes.interval=500ms", "--tick=500ms", "--collector-timeout=2s",
         "--cpu-budget=off")
NAME = "tgblocked"
SAYS = "its /proc files do not answer"


def answers(path):
    """Whether a read of it returns. The reader of one that does not ends with the process it reads about."""
    done = threading.Event()

    def read():
        try:
            Path(path).read_bytes()
        except OSError:
            pass
        done.set()
    threading.Thread(target=read, daemon=True).start()
    return done.wait(0.2)


def reading_threads(daemon):
    """At most four that hang and one that works, for each of the collectors, and one for details."""
    return sum((task / "comm").read_text() == "tasks\n" for task in Path(f"/proc/{daemon.pid}/task").iterdir())


class BlockedTest(harness.TestCase):
    source = None

    def setUp(self):
        super().setUp()
        reason = frozen_fuse.unavailable()
        if reason:
            print(f"skipped: {reason}", file=sys.stderr)
            self.skipTest(reason)
        point = self.directory / "frozen"
        point.mkdir()
        self.fuse = frozen_fuse.FrozenFuse(point)
        self.addCleanup(self.fuse.free)

    def start_beside(self, count):
        self.fuse.stick(NAME, count)
        daemon = self.start(*FLAGS, f"--collector.process.source={self.source}")
        wait_until(lambda: sample(daemon.scrape(), "tidegauge_group_processes", group=NAME) == count, 5,
                   lambda: f"a pass\n{daemon.tail()}")
        self.fuse.let_exec()
        pid = self.fuse.stuck[0]
        for file in ("stat", "io", "wchan"):
            if answers(f"/proc/{pid}/{file}"):
                self.skipTest(f"this kernel's {file} does not wait for an exec")
        return daemon

    def scrapes(self, daemon, passes):
        """Two scrapes with so many passes between. What this process did in between must show."""
        def runs(families, name):
            return sample(families, "tidegauge_collector_runs_total", collector=name)
        before = daemon.scrape()

        def later():
            families = daemon.scrape()
            return families if all(runs(families, name) >= runs(before, name) + passes
                                   for name in ("process", "processes")) else None
        return before, wait_until(later, passes * 2 + 4, lambda: f"{passes} passes\n{daemon.tail()}", pause=0.1)

    def check_others(self, daemon, passes=4):
        before, after = self.scrapes(daemon, passes)
        for name in ("process", "processes"):
            self.assertEqual(sample(after, "tidegauge_collector_success", collector=name), 1, daemon.tail())
            self.assertFalse(sample(after, "tidegauge_collector_stuck", collector=name))
        self.assertEqual(label_values(after, "tidegauge_process_source_info", "source"), {self.source})
        name = "tidegauge_group_syscall_read_bytes_total"
        growth = sum(after[name].series.values()) - sum(before[name].series.values())
        self.assertGreater(growth, 0, "nobody goes on")
        falls = harness.decreased_counters(before, after)
        self.assertEqual([fall for fall in falls if "tidegauge_group_" in fall], [])
        self.assertGreater(sample(after, "tidegauge_processes"), 5)
        self.assertGreater(sample(after, "node_processes_pids"), 5)
        return after

    def end(self, daemon):
        self.assert_ends_well(daemon)


class ProcfsTest(BlockedTest):
    source = "procfs"

    def missing(self, families):
        return sample(families, "tidegauge_process_missing", field="process", reason=SAYS)

    def test_one(self):
        daemon = self.start_beside(1)
        wait_until(lambda: self.missing(daemon.scrape()) == 1, 6, lambda: f"it named\n{daemon.tail()}")
        self.check_others(daemon, 1)
        threads = reading_threads(daemon)
        after = self.check_others(daemon, 3)
        self.assertEqual(reading_threads(daemon), threads, "it is asked again and again")
        self.assertEqual(self.missing(after), 1)
        self.assertEqual(sample(after, "tidegauge_group_processes", group=NAME), 1, "it has not ended")
        self.fuse.free()
        wait_until(lambda: not sample(daemon.scrape(), "tidegauge_group_processes", group=NAME), 6, "its end")
        self.assertIsNone(self.missing(daemon.scrape()))
        self.end(daemon)

    def test_more_than_there_are_threads_for(self):
        daemon = self.start_beside(7)
        wait_until(lambda: self.missing(daemon.scrape()) == 7, 6, lambda: f"all of them\n{daemon.tail()}")
        self.check_others(daemon, 2)
        self.assertLessEqual(reading_threads(daemon), 11)
        self.end(daemon)


class IteratorTest(BlockedTest):
    source = "iterator"

    def setUp(self):
        super().setUp()
        probe = self.run_tidegauge("collect", "process", "--collector.process.source=iterator")
        if probe.returncode != 0 or "source=\"iterator\"" not in probe.stdout:
            self.skipTest("no BPF iterator here: " + (probe.stderr.strip().splitlines() or ["?"])[-1])

    def test_one_in_state_d(self):
        daemon = self.start_beside(1)
        frozen_fuse.kill(self.fuse.stuck[0])  # from now on it waits uninterruptibly

        def stuck():
            return sample(daemon.scrape(), "tidegauge_stuck_threads", group=NAME, wchan="unknown")
        wait_until(stuck, 6, lambda: f"it among the stuck\n{daemon.tail()}")
        self.check_others(daemon)
        self.end(daemon)


if __name__ == "__main__":
    harness.main()
