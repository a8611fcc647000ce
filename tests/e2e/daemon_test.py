#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The real binary through its life: start, reload, faults of clients, kernel files and file systems, end."""

import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import frozen_fuse
import harness
from harness import GZIP, Crowd, Daemon, HttpError, connect, free_port, http, label_values, libc, sample, scaled, wait_until

FIXTURE = harness.ROOT / "tests" / "fixtures" / "linux-6.12"
NOBODY = 65534
LISTEN_FDS_START = 3

# The collectors that run at every tick by default. The CPUs' times stand in /proc/stat, too.
EVERY_SECOND = {"stat", "cpu", "meminfo", "vmstat", "zoneinfo", "buddyinfo", "diskstats", "loadavg", "pressure", "netdev",
                "process", "ebpf_block", "ebpf_files", "ebpf_memory", "verdicts"}
ALL = EVERY_SECOND | {"meminfo_numa", "schedstat", "filesystem", "filefd", "processes", "slabinfo", "softirqs", "ebpf",
                      "interrupts", "ksmd", "cpufreq", "uname", "os", "time", "sysctl", "kernel_hung", "textfile",
                      "cgroup", "cgroups", "files", "self"}
# What reads; verdicts are made of it.
COLLECTORS = ALL - {"verdicts"}

# One kernel file of each collector that cannot do without it.
FILE_OF = {"loadavg": "proc/loadavg", "meminfo": "proc/meminfo", "vmstat": "proc/vmstat", "zoneinfo": "proc/zoneinfo",
           "buddyinfo": "proc/buddyinfo", "stat": "proc/stat", "cpu": "proc/stat", "schedstat": "proc/schedstat",
           "diskstats": "proc/diskstats", "slabinfo": "proc/slabinfo", "softirqs": "proc/softirqs",
           "interrupts": "proc/interrupts", "filefd": "proc/sys/fs/file-nr", "cgroups": "proc/cgroups",
           "pressure": "proc/pressure/memory", "meminfo_numa": "sys/devices/system/node/node0/meminfo",
           "ksmd": "sys/kernel/mm/ksm/run"}


# Of several files each may be missing: of pressure by node_exporter's rules, of ksm by those after 1.12.
ONE_OF_SEVERAL = {"pressure", "ksmd"}


def succeeded(families):
    """{collector: whether it succeeded}"""
    return {dict(key[1])["collector"]: value == 1.0 for key, value in families["tidegauge_collector_success"].series.items()}


def told_by_all(daemon, collectors):
    """A scrape that has the state of all of them; None while it has not."""
    families = daemon.scrape()
    return families if set(collectors) <= set(succeeded(families)) else None


