#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""No alert fires over the recordings of hosts that are well, and those of hosts that are not do fire theirs.

Each recording is replayed, so verdicts are those of this build, and becomes the input of `promtool test rules` with all
rules that ship: once with the load going on for half an hour, scraped every 15 s, and once as it was, every 3 s, with
the rules' times divided by FASTER. $TIDEGAUGE names the binary (default: build/tidegauge).

The machines of the recordings are emulated: they skip ticks, and take a minute for what any host does in two seconds when
the daemon starts. So alerts on lateness, and on the daemon where times are divided, are left out.
"""

import json
import os
import re
import subprocess
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import yaml

import rules_test

TIDEGAUGE = os.environ.get("TIDEGAUGE") or str(rules_test.ROOT / "build" / "tidegauge")
RECORDINGS = rules_test.ROOT / "tests" / "fixtures" / "recordings"
FASTER = 12
SCRAPE_SECONDS = 15
FASTER_SCRAPE_SECONDS = 3
REPEATED_SECONDS = 1800
UNITS_MS = {"s": 1000, "m": 60000, "h": 3600000, "d": 86400000}
HOST = 'job="tidegauge",instance="host:10070"'
FIRST_NAME = re.compile(r"[\w:]*")
SAMPLE = re.compile(r'([a-zA-Z_:][\w:]*)(?:\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\})? (\S+)')

NAMED = set(re.findall(r"[a-zA-Z_:][\w:]*", "".join(path.read_text("utf-8") for path in rules_test.RULES.glob("*.yaml"))))

# What fires over hosts that are not well, for half an hour and divided: that the quiet ones fire nothing is no accident.
FIRES = {
    "page-cache-thrash": ({"HostDirectReclaim"}, {"HostDirectReclaim", "VerdictPageCacheThrash"}),
    "sync-bound": ({"HostFsyncSlow"}, {"HostFsyncSlow", "VerdictSyncBoundProcess"}),
}


def ticks(path):
    """[(seconds, {series: text})] of what `replay` prints and rules name, and the series that only rise."""
    done = subprocess.run([TIDEGAUGE, "replay", str(path)], capture_output=True, timeout=120, check=True)
    out, rising, names = [], set(), set()
    for line in done.stdout.decode("utf-8").splitlines():
        if line.startswith("# tick "):
            out.append((datetime.fromisoformat(line.split()[2].replace("Z", "+00:00")).timestamp(), {}))
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            # Fields of vmstat are untyped, as node_exporter has them; nr_... are gauges.
            if kind in ("counter", "histogram") or (kind == "untyped" and not name.startswith("node_vmstat_nr_")):
                names.add(name)
        elif FIRST_NAME.match(line)[0] in NAMED:  # promtool's time goes by the series there are
            name, labels, value = SAMPLE.fullmatch(line).groups()
            series = f"{name}{{{labels},{HOST}}}" if labels else f"{name}{{{HOST}}}"
            if series not in rising and (name in names or re.sub(r"_(bucket|sum|count)$", "", name) in names):
                rising.add(series)
            out[-1][1][series] = value
    return out, rising


def scrapes(recorded, every, seconds=None):
    """What Prometheus sees: the newest tick every so many seconds, again and again where more `seconds` are wanted than were
    recorded. Then counters go on from where they were."""
    found, rising = recorded
    begin = found[0][0]
    length = int((found[-1][0] - begin) / every) * every
    values = [[values for when, values in found if when - begin <= place][-1] for place in range(0, length + 1, every)]
    added = {series: float(values[-1].get(series, 0)) - float(values[0].get(series, 0)) for series in rising}
    out = []
    for at in range(0, (seconds or length) + 1, every):
        turn, place = divmod(at, length)
        out.append({series: float(value) + turn * added.get(series, 0) for series, value in values[place // every].items()})
    return out


def input_series(seen):
    """Of promtool's tests. A series that is gone is stale."""
    everything = {}
    for number, values in enumerate(seen):
        for series, value in values.items():
            texts = everything.setdefault(series, [])
            if len(texts) < number:
                texts += ["stale" if texts else "_"] + ["_"] * (number - len(texts) - 1)
            texts.append(repr(value).replace("inf", "Inf").replace("nan", "NaN"))
    for series, texts in everything.items():
        if len(texts) < len(seen):
            texts.append("stale")
    everything[f"up{{{HOST}}}"] = [f"1x{len(seen)}"]
    return [{"series": series, "values": " ".join(texts)} for series, texts in everything.items()]


