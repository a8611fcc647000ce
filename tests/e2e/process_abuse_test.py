#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Processes that mean harm, and hosts that hide them: what the daemon then shows, and that it goes on.

The long versions of the same run with TIDEGAUGE_E2E_LONG=1 only.
"""

import os
import re
import shutil
import signal
import subprocess
import threading
import time
import unittest
from pathlib import Path

import frozen_fuse
import harness
from harness import label_values, sample, scaled, wait_until
from process_test import FLAGS, MEBIBYTE, NOBODY, ProcessTest, own_memory_kib, source_of, sum_over_groups

WORKLOAD = Path(harness.TIDEGAUGE).parent / "abuse_workload"
STARTED = "tidegauge_group_processes_started_total"
STORAGE_WRITTEN = "tidegauge_group_storage_written_bytes_total"
SYSCALL_WRITTEN = "tidegauge_group_syscall_written_bytes_total"
PASSED = "tidegauge_collector_last_success_timestamp_seconds"
LONG = bool(os.environ.get("TIDEGAUGE_E2E_LONG"))
SETPRIV = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all")
MEMORY_GROWTH_KIB = 4096


def unique(name):
    """The task name of this run alone: others on this host may run the same test."""
    return f"{name}{os.getpid() % 100_000}"


def group_falls(before, after):
    return [fall for fall in harness.decreased_counters(before, after) if fall.startswith("tidegauge_group_")]


def forks():
    return int(re.search(r"^processes (\d+)", Path("/proc/stat").read_text(), re.M)[1])


def rows(families, name, **labels):
    """Values of the series that have these labels among others."""
    if name not in families:
        return []
    return [value for key, value in families[name].series.items() if labels.items() <= dict(key[1]).items()]


def child_of(pid):
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def namespace_pid(pid):
    """The number by which it is known in its innermost pid namespace."""
    return re.search(r"NSpid:.*\s(\d+)$", Path(f"/proc/{pid}/status").read_text(), re.M)[1]


class AbuseTest(ProcessTest):
    def setUp(self):
        super().setUp()
        begin = time.monotonic()
        self.addCleanup(lambda: print(f"[{time.monotonic() - begin:.1f} s] ", end="", flush=True))

    def kill_namespace(self, daemon):
        """At the end: unshare(1) itself blocks SIGTERM."""
        self.addCleanup(os.kill, child_of(daemon.pid), signal.SIGKILL)

    def workload(self, *arguments, wrapper=(), **options):
        process = subprocess.Popen([*wrapper, str(WORKLOAD), *map(str, arguments)], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True, **options)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)  # it reaps its children first
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process):
        try:
            process.stdin.close()
        except BrokenPipeError:
            pass

    def watch(self, daemon, process, pause=0.3):
        """Scrapes until the workload has said its line; every scrape parses, nothing falls. Returns the line."""
        said = []
        reader = threading.Thread(target=lambda: said.append(process.stdout.readline().strip()), daemon=True)
        reader.start()
        before, scrapes = daemon.scrape(), 0
        while reader.is_alive():
            reader.join(scaled(pause))
            after = daemon.scrape()
            self.assertEqual(group_falls(before, after), [])
            before, scrapes = after, scrapes + 1
        print(f"[{self.id().split('.', 1)[1]}: {scrapes} scrapes meanwhile] ", end="", flush=True)
        return said[0]

    def check_with_promtool(self, daemon):
        if not shutil.which("promtool"):
            self.skipTest("no promtool")
        checked = subprocess.run(["promtool", "check", "metrics"], input=daemon.get().text(), text=True, capture_output=True,
                                 timeout=scaled(30), check=False)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def check_memory(self, pid, before):
        growth = own_memory_kib(pid) - before
        print(f"[own memory {growth:+d} KiB] ", end="", flush=True)
        if "asan" not in harness.TIDEGAUGE:
            self.assertLess(growth, MEMORY_GROWTH_KIB)

    def value_settles(self, daemon, name, least, **labels):
        seen = []

        def enough():
            seen.append(daemon.value(name, **labels) or 0)
            return seen[-1] >= least
        wait_until(enough, 8, lambda: f"{name}{labels} >= {least}, last {seen[-1]}")
        return seen[-1]

    def bomb(self, count):
        daemon = self.start_daemon()
        before, forks_before, memory = daemon.scrape(), forks(), own_memory_kib(daemon.pid)
        process = self.workload("bomb", unique("tgbomb"), count)
        self.assertEqual(self.watch(daemon, process), "done")
        self.check_with_promtool(daemon)
        if self.source == "iterator":
            started = self.value_settles(daemon, STARTED, count * 0.99, group=unique("tgbomb"))
            self.assertLessEqual(started, count * 1.01 + 1)
            after = daemon.scrape()
            grown = sum_over_groups(after, STARTED) - sum_over_groups(before, STARTED)
            self.assertGreaterEqual(grown, count * 0.99)
            self.assertLessEqual(grown, (forks() - forks_before) * 1.01 + 1)
            print(f"[{started:.0f} of {count + 1} started, {sample(after, 'tidegauge_process_lost_exits_total'):.0f} lost] ",
                  end="", flush=True)
        else:
            started = self.value_settles(daemon, STARTED, 1, group=unique("tgbomb"))
            lost = daemon.value("tidegauge_process_lost_exits_total")
            self.assertIsNotNone(lost)
            print(f"[{started:.0f} of {count + 1} seen, {lost:.0f} lost] ", end="", flush=True)
            self.assertLessEqual(started, count * 1.01 + 1)
        self.check_memory(daemon.pid, memory)

    def leaderless(self):
        daemon = self.start_daemon()
        process = self.workload("leaderless", "tgleaderless")
        self.assertEqual(process.stdout.readline(), "ready\n")
        wait_until(lambda: daemon.value("tidegauge_group_processes", group="tgleaderless") == 1, 5, "the process without a leader")
        self.value_settles(daemon, SYSCALL_WRITTEN, 1024, group="tgleaderless")

    def names(self, count, max_groups=200):
        daemon = self.start_daemon(f"--collector.process.max-groups={max_groups}")
        memory, series_before = own_memory_kib(daemon.pid), sum(len(family.series) for family in daemon.scrape().values())
        process = self.workload("names", count)
        self.assertEqual(self.watch(daemon, process), "ready")
        # A pass may have seen all of them before they took their names.
        self.value_settles(daemon, "tidegauge_process_group_overflows_total", count - max_groups)
        families = daemon.scrape()
        self.check_with_promtool(daemon)
        groups = label_values(families, "tidegauge_group_processes", "group")
        self.assertLessEqual(len(groups), max_groups + 1)
        self.assertIn("other", groups)
        self.assertGreaterEqual(sample(families, "tidegauge_processes"), count)
        self.assertEqual(sum_over_groups(families, "tidegauge_group_processes"), sample(families, "tidegauge_processes"))
        series = sum(len(family.series) for family in families.values())
        # 21 of a group, 100 of a process's own at most twice the top 10 by five criteria; those of before.
        self.assertLess(series, series_before + 25 * (max_groups + 1) + 30 * 100)
        print(f"[{len(groups)} groups, {series} series, {sample(families, 'tidegauge_process_group_overflows_total'):.0f} "
              "without room] ", end="", flush=True)
        self.check_memory(daemon.pid, memory + 2 * count)  # a tracked process takes up to two KiB, reserves included

    def writers(self, count):
        daemon = self.start_daemon()
        process = self.workload("write", unique("tgwriters"), self.disk_directory(), count, MEBIBYTE)
        said = self.watch(daemon, process)
        self.assertRegex(said, r"^done \d+$")
        print(f"[{said.split()[1]} of {count} took over 50 ms] ", end="", flush=True)
        truth = count * MEBIBYTE
        for name in (STORAGE_WRITTEN, SYSCALL_WRITTEN):
            value = self.value_settles(daemon, name, truth * 0.99, group=unique("tgwriters"))
            print(f"[{value / truth:.6f} of the truth] ", end="", flush=True)
            self.assertLessEqual(value, truth * 1.01)
        time.sleep(scaled(1.2))  # what is counted twice would come now
        for name in (STORAGE_WRITTEN, SYSCALL_WRITTEN):
            self.assertLessEqual(daemon.value(name, group=unique("tgwriters")), truth * 1.01)

    def small_pid_max(self, pid_max):
        """The daemon in a pid namespace of so many numbers, with its own /proc. Returns it and how to enter."""
        if tuple(map(int, os.uname().release.split("-")[0].split(".")[:2])) < (6, 14):
            self.skipTest("kernel.pid_max is the whole host's before 6.14")
        host_pid_max = Path("/proc/sys/kernel/pid_max").read_text()
        script = f"echo {pid_max} > /proc/sys/kernel/pid_max || exit 9; \"$@\"; exit $?"
        # Beside whatever else the host does, the counter is among so many.
        daemon = self.start_daemon("--collector.process.top=100", wrapper=("unshare", "--pid", "--mount-proc", "--fork", "--kill-child", "sh", "-c",
                                            script, "sh"))
        self.kill_namespace(daemon)
        self.assertEqual(Path("/proc/sys/kernel/pid_max").read_text(), host_pid_max)
        return daemon, ("nsenter", f"--target={child_of(daemon.pid)}", "--pid", "--mount")

    def pid_reuse(self, count, pid_max=400):
        daemon, enter = self.small_pid_max(pid_max)
        counter = self.workload("count", unique("tgcounter"), wrapper=enter)
        self.assertEqual(counter.stdout.readline(), "ready\n")
        memory = own_memory_kib(child_of(child_of(daemon.pid)))
        bomb = self.workload("bomb", unique("tgreuse"), count, wrapper=enter)
        self.assertEqual(self.watch(daemon, bomb), "done")
        own = namespace_pid(child_of(counter.pid))
        name = "tidegauge_process_syscall_written_bytes_total"
        wait_until(lambda: rows(daemon.scrape(), name, pid=own, comm=unique("tgcounter")), 5, f"tgcounter as pid {own}")
        families = daemon.scrape()
        self.assertEqual(label_values(families, "tidegauge_process_source_info", "source"), {self.source})
        pids = {int(pid) for pid in label_values(families, "tidegauge_process_cpu_seconds_total", "pid")}
        self.assertTrue(pids and max(pids) < pid_max, pids)
        self.assertTrue(all(value >= 0 for name in families if name.startswith("tidegauge_group_")
                            for value in families[name].series.values()))
        if self.source == "iterator":
            started = self.value_settles(daemon, STARTED, count * 0.99, group=unique("tgreuse"))
            self.assertLessEqual(started, count * 1.01 + 1)
            print(f"[{started:.0f} of {count + 1} started, pids below {max(pids) + 1}] ", end="", flush=True)
        self.check_memory(child_of(child_of(daemon.pid)), memory)
        counter.stdin.write("stop\n")
        counter.stdin.flush()
        truth = int(counter.stdout.readline())
        self.assertGreaterEqual(truth, 1024)
        self.value_settles(daemon, SYSCALL_WRITTEN, truth, group=unique("tgcounter"))
        self.assertLessEqual(daemon.value(SYSCALL_WRITTEN, group=unique("tgcounter")), truth + 65536)

    def churn(self, seconds):
        """Cgroups that come and go under both collectors."""
        roots = [Path(line.split()[1]) for line in Path("/proc/mounts").read_text().splitlines()
                 if line.split()[2] in ("cgroup", "cgroup2") and os.access(line.split()[1], os.W_OK)]
        roots = [root for root in roots if root.name in ("memory", "pids", "unified") or (root / "cgroup.controllers").exists()]
        if not roots:
            self.skipTest("no writable cgroup hierarchy")
        daemon = self.start_daemon("--collector.cgroup", "--collector.cgroup.interval=1s")
        lines_before = len(daemon.stderr().splitlines())
        deadline, made, seen, scrapes, next_scrape = time.monotonic() + seconds, 0, set(), 0, 0
        live = []

        def drop(paths, process):
            process.kill()
            process.wait()
            for path in paths:
                wait_until(lambda: self.removed(path), 3, f"{path} empty")
        try:
            while time.monotonic() < deadline:
                paths = [root / f"tidegauge-abuse-{os.getpid()}-{made}" for root in roots]
                process = subprocess.Popen([shutil.which("sleep"), "30"])
                live.append((paths, process))
                for path in paths:
                    path.mkdir()
                    (path / "cgroup.procs").write_text(str(process.pid))
                made += 1
                if len(live) > 25:  # lives half a second
                    drop(*live.pop(0))
                if time.monotonic() > next_scrape:
                    next_scrape = time.monotonic() + 0.3
                    families = daemon.scrape()
                    scrapes += 1
                    for name in families:
                        if name.startswith("tidegauge_cgroup_"):
                            seen |= {cgroup for cgroup in label_values(families, name, "cgroup") if "tidegauge-abuse" in (cgroup or "")}
                time.sleep(max(0.0, made * 0.02 - (seconds - (deadline - time.monotonic()))))
        finally:
            for one in live:
                drop(*one)

        def lingering():
            families = daemon.scrape()
            return {name for name in families if name.startswith("tidegauge_cgroup_")
                    and any("tidegauge-abuse" in (cgroup or "") for cgroup in label_values(families, name, "cgroup"))}
        wait_until(lambda: not lingering(), 6, lambda: f"gone cgroups vanish: {lingering()}")
        families = daemon.scrape()
        self.assertTrue(seen, "no cgroup of ours was ever shown")
        for collector in ("cgroup", "process"):
            self.assertEqual(sample(families, "tidegauge_collector_success", collector=collector), 1, daemon.tail())
            failures = sum(rows(families, "tidegauge_collector_failures_total", collector=collector))
            self.assertEqual(failures, 0, daemon.tail())
        lines = len(daemon.stderr().splitlines()) - lines_before
        print(f"[{made} cgroups in {seconds} s, {len(seen)} shown, {scrapes} scrapes, {lines} log lines] ", end="", flush=True)
        self.assertGreater(made, seconds * 10)
        self.assertLessEqual(lines, 3, daemon.tail())

    @staticmethod
    def removed(path):
        try:
            path.rmdir()
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True


class NeedsIterator:
    source = "iterator"

    def setUp(self):
        super().setUp()
        probe = self.run_tidegauge("collect", "process", "--collector.process.source=iterator")
        if probe.returncode != 0 or "source=\"iterator\"" not in probe.stdout:
            self.skipTest("no BPF iterator here: " + (probe.stderr.strip().splitlines() or ["?"])[-1])


class IteratorAbuseTest(NeedsIterator, AbuseTest):
    def test_fork_bomb(self):
        self.bomb(20_000)

    def test_process_without_a_leader(self):
        self.leaderless()

    def test_fork_bomb_of_names(self):
        """More names in a pass than the kernel's map of ended processes has room for."""
        daemon, count = self.start_daemon(), 20_000
        before, forks_before, memory = daemon.scrape(), forks(), own_memory_kib(daemon.pid)
        self.assertEqual(self.watch(daemon, self.workload("bomb", "*", count)), "done")

        def grown():
            return sum_over_groups(daemon.scrape(), STARTED) - sum_over_groups(before, STARTED)

        def lost():
            return daemon.value("tidegauge_process_lost_exits_total")
        # None goes untold: what finds no room in the map is counted as lost.
        wait_until(lambda: grown() + lost() >= count * 0.99, 6, lambda: f"{count} started, last {grown()}, {lost()} lost")
        families = daemon.scrape()
        self.assertLessEqual(grown(), (forks() - forks_before) * 1.01 + 1)
        groups = label_values(families, "tidegauge_group_processes", "group")
        self.assertLessEqual(len(groups), 201)
        overflows = sample(families, "tidegauge_process_group_overflows_total")
        self.assertGreater(overflows, 0)
        print(f"[{grown():.0f} of {count + 1} started, {len(groups)} groups, {overflows:.0f} without room, {lost():.0f} lost] ",
              end="", flush=True)
        self.check_memory(daemon.pid, memory)

    def test_short_writers(self):
        self.writers(2000)

    def test_names_without_end(self):
        self.names(3000)

    def test_pid_reuse_in_a_nested_namespace(self):
        self.pid_reuse(20_000)

    def test_cgroups_that_come_and_go(self):
        self.churn(5)


