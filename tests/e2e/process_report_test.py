#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`tidegauge process PID` against what the process itself and /proc say."""

import json
import os
import re
import signal
import subprocess
import sys
import unittest
from pathlib import Path

import harness
from harness import scaled

SUBJECT = """
import ctypes, os, sys, threading, time
prctl = ctypes.CDLL(None).prctl
prctl(15, b"tg\\x1b[31m\\nsub", 0, 0, 0)
def spin():
    prctl(15, b"tgspin", 0, 0, 0)
    while True:
        pass
def sleep():
    prctl(15, b"tgsleep", 0, 0, 0)
    time.sleep(1000)
memory = bytearray(os.urandom(1 << 20) * 32)
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
for target in (spin, sleep, sleep):
    threading.Thread(target=target, daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""
SECRET = "--password=tgsecret"
ENVIRONMENT = "tgenvironment"


class ProcessReportTest(harness.TestCase):
    def subject(self):
        process = subprocess.Popen([sys.executable, "-c", SUBJECT, SECRET], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                   env={**os.environ, "TG_SECRET": ENVIRONMENT})
        self.addCleanup(process.wait)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stdin.close)
        self.addCleanup(process.kill)
        self.assertEqual(process.stdout.readline(), "ready\n")
        return process

    def report(self, *arguments):
        ran = self.run_tidegauge("process", "--config.file=", *arguments, timeout=20)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        return ran.stdout

    def test_json(self):
        subject = self.subject()
        report = json.loads(self.report(subject.pid, "--json"))
        self.assertEqual(report["pid"], subject.pid)
        self.assertEqual(report["comm"], "tg\x1b[31m\nsub")
        self.assertEqual(report["threads"], 4)
        self.assertEqual(report["executable"], os.path.realpath(sys.executable))
        self.assertEqual(report["open_files"], len(os.listdir(f"/proc/{subject.pid}/fd")))
        limits = Path(f"/proc/{subject.pid}/limits").read_text()
        self.assertEqual(str(report["open_files_limit"]), re.search(r"Max open files +(\d+)", limits)[1])
        self.assertEqual(report["allowed_cpu_count"], 1)
        by_name = {row["name"]: row for row in report["threads_by_name"]}
        self.assertEqual(report["threads_by_name"][0]["name"], "tgspin")
        self.assertGreater(by_name["tgspin"]["cpu_ratio"], 0.1)
        self.assertEqual(by_name["tgsleep"]["threads"], 2)
        smaps = Path(f"/proc/{subject.pid}/smaps_rollup").read_text()
        rss = int(re.search(r"Rss: +(\d+)", smaps)[1]) * 1024
        self.assertAlmostEqual(report["smaps_rollup"]["rss_bytes"] / rss, 1, delta=0.05)
        self.assertGreater(report["smaps_rollup"]["private_dirty_bytes"], 32 << 20)
        self.assertGreater(report["since_start"]["user_cpu_seconds"], 0)
        self.assertNotIn("command_line", report)
        self.assertFalse(report["ended"])

    def test_page(self):
        subject = self.subject()
        page = self.report(subject.pid)
        for hidden in (SECRET, ENVIRONMENT, "\x1b"):
            self.assertNotIn(hidden, page)
        self.assertTrue(all(len(line) <= 80 for line in page.splitlines()), page)
        self.assertRegex(page, r"(?m)^ *\d+(\.\d)? +1 +0 +\d+ [RS] tgspin")
        self.assertRegex(page, r"mappings +Rss \d")
        shown = self.report(subject.pid, "--cmdline").replace("\n             ", "")
        self.assertIn(SECRET, shown)
        self.assertNotIn(ENVIRONMENT, shown)
        self.assertNotIn(SECRET, self.report(subject.pid, "--cmdline", "--privacy=drop"))

    def test_no_such_process(self):
        child = subprocess.Popen(["true"])
        child.wait()
        ran = self.run_tidegauge("process", child.pid, "--config.file=")
        self.assertEqual((ran.returncode, ran.stdout), (1, ""))
        self.assertEqual(ran.stderr, f"tidegauge: there is no process {child.pid}\n")

    def test_a_thread_is_no_process(self):
        subject = self.subject()
        tid = max(int(name) for name in os.listdir(f"/proc/{subject.pid}/task"))
        ran = self.run_tidegauge("process", tid, "--config.file=")
        self.assertEqual(ran.returncode, 1)
        self.assertEqual(ran.stderr, f"tidegauge: {tid} is a thread of process {subject.pid}\n")

    def test_one_that_ends_meanwhile(self):
        subject = self.subject()
        report = subprocess.Popen([harness.TIDEGAUGE, "process", str(subject.pid), "--config.file="], stdout=subprocess.PIPE, text=True,
                                  stderr=subprocess.PIPE)
        harness.wait_until(lambda: "hrtimer_nanosleep" in Path(f"/proc/{report.pid}/wchan").read_text()
                           or Path(f"/proc/{report.pid}/syscall").read_text().startswith(("35 ", "230 ", "115 ")), 5, "the pause", 0.002)
        subject.send_signal(signal.SIGKILL)
        subject.wait()
        out, err = report.communicate(timeout=scaled(10))
        self.assertEqual(report.returncode, 0, err)
        self.assertIn("it ended meanwhile", out)

    @unittest.skipUnless(os.geteuid() == 0, "needs to drop privileges")
    def test_unprivileged(self):
        program = harness.copy_for_everyone(harness.TIDEGAUGE, self.directory)
        subject = self.subject()
        ran = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all",
                              program, "process", str(subject.pid), "--config.file="], capture_output=True, text=True,
                             timeout=scaled(10), check=False)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertIn("smaps_rollup: needs CAP_SYS_PTRACE", ran.stdout)
        self.assertIn("read -, written -", ran.stdout)


if __name__ == "__main__":
    harness.main()
