#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Boots each kernel in a machine and asks the daemon there: run.py [-h] [SUITE[.test_name]]...

A kernel that cannot be fetched is skipped; a machine that does not boot, panics or hangs is a failure. Closes with
'N passed, N failed[, N skipped]'; README.md says how to add a check.
"""

import argparse
import os
import sys
import unittest

import lab
from block_checks import Block
from ebpf_checks import Ebpf
from ebpf_memory_checks import EbpfMemory
from machine_checks import Guest
from process_checks import Process

# Debian 11, 12 and 13, and what comes next.
SUITES = ("bullseye", "bookworm", "trixie", "sid")
# The lab itself is the same on all.
CHECKS = {Process: SUITES, Ebpf: SUITES, EbpfMemory: SUITES, Block: SUITES, Guest: ("bookworm",)}


class Result(unittest.TextTestResult):
    passed = 0

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="*", metavar="SUITE[.test]", default=list(SUITES))
    chosen = parser.parse_args().suites
    unknown = {word.split(".")[0] for word in chosen} - set(SUITES)
    if unknown:
        parser.error(f"no such suite here: {' '.join(unknown)}")
    for program in lab.PROGRAMS.values():
        if not os.access(program, os.X_OK):
            sys.exit(f"{program}: no such program; `make lab` builds it")
    tests = unittest.TestSuite()
    for suite in dict.fromkeys(word.split(".")[0] for word in chosen):
        names = [word.split(".", 1)[1] for word in chosen if word.startswith(f"{suite}.")]
        for checks, suites in CHECKS.items():
            made = type(f"{checks.__name__}_{suite}", (checks,), {"suite": suite, "__module__": "lab"})
            found = unittest.defaultTestLoader.getTestCaseNames(made) if suite in suites else []
            tests.addTests(made(name) for name in found if name in names or not names)
    result = unittest.TextTestRunner(verbosity=2, resultclass=Result).run(tests)
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    for _, reason in result.skipped:
        print(f"skipped: {reason}")
    line = f"{result.passed} passed, {failed} failed"
    print(line + (f", {len(result.skipped)} skipped" if result.skipped else ""), flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
