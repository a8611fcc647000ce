#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`tidegauge import` as an operator meets it: exit codes, what it prints, what it leaves behind."""

import os
import signal
import stat
import subprocess
import tempfile
import unittest
from pathlib import Path

import harness
from harness import ROOT, TIDEGAUGE, scaled

CASE = ROOT / "tests" / "fixtures" / "page-cache"
MEMINFO = "MemTotal: 1000 kB\nMemFree: 500 kB\n"


class ImportTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="tidegauge-import-test-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.captures = self.folder / "captures"
        self.temporary = self.folder / "tmp"
        self.captures.mkdir()
        self.temporary.mkdir()
        self.out = self.folder / "out.rec"

    def command(self, *arguments):
        return [TIDEGAUGE, "import", *map(str, arguments), "--config.file="]

    def run_import(self, *arguments):
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, check=False, timeout=scaled(60),
                              stdin=subprocess.DEVNULL, env={**os.environ, "TMPDIR": str(self.temporary)})
        self.assertEqual(os.listdir(self.temporary), [])
        return done.returncode, done.stdout, done.stderr

    def test_case_of_the_page_cache(self):
        code, out, err = self.run_import(CASE, "--out", self.out, "--utc-offset=+09:00")
        self.assertEqual((code, out), (0, f"{self.out}: 4 moments, 2016-09-10T01:53:32Z to 2016-09-10T04:15:15Z; meminfo 4\n"))
        self.assertEqual(err.count("no capture, passed over"), 6)
        self.assertEqual(self.out.read_bytes()[:8], b"TIDEREC1")
        self.assertEqual(stat.S_IMODE(self.out.stat().st_mode), 0o640)
        code, _, err = self.run_import(CASE, "--out", self.out)
        self.assertEqual(code, 2)
        self.assertIn("File exists", err)
        self.assertEqual(self.run_import(CASE, "--out", self.out, "--force")[0], 0)
        self.assertEqual([path.name for path in self.folder.glob("*.rec*")], ["out.rec"])

    def test_malformed_files_and_names(self):
        (self.captures / "meminfo-1473504812").write_text(MEMINFO + "nonsense\n")
        (self.captures / "meminfo-1473504813").write_text(MEMINFO)
        (self.captures / "\x1b[31m\n").write_text("")
        code, out, err = self.run_import(self.captures, "--out", self.out)
        self.assertEqual(code, 1)
        self.assertIn("2 moments", out)
        self.assertIn("meminfo-1473504812 line 3: expected", err)
        self.assertNotIn("\x1b", err)
        self.assertEqual(len(err.splitlines()), 2)

    def test_unusable(self):
        self.assertEqual(self.run_import(self.captures, "--out", self.out)[0], 2)
        self.assertEqual(self.run_import(self.folder / "nothing", "--out", self.out)[0], 2)
        for arguments in ((), (self.captures,), ("--out", self.out), (self.captures, self.captures, "--out", self.out),
                          (self.captures, "--out", self.out, "--utc-offset=9")):
            code, _, err = self.run_import(*arguments)
            self.assertEqual(code, 2, arguments)
            self.assertNotEqual(err, "")
        self.assertFalse(self.out.exists())

    def test_interrupted(self):
        text = "".join(f"# {1473504812 + i}\n{MEMINFO}" for i in range(90_000))
        (self.captures / "meminfo.log").write_text(text)
        with subprocess.Popen(self.command(self.captures, "--out", self.out), stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              env={**os.environ, "TMPDIR": str(self.temporary)}) as process:
            harness.wait_until(lambda: list(self.folder.glob(".out.rec.*")), 30, "no file was begun")
            process.send_signal(signal.SIGPIPE)
            process.send_signal(signal.SIGQUIT)
            self.assertIn(b"interrupted", process.communicate(timeout=scaled(30))[1])
            self.assertEqual(process.returncode, 2)
        self.assertEqual(os.listdir(self.temporary), [])
        self.assertEqual(sorted(os.listdir(self.folder)), ["captures", "tmp"])

    def test_help(self):
        text = subprocess.run([TIDEGAUGE, "help"], capture_output=True, text=True, check=True).stdout
        for part in ("import DIRECTORY", "Of `tidegauge import`:", "--out=TEXT", "--[no-]force", "--utc-offset=TEXT"):
            self.assertIn(part, text)


if __name__ == "__main__":
    harness.main()
