# SPDX-License-Identifier: Apache-2.0
"""What every check in the lab shares: a machine per kernel, the daemon in it, and questions to both.

Environment: TIDEGAUGE, the program under test (default build/tidegauge); TIDEGAUGE_LAB_CACHE, where kernels are kept.
"""

import os
import sys
import tempfile
import time
import unittest
from pathlib import Path

import kernels
import vm

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "e2e"))
import expo_compare  # noqa: E402

PROGRAMS = {"tidegauge": Path(os.environ.get("TIDEGAUGE") or ROOT / "build/tidegauge").resolve(),
            "lab_workload": ROOT / "build/lab_workload", "idle_processes": ROOT / "build/idle_processes"}


def within(value, share=0.0, margin=0.0):
    """The range that expect() takes for what need not be exact."""
    spread = abs(value) * share + margin
    return value - spread, value + spread


def value_of(families, name, labels):
    """The sum of the series that have these labels among theirs; None if there is none."""
    wanted = {key: str(value) for key, value in labels.items()}.items()
    family = families.get(name)
    found = [value for key, value in family.series.items() if wanted <= dict(key[1]).items()] if family else []
    return sum(found) if found else None


class Daemon:
    """Tidegauge, serving in the guest."""

    def __init__(self, machine, name, port, *flags, wrapper=()):
        self.machine, self.name, self.port = machine, name, port
        # Switched once only: to patch the kernel's text, as each switch does, can lock up an emulated machine.
        machine.spawn(name, *wrapper, "tidegauge", "serve", f"--web.listen-address=127.0.0.1:{port}",
                      "--collector.ebpf.statistics=always", *flags)

    def families(self):
        """Empty while it does not answer."""
        answer = self.machine.run(f"wget -q -O - http://127.0.0.1:{self.port}/metrics")
        return expo_compare.parse(answer.stdout) if answer.status == 0 else {}

    def labels(self, name):
        """Of all series of a family."""
        family = self.families().get(name)
        return [dict(key[1]) for key in family.series] if family else []

    def log(self):
        return f"--- {self.name}\n" + self.machine.run(f"tail -n 15 /tmp/{self.name}.err").stdout


class LabTest(unittest.TestCase):
    """One machine for all tests of a class; run.py makes a class for each kernel. Names of programs, files and
    groups are a test's own: the others' are still there."""

    suite = None
    disks = ()
    modules = ()  # what the kernel needs beside those of the disks

    @classmethod
    def setUpClass(cls):
        try:
            kernel = kernels.kernel(cls.suite)
        except kernels.Unavailable as reason:
            raise unittest.SkipTest(f"{cls.suite}: no kernel: {reason}") from None
        temporary = tempfile.TemporaryDirectory(prefix="tidegauge-lab-")
        cls.addClassCleanup(temporary.cleanup)
        print(f"{cls.suite}: {kernel.release}", file=sys.stderr, flush=True)
        cls.machine = vm.Machine(kernel, PROGRAMS, temporary.name, disks=cls.disks, modules=cls.modules)
        cls.addClassCleanup(cls.machine.stop)
        print(f"{cls.suite}: booted in {cls.machine.boot_seconds:.1f} s", file=sys.stderr, flush=True)

    @classmethod
    def tearDownClass(cls):
        ended = cls.machine.power_off()
        print(f"{cls.suite}: {time.monotonic() - cls.machine.started:.1f} s", file=sys.stderr, flush=True)
        if not ended:
            raise cls.machine.lost("it did not power off")

    # The second line of a test's name, otherwise.
    def shortDescription(self):
        return None

    def kill_later(self, name):
        def kill():
            try:
                self.machine.run(f"kill -9 $(pidof {name})")
            except vm.GuestLost:
                pass  # the test has said so
        self.addCleanup(kill)

    def workload(self, name, *arguments, before=""):
        """Starts lab_workload under this name and waits until it has done its work; its pid."""
        pid = self.machine.spawn(name, f"/tmp/{name}", *arguments, before=f"ln -sf /bin/lab_workload /tmp/{name}; {before}")
        self.kill_later(name)
        done = self.machine.run(f"until grep -q ready /tmp/{name}.out || ! kill -0 {pid}; do usleep 20000; done; "
                                f"grep -q ready /tmp/{name}.out || cat /tmp/{name}.err >&2")
        self.assertEqual(done.stderr, "", f"{name} {arguments}")
        return pid

    def expect(self, daemon, wanted, seconds=10):
        """Waits until the daemon shows what is wanted. `wanted` yields (name, labels, value or range) anew each time it
        is called, so that it can ask the guest's /proc just before the daemon."""
        deadline = time.monotonic() + seconds
        while True:
            now, families = list(wanted()), daemon.families()
            wrong = []
            for name, labels, value in now:
                low, high = value if isinstance(value, tuple) else (value, value)
                seen = value_of(families, name, labels)
                if seen is None or not low <= seen <= high:
                    wrong.append(f"{name}{labels}: {value}, seen {seen}")
            if not wrong:
                self.assertNotEqual(now, [])
                return
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds} s: {'; '.join(wrong)}\n{daemon.log()}")
            time.sleep(0.2)

    # The guest's own words.

    def numbers(self, path):
        """Lines of "name: value[ kB]" with a number each, kB as bytes."""
        found = {}
        for line in self.machine.text(f"cat {path}").splitlines():
            name, _, rest = line.partition(":")
            words = rest.split()
            if words and words[0].isdigit():
                found[name] = found.get(name, 0) + int(words[0]) * (1024 if words[1:] == ["kB"] else 1)
        return found

    def stat(self, pid):
        """/proc/PID/stat from the third field, the state, at index 0."""
        return self.machine.text(f"cat /proc/{pid}/stat").rpartition(")")[2].split()
