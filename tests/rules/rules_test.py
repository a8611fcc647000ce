#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The rules of config/prometheus: promtool finds nothing wrong, every alert is tested both ways and says what to do."""

import os
import re
import shutil
import subprocess
import sys
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "config" / "prometheus" / "rules"
TESTS = ROOT / "tests" / "rules"
DOCS = ROOT / "docs"
RUNBOOKS = "file:///usr/share/doc/tidegauge/"
SEVERITIES = {"critical", "warning", "info"}
LAYERS = {"verdict", "symptom", "condition", "daemon"}
INCIDENTS = {"performance", "space", "daemon"}


def load(path):
    return yaml.safe_load(path.read_text("utf-8"))


def rules():
    """[(file, rule)] of all files."""
    return [(path.name, rule) for path in sorted(RULES.glob("*.yaml")) for group in load(path)["groups"] for rule in group["rules"]]


def names(expression):
    """Names of series in an expression."""
    text = re.sub(r'"(?:[^"\\]|\\.)*"|\{[^}]*\}', "", expression)
    text = re.sub(r"\b(?:on|by|ignoring|without|group_left|group_right)\s*\([^)]*\)", "", text)
    return set(re.findall(r"(?<![\w:])([a-zA-Z_:][\w:]*)(?!\s*\()(?![\w:])", text)) - {"and", "or", "unless", "offset"}


