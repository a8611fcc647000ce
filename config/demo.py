#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`make demo`: this host and a recorded incident with Prometheus and Alertmanager, all on loopback, until Ctrl-C.

What ships in config/ runs here 12 times as fast, so that an alert comes within a minute. Nothing is kept.
"""

import argparse
import ctypes
import http.server
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

CONFIG = Path(__file__).resolve().parent
RECORDING = CONFIG.parent / "tests" / "fixtures" / "recordings" / "page-cache-thrash.tgrec"
FASTER = 12
MILLISECONDS = {"s": 1000, "m": 60000, "h": 3600000, "d": 86400000}
PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None, use_errno=True)


def faster(text, keys):
    return re.sub(rf"(?m)^( *(?:{keys}): )(\d+)([smhd])$", lambda match: f"{match[1]}{int(match[2]) * MILLISECONDS[match[3]] // FASTER}ms", text)


def choose_port(wanted):
    """The port people know, or any other if it is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise SystemExit("demo: no free port")


def find(program):
    path = shutil.which(program) or shutil.which(program, path="/usr/bin:/usr/sbin")
    if not path:
        raise SystemExit(f"demo: {program} is not installed; `make deps` installs it")
    return path


class Notifications(http.server.BaseHTTPRequestHandler):
    """What Alertmanager sends, on the terminal."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        for alert in body["alerts"]:
            print(f"\n{self.path.strip('/')}: {alert['status'].upper()} {alert['labels']['alertname']}\n  {alert['annotations']['summary']}"
                  f"\n  {alert['annotations']['description']}", flush=True)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


class Demo:
    def __init__(self, directory):
        self.directory, self.programs = directory, []

    def start(self, name, argv):
        parent = os.getpid()

        def prepare():
            # Ctrl-C is for this program alone, which then ends the others; should it be killed, they die with it.
            os.setsid()
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:
                os._exit(127)
        with open(self.directory / f"{name}.log", "wb") as log:
            self.programs.append((name, subprocess.Popen([str(one) for one in argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=prepare)))

    def wait_ready(self, address, seconds=60):
        deadline = time.monotonic() + seconds
        while True:
            self.check()
            try:
                with urllib.request.urlopen(address, timeout=2):
                    return
            except OSError:
                if time.monotonic() > deadline:
                    raise SystemExit(f"demo: nothing answers at {address}") from None
                time.sleep(0.2)

    def check(self):
        for name, program in self.programs:
            if program.poll() is not None:
                log = (self.directory / f"{name}.log").read_text("utf-8", "replace").splitlines()[-5:]
                raise SystemExit(f"demo: {name} ended\n" + "\n".join(log))

    def stop(self):
        for _, program in self.programs:
            if program.poll() is None:
                program.terminate()
        for _, program in self.programs:
            try:
                program.wait(10)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tidegauge", default=CONFIG.parent / "build" / "tidegauge", help="the program")
    parser.add_argument("--recording", default=RECORDING, help="what is replayed, again and again")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)

    live, replay, prometheus, alertmanager = map(choose_port, (10070, 10071, 9090, 9093))
    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Notifications)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()

    with tempfile.TemporaryDirectory(prefix="tidegauge-demo-") as name:
        directory = Path(name)
        (directory / "rules").mkdir()
        for path in (CONFIG / "prometheus" / "rules").glob("*.yaml"):
            text = path.read_text("utf-8").replace("[2m]", f"[{120 // FASTER}s]")
            (directory / "rules" / path.name).write_text(faster(text, "for|keep_firing_for"), "utf-8")
        text = (CONFIG / "alertmanager" / "alertmanager.yml").read_text("utf-8")
        text = text.replace("http://127.0.0.1:10079/", f"http://127.0.0.1:{receiver.server_port}/")
        (directory / "alertmanager.yml").write_text(faster(text, "group_wait|group_interval"), "utf-8")
        (directory / "prometheus.yml").write_text(f"""\
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: [rules/*.yaml]
alerting:
  alertmanagers:
    - static_configs: [{{targets: ['127.0.0.1:{alertmanager}']}}]
scrape_configs:
  - job_name: tidegauge
    static_configs:
      - targets: ['127.0.0.1:{live}']
        labels: {{host: this one}}
      - targets: ['127.0.0.1:{replay}']
        labels: {{host: a recorded incident}}
""", "utf-8")

        demo = Demo(directory)
        try:
            demo.start("daemon", [arguments.tidegauge, "serve", "--config.file=", f"--web.listen-address=127.0.0.1:{live}", f"--recorder.directory={directory / 'incidents'}"])
            demo.start("replay", [arguments.tidegauge, "replay", arguments.recording, "--serve", f"127.0.0.1:{replay}", "--loop"])
            demo.start("alertmanager", [find("prometheus-alertmanager"), f"--config.file={directory / 'alertmanager.yml'}", f"--storage.path={directory / 'alertmanager'}",
                                        f"--web.listen-address=127.0.0.1:{alertmanager}", "--cluster.listen-address="])
            demo.start("prometheus", [find("prometheus"), f"--config.file={directory / 'prometheus.yml'}", f"--storage.tsdb.path={directory / 'tsdb'}",
                                      f"--web.listen-address=127.0.0.1:{prometheus}"])
            demo.wait_ready(f"http://127.0.0.1:{live}/-/ready")
            demo.wait_ready(f"http://127.0.0.1:{replay}/metrics")
            demo.wait_ready(f"http://127.0.0.1:{alertmanager}/-/ready")
            demo.wait_ready(f"http://127.0.0.1:{prometheus}/-/ready")
            print(f"""\
This host             http://127.0.0.1:{live}/
A recorded incident   http://127.0.0.1:{replay}/      ({Path(arguments.recording).stem}, again and again)
Prometheus            http://127.0.0.1:{prometheus}/alerts
Alertmanager          http://127.0.0.1:{alertmanager}/
Notifications are printed here. Ctrl-C stops it all.""", flush=True)
            while True:
                time.sleep(1)
                demo.check()
        except KeyboardInterrupt:
            print("\ndemo: stopping", flush=True)
        finally:
            demo.stop()
            receiver.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
