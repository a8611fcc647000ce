# SPDX-License-Identifier: Apache-2.0
"""Starts the real programs for the end-to-end tests and talks to them.

Every program runs in a directory of its own below a temporary one, writes its output to files there, is stopped by
its pid when the test ends however it ends, and dies with the test process should that be killed.

Environment:
  TIDEGAUGE                 the binary under test (default: build/tidegauge of this tree)
  TIDEGAUGE_E2E_SKIP_PEERS  skip, rather than fail, tests whose peer program is not installed
  TIDEGAUGE_E2E_TIME_SCALE  multiplies every time limit, for sanitizer builds and slow machines (default 1)
"""

import ctypes
import gzip
import os
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from dataclasses import dataclass, field
from pathlib import Path

import expo_compare

ROOT = Path(__file__).resolve().parents[2]
TIDEGAUGE = os.environ.get("TIDEGAUGE") or str(ROOT / "build" / "tidegauge")
TIME_SCALE = float(os.environ.get("TIDEGAUGE_E2E_TIME_SCALE") or 1)
EXIT_SKIPPED = 77  # every test of the file was skipped: ctest's SKIP_RETURN_CODE

PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None, use_errno=True)


def scaled(seconds):
    return seconds * TIME_SCALE


def wait_until(condition, seconds, what, pause=0.02):
    """Polls until condition() is true and returns its value; AssertionError after `seconds` (scaled)."""
    deadline = time.monotonic() + scaled(seconds)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {scaled(seconds):g} s: {what() if callable(what) else what}")
        time.sleep(pause)


def free_port():
    """A free loopback port below the ephemeral range, so that no client's connection can take it meanwhile."""
    for _ in range(200):
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")


# HTTP over raw sockets: what is sent is what the test says, and nothing is retried or decoded behind its back.


class HttpError(Exception):
    """The answer is not valid HTTP/1.1, or it is incomplete."""


@dataclass
class Response:
    status: int
    headers: dict  # names in lower case
    body: bytes  # as sent, perhaps compressed
    seconds: float = 0.0

    def text(self):
        raw = gzip.decompress(self.body) if self.headers.get("content-encoding") == "gzip" else self.body
        return raw.decode("utf-8")

    def families(self):
        return expo_compare.parse(self.text())


def connect(port, timeout=10.0):
    client = socket.create_connection(("127.0.0.1", port), timeout=scaled(timeout))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def read_response(client, method="GET", buffered=b""):
    data = bytearray(buffered)

    def more():
        chunk = client.recv(1 << 16)
        if not chunk:
            raise HttpError(f"connection closed after {len(data)} bytes: {bytes(data[:200])!r}")
        data.extend(chunk)

    while (end := data.find(b"\r\n\r\n")) < 0:
        more()
    head = bytes(data[:end]).decode("latin-1").split("\r\n")
    match = re.fullmatch(r"HTTP/1\.1 (\d{3})(?: .*)?", head[0])
    if not match:
        raise HttpError(f"bad status line {head[0]!r}")
    headers = {}
    for line in head[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise HttpError(f"bad header {line!r}")
        headers[name.lower()] = value.strip()
    del data[:end + 4]
    status = int(match[1])
    if method == "HEAD" or status in (204, 304):
        return Response(status, headers, bytes(data))
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = bytearray()
        while True:
            while (line_end := data.find(b"\r\n")) < 0:
                more()
            size = int(bytes(data[:line_end]).split(b";")[0], 16)
            while len(data) < line_end + 2 + size + 2:
                more()
            body += data[line_end + 2:line_end + 2 + size]
            del data[:line_end + 2 + size + 2]
            if size == 0:
                return Response(status, headers, bytes(body))
    if "content-length" not in headers:
        raise HttpError("neither Content-Length nor chunked")
    length = int(headers["content-length"])
    while len(data) < length:
        more()
    return Response(status, headers, bytes(data[:length]))


def http(port, path="/metrics", method="GET", headers=(), timeout=10.0):
    """One request on a connection of its own. `headers` are pairs."""
    begin = time.monotonic()
    with connect(port, timeout) as client:
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers]
        client.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        response = read_response(client, method)
        if method == "HEAD":  # a body, if there wrongly is one, comes before the end of the connection
            while chunk := client.recv(1 << 16):
                response.body += chunk
    response.seconds = time.monotonic() - begin
    return response


