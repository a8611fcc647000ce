#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Recordings of this machine as `replay`, `dump` and `incidents` give them, against Prometheus's own tools."""

import collections
import csv
import io
import json
import math
import os
import re
import subprocess
import time
import urllib.parse
from datetime import datetime
from pathlib import Path

import harness
from harness import scaled

MAKE_RECORDING = os.environ.get("TIDEGAUGE_MAKE_RECORDING") or str(Path(harness.TIDEGAUGE).parent / "make_recording")
SECONDS, INTERVAL_MS, CHUNK_MS = 6, 500, 1500
TICK = re.compile(r"# tick (\S+) sequence (\d+)\n")
NO_SCRAPES = "global: {scrape_interval: 1m}\n"


def ticks_of(text):
    """[(time, sequence, body)] of what `replay` prints."""
    parts = TICK.split(text)
    assert parts[0] == "", parts[0][:200]
    return [(time_text, int(sequence), body) for time_text, sequence, body in zip(parts[1::3], parts[2::3], parts[3::3])]


def unix_ms(time_text):
    return round(datetime.fromisoformat(time_text.replace("Z", "+00:00")).timestamp() * 1000)


def without_verdicts(ticks):
    """The same without the families that heuristics make."""
    section = (harness.ROOT / "docs" / "metrics.md").read_text().split("\n## verdicts\n")[1].split("\n## ")[0]
    families = "|".join(re.findall(r"(?m)^\| `(\w+)`", section))
    theirs = re.compile(rf"(?m)^(# (HELP|TYPE) )?({families})[ {{].*\n|^tidegauge_collector_\w+{{collector=\"verdicts\"}}.*\n")
    return [(when, sequence, theirs.sub("", body)) for when, sequence, body in ticks]


def number(text):
    return float(text.replace("Inf", "inf"))


def same(a, b):
    return a == b or (math.isnan(a) and math.isnan(b))


