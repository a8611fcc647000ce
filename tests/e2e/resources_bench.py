#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What Tidegauge costs beside node_exporter, measured in one run on one host; prints each figure, its limit and the ratio.

  cpu       15 one-second ticks and one scrape, against one node_exporter scrape of the same collectors
  marginal  one scrape more, plain and compressed, against the same of node_exporter
  load      wrk -c 200 -t 2: requests per second, latency, errors, ticks meanwhile
  memory    RSS and RssAnon after that, and their growth over 10 000 scrapes

The limits are those of the project's second issue. Exit code 1 with --check if one is missed. Not part of the tests:
takes about two minutes (--quick: half a minute) and wants a quiet host.
"""

import argparse
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import harness
from harness import GZIP, connect, read_response, sample

WINDOW_SECONDS = 15
MIB = 1 << 20
SCRAPES_TO_STAY_FLAT = 10_000
ALLOWED_GROWTH = MIB // 4


class Figures:
    """Prints figures and remembers which missed their limit."""

    def __init__(self):
        self.missed = []

    def show(self, name, text, good=None):
        verdict = {None: "", True: "  ok", False: "  MISSED"}[good]
        print(f"  {name:<46} {text}{verdict}", flush=True)
        if good is False:
            self.missed.append(name)

    def ratio(self, name, ours, theirs, limit):
        self.show(name, f"{ours * 1e3:8.3f} ms against {theirs * 1e3:8.3f} ms: {ours / theirs:.3f} (at most {limit:g})", ours / theirs <= limit)

    def at_most(self, name, value, limit, unit):
        self.show(name, f"{value:.2f} {unit} (at most {limit:g})", value <= limit)


def cpu_seconds(pid):
    """CPU of a process, ended threads included, to the nanosecond: its CPU clock (clock_getcpuclockid)."""
    return time.clock_gettime((~pid << 3) | 2)


def memory(pid):
    """(RSS, RssAnon) in bytes."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    return tuple(int(re.search(rf"{key}:\s+(\d+) kB", text)[1]) * 1024 for key in ("VmRSS", "RssAnon"))


class KeepAlive:
    """A client that scrapes again and again over one connection, as Prometheus does."""

    def __init__(self, port, headers=()):
        self.client = connect(port)
        lines = ["GET /metrics HTTP/1.1", f"Host: 127.0.0.1:{port}", *(f"{name}: {value}" for name, value in headers)]
        self.request = ("\r\n".join(lines) + "\r\n\r\n").encode()

    def scrape(self):
        self.client.sendall(self.request)
        response = read_response(self.client)
        if response.status != 200:
            raise AssertionError(f"scrape answered {response.status}")
        return response

    def close(self):
        self.client.close()


def sleep_to(deadline):
    time.sleep(max(0.0, deadline - time.monotonic()))


