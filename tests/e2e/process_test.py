#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Processes, as the daemon shows them, against what the processes themselves know they did."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import harness
from harness import label_values, sample, scaled, wait_until

NOBODY = 65534
MEBIBYTE = 1 << 20
# Tests that wait scrape fifty times a second: passes must not stretch for that.
FLAGS = ("--collector.disable-defaults", "--collector.process", "--collector.process.interval=1s", "--cpu-budget=off")

# What the tests run as: named by prctl(PR_SET_NAME), so that each has a group of its own.
NAME = "import ctypes,sys; ctypes.CDLL(None).prctl(15, sys.argv[1].encode('latin-1'), 0, 0, 0)\n"
# Writes so many MiB, says so, and ends when its input does.
WRITER = NAME + """
import os
fd = os.open(sys.argv[2], os.O_CREAT | os.O_WRONLY, 0o600)
for _ in range(int(sys.argv[3])):
    os.write(fd, bytes(1 << 20))
os.fsync(fd)
print("written", flush=True)
sys.stdin.read()
"""
# So many synchronisations of a file, each after a write, from a thread that is not the first; then as many from a
# child that ends.
SYNCER = NAME + """
import os, threading
def work():
    fd = os.open(sys.argv[2], os.O_CREAT | os.O_WRONLY, 0o600)
    for i in range(int(sys.argv[3])):
        os.write(fd, b"x" * 100)
        (os.fsync if i % 2 else os.fdatasync)(fd)
thread = threading.Thread(target=work)
thread.start()
thread.join()
if os.fork() == 0:
    work()
    os._exit(0)
os.wait()
print("synced", flush=True)
sys.stdin.read()
"""
# As many short-lived children as asked for, at most eight at once, each writing so many bytes; each names itself first.
STORM = NAME + """
import os
live = 0
block = b"x" * int(sys.argv[4])
for i in range(int(sys.argv[3])):
    if os.fork() == 0:
        fd = os.open(f"{sys.argv[2]}/{i % 64}", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        os.write(fd, block)
        os._exit(0)
    live += 1
    while live >= 8:
        os.wait()
        live -= 1
while live:
    os.wait()
    live -= 1
print("done", flush=True)
sys.stdin.read()
"""
# So many children, each under another name of any bytes but NUL. None outlives the parent, and it reaps them: the zombies
# of a lazy init would fill the groups of the tests that follow.
NAMES = """
import ctypes, os, random, signal, sys
prctl = ctypes.CDLL(None).prctl
random.seed(7)
pids = []
hostile = [b'a\\nb', b'q"', b'\\\\', b'\\xff\\xfe', b') R 1 (', b'{x="1"}', b'']
for i in range(int(sys.argv[1])):
    name = hostile[i] if i < len(hostile) else bytes(random.randrange(1, 256) for _ in range(15))
    pids.append(os.fork())
    if pids[-1] == 0:
        prctl(1, signal.SIGKILL, 0, 0, 0)
        prctl(15, name, 0, 0, 0)
        while True:
            signal.pause()
print("ready", flush=True)
sys.stdin.read()
for pid in pids:
    os.kill(pid, signal.SIGKILL)
for pid in pids:
    os.waitpid(pid, 0)
"""


def source_of(daemon):
    sources = label_values(daemon.scrape(), "tidegauge_process_source_info", "source")
    return next(iter(sources), None)


def sum_over_groups(families, name):
    return sum(families[name].series.values())