def anchors(text):
    """What GitHub and GitLab make of headings."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in re.findall(r"(?m)^#+ (.*)$", text)}


def promtool(*arguments):
    path = shutil.which("promtool")
    if not path:
        reason = "promtool is not installed (`make deps-test` installs it)"
        if os.environ.get("TIDEGAUGE_E2E_SKIP_PEERS"):
            print(f"skipped: {reason}", file=sys.stderr)
            raise unittest.SkipTest(reason)
        raise AssertionError(reason)
    done = subprocess.run([path, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=280, check=False)
    return done.returncode, done.stdout


class RulesTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.alerts = {rule["alert"]: rule for _, rule in rules() if "alert" in rule}
        self.recorded = {rule["record"]: rule["expr"] for _, rule in rules() if "record" in rule}

    def sources(self, expression):
        """The scraped series that an expression goes back to."""
        found = set()
        for name in names(expression):
            found |= self.sources(self.recorded[name]) if name in self.recorded else {name}
        return found

    def test_promtool_checks(self):
        code, output = promtool("check", "rules", *sorted(RULES.glob("*.yaml")))
        self.assertEqual(code, 0, output)
        self.assertNotRegex(output, r"(?i)duplicate")
        code, output = promtool("check", "config", RULES.parent / "prometheus.yml")
        self.assertEqual(code, 0, output)

    def test_promtool_tests(self):
        files = sorted(TESTS.glob("*.yaml"))
        self.assertGreater(len(files), 3)
        with ThreadPoolExecutor(2) as pool:
            for path, (code, output) in zip(files, pool.map(lambda path: promtool("test", "rules", path), files)):
                self.assertEqual(code, 0, f"{path.name}: {output}")

    def test_every_alert_is_tested_both_ways(self):
        fires, silent = set(), set()
        for path in sorted(TESTS.glob("*.yaml")):
            for test in load(path)["tests"]:
                given = {series["series"].partition("{")[0] for series in test["input_series"]}
                for check in test["alert_rule_test"]:
                    name = check["alertname"]
                    self.assertIn(name, self.alerts, f"{path.name}: {test['name']}")
                    if check["exp_alerts"]:
                        fires.add(name)
                    elif given & self.sources(self.alerts[name]["expr"]):
                        # Silence counts where there was something to be silent about.
                        silent.add(name)
        self.assertEqual(sorted(set(self.alerts) - fires), [], "never shown to fire")
        self.assertEqual(sorted(set(self.alerts) - silent), [], "never shown not to fire")

    def test_what_alerts_say(self):
        self.assertEqual(len(self.alerts), sum("alert" in rule for _, rule in rules()), "two alerts of one name")
        for name, rule in self.alerts.items():
            with self.subTest(name):
                labels, annotations = rule["labels"], rule["annotations"]
                self.assertIn(labels["severity"], SEVERITIES)
                self.assertIn(labels["layer"], LAYERS)
                self.assertIn(labels["incident"], INCIDENTS)
                self.assertEqual(set(annotations), {"summary", "description", "runbook_url"})
                # A sentence: it begins with a capital, a name or a number, has a verb's worth of words and ends.
                self.assertRegex(annotations["summary"], r"^([A-Z]|\{\{).{20,}\.$")
                self.assertNotIn("\n", annotations["summary"])
                if name != "TidegaugeAbsent":
                    self.assertIn("$labels.instance", annotations["summary"])
                if labels["layer"] != "daemon":
                    self.assertRegex(annotations["description"], r"\{\{")
                url = annotations["runbook_url"]
                self.assertTrue(url.startswith(RUNBOOKS), url)
                file, _, anchor = url[len(RUNBOOKS):].partition("#")
                self.assertIn(anchor, anchors((DOCS / file).read_text("utf-8")), url)

    def test_runbooks_are_of_alerts_that_exist(self):
        text = (DOCS / "alerts.md").read_text("utf-8")
        described = re.findall(r"(?m)^## (\w+)$", text)
        self.assertEqual(sorted(described), sorted(name for name in self.alerts if not name.startswith("Verdict")))
        for section in re.split(r"(?m)^## ", text)[1:]:
            for part in ("**Means**: ", "**Look**: ", "**Do**: "):
                self.assertIn(part, section, section.splitlines()[0])

    def test_every_verdict_has_its_alert(self):
        text = (DOCS / "verdicts.md").read_text("utf-8")
        severities = dict(re.findall(r"(?m)^## (\w+)\n\nSeverity (\w+)", text))
        self.assertGreater(len(severities), 15)
        alerts = {}
        for name, rule in self.alerts.items():
            if rule["labels"]["layer"] == "verdict":
                verdict = re.fullmatch(r'subject:tidegauge_verdict:active\{verdict="(\w+)"\}', rule["expr"])[1]
                self.assertEqual(name, "Verdict" + "".join(part.capitalize() for part in verdict.split("_")))
                self.assertTrue(rule["annotations"]["runbook_url"].endswith(f"verdicts.md#{verdict}"))
                alerts[verdict] = rule["labels"]["severity"]
        self.assertEqual(alerts, severities)

    def test_series_exist(self):
        """What rules are made of is documented, or by patterns the kernel's."""
        known = set(re.findall(r"(?m)^\| `([\w:]+)`", (DOCS / "metrics.md").read_text("utf-8"))) | {"up"}
        for file, rule in rules():
            for name in self.sources(rule["expr"]):
                base = re.sub(r"_(bucket|sum|count)$", "", name)
                self.assertTrue(name in known or base in known or re.match(r"node_(vmstat|memory|sysctl)_\w+$", name), f"{file}: {name}")

    def test_instances_are_kept_apart(self):
        """Only what is said to be of a whole job may lose the instance."""
        for file, rule in rules():
            for words in re.findall(r"\bby\s*\(([^)]*)\)", rule["expr"]):
                is_fleet = rule.get("record", "").startswith("job")
                self.assertTrue(is_fleet or {"job", "instance"} <= {word.strip() for word in words.split(",")}, f"{file}: {rule}")
            for words in re.findall(r"\bon\s*\(([^)]*)\)", rule["expr"]):
                self.assertLessEqual({"job", "instance"}, {word.strip() for word in words.split(",")}, f"{file}: {rule}")
            for words in re.findall(r"\b(?:without|ignoring)\s*\(([^)]*)\)", rule["expr"]):
                self.assertFalse({"job", "instance"} & {word.strip() for word in words.split(",")}, f"{file}: {rule}")
            self.assertNotRegex(rule["expr"], r"\b(sum|avg|max|min|count|group)\s*\((?!\s*up\b)(?!.*\bwithout\b)(?!.*\bby\b)", f"{file}: {rule}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