class Bench(harness.TestCase):
    """Only for its helpers: it starts the programs and stops them."""

    def runTest(self):
        figures, quick = Figures(), options.quick
        daemon = self.start()  # the default set with the default periods
        peer = self.start_node_exporter()
        print(f"against node_exporter {'.'.join(map(str, self.peer_version))}", flush=True)
        for program in (daemon, peer):  # warm
            program.get(headers=[GZIP])
            program.get()

        self.cpu(figures, daemon, peer, windows=1 if quick else 3)
        self.marginal(figures, daemon, peer, quick)
        self.load(figures, daemon, seconds=8 if quick else 30)
        self.memory_stays(figures, daemon, peer)
        if figures.missed:
            print(f"missed: {', '.join(figures.missed)}")
        if options.check:
            self.assertEqual(figures.missed, [])

    def cpu(self, figures, daemon, peer, windows):
        print(f"cpu: {windows} x {WINDOW_SECONDS} s, node_exporter scraped every second of it")
        ours, theirs = [], []
        for _ in range(windows):
            begin, ticks = time.monotonic(), daemon.value("tidegauge_ticks_total")
            cpu = cpu_seconds(daemon.pid)
            for second in range(WINDOW_SECONDS):
                # Between two ticks, so that neither disturbs the other, and as far apart as can be.
                sleep_to(begin + second + 0.5)
                before = cpu_seconds(peer.pid)
                peer.get()
                time.sleep(0.02)  # its garbage collector's work belongs to the scrape
                theirs.append(cpu_seconds(peer.pid) - before)
            sleep_to(begin + WINDOW_SECONDS)
            response = daemon.get()
            ours.append(cpu_seconds(daemon.pid) - cpu)
            ticked = sample(response.families(), "tidegauge_ticks_total") - ticks
            if not WINDOW_SECONDS - 1 <= ticked <= WINDOW_SECONDS + 1:
                raise AssertionError(f"{ticked} ticks in {WINDOW_SECONDS} s")
        figures.ratio("15 ticks and a scrape / a node_exporter scrape", statistics.mean(ours), statistics.mean(theirs), 1)
        figures.show("  node_exporter's median, minimum", f"{statistics.median(theirs) * 1e3:.3f} ms, {min(theirs) * 1e3:.3f} ms")

    def cpu_of_ticks(self, daemon, ticks, action):
        """CPU seconds of each of so many seconds, cut far from the ticks, with one action in each."""
        begin, costs = time.monotonic() + 2 - time.time() % 1, []  # a full second of the wall clock, as ticks are
        for number in range(ticks + 1):
            sleep_to(begin + number + 0.3)
            now = cpu_seconds(daemon.pid)
            if number:
                costs[-1] = now - costs[-1]
            if number < ticks:
                costs.append(now)
                sleep_to(begin + number + 0.6)
                action()
        return costs

    def marginal(self, figures, daemon, peer, quick):
        print("marginal: scrapes over a kept connection, less what the ticks cost by themselves")
        for name, headers, limit in (("plain", (), 0.1), ("gzip", (GZIP,), 0.2)):
            # What a tick costs without and with a scrape in it, which then pays for rendering and compressing. Medians:
            # every 15th tick runs the slow collectors, too.
            ticks = 5 if quick else 15
            idle = statistics.median(self.cpu_of_ticks(daemon, ticks, lambda: None))
            client = KeepAlive(daemon.port, headers)
            first = statistics.median(self.cpu_of_ticks(daemon, ticks, client.scrape)) - idle
            count = 500
            begin, cpu = time.monotonic(), cpu_seconds(daemon.pid)
            for _ in range(count):
                client.scrape()
            more = (cpu_seconds(daemon.pid) - cpu - idle * (time.monotonic() - begin)) / count
            client.close()
            client, count = KeepAlive(peer.port, headers), 20 if quick else 50
            cpu = cpu_seconds(peer.pid)
            for _ in range(count):
                client.scrape()
            theirs = (cpu_seconds(peer.pid) - cpu) / count
            client.close()
            figures.ratio(f"{name}: the only scrape of a tick", first, theirs, limit)
            figures.ratio(f"{name}: one of many", more, theirs, limit)

    def load(self, figures, daemon, seconds):
        wrk = shutil.which("wrk")
        if not wrk:
            raise AssertionError("wrk is not installed (`make deps-test` installs it)")
        print(f"load: wrk -c 200 -t 2 -d {seconds}")
        before, began = daemon.scrape(), time.monotonic()
        done = subprocess.run([wrk, "-c", "200", "-t", "2", "-d", str(seconds), "--latency", f"http://127.0.0.1:{daemon.port}/metrics"],
                              capture_output=True, text=True, timeout=seconds + 30, check=True)
        after, took = daemon.scrape(), time.monotonic() - began
        rate = float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)[1])
        p90 = re.search(r"90%\s+([\d.]+)(us|ms|s)", done.stdout)
        p90_ms = float(p90[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[p90[2]]
        errors = re.findall(r"(Non-2xx.*|Socket errors.*)", done.stdout)
        size = sample(after, "tidegauge_exposition_size_bytes")
        figures.show("requests per second", f"{rate:.0f} of {size / 1e3:.0f} kB (at least 10000)", rate > 10_000)
        figures.at_most("90 % answered within", p90_ms, 40, "ms")
        figures.show("errors", "; ".join(errors) or "none", not errors)
        codes = {dict(key[1])["code"] for key in after["tidegauge_http_scrapes_total"].series}
        figures.show("answers", ", ".join(sorted(codes)), codes == {"200"})
        ticks = sample(after, "tidegauge_ticks_total") - sample(before, "tidegauge_ticks_total")
        skipped = sample(after, "tidegauge_ticks_skipped_total") - sample(before, "tidegauge_ticks_skipped_total")
        figures.show("ticks", f"{ticks:.0f} in {took:.1f} s, {skipped:.0f} skipped", skipped == 0 and ticks >= int(took) - 1)

    def memory_stays(self, figures, daemon, peer):
        print("memory: after the load")
        rss, anon = memory(daemon.pid)
        figures.at_most("RSS", rss / MIB, 15, "MiB")
        figures.at_most("RssAnon", anon / MIB, 5, "MiB")
        peer_rss, peer_anon = memory(peer.pid)
        figures.show("  node_exporter's", f"{peer_rss / MIB:.2f} MiB, {peer_anon / MIB:.2f} MiB")
        clients = [KeepAlive(daemon.port, headers) for headers in ((), (GZIP,))]
        for number in range(SCRAPES_TO_STAY_FLAT):
            clients[number % 2].scrape()
            if number % 100 == 0:
                daemon.get()  # connections come and go, too
        for client in clients:
            client.close()
        later_rss, later_anon = memory(daemon.pid)
        figures.show(f"growth over {SCRAPES_TO_STAY_FLAT} scrapes",
                     f"RSS {(later_rss - rss) / 1024:+.0f} KiB, RssAnon {(later_anon - anon) / 1024:+.0f} KiB (at most {ALLOWED_GROWTH // 1024})",
                     later_rss - rss <= ALLOWED_GROWTH and later_anon - anon <= ALLOWED_GROWTH)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="shorter, less exact")
    parser.add_argument("--check", action="store_true", help="exit code 1 if a limit is missed")
    options = parser.parse_args()
    socket.setdefaulttimeout(60)
    outcome = Bench().run()
    for _, text in (*outcome.errors, *outcome.failures):
        print(text, file=sys.stderr)
    sys.exit(0 if outcome.wasSuccessful() else 1)