def own_memory_kib(pid):
    """Of its own: what is resident of programs' files comes and goes with what runs."""
    return int(re.search(r"RssAnon:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])


class ProcessTest(harness.TestCase):
    """Every test runs with the source the subclass names."""
    source = None

    def setUp(self):
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest("the I/O of other processes needs root")

    def start_daemon(self, *flags, **options):
        daemon = self.start(*FLAGS, f"--collector.process.source={self.source}", *flags, **options)
        wait_until(lambda: source_of(daemon), 5, "a first pass")
        self.assertEqual(source_of(daemon), self.source)
        return daemon

    def python(self, code, *arguments):
        process = subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.finish, process)
        return process

    @staticmethod
    def finish(process):
        """Lets it reap its children; what does not end with its input is killed."""
        process.stdin.close()
        try:
            process.wait(scaled(3))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    def disk_directory(self):
        """On a file system with a block device below it: tmpfs charges nobody."""
        directory = Path(harness.ROOT / "build" / f"e2e-process-{os.getpid()}")
        directory.mkdir(parents=True, exist_ok=True)
        self.addCleanup(shutil.rmtree, directory)
        return directory


class Checks:
    """Mixed into both subclasses below."""

    def test_bytes_are_those_of_proc_pid_io(self):
        daemon = self.start_daemon()
        writer = self.python(WRITER, "tgwriter", self.disk_directory() / "file", 32)
        self.assertEqual(writer.stdout.readline(), "written\n")
        io = dict(line.split(": ") for line in Path(f"/proc/{writer.pid}/io").read_text().splitlines())
        labels = {"pid": str(writer.pid), "comm": "tgwriter", "group": "tgwriter"}

        def row(name):
            families = daemon.scrape()
            found = [value for key, value in families[name].series.items()
                     if labels.items() <= dict(key[1]).items()] if name in families else []
            return found[0] if found else None
        for name, key in (("storage_written", "write_bytes"), ("storage_read", "read_bytes"),
                          ("syscall_written", "wchar"), ("syscall_read", "rchar")):
            wait_until(lambda: row(f"tidegauge_process_{name}_bytes_total") == int(io[key]), 5,
                       lambda: f"{key}: {io[key]}, last {row(f'tidegauge_process_{name}_bytes_total')}")
        written = "tidegauge_group_storage_written_bytes_total"
        self.assertEqual(daemon.value(written, group="tgwriter"), int(io["write_bytes"]))
        self.assertGreaterEqual(int(io["write_bytes"]), 32 * MEBIBYTE)
        # The group outlives its member.
        writer.stdin.close()
        writer.wait()
        wait_until(lambda: daemon.value("tidegauge_group_processes", group="tgwriter") == 0, 5, "the end seen")
        self.assertGreaterEqual(daemon.value(written, group="tgwriter"), int(io["write_bytes"]))

    def test_children_are_counted_once(self):
        daemon = self.start_daemon()
        written = "tidegauge_group_syscall_written_bytes_total"
        storm = self.python(STORM, "tgstorm", self.directory, 400, 65536)
        self.assertEqual(storm.stdout.readline(), "done\n")
        truth = 400 * 65536

        def settled():
            value = daemon.value(written, group="tgstorm") or 0
            return value if value >= 0.99 * truth else None
        first = wait_until(settled, 6, lambda: f"{truth}, last {daemon.value(written, group='tgstorm')}")
        time.sleep(scaled(2.2))  # two passes more: what is counted twice would come now
        self.assertLessEqual(daemon.value(written, group="tgstorm"), truth * 1.01 + 4096)
        self.assertGreaterEqual(first, truth * 0.99)

    def test_names_of_any_bytes(self):
        daemon = self.start_daemon("--collector.process.max-groups=40")
        names = self.python(NAMES, 300)
        self.assertEqual(names.stdout.readline(), "ready\n")
        wait_until(lambda: daemon.value("tidegauge_process_group_overflows_total"), 5, "groups without room")
        families = daemon.scrape()  # parses strictly: no duplicates, valid UTF-8, escaped
        groups = label_values(families, "tidegauge_group_processes", "group")
        self.assertLessEqual(len(groups), 41)
        self.assertIn("other", groups)
        self.assertEqual(sum_over_groups(families, "tidegauge_group_processes"),
                         sample(families, "tidegauge_processes"))
        if shutil.which("promtool"):
            checked = subprocess.run(["promtool", "check", "metrics"], input=daemon.get().text(), text=True,
                                     capture_output=True, timeout=scaled(20), check=False)
            self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)
        else:
            print("names_of_any_bytes: no promtool, not asked", file=sys.stderr)

    def test_storm_keeps_counters_and_memory(self):
        daemon = self.start_daemon()
        storm = self.python(STORM, "tgbomb", self.directory, 3000, 10)
        before, memory = daemon.scrape(), own_memory_kib(daemon.pid)
        while storm.poll() is None:
            after = daemon.scrape()
            falls = [fall for fall in harness.decreased_counters(before, after) if "tidegauge_group_" in fall]
            self.assertEqual(falls, [])
            before = after
            if self.is_done(storm):
                break
            time.sleep(0.3)
        # A sanitizer keeps what was freed.
        self.assertLess(own_memory_kib(daemon.pid) - memory, 4096 if scaled(1) == 1 else 16384)

    @staticmethod
    def is_done(process):
        os.set_blocking(process.stdout.fileno(), False)
        return process.stdout.readline() == "done\n"

    def test_stuck_task_is_named(self):
        daemon = self.start_daemon()
        # A parent in vfork() sleeps uninterruptibly until its child has gone its way.
        library = self.directory / "stuck"
        source = library.with_suffix(".c")
        source.write_text("#include <unistd.h>\nint main(void) { if (vfork() == 0) { sleep(30); _exit(0); } }\n")
        compiler = shutil.which("cc")
        if not compiler:
            self.skipTest("no C compiler")
        subprocess.run([compiler, "-w", "-o", str(library), str(source)], check=True, timeout=scaled(30))
        process = subprocess.Popen([str(library)], start_new_session=True)
        self.addCleanup(process.wait)
        self.addCleanup(os.killpg, process.pid, signal.SIGKILL)
        wait_until(lambda: daemon.value("tidegauge_uninterruptible_threads"), 5, "a thread in state D")

        def longest():
            families = daemon.scrape()
            name = "tidegauge_stuck_threads_longest_seconds"
            return max((value for key, value in families[name].series.items() if dict(key[1]).get("group") == "stuck"),
                       default=0) if name in families else 0
        first = wait_until(longest, 6, "the task that is stuck")
        wait_until(lambda: longest() > first, 6, "its sleep to grow longer")

    def test_rules(self):
        config = ("collectors:\n  process:\n    groups:\n      - name: 'port {port}'\n"
                  "        cmdline: '--port=(?P<port>\\d+)'\n        comm: [tgserver]\n"
                  "      - name: '{user} by rule'\n        user: nobody\n")
        daemon = self.start_daemon(config=config)
        self.python(NAME + "sys.stdin.read()", "tgserver", "--port=8123")
        wait_until(lambda: daemon.value("tidegauge_group_processes", group="port 8123") == 1, 5, "the rule's group")