GZIP = ("Accept-Encoding", "gzip")


# Programs.


class Program:
    """A child process with its output in files. The pid is the program's own, not a shell's."""

    def __init__(self, argv, directory, name, *, env=None, before_exec=None, pass_fds=(), port=None, cwd=None):
        self.name, self.port, self.argv = name, port, argv
        self.stdout_path = Path(directory) / f"{name}.stdout"
        self.stderr_path = Path(directory) / f"{name}.stderr"
        parent = os.getpid()

        def prepare():
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(127)
            if before_exec:
                before_exec()

        self.started = time.monotonic()
        with open(self.stdout_path, "wb") as out, open(self.stderr_path, "wb") as err:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=cwd,
                                            env={**os.environ, **(env or {})}, preexec_fn=prepare, pass_fds=pass_fds)
        self.pid = self.process.pid

    def stderr(self):
        return self.stderr_path.read_text("utf-8", "replace")

    def stdout(self):
        return self.stdout_path.read_text("utf-8", "replace")

    def running(self):
        return self.process.poll() is None

    def signal(self, number):
        if self.running():
            os.kill(self.pid, number)

    def wait_exit(self, seconds):
        """The exit code; AssertionError if it is still running after `seconds` (scaled)."""
        try:
            return self.process.wait(scaled(seconds))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} still runs after {scaled(seconds):g} s\n{self.tail()}") from None

    def stop(self):
        """Ends it for good; for cleanup, whatever state it is in."""
        if self.running():
            self.signal(signal.SIGTERM)
            try:
                self.process.wait(scaled(3))
            except subprocess.TimeoutExpired:
                self.signal(signal.SIGKILL)
                self.process.wait(10)

    def tail(self):
        lines = self.stderr().splitlines()[-15:]
        return f"--- stderr of {self.name}:\n" + "\n".join(lines)

    def get(self, path="/metrics", **options):
        return http(self.port, path, **options)

    def wait_ready(self, path, seconds):
        def ready():
            if not self.running():
                raise AssertionError(f"{self.name} ended with {self.process.returncode}\n{self.tail()}")
            try:
                return self.get(path, timeout=2).status == 200
            except (OSError, HttpError):
                return False
        wait_until(ready, seconds, lambda: f"{self.name} ready on port {self.port}\n{self.tail()}")
        return self

    def wait_log(self, pattern, seconds=3.0, count=1):
        """Waits until so many lines of its log match; returns the last one."""
        expression = re.compile(pattern)

        def found():
            lines = [line for line in self.stderr().splitlines() if expression.search(line)]
            return lines[-1] if len(lines) >= count else None
        return wait_until(found, seconds, lambda: f"{count} log lines matching {pattern!r}\n{self.tail()}")


class Daemon(Program):
    """Tidegauge."""

    def scrape(self, query="", **options):
        response = self.get("/metrics" + query, **options)
        if response.status != 200:
            raise AssertionError(f"scrape answered {response.status}: {response.body[:200]!r}\n{self.tail()}")
        return response.families()

    def value(self, name, **labels):
        return sample(self.scrape(), name, **labels)

    def wait_value(self, expected, name, seconds=3.0, **labels):
        seen = []

        def same():
            seen.append(self.value(name, **labels))
            return seen[-1] == expected
        wait_until(same, seconds, lambda: f"{name}{labels or ''} = {expected}, last seen {seen[-1]}\n{self.tail()}")


def sample(families, name, **labels):
    """The value of a series, None if there is none. Labels with empty values do not count."""
    family = families.get(name)
    key = (name, tuple(sorted((k, v) for k, v in labels.items() if v != "")))
    return family.series.get(key) if family else None


