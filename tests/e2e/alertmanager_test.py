#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Debian's Alertmanager with config/alertmanager: every alert goes where its severity says, one incident is one page."""

import json
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import harness
import monitoring
from harness import scaled

CONFIG = monitoring.CONFIG / "alertmanager" / "alertmanager.yml"
RECEIVERS = {"critical": "page", "warning": "ticket", "info": "log"}

# What fires together on a host, and what of it is to be told: {receiver: names}. Alerts are NAME or NAME:label=value.
INCIDENTS = {
    "case A: temp-file churn saturates a disk": (
        ["VerdictTempFileChurn:subject=docker:ab12", "VerdictDiskSaturated:subject=xvda", "VerdictDirtyThrottling", "HostDiskUtilizationHigh:device=xvda",
         "HostIowaitHigh", "HostCpuIowaitHigh"],
        {"ticket": ["VerdictTempFileChurn"]}),
    "case B: syncs of one process": (
        ["VerdictSyncBoundProcess:subject=redis-server", "HostIowaitHigh", "HostCpuIowaitHigh", "HostFsyncSlow:group=redis-server"],
        {"ticket": ["VerdictSyncBoundProcess"]}),
    "case C: a writer is stuck, a burst elsewhere": (
        ["VerdictDirectReclaimStall", "VerdictWriterStalledInKernel:subject=dd", "VerdictDiskBurst:subject=sda", "HostDiskBursts:device=sda",
         "HostDirectReclaim", "HostWatermarkHeadroomLow:node=0"],
        {"page": ["VerdictDirectReclaimStall"]}),
    "case D: the page cache thrashes, two disks suffer": (
        ["VerdictPageCacheThrash", "VerdictDiskSaturated:subject=sda", "VerdictDiskSaturated:subject=sdb", "VerdictDirectReclaimStall",
         "HostDiskUtilizationHigh:device=sda", "HostDiskUtilizationHigh:device=sdb", "HostIowaitHigh", "HostCpuIowaitHigh", "HostDirectReclaim"],
        {"page": ["VerdictPageCacheThrash"]}),
    "case E: a leak ends in a kill": (
        ["VerdictMemoryLeakSuspected:subject=gunicorn", "VerdictOomRisk", "VerdictMemoryWatermarkPressure", "HostMemoryLeakExhaustion:group=gunicorn",
         "HostTimeToLowWatermark:node=0"],
        {"page": ["VerdictOomRisk"]}),
    "a hung disk": (
        ["VerdictDiskHung:subject=vdb", "VerdictSyncBoundProcess:subject=journal", "HostDiskHung:device=vdb", "HostIowaitHigh", "HostCpuIowaitHigh"],
        {"page": ["VerdictDiskHung"]}),
    "no verdicts on this host: the symptom nearest to the cause": (
        ["HostDiskUtilizationHigh:device=sda", "HostIowaitHigh", "HostCpuIowaitHigh"],
        {"ticket": ["HostDiskUtilizationHigh"]}),
    "what wakes nobody mutes nothing": (
        ["VerdictDiskBurst:subject=sda", "HostFsyncSlow:group=postgresql.service"],
        {"ticket": ["HostFsyncSlow"], "log": ["VerdictDiskBurst"]}),
    "two things at once are two": (
        ["VerdictCpuContention", "HostFilesystemFull:mountpoint=/", "HostFilesystemFilling:mountpoint=/", "HostFilesystemFilling:mountpoint=/var"],
        {"ticket": ["VerdictCpuContention", "HostFilesystemFilling"], "page": ["HostFilesystemFull"]}),
    "a host that stops answering in the middle of it": (
        ["TidegaugeDown", "VerdictDiskSaturated:subject=sda", "HostIowaitHigh", "TidegaugeCollectorFailing:collector=process"],
        {"page": ["TidegaugeDown"]}),
}


class AlertmanagerTest(monitoring.TestCase):
    def setUp(self):
        super().setUp()
        self.rules = {rule["alert"]: rule for _, rule in monitoring.shipped_rules() if "alert" in rule}

    def amtool(self, *arguments):
        return subprocess.run([monitoring.amtool(), *map(str, arguments)], capture_output=True, text=True, timeout=scaled(20), check=False)

    def test_configuration_is_clean(self):
        done = self.amtool("check-config", CONFIG)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("SUCCESS", done.stdout)

    def test_routes(self):
        def route(labels):
            done = self.amtool("config", "routes", "test", f"--config.file={CONFIG}", *(f"{name}={value}" for name, value in labels.items()))
            return done.stdout.split()
        labels = [rule["labels"] | {"alertname": name, "job": "tidegauge", "instance": "db-1:10070"} for name, rule in self.rules.items()]
        with ThreadPoolExecutor(4) as pool:
            for one, receivers in zip(labels, pool.map(route, labels)):
                self.assertEqual(receivers, [RECEIVERS[one["severity"]]], one["alertname"])
        self.assertEqual(route({"alertname": "SomebodyElses", "severity": "critical"}), ["other"])

    def test_names_in_inhibitions_exist(self):
        text = CONFIG.read_text("utf-8")
        for names in re.findall(r'alertname!?=~?"([^"]+)"', text):
            self.assertLessEqual(set(names.split("|")), set(self.rules))

    def alert(self, spec, instance):
        name, _, label = spec.partition(":")
        labels = self.rules[name]["labels"] | {"alertname": name, "job": "tidegauge", "instance": instance}
        if label:
            key, _, value = label.partition("=")
            labels[key] = value
        return {"labels": labels, "annotations": {"summary": name}}

    def test_one_incident_is_one_page(self):
        receiver = self.start_receiver()
        alertmanager = self.start_alertmanager(receiver)
        body = [self.alert(spec, f"host-{number}:10070") for number, (specs, _) in enumerate(INCIDENTS.values()) for spec in specs]
        file = self.write("alerts.json", json.dumps(body))
        done = subprocess.run(["curl", "-sSf", "-XPOST", "-H", "Content-Type: application/json", "-d", f"@{file}",
                               f"http://127.0.0.1:{alertmanager.port}/api/v2/alerts"], capture_output=True, text=True, timeout=scaled(10), check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

        wanted = {(number, name, tuple(sorted(alerts))) for number, (_, told) in enumerate(INCIDENTS.values()) for name, alerts in told.items()}
        titles = list(INCIDENTS)

        def told():
            """{(incident, receiver, alerts)} of what came."""
            found = {}
            for name, body in list(receiver.notifications):
                for alert in body["alerts"]:
                    number = int(alert["labels"]["instance"].partition(":")[0].removeprefix("host-"))
                    found.setdefault((number, name), []).append(alert["labels"]["alertname"])
            return {(number, name, tuple(sorted(alerts))) for (number, name), alerts in found.items()}
        harness.wait_until(lambda: told() >= wanted, 20, lambda: f"missing {[(titles[n], r, a) for n, r, a in wanted - told()]}\n"
                           f"came {[(titles[n], r, a) for n, r, a in told() - wanted]}\n{alertmanager.tail()}", pause=0.2)
        # Two more rounds of notifications would bring what was muted late, and each alert a second time.
        time.sleep(scaled(5))
        self.assertEqual(told(), wanted, titles)
        # A page is a notification: a host has one per incident and receiver.
        groups = [(name, body["groupKey"]) for name, body in receiver.notifications]
        self.assertEqual(len(groups), len(set(groups)), groups)


if __name__ == "__main__":
    harness.main()
