#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Debian's Prometheus scrapes Tidegauge: it has nothing to complain about and can compute what alerts are made of."""

import json
import math
import os
import re
import subprocess
import time
import urllib.parse

import harness

SCRAPES = 12
# Also where the daemon is built with sanitizers, and slow, a scrape is not cut off.
INTERVAL = 1 if harness.scaled(1) == 1 else 2

CONFIG = f"""\
global:
  scrape_interval: {INTERVAL}s
  scrape_timeout: {INTERVAL}s
scrape_configs:
  - job_name: tidegauge
    static_configs:
      - targets: ['127.0.0.1:%d']
"""


class PrometheusTest(harness.TestCase):
    def query(self, prometheus, expression):
        """[(labels, value or [values])] of an instant query."""
        answer = prometheus.get("/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
        self.assertEqual(answer.status, 200, answer.body)
        data = json.loads(answer.text())["data"]
        if data["resultType"] == "matrix":
            return [(row["metric"], [float(value) for _, value in row["values"]]) for row in data["result"]]
        return [(row["metric"], float(row["value"][1])) for row in data["result"]]

    def check_rates(self, prometheus, expression, label, expected, low, high):
        expression = expression.replace("WINDOW", f"{5 * INTERVAL}s")
        rates = {}

        def hold():
            # Where this machine stood still for a second, a later window tells.
            rates.clear()
            rates.update({labels[label]: value for labels, value in self.query(prometheus, expression)})
            return set(rates) == expected and all(math.isfinite(value) and low <= value <= high for value in rates.values())
        harness.wait_until(hold, 8, lambda: f"{expression}: {rates}, expected {sorted(expected)} from {low} to {high}", pause=1)

    def test_prometheus_scrapes(self):
        daemon = self.start()
        prometheus = self.start_prometheus(CONFIG % daemon.port)

        def ups():
            # Something for the disks to do, in steps, while Prometheus counts.
            with open(self.directory / "load", "wb") as file:
                file.write(os.urandom(1 << 20))
                os.fsync(file.fileno())
            rows = self.query(prometheus, 'up{job="tidegauge"}[1m]')
            return rows[0][1] if rows and len(rows[0][1]) >= SCRAPES else None
        samples = harness.wait_until(ups, SCRAPES * INTERVAL + 10, lambda: f"{SCRAPES} scrapes\n{prometheus.tail()}", pause=0.3)
        self.assertEqual(set(samples), {1.0}, f"up: {samples}")

        now = daemon.scrape()
        cpus = harness.label_values(now, "node_cpu_seconds_total", "cpu")
        self.assertEqual(len(cpus), os.sysconf("SC_NPROCESSORS_ONLN"))
        self.check_rates(prometheus, 'rate(node_cpu_seconds_total{mode="iowait"}[WINDOW])', "cpu", cpus, 0.0, 1.1)
        disks = harness.label_values(now, "node_disk_io_time_seconds_total", "device")
        with open("/proc/diskstats", encoding="utf-8") as file:
            present = {line.split()[2] for line in file}
        self.assertTrue(disks <= present, disks)
        self.assertTrue(disks or not re.search(r"\b([sv]d[a-z]+|nvme\d+n\d+)\b", " ".join(present)), "no disk at all")
        self.check_rates(prometheus, "rate(node_disk_io_time_seconds_total[WINDOW])", "device", disks, 0.0, 1.1)
        # One CPU's modes add up to one second a second.
        self.check_rates(prometheus, "sum by (cpu) (rate(node_cpu_seconds_total[WINDOW]))", "cpu", cpus, 0.7, 1.3)
        counters = self.query(prometheus, '{__name__=~"(node|tidegauge)_.*_total"}[1m]')
        self.assertGreater(len(counters), 100)
        # A cgroup that another test made anew has counted nothing yet.
        self.assertEqual([labels for labels, values in counters if values != sorted(values)
                          and not labels.get("cgroup", "").startswith("/tidegauge-e2e")], [], "counters that went back")
        [(_, duplicates)] = self.query(prometheus, 'count(up{job="tidegauge"})')
        self.assertEqual(duplicates, 1)
        [(_, scraped)] = self.query(prometheus, 'scrape_samples_scraped{job="tidegauge"}')
        [(_, kept)] = self.query(prometheus, 'scrape_samples_post_metric_relabeling{job="tidegauge"}')
        self.assertEqual(scraped, kept)
        self.assertGreater(scraped, 300)

        complaints = [line for line in prometheus.stderr().splitlines() if re.search(r"\blevel=(warn|error)", line)]
        self.assertEqual(complaints, [], "Prometheus's log")
        own = [line for line in daemon.stderr().splitlines() if "level=error" in line or "web server" in line]
        self.assertEqual(own, [], "our log")

    def check_metrics(self, exposition):
        """What `promtool check metrics` says: {(family, message)}."""
        done = subprocess.run([harness.find_peer("promtool"), "check", "metrics"], input=exposition, capture_output=True,
                              timeout=harness.scaled(20), check=False)
        output = (done.stdout + done.stderr).decode()
        found = set()
        for line in output.splitlines():
            family, space, message = line.partition(" ")
            self.assertTrue(space and re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", family), f"promtool: {line}")
            found.add((family, message))
        self.assertIn(done.returncode, (0, 3), output)
        return found

    def test_promtool_finds_nothing_new(self):
        peer, daemon = self.start_node_exporter(), self.start(*harness.SYSCTL_FLAGS, "--collector.cpu.info")
        exposition, reference = daemon.get(), peer.get()
        ours, theirs = self.check_metrics(exposition.body), self.check_metrics(reference.body)
        self.assertGreater(len(theirs), 3, "node_exporter is known for a few of these")
        shared = set(reference.families())
        unexpected = []
        for family, message in sorted(ours):
            # Families of later releases than the reference's stand for themselves: nothing may be said of them, except
            # of those that node_exporter names after the kernel's fields (vmstat, meminfo), as it does with all.
            twin = re.sub(r"^(node_(vmstat|memory|zoneinfo|memory_numa)_).*", r"\1", family)
            like = {text for other, text in theirs if other.startswith(twin) and twin.endswith("_")}
            if (family, message) not in theirs and (family in shared or message not in like):
                unexpected.append(f"{family}: {message}")
        self.assertEqual(unexpected, [])


if __name__ == "__main__":
    harness.main()