class NotifySocket:
    """What systemd listens on for sd_notify()."""

    def __init__(self, directory):
        self.path = str(Path(directory) / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        os.chmod(self.path, 0o777)

    def wait(self, line, seconds):
        """Waits for a message with this line; the ones before it are dropped. Returns how long it took."""
        begin = time.monotonic()
        seen = []
        while (left := begin + scaled(seconds) - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                seen.append(self.socket.recv(4096).decode())
            except TimeoutError:
                break
            if line in seen[-1].split("\n"):
                return time.monotonic() - begin
        raise AssertionError(f"no {line} within {scaled(seconds):g} s, only {seen}")

    def drain(self):
        self.socket.setblocking(False)
        try:
            while True:
                self.socket.recv(4096)
        except BlockingIOError:
            pass

    def close(self):
        self.socket.close()


class DaemonTestCase(harness.TestCase):
    def notify_socket(self):
        notify = NotifySocket(self.directory)
        self.addCleanup(notify.close)
        return notify

    def crowd(self):
        crowd = Crowd()
        self.addCleanup(crowd.leave)
        return crowd

    def assert_exports(self, families, *names):
        self.assertEqual([name for name in names if name not in families], [], "missing")

    def assert_lacks(self, families, *names):
        self.assertEqual([name for name in names if name in families], [], "unexpected")

    def assert_quick(self, daemon, limit_seconds=0.1, scrapes=9):
        """The median answers within the limit, and none takes ten times as long: the host has other things to do."""
        times = []
        for _ in range(scrapes):
            response = daemon.get()
            self.assertEqual(response.status, 200)
            times.append(response.seconds)
            time.sleep(0.05)
        self.assertLess(statistics.median(times), scaled(limit_seconds), times)
        self.assertLess(max(times), scaled(limit_seconds * 10), times)


class LifeTest(DaemonTestCase):
    def test_first_scrape_within_two_seconds(self):
        daemon = self.launch()

        def scrape():
            try:
                response = daemon.get(timeout=1)
            except (OSError, HttpError):
                return None
            return response if response.status == 200 else None
        response = wait_until(scrape, 2, lambda: f"first scrape\n{daemon.tail()}", pause=0.005)
        print(f"first scrape after {time.monotonic() - daemon.started:.3f} s")
        families = response.families()
        # All others do not wait for BPF programs to be loaded, which a loaded machine may take long for.
        late = ALL - set(succeeded(families))
        if scaled(1) == 1:  # built to find errors it is slower than any limit of the daemon's own
            self.assertEqual({name for name in late if not name.startswith("ebpf")}, set())
        families = wait_until(lambda: told_by_all(daemon, ALL), 3, "all collectors")
        self.assertEqual(set(succeeded(families)), ALL)
        self.assertEqual(label_values(families, "node_scrape_collector_success", "collector"), ALL)
        # Whatever works on this machine is in the first scrape already, slow collectors too.
        self.assertEqual({name for name, good in succeeded(families).items() if not good}
                         - label_values(families, "tidegauge_collector_no_data", "collector", 1.0), set(), daemon.tail())
        self.assert_exports(families, "node_load1", "node_cpu_seconds_total", "node_memory_MemTotal_bytes", "node_vmstat_pgfault",
                            "node_filesystem_size_bytes", "node_network_receive_bytes_total", "node_uname_info",
                            "tidegauge_build_info", "process_cpu_seconds_total", "process_resident_memory_bytes",
                            "process_open_fds", "process_start_time_seconds")
        self.assertNotIn("level=error", daemon.stderr())

    def test_periods(self):
        families = self.start().scrape()
        periods = {dict(key[1])["collector"]: value
                   for key, value in families["tidegauge_collector_interval_seconds"].series.items()}
        self.assertEqual({name for name, period in periods.items() if period == 1}, EVERY_SECOND)
        others = {"ebpf": 5, "slabinfo": 60}  # seconds
        self.assertEqual({name: period for name, period in periods.items() if period not in (1, 15)}, others)
        self.assertEqual({name for name, period in periods.items() if period == 15}, ALL - EVERY_SECOND - set(others))

    def test_beside_node_exporter(self):
        """One switch takes away what node_exporter exports, too."""
        daemon = self.start("--no-node-families")
        families = wait_until(lambda: told_by_all(daemon, ALL), 3, "all collectors")
        self.assertEqual([name for name in families if name.startswith("node_")], [])
        self.assertEqual(set(succeeded(families)), ALL)

    def test_only_some_collectors(self):
        daemon = self.start("--collector.disable-defaults", "--collector.loadavg", "--web.disable-exporter-metrics")
        scheduler = re.compile(r"(node_scrape_collector|tidegauge_collector|tidegauge_ticks|tidegauge_verdict)_.*")
        self.assertEqual({name for name in daemon.scrape() if not scheduler.fullmatch(name)},
                         {"node_load1", "node_load5", "node_load15"})

    def test_hashing_without_a_machine_id(self):
        daemon = self.start("--privacy=hash", f"--path.rootfs={self.directory}", "--collector.cgroup.interval=1s")
        warning = "privacy: hash needs .*/etc/machine-id, .*: names are dropped instead"
        daemon.wait_log(warning)
        daemon.signal(signal.SIGHUP)
        daemon.wait_log("configuration reloaded")
        self.assertEqual(len(re.findall(warning, daemon.stderr())), 1, "a reload with the same roots repeats nothing")
        families = daemon.scrape()
        self.assertEqual(label_values(families, "tidegauge_cgroup_info", "cgroup") - {"/"}, set())
        self.assertEqual(sample(families, "tidegauge_exposition_suppressed_series"), 0, "series that collide")

    def test_ticks_are_on_time(self):
        daemon = self.start("--tick=200ms")
        # A scrape shows a tick from between its beginning and its end, and that may have been a tick ago.
        earliest = time.monotonic()
        before = daemon.scrape()
        latest = time.monotonic()
        time.sleep(2)
        least = (time.monotonic() - latest) / 0.2 - 1.5
        after = daemon.scrape()
        most = (time.monotonic() - earliest) / 0.2 + 1.5
        ticks, skipped = (sample(after, name) - sample(before, name)
                          for name in ("tidegauge_ticks_total", "tidegauge_ticks_skipped_total"))
        self.assertLessEqual(ticks, most)
        if scaled(1) == 1:  # built to find errors it may need more than a tick for a tick
            self.assertEqual(skipped, 0)
        self.assertGreaterEqual(ticks + skipped, least)
        self.assertEqual(sample(after, "tidegauge_exposition_suppressed_series"), 0, "series or families that collide")

    def test_terminates_within_a_second(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            daemon = self.start()
            begin = time.monotonic()
            daemon.signal(number)
            self.assertEqual(daemon.wait_exit(1), 0, daemon.tail())
            self.assertLess(time.monotonic() - begin, scaled(1))

    def test_terminates_with_silent_clients(self):
        daemon = self.start()
        crowd = self.crowd().join(daemon.port, 50)
        crowd.join(daemon.port, 5, b"GET /metrics HTTP/1.1\r\nHost:")
        self.assert_ends_well(daemon)

    def test_says_ready_and_feeds_the_watchdog(self):
        notify = self.notify_socket()
        daemon = self.launch("--tick=200ms", env={"NOTIFY_SOCKET": notify.path, "WATCHDOG_USEC": "2000000"})
        notify.wait("READY=1", 2)
        self.assertEqual(daemon.get().status, 200)  # ready means ready
        for _ in range(3):
            self.assertLess(notify.wait("WATCHDOG=1", 1), scaled(1))
        daemon.signal(signal.SIGHUP)
        notify.wait("RELOADING=1", 2)
        notify.wait("READY=1", 2)
        daemon.signal(signal.SIGTERM)
        notify.wait("STOPPING=1", 1)
        self.assertEqual(daemon.wait_exit(1), 0)

    def test_no_watchdog_unless_asked(self):
        notify = self.notify_socket()
        self.start("--tick=100ms", env={"NOTIFY_SOCKET": notify.path})
        notify.wait("READY=1", 2)
        with self.assertRaises(AssertionError):
            notify.wait("WATCHDOG=1", 0.4)

    def test_socket_activation(self):
        local = str(self.directory / "web.sock")
        with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
            unix.bind(local)
            unix.listen()
            # As systemd passes them: descriptors 3 and 4, and the pid of the program itself.
            wrapper = [sys.executable, "-c",
                       "import os, sys\n"
                       "kept = [os.dup(int(fd)) for fd in sys.argv[1].split(',')]\n"
                       "for number, fd in enumerate(kept, 3): os.dup2(fd, number + 100)\n"
                       "for number in range(len(kept)): os.dup2(number + 103, number + 3)\n"
                       "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(kept)))\n"
                       "os.execv(sys.argv[2], sys.argv[2:])\n", f"{tcp.fileno()},{unix.fileno()}"]
            daemon = self.launch("--web.systemd-socket", wrapper=wrapper, pass_fds=(tcp.fileno(), unix.fileno()))
            unused, daemon.port = daemon.port, tcp.getsockname()[1]
            daemon.wait_ready("/-/ready", 5)
            self.assert_exports(daemon.scrape(), "node_load1")
            with self.assertRaises(OSError):
                connect(unused)
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(scaled(5))
                client.connect(local)
                client.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
                self.assertEqual(harness.read_response(client).status, 200)
            self.assert_ends_well(daemon)
            self.assertTrue(os.path.exists(local), "the socket's path is systemd's")

    def test_socket_activation_without_a_socket(self):
        daemon = self.launch("--web.systemd-socket")
        self.assertEqual(daemon.wait_exit(3), 1)
        self.assertIn("systemd", daemon.stderr())

    def test_several_addresses(self):
        local, second = self.directory / "web.sock", free_port()
        flags = [f"--web.listen-address=127.0.0.1:{second}", f"--web.listen-address=unix:{local}"]
        sixth = None
        try:
            with socket.socket(socket.AF_INET6) as probe:
                probe.bind(("::1", 0))
                sixth = probe.getsockname()[1]
            flags.append(f"--web.listen-address=[::1]:{sixth}")
        except OSError as error:
            print(f"without IPv6: {error}")
        daemon = self.start(*flags)
        self.assertEqual(http(second, "/-/ready").status, 200)
        kinds = [(socket.AF_UNIX, str(local))] + ([(socket.AF_INET6, ("::1", sixth))] if sixth else [])
        for kind, address in kinds:
            with socket.socket(kind) as client:
                client.settimeout(scaled(5))
                client.connect(address)
                client.sendall(b"GET /-/ready HTTP/1.1\r\nHost: x\r\n\r\n")
                self.assertEqual(harness.read_response(client).status, 200)
        self.assert_ends_well(daemon)
        self.assertFalse(local.exists(), "the socket's path stays behind")


class StartFaultTest(DaemonTestCase):
    def assert_refused(self, daemon, code, pattern):
        self.assertEqual(daemon.wait_exit(3), code, daemon.tail())
        complaints = [line for line in daemon.stderr().splitlines() if not re.search(r"\blevel=(info|warning)\b", line)]
        self.assertEqual(len(complaints), 1, complaints)
        self.assertRegex(complaints[0], pattern)

    def test_port_taken(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            self.assert_refused(self.launch(port=port), 1, rf"127\.0\.0\.1:{port}.*in use.*ss -ltnp")

    def test_no_such_procfs(self):
        self.assert_refused(self.launch("--path.procfs=/nonexistent"), 1, r"procfs.* /nonexistent.*[Nn]o such file")

    def test_bad_configuration(self):
        for text, pattern in (
                ("tick: 1s\nbogus_key: 1\n", r"tidegauge\.yaml:2:1: bogus_key: unknown key"),
                ("web:\n  max_requests: many\n", r"tidegauge\.yaml:2:3: web\.max_requests: expected an integer.*\"many\""),
                ("tick: 5h\n", r"tidegauge\.yaml:1:1: tick: expected .*from 100ms to 1m"),
                ("collectors:\n  loadavg: {}\n  loadavg: {}\n", r"tidegauge\.yaml:3:3: .*loadavg.*"),
                ("collectors:\n  nosuch: {}\n", r"tidegauge\.yaml:2:3: collectors\.nosuch: unknown collector"),
                ("web: [\n", r"tidegauge\.yaml:\d+:\d+: "),
                ("tick: 1s\n\tweb: {}\n", r"tidegauge\.yaml:\d+:\d+: "),
                (b"tick: \xff\xfe\n", r"tidegauge\.yaml:\d+:\d+: ")):
            with self.subTest(text):
                self.assert_refused(self.launch(config=text), 2, pattern)

    def test_unreadable_configuration(self):
        for path in ("/nonexistent/tidegauge.yaml", str(self.directory)):
            daemon = self.spawn(Daemon, [harness.TIDEGAUGE, f"--config.file={path}"], "tidegauge", port=0)
            self.assert_refused(daemon, 2, rf"{re.escape(path)}: cannot be read: \w+")

    def test_bad_flags(self):
        for flags, pattern in ((["--no-such-flag"], "--no-such-flag"), (["--tick=soon"], "--tick.*soon"),
                               (["--collector.nosuch"], r"collector\.nosuch"), (["frobnicate"], "frobnicate")):
            with self.subTest(flags):
                done = self.run_tidegauge(*flags)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertRegex(done.stderr, pattern)
                self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)


class CommandTest(DaemonTestCase):
    def test_collect(self):
        done = self.run_tidegauge("collect", "loadavg", "meminfo")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        families = harness.expo_compare.parse(done.stdout)
        self.assert_exports(families, "node_load1")
        self.assertEqual(label_values(families, "node_scrape_collector_success", "collector"), {"loadavg", "meminfo"})
        self.assertEqual(self.run_tidegauge("collect", "nosuch").returncode, 2)

    def test_collect_all(self):
        done = self.run_tidegauge("collect")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(set(succeeded(harness.expo_compare.parse(done.stdout))), COLLECTORS)

    def test_check_config(self):
        example = harness.ROOT / "config" / "tidegauge.yaml"
        done = self.run_tidegauge("check-config", example)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout, rf"tidegauge\.yaml: OK, {len(COLLECTORS)} collectors")
        bad = self.write("bad.yaml", "web:\n  port: 1\n")
        done = self.run_tidegauge("check-config", bad)
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr, r"^\S*bad\.yaml:2:3: web\.port: unknown key")
        refused = self.write("refused.yaml", "collectors:\n  process:\n    groups:\n      - name: '{nope}'\n")
        done = self.run_tidegauge("check-config", refused)
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr, r"^\S*refused\.yaml:4:9: collectors\.process\.groups\[0\]\.name: expected text with")
        self.assertEqual(self.run_tidegauge("check-config", "/nonexistent").returncode, 2)

    def test_every_metric_is_documented(self):
        done = self.run_tidegauge("metrics")
        self.assertEqual(done.returncode, 0, done.stderr)
        patterns = {}
        for line in done.stdout.splitlines():
            match = re.match(r"\| `([^`]+)` \| (\w+) \| ([^|]*) \|", line)
            if match:
                pattern = "".join("[a-zA-Z0-9_:]+" if part.startswith("<") else re.escape(part)
                                  for part in re.split(r"(<[^>]*>)", match[1]))
                patterns.setdefault(pattern, set()).add(match[2])
        unknown = []
        text = "# TYPE mine gauge\nmine 1\n"
        self.write("textfile/own.prom", text)
        families = self.start(f"--collector.textfile.directory={self.directory / 'textfile'}").scrape()
        for name, family in families.items():
            types = set().union(*(types for pattern, types in patterns.items() if re.fullmatch(pattern, name)))
            if family.type not in types and name != "mine":
                unknown.append(f"{name} {family.type}: documented as {types or 'nothing'}")
        self.assertEqual(unknown, [])

    def test_help_and_version(self):
        for arguments in (["help"], ["--help"], ["-h"], ["--version"]):
            done = self.run_tidegauge(*arguments)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertTrue(done.stdout)