def label_values(families, name, label, value=None):
    """The set of a label's values in a family, of the series with this value if one is given."""
    if name not in families:
        return set()
    return {dict(key[1]).get(label) for key, v in families[name].series.items() if value is None or v == value}


def decreased_counters(before, after):
    """Series of counters that went down or vanished between two scrapes. Without those of single processes, which end
    when a process is among the busiest no more and may begin anew, and of cgroups that other tests make and remove."""
    found = []
    for name, family in before.items():
        if family.type != "counter":
            continue
        for key, value in family.series.items():
            labels = dict(key[1])
            others = re.match(r"/tidegauge-e2e-(\d+)", labels.get("cgroup", ""))
            if "pid" in labels or (others and int(others[1]) != os.getpid()):
                continue
            later = after[name].series.get(key) if name in after else None
            if later is None or later < value:
                found.append(f"{expo_compare.render(key)}: {value!r} -> {later!r}")
    return found


# Node_exporter's flags that enable exactly what Tidegauge replaces, with upstream's defaults where Debian patches them.

PEER_COLLECTORS = ("cpu", "cpufreq", "loadavg", "meminfo", "meminfo_numa", "vmstat", "zoneinfo", "buddyinfo", "stat",
                   "schedstat", "pressure", "diskstats", "filesystem", "netdev", "filefd", "processes", "slabinfo",
                   "interrupts", "ksmd", "uname", "os", "time", "sysctl", "textfile", "cgroups")
LATER_PEER_COLLECTORS = {"softirqs": (1, 6), "kernel_hung": (1, 11)}
SYSCTL_FLAGS = ("--collector.sysctl.include=fs.file-nr:total,current,max", "--collector.sysctl.include=kernel.threads-max",
                "--collector.sysctl.include=vm.swappiness", "--collector.sysctl.include-info=kernel.seccomp.actions_avail")
PEER_FLAGS = (
    "--collector.disable-defaults", "--web.disable-exporter-metrics", "--log.level=warn", "--collector.stat.softirq",
    "--collector.cpu.info", *SYSCTL_FLAGS,
    "--collector.filesystem.mount-points-exclude=^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)",
    "--collector.filesystem.fs-types-exclude=^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660"
    "|mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|erofs|sysfs|tracefs)$",
    "--collector.netdev.device-exclude=",
    r"--collector.diskstats.device-exclude=^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$")


def find_peer(name):
    """The path of a peer program. Missing, it fails the test, or skips it if the environment says so."""
    path = shutil.which(name) or shutil.which(name, path="/usr/bin:/usr/sbin:/usr/local/bin")
    if path:
        return path
    reason = f"{name} is not installed (`make deps-test` installs it)"
    if os.environ.get("TIDEGAUGE_E2E_SKIP_PEERS"):
        print(f"skipped: {reason}", file=sys.stderr)
        raise unittest.SkipTest(reason)
    raise AssertionError(reason + "; TIDEGAUGE_E2E_SKIP_PEERS=1 skips what needs it")


def node_exporter_version(path):
    """(major, minor)"""
    done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20, check=True)
    match = re.search(r"version (\d+)\.(\d+)", done.stdout + done.stderr)
    return int(match[1]), int(match[2])


def copy_for_everyone(source, directory):
    """A copy of a program that any user can run."""
    target = Path(directory) / Path(source).name
    shutil.copyfile(source, target)
    target.chmod(0o755)
    return str(target)


