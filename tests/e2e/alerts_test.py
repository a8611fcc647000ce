#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""From a process that waits for its disk to the one notification about it, and to its end: daemon, Prometheus, Alertmanager.

What ships in config/ runs here, 18 times as fast: much faster, and a symptom would have lasted before its verdict is there.
"""

import sys
import time

import harness
import monitoring

FASTER = 18
RECORDINGS = harness.ROOT / "tests" / "fixtures" / "recordings"


class AlertsTest(monitoring.TestCase):
    def start_stack(self, *ports):
        self.receiver = self.start_receiver()
        self.alertmanager = self.start_alertmanager(self.receiver, group_interval="2s")
        self.prometheus = self.start_prometheus_with_rules(ports, self.alertmanager, FASTER)

    def state(self):
        firing = [row["metric"] for row in self.query(self.prometheus, 'ALERTS{layer=~"verdict|symptom"}')["result"]]
        return "\n".join(f"{one['alertname']} {one['instance']} {one.get('subject') or one.get('device', '')} {one['alertstate']}" for one in firing)

    def assert_told_once(self, is_it):
        """One episode, and no notification again unless something else joined the group."""
        bodies = [(receiver, body) for receiver, body in self.receiver.notifications if any(map(is_it, body["alerts"]))]
        episodes = {(receiver, one["labels"]["alertname"], one["startsAt"]) for receiver, body in bodies for one in body["alerts"] if is_it(one)}
        self.assertEqual(len(episodes), 1, episodes)
        for status in ("firing", "resolved"):
            alone = [body for _, body in bodies if all(map(is_it, body["alerts"])) and body["status"] == status]
            self.assertLessEqual(len(alone), 1, alone)
        self.assertEqual(bodies[0][1]["status"], "firing")

    def test_one_notification_each(self):
        """Two targets of one job: this host, where redis-server waits for its syncs, and a virtual machine with a throttled disk
        that fio reads at random, as it was recorded there."""
        daemon = self.start("--no-recorder.enabled", "--cpu-budget=off")
        port = harness.free_port()
        replay = self.spawn(harness.Daemon, [harness.TIDEGAUGE, "replay", RECORDINGS / "random-reads.tgrec", "--from=1795673135", "--serve", f"127.0.0.1:{port}"],
                            "replay", port=port)
        replay.wait_ready("/metrics", 20)
        self.start_stack(daemon.port, port)
        begin = time.monotonic()
        redis_port = harness.free_port()
        (self.directory / "redis").mkdir()
        redis = self.spawn(harness.Program, [harness.find_peer("redis-server"), "--port", redis_port, "--bind", "127.0.0.1", "--dir", self.directory / "redis",
                                             "--appendonly", "yes", "--appendfsync", "always", "--save", ""], "redis", port=redis_port)
        harness.wait_until(lambda: "Ready to accept connections" in redis.stdout(), 10, lambda: f"redis\n{redis.stdout()}")

        def has_bpf():
            return harness.sample(daemon.scrape(), "tidegauge_collector_success", collector="ebpf_files") == 1
        harness.wait_until(has_bpf, 60, lambda: f"BPF programs on files\n{daemon.tail()}", pause=0.3)
        times = [("BPF", time.monotonic())]
        load = self.spawn(harness.Program, [harness.find_peer("redis-benchmark"), "-p", redis_port, "-c", "1", "-n", "100000000", "-t", "set", "-q"], "load")

        def about_redis(status):
            return [(receiver, alert) for receiver, alert in self.receiver.alerts(status)
                    if alert["labels"]["layer"] == "verdict" and f"(pid {redis.pid})" in alert["annotations"]["description"]]
        harness.wait_until(lambda: about_redis("firing"), 60, lambda: f"a notification about redis-server; {self.state()}\n{daemon.tail()}", pause=0.3)
        times.append(("notified", time.monotonic()))
        receiver, alert = about_redis("firing")[0]
        self.assertEqual((receiver, alert["labels"]["alertname"], alert["labels"]["severity"]), ("ticket", "VerdictSyncBoundProcess", "warning"))
        self.assertEqual((alert["labels"]["job"], alert["labels"]["instance"]), ("tidegauge", f"127.0.0.1:{daemon.port}"))
        self.assertRegex(alert["annotations"]["description"], rf"Process redis-server \(pid {redis.pid}\).*, device \w+.*appendonly\.aof.* Since \d{{4}}-")
        self.assertRegex(alert["annotations"]["runbook_url"], r"verdicts\.md#sync_bound_process$")
        self.assertTrue(load.running(), load.tail())
        load.stop()
        labels = alert["labels"]

        def is_redis(alert):
            return alert["labels"] == labels
        harness.wait_until(lambda: [one for _, one in self.receiver.alerts("resolved") if is_redis(one)], 60,
                           lambda: f"it to be resolved; {self.state()}\n{daemon.tail()}", pause=0.3)
        self.assertTrue(about_redis("resolved"), "its end names the process, too")
        times.append(("resolved", time.monotonic()))
        self.assert_told_once(is_redis)

        # Meanwhile at the other target.
        def is_disk(alert):
            return alert["labels"]["alertname"] == "VerdictDiskSaturated" and alert["labels"]["instance"] == f"127.0.0.1:{port}"
        told = [(receiver, alert) for receiver, alert in self.receiver.alerts("firing") if is_disk(alert)]
        self.assertTrue(told, self.state())
        receiver, alert = told[0]
        self.assertEqual((receiver, alert["labels"]["subject"]), ("ticket", "vdb"))
        self.assertRegex(alert["annotations"]["summary"], r"^Disk vdb of 127\.0\.0\.1:\d+ has more to do than it can")
        self.assertRegex(alert["annotations"]["description"], r"Process fio \(pid \d+\).*, device vdb")
        self.assert_told_once(is_disk)
        # Its symptom fired, and was muted. The recording is over by now, and its series have ended.
        fired = f'max_over_time(ALERTS{{alertname="HostDiskUtilizationHigh",alertstate="firing",instance="127.0.0.1:{port}",device="vdb"}}[10m])'
        self.assertTrue(self.query(self.prometheus, fired)["result"], self.state())
        self.assert_symptoms_are_muted()
        print("seconds:", ", ".join(f"{what} {at - begin:.0f}" for what, at in times), file=sys.stderr)

    def assert_symptoms_are_muted(self):
        told = {one["labels"]["alertname"] for _, one in self.receiver.alerts("firing") if one["labels"]["layer"] == "symptom"}
        self.assertFalse(told & {"HostCpuIowaitHigh", "HostIowaitHigh", "HostFsyncSlow", "HostDiskUtilizationHigh", "HostDiskHung"}, told)


if __name__ == "__main__":
    harness.main()
