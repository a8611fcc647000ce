#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The dashboards of config/grafana: the JSON is what dashboards.py makes, and keeps what Grafana's dashboard linter asks for.

That they show something is tests/e2e/expressions_test.py's affair.
"""

import importlib.util
import json
import re
import unittest
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
GRAFANA = ROOT / "config" / "grafana"
KINDS = {"timeseries", "stat", "table", "heatmap", "bargauge", "state-timeline"}
UNITS = {"short", "none", "percentunit", "s", "bytes", "Bps", "KiBs", "ops", "iops", "pps"}
GAUGES_WITH_COUNTS = re.compile(r"_(total|bucket|sum|count)$")


def boards():
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted((GRAFANA / "dashboards").glob("*.json"))}


def panels(board):
    return [panel for panel in board["panels"] if panel["type"] != "row"]


class DashboardsTest(unittest.TestCase):
    maxDiff = None

    def for_each_panel(self, check):
        for name, board in boards().items():
            for panel in panels(board):
                with self.subTest(f"{name}: {panel['title']}"):
                    check(panel)

    def test_up_to_date(self):
        spec = importlib.util.spec_from_file_location("dashboards", GRAFANA / "dashboards.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self.assertEqual(set(module.BOARDS), set(boards()))
        for name, board in module.BOARDS.items():
            text = (GRAFANA / "dashboards" / f"{name}.json").read_text("utf-8")
            self.assertTrue(text == module.text(board), f"{name}.json: run config/grafana/dashboards.py")

    def test_all_six_with_variables(self):
        found = boards()
        self.assertEqual(set(found), {"host", "why", "memory", "disks", "processes", "fleet"})
        self.assertEqual(len({board["uid"] for board in found.values()}), len(found))
        for board in found.values():
            self.assertTrue(board["title"].startswith("Tidegauge / ") and board["description"].endswith("."))
            self.assertFalse(board["editable"])
            variables = {variable["name"]: variable for variable in board["templating"]["list"]}
            self.assertEqual(list(variables), ["datasource", "job", "instance"])
            self.assertEqual((variables["datasource"]["type"], variables["datasource"]["query"]), ("datasource", "prometheus"))
            for name in ("job", "instance"):
                variable = variables[name]
                self.assertEqual((variable["type"], variable["multi"], variable["includeAll"], variable["allValue"], variable["refresh"]), ("query", True, True, ".+", 2))
                self.assertEqual(variable["datasource"]["uid"], "${datasource}")
                self.assertRegex(variable["query"], rf"^label_values\(.*, {name}\)$")
            ids = [panel["id"] for panel in board["panels"]]
            self.assertEqual(len(ids), len(set(ids)))
            titles = [panel["title"] for panel in panels(board)]
            self.assertEqual(len(titles), len(set(titles)), titles)

    def test_panels_explain_themselves(self):
        def check(panel):
            self.assertIn(panel["type"], KINDS)
            self.assertTrue(panel["title"])
            self.assertRegex(panel["description"], r"^[A-Z0-9a-z].{10,}[.?]$")
            defaults = panel["fieldConfig"]["defaults"]
            self.assertIn(defaults["unit"], UNITS)
            # Why there is nothing, instead of an empty graph.
            self.assertRegex(defaults["noValue"], r"^(No data source|None): .{10,}")
            self.assertEqual(panel["datasource"], {"type": "prometheus", "uid": "${datasource}"})
        self.for_each_panel(check)

    def test_panels_do_not_overlap(self):
        for name, board in boards().items():
            taken = set()
            for panel in board["panels"]:
                at = panel["gridPos"]
                cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
                self.assertLessEqual(at["x"] + at["w"], 24)
                self.assertFalse(cells & taken, f"{name}: {panel['title']}")
                taken |= cells

    def test_expressions_keep_the_conventions(self):
        documented = set(re.findall(r"(?m)^\| `([\w:]+)`", (ROOT / "docs" / "metrics.md").read_text("utf-8"))) | {"up"}

        def check(panel):
            self.assertTrue(panel["targets"])
            self.assertEqual(len({target["refId"] for target in panel["targets"]}), len(panel["targets"]))
            for target in panel["targets"]:
                expression = target["expr"]
                self.assertEqual(target["datasource"]["uid"], "${datasource}")
                selectors = re.findall(r"([a-z_:][\w:]*)\{([^}]*)\}", expression)
                self.assertTrue(selectors)
                for name, labels in selectors:
                    self.assertTrue(labels.startswith('job=~"$job",instance=~"$instance"'), expression)
                    base = re.sub(r"_(bucket|sum|count)$", "", name)
                    self.assertTrue(name in documented or base in documented or re.match(r"node_(vmstat|memory|sysctl)_\w+$", name), name)
                    if GAUGES_WITH_COUNTS.search(name):
                        self.assertRegex(expression, rf"(rate|increase)\({name}\{{[^}}]*\}}\[(\$__rate_interval|10m|1h)\]\)", expression)
                # No series without the variables' selection.
                bare = re.sub(r'\{[^}]*\}|"[^"]*"|\[[^\]]*\]', "", expression)
                for name in re.findall(r"\b(?:node|tidegauge|process)_\w+", bare):
                    self.assertIn(name, {selected for selected, _ in selectors}, expression)
                for words in re.findall(r"\bby \(([^)]*)\)", expression):
                    kept = {word.strip() for word in words.split(",")}
                    self.assertTrue("job" in kept or panel["type"] == "heatmap", expression)
                if panel["type"] == "heatmap":
                    self.assertEqual((target["format"], target["legendFormat"]), ("heatmap", "{{le}}"))
        self.for_each_panel(check)

    def test_provisioning(self):
        for path in (GRAFANA / "provisioning").rglob("*.yaml"):
            self.assertEqual(yaml.safe_load(path.read_text("utf-8"))["apiVersion"], 1)
        sources = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "prometheus.yaml").read_text("utf-8"))["datasources"]
        self.assertEqual([source["type"] for source in sources], ["prometheus"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