class ProcfsAbuseTest(AbuseTest):
    source = "procfs"

    def test_fork_bomb(self):
        self.bomb(10_000)

    def test_names_without_end(self):
        self.names(1000)

    def test_process_without_a_leader(self):
        self.leaderless()

    def test_hidden_processes_are_told(self):
        program = harness.copy_for_everyone(harness.TIDEGAUGE, self.directory)
        script = "mount --make-rprivate / && mount -t proc -o hidepid=2 proc /proc && exec \"$@\""
        daemon = self.start(*FLAGS, program=program, wrapper=("unshare", "--mount", "sh", "-c", script, "sh", *SETPRIV))
        wait_until(lambda: source_of(daemon) == "procfs", 5, "a pass")
        families = daemon.scrape()
        reasons = label_values(families, "tidegauge_process_missing", "reason")
        told = [reason for reason in reasons if "hidepid=" in reason]
        self.assertEqual(len(told), 1, reasons)
        self.assertIn("CAP_SYS_PTRACE", told[0])
        hidden = rows(families, "tidegauge_process_missing", field="processes", reason=told[0])
        self.assertGreater(hidden[0], 3)
        # What it may see it shows: itself.
        self.assertGreaterEqual(sample(families, "tidegauge_processes"), 1)
        self.assertTrue(rows(families, "tidegauge_group_processes", group="tidegauge"))
        self.assertEqual(sample(families, "tidegauge_collector_success", collector="process"), 1)

    def test_container_shows_the_hosts_pids(self):
        host = self.directory / "host"
        host.mkdir()
        script = f"mount --make-rprivate / && mount --rbind /proc {host} && mount -t proc proc /proc && exec \"$@\""
        daemon = self.start(*FLAGS, f"--path.procfs={host}", "--collector.process.top=100", wrapper=(
            "unshare", "--mount", "--pid", "--cgroup", "--fork", "--kill-child", "sh", "-c", script, "sh"))
        self.kill_namespace(daemon)
        wait_until(lambda: source_of(daemon), 8, "a pass")
        counter = self.workload("count", unique("tghost"))
        self.assertEqual(counter.stdout.readline(), "ready\n")
        written = "tidegauge_process_syscall_written_bytes_total"
        labels = {"pid": str(counter.pid), "comm": unique("tghost")}
        wait_until(lambda: rows(daemon.scrape(), written, **labels), 6, f"{labels}")
        families = daemon.scrape()
        self.assertEqual(label_values(families, "tidegauge_process_source_info", "source"), {"procfs"})
        self.assertTrue(any("pid namespace" in reason for reason in
                            label_values(families, "tidegauge_process_source_info", "reason")))
        # The init of the container is not the host's.
        self.assertGreater(child_of(daemon.pid), 1)
        self.assertGreater(rows(families, written, **labels)[0], 0)