class HttpTest(DaemonTestCase):
    def test_collect_and_exclude(self):
        """As node_exporter's handler does it, word for word but for a newline at the end of complaints."""
        daemon = self.start("--no-collector.uname")

        def collectors(query):
            return label_values(daemon.scrape(query), "node_scrape_collector_success", "collector")
        everything = ALL - {"uname"}
        wait_until(lambda: told_by_all(daemon, everything), 3, "all collectors")
        self.assertEqual(collectors(""), everything)
        self.assertEqual(collectors("?collect[]=loadavg"), {"loadavg"})
        self.assertEqual(collectors("?collect%5B%5D=loadavg&collect%5B%5D=vmstat&collect[]=loadavg"), {"loadavg", "vmstat"})
        self.assertEqual(collectors("?exclude[]=loadavg&exclude[]=os"), everything - {"loadavg", "os"})
        self.assertEqual(collectors("?exclude[]=nosuch"), everything)  # not an error there
        self.assertEqual(collectors("?exclude[]=uname"), everything)
        self.assertEqual(collectors("?other=1"), everything)
        only = daemon.scrape("?collect[]=loadavg")
        self.assertEqual({name for name in only if name.startswith("node_") and not name.startswith("node_scrape_")},
                         {"node_load1", "node_load5", "node_load15"})
        self.assert_lacks(daemon.scrape("?exclude[]=loadavg"), "node_load1")
        prefix = "Couldn't create filtered metrics handler: couldn't create collector: "
        for query, text in (("?collect[]=loadavg&exclude[]=vmstat", "Combined collect and exclude queries are not allowed."),
                            ("?collect[]=nosuch", prefix + "missing collector: nosuch"),
                            ("?collect[]=loadavg&collect[]=uname", prefix + "disabled collector: uname")):
            with self.subTest(query):
                response = daemon.get("/metrics" + query)
                self.assertEqual((response.status, response.text().rstrip("\n")), (400, text))

    def test_head_and_types(self):
        daemon = self.start()
        full, head = daemon.get(), daemon.get(method="HEAD")
        self.assertEqual((head.status, head.body), (200, b""))
        self.assertRegex(full.headers["content-type"], r"^text/plain; version=0\.0\.4; charset=utf-8\b")
        self.assertEqual(head.headers["content-type"], full.headers["content-type"])
        for path, status in (("/", 200), ("/-/healthy", 200), ("/-/ready", 200), ("/nosuch", 404), ("/metrics/", 404)):
            self.assertEqual(daemon.get(path).status, status, path)
            response = daemon.get(path, method="HEAD")
            self.assertEqual((response.status, response.body), (status, b""), path)
        self.assertIn(b"/metrics", daemon.get("/").body)
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            response = daemon.get(method=method, headers=[("Content-Length", "0")])
            self.assertEqual(response.status, 405, method)
            self.assertEqual(response.headers.get("allow"), "GET, HEAD")

    def test_gzip(self):
        daemon = self.start()
        plain, packed = daemon.get(), daemon.get(headers=[GZIP])
        self.assertNotIn("content-encoding", plain.headers)
        self.assertEqual(packed.headers.get("content-encoding"), "gzip")
        self.assertLess(len(packed.body), len(plain.body) / 4)
        self.assertEqual(set(packed.families()), set(plain.families()))
        for value, encoded in (("gzip;q=0", False), ("identity", False), ("deflate, gzip;q=0.5", True), ("GZIP", True),
                               ("gzip, deflate, br", True), ("br", False)):
            response = daemon.get(headers=[("Accept-Encoding", value)])
            self.assertEqual("content-encoding" in response.headers, encoded, value)
            self.assert_exports(response.families(), "node_load1")

    def test_keep_alive(self):
        daemon = self.start()
        with connect(daemon.port) as client:
            for _ in range(3):
                client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
                self.assertEqual(harness.read_response(client).status, 200)

    def test_reload_needs_the_lifecycle_flag(self):
        daemon = self.start()
        for method in ("POST", "PUT", "GET"):
            self.assertEqual(daemon.get("/-/reload", method=method, headers=[("Content-Length", "0")]).status, 403)
        self.assertNotIn("reloaded", daemon.stderr())
        daemon = self.start("--web.enable-lifecycle")
        for count, method in enumerate(("POST", "PUT"), 1):
            response = daemon.get("/-/reload", method=method, headers=[("Content-Length", "0")])
            self.assertIn(response.status, (200, 202))
            daemon.wait_log("configuration reloaded", count=count)
        self.assertEqual(daemon.get("/-/reload").status, 405)

    def test_slow_clients_do_not_delay_a_scrape(self):
        daemon = self.start()
        self.assert_quick(daemon)
        crowd = self.crowd().join(daemon.port, 200)
        drip = self.crowd().join(daemon.port, 20)
        for byte in b"GET":
            drip.send(bytes([byte]))
            self.assert_quick(daemon, scrapes=7)
            time.sleep(0.5)
        self.assertEqual(len(crowd.clients), 200)
        self.assertGreaterEqual(daemon.value("tidegauge_http_connections"), 200)
        self.assertEqual(daemon.value("tidegauge_ticks_skipped_total"), 0)

    def test_more_clients_than_connections(self):
        """Beyond the limit, over all addresses, the silent ones give way: a scrape always gets in."""
        second = free_port()
        daemon = self.start("--web.max-connections=30", f"--web.listen-address=127.0.0.1:{second}")
        crowd = self.crowd()
        for _ in range(3):
            crowd.join(daemon.port, 20).join(second, 20, b"GET /metrics HTTP/1.1\r\n")
            self.assert_quick(daemon, scrapes=3)
        wait_until(lambda: daemon.value("tidegauge_http_connections_shed_total") >= 90, 3, "connections shed")
        # Those that were sent away count until the library has let go of them.
        wait_until(lambda: daemon.value("tidegauge_http_connections") <= 30, 2, "no more connections than allowed")

    def test_garbage_requests(self):
        daemon = self.start()
        for raw in (b"\r\n" * 50, b"\x16\x03\x01\x02\x00\x01\x00", b"GET /metrics\r\n\r\n", b"GET " + b"/" * 100000 + b" HTTP/1.1\r\n\r\n",
                    b"GET /metrics HTTP/1.1\r\n" + b"A: b\r\n" * 20000 + b"\r\n", b"GET /metrics?collect[]=%00%ff%zz HTTP/1.1\r\n\r\n",
                    b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n"):
            with connect(daemon.port, timeout=2) as client:
                try:
                    client.sendall(raw)
                    client.shutdown(socket.SHUT_WR)
                    while client.recv(1 << 16):
                        pass
                except OSError:
                    pass  # cutting the line is an answer, too
        self.assertEqual(daemon.get().status, 200)
        self.assert_ends_well(daemon)


class ReloadTest(DaemonTestCase):
    GOOD = "collectors:\n  loadavg:\n    interval: 2s\n"

    def test_reload_changes_what_runs(self):
        daemon = self.start(config="")
        self.assertEqual(daemon.value("tidegauge_collector_interval_seconds", collector="loadavg"), 1)
        loaded = daemon.value("tidegauge_config_last_reload_success_timestamp_seconds")
        self.assertAlmostEqual(loaded, time.time(), delta=scaled(5))
        self.write("tidegauge.yaml", self.GOOD + "  uname:\n    enabled: false\n")
        daemon.signal(signal.SIGHUP)
        daemon.wait_value(2, "tidegauge_collector_interval_seconds", collector="loadavg")
        families = daemon.scrape()
        self.assertEqual(set(succeeded(families)), ALL - {"uname"})
        self.assert_lacks(families, "node_uname_info")
        self.assertEqual(sample(families, "tidegauge_config_last_reload_successful"), 1)
        self.assertGreater(sample(families, "tidegauge_config_last_reload_success_timestamp_seconds"), loaded)
        self.write("tidegauge.yaml", "")
        daemon.signal(signal.SIGHUP)
        daemon.wait_value(1, "tidegauge_collector_interval_seconds", collector="loadavg")
        self.assert_exports(daemon.scrape(), "node_uname_info")

    def test_bad_reload_changes_nothing(self):
        daemon = self.start(config=self.GOOD)
        before = daemon.scrape()
        for text, pattern in (("collectors:\n  loadavg:\n    interval: 1s\nbogus: 1\n", r"tidegauge\.yaml:4:1: bogus: unknown key"),
                              ("web: {listen_address: ['127.0.0.1:1']}\nlog: {level: nosuch}\n", "log.level")):
            self.write("tidegauge.yaml", text)
            complaints = daemon.stderr().count("not reloaded")
            daemon.signal(signal.SIGHUP)
            daemon.wait_log("not reloaded.*" + pattern, count=1)
            self.assertGreater(daemon.stderr().count("not reloaded"), complaints)
            daemon.wait_value(0, "tidegauge_config_last_reload_successful")  # an exposition lasts until the next tick
            after = daemon.scrape()
            self.assertEqual(sample(after, "tidegauge_collector_interval_seconds", collector="loadavg"), 2)
            self.assertEqual(sample(after, "tidegauge_config_last_reload_success_timestamp_seconds"),
                             sample(before, "tidegauge_config_last_reload_success_timestamp_seconds"))
            self.assertEqual(harness.decreased_counters(before, after), [])
            self.write("tidegauge.yaml", self.GOOD)
            daemon.signal(signal.SIGHUP)
            daemon.wait_value(1, "tidegauge_config_last_reload_successful")
            before = daemon.scrape()

    def test_address_needs_a_restart(self):
        daemon = self.start(config="")
        self.write("tidegauge.yaml", "web: {max_connections: 77}\n")
        daemon.signal(signal.SIGHUP)
        daemon.wait_log("not reloaded.*restart")
        daemon.wait_value(0, "tidegauge_config_last_reload_successful")

    def test_reloads_under_scraping(self):
        """No scrape fails, loses a family or sees a counter go back."""
        daemon = self.start(config=self.GOOD)
        before = daemon.scrape()
        faults, counts, stop = [], [0] * 3, threading.Event()

        def hammer(number):
            last, count = before, 0
            while not stop.is_set():
                try:
                    families = daemon.scrape()
                except (AssertionError, OSError, HttpError) as error:
                    faults.append(repr(error))
                    return
                faults.extend(harness.decreased_counters(last, families))
                gone = set(last) - set(families)
                if gone:
                    faults.append(f"families gone: {sorted(gone)}")
                last, count = families, count + 1
                counts[number] = count
        threads = [threading.Thread(target=hammer, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        try:
            for count, text in enumerate(("collectors:\n  loadavg:\n    interval: 3s\n", self.GOOD), 1):
                time.sleep(0.3)
                self.write("tidegauge.yaml", text)
                daemon.signal(signal.SIGHUP)
                daemon.wait_log("configuration reloaded", count=count)
            time.sleep(1.2)
            wait_until(lambda: faults or min(counts) > 5, 10, "scrapes of each")
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertEqual(faults[:20], [])
        after = daemon.scrape()
        self.assertEqual(harness.decreased_counters(before, after), [])
        self.assertGreater(sample(after, "tidegauge_ticks_total"), sample(before, "tidegauge_ticks_total"))
        self.assert_ends_well(daemon)


class LogTest(DaemonTestCase):
    def test_json(self):
        daemon = self.start("--log.format=json", config="")
        self.write("tidegauge.yaml", 'bogus "key"\\: [1\n')
        daemon.signal(signal.SIGHUP)
        daemon.wait_log("not reloaded")
        self.assert_ends_well(daemon)
        entries = [json.loads(line) for line in daemon.stderr().splitlines()]
        self.assertGreaterEqual(len(entries), 3)
        for entry in entries:
            self.assertLessEqual({"ts", "level", "msg"}, set(entry))
        self.assertIn("listening", [entry["msg"] for entry in entries])

    def test_levels(self):
        daemon = self.start("--log.level=error")
        self.assert_ends_well(daemon)
        self.assertEqual(daemon.stderr(), "")


class PrivilegeTest(DaemonTestCase):
    def test_unprivileged(self):
        program = harness.copy_for_everyone(harness.TIDEGAUGE, self.directory)
        wrapper = []
        if os.geteuid() == 0:
            wrapper = [shutil.which("setpriv"), f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        daemon = self.start("--collector.slabinfo.interval=1s", program=program, wrapper=wrapper)
        with open(f"/proc/{daemon.pid}/status", encoding="utf-8") as status:
            self.assertRegex(status.read(), r"CapEff:\t0+\n")
        privileged = self.start()
        wait_until(lambda: daemon.value("tidegauge_collector_runs_total", collector="slabinfo") >= 3, 5, "three runs of slabinfo")
        lacking = {name for name, good in succeeded(daemon.scrape()).items() if not good}
        normal = {name for name, good in succeeded(privileged.scrape()).items() if not good}
        self.assertEqual(lacking - normal, {"slabinfo"} - normal, daemon.tail())
        log = daemon.stderr()
        self.assertEqual(len(re.findall(r"CAP_DAC_READ_SEARCH", log)), 1, log)
        self.assertEqual(len([line for line in log.splitlines() if 'collector="slabinfo"' in line]), 1, log)
        self.assert_exports(daemon.scrape(), "node_filesystem_size_bytes")
        self.assert_ends_well(daemon)

    def test_root_keeps_only_what_it_uses(self):
        if os.geteuid() != 0:
            self.skipTest("needs root")
        daemon = self.start()
        with open(f"/proc/{daemon.pid}/status", encoding="utf-8") as status:
            held = int(re.search(r"CapEff:\t([0-9a-f]+)", status.read())[1], 16)
        # include/uapi/linux/capability.h: CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE, CAP_PERFMON, CAP_BPF
        used = 1 << 2 | 1 << 19 | 1 << 38 | 1 << 39
        self.assertEqual(held & ~used, 0, f"CapEff {held:x}: more than what is used, {used:x}")


class HungFileSystemTest(DaemonTestCase):
    """A file system that does not answer (dead NFS server, stopped FUSE daemon) hurts nothing else."""

    def setUp(self):
        super().setUp()
        reason = frozen_fuse.unavailable()
        if reason:
            print(f"skipped: {reason}", file=sys.stderr)
            self.skipTest(reason)
        point = self.directory / "frozen"
        point.mkdir()
        self.fuse = frozen_fuse.FrozenFuse(point)
        self.addCleanup(self.fuse.close)

    def size(self, families):
        name = "node_filesystem_size_bytes"
        return [value for key, value in families[name].series.items() if ("mountpoint", self.fuse.mount_point) in key[1]] \
            if name in families else []

    def told(self, families):
        """Whether the metrics tell that this file system does not answer."""
        if sample(families, "tidegauge_collector_stuck", collector="filesystem") == 1:
            return True
        return any(("mountpoint", self.fuse.mount_point) in key[1] and value == 1
                   for key, value in families["node_filesystem_device_error"].series.items())

    def start_beside_it(self, **options):
        flags = ["--collector.filesystem.interval=1s", "--collector-timeout=1s"]
        if "--collector.filesystem.mount-timeout" in self.run_tidegauge("help").stdout:
            flags.append("--collector.filesystem.mount-timeout=500ms")
        daemon = self.start(*flags, before_exec=self.fuse.enter, **options)
        wait_until(lambda: self.size(daemon.scrape()) == [frozen_fuse.BLOCKS * 4096], 5,
                   lambda: f"the file system's size\n{daemon.tail()}")
        return daemon

    def test_the_others_go_on(self):
        notify = self.notify_socket()
        daemon = self.start_beside_it(env={"NOTIFY_SOCKET": notify.path, "WATCHDOG_USEC": "5000000"})
        self.fuse.freeze()
        wait_until(lambda: self.told(daemon.scrape()), 8, lambda: f"a metric that tells\n{daemon.tail()}", pause=0.1)
        before = daemon.scrape()
        notify.drain()
        time.sleep(3)
        after = daemon.scrape()
        self.assertTrue(self.told(after))
        self.assertEqual(self.size(after), [], "a size of a file system that does not answer")
        for name in EVERY_SECOND:
            runs = [sample(families, "tidegauge_collector_runs_total", collector=name) for families in (before, after)]
            self.assertGreaterEqual(runs[1] - runs[0], 2, name)
        self.assertGreaterEqual(sample(after, "tidegauge_ticks_total") - sample(before, "tidegauge_ticks_total"), 2)
        self.assertEqual(sample(after, "tidegauge_ticks_skipped_total"), sample(before, "tidegauge_ticks_skipped_total"))
        self.assertEqual(daemon.get("/-/healthy").status, 200)
        notify.wait("WATCHDOG=1", 2)
        self.assert_quick(daemon)
        with open(f"/proc/{daemon.pid}/status", encoding="utf-8") as status:
            threads = int(re.search(r"Threads:\t(\d+)", status.read())[1])
        self.assertLess(threads, len(ALL) + 8, "a thread is left behind at every try")

        self.fuse.thaw()
        wait_until(lambda: self.size(daemon.scrape()) == [frozen_fuse.BLOCKS * 4096] and not self.told(daemon.scrape()), 8,
                   lambda: f"recovery\n{daemon.tail()}", pause=0.1)
        self.assertEqual(harness.decreased_counters(after, daemon.scrape()), [])
        self.assert_ends_well(daemon)

    def test_terminates_beside_it(self):
        daemon = self.start_beside_it()
        self.fuse.freeze()
        wait_until(lambda: self.told(daemon.scrape()), 8, lambda: f"a metric that tells\n{daemon.tail()}", pause=0.1)
        self.assert_ends_well(daemon)

    def test_reloads_beside_it(self):
        daemon = self.start_beside_it(config="")
        self.fuse.freeze()
        wait_until(lambda: self.told(daemon.scrape()), 8, lambda: f"a metric that tells\n{daemon.tail()}", pause=0.1)
        self.write("tidegauge.yaml", "collectors:\n  loadavg:\n    interval: 2s\n")
        before = daemon.scrape()
        daemon.signal(signal.SIGHUP)
        daemon.wait_value(2, "tidegauge_collector_interval_seconds", collector="loadavg")
        self.assert_quick(daemon)
        wait_until(lambda: sample(daemon.scrape(), "tidegauge_ticks_total") > sample(before, "tidegauge_ticks_total") + 1, 4, "ticks")
        self.assert_ends_well(daemon)


class KernelFileTest(DaemonTestCase):
    """Kernel files that are not what they should be, in copies of a fixture tree."""

    def copy_fixture(self, name):
        target = self.directory / name
        shutil.copytree(FIXTURE, target, symlinks=True)
        return target

    def start_on(self, root):
        flags = [f"--path.procfs={root}/proc", f"--path.sysfs={root}/sys", f"--path.rootfs={root}", f"--path.udev.data={root}/udev/data"]
        if "--[no-]collector.netdev.netlink" in self.run_tidegauge("help").stdout:
            flags.append("--no-collector.netdev.netlink")
        return self.start(*flags)

    def test_damaged_files(self):
        usable = {name: path for name, path in FILE_OF.items() if (FIXTURE / path).is_file()}
        good = succeeded(self.start_on(self.copy_fixture("whole")).scrape())
        self.assertEqual({name for name in usable if not good[name]}, set(), "fail on the untouched fixture")
        self.assertGreater(len(usable), 12, "the fixture tree lacks files of most collectors")
        paths = sorted(set(usable.values()))

        def garbage(path):
            path.write_bytes(b"\x00\xff garbage %s %n \n" * 40)

        def empty(path):
            path.write_bytes(b"")

        def huge(path):
            path.write_bytes((b"x" * 99 + b"\n") * (10 * 1024 * 1024 // 100))

        def missing(path):
            path.unlink()

        def truncated(path):  # in the middle of its first number
            text = path.read_bytes()
            path.write_bytes(text[:re.search(rb"\d", text).start()])
        for damage in (garbage, empty, huge, missing, truncated):
            for half in (0, 1):
                with self.subTest(f"{damage.__name__} {half}"):
                    root = self.copy_fixture(f"{damage.__name__}{half}")
                    damaged = paths[half::2]
                    for path in damaged:
                        damage(root / path)
                    daemon = self.start_on(root)
                    state = succeeded(wait_until(lambda: told_by_all(daemon, good), 5, "all collectors"))
                    hurt = {name for name, path in usable.items() if path in damaged}
                    if damage is missing:
                        hurt -= ONE_OF_SEVERAL
                    self.assertEqual({name for name in hurt if state[name]}, set(), "success in spite of it")
                    if "diskstats" in hurt:  # which it samples where there is no BPF
                        hurt.add("ebpf_block")
                    self.assertEqual({name for name in good if good[name] and not state[name]} - hurt, set(),
                                     f"suffer from others' files\n{daemon.tail()}")
                    self.assertLess(len(daemon.stderr().splitlines()), 60, "logs too much")
                    self.assert_ends_well(daemon)
                    shutil.rmtree(root)

    def test_fifo_in_place_of_files(self):
        """Opening a FIFO hangs until somebody writes: neither a kernel file's place nor *.prom may do that to us."""
        root = self.copy_fixture("fifo")
        (root / "proc" / "meminfo").unlink()
        os.mkfifo(root / "proc" / "meminfo")
        textfiles = self.directory / "textfile"
        self.write("textfile/good.prom", "mine 1\n")
        os.mkfifo(textfiles / "bad.prom")
        daemon = self.start(f"--path.procfs={root}/proc", f"--collector.textfile.directory={textfiles}",
                            "--collector.textfile.interval=1s", "--collector-timeout=500ms")
        time.sleep(1.5)
        families = daemon.scrape()
        state = succeeded(families)
        self.assertFalse(state["meminfo"])
        self.assertTrue(state["vmstat"] and state["textfile"], state)
        self.assertEqual(sample(families, "mine"), 1)
        self.assertEqual(label_values(families, "tidegauge_collector_stuck", "collector", 1.0), set())
        self.assert_ends_well(daemon)

    def test_files_that_heal(self):
        root = self.copy_fixture("healing")
        whole = (root / "proc/meminfo").read_bytes()
        (root / "proc/meminfo").write_bytes(b"broken")
        daemon = self.start(f"--path.procfs={root}/proc", "--tick=200ms")
        self.assert_lacks(daemon.scrape(), "node_memory_MemTotal_bytes")
        daemon.wait_log('"meminfo"')
        (root / "proc/meminfo").write_bytes(whole)
        wait_until(lambda: "node_memory_MemTotal_bytes" in daemon.scrape(), 3, "meminfo's recovery")
        daemon.wait_log('works again.*"meminfo"')
        (root / "proc/meminfo").unlink()
        wait_until(lambda: "node_memory_MemTotal_bytes" not in daemon.scrape(), 3, "the series' end")
        failures = daemon.value("tidegauge_collector_failures_total", collector="meminfo")
        self.assertGreater(failures, 0)


if __name__ == "__main__":
    harness.main()
