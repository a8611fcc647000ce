#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the daemon adds to system calls: getppid() and one-byte pread(), beside a pair of empty BPF programs on the raw
tracepoints sys_enter and sys_exit, in turn in one run. As root, on a quiet host; prints medians and ratios.

Usage: call_cost_bench.py [ROUNDS]
"""

import ctypes
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import harness

BPF = 321  # x86-64's number of bpf(2)
BPF_PROG_LOAD, BPF_RAW_TRACEPOINT_OPEN = 5, 17
BPF_PROG_TYPE_RAW_TRACEPOINT = 17


def bpf(command, attributes):
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(attributes, 128)
    result = libc.syscall(BPF, command, buffer, 128)
    if result < 0:
        raise OSError(ctypes.get_errno(), "bpf")
    return result


class EmptyPair:
    """Two programs of "return 0"."""

    def __enter__(self):
        code = ctypes.create_string_buffer(bytes([0xB7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]))
        licence = ctypes.create_string_buffer(b"GPL")
        name = ctypes.create_string_buffer(b"sys_enter"), ctypes.create_string_buffer(b"sys_exit")
        program = bpf(BPF_PROG_LOAD, struct.pack("=IIQQ", BPF_PROG_TYPE_RAW_TRACEPOINT, 2, ctypes.addressof(code),
                                                 ctypes.addressof(licence)))
        self.descriptors = [program]
        for each in name:
            self.descriptors.append(bpf(BPF_RAW_TRACEPOINT_OPEN, struct.pack("=QI", ctypes.addressof(each), program)))
        return self

    def __exit__(self, *_):
        for descriptor in self.descriptors:
            os.close(descriptor)


class Daemon:
    def __init__(self, *flags):
        self.flags = flags

    def __enter__(self):
        port = harness.free_port()
        self.process = subprocess.Popen([harness.TIDEGAUGE, "serve", "--config.file=", f"--web.listen-address=127.0.0.1:{port}",
                                         *self.flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(WARM_UP)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


class Nothing:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


# Programs load, and the first window in which their run time is counted is over.
WARM_UP = 12
SIDES = {"nothing": Nothing, "empty pair": EmptyPair, "daemon": Daemon,
         "daemon, never counting": lambda: Daemon("--collector.ebpf.statistics=off"),
         "daemon, always counting": lambda: Daemon("--collector.ebpf.statistics=always"),
         "daemon, operations": lambda: Daemon("--collector.ebpf_files.operations=on")}


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    costs = {side: {"getppid": [], "read": []} for side in SIDES}
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(b"x" * 4096)
        for _ in range(rounds):
            for side, make in SIDES.items():
                with make():
                    words = subprocess.run([harness.ROOT / "build" / "call_cost", file.name], capture_output=True, text=True,
                                           check=True).stdout.split()
                costs[side]["getppid"].append(float(words[1]))
                costs[side]["read"].append(float(words[3]))
    base = {call: statistics.median(costs["nothing"][call]) for call in ("getppid", "read")}
    added = {side: {call: statistics.median(costs[side][call]) - base[call] for call in base} for side in SIDES}
    for side in SIDES:
        line = [f"{side:24}"]
        for call in base:
            line.append(f"{call} {base[call] + added[side][call]:6.1f} ns (+{added[side][call]:5.1f}, "
                        f"{added[side][call] / added['empty pair'][call]:4.2f} of the empty pair's)")
        print("  ".join(line))


if __name__ == "__main__":
    main()
