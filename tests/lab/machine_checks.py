# SPDX-License-Identifier: Apache-2.0
"""The lab itself: what it says when a guest dies or hangs."""

import vm
from lab import LabTest


class Guest(LabTest):
    @classmethod
    def tearDownClass(cls):
        pass  # it is dead by then

    def test_command_that_hangs(self):
        done = self.machine.run("while :; do usleep 10000; done", seconds=2)
        self.assertNotEqual(done.status, 0)
        self.assertEqual(self.machine.text("echo alive"), "alive\n")

    def test_panic(self):
        with self.assertRaisesRegex(vm.GuestLost, "(?s)the machine is lost: Kernel panic.*--- console.*sysrq"):
            self.machine.run("echo c >/proc/sysrq-trigger")
        with self.assertRaisesRegex(vm.GuestLost, "was lost before"):
            self.machine.run("true")
