#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`tidegauge why`, /api/v1/verdicts and what else the daemon does with verdicts, against real daemons and recordings."""

import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import harness
from harness import scaled

RECORDINGS = harness.ROOT / "tests" / "fixtures" / "recordings"
MAKE_RECORDING = os.environ.get("TIDEGAUGE_MAKE_RECORDING") or str(Path(harness.TIDEGAUGE).parent / "make_recording")
WARNING_OR_WORSE = ("warning", "critical")


def disk_line(name, requests, wait_ms, busy_ms, in_flight=9):
    """/proc/diskstats of a disk that reads a page per request."""
    return f"   8       0 {name} {requests} 0 {requests * 8} {wait_ms} 0 0 0 0 {in_flight} {busy_ms} {wait_ms}\n"


class WhyTest(harness.TestCase):
    def why(self, *arguments, code, **options):
        ran = self.run_tidegauge("why", *arguments, **options)
        self.assertEqual(ran.returncode, code, ran.stdout + ran.stderr)
        return ran.stdout

    def of(self, daemon):
        return "--config.file=", f"--web.listen-address=127.0.0.1:{daemon.port}"

    def host(self):
        """A /proc of a host that does nothing at all."""
        root = self.directory / "proc"
        shutil.copytree(harness.ROOT / "tests" / "fixtures" / "linux-6.12" / "proc", root, symlinks=True)
        (root / "diskstats").write_text(disk_line("sda", 1000, 1000, 1000, 0))
        return root

    def start_on(self, root, *flags, **options):
        directory = self.directory / "incidents"
        directory.mkdir(exist_ok=True)
        return self.start(f"--path.procfs={root}", "--no-collector.process", "--no-collector.ebpf", "--no-collector.ebpf_block",
                          "--no-collector.ebpf_files", "--no-collector.ebpf_memory", "--tick=200ms",
                          f"--recorder.directory={directory}", "--recorder.after=1s", *flags, **options)

    def saturate(self, root, seconds, until):
        """Has the disk be saturated until something is so."""
        requests = wait_ms = busy_ms = 1000
        begin = time.monotonic()
        last = begin
        while time.monotonic() < begin + scaled(seconds):
            now = time.monotonic()
            requests, last = requests + round((now - last) * 200), now
            busy_ms = 1000 + round((now - begin) * 1000)
            wait_ms = 1000 + round((now - begin) * 9000)
            part = root / "diskstats.new"
            part.write_text(disk_line("sda", requests, wait_ms, busy_ms))
            part.rename(root / "diskstats")
            found = until()
            if found:
                return found
            time.sleep(0.05)
        self.fail(f"not within {scaled(seconds)} s")

    def test_nothing_is_wrong(self):
        daemon = self.start_on(self.host())
        text = self.why(*self.of(daemon), code=0)
        self.assertIn("Nothing is wrong.", text)
        self.assertRegex(text, r"(?m)^    memory available +[\d.]+ \wiB +[\d.]+ \wiB$")
        self.assertIn("whom disks work for: collector ebpf_block is off", text)
        self.assertTrue(all(len(line) <= 80 for line in text.splitlines()), text)
        report = json.loads(self.why(*self.of(daemon), "--json", code=0))
        self.assertEqual(report["severity"], "ok")
        self.assertEqual((report["active"], report["recent"]), ([], []))
        self.assertAlmostEqual(report["time_seconds"], time.time(), delta=scaled(10))
        answer = daemon.get("/api/v1/verdicts")
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, "application/json"))
        self.assertEqual(daemon.get("/api/v1/verdicts", method="POST").status, 405)

    def test_a_saturated_disk_is_told_logged_and_recorded(self):
        root = self.host()
        daemon = self.start_on(root)
        line = self.saturate(root, 60, lambda: re.search(r".*event=\"?verdict_began.*", daemon.stderr()))[0]
        self.assertRegex(line, r'level=warn.* msg="Disk sda is saturated.*verdict="?disk_saturated"? instance="?sda')
        report = json.loads(self.why(*self.of(daemon), "--json", code=1))
        verdict = report["active"][0]
        self.assertEqual((verdict["verdict"], verdict["instance"]), ("disk_saturated", "sda"))
        self.assertGreater(verdict["detection_delay_seconds"], 5)
        text = self.why(*self.of(daemon), code=1)
        self.assertIn("WARNING: Disk saturated (sda), ", text)
        self.assertIn("node_disk_io_time_seconds_total", text)
        self.assertEqual(daemon.value("tidegauge_verdict_active", verdict="disk_saturated", severity="warning"), 1)
        # It becomes an incident file, from which the same is found.
        finished = harness.wait_until(lambda: list((self.directory / "incidents").glob("*-verdict-disk-saturated.tgrec")), 10,
                                      "an incident file")
        replayed = json.loads(self.why("--replay", finished[0], "--json", code=1))
        found = replayed["found"][0]
        self.assertEqual((found["verdict"], found["instance"], found["onset"]), ("disk_saturated", "sda", verdict["onset"]))
        self.assertTrue(found["is_active"])
        # Byte for byte what the daemon said: the file reaches back to its start.
        again = subprocess.run([harness.TIDEGAUGE, "replay", finished[0]], capture_output=True, check=True, timeout=scaled(30)).stdout
        recorded = subprocess.run([harness.TIDEGAUGE, "dump", "--format=json", finished[0]], capture_output=True, check=True,
                                  timeout=scaled(30)).stdout
        ticks = re.split(r"# tick (\S+) sequence \d+\n", again.decode())
        lines = [json.loads(one) for one in recorded.decode().splitlines()]
        self.assertEqual(ticks[1::2], [one["time"] for one in lines])
        for body, one in zip(ticks[2::2], lines):
            theirs = [line for line in body.splitlines() if line.startswith("tidegauge_verdict_")]
            families = harness.expo_compare.parse("\n".join(theirs) + "\n")
            metrics = [metric for metric in one["metrics"] if metric["name"].startswith("tidegauge_verdict_")]
            self.assertEqual(len(theirs), len(metrics))
            for metric in metrics:
                value = harness.sample(families, metric["name"], **metric["labels"])
                self.assertEqual(value, float(metric["value"]), metric)
        # It ends, and is news for a while: nothing is in flight any more.
        (root / "diskstats.new").write_text(re.sub(r" 9 (\d+ \d+\n)", r" 0 \1", (root / "diskstats").read_text()))
        (root / "diskstats.new").rename(root / "diskstats")
        daemon.wait_log("verdict_ended", 60)
        text = self.why(*self.of(daemon), code=0)
        self.assertRegex(text, r"Ended lately\n  20\S+ \S+ UTC for .* s: Disk saturated \(sda\), warning\n")

    def test_nobody_can_say(self):
        ran = self.run_tidegauge("why", "--config.file=", f"--web.listen-address=127.0.0.1:{harness.free_port()}")
        self.assertEqual((ran.returncode, ran.stdout), (2, ""))
        self.assertRegex(ran.stderr, r"^tidegauge: no daemon answers at web\.listen_address.*\n$")
        daemon = self.start_on(self.host(), "--no-heuristics.enabled")
        ran = self.run_tidegauge("why", *self.of(daemon))
        self.assertEqual((ran.returncode, ran.stdout), (2, ""))
        self.assertIn("heuristics.enabled is false", ran.stderr)
        self.assertEqual(daemon.get("/api/v1/verdicts").status, 404)
        self.assertNotIn("tidegauge_verdict_active", daemon.scrape())
        for arguments in (("--replay", self.directory / "none"), ("--replay", self.write("x", "no recording")), ("--from=-5m",),
                          ("file",), ("--replay=",)):
            ran = self.run_tidegauge("why", *arguments)
            self.assertEqual((ran.returncode, ran.stdout), (2, ""), arguments)
            self.assertRegex(ran.stderr, r"^tidegauge: .*\n$")

    def test_recordings_of_incidents(self):
        """What is found in each is tests/unit/verdict_replay_test.cc's affair; here: that it is printed."""
        for file in sorted(RECORDINGS.glob("*.tgrec")):
            ran = self.run_tidegauge("why", "--replay", file, "--json", timeout=60)
            report = json.loads(ran.stdout)
            is_bad = any(one["severity"] in WARNING_OR_WORSE for one in report["found"])
            self.assertEqual(ran.returncode, 1 if is_bad else 0, file)
            text = self.why("--replay", file, code=ran.returncode, timeout=60)
            self.assertTrue(all(len(line) <= 80 for line in text.splitlines()), text)
            self.assertIn("Found: " if report["found"] else "Nothing was found.", text)
            for one in report["found"]:
                self.assertIn(one["title"], text)

    def test_a_damaged_recording_is_used_as_far_as_it_goes(self):
        path = self.directory / "made.tgrec"
        subprocess.run([MAKE_RECORDING, path, "5", "500", "1000", "loadavg", "meminfo"], check=True, timeout=scaled(60),
                       stdout=subprocess.DEVNULL)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0x10
        ran = self.run_tidegauge("why", "--replay", self.write("torn.tgrec", bytes(data)))
        self.assertIn(ran.returncode, (0, 1))
        self.assertRegex(ran.stderr, r"at byte \d+")
        self.assertIn("It is damaged in 1 place; this is about the rest.", ran.stdout)
        head = self.run_tidegauge("why", "--replay", self.write("head.tgrec", bytes(data[:40])))
        self.assertEqual((head.returncode, head.stdout), (2, ""))

    def test_hostile_names_and_no_incident_where_none_is_wanted(self):
        """The name of a disk comes out as printable text."""
        root = self.host()
        daemon = self.start_on(root, "--no-recorder.trigger-on-verdict")
        name = b"\x1b]0;x\x07\xff"
        begin = time.monotonic()

        def told():
            ms = round((time.monotonic() - begin) * 1000)
            line = disk_line("NAME", 1000 + ms // 5, 1000 + ms * 9, 1000 + ms).encode().replace(b"NAME", name)
            part = root / "diskstats.new"
            part.write_bytes(line)
            part.rename(root / "diskstats")
            return "verdict_began" in daemon.stderr()
        harness.wait_until(told, 60, "a verdict", pause=0.05)
        for arguments in ((), ("--all",), ("--json",)):
            ran = subprocess.run([harness.TIDEGAUGE, "why", *self.of(daemon), *arguments], capture_output=True, check=False,
                                 timeout=scaled(10), env={**os.environ, "LC_ALL": "C"})
            self.assertEqual(ran.returncode, 1)
            self.assertRegex(ran.stdout, rb"^[ -~\n]+$")
        self.assertNotIn("\x1b", daemon.stderr())
        self.assertEqual(list((self.directory / "incidents").iterdir()), [])


if __name__ == "__main__":
    harness.main()