class IteratorTest(Checks, ProcessTest):
    source = "iterator"

    def setUp(self):
        super().setUp()
        probe = self.run_tidegauge("collect", "process", "--collector.process.source=iterator")
        if probe.returncode != 0 or "source=\"iterator\"" not in probe.stdout:
            self.skipTest("no BPF iterator here: " + (probe.stderr.strip().splitlines() or ["?"])[-1])


    def test_syncs_are_counted(self):
        daemon = self.start_daemon()
        if "syncs" in label_values(daemon.scrape(), "tidegauge_process_missing", "field"):
            self.skipTest("this kernel lets no BPF program see syncs")
        syncer = self.python(SYNCER, "tgsyncer", self.disk_directory() / "file", 40)
        self.assertEqual(syncer.stdout.readline(), "synced\n")
        daemon.wait_value(80, "tidegauge_group_syncs_total", seconds=5, group="tgsyncer")
        families = daemon.scrape()
        self.assertGreater(sample(families, "tidegauge_group_sync_seconds_total", group="tgsyncer"), 0)
        # It reads and writes next to nothing: its syncs are what makes it one of the busiest.
        own = [value for key, value in families["tidegauge_process_syncs_total"].series.items()
               if dict(key[1])["pid"] == str(syncer.pid)]
        self.assertEqual(own, [40])


class ProcfsTest(Checks, ProcessTest):
    source = "procfs"

    def test_unprivileged_says_what_it_cannot_see(self):
        program = harness.copy_for_everyone(harness.TIDEGAUGE, self.directory)
        daemon = self.start(*FLAGS, program=program,
                            wrapper=("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
                                     "--bounding-set=-all", "--inh-caps=-all"))
        wait_until(lambda: source_of(daemon) == "procfs", 5, "a pass")
        families = daemon.scrape()
        reasons = label_values(families, "tidegauge_process_source_info", "reason")
        self.assertTrue(any("CAP_BPF" in reason for reason in reasons), reasons)
        self.assertIn("io", label_values(families, "tidegauge_process_missing", "field"))
        # Init's I/O is unknown: absent, not 0.
        comm = Path("/proc/1/comm").read_text().strip()
        self.assertIsNone(sample(families, "tidegauge_group_storage_written_bytes_total", group=comm))
        self.assertIsNotNone(sample(families, "tidegauge_group_processes", group=comm))

    def test_container_that_sees_the_hosts_procfs(self):
        host = self.directory / "host"
        host.mkdir()
        # Its own pid namespace, the host's /proc at another place.
        script = f"mount --rbind /proc {host} && mount -t proc proc /proc && exec \"$@\""
        daemon = self.start(*FLAGS, f"--path.procfs={host}",
                            wrapper=("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, "sh"))
        wait_until(lambda: source_of(daemon), 8, "a pass")
        families = daemon.scrape()
        self.assertEqual(label_values(families, "tidegauge_process_source_info", "source"), {"procfs"})
        reasons = label_values(families, "tidegauge_process_source_info", "reason")
        self.assertTrue(any("pid namespace" in reason for reason in reasons), reasons)
        self.assertGreater(sample(families, "tidegauge_processes"), 5)


if __name__ == "__main__":
    harness.main()
