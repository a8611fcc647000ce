#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`make demo` starts all it says, tells of the recorded incident, and leaves nothing behind after Ctrl-C."""

import re
import signal
import sys

import harness


class DemoTest(harness.TestCase):
    def test_demo(self):
        for name in ("prometheus", "prometheus-alertmanager"):
            harness.find_peer(name)
        scratch = self.directory / "tmp"
        scratch.mkdir()
        demo = self.spawn(harness.Program, [sys.executable, "-B", harness.ROOT / "config" / "demo.py", "--tidegauge", harness.TIDEGAUGE], "demo",
                          env={"TMPDIR": str(scratch)})

        def ready():
            self.assertTrue(demo.running(), demo.stdout() + demo.stderr())
            return "Ctrl-C" in demo.stdout()
        harness.wait_until(ready, 60, lambda: demo.stdout() + demo.tail(), pause=0.2)
        ports = [int(port) for port in re.findall(r"http://127\.0\.0\.1:(\d+)/", demo.stdout())]
        self.assertEqual(len(ports), 4, demo.stdout())
        for port, path in zip(ports, ("/metrics", "/metrics", "/-/ready", "/-/ready")):
            self.assertEqual(harness.http(port, path).status, 200)
        self.assertIn('tidegauge_verdict_active{', harness.http(ports[1]).text())

        def scraped():
            return harness.http(ports[2], "/api/v1/query?query=count(up==1)").text().count('"2"')
        harness.wait_until(scraped, 20, "Prometheus to scrape both", pause=0.3)
        demo.signal(signal.SIGINT)
        self.assertEqual(demo.wait_exit(30), 0, demo.stderr())
        for port in ports:
            with self.assertRaises(OSError, msg=f"port {port} still answers"):
                harness.connect(port, 1)
        self.assertEqual(list(scratch.iterdir()), [])


if __name__ == "__main__":
    harness.main()