class BlockedFilesTest(AbuseTest):
    """Command lines that cannot be read because somebody holds the process's mmap lock."""
    source = "procfs"
    PROCESSES = 8

    def test_locked_command_lines(self):
        if reason := frozen_fuse.unavailable():
            self.skipTest(reason)
        config = ("collectors:\n  process:\n    groups:\n      - name: 'port {port}'\n"
                  "        cmdline: '--port=(?P<port>\\d+)'\n")
        mount_point = self.directory / "frozen"
        mount_point.mkdir()
        fuse = frozen_fuse.FrozenFuse(mount_point)
        self.addCleanup(fuse.close)
        locked = self.workload("lock", unique("tglocked"), mount_point / "file", self.PROCESSES, preexec_fn=fuse.enter)
        # Before the workload's end is waited for: its threads cannot be killed while they wait for the page.
        self.addCleanup(fuse.close)
        self.assertEqual(locked.stdout.readline(), "mapped\n")
        daemon = self.start_daemon(config=config)
        ordinary = self.python("import sys; sys.stdin.read()", "--port=8123")
        wait_until(lambda: daemon.value("tidegauge_group_processes", group="port 8123") == 1, 5, "the rule's group")
        fuse.freeze()
        locked.stdin.write("go\n")
        locked.stdin.flush()
        self.assertEqual(locked.stdout.readline(), "ready\n")
        begin = daemon.value(PASSED, collector="process")
        wait_until(lambda: self.readers(daemon), 5, "a reader that is stuck")
        most = 0

        def passed():
            nonlocal most
            most = max(most, self.readers(daemon))
            return daemon.value(PASSED, collector="process") >= begin + 3
        wait_until(passed, 8, "passes that go on", pause=0.1)
        families = daemon.scrape()
        self.assertEqual(sample(families, "tidegauge_collector_success", collector="process"), 1)
        # By what is known without the command line.
        self.assertEqual(sample(families, "tidegauge_group_processes", group=unique("tglocked")), self.PROCESSES + 1)
        late = self.python("import sys; sys.stdin.read()", "--port=8124")
        self.assertIsNone(late.poll())
        self.assertLessEqual(most, 6)  # four that are stuck, one that serves, one of wait channels
        print(f"[at most {most} readers] ", end="", flush=True)
        fuse.close()
        # The late one could not be read while all readers were stuck; now it is looked at again.
        wait_until(lambda: daemon.value("tidegauge_group_processes", group="port 8124") == 1, 12, "the late one's group")
        wait_until(lambda: self.readers(daemon) <= 2, 5, "readers that come back")  # one for each of what it reads so
        self.assertIsNone(ordinary.poll())

    @staticmethod
    def readers(daemon):
        found = 0
        for task in Path(f"/proc/{daemon.pid}/task").iterdir():
            try:
                found += (task / "comm").read_text() == "reader\n"
            except OSError:
                pass
        return found