class ReplayTest(harness.TestCase):
    recording = None  # bytes of one that all tests share

    def setUp(self):
        super().setUp()
        if ReplayTest.recording is None:
            path = self.directory / "made.tgrec"
            subprocess.run([MAKE_RECORDING, path, str(SECONDS), str(INTERVAL_MS), str(CHUNK_MS)], check=True,
                           timeout=scaled(60), stdout=subprocess.DEVNULL)
            ReplayTest.recording = path.read_bytes()
        self.file = self.write("x.tgrec", ReplayTest.recording)

    def output(self, *arguments, code=0, timeout=60):
        ran = self.run_tidegauge(*arguments, timeout=timeout)
        self.assertEqual(ran.returncode, code, ran.stderr)
        return ran.stdout if code != 1 else (ran.stdout, ran.stderr)

    def samples(self):
        """{(metric, labels): {ms: value}} of `dump --format csv`."""
        rows = csv.reader(io.StringIO(self.output("dump", self.file, "--format=csv")))
        self.assertEqual(next(rows), ["time", "metric", "labels", "value"])
        out = collections.defaultdict(dict)
        for time_text, metric, labels, value in rows:
            pairs = re.findall(r'([a-zA-Z_0-9]+)="((?:[^"\\]|\\.)*)"', labels)
            unescaped = {name: re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], text) for name, text in pairs}
            # An empty label is none.
            key = (metric, tuple(sorted((name, text) for name, text in unescaped.items() if text)))
            ms = unix_ms(time_text)
            self.assertNotIn(ms, out[key])
            out[key][ms] = number(value)
        return out

    def test_replay_prints_expositions(self):
        ticks = ticks_of(self.output("replay", self.file))
        self.assertGreaterEqual(len(ticks), SECONDS * 1000 // INTERVAL_MS - 2)
        self.assertEqual([sequence for _, sequence, _ in ticks], sorted(sequence for _, sequence, _ in ticks))
        for _, _, body in ticks[1:]:
            families = harness.expo_compare.parse(body)
            self.assertGreater(len(families), 200)
            self.assertFalse("tidegauge_build_info" in families, "the daemon's own")
        last = ticks_of(self.output("replay", self.file, "--from", "-1s"))
        self.assertIn(len(last), (2, 3))
        self.assertEqual(last, ticks[-len(last):])
        self.assertEqual(ticks_of(self.output("replay", self.file, f"--to={ticks[2][0][:-1]}999Z")), ticks[:3])

    def test_prometheus_has_every_value(self):
        samples = self.samples()
        text = self.write("x.om", self.output("dump", self.file))
        self.assertTrue(text.read_text().endswith("# EOF\n"))
        tsdb = self.directory / "tsdb"
        made = subprocess.run([harness.find_peer("promtool"), "tsdb", "create-blocks-from", "openmetrics", text, tsdb],
                              capture_output=True, text=True, timeout=scaled(60), check=False)
        self.assertEqual(made.returncode, 0, made.stdout + made.stderr)
        prometheus = self.start_prometheus(NO_SCRAPES)
        times = sorted({ms for values in samples.values() for ms in values})
        self.assertGreater(len(samples), 500)
        # All raw samples, with their times.
        query = urllib.parse.urlencode({"query": '{__name__=~".+"}[1h]', "time": times[-1] / 1000 + 1})
        answer = prometheus.get("/api/v1/query?" + query, timeout=60)
        self.assertEqual(answer.status, 200, answer.body[:500])
        found = {}
        for row in json.loads(answer.text())["data"]["result"]:
            labels = row["metric"]
            key = (labels.pop("__name__"), tuple(sorted(labels.items())))
            found[key] = {round(float(when) * 1000): number(value) for when, value in row["values"]}
        self.assertEqual(set(found), set(samples))
        for key, values in samples.items():
            self.assertEqual(set(found[key]), set(values), key)
            for ms, value in values.items():
                self.assertTrue(same(found[key][ms], value), f"{key} at {ms}: {found[key][ms]} instead of {value}")
        # And as a graph would ask, at several seconds.
        for ms in times[1::3]:
            query = urllib.parse.urlencode({"query": "node_cpu_seconds_total", "time": f"{ms / 1000:.3f}"})
            rows = json.loads(prometheus.get("/api/v1/query?" + query).text())["data"]["result"]
            self.assertGreater(len(rows), 7)
            for row in rows:
                labels = row["metric"]
                key = (labels.pop("__name__"), tuple(sorted(labels.items())))
                latest = max(when for when in samples[key] if when <= ms)
                self.assertEqual(number(row["value"][1]), samples[key][latest], key)

    def test_csv_and_json_say_the_same(self):
        ticks = ticks_of(self.output("replay", self.file))
        lines = [json.loads(line) for line in self.output("dump", self.file, "--format=json").rstrip("\n").split("\n")]
        self.assertEqual([(line["time"], line["sequence"]) for line in lines], [tick[:2] for tick in ticks])
        for line, (_, _, body) in zip(lines, ticks):
            values = {}
            for family in harness.expo_compare.parse(body).values():
                values.update(family.series)
            self.assertEqual(len(line["metrics"]), len(values))
            for metric in line["metrics"]:
                key = (metric["name"], tuple(sorted((k, v) for k, v in metric["labels"].items() if v)))
                self.assertTrue(same(number(str(metric["value"])), values[key]), metric)
        only = self.output("dump", self.file, "--format=csv", "--family=node_(load1|boot_time_seconds)")
        self.assertEqual({row.split(",")[1] for row in only.splitlines()[1:]}, {"node_load1", "node_boot_time_seconds"})

    def test_raw_files(self):
        text = subprocess.run([harness.TIDEGAUGE, "dump", self.file, "--raw"], capture_output=True, check=True,
                              timeout=scaled(10)).stdout.decode("utf-8", "replace")
        self.assertRegex(text, r"==> /proc/meminfo \(onset, 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\) <==\nMemTotal: ")
        self.assertIn("==> /proc/vmstat (", text)

    def test_served_text_is_the_printed_text(self):
        ticks = ticks_of(self.output("replay", self.file))
        bodies = [body for _, _, body in ticks]
        port = harness.free_port()
        begin = time.monotonic()
        server = self.spawn(harness.Daemon, [harness.TIDEGAUGE, "replay", self.file, f"--serve=127.0.0.1:{port}", "--speed=2"],
                            "replay", port=port)
        server.wait_ready("/-/ready", 5)
        seen = []

        def ended():
            body = server.get().text()
            if not seen or seen[-1] != body:
                seen.append(body)
            return body == bodies[-1]
        harness.wait_until(ended, 20, "the last Snapshot")
        took = time.monotonic() - begin
        self.assertGreater(took, (unix_ms(ticks[-1][0]) - unix_ms(ticks[0][0])) / 1000 / 2 - 0.3)
        places = [bodies.index(body) for body in seen]
        self.assertEqual(places, sorted(places))
        self.assertGreater(len(places), len(bodies) / 2)
        server.wait_log("its end is reached", 10)
        self.assertEqual(server.get("/-/healthy").status, 200)
        self.assertEqual(server.get("/").status, 200)
        self.assert_ends_well(server)

    def test_one_snapshot_as_it_is_asked_for(self):
        first = ticks_of(self.output("replay", self.file))[0][2]
        port = harness.free_port()
        server = self.spawn(harness.Daemon, [harness.TIDEGAUGE, "replay", self.file, f"--serve=127.0.0.1:{port}", "--speed=0.01"],
                            "replay", port=port)
        server.wait_ready("/-/ready", 5)
        self.assertEqual(server.get(headers=[harness.GZIP]).text(), first)
        self.assertEqual(server.get("/metrics?collect[]=loadavg").families()["node_load1"].series,
                         harness.expo_compare.parse(first)["node_load1"].series)
        self.assert_ends_well(server)

    def test_series_end_with_the_recording(self):
        """To rules, values that stand still are a hung disk and a host that does nothing."""
        port = harness.free_port()
        server = self.spawn(harness.Daemon, [harness.TIDEGAUGE, "replay", self.file, f"--serve=127.0.0.1:{port}", "--speed=0.5"],
                            "replay", port=port)
        server.wait_ready("/-/ready", 5)
        scrape = f"{{job_name: replay, scrape_interval: 1s, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}"
        prometheus = self.start_prometheus(f"scrape_configs: [{scrape}]\n")

        def count(expression):
            answer = prometheus.get("/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
            return len(json.loads(answer.text())["data"]["result"])
        harness.wait_until(lambda: count("node_load1[1m]"), 10, "a scrape of the recording", pause=0.2)
        server.wait_log("its end is reached", 20)
        harness.wait_until(lambda: not count('{__name__=~"(node|tidegauge)_.+"}'), 10, "all series to be stale", pause=0.2)
        self.assertEqual(count("up == 1"), 1)
        self.assertEqual(server.get().status, 200)
        self.assert_ends_well(server)

    def test_loop_begins_again(self):
        port = harness.free_port()
        server = self.spawn(harness.Daemon, [harness.TIDEGAUGE, "replay", self.file, f"--serve=127.0.0.1:{port}", "--speed=20",
                                             "--loop"], "replay", port=port)
        server.wait_ready("/-/ready", 5)
        seen = []

        def fell():
            seen.append(server.value("tidegauge_ticks_total"))
            return len(seen) > 1 and seen[-1] < seen[-2]
        harness.wait_until(fell, 10, "ticks that begin again")
        self.assert_ends_well(server)

    def test_damage_is_told(self):
        whole = ticks_of(self.output("replay", self.file))
        data = bytearray(ReplayTest.recording)
        for place in range(100, len(data), len(data) // 7):
            flipped = bytearray(data)
            flipped[place] ^= 0x10
            file = self.write("flipped.tgrec", bytes(flipped))
            text, errors = self.output("replay", file, code=1)
            self.assertRegex(errors, rf"^tidegauge: {file}: at byte \d+: [a-z' ]+\n")
            offset = int(re.search(r"at byte (\d+)", errors)[1])
            self.assertLessEqual(offset, place)
            ticks = ticks_of(text)
            # Behind a gap some verdicts may be others.
            self.assertTrue(set(without_verdicts(ticks)) <= set(without_verdicts(whole)))
            self.assertGreaterEqual(len(ticks), len(whole) - CHUNK_MS // INTERVAL_MS - 1)
            text, again = self.output("dump", file, code=1)
            self.assertEqual(again, errors)
            self.assertTrue(text.endswith("# EOF\n"))
        for size in range(16, len(data), len(data) // 7):
            file = self.write("torn.tgrec", bytes(data[:size]))
            text, errors = self.output("replay", file, code=1)
            self.assertEqual(errors.count("\n"), 1, errors)
            self.assertRegex(errors, rf"^tidegauge: {file}: at byte \d+: the file ends ")
            ticks = ticks_of(text) if text else []
            self.assertEqual(ticks, whole[:len(ticks)])
            for command in (["dump", file, "--format=csv"], ["dump", file, "--format=json"], ["dump", file, "--raw"]):
                self.output(*command, code=1)

    def test_what_is_no_recording(self):
        os.mkfifo(self.directory / "fifo.tgrec")
        (self.directory / "folder.tgrec").mkdir()
        self.write("text.tgrec", "this is not a recording")
        self.write("empty.tgrec", "")
        for name in ("fifo.tgrec", "folder.tgrec", "text.tgrec", "empty.tgrec", "missing.tgrec"):
            for command in ("replay", "dump"):
                ran = self.run_tidegauge(command, self.directory / name)
                self.assertEqual((ran.returncode, ran.stdout), (2, ""))
                self.assertRegex(ran.stderr, r"^tidegauge: \S+: [^\n]+\n$")
        ran = self.run_tidegauge("dump", self.file, "--family=node_(a")
        self.assertEqual(ran.returncode, 2)
        self.assertEqual(ran.stderr, "tidegauge: --family: at character 8: missing ): node_(a\n")

    def test_incidents(self):
        folder = self.directory / "incidents"
        folder.mkdir()
        (folder / "20261126T013232Z-io-stall.tgrec").write_bytes(ReplayTest.recording)
        (folder / ".20261126T013233Z-memory.tgrec.partial").write_bytes(ReplayTest.recording[:-100])
        os.mkfifo(folder / "20261126T013234Z-x.tgrec")
        (folder / "20261126T013235Z-\x1b[2J.tgrec").mkdir()
        text = self.output("incidents", folder)
        self.assertNotIn("\x1b", text)
        self.assertTrue(all(len(line) <= 80 for line in text.splitlines()), text)
        listed = json.loads(self.output("incidents", folder, "--json"))
        self.assertEqual([entry["state"] for entry in listed], ["complete", "torn", "unreadable", "unreadable"])
        self.assertEqual(listed[0]["reason"], "io-stall")
        self.assertEqual(listed[0]["snapshots"], len(ticks_of(self.output("replay", self.file))))
        self.output("incidents", self.directory / "missing", code=1)


if __name__ == "__main__":
    harness.main()
