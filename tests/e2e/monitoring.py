# SPDX-License-Identifier: Apache-2.0
"""Prometheus and Alertmanager with the configuration that ships, made quicker, and a receiver of notifications."""

import http.client
import http.server
import json
import re
import shutil
import threading
import urllib.parse

import yaml

import harness

CONFIG = harness.ROOT / "config"
RULES = CONFIG / "prometheus" / "rules"
UNITS_MS = {"s": 1000, "m": 60000, "h": 3600000}


def window(faster):
    """What a range of two minutes becomes."""
    return f"{120000 // faster}ms"


def shipped_rules():
    """[(file, rule)] of config/prometheus/rules."""
    return [(path.name, rule) for path in sorted(RULES.glob("*.yaml"))
            for group in yaml.safe_load(path.read_text("utf-8"))["groups"] for rule in group["rules"]]


class Receiver:
    """A webhook that keeps what Alertmanager sends it."""

    def __init__(self):
        self.notifications = []  # (receiver, body)
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.notifications.append((self.path.strip("/"), body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def alerts(self, status):
        """[(receiver, alert)] of all notifications, as often as they were sent."""
        return [(receiver, alert) for receiver, body in list(self.notifications) for alert in body["alerts"] if alert["status"] == status]


class TestCase(harness.TestCase):
    def setUp(self):
        super().setUp()
        self._connections = {}

    def start_receiver(self):
        receiver = Receiver()
        self.addCleanup(receiver.stop)
        return receiver

    def start_alertmanager(self, receiver, group_wait="1s", group_interval="2s"):
        """With the routes and inhibitions that ship; only addresses and waiting times are others."""
        text = (CONFIG / "alertmanager" / "alertmanager.yml").read_text("utf-8")
        self.assertEqual(text.count("http://127.0.0.1:10079/"), 3)
        text = text.replace("http://127.0.0.1:10079/", f"http://127.0.0.1:{receiver.port}/")
        text = re.sub(r"(?m)^( *)group_wait: .*$", rf"\1group_wait: {group_wait}", text)
        text = re.sub(r"(?m)^( *)group_interval: .*$", rf"\1group_interval: {group_interval}", text)
        file = self.write("alertmanager.yml", text)
        path, port = harness.find_peer("prometheus-alertmanager"), harness.free_port()
        peer = self.spawn(harness.Program, [path, f"--config.file={file}", f"--storage.path={self.directory / 'alertmanager'}",
                                            f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="], "alertmanager", port=port)
        return peer.wait_ready("/-/ready", 20)

    def start_prometheus_with_rules(self, ports, alertmanager=None, faster=12):
        """Scrapes every second, and the rules are so many times as fast as they ship: rates are over less than two minutes,
        and what must last lasts less long, so that what comes before what stays as it is."""
        self.write("rules/.keep", "")
        for path in RULES.glob("*.yaml"):
            text = path.read_text("utf-8")
            text = text.replace("[2m]", f"[{window(faster)}]")
            text = re.sub(r"(?m)^( *(?:for|keep_firing_for): )(\d+)([smh])$",
                          lambda match: f"{match[1]}{int(match[2]) * UNITS_MS[match[3]] // faster}ms", text)
            self.write(f"rules/{path.name}", text)
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules/*.yaml"],
            "scrape_configs": [{"job_name": "tidegauge", "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in ports]}]}],
        }
        if alertmanager:
            config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{alertmanager.port}"]}]}]}
        return self.start_prometheus(yaml.safe_dump(config))

    def ask(self, prometheus, path, **arguments):
        """The data of an answer of Prometheus's API, over one connection for many questions."""
        connection = self._connections.get(prometheus.port)
        if connection is None:
            connection = self._connections[prometheus.port] = http.client.HTTPConnection("127.0.0.1", prometheus.port, timeout=harness.scaled(20))
            self.addCleanup(connection.close)
        connection.request("GET", f"/api/v1/{path}?" + urllib.parse.urlencode(arguments))
        answer = connection.getresponse()
        body = answer.read()
        self.assertEqual(answer.status, 200, f"{arguments}: {body}")
        return json.loads(body)["data"]

    def query(self, prometheus, expression):
        """The data of an instant query: resultType and result."""
        return self.ask(prometheus, "query", query=expression)


def amtool():
    harness.find_peer("prometheus-alertmanager")  # the package has both
    return shutil.which("amtool")