@unittest.skipUnless(LONG, "TIDEGAUGE_E2E_LONG is not set")
class LongProcfsTest(AbuseTest):
    source = "procfs"

    def test_pid_reuse_in_a_nested_namespace(self):
        self.pid_reuse(20_000)


@unittest.skipUnless(LONG, "TIDEGAUGE_E2E_LONG is not set")
class LongIteratorTest(NeedsIterator, AbuseTest):
    def test_fork_bomb(self):
        self.bomb(200_000)

    def test_short_writers(self):
        self.writers(10_000)

    def test_pid_reuse_in_a_nested_namespace(self):
        self.pid_reuse(100_000)

    def test_names_without_end(self):
        self.names(10_000)

    def test_cgroups_that_come_and_go(self):
        self.churn(60)

    def test_dd_beside_pidstat(self):
        """Bytes of the same second by the same process: /proc/PID/io, pidstat and ours."""
        pidstat = harness.find_peer("pidstat")
        daemon = self.start_daemon()
        name = "tidegauge_process_storage_written_bytes_total"
        dd = subprocess.Popen(["dd", "if=/dev/zero", f"of={self.disk_directory() / 'dd'}", "bs=64k", "count=1000000",
                               "status=none", "oflag=dsync"])
        self.addCleanup(dd.wait)
        self.addCleanup(dd.kill)

        def ours():
            """When it was read, and what."""
            families = daemon.scrape()
            found = rows(families, name, pid=str(dd.pid))
            return (sample(families, PASSED, collector="process"), found[0]) if found else None

        def truth():
            return int(re.search(r"^write_bytes: (\d+)", Path(f"/proc/{dd.pid}/io").read_text(), re.M)[1])
        wait_until(ours, 8, "dd among the busiest")
        before, truths, shown = truth(), [], set()
        peer = subprocess.Popen([pidstat, "-d", "-p", str(dd.pid), "1", "8"], stdout=subprocess.PIPE, text=True,
                                env={**os.environ, "LC_ALL": "C", "S_TIME_FORMAT": "ISO"})
        while peer.poll() is None:
            truths.append((time.time(), truth()))
            shown.add(ours())
            time.sleep(0.05)
        grown = truth() - before
        lines = [line.split() for line in peer.stdout.read().splitlines() if f" {dd.pid} " in line]
        peer.stdout.close()
        rates = [float(line[-4]) * 1024 for line in lines if not line[0].startswith("Average")]
        self.assertEqual(len(rates), 8, lines)
        self.assertLess(abs(grown - sum(rates)), max(rates) * 1.5)
        # A pass shows what was written when it ran.
        slack, checked = scaled(0.3), 0
        for passed, value in shown:
            least = max((io for then, io in truths if then < passed - slack), default=0)
            most = min((io for then, io in truths if then > passed + slack), default=None)
            if most is not None:
                checked += 1
                self.assertTrue(least <= value <= most, (passed, least, value, most))
        self.assertGreater(checked, 3)
        dd.send_signal(signal.SIGSTOP)
        wait_until(lambda: ours()[1] == truth(), 4, lambda: f"{truth()}, last {ours()}")
        print(f"[dd: /proc/PID/io {grown}, pidstat {sum(rates):.0f}; ours equal in {checked} passes and in the end] ", end="", flush=True)


if __name__ == "__main__":
    harness.main()