def faster(text):
    """The rules of a file, FASTER times as fast."""
    def shorter(count, unit):
        return f"{int(count) * UNITS_MS[unit] // FASTER}ms"
    text = re.sub(r"(?m)^( *(?:for|keep_firing_for): )(\d+)([smhd])$", lambda match: match[1] + shorter(match[2], match[3]), text)
    return re.sub(r"\[(\d+)([smhd])\]", lambda match: f"[{shorter(match[1], match[2])}]", text)


class QuietTest(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="tidegauge-rules-")
        self.addCleanup(temporary.cleanup)
        self.directory = Path(temporary.name)
        for path in rules_test.RULES.glob("*.yaml"):
            (self.directory / f"faster-{path.name}").write_text(faster(path.read_text("utf-8")), "utf-8")

    def fired(self, name, seen, every, rules):
        """{(alert, layer)}, that fire at any time while these scrapes come in."""
        end = f"{(len(seen) - 1) * every}s"
        test = {"rule_files": [str(path) for path in rules], "evaluation_interval": f"{every}s", "tests": [{
            "interval": f"{every}s", "input_series": input_series(seen), "promql_expr_test": [{
                "expr": 'count by (alertname, layer) (max_over_time(ALERTS{alertstate="firing"}[1h]))', "eval_time": end, "exp_samples": []}]}]}
        path = self.directory / f"{name}-{every}.yaml"
        path.write_text(json.dumps(test), "utf-8")
        code, output = rules_test.promtool("test", "rules", path)
        found = set(re.findall(r'alertname=\\?"(\w+)\\?", layer=\\?"(\w+)', output))
        self.assertEqual(code != 0, bool(found), f"{name}: {output[:2000]}")
        return found

    def both(self, name):
        recorded, rising = ticks(RECORDINGS / f"{name}.tgrec")
        load = yaml.safe_load((RECORDINGS / f"{name}.yaml").read_text("utf-8"))["measured"]
        loaded = [tick for tick in recorded if load["from"] <= tick[0] <= load["to"]]
        for_long = self.fired(name, scrapes((loaded, rising), SCRAPE_SECONDS, REPEATED_SECONDS), SCRAPE_SECONDS, sorted(rules_test.RULES.glob("*.yaml")))
        in_short = self.fired(name, scrapes((recorded, rising), FASTER_SCRAPE_SECONDS), FASTER_SCRAPE_SECONDS, sorted(self.directory.glob("faster-*.yaml")))
        return ({alert for alert, _ in for_long} - {"TidegaugeTicksLate"}, {alert for alert, layer in in_short if layer != "daemon"})

    def test_what_fires(self):
        quiet = sorted(path.stem for path in RECORDINGS.glob("quiet-*.tgrec"))
        self.assertGreater(len(quiet), 8)
        with ThreadPoolExecutor(2) as pool:
            found = dict(zip([*quiet, *FIRES], pool.map(self.both, [*quiet, *FIRES])))
        for name, (for_long, in_short) in found.items():
            print(f"{name}: for half an hour {sorted(for_long)}, {FASTER} times as fast {sorted(in_short)}")
        for name in quiet:
            with self.subTest(recording=name):
                self.assertEqual(found[name], (set(), set()))
        for name, wanted in FIRES.items():
            with self.subTest(recording=name):
                self.assertLessEqual(wanted[0], found[name][0])
                self.assertLessEqual(wanted[1], found[name][1])


if __name__ == "__main__":
    unittest.main()