class TestCase(unittest.TestCase):
    """Makes temporary directories and programs, and removes them again."""

    def setUp(self):
        self._directory = None
        self._programs = 0

    @property
    def directory(self):
        if self._directory is None:
            temporary = tempfile.TemporaryDirectory(prefix="tidegauge-e2e-")
            self.addCleanup(temporary.cleanup)
            self._directory = Path(temporary.name)
            self._directory.chmod(0o755)
        return self._directory

    def write(self, name, text):
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def spawn(self, kind, argv, name, **options):
        self._programs += 1
        program = kind([str(argument) for argument in argv], self.directory, f"{self._programs}-{name}", **options)
        self.addCleanup(program.stop)
        return program

    def launch(self, *flags, config=None, command="serve", program=None, wrapper=(), **options):
        """Starts Tidegauge on a free port and does not wait for it. `config` is YAML text."""
        file = ""
        if config is not None:
            file = self.write("tidegauge.yaml", config)
        port = options.pop("port", None) or free_port()
        argv = [*wrapper, program or TIDEGAUGE, command, f"--config.file={file}", f"--web.listen-address=127.0.0.1:{port}", *flags]
        return self.spawn(Daemon, argv, "tidegauge", port=port, **options)

    def start(self, *flags, **options):
        """Starts Tidegauge and waits until it is ready."""
        return self.launch(*flags, **options).wait_ready("/-/ready", 5)

    def run_tidegauge(self, *arguments, timeout=10, env=None):
        """Runs a command of Tidegauge that ends by itself."""
        done = subprocess.run([TIDEGAUGE, *map(str, arguments)], capture_output=True, timeout=scaled(timeout),
                              stdin=subprocess.DEVNULL, cwd=self.directory, env={**os.environ, **(env or {})}, check=False)
        # Not as text: that would make line ends of the carriage returns in processes' names.
        done.stdout, done.stderr = done.stdout.decode("utf-8"), done.stderr.decode("utf-8")
        return done

    def start_node_exporter(self, *flags):
        path = os.environ.get("NODE_EXPORTER") or find_peer("prometheus-node-exporter")
        self.peer_version = node_exporter_version(path)
        collectors = [*PEER_COLLECTORS, *(name for name, since in LATER_PEER_COLLECTORS.items() if self.peer_version >= since)]
        port = free_port()
        peer = self.spawn(Program, [path, *PEER_FLAGS, *(f"--collector.{name}" for name in collectors),
                                    f"--web.listen-address=127.0.0.1:{port}", *flags], "node_exporter", port=port)
        return peer.wait_ready("/", 10)

    def start_prometheus(self, config):
        path, port = find_peer("prometheus"), free_port()
        file = self.write("prometheus.yaml", config)
        peer = self.spawn(Program, [path, f"--config.file={file}", f"--storage.tsdb.path={self.directory / 'tsdb'}",
                                    f"--web.listen-address=127.0.0.1:{port}", "--log.format=logfmt"], "prometheus", port=port)
        return peer.wait_ready("/-/ready", 20)

    def assert_ends_well(self, daemon, seconds=2.0):
        """SIGTERM ends it with 0 within the time. Returns how long it took."""
        begin = time.monotonic()
        daemon.signal(signal.SIGTERM)
        code = daemon.wait_exit(seconds)
        self.assertEqual(code, 0, daemon.tail())
        return time.monotonic() - begin


@dataclass
class Crowd:
    """Open client connections that say nothing, or very little."""

    clients: list = field(default_factory=list)

    def join(self, port, count, first=b""):
        for _ in range(count):
            client = connect(port)
            if first:
                client.sendall(first)
            self.clients.append(client)
        return self

    def send(self, data):
        """Those that the server closed meanwhile are left out; returns how many are still there."""
        alive = 0
        for client in self.clients:
            try:
                client.sendall(data)
                alive += 1
            except OSError:
                pass
        return alive

    def leave(self):
        for client in self.clients:
            client.close()


def main():
    if not os.access(TIDEGAUGE, os.X_OK):
        sys.exit(f"{TIDEGAUGE}: no such program; `make build` makes it, $TIDEGAUGE names another")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 4096), hard), hard))
    program = unittest.main(module="__main__", exit=False, verbosity=2)
    result = program.result
    if not result.wasSuccessful():
        sys.exit(1)
    if result.testsRun == len(result.skipped) and result.skipped:
        sys.exit(EXIT_SKIPPED)
