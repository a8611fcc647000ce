#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The flight recorder in the running daemon: what is recorded is what was scraped, byte for byte, and nothing that
happens to the disk or to the daemon costs more than the tail."""

import ctypes
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import harness
from harness import http, libc, sample, scaled, wait_until

# A scrape shows the last tick and nothing newer, and none of the daemon's own figures.
AS_RECORDED = ("--freshness=1h", "--web.disable-exporter-metrics")
# Quick to start, and enough for what is not about what is recorded.
LIGHT = ("--collector.disable-defaults", "--collector.cpu", "--collector.meminfo", "--collector.pressure", "--tick=200ms")
TICK = re.compile(r"^# tick \S+ sequence \d+$", re.MULTILINE)


class RecorderCase(harness.TestCase):
    def incidents(self):
        return self.directory / "incidents"

    def record_flags(self, after="1s", **settings):
        flags = [f"--recorder.directory={self.incidents()}", f"--recorder.after={after}"]
        return flags + [f"--recorder.{key.replace('_', '-')}={value}" for key, value in settings.items()]

    def start_recording(self, *flags, **options):
        """With something in the ring already."""
        daemon = self.start(*flags, **options)
        wait_until(lambda: daemon.value("tidegauge_ticks_total") >= 2, 10, "two ticks")
        return daemon

    def finished(self, count=1):
        def there():
            files = sorted(self.incidents().glob("*.tgrec")) if self.incidents().is_dir() else []
            return files if len(files) >= count else None
        return wait_until(there, 15, lambda: f"an incident file in {list(self.incidents().glob('.*'))}")

    def replayed(self, file):
        """The expositions in it."""
        done = self.run_tidegauge("replay", str(file), timeout=60)
        return done, [text.lstrip("\n") for text in TICK.split(done.stdout)[1:]]


class RecorderTest(RecorderCase):
    def test_replay_prints_what_was_scraped(self):
        daemon = self.start_recording(*AS_RECORDED, *self.record_flags())
        # While it starts, a scrape may show what workers brought after the tick that was recorded.
        wait_until(lambda: daemon.value("tidegauge_ticks_total") >= 3, 10, "three ticks")
        scraped = []
        end = time.monotonic() + scaled(4)
        while time.monotonic() < end:
            scraped.append(daemon.get().text())
            time.sleep(0.3)
        daemon.signal(signal.SIGUSR2)
        scraped.append(daemon.get().text())
        file = self.finished()[0]
        done, bodies = self.replayed(file)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr, "")
        self.assertGreaterEqual(len(bodies), 5)
        self.assertEqual(len(set(bodies)), len(bodies))
        recorded = set(bodies)
        for text in scraped:
            if text not in recorded:  # which lines differ from the nearest one: whole ones fill the screen
                lines = set(text.splitlines())
                nearest = min(bodies, key=lambda body: len(lines ^ set(body.splitlines())))
                self.fail("scraped, but not recorded: " + "\n".join(sorted(lines ^ set(nearest.splitlines()))[:40]))
        self.assertEqual(os.stat(file).st_mode & 0o7777, 0o640)
        self.assertEqual(os.stat(self.incidents()).st_mode & 0o7777, 0o750)
        daemon.wait_log("incident recorded")
        self.assert_ends_well(daemon, 3)

    def test_raw_copies_for_human_eyes(self):
        daemon = self.start_recording(*LIGHT, *self.record_flags())
        daemon.signal(signal.SIGUSR2)
        done = self.run_tidegauge("dump", str(self.finished()[0]), "--raw", timeout=30)
        self.assertEqual(done.returncode, 0, done.stderr)
        for name in ("meminfo", "zoneinfo", "buddyinfo", "vmstat", "diskstats", "pressure/io"):
            self.assertRegex(done.stdout, rf"==> /proc/{name} \(onset")
        self.assertIn("MemAvailable:", done.stdout)

    def test_asked_for_over_http(self):
        daemon = self.start_recording(*LIGHT, *self.record_flags(after="3s"))
        path = "/api/v1/record?reason=Slow%20disk/..%2f"
        answer = http(daemon.port, path, method="POST")
        self.assertEqual(answer.status, 202, answer.text())
        told = json.loads(answer.text())
        self.assertRegex(told["file"], r"^\d{8}T\d{6}\.\d{3}Z-http-slow-disk[a-z0-9-]*\.tgrec$")
        self.assertEqual(told["extended"], False)
        again = json.loads(http(daemon.port, path, method="POST").text())
        self.assertEqual((again["file"], again["extended"]), (told["file"], True))
        self.assertEqual(self.finished()[0].name, told["file"])
        wait_until(lambda: daemon.value("tidegauge_recorder_incident_in_progress") == 0, 5, "the end")
        late = http(daemon.port, path, method="POST")
        self.assertEqual((late.status, late.headers.get("retry-after")), (429, "60"))
        self.assertEqual(http(daemon.port, path).status, 405)
        self.assertEqual(http(daemon.port, path, method="POST", headers=[("Origin", "http://evil.example")]).status, 403)
        self.assertEqual(http(daemon.port, path, method="POST", headers=[("Sec-Fetch-Site", "cross-site")]).status, 403)

    def test_not_over_http(self):
        daemon = self.start_recording(*LIGHT, *self.record_flags(), "--no-recorder.trigger-over-http")
        self.assertEqual(http(daemon.port, "/api/v1/record", method="POST").status, 403)
        daemon.signal(signal.SIGUSR2)
        self.finished()

    def test_switched_off(self):
        daemon = self.start_recording(*LIGHT, *self.record_flags(), "--no-recorder.enabled")
        self.assertEqual(http(daemon.port, "/api/v1/record", method="POST").status, 403)
        daemon.signal(signal.SIGUSR2)
        daemon.wait_log("nothing is recorded")
        self.assertFalse(self.incidents().exists())
        self.assertIsNone(sample(daemon.scrape(), "tidegauge_recorder_window_seconds"))

    def test_the_command(self):
        daemon = self.start_recording(*LIGHT, *self.record_flags())
        flags = [f"--web.listen-address=127.0.0.1:{daemon.port}", *self.record_flags(), "--config.file="]
        done = self.run_tidegauge("record", *flags)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(str(self.finished()[0]), done.stdout.strip())
        listed = self.run_tidegauge("incidents", str(self.incidents()))
        self.assertIn("complete", listed.stdout)
        nobody = self.run_tidegauge("record", f"--web.listen-address=127.0.0.1:{harness.free_port()}", "--config.file=")
        self.assertEqual(nobody.returncode, 1)
        self.assertIn("no daemon answers", nobody.stderr)

    def test_a_reload_keeps_what_was_recorded(self):
        daemon = self.start_recording(*LIGHT, config=f"recorder:\n  directory: {self.incidents()}\n  after: 1s\n")
        daemon.wait_log("listening")
        wait_until(lambda: daemon.value("tidegauge_recorder_snapshots") >= 3, 10, "three Snapshots")
        before = daemon.value("tidegauge_recorder_snapshots")
        daemon.signal(signal.SIGHUP)
        daemon.wait_log("configuration reloaded")
        wait_until(lambda: daemon.value("tidegauge_recorder_snapshots") > before, 10, "one more")
        daemon.signal(signal.SIGUSR2)
        done, bodies = self.replayed(self.finished()[0])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertGreater(len(bodies), before)

    def test_nothing_is_written_while_nothing_happens(self):
        daemon = self.start_recording(*LIGHT, *self.record_flags())
        wait_until(lambda: daemon.value("tidegauge_recorder_snapshots") >= 3, 10, "three Snapshots")
        def written():
            io = Path(f"/proc/{daemon.pid}/io").read_text(encoding="ascii")
            return int(re.search(r"^write_bytes: (\d+)", io, re.MULTILINE)[1])
        before = written()  # what it logged at the start: here standard error is a file
        recorded = daemon.value("tidegauge_recorder_snapshots")
        wait_until(lambda: daemon.value("tidegauge_recorder_snapshots") >= recorded + 5, 15, "five more")
        self.assertEqual(written(), before)
        self.assertFalse(self.incidents().exists())


class FaultTest(RecorderCase):
    def mount(self, options):
        os.makedirs(self.incidents(), exist_ok=True)
        if libc.mount(b"tmpfs", os.fsencode(self.incidents()), b"tmpfs", 0, options.encode()) != 0:
            self.skipTest(f"cannot mount: {os.strerror(ctypes.get_errno())}")
        self.addCleanup(libc.umount2, os.fsencode(self.incidents()), 2)  # MNT_DETACH

    def failures(self, daemon, reason):
        return daemon.value("tidegauge_recorder_incident_failures_total", reason=reason)

    def test_killed_while_it_writes(self):
        daemon = self.start_recording(*LIGHT, *self.record_flags(after="30s", write_rate="64KiB"))
        wait_until(lambda: daemon.value("tidegauge_ticks_total") >= 3, 10, "three ticks")
        daemon.signal(signal.SIGUSR2)
        def begun():
            found = list(self.incidents().glob(".*.partial")) if self.incidents().is_dir() else []
            return found and found[0].stat().st_size > 4096 and found[0]
        torn = wait_until(begun, 10, "bytes in a file")
        time.sleep(1)
        self.assertIn("being written", self.run_tidegauge("incidents", str(self.incidents())).stdout)
        daemon.signal(signal.SIGKILL)
        daemon.wait_exit(5)
        done, bodies = self.replayed(torn)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"at byte \d+: ")
        self.assertGreaterEqual(len(bodies), 1)
        listed = self.run_tidegauge("incidents", str(self.incidents()))
        self.assertIn("torn", listed.stdout)

    def test_a_full_disk(self):
        self.mount("size=32k")
        daemon = self.start_recording(*self.record_flags())
        wait_until(lambda: daemon.value("tidegauge_ticks_total") >= 3, 10, "three ticks")
        daemon.signal(signal.SIGUSR2)
        wait_until(lambda: self.failures(daemon, "no_space") == 1, 10, lambda: daemon.tail())
        daemon.wait_log("incident not recorded whole")
        self.assertEqual(daemon.get("/-/healthy").status, 200)
        libc.mount(b"", os.fsencode(self.incidents()), b"", 32, b"size=64m")  # MS_REMOUNT
        for left in self.incidents().iterdir():
            left.unlink()
        daemon.signal(signal.SIGUSR2)
        self.finished()
        self.assert_ends_well(daemon, 3)

    def test_a_read_only_disk(self):
        self.mount("size=1m,ro")
        daemon = self.start_recording(*LIGHT, *self.record_flags())
        daemon.signal(signal.SIGUSR2)
        wait_until(lambda: self.failures(daemon, "read_only") == 1, 10, lambda: daemon.tail())
        self.assertEqual(daemon.get("/-/healthy").status, 200)

    def test_old_files_go(self):
        daemon = self.start_recording(*LIGHT, *self.record_flags(after="0s", max_files=2))
        names = []
        for count in range(4):
            daemon.signal(signal.SIGUSR2)
            wait_until(lambda: daemon.value("tidegauge_recorder_incidents_total") == count + 1, 10, lambda: daemon.tail())
            names = sorted(path.name for path in self.incidents().glob("*.tgrec"))
        self.assertEqual(len(names), 2)
        self.assertEqual(daemon.value("tidegauge_recorder_incident_files"), 2)

    def test_ends_while_it_writes(self):
        daemon = self.start_recording(*LIGHT, *self.record_flags(after="30s"))
        wait_until(lambda: daemon.value("tidegauge_ticks_total") >= 3, 10, "three ticks")
        daemon.signal(signal.SIGUSR2)
        wait_until(lambda: self.incidents().is_dir() and list(self.incidents().iterdir()), 10, "a file")
        self.assert_ends_well(daemon, 3)
        done, bodies = self.replayed(self.finished()[0])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertGreaterEqual(len(bodies), 3)


if __name__ == "__main__":
    harness.main()
