#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How often the verdicts are right: replays recordings and compares with the truth beside each.

verdict_table.py [--tidegauge PROGRAM] [--held-out | --tuned-on] DIRECTORY: a row of a table for each, and the sums. What must be
told is compared with what is, and with whom it names first; what is told but neither wanted nor possible is a false alarm.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import yaml

import lab


def told(program, recording):
    done = subprocess.run([program, "why", "--json", "--replay", recording], capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        sys.exit(f"{recording}: {done.stderr}")
    return json.loads(done.stdout)["found"]


def names_culprit(verdict, truth):
    """Whether the first cause is who the truth says: process, file, device."""
    if verdict["causes"] and "comm" in truth:
        first = verdict["causes"][0]
        if truth["comm"] not in (first.get("comm"), first.get("group")) or truth.get("file", "") not in first.get("file", ""):
            return False
    elif "comm" in truth:
        return False
    text = json.dumps(verdict)
    return all(str(truth[key]) in text for key in ("device", "cgroup", "directory") if key in truth)


def row(program, recording, truth):
    found = told(program, recording)
    wanted = {one["verdict"]: one for one in truth["verdicts"]}
    out = {"wanted": len(wanted), "found": 0, "right": 0, "false": [], "missed": [], "wrong": [], "delays": [], "sure": 0, "sure_true": 0}
    for name, one in wanted.items():
        of_it = [verdict for verdict in found if verdict["verdict"] == name]
        if not of_it:
            out["missed"].append(name)
            continue
        out["found"] += 1
        first = min(of_it, key=lambda verdict: verdict["detected_seconds"])
        started = one.get("at", one.get("onset", truth["program"]["started"]))
        if "until" in one:
            out["delays"].append(f"{name} {one['until'] - first['detected_seconds']:.0f} s before")
        else:
            out["delays"].append(f"{name} {first['detected_seconds'] - max(started, first['onset_seconds']):.0f} s")
        if any(names_culprit(verdict, one) for verdict in of_it):
            out["right"] += 1
        else:
            out["wrong"].append(name)
    for verdict in found:
        is_true = verdict["verdict"] in wanted or verdict["verdict"] in truth["may"]
        out["sure"] += verdict["confidence"] >= 0.8
        out["sure_true"] += is_true and verdict["confidence"] >= 0.8
        if not is_true:
            out["false"].append(f"{verdict['verdict']} ({verdict['confidence']})")
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tidegauge", default=lab.PROGRAMS["tidegauge"])
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--tuned-on", action="store_true")
    parser.add_argument("directory", nargs="?", type=Path, default=lab.ROOT / "tests/fixtures/recordings")
    options = parser.parse_args()
    sums = dict.fromkeys(("recordings", "quiet", "wanted", "found", "right", "false", "sure", "sure_true"), 0)
    print("| recording | kernel | wanted | told, after | culprit | false alarms |\n|---|---|---|---|---|---|")
    for path in sorted(options.directory.glob("*.yaml")):
        truth = yaml.safe_load(path.read_text())
        is_held_out = truth.get("held_out", False)
        if (options.held_out and not is_held_out) or (options.tuned_on and is_held_out):
            continue
        one = row(options.tidegauge, path.with_suffix(".tgrec"), truth)
        sums["recordings"] += 1
        sums["quiet"] += one["wanted"] == 0
        for name in ("wanted", "found", "right", "sure", "sure_true"):
            sums[name] += one[name]
        sums["false"] += len(one["false"])
        said = [*one["delays"], *(f"{name} not told" for name in one["missed"])]
        culprit = "-" if not one["wanted"] else f"{one['right']} of {one['wanted']}"
        print(f"| {path.stem} | {truth['kernel'].split('-')[0].split('+')[0]} | {one['wanted']} | {', '.join(said) or 'nothing'} | {culprit} | "
              f"{', '.join(one['false']) or 'none'} |")
    print(f"\n{sums}")


if __name__ == "__main__":
    main()
